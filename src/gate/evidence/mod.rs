//! What a check has counted so far, and what stands in the way of judging it.

mod health;
mod histogram;
mod increase;
mod series;

pub(crate) use self::series::select;

use std::collections::BTreeSet;

pub(crate) use self::health::{Health, HealthState, observe_health};
use self::increase::{Births, Counted, count};
use self::series::{Loaded, load};
use super::explain;
use super::reason::Finding;
use super::spec::{CheckKind, CheckSpec, Selector};
use crate::error::Result;
use crate::model::{Labels, Loss, Timestamp, Window};
use crate::source::Source;

/// Longest time that a scrape may take to settle.
const MAX_SETTLE_MS: i64 = 60_000;
/// Series without a sample for this long are stale, and for this many scrape intervals if that is longer; never later
/// than Prometheus's lookback says so.
const SILENT_MS: i64 = 60_000;
const SILENT_INTERVALS: i64 = 5;
const STALE_MS: i64 = 300_000;

/// Cumulative counts of one check since its evidence began.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Tally {
    /// Fewest bad requests that the counts allow.
    pub(crate) fewest: f64,
    /// Most bad requests that the counts allow; above `fewest` only where a threshold lies inside a bucket.
    pub(crate) most: f64,
    /// Requests.
    pub(crate) trials: f64,
    pub(crate) resets: usize,
    pub(crate) born: usize,
    pub(crate) born_amount: f64,
    /// A histogram's finite bounds in order, each with the observations at or below it.
    pub(crate) bounds: Vec<(f64, f64)>,
    /// Whether the threshold lies above every finite bound.
    pub(crate) unreachable: bool,
    /// A value that no counter can have was seen; as text.
    pub(crate) invalid: Option<String>,
    /// How far back the counts look, if that is before the evidence begins.
    #[cfg_attr(feature = "serde", serde(default))]
    pub(crate) reach: Option<Timestamp>,
}

impl Tally {
    fn note(&mut self, counted: &Counted) {
        self.resets = self.resets.saturating_add(counted.resets);
        self.born = self.born.saturating_add(counted.born);
        self.born_amount += counted.born_amount;
        if self.invalid.is_none() {
            self.invalid = counted.invalid.map(|value| value.to_string());
        }
    }

    /// Notes how far back counting looks: to the sample on which it builds, and where there is none as far as the
    /// lookback, for whether a series is new is told by what else there was before it.
    fn reach_back(&mut self, loaded: &Loaded, origin: Timestamp) {
        let counted = loaded.series.iter().filter(|series| !series.points.is_empty());
        let reach = counted.map(|series| match series.base {
            Some(base) => Timestamp::from_millis(base.time),
            None => origin.minus_millis(STALE_MS),
        });
        self.reach = self.reach.into_iter().chain(reach).min();
    }
}

/// What one tick saw of one check, beside the counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observation {
    /// Why the counts cannot be judged at this tick.
    pub(crate) obstacle: Option<Finding>,
    /// What a reader should know.
    pub(crate) notes: Vec<Finding>,
    /// How many series stand for the traffic.
    pub(crate) series: usize,
    /// Everything up to here is counted.
    pub(crate) until: Timestamp,
    /// The labels of the traffic's series: who the canary is.
    pub(crate) selected: Vec<Labels>,
    /// What may be missing among the data that the check judges.
    pub(crate) losses: Vec<Loss>,
}

/// When and from where a check counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// Where the evidence begins.
    pub(crate) origin: Timestamp,
    /// Everything up to here is counted already.
    pub(crate) after: Timestamp,
    pub(crate) now: Timestamp,
    pub(crate) settle_ms: Option<i64>,
}

