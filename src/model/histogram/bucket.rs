//! Walking the buckets of a histogram.

use crate::model::log::log2;

use super::layout::{indexed, indexed_reversed};
use super::{NativeHistogram, bound};

/// One bucket: observations above `lower`, up to `upper`. Which of its borders belongs to it the sign tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bucket {
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    pub(crate) count: f64,
}

impl Bucket {
    /// How much of the width of the bucket lies at or below `value`, which is inside: linearly, or on a logarithmic scale.
    pub(crate) fn fraction_below(&self, value: f64, linear: bool) -> f64 {
        if linear {
            return (value - self.lower) / (self.upper - self.lower);
        }
        let lower = log2(self.lower.abs());
        let upper = log2(self.upper.abs());
        let at = log2(value.abs());
        if value > 0.0 { (at - lower) / (upper - lower) } else { 1.0 - (at - upper) / (lower - upper) }
    }
}

impl NativeHistogram {
    fn upper_bound(&self, index: i64) -> f64 {
        if self.uses_custom_buckets() {
            bound::custom(index, &self.custom_values)
        } else {
            bound::exponential(index, self.schema)
        }
    }

    fn positive(&self, (index, count): (i64, f64)) -> Bucket {
        let (lower, upper) = (self.upper_bound(index.saturating_sub(1)), self.upper_bound(index));
        Bucket { lower, upper, count }
    }

    pub(super) fn negative(&self, (index, count): (i64, f64)) -> Bucket {
        let (lower, upper) = (-self.upper_bound(index), -self.upper_bound(index.saturating_sub(1)));
        Bucket { lower, upper, count }
    }

    /// The positive buckets, away from zero.
    pub(super) fn positive_buckets(&self) -> impl Iterator<Item = Bucket> {
        indexed(&self.positive_spans, &self.positive_buckets).map(|bucket| self.positive(bucket))
    }

    /// The negative buckets, away from zero.
    pub(super) fn negative_buckets(&self) -> impl Iterator<Item = Bucket> {
        indexed(&self.negative_spans, &self.negative_buckets).map(|bucket| self.negative(bucket))
    }

    /// The zero bucket.
    pub(super) fn zero_bucket(&self) -> Bucket {
        Bucket { lower: -self.zero_threshold, upper: self.zero_threshold, count: self.zero_count }
    }

    /// The zero bucket if something is in it.
    fn populated_zero_bucket(&self) -> Option<Bucket> {
        (self.zero_count > 0.0 && !self.uses_custom_buckets()).then(|| self.zero_bucket())
    }

    /// A bucket that reaches into the zero bucket ends where that begins.
    fn outside_zero(&self, mut bucket: Bucket) -> Bucket {
        if bucket.lower > 0.0 && bucket.lower < self.zero_threshold {
            bucket.lower = self.zero_threshold;
        } else if bucket.upper < 0.0 && bucket.upper > -self.zero_threshold {
            bucket.upper = -self.zero_threshold;
        }
        bucket
    }

    /// All buckets that are stored, empty ones too, from the lowest to the highest; the zero bucket if it is populated.
    pub(crate) fn all_buckets(&self) -> impl Iterator<Item = Bucket> {
        indexed_reversed(&self.negative_spans, &self.negative_buckets)
            .map(|bucket| self.outside_zero(self.negative(bucket)))
            .chain(self.populated_zero_bucket())
            .chain(self.positive_buckets().map(|bucket| self.outside_zero(bucket)))
    }

    /// The same from the highest to the lowest.
    pub(crate) fn all_buckets_reversed(&self) -> impl Iterator<Item = Bucket> {
        indexed_reversed(&self.positive_spans, &self.positive_buckets)
            .map(|bucket| self.outside_zero(self.positive(bucket)))
            .chain(self.populated_zero_bucket())
            .chain(self.negative_buckets().map(|bucket| self.outside_zero(bucket)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Span;

    #[test]
    fn buckets_rise_from_the_lowest_and_end_at_the_zero_bucket() {
        let histogram = NativeHistogram {
            zero_threshold: 0.75,
            zero_count: 5.0,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            positive_buckets: vec![1.0, 2.0],
            negative_spans: vec![Span { offset: 0, length: 1 }],
            negative_buckets: vec![4.0],
            ..NativeHistogram::default()
        };
        let rising: Vec<_> = histogram.all_buckets().map(|b| (b.lower, b.upper, b.count)).collect();
        assert_eq!(rising, [(-1.0, -0.75, 4.0), (-0.75, 0.75, 5.0), (0.75, 1.0, 1.0), (1.0, 2.0, 2.0)]);
        let mut falling: Vec<_> =
            histogram.all_buckets_reversed().map(|b| (b.lower, b.upper, b.count)).collect();
        falling.reverse();
        assert_eq!(falling, rising);
    }
}
