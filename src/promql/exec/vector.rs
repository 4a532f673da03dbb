//! What operators hand to one another: series known once, values for all steps in columns.

use crate::error::Result;
use crate::model::Labels;

use super::budget::{Budget, Charge};
use super::column::Column;

/// One series of an operator's output.
#[derive(Clone, Debug)]
pub(crate) struct VectorSeries {
    pub(crate) labels: Labels,
    /// Whether the name is to be dropped once the query is done (delayed name removal).
    pub(crate) drop_name: bool,
    pub(crate) column: Column,
}

/// The output of an operator. Every series has a sample somewhere; the order is the input's.
#[derive(Debug)]
pub(crate) struct Vector {
    pub(crate) series: Vec<VectorSeries>,
    charge: Charge,
}

impl Vector {
    /// Without series.
    pub(crate) fn new(budget: &Budget) -> Self {
        Self { series: Vec::new(), charge: budget.charge() }
    }

    /// Adds a series, unless it has no sample.
    ///
    /// # Errors
    ///
    /// The limit on samples or memory is passed.
    pub(crate) fn push(&mut self, series: VectorSeries) -> Result<()> {
        if series.column.is_empty() {
            return Ok(());
        }
        self.charge.raise(series.column.weight(), series.column.bytes())?;
        self.series.push(series);
        Ok(())
    }

    /// Removes the series that have no sample left.
    pub(crate) fn prune(&mut self) {
        self.series.retain(|series| !series.column.is_empty());
    }
}

/// One float per step.
#[derive(Clone, Debug)]
pub(crate) enum Scalars {
    /// The same at every step.
    Constant(f64),
    /// One for each step.
    Each(Vec<f64>),
}

impl Scalars {
    /// The value at `step`.
    #[inline]
    pub(crate) fn at(&self, step: usize) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Each(values) => values.get(step).copied().unwrap_or(f64::NAN),
        }
    }

    /// Applies `f` to every value.
    pub(crate) fn map(self, f: impl Fn(f64) -> f64) -> Self {
        match self {
            Self::Constant(value) => Self::Constant(f(value)),
            Self::Each(values) => Self::Each(values.into_iter().map(f).collect()),
        }
    }

    /// Applies `f` to the values of both, step by step.
    pub(crate) fn zip(self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Self {
        match (self, other) {
            (Self::Constant(a), Self::Constant(b)) => Self::Constant(f(a, *b)),
            (Self::Constant(a), Self::Each(b)) => Self::Each(b.iter().map(|b| f(a, *b)).collect()),
            (Self::Each(a), Self::Constant(b)) => Self::Each(a.into_iter().map(|a| f(a, *b)).collect()),
            (Self::Each(a), Self::Each(b)) => {
                Self::Each(a.into_iter().zip(b).map(|(a, b)| f(a, *b)).collect())
            }
        }
    }

    /// All values of `steps` steps.
    pub(crate) fn into_values(self, steps: usize) -> Vec<f64> {
        match self {
            Self::Constant(value) => vec![value; steps],
            Self::Each(values) => values,
        }
    }

    /// All distinct runs of values: one value if constant, else every step's.
    pub(crate) fn iter(&self, steps: usize) -> impl Iterator<Item = f64> {
        let count = match self {
            Self::Constant(_) => steps.min(1),
            Self::Each(_) => steps,
        };
        (0..count).map(|step| self.at(step))
    }
}
