//! The beta function and the regularised incomplete beta function, in logarithms.

/// ln B(a, b), for positive a and b.
pub(crate) fn ln_beta(a: f64, b: f64) -> f64 {
    libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b)
}

/// ln I_x(a, b): the logarithm of the regularised incomplete beta function, for positive a and b.
///
/// Negative infinity at x = 0, 0 at x = 1. The continued fraction is DLMF 8.17.22, evaluated by Lentz's method on
/// the side where it converges fast; the other side is the complement.
pub(crate) fn ln_beta_inc(x: f64, a: f64, b: f64) -> f64 {
    if x.is_nan() || a.is_nan() || b.is_nan() || a <= 0.0 || b <= 0.0 {
        return f64::NAN;
    }
    if x <= 0.0 {
        return f64::NEG_INFINITY;
    }
    if x >= 1.0 {
        return 0.0;
    }
    if x < (a + 1.0) / (a + b + 2.0) {
        ln_lower_part(x, a, b)
    } else {
        libm::log1p(-libm::exp(ln_lower_part(1.0 - x, b, a).min(0.0)))
    }
}

/// I_x(a, b).
pub(crate) fn beta_inc(x: f64, a: f64, b: f64) -> f64 {
    libm::exp(ln_beta_inc(x, a, b))
}

/// The x at which I_x(a, b) = p, to thirteen digits: a few halvings, then the Illinois method (Dowell, Jarratt 1971), which
/// keeps the point between two ends.
pub(crate) fn beta_inc_inverse(p: f64, a: f64, b: f64) -> f64 {
    const HALVINGS: u32 = 6;
    let mut low = (0.0, -p);
    let mut high = (1.0, 1.0 - p);
    // Whether the end that was moved last was the upper one.
    let mut moved_high = None;
    let mut last = f64::NAN;
    for step in 0..200 {
        let middle = (low.0 + high.0) / 2.0;
        let chord = (low.0 * high.1 - high.0 * low.1) / (high.1 - low.1);
        let inside = step >= HALVINGS && chord > low.0 && chord < high.0;
        let x = if inside { chord } else { middle };
        let value = beta_inc(x, a, b) - p;
        if value == 0.0 || (x - last).abs() <= 1e-13 * x || value.is_nan() {
            return x;
        }
        last = x;
        if value > 0.0 {
            if moved_high == Some(true) {
                low.1 /= 2.0;
            }
            (high, moved_high) = ((x, value), Some(true));
        } else {
            if moved_high == Some(false) {
                high.1 /= 2.0;
            }
            (low, moved_high) = ((x, value), Some(false));
        }
    }
    (low.0 + high.0) / 2.0
}

/// The point between `low` and `high` where `reached` turns from false to true.
pub(crate) fn bisect(mut low: f64, mut high: f64, reached: impl Fn(f64) -> bool) -> f64 {
    // Two hundred halvings exhaust the numbers between any two ends.
    for _ in 0..200 {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            break;
        }
        if reached(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    low + (high - low) / 2.0
}

fn ln_lower_part(x: f64, a: f64, b: f64) -> f64 {
    let front = a * libm::log(x) + b * libm::log1p(-x) - ln_beta(a, b) - libm::log(a);
    front + libm::log(continued_fraction(x, a, b))
}

fn continued_fraction(x: f64, a: f64, b: f64) -> f64 {
    // The fraction needs some multiple of the root of the larger parameter. Counts far beyond 10^8 get no answer, so
    // no evidence comes from a sum that was cut short.
    const MAX_TERMS: u32 = 20_000;
    const TINY: f64 = 1e-300;
    let nonzero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / nonzero(1.0 - (a + b) * x / (a + 1.0));
    let mut result = d;
    for term in 1..=MAX_TERMS {
        let m = f64::from(term);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / nonzero(1.0 + even * d);
        c = nonzero(1.0 + even / c);
        result *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / nonzero(1.0 + odd * d);
        c = nonzero(1.0 + odd / c);
        let step = d * c;
        result *= step;
        if (step - 1.0).abs() < 1e-15 {
            return result;
        }
    }
    f64::NAN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_incomplete_beta_agrees_with_closed_forms() {
        for x in [0.001, 0.05, 0.3, 0.5, 0.9, 0.999] {
            assert!((beta_inc(x, 1.0, 1.0) - x).abs() < 1e-14);
            assert!((beta_inc(x, 3.0, 1.0) - x.powi(3)).abs() < 1e-14);
            assert!((beta_inc(x, 1.0, 4.0) - (1.0 - (1.0 - x).powi(4))).abs() < 1e-14);
            assert!((beta_inc(x, 2.5, 7.5) + beta_inc(1.0 - x, 7.5, 2.5) - 1.0).abs() < 1e-13);
        }
    }

    #[test]
    fn the_inverse_is_where_the_function_has_the_value() {
        for p in [1e-6, 0.025, 0.05, 0.5, 0.95, 0.975, 1.0 - 1e-6] {
            for a in [0.5, 1.0, 3.0, 50.0, 1e4, 9e5] {
                for b in [0.5, 1.0, 7.0, 200.0, 1e5, 1e6] {
                    let found = beta_inc_inverse(p, a, b);
                    let halved = bisect(0.0, 1.0, |x| beta_inc(x, a, b) >= p);
                    assert!((found - halved).abs() <= 1e-9 * halved, "{p} {a} {b}: {found} {halved}");
                }
            }
        }
    }

    #[test]
    fn far_tails_keep_their_logarithm() {
        let value = ln_beta_inc(1e-3, 400.0, 1.0);
        assert!((value - 400.0 * 1e-3_f64.ln()).abs() < 1e-6);
        assert_eq!(ln_beta_inc(0.0, 2.0, 2.0), f64::NEG_INFINITY);
        assert_eq!(ln_beta_inc(1.0, 2.0, 2.0), 0.0);
    }

    #[test]
    fn no_input_hangs_or_panics() {
        let odd = [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e-300, 0.5, 1.0, 1e12, 1e300, f64::MAX];
        for x in odd {
            for a in odd {
                for b in [f64::NAN, 0.0, 0.5, 1e9, 1e300] {
                    let value = ln_beta_inc(x, a, b);
                    assert!(value.is_nan() || value <= 1e-6, "{x} {a} {b} gives {value}");
                }
            }
        }
    }
}
