//! A rollout together with its gates: the machine asks for runs, gates answer it.

mod state;

use std::collections::BTreeMap;

use self::state::GatedRolloutFields;
pub use self::state::GatedRolloutState;
use super::command::RolloutCommand;
use super::event::RolloutEvent;
use super::gates::RolloutGates;
use super::machine::{Rollout, RolloutTick, refused};
use super::spec::RolloutSpec;
use super::state::{RolloutRun, RolloutState};
use crate::error::Result;
use crate::gate::argo::Phase;
use crate::gate::report::{Mode, Report};
use crate::gate::run::Gate;
use crate::gate::state::GateState;
use crate::model::Timestamp;
use crate::source::Source;

/// Passes at one instant after which a rollout that still moves waits for its next tick.
const MAX_PASSES: usize = 1000;

/// A [`Rollout`] that drives the gates its steps ask for, over any [`Source`].
///
/// A controller's loop: while [`next_due`](Self::next_due) says when, wait until then, [`tick`](Self::tick), set the pods and
/// weights that [`rollout`](Self::rollout) tells, [`observe`](Self::observe) what became of the pods, keep
/// [`state`](Self::state). Only a gate that is settled as a pass, or an analysis run that is Successful, lets a step of kind
/// `analysis` go by.
#[derive(Clone, Debug)]
pub struct GatedRollout {
    rollout: Rollout,
    gates: RolloutGates,
    running: BTreeMap<String, Gate>,
    /// What the gates of remembered runs said last.
    reports: BTreeMap<String, Report>,
}

impl GatedRollout {
    /// A rollout with nothing deployed.
    ///
    /// # Errors
    ///
    /// As [`Rollout::new`], and [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for an analysis whose
    /// templates are missing or make no run, or whose run would never end although a step waits for it.
    pub fn new(spec: RolloutSpec, mode: Mode, gates: RolloutGates) -> Result<Self> {
        let ends = gates.check(&spec)?;
        let rollout = waiting(Rollout::new(spec, mode)?, ends);
        Ok(Self { rollout, gates, running: BTreeMap::new(), reports: BTreeMap::new() })
    }

    /// Goes on where `state` was taken.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and for a state that belongs to another specification or to other templates.
    pub fn resume(
        spec: RolloutSpec,
        mode: Mode,
        gates: RolloutGates,
        GatedRolloutState(state): GatedRolloutState,
    ) -> Result<Self> {
        let ends = gates.check(&spec)?;
        let rollout = waiting(Rollout::resume(spec, mode, RolloutState(state.rollout))?, ends);
        let mut running = BTreeMap::new();
        for (name, gate) in state.gates {
            let Some(run) = rollout.runs().iter().find(|run| run.name == name) else {
                return Err(refused(format!(
                    "the state has a gate for run `{name}`, which is not among its runs"
                )));
            };
            let gate = gates.resume(rollout.spec(), run, GateState(gate))?;
            running.insert(name, gate);
        }
        Ok(Self { rollout, gates, running, reports: state.reports })
    }

    /// Everything that decides, as a value.
    pub fn state(&self) -> GatedRolloutState {
        GatedRolloutState(GatedRolloutFields {
            rollout: self.rollout.state.clone(),
            gates: self.running.iter().map(|(name, gate)| (name.clone(), gate.state().0)).collect(),
            reports: self.reports.clone(),
        })
    }

    /// The step machine: steps, weights, pods, runs, phase and message.
    pub fn rollout(&self) -> &Rollout {
        &self.rollout
    }

    /// What the gate of a run says, or said last; none for a run that is forgotten.
    pub fn report(&self, run: &str) -> Option<Report> {
        match self.running.get(run) {
            Some(gate) => Some(gate.report()),
            None => self.reports.get(run).cloned(),
        }
    }

