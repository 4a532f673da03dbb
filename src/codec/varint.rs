//! LEB128 integers, and zigzag for signed ones.

/// Bit 7 of each byte: more follow.
const MORE: u64 = 0x8080_8080_8080_8080;
/// 1 in each byte.
const EACH: u64 = 0x0101_0101_0101_0101;

/// Appends `value`, seven bits a byte, low bits first.
#[inline]
pub(crate) fn put(into: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        into.push(value as u8);
    } else {
        put_long(into, value);
    }
}

/// All bytes at once: a loop would end after another number of them each time, which no processor foresees.
fn put_long(into: &mut Vec<u8>, value: u64) {
    let (low, mut high) = (spread(value), value >> 56);
    if high > 0 {
        into.extend_from_slice(&(low | MORE).to_le_bytes());
        while high >= 0x80 {
            into.push((high & 0x7f) as u8 | 0x80);
            high >>= 7;
        }
        return into.push(high as u8);
    }
    let length = length(value);
    let end = into.len().saturating_add(length as usize);
    into.extend_from_slice(&(low | (MORE & before_last(length))).to_le_bytes());
    into.truncate(end);
}

/// Seven bits of the low 56 in each byte.
#[inline]
fn spread(value: u64) -> u64 {
    let low = value & ((1 << 56) - 1);
    let low = (low & 0x0fff_ffff) | ((low & 0x00ff_ffff_f000_0000) << 4);
    let low = (low & 0x0000_3fff_0000_3fff) | ((low & 0x0fff_c000_0fff_c000) << 2);
    (low & 0x007f_007f_007f_007f) | ((low & 0x3f80_3f80_3f80_3f80) << 1)
}

/// How many bytes a value takes.
#[inline]
fn length(value: u64) -> u32 {
    u64::BITS.saturating_sub((value | 1).leading_zeros()).div_ceil(7)
}

/// The bits of all bytes but the last of so many, of which there are at most eight.
#[inline]
fn before_last(length: u32) -> u64 {
    1_u64.wrapping_shl(length.saturating_sub(1).saturating_mul(8)).wrapping_sub(1)
}

/// The bytes of `value`, and how many of them they are.
#[inline]
pub(crate) fn bytes(value: u64) -> ([u8; 10], usize) {
    let mut bytes = [0; 10];
    let length = length(value);
    if let Some(low) = bytes.first_chunk_mut::<8>() {
        let more = if length > 8 { MORE } else { MORE & before_last(length) };
        *low = (spread(value) | more).to_le_bytes();
    }
    if length > 8
        && let Some(high) = bytes.last_chunk_mut::<2>()
    {
        let more = if length > 9 { 0x80 } else { 0 };
        *high = [((value >> 56) & 0x7f) as u8 | more, (value >> 63) as u8];
    }
    (bytes, length as usize)
}

/// Appends a signed value, small magnitudes in few bytes.
pub(crate) fn put_signed(into: &mut Vec<u8>, value: i64) {
    put(into, zigzag(value));
}

/// Reads a value from the front of `bytes` and moves past it. `None`: it does not end, or exceeds 64 bits.
#[inline]
pub(crate) fn take(bytes: &mut &[u8]) -> Option<u64> {
    // Most are one byte long.
    let (first, rest) = bytes.split_first()?;
    if *first < 0x80 {
        *bytes = rest;
        return Some(u64::from(*first));
    }
    take_long(bytes)
}

#[inline]
fn take_long(bytes: &mut &[u8]) -> Option<u64> {
    if let Some(word) = bytes.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes)) {
        let ends = !word & MORE;
        if ends != 0 {
            let value = word & (ends ^ ends.wrapping_sub(1)) & !MORE;
            let value = (value & 0x007f_007f_007f_007f) | ((value & 0x7f00_7f00_7f00_7f00) >> 1);
            let value = (value & 0x0000_3fff_0000_3fff) | ((value & 0x3fff_0000_3fff_0000) >> 2);
            let value = (value & 0x0fff_ffff) | ((value & 0x0fff_ffff_0000_0000) >> 4);
            *bytes = bytes.get((ends.trailing_zeros() as usize / 8).saturating_add(1)..)?;
            return Some(value);
        }
    }
    take_any(bytes)
}

