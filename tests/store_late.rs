//! Samples out of order, deletions, and the limits on the disk.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise, and looks at files"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use promgate::{
    AppendReport, Engine, ErrorKind, Evaluation, Item, Labels, Limits, Maintained, MatchOp, Matcher, Sample,
    SampleBuffer, SelectRequest, Snapshot, Source, Store, StoreOptions, Timestamp, Value, Window,
};
use proptest::prelude::*;

fn options(window: i64) -> StoreOptions {
    let mut limits = Limits::default();
    limits.min_free_bytes = 0;
    limits.log_bytes = 4_000;
    limits.out_of_order_window = Duration::from_millis(window as u64);
    StoreOptions::new().limits(limits).durability(promgate::Durability::Never)
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn up(job: &str) -> Labels {
    Labels::from_pairs([("__name__", "up"), ("job", job)])
}

fn append(store: &Store, labels: &Labels, time: i64, value: f64) -> AppendReport {
    let mut appender = store.appender();
    appender.append(labels, Sample::float(at(time), value)).unwrap();
    appender.commit().unwrap()
}

type Content = BTreeMap<(String, i64), u64>;

fn content(snapshot: &Snapshot) -> Content {
    let mut content = BTreeMap::new();
    for item in snapshot.select(&SelectRequest::new(&[], Window::ALL)).unwrap().items {
        let Item::Series(series) = item else { panic!("a family was not asked for") };
        let mut buffer = SampleBuffer::default();
        series.read(Window::ALL, &mut buffer).unwrap();
        assert!(buffer.times.is_sorted_by(|a, b| a < b), "{}: {:?}", series.labels(), buffer.times);
        for (time, value) in buffer.times.iter().zip(&buffer.values) {
            assert!(content.insert((series.labels().to_string(), *time), value.to_bits()).is_none());
        }
    }
    content
}

/// The times of `up`.
fn times(store: &Store) -> Vec<i64> {
    let content = content(&store.snapshot());
    content.keys().filter(|(labels, _)| labels.contains("\"up\"")).map(|(_, time)| *time).collect()
}

#[test]
fn the_window_takes_what_lies_at_its_border_and_not_what_is_older() {
    let store = Store::in_memory(options(1000));
    append(&store, &up("a"), 5000, 1.0);
    append(&store, &up("b"), 4000, 1.0);
    // The newest sample of the store counts, as in Prometheus.
    append(&store, &up("b"), 6000, 1.0);
    assert_eq!(append(&store, &up("a"), 5000, 1.0).duplicates, 1, "the newest again");
    let report = append(&store, &up("b"), 5000, 2.0);
    assert_eq!((report.appended, report.refused.len()), (1, 0), "at the border");
    let report = append(&store, &up("b"), 4999, 2.0);
    assert_eq!((report.appended, report.refused.len()), (0, 1), "one older");
    let error = &report.refused[0].error;
    assert_eq!(error.kind(), ErrorKind::OutOfOrder);
    let text = error.to_string();
    assert!(text.contains("4999 ms is too old") && text.contains("from 5000 ms on"), "{text}");
    assert_eq!(append(&store, &up("b"), 5000, 2.0).duplicates, 1, "a late one again");
    let report = append(&store, &up("b"), 5000, 3.0);
    assert!(report.refused[0].error.to_string().contains("another value"), "{report:?}");
    // A series may begin at any time.
    assert_eq!(append(&store, &up("c"), 1, 1.0).appended, 1);
    let none = Store::in_memory(options(0));
    append(&none, &up("a"), 5000, 1.0);
    let report = append(&none, &up("a"), 4999, 1.0);
    assert!(report.refused[0].error.to_string().contains("must arrive in time order"), "zero means zero");
}

#[test]
fn what_is_sealed_is_compared_with_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options(1 << 40)).unwrap();
    for time in 1..=20 {
        append(&store, &up("a"), time * 10, time as f64);
    }
    store.flush().unwrap();
    store.close().unwrap();
    drop(store);
    let store = Store::open(folder.path(), options(1 << 40)).unwrap();
    assert_eq!(append(&store, &up("a"), 50, 5.0).duplicates, 1);
    assert_eq!(append(&store, &up("a"), 50, 6.0).refused.len(), 1);
    assert_eq!(append(&store, &up("a"), 55, 6.0).appended, 1);
    assert_eq!(append(&store, &up("a"), 200, 20.0).duplicates, 1, "the newest, known by its time only");
    let wanted: Vec<i64> = (1..=20).map(|time| time * 10).chain([55]).collect();
    let mut found = times(&store);
    found.sort_unstable();
    let mut sorted = wanted.clone();
    sorted.sort_unstable();
    assert_eq!(found, sorted);
}

