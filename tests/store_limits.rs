//! What the store refuses, at each limit and one above it, and what it takes however strange it is.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use promgate::{
    AppendReport, ErrorKind, Labels, Limits, MatchOp, Matcher, Sample, SampleBuffer, SelectRequest, Source,
    Store, StoreOptions, Timestamp, Window,
};

fn store(set: impl FnOnce(&mut Limits)) -> Store {
    let mut limits = Limits::default();
    set(&mut limits);
    Store::in_memory(StoreOptions::new().limits(limits))
}

fn append(store: &Store, labels: &Labels, time: i64, value: f64) -> AppendReport {
    let mut appender = store.appender();
    appender.append(labels, Sample::float(Timestamp::from_millis(time), value)).unwrap();
    appender.commit().unwrap()
}

/// The first is taken, the second refused with all of `text` in the error; the store goes on.
fn assert_limit(store: &Store, taken: &Labels, refused: &Labels, text: &[&str]) {
    let report = append(store, taken, 1, 1.0);
    assert_eq!((report.appended, report.refused.len()), (1, 0), "{:?}", report.refused);
    let report = append(store, refused, 1, 1.0);
    assert_eq!((report.appended, report.refused.len()), (0, 1));
    let refusal = &report.refused[0];
    assert_eq!((refusal.error.kind(), &refusal.labels), (ErrorKind::Limit, refused));
    let shown = refusal.error.to_string();
    assert!(text.iter().all(|part| shown.contains(part)), "{shown}");
    assert_eq!(append(store, taken, 2, 1.0).appended, 1);
    assert_eq!(store.stats().series, 1, "what was refused left nothing behind");
}

#[test]
fn series_at_the_limit_are_taken_and_one_above_is_refused() {
    let up = |job: &str| Labels::from_pairs([("__name__", "up"), ("job", job)]);
    let one = store(|limits| limits.series = 1);
    assert_limit(&one, &up("a"), &up("b"), &["series limit", "2 series asked", "1 allowed", "job=\"b\""]);
    let none = store(|limits| limits.series = 0);
    assert_eq!(append(&none, &up("a"), 1, 1.0).refused.len(), 1, "zero means zero");
}

#[test]
fn labels_at_their_limits_are_taken_and_one_above_is_refused() {
    let pairs = |count: usize| Labels::from_pairs((0..count).map(|n| (format!("l{n:02}"), "v")));
    let few = store(|limits| limits.labels_per_series = 3);
    assert_limit(&few, &pairs(3), &pairs(4), &["labels per series limit", "4 asked", "3 allowed"]);
    let name = |bytes: usize| Labels::from_pairs([("n".repeat(bytes), "v")]);
    let short = store(|limits| limits.label_name_bytes = 5);
    assert_limit(&short, &name(5), &name(6), &["label name bytes limit", "6 asked", "5 allowed"]);
    let value = |bytes: usize| Labels::from_pairs([("n", "v".repeat(bytes))]);
    let short = store(|limits| limits.label_value_bytes = 5);
    assert_limit(&short, &value(5), &value(6), &["label value bytes limit", "6 asked", "5 allowed"]);
    let short = store(|limits| limits.series_bytes = 5);
    assert_limit(&short, &value(4), &value(5), &["series bytes limit", "6 asked", "5 allowed"]);
}

