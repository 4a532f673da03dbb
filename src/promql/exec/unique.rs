//! Series with equal labels: merged, or refused.

use hashbrown::HashMap;

use crate::error::{Error, ErrorKind, Result};
use crate::model::Labels;

use super::Evaluator;
use super::vector::{Vector, VectorSeries};
use crate::promql::plan::steps::Steps;

/// What Prometheus says when two series of a result have equal labels.
pub(crate) fn same_labels() -> Error {
    Error::new(ErrorKind::Query, "vector cannot contain metrics with the same labelset")
}

/// Whether no two series have equal labels.
fn are_unique(series: &[VectorSeries]) -> bool {
    // Series usually rise by their labels, which proves it without hashing.
    if series.windows(2).all(|pair| matches!(pair, [a, b] if a.labels < b.labels)) {
        return true;
    }
    let mut seen: Vec<&Labels> = series.iter().map(|series| &series.labels).collect();
    seen.sort_unstable();
    seen.windows(2).all(|pair| matches!(pair, [a, b] if a != b))
}

/// Refuses equal labels, even if the series never meet.
pub(crate) fn refuse_equal(vector: Vector) -> Result<Vector> {
    if are_unique(&vector.series) { Ok(vector) } else { Err(same_labels()) }
}

/// Merges series with equal labels; `any_kind`: whether a float and a histogram at one step collide.
pub(crate) fn merge_equal(mut vector: Vector, any_kind: bool) -> Result<Vector> {
    if are_unique(&vector.series) {
        return Ok(vector);
    }
    let series = std::mem::take(&mut vector.series);
    let mut merged: Vec<VectorSeries> = Vec::with_capacity(series.len());
    let mut places: HashMap<Labels, usize> = HashMap::with_capacity(series.len());
    for series in series {
        let place = *places.entry(series.labels.clone()).or_insert(merged.len());
        match merged.get_mut(place) {
            None => merged.push(series),
            Some(kept) => {
                // A series that grows step by step has the flag of its first sample.
                if any_kind && series.column.first_step() < kept.column.first_step() {
                    kept.drop_name = series.drop_name;
                }
                if !kept.column.merge(&series.column, any_kind) {
                    return Err(same_labels());
                }
            }
        }
    }
    vector.series = merged;
    Ok(vector)
}

impl Evaluator<'_> {
    /// What an operator that works step by step does with its outputs: over several steps the samples of equal labels
    /// form one series and may not meet; at a single step equal labels are refused unless names are removed later.
    pub(crate) fn collect(&self, vector: Vector, steps: Steps) -> Result<Vector> {
        if !steps.is_single() {
            return merge_equal(vector, true);
        }
        if self.settings.delayed_name_removal { Ok(vector) } else { refuse_equal(vector) }
    }

    /// Drops the name of a series: at once, or by a flag when removal is delayed.
    pub(crate) fn drop_name(&self, series: &mut VectorSeries) {
        if self.settings.delayed_name_removal {
            series.drop_name = true;
        } else {
            series.labels = series.labels.without_metadata();
        }
    }
}

/// Removes the names of flagged series, at the end of a query.
pub(crate) fn remove_flagged_names(mut vector: Vector) -> Result<Vector> {
    for series in &mut vector.series {
        if series.drop_name {
            series.labels = series.labels.without_metadata();
            series.drop_name = false;
        }
    }
    merge_equal(vector, false)
}
