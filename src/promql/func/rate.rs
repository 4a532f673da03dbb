//! `rate`, `increase`, `delta` and their instant relatives, `resets`, `changes`: how counters and gauges move.

use crate::model::NativeHistogram;

use super::{Computed, Notes, Samples, histogram_rate};

/// What the rate family needs to know beside the samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateOptions {
    /// Whether drops are resets: true for all but `delta` and `idelta`.
    pub(crate) counter: bool,
    /// Whether the change is divided by the time it took.
    pub(crate) per_second: bool,
    /// Whether start times of samples reveal resets.
    pub(crate) start_timestamps: bool,
}

/// A window `(start, end]` in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// Milliseconds from `from` to `to` in seconds.
pub(crate) fn seconds_between(from: i64, to: i64) -> f64 {
    to.saturating_sub(from) as f64 / 1000.0
}

/// Whether the counter was restarted between two samples, going by their start times (0: unknown).
pub(super) fn start_time_reset(previous: (i64, i64), current: (i64, i64)) -> bool {
    let ((previous_time, previous_start), (time, start)) = (previous, current);
    if start == previous_start || start == 0 || start >= time || start < previous_time {
        return false;
    }
    if start > previous_time {
        return true;
    }
    previous_start <= previous_time && previous_start != 0 && previous_start != previous_time
}

/// Whether a start time lies before the sample before, `(time, start time)`, although a counter that began then would have.
pub(super) fn overlaps(previous: (i64, i64), start: i64) -> bool {
    start != 0 && start < previous.0 && start != previous.1
}

/// `rate`, `increase` and `delta`: the change between the first and the last sample, extended to the borders of the
/// window where the samples come close to them (Prometheus 3.15, `extrapolatedRate`).
pub(crate) fn extrapolated(samples: &Samples<'_>, bounds: Bounds, options: RateOptions) -> (Computed, Notes) {
    if samples.is_mixed() {
        return (Computed::Nothing, Notes::MIXED);
    }
    if samples.times.is_empty() {
        return histogram_rate::extrapolated(samples, bounds, options);
    }
    let (Some(first_time), Some(last_time)) = (samples.times.first(), samples.times.last()) else {
        return (Computed::Nothing, Notes::NONE);
    };
    let (Some(first), Some(last)) = (samples.values.first(), samples.values.last()) else {
        return (Computed::Nothing, Notes::NONE);
    };
    let first_start = if options.start_timestamps { samples.start(0) } else { 0 };
    let implied_zero =
        options.counter && first_start != 0 && bounds.start < first_start && first_start < *first_time;
    let count = samples.times.len();
    if count < 2 && !implied_zero {
        return (Computed::Nothing, Notes::NONE);
    }
    let mut notes = Notes::NONE;
    let mut change = last - first;
    if options.counter {
        if options.start_timestamps && !samples.starts.is_empty() {
            let (sum, overlap) = resets_with_start_times(samples, change);
            change = sum;
            if overlap {
                notes = Notes::START_OVERLAP;
            }
        } else {
            let mut previous = *first;
            for value in samples.values {
                if *value < previous {
                    change += previous;
                }
                previous = *value;
            }
        }
    }
    let mut reach = Reach::new(*first_time, *last_time, count, bounds, options.per_second);
    if implied_zero {
        reach = reach.starting_at(first_start, *last_time);
        return (Computed::Float(reach.extend_to_borders(change + first)), notes);
    }
    let value = match options.counter {
        true => reach.extend_counter(change, *first),
        false => reach.extend_to_borders(change),
    };
    (Computed::Float(value), notes)
}

/// How far the samples of a window reach and how far beyond they are extended: what the times alone decide.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// Seconds from the first sample to the last.
    covered: f64,
    /// Seconds of extension to the left, before a counter's zero is looked at.
    to_start: f64,
    /// Seconds of extension to the right.
    to_end: f64,
    /// Seconds to divide by, for a rate.
    window: Option<f64>,
}

impl Reach {
    /// The reach of `count` samples, at least one, between these times.
    pub(crate) fn new(
        first_time: i64,
        last_time: i64,
        count: usize,
        bounds: Bounds,
        per_second: bool,
    ) -> Self {
        let covered = seconds_between(first_time, last_time);
        let average = if count > 1 { covered / (count as f64 - 1.0) } else { 0.0 };
        let threshold = average * 1.1;
        let capped = |gap: f64| if gap >= threshold { average / 2.0 } else { gap };
        Self {
            covered,
            to_start: capped(seconds_between(bounds.start, first_time)),
            to_end: capped(seconds_between(last_time, bounds.end)),
            window: per_second.then(|| seconds_between(bounds.start, bounds.end)),
        }
    }

    /// The same, with a zero at `start` as the first sample.
    pub(super) fn starting_at(self, start: i64, last_time: i64) -> Self {
        Self { covered: seconds_between(start, last_time), to_start: 0.0, ..self }
    }

    /// `change` extended to the borders.
    pub(crate) fn extend_to_borders(self, change: f64) -> f64 {
        change * self.factor(self.to_start)
    }

