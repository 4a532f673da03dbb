use super::*;
use crate::error::ErrorKind;
use crate::gate::argo::{AnalysisTemplate, Profile};
use crate::gate::checked::tests::every_edit_is_refused;
use crate::gate::failures::{Failing, every_kind};
use crate::gate::fixture::Fixture;
use crate::gate::rollout::{ArgumentValue, CanaryStep, RolloutArgument, RolloutPhase};
use crate::gate::spec::{Check, GateSpec};
use crate::gate::verdict::Verdict;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

const MANIFEST: &str = r#"
kind: Rollout
metadata: {name: checkout}
spec:
  replicas: 4
  strategy:
    canary:
      trafficRouting: {nginx: {}}
      analysis:
        templates: [{templateName: background}]
        args: [{name: hash, valueFrom: {podTemplateHashValue: Latest}}]
      steps:
      - setWeight: 25
      - analysis:
          templates: [{templateName: errors}]
          args: [{name: hash, valueFrom: {podTemplateHashValue: Latest}}]
      - setWeight: 50
      - pause: {duration: 30s}
---
kind: AnalysisTemplate
metadata: {name: errors}
spec:
  args: [{name: hash}]
  metrics:
  - name: errors
    interval: 10s
    count: 10
    successCondition: result[0] < 0.05
    provider:
      prometheus:
        query: sum(rate(errors_total{hash="{{args.hash}}"}[1m])) / sum(rate(requests_total{hash="{{args.hash}}"}[1m]))
---
kind: AnalysisTemplate
metadata: {name: background}
spec:
  args: [{name: hash}]
  metrics:
  - name: background-errors
    interval: 10s
    successCondition: result[0] < 0.5
    provider:
      prometheus:
        query: sum(rate(errors_total{hash="{{args.hash}}"}[1m])) / sum(rate(requests_total{hash="{{args.hash}}"}[1m]))
"#;

fn spec() -> RolloutSpec {
    RolloutSpec::from_yaml(MANIFEST).unwrap().remove(0)
}

fn gates(mode: Mode) -> RolloutGates {
    let templates = AnalysisTemplate::from_yaml(MANIFEST).unwrap();
    match mode {
        Mode::Strict => RolloutGates::strict(templates, Profile::V1_10),
        Mode::Native => RolloutGates::native(templates),
    }
}

/// Ten requests a second of version `v2`, of which a share fails.
fn traffic(failing: f64) -> Fixture {
    let count = |each: f64| (-120..900).step_by(5).map(move |second| (second, each * (second + 120) as f64));
    Fixture::default()
        .series(&[("__name__", "requests_total"), ("hash", "v2")], count(10.0))
        .series(&[("__name__", "errors_total"), ("hash", "v2")], count(10.0 * failing))
}

fn rolled_out(mode: Mode, source: &dyn Source) -> GatedRollout {
    let mut rollout = GatedRollout::new(spec(), mode, gates(mode)).unwrap();
    rollout.replay(source, ("v1", "v2"), at(0), at(800), |_, _, _| ()).unwrap();
    rollout
}

#[test]
fn a_good_version_is_promoted_and_a_bad_one_aborted_with_the_gates_words() {
    for mode in [Mode::Strict, Mode::Native] {
        let good = rolled_out(mode, &traffic(0.01));
        assert_eq!(good.rollout().stable(), Some("v2"), "{mode:?}");
        assert_eq!(good.rollout().phase(), RolloutPhase::Healthy);

        let bad = rolled_out(mode, &traffic(0.2));
        let machine = bad.rollout();
        assert_eq!(
            (machine.stable(), machine.weight(), machine.is_aborted()),
            (Some("v1"), 0, true),
            "{mode:?}"
        );
        let aborted = machine.last_abort().unwrap();
        assert_eq!((aborted.step, aborted.weight), (Some(1), 25));
        // The evidence of the moment stays.
        assert!(
            aborted.runs.iter().any(|run| bad.report(run).is_some_and(|report| !report.checks.is_empty()))
        );
        assert!(machine.message().contains("phase error/failed: "), "{}", machine.message());
    }
}

