//! What several findings hold.

use crate::gate::binary::binary_fields;
use crate::model::Timestamp;

/// The trace of one request, from an [exemplar](crate::Exemplar).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Trace {
    /// Its id.
    pub trace_id: String,
    /// What was observed, in the unit of the metric.
    #[cfg_attr(feature = "serde", serde(with = "any_float"))]
    pub value: f64,
    /// When.
    pub at: Timestamp,
    /// Where to look at it: see [`trace_link`](crate::GateSpecBuilder::trace_link).
    pub link: String,
}

binary_fields!(Trace { trace_id, value, at, link });

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

binary_fields!(MissingSamples { from, until, file, bytes, batches, why });

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

binary_fields!(BesideBaselineSamples {
    samples,
    baseline_samples,
    median,
    baseline_median,
    factor,
    difference,
});
binary_fields!(WindowCounts { seconds, events, trials, ln_e, ln_e_needed });
binary_fields!(BurnRates { factor, budget, long, short });

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

binary_fields!(BesideBaseline { events, trials, baseline_events, baseline_trials, factor, difference });

/// Floats from outside, of which JSON has only the finite ones: the others are their names as text.
#[cfg(feature = "serde")]
mod any_float {
    use serde::de::{Deserialize, Deserializer, Error as _};
    use serde::ser::Serializer;

    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(f64),
        Name(String),
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        match *value {
            value if value.is_finite() => serializer.serialize_f64(value),
            value if value.is_nan() => serializer.serialize_str("NaN"),
            value => serializer.serialize_str(if value > 0.0 { "+Inf" } else { "-Inf" }),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Number(value) => Ok(value),
            Written::Name(name) => match name.as_str() {
                "NaN" => Ok(f64::NAN),
                "+Inf" => Ok(f64::INFINITY),
                "-Inf" => Ok(f64::NEG_INFINITY),
                _ => Err(D::Error::custom(format!("`{name}` is no float"))),
            },
        }
    }
}
