//! A log with a hole, deletions and late rows on both sides of it and inside: what salvage keeps, and what it says is missing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "a test looks at files")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use promgate::{
    Durability, ErrorKind, Item, Labels, Limits, Lost, Matcher, Sample, SampleBuffer, SelectRequest, Source,
    Store, StoreOptions, Timestamp, Window,
};

const BOUNDS: [&str; 3] = ["1", "5", "+Inf"];

fn options(window: u64) -> StoreOptions {
    let mut limits = Limits::default();
    limits.min_free_bytes = 0;
    limits.out_of_order_window = Duration::from_secs(window);
    StoreOptions::new().limits(limits).durability(Durability::Never)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

fn named(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name)])
}

/// A batch with `up` and `down` and a row of a histogram, at each of the times.
fn append(store: &Store, seconds: &[i64], more: &[Labels]) {
    let mut appender = store.appender();
    let family = appender.family(&named("h"), &BOUNDS).unwrap();
    for second in seconds {
        let value = *second as f64;
        for name in ["up", "down"] {
            appender.append(&named(name), Sample::float(at(*second), value)).unwrap();
        }
        let row = [value, value * 2.0, value * 3.0];
        appender.append_family(&family, at(*second), &row, value * 3.0, value / 7.0).unwrap();
    }
    for labels in more {
        appender.append(labels, Sample::float(at(seconds[0]), 1.0)).unwrap();
    }
    let report = appender.commit().unwrap();
    assert!(report.refused.is_empty(), "{:?}", report.refused);
}

fn delete(store: &Store, matchers: &[Matcher], (start, end): (i64, i64)) {
    store.delete_series(matchers, at(start), at(end)).unwrap();
}

/// The seconds of every series; values are what the second says.
fn seconds(store: &Store) -> BTreeMap<String, Vec<i64>> {
    let mut found = BTreeMap::new();
    let mut buffer = SampleBuffer::default();
    for item in store.snapshot().select(&SelectRequest::new(&[], Window::ALL)).unwrap().items {
        let Item::Series(series) = item else { continue };
        buffer.clear();
        series.read(Window::ALL, &mut buffer).unwrap();
        let name = series.labels().to_string();
        if name.contains("filler") || buffer.times.is_empty() {
            continue;
        }
        let factor = match series.labels().get("le").unwrap_or("") {
            "5" => 2.0,
            "+Inf" => 3.0,
            _ if name.contains("h_count") => 3.0,
            _ if name.contains("h_sum") => 1.0 / 7.0,
            _ => 1.0,
        };
        for (time, value) in buffer.times.iter().zip(&buffer.values) {
            let second = (*time / 1000) as f64;
            let wanted = if factor < 1.0 { second / 7.0 } else { second * factor };
            assert_eq!(wanted.to_bits(), value.to_bits(), "{name} at {time}");
        }
        found.insert(name, buffer.times.iter().map(|time| time / 1000).collect());
    }
    found
}

