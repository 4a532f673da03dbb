use proptest::prelude::*;

use super::*;
use crate::gate::spec::{Check, GateSpec};

const ALPHAS: Alphas = Alphas { pass: 0.05, fail: 0.05 };

fn spec(check: Check) -> CheckSpec {
    GateSpec::builder("g").check(check).build().unwrap().checks.remove(0)
}

fn ratio() -> CheckSpec {
    spec(Check::ratio("errors", "bad", "all").below(0.05))
}

fn p95() -> CheckSpec {
    spec(Check::quantile("p95", "t_bucket", 0.95).below(1000.0))
}

fn seen(seconds: i64) -> Observation {
    Observation { series: 1, until: Timestamp::from_secs(seconds), ..Observation::default() }
}

fn tally(fewest: f64, most: f64, trials: f64) -> Tally {
    Tally { fewest, most, trials, ..Tally::default() }
}

fn judged(check: &CheckSpec, tally: &Tally, observation: &Observation) -> CheckReport {
    judge(check, tally, observation, Timestamp::from_secs(0), &mut None, ALPHAS)
}

fn outcome(check: &CheckSpec, tally: &Tally) -> (Verdict, &'static str) {
    let report = judged(check, tally, &seen(100));
    (report.verdict, report.reasons[0].code())
}

#[test]
fn counts_decide_at_the_values_of_the_tables() {
    let check = ratio();
    assert_eq!(outcome(&check, &tally(0.0, 0.0, 74.0)), (Verdict::Pass, "below-threshold"));
    assert_eq!(outcome(&check, &tally(0.0, 0.0, 73.0)), (Verdict::Inconclusive, "not-enough-requests"));
    assert_eq!(outcome(&check, &tally(3.0, 3.0, 3.0)), (Verdict::Fail, "above-threshold"));
    assert_eq!(outcome(&check, &tally(3.0, 3.0, 60.0)), (Verdict::Inconclusive, "interval-straddles"));
    assert_eq!(outcome(&check, &tally(0.0, 0.0, 0.0)), (Verdict::Inconclusive, "zero-denominator"));
    assert_eq!(
        outcome(&check, &tally(9.0, 9.0, 8.0)),
        (Verdict::Inconclusive, "numerator-exceeds-denominator")
    );
    // More good requests than requests.
    assert_eq!(
        outcome(&check, &tally(-1.0, -1.0, 80.0)),
        (Verdict::Inconclusive, "numerator-exceeds-denominator")
    );
}

#[test]
fn what_is_missing_is_told_with_the_time_it_takes() {
    let report = judged(&ratio(), &tally(0.0, 0.0, 40.0), &seen(100));
    assert_eq!(
        report.reasons[0].text,
        "40 of 74 requests needed, 34 more if none is bad, about 85 s at this rate"
    );
}

#[test]
fn a_value_that_counts_nothing_keeps_the_check_open_for_good() {
    let tally = Tally { invalid: Some("NaN".to_owned()), ..tally(0.0, 0.0, 500.0) };
    assert_eq!(outcome(&ratio(), &tally), (Verdict::Inconclusive, "not-a-number"));
}

#[test]
fn a_threshold_inside_a_bucket_decides_only_where_both_ends_agree() {
    let check = p95();
    assert_eq!(outcome(&check, &tally(0.0, 40.0, 100.0)), (Verdict::Inconclusive, "bucket-too-coarse"));
    // The most that is possible is below the limit, and too much to pass.
    assert_eq!(outcome(&check, &tally(0.0, 4.0, 100.0)), (Verdict::Inconclusive, "bucket-too-coarse"));
    assert_eq!(outcome(&check, &tally(0.0, 0.0, 100.0)).0, Verdict::Pass);
    assert_eq!(outcome(&check, &tally(30.0, 40.0, 100.0)).0, Verdict::Fail);
    let unreachable = Tally { unreachable: true, bounds: vec![(500.0, 60.0)], ..tally(0.0, 40.0, 100.0) };
    assert_eq!(outcome(&check, &unreachable), (Verdict::Inconclusive, "threshold-unreachable"));
}

#[test]
fn ended_series_may_fail_and_never_pass() {
    let stale = Finding::Stale {
        selector: "all".to_owned(),
        last: Timestamp::from_secs(50),
        age_seconds: 50.0,
        ended: true,
    };
    let ended = Observation { obstacle: Some(stale), ..seen(100) };
    let mut latched = None;
    let report =
        judge(&ratio(), &tally(0.0, 0.0, 500.0), &ended, Timestamp::from_secs(0), &mut latched, ALPHAS);
    assert_eq!((report.verdict, latched), (Verdict::Inconclusive, None));
    assert_eq!(judged(&ratio(), &tally(50.0, 50.0, 100.0), &ended).verdict, Verdict::Fail);
}

#[test]
fn a_failure_stands_and_a_pass_yields_to_a_failure_only() {
    let mut latched = None;
    let mut step = |tally: &Tally| {
        judge(&ratio(), tally, &seen(100), Timestamp::from_secs(0), &mut latched, ALPHAS).verdict
    };
    assert_eq!(step(&tally(0.0, 0.0, 80.0)), Verdict::Pass);
    assert_eq!(step(&tally(4.0, 4.0, 90.0)), Verdict::Pass);
    assert_eq!(step(&tally(30.0, 30.0, 120.0)), Verdict::Fail);
    assert_eq!(step(&tally(30.0, 30.0, 9_000.0)), Verdict::Fail);
}

