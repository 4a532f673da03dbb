//! Queries over a store that has a little of everything.

use std::sync::{Arc, OnceLock};

use crate::error::{ErrorKind, Result};
use crate::model::{
    CounterResetHint, Labels, Matcher, NativeHistogram, Sample, SampleValue, Span, Timestamp, Window,
    stale_marker,
};
use crate::promql::{Engine, Evaluation, QueryLimits};
use crate::source::{SelectRequest, SeriesSet, Source};
use crate::store::{AppendReport, Snapshot, Store, StoreOptions};

const SCRAPE_MS: i64 = 15_000;
const SCRAPES: i64 = 40;

/// The source without families.
struct Single<'a>(&'a Snapshot);

impl Source for Single<'_> {
    fn select(&self, request: &SelectRequest<'_>) -> Result<SeriesSet> {
        self.0.select(&SelectRequest::new(request.matchers, request.window))
    }

    fn label_values(&self, name: &str, matchers: &[Matcher], window: Window) -> Result<Vec<Arc<str>>> {
        self.0.label_values(name, matchers, window)
    }
}

/// Counters with resets, gauges with markers and odd floats, classic and native histograms; made once.
fn source() -> &'static Snapshot {
    static SOURCE: OnceLock<Snapshot> = OnceLock::new();
    SOURCE.get_or_init(|| {
        let store = Store::in_memory(StoreOptions::new());
        for scrape in 0..SCRAPES {
            let report = scraped(&store, scrape);
            assert!(report.is_ok_and(|report| report.refused.is_empty()), "the store takes every scrape");
        }
        store.snapshot()
    })
}

fn scraped(store: &Store, scrape: i64) -> Result<AppendReport> {
    let mut appender = store.appender();
    let time = Timestamp::from_millis(scrape * SCRAPE_MS);
    for x in 0..3_i64 {
        let labels = |name: &str, more: &[(&str, String)]| {
            let own = [("__name__", name.to_owned()), ("x", x.to_string()), ("job", "a".to_owned())];
            Labels::from_pairs(own.into_iter().chain(more.iter().cloned()))
        };
        let since_restart = (scrape + 7 * x) % 29;
        let gauge = match scrape % 11 {
            3 => f64::NAN,
            5 => stale_marker(),
            7 => f64::INFINITY,
            _ => (scrape - 20) as f64 / (x + 1) as f64,
        };
        let floats = [("c_total", (since_restart * (x + 1)) as f64), ("g", gauge), ("info", 1.0)];
        for (name, value) in floats {
            appender.append(&labels(name, &[]), Sample::float(time, value))?;
        }
        for (index, le) in ["0.1", "1", "10", "+Inf"].into_iter().enumerate() {
            let value = (since_restart * (index as i64 + 1)) as f64;
            appender.append(&labels("h_bucket", &[("le", le.to_owned())]), Sample::float(time, value))?;
        }
        appender.append(&labels("h_count", &[]), Sample::float(time, (since_restart * 4) as f64))?;
        appender.append(&labels("h_sum", &[]), Sample::float(time, since_restart as f64 * 1.5))?;
        let histogram = NativeHistogram {
            hint: CounterResetHint::Unknown,
            schema: x as i32,
            zero_threshold: 0.001,
            zero_count: since_restart as f64,
            count: (since_restart * 4) as f64,
            sum: since_restart as f64,
            positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 2, length: 1 }],
            positive_buckets: vec![since_restart as f64; 3],
            ..NativeHistogram::default()
        };
        let value = SampleValue::Histogram(Arc::new(histogram));
        appender.append(&labels("n", &[]), Sample { timestamp: time, value, start: None })?;
    }
    appender.commit()
}

/// Two answers say the same, apart from limits, which ways may reach at different times.
fn assert_same(text: &str, one: &Result<Evaluation>, other: &Result<Evaluation>) {
    let is_limit =
        |answer: &Result<Evaluation>| answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Limit);
    if !is_limit(one) && !is_limit(other) {
        assert_eq!(format!("{one:?}"), format!("{other:?}"), "{text:?}");
    }
}

pub(super) fn assert_evaluates(text: &str) {
    let mut limits = QueryLimits::default().samples(100_000).memory_bytes(16 << 20);
    (limits.subquery_points, limits.window_ms) = (1_000, 100 * 86_400_000);
    let engine = Engine::new().experimental(true).limits(limits);
    let Ok(query) = engine.prepare(text) else { return };
    let (start, end) = (Timestamp::from_millis(200_000), Timestamp::from_millis(620_000));
    let instant = engine.instant(source(), &query, end);
    assert_same(text, &instant, &engine.instant(&Single(source()), &query, end));
    assert_same(text, &instant, &engine.analyze(source(), &query, end).map(|(evaluation, _)| evaluation));
    let range = engine.range(source(), &query, start, end, 35_000);
    assert_same(text, &range, &engine.range(&Single(source()), &query, start, end, 35_000));
    // Whatever can be planned can be told.
    if instant.is_ok() {
        assert!(engine.explain(&query, end).is_ok(), "{text:?} is evaluated and not explained");
    }
}
