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

    /// Bytes of memory, roughly.
    pub(crate) fn byte_size(&self) -> usize {
        self.bytes
    }
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
}
