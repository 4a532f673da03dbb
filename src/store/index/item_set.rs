//! The items of one value of a label: most values have few of them, and those that have many share them with most items.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use roaring::RoaringBitmap;
use smallvec::SmallVec;

use crate::codec::varint;

/// So many items are a list of a byte or two each; more are a bitmap, which takes 160 bytes before it holds anything.
const FEW: usize = 48;

/// A set of items.
#[derive(Clone, Debug)]
pub(super) enum ItemSet {
    /// In rising order, each less the one before, as varints.
    Few(Box<[u8]>),
    Many(Box<RoaringBitmap>),
}

impl Default for ItemSet {
    fn default() -> Self {
        Self::Few(Box::default())
    }
}

/// The items of a list.
fn items(mut list: &[u8]) -> impl Iterator<Item = u32> {
    let mut item = 0_u32;
    std::iter::from_fn(move || {
        item = item.wrapping_add(varint::take(&mut list)? as u32);
        Some(item)
    })
}

/// Adds items that follow each other.
pub(super) fn insert_items(set: &mut RoaringBitmap, items: &RangeInclusive<u32>) {
    if items.start() == items.end() {
        set.insert(*items.start());
    } else {
        set.insert_range(items.clone());
    }
}

/// The list of these items, which rise.
fn packed(items: &[u32]) -> Box<[u8]> {
    let (mut bytes, mut before) = (Vec::with_capacity(items.len().saturating_mul(2)), 0_u32);
    for item in items {
        varint::put(&mut bytes, u64::from(item.wrapping_sub(before)));
        before = *item;
    }
    bytes.into()
}

impl ItemSet {
    /// Adds items that follow each other.
    pub(super) fn insert(&mut self, more: RangeInclusive<u32>) {
        match self {
            Self::Few(few) => {
                let mut list: SmallVec<[u32; FEW]> = items(few).collect();
                if more.start() == more.end()
                    && list.len() < FEW
                    && list.last().is_none_or(|last| last < more.start())
                {
                    // Items come in the order of their numbers, mostly.
                    let last = list.last().copied().unwrap_or(0);
                    let (bytes, length) = varint::bytes(u64::from(more.start().wrapping_sub(last)));
                    *few = [few, bytes.get(..length).unwrap_or_default()].concat().into();
                    return;
                }
                let before = list.partition_point(|item| item < more.start());
                let behind = list.partition_point(|item| item <= more.end());
                let known = behind.saturating_sub(before);
                let added = more.end().abs_diff(*more.start()) as usize;
                if list.len().saturating_sub(known).saturating_add(added) >= FEW {
                    let mut many: RoaringBitmap = list.into_iter().collect();
                    insert_items(&mut many, &more);
                    *self = Self::Many(Box::new(many));
                    return;
                }
                if known > added {
                    return;
                }
                list.drain(before..behind);
                list.insert_many(before, more);
                *few = packed(&list);
            }
            Self::Many(many) => insert_items(many, &more),
        }
    }

    pub(super) fn remove(&mut self, item: u32) {
        match self {
            Self::Few(few) => {
                let mut list: SmallVec<[u32; FEW]> = items(few).collect();
                if let Ok(place) = list.binary_search(&item) {
                    list.remove(place);
                    *few = packed(&list);
                }
            }
            Self::Many(many) => {
                many.remove(item);
                if many.len() <= FEW as u64 / 2 {
                    *self = Self::Few(packed(&many.iter().collect::<SmallVec<[u32; FEW]>>()));
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Few(few) if few.is_empty())
    }

    pub(super) fn bitmap(&self) -> Cow<'_, RoaringBitmap> {
        match self {
            Self::Few(few) => Cow::Owned(items(few).collect()),
            Self::Many(many) => Cow::Borrowed(many),
        }
    }

    pub(super) fn add_to(&self, union: &mut RoaringBitmap) {
        match self {
            Self::Few(few) => union.extend(items(few)),
            Self::Many(many) => *union |= &**many,
        }
    }

    /// Bytes of memory outside of the value itself, roughly.
    pub(super) fn byte_size(&self) -> usize {
        match self {
            Self::Few(few) => few.len(),
            Self::Many(many) => many.serialized_size().saturating_add(size_of::<RoaringBitmap>()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn item() -> impl Strategy<Value = u32> {
        prop_oneof![4 => 0_u32..200, 1 => any::<u32>()]
    }

    proptest! {
        #[test]
        fn a_set_has_what_was_inserted_and_not_removed(
            items in proptest::collection::vec(
                (item(), prop_oneof![8 => Just(0), 2 => 0..6_u32, 1 => 0..100_u32], 0_u8..4), 0..200,
            ),
        ) {
            let (mut set, mut expected) = (ItemSet::default(), BTreeSet::new());
            let mut union = RoaringBitmap::from_iter([1000]);
            for (first, more, how) in items {
                if how > 0 {
                    let items = first..=first.saturating_add(more);
                    set.insert(items.clone());
                    expected.extend(items);
                } else if let Some(item) = expected.range(first..).next().copied().or(expected.first().copied()) {
                    set.remove(item);
                    expected.remove(&item);
                }
                prop_assert!(expected.len() <= FEW || matches!(set, ItemSet::Many(_)));
                prop_assert!(expected.len() > FEW / 2 || matches!(set, ItemSet::Few(_)));
                prop_assert_eq!(set.is_empty(), expected.is_empty());
            }
            (0..200).filter(|item| !expected.contains(item)).for_each(|item| set.remove(item));
            prop_assert!(set.bitmap().iter().eq(expected.iter().copied()));
            set.add_to(&mut union);
            expected.insert(1000);
            prop_assert!(union.iter().eq(expected.iter().copied()));
        }
    }

    #[test]
    fn a_set_is_a_pointer_and_a_length_and_a_byte_for_each_neighbour() {
        let mut set = ItemSet::default();
        (1_000_000..1_000_008).for_each(|item| set.insert(item..=item));
        assert_eq!((size_of::<ItemSet>(), set.byte_size()), (16, 10));
    }
}
