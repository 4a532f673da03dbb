//! A rollout as a value: what survives a restart.

use std::fmt;

use crate::gate::argo::Phase;
use crate::gate::binary::{Owner, binary_fields, binary_variants, written_state};
#[cfg(feature = "serde")]
use crate::gate::checked;
use crate::model::Timestamp;

/// The form of state that this version writes and reads.
pub(super) const STATE_VERSION: u16 = 1;

/// Everything that decides about a rollout. Comparable; as bytes, and with feature `serde` as JSON, it is kept.
///
/// A rollout that stops at any instant and resumes from its state goes on as if it had not stopped. However it is serialized,
/// a checksum goes with it, and one that does not fit is refused.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RolloutState(#[cfg_attr(feature = "serde", serde(with = "checked"))] pub(super) RolloutFields);

#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct RolloutFields {
    pub(super) version: u16,
    /// The specification that the state belongs to.
    pub(super) spec: String,
    /// The latest time anybody told.
    pub(super) now: Option<Timestamp>,
    /// Whether something happened that no pass has seen.
    pub(super) unseen: bool,
    /// The version that is asked for, which may be newer than the one at work.
    pub(super) asked: Option<String>,
    /// `currentPodHash`: the version at work.
    pub(super) wanted: Option<String>,
    /// `stableRS`: the version that was last promoted.
    pub(super) stable: Option<String>,
    /// The revision of the newest version.
    pub(super) revision: i64,
    pub(super) replica_sets: Vec<ReplicaSet>,
    /// `currentStepIndex`; none without steps.
    pub(super) step: Option<usize>,
    /// `currentStepHash`.
    pub(super) steps: String,
    pub(super) pauses: Vec<PauseCondition>,
    /// `controllerPause`: that the machine has paused. It outlives conditions that a human removes, which tells
    /// "resumed" from "not paused yet".
    pub(super) controller_pause: bool,
    /// Whether the last write saw a pause.
    pub(super) seen_paused: bool,
    /// `spec.paused`.
    pub(super) user_pause: bool,
    pub(super) abort: bool,
    pub(super) aborted_at: Option<Timestamp>,
    pub(super) promote_full: bool,
    /// `status.canary.weights`; none without a router.
    pub(super) weight: Option<Weight>,
    pub(super) runs: Vec<RolloutRun>,
    pub(super) current: CurrentRuns,
    /// Of blue-green: the version that the traffic goes to, the one to look at before that, and whether its pods were there and passed.
    pub(super) active: Option<String>,
    #[cfg_attr(feature = "serde", serde(default))]
    pub(super) preview: Option<String>,
    pub(super) preview_done: bool,
    pub(super) progress: Progress,
    pub(super) phase: RolloutPhase,
    pub(super) message: String,
    /// What was so when the rollout was last aborted.
    pub(super) last_abort: Option<Aborted>,
    /// That a human let the promotion not wait for the background analysis.
    pub(super) background_waived: bool,
}

binary_fields!(RolloutFields {
    version,
    spec,
    now,
    unseen,
    asked,
    wanted,
    stable,
    revision,
    replica_sets,
    step,
    steps,
    pauses,
    controller_pause,
    seen_paused,
    user_pause,
    abort,
    aborted_at,
    promote_full,
    weight,
    runs,
    current,
    active,
    preview,
    preview_done,
    progress,
    phase,
    message,
    last_abort,
    background_waived,
});

impl RolloutFields {
    pub(super) fn become_stable(&mut self, version: String) {
        for set in self.replica_sets.iter_mut().filter(|set| set.version == version) {
            set.was_stable = true;
        }
        self.stable = Some(version);
    }
}

/// The pods of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ReplicaSet {
    /// The version, which is the hash of its pod template.
    pub version: String,
    /// Counts versions in the order in which they were asked for.
    pub revision: i64,
    /// The revision with which the version came first.
    pub(super) first_revision: i64,
    /// Whether it has been the stable version.
    #[cfg_attr(feature = "serde", serde(default))]
    pub(super) was_stable: bool,
    /// Pods that there are to be.
    pub wanted: i64,
    /// Pods that there are, as last observed.
    pub existing: i64,
    /// Pods that can serve, as last observed.
    pub available: i64,
    /// When the pods are no longer kept.
    pub scale_down_at: Option<Timestamp>,
}

binary_fields!(ReplicaSet {
    version,
    revision,
    first_revision,
    was_stable,
    wanted,
    existing,
    available,
    scale_down_at
});

/// Why a rollout waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum PauseReason {
    /// It is at a `pause` step.
    CanaryPauseStep,
    /// A gate could not tell.
    InconclusiveAnalysisRun,
    /// It is before the switch of blue-green.
    BlueGreenPause,
}

binary_variants!(PauseReason { 0 = CanaryPauseStep, 1 = InconclusiveAnalysisRun, 2 = BlueGreenPause });

impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CanaryPauseStep => "CanaryPauseStep",
            Self::InconclusiveAnalysisRun => "InconclusiveAnalysisRun",
            Self::BlueGreenPause => "BlueGreenPause",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct PauseCondition {
    pub(super) reason: PauseReason,
    pub(super) start: Timestamp,
}

binary_fields!(PauseCondition { reason, start });

/// The share of the traffic, and to which version.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Weight {
    pub(super) canary: i64,
    pub(super) version: String,
}

binary_fields!(Weight { canary, version });

