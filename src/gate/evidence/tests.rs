use super::*;
use crate::gate::fixture::Fixture;
use crate::gate::judge::{Decision, Rules, judge};
use crate::gate::round::Round;
use crate::gate::spec::{Check, GateSpec, Grouping, Share};
use crate::gate::verdict::Verdict;
use crate::model::{Lost, stale_marker};

fn check(check: Check) -> CheckSpec {
    GateSpec::builder("g").check(check).build().unwrap().checks.remove(0)
}

/// No test here asks for the targets, which are those of the instant of a round.
const AT: Timestamp = Timestamp::MAX;

fn span(origin: i64, now: i64) -> Span {
    let origin = Timestamp::from_secs(origin);
    Span { origin, after: origin, now: Timestamp::from_secs(now), settle_ms: Some(0), waits: true }
}

fn seen(spec: Check, fixture: &Fixture) -> (Tally, Observation) {
    let mut tally = Tally::default();
    let observation =
        observe(&check(spec), &mut tally, span(1_000, 1_100), &Round::new(fixture, AT)).unwrap();
    (tally, observation)
}

fn ratio(events: &str) -> Check {
    Check::ratio("errors", events, r#"all_total{pod="a"}"#).below(0.05)
}

/// A hundred requests of pod `a` between 1,000 and 1,100 s.
fn requests() -> Fixture {
    let samples = (990..=1_100).step_by(10).map(|time| (time, (time - 1_000) as f64 + 10.0));
    Fixture::default().series(
        &[("__name__", "all_total"), ("pod", "a"), ("instance", "i"), ("job", "j"), ("code", "200")],
        samples,
    )
}

fn code(observation: &Observation) -> &'static str {
    observation.obstacle.as_ref().map_or("", Finding::code)
}

fn note(observation: &Observation) -> &'static str {
    observation.notes.first().map_or("", Finding::code)
}

