use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use crate::codec::histogram::tests::any_histogram;
use crate::error::{ErrorKind, Result};
use crate::model::{Labels, NativeHistogram, SampleBuffer, SampleValue, Span, Timestamp, stale_marker};
use crate::promql::{Engine, QueryLimits, Value};
use crate::source::fixture::Fixture;
use crate::source::{SelectRequest, Series, SeriesSet, Source};

fn series(name: &str, label: &str, samples: &[(i64, f64)]) -> Series {
    let mut buffer = SampleBuffer::default();
    for (time, value) in samples {
        buffer.push_float(*time, *value, 0);
    }
    Series::from_samples(Labels::from_pairs([("__name__", name), ("a", label)]), buffer)
}

fn counter() -> Fixture {
    let samples: Vec<(i64, f64)> = (0..100).map(|i| (i * 15_000, i as f64)).collect();
    Fixture(vec![series("m_total", "1", &samples), series("m_total", "2", &samples)])
}

fn instant(engine: &Engine, source: &Fixture, query: &str, at: i64) -> Result<Value> {
    let query = engine.prepare(query)?;
    Ok(engine.instant(source, &query, Timestamp::from_millis(at))?.value)
}

#[test]
fn the_limit_on_samples_has_prometheus_s_text() {
    let samples = |limit| Engine::new().limits(QueryLimits::default().samples(limit));
    assert!(instant(&samples(8), &counter(), "rate(m_total[1m])", 60_000).is_ok());
    let error = instant(&samples(3), &counter(), "rate(m_total[1m])", 60_000).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert_eq!(
        error.to_string(),
        "query processing would load too many samples into memory in query execution"
    );
}

#[test]
fn every_other_limit_names_itself() {
    let start = Timestamp::from_millis(0);
    let range = |limits: QueryLimits, end: i64| {
        let engine = Engine::new().limits(limits);
        let query = engine.prepare("m_total").unwrap();
        engine.range(&counter(), &query, start, Timestamp::from_millis(end), 10)
    };
    assert!(range(QueryLimits::default().points_per_series(101), 1_000).is_ok());
    let points = range(QueryLimits::default().points_per_series(100), 1_000).unwrap_err();
    assert!(points.to_string().contains("points_per_series"), "{points}");
    assert!(range(QueryLimits::default().series(2), 1_000).is_ok());
    let series = range(QueryLimits::default().series(1), 1_000).unwrap_err();
    assert!(series.to_string().contains("limit series exceeded"), "{series}");
    let result = range(QueryLimits::default().result_series(1), 1_000).unwrap_err();
    assert!(result.to_string().contains("result_series"), "{result}");
    let window = range(QueryLimits::default().points_per_series(u64::MAX), i64::MAX).unwrap_err();
    assert_eq!(window.kind(), ErrorKind::Limit);
}

/// The answer as text: labels and values of each series in the order in which they come.
fn answer(source: &Fixture, query: &str, at: i64) -> Vec<String> {
    let engine = Engine::new().experimental(true);
    match instant(&engine, source, query, at).unwrap() {
        Value::Vector(samples) => samples
            .iter()
            .map(|sample| match sample.value {
                SampleValue::Float(value) => format!("{} {value}", sample.labels),
                SampleValue::Histogram(ref histogram) => format!("{} {histogram}", sample.labels),
            })
            .collect(),
        Value::Matrix(series) => series
            .iter()
            .map(|series| format!("{} {:?} {:?}", series.labels, series.samples.times, series.samples.values))
            .collect(),
        other => vec![format!("{other:?}")],
    }
}

fn refusal(source: &Fixture, query: &str) -> String {
    let engine = Engine::new().experimental(true);
    instant(&engine, source, query, 60_000).unwrap_err().to_string()
}

#[test]
fn unary_plus_hides_a_selector_from_the_function_above() {
    let source = Fixture(vec![series("m", "1", &[(40_000, 7.0)])]);
    assert_eq!(answer(&source, "timestamp(m)", 60_000), ["{a=\"1\"} 40"]);
    assert_eq!(answer(&source, "timestamp(+m)", 60_000), ["{a=\"1\"} 60"]);
    assert_eq!(answer(&source, "+m", 60_000), ["{__name__=\"m\", a=\"1\"} 7"]);
}

#[test]
fn the_time_of_a_smoothed_selector_is_that_of_its_newest_sample() {
    let source = Fixture(vec![series("m", "1", &[(40_000, 7.0), (80_000, 9.0)])]);
    assert_eq!(answer(&source, "m smoothed", 60_000), ["{__name__=\"m\", a=\"1\"} 8"]);
    assert_eq!(answer(&source, "timestamp(m smoothed)", 60_000), ["{a=\"1\"} 40"]);
}

