//! What humans ask for.

use super::machine::{Rollout, refused};
use super::state::{PauseReason, RunPurpose};
use crate::error::Result;
use crate::gate::argo::Phase;
use crate::gate::report::Mode;
use crate::model::Timestamp;

/// A human's command, named as Argo's command line names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RolloutCommand {
    /// `promote`. Strict: resumes what is paused and takes an inconclusive gate as passed; skips the step where nothing is
    /// paused, whatever it is. Native: the same as [`Resume`](Self::Resume).
    Promote,
    /// Goes on after a pause; an inconclusive gate is asked again. In strict mode what removing the pause conditions does.
    Resume,
    /// `promote --full`: skips steps, pauses and gates.
    PromoteFull,
    /// `promote --skip-current-step`: leaves the step at work, judged or not.
    SkipCurrentStep,
    /// `promote --skip-all-steps`: pods and weight follow.
    SkipAllSteps,
    /// `abort`: back to the stable version.
    Abort,
    /// `retry`: an aborted rollout begins again.
    Retry,
    /// `pause`: nothing is scaled and no step is done until [`Unpause`](Self::Unpause).
    Pause,
    /// Takes [`Pause`](Self::Pause) back.
    Unpause,
}

impl Rollout {
    /// Takes a human's command; the next tick acts on it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for a command that has nothing to act on, and if
    /// `now` is earlier than a time that was told before; the rollout is as it was.
    pub fn command(&mut self, now: Timestamp, command: RolloutCommand) -> Result<()> {
        let in_flight = !self.fully_promoted() && self.state.stable.is_some();
        let acts = match command {
            RolloutCommand::Pause | RolloutCommand::Unpause => true,
            RolloutCommand::Retry => self.state.abort,
            RolloutCommand::Resume => !self.state.pauses.is_empty(),
            RolloutCommand::Promote if self.mode == Mode::Native => {
                !self.state.pauses.is_empty() || self.state.user_pause
            }
            RolloutCommand::Promote | RolloutCommand::PromoteFull => in_flight || self.state.user_pause,
            _ => in_flight,
        };
        if !acts {
            return Err(refused(self.nothing_for(command)));
        }
        self.in_order(now)?;
        self.state.unseen = true;
        match command {
            RolloutCommand::Promote => self.promote(now),
            RolloutCommand::Resume => self.resume_pauses(now),
            RolloutCommand::PromoteFull => {
                self.state.promote_full = in_flight;
                self.state.user_pause = false;
            }
            RolloutCommand::SkipCurrentStep => self.skip_step(),
            RolloutCommand::SkipAllSteps => {
                self.clear_pauses();
                self.state.background_waived = true;
                self.state.step = self.state.step.map(|_| self.spec.canary.steps.len());
            }
            RolloutCommand::Abort => self.state.abort = true,
            RolloutCommand::Retry => self.state.abort = false,
            RolloutCommand::Pause => self.state.user_pause = true,
            RolloutCommand::Unpause => self.state.user_pause = false,
        }
        Ok(())
    }

    fn nothing_for(&self, command: RolloutCommand) -> String {
        match command {
            RolloutCommand::Retry => "the rollout is not aborted, so there is nothing to retry".to_owned(),
            RolloutCommand::Resume | RolloutCommand::Promote => {
                let step = self.current_step().map_or_else(String::new, |step| format!(" (at step {step})"));
                format!(
                    "the rollout is not paused{step}, so there is nothing to resume; to leave a step that is not done, skip it"
                )
            }
            _ => "no version is being rolled out".to_owned(),
        }
    }

    fn could_not_tell(&self, purpose: RunPurpose) -> bool {
        self.current_run(purpose).is_some_and(|run| run.phase == Phase::Inconclusive)
    }

    fn promote(&mut self, now: Timestamp) {
        self.state.user_pause = false;
        if self.mode == Mode::Native {
            if !self.state.pauses.is_empty() {
                self.resume_pauses(now);
            }
            return;
        }
        if self.fully_promoted() {
            return;
        }
        if self.could_not_tell(RunPurpose::Step(0)) && !self.state.pauses.is_empty() {
            self.clear_pauses();
            self.next_step();
        } else if !self.state.pauses.is_empty() {
            self.state.pauses.clear();
        } else {
            self.next_step();
        }
    }

    fn clear_pauses(&mut self) {
        self.state.pauses.clear();
        self.state.controller_pause = false;
    }

    fn next_step(&mut self) {
        let last = self.spec.canary.steps.len();
        self.state.step = self.state.step.map(|step| step.saturating_add(1).min(last));
    }

    fn skip_step(&mut self) {
        if self.current_step().is_none() {
            // All that is left to wait for is the background analysis.
            self.state.background_waived = true;
        } else if self.mode == Mode::Native {
            self.forget_inconclusive(RunPurpose::Background);
        }
        self.clear_pauses();
        self.next_step();
    }

    fn resume_pauses(&mut self, now: Timestamp) {
        let start = |reason: PauseReason| {
            self.state.pauses.iter().find(|pause| pause.reason == reason).map(|pause| pause.start)
        };
        let inconclusive = start(PauseReason::InconclusiveAnalysisRun);
        let (Mode::Native, Some(since)) = (self.mode, inconclusive) else {
            self.state.pauses.clear();
            return;
        };
        // Only what could not be told is resumed: a pause step goes on from where its clock stopped.
        self.state.pauses.retain(|pause| pause.reason != PauseReason::InconclusiveAnalysisRun);
        for pause in &mut self.state.pauses {
            let stopped = now.millis_since(since.max(pause.start)).max(0);
            pause.start = pause.start.plus_millis(stopped);
        }
        self.state.controller_pause = !self.state.pauses.is_empty();
        for purpose in
            [RunPurpose::Step(0), RunPurpose::Background, RunPurpose::PrePromotion, RunPurpose::PostPromotion]
        {
            self.forget_inconclusive(purpose);
        }
    }

    /// Lets a run that could not tell be followed by a new one.
    fn forget_inconclusive(&mut self, purpose: RunPurpose) {
        if self.could_not_tell(purpose) {
            self.state.current.set(purpose, None);
        }
    }
}
