//! Instant selectors: the newest sample within the lookback, at every step.

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Matcher, SampleBuffer, Window, is_stale};
use crate::promql::func::extended::interpolate;
use crate::promql::plan::steps::Steps;
use crate::promql::plan::{InstantSelector, Reading};
use crate::promql::text_range::TextRange;
use crate::source::{Item, SelectRequest, Series};

use super::Evaluator;
use super::column::Column;
use super::vector::{Vector, VectorSeries};

impl Evaluator<'_> {
    /// The single series accepted by `matchers`, in label order.
    pub(crate) fn select(&self, matchers: &[Matcher], window: Window) -> Result<Vec<Series>> {
        self.budget.check_window(window.until.millis_since(window.after))?;
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

    /// Evaluates an instant selector.
    pub(crate) fn instant_selector(
        &self,
        selector: &InstantSelector<'_>,
        steps: Steps,
        range: TextRange,
    ) -> Result<Vector> {
        let lookback = self.settings.lookback;
        let after = if selector.smoothed { lookback } else { 0 };
        let window = selector.reference.window(steps, lookback, after);
        let mut vector = Vector::new(&self.budget);
        let mut buffer = SampleBuffer::default();
        for series in self.select(selector.matchers, window)? {
            buffer.clear();
            series.read(window, &mut buffer)?;
            if buffer.is_empty() {
                continue;
            }
            self.budget.check_samples(buffer.len() as u64)?;
            let mut column = Column::absent(steps.count());
            let labels = series.labels().clone();
            if selector.smoothed {
                let mixed = self.smooth(selector, steps, &buffer, &mut column)?;
                if mixed {
                    self.notes.mixed_samples(labels.metric_name(), range);
                }
            } else {
                self.pick(selector, steps, &buffer, &mut column);
            }
            vector.push(VectorSeries { labels, drop_name: false, column })?;
        }
        Ok(vector)
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

    /// Fills a column by interpolation between the samples around each step; whether a window had floats and
    /// histograms both.
    fn smooth(
        &self,
        selector: &InstantSelector<'_>,
        steps: Steps,
        buffer: &SampleBuffer,
        column: &mut Column,
    ) -> Result<bool> {
        let lookback = self.settings.lookback;
        let rows: Vec<(i64, f64)> = buffer
            .times
            .iter()
            .copied()
            .zip(buffer.values.iter().copied())
            .filter(|(_, value)| !is_stale(*value))
            .collect();
        let histograms: Vec<_> =
            buffer.histograms.iter().filter(|(_, histogram, _)| !is_stale(histogram.sum)).collect();
        let mut any_mixed = false;
        for (step, time) in steps.times().enumerate() {
            let reference = selector.reference.time(time);
            let oldest = reference.saturating_sub(lookback);
            let newest = reference.saturating_add(lookback);
            let inside = |time: i64| oldest < time && time <= newest;
            let from = rows.partition_point(|(time, _)| *time <= oldest);
            let to = rows.partition_point(|(time, _)| *time <= newest);
            let rows = rows.get(from..to).unwrap_or_default();
            let some_histogram = histograms.iter().any(|(time, ..)| inside(*time));
            if some_histogram {
                if !rows.is_empty() {
                    any_mixed = true;
                    continue;
                }
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "smoothed is not built for native histograms",
                ));
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
        Ok(any_mixed)
    }
}

fn read(reading: Reading, value: f64, time: i64, start: i64) -> f64 {
    match reading {
        Reading::Value => value,
        Reading::Time => time as f64 / 1000.0,
        Reading::StartTime => start as f64 / 1000.0,
    }
}
