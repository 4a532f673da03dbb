//! `rate` and its relatives over native histograms.

use std::sync::Arc;

use crate::model::histogram::{Combined, IncompatibleSchemas};
use crate::model::{CounterResetHint, NativeHistogram};

use super::rate::{Bounds, RateOptions, Reach, overlaps, seconds_between, start_time_reset};
use super::{Computed, Notes, Samples};

/// A histogram with its time and start time.
pub(super) type Point = (i64, Arc<NativeHistogram>, i64);

pub(super) fn is_gauge(histogram: &NativeHistogram) -> bool {
    histogram.hint == CounterResetHint::Gauge
}

/// What there is to note about a sum or difference; `reconciled` is the note about custom bounds.
pub(super) fn noted(
    result: Result<Combined, IncompatibleSchemas>,
    reconciled: Notes,
) -> Result<Notes, Notes> {
    match result {
        Ok(Combined { reconciled: true, .. }) => Ok(reconciled),
        Ok(Combined { reconciled: false, .. }) => Ok(Notes::NONE),
        Err(IncompatibleSchemas) => Err(Notes::MIXED_SCHEMAS),
    }
}

/// Whether the counter began anew between two points: their start times say so, or their buckets.
fn restarted(previous: &Point, histogram: &NativeHistogram, current: &Point, options: RateOptions) -> bool {
    (options.start_timestamps && start_time_reset((previous.0, previous.2), (current.0, current.2)))
        || current.1.is_reset(histogram)
}

/// The change from the first to the last of at least two points, resets of a counter added. `Err`: there is none, and why.
fn change(points: &[Point], options: RateOptions) -> Result<(NativeHistogram, Notes), Notes> {
    let ([first, rest @ ..], [_, second, ..], [.., last]) = (points, points, points) else {
        return Err(Notes::NONE);
    };
    let mut notes = Notes::NONE;
    if options.counter && (is_gauge(&first.1) || is_gauge(&last.1)) {
        notes = Notes::NOT_COUNTER;
    }
    // What was before a reset does not matter, its layout neither.
    let emptied;
    let mut previous: &NativeHistogram = &first.1;
    if options.counter && restarted(first, &first.1, second, options) {
        emptied = NativeHistogram {
            schema: second.1.schema,
            custom_values: second.1.custom_values.clone(),
            ..NativeHistogram::default()
        };
        previous = &emptied;
    }
    let custom = previous.uses_custom_buckets();
    if last.1.uses_custom_buckets() != custom {
        return Err(notes.with(Notes::MIXED_SCHEMAS));
    }
    let mut schema = last.1.schema.min(previous.schema);
    if options.counter {
        let between = rest.get(..rest.len().saturating_sub(1)).unwrap_or_default();
        for (_, histogram, _) in between {
            if is_gauge(histogram) {
                notes = notes.with(Notes::NOT_COUNTER);
            }
            schema = schema.min(histogram.schema);
            if histogram.uses_custom_buckets() != custom {
                return Err(Notes::MIXED_SCHEMAS);
            }
        }
    }
    let mut change = last.1.copied();
    change.reduce_resolution(schema);
    notes = notes.with(noted(change.subtract(previous), Notes::RECONCILED_SUBTRACTION)?);
    if options.counter {
        for (before, current) in points.iter().zip(rest) {
            if options.start_timestamps && overlaps((before.0, before.2), current.2) {
                notes = notes.with(Notes::START_OVERLAP);
            }
            if restarted(before, previous, current, options) {
                notes = notes.with(noted(change.add(previous), Notes::RECONCILED_ADDITION)?);
            }
            previous = &current.1;
        }
    } else if !is_gauge(&first.1) || !is_gauge(&last.1) {
        notes = notes.with(Notes::NOT_GAUGE);
    }
    change.hint = CounterResetHint::Gauge;
    change.compact();
    Ok((change, notes))
}

