//! Which metrics are due, and when to come back.

use crate::model::Timestamp;

use super::duration::parse_millis;
use super::status::{MetricResult, Phase, RunStatus};
use super::template::Metric;

/// After an Error a metric is measured again this much later, whatever its interval.
const ERROR_RETRY_MS: i64 = 10_000;

/// When a metric is due next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Not at all any more.
    Never,
    /// In the first pass after the start, whenever that is.
    AtStart,
    /// From this time on. A metric is due at its time, where Argo wants it strictly later: a clock that jumps to the due
    /// time has to find it due.
    At(Timestamp),
}

/// When the metric is due, as the run stands.
pub(super) fn due(metric: &Metric, status: &RunStatus, terminating: bool) -> Due {
    let result = status.result(&metric.name);
    if terminating || result.is_some_and(|result| result.phase.is_completed()) {
        return Due::Never;
    }
    let Some((result, newest)) = result.and_then(|result| Some((result, result.newest()?))) else {
        return first(metric, status);
    };
    if reached(metric, result) {
        return Due::Never;
    }
    if newest.phase == Phase::Error {
        return Due::At(cut(newest.finished_at).plus_millis(ERROR_RETRY_MS));
    }
    match parse_millis(&metric.interval) {
        Ok(interval) => Due::At(after(newest.finished_at, interval)),
        // A metric without an interval is measured once; what does not parse does not pass validation.
        Err(_) => Due::Never,
    }
}

fn first(metric: &Metric, status: &RunStatus) -> Due {
    if metric.initial_delay.is_empty() {
        return Due::AtStart;
    }
    match (parse_millis(&metric.initial_delay), status.started_at) {
        (Ok(delay), Some(started)) => {
            let from = if delay % 1000 == 0 { cut(started) } else { started };
            Due::At(from.plus_millis(delay))
        }
        // Before the start is known nothing with a delay is measured, not even with a delay of nothing.
        (Ok(_), None) | (Err(_), _) => Due::Never,
    }
}

fn reached(metric: &Metric, result: &MetricResult) -> bool {
    metric.effective_count().is_some_and(|count| result.count >= count)
}

/// Instants that Argo stores have whole seconds, and intervals count from those.
fn cut(time: Timestamp) -> Timestamp {
    let millis = time.as_millis();
    time.minus_millis(millis.rem_euclid(1000))
}

/// `interval` after the end of a measurement. Intervals of whole seconds count from the second it ended in; shorter
/// steps count exactly, where Argo measures without a pause until its second is over.
fn after(finished: Timestamp, interval: i64) -> Timestamp {
    if interval <= 0 {
        // Always overdue in Argo; one measurement a millisecond is the densest that has an order.
        return finished.plus_millis(1);
    }
    let from = if interval % 1000 == 0 { cut(finished) } else { finished };
    from.plus_millis(interval).max(finished.plus_millis(1))
}

#[cfg(test)]
mod tests {
    use super::super::status::Measurement;
    use super::*;

    fn metric(interval: &str, delay: &str) -> Metric {
        Metric {
            name: "m".to_owned(),
            interval: interval.to_owned(),
            initial_delay: delay.to_owned(),
            ..Metric::default()
        }
    }

    fn status(phase: Phase, finished_ms: i64) -> RunStatus {
        let mut result =
            MetricResult { name: "m".to_owned(), phase: Phase::Running, ..MetricResult::default() };
        let finished_at = Timestamp::from_millis(finished_ms);
        result.record(Measurement { phase, finished_at, ..Measurement::default() });
        RunStatus {
            metric_results: vec![result],
            started_at: Some(Timestamp::from_millis(437)),
            ..RunStatus::default()
        }
    }

    fn at(millis: i64) -> Due {
        Due::At(Timestamp::from_millis(millis))
    }

    #[test]
    fn intervals_of_whole_seconds_count_from_a_whole_second() {
        assert_eq!(due(&metric("10s", ""), &status(Phase::Successful, 5_437), false), at(15_000));
        assert_eq!(due(&metric("500ms", ""), &status(Phase::Successful, 5_437), false), at(5_937));
        assert_eq!(due(&metric("-10s", ""), &status(Phase::Failed, 5_437), false), at(5_438));
    }

    #[test]
    fn an_error_is_retried_after_ten_seconds_whatever_the_interval() {
        assert_eq!(due(&metric("5m", ""), &status(Phase::Error, 5_437), false), at(15_000));
        assert_eq!(due(&metric("", ""), &status(Phase::Error, 5_437), false), at(15_000));
    }

    #[test]
    fn a_delay_counts_from_the_start_and_none_means_at_once() {
        let mut started = RunStatus { started_at: Some(Timestamp::from_millis(437)), ..RunStatus::default() };
        assert_eq!(due(&metric("10s", "60s"), &started, false), at(60_000));
        assert_eq!(due(&metric("10s", ""), &started, false), Due::AtStart);
        started.started_at = None;
        assert_eq!(due(&metric("10s", "0s"), &started, false), Due::Never);
    }

    #[test]
    fn a_delay_or_interval_that_does_not_parse_is_left_out() {
        let started = RunStatus { started_at: Some(Timestamp::from_millis(437)), ..RunStatus::default() };
        assert_eq!(due(&metric("60s", "not-valid-start-delay"), &started, false), Due::Never);
        assert_eq!(due(&metric("not-valid", ""), &status(Phase::Successful, 5_437), false), Due::Never);
    }

    #[test]
    fn nothing_is_due_once_the_run_ends() {
        assert_eq!(due(&metric("10s", ""), &RunStatus::default(), true), Due::Never);
        assert_eq!(due(&metric("", ""), &status(Phase::Successful, 0), false), Due::Never);
    }
}