#[test]
fn a_smoothed_range_has_points_also_where_all_samples_are_behind_it() {
    let source = Fixture(vec![series("m", "1", &[(80_000, 9.0)])]);
    assert_eq!(
        answer(&source, "m[10s] smoothed", 60_000),
        ["{__name__=\"m\", a=\"1\"} [50000, 60000] [9.0, 9.0]"]
    );
    assert!(answer(&source, "increase(m[10s] smoothed)", 60_000).is_empty());
}

#[test]
fn a_range_of_one_step_has_no_step() {
    let engine = Engine::new().experimental(true);
    let step = |end: i64| {
        let query = engine.prepare("step()").unwrap();
        let (start, end) = (Timestamp::from_millis(1_000), Timestamp::from_millis(end));
        match engine.range(&Fixture(Vec::new()), &query, start, end, 10_000).unwrap().value {
            Value::Matrix(series) => series[0].samples.values.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(step(1_000), [0.0]);
    assert_eq!(step(1_001), [10.0]);
}

#[test]
fn what_is_absent_over_time_loses_metadata_where_names_are_dropped_late() {
    let query = "absent_over_time(zzz{a=\"1\", __type__=\"counter\"}[1m])";
    let labels = |delayed| {
        let engine = Engine::new().delayed_name_removal(delayed);
        match instant(&engine, &counter(), query, 60_000).unwrap() {
            Value::Vector(samples) => samples[0].labels.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(labels(true), "{a=\"1\"}");
    assert_eq!(labels(false), "{__type__=\"counter\", a=\"1\"}");
}

#[test]
fn a_series_of_two_operands_has_the_flag_of_its_first_sample() {
    let engine = Engine::new().delayed_name_removal(true);
    let source = Fixture(vec![series("m", "1", &[(0, 1.0), (60_000, 2.0)])]);
    let labels = |query: &str| {
        let query = engine.prepare(query).unwrap();
        let (start, end) = (Timestamp::from_millis(0), Timestamp::from_millis(60_000));
        match engine.range(&source, &query, start, end, 60_000).unwrap().value {
            Value::Matrix(series) => series.iter().map(|s| s.labels.to_string()).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(labels("increase(m[61s]) or m"), ["{__name__=\"m\", a=\"1\"}"]);
    assert_eq!(labels("m < 2 or increase(m[61s])"), ["{__name__=\"m\", a=\"1\"}"]);
    assert_eq!(labels("abs(m) < 2 or m"), ["{a=\"1\"}"]);
}

#[test]
fn a_factor_that_is_nan_makes_the_result_nan() {
    let query = |factor: &str| format!("double_exponential_smoothing(m_total[1m], 0.5, {factor})");
    assert_eq!(answer(&counter(), &query("NaN"), 60_000), ["{a=\"1\"} NaN", "{a=\"2\"} NaN"]);
    assert_eq!(refusal(&counter(), &query("1")), "invalid trend factor. Expected: 0 < tf < 1, got: 1.000000");
}

#[test]
fn texts_of_label_functions_are_checked_before_their_input() {
    let twice = "m_total + on() m_total";
    assert_eq!(
        refusal(&counter(), &format!("label_replace({twice}, \"b\", \"\", \"\", \"(\")")),
        "invalid regular expression in label_replace(): ("
    );
}

#[test]
fn the_label_of_quantiles_may_be_the_name() {
    let bucket = |bound: &str, count: f64| {
        let mut buffer = SampleBuffer::default();
        buffer.push_float(60_000, count, 0);
        Series::from_samples(Labels::from_pairs([("__name__", "m_bucket"), ("le", bound)]), buffer)
    };
    let source = Fixture(vec![bucket("+Inf", 4.0), bucket("1", 2.0)]);
    assert_eq!(
        answer(&source, "histogram_quantiles(m_bucket, \"__name__\", 0.25, -0)", 60_000),
        ["{__name__=\"0.25\"} 0.5", "{__name__=\"0.0\"} 0"]
    );
}

#[test]
fn limited_series_stand_as_in_a_heap() {
    let values = [5.0, 3.0, 4.0, 1.0];
    let source = Fixture(
        values
            .iter()
            .enumerate()
            .map(|(i, value)| series("m", &i.to_string(), &[(60_000, *value)]))
            .collect(),
    );
    assert_eq!(
        answer(&source, "limitk(4, m)", 60_000),
        [
            "{__name__=\"m\", a=\"3\"} 1",
            "{__name__=\"m\", a=\"1\"} 3",
            "{__name__=\"m\", a=\"2\"} 4",
            "{__name__=\"m\", a=\"0\"} 5"
        ]
    );
}

#[test]
fn quantile_names_the_extremes_of_its_parameter_only() {
    let engine = Engine::new();
    let query = engine.prepare("quantile(scalar(q), m_total)").unwrap();
    let values = [(0, 2.0), (10_000, 3.0), (20_000, -1.0)];
    let mut source = counter();
    source.0.push(series("q", "1", &values));
    let (start, end) = (Timestamp::from_millis(0), Timestamp::from_millis(20_000));
    let evaluation = engine.range(&source, &query, start, end, 10_000).unwrap();
    assert_eq!(
        evaluation.annotations.warnings,
        [
            "PromQL warning: quantile value should be between 0 and 1, got -1 (1:10)",
            "PromQL warning: quantile value should be between 0 and 1, got 3 (1:10)"
        ]
    );
}

#[test]
fn pairs_are_checked_before_their_result_labels() {
    let one = |name: &str, label: &str| series(name, label, &[(60_000, 1.0)]);
    let source = Fixture(vec![one("x", "1"), one("y", "1"), one("y", "2")]);
    let query = "{__name__=~\"x|y\"} + on(__name__) fill(0) zzz";
    assert_eq!(
        refusal(&source, query),
        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
    );
}

#[test]
fn labels_made_by_functions_are_limited() {
    let mut query = "label_replace(m_total, \"b\", \"0123456789\", \"\", \"\")".to_owned();
    for _ in 0..40 {
        query = format!("label_join({query}, \"b\", \"\", \"b\", \"b\")");
    }
    let error = instant(&Engine::new(), &counter(), &query, 60_000).unwrap_err();
    assert!(error.to_string().contains("label_bytes"), "{error}");
}

#[test]
fn the_ends_of_time_are_evaluated_without_overflow() {
    let engine = Engine::new().limits(QueryLimits::unlimited());
    let queries = [
        "m_total offset 100y",
        "rate(m_total[100y] offset -100y)",
        "max_over_time(m_total[1m:1s] offset 200y)",
        "predict_linear(m_total[1m], 1e300)",
        "year(m_total) + hour()",
    ];
    for query in queries {
        for at in [i64::MIN, i64::MIN + 1, 0, i64::MAX - 1, i64::MAX] {
            instant(&engine, &counter(), query, at).unwrap();
        }
    }
}

#[test]
fn a_range_query_needs_a_step() {
    let engine = Engine::new();
    let query = engine.prepare("m_total").unwrap();
    let at = Timestamp::from_millis(0);
    for step in [0, -1, i64::MIN] {
        let error = engine.range(&counter(), &query, at, at, step).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}

/// A histogram with as many observations in (0.5, 1] as in (1, 2].
fn histogram(count: f64) -> NativeHistogram {
    NativeHistogram {
        count,
        sum: count,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_buckets: vec![count / 2.0; 2],
        ..NativeHistogram::default()
    }
}

fn histograms(name: &str, label: &str, counts: &[(i64, f64)]) -> Series {
    let mut buffer = SampleBuffer::default();
    for (time, count) in counts {
        buffer.histograms.push((*time, Arc::new(histogram(*count)), 0));
    }
    Series::from_samples(Labels::from_pairs([("__name__", name), ("a", label)]), buffer)
}

#[test]
fn native_histograms_are_computed() {
    let source = Fixture(vec![
        histograms("h", "1", &[(0, 4.0), (15_000, 8.0), (30_000, 12.0)]),
        histograms("h", "2", &[(0, 4.0), (15_000, 8.0), (30_000, 6.0)]),
    ]);
    for (query, answers) in [
        ("sum(h)", ["{} {count:18, sum:18, (0.5,1]:9, (1,2]:9}"].as_slice()),
        ("count(h)", &["{} 2"]),
        ("-h{a=\"1\"} / 2", &["{a=\"1\"} {count:-6, sum:-6, (0.5,1]:-3, (1,2]:-3}"]),
        (
            "h </ 1",
            &[
                "{__name__=\"h\", a=\"1\"} {count:6, sum:4.242640687119286, (0.5,1]:6}",
                "{__name__=\"h\", a=\"2\"} {count:3, sum:2.121320343559643, (0.5,1]:3}",
            ],
        ),
        ("h - h{a=\"1\"}", &["{a=\"1\"} {count:0, sum:0}"]),
        ("histogram_quantile(0.5, h)", &["{a=\"1\"} 1", "{a=\"2\"} 1"]),
        ("histogram_avg(h)", &["{a=\"1\"} 1", "{a=\"2\"} 1"]),
        ("resets(h[1m])", &["{a=\"1\"} 0", "{a=\"2\"} 1"]),
        ("histogram_count(increase(h[30s]))", &["{a=\"1\"} 8", "{a=\"2\"} 12"]),
        ("max(h)", &[]),
    ] {
        assert_eq!(answer(&source, query, 30_000), answers, "{query}");
    }
}

/// A source that counts what it is asked.
struct Counted(Fixture, AtomicUsize);

impl Source for Counted {
    fn select(&self, request: &SelectRequest<'_>) -> Result<SeriesSet> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.select(request)
    }
}

#[test]
fn only_histograms_whose_hints_are_handed_on_make_a_selector_look_further_back() {
    let samples: Vec<(i64, f64)> = (0..5).map(|i| (i * 15_000, i as f64)).collect();
    let source = Counted(
        Fixture(vec![histograms("h", "1", &samples), series("m_total", "1", &samples)]),
        AtomicUsize::new(0),
    );
    let engine = Engine::new();
    for (query, selects) in [
        ("m_total", 1),
        ("m_total[1m]", 1),
        ("rate(m_total[1m])", 1),
        ("avg_over_time(m_total[1m])", 1),
        ("rate(h[1m])", 1),
        ("timestamp(h)", 1),
        ("h[1m]", 2),
        ("avg_over_time(h[1m])", 2),
    ] {
        source.1.store(0, Ordering::Relaxed);
        let query = engine.prepare(query).unwrap();
        engine.instant(&source, &query, Timestamp::from_millis(60_000)).unwrap();
        assert_eq!(source.1.load(Ordering::Relaxed), selects, "{query}");
    }
}

#[test]
fn a_wide_histogram_that_meets_many_series_ends_at_the_limit_and_not_after_all_steps() {
    let wide = |label: &str, at: i64| {
        let mut buffer = SampleBuffer::default();
        let spans = vec![Span { offset: 0, length: 4_000 }];
        let histogram =
            NativeHistogram { positive_spans: spans, positive_buckets: vec![1.0; 4_000], ..histogram(1.0) };
        buffer.histograms.push((at, Arc::new(histogram), 0));
        Series::from_samples(Labels::from_pairs([("__name__", "wide"), ("a", label)]), buffer)
    };
    let many = (0..50).map(|i| histograms("h", &format!("{i:02}"), &[(0, 1.0), (60_000, 1.0)]));
    // At the second step there are two of them, which is an error of its own.
    let source = Fixture(many.chain([wide("1", 0), wide("2", 60_000)]).collect());
    let engine = Engine::new().limits(QueryLimits::default().samples(50_000));
    let query = engine.prepare("h + on () group_left () wide").unwrap();
    let end = Timestamp::from_millis(60_000);
    let error = engine.range(&source, &query, Timestamp::from_millis(0), end, 60_000).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
}

#[test]
fn a_histogram_that_is_none_is_an_error_that_names_it() {
    let mut buffer = SampleBuffer::default();
    let broken = NativeHistogram { schema: 99, ..histogram(1.0) };
    buffer.histograms.push((60_000, Arc::new(broken), 0));
    let source = Fixture(vec![Series::from_samples(Labels::from_pairs([("__name__", "h")]), buffer)]);
    for query in ["h", "rate(h[1m])"] {
        let error = refusal(&source, query);
        assert!(error.contains("__name__=\"h\"") && error.contains("schema is 99"), "{error}");
    }
    // What does not look at it is answered.
    assert_eq!(answer(&source, "timestamp(h)", 60_000), ["{} 60"]);
}

/// Histograms with any numbers and any spans; most of them fit together, wherever the buckets then are.
fn any_stored() -> impl Strategy<Value = NativeHistogram> {
    (any_histogram(), -4..=52_i32, prop::bool::weighted(0.95)).prop_map(|(mut histogram, schema, fits)| {
        if fits {
            histogram.schema = schema;
            histogram.custom_values.clear();
            for (spans, buckets) in [
                (&mut histogram.positive_spans, &histogram.positive_buckets),
                (&mut histogram.negative_spans, &histogram.negative_buckets),
            ] {
                let offset = spans.first().map_or(0, |span| span.offset.min(i32::MAX - 9));
                *spans = vec![Span { offset, length: buckets.len() as u32 }];
            }
        }
        histogram
    })
}

/// Everything that computes with histograms.
const OF_HISTOGRAMS: [&str; 36] = [
    "h",
    "h smoothed",
    "-h",
    "h + on () group_left () h{a=\"1\"}",
    "h - h offset 15s",
    "h * -1e308",
    "h / 0",
    "h </ 1",
    "h >/ -1",
    "h == h offset 15s",
    "h != bool h offset 15s",
    "sum(h)",
    "avg(h)",
    "count_values(\"v\", h)",
    "topk(1, h)",
    "rate(h[1m])",
    "rate(h[1m] anchored)",
    "rate(h[1m] smoothed)",
    "rate((h)[1m:5s])",
    "increase(h[1m])",
    "delta(h[1m])",
    "irate(h[1m])",
    "idelta(h[1m])",
    "resets(h[1m])",
    "changes(h[1m])",
    "sum_over_time(h[1m])",
    "avg_over_time(h[1m])",
    "last_over_time(h[1m])",
    "histogram_quantile(0.3, h)",
    "histogram_quantile(0.9, sum(rate(h[1m])))",
    "histogram_quantiles(h, \"q\", 0, 0.5, 1)",
    "histogram_fraction(-1, 2, h)",
    "histogram_stdvar(h)",
    "histogram_stddev(h / 3)",
    "histogram_avg(h)",
    "histogram_count(rate(h[1m]))",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_histograms_are_stored_every_query_ends(
        stored in prop::collection::vec(any_stored(), 1..8),
    ) {
        let buffers = [0, 1].map(|from| {
            let mut buffer = SampleBuffer::default();
            for (at, histogram) in (0_i64..).zip(stored.iter().skip(from).step_by(2)) {
                buffer.histograms.push((at * 15_000, Arc::new(histogram.clone()), 0));
            }
            buffer
        });
        let labels = |a: &str| Labels::from_pairs([("__name__", "h"), ("a", a)]);
        let series = ["1", "2"].into_iter().zip(buffers);
        let source = Fixture(series.map(|(a, buffer)| Series::from_samples(labels(a), buffer)).collect());
        let engine = Engine::new().experimental(true);
        let (start, end) = (Timestamp::from_millis(0), Timestamp::from_millis(60_000));
        for query in OF_HISTOGRAMS {
            let query = engine.prepare(query).unwrap();
            for answer in
                [engine.instant(&source, &query, end), engine.range(&source, &query, start, end, 15_000)]
            {
                // The only complaint there is.
                if let Err(error) = answer {
                    prop_assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{}", error);
                }
            }
        }
    }
}

const QUERIES: [&str; 12] = [
    "m",
    "m offset 20s",
    "rate(m[1m])",
    "sum(m)",
    "max by (a) (m @ 100)",
    "m - on (a) n",
    "m > on (a) group_left () n",
    "m or n",
    "m unless on (a) (n > 50)",
    "topk(1, m)",
    "quantile_over_time(0.3, m[2m:20s])",
    "absent(m{a=\"1\"})",
];

fn samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
    let value = prop_oneof![
        8 => (0_u8..100).prop_map(f64::from),
        1 => Just(f64::NAN),
        1 => Just(stale_marker()),
    ];
    prop::collection::btree_map(0_i64..60, value, 0..40)
        .prop_map(|samples| samples.into_iter().map(|(time, value)| (time * 7_000, value)).collect())
}

proptest! {
    #[test]
    fn a_range_query_is_its_instants(
        all in prop::collection::vec(samples(), 4),
        step in 1_000_i64..60_000,
        delayed in any::<bool>(),
    ) {
        let source = Fixture(
            ["m", "m", "n", "n"].iter().zip(["1", "2", "1", "2"]).zip(&all).map(|((n, a), s)| series(n, a, s)).collect(),
        );
        let engine = Engine::new().lookback_ms(30_000).delayed_name_removal(delayed);
        for text in QUERIES {
            let query = engine.prepare(text).unwrap();
            let end = Timestamp::from_millis(420_000);
            let whole = engine.range(&source, &query, Timestamp::from_millis(0), end, step).unwrap();
            let Value::Matrix(matrix) = whole.value else { panic!() };
            let mut from_range: Vec<(i64, Labels, u64)> = matrix
                .iter()
                .flat_map(|series| {
                    let rows = series.samples.times.iter().zip(&series.samples.values);
                    rows.map(|(time, value)| (*time, series.labels.clone(), value.to_bits()))
                })
                .collect();
            let mut from_instants = Vec::new();
            for at in (0..=420_000).step_by(step as usize) {
                let Value::Vector(vector) = instant(&engine, &source, text, at).unwrap() else { panic!() };
                for sample in vector {
                    let SampleValue::Float(value) = sample.value else { panic!() };
                    from_instants.push((at, sample.labels, value.to_bits()));
                }
            }
            from_range.sort();
            from_instants.sort();
            prop_assert_eq!(from_range, from_instants, "{}", text);
        }
    }
}
