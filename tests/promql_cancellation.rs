//! A query stops soon after its token is set or its deadline has passed, and says so in Prometheus's words.

#![expect(clippy::unwrap_used, reason = "a test that fails should stop")]
#![expect(clippy::disallowed_methods, reason = "one test measures how long a query goes on")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use promgate::{
    CancellationToken, Engine, ErrorKind, Item, Labels, QueryLimits, Result, SampleBuffer, SelectRequest,
    Series, SeriesSet, Source, Timestamp,
};

const STEP_MS: i64 = 1_000;

/// Series in memory, all of which are selected; `selected` is called when they have been.
struct Fixture {
    items: Vec<Item>,
    selected: Box<dyn Fn() + Send + Sync>,
}

impl Fixture {
    fn new(series: usize, samples: i64) -> Self {
        let mut buffer = SampleBuffer::default();
        for index in 0..samples {
            buffer.push_float(index * STEP_MS, (index % 100) as f64, 0);
        }
        let name = |index| Labels::from_pairs([("__name__", "m".to_owned()), ("x", format!("{index:05}"))]);
        let series = (0..series).map(|index| Item::Series(Series::from_samples(name(index), buffer.clone())));
        Self { items: series.collect(), selected: Box::new(|| ()) }
    }
}

impl Source for Fixture {
    fn select(&self, _request: &SelectRequest<'_>) -> Result<SeriesSet> {
        (self.selected)();
        Ok(SeriesSet { items: self.items.clone() })
    }
}

/// Queries that look at every sample, in windows or step by step.
const SCANS: [&str; 14] = [
    "sum(rate(m[1m]))",
    "max_over_time(m[1m])",
    "quantile_over_time(0.9, m[1m])",
    "deriv(m[1m])",
    "sum(m)",
    "topk(3, m)",
    "quantile(0.5, m)",
    "m * 2",
    "m + on (x) m",
    "m unless on (x) m",
    "count_values(\"v\", m)",
    "-abs(m)",
    "label_replace(m, \"y\", \"$1\", \"x\", \"(.*)\")",
    "avg_over_time(m[30s:1s])",
];

fn engine() -> Engine {
    Engine::new().limits(QueryLimits::unlimited())
}

fn evaluate(engine: &Engine, source: &Fixture, text: &str, seconds: i64) -> Result<()> {
    let query = engine.prepare(text)?;
    let end = Timestamp::from_millis(seconds * STEP_MS);
    engine.range(source, &query, Timestamp::from_millis(0), end, STEP_MS).map(drop)
}

#[test]
fn a_deadline_is_asked_for_at_least_every_1024_samples() {
    // Whatever is done to a whole series at once is done to no more than this.
    let (series, samples) = (60, 1_024);
    let source = Fixture::new(series, samples);
    for text in SCANS {
        let asked = Arc::new(AtomicU64::new(0));
        let counter = asked.clone();
        let engine = engine().deadline(move || {
            counter.fetch_add(1, Ordering::Relaxed);
            false
        });
        evaluate(&engine, &source, text, samples).unwrap();
        let asked = asked.load(Ordering::Relaxed);
        assert!(asked >= series as u64, "{text}: {asked}");
    }
}

#[test]
fn a_query_stops_the_first_time_that_its_deadline_has_passed() {
    let source = Fixture::new(20, 2_000);
    for text in SCANS {
        // At the beginning, in the middle, and wherever it is then.
        for allowed in [0, 1, 2, 5, 11, 23] {
            let asked = Arc::new(AtomicU64::new(0));
            let counter = asked.clone();
            let engine = engine().deadline(move || counter.fetch_add(1, Ordering::Relaxed) >= allowed);
            let error = evaluate(&engine, &source, text, 2_000).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{text}");
            let phase = if allowed == 0 { "query execution" } else { "expression evaluation" };
            assert_eq!(error.to_string(), format!("query timed out in {phase}"));
            assert_eq!(asked.load(Ordering::Relaxed), allowed + 1, "{text}");
        }
    }
}

#[test]
fn a_query_that_is_canceled_while_it_selects_looks_at_no_series() {
    let token = CancellationToken::new();
    let mut source = Fixture::new(3, 10);
    let other = token.clone();
    source.selected = Box::new(move || other.cancel());
    let engine = engine().cancellation(token.clone());
    let error = evaluate(&engine, &source, "sum(rate(m[1m]))", 10).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Canceled);
    assert_eq!(error.to_string(), "query was canceled in expression evaluation");
    assert!(token.is_canceled());
    let error = evaluate(&engine, &source, "1", 10).unwrap_err();
    assert_eq!(error.to_string(), "query was canceled in query execution");
}

/// How long a query goes on after it is canceled; `None` if it was done before.
fn lateness(source: &Fixture, text: &str, after_ms: u64, samples: i64) -> Option<Duration> {
    let token = CancellationToken::new();
    let engine = engine().cancellation(token.clone());
    std::thread::scope(|scope| {
        let setter = scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(after_ms));
            token.cancel();
            Instant::now()
        });
        let error = evaluate(&engine, source, text, samples).err()?;
        let returned = Instant::now();
        assert_eq!(error.kind(), ErrorKind::Canceled);
        Some(returned.saturating_duration_since(setter.join().unwrap()))
    })
}

/// How long a query goes on after its token was set by another thread. Of every query the quickest of some runs counts, since
/// other work on the machine can only add to it.
#[test]
#[ignore = "measures time: cargo test --release --test promql_cancellation -- --ignored --nocapture"]
fn a_scan_of_five_million_samples_stops_within_ten_milliseconds() {
    let (series, samples) = (500, 10_000);
    let source = Fixture::new(series, samples);
    let mut late = Vec::new();
    for text in SCANS {
        for after in [1, 5, 20, 50, 100] {
            late.extend(
                (0..7).filter_map(|_| lateness(&source, text, after, samples)).min().map(|late| (late, text)),
            );
        }
    }
    late.sort();
    let percentile = late[late.len() * 95 / 100].0;
    println!("{} canceled, p95 {percentile:?}, most {:?}", late.len(), late[late.len() - 1]);
    assert!(late.len() >= 50, "most queries were done before they could be canceled");
    assert!(percentile <= Duration::from_millis(10) && late[late.len() - 1].0 <= Duration::from_millis(50));
}
