//! Groups over a store, instant by instant.

use super::{AlertState, RuleManager};
use crate::error::ErrorKind;
use crate::model::Matcher;
use crate::model::{Labels, Sample, SampleBuffer, Timestamp, Window, is_stale};
use crate::promql::Engine;
use crate::source::{Item, SelectRequest, Source};
use crate::store::{Store, StoreOptions};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

fn store() -> Store {
    Store::in_memory(StoreOptions::new())
}

/// Appends `name{pod="…"}` samples at one time.
fn put(store: &Store, seconds: i64, name: &str, pods: &[(&str, f64)]) {
    let mut appender = store.appender();
    for (pod, value) in pods {
        let labels = Labels::from_pairs([("__name__", name), ("pod", *pod)]);
        appender.append(&labels, Sample::float(at(seconds), *value)).unwrap();
    }
    assert!(appender.commit().unwrap().refused.is_empty());
}

fn manager(rules: &str) -> RuleManager {
    let mut manager = RuleManager::new(Engine::new());
    manager.load("f", rules).unwrap();
    manager
}

/// `{labels} value@seconds …` of all series of a name, a staleness marker as `stale`.
fn series(store: &Store, name: &str) -> Vec<String> {
    let matchers = [Matcher::equal("__name__", name)];
    let set = store.snapshot().select(&SelectRequest::new(&matchers, Window::ALL)).unwrap();
    let shown = set.items.iter().map(|item| {
        let Item::Series(series) = item else { panic!("a family") };
        let mut samples = SampleBuffer::default();
        series.read(Window::ALL, &mut samples).unwrap();
        let mut text = series.labels().filtered(|label| &*label.name != "__name__").to_string();
        for (time, value) in samples.times.iter().zip(&samples.values) {
            let value = if is_stale(*value) { "stale".to_owned() } else { value.to_string() };
            text.push_str(&format!(" {value}@{}", time / 1000));
        }
        text
    });
    shown.collect()
}

/// Evaluates, and expects no error.
fn evaluate(manager: &mut RuleManager, store: &Store, seconds: i64) {
    for group in manager.evaluate_all(store, at(seconds)) {
        for rule in group.rules {
            assert!(rule.error.is_none(), "{}: {:?}", rule.name, rule.error);
        }
    }
}

