//! A store in a folder against a plain map: samples by labels, by handle and by row, sealing, merging, reopening, snapshots and a
//! reader beside the writer.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;

use promgate::{
    Durability, Item, Labels, Limits, NativeHistogram, Sample, SampleBuffer, SampleValue, SelectRequest,
    Snapshot, Source, Store, StoreOptions, Timestamp, Window, stale_marker,
};
use proptest::prelude::*;

/// Samples by series and time: bits of the value, and the start time (0: none).
type Model = BTreeMap<String, BTreeMap<i64, (u64, i64)>>;

const BOUNDS: [&str; 3] = ["0.5", "2", "+Inf"];

/// Columns of two histograms, and single series.
fn series(number: usize) -> Labels {
    let pod = ["a", "b"][number / 5 % 2];
    match number {
        0..=9 => match number % 5 {
            3 => Labels::from_pairs([("__name__", "d_count"), ("pod", pod)]),
            4 => Labels::from_pairs([("__name__", "d_sum"), ("pod", pod)]),
            bound => Labels::from_pairs([("__name__", "d_bucket"), ("pod", pod), ("le", BOUNDS[bound])]),
        },
        10 => Labels::from_pairs([("__name__", "d_bucket"), ("pod", "a")]),
        11 => Labels::from_pairs([("__name__", "up")]),
        _ => Labels::from_pairs([("__name__", "native")]),
    }
}

const SERIES: usize = 13;

/// One sample: how much later than the newest of all it is, its series, its value and start.
#[derive(Clone, Debug)]
struct Point {
    step: i64,
    series: usize,
    value: f64,
    start: i64,
}

#[derive(Clone, Debug)]
enum Step {
    ByLabels(Vec<Point>),
    ByHandle(Vec<Point>),
    Rows(Vec<(i64, usize, [u8; 3])>),
    /// A scrape of a histogram, in two batches: what the mask names comes later, if at all.
    Split {
        pod: usize,
        mask: u8,
        flush_between: bool,
    },
    Flush,
    Maintain,
    Snapshot,
    Reopen {
        close: bool,
    },
    Refresh,
}

fn point() -> impl Strategy<Value = Point> {
    let value = prop_oneof![
        6 => (0_u32..50).prop_map(f64::from),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(stale_marker()),
        1 => Just(0.1),
    ];
    (-20_i64..60, 0..SERIES, value, prop_oneof![9 => Just(0_i64), 1 => 1_i64..400])
        .prop_map(|(step, series, value, start)| Point { step, series, value, start })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(point(), 1..20).prop_map(Step::ByLabels),
        3 => prop::collection::vec(point(), 1..20).prop_map(Step::ByHandle),
        4 => prop::collection::vec((0_i64..30, 0_usize..2, any::<[u8; 3]>()), 1..8).prop_map(Step::Rows),
        3 => (0_usize..2, 0_u8..32, any::<bool>()).prop_map(|(pod, mask, flush_between)| Step::Split {
            pod,
            mask,
            flush_between,
        }),
        3 => Just(Step::Flush),
        2 => Just(Step::Maintain),
        2 => Just(Step::Snapshot),
        2 => any::<bool>().prop_map(|close| Step::Reopen { close }),
        2 => Just(Step::Refresh),
    ]
}

fn content(snapshot: &Snapshot, window: Window) -> Model {
    let mut model = Model::new();
    for item in snapshot.select(&SelectRequest::new(&[], window)).unwrap().items {
        let Item::Series(series) = item else { continue };
        let mut buffer = SampleBuffer::default();
        series.read(window, &mut buffer).unwrap();
        let name = series.labels().to_string();
        assert!(buffer.times.is_sorted_by(|a, b| a < b), "{name}: {:?}", buffer.times);
        let starts = buffer.starts.iter().copied().chain(std::iter::repeat(0));
        let floats = buffer.times.iter().zip(&buffer.values).zip(starts);
        let mut times: BTreeMap<i64, (u64, i64)> =
            floats.map(|((time, value), start)| (*time, (value.to_bits(), start))).collect();
        for (time, histogram, start) in &buffer.histograms {
            assert_eq!(times.insert(*time, (histogram.count.to_bits(), *start)), None, "{name}");
        }
        if !times.is_empty() {
            assert!(model.insert(name, times).is_none(), "a series is there twice");
        }
    }
    model
}

