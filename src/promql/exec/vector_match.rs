//! Binary operations between two vectors, set operators apart.
//!
//! Signatures and result labels are computed once per series and pair; the steps only move numbers.

use std::cmp::Ordering;

use hashbrown::HashMap;

use crate::error::{Error, ErrorKind, Result};
use crate::model::label::is_metadata;
use crate::model::{Labels, LabelsBuilder};
use crate::promql::ast::{BinaryOp, Cardinality, VectorMatching};
use crate::promql::plan::steps::Steps;
use crate::promql::plan::{Binary, Node};

use super::Evaluator;
use super::arith::{compare, compute};
use super::budget::{Budget, Charge};
use super::column::{Column, ColumnSample, histogram_weight};
use super::histogram_arith::{OperandNote, Outcome, with_histogram};
use super::signature::Signatures;
use super::unique::same_labels;
use super::vector::{Vector, VectorSeries};

/// One side of the operation, with the signature of each series.
struct Side {
    series: Vec<VectorSeries>,
    ids: Vec<usize>,
}

/// What one side contributes to a pair: one of its series, or the fill value with the match labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Partner {
    Series(usize),
    /// Of this signature.
    Fill(usize),
}

/// An output in the making.
struct Output {
    labels: Labels,
    column: Column,
}

struct Matching<'a> {
    op: BinaryOp,
    return_bool: bool,
    matching: &'a VectorMatching,
    delayed: bool,
    steps: Steps,
    budget: Budget,
    /// For the columns of outputs in the making.
    charge: Charge,
    /// Weight of the histograms in them, which are charged once the columns are whole.
    pending: u64,
    signatures: Signatures<'a>,
    many: Side,
    one: Side,
    /// Whether the "many" side is the left operand.
    many_is_left: bool,
    /// By pair: which result labels it has.
    labels_of_pair: HashMap<(Partner, Partner), usize>,
    ids_of_labels: HashMap<Labels, usize>,
    labels: Vec<Labels>,
    outputs: Vec<Output>,
    /// By result labels: which output; only over several steps.
    output_of_labels: HashMap<usize, usize>,
}

impl Evaluator<'_> {
    /// Evaluates arithmetic or a comparison between two vectors.
    pub(crate) fn vector_vector(
        &self,
        node: &Binary<'_>,
        matching: &VectorMatching,
        mut lhs: Vector,
        mut rhs: Vector,
        steps: Steps,
        whole: &Node<'_>,
    ) -> Result<Vector> {
        let mut signatures = Signatures::new(matching);
        let left_ids = signatures.ids(&lhs.series);
        let right_ids = signatures.ids(&rhs.series);
        let left = Side { series: std::mem::take(&mut lhs.series), ids: left_ids };
        let right = Side { series: std::mem::take(&mut rhs.series), ids: right_ids };
        let many_is_left = matching.card != Cardinality::OneToMany;
        let (many, one) = if many_is_left { (left, right) } else { (right, left) };
        let mut matching = Matching {
            op: node.op,
            return_bool: node.return_bool,
            matching,
            delayed: self.settings.delayed_name_removal,
            steps,
            budget: self.budget.clone(),
            charge: self.budget.charge(),
            pending: 0,
            signatures,
            many,
            one,
            many_is_left,
            labels_of_pair: HashMap::new(),
            ids_of_labels: HashMap::new(),
            labels: Vec::new(),
            outputs: Vec::new(),
            output_of_labels: HashMap::new(),
        };
        let mut one_at = vec![None; matching.signatures.count()];
        let mut scratch = StepScratch::default();
        for step in 0..steps.count() {
            self.budget.tick(matching.many.series.len().saturating_add(matching.one.series.len()))?;
            one_at.fill(None);
            if let Some(note) = matching.step(step, &mut one_at, &mut scratch)? {
                self.note_operands(note, node.op, whole.range);
            }
        }
        let drop_name = node.return_bool && self.settings.delayed_name_removal;
        let mut vector = Vector::new(&self.budget);
        for output in matching.outputs {
            vector.push(VectorSeries { labels: output.labels, drop_name, column: output.column })?;
        }
        self.collect(vector, steps)
    }
}

