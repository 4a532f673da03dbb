//! Numbers of items, rising, in few bytes.
//!
//! ```text
//! list  head varint   bits 0-1: form
//!   0   one item      rest: zigzag of the item less the base
//!   1   a run         rest: how many items less 2;  first item: varint zigzag, less the base
//!   2   few           rest: how many items less 2;  first item: varint zigzag, less the base;  each further: varint,
//!                     less (the one before + 1)
//!   3   many          rest: how many bytes follow: a roaring bitmap in its portable serialisation
//! ```

use roaring::RoaringBitmap;

use crate::codec::varint;

/// Up to so many items are told one by one.
const FEW: usize = 64;

/// Appends a list that is not empty and rises. Answers the base of the list behind it.
pub(super) fn put_list(items: &[u32], base: u32, into: &mut Vec<u8>) -> u32 {
    let (Some(first), Some(last)) = (items.first(), items.last()) else { return base };
    let less = |base: u32| i64::from(*first).wrapping_sub(i64::from(base));
    let more = (items.len() as u64).saturating_sub(2);
    let is_run = u64::from(last.saturating_sub(*first)).saturating_add(1) == items.len() as u64;
    if items.len() == 1 {
        varint::put(into, varint::zigzag(less(base)) << 2);
    } else if is_run {
        varint::put(into, more << 2 | 1);
        varint::put_signed(into, less(base));
    } else if items.len() <= FEW {
        varint::put(into, more << 2 | 2);
        varint::put_signed(into, less(base));
        for (before, item) in items.iter().zip(items.get(1..).unwrap_or_default()) {
            varint::put(into, u64::from(item.saturating_sub(*before).saturating_sub(1)));
        }
    } else {
        let mut bitmap: RoaringBitmap = items.iter().copied().collect();
        bitmap.optimize();
        let length = bitmap.serialized_size();
        varint::put(into, (length as u64) << 2 | 3);
        let before = into.len();
        let _into_memory = bitmap.serialize_into(&mut *into);
        debug_assert_eq!(into.len().saturating_sub(before), length);
        return base;
    }
    *first
}

/// A list as it lies in a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum List<'a> {
    Run(u32, u32),
    Few(u32, u64, &'a [u8]),
    Many(&'a [u8]),
}

impl<'a> List<'a> {
    /// Takes a list of items below `limit` from the front of `bytes`, and the base of the list behind it. The insides of a
    /// bitmap are looked at when it is read.
    pub(super) fn take(bytes: &mut &'a [u8], base: u32, limit: u32) -> Option<(Self, u32)> {
        let head = varint::take(bytes)?;
        let rest = head >> 2;
        let item = |less: i64| u32::try_from(i64::from(base).checked_add(less)?).ok().filter(|i| *i < limit);
        match head & 3 {
            0 => {
                let first = item(varint::unzigzag(rest))?;
                Some((Self::Run(first, first), first))
            }
            1 => {
                let first = item(varint::take_signed(bytes)?)?;
                let last = u64::from(first).checked_add(rest)?.checked_add(1)?;
                let last = u32::try_from(last).ok().filter(|last| *last < limit)?;
                Some((Self::Run(first, last), first))
            }
            2 => {
                let first = item(varint::take_signed(bytes)?)?;
                let (mut last, start) = (u64::from(first), *bytes);
                let more = rest.checked_add(1)?;
                for _ in 0..more {
                    last = last.checked_add(varint::take(bytes)?)?.checked_add(1)?;
                    if last >= u64::from(limit) {
                        return None;
                    }
                }
                let length = start.len().checked_sub(bytes.len())?;
                Some((Self::Few(first, more, start.get(..length)?), first))
            }
            _ => {
                let (bitmap, rest) = bytes.split_at_checked(usize::try_from(rest).ok()?)?;
                *bytes = rest;
                Some((Self::Many(bitmap), base))
            }
        }
    }

    /// The items. `None`: a bitmap that does not decode, or that is none of items below `limit`.
    pub(super) fn items(&self, limit: u32) -> Option<RoaringBitmap> {
        let mut items = RoaringBitmap::new();
        match *self {
            Self::Run(first, last) => {
                items.insert_range(first..=last);
            }
            Self::Few(first, more, mut gaps) => {
                items.insert(first);
                let mut last = first;
                for _ in 0..more {
                    let gap = u32::try_from(varint::take(&mut gaps)?).ok()?;
                    last = last.checked_add(gap)?.checked_add(1)?;
                    items.insert(last);
                }
            }
            Self::Many(mut bytes) => {
                items = RoaringBitmap::deserialize_from(&mut bytes).ok()?;
                if !bytes.is_empty() || items.max().is_none_or(|last| last >= limit) {
                    return None;
                }
            }
        }
        Some(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list() -> impl Strategy<Value = std::collections::BTreeSet<u32>> {
        let runs = (0_u32..5_000, 1_u32..300).prop_map(|(start, count)| (start..start + count).collect());
        prop_oneof![
            prop::collection::btree_set(0_u32..100_000, 1..4),
            prop::collection::btree_set(0_u32..300, 1..200),
            prop::collection::btree_set(0_u32..200_000, 60..300),
            runs,
        ]
    }

    proptest! {
        #[test]
        fn lists_come_back(lists in prop::collection::vec(list(), 0..8)) {
            let (mut bytes, mut base) = (Vec::new(), 0);
            for list in &lists {
                let items: Vec<u32> = list.iter().copied().collect();
                base = put_list(&items, base, &mut bytes);
            }
            let (mut rest, mut base) = (bytes.as_slice(), 0);
            for list in &lists {
                let (found, next) = List::take(&mut rest, base, 300_000).unwrap();
                base = next;
                prop_assert_eq!(found.items(300_000).unwrap(), list.iter().copied().collect::<RoaringBitmap>());
                let last = *list.last().unwrap();
                let refused = List::take(&mut bytes.as_slice(), 0, 1);
                prop_assert!(refused.is_none_or(|(list, _)| list.items(1).is_none() || last == 0));
            }
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn no_bytes_make_a_list_of_items_that_there_are_not(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some((list, base)) = List::take(&mut bytes.as_slice(), 3, 1000)
                && let Some(items) = list.items(1000)
            {
                prop_assert!(!items.is_empty() && items.max() < Some(1000) && base < 1000);
            }
        }
    }

    #[test]
    fn an_item_takes_a_byte_and_a_run_two() {
        let mut bytes = Vec::new();
        put_list(&[17], 15, &mut bytes);
        assert_eq!(bytes.len(), 1);
        bytes.clear();
        put_list(&[15, 16, 17, 18], 15, &mut bytes);
        assert_eq!(bytes.len(), 2);
    }
}
