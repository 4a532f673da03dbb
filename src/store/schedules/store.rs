//! The store as a whole: batches that become visible, segments that take their place, closing, and the thread of its upkeep.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::backing::{Backing, CutStyle, SimulatedDisk};
use super::super::crash::content;
use super::super::law::abandon;
use super::super::planted::Bug;
use super::super::{Durability, Limits, Snapshot, Store, StoreOptions};
use super::{catches, holds, spawn};
use crate::error::{ErrorKind, Result};
use crate::model::{Labels, Sample, Timestamp};

const PARTS: [&str; 2] = ["a", "b"];

fn options() -> StoreOptions {
    let limits = Limits { min_free_bytes: 0, ..Limits::default() };
    StoreOptions::new().limits(limits).durability(Durability::Each)
}

fn open(disk: &Arc<SimulatedDisk>, options: StoreOptions) -> Result<Store> {
    let backing: Arc<dyn Backing> = disk.clone();
    Store::open_on(backing, options)
}

fn labels(writer: usize, part: &str) -> Labels {
    Labels::from_pairs([("__name__", "w"), ("writer", &*writer.to_string()), ("part", part)])
}

/// A batch of two series.
fn commit(store: &Store, writer: usize, batch: i64) -> Result<bool> {
    let mut appender = store.appender();
    for part in PARTS {
        let sample = Sample::float(Timestamp::from_millis(1000 + batch), batch as f64);
        appender.append(&labels(writer, part), sample)?;
    }
    Ok(appender.commit()?.durable)
}

/// The batches that are there, each whole.
fn batches(snapshot: &Snapshot) -> BTreeSet<(usize, i64)> {
    let found = content(snapshot).unwrap();
    let mut batches = BTreeSet::new();
    for writer in 0..4 {
        let [first, second] = PARTS.map(|part| {
            let name = labels(writer, part).to_string();
            let own = found.range((name.clone(), i64::MIN)..=(name, i64::MAX));
            own.map(|((_, time), _)| time - 1000).collect::<BTreeSet<i64>>()
        });
        assert_eq!(first, second, "a batch in parts");
        batches.extend(first.into_iter().map(|batch| (writer, batch)));
    }
    batches
}

/// What is there after a power cut now.
fn left(disk: &SimulatedDisk) -> BTreeSet<(usize, i64)> {
    let disk = Arc::new(disk.power_cut_in(CutStyle::Nothing, 1));
    let store = open(&disk, options()).unwrap();
    let found = batches(&store.snapshot());
    abandon(store);
    found
}

/// Two looks: a commit that was seen stays, and the first look stays as it is.
fn look(store: &Store) {
    let first = store.snapshot();
    let seen = batches(&first);
    assert!(batches(&store.snapshot()).is_superset(&seen), "a commit that was seen is gone");
    assert_eq!(batches(&first), seen, "a snapshot changed");
}

fn a_reader_beside_a_writer() {
    let store = Store::in_memory(options());
    let own = store.clone();
    let writer = spawn(move || commit(&own, 0, 0).map(drop));
    look(&store);
    writer.join().unwrap().unwrap();
    assert_eq!(batches(&store.snapshot()), BTreeSet::from([(0, 0)]));
}

fn a_reader_beside_two_writers() {
    let store = Store::in_memory(options());
    let writers = [0, 1].map(|writer| {
        let store = store.clone();
        spawn(move || commit(&store, writer, 0).map(drop))
    });
    look(&store);
    writers.into_iter().for_each(|writer| writer.join().unwrap().unwrap());
    assert_eq!(batches(&store.snapshot()), BTreeSet::from([(0, 0), (1, 0)]));
}

/// A segment takes the place of heads, while a batch is committed.
fn a_flush_beside_a_writer() {
    let disk = Arc::new(SimulatedDisk::new(1));
    let store = open(&disk, options()).unwrap();
    commit(&store, 0, 0).unwrap();
    let own = store.clone();
    let writer = spawn(move || commit(&own, 1, 1).unwrap());
    store.flush().unwrap();
    assert!(batches(&store.snapshot()).contains(&(0, 0)));
    assert!(writer.join().unwrap());
    let both = BTreeSet::from([(0, 0), (1, 1)]);
    assert_eq!(batches(&store.snapshot()), both);
    assert_eq!(left(&disk), both);
    abandon(store);
}

/// A segment takes the place of heads, while somebody looks.
fn a_flush_beside_a_reader() {
    let disk = Arc::new(SimulatedDisk::new(1));
    let store = open(&disk, options()).unwrap();
    commit(&store, 0, 0).unwrap();
    let own = store.clone();
    let reader = spawn(move || {
        let first = own.snapshot();
        assert_eq!(batches(&first), BTreeSet::from([(0, 0)]));
        look(&own);
        assert_eq!(batches(&first), BTreeSet::from([(0, 0)]));
    });
    store.flush().unwrap();
    reader.join().unwrap();
    abandon(store);
}

fn closing_beside_a_writer() {
    let disk = Arc::new(SimulatedDisk::new(1));
    let store = open(&disk, options()).unwrap();
    commit(&store, 1, 0).unwrap();
    let own = store.clone();
    let writer = spawn(move || match commit(&own, 0, 0) {
        Ok(durable) => {
            assert!(durable);
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
            false
        }
    });
    store.close().unwrap();
    let taken = writer.join().unwrap();
    assert_eq!(left(&disk).contains(&(0, 0)), taken);
}