#[test]
fn a_batch_at_the_limit_is_full_and_can_still_be_committed() {
    let store = store(|limits| limits.batch_samples = 4);
    let mut appender = store.appender();
    let family = appender.family(&Labels::from_pairs([("__name__", "h")]), &["+Inf"]).unwrap();
    let at = Timestamp::from_millis(1);
    appender.append_family(&family, at, &[1.0], 1.0, 1.0).unwrap();
    appender.append(&Labels::from_pairs([("__name__", "up")]), Sample::float(at, 1.0)).unwrap();
    let error =
        appender.append(&Labels::from_pairs([("__name__", "down")]), Sample::float(at, 1.0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert_eq!(error.to_string(), "batch limit: 5 samples asked, 4 allowed; commit more often");
    assert_eq!(appender.commit().unwrap().appended, 4);
}

#[test]
fn a_store_with_its_bytes_in_use_refuses_a_batch_as_a_whole() {
    let up = Labels::from_pairs([("__name__", "up")]);
    let store = store(|limits| limits.sample_bytes = 1);
    assert_eq!(append(&store, &up, 1, 1.0).appended, 1);
    let mut appender = store.appender();
    appender.append(&up, Sample::float(Timestamp::from_millis(2), 1.0)).unwrap();
    let error = appender.commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.to_string().contains("1 allowed"), "{error}");
    assert_eq!(store.stats().samples, 1);
}

#[test]
fn buckets_above_the_limit_are_series_of_their_own() {
    let store = store(|_| {});
    let mut appender = store.appender();
    let labels = |name: &str, bound: &str| Labels::from_pairs([("__name__", name), ("le", bound)]);
    for bound in 0..600 {
        let labels = labels("h_bucket", &bound.to_string());
        appender.append(&labels, Sample::float(Timestamp::from_millis(1), f64::from(bound))).unwrap();
    }
    appender.append(&labels("h_count", ""), Sample::float(Timestamp::from_millis(1), 1.0)).unwrap();
    assert_eq!(appender.commit().unwrap().appended, 601);
    let matchers = [Matcher::new("__name__", MatchOp::Matches, "h_.*").unwrap()];
    let set = store.snapshot().select(&SelectRequest::new(&matchers, Window::ALL)).unwrap();
    assert_eq!((set.items.len(), store.stats().families), (601, 1));
    for item in &set.items {
        let promgate::Item::Series(series) = item else { panic!("no family was asked for") };
        let mut samples = SampleBuffer::default();
        series.read(Window::ALL, &mut samples).unwrap();
        let bound = series.labels().get("le").map_or(1.0, |bound| bound.parse().unwrap());
        assert_eq!(samples.values, [bound], "{}", series.labels());
    }

    let bounds: Vec<String> = (0..513).map(|bound| bound.to_string()).collect();
    let bounds: Vec<&str> = bounds.iter().map(String::as_str).collect();
    let mut appender = store.appender();
    let other = Labels::from_pairs([("__name__", "other")]);
    let error = appender.family(&other, &bounds).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.to_string().starts_with("buckets per histogram limit: 513 asked, 512 allowed"), "{error}");
    appender.family(&other, &bounds[..512]).unwrap();
}

