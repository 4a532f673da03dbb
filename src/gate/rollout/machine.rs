//! The step machine that users hold: what goes in, what comes out.

use super::event::RolloutEvent;
use super::pass::Pass;
use super::spec::{MAX_NAME_BYTES, MAX_REPLICAS, MAX_STEPS, RolloutSpec};
use super::state::{
    Aborted, CurrentRuns, Progress, ReplicaSet, RolloutFields, RolloutPhase, RolloutRun, RolloutState,
    STATE_VERSION, Weight,
};
use crate::error::{Error, ErrorKind, Result};
use crate::gate::argo::Phase;
use crate::gate::report::Mode;
use crate::gate::spec::fingerprint;
use crate::model::Timestamp;

/// Versions that are remembered beside those with pods.
const REVISION_HISTORY: usize = 10;

/// A rollout, canary or blue-green, as a step machine: no clock, no cluster, no thread.
///
/// Observations go in ([`observe`](Self::observe): pods, [`judge`](Self::judge): what gates say), commands of humans go in
/// ([`command`](Self::command)), time goes in with [`tick`](Self::tick). Decisions come out: the pods that each version is to
/// have ([`replica_sets`](Self::replica_sets)), the canary's share of the traffic ([`weight`](Self::weight)), the gates that
/// are to run or to end ([`runs`](Self::runs)), phase and message. One tick is one pass of Argo's controller: it moves
/// at most one step. The same inputs give the same decisions.
///
/// In [`Mode::Strict`] it decides as Argo Rollouts 1.10 does, with its oddities; in [`Mode::Native`] it differs where those
/// harm: a gate that cannot tell stops the clock of pauses and passes none over, a promotion waits for the verdict of the
/// background analysis, and a gate is only ever skipped by a command of that name.
///
/// ```
/// use promgate::rollout::{CanaryStep, CanaryStrategy, Rollout, RolloutPhase, RolloutSpec};
/// use promgate::{Mode, Timestamp};
///
/// let steps = vec![CanaryStep::SetWeight(20), CanaryStep::Pause(Some(60))];
/// let canary = CanaryStrategy { steps, traffic_routing: true, ..CanaryStrategy::default() };
/// let spec = RolloutSpec { name: "checkout".to_owned(), replicas: 10, canary, ..RolloutSpec::default() };
/// let mut rollout = Rollout::new(spec, Mode::Strict)?;
/// // A cluster in which pods are there in the moment they are asked for.
/// let mut run_until = |rollout: &mut Rollout, end: i64| -> promgate::Result<()> {
///     while let Some(due) = rollout.next_due().filter(|due| *due <= Timestamp::from_secs(end)) {
///         rollout.tick(due)?;
///         for set in rollout.replica_sets().to_vec() {
///             rollout.observe(&set.version, set.wanted, set.wanted)?;
///         }
///     }
///     Ok(())
/// };
/// rollout.deploy(Timestamp::from_secs(0), "v1")?;
/// run_until(&mut rollout, 0)?;
/// rollout.deploy(Timestamp::from_secs(100), "v2")?;
/// run_until(&mut rollout, 100)?;
/// assert_eq!((rollout.step(), rollout.weight(), rollout.phase()), (Some(1), 20, RolloutPhase::Paused));
/// run_until(&mut rollout, 200)?;
/// assert_eq!((rollout.stable(), rollout.phase()), (Some("v2"), RolloutPhase::Healthy));
/// # Ok::<(), promgate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    pub(super) spec: RolloutSpec,
    /// Tells its steps from others.
    pub(super) steps: String,
    pub(super) mode: Mode,
    pub(super) waits_for_background: bool,
    pub(super) state: RolloutFields,
}

/// What one call of [`Rollout::tick`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RolloutTick {
    /// Whether anything changed.
    pub changed: bool,
    /// What happened, in order.
    pub events: Vec<RolloutEvent>,
}

pub(super) fn refused(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}

