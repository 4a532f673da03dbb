//! Whether a share was too large in the newest stretch of time, asked again and again.
//!
//! A window holds what was counted since one of its starts. One start is where the evidence begins; others follow, a sixth of the
//! window's length apart, and each is left when it is older than the window is long. So a window is at most as long as it says, more
//! than five sixths of that once there has been so much, and all of the evidence before.
//!
//! For one start the evidence that the share since then is above τ is E, the mixture of likelihood ratios of [`ln_e_fail`]. Let p be
//! the probabilities with which its requests fail, each its own. A factor of the likelihood ratio for the alternative q has the mean
//! 1 + c (p - τ), c = (q - τ) / (τ (1 - τ)) > 0, and the ratio over the product M of these means is a martingale. Where the mean of
//! the p so far is τ or less, that product is at most exp(c Σ (p - τ)) ≤ 1, and the ratio at most the martingale; so are the mixtures
//! over q. Hence with a probability of at most α there is ever an instant at which E ≥ 1/α although the requests since the start
//! failed with a mean probability of at most τ (Ville 1939), however the probabilities change from request to request, and
//! however often one looks.
//!
//! The starts share α: the first has half of it, the nth after it the part 1 / (2 n (n + 1)), which add up to 1 without an end.
//! That costs ln 2 as long as the evidence fits into a window, and ln (2 n (n + 1)) later: after 100 starts about as much as two bad
//! requests in a row are worth at τ = 1.44 %. Both windows of a pair have to show it, each at the α of the pair: who wrongly takes both for
//! too large takes the one that is not for it (Berger 1982), so a pair costs no more than a window. Pairs share α evenly.

use super::sequential::ln_e_fail;
use crate::gate::binary::{Binary, Reader, binary_fields};

/// Into how many parts starts divide a window.
const PARTS: i64 = 6;

/// Where a window may begin; in a state a list without names.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(from = "(u32, i64, f64, f64)", into = "(u32, i64, f64, f64)")
)]
pub(crate) struct Start {
    /// How many starts were before it.
    number: u32,
    /// How long after the evidence began, in milliseconds.
    pub(crate) after_ms: i64,
    /// What was counted until then.
    pub(crate) events: f64,
    pub(crate) trials: f64,
}

binary_fields!(Start { number, after_ms, events, trials });

impl From<(u32, i64, f64, f64)> for Start {
    fn from((number, after_ms, events, trials): (u32, i64, f64, f64)) -> Self {
        Self { number, after_ms, events, trials }
    }
}

impl From<Start> for (u32, i64, f64, f64) {
    fn from(Start { number, after_ms, events, trials }: Start) -> Self {
        (number, after_ms, events, trials)
    }
}

impl Start {
    /// ln of the evidence that it takes from here, of a window that is wrong with probability `alpha` at most.
    pub(crate) fn ln_e_needed(self, alpha: f64) -> f64 {
        let number = f64::from(self.number);
        let parts = if self.number == 0 { 2.0 } else { 2.0 * number * (number + 1.0) };
        libm::log(parts / alpha)
    }

    /// ln of the evidence that of what was counted since more than `share` is bad, every count divided by `factor`; none on the
    /// other side.
    pub(crate) fn ln_e(self, (events, trials): (f64, f64), share: f64, factor: f64) -> f64 {
        let (events, trials) = ((events - self.events) / factor, (trials - self.trials) / factor);
        if events > share * trials { ln_e_fail(events, trials, share) } else { f64::NEG_INFINITY }
    }
}

/// The starts of windows of one length, oldest first: at the oldest one the window begins.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub(crate) struct Starts(Vec<Start>);

impl Binary for Starts {
    fn put(&self, into: &mut Vec<u8>) {
        self.0.put(into);
    }

    fn take(from: &mut Reader<'_>) -> Option<Self> {
        Vec::take(from).map(Self)
    }
}

impl Starts {
    /// Takes in that these are the counts `at_ms` after the evidence began, and leaves what is older than the window is long.
    pub(crate) fn look(&mut self, window_ms: i64, at_ms: i64, (events, trials): (f64, f64)) {
        if self.0.is_empty() {
            self.0.push(Start::default());
        }
        let oldest = at_ms.saturating_sub(window_ms);
        let young = self.0.iter().position(|start| start.after_ms >= oldest);
        // Where looks are further apart than the window is long, it is as long as they are.
        self.0.drain(..young.unwrap_or_else(|| self.0.len().saturating_sub(1)));
        let Some(newest) = self.0.last() else { return };
        if at_ms.saturating_sub(newest.after_ms) >= (window_ms / PARTS).max(1) {
            self.0.push(Start { number: newest.number.saturating_add(1), after_ms: at_ms, events, trials });
        }
    }

