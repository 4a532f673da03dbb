//! Watching on after a pass.

use super::*;
use crate::gate::report::Evidence;

const END: i64 = 8_000;

/// Ten requests in ten seconds of a target, all good up to an instant and then two of five failing.
fn target(fixture: Fixture, instance: &str, turns: i64) -> Fixture {
    let bad = |time: i64| 4 * (time - turns).max(0) / 10;
    let every = || (990..END).step_by(10);
    let labels = |code| {
        [("__name__", "all_total"), ("code", code), ("instance", instance), ("pod", instance), ("job", "j")]
    };
    fixture
        .series(&labels("200"), every().map(|time| (time, (time.max(1_000) - 1_000 - bad(time)) as f64)))
        .series(&labels("500"), every().map(|time| (time, bad(time) as f64)))
}

pub(super) fn turning(turns: i64) -> Fixture {
    target(Fixture::default(), "i", turns)
}

fn watched() -> NativeGate {
    let mut gate = NativeGate::new(spec_that_watches(true));
    gate.start(at(1_000));
    gate
}

/// Ticks when due up to an instant, or to the end of the gate.
fn run_to(gate: &mut NativeGate, until: i64, source: &dyn Source) -> Verdict {
    while let Some(due) = gate.next_due().filter(|due| *due <= at(until)) {
        gate.tick_on(due, source).unwrap();
    }
    gate.report().verdict
}

fn codes(gate: &NativeGate) -> Vec<&'static str> {
    gate.report().reasons.iter().map(Reason::code).collect()
}

#[test]
fn a_canary_that_turns_bad_after_the_pass_fails_soon_and_the_report_says_since_when() {
    let turns = 6_000;
    let source = turning(turns);
    let mut gate = watched();
    assert_eq!(run_to(&mut gate, turns, &source), Verdict::Pass);
    let report = gate.report();
    assert!(!report.settled && report.next_due == Some(at(turns + 10)), "{report}");
    assert!(codes(&gate).contains(&"watching"));
    assert!(report.to_string().starts_with("gate g: pass so far"), "{report}");

    assert_eq!(run_to(&mut gate, END, &source), Verdict::Fail);
    let report = gate.report();
    let at_once = report.at.unwrap();
    assert!(report.settled && at_once <= at(turns + 100), "{report}");
    let Finding::ChangeDetected { since, events, trials, ratio, .. } = &report.reasons[0].finding else {
        panic!("{report}")
    };
    assert!(*since >= at(turns - 10) && *since <= at(turns + 10), "{since}");
    assert!(*ratio > 0.3 && (events / trials - ratio).abs() < 1e-12);
    // All requests together are far below the limit: only a look at the newest finds it.
    let Evidence::Ratio { events, trials, .. } = report.checks[1].evidence else { panic!("{report}") };
    assert!(events / trials < 0.02);
    assert!(report.because().contains("it had passed, and "), "{}", report.because());

    let mut blind = NativeGate::new(spec());
    blind.start(at(1_000));
    assert_eq!(run_to(&mut blind, END, &source), Verdict::Pass);
    assert!(
        blind.report().settled && blind.report().at < Some(at(1_200)),
        "one that does not watch ends with its pass"
    );
}

#[test]
fn a_canary_that_stays_good_passes_however_long_it_is_watched() {
    let mut gate = watched();
    assert_eq!(run_to(&mut gate, END - 100, &turning(END)), Verdict::Pass);
    assert!(!gate.report().settled);
    let last = gate.report().at;
    let tick = gate.terminate(at(END));
    assert!(tick.settled && tick.changed && !tick.measured && tick.next_due.is_none());
    assert_eq!((tick.verdict, gate.report().at), (Verdict::Pass, last));
    let ended = gate.state();
    assert!(!gate.tick_on(at(END + 10), &turning(1_000)).unwrap().measured);
    assert!(!gate.terminate(at(END + 10)).changed);
    assert_eq!(gate.state(), ended);
}

#[test]
fn a_deadline_is_one_for_passing() {
    let mut gate = watched();
    // At the threshold nothing is settled.
    assert_eq!(run_to(&mut gate, END, &traffic(20)), Verdict::Inconclusive);
    assert_eq!((gate.report().settled, gate.report().at), (true, Some(at(1_600))));
    // A first pass at the deadline itself is one in time.
    let mut gate = watched();
    gate.tick_on(at(1_010), &turning(END)).unwrap();
    let tick = gate.tick_on(at(1_600), &turning(END)).unwrap();
    assert_eq!((tick.verdict, tick.settled), (Verdict::Pass, false));
    assert_eq!(tick.next_due, Some(at(1_610)));
}