fn only_log(folder: &Path) -> PathBuf {
    let mut logs: Vec<PathBuf> =
        fs::read_dir(folder.join("wal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(logs.len(), 1, "{logs:?}");
    logs.remove(0)
}

/// Damages the first byte that the frame behind `length` bytes of the log holds.
fn damage(log: &Path, length: u64) {
    let mut bytes = fs::read(log).unwrap();
    bytes[length as usize + 25] ^= 1;
    fs::write(log, bytes).unwrap();
}

#[test]
fn salvage_keeps_deletions_and_late_rows_on_both_sides_of_a_hole() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options(5000)).unwrap();
    for step in 0..6 {
        append(&store, &[step * 10], &[]);
    }
    append(&store, &[5], &[]);
    delete(&store, &[Matcher::equal("__name__", "down")], (0, 20));
    let log = only_log(folder.path());
    let hole = fs::metadata(&log).unwrap().len();
    append(&store, &[60, 15], &[]);
    // Nothing begins anew before there are 128 frames and 8 MiB: lost with the hole, but for the deletion.
    for step in 7..125 {
        let filler: Vec<Labels> = (0..18)
            .map(|number| {
                let long = format!("{:04000}", step * 100 + number);
                Labels::from_pairs([("__name__", "filler"), ("long", &*long)])
            })
            .collect();
        append(&store, &[step * 10], &filler);
        if step == 9 {
            delete(&store, &[Matcher::equal("__name__", "up")], (30, 30));
        }
    }
    // The first that needs nothing from before is late, and says nothing about how far the hole goes.
    append(&store, &[25], &[]);
    append(&store, &[1390], &[]);
    delete(&store, &[Matcher::equal("__name__", "h_bucket"), Matcher::equal("le", "5")], (0, 1390));
    append(&store, &[1385], &[]);
    append(&store, &[1400], &[]);
    store.close().unwrap();
    drop(store);
    damage(&log, hole);

    assert_eq!(Store::open(folder.path(), options(5000)).unwrap_err().kind(), ErrorKind::Corrupt);
    let store = Store::open(folder.path(), options(5000).salvage(true)).unwrap();
    let all = [0, 5, 10, 20, 25, 30, 40, 50, 1385, 1390, 1400];
    let of = |pick: fn(&i64) -> bool| all.iter().copied().filter(pick).collect::<Vec<_>>();
    let wanted = BTreeMap::from([
        (named("up").to_string(), of(|second| *second != 30)),
        (named("down").to_string(), of(|second| *second > 20)),
        (Labels::from_pairs([("__name__", "h_bucket"), ("le", "1")]).to_string(), all.to_vec()),
        // What came after the deletion is there, at whatever time.
        (
            Labels::from_pairs([("__name__", "h_bucket"), ("le", "5")]).to_string(),
            of(|second| [1385, 1400].contains(second)),
        ),
        (Labels::from_pairs([("__name__", "h_bucket"), ("le", "+Inf")]).to_string(), all.to_vec()),
        (named("h_count").to_string(), all.to_vec()),
        (named("h_sum").to_string(), all.to_vec()),
    ]);
    assert_eq!(seconds(&store), wanted);

    let losses = store.losses();
    assert!(losses.iter().all(|loss| loss.why == Lost::Salvaged), "{losses:?}");
    let doubtful =
        |second: i64| losses.iter().any(|loss| loss.touches(Window::new(at(second - 1), at(second))));
    // The late row that is lost, and all that came after the first six, up to what is behind the hole: a series may have been
    // ahead of the others in it.
    for second in (51..=1400).chain([15]) {
        assert!(doubtful(second), "{second}: {losses:?}");
    }
    assert!(!doubtful(1401), "{losses:?}");
    assert_eq!(losses.iter().map(|loss| loss.frames).sum::<u64>(), 120, "{losses:?}");

    append(&store, &[1410, 1405], &[]);
    store.close().unwrap();
    drop(store);
    let store = Store::open(folder.path(), options(5000)).unwrap();
    let found = seconds(&store);
    for (name, before) in wanted {
        assert_eq!(found[&name], before.into_iter().chain([1405, 1410]).collect::<Vec<_>>(), "{name}");
    }
    assert_eq!(store.losses(), losses);
    store.verify().unwrap();
}

#[test]
fn an_end_that_may_have_lost_late_samples_puts_the_window_in_doubt() {
    for window in [0, 100] {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), options(window)).unwrap();
        append(&store, &[1000], &[]);
        let log = only_log(folder.path());
        let length = fs::metadata(&log).unwrap().len();
        append(&store, &[1010], &[]);
        // As a power cut leaves it, in the middle of the second batch.
        let left = tempfile::tempdir().unwrap();
        for name in ["MANIFEST", "wal"] {
            let from = folder.path().join(name);
            if from.is_dir() {
                fs::create_dir(left.path().join(name)).unwrap();
                fs::copy(&log, left.path().join(name).join(log.file_name().unwrap())).unwrap();
            } else {
                fs::copy(from, left.path().join(name)).unwrap();
            }
        }
        let torn = only_log(left.path());
        let bytes = fs::read(&torn).unwrap();
        fs::write(&torn, &bytes[..length as usize + 30]).unwrap();
        let store = Store::open(left.path(), options(window)).unwrap();
        let doubtful = |store: &Store, second: i64| {
            store.losses().iter().any(|loss| loss.touches(Window::new(at(second - 1), at(second))))
        };
        assert_eq!(doubtful(&store, 950), window > 0, "{:?}", store.losses());
        assert!(!doubtful(&store, 900) && doubtful(&store, 1010), "{:?}", store.losses());
        // A late sample does not end what is missing, the next one in order does.
        if window > 0 {
            append(&store, &[960], &[]);
            assert!(doubtful(&store, 1010) && doubtful(&store, 990), "{:?}", store.losses());
        }
        append(&store, &[1020], &[]);
        assert!(doubtful(&store, 1020) && !doubtful(&store, 1021), "{:?}", store.losses());
    }
}
