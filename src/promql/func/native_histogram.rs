//! Quantiles, fractions and moments of native histograms (Prometheus 3.15, `HistogramQuantile` and its relatives).

use crate::model::NativeHistogram;
use crate::model::histogram::Bucket;
use crate::model::kahan::Sum;
use crate::model::log::{exp2, log2};

/// What observations of NaN, which are in no bucket, do to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NanNote {
    /// The quantile is among them.
    QuantileIsNan,
    /// The quantile is higher than it would be without them.
    QuantileIsSkewed,
    /// They are in no fraction.
    Excluded,
}

/// The bucket that holds a rank, and how many observations were counted up to its end.
struct Found {
    bucket: Bucket,
    count: f64,
}

/// Walks until `rank` observations are counted.
fn find(buckets: &mut impl Iterator<Item = Bucket>, rank: f64) -> Found {
    let mut found = Found { bucket: Bucket { lower: 0.0, upper: 0.0, count: 0.0 }, count: 0.0 };
    for bucket in buckets.by_ref() {
        found.bucket = bucket;
        if bucket.count == 0.0 {
            continue;
        }
        found.count += bucket.count;
        if found.count >= rank {
            break;
        }
    }
    found
}

/// The `q`-quantile.
pub(crate) fn quantile(q: f64, histogram: &NativeHistogram) -> (f64, Option<NanNote>) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if histogram.count == 0.0 || q.is_nan() {
        return (f64::NAN, None);
    }
    let custom = histogram.uses_custom_buckets();
    let any_nan = histogram.sum.is_nan();
    // Observations of NaN are counted but in no bucket, so that only a walk from below meets the right rank.
    let upward = any_nan || q < 0.5;
    let mut rank = if upward { q * histogram.count } else { (1.0 - q) * histogram.count };
    let mut rest = upward.then(|| histogram.all_buckets());
    let Found { mut bucket, mut count } = match &mut rest {
        Some(buckets) => find(buckets, rank),
        None => find(&mut histogram.all_buckets_reversed(), rank),
    };
    if custom {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return (bucket.upper, None);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return (bucket.lower, None);
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        end_at_zero(&mut bucket, histogram);
    }
    if count > histogram.count {
        count = histogram.count;
    }
    if count < rank {
        return if any_nan { (f64::NAN, Some(NanNote::QuantileIsNan)) } else { (bucket.upper, None) };
    }
    if upward {
        rank -= count - bucket.count;
    } else {
        rank = count - rank;
    }
    let mut note = None;
    if any_nan && let Some(rest) = rest {
        // What is left is counted in the order in which it comes; the last bucket is the one that is interpolated, as in
        // Prometheus.
        for next in rest {
            bucket = next;
            count += next.count;
        }
        if count < histogram.count {
            note = Some(NanNote::QuantileIsSkewed);
        }
    }
    let fraction = rank / bucket.count;
    if custom || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return (bucket.lower + (bucket.upper - bucket.lower) * fraction, note);
    }
    let (lower, upper) = (log2(bucket.lower.abs()), log2(bucket.upper.abs()));
    let value = if bucket.lower > 0.0 {
        exp2(lower + (upper - lower) * fraction)
    } else {
        -exp2(upper + (lower - upper) * (1.0 - fraction))
    };
    (value, note)
}

/// A bucket around zero ends there on a side where the histogram has no buckets, if it has some on the other.
fn end_at_zero(bucket: &mut Bucket, histogram: &NativeHistogram) {
    match (histogram.negative_buckets.is_empty(), histogram.positive_buckets.is_empty()) {
        (true, false) => bucket.lower = 0.0,
        (false, true) => bucket.upper = 0.0,
        _ => {}
    }
}

