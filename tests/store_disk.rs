//! A store in a folder: what is salvaged from damage, what is forgotten, and what its options do.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "a test looks at files and waits")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use promgate::{
    Durability, ErrorKind, Health, Item, Labels, Limits, Lost, Maintained, ReadMode, Sample, SampleBuffer,
    SelectRequest, Snapshot, Source, Store, StoreOptions, Timestamp, Window,
};

fn options(log_bytes: u64) -> StoreOptions {
    let mut limits = Limits::default();
    limits.log_bytes = log_bytes;
    limits.min_free_bytes = 0;
    StoreOptions::new().limits(limits)
}

fn series(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name), ("job", "api")])
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

fn append(store: &Store, seconds: i64, names: &[&str]) {
    let mut appender = store.appender();
    for name in names {
        appender.append(&series(name), Sample::float(at(seconds), seconds as f64)).unwrap();
    }
    let report = appender.commit().unwrap();
    assert!(report.refused.is_empty(), "{:?}", report.refused);
}

fn content(snapshot: &Snapshot) -> BTreeMap<(String, i64), u64> {
    let mut content = BTreeMap::new();
    let mut buffer = SampleBuffer::default();
    for item in snapshot.select(&SelectRequest::new(&[], Window::ALL)).unwrap().items {
        let Item::Series(series) = item else { continue };
        buffer.clear();
        series.read(Window::ALL, &mut buffer).unwrap();
        for (time, value) in buffer.times.iter().zip(&buffer.values) {
            assert!(content.insert((series.labels().to_string(), *time), value.to_bits()).is_none());
        }
    }
    content
}

