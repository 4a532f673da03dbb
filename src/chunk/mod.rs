//! One series, or one classic histogram, over one stretch of time; and how it is read.
//!
//! Chunk bytes do not know what holds them. Reading takes them as hostile: damage is an error, never a panic.
#![deny(clippy::arithmetic_side_effects)]

mod body;
mod family;
mod group;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod law;
mod layout;
mod masked;
mod merged;
mod packed;
mod rows;
mod samples;
mod series;
mod series_rows;

pub(crate) use body::{Body, BodyKind};
pub(crate) use family::{Wanted, decode_family, decode_family_column, encode_family};
pub(crate) use layout::{Column, Layout};
pub(crate) use masked::{Hidden, Masked};
pub(crate) use merged::{Merged, is_rising, overlapping};
pub(crate) use packed::PackedSamples;
pub use rows::FamilyBuffer;
pub(crate) use rows::{FamilyEnds, FamilyRows, LastRow, RowShape, Told, skip_row};
pub(crate) use samples::{LastValue, skip_value};
pub(crate) use series::{decode_series, encode_series};
pub(crate) use series_rows::SeriesRows;

use std::borrow::Cow;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{NativeHistogram, SampleBuffer, Timestamp, Window};

/// A chunk as it lies in a file.
#[derive(Debug)]
pub(crate) struct Loaded<'a> {
    pub(crate) kind: BodyKind,
    pub(crate) times: Arc<[i64]>,
    /// Which of the times are the chunk's.
    pub(crate) rows: Range<usize>,
    /// What stands before the body, and the body.
    pub(crate) bytes: Cow<'a, [u8]>,
    pub(crate) body: usize,
}

/// Where sealed chunks lie.
pub(crate) trait SealedChunks: Debug + Send + Sync {
    /// Reads and verifies a chunk.
    ///
    /// # Errors
    ///
    /// `Corrupt` or `Io`.
    fn load(&self, place: Place) -> Result<Loaded<'_>>;
}

/// Where rows lie that still grow elsewhere, as they were at one moment.
pub(crate) trait OpenRows: Debug + Send + Sync {
    fn rows(&self, place: u32) -> Option<&FamilyRows>;
}

/// Where a sealed chunk lies in its file, and which times it spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) length: u32,
    pub(crate) first: i64,
    pub(crate) last: i64,
}

/// A sealed chunk of a file.
#[derive(Clone, Debug)]
pub(crate) struct SealedChunk {
    pub(crate) file: Arc<dyn SealedChunks>,
    pub(crate) place: Place,
    /// The columns, if it is a classic histogram's.
    pub(crate) layout: Option<Arc<Layout>>,
}

impl SealedChunk {
    fn read_column(&self, column: usize, window: Window, into: &mut SampleBuffer) -> Result<()> {
        let loaded = self.file.load(self.place)?;
        let (times, body) = loaded.parts();
        match &self.layout {
            Some(layout) => decode_family_column(layout, loaded.kind, body, times, column, window, into),
            None => decode_series(loaded.kind, body, times, window, into),
        }
    }

    fn read_rows(&self, window: Window, wanted: Wanted, into: &mut FamilyBuffer) -> Result<()> {
        let Some(layout) = &self.layout else { return Err(corrupt("a single series has no rows")) };
        let loaded = self.file.load(self.place)?;
        let (times, body) = loaded.parts();
        let (after, until) = (window.after.as_millis(), window.until.as_millis());
        if self.place.first > after && self.place.last <= until {
            return decode_family(layout, loaded.kind, body, times, wanted, into);
        }
        let mut rows = FamilyBuffer::default();
        decode_family(layout, loaded.kind, body, times, wanted, &mut rows)?;
        into.extend_inside(&rows, window);
        Ok(())
    }
}

impl Loaded<'_> {
    fn parts(&self) -> (&[i64], &[u8]) {
        let times = self.times.get(self.rows.clone()).unwrap_or_default();
        (times, self.bytes.get(self.body..).unwrap_or_default())
    }
}

