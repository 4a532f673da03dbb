//! Rollouts over recordings of real canaries: no broken one is promoted, no good one is aborted, and what is stopped goes on.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test reads files and stops at what is wrong"
)]

#[path = "support/rollout_play.rs"]
mod rollout_play;
mod support;

use promgate::argo::{AnalysisTemplate, Profile};
use promgate::rollout::{GatedRollout, GatedRolloutState, RolloutGates, RolloutSpec};
use promgate::{GateSpec, Mode};
use support::recordings::{Folder, folders};

/// Blue-green rollouts as Argo's controller walked through them, in the form of the conformance data.
const BLUE_GREEN: &str = include_str!("rollouts/blue_green.json");
/// Canary and blue-green rollouts drawn at random, the same way.
const DRAWN: &str = include_str!("rollouts/drawn.json");
const ROLLOUT: &str = include_str!("../examples/data/rollout.yaml");
const TEMPLATE: &str = include_str!("../examples/data/walkthrough.yaml");
const GATE: &str = include_str!("../examples/data/user-requests.gate.yaml");

fn spec() -> RolloutSpec {
    RolloutSpec::from_yaml(ROLLOUT).unwrap().remove(0)
}

fn gates(folder: &Folder, mode: Mode) -> RolloutGates {
    match mode {
        Mode::Native => {
            let args = [("namespace", folder.namespace.as_str()), ("canary-hash", folder.hash.as_str())];
            RolloutGates::native(Vec::new())
                .with_gate("hotrod-analysis", GateSpec::from_yaml(GATE, &args).unwrap())
        }
        _ => RolloutGates::strict(AnalysisTemplate::from_yaml(TEMPLATE).unwrap(), Profile::V1_10),
    }
}

fn rolled_out(folder: &Folder, mode: Mode) -> GatedRollout {
    let mut rollout = GatedRollout::new(spec(), mode, gates(folder, mode)).unwrap();
    let versions = ("stable", folder.hash.as_str());
    rollout.replay(&folder.source, versions, folder.run_start, folder.end, |_, _, _| ()).unwrap();
    rollout
}

#[test]
fn by_evidence_no_broken_canary_is_promoted_and_no_good_one_aborted() {
    for folder in folders() {
        let rollout = rolled_out(&folder, Mode::Native);
        let machine = rollout.rollout();
        if folder.healthy {
            assert!(!machine.is_aborted(), "{}: {}", folder.name, machine.message());
        } else {
            assert_eq!(machine.stable(), Some("stable"), "{}", folder.name);
        }
    }
}

#[test]
fn by_argos_rules_every_recording_is_promoted_or_not_as_its_gates_said() {
    for folder in folders() {
        let rollout = rolled_out(&folder, Mode::Strict);
        let said = folder.expected["seed_gates"]["run"].as_str();
        assert_eq!(
            rollout.rollout().stable() == Some(folder.hash.as_str()),
            said == Some("Successful"),
            "{}: {said:?}, {}",
            folder.name,
            rollout.rollout().message()
        );
    }
}

#[test]
fn a_rollout_that_is_stopped_at_every_tick_and_resumed_is_the_same_rollout() {
    for folder in folders() {
        for mode in [Mode::Strict, Mode::Native] {
            let mut rollout = GatedRollout::new(spec(), mode, gates(&folder, mode)).unwrap();
            let mut deploy = vec![folder.hash.as_str(), "stable"];
            let mut now = folder.run_start;
            loop {
                if rollout.next_due().is_none_or(|due| due > now)
                    && let Some(version) = deploy.pop()
                {
                    rollout.deploy(now, version).unwrap();
                }
                let Some(due) = rollout.next_due().filter(|due| *due <= folder.end) else { break };
                now = due;
                rollout.tick(now, &folder.source).unwrap();
                for set in rollout.rollout().replica_sets().to_vec() {
                    rollout.observe(&set.version, set.wanted, set.wanted).unwrap();
                }
                let state = GatedRolloutState::from_json(&rollout.state().to_json().unwrap()).unwrap();
                rollout = GatedRollout::resume(spec(), mode, gates(&folder, mode), state).unwrap();
            }
            assert!(rollout.state() == rolled_out(&folder, mode).state(), "{} {mode:?}", folder.name);
        }
    }
}

fn play(document: &str, least: usize) {
    let document: serde_json::Value = serde_json::from_str(document).unwrap();
    let cases = document["cases"].as_array().unwrap();
    assert!(cases.len() >= least);
    let failed = cases.iter().filter_map(|case| {
        let played = rollout_play::is_played(case).err()?;
        Some(format!("{} ({}), {played}", case["id"], case["about"]))
    });
    let failed: Vec<String> = failed.collect();
    assert!(failed.is_empty(), "{} cases\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn blue_green_rollouts_go_as_argos_controller_has_them_go() {
    play(BLUE_GREEN, 111);
}

#[test]
fn rollouts_of_any_kind_go_as_argos_controller_has_them_go() {
    play(DRAWN, 163);
}
