//! Which items of a segment are which of the index, in a few bytes each.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hash, Hasher};

use hashbrown::{DefaultHashBuilder, HashMap};
use roaring::RoaringBitmap;

use super::super::index::{ItemBits, SeriesRef};
use crate::model::Matcher;

/// Questions whose answer is known to be in the index.
const ANSWERED: usize = 256;
/// So many parts at least are worth a table.
const MANY: usize = 64;

/// An item of a segment as one of the index. In the order of series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    /// The series; of a histogram stored as one: its item.
    pub(super) series: SeriesRef,
    /// Where its directory starts.
    pub(super) directory: u32,
    /// Whether the chunks hold the columns of a histogram.
    pub(super) is_family: bool,
}

/// Sixty-four neighbouring items of the index.
#[derive(Clone, Copy, Debug, Default)]
struct Neighbours {
    /// Which of them have a part, and which of those are histograms stored as one.
    held: u64,
    families: u64,
    /// How many items before them have a part.
    before: u32,
}

/// Parts of column 0, one for an item.
#[derive(Debug, Default)]
struct Table {
    /// The number of the first neighbours.
    first: u32,
    neighbours: Vec<Neighbours>,
    directories: Vec<u32>,
}

impl Table {
    /// Of these parts, which are in order, those that a table can have; the others are left. If they lie far apart all are left.
    fn of(parts: &mut Vec<Part>) -> Self {
        let mut table = Self::default();
        let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return table };
        let (first, last) = (first.series.item / 64, last.series.item / 64);
        let width = (last.saturating_sub(first) as usize).saturating_add(1);
        if width > parts.len() {
            return table;
        }
        table.first = first;
        table.neighbours.resize_with(width, Neighbours::default);
        table.directories.reserve_exact(parts.len());
        parts.retain(|part| !table.push(part));
        table.directories.shrink_to_fit();
        let mut before = 0_u32;
        for neighbours in &mut table.neighbours {
            neighbours.before = before;
            before = before.saturating_add(neighbours.held.count_ones());
        }
        table
    }

    /// `false`: it can be none of the table.
    fn push(&mut self, part: &Part) -> bool {
        let place = (part.series.item / 64).wrapping_sub(self.first);
        let Some(neighbours) = self.neighbours.get_mut(place as usize) else { return false };
        let bit = 1_u64 << (part.series.item % 64);
        if part.series.column != 0 || neighbours.held & bit != 0 {
            return false;
        }
        neighbours.held |= bit;
        if part.is_family {
            neighbours.families |= bit;
        }
        self.directories.push(part.directory);
        true
    }

    fn get(&self, item: u32) -> Option<Part> {
        let neighbours = self.neighbours.get((item / 64).checked_sub(self.first)? as usize)?;
        let bit = 1_u64 << (item % 64);
        if neighbours.held & bit == 0 {
            return None;
        }
        let before = (neighbours.held & bit.wrapping_sub(1)).count_ones();
        let directory = *self.directories.get(neighbours.before.checked_add(before)? as usize)?;
        let is_family = neighbours.families & bit != 0;
        Some(Part { series: SeriesRef { item, column: 0 }, directory, is_family })
    }

    fn iter(&self) -> impl Iterator<Item = Part> {
        let places = (0_u32..).zip(&self.neighbours).filter(|(_, neighbours)| neighbours.held != 0);
        places.flat_map(|(place, _)| {
            let first = self.first.saturating_add(place).saturating_mul(64);
            (first..=first.saturating_add(63)).filter_map(|item| self.get(item))
        })
    }
}

/// The items of a segment that the index has.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// Most of them.
    table: Table,
    /// Those that are new. Histograms of a scrape are joined one by one: whatever is moved for each of them would be moved as
    /// often. And those that are not the only one of their item.
    others: BTreeSet<Part>,
    /// So many others are too many.
    most_others: usize,
    /// All by their number in the segment.
    joined: RoaringBitmap,
    /// Whether these are all.
    complete: bool,
    /// Matchers, by their hash, that accept nothing which the index lacks.
    answered: HashMap<u64, Box<[Matcher]>>,
    hasher: DefaultHashBuilder,
}

impl Parts {
    fn hash(&self, matchers: &[Matcher]) -> u64 {
        let mut state = self.hasher.build_hasher();
        for matcher in matchers {
            (matcher.name(), matcher.op(), matcher.value()).hash(&mut state);
        }
        state.finish()
    }

    /// Whether the matchers accept nothing that the index lacks.
    pub(super) fn is_answered(&self, matchers: &[Matcher]) -> bool {
        let known = || self.answered.get(&self.hash(matchers)).is_some_and(|known| **known == *matchers);
        self.complete || known()
    }

