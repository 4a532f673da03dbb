//! Reading what the codecs wrote, by sample, through series and families as PromQL does.
//!
//! Limits to work towards: a family's rows 6 ns a sample (3 ns); XOR chunks 6 ns, what Prometheus's own take. Bytes by
//! sample: rows 0.55 (0.40) as in the log, XOR 1.5 of counters.
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench stops at the first surprise")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use promgate::{
    FamilyBuffer, Item, Matcher, Sample, SampleBuffer, SelectRequest, SeriesSet, Source, Store, Timestamp,
    Window,
};

#[path = "workload/mod.rs"]
mod workload;
use workload::{ROWS, Random, START, STEP, WIDTH};

const FAMILIES: usize = 192;
const SINGLES: usize = 1000;

fn read_series(set: &SeriesSet, buffer: &mut SampleBuffer) -> usize {
    let mut samples = 0;
    for item in &set.items {
        if let Item::Series(series) = item {
            buffer.clear();
            series.read(Window::ALL, buffer).unwrap();
            samples += buffer.len();
        }
    }
    samples
}

/// Counters that count by a few a scrape, or floats with three decimals.
fn singles(decimals: bool) -> Store {
    let labels = workload::counters(SINGLES);
    let store = workload::store();
    let mut random = Random(7);
    let mut values = vec![0.0_f64; SINGLES];
    for row in 0..ROWS {
        let mut appender = store.appender();
        for (labels, value) in labels.iter().zip(&mut values) {
            *value = if decimals {
                (random.unit() * 1000.0).round() / 1000.0
            } else {
                *value + (random.next() % 40) as f64
            };
            let time = Timestamp::from_millis(START + row as i64 * STEP);
            appender.append(labels, Sample::float(time, *value)).unwrap();
        }
        appender.commit().unwrap();
    }
    store
}

fn codec(criterion: &mut Criterion) {
    let histograms = workload::histograms(FAMILIES, ROWS);
    let store = workload::filled(&histograms, ROWS);
    workload::print_memory("histogram rows (limit: 0.55 B a sample [0.40] without the head's own)", &store);
    let mut group = criterion.benchmark_group("codec");
    let samples = FAMILIES * ROWS * WIDTH;
    let bucket = [Matcher::equal("__name__", "duration_milliseconds_bucket")];
    println!("limit: rows read as a table 6 ns a sample [3]");
    group.throughput(Throughput::Elements(samples as u64));
    let request = SelectRequest::new(&bucket, Window::ALL);
    let snapshot = store.snapshot();
    group.bench_function("family rows", |b| {
        let set = snapshot.select(&request.with_families()).unwrap();
        let mut buffer = FamilyBuffer::default();
        b.iter(|| {
            for item in &set.items {
                if let Item::Family(family) = item {
                    buffer.clear();
                    family.read(Window::ALL, &mut buffer).unwrap();
                    assert_eq!(black_box(&buffer).times().len(), ROWS);
                }
            }
        });
    });
    println!("limit: none for one column of rows: the plan asks for the family");
    let columns = FAMILIES * ROWS * workload::BOUNDS.len();
    group.throughput(Throughput::Elements(columns as u64));
    group.bench_function("family rows, column by column", |b| {
        let set = snapshot.select(&request).unwrap();
        let mut buffer = SampleBuffer::default();
        b.iter(|| assert_eq!(black_box(read_series(&set, &mut buffer)), columns));
    });
    println!("limit: XOR 6 ns a sample");
    group.throughput(Throughput::Elements((SINGLES * ROWS) as u64));
    let calls = [Matcher::equal("__name__", "calls_total")];
    for (name, decimals) in [("xor counters", false), ("xor decimals", true)] {
        let store = singles(decimals);
        workload::print_memory(name, &store);
        let set = store.snapshot().select(&SelectRequest::new(&calls, Window::ALL)).unwrap();
        group.bench_function(name, |b| {
            let mut buffer = SampleBuffer::default();
            b.iter(|| assert_eq!(black_box(read_series(&set, &mut buffer)), SINGLES * ROWS));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = codec
}
criterion_main!(benches);
