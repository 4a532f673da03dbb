//! Samples of another kind among those of counters.

use super::*;
use crate::model::{NativeHistogram, Span as Buckets};

fn histogram(count: f64) -> NativeHistogram {
    NativeHistogram {
        count,
        sum: 1.0,
        positive_spans: vec![Buckets { offset: 0, length: 1 }],
        positive_buckets: vec![count],
        ..NativeHistogram::default()
    }
}

/// The traffic with one native histogram at an instant, beside the floats of the series with this code and pod.
fn with_stray(source: Fixture, code: &str, second: i64) -> Fixture {
    let labels = [("__name__", "all_total"), ("code", code), ("instance", "i"), ("job", "j")];
    source.native(&labels, [(second, histogram(3.0))])
}

fn gate(check: Check) -> NativeGate {
    let spec = GateSpec::builder("g").check(check).health(false).deadline_ms(900_000).build().unwrap();
    let mut gate = NativeGate::new(spec);
    gate.start(at(1_000));
    gate
}

#[test]
fn a_stray_histogram_among_the_floats_of_a_counter_holds_the_pass_back_for_good() {
    let errors = || Check::ratio("errors", r#"all_total{code="500"}"#, "all_total").below(0.05);
    let versus = |check: Check| check.within_difference(0.5);
    let own = (r#"all_total{code="500"}"#, "all_total");
    let checks = [
        errors(),
        Check::volume("traffic", "all_total").at_least(0.05),
        versus(Check::comparison(
            "versus",
            own,
            (r#"all_total{code="500",job="j"}"#, r#"all_total{job="j"}"#),
        )),
    ];
    for check in checks {
        assert_eq!(run(&mut gate(check.clone()), &traffic(i64::MAX)), Verdict::Pass, "{check:?}");
        // The bad requests before a look with it in sight are not counted, and are never seen again.
        for code in ["200", "500"] {
            let mut gate = gate(check.clone());
            assert_eq!(run(&mut gate, &with_stray(traffic(i64::MAX), code, 1_025)), Verdict::Inconclusive);
            let report = gate.report();
            assert!(report.at >= Some(at(1_900)), "long after it is out of sight: {report}");
            assert_eq!(report.checks[0].reasons[0].code(), "not-a-classic-histogram", "{report}");
        }
    }
    // One that was there before the newest float before the evidence changes no count.
    let before = with_stray(traffic(i64::MAX), "500", 985);
    assert_eq!(run(&mut gate(errors()), &before), Verdict::Pass);
}

#[test]
fn buckets_that_were_not_counted_once_hold_the_pass_back_for_good() {
    let every = || (990..2_000).step_by(10);
    let labels = |le| [("__name__", "d_bucket"), ("le", le), ("instance", "i"), ("job", "j")];
    let quick = |fixture: Fixture, le| {
        fixture.series(&labels(le), every().map(|second| (second, (second - 990) as f64)))
    };
    let whole = quick(quick(Fixture::default(), "1"), "+Inf");
    let p95 = || Check::quantile("p95", "d_bucket", 0.95).below(1.0);
    assert_eq!(run(&mut gate(p95()), &whole), Verdict::Pass);
    // A bound that is no number for a while.
    let odd = whole.series(&labels("one"), (1_010..1_040).step_by(10).map(|second| (second, 5.0)));
    let mut gate = gate(p95());
    assert_eq!(run(&mut gate, &odd), Verdict::Inconclusive);
    assert_eq!(gate.report().checks[0].reasons[0].code(), "not-a-classic-histogram");
}

#[test]
fn errors_that_are_scraped_before_their_requests_count_beside_a_baseline() {
    // A request every 40 s, which fails at once and is counted when its connection is closed, a scrape later.
    let every = || (990..4_600).step_by(10);
    let canary = |name: &'static str, late: i64| {
        let samples = every().map(move |time| (time, ((time - 1_000 - late).max(0) / 40) as f64));
        ([("__name__", name), ("version", "canary"), ("instance", "i"), ("job", "j")], samples)
    };
    let stable = |name: &'static str, each: i64| {
        let samples = every().map(move |time| (time, ((time - 1_000).max(0) * each) as f64));
        ([("__name__", name), ("version", "stable"), ("instance", "s"), ("job", "j")], samples)
    };
    let mut source = Fixture::default();
    for (labels, samples) in [canary("errors_total", 0), canary("all_total", 10)] {
        source = source.series(&labels, samples);
    }
    for (labels, samples) in [stable("errors_total", 0), stable("all_total", 1)] {
        source = source.series(&labels, samples);
    }
    let pair = |version: &str| {
        (format!("errors_total{{version={version:?}}}"), format!("all_total{{version={version:?}}}"))
    };
    let versus = || Check::comparison("versus", pair("canary"), pair("stable"));
    for check in [versus().within_difference(0.1), versus().within_factor(2.0)] {
        let spec = GateSpec::builder("g").check(check).health(false).deadline_ms(3_600_000).build().unwrap();
        let mut gate = NativeGate::new(spec);
        gate.start(at(1_000));
        assert_eq!(run(&mut gate, &source), Verdict::Fail, "{}", gate.report());
    }
}
