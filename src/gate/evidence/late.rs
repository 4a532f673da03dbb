//! Samples that come later than they are due: by a slower way, from who is behind, of events from another exporter than requests.
//!
//! Counts never go back: what came once a later instant is counted would be missing for good. So counts go no further than all
//! series have come that may go on, and requests no further than the events among them, or bad requests would pass as good ones.

use std::collections::BTreeMap;

use super::series::{Loaded, LoadedSeries};
use super::{MAX_SETTLE_MS, STALE_MS, Span};
use crate::gate::reason::Finding;
use crate::gate::spec::Selector;
use crate::model::label::METRIC_NAME;
use crate::model::{Labels, Timestamp};

/// The instant up to which samples count, and which series holds it back, if one does by more than a scrape: one scrape interval
/// back, or as long as the span says, and no further than the newest sample of each series; never before what is counted already.
///
/// A series without a sample for as long as makes all of them stale is not waited for: it has ended. Where all of one selector are
/// silent they may have been cut off together, and what is kept for them comes at once: as long as Prometheus's lookback they hold the
/// others back. Where nothing goes on at all, counts go no further than anything has come.
pub(super) fn settled(span: Span, all: &[(&Selector, &Loaded)]) -> (Timestamp, Option<Finding>) {
    let interval_ms = all.iter().filter_map(|(_, loaded)| loaded.interval_ms).max().unwrap_or(0);
    let settle_ms = span.settle_ms.unwrap_or(interval_ms).clamp(0, MAX_SETTLE_MS);
    let due = span.now.minus_millis(settle_ms).max(span.after);
    if !span.waits {
        return (due, None);
    }
    let waited_for = all.iter().filter_map(|(selector, loaded)| {
        let since = |silent_ms| span.now.minus_millis(silent_ms).as_millis();
        let times = || loaded.series.iter().filter_map(|one| Some((newest(one)?, *selector, &one.labels)));
        let live = times().filter(|(time, ..)| *time > since(loaded.silent_ms()));
        let last = || times().max_by_key(|(time, ..)| *time).filter(|(time, ..)| *time > since(STALE_MS));
        live.min_by_key(|(time, ..)| *time).or_else(last)
    });
    let Some((time, selector, labels)) = waited_for.min_by_key(|(time, ..)| *time) else {
        let times = all.iter().flat_map(|(_, loaded)| &loaded.series).filter_map(|one| one.newest);
        let last = times.map(|(time, _)| Timestamp::from_millis(time)).max();
        return (last.map_or(span.after, |last| due.min(last).max(span.after)), None);
    };
    let behind_ms = due.as_millis().saturating_sub(time);
    let late = (behind_ms > interval_ms).then(|| Finding::SamplesLate {
        selector: selector.text.clone(),
        series: labels.filtered(|label| *label.name != *METRIC_NAME).to_string(),
        seconds: behind_ms as f64 / 1e3,
    });
    (due.min(Timestamp::from_millis(time)).max(span.after), late)
}

/// The newest sample of all, if that is before the span's end: where all come late, what is after it has not come.
pub(super) fn known(span: Span, loaded: &Loaded) -> Timestamp {
    let newest = loaded.series.iter().filter_map(|one| one.newest).map(|(time, _)| time).max();
    newest.map_or(span.now, |time| span.now.min(Timestamp::from_millis(time)).max(span.after))
}

/// Up to where both are there, `until` or earlier, and what is late, if anything is.
///
/// A series of events is late where the requests beside it, with the same labels but for those in `classifying`, go on without it,
/// or all requests where none are beside it. For as long as Prometheus's lookback it is waited for; then it has ended.
pub(super) fn both_until(
    until: Timestamp,
    trials: &Loaded,
    (selector, events): (&Selector, &Loaded),
    classifying: &[&str],
) -> (Timestamp, Option<Finding>) {
    let due = until.as_millis();
    let behind: Vec<(&LoadedSeries, i64)> =
        events.series.iter().filter_map(|one| Some((one, newest(one).filter(|time| *time < due)?))).collect();
    if behind.is_empty() {
        return (until, None);
    }
    let beside = |one: &LoadedSeries| -> Labels {
        one.labels.filtered(|label| *label.name != *METRIC_NAME && !classifying.contains(&&*label.name))
    };
    let mut requests: BTreeMap<Labels, i64> = BTreeMap::new();
    for (one, time) in trials.series.iter().filter_map(|one| Some((one, newest(one)?))) {
        let known = requests.entry(beside(one)).or_insert(time);
        *known = time.max(*known);
    }
    let all = requests.values().copied().max();
    let is_late = |(one, time): &(&LoadedSeries, i64)| {
        let others = requests.get(&beside(one)).copied().or(all);
        due.saturating_sub(*time) < STALE_MS && others.is_some_and(|others| others > *time)
    };
    let Some(last) = behind.into_iter().filter(is_late).map(|(_, time)| time).min() else {
        return (until, None);
    };
    let seconds = due.saturating_sub(last) as f64 / 1e3;
    (Timestamp::from_millis(last), Some(Finding::EventsLate { selector: selector.text.clone(), seconds }))
}

/// Whether this tells that counts wait for something.
pub(crate) fn is_late(finding: &Finding) -> bool {
    matches!(finding, Finding::SamplesLate { .. } | Finding::EventsLate { .. })
}

/// How far a series is behind `until`; one that has ended is not.
pub(super) fn behind_ms(one: &LoadedSeries, until: Timestamp) -> i64 {
    newest(one).map_or(0, |time| until.as_millis().saturating_sub(time))
}

/// Whether a series goes on at `until`, or may: none that a marker has ended, or that has been silent for as long as the lookback.
pub(super) fn goes_on(one: &LoadedSeries, until: Timestamp) -> bool {
    newest(one).is_some_and(|time| until.as_millis().saturating_sub(time) < STALE_MS)
}

/// The newest sample, of what no marker has ended.
fn newest(one: &LoadedSeries) -> Option<i64> {
    one.newest.filter(|(_, ended)| !ended).map(|(time, _)| time)
}

#[cfg(test)]
mod tests;
