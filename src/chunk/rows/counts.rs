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

/// Moves past what [`take_counts`] reads.
#[inline]
pub(super) fn skip_counts(total: u64, buckets: usize, bytes: &mut &[u8]) -> Option<()> {
    if total == 1 {
        return varint::skip(bytes, 1);
    }
    if buckets > 64 {
        return take_wide_counts(total, buckets, bytes, &mut |_, _| Some(()));
    }
    let mask = varint::take(bytes)?;
    varint::skip(bytes, mask.count_ones().checked_sub(1)?)
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
