//! The `…_over_time` family.

use std::sync::Arc;

use crate::model::histogram::{HistogramMean, HistogramSum, IncompatibleSchemas};
use crate::model::{CounterResetHint, NativeHistogram};

use super::quantile::quantile;
use super::sum::{Mean, Sum};
use super::{Computed, Notes, Samples};

/// Which extreme is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extreme {
    Min,
    Max,
}

impl Extreme {
    /// Whether `candidate` takes the place of `best`: it is strictly better, or the first that is a number.
    #[inline]
    pub(crate) fn replaces(self, candidate: f64, best: f64) -> bool {
        best.is_nan()
            || match self {
                Self::Min => candidate < best,
                Self::Max => candidate > best,
            }
    }
}

/// The answer of a function that only looks at floats.
fn of_floats(samples: &Samples<'_>, compute: impl FnOnce(&[f64]) -> f64) -> (Computed, Notes) {
    if samples.values.is_empty() {
        return (Computed::Nothing, Notes::NONE);
    }
    let notes = if samples.histograms.is_empty() { Notes::NONE } else { Notes::IGNORED_HISTOGRAMS };
    (Computed::Float(compute(samples.values)), notes)
}

/// The answer of a function that takes floats or histograms, but not both.
fn of_either<S>(
    samples: &Samples<'_>,
    floats: impl FnOnce(&[f64]) -> f64,
    start: impl FnOnce(NativeHistogram) -> S,
    add: impl FnMut(&mut S, &NativeHistogram) -> Result<bool, IncompatibleSchemas>,
    finish: impl FnOnce(S) -> NativeHistogram,
) -> (Computed, Notes) {
    match (samples.values.is_empty(), samples.histograms.is_empty()) {
        (true, true) => (Computed::Nothing, Notes::NONE),
        (false, false) => (Computed::Nothing, Notes::MIXED),
        (true, false) => of_histograms(samples, start, add, finish),
        (false, true) => (Computed::Float(floats(samples.values)), Notes::NONE),
    }
}

/// Histograms summed up one after the other, beginning with the first.
fn of_histograms<S>(
    samples: &Samples<'_>,
    start: impl FnOnce(NativeHistogram) -> S,
    mut add: impl FnMut(&mut S, &NativeHistogram) -> Result<bool, IncompatibleSchemas>,
    finish: impl FnOnce(S) -> NativeHistogram,
) -> (Computed, Notes) {
    let Some(((_, first, _), rest)) = samples.histograms.split_first() else {
        return (Computed::Nothing, Notes::NONE);
    };
    let mut notes = Notes::NONE;
    let mut sum = start(first.copied());
    for (_, histogram, _) in rest {
        match add(&mut sum, histogram) {
            Ok(true) => notes = notes.with(Notes::RECONCILED_AGGREGATION),
            Ok(false) => {}
            Err(IncompatibleSchemas) => return (Computed::Nothing, Notes::MIXED_SCHEMAS),
        }
    }
    let has = |hint| samples.histograms.iter().any(|(_, histogram, _)| histogram.hint == hint);
    if has(CounterResetHint::Reset) && has(CounterResetHint::NotReset) {
        notes = notes.with(Notes::RESET_COLLISION);
    }
    (Computed::Histogram(Arc::new(finish(sum))), notes)
}

pub(crate) fn sum(samples: &Samples<'_>) -> (Computed, Notes) {
    let floats = |values: &[f64]| {
        let mut sum = Sum::default();
        values.iter().for_each(|value| sum.add(*value));
        if sum.sum.is_infinite() { sum.sum } else { sum.total() }
    };
    of_either(samples, floats, HistogramSum::new, HistogramSum::add, HistogramSum::total)
}

pub(crate) fn avg(samples: &Samples<'_>) -> (Computed, Notes) {
    let floats = |values: &[f64]| {
        let mut mean = Mean::default();
        values.iter().for_each(|value| mean.add(*value));
        mean.mean()
    };
    of_either(samples, floats, HistogramMean::new, HistogramMean::add, HistogramMean::mean)
}

