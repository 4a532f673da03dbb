//! Native histograms: the second kind of sample, and their arithmetic as Prometheus 3.15 does it.
//!
//! A histogram that comes from outside may be anything; what is read for a query has passed [`NativeHistogram::check`].
//! Nothing here depends on that for more than a meaningful answer.

mod add;
mod bound;
mod bucket;
mod check;
mod custom;
mod equal;
mod kahan;
mod layout;
mod reset;
mod text;
mod trim;
mod zero;

use std::sync::Arc;

pub(crate) use add::{Combined, IncompatibleSchemas};
pub(crate) use bucket::Bucket;
pub(crate) use kahan::{HistogramMean, HistogramSum};

/// The schema of histograms with custom bounds.
const CUSTOM_BUCKETS: i32 = -53;

/// Whether buckets of this schema are exponential, in a resolution that Prometheus computes with.
const fn is_exponential(schema: i32) -> bool {
    matches!(schema, -4..=8)
}

/// What a native histogram says about its predecessor in the same series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CounterResetHint {
    /// Nothing is known; a reset has to be found by comparing.
    #[default]
    Unknown,
    /// The counter was reset before this sample.
    Reset,
    /// The counter was not reset before this sample.
    NotReset,
    /// This is a gauge, which does not reset.
    Gauge,
}

/// A run of consecutive buckets of a native histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// Gap to the previous span in buckets; for the first span the index of its first bucket.
    pub offset: i32,
    /// How many buckets the run has.
    pub length: u32,
}

/// A native histogram with float counts, absolute and not cumulative, as Prometheus's engine holds it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NativeHistogram {
    /// What is known about a counter reset before this sample.
    pub hint: CounterResetHint,
    /// Resolution: -4 to 8 for exponential buckets, -53 for custom bounds.
    pub schema: i32,
    /// Width of the zero bucket on either side of zero.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Sum of all observations.
    pub sum: f64,
    /// Runs of positive buckets.
    pub positive_spans: Vec<Span>,
    /// Counts of the positive buckets, one per element of the spans.
    pub positive_buckets: Vec<f64>,
    /// Runs of negative buckets.
    pub negative_spans: Vec<Span>,
    /// Counts of the negative buckets, one per element of the spans.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds of custom buckets, without infinity.
    pub custom_values: Vec<f64>,
}

impl NativeHistogram {
    /// Whether the buckets have custom bounds.
    pub(crate) const fn uses_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS
    }

    /// A copy to compute with. Scaling leaves `-0` or NaN in the zero bucket that custom bounds do not have, and as in
    /// Prometheus whatever computes with the result begins without.
    pub(crate) fn copied(&self) -> Self {
        let mut copy = self.clone();
        if copy.uses_custom_buckets() {
            (copy.zero_threshold, copy.zero_count) = (0.0, 0.0);
        }
        copy
    }

    /// As [`copied`](Self::copied), sharing the histogram where there is nothing to leave behind.
    pub(crate) fn copied_or_shared(self: &Arc<Self>) -> Arc<Self> {
        let zero = [self.zero_threshold, self.zero_count].map(f64::to_bits);
        if self.uses_custom_buckets() && zero != [0, 0] { Arc::new(self.copied()) } else { Arc::clone(self) }
    }

    /// Multiplies everything that is counted. A negative factor makes a gauge.
    pub(crate) fn multiply(&mut self, factor: f64) {
        self.for_each_number(|number| *number *= factor);
        if factor < 0.0 {
            self.hint = CounterResetHint::Gauge;
        }
    }

    /// Divides everything that is counted. Division by zero removes all buckets, a negative divisor makes a gauge.
    pub(crate) fn divide(&mut self, divisor: f64) {
        if divisor == 0.0 {
            self.positive_spans.clear();
            self.positive_buckets.clear();
            self.negative_spans.clear();
            self.negative_buckets.clear();
        }
        self.for_each_number(|number| *number /= divisor);
        if divisor < 0.0 {
            self.hint = CounterResetHint::Gauge;
        }
    }

    fn for_each_number(&mut self, mut f: impl FnMut(&mut f64)) {
        [&mut self.zero_count, &mut self.count, &mut self.sum].into_iter().for_each(&mut f);
        self.positive_buckets.iter_mut().for_each(&mut f);
        self.negative_buckets.iter_mut().for_each(f);
    }

    /// Whether something counted is infinite.
    fn has_overflow(&self) -> bool {
        [self.zero_count, self.count, self.sum]
            .iter()
            .chain(&self.positive_buckets)
            .chain(&self.negative_buckets)
            .any(|number| number.is_infinite())
    }

    /// The histogram without its buckets: hint, schema, count and sum.
    pub(crate) fn statistics(&self) -> Self {
        Self { hint: self.hint, schema: self.schema, count: self.count, sum: self.sum, ..Self::default() }
    }
}

#[cfg(test)]
mod tests;
