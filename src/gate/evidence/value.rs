//! What a query answers while the gate runs.

use std::collections::HashSet;

use super::increase::{Fallen, count};
use super::series::{Loaded, load};
use super::{Observation, Span, Tally, explain, labels_of, late, traffic_obstacle};
use crate::error::{ErrorKind, Result};
use crate::gate::argo::{Phase, QueryValue};
use crate::gate::binary::{binary_fields, binary_variants};
use crate::gate::reason::Finding;
use crate::gate::round::{At, Evaluated, Round};
use crate::gate::spec::{Conditions, ValueSpec};
use crate::model::{SampleValue, Timestamp};
use crate::promql::Value;
use crate::source::{Source, Watched};

/// A tick asks a query at no more instants: where there were more scrapes since the last one, at some of them.
const MAX_INSTANTS: usize = 1_000;
/// So many elements of an answer are put first, to see whether that changes what the condition says.
const ELEMENTS_TRIED: usize = 32;
/// A reason names so many elements.
const ELEMENTS_TOLD: usize = 3;

/// How a query's answers were judged.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Values {
    pub(crate) good: u64,
    pub(crate) failed: u64,
    pub(crate) inconclusive: u64,
    /// Instants at which there was no number.
    pub(crate) missing: u64,
    pub(crate) newest: Option<(Timestamp, Answer)>,
    /// The first answer that failed.
    pub(crate) bad: Option<(Timestamp, String)>,
}

binary_fields!(Values { good, failed, inconclusive, missing, newest, bad });

/// One answer, judged; the text is the value.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) enum Answer {
    Good(String),
    Failed(String),
    Inconclusive(String),
    /// There is no number; why.
    Missing(String),
}

binary_variants!(Answer { 0 = Good(text), 1 = Failed(text), 2 = Inconclusive(text), 3 = Missing(text) });

impl Values {
    fn add(&mut self, at: Timestamp, answer: Answer) {
        let count = match &answer {
            Answer::Good(_) => &mut self.good,
            Answer::Failed(text) => {
                self.bad.get_or_insert_with(|| (at, text.clone()));
                &mut self.failed
            }
            Answer::Inconclusive(_) => &mut self.inconclusive,
            Answer::Missing(_) => &mut self.missing,
        };
        *count = count.saturating_add(1);
        self.newest = Some((at, answer));
    }
}

/// Asks at every scrape since the last tick, and at the tick. An answer from data that may be missing is none. The round answers
/// queries, of which it knows what is missing where they look; the same source, watched, all else.
pub(super) fn observe_value(
    value: &ValueSpec,
    tally: &mut Tally,
    span: Span,
    (round, source): (&Round<'_>, &Watched<'_>),
) -> Result<Observation> {
    let loaded = load(source, &value.traffic, span.after, span.now)?;
    let until = late::known(span, &loaded);
    let mut observation = Observation {
        series: loaded.series.len(),
        until,
        selected: labels_of(&loaded),
        ..Observation::default()
    };
    if let Some((requests, _)) = &value.least {
        let counters = load(source, requests, span.after, span.now)?;
        tally.reach_back(&counters, span.origin);
        let mut births = tally.births((tally.trials, &counters), span, source);
        let fallen = Fallen::of(&counters.series);
        let counted = count(&counters, &counters.series, until, &[], (&fallen, &mut births))?;
        tally.trials += counted.amount;
        tally.note(&counted);
    }
    let (mut newest, mut failure) = (None, None);
    for at in instants(&loaded, span) {
        let Evaluated { evaluation, losses } = round.evaluate(&value.query, At::Instant(at));
        let judged = match evaluation {
            Ok(evaluation) => judged(value, &evaluation.value, at),
            // The source did answer.
            Err(error)
                if matches!(error.kind(), ErrorKind::Query | ErrorKind::Limit | ErrorKind::Unsupported) =>
            {
                let failed = no_value(value, format!("the query fails: {error}"));
                failure.get_or_insert_with(|| failed.clone());
                Err(failed)
            }
            Err(error) => return Err(error),
        };
        let answer = judged.as_ref().map_or_else(|why| Answer::Missing(why.to_string()), Answer::clone);
        newest = judged.err();
        let is_whole = losses.is_empty();
        for loss in losses {
            if !observation.losses.contains(&loss) {
                observation.losses.push(loss);
            }
        }
        let in_doubt = || Answer::Missing("samples may be missing where the query looks".to_owned());
        tally.values.add(at, if is_whole { answer } else { in_doubt() });
    }
    // Whether it would have failed at an instant that was not seen is not known.
    observation.obstacle = silence(value, &loaded, span, source)?.or(failure.map(|failure| *failure));
    if observation.obstacle.is_none()
        && let Some((_, Answer::Missing(why))) = &tally.values.newest
    {
        let nothing = matches!(newest.as_deref(), Some(Finding::NoValue { why, .. }) if why == NOTHING);
        let because = if nothing { explain::why_nothing(round, value.query.expr(), span.now)? } else { None };
        let newest = newest.unwrap_or_else(|| no_value(value, why.clone()));
        observation.obstacle = Some(because.unwrap_or(*newest));
    }
    Ok(observation)
}

