//! Answers of a query: one bad one fails, the newest has to be good to pass.

use super::{Look, Outcome, doubt, invalid};
use crate::gate::evidence::{Answer, Tally, Values};
use crate::gate::reason::Finding;
use crate::gate::report::Evidence;
use crate::gate::spec::ValueSpec;
use crate::gate::verdict::Verdict;

pub(super) fn judge(look: Look<'_>, value: &ValueSpec, latched: &mut Option<Verdict>) -> Outcome {
    let Look { check, tally, observation, seconds, .. } = look;
    let Values { good, newest, bad, .. } = &tally.values;
    let condition = value.good.text();
    if bad.is_some() {
        *latched = Some(Verdict::Fail);
    }
    let short = value.least.as_ref().filter(|(_, least)| tally.trials.is_nan() || tally.trials < *least);
    let (verdict, finding) = if let Some((at, value)) = bad {
        (Verdict::Fail, Finding::ConditionFailed { value: value.clone(), condition, at: *at })
    } else if let Some(obstacle) =
        doubt(observation).or_else(|| invalid(check, tally)).or_else(|| observation.obstacle.clone())
    {
        (Verdict::Inconclusive, obstacle)
    } else if let Some((_, least)) = short {
        let rate = if seconds > 0.0 { tally.trials / seconds } else { 0.0 };
        let eta_seconds = Some((least - tally.trials) / rate).filter(|eta| eta.is_finite());
        let have = tally.trials;
        let finding = Finding::NotEnoughRequests { have, need: *least, seconds: None, rate, eta_seconds };
        (Verdict::Inconclusive, finding)
    } else {
        match newest {
            Some((_, Answer::Good(value))) => {
                (Verdict::Pass, Finding::ConditionMet { value: value.clone(), condition, answers: *good })
            }
            Some((_, Answer::Inconclusive(value) | Answer::Failed(value))) => {
                (Verdict::Inconclusive, Finding::ConditionUndecided { value: value.clone(), condition })
            }
            Some((_, Answer::Missing(why))) => (
                Verdict::Inconclusive,
                Finding::NoValue { query: value.query.text().to_owned(), why: why.clone() },
            ),
            None => (Verdict::Inconclusive, Finding::Settling {}),
        }
    };
    Outcome::new(verdict, finding)
}

pub(super) fn evidence(tally: &Tally) -> Evidence {
    let Values { good, failed, inconclusive, missing, newest, .. } = &tally.values;
    let newest = newest.as_ref().map(|(_, answer)| match answer {
        Answer::Good(text) | Answer::Failed(text) | Answer::Inconclusive(text) | Answer::Missing(text) => {
            text.clone()
        }
    });
    Evidence::Values { good: *good, failed: *failed, inconclusive: *inconclusive, missing: *missing, newest }
}
