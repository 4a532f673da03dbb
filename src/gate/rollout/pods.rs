//! How many pods each version is to have.

use super::machine::Rollout;
use super::spec::SCALE_DOWN_DELAY_SECONDS;
use super::state::ReplicaSet;
use crate::model::Timestamp;

impl Rollout {
    pub(super) fn set(&self, version: &str) -> Option<&ReplicaSet> {
        self.state.replica_sets.iter().find(|set| set.version == version)
    }

    /// Has the pods of a version wait for their end until then.
    pub(super) fn wait_until(&mut self, version: &str, at: Timestamp) {
        if let Some(set) = self.state.replica_sets.iter_mut().find(|set| set.version == version) {
            set.scale_down_at = Some(at);
        }
    }

    pub(super) fn wanted_set(&self) -> Option<&ReplicaSet> {
        self.set(self.state.wanted.as_ref()?)
    }

    pub(super) fn stable_set(&self) -> Option<&ReplicaSet> {
        self.set(self.state.stable.as_ref()?)
    }

    /// Versions that are neither wanted nor stable.
    pub(super) fn other_sets(&self) -> impl Iterator<Item = &ReplicaSet> {
        let (wanted, stable) = (&self.state.wanted, &self.state.stable);
        self.state
            .replica_sets
            .iter()
            .filter(move |set| wanted.as_ref() != Some(&set.version) && stable.as_ref() != Some(&set.version))
    }

    /// Pods that canary and stable are to have at this moment, on the way to where the step wants them.
    pub(super) fn wanted_pods(&self) -> (i64, i64) {
        if self.spec.canary.traffic_routing { self.routed_pods() } else { self.basic_pods() }
    }

    fn at_least_the_fewest(&self, pods: i64) -> i64 {
        match self.spec.canary.min_pods_per_replica_set {
            Some(fewest) if pods != 0 => pods.max(fewest),
            _ => pods,
        }
    }

    fn routed_pods(&self) -> (i64, i64) {
        let replicas = self.spec.replicas;
        let maximum = self.maximum();
        let carrying = |weight: i64| (weight * replicas + maximum - 1).div_euclid(maximum);
        let (scaled, weight) = self.canary_pods_or_weight();
        let canary = scaled.unwrap_or_else(|| self.at_least_the_fewest(carrying(weight)));
        if !self.spec.canary.dynamic_stable_scale {
            return (canary, replicas);
        }
        let sent = self.sent_weight();
        if self.state.abort {
            // The canary keeps what its traffic needs; stable prepares for the stage below.
            let stage = self.stage_below(sent);
            let stable = carrying(maximum - stage).max(carrying(maximum - sent));
            return (self.at_least_the_fewest(canary.max(carrying(sent))), self.at_least_the_fewest(stable));
        }
        let stable = match &self.state.weight {
            Some(weight) => carrying(maximum - weight.canary),
            None => 0,
        };
        let prepared = if scaled.is_some() { replicas } else { carrying(maximum - weight) };
        (self.at_least_the_fewest(canary), self.at_least_the_fewest(prepared.max(stable)))
    }

    fn surge(&self) -> i64 {
        self.spec.canary.max_surge.rounded_up(self.spec.replicas)
    }

    fn fewest_available(&self) -> i64 {
        let replicas = self.spec.replicas;
        let unavailable = self.spec.canary.max_unavailable.rounded_down(replicas);
        let unavailable = if unavailable == 0 && self.surge() == 0 { 1 } else { unavailable };
        replicas - unavailable.min(replicas)
    }

    /// Without a router, a weight is a ratio of pods, which is approached within surge and unavailability.
    fn basic_pods(&self) -> (i64, i64) {
        let replicas = self.spec.replicas;
        let most = replicas + self.surge();
        let canary = self.wanted_set();
        let stable = self.stable_set().filter(|_| !self.fully_promoted());
        let (mut to_canary, mut to_stable) =
            nearest(replicas, self.canary_pods_or_weight().1, self.surge() > 0);
        if stable.is_none() {
            (to_canary, to_stable) = (replicas, 0);
        }
        let mut canary_pods = canary.map_or(0, |set| set.wanted);
        let mut stable_pods = stable.map_or(0, |set| set.wanted);
        let others: i64 = self.other_sets().map(|set| set.wanted).sum();
        let mut room = most - canary_pods - stable_pods - others;
        if stable_pods < to_stable && room > 0 {
            let grown = to_stable.min(stable_pods + room);
            room -= grown - stable_pods;
            stable_pods = grown;
        }
        let before = canary_pods;
        if canary_pods < to_canary && room > 0 {
            canary_pods = to_canary.min(canary_pods + room);
        }
        if others > 0 {
            return (canary_pods, stable_pods);
        }
        // Growing, the pods of stable need not be available to be taken away; shrinking, those of the canary.
        let growing = to_canary >= before;
        let counted = |set: Option<&ReplicaSet>, all: bool| {
            set.map_or(0, |set| if all { set.wanted } else { set.wanted.min(set.available) })
        };
        let fewest = self.fewest_available();
        let spare = counted(canary, !growing) + counted(stable, growing) - fewest;
        if spare <= 0 {
            return (canary_pods, stable_pods);
        }
        let limits = Limits { most, fewest };
        if !growing {
            let drained = drain(canary, to_canary, spare, canary_pods);
            return limits.keep(canary, stable, drained, stable_pods);
        }
        if stable.is_some() {
            let drained = drain(stable, to_stable, spare, stable_pods);
            let (stable_pods, canary_pods) = limits.keep(stable, canary, drained, canary_pods);
            return (canary_pods, stable_pods);
        }
        (canary_pods, stable_pods)
    }