    /// A counter's `change` extended to the borders, but not below zero: to the left only as far as the line through
    /// `first` reaches zero. The gap is capped first and then clamped, in this order.
    pub(crate) fn extend_counter(self, change: f64, first: f64) -> f64 {
        change * self.counter_factor(change, first)
    }

    /// The factor of a counter's change, as [`extend_counter`](Self::extend_counter) applies it.
    pub(super) fn counter_factor(self, change: f64, first: f64) -> f64 {
        let mut to_start = self.to_start;
        if change > 0.0 && first >= 0.0 {
            let to_zero = self.covered * (first / change);
            if to_zero < to_start {
                to_start = to_zero;
            }
        }
        self.factor(to_start)
    }

    /// As [`extend_counter`](Self::extend_counter), with the factor of [`plain_factor`](Self::plain_factor) where zero
    /// is far.
    #[inline]
    pub(crate) fn extend_counter_by(self, plain_factor: f64, change: f64, first: f64) -> f64 {
        // Both sides err by less than a part in a million: beyond that the clamp cannot bite, and no division is needed.
        const CLEAR: f64 = 1.000_001;
        if first * self.covered > change * self.to_start * CLEAR || change <= 0.0 {
            return change * plain_factor;
        }
        self.extend_counter(change, first)
    }

    /// The factor of a change whose zero is not in the way.
    pub(crate) fn plain_factor(self) -> f64 {
        self.factor(self.to_start)
    }

    fn factor(self, to_start: f64) -> f64 {
        let covered = self.covered;
        let factor = if covered == 0.0 { 1.0 } else { (covered + to_start + self.to_end) / covered };
        match self.window {
            Some(seconds) => factor / seconds,
            None => factor,
        }
    }
}

/// Adds the value before every drop or restart to `change`; and whether a start time lies before the sample before.
fn resets_with_start_times(samples: &Samples<'_>, change: f64) -> (f64, bool) {
    let mut change = change;
    let mut overlap = false;
    let rows = || samples.times.iter().zip(samples.values).enumerate();
    for ((index, (previous_time, previous)), (_, (time, value))) in rows().zip(rows().skip(1)) {
        let previous_start = samples.start(index);
        let start = samples.start(index.saturating_add(1));
        if *value < *previous || start_time_reset((*previous_time, previous_start), (*time, start)) {
            change += previous;
        }
        overlap |= overlaps((*previous_time, previous_start), start);
    }
    (change, overlap)
}

/// One sample of a window.
#[derive(Clone, Copy)]
enum Point<'a> {
    Float { time: i64, start: i64, value: f64 },
    Histogram(&'a histogram_rate::Point),
}

impl<'a> Point<'a> {
    fn float(samples: &Samples<'a>, index: usize) -> Option<Self> {
        let (time, value) = (*samples.times.get(index)?, *samples.values.get(index)?);
        Some(Self::Float { time, start: samples.start(index), value })
    }

    /// Time and start time.
    fn times(self) -> (i64, i64) {
        match self {
            Self::Float { time, start, .. } => (time, start),
            Self::Histogram((time, _, start)) => (*time, *start),
        }
    }
}

/// The last two samples of the window by time, of either kind, the later one second.
fn last_two<'a>(samples: &Samples<'a>) -> Option<(Point<'a>, Point<'a>)> {
    let mut floats = samples.times.len();
    let mut histograms = samples.histograms.len();
    let mut next = || {
        let float = floats.checked_sub(1).and_then(|at| Some((at, *samples.times.get(at)?)));
        let histogram = histograms.checked_sub(1).and_then(|at| Some((at, samples.histograms.get(at)?)));
        match (float, histogram) {
            (Some((at, time)), other) if other.is_none_or(|(_, histogram)| histogram.0 < time) => {
                floats = at;
                Point::float(samples, at)
            }
            (_, Some((at, histogram))) => {
                histograms = at;
                Some(Point::Histogram(histogram))
            }
            _ => None,
        }
    };
    let last = next()?;
    let previous = next()?;
    Some((previous, last))
}

/// `irate` and `idelta`: the change between the last two samples.
pub(crate) fn instant(samples: &Samples<'_>, options: RateOptions) -> (Computed, Notes) {
    let Some((previous, last)) = last_two(samples) else { return (Computed::Nothing, Notes::NONE) };
    let (times, last_times) = (previous.times(), last.times());
    if times.0 == last_times.0 {
        return (Computed::Nothing, Notes::NONE);
    }
    match (previous, last) {
        (Point::Float { value: a, .. }, Point::Float { value: b, .. }) => {
            let restarted = options.counter
                && (b < a || (options.start_timestamps && start_time_reset(times, last_times)));
            let mut change = if restarted { b } else { b - a };
            if options.per_second {
                change /= seconds_between(times.0, last_times.0);
            }
            (Computed::Float(change), Notes::NONE)
        }
        (Point::Histogram(previous), Point::Histogram(last)) => {
            histogram_rate::instant(previous, last, options)
        }
        _ => (Computed::Nothing, Notes::MIXED),
    }
}

