//! Strict mode: an analysis run decided exactly as Argo Rollouts decides it.
//!
//! An [`AnalysisTemplate`] and arguments make an [`AnalysisRun`]: a state machine without clock, thread or connection.
//! It says when it wants to be looked at, hands out the queries that are due, takes their answers, and holds a status
//! with Argo's phases, counters and messages. Accidents of the original are kept where they decide. The deviations:
//!
//! * a measurement is due *at* its time, where Argo waits until strictly after it, which changes no phase;
//! * times are kept in milliseconds; delays and intervals of whole seconds count from whole seconds, as Argo's do, others
//!   count exactly, and an interval of nothing or less is a millisecond;
//! * vectors come in the order of the source, which is a stable one in ours;
//! * a server's address is not looked at, and providers other than `prometheus` make the spec invalid;
//! * the text of secrets does not show in a resolved query;
//! * what a condition may not use here is an Error of the measurement that names it.

pub mod template;

mod assess;
mod condition;
mod duration;
mod int_or_text;
#[cfg(feature = "serde")]
pub(in crate::gate) mod manifest;
mod measurement;
mod merge;
mod placeholder;
mod retention;
mod run;
mod schedule;
mod status;
mod validate;

pub use condition::Condition;
pub use duration::parse_duration;
pub use int_or_text::IntOrText;
pub use measurement::{QueryAnswer, QueryValue, judge};
pub use merge::{flatten, merge_arguments};
pub use placeholder::{Secrets, substitute};
pub use retention::{TtlStrategy, time_to_live};
pub use run::{AnalysisRun, MeasurementId, MeasurementRequest, RangeTimes, RunState};
pub use status::{Measurement, MetricResult, Phase, Profile, RunStatus, RunSummary, Transition};
pub use template::{
    AnalysisTemplate, Argument, DryRun, Header, MeasurementRetention, Metric, PrometheusProvider, Provider,
    RangeQuery, SecretKeyReference, TemplateKind, TemplateReference, TemplateSpec, ValueFrom,
};
