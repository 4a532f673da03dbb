//! Parse and evaluate what a canary gate asks: one canary inside a store of 50,000 series.
//!
//! The limit beside each case is the budget of the design for CPU time of one thread.

#![expect(missing_docs, reason = "the macro of criterion makes a public function")]
#![expect(clippy::unwrap_used, reason = "a benchmark that fails should stop")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use promgate::{
    Engine, Limits, NativeHistogram, QueryLimits, Sample, SampleValue, Snapshot, Span, Store, StoreOptions,
    Timestamp,
};

#[path = "workload/mod.rs"]
mod workload;
use workload::measurement::OnCore;
use workload::pods::{Numbers, PODS, SCRAPE_MS, SCRAPES, labels, store};

fn queries(criterion: &mut Criterion<OnCore>) {
    let snapshot = store(PODS).snapshot();
    let engine = Engine::new().limits(QueryLimits::unlimited());
    let end = Timestamp::from_millis((SCRAPES - 1) * SCRAPE_MS);
    let canary = "hotrod_pod_hash=\"00000101\"";
    let quantile =
        format!("histogram_quantile(0.95, sum by (le) (rate(duration_milliseconds_bucket{{{canary}}}[2m])))");
    let errors = format!(
        "sum(rate(calls_total{{{canary},status_code=\"STATUS_CODE_ERROR\"}}[2m])) / \
         sum(rate(calls_total{{{canary}}}[2m]))"
    );
    let traffic = format!("sum(rate(calls_total{{{canary}}}[2m]))");
    let by_service =
        "histogram_quantile(0.95, sum by (service_name, le) (rate(duration_milliseconds_bucket[2m])))";
    let mut group = criterion.benchmark_group("promql");
    for (name, text) in [
        ("parse, p95 (limit 5 us)", quantile.as_str()),
        ("parse, error ratio (limit 5 us)", errors.as_str()),
        ("parse, traffic (limit 5 us)", traffic.as_str()),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| black_box(engine.prepare(text).unwrap())));
    }
    let instants = [
        ("one canary, p95 [2m] (limit 20 us)", quantile.as_str()),
        ("one canary, error ratio [2m] (limit 20 us)", errors.as_str()),
        ("one canary, traffic [2m] (limit 20 us)", traffic.as_str()),
        ("all services, p95 [2m], 50k series (limit 2 ms)", by_service),
    ];
    for (name, text) in instants {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let query = engine.prepare(text).unwrap();
                black_box(engine.instant(&snapshot, &query, end).unwrap())
            });
        });
    }
    group.sample_size(10);
    let start = end.minus_millis(3_600_000);
    let ranges = [
        ("one canary, p95 [2m], 1 h in 241 steps", quantile.as_str()),
        ("all services, p95 [2m], 1 h in 241 steps, 50k series (limit 200 ms)", by_service),
    ];
    for (name, text) in ranges {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let query = engine.prepare(text).unwrap();
                black_box(engine.range(&snapshot, &query, start, end, 15_000).unwrap())
            });
        });
    }
    drop(snapshot);
    // What grows with the store, and what does not.
    for (pods, series) in [(46, "1k"), (23_000, "502k")] {
        let snapshot = store(pods).snapshot();
        let own = quantile.replace("00000101", "00000005");
        let limits = if series == "502k" { " (limit 25 ms)" } else { "" };
        for (name, text) in [
            (format!("one canary among {series} series, p95 [2m] (limit 20 us)"), own.as_str()),
            (format!("all services, p95 [2m], {series} series{limits}"), by_service),
        ] {
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    let query = engine.prepare(text).unwrap();
                    black_box(engine.instant(&snapshot, &query, end).unwrap())
                });
            });
        }
    }
    let native = native_store();
    let text = "histogram_quantile(0.95, sum by (service_name) (rate(duration[2m])))";
    let query = engine.prepare(text).unwrap();
    group.bench_function("all services, native p95 [2m], 1k series of 40 buckets", |bencher| {
        bencher.iter(|| black_box(engine.instant(&native, &query, end).unwrap()));
    });
    group.bench_function("all services, native p95 [2m], 1k series, 1 h in 241 steps", |bencher| {
        bencher.iter(|| black_box(engine.range(&native, &query, start, end, 15_000).unwrap()));
    });
    group.finish();
}

/// What several threads make of wide queries: the time on the wall.
fn threads(criterion: &mut Criterion) {
    let snapshot = store(23_000).snapshot();
    let end = Timestamp::from_millis((SCRAPES - 1) * SCRAPE_MS);
    let start = end.minus_millis(3_600_000);
    let mut group = criterion.benchmark_group("promql threads");
    group.sample_size(10);
    for threads in [1, 2] {
        let engine = Engine::new().limits(QueryLimits::unlimited()).threads(threads);
        let by_service = "sum by (service_name, le) (rate(duration_milliseconds_bucket[2m]))";
        for (name, text) in [
            ("all services, rates of buckets [2m], 502k series", by_service),
            (
                "all services, rates of calls [2m], 23k series",
                "sum by (service_name) (rate(calls_total[2m]))",
            ),
        ] {
            let query = engine.prepare(text).unwrap();
            group.bench_function(format!("{name}, {threads} threads"), |bencher| {
                bencher.iter(|| black_box(engine.instant(&snapshot, &query, end).unwrap()));
            });
            group.bench_function(format!("{name}, 1 h in 241 steps, {threads} threads"), |bencher| {
                bencher.iter(|| black_box(engine.range(&snapshot, &query, start, end, 15_000).unwrap()));
            });
        }
    }
    group.finish();
}

/// Native histograms of 1,000 pods, each with 40 buckets, 30 of which grow.
fn native_store() -> Snapshot {
    let mut limits = Limits::default();
    limits.sample_bytes = 1 << 30;
    let store = Store::in_memory(StoreOptions::new().limits(limits));
    let mut numbers = Numbers(11);
    let mut buckets = vec![[0.0_f64; 40]; 1_000];
    for scrape in 0..SCRAPES {
        let mut appender = store.appender();
        for (pod, buckets) in buckets.iter_mut().enumerate() {
            buckets.iter_mut().skip(5).take(30).for_each(|bucket| *bucket += numbers.next(4) as f64);
            let count = buckets.iter().sum();
            let histogram = NativeHistogram {
                schema: 3,
                zero_threshold: 1e-128,
                count,
                sum: count * 1.7,
                positive_spans: vec![Span { offset: -4, length: 40 }],
                positive_buckets: buckets.to_vec(),
                ..NativeHistogram::default()
            };
            let sample = Sample {
                timestamp: Timestamp::from_millis(scrape * SCRAPE_MS + pod as i64 % SCRAPE_MS),
                value: SampleValue::Histogram(Arc::new(histogram)),
                start: None,
            };
            appender.append(&labels("duration", pod, None), sample).unwrap();
        }
        appender.commit().unwrap();
    }
    store.snapshot()
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(OnCore);
    targets = queries
}
criterion_group!(on_the_wall, threads);
criterion_main!(benches, on_the_wall);
