use proptest::prelude::*;

use super::*;
use crate::gate::evidence::{Answer, Values};
use crate::gate::report::{CheckReport, Evidence};
use crate::gate::spec::{Check, GateSpec};
use crate::gate::stats::comparison::{Mixture, Pair};
use crate::gate::stats::difference::Difference;
use crate::model::{Loss, Lost};

const RULES: Rules = Rules {
    pass: 0.05,
    fail: 0.05,
    looks: None,
    dispersion: Dispersion::Independent,
    min_requests: 0.0,
    deciding: Deciding::Any,
    at_deadline: Deciding::Now,
};

/// Judges, and says what a report says.
fn judge(
    check: &CheckSpec,
    tally: &Tally,
    observation: &Observation,
    origin: Timestamp,
    decision: &mut Decision,
    rules: Rules,
) -> CheckReport {
    let judged = super::judge(check, tally, observation, origin, decision, rules);
    let seconds = Some(seconds(origin, observation.until));
    Shown { check, tally, judged: &judged, seconds, rules, traces: &[] }.report()
}

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
    judge(check, tally, observation, Timestamp::from_secs(0), &mut Decision::default(), RULES)
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
    let mut decision = Decision::default();
    let report =
        judge(&ratio(), &tally(0.0, 0.0, 500.0), &ended, Timestamp::from_secs(0), &mut decision, RULES);
    assert_eq!((report.verdict, decision.latched), (Verdict::Inconclusive, None));
    assert_eq!(judged(&ratio(), &tally(50.0, 50.0, 100.0), &ended).verdict, Verdict::Fail);
}

#[test]
fn a_failure_stands_and_a_pass_yields_to_a_failure_only() {
    let mut decision = Decision::default();
    let mut step = |tally: &Tally| {
        judge(&ratio(), tally, &seen(100), Timestamp::from_secs(0), &mut decision, RULES).verdict
    };
    assert_eq!(step(&tally(0.0, 0.0, 80.0)), Verdict::Pass);
    assert_eq!(step(&tally(4.0, 4.0, 90.0)), Verdict::Pass);
    assert_eq!(step(&tally(30.0, 30.0, 120.0)), Verdict::Fail);
    assert_eq!(step(&tally(30.0, 30.0, 9_000.0)), Verdict::Fail);
}

