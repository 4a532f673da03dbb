//! The raw samples behind a selector, read once a tick.

use crate::error::Result;
use crate::gate::spec::Selector;
use crate::model::{Labels, SampleBuffer, Timestamp, Window, is_stale};
use crate::source::{Item, SelectRequest, Series, Source};

/// How far before the span samples are read at once: Prometheus's lookback. Older ones only where none is this new.
const LOOKBACK_MS: i64 = 300_000;

/// One sample of a counter: time, value, and start time (0 where unknown).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) time: i64,
    pub(crate) value: f64,
    pub(crate) start: i64,
}

/// A selected series with the samples that one tick needs.
#[derive(Debug)]
pub(crate) struct LoadedSeries {
    pub(crate) labels: Labels,
    /// The newest sample at or before the span's beginning, however old; never a staleness marker.
    pub(crate) base: Option<Point>,
    /// The samples after the span's beginning, staleness markers left out.
    pub(crate) points: Vec<Point>,
    /// The newest sample of all and whether it is a staleness marker.
    pub(crate) newest: Option<(i64, bool)>,
}

/// Everything a selector matches, as far as one tick needs it.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) series: Vec<LoadedSeries>,
    /// Whether native histograms stand among the samples.
    pub(crate) histograms: bool,
    /// The time between samples, as the newest ones show it.
    pub(crate) interval_ms: Option<i64>,
    /// The time between changes of the counters, as the newest ones show it: that of whoever flushes them, where that is rarer
    /// than scrapes.
    pub(crate) update_ms: Option<i64>,
}

/// The series that every matcher accepts, as single series, whatever their age up to `until`.
pub(crate) fn select(source: &dyn Source, selector: &Selector, until: Timestamp) -> Result<Vec<Series>> {
    let window = Window::new(Timestamp::MIN, until);
    let set = source.select(&SelectRequest::new(&selector.matchers, window))?;
    Ok(set
        .items
        .into_iter()
        .filter_map(|item| match item {
            Item::Series(series) => Some(series),
            // Families come only where they are asked for.
            Item::Family(_) => None,
        })
        .collect())
}

/// The labels of the series that have a sample in `(after, until]`, staleness markers left out.
pub(crate) fn select_between(
    source: &dyn Source,
    selector: &Selector,
    after: Timestamp,
    until: Timestamp,
) -> Result<Vec<Labels>> {
    let mut found = Vec::new();
    let mut buffer = SampleBuffer::default();
    for series in select(source, selector, until)? {
        buffer.clear();
        series.read(Window::new(after, until), &mut buffer)?;
        if !buffer.histograms.is_empty() || buffer.values.iter().any(|value| !is_stale(*value)) {
            found.push(series.labels().clone());
        }
    }
    Ok(found)
}

/// Reads the samples in `(after, now]` and the base before them. Series without any sample are left out.
pub(crate) fn load(
    source: &dyn Source,
    selector: &Selector,
    after: Timestamp,
    now: Timestamp,
) -> Result<Loaded> {
    read(&select(source, selector, now)?, after, now)
}

/// The same of series that have been selected.
pub(crate) fn read<'a>(
    selected: impl IntoIterator<Item = &'a Series>,
    after: Timestamp,
    now: Timestamp,
) -> Result<Loaded> {
    let mut loaded = Loaded::default();
    let mut gaps = Vec::new();
    let mut changes = Vec::new();
    let mut buffer = SampleBuffer::default();
    for series in selected {
        buffer.clear();
        series.read(Window::new(after.minus_millis(LOOKBACK_MS), now), &mut buffer)?;
        let mut one = LoadedSeries::of(series.labels().clone(), &buffer, after);
        loaded.histograms |= !buffer.histograms.is_empty();
        if gaps.len() < 64 {
            gaps.extend(buffer.times.windows(2).rev().take(8).filter_map(|pair| match pair {
                [earlier, later] => later.checked_sub(*earlier).filter(|gap| *gap > 0),
                _ => None,
            }));
        }
        if changes.len() < 64 {
            changes.extend(changed(&buffer).take(8));
        }
        if one.base.is_none() {
            buffer.clear();
            series.read(Window::new(Timestamp::MIN, after.minus_millis(LOOKBACK_MS)), &mut buffer)?;
            loaded.histograms |= !buffer.histograms.is_empty();
            let older = LoadedSeries::of(series.labels().clone(), &buffer, after);
            one.base = older.base;
            one.newest = one.newest.or(older.newest);
        }
        if one.newest.is_some() || loaded.histograms {
            loaded.series.push(one);
        }
    }
    changes.sort_unstable();
    changes.dedup();
    let between = changes.windows(2).filter_map(|pair| match pair {
        [earlier, later] => later.checked_sub(*earlier),
        _ => None,
    });
    loaded.update_ms = median(between.collect());
    loaded.interval_ms = median(gaps);
    Ok(loaded)
}

fn median(mut times: Vec<i64>) -> Option<i64> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

/// When a series had another value than before, newest first.
fn changed(samples: &SampleBuffer) -> impl Iterator<Item = i64> + '_ {
    let values = samples.times.windows(2).zip(samples.values.windows(2)).rev();
    values.filter_map(|(times, values)| match (times, values) {
        ([_, time], [before, value]) if value > before && !is_stale(*before) => Some(*time),
        _ => None,
    })
}

impl LoadedSeries {
    fn of(labels: Labels, samples: &SampleBuffer, after: Timestamp) -> Self {
        let starts = samples.starts.iter().copied().chain(std::iter::repeat(0));
        let mut one = Self { labels, base: None, points: Vec::new(), newest: None };
        for ((time, value), start) in samples.times.iter().zip(&samples.values).zip(starts) {
            one.newest = Some((*time, is_stale(*value)));
            if is_stale(*value) {
                continue;
            }
            let point = Point { time: *time, value: *value, start };
            if *time <= after.as_millis() {
                one.base = Some(point);
            } else {
                one.points.push(point);
            }
        }
        one
    }

    /// The first sample of the series, if it was born after the span's beginning.
    pub(crate) fn birth(&self) -> Option<Point> {
        if self.base.is_some() { None } else { self.points.first().copied() }
    }
}