pub(crate) fn count(samples: &Samples<'_>) -> (Computed, Notes) {
    let count = if samples.is_empty() { Computed::Nothing } else { Computed::Float(samples.len() as f64) };
    (count, Notes::NONE)
}

pub(crate) fn present(samples: &Samples<'_>) -> (Computed, Notes) {
    (if samples.is_empty() { Computed::Nothing } else { Computed::Float(1.0) }, Notes::NONE)
}

pub(crate) fn extreme(samples: &Samples<'_>, extreme: Extreme) -> (Computed, Notes) {
    of_floats(samples, |values| {
        values
            .iter()
            .copied()
            .reduce(|best, value| if extreme.replaces(value, best) { value } else { best })
            .unwrap_or(f64::NAN)
    })
}

/// `ts_of_min_over_time`, `ts_of_max_over_time`: the time of the extreme in seconds, the latest one on ties.
pub(crate) fn time_of_extreme(samples: &Samples<'_>, extreme: Extreme) -> (Computed, Notes) {
    let mut rows = samples.values.iter().zip(samples.times);
    let best = rows.next().map(|first| {
        rows.fold(first, |best, row| {
            let as_good = *row.0 == *best.0 || extreme.replaces(*row.0, *best.0);
            if as_good { row } else { best }
        })
    });
    let notes = if samples.is_mixed() { Notes::IGNORED_HISTOGRAMS } else { Notes::NONE };
    (best.map(|(_, time)| *time as f64 / 1000.0).into(), notes)
}

/// Which end of the window is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    First,
    Last,
}

/// Whether the histogram at that end lies beyond the float at that end.
fn histogram_is_outer(samples: &Samples<'_>, end: End) -> bool {
    let (float, histogram) = match end {
        End::First => (samples.times.first(), samples.histograms.first()),
        End::Last => (samples.times.last(), samples.histograms.last()),
    };
    match (float, histogram) {
        (Some(float), Some(histogram)) if end == End::First => histogram.0 < *float,
        (Some(float), Some(histogram)) => histogram.0 > *float,
        (None, Some(_)) => true,
        _ => false,
    }
}

/// `first_over_time`, `last_over_time`.
pub(crate) fn end(samples: &Samples<'_>, end: End) -> (Computed, Notes) {
    let computed = if histogram_is_outer(samples, end) {
        let histogram = match end {
            End::First => samples.histograms.first(),
            End::Last => samples.histograms.last(),
        };
        histogram
            .map_or(Computed::Nothing, |(_, histogram, _)| Computed::Histogram(histogram.copied_or_shared()))
    } else {
        match end {
            End::First => samples.values.first().copied().into(),
            End::Last => samples.values.last().copied().into(),
        }
    };
    (computed, Notes::NONE)
}

/// `ts_of_first_over_time`, `ts_of_last_over_time`, in seconds.
pub(crate) fn time_of_end(samples: &Samples<'_>, end: End) -> (Computed, Notes) {
    let outer = histogram_is_outer(samples, end);
    let time = match end {
        End::First if outer => samples.histograms.first().map(|sample| sample.0),
        End::First => samples.times.first().copied(),
        End::Last if outer => samples.histograms.last().map(|sample| sample.0),
        End::Last => samples.times.last().copied(),
    };
    (time.map(|time| time as f64 / 1000.0).into(), Notes::NONE)
}

/// `stdvar_over_time`: the population variance; mean and sum of squares are compensated.
pub(crate) fn variance(samples: &Samples<'_>) -> (Computed, Notes) {
    of_floats(samples, variance_of)
}

/// `stddev_over_time`.
pub(crate) fn deviation(samples: &Samples<'_>) -> (Computed, Notes) {
    of_floats(samples, |values| variance_of(values).sqrt())
}

fn variance_of(values: &[f64]) -> f64 {
    let mut count = 0.0;
    let mut mean = Sum::default();
    let mut squares = Sum::default();
    for value in values {
        count += 1.0;
        let delta = value - mean.total();
        mean.add(delta / count);
        squares.add(delta * (value - mean.total()));
    }
    squares.total() / count
}

