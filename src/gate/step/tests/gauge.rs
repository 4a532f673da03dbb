//! Gates that compare samples of a gauge, once.

use super::*;
use crate::gate::report::Evidence;
use crate::model::{Loss, Lost};

/// Between 0 and 1, without a pattern that a minute would follow.
fn scattered(second: i64) -> f64 {
    (second * 7_919 % 1_009) as f64 / 1_009.0
}

/// Memory of two pods, the second a baseline's, scraped every 10 s: these means with a little noise, up to an instant.
fn memory(own: f64, baseline: f64, noise: f64, until: i64) -> Fixture {
    [("a", own), ("s", baseline)].into_iter().fold(Fixture::default(), |fixture, (pod, mean)| {
        let samples: Vec<(i64, f64)> = (990..until)
            .step_by(10)
            .map(|second| (second, mean * (1.0 + noise * (scattered(second) - 0.5))))
            .collect();
        fixture.series(&[("__name__", "memory"), ("pod", pod), ("instance", pod), ("job", "j")], samples)
    })
}

fn spec(limit: fn(Check) -> Check, minutes: i64) -> GateSpec {
    let check = limit(Check::gauge("memory", "memory{pod=\"a\"}", "memory{pod=\"s\"}"));
    GateSpec::builder("g").check(check).health(false).deadline_ms(minutes * 60_000).build().unwrap()
}

/// Looks when due, stopped and resumed at each, to the end.
fn end(limit: fn(Check) -> Check, minutes: i64, source: &Fixture) -> NativeGate {
    let mut gate = NativeGate::new(spec(limit, minutes));
    gate.start(at(1_000));
    while let Some(due) = gate.next_due() {
        let tick = gate.tick_on(due, source).unwrap();
        assert_eq!(tick.settled, due == at(1_000 + minutes * 60), "{}", gate.report());
        gate = NativeGate::resume(spec(limit, minutes), gate.state()).unwrap();
    }
    gate
}

fn said(gate: &NativeGate) -> (Verdict, &'static str) {
    let report = gate.report();
    (report.verdict, report.checks[0].reasons[0].code())
}

#[test]
fn memory_that_is_within_the_factor_passes_and_what_is_beyond_fails_at_the_deadline() {
    let factor: fn(Check) -> Check = |check| check.within_factor(1.2);
    let good = end(factor, 30, &memory(105.0, 100.0, 0.1, 4_000));
    assert_eq!(said(&good), (Verdict::Pass, "no-higher-than-baseline"));
    let Evidence::Gauge { samples, estimate, interval, p_pass, p_fail, .. } =
        good.report().checks[0].evidence.clone()
    else {
        panic!()
    };
    let (estimate, interval) = (estimate.unwrap(), interval.unwrap());
    assert_eq!(samples, 29);
    assert!((estimate - 1.05).abs() < 0.03 && interval.low < estimate && estimate < interval.high);
    assert!(p_pass < 1e-6 && p_fail > 0.999);
    let bad = end(factor, 30, &memory(135.0, 100.0, 0.1, 4_000));
    assert_eq!(said(&bad), (Verdict::Fail, "higher-than-baseline"));
    let text = &bad.report().checks[0].reasons[0].text;
    assert!(
        text.starts_with("29 samples with the median 13")
            && text.ends_with("allowed are 1.2 times the baseline"),
        "{text}"
    );
    assert_eq!(said(&end(factor, 30, &memory(120.0, 100.0, 0.1, 4_000))).1, "samples-undecided");
    // Ten times the limit for failing is as good as none.
    let band: fn(Check) -> Check = |check| check.within_factor(1.2).fails_beyond(12.0);
    assert_eq!(said(&end(band, 30, &memory(135.0, 100.0, 0.1, 4_000))).1, "samples-undecided");
    let difference: fn(Check) -> Check = |check| check.within_difference(20.0);
    assert_eq!(said(&end(difference, 30, &memory(105.0, 100.0, 0.1, 4_000))).0, Verdict::Pass);
    assert_eq!(said(&end(difference, 30, &memory(-70.0, -100.0, 0.1, 4_000))).0, Verdict::Fail);
    assert_eq!(said(&end(factor, 30, &memory(-105.0, -100.0, 0.1, 4_000))).1, "no-value");
}

#[test]
fn constant_sides_are_compared_as_they_are() {
    let factor: fn(Check) -> Check = |check| check.within_factor(1.25);
    for (own, verdict) in [(80.0, Verdict::Pass), (125.0, Verdict::Pass), (125.1, Verdict::Fail)] {
        assert_eq!(said(&end(factor, 22, &memory(own, 100.0, 0.0, 4_000))).0, verdict, "{own}");
    }
}

#[test]
fn before_the_deadline_and_with_few_samples_nothing_is_decided() {
    let factor: fn(Check) -> Check = |check| check.within_factor(1.2);
    let mut gate = NativeGate::new(spec(factor, 30));
    gate.start(at(1_000));
    let bad = memory(1_000.0, 100.0, 0.1, 4_000);
    gate.tick_on(at(2_790), &bad).unwrap();
    assert_eq!(said(&gate), (Verdict::Inconclusive, "decides-once"));
    let mut ended = gate.clone();
    ended.terminate(at(2_795));
    assert_eq!(ended.report().verdict, Verdict::Inconclusive);
    let report = gate.report();
    assert!(report.checks[0].reasons.iter().any(|reason| reason.code() == "independence-assumed"));
    // The scrapes of the first half hour have holes.
    let holes = |keep: fn(i64) -> bool| {
        let samples = |value: f64| {
            (990..4_000).step_by(10).filter(move |second| keep(*second)).map(move |second| (second, value))
        };
        let labels = |pod| [("__name__", "memory"), ("pod", pod), ("instance", pod), ("job", "j")];
        Fixture::default().series(&labels("a"), samples(900.0)).series(&labels("s"), samples(100.0))
    };
    let few = end(factor, 30, &holes(|second| !(1_100..1_900).contains(&second)));
    assert_eq!(said(&few), (Verdict::Inconclusive, "too-few-samples"));
    assert!(few.report().checks[0].reasons[0].text.ends_with("of either 20 are needed, one every 60 s"));
    // What has ended may fail and does not pass.
    assert_eq!(said(&end(factor, 30, &memory(300.0, 100.0, 0.1, 2_600))).0, Verdict::Fail);
    assert_eq!(said(&end(factor, 30, &memory(100.0, 100.0, 0.1, 2_600))), (Verdict::Inconclusive, "stale"));
}

#[test]
fn samples_that_may_be_missing_hold_a_pass_back() {
    let lost = Loss::new(Lost::Salvaged, at(1_500), at(1_600));
    let factor: fn(Check) -> Check = |check| check.within_factor(1.2);
    let source = memory(100.0, 100.0, 0.1, 4_000).losing(lost);
    assert_eq!(said(&end(factor, 30, &source)), (Verdict::Inconclusive, "data-damaged"));
}