/// The seconds at which `up` has a sample.
fn times(store: &Store) -> Vec<i64> {
    let content = content(&store.snapshot());
    content.keys().filter(|(labels, _)| labels.contains("\"up\"")).map(|(_, time)| time / 1000).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn all_files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let folders = ["", "wal", "seg", "quarantine"];
    let paths = folders.iter().flat_map(|name| files(&folder.join(name))).filter(|path| path.is_file());
    paths.map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

/// Ten samples of `up`, ten seconds apart, over several files of the log; closed.
fn ten_batches(folder: &Path) {
    let store = Store::open(folder, options(150)).unwrap();
    for step in 0..10 {
        append(&store, step * 10, &["up", "down"]);
    }
    store.close().unwrap();
}

/// Flips a bit in the payload of the frame of this number in a file of the log.
fn damage_frame(path: &Path, number: usize) {
    let mut bytes = fs::read(path).unwrap();
    let mut start = 40;
    for _ in 0..number {
        start += 25 + u32::from_le_bytes(bytes[start..start + 4].try_into().unwrap()) as usize;
    }
    bytes[start + 25] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn damage_in_the_log_stops_opening_and_changes_nothing_and_salvage_keeps_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    ten_batches(folder.path());
    let logs = files(&folder.path().join("wal"));
    assert!(logs.len() >= 3, "{logs:?}");
    damage_frame(&logs[1], 1);
    let damaged = fs::read(&logs[1]).unwrap();
    let before = all_files(folder.path());
    let error = Store::open(folder.path(), options(300)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(logs[1].file_name().unwrap().to_str().unwrap()), "{error}");
    assert_eq!(all_files(folder.path()), before);

    let store = Store::open(folder.path(), options(300).salvage(true)).unwrap();
    let kept = times(&store);
    let lost: Vec<i64> = (0..10).map(|step| step * 10).filter(|time| !kept.contains(time)).collect();
    assert!(!lost.is_empty() && kept.contains(&0) && kept.contains(&90), "{kept:?}");
    let losses = store.losses();
    assert_eq!(losses.len(), 1, "{losses:?}");
    assert_eq!(losses[0].why, Lost::Salvaged);
    for time in 0..10 {
        let touches = losses[0].touches(Window::new(at(time * 10 - 1), at(time * 10)));
        assert!(touches || !lost.contains(&(time * 10)), "{time}: {}", losses[0]);
    }
    assert!(!losses[0].touches(Window::new(at(-1), at(0))), "{}", losses[0]);
    assert!(!losses[0].touches(Window::new(at(89), at(90))), "{}", losses[0]);
    let aside = files(&folder.path().join("quarantine"));
    assert_eq!(aside.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>(), [damaged]);

    append(&store, 100, &["up"]);
    store.close().unwrap();
    drop(store);
    // What was salvaged needs no salvaging again, and the loss stays on record.
    let store = Store::open(folder.path(), options(300)).unwrap();
    assert_eq!(times(&store), kept.iter().copied().chain([100]).collect::<Vec<_>>());
    assert_eq!(store.losses(), losses);
}

#[test]
fn damage_in_the_first_batch_loses_all_up_to_the_next_file() {
    let folder = tempfile::tempdir().unwrap();
    ten_batches(folder.path());
    damage_frame(&files(&folder.path().join("wal"))[0], 0);
    let store = Store::open(folder.path(), options(300).salvage(true)).unwrap();
    let first = times(&store)[0];
    assert!(first > 0);
    let losses = store.losses();
    assert!(losses[0].touches(Window::new(at(first - 10), at(first))), "{}", losses[0]);
    assert!(!losses[0].touches(Window::new(at(80), at(90))), "{}", losses[0]);
}

#[test]
fn a_hole_in_the_log_may_have_held_the_instant_of_the_newest_sample_and_samples_ahead_of_what_is_behind_it() {
    type Batch = (i64, &'static str);
    let lagging: &[Batch] = &[(100, "up"), (130, "ahead"), (100, "down")];
    // Each a file of the log: what is before the hole, in it and behind it, and the first instant that is in no doubt.
    let logs: [([&[Batch]; 3], i64); 2] = [
        ([&[(130, "up")], &[(130, "down")], &[(140, "up")]], 140),
        ([lagging, &[(130, "other"), (200, "ahead")], &[(180, "down")]], 210),
    ];
    for (batches, end) in logs {
        let folder = tempfile::tempdir().unwrap();
        for part in batches {
            let store = Store::open(folder.path(), StoreOptions::new()).unwrap();
            part.iter().for_each(|(seconds, name)| append(&store, *seconds, &[name]));
            store.close().unwrap();
        }
        fs::remove_file(&files(&folder.path().join("wal"))[1]).unwrap();
        let store = Store::open(folder.path(), StoreOptions::new().salvage(true)).unwrap();
        let losses = store.losses();
        let is_told = |second| {
            let own = Window::new(at(second - 1), at(second));
            losses.iter().any(|loss| loss.touches(own))
        };
        assert!(batches[1].iter().all(|(second, _)| is_told(*second)), "{losses:?}");
        assert!(!is_told(end + 1), "{losses:?}");
    }
}

#[test]
fn a_hole_in_the_log_may_have_held_samples_of_series_that_lag_behind_the_others() {
    for is_missing in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), options(150)).unwrap();
        for step in 0..10 {
            append(&store, 500 + step * 10, &["down"]);
            append(&store, step * 10, &["up"]);
        }
        store.close().unwrap();
        drop(store);
        let log = files(&folder.path().join("wal"))[1].clone();
        if is_missing {
            fs::remove_file(&log).unwrap();
        } else {
            damage_frame(&log, 0);
        }
        let store = Store::open(folder.path(), options(300).salvage(true)).unwrap();
        let kept = times(&store);
        let lost: Vec<i64> = (0..10).map(|step| step * 10).filter(|time| !kept.contains(time)).collect();
        assert!(!lost.is_empty() && kept.contains(&0) && kept.contains(&90), "{kept:?}");
        let losses = store.losses();
        for time in lost {
            let own = Window::new(at(time - 1), at(time));
            assert!(losses.iter().any(|loss| loss.touches(own)), "{time}: {losses:?}");
        }
        assert!(!losses.iter().any(|loss| loss.touches(Window::new(at(-1), at(0)))), "{losses:?}");
    }
}

