//! A canary's bad requests beside those of a baseline.

use super::{Deciding, Decision, Look, Outcome, Rules, doubt, invalid, not_yet};
use crate::gate::evidence::Tally;
use crate::gate::reason::{BesideBaseline, Finding};
use crate::gate::report::{Evidence, Interval};
use crate::gate::spec::{CheckKind, ComparisonLimit};
use crate::gate::stats::binomial::clopper_pearson;
use crate::gate::stats::change::Limit;
use crate::gate::stats::comparison::{Mixture, Pair, difference_bounds, ratio_bounds};
use crate::gate::stats::dispersion::{Dispersion, Scatter};
use crate::gate::stats::sequential::confidence_sequence;
use crate::gate::verdict::Verdict;

/// At any look by a factor: the mixture over alternatives on either side. By a difference: two confidence sequences, each at
/// half of α, of which the ends that are nearest must, or the ends that are farthest do not, differ by more than is allowed.
///
/// At one look by a factor: of all bad requests, how many are the canary's, by the split of each span. By a difference: as above with
/// exact bounds.
fn tested(tally: &Tally, limit: ComparisonLimit, worth: f64, rules: Rules) -> (bool, bool) {
    let counts = counts(tally).over(worth);
    match (limit, rules.deciding) {
        (_, Deciding::Once { .. }) => (false, false),
        (ComparisonLimit::Factor { .. }, Deciding::Any) => {
            let ln =
                |of: fn(&Mixture, f64) -> f64| tally.mixture.as_deref().map_or(0.0, |all| of(all, worth));
            (
                ln(Mixture::ln_e_pass) >= libm::log(1.0 / rules.pass),
                ln(Mixture::ln_e_fail) >= libm::log(1.0 / rules.fail),
            )
        }
        (ComparisonLimit::Factor { .. }, Deciding::Now) => {
            let alphas = (rules.pass, rules.fail);
            tally.mixture.as_deref().map_or((false, false), |all| all.in_one_look(worth, alphas))
        }
        (ComparisonLimit::Difference { pass, fail }, deciding) => {
            let bounds = if deciding == Deciding::Any { confidence_sequence } else { clopper_pearson };
            let (_, most) = difference(counts, rules.pass, bounds);
            let (least, _) = difference(counts, rules.fail, bounds);
            (most < pass, least > fail)
        }
    }
}

/// By how much counts are worth less for bursts: that of the side that has more of them. None as long as nobody can tell.
fn worth(tally: &Tally, dispersion: Dispersion) -> Option<f64> {
    match dispersion {
        Dispersion::Independent => Some(1.0),
        Dispersion::Factor(factor) => Some(factor),
        Dispersion::Upper => Some(tally.scatter.upper(None)?.max(tally.baseline_scatter.upper(None)?)),
    }
}

fn counts(tally: &Tally) -> Pair {
    Pair {
        events: tally.most,
        trials: tally.trials,
        baseline_events: tally.baseline.0,
        baseline_trials: tally.baseline.1,
    }
}

pub(super) fn judge(look: Look<'_>, limit: ComparisonLimit, decision: &mut Decision) -> Outcome {
    let Look { check, tally, observation, rules, .. } = look;
    let counts = counts(tally);
    let worth = worth(tally, rules.dispersion);
    let not_yet = not_yet(look, worth.is_some());
    let obstacle = invalid(check, tally)
        .or_else(|| exceeds(counts.events, counts.trials))
        .or_else(|| exceeds(counts.baseline_events, counts.baseline_trials))
        .or_else(|| observation.obstacle.clone())
        .or_else(|| idle(look, counts));
    if obstacle.is_none() || matches!(obstacle, Some(Finding::Stale { .. })) {
        let (can_pass, can_fail) = match worth.filter(|_| not_yet.is_none()) {
            Some(worth) => tested(tally, limit, worth, rules),
            None => (false, false),
        };
        if can_fail {
            decision.latched = Some(Verdict::Fail);
        } else if decision.latched.is_none()
            && obstacle.is_none()
            && observation.losses.is_empty()
            && can_pass
        {
            decision.latched = Some(Verdict::Pass);
        }
        if let ComparisonLimit::Factor { fail, .. } = limit {
            decision.watch(counts, Limit::Factor(fail), look, worth.unwrap_or(1.0));
        }
    }
    let finding = beside(decision.change.map_or(counts, |change| change.counts), limit);
    match (decision.latched, doubt(observation).or(obstacle)) {
        (Some(Verdict::Fail), _) => Outcome::new(Verdict::Fail, Finding::WorseThanBaseline(finding)),
        (_, Some(obstacle)) => Outcome::new(Verdict::Inconclusive, obstacle),
        // A pass that the counts have outgrown waits.
        (Some(Verdict::Pass), None) if is_within(counts, limit) => {
            Outcome::new(Verdict::Pass, Finding::NoWorseThanBaseline(finding))
        }
        (latched, None) => {
            let not_yet = not_yet.filter(|_| latched.is_none());
            Outcome::new(Verdict::Inconclusive, not_yet.unwrap_or(Finding::ComparisonUndecided(finding)))
        }
    }
}

