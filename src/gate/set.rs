//! Many gates at once, looked at in rounds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::binary::{Binary, Owner, Reader, binary_fields, written_state};
#[cfg(feature = "serde")]
use super::checked;
use super::round::Round;
use super::run::{Gate, Tick};
use super::state::{GateFields, GateState, STATE_VERSION};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Timestamp;
use crate::source::Source;

/// Names a gate of a [`GateSet`]; given out once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GateId(u64);

impl Binary for GateId {
    fn put(&self, into: &mut Vec<u8>) {
        self.0.put(into);
    }

    fn take(from: &mut Reader<'_>) -> Option<Self> {
        u64::take(from).map(Self)
    }
}

impl fmt::Display for GateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The gates of a fleet, looked at together: what several of them ask alike at one instant is asked once, and what differs in
/// one value alone, as the hash of each canary's pods, is asked together (as `hash=~"7d9f|8c41"`).
///
/// Every gate comes to what it would come to alone; none is touched by the failure of another. What is promised of a gate is
/// promised of each: of many bad canaries a share of α may pass. For a promise about the whole fleet divide α by the number
/// of gates ([`GateSpecBuilder::confidence`](super::GateSpecBuilder::confidence)).
///
/// A controller's loop:
///
/// ```
/// use promgate::{Check, Gate, GateSet, GateSpec, Labels, Sample, Store, StoreOptions, Timestamp, Verdict};
///
/// # let store = Store::in_memory(StoreOptions::new());
/// # for second in (0..300).step_by(10) {
/// #     let mut appender = store.appender();
/// #     for pod in ["a", "b"] {
/// #         let labels = Labels::from_pairs([("__name__", "requests_total"), ("pod", pod), ("code", "200")]);
/// #         appender.append(&labels, Sample::float(Timestamp::from_secs(second), second as f64))?;
/// #     }
/// #     appender.commit()?;
/// # }
/// let gate = |pod: &str| {
///     let requests = format!("requests_total{{pod={pod:?}}}");
///     let errors = format!("requests_total{{pod={pod:?},code=\"500\"}}");
///     let check = Check::ratio("errors", errors, requests).missing_numerator_is_zero().below(0.05);
///     GateSpec::builder(pod).check(check).deadline_ms(600_000).build().map(Gate::new)
/// };
/// let mut gates = GateSet::new();
/// for pod in ["a", "b"] {
///     let id = gates.insert(gate(pod)?);
///     gates.start(id, Timestamp::from_secs(10));
/// }
/// while let Some(due) = gates.next_due() {
///     // Here the controller waits until then, and reads its scrapes in.
///     for (id, tick) in gates.tick_due(due, &store.snapshot())? {
///         if tick.settled && let Some(gate) = gates.remove(id) {
///             assert_eq!(gate.report().verdict, Verdict::Pass);
///         }
///     }
///     // What survives a restart is kept: gates.state()
/// }
/// assert!(gates.is_empty());
/// # Ok::<(), promgate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct GateSet {
    gates: BTreeMap<GateId, Gate>,
    /// When each gate that is not settled is due.
    due: BTreeSet<(Timestamp, GateId)>,
    next: u64,
    last: Option<Timestamp>,
    per_round: usize,
}

/// Everything that the gates of a set have learned. Comparable; as bytes, and with feature `serde` as JSON, it is kept.
///
/// However it is serialized, a checksum goes with it, and one that does not fit is refused.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GateSetState(#[cfg_attr(feature = "serde", serde(with = "checked"))] GateSetFields);

#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct GateSetFields {
    version: u16,
    next: u64,
    last: Option<Timestamp>,
    gates: Vec<(GateId, GateFields)>,
}

binary_fields!(GateSetFields { version, next, last, gates });

impl Default for GateSet {
    fn default() -> Self {
        Self::new()
    }
}

impl GateSet {
    /// No gates.
    pub fn new() -> Self {
        Self { gates: BTreeMap::new(), due: BTreeSet::new(), next: 0, last: None, per_round: usize::MAX }
    }

    /// The same set, looking at no more than so many gates in one round: those that have been due longest. The others
    /// stay due, so that [`next_due`](Self::next_due) is not later than the round. Default: all that are due.
    #[must_use]
    pub fn per_round(mut self, gates: usize) -> Self {
        self.per_round = gates.max(1);
        self
    }

    /// Takes a gate in, wherever it stands. One that has not been started waits for [`start`](Self::start).
    pub fn insert(&mut self, gate: Gate) -> GateId {
        let id = GateId(self.next);
        self.next = self.next.saturating_add(1);
        self.due.extend(gate.next_due().map(|due| (due, id)));
        self.gates.insert(id, gate);
        id
    }

