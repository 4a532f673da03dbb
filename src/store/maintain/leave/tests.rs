use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::super::super::backing::SimulatedDisk;
use super::super::super::law::{abandon, open_on};
use super::super::super::{Limits, Maintained, Store, StoreOptions};
use crate::error::ErrorKind;
use crate::model::{Labels, Matcher, Sample, SampleBuffer, Timestamp, Window};
use crate::source::{Item, SelectRequest, Source};

const HOUR: i64 = 3600;
const BOUNDS: [&str; 2] = ["1", "+Inf"];

fn options() -> StoreOptions {
    let limits = Limits { min_free_bytes: 0, ..Limits::default() };
    StoreOptions::new().limits(limits).retention(Duration::from_secs(4 * HOUR as u64))
}

fn open(disk: &Arc<SimulatedDisk>) -> Store {
    open_on(disk, options()).unwrap()
}

fn up(pod: &str) -> Labels {
    Labels::from_pairs([("__name__", "up"), ("pod", pod)])
}

fn histogram(pod: &str) -> Labels {
    Labels::from_pairs([("__name__", "d"), ("pod", pod)])
}

fn sample(seconds: i64) -> Sample {
    Sample::float(Timestamp::from_secs(seconds), seconds as f64)
}

/// One sample of a single series, and a row of a histogram.
fn scrape(store: &Store, pod: &str, seconds: i64) {
    let mut appender = store.appender();
    appender.append(&up(pod), sample(seconds)).unwrap();
    let family = appender.family(&histogram(pod), &BOUNDS).unwrap();
    let (time, count) = (Timestamp::from_secs(seconds), seconds as f64);
    appender.append_family(&family, time, &[count / 2.0, count], count, 0.5).unwrap();
    assert_eq!(appender.commit().unwrap().appended, 5);
}

fn maintain(store: &Store) {
    while store.maintain().unwrap() == Maintained::Step {}
}

/// Everything that is told of a pod, by series.
fn read(source: &dyn Source, pod: &str) -> BTreeMap<String, Vec<(i64, f64)>> {
    let mut found = BTreeMap::new();
    let mut samples = SampleBuffer::default();
    let matchers = [Matcher::equal("pod", pod)];
    for item in source.select(&SelectRequest::new(&matchers, Window::ALL)).unwrap().items {
        let Item::Series(series) = item else { continue };
        samples.clear();
        series.read(Window::ALL, &mut samples).unwrap();
        let own = samples.times.iter().map(|time| time / 1000).zip(samples.values.iter().copied()).collect();
        assert!(found.insert(series.labels().to_string(), own).is_none(), "{} twice", series.labels());
    }
    found
}

/// Time goes by: only one pod goes on, and everything is sealed now and then.
fn live_on(store: &Store, from: i64) -> i64 {
    for hour in 1..9 {
        scrape(store, "stays", from + hour * HOUR);
        store.flush().unwrap();
        maintain(store);
    }
    from + 8 * HOUR
}

fn label_bytes(store: &Store) -> usize {
    store.stats().label_bytes
}

#[test]
fn series_of_which_nothing_is_left_leave_with_the_texts_of_their_labels() {
    let disk = Arc::new(SimulatedDisk::new(1));
    let store = open(&disk);
    scrape(&store, "stays", 0);
    let (before, items) = (store.stats(), store.inner.index.read().item_count());
    for round in 0..4 {
        let first = round * 100 * HOUR;
        for pod in 0..300 {
            scrape(&store, &format!("goes-{round}-{pod}"), first + 1);
        }
        assert_eq!(store.stats().series, 301 * 5);
        live_on(&store, first + 1);
        let after = store.stats();
        assert_eq!((after.series, after.families), (5, 1), "round {round}");
        assert_eq!(after.label_bytes, before.label_bytes, "round {round}");
        assert!(after.index_bytes <= before.index_bytes + 2048, "round {round}: {after:?}");
    }
    // The numbers of those that left were given out again, and those at the end are there no more.
    assert!(store.inner.index.read().item_count() <= items);
    let found = read(&store.snapshot(), "stays");
    store.verify().unwrap();
    abandon(store);
    let again = open(&disk);
    assert_eq!(read(&again.snapshot(), "stays"), found);
    assert_eq!(found.len(), 5);
}

