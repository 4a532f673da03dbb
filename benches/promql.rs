//! Parse and evaluate what a canary gate asks: one canary inside a store of 50,000 series.
//!
//! The limit beside each case is the budget of the design for CPU time of one thread.

#![expect(clippy::disallowed_methods, reason = "the time on a core is read from a file")]
#![expect(missing_docs, reason = "the macro of criterion makes a public function")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that fails should stop")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, criterion_group, criterion_main};
use promgate::{
    Engine, Labels, Limits, NativeHistogram, QueryLimits, Sample, SampleValue, Snapshot, Span, Store,
    StoreOptions, Timestamp,
};

const PODS: usize = 2_300;
const SCRAPE_MS: i64 = 15_000;
/// An hour and the window before it.
const SCRAPES: i64 = 260;
const BOUNDS: [&str; 17] = [
    "2", "4", "6", "8", "10", "50", "100", "200", "400", "800", "1000", "1400", "2000", "5000", "10000",
    "15000", "+Inf",
];

/// A small generator of numbers, so that every run measures the same store.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

fn labels(name: &str, pod: usize, status: Option<&str>) -> Labels {
    let service = format!("service-{}", pod % 40);
    let hash = format!("{:08x}", pod / 4);
    let pod = format!("hotrod-{hash}-{pod}");
    let mut pairs = vec![
        ("__name__", name),
        ("hotrod_namespace", "hotrod"),
        ("hotrod_pod_hash", &hash),
        ("hotrod_pod_name", &pod),
        ("service_name", &service),
        ("span_kind", "SPAN_KIND_SERVER"),
    ];
    pairs.extend(status.map(|status| ("status_code", status)));
    Labels::from_pairs(pairs)
}

fn store() -> Snapshot {
    let mut limits = Limits::default();
    limits.sample_bytes = 1 << 30;
    let store = Store::in_memory(StoreOptions::new().limits(limits));
    let mut numbers = Numbers(7);
    let mut appender = store.appender();
    let families: Vec<_> = (0..PODS)
        .map(|pod| appender.family(&labels("duration_milliseconds", pod, None), &BOUNDS).unwrap())
        .collect();
    let calls: Vec<_> = (0..PODS)
        .flat_map(|pod| ["STATUS_CODE_UNSET", "STATUS_CODE_ERROR"].map(|status| (pod, status)))
        .map(|(pod, status)| appender.handle(&labels("calls_total", pod, Some(status))).unwrap())
        .collect();
    let mut buckets = vec![[0.0_f64; BOUNDS.len()]; PODS];
    let mut sums = vec![0.0_f64; PODS];
    let mut totals = vec![0.0_f64; calls.len()];
    for scrape in 0..SCRAPES {
        let mut appender = store.appender();
        for (pod, family) in families.iter().enumerate() {
            let time = Timestamp::from_millis(scrape * SCRAPE_MS + pod as i64 % SCRAPE_MS);
            let mut below = 0.0;
            for bucket in &mut buckets[pod] {
                below += numbers.next(3) as f64;
                *bucket += below;
            }
            sums[pod] += numbers.next(4_000) as f64;
            let count = buckets[pod][BOUNDS.len() - 1];
            appender.append_family(family, time, &buckets[pod], count, sums[pod]).unwrap();
        }
        for (index, handle) in calls.iter().enumerate() {
            let time = Timestamp::from_millis(scrape * SCRAPE_MS + (index as i64 / 2) % SCRAPE_MS);
            totals[index] += numbers.next(if index % 2 == 0 { 40 } else { 2 }) as f64;
            appender.append_to(handle, Sample::float(time, totals[index])).unwrap();
        }
        appender.commit().unwrap();
    }
    store.snapshot()
}

/// Time for which this thread was on a core, where the system tells: other work on the machine disturbs it little.
struct OnCore;

fn on_core() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

impl Measurement for OnCore {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        on_core()
    }

    fn end(&self, start: Duration) -> Duration {
        // What is not told would count as nothing.
        (on_core() - start).max(Duration::from_nanos(1))
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn queries(criterion: &mut Criterion<OnCore>) {
    let snapshot = store();
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
criterion_main!(benches);