/// What an analysis run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum RunPurpose {
    /// The analysis step with this index.
    Step(usize),
    /// The analysis beside the steps.
    Background,
    /// The analysis before the switch of blue-green.
    PrePromotion,
    /// The analysis after the switch of blue-green.
    PostPromotion,
}

binary_variants!(RunPurpose { 0 = Step(index), 1 = Background, 2 = PrePromotion, 3 = PostPromotion });

/// An analysis run of a rollout: a gate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct RolloutRun {
    /// `ROLLOUT-VERSION-REVISION-STEP`, `.1` behind it for the second of that name.
    pub name: String,
    /// What it is for.
    pub purpose: RunPurpose,
    /// Which run for that purpose and revision it is, from 0.
    pub attempt: u32,
    /// The version that is judged.
    pub version: String,
    /// The stable version when the run was made.
    pub stable: String,
    /// Its phase as last told.
    pub phase: Phase,
    /// Why it ended as it did.
    pub message: String,
    /// Whether it passes so far, as a gate does that looks on after a pass.
    #[cfg_attr(feature = "serde", serde(default))]
    pub passes: bool,
    /// Whether it is to end, as nothing waits for it any more.
    pub terminate: bool,
}

binary_fields!(RolloutRun { name, purpose, attempt, version, stable, phase, message, passes, terminate });

impl RolloutRun {
    /// Whether it still measures and nobody asked it to end.
    pub fn is_open(&self) -> bool {
        !self.phase.is_completed() && !self.terminate
    }
}

/// Names of the runs that are looked at, one for each purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct CurrentRuns {
    step: Option<String>,
    background: Option<String>,
    pre_promotion: Option<String>,
    post_promotion: Option<String>,
}

binary_fields!(CurrentRuns { step, background, pre_promotion, post_promotion });

impl CurrentRuns {
    /// The run for a purpose; of steps for the one at work, whatever its index.
    pub(super) fn get(&self, purpose: RunPurpose) -> Option<&str> {
        let name = match purpose {
            RunPurpose::Step(_) => &self.step,
            RunPurpose::Background => &self.background,
            RunPurpose::PrePromotion => &self.pre_promotion,
            RunPurpose::PostPromotion => &self.post_promotion,
        };
        name.as_deref()
    }

    pub(super) fn set(&mut self, purpose: RunPurpose, name: Option<String>) {
        *match purpose {
            RunPurpose::Step(_) => &mut self.step,
            RunPurpose::Background => &mut self.background,
            RunPurpose::PrePromotion => &mut self.pre_promotion,
            RunPurpose::PostPromotion => &mut self.post_promotion,
        } = name;
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        [&self.step, &self.background, &self.pre_promotion, &self.post_promotion].into_iter().flatten()
    }

    pub(super) fn has(&self, run: &RolloutRun) -> bool {
        self.names().any(|name| *name == run.name)
    }
}

/// `phase` of a rollout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum RolloutPhase {
    /// On its way.
    #[default]
    Progressing,
    /// Waits for a time or a human.
    Paused,
    /// The wanted version serves alone.
    Healthy,
    /// Aborted, or without progress.
    Degraded,
}

binary_variants!(RolloutPhase { 0 = Progressing, 1 = Paused, 2 = Healthy, 3 = Degraded });

impl fmt::Display for RolloutPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Progressing => "Progressing",
            Self::Paused => "Paused",
            Self::Healthy => "Healthy",
            Self::Degraded => "Degraded",
        })
    }
}

/// The `Progressing` condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Progress {
    pub(super) reason: ProgressReason,
    pub(super) message: String,
    /// The last sign of progress.
    pub(super) updated: Option<Timestamp>,
    /// What progress is compared with: pods of the wanted version, other pods, available pods.
    pub(super) pods: (i64, i64, i64),
    pub(super) step: Option<usize>,
    pub(super) stable: Option<String>,
    /// The versions that have the traffic and the preview, of blue-green.
    #[cfg_attr(feature = "serde", serde(default))]
    pub(super) switched: (Option<String>, Option<String>),
    /// Whether all was well at the last write, and nothing paused.
    #[cfg_attr(feature = "serde", serde(default))]
    pub(super) healthy: bool,
    /// When a look for the deadline is due that was asked for before, of strict mode.
    #[cfg_attr(feature = "serde", serde(default))]
    pub(super) due: Option<Timestamp>,
}

binary_fields!(Progress { reason, message, updated, pods, step, stable, switched, healthy, due });

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) enum ProgressReason {
    #[default]
    Updated,
    Paused,
    Resumed,
    Retry,
    Complete,
    TimedOut,
    Aborted,
}

binary_variants!(ProgressReason {
    0 = Updated,
    1 = Paused,
    2 = Resumed,
    3 = Retry,
    4 = Complete,
    5 = TimedOut,
    6 = Aborted
});

/// What was so when a rollout was aborted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Aborted {
    /// When.
    pub at: Timestamp,
    /// The version that was given up.
    pub version: String,
    /// The step at work.
    pub step: Option<usize>,
    /// The canary's weight.
    pub weight: i64,
    /// Why; empty if a human asked for it.
    pub message: String,
    /// The runs that were looked at.
    pub runs: Vec<String>,
}

binary_fields!(Aborted { at, version, step, weight, message, runs });

written_state!(RolloutState, Owner::Rollout, STATE_VERSION);
