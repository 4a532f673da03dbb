//! One series, or one classic histogram, over one stretch of time; and how it is read.
//!
//! Chunk bytes do not know what holds them. Reading takes them as hostile: damage is an error, never a panic.
#![deny(clippy::arithmetic_side_effects)]

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod law;
mod layout;
mod rows;
mod xor;

pub(crate) use layout::{Column, Layout};
pub use rows::FamilyBuffer;
pub(crate) use rows::{FamilyRows, RowsBuilder};
pub(crate) use xor::XorChunk;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{SampleBuffer, Window};

/// A stretch of samples, immutable.
#[derive(Debug)]
pub(crate) enum Chunk {
    /// Uncompressed columns of one series: what no codec takes, and what a fixture or a remote source hands over.
    Columns(SampleBuffer),
    /// Floats of one series.
    Xor(XorChunk),
    /// Rows of one classic histogram.
    Rows(FamilyRows),
}

impl Chunk {
    /// Appends the samples of one column that lie inside the window; a chunk of a single series has column 0 only.
    pub(crate) fn read(&self, column: usize, window: Window, into: &mut SampleBuffer) -> Result<()> {
        match self {
            Self::Columns(samples) => {
                read_columns(samples, window, into);
                Ok(())
            }
            Self::Xor(chunk) => chunk.read(window, into),
            Self::Rows(rows) => rows.read_column(column, window, into),
        }
    }

    /// Bytes of memory that the chunk holds.
    pub(crate) fn byte_size(&self) -> usize {
        match self {
            Self::Columns(samples) => columns_size(samples),
            Self::Xor(chunk) => chunk.byte_size(),
            Self::Rows(rows) => rows.byte_size(),
        }
    }

    /// First and last time; `None` without a sample.
    pub(crate) fn time_range(&self) -> Option<(i64, i64)> {
        match self {
            Self::Columns(samples) => columns_range(samples),
            Self::Xor(chunk) => Some(chunk.time_range()),
            Self::Rows(rows) => rows.time_range(),
        }
    }
}

/// Whether a stretch of samples from a first to a last time may have one inside the window.
pub(crate) fn touches(range: Option<(i64, i64)>, window: Window) -> bool {
    range.is_some_and(|(first, last)| last > window.after.as_millis() && first <= window.until.as_millis())
}

/// Bytes of memory that uncompressed columns hold.
pub(crate) fn columns_size(samples: &SampleBuffer) -> usize {
    let floats = samples.times.capacity().saturating_add(samples.values.capacity());
    let floats = floats.saturating_add(samples.starts.capacity()).saturating_mul(8);
    let histograms = samples.histograms.iter().map(|(_, histogram, _)| {
        let buckets = histogram.positive_buckets.len().saturating_add(histogram.negative_buckets.len());
        let spans = histogram.positive_spans.len().saturating_add(histogram.negative_spans.len());
        let values = buckets.saturating_add(spans).saturating_add(histogram.custom_values.len());
        values.saturating_mul(8).saturating_add(size_of_val(&**histogram)).saturating_add(40)
    });
    histograms.fold(floats, usize::saturating_add)
}

/// First and last time of uncompressed columns.
pub(crate) fn columns_range(samples: &SampleBuffer) -> Option<(i64, i64)> {
    let floats = samples.times.first().zip(samples.times.last());
    let histograms = samples.histograms.first().zip(samples.histograms.last());
    let histograms = histograms.map(|(first, last)| (&first.0, &last.0));
    match (floats, histograms) {
        (Some((a, b)), Some((c, d))) => Some((*a.min(c), *b.max(d))),
        (Some((a, b)), None) | (None, Some((a, b))) => Some((*a, *b)),
        (None, None) => None,
    }
}

fn read_columns(samples: &SampleBuffer, window: Window, into: &mut SampleBuffer) {
    let (after, until) = (window.after.as_millis(), window.until.as_millis());
    let from = samples.times.partition_point(|time| *time <= after);
    let to = samples.times.partition_point(|time| *time <= until);
    let times = samples.times.get(from..to).unwrap_or_default();
    let values = samples.values.get(from..to).unwrap_or_default();
    if samples.starts.is_empty() && into.starts.is_empty() {
        into.times.extend_from_slice(times);
        into.values.extend_from_slice(values);
    } else {
        let starts = samples.starts.get(from..to).unwrap_or_default();
        let starts = starts.iter().copied().chain(std::iter::repeat(0));
        for ((time, value), start) in times.iter().zip(values).zip(starts) {
            into.push_float(*time, *value, start);
        }
    }
    let from = samples.histograms.partition_point(|(time, ..)| *time <= after);
    let to = samples.histograms.partition_point(|(time, ..)| *time <= until);
    into.histograms.extend_from_slice(samples.histograms.get(from..to).unwrap_or_default());
}

fn corrupt(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("chunk is damaged: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    #[test]
    fn columns_are_read_by_window() {
        let mut samples = SampleBuffer::default();
        for time in 0..10_i32 {
            samples.push_float(i64::from(time), f64::from(time), 0);
        }
        let chunk = Chunk::Columns(samples);
        let mut read = SampleBuffer::default();
        let window = Window::new(Timestamp::from_millis(3), Timestamp::from_millis(6));
        chunk.read(0, window, &mut read).unwrap();
        assert_eq!(read.times, [4, 5, 6]);
        assert_eq!(chunk.time_range(), Some((0, 9)));
    }
}
