//! One series as bits: delta of delta for the times, XOR for the values, as Gorilla and Prometheus do it.
//!
//! ```text
//! first sample    time: 64 bits                     value: 64 bits
//! second          delta: prefix code below          value: XOR below
//! further ones    delta of delta: prefix code       value: XOR below
//!
//! time   0                      the same again          value  0           the same bits
//!        10   + 14 bits         -8191 … 8192                   10 + bits   inside the last window of bits
//!        110  + 17 bits         -65535 … 65536                 11 + 5 bits leading zeros + 6 bits length (0: 64) + bits
//!        1110 + 20 bits         -524287 … 524288
//!        1111 + 64 bits         any
//! ```

use super::bits::{BitReader, BitWriter};

#[cfg(any(test, feature = "fuzzing"))]
/// Prefix length, prefix, and payload bits of the classes of delta of delta.
const CLASSES: [(u32, u64, u32); 3] = [(2, 0b10, 14), (3, 0b110, 17), (4, 0b1110, 20)];

#[cfg(any(test, feature = "fuzzing"))]
/// Encodes samples as they come.
#[derive(Clone, Debug, Default)]
pub(crate) struct XorEncoder {
    bits: BitWriter,
    count: u32,
    time: i64,
    delta: i64,
    value: Value,
}

/// The last value, and the window of bits that differ.
#[derive(Clone, Debug, Default)]
struct Value {
    bits: u64,
    leading: u32,
    /// 0 before there is a window.
    length: u32,
}

impl Value {
    fn put(&mut self, bits: &mut BitWriter, value: u64) {
        let xor = value ^ self.bits;
        self.bits = value;
        if xor == 0 {
            bits.put(0, 1);
            return;
        }
        let leading = xor.leading_zeros().min(31);
        let trailing = xor.trailing_zeros();
        let window_end = 64_u32.saturating_sub(self.leading).saturating_sub(self.length);
        if self.length != 0 && leading >= self.leading && trailing >= window_end {
            bits.put(0b10, 2);
            bits.put(xor >> window_end, self.length);
        } else {
            self.leading = leading;
            self.length = 64_u32.saturating_sub(leading).saturating_sub(trailing);
            bits.put(0b11, 2);
            bits.put(u64::from(leading), 5);
            bits.put(u64::from(self.length) & 63, 6);
            bits.put(xor >> trailing, self.length);
        }
    }

    fn take(&mut self, bits: &mut BitReader<'_>) -> Option<u64> {
        if bits.bit()? {
            if bits.bit()? {
                self.leading = bits.take(5)? as u32;
                let length = bits.take(6)? as u32;
                self.length = if length == 0 { 64 } else { length };
            } else if self.length == 0 {
                return None;
            }
            let end = 64_u32.checked_sub(self.leading)?.checked_sub(self.length)?;
            self.bits ^= bits.take(self.length)? << end;
        }
        Some(self.bits)
    }
}

/// The values of a column without their times: the first as 64 bits, then each as after a first sample.
pub(crate) fn put_values(values: &[f64]) -> Vec<u8> {
    let (mut bits, mut last) = (BitWriter::default(), Value::default());
    for (row, value) in values.iter().enumerate() {
        if row == 0 {
            last.bits = value.to_bits();
            bits.put(last.bits, 64);
        } else {
            last.put(&mut bits, value.to_bits());
        }
    }
    bits.bytes().to_vec()
}

/// Appends `rows` values that [`put_values`] wrote. `None`: there are fewer, or bytes are left.
pub(crate) fn take_values(bytes: &[u8], rows: usize, into: &mut Vec<f64>) -> Option<()> {
    // The first value has 64 bits, a further one at least one.
    if rows > bytes.len().saturating_mul(8) {
        return None;
    }
    let (mut bits, mut last) = (BitReader::new(bytes), Value::default());
    into.reserve(rows);
    for row in 0..rows {
        last.bits = if row == 0 { bits.take(64)? } else { last.take(&mut bits)? };
        into.push(f64::from_bits(last.bits));
    }
    bits.rest().is_empty().then_some(())
}

#[cfg(any(test, feature = "fuzzing"))]
impl XorEncoder {
    /// Appends a sample; times may have any order, rising ones are short.
    pub(crate) fn push(&mut self, time: i64, value: f64) {
        let value = value.to_bits();
        if self.count == 0 {
            self.bits.put(time as u64, 64);
            self.bits.put(value, 64);
        } else {
            let delta = time.wrapping_sub(self.time);
            self.put_time(delta.wrapping_sub(self.delta));
            self.value.put(&mut self.bits, value);
            self.delta = delta;
        }
        self.time = time;
        self.value.bits = value;
        self.count = self.count.saturating_add(1);
    }

    fn put_time(&mut self, change: i64) {
        if change == 0 {
            self.bits.put(0, 1);
            return;
        }
        for (prefix_bits, prefix, bits) in CLASSES {
            let half = 1_i64 << bits.saturating_sub(1);
            if change > half.wrapping_neg() && change <= half {
                self.bits.put(prefix, prefix_bits);
                self.bits.put(change as u64, bits);
                return;
            }
        }
        self.bits.put(0b1111, 4);
        self.bits.put(change as u64, 64);
    }

