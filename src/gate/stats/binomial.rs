//! Bounds of a ratio from one look at its counts.

use super::beta::{beta_inc, beta_inc_inverse, bisect};
use super::sequential::{scaled, usable};

/// Beyond this count exact and approximate bounds agree to more digits than anybody reads, and exact ones cost time.
pub(crate) const MANY: f64 = 1e6;

/// The exact one-sided bounds of a ratio (Clopper, Pearson 1934), each missed with probability at most `alpha`; for
/// very many trials the score interval, which is then as good.
pub(crate) fn clopper_pearson(events: f64, trials: f64, alpha: f64) -> (f64, f64) {
    if trials > MANY {
        return wilson(events, trials, alpha);
    }
    let misses = trials - events;
    // Where all trials end alike the incomplete beta function is a power.
    let all_alike = libm::log(alpha) / trials;
    if events <= 0.0 {
        return (0.0, -libm::expm1(all_alike));
    }
    if misses <= 0.0 {
        return (libm::exp(all_alike), 1.0);
    }
    (beta_inc_inverse(alpha, events, misses + 1.0), beta_inc_inverse(1.0 - alpha, events + 1.0, misses))
}

/// Whether the exact upper bound lies below `threshold`: so few events, or fewer, come with a probability below `alpha` where
/// the ratio is the threshold. Never for counts that are none.
pub(crate) fn is_below(events: f64, trials: f64, threshold: f64, alpha: f64) -> bool {
    if !usable(events, trials, threshold) || events >= trials {
        return false;
    }
    let (events, trials) = scaled(events, trials);
    beta_inc(1.0 - threshold, trials - events, events + 1.0) < alpha
}

/// Whether the exact lower bound reaches `threshold`: so many events, or more, come with probability `alpha` at most where the
/// ratio is the threshold. Never for counts that are none.
pub(crate) fn is_above(events: f64, trials: f64, threshold: f64, alpha: f64) -> bool {
    if !usable(events, trials, threshold) || events <= 0.0 {
        return false;
    }
    let (events, trials) = scaled(events, trials);
    beta_inc(threshold, events, trials - events + 1.0) <= alpha
}

/// The score interval of a ratio (Wilson 1927), each end missed with probability about `alpha`: narrower than the
/// exact one, for display.
pub(crate) fn wilson(events: f64, trials: f64, alpha: f64) -> (f64, f64) {
    if trials <= 0.0 {
        return (0.0, 1.0);
    }
    let z = normal_quantile(1.0 - alpha);
    let p = events / trials;
    let squared = z * z / trials;
    let centre = (p + squared / 2.0) / (1.0 + squared);
    let half = z * (p * (1.0 - p) / trials + squared / (4.0 * trials)).max(0.0).sqrt() / (1.0 + squared);
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

/// The z below which a standard normal variable lies with probability `p`.
pub(crate) fn normal_quantile(p: f64) -> f64 {
    bisect(-40.0, 40.0, |z| 0.5 * libm::erfc(-z / std::f64::consts::SQRT_2) >= p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn close(found: (f64, f64), wanted: (f64, f64)) {
        assert!(
            (found.0 - wanted.0).abs() < 1.5e-6 && (found.1 - wanted.1).abs() < 1.5e-6,
            "{found:?} {wanted:?}"
        );
    }

    #[test]
    fn exact_bounds_agree_with_published_values() {
        for (events, trials, two_sided, one_sided) in [
            (0.0, 6.0, (0.0, 0.459258), (0.0, 0.393038)),
            (0.0, 59.0, (0.0, 0.060609), (0.0, 0.049508)),
            (1.0, 100.0, (0.000253, 0.054459), (0.000513, 0.046560)),
            (5.0, 100.0, (0.016432, 0.112835), (0.019906, 0.102253)),
            (50.0, 1000.0, (0.037335, 0.065390), (0.039164, 0.062863)),
            (100.0, 100.0, (0.963783, 1.0), (0.970487, 1.0)),
        ] {
            close(clopper_pearson(events, trials, 0.025), two_sided);
            close(clopper_pearson(events, trials, 0.05), one_sided);
        }
    }

    #[test]
    fn one_look_decides_as_its_exact_bounds_do() {
        for trials in [1.0, 6.0, 58.0, 59.0, 60.0, 300.0, 2_000.0] {
            for events in (0..=30).map(f64::from).filter(|events| *events <= trials) {
                for threshold in [0.001, 0.01, 0.05, 0.3] {
                    let (low, high) = clopper_pearson(events, trials, 0.05);
                    let near = |bound: f64| (bound - threshold).abs() < 1e-9;
                    assert!(near(high) || is_below(events, trials, threshold, 0.05) == (high < threshold));
                    assert!(near(low) || is_above(events, trials, threshold, 0.05) == (low >= threshold));
                }
            }
        }
        assert!(is_below(0.0, 59.0, 0.05, 0.05) && !is_below(0.0, 58.0, 0.05, 0.05));
        assert!(is_below(1.0, 1e9, 1e-6, 0.05) && is_above(1e6, 1e9, 1e-4, 0.05));
        assert!(is_below(1e6, 1e15, 1e-8, 0.05) && is_above(1e6, 1e12, 1e-7, 0.05));
        for (events, trials) in [(0.0, 0.0), (2.0, 1.0), (-1.0, 5.0), (f64::NAN, 5.0), (1.0, f64::INFINITY)] {
            assert!(!is_below(events, trials, 0.5, 0.05) && !is_above(events, trials, 0.5, 0.05));
        }
    }

    #[test]
    fn score_intervals_agree_with_published_values() {
        for (events, trials, wanted) in [
            (0.0, 6.0, (0.0, 0.390334)),
            (1.0, 100.0, (0.001767, 0.054486)),
            (5.0, 100.0, (0.021544, 0.111750)),
            (50.0, 1000.0, (0.038130, 0.065314)),
        ] {
            close(wilson(events, trials, 0.025), wanted);
        }
    }
}
