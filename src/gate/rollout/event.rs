//! What happened in a pass, in the words a user of Argo knows.

use std::fmt;

use super::state::{PauseReason, RunPurpose};
use crate::gate::argo::Phase;

/// Something that a rollout did, or that it saw.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum RolloutEvent {
    /// A version is rolled out, at this step.
    Began {
        /// The version.
        version: String,
        /// Its revision.
        revision: i64,
    },
    /// The wanted version is the stable one, so all steps are skipped.
    RolledBack {
        /// The version.
        version: String,
    },
    /// The traffic's split changed.
    Weight {
        /// The canary's share before.
        from: i64,
        /// The canary's share.
        to: i64,
    },
    /// Another number of pods is wanted.
    Scaled {
        /// Of this version.
        version: String,
        /// Pods before.
        from: i64,
        /// Pods wanted.
        to: i64,
    },
    /// All traffic goes to another version.
    Switched {
        /// To this one.
        version: String,
    },
    /// A step is done.
    StepCompleted {
        /// How many steps are done.
        done: usize,
        /// Of how many.
        steps: usize,
        /// The step.
        step: String,
    },
    /// A gate began.
    RunStarted {
        /// Its name.
        run: String,
        /// What it is for.
        purpose: RunPurpose,
    },
    /// A gate said something new.
    RunPhase {
        /// Its name.
        run: String,
        /// Its phase.
        phase: Phase,
        /// Why.
        message: String,
    },
    /// A gate that looks on after a pass passes so far, or no longer does.
    RunPasses {
        /// Its name.
        run: String,
        /// Whether it passes.
        passes: bool,
        /// Why.
        because: String,
    },
    /// A gate was left before it had judged.
    NotJudged {
        /// Its name.
        run: String,
    },
    /// The rollout waits.
    Paused {
        /// For what.
        reason: PauseReason,
    },
    /// The rollout goes on.
    Resumed,
    /// The rollout is aborted.
    Aborted {
        /// The sentence of the status.
        message: String,
    },
    /// Pods made no progress in time.
    TimedOut {
        /// The sentence of the status.
        message: String,
    },
    /// The wanted version is the stable one.
    Promoted {
        /// The version.
        version: String,
        /// Its revision.
        revision: i64,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for RolloutEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Began { version, revision } => write!(f, "Rollout begins revision {revision} ({version})"),
            Self::RolledBack { version } => write!(f, "Rollback to stable version {version}"),
            Self::Weight { from, to } => write!(f, "Traffic weight updated from {from} to {to}"),
            Self::Scaled { version, from, to } => {
                let direction = if to < from { "down" } else { "up" };
                write!(f, "Scaled {direction} {version} from {from} to {to}")
            }
            Self::StepCompleted { done, steps, step } => {
                write!(f, "Rollout step {done}/{steps} completed ({step})")
            }
            Self::Switched { version } => write!(f, "Switched active service to {version}"),
            Self::RunStarted { run, purpose } => {
                let kind = match purpose {
                    RunPurpose::Step(_) => "Step",
                    RunPurpose::Background => "Background",
                    RunPurpose::PrePromotion => "Pre Promotion",
                    RunPurpose::PostPromotion => "Post Promotion",
                };
                write!(f, "{kind} Analysis Run '{run}' started")
            }
            Self::RunPhase { run, phase, message } if message.is_empty() => {
                write!(f, "Analysis Run '{run}' is {phase}")
            }
            Self::RunPhase { run, phase, message } => write!(f, "Analysis Run '{run}' is {phase}: {message}"),
            Self::RunPasses { run, passes: true, because } => {
                write!(f, "Analysis Run '{run}' passes so far: {because}")
            }
            Self::RunPasses { run, passes: false, because } => {
                write!(f, "Analysis Run '{run}' passes no longer: {because}")
            }
            Self::NotJudged { run } => write!(f, "Analysis Run '{run}' ended before it had judged"),
            Self::Paused { reason } => write!(f, "Rollout is paused ({reason})"),
            Self::Resumed => f.write_str("Rollout is resumed"),
            Self::Aborted { message } | Self::TimedOut { message } => f.write_str(message),
            Self::Promoted { version, revision, reason } => {
                write!(f, "Rollout completed update to revision {revision} ({version}): {reason}")
            }
        }
    }
}
