use super::*;
use crate::gate::fixture::Fixture;

fn source() -> Fixture {
    Fixture::default()
        .series(&[("__name__", "requests_total"), ("hash", "aaaa1"), ("path", "/metrics")], [(1, 1.0)])
        .series(&[("__name__", "requests_total"), ("hash", "bbbb2"), ("path", "/buy")], [(1, 1.0)])
        .series(&[("__name__", "requests_total"), ("hash", "bbbb2"), ("path", "/metrics")], [(1, 1.0)])
        .series(&[("__name__", "spans_total"), ("pod_hash", "aaaa1")], [(1, 1.0)])
}

fn told(text: &str) -> Finding {
    diagnose_selector(&source(), &Selector::parse(text).unwrap(), Timestamp::from_secs(100)).unwrap()
}

#[test]
fn an_unknown_metric_is_named_with_its_neighbours() {
    let Finding::NoSuchMetric { name, suggestions, .. } = told(r#"requests_count{hash="aaaa1"}"#) else {
        panic!()
    };
    assert_eq!((name.as_str(), suggestions), ("requests_count", vec!["requests_total".to_owned()]));
}

#[test]
fn an_unknown_label_is_named_with_the_labels_that_carry_the_value() {
    let Finding::NoSuchLabel { label, carriers, .. } = told(r#"spans_total{hash="aaaa1"}"#) else { panic!() };
    assert_eq!((label.as_str(), carriers), ("hash", vec!["pod_hash".to_owned()]));
}

#[test]
fn an_unknown_value_is_at_fault_before_a_bad_combination() {
    let Finding::NoSuchValue { label, value, suggestions, elsewhere, .. } =
        told(r#"requests_total{hash="bbbb3",path="/metrics"}"#)
    else {
        panic!()
    };
    assert_eq!((label.as_str(), value.as_str(), elsewhere), ("hash", "bbbb3", false));
    assert_eq!(suggestions.first().map(String::as_str), Some("bbbb2"));
}

#[test]
fn values_that_never_meet_are_told_from_both_sides() {
    let finding = told(r#"requests_total{hash="aaaa1",path="/buy"}"#);
    let Finding::NoSuchValue { elsewhere, instead, .. } = &finding else { panic!() };
    assert!(elsewhere);
    assert_eq!(instead.len(), 1);
    assert!(finding.to_string().contains("bbbb2") && finding.to_string().contains("/metrics"), "{finding}");
}

#[test]
fn two_wrong_matchers_are_found_as_a_pair() {
    assert_eq!(told(r#"requests_total{hash="zzzz",path="/sell"}"#).code(), "no-such-value");
}

#[test]
fn matchers_that_exclude_each_other_are_told() {
    let finding = told(r#"requests_total{hash="aaaa1",hash="bbbb2",path="/x",path="/y"}"#);
    assert_eq!(finding.code(), "matchers-exclude-each-other");
}
