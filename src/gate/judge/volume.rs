//! Whether there is the traffic that a check asks for: a fact, not an estimate.

use super::{Look, Outcome, doubt, invalid};
use crate::gate::evidence::Tally;
use crate::gate::reason::Finding;
use crate::gate::report::Evidence;
use crate::gate::verdict::Verdict;

pub(super) fn judge(look: Look<'_>, rate: f64) -> Outcome {
    let Look { check, tally, observation, seconds, .. } = look;
    let (verdict, finding) = if let Some(obstacle) =
        doubt(observation).or_else(|| invalid(check, tally)).or_else(|| observation.obstacle.clone())
    {
        (Verdict::Inconclusive, obstacle)
    } else if seconds <= 0.0 {
        (Verdict::Inconclusive, Finding::Settling {})
    } else if tally.trials.is_nan() || tally.trials <= 0.0 {
        let selector = check.traffic().text.clone();
        let finding = Finding::NoTraffic { selector, seconds, series: observation.series };
        (Verdict::Inconclusive, finding)
    } else if tally.trials < rate * seconds {
        let need = rate * seconds;
        let finding = Finding::NotEnoughRequests {
            have: tally.trials,
            need,
            seconds: Some(seconds),
            rate: tally.trials / seconds,
            eta_seconds: None,
        };
        (Verdict::Inconclusive, finding)
    } else {
        (Verdict::Pass, Finding::EnoughTraffic { requests: tally.trials, seconds, rate })
    };
    Outcome::new(verdict, finding)
}

pub(super) fn evidence(tally: &Tally, seconds: f64) -> Evidence {
    Evidence::Volume { requests: tally.trials, seconds }
}
