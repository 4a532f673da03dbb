//! Stores on disk: bytes a sample with everything counted, ingest, replay, and opening after the writer was killed.
//!
//! Limits to work towards: mix 0.245 B a sample [0.235], plateau 0.080 [0.070]; with `Each` and four writers 30 M samples a
//! second; replay 300 M samples a second; 500,000 series opened after a kill in 1 s [0.2].
//!
//! `DISK_BENCH` runs one part alone: `sizes`, `ingest`, `rows`, `replay`, `select`, `open`, `large`; `small` leaves out what takes minutes.
#![allow(missing_docs, reason = "a bench has no documentation")]
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock and looks at files")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench stops at the first surprise")]
#![allow(clippy::mem_forget, reason = "a writer that is killed closes nothing")]

use std::fs;
use std::path::Path;
use std::time::Instant;

use promgate::{
    Durability, FamilyHandle, Labels, Limits, Maintained, MatchOp, Matcher, Sample, SelectRequest, Source,
    Store, StoreOptions, Timestamp, Window,
};

#[path = "workload/mod.rs"]
mod workload;
use workload::span_metrics::{BUCKETS, Workload};
use workload::{BOUNDS, WIDTH, on_core};

fn options(durability: Durability) -> StoreOptions {
    let mut limits = Limits::unlimited();
    limits.log_bytes = 64 << 20;
    StoreOptions::new().limits(limits).durability(durability)
}

fn labels(number: usize) -> Labels {
    let service = format!("service-{}", number / 32 % 40);
    let span = format!("GET /api/v1/items/{}", number / 8 % 4);
    let pod = format!("service-{}-7d9f8c6b5-{:05}", number / 32 % 40, number / 1280 * 4 + number % 4);
    Labels::from_pairs([
        ("__name__", "duration_milliseconds"),
        ("service_name", &*service),
        ("span_name", &*span),
        ("span_kind", "SPAN_KIND_SERVER"),
        ("status_code", if number / 4 % 2 == 1 { "STATUS_CODE_ERROR" } else { "STATUS_CODE_UNSET" }),
        ("k8s_pod_name", &*pod),
        ("version", if number.is_multiple_of(2) { "stable" } else { "canary" }),
        ("job", "otel-collector"),
        ("instance", "otel-collector:8889"),
    ])
}

fn bytes_of(folder: &Path) -> u64 {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                bytes_of(&entry.path())
            } else {
                entry.metadata().unwrap().len()
            }
        })
        .sum()
}

fn handles(store: &Store, count: usize) -> Vec<FamilyHandle> {
    let mut appender = store.appender();
    (0..count).map(|number| appender.family(&labels(number), &BOUNDS).unwrap()).collect()
}

/// One scrape of a workload's families, repeated `copies` times.
fn scrape(store: &Store, handles: &[FamilyHandle], workload: &Workload, row: usize, time: i64) {
    let mut appender = store.appender();
    for (number, handle) in handles.iter().enumerate() {
        let family = &workload.families[number % workload.families.len()];
        let row = row % family.sums.len();
        let mut buckets = [0.0; BUCKETS];
        for (value, count) in buckets.iter_mut().zip(&family.buckets[row]) {
            *value = *count as f64;
        }
        let count = buckets[BUCKETS - 1];
        appender
            .append_family(handle, Timestamp::from_millis(time), &buckets, count, family.sums[row])
            .unwrap();
    }
    let report = appender.commit().unwrap();
    assert!(report.refused.is_empty(), "{:?}", report.refused.first());
}

fn maintain(store: &Store) {
    while store.maintain().unwrap() == Maintained::Step {}
}

fn sizes(folder: &Path) {
    println!("bytes a sample of a store on disk, everything counted, after 8 h and closing");
    println!(
        "workload            | grid    | 3 ms    | floor   | plain XOR is 1.555 for mix on the grid, 3.281 with 3 ms"
    );
    let workloads = [
        Workload::mix(1920, 1),
        Workload::plateau(1920),
        Workload::fixed(0.0, 24, 1920),
        Workload::shift(1920),
        Workload::restarts(3600.0, 1920),
        Workload::restarts(300.0, 1920),
    ];
    for workload in &workloads {
        let mut figures = Vec::new();
        for times in [&workload.on_grid, &workload.jittered] {
            let folder = folder.join("sizes");
            let store = Store::open(&folder, options(Durability::Never)).unwrap();
            let handles = handles(&store, workload.families.len());
            for (row, time) in times.iter().enumerate() {
                scrape(&store, &handles, workload, row, *time);
                maintain(&store);
            }
            store.flush().unwrap();
            let samples = store.stats().samples;
            assert_eq!(samples as usize, workload.samples());
            store.close().unwrap();
            drop(store);
            figures.push(bytes_of(&folder) as f64 / samples as f64);
            fs::remove_dir_all(&folder).unwrap();
        }
        let (counts, sums) = workload.floor();
        println!("{:<20}| {:.4}  | {:.4}  | {:.4}", workload.name, figures[0], figures[1], counts + sums);
    }
}

