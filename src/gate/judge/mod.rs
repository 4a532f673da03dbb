//! From counts to the outcome of one check: total, pure, deterministic.

mod comparison;
mod count;
mod share;
mod value;
mod volume;

use self::share::Thresholds;
use super::evidence::{Observation, Tally};
use super::reason::{Finding, Reason, Severity};
use super::report::{CheckReport, Evidence};
use super::spec::{CheckKind, CheckSpec};
use super::verdict::Verdict;
use crate::model::Timestamp;

/// Error probabilities: passing a bad canary, failing a good one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alphas {
    pub(crate) pass: f64,
    pub(crate) fail: f64,
}

/// What one look has of one check.
#[derive(Clone, Copy)]
struct Look<'a> {
    check: &'a CheckSpec,
    tally: &'a Tally,
    observation: &'a Observation,
    /// How long the evidence is.
    seconds: f64,
    alphas: Alphas,
}

/// What a check says, and why.
struct Outcome {
    verdict: Verdict,
    finding: Finding,
    evidence: Evidence,
}

impl Outcome {
    fn severity(&self) -> Severity {
        match self.verdict {
            Verdict::Pass => Severity::Pass,
            Verdict::Fail => Severity::Fail,
            Verdict::Inconclusive => Severity::Inconclusive,
        }
    }
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
    let look = Look { check, tally, observation, seconds, alphas };
    let outcome = match &check.kind {
        CheckKind::Volume { rate, .. } => volume::judge(look, *rate),
        CheckKind::Ratio { threshold, fail_threshold, .. } => {
            share::judge(look, Thresholds { pass: *threshold, fail: *fail_threshold }, latched)
        }
        CheckKind::Quantile { phi, .. } => {
            share::judge(look, Thresholds { pass: 1.0 - phi, fail: 1.0 - phi }, latched)
        }
        CheckKind::Count { window_ms, good, .. } => count::judge(look, *window_ms, good, latched),
        CheckKind::Comparison { limit, .. } => comparison::judge(look, *limit, latched),
        CheckKind::Value(value) => value::judge(look, value, latched),
    };
    let mut report = CheckReport {
        name: check.name.clone(),
        dry_run: check.dry_run,
        verdict: outcome.verdict,
        query: check.query(),
        reasons: vec![Reason::new(outcome.severity(), Some(&check.name), outcome.finding)],
        evidence: outcome.evidence,
        elements: Vec::new(),
    };
    doubts(check, observation, &mut report);
    notes(check, tally, observation, &mut report);
    report
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

/// A value that counts nothing.
fn invalid(check: &CheckSpec, tally: &Tally) -> Option<Finding> {
    tally
        .invalid
        .as_ref()
        .map(|value| Finding::NotANumber { selector: check.traffic().text.clone(), value: value.clone() })
}

/// What a reader should know beside the reason.
fn notes(check: &CheckSpec, tally: &Tally, observation: &Observation, report: &mut CheckReport) {
    let selector = || check.traffic().text.clone();
    let mut found = observation.notes.clone();
    match &check.kind {
        CheckKind::Value(value) => {
            found.push(Finding::NoErrorGuarantee {});
            found.extend(value.least.is_none().then_some(Finding::TrafficUnknown {}));
        }
        CheckKind::Count { .. } => found.push(Finding::TrafficUnknown {}),
        _ => {}
    }
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
