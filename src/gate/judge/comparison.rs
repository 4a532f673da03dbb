//! A canary's bad requests beside those of a baseline.

use super::{Deciding, Decision, Look, Outcome, Rules, doubt, invalid, not_yet};
use crate::gate::evidence::Tally;
use crate::gate::reason::{BesideBaseline, Finding};
use crate::gate::report::{Evidence, Interval};
use crate::gate::spec::{CheckKind, ComparisonLimit};
use crate::gate::stats::binomial::clopper_pearson;
use crate::gate::stats::change::Limit;
use crate::gate::stats::comparison::{Pair, difference_bounds, ratio_bounds};
use crate::gate::stats::dispersion::{Dispersion, Scatter};
use crate::gate::stats::sequential::confidence_sequence;
use crate::gate::verdict::Verdict;

/// At any look the mixture over alternatives on either side of the limit, at one look what one look tells: span by span, each by its own
/// split of the traffic and, by a difference, by its own baseline, which then takes the sums as well to fail.
fn tested(tally: &Tally, limit: ComparisonLimit, worth: f64, rules: Rules) -> (bool, bool) {
    let enough =
        |(pass, fail): (f64, f64)| (pass >= libm::log(1.0 / rules.pass), fail >= libm::log(1.0 / rules.fail));
    let alphas = (rules.pass, rules.fail);
    let decided = match (limit, rules.deciding) {
        (_, Deciding::Once { .. }) => None,
        (_, Deciding::Any) => ln_e(tally, worth).map(enough),
        (ComparisonLimit::Factor { .. }, Deciding::Now) => {
            tally.mixture.as_deref().map(|all| all.in_one_look(worth, alphas))
        }
        (ComparisonLimit::Difference { pass, fail }, Deciding::Now) => {
            tally.difference.as_deref().map(|all| all.in_one_look(worth, (pass, fail), alphas))
        }
    };
    let (can_pass, can_fail) = decided.unwrap_or((false, false));
    (can_pass, can_fail && sums_show(tally, limit, worth, rules))
}

/// Whether the sums over all time show it as well, where a difference is allowed: the nearest ends of two bounds, each at half of α, differ
/// by more. Who reads why a canary failed reads these sums.
fn sums_show(tally: &Tally, limit: ComparisonLimit, worth: f64, rules: Rules) -> bool {
    let ComparisonLimit::Difference { fail, .. } = limit else { return true };
    let bounds = if rules.deciding == Deciding::Any { confidence_sequence } else { clopper_pearson };
    let Pair { events, trials, baseline_events, baseline_trials } = counts(tally).over(worth);
    let (own, _) = bounds(events, trials, rules.fail / 2.0);
    let (_, other) = bounds(baseline_events, baseline_trials, rules.fail / 2.0);
    own - other > fail
}

/// ln of the evidence on either side, once there is some.
fn ln_e(tally: &Tally, worth: f64) -> Option<(f64, f64)> {
    let by_factor = tally.mixture.as_deref().map(|all| (all.ln_e_pass(worth), all.ln_e_fail(worth)));
    by_factor.or_else(|| tally.difference.as_deref().map(|all| (all.ln_e_pass(worth), all.ln_e_fail(worth))))
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
        .or_else(|| idle(look, counts))
        .or_else(|| cannot_fail(limit));
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
        let beyond = match limit {
            ComparisonLimit::Factor { fail, .. } => Limit::Factor(fail),
            ComparisonLimit::Difference { fail, .. } => Limit::Difference(fail),
        };
        decision.watch(counts, beyond, look, worth.unwrap_or(1.0));
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

/// No share is larger than another by so much: nothing can be told from such a check.
fn cannot_fail(limit: ComparisonLimit) -> Option<Finding> {
    match limit {
        ComparisonLimit::Difference { pass, .. } if pass >= 1.0 => {
            Some(Finding::CannotFail { threshold: pass })
        }
        _ => None,
    }
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
    let (ln_e_pass, ln_e_fail) = ln_e(tally, worth).unzip();
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
        ln_e_pass: ln_e_pass.and_then(finite),
        ln_e_fail: ln_e_fail.and_then(finite),
        dispersion: of_both.into_iter().flatten().reduce(f64::max),
    }
}