#[test]
fn a_missing_file_of_the_log_is_left_out_by_salvage() {
    let folder = tempfile::tempdir().unwrap();
    ten_batches(folder.path());
    fs::remove_file(&files(&folder.path().join("wal"))[1]).unwrap();
    assert_eq!(Store::open(folder.path(), options(300)).unwrap_err().kind(), ErrorKind::Corrupt);
    let store = Store::open(folder.path(), options(300).salvage(true)).unwrap();
    let kept = times(&store);
    assert!(kept.contains(&0) && kept.contains(&90) && kept.len() < 10, "{kept:?}");
    assert_eq!(store.losses().iter().map(|loss| loss.why).collect::<Vec<_>>(), [Lost::Salvaged]);
}

#[test]
fn a_damaged_segment_is_left_out_by_salvage_and_kept_aside() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options(1 << 20)).unwrap();
    for part in 0..3 {
        for step in 0..4 {
            append(&store, part * 100 + step * 10, &["up"]);
        }
        store.flush().unwrap();
    }
    assert_eq!(store.stats().segments, 3);
    store.close().unwrap();
    drop(store);
    let segment = files(&folder.path().join("seg"))[1].clone();
    let mut bytes = fs::read(&segment).unwrap();
    let last = bytes.len() - 20;
    bytes[last] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    assert_eq!(Store::open(folder.path(), options(1 << 20)).unwrap_err().kind(), ErrorKind::Corrupt);
    let store = Store::open(folder.path(), options(1 << 20).salvage(true)).unwrap();
    assert_eq!(times(&store), [0, 10, 20, 30, 200, 210, 220, 230]);
    let losses = store.losses();
    assert_eq!((losses.len(), losses[0].why), (1, Lost::Segment));
    assert!(
        losses[0].touches(Window::new(at(99), at(100))) && losses[0].touches(Window::new(at(129), at(130)))
    );
    assert!(
        !losses[0].touches(Window::new(at(0), at(99))) && !losses[0].touches(Window::new(at(130), at(300)))
    );
    assert_eq!(fs::read(&files(&folder.path().join("quarantine"))[0]).unwrap(), bytes);
    drop(store);
    assert_eq!(times(&Store::open(folder.path(), options(1 << 20)).unwrap()).len(), 8);
}

#[test]
fn retention_forgets_the_oldest_and_a_snapshot_keeps_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options(1 << 20).retention(Duration::from_secs(1_000))).unwrap();
    for step in 0..10 {
        append(&store, step * 100, &["up"]);
        store.flush().unwrap();
    }
    let held = store.snapshot();
    let before = content(&held);
    assert_eq!(before.len(), 10);
    for step in 10..40 {
        append(&store, step * 100, &["up"]);
        store.flush().unwrap();
    }
    // Open on the left: what is 1,000 s old to the second is forgotten.
    assert_eq!(times(&store), (30..40).map(|step| step * 100).collect::<Vec<_>>());
    assert_eq!(content(&held), before);
    let oldest = times(&store)[0];
    assert!(store.stats().sealed_samples < 40, "{oldest}: {:?}", store.stats());
}

#[test]
fn retention_by_bytes_keeps_the_newest_segments() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options(1 << 20).retention_bytes(1_500)).unwrap();
    for step in 0..60 {
        append(&store, step * 100, &["up"]);
        store.flush().unwrap();
    }
    while store.maintain().unwrap() == Maintained::Step {}
    let stats = store.stats();
    assert!(stats.segment_bytes <= 1_500 && stats.segments > 0, "{stats:?}");
    drop(store);
    let store = Store::open(folder.path(), options(1 << 20)).unwrap();
    let left = times(&store);
    assert!(left.len() < 60 && left.last() == Some(&5_900), "{left:?}");
}