/// Counts what happened since the last tick and adds it to the tally.
///
/// On an error the tally is as it was: the next tick counts from the same instant.
pub(crate) fn observe(
    check: &CheckSpec,
    tally: &mut Tally,
    span: Span,
    source: &dyn Source,
) -> Result<Observation> {
    let mut next = tally.clone();
    let mut observation = match &check.kind {
        CheckKind::Ratio { events, trials, missing_is_zero, events_are_good, .. } => {
            observe_ratio(events, trials, *missing_is_zero, *events_are_good, &mut next, span, source)?
        }
        CheckKind::Quantile { buckets, limit, .. } => {
            histogram::observe_quantile(buckets, *limit, &mut next, span, source)?
        }
        CheckKind::Volume { requests, .. } => observe_volume(requests, &mut next, span, source)?,
    };
    let after = next.reach.map_or(span.origin, |reach| reach.min(span.origin));
    observation.losses = source.losses(Window::new(after, span.now));
    let sums = [next.fewest, next.most, next.trials, next.born_amount];
    let bounds = next.bounds.iter().map(|(_, count)| *count);
    if let Some(sum) = sums.into_iter().chain(bounds).find(|sum| !sum.is_finite()) {
        // Sums beyond the numbers count nothing, for good; what was counted before stays to be read.
        tally.invalid.get_or_insert_with(|| sum.to_string());
    } else {
        *tally = next;
    }
    Ok(observation)
}

/// The instant up to which scrapes count: one scrape interval back, never before what is counted already.
fn settled(span: Span, loaded: &Loaded) -> Timestamp {
    let settle = span.settle_ms.or(loaded.interval_ms).unwrap_or(0).clamp(0, MAX_SETTLE_MS);
    span.now.minus_millis(settle).max(span.after)
}

/// What is wrong with the series that stand for the traffic, if anything.
fn traffic_obstacle(
    selector: &Selector,
    loaded: &Loaded,
    span: Span,
    source: &dyn Source,
) -> Result<Option<Finding>> {
    if loaded.series.is_empty() {
        return explain::diagnose(source, selector, span.now).map(Some);
    }
    let newest = loaded.series.iter().filter_map(|series| series.newest);
    let Some((last, _)) = newest.clone().max_by_key(|(time, _)| *time) else { return Ok(None) };
    let age_ms = span.now.millis_since(Timestamp::from_millis(last));
    let ended = newest.clone().all(|(_, stale)| stale);
    let silent_ms = loaded
        .interval_ms
        .map_or(STALE_MS, |interval| interval.saturating_mul(SILENT_INTERVALS).clamp(SILENT_MS, STALE_MS));
    Ok((ended || age_ms >= silent_ms).then(|| Finding::Stale {
        selector: selector.text.clone(),
        last: Timestamp::from_millis(last),
        age_seconds: age_ms as f64 / 1000.0,
        ended,
    }))
}

fn labels_of(loaded: &Loaded) -> Vec<Labels> {
    loaded.series.iter().map(|series| series.labels.clone()).collect()
}

fn observe_volume(
    requests: &Selector,
    tally: &mut Tally,
    span: Span,
    source: &dyn Source,
) -> Result<Observation> {
    let loaded = load(source, requests, span.after, span.now)?;
    tally.reach_back(&loaded, span.origin);
    let until = settled(span, &loaded);
    let mut births = Births::new(source, span.origin, span.now);
    let counted = count(&loaded, &loaded.series, until, &[], &mut births)?;
    tally.trials += counted.amount;
    tally.note(&counted);
    let obstacle = not_floats(requests, &loaded).or(traffic_obstacle(requests, &loaded, span, source)?);
    Ok(Observation {
        obstacle,
        series: loaded.series.len(),
        until,
        selected: labels_of(&loaded),
        ..Observation::default()
    })
}

fn not_floats(selector: &Selector, loaded: &Loaded) -> Option<Finding> {
    loaded.histograms.then(|| Finding::NotAClassicHistogram {
        selector: selector.text.clone(),
        problem: "its samples are native histograms; counts need counters or classic buckets".to_owned(),
    })
}