#[test]
fn a_missing_numerator_is_zero_where_its_label_is_known() {
    let (tally, observation) = seen(ratio(r#"all_total{pod="a",code="500"}"#), &requests());
    assert_eq!((tally.most, tally.trials), (0.0, 100.0));
    assert_eq!((code(&observation), note(&observation)), ("", "missing-numerator-is-zero"));
}

#[test]
fn a_missing_numerator_with_a_label_never_seen_is_no_zero() {
    let events = r#"all_total{pod="a",status="500"}"#;
    let (_, observation) = seen(ratio(events), &requests());
    assert_eq!(code(&observation), "missing-numerator-unproven");
    let (_, observation) = seen(ratio(events).missing_numerator_is_zero(), &requests());
    assert_eq!((code(&observation), note(&observation)), ("", "missing-numerator-is-zero"));
}

#[test]
fn a_missing_numerator_that_is_no_part_of_the_denominator_is_no_zero() {
    let (_, observation) = seen(ratio(r#"all_total{pod="b",code="500"}"#), &requests());
    assert_eq!(code(&observation), "missing-numerator-unproven");
}

#[test]
fn a_missing_numerator_of_another_metric_is_zero_where_the_target_delivers_that_metric() {
    let errors = |instance: &'static str| {
        requests().series(
            &[("__name__", "errors_total"), ("pod", "x"), ("instance", instance), ("job", "j")],
            [(990, 1.0), (1_100, 1.0)],
        )
    };
    let (_, observation) = seen(ratio(r#"errors_total{pod="a"}"#), &errors("i"));
    assert_eq!((code(&observation), note(&observation)), ("", "missing-numerator-is-zero"));
    let (_, observation) = seen(ratio(r#"errors_total{pod="a"}"#), &errors("elsewhere"));
    assert_eq!(code(&observation), "missing-numerator-unproven");
    let (_, observation) = seen(ratio(r#"errors_total{pod="a"}"#), &requests());
    assert_eq!(code(&observation), "missing-numerator-unproven");
}

#[test]
fn an_exporter_of_events_that_is_gone_is_no_proof_of_none() {
    let errors = (990..=1_050).step_by(10).map(|time| (time, 1.0)).chain([(1_060, stale_marker())]);
    let labels = [("__name__", "errors_total"), ("pod", "a"), ("instance", "other"), ("job", "j")];
    let fixture = requests().series(&labels, errors);
    let (_, observation) = seen(ratio(r#"errors_total{pod="a"}"#), &fixture);
    assert_eq!(code(&observation), "missing-numerator-unproven");
    let (_, observation) = seen(ratio(r#"errors_total{pod="a"}"#).missing_numerator_is_zero(), &fixture);
    assert_eq!(code(&observation), "");
}

#[test]
fn good_requests_are_counted_by_what_is_missing_to_all() {
    let good = Check::ratio("good", r#"all_total{pod="a",code="200"}"#, r#"all_total{pod="a"}"#).above(0.95);
    let fixture = requests().series(
        &[("__name__", "all_total"), ("pod", "a"), ("instance", "i"), ("job", "j"), ("code", "500")],
        [(990, 0.0), (1_050, 7.0), (1_100, 7.0)],
    );
    let (tally, _) = seen(good, &fixture);
    assert_eq!((tally.most, tally.trials), (7.0, 107.0));
}

#[test]
fn series_that_fall_silent_are_stale_after_five_scrapes_and_a_minute() {
    // Without `up`, as where samples are pushed, a canary that had died passed for five minutes on what it had done.
    let until = |last: i64, interval: usize| {
        let samples = (900..=last).step_by(interval).map(|time| (time, time as f64));
        let fixture = Fixture::default().series(&[("__name__", "all_total"), ("pod", "a")], samples);
        code(&seen(Check::volume("traffic", "all_total").at_least(0.1), &fixture).1)
    };
    assert_eq!((until(1_050, 10), until(1_040, 10)), ("", "stale"));
    assert_eq!((until(1_000, 20), until(1_020, 20)), ("stale", ""));
    assert_eq!(until(1_000, 50), "");
}

#[test]
fn series_that_ended_or_are_old_are_stale() {
    let volume = || Check::volume("v", "all_total").at_least(1.0);
    let ended =
        Fixture::default().series(&[("__name__", "all_total")], [(1_010, 1.0), (1_020, stale_marker())]);
    let (_, observation) = seen(volume(), &ended);
    assert!(matches!(observation.obstacle, Some(Finding::Stale { ended: true, .. })));
    let old = Fixture::default().series(&[("__name__", "all_total")], [(700, 1.0)]);
    let (_, observation) = seen(volume(), &old);
    assert!(matches!(observation.obstacle, Some(Finding::Stale { ended: false, .. })));
}

#[test]
fn a_failing_source_leaves_the_counts_as_they_were() {
    let mut tally = Tally { trials: 7.0, ..Tally::default() };
    let broken = requests().broken();
    let spec = check(ratio(r#"all_total{pod="a",code="500"}"#));
    assert!(observe(&spec, &mut tally, span(1_000, 1_100), &Round::new(&broken, AT)).is_err());
    assert_eq!(tally, Tally { trials: 7.0, ..Tally::default() });
}

#[test]
fn without_an_answer_about_settling_one_scrape_interval_is_left_out() {
    let mut tally = Tally::default();
    let spec = check(ratio(r#"all_total{pod="a",code="500"}"#));
    let span = Span { settle_ms: None, ..span(1_000, 1_100) };
    let observation = observe(&spec, &mut tally, span, &Round::new(&requests(), AT)).unwrap();
    assert_eq!((observation.until, tally.trials), (Timestamp::from_secs(1_090), 90.0));
}

fn histogram(bounds: &[(&'static str, f64)]) -> Fixture {
    bounds.iter().fold(Fixture::default(), |fixture, (bound, count)| {
        fixture.series(&[("__name__", "t_bucket"), ("le", bound)], [(990, 1.0), (1_090, 1.0 + count)])
    })
}

fn p95(limit: f64, fixture: &Fixture) -> (Tally, Observation) {
    seen(Check::quantile("p95", "t_bucket", 0.95).below(limit), fixture)
}

#[test]
fn observations_above_a_bound_are_exact_and_between_bounds_a_range() {
    let fixture = histogram(&[("0.5", 60.0), ("1.0", 90.0), ("2", 96.0), ("+Inf", 100.0)]);
    for (limit, fewest, most, unreachable) in [
        (1.0, 10.0, 10.0, false),
        (1.5, 4.0, 10.0, false),
        (0.1, 40.0, 100.0, false),
        (2.0, 4.0, 4.0, false),
        (3.0, 0.0, 4.0, true),
    ] {
        let (tally, observation) = p95(limit, &fixture);
        assert_eq!((tally.fewest, tally.most, tally.trials), (fewest, most, 100.0), "{limit}");
        assert_eq!((tally.unreachable, code(&observation)), (unreachable, ""), "{limit}");
    }
}

#[test]
fn counts_that_fall_with_the_bound_are_made_to_rise() {
    let (tally, _) = p95(1.0, &histogram(&[("0.5", 60.0), ("1", 50.0), ("+Inf", 55.0)]));
    assert_eq!((tally.most, tally.trials), (0.0, 60.0));
}

#[test]
fn a_histogram_without_its_last_bucket_is_not_judged() {
    let (_, observation) = p95(1.0, &histogram(&[("0.5", 60.0), ("1", 90.0)]));
    assert_eq!(code(&observation), "not-a-classic-histogram");
    let (_, observation) = p95(1.0, &histogram(&[("0.5", 60.0), ("much", 90.0), ("+Inf", 90.0)]));
    assert_eq!(code(&observation), "not-a-classic-histogram");
}

#[test]
fn where_one_bucket_falls_the_whole_histogram_has_started_again() {
    // The bucket of all had grown back to its old value within one scrape: 200 of 320 requests above the limit counted
    // as none of 120, and the canary passed.
    let bucket = |le| [("__name__", "t_bucket"), ("le", le)];
    let fixture = Fixture::default()
        .series(&bucket("0.5"), [(990, 150.0), (1_090, 120.0)])
        .series(&bucket("1"), [(990, 200.0), (1_090, 300.0)])
        .series(&bucket("+Inf"), [(990, 320.0), (1_090, 320.0)]);
    let (tally, _) = p95(0.5, &fixture);
    assert_eq!((tally.fewest, tally.most, tally.trials, tally.resets), (200.0, 200.0, 320.0, 1));
}

#[test]
fn sums_beyond_the_numbers_count_nothing_and_survive_a_restart_of_the_gate() {
    // An infinite sum was written into the state as null, and no gate could go on from it.
    let code = |code| [("__name__", "all_total"), ("pod", "a"), ("code", code)];
    let fixture = Fixture::default()
        .series(&code("200"), [(990, 0.0), (1_090, 1.5e308)])
        .series(&code("201"), [(990, 0.0), (1_090, 1.5e308)]);
    let (tally, _) = seen(ratio(r#"all_total{pod="a",code="500"}"#), &fixture);
    assert_eq!((tally.trials, tally.invalid.as_deref()), (0.0, Some("inf")));
}

#[test]
fn what_is_counted_never_goes_back() {
    // Going back would count the same requests twice.
    let span = Span { settle_ms: Some(60_000), ..span(1_050, 1_060) };
    let mut tally = Tally::default();
    let volume = check(Check::volume("traffic", "all_total").at_least(0.1));
    let observation = observe(&volume, &mut tally, span, &Round::new(&requests(), AT)).unwrap();
    assert_eq!((observation.until, tally.trials), (Timestamp::from_secs(1_050), 0.0));
}

#[test]
fn one_series_that_ended_beside_others_is_no_silence() {
    let fixture = requests().series(
        &[("__name__", "all_total"), ("pod", "a"), ("instance", "gone")],
        [(1_010, 1.0), (1_020, stale_marker())],
    );
    assert_eq!(code(&seen(Check::volume("traffic", "all_total").at_least(0.1), &fixture).1), "");
}

#[test]
fn one_histogram_without_a_bound_beyond_the_limit_is_told_beside_others() {
    let bucket = |instance, le| [("__name__", "t_bucket"), ("instance", instance), ("le", le)];
    for short in ["a", "b"] {
        let mut fixture = Fixture::default();
        for instance in ["a", "b"] {
            let bounds: &[&str] = if instance == short { &["0.5", "+Inf"] } else { &["0.5", "2", "+Inf"] };
            for le in bounds {
                fixture = fixture.series(&bucket(instance, le), [(990, 1.0), (1_090, 11.0)]);
            }
        }
        assert!(p95(1.0, &fixture).0.unreachable, "{short}");
    }
}

/// Requests of pods `a` and `b`, of which one in ten of `b` fails; scraped every 10 s from 990 s on.
fn two_pods() -> Fixture {
    let counter = |pod: &'static str, code: &'static str, per_scrape: f64| {
        let samples =
            (990..=1_100).step_by(10).map(move |time| (time, (time - 990) as f64 / 10.0 * per_scrape));
        ([("__name__", "all_total"), ("pod", pod), ("instance", pod), ("job", "j"), ("code", code)], samples)
    };
    [counter("a", "200", 10.0), counter("b", "200", 90.0), counter("b", "500", 10.0)]
        .into_iter()
        .fold(Fixture::default(), |fixture, (labels, samples)| fixture.series(&labels, samples))
}

fn pair(pod: &str) -> (String, String) {
    (format!("all_total{{pod=\"{pod}\",code=\"500\"}}"), format!("all_total{{pod=\"{pod}\"}}"))
}

#[test]
fn both_sides_of_a_comparison_are_counted_up_to_the_same_instant() {
    let spec = check(Check::comparison("c", pair("a"), pair("b")).within_factor(1.5));
    let whole = |step: i64| {
        let mut tally = Tally::default();
        let mut after = 1_000;
        for now in (1_000 + step..=1_100).step_by(step as usize) {
            let span = Span { after: Timestamp::from_secs(after), settle_ms: None, ..span(1_000, now) };
            let observation = observe(&spec, &mut tally, span, &Round::new(&two_pods(), AT)).unwrap();
            after = observation.until.as_millis() / 1_000;
            assert_eq!((code(&observation), note(&observation)), ("", "missing-numerator-is-zero"));
        }
        tally
    };
    // One scrape is not settled yet.
    let tally = whole(100);
    assert_eq!((tally.most, tally.trials, tally.baseline), (0.0, 90.0, (90.0, 900.0)));
    let in_steps = whole(20);
    assert_eq!((in_steps.trials, in_steps.baseline), (tally.trials, tally.baseline));
    let ln = |tally: &Tally| tally.mixture.as_ref().map_or(0.0, |mixture| mixture.ln_e_pass(1.0));
    assert!(ln(&in_steps) > 3.0 && ln(&tally) > 3.0);
}

#[test]
fn a_baseline_that_is_not_there_is_no_baseline() {
    let spec = Check::comparison("c", pair("b"), pair("nobody")).within_factor(1.5);
    let (_, observation) = seen(spec, &two_pods());
    assert_eq!(code(&observation), "baseline-no-traffic");
    let spec = Check::comparison("c", pair("nobody"), pair("b")).within_factor(1.5);
    let (_, observation) = seen(spec, &two_pods());
    assert_eq!(code(&observation), "no-such-value");
}

#[test]
fn weighted_events_count_in_part() {
    let Share { trials, .. } = share(r#"all_total{pod="b"}"#, r#"all_total{pod="b"}"#);
    let half =
        |code: &str| (0.5, Selector::parse(&format!("all_total{{pod=\"b\",code=\"{code}\"}}")).unwrap());
    let share = Share {
        events: vec![half("200"), half("500")],
        trials,
        events_are_good: true,
        missing_is_zero: false,
    };
    let kind = CheckKind::Ratio { share, threshold: 0.2, fail_threshold: 0.2, burn_rate: None };
    let spec = CheckSpec { name: "apdex".to_owned(), dry_run: false, kind, by: Grouping::Whole };
    let mut tally = Tally::default();
    observe(&spec, &mut tally, span(1_000, 1_100), &Round::new(&two_pods(), AT)).unwrap();
    assert_eq!((tally.most, tally.trials), (500.0, 1_000.0));
}

fn share(events: &str, trials: &str) -> Share {
    let CheckKind::Ratio { share, .. } = check(Check::ratio("r", events, trials).below(0.5)).kind else {
        panic!("no ratio")
    };
    share
}

#[test]
fn a_count_forgets_what_is_older_than_its_window_and_what_came_before_the_evidence() {
    let count = |window_ms| {
        let spec = Check::count("c", r#"all_total{pod="b",code="500"}"#, window_ms).at_most(10.0);
        let (tally, observation) = seen(spec, &two_pods());
        assert_eq!(code(&observation), "");
        tally.most
    };
    assert_eq!(count(30_000), 30.0);
    assert_eq!(count(3_600_000), 100.0);
    let silent = Check::count("c", r#"all_total{pod="a",code="500"}"#, 30_000).at_most(10.0);
    let (tally, observation) = seen(silent.clone(), &two_pods());
    assert_eq!((tally.most, code(&observation)), (0.0, "no-such-value"));
    let (_, observation) = seen(silent.missing_numerator_is_zero(), &two_pods());
    assert_eq!((code(&observation), note(&observation)), ("", "missing-numerator-is-zero"));
}

/// A gauge of two pods that is high for one scrape, at 1,050 s.
fn gauge() -> Fixture {
    let series = |pod: &'static str, high: f64| {
        let samples =
            (990..=1_100).step_by(10).map(move |time| (time, if time == 1_050 { high } else { 1.0 }));
        ([("__name__", "memory"), ("pod", pod), ("instance", pod), ("job", "j")], samples)
    };
    [series("a", 1.0), series("b", 9.0)]
        .into_iter()
        .fold(Fixture::default(), |fixture, (labels, samples)| fixture.series(&labels, samples))
}

#[test]
fn a_value_is_asked_for_at_every_scrape_and_a_bad_one_is_not_missed() {
    let (tally, observation) = seen(Check::value("m", "max(memory)").below(5.0), &gauge());
    assert_eq!((tally.values.good, tally.values.failed, code(&observation)), (9, 1, ""));
    assert_eq!(tally.values.bad, Some((Timestamp::from_secs(1_050), "[9]".to_owned())));
    assert_eq!(tally.values.newest, Some((Timestamp::from_secs(1_100), Answer::Good("[1]".to_owned()))));
    // Every element counts.
    let (tally, _) = seen(Check::value("m", "memory").below(5.0), &gauge());
    assert_eq!(tally.values.failed, 1);
    let (tally, _) = seen(Check::value("m", r#"memory{pod="a"}"#).below(5.0), &gauge());
    assert_eq!(tally.values.failed, 0);
}

#[test]
fn pods_that_are_scraped_in_turn_are_not_asked_for_one_by_one() {
    let pods: Vec<String> = (0..50).map(|pod| format!("p{pod}")).collect();
    let source = pods.iter().zip(0..).fold(Fixture::default(), |fixture, (pod, at)| {
        // Each is high once, at a scrape of its own.
        let samples = (0..7).map(|scrape| (940 + scrape * 60 + at, if scrape == 2 { 9.0 } else { 1.0 }));
        fixture.series(&[("__name__", "memory"), ("pod", pod), ("instance", pod), ("job", "j")], samples)
    });
    let asked = |query: &str| {
        let mut tally = Tally::default();
        let spec = check(Check::value("m", query).below(5.0));
        observe(&spec, &mut tally, span(1_000, 1_360), &Round::new(&source, AT)).unwrap();
        (tally.values.good + tally.values.failed, tally.values.failed > 0)
    };
    assert_eq!(asked("max(memory)"), (6, true));
    for pod in &pods {
        assert!(asked(&format!("max(memory{{pod={pod:?}}})")).1, "{pod}");
    }
}

#[test]
fn a_query_that_fails_is_no_failure_of_the_source() {
    let (tally, observation) = seen(Check::value("m", "memory + on (job) memory").below(5.0), &gauge());
    assert_eq!((tally.values.failed, code(&observation)), (0, "no-value"));
    assert!(observation.obstacle.unwrap().to_string().contains("the query fails: "));
}

#[test]
fn a_value_that_is_no_number_is_explained() {
    let said = |query: &str| {
        let (tally, observation) = seen(Check::value("m", query).below(5.0), &gauge());
        assert_eq!((tally.values.good, tally.values.failed), (0, 0), "{query}");
        code(&observation)
    };
    assert_eq!(said(r#"max(memory{pod="c"})"#), "no-such-value");
    assert_eq!(said("max(memory) * max(nothing)"), "no-such-metric");
    assert_eq!(said("max(memory) / 0 - max(memory) / 0"), "no-value");
    assert_eq!(said("memory > 100"), "filtered-out");
}

#[test]
fn a_number_in_the_place_of_silence_is_no_evidence() {
    for (query, wanted) in [
        (r#"max(memory{pod="c"}) or vector(0)"#, "no-such-value"),
        (r#"max(memory{pod="a"}) + (sum(nothing) or vector(0))"#, "no-such-metric"),
        (r#"max(memory{pod="a"}) or vector(0)"#, ""),
    ] {
        let spec = Check::value("m", query).below(5.0);
        let (tally, observation) = seen(spec.clone(), &gauge());
        assert_eq!(code(&observation), wanted, "{query}");
        let rules = Rules::of(&GateSpec::builder("g").check(spec.clone()).build().unwrap(), None);
        let origin = Timestamp::from_secs(1_000);
        let judged = judge(&check(spec), &tally, &observation, origin, &mut Decision::default(), rules);
        assert_eq!(judged.verdict == Verdict::Pass, wanted.is_empty(), "{query}: {judged:?}");
    }
}

#[test]
fn an_answer_from_data_that_may_be_missing_is_none() {
    let lost = Loss::new(Lost::TornEnd, Timestamp::from_secs(1_020), Timestamp::from_secs(1_030));
    let (tally, observation) = seen(Check::value("m", "max(memory)").below(5.0), &gauge().losing(lost));
    // The lookback reaches over the loss from then on.
    assert_eq!((tally.values.good, tally.values.missing, observation.losses.len()), (2, 8, 1));
}

#[test]
fn an_apdex_score_counts_half_of_what_is_tolerated() {
    let every = || (990..1_200).step_by(10);
    let bucket = |le: &'static str| {
        [("__name__", "t_bucket"), ("pod", "a"), ("instance", "i"), ("job", "j"), ("le", le)]
    };
    // In ten seconds six are satisfied, two tolerate, two are frustrated.
    let source = [("0.5", 0.6), ("1", 0.6), ("2", 0.8), ("+Inf", 1.0)].into_iter().fold(
        Fixture::default(),
        |source, (le, each)| {
            source.series(&bucket(le), every().map(|time| (time, (time - 990) as f64 * each)))
        },
    );
    let (tally, observation) = seen(Check::apdex("a", "t_bucket{pod=\"a\"}", 0.5).above(0.9), &source);
    assert!(observation.obstacle.is_none(), "{observation:?}");
    // A score of 0.7.
    assert!(tally.trials > 0.0 && (tally.most - 0.3 * tally.trials).abs() < 1e-9, "{tally:?}");
    let (_, missing) = seen(Check::apdex("a", "t_bucket{pod=\"a\"}", 0.7).above(0.9), &source);
    assert!(missing.obstacle.is_some());
}

#[test]
fn where_one_bucket_falls_an_apdex_score_counts_the_whole_histogram_anew() {
    let bucket = |le: &'static str| {
        [("__name__", "t_bucket"), ("pod", "a"), ("instance", "i"), ("job", "j"), ("le", le)]
    };
    // A hundred satisfied requests; then a new process with fifty of them among 150, of which a hundred are frustrated.
    let source = [("0.5", 50.0), ("2", 50.0), ("+Inf", 150.0)]
        .into_iter()
        .fold(Fixture::default(), |source, (le, after)| {
            source.series(&bucket(le), [(990, 100.0), (1_010, after), (1_090, after)])
        });
    let (tally, _) = seen(Check::apdex("a", "t_bucket{pod=\"a\"}", 0.5).above(0.9), &source);
    assert_eq!((tally.most, tally.trials), (100.0, 150.0));
}

#[test]
fn where_good_requests_start_again_with_their_process_all_requests_do() {
    let labels = |name: &'static str| [("__name__", name), ("pod", "a"), ("instance", "i"), ("job", "j")];
    let source = Fixture::default()
        .series(&labels("all_total"), [(990, 100.0), (1_010, 150.0), (1_090, 150.0)])
        .series(&labels("good_total"), [(990, 100.0), (1_010, 50.0), (1_090, 50.0)])
        .series(&labels("process_start_time_seconds"), [(990, 900.0), (1_010, 1_005.0), (1_090, 1_005.0)]);
    let check = Check::ratio("r", "good_total", "all_total").above(0.9);
    let (tally, _) = seen(check, &source);
    assert_eq!((tally.most, tally.trials), (100.0, 150.0));
}

#[test]
fn where_one_histogram_starts_again_with_its_process_all_of_the_target_do() {
    let bucket = |code: &'static str, le: &'static str| {
        let target = [("instance", "i"), ("job", "j")];
        [[("__name__", "t_bucket"), ("code", code), ("le", le)].as_slice(), &target].concat()
    };
    // A new process with 20 quick requests, fewer than the one before, and 150 slow ones, more than the one before.
    let source = [
        ("200", "1", 100.0, 20.0),
        ("200", "+Inf", 100.0, 20.0),
        ("500", "1", 0.0, 0.0),
        ("500", "+Inf", 50.0, 150.0),
    ]
    .into_iter()
    .fold(Fixture::default(), |source, (code, le, before, after)| {
        source.series(&bucket(code, le), [(990, before), (1_010, after), (1_090, after)])
    })
    .series(
        &[("__name__", "process_start_time_seconds"), ("instance", "i"), ("job", "j")],
        [(990, 900.0), (1_010, 1_005.0), (1_090, 1_005.0)],
    );
    let (tally, _) = p95(1.0, &source);
    assert_eq!((tally.most, tally.trials), (150.0, 170.0));
}
