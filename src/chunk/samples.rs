//! One float of a single series, told relative to the one before: one to a few bytes.
//!
//! ```text
//! sample  head  varint   bit 0: a flag of the caller's; bits 1, 2: form; the rest by form
//!         more  varint   zigzag: a number of the caller's, where the flag is set
//! form 0  the value as before
//!      1  rest: zigzag of k less the k before, with value = k / 10^scale
//!      2  rest: the new scale, 0 to 9;  then k, zigzag varint
//!      3  any bits, 8 bytes, little-endian
//! ```

use crate::codec::varint;

/// The largest magnitude of k.
const WHOLE: f64 = 9_007_199_254_740_992.0;
const POWERS: [f64; 10] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// The newest value of a series: what the next one is told relative to. It starts as 0 with scale 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LastValue {
    pub(crate) bits: u64,
    pub(crate) scale: u8,
}

/// A value relative to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ToldValue {
    Same,
    /// k less the k before.
    Step(i64),
    /// The new scale, and k.
    Scaled(u8, i64),
    Bits(u64),
}

impl ToldValue {
    /// The form, and the rest above it.
    #[inline]
    pub(super) fn head(self) -> u64 {
        match self {
            Self::Same => 0,
            Self::Step(step) => varint::zigzag(step) << 2 | 1,
            Self::Scaled(scale, _) => u64::from(scale) << 2 | 2,
            Self::Bits(_) => 3,
        }
    }
}

/// k / 10^scale.
#[inline]
pub(super) fn unscaled(k: i64, scale: u8) -> Option<f64> {
    Some(k as f64 / *POWERS.get(usize::from(scale))?)
}

/// `value` as k, if that is exact.
fn scaled(value: f64, scale: u8) -> Option<i64> {
    let power = *POWERS.get(usize::from(scale))?;
    let float = (value * power).round();
    let k = float as i64;
    let exact = float.abs() <= WHOLE && (k as f64 / power).to_bits() == value.to_bits();
    exact.then_some(k)
}

impl LastValue {
    /// The k of the newest value; 0 if it has none.
    fn k(self) -> i64 {
        scaled(f64::from_bits(self.bits), self.scale).unwrap_or(0)
    }

    /// How `value` is told, which is the newest from here on.
    #[inline]
    pub(super) fn tell(&mut self, value: f64) -> ToldValue {
        let bits = value.to_bits();
        if bits == self.bits {
            return ToldValue::Same;
        }
        let known = scaled(value, self.scale).map(|k| k.wrapping_sub(self.k()));
        self.bits = bits;
        if let Some(step) = known {
            return ToldValue::Step(step);
        }
        match (0..10).find_map(|scale| Some((scale, scaled(value, scale)?))) {
            Some((scale, k)) => {
                self.scale = scale;
                ToldValue::Scaled(scale, k)
            }
            None => ToldValue::Bits(bits),
        }
    }

    /// Appends `value` and makes it the newest. `flag` is kept in bit 0; `between` comes behind the head.
    pub(crate) fn put(&mut self, value: f64, flag: bool, between: Option<i64>, into: &mut Vec<u8>) {
        let told = self.tell(value);
        varint::put(into, told.head() << 1 | u64::from(flag));
        if let Some(between) = between {
            varint::put_signed(into, between);
        }
        match told {
            ToldValue::Same | ToldValue::Step(_) => {}
            ToldValue::Scaled(_, k) => varint::put_signed(into, k),
            ToldValue::Bits(bits) => into.extend_from_slice(&bits.to_le_bytes()),
        }
    }

    /// Takes a value from the front of `bytes`, and what stands behind its head if the flag is set. `None`: damaged.
    pub(crate) fn take(&mut self, bytes: &mut &[u8]) -> Option<(f64, Option<i64>)> {
        let head = varint::take(bytes)?;
        let between = if head & 1 == 1 { Some(varint::take_signed(bytes)?) } else { None };
        match head >> 1 & 3 {
            0 => {}
            1 => {
                let k = self.k().checked_add(varint::unzigzag(head >> 3))?;
                self.bits = (k as f64 / *POWERS.get(usize::from(self.scale))?).to_bits();
            }
            2 => {
                self.scale = u8::try_from(head >> 3).ok().filter(|scale| *scale < 10)?;
                let k = varint::take_signed(bytes)?;
                self.bits = (k as f64 / *POWERS.get(usize::from(self.scale))?).to_bits();
            }
            _ => {
                let (bits, rest) = bytes.split_first_chunk::<8>()?;
                *bytes = rest;
                self.bits = u64::from_le_bytes(*bits);
            }
        }
        Some((f64::from_bits(self.bits), between))
    }
}

/// Moves past a value without a flag. `None`: damaged; not all damage is seen.
pub(crate) fn skip_value(bytes: &mut &[u8]) -> Option<()> {
    match varint::take(bytes)? >> 1 & 3 {
        0 | 1 => {}
        2 => varint::skip(bytes, 1)?,
        _ => *bytes = bytes.get(8..)?,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_come_back(values in proptest::collection::vec((0_u8..4, any::<u64>(), any::<Option<i64>>()), 0..60)) {
            let (mut bytes, mut last, mut value) = (Vec::new(), LastValue::default(), 0.0_f64);
            let mut told = Vec::new();
            for (kind, bits, between) in values {
                value = match kind {
                    0 => value,
                    1 => value + (bits & 0xff) as f64,
                    2 => (bits & 0xfffff) as f64 / 1000.0,
                    _ => f64::from_bits(bits),
                };
                last.put(value, between.is_some(), between, &mut bytes);
                told.push((value.to_bits(), between));
            }
            let (mut rest, mut read) = (bytes.as_slice(), LastValue::default());
            for (bits, between) in told {
                let taken = read.take(&mut rest).map(|(value, between)| (value.to_bits(), between));
                prop_assert_eq!(taken, Some((bits, between)));
            }
            prop_assert!(rest.is_empty() && read == last);
        }

        #[test]
        fn any_bytes_are_values_or_refused(bytes: Vec<u8>) {
            let (mut rest, mut value) = (bytes.as_slice(), LastValue::default());
            while value.take(&mut rest).is_some() {}
        }
    }
}