#[test]
fn series_without_samples_leave_memory_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut limits = Limits::default();
    limits.series = 2;
    let store = Store::open(folder.path(), StoreOptions::new().limits(limits)).unwrap();
    append(&store, 0, &["up", "gone"]);
    for hour in 1..4 {
        append(&store, hour * 3_600, &["up"]);
        store.flush().unwrap();
    }
    assert_eq!((store.stats().active_series, store.stats().series), (1, 2));
    // Its samples are there, older ones are refused, and it does not count against the limit.
    assert_eq!(content(&store.snapshot()).len(), 5);
    let mut late = store.appender();
    late.append(&series("gone"), Sample::float(at(-10), 1.0)).unwrap();
    assert_eq!(late.commit().unwrap().refused[0].error.kind(), ErrorKind::OutOfOrder);
    append(&store, 4 * 3_600, &["up", "new"]);
    append(&store, 5 * 3_600, &["up", "gone"]);
    assert_eq!(store.stats().active_series, 3);
    let before = content(&store.snapshot());
    assert_eq!(before.len(), 9);
    store.close().unwrap();
    drop(store);
    assert_eq!(content(&Store::open(folder.path(), StoreOptions::new()).unwrap().snapshot()), before);
}

#[test]
fn a_histogram_whose_columns_come_apart_does_not_stay_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options(1 << 20)).unwrap();
    let bounds = ["1", "2", "+Inf"];
    let mut most = 0;
    for step in 0..2_000_i64 {
        let mut appender = store.appender();
        for (index, bound) in bounds.iter().enumerate() {
            let labels = Labels::from_pairs([("__name__", "h_bucket"), ("le", bound)]);
            let time = Timestamp::from_millis(step * 10_000 + index as i64);
            appender.append(&labels, Sample::float(time, (step as f64).sqrt())).unwrap();
        }
        assert_eq!(appender.commit().unwrap().appended, 3);
        while store.maintain().unwrap() == Maintained::Step {}
        most = most.max(store.stats().sample_bytes);
    }
    // All of it would be twice as much.
    assert!(most < 24 << 10, "{most} bytes for three series");
    let held = content(&store.snapshot());
    assert_eq!(held.len(), 6_000);
}

#[test]
fn a_thread_seals_where_it_is_asked_for_and_ends_with_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options(1 << 20).background(true)).unwrap();
    for step in 0..200 {
        append(&store, step, &["up"]);
    }
    let started = Instant::now();
    while store.stats().segments == 0 {
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", store.stats());
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(store);
    // The lock is free: the thread holds nothing.
    assert_eq!(times(&Store::open(folder.path(), options(1 << 20)).unwrap()).len(), 200);
}

#[test]
fn a_report_says_whether_the_batch_is_durable() {
    for (durability, wanted) in [
        (Durability::Each, true),
        (Durability::Interval(Duration::ZERO), true),
        (Durability::Interval(Duration::from_secs(3_600)), false),
        (Durability::Never, false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), options(1 << 20).durability(durability)).unwrap();
        let mut appender = store.appender();
        appender.append(&series("up"), Sample::float(at(1), 1.0)).unwrap();
        let report = appender.commit().unwrap();
        assert_eq!((report.durable, report.sequence), (wanted, 1), "{durability:?}");
    }
}

#[test]
fn segments_read_by_position_hold_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options(1 << 20)).unwrap();
    for step in 0..300 {
        append(&store, step, &["up", "down"]);
    }
    store.flush().unwrap();
    let mapped = content(&store.snapshot());
    store.close().unwrap();
    drop(store);
    let by_position = options(1 << 20).read_mode(ReadMode::Positioned);
    let store = Store::open(folder.path(), by_position).unwrap();
    assert_eq!(content(&store.snapshot()), mapped);
    store.verify().unwrap();
}

