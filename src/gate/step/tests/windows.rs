//! Gates that fail by the windows of a burn rate.

use super::*;
use crate::gate::report::{CheckReport, Evidence};
use crate::gate::spec::BurnRateWindows;

const PAIRS: [BurnRateWindows; 2] =
    [BurnRateWindows::new(4.0, 600_000, 60_000), BurnRateWindows::new(2.0, 3_600_000, 300_000)];

/// An objective of 95 % over these pairs.
fn gate(pairs: &[BurnRateWindows], options: fn(GateSpecBuilder) -> GateSpecBuilder) -> GateSpec {
    let check = Check::burn_rate("budget", r#"all_total{code="500"}"#, "all_total", 0.95)
        .below(1.0)
        .windows(pairs.iter().copied());
    options(GateSpec::builder("g").check(check)).build().unwrap()
}

/// Ten requests a second from 1,000 s on, scraped every 10 s, of which a share fails that depends on the second.
fn burning(share: fn(i64) -> f64) -> Fixture {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    let mut counts = (0.0, 0.0);
    for second in (990..6_000).step_by(10) {
        if second > 1_000 {
            let failed = (100.0 * share(second - 1_000)).round();
            counts = (counts.0 + 100.0 - failed, counts.1 + failed);
        }
        good.push((second, counts.0));
        bad.push((second, counts.1));
    }
    let labels = |code| [("__name__", "all_total"), ("code", code), ("instance", "i"), ("job", "j")];
    Fixture::default().series(&labels("200"), good).series(&labels("500"), bad)
}

/// The end of a run that is stopped and resumed at every look: its age in seconds, and the check.
fn end(spec: impl Fn() -> GateSpec, source: &Fixture, until: i64) -> (i64, CheckReport) {
    let mut gate = NativeGate::new(spec());
    gate.start(at(1_000));
    let mut age = 0;
    while let Some(due) = gate.next_due().filter(|due| *due <= at(1_000 + until)) {
        gate.tick_on(due, source).unwrap();
        gate = NativeGate::resume(spec(), gate.state()).unwrap();
        age = due.as_millis() / 1_000 - 1_000;
    }
    let report = gate.report();
    (age, report.checks.into_iter().next().unwrap())
}

fn plain(builder: GateSpecBuilder) -> GateSpecBuilder {
    builder.deadline_ms(3_000_000)
}

fn watching(builder: GateSpecBuilder) -> GateSpecBuilder {
    builder.watch(true)
}

fn once(builder: GateSpecBuilder) -> GateSpecBuilder {
    builder.deadline_ms(3_000_000).looks_once(true)
}

#[test]
fn a_canary_within_its_objective_passes_and_one_that_burns_fails_with_both_windows() {
    let (_, good) = end(|| gate(&PAIRS, plain), &burning(|_| 0.01), 3_000);
    assert_eq!((good.verdict, good.reasons[0].code()), (Verdict::Pass, "below-threshold"));
    let (age, bad) = end(|| gate(&PAIRS, plain), &burning(|_| 0.5), 3_000);
    assert_eq!((age, bad.verdict), (20, Verdict::Fail));
    assert_eq!(
        bad.reasons[0].text,
        "50 of 100 requests failed in 10 s, a burn rate of 10; the limit is 4 times the budget of 5 %"
    );
    let Evidence::Ratio { windows, .. } = bad.evidence else { panic!() };
    assert_eq!((windows.len(), windows[0].long, windows[1].factor), (2, windows[0].short, 2.0));
    assert!(windows[0].long.ln_e.unwrap() >= windows[0].long.ln_e_needed);
}

#[test]
fn between_the_objective_and_the_smallest_factor_nothing_is_decided() {
    let (_, report) = end(|| gate(&PAIRS, plain), &burning(|_| 0.07), 3_000);
    assert_eq!((report.verdict, report.reasons[0].code()), (Verdict::Inconclusive, "interval-straddles"));
    // One bad request of the first ten is a burn rate of 2 and no evidence of one.
    let (_, report) = end(|| gate(&PAIRS, plain), &burning(|second| f64::from(second == 10) * 0.1), 20);
    assert_eq!(report.verdict, Verdict::Inconclusive);
}

#[test]
fn what_is_over_is_forgiven_and_what_goes_on_is_not() {
    // A minute in which half of the requests fail: of ten minutes that is a burn rate of 1.
    let burst = |second: i64| if (1_201..=1_260).contains(&second) { 0.5 } else { 0.01 };
    let pairs = &PAIRS[..1];
    let (age, report) = end(|| gate(&PAIRS[..1], watching), &burning(burst), 4_000);
    assert_eq!((age, report.verdict), (4_000, Verdict::Pass), "{report} {pairs:?}");
    let from_then_on = |second: i64| if second > 1_200 { 0.5 } else { 0.01 };
    let (age, report) = end(|| gate(&PAIRS[..1], watching), &burning(from_then_on), 4_000);
    assert_eq!((report.verdict, report.reasons[0].code()), (Verdict::Fail, "burn-rate-exceeded"));
    // Four budgets of ten minutes are spent after four of them.
    assert!((1_440..=1_500).contains(&age), "{age}");
    let Finding::BurnRateExceeded(rates) = &report.reasons[0].finding else { panic!("{report}") };
    assert!(rates.short.seconds <= 60.0 && rates.long.seconds <= 600.0 && rates.long.seconds > 490.0);
}

#[test]
fn windows_fail_before_the_one_look_that_passes() {
    let (age, report) = end(|| gate(&PAIRS, once), &burning(|_| 0.5), 3_000);
    assert_eq!((age, report.verdict), (20, Verdict::Fail));
    let (age, report) = end(|| gate(&PAIRS, once), &burning(|_| 0.01), 3_000);
    assert_eq!((age, report.verdict), (3_000, Verdict::Pass));
}

#[test]
fn windows_wait_for_the_least_requests_and_allow_for_bursts() {
    let least = |builder: GateSpecBuilder| plain(builder).min_requests(1_000);
    assert_eq!(end(|| gate(&PAIRS, least), &burning(|_| 0.5), 3_000).0, 110);
    let bursts = |builder: GateSpecBuilder| plain(builder).dispersion_factor(10.0);
    let (age, report) = end(|| gate(&PAIRS, bursts), &burning(|_| 0.5), 3_000);
    assert!(age > 20 && report.verdict == Verdict::Fail, "{age} {report}");
}

#[test]
fn a_state_holds_few_starts_of_windows_however_long_a_gate_is_watched() {
    let mut gate = NativeGate::new(gate(&BurnRateWindows::WORKBOOK, watching));
    gate.start(at(1_000));
    let source = burning(|_| 0.001);
    while let Some(due) = gate.next_due().filter(|due| *due <= at(5_900)) {
        gate.tick_on(due, &source).unwrap();
    }
    let starts =
        gate.checks[0].tally.windows.iter().map(|starts| format!("{starts:?}").matches("Start {").count());
    let starts: Vec<usize> = starts.collect();
    assert!(starts.len() == 5 && starts.iter().all(|starts| (1..=8).contains(starts)), "{starts:?}");
}

#[test]
fn errors_that_are_scraped_before_their_requests_burn_no_budget_that_is_not_there() {
    // One request a minute, one of fifty fails, and each error is scraped two scrapes before its request.
    let every = || (990..12_000).step_by(10);
    let labels = |name| [("__name__", name), ("instance", "i"), ("job", "j")];
    let source = Fixture::default()
        .series(&labels("all_total"), every().map(|s| (s, ((s - 1_000_i64).max(0) / 60) as f64)))
        .series(&labels("bad_total"), every().map(|s| (s, ((s - 1_000_i64 + 20).max(0) / 3_000) as f64)));
    let check = Check::burn_rate("budget", "bad_total", "all_total", 0.95).below(1.0).windows(PAIRS);
    let spec = GateSpec::builder("g").check(check).health(false).deadline_ms(10_000_000).build().unwrap();
    let mut gate = NativeGate::new(spec);
    gate.start(at(1_000));
    assert_ne!(run(&mut gate, &source), Verdict::Fail, "{}", gate.report());
}

#[test]
fn windows_outlast_a_gap_of_the_scraper_and_a_restart_of_the_canary() {
    // All good for half an hour, away for ten minutes, then started anew, and half of the requests fail.
    let mut counts = (0.0, 0.0);
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for second in (990..6_000).step_by(10) {
        if second == 3_400 {
            counts = (0.0, 0.0);
        }
        let failed = if second > 3_400 { 50.0 } else { 0.0 };
        if second > 1_000 {
            counts = (counts.0 + 100.0 - failed, counts.1 + failed);
        }
        if !(2_800..3_400).contains(&second) {
            good.push((second, counts.0));
            bad.push((second, counts.1));
        }
    }
    let labels = |code| [("__name__", "all_total"), ("code", code), ("instance", "i"), ("job", "j")];
    let source = Fixture::default().series(&labels("200"), good).series(&labels("500"), bad);
    let (age, check) = end(|| gate(&PAIRS, |builder| builder.watch(true).health(false)), &source, 4_900);
    assert_eq!(check.verdict, Verdict::Fail);
    assert!((2_400..2_700).contains(&age), "{age}");
}