/// What is said of an answer without any element, where its query does not tell more.
const NOTHING: &str = "the query answers nothing";

fn no_value(value: &ValueSpec, why: String) -> Box<Finding> {
    Box::new(Finding::NoValue { query: value.query.text().to_owned(), why })
}

/// When to ask so that every sample of the first selector is the newest of its series once: before a series has its next one,
/// and now.
fn instants(loaded: &Loaded, span: Span) -> Vec<Timestamp> {
    let series = loaded.series.iter().enumerate();
    let mut samples: Vec<(i64, usize)> =
        series.flat_map(|(own, series)| series.points.iter().map(move |point| (point.time, own))).collect();
    samples.sort_unstable();
    let (mut instants, mut seen, mut last) = (Vec::new(), HashSet::new(), span.after.as_millis());
    for (time, own) in samples {
        if !seen.insert(own) {
            instants.push(Timestamp::from_millis(last));
            seen.clear();
            seen.insert(own);
        }
        last = time;
    }
    let every = instants.len().div_ceil(MAX_INSTANTS).max(1);
    instants.into_iter().step_by(every).chain([span.now]).collect()
}

/// One answer, judged; or why it is none.
fn judged(spec: &ValueSpec, answer: &Value, at: Timestamp) -> std::result::Result<Answer, Box<Finding>> {
    let samples = if let Value::Vector(samples) = answer { samples.as_slice() } else { &[] };
    if samples.iter().any(|sample| matches!(sample.value, SampleValue::Histogram(_))) {
        return Err(no_value(spec, "the query answers a native histogram, which is no number".to_owned()));
    }
    let value = QueryValue::from(answer);
    let (text, numbers) = (value.text(), value.numbers());
    if numbers.is_empty() {
        return Err(no_value(spec, NOTHING.to_owned()));
    }
    if numbers.iter().any(|number| number.is_nan()) {
        return Err(no_value(spec, format!("the query answers {text}")));
    }
    let phase = if spec.per_element && matches!(value, QueryValue::Vector(_)) {
        let each = numbers.iter().map(|number| spec.good.phase(&QueryValue::Vector(vec![*number]), at));
        each.reduce(worse).unwrap_or(Ok(Phase::Inconclusive))
    } else {
        let phase = spec.good.phase(&value, at);
        if depends_on_order(&spec.good, &numbers, &phase, at) {
            let labels = samples.iter().take(ELEMENTS_TOLD).map(|sample| sample.labels.to_string()).collect();
            return Err(Box::new(Finding::SeveralElements { elements: numbers.len(), labels }));
        }
        phase
    };
    match phase {
        Ok(Phase::Successful) => Ok(Answer::Good(text)),
        Ok(Phase::Failed) => Ok(Answer::Failed(text)),
        Ok(_) => Ok(Answer::Inconclusive(text)),
        Err(message) => {
            Err(Box::new(Finding::ConditionError { condition: spec.good.text(), value: text, message }))
        }
    }
}

/// Whether a condition comes to something else where another element comes first. Of very many elements those are tried that come
/// first, the least and the greatest.
fn depends_on_order(
    good: &Conditions,
    numbers: &[f64],
    phase: &std::result::Result<Phase, String>,
    at: Timestamp,
) -> bool {
    if numbers.len() < 2 || matches!(good, Conditions::Bound { .. }) {
        return false;
    }
    let places = || numbers.iter().enumerate();
    let least = places().min_by(|(_, a), (_, b)| a.total_cmp(b));
    let greatest = places().max_by(|(_, a), (_, b)| a.total_cmp(b));
    let tried = places().skip(1).take(ELEMENTS_TRIED).chain(least).chain(greatest);
    tried.map(|(place, _)| place).any(|place| {
        let mut turned = numbers.to_vec();
        turned.rotate_left(place);
        let other = good.phase(&QueryValue::Vector(turned), at);
        other.as_ref().ok() != phase.as_ref().ok()
    })
}

/// Of the phases of two elements that of both: bad if one is, good if both are.
fn worse(
    one: std::result::Result<Phase, String>,
    other: std::result::Result<Phase, String>,
) -> std::result::Result<Phase, String> {
    let rank = |phase: &std::result::Result<Phase, String>| match phase {
        Ok(Phase::Failed) => 3,
        Err(_) => 2,
        Ok(Phase::Successful) => 0,
        Ok(_) => 1,
    };
    if rank(&other) > rank(&one) { other } else { one }
}

/// A selector that matches nothing, or has gone silent: whatever number a guard such as `or vector(0)` puts in its place is
/// no evidence.
fn silence(value: &ValueSpec, loaded: &Loaded, span: Span, source: &dyn Source) -> Result<Option<Finding>> {
    let found = traffic_obstacle(&value.traffic, loaded, span, source)?;
    if found.is_some() {
        return Ok(found);
    }
    for selector in &value.others {
        let loaded = load(source, selector, span.after, span.now)?;
        let found = traffic_obstacle(selector, &loaded, span, source)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

#[cfg(test)]
#[cfg(feature = "argo")]
mod tests;
