//! Canary gates: from what was measured to a verdict with its reasons.
//!
//! `evidence` counts, `judge` decides each check, `combine` decides the gate; `step` walks through time.

pub mod argo;
mod asking;
mod baseline;
mod beside;
mod binary;
#[cfg(feature = "serde")]
mod checked;
mod combine;
mod doubt;
mod elements;
mod evidence;
mod explain;
#[cfg(all(test, feature = "argo"))]
mod failures;
#[cfg(feature = "argo")]
mod file;
#[cfg(test)]
mod fixture;
mod judge;
mod lint;
mod native;
mod reason;
mod report;
pub mod rollout;
mod round;
mod run;
mod set;
#[cfg(feature = "argo")]
mod settings;
mod shape;
mod spec;
mod state;
mod stats;
mod step;
mod strict;
mod verdict;

pub use asking::{QuestionId, SourceAnswer, SourceQuestion};
pub use explain::diagnose;
#[cfg(feature = "argo")]
pub use file::GateFile;
pub use lint::{Lint, LintSeverity};
pub use reason::{
    BesideBaseline, BesideBaselineSamples, BurnRates, Finding, MissingSamples, Reason, Severity, Trace,
    WindowCounts,
};
pub use report::{CheckReport, Evidence, Interval, Mode, Report};
pub use run::{Gate, Tick, Work};
pub use set::{GateId, GateSet, GateSetState};
pub use spec::{BurnRateWindows, Check, GateSpec, GateSpecBuilder};
pub use state::GateState;
pub use verdict::Verdict;
