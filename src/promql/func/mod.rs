//! What the functions of the language compute: pure functions over samples.
//!
//! Nothing here knows labels or positions. What is worth telling the user comes back as bits of [`Notes`]; the
//! operator that called turns them into words.

pub(crate) mod bound;
pub(crate) mod classic_histogram;
pub(crate) mod extended;
pub(crate) mod extended_histogram;
pub(crate) mod extremum;
mod histogram_rate;
pub(crate) mod math;
pub(crate) mod native_histogram;
pub(crate) mod natural_order;
pub(crate) mod over_time;
pub(crate) mod quantile;
pub(crate) mod rate;
pub(crate) mod regression;
pub(crate) mod sum;

use std::sync::Arc;

use crate::model::NativeHistogram;

/// Samples of one series in time order, without staleness markers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Samples<'a> {
    /// Times of the floats in milliseconds.
    pub(crate) times: &'a [i64],
    /// The floats, as many as `times`.
    pub(crate) values: &'a [f64],
    /// Start times of the floats in milliseconds, 0 where unknown: empty, or as many as `times`.
    pub(crate) starts: &'a [i64],
    /// Time, value and start time of the histograms.
    pub(crate) histograms: &'a [(i64, Arc<NativeHistogram>, i64)],
}

impl Samples<'_> {
    /// How many samples there are, of both kinds.
    pub(crate) fn len(&self) -> usize {
        self.times.len().saturating_add(self.histograms.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.times.is_empty() && self.histograms.is_empty()
    }

    /// Whether floats and histograms are both there.
    pub(crate) fn is_mixed(&self) -> bool {
        !self.times.is_empty() && !self.histograms.is_empty()
    }

    /// The start time of float `index`, 0 if unknown.
    pub(crate) fn start(&self, index: usize) -> i64 {
        self.starts.get(index).copied().unwrap_or(0)
    }
}

/// What a function makes of the samples of one window.
#[derive(Clone, Debug)]
pub(crate) enum Computed {
    /// No sample.
    Nothing,
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<NativeHistogram>),
}

impl From<Option<f64>> for Computed {
    fn from(value: Option<f64>) -> Self {
        value.map_or(Self::Nothing, Self::Float)
    }
}

/// What a function noticed, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes(u16);

impl Notes {
    pub(crate) const NONE: Self = Self(0);
    /// Floats and histograms in a window of a function that cannot take both: no answer.
    pub(crate) const MIXED: Self = Self(1);
    /// Histograms beside floats were left out.
    pub(crate) const IGNORED_HISTOGRAMS: Self = Self(2);
    /// A start time lies before the previous sample.
    pub(crate) const START_OVERLAP: Self = Self(8);
    /// The quantile asked for is not between 0 and 1.
    pub(crate) const BAD_QUANTILE: Self = Self(16);
    /// A histogram that is a gauge stands where a counter is expected.
    pub(crate) const NOT_COUNTER: Self = Self(32);
    /// A histogram that is a counter stands where a gauge is expected.
    pub(crate) const NOT_GAUGE: Self = Self(64);
    /// Histograms with exponential buckets and with custom bounds: no answer.
    pub(crate) const MIXED_SCHEMAS: Self = Self(128);
    /// Only the common custom bounds were left by an addition.
    pub(crate) const RECONCILED_ADDITION: Self = Self(256);
    /// Only the common custom bounds were left by a subtraction.
    pub(crate) const RECONCILED_SUBTRACTION: Self = Self(512);
    /// Only the common custom bounds were left by summing up.
    pub(crate) const RECONCILED_AGGREGATION: Self = Self(1024);
    /// Of histograms summed up some were reset and some not.
    pub(crate) const RESET_COLLISION: Self = Self(2048);

    #[must_use]
    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}
