//! Trimming: only the observations below, or above, a point are kept, as well as buckets can tell.

use super::{Bucket, NativeHistogram};

/// Which observations are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Below,
    Above,
}

/// What is kept of a bucket: how many observations, and the value that stands for each in the sum.
#[derive(Clone, Copy)]
struct Kept {
    count: f64,
    middle: f64,
}

const NOTHING: Kept = Kept { count: 0.0, middle: 0.0 };

/// What the place of a value within its bucket depends on.
#[derive(Clone, Copy)]
struct Shape {
    positive: bool,
    custom: bool,
}

impl NativeHistogram {
    /// Keeps the observations up to `at`.
    pub(crate) fn keep_below(&mut self, at: f64) {
        self.trim(at, Keep::Below);
    }

    /// Keeps the observations from `at` on.
    pub(crate) fn keep_above(&mut self, at: f64) {
        self.trim(at, Keep::Above);
    }

    fn trim(&mut self, at: f64, keep: Keep) {
        let custom = self.uses_custom_buckets();
        let (mut count, mut sum) = (0.0, 0.0);
        let mut trimmed = false;
        let mut populated = [false; 2];
        let sides: [Vec<Bucket>; 2] = [self.positive_buckets().collect(), self.negative_buckets().collect()];
        for ((positive, buckets), populated) in [true, false].into_iter().zip(sides).zip(&mut populated) {
            let counts = if positive { &mut self.positive_buckets } else { &mut self.negative_buckets };
            for (bucket, stored) in buckets.iter().zip(counts) {
                if bucket.count == 0.0 {
                    continue;
                }
                *populated = true;
                let kept = keep_of_bucket(bucket, at, keep, Shape { positive, custom });
                count += kept.count;
                sum += kept.middle * kept.count;
                if *stored != kept.count {
                    *stored = kept.count;
                    trimmed = true;
                }
            }
        }
        if self.zero_count > 0.0 {
            let kept = keep_of_zero_bucket(self.zero_bucket(), at, keep, populated);
            if self.zero_count != kept.count {
                self.zero_count = kept.count;
                trimmed = true;
            }
            sum += kept.middle * kept.count;
            count += kept.count;
        }
        // Where nothing was cut the sum is still exact.
        if trimmed {
            (self.count, self.sum) = (count, sum);
            self.compact();
        }
    }
}

fn keep_of_bucket(bucket: &Bucket, at: f64, keep: Keep, shape: Shape) -> Kept {
    let (all, some) = match keep {
        Keep::Below => (bucket.upper <= at, bucket.lower < at),
        Keep::Above => (bucket.lower >= at, bucket.upper > at),
    };
    if all {
        return Kept { count: bucket.count, middle: middle(bucket.lower, bucket.upper, shape) };
    }
    if !some {
        return NOTHING;
    }
    if bucket.lower == f64::NEG_INFINITY || bucket.upper == f64::INFINITY {
        return keep_of_infinite_bucket(bucket, at, keep);
    }
    let below = if at <= bucket.lower {
        0.0
    } else if at >= bucket.upper {
        bucket.count
    } else {
        bucket.count * bucket.fraction_below(at, shape.custom)
    };
    match keep {
        Keep::Below => Kept { count: below, middle: middle(bucket.lower, at, shape) },
        Keep::Above => Kept { count: bucket.count - below, middle: middle(at, bucket.upper, shape) },
    }
}