#[test]
fn one_batch_from_one_end_of_time_to_the_other_is_replayed_and_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let ends = [Timestamp::from_millis(i64::MIN + 1), Timestamp::MAX];
    let store = Store::open(folder.path(), options(1 << 20)).unwrap();
    let mut appender = store.appender();
    for (name, time) in ["up", "down"].into_iter().flat_map(|name| ends.map(|time| (name, time))) {
        appender.append(&series(name), Sample::float(time, 1.0)).unwrap();
    }
    assert_eq!(appender.commit().unwrap().appended, 4);
    let held = content(&store.snapshot());
    assert_eq!(held.len(), 4);
    drop(store);
    let store = Store::open(folder.path(), options(1 << 20)).unwrap();
    assert_eq!(content(&store.snapshot()), held);
    store.flush().unwrap();
    drop(store);
    let store = Store::open(folder.path(), options(1 << 20)).unwrap();
    assert_eq!((store.stats().sealed_samples, content(&store.snapshot())), (4, held));
}

#[test]
fn a_closed_store_is_read_and_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options(1 << 20)).unwrap();
    append(&store, 1, &["up"]);
    store.close().unwrap();
    assert_eq!(store.health(), Health::Closed);
    let mut appender = store.appender();
    appender.append(&series("up"), Sample::float(at(2), 1.0)).unwrap();
    assert_eq!(appender.commit().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(store.maintain().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(times(&store), [1]);
    assert!(store.snapshot().losses(Window::ALL).is_empty());
    store.close().unwrap();
}

/// A histogram's columns for one second.
fn columns(store: &Store, second: i64, names: &[&str]) -> (usize, usize) {
    let mut appender = store.appender();
    for name in names {
        let labels = match name.strip_prefix("le=") {
            Some(bound) => Labels::from_pairs([("__name__", "h_bucket"), ("le", bound)]),
            None => Labels::from_pairs([("__name__", *name)]),
        };
        appender.append(&labels, Sample::float(at(second), second as f64)).unwrap();
    }
    let report = appender.commit().unwrap();
    (report.appended, report.refused.len())
}

#[test]
fn columns_that_come_after_their_row_was_sealed_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options(1 << 20)).unwrap();
    let all = ["le=1", "le=+Inf", "h_count", "h_sum"];
    columns(&store, 10, &all);
    assert_eq!(columns(&store, 20, &all[..2]), (2, 0));
    store.flush().unwrap();
    // The rest of the row, in a batch of its own.
    assert_eq!(columns(&store, 20, &all[2..]), (2, 0));
    let whole = content(&store.snapshot());
    assert_eq!(whole.len(), 8);
    store.flush().unwrap();
    assert_eq!(content(&store.snapshot()), whole);
    store.close().unwrap();
    drop(store);
    let store = Store::open(folder.path(), options(1 << 20)).unwrap();
    assert_eq!(content(&store.snapshot()), whole);
    // What a column has in a segment is not taken again.
    assert_eq!(columns(&store, 30, &all[..1]), (1, 0));
    assert_eq!(columns(&store, 20, &all).0, 0);
    assert_eq!(columns(&store, 15, &all), (0, 4));
    assert_eq!(content(&store.snapshot()).len(), 9);
}

#[test]
fn a_series_stays_in_its_histogram_or_outside_of_it_when_the_store_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options(1 << 20)).unwrap();
    // The one is a histogram's; the other was there before its histogram.
    columns(&store, 10, &["le=1", "le=+Inf", "h_count"]);
    columns(&store, 10, &["g_count"]);
    store.flush().unwrap();
    columns(&store, 20, &["h_count"]);
    drop(store);
    for second in [30, 40] {
        let store = Store::open(folder.path(), options(1 << 20)).unwrap();
        // Nothing has asked the segments for what they hold.
        assert_eq!(columns(&store, second, &["h_count", "g_count", "h_sum"]), (3, 0));
        let mut bucket = store.appender();
        let labels = Labels::from_pairs([("__name__", "g_bucket"), ("le", "1")]);
        bucket.append(&labels, Sample::float(at(second), 1.0)).unwrap();
        bucket.commit().unwrap();
        let snapshot = store.snapshot();
        let mut names: Vec<String> = snapshot
            .select(&SelectRequest::new(&[], Window::ALL))
            .unwrap()
            .items
            .iter()
            .map(|item| item.labels().to_string())
            .collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "a series is there twice: {names:?}");
        assert_eq!(count, 6);
        store.flush().unwrap();
    }
}
