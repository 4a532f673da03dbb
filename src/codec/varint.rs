//! LEB128 integers, and zigzag for signed ones.

/// Appends `value`, seven bits a byte, low bits first.
pub(crate) fn put(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
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

fn take_long(bytes: &mut &[u8]) -> Option<u64> {
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

/// Reads a value that [`put_signed`] wrote.
#[inline]
pub(crate) fn take_signed(bytes: &mut &[u8]) -> Option<i64> {
    take(bytes).map(unzigzag)
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
        fn what_was_put_is_taken(value: u64, signed: i64) {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            put_signed(&mut bytes, signed);
            let mut rest = bytes.as_slice();
            prop_assert_eq!(take(&mut rest), Some(value));
            prop_assert_eq!(take_signed(&mut rest), Some(signed));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn any_bytes_are_a_value_or_none(bytes: Vec<u8>) {
            let mut rest = bytes.as_slice();
            while take(&mut rest).is_some() {}
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