/// `quantile_over_time`; `scratch` is memory to sort in.
pub(crate) fn quantile_of(samples: &Samples<'_>, q: f64, scratch: &mut Vec<f64>) -> (Computed, Notes) {
    let (computed, notes) = of_floats(samples, |values| {
        scratch.clear();
        scratch.extend_from_slice(values);
        quantile(q, scratch)
    });
    let bad = matches!(computed, Computed::Float(_)) && !(0.0..=1.0).contains(&q);
    (computed, if bad { notes.with(Notes::BAD_QUANTILE) } else { notes })
}

/// `mad_over_time`: the median of the distances from the median.
pub(crate) fn median_absolute_deviation(samples: &Samples<'_>, scratch: &mut Vec<f64>) -> (Computed, Notes) {
    of_floats(samples, |values| {
        if values.iter().any(|value| value.is_nan()) {
            return f64::NAN;
        }
        scratch.clear();
        scratch.extend_from_slice(values);
        let median = quantile(0.5, scratch);
        scratch.iter_mut().for_each(|value| *value = (*value - median).abs());
        quantile(0.5, scratch)
    })
}

/// `double_exponential_smoothing` with smoothing factor `sf` and trend factor `tf`, both between 0 and 1.
pub(crate) fn double_exponential_smoothing(samples: &Samples<'_>, sf: f64, tf: f64) -> (Computed, Notes) {
    let note = if samples.values.is_empty() || samples.histograms.is_empty() {
        Notes::NONE
    } else {
        Notes::IGNORED_HISTOGRAMS
    };
    let [first, second, ..] = samples.values else { return (Computed::Nothing, note) };
    let mut before = 0.0;
    let mut smoothed = *first;
    let mut trend = second - first;
    for (index, value) in samples.values.iter().enumerate().skip(1) {
        let x = sf * value;
        if index > 1 {
            trend = tf * (smoothed - before) + (1.0 - tf) * trend;
        }
        let y = (1.0 - sf) * (smoothed + trend);
        before = smoothed;
        smoothed = x + y;
    }
    (Computed::Float(smoothed), note)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples<'a>(times: &'a [i64], values: &'a [f64]) -> Samples<'a> {
        Samples { times, values, ..Samples::default() }
    }

    fn float((computed, _): (Computed, Notes)) -> f64 {
        match computed {
            Computed::Float(value) => value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nan_loses_against_every_number() {
        let samples = samples(&[1, 2, 3], &[f64::NAN, 2.0, f64::NAN]);
        assert_eq!(float(extreme(&samples, Extreme::Max)), 2.0);
        assert_eq!(float(extreme(&samples, Extreme::Min)), 2.0);
    }

    #[test]
    fn the_latest_of_equal_extremes_counts() {
        let samples = samples(&[1_000, 2_000, 3_000], &[5.0, 5.0, 1.0]);
        assert_eq!(float(time_of_extreme(&samples, Extreme::Max)), 2.0);
        assert_eq!(float(time_of_extreme(&samples, Extreme::Min)), 3.0);
    }

    #[test]
    fn the_variance_of_equal_values_is_zero() {
        assert_eq!(float(variance(&samples(&[1, 2, 3], &[1.5; 3]))), 0.0);
        assert_eq!(float(deviation(&samples(&[1, 2], &[1.0, 3.0]))), 1.0);
    }

    #[test]
    fn the_median_distance_ignores_an_outlier() {
        let samples = samples(&[1, 2, 3, 4, 5], &[1.0, 2.0, 3.0, 4.0, 100.0]);
        assert_eq!(float(median_absolute_deviation(&samples, &mut Vec::new())), 1.0);
    }

    #[test]
    fn an_empty_window_has_no_answer() {
        let empty = Samples::default();
        for (computed, _) in [sum(&empty), avg(&empty), count(&empty), present(&empty), variance(&empty)] {
            assert!(matches!(computed, Computed::Nothing));
        }
    }
}
