//! Binary operations in which at least one side is a scalar, and the arithmetic of all of them.

use crate::error::{Error, ErrorKind, Result};
use crate::promql::ast::BinaryOp;
use crate::promql::plan::steps::Steps;
use crate::promql::plan::{Binary, Node};

use super::Evaluator;
use super::column::Column;
use super::vector::{Scalars, Vector, VectorSeries};

/// `a op b` for arithmetic operators; comparisons give 0 or 1.
#[inline]
pub(crate) fn compute(op: BinaryOp, a: f64, b: f64) -> f64 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Mod => a % b,
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Atan2 => a.atan2(b),
        _ => f64::from(u8::from(compare(op, a, b))),
    }
}

/// Whether a comparison holds.
#[inline]
pub(crate) fn compare(op: BinaryOp, a: f64, b: f64) -> bool {
    match op {
        BinaryOp::Eq => a == b,
        BinaryOp::Ne => a != b,
        BinaryOp::Lt => a < b,
        BinaryOp::Le => a <= b,
        BinaryOp::Gt => a > b,
        BinaryOp::Ge => a >= b,
        _ => false,
    }
}

impl Evaluator<'_> {
    /// `scalar op scalar`
    pub(crate) fn scalar_binary(&self, node: &Binary<'_>, steps: Steps) -> Result<Scalars> {
        let lhs = self.scalar(&node.lhs, steps)?;
        let rhs = self.scalar(&node.rhs, steps)?;
        if node.op.is_trim() || node.op.is_set() {
            let text = format!("operator {:?} not allowed for Scalar operations", node.op.as_str());
            return Err(Error::new(ErrorKind::Query, text));
        }
        Ok(lhs.zip(&rhs, |a, b| compute(node.op, a, b)))
    }

    /// `vector op scalar`, or `scalar op vector` with `swapped`.
    pub(crate) fn vector_scalar(
        &self,
        node: &Binary<'_>,
        swapped: bool,
        steps: Steps,
        whole: &Node<'_>,
    ) -> Result<Vector> {
        let (vector, scalars) = if swapped {
            let scalars = self.scalar(&node.lhs, steps)?;
            (self.vector(&node.rhs, steps)?, scalars)
        } else {
            let vector = self.vector(&node.lhs, steps)?;
            (vector, self.scalar(&node.rhs, steps)?)
        };
        let op = node.op;
        let filters = op.is_comparison() && !node.return_bool;
        let mut vector = vector;
        for series in &mut vector.series {
            if series.column.has_histograms() {
                self.histogram_scalar(&mut series.column, op, swapped, whole)?;
            }
            if op.is_trim() {
                if series.column.floats().next().is_some() {
                    self.notes.incompatible_operands("float", op.as_str(), "float", whole.range);
                }
                series.column = Column::absent(steps.count());
                continue;
            }
            if filters {
                filter(series, op, swapped, &scalars);
            } else if swapped {
                series.column.map_floats(|step, value| compute(op, scalars.at(step), value));
            } else {
                series.column.map_floats(|step, value| compute(op, value, scalars.at(step)));
            }
            if !filters {
                self.drop_name(series);
            }
        }
        vector.prune();
        self.collect(vector, steps)
    }

    /// Removes histograms that an operation with a scalar cannot take.
    fn histogram_scalar(
        &self,
        column: &mut Column,
        op: BinaryOp,
        swapped: bool,
        whole: &Node<'_>,
    ) -> Result<()> {
        if column.histograms().next().is_none() {
            return Ok(());
        }
        let defined = op == BinaryOp::Mul || (!swapped && (op == BinaryOp::Div || op.is_trim()));
        if defined {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("operator {} is not built for native histograms", op.as_str()),
            ));
        }
        let (left, right) = if swapped { ("float", "histogram") } else { ("histogram", "float") };
        self.notes.incompatible_operands(left, op.as_str(), right, whole.range);
        column.drop_histograms();
        Ok(())
    }
}

/// Keeps the samples for which the comparison holds.
fn filter(series: &mut VectorSeries, op: BinaryOp, swapped: bool, scalars: &Scalars) {
    for step in 0..series.column.steps() {
        if let Some(value) = series.column.float(step) {
            let scalar = scalars.at(step);
            let holds = if swapped { compare(op, scalar, value) } else { compare(op, value, scalar) };
            if !holds {
                series.column.remove(step);
            }
        }
    }
}
