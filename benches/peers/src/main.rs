//! promgate and tsink on the same data: what a scrape costs, what memory it takes, and what the queries of a canary gate cost.
//!
//! The data are those of promgate's own benches: pods with a classic histogram of 17 buckets and two counters each, one hour
//! and the window before it, scraped every 15 s. Times are CPU time of the whole process, the least of several: whoever uses
//! threads pays for them. The answers of both are compared.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use cpu_time::ProcessTime;
use promgate::{Engine, Labels, Limits, QueryLimits, Sample, Store, StoreOptions, Timestamp, Value};
use tsink::promql::{Engine as TsinkEngine, PromqlValue};
use tsink::{DataPoint, Label, Row, Storage, StorageBuilder, TimestampPrecision};

type Failure = Box<dyn std::error::Error>;

const BASE_MS: i64 = 1_700_000_000_000;
const SCRAPE_MS: i64 = 15_000;
const SCRAPES: i64 = 260;
const BOUNDS: [&str; 17] = [
    "2", "4", "6", "8", "10", "50", "100", "200", "400", "800", "1000", "1400", "2000", "5000", "10000",
    "15000", "+Inf",
];
const STATUSES: [&str; 2] = ["STATUS_CODE_UNSET", "STATUS_CODE_ERROR"];
/// Each pod has buckets, a count, a sum and two counters.
const SERIES_OF_POD: usize = BOUNDS.len() + 2 + STATUSES.len();

/// A small generator of numbers, so that both have the same data in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// What a scrape of all pods says.
#[derive(Clone)]
struct Scrape {
    buckets: Vec<[f64; BOUNDS.len()]>,
    sums: Vec<f64>,
    calls: Vec<[f64; STATUSES.len()]>,
}

/// The scrapes one after the other.
struct Scrapes {
    numbers: Numbers,
    state: Scrape,
}

impl Scrapes {
    fn new(pods: usize) -> Self {
        let state = Scrape {
            buckets: vec![[0.0; BOUNDS.len()]; pods],
            sums: vec![0.0; pods],
            calls: vec![[0.0; STATUSES.len()]; pods],
        };
        Self { numbers: Numbers(7), state }
    }

    fn next(&mut self) -> &Scrape {
        let Self { numbers, state } = self;
        for (buckets, sum) in state.buckets.iter_mut().zip(&mut state.sums) {
            let mut below = 0.0;
            for bucket in buckets {
                below += numbers.next(3) as f64;
                *bucket += below;
            }
            *sum += numbers.next(4_000) as f64;
        }
        for calls in &mut state.calls {
            for (calls, most) in calls.iter_mut().zip([40, 2]) {
                *calls += numbers.next(most) as f64;
            }
        }
        state
    }
}

fn time_of(scrape: i64, pod: usize) -> i64 {
    BASE_MS + scrape * SCRAPE_MS + pod as i64 % SCRAPE_MS
}

fn pairs(pod: usize, more: Option<(&'static str, &'static str)>) -> Vec<(&'static str, String)> {
    let hash = format!("{:08x}", pod / 4);
    let mut pairs = vec![
        ("hotrod_namespace", "hotrod".to_owned()),
        ("hotrod_pod_name", format!("hotrod-{hash}-{pod}")),
        ("hotrod_pod_hash", hash),
        ("service_name", format!("service-{}", pod % 40)),
        ("span_kind", "SPAN_KIND_SERVER".to_owned()),
    ];
    pairs.extend(more.map(|(name, value)| (name, value.to_owned())));
    pairs
}

fn labels(name: &str, pod: usize, more: Option<(&'static str, &'static str)>) -> Labels {
    let pairs = pairs(pod, more);
    Labels::from_pairs(pairs.iter().map(|(name, value)| (*name, value.as_str())).chain([("__name__", name)]))
}

