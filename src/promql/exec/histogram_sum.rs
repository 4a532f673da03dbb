//! Native histograms in `sum` and `avg`: what a group adds up at one step.

use std::sync::Arc;

use crate::model::histogram::{HistogramMean, HistogramSum, IncompatibleSchemas};
use crate::model::{CounterResetHint, NativeHistogram};
use crate::promql::annotation::HistogramOperation;
use crate::promql::text_range::TextRange;

use super::Evaluator;

/// How the histograms of a group are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Sum,
    Mean,
}

#[derive(Clone, Debug)]
enum Value {
    /// The only one so far.
    One(Arc<NativeHistogram>),
    Sum(HistogramSum),
    Mean(HistogramMean),
}

/// The histograms of one group at one step.
#[derive(Clone, Debug, Default)]
pub(crate) struct HistogramCell {
    /// None where a float came first: the group then has no answer, and there is no point in adding up.
    value: Option<Value>,
    incompatible: bool,
    any_reset: bool,
    any_not_reset: bool,
}

impl HistogramCell {
    /// Whether histograms of both kinds were met: whatever comes later, floats too, is not looked at.
    pub(crate) const fn is_incompatible(&self) -> bool {
        self.incompatible
    }
}

/// What an aggregation noticed while adding up.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The name of the series that is added.
    pub(crate) name: &'a str,
    /// What is aggregated.
    pub(crate) range: TextRange,
}

impl Evaluator<'_> {
    /// Adds a histogram to the cell of its group; `after_float`: whether the group began with a float at this step.
    pub(crate) fn add_histogram(
        &self,
        cell: &mut Option<Box<HistogramCell>>,
        histogram: &Arc<NativeHistogram>,
        after_float: bool,
        wanted: Wanted,
        place: Place<'_>,
    ) {
        let is_first = cell.is_none() && !after_float;
        let cell = cell.get_or_insert_default();
        if cell.incompatible {
            return;
        }
        let value = match cell.value.take() {
            None if is_first => Value::One(histogram.copied_or_shared()),
            None => return,
            Some(value) => {
                let (value, added) = value.with(histogram, wanted);
                match added {
                    Ok(true) => {
                        self.notes.reconciled_buckets(HistogramOperation::Aggregation, place.range);
                    }
                    Ok(false) => {}
                    Err(IncompatibleSchemas) => {
                        cell.incompatible = true;
                        self.notes.mixed_schemas(place.name, place.range);
                    }
                }
                value
            }
        };
        cell.value = Some(value);
        cell.any_reset |= histogram.hint == CounterResetHint::Reset;
        cell.any_not_reset |= histogram.hint == CounterResetHint::NotReset;
    }

    /// The result of a cell whose group has no floats at the step.
    pub(crate) fn finish_histograms(
        &self,
        cell: HistogramCell,
        range: TextRange,
    ) -> Option<Arc<NativeHistogram>> {
        if cell.incompatible {
            return None;
        }
        if cell.any_reset && cell.any_not_reset {
            self.notes.reset_collision(HistogramOperation::Aggregation, range);
        }
        let mut result = match cell.value? {
            Value::One(histogram) => histogram,
            Value::Sum(sum) => Arc::new(sum.total()),
            Value::Mean(mean) => Arc::new(mean.mean()),
        };
        if !result.is_compact() {
            Arc::make_mut(&mut result).compact();
        }
        Some(result)
    }
}

impl Value {
    /// The value with another histogram; whether custom bounds differed.
    fn with(self, histogram: &NativeHistogram, wanted: Wanted) -> (Self, Result<bool, IncompatibleSchemas>) {
        let mut value = match (self, wanted) {
            (Self::One(first), Wanted::Sum) => Self::Sum(HistogramSum::new(Arc::unwrap_or_clone(first))),
            (Self::One(first), Wanted::Mean) => Self::Mean(HistogramMean::new(Arc::unwrap_or_clone(first))),
            (value, _) => value,
        };
        let added = match &mut value {
            Self::One(_) => Ok(false),
            Self::Sum(sum) => sum.add(histogram),
            Self::Mean(mean) => mean.add(histogram),
        };
        (value, added)
    }
}
