//! Deadlines that nobody asked for, where counters change rarely.

use super::*;

/// One good request a second, told once a minute, and scraped every 10 s.
fn flushed() -> Fixture {
    let told = |time: i64| ((time - 780) / 60 * 60) as f64;
    let every = || (780..3_000).step_by(10);
    let labels = |code| [("__name__", "all_total"), ("code", code), ("instance", "i"), ("job", "j")];
    Fixture::default()
        .series(&labels("200"), every().map(|time| (time, told(time))))
        .series(&labels("500"), every().map(|time| (time, 0.0)))
}

/// As a template of the kind `initialDelay: 90s, interval: 10s, count: 5` becomes a gate.
fn spec(is_derived: bool) -> GateSpec {
    let builder = GateSpec::builder("g")
        .check(Check::ratio("errors", r#"all_total{code="500"}"#, "all_total").below(0.05))
        .warm_up_ms(90_000)
        .min_duration_ms(50_000);
    let builder =
        if is_derived { builder.derived_deadline_ms(140_000) } else { builder.deadline_ms(140_000) };
    builder.build().unwrap()
}

#[test]
fn a_derived_deadline_waits_for_two_changes_of_the_counters_and_one_that_was_asked_for_does_not() {
    let run = |is_derived: bool, source: &Fixture| {
        let mut gate = NativeGate::new(spec(is_derived));
        gate.start(at(1_000));
        while let Some(due) = gate.next_due() {
            gate.tick_on(due, source).unwrap();
            // Stopped and resumed at every look.
            gate = NativeGate::resume(spec(is_derived), gate.state()).unwrap();
        }
        gate.report()
    };
    let moved = |report: &Report| {
        report.reasons.iter().find_map(|reason| match reason.finding {
            Finding::DeadlineExtended { from_seconds, to_seconds, update_seconds } => {
                Some((from_seconds, to_seconds, update_seconds))
            }
            _ => None,
        })
    };
    let derived = run(true, &flushed());
    assert_eq!(derived.verdict, Verdict::Pass, "{derived}");
    assert_eq!(moved(&derived), Some((140.0, 220.0, 60.0)), "{derived}");
    assert!(derived.at > Some(at(1_140)) && derived.at <= Some(at(1_220)), "{derived}");

    let asked = run(false, &flushed());
    assert_eq!((asked.verdict, asked.at, moved(&asked)), (Verdict::Inconclusive, Some(at(1_140)), None));

    // Counters that change with every scrape leave the deadline where it is, and so does silence.
    let steady = run(true, &traffic(20));
    assert_eq!((steady.at, moved(&steady)), (Some(at(1_140)), None), "{steady}");
    let silent = run(true, &Fixture::default());
    assert_eq!((silent.verdict, silent.at), (Verdict::Inconclusive, Some(at(1_140))), "{silent}");
}