impl Rollout {
    /// A rollout with nothing deployed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] with Argo's sentence where it has one, for a spec that cannot be walked through;
    /// [`ErrorKind::Limit`] for more steps than are allowed.
    pub fn new(spec: RolloutSpec, mode: Mode) -> Result<Self> {
        spec.check()?;
        let steps = steps_of(&spec);
        let state = RolloutFields {
            version: STATE_VERSION,
            spec: fingerprint_of(&spec, mode),
            now: None,
            unseen: false,
            asked: None,
            wanted: None,
            stable: None,
            revision: 0,
            replica_sets: Vec::new(),
            step: None,
            steps: steps.clone(),
            pauses: Vec::new(),
            controller_pause: false,
            seen_paused: false,
            user_pause: false,
            abort: false,
            aborted_at: None,
            promote_full: false,
            weight: None,
            runs: Vec::new(),
            current: CurrentRuns::default(),
            active: None,
            preview: None,
            preview_done: false,
            progress: Progress::default(),
            phase: RolloutPhase::default(),
            message: String::new(),
            last_abort: None,
            background_waived: false,
        };
        Ok(Self { spec, steps, mode, waits_for_background: true, state })
    }

    /// The same rollout, in native mode not waiting for a background analysis that has no end of its own. Strict mode never
    /// waits.
    #[must_use]
    pub fn without_waiting_for_background(mut self) -> Self {
        self.waits_for_background = false;
        self
    }

    /// Goes on where `state` was taken.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and [`ErrorKind::InvalidArgument`] for the state of another version or specification.
    pub fn resume(spec: RolloutSpec, mode: Mode, RolloutState(state): RolloutState) -> Result<Self> {
        let fresh = Self::new(spec, mode)?;
        if state.version != STATE_VERSION {
            return Err(refused(format!(
                "the state has version {}, this version reads {STATE_VERSION}",
                state.version
            )));
        }
        if state.spec != fresh.state.spec {
            return Err(refused(format!(
                "the state belongs to another specification than rollout `{}`; resume it with that one and call update",
                fresh.spec.name
            )));
        }
        let counts = |set: &ReplicaSet| {
            [set.wanted, set.existing, set.available].iter().all(|count| (0..=MAX_REPLICAS).contains(count))
        };
        let weighs = |weight: &Weight| (0..=fresh.maximum()).contains(&weight.canary);
        if !state.replica_sets.iter().all(counts)
            || state.step.is_some_and(|step| step > MAX_STEPS)
            || !state.weight.iter().all(weighs)
        {
            return Err(Error::new(
                ErrorKind::Corrupt,
                "the state has a number of pods or steps, or a weight, that none has",
            ));
        }
        Ok(Self { state, ..fresh })
    }

    /// Everything that decides, as a value.
    pub fn state(&self) -> RolloutState {
        RolloutState(self.state.clone())
    }

    /// Asks for a version: the hash of its pod template, or any name that tells versions apart. The first one becomes
    /// stable at once; asking for the stable one goes back to it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for a name that is empty or longer than 253 bytes, and if `now` is earlier than
    /// a time that was told before.
    pub fn deploy(&mut self, now: Timestamp, version: &str) -> Result<()> {
        if version.is_empty() || version.len() > MAX_NAME_BYTES {
            return Err(refused(format!(
                "a version has from 1 to {MAX_NAME_BYTES} bytes, found {}",
                version.len()
            )));
        }
        self.in_order(now)?;
        self.state.asked = Some(version.to_owned());
        self.state.unseen = true;
        Ok(())
    }

    /// Another specification for the same rollout. Changed steps begin again, unless nothing is in flight.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), as [`deploy`](Self::deploy) for the time, and [`ErrorKind::InvalidArgument`] for the other
    /// strategy while a version is in flight; the rollout is as it was.
    pub fn update(&mut self, now: Timestamp, spec: RolloutSpec) -> Result<()> {
        spec.check()?;
        let is_other = spec.blue_green.is_some() != self.spec.blue_green.is_some();
        if is_other && (self.state.asked != self.state.stable || self.state.wanted != self.state.stable) {
            return Err(refused(
                "the strategy cannot change between canary and blueGreen while a version is in flight",
            ));
        }
        self.in_order(now)?;
        if is_other {
            self.state.active = spec.blue_green.as_ref().and(self.state.stable.clone());
        }
        if let Some(weight) = &mut self.state.weight {
            // The same share of what is all traffic from here on.
            weight.canary =
                weight.canary * spec.canary.max_traffic_weight / self.spec.canary.max_traffic_weight;
        }
        self.state.spec = fingerprint_of(&spec, self.mode);
        self.steps = steps_of(&spec);
        self.spec = spec;
        self.state.unseen = true;
        Ok(())
    }

