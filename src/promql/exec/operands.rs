//! Operands before operators: a plan is evaluated bottom up over a list of the operators that wait for their operands, so that
//! the stack does not grow with the height of the plan.

use smallvec::SmallVec;

use crate::error::Result;
use crate::promql::analysis::EvaluationPath;
use crate::promql::ast::ValueType;
use crate::promql::plan::steps::Steps;
use crate::promql::plan::{Node, Operator};
use crate::promql::signature::Function;

use super::relabel::Replacement;
use super::vector::{Scalars, Vector, VectorSeries};
use super::{Evaluator, unexpected};

/// The value of an operand. That of a subquery is the vector at the times of its own grid.
pub(crate) enum Operand {
    Vector(Vector),
    Scalars(Scalars),
}

/// The operands of one operator that have been evaluated, until it takes them.
#[derive(Default)]
pub(crate) struct Operands {
    /// By the address of the node.
    values: Vec<(usize, Operand)>,
    /// What `label_replace` made of its strings, which it looks at before its operand is evaluated.
    pub(crate) replacement: Option<Box<Replacement>>,
}

impl Operands {
    /// Puts the value of `node`.
    pub(crate) fn put(&mut self, node: &Node<'_>, value: Operand) {
        self.values.push((std::ptr::from_ref(node).addr(), value));
    }

    fn take(&mut self, node: &Node<'_>) -> Option<Operand> {
        let address = std::ptr::from_ref(node).addr();
        let place = self.values.iter().position(|(other, _)| *other == address)?;
        Some(self.values.remove(place).1)
    }

    /// Takes the value of an operand that is an instant vector, or of a subquery.
    pub(crate) fn vector(&mut self, node: &Node<'_>) -> Result<Vector> {
        match self.take(node) {
            Some(Operand::Vector(vector)) => Ok(vector),
            _ => Err(unexpected(node, ValueType::Vector)),
        }
    }

    /// Takes the value of an operand that is a scalar.
    pub(crate) fn scalars(&mut self, node: &Node<'_>) -> Result<Scalars> {
        match self.take(node) {
            Some(Operand::Scalars(scalars)) => Ok(scalars),
            _ => Err(unexpected(node, ValueType::Scalar)),
        }
    }
}

/// An operator that waits for its operands.
struct Waiting<'n, 'q> {
    node: &'n Node<'q>,
    /// The times at which it is evaluated.
    steps: Steps,
    /// The number of steps that show its one value.
    repeat: Option<usize>,
    /// The operands that are not evaluated yet, the next one last.
    ahead: SmallVec<[&'n Node<'q>; 4]>,
    /// The times of the operands.
    operand_steps: Steps,
    operands: Operands,
    /// The value, if it was found without the operands.
    value: Option<Operand>,
    /// Its number in the analysis.
    record: usize,
}

/// What has to be evaluated before `node`, last one first. Strings and range selectors belong to the operator itself.
fn ahead<'n, 'q>(node: &'n Node<'q>) -> SmallVec<[&'n Node<'q>; 4]> {
    let mut ahead = node.operands();
    if let Operator::Call { .. } = &node.operator {
        // What a function does over a range begins when its scalars are known.
        ahead.sort_by_key(|arg| arg.value_type == ValueType::Matrix);
    }
    ahead.retain(|operand| !matches!(operand.operator, Operator::String(_) | Operator::Range(_)));
    ahead.reverse();
    ahead
}

