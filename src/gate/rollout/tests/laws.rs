//! Laws of the machine over random lives.

use proptest::prelude::*;

use super::*;

/// Something that happens to a rollout.
#[derive(Clone, Debug)]
enum Happening {
    Wait(i64),
    Deploy(u8),
    Command(RolloutCommand),
    /// Pods of the n-th version: a share of those wanted exist, a share of these is available.
    Pods(usize, i64, i64),
    /// The n-th run comes to a phase.
    Judge(usize, Phase),
    Tick,
}

const PHASES: [Phase; 6] =
    [Phase::Pending, Phase::Running, Phase::Successful, Phase::Failed, Phase::Error, Phase::Inconclusive];

const COMMANDS: [RolloutCommand; 9] = [
    RolloutCommand::Promote,
    RolloutCommand::Resume,
    RolloutCommand::PromoteFull,
    RolloutCommand::SkipCurrentStep,
    RolloutCommand::SkipAllSteps,
    RolloutCommand::Abort,
    RolloutCommand::Retry,
    RolloutCommand::Pause,
    RolloutCommand::Unpause,
];

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        2 => (0i64..120).prop_map(Happening::Wait),
        1 => (1u8..5).prop_map(Happening::Deploy),
        2 => prop::sample::select(&COMMANDS[..]).prop_map(Happening::Command),
        4 => (0usize..4, 0i64..=4, 0i64..=4).prop_map(|(set, a, b)| Happening::Pods(set, a, b)),
        3 => (0usize..6, prop::sample::select(&PHASES[..])).prop_map(|(run, phase)| Happening::Judge(run, phase)),
        6 => Just(Happening::Tick),
    ]
}

/// Lets it happen; commands that have nothing to act on are refused and change nothing.
fn happen(rollout: &mut Rollout, now: &mut i64, happening: &Happening) -> Result<()> {
    match happening {
        Happening::Wait(seconds) => *now += seconds,
        Happening::Deploy(version) => rollout.deploy(at(*now), &format!("v{version}"))?,
        Happening::Command(command) => {
            let before = rollout.clone();
            if rollout.command(at(*now), *command).is_err() {
                assert_eq!(*rollout, before);
            }
        }
        Happening::Pods(index, existing, available) => {
            if let Some(set) = rollout.replica_sets().get(*index).cloned() {
                let existing = set.wanted * existing / 4;
                rollout.observe(&set.version, existing, existing * available / 4)?;
            }
        }
        Happening::Judge(index, phase) => {
            if let Some(run) = rollout.runs().get(*index).cloned() {
                rollout.judge(&run.name, *phase, "m")?;
            }
        }
        Happening::Tick => {
            for _ in 0..100 {
                if rollout.next_due().is_none_or(|due| due > at(*now)) {
                    break;
                }
                rollout.tick(at(*now))?;
            }
            assert!(
                rollout.next_due().is_none_or(|due| due > at(*now)),
                "does not come to rest: {rollout:?}"
            );
        }
    }
    Ok(())
}

