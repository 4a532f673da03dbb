//! One pass: what Argo calls a reconcile. It moves at most one step.

use super::event::RolloutEvent;
use super::machine::Rollout;
use super::spec::CanaryStep;
use super::state::{
    Aborted, CurrentRuns, PauseCondition, PauseReason, ProgressReason, ReplicaSet, RunPurpose,
};
use crate::gate::argo::Phase;
use crate::gate::report::Mode;
use crate::model::Timestamp;

/// A pass at work on a rollout, with what it decided before it is written.
pub(super) struct Pass<'a> {
    pub(super) rollout: &'a mut Rollout,
    pub(super) now: Timestamp,
    pub(super) events: Vec<RolloutEvent>,
    added: Option<PauseReason>,
    left: Option<PauseReason>,
    abort: Option<String>,
    remove_abort: bool,
    /// Whether the wanted version is an earlier one of blue-green, whose pods waited for their end when the pass began.
    pub(super) comes_back: bool,
}

impl<'a> Pass<'a> {
    pub(super) fn run(rollout: &'a mut Rollout, now: Timestamp) -> Vec<RolloutEvent> {
        let waits = rollout.wanted_set().and_then(|set| set.scale_down_at).is_some_and(|at| now < at);
        let comes_back = waits && rollout.spec.blue_green.is_some() && rollout.is_rollback();
        let mut pass = Self {
            rollout,
            now,
            events: Vec::new(),
            added: None,
            left: None,
            abort: None,
            remove_abort: false,
            comes_back,
        };
        pass.go();
        pass.events
    }

    pub(super) fn is_aborted(&self) -> bool {
        !self.remove_abort && (self.rollout.state.abort || self.abort.is_some())
    }

    /// Whether an earlier version comes back without being asked about.
    pub(super) fn is_fast_rollback(&self) -> bool {
        self.rollout.fully_promoted() || self.comes_back || self.rollout.is_within_rollback_window()
    }

    pub(super) fn add_pause(&mut self, reason: PauseReason) {
        self.added = Some(reason);
    }

    pub(super) fn is_adding(&self, reason: PauseReason) -> bool {
        self.added == Some(reason)
    }

    pub(super) fn leave_pause(&mut self, reason: PauseReason) {
        self.left = Some(reason);
    }

    pub(super) fn abort(&mut self, message: String) {
        // The first cause is the one that is told.
        self.abort.get_or_insert(message);
    }

    /// Where strict mode has whole seconds, as stored instants have.
    fn stamp(&self) -> Timestamp {
        match self.rollout.mode {
            Mode::Strict => {
                Timestamp::from_millis(self.now.as_millis().div_euclid(1000).saturating_mul(1000))
            }
            Mode::Native => self.now,
        }
    }

    fn go(&mut self) {
        if self.rollout.mode == Mode::Strict {
            // With Argo a step that a human left is no progress.
            self.rollout.state.progress.step = self.rollout.state.step;
        }
        if self.rollout.state.asked.is_none() || self.notice_pause() || self.reset() {
            return;
        }
        if let Some(strategy) = self.rollout.spec.blue_green.clone() {
            self.blue_green(&strategy);
            self.write();
            return;
        }
        let aborted = self.is_aborted();
        if let Some((from, to)) = self.rollout.route(aborted) {
            self.events.push(RolloutEvent::Weight { from, to });
        }
        self.analyse();
        if self.added.is_some() || self.scale() {
            self.write();
            return;
        }
        self.pause();
        self.write();
    }

    /// Writes down that a pause began or ended, so that the time in it does not count as time without progress.
    fn notice_pause(&mut self) -> bool {
        let state = &mut self.rollout.state;
        let paused = !state.pauses.is_empty() || state.user_pause;
        let was_aborted = state.progress.reason == ProgressReason::Aborted;
        let retried = was_aborted && !state.abort && state.asked == state.wanted;
        let is_created = state.replica_sets.iter().all(|set| Some(&set.version) != state.asked.as_ref());
        if retried {
            state.progress.reason = ProgressReason::Retry;
            state.progress.message = "Retrying Rollout after abort".to_owned();
            state.progress.updated = Some(self.now);
            state.seen_paused = paused;
        } else if was_aborted && is_created && (paused || paused != state.seen_paused) {
            // The new version is noted before the abort of the one before is taken back.
            state.progress.reason = ProgressReason::Updated;
            state.progress.updated = Some(self.now);
            state.seen_paused = paused;
        } else if paused != state.seen_paused && !was_aborted {
            let is_promoted = self.rollout.fully_promoted();
            let state = &mut self.rollout.state;
            if !is_promoted {
                state.progress.reason = if paused { ProgressReason::Paused } else { ProgressReason::Resumed };
                state.progress.updated = Some(self.now);
            }
            state.seen_paused = paused;
            if !paused {
                self.events.push(RolloutEvent::Resumed);
            }
        } else {
            return false;
        }
        self.rollout.tell();
        true
    }