/// The fraction of observations between `lower` and `upper`.
pub(crate) fn fraction(lower: f64, upper: f64, histogram: &NativeHistogram) -> (f64, Option<NanNote>) {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, None);
    }
    if lower >= upper {
        return (0.0, None);
    }
    let (mut lower_rank, mut upper_rank) = (None, None);
    let (mut count, mut rank) = (0.0, 0.0);
    let mut buckets = histogram.all_buckets();
    for mut bucket in buckets.by_ref() {
        count += bucket.count;
        let around_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        if around_zero {
            end_at_zero(&mut bucket, histogram);
        }
        let linear = histogram.uses_custom_buckets() || around_zero;
        let below = |x: f64| {
            if linear && bucket.lower == f64::NEG_INFINITY {
                return bucket.count;
            }
            rank + bucket.count * bucket.fraction_below(x, linear)
        };
        let limits = [(lower, &mut lower_rank), (upper, &mut upper_rank)];
        for (limit, found) in limits {
            if found.is_none() {
                if bucket.lower >= limit {
                    *found = Some(rank);
                } else if bucket.lower < limit && bucket.upper > limit {
                    *found = Some(below(limit));
                }
            }
        }
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        rank += bucket.count;
    }
    let mut note = None;
    if histogram.sum.is_nan() {
        buckets.for_each(|bucket| count += bucket.count);
        if count < histogram.count {
            note = Some(NanNote::Excluded);
        }
    } else {
        count = histogram.count;
    }
    let reached = |found: Option<f64>| match found {
        Some(rank) if rank > count => count,
        Some(rank) => rank,
        None => count,
    };
    ((reached(upper_rank) - reached(lower_rank)) / histogram.count, note)
}

/// The population variance, as well as buckets can tell.
pub(crate) fn variance(histogram: &NativeHistogram) -> f64 {
    let mean = histogram.sum / histogram.count;
    let mut variance = Sum::default();
    for bucket in histogram.all_buckets() {
        if bucket.count == 0.0 {
            continue;
        }
        let value = if histogram.uses_custom_buckets() {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            let value = (bucket.upper * bucket.lower).sqrt();
            if bucket.upper < 0.0 { -value } else { value }
        };
        let delta = value - mean;
        variance.add(bucket.count * delta * delta);
    }
    variance.total() / histogram.count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Span;

    /// 4 observations within ±0.5, 8 up to 2, 8 up to 4.
    fn histogram() -> NativeHistogram {
        NativeHistogram {
            count: 20.0,
            sum: 40.0,
            zero_threshold: 0.5,
            zero_count: 4.0,
            positive_spans: vec![Span { offset: 1, length: 2 }],
            positive_buckets: vec![8.0, 8.0],
            ..NativeHistogram::default()
        }
    }

    #[test]
    fn quantiles_are_linear_around_zero_and_logarithmic_elsewhere() {
        assert_eq!(quantile(0.1, &histogram()), (0.25, None));
        assert_eq!(quantile(0.3, &histogram()), (exp2(0.25), None));
        assert_eq!(quantile(1.0, &histogram()), (4.0, None));
        assert!(quantile(0.5, &NativeHistogram::default()).0.is_nan());
    }

    #[test]
    fn fractions_are_the_reverse_of_quantiles() {
        assert_eq!(fraction(f64::NEG_INFINITY, 0.25, &histogram()), (0.1, None));
        assert_eq!(fraction(2.0, f64::INFINITY, &histogram()), (0.4, None));
        assert_eq!(fraction(3.0, 2.0, &histogram()), (0.0, None));
    }

    #[test]
    fn observations_of_nan_are_told() {
        let with_nan = NativeHistogram { count: 40.0, sum: f64::NAN, ..histogram() };
        assert_eq!(quantile(0.9, &with_nan).1, Some(NanNote::QuantileIsNan));
        assert_eq!(quantile(0.1, &with_nan).1, Some(NanNote::QuantileIsSkewed));
        assert_eq!(fraction(f64::NEG_INFINITY, f64::INFINITY, &with_nan), (0.5, Some(NanNote::Excluded)));
    }

    #[test]
    fn the_variance_is_that_of_the_middles_of_buckets() {
        let one = NativeHistogram {
            schema: -53,
            count: 2.0,
            sum: 4.0,
            custom_values: vec![1.0, 3.0],
            positive_spans: vec![Span { offset: 1, length: 1 }],
            positive_buckets: vec![2.0],
            ..NativeHistogram::default()
        };
        assert_eq!(variance(&one), 0.0);
        assert!(variance(&histogram()) > 0.0);
    }
}