#[test]
fn a_series_that_was_made_for_a_handle_only_leaves_as_well() {
    let store = open(&Arc::new(SimulatedDisk::new(1)));
    scrape(&store, "stays", 0);
    let mut appender = store.appender();
    let handle = appender.handle(&up("never")).unwrap();
    drop(appender);
    live_on(&store, 1);
    assert_eq!(store.stats().series, 5);
    let mut appender = store.appender();
    appender.append_to(&handle, sample(10 * HOUR)).unwrap();
    assert_eq!(appender.commit().unwrap().appended, 1);
    assert_eq!(read(&store.snapshot(), "never").len(), 1);
}

#[test]
fn a_snapshot_sees_what_it_saw_until_it_is_dropped() {
    let store = open(&Arc::new(SimulatedDisk::new(1)));
    (0..5).for_each(|second| scrape(&store, "goes", second));
    let snapshots = [store.snapshot(), {
        store.flush().unwrap();
        store.snapshot()
    }];
    let seen = snapshots.each_ref().map(|snapshot| read(snapshot, "goes"));
    assert_eq!((seen[0].len(), &seen[0]), (5, &seen[1]));
    let now = live_on(&store, 10);
    // Others come meanwhile, and the same labels come back.
    (0..50).for_each(|pod| scrape(&store, &format!("other-{pod}"), now + 1));
    scrape(&store, "goes", now + 2);
    let now = live_on(&store, now + 2);
    for snapshot in &snapshots {
        assert_eq!(read(snapshot, "goes"), seen[0]);
        assert!(read(snapshot, "other-7").is_empty());
        let pods = snapshot.label_values("pod", &[], Window::ALL).unwrap();
        assert_eq!(pods, [Arc::from("goes")]);
    }
    assert_eq!(store.stats().series, 52 * 5);
    let [first, second] = snapshots;
    drop(first);
    live_on(&store, now);
    assert_eq!(store.stats().series, 52 * 5);
    assert_eq!(read(&second, "goes"), seen[0]);
    drop(second);
    maintain(&store);
    assert_eq!(store.stats().series, 5, "what was noted when the snapshot was there leaves after it");
}

#[test]
fn a_batch_that_was_begun_before_its_series_left_is_taken() {
    let disk = Arc::new(SimulatedDisk::new(1));
    let store = open(&disk);
    scrape(&store, "goes", 0);
    let mut begun = store.appender();
    let handle = begun.handle(&up("goes")).unwrap();
    begun.append_to(&handle, sample(20 * HOUR)).unwrap();
    let now = live_on(&store, 1);
    (0..50).for_each(|pod| scrape(&store, &format!("other-{pod}"), now + 1));
    assert_eq!(begun.commit().unwrap().appended, 1);
    let wanted = BTreeMap::from([(up("goes").to_string(), vec![(20 * HOUR, 20.0 * HOUR as f64)])]);
    assert_eq!(read(&store.snapshot(), "goes"), wanted);
    abandon(store);
    assert_eq!(read(&open(&disk).snapshot(), "goes"), wanted);
}

#[test]
fn a_series_that_is_found_while_it_waits_to_leave_stays() {
    let disk = Arc::new(SimulatedDisk::new(1));
    let store = open(&disk);
    scrape(&store, "goes", 0);
    let snapshot = store.snapshot();
    let now = live_on(&store, 1);
    // Who begins now is not waited for, but has found it.
    let mut begun = store.appender();
    let handle = begun.handle(&up("goes")).unwrap();
    begun.append_to(&handle, sample(now + 2)).unwrap();
    begun.append(&Labels::from_pairs([("__name__", "d_sum"), ("pod", "goes")]), sample(now + 2)).unwrap();
    drop(snapshot);
    maintain(&store);
    (0..50).for_each(|pod| scrape(&store, &format!("other-{pod}"), now + 1));
    assert_eq!(begun.commit().unwrap().appended, 2);
    let found = read(&store.snapshot(), "goes");
    assert!(found.len() == 2 && found.values().all(|own| own.len() == 1), "{found:?}");
    abandon(store);
    assert_eq!(read(&open(&disk).snapshot(), "goes"), found);
}