/// Rows of histograms; of so many runs the fastest counts.
fn ingest(folder: &Path, runs: &[(&str, Durability, usize, usize)]) {
    const FAMILIES: usize = 10_000;
    const SCRAPES: usize = 40;
    let workload = Workload::mix(SCRAPES, 1);
    for (what, durability, writers, runs) in runs {
        let (mut least_wall, mut least_busy, mut sizes) = (f64::MAX, f64::MAX, (0.0, 0.0));
        for _ in 0..*runs {
            let folder = folder.join("ingest");
            let store = Store::open(&folder, options(*durability)).unwrap();
            let handles = handles(&store, FAMILIES);
            scrape(&store, &handles, &workload, 0, 0);
            let start = Instant::now();
            let busy: f64 = std::thread::scope(|scope| {
                let parts = handles.chunks(FAMILIES / *writers).map(|part| {
                    let (store, workload) = (&store, &workload);
                    scope.spawn(move || {
                        let before = on_core();
                        for row in 1..SCRAPES {
                            scrape(store, part, workload, row, row as i64 * 15_000);
                        }
                        on_core() - before
                    })
                });
                let parts: Vec<_> = parts.collect();
                parts.into_iter().map(|part| part.join().unwrap()).sum()
            });
            least_wall = start.elapsed().as_secs_f64().min(least_wall);
            least_busy = busy.min(least_busy);
            sizes = (
                bytes_of(&folder.join("wal")) as f64 / (FAMILIES * WIDTH * SCRAPES) as f64,
                store.stats().sample_bytes as f64 / (FAMILIES * WIDTH) as f64,
            );
            drop(store);
            fs::remove_dir_all(&folder).unwrap();
        }
        let samples = (FAMILIES * WIDTH * (SCRAPES - 1)) as f64;
        println!(
            "{what}: {:.0} M samples/s, {:.2} ns a sample on a core, {:.2} B a sample of log, memory {:.1} B a series; best of {runs} runs",
            samples / least_wall / 1e6,
            least_busy * 1e9 / samples,
            sizes.0,
            sizes.1,
        );
    }
}

/// How fast the log is applied when a store is opened: read, checksums, heads; nothing is sealed, and the pages of the system
/// are warm.
fn replay(folder: &Path) {
    const FAMILIES: usize = 10_000;
    const SCRAPES: usize = 100;
    let workload = Workload::mix(SCRAPES, 1);
    let folder = folder.join("replay");
    let store = Store::open(&folder, options(Durability::Never)).unwrap();
    let handles = handles(&store, FAMILIES);
    for row in 0..SCRAPES {
        scrape(&store, &handles, &workload, row, row as i64 * 15_000);
    }
    store.close().unwrap();
    drop(store);
    let mut best = f64::MAX;
    let mut samples = 0;
    const OPENINGS: usize = 15;
    for _ in 0..OPENINGS {
        let before = on_core();
        let reader = Store::open_read_only(&folder, options(Durability::Never)).unwrap();
        best = best.min(on_core() - before);
        samples = reader.open_report().unwrap().replayed_samples;
    }
    assert_eq!(samples as usize, FAMILIES * WIDTH * SCRAPES);
    println!(
        "replay: {:.0} M samples/s on a core, {:.2} ns a sample; best of {OPENINGS} openings of {} M samples",
        samples as f64 / best / 1e6,
        best * 1e9 / samples as f64,
        samples / 1_000_000,
    );
    fs::remove_dir_all(&folder).unwrap();
}

fn open_after_kill(folder: &Path, families: usize, scrapes: usize) {
    let workload = Workload::mix(scrapes, 1);
    let folder = folder.join("open");
    let store = Store::open(&folder, options(Durability::Never)).unwrap();
    let handles = handles(&store, families);
    for row in 0..scrapes {
        scrape(&store, &handles, &workload, row, row as i64 * 15_000);
        maintain(&store);
    }
    // Killed: nothing is closed.
    let killed = folder.with_extension("killed");
    copy(&folder, &killed);
    let start = Instant::now();
    let reader = Store::open_read_only(&killed, options(Durability::Never)).unwrap();
    let report = reader.open_report().unwrap().clone();
    let replayed = start.elapsed();
    drop(reader);
    let start = Instant::now();
    let opened = Store::open(&killed, options(Durability::Never)).unwrap();
    let took = start.elapsed();
    println!(
        "{} series, {scrapes} scrapes, killed: opened in {took:.2?}, of which {} M samples replayed from the log ({:.0} M/s reading only, {replayed:.2?})",
        families * WIDTH,
        report.replayed_samples / 1_000_000,
        report.replayed_samples as f64 / replayed.as_secs_f64() / 1e6,
    );
    assert_eq!(opened.stats().samples, store.stats().samples);
    drop((store, opened));
    fs::remove_dir_all(&folder).unwrap();
    fs::remove_dir_all(&killed).unwrap();
}

