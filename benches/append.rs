//! Appending and committing one scrape, by sample; the times are those on a core.
//!
//! Limits to work towards: rows 10 ns a sample (100 M a second, 300 M as the ambition); histograms by label set 40 ns;
//! single series by label set 300 ns. Memory by series, labels aside: 110 B (60 B) in a histogram, 200 B (175 B) alone.
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench stops at the first surprise")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use promgate::{Labels, NativeHistogram, Sample, SampleValue, Span, Store, Timestamp};

#[path = "workload/mod.rs"]
mod workload;
use workload::{ROWS, START, STEP, WIDTH, on_core};

const FAMILIES: usize = 1000;
const SINGLES: usize = 10_000;
/// Scrapes after which the store knows the label sets that the caller keeps.
const KNOWN: usize = 4;

fn time(row: usize) -> Timestamp {
    Timestamp::from_millis(START + row as i64 * STEP)
}

/// Time of `iterations` scrapes; the store starts anew after all rows, outside of the time.
fn scrapes<S>(
    iterations: u64,
    mut fresh: impl FnMut() -> S,
    mut scrape: impl FnMut(&mut S, usize),
) -> Duration {
    let mut taken = 0.0;
    let mut state = fresh();
    let mut row = 0;
    for _ in 0..iterations {
        if row == ROWS {
            state = fresh();
            row = 0;
        }
        let start = on_core();
        scrape(&mut state, row);
        taken += on_core() - start;
        row += 1;
    }
    Duration::from_secs_f64(taken)
}

fn by_labels(store: &Store, series: &[Labels], row: usize, value: impl Fn(usize) -> f64) {
    let mut appender = store.appender();
    for (index, labels) in series.iter().enumerate() {
        appender.append(labels, Sample::float(time(row), value(index))).unwrap();
    }
    black_box(appender.commit().unwrap());
}

/// Of a series, 40 buckets that grow from scrape to scrape.
fn native(row: usize, series: usize) -> NativeHistogram {
    let positive_buckets: Vec<f64> = (0..40).map(|bucket| (row * ((bucket + series) % 7)) as f64).collect();
    let count = positive_buckets.iter().sum();
    NativeHistogram {
        schema: 3,
        zero_threshold: 1e-128,
        count,
        sum: count * 1.7,
        positive_spans: vec![Span { offset: -4, length: 40 }],
        positive_buckets,
        ..NativeHistogram::default()
    }
}

fn append(criterion: &mut Criterion) {
    let histograms = workload::histograms(FAMILIES, ROWS);
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements((FAMILIES * WIDTH) as u64));

    println!("limit: histogram rows 10 ns a sample [3.3]");
    group.bench_function("histogram rows", |bencher| {
        let fresh = || {
            let store = workload::store();
            let handles = workload::families(&mut store.appender(), &histograms);
            workload::append_rows(&store, &handles, &histograms, 0);
            (store, handles)
        };
        bencher.iter_custom(|iterations| {
            scrapes(iterations, fresh, |(store, handles), row| {
                workload::append_rows(store, handles, &histograms, row + 1);
            })
        });
    });
    let full = workload::filled(&histograms, ROWS);
    workload::print_memory("full tails of histograms", &full);
    let half = workload::filled(&histograms, ROWS / 2);
    workload::print_memory("half tails of histograms (limit: 110 B a series, labels aside)", &half);
    let once = workload::filled(&histograms, 1);
    workload::print_memory("histograms with one row", &once);

    println!("limit: histograms by label set 40 ns a sample");
    group.bench_function("histograms by label set", |bencher| {
        let series: Vec<Labels> = histograms.iter().flat_map(|histogram| histogram.series.clone()).collect();
        let fresh = || {
            let store = workload::store();
            for row in 0..KNOWN {
                by_labels(&store, &series, row, |index| histograms[index / WIDTH].rows[0][index % WIDTH]);
            }
            store
        };
        bencher.iter_custom(|iterations| {
            scrapes(iterations, fresh, |store, row| {
                by_labels(store, &series, row + KNOWN, |index| {
                    histograms[index / WIDTH].rows[row][index % WIDTH]
                });
            })
        });
    });

    let singles = workload::counters(SINGLES);
    let value = |row: usize| move |index: usize| (row * (index % 97)) as f64;
    group.throughput(Throughput::Elements(SINGLES as u64));
    println!("limit: single series by label set 300 ns a sample");
    group.bench_function("single series by label set", |bencher| {
        let fresh = || {
            let store = workload::store();
            (0..KNOWN).for_each(|row| by_labels(&store, &singles, row, value(row)));
            store
        };
        bencher.iter_custom(|iterations| {
            scrapes(iterations, fresh, |store, row| {
                by_labels(store, &singles, row + KNOWN, value(row + KNOWN));
            })
        });
    });
    group.bench_function("single series by handle", |bencher| {
        let fresh = || {
            let store = workload::store();
            let mut appender = store.appender();
            let handles: Vec<_> = singles.iter().map(|labels| appender.handle(labels).unwrap()).collect();
            (store, handles)
        };
        bencher.iter_custom(|iterations| {
            scrapes(iterations, fresh, |(store, handles), row| {
                let mut appender = store.appender();
                for (index, handle) in handles.iter().enumerate() {
                    appender.append_to(handle, Sample::float(time(row), value(row)(index))).unwrap();
                }
                black_box(appender.commit().unwrap());
            })
        });
    });
    let store = workload::store();
    for row in 0..ROWS {
        by_labels(&store, &singles, row, value(row));
    }
    workload::print_memory("single counters (limit: 200 B a series, labels aside)", &store);

    println!("limit: none set for native histograms of 40 buckets");
    group.throughput(Throughput::Elements(FAMILIES as u64));
    group.bench_function("native histograms by label set", |bencher| {
        let series = workload::counters(FAMILIES);
        let scrape = |store: &Store, row: usize| {
            let mut appender = store.appender();
            for (labels, buckets) in series.iter().zip(0..) {
                let histogram = SampleValue::Histogram(Arc::new(native(row, buckets)));
                appender
                    .append(labels, Sample { timestamp: time(row), value: histogram, start: None })
                    .unwrap();
            }
            black_box(appender.commit().unwrap());
        };
        bencher
            .iter_custom(|iterations| scrapes(iterations, workload::store, |store, row| scrape(store, row)));
    });

    println!("limit: none set for new series; a deploy of {FAMILIES} histograms is one such batch");
    group.throughput(Throughput::Elements((FAMILIES * WIDTH) as u64));
    group.bench_function("histograms that are new", |bencher| {
        let series: Vec<Labels> = histograms.iter().flat_map(|histogram| histogram.series.clone()).collect();
        bencher.iter_with_large_drop(|| {
            let store = workload::store();
            by_labels(&store, &series, 0, |index| histograms[index / WIDTH].rows[0][index % WIDTH]);
            store
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = append
}
criterion_main!(benches);
