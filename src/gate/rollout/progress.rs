//! Signs of progress, the deadline for them, and what phase and message say.

use super::machine::Rollout;
use super::spec::CanaryStep;
use super::state::{PauseReason, ProgressReason, RolloutPhase};
use crate::gate::report::Mode;
use crate::model::Timestamp;

impl Rollout {
    /// When the pause step at work ends by itself.
    pub(super) fn pause_ends(&self) -> Option<Timestamp> {
        let Some(CanaryStep::Pause(Some(seconds))) = self.current_step() else { return None };
        let pause = self.state.pauses.iter().find(|pause| pause.reason == PauseReason::CanaryPauseStep)?;
        Some(pause.start.plus_millis(seconds.saturating_mul(1000)))
    }

    /// Whether the wanted version came before the stable one. With Argo also one that no analysis has let through; here it has been
    /// stable.
    pub(super) fn is_rollback(&self) -> bool {
        let (Some(wanted), Some(stable)) = (self.wanted_set(), self.stable_set()) else { return false };
        wanted.first_revision < stable.first_revision && (self.mode == Mode::Strict || wanted.was_stable)
    }

    /// Whether it is older than stable by fewer versions than may be skipped.
    pub(super) fn is_within_rollback_window(&self) -> bool {
        let Some(revisions) = self.spec.rollback_window.filter(|_| self.is_rollback()) else { return false };
        let (Some(wanted), Some(stable)) = (self.wanted_set(), self.stable_set()) else { return false };
        let between = self.state.replica_sets.iter().filter(|set| {
            set.first_revision > wanted.first_revision && set.first_revision < stable.first_revision
        });
        i64::try_from(between.count()).is_ok_and(|between| between < revisions)
    }

    /// Times at which a pass is due although nothing was told.
    pub(super) fn alarms(&self) -> Vec<Option<Timestamp>> {
        let now = self.state.now;
        let later = |time: Timestamp| now.is_none_or(|now| time > now);
        let halted = self.state.user_pause || self.is_paused_by(PauseReason::InconclusiveAnalysisRun);
        // Who stops a blue-green rollout does not stop the pods of versions before.
        let scales = !halted || (self.spec.blue_green.is_some() && self.state.user_pause);
        let stopped = self.state.user_pause || (self.mode == Mode::Native && halted);
        let mut alarms = vec![
            self.pause_ends().filter(|_| !stopped),
            self.preview_ends().filter(|_| !halted || self.mode == Mode::Strict),
        ];
        alarms.extend(
            self.state.replica_sets.iter().map(|set| set.scale_down_at.filter(|_| scales && set.wanted > 0)),
        );
        alarms.extend([self.deadline_look(), self.state.progress.due]);
        alarms.into_iter().map(|alarm| alarm.filter(|time| later(*time))).collect()
    }

    /// When pods that make no progress are given up; none while the time does not count.
    fn deadline(&self) -> Option<Timestamp> {
        let over = matches!(self.state.progress.reason, ProgressReason::TimedOut | ProgressReason::Complete);
        self.deadline_by_time().filter(|_| !over)
    }

    /// The same where pods that have all come may be given up as well.
    fn deadline_by_time(&self) -> Option<Timestamp> {
        let indefinite = matches!(self.current_step(), Some(CanaryStep::Analysis(_) | CanaryStep::Pause(_)));
        let state = &self.state;
        // Blue-green has no step that tells: the time of its gates is that after the pods came. With Argo it counts.
        let gated = self.mode == Mode::Native
            && self.spec.blue_green.is_some()
            && self.wanted_set().is_some_and(|set| set.available == set.wanted);
        let waits = self.other_sets().any(|set| set.scale_down_at.is_some());
        if indefinite || gated || waits || state.abort || state.user_pause || !state.pauses.is_empty() {
            return None;
        }
        let since = state.progress.updated?;
        Some(since.plus_millis(self.spec.progress_deadline_seconds.saturating_mul(1000)))
    }

    /// Whether pods are given up. With Argo a look that was due for the deadline aborts by the time alone, also where all pods have
    /// come since and a gate is waited for.
    pub(super) fn is_given_up(&self, now: Timestamp) -> bool {
        let by_time = self.mode == Mode::Strict
            && self.spec.progress_deadline_abort
            && self.state.progress.reason == ProgressReason::Complete
            && !self.fully_promoted();
        let deadline = if by_time { self.deadline_by_time() } else { self.deadline() };
        deadline.is_some_and(|deadline| now > deadline)
    }