/// The first questions of a controller that restarts, and what they leave in memory: all series lie in segments.
fn first_query(folder: &Path, families: usize) {
    let workload = Workload::mix(40, 1);
    let folder = folder.join("first");
    let store = Store::open(&folder, options(Durability::Never)).unwrap();
    let handles = handles(&store, families);
    for row in 0..40 {
        scrape(&store, &handles, &workload, row, row as i64 * 15_000);
    }
    store.flush().unwrap();
    store.close().unwrap();
    drop((store, handles));
    let start = Instant::now();
    let store = Store::open_read_only(&folder, options(Durability::Never)).unwrap();
    let opened = start.elapsed();
    let window = Window::ALL;
    let gate = [
        Matcher::equal("__name__", "duration_milliseconds_bucket"),
        Matcher::equal("service_name", "service-7"),
        Matcher::new("k8s_pod_name", MatchOp::Matches, "service-7-7d9f8c6b5-0000.*").unwrap(),
        Matcher::new("status_code", MatchOp::NotEqual, "STATUS_CODE_ERROR").unwrap(),
    ];
    let ask = |matchers: &[Matcher]| {
        let start = Instant::now();
        let set = store.snapshot().select(&SelectRequest::new(matchers, window).with_families()).unwrap();
        (start.elapsed(), set.items.len())
    };
    let (first, found) = ask(&gate);
    let (again, _) = ask(&gate);
    let other = [gate[0].clone(), Matcher::equal("k8s_pod_name", "service-9-7d9f8c6b5-00004")];
    let (another, _) = ask(&other);
    let start = Instant::now();
    let names = store.snapshot().label_values("__name__", &[], window).unwrap().len();
    let named = start.elapsed();
    let held = store.stats();
    let (all, everything) = ask(&[]);
    println!(
        "{} series in segments: opened in {opened:.1?}; first query, {found} histograms: {first:.1?}, again {again:.1?}, another {another:.1?}; {names} names in {named:.1?}; \
         the index holds {} series, {} kB; with all {everything} in {all:.1?}: {} kB",
        families * WIDTH,
        held.series,
        (held.label_bytes + held.index_bytes) / 1000,
        (store.stats().label_bytes + store.stats().index_bytes) / 1000,
    );
    drop(store);
    fs::remove_dir_all(&folder).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn single_series(folder: &Path) {
    let folder = folder.join("single");
    let store = Store::open(&folder, options(Durability::Never)).unwrap();
    let series: Vec<Labels> = (0..10_000)
        .map(|number| {
            Labels::from_pairs([
                ("__name__", "calls_total"),
                ("job", "api"),
                ("pod", &*format!("pod-{number}")),
            ])
        })
        .collect();
    let before = on_core();
    const SCRAPES: usize = 128;
    for row in 0..SCRAPES {
        let mut appender = store.appender();
        for (number, labels) in series.iter().enumerate() {
            let value = (row * (number % 97)) as f64;
            appender
                .append(labels, Sample::float(Timestamp::from_millis(row as i64 * 15_000), value))
                .unwrap();
        }
        appender.commit().unwrap();
    }
    println!(
        "single series by label set, no sync: {:.0} ns a sample",
        (on_core() - before) * 1e9 / (SCRAPES * series.len()) as f64
    );
    drop(store);
    fs::remove_dir_all(&folder).unwrap();
}

fn main() {
    let only = std::env::var("DISK_BENCH").unwrap_or_default();
    let wanted = |what: &str| only.is_empty() || only == what || only == "small" && what != "large";
    let folder = tempfile::tempdir().unwrap();
    if wanted("sizes") {
        sizes(folder.path());
    }
    let rows = ("rows, no sync", Durability::Never, 1, 10);
    if only == "rows" {
        ingest(folder.path(), &[rows]);
    }
    if wanted("ingest") {
        let each = ("rows, Each", Durability::Each, 1, 1);
        ingest(folder.path(), &[rows, each, ("rows, Each, 4 writers", Durability::Each, 4, 3)]);
        single_series(folder.path());
    }
    if wanted("select") {
        first_query(folder.path(), 2_632);
        first_query(folder.path(), 26_316);
    }
    if wanted("replay") {
        replay(folder.path());
    }
    if wanted("open") {
        open_after_kill(folder.path(), 2_632, 540);
    }
    if wanted("large") {
        open_after_kill(folder.path(), 26_316, 540);
    }
}