#[test]
fn silence_never_promotes() {
    for mode in [Mode::Strict, Mode::Native] {
        let rollout = rolled_out(mode, &Fixture::default());
        assert_eq!(rollout.rollout().stable(), Some("v1"), "{mode:?}");
    }
}

#[test]
fn a_run_that_is_left_has_not_passed_in_native_mode() {
    for (mode, phase) in [(Mode::Strict, Phase::Successful), (Mode::Native, Phase::Inconclusive)] {
        let source = traffic(0.04);
        let mut rollout = GatedRollout::new(spec(), mode, gates(mode)).unwrap();
        rollout.replay(&source, ("v1", "v2"), at(0), at(20), |_, _, _| ()).unwrap();
        rollout.command(at(21), RolloutCommand::SkipCurrentStep).unwrap();
        rollout.tick(at(21), &source).unwrap();
        let run = rollout.rollout().runs().iter().find(|run| run.name == "checkout-v2-2-1").unwrap();
        assert_eq!((run.terminate, run.phase), (true, phase));
        assert!(rollout.report("checkout-v2-2-1").is_some_and(|report| !report.settled));
    }
}

#[test]
fn time_that_goes_back_changes_nothing() {
    let source = traffic(0.01);
    for mode in [Mode::Strict, Mode::Native] {
        let mut rollout = GatedRollout::new(spec(), mode, gates(mode)).unwrap();
        rollout.replay(&source, ("v1", "v2"), at(0), at(20), |_, _, _| ()).unwrap();
        rollout.command(at(60), RolloutCommand::Pause).unwrap();
        let before = rollout.state();
        // Gates are due, and what they would say would be told to nobody.
        assert_eq!(rollout.tick(at(50), &source).unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(rollout.state(), before, "{mode:?}");
    }
}

/// As [`traffic`], of which a share fails that is another one from an instant on.
fn turning(before: f64, turns: i64, after: f64) -> Fixture {
    let requests = |second: i64| 10.0 * (second + 120) as f64;
    let failed = move |second: i64| {
        10.0 * (before * (second.min(turns) + 120) as f64 + after * (second - turns).max(0) as f64)
    };
    let every = || (-120..3_000).step_by(5);
    Fixture::default()
        .series(&[("__name__", "requests_total"), ("hash", "v2")], every().map(|time| (time, requests(time))))
        .series(&[("__name__", "errors_total"), ("hash", "v2")], every().map(|time| (time, failed(time))))
}

#[test]
fn the_gate_beside_the_steps_looks_on_until_they_are_done() {
    // The step takes its time; meanwhile nobody but the gate beside it looks.
    let mut spec = spec();
    spec.canary.steps.push(CanaryStep::Pause(Some(900)));
    let run = |source: &Fixture| {
        let mut rollout = GatedRollout::new(spec.clone(), Mode::Native, gates(Mode::Native)).unwrap();
        let mut told = Vec::new();
        let each = |now: Timestamp, _: &GatedRollout, events: &[RolloutEvent]| {
            told.extend(events.iter().map(|event| (now, event.clone())));
        };
        rollout.replay(source, ("v1", "v2"), at(0), at(2_000), each).unwrap();
        (rollout, told)
    };
    let name = "checkout-v2-2";
    let passes = |event: &RolloutEvent, wanted: bool| matches!(event, RolloutEvent::RunPasses { run, passes, .. } if run == name && *passes == wanted);

    let (bad, told) = run(&turning(0.01, 600, 0.9));
    let machine = bad.rollout();
    assert_eq!((machine.stable(), machine.is_aborted()), (Some("v1"), true), "{told:?}");
    let first = told.iter().find(|(_, event)| passes(event, true)).unwrap();
    assert!(first.0 < at(300), "it had passed before: {told:?}");
    let aborted = machine.last_abort().unwrap();
    assert!(aborted.at > at(600) && aborted.at < at(700), "{aborted:?}");
    assert!(
        aborted.message.contains("Background analysis phase error/failed: background-errors: it had passed"),
        "{aborted:?}"
    );

    let (good, told) = run(&turning(0.01, 3_000, 0.0));
    let machine = good.rollout();
    assert_eq!((machine.stable(), machine.phase()), (Some("v2"), RolloutPhase::Healthy), "{told:?}");
    let background = machine.runs().iter().find(|run| run.name == name).unwrap();
    assert_eq!((background.phase, background.passes), (Phase::Successful, false));
    assert!(!told.iter().any(|(_, event)| matches!(event, RolloutEvent::NotJudged { .. })), "{told:?}");
    // What is promoted is what passed at the look before.
    assert_eq!(good.report(name).unwrap().verdict, Verdict::Pass);
}

#[test]
fn a_gate_beside_the_steps_that_passes_no_longer_holds_the_promotion_back() {
    // The canary answers nothing from some time after its gates have passed.
    let silent = |time: i64| if time > 200 { 200 } else { time };
    let count =
        |each: f64| (-120..900).step_by(5).map(move |second| (second, each * (silent(second) + 120) as f64));
    let away = Fixture::default()
        .series(
            &[("__name__", "requests_total"), ("hash", "v2")],
            count(10.0).filter(|(time, _)| *time <= 200),
        )
        .series(&[("__name__", "errors_total"), ("hash", "v2")], count(0.0).filter(|(time, _)| *time <= 200));
    let mut spec = spec();
    spec.canary.steps.push(CanaryStep::Pause(Some(400)));
    let mut rollout = GatedRollout::new(spec, Mode::Native, gates(Mode::Native)).unwrap();
    rollout.replay(&away, ("v1", "v2"), at(0), at(800), |_, _, _| ()).unwrap();
    let machine = rollout.rollout();
    assert_eq!((machine.stable(), machine.is_aborted()), (Some("v1"), false));
    let background = machine.runs().iter().find(|run| run.name == "checkout-v2-2").unwrap();
    assert_eq!((background.phase, background.passes), (Phase::Running, false));
    assert_eq!(rollout.report("checkout-v2-2").unwrap().reasons[0].code(), "stale");
}

#[test]
fn a_template_may_say_that_its_gate_beside_the_steps_ends_with_its_pass() {
    let text = MANIFEST.replace(
        "metadata: {name: background}",
        "metadata: {name: background, annotations: {promgate.dev/native: 'watch: off'}}",
    );
    let gates = RolloutGates::native(AnalysisTemplate::from_yaml(&text).unwrap());
    let mut rollout = GatedRollout::new(spec(), Mode::Native, gates).unwrap();
    rollout.replay(&traffic(0.01), ("v1", "v2"), at(0), at(100), |_, _, _| ()).unwrap();
    let background = rollout.rollout().runs().iter().find(|run| run.name == "checkout-v2-2").unwrap();
    assert_eq!(background.phase, Phase::Successful);
}

#[test]
fn a_gate_may_stand_for_a_template_and_then_decides_by_evidence() {
    let errors = r#"errors_total{hash="v2"}"#;
    let check = Check::ratio("errors", errors, r#"requests_total{hash="v2"}"#).below(0.05);
    let gate = GateSpec::builder("by evidence").check(check).build().unwrap();
    for (failing, stable) in [(0.01, "v2"), (0.2, "v1")] {
        let gates = RolloutGates::strict(Vec::new(), Profile::V1_10)
            .with_gate("errors", gate.clone())
            .with_gate("background", gate.clone());
        let mut rollout = GatedRollout::new(spec(), Mode::Native, gates).unwrap();
        rollout.replay(&traffic(failing), ("v1", "v2"), at(0), at(800), |_, _, _| ()).unwrap();
        assert_eq!(rollout.rollout().stable(), Some(stable));
    }
}

#[test]
fn what_could_not_be_measured_is_refused_before_anything_is_deployed() {
    let refused = |spec: RolloutSpec, gates: RolloutGates| {
        GatedRollout::new(spec, Mode::Strict, gates).unwrap_err().to_string()
    };
    let missing = refused(spec(), RolloutGates::strict(Vec::new(), Profile::V1_10));
    assert!(missing.contains("steps[1]: AnalysisTemplate 'errors' not found"), "{missing}");
    let mut endless = spec();
    if let CanaryStep::Analysis(analysis) = &mut endless.canary.steps[1] {
        analysis.templates[0].template_name = "background".to_owned();
    }
    let endless = refused(endless, gates(Mode::Strict));
    assert!(endless.contains("metric background-errors runs indefinitely"), "{endless}");
    let mut unresolved = spec();
    if let CanaryStep::Analysis(analysis) = &mut unresolved.canary.steps[1] {
        analysis.args.clear();
    }
    let unresolved = refused(unresolved, gates(Mode::Strict));
    assert!(unresolved.contains("args.hash was not resolved"), "{unresolved}");
}

#[test]
fn no_kind_of_error_at_any_stage_promotes() {
    for mode in [Mode::Strict, Mode::Native] {
        for kind in every_kind() {
            for first in [0, 1, 2, 3, 5, 8] {
                let rollout = rolled_out(mode, &Failing::new(traffic(0.01), kind, first, usize::MAX));
                assert_eq!(rollout.rollout().stable(), Some("v1"), "{mode:?} {kind:?} from {first} on");
            }
        }
        // The same source without an end of its answers promotes.
        let whole = Failing::new(traffic(0.01), ErrorKind::Io, usize::MAX, usize::MAX);
        assert_eq!(rolled_out(mode, &whole).rollout().stable(), Some("v2"));
    }
}

fn blue_green(pre: &str, post: Option<&str>) -> RolloutSpec {
    let gate = |template: &str| {
        format!(
            "{{templates: [{{templateName: {template}}}], args: [{{name: hash, valueFrom: {{podTemplateHashValue: Latest}}}}]}}"
        )
    };
    let after = post.map(|post| format!(", postPromotionAnalysis: {}", gate(post))).unwrap_or_default();
    let manifest = format!(
        "kind: Rollout\nmetadata: {{name: checkout}}\nspec: {{replicas: 4, strategy: {{blueGreen: {{prePromotionAnalysis: {}{after}}}}}}}\n",
        gate(pre),
    );
    RolloutSpec::from_yaml(&manifest).unwrap().remove(0)
}

/// Rolls out blue-green and tells whether the traffic was switched to the new version.
fn switched(mode: Mode, spec: RolloutSpec, source: &Failing) -> (GatedRollout, bool) {
    let mut rollout = GatedRollout::new(spec, mode, gates(mode)).unwrap();
    let mut switched = false;
    let each = |_: Timestamp, _: &GatedRollout, events: &[RolloutEvent]| {
        let is_switch =
            |event: &RolloutEvent| matches!(event, RolloutEvent::Switched { version } if version == "v2");
        switched |= events.iter().any(is_switch);
    };
    rollout.replay(source, ("v1", "v2"), at(0), at(800), each).unwrap();
    (rollout, switched)
}

#[test]
fn no_kind_of_error_at_any_question_switches_or_promotes_in_blue_green() {
    for mode in [Mode::Strict, Mode::Native] {
        // What is asked before the switch is what a rollout without a gate after it asks.
        let asked = |post: Option<&str>| {
            let source = Failing::new(traffic(0.01), ErrorKind::Io, usize::MAX, usize::MAX);
            let (rollout, switched) = switched(mode, blue_green("errors", post), &source);
            assert!(switched && rollout.rollout().stable() == Some("v2"), "without a failure it is promoted");
            source.asked()
        };
        let (before, all) = (asked(None), asked(Some("errors")));
        assert!(0 < before && before < all, "each gate asks");
        for kind in every_kind() {
            for first in 0..all {
                let source = Failing::new(traffic(0.01), kind, first, usize::MAX);
                let (rollout, switched) = switched(mode, blue_green("errors", Some("errors")), &source);
                assert_eq!(rollout.rollout().stable(), Some("v1"), "{mode:?} {kind:?} from {first} on");
                assert_eq!(switched, first >= before, "{mode:?} {kind:?} from {first} on");
            }
        }
    }
}

#[test]
fn an_analysis_that_is_changed_while_it_runs_begins_anew_stopped_in_between_or_not() {
    let canary = |limit: &str| {
        let mut spec = spec();
        let CanaryStep::Analysis(analysis) = &mut spec.canary.steps[1] else { panic!("{spec:?}") };
        analysis
            .args
            .push(RolloutArgument { name: "limit".to_owned(), value: ArgumentValue::Text(limit.to_owned()) });
        let background = spec.canary.background.as_mut().unwrap();
        background.analysis.args.extend(analysis.args.last().cloned());
        spec
    };
    let source = traffic(0.01);
    for mode in [Mode::Strict, Mode::Native] {
        for (one, other) in
            [(blue_green("errors", None), blue_green("other", None)), (canary("1"), canary("2"))]
        {
            let text =
                MANIFEST.replace("args: [{name: hash}]", "args: [{name: hash}, {name: limit, value: '0'}]");
            let mut templates = AnalysisTemplate::from_yaml(&text).unwrap();
            templates.push(AnalysisTemplate { name: "other".to_owned(), ..templates[0].clone() });
            let gates = || match mode {
                Mode::Strict => RolloutGates::strict(templates.clone(), Profile::V1_10),
                Mode::Native => RolloutGates::native(templates.clone()),
            };
            let mut steady = GatedRollout::new(one.clone(), mode, gates()).unwrap();
            steady.replay(&source, ("v1", "v2"), at(0), at(10), |_, _, _| ()).unwrap();
            let begun = steady.running.len();
            assert!(begun > 0);
            steady.update(at(11), other.clone()).unwrap();
            assert!(steady.running.is_empty(), "{mode:?}: every analysis that runs has changed");
            let state = steady.state();
            let mut stopped = GatedRollout::resume(other.clone(), mode, gates(), state).unwrap();
            let events = steady.settle(at(11), &source).unwrap();
            assert_eq!(stopped.settle(at(11), &source).unwrap(), events);
            assert_eq!(stopped.state(), steady.state());
            let left = events.iter().filter(|event| matches!(event, RolloutEvent::NotJudged { .. }));
            assert_eq!(left.count(), begun);
            while let Some(due) = steady.next_due().filter(|due| *due <= at(800)) {
                steady.settle(due, &source).unwrap();
            }
            assert_eq!(steady.rollout().stable(), Some("v2"), "{mode:?}: {}", steady.rollout().message());
        }
    }
}

#[test]
fn a_rollout_that_is_stopped_at_every_tick_and_resumed_is_the_same_rollout() {
    for (mode, failing) in
        [(Mode::Strict, 0.01), (Mode::Strict, 0.2), (Mode::Native, 0.01), (Mode::Native, 0.2)]
    {
        let source = traffic(failing);
        let whole = rolled_out(mode, &source);
        let mut stopped = GatedRollout::new(spec(), mode, gates(mode)).unwrap();
        stopped.deploy(at(0), "v1").unwrap();
        stopped.settle(at(0), &source).unwrap();
        stopped.deploy(at(0), "v2").unwrap();
        let mut stops = 0;
        while let Some(due) = stopped.next_due().filter(|due| *due <= at(800)) {
            stopped.tick(due, &source).unwrap();
            for set in stopped.rollout().replica_sets().to_vec() {
                stopped.observe(&set.version, set.wanted, set.wanted).unwrap();
            }
            let state = if stops % 2 == 0 {
                GatedRolloutState::from_json(&stopped.state().to_json().unwrap())
            } else {
                GatedRolloutState::from_bytes(&stopped.state().to_bytes())
            };
            let state = state.unwrap();
            stopped = GatedRollout::resume(spec(), mode, gates(mode), state).unwrap();
            stops += 1;
        }
        assert!(stops > 1);
        assert_eq!(stopped.state(), whole.state(), "{mode:?} {failing}");
    }
}

#[test]
fn a_state_of_which_anything_was_damaged_is_refused() {
    for mode in [Mode::Strict, Mode::Native] {
        let mut rollout = GatedRollout::new(spec(), mode, gates(mode)).unwrap();
        rollout.replay(&traffic(0.04), ("v1", "v2"), at(0), at(20), |_, _, _| ()).unwrap();
        assert!(!rollout.running.is_empty());
        let state = rollout.state();
        every_edit_is_refused(&state.to_json().unwrap(), GatedRolloutState::from_json);
        let bytes = state.to_bytes();
        assert_eq!(GatedRolloutState::from_bytes(&bytes).unwrap(), state);
        for place in 0..bytes.len() {
            let mut edited = bytes.clone();
            edited[place] ^= 1 << (place % 8);
            assert_eq!(GatedRolloutState::from_bytes(&edited).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
}