    /// When a look for the deadline is due. A second is added, as times are cut to seconds.
    fn deadline_look(&self) -> Option<Timestamp> {
        self.deadline().map(|deadline| deadline.plus_millis(1000))
    }

    /// Remembers that a look is due for the deadline, whatever happens before, as Argo's queue does.
    pub(super) fn note_deadline(&mut self, now: Timestamp) {
        if self.mode == Mode::Strict {
            let kept = self.state.progress.due.filter(|due| *due > now);
            self.state.progress.due = self.deadline_look().or(kept);
        }
    }

    /// Pods of the wanted version, of the others, and available ones: in blue-green those that have the traffic.
    pub(super) fn pods_seen(&self) -> (i64, i64, i64) {
        let updated = self.wanted_set().map_or(0, |set| set.existing);
        let all: i64 = self.state.replica_sets.iter().map(|set| set.existing).sum();
        let active = self.state.active.as_ref();
        let counted =
            self.state.replica_sets.iter().filter(|set| active.is_none_or(|active| *active == set.version));
        let available: i64 = counted.map(|set| set.available).sum();
        (updated, all - updated, available)
    }

    /// Notes a sign of progress.
    pub(super) fn note_progress(&mut self, now: Timestamp) {
        let seen = self.pods_seen();
        let is_blue_green = self.spec.blue_green.is_some();
        let state = &self.state;
        let is_there = match is_blue_green {
            true => state.active == state.wanted && state.preview == state.wanted,
            false => self.fully_promoted(),
        };
        let before = std::mem::replace(&mut self.state.progress.pods, seen);
        let healthy = is_there && self.unfinished().is_none();
        let state = &mut self.state;
        let switched = (state.active.clone(), state.preview.clone());
        let moved = match is_blue_green {
            true => state.progress.switched != switched,
            false => state.progress.step != state.step || state.progress.stable != state.stable,
        };
        let paused = state.user_pause || !state.pauses.is_empty();
        let was_healthy = std::mem::replace(&mut state.progress.healthy, healthy && !paused);
        let became_unhealthy = was_healthy && !state.progress.healthy;
        state.progress.step = state.step;
        state.progress.stable.clone_from(&state.stable);
        state.progress.switched = switched;
        if state.abort {
            return;
        }
        let (updated, others, available) = seen;
        if healthy {
            if state.progress.reason != ProgressReason::Complete {
                state.progress.updated = Some(now);
            }
            state.progress.reason = ProgressReason::Complete;
        } else if moved
            || became_unhealthy
            || updated != before.0
            || others < before.1
            || available > before.2
        {
            state.progress.reason = ProgressReason::Updated;
            state.progress.updated = Some(now);
        } else if state.progress.reason == ProgressReason::Complete {
            // What has made no progress since is timed by that.
            state.progress.reason = ProgressReason::Updated;
        }
    }

    /// What pods are still waited for, of those that were there when it was last written.
    fn unfinished(&self) -> Option<&'static str> {
        let (updated, others, available) = self.state.progress.pods;
        if updated < self.spec.replicas {
            return Some("more replicas need to be updated");
        }
        if available < updated {
            return Some("updated replicas are still becoming available");
        }
        if !self.spec.canary.traffic_routing && self.spec.blue_green.is_none() && others > 0 {
            return Some("old replicas are pending termination");
        }
        None
    }

    /// Works out phase and message from what was written.
    pub(super) fn tell(&mut self) {
        let progress = &self.state.progress;
        let (phase, message) = match progress.reason {
            ProgressReason::Aborted => {
                (RolloutPhase::Degraded, format!("RolloutAborted: {}", progress.message))
            }
            ProgressReason::TimedOut => {
                (RolloutPhase::Degraded, format!("ProgressDeadlineExceeded: {}", progress.message))
            }
            _ if self.state.user_pause => (RolloutPhase::Paused, "manually paused".to_owned()),
            _ => match (self.state.pauses.first(), self.unfinished()) {
                (Some(pause), _) => (RolloutPhase::Paused, pause.reason.to_string()),
                (None, Some(text)) => (RolloutPhase::Progressing, text.to_owned()),
                (None, None) if self.blue_green_waits().is_some() => {
                    let text = self.blue_green_waits().unwrap_or_default();
                    (RolloutPhase::Progressing, text.to_owned())
                }
                (None, None) if self.fully_promoted() => (RolloutPhase::Healthy, String::new()),
                (None, None) => (RolloutPhase::Progressing, "waiting for all steps to complete".to_owned()),
            },
        };
        (self.state.phase, self.state.message) = (phase, message);
    }
}
