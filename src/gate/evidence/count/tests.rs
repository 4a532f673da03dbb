use crate::gate::fixture::Fixture;
use crate::gate::run::Gate;
use crate::gate::spec::{Check, GateSpec};
use crate::gate::verdict::Verdict;
use crate::model::Timestamp;

/// Looks every second at a counter that is scraped every 10 s and grows by `step` at 150 s.
fn looked(window_ms: i64, step: f64) -> Gate {
    let samples = (0..=300).step_by(10).map(|time| (time, if time < 150 { 0.0 } else { step }));
    let source = Fixture::default().series(&[("__name__", "restarts")], samples);
    let check = Check::count("restarts", "restarts", window_ms).at_most(2.0);
    let spec =
        GateSpec::builder("g").check(check).interval_ms(1_000).min_duration_ms(0).health(false).build();
    let mut gate = Gate::new(spec.unwrap());
    gate.start(Timestamp::from_secs(100));
    while let Some(due) = gate.next_due().filter(|due| *due <= Timestamp::from_secs(250)) {
        gate.tick(due, &source).unwrap();
    }
    gate
}

#[test]
fn a_window_that_holds_no_scrape_at_times_does_not_pass_for_it() {
    for (window_ms, verdict) in
        [(5_000, Verdict::Inconclusive), (19_000, Verdict::Inconclusive), (20_000, Verdict::Pass)]
    {
        let report = looked(window_ms, 0.0).report();
        assert_eq!(report.verdict, verdict, "{window_ms} ms: {report}");
        let told = report.checks[0].reasons[0].code() == "window-too-short";
        assert_eq!(told, verdict == Verdict::Inconclusive, "{report}");
    }
    // What it does hold has happened.
    assert_eq!(looked(5_000, 3.0).report().verdict, Verdict::Fail);
}
