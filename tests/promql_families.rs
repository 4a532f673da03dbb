//! A source that hands out histogram families and one that hands out their series give the same answers, bit for bit.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that fails should stop")]

use promgate::{
    Engine, Evaluation, Item, Labels, LabelsBuilder, Matcher, Result, Sample, SampleValue, SelectRequest,
    SeriesSet, Snapshot, Source, Store, StoreOptions, Timestamp, Value, Window, stale_marker,
};
use proptest::prelude::*;

/// A source without families.
struct SeriesOnly(Snapshot);

impl Source for SeriesOnly {
    fn select(&self, request: &SelectRequest<'_>) -> Result<SeriesSet> {
        self.0.select(&SelectRequest::new(request.matchers, request.window))
    }
}

/// What happens to one histogram at one scrape.
#[derive(Clone, Debug)]
enum Scrape {
    Missed,
    Stale,
    Restarted,
    Grown(Vec<u16>),
}

#[derive(Clone, Debug)]
struct Histogram {
    pod: u8,
    /// Whether it is told as rows with count and sum, and not series by series.
    rows: bool,
    zone: Option<u8>,
    bounds: &'static [&'static str],
    scrapes: Vec<Scrape>,
}

fn scrape() -> impl Strategy<Value = Scrape> {
    prop_oneof![
        1 => Just(Scrape::Missed),
        1 => Just(Scrape::Stale),
        1 => Just(Scrape::Restarted),
        8 => prop::collection::vec(0_u16..50, 6).prop_map(Scrape::Grown),
    ]
}

fn histogram() -> impl Strategy<Value = Histogram> {
    let bounds = prop_oneof![
        3 => Just(&["0.1", "0.5", "1", "+Inf"][..]),
        1 => Just(&["0.1", "0.25", "2.5", "10", "+Inf"][..]),
    ];
    (0_u8..5, any::<bool>(), prop::option::of(0_u8..2), bounds, prop::collection::vec(scrape(), 5..40))
        .prop_map(|(pod, rows, zone, bounds, scrapes)| Histogram { pod, rows, zone, bounds, scrapes })
}

fn store(histograms: &[Histogram]) -> Snapshot {
    let store = Store::in_memory(StoreOptions::new());
    let mut seen = Vec::new();
    for histogram in histograms {
        let key = (histogram.pod, histogram.zone);
        if seen.contains(&key) {
            continue;
        }
        seen.push(key);
        let mut base = LabelsBuilder::new();
        base.set("__name__", "latency_bucket").set("pod", format!("p{}", histogram.pod));
        if let Some(zone) = histogram.zone {
            base.set("a_zone", format!("z{zone}"));
        }
        let mut counts = vec![0.0_f64; histogram.bounds.len()];
        for (index, scrape) in histogram.scrapes.iter().enumerate() {
            let time = Timestamp::from_millis(index as i64 * 15_000 + i64::from(histogram.pod) * 7);
            let mut values = counts.clone();
            match scrape {
                Scrape::Missed => continue,
                Scrape::Stale => values.fill(stale_marker()),
                Scrape::Restarted => {
                    counts.fill(0.0);
                    values.fill(0.0);
                }
                Scrape::Grown(increments) => {
                    let mut sum = 0.0;
                    for (count, increment) in counts.iter_mut().zip(increments) {
                        sum += f64::from(*increment);
                        *count += sum;
                    }
                    values.clone_from(&counts);
                }
            }
            let mut appender = store.appender();
            if histogram.rows {
                let mut shared = base.clone();
                let family = appender.family(&shared.set("__name__", "latency").build(), histogram.bounds);
                let count = *values.last().unwrap();
                let sum = if count.is_nan() { count } else { count * 0.3 };
                appender.append_family(&family.unwrap(), time, &values, count, sum).unwrap();
                appender.commit().unwrap();
                continue;
            }
            for (bound, value) in histogram.bounds.iter().zip(values) {
                let mut labels = base.clone();
                labels.set("le", *bound);
                appender.append(&labels.build(), Sample::float(time, value)).unwrap();
            }
            appender.commit().unwrap();
        }
    }
    store.snapshot()
}