fn exceeds(events: f64, trials: f64) -> Option<Finding> {
    (events > trials || events < 0.0).then_some(Finding::NumeratorExceedsDenominator { events, trials })
}

/// Which side has no requests.
fn idle(look: Look<'_>, counts: Pair) -> Option<Finding> {
    let CheckKind::Comparison { canary, baseline, .. } = &look.check.kind else { return None };
    let seconds = look.seconds;
    if seconds <= 0.0 {
        return Some(Finding::Settling {});
    }
    if counts.trials.is_nan() || counts.trials <= 0.0 {
        let selector = canary.trials.text.clone();
        return Some(Finding::NoTraffic { selector, seconds, series: look.observation.series });
    }
    (counts.baseline_trials.is_nan() || counts.baseline_trials <= 0.0).then(|| Finding::BaselineNoTraffic {
        selector: baseline.trials.text.clone(),
        problem: format!("the baseline had no requests for {seconds} s"),
    })
}

/// What the difference of the shares may be by these bounds of either, each end missed with probability at most `alpha`.
fn difference(counts: Pair, alpha: f64, bounds: fn(f64, f64, f64) -> (f64, f64)) -> (f64, f64) {
    let (own_low, own_high) = bounds(counts.events, counts.trials, alpha / 2.0);
    let (other_low, other_high) = bounds(counts.baseline_events, counts.baseline_trials, alpha / 2.0);
    (own_low - other_high, own_high - other_low)
}

/// Whether what was counted, taken as it is, is allowed.
fn is_within(counts: Pair, limit: ComparisonLimit) -> bool {
    let own = counts.events / counts.trials;
    let other = counts.baseline_events / counts.baseline_trials;
    match limit {
        ComparisonLimit::Factor { pass, .. } => own <= pass * other,
        ComparisonLimit::Difference { pass, .. } => own - other <= pass,
    }
}

fn beside(counts: Pair, limit: ComparisonLimit) -> BesideBaseline {
    let Pair { events, trials, baseline_events, baseline_trials } = counts;
    let (factor, difference) = match limit {
        ComparisonLimit::Factor { pass, .. } => (Some(pass), None),
        ComparisonLimit::Difference { pass, .. } => (None, Some(pass)),
    };
    BesideBaseline { events, trials, baseline_events, baseline_trials, factor, difference }
}

pub(super) fn evidence(tally: &Tally, rules: Rules) -> Evidence {
    let counts = counts(tally);
    let Pair { events, trials, baseline_events, baseline_trials } = counts;
    if !(trials > 0.0 && baseline_trials > 0.0) {
        return Evidence::None;
    }
    let alpha = rules.pass;
    let worth = worth(tally, rules.dispersion).unwrap_or(1.0);
    let (low, high) = difference_bounds(counts.over(worth), alpha);
    let (factor_low, factor_high) = ratio_bounds(counts.over(worth), alpha);
    let mixture = tally.mixture.as_deref();
    let finite = |number: f64| number.is_finite().then_some(number);
    let of_both = [&tally.scatter, &tally.baseline_scatter].map(Scatter::factor);
    Evidence::Comparison {
        events,
        trials,
        baseline_events,
        baseline_trials,
        factor: finite(events / trials / (baseline_events / baseline_trials)),
        factor_low: factor_low.min(f64::MAX),
        factor_high: finite(factor_high),
        difference: Interval { low, high, confidence: 1.0 - alpha },
        ln_e_pass: mixture.map(|all| all.ln_e_pass(worth)).and_then(finite),
        ln_e_fail: mixture.map(|all| all.ln_e_fail(worth)).and_then(finite),
        dispersion: of_both.into_iter().flatten().reduce(f64::max),
    }
}
