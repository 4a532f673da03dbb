//! Selecting from a store of which the index knows only a part: the answers are those of every series looked at on its own.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};

use promgate::fuzzing::SimulatedStore;
use promgate::{
    Item, Labels, LabelsBuilder, Limits, Maintained, MatchOp, Matcher, Sample, SampleBuffer, SelectRequest,
    Snapshot, Source, Store, StoreOptions, Timestamp, Window,
};
use proptest::prelude::*;

/// Samples by series.
type Content = BTreeMap<Labels, BTreeMap<i64, u64>>;

fn options() -> StoreOptions {
    let mut limits = Limits::default();
    limits.min_free_bytes = 0;
    StoreOptions::new().limits(limits)
}

fn labels() -> impl Strategy<Value = Labels> {
    let name = prop::sample::select(vec![
        "d_bucket", "d_bucket", "d_bucket", "d_count", "d_sum", "d", "e_bucket", "e_count", "up",
    ]);
    let bound = prop::option::weighted(0.7, prop::sample::select(vec!["1", "2.5", "+Inf", "x"]));
    let value = |values: Vec<&'static str>| prop::option::of(prop::sample::select(values));
    let others = (value(vec!["a", "ab", "b", "ü"]), value(vec!["x", "xy"]), value(vec!["1"]));
    (name, bound, others).prop_map(|(name, bound, (pod, zone, upper))| {
        let mut builder = LabelsBuilder::new();
        builder.set("__name__", name);
        if name.ends_with("_bucket") {
            builder.set("le", bound.unwrap_or_default());
        }
        builder.set("pod", pod.unwrap_or_default()).set("zone", zone.unwrap_or_default());
        builder.set("A", upper.unwrap_or_default());
        builder.build()
    })
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let op =
        prop::sample::select(vec![MatchOp::Equal, MatchOp::NotEqual, MatchOp::Matches, MatchOp::NotMatches]);
    let of = |name: &'static str, values: Vec<&'static str>| (Just(name), prop::sample::select(values));
    let what = prop_oneof![
        of("__name__", vec!["d_bucket", "d_count", "d", "d_.*", ".*_bucket|up", "e_count", ".+", "nothing"]),
        of("le", vec!["1", "2.5|x", "", ".+", ".*", "[0-9].*"]),
        of("pod", vec!["a", "a.*", "a|b", "", ".+", ".*b", "ü"]),
        of("zone", vec!["x", "x.*", "", "x|", "z"]),
        of("A", vec!["1", "", ".*"]),
    ];
    (op, what).prop_map(|(op, (name, value))| Matcher::new(name, op, value).unwrap())
}

