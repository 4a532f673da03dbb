//! Observations above a threshold, counted from the buckets of classic histograms, or of native ones.

mod native;

use std::collections::BTreeMap;

use super::increase::{Counted, Fallen, histogram_of, increase};
use super::series::{LoadedSeries, load};
use super::{Observation, Pace, Span, Tally, labels_of, late, traffic_obstacle};
use crate::error::Result;
use crate::gate::spec::Selector;
use crate::model::Labels;
use crate::source::Source;

/// Adds what one tick saw of a quantile check.
///
/// A bound equal to `limit` counts as below it, as `le` says. Between two bounds the events are known to lie between
/// two counts; above the largest finite bound they lie between none and the rest.
pub(super) fn observe_quantile(
    selector: &Selector,
    limit: f64,
    tally: &mut Tally,
    span: Span,
    source: &dyn Source,
) -> Result<Observation> {
    let loaded = load(source, selector, span.after, span.now)?;
    if loaded.histograms {
        return native::observe(selector, &loaded, limit, tally, span, source);
    }
    tally.reach_back(&loaded, span.origin);
    let (until, late) = late::settled(span, &[(selector, &loaded)]);
    let mut births = tally.births((tally.trials, &loaded), span, source);
    let fallen = Fallen::of(&loaded.series);
    let mut groups: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    let mut counted = Counted::default();
    let mut problem = None;
    for series in &loaded.series {
        let (Some(bound), Some(labels)) = (bound_of(series), histogram_of(&series.labels)) else {
            problem = Some("a series has no bucket bound in its label `le`");
            continue;
        };
        let counts_first = births.counts_first(series, &loaded.series, &[])?;
        let restarts = fallen.restarts(&series.labels, &mut births)?;
        let one = increase(series, until, counts_first, &restarts);
        groups.entry(labels).or_default().push((bound, one.amount));
        // What happened to its counters is told once, by the bucket that holds all.
        if bound == f64::INFINITY {
            counted.add(&one);
        }
        counted.invalid = counted.invalid.or(one.invalid);
    }
    tally.note(&counted);
    for buckets in groups.values_mut() {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let Some((f64::INFINITY, _)) = buckets.last() else {
            problem =
                Some("a histogram has no bucket `le=\"+Inf\"`, so what lies above its bounds is unknown");
            continue;
        };
        add_group(buckets, limit, tally);
    }
    let observation = Observation {
        obstacle: traffic_obstacle(selector, &loaded, span, source)?,
        notes: late.into_iter().collect(),
        series: groups.len(),
        until,
        selected: labels_of(&loaded),
        pace: Pace::of(&loaded),
        ..Observation::default()
    };
    if let Some(problem) = problem {
        tally.leave_out(selector, problem);
    }
    Ok(observation)
}

fn bound_of(series: &LoadedSeries) -> Option<f64> {
    let bound: f64 = series.labels.get("le")?.parse().ok()?;
    (!bound.is_nan()).then_some(bound)
}

/// Adds one histogram's increases; `buckets` are in bound order and end with `+Inf`.
fn add_group(buckets: &[(f64, f64)], limit: f64, tally: &mut Tally) {
    let mut below = 0.0;
    let mut at_or_above = None;
    let mut largest = None;
    let mut highest = 0.0_f64;
    for (bound, amount) in buckets {
        // Counts rise with the bound; a torn scrape must not show fewer below a larger one.
        highest = highest.max(*amount);
        if *bound <= limit {
            below = highest;
        }
        if *bound >= limit && at_or_above.is_none() && bound.is_finite() {
            at_or_above = Some(highest);
        }
        if bound.is_finite() {
            largest = Some(*bound);
            match tally.bounds.binary_search_by(|(other, _)| other.total_cmp(bound)) {
                Ok(index) => {
                    if let Some((_, count)) = tally.bounds.get_mut(index) {
                        *count += highest;
                    }
                }
                Err(index) => tally.bounds.insert(index, (*bound, highest)),
            }
        }
    }
    let total = highest;
    tally.trials += total;
    tally.most += total - below;
    // Without a finite bound at or above the limit, everything beyond the last one may lie below the limit.
    tally.fewest += at_or_above.map_or(0.0, |count| total - count);
    tally.unreachable |= largest.is_none_or(|largest| largest < limit);
}
