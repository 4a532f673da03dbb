//! `anchored` and `smoothed` range selectors: values at the very borders of the window, no extrapolation.

use super::rate::{Bounds, RateOptions};
use super::{Computed, Notes, Samples, extended_histogram};
use crate::promql::ast::Extension;

/// The boundary samples of a window and where they were found among the samples fetched.
struct Edges {
    first: usize,
    last: usize,
    first_time: i64,
    left: f64,
    right: f64,
}

/// The straight line through two samples at time `at`; a counter that fell is taken to have started at zero.
pub(crate) fn interpolate(p: (i64, f64), q: (i64, f64), at: i64, counter: bool) -> f64 {
    let (from, to) = (p.1, q.1);
    let base = if counter && to < from { 0.0 } else { from };
    base + (to - base) * at.saturating_sub(p.0) as f64 / q.0.saturating_sub(p.0) as f64
}

fn edges(samples: &Samples<'_>, bounds: Bounds, extension: Extension, counter: bool) -> Option<Edges> {
    let smoothed = extension == Extension::Smoothed;
    let row = |index: usize| Some((*samples.times.get(index)?, *samples.values.get(index)?));
    let length = samples.times.len();
    let final_index = length.checked_sub(1)?;
    let before_final = samples.times.get(..final_index)?;
    let first = before_final.partition_point(|time| *time <= bounds.start).saturating_sub(1);
    let last = if smoothed {
        samples.times.partition_point(|time| *time < bounds.end).min(final_index)
    } else {
        final_index
    };
    let (first_time, first_value) = row(first)?;
    let (last_time, last_value) = row(last)?;
    if last_time <= bounds.start {
        return None;
    }
    let mut left = first_value;
    if smoothed
        && first_time < bounds.start
        && let Some(next) = row(first.saturating_add(1))
    {
        left = interpolate((first_time, first_value), next, bounds.start, counter);
    }
    let mut right = last_value;
    if smoothed
        && last_time > bounds.end
        && let Some(previous) = last.checked_sub(1).and_then(row)
    {
        right = interpolate(previous, (last_time, last_value), bounds.end, counter);
    }
    Some(Edges { first, last, first_time, left, right })
}

/// `rate`, `increase` and `delta` of an extended range; `samples` reach beyond the window by the lookback.
pub(crate) fn rate(
    samples: &Samples<'_>,
    bounds: Bounds,
    extension: Extension,
    options: RateOptions,
) -> (Computed, Notes) {
    if samples.is_mixed() {
        return (Computed::Nothing, Notes::MIXED);
    }
    if !samples.histograms.is_empty() {
        return extended_histogram::rate(samples.histograms, bounds, extension, options);
    }
    let counter = options.counter;
    // The selector alone has points also if all samples are behind the window, but they say nothing about a change.
    let Some(edges) = edges(samples, bounds, extension, counter).filter(|e| e.first_time <= bounds.end)
    else {
        return (Computed::Nothing, Notes::NONE);
    };
    let mut change = edges.right - edges.left;
    if counter {
        let mut correction = 0.0;
        let mut previous = edges.left;
        let mut step = |value: f64| {
            if value < previous {
                correction += previous;
            }
            previous = value;
        };
        let rows = samples.times.iter().zip(samples.values);
        let count = edges.last.saturating_sub(edges.first).saturating_add(1);
        for (time, value) in rows.skip(edges.first).take(count) {
            if bounds.start < *time && *time < bounds.end {
                step(*value);
            }
        }
        step(edges.right);
        change += correction;
    }
    if options.per_second {
        change /= super::rate::seconds_between(bounds.start, bounds.end);
    }
    (Computed::Float(change), Notes::NONE)
}

/// The samples that `changes` and `resets` look at in an anchored range: the newest one at or before the window's
/// start, and those after it. `None` if there is none after it.
pub(crate) fn anchored_window<'a>(samples: &Samples<'a>, start: i64) -> Option<Samples<'a>> {
    let floats = samples.times.partition_point(|time| *time <= start);
    let histograms = samples.histograms.partition_point(|sample| sample.0 <= start);
    if floats >= samples.times.len() && histograms >= samples.histograms.len() {
        return None;
    }
    let float_time = floats.checked_sub(1).and_then(|index| samples.times.get(index).copied());
    let histogram_time =
        histograms.checked_sub(1).and_then(|index| samples.histograms.get(index)).map(|s| s.0);
    let (mut from_float, mut from_histogram) = (floats, histograms);
    match (float_time, histogram_time) {
        (Some(float), Some(histogram)) if float < histogram => from_histogram = histograms.saturating_sub(1),
        (Some(_), _) => from_float = floats.saturating_sub(1),
        (None, Some(_)) => from_histogram = histograms.saturating_sub(1),
        (None, None) => {}
    }
    Some(Samples {
        times: samples.times.get(from_float..).unwrap_or_default(),
        values: samples.values.get(from_float..).unwrap_or_default(),
        starts: samples.starts.get(from_float..).unwrap_or_default(),
        histograms: samples.histograms.get(from_histogram..).unwrap_or_default(),
    })
}

/// The points of an extended range selector as it stands: its left border, the samples inside, its right border.
pub(crate) fn points(samples: &Samples<'_>, bounds: Bounds, extension: Extension) -> Vec<(i64, f64)> {
    let Some(edges) = edges(samples, bounds, extension, false) else { return Vec::new() };
    let mut points = vec![(bounds.start, edges.left)];
    let rows = samples.times.iter().copied().zip(samples.values.iter().copied());
    points.extend(rows.filter(|(time, _)| bounds.start < *time && *time < bounds.end));
    points.push((bounds.end, edges.right));
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { start: 10, end: 20 };

    fn options(counter: bool) -> RateOptions {
        RateOptions { counter, per_second: false, start_timestamps: false }
    }

    fn float((computed, _): (Computed, Notes)) -> Option<f64> {
        match computed {
            Computed::Float(value) => Some(value),
            _ => None,
        }
    }

    #[test]
    fn an_anchored_window_starts_at_the_sample_before_it() {
        let samples = Samples { times: &[5, 15, 20], values: &[1.0, 4.0, 6.0], ..Samples::default() };
        assert_eq!(float(rate(&samples, BOUNDS, Extension::Anchored, options(true))), Some(5.0));
    }

    #[test]
    fn a_smoothed_window_is_interpolated_at_both_borders() {
        let samples = Samples { times: &[0, 15, 25], values: &[0.0, 15.0, 35.0], ..Samples::default() };
        assert_eq!(float(rate(&samples, BOUNDS, Extension::Smoothed, options(false))), Some(15.0));
    }

    #[test]
    fn samples_that_end_before_the_window_give_nothing() {
        let samples = Samples { times: &[5, 10], values: &[0.0, 15.0], ..Samples::default() };
        assert_eq!(float(rate(&samples, BOUNDS, Extension::Anchored, options(true))), None);
        assert!(anchored_window(&samples, 10).is_none());
    }
}
