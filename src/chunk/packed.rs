//! Full stretches of one series of floats in memory: what a file would hold of them, time column and body.

use super::{BodyKind, SeriesRows, corrupt, decode_series, encode_series};
use crate::codec::times::{put_times, take_times};
use crate::error::Result;
use crate::model::{SampleBuffer, Window};

/// Floats of one series, sealed in memory.
#[derive(Debug)]
pub(crate) struct PackedSamples {
    first: i64,
    last: i64,
    rows: u32,
    /// Where the body begins.
    body: u32,
    kind: BodyKind,
    bytes: Box<[u8]>,
}

impl PackedSamples {
    /// `None`: there are no samples, or they do not decode.
    pub(crate) fn of(rows: &SeriesRows) -> Option<Self> {
        let (first, last) = rows.time_range()?;
        let mut samples = SampleBuffer::default();
        // The window's open end leaves out the very first instant, which no sample may have.
        rows.read(Window::ALL, &mut samples).ok()?;
        let mut bytes = Vec::new();
        put_times(&mut bytes, &samples.times);
        let body = u32::try_from(bytes.len()).ok()?;
        let sealed = encode_series(&samples);
        bytes.extend_from_slice(&sealed.bytes);
        let rows = u32::try_from(samples.times.len()).ok()?;
        Some(Self { first, last, rows, body, kind: sealed.kind, bytes: bytes.into() })
    }

    /// Appends the samples inside the window.
    pub(crate) fn read(&self, window: Window, into: &mut SampleBuffer) -> Result<()> {
        let parts = self.bytes.split_at_checked(self.body as usize);
        let (mut times, body) = parts.ok_or_else(|| corrupt("a packed series ends early"))?;
        let times = take_times(&mut times, self.rows as usize);
        let times = times.ok_or_else(|| corrupt("the times of a packed series do not decode"))?;
        decode_series(self.kind, body, &times, window, into)
    }

    pub(crate) fn time_range(&self) -> (i64, i64) {
        (self.first, self.last)
    }

    /// Bytes of memory, those of the value itself included.
    pub(crate) fn byte_size(&self) -> usize {
        self.bytes.len().saturating_add(size_of::<Self>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_samples_come_back_bit_for_bit(
            samples in proptest::collection::vec((1_i64..1 << 40, any::<u64>(), 0_u8..4), 1..130),
            after in -(1_i64 << 40)..1 << 44,
        ) {
            let mut rows = SeriesRows::default();
            let (mut time, mut expected) = (-(1_i64 << 40), Vec::new());
            for (step, bits, kind) in samples {
                time = i64::saturating_add(time, if kind == 0 { step } else { 15_000 });
                let value = if kind < 2 { f64::from_bits(bits) } else { (bits >> 40) as f64 };
                rows.push(time, value);
                expected.push((time, value.to_bits()));
            }
            let packed = PackedSamples::of(&rows).unwrap();
            prop_assert_eq!(Some(packed.time_range()), rows.time_range());
            for window in [Window::ALL, Window::new(Timestamp::from_millis(after), Timestamp::MAX)] {
                let mut read = SampleBuffer::default();
                packed.read(window, &mut read).unwrap();
                let inside = expected.iter().copied().filter(|(time, _)| *time > window.after.as_millis());
                let bits = read.values.iter().map(|value| value.to_bits());
                prop_assert_eq!(
                    read.times.iter().copied().zip(bits).collect::<Vec<_>>(),
                    inside.collect::<Vec<_>>()
                );
            }
        }
    }
}
