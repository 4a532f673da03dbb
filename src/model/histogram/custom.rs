//! Custom bounds that differ: what both histograms share.

use crate::model::kahan::Sum;

use super::NativeHistogram;
use super::layout::{Buckets, indexed};

/// The bounds that are in both lists, which rise.
pub(super) fn intersection(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut common = Vec::new();
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        if x == y {
            common.push(**x);
            a.next();
            b.next();
        } else if x < y {
            a.next();
        } else {
            b.next();
        }
    }
    common
}

/// Buckets of histograms with several lists of bounds, gathered under common ones.
pub(super) struct Mapping<'a> {
    bounds: &'a [f64],
    /// One for each bound, and one for infinity.
    sums: Vec<Sum>,
}

impl<'a> Mapping<'a> {
    pub(super) fn new(bounds: &'a [f64]) -> Self {
        Self { bounds, sums: vec![Sum::default(); bounds.len().saturating_add(1)] }
    }

    /// Adds the buckets of a histogram with these bounds: each to the first common bound that is not lower.
    pub(super) fn add(&mut self, buckets: impl Iterator<Item = (i64, f64)>, bounds: &[f64]) {
        self.add_compensated(buckets.map(|(index, count)| (index, Sum::of(count))), bounds, false);
    }

    /// The same for counts with their compensation.
    pub(super) fn add_compensated(
        &mut self,
        buckets: impl Iterator<Item = (i64, Sum)>,
        bounds: &[f64],
        with_compensation: bool,
    ) {
        let mut target = 0_usize;
        for (index, count) in buckets {
            let bound = usize::try_from(index).map_or(Some(&f64::NEG_INFINITY), |index| bounds.get(index));
            let place = match bound {
                None => self.bounds.len(),
                Some(bound) => {
                    while self.bounds.get(target).is_some_and(|common| *common < *bound) {
                        target = target.saturating_add(1);
                    }
                    target
                }
            };
            if let Some(sum) = self.sums.get_mut(place) {
                sum.add(count.sum);
                if with_compensation {
                    sum.add(count.c);
                }
            }
        }
    }

    /// The buckets that are not empty.
    pub(super) fn finish(self) -> Buckets<Sum> {
        (0_i64..).zip(self.sums).filter(|(_, sum)| sum.sum != 0.0 || sum.c != 0.0).collect()
    }
}

/// Adds up the buckets whose upper bound is at most `bound`; what comes after stays.
fn take_up_to<I: Iterator<Item = (f64, f64)>>(buckets: &mut std::iter::Peekable<I>, bound: f64) -> f64 {
    let mut sum = 0.0;
    while let Some((_, count)) = buckets.next_if(|(upper, _)| *upper <= bound) {
        sum += count;
    }
    sum
}

/// Whether a counter with custom bounds was reset between two histograms whose bounds differ: less is under a common
/// bound.
pub(super) fn was_reset(previous: &NativeHistogram, current: &NativeHistogram) -> bool {
    let mut before = uppers(previous).peekable();
    let mut after = uppers(current).peekable();
    intersection(&previous.custom_values, &current.custom_values)
        .into_iter()
        .chain([f64::INFINITY])
        .any(|bound| take_up_to(&mut after, bound) < take_up_to(&mut before, bound))
}

/// Upper bound and count of each bucket.
fn uppers(histogram: &NativeHistogram) -> impl Iterator<Item = (f64, f64)> {
    let upper = |index| super::bound::custom(index, &histogram.custom_values);
    indexed(&histogram.positive_spans, &histogram.positive_buckets)
        .map(move |(index, count)| (upper(index), count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Span;

    fn histogram(bounds: &[f64], counts: &[f64]) -> NativeHistogram {
        NativeHistogram {
            schema: super::super::CUSTOM_BUCKETS,
            custom_values: bounds.to_vec(),
            positive_spans: vec![Span { offset: 0, length: counts.len() as u32 }],
            positive_buckets: counts.to_vec(),
            ..NativeHistogram::default()
        }
    }

    #[test]
    fn common_bounds_are_those_in_both_lists() {
        assert_eq!(intersection(&[1.0, 2.0, 4.0], &[2.0, 3.0, 4.0]), [2.0, 4.0]);
        assert!(intersection(&[1.0], &[]).is_empty());
    }

    #[test]
    fn a_bucket_goes_to_the_first_common_bound_that_is_not_lower() {
        let mut mapping = Mapping::new(&[2.0, 4.0]);
        let buckets = (0_i64..).zip([1.0, 2.0, 4.0, 8.0, 16.0]);
        mapping.add(buckets, &[1.0, 2.0, 3.0, 5.0]);
        let sums: Vec<f64> = mapping.finish().counts.iter().map(|sum| sum.sum).collect();
        assert_eq!(sums, [3.0, 4.0, 24.0]);
    }

    #[test]
    fn less_under_a_common_bound_is_a_reset() {
        let before = histogram(&[1.0, 2.0], &[1.0, 2.0, 3.0]);
        assert!(!was_reset(&before, &histogram(&[2.0, 3.0], &[3.0, 1.0, 2.0])));
        assert!(was_reset(&before, &histogram(&[2.0, 3.0], &[2.0, 1.0, 9.0])));
        assert!(was_reset(&before, &histogram(&[2.0, 3.0], &[3.0, 1.0, 1.0])));
    }
}
