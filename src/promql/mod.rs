//! Text to values. Sees the model and the source seam, nothing of the store.

mod analysis;
mod annotation;
pub(crate) mod ast;
mod cancellation;
mod check;
pub(crate) mod duration;
mod engine;
mod exec;
mod explanation;
mod func;
mod lex;
pub(crate) mod parse;
mod plan;
pub(crate) mod pretty;
mod print;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod roundtrip;
#[cfg(feature = "rules")]
pub(crate) mod series_description;
pub(crate) mod signature;
pub(crate) mod text_range;
mod value;

pub use analysis::{Analysis, EvaluationPath, OperatorAnalysis};
pub use ast::ValueType;
pub use cancellation::CancellationToken;
pub(crate) use engine::DEFAULT_LOOKBACK_MS;
pub use engine::{Engine, Query, QueryLimits};
pub use explanation::{Explanation, OperatorPlan};
pub use value::{Annotations, Evaluation, MatrixSeries, Value, VectorSample};
