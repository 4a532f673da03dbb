//! The store against a plain map: whatever is appended, in whatever mixture, comes back bit for bit.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::collections::BTreeMap;

use promgate::{
    Labels, MatchOp, Matcher, NativeHistogram, Sample, SampleBuffer, SampleValue, SelectRequest, Snapshot,
    Source, Store, StoreOptions, Timestamp, Window, stale_marker,
};
use proptest::prelude::*;

/// Series by labels, samples by time: whether it is a histogram, the bits of the value or of the count, and the start time (0: none).
type Model = BTreeMap<Labels, BTreeMap<i64, (bool, u64, i64)>>;

/// A snapshot that answers by what the trait offers to every source.
struct Plain<'a>(&'a Snapshot);

impl Source for Plain<'_> {
    fn select(&self, request: &SelectRequest<'_>) -> promgate::Result<promgate::SeriesSet> {
        self.0.select(request)
    }
}

/// The series that a test may write to: counters, gauges, and histograms with members of all sorts.
fn series(index: usize) -> Labels {
    let bounds = ["0.5", "1", "1.0", "+Inf", "x"];
    match index % 12 {
        i @ 0..=4 => Labels::from_pairs([("__name__", "d_bucket"), ("pod", "a"), ("le", bounds[i])]),
        5 => Labels::from_pairs([("__name__", "d_count"), ("pod", "a")]),
        6 => Labels::from_pairs([("__name__", "d_sum"), ("pod", "a")]),
        7 => Labels::from_pairs([("__name__", "d_bucket"), ("pod", "b"), ("le", "1")]),
        8 => Labels::from_pairs([("__name__", "alone_count"), ("pod", "a")]),
        9 => Labels::from_pairs([("__name__", "d_bucket"), ("pod", "a")]),
        10 => Labels::from_pairs([("__name__", "up"), ("pod", "a")]),
        _ => Labels::from_pairs([("__name__", "d"), ("pod", "a")]),
    }
}

fn read_all(snapshot: &Snapshot, matchers: &[Matcher], window: Window) -> Model {
    let set = snapshot.select(&SelectRequest::new(matchers, window)).unwrap();
    let mut model = Model::new();
    let mut before: Option<Labels> = None;
    for item in &set.items {
        let promgate::Item::Series(series) = item else { panic!("a family was not asked for") };
        assert!(before.is_none_or(|before| before < *series.labels()), "not in label order, or twice");
        before = Some(series.labels().clone());
        let mut samples = SampleBuffer::default();
        series.read(window, &mut samples).unwrap();
        assert!(samples.times.is_sorted_by(|a, b| a < b), "{}: {:?}", series.labels(), samples.times);
        let starts = samples.starts.iter().copied().chain(std::iter::repeat(0));
        let mut times = BTreeMap::new();
        for ((time, value), start) in samples.times.iter().zip(&samples.values).zip(starts) {
            times.insert(*time, (false, value.to_bits(), start));
        }
        for (time, histogram, start) in &samples.histograms {
            times.insert(*time, (true, histogram.count.to_bits(), *start));
        }
        if !times.is_empty() {
            model.insert(series.labels().clone(), times);
        }
    }
    model
}

fn cut(model: &Model, window: Window, wanted: impl Fn(&Labels) -> bool) -> Model {
    model
        .iter()
        .filter(|(labels, _)| wanted(labels))
        .filter_map(|(labels, samples)| {
            let inside: BTreeMap<_, _> = samples
                .iter()
                .filter(|(time, _)| window.contains(Timestamp::from_millis(**time)))
                .map(|(time, sample)| (*time, *sample))
                .collect();
            (!inside.is_empty()).then(|| (labels.clone(), inside))
        })
        .collect()
}

#[derive(Clone, Debug)]
struct Append {
    series: usize,
    time: i64,
    value: f64,
    start: i64,
    histogram: bool,
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (0_u32..50).prop_map(f64::from),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(stale_marker()),
        1 => Just(-0.0),
        1 => Just(0.1),
    ]
}

fn append() -> impl Strategy<Value = Append> {
    (0_usize..12, 0_i64..400, value(), prop_oneof![20 => Just(0_i64), 1 => 1_i64..400], 0_u8..40).prop_map(
        |(series, time, value, start, kind)| Append { series, time, value, start, histogram: kind == 0 },
    )
}

/// A scrape: one time for all, or any samples in any order of series.
fn batch() -> impl Strategy<Value = Vec<Append>> {
    prop_oneof![
        proptest::collection::vec(append(), 0..30),
        (0_i64..400, proptest::collection::vec((0_usize..12, 0_u32..50), 0..14)).prop_map(
            |(time, values)| {
                values
                    .into_iter()
                    .map(|(series, value)| Append {
                        series,
                        time,
                        value: f64::from(value),
                        start: 0,
                        histogram: false,
                    })
                    .collect()
            }
        ),
    ]
}