    /// As [`Rollout::deploy`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn deploy(&mut self, now: Timestamp, version: &str) -> Result<()> {
        self.rollout.deploy(now, version)
    }

    /// As [`Rollout::update`]; an analysis that changed begins anew.
    ///
    /// # Errors
    ///
    /// As there and as [`new`](Self::new); the rollout is as it was.
    pub fn update(&mut self, now: Timestamp, spec: RolloutSpec) -> Result<()> {
        let ends = self.gates.check(&spec)?;
        let before = self.rollout.spec().clone();
        self.rollout.update(now, spec)?;
        self.rollout.waits_for_background = ends;
        for run in self.rollout.runs().to_vec() {
            if before.analysis(run.purpose) == self.rollout.spec().analysis(run.purpose) {
                continue;
            }
            // The next pass ends the run. Its gate could not go on from a state, as nothing tells what it is made of.
            if let Some(gate) = self.running.remove(&run.name) {
                self.reports.insert(run.name.clone(), gate.report());
            }
            let current = &mut self.rollout.state.current;
            if current.has(&run) {
                current.set(run.purpose, None);
            }
        }
        Ok(())
    }

    /// As [`Rollout::command`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn command(&mut self, now: Timestamp, command: RolloutCommand) -> Result<()> {
        self.rollout.command(now, command)
    }

    /// As [`Rollout::observe`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn observe(&mut self, version: &str, existing: i64, available: i64) -> Result<()> {
        self.rollout.observe(version, existing, available)
    }

    /// When to call [`tick`](Self::tick) next.
    pub fn next_due(&self) -> Option<Timestamp> {
        let gates = self.running.values().filter_map(Gate::next_due);
        // What a gate asked for before may be due: never earlier than what was told.
        let latest = self.rollout.state.now;
        let gates = gates.map(|due| latest.map_or(due, |latest| due.max(latest)));
        self.rollout.next_due().into_iter().chain(gates).min()
    }

    /// Lets gates look and the machine move until nothing changes at this instant.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) if `now` is earlier than a time that was told before.
    pub fn tick(&mut self, now: Timestamp, source: &dyn Source) -> Result<RolloutTick> {
        // Before any gate looks: what that comes to would be told to nobody.
        self.rollout.is_in_order(now)?;
        let mut all = RolloutTick::default();
        for _ in 0..MAX_PASSES {
            let looked = self.look(now, source, &mut all)?;
            let tick = self.rollout.tick(now)?;
            let moved = looked || tick.changed;
            all.changed |= moved;
            all.events.extend(tick.events);
            self.follow_runs(now)?;
            if !moved {
                break;
            }
        }
        Ok(all)
    }

    /// Lets every gate that is due look at the data and tells the machine what came of it.
    fn look(&mut self, now: Timestamp, source: &dyn Source, all: &mut RolloutTick) -> Result<bool> {
        let mut looked = false;
        let mut ended = Vec::new();
        for (name, gate) in &mut self.running {
            let is_due = gate.next_due().is_some_and(|due| due <= now);
            if is_due {
                looked |= gate.tick(now, source)?.measured;
            }
            let run = self.rollout.runs().iter().find(|run| run.name == *name);
            let known = run.map(|run| (run.phase, run.passes));
            if !is_due && known.is_some_and(|(phase, _)| phase == Phase::Running) {
                continue;
            }
            let passes = gate.passes_so_far();
            let (phase, message) = gate.outcome();
            if phase == Phase::Running && known.is_some_and(|(_, known)| known != passes) {
                self.rollout.judge_so_far(name, passes)?;
                let because = gate.report().because();
                all.events.push(RolloutEvent::RunPasses { run: name.clone(), passes, because });
                looked = true;
            }
            if known.is_some_and(|(known, _)| known != phase) {
                self.rollout.judge(name, phase, &message)?;
                all.events.push(RolloutEvent::RunPhase { run: name.clone(), phase, message });
                looked = true;
            }
            if phase.is_completed() {
                ended.push(name.clone());
            }
        }
        for name in ended {
            if let Some(gate) = self.running.remove(&name) {
                self.reports.insert(name, gate.report());
            }
        }
        Ok(looked)
    }

    /// Begins the gates of new runs and ends those that nothing waits for.
    fn follow_runs(&mut self, now: Timestamp) -> Result<()> {
        let open = self.rollout.runs().iter().filter(|run| !run.phase.is_completed());
        for run in open.cloned().collect::<Vec<RolloutRun>>() {
            if run.terminate {
                let (phase, message) = self.end_gate(&run.name, now);
                self.rollout.judge(&run.name, phase, &message)?;
            } else if !self.running.contains_key(&run.name) && self.rollout.state.current.has(&run) {
                match self.gates.build(self.rollout.spec(), &run) {
                    Ok(mut gate) => {
                        gate.start(now);
                        self.running.insert(run.name, gate);
                    }
                    // Whatever cannot be measured is given up, not passed.
                    Err(error) => self.rollout.judge(&run.name, Phase::Error, &error.to_string())?,
                }
            }
        }
        let known = |name: &String| self.rollout.runs().iter().any(|run| run.name == *name);
        self.reports.retain(|name, _| known(name));
        self.running.retain(|name, _| known(name));
        Ok(())
    }

    /// What a run has come to that is ended.
    fn end_gate(&mut self, run: &str, now: Timestamp) -> (Phase, String) {
        let not_judged = (Phase::Inconclusive, "ended before it had judged".to_owned());
        let Some(mut gate) = self.running.remove(run) else { return not_judged };
        // The report is that of the last look: ending is no evidence.
        self.reports.insert(run.to_owned(), gate.report());
        let passes = gate.passes_so_far();
        gate.terminate(now);
        match gate.outcome() {
            (Phase::Successful, _) if self.rollout.mode() == Mode::Native && !passes => not_judged,
            outcome => outcome,
        }
    }

    /// Rolls a version out over recorded data, in a cluster where pods are there in the moment they are asked for:
    /// `version` in the place of `stable`, from `start` until nothing is left to wait for, or until `until`. `each` sees what
    /// happened at every instant at which something did. Nothing may be deployed before but `stable`.
    ///
    /// # Errors
    ///
    /// Those of [`deploy`](Self::deploy) and [`tick`](Self::tick).
    pub fn replay(
        &mut self,
        source: &dyn Source,
        versions: (&str, &str),
        start: Timestamp,
        until: Timestamp,
        mut each: impl FnMut(Timestamp, &Self, &[RolloutEvent]),
    ) -> Result<()> {
        let (stable, version) = versions;
        if self.rollout.stable().is_none() {
            self.deploy(start, stable)?;
            self.settle(start, source)?;
        }
        self.deploy(start, version)?;
        let mut earliest = start;
        while let Some(due) = self.next_due().map(|due| due.max(earliest)).filter(|due| *due <= until) {
            earliest = due.plus_millis(1);
            let events = self.settle(due, source)?;
            if !events.is_empty() {
                each(due, self, &events);
            }
        }
        Ok(())
    }

    /// Ticks at one instant, with pods that are there at once, until nothing changes.
    fn settle(&mut self, now: Timestamp, source: &dyn Source) -> Result<Vec<RolloutEvent>> {
        let mut events = Vec::new();
        for _ in 0..MAX_PASSES {
            let tick = self.tick(now, source)?;
            events.extend(tick.events);
            for set in self.rollout.replica_sets().to_vec() {
                self.observe(&set.version, set.wanted, set.wanted)?;
            }
            if self.rollout.next_due().is_none_or(|due| due > now) {
                break;
            }
        }
        Ok(events)
    }
}

/// A rollout that waits for its background analysis if that has an end of its own.
fn waiting(rollout: Rollout, ends: bool) -> Rollout {
    if ends { rollout } else { rollout.without_waiting_for_background() }
}

#[cfg(test)]
#[cfg(feature = "argo")]
mod tests;
