//! Items of which nothing is left leave: what the index has of them is let go, and their numbers are given out anew.
//!
//! Somebody who reads or writes may hold the number of an item, found by its labels or in a selection. So there are three
//! times: items of which nothing is found are noted, and whoever finds one of them by its labels from then on takes it out
//! of the notes again; they leave when everybody is done who began before that; and their numbers are free when everybody is
//! done who began before they left. `maintain::leave` knows who that is.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::super::sync::Mutex;
use super::item::column_name;
use super::{Index, Item, ItemRef, is_sparse, widened_of};
use crate::model::Label;
use crate::model::label::METRIC_NAME;

/// What is on its way out.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    /// Items of which nothing was found; found ones are taken out while others read the index.
    items: Mutex<RoaringBitmap>,
    /// Whether there may be any.
    any: bool,
    /// Numbers of items that left, and those of them that may be given out.
    held: RoaringBitmap,
    free: RoaringBitmap,
    /// Texts of labels that left; others may have them as well.
    texts: Vec<Arc<str>>,
}

impl Leaving {
    /// The lowest number that may be given out anew.
    #[inline]
    pub(super) fn free_number(&self) -> Option<u32> {
        self.free.min()
    }

    #[inline]
    pub(super) fn give_out(&mut self, number: u32) {
        if !self.free.is_empty() {
            self.free.remove(number);
        }
    }
}

/// A bit for every item of an index.
#[derive(Debug, Default)]
pub(crate) struct ItemBits {
    words: Vec<u64>,
}

impl ItemBits {
    /// No bits of so many items.
    fn new(items: usize) -> Self {
        Self { words: vec![0; items.div_ceil(64)] }
    }

    pub(crate) fn insert(&mut self, item: u32) {
        self.insert_bits(item, 1);
    }

    /// The items from `first` on whose bits are set, as far as they lie in one word.
    pub(crate) fn insert_bits(&mut self, first: u32, bits: u64) {
        if let Some(word) = self.words.get_mut(first as usize / 64) {
            *word |= bits << (first % 64);
        }
    }

    /// The items whose bits are not set.
    fn unset(&self) -> impl Iterator<Item = u32> {
        (0_u32..).zip(&self.words).filter(|(_, word)| **word != u64::MAX).flat_map(|(place, word)| {
            let first = place.saturating_mul(64);
            (0..64).filter(move |bit| word >> bit & 1 == 0).map(move |bit| first.saturating_add(bit))
        })
    }
}

impl Index {
    /// An item that was found by its labels does not leave.
    #[inline]
    pub(super) fn stays(&self, item: Option<u32>) -> Option<u32> {
        if self.leaving.any
            && let Some(item) = item
        {
            self.leaving.items.lock().remove(item);
        }
        item
    }

    /// An item that is known by its number does not leave.
    pub(crate) fn stay(&self, item: u32) {
        self.stays(Some(item));
    }

    /// Notes all items, until [`note_but`](Self::note_but) says which of them something is known of. Has bits for all of them.
    pub(crate) fn note_all(&mut self) -> ItemBits {
        let count = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        let mut noted = RoaringBitmap::new();
        noted.insert_range(0..count);
        self.leaving.items = Mutex::new(noted);
        self.leaving.any = true;
        ItemBits::new(self.items.len())
    }

    /// Of those that are noted only items stay so that have no bit here. They are appended to no more. Tells whether anything is
    /// on its way out.
    pub(crate) fn note_but(&mut self, known: &ItemBits) -> bool {
        let noted = std::mem::take(&mut *self.leaving.items.lock());
        let is_gone = |item: &u32| noted.contains(*item) && self.items.get(*item as usize).is_some();
        let gone: RoaringBitmap = known.unset().filter(is_gone).collect();
        gone.iter().for_each(|item| self.rest(item));
        self.leaving.any = !gone.is_empty();
        self.leaving.items = Mutex::new(gone);
        self.leaving.any || !self.leaving.held.is_empty()
    }

