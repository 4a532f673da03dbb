//! Samples by series, in the order in which a store takes them.

use std::sync::Arc;

use hashbrown::HashMap;

use super::exposition::{Exposition, ExpositionEntry, ExpositionExemplar, ExpositionOptions};
use super::limits::IntakeLimits;
#[cfg(feature = "recordings")]
use super::recordings::Recording;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Exemplar, Labels, NativeHistogram, SampleBuffer, Timestamp};

/// Gathers what bodies and files hold, so that every series can be handed on once, in time order.
///
/// Files come in any order: a dump goes series by series, a scrape time by time, an export spreads a series over
/// lines. A sample for a time that its series already has is dropped and counted; the first one stays, as in a scrape
/// of Prometheus.
///
/// ```
/// use promgate::{ExpositionOptions, Intake, Timestamp};
///
/// let options = ExpositionOptions::default();
/// let mut intake = Intake::default();
/// intake.add_exposition(b"up 1 2000\nup 0 1000\n", &options, None)?;
/// intake.add_exposition(b"up 1\nup 0\n", &options, Some(Timestamp::from_millis(3000)))?;
/// let gathered = intake.finish();
/// assert_eq!(gathered.series[0].1.times, [1000, 2000, 3000]);
/// assert_eq!(gathered.duplicates, 1);
/// # Ok::<(), promgate::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Intake {
    limits: IntakeLimits,
    index: HashMap<Labels, usize>,
    series: Vec<Gathering>,
    /// The series that the sample before went to: the next one often belongs to it, too.
    last: usize,
    samples: usize,
    exemplars: Vec<(Labels, Exemplar)>,
}

/// What an [`Intake`] has gathered.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Gathered {
    /// The series in label order, each once, each with its samples in time order.
    pub series: Vec<(Labels, SampleBuffer)>,
    /// Samples that were dropped because their series has one for the same time.
    pub duplicates: usize,
    /// Exemplars beside the labels of their series, in time order. One without a time of its own has that of its sample.
    pub exemplars: Vec<(Labels, Exemplar)>,
}

/// A series as it comes: in any order, times perhaps more than once.
#[derive(Debug)]
struct Gathering {
    labels: Labels,
    samples: Vec<(i64, Value, i64)>,
}

#[derive(Debug)]
enum Value {
    Float(f64),
    Histogram(Arc<NativeHistogram>),
}

