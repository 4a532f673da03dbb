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

/// Samples of a gauge of a canary beside those of the baseline.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BesideBaselineSamples {
    /// Samples of the canary.
    pub samples: usize,
    /// Samples of the baseline.
    pub baseline_samples: usize,
    /// The middle of those of the canary, in the unit of the gauge; none without samples.
    pub median: Option<f64>,
    /// The middle of those of the baseline.
    pub baseline_median: Option<f64>,
    /// How many times the baseline's samples are allowed; none where a difference is.
    pub factor: Option<f64>,
    /// How much more than the baseline's samples is allowed; none where a factor is.
    pub difference: Option<f64>,
}

/// What one window of a burn rate holds.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct WindowCounts {
    /// How long it is, in seconds: as it says, shorter by less than a sixth, or all of the evidence.
    pub seconds: f64,
    /// Bad requests.
    pub events: f64,
    /// Requests.
    pub trials: f64,
    /// ln of the evidence that they come faster than the factor allows; none if there is none at all.
    pub ln_e: Option<f64>,
    /// ln of the evidence that it takes.
    pub ln_e_needed: f64,
}

/// How fast a canary spends its budget of bad requests over a long and a short window.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BurnRates {
    /// The burn rate beyond which it fails.
    pub factor: f64,
    /// The share of bad requests that the objective allows: a burn rate of 1.
    pub budget: f64,
    /// The long window.
    pub long: WindowCounts,
    /// The short window.
    pub short: WindowCounts,
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
