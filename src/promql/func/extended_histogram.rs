//! `anchored` and `smoothed` ranges over native histograms.

use std::sync::Arc;

use crate::model::{CounterResetHint, NativeHistogram};
use crate::promql::ast::Extension;

use super::histogram_rate::{Point, is_gauge, noted};
use super::rate::{Bounds, RateOptions, seconds_between};
use super::{Computed, Notes};

/// The straight line through two histograms at time `at`; a counter that was reset is taken to have started at zero.
///
/// # Errors
///
/// The note that says why there is none.
pub(crate) fn interpolate(
    from: &Point,
    to: &Point,
    at: i64,
    counter: bool,
    notes: &mut Notes,
) -> Result<NativeHistogram, Notes> {
    if at == from.0 {
        return Ok(from.1.copied());
    }
    let mut result = to.1.copied();
    if at == to.0 {
        return Ok(result);
    }
    let fraction = at.saturating_sub(from.0) as f64 / to.0.saturating_sub(from.0) as f64;
    if counter && to.1.is_reset(&from.1) {
        result.multiply(fraction);
        return Ok(result);
    }
    *notes = notes.with(noted(result.subtract(&from.1), Notes::RECONCILED_SUBTRACTION)?);
    result.multiply(fraction);
    *notes = notes.with(noted(result.add(&from.1), Notes::RECONCILED_ADDITION)?);
    Ok(result)
}

/// The window of an extended range: which of the points fetched are its first and last.
struct Window<'a> {
    points: &'a [Point],
    first: usize,
    last: usize,
    bounds: Bounds,
    smoothed: bool,
}

impl<'a> Window<'a> {
    fn new(points: &'a [Point], bounds: Bounds, smoothed: bool) -> Option<Self> {
        let newest = points.len().checked_sub(1)?;
        let older = points.get(..newest)?;
        let first = older.partition_point(|point| point.0 <= bounds.start).saturating_sub(1);
        let last = if smoothed { older.partition_point(|point| point.0 < bounds.end) } else { newest };
        let behind = points.get(last)?.0 <= bounds.start;
        let ahead = smoothed && points.get(first)?.0 > bounds.end;
        (!behind && !ahead).then_some(Self { points, first, last, bounds, smoothed })
    }

    fn inside(&self) -> &'a [Point] {
        self.points.get(self.first..=self.last).unwrap_or_default()
    }

    /// The histogram at the left border.
    fn left(&self, counter: bool, notes: &mut Notes) -> Result<NativeHistogram, Notes> {
        let first = self.points.get(self.first).ok_or(Notes::NONE)?;
        match self.points.get(self.first.saturating_add(1)) {
            Some(next) if self.smoothed && first.0 < self.bounds.start => {
                interpolate(first, next, self.bounds.start, counter, notes)
            }
            _ => Ok(first.1.copied()),
        }
    }

    /// The histogram at the right border.
    fn right(&self, counter: bool, notes: &mut Notes) -> Result<NativeHistogram, Notes> {
        let last = self.points.get(self.last).ok_or(Notes::NONE)?;
        match self.last.checked_sub(1).and_then(|before| self.points.get(before)) {
            Some(before) if self.smoothed && last.0 > self.bounds.end => {
                interpolate(before, last, self.bounds.end, counter, notes)
            }
            _ => Ok(last.1.copied()),
        }
    }

    /// What resets between the borders have taken away.
    fn correction(
        &self,
        left: &NativeHistogram,
        right: &NativeHistogram,
        notes: &mut Notes,
    ) -> Result<Option<NativeHistogram>, Notes> {
        let mut from = self.first.saturating_add(1);
        let mut previous = left;
        if let (Some(first), Some(next)) = (self.points.get(self.first), self.points.get(from))
            && self.smoothed
            && first.0 < self.bounds.start
            && next.1.is_reset(&first.1)
        {
            // The interpolation at the left border has crossed this reset already.
            previous = &next.1;
            from = from.saturating_add(1);
        }
        // The last point stands for the right border and is left out.
        if from > self.last {
            return Ok(None);
        }
        let mut correction: Option<NativeHistogram> = None;
        let between = self.points.get(from..self.last).unwrap_or_default().iter().map(|point| &*point.1);
        for current in between.chain([right]) {
            if current.is_reset(previous) {
                match &mut correction {
                    None => correction = Some(previous.clone()),
                    Some(sum) => {
                        *notes = notes.with(noted(sum.add(previous), Notes::RECONCILED_ADDITION)?);
                    }
                }
            }
            previous = current;
        }
        Ok(correction)
    }
}

