//! The canary's ratio less the baseline's, while both take traffic, the split between them changes, and so does the baseline.
//!
//! A span is held against its own baseline: sums over all spans would take a canary for good that got most of its traffic while
//! everybody did well. In a span k of n requests of the canary and l of m of the baseline are bad. For an alternative (a, b) on one
//! side of the line p = q + δ let (a°, b°) be the point of the line that is nearest by n KL(a, a°) + m KL(b, b°). The likelihood ratio
//! of (a, b) against (a°, b°) has a mean of at most 1 wherever (p, q) lies on the other side (Turner, Ly, Grünwald 2021; Turner,
//! Grünwald 2023): the mean is at most exp(n c (p - a°) + m d (q - b°)), c = (a - a°) / (a° (1 - a°)), d alike, because
//! 1 + x ≤ exp x, and the exponent is 0 or less beyond the line, because (a°, b°) is nearest. So products over spans are
//! supermartingales as long as in every span the canary's ratio, the mean over its requests, is on that side of the baseline's plus δ,
//! whatever that was, and so are their mixtures: they reach 1/α with probability at most α, however often one looks (Ville 1939). The
//! alternative of a span is chosen by what was before it: b as the baseline was, in all and lately, a further from b + δ by a
//! grid of factors.
//!
//! One look has the weighted sums A of the canary's bad requests and B of the baseline's, where a request weighs u = m / (n + m), and
//! v = n / (n + m), so that without a difference both sums are equal on average in every span; A - B then is δ W, W the sum of
//! n m / (n + m). Because exp(s u x) ≤ 1 + u x (exp(s) - 1) for 0 ≤ u ≤ 1 and x 0 or 1, and by Jensen's inequality, the moments of
//! A and B are at most those of binomial sums with their means, and so are Chernoff's bounds, of B, and of A - B. The mean of B is not
//! known: a tenth of α is for its being outside of its own bounds, the rest for A - B at the least favourable mean inside (Berger,
//! Boos 1994).

use super::beta::bisect;
use super::comparison::{Pair, mean};
use crate::gate::binary::binary_fields;

/// Alternatives on either side of the line for each guess of the baseline.
const DISTANCES: usize = 8;
const NEAREST: f64 = 0.05;
const FARTHEST: f64 = 19.0;
/// What counts of the spans before are worth to the guess of the baseline as it was lately.
const KEPT: f64 = 0.8;
/// The part of α for the mean of B.
const OUTSIDE: f64 = 0.1;
/// Beyond this, powers of e leave the numbers.
const MOST: f64 = 600.0;
/// Halvings of an interval.
const HALVINGS: u32 = 50;
/// Beyond so many requests rounding would be evidence. Counts of more are scaled down, which makes none: the mean of a power below 1 is
/// at most the power of the mean (Jensen).
const MAX_EXACT: f64 = 1e9;

/// On which side of the line the alternatives lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The canary is better.
    Better,
    /// The canary is worse.
    Worse,
}

/// The two tests of one comparison by a difference.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Difference {
    /// ln of the likelihood ratios: of the guess by all that was before, then of the guess by what was lately.
    pass: [f64; 2 * DISTANCES],
    fail: [f64; 2 * DISTANCES],
    /// What was counted since the last span.
    pending: Pair,
    /// The baseline's bad requests, and its requests: in all, and lately.
    before: (f64, f64),
    lately: (f64, f64),
    once: Once,
}

binary_fields!(Difference { pass, fail, pending, before, lately, once });

/// What one look tests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Once {
    /// A and B.
    bad: (f64, f64),
    /// W.
    weight: f64,
    /// Requests of the canary, and of the baseline.
    trials: (f64, f64),
    /// The greatest weight of a request of either.
    heaviest: (f64, f64),
}

binary_fields!(Once { bad, weight, trials, heaviest });

