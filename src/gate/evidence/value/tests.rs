use crate::gate::argo::AnalysisTemplate;
use crate::gate::fixture::Fixture;
use crate::gate::reason::Reason;
use crate::gate::report::Report;
use crate::gate::run::Gate;
use crate::gate::spec::{Check, GateSpec};
use crate::gate::verdict::Verdict;
use crate::model::Timestamp;

/// What each pod has in its queue, in this order of the pods, scraped every 10 s.
fn queues(lengths: &[f64]) -> Fixture {
    let pods = ["a", "b", "c", "d"].iter().zip(lengths);
    pods.fold(Fixture::default(), |source, (pod, length)| {
        let labels = [("__name__", "queue"), ("pod", *pod)];
        source.series(&labels, (0..=600).step_by(10).map(|time| (time, *length)))
    })
}

/// The report of a gate that an AnalysisTemplate with this query and these conditions means, after two minutes.
fn report(query: &str, conditions: (&str, &str), source: &Fixture) -> Report {
    let (success, failure) = conditions;
    let json = format!(
        r#"{{"metrics": [{{"name": "m", "interval": "10s", "count": 30, "successCondition": "{success}",
            "failureCondition": "{failure}", "provider": {{"prometheus": {{"query": "{query}"}}}}}}]}}"#
    );
    let spec = GateSpec::from_template(&AnalysisTemplate::from_json(&json).unwrap(), &[]).unwrap();
    let mut gate = Gate::new(spec);
    gate.start(Timestamp::from_secs(100));
    for second in [110, 220] {
        gate.tick(Timestamp::from_secs(second), source).unwrap();
    }
    gate.report()
}

fn first(report: &Report) -> &Reason {
    &report.checks[0].reasons[0]
}

/// A query whose elements nobody aggregates, and that has a form of its own.
const EACH: &str = "queue ^ 1";

#[test]
fn a_condition_that_decides_by_which_element_comes_first_decides_nothing() {
    let condition = ("result[0] < 5", "");
    for lengths in [[3.0, 7.0], [7.0, 3.0]] {
        let report = report(EACH, condition, &queues(&lengths));
        assert_eq!(
            (report.verdict, first(&report).code()),
            (Verdict::Inconclusive, "several-elements"),
            "{report}"
        );
    }
    assert_eq!(
        first(&report(EACH, condition, &queues(&[3.0, 7.0, 3.0, 3.0]))).text,
        "the query answers 4 elements ({pod=\"a\"}, {pod=\"b\"}, {pod=\"c\"} and 1 more), and the condition decides by which of them \
         comes first, which means nothing; aggregate them, or judge all of them"
    );
}

#[test]
fn elements_of_which_any_may_come_first_are_judged() {
    let verdict = |condition, lengths: &[f64]| report(EACH, condition, &queues(lengths)).verdict;
    let of_first = ("result[0] < 5", "");
    assert_eq!(verdict(of_first, &[3.0, 4.0]), Verdict::Pass);
    assert_eq!(verdict(of_first, &[6.0, 7.0]), Verdict::Fail);
    assert_eq!(verdict(of_first, &[3.0]), Verdict::Pass);
    // Who looks at all of them looks at them in any order.
    assert_eq!(verdict(("all(result, # < 5)", ""), &[3.0, 7.0]), Verdict::Fail);
    assert_eq!(verdict(("any(result, # < 5)", ""), &[3.0, 7.0]), Verdict::Pass);
}

#[test]
fn a_condition_that_cannot_judge_says_so_with_what_it_was_asked() {
    let source = queues(&[3.0]);
    let report = report("sum(queue ^ 1)", ("result[0] < 5 && result[1] < 5", ""), &source);
    assert_eq!(
        (report.verdict, first(&report).code()),
        (Verdict::Inconclusive, "condition-error"),
        "{report}"
    );
    assert_eq!(
        first(&report).text,
        "could not evaluate successCondition \"result[0] < 5 && result[1] < 5\": index out of range: 1 (array length is 1); the query \
         answers [3]"
    );
}

#[test]
fn silence_comes_before_what_a_condition_makes_of_it() {
    let check = Check::value("v", "sum(missing) ^ 1").below(5.0);
    let mut gate = Gate::new(GateSpec::builder("g").check(check).build().unwrap());
    gate.start(Timestamp::from_secs(100));
    gate.tick(Timestamp::from_secs(200), &queues(&[3.0])).unwrap();
    assert_eq!(first(&gate.report()).code(), "no-such-metric");
}
