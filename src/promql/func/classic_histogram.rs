//! Quantiles and fractions of classic histograms: cumulative counts under upper bounds.

use std::cmp::Ordering;

/// One cumulative bucket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// The upper bound, inclusive.
    pub(crate) upper: f64,
    /// Observations at or below it.
    pub(crate) count: f64,
}

/// How far counts had to be pushed up to be monotonic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Repair {
    pub(crate) lowest: f64,
    pub(crate) highest: f64,
    pub(crate) max_difference: f64,
}

impl Repair {
    /// Both repairs as one.
    pub(crate) fn union(self, other: Self) -> Self {
        Self {
            lowest: self.lowest.min(other.lowest),
            highest: self.highest.max(other.highest),
            max_difference: self.max_difference.max(other.max_difference),
        }
    }
}

/// Counts closer than this, relatively, differ by rounding only.
const SMALL_DELTA: f64 = 1e-12;
/// The smallest normal float: below it, relative closeness means nothing.
const MIN_NORMAL: f64 = f64::MIN_POSITIVE;

/// Whether two floats are equal up to `epsilon`, relatively.
fn almost_equal(a: f64, b: f64, epsilon: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let sum = a.abs() + b.abs();
    let difference = (a - b).abs();
    if a == 0.0 || b == 0.0 || sum < MIN_NORMAL {
        return difference < epsilon * MIN_NORMAL;
    }
    difference / sum.min(f64::MAX) < epsilon
}

/// Puts bounds in rising order, as the buckets of [`quantile`] and [`fraction`] have to come.
pub(crate) fn sort_by_bound<T>(buckets: &mut [(f64, T)]) {
    if buckets.iter().all(|(bound, _)| !bound.is_nan()) {
        buckets.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal));
        return;
    }
    // To Go a bound that is NaN equals every other, so that it depends on the algorithm where it ends up; up to a
    // dozen buckets that is insertion.
    for end in 1..buckets.len() {
        let mut at = end;
        while at > 0 {
            let before = at.saturating_sub(1);
            if !matches!(buckets.get(before..=at), Some([a, b]) if b.0 < a.0) {
                break;
            }
            buckets.swap(before, at);
            at = before;
        }
    }
}

/// Adds up the counts of equal bounds; whether the highest bound is infinite.
fn normalize(buckets: &mut Vec<Bucket>) -> bool {
    if !buckets.last().is_some_and(|last| last.upper == f64::INFINITY) {
        return false;
    }
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
    true
}

/// Makes counts rise with the bounds.
fn repair(buckets: &mut [Bucket]) -> Option<Repair> {
    let (first, rest) = buckets.split_first_mut()?;
    let mut previous = first.count;
    let mut repair: Option<Repair> = None;
    for bucket in rest {
        if bucket.count == previous {
            continue;
        }
        if almost_equal(previous, bucket.count, SMALL_DELTA) {
            bucket.count = previous;
            continue;
        }
        if bucket.count < previous {
            let difference = previous - bucket.count;
            let found = repair.get_or_insert(Repair {
                lowest: bucket.upper,
                highest: bucket.upper,
                max_difference: 0.0,
            });
            found.lowest = found.lowest.min(bucket.upper);
            found.highest = found.highest.max(bucket.upper);
            found.max_difference = found.max_difference.max(difference);
            bucket.count = previous;
            continue;
        }
        previous = bucket.count;
    }
    repair
}

/// The `q`-quantile of a histogram with these buckets, in bound order; and what had to be repaired.
pub(crate) fn quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<Repair>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if !normalize(buckets) {
        return (f64::NAN, None);
    }
    let repaired = repair(buckets);
    (quantile_of_repaired(q, buckets), repaired)
}

/// The first bucket whose count reaches `rank`, bisected as Go's `sort.Search` does: with NaN counts the answer depends on
/// where it looks.
fn first_reaching(rank: f64, buckets: &[Bucket]) -> usize {
    let (mut low, mut high) = (0, buckets.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        if buckets.get(middle).is_some_and(|bucket| bucket.count >= rank) {
            high = middle;
        } else {
            low = middle.saturating_add(1);
        }
    }
    low
}

fn quantile_of_repaired(q: f64, buckets: &[Bucket]) -> f64 {
    let [lower @ .., last] = buckets else { return f64::NAN };
    let Some(second_highest) = lower.last() else { return f64::NAN };
    if last.count == 0.0 {
        return f64::NAN;
    }
    let mut rank = q * last.count;
    let index = first_reaching(rank, lower);
    let Some(bucket) = lower.get(index) else { return second_highest.upper };
    if index == 0 && bucket.upper <= 0.0 {
        return bucket.upper;
    }
    let mut start = 0.0;
    let end = bucket.upper;
    let mut count = bucket.count;
    if let Some(below) = index.checked_sub(1).and_then(|below| lower.get(below)) {
        start = below.upper;
        count -= below.count;
        rank -= below.count;
    }
    start + (end - start) * (rank / count)
}

