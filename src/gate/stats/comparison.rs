//! The canary's ratio beside the baseline's, while both take traffic and the split between them changes.
//!
//! Of K events in a span, k fell on the canary. Were its ratio θ times the baseline's, each would have fallen on it with
//! probability q = θn / (θn + m), where n and m are the requests of the two (Przyborowski, Wilenski 1940). A likelihood ratio
//! against that, mixed over a grid of θ on one side of the limit, is a non-negative supermartingale while the true θ lies on
//! the other side: for events of a Poisson process exactly, for those among a number of requests on the safe side. So it
//! reaches 1/α with probability at most α, however often one looks (Ville 1939).

use super::binomial::{clopper_pearson, is_above, is_below, wilson};
use crate::gate::binary::binary_fields;

/// Alternatives on either side of the limit, from 1.2 times to 20 times it.
const GRID: usize = 16;
/// Counts beyond this leave the range in which doubles count exactly.
const MAX_COUNT: f64 = 9_007_199_254_740_992.0;
const NEAREST: f64 = 1.2;
const FARTHEST: f64 = 20.0;

/// Events among requests, of the canary and of the baseline; in a state a list without names.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(from = "[f64; 4]", into = "[f64; 4]")
)]
pub(crate) struct Pair {
    pub(crate) events: f64,
    pub(crate) trials: f64,
    pub(crate) baseline_events: f64,
    pub(crate) baseline_trials: f64,
}

binary_fields!(Pair { events, trials, baseline_events, baseline_trials });

impl From<[f64; 4]> for Pair {
    fn from([events, trials, baseline_events, baseline_trials]: [f64; 4]) -> Self {
        Self { events, trials, baseline_events, baseline_trials }
    }
}

impl From<Pair> for [f64; 4] {
    fn from(Pair { events, trials, baseline_events, baseline_trials }: Pair) -> Self {
        [events, trials, baseline_events, baseline_trials]
    }
}

impl Pair {
    /// Every count divided by `factor`.
    pub(crate) fn over(self, factor: f64) -> Self {
        Self {
            events: self.events / factor,
            trials: self.trials / factor,
            baseline_events: self.baseline_events / factor,
            baseline_trials: self.baseline_trials / factor,
        }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            events: self.events + other.events,
            trials: self.trials + other.trials,
            baseline_events: self.baseline_events + other.baseline_events,
            baseline_trials: self.baseline_trials + other.baseline_trials,
        }
    }

    /// What came to these counts since `earlier` ones.
    pub(crate) fn minus(self, earlier: Self) -> Self {
        Self {
            events: self.events - earlier.events,
            trials: self.trials - earlier.trials,
            baseline_events: self.baseline_events - earlier.baseline_events,
            baseline_trials: self.baseline_trials - earlier.baseline_trials,
        }
    }

    /// Adds counts to those that wait, and takes all of them once they can be judged: both sides have had requests. The ends of spans so
    /// depend on requests alone, not on events, but for events that were scraped before their requests, which wait for them.
    pub(super) fn span_with(&mut self, counts: Self) -> Option<Self> {
        *self = self.plus(counts);
        let has_both = self.usable() && self.trials > 0.0 && self.baseline_trials > 0.0;
        has_both.then(|| std::mem::take(self))
    }

    /// Counts that can be such.
    pub(super) fn usable(self) -> bool {
        (0.0..=self.trials).contains(&self.events)
            && (0.0..=self.baseline_trials).contains(&self.baseline_events)
            && self.trials <= MAX_COUNT
            && self.baseline_trials <= MAX_COUNT
    }
}

/// The two tests of one comparison: logarithms of likelihood ratios, one for each alternative.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Mixture {
    pass: [f64; GRID],
    fail: [f64; GRID],
    /// What was counted since the last span.
    pending: Pair,
    once: Once,
}

binary_fields!(Mixture { pass, fail, pending, once });

/// What one look tests: of all events how many are the canary's.
///
/// Each event falls on the canary with the probability q of its own span, so the canary's are a sum of coins that differ. The tails of
/// such a sum are no heavier than those of as many coins that are all alike and have the same mean (Hoeffding 1956), from one event
/// beside the mean on; sums over all spans alone would take a canary for good that got most of its traffic while everybody did well.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Once {
    own: f64,
    all: f64,
    /// How many would be the canary's on average at the limit for passing, and at that for failing.
    expected: (f64, f64),
}

