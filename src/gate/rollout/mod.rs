//! Rollouts, canary or blue-green, driven by gates.
//!
//! [`Rollout`] is the step machine: pods, gates' verdicts, commands and time go in; weights, numbers of pods and gates to
//! run come out. What decides stands in [`RolloutState`]. The rules are those of Argo Rollouts 1.10. [`GatedRollout`] runs the
//! gates as well, strict or native, over any [`Source`](crate::Source), live or replayed.

mod analysis;
mod blue_green;
mod command;
mod drive;
mod event;
mod gates;
mod machine;
mod pass;
mod pods;
mod progress;
#[cfg(feature = "serde")]
mod read;
mod spec;
mod state;
mod weight;

pub use command::RolloutCommand;
pub use drive::{GatedRollout, GatedRolloutState};
pub use event::RolloutEvent;
pub use gates::RolloutGates;
pub use machine::{Rollout, RolloutTick};
pub use spec::{
    ArgumentValue, BackgroundAnalysis, BlueGreenStrategy, CanaryScale, CanaryStep, CanaryStrategy, PodCount,
    RolloutAnalysis, RolloutArgument, RolloutSpec,
};
pub use state::{Aborted, PauseReason, ReplicaSet, RolloutPhase, RolloutRun, RolloutState, RunPurpose};

#[cfg(test)]
#[cfg(feature = "argo")]
mod tests;
