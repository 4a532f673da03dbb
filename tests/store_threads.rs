//! Writers and readers at once: a snapshot holds whole batches, and stays as it is.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use promgate::{
    Item, Labels, Matcher, Sample, SampleBuffer, SelectRequest, Snapshot, Source, Store, StoreOptions,
    Timestamp, Window,
};

const WRITERS: usize = 3;
const BATCHES: usize = 150;

/// Series of a batch: five columns of a histogram, and counters, of which more and more are new.
fn width(batch: usize) -> usize {
    5 + 3 + batch / 8
}

fn write(store: &Store, writer: usize, batch: usize) {
    let name = format!("w{writer}");
    let mut appender = store.appender();
    let sample = Sample::float(Timestamp::from_millis(batch as i64), batch as f64);
    for bound in ["1", "2", "+Inf"] {
        let labels = Labels::from_pairs([("__name__", "d_bucket"), ("writer", &name), ("le", bound)]);
        appender.append(&labels, sample.clone()).unwrap();
    }
    for metric in ["d_count", "d_sum"] {
        appender
            .append(&Labels::from_pairs([("__name__", metric), ("writer", &name)]), sample.clone())
            .unwrap();
    }
    for number in 0..width(batch) - 5 {
        let number = number.to_string();
        let labels = Labels::from_pairs([("__name__", "c"), ("writer", &*name), ("number", &*number)]);
        appender.append(&labels, sample.clone()).unwrap();
    }
    let report = appender.commit().unwrap();
    assert_eq!((report.appended, report.refused.len()), (width(batch), 0));
}

/// How many samples a writer has at each time.
fn counts(snapshot: &Snapshot, writer: usize) -> BTreeMap<i64, usize> {
    let matchers = [Matcher::equal("writer", &format!("w{writer}"))];
    let set = snapshot.select(&SelectRequest::new(&matchers, Window::ALL)).unwrap();
    let mut counts = BTreeMap::new();
    let mut samples = SampleBuffer::default();
    for item in &set.items {
        let Item::Series(series) = item else { panic!("no family was asked for") };
        samples.clear();
        series.read(Window::ALL, &mut samples).unwrap();
        for time in &samples.times {
            *counts.entry(*time).or_default() += 1;
        }
    }
    counts
}

#[test]
fn every_snapshot_holds_whole_batches() {
    let store = Store::in_memory(StoreOptions::new());
    let working = AtomicUsize::new(WRITERS);
    // On a busy machine the writers are else done before anybody reads.
    let start = Barrier::new(WRITERS + 2);
    let seen = std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (store, working, start) = (&store, &working, &start);
            scope.spawn(move || {
                start.wait();
                for batch in 1..=BATCHES {
                    write(store, writer, batch);
                }
                working.fetch_sub(1, Ordering::Release);
            });
        }
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = 0;
                    let mut newest = [0; WRITERS];
                    start.wait();
                    while working.load(Ordering::Acquire) > 0 {
                        let snapshot = store.snapshot();
                        for (writer, newest) in newest.iter_mut().enumerate() {
                            let found = counts(&snapshot, writer);
                            let wanted: BTreeMap<i64, usize> =
                                (1..=found.len()).map(|batch| (batch as i64, width(batch))).collect();
                            assert_eq!(found, wanted, "a batch in parts");
                            assert!(found.len() >= *newest, "a commit that was seen is gone");
                            *newest = found.len();
                            assert_eq!(counts(&snapshot, writer), found, "a snapshot changed");
                        }
                        seen += 1;
                    }
                    seen
                })
            })
            .collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).sum::<usize>()
    });
    assert!(seen > 0);
    let expected: usize = (1..=BATCHES).map(width).sum::<usize>() * WRITERS;
    assert_eq!(store.stats().samples, expected as u64);
    for writer in 0..WRITERS {
        assert_eq!(counts(&store.snapshot(), writer).len(), BATCHES);
    }
}