    /// Tells how many pods of a version there are, and how many of them can serve.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for a version that is not among [`replica_sets`](Self::replica_sets), for numbers below
    /// zero or above a million, and for more available than existing pods.
    pub fn observe(&mut self, version: &str, existing: i64, available: i64) -> Result<()> {
        if !(0..=MAX_REPLICAS).contains(&existing) || !(0..=existing).contains(&available) {
            return Err(refused(format!(
                "{available} of {existing} pods are available, pods are from 0 to {MAX_REPLICAS}, and no more available than there are"
            )));
        }
        let Some(set) = self.state.replica_sets.iter_mut().find(|set| set.version == version) else {
            return Err(refused(format!("rollout `{}` has no version `{version}`", self.spec.name)));
        };
        if (set.existing, set.available) != (existing, available) {
            (set.existing, set.available) = (existing, available);
            self.state.unseen = true;
        }
        Ok(())
    }

    /// Tells what an analysis run has come to. A run that has ended keeps its phase.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for a run that is not among [`runs`](Self::runs).
    pub fn judge(&mut self, run: &str, phase: Phase, message: &str) -> Result<()> {
        let Some(known) = self.state.runs.iter_mut().find(|known| known.name == run) else {
            return Err(refused(format!("rollout `{}` has no analysis run `{run}`", self.spec.name)));
        };
        if known.phase.is_completed() || (known.phase == phase && known.message == message) {
            return Ok(());
        }
        known.phase = phase;
        known.message = message.to_owned();
        known.passes &= !phase.is_completed();
        self.state.unseen = true;
        Ok(())
    }

    /// Tells whether an analysis run that goes on passes so far: a gate that is
    /// [watched on](crate::GateSpecBuilder::watch). In native mode a promotion waits for a background analysis to have ended
    /// well or to pass so far. Of a run that has ended nothing more is told.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for a run that is not among [`runs`](Self::runs).
    pub fn judge_so_far(&mut self, run: &str, passes: bool) -> Result<()> {
        let Some(known) = self.state.runs.iter_mut().find(|known| known.name == run) else {
            return Err(refused(format!("rollout `{}` has no analysis run `{run}`", self.spec.name)));
        };
        if !known.phase.is_completed() && known.passes != passes {
            known.passes = passes;
            self.state.unseen = true;
        }
        Ok(())
    }

    /// Looks at what was told and moves on, by one step at most. Ticks before [`next_due`](Self::next_due) change nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] if `now` is earlier than a time that was told before; the rollout is as it was.
    pub fn tick(&mut self, now: Timestamp) -> Result<RolloutTick> {
        let due = self.next_due();
        self.in_order(now)?;
        if due.is_none_or(|due| now < due) {
            return Ok(RolloutTick::default());
        }
        self.state.unseen = false;
        let before = self.state.clone();
        let events = Pass::run(self, now);
        self.forget_old();
        let changed = self.state != before;
        self.state.unseen = changed;
        Ok(RolloutTick { changed, events })
    }

    pub(super) fn in_order(&mut self, now: Timestamp) -> Result<()> {
        self.is_in_order(now)?;
        self.state.now = Some(now);
        Ok(())
    }

    /// Refuses a time before one that was told.
    pub(super) fn is_in_order(&self, now: Timestamp) -> Result<()> {
        if let Some(latest) = self.state.now.filter(|latest| now < *latest) {
            return Err(refused(format!(
                "time went back from {latest} to {now}; a rollout's times come in order"
            )));
        }
        Ok(())
    }

    /// When to call [`tick`](Self::tick) next; none while nothing but an observation or a command can change anything.
    pub fn next_due(&self) -> Option<Timestamp> {
        let now = self.state.now?;
        if self.state.unseen {
            return Some(now);
        }
        self.alarms().into_iter().flatten().min().map(|alarm| alarm.max(now))
    }

