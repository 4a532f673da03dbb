//! Counter reset hints as Prometheus's storage gives them, whatever was written.
//!
//! A histogram reads back as a gauge if it was written as one. Of counters the first of a chunk reads back as unknown, every
//! other as not reset; a chunk ends where Prometheus would notice a reset, at a marker, and where layout or kind change. That
//! chunks also end when they are full is not repeated here.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    CounterResetHint, Labels, Matcher, NativeHistogram, SampleBuffer, Timestamp, Window, is_stale,
};
use crate::source::{Item, SelectRequest, Series};

use super::Evaluator;

/// Histograms of a buffer as they are computed with: checked, in a supported resolution, with the hints of storage.
/// `before` has what was stored before them, if that is known.
///
/// # Errors
///
/// A histogram is none.
pub(crate) fn prepare(buffer: &mut SampleBuffer, before: &SampleBuffer, labels: &Labels) -> Result<()> {
    let mut previous = match (before.times.last(), before.histograms.last()) {
        (Some(float), Some((time, ..))) if float > time => None,
        (_, Some((_, histogram, _))) => continued(histogram).then(|| histogram.clone()),
        _ => None,
    };
    let mut floats = buffer.times.iter().peekable();
    for (time, histogram, _) in &mut buffer.histograms {
        while floats.next_if(|float| *float < time).is_some() {
            previous = None;
        }
        if is_stale(histogram.sum) {
            previous = None;
            continue;
        }
        histogram.check().map_err(|what| {
            let at = Timestamp::from_millis(*time);
            let text = format!("the histogram of {labels} at {at} cannot be computed with: {what}");
            Error::new(ErrorKind::InvalidArgument, text)
        })?;
        if histogram.is_too_fine() {
            Arc::make_mut(histogram).reduce_to_supported();
        }
        let hint = match (histogram.hint, &previous) {
            (CounterResetHint::Gauge, _) => CounterResetHint::Gauge,
            (_, Some(previous)) if histogram.continues(previous) => CounterResetHint::NotReset,
            _ => CounterResetHint::Unknown,
        };
        if histogram.hint != hint {
            Arc::make_mut(histogram).hint = hint;
        }
        previous = continued(histogram).then(|| histogram.clone());
    }
    Ok(())
}

/// Whether a later histogram can continue the chunk of this one.
fn continued(histogram: &NativeHistogram) -> bool {
    histogram.hint != CounterResetHint::Gauge && !is_stale(histogram.sum)
}

/// Leaves only count and sum of each histogram. Where a hint is unknown, and the predecessor was read in the same stretch,
/// the buckets tell before they go. Every seek, `(from, until)` in milliseconds, reads up to the first sample at `until` or
/// later, and begins a new stretch if it skips something.
pub(crate) fn reduce_to_statistics(buffer: &mut SampleBuffer, seeks: impl Iterator<Item = (i64, i64)>) {
    if buffer.histograms.is_empty() {
        return;
    }
    let starts = stretches(buffer, seeks);
    let mut starts = starts.into_iter().peekable();
    let mut previous: Option<Arc<NativeHistogram>> = None;
    for (time, histogram, _) in &mut buffer.histograms {
        while starts.next_if(|start| *start <= *time).is_some() {
            previous = None;
        }
        let mut statistics = histogram.statistics();
        if !is_stale(histogram.sum) {
            if statistics.hint == CounterResetHint::Unknown
                && let Some(previous) = &previous
            {
                statistics.hint = match histogram.is_reset(previous) {
                    true => CounterResetHint::Reset,
                    false => CounterResetHint::NotReset,
                };
            }
            previous = Some(histogram.clone());
        }
        *histogram = Arc::new(statistics);
    }
}

/// Where stretches begin.
fn stretches(buffer: &SampleBuffer, seeks: impl Iterator<Item = (i64, i64)>) -> Vec<i64> {
    let first_from = |time: i64| {
        let float = buffer.times.get(buffer.times.partition_point(|other| *other < time)).copied();
        let histogram = buffer.histograms.partition_point(|(other, ..)| *other < time);
        let histogram = buffer.histograms.get(histogram).map(|(time, ..)| *time);
        float.into_iter().chain(histogram).min()
    };
    let mut starts = Vec::new();
    let mut reached = None;
    for (from, until) in seeks {
        if reached.is_none_or(|reached| from > reached) {
            starts.push(from);
            reached = first_from(from);
        }
        if reached.is_some_and(|reached| reached < until) {
            reached = first_from(until);
        }
        if reached.is_none() {
            break;
        }
    }
    starts
}