fn observe_ratio(
    events: &Selector,
    trials: &Selector,
    missing_is_zero: bool,
    events_are_good: bool,
    tally: &mut Tally,
    span: Span,
    source: &dyn Source,
) -> Result<Observation> {
    let loaded_trials = load(source, trials, span.after, span.now)?;
    let loaded_events = load(source, events, span.after, span.now)?;
    tally.reach_back(&loaded_trials, span.origin);
    tally.reach_back(&loaded_events, span.origin);
    let until = settled(span, &loaded_trials);
    let classifying: Vec<&str> = extra_matchers(events, trials);
    let mut births = Births::new(source, span.origin, span.now);
    let all = count(&loaded_trials, &loaded_trials.series, until, &classifying, &mut births)?;
    // The siblings of an event's series are those of the requests: the same requests without the event.
    let bad = count(&loaded_events, &loaded_trials.series, until, &classifying, &mut births)?;
    let events_counted = if events_are_good { all.amount - bad.amount } else { bad.amount };
    tally.trials += all.amount;
    tally.fewest += events_counted;
    tally.most += events_counted;
    tally.note(&all);
    if tally.invalid.is_none() {
        tally.invalid = bad.invalid.map(|value| value.to_string());
    }
    let mut observation = Observation {
        series: loaded_trials.series.len(),
        until,
        selected: labels_of(&loaded_trials),
        ..Observation::default()
    };
    observation.obstacle = not_floats(trials, &loaded_trials)
        .or_else(|| not_floats(events, &loaded_events))
        .or(traffic_obstacle(trials, &loaded_trials, span, source)?);
    if observation.obstacle.is_none() && loaded_events.series.is_empty() {
        let found = missing_numerator(events, trials, &loaded_trials, tally, span, source)?;
        match found {
            Finding::MissingNumeratorIsZero { .. } => observation.notes.push(found),
            _ if missing_is_zero => observation.notes.push(Finding::MissingNumeratorIsZero {
                selector: events.text.clone(),
                trials: tally.trials,
            }),
            _ => observation.obstacle = Some(found),
        }
    }
    Ok(observation)
}

/// The labels that the numerator's matchers name beyond the denominator's: what makes a request an event.
fn extra_matchers<'a>(events: &'a Selector, trials: &Selector) -> Vec<&'a str> {
    let names: BTreeSet<&str> = events
        .matchers
        .iter()
        .filter(|matcher| !trials.matchers.contains(matcher))
        .map(crate::model::Matcher::name)
        .collect();
    names.into_iter().collect()
}

/// Whether a numerator without any series is zero: if it is the denominator with further matchers whose labels the
/// metric knows, or another metric that the same targets deliver.
fn missing_numerator(
    events: &Selector,
    trials: &Selector,
    loaded: &Loaded,
    tally: &Tally,
    span: Span,
    source: &dyn Source,
) -> Result<Finding> {
    let zero = Finding::MissingNumeratorIsZero { selector: events.text.clone(), trials: tally.trials };
    let unproven = |missing: String, suggestions| {
        Ok(Finding::MissingNumeratorUnproven { selector: events.text.clone(), missing, suggestions })
    };
    let Some(metric) = events.metric() else {
        return unproven("its metric is not named".to_owned(), Vec::new());
    };
    let named = Selector::of(vec![crate::model::Matcher::equal("__name__", metric)]);
    let window = Window::new(Timestamp::MIN, span.now);
    if trials.metric() == Some(metric) {
        if let Some(matcher) = trials.matchers.iter().find(|matcher| !events.matchers.contains(matcher)) {
            return unproven(format!("it lacks the denominator's matcher `{matcher}`"), Vec::new());
        }
        for label in extra_matchers(events, trials) {
            if source.label_values(label, &named.matchers, window)?.is_empty() {
                let nearest = explain::nearest_labels(source, &named, label, span.now)?;
                return unproven(format!("`{metric}` has never had a label `{label}`"), nearest);
            }
        }
        return Ok(zero);
    }
    let others = series::select(source, &named, span.now)?;
    if others.is_empty() {
        let nearest = explain::nearest_metrics(source, metric, span.now)?;
        return unproven(format!("the metric `{metric}` has never been received"), nearest);
    }
    let target = |labels: &Labels| {
        labels.get("instance").map(|instance| (labels.get("job").map(str::to_owned), instance.to_owned()))
    };
    let known: BTreeSet<_> = loaded.series.iter().filter_map(|series| target(&series.labels)).collect();
    if !known.is_empty()
        && others.iter().filter_map(|series| target(series.labels())).any(|one| known.contains(&one))
    {
        return Ok(zero);
    }
    unproven(format!("no target of the denominator delivers `{metric}`"), Vec::new())
}

#[cfg(test)]
mod tests;