#[test]
fn a_deletion_hides_at_once_and_its_range_can_be_written_again() {
    let folder = tempfile::tempdir().unwrap();
    for store in [Store::in_memory(options(1 << 40)), Store::open(folder.path(), options(1 << 40)).unwrap()] {
        for time in 1..=20 {
            append(&store, &up("a"), time * 10, time as f64);
            append(&store, &up("b"), time * 10, time as f64);
            if time % 6 == 0 {
                store.flush().unwrap();
            }
        }
        let before = store.snapshot();
        let all = content(&before);
        let a = [Matcher::equal("job", "a")];
        store.delete_series(&a, at(50), at(200)).unwrap();
        assert_eq!(content(&before), all, "a snapshot keeps what it has");
        let b = |content: &Content| content.keys().filter(|(labels, _)| labels.contains("\"b\"")).count();
        let now = content(&store.snapshot());
        assert_eq!((now.len(), b(&now)), (24, 20));
        assert_eq!(append(&store, &up("a"), 200, 7.0).appended, 1, "the newest that there was");
        assert_eq!(append(&store, &up("a"), 60, 8.0).appended, 1, "in the middle of what was deleted");
        assert_eq!(append(&store, &up("a"), 210, 9.0).appended, 1);
        assert_eq!(content(&store.snapshot()).len(), 27);
        store.flush().unwrap();
        store.clean_tombstones().unwrap();
        assert_eq!(content(&store.snapshot()).len(), 27);
        assert_eq!(store.stats().tombstones, 0, "nothing is left to hide");
        store.verify().unwrap();
        let everything = [Matcher::new("__name__", MatchOp::Matches, ".+").unwrap()];
        store.delete_series(&everything, Timestamp::MIN, Timestamp::MAX).unwrap();
        assert!(content(&store.snapshot()).is_empty());
        assert!(store.snapshot().label_values("job", &[], Window::ALL).unwrap().is_empty());
        store.clean_tombstones().unwrap();
        assert_eq!((store.stats().segments, store.stats().tombstones), (0, 0));
        assert_eq!(append(&store, &up("a"), 100, 1.0).appended, 1);
        assert_eq!(times(&store), [100]);
    }
}

#[test]
fn a_deletion_of_one_bucket_leaves_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options(0)).unwrap();
    let base = Labels::from_pairs([("__name__", "h"), ("job", "a")]);
    for time in 1..=60_i32 {
        let mut appender = store.appender();
        let family = appender.family(&base, &["1", "5", "+Inf"]).unwrap();
        let count = f64::from(time);
        appender
            .append_family(
                &family,
                at(i64::from(time) * 1000),
                &[count, count * 2.0, count * 3.0],
                count * 3.0,
                count * 0.5,
            )
            .unwrap();
        appender.commit().unwrap();
        if time == 30 {
            store.flush().unwrap();
        }
    }
    let counts = |store: &Store| -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (labels, _) in content(&store.snapshot()).keys() {
            *counts.entry(labels.clone()).or_default() += 1;
        }
        counts
    };
    let middle = [Matcher::equal("__name__", "h_bucket"), Matcher::equal("le", "5")];
    store.delete_series(&middle, at(20_000), at(40_000)).unwrap();
    store.delete_series(&[Matcher::equal("__name__", "h_sum")], Timestamp::MIN, Timestamp::MAX).unwrap();
    for round in 0..4 {
        let counts = counts(&store);
        assert_eq!(counts.len(), 4, "round {round}: {counts:?}");
        for (labels, count) in counts {
            assert_eq!(count, if labels.contains("le=\"5\"") { 39 } else { 60 }, "round {round}: {labels}");
        }
        match round {
            0 => store.flush().unwrap(),
            1 => store.clean_tombstones().unwrap(),
            _ => assert_eq!(store.stats().tombstones, 0),
        }
    }
    let engine = Engine::new();
    let query = engine.prepare("histogram_quantile(0.9, h_bucket)").unwrap();
    let Value::Vector(vector) = engine.instant(&store.snapshot(), &query, at(50_000)).unwrap().value else {
        panic!("no vector")
    };
    assert_eq!(vector.len(), 1);
}