#[test]
fn each_side_has_its_own_error_probability() {
    let verdict = |pass, fail, tally: &Tally| {
        judge(
            &ratio(),
            tally,
            &seen(100),
            Timestamp::from_secs(0),
            &mut Decision::default(),
            Rules { pass, fail, ..RULES },
        )
        .verdict
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
    let mut decision = Decision::default();
    let mut step = |tally: &Tally| {
        let report = judge(&ratio(), tally, &seen(100), Timestamp::from_secs(0), &mut decision, RULES);
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

fn comparison(check: fn(Check, f64) -> Check, limit: f64) -> CheckSpec {
    spec(check(Check::comparison("versus", ("bad", "all"), ("bad", "all")), limit))
}

/// Counts of a canary and of a baseline, as one tick adds them.
fn beside(limit: Option<f64>, canary: (f64, f64), baseline: (f64, f64)) -> Tally {
    let counts =
        Pair { events: canary.0, trials: canary.1, baseline_events: baseline.0, baseline_trials: baseline.1 };
    let mixture = limit.map(|limit| {
        let mut mixture = Box::<Mixture>::default();
        mixture.add(counts, limit, limit);
        mixture
    });
    let mut difference = Box::<Difference>::default();
    difference.add(counts, 0.0, 0.0);
    Tally { baseline, mixture, difference: Some(difference), ..tally(canary.0, canary.0, canary.1) }
}

#[test]
fn a_canary_is_held_against_a_factor_of_its_baseline() {
    let check = comparison(Check::within_factor, 1.5);
    let told = |canary, baseline| outcome(&check, &beside(Some(1.5), canary, baseline));
    assert_eq!(told((5.0, 2_000.0), (100.0, 8_000.0)), (Verdict::Pass, "no-worse-than-baseline"));
    assert_eq!(told((100.0, 2_000.0), (100.0, 8_000.0)), (Verdict::Fail, "worse-than-baseline"));
    assert_eq!(told((2.0, 100.0), (10.0, 900.0)), (Verdict::Inconclusive, "comparison-undecided"));
    assert_eq!(told((0.0, 500.0), (0.0, 900.0)), (Verdict::Inconclusive, "comparison-undecided"));
    assert_eq!(told((0.0, 0.0), (10.0, 900.0)), (Verdict::Inconclusive, "no-traffic"));
    assert_eq!(told((5.0, 500.0), (0.0, 0.0)), (Verdict::Inconclusive, "baseline-no-traffic"));
    assert_eq!(told((5.0, 500.0), (9.0, 8.0)), (Verdict::Inconclusive, "numerator-exceeds-denominator"));
    let text =
        &judged(&check, &beside(Some(1.5), (100.0, 2_000.0), (100.0, 8_000.0)), &seen(100)).reasons[0].text;
    assert_eq!(
        text,
        "100 of 2000 requests failed (5 %), of the baseline 100 of 8000 (1.3 %); allowed are 1.5 times the baseline"
    );
}

#[test]
fn a_canary_is_held_against_a_difference_to_its_baseline() {
    let check = comparison(Check::within_difference, 0.01);
    // In ten spans that are alike.
    let spread = |limit: f64, canary: (f64, f64), baseline: (f64, f64)| {
        let mut difference = Box::<Difference>::default();
        let counts = Pair {
            events: canary.0,
            trials: canary.1,
            baseline_events: baseline.0,
            baseline_trials: baseline.1,
        };
        (0..10).for_each(|_| difference.add(counts.over(10.0), limit, limit));
        Tally { difference: Some(difference), ..beside(None, canary, baseline) }
    };
    let told = |canary, baseline| outcome(&check, &spread(0.01, canary, baseline));
    assert_eq!(told((20.0, 5_000.0), (20.0, 5_000.0)), (Verdict::Pass, "no-worse-than-baseline"));
    assert_eq!(told((300.0, 5_000.0), (20.0, 5_000.0)), (Verdict::Fail, "worse-than-baseline"));
    assert_eq!(told((0.0, 100.0), (0.0, 100.0)), (Verdict::Inconclusive, "comparison-undecided"));
    assert_eq!(told((15.0, 115.0), (0.0, 112.0)), (Verdict::Inconclusive, "comparison-undecided"));
    let report = judged(&check, &spread(0.01, (300.0, 5_000.0), (20.0, 5_000.0)), &seen(100));
    let Evidence::Comparison { ln_e_pass, ln_e_fail, .. } = report.evidence else { panic!("{report}") };
    assert!(ln_e_fail > Some(3.0) && ln_e_pass < Some(0.0), "{report}");
    // Everybody fails less while the canary gets more, and it is worse by 5 % all the time: sums tell of no difference.
    let mut difference = Box::<Difference>::default();
    let mut sums = Pair::default();
    for span in 0..40 {
        let progress = f64::from(span) / 39.0;
        let (ratio, trials) = (0.2 - 0.19 * progress, 200.0 + 1_600.0 * progress);
        let baseline_trials = 2_000.0 - trials;
        let (events, baseline_events) = ((ratio + 0.05) * trials, ratio * baseline_trials);
        let counts = Pair { events, trials, baseline_events, baseline_trials };
        difference.add(counts, 0.01, 0.01);
        sums = sums.plus(counts);
    }
    assert!(difference.ln_e_fail(1.0) > 20.0 && difference.ln_e_pass(1.0) < 0.0, "{difference:?}");
    let sums = beside(None, (sums.events, sums.trials), (sums.baseline_events, sums.baseline_trials));
    let hidden = Tally { difference: Some(difference), ..sums };
    assert_eq!(outcome(&check, &hidden), (Verdict::Inconclusive, "comparison-undecided"));
    // No share is larger than another by all of it: per cent and shares are mixed up.
    let all = comparison(Check::within_difference, 1.0);
    let good = spread(1.0, (0.0, 5_000.0), (0.0, 5_000.0));
    assert_eq!(outcome(&all, &good), (Verdict::Inconclusive, "cannot-fail"));
}

#[test]
fn a_count_fails_at_once_and_passes_when_its_window_is_full() {
    let check = spec(Check::count("panics", "panics", 60_000).at_most(10.0));
    let told = |events: f64, seconds| {
        let report = judged(&check, &tally(events, events, 0.0), &seen(seconds));
        (report.verdict, report.reasons[0].code())
    };
    assert_eq!(told(11.0, 5), (Verdict::Fail, "count-exceeded"));
    assert_eq!(told(10.0, 59), (Verdict::Inconclusive, "warming-up"));
    assert_eq!(told(10.0, 60), (Verdict::Pass, "count-within"));
    let band = spec(Check::count("panics", "panics", 60_000).at_most(10.0).fails_beyond(20.0));
    assert_eq!(outcome(&band, &tally(15.0, 15.0, 0.0)), (Verdict::Inconclusive, "condition-undecided"));
    // What has been too much once stays so, and silence is no small number.
    let mut decision = Decision::default();
    let mut look = |events, observation: &Observation| {
        judge(&check, &tally(events, events, 0.0), observation, Timestamp::from_secs(0), &mut decision, RULES)
            .verdict
    };
    let obstacle = Some(Finding::NoValue { query: String::new(), why: "gone".to_owned() });
    let silent = Observation { obstacle, ..seen(100) };
    assert_eq!(look(0.0, &silent), Verdict::Inconclusive);
    assert_eq!(look(11.0, &seen(100)), Verdict::Fail);
    assert_eq!(look(0.0, &seen(200)), Verdict::Fail);
}

#[test]
fn the_newest_value_passes_and_one_bad_value_fails() {
    let check = spec(Check::value("memory", "max(memory)").below(5.0));
    let at = Timestamp::from_secs(50);
    let told = |values: Values| outcome(&check, &Tally { values, ..Tally::default() });
    let newest = |answer: Answer| Values { newest: Some((at, answer)), ..Values::default() };
    assert_eq!(told(newest(Answer::Good("4".to_owned()))), (Verdict::Pass, "condition-met"));
    assert_eq!(
        told(newest(Answer::Inconclusive("6".to_owned()))),
        (Verdict::Inconclusive, "condition-undecided")
    );
    assert_eq!(told(newest(Answer::Missing("NaN".to_owned()))), (Verdict::Inconclusive, "no-value"));
    assert_eq!(told(Values::default()), (Verdict::Inconclusive, "settling"));
    let bad = Values { bad: Some((at, "9".to_owned())), ..newest(Answer::Good("4".to_owned())) };
    assert_eq!(told(bad), (Verdict::Fail, "condition-failed"));
    let report = judged(&check, &Tally::default(), &seen(100));
    assert!(report.reasons.iter().any(|reason| reason.code() == "no-error-guarantee"));
}

#[test]
fn a_comparison_and_a_value_do_not_pass_where_samples_may_be_missing() {
    let loss = Loss::new(Lost::TornEnd, Timestamp::from_secs(1), Timestamp::from_secs(2));
    let doubtful = Observation { losses: vec![loss], ..seen(100) };
    let check = comparison(Check::within_factor, 1.5);
    let good = beside(Some(1.5), (5.0, 2_000.0), (100.0, 8_000.0));
    assert_eq!(judged(&check, &good, &doubtful).verdict, Verdict::Inconclusive);
    let bad = beside(Some(1.5), (100.0, 2_000.0), (100.0, 8_000.0));
    assert_eq!(judged(&check, &bad, &doubtful).verdict, Verdict::Fail);
    let check = spec(Check::value("memory", "max(memory)").below(5.0));
    let newest = Some((Timestamp::from_secs(50), Answer::Good("4".to_owned())));
    let tally = Tally { values: Values { newest, ..Values::default() }, ..Tally::default() };
    assert_eq!(judged(&check, &tally, &doubtful).verdict, Verdict::Inconclusive);
}

#[test]
fn checks_that_can_fail_by_statistics_share_the_error_probability_and_the_false_alarms() {
    let ratio = |name: &str| Check::ratio(name, "bad", "all").below(0.05);
    let spec = GateSpec::builder("g")
        .check(ratio("a"))
        .check(ratio("b"))
        .check(ratio("trial").dry_run())
        .check(Check::volume("v", "all").at_least(1.0))
        .build()
        .unwrap();
    let rules = Rules::of(&spec, None);
    assert!((rules.fail - 0.025).abs() < 1e-12);
    assert_eq!(rules.looks, None);
    // A week of looks every ten seconds, for each of two.
    assert_eq!(Rules::of(&spec.watching(), None).looks, Some(2.0 * 60_480.0));
}

/// Looks at 20 requests each, after which so many were bad in all.
fn bursts(bad: impl Fn(u32) -> f64, looks: u32) -> Tally {
    let mut tally = Tally::default();
    for look in 0..looks {
        tally.most += bad(look);
        tally.trials += 20.0;
        tally.scatter.look(tally.most, tally.trials);
    }
    tally.fewest = tally.most;
    tally
}

#[test]
fn bursts_make_counts_worth_less_where_that_is_asked_for() {
    let upper = Rules { dispersion: Dispersion::Upper, ..RULES };
    let said = |tally: &Tally, rules| {
        let report =
            judge(&ratio(), tally, &seen(400), Timestamp::from_secs(0), &mut Decision::default(), rules);
        (report.verdict, report.reasons[0].code())
    };
    // One node answers all of a look's requests with errors: 5 of 200.
    let clumped = bursts(|look| if look % 20 == 3 { 10.0 } else { 0.0 }, 40);
    assert_eq!(said(&clumped, RULES), (Verdict::Pass, "below-threshold"));
    assert_eq!(said(&clumped, upper), (Verdict::Inconclusive, "interval-straddles"));
    let report = judged(&ratio(), &clumped, &seen(400));
    assert!(report.reasons.iter().any(|reason| reason.code() == "dispersion-high"), "{report}");
    let Evidence::Ratio { dispersion: Some(factor), .. } = report.evidence else { panic!("{report}") };
    assert!(factor > 5.0, "{factor}");
    // The same in good order.
    let even = bursts(|look| f64::from(look % 2), 40);
    assert_eq!(said(&even, upper), (Verdict::Pass, "below-threshold"));
    assert_eq!(said(&bursts(|_| 0.0, 19), upper), (Verdict::Inconclusive, "bursts-unknown"));
    assert_eq!(said(&bursts(|_| 0.0, 20), upper), (Verdict::Pass, "below-threshold"));
    assert_eq!(said(&bursts(|_| 20.0, 19), upper), (Verdict::Inconclusive, "bursts-unknown"));
    assert_eq!(said(&bursts(|_| 20.0, 20), upper), (Verdict::Fail, "above-threshold"));
    // A factor that is known asks for so many times the requests at once.
    let known = Rules { dispersion: Dispersion::Factor(3.0), ..RULES };
    assert_eq!(said(&tally(0.0, 0.0, 221.0), known), (Verdict::Inconclusive, "not-enough-requests"));
    assert_eq!(said(&tally(0.0, 0.0, 222.0), known), (Verdict::Pass, "below-threshold"));
    let report = judge(
        &ratio(),
        &tally(0.0, 0.0, 100.0),
        &seen(100),
        Timestamp::from_secs(0),
        &mut Decision::default(),
        known,
    );
    assert!(report.reasons[0].text.starts_with("100 of 222 requests needed"), "{report}");
}

#[test]
fn one_look_decides_by_exact_bounds_and_no_other_does() {
    let check = ratio();
    let at = |deciding, tally: &Tally, decision: &mut Decision| {
        let rules = Rules { deciding, ..RULES };
        let report = judge(&check, tally, &seen(100), Timestamp::from_secs(0), decision, rules);
        (report.verdict, report.reasons[0].code())
    };
    let before = Deciding::Once { remaining_seconds: 60.0 };
    let now = |tally: &Tally| at(Deciding::Now, tally, &mut Decision::default());
    for tally in [tally(0.0, 0.0, 5_000.0), tally(5_000.0, 5_000.0, 5_000.0)] {
        assert_eq!(at(before, &tally, &mut Decision::default()), (Verdict::Inconclusive, "decides-once"));
    }
    assert_eq!(now(&tally(0.0, 0.0, 59.0)), (Verdict::Pass, "below-threshold"));
    assert_eq!(now(&tally(0.0, 0.0, 58.0)), (Verdict::Inconclusive, "not-enough-requests"));
    assert_eq!(now(&tally(2.0, 2.0, 6.0)), (Verdict::Fail, "above-threshold"));
    assert_eq!(now(&tally(3.0, 3.0, 60.0)), (Verdict::Inconclusive, "interval-straddles"));
    let report = judge(
        &check,
        &tally(0.0, 0.0, 40.0),
        &seen(100),
        Timestamp::from_secs(0),
        &mut Decision::default(),
        Rules { deciding: Deciding::Now, ..RULES },
    );
    assert!(report.reasons[0].text.starts_with("40 of 59 requests needed"), "{report}");
    // What it decided stands at later looks, which decide nothing by themselves.
    let mut decision = Decision::default();
    assert_eq!(at(Deciding::Now, &tally(0.0, 0.0, 100.0), &mut decision).0, Verdict::Pass);
    let after = Deciding::Once { remaining_seconds: 0.0 };
    assert_eq!(at(after, &tally(40.0, 40.0, 200.0), &mut decision).0, Verdict::Inconclusive);
    assert_eq!(at(after, &tally(40.0, 40.0, 2_000.0), &mut decision).0, Verdict::Pass);
}

#[test]
fn one_look_compares_by_the_share_of_all_bad_requests() {
    let pair = |name: &str| (format!("bad_{name}"), format!("all_{name}"));
    let verdict = |check: &CheckSpec, events, trials, baseline| {
        let tally = beside(Some(1.5), (events, trials), baseline);
        let rules = Rules { deciding: Deciding::Now, ..RULES };
        judge(check, &tally, &seen(100), Timestamp::from_secs(0), &mut Decision::default(), rules).verdict
    };
    let factor = spec(Check::comparison("c", pair("a"), pair("b")).within_factor(1.5));
    // The bounds of D18, one-sided: 12 of 1,000 beside 20 of 9,000 are at least 2.4 times as many.
    assert_eq!(verdict(&factor, 12.0, 1_000.0, (20.0, 9_000.0)), Verdict::Fail);
    assert_eq!(verdict(&factor, 5.0, 100.0, (5.0, 100.0)), Verdict::Inconclusive);
    assert_eq!(verdict(&factor, 0.0, 900.0, (20.0, 900.0)), Verdict::Pass);
    assert_eq!(verdict(&factor, 0.0, 900.0, (0.0, 900.0)), Verdict::Inconclusive);
    // Twice as many of the canary's fail, first and last; in all they seem to be as many.
    let mut all = beside(Some(1.5), (120.0, 5_100.0), (140.0, 5_900.0));
    let mut mixture = Mixture::default();
    for (canary, baseline) in [((20.0, 100.0), (90.0, 900.0)), ((100.0, 5_000.0), (50.0, 5_000.0))] {
        let (events, trials) = canary;
        let (baseline_events, baseline_trials) = baseline;
        mixture.add(Pair { events, trials, baseline_events, baseline_trials }, 1.5, 1.5);
    }
    all.mixture = Some(Box::new(mixture));
    let rules = Rules { deciding: Deciding::Now, ..RULES };
    let report = judge(&factor, &all, &seen(100), Timestamp::from_secs(0), &mut Decision::default(), rules);
    assert_ne!(report.verdict, Verdict::Pass, "{report}");
    let difference = spec(Check::comparison("c", pair("a"), pair("b")).within_difference(0.02));
    assert_eq!(verdict(&difference, 10.0, 5_000.0, (10.0, 5_000.0)), Verdict::Pass);
    assert_eq!(verdict(&difference, 400.0, 5_000.0, (10.0, 5_000.0)), Verdict::Fail);
    assert_eq!(verdict(&difference, 1.0, 50.0, (1.0, 50.0)), Verdict::Inconclusive);
}

#[test]
fn nothing_is_decided_with_fewer_requests_than_asked_for() {
    let rules = Rules { min_requests: 100.0, ..RULES };
    let said = |events: f64, trials: f64| {
        let tally = tally(events, events, trials);
        let report =
            judge(&ratio(), &tally, &seen(100), Timestamp::from_secs(0), &mut Decision::default(), rules);
        (report.verdict, report.reasons[0].clone())
    };
    for events in [0.0, 50.0] {
        let (verdict, reason) = said(events, 99.0);
        assert_eq!((verdict, reason.code()), (Verdict::Inconclusive, "not-enough-requests"));
        assert!(reason.text.contains("99 of 100"), "{}", reason.text);
    }
    assert_eq!(said(0.0, 100.0).0, Verdict::Pass);
    assert_eq!(said(50.0, 100.0).0, Verdict::Fail);
}