#[derive(Clone, Debug)]
enum Step {
    /// Series that get a sample.
    Batch(Vec<prop::sample::Index>),
    Flush,
    Reopen,
    /// A question, and what part of the time it is about.
    Ask(Vec<Matcher>, u8),
    Values(&'static str, Vec<Matcher>, u8),
}

fn step() -> impl Strategy<Value = Step> {
    let matchers = || prop::collection::vec(matcher(), 0..4);
    prop_oneof![
        6 => prop::collection::vec(any::<prop::sample::Index>(), 1..12).prop_map(Step::Batch),
        3 => Just(Step::Flush),
        1 => Just(Step::Reopen),
        4 => (matchers(), any::<u8>()).prop_map(|(matchers, part)| Step::Ask(matchers, part)),
        2 => (prop::sample::select(vec!["__name__", "le", "pod", "A", "none"]), matchers(), any::<u8>())
            .prop_map(|(name, matchers, part)| Step::Values(name, matchers, part)),
    ]
}

fn window(part: u8, now: i64) -> Window {
    let (from, length) = (i64::from(part & 7), i64::from(part >> 3 & 7) + 1);
    match part >> 6 {
        0 => Window::ALL,
        _ => {
            let after = now * from / 8;
            Window::new(Timestamp::from_millis(after), Timestamp::from_millis(after + now * length / 8 + 1))
        }
    }
}

fn inside(content: &Content, matchers: &[Matcher], window: Window) -> Content {
    let accepted = content.iter().filter(|(labels, _)| {
        matchers.iter().all(|matcher| matcher.matches(labels.get(matcher.name()).unwrap_or("")))
    });
    let (after, until) = (window.after.as_millis(), window.until.as_millis());
    accepted
        .map(|(labels, samples)| {
            let samples = samples.iter().filter(|(time, _)| **time > after && **time <= until);
            (labels.clone(), samples.map(|(time, bits)| (*time, *bits)).collect())
        })
        .filter(|(_, samples): &(Labels, BTreeMap<i64, u64>)| !samples.is_empty())
        .collect()
}

fn selected(snapshot: &Snapshot, matchers: &[Matcher], window: Window) -> Content {
    let set = snapshot.select(&SelectRequest::new(matchers, window)).unwrap();
    assert!(set.items.is_sorted_by(|a, b| a.labels() < b.labels()), "order of {matchers:?}");
    let mut content = Content::new();
    for item in &set.items {
        let Item::Series(series) = item else { panic!("a family was not asked for") };
        let mut buffer = SampleBuffer::default();
        series.read(window, &mut buffer).unwrap();
        assert!(buffer.times.is_sorted_by(|a, b| a < b));
        let bits = buffer.values.iter().map(|value| value.to_bits());
        let samples: BTreeMap<i64, u64> = buffer.times.iter().copied().zip(bits).collect();
        if !samples.is_empty() {
            content.insert(series.labels().clone(), samples);
        }
    }
    content
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn answers_are_those_of_every_series_looked_at(
        series in prop::collection::btree_set(labels(), 1..30),
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let series: Vec<Labels> = series.into_iter().collect();
        let mut disk = SimulatedStore::new(1);
        let mut store = disk.open(options()).unwrap();
        let (mut content, mut now) = (Content::new(), 0);
        let mut held: Vec<(Snapshot, Content)> = Vec::new();
        for step in steps {
            match step {
                Step::Batch(which) => {
                    now += 15_000;
                    let mut appender = store.appender();
                    for index in which {
                        let labels = index.get(&series);
                        let samples = content.entry(labels.clone()).or_default();
                        let value = (now / 15_000) as f64;
                        if samples.insert(now, value.to_bits()).is_none() {
                            appender.append(labels, Sample::float(Timestamp::from_millis(now), value)).unwrap();
                        }
                    }
                    assert!(appender.commit().unwrap().refused.is_empty());
                }
                Step::Flush => store.flush().unwrap(),
                Step::Reopen => {
                    held.clear();
                    disk.end(store, None);
                    store = disk.open(options()).unwrap();
                }
                Step::Ask(matchers, part) => {
                    let window = window(part, now);
                    let snapshot = store.snapshot();
                    let wanted = inside(&content, &matchers, window);
                    prop_assert_eq!(selected(&snapshot, &matchers, window), wanted, "{:?} {:?}", matchers, window);
                    held.push((snapshot, content.clone()));
                }
                Step::Values(name, matchers, part) => {
                    let window = window(part, now);
                    let snapshot = store.snapshot();
                    let found = snapshot.label_values(name, &matchers, window).unwrap();
                    prop_assert!(found.is_sorted_by(|a, b| a < b));
                    // A chunk may touch the window without a sample in it.
                    let found: BTreeSet<String> = found.iter().map(|value| value.to_string()).collect();
                    let values = |content: &Content| -> BTreeSet<String> {
                        content.keys().filter_map(|labels| labels.get(name)).map(str::to_owned).collect()
                    };
                    let (least, most) = (values(&inside(&content, &matchers, window)), values(&inside(&content, &matchers, Window::ALL)));
                    prop_assert!(least.is_subset(&found) && found.is_subset(&most), "{} of {:?}: {:?}, not {:?}", name, matchers, found, least);
                    if window == Window::ALL {
                        prop_assert_eq!(found, most);
                    }
                }
            }
        }
        store.verify().unwrap();
        prop_assert_eq!(selected(&store.snapshot(), &[], Window::ALL), content);
        for (snapshot, content) in held {
            prop_assert_eq!(selected(&snapshot, &[], Window::ALL), content);
        }
        disk.end(store, None);
    }
}

fn append(store: &Store, labels: &[Labels], time: i64) {
    let mut appender = store.appender();
    for labels in labels {
        appender.append(labels, Sample::float(Timestamp::from_millis(time), time as f64)).unwrap();
    }
    assert!(appender.commit().unwrap().refused.is_empty());
}

fn pods(count: usize) -> Vec<Labels> {
    let one = |pod| {
        Labels::from_pairs([("__name__", "calls_total"), ("job", "api"), ("pod", &*format!("p{pod:05}"))])
    };
    (0..count).map(one).collect()
}

#[test]
fn the_index_learns_of_what_is_asked_for_and_merging_teaches_it_nothing() {
    let mut disk = SimulatedStore::new(1);
    let store = disk.open(options()).unwrap();
    let pods = pods(2_000);
    for round in 0..4 {
        append(&store, &pods, round * 15_000);
        if round < 3 {
            store.flush().unwrap();
        }
    }
    store.flush().unwrap();
    store.close().unwrap();
    disk.end(store, None);

    let store = disk.open(options()).unwrap();
    assert_eq!(store.stats().series, 0, "opening reads footers");
    let one = [Matcher::equal("pod", "p00007")];
    assert_eq!(selected(&store.snapshot(), &one, Window::ALL).len(), 1);
    assert_eq!(store.stats().series, 1);
    let names = store.snapshot().label_values("__name__", &[], Window::ALL).unwrap();
    assert_eq!(names.iter().map(|name| &**name).collect::<Vec<_>>(), ["calls_total"]);
    assert_eq!(store.snapshot().label_values("pod", &[], Window::ALL).unwrap().len(), 2_000);
    // Series that are known from segments alone do not count as appended to.
    assert_eq!((store.stats().series, store.stats().active_series), (1, 0));
    append(&store, &pods[7..9], 100_000);
    assert_eq!((store.stats().series, store.stats().active_series), (2, 2));
    // Samples that a segment has are refused, whether the index knew or not.
    let mut late = store.appender();
    for labels in &pods[6..10] {
        late.append(labels, Sample::float(Timestamp::from_millis(15_000), 7.0)).unwrap();
    }
    assert_eq!(late.commit().unwrap().refused.len(), 4);
    while store.maintain().unwrap() == Maintained::Step {}
    for round in 0..4 {
        append(&store, &pods[..3], 200_000 + round);
        store.flush().unwrap();
    }
    assert!(store.stats().segments < 6, "{:?}", store.stats());
    assert!(store.stats().series < 10, "{:?}", store.stats());
    let all = selected(&store.snapshot(), &[], Window::ALL);
    let samples: usize = all.values().map(BTreeMap::len).sum();
    assert_eq!((all.len(), samples), (2_000, 4 * 2_000 + 2 + 12));
    store.verify().unwrap();
    disk.end(store, None);
}
