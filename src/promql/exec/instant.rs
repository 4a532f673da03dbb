//! Instant selectors: the newest sample within the lookback, at every step.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{CounterResetHint, Matcher, NativeHistogram, SampleBuffer, Window, is_stale};
use crate::promql::func::extended::interpolate;
use crate::promql::func::{Notes, extended_histogram};
use crate::promql::plan::steps::Steps;
use crate::promql::plan::{InstantSelector, Reading};
use crate::promql::text_range::TextRange;
use crate::source::{Item, SelectRequest, Series};

use super::Evaluator;
use super::column::{Column, buffer_weight, histogram_weight};
use super::hint::{Predecessors, prepare, reduce_to_statistics};
use super::vector::{Vector, VectorSeries};

impl Evaluator<'_> {
    /// The single series accepted by `matchers`, in label order.
    pub(crate) fn select(&self, matchers: &[Matcher], window: Window) -> Result<Vec<Series>> {
        self.budget.check_window(window.until.millis_since(window.after))?;
        self.budget.tick(0)?;
        let set = self.source.select(&SelectRequest::new(matchers, window))?;
        self.budget.touch_series(set.items.len())?;
        set.items
            .into_iter()
            .map(|item| match item {
                Item::Series(series) => Ok(series),
                Item::Family(family) => Err(Error::new(
                    ErrorKind::InvalidArgument,
                    format!(
                        "the source answered with family {} although single series were asked for",
                        family.labels()
                    ),
                )),
            })
            .collect()
    }

    /// Reads a series, unless the evaluation is to stop or has enough.
    pub(crate) fn read(&self, series: &Series, window: Window, into: &mut SampleBuffer) -> Result<()> {
        let start = into.len();
        let mut before = start;
        let mut chunks = 0_usize;
        series.read_by_chunk(window, into, |read| {
            chunks = chunks.saturating_add(1);
            self.budget.tick(read.len().saturating_sub(before))?;
            before = read.len();
            self.budget.check_samples(before as u64)
        })?;
        self.budget.count_read(chunks, into.len().saturating_sub(start));
        Ok(())
    }

    /// Evaluates an instant selector.
    pub(crate) fn instant_selector(
        &self,
        selector: &InstantSelector<'_>,
        steps: Steps,
        range: TextRange,
    ) -> Result<Vector> {
        let lookback = self.settings.lookback;
        let window = selector.fetched(steps, lookback);
        let found = self.select(selector.matchers, window)?;
        let predecessors = Predecessors::new(selector.matchers, window, lookback);
        self.vector_of(&found, steps, predecessors, |evaluator, series, predecessors, vector| {
            evaluator.add_instant_series(series, (selector, window, range), steps, predecessors, vector)
        })
    }

    /// Adds the newest samples of some series.
    fn add_instant_series(
        &self,
        series: &[Series],
        (selector, window, range): (&InstantSelector<'_>, Window, TextRange),
        steps: Steps,
        predecessors: &mut Predecessors<'_>,
        vector: &mut Vector,
    ) -> Result<()> {
        let lookback = self.settings.lookback;
        let mut buffer = SampleBuffer::default();
        for series in series {
            buffer.clear();
            self.read(series, window, &mut buffer)?;
            if buffer.is_empty() {
                continue;
            }
            if !buffer.histograms.is_empty() && selector.reading == Reading::Value {
                let before = match self.shows_first_histogram(selector, steps, &buffer) {
                    true => predecessors.of(self, series.labels())?,
                    false => SampleBuffer::default(),
                };
                prepare(&mut buffer, &before, series.labels())?;
                if selector.statistics {
                    let seeks = steps.times().map(|time| selector.reference.time(time));
                    let seeks = seeks.map(|time| (time.saturating_sub(lookback).saturating_add(1), time));
                    match selector.smoothed {
                        true => reduce_to_statistics(&mut buffer, [(i64::MIN, i64::MAX)].into_iter()),
                        false => reduce_to_statistics(&mut buffer, seeks),
                    }
                }
            }
            self.budget.check_samples(buffer_weight(&buffer))?;
            self.budget.tick(steps.count())?;
            let mut column = Column::absent(steps.count());
            let labels = series.labels().clone();
            if selector.smoothed {
                let notes = self.smooth(selector, steps, &buffer, &mut column)?;
                self.note_histograms(notes, labels.metric_name(), range);
            } else {
                self.pick(selector, steps, &buffer, &mut column);
            }
            vector.push(VectorSeries { labels, drop_name: false, column })?;
        }
        Ok(())
    }

    /// Fills a column with the newest samples.
    fn pick(&self, selector: &InstantSelector<'_>, steps: Steps, buffer: &SampleBuffer, column: &mut Column) {
        let (mut floats, mut histograms) = (0_usize, 0_usize);
        for (step, time) in steps.times().enumerate() {
            let reference = selector.reference.time(time);
            let oldest = reference.saturating_sub(self.settings.lookback);
            while buffer.times.get(floats).is_some_and(|time| *time <= reference) {
                floats = floats.saturating_add(1);
            }
            while buffer.histograms.get(histograms).is_some_and(|sample| sample.0 <= reference) {
                histograms = histograms.saturating_add(1);
            }
            let float = floats
                .checked_sub(1)
                .and_then(|at| Some((*buffer.times.get(at)?, *buffer.values.get(at)?, at)))
                .filter(|(time, ..)| *time > oldest);
            let histogram = histograms
                .checked_sub(1)
                .and_then(|at| buffer.histograms.get(at))
                .filter(|(time, ..)| *time > oldest);
            match (float, histogram) {
                (Some((time, value, at)), other) if other.is_none_or(|other| other.0 <= time) => {
                    if is_stale(value) {
                        continue;
                    }
                    let start = buffer.starts.get(at).copied().unwrap_or(0);
                    column.set_float(step, read(selector.reading, value, time, start));
                }
                (_, Some((time, value, start))) => {
                    if is_stale(value.sum) {
                        continue;
                    }
                    match selector.reading {
                        Reading::Value => column.set_histogram(step, value.clone()),
                        reading => column.set_float(step, read(reading, 0.0, *time, *start)),
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether the first sample is a histogram and is what some step shows: its hint depends on what was before the window.
    fn shows_first_histogram(
        &self,
        selector: &InstantSelector<'_>,
        steps: Steps,
        buffer: &SampleBuffer,
    ) -> bool {
        let Some((first, ..)) = buffer.histograms.first() else { return false };
        if selector.smoothed {
            return true;
        }
        let next = buffer.histograms.get(1).map(|(time, ..)| time);
        let later = buffer.times.first().into_iter().chain(next).min();
        later.is_none_or(|later| later >= first)
            && steps.times().any(|time| {
                let reference = selector.reference.time(time);
                *first <= reference
                    && reference.saturating_sub(self.settings.lookback) < *first
                    && later.is_none_or(|later| *later > reference)
            })
    }

    /// Fills a column by interpolation between the samples around each step; says what it noticed.
    fn smooth(
        &self,
        selector: &InstantSelector<'_>,
        steps: Steps,
        buffer: &SampleBuffer,
        column: &mut Column,
    ) -> Result<Notes> {
        let lookback = self.settings.lookback;
        let rows: Vec<(i64, f64)> = buffer
            .times
            .iter()
            .copied()
            .zip(buffer.values.iter().copied())
            .filter(|(_, value)| !is_stale(*value))
            .collect();
        let points: Vec<_> =
            buffer.histograms.iter().filter(|(_, histogram, _)| !is_stale(histogram.sum)).cloned().collect();
        let mut notes = Notes::NONE;
        let mut pending = 0_u64;
        for (step, time) in steps.times().enumerate() {
            let reference = selector.reference.time(time);
            let oldest = reference.saturating_sub(lookback);
            let newest = reference.saturating_add(lookback);
            let from = rows.partition_point(|(time, _)| *time <= oldest);
            let to = rows.partition_point(|(time, _)| *time <= newest);
            let rows = rows.get(from..to).unwrap_or_default();
            let from = points.partition_point(|(time, ..)| *time <= oldest);
            let to = points.partition_point(|(time, ..)| *time <= newest);
            let points = points.get(from..to).unwrap_or_default();
            if !points.is_empty() {
                if rows.is_empty() {
                    match smooth_histogram(points, reference, &mut notes) {
                        Ok(Some(histogram)) => {
                            pending = pending.saturating_add(histogram_weight(&histogram));
                            self.budget.check_samples(pending)?;
                            column.set_histogram(step, histogram);
                        }
                        Ok(None) => {}
                        Err(why) => notes = notes.with(why),
                    }
                } else {
                    notes = notes.with(Notes::MIXED);
                }
                continue;
            }
            let behind = rows.partition_point(|(time, _)| *time < reference);
            let before = behind.checked_sub(1).and_then(|at| rows.get(at));
            match (before, rows.get(behind)) {
                (_, Some((time, value))) if *time == reference => column.set_float(step, *value),
                (Some(before), Some(behind)) => {
                    column.set_float(step, interpolate(*before, *behind, reference, false));
                }
                (Some((_, value)), None) => column.set_float(step, *value),
                (None, _) => {}
            }
        }
        Ok(notes)
    }
}

/// The histogram on the line between those around `reference`. They count as a counter unless both say that they are gauges.
fn smooth_histogram(
    points: &[(i64, Arc<NativeHistogram>, i64)],
    reference: i64,
    notes: &mut Notes,
) -> std::result::Result<Option<Arc<NativeHistogram>>, Notes> {
    let behind = points.partition_point(|(time, ..)| *time < reference);
    let before = behind.checked_sub(1).and_then(|at| points.get(at));
    match (before, points.get(behind)) {
        (_, Some((time, histogram, _))) if *time == reference => Ok(Some(histogram.copied_or_shared())),
        (Some(before), Some(behind)) => {
            if before.1.uses_custom_buckets() != behind.1.uses_custom_buckets() {
                return Err(Notes::MIXED_SCHEMAS);
            }
            let counter = [before, behind].iter().any(|point| point.1.hint != CounterResetHint::Gauge);
            let line = extended_histogram::interpolate(before, behind, reference, counter, notes)?;
            Ok(Some(Arc::new(line)))
        }
        // A hint is about the sample before, not about a value that is carried on.
        (Some((_, histogram, _)), None) => {
            let carried = NativeHistogram { hint: CounterResetHint::Unknown, ..histogram.copied() };
            Ok(Some(Arc::new(carried)))
        }
        (None, _) => Ok(None),
    }
}

fn read(reading: Reading, value: f64, time: i64, start: i64) -> f64 {
    match reading {
        Reading::Value => value,
        Reading::Time => time as f64 / 1000.0,
        Reading::StartTime => start as f64 / 1000.0,
    }
}