/// What one step has matched already.
#[derive(Default)]
struct StepScratch {
    /// Signatures with a pair.
    matched: Vec<bool>,
    /// Result labels by signature that have a pair.
    grouped: HashMap<(usize, usize), ()>,
    /// Whether pairs of different signatures have the same result labels.
    collided: bool,
}

impl Matching<'_> {
    /// Computes one step; returns what there is to tell about its operands.
    fn step(
        &mut self,
        step: usize,
        one_at: &mut [Option<usize>],
        scratch: &mut StepScratch,
    ) -> Result<Option<OperandNote>> {
        let fill_one = self.matching.fill_right;
        let fill_many = self.matching.fill_left;
        let any = |side: &Side| side.series.iter().any(|series| series.column.is_present(step));
        let (any_many, any_one) = (any(&self.many), any(&self.one));
        if (!any_many || !any_one) && fill_one.is_none() && fill_many.is_none() {
            return Ok(None);
        }
        for (index, (series, id)) in self.one.series.iter().zip(&self.one.ids).enumerate() {
            if !series.column.is_present(step) {
                continue;
            }
            let Some(slot) = one_at.get_mut(*id) else { continue };
            if let Some(other) = slot.replace(index) {
                return Err(self.duplicate(*id, other, index));
            }
        }
        scratch.matched.clear();
        scratch.matched.resize(self.signatures.count(), false);
        scratch.grouped.clear();
        scratch.collided = false;
        let mut note = None;
        for index in 0..self.many.series.len() {
            let (Some(series), Some(id)) = (self.many.series.get(index), self.many.ids.get(index)) else {
                continue;
            };
            let id = *id;
            let Some(sample) = series.column.sample(step) else { continue };
            let partner = one_at.get(id).copied().flatten();
            let one =
                partner.and_then(|at| self.one.series.get(at)).and_then(|series| series.column.sample(step));
            let ((outcome, noted), partner) = match (partner, one, fill_one) {
                (Some(at), Some(one), _) => (self.pair(sample, one), Partner::Series(at)),
                (_, _, Some(fill)) => (self.pair(sample, ColumnSample::Float(fill)), Partner::Fill(id)),
                _ => continue,
            };
            note = noted.or(note);
            self.take(step, (Partner::Series(index), partner), id, outcome, scratch)?;
        }
        if let Some(fill) = fill_many {
            for index in 0..self.one.series.len() {
                let (Some(series), Some(id)) = (self.one.series.get(index), self.one.ids.get(index)) else {
                    continue;
                };
                let id = *id;
                let Some(sample) = series.column.sample(step) else { continue };
                if scratch.matched.get(id).copied().unwrap_or(false) {
                    continue;
                }
                let (outcome, noted) = self.pair(ColumnSample::Float(fill), sample);
                note = noted.or(note);
                self.take(step, (Partner::Fill(id), Partner::Series(index)), id, outcome, scratch)?;
            }
        }
        // Only once all pairs have been found to be the only ones of their kind.
        if scratch.collided {
            return Err(same_labels());
        }
        Ok(note)
    }

    /// Checks that a pair is the only one it may be, and keeps its value.
    fn take(
        &mut self,
        step: usize,
        (many, one): (Partner, Partner),
        id: usize,
        outcome: Outcome,
        scratch: &mut StepScratch,
    ) -> Result<()> {
        if matches!(outcome, Outcome::Dropped) {
            return Ok(());
        }
        let matched = scratch.matched.get_mut(id).is_some_and(|slot| std::mem::replace(slot, true));
        let labels = self.result_labels(many, one);
        if self.matching.card == Cardinality::OneToOne {
            if matched {
                return Err(Error::new(
                    ErrorKind::Query,
                    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
                ));
            }
        } else if scratch.grouped.insert((id, labels), ()).is_some() {
            return Err(Error::new(
                ErrorKind::Query,
                "multiple matches for labels: grouping labels must ensure unique matches",
            ));
        }
        if matches!(outcome, Outcome::Filtered) {
            return Ok(());
        }
        let next = self.outputs.len();
        let output =
            if self.steps.is_single() { next } else { *self.output_of_labels.entry(labels).or_insert(next) };
        if output == next {
            let bytes = (self.steps.count() as u64).saturating_mul(8);
            self.charge.raise(0, bytes)?;
            let labels = self.labels.get(labels).cloned().unwrap_or_else(Labels::empty);
            self.outputs.push(Output { labels, column: Column::absent(self.steps.count()) });
        }
        if let Some(output) = self.outputs.get_mut(output) {
            scratch.collided |= output.column.is_present(step);
            match outcome {
                Outcome::Float(value) => output.column.set_float(step, value),
                Outcome::Histogram(histogram) => {
                    // One wide histogram can meet many series: outputs can be far more than both inputs.
                    self.pending = self.pending.saturating_add(histogram_weight(&histogram));
                    self.budget.check_samples(self.pending)?;
                    output.column.set_histogram(step, histogram);
                }
                Outcome::Filtered | Outcome::Dropped => {}
            }
        }
        Ok(())
    }

    /// `left op right` in the order of the query's text.
    fn pair(&self, many: ColumnSample<'_>, one: ColumnSample<'_>) -> (Outcome, Option<OperandNote>) {
        let (left, right) = if self.many_is_left { (many, one) } else { (one, many) };
        let op = self.op;
        if let (ColumnSample::Float(a), ColumnSample::Float(b)) = (left, right)
            && !op.is_trim()
        {
            let outcome = if !op.is_comparison() || self.return_bool {
                Outcome::Float(compute(op, a, b))
            } else if compare(op, a, b) {
                Outcome::Float(a)
            } else {
                Outcome::Filtered
            };
            return (outcome, None);
        }
        let (outcome, note) = with_histogram(op, left, right);
        let outcome = match outcome {
            Outcome::Histogram(_) if self.return_bool => Outcome::Float(1.0),
            Outcome::Filtered if self.return_bool => Outcome::Float(0.0),
            outcome => outcome,
        };
        (outcome, note)
    }

    fn labels_of(side: &Side, signatures: &Signatures<'_>, partner: Partner) -> Labels {
        match partner {
            Partner::Series(index) => {
                side.series.get(index).map_or_else(Labels::empty, |series| series.labels.clone())
            }
            Partner::Fill(id) => signatures.labels(id),
        }
    }

    /// The number of the labels that a pair's result has.
    fn result_labels(&mut self, many: Partner, one: Partner) -> usize {
        if let Some(known) = self.labels_of_pair.get(&(many, one)) {
            return *known;
        }
        let mut builder = LabelsBuilder::from_labels(&Self::labels_of(&self.many, &self.signatures, many));
        let removes_name = !self.op.is_comparison() && !self.op.is_trim();
        if removes_name || (self.return_bool && !self.delayed) {
            builder.retain(|label| !is_metadata(&label.name));
        }
        if self.matching.card == Cardinality::OneToOne {
            let (on, listed) = (self.matching.on, &self.matching.labels);
            builder.retain(|label| listed.iter().any(|name| **name == *label.name) == on);
        }
        if !self.matching.include.is_empty() {
            let one = Self::labels_of(&self.one, &self.signatures, one);
            for name in &self.matching.include {
                match one.label(name) {
                    Some(label) => builder.set(label.name.clone(), label.value.clone()),
                    None => builder.remove(name),
                };
            }
        }
        let labels = builder.build();
        let next = self.labels.len();
        let id = *self.ids_of_labels.entry(labels).or_insert_with_key(|labels| {
            self.labels.push(labels.clone());
            next
        });
        self.labels_of_pair.insert((many, one), id);
        id
    }

    /// Two samples of the "one" side have the same signature.
    fn duplicate(&self, id: usize, first: usize, second: usize) -> Error {
        let side = if self.many_is_left { "right" } else { "left" };
        let labels = |index| Self::labels_of(&self.one, &self.signatures, Partner::Series(index)).to_string();
        let (mut a, mut b) = (labels(first), labels(second));
        if a.cmp(&b) == Ordering::Greater {
            std::mem::swap(&mut a, &mut b);
        }
        let group = self.signatures.labels(id);
        Error::new(
            ErrorKind::Query,
            format!(
                "found duplicate series for the match group {group} on the {side} hand-side of the operation: \
                 [{a}, {b}];many-to-many matching not allowed: matching labels must be unique on one side"
            ),
        )
    }
}