/// A stretch of samples, immutable. A clone is of the same samples: what finds chunks hands them on by value, and allocates
/// nothing for those that are there already.
#[derive(Clone, Debug)]
pub(crate) enum Chunk {
    /// Uncompressed columns of one series: what no codec takes, and what a fixture or a remote source hands over.
    Columns(Arc<SampleBuffer>),
    /// The recent past of one series of floats.
    Samples(Arc<SeriesRows>),
    /// Before that, sealed in memory.
    Packed(Arc<PackedSamples>),
    /// The recent past of one classic histogram.
    Rows(Arc<FamilyRows>),
    /// The newest rows of one classic histogram among others, as they were at one moment.
    Open { held: Arc<dyn OpenRows>, place: u32 },
    /// Sealed, in a file.
    Sealed(Arc<SealedChunk>),
    /// Of another chunk, what is later than a time.
    Later(Arc<(Self, Timestamp)>),
    /// Several that overlap in time.
    Merged(Arc<Merged>),
    /// Of another chunk, what is not hidden.
    Masked(Arc<Masked>),
}

// Selections and heads hold many.
const _: () = assert!(size_of::<Chunk>() <= 24);

impl Chunk {
    /// Appends the samples of one column that lie inside the window; a chunk of a single series has column 0 only.
    pub(crate) fn read(&self, column: usize, window: Window, into: &mut SampleBuffer) -> Result<()> {
        match self {
            Self::Columns(samples) => {
                read_columns(samples, window, into);
                Ok(())
            }
            Self::Samples(samples) => samples.read(window, into),
            Self::Packed(samples) => samples.read(window, into),
            Self::Rows(rows) => rows.read_column(column, window, into),
            Self::Open { held, place } => checked(held.rows(*place))?.read_column(column, window, into),
            Self::Sealed(chunk) => chunk.read_column(column, window, into),
            Self::Later(later) => {
                let (chunk, after) = &**later;
                chunk.read(column, Window::new(window.after.max(*after), window.until), into)
            }
            Self::Merged(merged) => merged.read(column, window, into),
            Self::Masked(masked) => masked.read(column, window, into),
        }
    }

    /// The columns of the chunk, if it is a classic histogram's.
    pub(crate) fn layout(&self) -> Option<&Arc<Layout>> {
        match self {
            Self::Columns(_) | Self::Samples(_) | Self::Packed(_) => None,
            Self::Rows(rows) => Some(rows.layout()),
            Self::Open { held, place } => Some(held.rows(*place)?.layout()),
            Self::Sealed(chunk) => chunk.layout.as_ref(),
            Self::Later(later) => later.0.layout(),
            Self::Merged(merged) => merged.layout(),
            Self::Masked(masked) => masked.layout(),
        }
    }

    /// Appends the rows of a classic histogram inside the window.
    pub(crate) fn read_rows(&self, window: Window, wanted: Wanted, into: &mut FamilyBuffer) -> Result<()> {
        match self {
            Self::Rows(rows) => rows.read(window, into),
            Self::Open { held, place } => checked(held.rows(*place))?.read(window, into),
            Self::Sealed(chunk) => chunk.read_rows(window, wanted, into),
            Self::Later(later) => {
                let (chunk, after) = &**later;
                chunk.read_rows(Window::new(window.after.max(*after), window.until), wanted, into)
            }
            Self::Columns(_) | Self::Samples(_) | Self::Packed(_) => {
                Err(corrupt("a single series has no rows"))
            }
            Self::Merged(merged) => merged.read_rows(window, wanted, into),
            Self::Masked(masked) => masked.read_rows(window, wanted, into),
        }
    }

    /// Reads a little of the rows of a classic histogram that are in memory.
    pub(crate) fn touch(&self) -> u64 {
        match self {
            Self::Rows(rows) => rows.touch_to_read(),
            Self::Open { held, place } => held.rows(*place).map_or(0, FamilyRows::touch_to_read),
            _ => 0,
        }
    }

    /// The first and the last row inside the window; see [`FamilyRows::read_ends`].
    pub(crate) fn read_ends(&self, window: Window, into: &mut FamilyEnds) -> Result<bool> {
        match self {
            Self::Rows(rows) => rows.read_ends(window, into),
            Self::Open { held, place } => checked(held.rows(*place))?.read_ends(window, into),
            _ => Ok(false),
        }
    }