    /// A new version or other steps begin from the first step.
    fn reset(&mut self) -> bool {
        let steps = &self.rollout.steps;
        let last = self.rollout.spec.canary.steps.len();
        let state = &mut self.rollout.state;
        if state.asked == state.wanted && state.steps == *steps {
            return false;
        }
        let Some(version) = state.asked.clone() else { return false };
        let is_new = state.asked != state.wanted;
        if is_new {
            state.revision = state.revision.saturating_add(1);
            state.last_abort = None;
            let revision = state.revision;
            let known = state.replica_sets.iter().position(|set| set.version == version);
            let mut set = match known {
                Some(index) => state.replica_sets.remove(index),
                None => ReplicaSet {
                    version: version.clone(),
                    revision,
                    first_revision: revision,
                    was_stable: false,
                    wanted: 0,
                    existing: 0,
                    available: 0,
                    scale_down_at: None,
                },
            };
            set.revision = revision;
            state.replica_sets.push(set);
            state.wanted = Some(version.clone());
            self.events.push(RolloutEvent::Began { version: version.clone(), revision });
        }
        state.steps.clone_from(steps);
        state.pauses.clear();
        state.controller_pause = false;
        state.abort = false;
        state.aborted_at = None;
        state.promote_full = false;
        state.background_waived = false;
        state.step = (last > 0).then_some(0);
        state.current = CurrentRuns::default();
        if self.rollout.mode == Mode::Native {
            // With Argo a version in the place of one whose preview had passed takes that over.
            state.preview_done = false;
        }
        state.progress.reason = ProgressReason::Updated;
        state.progress.updated = Some(self.now);
        if state.stable.is_none() {
            // The first version has nothing to be compared with.
            state.active = self.rollout.spec.blue_green.is_some().then(|| version.clone());
            state.become_stable(version);
            state.step = (last > 0).then_some(last);
        } else if state.stable.as_ref() == Some(&version) {
            state.step = (last > 0).then_some(last);
            if is_new {
                self.events.push(RolloutEvent::RolledBack { version });
            }
        }
        self.rollout.state.progress.pods = self.rollout.pods_seen();
        self.rollout.tell();
        true
    }

    /// Scales one version. Answers whether it did.
    fn scale(&mut self) -> bool {
        if self.rollout.state.user_pause || self.rollout.is_paused_by(PauseReason::InconclusiveAnalysisRun) {
            return false;
        }
        let delays = self.delays_canary_after_abort();
        let delay = self.rollout.spec.canary.abort_delay_seconds();
        let (wanted, stable) = (self.rollout.state.wanted.clone(), self.rollout.state.stable.clone());
        for set in &mut self.rollout.state.replica_sets {
            let is_wanted = wanted.as_ref() == Some(&set.version);
            let is_stable = stable.as_ref() == Some(&set.version);
            if (is_wanted && !delays) || is_stable {
                set.scale_down_at = None;
            }
        }
        let (canary_pods, stable_pods) = self.rollout.wanted_pods();
        if let Some(stable) = stable.filter(|_| !self.rollout.fully_promoted())
            && self.scale_to(&stable, stable_pods)
        {
            return true;
        }
        if let Some(version) = wanted
            && self.scale_canary(&version, canary_pods, delay.filter(|_| delays))
        {
            return true;
        }
        let mut scaled = false;
        for (version, pods, delay) in self.rollout.other_pods() {
            if let Some(delay) = delay {
                self.keep_for(&version, delay);
            }
            scaled |= self.scale_to(&version, pods);
        }
        scaled
    }

    fn delays_canary_after_abort(&self) -> bool {
        let canary = &self.rollout.spec.canary;
        self.is_aborted() && canary.traffic_routing && canary.abort_delay_seconds().is_some()
    }

    /// With a delay the canary stays so long after an abort.
    pub(super) fn scale_canary(&mut self, version: &str, pods: i64, delay: Option<i64>) -> bool {
        let Some(delay) = delay else { return self.scale_to(version, pods) };
        match self.rollout.set(version).and_then(|set| set.scale_down_at) {
            Some(at) if self.now >= at => {
                let scaled = self.scale_to(version, 0);
                if self.rollout.mode == Mode::Strict {
                    // With Argo that it waited stays noted, and the time of versions after it does not count.
                    self.rollout.wait_until(version, at);
                }
                scaled
            }
            Some(_) => false,
            None => {
                // The canary stays until stable is whole.
                let replicas = self.rollout.spec.replicas;
                let whole = self.rollout.stable_set().is_some_and(|stable| stable.available == replicas);
                let pods = self.rollout.set(version).map_or(0, |set| set.wanted);
                if whole && pods > 0 {
                    self.keep_for(version, delay);
                }
                false
            }
        }
    }

