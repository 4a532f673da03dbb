//! Zero buckets of different width.

use crate::model::kahan::Sum;

use super::NativeHistogram;
use super::kahan::{Compensation, pairs, store};
use super::layout::{Buckets, indexed};

impl NativeHistogram {
    /// What would be in the zero bucket if it were as wide as `threshold`, and how wide it then is: a threshold inside a
    /// populated bucket moves to that bucket's outer border.
    pub(super) fn zero_count_within(
        &self,
        mut threshold: f64,
        compensation: Option<&Compensation>,
    ) -> (Sum, f64) {
        let mut c = compensation.map_or(0.0, |compensation| compensation.zero_count);
        if threshold == self.zero_threshold {
            return (Sum { sum: self.zero_count, c }, threshold);
        }
        'again: loop {
            // The compensation stays as it is when the rest begins anew, as it does in Prometheus.
            let mut zero = Sum { sum: self.zero_count, c };
            for (place, bucket) in self.positive_buckets().enumerate() {
                if bucket.lower >= threshold {
                    break;
                }
                zero.add(bucket.count);
                if let Some(compensation) = compensation {
                    zero.add(compensation.positive.get(place).copied().unwrap_or(0.0));
                }
                if bucket.upper > threshold {
                    if bucket.count != 0.0 {
                        threshold = bucket.upper;
                    }
                    break;
                }
            }
            for (place, bucket) in self.negative_buckets().enumerate() {
                if bucket.upper <= -threshold {
                    break;
                }
                zero.add(bucket.count);
                if let Some(compensation) = compensation {
                    zero.add(compensation.negative.get(place).copied().unwrap_or(0.0));
                }
                if bucket.lower < -threshold {
                    if bucket.count != 0.0 {
                        // The positive buckets have to be gone through again.
                        threshold = -bucket.lower;
                        c = zero.c;
                        continue 'again;
                    }
                    break;
                }
            }
            return (zero, threshold);
        }
    }

    /// Widens the zero bucket until both histograms could have the same; `other` stays as it is. Returns what would be in
    /// the zero bucket of `other`.
    pub(super) fn reconcile_zero_buckets(
        &mut self,
        other: &Self,
        mut compensation: Option<&mut Compensation>,
    ) -> Sum {
        let mut zero = Sum::of(other.zero_count);
        let mut threshold = other.zero_threshold;
        // Every round widens one of them to a border of a populated bucket, or ends; NaN has no order.
        while self.zero_threshold < threshold || threshold < self.zero_threshold {
            if threshold < self.zero_threshold {
                (zero, threshold) = other.zero_count_within(self.zero_threshold, None);
            }
            if self.zero_threshold < threshold {
                let (own, widened) = self.zero_count_within(threshold, compensation.as_deref());
                self.zero_count = own.sum;
                self.zero_threshold = widened;
                if let Some(compensation) = compensation.as_deref_mut() {
                    compensation.zero_count = own.c;
                }
                self.remove_buckets_within_zero(compensation.as_deref_mut());
            }
        }
        zero
    }

    /// Removes the buckets that the zero bucket has swallowed, and empty ones.
    fn remove_buckets_within_zero(&mut self, mut compensation: Option<&mut Compensation>) {
        let swallowed = [
            self.positive_buckets().take_while(|bucket| bucket.lower < self.zero_threshold).count(),
            self.negative_buckets().take_while(|bucket| bucket.upper > -self.zero_threshold).count(),
        ];
        for (negative, swallowed) in [false, true].into_iter().zip(swallowed) {
            let (spans, counts) = match negative {
                false => (&mut self.positive_spans, &mut self.positive_buckets),
                true => (&mut self.negative_spans, &mut self.negative_buckets),
            };
            let Some(compensation) = compensation.as_deref_mut() else {
                let left = indexed(spans, counts).skip(swallowed).filter(|(_, count)| *count != 0.0);
                let left: Buckets<f64> = left.collect();
                (*spans, *counts) = (left.spans, left.counts);
                continue;
            };
            let compensation = if negative { &mut compensation.negative } else { &mut compensation.positive };
            let left = indexed(spans, &pairs(counts, compensation))
                .skip(swallowed)
                .filter(|(_, sum)| sum.sum != 0.0 || sum.c != 0.0)
                .collect();
            store(left, spans, counts, compensation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Span;

    fn histogram(threshold: f64, zero: f64, positive: &[f64]) -> NativeHistogram {
        NativeHistogram {
            zero_threshold: threshold,
            zero_count: zero,
            positive_spans: vec![Span { offset: 0, length: positive.len() as u32 }],
            positive_buckets: positive.to_vec(),
            ..NativeHistogram::default()
        }
    }

    #[test]
    fn a_threshold_inside_a_populated_bucket_moves_to_its_border() {
        let (zero, threshold) = histogram(0.0, 1.0, &[2.0, 3.0, 4.0]).zero_count_within(1.5, None);
        assert_eq!((zero.sum, threshold), (6.0, 2.0));
        let (zero, threshold) = histogram(0.0, 1.0, &[2.0, 0.0, 4.0]).zero_count_within(1.5, None);
        assert_eq!((zero.sum, threshold), (3.0, 1.5));
    }

    #[test]
    fn the_wider_zero_bucket_swallows_buckets_of_the_other() {
        let mut a = histogram(0.0, 1.0, &[2.0, 3.0, 4.0]);
        let zero = a.reconcile_zero_buckets(&histogram(1.0, 7.0, &[0.0, 5.0]), None);
        assert_eq!((zero.sum, a.zero_count, a.zero_threshold), (7.0, 3.0, 1.0));
        assert_eq!(a.positive_buckets, [3.0, 4.0]);
        assert_eq!(a.positive_spans, [Span { offset: 1, length: 2 }]);
    }

    #[test]
    fn thresholds_without_order_do_not_hang() {
        let mut a = histogram(f64::NAN, 1.0, &[2.0]);
        assert_eq!(a.reconcile_zero_buckets(&histogram(1.0, 7.0, &[]), None).sum, 7.0);
    }
}
