//! Blue-green: the new version stands beside the active one until all traffic is switched at once.

use super::event::RolloutEvent;
use super::machine::Rollout;
use super::pass::Pass;
use super::spec::{BlueGreenStrategy, RolloutAnalysis, SCALE_DOWN_DELAY_SECONDS};
use super::state::{PauseReason, RolloutRun, RunPurpose};
use crate::gate::argo::Phase;
use crate::model::Timestamp;

impl Rollout {
    fn is_active(&self) -> bool {
        self.state.active.is_some() && self.state.active == self.state.wanted
    }

    /// Pods that the new version is to have before it is active.
    fn preview_pods(&self, strategy: &BlueGreenStrategy) -> i64 {
        match strategy.preview_replica_count {
            Some(count) if !self.is_active() && !self.state.preview_done && !self.state.promote_full => count,
            _ => self.spec.replicas,
        }
    }

    /// Whether the new version has all its pods.
    fn is_saturated(&self) -> bool {
        let replicas = self.spec.replicas;
        self.wanted_set().is_some_and(|set| {
            set.wanted == replicas && set.existing == replicas && set.available == replicas
        })
    }

    /// Whether the new version has as many pods as it needs to be looked at.
    fn is_preview_ready(&self, strategy: &BlueGreenStrategy) -> bool {
        let pods = self.preview_pods(strategy);
        self.wanted_set().is_some_and(|set| set.wanted == pods && set.available == pods)
    }

    /// Whether the analysis for a purpose is passed, or there is none.
    fn has_passed(&self, purpose: RunPurpose, analysis: Option<&RolloutAnalysis>) -> bool {
        let run = self.current_run(purpose);
        analysis.is_none() || run.is_some_and(|run| run.phase == Phase::Successful && !run.terminate)
    }

    fn has_passed_before_promotion(&self, strategy: &BlueGreenStrategy) -> bool {
        self.has_passed(RunPurpose::PrePromotion, strategy.pre_promotion_analysis.as_ref())
    }

    fn has_passed_after_promotion(&self, strategy: &BlueGreenStrategy) -> bool {
        self.has_passed(RunPurpose::PostPromotion, strategy.post_promotion_analysis.as_ref())
    }

    /// When the pause before the switch ends by itself.
    pub(super) fn preview_ends(&self) -> Option<Timestamp> {
        let seconds = self.spec.blue_green.as_ref()?.auto_promotion_seconds;
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
        self.scale_blue_green(strategy);
        self.pause_before_switch(strategy);
        self.switch(strategy);
        self.analyse_blue_green(strategy);
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
        let judged = self.rollout.fully_promoted()
            || strategy.post_promotion_analysis.is_none()
            || strategy.scale_down_delay_seconds.is_some()
            || self.rollout.has_passed_after_promotion(strategy);
        if self.rollout.is_paused_by(PauseReason::InconclusiveAnalysisRun) || !judged {
            return;
        }
        let active = self.rollout.state.active.clone();
        let others = self.rollout.other_sets().filter(|set| set.wanted > 0);
        let mut others: Vec<_> =
            others.filter(|set| active.as_ref() != Some(&set.version)).cloned().collect();
        others.sort_by_key(|set| std::cmp::Reverse(set.revision));
        let limit = strategy.scale_down_delay_revision_limit;
        for (index, set) in others.into_iter().enumerate() {
            let beyond = limit.is_some_and(|limit| i64::try_from(index).is_ok_and(|index| index >= limit));
            let delay = strategy.scale_down_delay_seconds.unwrap_or(SCALE_DOWN_DELAY_SECONDS);
            match set.scale_down_at {
                Some(at) if self.now < at && !beyond => {}
                None if delay > 0 && !beyond => self.keep_for(&set.version, delay),
                _ => {
                    self.scale_to(&set.version, 0);
                }
            }
        }
    }

    /// Whether nothing is asked before the switch: the version was active a moment ago, or a human asked for all of it.
    fn is_fast_tracked(&self) -> bool {
        let state = &self.rollout.state;
        (self.comes_back && !self.is_aborted())
            || self.rollout.fully_promoted()
            || state.promote_full
            || state.active.is_none()
            || self.rollout.is_active()
    }

