//! From the root of a plan to the value of the query.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Labels, SampleBuffer, SampleValue, Timestamp};
use crate::promql::ast::{Extension, ValueType};
use crate::promql::func::{Samples, extended};
use crate::promql::plan::steps::Steps;
use crate::promql::plan::{Node, Operator};
use crate::promql::value::{MatrixSeries, Value, VectorSample};

use super::Evaluator;
use super::column::Column;
use super::operands::{Operand, Operands};
use super::range::{Slider, bounds, range_argument};
use super::unique::remove_flagged_names;
use super::vector::{Vector, VectorSeries};

impl Evaluator<'_> {
    /// The value of an instant query.
    pub(crate) fn instant_value(&self, root: &Node<'_>, time: i64) -> Result<Value> {
        let steps = Steps::single(time);
        match root.value_type {
            ValueType::Scalar => Ok(Value::Scalar(self.scalar(root, steps)?.at(0))),
            ValueType::String => Ok(Value::String(self.text(root)?)),
            ValueType::Matrix => self.points(root, steps),
            ValueType::Vector => {
                let vector = self.named(self.vector(root, steps)?)?;
                self.budget.check_result(vector.series.len())?;
                let samples = vector.series.iter().filter_map(|series| {
                    // Where merged series have both, Prometheus shows the histogram.
                    let value = match series.column.histogram(0) {
                        Some(histogram) => SampleValue::Histogram(Arc::clone(histogram)),
                        None => SampleValue::Float(series.column.float(0)?),
                    };
                    Some(VectorSample {
                        labels: series.labels.clone(),
                        timestamp: Timestamp::from_millis(time),
                        value,
                    })
                });
                Ok(Value::Vector(samples.collect()))
            }
        }
    }

    /// The value of a range query.
    pub(crate) fn range_value(&self, root: &Node<'_>, steps: Steps) -> Result<Value> {
        let vector = match root.value_type {
            ValueType::Vector => self.named(self.vector(root, steps)?)?,
            ValueType::Scalar => {
                let values = self.scalar(root, steps)?.into_values(steps.count());
                self.only(Labels::empty(), Column::from_floats(values))?
            }
            ValueType::String | ValueType::Matrix => return Err(super::unexpected(root, ValueType::Vector)),
        };
        self.budget.check_result(vector.series.len())?;
        let mut matrix: Vec<MatrixSeries> =
            vector.series.iter().map(|series| matrix_series(series, steps)).collect();
        matrix.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(Value::Matrix(matrix))
    }

    /// Removes the names that were only flagged.
    fn named(&self, vector: Vector) -> Result<Vector> {
        if self.settings.delayed_name_removal { remove_flagged_names(vector) } else { Ok(vector) }
    }

    /// The points of a range selector or subquery.
    fn points(&self, root: &Node<'_>, steps: Steps) -> Result<Value> {
        let Some((_, window, extension)) = range_argument(std::slice::from_ref(root)) else {
            return Err(super::unexpected(root, ValueType::Matrix));
        };
        let bounds = bounds(window, steps.first());
        let mut matrix = Vec::new();
        let mut operands = Operands::default();
        if matches!(root.operator, Operator::Subquery(_)) {
            operands.put(root, Operand::Vector(self.vector(root, steps)?));
        }
        self.for_each_range_series(root, steps, &mut operands, true, |series| {
            let mut slider = Slider::default();
            let samples = slider.at(
                series.samples,
                bounds.start.saturating_sub(window.before),
                bounds.end.saturating_add(window.after),
            );
            let samples = match extension {
                None => copied(&samples),
                Some(extension) => {
                    if !samples.histograms.is_empty() {
                        let word = match extension {
                            Extension::Anchored => "anchored",
                            Extension::Smoothed => "smoothed",
                        };
                        let text = format!("{word} modifier is not supported with histograms");
                        return Err(Error::new(ErrorKind::Query, text));
                    }
                    let mut buffer = SampleBuffer::default();
                    for (time, value) in extended::points(&samples, bounds, extension) {
                        buffer.push_float(time, value, 0);
                    }
                    buffer
                }
            };
            if !samples.is_empty() {
                let labels =
                    if series.drop_name { series.labels.without_metadata() } else { series.labels.clone() };
                matrix.push(MatrixSeries { labels, samples });
            }
            Ok(())
        })?;
        if matches!(root.operator, Operator::Subquery(_)) {
            matrix = merged(matrix)?;
        }
        matrix.sort_by(|a, b| a.labels.cmp(&b.labels));
        self.budget.check_result(matrix.len())?;
        Ok(Value::Matrix(matrix))
    }
}

fn copied(samples: &Samples<'_>) -> SampleBuffer {
    SampleBuffer {
        times: samples.times.to_vec(),
        values: samples.values.to_vec(),
        starts: samples.starts.to_vec(),
        histograms: samples.histograms.to_vec(),
    }
}

fn matrix_series(series: &VectorSeries, steps: Steps) -> MatrixSeries {
    let mut samples = SampleBuffer::default();
    for (step, value) in series.column.floats() {
        samples.push_float(steps.time(step), value, 0);
    }
    for (step, histogram) in series.column.histograms() {
        samples.histograms.push((steps.time(step), Arc::clone(histogram), 0));
    }
    MatrixSeries { labels: series.labels.clone(), samples }
}

/// Merges series whose labels became equal when flagged names were removed.
fn merged(matrix: Vec<MatrixSeries>) -> Result<Vec<MatrixSeries>> {
    let mut merged: Vec<MatrixSeries> = Vec::with_capacity(matrix.len());
    let mut sorted = matrix;
    sorted.sort_by(|a, b| a.labels.cmp(&b.labels));
    for series in sorted {
        match merged.last_mut() {
            Some(last) if last.labels == series.labels => {
                last.samples = union(&last.samples, &series.samples)?;
            }
            _ => merged.push(series),
        }
    }
    Ok(merged)
}

/// The samples of both in time order; two of a kind at one time are an error.
fn union(a: &SampleBuffer, b: &SampleBuffer) -> Result<SampleBuffer> {
    let mut floats: Vec<(i64, f64)> =
        a.times.iter().zip(&a.values).chain(b.times.iter().zip(&b.values)).map(|(t, v)| (*t, *v)).collect();
    floats.sort_by_key(|(time, _)| *time);
    let mut histograms: Vec<_> = a.histograms.iter().chain(&b.histograms).cloned().collect();
    histograms.sort_by_key(|(time, ..)| *time);
    let floats_collide = floats.windows(2).any(|pair| matches!(pair, [a, b] if a.0 == b.0));
    if floats_collide || histograms.windows(2).any(|pair| matches!(pair, [a, b] if a.0 == b.0)) {
        return Err(Error::new(ErrorKind::Query, "vector cannot contain metrics with the same labelset"));
    }
    let mut union = SampleBuffer { histograms, ..SampleBuffer::default() };
    for (time, value) in floats {
        union.push_float(time, value, 0);
    }
    Ok(union)
}
