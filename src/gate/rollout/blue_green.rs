//! Blue-green: the new version stands beside the active one until all traffic is switched at once.

use super::event::RolloutEvent;
use super::machine::Rollout;
use super::pass::Pass;
use super::spec::{BlueGreenStrategy, RolloutAnalysis, SCALE_DOWN_DELAY_SECONDS};
use super::state::{PauseReason, ReplicaSet, RolloutRun, RunPurpose};
use crate::gate::argo::Phase;
use crate::gate::report::Mode;
use crate::model::Timestamp;

impl Rollout {
    fn is_active(&self) -> bool {
        self.state.active.is_some() && self.state.active == self.state.wanted
    }

    /// Pods that the new version is to have before it is active.
    fn preview_pods(&self, strategy: &BlueGreenStrategy) -> i64 {
        let state = &self.state;
        let is_paused = state.user_pause || !state.pauses.is_empty();
        let is_small = state.active.is_some()
            && !self.is_active()
            && !state.promote_full
            && (is_paused || !state.preview_done);
        strategy.preview_replica_count.filter(|_| is_small).unwrap_or(self.spec.replicas)
    }

    fn wanted_has(&self, pods: i64) -> bool {
        self.wanted_set().is_some_and(|set| set.wanted == pods && set.available == pods)
    }

    /// Whether the new version has all its pods.
    fn is_saturated(&self) -> bool {
        self.wanted_has(self.spec.replicas)
    }

    /// Whether the new version has as many pods as it needs to be looked at.
    fn is_preview_ready(&self, strategy: &BlueGreenStrategy) -> bool {
        self.wanted_has(self.preview_pods(strategy))
    }

    /// What stops all but the pods: a human, or an analysis that could not tell.
    fn is_halted(&self) -> bool {
        self.state.user_pause || self.is_paused_by(PauseReason::InconclusiveAnalysisRun)
    }

    /// Whether the analysis before the switch is not due, or no longer.
    fn skips_analysis_before(&self, strategy: &BlueGreenStrategy) -> bool {
        let begun = self.current_run(RunPurpose::PrePromotion).is_some();
        let pods = strategy.preview_replica_count.unwrap_or(self.spec.replicas);
        self.fully_promoted()
            || self.state.active.is_none()
            || self.is_active()
            || !(begun || self.wanted_has(pods))
    }

    /// The same of the analysis after it.
    fn skips_analysis_after(&self) -> bool {
        let begun = self.current_run(RunPurpose::PostPromotion).is_some();
        self.fully_promoted() || !self.is_active() || !(begun || self.is_saturated())
    }

    /// Whether the analysis for a purpose is passed, or there is none.
    fn has_passed(&self, purpose: RunPurpose, analysis: Option<&RolloutAnalysis>) -> bool {
        let run = self.current_run(purpose);
        // With Argo a run that was ended has passed.
        let has_ended = |run: &RolloutRun| run.terminate && self.mode == Mode::Native;
        analysis.is_none() || run.is_some_and(|run| run.phase == Phase::Successful && !has_ended(run))
    }

    fn has_passed_before_promotion(&self, strategy: &BlueGreenStrategy) -> bool {
        self.has_passed(RunPurpose::PrePromotion, strategy.pre_promotion_analysis.as_ref())
    }

    fn has_passed_after_promotion(&self, strategy: &BlueGreenStrategy) -> bool {
        self.has_passed(RunPurpose::PostPromotion, strategy.post_promotion_analysis.as_ref())
    }

    /// When the pause before the switch ends by itself.
    pub(super) fn preview_ends(&self) -> Option<Timestamp> {
        let strategy = self.spec.blue_green.as_ref().filter(|strategy| strategy.auto_promotion_enabled)?;
        let seconds = strategy.auto_promotion_seconds;
        let pause = self.state.pauses.iter().find(|pause| pause.reason == PauseReason::BlueGreenPause)?;
        (seconds > 0).then(|| pause.start.plus_millis(seconds.saturating_mul(1000)))
    }

    /// What is still waited for once the pods are there.
    pub(super) fn blue_green_waits(&self) -> Option<&'static str> {
        self.spec.blue_green.as_ref()?;
        if !self.is_active() {
            return Some("active service cutover pending");
        }
        (!self.fully_promoted()).then_some("waiting for analysis to complete")
    }
}

