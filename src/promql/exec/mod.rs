//! From plan to values: every operator computes the series of its output once and their values for all steps.
//!
//! Operators follow the tree, whose height the parser bounds. Series go through all of them in label order, so that sums
//! of floats round as they do in Prometheus.

mod absent;
mod aggregate;
mod arith;
pub(crate) mod budget;
mod call;
pub(crate) mod column;
mod count_values;
mod family;
mod go_sort;
mod hint;
mod histogram;
mod histogram_arith;
mod histogram_sum;
mod info;
mod instant;
mod range;
mod relabel;
pub(crate) mod root;
mod set;
mod signature;
mod sort;
mod subquery;
#[cfg(test)]
mod tests;
mod topk;
mod unary;
mod unique;
pub(crate) mod vector;
mod vector_match;

use crate::error::{Error, ErrorKind, Result};
use crate::source::Source;

use super::annotation::Notebook;
use super::ast::ValueType;
use super::plan::steps::Steps;
use super::plan::{Node, Operator};

use budget::Budget;
use vector::{Scalars, Vector, VectorSeries};

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
}

/// One evaluation of one plan.
pub(crate) struct Evaluator<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) settings: Settings,
    pub(crate) budget: Budget,
    pub(crate) notes: Notebook,
}

impl Evaluator<'_> {
    /// Evaluates a node that is an instant vector.
    pub(crate) fn vector(&self, node: &Node<'_>, steps: Steps) -> Result<Vector> {
        if node.invariant && !steps.is_single() {
            let once = self.vector_each(node, Steps::single(steps.first()))?;
            let mut vector = Vector::new(&self.budget);
            for series in &once.series {
                let column = series.column.repeated(steps.count());
                vector.push(VectorSeries {
                    labels: series.labels.clone(),
                    drop_name: series.drop_name,
                    column,
                })?;
            }
            return Ok(vector);
        }
        self.vector_each(node, steps)
    }

    fn vector_each(&self, node: &Node<'_>, steps: Steps) -> Result<Vector> {
        match &node.operator {
            Operator::Instant(selector) => self.instant_selector(selector, steps, node.range),
            Operator::Call { function, args } => self.call(*function, args, node, steps),
            Operator::Info(info) => self.info(info, steps, node.range),
            Operator::Aggregate(aggregate) => self.aggregate(aggregate, node, steps),
            Operator::Negate(inner) => self.negate(inner, steps),
            Operator::Plus(inner) => self.vector(inner, steps),
            Operator::Binary(binary) => match (binary.lhs.value_type, binary.rhs.value_type) {
                (ValueType::Vector, ValueType::Vector) => {
                    let default = crate::promql::ast::VectorMatching::default();
                    let matching = binary.matching.unwrap_or(&default);
                    if binary.op.is_set() {
                        self.set_operation(binary, matching, steps)
                    } else {
                        self.vector_vector(binary, matching, steps, node)
                    }
                }
                (lhs, _) => self.vector_scalar(binary, lhs == ValueType::Scalar, steps, node),
            },
            Operator::Number(_) | Operator::String(_) | Operator::Range(_) | Operator::Subquery(_) => {
                Err(unexpected(node, ValueType::Vector))
            }
        }
    }

    /// Evaluates a node that is a scalar.
    pub(crate) fn scalar(&self, node: &Node<'_>, steps: Steps) -> Result<Scalars> {
        if node.invariant && !steps.is_single() {
            let once = self.scalar_each(node, Steps::single(steps.first()))?;
            return Ok(Scalars::Constant(once.at(0)));
        }
        self.scalar_each(node, steps)
    }

    fn scalar_each(&self, node: &Node<'_>, steps: Steps) -> Result<Scalars> {
        match &node.operator {
            Operator::Number(value) => Ok(Scalars::Constant(*value)),
            Operator::Call { function, args } => self.scalar_call(*function, args, node, steps),
            Operator::Negate(inner) => Ok(self.scalar(inner, steps)?.map(|value| -value)),
            Operator::Plus(inner) => self.scalar(inner, steps),
            Operator::Binary(binary) => self.scalar_binary(binary, steps),
            _ => Err(unexpected(node, ValueType::Scalar)),
        }
    }
}

/// The checks let no such node through; should one come, the query fails.
fn unexpected(node: &Node<'_>, wanted: ValueType) -> Error {
    let text = format!("expected type {}, got {}", wanted.as_str(), node.value_type.as_str());
    Error::new(ErrorKind::Query, text).at(node.range.start, node.range.end)
}
