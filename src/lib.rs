#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod chunk;
mod codec;
#[cfg(feature = "diagnostics")]
mod diagnostics;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod ingest;
mod model;
mod promql;
#[cfg(feature = "rules")]
mod rules;
mod source;
mod store;

pub use chunk::FamilyBuffer;
#[cfg(feature = "diagnostics")]
pub use diagnostics::Diagnostic;
pub use error::{Error, ErrorKind, Result};
#[cfg(feature = "argo")]
pub use gate::GateFile;
pub use gate::argo;
pub use gate::rollout;
pub use gate::{
    BesideBaseline, BesideBaselineSamples, BurnRateWindows, BurnRates, Check, CheckReport, Evidence, Finding,
    Gate, GateId, GateSet, GateSetState, GateSpec, GateSpecBuilder, GateState, Interval, Lint, LintSeverity,
    MissingSamples, Mode, QuestionId, Reason, Report, Severity, SourceAnswer, SourceQuestion, Tick, Trace,
    Verdict, WindowCounts, Work, diagnose,
};
pub use ingest::{
    Exposition, ExpositionEntry, ExpositionExemplar, ExpositionFormat, ExpositionOptions, ExpositionSample,
    Gathered, Intake, IntakeLimits, MetricType,
};
#[cfg(feature = "recordings")]
pub use ingest::{RecordedSeries, Recording, RecordingIter};
pub use model::{
    CounterResetHint, Exemplar, Label, Labels, LabelsBuilder, Loss, Lost, MatchOp, Matcher, NativeHistogram,
    Sample, SampleBuffer, SampleValue, SeriesExemplars, Span, Timestamp, Window, is_stale, stale_marker,
};
pub use promql::{
    Analysis, Annotations, CancellationToken, Engine, Evaluation, EvaluationPath, Explanation, MatrixSeries,
    OperatorAnalysis, OperatorPlan, Query, QueryLimits, Value, ValueType, VectorSample,
};
#[cfg(feature = "rules")]
pub use rules::{
    Alert, AlertState, GroupEvaluation, RecordedSource, RuleEvaluation, RuleGroups, RuleManager,
    RuleUnitTest, RuleUnitTestReport, TestGroupReport,
};
pub use source::{CustomBuckets, Family, Item, SelectRequest, Series, SeriesSet, Source};
pub use store::{
    AppendReport, Appender, Durability, FamilyHandle, Health, Limits, Maintained, OpenReport, ReadMode,
    Refusal, SeriesHandle, Snapshot, Store, StoreOptions, StoreStats,
};

#[doc = include_str!("docs/semantics.md")]
pub mod _semantics {}

#[doc = include_str!("docs/gates.md")]
pub mod _gates {}

#[doc = include_str!("docs/format.md")]
pub mod _format {}
