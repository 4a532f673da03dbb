use proptest::prelude::*;

use super::*;
use crate::model::{Sample, Timestamp};
use crate::source::Source;
use crate::store::backing::{Fault, SimulatedDisk};
use crate::store::law::abandon;
use crate::store::{Limits, Store, StoreOptions};

fn labels(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name)])
}

fn exemplar(trace: &str, time: i64) -> Exemplar {
    let labels = Labels::from_pairs([("trace_id", trace)]);
    Exemplar { labels, value: 1.0, timestamp: Timestamp::from_millis(time) }
}

fn store(exemplars: usize, series: &[&str]) -> Store {
    let limits = Limits { exemplars, ..Limits::default() };
    let store = Store::in_memory(StoreOptions::new().limits(limits));
    let mut appender = store.appender();
    for name in series {
        appender.append(&labels(name), Sample::float(Timestamp::from_millis(1), 1.0)).unwrap();
    }
    appender.commit().unwrap();
    store
}

fn append(store: &Store, name: &str, exemplar: Exemplar) -> AppendReport {
    let mut appender = store.appender();
    appender.append_exemplar(&labels(name), exemplar).unwrap();
    appender.commit().unwrap()
}

fn traces(source: &dyn Source, name: &str) -> Vec<String> {
    let matchers = [Matcher::equal("__name__", name)];
    let found = source.exemplars(&matchers, Window::ALL).unwrap();
    let found = found.iter().flat_map(|series| &series.exemplars);
    found.map(|exemplar| exemplar.trace_id().unwrap().to_owned()).collect()
}

#[test]
fn the_newest_are_kept_and_a_snapshot_keeps_what_it_saw() {
    let store = store(2, &["a", "b"]);
    assert_eq!(append(&store, "a", exemplar("1", 10)).exemplars, 1);
    append(&store, "b", exemplar("2", 20));
    let before = store.snapshot();
    append(&store, "a", exemplar("3", 30));
    assert_eq!(traces(&store.snapshot(), "a"), ["3"]);
    assert_eq!(traces(&store.snapshot(), "b"), ["2"]);
    assert_eq!(traces(&before, "a"), ["1"]);
    assert_eq!(store.stats().exemplars, 2);
}

#[test]
fn what_a_scrape_repeats_is_kept_once_and_what_is_older_is_refused() {
    let store = store(10, &["a"]);
    append(&store, "a", exemplar("1", 10));
    let report = append(&store, "a", exemplar("1", 20));
    assert_eq!((report.exemplars, report.refused_exemplars.len()), (0, 0));
    let report = append(&store, "a", exemplar("2", 9));
    assert_eq!(report.refused_exemplars[0].error.kind(), ErrorKind::OutOfOrder);
    // A refused exemplar is no missing sample.
    assert!(store.losses().is_empty());
    assert_eq!(traces(&store.snapshot(), "a"), ["1"]);
}

