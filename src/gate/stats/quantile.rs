//! Which ranks bracket a quantile, whatever the distribution.

use super::beta::beta_inc;
use super::binomial::{MANY, normal_quantile};

/// The ranks, counted from 1 of `trials` sorted observations, between which the `phi`-quantile lies with confidence
/// `1 - alpha` (order statistics; half of `alpha` on either side). None where no observation bounds it.
pub(crate) fn rank_interval(trials: u64, phi: f64, alpha: f64) -> (Option<u64>, Option<u64>) {
    if trials as f64 > MANY {
        let middle = trials as f64 * phi;
        let half = normal_quantile(1.0 - alpha / 2.0) * (middle * (1.0 - phi)).max(0.0).sqrt();
        let (low, high) = ((middle - half).floor() as u64, ((middle + half).ceil() as u64).saturating_add(1));
        return (Some(low).filter(|rank| *rank > 0), Some(high).filter(|rank| *rank <= trials));
    }
    let low = partition(trials, |rank| at_most(rank.saturating_sub(1), trials, phi) > alpha / 2.0);
    let high = partition(trials, |rank| at_most(rank.saturating_sub(1), trials, phi) >= 1.0 - alpha / 2.0);
    (low.checked_sub(1).filter(|rank| *rank > 0), Some(high).filter(|rank| *rank <= trials))
}

/// The smallest rank from 1 to `trials` for which `reached` holds, `trials + 1` if none.
fn partition(trials: u64, reached: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (1, trials.saturating_add(1));
    while low < high {
        let middle = low.midpoint(high);
        if reached(middle) {
            high = middle;
        } else {
            low = middle.saturating_add(1);
        }
    }
    low
}

/// P(Bin(trials, phi) <= count).
fn at_most(count: u64, trials: u64, phi: f64) -> f64 {
    if count >= trials {
        return 1.0;
    }
    beta_inc(1.0 - phi, trials.saturating_sub(count) as f64, count as f64 + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_of_the_p95_agree_with_the_table() {
        for (trials, wanted) in [
            (20, (Some(17), None)),
            (60, (Some(53), None)),
            (100, (Some(90), Some(100))),
            (200, (Some(184), Some(197))),
            (1000, (Some(936), Some(964))),
        ] {
            assert_eq!(rank_interval(trials, 0.95, 0.05), wanted, "{trials}");
        }
        assert_eq!(rank_interval(0, 0.95, 0.05), (None, None));
    }
}
