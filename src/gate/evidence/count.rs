//! Events of the newest stretch of time.

use super::increase::{Births, Fallen, count};
use super::series::{Loaded, LoadedSeries, load};
use super::{Observation, STALE_MS, Span, Tally, labels_of, late, traffic_obstacle};
use crate::error::Result;
use crate::gate::reason::Finding;
use crate::gate::spec::Selector;
use crate::model::Timestamp;
use crate::source::Source;

/// A window in which there is at times no scrape at all counts nothing then.
fn too_short(events: &Selector, window_ms: i64, loaded: &Loaded) -> Option<Finding> {
    let interval_ms = loaded.interval_ms.filter(|interval| window_ms < interval.saturating_mul(2))?;
    Some(Finding::WindowTooShort {
        selector: events.text.clone(),
        window_seconds: window_ms as f64 / 1000.0,
        interval_seconds: Some(interval_ms as f64 / 1000.0),
        samples: loaded.series.iter().map(|series| series.points.len()).max().unwrap_or(0),
    })
}

/// Whether no event can be of the time since the evidence began: there is nothing, or all has ended before.
fn is_missing(loaded: &Loaded, span: Span) -> bool {
    let is_gone = |one: &LoadedSeries| {
        one.newest.is_some_and(|(time, _)| Timestamp::from_millis(time) <= span.origin)
            && !late::goes_on(one, span.now)
    };
    loaded.series.iter().all(is_gone)
}

/// Counts the last `window_ms` that are known, of a series that is behind the last that are known of it, cut where the evidence begins:
/// unlike other counts it is made anew at every tick.
pub(super) fn observe_count(
    events: &Selector,
    window_ms: i64,
    missing_is_zero: bool,
    tally: &mut Tally,
    span: Span,
    source: &dyn Source,
) -> Result<Observation> {
    let longest_ms = window_ms.saturating_add(STALE_MS);
    let mut loaded = load(source, events, span.now.minus_millis(longest_ms).max(span.origin), span.now)?;
    let missing = missing_is_zero && is_missing(&loaded, span);
    let known = late::known(Span { after: span.origin, ..span }, &loaded);
    // The next scrape is not late before it is due.
    let is_late = !missing && span.now.millis_since(known) > loaded.interval_ms.unwrap_or(0);
    let until = if is_late { known } else { span.now };
    let after = until.minus_millis(window_ms).max(span.origin);
    let (silent_ms, interval_ms) = (loaded.silent_ms(), loaded.interval_ms.unwrap_or(0));
    for series in &mut loaded.series {
        let behind_ms = late::behind_ms(series, until);
        let is_behind = behind_ms > interval_ms && behind_ms < silent_ms;
        let own = if is_behind { after.minus_millis(behind_ms) } else { after };
        series.begin(own.max(span.origin));
    }
    *tally = Tally { invalid: tally.invalid.take(), ..Tally::default() };
    tally.leave_histograms_out(events, &loaded);
    tally.reach_back(&loaded, after);
    let mut births = Births::new(source, span.origin, span.now);
    let fallen = Fallen::of(&loaded.series);
    let counted = count(&loaded, &loaded.series, until, &[], (&fallen, &mut births))?;
    (tally.fewest, tally.most) = (counted.amount, counted.amount);
    tally.note(&counted);
    let mut observation = Observation {
        series: loaded.series.len(),
        until,
        selected: labels_of(&loaded),
        ..Observation::default()
    };
    if missing {
        let selector = events.text.clone();
        observation.notes.push(Finding::MissingNumeratorIsZero { selector, trials: 0.0 });
    } else {
        observation.obstacle = traffic_obstacle(events, &loaded, span, source)?
            .or_else(|| too_short(events, window_ms, &loaded));
    }
    Ok(observation)
}

#[cfg(test)]
mod tests;
