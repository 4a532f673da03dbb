mod changed;
mod deadline;
mod gauge;
mod late;
mod once;
mod strays;
mod watch;
mod windows;

use proptest::prelude::*;

use super::*;
use crate::gate::fixture::Fixture;
use crate::gate::spec::{Check, GateSpecBuilder};
use crate::source::Source;

impl NativeGate {
    /// A look in a round of its own.
    fn tick_on(&mut self, now: Timestamp, source: &dyn Source) -> Result<Tick> {
        self.tick(now, &Round::new(source, now))
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

fn spec() -> GateSpec {
    spec_that_watches(false)
}

fn spec_that_watches(watch: bool) -> GateSpec {
    GateSpec::builder("g")
        .check(Check::volume("traffic", "all_total").at_least(0.05))
        .check(Check::ratio("errors", r#"all_total{code="500"}"#, "all_total").below(0.05))
        .deadline_ms(600_000)
        .watch(watch)
        .build()
        .unwrap()
}

/// One request a second from 1,000 s on, of which every `bad`th fails; scraped every 10 s.
fn traffic(bad: i64) -> Fixture {
    let series = |code: &'static str, count: fn(i64, i64) -> i64| {
        let samples: Vec<(i64, f64)> =
            (990..2_000).step_by(10).map(|time| (time, count((time - 1_000).max(0), bad) as f64)).collect();
        (code, samples)
    };
    let all = [
        series("200", |requests, bad| requests - requests / bad),
        series("500", |requests, bad| requests / bad),
    ];
    all.into_iter().fold(Fixture::default(), |fixture, (code, samples)| {
        fixture.series(&[("__name__", "all_total"), ("code", code), ("instance", "i"), ("job", "j")], samples)
    })
}

fn started() -> NativeGate {
    let mut gate = NativeGate::new(spec());
    gate.start(at(1_000));
    gate
}

/// Ticks when due until the gate is settled.
fn run(gate: &mut NativeGate, source: &Fixture) -> Verdict {
    while let Some(due) = gate.next_due() {
        assert!(gate.tick_on(due, source).unwrap().measured);
    }
    gate.report().verdict
}

#[test]
fn a_good_canary_passes_and_a_bad_one_fails() {
    assert_eq!(run(&mut started(), &traffic(i64::MAX)), Verdict::Pass);
    assert_eq!(run(&mut started(), &traffic(5)), Verdict::Fail);
}

#[test]
fn a_canary_at_the_threshold_is_inconclusive_at_the_deadline() {
    let mut gate = started();
    assert_eq!(run(&mut gate, &traffic(20)), Verdict::Inconclusive);
    let report = gate.report();
    assert_eq!(report.at, Some(at(1_600)));
    assert_eq!(report.reasons[0].code(), "interval-straddles");
    assert!(report.reasons.iter().any(|reason| reason.code() == "deadline"));
}

#[test]
fn a_tick_before_its_time_or_after_the_end_changes_nothing() {
    let (mut gate, source) = (started(), traffic(i64::MAX));
    gate.tick_on(at(1_000), &source).unwrap();
    let before = gate.state();
    for early in [1_000, 1_009] {
        assert!(!gate.tick_on(at(early), &source).unwrap().measured);
        assert_eq!(gate.state(), before);
    }
    run(&mut gate, &source);
    let ended = gate.state();
    assert!(!gate.tick_on(at(9_000), &traffic(2)).unwrap().measured);
    assert!(!gate.terminate(at(9_000)).measured);
    assert_eq!(gate.state(), ended);
}

#[test]
fn time_that_goes_back_is_an_error_and_so_is_a_tick_before_the_start() {
    let source = traffic(i64::MAX);
    assert!(NativeGate::new(spec()).tick_on(at(1_000), &source).is_err());
    let mut gate = started();
    gate.tick_on(at(1_050), &source).unwrap();
    let before = gate.state();
    assert!(gate.tick_on(at(1_049), &source).unwrap_err().to_string().starts_with("time went back"));
    assert_eq!(gate.state(), before);
}

#[test]
fn failures_of_the_source_are_tolerated_up_to_the_limit() {
    let (mut gate, source) = (started(), traffic(i64::MAX));
    let broken = source.clone().broken();
    for second in [1_010, 1_020, 1_030, 1_040] {
        let tick = gate.tick_on(at(second), &broken).unwrap();
        assert!(!tick.settled && tick.next_due == Some(at(second + 10)));
    }
    let mut lasting = gate.clone();
    let tick = lasting.tick_on(at(1_050), &broken).unwrap();
    assert!(tick.settled && tick.verdict == Verdict::Inconclusive);
    assert_eq!(lasting.report().reasons[0].code(), "source-error");
    // What was missed is counted when the source is back.
    assert_eq!(run(&mut gate, &source), Verdict::Pass);
}

#[test]
fn a_gate_that_is_ended_stays_inconclusive() {
    let mut gate = started();
    gate.tick_on(at(1_030), &traffic(i64::MAX)).unwrap();
    let tick = gate.terminate(at(1_031));
    assert!(tick.settled && tick.verdict == Verdict::Inconclusive && tick.next_due.is_none());
    assert!(gate.report().reasons.iter().any(|reason| reason.code() == "terminated"));
}

#[test]
fn a_gate_does_not_end_before_its_last_look() {
    let mut gate = started();
    gate.tick_on(at(1_030), &traffic(i64::MAX)).unwrap();
    gate.terminate(at(900));
    assert_eq!(gate.report().at, Some(at(1_030)));
    let ended = gate.report().reasons.into_iter().find(|reason| reason.code() == "terminated").unwrap();
    assert!(ended.text.contains("30 s"), "{ended}");
}

#[test]
fn a_gate_that_was_ended_before_its_start_does_not_start() {
    // It was settled and asked for ticks all the same, so that a controller's loop went on with an ended run.
    let mut gate = NativeGate::new(spec());
    gate.terminate(at(1_000));
    gate.start(at(1_000));
    assert_eq!((gate.next_due(), gate.report().settled), (None, true));
}

#[test]
fn a_check_that_decides_nothing_does_not_end_the_gate_either() {
    // Failures of the source for a dry-run check alone ended the gate for all others.
    struct Partly(Fixture);
    impl Source for Partly {
        fn select(&self, request: &crate::source::SelectRequest<'_>) -> Result<crate::source::SeriesSet> {
            if request.matchers.iter().any(|matcher| matcher.value() == b"tried_total") {
                return self.0.clone().broken().select(request);
            }
            self.0.select(request)
        }
    }
    let build = || {
        GateSpec::builder("g")
            .check(Check::ratio("errors", r#"all_total{code="500"}"#, "all_total").below(0.05))
            .check(Check::volume("trial", "tried_total").at_least(1.0).dry_run())
            .min_duration_ms(200_000)
            .build()
            .unwrap()
    };
    let (mut gate, source) = (NativeGate::new(build()), Partly(traffic(i64::MAX)));
    gate.start(at(1_000));
    while let Some(due) = gate.next_due() {
        gate.tick_on(due, &source).unwrap();
    }
    assert_eq!(gate.report().verdict, Verdict::Pass);
}

#[test]
fn the_warm_up_is_no_evidence() {
    let build = |warm_up_ms| {
        GateSpec::builder("g")
            .check(Check::ratio("errors", r#"all_total{code="500"}"#, "all_total").below(0.05))
            .warm_up_ms(warm_up_ms)
            .build()
            .unwrap()
    };
    let mut gate = NativeGate::new(build(500_000));
    gate.start(at(1_000));
    gate.tick_on(at(1_400), &traffic(2)).unwrap();
    assert_eq!(gate.report().reasons[0].code(), "warming-up");
    gate.tick_on(at(1_510), &traffic(2)).unwrap();
    assert_eq!(gate.report().verdict, Verdict::Inconclusive);
}

#[test]
fn the_state_of_another_version_or_specification_is_refused() {
    let state = started().state();
    assert!(NativeGate::resume(spec(), GateState(GateFields { version: 9, ..state.0.clone() })).is_err());
    let other =
        GateSpec::builder("g").check(Check::volume("traffic", "all_total").at_least(1.0)).build().unwrap();
    assert!(NativeGate::resume(other, state.clone()).is_err());
    assert_eq!(NativeGate::resume(spec(), state.clone()).unwrap().state(), state);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Stopping anywhere and going on from the state, as bytes and as JSON where that is built, is as good as never stopping.
    #[test]
    fn stopping_and_resuming_changes_nothing(
        gaps in prop::collection::vec(1_i64..60, 1..25),
        stops in prop::collection::vec(any::<bool>(), 25),
        bad in prop_oneof![Just(5_i64), Just(20), Just(i64::MAX)],
        (watch, turning) in (any::<bool>(), 1_000_i64..1_800),
    ) {
        let source = if watch { watch::turning(turning) } else { traffic(bad) };
        let mut steady = NativeGate::new(spec_that_watches(watch));
        steady.start(at(1_000));
        let mut stopping = steady.clone();
        let mut now = 1_000;
        for (gap, stop) in gaps.into_iter().zip(stops) {
            now += gap;
            let ticks = (steady.tick_on(at(now), &source).unwrap(), stopping.tick_on(at(now), &source).unwrap());
            prop_assert_eq!(ticks.0, ticks.1);
            if stop {
                let state = stopping.state();
                #[cfg(feature = "serde")]
                let state = GateState::from_json(&state.to_json().unwrap()).unwrap();
                let state = GateState::from_bytes(&state.to_bytes()).unwrap();
                stopping = NativeGate::resume(spec_that_watches(watch), state).unwrap();
            }
        }
        prop_assert_eq!(steady.state(), stopping.state());
    }

    /// A tick that is not due, the second at one instant and those after the end change nothing, watched on or not.
    #[test]
    fn only_ticks_that_are_due_change_anything(
        gaps in prop::collection::vec(0_i64..40, 1..60),
        (watch, turning) in (any::<bool>(), 1_000_i64..1_600),
    ) {
        let source = watch::turning(turning);
        let mut gate = NativeGate::new(spec_that_watches(watch));
        gate.start(at(1_000));
        let mut now = 1_000;
        for gap in gaps {
            now += gap;
            let (before, due) = (gate.state(), gate.next_due());
            let tick = gate.tick_on(at(now), &source).unwrap();
            prop_assert_eq!(tick.measured, due.is_some_and(|due| due <= at(now)));
            let report = gate.report();
            prop_assert_eq!((tick.verdict, tick.settled, tick.next_due), (report.verdict, report.settled, report.next_due));
            prop_assert_eq!(tick.settled, tick.next_due.is_none());
            let after = gate.state();
            if !tick.measured {
                prop_assert_eq!(&after, &before);
            }
            prop_assert!(!gate.tick_on(at(now), &source).unwrap().measured);
            prop_assert_eq!(gate.state(), after);
        }
    }

    /// What is counted depends on the last tick only, and a late tick looks once.
    #[test]
    fn counts_do_not_depend_on_when_one_looked(
        times in prop::collection::btree_set(1_001_i64..1_400, 1..12),
        watch in any::<bool>(),
    ) {
        let source = traffic(20);
        let mut often = NativeGate::new(spec_that_watches(watch));
        often.start(at(1_000));
        let mut once = often.clone();
        for time in &times {
            often.tick_on(at(*time), &source).unwrap();
        }
        let last = *often.last_tick.as_ref().unwrap();
        once.tick_on(last, &source).unwrap();
        for (a, b) in often.checks.iter().zip(&once.checks) {
            prop_assert_eq!((a.until, a.tally.most, a.tally.trials), (b.until, b.tally.most, b.tally.trials));
        }
    }
}

/// Pods with one request a second each from the given second on, of which every `bad`th fails.
fn pods(pods: &[(&'static str, i64, i64)]) -> Fixture {
    pods.iter().fold(Fixture::default(), |fixture, (pod, from, bad)| {
        let series = |code: &'static str, count: fn(i64, i64) -> i64| {
            let samples: Vec<(i64, f64)> = (*from - 10..2_000)
                .step_by(10)
                .map(|time| (time, count((time - from).max(0), *bad) as f64))
                .collect();
            let labels =
                [("__name__", "all_total"), ("pod", *pod), ("code", code), ("instance", *pod), ("job", "j")];
            (labels.map(|(name, value)| (name.to_owned(), value.to_owned())), samples)
        };
        [
            series("200", |requests, bad| requests - requests / bad),
            series("500", |requests, bad| requests / bad),
        ]
        .into_iter()
        .fold(fixture, |fixture, (labels, samples)| {
            let labels: Vec<(&str, &str)> =
                labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            fixture.series(&labels, samples)
        })
    })
}

fn each_pod() -> NativeGate {
    let spec = GateSpec::builder("g")
        .check(Check::ratio("errors", r#"all_total{code="500"}"#, "all_total").below(0.05).by(["pod"]))
        .deadline_ms(600_000)
        .health(false)
        .build()
        .unwrap();
    let mut gate = NativeGate::new(spec);
    gate.start(at(1_000));
    gate
}

#[test]
fn one_bad_element_fails_a_check_that_their_sum_would_pass() {
    let good = i64::MAX;
    let nine: Vec<(&str, i64, i64)> =
        ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(|pod| (pod, 1_000, good)).to_vec();
    let mut gate = each_pod();
    assert_eq!(run(&mut gate, &pods(&nine)), Verdict::Pass);
    let [check] = gate.report().checks.try_into().unwrap();
    assert_eq!((check.elements.len(), check.elements[0].name.as_str()), (9, "pod=\"a\""));
    assert!(check.elements.iter().all(|element| element.verdict == Verdict::Pass));

    let mut ten = nine.clone();
    ten.push(("j", 1_000, 5));
    let mut gate = each_pod();
    assert_eq!(run(&mut gate, &pods(&ten)), Verdict::Fail);
    let report = gate.report();
    assert_eq!(report.reasons[0].element.as_deref(), Some("pod=\"j\""));
    assert!(report.because().starts_with("errors: pod=\"j\": "), "{report}");
    assert_eq!(report.checks[0].elements.len(), 10);
}

#[test]
fn more_elements_than_are_judged_are_a_reason_of_their_own_that_says_the_limit() {
    let crowd = (0..1_001).fold(Fixture::default(), |fixture, pod| {
        let pod = pod.to_string();
        fixture.series(
            &[("__name__", "all_total"), ("pod", &pod), ("code", "200")],
            [(1_000, 0.0), (1_010, 10.0)],
        )
    });
    let mut gate = each_pod();
    gate.tick_on(at(1_000), &crowd).unwrap();
    let tick = gate.tick_on(at(1_010), &crowd).unwrap();
    assert_eq!((tick.verdict, tick.settled), (Verdict::Inconclusive, false));
    let report = gate.report();
    assert_eq!(report.reasons[0].code(), "too-many-elements");
    assert!(report.because().contains("1001 elements, at most 1000 are judged"), "{report}");
}

#[test]
fn an_element_without_requests_keeps_a_check_from_passing() {
    let mut gate = each_pod();
    // Its first request comes after the deadline.
    assert_eq!(run(&mut gate, &pods(&[("a", 1_000, i64::MAX), ("b", 1_900, i64::MAX)])), Verdict::Pass);
    let idle = pods(&[("a", 1_000, i64::MAX)]).series(
        &[("__name__", "all_total"), ("pod", "b"), ("code", "200"), ("instance", "b"), ("job", "j")],
        (990..2_000).step_by(10).map(|time| (time, 7.0)),
    );
    let mut gate = each_pod();
    assert_eq!(run(&mut gate, &idle), Verdict::Inconclusive);
    let reasons = gate.report().checks.remove(0).reasons;
    assert_eq!((reasons[0].code(), reasons[0].element.as_deref()), ("zero-denominator", Some("pod=\"b\"")));
}

#[test]
fn a_target_that_is_scraped_and_makes_no_element_is_told_of() {
    let every = || (990..2_000).step_by(10);
    let target = |name, pod| {
        [("__name__", name), ("version", "canary"), ("pod", pod), ("instance", pod), ("job", "j")]
    };
    let up = |source: Fixture, pod| source.series(&target("up", pod), every().map(|time| (time, 1.0)));
    let requests = every().map(|time| (time, time as f64));
    let source = up(up(Fixture::default(), "a"), "b").series(&target("all_total", "a"), requests);
    let told = |check: Check| {
        let spec = GateSpec::builder("g").check(check).build().unwrap();
        let mut gate = NativeGate::new(spec);
        gate.start(at(1_000));
        gate.tick_on(at(1_100), &source).unwrap();
        let reasons = gate.report().reasons;
        reasons.iter().find(|reason| reason.code() == "element-missing").map(|reason| reason.text.clone())
    };
    let check = || Check::volume("each", r#"all_total{version="canary"}"#).at_least(0.1);
    assert_eq!(
        told(check().by(["pod"])).unwrap(),
        "no series of `all_total` came from scrape targets that it means: `b`"
    );
    assert_eq!(told(check()), None);
}

#[test]
fn an_element_that_comes_later_is_judged_and_shares_what_is_left_of_the_error_probability() {
    let mut gate = each_pod();
    let source = pods(&[("a", 1_000, i64::MAX), ("b", 1_020, 3)]);
    assert_eq!(run(&mut gate, &source), Verdict::Fail);
    assert_eq!(gate.report().reasons[0].element.as_deref(), Some("pod=\"b\""));
    let mut gate = each_pod();
    assert_eq!(run(&mut gate, &Fixture::default()), Verdict::Inconclusive);
    assert_eq!(gate.report().checks[0].reasons[0].code(), "no-such-metric");
}

#[cfg(feature = "serde")]
#[test]
fn the_state_of_a_gate_stays_small_however_long_it_looks() {
    let spec = GateSpec::builder("checkout")
        .check(Check::volume("traffic", "all_total").at_least(0.05))
        .check(Check::ratio("errors", r#"all_total{code="500"}"#, "all_total").below(0.05))
        .check(Check::quantile("slow", "seconds_bucket", 0.95).below(1.0))
        .watch(true)
        .build()
        .unwrap();
    let mut gate = NativeGate::new(spec);
    gate.start(at(1_000));
    let bounds =
        [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, f64::INFINITY];
    let every = || (990..12_000).step_by(10);
    let target = [("instance", "10.0.0.1:8080"), ("pod", "checkout-7d9f"), ("job", "pods")];
    let series =
        |name, own: &[(&'static str, &'static str)]| [&[("__name__", name)], &target[..], own].concat();
    let mut source = Fixture::default().series(&series("up", &[]), every().map(|time| (time, 1.0)));
    // Seven requests in ten seconds, of which now and then one fails, each 0.2 to 0.3 s long.
    for (code, each) in [("200", 0.69), ("500", 0.01)] {
        let counts = every().map(|time| (time, ((time - 990) as f64 * each).floor()));
        source = source.series(&series("all_total", &[("code", code)]), counts);
    }
    for bound in bounds {
        let text: &'static str = if bound.is_finite() { bound.to_string().leak() } else { "+Inf" };
        let counts =
            every().map(|time| (time, if bound < 0.2 { 0.0 } else { ((time - 990) as f64 * 0.7).floor() }));
        source = source.series(&series("seconds_bucket", &[("le", text)]), counts);
    }
    let mut sizes = Vec::new();
    while let Some(due) = gate.next_due().filter(|due| *due < at(11_000)) {
        gate.tick_on(due, &source).unwrap();
        let state = gate.state();
        sizes.push((state.to_json().unwrap().len(), state.to_bytes().len()));
    }
    assert!(gate.report().verdict == Verdict::Pass && sizes.len() == 1_000, "{}", gate.report());
    assert!(sizes.iter().all(|(json, bytes)| *json <= 4_000 && *bytes <= 1_000), "{:?}", sizes.iter().max());
    println!("{:?}", sizes.iter().max());
}

#[cfg(feature = "serde")]
#[test]
fn checks_of_every_kind_go_on_where_they_stopped() {
    let pair =
        |pod: &str| (format!("all_total{{pod={pod:?},code=\"500\"}}"), format!("all_total{{pod={pod:?}}}"));
    let spec = GateSpec::builder("g")
        .check(Check::ratio("each", r#"all_total{code="500"}"#, "all_total").below(0.3).by(["pod"]))
        .check(Check::comparison("versus", pair("a"), pair("b")).within_factor(1.5))
        .check(Check::comparison("points", pair("a"), pair("b")).within_difference(0.05))
        .check(Check::count("count", r#"all_total{code="500"}"#, 120_000).at_most(50.0))
        .check(Check::value("value", "max(all_total)").below(1e6))
        .deadline_ms(400_000)
        .health(false)
        .build()
        .unwrap();
    let source = pods(&[("a", 1_000, 30), ("b", 1_000, 9)]);
    let run = |stops: bool| {
        let mut gate = NativeGate::new(spec.clone());
        gate.start(at(1_000));
        while let Some(due) = gate.next_due() {
            gate.tick_on(due, &source).unwrap();
            if stops {
                let state = GateState::from_json(&gate.state().to_json().unwrap()).unwrap();
                assert_eq!(state, gate.state());
                assert_eq!(GateState::from_bytes(&state.to_bytes()).unwrap(), state);
                gate = NativeGate::resume(spec.clone(), state).unwrap();
            }
        }
        gate.report()
    };
    let report = run(false);
    assert_eq!(report, run(true));
    assert_eq!(report.verdict, Verdict::Pass, "{report}");
}