    pub(super) fn keep_for(&mut self, version: &str, seconds: i64) {
        let until = self.stamp().plus_millis(seconds.saturating_mul(1000));
        self.rollout.wait_until(version, until);
    }

    pub(super) fn scale_to(&mut self, version: &str, pods: i64) -> bool {
        let Some(set) = self.rollout.state.replica_sets.iter_mut().find(|set| set.version == version) else {
            return false;
        };
        if set.wanted == pods {
            return false;
        }
        let from = std::mem::replace(&mut set.wanted, pods);
        if pods == 0 {
            set.scale_down_at = None;
        }
        self.events.push(RolloutEvent::Scaled { version: version.to_owned(), from, to: pods });
        true
    }

    /// Begins the pause of a pause step.
    fn pause(&mut self) {
        let state = &self.rollout.state;
        if state.user_pause || state.promote_full || self.is_aborted() {
            return;
        }
        let at_pause = matches!(self.rollout.current_step(), Some(CanaryStep::Pause(_)));
        let begun = self.rollout.is_paused_by(PauseReason::CanaryPauseStep) || state.controller_pause;
        if at_pause && !begun {
            self.add_pause(PauseReason::CanaryPauseStep);
        }
    }

    /// Whether the step at work is done.
    fn is_step_done(&self) -> bool {
        let rollout = &self.rollout;
        let inconclusive = rollout.is_paused_by(PauseReason::InconclusiveAnalysisRun)
            || self.added == Some(PauseReason::InconclusiveAnalysisRun);
        if rollout.state.user_pause || (rollout.mode == Mode::Native && inconclusive) {
            return false;
        }
        match rollout.current_step() {
            None => false,
            Some(CanaryStep::SetWeight(_) | CanaryStep::SetCanaryScale(_)) => rollout.pods_are_there(),
            Some(CanaryStep::SetRoute(_)) => true,
            Some(CanaryStep::Pause(_)) => match rollout.pause_ends() {
                Some(end) => self.now >= end,
                None => rollout.state.controller_pause && !rollout.is_paused_by(PauseReason::CanaryPauseStep),
            },
            Some(CanaryStep::Analysis(_)) => {
                let run = rollout.current_run(RunPurpose::Step(0));
                run.is_some_and(|run| run.phase == Phase::Successful && !run.terminate)
            }
        }
    }

    /// Why the wanted version becomes the stable one, if it does.
    fn promotion(&self) -> Option<String> {
        let rollout = &self.rollout;
        if let Some(strategy) = &rollout.spec.blue_green {
            return self.blue_green_promotion(strategy);
        }
        let available = rollout.wanted_set()?.available;
        if self.is_aborted() || rollout.fully_promoted() || available != rollout.spec.replicas {
            return None;
        }
        if rollout.state.promote_full {
            return Some("Full promotion requested".to_owned());
        }
        if rollout.is_within_rollback_window() {
            return Some("Rollback within window".to_owned());
        }
        let steps = rollout.spec.canary.steps.len();
        let done = rollout.state.step.is_none_or(|step| step >= steps);
        let judged = rollout.mode == Mode::Strict || self.background_has_judged();
        (done && judged).then(|| format!("Completed all {steps} canary steps"))
    }

    fn background_has_judged(&self) -> bool {
        let state = &self.rollout.state;
        // A pass that asked for a pause or was paused by a gate waits for a human first.
        if self.added.is_some() || self.rollout.is_paused_by(PauseReason::InconclusiveAnalysisRun) {
            return false;
        }
        if state.background_waived {
            return true;
        }
        match self.rollout.current_run(RunPurpose::Background) {
            Some(run) if !run.phase.is_completed() => run.passes || !self.rollout.waits_for_background,
            Some(run) => run.phase == Phase::Successful,
            None => !self.rollout.background_begins(),
        }
    }