    /// The matchers accept nothing that the index lacks.
    pub(super) fn answer(&mut self, matchers: &[Matcher]) {
        if self.complete {
            return;
        }
        if self.answered.len() >= ANSWERED {
            self.answered.clear();
        }
        let hash = self.hash(matchers);
        self.answered.insert(hash, matchers.into());
    }

    /// Whether the index has all items.
    pub(super) fn are_complete(&self) -> bool {
        self.complete
    }

    /// The items that the index has, by their number in the segment.
    pub(super) fn joined(&self) -> &RoaringBitmap {
        &self.joined
    }

    /// Adds items by their number in the segment, which has `count` of them.
    pub(super) fn extend(&mut self, new: Vec<(u32, Part)>, count: u32) {
        self.joined.extend(new.iter().map(|(number, _)| *number));
        let new = new.into_iter().map(|(_, part)| part);
        self.complete = self.joined.len() == u64::from(count);
        if self.complete {
            self.answered = HashMap::new();
            self.joined.optimize();
        }
        if !self.complete && self.others.len().saturating_add(new.len()) < self.most_others.max(MANY) {
            self.others.extend(new);
            return;
        }
        let mut parts: Vec<Part> = self.table.iter().chain(std::mem::take(&mut self.others)).collect();
        parts.extend(new);
        parts.sort_unstable();
        parts.dedup();
        self.table = Table::of(&mut parts);
        self.others.extend(parts);
        self.most_others = self.table.directories.len().saturating_add(self.others.len().saturating_mul(2));
    }

    /// What of the segment belongs to an item of the index.
    pub(super) fn of(&self, item: u32) -> impl Iterator<Item = Part> {
        let series = SeriesRef { item, column: 0 };
        let first = Part { series, directory: 0, is_family: false };
        let others = self.others.range(first..).take_while(move |part| part.series.item == item);
        self.table.get(item).into_iter().chain(others.copied())
    }

    /// Tells the items that have a part.
    pub(super) fn tell_items(&self, known: &mut ItemBits) {
        for (place, neighbours) in (self.table.first..).zip(&self.table.neighbours) {
            known.insert_bits(place.saturating_mul(64), neighbours.held);
        }
        self.others.iter().for_each(|part| known.insert(part.series.item));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Part> {
        self.table.iter().chain(self.others.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part() -> impl Strategy<Value = Part> {
        let item = prop_oneof![8 => 0_u32..500, 1 => 4_000_000_000..=u32::MAX];
        let column = prop_oneof![6 => Just(0_u32), 1 => 0_u32..4];
        (item, column, any::<u32>(), any::<bool>()).prop_map(|(item, column, directory, is_family)| Part {
            series: SeriesRef { item, column },
            directory,
            is_family: is_family && column == 0,
        })
    }

    proptest! {
        #[test]
        fn every_part_is_found_by_its_item_however_they_come(
            batches in proptest::collection::vec(proptest::collection::vec(part(), 1..90), 0..12),
            ends: bool,
        ) {
            let mut parts = Parts::default();
            let (mut expected, mut number) = (BTreeSet::new(), 0_u32);
            let total: usize = batches.iter().map(Vec::len).sum();
            let count = total as u32 + u32::from(!ends);
            for batch in batches {
                expected.extend(batch.iter().copied());
                let new = batch.into_iter().map(|part| {
                    number += 1;
                    (number - 1, part)
                });
                parts.extend(new.collect(), count);
            }
            prop_assert_eq!(parts.are_complete(), ends && total > 0);
            prop_assert_eq!(parts.joined().len(), total as u64);
            prop_assert_eq!(&parts.iter().collect::<BTreeSet<_>>(), &expected);
            for item in (0..500).chain(expected.iter().map(|part| part.series.item)) {
                let own: Vec<Part> = parts.of(item).collect();
                let known: BTreeSet<Part> =
                    expected.iter().copied().filter(|part| part.series.item == item).collect();
                prop_assert_eq!(own.len(), known.len());
                prop_assert_eq!(own.into_iter().collect::<BTreeSet<_>>(), known);
            }
        }
    }

    #[test]
    fn items_that_lie_side_by_side_take_five_bytes() {
        let mut parts = Parts::default();
        let part = |item: u32| Part {
            series: SeriesRef { item, column: 0 },
            directory: item * 30,
            is_family: item.is_multiple_of(2),
        };
        parts.extend((0..10_000).map(|item| (item, part(item))).collect(), 10_000);
        assert!(parts.are_complete() && parts.others.is_empty());
        let bytes = parts.table.directories.capacity() * 4 + parts.table.neighbours.capacity() * 24;
        assert!(bytes < 45_000, "{bytes}");
    }
}
