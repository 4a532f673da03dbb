//! The raw samples behind a selector, read once a tick.

use std::borrow::Cow;
use std::sync::Arc;

use super::STALE_MS;
use crate::error::Result;
use crate::gate::spec::Selector;
use crate::model::{Labels, NativeHistogram, SampleBuffer, Timestamp, Window, is_stale, stale_marker};
use crate::source::{Item, SelectRequest, Series, Source};

/// Series without a sample for this long are stale, and for this many scrape intervals if that is longer; never later
/// than Prometheus's lookback says so.
const SILENT_MS: i64 = 60_000;
const SILENT_INTERVALS: i64 = 5;

/// One sample of a counter: time, value, and start time (0 where unknown).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) time: i64,
    pub(crate) value: f64,
    pub(crate) start: i64,
}

/// A selected series with the samples that one tick needs. A native histogram stands among them as the count of its observations.
#[derive(Debug)]
pub(crate) struct LoadedSeries {
    pub(crate) labels: Labels,
    /// The newest sample at or before the span's beginning, however old; never a staleness marker.
    pub(crate) base: Option<Point>,
    /// The samples after the span's beginning, staleness markers left out.
    pub(crate) points: Vec<Point>,
    /// The newest sample of all and whether it is a staleness marker.
    pub(crate) newest: Option<(i64, bool)>,
    /// The native histograms among its samples, in order, each with its time.
    pub(crate) histograms: Vec<(i64, Arc<NativeHistogram>)>,
}

/// Everything a selector matches, as far as one tick needs it.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) series: Vec<LoadedSeries>,
    /// Whether native histograms stand among the samples, and floats.
    pub(crate) histograms: bool,
    pub(crate) floats: bool,
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
        if histograms_of(&buffer).next().is_some() || buffer.values.iter().any(|value| !is_stale(*value)) {
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
        // Older ones only where none is newer than stale.
        series.read(Window::new(after.minus_millis(STALE_MS), now), &mut buffer)?;
        loaded.note_kinds(&buffer);
        let samples = as_floats(&buffer);
        let mut one = LoadedSeries::of(series.labels().clone(), &samples, after);
        one.take_histograms(&buffer);
        if gaps.len() < 64 {
            gaps.extend(samples.times.windows(2).rev().take(8).filter_map(|pair| match pair {
                [earlier, later] => later.checked_sub(*earlier).filter(|gap| *gap > 0),
                _ => None,
            }));
        }
        if changes.len() < 64 {
            changes.extend(changed(&samples).take(8));
        }
        if one.base.is_none() {
            buffer.clear();
            series.read(Window::new(Timestamp::MIN, after.minus_millis(STALE_MS)), &mut buffer)?;
            loaded.note_kinds(&buffer);
            let older = LoadedSeries::of(series.labels().clone(), &as_floats(&buffer), after);
            one.base = older.base;
            one.newest = one.newest.or(older.newest);
            one.take_older_histogram(&buffer);
        }
        if one.newest.is_some() {
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

/// The samples as floats: a histogram is the count of its observations.
fn as_floats(samples: &SampleBuffer) -> Cow<'_, SampleBuffer> {
    if samples.histograms.is_empty() {
        return Cow::Borrowed(samples);
    }
    let starts = samples.starts.iter().copied().chain(std::iter::repeat(0));
    let floats = samples.times.iter().zip(&samples.values).zip(starts);
    let floats = floats.map(|((time, value), start)| (*time, *value, start));
    let counts = samples.histograms.iter().map(|(time, histogram, start)| {
        (*time, if is_stale(histogram.sum) { stale_marker() } else { histogram.count }, *start)
    });
    let mut all: Vec<(i64, f64, i64)> = floats.chain(counts).collect();
    all.sort_by_key(|(time, ..)| *time);
    let mut merged = SampleBuffer::default();
    all.into_iter().for_each(|(time, value, start)| merged.push_float(time, value, start));
    Cow::Owned(merged)
}

/// The native histograms among samples, each with its time; staleness markers left out.
fn histograms_of(samples: &SampleBuffer) -> impl Iterator<Item = (i64, Arc<NativeHistogram>)> + '_ {
    let own = samples.histograms.iter().filter(|(_, histogram, _)| !is_stale(histogram.sum));
    own.map(|(time, histogram, _)| (*time, histogram.clone()))
}

impl Loaded {
    /// Without a sample for so long its series are stale.
    pub(super) fn silent_ms(&self) -> i64 {
        self.interval_ms
            .map_or(STALE_MS, |interval| interval.saturating_mul(SILENT_INTERVALS).clamp(SILENT_MS, STALE_MS))
    }

    fn note_kinds(&mut self, samples: &SampleBuffer) {
        self.histograms |= !samples.histograms.is_empty();
        self.floats |= samples.values.iter().any(|value| !is_stale(*value));
    }
}

impl LoadedSeries {
    /// Takes in the native histograms among these samples.
    fn take_histograms(&mut self, samples: &SampleBuffer) {
        self.histograms.extend(histograms_of(samples));
    }

    /// Puts the last of older histograms before those that are there.
    fn take_older_histogram(&mut self, samples: &SampleBuffer) {
        self.histograms.splice(..0, histograms_of(samples).last());
    }

    fn of(labels: Labels, samples: &SampleBuffer, after: Timestamp) -> Self {
        let starts = samples.starts.iter().copied().chain(std::iter::repeat(0));
        let mut one = Self { labels, base: None, points: Vec::new(), newest: None, histograms: Vec::new() };
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

    /// Begins at a later instant.
    pub(super) fn begin(&mut self, after: Timestamp) {
        let begun = self.points.partition_point(|point| point.time <= after.as_millis());
        self.base = self.points.drain(..begun).next_back().or(self.base);
    }

    /// Whether a native histogram stands among the samples that tell what was added; older ones do not matter.
    pub(crate) fn has_histograms(&self) -> bool {
        self.histograms.iter().any(|(time, _)| self.base.is_none_or(|base| *time >= base.time))
    }

    /// The first sample of the series, if it was born after the span's beginning.
    pub(crate) fn birth(&self) -> Option<Point> {
        if self.base.is_some() { None } else { self.points.first().copied() }
    }
}
