use super::*;
use crate::error::{Error, ErrorKind};
use crate::gate::argo::{AnalysisTemplate, Profile};
use crate::gate::checked::tests::every_edit_is_refused;
use crate::gate::fixture::Fixture;
use crate::gate::rollout::{CanaryStep, RolloutPhase};
use crate::gate::spec::{Check, GateSpec};
use crate::source::{SelectRequest, SeriesSet};
use std::sync::atomic::{AtomicU32, Ordering};

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

/// A source that fails from its n-th question on, with one kind of error.
struct Failing {
    source: Fixture,
    kind: ErrorKind,
    left: AtomicU32,
}

impl Source for Failing {
    fn select(&self, request: &SelectRequest<'_>) -> Result<SeriesSet> {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            return Err(Error::new(self.kind, "as the test wants it"));
        }
        self.left.store(left - 1, Ordering::Relaxed);
        self.source.select(request)
    }
}

/// Every kind of error; a new one does not compile until it stands here.
fn every_kind() -> Vec<ErrorKind> {
    let all = [
        ErrorKind::Parse,
        ErrorKind::Query,
        ErrorKind::InvalidArgument,
        ErrorKind::Unsupported,
        ErrorKind::OutOfOrder,
        ErrorKind::Canceled,
        ErrorKind::TimedOut,
        ErrorKind::Limit,
        ErrorKind::Corrupt,
        ErrorKind::Io,
        ErrorKind::Closed,
        ErrorKind::Locked,
        ErrorKind::Full,
        ErrorKind::Failed,
    ];
    for kind in all {
        match kind {
            ErrorKind::Parse
            | ErrorKind::Query
            | ErrorKind::InvalidArgument
            | ErrorKind::Unsupported
            | ErrorKind::OutOfOrder
            | ErrorKind::Canceled
            | ErrorKind::TimedOut
            | ErrorKind::Limit
            | ErrorKind::Corrupt
            | ErrorKind::Io
            | ErrorKind::Closed
            | ErrorKind::Locked
            | ErrorKind::Full
            | ErrorKind::Failed => {}
        }
    }
    all.to_vec()
}

#[test]
fn no_kind_of_error_at_any_stage_promotes() {
    for mode in [Mode::Strict, Mode::Native] {
        let failing = |kind, left| Failing { source: traffic(0.01), kind, left: AtomicU32::new(left) };
        for kind in every_kind() {
            for left in [0, 1, 2, 3, 5, 8] {
                let rollout = rolled_out(mode, &failing(kind, left));
                assert_eq!(rollout.rollout().stable(), Some("v1"), "{mode:?} {kind:?} after {left}");
            }
        }
        // The same source without an end of its answers promotes.
        assert_eq!(rolled_out(mode, &failing(ErrorKind::Io, u32::MAX)).rollout().stable(), Some("v2"));
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
            let text = stopped.state().to_json().unwrap();
            let state = GatedRolloutState::from_json(&text).unwrap();
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
        every_edit_is_refused(&rollout.state().to_json().unwrap(), GatedRolloutState::from_json);
    }
}