/// The fraction of observations between `lower` and `upper`; buckets in bound order.
pub(crate) fn fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if !normalize(buckets) {
        return f64::NAN;
    }
    let Some(total) = buckets.last().map(|last| last.count) else { return f64::NAN };
    if total == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let (mut lower_rank, mut upper_rank) = (None, None);
    let mut rank = 0.0;
    let mut low = match buckets.first() {
        Some(first) if first.upper > 0.0 => 0.0,
        _ => f64::NEG_INFINITY,
    };
    for bucket in buckets.iter() {
        let high = bucket.upper;
        let interpolate = |x: f64| {
            if low == f64::NEG_INFINITY {
                return bucket.count;
            }
            rank + (bucket.count - rank) * (x - low) / (high - low)
        };
        for (limit, found) in [(lower, &mut lower_rank), (upper, &mut upper_rank)] {
            if found.is_none() {
                if low >= limit {
                    *found = Some(rank);
                } else if low < limit && high > limit {
                    *found = Some(interpolate(limit));
                }
            }
        }
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        rank = bucket.count;
        low = high;
    }
    let reached = |found: Option<f64>| match found {
        Some(rank) if rank > total => total,
        Some(rank) => rank,
        None => total,
    };
    (reached(upper_rank) - reached(lower_rank)) / total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(pairs: &[(f64, f64)]) -> Vec<Bucket> {
        pairs.iter().map(|(upper, count)| Bucket { upper: *upper, count: *count }).collect()
    }

    const INF: f64 = f64::INFINITY;

    #[test]
    fn a_nan_count_is_met_where_go_meets_it() {
        let counts = [(-1.0, 0.02), (0.0, 0.03), (0.1, 0.11), (0.5, INF), (1.0, f64::NAN), (INF, 0.42)];
        assert_eq!(quantile(1.0, &mut buckets(&counts)).0, 1.0);
    }

    #[test]
    fn quantiles_are_interpolated_inside_a_bucket() {
        let (value, repaired) = quantile(0.5, &mut buckets(&[(1.0, 5.0), (2.0, 15.0), (INF, 20.0)]));
        assert_eq!((value, repaired), (1.5, None));
    }

    #[test]
    fn the_top_bucket_answers_with_the_second_highest_bound() {
        assert_eq!(quantile(1.0, &mut buckets(&[(1.0, 5.0), (INF, 20.0)])).0, 1.0);
    }

    #[test]
    fn what_is_no_histogram_is_nan() {
        for pairs in [&[(1.0, 5.0), (2.0, 6.0)][..], &[(1.0, 0.0), (INF, 0.0)], &[(INF, 3.0)], &[]] {
            assert!(quantile(0.5, &mut buckets(pairs)).0.is_nan());
        }
    }

    #[test]
    fn falling_counts_are_raised_and_reported() {
        let (_, repaired) = quantile(0.5, &mut buckets(&[(1.0, 10.0), (2.0, 8.0), (3.0, 5.0), (INF, 20.0)]));
        assert_eq!(repaired, Some(Repair { lowest: 2.0, highest: 3.0, max_difference: 5.0 }));
        let (_, repaired) = quantile(0.5, &mut buckets(&[(1.0, 10.0), (2.0, 10.0 - 1e-13), (INF, 20.0)]));
        assert_eq!(repaired, None);
    }

    #[test]
    fn bounds_are_sorted_and_nan_stays_where_it_is() {
        let mut bounds = [(INF, 0), (0.1, 1), (0.5, 2), (f64::NAN, 3)];
        sort_by_bound(&mut bounds);
        assert_eq!(bounds.map(|(_, place)| place), [1, 2, 0, 3]);
    }

    #[test]
    fn a_fraction_lies_between_its_limits() {
        let rows = &[(1.0, 5.0), (2.0, 15.0), (INF, 20.0)];
        assert_eq!(fraction(0.0, 1.0, &mut buckets(rows)), 0.25);
        assert_eq!(fraction(1.0, 1.5, &mut buckets(rows)), 0.25);
        assert_eq!(fraction(f64::NEG_INFINITY, INF, &mut buckets(rows)), 1.0);
        assert_eq!(fraction(2.0, 1.0, &mut buckets(rows)), 0.0);
    }
}
