//! How much of the traffic the canary gets, and of how many pods that takes.

use super::machine::Rollout;
use super::spec::{CanaryScale, CanaryStep};
use super::state::{ReplicaSet, Weight};

impl Rollout {
    /// The step at work; none past the end and without steps.
    pub(super) fn current_step(&self) -> Option<&CanaryStep> {
        self.spec.canary.steps.get(self.state.step?)
    }

    pub(super) fn maximum(&self) -> i64 {
        self.spec.canary.max_traffic_weight
    }

    /// The steps up to the one at work, newest first.
    fn steps_so_far(&self) -> impl Iterator<Item = &CanaryStep> {
        let count = self.state.step.map_or(0, |step| step.saturating_add(1));
        self.spec.canary.steps.iter().take(count).rev()
    }

    /// The newest `setWeight` at or before the step at work.
    pub(super) fn set_weight_in_force(&self) -> i64 {
        if self.state.abort {
            return 0;
        }
        if self.current_step().is_none() {
            return self.maximum();
        }
        newest_weight(self.steps_so_far())
    }

    /// The newest `setCanaryScale` that is in force.
    fn scale_in_force(&self) -> Option<CanaryScale> {
        let canary = &self.spec.canary;
        let kept = !self.state.abort || canary.abort_scale_down_delay_seconds == Some(0);
        if !canary.traffic_routing || !kept || self.current_step().is_none() {
            return None;
        }
        let newest = self.steps_so_far().find_map(|step| match step {
            CanaryStep::SetCanaryScale(scale) => Some(*scale),
            _ => None,
        });
        newest.filter(|scale| *scale != CanaryScale::MatchTrafficWeight)
    }

    /// Pods that the canary is scaled to whatever its weight, or the weight that its pods have to carry.
    pub(super) fn canary_pods_or_weight(&self) -> (Option<i64>, i64) {
        if self.state.promote_full || self.state.stable.is_none() || self.fully_promoted() {
            return (None, self.maximum());
        }
        match self.scale_in_force() {
            Some(CanaryScale::Replicas(replicas)) => (Some(replicas), 0),
            Some(CanaryScale::Weight(weight)) => (None, weight),
            Some(CanaryScale::MatchTrafficWeight) | None => (None, self.set_weight_in_force()),
        }
    }

    pub(super) fn sent_weight(&self) -> i64 {
        self.state.weight.as_ref().map_or(0, |weight| weight.canary)
    }

    /// On the way down the stable version takes over by stages, the weights of the steps from the end.
    pub(super) fn stage_below(&self, weight: i64) -> i64 {
        let stages = self.spec.canary.steps.iter().rev().filter_map(|step| match step {
            CanaryStep::SetWeight(stage) => Some(*stage),
            _ => None,
        });
        stages.into_iter().find(|stage| *stage < weight).unwrap_or(0)
    }

    /// Whether the wanted version went back to stable while another still has traffic that stable cannot carry.
    fn rolling_back(&self) -> bool {
        let Some(weight) = &self.state.weight else { return false };
        self.fully_promoted()
            && self.spec.canary.dynamic_stable_scale
            && self.state.wanted.as_ref() != Some(&weight.version)
            && self.stable_set().is_some_and(|stable| stable.available < self.spec.replicas)
    }

    /// Sets what the router is to send to the canary. Answers whether that changed.
    pub(super) fn route(&mut self, aborted: bool) -> Option<(i64, i64)> {
        if !self.spec.canary.traffic_routing {
            self.state.weight = None;
            return None;
        }
        let before = self.state.weight.clone();
        let rolling_back = self.rolling_back();
        let mut weight = self.desired_weight(aborted, rolling_back);
        let at_once = (self.fully_promoted() && !rolling_back) || (aborted && weight == 0 && !self.dynamic());
        let rest = (self.maximum() - weight) * self.spec.replicas / self.maximum();
        if !at_once && self.stable_set().is_some_and(|stable| stable.available < rest) {
            weight = self.sent_weight();
        }
        let version = match &before {
            Some(before) if rolling_back => before.version.clone(),
            _ => self.state.wanted.clone().unwrap_or_default(),
        };
        self.state.weight = Some(Weight { canary: weight, version });
        let from = before.map_or(0, |before| before.canary);
        (from != weight).then_some((from, weight))
    }

    fn dynamic(&self) -> bool {
        self.spec.canary.dynamic_stable_scale
    }

    fn desired_weight(&self, aborted: bool, rolling_back: bool) -> i64 {
        if rolling_back || (aborted && self.dynamic() && !self.fully_promoted()) {
            return self.stage_below(self.sent_weight());
        }
        if self.fully_promoted() || aborted {
            return 0;
        }
        let available = self.wanted_set().map_or(0, |canary| canary.available);
        if available == 0 {
            return 0;
        }
        if self.state.promote_full {
            return match self.dynamic() {
                true => (self.maximum() * available / self.spec.replicas.max(1)).min(self.maximum()),
                false => self.sent_weight(),
            };
        }
        let Some(step) = self.state.step else { return 0 };
        if !self.pods_are_there() {
            return newest_weight(self.spec.canary.steps.iter().take(step).rev());
        }
        if step >= self.spec.canary.steps.len() { self.maximum() } else { self.set_weight_in_force() }
    }

    /// Whether the pods that the step at work asks for are there.
    pub(super) fn pods_are_there(&self) -> bool {
        let (canary, stable) = self.wanted_pods();
        let available = |set: &ReplicaSet| set.wanted == canary && set.available == canary;
        if !self.wanted_set().is_some_and(available) {
            return false;
        }
        let exists = |set: &ReplicaSet| set.wanted == stable && set.existing == stable;
        if !self.dynamic() && !self.stable_set().is_some_and(exists) {
            return false;
        }
        self.spec.canary.traffic_routing || self.other_sets().all(|set| set.available == 0)
    }
}

fn newest_weight<'a>(mut newest_first: impl Iterator<Item = &'a CanaryStep>) -> i64 {
    let newest = newest_first.find_map(|step| match step {
        CanaryStep::SetWeight(weight) => Some(*weight),
        _ => None,
    });
    newest.unwrap_or(0)
}
