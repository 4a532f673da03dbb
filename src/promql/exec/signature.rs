//! Match signatures: the labels by which the samples of two vectors find each other, as small numbers.

use hashbrown::HashMap;

use crate::model::label::METRIC_NAME;
use crate::model::{Label, Labels};
use crate::promql::ast::VectorMatching;

use super::vector::VectorSeries;

/// Numbers the signatures of series, once per series.
pub(crate) struct Signatures<'a> {
    matching: &'a VectorMatching,
    ids: HashMap<Labels, usize>,
    labels: Vec<Labels>,
}

impl<'a> Signatures<'a> {
    pub(crate) fn new(matching: &'a VectorMatching) -> Self {
        Self { matching, ids: HashMap::new(), labels: Vec::new() }
    }

    /// The number of each series' signature.
    pub(crate) fn ids(&mut self, series: &[VectorSeries]) -> Vec<usize> {
        series
            .iter()
            .map(|series| {
                let signature = match_labels(&series.labels, self.matching);
                let next = self.labels.len();
                *self.ids.entry(signature).or_insert_with_key(|signature| {
                    self.labels.push(signature.clone());
                    next
                })
            })
            .collect()
    }

    /// How many signatures there are.
    pub(crate) fn count(&self) -> usize {
        self.labels.len()
    }

    /// The labels of a signature.
    pub(crate) fn labels(&self, id: usize) -> Labels {
        self.labels.get(id).cloned().unwrap_or_else(Labels::empty)
    }
}

/// The labels that have to be equal.
pub(crate) fn match_labels(labels: &Labels, matching: &VectorMatching) -> Labels {
    labels.filtered(|label| is_matched(label, matching))
}

fn is_matched(label: &Label, matching: &VectorMatching) -> bool {
    let listed = matching.labels.iter().any(|name| **name == *label.name);
    if matching.on { listed } else { !listed && &*label.name != METRIC_NAME }
}