fn specs() -> Vec<RolloutSpec> {
    let mut window = gated();
    window.rollback_window = Some(2);
    window.progress_deadline_abort = true;
    vec![
        gated(),
        window,
        spec(&format!(
            r#"{{"analysis": {ONCE}, "steps": [{{"setWeight": 20}}, {{"analysis": {ONCE}}}, {{"setWeight": 60}}, {{"pause": {{}}}}]}}"#
        )),
        spec(&format!(
            r#"{{"trafficRouting": {{"smi": {{}}}}, "dynamicStableScale": true, "minPodsPerReplicaSet": 2, "steps":
                [{{"setCanaryScale": {{"weight": 10}}}}, {{"setWeight": 30}}, {{"analysis": {ONCE}}}, {{"setWeight": 70}}]}}"#
        )),
        blue_green(&format!(r#"{{"prePromotionAnalysis": {ONCE}, "postPromotionAnalysis": {ONCE}}}"#)),
        blue_green(&format!(
            r#"{{"prePromotionAnalysis": {ONCE}, "autoPromotionSeconds": 30, "previewReplicaCount": 3}}"#
        )),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_life_that_is_stopped_anywhere_and_resumed_is_the_same_life(
        which in 0usize..6,
        native in any::<bool>(),
        life in prop::collection::vec((happening(), any::<bool>()), 1..60),
    ) {
        let mode = if native { Mode::Native } else { Mode::Strict };
        let spec = specs().swap_remove(which);
        let mut whole = Rollout::new(spec.clone(), mode).unwrap();
        let mut stopped = whole.clone();
        let (mut a, mut b) = (0, 0);
        for (happening, stop) in &life {
            happen(&mut whole, &mut a, happening).unwrap();
            happen(&mut stopped, &mut b, happening).unwrap();
            if *stop {
                let state = stopped.state();
                let state = [
                    RolloutState::from_json(&state.to_json().unwrap()).unwrap(),
                    RolloutState::from_bytes(&state.to_bytes()).unwrap(),
                ];
                prop_assert_eq!(&state[0], &state[1]);
                let [state, _] = state;
                stopped = Rollout::resume(spec.clone(), mode, state).unwrap();
            }
            prop_assert_eq!(&whole, &stopped);
        }
    }

    #[test]
    fn a_tick_before_it_is_due_or_twice_changes_nothing_but_the_time(
        which in 0usize..6,
        life in prop::collection::vec(happening(), 1..40),
    ) {
        let mut rollout = Rollout::new(specs().swap_remove(which), Mode::Strict).unwrap();
        let mut now = 0;
        for happening in &life {
            happen(&mut rollout, &mut now, happening).unwrap();
            happen(&mut rollout, &mut now, &Happening::Tick).unwrap();
            let before = rollout.clone();
            let tick = rollout.tick(at(now)).unwrap();
            prop_assert!(!tick.changed && tick.events.is_empty());
            prop_assert_eq!(rollout.replica_sets(), before.replica_sets());
            prop_assert_eq!((rollout.step(), rollout.weight()), (before.state.step, before.weight()));
            // What is sent is a weight, what is wanted a number of pods.
            prop_assert!((0..=rollout.maximum()).contains(&rollout.weight()));
            for set in rollout.replica_sets() {
                prop_assert!((0..=2 * rollout.spec.replicas).contains(&set.wanted), "{:?}", set);
            }
        }
    }

    /// Whatever gates, pods and commands do, without a command that says so no gate is passed that did not succeed.
    #[test]
    fn only_a_successful_gate_lets_a_version_become_stable(
        which in 0usize..6,
        native in any::<bool>(),
        life in prop::collection::vec(happening(), 1..80),
    ) {
        let mode = if native { Mode::Native } else { Mode::Strict };
        let mut spec = specs().swap_remove(which);
        spec.rollback_window = None;
        let mut rollout = Rollout::new(spec, mode).unwrap();
        rollout.deploy(at(0), "v1").unwrap();
        settle(&mut rollout, 0);
        let mut now = 0;
        for happening in &life {
            match happening {
                Happening::Judge(_, Phase::Successful) => continue,
                // A human's yes to a gate that could not tell is strict mode's `promote`.
                Happening::Command(
                    RolloutCommand::Promote | RolloutCommand::PromoteFull | RolloutCommand::SkipCurrentStep
                    | RolloutCommand::SkipAllSteps,
                ) => continue,
                _ => {}
            }
            // With Argo a version comes back unasked while its pods are there.
            let is_known = |version: &u8| {
                rollout.replica_sets().iter().any(|set| set.version == format!("v{version}"))
            };
            if !native && which >= 4 && matches!(happening, Happening::Deploy(version) if is_known(version)) {
                continue;
            }
            happen(&mut rollout, &mut now, happening).unwrap();
            prop_assert_eq!(rollout.stable(), Some("v1"));
            prop_assert!(rollout.active().is_none_or(|active| active == "v1"));
        }
    }
}
