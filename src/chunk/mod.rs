//! One series or one histogram family over one stretch of time, and how it is read.

use std::sync::Arc;

use crate::error::Result;
use crate::model::{SampleBuffer, Window};

/// A stretch of samples, immutable.
#[derive(Debug)]
pub(crate) enum Chunk {
    /// Uncompressed columns of one series.
    Columns(SampleBuffer),
}

/// The bucket bounds of a classic histogram, in bound order.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Layout {
    /// The `le` values, exactly as written.
    pub(crate) bounds: Vec<Arc<str>>,
}

impl Chunk {
    pub(crate) fn from_samples(samples: SampleBuffer) -> Self {
        Self::Columns(samples)
    }

    /// Appends the samples of one column that lie inside the window.
    pub(crate) fn read(&self, _column: usize, window: Window, into: &mut SampleBuffer) -> Result<()> {
        let Self::Columns(samples) = self;
        let inside = |time: i64| window.after.as_millis() < time && time <= window.until.as_millis();
        let starts = samples.starts.iter().copied().chain(std::iter::repeat(0));
        for ((time, value), start) in samples.times.iter().zip(&samples.values).zip(starts) {
            if inside(*time) {
                into.push_float(*time, *value, start);
            }
        }
        into.histograms.extend(samples.histograms.iter().filter(|(time, ..)| inside(*time)).cloned());
        Ok(())
    }
}
