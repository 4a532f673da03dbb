//! Gathered series into a store.

use crate::error::Result;
use crate::model::{Sample, SampleValue, Timestamp};
use crate::store::{AppendReport, Refusal, Store};

use super::intake::Gathered;

/// Samples in a commit, about: an instant is never divided, so that the columns of a histogram stay together.
const BATCH_SAMPLES: usize = 50_000;

impl Gathered {
    /// Appends everything to a store, instant by instant, as a scraper would have.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) when the store takes no more; what was committed before stays. What
    /// the store refuses sample by sample is in the report.
    pub fn append_to(&self, store: &Store) -> Result<AppendReport> {
        // (time, series, sample): floats are counted from 0 up, histograms follow them.
        let mut order: Vec<(i64, usize, usize)> = Vec::new();
        for (series, (_, samples)) in self.series.iter().enumerate() {
            let histograms = samples.histograms.iter().map(|(time, ..)| time);
            let times = samples.times.iter().chain(histograms);
            order.extend(times.enumerate().map(|(sample, time)| (*time, series, sample)));
        }
        order.sort_unstable();
        let mut report = AppendReport::default();
        let mut appender = store.appender();
        for instant in order.chunk_by(|(a, ..), (b, ..)| a == b) {
            if !appender.is_empty() && appender.len().saturating_add(instant.len()) > BATCH_SAMPLES {
                report.add(std::mem::replace(&mut appender, store.appender()).commit()?);
            }
            for (time, series, sample) in instant {
                let Some((labels, samples)) = self.series.get(*series) else { continue };
                let start = |millis: i64| (millis != 0).then(|| Timestamp::from_millis(millis));
                let (value, start) = match samples.values.get(*sample) {
                    Some(value) => {
                        let started = samples.starts.get(*sample).copied().unwrap_or(0);
                        (SampleValue::Float(*value), start(started))
                    }
                    None => {
                        let position = sample.saturating_sub(samples.values.len());
                        let Some((_, histogram, started)) = samples.histograms.get(position) else {
                            continue;
                        };
                        (SampleValue::Histogram(histogram.clone()), start(*started))
                    }
                };
                appender.append(labels, Sample { timestamp: Timestamp::from_millis(*time), value, start })?;
            }
        }
        report.add(appender.commit()?);
        // Behind the samples: by then there are the series that they belong to.
        for exemplars in self.exemplars.chunks(BATCH_SAMPLES) {
            let mut appender = store.appender();
            for (labels, exemplar) in exemplars {
                if let Err(error) = appender.append_exemplar(labels, exemplar.clone()) {
                    let (labels, timestamp) = (labels.clone(), exemplar.timestamp);
                    report.refused_exemplars.push(Refusal { labels, timestamp, error });
                }
            }
            report.add(appender.commit()?);
        }
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::{ExpositionOptions, Intake};
    use crate::model::{Labels, Matcher, SampleBuffer, Window};
    use crate::source::{Item, SelectRequest, Source};
    use crate::store::{Limits, StoreOptions};

    #[test]
    fn exemplars_of_a_scrape_come_with_their_series() {
        let body = concat!(
            "# TYPE h histogram\n",
            "h_bucket{le=\"1.0\"} 1 # {trace_id=\"fast\"} 0.5 8.5\n",
            "h_bucket{le=\"+Inf\"} 2 # {trace_id=\"slow\"} 3\n",
            "# EOF\n",
        );
        let long = format!("a_total 1 # {{trace_id=\"{}\"}} 1\n# EOF\n", "x".repeat(200));
        let mut intake = Intake::default();
        let options = ExpositionOptions::default();
        for body in [body, &long] {
            intake.add_exposition(body.as_bytes(), &options, Some(Timestamp::from_secs(9))).unwrap();
        }
        let limits = Limits { exemplars: 10, ..Limits::default() };
        let store = Store::in_memory(StoreOptions::new().limits(limits));
        let report = intake.finish().append_to(&store).unwrap();
        assert_eq!((report.exemplars, report.refused_exemplars.len(), report.refused.len()), (2, 1, 0));
        let matchers = [Matcher::equal("__name__", "h_bucket")];
        let found = store.snapshot().exemplars(&matchers, Window::ALL).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|series| (series.labels.get("le").unwrap(), &series.exemplars[0]))
            .map(|(bound, own)| (bound, own.trace_id().unwrap(), own.value, own.timestamp.as_millis()))
            .collect();
        assert_eq!(found, [("+Inf", "slow", 3.0, 9_000), ("1.0", "fast", 0.5, 8_500)]);
    }

    #[test]
    fn series_that_come_one_by_one_make_rows() {
        let mut intake = Intake::default();
        for bound in ["1", "+Inf"] {
            let labels = Labels::from_pairs([("__name__", "h_bucket"), ("le", bound)]);
            let mut samples = SampleBuffer::default();
            for time in 1..=3_i32 {
                samples.push_float(i64::from(time), f64::from(time), 0);
            }
            intake.add_series(labels, samples).unwrap();
        }
        let store = Store::in_memory(StoreOptions::new());
        let report = intake.finish().append_to(&store).unwrap();
        assert_eq!((report.appended, report.refused.len()), (6, 0));
        let matchers = [Matcher::equal("__name__", "h_bucket")];
        let request = SelectRequest::new(&matchers, Window::ALL).with_families();
        let set = store.snapshot().select(&request).unwrap();
        assert!(matches!(set.items.as_slice(), [Item::Family(family)] if family.bounds().len() == 2));
    }
}
