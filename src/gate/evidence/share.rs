//! Events among trials, of a canary and beside those of a baseline.

use std::collections::BTreeSet;

use super::increase::{Fallen, count};
use super::late;
use super::series::{Loaded, load, select};
use super::{Observation, Pace, Span, Tally, labels_of, traffic_obstacle};
use crate::error::Result;
use crate::gate::explain;
use crate::gate::reason::Finding;
use crate::gate::spec::{ComparisonLimit, Selector, Share};
use crate::gate::stats::comparison::{Mixture, Pair};
use crate::gate::stats::difference::Difference;
use crate::model::{Labels, Matcher, Timestamp, Window};
use crate::source::Source;

/// The samples that one tick counts for one share.
struct LoadedShare<'a> {
    share: &'a Share,
    trials: Loaded,
    events: Vec<Loaded>,
}

impl<'a> LoadedShare<'a> {
    fn load(share: &'a Share, span: Span, source: &dyn Source) -> Result<Self> {
        let events = share.events.iter().map(|(_, selector)| load(source, selector, span.after, span.now));
        Ok(Self {
            share,
            trials: load(source, &share.trials, span.after, span.now)?,
            events: events.collect::<Result<_>>()?,
        })
    }

    /// Up to where requests and events are both there, `until` or earlier, and what of it is late.
    fn both_until(&self, until: Timestamp, span: Span, notes: &mut Vec<Finding>) -> Timestamp {
        // Requests without the good ones among them would be bad ones.
        if !span.waits && !self.share.events_are_good {
            return until;
        }
        let terms = self.share.events.iter().zip(&self.events);
        let until = terms.fold(until, |until, ((_, events), loaded)| {
            let extra = extra_matchers(events, &self.share.trials);
            let (until, found) = late::both_until(until, &self.trials, (events, loaded), &extra);
            notes.extend(found);
            until
        });
        until.max(span.after)
    }

    /// Adds what happened up to `until`, of requests of which so many were counted before, and says what stands in the way of judging
    /// it.
    fn count(
        &self,
        until: Timestamp,
        (tally, counted): (&mut Tally, f64),
        span: Span,
        source: &dyn Source,
    ) -> Result<Observation> {
        let Share { trials, events_are_good, missing_is_zero, .. } = self.share;
        tally.reach_back(&self.trials, span.origin);
        let terms = || self.share.events.iter().zip(&self.events);
        let classifying: BTreeSet<&str> =
            terms().flat_map(|((_, events), _)| extra_matchers(events, trials)).collect();
        let classifying: Vec<&str> = classifying.into_iter().collect();
        let mut births = tally.births((counted, &self.trials), span, source);
        // Where an event's counter has started again the requests' may have too, also where it has grown past its old value.
        let fallen =
            Fallen::of(std::iter::once(&self.trials).chain(&self.events).flat_map(|one| &one.series));
        let all = count(&self.trials, &self.trials.series, until, &classifying, (&fallen, &mut births))?;
        tally.note(&all);
        let mut events_counted = 0.0;
        for ((weight, events), loaded) in terms() {
            tally.reach_back(loaded, span.origin);
            // The siblings of an event's series are those of the requests: the same requests without the event.
            let extra = extra_matchers(events, trials);
            let counted = count(loaded, &self.trials.series, until, &extra, (&fallen, &mut births))?;
            events_counted += weight * counted.amount;
            if tally.invalid.is_none() {
                tally.invalid = counted.invalid.map(|value| value.to_string());
            }
        }
        let bad = if *events_are_good { all.amount - events_counted } else { events_counted };
        tally.trials += all.amount;
        tally.fewest += bad;
        tally.most += bad;
        let mut observation = Observation {
            series: self.trials.series.len(),
            until,
            selected: labels_of(&self.trials),
            pace: Pace::of(&self.trials),
            ..Observation::default()
        };
        tally.leave_histograms_out(trials, &self.trials);
        terms().for_each(|((_, events), loaded)| tally.leave_histograms_out(events, loaded));
        observation.obstacle = traffic_obstacle(trials, &self.trials, span, source)?;
        for ((_, events), loaded) in terms() {
            let goes_on = loaded.series.iter().any(|one| late::goes_on(one, until));
            if observation.obstacle.is_some() || goes_on {
                continue;
            }
            // What has ended is as what is not there: who delivers the requests has to be known to deliver events as well.
            let is_missing = loaded.series.is_empty();
            let found = missing_numerator(events, trials, &self.trials, tally, span, source)?;
            match found {
                Finding::MissingNumeratorIsZero { .. } if is_missing => observation.notes.push(found),
                Finding::MissingNumeratorIsZero { .. } => {}
                _ if *missing_is_zero && !is_missing => {}
                _ if *missing_is_zero => observation.notes.push(Finding::MissingNumeratorIsZero {
                    selector: events.text.clone(),
                    trials: tally.trials,
                }),
                _ => observation.obstacle = Some(found),
            }
        }
        Ok(observation)
    }
}

