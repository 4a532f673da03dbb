//! Into which buckets the observations of one row fell. [`last`](super::last) draws the bytes.

use smallvec::SmallVec;

use crate::codec::varint;

/// Tells where `total` observations fell; the masks say which increments are not 0.
#[inline]
pub(super) fn put_counts(total: u64, increments: &[u64], masks: &[u64], into: &mut Vec<u8>) -> Option<()> {
    let highest = masks.iter().rposition(|mask| *mask != 0)?;
    let last = 63_u32.checked_sub(masks.get(highest)?.leading_zeros())?;
    if total == 1 {
        let bucket = highest.checked_mul(64)?.checked_add(last as usize)?;
        varint::put(into, bucket as u64);
        return Some(());
    }
    for mask in masks {
        varint::put(into, *mask);
    }
    for (word, (mask, increments)) in
        masks.iter().zip(increments.chunks(64)).enumerate().take(highest.checked_add(1)?)
    {
        let mut rest = if word == highest { mask ^ (1 << last) } else { *mask };
        while rest != 0 {
            varint::put(into, *increments.get(rest.trailing_zeros() as usize)?);
            rest &= rest.wrapping_sub(1);
        }
    }
    Some(())
}

/// Reads where `total` observations fell, without any state.
#[inline(always)]
pub(super) fn take_counts(
    total: u64,
    buckets: usize,
    bytes: &mut &[u8],
    mut each: impl FnMut(usize, u64) -> Option<()>,
) -> Option<()> {
    if total == 1 {
        let bucket = usize::try_from(varint::take(bytes)?).ok()?;
        return if bucket < buckets { each(bucket, 1) } else { None };
    }
    if buckets > 64 {
        return take_wide_counts(total, buckets, bytes, &mut each);
    }
    let mut rest = varint::take(bytes)?;
    if buckets < 64 && rest >> buckets != 0 {
        return None;
    }
    let mut left = total;
    let mut bucket = rest.trailing_zeros() as usize;
    rest &= rest.wrapping_sub(1);
    while rest != 0 {
        let more = varint::take(bytes)?;
        left = left.checked_sub(more)?;
        if more == 0 {
            return None;
        }
        each(bucket, more)?;
        bucket = rest.trailing_zeros() as usize;
        rest &= rest.wrapping_sub(1);
    }
    if bucket >= buckets || left == 0 {
        return None;
    }
    each(bucket, left)
}

/// Adds what [`take_counts`] reads to a number for each bucket, several increments at once where they are small.
#[inline]
pub(super) fn add_counts(total: u64, bytes: &mut &[u8], into: &mut [u64]) -> Option<()> {
    let buckets = into.len();
    let mut add = |bucket: usize, more: u64| {
        let count = into.get_mut(bucket)?;
        *count = count.wrapping_add(more);
        Some(())
    };
    if total == 1 || buckets > 64 {
        return take_counts(total, buckets, bytes, add);
    }
    let mut rest = varint::take(bytes)?;
    if buckets < 64 && rest >> buckets != 0 {
        return None;
    }
    let mut left = total;
    // The last increment is what is left.
    let mut told = rest.count_ones().checked_sub(1)?;
    let last = 63_u32.checked_sub(rest.leading_zeros())?;
    while told > 0 {
        let some = told.min(8);
        told = told.wrapping_sub(some);
        if let Some(mut word) = varint::take_small(bytes, some) {
            left = left.checked_sub(varint::sum_of_bytes(word))?;
            // As many steps however many increments there are, which no processor foresees: behind them 0 is added somewhere.
            for _ in 0..8 {
                add((rest.trailing_zeros() & 63) as usize, word & 0xff)?;
                rest &= rest.wrapping_sub(1);
                word >>= 8;
            }
            continue;
        }
        for _ in 0..some {
            let more = varint::take(bytes).filter(|more| *more > 0)?;
            left = left.checked_sub(more)?;
            add(rest.trailing_zeros() as usize, more)?;
            rest &= rest.wrapping_sub(1);
        }
    }
    if left == 0 {
        return None;
    }
    add(last as usize, left)
}

