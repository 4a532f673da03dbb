use crate::gate::fixture::Fixture;
use crate::gate::reason::Reason;
use crate::gate::run::Gate;
use crate::gate::spec::{Check, GateSpec};
use crate::gate::verdict::Verdict;
use crate::model::Timestamp;

use super::*;

/// Two pods that are scraped every 10 s, and a gauge of each zone, all from 100 s to 400 s.
fn source() -> Fixture {
    let every = || (100..=400).step_by(10);
    let mut source = Fixture::default();
    for (pod, value) in [("a", 3.0), ("b", 7.5)] {
        source = source
            .series(&[("__name__", "queue"), ("pod", pod)], every().map(|time| (time, value)))
            .series(&[("__name__", "all_total"), ("pod", pod)], every().map(|time| (time, time as f64)));
    }
    source.series(&[("__name__", "limit"), ("zone", "z")], every().map(|time| (time, 5.0)))
}

/// Why the query answers nothing at 400 s, as code and sentence.
#[track_caller]
fn why(query: &str) -> (&'static str, String) {
    let now = Timestamp::from_secs(400);
    let source = source();
    let round = Round::new(&source, now);
    let prepared = round.engine().prepare(query).unwrap();
    let Value::Vector(samples) =
        round.evaluate(&prepared, At::Instant(now)).evaluation.unwrap().value.clone()
    else {
        panic!("{query} answers no vector");
    };
    assert!(samples.is_empty(), "{query} answers something");
    match why_nothing(&round, prepared.expr(), now).unwrap() {
        Some(finding) => (finding.code(), finding.to_string()),
        None => ("", String::new()),
    }
}

#[test]
fn a_window_of_less_than_two_scrapes_is_told_with_one_that_would_do() {
    for query in
        ["rate(all_total[10s])", "sum(rate(all_total[10s])) * 2", "-sum by (pod) (increase(all_total[9s]))"]
    {
        assert_eq!(why(query).0, "window-too-short", "{query}");
    }
    assert_eq!(
        why("rate(all_total[9s])").1,
        "the window of 9 s holds 1 sample of `all_total`, which is too few; scrapes come every 10 s, a window of 40 s or more is \
         sensible"
    );
    assert!(
        why("max_over_time(queue[5s] offset 1s)")
            .1
            .starts_with("the window of 5 s holds 0 samples of `queue`")
    );
}

#[test]
fn a_time_before_there_were_data_is_told_with_the_first_sample() {
    for query in
        ["queue offset 6m", "sum(rate(all_total[1m] offset 6m))", "queue @ 50", "queue - queue offset 1h"]
    {
        assert_eq!(why(query).0, "window-exceeds-history", "{query}");
    }
    assert_eq!(
        why("rate(all_total[1m] offset 6m)").1,
        "the query looks at `all_total` from -20 s to 40 s, and its first sample is at 100 s"
    );
}

#[test]
fn a_comparison_that_removes_everything_is_told_with_what_it_removed() {
    for query in ["queue > 10", "10 < queue", "sum(queue > 10)", "queue > on () group_left () (limit * 2)"] {
        assert_eq!(why(query).0, "filtered-out", "{query}");
    }
    assert_eq!(
        why("count(queue > 10) / 2").1,
        "the query answers nothing, as `queue > 10` removes all that it compares: 3, 7.5; write `bool` behind the operator, or leave \
         the comparison to the condition"
    );
}

#[test]
fn sides_that_do_not_meet_are_told_with_the_labels_that_part_them() {
    for query in ["queue / limit", "queue > limit", "queue and limit", "sum(queue + limit)"] {
        assert_eq!(why(query).0, "join-empty", "{query}");
    }
    assert_eq!(
        why("queue / limit").1,
        "no sample left of `/` meets one right of it: {pod=\"a\"} there, {zone=\"z\"} here; only on the left there is: `pod`; only on \
         the right there is: `zone`"
    );
}

#[test]
fn the_deepest_part_that_is_empty_is_at_fault() {
    assert_eq!(why("(queue / limit) > 10").0, "join-empty");
    assert_eq!(why("limit / (queue > 10)").0, "filtered-out");
    assert_eq!(why("missing + queue").0, "no-such-metric");
    // What its form does not tell.
    assert_eq!(why("rate(all_total[15s:10s]) > 1e9").0, "filtered-out");
    assert_eq!(why("queue unless queue").0, "");
}

#[test]
fn parts_of_a_query_beyond_a_limit_are_not_asked_for() {
    let deep = format!("{}queue > 10{}", "sum(".repeat(100), ")".repeat(100));
    assert_eq!(why(&deep).0, "");
}

/// The first reason of a value check at 400 s.
#[track_caller]
fn first_reason(check: Check) -> Reason {
    let spec = GateSpec::builder("g").check(check).health(false).build().unwrap();
    let mut gate = Gate::new(spec);
    gate.start(Timestamp::from_secs(300));
    gate.tick(Timestamp::from_secs(400), &source()).unwrap();
    let report = gate.report();
    assert_eq!(report.verdict, Verdict::Inconclusive, "{report}");
    report.checks[0].reasons[0].clone()
}

#[test]
fn a_check_of_a_query_that_answers_nothing_says_why() {
    assert_eq!(first_reason(Check::value("v", "rate(all_total[10s])").below(5.0)).code(), "window-too-short");
    assert_eq!(first_reason(Check::value("v", "queue > 10").below(50.0)).code(), "filtered-out");
    assert_eq!(
        first_reason(Check::value("v", "queue offset 6m").below(5.0)).code(),
        "window-exceeds-history"
    );
    assert_eq!(first_reason(Check::value("v", "queue unless queue").below(5.0)).code(), "no-value");
}