    /// Where the window begins; where the evidence does before the first look.
    pub(crate) fn oldest(&self) -> Start {
        self.0.first().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::stats::simulation::{Coins, allowed, runs};

    const SECOND: i64 = 1_000;

    #[test]
    fn a_window_is_all_of_the_evidence_and_then_slides() {
        let mut starts = Starts::default();
        let mut begins = Vec::new();
        for at in (0..=1_200).step_by(10) {
            starts.look(300 * SECOND, at * SECOND, (0.0, at as f64));
            let Start { number, after_ms, trials, .. } = starts.oldest();
            assert_eq!(trials, after_ms as f64 / 1e3);
            assert!(starts.0.len() <= 8, "{starts:?}");
            let length = at - after_ms / SECOND;
            assert!(length <= 300 && (length > 240 || number == 0), "{at}: {length}");
            begins.push(number);
        }
        assert_eq!((begins[30], begins[31], begins[120]), (0, 1, 18));
        // Parts of α for all starts there will ever be.
        let parts: f64 =
            (0..10_000).map(|number| (-Start { number, ..Start::default() }.ln_e_needed(1.0)).exp()).sum();
        assert!(parts < 1.0 && parts > 0.9999, "{parts}");
    }

    #[test]
    fn looks_that_are_rarer_than_the_window_is_long_are_windows() {
        let mut starts = Starts::default();
        for at in 1..=50 {
            starts.look(300 * SECOND, at * 1_000 * SECOND, (0.0, at as f64));
            assert_eq!(starts.oldest().after_ms, (at - 1) * 1_000 * SECOND);
        }
        let mut starts = Starts::default();
        starts.look(i64::MAX, i64::MAX, (1.0, 2.0));
        starts.look(1, i64::MAX, (1.0, 2.0));
        assert!(starts.0.len() <= 2);
    }

    /// A pair of windows, in looks, and the share that neither must exceed.
    type Windows = (i64, i64, f64);

    /// The first of so many looks, at 20 requests each, at which both windows of some pair show too much.
    fn first(pairs: &[Windows], looks: i64, coins: &mut Coins, ratio: impl Fn(i64) -> f64) -> Option<i64> {
        let alpha = 0.05 / pairs.len() as f64;
        let mut starts = vec![(Starts::default(), Starts::default()); pairs.len()];
        let mut counts = (0.0, 0.0);
        (1..=looks).find(|look| {
            let bad: u32 = (0..20).map(|_| u32::from(coins.uniform() < ratio(*look))).sum();
            counts = (counts.0 + f64::from(bad), counts.1 + 20.0);
            pairs.iter().zip(&mut starts).fold(false, |any, ((long, short, share), (longs, shorts))| {
                longs.look(*long, *look, counts);
                shorts.look(*short, *look, counts);
                let shows = |start: Start| start.ln_e(counts, *share, 1.0) >= start.ln_e_needed(alpha);
                (shows(longs.oldest()) && shows(shorts.oldest())) || any
            })
        })
    }

    /// The workbook's pairs for an objective of 99 % and looks every 30 s: an hour and 5 minutes, 6 hours and 30 minutes. The third
    /// is as long as the run.
    const WORKBOOK: [Windows; 3] = [(120, 10, 0.144), (720, 60, 0.06), (8_640, 720, 0.01)];

    #[test]
    fn a_canary_at_its_budget_or_just_below_a_factor_hardly_ever_burns_too_fast() {
        let (runs, mut coins) = (runs(), Coins::new(31));
        let mut ever = |pairs: &[Windows], ratio: f64| {
            (0..runs).filter(|_| first(pairs, 1_000, &mut coins, |_| ratio).is_some()).count()
        };
        for (pairs, ratio) in
            [(&WORKBOOK[..], 0.01), (&WORKBOOK[..1], 0.144), (&WORKBOOK[..2], 0.06), (&[(10, 9, 0.06)], 0.06)]
        {
            let failed = ever(pairs, ratio);
            assert!(failed <= allowed(runs), "{pairs:?}: {failed}");
        }
    }

    #[test]
    fn a_burst_that_the_long_window_forgives_does_not_fail() {
        let (runs, mut coins) = (runs(), Coins::new(37));
        // A fifth of the requests fail for two and a half minutes of an hour: of the hour that is less than 14.4 budgets. Before
        // the hour is full its window is shorter, so it begins with a good hour.
        let burst = |look: i64| if (121..126).contains(&look) { 0.2 } else { 0.001 };
        let failed = (0..runs).filter(|_| first(&WORKBOOK[..1], 240, &mut coins, burst).is_some()).count();
        assert!(failed <= allowed(runs), "{failed}");
    }

    #[test]
    fn a_bad_canary_is_caught_the_sooner_the_faster_it_burns() {
        let mut coins = Coins::new(41);
        for (ratio, looks) in [(0.02, 190), (0.05, 24), (0.1, 9), (0.2, 4), (1.0, 1)] {
            let mut found: Vec<i64> =
                (0..60).filter_map(|_| first(&WORKBOOK, 1_000, &mut coins, |_| ratio)).collect();
            assert!(found.len() >= 59, "{ratio}: {}", found.len());
            found.sort_unstable();
            assert!(found[found.len() / 2] <= looks, "{ratio}: {}", found[found.len() / 2]);
        }
        // After two good hours it is found in the windows, of which the short ones have seen nothing else.
        let turns = |look: i64| if look <= 240 { 0.001 } else { 0.5 };
        let mut found: Vec<i64> =
            (0..40).filter_map(|_| first(&WORKBOOK[..1], 480, &mut coins, turns)).collect();
        found.sort_unstable();
        assert!(found.len() == 40 && (245..=300).contains(&found[20]), "{found:?}");
    }
}