/// `rate`, `increase` and `delta` of an extended range that has only histograms, which reach beyond the window by the
/// lookback.
pub(crate) fn rate(
    points: &[Point],
    bounds: Bounds,
    extension: Extension,
    options: RateOptions,
) -> (Computed, Notes) {
    let smoothed = extension == Extension::Smoothed;
    let Some(window) = Window::new(points, bounds, smoothed) else {
        return (Computed::Nothing, Notes::NONE);
    };
    let mut notes = Notes::NONE;
    match rate_in(&window, options, &mut notes) {
        Ok(result) => (Computed::Histogram(Arc::new(result)), notes),
        Err(why) => (Computed::Nothing, notes.with(why)),
    }
}

fn rate_in(window: &Window<'_>, options: RateOptions, notes: &mut Notes) -> Result<NativeHistogram, Notes> {
    let counter = options.counter;
    let custom = window.inside().first().is_some_and(|point| point.1.uses_custom_buckets());
    for (_, histogram, _) in window.inside() {
        if histogram.uses_custom_buckets() != custom {
            return Err(Notes::MIXED_SCHEMAS);
        }
        if counter && is_gauge(histogram) {
            *notes = notes.with(Notes::NOT_COUNTER);
        }
    }
    let left = window.left(counter, notes)?;
    let right = window.right(counter, notes)?;
    if !counter && (!is_gauge(&left) || !is_gauge(&right)) {
        *notes = notes.with(Notes::NOT_GAUGE);
    }
    let mut result = right.clone();
    *notes = notes.with(noted(result.subtract(&left), Notes::RECONCILED_SUBTRACTION)?);
    if counter && let Some(correction) = window.correction(&left, &right, notes)? {
        *notes = notes.with(noted(result.add(&correction), Notes::RECONCILED_ADDITION)?);
    }
    if options.per_second {
        result.divide(seconds_between(window.bounds.start, window.bounds.end));
    }
    result.hint = CounterResetHint::Gauge;
    result.compact();
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(time: i64, count: f64) -> Point {
        (time, Arc::new(NativeHistogram { count, sum: count, ..NativeHistogram::default() }), 0)
    }

    const INCREASE: RateOptions = RateOptions { counter: true, per_second: false, start_timestamps: false };
    const BOUNDS: Bounds = Bounds { start: 10, end: 20 };

    fn count(points: &[Point], extension: Extension) -> Option<f64> {
        match rate(points, BOUNDS, extension, INCREASE) {
            (Computed::Histogram(histogram), _) => Some(histogram.count),
            _ => None,
        }
    }

    #[test]
    fn an_anchored_window_starts_at_the_histogram_before_it() {
        let points = [point(5, 1.0), point(15, 4.0), point(20, 6.0)];
        assert_eq!(count(&points, Extension::Anchored), Some(5.0));
        assert_eq!(count(&points[..1], Extension::Anchored), None);
    }

    #[test]
    fn a_smoothed_window_is_interpolated_at_both_borders_and_adds_what_a_reset_took() {
        assert_eq!(
            count(&[point(0, 0.0), point(15, 15.0), point(25, 35.0)], Extension::Smoothed),
            Some(15.0)
        );
        assert_eq!(
            count(&[point(10, 10.0), point(15, 15.0), point(20, 3.0)], Extension::Smoothed),
            Some(8.0)
        );
    }
}