#[test]
fn silence_after_a_pass_is_no_pass_while_it_lasts_and_no_failure() {
    let (silent_from, back) = (3_000, 4_000);
    // The same data without what lies between, as a source tells it at each instant.
    struct Silent(Fixture);
    impl Source for Silent {
        fn select(&self, request: &crate::source::SelectRequest<'_>) -> Result<crate::source::SeriesSet> {
            let until = request.window.until;
            let mut request = *request;
            if until >= at(3_000) && until < at(4_000) {
                request.window.until = at(3_000);
            }
            self.0.select(&request)
        }
    }
    let mut samples = Fixture::default();
    let every = || (990..END).step_by(10).filter(|time| !(3_000..4_000).contains(time));
    for (code, share) in [("200", 1.0), ("500", 0.0)] {
        let labels = [("__name__", "all_total"), ("code", code), ("instance", "i"), ("job", "j")];
        samples = samples.series(&labels, every().map(|time| (time, share * (time - 990) as f64)));
    }
    let source = Silent(samples);
    let mut gate = watched();
    assert_eq!(run_to(&mut gate, silent_from, &source), Verdict::Pass);
    assert_eq!(run_to(&mut gate, silent_from + 200, &source), Verdict::Inconclusive);
    assert_eq!(codes(&gate)[0], "stale");
    assert!(!gate.report().settled);
    let mut ended = gate.clone();
    let tick = ended.terminate(at(silent_from + 201));
    assert_eq!((tick.verdict, tick.settled), (Verdict::Inconclusive, true));
    assert_eq!(codes(&ended).iter().filter(|code| **code == "watching").count(), 1);
    assert_eq!(run_to(&mut gate, back + 200, &source), Verdict::Pass);
    assert!(!gate.report().settled);
}

#[test]
fn a_source_that_stays_away_ends_the_watching_without_a_pass() {
    let source = turning(END);
    let mut gate = watched();
    assert_eq!(run_to(&mut gate, 2_000, &source), Verdict::Pass);
    let broken = source.clone().broken();
    let mut away = gate.clone();
    assert_eq!(run_to(&mut away, 2_030, &broken), Verdict::Inconclusive);
    assert!(!away.report().settled);
    assert_eq!(run_to(&mut away.clone(), 2_100, &source), Verdict::Pass);
    assert_eq!(run_to(&mut away, END, &broken), Verdict::Inconclusive);
    assert!(away.report().settled && codes(&away)[0] == "source-error");
}

#[test]
fn one_element_that_turns_bad_fails_its_check() {
    let spec = GateSpec::builder("g")
        .check(Check::ratio("errors", r#"all_total{code="500"}"#, "all_total").below(0.05).by(["pod"]))
        .health(false)
        .watch(true)
        .build()
        .unwrap();
    let source = ["a", "b", "c", "d"].iter().fold(Fixture::default(), |all, pod| target(all, pod, END));
    let source = target(source, "e", 5_000);
    let mut gate = NativeGate::new(spec);
    gate.start(at(1_000));
    assert_eq!(run_to(&mut gate, 5_000, &source), Verdict::Pass);
    assert_eq!(run_to(&mut gate, 5_200, &source), Verdict::Fail);
    let report = gate.report();
    assert_eq!(report.reasons[0].element.as_deref(), Some("pod=\"e\""), "{report}");
    assert_eq!(report.reasons[0].code(), "change-detected");
}

#[test]
fn a_canary_that_becomes_worse_than_its_baseline_fails() {
    let side =
        |pod: &str| (format!("all_total{{pod={pod:?},code=\"500\"}}"), format!("all_total{{pod={pod:?}}}"));
    let limits: [fn(Check) -> Check; 2] =
        [|check| check.within_factor(1.5), |check| check.within_difference(0.05)];
    let spec = |limit: fn(Check) -> Check, once: bool| {
        GateSpec::builder("g")
            .check(limit(Check::comparison("versus", side("a"), side("b"))))
            .health(false)
            .deadline_ms(1_800_000)
            .looks_once(once)
            .watch(true)
            .build()
            .unwrap()
    };
    // The baseline fails one request in ten, the canary one in twenty, and two in five later.
    let source =
        [("a", 20, 6_000), ("b", 10, END)].iter().fold(Fixture::default(), |all, (pod, one_in, turns)| {
            let bad = |time: i64| (time - 990) / one_in + 4 * (time - turns).max(0) / 10;
            let every = || (990..END).step_by(10);
            let labels = |code| {
                [("__name__", "all_total"), ("code", code), ("instance", *pod), ("pod", *pod), ("job", "j")]
            };
            all.series(&labels("200"), every().map(|time| (time, (time - 990 - bad(time)) as f64)))
                .series(&labels("500"), every().map(|time| (time, bad(time) as f64)))
        });
    for (limit, once) in limits.into_iter().flat_map(|limit| [(limit, false), (limit, true)]) {
        let mut gate = NativeGate::new(spec(limit, once));
        gate.start(at(1_000));
        assert_eq!(run_to(&mut gate, 6_000, &source), Verdict::Pass, "{}", gate.report());
        assert_eq!(run_to(&mut gate, 6_300, &source), Verdict::Fail, "{}", gate.report());
        let Finding::WorseThanBaseline(counts) = &gate.report().reasons[0].finding else { panic!() };
        assert!(counts.events / counts.trials > 0.3 && counts.trials < 400.0, "{counts:?}");
    }
}