    fn pause_before_switch(&mut self, strategy: &BlueGreenStrategy) {
        let state = &self.rollout.state;
        let halted = state.user_pause || self.rollout.is_paused_by(PauseReason::InconclusiveAnalysisRun);
        if self.is_aborted() || halted || !self.rollout.is_preview_ready(strategy) {
            return;
        }
        if self.is_fast_tracked() || state.preview_done || !strategy.pauses() {
            self.leave_pause(PauseReason::BlueGreenPause);
            return;
        }
        if !self.rollout.has_passed_before_promotion(strategy) {
            return;
        }
        let paused = self.rollout.is_paused_by(PauseReason::BlueGreenPause);
        if paused && self.has_paused(strategy) {
            self.leave_pause(PauseReason::BlueGreenPause);
        } else if !paused && !state.controller_pause {
            self.add_pause(PauseReason::BlueGreenPause);
        }
    }

    /// Whether the pause before the switch is over, or there is none.
    fn has_paused(&self, strategy: &BlueGreenStrategy) -> bool {
        let state = &self.rollout.state;
        if state.preview_done || !strategy.pauses() {
            return true;
        }
        if self.rollout.is_paused_by(PauseReason::BlueGreenPause) {
            return self.rollout.preview_ends().is_some_and(|end| self.now >= end);
        }
        state.controller_pause && self.rollout.has_passed_before_promotion(strategy)
    }

    fn switch(&mut self, strategy: &BlueGreenStrategy) {
        let halted =
            self.rollout.state.user_pause || self.rollout.is_paused_by(PauseReason::InconclusiveAnalysisRun);
        let passed = self.rollout.has_passed_before_promotion(strategy) && self.has_paused(strategy);
        if passed && strategy.preview_replica_count.is_some() && self.rollout.is_preview_ready(strategy) {
            self.rollout.state.preview_done = true;
        }
        let to = if self.is_aborted() {
            self.rollout.state.stable.clone()
        } else if self.rollout.is_saturated() && (self.is_fast_tracked() || (passed && !halted)) {
            self.rollout.state.wanted.clone()
        } else {
            None
        };
        let (Some(to), before) = (to, self.rollout.state.active.clone()) else { return };
        if before.as_ref() != Some(&to) {
            self.events.push(RolloutEvent::Switched { version: to.clone() });
            self.rollout.state.active = Some(to);
        }
    }

    fn analyse_blue_green(&mut self, strategy: &BlueGreenStrategy) {
        let rollout = &self.rollout;
        if self.is_aborted()
            || rollout.state.promote_full
            || self.comes_back
            || rollout.is_within_rollback_window()
        {
            self.end_runs(|_| true);
            return;
        }
        let active = rollout.is_active();
        let before = strategy.pre_promotion_analysis.is_some()
            && !active
            && !rollout.fully_promoted()
            && rollout.is_preview_ready(strategy);
        let after = strategy.post_promotion_analysis.is_some()
            && active
            && !rollout.fully_promoted()
            && rollout.is_saturated();
        if !rollout.is_paused_by(PauseReason::InconclusiveAnalysisRun) {
            for (purpose, is_due, text) in [
                (RunPurpose::PrePromotion, before, "Pre-promotion analysis phase error/failed"),
                (RunPurpose::PostPromotion, after, "Post-promotion analysis phase error/failed"),
            ] {
                if is_due {
                    self.analyse_one(purpose, text);
                }
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
        let inconclusive = rollout.is_paused_by(PauseReason::InconclusiveAnalysisRun)
            || self.is_adding(PauseReason::InconclusiveAnalysisRun);
        if rollout.fully_promoted() || self.is_aborted() || !rollout.is_active() {
            return None;
        }
        if rollout.state.promote_full {
            return Some("Full promotion requested".to_owned());
        }
        let passed = rollout.has_passed_after_promotion(strategy) && !inconclusive;
        passed.then(|| "Completed blue-green update".to_owned())
    }
}
