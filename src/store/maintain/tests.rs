use std::sync::Arc;
use std::time::Duration;

use super::super::backing::{Access, Fault, FolderBacking, FolderOptions, ReadMode, SimulatedDisk};
use super::super::law::{abandon, open_on};
use super::super::planted::{Bug, plant};
use super::super::{Limits, Store, StoreOptions};
use crate::error::{ErrorKind, Result};
use crate::model::{Labels, Matcher, Sample, SampleBuffer, Timestamp, Window};
use crate::source::{Item, SelectRequest, Source};

fn append(store: &Store, seconds: i64) -> Result<usize> {
    let mut appender = store.appender();
    for job in ["a", "b"] {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", job)]);
        appender.append(&labels, Sample::float(Timestamp::from_secs(seconds), seconds as f64))?;
    }
    appender.commit().map(|report| report.appended)
}

fn read(source: &dyn Source) -> Vec<i64> {
    let matchers = [Matcher::equal("job", "a")];
    let mut samples = SampleBuffer::default();
    for item in source.select(&SelectRequest::new(&matchers, Window::ALL)).unwrap().items {
        let Item::Series(series) = item else { continue };
        series.read(Window::ALL, &mut samples).unwrap();
    }
    samples.times
}

#[test]
fn as_much_room_as_has_to_stay_is_enough_and_a_byte_less_is_not() {
    for (free, taken) in [(50_000, true), (49_999, false)] {
        let disk = Arc::new(SimulatedDisk::new(3));
        disk.set_fault(Fault::FullAfter(free));
        let limits = Limits { min_free_bytes: 50_000, ..Limits::default() };
        // Opening takes a part of it.
        let store = Store::open_on(disk.clone(), StoreOptions::new().limits(limits)).unwrap();
        disk.set_fault(Fault::FullAfter(free));
        match append(&store, 1) {
            Ok(appended) => assert!(taken && appended == 2),
            Err(error) => {
                assert!(!taken && error.kind() == ErrorKind::Full, "{error}");
                assert!(error.to_string().contains("49999 bytes are free, 50000 have to stay so"), "{error}");
                disk.set_fault(Fault::None);
                append(&store, 2).unwrap();
            }
        }
    }
    let disk = Arc::new(SimulatedDisk::new(3));
    let limits = Limits { min_free_bytes: 0, ..Limits::default() };
    let store = Store::open_on(disk.clone(), StoreOptions::new().limits(limits)).unwrap();
    disk.set_fault(Fault::FullAfter(4_000));
    append(&store, 1).unwrap();
}

#[test]
fn a_store_of_more_segments_than_handles_is_read_and_its_snapshots_outlive_their_files() {
    for (handles, open) in [(0, 0), (2, 2), (6, 6), (7, 6)] {
        let folder = tempfile::tempdir().unwrap();
        let options = FolderOptions {
            access: Access::ReadWrite,
            read_mode: ReadMode::Positioned,
            open_files: Some(handles),
            held_bytes: Some(0),
            no_lock: false,
        };
        let backing = Arc::new(FolderBacking::open_with(folder.path(), options).unwrap());
        let limits = Limits { min_free_bytes: 0, ..Limits::default() };
        // Retention that lets nothing go, and no segment grow.
        let options = StoreOptions::new().limits(limits).retention(Duration::from_secs(1_000));
        let store = Store::open_on(backing.clone(), options.clone()).unwrap();
        for second in 0..300 {
            append(&store, second).unwrap();
            if second % 50 == 49 {
                store.flush().unwrap();
            }
        }
        assert_eq!(store.stats().segments, 6);
        store.close().unwrap();
        drop(store);
        let store = Store::open_on(backing.clone(), options).unwrap();
        let wanted: Vec<i64> = (0..300).map(|second| second * 1_000).collect();
        for _ in 0..3 {
            assert_eq!(read(&store.snapshot()), wanted);
            assert_eq!(backing.open_count(), open, "{handles} handles");
        }
        store.verify().unwrap();
        let before = store.snapshot();
        let all = [Matcher::equal("__name__", "up")];
        store.delete_series(&all, Timestamp::from_secs(0), Timestamp::from_secs(149)).unwrap();
        store.clean_tombstones().unwrap();
        assert_eq!(store.stats().segments, 3);
        assert_eq!(read(&store.snapshot()), wanted[150..]);
        assert_eq!(read(&before), wanted, "the files are gone, and are read all the same");
    }
}

/// What is deleted of a segment, too little of it to write the segment anew, after a flush without the log that says so, and a
/// power cut: the times that are there, and how many tombstones the manifest has.
fn hidden_after_a_flush(bug: Option<Bug>) -> (Vec<i64>, usize) {
    let disk = Arc::new(SimulatedDisk::new(3));
    let limits = Limits { min_free_bytes: 0, ..Limits::default() };
    let options = StoreOptions::new().limits(limits);
    let store = open_on(&disk, options.clone()).unwrap();
    let scrape = |second: i64| {
        let mut appender = store.appender();
        for number in 0..100 {
            let job = if number == 0 { "a".to_owned() } else { format!("other {number}") };
            let labels = Labels::from_pairs([("__name__", "up"), ("job", &*job)]);
            appender.append(&labels, Sample::float(Timestamp::from_secs(second), 1.0)).unwrap();
        }
        appender.commit().unwrap();
    };
    (1..=10).for_each(scrape);
    store.flush().unwrap();
    store
        .delete_series(&[Matcher::equal("job", "a")], Timestamp::from_secs(3), Timestamp::from_secs(11))
        .unwrap();
    scrape(11);
    plant(bug);
    store.flush().unwrap();
    plant(None);
    abandon(store);
    let store = open_on(&Arc::new(disk.power_cut(1)), options).unwrap();
    assert_eq!(store.open_report().unwrap().replayed_samples, 0, "the log is gone");
    let published = store.inner.disk.as_ref().unwrap().manifest.lock().tombstones.len();
    let found = read(&store.snapshot());
    abandon(store);
    (found, published)
}

#[test]
fn what_is_deleted_stays_hidden_when_the_log_that_says_so_is_dropped() {
    assert_eq!(hidden_after_a_flush(None), (vec![1_000, 2_000, 11_000], 1));
    let all = (1..=11).map(|second| second * 1_000).collect();
    assert_eq!(hidden_after_a_flush(Some(Bug::TombstonesLeftOut)), (all, 0));
}

#[test]
fn a_seal_that_fails_gives_nothing_back_while_somebody_writes_or_deletes() {
    let disk = Arc::new(SimulatedDisk::new(3));
    let out_of_order_window = Duration::from_secs(600);
    let limits = Limits { min_free_bytes: 0, out_of_order_window, ..Limits::default() };
    let store = open_on(&disk, StoreOptions::new().limits(limits)).unwrap();
    append(&store, 2).unwrap();
    append(&store, 1).unwrap();
    let inner = &store.inner;
    let job = inner.start_flush(inner.disk.as_ref().unwrap()).unwrap();
    let is_sealing = || inner.view.read().sealing.is_some();
    std::thread::scope(|scope| {
        let writer = inner.writer.lock();
        let (sender, given_up) = std::sync::mpsc::channel();
        scope.spawn(move || {
            inner.give_up_sealing();
            sender.send(()).unwrap();
        });
        assert!(given_up.recv_timeout(Duration::from_millis(100)).is_err());
        assert!(is_sealing());
        drop(writer);
        given_up.recv().unwrap();
    });
    assert!(!is_sealing());
    assert_eq!(read(&store.snapshot()), [1_000, 2_000]);
    drop(job);
    abandon(store);
}
