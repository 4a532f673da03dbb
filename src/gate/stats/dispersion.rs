//! How far bad requests come in bursts, and what that leaves of them as evidence.
//!
//! The tests take requests as independent. Where one bad node or a retry makes several fail together, the counts of looks
//! scatter more than those of coins: by a factor φ, Pearson's sum S of the looks' squared deviations over its degrees of
//! freedom. Counts that are divided by φ are worth what they show. φ is not known, so it is taken at the upper end of what S
//! leaves possible, S / χ²(0.05). No theorem says so; simulations do (`simulation`).

use super::gamma::chi_squared_quantile;
use crate::gate::binary::binary_fields;

/// Fewer looks with requests tell nothing of bursts.
pub(crate) const LEAST_LOOKS: u32 = 20;
/// The share of looks at independent requests that scatter so little.
const TAIL: f64 = 0.05;

/// What is done about bursts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Dispersion {
    /// Requests are taken as independent.
    #[default]
    Independent,
    /// Counts are divided by the largest factor that the looks leave possible.
    Upper,
    /// Counts are divided by this factor.
    Factor(f64),
}

/// How the counts of looks scatter; in a state a list without names.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(from = "(u32, f64, f64, f64)", into = "(u32, f64, f64, f64)")
)]
pub(crate) struct Scatter {
    /// Looks at which there were requests.
    looks: u32,
    /// Events and requests of those looks.
    events: f64,
    trials: f64,
    /// The sum of k²/n.
    squares: f64,
}

binary_fields!(Scatter { looks, events, trials, squares });

impl From<(u32, f64, f64, f64)> for Scatter {
    fn from((looks, events, trials, squares): (u32, f64, f64, f64)) -> Self {
        Self { looks, events, trials, squares }
    }
}

impl From<Scatter> for (u32, f64, f64, f64) {
    fn from(Scatter { looks, events, trials, squares }: Scatter) -> Self {
        (looks, events, trials, squares)
    }
}

impl Scatter {
    /// Takes in what one look counted. Events without requests wait for the requests that they belong to.
    pub(crate) fn look(&mut self, all_events: f64, all_trials: f64) {
        let (events, trials) = (all_events - self.events, all_trials - self.trials);
        if !(trials > 0.0 && trials.is_finite() && events.is_finite()) {
            return;
        }
        self.looks = self.looks.saturating_add(1);
        // Numbers beyond all scatter beyond all; the sum stays one that can be written down.
        self.squares = (self.squares + events * events / trials).min(f64::MAX);
        (self.events, self.trials) = (all_events, all_trials);
    }

    /// Looks at which there were requests.
    pub(crate) fn looks(&self) -> u32 {
        self.looks
    }

    /// Pearson's sum of squared deviations from this ratio.
    fn sum(&self, ratio: f64) -> f64 {
        let deviations = ratio.mul_add(ratio.mul_add(self.trials, -2.0 * self.events), self.squares);
        // Rounding may leave less than nothing; what is no number stays none.
        (if deviations < 0.0 { 0.0 } else { deviations }) / (ratio * (1.0 - ratio))
    }

    /// The ratio seen, never one of the ends.
    fn seen(&self) -> f64 {
        (self.events + 0.5) / (self.trials + 1.0)
    }

    /// How many times more the looks scatter than those at independent requests; none for less than two looks.
    pub(crate) fn factor(&self) -> Option<f64> {
        let degrees = self.looks.checked_sub(1).filter(|degrees| *degrees > 0)?;
        let factor = self.sum(self.seen()) / f64::from(degrees);
        factor.is_finite().then_some(factor)
    }

    /// The largest factor that the looks leave possible if the ratio is this one, or, if none is given, the one seen. At least
    /// 1; none as long as there are too few looks.
    pub(crate) fn upper(&self, ratio: Option<f64>) -> Option<f64> {
        if self.looks < LEAST_LOOKS {
            return None;
        }
        let (sum, degrees) = match ratio {
            Some(ratio) => (self.sum(ratio), self.looks),
            None => (self.sum(self.seen()), self.looks.saturating_sub(1)),
        };
        let factor = sum / chi_squared_quantile(TAIL, f64::from(degrees));
        factor.is_finite().then(|| factor.max(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Looks at 20 requests each.
    fn after(events: &[f64]) -> Scatter {
        let mut scatter = Scatter::default();
        let mut all = (0.0, 0.0);
        for events in events {
            all = (all.0 + events, all.1 + 20.0);
            scatter.look(all.0, all.1);
        }
        scatter
    }

    #[test]
    fn the_factor_is_that_of_the_sum_of_squares() {
        // Deviations of 1 each from a tenth of 20: S = 20 · 1 / (20 · 0.1 · 0.9).
        let looks: Vec<f64> = (0..20).map(|look| if look % 2 == 0 { 1.0 } else { 3.0 }).collect();
        let scatter = after(&looks);
        assert!((scatter.sum(0.1) - 20.0 / 1.8).abs() < 1e-9);
        let upper = scatter.upper(Some(0.1)).unwrap();
        assert!((upper - 20.0 / 1.8 / 10.850_811_395).abs() < 1e-9, "{upper}");
        let bursts: Vec<f64> = (0..20).map(|look| if look % 10 == 0 { 20.0 } else { 0.0 }).collect();
        let plain = after(&bursts).factor().unwrap();
        assert!((plain - 20.0).abs() < 1.5, "{plain}");
        assert!(after(&bursts).upper(None).unwrap() > plain);
    }

    #[test]
    fn few_looks_tell_nothing_and_no_looks_are_none() {
        assert_eq!(after(&[1.0; 19]).upper(None), None);
        assert_eq!((after(&[]).factor(), after(&[1.0]).factor()), (None, None));
        assert_eq!(after(&[1.0; 20]).upper(Some(0.05)), Some(1.0));
        let mut idle = after(&[1.0]);
        // An event that was scraped before its request belongs to the look that has the request.
        idle.look(2.0, 20.0);
        assert_eq!(idle.looks(), 1);
        idle.look(2.0, 40.0);
        assert_eq!((idle.looks(), idle.events, idle.squares), (2, 2.0, 0.1));
    }

    proptest! {
        #[test]
        fn nothing_makes_a_factor_below_one_or_none_that_is_a_number(
            looks in proptest::collection::vec(
                (prop_oneof![9 => -5.0..30.0_f64, 1 => Just(1e300)], prop_oneof![9 => -1.0..40.0_f64, 1 => Just(1e200)]),
                0..60,
            ),
            ratio in 0.001..0.999_f64,
        ) {
            let mut scatter = Scatter::default();
            let mut all = (0.0, 0.0);
            for (events, trials) in looks {
                all = (all.0 + events, all.1 + trials);
                scatter.look(all.0, all.1);
            }
            for upper in [scatter.upper(Some(ratio)), scatter.upper(None)].into_iter().flatten() {
                prop_assert!(upper >= 1.0 && upper.is_finite());
            }
            prop_assert!(scatter.factor().is_none_or(f64::is_finite));
            prop_assert!([scatter.events, scatter.trials, scatter.squares].iter().all(|sum| sum.is_finite()));
        }
    }
}