/// What was stored before a window, for the series of one selector: looked up only if a histogram asks.
pub(crate) struct Predecessors<'a> {
    matchers: &'a [Matcher],
    window: Window,
    found: Option<std::vec::IntoIter<Series>>,
    /// Whether nobody may look.
    refused: bool,
}

impl<'a> Predecessors<'a> {
    /// The samples of the `millis` before `window`.
    pub(crate) fn new(matchers: &'a [Matcher], window: Window, millis: i64) -> Self {
        let start = Timestamp::from_millis(window.after.as_millis().saturating_sub(millis));
        Self { matchers, window: Window::new(start, window.after), found: None, refused: false }
    }

    /// The same for a worker, which has some of the series only: it is to leave those that ask to who has all of them.
    pub(crate) fn refused(matchers: &'a [Matcher], window: Window) -> Self {
        Self { matchers, window, found: None, refused: true }
    }

    /// Of what, and of which window.
    pub(crate) fn asked(&self) -> (&'a [Matcher], Window) {
        (self.matchers, self.window)
    }

    /// Those of one series; series have to be asked for in label order.
    pub(crate) fn of(&mut self, evaluator: &Evaluator<'_>, labels: &Labels) -> Result<SampleBuffer> {
        let mut buffer = SampleBuffer::default();
        if self.refused {
            let text = "what was stored before is looked up for all series together";
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        if self.found.is_none() {
            let set = evaluator.source.select(&SelectRequest::new(self.matchers, self.window))?;
            let series = set.items.into_iter().filter_map(|item| match item {
                Item::Series(series) => Some(series),
                Item::Family(_) => None,
            });
            self.found = Some(series.collect::<Vec<_>>().into_iter());
        }
        let Some(found) = &mut self.found else { return Ok(buffer) };
        while let Some(series) = found.as_slice().first() {
            if series.labels() > labels {
                break;
            }
            let Some(series) = found.next() else { break };
            if series.labels() == labels {
                series.read(self.window, &mut buffer)?;
                break;
            }
        }
        Ok(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(counts: &[(i64, f64, CounterResetHint)]) -> SampleBuffer {
        let mut buffer = SampleBuffer::default();
        for (time, count, hint) in counts {
            let histogram =
                NativeHistogram { count: *count, sum: 1.0, hint: *hint, ..NativeHistogram::default() };
            buffer.histograms.push((*time, Arc::new(histogram), 0));
        }
        buffer
    }

    fn hints(buffer: &SampleBuffer) -> Vec<CounterResetHint> {
        buffer.histograms.iter().map(|(_, histogram, _)| histogram.hint).collect()
    }

    use CounterResetHint::{Gauge, NotReset, Reset, Unknown};

    #[test]
    fn hints_are_those_of_storage_and_not_those_that_were_written() {
        let mut read = buffer(&[
            (1, 1.0, NotReset),
            (2, 2.0, Unknown),
            (3, 3.0, Reset),
            (4, 2.0, NotReset),
            (6, 3.0, Unknown),
            (7, 4.0, Gauge),
            (8, 5.0, NotReset),
        ]);
        read.push_float(5, 1.0, 0);
        prepare(&mut read, &SampleBuffer::default(), &Labels::empty()).unwrap();
        assert_eq!(hints(&read), [Unknown, NotReset, Unknown, Unknown, Unknown, Gauge, Unknown]);
        let mut read = buffer(&[(2, 2.0, Unknown)]);
        prepare(&mut read, &buffer(&[(1, 1.0, Unknown)]), &Labels::empty()).unwrap();
        assert_eq!(hints(&read), [NotReset]);
    }

    #[test]
    fn a_broken_histogram_is_an_error_that_says_where() {
        let mut read = SampleBuffer::default();
        let broken = NativeHistogram { positive_buckets: vec![1.0], ..NativeHistogram::default() };
        read.histograms.push((1, Arc::new(broken), 0));
        let error =
            prepare(&mut read, &SampleBuffer::default(), &Labels::from_pairs([("a", "b")])).unwrap_err();
        assert!(error.to_string().contains("1 positive buckets"), "{error}");
    }

    #[test]
    fn statistics_know_resets_within_a_stretch() {
        let mut read = buffer(&[(1, 5.0, Unknown), (2, 3.0, Unknown), (8, 4.0, Unknown), (9, 1.0, Gauge)]);
        reduce_to_statistics(&mut read, [(0, 2), (7, 9)].into_iter());
        assert_eq!(hints(&read), [Unknown, Reset, Unknown, Gauge]);
    }
}
