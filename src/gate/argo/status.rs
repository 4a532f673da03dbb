//! What a run has come to: phases, results, measurements, summaries.

use std::collections::BTreeMap;
use std::fmt;

use crate::gate::binary::{binary_fields, binary_variants};
use crate::model::Timestamp;

/// The phase of a measurement, a metric or a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Phase {
    /// Nothing has been measured.
    #[default]
    Pending,
    /// Under way.
    Running,
    /// Good.
    Successful,
    /// Bad.
    Failed,
    /// Could not be measured or judged.
    Error,
    /// Neither good nor bad.
    Inconclusive,
}

binary_variants!(Phase { 0 = Pending, 1 = Running, 2 = Successful, 3 = Failed, 4 = Error, 5 = Inconclusive });

impl Phase {
    /// Whether this is one of the four final phases.
    pub const fn is_completed(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }

    /// Argo's name for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Successful => "Successful",
            Self::Failed => "Failed",
            Self::Error => "Error",
            Self::Inconclusive => "Inconclusive",
        }
    }

    /// From best to worst, as Argo ranks metrics of one run.
    pub(super) const fn severity(self) -> u8 {
        match self {
            Self::Successful => 0,
            Self::Running => 1,
            Self::Pending => 2,
            Self::Inconclusive => 3,
            Self::Error => 4,
            Self::Failed => 5,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which release's sentences, and whose condition language, a run follows. Phases differ only where the language does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Profile {
    /// Argo Rollouts up to 1.9, with expr 1.15.
    V1_9,
    /// Argo Rollouts 1.10, with expr 1.17.
    #[default]
    V1_10,
}

/// One measurement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct Measurement {
    /// What it came to.
    pub phase: Phase,
    /// Why it is an Error; empty otherwise.
    #[cfg_attr(feature = "serde", serde(default))]
    pub message: String,
    /// When the query was asked. Argo stores whole seconds, this keeps milliseconds.
    pub started_at: Timestamp,
    /// When the answer was there.
    pub finished_at: Timestamp,
    /// The value as text: `1.5`, `[1,NaN]`; empty for an Error.
    #[cfg_attr(feature = "serde", serde(default))]
    pub value: String,
    /// `warnings` of the query, if it had any.
    #[cfg_attr(feature = "serde", serde(default))]
    pub metadata: BTreeMap<String, String>,
}

binary_fields!(Measurement { phase, message, started_at, finished_at, value, metadata });

/// Where a metric stands. It appears when its first measurement has been taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct MetricResult {
    /// The metric's name, placeholders replaced.
    pub name: String,
    /// Its phase.
    pub phase: Phase,
    /// The newest measurements, oldest first: as many as retention allows.
    pub measurements: Vec<Measurement>,
    /// The newest measurement's message when the phase last changed, or the reason that ended a dry run.
    #[cfg_attr(feature = "serde", serde(default))]
    pub message: String,
    /// Measurements that were no Error.
    pub count: i32,
    /// Successful measurements.
    pub successful: i32,
    /// Failed measurements.
    pub failed: i32,
    /// Inconclusive measurements.
    pub inconclusive: i32,
    /// Measurements in Error.
    pub error: i32,
    /// Errors in a row, up to the newest measurement.
    pub consecutive_error: i32,
    /// Successes in a row, up to the newest measurement.
    pub consecutive_success: i32,
    /// Whether the metric is measured without deciding anything.
    #[cfg_attr(feature = "serde", serde(default))]
    pub dry_run: bool,
    /// `ResolvedPrometheusQuery`: the query after substitution.
    #[cfg_attr(feature = "serde", serde(default))]
    pub metadata: BTreeMap<String, String>,
}

binary_fields!(MetricResult {
    name,
    phase,
    measurements,
    message,
    count,
    successful,
    failed,
    inconclusive,
    error,
    consecutive_error,
    consecutive_success,
    dry_run,
    metadata,
});

impl MetricResult {
    /// The newest measurement.
    pub fn newest(&self) -> Option<&Measurement> {
        self.measurements.last()
    }

    /// Counts a completed measurement and keeps it.
    pub(super) fn record(&mut self, measurement: Measurement) {
        let phase = measurement.phase;
        let add = |counter: &mut i32| *counter = counter.saturating_add(1);
        match phase {
            Phase::Successful => {
                add(&mut self.successful);
                add(&mut self.count);
                add(&mut self.consecutive_success);
                self.consecutive_error = 0;
            }
            Phase::Failed | Phase::Inconclusive => {
                add(if phase == Phase::Failed { &mut self.failed } else { &mut self.inconclusive });
                add(&mut self.count);
                self.consecutive_success = 0;
                self.consecutive_error = 0;
            }
            Phase::Error => {
                add(&mut self.error);
                add(&mut self.consecutive_error);
                self.consecutive_success = 0;
            }
            Phase::Pending | Phase::Running => {}
        }
        self.measurements.push(measurement);
    }
}

/// How many metrics came to what; a metric that ended without exceeding a limit counts as successful.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct RunSummary {
    /// All metrics, unfinished ones included.
    pub count: i32,
    /// Completed without a limit exceeded.
    pub successful: i32,
    /// Exceeded the failure limit.
    pub failed: i32,
    /// Exceeded the inconclusive limit.
    pub inconclusive: i32,
    /// Exceeded the limit of errors in a row.
    pub error: i32,
}

binary_fields!(RunSummary { count, successful, failed, inconclusive, error });

/// The status of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct RunStatus {
    /// The run's phase; Pending until it has been assessed.
    pub phase: Phase,
    /// Why it ended as it did; empty while it runs and for most good ends.
    pub message: String,
    /// Results of the metrics that have been measured, in the order of their first measurements.
    pub metric_results: Vec<MetricResult>,
    /// When the run was first assessed; a run whose spec is in error never is.
    pub started_at: Option<Timestamp>,
    /// When the run ended; a run whose spec is in error has no such time.
    pub completed_at: Option<Timestamp>,
    /// Metrics that decide.
    pub run_summary: Option<RunSummary>,
    /// Metrics in dry run.
    pub dry_run_summary: Option<RunSummary>,
}

binary_fields!(RunStatus {
    phase,
    message,
    metric_results,
    started_at,
    completed_at,
    run_summary,
    dry_run_summary,
});

impl RunStatus {
    /// The result of the metric with this name.
    pub fn result(&self, name: &str) -> Option<&MetricResult> {
        self.metric_results.iter().find(|result| result.name == name)
    }

    pub(super) fn result_mut(&mut self, name: &str) -> Option<&mut MetricResult> {
        self.metric_results.iter_mut().find(|result| result.name == name)
    }
}

/// A change of phase, as it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct Transition {
    /// When.
    pub at: Timestamp,
    /// The metric, or `None` for the run.
    pub metric: Option<String>,
    /// The new phase.
    pub phase: Phase,
    /// The message that came with it.
    pub message: String,
}

binary_fields!(Transition { at, metric, phase, message });
