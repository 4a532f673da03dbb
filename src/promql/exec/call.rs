//! Function calls, by kind of function.

use crate::error::{Error, ErrorKind, Result};
use crate::model::Labels;
use crate::promql::func::{extremum, math};
use crate::promql::plan::steps::Steps;
use crate::promql::plan::{Node, Operator};
use crate::promql::signature::Function;

use super::Evaluator;
use super::column::Column;
use super::operands::Operands;
use super::vector::{Scalars, Vector};

impl Evaluator<'_> {
    /// Evaluates a function that returns a vector.
    pub(crate) fn call(
        &self,
        function: Function,
        args: &[Node<'_>],
        node: &Node<'_>,
        steps: Steps,
        operands: &mut Operands,
    ) -> Result<Vector> {
        if let Some(compute) = math::of_one(function) {
            let input = match args.first() {
                Some(argument) => operands.vector(argument)?,
                None => self.only(Labels::empty(), time_column(steps))?,
            };
            return self.map_floats(input, steps, |_, value| compute(value));
        }
        match (function, args) {
            (Function::Absent, [argument]) => self.absent(argument, &operands.vector(argument)?, steps),
            (Function::AbsentOverTime, _) => self.absent_over_time(args, steps, operands),
            (Function::Round, [argument, rest @ ..]) => {
                let input = operands.vector(argument)?;
                let to = match rest.first() {
                    Some(to) => operands.scalars(to)?,
                    None => Scalars::Constant(1.0),
                };
                self.map_floats(input, steps, |step, value| math::round(value, to.at(step)))
            }
            (Function::Clamp, [argument, low, high]) => {
                let input = operands.vector(argument)?;
                let (low, high) = (operands.scalars(low)?, operands.scalars(high)?);
                self.clamp(input, &low, &high, steps)
            }
            (Function::ClampMin, [argument, low]) => {
                let input = operands.vector(argument)?;
                let low = operands.scalars(low)?;
                self.clamp(input, &low, &Scalars::Constant(f64::INFINITY), steps)
            }
            (Function::ClampMax, [argument, high]) => {
                let input = operands.vector(argument)?;
                let high = operands.scalars(high)?;
                self.clamp(input, &Scalars::Constant(f64::NEG_INFINITY), &high, steps)
            }
            (Function::Vector_, [argument]) => {
                let values = operands.scalars(argument)?.into_values(steps.count());
                self.only(Labels::empty(), Column::from_floats(values))
            }
            (Function::Timestamp, [argument]) => self.timestamp(argument, operands.vector(argument)?, steps),
            (Function::StartTimestamp, [argument]) => {
                self.start_timestamp(argument, operands.vector(argument)?, steps)
            }
            (Function::Sort | Function::SortDesc | Function::SortByLabel | Function::SortByLabelDesc, _) => {
                self.sort(function, args, node, steps, operands)
            }
            (Function::LabelReplace, [argument, ..]) => {
                let replacement = match operands.replacement.take() {
                    Some(replacement) => replacement,
                    None => Box::new(self.replacement(args, node)?),
                };
                self.label_replace(&replacement, operands.vector(argument)?)
            }
            (Function::LabelJoin, [argument, ..]) => {
                self.label_join(&self.joint(args, node)?, operands.vector(argument)?)
            }
            (Function::HistogramQuantile | Function::HistogramQuantiles | Function::HistogramFraction, _) => {
                self.histogram_function(function, args, node, steps, operands)
            }
            (
                Function::HistogramAvg
                | Function::HistogramCount
                | Function::HistogramStddev
                | Function::HistogramStdvar
                | Function::HistogramSum,
                [argument],
            ) => self.native_histogram_function(function, argument, &operands.vector(argument)?, steps),
            _ => self.range_function(function, args, node, steps, operands),
        }
    }

    /// Refuses arguments that Prometheus refuses before it evaluates any.
    pub(crate) fn check_call(&self, function: Function, args: &[Node<'_>], node: &Node<'_>) -> Result<()> {
        match (function, args) {
            (Function::LabelJoin, _) => self.joint(args, node).map(drop),
            (Function::HistogramQuantiles, [_, name, ..]) => self.label_name(name).map(drop),
            _ => Ok(()),
        }
    }

    /// Evaluates a function that returns a scalar.
    pub(crate) fn scalar_call(
        &self,
        function: Function,
        args: &[Node<'_>],
        node: &Node<'_>,
        steps: Steps,
        operands: &mut Operands,
    ) -> Result<Scalars> {
        match (function, args) {
            (Function::Pi, _) => Ok(Scalars::Constant(std::f64::consts::PI)),
            (Function::Time, _) => Ok(Scalars::Each(steps.times().map(seconds).collect())),
            (Function::MinOf, [a, b]) => Ok(operands.scalars(a)?.zip(&operands.scalars(b)?, extremum::min)),
            (Function::MaxOf, [a, b]) => Ok(operands.scalars(a)?.zip(&operands.scalars(b)?, extremum::max)),
            (Function::Scalar_, [argument]) => {
                let vector = operands.vector(argument)?;
                let mut values = vec![f64::NAN; steps.count()];
                let mut found = vec![0_usize; steps.count()];
                for series in &vector.series {
                    for (step, value) in series.column.floats() {
                        if let (Some(slot), Some(count)) = (values.get_mut(step), found.get_mut(step)) {
                            *count = count.saturating_add(1);
                            *slot = if *count == 1 { value } else { f64::NAN };
                        }
                    }
                }
                Ok(Scalars::Each(values))
            }
            _ => Err(self.not_built(function, node)),
        }
    }

    /// Applies `f` to every float, leaves histograms out and drops the name.
    fn map_floats(&self, mut vector: Vector, steps: Steps, f: impl Fn(usize, f64) -> f64) -> Result<Vector> {
        for series in &mut vector.series {
            self.budget.tick(steps.count())?;
            series.column.drop_histograms();
            series.column.map_floats(&f);
            self.drop_name(series);
        }
        vector.prune();
        self.collect(vector, steps)
    }

    fn clamp(&self, mut vector: Vector, low: &Scalars, high: &Scalars, steps: Steps) -> Result<Vector> {
        for step in 0..steps.count() {
            if high.at(step) < low.at(step) {
                vector.series.iter_mut().for_each(|series| series.column.remove(step));
            }
        }
        self.map_floats(vector, steps, |step, value| {
            extremum::max(low.at(step), extremum::min(high.at(step), value))
        })
    }

    fn timestamp(&self, argument: &Node<'_>, mut vector: Vector, steps: Steps) -> Result<Vector> {
        // A selector has been planned to answer with times already.
        if !matches!(argument.operator, Operator::Instant(_)) {
            for series in &mut vector.series {
                let mut times = Column::absent(steps.count());
                for (step, time) in steps.times().enumerate() {
                    if series.column.is_present(step) {
                        times.set_float(step, seconds(time));
                    }
                }
                series.column = times;
            }
        }
        self.map_floats(vector, steps, |_, value| value)
    }

    fn start_timestamp(&self, argument: &Node<'_>, vector: Vector, steps: Steps) -> Result<Vector> {
        if !self.settings.start_timestamps || !matches!(argument.operator, Operator::Instant(_)) {
            return Ok(Vector::new(&self.budget));
        }
        self.map_floats(vector, steps, |_, value| value)
    }

    /// The value of a string argument.
    pub(crate) fn text(&self, node: &Node<'_>) -> Result<String> {
        match node.operator {
            Operator::String(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
            _ => Err(Error::new(
                ErrorKind::Query,
                format!("expected a string, got a value of type {}", node.value_type.as_str()),
            )),
        }
    }

    /// A function, or a form of it, that this version does not evaluate.
    pub(crate) fn not_built(&self, function: Function, node: &Node<'_>) -> Error {
        let text = format!("function {} is not built", function.signature().name);
        Error::new(ErrorKind::Unsupported, text).at(node.range.start, node.range.end)
    }
}

fn seconds(time: i64) -> f64 {
    time as f64 / 1000.0
}

fn time_column(steps: Steps) -> Column {
    Column::from_floats(steps.times().map(seconds).collect())
}