#[test]
fn handles_outlive_what_they_were_made_for() {
    let disk = Arc::new(SimulatedDisk::new(1));
    let store = open(&disk);
    scrape(&store, "goes", 0);
    let mut appender = store.appender();
    let single = appender.handle(&up("goes")).unwrap();
    let count = Labels::from_pairs([("__name__", "d_count"), ("pod", "goes")]);
    let column = appender.handle(&count).unwrap();
    let family = appender.family(&histogram("goes"), &BOUNDS).unwrap();
    drop(appender);
    let now = live_on(&store, 1);
    assert_eq!(store.stats().series, 5);
    // Their numbers are those of others by now: histograms where a single series was, and the other way round.
    for pod in 0..20 {
        scrape(&store, &format!("other-{pod}"), now + 1);
    }
    let others: Vec<_> = (0..20).map(|pod| read(&store.snapshot(), &format!("other-{pod}"))).collect();
    for second in 2..5 {
        let mut appender = store.appender();
        let time = Timestamp::from_secs(now + second);
        appender.append_to(&single, sample(now + second)).unwrap();
        if second == 2 {
            // Without its histogram a count is a single series.
            appender.append_to(&column, sample(now + second)).unwrap();
            assert_eq!(appender.commit().unwrap().appended, 2);
            store
                .delete_series(&[Matcher::equal("__name__", "d_count")], Timestamp::MIN, Timestamp::MAX)
                .unwrap();
            continue;
        }
        let outcome = appender.append_family(&family, time, &[1.0, 2.0], 2.0, 0.5);
        if let Err(error) = outcome {
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
            assert!(error.to_string().contains("exists outside the histogram"), "{error}");
        }
        assert_eq!(appender.commit().unwrap().appended, 1);
    }
    let now = live_on(&store, now + 10);
    let mut appender = store.appender();
    appender.append_to(&column, sample(now + 1)).unwrap();
    drop(appender);
    for second in 1..4 {
        let mut appender = store.appender();
        appender.append_family(&family, Timestamp::from_secs(now + second), &[1.0, 2.0], 2.0, 0.5).unwrap();
        appender.append_to(&single, sample(now + second)).unwrap();
        assert_eq!(appender.commit().unwrap().appended, 5);
    }
    let mut appender = store.appender();
    appender.append_to(&column, sample(now + 4)).unwrap();
    assert_eq!(appender.commit().unwrap().appended, 1);
    let found = read(&store.snapshot(), "goes");
    let times = |labels: &str| found[labels].iter().map(|(time, _)| time - now).collect::<Vec<_>>();
    assert_eq!(found.len(), 5);
    assert_eq!(times(&count.to_string()), [1, 2, 3, 4]);
    assert_eq!(times(&up("goes").to_string()), [1, 2, 3]);
    assert!(others.iter().all(|other| other.len() == 5));
    abandon(store);
    assert_eq!(read(&open(&disk).snapshot(), "goes"), found);
}

#[test]
fn handles_whose_series_have_other_numbers_are_looked_up_once() {
    let store = open(&Arc::new(SimulatedDisk::new(1)));
    let mut appender = store.appender();
    let single = appender.handle(&up("late")).unwrap();
    let family = appender.family(&histogram("late"), &BOUNDS).unwrap();
    drop(appender);
    // Before the first sample comes, both have left, and others have come.
    live_on(&store, 1);
    (0..20).for_each(|pod| scrape(&store, &format!("other-{pod}"), 10 * HOUR));
    let numbers = || (single.number_in(&store), family.number_in(&store));
    assert_eq!(numbers(), (None, None));
    for second in 1..3 {
        let mut appender = store.appender();
        appender.append_to(&single, sample(10 * HOUR + second)).unwrap();
        let time = Timestamp::from_secs(10 * HOUR + second);
        appender.append_family(&family, time, &[1.0, 2.0], 2.0, 0.5).unwrap();
        assert_eq!(appender.commit().unwrap().appended, 5);
    }
    let index = store.inner.index.read();
    let known = (index.find(&up("late")).map(|series| series.item), index.find_histogram(&histogram("late")));
    assert!(known.0.is_some() && known.1.is_some());
    assert_eq!(numbers(), known);
}