#[test]
fn each_side_has_its_own_error_probability() {
    let verdict = |pass, fail, tally: &Tally| {
        judge(&ratio(), tally, &seen(100), Timestamp::from_secs(0), &mut None, Alphas { pass, fail }).verdict
    };
    let (clean, bad) = (tally(0.0, 0.0, 80.0), tally(3.0, 3.0, 3.0));
    assert_eq!(
        (verdict(0.05, 0.001, &clean), verdict(0.05, 0.001, &bad)),
        (Verdict::Pass, Verdict::Inconclusive)
    );
    assert_eq!(
        (verdict(0.01, 0.05, &clean), verdict(0.01, 0.05, &bad)),
        (Verdict::Inconclusive, Verdict::Fail)
    );
}

#[test]
fn a_pass_waits_while_the_ratio_is_beyond_the_threshold() {
    // A check that had passed early told "20 of 275 failed: below the limit of 5 %", and the gate passed on it.
    let mut latched = None;
    let mut step = |tally: &Tally| {
        let report = judge(&ratio(), tally, &seen(100), Timestamp::from_secs(0), &mut latched, ALPHAS);
        (report.verdict, report.reasons[0].code())
    };
    assert_eq!(step(&tally(0.0, 0.0, 180.0)), (Verdict::Pass, "below-threshold"));
    assert_eq!(step(&tally(20.0, 20.0, 275.0)), (Verdict::Inconclusive, "interval-straddles"));
    assert_eq!(step(&tally(20.0, 20.0, 400.0)), (Verdict::Inconclusive, "interval-straddles"));
    assert_eq!(step(&tally(20.0, 20.0, 401.0)), (Verdict::Pass, "below-threshold"));
}

#[test]
fn a_volume_is_a_fact() {
    let check = spec(Check::volume("traffic", "all").at_least(0.05));
    assert_eq!(outcome(&check, &tally(0.0, 0.0, 5.0)), (Verdict::Pass, "enough-traffic"));
    assert_eq!(outcome(&check, &tally(0.0, 0.0, 4.0)), (Verdict::Inconclusive, "not-enough-requests"));
    assert_eq!(outcome(&check, &tally(0.0, 0.0, 0.0)), (Verdict::Inconclusive, "no-traffic"));
    assert_eq!(judged(&check, &tally(0.0, 0.0, 0.0), &seen(0)).reasons[0].code(), "settling");
    // NaN is not less than what is needed, so it was enough.
    assert_eq!(outcome(&check, &tally(0.0, 0.0, f64::NAN)), (Verdict::Inconclusive, "no-traffic"));
}

proptest! {
    /// Whatever the counts, judging answers, the same way twice, and never passes at or beyond the threshold.
    #[test]
    fn judging_is_total_and_never_passes_a_ratio_at_the_threshold(
        fewest in prop::num::f64::ANY, most in prop::num::f64::ANY, trials in prop::num::f64::ANY, seconds in any::<i64>(),
    ) {
        let check = p95();
        let tally = tally(fewest, most, trials);
        let (first, second) = (judged(&check, &tally, &seen(seconds)), judged(&check, &tally, &seen(seconds)));
        prop_assert_eq!(first.reasons[0].code(), second.reasons[0].code());
        prop_assert_eq!(first.verdict, second.verdict);
        if first.verdict == Verdict::Pass {
            prop_assert!(most / trials < 0.05 && most >= 0.0);
        }
    }

    #[test]
    fn a_pass_needs_a_ratio_below_the_threshold(events in 0_u32..200, trials in 0_u32..2_000) {
        let (events, trials) = (f64::from(events), f64::from(trials));
        let (verdict, _) = outcome(&ratio(), &tally(events, events, trials));
        prop_assert!(verdict != Verdict::Pass || events < 0.05 * trials);
        prop_assert!(verdict != Verdict::Fail || events > 0.05 * trials);
    }
}

#[test]
fn between_the_thresholds_of_a_band_nothing_is_decided() {
    let band = spec(Check::ratio("errors", "bad", "all").below(0.02).fails_beyond(0.2));
    assert_eq!(outcome(&band, &tally(100.0, 100.0, 1000.0)).0, Verdict::Inconclusive);
    assert_eq!(outcome(&band, &tally(0.0, 0.0, 500.0)).0, Verdict::Pass);
    assert_eq!(outcome(&band, &tally(500.0, 500.0, 1000.0)), (Verdict::Fail, "above-threshold"));
    let good = spec(Check::ratio("success", "good", "all").above(0.98).fails_beyond(0.8));
    assert_eq!(outcome(&good, &tally(100.0, 100.0, 1000.0)).0, Verdict::Inconclusive);
    assert_eq!(outcome(&good, &tally(500.0, 500.0, 1000.0)).0, Verdict::Fail);
    for wrong in [
        Check::ratio("r", "bad", "all").below(0.05).fails_beyond(0.01),
        Check::ratio("r", "good", "all").above(0.95).fails_beyond(0.99),
        Check::ratio("r", "bad", "all").below(0.05).fails_beyond(1.0),
        Check::ratio("r", "bad", "all").below(0.05).fails_beyond(f64::NAN),
        Check::volume("v", "all").at_least(1.0).fails_beyond(0.5),
    ] {
        assert!(GateSpec::builder("g").check(wrong).build().is_err());
    }
}

#[test]
fn a_threshold_that_no_share_exceeds_passes_nothing() {
    let mut check = ratio();
    let CheckKind::Ratio { threshold, fail_threshold, .. } = &mut check.kind else { panic!("{check:?}") };
    (*threshold, *fail_threshold) = (5.0, 5.0);
    assert_eq!(outcome(&check, &tally(0.0, 0.0, 10_000.0)), (Verdict::Inconclusive, "cannot-fail"));
}
