//! From counters to phases: pure functions of spec and state.

use crate::model::Timestamp;

use super::int_or_text::IntOrText;
use super::status::{MetricResult, Phase, RunStatus, RunSummary, Transition};
use super::template::Metric;

/// Errors in a row that are tolerated unless the metric says otherwise.
const DEFAULT_ERROR_LIMIT: i32 = 4;

/// The limit that a metric has exceeded, and the phase that makes it. On one metric an Error overrides Inconclusive,
/// which overrides Failed.
pub(super) fn limit_exceeded(metric: &Metric, result: &MetricResult) -> Option<(Phase, String)> {
    let number = |limit: &Option<IntOrText>, default: i32| limit.as_ref().map_or(default, IntOrText::narrow);
    let mut exceeded = None;
    let failures = number(&metric.failure_limit, 0);
    if failures >= 0 && result.failed > failures {
        exceeded = Some((Phase::Failed, format!("failed ({}) > failureLimit ({failures})", result.failed)));
    }
    let inconclusive = number(&metric.inconclusive_limit, 0);
    if result.inconclusive > inconclusive {
        let text = format!("inconclusive ({}) > inconclusiveLimit ({inconclusive})", result.inconclusive);
        exceeded = Some((Phase::Inconclusive, text));
    }
    let errors = number(&metric.consecutive_error_limit, DEFAULT_ERROR_LIMIT);
    if result.consecutive_error > errors {
        let text =
            format!("consecutiveErrors ({}) > consecutiveErrorLimit ({errors})", result.consecutive_error);
        exceeded = Some((Phase::Error, text));
    }
    exceeded
}

/// The phase of a metric.
pub(super) fn assess_metric(metric: &Metric, result: &MetricResult, terminating: bool) -> Phase {
    if result.phase.is_completed() {
        return result.phase;
    }
    match result.newest() {
        None if terminating => return Phase::Successful,
        None => return Phase::Pending,
        Some(newest) if !newest.phase.is_completed() => return Phase::Running,
        Some(_) => {}
    }
    if let Some((phase, _)) = limit_exceeded(metric, result) {
        return phase;
    }
    let successes = metric.consecutive_success_limit.as_ref().map_or(0, IntOrText::narrow);
    if successes > 0 && result.consecutive_success >= successes {
        return Phase::Successful;
    }
    if metric.effective_count().is_some_and(|count| result.count >= count) {
        let failures_off = metric.failure_limit.as_ref().is_some_and(|limit| limit.narrow() < 0);
        return match (successes > 0, failures_off) {
            (false, _) => Phase::Successful,
            (true, false) => Phase::Inconclusive,
            (true, true) => Phase::Failed,
        };
    }
    if terminating { Phase::Successful } else { Phase::Running }
}

/// What an assessment looks at beside the status.
pub(super) struct RunSpec<'a> {
    pub(super) metrics: &'a [Metric],
    pub(super) dry_run: &'a [bool],
    /// Whether somebody asked for the end.
    pub(super) terminate: bool,
}

impl RunSpec<'_> {
    fn each(&self) -> impl Iterator<Item = (&Metric, bool)> {
        self.metrics.iter().zip(self.dry_run.iter().copied())
    }

    /// Whether the run is to end: it was asked to, or a metric that decides has ended badly in an earlier pass.
    pub(super) fn is_terminating(&self, status: &RunStatus) -> bool {
        self.terminate
            || self.each().any(|(metric, dry)| {
                let phase = status.result(&metric.name).map(|result| result.phase);
                !dry && matches!(phase, Some(Phase::Failed | Phase::Error | Phase::Inconclusive))
            })
    }
}

/// The metrics' phases, `None` where nothing has been measured.
pub(super) fn phases(spec: &RunSpec<'_>, status: &RunStatus) -> Vec<Option<Phase>> {
    spec.metrics.iter().map(|metric| status.result(&metric.name).map(|result| result.phase)).collect()
}

/// One pass: every metric, then the run. Answers the changes of phase since `before`.
pub(super) fn assess_run(
    spec: &RunSpec<'_>,
    status: &mut RunStatus,
    before: &[Option<Phase>],
    now: Timestamp,
) -> Vec<Transition> {
    let mut transitions = Vec::new();
    let terminating = spec.is_terminating(status);
    status.started_at.get_or_insert(now);
    let mut worst: Option<Phase> = None;
    let mut message = if spec.terminate { "Run Terminated".to_owned() } else { String::new() };
    let mut all_completed = true;
    let (mut summary, mut dry_summary) = (RunSummary::default(), RunSummary::default());
    for ((metric, dry), before) in spec.each().zip(before) {
        let counted = if dry { &mut dry_summary } else { &mut summary };
        counted.count = counted.count.saturating_add(1);
        let Some(result) = status.result_mut(&metric.name) else {
            all_completed = false;
            continue;
        };
        let phase = assess_metric(metric, result, terminating);
        if phase != result.phase {
            if let Some(newest) = result.newest() {
                result.message = newest.message.clone();
            }
            result.phase = phase;
        }
        if phase.is_completed() {
            let exceeded = limit_exceeded(metric, result);
            count_completed(counted, exceeded.as_ref().map(|(phase, _)| *phase));
            let reason = exceeded.map(|(_, text)| text);
            if dry {
                if let Some(reason) = reason {
                    result.message = format!("Metric assessed {phase} due to {reason}");
                }
                worst.get_or_insert(Phase::Successful);
            } else if worst.is_none_or(|worst| phase.severity() > worst.severity()) {
                worst = Some(phase);
                if let Some(reason) = reason {
                    message = format!("Metric \"{}\" assessed {phase} due to {reason}", metric.name);
                    if !result.message.is_empty() {
                        message.push_str(&format!(": \"Error Message: {}\"", result.message));
                    }
                }
            }
        } else {
            all_completed = false;
        }
        if *before != Some(phase) {
            let (metric, message) = (Some(metric.name.clone()), result.message.clone());
            transitions.push(Transition { at: now, metric, phase, message });
        }
    }
    let (phase, message) = match worst {
        _ if terminating => (worst.unwrap_or(Phase::Successful), message),
        Some(worst) if all_completed => (worst, message),
        _ => (Phase::Running, String::new()),
    };
    status.run_summary = Some(summary);
    status.dry_run_summary = Some(dry_summary);
    if phase != status.phase {
        if phase.is_completed() {
            status.completed_at = Some(now);
        }
        transitions.push(Transition { at: now, metric: None, phase, message: message.clone() });
    }
    status.phase = phase;
    status.message = message;
    transitions
}

fn count_completed(summary: &mut RunSummary, exceeded: Option<Phase>) {
    let counter = match exceeded {
        Some(Phase::Failed) => &mut summary.failed,
        Some(Phase::Inconclusive) => &mut summary.inconclusive,
        Some(Phase::Error) => &mut summary.error,
        _ => &mut summary.successful,
    };
    *counter = counter.saturating_add(1);
}

#[cfg(test)]
mod tests;