#[test]
fn labels_that_are_kept_find_their_series_after_others_have_its_number() {
    let store = open(&Arc::new(SimulatedDisk::new(1)));
    let kept: Vec<Labels> = (0..40).map(|pod| up(&format!("kept-{pod}"))).collect();
    let append = |labels: &[Labels], seconds: i64| {
        let mut appender = store.appender();
        labels.iter().for_each(|labels| appender.append(labels, sample(seconds)).unwrap());
        assert_eq!(appender.commit().unwrap().appended, labels.len());
    };
    (0..4).for_each(|second| append(&kept, second));
    let now = live_on(&store, 10);
    let others: Vec<Labels> = (0..60).map(|pod| up(&format!("other-{pod}"))).collect();
    append(&others, now + 1);
    (4..8).for_each(|second| append(&kept, now + second));
    for pod in 0..40 {
        let found = read(&store.snapshot(), &format!("kept-{pod}"));
        let times: Vec<i64> = found.values().flatten().map(|(time, _)| time - now).collect();
        assert_eq!(times, [4, 5, 6, 7]);
    }
    assert_eq!(store.stats().series, 105);
}

#[test]
fn a_series_that_was_deleted_leaves_and_comes_back() {
    let disk = Arc::new(SimulatedDisk::new(1));
    let store = open_on(&disk, options().retention(Duration::from_secs(1000 * HOUR as u64))).unwrap();
    (0..5).for_each(|second| scrape(&store, "goes", second));
    let now = live_on(&store, 10);
    assert_eq!(store.stats().series, 10);
    store.delete_series(&[Matcher::equal("pod", "goes")], Timestamp::MIN, Timestamp::MAX).unwrap();
    store.clean_tombstones().unwrap();
    maintain(&store);
    assert_eq!(store.stats().series, 5);
    // What is older than what was deleted is as good as anything else by then.
    scrape(&store, "goes", now + 1);
    assert_eq!(store.stats().series, 10);
    let found = read(&store.snapshot(), "goes");
    assert!(found.len() == 5 && found.values().all(|own| own.len() == 1 && own[0].0 == now + 1));
    abandon(store);
    let store = open_on(&disk, options().retention(Duration::from_secs(1000 * HOUR as u64))).unwrap();
    assert_eq!(read(&store.snapshot(), "goes"), found);
}

#[test]
fn what_a_question_has_learned_of_segments_leaves_with_them() {
    let disk = Arc::new(SimulatedDisk::new(1));
    let store = open(&disk);
    (0..30).for_each(|pod| scrape(&store, &format!("goes-{pod}"), 0));
    store.flush().unwrap();
    store.close().unwrap();
    drop(store);
    let store = open(&disk);
    assert_eq!(store.stats().series, 0);
    scrape(&store, "stays", 1);
    let bytes = label_bytes(&store);
    assert_eq!(read(&store.snapshot(), "goes-7").len(), 5);
    assert_eq!(store.snapshot().select(&SelectRequest::new(&[], Window::ALL)).unwrap().items.len(), 155);
    assert_eq!(store.stats().series, 155);
    live_on(&store, 2);
    assert_eq!((store.stats().series, label_bytes(&store)), (5, bytes));
}

#[test]
fn a_store_that_follows_a_writer_forgets_what_that_has_forgotten() {
    let disk = Arc::new(SimulatedDisk::new(1));
    let store = open(&disk);
    scrape(&store, "stays", 0);
    let reader = Store::open_read_only_on(disk.clone(), options()).unwrap();
    let mut held = None;
    for round in 0..5 {
        let first = round * 100 * HOUR;
        for pod in 0..40 {
            scrape(&store, &format!("goes-{round}-{pod}"), first + 1);
        }
        reader.refresh().unwrap();
        assert_eq!(read(&reader.snapshot(), &format!("goes-{round}-7")).len(), 5);
        if round == 2 {
            held = Some(reader.snapshot());
        }
        live_on(&store, first + 1);
        reader.refresh().unwrap();
        // Nothing has changed but the log.
        scrape(&store, "stays", first + 8 * HOUR + 2);
        reader.refresh().unwrap();
        assert_eq!(read(&reader.snapshot(), "stays"), read(&store.snapshot(), "stays"));
        // While the snapshot is there nothing leaves.
        let waiting = [0, 0, 200, 400, 0][round as usize];
        assert_eq!(reader.stats().series, 5 + waiting, "round {round}");
        if let Some(snapshot) = held.take_if(|_| round == 3) {
            assert_eq!(read(&snapshot, "goes-2-7").len(), 5);
        }
    }
}

