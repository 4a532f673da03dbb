//! From counts to the outcome of one check: total, pure, deterministic.

use super::evidence::{Observation, Tally};
use super::reason::{Finding, Reason, Severity};
use super::report::{CheckReport, Evidence, Interval};
use super::spec::{CheckKind, CheckSpec};
use super::stats::binomial::{clopper_pearson, wilson};
use super::stats::quantile::rank_interval;
use super::stats::sequential::{confidence_sequence, ln_e_fail, ln_e_pass, trials_needed};
use super::verdict::Verdict;
use crate::model::Timestamp;

/// Error probabilities: passing a bad canary, failing a good one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alphas {
    pub(crate) pass: f64,
    pub(crate) fail: f64,
}

/// Shares of bad requests: a check passes below the first and fails above the second.
#[derive(Clone, Copy, Debug)]
struct Thresholds {
    pass: f64,
    fail: f64,
}

/// Judges one check on its counts.
///
/// `latched` is what the check has decided before: a failure stands; a pass stands unless the failing test, whose
/// promise holds at all looks, contradicts it. An obstacle, or a ratio that has risen to the threshold since, keeps a
/// pass back while it lasts. So does data that may be missing where the check looks: it can fail on what is there, and
/// does not pass.
pub(crate) fn judge(
    check: &CheckSpec,
    tally: &Tally,
    observation: &Observation,
    origin: Timestamp,
    latched: &mut Option<Verdict>,
    alphas: Alphas,
) -> CheckReport {
    let seconds = observation.until.millis_since(origin).max(0) as f64 / 1000.0;
    let mut report = CheckReport {
        name: check.name.clone(),
        dry_run: check.dry_run,
        verdict: Verdict::Inconclusive,
        query: check.query(),
        evidence: Evidence::None,
        reasons: Vec::new(),
    };
    let decided = match &check.kind {
        CheckKind::Volume { rate, .. } => {
            judge_volume(check, tally, observation, seconds, *rate, &mut report)
        }
        CheckKind::Ratio { threshold, fail_threshold, .. } => {
            let thresholds = Thresholds { pass: *threshold, fail: *fail_threshold };
            judge_share(check, tally, observation, seconds, thresholds, latched, alphas, &mut report)
        }
        CheckKind::Quantile { phi, .. } => {
            let thresholds = Thresholds { pass: 1.0 - phi, fail: 1.0 - phi };
            judge_share(check, tally, observation, seconds, thresholds, latched, alphas, &mut report)
        }
    };
    report.verdict = decided;
    doubts(check, observation, &mut report);
    notes(check, tally, observation, &mut report);
    report
}

fn judge_volume(
    check: &CheckSpec,
    tally: &Tally,
    observation: &Observation,
    seconds: f64,
    rate: f64,
    report: &mut CheckReport,
) -> Verdict {
    report.evidence = Evidence::Volume { requests: tally.trials, seconds };
    let (verdict, severity, finding) = if let Some(obstacle) =
        doubt(observation).or_else(|| invalid(check, tally)).or_else(|| observation.obstacle.clone())
    {
        (Verdict::Inconclusive, Severity::Inconclusive, obstacle)
    } else if seconds <= 0.0 {
        (Verdict::Inconclusive, Severity::Inconclusive, Finding::Settling {})
    } else if tally.trials.is_nan() || tally.trials <= 0.0 {
        let selector = check.traffic().text.clone();
        let finding = Finding::NoTraffic { selector, seconds, series: observation.series };
        (Verdict::Inconclusive, Severity::Inconclusive, finding)
    } else if tally.trials < rate * seconds {
        let need = rate * seconds;
        let finding = Finding::NotEnoughRequests {
            have: tally.trials,
            need,
            seconds: Some(seconds),
            rate: tally.trials / seconds,
            eta_seconds: None,
        };
        (Verdict::Inconclusive, Severity::Inconclusive, finding)
    } else {
        (Verdict::Pass, Severity::Pass, Finding::EnoughTraffic { requests: tally.trials, seconds, rate })
    };
    report.reasons.push(Reason::new(severity, Some(&check.name), finding));
    verdict
}

/// The reason that comes first where data may be missing.
fn doubt(observation: &Observation) -> Option<Finding> {
    observation.losses.first().map(Finding::of_loss)
}

/// Tells what may be missing, as far as that is not told yet, and what else stands in the way.
fn doubts(check: &CheckSpec, observation: &Observation, report: &mut CheckReport) {
    if observation.losses.is_empty() {
        return;
    }
    let inconclusive = report.verdict == Verdict::Inconclusive;
    let severity = if inconclusive { Severity::Inconclusive } else { Severity::Information };
    let losses = observation.losses.iter().map(Finding::of_loss);
    let others = observation.obstacle.clone().filter(|_| inconclusive);
    for finding in losses.chain(others) {
        if !report.reasons.iter().any(|reason| reason.finding == finding) {
            report.reasons.push(Reason::new(severity, Some(&check.name), finding));
        }
    }
}