#[test]
fn the_ends_of_time_are_times_like_others() {
    let store = store(|_| {});
    let series = [
        Labels::from_pairs([("__name__", "h_bucket"), ("le", "1")]),
        Labels::from_pairs([("__name__", "h_sum")]),
        Labels::from_pairs([("__name__", "up")]),
    ];
    let times = [i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX];
    for time in times {
        for labels in &series {
            assert_eq!(append(&store, labels, time, 1.0).appended, 1, "{labels} at {time}");
        }
    }
    let mut appender = store.appender();
    let error = appender.append(&series[2], Sample::float(Timestamp::MIN, 1.0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let matchers = [Matcher::new("__name__", MatchOp::Matches, ".+").unwrap()];
    let set = store.snapshot().select(&SelectRequest::new(&matchers, Window::ALL)).unwrap();
    assert_eq!(set.items.len(), 3);
    for item in &set.items {
        let promgate::Item::Series(series) = item else { panic!("no family was asked for") };
        let mut samples = SampleBuffer::default();
        series.read(Window::ALL, &mut samples).unwrap();
        assert_eq!(samples.times, times);
    }
}

#[test]
fn one_batch_may_reach_from_one_end_of_time_to_the_other() {
    let store = store(|_| {});
    let (up, down) = (Labels::from_pairs([("__name__", "up")]), Labels::from_pairs([("__name__", "down")]));
    let mut appender = store.appender();
    for labels in [&up, &down] {
        for time in [i64::MIN + 1, i64::MAX] {
            appender.append(labels, Sample::float(Timestamp::from_millis(time), 1.0)).unwrap();
        }
    }
    assert_eq!(appender.commit().unwrap().appended, 4);
    assert_eq!(store.stats().samples, 4);
}

#[test]
fn a_label_without_a_name_is_refused_and_any_text_is_a_value() {
    let store = store(|_| {});
    for labels in [Labels::empty(), Labels::from_pairs([("", "v")])] {
        let report = append(&store, &labels, 1, 1.0);
        assert_eq!(report.refused[0].error.kind(), ErrorKind::InvalidArgument);
    }
    for value in ["\0", "\u{feff}é\n\"\\", "\u{10ffff}", "ÿ{}", " "] {
        let labels = Labels::from_pairs([("__name__", "x"), ("é.ñ", value)]);
        assert_eq!(append(&store, &labels, 1, 1.0).appended, 1);
        let matchers = [Matcher::equal("é.ñ", value)];
        let set = store.snapshot().select(&SelectRequest::new(&matchers, Window::ALL)).unwrap();
        assert_eq!(set.items.len(), 1);
        assert_eq!(set.items[0].labels(), &labels);
    }
}

#[test]
fn a_scrape_repeated_at_the_end_of_a_chunk_is_a_duplicate_and_leaves_the_rows() {
    let store = store(|_| {});
    let series = [
        Labels::from_pairs([("__name__", "h_bucket"), ("le", "+Inf")]),
        Labels::from_pairs([("__name__", "h_count")]),
    ];
    for time in 0..128 {
        for _ in 0..2 {
            let mut appender = store.appender();
            for labels in &series {
                appender.append(labels, Sample::float(Timestamp::from_millis(time), time as f64)).unwrap();
            }
            assert!(appender.commit().unwrap().refused.is_empty());
        }
        let mut appender = store.appender();
        appender.append(&series[1], Sample::float(Timestamp::from_millis(time), 0.5)).unwrap();
        assert_eq!(appender.commit().unwrap().refused[0].error.kind(), ErrorKind::OutOfOrder);
    }
    assert_eq!(store.stats().samples, 256);
    let matchers = [Matcher::equal("__name__", "h_bucket")];
    let request = SelectRequest::new(&matchers, Window::ALL).with_families();
    let set = store.snapshot().select(&request).unwrap();
    assert!(matches!(set.items.as_slice(), [promgate::Item::Family(_)]));
}

fn one(name: &str, at: i64) -> (Labels, Sample) {
    (Labels::from_pairs([("__name__", name)]), Sample::float(Timestamp::from_millis(at), 1.0))
}

#[test]
fn new_series_are_limited_by_the_minute_where_the_time_is_told() {
    let mut limits = Limits::default();
    limits.new_series_per_minute = 2;
    let store = Store::in_memory(StoreOptions::new().limits(limits));
    let commit = |now: Option<i64>, names: &[&str], at: i64| {
        let mut appender = store.appender();
        if let Some(now) = now {
            appender = appender.now(Timestamp::from_millis(now));
        }
        for name in names {
            let (labels, sample) = one(name, at);
            appender.append(&labels, sample).unwrap();
        }
        appender.commit().unwrap()
    };
    let report = commit(Some(1_000), &["a", "b", "c"], 1_000);
    assert_eq!((report.appended, report.refused.len()), (2, 1));
    assert_eq!(report.refused[0].error.kind(), ErrorKind::Limit);
    assert!(
        report.refused[0].error.to_string().starts_with("new series per minute limit: 3 asked, 2 allowed")
    );
    // Known series are no new ones, and the next minute has its own.
    assert_eq!(commit(Some(2_000), &["a", "b"], 2_000).refused.len(), 0);
    assert_eq!(commit(Some(61_000), &["c", "d"], 61_000).refused.len(), 0);
    assert_eq!(commit(None, &["e", "f", "g"], 61_000).refused.len(), 0);
}

#[test]
fn samples_far_ahead_of_the_time_that_is_told_are_refused_with_advice() {
    let store = Store::in_memory(StoreOptions::new());
    let now = 1_764_000_000_000;
    let mut appender = store.appender().now(Timestamp::from_millis(now));
    let (labels, sample) = one("up", now + 600_000);
    appender.append(&labels, sample).unwrap();
    let (_, late) = one("up", now + 600_001);
    let error = appender.append(&labels, late).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let (_, wrong) = one("up", now * 1_000_000);
    assert!(appender.append(&labels, wrong).unwrap_err().to_string().ends_with("it looks like nanoseconds"));
    assert_eq!(appender.commit().unwrap().appended, 1);
}
