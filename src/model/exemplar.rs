//! Single observations that samples were made of.

use super::{Labels, Timestamp};

/// One observation behind the samples of a series, with the labels of its trace: `trace_id` names the trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// The exemplar's own labels, not those of its series.
    pub labels: Labels,
    /// The observed value, in the unit of the series' metric.
    pub value: f64,
    /// When it was observed.
    pub timestamp: Timestamp,
}

impl Exemplar {
    /// The id of the trace: the label `trace_id`, or one of the other names that clients give it.
    pub fn trace_id(&self) -> Option<&str> {
        ["trace_id", "traceID", "traceid"].into_iter().find_map(|name| self.labels.get(name))
    }

    /// Whether it is the same observation, whenever it was told: a scrape repeats the newest one of each series.
    pub(crate) fn repeats(&self, other: &Self) -> bool {
        self.value.to_bits() == other.value.to_bits() && self.labels == other.labels
    }
}

/// The exemplars of one series.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SeriesExemplars {
    /// The labels of the series.
    pub labels: Labels,
    /// Its exemplars, in time order.
    pub exemplars: Vec<Exemplar>,
}

impl SeriesExemplars {
    /// The exemplars of the series with these labels; they are put in time order.
    pub fn new(labels: Labels, mut exemplars: Vec<Exemplar>) -> Self {
        exemplars.sort_by_key(|exemplar| exemplar.timestamp);
        Self { labels, exemplars }
    }
}