impl Evaluator<'_> {
    /// Evaluates a node that is an instant vector, or a subquery.
    pub(crate) fn vector(&self, root: &Node<'_>, steps: Steps) -> Result<Vector> {
        match self.evaluate(root, steps)? {
            Operand::Vector(vector) => Ok(vector),
            Operand::Scalars(_) => Err(unexpected(root, ValueType::Vector)),
        }
    }

    /// Evaluates a node that is a scalar.
    pub(crate) fn scalar(&self, root: &Node<'_>, steps: Steps) -> Result<Scalars> {
        match self.evaluate(root, steps)? {
            Operand::Scalars(scalars) => Ok(scalars),
            Operand::Vector(_) => Err(unexpected(root, ValueType::Scalar)),
        }
    }

    fn evaluate(&self, root: &Node<'_>, steps: Steps) -> Result<Operand> {
        let mut waiting = vec![self.begin(root, steps, 0)?];
        while let Some(mut last) = waiting.pop() {
            if let Some(operand) = last.ahead.pop() {
                let steps = last.operand_steps;
                waiting.push(last);
                waiting.push(self.begin(operand, steps, waiting.len())?);
                continue;
            }
            let node = last.node;
            let (record, since, before) = (last.record, self.recorder.now(), self.budget.work());
            let value = self.end(last)?;
            self.recorder.add(record, since, before, self.budget.work());
            if let Operand::Vector(vector) = &value {
                self.recorder.change(record, |operator| operator.series = vector.series.len());
            }
            match waiting.last_mut() {
                Some(above) => above.operands.put(node, value),
                None => return Ok(value),
            }
        }
        Err(unexpected(root, root.value_type))
    }

    /// What is done about an operator before its operands are evaluated.
    fn begin<'n, 'q>(&self, node: &'n Node<'q>, steps: Steps, depth: usize) -> Result<Waiting<'n, 'q>> {
        self.budget.tick(0)?;
        let once = node.is_once(steps);
        let repeat = once.then_some(steps.count());
        let steps = if once { Steps::single(steps.first()) } else { steps };
        let mut operand_steps = steps;
        let (record, before) = (self.recorder.begin(depth, node.range), self.budget.work());
        let since = self.recorder.now();
        if once {
            self.recorder.change(record, |operator| operator.path = EvaluationPath::Once);
        }
        let mut operands = Operands::default();
        let mut value = None;
        match &node.operator {
            Operator::Subquery(subquery) => {
                operand_steps = subquery.steps(steps);
                self.budget.check_subquery_points(operand_steps.count())?;
                if operand_steps.count() == 0 {
                    value = Some(Vector::new(&self.budget));
                }
            }
            Operator::Aggregate(aggregate) => {
                self.check_aggregate(aggregate)?;
                value = self.sum_of_family_rates(aggregate, steps)?;
                if value.is_some() {
                    self.recorder.change(record, |operator| operator.path = EvaluationPath::Families);
                }
            }
            Operator::Call { function: Function::LabelReplace, args } => {
                operands.replacement = Some(Box::new(self.replacement(args, node)?));
            }
            Operator::Call { function, args } => self.check_call(*function, args, node)?,
            _ => {}
        }
        self.recorder.add(record, since, before, self.budget.work());
        let ahead = if value.is_some() { SmallVec::new() } else { ahead(node) };
        let value = value.map(Operand::Vector);
        Ok(Waiting { node, steps, repeat, ahead, operand_steps, operands, value, record })
    }

    /// The value of an operator whose operands are there.
    fn end(&self, mut waiting: Waiting<'_, '_>) -> Result<Operand> {
        let (node, steps) = (waiting.node, waiting.steps);
        let value = match (waiting.value, node.value_type) {
            (Some(value), _) => value,
            (None, ValueType::Scalar) => {
                Operand::Scalars(self.scalar_operator(node, steps, &mut waiting.operands)?)
            }
            (None, _) => Operand::Vector(self.vector_operator(node, steps, &mut waiting.operands)?),
        };
        match (value, waiting.repeat) {
            (value, None) => Ok(value),
            (Operand::Scalars(once), Some(_)) => Ok(Operand::Scalars(Scalars::Constant(once.at(0)))),
            (Operand::Vector(once), Some(count)) => Ok(Operand::Vector(self.repeated(&once, count)?)),
        }
    }

    /// The one value of every series, shown at `count` steps.
    fn repeated(&self, once: &Vector, count: usize) -> Result<Vector> {
        let mut vector = Vector::new(&self.budget);
        for series in &once.series {
            self.budget.tick(count)?;
            vector.push(VectorSeries {
                labels: series.labels.clone(),
                drop_name: series.drop_name,
                column: series.column.repeated(count),
            })?;
        }
        Ok(vector)
    }
}
