//! Events in the newest stretch of time, against a number.

use super::{Look, Outcome, doubt, invalid};
use crate::gate::argo::{Phase, QueryValue};
use crate::gate::evidence::Tally;
use crate::gate::reason::Finding;
use crate::gate::report::Evidence;
use crate::gate::spec::Conditions;
use crate::gate::verdict::Verdict;

/// Too many events fail at once and for good. Few of them pass when the whole window is evidence.
pub(super) fn judge(
    look: Look<'_>,
    window_ms: i64,
    good: &Conditions,
    latched: &mut Option<Verdict>,
) -> Outcome {
    let Look { check, tally, observation, .. } = look;
    let window = window_ms as f64 / 1000.0;
    let seconds = look.seconds.min(window);
    let events = tally.most;
    let condition = good.text();
    let phase = good.phase(&QueryValue::Vector(vec![events]), observation.until);
    let obstacle = invalid(check, tally).or_else(|| observation.obstacle.clone());
    // What was counted has happened, whatever else may have.
    let counts = matches!(obstacle, None | Some(Finding::Stale { .. } | Finding::WindowTooShort { .. }));
    if counts && phase == Ok(Phase::Failed) {
        *latched = Some(Verdict::Fail);
    }
    let (verdict, finding) = match (*latched, doubt(observation).or(obstacle), phase) {
        (Some(Verdict::Fail), ..) => (Verdict::Fail, Finding::CountExceeded { events, seconds, condition }),
        (_, Some(obstacle), _) => (Verdict::Inconclusive, obstacle),
        (_, None, Ok(Phase::Successful)) if look.seconds >= window => {
            (Verdict::Pass, Finding::CountWithin { events, seconds, condition })
        }
        (_, None, Ok(Phase::Successful)) => {
            (Verdict::Inconclusive, Finding::WarmingUp { remaining_seconds: window - look.seconds })
        }
        (_, None, Err(message)) => {
            (Verdict::Inconclusive, Finding::ConditionError { condition, value: events.to_string(), message })
        }
        (_, None, Ok(_)) => {
            (Verdict::Inconclusive, Finding::ConditionUndecided { value: events.to_string(), condition })
        }
    };
    Outcome::new(verdict, finding)
}

pub(super) fn evidence(tally: &Tally, window_ms: i64, seconds: f64) -> Evidence {
    Evidence::Count { events: tally.most, seconds: seconds.min(window_ms as f64 / 1000.0) }
}
