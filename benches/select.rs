//! Snapshots, and selecting and reading from them.
//!
//! Limits to work towards: four matchers over 24,000 histograms 10 µs (3 µs); reading the tail rows of one gate's window
//! belongs to its 20 µs (8 µs); a snapshot is flat in the number of series.
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench stops at the first surprise")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use promgate::{FamilyBuffer, Item, MatchOp, Matcher, SelectRequest, SeriesSet, Source, Timestamp, Window};

#[path = "workload/mod.rs"]
mod workload;
use workload::{START, STEP};

const FAMILIES: usize = 24_000;
const ROWS: usize = 10;

fn read(set: &SeriesSet, window: Window, buffer: &mut FamilyBuffer) -> usize {
    let mut rows = 0;
    for item in &set.items {
        if let Item::Family(family) = item {
            buffer.clear();
            family.read(window, buffer).unwrap();
            rows += buffer.times().len();
        }
    }
    rows
}

fn select(criterion: &mut Criterion) {
    let histograms = workload::histograms(FAMILIES, ROWS);
    let store = workload::filled(&histograms, ROWS);
    workload::print_memory("24,000 histograms of 10 rows", &store);
    let snapshot = store.snapshot();
    let end = START + (ROWS as i64 - 1) * STEP;
    let window = Window::ending_at(Timestamp::from_millis(end), 120_000);
    let bucket = Matcher::equal("__name__", "duration_milliseconds_bucket");
    let four = [
        bucket.clone(),
        Matcher::equal("service_name", "service-7"),
        Matcher::new("k8s_pod_name", MatchOp::Matches, "service-7-7d9f8c6b5-0000.*").unwrap(),
        Matcher::new("status_code", MatchOp::NotEqual, "STATUS_CODE_ERROR").unwrap(),
    ];
    let one = [
        bucket.clone(),
        Matcher::equal("service_name", "service-7"),
        Matcher::equal("span_name", "GET /api/v1/items/3"),
        Matcher::equal("k8s_pod_name", "service-7-7d9f8c6b5-00011"),
    ];
    let nothing = [
        bucket.clone(),
        Matcher::equal("service_name", "service-7"),
        Matcher::new("k8s_pod_name", MatchOp::Matches, "service-7-7d9f8c6b5-0000.*").unwrap(),
        Matcher::new("status_code", MatchOp::NotMatches, "STATUS_CODE_.*").unwrap(),
    ];
    let mut group = criterion.benchmark_group("select");
    println!("limit: four matchers over {FAMILIES} histograms 10 µs [3]");
    let families = |matchers: &[Matcher]| {
        snapshot.select(&SelectRequest::new(matchers, window).with_families()).unwrap()
    };
    println!("four matchers select {}, one {}", families(&four).items.len(), families(&one).items.len());
    group.bench_function("four matchers, nothing left", |b| b.iter(|| black_box(families(&nothing))));
    group.bench_function("four matchers, families", |b| b.iter(|| black_box(families(&four))));
    group.bench_function("one family by four matchers", |b| b.iter(|| black_box(families(&one))));
    group.bench_function("four matchers, series", |b| {
        b.iter(|| black_box(snapshot.select(&SelectRequest::new(&four, window)).unwrap()));
    });
    group.sample_size(10);
    group.bench_function("all families", |b| b.iter(|| black_box(families(std::slice::from_ref(&bucket)))));
    println!("limit: one gate's [2m] window, selected and read, within its 20 µs [8]");
    group.bench_function("one family selected and read", |b| {
        let mut buffer = FamilyBuffer::default();
        b.iter(|| black_box(read(&families(&one), window, &mut buffer)));
    });
    println!("limit: all families read: 160 ns a family, 3.8 ms");
    group.bench_function("all families read", |b| {
        let set = families(std::slice::from_ref(&bucket));
        let mut buffer = FamilyBuffer::default();
        b.iter(|| black_box(read(&set, window, &mut buffer)));
    });
    group.bench_function("values of a label", |b| {
        b.iter(|| black_box(snapshot.label_values("service_name", &[], window).unwrap()));
    });
    println!("limit: a snapshot is flat in the number of series");
    group.bench_function("snapshot", |b| b.iter_with_large_drop(|| black_box(store.snapshot())));
    group.bench_function("first scrape after a snapshot", |b| {
        let few = &histograms[..1000];
        b.iter_batched(
            || {
                let store = workload::store();
                let handles = workload::families(&mut store.appender(), few);
                workload::append_rows(&store, &handles, few, 0);
                let snapshot = store.snapshot();
                (store, handles, snapshot)
            },
            |(store, handles, snapshot)| {
                workload::append_rows(&store, &handles, few, 1);
                (store, handles, snapshot)
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = select
}
criterion_main!(benches);