/// `at` lies inside a bucket that has no end. Only the lowest custom bucket below a positive bound, which is taken to begin
/// at zero, can be divided.
fn keep_of_infinite_bucket(bucket: &Bucket, at: f64, keep: Keep) -> Kept {
    let Bucket { lower, upper, count } = *bucket;
    let finite = |x: f64| if x.is_infinite() { 0.0 } else { x };
    let begins_at_zero = upper > 0.0 && upper != f64::INFINITY;
    match (lower == f64::NEG_INFINITY, keep) {
        (true, Keep::Below) if at > 0.0 && begins_at_zero => {
            Kept { count: count * at / upper, middle: at / 2.0 }
        }
        (true, Keep::Below) if upper <= 0.0 => Kept { count, middle: at },
        (true, Keep::Above) if at >= 0.0 && upper > at && upper != f64::INFINITY => {
            Kept { count: count * (1.0 - at / upper), middle: (at + upper) / 2.0 }
        }
        (true, _) => Kept { count: 0.0, middle: finite(upper) },
        (false, Keep::Above) if at >= lower => Kept { count, middle: at },
        (false, _) => Kept { count: 0.0, middle: finite(lower) },
    }
}

/// The zero bucket reaches to zero only on a side where nothing else is, if there is something on the other.
fn keep_of_zero_bucket(zero: Bucket, at: f64, keep: Keep, [positive, negative]: [bool; 2]) -> Kept {
    let lower = if positive && !negative { 0.0 } else { zero.lower };
    let upper = if negative && !positive { 0.0 } else { zero.upper };
    let all = Kept { count: zero.count, middle: (lower + upper) / 2.0 };
    let (fraction, middle) = match keep {
        Keep::Below if at <= lower => return NOTHING,
        Keep::Below if at >= upper => return all,
        Keep::Below => ((at - lower) / (upper - lower), (lower + at) / 2.0),
        Keep::Above if at <= lower => return all,
        Keep::Above if at >= upper => return NOTHING,
        Keep::Above => ((upper - at) / (upper - lower), (at + upper) / 2.0),
    };
    Kept { count: zero.count * fraction, middle }
}

/// The value that stands for all between two.
fn middle(lower: f64, upper: f64, shape: Shape) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) => {
            if upper > 0.0 {
                upper / 2.0
            } else {
                upper
            }
        }
        (false, true) => lower,
        (false, false) if shape.custom => (lower + upper) / 2.0,
        (false, false) => {
            let geometric = (lower * upper).abs().sqrt();
            if shape.positive { geometric } else { -geometric }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Span;

    fn custom(counts: &[f64]) -> NativeHistogram {
        NativeHistogram {
            schema: -53,
            count: counts.iter().sum(),
            sum: 1000.0,
            custom_values: vec![5.0, 10.0],
            positive_spans: vec![Span { offset: 0, length: counts.len() as u32 }],
            positive_buckets: counts.to_vec(),
            ..NativeHistogram::default()
        }
    }

    #[test]
    fn nothing_changes_where_nothing_is_cut() {
        let mut histogram = custom(&[1.0, 2.0]);
        histogram.keep_below(10.0);
        assert_eq!(histogram, custom(&[1.0, 2.0]));
        histogram.keep_above(f64::NEG_INFINITY);
        assert_eq!(histogram, custom(&[1.0, 2.0]));
    }

    #[test]
    fn a_custom_bucket_is_divided_linearly_and_the_sum_estimated() {
        let mut histogram = custom(&[4.0, 10.0, 1.0]);
        histogram.keep_below(6.0);
        assert_eq!(histogram.positive_buckets, [4.0, 2.0]);
        assert_eq!((histogram.count, histogram.sum), (6.0, 4.0 * 2.5 + 2.0 * 5.5));
        let mut histogram = custom(&[4.0, 10.0, 1.0]);
        histogram.keep_above(6.0);
        assert_eq!((histogram.positive_buckets.as_slice(), histogram.count), ([8.0, 1.0].as_slice(), 9.0));
    }

    #[test]
    fn an_exponential_bucket_is_divided_on_a_logarithmic_scale() {
        let mut histogram = NativeHistogram {
            count: 12.0,
            zero_count: 4.0,
            zero_threshold: 0.5,
            positive_spans: vec![Span { offset: 2, length: 1 }],
            positive_buckets: vec![8.0],
            ..NativeHistogram::default()
        };
        histogram.keep_above(2.0_f64.powf(1.5));
        assert!((histogram.count - 4.0).abs() < 1e-12 && histogram.zero_count == 0.0);
    }
}
