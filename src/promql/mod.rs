//! Text to values. Sees the model and the source seam, nothing of the store.

pub(crate) mod ast;
mod engine;
pub(crate) mod parse;
pub(crate) mod signature;
pub(crate) mod text_range;
mod value;

pub use ast::ValueType;
pub use engine::{Engine, Query};
pub use value::{Annotations, Evaluation, MatrixSeries, Value, VectorSample};
