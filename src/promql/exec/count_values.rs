//! `count_values`: the value of a sample becomes a label.

use hashbrown::HashMap;

use crate::error::{Error, ErrorKind, Result};
use crate::model::number::{format_f, quote};
use crate::model::{Labels, LabelsBuilder};
use crate::promql::plan::steps::Steps;
use crate::promql::plan::{Aggregate, Operator};

use super::Evaluator;
use super::aggregate::group_labels;
use super::column::Column;
use super::vector::{Vector, VectorSeries};

/// The label that the value becomes.
pub(crate) fn value_label<'q>(aggregate: &Aggregate<'q>) -> Result<&'q str> {
    let name = match aggregate.param.as_ref().map(|param| &param.operator) {
        Some(Operator::String(text)) => *text,
        _ => &[],
    };
    let invalid = || Error::new(ErrorKind::Query, format!("invalid label name {}", quote(name)));
    std::str::from_utf8(name).ok().filter(|name| !name.is_empty()).ok_or_else(invalid)
}

impl Evaluator<'_> {
    pub(crate) fn count_values(
        &self,
        aggregate: &Aggregate<'_>,
        input: &Vector,
        steps: Steps,
    ) -> Result<Vector> {
        let name = value_label(aggregate)?;
        let mut grouping = aggregate.grouping.to_vec();
        if !aggregate.without {
            grouping.push(name.to_owned());
        }
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut counts: Vec<(Labels, Column)> = Vec::new();
        let mut charge = self.budget.charge();
        let column_bytes = (steps.count() as u64).saturating_mul(8);
        let mut found: Vec<(usize, usize)> = Vec::new();
        for series in &input.series {
            let mut place_of = |text: String| -> Result<usize> {
                self.budget.make_labels(text.len())?;
                let mut builder = LabelsBuilder::from_labels(&series.labels);
                builder.set(name, text);
                let labels = group_labels(&builder.build(), &grouping, aggregate.without);
                let columns = counts.len();
                let place = *places.entry(labels).or_insert_with_key(|labels| {
                    counts.push((labels.clone(), Column::absent(steps.count())));
                    counts.len().saturating_sub(1)
                });
                if counts.len() > columns {
                    charge.raise(0, column_bytes)?;
                }
                Ok(place)
            };
            // The same value leads to the same group; values of one series repeat more often than not.
            let mut known: HashMap<u64, usize> = HashMap::new();
            self.budget.tick(steps.count())?;
            for (step, value) in series.column.floats() {
                let place = match known.get(&value.to_bits()) {
                    Some(place) => *place,
                    None => {
                        let place = place_of(format_f(value))?;
                        known.insert(value.to_bits(), place);
                        place
                    }
                };
                found.push((step, place));
            }
            for (step, histogram) in series.column.histograms() {
                found.push((step, place_of(histogram.to_string())?));
            }
            for (step, place) in found.drain(..) {
                if let Some((_, column)) = counts.get_mut(place) {
                    let count = column.float(step).unwrap_or(0.0);
                    column.set_float(step, count + 1.0);
                }
            }
        }
        let mut output = Vector::new(&self.budget);
        for (labels, column) in counts {
            output.push(VectorSeries { labels, drop_name: false, column })?;
        }
        self.collect(output, steps)
    }
}
