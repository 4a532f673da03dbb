//! What is kept, and for how long.

use crate::model::Timestamp;

use super::status::{MetricResult, Phase, RunStatus};

/// Measurements that are kept of a metric without a rule.
const DEFAULT_MEASUREMENTS: i32 = 10;

/// Drops the oldest measurements beyond `limit`; counters are not touched.
pub(super) fn trim(result: &mut MetricResult, limit: i32) {
    let limit = if limit > 0 { limit } else { DEFAULT_MEASUREMENTS };
    let kept = usize::try_from(limit).unwrap_or(usize::MAX);
    let surplus = result.measurements.len().saturating_sub(kept);
    result.measurements.drain(..surplus);
}

/// How long a finished run stays: seconds after its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", default)
)]
pub struct TtlStrategy {
    /// After any end, unless one of the others applies.
    pub seconds_after_completion: Option<i32>,
    /// After a successful end.
    pub seconds_after_success: Option<i32>,
    /// After a failed end; an Error is none.
    pub seconds_after_failure: Option<i32>,
}

/// The instant from which a finished run is due for deletion; `None`: never. A run without a completion time, which is
/// one with an error in its spec, stays.
pub fn time_to_live(strategy: &TtlStrategy, status: &RunStatus) -> Option<Timestamp> {
    let completed = status.completed_at.filter(|_| status.phase.is_completed())?;
    let seconds = match status.phase {
        Phase::Successful => strategy.seconds_after_success.or(strategy.seconds_after_completion),
        Phase::Failed => strategy.seconds_after_failure.or(strategy.seconds_after_completion),
        _ => strategy.seconds_after_completion,
    }?;
    // More whole seconds than the limit have to pass since the whole second of completion.
    let second = completed.as_millis().div_euclid(1000);
    Some(Timestamp::from_secs(second.saturating_add(i64::from(seconds)).saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::super::status::Measurement;
    use super::*;

    #[test]
    fn the_newest_measurements_stay() {
        let mut result = MetricResult::default();
        for second in 0..13 {
            let started_at = Timestamp::from_secs(second);
            result.record(Measurement { phase: Phase::Successful, started_at, ..Measurement::default() });
        }
        trim(&mut result, 0);
        assert_eq!((result.measurements.len(), result.count), (10, 13));
        trim(&mut result, 2);
        assert_eq!(result.measurements[0].started_at, Timestamp::from_secs(11));
    }

    #[test]
    fn a_run_lives_as_long_as_its_end_deserves() {
        let strategy = |c: i32, s: i32, f: i32| {
            let some = |seconds| (seconds >= 0).then_some(seconds);
            TtlStrategy {
                seconds_after_completion: some(c),
                seconds_after_success: some(s),
                seconds_after_failure: some(f),
            }
        };
        for (strategy, phase, seconds) in [
            (strategy(60, -1, -1), Phase::Error, Some(61)),
            (strategy(60, 30, -1), Phase::Successful, Some(31)),
            (strategy(60, 30, -1), Phase::Inconclusive, Some(61)),
            (strategy(60, -1, 90), Phase::Failed, Some(91)),
            (strategy(60, -1, 90), Phase::Error, Some(61)),
            (strategy(-1, 30, -1), Phase::Failed, None),
            (strategy(-1, -1, -1), Phase::Successful, None),
        ] {
            let completed_at = Some(Timestamp::from_secs(0));
            let status = RunStatus { phase, completed_at, ..RunStatus::default() };
            assert_eq!(
                time_to_live(&strategy, &status),
                seconds.map(Timestamp::from_secs),
                "{strategy:?} {phase}"
            );
        }
        let in_error = RunStatus { phase: Phase::Error, ..RunStatus::default() };
        assert_eq!(time_to_live(&strategy(1, 1, 1), &in_error), None);
    }
}