impl Pass<'_> {
    /// Pods, pause, switch and analyses; the write follows.
    pub(super) fn blue_green(&mut self, strategy: &BlueGreenStrategy) {
        if !self.rollout.is_halted() {
            self.rollout.state.preview.clone_from(&self.rollout.state.wanted);
        }
        self.scale_blue_green(strategy);
        self.pause_before_switch(strategy);
        // What is due is told by the version that has the traffic before it is switched.
        let before = self.rollout.skips_analysis_before(strategy);
        let after = self.rollout.skips_analysis_after();
        self.switch(strategy);
        self.analyse_blue_green(strategy, (before, after));
    }

    fn scale_blue_green(&mut self, strategy: &BlueGreenStrategy) {
        let rollout = &*self.rollout;
        let (wanted, stable) = (rollout.state.wanted.clone(), rollout.state.stable.clone());
        let active = rollout.state.active.clone();
        let replicas = rollout.spec.replicas;
        let delay = strategy.abort_delay_seconds().filter(|_| self.is_aborted());
        for set in &mut self.rollout.state.replica_sets {
            let is_wanted = wanted.as_ref() == Some(&set.version);
            if (is_wanted && delay.is_none()) || stable.as_ref() == Some(&set.version) {
                set.scale_down_at = None;
            }
        }
        // With Argo a version that was given up loses its pods also where the traffic still goes to it.
        let active = active.filter(|_| self.rollout.mode == Mode::Native);
        for version in active.iter().chain(&stable) {
            self.scale_to(version, replicas);
        }
        if let Some(version) = wanted.filter(|version| active.as_ref() != Some(version)) {
            let pods = self.rollout.preview_pods(strategy);
            self.scale_canary(&version, pods, delay);
        }
        self.scale_others(strategy);
    }

    /// Versions that are neither active nor wanted nor stable wait out their delay.
    fn scale_others(&mut self, strategy: &BlueGreenStrategy) {
        let judged = strategy.post_promotion_analysis.is_none()
            || strategy.scale_down_delay_seconds.is_some()
            || self.rollout.skips_analysis_after()
            || self.rollout.has_passed_after_promotion(strategy);
        if self.rollout.is_paused_by(PauseReason::InconclusiveAnalysisRun) || !judged {
            return;
        }
        let state = &self.rollout.state;
        let is_served = |set: &&ReplicaSet| {
            state.active.iter().chain(&state.preview).any(|served| *served == set.version)
        };
        let others = self.rollout.other_sets().filter(|set| set.wanted > 0);
        let mut others: Vec<ReplicaSet> = others.filter(|set| !is_served(set)).cloned().collect();
        others.sort_by_key(|set| std::cmp::Reverse(set.revision));
        let limit = strategy.scale_down_delay_revision_limit.unwrap_or(i64::MAX);
        let delay = strategy.scale_down_delay_seconds.unwrap_or(SCALE_DOWN_DELAY_SECONDS);
        let mut kept: i64 = 0;
        for set in others {
            kept = kept.saturating_add(1);
            match set.scale_down_at {
                Some(at) if self.now < at && kept <= limit => {
                    // With Argo a small preview that is left becomes a whole one first.
                    if self.rollout.mode == Mode::Strict {
                        self.scale_to(&set.version, self.rollout.spec.replicas);
                    }
                }
                // Without a delay nothing tells when they are to go: they stay.
                None if kept <= limit => {
                    if delay > 0 {
                        self.keep_for(&set.version, delay);
                    }
                }
                _ => {
                    self.scale_to(&set.version, 0);
                }
            }
        }
    }

    /// Whether nothing is asked before the switch: an earlier version comes back, or a human asked for all of it.
    fn is_fast_tracked(&self) -> bool {
        let state = &self.rollout.state;
        self.is_fast_rollback() || state.promote_full || state.active.is_none() || self.rollout.is_active()
    }

    fn pause_before_switch(&mut self, strategy: &BlueGreenStrategy) {
        let rollout = &self.rollout;
        if self.is_aborted() || rollout.is_halted() || !rollout.is_preview_ready(strategy) {
            return;
        }
        if self.is_fast_tracked() || rollout.state.preview_done || !strategy.pauses() {
            self.leave_pause(PauseReason::BlueGreenPause);
            return;
        }
        if !rollout.has_passed_before_promotion(strategy) {
            return;
        }
        let paused = rollout.is_paused_by(PauseReason::BlueGreenPause);
        if paused && self.has_paused(strategy) {
            self.leave_pause(PauseReason::BlueGreenPause);
        } else if !paused && !rollout.state.controller_pause {
            self.add_pause(PauseReason::BlueGreenPause);
        }
    }

    /// Whether the pause before the switch is over, or there is none.
    fn has_paused(&self, strategy: &BlueGreenStrategy) -> bool {
        let state = &self.rollout.state;
        if self.is_adding(PauseReason::BlueGreenPause) {
            return false;
        }
        if state.preview_done || !strategy.pauses() {
            return true;
        }
        if self.rollout.is_paused_by(PauseReason::BlueGreenPause) {
            return self.rollout.preview_ends().is_some_and(|end| self.now >= end);
        }
        // With Argo who asks not to wait for the time waits as long again.
        let may_be_waived = !strategy.auto_promotion_enabled || self.rollout.mode == Mode::Native;
        state.controller_pause && may_be_waived && self.rollout.has_passed_before_promotion(strategy)
    }

    fn switch(&mut self, strategy: &BlueGreenStrategy) {
        let passed = self.rollout.has_passed_before_promotion(strategy) && self.has_paused(strategy);
        let available = self.rollout.wanted_set().map(|set| set.available);
        let rollout = &self.rollout;
        let is_ready = rollout.is_preview_ready(strategy) && rollout.is_saturated();
        // With Argo nothing is switched back, either, while the new version lacks pods or a human paused the rollout.
        let goes_back = self.is_aborted() && rollout.mode == Mode::Native;
        let to = if (rollout.is_halted() || !is_ready) && !goes_back {
            None
        } else if self.is_aborted() {
            rollout.state.stable.clone()
        } else if self.is_fast_tracked() || passed {
            rollout.state.wanted.clone()
        } else {
            None
        };
        if passed && strategy.preview_replica_count.is_some() && strategy.preview_replica_count == available {
            self.rollout.state.preview_done = true;
        }
        let (Some(to), before) = (to, self.rollout.state.active.clone()) else { return };
        if before.as_ref() != Some(&to) {
            self.events.push(RolloutEvent::Switched { version: to.clone() });
            self.rollout.state.active = Some(to);
        }
    }

    fn analyse_blue_green(&mut self, strategy: &BlueGreenStrategy, skips: (bool, bool)) {
        let rollout = &self.rollout;
        let cancels = rollout.fully_promoted()
            || self.is_aborted()
            || rollout.state.promote_full
            || self.is_fast_rollback();
        if cancels {
            self.end_runs(|_| true);
            return;
        }
        let before = strategy.pre_promotion_analysis.is_some() && !skips.0;
        let after = strategy.post_promotion_analysis.is_some() && !skips.1;
        let waits = rollout.is_paused_by(PauseReason::InconclusiveAnalysisRun);
        for (purpose, is_due, text) in [
            (RunPurpose::PrePromotion, before, "Blue/green pre-promotion analysis phase error/failed"),
            (RunPurpose::PostPromotion, after, "Blue/green post-promotion analysis phase error/failed"),
        ] {
            if is_due && !waits {
                self.analyse_one(purpose, text);
            } else if let Some(run) = self.rollout.current_run(purpose).cloned() {
                self.act_on(&run, text);
            }
        }
        let current = self.rollout.state.current.clone();
        let left = |run: &RolloutRun| {
            let is_due = match run.purpose {
                RunPurpose::PrePromotion => before,
                RunPurpose::PostPromotion => after,
                RunPurpose::Step(_) | RunPurpose::Background => false,
            };
            !is_due || !current.has(run)
        };
        self.end_runs(left);
    }

    /// Why the active version becomes the stable one, if it does.
    pub(super) fn blue_green_promotion(&self, strategy: &BlueGreenStrategy) -> Option<String> {
        let rollout = &self.rollout;
        if rollout.fully_promoted() || !rollout.is_active() {
            return None;
        }
        if rollout.state.promote_full {
            return Some("Full promotion requested".to_owned());
        }
        if rollout.is_within_rollback_window() {
            return Some("Rollback within window".to_owned());
        }
        if self.comes_back {
            return Some("Fast rollback".to_owned());
        }
        let inconclusive = rollout.is_paused_by(PauseReason::InconclusiveAnalysisRun)
            || self.is_adding(PauseReason::InconclusiveAnalysisRun);
        let passed = !self.is_aborted() && rollout.has_passed_after_promotion(strategy) && !inconclusive;
        passed.then(|| "Completed blue-green update".to_owned())
    }
}