    /// How many samples there are.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The bytes so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bits.bytes()
    }
}

#[cfg(any(test, feature = "fuzzing"))]
/// Yields the samples of `count` in `bytes`. Ends early, with [`complete`](Self::complete) false, where bytes are missing.
#[derive(Clone, Debug)]
pub(crate) struct XorDecoder<'a> {
    bits: BitReader<'a>,
    left: u32,
    first: bool,
    failed: bool,
    time: i64,
    delta: i64,
    value: Value,
}

#[cfg(any(test, feature = "fuzzing"))]
impl<'a> XorDecoder<'a> {
    pub(crate) fn new(bytes: &'a [u8], count: u32) -> Self {
        Self {
            bits: BitReader::new(bytes),
            left: count,
            first: true,
            failed: false,
            time: 0,
            delta: 0,
            value: Value::default(),
        }
    }

    /// Whether every sample was there; asked after the last one.
    pub(crate) fn complete(&self) -> bool {
        !self.failed
    }

    fn decode(&mut self) -> Option<()> {
        if self.first {
            self.time = self.bits.take(64)? as i64;
            self.value.bits = self.bits.take(64)?;
            self.first = false;
            return Some(());
        }
        let change = self.take_change()?;
        self.delta = self.delta.wrapping_add(change);
        self.time = self.time.wrapping_add(self.delta);
        self.value.take(&mut self.bits)?;
        Some(())
    }

    fn take_change(&mut self) -> Option<i64> {
        if !self.bits.bit()? {
            return Some(0);
        }
        for (_, _, bits) in CLASSES {
            if !self.bits.bit()? {
                let raw = self.bits.take(bits)? as i64;
                let half = 1_i64 << bits.saturating_sub(1);
                return Some(if raw > half { raw.wrapping_sub(1_i64 << bits) } else { raw });
            }
        }
        self.bits.take(64).map(|raw| raw as i64)
    }
}

#[cfg(any(test, feature = "fuzzing"))]
impl Iterator for XorDecoder<'_> {
    type Item = (i64, f64);

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 || self.failed {
            return None;
        }
        self.left = self.left.saturating_sub(1);
        if self.decode().is_none() {
            self.failed = true;
            return None;
        }
        Some((self.time, f64::from_bits(self.value.bits)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(samples: &[(i64, u64)]) {
        let mut encoder = XorEncoder::default();
        for (time, bits) in samples {
            encoder.push(*time, f64::from_bits(*bits));
        }
        let mut decoder = XorDecoder::new(encoder.bytes(), encoder.count());
        let back: Vec<_> = decoder.by_ref().map(|(time, value)| (time, value.to_bits())).collect();
        assert!(decoder.complete());
        assert_eq!(back, samples);
    }

    proptest! {
        #[test]
        fn every_bit_comes_back(samples: Vec<(i64, u64)>) {
            round_trip(&samples);
        }

        #[test]
        fn counters_come_back(start: i64, steps: Vec<(i32, u16)>) {
            let mut time = start;
            let mut value = 0.0_f64;
            let samples: Vec<_> = steps
                .iter()
                .map(|(step, increment)| {
                    time = time.wrapping_add(i64::from(*step));
                    value += f64::from(*increment) / 8.0;
                    (time, value.to_bits())
                })
                .collect();
            round_trip(&samples);
        }

        #[test]
        fn values_alone_come_back(values: Vec<u64>, repeats in 1_usize..4) {
            let values: Vec<f64> = values.iter().flat_map(|v| vec![f64::from_bits(*v); repeats]).collect();
            let bytes = put_values(&values);
            let mut read = Vec::new();
            take_values(&bytes, values.len(), &mut read).unwrap();
            prop_assert!(read.iter().map(|v| v.to_bits()).eq(values.iter().map(|v| v.to_bits())));
            if let Some(end) = bytes.len().checked_sub(1) {
                prop_assert!(take_values(&bytes[..end], values.len(), &mut Vec::new()).is_none());
            }
        }

        #[test]
        fn any_bytes_are_samples_or_an_end(bytes: Vec<u8>, count in 0_u32..1000) {
            let mut decoder = XorDecoder::new(&bytes, count);
            let decoded = decoder.by_ref().count();
            prop_assert!(decoder.complete() == (decoded == count as usize));
        }
    }

    #[test]
    fn the_borders_of_the_time_classes_come_back() {
        let mut time = 0_i64;
        let mut samples = vec![(0, 1)];
        for change in [8192, 8193, -8191, -8192, 65536, 65537, -65535, -65536, 524_288, 524_289, -524_287] {
            for sign in [1, -1] {
                time += 100_000_000 + sign * change;
                samples.push((time, 2));
            }
        }
        round_trip(&samples);
    }

    #[test]
    fn a_regular_counter_takes_few_bytes() {
        let mut encoder = XorEncoder::default();
        for i in 0..120_i32 {
            encoder.push(1_700_000_000_000 + i64::from(i) * 15_000, 1000.0);
        }
        assert!(encoder.bytes().len() < 64, "{} bytes", encoder.bytes().len());
    }
}