/// What a life does, by pod.
#[derive(Clone, Debug)]
enum Step {
    Scrape(usize),
    ByHandle(usize),
    Hold(usize),
    Drop,
    Question(usize),
    Delete(usize),
    Hours(i64),
    Reopen(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let pod = 0_usize..6;
    prop_oneof![
        6 => pod.clone().prop_map(Step::Scrape),
        4 => pod.clone().prop_map(Step::ByHandle),
        2 => pod.clone().prop_map(Step::Hold),
        2 => Just(Step::Drop),
        2 => pod.clone().prop_map(Step::Question),
        1 => pod.prop_map(Step::Delete),
        6 => (1_i64..6).prop_map(Step::Hours),
        1 => any::<bool>().prop_map(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Against a plain map: times by pod.
    #[test]
    fn series_come_and_go_and_come_back(steps in proptest::collection::vec(step(), 1..60)) {
        let disk = Arc::new(SimulatedDisk::new(1));
        let mut store = open(&disk);
        let (mut model, mut now) = (BTreeMap::<usize, Vec<i64>>::new(), 0);
        let (mut handles, mut held) = (BTreeMap::new(), Vec::new());
        let name = |pod: usize| format!("pod-{pod}");
        let kept = |times: &[i64], now: i64| {
            times.iter().copied().filter(|time| *time > now - 4 * HOUR).collect::<Vec<_>>()
        };
        let seen = |source: &dyn Source, pod: usize| {
            let found = read(source, &name(pod));
            let times = |own: &Vec<(i64, f64)>| own.iter().map(|(time, _)| *time).collect::<Vec<_>>();
            let mut all: Vec<Vec<i64>> = found.values().map(times).collect();
            assert!(all.len() == 5 || all.is_empty(), "{found:?}");
            all.dedup();
            assert!(all.len() <= 1, "{found:?}");
            all.pop().unwrap_or_default()
        };
        for step in steps {
            now += 1;
            match step {
                Step::Scrape(pod) => {
                    scrape(&store, &name(pod), now);
                    model.entry(pod).or_default().push(now);
                }
                Step::ByHandle(pod) => {
                    let mut appender = store.appender();
                    let (single, family) = handles.entry(pod).or_insert_with(|| {
                        let family = appender.family(&histogram(&name(pod)), &BOUNDS).unwrap();
                        (appender.handle(&up(&name(pod))).unwrap(), family)
                    });
                    appender.append_to(single, sample(now)).unwrap();
                    let time = Timestamp::from_secs(now);
                    appender.append_family(family, time, &[1.0, 2.0], now as f64, 0.5).unwrap();
                    prop_assert_eq!(appender.commit().unwrap().appended, 5);
                    model.entry(pod).or_default().push(now);
                }
                Step::Hold(pod) => {
                    let snapshot = store.snapshot();
                    let own = seen(&snapshot, pod);
                    held.push((snapshot, pod, own));
                }
                Step::Drop => {
                    held.pop();
                }
                Step::Question(pod) => {
                    let newest = model.values().flatten().copied().max().unwrap_or(0);
                    let wanted = model.get(&pod).map(|times| kept(times, newest)).unwrap_or_default();
                    prop_assert_eq!(seen(&store.snapshot(), pod), wanted);
                }
                Step::Delete(pod) => {
                    let matchers = [Matcher::equal("pod", &name(pod))];
                    store.delete_series(&matchers, Timestamp::MIN, Timestamp::MAX).unwrap();
                    model.remove(&pod);
                    store.clean_tombstones().unwrap();
                }
                Step::Hours(hours) => {
                    for _ in 0..hours {
                        now += HOUR;
                        scrape(&store, &name(9), now);
                        model.entry(9).or_default().push(now);
                        store.flush().unwrap();
                        maintain(&store);
                    }
                }
                Step::Reopen(close) => {
                    held.clear();
                    handles.clear();
                    if close {
                        store.close().unwrap();
                        drop(store);
                    } else {
                        abandon(store);
                    }
                    store = open(&disk);
                }
            }
            for (snapshot, pod, own) in &held {
                prop_assert_eq!(&seen(snapshot, *pod), own);
            }
        }
        held.clear();
        for _ in 0..9 {
            now += HOUR;
            scrape(&store, "last", now);
            store.flush().unwrap();
            maintain(&store);
        }
        prop_assert_eq!(store.stats().series, 5);
        store.verify().unwrap();
    }
}
