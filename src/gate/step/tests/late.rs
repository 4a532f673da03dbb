//! Samples that come late, or do not come any more without a marker that says so.

use super::*;

type Look = (i64, NativeGate);

/// Looks when due, at what has come by then, until the gate is settled or an instant has come. What it said at each look.
fn follow(spec: GateSpec, until: i64, known: impl Fn(i64) -> Fixture) -> Vec<Look> {
    let mut gate = NativeGate::new(spec);
    gate.start(at(1_000));
    let mut looks = Vec::new();
    while let Some(due) = gate.next_due().filter(|due| *due <= at(until)) {
        let now = due.as_millis() / 1_000;
        gate.tick_on(due, &known(now)).unwrap();
        looks.push((now, gate.clone()));
    }
    looks
}

/// When it passes first.
fn passes(looks: &[Look]) -> Option<i64> {
    looks.iter().find(|(_, gate)| gate.report().verdict == Verdict::Pass).map(|(now, _)| *now)
}

fn fails(looks: &[Look]) -> bool {
    looks.last().is_some_and(|(_, gate)| gate.report().verdict == Verdict::Fail)
}

fn labels<'a>(name: &'a str, pod: &'a str, more: (&'a str, &'a str)) -> [(&'a str, &'a str); 5] {
    [("__name__", name), ("pod", pod), ("instance", pod), ("job", "j"), more]
}

/// Ten requests a second of two pods of the canary and one of the baseline, slow and failing ones among them as half of those of pod `b`
/// from `turns` on; of pod `a` nothing comes any more from 1,050 on.
fn half_gone(now: i64, turns: i64) -> Fixture {
    let every = |pod: &str| (990..=now.min(if pod == "a" { 1_050 } else { now })).step_by(10);
    ["a", "b", "base"].into_iter().fold(Fixture::default(), |source, pod| {
        let turns = if pod == "b" { turns } else { i64::MAX };
        let bad = move |time: i64| (5 * time.saturating_sub(turns).max(0)) as f64;
        let all = |time: i64| (10 * (time - 990)) as f64;
        source
            .series(
                &labels("all_total", pod, ("code", "200")),
                every(pod).map(|time| (time, all(time) - bad(time))),
            )
            .series(&labels("all_total", pod, ("code", "500")), every(pod).map(|time| (time, bad(time))))
            .series(
                &labels("seconds_bucket", pod, ("le", "0.5")),
                every(pod).map(|time| (time, all(time) - bad(time))),
            )
            .series(&labels("seconds_bucket", pod, ("le", "+Inf")), every(pod).map(|time| (time, all(time))))
    })
}

#[test]
fn no_gate_passes_over_failures_that_are_known_because_another_series_is_waited_for() {
    let side = |pod: &str| {
        (format!("all_total{{pod{pod}\"base\",code=\"500\"}}"), format!("all_total{{pod{pod}\"base\"}}"))
    };
    let kinds = [
        Check::ratio("errors", r#"all_total{code="500"}"#, "all_total").below(0.05),
        Check::comparison("errors", side("!="), side("=")).within_difference(0.05),
        Check::quantile("slow", "seconds_bucket", 0.95).below(0.5),
    ];
    for kind in kinds {
        let spec = || {
            let gate = GateSpec::builder("g").check(kind.clone()).min_duration_ms(100_000).health(false);
            gate.deadline_ms(600_000).build().unwrap()
        };
        let looks = follow(spec(), 1_700, |now| half_gone(now, 1_050));
        assert_eq!(passes(&looks), None, "{kind:?}");
        assert!(fails(&looks), "{kind:?}");
        // A pod that is gone alone keeps nothing back.
        let looks = follow(spec(), 1_700, |now| half_gone(now, i64::MAX));
        assert_eq!(passes(&looks), Some(1_100), "{kind:?}");
    }
}

#[test]
fn no_gate_passes_over_failures_that_are_known_because_other_failures_are_waited_for() {
    // Failures of one kind ended without a marker, those of another go on.
    let known = |now: i64| {
        let every = |until: i64| (990..=now.min(until)).step_by(10);
        let all = |code| labels("all_total", "a", ("code", code));
        let counter = |time: i64| (10 * (time - 990)) as f64;
        Fixture::default()
            .series(&all("200"), every(now).map(|time| (time, counter(time.min(1_100)))))
            .series(&all("500"), every(1_100).map(|time| (time, 1.0)))
            .series(&all("503"), every(now).map(|time| (time, counter(time.max(1_100)) - counter(1_100))))
    };
    let check = Check::ratio("errors", r#"all_total{code=~"5.."}"#, "all_total").below(0.05);
    let spec = GateSpec::builder("g").check(check).min_duration_ms(250_000).health(false);
    let looks = follow(spec.deadline_ms(900_000).build().unwrap(), 1_900, known);
    assert_eq!(passes(&looks), None);
    assert!(fails(&looks));
}

#[test]
fn an_element_whose_samples_always_come_late_is_judged() {
    // A sample a minute; all of pod `b`, every third request of which fails, come 100 s late.
    let known = |now: i64| {
        [("a", 0, 0.0), ("b", 100, 1.0)].into_iter().fold(Fixture::default(), |source, (pod, late, share)| {
            let every = || (940..).step_by(60).take_while(move |time| time + late <= now);
            let counter = |time: i64, each: f64| (time - 940) as f64 * each;
            source
                .series(
                    &labels("all_total", pod, ("code", "200")),
                    every().map(|time| (time, counter(time, 2.0))),
                )
                .series(
                    &labels("all_total", pod, ("code", "500")),
                    every().map(|time| (time, counter(time, share))),
                )
        })
    };
    let check = Check::ratio("errors", r#"all_total{code="500"}"#, "all_total").below(0.05).by(["pod"]);
    let spec = GateSpec::builder("g").check(check).min_duration_ms(300_000).health(false);
    let looks = follow(spec.deadline_ms(1_200_000).build().unwrap(), 2_300, known);
    assert_eq!(passes(&looks), None);
    assert!(fails(&looks));
}

#[test]
fn a_good_canary_passes_although_pods_go_without_a_marker_or_some_are_scraped_rarely() {
    let pod = |source: Fixture, pod: &str, (from, until, every): (i64, i64, usize), now: i64| {
        let times = move || (from..=until.min(now)).step_by(every);
        let counter = |each: i64| times().map(move |time| (time, (each * (time - from)) as f64));
        source
            .series(&labels("all_total", pod, ("code", "200")), counter(10))
            .series(&labels("all_total", pod, ("code", "500")), counter(0))
    };
    let check = || Check::ratio("errors", r#"all_total{code="500"}"#, "all_total").below(0.05);
    let spec = || {
        let gate = GateSpec::builder("g").check(check()).min_duration_ms(100_000).health(false);
        gate.deadline_ms(600_000).build().unwrap()
    };
    // A new one every 20 s, each of which lives for 30 s.
    let short = |now: i64| {
        (0..60).filter(|number| 900 + 20 * number <= now).fold(Fixture::default(), |source, number| {
            let from = 900 + 20 * number;
            pod(source, &number.to_string(), (from, from + 30, 10), now)
        })
    };
    assert_eq!(passes(&follow(spec(), 1_700, short)), Some(1_100));
    for every in [60, 300] {
        let rare = |now: i64| {
            let source = pod(Fixture::default(), "a", (700, 9_000, every), now);
            ["b", "c", "d"].into_iter().fold(source, |source, name| pod(source, name, (900, 9_000, 10), now))
        };
        assert_eq!(passes(&follow(spec(), 1_700, rare)), Some(1_100), "{every}");
    }
}
