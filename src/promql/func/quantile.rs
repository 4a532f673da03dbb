//! Quantiles of floats.

use std::cmp::Ordering;

/// The `q`-quantile by linear interpolation between ranks; sorts `values`, NaN smallest.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_by(nan_first);
    let last = values.len().saturating_sub(1);
    let rank = q * last as f64;
    let lower = (rank.floor().max(0.0) as usize).min(last);
    let upper = lower.saturating_add(1).min(last);
    let weight = rank - rank.floor();
    let value = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    value(lower) * (1.0 - weight) + value(upper) * weight
}

/// Ascending, NaN before everything else.
pub(crate) fn nan_first(a: &f64, b: &f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
    }
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn ranks_are_interpolated() {
        assert_eq!(quantile(0.5, &mut [3.0, 1.0]), 2.0);
        assert_eq!(quantile(0.25, &mut [1.0, 2.0, 3.0, 4.0, 5.0]), 2.0);
        assert_eq!(quantile(-1.0, &mut [1.0]), f64::NEG_INFINITY);
        assert_eq!(quantile(2.0, &mut [1.0]), f64::INFINITY);
        assert!(quantile(0.5, &mut []).is_nan());
    }

    #[test]
    fn an_infinite_neighbour_makes_nan_even_with_weight_zero() {
        assert!(quantile(0.0, &mut [1.0, f64::INFINITY]).is_nan());
    }

    #[test]
    fn nan_sorts_first() {
        assert!(quantile(0.2, &mut [f64::NAN, 0.0, 1.0]).is_nan());
        assert_eq!(quantile(1.0, &mut [f64::NAN, 0.0, 1.0]), 1.0);
    }
}