    /// What versions that are neither wanted nor stable are to have: the newest first, version and pods.
    pub(super) fn other_pods(&self) -> Vec<(String, i64, Option<i64>)> {
        let available: i64 = self.state.replica_sets.iter().map(|set| set.available).sum();
        let mut spare = available - self.fewest_available();
        let mut others: Vec<&ReplicaSet> = self.other_sets().filter(|set| set.wanted > 0).collect();
        others.sort_by_key(|set| std::cmp::Reverse(set.revision));
        let mut waiting = 0;
        let mut changes = Vec::new();
        for set in others {
            // Pods that do not serve are taken first, whatever is spare.
            if !self.spec.canary.traffic_routing && set.available < set.wanted {
                changes.push((set.version.clone(), set.available, None));
                continue;
            }
            if spare <= 0 {
                break;
            }
            let (pods, delay) = self.other_pods_of(set, spare, &mut waiting);
            if pods != set.wanted || delay.is_some() {
                changes.push((set.version.clone(), pods, delay));
                spare -= set.wanted - pods;
            }
        }
        changes
    }

    /// Pods, and the delay in seconds after which they end if it begins at this moment.
    fn other_pods_of(&self, set: &ReplicaSet, spare: i64, waiting: &mut i64) -> (i64, Option<i64>) {
        let canary = &self.spec.canary;
        if !canary.traffic_routing {
            return ((set.wanted - spare).max(0), None);
        }
        if self.state.weight.as_ref().is_some_and(|weight| weight.version == set.version) {
            // It still has traffic.
            return (set.wanted, None);
        }
        let was_stable = self.fully_promoted() || set.scale_down_at.is_some();
        if !was_stable || canary.dynamic_stable_scale {
            return (0, None);
        }
        *waiting += 1;
        if canary.scale_down_delay_revision_limit.is_some_and(|limit| *waiting > limit) {
            return (0, None);
        }
        match set.scale_down_at {
            Some(at) if self.state.now.is_some_and(|now| now >= at) => (0, None),
            Some(_) => (set.wanted, None),
            None => match canary.scale_down_delay_seconds.unwrap_or(SCALE_DOWN_DELAY_SECONDS) {
                0 => (0, None),
                delay => (set.wanted, Some(delay)),
            },
        }
    }
}

/// How many pods there may be, and how many have to serve.
struct Limits {
    most: i64,
    fewest: i64,
}

impl Limits {
    /// Pods of the version that gives some away and of the other one, within both limits.
    fn keep(
        &self,
        drained: Option<&ReplicaSet>,
        other: Option<&ReplicaSet>,
        drained_pods: i64,
        other_pods: i64,
    ) -> (i64, i64) {
        let over = |a: i64, b: i64| (a + b - self.most).max(0);
        let Some(other) = other else { return (drained_pods, other_pods) };
        let serving = drained.map_or(0, |set| set.available.min(drained_pods));
        let cut = other_pods - over(drained_pods, other_pods);
        let missing = (self.fewest - serving - other.available.min(cut)).max(0);
        let kept = cut + missing.min((other.available - cut).max(0));
        (drained_pods - over(drained_pods, kept), kept)
    }
}

fn drain(set: Option<&ReplicaSet>, target: i64, spare: i64, pods: i64) -> i64 {
    match set {
        Some(set) if set.wanted > target => target.max(set.wanted - spare),
        _ => pods,
    }
}

/// The numbers of canary and stable pods nearest to a weight of a hundred, among all or, with a surge, one pod more.
fn nearest(replicas: i64, weight: i64, surge: bool) -> (i64, i64) {
    if replicas == 0 {
        return (0, 0);
    }
    let share = replicas * weight;
    let (up, down) = ((share + 99).div_euclid(100), share.div_euclid(100));
    let tied = |total: i64| (total * weight).rem_euclid(100) == 50;
    let zero_allowed = weight == 100 || weight == 0 || (replicas == 1 && !surge);
    let down_allowed = down != 0 || zero_allowed;
    let mut options = Vec::new();
    if up < replicas || zero_allowed {
        options.push((up, replicas));
    }
    if !tied(replicas) && down_allowed {
        options.push((down, replicas));
    }
    if surge {
        options.push((up, replicas + 1));
        if !tied(replicas + 1) && down_allowed {
            options.push((down, replicas + 1));
        }
    }
    // |canary / total - weight / 100|, as a fraction over 100 · total.
    let distance = |(canary, total): (i64, i64)| ((canary * 100 - weight * total).abs(), total);
    let nearer = |a: (i64, i64), b: (i64, i64)| a.0 * b.1 < b.0 * a.1;
    let best = options
        .into_iter()
        .reduce(|best, option| if nearer(distance(option), distance(best)) { option } else { best });
    best.map_or((0, replicas), |(canary, total)| (canary, total - canary))
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_weight_becomes_the_nearest_numbers_of_pods_with_ties_for_the_canary() {
        assert_eq!(nearest(10, 20, true), (2, 8));
        assert_eq!(nearest(10, 0, true), (0, 10));
        assert_eq!(nearest(10, 100, true), (10, 0));
        // One pod at 20 % runs one and one; without a surge it is all or nothing.
        assert_eq!(nearest(1, 20, true), (1, 1));
        assert_eq!(nearest(1, 20, false), (0, 1));
        assert_eq!(nearest(3, 50, false), (2, 1));
        assert_eq!(nearest(3, 50, true), (2, 2));
        // Neither side is empty between 1 and 99.
        assert_eq!(nearest(10, 1, false), (1, 9));
        assert_eq!(nearest(10, 99, false), (9, 1));
        assert_eq!(nearest(0, 50, true), (0, 0));
    }
}