fn apply(store: &Store, model: &mut Model, batch: &[Append]) {
    let mut appender = store.appender();
    let mut wanted = (0, 0, 0);
    let mut in_order = batch.to_vec();
    // Within a batch the samples of a series come in time order.
    in_order.sort_by_key(|append| append.time);
    for append in &in_order {
        let labels = series(append.series);
        let timestamp = Timestamp::from_millis(append.time);
        let value = if append.histogram {
            let histogram = NativeHistogram { count: append.value, ..NativeHistogram::default() };
            SampleValue::Histogram(histogram.into())
        } else {
            SampleValue::Float(append.value)
        };
        let start = (append.start != 0).then(|| Timestamp::from_millis(append.start));
        appender.append(&labels, Sample { timestamp, value, start }).unwrap();
        let samples = model.entry(labels).or_default();
        let sample = (append.histogram, append.value.to_bits(), append.start);
        match samples.last_key_value() {
            Some((last, _)) if *last > append.time => wanted.2 += 1,
            Some((last, known)) if *last == append.time => {
                if *known == sample {
                    wanted.1 += 1
                } else {
                    wanted.2 += 1
                }
            }
            _ => {
                samples.insert(append.time, sample);
                wanted.0 += 1;
            }
        }
    }
    let report = appender.commit().unwrap();
    assert_eq!((report.appended, report.duplicates, report.refused.len()), wanted);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_mixture_comes_back(batches in proptest::collection::vec(batch(), 0..12), after in -1_i64..400, length in 0_i64..400) {
        let store = Store::in_memory(StoreOptions::new());
        let mut model = Model::new();
        let mut past = Vec::new();
        for batch in &batches {
            past.push((store.snapshot(), model.clone()));
            apply(&store, &mut model, batch);
        }
        past.push((store.snapshot(), model));
        let window = Window::new(Timestamp::from_millis(after), Timestamp::from_millis(after + length));
        let buckets = [Matcher::new("__name__", MatchOp::Matches, "d_.*").unwrap(), Matcher::equal("le", "1")];
        for (snapshot, model) in &past {
            let everything = [Matcher::new("__name__", MatchOp::Matches, ".+").unwrap()];
            prop_assert_eq!(read_all(snapshot, &everything, Window::ALL), cut(model, Window::ALL, |_| true));
            prop_assert_eq!(read_all(snapshot, &everything, window), cut(model, window, |_| true));
            for name in ["__name__", "le", "pod", "none"] {
                for matchers in [&everything[..], &buckets[..], &[]] {
                    for window in [window, Window::ALL] {
                        let values = snapshot.label_values(name, matchers, window).unwrap();
                        prop_assert_eq!(values, Plain(snapshot).label_values(name, matchers, window).unwrap());
                    }
                }
            }
            let selected = |labels: &Labels| {
                labels.metric_name().starts_with("d_") && labels.get("le") == Some("1")
            };
            prop_assert_eq!(read_all(snapshot, &buckets, window), cut(model, window, selected));
        }
    }

    #[test]
    fn matchers_select_what_they_accept(
        conditions in proptest::collection::vec((0_usize..4, 0_usize..4, 0_usize..12), 1..4),
    ) {
        let store = Store::in_memory(StoreOptions::new());
        let mut model = Model::new();
        let all: Vec<Append> =
            (0..12).map(|series| Append { series, time: 5, value: 1.0, start: 0, histogram: false }).collect();
        apply(&store, &mut model, &all);
        let names = ["__name__", "le", "pod", "none"];
        let values = ["", "d_bucket", "d_.*", "1", "1|0.5", ".+", ".*", "a", "[ab]", "d_(sum|count)", "up", "b?"];
        let matchers: Vec<Matcher> = conditions
            .iter()
            .map(|(name, op, value)| {
                let op = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Matches, MatchOp::NotMatches][*op];
                Matcher::new(names[*name], op, values[*value]).unwrap()
            })
            .collect();
        let accepted = |labels: &Labels| {
            matchers.iter().all(|matcher| matcher.matches(labels.get(matcher.name()).unwrap_or("")))
        };
        prop_assert_eq!(
            read_all(&store.snapshot(), &matchers, Window::ALL),
            cut(&model, Window::ALL, accepted),
            "{:?}", matchers
        );
    }

    #[test]
    fn rows_and_samples_of_a_histogram_are_the_same(
        rows in proptest::collection::vec((1_i64..4, proptest::collection::vec(0_u32..5, 3), any::<bool>()), 0..300),
    ) {
        let store = Store::in_memory(StoreOptions::new());
        let mut appender = store.appender();
        let base = Labels::from_pairs([("__name__", "h"), ("pod", "a")]);
        let family = appender.family(&base, &["1", "2", "+Inf"]).unwrap();
        let mut model = Model::new();
        let (mut time, mut counts) = (0, [0.0; 3]);
        for (step, growth, as_row) in &rows {
            time += step;
            let mut below = 0.0;
            for (count, more) in counts.iter_mut().zip(growth) {
                below += f64::from(*more);
                *count += below;
            }
            let at = Timestamp::from_millis(time);
            let columns: Vec<(Labels, f64)> = [
                (Some("1"), "h_bucket", counts[0]),
                (Some("2"), "h_bucket", counts[1]),
                (Some("+Inf"), "h_bucket", counts[2]),
                (None, "h_count", counts[2]),
                (None, "h_sum", counts[2] / 3.0),
            ]
            .into_iter()
            .map(|(bound, name, value)| {
                let pairs = [("__name__", name), ("pod", "a"), ("le", bound.unwrap_or(""))];
                (Labels::from_pairs(pairs), value)
            })
            .collect();
            if *as_row {
                appender.append_family(&family, at, &counts, counts[2], counts[2] / 3.0).unwrap();
            } else {
                for (labels, value) in &columns {
                    appender.append(labels, Sample::float(at, *value)).unwrap();
                }
            }
            // One commit a row: rows and samples of one batch have no order among each other.
            let report = std::mem::replace(&mut appender, store.appender()).commit().unwrap();
            prop_assert!(report.refused.is_empty());
            for (labels, value) in columns {
                model.entry(labels).or_default().insert(time, (false, value.to_bits(), 0));
            }
        }
        let everything = [Matcher::new("__name__", MatchOp::Matches, ".+").unwrap()];
        prop_assert_eq!(read_all(&store.snapshot(), &everything, Window::ALL), model);
        prop_assert_eq!(store.stats().samples, rows.len() as u64 * 5);
    }
}
