//! Which items carry which value of a label.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::model::{MatchOp, Matcher};

/// The items of one label name, by value.
#[derive(Clone, Debug, Default)]
pub(crate) struct NamePostings {
    values: BTreeMap<Arc<str>, RoaringBitmap>,
    all: RoaringBitmap,
}

impl NamePostings {
    pub(crate) fn insert(&mut self, value: &Arc<str>, item: u32) {
        self.values.entry(value.clone()).or_default().insert(item);
        self.all.insert(item);
    }

    /// How many values there are.
    pub(crate) fn value_count(&self) -> usize {
        self.values.len()
    }

    /// Items whose value the matcher accepts, items without the label left out.
    pub(crate) fn accepted(&self, matcher: &Matcher) -> RoaringBitmap {
        match (matcher.op(), matcher.pattern()) {
            (MatchOp::Equal, _) => self.equal(matcher.value()).cloned().unwrap_or_default(),
            (MatchOp::Matches, Some(pattern)) => {
                if let Some(literals) = pattern.set_of_literals() {
                    let mut union = RoaringBitmap::new();
                    for literal in literals {
                        if let Some(items) = self.equal(literal.as_bytes()) {
                            union |= items;
                        }
                    }
                    return union;
                }
                if pattern.matches_everything() {
                    return self.all.clone();
                }
                self.scan(pattern.prefix(), matcher)
            }
            _ => self.scan("", matcher),
        }
    }

    /// Items whose value the matcher refuses, items without the label left out.
    pub(crate) fn refused(&self, matcher: &Matcher) -> RoaringBitmap {
        match matcher.op() {
            MatchOp::NotEqual => self.equal(matcher.value()).cloned().unwrap_or_default(),
            MatchOp::Matches if matcher.pattern().is_some_and(|pattern| pattern.matches_everything()) => {
                RoaringBitmap::new()
            }
            _ => {
                let mut union = RoaringBitmap::new();
                for (value, items) in &self.values {
                    if !matcher.matches(value) {
                        union |= items;
                    }
                }
                union
            }
        }
    }

    /// Items with exactly this value.
    pub(crate) fn equal(&self, value: &[u8]) -> Option<&RoaringBitmap> {
        std::str::from_utf8(value).ok().and_then(|value| self.values.get(value))
    }

    /// The sorted dictionary from `prefix` on, as far as it has that prefix.
    fn scan(&self, prefix: &str, matcher: &Matcher) -> RoaringBitmap {
        let mut union = RoaringBitmap::new();
        for (value, items) in self.values.range::<str, _>((Bound::Included(prefix), Bound::Unbounded)) {
            if !value.starts_with(prefix) {
                break;
            }
            if matcher.matches(value) {
                union |= items;
            }
        }
        union
    }

    /// Bytes of memory, roughly; the texts are counted where they are interned.
    pub(crate) fn byte_size(&self) -> usize {
        let lists = self.values.values().map(|items| items.serialized_size().saturating_add(VALUE_OVERHEAD));
        lists.fold(self.all.serialized_size(), usize::saturating_add)
    }
}

/// Key, bitmap header and the share of a tree node.
const VALUE_OVERHEAD: usize = 64;
