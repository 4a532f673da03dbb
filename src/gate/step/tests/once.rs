//! Gates that decide in one look, and gates that allow for bursts.

use super::*;
use crate::gate::report::Evidence;

fn spec(looks_once: bool, watch: bool) -> GateSpec {
    GateSpec::builder("g")
        .check(Check::ratio("errors", r#"all_total{code="500"}"#, "all_total").below(0.05))
        .check(Check::count("many", r#"all_total{code="500"}"#, 60_000).at_most(30.0))
        .deadline_ms(300_000)
        .looks_once(looks_once)
        .watch(watch)
        .build()
        .unwrap()
}

/// The looks of a gate over `source`, stopped and resumed at each: when, what it says, why.
fn looks(spec: impl Fn() -> GateSpec, source: &Fixture, until: i64) -> Vec<(i64, Verdict, &'static str)> {
    let mut gate = NativeGate::new(spec());
    gate.start(at(1_000));
    let mut said = Vec::new();
    while let Some(due) = gate.next_due().filter(|due| *due <= at(until)) {
        gate.tick_on(due, source).unwrap();
        let report = gate.report();
        let why = report.checks[0].reasons.first().map_or("", Reason::code);
        said.push((due.as_millis() / 1000 - 1_000, report.verdict, why));
        gate = NativeGate::resume(spec(), gate.state()).unwrap();
    }
    said
}

#[test]
fn one_look_decides_at_the_deadline_and_none_before() {
    for (bad, verdict, why) in [
        (i64::MAX, Verdict::Pass, "below-threshold"),
        (10, Verdict::Fail, "above-threshold"),
        (20, Verdict::Inconclusive, "interval-straddles"),
    ] {
        let said = looks(|| spec(true, false), &traffic(bad), 2_000);
        let (last, before) = said.split_last().unwrap();
        assert_eq!(*last, (300, verdict, why));
        assert!(before.iter().all(|(_, verdict, _)| *verdict == Verdict::Inconclusive), "{before:?}");
        assert!(before.iter().skip(2).all(|(.., why)| *why == "decides-once"), "{before:?}");
    }
    // Every look may decide where nothing else is asked for.
    let any = looks(|| spec(false, false), &traffic(i64::MAX), 2_000);
    assert!(any.last().is_some_and(|(at, ..)| *at < 300), "{any:?}");
}

#[test]
fn what_decides_without_a_test_fails_before_the_one_look() {
    // Every request fails: more than thirty in a minute.
    let said = looks(|| spec(true, false), &traffic(1), 2_000);
    let (at, verdict, _) = *said.last().unwrap();
    assert!(at < 100 && verdict == Verdict::Fail, "{said:?}");
}

#[test]
fn what_passed_in_one_look_is_watched_on() {
    let said = looks(|| spec(true, true), &traffic(i64::MAX), 1_600);
    let (before, after): (Vec<_>, Vec<_>) = said.into_iter().partition(|(at, ..)| *at < 300);
    assert!(before.iter().all(|(_, verdict, _)| *verdict == Verdict::Inconclusive), "{before:?}");
    assert!(after.iter().all(|(_, verdict, _)| *verdict == Verdict::Pass), "{after:?}");
    assert_eq!(after.last().map(|(at, ..)| *at), Some(600));
}

#[test]
fn a_look_that_comes_late_is_the_one_that_decides() {
    let mut gate = NativeGate::new(spec(true, false));
    gate.start(at(1_000));
    gate.tick_on(at(1_000), &traffic(i64::MAX)).unwrap();
    assert!(gate.tick_on(at(1_450), &traffic(i64::MAX)).unwrap().settled);
    assert_eq!(gate.report().verdict, Verdict::Pass);
    // Whoever ends a gate before has no decision.
    let mut ended = NativeGate::new(spec(true, false));
    ended.start(at(1_000));
    ended.tick_on(at(1_290), &traffic(i64::MAX)).unwrap();
    ended.terminate(at(1_295));
    assert_eq!(ended.report().verdict, Verdict::Inconclusive);
}

#[test]
fn bursts_are_allowed_for_from_twenty_looks_with_requests_on() {
    let with = |upper: bool| {
        move || {
            let builder = GateSpec::builder("g")
                .check(Check::ratio("errors", r#"all_total{code="500"}"#, "all_total").below(0.05))
                .min_requests(120)
                .deadline_ms(600_000);
            if upper { builder.allow_bursts() } else { builder }.build().unwrap()
        }
    };
    let said = looks(with(true), &traffic(i64::MAX), 2_000);
    let (last, before) = said.split_last().unwrap();
    // The first scrapes settle for ten seconds.
    assert_eq!((last.1, last.2), (Verdict::Pass, "below-threshold"));
    assert!((210..=220).contains(&last.0), "{last:?}");
    for why in ["not-enough-requests", "bursts-unknown"] {
        assert!(before.iter().any(|(.., said)| *said == why), "{why}: {before:?}");
    }
    let plain = looks(with(false), &traffic(i64::MAX), 2_000);
    assert!((130..=140).contains(&plain.last().unwrap().0), "{plain:?}");
    let mut gate = NativeGate::new(with(true)());
    gate.start(at(1_000));
    run(&mut gate, &traffic(30));
    let Evidence::Ratio { dispersion: Some(factor), .. } = gate.report().checks[0].evidence else {
        panic!("{}", gate.report())
    };
    // They fail like clockwork.
    assert!(factor < 1.0, "{factor}");
}