#[test]
fn what_would_delete_everything_or_nothing_is_refused() {
    let store = Store::in_memory(options(0));
    let error = store.delete_series(&[], at(0), at(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let any = [Matcher::new("job", MatchOp::Matches, ".*").unwrap()];
    assert!(store.delete_series(&any, at(0), at(1)).unwrap_err().to_string().contains("empty string"));
    let error = store.delete_series(&[Matcher::equal("job", "a")], at(2), at(1)).unwrap_err();
    assert!(error.to_string().contains("ends before it begins"), "{error}");
    store.delete_series(&[Matcher::equal("job", "a")], at(1), at(1)).unwrap();
}

#[test]
fn as_many_deletions_may_wait_as_are_allowed_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options(0)).unwrap();
    append(&store, &up("a"), 1, 1.0);
    store.flush().unwrap();
    let a = [Matcher::equal("job", "a")];
    for _ in 0..1024 {
        store.delete_series(&a, at(0), at(10)).unwrap();
    }
    let error = store.delete_series(&a, at(0), at(10)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.to_string().contains("1025 asked, 1024 allowed"), "{error}");
    store.clean_tombstones().unwrap();
    store.delete_series(&a, at(0), at(10)).unwrap();
}

#[test]
fn deletions_together_are_no_longer_than_what_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options(0)).unwrap();
    append(&store, &up("a"), 1, 1.0);
    let long = |length: usize| [Matcher::equal("job", "a".repeat(length).as_str())];
    store.delete_series(&long(10 << 20), at(5), at(6)).unwrap();
    let error = store.delete_series(&long(7 << 20), at(5), at(6)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.to_string().starts_with("tombstone bytes limit: 178"), "{error}");
    store.flush().unwrap();
    drop(store);
    assert_eq!(times(&Store::open(folder.path(), options(0)).unwrap()), [1]);
}

#[test]
fn deleting_again_and_again_leaves_nothing_behind() {
    let store = Store::in_memory(options(0));
    for time in 0..200 {
        append(&store, &up("a"), time, 1.0);
    }
    let a = [Matcher::equal("job", "a")];
    let one = |time: i64| store.delete_series(&a, at(time), at(time)).unwrap();
    (10..60).for_each(one);
    let bytes = store.stats().sample_bytes;
    (0..50_000).for_each(|round| one(10 + round % 50));
    assert_eq!(store.stats().sample_bytes, bytes);
    assert_eq!(times(&store), (0..10).chain(60..200).collect::<Vec<_>>());
}

#[test]
fn what_comes_before_a_deleted_sample_of_a_series_at_rest_is_there_when_the_store_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let hour = 3_600_000;
    let mut limits = Limits::default();
    limits.min_free_bytes = 0;
    let open = || Store::open(folder.path(), StoreOptions::new().limits(limits.clone())).unwrap();
    let store = open();
    for time in 0..130 {
        append(&store, &up("a"), time, 1.0);
        append(&store, &up("b"), time, 1.0);
    }
    // The heads are taken for a segment.
    assert_eq!(store.maintain().unwrap(), Maintained::Step);
    append(&store, &up("a"), 500, 1.0);
    store.delete_series(&[Matcher::equal("job", "a")], at(0), at(1_000)).unwrap();
    append(&store, &up("b"), 3 * hour, 1.0);
    while store.maintain().unwrap() == Maintained::Step {}
    let before = append(&store, &up("a"), 400, 2.0);
    let held = content(&store.snapshot());
    assert_eq!(held.len(), 131 + before.appended);
    store.close().unwrap();
    drop(store);
    assert_eq!(content(&open().snapshot()), held);
}

fn on_disk(folder: &Path, set: impl FnOnce(&mut Limits)) -> promgate::Result<Store> {
    let mut limits = Limits::default();
    limits.min_free_bytes = 0;
    limits.log_bytes = 2_000;
    set(&mut limits);
    Store::open(folder, StoreOptions::new().limits(limits))
}

