//! Classic histograms read as native ones with custom bounds.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Item, SelectRequest, Series, SeriesSet, Source};
use crate::error::Result;
use crate::model::label::{BUCKET_BOUND, METRIC_NAME};
use crate::model::{
    Labels, LabelsBuilder, Loss, MatchOp, Matcher, NativeHistogram, SampleBuffer, SeriesExemplars, Span,
    Window, is_stale, stale_marker,
};

/// A source whose classic histograms are also native ones with custom bounds, under the name without `_bucket`.
///
/// Every instant of `x_bucket`, `x_count` and `x_sum` with the same labels is one histogram `x` (Prometheus 3.15,
/// `load_with_nhcb`). Without `x_count` the highest bucket counts, without a bucket for infinity `x_count` stands for it. An
/// instant whose counts fall with the bound, or contradict `x_count`, is no histogram and is left out. Series that are
/// stored under the same labels come as they are instead. The classic series stay what they are.
///
/// ```
/// # use promgate::{CustomBuckets, Engine, Labels, Sample, Store, StoreOptions, Timestamp, Value};
/// let store = Store::in_memory(StoreOptions::new());
/// let mut appender = store.appender();
/// let at = Timestamp::from_millis(60_000);
/// for (bound, count) in [("1", 4.0), ("2", 8.0), ("+Inf", 8.0)] {
///     let labels = Labels::from_pairs([("__name__", "latency_bucket"), ("le", bound)]);
///     appender.append(&labels, Sample::float(at, count))?;
/// }
/// appender.commit()?;
/// let snapshot = store.snapshot();
///
/// let engine = Engine::new();
/// let query = engine.prepare("histogram_quantile(0.75, latency)")?;
/// let answer = engine.instant(&CustomBuckets::new(&snapshot), &query, at)?;
/// let Value::Vector(vector) = answer.value else { unreachable!() };
/// assert!(matches!(vector[0].value, promgate::SampleValue::Float(1.5)));
/// # Ok::<(), promgate::Error>(())
/// ```
pub struct CustomBuckets<'a> {
    source: &'a dyn Source,
}

const BUCKET: &str = "_bucket";
const SUFFIXES: [&str; 3] = [BUCKET, "_count", "_sum"];

/// The series of one classic histogram.
#[derive(Default)]
struct Classic {
    /// By upper bound.
    buckets: Vec<(f64, SampleBuffer)>,
    count: Option<SampleBuffer>,
    sum: Option<SampleBuffer>,
}

/// One instant of a classic histogram.
#[derive(Default)]
struct Row {
    /// Upper bounds and counts, rising by bound.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: Option<f64>,
    start: i64,
}

impl<'a> CustomBuckets<'a> {
    /// The histograms of this source, both ways.
    pub const fn new(source: &'a dyn Source) -> Self {
        Self { source }
    }