#[test]
fn an_exemplar_needs_a_series_and_short_labels() {
    let store = store(10, &["a"]);
    let report = append(&store, "b", exemplar("1", 10));
    let error = report.refused_exemplars[0].error.to_string();
    assert_eq!(error, r#"an exemplar of {__name__="b"}: the store has no such series"#);
    let long = "é".repeat(MOST_CHARACTERS);
    let error = store.appender().append_exemplar(&labels("a"), exemplar(&long, 10)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    let just = "é".repeat(MOST_CHARACTERS - "trace_id".len());
    store.appender().append_exemplar(&labels("a"), exemplar(&just, 10)).unwrap();
}

#[test]
fn a_deletion_takes_the_exemplars_of_its_samples() {
    let store = store(10, &["a", "b"]);
    for (name, time) in [("a", 10), ("b", 10), ("a", 20)] {
        append(&store, name, exemplar(&format!("{name}{time}"), time));
    }
    let (start, end) = (Timestamp::from_millis(0), Timestamp::from_millis(10));
    store.delete_series(&[Matcher::equal("__name__", "a")], start, end).unwrap();
    assert_eq!(traces(&store.snapshot(), "a"), ["a20"]);
    assert_eq!(traces(&store.snapshot(), "b"), ["b10"]);
}

#[test]
fn without_room_none_are_kept_and_none_are_refused() {
    let store = store(0, &["a"]);
    let report = append(&store, "a", exemplar("1", 10));
    assert_eq!((report.exemplars, report.refused_exemplars.len(), store.stats().exemplars), (0, 0, 0));
}

proptest! {
    #[test]
    fn a_ring_holds_the_newest_of_what_a_list_would_hold(
        room in 1_usize..200,
        batches in prop::collection::vec(prop::collection::vec((0_usize..4, 0_i64..40, 0_u8..6), 0..30), 0..20),
    ) {
        let names = ["a", "b", "c", "d"];
        let store = store(room, &names);
        // By arrival; what has left the ring is forgotten, and so no measure for what comes.
        let mut model: VecDeque<(usize, Exemplar)> = VecDeque::new();
        for batch in batches {
            let before = store.snapshot();
            let seen: Vec<_> = names.iter().map(|name| traces(&before, name)).collect();
            let mut appender = store.appender();
            let mut held = model.clone();
            for (series, time, trace) in batch {
                let new = exemplar(&trace.to_string(), time);
                appender.append_exemplar(&labels(names[series]), new.clone()).unwrap();
                let last = held.iter().rev().find(|(own, _)| *own == series);
                if last.is_none_or(|(_, last)| last.timestamp <= time_of(&new) && !last.repeats(&new)) {
                    held.push_back((series, new));
                }
            }
            appender.commit().unwrap();
            while held.len() > room {
                held.pop_front();
            }
            model = held;
            let snapshot = store.snapshot();
            for (series, name) in names.iter().enumerate() {
                let own = model.iter().filter(|(own, _)| *own == series);
                let wanted: Vec<_> =
                    own.map(|(_, exemplar)| exemplar.trace_id().unwrap().to_owned()).collect();
                prop_assert_eq!(traces(&snapshot, name), wanted);
                prop_assert_eq!(&traces(&before, name), &seen[series]);
            }
            prop_assert_eq!(store.stats().exemplars, model.len());
        }
    }
}

fn time_of(exemplar: &Exemplar) -> Timestamp {
    exemplar.timestamp
}

fn options(exemplars: usize) -> StoreOptions {
    StoreOptions::new().limits(Limits { exemplars, min_free_bytes: 0, ..Limits::default() })
}

fn all(source: &dyn Source) -> Vec<SeriesExemplars> {
    source.exemplars(&[], Window::ALL).unwrap()
}

#[test]
fn a_frame_is_these_bytes_and_damaged_ones_are_refused() {
    let disk = Arc::new(SimulatedDisk::new(1));
    let store = Store::open_on(disk, options(10)).unwrap();
    let mut writer = store.inner.writer.lock();
    let own = [(labels("a"), Exemplar { value: -1.5, ..exemplar("x", -3) })];
    let disk = store.inner.disk.as_ref().unwrap();
    put_in_frames(disk, &mut writer, true, own.iter()).unwrap();
    let mut payload = vec![1];
    payload.extend_from_slice(b"\x01\x08__name__\x01a\x01\x08trace_id\x01x");
    payload.extend_from_slice(&(-1.5_f64).to_le_bytes());
    payload.push(5);
    let mut ring = Exemplars::default();
    ring.push(labels("gone"), exemplar("gone", 1));
    take_frame(&payload, &mut ring, 10).unwrap();
    assert_eq!(ring.iter().collect::<Vec<_>>(), own.iter().collect::<Vec<_>>());
    assert!((0..payload.len()).filter(|length| *length != 1).all(|length| {
        take_frame(payload.get(..length).unwrap(), &mut Exemplars::default(), 10).is_none()
    }));
    take_frame(&[0], &mut ring, 10).unwrap();
    assert!(take_frame(&[2], &mut ring, 10).is_none() && ring.count() == 1);
}

#[test]
fn a_full_disk_refuses_exemplars_and_what_is_refused_may_come_again() {
    let disk = Arc::new(SimulatedDisk::new(1));
    let store = Store::open_on(disk.clone(), options(10)).unwrap();
    let mut appender = store.appender();
    appender.append(&labels("a"), Sample::float(Timestamp::from_millis(1), 1.0)).unwrap();
    appender.commit().unwrap();
    disk.set_fault(Fault::FullAfter(0));
    let report = append(&store, "a", exemplar("1", 10));
    assert_eq!(report.refused_exemplars[0].error.kind(), ErrorKind::Full);
    assert!(all(&store.snapshot()).is_empty());
    disk.set_fault(Fault::None);
    assert_eq!(append(&store, "a", exemplar("1", 10)).exemplars, 1);
}

/// What happens to a store.
#[derive(Clone, Debug)]
enum Step {
    Append(usize, Vec<(i64, u8)>),
    Delete(usize, i64, i64),
    Flush,
    Close,
    PowerCut(u64),
    Kill,
    Refresh,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_usize..3, prop::collection::vec((0_i64..40, 0_u8..6), 1..8))
            .prop_map(|(series, batch)| Step::Append(series, batch)),
        1 => (0_usize..3, 0_i64..40, 0_i64..40)
            .prop_map(|(series, a, b)| Step::Delete(series, a.min(b), a.max(b))),
        1 => Just(Step::Flush),
        1 => Just(Step::Close),
        1 => (0_u64..100).prop_map(Step::PowerCut),
        1 => Just(Step::Kill),
        1 => Just(Step::Refresh),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_store_on_disk_has_the_exemplars_of_one_in_memory_whatever_happens_to_it(
        room in 1_usize..20,
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let names = ["a", "b", "c"];
        let memory = store(room, &names);
        let mut disk = Arc::new(SimulatedDisk::new(3));
        let mut own = Store::open_on(disk.clone(), options(room)).unwrap();
        let mut appender = own.appender();
        for name in names {
            appender.append(&labels(name), Sample::float(Timestamp::from_millis(1), 1.0)).unwrap();
        }
        appender.commit().unwrap();
        let mut beside = Store::open_read_only_on(disk.clone(), options(room)).unwrap();
        for step in steps {
            match step {
                Step::Append(series, batch) => {
                    let append = |store: &Store| {
                        let mut appender = store.appender();
                        for (time, trace) in &batch {
                            let exemplar = exemplar(&trace.to_string(), *time);
                            appender.append_exemplar(&labels(names[series]), exemplar).unwrap();
                        }
                        let report = appender.commit().unwrap();
                        (report.exemplars, report.refused_exemplars.len())
                    };
                    prop_assert_eq!(append(&memory), append(&own));
                }
                Step::Delete(series, start, end) => {
                    let (start, end) = (Timestamp::from_millis(start), Timestamp::from_millis(end));
                    // Later than the only sample: the series stays known.
                    let start = start.max(Timestamp::from_millis(2));
                    for store in [&memory, &own] {
                        let matchers = [Matcher::equal("__name__", names[series])];
                        store.delete_series(&matchers, start, end.max(start)).unwrap();
                    }
                }
                Step::Flush => own.flush().unwrap(),
                Step::Refresh => {
                    beside.refresh().unwrap();
                    prop_assert_eq!(all(&beside.snapshot()), all(&memory.snapshot()));
                }
                end => {
                    match end {
                        Step::Close => {
                            own.close().unwrap();
                            disk = Arc::new(disk.reopen());
                        }
                        Step::PowerCut(seed) => disk = Arc::new(disk.power_cut(seed)),
                        _ => disk = Arc::new(disk.reopen()),
                    }
                    abandon(std::mem::replace(&mut own, Store::open_on(disk.clone(), options(room)).unwrap()));
                    beside = Store::open_read_only_on(disk.clone(), options(room)).unwrap();
                }
            }
            prop_assert_eq!(all(&own.snapshot()), all(&memory.snapshot()));
        }
    }
}