/// A store with the data, and the time that it took to append them.
fn promgate(pods: usize) -> Result<(Store, Duration), Failure> {
    let mut limits = Limits::default();
    limits.sample_bytes = 8 << 30;
    limits.series = usize::MAX;
    let store = Store::in_memory(StoreOptions::new().limits(limits));
    let mut appender = store.appender();
    let mut families = Vec::with_capacity(pods);
    let mut calls = Vec::with_capacity(pods);
    for pod in 0..pods {
        families.push(appender.family(&labels("duration_milliseconds", pod, None), &BOUNDS)?);
        for status in STATUSES {
            calls.push(appender.handle(&labels("calls_total", pod, Some(("status_code", status))))?);
        }
    }
    let mut scrapes = Scrapes::new(pods);
    let mut took = Duration::ZERO;
    for number in 0..SCRAPES {
        let scrape = scrapes.next();
        let start = ProcessTime::now();
        let mut appender = store.appender();
        for (pod, family) in families.iter().enumerate() {
            let time = Timestamp::from_millis(time_of(number, pod));
            let buckets = &scrape.buckets[pod];
            appender.append_family(family, time, buckets, buckets[BOUNDS.len() - 1], scrape.sums[pod])?;
        }
        for (index, handle) in calls.iter().enumerate() {
            let pod = index / STATUSES.len();
            let time = Timestamp::from_millis(time_of(number, pod));
            appender.append_to(handle, Sample::float(time, scrape.calls[pod][index % STATUSES.len()]))?;
        }
        let report = appender.commit()?;
        took += start.elapsed();
        if !report.refused.is_empty() {
            return Err(format!("promgate refused {} samples", report.refused.len()).into());
        }
    }
    Ok((store, took))
}

/// The same with tsink. Its rows are made once, and only their values are set: labels are not counted.
fn tsink(pods: usize) -> Result<(Arc<dyn Storage>, Duration), Failure> {
    let storage = StorageBuilder::new()
        .with_timestamp_precision(TimestampPrecision::Milliseconds)
        .with_retention_enforced(false)
        .build()?;
    let mut rows = Vec::with_capacity(pods * SERIES_OF_POD);
    for pod in 0..pods {
        let mut add = |metric: &str, more: Option<(&'static str, &'static str)>| {
            let labels = pairs(pod, more).into_iter().map(|(name, value)| Label::new(name, value)).collect();
            rows.push(Row::with_labels(metric, labels, DataPoint::new(0, 0.0)));
        };
        BOUNDS.iter().for_each(|bound| add("duration_milliseconds_bucket", Some(("le", bound))));
        add("duration_milliseconds_count", None);
        add("duration_milliseconds_sum", None);
        STATUSES.iter().for_each(|status| add("calls_total", Some(("status_code", status))));
    }
    let mut scrapes = Scrapes::new(pods);
    let mut took = Duration::ZERO;
    for number in 0..SCRAPES {
        let scrape = scrapes.next();
        for (pod, rows) in rows.chunks_mut(SERIES_OF_POD).enumerate() {
            let buckets = scrape.buckets[pod];
            let values = buckets.into_iter().chain([buckets[BOUNDS.len() - 1], scrape.sums[pod]]);
            for (row, value) in rows.iter_mut().zip(values.chain(scrape.calls[pod])) {
                row.set_data_point(DataPoint::new(time_of(number, pod), value));
            }
        }
        let start = ProcessTime::now();
        storage.insert_rows(&rows)?;
        took += start.elapsed();
    }
    Ok((storage, took))
}

/// A value for each set of labels.
type Answer = BTreeMap<Vec<(String, String)>, f64>;

fn answer_of_promgate(value: &Value) -> Answer {
    let Value::Vector(vector) = value else { return Answer::new() };
    let labels = |labels: &Labels| labels.iter().map(|l| (l.name.to_string(), l.value.to_string())).collect();
    vector
        .iter()
        .filter_map(|sample| match sample.value {
            promgate::SampleValue::Float(value) => Some((labels(&sample.labels), value)),
            _ => None,
        })
        .collect()
}

fn answer_of_tsink(value: &PromqlValue) -> Answer {
    let samples = value.as_instant_vector().unwrap_or_default();
    samples
        .iter()
        .map(|sample| {
            let mut labels: Vec<_> =
                sample.labels.iter().map(|label| (label.name.clone(), label.value.clone())).collect();
            labels.sort();
            (labels, sample.value)
        })
        .collect()
}

fn are_equal(a: &Answer, b: &Answer) -> bool {
    let close =
        |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
    a.len() == b.len() && a.iter().zip(b).all(|((la, a), (lb, b))| la == lb && close(*a, *b))
}

