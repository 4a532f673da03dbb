//! `and`, `or`, `unless`.

use crate::error::Result;
use crate::promql::ast::{BinaryOp, VectorMatching};
use crate::promql::plan::steps::Steps;

use super::Evaluator;
use super::signature::Signatures;
use super::vector::{Vector, VectorSeries};

/// Which signatures occur at which step.
struct Occurrence {
    steps: usize,
    seen: Vec<bool>,
}

impl Occurrence {
    fn of(series: &[VectorSeries], ids: &[usize], count: usize, steps: usize) -> Self {
        let mut seen = vec![false; count.saturating_mul(steps)];
        for (series, id) in series.iter().zip(ids) {
            let row = id.saturating_mul(steps);
            if let Some(row) = seen.get_mut(row..row.saturating_add(steps)) {
                for (step, slot) in row.iter_mut().enumerate() {
                    *slot |= series.column.is_present(step);
                }
            }
        }
        Self { steps, seen }
    }

    fn has(&self, id: usize, step: usize) -> bool {
        self.seen.get(id.saturating_mul(self.steps).saturating_add(step)).copied().unwrap_or(false)
    }
}

/// Removes the samples whose signature is there (`keep` false) or is not there (`keep` true).
fn mask(series: &mut [VectorSeries], ids: &[usize], other: &Occurrence, keep: bool) {
    for (series, id) in series.iter_mut().zip(ids) {
        for step in 0..series.column.steps() {
            if other.has(*id, step) != keep {
                series.column.remove(step);
            }
        }
    }
}

impl Evaluator<'_> {
    /// Evaluates a set operator.
    pub(crate) fn set_operation(
        &self,
        op: BinaryOp,
        matching: &VectorMatching,
        mut lhs: Vector,
        mut rhs: Vector,
        steps: Steps,
    ) -> Result<Vector> {
        let mut signatures = Signatures::new(matching);
        let left_ids = signatures.ids(&lhs.series);
        let right_ids = signatures.ids(&rhs.series);
        let count = signatures.count();
        if op == BinaryOp::Or {
            let left = Occurrence::of(&lhs.series, &left_ids, count, steps.count());
            mask(&mut rhs.series, &right_ids, &left, false);
            for series in std::mem::take(&mut rhs.series) {
                self.budget.tick(steps.count())?;
                lhs.push(series)?;
            }
        } else {
            let right = Occurrence::of(&rhs.series, &right_ids, count, steps.count());
            mask(&mut lhs.series, &left_ids, &right, op == BinaryOp::And);
        }
        lhs.prune();
        self.collect(lhs, steps)
    }
}
