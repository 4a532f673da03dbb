//! A source for tests: series written down, optionally broken.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    Exemplar, Labels, Loss, Matcher, NativeHistogram, SampleBuffer, SeriesExemplars, Timestamp, Window,
};
use crate::source::{Item, SelectRequest, Series, SeriesSet, Source};

/// Series in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fixture {
    series: Vec<(Labels, Vec<(i64, f64)>)>,
    broken: bool,
    losses: Vec<Loss>,
    exemplars: Vec<(Labels, Exemplar)>,
    natives: Vec<(Labels, Vec<(i64, NativeHistogram)>)>,
}

impl Fixture {
    /// The same source, failing at every question.
    pub(crate) fn broken(self) -> Self {
        Self { broken: true, ..self }
    }

    /// The same source, which knows of a loss.
    pub(crate) fn losing(mut self, loss: Loss) -> Self {
        self.losses.push(loss);
        self
    }

    /// Adds an exemplar of the series with these labels: the trace's id, value and time in seconds.
    pub(crate) fn exemplar(mut self, labels: &[(&str, &str)], (id, value, second): (&str, f64, i64)) -> Self {
        let labels = Labels::from_pairs(labels.iter().copied());
        let own = Labels::from_pairs([("trace_id", id)]);
        self.exemplars
            .push((labels, Exemplar { labels: own, value, timestamp: Timestamp::from_secs(second) }));
        self
    }

    /// Adds a series of native histograms, at seconds since the epoch, or puts them beside the floats of a series.
    pub(crate) fn native(
        mut self,
        labels: &[(&str, &str)],
        samples: impl IntoIterator<Item = (i64, NativeHistogram)>,
    ) -> Self {
        let labels = Labels::from_pairs(labels.iter().copied());
        let samples = samples.into_iter().map(|(seconds, value)| (seconds * 1000, value)).collect();
        self.natives.push((labels, samples));
        self
    }

    /// Adds a series: labels, then samples at seconds since the epoch.
    pub(crate) fn series(
        mut self,
        labels: &[(&str, &str)],
        samples: impl IntoIterator<Item = (i64, f64)>,
    ) -> Self {
        let labels =
            Labels::from_pairs(labels.iter().map(|(name, value)| (name.to_string(), value.to_string())));
        let samples = samples.into_iter().map(|(seconds, value)| (seconds * 1000, value)).collect();
        self.series.push((labels, samples));
        self.series.sort_by(|a, b| a.0.cmp(&b.0));
        self
    }
}

impl Source for Fixture {
    fn losses(&self, window: Window) -> Vec<Loss> {
        self.losses.iter().filter(|loss| !loss.acknowledged && loss.touches(window)).cloned().collect()
    }

    fn exemplars(&self, matchers: &[Matcher], window: Window) -> Result<Vec<SeriesExemplars>> {
        if self.broken {
            return Err(Error::new(ErrorKind::Io, "connection refused"));
        }
        let fits = |(labels, exemplar): &&(Labels, Exemplar)| {
            window.contains(exemplar.timestamp) && matchers.iter().all(|matcher| matcher.accepts(labels))
        };
        let found = self.exemplars.iter().filter(fits);
        Ok(found.map(|(labels, one)| SeriesExemplars::new(labels.clone(), vec![one.clone()])).collect())
    }

    fn select(&self, request: &SelectRequest<'_>) -> Result<SeriesSet> {
        if self.broken {
            return Err(Error::new(ErrorKind::Io, "connection refused"));
        }
        let mut set = SeriesSet::default();
        let histograms = |buffer: &mut SampleBuffer, samples: &[(i64, NativeHistogram)]| {
            let own = samples.iter().map(|(time, value)| (*time, Arc::new(value.clone()), 0));
            buffer.histograms.extend(own);
        };
        for (labels, samples) in &self.series {
            let fits = request.matchers.iter().all(|matcher| matcher.accepts(labels));
            let touches = samples.iter().any(|(time, _)| *time <= request.window.until.as_millis());
            if fits && touches {
                let mut buffer = SampleBuffer::default();
                for (time, value) in samples {
                    buffer.push_float(*time, *value, 0);
                }
                if let Some((_, beside)) = self.natives.iter().find(|(other, _)| other == labels) {
                    histograms(&mut buffer, beside);
                }
                set.items.push(Item::Series(Series::from_samples(labels.clone(), buffer)));
            }
        }
        let alone = |(labels, _): &&(Labels, Vec<_>)| self.series.iter().all(|(other, _)| other != labels);
        for (labels, samples) in self.natives.iter().filter(alone) {
            let fits = request.matchers.iter().all(|matcher| matcher.accepts(labels));
            if fits && samples.iter().any(|(time, _)| *time <= request.window.until.as_millis()) {
                let mut buffer = SampleBuffer::default();
                histograms(&mut buffer, samples);
                set.items.push(Item::Series(Series::from_samples(labels.clone(), buffer)));
            }
        }
        Ok(set)
    }
}