    /// Nobody holds the number of an item that left before. The items that leave next.
    pub(crate) fn free_numbers(&mut self) -> Vec<u32> {
        let held = std::mem::take(&mut self.leaving.held);
        self.leaving.free |= held;
        // The last places need not be kept.
        while let Some(last) = self.items.len().checked_sub(1).and_then(|last| u32::try_from(last).ok())
            && self.leaving.free.remove(last)
        {
            self.items.pop();
        }
        self.leaving.items.lock().iter().collect()
    }

    /// Whether an item leaves.
    pub(crate) fn is_leaving(&self, item: u32) -> bool {
        self.leaving.any && self.leaving.items.lock().contains(item)
    }

    /// Numbers that items have, or had.
    #[cfg(test)]
    pub(crate) fn item_count(&self) -> usize {
        self.items.len()
    }

    /// Lets an item go. Tells how many columns it had.
    pub(crate) fn remove(&mut self, item: u32) -> u32 {
        let width = self.width(item);
        let Some(own) = self.item(item).map(ItemRef::to_item) else { return 0 };
        let (table, labels) = match &own {
            Item::Single(labels) => (&mut self.singles, labels),
            Item::Family { labels, .. } => (&mut self.families_by_labels, labels),
        };
        let hash = widened_of(&self.items, item);
        if let Ok(found) = table.find_entry(hash, |found| *found == item) {
            found.remove();
        }
        match &own {
            Item::Single(labels) => {
                labels.iter().for_each(|label| self.unpost(&label.name, &label.value, item));
            }
            Item::Family { labels, columns } => {
                Arc::make_mut(&mut self.families).remove(item);
                let is_own = |label: &&Label| &*label.name != METRIC_NAME;
                labels.iter().filter(is_own).for_each(|label| self.unpost(&label.name, &label.value, item));
                let mut before = "";
                for column in columns.iter() {
                    if before != column.suffix() {
                        before = column.suffix();
                        self.unpost(METRIC_NAME, &column_name(labels.metric_name(), column), item);
                    }
                }
                // The base name is in no postings.
                self.leaving.texts.extend(labels.label(METRIC_NAME).map(|label| label.value.clone()));
            }
        }
        let pairs = labels.len().saturating_mul(size_of::<Label>()).saturating_add(16);
        self.label_bytes = self.label_bytes.saturating_sub(pairs);
        self.series_count = self.series_count.saturating_sub(width);
        if self.idle.remove(item) {
            self.idle_series = self.idle_series.saturating_sub(width);
        }
        self.items.take(item as usize);
        self.leaving.items.lock().remove(item);
        self.leaving.held.insert(item);
        u32::try_from(width).unwrap_or(u32::MAX)
    }

    fn unpost(&mut self, name: &str, value: &str, item: u32) {
        let Some(postings) = self.postings.get_mut(name) else { return };
        let own = Arc::make_mut(postings);
        let Some(value) = own.remove(value, item) else { return };
        let is_empty = own.is_empty();
        if name == METRIC_NAME {
            self.single_names.remove(&value);
        }
        self.leaving.texts.push(value);
        if is_empty && let Some((name, _)) = self.postings.remove_entry(name) {
            self.leaving.texts.push(name);
        }
    }

    /// The texts of labels that left.
    pub(crate) fn take_texts(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.leaving.texts)
    }

    /// Lets go of those texts, each told once, that nobody else holds, and of which `may_go` says it; of the others later perhaps.
    pub(crate) fn free_texts(
        &mut self,
        texts: impl Iterator<Item = Arc<str>>,
        may_go: impl Fn(&Arc<str>) -> bool,
    ) {
        for text in texts {
            if !may_go(&text) || !self.symbols.free(&text) {
                self.leaving.texts.push(text);
            }
        }
    }

    /// Gives room back that tables have for many more than there is.
    pub(crate) fn shrink(&mut self) {
        self.symbols.shrink();
        let items = &self.items;
        for table in [&mut self.singles, &mut self.families_by_labels] {
            if is_sparse(table.len(), table.capacity()) {
                table.shrink_to(table.len(), |item| widened_of(items, *item));
            }
        }
        if self.leaving.texts.is_empty() {
            self.leaving.texts = Vec::new();
        }
        if self.leaving.items.lock().is_empty() {
            self.leaving.any = false;
        }
    }
}