impl Difference {
    /// Adds the counts of a span that begins where the last one ended. Passing is held against `pass` more than the baseline's ratio,
    /// failing against `fail` more.
    pub(crate) fn add(&mut self, counts: Pair, pass: f64, fail: f64) {
        let Some(counts) = self.pending.span_with(counts) else { return };
        for (guess, guessed) in [self.before, self.lately].into_iter().enumerate() {
            let Some(baseline) = guess_of(guessed) else { continue };
            let own = |all: &mut [f64; 2 * DISTANCES], limit: f64, side: Side| {
                for (index, ln) in all.iter_mut().skip(guess * DISTANCES).take(DISTANCES).enumerate() {
                    let power = index as f64 / (DISTANCES - 1) as f64;
                    let distance = NEAREST * libm::pow(FARTHEST / NEAREST, power);
                    *ln += gain(counts, baseline, limit, 1.0 + distance, side);
                }
            };
            own(&mut self.pass, pass, Side::Better);
            own(&mut self.fail, fail, Side::Worse);
        }
        let Pair { baseline_events, baseline_trials, .. } = counts;
        self.before = (self.before.0 + baseline_events, self.before.1 + baseline_trials);
        self.lately = (KEPT * self.lately.0 + baseline_events, KEPT * self.lately.1 + baseline_trials);
        self.once.add(counts);
    }

    /// ln of the evidence that the canary's ratio is below the limit, every count divided by `factor`.
    pub(crate) fn ln_e_pass(&self, factor: f64) -> f64 {
        mean(&self.pass, factor)
    }

    /// ln of the evidence that the canary's ratio is above the limit, every count divided by `factor`.
    pub(crate) fn ln_e_fail(&self, factor: f64) -> f64 {
        mean(&self.fail, factor)
    }

    /// Whether one look shows the canary's ratio below the limit for passing, and above that for failing, every count divided by
    /// `factor`, each wrongly with probability at most `alpha`.
    pub(crate) fn in_one_look(
        &self,
        factor: f64,
        (pass, fail): (f64, f64),
        (alpha_pass, alpha_fail): (f64, f64),
    ) -> (bool, bool) {
        let shows = |limit, side, alpha: f64| {
            let outside = alpha * OUTSIDE;
            self.once.ln_probability(limit, side, factor, outside) < libm::log(alpha - outside)
        };
        (shows(pass, Side::Better, alpha_pass), shows(fail, Side::Worse, alpha_fail))
    }
}

/// The baseline's ratio, never one of the ends; none before it had requests.
pub(super) fn guess_of((events, trials): (f64, f64)) -> Option<f64> {
    (trials > 0.0).then(|| (events + 0.5) / (trials + 1.0))
}

/// ln of the likelihood ratio of one span for a canary whose ratio is `times` further from nothing, or nearer to it, than the limit,
/// `limit` more than the baseline's, is. Nothing is told where that is beyond all ratios.
pub(super) fn gain(counts: Pair, baseline: f64, limit: f64, times: f64, side: Side) -> f64 {
    let excess = (counts.trials.max(counts.baseline_trials) / MAX_EXACT).max(1.0);
    let Pair { events: k, trials: n, baseline_events: l, baseline_trials: m } = counts.over(excess);
    let line = baseline + limit;
    if !((0.0..1.0).contains(&limit) && line < 1.0) {
        return 0.0;
    }
    let own = match side {
        Side::Better => line / times,
        Side::Worse => (line * times).min(f64::midpoint(line, 1.0)),
    };
    // How the distance changes along the line; it rises.
    let slope = |q: f64| {
        let p = q + limit;
        n * (p - own) / (p * (1.0 - p)) + m * (q - baseline) / (q * (1.0 - q))
    };
    let ends = ((own - limit).max(0.0), baseline);
    let (mut low, mut high) = if ends.0 < ends.1 { ends } else { (ends.1, ends.0) };
    high = high.min(1.0 - limit);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if slope(middle) < 0.0 { low = middle } else { high = middle }
    }
    let q = f64::midpoint(low, high);
    let p = q + limit;
    let ratio = |bad: f64, all: f64, of: f64, against: f64| {
        bad * libm::log(of / against) + (all - bad) * (libm::log1p(-of) - libm::log1p(-against))
    };
    let gain = ratio(k, n, own, p) + ratio(l, m, baseline, q);
    if gain.is_finite() { gain } else { 0.0 }
}

