//! `deriv` and `predict_linear`: least squares over the samples of a window.

use super::sum::Sum;
use super::{Computed, Notes, Samples};

/// A line through the samples: slope per second, and value at the origin.
struct Line {
    slope: f64,
    intercept: f64,
}

/// The least-squares line through the floats, with time counted from `origin` in milliseconds.
fn fit(samples: &Samples<'_>, origin: i64) -> Option<Line> {
    let first = *samples.values.first()?;
    let mut count = 0.0;
    let (mut x_sum, mut y_sum, mut xy_sum, mut xx_sum) =
        (Sum::default(), Sum::default(), Sum::default(), Sum::default());
    let mut constant = true;
    for (time, y) in samples.times.iter().zip(samples.values) {
        constant &= *y == first;
        count += 1.0;
        let x = time.saturating_sub(origin) as f64 / 1000.0;
        x_sum.add(x);
        y_sum.add(*y);
        xy_sum.add(x * y);
        xx_sum.add(x * x);
    }
    if constant {
        let line = match first.is_infinite() {
            true => Line { slope: f64::NAN, intercept: f64::NAN },
            false => Line { slope: 0.0, intercept: first },
        };
        return Some(line);
    }
    let (x, y, xy, xx) = (x_sum.total(), y_sum.total(), xy_sum.total(), xx_sum.total());
    let covariance = xy - x * y / count;
    let variance = xx - x * x / count;
    let slope = covariance / variance;
    Some(Line { slope, intercept: y / count - slope * x / count })
}

/// What is to be said about histograms, and whether there are floats enough.
fn check(samples: &Samples<'_>) -> (bool, Notes) {
    let notes = if samples.is_mixed() { Notes::IGNORED_HISTOGRAMS } else { Notes::NONE };
    (samples.values.len() >= 2, notes)
}

/// `deriv`: the slope per second.
pub(crate) fn deriv(samples: &Samples<'_>) -> (Computed, Notes) {
    let (enough, notes) = check(samples);
    let line = samples.times.first().filter(|_| enough).and_then(|first| fit(samples, *first));
    (line.map(|line| line.slope).into(), notes)
}

/// `predict_linear`: the line's value `ahead` seconds after the evaluation time.
pub(crate) fn predict_linear(samples: &Samples<'_>, evaluation_time: i64, ahead: f64) -> (Computed, Notes) {
    let (enough, notes) = check(samples);
    let line = if enough { fit(samples, evaluation_time) } else { None };
    (line.map(|line| line.slope * ahead + line.intercept).into(), notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float((computed, _): (Computed, Notes)) -> f64 {
        match computed {
            Computed::Float(value) => value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_straight_line_is_found_and_continued() {
        let samples =
            Samples { times: &[0, 10_000, 20_000], values: &[1.0, 6.0, 11.0], ..Samples::default() };
        assert_eq!(float(deriv(&samples)), 0.5);
        assert_eq!(float(predict_linear(&samples, 20_000, 10.0)), 16.0);
    }

    #[test]
    fn equal_values_have_slope_zero_unless_infinite() {
        let values = [f64::INFINITY; 2];
        let samples = Samples { times: &[0, 1], values: &values, ..Samples::default() };
        assert!(float(deriv(&samples)).is_nan());
        let samples = Samples { times: &[0, 1], values: &[3.0, 3.0], ..Samples::default() };
        assert_eq!(float(deriv(&samples)), 0.0);
    }
}
