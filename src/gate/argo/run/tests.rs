use super::super::template::{Provider, RangeQuery};
use super::*;

fn metric(name: &str) -> Metric {
    let prometheus = PrometheusProvider { query: format!("gate:{name}"), ..PrometheusProvider::default() };
    Metric {
        name: name.to_owned(),
        interval: "10s".to_owned(),
        success_condition: "result[0] < 1".to_owned(),
        provider: Provider { prometheus: Some(prometheus), others: vec![] },
        ..Metric::default()
    }
}

fn run_of(metrics: Vec<Metric>) -> AnalysisRun {
    AnalysisRun::new(&TemplateSpec { metrics, ..TemplateSpec::default() }, &[], Profile::V1_10).unwrap()
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

fn good() -> Result<QueryAnswer, String> {
    Ok(QueryValue::Vector(vec![0.5]).into())
}

#[test]
fn a_tick_before_its_time_changes_nothing_and_a_second_one_neither() {
    let mut run = run_of(vec![metric("a")]);
    assert!(run.tick(seconds(0), &mut |_| good()));
    let after = run.state();
    assert_eq!(run.next_due(), Some(seconds(10)));
    for at in [0, 5, 9] {
        assert!(!run.tick(seconds(at), &mut |_| good()));
        assert_eq!(run.status(), &after.status);
    }
    assert!(run.tick(seconds(35), &mut |_| good()));
    assert_eq!(run.status().metric_results[0].count, 2);
    assert_eq!(run.next_due(), Some(seconds(45)));
}

#[test]
fn a_pass_waits_for_its_slowest_answer() {
    let mut run = run_of(vec![metric("a"), metric("b")]);
    run.start(seconds(0));
    let requests = run.poll(seconds(0));
    assert_eq!(requests.len(), 2);
    assert!(run.poll(seconds(1)).is_empty());
    assert!(run.feed(seconds(1), requests[1].id, Err("no".to_owned())));
    assert!(!run.feed(seconds(1), requests[1].id, good()));
    assert_eq!((run.status().phase, run.next_due()), (Phase::Pending, None));
    assert!(run.feed(seconds(3), requests[0].id, good()));
    assert_eq!(run.status().started_at, Some(seconds(3)));
    assert_eq!(run.next_due(), Some(seconds(11)));
}

#[test]
fn a_failing_metric_ends_its_siblings_at_the_same_instant() {
    let mut late = metric("late");
    late.initial_delay = "60s".to_owned();
    let mut run = run_of(vec![metric("a"), metric("b"), late]);
    run.tick(seconds(0), &mut |request| {
        if request.metric == "b" { Ok(QueryValue::Vector(vec![2.0]).into()) } else { good() }
    });
    let status = run.status();
    assert_eq!(status.phase, Phase::Failed);
    assert_eq!(status.message, "Metric \"b\" assessed Failed due to failed (1) > failureLimit (0)");
    assert_eq!(status.result("a").unwrap().phase, Phase::Successful);
    assert_eq!(status.result("late"), None);
    assert_eq!(run.next_due(), None);
}

#[test]
fn termination_waits_for_answers_that_are_owed() {
    let mut run = run_of(vec![metric("a")]);
    run.start(seconds(0));
    let requests = run.poll(seconds(0));
    run.terminate(seconds(1));
    assert!(!run.is_completed());
    run.feed(seconds(2), requests[0].id, good());
    assert_eq!((run.status().phase, run.status().message.as_str()), (Phase::Successful, "Run Terminated"));
    assert_eq!(run.status().completed_at, Some(seconds(2)));
}

#[test]
fn a_spec_in_error_ends_the_run_without_times() {
    let mut broken = metric("a");
    broken.interval = "60".to_owned();
    let mut run = run_of(vec![broken]);
    run.start(seconds(0));
    assert_eq!(
        run.status().message,
        "Analysis spec invalid: metrics[0]: invalid interval string: time: missing unit in duration \"60\""
    );
    assert_eq!((run.status().started_at, run.status().completed_at), (None, None));
    assert_eq!(run.next_due(), None);
}

#[test]
fn a_delay_of_nothing_is_measured_in_the_pass_after_the_first() {
    let mut at_once = metric("a");
    at_once.initial_delay = "0s".to_owned();
    let mut run = run_of(vec![at_once]);
    run.tick(seconds(7), &mut |_| good());
    assert_eq!(run.status().metric_results[0].count, 1);
    assert_eq!(run.next_due(), Some(seconds(17)));
}

#[test]
fn the_text_of_a_secret_never_shows() {
    let reference = super::super::template::SecretKeyReference { name: "s".to_owned(), key: "k".to_owned() };
    let from = super::super::template::ValueFrom { secret_key_ref: Some(reference) };
    let argument = Argument { name: "token".to_owned(), value: None, value_from: Some(from) };
    let mut with_token = metric("a");
    if let Some(prometheus) = &mut with_token.provider.prometheus {
        prometheus.query = "up{token=\"{{args.token}}\"}".to_owned();
    }
    let spec = TemplateSpec { metrics: vec![with_token], args: vec![argument], ..TemplateSpec::default() };
    let run = AnalysisRun::new(&spec, &[], Profile::V1_10).unwrap();

    let mut without = run.clone();
    without.tick(seconds(0), &mut |_| good());
    assert_eq!(without.status().message, "Unable to resolve metric arguments: secrets \"s\" not found");

    let secret = std::iter::once(("k".to_owned(), "12345".to_owned())).collect();
    let mut run = run.with_secrets(std::iter::once(("s".to_owned(), secret)).collect());
    run.tick(seconds(0), &mut |request| {
        assert_eq!(request.query, "up{token=\"12345\"}");
        Err("bad token 12345".to_owned())
    });
    assert_eq!(run.status().metric_results[0].measurements[0].message, "bad token *****");
}

#[test]
fn a_range_query_asks_for_the_times_its_expressions_answer() {
    let mut ranged = metric("a");
    if let Some(prometheus) = &mut ranged.provider.prometheus {
        prometheus.range_query = Some(RangeQuery {
            start: "now() - duration(\"5m\")".to_owned(),
            end: "now()".to_owned(),
            step: "30s".to_owned(),
        });
    }
    let mut run = run_of(vec![ranged.clone()]);
    run.start(seconds(1000));
    let expected = RangeTimes { start: seconds(700), end: seconds(1000), step_ms: 30_000 };
    assert_eq!(run.poll(seconds(1000))[0].range, Some(expected));

    if let Some(range) =
        ranged.provider.prometheus.as_mut().and_then(|prometheus| prometheus.range_query.as_mut())
    {
        range.end = "1".to_owned();
    }
    let mut run = run_of(vec![ranged]);
    run.tick(seconds(0), &mut |_| good());
    let newest = run.status().metric_results[0].newest().unwrap();
    assert_eq!(newest.phase, Phase::Error);
    assert!(newest.message.starts_with("failed to parse rangeQuery.end as time: "), "{}", newest.message);
}

#[test]
fn a_run_stopped_anywhere_goes_on_as_if_it_had_not() {
    let values = [0.1, 2.0, 0.2, 0.3, 3.0, 0.4, 0.5];
    let mut counted = metric("a");
    counted.count = Some(super::super::int_or_text::IntOrText::Int(6));
    counted.failure_limit = Some(super::super::int_or_text::IntOrText::Int(2));
    let spec = TemplateSpec { metrics: vec![counted], ..TemplateSpec::default() };
    let finish = |mut run: AnalysisRun, from: usize| {
        for (step, value) in values.iter().enumerate().skip(from) {
            let at = seconds(step as i64 * 10);
            run.tick(at, &mut |_| Ok(QueryValue::Vector(vec![*value]).into()));
        }
        run.state()
    };
    let whole = finish(AnalysisRun::new(&spec, &[], Profile::V1_10).unwrap(), 0);
    assert_eq!(whole.status.phase, Phase::Successful);
    for stop in 0..values.len() {
        let mut run = AnalysisRun::new(&spec, &[], Profile::V1_10).unwrap();
        for (step, value) in values.iter().enumerate().take(stop) {
            run.tick(seconds(step as i64 * 10), &mut |_| Ok(QueryValue::Vector(vec![*value]).into()));
        }
        let text = serde_json::to_string(&run.state()).unwrap();
        let state: RunState = serde_json::from_str(&text).unwrap();
        assert_eq!(state, run.state());
        let resumed = AnalysisRun::resume(&spec, &[], Profile::V1_10, state).unwrap();
        assert_eq!(finish(resumed, stop), whole, "stopped before step {stop}");
    }
}

#[test]
fn a_state_of_another_version_is_refused() {
    let run = run_of(vec![metric("a")]);
    let state = RunState { version: 2, ..run.state() };
    let error = AnalysisRun::resume(&run.spec, &[], Profile::V1_10, state).unwrap_err();
    assert_eq!(error.to_string(), "run state of version 2, only 1 can be read");
}

#[test]
fn an_interval_that_is_always_overdue_does_not_hang() {
    let mut overdue = metric("a");
    overdue.interval = "-10s".to_owned();
    let mut run = run_of(vec![overdue]);
    run.tick(seconds(0), &mut |_| good());
    assert_eq!(run.status().metric_results[0].count, 1);
    assert_eq!(run.next_due(), Some(Timestamp::from_millis(1)));
}

mod laws {
    use proptest::prelude::*;

    use super::super::super::int_or_text::IntOrText;
    use super::super::super::template::DryRun;
    use super::*;

    fn limit() -> impl Strategy<Value = Option<IntOrText>> {
        prop_oneof![
            3 => Just(None),
            4 => (0..4i32).prop_map(|number| Some(IntOrText::Int(number))),
            1 => proptest::sample::select(&["-1", "many", "3000000000", "99999999999999999999", "{{args.n}}"][..])
                .prop_map(|text| Some(IntOrText::Text(text.to_owned()))),
        ]
    }

    fn any_metric() -> impl Strategy<Value = Metric> {
        let duration =
            || proptest::sample::select(&["", "0s", "1s", "10s", "1m", "500ms", "1.5s", "-3s", "60"][..]);
        let condition = || {
            proptest::sample::select(
                &["", "result[0] < 1", "result[0] >= 1", "all(result, # < 2)", "result <"][..],
            )
        };
        let times = (duration(), duration(), condition(), condition());
        (times, limit(), limit(), limit(), limit(), limit()).prop_map(
            |((interval, delay, success, failure), count, failures, inconclusive, errors, successes)| {
                Metric {
                    interval: interval.to_owned(),
                    initial_delay: delay.to_owned(),
                    success_condition: success.to_owned(),
                    failure_condition: failure.to_owned(),
                    count,
                    failure_limit: failures,
                    inconclusive_limit: inconclusive,
                    consecutive_error_limit: errors,
                    consecutive_success_limit: successes,
                    ..metric("m")
                }
            },
        )
    }

    fn any_answer() -> impl Strategy<Value = Result<QueryAnswer, String>> {
        prop_oneof![
            4 => proptest::collection::vec(prop_oneof![Just(0.5), Just(1.5), Just(f64::NAN)], 0..3)
                .prop_map(|values| Ok(QueryValue::Vector(values).into())),
            1 => Just(Ok(QueryValue::Scalar(0.5).into())),
            1 => Just(Ok(QueryValue::Text("x".to_owned()).into())),
            1 => Just(Err("no".to_owned())),
        ]
    }

    proptest! {
        #[test]
        fn an_end_is_final_ticks_repeat_harmlessly_and_a_stop_changes_nothing(
            metrics in proptest::collection::vec(any_metric(), 0..4),
            dry in proptest::option::of(0..4usize),
            steps in proptest::collection::vec((-500..70_000i64, any_answer(), any::<bool>()), 1..30),
            end_at in 0..40usize,
        ) {
            let metrics: Vec<Metric> =
                metrics.into_iter().enumerate().map(|(index, one)| Metric { name: format!("m{index}"), ..one }).collect();
            let dry_run = dry.map(|index| DryRun { metric_name: format!("^m{index}$") }).into_iter().collect();
            let args = vec![Argument::new("n", "2")];
            let spec = TemplateSpec { metrics, args, dry_run, ..TemplateSpec::default() };
            let mut run = AnalysisRun::new(&spec, &[], Profile::V1_10).unwrap();
            let mut stopped = run.clone();
            let mut now = Timestamp::from_millis(1_437);
            for (index, (later, answer, stop)) in steps.iter().enumerate() {
                let before = run.state();
                if index == end_at {
                    run.terminate(now);
                    stopped.terminate(now);
                }
                run.tick(now, &mut |_| answer.clone());
                stopped.tick(now, &mut |_| answer.clone());
                if before.status.phase.is_completed() {
                    prop_assert_eq!(&before.status, run.status());
                }
                let once = run.state();
                prop_assert!(!run.tick(now, &mut |_| answer.clone()));
                prop_assert_eq!(&once, &run.state());
                if let Some(next) = run.next_due() {
                    prop_assert!(next > now, "{} after {}", next, now);
                }
                if *stop {
                    stopped = AnalysisRun::resume(&spec, &[], Profile::V1_10, stopped.state()).unwrap();
                }
                prop_assert_eq!(run.state(), stopped.state());
                now = run.next_due().filter(|_| *later < 20_000).unwrap_or(now.plus_millis(*later));
            }
            for result in &run.status().metric_results {
                prop_assert!(result.measurements.len() <= 10);
                prop_assert_eq!(result.count, result.successful + result.failed + result.inconclusive);
            }
        }
    }
}