/// Labels and bits of everything in a value.
fn bits(evaluation: &Evaluation) -> Vec<(Labels, Vec<(i64, u64)>)> {
    match &evaluation.value {
        Value::Matrix(matrix) => matrix
            .iter()
            .map(|series| {
                let values = series.samples.values.iter().map(|value| value.to_bits());
                (series.labels.clone(), series.samples.times.iter().copied().zip(values).collect())
            })
            .collect(),
        Value::Vector(vector) => vector
            .iter()
            .map(|sample| {
                let SampleValue::Float(value) = sample.value else { panic!("{sample:?}") };
                (sample.labels.clone(), vec![(sample.timestamp.as_millis(), value.to_bits())])
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

const QUERIES: [&str; 10] = [
    "sum by (le) (rate(latency_bucket[1m]))",
    "sum by (le, pod) (increase(latency_bucket[45s]))",
    "sum without (pod) (rate(latency_bucket[2m]))",
    "histogram_quantile(0.9, sum by (le) (rate(latency_bucket{pod!=\"p1\"}[1m])))",
    "sum(sum by (le) (rate(latency_bucket[1m])))",
    "sum by (le) (rate(latency_bucket{le=~\"0.*\"}[1m] offset 15s))",
    "sum by (le, __name__) (rate(latency_bucket[1m]))",
    "sum by (le, a_zone, missing) (increase(latency_bucket[100s]))",
    "sum without (le, pod) (rate(latency_bucket[1m]))",
    "histogram_quantile(0.5, sum without (a_zone) (rate({__name__=\"latency_bucket\",le!=\"1\"}[3m])))",
];

/// Queries of all forms that may be evaluated over families, and of some that may not.
fn query() -> impl Strategy<Value = String> {
    let labels = prop::sample::subsequence(vec!["le", "pod", "a_zone", "missing", "__name__"], 0..5);
    let by = prop::sample::select(vec!["by", "without"]);
    let function = prop::sample::select(vec!["rate", "increase", "rate", "delta", "irate"]);
    let matchers = prop::sample::select(vec![
        "latency_bucket",
        "latency_bucket{pod!=\"p1\"}",
        "latency_bucket{le=~\"0.*\"}",
        "latency_bucket{a_zone=\"\"}",
        "{__name__=~\"latency_(bucket|count)\"}",
        "{__name__=\"latency_bucket\",le!=\"1\"}",
    ]);
    let modifier = prop::sample::select(vec!["", " offset 15s", " @ 200", " offset -40s"]);
    let around = prop::sample::select(vec![
        ("", ""),
        ("histogram_quantile(0.9, ", ")"),
        ("sum(", ")"),
        ("", " / 2"),
        ("max_over_time((", ")[2m:20s])"),
        ("histogram_fraction(0, 0.5, ", ")"),
    ]);
    let op = prop::sample::select(vec!["sum", "sum", "sum", "avg"]);
    (op, by, labels, function, matchers, 15_u32..300, modifier, around).prop_map(
        |(op, by, labels, function, matchers, window, modifier, (before, after))| {
            let labels = labels.join(", ");
            format!("{before}{op} {by} ({labels}) ({function}({matchers}[{window}s]{modifier})){after}")
        },
    )
}

#[test]
fn the_store_hands_out_families() {
    let scrapes = vec![Scrape::Grown(vec![1; 6]); 5];
    let bounds = &["0.1", "+Inf"][..];
    let snapshot = store(&[Histogram { pod: 1, rows: false, zone: None, bounds, scrapes }]);
    let matchers = [Matcher::equal("__name__", "latency_bucket")];
    let request = SelectRequest::new(&matchers, Window::ALL);
    let is_family = |item: &Item| matches!(item, Item::Family(_));
    assert!(snapshot.select(&request.with_families()).unwrap().items.iter().all(is_family));
    assert!(!snapshot.select(&request).unwrap().items.iter().any(is_family));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn families_and_their_series_give_the_same_bits(
        histograms in prop::collection::vec(histogram(), 1..6),
        delayed in any::<bool>(),
        step in 1_000_i64..40_000,
        random in prop::collection::vec(query(), 12),
    ) {
        let snapshot = store(&histograms);
        let engine = Engine::new().delayed_name_removal(delayed);
        let (start, end) = (Timestamp::from_millis(0), Timestamp::from_millis(700_000));
        let series_only = SeriesOnly(snapshot.clone());
        let times = [step * 5, 75_007, 300_000];
        let queries = || QUERIES.iter().copied().chain(random.iter().map(String::as_str));
        let instants = queries().flat_map(|text| times.map(|time| (text, Some(time))));
        for (text, instant) in queries().map(|text| (text, None)).chain(instants) {
            let query = engine.prepare(text).unwrap();
            let evaluate = |source: &dyn Source| match instant {
                Some(time) => engine.instant(source, &query, Timestamp::from_millis(time)),
                None => engine.range(source, &query, start, end, step),
            };
            match (evaluate(&snapshot), evaluate(&series_only)) {
                (Ok(families), Ok(series)) => {
                    prop_assert_eq!(bits(&families), bits(&series), "{}", text);
                    prop_assert_eq!(families.annotations, series.annotations, "{}", text);
                }
                (families, series) => {
                    prop_assert_eq!(families.unwrap_err().to_string(), series.unwrap_err().to_string());
                }
            }
        }
    }
}

#[test]
fn rows_with_count_and_sum_are_handed_out_as_families() {
    let store = Store::in_memory(StoreOptions::new());
    let mut appender = store.appender();
    let labels = Labels::from_pairs([("__name__", "latency"), ("pod", "p1")]);
    let family = appender.family(&labels, &["0.1", "+Inf"]).unwrap();
    for scrape in 0..5 {
        let time = Timestamp::from_millis(scrape * 15_000);
        appender.append_family(&family, time, &[1.0, 2.0], 2.0, 0.3).unwrap();
    }
    appender.commit().unwrap();
    let matchers = [Matcher::equal("pod", "p1"), Matcher::equal("__name__", "latency_bucket")];
    let request = SelectRequest::new(&matchers, Window::ALL).with_families();
    let items = store.snapshot().select(&request).unwrap().items;
    assert!(matches!(items.as_slice(), [Item::Family(_)]), "{} items", items.len());
}