pub(super) fn observe_share(
    share: &Share,
    tally: &mut Tally,
    span: Span,
    source: &dyn Source,
) -> Result<Observation> {
    let loaded = LoadedShare::load(share, span, source)?;
    let (until, late) = late::settled(span, &[(&share.trials, &loaded.trials)]);
    let mut notes = late.into_iter().collect();
    let until = loaded.both_until(until, span, &mut notes);
    let counted = tally.trials;
    let mut observation = loaded.count(until, (tally, counted), span, source)?;
    observation.notes.extend(notes);
    Ok(observation)
}

/// Counts both sides up to the same instant. What stands in the way of the canary is told first.
pub(super) fn observe_comparison(
    canary: &Share,
    baseline: &Share,
    limit: ComparisonLimit,
    tally: &mut Tally,
    span: Span,
    source: &dyn Source,
) -> Result<Observation> {
    let own = LoadedShare::load(canary, span, source)?;
    let other = LoadedShare::load(baseline, span, source)?;
    let sides = [(&canary.trials, &own.trials), (&baseline.trials, &other.trials)];
    let (until, late) = late::settled(span, &sides);
    let mut notes = late.into_iter().collect();
    let until = other.both_until(own.both_until(until, span, &mut notes), span, &mut notes);
    let (events, trials) = (tally.most, tally.trials);
    let mut observation = own.count(until, (&mut *tally, trials), span, source)?;
    let mut beside = Tally { forgotten: tally.forgotten, ..Tally::default() };
    let seen = other.count(until, (&mut beside, tally.baseline.1), span, source)?;
    tally.forgotten = beside.forgotten;
    tally.baseline.0 += beside.most;
    tally.baseline.1 += beside.trials;
    tally.invalid = tally.invalid.take().or(beside.invalid);
    tally.left_out = tally.left_out.take().or(beside.left_out);
    tally.reach = tally.reach.into_iter().chain(beside.reach).min();
    let counts = Pair {
        events: tally.most - events,
        trials: tally.trials - trials,
        baseline_events: beside.most,
        baseline_trials: beside.trials,
    };
    match limit {
        ComparisonLimit::Factor { pass, fail } => {
            tally.mixture.get_or_insert_with(Box::<Mixture>::default).add(counts, pass, fail);
        }
        ComparisonLimit::Difference { pass, fail } => {
            tally.difference.get_or_insert_with(Box::<Difference>::default).add(counts, pass, fail);
        }
    }
    observation.notes.extend(seen.notes);
    observation.notes.extend(notes);
    observation.pace = observation.pace.slower(seen.pace);
    observation.obstacle = observation.obstacle.or(seen.obstacle.map(|finding| Finding::BaselineNoTraffic {
        selector: baseline.trials.text.clone(),
        problem: finding.to_string(),
    }));
    Ok(observation)
}

/// The labels that the numerator's matchers name beyond the denominator's: what makes a request an event.
fn extra_matchers<'a>(events: &'a Selector, trials: &Selector) -> Vec<&'a str> {
    let names: BTreeSet<&str> = events
        .matchers
        .iter()
        .filter(|matcher| !trials.matchers.contains(matcher))
        .map(Matcher::name)
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
    let named = Selector::of(vec![Matcher::equal("__name__", metric)]);
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
    let others = select(source, &named, span.now)?;
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
