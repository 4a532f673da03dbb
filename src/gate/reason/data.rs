//! What several findings hold.

use crate::model::Timestamp;

/// The trace of one request, from an [exemplar](crate::Exemplar).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Trace {
    /// Its id.
    pub trace_id: String,
    /// What was observed, in the unit of the metric.
    pub value: f64,
    /// When.
    pub at: Timestamp,
    /// Where to look at it: see [`trace_link`](crate::GateSpecBuilder::trace_link).
    pub link: String,
}

/// Which of the source's samples may be missing, and why.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MissingSamples {
    /// Samples later than this may be missing; none if all before the end may be.
    pub from: Option<Timestamp>,
    /// None later than this are missing for this reason; none while that is not known.
    pub until: Option<Timestamp>,
    /// The store's file that is at fault, or the file, group and name of the rule; empty if none is.
    pub file: String,
    /// Bytes that could not be used.
    pub bytes: u64,
    /// Batches that could not be used, as far as they could be told apart.
    pub batches: u64,
    /// What happened.
    pub why: String,
}

/// Bad requests of a canary beside those of the baseline.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BesideBaseline {
    /// Bad requests of the canary.
    pub events: f64,
    /// Requests of the canary.
    pub trials: f64,
    /// Bad requests of the baseline.
    pub baseline_events: f64,
    /// Requests of the baseline.
    pub baseline_trials: f64,
    /// How many times the baseline's share of bad requests is allowed; none where a difference is.
    pub factor: Option<f64>,
    /// How much more than the baseline's share of bad requests is allowed; none where a factor is.
    pub difference: Option<f64>,
}
