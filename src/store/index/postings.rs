//! Which items carry which value of a label.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::{Bound, RangeInclusive};
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::item_set::{ItemSet, insert_items};
use crate::model::{MatchOp, Matcher};

/// The items of one label name by value, in memory or in a segment. `None`: what is in a segment does not decode.
pub(crate) trait LabelLists {
    /// How many values there are.
    fn value_count(&self) -> usize;

    /// Items with the label.
    fn all(&self) -> Option<Cow<'_, RoaringBitmap>>;

    /// Items with exactly this value.
    fn equal(&self, value: &[u8]) -> Option<Option<Cow<'_, RoaringBitmap>>>;

    /// Items whose value has this prefix, and is accepted by the matcher, or refused if that is `wanted`: the sorted
    /// dictionary from the prefix on, as far as it has that prefix.
    fn scan(&self, prefix: &str, matcher: &Matcher, wanted: bool) -> Option<RoaringBitmap>;

    /// Items whose value the matcher accepts, items without the label left out.
    fn accepted(&self, matcher: &Matcher) -> Option<RoaringBitmap> {
        match (matcher.op(), matcher.pattern()) {
            (MatchOp::Equal, _) => {
                Some(self.equal(matcher.value())?.map(Cow::into_owned).unwrap_or_default())
            }
            (MatchOp::Matches, Some(pattern)) => {
                if let Some(literals) = pattern.set_of_literals() {
                    let mut union = RoaringBitmap::new();
                    for literal in literals {
                        if let Some(items) = self.equal(literal.as_bytes())? {
                            union |= &*items;
                        }
                    }
                    return Some(union);
                }
                if pattern.matches_everything() {
                    return self.all().map(Cow::into_owned);
                }
                self.scan(pattern.prefix(), matcher, true)
            }
            _ => self.scan("", matcher, true),
        }
    }

    /// Items whose value the matcher refuses, items without the label left out.
    fn refused(&self, matcher: &Matcher) -> Option<RoaringBitmap> {
        match matcher.op() {
            MatchOp::NotEqual => Some(self.equal(matcher.value())?.map(Cow::into_owned).unwrap_or_default()),
            MatchOp::Matches if matcher.pattern().is_some_and(|pattern| pattern.matches_everything()) => {
                Some(RoaringBitmap::new())
            }
            _ => self.scan("", matcher, false),
        }
    }
}

/// The items of one label name, by value.
#[derive(Clone, Debug, Default)]
pub(crate) struct NamePostings {
    values: BTreeMap<Arc<str>, ItemSet>,
    all: RoaringBitmap,
}

impl NamePostings {
    pub(crate) fn insert(&mut self, value: &Arc<str>, items: RangeInclusive<u32>) {
        insert_items(&mut self.all, &items);
        match self.values.get_mut(&**value) {
            Some(known) => known.insert(items),
            None => self.values.entry(value.clone()).or_default().insert(items),
        }
    }

    /// Takes an item out of a value. Hands out the value if no item has it any more.
    pub(crate) fn remove(&mut self, value: &str, item: u32) -> Option<Arc<str>> {
        self.all.remove(item);
        let items = self.values.get_mut(value)?;
        items.remove(item);
        if !items.is_empty() {
            return None;
        }
        self.values.remove_entry(value).map(|(value, _)| value)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Bytes of memory, roughly; the texts are counted where they are interned.
    pub(crate) fn byte_size(&self) -> usize {
        let lists = self.values.values().map(|items| items.byte_size().saturating_add(VALUE_OVERHEAD));
        lists.fold(self.all.serialized_size(), usize::saturating_add)
    }
}

impl LabelLists for Arc<NamePostings> {
    fn value_count(&self) -> usize {
        self.values.len()
    }

    fn all(&self) -> Option<Cow<'_, RoaringBitmap>> {
        Some(Cow::Borrowed(&self.all))
    }

    fn equal(&self, value: &[u8]) -> Option<Option<Cow<'_, RoaringBitmap>>> {
        let value = std::str::from_utf8(value).ok();
        Some(value.and_then(|value| self.values.get(value)).map(ItemSet::bitmap))
    }

    fn scan(&self, prefix: &str, matcher: &Matcher, wanted: bool) -> Option<RoaringBitmap> {
        let mut union = RoaringBitmap::new();
        for (value, items) in self.values.range::<str, _>((Bound::Included(prefix), Bound::Unbounded)) {
            if !value.starts_with(prefix) {
                break;
            }
            if matcher.matches(value) == wanted {
                items.add_to(&mut union);
            }
        }
        Some(union)
    }
}

/// Key, set and the free part of a tree node.
const VALUE_OVERHEAD: usize = 48;