    /// Takes a gate out as it is; none if there is no such gate.
    pub fn remove(&mut self, id: GateId) -> Option<Gate> {
        let gate = self.gates.remove(&id)?;
        if let Some(due) = gate.next_due() {
            self.due.remove(&(due, id));
        }
        Some(gate)
    }

    /// A gate, to be read.
    pub fn get(&self, id: GateId) -> Option<&Gate> {
        self.gates.get(&id)
    }

    /// All gates, settled ones as well, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (GateId, &Gate)> {
        self.gates.iter().map(|(id, gate)| (*id, gate))
    }

    /// How many gates there are.
    pub fn len(&self) -> usize {
        self.gates.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.gates.is_empty()
    }

    /// As [`Gate::start`]; nothing if there is no such gate.
    pub fn start(&mut self, id: GateId, now: Timestamp) {
        self.change(id, |gate| gate.start(now));
    }

    /// As [`Gate::terminate`]; none if there is no such gate.
    pub fn terminate(&mut self, id: GateId, now: Timestamp) -> Option<Tick> {
        self.change(id, |gate| gate.terminate(now))
    }

    fn change<T>(&mut self, id: GateId, change: impl FnOnce(&mut Gate) -> T) -> Option<T> {
        let gate = self.gates.get_mut(&id)?;
        if let Some(due) = gate.next_due() {
            self.due.remove(&(due, id));
        }
        let changed = change(gate);
        self.due.extend(gate.next_due().map(|due| (due, id)));
        Some(changed)
    }

    /// When to call [`tick_due`](Self::tick_due) next; none if no gate that is started is left to be settled.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, _)| *due)
    }

    /// A round: looks once at every gate that is due, those first that have been due longest, and says what each look did.
    /// Failures of the source are counted and reported by each gate that they concern.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] if `now` is earlier than the last round; all gates are as they were.
    pub fn tick_due(&mut self, now: Timestamp, source: &dyn Source) -> Result<Vec<(GateId, Tick)>> {
        if let Some(last) = self.last.filter(|last| now < *last) {
            let message = format!("time went back from {last} to {now}; the rounds of a set come in order");
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        self.last = Some(now);
        let is_due = self.due.iter().take_while(|(due, _)| *due <= now).take(self.per_round);
        let is_due: Vec<GateId> = is_due.map(|(_, id)| *id).collect();
        let looking = is_due.iter().filter_map(|id| self.gates.get(id));
        let selectors = looking.flat_map(|gate| gate.selectors(now));
        let round = Round::new(source, now).expecting(selectors.map(|selector| selector.matchers.as_slice()));
        let mut looks = Vec::with_capacity(is_due.len());
        for id in is_due {
            // A gate that is due is started and was not looked at later: its look does not fail.
            if let Some(Ok(tick)) = self.change(id, |gate| gate.tick_in(&round, now)) {
                looks.push((id, tick));
            }
        }
        Ok(looks)
    }

    /// Everything that decides, as a value.
    pub fn state(&self) -> GateSetState {
        GateSetState(GateSetFields {
            version: STATE_VERSION,
            next: self.next,
            last: self.last,
            gates: self.gates.iter().map(|(id, gate)| (*id, gate.state().0)).collect(),
        })
    }

    /// A set that goes on where `state` was taken. `resume` makes a gate of each one's state, by its name in reports
    /// ([`Gate::resume`], [`Gate::resume_argo`]). The gates for which it fails are left out and told; the others go on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for the state of another version.
    pub fn resume(
        GateSetState(state): GateSetState,
        mut resume: impl FnMut(GateId, &str, GateState) -> Result<Gate>,
    ) -> Result<(Self, Vec<(GateId, Error)>)> {
        if state.version != STATE_VERSION {
            let message =
                format!("the state has version {}, this version reads {STATE_VERSION}", state.version);
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let mut set = Self { next: state.next, last: state.last, ..Self::new() };
        let mut failed = Vec::new();
        for (id, gate) in state.gates {
            let name = gate.gate.clone();
            match resume(id, &name, GateState(gate)) {
                Ok(gate) => {
                    set.due.extend(gate.next_due().map(|due| (due, id)));
                    set.gates.insert(id, gate);
                }
                Err(error) => failed.push((id, error)),
            }
        }
        Ok((set, failed))
    }
}

written_state!(GateSetState, Owner::GateSet, STATE_VERSION);

#[cfg(test)]
#[cfg(feature = "argo")]
mod tests;
