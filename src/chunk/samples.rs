//! The recent past of a single series of floats: one to a few bytes a sample.
//!
//! ```text
//! sample  head  varint   bit 0: the step is another than before; bits 1, 2: form; the rest by form
//!         step  varint   zigzag: step less the step before, where bit 0 says so
//! form 0  the value as before
//!      1  rest: zigzag of k less the k before, with value = k / 10^scale
//!      2  rest: the new scale, 0 to 9;  then k, zigzag varint
//!      3  any bits, 8 bytes, little-endian
//! ```

use super::corrupt;
use crate::codec::varint;
use crate::error::Result;
use crate::model::{SampleBuffer, Window};

/// The largest magnitude of k.
const WHOLE: f64 = 9_007_199_254_740_992.0;
/// The longest sample.
const SAMPLE_ROOM: usize = 20;
/// Room made at once, for some thirty samples.
const ROOM: usize = 48;
const POWERS: [f64; 10] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// The newest value of a series: what the next one is told relative to. It starts as 0 with scale 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LastValue {
    pub(crate) bits: u64,
    pub(crate) scale: u8,
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

    /// Appends `value` and makes it the newest. `flag` is kept in bit 0; `between` comes behind the head.
    pub(crate) fn put(&mut self, value: f64, flag: bool, between: Option<i64>, into: &mut Vec<u8>) {
        let head = |form: u64, rest: u64| rest << 3 | form << 1 | u64::from(flag);
        let put_between = |into: &mut Vec<u8>| {
            if let Some(between) = between {
                varint::put_signed(into, between);
            }
        };
        let bits = value.to_bits();
        if bits == self.bits {
            varint::put(into, head(0, 0));
            return put_between(into);
        }
        if let Some(k) = scaled(value, self.scale) {
            let step = k.wrapping_sub(self.k());
            self.bits = bits;
            varint::put(into, head(1, varint::zigzag(step)));
            return put_between(into);
        }
        self.bits = bits;
        let scale = (0..10).find_map(|scale| Some((scale, scaled(value, scale)?)));
        match scale {
            Some((scale, k)) => {
                varint::put(into, head(2, u64::from(scale)));
                put_between(into);
                varint::put_signed(into, k);
                self.scale = scale;
            }
            None => {
                varint::put(into, head(3, 0));
                put_between(into);
                into.extend_from_slice(&bits.to_le_bytes());
            }
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

/// Floats of one series, in time order.
#[derive(Clone, Debug)]
pub(crate) struct SeriesRows {
    /// The newest value, in parts: a value of its own would leave half of its room empty.
    bits: u64,
    scale: u8,
    count: u32,
    first: i64,
    time: i64,
    step: i64,
    bytes: Vec<u8>,
}

impl Default for SeriesRows {
    fn default() -> Self {
        Self { bits: 0, scale: 0, count: 0, first: 0, time: i64::MIN, step: 0, bytes: Vec::new() }
    }
}

impl SeriesRows {
    /// Takes the samples out. The newest value stays.
    pub(crate) fn take_samples(&mut self) -> Self {
        let mut taken = Self::default();
        std::mem::swap(&mut taken, self);
        (self.bits, self.time) = (taken.bits, taken.time);
        taken.bytes.shrink_to_fit();
        taken
    }

    /// Appends a sample later than all before it.
    pub(crate) fn push(&mut self, time: i64, value: f64) {
        if self.count == 0 {
            (self.first, self.time, self.step) = (time, time, 0);
            (self.bits, self.scale) = (0, 0);
        }
        let (length, capacity) = (self.bytes.len(), self.bytes.capacity());
        if capacity.saturating_sub(length) < SAMPLE_ROOM {
            self.bytes.reserve_exact(ROOM.max(length / 4));
        }
        let step = time.wrapping_sub(self.time);
        let change = step.wrapping_sub(self.step);
        let mut last = LastValue { bits: self.bits, scale: self.scale };
        last.put(value, change != 0, (change != 0).then_some(change), &mut self.bytes);
        (self.bits, self.scale) = (last.bits, last.scale);
        (self.time, self.step) = (time, step);
        self.count = self.count.saturating_add(1);
    }

    /// Time and bits of the newest sample, which may have been taken out.
    pub(crate) fn last(&self) -> Option<(i64, u64)> {
        (self.time > i64::MIN).then_some((self.time, self.bits))
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// First and last time; `None` without a sample.
    pub(crate) fn time_range(&self) -> Option<(i64, i64)> {
        (self.count > 0).then_some((self.first, self.time))
    }

    pub(crate) fn byte_size(&self) -> usize {
        self.bytes.capacity().saturating_add(size_of::<Self>())
    }

    /// Appends the samples inside the window.
    pub(crate) fn read(&self, window: Window, into: &mut SampleBuffer) -> Result<()> {
        let (after, until) = (window.after.as_millis(), window.until.as_millis());
        if self.count == 0 || self.time <= after || self.first > until {
            return Ok(());
        }
        let (mut bytes, mut value) = (self.bytes.as_slice(), LastValue::default());
        let (mut time, mut step) = (self.first, 0_i64);
        for _ in 0..self.count {
            let (value, change) =
                value.take(&mut bytes).ok_or_else(|| corrupt("a sample does not decode"))?;
            step = step.wrapping_add(change.unwrap_or(0));
            time = time.wrapping_add(step);
            if time > until {
                break;
            }
            if time > after {
                into.push_float(time, value, 0);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use super::*;
    use crate::model::Timestamp;
    use proptest::prelude::*;

    fn check(samples: &[(i64, u64)], window: Window) -> usize {
        let mut rows = SeriesRows::default();
        for (time, bits) in samples {
            rows.push(*time, f64::from_bits(*bits));
        }
        let taken = rows.take_samples();
        assert_eq!((rows.count(), taken.count() as usize), (0, samples.len()));
        let mut read = SampleBuffer::default();
        taken.read(window, &mut read).unwrap();
        let got: Vec<(i64, u64)> =
            read.times.into_iter().zip(read.values.into_iter().map(f64::to_bits)).collect();
        let inside = |time: i64| window.after.as_millis() < time && time <= window.until.as_millis();
        assert_eq!(got, samples.iter().copied().filter(|(time, _)| inside(*time)).collect::<Vec<_>>());
        taken.bytes.len()
    }

    proptest! {
        #[test]
        fn any_samples_come_back(
            samples in proptest::collection::vec((1_i64..1 << 40, 0_u8..6, any::<u64>()), 1..150),
            after in 0_i64..1 << 44,
        ) {
            let (mut time, mut value) = (-(1_i64 << 40), 0.0_f64);
            let samples: Vec<(i64, u64)> = samples
                .iter()
                .map(|(step, kind, bits)| {
                    time += if *kind < 3 { 15_000 } else { *step };
                    value = match kind {
                        0 => value,
                        1 | 3 => value + (bits & 0xff) as f64,
                        2 => (bits & 0xfffff) as f64 / 1000.0,
                        _ => f64::from_bits(*bits),
                    };
                    (time, value.to_bits())
                })
                .collect();
            check(&samples, Window::ALL);
            check(&samples, Window::new(Timestamp::from_millis(after), Timestamp::MAX));
        }

        #[test]
        fn any_bytes_are_values_or_refused(bytes: Vec<u8>) {
            let (mut rest, mut value) = (bytes.as_slice(), LastValue::default());
            while value.take(&mut rest).is_some() {}
        }
    }

    #[test]
    fn extreme_times_and_values_come_back() {
        let values =
            [0.0, -0.0, f64::NAN, f64::INFINITY, f64::MIN, f64::MAX, 5e-324, WHOLE, -WHOLE, 0.1, 1e9];
        let samples: Vec<(i64, u64)> = values
            .iter()
            .enumerate()
            .map(|(index, value)| (i64::MAX - 100 + index as i64, value.to_bits()))
            .collect();
        check(&samples, Window::ALL);
        check(&[(i64::MIN + 1, 1), (i64::MAX, 2)], Window::ALL);
    }

    #[test]
    fn a_counter_takes_a_byte_or_two_and_a_decimal_no_more() {
        let counter: Vec<(i64, u64)> =
            (0..100_i64).map(|i| (i * 15_000, ((i * 7) as f64).to_bits())).collect();
        assert!(check(&counter, Window::ALL) <= 110);
        let decimal: Vec<(i64, u64)> =
            (0..100_i64).map(|i| (i * 15_000, ((i * 7) as f64 / 100.0).to_bits())).collect();
        assert!(check(&decimal, Window::ALL) <= 120);
    }
}
