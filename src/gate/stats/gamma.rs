//! The regularised incomplete gamma function, and the quantiles of χ² that follow from it.

use super::binomial::normal_quantile;

/// Beyond this many degrees of freedom the first guess has more digits than anybody reads.
const MANY: f64 = 1e6;

/// P(a, x), for positive a and x that is not negative: the series (DLMF 8.11.4) up to the maximum, beyond it the continued
/// fraction of the complement (DLMF 8.9.2) by Lentz's method.
fn gamma_inc(a: f64, x: f64) -> f64 {
    // Either needs some multiple of the root of its parameter.
    const MAX_TERMS: u32 = 20_000;
    const TINY: f64 = 1e-300;
    if x <= 0.0 {
        return 0.0;
    }
    let front = libm::exp(a * libm::log(x) - x - libm::lgamma(a));
    if x < a + 1.0 {
        let mut term = 1.0 / a;
        let mut sum = term;
        for step in 1..=MAX_TERMS {
            term *= x / (a + f64::from(step));
            sum += term;
            if term < sum * 1e-16 {
                return front * sum;
            }
        }
        return f64::NAN;
    }
    let nonzero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / TINY;
    let mut d = 1.0 / nonzero(b);
    let mut result = d;
    for step in 1..=MAX_TERMS {
        let step = f64::from(step);
        let factor = step * (a - step);
        b += 2.0;
        d = 1.0 / nonzero(factor.mul_add(d, b));
        c = nonzero(b + factor / c);
        let change = d * c;
        result *= change;
        if (change - 1.0).abs() < 1e-15 {
            return 1.0 - front * result;
        }
    }
    f64::NAN
}

/// The value below which χ² with so many degrees of freedom lies with probability `p`: the approximation of Wilson and Hilferty
/// (1931), made exact by Newton's method. NaN for what is no probability, and for less than one degree of freedom.
pub(crate) fn chi_squared_quantile(p: f64, degrees: f64) -> f64 {
    if !(p > 0.0 && p < 1.0 && degrees >= 1.0) {
        return f64::NAN;
    }
    let spread = 2.0 / (9.0 * degrees);
    let root = normal_quantile(p).mul_add(spread.sqrt(), 1.0 - spread);
    let guess = degrees * libm::pow(root.max(0.01), 3.0);
    if degrees > MANY {
        return guess;
    }
    let a = degrees / 2.0;
    let mut value = guess;
    for _ in 0..100 {
        let x = value / 2.0;
        let density = libm::exp((a - 1.0) * libm::log(x) - x - libm::lgamma(a)) / 2.0;
        let next = value - (gamma_inc(a, x) - p) / density;
        // Far out the line may leave the positive numbers.
        let next = if next > 0.0 { next } else { value / 2.0 };
        let step = (next - value).abs();
        value = next;
        // The steps square: after such a one only rounding is left, which for many degrees never ends.
        if step <= 1e-9 * value || value.is_nan() {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_agree_with_published_tables() {
        for (p, degrees, wanted) in [
            (0.05, 1.0, 0.003_932_14),
            (0.05, 2.0, 0.102_586_589),
            (0.05, 10.0, 3.940_299_136),
            (0.05, 19.0, 10.117_013_064),
            (0.05, 20.0, 10.850_811_395),
            (0.05, 100.0, 77.929_465_165),
            (0.95, 20.0, 31.410_432_844),
            (0.5, 1.0, 0.454_936_423),
            (0.975, 5.0, 12.832_501_994),
        ] {
            let found = chi_squared_quantile(p, degrees);
            assert!((found - wanted).abs() < 1e-7 * wanted.max(1.0), "{p}, {degrees}: {found}");
        }
    }

    #[test]
    fn the_function_agrees_with_closed_forms() {
        for x in [0.0, 0.001, 0.5, 1.0, 3.0, 30.0] {
            assert!((gamma_inc(1.0, x) + (-x).exp_m1()).abs() < 1e-13);
            assert!((gamma_inc(2.0, x) - (1.0 - (1.0 + x) * (-x).exp())).abs() < 1e-13);
            assert!((gamma_inc(0.5, x) - libm::erf(x.sqrt())).abs() < 1e-13);
        }
    }

    #[test]
    fn the_quantile_is_where_the_function_has_the_value_whatever_the_degrees() {
        for degrees in [1.0, 3.0, 19.0, 500.0, 20_000.0, 999_999.0] {
            for p in [0.001, 0.05, 0.5, 0.95, 0.999] {
                let value = chi_squared_quantile(p, degrees);
                assert!((gamma_inc(degrees / 2.0, value / 2.0) - p).abs() < 1e-8, "{p}, {degrees}: {value}");
            }
        }
        // Where it is only guessed the guess is good.
        let (exact, guessed) =
            (chi_squared_quantile(0.05, 999_999.0), chi_squared_quantile(0.05, 1_000_001.0));
        assert!((guessed - exact - 2.0).abs() < 0.01, "{exact} {guessed}");
        for (p, degrees) in [(0.0, 5.0), (1.0, 5.0), (f64::NAN, 5.0), (0.5, 0.0), (0.5, f64::NAN)] {
            assert!(chi_squared_quantile(p, degrees).is_nan());
        }
    }
}