/// `changes`: how often the value differs from the one before.
pub(crate) fn changes(samples: &Samples<'_>) -> Computed {
    count_steps(samples, |a, b| b != a && !(a.is_nan() && b.is_nan()), |a, b| !b.equals(a), |_, _| false)
}

/// `resets`: how often a counter began anew.
pub(crate) fn resets(samples: &Samples<'_>, start_timestamps: bool) -> Computed {
    count_steps(
        samples,
        |a, b| b < a,
        |a, b| b.is_reset(a),
        |a, b| start_timestamps && start_time_reset(a, b),
    )
}

/// Counts the neighbours in time for which one of the predicates holds, and the changes between floats and
/// histograms.
fn count_steps(
    samples: &Samples<'_>,
    floats: impl Fn(f64, f64) -> bool,
    histograms: impl Fn(&NativeHistogram, &NativeHistogram) -> bool,
    times: impl Fn((i64, i64), (i64, i64)) -> bool,
) -> Computed {
    if samples.is_empty() {
        return Computed::Nothing;
    }
    let mut count = 0_u64;
    if samples.histograms.is_empty() {
        let rows = || samples.times.iter().zip(samples.values).enumerate();
        for ((index, (time_a, a)), (_, (time_b, b))) in rows().zip(rows().skip(1)) {
            let start_a = samples.start(index);
            let start_b = samples.start(index.saturating_add(1));
            if floats(*a, *b) || times((*time_a, start_a), (*time_b, start_b)) {
                count = count.saturating_add(1);
            }
        }
        return Computed::Float(count as f64);
    }
    let mut previous: Option<Point<'_>> = None;
    for point in in_time_order(samples) {
        if let Some(previous) = previous {
            let differs = match (previous, point) {
                (Point::Float { value: a, .. }, Point::Float { value: b, .. }) => {
                    floats(a, b) || times(previous.times(), point.times())
                }
                (Point::Histogram(a), Point::Histogram(b)) => {
                    times(previous.times(), point.times()) || histograms(&a.1, &b.1)
                }
                _ => true,
            };
            count = count.saturating_add(u64::from(differs));
        }
        previous = Some(point);
    }
    Computed::Float(count as f64)
}

/// Floats and histograms of a window in one row.
fn in_time_order<'a>(samples: &Samples<'a>) -> impl Iterator<Item = Point<'a>> {
    let samples = *samples;
    let mut floats =
        (0..samples.times.len()).filter_map(move |index| Point::float(&samples, index)).peekable();
    let mut histograms = samples.histograms.iter().map(Point::Histogram).peekable();
    std::iter::from_fn(move || match (floats.peek(), histograms.peek()) {
        (Some(float), Some(histogram)) if float.times().0 > histogram.times().0 => histograms.next(),
        (Some(_), _) => floats.next(),
        (None, _) => histograms.next(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: RateOptions = RateOptions { counter: true, per_second: true, start_timestamps: false };
    const INCREASE: RateOptions = RateOptions { per_second: false, ..RATE };

    fn float(computed: Computed) -> f64 {
        match computed {
            Computed::Float(value) => value,
            other => panic!("{other:?}"),
        }
    }

    fn samples<'a>(times: &'a [i64], values: &'a [f64]) -> Samples<'a> {
        Samples { times, values, ..Samples::default() }
    }

    #[test]
    fn a_counter_is_not_extended_below_zero() {
        let samples = samples(&[0, 240_000, 480_000], &[60.0, 300.0, 540.0]);
        let (rate, _) = extrapolated(&samples, Bounds { start: -600_000, end: 600_000 }, RATE);
        assert_eq!(float(rate), 0.55);
    }

    #[test]
    fn rate_over_counter_reset_adds_the_drop() {
        let times: Vec<i64> = (1..7).map(|i| i * 300_000).collect();
        let samples = samples(&times, &[1.0, 2.0, 3.0, 2.0, 3.0, 4.0]);
        let (increase, _) = extrapolated(&samples, Bounds { start: 0, end: 1_800_000 }, INCREASE);
        assert_eq!(float(increase), 7.0);
    }

    #[test]
    fn one_sample_has_no_rate() {
        let samples = samples(&[5], &[1.0]);
        assert!(matches!(extrapolated(&samples, Bounds { start: 0, end: 10 }, RATE).0, Computed::Nothing));
        assert!(matches!(instant(&samples, RATE).0, Computed::Nothing));
        assert_eq!(float(resets(&samples, false)), 0.0);
    }

    #[test]
    fn one_sample_with_a_start_inside_the_window_has_a_rate() {
        let samples = Samples { times: &[8_000], values: &[4.0], starts: &[4_000], histograms: &[] };
        let options = RateOptions { start_timestamps: true, ..INCREASE };
        assert_eq!(float(extrapolated(&samples, Bounds { start: 0, end: 8_000 }, options).0), 4.0);
    }

    #[test]
    fn nan_after_nan_is_no_change() {
        assert_eq!(float(changes(&samples(&[1, 2, 3], &[f64::NAN, f64::NAN, 1.0]))), 1.0);
    }
}
