//! Binary operations with native histograms on at least one side, and what they are told to the user.

use std::sync::Arc;

use crate::model::histogram::{Combined, IncompatibleSchemas};
use crate::model::{CounterResetHint, NativeHistogram};
use crate::promql::annotation::HistogramOperation;
use crate::promql::ast::BinaryOp;
use crate::promql::text_range::TextRange;

use super::Evaluator;
use super::column::ColumnSample;

/// What comes out of a pair of samples.
pub(crate) enum Outcome {
    /// A float.
    Float(f64),
    /// A histogram.
    Histogram(Arc<NativeHistogram>),
    /// Nothing, but the pair counts as matched.
    Filtered,
    /// Nothing, and the pair does not count.
    Dropped,
}

/// What is worth telling about a pair of operands. Prometheus keeps the last one of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OperandNote {
    /// The kinds of the operands do not fit the operator.
    Incompatible(&'static str, &'static str),
    /// One has exponential buckets, the other custom bounds.
    Layout,
    /// Their hints contradict each other.
    Collision(HistogramOperation),
    /// Only their common custom bounds were left.
    Reconciled(HistogramOperation),
}

const fn incompatible(left: &'static str, right: &'static str) -> (Outcome, Option<OperandNote>) {
    (Outcome::Dropped, Some(OperandNote::Incompatible(left, right)))
}

/// `left op right` where one of them is a histogram. Comparisons that hold yield the left operand.
pub(crate) fn with_histogram(
    op: BinaryOp,
    left: ColumnSample<'_>,
    right: ColumnSample<'_>,
) -> (Outcome, Option<OperandNote>) {
    match (left, right) {
        (ColumnSample::Histogram(left), ColumnSample::Histogram(right)) => two_histograms(op, left, right),
        (ColumnSample::Histogram(histogram), ColumnSample::Float(value)) => {
            let change: fn(&mut NativeHistogram, f64) = match op {
                BinaryOp::Mul => |histogram, factor| {
                    histogram.multiply(factor);
                    histogram.compact();
                },
                BinaryOp::Div => |histogram, divisor| {
                    histogram.divide(divisor);
                    histogram.compact();
                },
                BinaryOp::TrimUpper => NativeHistogram::keep_below,
                BinaryOp::TrimLower => NativeHistogram::keep_above,
                _ => return incompatible("histogram", "float"),
            };
            let mut result = histogram.copied();
            change(&mut result, value);
            (Outcome::Histogram(Arc::new(result)), None)
        }
        (ColumnSample::Float(value), ColumnSample::Histogram(histogram)) if op == BinaryOp::Mul => {
            let mut result = histogram.copied();
            result.multiply(value);
            result.compact();
            (Outcome::Histogram(Arc::new(result)), None)
        }
        (ColumnSample::Float(_), ColumnSample::Histogram(_)) => incompatible("float", "histogram"),
        (ColumnSample::Float(_), ColumnSample::Float(_)) => incompatible("float", "float"),
    }
}

fn two_histograms(
    op: BinaryOp,
    left: &Arc<NativeHistogram>,
    right: &Arc<NativeHistogram>,
) -> (Outcome, Option<OperandNote>) {
    let mut result = match op {
        BinaryOp::Add | BinaryOp::Sub => left.copied(),
        BinaryOp::Eq | BinaryOp::Ne => {
            let holds = left.equals(right) == (op == BinaryOp::Eq);
            return (if holds { Outcome::Histogram(left.clone()) } else { Outcome::Filtered }, None);
        }
        _ => return incompatible("histogram", "histogram"),
    };
    let (combined, operation) = match op {
        BinaryOp::Sub => (result.subtract(right), HistogramOperation::Subtraction),
        _ => (result.add(right), HistogramOperation::Addition),
    };
    let note = match combined {
        Err(IncompatibleSchemas) => return (Outcome::Dropped, Some(OperandNote::Layout)),
        Ok(Combined { collision: true, .. }) => {
            return (Outcome::Dropped, Some(OperandNote::Collision(operation)));
        }
        Ok(Combined { reconciled, .. }) => reconciled.then_some(OperandNote::Reconciled(operation)),
    };
    if op == BinaryOp::Sub {
        result.hint = CounterResetHint::Gauge;
    }
    result.compact();
    (Outcome::Histogram(Arc::new(result)), note)
}

impl Evaluator<'_> {
    /// Tells what was noticed about operands; `range` is the whole operation.
    pub(crate) fn note_operands(&self, note: OperandNote, op: BinaryOp, range: TextRange) {
        match note {
            OperandNote::Incompatible(left, right) => {
                self.notes.incompatible_operands(left, op.as_str(), right, range);
            }
            OperandNote::Layout => self.notes.incompatible_layout(op.as_str(), range),
            OperandNote::Collision(operation) => self.notes.reset_collision(operation, range),
            OperandNote::Reconciled(operation) => self.notes.reconciled_buckets(operation, range),
        }
    }
}