/// Near the end of the bytes, and what is longer than eight of them.
#[cold]
fn take_any(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for (index, shift) in (0..10_usize).zip((0_u32..).step_by(7)) {
        let byte = *bytes.get(index)?;
        let part = u64::from(byte & 0x7f);
        if shift == 63 && part > 1 {
            return None;
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            *bytes = bytes.get(index.saturating_add(1)..)?;
            return Some(value);
        }
    }
    None
}

/// Moves past `count` values without a look at what they are. `None`: there are not as many.
#[inline]
pub(crate) fn skip(bytes: &mut &[u8], mut count: u32) -> Option<()> {
    while count > 0 {
        let Some(word) = bytes.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes)) else {
            // Near the end of the bytes.
            let (first, rest) = bytes.split_first()?;
            count = count.saturating_sub(u32::from(*first < 0x80));
            *bytes = rest;
            continue;
        };
        // In each byte: how many values end there or before.
        let ended = ((!word & MORE) >> 7).wrapping_mul(EACH);
        let found = (ended >> 56) as u32;
        if found < count {
            count = count.saturating_sub(found);
            *bytes = bytes.get(8..)?;
        } else {
            // The first byte where it is `count`, found as a byte that is 0.
            let other = ended ^ u64::from(count).wrapping_mul(EACH);
            let equal = other.wrapping_sub(EACH) & !other & MORE;
            *bytes = bytes.get((equal.trailing_zeros() as usize / 8).saturating_add(1)..)?;
            count = 0;
        }
    }
    Some(())
}

/// The next `count` values, 1 to 8, as the bytes of a word, low ones first. `None`: one of them is 0 or longer than a byte,
/// or the bytes come to their end; nothing was taken.
#[inline]
pub(crate) fn take_small(bytes: &mut &[u8], count: u32) -> Option<u64> {
    let word = bytes.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes))?;
    let taken = u64::MAX.wrapping_shr(64_u32.wrapping_sub(count.wrapping_mul(8)));
    let word = word & taken;
    // What is not taken counts as 1.
    let full = word | (EACH & !taken);
    if (full | full.wrapping_sub(EACH)) & MORE != 0 {
        return None;
    }
    *bytes = bytes.get(count as usize..)?;
    Some(word)
}

/// The sum of the bytes of a word, none of which has bit 7.
#[inline]
pub(crate) fn sum_of_bytes(word: u64) -> u64 {
    const EVEN: u64 = 0x00ff_00ff_00ff_00ff;
    let pairs = (word & EVEN).wrapping_add((word >> 8) & EVEN);
    pairs.wrapping_mul(0x0001_0001_0001_0001) >> 48
}

/// Reads a value that [`put_signed`] wrote.
#[inline]
pub(crate) fn take_signed(bytes: &mut &[u8]) -> Option<i64> {
    take(bytes).map(unzigzag)
}

/// Appends bytes behind their length.
pub(crate) fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    put(into, bytes.len() as u64);
    into.extend_from_slice(bytes);
}

/// Reads what [`put_bytes`] wrote.
#[inline]
pub(crate) fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take(bytes)?).ok()?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

/// Small magnitudes as small numbers.
pub(crate) const fn zigzag(value: i64) -> u64 {
    (value.wrapping_shl(1) ^ (value >> 63)) as u64
}

