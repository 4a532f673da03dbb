//! A store filled with histograms and counters as a service under traffic makes them.

use super::random::Random;
use super::span_metrics::BOUNDS;
use promgate::{Appender, FamilyHandle, Labels, LabelsBuilder, Limits, Store, StoreOptions, Timestamp};

/// Series of one histogram: its buckets, count and sum.
pub(crate) const WIDTH: usize = BOUNDS.len() + 2;
/// Rows that are made; longer runs go on from the last one.
pub(crate) const ROWS: usize = 128;
/// Milliseconds between scrapes.
pub(crate) const STEP: i64 = 15_000;
/// The time of the first scrape.
pub(crate) const START: i64 = 1_700_000_000_000;

/// One histogram over time: rows of cumulative buckets, count and sum.
pub(crate) struct Histogram {
    pub(crate) labels: Labels,
    /// The labels of its series, in the order of a row.
    pub(crate) series: Vec<Labels>,
    pub(crate) rows: Vec<[f64; WIDTH]>,
}

fn labels(name: &str, number: usize, bound: Option<&str>) -> Labels {
    let service = format!("service-{}", number % 40);
    let span = format!("GET /api/v1/items/{}", number / 40 % 25);
    let pod = format!("service-{}-7d9f8c6b5-{:05}", number % 40, number / 1000);
    Labels::from_pairs([
        ("__name__", name),
        ("service_name", &*service),
        ("span_name", &*span),
        ("span_kind", "SPAN_KIND_SERVER"),
        ("status_code", if number.is_multiple_of(3) { "STATUS_CODE_ERROR" } else { "STATUS_CODE_UNSET" }),
        ("k8s_pod_name", &*pod),
        ("version", if number.is_multiple_of(2) { "stable" } else { "canary" }),
        ("job", "otel-collector"),
        ("instance", "otel-collector:8889"),
        ("le", bound.unwrap_or("")),
    ])
}

/// Histograms with rates from 0.05 to 500 requests a second, spread evenly over the logarithm.
pub(crate) fn histograms(count: usize, rows: usize) -> Vec<Histogram> {
    let mut random = Random::new(42);
    let name = "duration_milliseconds";
    (0..count)
        .map(|number| {
            let mean = 15.0 * 0.05 * 10_f64.powf(4.0 * random.unit());
            let middle = 1 + (random.next() % 10) as usize;
            let mut counts = [0_u64; BOUNDS.len()];
            let mut sum = 0.0;
            let rows = (0..rows)
                .map(|_| {
                    let mut row = [0.0; WIDTH];
                    let mut total = 0;
                    for bucket in 0..BOUNDS.len() {
                        let share = 0.5 * 0.4_f64.powi(middle.abs_diff(bucket) as i32);
                        let more = random.poisson(mean * share);
                        counts[bucket] += more;
                        let upper: f64 = BOUNDS[bucket.min(BOUNDS.len() - 2)].parse().unwrap();
                        sum += more as f64 * (upper * (0.3 + 0.7 * random.unit()) * 1e6).round() / 1e6;
                        total += counts[bucket];
                        row[bucket] = total as f64;
                    }
                    row[BOUNDS.len()] = total as f64;
                    row[BOUNDS.len() + 1] = sum;
                    row
                })
                .collect();
            // Label sets made from one another, as a client holds them.
            let shared = labels(name, number, None);
            let member = |suffix: &str, bound: Option<&str>| {
                let mut builder = LabelsBuilder::from_labels(&shared);
                builder.set("__name__", format!("{name}{suffix}")).set("le", bound.unwrap_or(""));
                builder.build()
            };
            let mut series: Vec<Labels> = BOUNDS.iter().map(|bound| member("_bucket", Some(bound))).collect();
            series.extend([member("_count", None), member("_sum", None)]);
            Histogram { labels: shared, series, rows }
        })
        .collect()
}

/// Counters of requests, for single series.
pub(crate) fn counters(count: usize) -> Vec<Labels> {
    (0..count).map(|number| labels("calls_total", number, None)).collect()
}

/// A store that takes as much as a bench has.
pub(crate) fn store() -> Store {
    let mut limits = Limits::default();
    limits.series = 10_000_000;
    limits.batch_samples = 10_000_000;
    limits.sample_bytes = 4 << 30;
    Store::in_memory(StoreOptions::new().limits(limits))
}

pub(crate) fn families(appender: &mut Appender, histograms: &[Histogram]) -> Vec<FamilyHandle> {
    histograms.iter().map(|histogram| appender.family(&histogram.labels, &BOUNDS).unwrap()).collect()
}

/// Appends row `row` of every histogram through its handle.
pub(crate) fn append_rows(store: &Store, handles: &[FamilyHandle], histograms: &[Histogram], row: usize) {
    let mut appender = store.appender();
    let time = Timestamp::from_millis(START + row as i64 * STEP);
    for (handle, histogram) in handles.iter().zip(histograms) {
        let values = &histogram.rows[row % histogram.rows.len()];
        let (buckets, rest) = values.split_at(BOUNDS.len());
        appender.append_family(handle, time, buckets, rest[0], rest[1]).unwrap();
    }
    let report = appender.commit().unwrap();
    assert_eq!((report.appended, report.refused.len()), (handles.len() * WIDTH, 0));
}

/// A store with all rows of these histograms.
pub(crate) fn filled(histograms: &[Histogram], rows: usize) -> Store {
    let store = store();
    let mut appender = store.appender();
    let handles = families(&mut appender, histograms);
    for row in 0..rows {
        append_rows(&store, &handles, histograms, row);
    }
    store
}

/// What the store's memory is, by sample and by series.
pub(crate) fn print_memory(what: &str, store: &Store) {
    let stats = store.stats();
    let per_series = |bytes: usize| bytes as f64 / stats.series.max(1) as f64;
    println!(
        "{what}: {} series, {} samples: {:.3} B a sample; by series {:.1} B samples + {:.1} B labels + {:.1} B index",
        stats.series,
        stats.samples,
        stats.bytes_per_sample(),
        per_series(stats.sample_bytes),
        per_series(stats.label_bytes),
        per_series(stats.index_bytes),
    );
}