/// Moves past what [`take_counts`] reads, and `more` values behind it.
#[inline]
pub(super) fn skip_counts(total: u64, buckets: usize, more: u32, bytes: &mut &[u8]) -> Option<()> {
    if total == 1 {
        return varint::skip(bytes, more.saturating_add(1));
    }
    if buckets > 64 {
        take_wide_counts(total, buckets, bytes, &mut |_, _| Some(()))?;
        return varint::skip(bytes, more);
    }
    let mask = varint::take(bytes)?;
    varint::skip(bytes, mask.count_ones().checked_sub(1)?.saturating_add(more))
}

/// The same for more buckets than a mask has bits.
fn take_wide_counts(
    total: u64,
    buckets: usize,
    bytes: &mut &[u8],
    each: &mut impl FnMut(usize, u64) -> Option<()>,
) -> Option<()> {
    let mut masks: SmallVec<[u64; 8]> = SmallVec::new();
    for _ in 0..buckets.div_ceil(64) {
        masks.push(varint::take(bytes)?);
    }
    let highest = masks.iter().rposition(|mask| *mask != 0)?;
    let mut left = total;
    for (word, mask) in masks.iter().enumerate() {
        let mut rest = *mask;
        while rest != 0 {
            let bucket = word.checked_mul(64)?.checked_add(rest.trailing_zeros() as usize)?;
            rest &= rest.wrapping_sub(1);
            let is_last = word == highest && rest == 0;
            let more = if is_last { left } else { varint::take(bytes)? };
            left = left.checked_sub(more)?;
            if bucket >= buckets || more == 0 {
                return None;
            }
            each(bucket, more)?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Increments, mostly small, of which many are 0.
    fn increments() -> impl Strategy<Value = Vec<u64>> {
        let one = prop_oneof![4 => Just(0), 6 => 1..0x80_u64, 1 => 0x80..100_000_u64];
        prop::collection::vec(one, 1..80)
    }

    fn told(increments: &[u64]) -> (u64, Vec<u8>) {
        let masks: Vec<u64> = increments
            .chunks(64)
            .map(|word| word.iter().rev().fold(0, |mask, more| mask << 1 | u64::from(*more > 0)))
            .collect();
        let (total, mut bytes) = (increments.iter().sum(), Vec::new());
        put_counts(total, increments, &masks, &mut bytes).unwrap();
        (total, bytes)
    }

    /// What two ways of reading make of the same bytes.
    fn read(total: u64, buckets: usize, bytes: &[u8]) -> [Option<(Vec<u64>, usize)>; 2] {
        let (mut taken, mut added) = (vec![0; buckets], vec![0; buckets]);
        let (mut behind_taken, mut behind_added) = (bytes, bytes);
        let take = take_counts(total, buckets, &mut behind_taken, |bucket, more| {
            taken[bucket] = more;
            Some(())
        });
        let add = add_counts(total, &mut behind_added, &mut added);
        [take.map(|()| (taken, behind_taken.len())), add.map(|()| (added, behind_added.len()))]
    }

    proptest! {
        #[test]
        fn what_was_told_is_taken_added_and_skipped(
            increments in increments().prop_filter("none", |all| all.iter().any(|more| *more > 0)),
            behind in prop::collection::vec(0..0x80_u8, 0..12),
        ) {
            let (total, bytes) = told(&increments);
            let bytes = [bytes, behind.clone()].concat();
            for read in read(total, increments.len(), &bytes) {
                prop_assert_eq!(read, Some((increments.clone(), behind.len())));
            }
            for more in 0..=behind.len() {
                let mut rest = bytes.as_slice();
                prop_assert_eq!(skip_counts(total, increments.len(), more as u32, &mut rest), Some(()));
                prop_assert_eq!(rest, &behind[more..]);
            }
        }

        #[test]
        fn damaged_bytes_are_read_alike(
            increments in increments().prop_filter("none", |all| all.iter().any(|more| *more > 0)),
            place: usize,
            byte: u8,
            total in prop_oneof![Just(None), (1..500_u64).prop_map(Some)],
        ) {
            let (known, mut bytes) = told(&increments);
            let place = place.checked_rem(bytes.len()).unwrap();
            bytes[place] = byte;
            let [taken, added] = read(total.unwrap_or(known), increments.len(), &bytes);
            prop_assert_eq!(taken, added);
        }
    }
}