binary_fields!(Once { own, all, expected });

impl Mixture {
    /// Adds the counts of a span that begins where the last one ended. Passing is held against `pass` times the baseline's
    /// ratio, failing against `fail` times.
    pub(crate) fn add(&mut self, counts: Pair, pass: f64, fail: f64) {
        let Some(counts) = self.pending.span_with(counts) else { return };
        let all = counts.events + counts.baseline_events;
        self.once.own += counts.events;
        self.once.all += all;
        self.once.expected.0 += share_at(counts, pass).unwrap_or(0.0) * all;
        self.once.expected.1 += share_at(counts, fail).unwrap_or(1.0) * all;
        for (index, (passing, failing)) in self.pass.iter_mut().zip(&mut self.fail).enumerate() {
            let distance = NEAREST * libm::pow(FARTHEST / NEAREST, index as f64 / (GRID - 1) as f64);
            *passing += gain(counts, pass / distance, pass);
            // Without a limit nothing is too much.
            if fail.is_finite() {
                *failing += gain(counts, fail * distance, fail);
            }
        }
    }

    /// Whether one look shows the canary's ratio below the limit for passing, and above that for failing, every count divided by
    /// `factor`, each wrongly with probability at most the one given.
    pub(crate) fn in_one_look(&self, factor: f64, (pass, fail): (f64, f64)) -> (bool, bool) {
        let Once { own, all, expected } = self.once;
        let (events, trials) = (own / factor, all / factor);
        (
            (own <= 0.0 || own + 1.0 <= expected.0) && is_below(events, trials, expected.0 / all, pass),
            (own >= all || own - 1.0 >= expected.1) && is_above(events, trials, expected.1 / all, fail),
        )
    }

    /// ln of the evidence that the canary's ratio is below the limit, every count divided by `factor`.
    pub(crate) fn ln_e_pass(&self, factor: f64) -> f64 {
        mean(&self.pass, factor)
    }

    /// ln of the evidence that the canary's ratio is above the limit, every count divided by `factor`.
    pub(crate) fn ln_e_fail(&self, factor: f64) -> f64 {
        mean(&self.fail, factor)
    }
}

/// ln of the likelihood ratio of `theta` against `limit`, for counts in which both sides have requests:
/// k ln(q/q0) + l ln((1-q)/(1-q0)), written so that neither share is rounded to nothing.
pub(super) fn gain(counts: Pair, theta: f64, limit: f64) -> f64 {
    let Pair { events: k, trials: n, baseline_events: l, baseline_trials: m } = counts;
    let gain = k * libm::log(theta / limit) + (k + l) * libm::log(limit.mul_add(n, m) / theta.mul_add(n, m));
    // Limits near the largest floats leave them, and tell nothing.
    if gain.is_finite() { gain } else { 0.0 }
}

/// ln of the mean of the exponentials of so many parts of each.
pub(super) fn mean(logarithms: &[f64; GRID], parts: f64) -> f64 {
    let logarithms = logarithms.map(|logarithm| logarithm / parts);
    let most = logarithms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !most.is_finite() {
        return f64::NEG_INFINITY;
    }
    let sum: f64 = logarithms.iter().map(|logarithm| libm::exp(logarithm - most)).sum();
    most + libm::log(sum / GRID as f64)
}

/// The share of all events that would fall on the canary if its ratio were `theta` times the baseline's; none without requests.
fn share_at(counts: Pair, theta: f64) -> Option<f64> {
    let own = theta * counts.trials;
    let share = own / (own + counts.baseline_trials);
    (counts.trials > 0.0 && counts.baseline_trials > 0.0 && share > 0.0 && share < 1.0).then_some(share)
}

/// How many times the baseline's ratio the canary's may be, from one look: exact given all events, each end missed with
/// probability at most `alpha`. `(0, ∞)` without events.
pub(crate) fn ratio_bounds(counts: Pair, alpha: f64) -> (f64, f64) {
    let Pair { events, trials, baseline_events, baseline_trials } = counts;
    let all = events + baseline_events;
    if !(counts.usable() && all > 0.0 && trials > 0.0 && baseline_trials > 0.0) {
        return (0.0, f64::INFINITY);
    }
    let (low, high) = clopper_pearson(events, all, alpha);
    let theta = |share: f64| {
        if share <= 0.0 { 0.0 } else { baseline_trials / trials * share / (1.0 - share) }
    };
    (theta(low), theta(high))
}