    /// Drops versions without pods and runs beyond those that are kept.
    fn forget_old(&mut self) {
        let (wanted, stable) = (self.state.wanted.clone(), self.state.stable.clone());
        let empty = |set: &ReplicaSet| {
            set.wanted == 0
                && set.existing == 0
                && wanted.as_ref() != Some(&set.version)
                && stable.as_ref() != Some(&set.version)
        };
        let mut excess = self.state.replica_sets.iter().filter(|set| empty(set)).count();
        excess = excess.saturating_sub(REVISION_HISTORY);
        self.state.replica_sets.retain(|set| {
            let drop = excess > 0 && empty(set);
            excess -= usize::from(drop);
            !drop
        });
        let current = &self.state.current;
        let kept = |run: &RolloutRun| !run.phase.is_completed() || current.has(run);
        let good = |run: &RolloutRun| run.phase == Phase::Successful;
        for (wanted, limit) in [
            (true, self.spec.successful_run_history_limit),
            (false, self.spec.unsuccessful_run_history_limit),
        ] {
            let count = self.state.runs.iter().filter(|run| !kept(run) && good(run) == wanted).count();
            let mut excess = count.saturating_sub(limit);
            self.state.runs.retain(|run| {
                let drop = excess > 0 && !kept(run) && good(run) == wanted;
                excess -= usize::from(drop);
                !drop
            });
        }
    }

    /// The specification.
    pub fn spec(&self) -> &RolloutSpec {
        &self.spec
    }

    /// How it decides.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// `currentStepIndex`: the step at work, from 0; the number of steps once all are done; none without steps.
    pub fn step(&self) -> Option<usize> {
        self.state.step
    }

    /// The canary's share of the traffic that the router is to send; without a router the weight that its pods
    /// stand for. 0 while nothing is in flight.
    pub fn weight(&self) -> i64 {
        if self.spec.canary.traffic_routing {
            return self.sent_weight();
        }
        if self.spec.blue_green.is_some() {
            let switched = self.state.active == self.state.wanted && !self.fully_promoted();
            return if switched { self.maximum() } else { 0 };
        }
        if self.fully_promoted() || self.state.stable.is_none() { 0 } else { self.set_weight_in_force() }
    }

    /// The version at work.
    pub fn version(&self) -> Option<&str> {
        self.state.wanted.as_deref()
    }

    /// The version that was last promoted.
    pub fn stable(&self) -> Option<&str> {
        self.state.stable.as_deref()
    }

    /// The version that all traffic goes to, in blue-green.
    pub fn active(&self) -> Option<&str> {
        self.state.active.as_deref()
    }

    /// Whether the version at work is the stable one.
    pub(super) fn fully_promoted(&self) -> bool {
        self.state.stable.is_some() && self.state.stable == self.state.wanted
    }

    /// Versions and the pods that each is to have, oldest first.
    pub fn replica_sets(&self) -> &[ReplicaSet] {
        &self.state.replica_sets
    }

    /// Analysis runs, oldest first: those to be driven, and those that are remembered.
    pub fn runs(&self) -> &[RolloutRun] {
        &self.state.runs
    }

    /// `phase`.
    pub fn phase(&self) -> RolloutPhase {
        self.state.phase
    }

    /// `message`: why the phase is what it is; empty when healthy.
    pub fn message(&self) -> &str {
        &self.state.message
    }

    /// Whether the rollout is aborted.
    pub fn is_aborted(&self) -> bool {
        self.state.abort
    }

    /// What was so when the rollout was last aborted; it stays after a retry, until the next version is asked for.
    pub fn last_abort(&self) -> Option<&Aborted> {
        self.state.last_abort.as_ref()
    }
}

fn fingerprint_of(spec: &RolloutSpec, mode: Mode) -> String {
    fingerprint(&format!("{spec:?}|{mode:?}"))
}

/// Tells lists of steps apart.
fn steps_of(spec: &RolloutSpec) -> String {
    fingerprint(&format!("{:?}", spec.canary.steps))
}