/// Bytes of log and segments.
fn used(folder: &Path) -> u64 {
    let folders = [folder.join("wal"), folder.join("seg")];
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn a_store_of_as_many_bytes_as_are_allowed_takes_no_more_and_one_below_does() {
    let folder = tempfile::tempdir().unwrap();
    let store = on_disk(folder.path(), |_| {}).unwrap();
    for time in 0..20 {
        append(&store, &up("a"), time, 1.0);
    }
    store.close().unwrap();
    drop(store);
    // Opening begins a file of the log.
    let store = on_disk(folder.path(), |_| {}).unwrap();
    let bytes = used(folder.path());
    drop(store);
    for (allowed, taken) in [(bytes, false), (bytes + 1, true), (0, false)] {
        let store = on_disk(folder.path(), |limits| limits.disk_bytes = allowed).unwrap();
        assert_eq!(used(folder.path()), bytes);
        let mut appender = store.appender();
        appender.append(&up("a"), Sample::float(at(100), 1.0)).unwrap();
        match appender.commit() {
            Ok(report) => assert!(taken && report.appended == 1),
            Err(error) => {
                assert!(!taken, "{error}");
                assert_eq!(error.kind(), ErrorKind::Limit);
                let text = error.to_string();
                assert!(text.contains("disk bytes limit") && text.contains(&allowed.to_string()), "{text}");
                let own = Window::new(at(99), at(100));
                assert!(store.losses().iter().any(|loss| loss.touches(own)), "what was refused is missing");
            }
        }
        if taken {
            return;
        }
    }
}

#[test]
fn the_oldest_segments_make_room_and_the_newest_stays() {
    let folder = tempfile::tempdir().unwrap();
    let allowed = 40_000;
    let store = on_disk(folder.path(), |limits| limits.disk_bytes = allowed).unwrap();
    let names: Vec<Labels> = (0..20).map(|job| up(&job.to_string())).collect();
    for time in 0..4_000_i64 {
        let mut appender = store.appender();
        for (number, labels) in names.iter().enumerate() {
            let value = (time * 7 % 13) as f64 * 0.37 + number as f64;
            appender.append(labels, Sample::float(at(time * 1000), value)).unwrap();
        }
        let report = appender.commit().unwrap();
        assert_eq!(report.appended, 20);
        if time % 50 == 49 {
            store.flush().unwrap();
        }
        assert!(used(folder.path()) <= allowed + 3_000, "{time}: {} bytes", used(folder.path()));
    }
    let times = times(&store);
    assert!(times.contains(&3_999_000) && !times.contains(&0), "the oldest go");
    assert!(store.stats().segments >= 1 && store.losses().is_empty(), "{:?}", store.losses());
}

/// One scrape of everything, at a time of its own.
#[derive(Clone, Debug)]
struct Scrape {
    growth: [u8; 3],
    value: u8,
    stale: bool,
}

fn samples(scrapes: &[Scrape]) -> Vec<Vec<(Labels, Sample)>> {
    let mut counts = [0.0_f64; 3];
    let mut all = Vec::new();
    for (number, scrape) in scrapes.iter().enumerate() {
        let time = at(1_000_000 + number as i64 * 15_000);
        let mut below = 0.0;
        for (count, more) in counts.iter_mut().zip(scrape.growth) {
            below += f64::from(more % 8);
            *count += below;
        }
        if scrape.value == 0 {
            counts = [0.0; 3];
        }
        let value = |value: f64| if scrape.stale { promgate::stale_marker() } else { value };
        let mut samples = Vec::new();
        for (bound, count) in ["0.1", "1", "+Inf"].iter().zip(counts) {
            let labels = Labels::from_pairs([("__name__", "h_bucket"), ("le", bound), ("job", "a")]);
            samples.push((labels, Sample::float(time, value(count))));
        }
        let single = |name: &str| Labels::from_pairs([("__name__", name), ("job", "a")]);
        samples.push((single("h_count"), Sample::float(time, value(counts[2]))));
        samples.push((single("h_sum"), Sample::float(time, value(counts[2] * 0.125))));
        samples.push((single("requests_total"), Sample::float(time, value(counts[1]))));
        samples.push((single("temperature"), Sample::float(time, value(f64::from(scrape.value) / 10.0))));
        all.push(samples);
    }
    all
}

const QUERIES: &[&str] = &[
    "rate(h_bucket[2m])",
    "histogram_quantile(0.9, sum by (le) (rate(h_bucket[2m])))",
    "histogram_quantile(0.5, h_bucket)",
    "sum(rate(h_sum[3m])) / sum(rate(h_count[3m]))",
    "increase(requests_total[90s])",
    "max_over_time(temperature[5m:30s]) - temperature offset 1m",
    "resets(requests_total[5m]) + changes(temperature[5m])",
    "count({__name__=~\".+\"})",
];

fn answers(snapshot: &Snapshot, count: usize) -> Vec<String> {
    let engine = Engine::new();
    let (start, end) = (at(1_000_000), at(1_000_000 + count as i64 * 15_000));
    let run = |query: &&str| {
        let prepared = engine.prepare(query).unwrap();
        let evaluation: Evaluation = engine.range(snapshot, &prepared, start, end, 20_000).unwrap();
        format!("{:?}", evaluation.value)
    };
    QUERIES.iter().map(run).collect()
}

fn scrapes() -> impl Strategy<Value = Vec<Scrape>> {
    let scrape = (any::<[u8; 3]>(), any::<u8>(), 0_u8..12).prop_map(|(growth, value, stale)| Scrape {
        growth,
        value,
        stale: stale == 0,
    });
    proptest::collection::vec(scrape, 4..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// A store that got its samples in any order within the window answers as one that got them in the order of time.
    #[test]
    fn the_order_of_arrival_makes_no_difference_to_promql(
        scrapes in scrapes(),
        back in proptest::collection::vec(0_usize..8, 40),
        parts in proptest::collection::vec(0_u8..4, 40),
        upkeep in proptest::collection::vec(0_u8..12, 80),
    ) {
        let samples = samples(&scrapes);
        let in_order = Store::in_memory(options(0));
        for batch in &samples {
            let mut appender = in_order.appender();
            for (labels, sample) in batch {
                appender.append(labels, sample.clone()).unwrap();
            }
            let report = appender.commit().unwrap();
            prop_assert!(report.refused.is_empty(), "{:?}", report);
        }
        // Every batch may come up to eight intervals later than its time; some come in two parts.
        let mut arrivals: Vec<(usize, Vec<(Labels, Sample)>)> = Vec::new();
        for (number, batch) in samples.iter().enumerate() {
            let (early, late) = match parts[number] {
                0 => batch.split_at(3),
                1 => batch.split_at(5),
                _ => batch.split_at(batch.len()),
            };
            arrivals.push((number + back[number], early.to_vec()));
            arrivals.push((number + back[39 - number], late.to_vec()));
        }
        arrivals.sort_by_key(|(arrival, _)| *arrival);
        let folder = tempfile::tempdir().unwrap();
        let memory = Store::in_memory(options(8 * 15_000));
        let mut disk = Store::open(folder.path(), options(8 * 15_000)).unwrap();
        for (number, (_, batch)) in arrivals.iter().enumerate() {
            for store in [&memory, &disk] {
                let mut appender = store.appender();
                for (labels, sample) in batch {
                    appender.append(labels, sample.clone()).unwrap();
                }
                let report = appender.commit().unwrap();
                prop_assert!(report.refused.is_empty(), "{:?}", report);
                prop_assert_eq!(report.appended, batch.len());
            }
            match upkeep[number] {
                0 | 1 => disk.flush().unwrap(),
                2 => {
                    drop(disk);
                    disk = Store::open(folder.path(), options(8 * 15_000)).unwrap();
                }
                _ => {}
            }
        }
        let wanted = answers(&in_order.snapshot(), scrapes.len());
        let all = content(&in_order.snapshot());
        for round in 0..4 {
            prop_assert_eq!(&content(&disk.snapshot()), &all, "round {}", round);
            prop_assert_eq!(&answers(&disk.snapshot(), scrapes.len()), &wanted, "round {}", round);
            match round {
                0 => {
                    prop_assert_eq!(&content(&memory.snapshot()), &all);
                    prop_assert_eq!(&answers(&memory.snapshot(), scrapes.len()), &wanted);
                    let beside = Store::open_read_only(folder.path(), StoreOptions::new()).unwrap();
                    prop_assert_eq!(&answers(&beside.snapshot(), scrapes.len()), &wanted);
                    disk.flush().unwrap();
                    beside.refresh().unwrap();
                    prop_assert_eq!(&answers(&beside.snapshot(), scrapes.len()), &wanted);
                }
                1 => {
                    disk.close().unwrap();
                    drop(disk);
                    disk = Store::open(folder.path(), options(8 * 15_000)).unwrap();
                }
                _ => {
                    while disk.maintain().unwrap() == promgate::Maintained::Step {}
                    disk.verify().unwrap();
                }
            }
        }
    }
}
