//! Events that come later than the requests that they are among: from another exporter, by a slower way, from one that is behind.
//!
//! Counts never go back. So requests count no further than the events among them are there, or those that come later would be
//! missing for good, and bad requests would pass as good ones.

use std::collections::BTreeMap;

use super::STALE_MS;
use super::series::{Loaded, LoadedSeries};
use crate::gate::reason::Finding;
use crate::gate::spec::Selector;
use crate::model::label::METRIC_NAME;
use crate::model::{Labels, Timestamp};

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

/// Whether a series goes on at `until`, or may: none that a marker has ended, or that has been silent for as long as the lookback.
pub(super) fn goes_on(one: &LoadedSeries, until: Timestamp) -> bool {
    newest(one).is_some_and(|time| until.as_millis().saturating_sub(time) < STALE_MS)
}

/// The newest sample, of what no marker has ended.
fn newest(one: &LoadedSeries) -> Option<i64> {
    one.newest.filter(|(_, ended)| !ended).map(|(time, _)| time)
}
