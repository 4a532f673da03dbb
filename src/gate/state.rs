//! A gate as a value: what survives a restart.

use super::argo::RunState;
use super::binary::{Owner, binary_fields, written_state};
#[cfg(feature = "serde")]
use super::checked;
use super::elements::Elements;
use super::evidence::Tally;
use super::judge::{Decision, Judged, Rules, Said, Shown, seconds};
use super::reason::{Finding, Reason, Severity, Trace};
use super::report::{CheckReport, Report};
use super::spec::{CheckSpec, GateSpec};
use super::strict::{Doubts, Traces};
use super::verdict::Verdict;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Timestamp;

/// The form of state that this version writes and reads.
pub(crate) const STATE_VERSION: u16 = 1;

/// Everything a gate has learned. Comparable; as bytes, and with feature `serde` as JSON, it is kept.
///
/// A gate that stops at any instant and resumes from its state goes on as if it had not stopped. However it is serialized, by
/// itself or inside something else, a checksum goes with it, and one that does not fit is refused.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GateState(#[cfg_attr(feature = "serde", serde(with = "checked"))] pub(crate) GateFields);

#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct GateFields {
    pub(crate) version: u16,
    /// Its name in reports.
    pub(crate) gate: String,
    /// The specification that the state belongs to.
    pub(crate) spec: String,
    /// The name of each check, and what tells its meaning from any other; empty in strict mode.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub(crate) meanings: Vec<(String, u64)>,
    pub(crate) started: Option<Timestamp>,
    pub(crate) last_tick: Option<Timestamp>,
    /// The time between changes of the counters for which the deadline was moved, and the deadline since, in milliseconds.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub(crate) extended: Option<(i64, i64)>,
    /// When a gate that is watched on first passed.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub(crate) passed: Option<Timestamp>,
    /// When it first passed by a specification that was changed since.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub(crate) passed_before: Option<Timestamp>,
    /// Where a native gate stands.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub(crate) standing: Standing,
    /// What the checks have learned; empty in strict mode.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub(crate) checks: Vec<CheckState>,
    /// The analysis run of strict mode.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub(crate) strict: Option<RunState>,
    /// What was missing where strict mode looked, by metric.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Doubts::is_empty"))]
    pub(crate) doubts: Doubts,
    /// Traces of what the metrics of strict mode fail for.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Traces::is_empty"))]
    pub(crate) traces: Traces,
    /// The last report of a run of strict mode that has ended.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub(crate) ended: Option<Box<Report>>,
    /// The strict gate that runs beside a native one.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub(crate) beside: Option<Box<GateFields>>,
}

binary_fields!(GateFields {
    version,
    gate,
    spec,
    meanings,
    started,
    last_tick,
    extended,
    passed,
    passed_before,
    standing,
    checks,
    strict,
    doubts,
    traces,
    ended,
    beside,
});

/// Whether a field is left out of the JSON.
#[cfg(feature = "serde")]
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What a native gate has come to. Its report is worked out from this and what the checks have learned.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Standing {
    /// When it was last looked at, or ended.
    pub(crate) at: Option<Timestamp>,
    pub(crate) verdict: Verdict,
    pub(crate) settled: bool,
    pub(crate) next_due: Option<Timestamp>,
    /// Reasons that are about the gate.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub(crate) own: Vec<Said>,
    /// Whether too little traffic fails it.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub(crate) low_traffic: bool,
    /// What the last look before it was terminated said of the gate.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub(crate) before_end: Option<Vec<Said>>,
}

binary_fields!(Standing { at, verdict, settled, next_due, own, low_traffic, before_end });

impl Default for Standing {
    /// Nothing was looked at.
    fn default() -> Self {
        Self {
            at: None,
            verdict: Verdict::Inconclusive,
            settled: false,
            next_due: None,
            own: Vec::new(),
            low_traffic: false,
            before_end: None,
        }
    }
}

/// What one check has learned.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct CheckState {
    /// When its evidence begins, where it was changed, or added, while the gate ran.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub(crate) began: Option<Timestamp>,
    /// Everything up to here is counted; none before the evidence begins.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub(crate) until: Option<Timestamp>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub(crate) tally: Tally,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub(crate) decision: Decision,
    /// Failures of the source in a row.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub(crate) source_errors: u32,
    /// Traces of what it fails for.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub(crate) traces: Vec<Trace>,
    /// Of a check that judges each element for itself.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub(crate) elements: Elements,
    /// What the last look came to; none before the first.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub(crate) judged: Option<Judged>,
}

binary_fields!(CheckState { began, until, tally, decision, source_errors, traces, elements, judged });

impl CheckState {
    /// One that learns from `now` on.
    pub(crate) fn beginning(now: Timestamp) -> Self {
        Self { began: Some(now), ..Self::default() }
    }

    /// Where its evidence begins, in a gate of which that begins at `origin`.
    pub(crate) fn origin(&self, origin: Timestamp) -> Timestamp {
        self.began.map_or(origin, |began| began.max(origin))
    }

    /// What a report says of the check; nothing before the first look.
    pub(crate) fn report(&self, check: &CheckSpec, origin: Timestamp, rules: Rules) -> Option<CheckReport> {
        let judged = self.judged.as_ref()?;
        let origin = self.origin(origin);
        let mut report = if judged.said.is_empty() {
            self.elements.report(check, origin, rules)
        } else {
            let seconds = self.until.map(|until| seconds(origin, until));
            let (tally, traces) = (&self.tally, self.traces.as_slice());
            Shown { check, tally, judged, seconds, rules, traces }.report()
        };
        if let Some(since) = self.began {
            let finding = Finding::SpecificationChanged { since };
            report.reasons.push(Reason::new(Severity::Information, Some(&check.name), finding));
        }
        Some(report)
    }
}

impl GateFields {
    /// Refuses the state of another version or of another specification than that of gate `name`.
    pub(crate) fn check(&self, spec: &str, name: &str) -> Result<()> {
        self.check_version()?;
        if self.spec != spec {
            return Err(refused(format!("the state belongs to another specification than gate `{name}`")));
        }
        Ok(())
    }

    /// Refuses a state that cannot go on, from `now` on, by `spec`, which is another specification than its own.
    pub(crate) fn check_changed(&self, spec: &GateSpec, now: Timestamp) -> Result<()> {
        self.check_version()?;
        let (own, name) = (&self.gate, &spec.name);
        if own != name {
            return Err(refused(format!("the state is that of gate `{own}`, not of gate `{name}`")));
        }
        if self.strict.is_some() || self.meanings.len() != self.checks.len() {
            return Err(refused("the state is not that of a native gate".to_owned()));
        }
        if self.standing.settled {
            return Err(refused(format!(
                "gate `{name}` is settled by the specification that it had, with the verdict {}; a changed one takes a new run",
                self.standing.verdict
            )));
        }
        // Argo's run beside is looked at at its own times.
        let beside = self.beside.as_ref().and_then(|beside| beside.last_tick);
        match self.last_tick.or(self.started).max(beside).filter(|latest| now < *latest) {
            Some(latest) => Err(refused(format!(
                "time went back from {latest} to {now}; a specification changes after the last look"
            ))),
            None => Ok(()),
        }
    }

    fn check_version(&self) -> Result<()> {
        if self.version == STATE_VERSION {
            return Ok(());
        }
        Err(refused(format!("the state has version {}, this version reads {STATE_VERSION}", self.version)))
    }
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

written_state!(GateState, Owner::Gate, STATE_VERSION);
