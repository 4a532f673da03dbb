use super::*;
use crate::gate::report::Evidence;
use crate::gate::spec::{BurnRateWindows, GateSpecBuilder};

/// One request a second of the traffic below, of which fewer than `limit` may fail, counted beside a volume.
fn limited(limit: f64) -> GateSpec {
    built(limit, |builder| builder)
}

fn built(limit: f64, more: impl Fn(GateSpecBuilder) -> GateSpecBuilder) -> GateSpec {
    let builder = GateSpec::builder("g")
        .check(Check::volume("traffic", "all_total").at_least(0.05))
        .check(Check::ratio("errors", r#"all_total{code="500"}"#, "all_total").below(limit))
        .deadline_ms(900_000);
    more(builder).build().unwrap()
}

/// A gate by `spec` that has looked at the traffic up to `until`.
fn looked(spec: GateSpec, source: &Fixture, until: i64) -> NativeGate {
    let mut gate = NativeGate::new(spec);
    gate.start(at(1_000));
    while let Some(due) = gate.next_due().filter(|due| *due <= at(until)) {
        gate.tick_on(due, source).unwrap();
    }
    gate
}

fn trials(gate: &NativeGate, check: &str) -> f64 {
    let report = gate.report();
    match report.checks.iter().find(|found| found.name == check).unwrap().evidence {
        Evidence::Ratio { trials, .. } => trials,
        Evidence::Volume { requests, .. } => requests,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn checks_that_mean_the_same_keep_their_counts_and_others_begin_anew() {
    let source = traffic(20);
    let gate = looked(limited(0.05), &source, 1_200);
    assert!(trials(&gate, "errors") > 150.0);
    let mut changed = NativeGate::resume_changed(limited(0.04), gate.state(), at(1_205)).unwrap();
    assert_eq!(changed.next_due(), Some(at(1_205)));
    changed.tick_on(at(1_205), &source).unwrap();
    changed.tick_on(at(1_260), &source).unwrap();
    // The scrape at 1,200 s is where the new evidence builds on.
    assert_eq!((trials(&changed, "errors"), trials(&changed, "traffic")), (50.0, 250.0));
    let note = changed.report().checks[1]
        .reasons
        .iter()
        .find(|reason| reason.code() == "specification-changed")
        .cloned();
    assert_eq!(
        note.unwrap().text,
        "its evidence begins at 1205 s, when the gate was given the check as it is now"
    );
    assert!(changed.report().checks[0].reasons.iter().all(|reason| reason.code() != "specification-changed"));
    // It goes on over a restart, which its specification alone allows again.
    let resumed = NativeGate::resume(limited(0.04), changed.state()).unwrap();
    assert_eq!(resumed.state(), changed.state());
}

#[test]
fn whatever_gives_counts_their_meaning_makes_a_check_begin_anew() {
    let gate = looked(limited(0.05), &traffic(20), 1_200);
    let began = |spec: GateSpec| {
        let changed = NativeGate::resume_changed(spec, gate.state(), at(1_205)).unwrap();
        changed.checks.iter().map(|check| check.began.is_some()).collect::<Vec<bool>>()
    };
    type More = fn(GateSpecBuilder) -> GateSpecBuilder;
    let of_all: [More; 7] = [
        |builder| builder.confidence(0.9),
        |builder| builder.warm_up_ms(1_000),
        |builder| builder.settle_ms(1),
        |builder| builder.allow_bursts(),
        |builder| builder.dispersion_factor(2.0),
        |builder| builder.looks_once(true),
        |builder| builder.min_requests(10),
    ];
    for more in of_all {
        assert_eq!(began(built(0.05, more)), [true, true]);
    }
    let of_none: [More; 7] = [
        |builder| builder.interval_ms(5_000),
        |builder| builder.deadline_ms(800_000),
        |builder| builder.min_duration_ms(1),
        |builder| builder.health(false),
        |builder| builder.watch(true),
        |builder| builder.low_traffic_fails(true),
        |builder| builder.source_error_limit(9),
    ];
    for more in of_none {
        assert_eq!(began(built(0.05, more)), [false, false]);
    }
    let ratio = || Check::ratio("errors", r#"all_total{code="500"}"#, "all_total").below(0.05);
    let others = [
        ratio().by(["instance"]),
        ratio().dry_run(),
        ratio().missing_numerator_is_zero(),
        ratio().fails_beyond(0.1),
        Check::ratio("errors", r#"all_total{code="503"}"#, "all_total").below(0.05),
        Check::ratio("errors", r#"all_total{code="500"}"#, r#"all_total{job="j"}"#).below(0.05),
        Check::ratio("mistakes", r#"all_total{code="500"}"#, "all_total").below(0.05),
    ];
    for other in others {
        let traffic = Check::volume("traffic", "all_total").at_least(0.05);
        // The order of checks has no meaning.
        let spec = GateSpec::builder("g").check(other).check(traffic).deadline_ms(900_000).build().unwrap();
        assert_eq!(began(spec), [true, false]);
    }
}

#[test]
fn checks_of_every_kind_begin_anew_where_anything_of_them_is_changed() {
    let windows = |factor: f64, short: i64| [BurnRateWindows::new(factor, 600_000, short)];
    let burn = |objective: f64| Check::burn_rate("c", "bad_total", "all_total", objective).below(1.0);
    let gauge = |baseline: &str| Check::gauge("c", "memory", baseline);
    let pair = |code: &str| (format!("all_total{{code=~{code:?}}}"), "all_total".to_owned());
    let versus = |code: &str| Check::comparison("c", pair("5.."), pair(code));
    let kinds: [Vec<Check>; 7] = [
        vec![
            Check::value("c", "sum(memory)").below(1.0),
            Check::value("c", "sum(memory)").below(2.0),
            Check::value("c", "sum(memory)").above(1.0),
            Check::value("c", "sum(memory offset 1m)").below(1.0),
        ],
        vec![
            Check::count("c", "bad_total", 60_000).at_most(1.0),
            Check::count("c", "bad_total", 60_000).at_most(2.0),
            Check::count("c", "bad_total", 30_000).at_most(1.0),
            Check::count("c", "all_total", 60_000).at_most(1.0),
        ],
        vec![
            burn(0.99),
            burn(0.95),
            burn(0.99).windows(windows(2.0, 60_000)),
            burn(0.99).windows(windows(3.0, 60_000)),
            burn(0.99).windows(windows(2.0, 30_000)),
        ],
        vec![
            gauge("a").within_factor(2.0),
            gauge("b").within_factor(2.0),
            gauge("a").within_factor(3.0),
            gauge("a").within_difference(2.0),
            gauge("a").within_factor(2.0).fails_beyond(3.0),
        ],
        vec![
            versus("5..").within_factor(2.0),
            versus("50.").within_factor(2.0),
            versus("5..").within_difference(0.2),
            versus("5..").within_difference(0.3),
        ],
        vec![
            Check::quantile("c", "d_bucket", 0.9).below(1.0),
            Check::quantile("c", "d_bucket", 0.95).below(1.0),
            Check::quantile("c", "d_bucket", 0.9).below(2.0),
        ],
        vec![Check::volume("c", "all_total").at_least(1.0), Check::volume("c", "all_total").at_least(2.0)],
    ];
    for kind in kinds {
        let specs: Vec<GateSpec> = kind
            .into_iter()
            .map(|check| GateSpec::builder("g").check(check).deadline_ms(1_800_000).build().unwrap())
            .collect();
        for (number, spec) in specs.iter().enumerate() {
            let mut gate = NativeGate::new(spec.clone());
            gate.start(at(1_000));
            for (other, spec) in specs.iter().enumerate() {
                let changed = NativeGate::resume_changed(spec.clone(), gate.state(), at(1_015)).unwrap();
                assert_eq!(changed.checks[0].began.is_some(), number != other, "{spec:?}");
            }
        }
    }
}

#[test]
fn elements_one_look_and_dry_runs_begin_anew_and_go_on_over_two_changes() {
    let source = traffic(5);
    let spec = |limit: f64, more: fn(Check) -> Check, once: bool| {
        let check = more(Check::ratio("errors", r#"all_total{code="500"}"#, "all_total").below(limit));
        let traffic = Check::volume("traffic", "all_total").at_least(0.05);
        let builder = GateSpec::builder("g").check(check).check(traffic).deadline_ms(900_000);
        builder.looks_once(once).build().unwrap()
    };
    let ways: [fn(Check) -> Check; 3] =
        [|check| check, |check| check.by(["instance"]), |check| check.dry_run()];
    for once in [false, true] {
        for way in ways {
            // One of five fails: within 40 % and 30 %, and not within 10 %.
            let gate = looked(spec(0.4, way, once), &source, 1_040);
            let mut second =
                NativeGate::resume_changed(spec(0.1, way, once), gate.state(), at(1_040)).unwrap();
            second.tick_on(at(1_040), &source).unwrap();
            second.tick_on(at(1_050), &source).unwrap();
            let third = NativeGate::resume_changed(spec(0.4, way, once), second.state(), at(1_060)).unwrap();
            let state = GateState::from_bytes(&third.state().to_bytes()).unwrap();
            let mut third = NativeGate::resume(spec(0.4, way, once), state).unwrap();
            assert_eq!(third.checks[0].began, Some(at(1_060)), "what it meant before is no evidence");
            assert_eq!(third.checks[1].began, None);
            let mut first_pass = None;
            while let Some(due) = third.next_due() {
                if third.tick_on(due, &source).unwrap().verdict == Verdict::Pass {
                    first_pass.get_or_insert(due);
                }
            }
            let report = third.report();
            assert_eq!(report.verdict, Verdict::Pass, "{report}");
            assert!(third.spec.checks[0].dry_run || first_pass > Some(at(1_070)), "{report}");
        }
    }
}

#[test]
fn too_little_traffic_since_a_change_is_no_failure_at_the_deadline() {
    // A request a minute is more than enough, and none of them falls into the last seconds.
    let samples = (990..2_000).step_by(10).map(|second| (second, ((second - 950_i64) / 60) as f64));
    let labels = [("__name__", "all_total"), ("instance", "i"), ("job", "j")];
    let source = Fixture::default().series(&labels, samples);
    let spec = |name: &str, rate: f64| {
        let traffic = Check::volume(name, "all_total").at_least(rate);
        // Never passes, so that the gate goes on to its deadline.
        let errors = Check::ratio("errors", r#"all_total{code="500"}"#, "all_total").below(0.001);
        let builder = GateSpec::builder("g").check(traffic).check(errors).deadline_ms(600_000);
        builder.low_traffic_fails(true).health(false).build().unwrap()
    };
    let verdict = |gate: &mut NativeGate| {
        while let Some(due) = gate.next_due() {
            gate.tick_on(due, &source).unwrap();
        }
        gate.report().verdict
    };
    let gate = looked(spec("traffic", 0.01), &source, 1_560);
    let changed = |spec| NativeGate::resume_changed(spec, gate.state(), at(1_565)).unwrap();
    assert_eq!(verdict(&mut gate.clone()), Verdict::Inconclusive);
    assert_eq!(verdict(&mut changed(spec("traffic", 0.012))), Verdict::Inconclusive);
    assert_eq!(verdict(&mut changed(spec("requests", 0.01))), Verdict::Inconclusive);
    // One that was there from the beginning does.
    let busy = looked(spec("traffic", 1.0), &source, 1_560);
    assert_eq!(verdict(&mut busy.clone()), Verdict::Fail);
}

#[test]
fn a_pass_of_a_check_that_was_changed_is_forgotten() {
    // One of fifty requests fails: below 5 %, and not below 1 %.
    let source = traffic(50);
    let watching = |limit| built(limit, |builder| builder.watch(true));
    let gate = looked(watching(0.05), &source, 1_700);
    assert!(gate.passes_so_far());
    let mut changed = NativeGate::resume_changed(watching(0.01), gate.state(), at(1_705)).unwrap();
    assert!(!changed.passes_so_far() && changed.report().verdict == Verdict::Inconclusive);
    assert!(changed.clone().terminate(at(1_706)).verdict == Verdict::Inconclusive);
    let mut verdicts = Vec::new();
    while let Some(due) = changed.next_due() {
        verdicts.push(changed.tick_on(due, &source).unwrap().verdict);
    }
    assert!(!verdicts.contains(&Verdict::Pass), "{verdicts:?}");
}

#[test]
fn a_gate_whose_checks_are_all_the_same_passes_again_at_its_next_look_and_not_before() {
    let source = traffic(i64::MAX);
    let watching = |interval| built(0.05, |builder| builder.watch(true).interval_ms(interval));
    let gate = looked(watching(10_000), &source, 1_300);
    assert!(gate.passes_so_far());
    let mut changed = NativeGate::resume_changed(watching(5_000), gate.state(), at(1_302)).unwrap();
    assert!(!changed.passes_so_far());
    assert_eq!(changed.clone().terminate(at(1_303)).verdict, Verdict::Inconclusive);
    let tick = changed.tick_on(at(1_302), &source).unwrap();
    assert_eq!((tick.verdict, tick.next_due), (Verdict::Pass, Some(at(1_305))));
    // Without data it does not.
    let mut blind = NativeGate::resume_changed(watching(5_000), gate.state(), at(1_302)).unwrap();
    assert_eq!(blind.tick_on(at(1_302), &Fixture::default()).unwrap().verdict, Verdict::Inconclusive);
}

#[test]
fn a_settled_gate_another_gate_another_mode_and_time_that_goes_back_are_refused() {
    let source = traffic(5);
    let refused = |state: &GateState, now| {
        NativeGate::resume_changed(limited(0.3), state.clone(), at(now)).unwrap_err().to_string()
    };
    let failed = looked(limited(0.05), &source, 1_900);
    assert!(failed.report().settled && failed.report().verdict == Verdict::Fail);
    assert_eq!(
        refused(&failed.state(), 1_900),
        "gate `g` is settled by the specification that it had, with the verdict fail; a changed one takes a new run"
    );
    // By its own specification it stays what it is.
    let same = NativeGate::resume_changed(limited(0.05), failed.state(), at(1_900)).unwrap();
    assert_eq!(same.state(), failed.state());
    let running = looked(limited(0.25), &source, 1_100).state();
    assert!(refused(&running, 1_099).starts_with("time went back"));
    assert!(NativeGate::resume_changed(limited(0.3), running.clone(), at(1_100)).is_ok());
    let named = GateState(GateFields { gate: "h".to_owned(), ..running.0.clone() });
    assert_eq!(refused(&named, 1_200), "the state is that of gate `h`, not of gate `g`");
    let newer = GateState(GateFields { version: 9, ..running.0.clone() });
    assert!(refused(&newer, 1_200).contains("version 9"));
    let strict = GateState(GateFields { meanings: Vec::new(), ..running.0 });
    assert!(refused(&strict, 1_200).contains("native"));
}

#[test]
fn a_gate_that_was_not_started_begins_with_its_new_specification() {
    let state = NativeGate::new(limited(0.05)).state();
    let mut gate = NativeGate::resume_changed(limited(0.04), state, at(5)).unwrap();
    assert_eq!(gate.state(), NativeGate::new(limited(0.04)).state());
    gate.start(at(1_000));
    assert_eq!(run(&mut gate, &traffic(i64::MAX)), Verdict::Pass);
}

#[test]
fn restarts_of_long_ago_do_not_fail_a_canary_that_was_watched_when_its_gate_is_changed() {
    // It has passed after minutes, and was started anew twice in the hours since.
    let starts = |time: i64| {
        if time < 4_000 {
            500.0
        } else if time < 9_000 {
            4_000.0
        } else {
            9_000.0
        }
    };
    let labels = [("__name__", "process_start_time_seconds"), ("instance", "i"), ("job", "j")];
    let restarting = |source: Fixture, starts: &dyn Fn(i64) -> f64| {
        source.series(&labels, (990..16_000).step_by(10).map(|time| (time, starts(time))))
    };
    let good = |fixture: Fixture, code: &'static str, each: i64| {
        let samples =
            (990..16_000).step_by(10).map(move |time| (time, ((time - 1_000).max(0) * each) as f64));
        fixture.series(&[("__name__", "all_total"), ("code", code), ("instance", "i"), ("job", "j")], samples)
    };
    let traffic = good(good(Fixture::default(), "200", 1), "500", 0);
    let source = restarting(traffic.clone(), &starts);
    let watching = |interval| built(0.05, |builder| builder.watch(true).interval_ms(interval));
    let gate = looked(watching(10_000), &source, 14_000);
    assert!(gate.passes_so_far(), "{}", gate.report());
    let mut changed = NativeGate::resume_changed(watching(5_000), gate.state(), at(14_001)).unwrap();
    // Also over a restart of the controller, and a further change, before it passes again.
    changed = NativeGate::resume(watching(5_000), changed.state()).unwrap();
    changed = NativeGate::resume_changed(watching(20_000), changed.state(), at(14_002)).unwrap();
    let tick = changed.tick_on(at(14_002), &source).unwrap();
    assert_eq!(tick.verdict, Verdict::Pass, "{}", changed.report());
    // Two within the last hour do.
    let lately = |time: i64| {
        if time < 12_000 {
            500.0
        } else if time < 13_990 {
            12_000.0
        } else {
            13_990.0
        }
    };
    let source = restarting(traffic, &lately);
    let gate = looked(watching(10_000), &source, 13_980);
    let mut changed = NativeGate::resume_changed(watching(5_000), gate.state(), at(13_985)).unwrap();
    let tick = changed.tick_on(at(14_002), &source).unwrap();
    assert_eq!(tick.verdict, Verdict::Fail, "{}", changed.report());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whenever a check is changed, it comes to what a gate comes to that is started then, while what stays counts on.
    #[test]
    fn a_changed_check_comes_to_what_it_comes_to_in_a_gate_that_starts_then(
        (change, bad) in (1_005_i64..1_500, prop_oneof![Just(5_i64), Just(20), Just(50), Just(i64::MAX)]),
        (before, after) in (prop_oneof![Just(0.05), Just(0.2)], prop_oneof![Just(0.04), Just(0.1)]),
    ) {
        let source = traffic(bad);
        let spec = |limit: f64| {
            let check = Check::ratio("errors", r#"all_total{code="500"}"#, "all_total").below(limit);
            // Never passes, so that the gate goes on unless it fails.
            let idle = Check::volume("idle", "all_total").at_least(1e6);
            GateSpec::builder("g").check(check).check(idle).health(false).build().unwrap()
        };
        let gate = looked(spec(before), &source, change);
        prop_assume!(!gate.report().settled);
        let mut changed = NativeGate::resume_changed(spec(after), gate.state(), at(change)).unwrap();
        let mut fresh = NativeGate::new(spec(after));
        fresh.start(at(change));
        changed.tick_on(at(change), &source).unwrap();
        fresh.tick_on(at(change), &source).unwrap();
        for now in (change + 10..1_950).step_by(10) {
            changed.tick_on(at(now), &source).unwrap();
            fresh.tick_on(at(now), &source).unwrap();
            if fresh.standing.settled || changed.standing.settled { break }
            prop_assert_eq!(&changed.checks[0].tally, &fresh.checks[0].tally);
            prop_assert_eq!(&changed.checks[0].decision, &fresh.checks[0].decision);
        }
        prop_assert_eq!(changed.report().verdict, fresh.report().verdict);
    }
}