#[test]
fn batches_become_visible_whole() {
    holds("a reader beside a writer", Some(3), a_reader_beside_a_writer);
    holds("a reader beside two writers", Some(2), a_reader_beside_two_writers);
}

#[test]
fn segments_take_the_place_of_heads_in_one_step() {
    holds("a flush beside a writer", Some(2), a_flush_beside_a_writer);
    holds("a flush beside a reader", Some(2), a_flush_beside_a_reader);
}

#[test]
fn closing_ends_no_commit_in_the_middle() {
    holds("closing beside a writer", Some(2), closing_beside_a_writer);
}

#[test]
fn planted_bugs_of_publication_are_caught() {
    catches(Bug::HalfBatches, "store::batches_become_visible_whole", "a batch in parts");
    catches(Bug::StaleSwap, "store::segments_take_the_place_of_heads_in_one_step", "(1, 1)");
}

/// Scenes that are too large for every order.
#[cfg(shuttle)]
mod large {
    use std::io;

    use super::super::super::Maintained;
    use super::super::super::backing::Fault;
    use super::*;

    /// Writers, readers and upkeep at once: all that is acknowledged is there, before a cut and after it.
    fn everything_at_once() {
        let disk = Arc::new(SimulatedDisk::new(1));
        let limits = Limits { log_bytes: 300, min_free_bytes: 0, ..Limits::default() };
        let store = open(&disk, options().limits(limits)).unwrap();
        let writers = [0, 1, 2].map(|writer| {
            let store = store.clone();
            spawn(move || (0..3).for_each(|batch| assert!(commit(&store, writer, batch).unwrap())))
        });
        let upkeep = {
            let store = store.clone();
            spawn(move || {
                store.flush().unwrap();
                while store.maintain().unwrap() == Maintained::Step {}
            })
        };
        look(&store);
        look(&store);
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        upkeep.join().unwrap();
        let all: BTreeSet<(usize, i64)> = (0..3).flat_map(|w| (0..3).map(move |b| (w, b))).collect();
        assert_eq!(batches(&store.snapshot()), all);
        assert_eq!(left(&disk), all);
        store.verify().unwrap();
        store.close().unwrap();
    }

    /// A sync fails under writers and upkeep: what was acknowledged before is there after a cut, and nothing later is.
    fn a_sync_fails_under_all() {
        let disk = Arc::new(SimulatedDisk::new(1));
        let store = open(&disk, options()).unwrap();
        commit(&store, 3, 0).unwrap();
        disk.set_fault(Fault::ErrorAt { op: 6, error: io::ErrorKind::Other, sticky: false, only_sync: true });
        let writers = [0, 1].map(|writer| {
            let store = store.clone();
            spawn(move || (0..3).take_while(|batch| commit(&store, writer, *batch).is_ok()).count())
        });
        let upkeep = {
            let store = store.clone();
            spawn(move || store.flush().is_ok())
        };
        let acknowledged = writers.map(|writer| writer.join().unwrap());
        upkeep.join().unwrap();
        let found = left(&disk);
        assert!(found.contains(&(3, 0)));
        for (writer, count) in acknowledged.into_iter().enumerate() {
            let there = found.iter().filter(|(other, _)| *other == writer).count();
            assert!(there >= count, "writer {writer}: {there} of {count} acknowledged batches");
        }
        abandon(store);
    }

    /// The thread of the upkeep ends with the store, whoever lets go of it last.
    fn the_thread_of_the_upkeep_ends() {
        let disk = Arc::new(SimulatedDisk::new(1));
        let store = open(&disk, options().background(true)).unwrap();
        let own = store.clone();
        let writer = spawn(move || {
            commit(&own, 0, 0).unwrap();
            own.snapshot()
        });
        commit(&store, 1, 1).unwrap();
        drop(store);
        let snapshot = writer.join().unwrap();
        assert!(batches(&snapshot).contains(&(0, 0)));
        // The last that holds the store: closed when this is done, not when the thread gets to it.
        drop(snapshot);
        let again = open(&disk, options()).unwrap();
        assert!(!again.open_report().unwrap().unclean);
        drop(again);
        assert_eq!(left(&disk), BTreeSet::from([(0, 0), (1, 1)]));
    }

    /// The store is closed, while its thread is at work.
    fn closing_under_the_upkeep() {
        let disk = Arc::new(SimulatedDisk::new(1));
        let limits = Limits { log_bytes: 300, min_free_bytes: 0, ..Limits::default() };
        let store = open(&disk, options().limits(limits).background(true)).unwrap();
        (0..4).for_each(|batch| assert!(commit(&store, 0, batch).unwrap()));
        store.close().unwrap();
        assert!(commit(&store, 0, 9).is_err_and(|error| error.kind() == ErrorKind::Closed));
        drop(store);
        assert_eq!(left(&disk).len(), 4);
    }

    #[test]
    fn writers_readers_and_upkeep_at_once() {
        holds("everything at once", None, everything_at_once);
    }

    #[test]
    fn a_sync_that_fails_under_all() {
        holds("a sync fails under all", None, a_sync_fails_under_all);
    }

    #[test]
    fn the_upkeep_ends_with_the_store() {
        holds("the thread of the upkeep ends", None, the_thread_of_the_upkeep_ends);
        holds("closing under the upkeep", None, closing_under_the_upkeep);
    }
}
