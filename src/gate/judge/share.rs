//! Bad requests among requests, by tests that stay valid however often one looks.

use super::{Alphas, Decision, Look, Outcome, doubt, invalid};
use crate::gate::evidence::Tally;
use crate::gate::reason::Finding;
use crate::gate::report::{Evidence, Interval};
use crate::gate::spec::{CheckKind, CheckSpec};
use crate::gate::stats::binomial::{clopper_pearson, wilson};
use crate::gate::stats::change::{Change, Limit};
use crate::gate::stats::comparison::Pair;
use crate::gate::stats::quantile::rank_interval;
use crate::gate::stats::sequential::{confidence_sequence, ln_e_fail, ln_e_pass, trials_needed};
use crate::gate::verdict::Verdict;

/// Shares of bad requests: a check passes below the first and fails above the second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thresholds {
    pub(super) pass: f64,
    pub(super) fail: f64,
}

/// What a bad request is, for a sentence.
fn what(check: &CheckSpec) -> String {
    match &check.kind {
        CheckKind::Ratio { share, .. } if share.events_are_good => "were not good".to_owned(),
        CheckKind::Quantile { limit, .. } => format!("exceeded {limit}"),
        _ => "failed".to_owned(),
    }
}

pub(super) fn judge(look: Look<'_>, thresholds: Thresholds, decision: &mut Decision) -> Outcome {
    let Look { check, tally, observation, alphas, .. } = look;
    let Tally { fewest, most, trials, .. } = *tally;
    let threshold = thresholds.pass;
    let ln_pass = ln_e_pass(most, trials, threshold);
    let ln_fail = ln_e_fail(fewest, trials, thresholds.fail);
    let evidence = evidence(check, tally, ln_pass, ln_fail, alphas);
    let obstacle = invalid(check, tally)
        .or_else(|| {
            (most > trials || fewest < 0.0)
                .then_some(Finding::NumeratorExceedsDenominator { events: most, trials })
        })
        .or_else(|| observation.obstacle.clone())
        .or_else(|| {
            // A share is never above 1: nothing can be told from such a check.
            (threshold >= 1.0).then_some(Finding::CannotFail { threshold })
        });
    if obstacle.is_none() || matches!(obstacle, Some(Finding::Stale { .. })) {
        // Series that have ended keep what they have shown: enough to fail, never to pass.
        if ln_fail >= libm::log(1.0 / alphas.fail) {
            decision.latched = Some(Verdict::Fail);
        } else if decision.latched.is_none()
            && obstacle.is_none()
            && observation.losses.is_empty()
            && ln_pass >= libm::log(1.0 / alphas.pass)
        {
            decision.latched = Some(Verdict::Pass);
        }
        let counts = Pair { events: fewest, trials, ..Pair::default() };
        decision.watch(counts, Limit::Share(thresholds.fail), look);
    }
    let ratio = if trials > 0.0 { fewest / trials } else { 0.0 };
    let what = what(check);
    let (verdict, finding) = match (decision.latched, doubt(observation).or(obstacle)) {
        (Some(Verdict::Fail), _) => match decision.change {
            Some(change) => (Verdict::Fail, changed(change, thresholds.fail, what)),
            None => (
                Verdict::Fail,
                Finding::AboveThreshold { ratio, threshold: thresholds.fail, events: fewest, trials, what },
            ),
        },
        (_, Some(obstacle)) => (Verdict::Inconclusive, obstacle),
        // A pass that the counts have outgrown waits: a gate that still waits for another check must not pass on it.
        (Some(Verdict::Pass), None) if most < threshold * trials => {
            (Verdict::Pass, Finding::BelowThreshold { ratio, threshold, events: most, trials, what })
        }
        (_, None) => (Verdict::Inconclusive, undecided(look, threshold, what)),
    };
    Outcome { verdict, finding, evidence }
}

/// What was counted since a change for the worse.
fn changed(Change { since, counts }: Change, threshold: f64, what: String) -> Finding {
    let Pair { events, trials, .. } = counts;
    Finding::ChangeDetected { ratio: events / trials, threshold, events, trials, since, what }
}

