//! Bytes of memory that a store takes for each series it is appended to, told by the allocator.

use std::path::Path;

use promgate::{
    Appender, Durability, FamilyHandle, Labels, Limits, Maintained, Sample, SeriesHandle, Store,
    StoreOptions, Timestamp,
};

use super::WIDTH;
pub(crate) use super::allocator::Counting;
use super::allocator::used;
use super::clock::on_core;
use super::singles::kinds;
use super::span_metrics::{BOUNDS, BUCKETS, Workload};

/// Bytes a series, labels left out; and what the labels take.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) mean: f64,
    pub(crate) peak: f64,
    pub(crate) labels: f64,
    /// What the store itself says at the end: samples, and the index.
    pub(crate) samples: f64,
    pub(crate) index: f64,
}

/// Scrapes until every series was sealed once, and as many again that are measured.
const CYCLE: usize = 128;
/// In memory nothing is sealed: half of a chunk.
const HALF: usize = 64;

fn options() -> StoreOptions {
    let mut limits = Limits::unlimited();
    limits.log_bytes = 64 << 20;
    StoreOptions::new().limits(limits).durability(Durability::Never)
}

fn labels(name: &str, number: usize) -> Labels {
    let service = format!("service-{}", number / 32 % 40);
    let pod = format!("service-{}-7d9f8c6b5-{:05}", number / 32 % 40, number / 1280 * 4 + number % 4);
    Labels::from_pairs([
        ("__name__", name),
        ("instance", "otel-collector:8889"),
        ("job", "otel-collector"),
        ("k8s_pod_name", &*pod),
        ("service_name", &*service),
        ("span_kind", "SPAN_KIND_SERVER"),
        ("span_name", &*format!("GET /api/v1/items/{}", number / 8 % 4)),
        ("status_code", if number / 4 % 2 == 1 { "STATUS_CODE_ERROR" } else { "STATUS_CODE_UNSET" }),
    ])
}

/// Appends scrapes to a store on disk in `folder`, or in memory, and measures: on disk over a whole cycle of sealing, in
/// memory after [`HALF`] a chunk.
fn measure<H>(
    folder: Option<&Path>,
    series: usize,
    handles: impl Fn(&mut Appender) -> Vec<H>,
    scrape: impl Fn(&mut Appender, &[H], usize),
) -> Measured {
    let before = used();
    let store = match folder {
        Some(folder) => Store::open(folder, options()).unwrap(),
        None => Store::in_memory(options()),
    };
    let own = handles(&mut store.appender());
    let made = used();
    // The series exist by then: the same again is what the handles take.
    let again = handles(&mut store.appender());
    let of_handles = used() - made;
    drop(again);
    let (mut sum, mut count, mut peak, mut labels) = (0.0_f64, 0.0, 0.0_f64, 0.0);
    let scrapes = if folder.is_some() { 2 * CYCLE } else { HALF };
    for row in 0..scrapes {
        let mut appender = store.appender();
        scrape(&mut appender, &own, row);
        assert!(appender.commit().unwrap().refused.is_empty());
        while folder.is_some() && store.maintain().unwrap() == Maintained::Step {}
        if row >= CYCLE || row + 1 == scrapes {
            labels = store.stats().label_bytes as f64;
            let bytes = used() - before - of_handles - labels;
            (sum, count, peak) = (sum + bytes, count + 1.0, peak.max(bytes));
        }
    }
    let by_series = |bytes: f64| bytes / series as f64;
    let stats = store.stats();
    Measured {
        mean: by_series(sum / count),
        peak: by_series(peak),
        labels: by_series(labels),
        samples: by_series(stats.sample_bytes as f64),
        index: by_series(stats.index_bytes as f64),
    }
}

/// What letting series go takes, seconds on a core, and what it gives back.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) all: f64,
    pub(crate) steps: usize,
    pub(crate) longest: f64,
    /// Bytes in use before the first sample, with all series, and at the end.
    pub(crate) bytes: [f64; 3],
}

/// Counters in a store in `folder`, of which one in `one_in` goes on after the first sample; then retention forgets the others.
pub(crate) fn leaving(folder: &Path, series: usize, one_in: usize) -> Left {
    const HOUR: i64 = 3600;
    let kept = std::time::Duration::from_secs(4 * HOUR as u64);
    let store = Store::open(folder, options().retention(kept)).unwrap();
    let before = used();
    let append = |numbers: &mut dyn Iterator<Item = usize>, hour: i64| {
        let mut appender = store.appender();
        for number in numbers {
            let sample = Sample::float(Timestamp::from_secs(hour * HOUR), number as f64);
            appender.append(&labels("calls_total", number), sample).unwrap();
        }
        assert!(appender.commit().unwrap().refused.is_empty());
    };
    append(&mut (0..series), 0);
    store.flush().unwrap();
    let full = used();
    // Heads are let go of that got nothing for an hour, and segments that are older than what is kept.
    for hour in [2, 3] {
        append(&mut (0..series).step_by(one_in), hour);
        store.flush().unwrap();
    }
    append(&mut (0..series).step_by(one_in), 5);
    let (mut all, mut steps, mut longest) = (0.0, 0, 0.0_f64);
    let mut step = || {
        let began = on_core();
        let outcome = store.maintain().unwrap();
        let took = on_core() - began;
        (all, steps, longest) = (all + took, steps + 1, longest.max(took));
        outcome
    };
    while step() == Maintained::Step {}
    assert_eq!(store.stats().series, series.div_ceil(one_in));
    Left { all, steps, longest, bytes: [before, full, used()] }
}

/// Of series of classic histograms.
pub(crate) fn histograms(folder: Option<&Path>, series: usize) -> Measured {
    let workload = Workload::mix(2 * CYCLE, 1);
    let families = series / WIDTH;
    measure(
        folder,
        families * WIDTH,
        |appender| -> Vec<FamilyHandle> {
            (0..families)
                .map(|number| appender.family(&labels("duration_milliseconds", number), &BOUNDS).unwrap())
                .collect()
        },
        |appender, handles, row| {
            let time = Timestamp::from_millis(row as i64 * 15_000);
            for (number, handle) in handles.iter().enumerate() {
                let family = &workload.families[number % workload.families.len()];
                let buckets = family.buckets[row].map(|count| count as f64);
                let count = buckets[BUCKETS - 1];
                appender.append_family(handle, time, &buckets, count, family.sums[row]).unwrap();
            }
        },
    )
}

/// Of counters, each a series of its own.
pub(crate) fn singles(folder: Option<&Path>, series: usize) -> Measured {
    let (_, counters) = kinds(2 * CYCLE).remove(0);
    measure(
        folder,
        series,
        |appender| -> Vec<SeriesHandle> {
            (0..series).map(|number| appender.handle(&labels("calls_total", number)).unwrap()).collect()
        },
        |appender, handles, row| {
            let time = Timestamp::from_millis(row as i64 * 15_000);
            for (number, handle) in handles.iter().enumerate() {
                let value = counters[number % counters.len()][row];
                appender.append_to(handle, Sample::float(time, value)).unwrap();
            }
        },
    )
}
