use crate::gate::argo::{AnalysisTemplate, Profile};
use crate::gate::fixture::Fixture;
use crate::gate::report::Report;
use crate::gate::run::Gate;
use crate::gate::spec::{Check, GateSpec};
use crate::gate::state::GateState;
use crate::gate::verdict::Verdict;
use crate::model::Timestamp;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

/// An error ratio with a guard that passes silence, measured every 7 s, and annotated as a native gate.
fn template(annotation: &str) -> AnalysisTemplate {
    let query = r#"sum(rate(all_total{code=\"500\"}[30s])) / sum(rate(all_total[30s]))"#;
    let mut template = AnalysisTemplate::from_json(&format!(
        r#"{{"args": [{{"name": "limit"}}], "metrics": [{{"name": "errors", "interval": "7s", "count": 5,
            "successCondition": "len(result) == 0 || isNaN(result[0]) || result[0] < {{{{args.limit}}}}",
            "provider": {{"prometheus": {{"query": "{query}"}}}}}}]}}"#
    ))
    .unwrap();
    template.annotations = vec![("promgate.dev/native".to_owned(), annotation.to_owned())];
    template
}

fn spec(annotation: &str) -> GateSpec {
    GateSpec::from_template(&template(annotation), &[crate::gate::argo::Argument::new("limit", "0.05")])
        .unwrap()
}

/// Ten requests a second, of which a share fails; none at all before the start.
fn traffic(bad: f64) -> Fixture {
    let every = || (900..2_000).step_by(10);
    let count = |time: i64, share: f64| (10.0 * (time - 1_000).max(0) as f64 * share).round();
    [("200", 1.0 - bad), ("500", bad)].iter().fold(Fixture::default(), |source, (code, share)| {
        let labels = [("__name__", "all_total"), ("code", *code), ("instance", "i"), ("job", "j")];
        source.series(&labels, every().map(|time| (time, count(time, *share))))
    })
}

/// The reports of all looks, the gate being kept as its state in between if `stops`.
fn reports(spec: &GateSpec, source: &Fixture, stops: bool) -> Vec<Report> {
    let mut gate = Gate::new(spec.clone());
    gate.start(at(1_000));
    let mut reports = Vec::new();
    while let Some(due) = gate.next_due() {
        assert!(gate.tick(due, source).unwrap().measured);
        reports.push(gate.report());
        if stops {
            let state = GateState::from_json(&gate.state().to_json().unwrap()).unwrap();
            let state = GateState::from_bytes(&state.to_bytes()).unwrap();
            assert_eq!(state, gate.state());
            gate = Gate::resume(spec.clone(), state).unwrap();
        }
    }
    reports
}

#[test]
fn a_native_report_carries_what_argo_says_only_if_that_is_asked_for() {
    let told = |annotation: &str| reports(&spec(annotation), &traffic(0.3), false).pop().unwrap();
    assert_eq!(told("deadline: 2m").strict, None);
    assert_eq!(told("{deadline: 2m, argo: off}").strict, None);
    let both = told("{deadline: 2m, argo: on}");
    let strict = both.strict.as_ref().unwrap();
    assert_eq!((both.verdict, strict.verdict), (Verdict::Fail, Verdict::Fail));
    assert!(both.to_string().contains("\n  Argo would have said Failed: "), "{both}");
    assert!(both.to_markdown().contains("\nArgo would have said Failed"), "{}", both.to_markdown());
}

#[test]
fn what_argo_says_decides_nothing() {
    // Argo passes the idle canary, the gate does not; and both where there is one, with the same reasons as alone.
    for (source, native, argo) in [
        (Fixture::default(), Verdict::Inconclusive, Verdict::Pass),
        (traffic(0.0), Verdict::Pass, Verdict::Pass),
    ] {
        let beside = reports(&spec("{deadline: 3m, argo: on}"), &source, false);
        let last = beside.last().unwrap();
        assert_eq!((last.verdict, last.strict.as_ref().unwrap().verdict), (native, argo), "{last}");
        let alone = reports(&spec("deadline: 3m"), &source, false).pop().unwrap();
        assert_eq!(Report { strict: None, ..last.clone() }, alone);
        // It was measured at its own times, every 7 s.
        assert!(beside.iter().any(|report| report.strict.as_ref().unwrap().at == Some(at(1_007))));
    }
}

#[test]
fn both_go_on_from_a_state_and_a_state_goes_with_or_without_the_other() {
    let (with, without) = (spec("{deadline: 3m, argo: on}"), spec("deadline: 3m"));
    let source = traffic(0.01);
    assert_eq!(reports(&with, &source, true), reports(&with, &source, false));
    let mut gate = Gate::new(with.clone());
    gate.start(at(1_000));
    gate.tick(at(1_000), &source).unwrap();
    let alone = Gate::resume(without.clone(), gate.state()).unwrap();
    assert_eq!(alone.report().strict, None);
    // Half a run says nothing.
    assert_eq!(Gate::resume(with, alone.state()).unwrap().report().strict, None);
}

#[test]
fn a_changed_specification_goes_on_after_the_last_look_of_either() {
    let every_minute = |deadline_ms: i64| {
        let check = Check::ratio("errors", r#"all_total{code="500"}"#, "all_total").below(0.05);
        let spec = GateSpec::builder("g").check(check).interval_ms(60_000).deadline_ms(deadline_ms);
        spec.build().unwrap().beside_argo(&template(""), &[("limit", "0.05")], Profile::V1_10).unwrap()
    };
    let mut gate = Gate::new(every_minute(300_000));
    gate.start(at(1_000));
    for due in [1_000, 1_007] {
        assert_eq!(gate.next_due(), Some(at(due)));
        gate.tick(at(due), &traffic(0.0)).unwrap();
    }
    let (state, changed) = (gate.state(), every_minute(600_000));
    assert_eq!(state.0.last_tick, Some(at(1_000)), "only Argo's run was due");
    let error = Gate::resume_changed(changed.clone(), state.clone(), at(1_006)).unwrap_err();
    assert!(error.to_string().starts_with("time went back from "), "{error}");
    let gate = Gate::resume_changed(changed, state, at(1_007)).unwrap();
    assert_eq!(gate.report().strict.unwrap().at, Some(at(1_007)));
}

#[test]
fn a_gate_that_is_ended_ends_both() {
    let mut gate = Gate::new(spec("{deadline: 3m, argo: on}"));
    gate.start(at(1_000));
    gate.tick(at(1_000), &traffic(0.0)).unwrap();
    gate.terminate(at(1_003));
    let report = gate.report();
    assert!(report.settled && report.strict.unwrap().settled);
}
