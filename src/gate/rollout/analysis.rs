//! The gates of a rollout: when one begins, when one ends, what its phase does.

use super::event::RolloutEvent;
use super::machine::Rollout;
use super::pass::Pass;
use super::spec::CanaryStep;
use super::state::{PauseReason, RolloutRun, RunPurpose};
use crate::gate::argo::Phase;
use crate::gate::report::Mode;

impl Rollout {
    /// The run for a purpose that is looked at.
    pub(super) fn current_run(&self, purpose: RunPurpose) -> Option<&RolloutRun> {
        let name = self.state.current.get(purpose)?;
        self.state.runs.iter().find(|run| run.name == name)
    }

    pub(super) fn is_paused_by(&self, reason: PauseReason) -> bool {
        self.state.pauses.iter().any(|pause| pause.reason == reason)
    }

    /// Whether the analysis beside the steps has begun at the step at work.
    pub(super) fn background_begins(&self) -> bool {
        let background = self.spec.canary.background.as_ref();
        let given = background.filter(|background| !background.analysis.templates.is_empty());
        given.is_some_and(|background| {
            let first = background.starting_step.unwrap_or(0);
            self.state.step.is_none_or(|step| i64::try_from(step).is_ok_and(|step| step >= first))
        })
    }

    /// Whether a purpose needs a run other than the one it has.
    pub(super) fn needs_run(&self, run: Option<&RolloutRun>) -> bool {
        let Some(run) = run else { return true };
        if self.mode == Mode::Strict
            && self.state.controller_pause
            && !self.is_paused_by(PauseReason::CanaryPauseStep)
            && !self.is_paused_by(PauseReason::BlueGreenPause)
        {
            // Resumed after it could not tell.
            return run.phase == Phase::Inconclusive;
        }
        self.state.aborted_at.is_some()
    }
}

impl Pass<'_> {
    /// Makes, watches and ends analysis runs; may ask for an abort or a pause.
    pub(super) fn analyse(&mut self) {
        let rollout = &self.rollout;
        let canary_waits_for_its_end =
            rollout.wanted_set().is_some_and(|set| set.wanted > 0 && set.scale_down_at.is_some());
        let no_stable = rollout.state.stable.is_none();
        if self.is_aborted()
            || rollout.state.promote_full
            || canary_waits_for_its_end
            || no_stable
            || rollout.is_within_rollback_window()
        {
            self.end_runs(|_| true);
            return;
        }
        self.analyse_step();
        self.analyse_background();
        let current = self.rollout.state.current.clone();
        self.end_runs(|run| !current.has(run));
    }

    fn analyse_step(&mut self) {
        let state = &self.rollout.state;
        if !state.pauses.is_empty() || state.abort {
            return;
        }
        let index = state.step.unwrap_or_default();
        let Some(CanaryStep::Analysis(_)) = self.rollout.current_step() else {
            self.rollout.state.current.set(RunPurpose::Step(index), None);
            return;
        };
        let purpose = RunPurpose::Step(index);
        let run = self.rollout.current_run(purpose).cloned();
        if run.as_ref().is_some_and(|run| run.purpose != purpose) {
            // A step that is left; the next pass makes the new one's run.
            self.rollout.state.current.set(purpose, None);
            return;
        }
        self.analyse_one(purpose, "Step-based analysis phase error/failed");
    }

    fn analyse_background(&mut self) {
        let purpose = RunPurpose::Background;
        if !self.rollout.background_begins() || self.rollout.fully_promoted() {
            self.rollout.state.current.set(purpose, None);
            return;
        }
        if !self.rollout.is_paused_by(PauseReason::InconclusiveAnalysisRun) {
            self.analyse_one(purpose, "Background analysis phase error/failed");
        }
    }

    /// Begins the run for a purpose if it needs one, or does what its phase asks for.
    pub(super) fn analyse_one(&mut self, purpose: RunPurpose, text: &str) {
        let run = self.rollout.current_run(purpose).cloned();
        if self.rollout.needs_run(run.as_ref()) {
            self.start_run(purpose);
        } else if let Some(run) = run {
            self.act_on(&run, text);
        }
    }

    pub(super) fn act_on(&mut self, run: &RolloutRun, text: &str) {
        match run.phase {
            Phase::Inconclusive => {
                let waived = run.purpose == RunPurpose::Background && self.rollout.state.background_waived;
                if !waived {
                    self.add_pause(PauseReason::InconclusiveAnalysisRun);
                }
            }
            Phase::Failed | Phase::Error => {
                let message =
                    if run.message.is_empty() { text.to_owned() } else { format!("{text}: {}", run.message) };
                self.abort(message);
            }
            Phase::Pending | Phase::Running | Phase::Successful => {}
        }
    }

    fn start_run(&mut self, purpose: RunPurpose) {
        let rollout = &mut *self.rollout;
        let version = rollout.state.wanted.clone().unwrap_or_default();
        let mut stem = format!("{}-{version}-{}", rollout.spec.name, rollout.state.revision);
        match purpose {
            RunPurpose::Step(index) => stem = format!("{stem}-{index}"),
            RunPurpose::Background => {}
            RunPurpose::PrePromotion => stem.push_str("-pre"),
            RunPurpose::PostPromotion => stem.push_str("-post"),
        }
        let mut attempt = 0u32;
        let mut name = stem.clone();
        while rollout.state.runs.iter().any(|run| run.name == name) {
            attempt = attempt.saturating_add(1);
            name = format!("{stem}.{attempt}");
        }
        rollout.state.runs.push(RolloutRun {
            name: name.clone(),
            purpose,
            attempt,
            version,
            stable: rollout.state.stable.clone().unwrap_or_default(),
            phase: Phase::Pending,
            message: String::new(),
            passes: false,
            terminate: false,
        });
        rollout.state.current.set(purpose, Some(name.clone()));
        self.events.push(RolloutEvent::RunStarted { run: name, purpose });
    }

    /// Asks runs to end that nothing waits for any more.
    pub(super) fn end_runs(&mut self, left: impl Fn(&RolloutRun) -> bool) {
        for run in &mut self.rollout.state.runs {
            if run.is_open() && left(run) {
                run.terminate = true;
                if !run.passes {
                    self.events.push(RolloutEvent::NotJudged { run: run.name.clone() });
                }
            }
        }
    }
}