/// The least time of several runs: as many as fit into some seconds, at least three unless they take much longer.
fn least<T>(mut run: impl FnMut() -> Result<T, Failure>) -> Result<(T, Duration), Failure> {
    let begun = ProcessTime::now();
    let mut least = Duration::MAX;
    let mut runs = 0;
    loop {
        let start = ProcessTime::now();
        let answer = black_box(run()?);
        least = least.min(start.elapsed());
        runs += 1;
        let begun = begun.elapsed().as_secs();
        if (runs >= 3 && begun >= 4) || begun >= 10 || runs >= 2_000 {
            return Ok((answer, least));
        }
    }
}

/// Bytes of memory that the process holds.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

fn row(name: &str, ours: &str, theirs: &str, note: &str) {
    println!("| {name} | {ours} | {theirs} | {note} |");
}

fn time(took: Duration) -> String {
    match took.as_secs_f64() {
        seconds if seconds >= 1.0 => format!("{seconds:.2} s"),
        seconds if seconds >= 1e-3 => format!("{:.2} ms", seconds * 1e3),
        seconds => format!("{:.1} us", seconds * 1e6),
    }
}

fn compare(pods: usize) -> Result<(), Failure> {
    println!("\n{} series, {SCRAPES} scrapes\n", pods * SERIES_OF_POD);
    println!("| | promgate | tsink | |\n|---|---|---|---|");
    let samples = pods as f64 * SERIES_OF_POD as f64 * SCRAPES as f64;
    let before = resident();
    let (store, ours) = promgate(pods)?;
    let our_bytes = resident().saturating_sub(before) as f64;
    let before = resident();
    let (storage, theirs) = tsink(pods)?;
    let their_bytes = resident().saturating_sub(before) as f64;
    let per_sample = |took: Duration| format!("{:.1} ns", took.as_secs_f64() * 1e9 / samples);
    row("append, of a sample", &per_sample(ours), &per_sample(theirs), "");
    let bytes = |bytes: f64| format!("{:.2} B", bytes / samples);
    row("memory that the process grew by, of a sample", &bytes(our_bytes), &bytes(their_bytes), "");

    let end = BASE_MS + (SCRAPES - 1) * SCRAPE_MS;
    let canary = format!("hotrod_pod_hash=\"{:08x}\"", pods / 8);
    let quantile =
        format!("histogram_quantile(0.95, sum by (le) (rate(duration_milliseconds_bucket{{{canary}}}[2m])))");
    let errors = format!(
        "sum(rate(calls_total{{{canary},status_code=\"STATUS_CODE_ERROR\"}}[2m])) / sum(rate(calls_total{{{canary}}}[2m]))"
    );
    let by_service =
        "histogram_quantile(0.95, sum by (service_name, le) (rate(duration_milliseconds_bucket[2m])))";
    let snapshot = store.snapshot();
    let engine = Engine::new().limits(QueryLimits::unlimited());
    let peer = TsinkEngine::with_precision(storage.clone(), TimestampPrecision::Milliseconds);
    for (name, text) in [
        ("p95 of a canary", quantile.as_str()),
        ("errors of a canary", &errors),
        ("p95 by service", by_service),
    ] {
        let (a, ours) = least(|| {
            let query = engine.prepare(text)?;
            Ok(engine.instant(&snapshot, &query, Timestamp::from_millis(end))?.value)
        })?;
        let (b, theirs) = least(|| Ok(peer.instant_query(text, end)?))?;
        let note =
            if are_equal(&answer_of_promgate(&a), &answer_of_tsink(&b)) { "equal" } else { "answers differ" };
        row(name, &time(ours), &time(theirs), note);
    }
    let start = end - 3_600_000;
    for (name, text) in
        [("p95 of a canary, 241 steps", quantile.as_str()), ("p95 by service, 241 steps", by_service)]
    {
        let ((), ours) = least(|| {
            let query = engine.prepare(text)?;
            let (start, end) = (Timestamp::from_millis(start), Timestamp::from_millis(end));
            black_box(engine.range(&snapshot, &query, start, end, SCRAPE_MS)?);
            Ok(())
        })?;
        let ((), theirs) = least(|| {
            black_box(peer.range_query(text, start, end, SCRAPE_MS)?);
            Ok(())
        })?;
        row(name, &time(ours), &time(theirs), "");
    }
    storage.close()?;
    Ok(())
}

fn main() -> Result<(), Failure> {
    let series = std::env::args().nth(1).map_or(Ok(50_000), |series| series.parse::<usize>())?;
    compare((series / SERIES_OF_POD).max(8))
}
