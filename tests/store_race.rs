//! Writers, readers, deletions and upkeep of a store in a folder at once, as a plain program: thread sanitizers do not know the
//! threads of a test harness (`.ci/long tsan`). `RACE_BATCHES` says how many batches each of the writers commits (300).
//!
//! A snapshot holds whole batches of every writer, from the first on, or from where retention begins.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use promgate::{
    Durability, Item, Labels, Limits, Maintained, Matcher, Sample, SampleBuffer, SelectRequest, Snapshot,
    Source, Store, StoreOptions, Timestamp, Window,
};

const WRITERS: usize = 3;
const READERS: usize = 2;
/// Milliseconds from batch to batch: series that get nothing for an hour leave the heads, and the store once they are deleted.
const STEP: i64 = 60_000;
/// Batches after which a writer has new pods, and pods that it has at a time.
const ROLL: usize = 16;
const PODS: usize = 3;
const BOUNDS: [&str; 4] = ["0.1", "1", "10", "+Inf"];
/// Samples of a batch that nobody deletes: columns of a histogram, and a counter.
const KEPT: usize = BOUNDS.len() + 2 + 1;

fn options() -> StoreOptions {
    let mut limits = Limits::default();
    limits.log_bytes = 8 << 10;
    limits.min_free_bytes = 0;
    StoreOptions::new()
        .limits(limits)
        .durability(Durability::Interval(Duration::from_millis(20)))
        .background(true)
}

fn write(store: &Store, writer: usize, batch: usize) {
    let name = format!("w{writer}");
    let at = Timestamp::from_millis(batch as i64 * STEP);
    let mut appender = store.appender();
    let base = Labels::from_pairs([("__name__", "d"), ("writer", &*name)]);
    let family = appender.family(&base, &BOUNDS).unwrap();
    let count = batch as f64;
    appender
        .append_family(&family, at, &[count, count * 2.0, count * 3.0, count * 4.0], count * 4.0, count / 7.0)
        .unwrap();
    let kept = Labels::from_pairs([("__name__", "c"), ("writer", &*name)]);
    appender.append(&kept, Sample::float(at, count)).unwrap();
    // Of these there are always new ones, and some are deleted.
    for pod in 0..PODS {
        let pod = (batch / ROLL + pod).to_string();
        let gone = Labels::from_pairs([("__name__", "gone"), ("writer", &*name), ("pod", &*pod)]);
        appender.append(&gone, Sample::float(at, count)).unwrap();
    }
    let report = appender.commit().unwrap();
    assert!(report.refused.is_empty() && report.appended == KEPT + PODS, "{report:?}");
}

/// How many samples that nobody deletes a writer has at each time.
fn counts(snapshot: &Snapshot, writer: usize) -> BTreeMap<i64, usize> {
    let mut counts = BTreeMap::new();
    let mut samples = SampleBuffer::default();
    let matchers = [Matcher::equal("writer", &format!("w{writer}"))];
    for item in snapshot.select(&SelectRequest::new(&matchers, Window::ALL)).unwrap().items {
        let Item::Series(series) = item else { panic!("no histogram was asked for as a whole") };
        samples.clear();
        series.read(Window::ALL, &mut samples).unwrap();
        if series.labels().get("__name__") != Some("gone") {
            samples.times.iter().for_each(|time| *counts.entry(*time).or_default() += 1);
        }
    }
    counts
}

fn look(store: &Store, newest: &mut [usize; WRITERS]) {
    let snapshot = store.snapshot();
    for (writer, newest) in newest.iter_mut().enumerate() {
        let found = counts(&snapshot, writer);
        let wanted: BTreeMap<i64, usize> =
            (1..=found.len()).map(|batch| (batch as i64 * STEP, KEPT)).collect();
        assert_eq!(found, wanted, "a batch in parts, or out of order");
        assert!(found.len() >= *newest, "a commit that was seen is gone");
        *newest = found.len();
        assert_eq!(counts(&snapshot, writer), found, "a snapshot changed");
    }
}

fn main() {
    let batches = std::env::var("RACE_BATCHES").map_or(300, |batches| batches.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    let (working, looks) = (AtomicUsize::new(WRITERS), AtomicUsize::new(0));
    // On a busy machine the writers are else done before anybody reads.
    let start = Barrier::new(WRITERS + READERS + 1);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (store, working, start) = (&store, &working, &start);
            scope.spawn(move || {
                start.wait();
                for batch in 1..=batches {
                    write(store, writer, batch);
                }
                working.fetch_sub(1, Ordering::Release);
            });
        }
        for _ in 0..READERS {
            scope.spawn(|| {
                let mut newest = [0; WRITERS];
                start.wait();
                while working.load(Ordering::Acquire) > 0 {
                    look(&store, &mut newest);
                    looks.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            // Beside the thread of its own: flushes, deletions, another opening that reads.
            let beside = Store::open_read_only(folder.path(), StoreOptions::new()).unwrap();
            start.wait();
            let mut round = 0;
            while working.load(Ordering::Acquire) > 0 {
                round += 1;
                match round % 4 {
                    0 => store.flush().unwrap(),
                    1 => {
                        let writer = format!("w{}", round / 4 % WRITERS);
                        let matchers =
                            [Matcher::equal("__name__", "gone"), Matcher::equal("writer", &writer)];
                        store.delete_series(&matchers, Timestamp::from_millis(0), Timestamp::MAX).unwrap();
                    }
                    2 => store.clean_tombstones().unwrap(),
                    _ => {
                        beside.refresh().unwrap();
                        look(&beside, &mut [0; WRITERS]);
                    }
                }
                assert!(store.stats().logs > 0);
                store.maintain().unwrap();
            }
        });
    });
    let looks = looks.into_inner();
    for writer in 0..WRITERS {
        assert_eq!(counts(&store.snapshot(), writer).len(), batches);
    }
    assert!(looks > 0, "nobody has read");
    let gone = [Matcher::equal("__name__", "gone")];
    store.delete_series(&gone, Timestamp::from_millis(0), Timestamp::MAX).unwrap();
    store.flush().unwrap();
    store.clean_tombstones().unwrap();
    while store.maintain().unwrap() == Maintained::Step {}
    // Only what got something within the last hour is there.
    let (recent, series) = (3_600_000 / STEP as usize / ROLL + 2 + PODS, store.stats().series);
    assert!(series <= WRITERS * (KEPT + recent), "{series} series are left");
    store.close().unwrap();
    drop(store);
    let store = Store::open(folder.path(), options()).unwrap();
    store.verify().unwrap();
    look(&store, &mut [batches; WRITERS]);
    println!(
        "{WRITERS} writers of {batches} batches, {looks} looks of {READERS} readers, upkeep beside: every snapshot whole"
    );
}
