//! A gate as a value: what survives a restart.

use super::argo::RunState;
#[cfg(feature = "serde")]
use super::checked;
use super::elements::Elements;
use super::evidence::Tally;
use super::judge::Decision;
use super::reason::Trace;
use super::report::Report;
use super::strict::Doubts;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Timestamp;

/// The form of state that this version writes and reads.
pub(crate) const STATE_VERSION: u16 = 1;

/// Everything a gate has learned. Comparable; with feature `serde` it is JSON.
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
    /// The specification that the state belongs to.
    pub(crate) spec: String,
    pub(crate) started: Option<Timestamp>,
    pub(crate) last_tick: Option<Timestamp>,
    /// The time between changes of the counters for which the deadline was moved, and the deadline since, in milliseconds.
    #[cfg_attr(feature = "serde", serde(default))]
    pub(crate) extended: Option<(i64, i64)>,
    /// When a gate that is watched on first passed.
    #[cfg_attr(feature = "serde", serde(default))]
    pub(crate) passed: Option<Timestamp>,
    /// What the checks have learned; empty in strict mode.
    pub(crate) checks: Vec<CheckState>,
    /// The analysis run of strict mode.
    pub(crate) strict: Option<RunState>,
    /// What was missing where strict mode looked, by metric.
    #[cfg_attr(feature = "serde", serde(default))]
    pub(crate) doubts: Doubts,
    pub(crate) report: Report,
}

/// What one check has learned.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct CheckState {
    /// Everything up to here is counted; none before the evidence begins.
    pub(crate) until: Option<Timestamp>,
    pub(crate) tally: Tally,
    pub(crate) decision: Decision,
    /// Failures of the source in a row.
    pub(crate) source_errors: u32,
    /// Traces of what it fails for.
    #[cfg_attr(feature = "serde", serde(default))]
    pub(crate) traces: Vec<Trace>,
    /// Of a check that judges each element for itself.
    #[cfg_attr(feature = "serde", serde(default))]
    pub(crate) elements: Elements,
}

impl GateFields {
    /// Refuses the state of another version or of another specification than that of gate `name`.
    pub(crate) fn check(&self, spec: &str, name: &str) -> Result<()> {
        let refuse = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
        if self.version != STATE_VERSION {
            return refuse(format!(
                "the state has version {}, this version reads {STATE_VERSION}",
                self.version
            ));
        }
        if self.spec != spec {
            return refuse(format!("the state belongs to another specification than gate `{name}`"));
        }
        Ok(())
    }
}

#[cfg(feature = "serde")]
impl GateState {
    /// The state as JSON, with a checksum.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) if it cannot be written.
    pub fn to_json(&self) -> Result<String> {
        checked::to_json(self, "a gate")
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) with the place if it is something else, and if the state is not the
    /// one that was written.
    pub fn from_json(text: &str) -> Result<Self> {
        checked::from_json(text, "a gate")
    }
}