    /// The classic histograms whose labels, without bound and suffix, are accepted.
    fn classic(&self, request: &SelectRequest<'_>) -> Result<BTreeMap<Labels, Classic>> {
        let mut found: BTreeMap<Labels, Classic> = BTreeMap::new();
        let (names, others): (Vec<&Matcher>, Vec<&Matcher>) =
            request.matchers.iter().partition(|matcher| matcher.name() == METRIC_NAME);
        let (bounds, others): (Vec<&Matcher>, Vec<&Matcher>) =
            others.into_iter().partition(|matcher| matcher.name() == BUCKET_BOUND);
        if !bounds.iter().all(|matcher| matcher.matches("")) {
            return Ok(found);
        }
        let exact = names.iter().find(|matcher| matcher.op() == MatchOp::Equal);
        let exact = exact.and_then(|matcher| std::str::from_utf8(matcher.value()).ok());
        for suffix in SUFFIXES {
            // Only what has buckets is a histogram.
            if suffix != BUCKET && found.is_empty() {
                break;
            }
            let name = match exact {
                Some(name) => Matcher::equal(METRIC_NAME, &format!("{name}{suffix}")),
                None => Matcher::new(METRIC_NAME, MatchOp::Matches, format!(".+{suffix}"))?,
            };
            let matchers: Vec<Matcher> = others.iter().copied().cloned().chain([name]).collect();
            let set = self.source.select(&SelectRequest::new(&matchers, request.window))?;
            for item in &set.items {
                let Item::Series(series) = item else { continue };
                let Some(base) = series.labels().metric_name().strip_suffix(suffix) else { continue };
                if base.is_empty() || !names.iter().all(|matcher| matcher.matches(base)) {
                    continue;
                }
                let bound = series.labels().get(BUCKET_BOUND).unwrap_or("").parse::<f64>();
                let mut labels = LabelsBuilder::from_labels(series.labels());
                labels.set(METRIC_NAME, base);
                labels.remove(BUCKET_BOUND);
                let labels = labels.build();
                let mut samples = SampleBuffer::default();
                match (suffix, bound) {
                    (BUCKET, Ok(bound)) if bound > f64::NEG_INFINITY => {
                        series.read(request.window, &mut samples)?;
                        found.entry(labels).or_default().buckets.push((bound, samples));
                    }
                    (BUCKET, _) => {}
                    _ => {
                        if let Some(classic) = found.get_mut(&labels) {
                            series.read(request.window, &mut samples)?;
                            let slot = if suffix == "_count" { &mut classic.count } else { &mut classic.sum };
                            *slot = Some(samples);
                        }
                    }
                }
            }
        }
        Ok(found)
    }
}

impl Classic {
    /// The histograms, instant by instant.
    fn native(mut self) -> SampleBuffer {
        self.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.buckets.dedup_by(|next, kept| next.0 == kept.0);
        let mut rows: BTreeMap<i64, Row> = BTreeMap::new();
        for (bound, samples) in &self.buckets {
            for (index, (time, value)) in samples.times.iter().zip(&samples.values).enumerate() {
                let row = rows.entry(*time).or_default();
                row.buckets.push((*bound, *value));
                row.start = samples.starts.get(index).copied().unwrap_or(0);
            }
        }
        let mut fill = |samples: Option<SampleBuffer>, of: fn(&mut Row) -> &mut Option<f64>| {
            let samples = samples.unwrap_or_default();
            for (time, value) in samples.times.iter().zip(samples.values) {
                if let Some(row) = rows.get_mut(time) {
                    *of(row) = Some(value);
                }
            }
        };
        fill(self.count, |row| &mut row.count);
        fill(self.sum, |row| &mut row.sum);
        let mut native = SampleBuffer::default();
        for (time, row) in rows {
            let start = row.start;
            if let Some(histogram) = row.native() {
                native.histograms.push((time, Arc::new(histogram), start));
            }
        }
        native
    }
}

impl Row {
    fn native(mut self) -> Option<NativeHistogram> {
        let counts = self.buckets.iter().map(|(_, count)| *count);
        if counts.chain(self.count).chain(self.sum).any(is_stale) {
            return Some(NativeHistogram { schema: -53, sum: stale_marker(), ..NativeHistogram::default() });
        }
        let (highest, below) = *self.buckets.last()?;
        let count = self.count.unwrap_or(below);
        if highest < f64::INFINITY {
            self.buckets.push((f64::INFINITY, count));
        } else if below != count {
            return None;
        }
        let mut before = 0.0;
        let mut counts = Vec::with_capacity(self.buckets.len());
        for (_, cumulative) in &self.buckets {
            let own = cumulative - before;
            // NaN is no count either.
            if !own.is_finite() || own < 0.0 {
                return None;
            }
            counts.push(own);
            before = *cumulative;
        }
        let mut histogram = NativeHistogram {
            schema: -53,
            count,
            sum: self.sum.unwrap_or(0.0),
            positive_spans: vec![Span { offset: 0, length: u32::try_from(counts.len()).ok()? }],
            positive_buckets: counts,
            custom_values: self.buckets.iter().map(|(bound, _)| *bound).filter(|b| b.is_finite()).collect(),
            ..NativeHistogram::default()
        };
        histogram.compact();
        Some(histogram)
    }
}

