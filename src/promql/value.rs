//! What a query answers.

use crate::model::{Labels, SampleBuffer, SampleValue, Timestamp};

use super::ast::ValueType;

/// The value of a query.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Value {
    /// One float at the instant of evaluation.
    Scalar(f64),
    /// A string; bytes that are not UTF-8 have become U+FFFD.
    String(String),
    /// An instant vector: one sample per series, in label order unless the query orders it.
    Vector(Vec<VectorSample>),
    /// A range vector, or the answer of a range query: series in label order.
    Matrix(Vec<MatrixSeries>),
}

impl Value {
    /// The type of the value.
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Scalar(_) => ValueType::Scalar,
            Self::String(_) => ValueType::String,
            Self::Vector(_) => ValueType::Vector,
            Self::Matrix(_) => ValueType::Matrix,
        }
    }
}

/// One element of an instant vector.
#[derive(Clone, Debug)]
pub struct VectorSample {
    /// The series' labels.
    pub labels: Labels,
    /// The instant of evaluation.
    pub timestamp: Timestamp,
    /// The sample.
    pub value: SampleValue,
}

/// One series of a matrix.
#[derive(Clone, Debug)]
pub struct MatrixSeries {
    /// The series' labels.
    pub labels: Labels,
    /// Its samples in time order; steps without a value are missing.
    pub samples: SampleBuffer,
}

/// A value and what the evaluation noticed on its way.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The value.
    pub value: Value,
    /// Warnings and infos, each once.
    pub annotations: Annotations,
}

/// What an evaluation noticed, as Prometheus words it, with the position in the query: sorted, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    /// The result may not be what was meant.
    pub warnings: Vec<String>,
    /// The query might be improved.
    pub infos: Vec<String>,
}