/// The canary's ratio less the baseline's, from one look (Newcombe 1998, method 10), each end missed with probability about
/// `alpha`: for display.
pub(crate) fn difference_bounds(counts: Pair, alpha: f64) -> (f64, f64) {
    let Pair { events, trials, baseline_events, baseline_trials } = counts;
    if !(counts.usable() && trials > 0.0 && baseline_trials > 0.0) {
        return (-1.0, 1.0);
    }
    let (own, other) = (events / trials, baseline_events / baseline_trials);
    let (own_low, own_high) = wilson(events, trials, alpha);
    let (other_low, other_high) = wilson(baseline_events, baseline_trials, alpha);
    let difference = own - other;
    (
        difference - libm::hypot(own - own_low, other_high - other),
        difference + libm::hypot(own_high - own, other - other_low),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::stats::simulation::Coins;
    use proptest::prelude::*;

    fn pair(events: f64, trials: f64, baseline_events: f64, baseline_trials: f64) -> Pair {
        Pair { events, trials, baseline_events, baseline_trials }
    }

    #[test]
    fn an_event_that_is_counted_before_its_request_waits_for_it() {
        let (mut apart, mut at_once) = (Mixture::default(), Mixture::default());
        for _ in 0..20 {
            apart.add(pair(1.0, 0.0, 0.0, 10.0), 1.5, 1.5);
            apart.add(pair(0.0, 1.0, 0.0, 10.0), 1.5, 1.5);
            at_once.add(pair(1.0, 1.0, 0.0, 20.0), 1.5, 1.5);
        }
        assert_eq!(apart, at_once);
        // A good one makes a bad one less than none until then.
        let mut apart = Mixture::default();
        apart.add(pair(-1.0, 0.0, 0.0, 10.0), 1.5, 1.5);
        apart.add(pair(2.0, 2.0, -3.0, 10.0), 1.5, 1.5);
        apart.add(pair(0.0, 0.0, 3.0, 10.0), 1.5, 1.5);
        let mut at_once = Mixture::default();
        at_once.add(pair(1.0, 2.0, 0.0, 30.0), 1.5, 1.5);
        assert_eq!(apart, at_once);
    }

    fn after(ticks: impl IntoIterator<Item = Pair>) -> (f64, f64) {
        let mut mixture = Mixture::default();
        ticks.into_iter().for_each(|counts| mixture.add(counts, 1.5, 1.5));
        (mixture.ln_e_pass(1.0), mixture.ln_e_fail(1.0))
    }

    #[track_caller]
    fn close(found: (f64, f64), wanted: (f64, f64), digits: f64) {
        let near = |a: f64, b: f64| (a - b).abs() < digits;
        assert!(near(found.0, wanted.0) && near(found.1, wanted.1), "{found:?} {wanted:?}");
    }

    #[test]
    fn the_mixture_agrees_with_the_reference_values() {
        let ticks = [pair(5.0, 100.0, 9.0, 900.0), pair(7.0, 110.0, 8.0, 880.0)];
        close(after(ticks[..1].to_vec()), (-2.641_088_964_1, 1.210_092_699_8), 1e-9);
        close(after(ticks), (-4.004_191_676_3, 4.678_909_233_2), 1e-9);
        close(after([pair(0.0, 100.0, 9.0, 900.0); 5]), (5.641_592_859_6, -3.808_390_808_5), 1e-9);
        let shifted = [pair(1.0, 200.0, 4.0, 200.0), pair(0.0, 300.0, 6.0, 100.0)];
        close(after(shifted), (8.991_685_428_8, -3.788_328_204_3), 1e-9);
    }

    #[test]
    fn bounds_agree_with_the_reference_values() {
        close(ratio_bounds(pair(12.0, 1000.0, 20.0, 9000.0), 0.025), (2.406_849, 11.598_621), 1e-5);
        close(ratio_bounds(pair(0.0, 500.0, 5.0, 4500.0), 0.025), (0.0, 9.821_512), 1e-5);
        close(ratio_bounds(pair(5.0, 100.0, 5.0, 100.0), 0.025), (0.230_142, 4.345_135), 1e-5);
        close(difference_bounds(pair(56.0, 70.0, 48.0, 80.0), 0.025), (0.052_431, 0.333_873), 1e-6);
        close(difference_bounds(pair(10.0, 100.0, 4.0, 100.0), 0.025), (-0.013_563, 0.138_247), 1e-6);
        assert_eq!(ratio_bounds(pair(0.0, 500.0, 0.0, 500.0), 0.025), (0.0, f64::INFINITY));
    }

    #[test]
    fn sides_that_are_scraped_in_turn_wait_for_each_other() {
        let both = after([pair(5.0, 100.0, 9.0, 900.0)]);
        let turns = after([pair(5.0, 100.0, 0.0, 0.0), pair(0.0, 0.0, 9.0, 900.0)]);
        assert_eq!(both, turns);
        assert_eq!(after([pair(5.0, 100.0, 0.0, 0.0)]), (0.0, 0.0));
    }

    /// Looks after every tick; whether passing or failing was ever decided.
    fn ever(ratio: f64, baseline: f64, numbers: &mut impl FnMut() -> f64) -> (bool, bool) {
        let limit = libm::log(20.0);
        let mut mixture = Mixture::default();
        let mut decided = (false, false);
        for tick in 0..200 {
            // The split goes from one in ten to one half.
            let trials = 5 + tick / 10;
            let mut draw = |trials: i32, ratio: f64| {
                f64::from((0..trials).map(|_| i32::from(numbers() < ratio)).sum::<i32>())
            };
            let events = draw(trials, ratio);
            let baseline_events = draw(50 - trials, baseline);
            mixture.add(pair(events, trials.into(), baseline_events, (50 - trials).into()), 1.5, 1.5);
            decided.0 |= mixture.ln_e_pass(1.0) >= limit;
            decided.1 |= mixture.ln_e_fail(1.0) >= limit;
        }
        decided
    }

    #[test]
    fn the_promise_holds_while_the_split_changes() {
        let mut state = 9_u64;
        let mut numbers = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let runs = 400;
        let mut count = |ratio: f64| {
            (0..runs)
                .map(|_| ever(ratio, 0.04, &mut numbers))
                .fold((0, 0), |all, (pass, fail)| (all.0 + usize::from(pass), all.1 + usize::from(fail)))
        };
        // At the limit either mistake is made in at most one of twenty runs; far from it the answer comes.
        let (passes, fails) = count(0.06);
        assert!(passes <= 30 && fails <= 30, "{passes} {fails}");
        let (passes, fails) = count(0.02);
        assert!(passes >= 350 && fails <= 2, "{passes} {fails}");
        let (passes, fails) = count(0.16);
        assert!(passes <= 2 && fails >= 380, "{passes} {fails}");
    }

    #[test]
    fn one_look_holds_its_promise_while_the_split_and_the_errors_of_all_change() {
        let mut coins = Coins::new(23);
        let runs = 300;
        let mut count = |factor: f64| {
            (0..runs).fold((0, 0), |decided, _| {
                let mut mixture = Mixture::default();
                for tick in 0..20 {
                    // Everybody fails less while the canary gets more.
                    let progress = f64::from(tick) / 19.0;
                    let (baseline, trials) = (0.2 - 0.19 * progress, (20.0 + 180.0 * progress).round());
                    let mut draw = |trials: f64, ratio: f64| {
                        (0..trials as u32).map(|_| f64::from(u8::from(coins.uniform() < ratio))).sum::<f64>()
                    };
                    let (own, other) = (draw(trials, factor * baseline), draw(200.0 - trials, baseline));
                    mixture.add(pair(own, trials, other, 200.0 - trials), 1.5, 1.5);
                }
                let (pass, fail) = mixture.in_one_look(1.0, (0.05, 0.05));
                (decided.0 + usize::from(pass), decided.1 + usize::from(fail))
            })
        };
        // 5 % and three standard errors.
        let (passes, fails) = count(1.5);
        assert!(passes <= 26 && fails <= 26, "{passes} {fails}");
        let (passes, fails) = count(0.7);
        assert!(passes >= 290 && fails == 0, "{passes} {fails}");
        let (passes, fails) = count(3.0);
        assert!(passes == 0 && fails >= 290, "{passes} {fails}");
    }

    #[test]
    fn limits_near_the_largest_floats_leave_numbers() {
        for limit in [1e307, 1e300, f64::MIN_POSITIVE] {
            let mut mixture = Mixture::default();
            mixture.add(pair(5.0, 1e9, 9.0, 1e9), limit, limit);
            assert!(mixture.pass.iter().chain(&mixture.fail).all(|ln| ln.is_finite()), "{mixture:?}");
            assert!(!mixture.in_one_look(1.0, (0.05, 0.05)).1 || limit < 1.0);
        }
    }

    /// The first tick that passes, and the first that fails.
    type Decided = (Option<i32>, Option<i32>);

    /// The looks until passing, and until failing, of a canary that takes a share of 200 requests a tick.
    fn first(ratio: f64, baseline: f64, share: impl Fn(i32) -> f64, coins: &mut Coins) -> Decided {
        let limit = libm::log(20.0);
        let mut mixture = Mixture::default();
        let (mut passed, mut failed) = (None, None);
        for tick in 1..=200 {
            let trials = (200.0 * share(tick)).round();
            let mut draw = |trials: f64, ratio: f64| {
                (0..trials as u32).map(|_| f64::from(u8::from(coins.uniform() < ratio))).sum::<f64>()
            };
            let (events, baseline_events) = (draw(trials, ratio * baseline), draw(200.0 - trials, baseline));
            mixture.add(pair(events, trials, baseline_events, 200.0 - trials), 1.5, 1.5);
            passed = passed.or((mixture.ln_e_pass(1.0) >= limit).then_some(tick));
            failed = failed.or((mixture.ln_e_fail(1.0) >= limit).then_some(tick));
        }
        (passed, failed)
    }

    #[test]
    fn a_canary_at_the_factor_rarely_passes_or_fails_whatever_its_share_of_the_traffic() {
        let runs = 60;
        let mut coins = Coins::new(17);
        let shares: [fn(i32) -> f64; 3] = [|_| 0.1, |_| 0.5, |tick| 0.1 + 0.4 * f64::from(tick) / 200.0];
        for baseline in [0.01, 0.05] {
            for share in shares {
                let all: Vec<_> = (0..runs).map(|_| first(1.5, baseline, share, &mut coins)).collect();
                let passed = all.iter().filter(|(passed, _)| passed.is_some()).count();
                let failed = all.iter().filter(|(_, failed)| failed.is_some()).count();
                // 5 % and three standard errors.
                assert!(passed <= 8 && failed <= 8, "{baseline}: {passed} pass, {failed} fail");
            }
        }
    }

    #[test]
    fn a_canary_as_good_as_its_baseline_passes_soon_and_one_three_times_worse_fails_soon() {
        let mut coins = Coins::new(19);
        let mut median = |ratio: f64, of: fn(Decided) -> Option<i32>| {
            let mut ticks: Vec<i32> =
                (0..60).filter_map(|_| of(first(ratio, 0.05, |_| 0.5, &mut coins))).collect();
            assert!(ticks.len() >= 59, "{ratio}: {}", ticks.len());
            ticks.sort_unstable();
            ticks[ticks.len() / 2]
        };
        let (pass, fail) = (median(1.0, |all| all.0), median(3.0, |all| all.1));
        assert!(pass <= 30 && fail <= 7, "{pass} {fail}");
    }

    proptest! {
        #[test]
        fn nothing_that_is_no_count_becomes_evidence(
            counts in proptest::array::uniform4(prop_oneof![Just(f64::NAN), Just(f64::INFINITY), -5.0..50.0_f64]),
        ) {
            let [events, trials, baseline_events, baseline_trials] = counts;
            let counts = pair(events, trials, baseline_events, baseline_trials);
            let (pass, fail) = after([counts]);
            prop_assert!(!pass.is_nan() && !fail.is_nan());
            if !(0.0..=trials).contains(&events) || !(0.0..=baseline_trials).contains(&baseline_events) {
                prop_assert_eq!((pass, fail), (0.0, 0.0));
            }
            let (low, high) = ratio_bounds(counts, 0.05);
            prop_assert!(low <= high);
            let (low, high) = difference_bounds(counts, 0.05);
            prop_assert!(low <= high);
        }
    }
}