/// Why counts that are in order settle nothing.
fn undecided(look: Look<'_>, threshold: f64, what: String) -> Finding {
    let Look { check, tally, observation, seconds, alphas } = look;
    let Tally { fewest, most, trials, .. } = *tally;
    if seconds <= 0.0 {
        return Finding::Settling {};
    }
    if trials <= 0.0 {
        let selector = check.traffic().text.clone();
        return Finding::ZeroDenominator { selector, seconds, series: observation.series };
    }
    if most > fewest
        && let CheckKind::Quantile { limit, .. } = &check.kind
        && ln_e_pass(fewest, trials, threshold) >= libm::log(1.0 / alphas.pass)
    {
        // The fewest that are possible would pass, the most that are possible do not.
        return if tally.unreachable {
            let largest = tally.bounds.last().map_or(0.0, |(bound, _)| *bound);
            Finding::ThresholdUnreachable { threshold: *limit, largest, above: most }
        } else {
            Finding::BucketTooCoarse { threshold: *limit, fewest, most, trials }
        };
    }
    let need = trials_needed(most, trials, threshold, alphas.pass);
    let rate = trials / seconds;
    let eta = |more: f64| Some(more / rate).filter(|eta| eta.is_finite());
    match need {
        Some(need) if most <= 0.0 => Finding::NotEnoughRequests {
            have: trials,
            need,
            seconds: None,
            rate,
            eta_seconds: eta(need - trials),
        },
        _ => {
            let (low, _) = confidence_sequence(fewest, trials, alphas.fail);
            let (_, high) = confidence_sequence(most, trials, alphas.pass);
            let more_trials = need.map(|need| need - trials);
            Finding::IntervalStraddles {
                low,
                high,
                threshold,
                events: most,
                trials,
                more_trials,
                eta_seconds: more_trials.and_then(eta),
                what,
            }
        }
    }
}

fn evidence(check: &CheckSpec, tally: &Tally, ln_pass: f64, ln_fail: f64, alphas: Alphas) -> Evidence {
    let Tally { fewest, most, trials, .. } = *tally;
    if !(trials > 0.0 && most <= trials && fewest >= 0.0) {
        return Evidence::None;
    }
    let finite = |ln: f64| ln.is_finite().then_some(ln);
    match &check.kind {
        CheckKind::Quantile { phi, .. } => {
            let ranks = rank_interval(trials.max(0.0) as u64, *phi, 2.0 * alphas.pass);
            let (low, high) = bracket(tally, ranks);
            Evidence::Quantile {
                phi: *phi,
                trials,
                fewest_above: fewest,
                most_above: most,
                low,
                high,
                estimate: interpolate(tally, *phi),
                ln_e_pass: finite(ln_pass),
                ln_e_fail: finite(ln_fail),
            }
        }
        // Of anything else the fewest events are the most.
        _ => {
            let interval = |(low, high)| Interval { low, high, confidence: 1.0 - alphas.pass };
            let (low, _) = confidence_sequence(fewest, trials, alphas.fail);
            let (_, high) = confidence_sequence(fewest, trials, alphas.pass);
            Evidence::Ratio {
                events: fewest,
                trials,
                always: interval((low, high)),
                once: interval(clopper_pearson(fewest, trials, alphas.pass)),
                wilson: interval(wilson(fewest, trials, alphas.pass)),
                ln_e_pass: finite(ln_pass),
                ln_e_fail: finite(ln_fail),
            }
        }
    }
}

/// The edges of the buckets that hold these ranks; none where nothing bounds the quantile.
fn bracket(tally: &Tally, ranks: (Option<u64>, Option<u64>)) -> (Option<f64>, Option<f64>) {
    let holds = |rank: u64| tally.bounds.iter().position(|(_, count)| *count >= rank as f64);
    let low = ranks.0.and_then(|rank| match holds(rank) {
        Some(0) => Some(0.0),
        Some(index) => tally.bounds.get(index.saturating_sub(1)).map(|(bound, _)| *bound),
        None => tally.bounds.last().map(|(bound, _)| *bound),
    });
    let high = ranks.1.and_then(holds).and_then(|index| tally.bounds.get(index)).map(|(bound, _)| *bound);
    (low, high)
}

/// The quantile as Prometheus interpolates it inside its bucket; for display.
fn interpolate(tally: &Tally, phi: f64) -> Option<f64> {
    let rank = phi * tally.trials;
    let mut before = (0.0, 0.0);
    for (bound, count) in &tally.bounds {
        if *count >= rank && *count > before.1 {
            return Some(before.0 + (bound - before.0) * (rank - before.1) / (count - before.1));
        }
        before = (*bound, *count);
    }
    tally.bounds.last().map(|(bound, _)| *bound)
}
