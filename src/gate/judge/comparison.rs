//! A canary's bad requests beside those of a baseline.

use super::{Decision, Look, Outcome, doubt, invalid};
use crate::gate::reason::{BesideBaseline, Finding};
use crate::gate::report::{Evidence, Interval};
use crate::gate::spec::{CheckKind, ComparisonLimit};
use crate::gate::stats::change::Limit;
use crate::gate::stats::comparison::{Mixture, Pair, difference_bounds, ratio_bounds};
use crate::gate::stats::sequential::confidence_sequence;
use crate::gate::verdict::Verdict;

/// By a factor: the mixture over alternatives on either side. By a difference: two confidence sequences, each at half of α,
/// of which the ends that are nearest must, or the ends that are farthest do not, differ by more than is allowed.
pub(super) fn judge(look: Look<'_>, limit: ComparisonLimit, decision: &mut Decision) -> Outcome {
    let Look { check, tally, observation, alphas, .. } = look;
    let counts = Pair {
        events: tally.most,
        trials: tally.trials,
        baseline_events: tally.baseline.0,
        baseline_trials: tally.baseline.1,
    };
    let (can_pass, can_fail) = match limit {
        ComparisonLimit::Factor { .. } => {
            let of = |ln: fn(&Mixture) -> f64| tally.mixture.as_deref().map_or(0.0, ln);
            (
                of(Mixture::ln_e_pass) >= libm::log(1.0 / alphas.pass),
                of(Mixture::ln_e_fail) >= libm::log(1.0 / alphas.fail),
            )
        }
        ComparisonLimit::Difference { pass, fail } => {
            let (_, most) = difference_sequence(counts, alphas.pass);
            let (least, _) = difference_sequence(counts, alphas.fail);
            (most < pass, least > fail)
        }
    };
    let obstacle = invalid(check, tally)
        .or_else(|| exceeds(counts.events, counts.trials))
        .or_else(|| exceeds(counts.baseline_events, counts.baseline_trials))
        .or_else(|| observation.obstacle.clone())
        .or_else(|| idle(look, counts));
    if obstacle.is_none() || matches!(obstacle, Some(Finding::Stale { .. })) {
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
            decision.watch(counts, Limit::Factor(fail), look);
        }
    }
    let finding = beside(decision.change.map_or(counts, |change| change.counts), limit);
    let (verdict, finding) = match (decision.latched, doubt(observation).or(obstacle)) {
        (Some(Verdict::Fail), _) => (Verdict::Fail, Finding::WorseThanBaseline(finding)),
        (_, Some(obstacle)) => (Verdict::Inconclusive, obstacle),
        // A pass that the counts have outgrown waits.
        (Some(Verdict::Pass), None) if is_within(counts, limit) => {
            (Verdict::Pass, Finding::NoWorseThanBaseline(finding))
        }
        (_, None) => (Verdict::Inconclusive, Finding::ComparisonUndecided(finding)),
    };
    Outcome { verdict, finding, evidence: evidence(look, counts) }
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

/// What the difference of the shares may be, at all looks together, each end missed with probability at most `alpha`.
fn difference_sequence(counts: Pair, alpha: f64) -> (f64, f64) {
    let (own_low, own_high) = confidence_sequence(counts.events, counts.trials, alpha / 2.0);
    let (other_low, other_high) =
        confidence_sequence(counts.baseline_events, counts.baseline_trials, alpha / 2.0);
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

fn evidence(look: Look<'_>, counts: Pair) -> Evidence {
    let Pair { events, trials, baseline_events, baseline_trials } = counts;
    if !(trials > 0.0 && baseline_trials > 0.0) {
        return Evidence::None;
    }
    let alpha = look.alphas.pass;
    let (low, high) = difference_bounds(counts, alpha);
    let (factor_low, factor_high) = ratio_bounds(counts, alpha);
    let mixture = look.tally.mixture.as_deref();
    let finite = |number: f64| number.is_finite().then_some(number);
    Evidence::Comparison {
        events,
        trials,
        baseline_events,
        baseline_trials,
        factor: finite(events / trials / (baseline_events / baseline_trials)),
        factor_low: factor_low.min(f64::MAX),
        factor_high: finite(factor_high),
        difference: Interval { low, high, confidence: 1.0 - alpha },
        ln_e_pass: mixture.map(Mixture::ln_e_pass).and_then(finite),
        ln_e_fail: mixture.map(Mixture::ln_e_fail).and_then(finite),
    }
}