    /// Reads all of it, for nothing but to see that it can be read.
    pub(crate) fn verify(&self) -> Result<()> {
        match self.layout() {
            Some(_) => self.read_rows(Window::ALL, Wanted::All, &mut FamilyBuffer::default()),
            None => self.read(0, Window::ALL, &mut SampleBuffer::default()),
        }
    }

    /// Bytes of memory that the chunk holds, counters of its `Arc` included, those of the reference itself left out.
    pub(crate) fn byte_size(&self) -> usize {
        let held = match self {
            Self::Columns(samples) => columns_size(samples).saturating_add(size_of::<SampleBuffer>()),
            Self::Samples(samples) => samples.byte_size(),
            Self::Packed(samples) => samples.byte_size(),
            Self::Rows(rows) => rows.byte_size(),
            Self::Open { held, place } => held.rows(*place).map_or(0, FamilyRows::byte_size),
            // Its bytes are the file's.
            Self::Sealed(sealed) => size_of_val(&**sealed),
            Self::Later(later) => later.0.byte_size().saturating_add(size_of_val(&**later)),
            Self::Merged(merged) => merged.byte_size(),
            Self::Masked(masked) => masked.byte_size(),
        };
        held.saturating_add(size_of::<[usize; 2]>())
    }

    /// First and last time; `None` without a sample.
    pub(crate) fn time_range(&self) -> Option<(i64, i64)> {
        match self {
            Self::Columns(samples) => columns_range(samples),
            Self::Samples(samples) => samples.time_range(),
            Self::Packed(samples) => Some(samples.time_range()),
            Self::Rows(rows) => rows.time_range(),
            Self::Open { held, place } => held.rows(*place)?.time_range(),
            Self::Sealed(chunk) => Some((chunk.place.first, chunk.place.last)),
            Self::Later(later) => {
                let (chunk, after) = &**later;
                let (first, last) = chunk.time_range()?;
                Some((first.max(after.as_millis().saturating_add(1)), last))
            }
            Self::Merged(merged) => merged.time_range(),
            Self::Masked(masked) => masked.time_range(),
        }
    }
}

fn checked(rows: Option<&FamilyRows>) -> Result<&FamilyRows> {
    rows.ok_or_else(|| corrupt("there are no such rows"))
}

/// Whether a stretch of samples from a first to a last time may have one inside the window.
pub(crate) fn touches(range: Option<(i64, i64)>, window: Window) -> bool {
    range.is_some_and(|(first, last)| last > window.after.as_millis() && first <= window.until.as_millis())
}

/// Bytes of memory that uncompressed columns hold.
pub(crate) fn columns_size(samples: &SampleBuffer) -> usize {
    let histograms = samples.histograms.iter().map(|(_, histogram, _)| histogram_size(histogram));
    histograms.fold(floats_size(samples), usize::saturating_add)
}

/// The part of it that floats and start times hold.
pub(crate) fn floats_size(samples: &SampleBuffer) -> usize {
    let floats = samples.times.capacity().saturating_add(samples.values.capacity());
    floats.saturating_add(samples.starts.capacity()).saturating_mul(8)
}

/// The part of it that one histogram holds.
pub(crate) fn histogram_size(histogram: &NativeHistogram) -> usize {
    let buckets = histogram.positive_buckets.len().saturating_add(histogram.negative_buckets.len());
    let spans = histogram.positive_spans.len().saturating_add(histogram.negative_spans.len());
    let values = buckets.saturating_add(spans).saturating_add(histogram.custom_values.len());
    values.saturating_mul(8).saturating_add(size_of_val(histogram)).saturating_add(40)
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
        let chunk = Chunk::Columns(Arc::new(samples));
        let mut read = SampleBuffer::default();
        let window = Window::new(Timestamp::from_millis(3), Timestamp::from_millis(6));
        chunk.read(0, window, &mut read).unwrap();
        assert_eq!(read.times, [4, 5, 6]);
        assert_eq!(chunk.time_range(), Some((0, 9)));
    }
}
