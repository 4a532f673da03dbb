//! Texts of labels, each held once.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

/// A table of texts.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    table: HashTable<Arc<str>>,
    hasher: DefaultHashBuilder,
    bytes: usize,
}

impl Symbols {
    /// The one copy of `text`.
    pub(crate) fn intern(&mut self, text: &str) -> Arc<str> {
        let hash = self.hasher.hash_one(text);
        if let Some(symbol) = self.table.find(hash, |symbol| **symbol == *text) {
            return symbol.clone();
        }
        let symbol: Arc<str> = Arc::from(text);
        self.bytes = self.bytes.saturating_add(text.len()).saturating_add(SYMBOL_OVERHEAD);
        self.table.insert_unique(hash, symbol.clone(), |symbol| self.hasher.hash_one(&**symbol));
        symbol
    }

    /// Lets go of a text that nobody holds but the table and the caller. `false`: somebody does, or it is none of the table.
    pub(crate) fn free(&mut self, text: &Arc<str>) -> bool {
        if Arc::strong_count(text) > 2 {
            return false;
        }
        let hash = self.hasher.hash_one(&**text);
        let Ok(found) = self.table.find_entry(hash, |symbol| Arc::ptr_eq(symbol, text)) else { return false };
        found.remove();
        self.bytes = self.bytes.saturating_sub(text.len()).saturating_sub(SYMBOL_OVERHEAD);
        true
    }

    /// Gives room back that the table has for many more texts than there are.
    pub(crate) fn shrink(&mut self) {
        if is_sparse(self.table.len(), self.table.capacity()) {
            self.table.shrink_to(self.table.len(), |symbol| self.hasher.hash_one(&**symbol));
        }
    }

    /// Bytes of memory, roughly.
    pub(crate) fn byte_size(&self) -> usize {
        self.bytes
    }
}

/// Whether a table has room for more than four times what it holds.
pub(super) fn is_sparse(length: usize, capacity: usize) -> bool {
    capacity > 64 && length < capacity / 4
}

/// Two counters before the text, and pointer, length and control byte in the table.
const SYMBOL_OVERHEAD: usize = 33;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_held_once() {
        let mut symbols = Symbols::default();
        let first = symbols.intern("job");
        symbols.intern("api");
        assert!(Arc::ptr_eq(&first, &symbols.intern("job")));
    }

    #[test]
    fn a_text_goes_when_nobody_else_holds_it() {
        let mut symbols = Symbols::default();
        let (first, second) = (symbols.intern("job"), symbols.intern("job"));
        let bytes = symbols.byte_size();
        assert!(!symbols.free(&first) && !symbols.free(&Arc::from("job")));
        drop(second);
        assert!(symbols.free(&first) && bytes > 0);
        assert_eq!((symbols.byte_size(), symbols.table.len()), (0, 0));
        assert!(!Arc::ptr_eq(&first, &symbols.intern("job")));
    }
}