#[test]
fn rules_see_what_those_before_them_have_recorded_at_the_same_instant() {
    let store = store();
    put(&store, 0, "m", &[("a", 1.0), ("b", 2.0)]);
    let mut manager = manager(
        "groups: [{name: g, labels: {team: x, e: gone}, rules: [{record: s, expr: sum(m), labels: {e: ''}}, {record: d, expr: s * 2}, {record: c, expr: '7'}]}]",
    );
    evaluate(&mut manager, &store, 0);
    assert_eq!(series(&store, "s"), [r#"{team="x"} 3@0"#]);
    assert_eq!(series(&store, "d"), [r#"{e="gone", team="x"} 6@0"#]);
    assert_eq!(series(&store, "c"), [r#"{e="gone", team="x"} 7@0"#]);
}

#[test]
fn series_that_a_rule_no_longer_answers_end_at_once() {
    let store = store();
    let mut manager = manager("groups: [{name: g, rules: [{record: r, expr: m > 1}]}]");
    put(&store, 0, "m", &[("a", 5.0), ("b", 5.0)]);
    evaluate(&mut manager, &store, 0);
    put(&store, 60, "m", &[("a", 5.0), ("b", 0.0)]);
    evaluate(&mut manager, &store, 60);
    assert_eq!(series(&store, "r"), [r#"{pod="a"} 5@0 5@60"#, r#"{pod="b"} 5@0 stale@60"#]);
}

#[test]
fn series_of_rules_that_are_gone_end_and_those_that_stay_go_on() {
    let store = store();
    let mut manager = manager(
        "groups: [{name: g, rules: [{record: r, expr: '1'}, {record: s, expr: '1'}]}, {name: h, rules: [{record: t, expr: '1'}]}]",
    );
    evaluate(&mut manager, &store, 0);
    manager.load("f", "groups: [{name: g, rules: [{record: s, expr: '2'}]}]").unwrap();
    evaluate(&mut manager, &store, 60);
    assert_eq!(series(&store, "r"), ["{} 1@0 stale@60"]);
    assert_eq!(series(&store, "s"), ["{} 1@0 2@60"]);
    assert_eq!(series(&store, "t"), ["{} 1@0 stale@60"]);
}

#[test]
fn a_rule_that_fails_leaves_its_series_and_the_rules_behind_it_are_evaluated() {
    let store = store();
    let mut manager = manager(
        "groups: [{name: g, limit: 2, rules: [{record: r, expr: m}, {record: s, expr: sum(m)}, {alert: A, expr: m}, {record: same, expr: m, labels: {pod: x}}]}]",
    );
    put(&store, 0, "m", &[("a", 1.0), ("b", 1.0)]);
    let errors = |manager: &mut RuleManager, seconds: i64| -> Vec<Option<(ErrorKind, String)>> {
        let groups = manager.evaluate_all(&store, at(seconds));
        let rules = groups.into_iter().flat_map(|group| group.rules);
        rules.map(|rule| rule.error.map(|error| (error.kind(), error.to_string()))).collect()
    };
    let first = errors(&mut manager, 0);
    let same = "vector contains metrics with the same labelset after applying rule labels";
    assert_eq!(first, [None, None, None, Some((ErrorKind::Query, same.to_owned()))]);
    put(&store, 60, "m", &[("a", 1.0), ("b", 1.0), ("c", 1.0)]);
    let second = errors(&mut manager, 60);
    assert_eq!(second[0], Some((ErrorKind::Limit, "exceeded limit of 2 with 3 series".to_owned())));
    assert_eq!(second[1], None);
    assert_eq!(second[2], Some((ErrorKind::Limit, "exceeded limit of 2 with 3 alerts".to_owned())));
    assert_eq!(series(&store, "r"), [r#"{pod="a"} 1@0"#, r#"{pod="b"} 1@0"#]);
    assert_eq!(series(&store, "s"), ["{} 2@0 3@60"]);
}

#[test]
fn a_sample_that_the_store_refuses_is_the_rules_error() {
    let store = store();
    let mut manager = manager("groups: [{name: g, rules: [{record: m, expr: m + 1, labels: {pod: a}}]}]");
    put(&store, 0, "m", &[("a", 1.0)]);
    let groups = manager.evaluate_all(&store, at(0));
    let rule = &groups[0].rules[0];
    assert_eq!((rule.samples, rule.error.as_ref().unwrap().kind()), (0, ErrorKind::OutOfOrder));
}

#[test]
fn a_group_is_evaluated_when_its_interval_has_passed_and_asks_back_by_its_offset() {
    let store = store();
    let mut manager = manager(
        "groups: [{name: g, interval: 30s, query_offset: 1m, rules: [{record: r, expr: m}]}, {name: h, rules: [{record: s, expr: m}]}]",
    );
    put(&store, 0, "m", &[("a", 1.0)]);
    let evaluated: Vec<usize> =
        (0..5).map(|step| manager.evaluate(&store, at(60 + step * 15)).len()).collect();
    assert_eq!(evaluated, [2, 0, 1, 0, 2]);
    assert_eq!(series(&store, "r"), [r#"{pod="a"} 1@0 1@30 1@60"#]);
    assert_eq!(series(&store, "s"), [r#"{pod="a"} 1@60 1@120"#]);
}

const ALERT: &str = r#"
groups:
- name: g
  rules:
  - alert: High
    expr: m > 1
    for: 2m
    keep_firing_for: 90s
    labels: {severity: page, v: "{{ $value }}", none: "{{ $labels.nothing }}"}
    annotations: {text: "{{ $labels.pod }} in {{ $externalLabels.cluster }}", empty: ""}
"#;

#[test]
fn an_alert_is_pending_fires_keeps_firing_and_is_resolved() {
    let store = store();
    let external = Labels::from_pairs([("cluster", "eu")]);
    let mut manager = RuleManager::new(Engine::new()).external_labels(external);
    manager.load("f", ALERT).unwrap();
    let mut states = Vec::new();
    for (minute, value) in [2.0, 2.0, 2.0, 0.0, 0.0, 2.0, 0.0].into_iter().enumerate() {
        let seconds = minute as i64 * 60;
        put(&store, seconds, "m", &[("a", value)]);
        evaluate(&mut manager, &store, seconds);
        states.push(manager.alerts().next().map(|alert| alert.state));
    }
    let (pending, firing) = (Some(AlertState::Pending), Some(AlertState::Firing));
    assert_eq!(states, [pending, pending, firing, firing, firing, firing, firing]);
    for seconds in [420, 480] {
        put(&store, seconds, "m", &[("a", 0.0)]);
        evaluate(&mut manager, &store, seconds);
    }
    assert_eq!(manager.alerts().count(), 0);
    let common = r#"alertname="High", "#;
    let rest = r#"none="{{ $labels.nothing }}", pod="a", severity="page", v="2"}"#;
    assert_eq!(
        series(&store, "ALERTS"),
        [
            format!("{{{common}alertstate=\"firing\", {rest} 1@120 1@180 1@240 1@300 1@360 1@420 stale@480"),
            format!("{{{common}alertstate=\"pending\", {rest} 1@0 1@60 stale@120"),
        ]
    );
    assert_eq!(
        series(&store, "ALERTS_FOR_STATE"),
        [format!("{{{common}{rest} 0@0 0@60 0@120 0@180 0@240 0@300 0@360 0@420 stale@480")]
    );
}

#[test]
fn labels_and_annotations_are_templates_and_their_errors_are_texts() {
    let store = store();
    put(&store, 0, "m", &[("a", 2.0)]);
    let external = Labels::from_pairs([("cluster", "eu")]);
    let mut manager = RuleManager::new(Engine::new()).external_labels(external);
    manager
        .load(
            "f",
            &ALERT
                .replace(r#"empty: """#, r#"n: "{{ query \"m\" | first | value }}", e: "{{ query \"(\" }}""#),
        )
        .unwrap();
    evaluate(&mut manager, &store, 0);
    let alert = manager.alerts().next().unwrap();
    assert_eq!(alert.annotations["text"], "a in eu");
    assert_eq!(alert.annotations["n"], "2");
    assert!(alert.annotations["e"].starts_with("<error expanding template: line 1: error calling query: "));
    assert_eq!(alert.labels.to_string(), r#"{alertname="High", pod="a", severity="page", v="2"}"#);
}

#[test]
fn alerts_of_one_label_set_are_an_error() {
    let store = store();
    put(&store, 0, "m", &[("a", 2.0), ("b", 2.0)]);
    let mut manager = manager("groups: [{name: g, rules: [{alert: A, expr: m, labels: {pod: x}}]}]");
    let groups = manager.evaluate_all(&store, at(0));
    let error = groups[0].rules[0].error.as_ref().unwrap();
    assert!(error.to_string().contains("same labelset after applying alert labels"), "{error}");
}

/// Alerts as a new process finds them after a pause from 600 to `start` seconds: since when each is active.
fn restored(hold: &str, since: i64, start: i64) -> (Vec<i64>, Vec<String>) {
    let store = store();
    let rules = format!("groups: [{{name: g, rules: [{{alert: A, expr: m, for: {hold}}}]}}]");
    let mut before = manager(&rules);
    for seconds in (since..=600).step_by(60) {
        put(&store, seconds, "m", &[("a", 1.0)]);
        evaluate(&mut before, &store, seconds);
    }
    let mut after = RuleManager::new(Engine::new()).restores_alerts(true);
    after.load("f", &rules).unwrap();
    let mut active = Vec::new();
    for seconds in [start, start + 60, start + 120] {
        put(&store, seconds, "m", &[("a", 1.0)]);
        evaluate(&mut after, &store, seconds);
        active.push(after.alerts().next().unwrap().active_at.as_millis() / 1000);
    }
    (active, series(&store, "ALERTS_FOR_STATE"))
}

#[test]
fn the_time_that_an_alert_was_pending_survives_a_restart() {
    // Pending for 600 s of 3600: the pause does not count.
    let (active, written) = restored("1h", 0, 1200);
    assert_eq!(active, [1200, 660, 660]);
    assert!(written[0].ends_with(" 0@600 660@1320"), "{written:?}");
    // It would fire within the grace period of ten minutes: it fires at its end.
    assert_eq!(restored("15m", 0, 1200).0, [1200, 1260 + 600 - 900, 960]);
    // It fired before.
    assert_eq!(restored("10m", 0, 1200).0, [1200, 0, 0]);
    // A shorter `for` than the grace period begins anew, and so does what is longer ago than an hour.
    assert_eq!(restored("5m", 0, 1200).0, [1200, 1200, 1200]);
    assert_eq!(restored("1h", 0, 4300).0, [4300, 4300, 4300]);
}