    /// Promotes, aborts, or leaves a step that is done; then conditions, phase and message.
    fn write(&mut self) {
        let last = self.rollout.spec.canary.steps.len();
        let mut clear = false;
        let steps_are_skipped = self.rollout.state.promote_full || self.rollout.is_within_rollback_window();
        let is_judged = matches!(self.rollout.current_step(), Some(CanaryStep::Analysis(_)));
        let is_done =
            steps_are_skipped && !is_judged && self.rollout.mode == Mode::Strict && self.is_step_done();
        if steps_are_skipped {
            clear = true;
            self.remove_abort = true;
            self.rollout.state.step = (last > 0).then_some(last);
        }
        if self.rollout.fully_promoted() {
            // There is nothing to abort and nothing to skip.
            self.remove_abort = true;
            self.rollout.state.promote_full = false;
        }
        if let Some(reason) = self.promotion() {
            self.promote(reason);
            clear = true;
        } else if self.is_aborted() {
            self.give_up();
        } else if is_done {
            // Argo counts the step that was done on top of all that are skipped.
            self.rollout.state.step = self.rollout.state.step.map(|step| step.saturating_add(1));
        } else if self.is_step_done() {
            self.leave_step();
            self.left = Some(PauseReason::CanaryPauseStep);
        }
        self.write_pauses(clear);
        self.rollout.note_progress(self.now);
        self.check_deadline();
        self.rollout.note_deadline(self.now);
        self.rollout.tell();
    }

    fn promote(&mut self, reason: String) {
        let state = &mut self.rollout.state;
        let version = state.wanted.clone().unwrap_or_default();
        state.become_stable(version.clone());
        state.step = state.step.map(|_| self.rollout.spec.canary.steps.len());
        state.promote_full = false;
        self.remove_abort = true;
        state.current = CurrentRuns::default();
        state.preview_done = false;
        let revision = state.revision;
        self.events.push(RolloutEvent::Promoted { version, revision, reason });
        self.end_runs(|_| true);
    }

    fn give_up(&mut self) {
        self.note_abort();
        let state = &mut self.rollout.state;
        // With Argo the runs of blue-green stay those that are looked at.
        if self.rollout.mode == Mode::Native || self.rollout.spec.blue_green.is_none() {
            state.current = CurrentRuns::default();
        }
        state.step = state.step.map(|_| 0);
        self.end_runs(|_| true);
    }

    /// Notes what was so when the rollout was aborted.
    fn note_abort(&mut self) {
        let message = self.abort.clone().unwrap_or_default();
        let weight = self.rollout.weight();
        let state = &mut self.rollout.state;
        if state.aborted_at.is_none() {
            state.last_abort = Some(Aborted {
                at: self.now,
                version: state.wanted.clone().unwrap_or_default(),
                step: state.step,
                weight,
                message,
                runs: state.current.names().cloned().collect(),
            });
        }
    }

    fn leave_step(&mut self) {
        let steps = self.rollout.spec.canary.steps.len();
        let step = self.rollout.current_step().map(ToString::to_string).unwrap_or_default();
        let done = self.rollout.state.step.map_or(0, |step| step.saturating_add(1)).min(steps);
        self.rollout.state.step = Some(done);
        self.rollout.state.current.set(RunPurpose::Step(done), None);
        self.events.push(RolloutEvent::StepCompleted { done, steps, step });
    }

    fn write_pauses(&mut self, clear: bool) {
        let aborted = self.is_aborted();
        let (now, start) = (self.now, self.stamp());
        let state = &mut self.rollout.state;
        state.abort = aborted;
        state.aborted_at = if aborted { state.aborted_at.or(Some(now)) } else { None };
        if aborted || clear {
            state.pauses.clear();
            state.controller_pause = false;
        } else {
            let known =
                self.added.is_some_and(|reason| state.pauses.iter().any(|pause| pause.reason == reason));
            if let Some(left) = self.left {
                state.pauses.retain(|pause| pause.reason != left);
            }
            if let Some(reason) = self.added.filter(|_| !known) {
                state.pauses.push(PauseCondition { reason, start });
                state.controller_pause = true;
                self.events.push(RolloutEvent::Paused { reason });
            }
            if state.pauses.is_empty() {
                state.controller_pause = false;
            }
        }
        if aborted && state.progress.reason != ProgressReason::Aborted {
            let mut message = format!("Rollout aborted update to revision {}", state.revision);
            if let Some(cause) = &self.abort {
                message = format!("{message}: {cause}");
            }
            state.progress.reason = ProgressReason::Aborted;
            state.progress.message.clone_from(&message);
            self.events.push(RolloutEvent::Aborted { message });
        }
    }

    fn check_deadline(&mut self) {
        if self.is_aborted() || !self.rollout.is_given_up(self.now) {
            return;
        }
        let version = self.rollout.state.wanted.clone().unwrap_or_default();
        let name = &self.rollout.spec.name;
        let message = format!("ReplicaSet \"{name}-{version}\" has timed out progressing.");
        if self.rollout.spec.progress_deadline_abort && !self.rollout.fully_promoted() {
            self.abort(message);
            self.note_abort();
            self.write_pauses(false);
            return;
        }
        let progress = &mut self.rollout.state.progress;
        progress.reason = ProgressReason::TimedOut;
        progress.message.clone_from(&message);
        self.events.push(RolloutEvent::TimedOut { message });
    }
}