impl Once {
    fn add(&mut self, Pair { events, trials, baseline_events, baseline_trials }: Pair) {
        let all = trials + baseline_trials;
        let (own, other) = (baseline_trials / all, trials / all);
        self.bad = (self.bad.0 + own * events, self.bad.1 + other * baseline_events);
        self.weight += own * trials;
        self.trials = (self.trials.0 + trials, self.trials.1 + baseline_trials);
        self.heaviest = (self.heaviest.0.max(own), self.heaviest.1.max(other));
    }

    /// ln of how probable, at most, so small a difference or a smaller one is where the true one is `limit` or more; or so great a one
    /// where it is `limit` or less; every count divided by `factor`. The mean of B is taken to be where it is but for a probability
    /// `outside`.
    fn ln_probability(&self, limit: f64, side: Side, factor: f64, outside: f64) -> f64 {
        if !(self.weight > 0.0 && (0.0..1.0).contains(&limit)) {
            return 0.0;
        }
        let excess = (self.trials.0.max(self.trials.1) / MAX_EXACT).max(factor);
        let scaled = |(one, other): (f64, f64)| (one / excess, other / excess);
        let counts = Self {
            bad: scaled(self.bad),
            weight: self.weight / excess,
            trials: scaled(self.trials),
            ..*self
        };
        let bound = |mean| counts.bound(mean, limit, side);
        let (mut low, mut high) = counts.means(libm::log(2.0 / outside));
        high = high.min(counts.weight * (1.0 - limit));
        low = low.min(high);
        // The bound is concave in the baseline's mean: thirds are cut off where it is less.
        for _ in 0..60 {
            let third = (high - low) / 3.0;
            let (one, other) = (low + third, high - third);
            if bound(one) < bound(other) { low = one } else { high = other }
        }
        // The ends are means, too.
        bound(f64::midpoint(low, high)).max(bound(low)).max(bound(high)).min(0.0)
    }

    /// Between what the mean of B lies, each end missed with probability `exp(-least)` at most.
    fn means(&self, least: f64) -> (f64, f64) {
        let all = self.trials.1 * self.heaviest.1;
        let seen = (self.bad.1 / all).clamp(0.0, 1.0);
        let part = |bad: f64, of: f64| if bad > 0.0 { bad * libm::log(bad / of) } else { 0.0 };
        let excluded = |mean: f64| self.trials.1 * (part(seen, mean) + part(1.0 - seen, 1.0 - mean)) > least;
        let low = bisect(0.0, seen, |mean| !excluded(mean));
        let high = bisect(seen, 1.0, excluded);
        (low * all, high * all)
    }