/// `rate`, `increase` and `delta` of a window that has only histograms.
pub(super) fn extrapolated(samples: &Samples<'_>, bounds: Bounds, options: RateOptions) -> (Computed, Notes) {
    let points = samples.histograms;
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return (Computed::Nothing, Notes::NONE);
    };
    let (mut result, mut notes) = match points.len() {
        1 => (None, Notes::NONE),
        _ => match change(points, options) {
            Ok((change, notes)) => (Some(change), notes),
            Err(notes) => return (Computed::Nothing, notes),
        },
    };
    let mut reach = Reach::new(first.0, last.0, points.len(), bounds, options.per_second);
    let start = if options.start_timestamps && options.counter { first.2 } else { 0 };
    let factor = if start != 0 && bounds.start < start && start < first.0 {
        // There was a zero when the counter started.
        reach = reach.starting_at(start, last.0);
        match &mut result {
            None => result = Some(first.1.copied()),
            Some(change) => match noted(change.add(&first.1), Notes::RECONCILED_ADDITION) {
                Ok(more) => notes = notes.with(more),
                Err(why) => return (Computed::Nothing, notes.with(why)),
            },
        }
        reach.plain_factor()
    } else {
        match &result {
            Some(change) if options.counter => reach.counter_factor(change.count, first.1.count),
            _ => reach.plain_factor(),
        }
    };
    let Some(mut result) = result else { return (Computed::Nothing, notes) };
    result.multiply(factor);
    (Computed::Histogram(Arc::new(result)), notes)
}

/// `irate` and `idelta` of two histograms.
pub(super) fn instant(previous: &Point, last: &Point, options: RateOptions) -> (Computed, Notes) {
    let mut notes = Notes::NONE;
    let (any_gauge, both_gauges) =
        (is_gauge(&previous.1) || is_gauge(&last.1), is_gauge(&previous.1) && is_gauge(&last.1));
    if options.per_second && any_gauge {
        notes = Notes::NOT_COUNTER;
    }
    if !options.per_second && !both_gauges {
        notes = Notes::NOT_GAUGE;
    }
    let mut result = last.1.copied();
    if !options.per_second || !restarted(previous, &previous.1, last, options) {
        match noted(result.subtract(&previous.1), Notes::RECONCILED_SUBTRACTION) {
            Ok(more) => notes = notes.with(more),
            Err(why) => return (Computed::Nothing, notes.with(why)),
        }
    }
    result.hint = CounterResetHint::Gauge;
    result.compact();
    if options.per_second {
        result.divide(seconds_between(previous.0, last.0));
    }
    (Computed::Histogram(Arc::new(result)), notes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Span;

    fn point(time: i64, buckets: &[f64]) -> Point {
        let histogram = NativeHistogram {
            count: buckets.iter().sum(),
            sum: buckets.iter().sum(),
            positive_spans: vec![Span { offset: 0, length: buckets.len() as u32 }],
            positive_buckets: buckets.to_vec(),
            ..NativeHistogram::default()
        };
        (time, Arc::new(histogram), 0)
    }

    const INCREASE: RateOptions = RateOptions { counter: true, per_second: false, start_timestamps: false };

    fn increase(points: &[Point], bounds: Bounds) -> (Option<Arc<NativeHistogram>>, Notes) {
        match extrapolated(&Samples { histograms: points, ..Samples::default() }, bounds, INCREASE) {
            (Computed::Histogram(histogram), notes) => (Some(histogram), notes),
            (Computed::Nothing, notes) => (None, notes),
            (other, _) => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_before_a_reset_is_added() {
        let points = [point(1_000, &[5.0, 5.0]), point(2_000, &[6.0, 6.0]), point(3_000, &[1.0, 2.0])];
        let (result, notes) = increase(&points, Bounds { start: 1_000, end: 3_000 });
        let result = result.unwrap();
        assert_eq!((result.positive_buckets.as_slice(), notes), ([2.0, 3.0].as_slice(), Notes::NONE));
        assert_eq!(result.hint, CounterResetHint::Gauge);
    }

    #[test]
    fn one_histogram_has_no_rate_and_two_kinds_have_none_either() {
        let points = [point(1_000, &[5.0]), point(2_000, &[6.0])];
        assert!(increase(&points[..1], Bounds { start: 0, end: 3_000 }).0.is_none());
        let custom = NativeHistogram { schema: -53, count: 9.0, sum: 1.0, ..NativeHistogram::default() };
        let (result, notes) = increase(
            &[points[0].clone(), points[1].clone(), (3_000, Arc::new(custom), 0)],
            Bounds { start: 0, end: 3_000 },
        );
        assert!(result.is_none() && notes.has(Notes::MIXED_SCHEMAS));
    }
}