fn cut(model: &Model, window: Window) -> Model {
    let inside = |times: &BTreeMap<i64, (u64, i64)>| -> BTreeMap<i64, (u64, i64)> {
        let inside = times.iter().filter(|(time, _)| window.contains(Timestamp::from_millis(**time)));
        inside.map(|(time, value)| (*time, *value)).collect()
    };
    let cut = model.iter().map(|(name, times)| (name.clone(), inside(times)));
    cut.filter(|(_, times)| !times.is_empty()).collect()
}

struct Life {
    folder: tempfile::TempDir,
    store: Option<Store>,
    beside: Option<Store>,
    model: Model,
    now: i64,
    counts: [[f64; 3]; 2],
    held: Vec<(Snapshot, Model)>,
}

fn options() -> StoreOptions {
    let mut limits = Limits::default();
    limits.log_bytes = 1500;
    limits.min_free_bytes = 0;
    StoreOptions::new().limits(limits).durability(Durability::Never)
}

impl Life {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), options()).unwrap();
        let (model, counts) = (Model::new(), [[0.0; 3]; 2]);
        let held = Vec::new();
        let mut life = Self { folder, store: Some(store), beside: None, model, now: 1_000_000, counts, held };
        // A count that comes alone is no histogram's, and none could be begun beside it.
        life.rows(&[(0, 0, [1; 3]), (0, 1, [1; 3])]);
        life
    }

    fn store(&self) -> Store {
        self.store.clone().unwrap()
    }

    /// What is to become of a sample: `None` if it is one that the store has already.
    fn expect(&mut self, labels: &Labels, time: i64, own: (u64, i64)) -> Option<bool> {
        let times = self.model.entry(labels.to_string()).or_default();
        match times.last_key_value() {
            Some((last, known)) if *last == time && *known == own => None,
            Some((last, _)) if *last >= time => Some(false),
            _ => {
                times.insert(time, own);
                Some(true)
            }
        }
    }

    fn append(&mut self, points: &[Point], by_handle: bool) {
        let store = self.store();
        let mut appender = store.appender();
        let mut at: Vec<(i64, &Point)> = points.iter().map(|point| (self.now + point.step, point)).collect();
        at.sort_by_key(|(time, _)| *time);
        let (mut taken, mut refused, mut known) = (0, 0, 0);
        for (time, point) in at {
            let labels = series(point.series);
            let timestamp = Timestamp::from_millis(time);
            let value = if point.series == 12 {
                SampleValue::Histogram(
                    NativeHistogram { count: point.value, ..NativeHistogram::default() }.into(),
                )
            } else {
                SampleValue::Float(point.value)
            };
            let start = (point.start != 0).then(|| Timestamp::from_millis(point.start));
            let sample = Sample { timestamp, value, start };
            if by_handle {
                let handle = appender.handle(&labels).unwrap();
                appender.append_to(&handle, sample).unwrap();
            } else {
                appender.append(&labels, sample).unwrap();
            }
            match self.expect(&labels, time, (point.value.to_bits(), point.start)) {
                Some(true) => taken += 1,
                Some(false) => refused += 1,
                None => known += 1,
            }
            self.now = self.now.max(time);
        }
        let report = appender.commit().unwrap();
        assert_eq!(report.appended, taken, "{report:?}");
        // Of a sample that is only in a segment the time is known, not the value: its duplicate is refused.
        assert_eq!(report.refused.len() + report.duplicates, refused + known);
        assert!(report.duplicates <= known);
    }

    fn rows(&mut self, rows: &[(i64, usize, [u8; 3])]) {
        let store = self.store();
        let mut appender = store.appender();
        let families = ["a", "b"].map(|pod| {
            let base = Labels::from_pairs([("__name__", "d"), ("pod", pod)]);
            appender.family(&base, &BOUNDS).unwrap()
        });
        let mut taken = 0;
        for (step, pod, growth) in rows {
            self.now += step + 1;
            let (mut below, mut row) = (0.0, [0.0; 3]);
            for (place, (count, more)) in self.counts[*pod].iter_mut().zip(growth).enumerate() {
                // Now and then the counts start over.
                *count = if *more > 250 { 0.0 } else { *count + f64::from(more % 4) };
                below += *count;
                row[place] = below;
            }
            let at = Timestamp::from_millis(self.now);
            appender.append_family(&families[*pod], at, &row, below, below / 7.0).unwrap();
            for (number, value) in row.into_iter().chain([below, below / 7.0]).enumerate() {
                let labels = series(pod * 5 + number);
                assert_eq!(self.expect(&labels, self.now, (value.to_bits(), 0)), Some(true));
                taken += 1;
            }
        }
        let report = appender.commit().unwrap();
        assert_eq!((report.appended, report.refused.len(), report.duplicates), (taken, 0, 0));
    }

    fn split(&mut self, pod: usize, mask: u8, flush_between: bool) {
        self.now += 5;
        let points = |later: bool| -> Vec<Point> {
            (0..5)
                .filter(|number| (mask >> number & 1 == 1) == later)
                .map(|number| Point { step: 0, series: pod * 5 + number, value: 7.0, start: 0 })
                .collect()
        };
        self.append(&points(false), false);
        if flush_between {
            self.store().flush().unwrap();
        }
        self.append(&points(true), false);
    }

    fn reopen(&mut self, close: bool) {
        let store = self.store.take().unwrap();
        self.held.clear();
        if close {
            store.close().unwrap();
        }
        drop(store);
        self.store = Some(Store::open(self.folder.path(), options()).unwrap());
    }

    fn refresh(&mut self) {
        if let Some(beside) = &self.beside {
            beside.refresh().unwrap();
        } else {
            self.beside = Some(Store::open_read_only(self.folder.path(), options()).unwrap());
        }
        let beside = self.beside.as_ref().unwrap();
        assert_eq!(content(&beside.snapshot(), Window::ALL), self.model, "beside the writer");
    }

    fn check(&self) {
        self.model.values().for_each(|times| assert!(!times.is_empty()));
        assert_eq!(content(&self.store().snapshot(), Window::ALL), self.model);
        for (snapshot, model) in &self.held {
            assert_eq!(content(snapshot, Window::ALL), *model, "a snapshot has changed");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_in_a_folder_holds_what_a_map_holds(
        steps in prop::collection::vec(step(), 1..40),
        after in 0_i64..500,
        length in 1_i64..300,
    ) {
        let mut life = Life::new();
        for step in &steps {
            match step {
                Step::ByLabels(points) => life.append(points, false),
                Step::ByHandle(points) => life.append(points, true),
                Step::Rows(rows) => life.rows(rows),
                Step::Split { pod, mask, flush_between } => life.split(*pod, *mask, *flush_between),
                Step::Flush => life.store().flush().unwrap(),
                Step::Maintain => drop(life.store().maintain().unwrap()),
                Step::Snapshot => life.held.push((life.store().snapshot(), life.model.clone())),
                Step::Reopen { close } => life.reopen(*close),
                Step::Refresh => life.refresh(),
            }
            life.check();
        }
        let (from, until) = (1_000_000 + after, 1_000_000 + after + length);
        let window = Window::new(Timestamp::from_millis(from), Timestamp::from_millis(until));
        prop_assert_eq!(content(&life.store().snapshot(), window), cut(&life.model, window));
        life.store().verify().unwrap();
    }
}
