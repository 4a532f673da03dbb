//! Samples and the buffers that they are read into.

use std::sync::Arc;

use super::{NativeHistogram, Timestamp};

/// The bits that mark a series as ended. A signalling NaN: compare bits, never compute with it.
const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The value that marks a series as ended, as Prometheus stores it.
///
/// Its bits carry the meaning, so it must not pass through arithmetic.
pub const fn stale_marker() -> f64 {
    f64::from_bits(STALE_BITS)
}

/// Whether `value` is the staleness marker; any other NaN is an ordinary value.
pub const fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_BITS
}

/// What one sample holds.
#[derive(Clone, Debug)]
pub enum SampleValue {
    /// A float: counters, gauges, and each series of a classic histogram.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<NativeHistogram>),
}

/// One observation of one series.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When it was observed.
    pub timestamp: Timestamp,
    /// What was observed.
    pub value: SampleValue,
    /// When the counter behind it started to count, if the source says so.
    pub start: Option<Timestamp>,
}

impl Sample {
    /// A float sample without start time.
    #[inline]
    pub const fn float(timestamp: Timestamp, value: f64) -> Self {
        Self { timestamp, value: SampleValue::Float(value), start: None }
    }

    /// Whether this sample marks the end of its series.
    pub fn is_stale(&self) -> bool {
        match &self.value {
            SampleValue::Float(value) => is_stale(*value),
            SampleValue::Histogram(histogram) => is_stale(histogram.sum),
        }
    }
}

/// Samples of one series in time order, as columns. Staleness markers are included.
///
/// Floats and histograms stand in columns of their own, each in time order; a time occurs in one of them only.
#[derive(Clone, Debug, Default)]
pub struct SampleBuffer {
    /// Times of the floats, in milliseconds since the epoch.
    pub times: Vec<i64>,
    /// The floats, as many as `times`.
    pub values: Vec<f64>,
    /// Start times of the floats in milliseconds, 0 where unknown: empty, or as many as `times`.
    pub starts: Vec<i64>,
    /// The histograms: time in milliseconds, value, start time in milliseconds (0 where unknown).
    pub histograms: Vec<(i64, Arc<NativeHistogram>, i64)>,
}

impl SampleBuffer {
    /// Forgets the samples and keeps the memory.
    pub fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.starts.clear();
        self.histograms.clear();
    }

    /// Appends a float; `start` is 0 where the start time is unknown. Times must rise.
    pub fn push_float(&mut self, time: i64, value: f64, start: i64) {
        if start != 0 && self.starts.is_empty() {
            self.starts.resize(self.times.len(), 0);
        }
        self.times.push(time);
        self.values.push(value);
        if start != 0 || !self.starts.is_empty() {
            self.starts.push(start);
        }
    }

    /// Appends the samples of another buffer, which are later.
    pub(crate) fn extend(&mut self, later: &Self) {
        if !later.starts.is_empty() || !self.starts.is_empty() {
            self.starts.resize(self.times.len(), 0);
            self.starts.extend_from_slice(&later.starts);
            self.starts.resize(self.times.len().saturating_add(later.times.len()), 0);
        }
        self.times.extend_from_slice(&later.times);
        self.values.extend_from_slice(&later.values);
        self.histograms.extend_from_slice(&later.histograms);
    }

    /// How many samples there are, of both kinds.
    pub fn len(&self) -> usize {
        self.times.len().saturating_add(self.histograms.len())
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty() && self.histograms.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_bits_are_a_stale_marker() {
        assert!(is_stale(stale_marker()));
        assert!(!is_stale(f64::NAN));
        assert!(!is_stale(f64::from_bits(0x7ff8_0000_0000_0001)));
        assert!(stale_marker().is_nan());
    }

    #[test]
    fn start_times_appear_only_when_one_is_known() {
        let mut buffer = SampleBuffer::default();
        buffer.push_float(1, 1.0, 0);
        assert!(buffer.starts.is_empty());
        buffer.push_float(2, 1.0, 1);
        buffer.push_float(3, 1.0, 0);
        assert_eq!(buffer.starts, [0, 1, 0]);
    }

    #[test]
    fn start_times_stay_when_buffers_are_joined() {
        let buffer = |samples: &[(i64, i64)]| {
            let mut buffer = SampleBuffer::default();
            samples.iter().for_each(|(time, start)| buffer.push_float(*time, 1.0, *start));
            buffer
        };
        let joined = |a: &[(i64, i64)], b: &[(i64, i64)]| {
            let mut joined = buffer(a);
            joined.extend(&buffer(b));
            joined.starts
        };
        assert_eq!(joined(&[(1, 0)], &[(2, 0)]), [0; 0]);
        assert_eq!(joined(&[(1, 0)], &[(2, 1)]), [0, 1]);
        assert_eq!(joined(&[(1, 1)], &[(2, 0)]), [1, 0]);
        // The first may hold histograms only.
        assert_eq!(joined(&[], &[(2, 1), (3, 0)]), [1, 0]);
    }
}
