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