    /// Chernoff's bound where B has this mean.
    fn bound(&self, mean: f64, limit: f64, side: Side) -> f64 {
        let sign = if side == Side::Worse { 1.0 } else { -1.0 };
        let (own, other) = self.heaviest;
        let difference = self.bad.0 - self.bad.1;
        // The probabilities of binomial sums of the heaviest weights.
        let probability = |mean: f64, trials: f64, weight: f64| (mean / (trials * weight)).clamp(0.0, 1.0);
        let p = probability(mean + limit * self.weight, self.trials.0, own);
        let q = probability(mean, self.trials.1, other);
        let moment =
            |probability: f64, exponent: f64| libm::log1p((probability * libm::expm1(exponent)).max(-1.0));
        let rate = |probability: f64, exponent: f64| {
            let power = libm::exp(exponent);
            probability * power / (1.0 + probability * (power - 1.0))
        };
        let (n, m) = self.trials;
        let value =
            |s: f64| n * moment(p, sign * s * own) + m * moment(q, -sign * s * other) - sign * s * difference;
        let slope = |s: f64| {
            sign * (n * own * rate(p, sign * s * own) - m * other * rate(q, -sign * s * other) - difference)
        };
        // Convex in s, and 0 at 0.
        let (mut low, mut high) = (0.0, MOST);
        for _ in 0..50 {
            let middle = f64::midpoint(low, high);
            if slope(middle) < 0.0 { low = middle } else { high = middle }
        }
        let least = value(f64::midpoint(low, high));
        if least.is_nan() { 0.0 } else { least.min(0.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::stats::simulation::{Coins, allowed, runs};
    use proptest::prelude::*;

    fn pair(events: f64, trials: f64, baseline_events: f64, baseline_trials: f64) -> Pair {
        Pair { events, trials, baseline_events, baseline_trials }
    }

    #[test]
    fn an_event_that_is_counted_before_its_request_waits_for_it() {
        let (mut apart, mut at_once) = (Difference::default(), Difference::default());
        for _ in 0..20 {
            apart.add(pair(1.0, 0.0, 0.0, 10.0), 0.1, 0.1);
            apart.add(pair(0.0, 1.0, 0.0, 10.0), 0.1, 0.1);
            at_once.add(pair(1.0, 1.0, 0.0, 20.0), 0.1, 0.1);
        }
        assert_eq!(apart, at_once);
        assert!(apart.ln_e_fail(1.0) > 10.0 && apart.ln_e_pass(1.0) < 0.0, "{apart:?}");
    }

    /// ln of the mean of the likelihood ratio of one span, over all counts that there can be.
    fn ln_mean((n, p): (u32, f64), (m, q): (u32, f64), tested: (f64, f64, f64, Side)) -> f64 {
        let (baseline, limit, times, side) = tested;
        let chances = |n: u32, p: f64| {
            let mut all = vec![1.0];
            for _ in 0..n {
                let more = all.iter().map(|chance| chance * p).collect::<Vec<_>>();
                all.push(0.0);
                all.iter_mut().for_each(|chance| *chance *= 1.0 - p);
                all.iter_mut().skip(1).zip(more).for_each(|(chance, more)| *chance += more);
            }
            all
        };
        let (own, other) = (chances(n, p), chances(m, q));
        let mut mean = 0.0;
        for (k, chance) in own.iter().enumerate() {
            for (l, other) in other.iter().enumerate() {
                let counts = pair(k as f64, f64::from(n), l as f64, f64::from(m));
                mean += chance * other * gain(counts, baseline, limit, times, side).exp();
            }
        }
        mean.ln()
    }

    proptest! {
        #[test]
        fn the_likelihood_ratio_of_a_span_has_no_mean_above_one_beyond_the_line(
            (n, m) in (1_u32..25, 1_u32..25),
            baseline in 0.001..0.9_f64,
            limit in 0.0..0.5_f64,
            times in 1.05..20.0_f64,
            (q, beyond) in (0.0..1.0_f64, 0.0..1.0_f64),
        ) {
            // The canary is at the line, or on the other side of it than the alternative.
            let line = q * (1.0 - limit) + limit;
            let worse = line + beyond * (1.0 - line);
            let q = q * (1.0 - limit);
            prop_assert!(ln_mean((n, worse), (m, q), (baseline, limit, times, Side::Better)) < 1e-9);
            let better = line * (1.0 - beyond);
            prop_assert!(ln_mean((n, better), (m, q), (baseline, limit, times, Side::Worse)) < 1e-9);
        }

        #[test]
        fn nothing_that_is_no_count_becomes_evidence(
            counts in proptest::array::uniform4(prop_oneof![Just(f64::NAN), Just(f64::INFINITY), -5.0..50.0_f64]),
            limit in prop_oneof![Just(0.0), Just(1.0), Just(3.0), 0.0..1.0_f64],
        ) {
            let [events, trials, baseline_events, baseline_trials] = counts;
            let counts = pair(events, trials, baseline_events, baseline_trials);
            let mut tests = Difference::default();
            tests.add(pair(1.0, 10.0, 2.0, 20.0), limit, limit);
            let before = (tests.ln_e_pass(1.0), tests.ln_e_fail(1.0));
            tests.add(counts, limit, limit);
            let after = (tests.ln_e_pass(1.0), tests.ln_e_fail(1.0));
            prop_assert!(!after.0.is_nan() && !after.1.is_nan());
            if !counts.usable() {
                prop_assert_eq!(before, after);
            }
            let once = tests.in_one_look(1.0, (limit, limit), (0.05, 0.05));
            prop_assert!(once != (true, true));
        }
    }

    #[test]
    fn one_look_at_one_span_is_held_against_chernoffs_bound() {
        let ln = |counts: Pair, limit: f64, side: Side| {
            let mut tests = Difference::default();
            tests.add(counts, 0.1, 0.1);
            tests.once.ln_probability(limit, side, 1.0, 0.005)
        };
        // No bad request at all is likeliest with as many of the baseline's as are not excluded: the greatest of the least values on a
        // grid of means of B and of exponents.
        let clean = ln(pair(0.0, 200.0, 0.0, 1_000.0), 0.05, Side::Better);
        assert!((clean + 6.996_77).abs() < 1e-4, "{clean}");
        assert!(ln(pair(0.0, 40.0, 0.0, 1_000.0), 0.05, Side::Better) > 0.05_f64.ln());
        // All of the canary's and none of the baseline's: the likelier, the more of the baseline's fail, which are 11.3 % at most.
        let most = 1.0 - 0.0025_f64.powf(0.02);
        let worst = ln(pair(50.0, 50.0, 0.0, 50.0), 0.5, Side::Worse);
        assert!((worst - 50.0 * ((0.5 + most).ln() + (1.0 - most).ln())).abs() < 1e-3, "{worst}");
        assert_eq!(ln(pair(5.0, 100.0, 5.0, 100.0), 0.0, Side::Worse), 0.0);
        assert_eq!(ln(pair(5.0, 100.0, 5.0, 100.0), 0.0, Side::Better), 0.0);
        assert_eq!(ln(pair(9.0, 100.0, 0.0, 100.0), 1.0, Side::Worse), 0.0);
    }

    /// The baseline's ratio, and the canary's share of the traffic, as time goes on from 0 to 1.
    type World = (fn(f64) -> f64, fn(f64) -> f64);

    /// What 40 looks at 200 requests each come to: whether any passes, any fails, and what the one look at the end does.
    fn decided(excess: f64, (baseline, share): World, coins: &mut Coins) -> ([bool; 2], [bool; 2]) {
        let (limit, enough) = (0.02, libm::log(20.0));
        let mut tests = Difference::default();
        let mut any = [false; 2];
        for look in 0..40 {
            let progress = f64::from(look) / 39.0;
            let trials = (200.0 * share(progress)).round();
            let mut draw = |trials: f64, ratio: f64| {
                (0..trials as u32).map(|_| f64::from(u8::from(coins.uniform() < ratio))).sum::<f64>()
            };
            let q = baseline(progress);
            let counts = pair(draw(trials, q + excess), trials, draw(200.0 - trials, q), 200.0 - trials);
            tests.add(counts, limit, limit);
            any[0] |= tests.ln_e_pass(1.0) >= enough;
            any[1] |= tests.ln_e_fail(1.0) >= enough;
        }
        let (pass, fail) = tests.in_one_look(1.0, (limit, limit), (0.05, 0.05));
        (any, [pass, fail])
    }

    /// How many of `runs` pass and fail, at any look and in one.
    fn count(runs: u32, excess: f64, world: World, coins: &mut Coins) -> [usize; 4] {
        let mut all = [0; 4];
        for _ in 0..runs {
            let (any, once) = decided(excess, world, coins);
            for (sum, decided) in all.iter_mut().zip(any.into_iter().chain(once)) {
                *sum += usize::from(decided);
            }
        }
        all
    }

    /// Everybody fails less while the canary gets more: over all time one like its baseline has 8 %, and the baseline 13 %.
    const EVERYBODY_IMPROVES: World = (|progress| 0.2 - 0.19 * progress, |progress| 0.1 + 0.8 * progress);

    #[test]
    fn a_canary_at_the_difference_rarely_passes_or_fails_whatever_the_split_and_the_baseline_do() {
        let (runs, mut coins) = (runs(), Coins::new(43));
        let worlds: [World; 4] = [
            (|_| 0.01, |_| 0.5),
            (|_| 0.05, |_| 0.1),
            (|_| 0.0, |progress| 0.1 + 0.4 * progress),
            EVERYBODY_IMPROVES,
        ];
        for (index, world) in worlds.into_iter().enumerate() {
            let all = count(runs, 0.02, world, &mut coins);
            assert!(all.iter().all(|decided| *decided <= allowed(runs)), "{index}: {all:?}");
        }
    }

    #[test]
    fn sums_over_all_time_would_pass_a_bad_canary_that_got_most_of_its_traffic_in_good_times() {
        let mut coins = Coins::new(47);
        // 14 % beside 13 % are no more than 2 % apart, and 20 % are.
        let [pass, _, passes_once, _] = count(100, 0.06, EVERYBODY_IMPROVES, &mut coins);
        assert_eq!((pass, passes_once), (0, 0));
        let [pass, fail, passes_once, fails_once] = count(100, 0.12, EVERYBODY_IMPROVES, &mut coins);
        assert_eq!((pass, passes_once), (0, 0));
        assert!(fail >= 99 && fails_once >= 99, "{fail} {fails_once}");
    }

    #[test]
    fn a_canary_like_its_baseline_passes_and_a_worse_one_fails() {
        let mut coins = Coins::new(53);
        for (excess, world, wanted) in [
            (0.0, ((|_| 0.01) as fn(f64) -> f64, (|_| 0.5) as fn(f64) -> f64), [90, 0, 90, 0]),
            (0.0, (|_| 0.0, |_| 0.1), [90, 0, 90, 0]),
            (0.06, (|_| 0.01, |_| 0.5), [0, 99, 0, 99]),
            (0.06, (|_| 0.01, |_| 0.1), [0, 80, 0, 70]),
        ] {
            let all = count(100, excess, world, &mut coins);
            let good = all
                .iter()
                .zip(wanted)
                .all(|(found, least)| if least == 0 { *found <= 1 } else { *found >= least });
            assert!(good, "{excess}: {all:?}");
        }
    }

    #[test]
    fn very_many_requests_at_the_line_decide_nothing() {
        let mut tests = Difference::default();
        for span in 0..20 {
            let off = if span % 2 == 0 { 1.0 } else { -1.0 };
            let n = 1e15_f64;
            let (k, l) = ((0.03 * n + off * (0.03 * n).sqrt()).round(), 0.01 * n);
            tests.add(pair(k, n, l, n), 0.02, 0.02);
        }
        assert!(tests.ln_e_pass(1.0) < 0.0 && tests.ln_e_fail(1.0) < 0.0, "{tests:?}");
        assert_eq!(tests.in_one_look(1.0, (0.02, 0.02), (0.05, 0.05)), (false, false));
        assert_eq!(tests.in_one_look(1.0, (0.03, 0.01), (0.05, 0.05)), (true, true));
    }
}
