//! The items of one value of a label: most values have few of them, and those that have many share them with most items.

use std::borrow::Cow;

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

impl ItemSet {
    pub(super) fn insert(&mut self, item: u32) {
        match self {
            Self::Few(few) => {
                let mut list: SmallVec<[u32; FEW]> = items(few).collect();
                let Err(place) = list.binary_search(&item) else { return };
                if list.len() >= FEW {
                    *self = Self::Many(Box::new(list.into_iter().chain([item]).collect()));
                    return;
                }
                list.insert(place, item);
                let (mut bytes, mut before) = (Vec::with_capacity(few.len().saturating_add(8)), 0_u32);
                for item in list {
                    varint::put(&mut bytes, u64::from(item.wrapping_sub(before)));
                    before = item;
                }
                *few = bytes.into();
            }
            Self::Many(many) => {
                many.insert(item);
            }
        }
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
        fn a_set_has_what_was_inserted(items in proptest::collection::vec(item(), 0..120)) {
            let (mut set, mut expected) = (ItemSet::default(), BTreeSet::new());
            let mut union = RoaringBitmap::from_iter([1000]);
            for item in items {
                set.insert(item);
                expected.insert(item);
                prop_assert_eq!(matches!(set, ItemSet::Few(_)), expected.len() <= FEW);
            }
            prop_assert!(set.bitmap().iter().eq(expected.iter().copied()));
            set.add_to(&mut union);
            expected.insert(1000);
            prop_assert!(union.iter().eq(expected.iter().copied()));
        }
    }

    #[test]
    fn a_set_is_a_pointer_and_a_length_and_a_byte_for_each_neighbour() {
        let mut set = ItemSet::default();
        (1_000_000..1_000_008).for_each(|item| set.insert(item));
        assert_eq!((size_of::<ItemSet>(), set.byte_size()), (16, 10));
    }
}
