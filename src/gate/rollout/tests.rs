//! Rules of the machine that the conformance cases do not hold.

mod laws;

use super::*;
use crate::error::Result;
use crate::gate::argo::Phase;
use crate::gate::binary::tests::every_flip_is_refused;
use crate::gate::checked::tests::every_edit_is_refused;
use crate::gate::report::Mode;
use crate::model::Timestamp;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

fn spec(canary: &str) -> RolloutSpec {
    let manifest = format!(
        r#"{{"kind": "Rollout", "metadata": {{"name": "checkout"}}, "spec": {{"replicas": 10, "strategy": {{"canary": {canary}}}}}}}"#
    );
    RolloutSpec::from_json(&manifest).unwrap()
}

const ONCE: &str = r#"{"templates": [{"templateName": "once"}]}"#;

/// Weight 20, a gate, weight 60, a pause, with a router and a background analysis.
fn gated() -> RolloutSpec {
    spec(&format!(
        r#"{{"trafficRouting": {{"smi": {{}}}}, "analysis": {ONCE}, "steps": [{{"setWeight": 20}}, {{"analysis": {ONCE}}},
            {{"setWeight": 60}}, {{"pause": {{"duration": 60}}}}]}}"#
    ))
}

fn routed(steps: &str) -> RolloutSpec {
    spec(&format!(r#"{{"trafficRouting": {{"smi": {{}}}}, "steps": {steps}}}"#))
}

/// Ticks until nothing changes, with pods that are there at once and runs that begin and end when they are asked to.
fn settle(rollout: &mut Rollout, now: i64) {
    for _ in 0..200 {
        if rollout.next_due().is_none_or(|due| due > at(now)) {
            return;
        }
        rollout.tick(at(now)).unwrap();
        follow(rollout);
    }
    panic!("the rollout does not come to rest: {rollout:?}");
}

fn follow(rollout: &mut Rollout) {
    for set in rollout.replica_sets().to_vec() {
        rollout.observe(&set.version, set.wanted, set.wanted).unwrap();
    }
    for run in rollout.runs().to_vec() {
        if run.terminate {
            rollout.judge(&run.name, Phase::Successful, "Run Terminated").unwrap();
        } else {
            rollout.judge(&run.name, Phase::Running, "").unwrap();
        }
    }
}

/// Lets time pass, instant by instant.
fn pass_time(rollout: &mut Rollout, until: i64) {
    while let Some(due) = rollout.next_due().filter(|due| *due <= at(until)) {
        settle(rollout, due.as_millis().div_euclid(1000));
    }
}

/// A rollout of `v2` in the place of `v1`, begun at second 0.
fn begun(spec: RolloutSpec, mode: Mode) -> Rollout {
    let mut rollout = Rollout::new(spec, mode).unwrap();
    rollout.deploy(at(-100), "v1").unwrap();
    settle(&mut rollout, -100);
    assert_eq!((rollout.stable(), rollout.phase()), (Some("v1"), RolloutPhase::Healthy));
    rollout.deploy(at(0), "v2").unwrap();
    settle(&mut rollout, 0);
    rollout
}

fn end(rollout: &mut Rollout, purpose: RunPurpose, phase: Phase, message: &str, now: i64) {
    let open = rollout.runs().iter().rev().find(|run| run.purpose == purpose && run.is_open());
    let name = open.unwrap().name.clone();
    rollout.judge(&name, phase, message).unwrap();
    settle(rollout, now);
}

#[test]
fn a_new_version_in_the_middle_begins_from_the_first_step_and_the_one_between_goes() {
    let mut rollout = begun(routed(r#"[{"setWeight": 20}, {"pause": {}}]"#), Mode::Strict);
    assert_eq!((rollout.step(), rollout.weight()), (Some(1), 20));
    rollout.deploy(at(10), "v3").unwrap();
    settle(&mut rollout, 10);
    assert_eq!((rollout.step(), rollout.version(), rollout.weight()), (Some(1), Some("v3"), 20));
    let pods =
        |version: &str| rollout.replica_sets().iter().find(|set| set.version == version).unwrap().wanted;
    assert_eq!((pods("v1"), pods("v2"), pods("v3")), (10, 0, 2));
    // Also after an abort, whose reason is gone with the version.
    rollout.command(at(20), RolloutCommand::Abort).unwrap();
    settle(&mut rollout, 20);
    assert_eq!(rollout.message(), "RolloutAborted: Rollout aborted update to revision 3");
    rollout.deploy(at(30), "v4").unwrap();
    settle(&mut rollout, 30);
    assert!(!rollout.is_aborted() && rollout.last_abort().is_none());
    assert_eq!((rollout.step(), rollout.phase()), (Some(1), RolloutPhase::Paused));
}

#[test]
fn changed_steps_begin_again_unless_nothing_is_in_flight() {
    let other = || routed(r#"[{"setWeight": 30}, {"pause": {}}, {"setWeight": 50}]"#);
    let mut rollout = begun(routed(r#"[{"setWeight": 20}, {"pause": {}}]"#), Mode::Strict);
    rollout.update(at(10), other()).unwrap();
    settle(&mut rollout, 10);
    assert_eq!((rollout.step(), rollout.weight()), (Some(1), 30));
    rollout.command(at(20), RolloutCommand::PromoteFull).unwrap();
    settle(&mut rollout, 20);
    assert_eq!((rollout.step(), rollout.stable()), (Some(3), Some("v2")));
    rollout.update(at(30), routed(r#"[{"setWeight": 40}]"#)).unwrap();
    settle(&mut rollout, 30);
    assert_eq!((rollout.step(), rollout.phase()), (Some(1), RolloutPhase::Healthy));
}

#[test]
fn the_weight_stays_the_same_share_when_all_traffic_is_another_number() {
    let weighed = |most: i64, weight: i64| {
        spec(&format!(
            r#"{{"trafficRouting": {{"smi": {{}}, "maxTrafficWeight": {most}}}, "dynamicStableScale": true,
                "steps": [{{"setWeight": {weight}}}, {{"pause": {{}}}}]}}"#
        ))
    };
    let mut rollout = begun(weighed(1000, 500), Mode::Strict);
    assert_eq!(rollout.weight(), 500);
    rollout.update(at(1), weighed(100, 50)).unwrap();
    assert_eq!(rollout.weight(), 50);
    assert!(Rollout::resume(weighed(100, 50), Mode::Strict, rollout.state()).is_ok());
    rollout.command(at(1), RolloutCommand::Abort).unwrap();
    for _ in 0..20 {
        rollout.tick(at(1)).unwrap();
        assert!(rollout.replica_sets().iter().all(|set| set.wanted <= 10), "{rollout:?}");
        follow(&mut rollout);
    }
}

#[test]
fn an_abort_without_delay_keeps_the_canary_only_for_a_scale_in_step_0() {
    let canary = |steps: &str| {
        spec(&format!(
            r#"{{"trafficRouting": {{"smi": {{}}}}, "abortScaleDownDelaySeconds": 0, "steps": {steps}}}"#
        ))
    };
    for (steps, kept) in [
        (r#"[{"setCanaryScale": {"replicas": 3}}, {"setWeight": 20}, {"pause": {}}]"#, 3),
        (r#"[{"setWeight": 20}, {"setCanaryScale": {"replicas": 3}}, {"pause": {}}]"#, 0),
    ] {
        let mut rollout = begun(canary(steps), Mode::Strict);
        let pods = |rollout: &Rollout| rollout.replica_sets().last().unwrap().wanted;
        assert_eq!((pods(&rollout), rollout.weight(), rollout.step()), (3, 20, Some(2)), "{steps}");
        rollout.command(at(10), RolloutCommand::Abort).unwrap();
        settle(&mut rollout, 10);
        assert_eq!((pods(&rollout), rollout.weight()), (kept, 0), "{steps}");
    }
}

#[test]
fn time_at_a_gate_never_exceeds_the_progress_deadline() {
    for mode in [Mode::Strict, Mode::Native] {
        let mut rollout = begun(gated(), mode);
        pass_time(&mut rollout, 1_000_000);
        assert_eq!(rollout.phase(), RolloutPhase::Progressing);
        assert_eq!((rollout.step(), rollout.weight()), (Some(1), 20));
    }
}

#[test]
fn promote_pressed_twice_skips_a_gate_in_strict_mode_and_is_refused_in_native_mode() {
    let steps =
        format!(r#"[{{"setWeight": 20}}, {{"pause": {{}}}}, {{"analysis": {ONCE}}}, {{"pause": {{}}}}]"#);
    let mut rollout = begun(routed(&steps), Mode::Strict);
    rollout.command(at(10), RolloutCommand::Promote).unwrap();
    settle(&mut rollout, 10);
    assert_eq!(rollout.step(), Some(2));
    rollout.command(at(11), RolloutCommand::Promote).unwrap();
    settle(&mut rollout, 11);
    assert_eq!(rollout.step(), Some(3));

    let mut rollout = begun(routed(&steps), Mode::Native);
    rollout.command(at(10), RolloutCommand::Promote).unwrap();
    settle(&mut rollout, 10);
    let before = rollout.clone();
    let error = rollout.command(at(11), RolloutCommand::Promote).unwrap_err();
    assert!(error.to_string().contains("at step analysis"), "{error}");
    assert_eq!(rollout, before);
    // Skipping is a command of its own.
    rollout.command(at(12), RolloutCommand::SkipCurrentStep).unwrap();
    settle(&mut rollout, 12);
    assert_eq!(rollout.step(), Some(3));
}

#[test]
fn in_native_mode_what_cannot_be_told_stops_the_clock_and_passes_no_pause_over() {
    let steps = r#"[{"setWeight": 20}, {"pause": {"duration": 60}}, {"pause": {}}, {"setWeight": 60}, {"pause": {}}]"#;
    let canary = format!(r#"{{"trafficRouting": {{"smi": {{}}}}, "analysis": {ONCE}, "steps": {steps}}}"#);
    let mut rollout = begun(spec(&canary), Mode::Native);
    pass_time(&mut rollout, 30);
    rollout.judge("checkout-v2-2", Phase::Inconclusive, "41 requests so far").unwrap();
    settle(&mut rollout, 30);
    pass_time(&mut rollout, 1000);
    assert_eq!((rollout.step(), rollout.phase()), (Some(1), RolloutPhase::Paused));
    rollout.command(at(1000), RolloutCommand::Resume).unwrap();
    settle(&mut rollout, 1000);
    // A new background run, and 30 s of the pause are left.
    assert_eq!(rollout.runs().len(), 2);
    pass_time(&mut rollout, 1029);
    assert_eq!(rollout.step(), Some(1));
    pass_time(&mut rollout, 1031);
    assert_eq!((rollout.step(), rollout.phase()), (Some(2), RolloutPhase::Paused));
    pass_time(&mut rollout, 5000);
    assert_eq!(rollout.step(), Some(2));
}

#[test]
fn in_native_mode_promotion_waits_for_the_background_analysis() {
    let canary = format!(
        r#"{{"trafficRouting": {{"smi": {{}}}}, "analysis": {ONCE}, "steps": [{{"setWeight": 50}}]}}"#
    );
    let strict = begun(spec(&canary), Mode::Strict);
    assert_eq!(strict.stable(), Some("v2"));

    let waiting = begun(spec(&canary), Mode::Native);
    assert_eq!((waiting.stable(), waiting.step(), waiting.weight()), (Some("v1"), Some(1), 100));
    assert_eq!(waiting.message(), "waiting for all steps to complete");

    let mut passed = waiting.clone();
    end(&mut passed, RunPurpose::Background, Phase::Successful, "", 10);
    assert_eq!(passed.stable(), Some("v2"));

    let mut failed = waiting.clone();
    end(&mut failed, RunPurpose::Background, Phase::Failed, "too many errors", 10);
    assert_eq!((failed.stable(), failed.weight(), failed.is_aborted()), (Some("v1"), 0, true));
    let aborted = failed.last_abort().unwrap();
    assert_eq!((aborted.step, aborted.weight), (Some(1), 100));
    assert_eq!(aborted.message, "Background analysis phase error/failed: too many errors");
    assert_eq!(aborted.runs, ["checkout-v2-2"]);

    let mut unsure = waiting.clone();
    end(&mut unsure, RunPurpose::Background, Phase::Inconclusive, "", 10);
    assert_eq!((unsure.stable(), unsure.phase()), (Some("v1"), RolloutPhase::Paused));
    unsure.command(at(20), RolloutCommand::SkipCurrentStep).unwrap();
    settle(&mut unsure, 20);
    assert_eq!(unsure.stable(), Some("v2"));

    let endless = Rollout::new(spec(&canary), Mode::Native).unwrap().without_waiting_for_background();
    let mut endless = Rollout { state: waiting.state.clone(), ..endless };
    endless.state.unseen = true;
    settle(&mut endless, 10);
    assert_eq!(endless.stable(), Some("v2"));
}

#[test]
fn an_older_version_within_the_rollback_window_skips_all_steps() {
    let mut spec = routed(r#"[{"setWeight": 20}, {"pause": {}}]"#);
    spec.rollback_window = Some(1);
    let mut rollout = begun(spec, Mode::Strict);
    rollout.command(at(10), RolloutCommand::PromoteFull).unwrap();
    settle(&mut rollout, 10);
    assert_eq!(rollout.stable(), Some("v2"));
    rollout.deploy(at(20), "v1").unwrap();
    settle(&mut rollout, 20);
    assert_eq!((rollout.stable(), rollout.step()), (Some("v1"), Some(2)));
}

fn blue_green(strategy: &str) -> RolloutSpec {
    let manifest = format!(
        r#"{{"kind": "Rollout", "metadata": {{"name": "checkout"}}, "spec": {{"replicas": 10, "strategy": {{"blueGreen": {strategy}}}}}}}"#
    );
    RolloutSpec::from_json(&manifest).unwrap()
}

fn pods(rollout: &Rollout) -> Vec<(&str, i64)> {
    rollout.replica_sets().iter().map(|set| (set.version.as_str(), set.wanted)).collect()
}

#[test]
fn blue_green_switches_at_once_and_keeps_the_version_before_for_a_while() {
    let mut rollout = begun(blue_green("{}"), Mode::Strict);
    assert_eq!((rollout.active(), rollout.stable(), rollout.weight()), (Some("v2"), Some("v2"), 0));
    assert_eq!(pods(&rollout), [("v1", 10), ("v2", 10)]);
    pass_time(&mut rollout, 29);
    assert_eq!(pods(&rollout), [("v1", 10), ("v2", 10)]);
    pass_time(&mut rollout, 30);
    assert_eq!((pods(&rollout), rollout.phase()), (vec![("v1", 0), ("v2", 10)], RolloutPhase::Healthy));
}

#[test]
fn blue_green_waits_for_a_human_a_time_or_its_preview() {
    let mut rollout = begun(blue_green(r#"{"autoPromotionEnabled": false}"#), Mode::Strict);
    assert_eq!((rollout.active(), rollout.message()), (Some("v1"), "BlueGreenPause"));
    pass_time(&mut rollout, 100_000);
    assert_eq!(rollout.active(), Some("v1"));
    rollout.command(at(100_000), RolloutCommand::Promote).unwrap();
    settle(&mut rollout, 100_000);
    assert_eq!((rollout.active(), rollout.stable()), (Some("v2"), Some("v2")));

    let mut rollout =
        begun(blue_green(r#"{"autoPromotionSeconds": 60, "previewReplicaCount": 2}"#), Mode::Strict);
    assert_eq!((pods(&rollout), rollout.active()), (vec![("v1", 10), ("v2", 2)], Some("v1")));
    pass_time(&mut rollout, 59);
    assert_eq!(rollout.active(), Some("v1"));
    pass_time(&mut rollout, 60);
    assert_eq!((pods(&rollout), rollout.active()), (vec![("v1", 10), ("v2", 10)], Some("v2")));
}

#[test]
fn blue_green_is_judged_before_and_after_the_switch() {
    let analyses = format!(r#"{{"prePromotionAnalysis": {ONCE}, "postPromotionAnalysis": {ONCE}}}"#);
    for mode in [Mode::Strict, Mode::Native] {
        let waiting = begun(blue_green(&analyses), mode);
        assert_eq!((waiting.active(), waiting.message()), (Some("v1"), "active service cutover pending"));
        assert_eq!(waiting.runs()[0].name, "checkout-v2-2-pre");

        let mut failed = waiting.clone();
        end(&mut failed, RunPurpose::PrePromotion, Phase::Failed, "bad", 10);
        assert_eq!((failed.active(), failed.is_aborted()), (Some("v1"), true));
        pass_time(&mut failed, 40);
        assert_eq!(pods(&failed), [("v1", 10), ("v2", 0)]);

        let mut unsure = waiting.clone();
        end(&mut unsure, RunPurpose::PrePromotion, Phase::Inconclusive, "", 10);
        assert_eq!((unsure.active(), unsure.message()), (Some("v1"), "InconclusiveAnalysisRun"));
        unsure.command(at(20), RolloutCommand::Resume).unwrap();
        settle(&mut unsure, 20);
        assert_eq!((unsure.active(), unsure.runs().len()), (Some("v1"), 2));

        let mut switched = waiting.clone();
        end(&mut switched, RunPurpose::PrePromotion, Phase::Successful, "", 10);
        assert_eq!((switched.active(), switched.stable(), switched.weight()), (Some("v2"), Some("v1"), 100));
        assert_eq!(switched.message(), "waiting for analysis to complete");
        pass_time(&mut switched, 5000);
        assert_eq!(pods(&switched), [("v1", 10), ("v2", 10)]);

        let mut back = switched.clone();
        end(&mut back, RunPurpose::PostPromotion, Phase::Error, "", 6000);
        assert_eq!((back.active(), back.stable(), back.is_aborted()), (Some("v1"), Some("v1"), true));

        let mut home = switched.clone();
        home.deploy(at(6000), "v1").unwrap();
        settle(&mut home, 6000);
        assert_eq!((home.active(), home.phase()), (Some("v1"), RolloutPhase::Healthy));

        end(&mut switched, RunPurpose::PostPromotion, Phase::Successful, "", 6000);
        assert_eq!((switched.stable(), switched.phase()), (Some("v2"), RolloutPhase::Healthy));
    }
}

#[test]
fn the_strategy_changes_only_while_nothing_is_in_flight() {
    let mut rollout = begun(routed(r#"[{"setWeight": 20}, {"pause": {}}]"#), Mode::Strict);
    let analysed = || blue_green(&format!(r#"{{"prePromotionAnalysis": {ONCE}}}"#));
    let before = rollout.clone();
    assert!(rollout.update(at(10), analysed()).unwrap_err().to_string().contains("in flight"));
    assert_eq!(rollout, before);
    rollout.command(at(10), RolloutCommand::PromoteFull).unwrap();
    settle(&mut rollout, 10);
    rollout.update(at(20), analysed()).unwrap();
    settle(&mut rollout, 20);
    rollout.deploy(at(30), "v3").unwrap();
    settle(&mut rollout, 30);
    assert_eq!((rollout.active(), rollout.stable(), rollout.version()), (Some("v2"), Some("v2"), Some("v3")));
}

#[test]
fn commands_without_an_object_and_times_that_go_back_change_nothing() {
    let mut rollout = begun(routed(r#"[{"setWeight": 20}, {"pause": {}}]"#), Mode::Strict);
    let before = rollout.clone();
    assert!(rollout.command(at(10), RolloutCommand::Retry).is_err());
    assert!(rollout.tick(at(-1)).is_err());
    assert!(rollout.deploy(at(-1), "v3").is_err());
    assert!(rollout.deploy(at(0), "").is_err());
    assert!(rollout.deploy(at(0), &"v".repeat(254)).is_err());
    assert!(rollout.observe("v9", 1, 1).is_err());
    assert!(rollout.observe("v2", 1, 2).is_err());
    assert!(rollout.observe("v2", i64::MAX, 2).is_err());
    assert!(rollout.judge("no such run", Phase::Failed, "").is_err());
    assert_eq!(rollout, before);
}

#[test]
fn a_state_of_another_spec_or_version_is_refused() {
    let rollout = begun(gated(), Mode::Strict);
    let state = rollout.state();
    assert!(Rollout::resume(gated(), Mode::Strict, state.clone()).is_ok());
    assert!(Rollout::resume(gated(), Mode::Native, state.clone()).is_err());
    assert!(Rollout::resume(routed("[]"), Mode::Strict, state.clone()).is_err());
    let mut other = state.clone();
    other.0.version += 1;
    assert!(Rollout::resume(gated(), Mode::Strict, other).unwrap_err().to_string().contains("version"));
    let mut broken = state;
    broken.0.replica_sets[0].available = i64::MAX;
    assert!(Rollout::resume(gated(), Mode::Strict, broken).is_err());
    let mut broken = rollout.state();
    broken.0.weight.as_mut().unwrap().canary = 101;
    assert!(Rollout::resume(gated(), Mode::Strict, broken).is_err());
}

#[test]
fn a_state_that_was_damaged_is_refused_wherever_it_was_kept() {
    let mut rollout = begun(gated(), Mode::Strict);
    pass_time(&mut rollout, 20);
    let state = rollout.state();
    every_edit_is_refused(&state.to_json().unwrap(), RolloutState::from_json);
    every_flip_is_refused(&state, &state.to_bytes(), RolloutState::from_bytes);
    // Inside something else, and without the functions for JSON.
    let kept = serde_json::json!({"status": state});
    let back = |kept: &serde_json::Value| serde_json::from_value::<RolloutState>(kept["status"].clone());
    assert_eq!(back(&kept).unwrap(), state);
    let mut edited = kept;
    edited["status"]["state"]["stable"] = edited["status"]["state"]["wanted"].clone();
    let error = back(&edited).unwrap_err().to_string();
    assert!(error.contains("it is not what was written: its checksum is "), "{error}");
}

#[test]
fn in_native_mode_no_version_is_switched_to_for_its_pods_are_still_there() {
    let spec = || {
        blue_green(&format!(
            r#"{{"prePromotionAnalysis": {ONCE}, "abortScaleDownDelaySeconds": 600, "scaleDownDelaySeconds": 600}}"#
        ))
    };
    for (mode, active) in [(Mode::Native, "v3"), (Mode::Strict, "v2")] {
        let mut rollout = begun(spec(), mode);
        end(&mut rollout, RunPurpose::PrePromotion, Phase::Failed, "bad", 10);
        rollout.deploy(at(20), "v3").unwrap();
        settle(&mut rollout, 20);
        end(&mut rollout, RunPurpose::PrePromotion, Phase::Successful, "", 30);
        assert_eq!((rollout.active(), rollout.stable()), (Some("v3"), Some("v3")));
        rollout.deploy(at(40), "v2").unwrap();
        settle(&mut rollout, 40);
        // Its gate has failed `v2`. For Argo it is an earlier version that comes back.
        assert_eq!(rollout.active(), Some(active), "{mode:?}");
        // What has been stable comes back at once.
        rollout.deploy(at(50), "v1").unwrap();
        settle(&mut rollout, 50);
        assert_eq!((rollout.active(), rollout.stable()), (Some("v1"), Some("v1")), "{mode:?}");
    }
}

#[test]
fn in_native_mode_an_abort_switches_back_also_where_pods_are_gone_or_a_human_paused() {
    let spec = || blue_green(&format!(r#"{{"postPromotionAnalysis": {ONCE}}}"#));
    for paused in [false, true] {
        for (mode, active, pods_of_v2) in [(Mode::Native, "v1", 0), (Mode::Strict, "v2", 0)] {
            let mut rollout = begun(spec(), mode);
            assert_eq!((rollout.active(), rollout.stable()), (Some("v2"), Some("v1")));
            if paused {
                rollout.command(at(5), RolloutCommand::Pause).unwrap();
                rollout.command(at(10), RolloutCommand::Abort).unwrap();
            } else {
                rollout.observe("v2", 10, 3).unwrap();
                let run = rollout.runs()[0].name.clone();
                rollout.judge(&run, Phase::Failed, "bad").unwrap();
            }
            // No pod of `v2` becomes available any more.
            while rollout.next_due().is_some_and(|due| due <= at(10)) {
                rollout.tick(at(10)).unwrap();
            }
            assert_eq!((rollout.active(), rollout.is_aborted()), (Some(active), true), "{mode:?} {paused}");
            pass_time(&mut rollout, 60);
            assert_eq!(rollout.active(), Some(active), "{mode:?} {paused}");
            // With Argo the version that has the traffic has no pods then.
            assert_eq!(pods(&rollout), [("v1", 10), ("v2", pods_of_v2)], "{mode:?} {paused}");
        }
    }
}

#[test]
fn in_native_mode_a_human_need_not_wait_for_the_time_of_the_pause() {
    for (mode, active) in [(Mode::Native, "v2"), (Mode::Strict, "v1")] {
        let mut rollout = begun(blue_green(r#"{"autoPromotionSeconds": 60}"#), mode);
        rollout.command(at(20), RolloutCommand::Promote).unwrap();
        settle(&mut rollout, 20);
        pass_time(&mut rollout, 79);
        assert_eq!(rollout.active(), Some(active), "{mode:?}");
        pass_time(&mut rollout, 80);
        assert_eq!(rollout.active(), Some("v2"), "{mode:?}");
    }
}
