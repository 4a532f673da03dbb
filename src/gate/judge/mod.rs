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
use super::spec::{CheckKind, CheckSpec, GateSpec};
use super::stats::change::{Change, Detector, Limit};
use super::stats::comparison::Pair;
use super::verdict::Verdict;
use crate::model::Timestamp;

/// How often a check may be wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alphas {
    /// The probability to pass a bad canary.
    pub(crate) pass: f64,
    /// The probability to fail a good one.
    pub(crate) fail: f64,
    /// The mean number of looks until a good one that has passed is taken to have changed; none: it is not watched.
    pub(crate) looks: Option<f64>,
}

impl Alphas {
    /// Those of each check: what the gate may fail wrongly is shared by the checks that can fail by statistics.
    pub(crate) fn of(spec: &GateSpec) -> Self {
        let deciding = spec.checks.iter().filter(|check| !check.dry_run && check.can_err()).count();
        let options = &spec.options;
        let looks = options.false_alarm_ms as f64 / options.interval_ms.max(1) as f64;
        let looks = spec.watches().then_some(looks.max(1.0 / options.alpha_fail));
        Self { pass: options.alpha_pass, fail: options.alpha_fail, looks }
            .shared(1.0 / deciding.max(1) as f64)
    }

    /// What is left to a check that has `share` of what the gate's failures may be wrong.
    pub(crate) fn shared(self, share: f64) -> Self {
        Self { fail: self.fail * share, looks: self.looks.map(|looks| looks / share), ..self }
    }
}

/// What a check has decided so far.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Decision {
    pub(crate) latched: Option<Verdict>,
    /// Watches on after a pass.
    #[cfg_attr(feature = "serde", serde(default))]
    detector: Option<Box<Detector>>,
    /// The change for which a check failed that had passed.
    #[cfg_attr(feature = "serde", serde(default))]
    change: Option<Change>,
}

impl Decision {
    /// Fails what has passed if the counts have changed for the worse since.
    fn watch(&mut self, counts: Pair, limit: Limit, look: Look<'_>) {
        let (Some(looks), Some(Verdict::Pass)) = (look.alphas.looks, self.latched) else { return };
        let until = look.observation.until;
        let Some(detector) = &mut self.detector else {
            self.detector = Some(Box::new(Detector::new(counts, until)));
            return;
        };
        detector.look(counts, limit, until);
        self.change = detector.alarm(limit, looks);
        if self.change.is_some() {
            self.latched = Some(Verdict::Fail);
        }
    }
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
/// `decision` is what the check has decided before: a failure stands; a pass stands unless the failing test, whose
/// promise holds at all looks, contradicts it, or, where it is watched, its counts change for the worse. An obstacle, or a
/// ratio that has risen to the threshold since, keeps a pass back while it lasts. So does data that may be missing where the
/// check looks: it can fail on what is there, and does not pass.
pub(crate) fn judge(
    check: &CheckSpec,
    tally: &Tally,
    observation: &Observation,
    origin: Timestamp,
    decision: &mut Decision,
    alphas: Alphas,
) -> CheckReport {
    let seconds = observation.until.millis_since(origin).max(0) as f64 / 1000.0;
    let look = Look { check, tally, observation, seconds, alphas };
    let outcome = match &check.kind {
        CheckKind::Volume { rate, .. } => volume::judge(look, *rate),
        CheckKind::Ratio { threshold, fail_threshold, .. } => {
            share::judge(look, Thresholds { pass: *threshold, fail: *fail_threshold }, decision)
        }
        CheckKind::Quantile { phi, .. } => {
            share::judge(look, Thresholds { pass: 1.0 - phi, fail: 1.0 - phi }, decision)
        }
        CheckKind::Count { window_ms, good, .. } => {
            count::judge(look, *window_ms, good, &mut decision.latched)
        }
        CheckKind::Comparison { limit, .. } => comparison::judge(look, *limit, decision),
        CheckKind::Value(value) => value::judge(look, value, &mut decision.latched),
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
