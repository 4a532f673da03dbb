//! Queries over many series have one answer, to the last bit and the last word, however many threads evaluate them.

#![expect(clippy::unwrap_used, reason = "a test that fails should stop")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use promgate::{
    CancellationToken, Engine, ErrorKind, Evaluation, Labels, NativeHistogram, QueryLimits, Result, Sample,
    SampleValue, Snapshot, Span, Store, StoreOptions, Timestamp, Value, stale_marker,
};

const SERIES: u32 = 4_500;
const SCRAPES: i64 = 12;

/// Numbers by a seed: SplitMix64.
fn draw(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

fn native(count: f64, gauge: bool) -> SampleValue {
    let hint = if gauge { promgate::CounterResetHint::Gauge } else { promgate::CounterResetHint::Unknown };
    SampleValue::Histogram(Arc::new(NativeHistogram {
        hint,
        count,
        sum: count * 1.5,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_buckets: vec![count - 1.0, 1.0],
        ..NativeHistogram::default()
    }))
}

/// Counters with resets and markers, gauges, native histograms among them from some place on, and classic histograms.
fn snapshot() -> Snapshot {
    let store = Store::in_memory(StoreOptions::new());
    let mut appender = store.appender();
    for number in 0..SERIES {
        let (pod, job) = (format!("p{number:05}"), format!("j{}", number % 7));
        let labels = |name: &str| Labels::from_pairs([("__name__", name), ("pod", &pod), ("job", &job)]);
        let bucket = |bound: &str| {
            let pairs =
                [("__name__", "latency_bucket"), ("pod", pod.as_str()), ("job", job.as_str()), ("le", bound)];
            Labels::from_pairs(pairs)
        };
        let (mut count, mut counts) = (0.0, [0.0; 3]);
        for scrape in 0..SCRAPES {
            let chance = draw(u64::from(number) << 8 | scrape as u64);
            let at = Timestamp::from_millis(scrape * 15_000 + i64::from(number % 11));
            count = if chance.is_multiple_of(31) { 0.0 } else { count + (chance % 1_000) as f64 / 7.0 };
            let value = if chance.is_multiple_of(37) { stale_marker() } else { count };
            appender.append(&labels("requests_total"), Sample::float(at, value)).unwrap();
            appender.append(&labels("temperature"), Sample::float(at, count.sin())).unwrap();
            let size = SampleValue::Float(count);
            let size = if number % 900 == 899 { native(count + 2.0, number.is_multiple_of(2)) } else { size };
            appender.append(&labels("size"), Sample { timestamp: at, value: size, start: None }).unwrap();
            counts = if chance.is_multiple_of(29) { [0.0; 3] } else { counts.map(|count| count + 1.0) };
            let cumulative = [counts[0], counts[0] + counts[1] * 2.0, counts[2] * 4.0];
            for (bound, value) in ["0.1", "1", "+Inf"].iter().zip(cumulative) {
                appender.append(&bucket(bound), Sample::float(at, value)).unwrap();
            }
        }
    }
    appender.commit().unwrap();
    store.snapshot()
}

/// Everything of an answer: bits of floats, order, annotations, and what was refused.
fn told(answer: &Result<Evaluation>) -> String {
    match answer {
        Ok(Evaluation { value, annotations, .. }) => {
            let mut text = format!("{annotations:?}\n");
            let mut add = |labels: &Labels, at: Timestamp, value: &SampleValue| {
                let value = match value {
                    SampleValue::Float(value) => format!("{:016x}", value.to_bits()),
                    SampleValue::Histogram(histogram) => format!("{histogram:?}"),
                };
                text.push_str(&format!("{labels} {at} {value}\n"));
            };
            match value {
                Value::Vector(vector) => {
                    vector.iter().for_each(|series| add(&series.labels, series.timestamp, &series.value));
                }
                Value::Matrix(matrix) => {
                    for series in matrix {
                        let samples = &series.samples;
                        for (time, value) in samples.times.iter().zip(&samples.values) {
                            add(&series.labels, Timestamp::from_millis(*time), &SampleValue::Float(*value));
                        }
                        for (time, histogram, _) in &samples.histograms {
                            let value = SampleValue::Histogram(histogram.clone());
                            add(&series.labels, Timestamp::from_millis(*time), &value);
                        }
                    }
                }
                other => text.push_str(&format!("{other:?}")),
            }
            text
        }
        Err(error) => format!("{:?}: {error}", error.kind()),
    }
}

fn evaluate(engine: &Engine, snapshot: &Snapshot, query: &str, is_range: bool) -> Result<Evaluation> {
    let query = engine.prepare(query).unwrap();
    let at = |seconds: i64| Timestamp::from_secs(seconds);
    match is_range {
        false => engine.instant(snapshot, &query, at(170)),
        true => engine.range(snapshot, &query, at(60), at(180), 3_000),
    }
}

const QUERIES: [&str; 22] = [
    "requests_total",
    "sum by (job) (rate(requests_total[2m]))",
    "sum(increase(requests_total[1m]))",
    "topk(5, rate(requests_total[1m]))",
    "avg by (job) (temperature)",
    "stddev(avg_over_time(temperature[1m]))",
    "quantile_over_time(0.9, temperature[2m])",
    // A warning for every series.
    "sum(quantile_over_time(1.5, temperature[1m]))",
    "quantile by (job) (0.95, deriv(temperature[1m]))",
    // A note for every series.
    "sum by (job) (rate(temperature[1m]))",
    // Mixed and native samples, of which some need what was stored before.
    "sum by (job) (rate(size[1m]))",
    "count(sum_over_time(size[1m]))",
    "last_over_time(size[30s])",
    "sum(size)",
    "changes(size[1m])",
    // Rows of histograms.
    "sum by (le) (rate(latency_bucket[1m]))",
    "histogram_quantile(0.9, sum by (job, le) (rate(latency_bucket[1m])))",
    "sum without (pod) (increase(latency_bucket[45s]))",
    // What cannot be.
    "double_exponential_smoothing(temperature[1m], 2, 0.5)",
    "sum by (job) (max_over_time(sum by (job, pod) (requests_total)[1m:30s]))",
    "rate({__name__=~\"temperature|requests_total\"}[1m])",
    "sum(requests_total offset 30s) / sum(requests_total @ 100)",
];

#[test]
fn answers_errors_and_annotations_are_those_of_one_thread() {
    let snapshot = snapshot();
    let limits = QueryLimits::unlimited();
    for query in QUERIES {
        for is_range in [false, true] {
            let engine = Engine::new().limits(limits.clone()).experimental(true);
            let alone = told(&evaluate(&engine, &snapshot, query, is_range));
            for threads in [2, 4] {
                let answer = evaluate(&engine.clone().threads(threads), &snapshot, query, is_range);
                assert!(told(&answer) == alone, "{query} differs by {threads} threads, range {is_range}");
            }
        }
    }
}

#[test]
fn limits_are_reached_where_one_thread_reaches_them() {
    let snapshot = snapshot();
    let unlimited = QueryLimits::unlimited();
    let mut refused = 0;
    let queries = [(1, false), (6, false), (0, false), (16, false), (16, true)];
    for (query, is_range) in queries.map(|(number, is_range)| (QUERIES[number], is_range)) {
        for share in 1..24_u64 {
            for limits in [
                unlimited.clone().samples(share * 2_500),
                unlimited.clone().memory_bytes(share * 30_000),
                unlimited.clone().series(share * 1_000),
            ] {
                let engine = Engine::new().limits(limits.clone());
                let alone = told(&evaluate(&engine, &snapshot, query, is_range));
                let together = told(&evaluate(&engine.threads(2), &snapshot, query, is_range));
                refused += u64::from(alone.starts_with("Limit"));
                assert!(alone == together, "{query} under {limits:?}: {:.200}, not {:.200}", together, alone);
            }
        }
    }
    assert!((20..200).contains(&refused), "{refused} of 345 are refused");
}

#[test]
fn an_evaluation_by_threads_can_be_stopped() {
    let snapshot = snapshot();
    let token = CancellationToken::new();
    token.cancel();
    let engine = Engine::new().limits(QueryLimits::unlimited()).threads(3);
    let error = evaluate(&engine.clone().cancellation(token), &snapshot, QUERIES[1], true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Canceled);
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    let late = engine.deadline(move || count.fetch_add(1, Ordering::Relaxed) > 20);
    let error = evaluate(&late, &snapshot, QUERIES[1], true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    // A worker more or less notices it.
    assert!(asked.load(Ordering::Relaxed) < 60);
}

#[test]
fn threads_work_for_what_is_wide_and_for_nothing_else() {
    let snapshot = snapshot();
    let engine = Engine::new().limits(QueryLimits::unlimited()).threads(2);
    let threads = |query: &str| {
        let query = engine.prepare(query).unwrap();
        let (_, analysis) = engine.analyze(&snapshot, &query, Timestamp::from_secs(170)).unwrap();
        let threads: Vec<u64> = analysis.operators.iter().map(|operator| operator.threads).collect();
        (threads, analysis.to_string())
    };
    let (wide, text) = threads("sum(rate(requests_total[1m]))");
    assert_eq!(wide, [0, 2]);
    assert!(text.contains("of 4500 series, by 2 threads\n"), "{text}");
    assert_eq!(threads("sum by (le) (rate(latency_bucket[1m]))").0[0], 2);
    assert_eq!(threads("sum(rate(requests_total{job=\"j1\"}[1m]))").0, [0, 0]);
    assert_eq!(threads("vector(1)").0, [0, 0]);
}