fn invalid(check: &CheckSpec, tally: &Tally) -> Option<Finding> {
    tally
        .invalid
        .as_ref()
        .map(|value| Finding::NotANumber { selector: check.traffic().text.clone(), value: value.clone() })
}

/// What a bad request is, for a sentence.
fn what(check: &CheckSpec) -> String {
    match &check.kind {
        CheckKind::Ratio { events_are_good: true, .. } => "were not good".to_owned(),
        CheckKind::Quantile { limit, .. } => format!("exceeded {limit}"),
        CheckKind::Ratio { .. } | CheckKind::Volume { .. } => "failed".to_owned(),
    }
}

#[expect(clippy::too_many_arguments, reason = "counts, their circumstances, and what they are held against")]
fn judge_share(
    check: &CheckSpec,
    tally: &Tally,
    observation: &Observation,
    seconds: f64,
    thresholds: Thresholds,
    latched: &mut Option<Verdict>,
    alphas: Alphas,
    report: &mut CheckReport,
) -> Verdict {
    let Tally { fewest, most, trials, .. } = *tally;
    let threshold = thresholds.pass;
    let ln_pass = ln_e_pass(most, trials, threshold);
    let ln_fail = ln_e_fail(fewest, trials, thresholds.fail);
    report.evidence = evidence(check, tally, ln_pass, ln_fail, alphas);
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
            *latched = Some(Verdict::Fail);
        } else if latched.is_none()
            && obstacle.is_none()
            && observation.losses.is_empty()
            && ln_pass >= libm::log(1.0 / alphas.pass)
        {
            *latched = Some(Verdict::Pass);
        }
    }
    let ratio = if trials > 0.0 { fewest / trials } else { 0.0 };
    let what = what(check);
    let (verdict, severity, finding) = match (*latched, doubt(observation).or(obstacle)) {
        (Some(Verdict::Fail), _) => (
            Verdict::Fail,
            Severity::Fail,
            Finding::AboveThreshold { ratio, threshold: thresholds.fail, events: fewest, trials, what },
        ),
        (_, Some(obstacle)) => (Verdict::Inconclusive, Severity::Inconclusive, obstacle),
        // A pass that the counts have outgrown waits: a gate that still waits for another check must not pass on it.
        (Some(Verdict::Pass), None) if most < threshold * trials => (
            Verdict::Pass,
            Severity::Pass,
            Finding::BelowThreshold { ratio, threshold, events: most, trials, what },
        ),
        (_, None) => {
            let finding = undecided(check, tally, observation, seconds, threshold, what, alphas);
            (Verdict::Inconclusive, Severity::Inconclusive, finding)
        }
    };
    report.reasons.push(Reason::new(severity, Some(&check.name), finding));
    verdict
}

/// Why counts that are in order settle nothing.
fn undecided(
    check: &CheckSpec,
    tally: &Tally,
    observation: &Observation,
    seconds: f64,
    threshold: f64,
    what: String,
    alphas: Alphas,
) -> Finding {
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
    let (low, _) = confidence_sequence(fewest, trials, alphas.fail);
    let (_, high) = confidence_sequence(most, trials, alphas.pass);
    let always = Interval { low, high, confidence: 1.0 - alphas.pass };
    let (exact_low, _) = clopper_pearson(fewest, trials, alphas.pass);
    let (_, exact_high) = clopper_pearson(most, trials, alphas.pass);
    let once = Interval { low: exact_low, high: exact_high, confidence: 1.0 - alphas.pass };
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
        CheckKind::Ratio { .. } | CheckKind::Volume { .. } => {
            let (low, high) = wilson(fewest, trials, alphas.pass);
            Evidence::Ratio {
                events: fewest,
                trials,
                always,
                once,
                wilson: Interval { low, high, confidence: 1.0 - alphas.pass },
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

/// What a reader should know beside the reason.
fn notes(check: &CheckSpec, tally: &Tally, observation: &Observation, report: &mut CheckReport) {
    let selector = || check.traffic().text.clone();
    let mut found = observation.notes.clone();
    if tally.resets > 0 {
        found.push(Finding::CounterReset { resets: tally.resets, selector: selector() });
    }
    if tally.born > 0 {
        found.push(Finding::NewSeriesCounted {
            series: tally.born,
            amount: tally.born_amount,
            selector: selector(),
        });
    }
    if [tally.fewest, tally.most, tally.trials].iter().any(|count| count.fract() != 0.0) {
        found.push(Finding::NonInteger { events: tally.fewest, trials: tally.trials });
    }
    if tally.unreachable
        && let CheckKind::Quantile { limit, .. } = &check.kind
        && !report.reasons.iter().any(|reason| matches!(reason.finding, Finding::ThresholdUnreachable { .. }))
    {
        let largest = tally.bounds.last().map_or(0.0, |(bound, _)| *bound);
        found.push(Finding::ThresholdUnreachable { threshold: *limit, largest, above: tally.most });
    }
    if check.dry_run {
        found.push(Finding::DryRun { verdict: report.verdict });
    }
    let reasons =
        found.into_iter().map(|finding| Reason::new(Severity::Information, Some(&check.name), finding));
    report.reasons.extend(reasons);
}

#[cfg(test)]
mod tests;