/// What [`zigzag`] was made of.
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ ((value & 1) as i64).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn skipping_is_taking_without_a_look(
            values in prop::collection::vec(prop_oneof![0..300_u64, any::<u64>()], 0..40),
            count in 0_u32..45,
        ) {
            let mut bytes = Vec::new();
            values.iter().for_each(|value| put(&mut bytes, *value));
            let (mut skipped, mut taken) = (bytes.as_slice(), bytes.as_slice());
            let all = (0..count).try_for_each(|_| take(&mut taken).map(drop));
            prop_assert_eq!(skip(&mut skipped, count), all);
            if all.is_some() {
                prop_assert_eq!(skipped, taken);
            }
        }

        #[test]
        fn what_was_put_is_taken(value: u64, signed: i64, text: Vec<u8>) {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            put_bytes(&mut bytes, &text);
            put_signed(&mut bytes, signed);
            let mut rest = bytes.as_slice();
            prop_assert_eq!(take(&mut rest), Some(value));
            prop_assert_eq!(take_bytes(&mut rest), Some(text.as_slice()));
            prop_assert_eq!(take_signed(&mut rest), Some(signed));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn skipping_goes_as_far_as_taking(values: Vec<u64>, extra in proptest::collection::vec(0_u64..4, 0..40)) {
            let values = [values, extra].concat();
            let mut bytes = Vec::new();
            values.iter().for_each(|value| put(&mut bytes, *value));
            for count in 0..=values.len() {
                let (mut taken, mut skipped) = (bytes.as_slice(), bytes.as_slice());
                (0..count).for_each(|_| assert!(take(&mut taken).is_some()));
                prop_assert_eq!(skip(&mut skipped, count as u32), Some(()));
                prop_assert_eq!(taken, skipped);
            }
            prop_assert_eq!(skip(&mut bytes.as_slice(), (values.len() as u32).wrapping_add(1)), None);
        }

        #[test]
        fn small_values_are_taken_together(bytes in prop::collection::vec(prop_oneof![1..0x80_u8, 0_u8..], 0..12), count in 1..=8_u32) {
            let mut rest = bytes.as_slice();
            let word = take_small(&mut rest, count);
            let length = count as usize;
            let small = bytes.len() >= 8 && bytes[..length].iter().all(|byte| (1..0x80).contains(byte));
            prop_assert_eq!(word.is_some(), small);
            prop_assert_eq!(rest.len(), if small { bytes.len().saturating_sub(length) } else { bytes.len() });
            if let Some(word) = word {
                prop_assert_eq!(&word.to_le_bytes()[..length], &bytes[..length]);
                prop_assert_eq!(sum_of_bytes(word), bytes[..length].iter().copied().map(u64::from).sum::<u64>());
            }
        }

        #[test]
        fn any_bytes_are_a_value_or_none(bytes: Vec<u8>) {
            let mut rest = bytes.as_slice();
            while take(&mut rest).is_some() {}
        }
    }

    #[test]
    fn every_length_has_the_bytes_of_leb128_and_comes_back_whatever_follows() {
        for bits in 0..=64_u32 {
            for value in [
                1_u64.checked_shl(bits).unwrap_or(0).wrapping_sub(1),
                0x5555_5555_5555_5555 & 1_u64.checked_shl(bits).unwrap_or(0).wrapping_sub(1),
            ] {
                let mut plain = Vec::new();
                let mut rest = value;
                while rest >= 0x80 {
                    plain.push((rest & 0x7f) as u8 | 0x80);
                    rest >>= 7;
                }
                plain.push(rest as u8);
                let mut bytes = Vec::new();
                put(&mut bytes, value);
                assert_eq!(bytes, plain);
                let (bytes_of, length) = super::bytes(value);
                assert_eq!((&bytes_of[..length], length), (&*plain, plain.len()));
                for follows in [&[][..], &[0xff; 9][..], &[0; 9][..]] {
                    let bytes = [&bytes, follows].concat();
                    let mut rest = bytes.as_slice();
                    assert_eq!(take(&mut rest), Some(value));
                    assert_eq!(rest, follows);
                }
            }
        }
    }

    #[test]
    fn a_value_beyond_64_bits_is_refused() {
        let mut bytes = [0xff; 10].as_slice();
        assert_eq!(take(&mut bytes), None);
        let mut bytes = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02].as_slice();
        assert_eq!(take(&mut bytes), None);
    }
}
