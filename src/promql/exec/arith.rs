//! Binary operations in which at least one side is a scalar, and the arithmetic of all of them.

use crate::error::{Error, ErrorKind, Result};
use crate::promql::ast::BinaryOp;
use crate::promql::plan::steps::Steps;
use crate::promql::plan::{Binary, Node};

use super::Evaluator;
use super::column::{Column, ColumnSample};
use super::histogram_arith::{OperandNote, Outcome, with_histogram};
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

/// `scalar op scalar`
pub(crate) fn scalar_scalar(op: BinaryOp, lhs: Scalars, rhs: &Scalars) -> Result<Scalars> {
    if op.is_trim() || op.is_set() {
        let text = format!("operator {:?} not allowed for Scalar operations", op.as_str());
        return Err(Error::new(ErrorKind::Query, text));
    }
    Ok(lhs.zip(rhs, |a, b| compute(op, a, b)))
}

impl Evaluator<'_> {
    /// `vector op scalar`, or `scalar op vector` with `swapped`.
    pub(crate) fn vector_scalar(
        &self,
        node: &Binary<'_>,
        swapped: bool,
        mut vector: Vector,
        scalars: &Scalars,
        steps: Steps,
        whole: &Node<'_>,
    ) -> Result<Vector> {
        let op = node.op;
        let filters = op.is_comparison() && !node.return_bool;
        let mut operands = OperandNotes::new(steps);
        for series in &mut vector.series {
            self.budget.tick(steps.count())?;
            if op.is_trim() || series.column.has_histograms() {
                operands.of_column(&mut series.column, op, swapped, scalars);
            }
            if op.is_trim() {
                // The floats are gone already, and the name stays.
                continue;
            }
            if filters {
                filter(series, op, swapped, scalars);
            } else if swapped {
                series.column.map_floats(|step, value| compute(op, scalars.at(step), value));
            } else {
                series.column.map_floats(|step, value| compute(op, value, scalars.at(step)));
            }
            if !filters {
                self.drop_name(series);
            }
        }
        operands.tell(self, op, whole);
        vector.prune();
        self.collect(vector, steps)
    }
}

/// What there is to tell about operands: of every step the last.
struct OperandNotes {
    steps: Vec<Option<OperandNote>>,
    count: usize,
}

impl OperandNotes {
    fn new(steps: Steps) -> Self {
        Self { steps: Vec::new(), count: steps.count() }
    }

    fn add(&mut self, step: usize, note: OperandNote) {
        self.steps.resize(self.count, None);
        if let Some(slot) = self.steps.get_mut(step) {
            *slot = Some(note);
        }
    }

    /// Computes the histograms of a column, and removes the samples that have no answer. Other floats stay as they are.
    fn of_column(&mut self, column: &mut Column, op: BinaryOp, swapped: bool, scalars: &Scalars) {
        for step in 0..column.steps() {
            let Some(sample) = column.sample(step) else { continue };
            if matches!(sample, ColumnSample::Float(_)) && !op.is_trim() {
                continue;
            }
            let scalar = ColumnSample::Float(scalars.at(step));
            let (left, right) = if swapped { (scalar, sample) } else { (sample, scalar) };
            let (outcome, note) = with_histogram(op, left, right);
            column.remove(step);
            if let Outcome::Histogram(result) = outcome {
                column.set_histogram(step, result);
            }
            if let Some(note) = note {
                self.add(step, note);
            }
        }
    }

    fn tell(self, evaluator: &Evaluator<'_>, op: BinaryOp, whole: &Node<'_>) {
        let mut notes: Vec<OperandNote> = self.steps.into_iter().flatten().collect();
        notes.dedup();
        for note in notes {
            evaluator.note_operands(note, op, whole.range);
        }
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