impl Source for CustomBuckets<'_> {
    fn select(&self, request: &SelectRequest<'_>) -> Result<SeriesSet> {
        let mut set = self.source.select(request)?;
        let mut classic = self.classic(request)?;
        for item in &set.items {
            if let Item::Series(series) = item {
                classic.remove(series.labels());
            }
        }
        let native = classic.into_iter().map(|(labels, classic)| (labels, classic.native()));
        let native = native.filter(|(_, samples)| !samples.is_empty());
        set.items.extend(native.map(|(labels, samples)| Item::Series(Series::from_samples(labels, samples))));
        set.items.sort_by(|a, b| a.labels().cmp(b.labels()));
        Ok(set)
    }

    fn losses(&self, window: Window) -> Vec<Loss> {
        self.source.losses(window)
    }

    fn losses_of(&self, request: &SelectRequest<'_>) -> Vec<Loss> {
        // A histogram is made of series with other names, and with bounds.
        let is_kept = |matcher: &&Matcher| !matches!(matcher.name(), METRIC_NAME | BUCKET_BOUND);
        let matchers: Vec<Matcher> = request.matchers.iter().filter(is_kept).cloned().collect();
        self.source.losses_of(&SelectRequest::new(&matchers, request.window))
    }

    fn exemplars(&self, matchers: &[Matcher], window: Window) -> Result<Vec<SeriesExemplars>> {
        self.source.exemplars(matchers, window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;
    use crate::source::fixture::Fixture;

    fn series(name: &str, bound: &str, values: &[f64]) -> Series {
        let mut samples = SampleBuffer::default();
        for (time, value) in (1_i64..).zip(values) {
            samples.push_float(time, *value, 0);
        }
        Series::from_samples(Labels::from_pairs([("__name__", name), ("le", bound), ("job", "a")]), samples)
    }

    fn read(source: &dyn Source, matchers: &[Matcher]) -> Vec<(String, SampleBuffer)> {
        let window = Window::new(Timestamp::from_millis(0), Timestamp::from_millis(100));
        let set = CustomBuckets::new(source).select(&SelectRequest::new(matchers, window)).unwrap();
        set.items
            .iter()
            .map(|item| {
                let Item::Series(series) = item else { panic!() };
                let mut samples = SampleBuffer::default();
                series.read(window, &mut samples).unwrap();
                (series.labels().metric_name().to_owned(), samples)
            })
            .collect()
    }

    #[test]
    fn instants_of_a_classic_histogram_are_native_ones_under_its_name() {
        let source = Fixture(vec![
            series("x_bucket", "1", &[1.0, 2.0, stale_marker(), 3.0]),
            series("x_bucket", "+Inf", &[3.0, 4.0, 5.0, 2.0]),
            series("x_count", "", &[3.0, 4.0, 5.0, 2.0]),
            series("x_sum", "", &[2.5, 3.5, 4.5, 5.5]),
            series("y_count", "", &[1.0]),
        ]);
        let found = read(&source, &[Matcher::equal("__name__", "x")]);
        let [(name, samples)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(name, "x");
        // The last instant is none: fewer observations up to infinity than up to 1.
        let times: Vec<i64> = samples.histograms.iter().map(|(time, ..)| *time).collect();
        assert_eq!(times, [1, 2, 3]);
        let (_, first, _) = &samples.histograms[0];
        assert_eq!(first.to_string(), "{count:3, sum:2.5, [-Inf,1]:1, (1,+Inf]:2}");
        assert!(is_stale(samples.histograms[2].1.sum));
    }

    #[test]
    fn names_can_be_patterns_and_bounds_are_no_labels_any_more() {
        let source = Fixture(vec![series("x_bucket", "+Inf", &[1.0]), series("x", "", &[9.0])]);
        let pattern = Matcher::new("__name__", MatchOp::Matches, "x|z").unwrap();
        // What is stored under the same labels comes first.
        let found = read(&source, std::slice::from_ref(&pattern));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].1.values, [9.0]);
        let source = Fixture(vec![series("x_bucket", "+Inf", &[1.0])]);
        assert_eq!(read(&source, std::slice::from_ref(&pattern))[0].1.histograms.len(), 1);
        let bound = Matcher::equal("le", "+Inf");
        assert!(read(&source, &[pattern, bound]).is_empty());
    }
}