impl Intake {
    /// An intake that holds no more than this.
    pub fn with_limits(limits: IntakeLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Adds the samples of an exposition; those without a time of their own take `timestamp`.
    ///
    /// # Errors
    ///
    /// What [`Exposition`] reports, with the line; [`ErrorKind::Parse`] for a sample without any time;
    /// [`ErrorKind::Limit`]. The samples before it stay.
    pub fn add_exposition(
        &mut self,
        body: &[u8],
        options: &ExpositionOptions,
        timestamp: Option<Timestamp>,
    ) -> Result<()> {
        for entry in Exposition::new(body, options)? {
            let ExpositionEntry::Sample(sample) = entry? else { continue };
            let Some(time) = sample.timestamp.or(timestamp) else {
                return Err(Error::new(
                    ErrorKind::Parse,
                    format!("line {}: the sample has no timestamp; give one for the whole body", sample.line),
                ));
            };
            let at = |error: Error| Error::new(error.kind(), format!("line {}: {error}", sample.line));
            if let Some(ExpositionExemplar { labels, value, timestamp }) = sample.exemplar {
                let exemplar = Exemplar { labels, value, timestamp: timestamp.unwrap_or(time) };
                self.add_exemplar(sample.labels.clone(), exemplar).map_err(at)?;
            }
            self.add(sample.labels, time.as_millis(), Value::Float(sample.value), 0).map_err(at)?;
        }
        Ok(())
    }

    /// Adds an exemplar of the series with these labels.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`] beyond `exemplars`.
    pub fn add_exemplar(&mut self, labels: Labels, exemplar: Exemplar) -> Result<()> {
        let exemplars = self.exemplars.len().saturating_add(1);
        IntakeLimits::check(exemplars, self.limits.exemplars, "exemplars", "exemplars")?;
        self.exemplars.push((labels, exemplar));
        Ok(())
    }

    /// Adds a recording: JSON lines, gzip-compressed or not.
    ///
    /// # Errors
    ///
    /// What [`Recording`] reports: the first line that cannot be read, and how many more. All other lines are in.
    #[cfg(feature = "recordings")]
    pub fn add_recording(&mut self, bytes: &[u8]) -> Result<()> {
        let recording = Recording::new(bytes, &self.limits)?;
        let mut first = None;
        let mut further = 0_usize;
        for series in &recording {
            let added = series.and_then(|series| {
                let line = series.line;
                let mut exemplars = series.exemplars.into_iter();
                exemplars
                    .try_for_each(|exemplar| self.add_exemplar(series.labels.clone(), exemplar))
                    .and_then(|()| self.add_series(series.labels, series.samples))
                    .map_err(|error| Error::new(error.kind(), format!("line {line}: {error}")))
            });
            match (added, &first) {
                (Ok(()), _) => {}
                (Err(error), None) => first = Some(error),
                (Err(_), Some(_)) => further = further.saturating_add(1),
            }
        }
        match first {
            None => Ok(()),
            Some(error) if further == 0 => Err(error),
            Some(error) => {
                Err(Error::new(error.kind(), format!("{error} (and {further} more lines cannot be read)")))
            }
        }
    }

    /// Adds samples of one series.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`] beyond `series` or `samples`.
    pub fn add_series(&mut self, labels: Labels, samples: SampleBuffer) -> Result<()> {
        let SampleBuffer { times, values, starts, histograms } = samples;
        let starts = starts.into_iter().chain(std::iter::repeat(0));
        for ((time, value), start) in times.into_iter().zip(values).zip(starts) {
            self.add(labels.clone(), time, Value::Float(value), start)?;
        }
        for (time, histogram, start) in histograms {
            self.add(labels.clone(), time, Value::Histogram(histogram), start)?;
        }
        Ok(())
    }

    fn add(&mut self, labels: Labels, time: i64, value: Value, start: i64) -> Result<()> {
        let samples = self.samples.saturating_add(1);
        IntakeLimits::check(samples, self.limits.samples, "samples", "samples")?;
        let known = self.series.get(self.last).is_some_and(|series| series.labels == labels);
        if !known {
            let fresh = self.series.len();
            self.last = *self.index.entry(labels.clone()).or_insert(fresh);
            if self.last == fresh {
                if let Err(error) =
                    IntakeLimits::check(fresh.saturating_add(1), self.limits.series, "series", "series")
                {
                    self.index.remove(&labels);
                    return Err(error);
                }
                self.series.push(Gathering { labels, samples: Vec::new() });
            }
        }
        if let Some(series) = self.series.get_mut(self.last) {
            series.samples.push((time, value, start));
            self.samples = samples;
        }
        Ok(())
    }

    /// How many samples have been taken, duplicates included.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The series in label order, their samples in time order.
    pub fn finish(self) -> Gathered {
        let mut all = self.series;
        all.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        let mut gathered = Gathered { exemplars: self.exemplars, ..Gathered::default() };
        gathered.exemplars.sort_by_key(|(_, exemplar)| exemplar.timestamp);
        for Gathering { labels, mut samples } in all {
            if !samples.is_sorted_by_key(|(time, ..)| *time) {
                // Stable: of several samples for one time the first stays first.
                samples.sort_by_key(|(time, ..)| *time);
            }
            let taken = samples.len();
            samples.dedup_by_key(|(time, ..)| *time);
            gathered.duplicates = gathered.duplicates.saturating_add(taken.saturating_sub(samples.len()));
            let mut buffer = SampleBuffer::default();
            for (time, value, start) in samples {
                match value {
                    Value::Float(value) => buffer.push_float(time, value, start),
                    Value::Histogram(histogram) => buffer.histograms.push((time, histogram, start)),
                }
            }
            gathered.series.push((labels, buffer));
        }
        gathered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::ExpositionFormat;

    fn floats(gathered: &Gathered) -> Vec<(String, Vec<(i64, f64)>)> {
        let pairs =
            |buffer: &SampleBuffer| buffer.times.iter().copied().zip(buffer.values.iter().copied()).collect();
        gathered.series.iter().map(|(labels, buffer)| (labels.to_string(), pairs(buffer))).collect()
    }

    #[test]
    fn series_come_in_label_order_and_samples_in_time_order() {
        let mut intake = Intake::default();
        let body = b"b 1 3\na 1 2\nb 2 1\na 2 1\nb 9 3\n";
        intake.add_exposition(body, &ExpositionOptions::default(), None).unwrap();
        assert_eq!(intake.samples(), 5);
        let gathered = intake.finish();
        assert_eq!(gathered.duplicates, 1);
        assert_eq!(
            floats(&gathered),
            [
                (r#"{__name__="a"}"#.to_owned(), vec![(1, 2.0), (2, 1.0)]),
                (r#"{__name__="b"}"#.to_owned(), vec![(1, 2.0), (3, 1.0)]),
            ]
        );
    }

    #[test]
    fn an_error_leaves_what_came_before_it() {
        let mut intake = Intake::default();
        let options = ExpositionOptions::default();
        let error = intake.add_exposition(b"a 1 1\nb 1\nc 1 1\n", &options, None).unwrap_err();
        assert_eq!(error.to_string(), "line 2: the sample has no timestamp; give one for the whole body");
        let cut = options.format(ExpositionFormat::OpenMetrics);
        assert!(intake.add_exposition(b"d 1 1\ne 1", &cut, None).is_err());
        let names: Vec<_> =
            intake.finish().series.iter().map(|(labels, _)| labels.metric_name().to_owned()).collect();
        assert_eq!(names, ["a", "d"]);
    }

    #[test]
    fn the_series_limit_counts_distinct_labels() {
        let limits = IntakeLimits { series: 1, ..IntakeLimits::default() };
        let mut intake = Intake::with_limits(limits);
        let error = intake.add_exposition(b"a 1 1\na 1 2\nb 1 1\n", &ExpositionOptions::default(), None);
        assert_eq!(error.unwrap_err().to_string(), "line 3: 2 series exceed the limit series of 1");
        assert_eq!(intake.samples(), 2);
        assert_eq!(intake.finish().series.len(), 1);
    }

    #[cfg(feature = "recordings")]
    #[test]
    fn a_recording_keeps_markers_and_histograms_and_names_its_bad_lines() {
        let mut intake = Intake::default();
        let lines = concat!(
            r#"{"metric":{"__name__":"a"},"values":[1,null],"timestamps":[20,30]}"#,
            "\nx\ny\n",
            r#"{"labels":{"__name__":"a"},"samples":[[10,{"count":"1"}],[40,"2"]]}"#,
        );
        let error = intake.add_recording(lines.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "line 2: expected value at column 1 (and 1 more lines cannot be read)");
        let gathered = intake.finish();
        let [(_, buffer)] = &*gathered.series else { panic!("{gathered:?}") };
        assert_eq!(buffer.times, [20, 30, 40]);
        assert!(crate::model::is_stale(buffer.values[1]));
        assert_eq!(buffer.histograms[0].0, 10);
    }
}
