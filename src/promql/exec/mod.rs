//! From plan to values: every operator computes the series of its output once and their values for all steps.
//!
//! Operands come before operators, without recursion over the tree ([`operands`]). Series go through all of them in label order, so that sums
//! of floats round as they do in Prometheus.

mod absent;
mod aggregate;
mod arith;
pub(crate) mod budget;
mod call;
pub(crate) mod column;
mod count_values;
pub(crate) mod explain;
mod family;
mod family_groups;
mod family_read;
mod go_sort;
mod hint;
mod histogram;
mod histogram_arith;
mod histogram_sum;
mod info;
mod instant;
mod operands;
mod range;
mod relabel;
pub(crate) mod root;
mod set;
mod signature;
mod sort;
mod subquery;
mod subsets;
#[cfg(test)]
mod tests;
mod threads;
mod topk;
mod unary;
mod unique;
pub(crate) mod vector;
mod vector_match;

use crate::error::{Error, ErrorKind, Result};
use crate::source::Source;

use super::analysis::Recorder;
use super::annotation::Notebook;
use super::ast::ValueType;
use super::plan::steps::Steps;
use super::plan::{Node, Operator};

use arith::scalar_scalar;
use budget::Budget;
use operands::Operands;
use vector::{Scalars, Vector};

/// How an evaluation behaves; times in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// How far back an instant selector looks.
    pub(crate) lookback: i64,
    /// Whether names are dropped at the end of the query only.
    pub(crate) delayed_name_removal: bool,
    /// Whether `rate` and its relatives look at start times.
    pub(crate) start_timestamps: bool,
    /// Whether the type of a metric is taken from its labels.
    pub(crate) type_and_unit: bool,
    /// How many threads work on a wide selection, the caller's among them; 0 is 1.
    pub(crate) threads: usize,
}

/// One evaluation of one plan.
pub(crate) struct Evaluator<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) settings: Settings,
    pub(crate) budget: Budget,
    pub(crate) notes: Notebook,
    pub(crate) recorder: Recorder,
}

impl Evaluator<'_> {
    /// The value of an operator that is an instant vector, or of a subquery.
    fn vector_operator(&self, node: &Node<'_>, steps: Steps, operands: &mut Operands) -> Result<Vector> {
        match &node.operator {
            Operator::Instant(selector) => self.instant_selector(selector, steps, node.range),
            Operator::Call { function, args } => self.call(*function, args, node, steps, operands),
            Operator::Info(info) => self.info(info, operands.vector(&info.inner)?, steps, node.range),
            Operator::Aggregate(aggregate) => self.aggregate(aggregate, node, steps, operands),
            Operator::Negate(inner) => self.negate(operands.vector(inner)?),
            Operator::Plus(inner) => operands.vector(inner),
            Operator::Subquery(subquery) => operands.vector(&subquery.inner),
            Operator::Binary(binary) => match (binary.lhs.value_type, binary.rhs.value_type) {
                (ValueType::Vector, ValueType::Vector) => {
                    let default = crate::promql::ast::VectorMatching::default();
                    let matching = binary.matching.unwrap_or(&default);
                    let (lhs, rhs) = (operands.vector(&binary.lhs)?, operands.vector(&binary.rhs)?);
                    if binary.op.is_set() {
                        self.set_operation(binary.op, matching, lhs, rhs, steps)
                    } else {
                        self.vector_vector(binary, matching, lhs, rhs, steps, node)
                    }
                }
                (ValueType::Scalar, _) => {
                    let (scalars, vector) = (operands.scalars(&binary.lhs)?, operands.vector(&binary.rhs)?);
                    self.vector_scalar(binary, true, vector, &scalars, steps, node)
                }
                _ => {
                    let (vector, scalars) = (operands.vector(&binary.lhs)?, operands.scalars(&binary.rhs)?);
                    self.vector_scalar(binary, false, vector, &scalars, steps, node)
                }
            },
            Operator::Number(_) | Operator::String(_) | Operator::Range(_) => {
                Err(unexpected(node, ValueType::Vector))
            }
        }
    }

    /// The value of an operator that is a scalar.
    fn scalar_operator(&self, node: &Node<'_>, steps: Steps, operands: &mut Operands) -> Result<Scalars> {
        match &node.operator {
            Operator::Number(value) => Ok(Scalars::Constant(*value)),
            Operator::Call { function, args } => self.scalar_call(*function, args, node, steps, operands),
            Operator::Negate(inner) => Ok(operands.scalars(inner)?.map(|value| -value)),
            Operator::Plus(inner) => operands.scalars(inner),
            Operator::Binary(binary) => {
                let (lhs, rhs) = (operands.scalars(&binary.lhs)?, operands.scalars(&binary.rhs)?);
                scalar_scalar(binary.op, lhs, &rhs)
            }
            _ => Err(unexpected(node, ValueType::Scalar)),
        }
    }
}

/// The checks let no such node through; should one come, the query fails.
fn unexpected(node: &Node<'_>, wanted: ValueType) -> Error {
    let text = format!("expected type {}, got {}", wanted.as_str(), node.value_type.as_str());
    Error::new(ErrorKind::Query, text).at(node.range.start, node.range.end)
}
