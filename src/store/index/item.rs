//! What is indexed as one thing, and how the labels of a classic histogram's series go together.

use std::sync::Arc;

use smallvec::SmallVec;

use super::columns::ColumnList;
use crate::chunk::Column;
use crate::model::label::{BUCKET_BOUND, METRIC_NAME};
use crate::model::{Label, Labels, LabelsBuilder};

/// A series: an item, and which of its columns. A single series is column 0 of its item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SeriesRef {
    pub(crate) item: u32,
    pub(crate) column: u32,
}

/// What is indexed as one thing.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// One series with these labels.
    Single(Labels),
    /// A classic histogram: the labels that its series share, under the base name, and its columns in the order
    /// in which they came.
    Family { labels: Labels, columns: Arc<ColumnList> },
}

/// The same, as the index has it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ItemRef<'a> {
    Single(&'a Labels),
    Family { labels: &'a Labels, columns: &'a Arc<ColumnList> },
}

impl ItemRef<'_> {
    pub(crate) fn to_item(self) -> Item {
        match self {
            Self::Single(labels) => Item::Single(labels.clone()),
            Self::Family { labels, columns } => {
                Item::Family { labels: labels.clone(), columns: columns.clone() }
            }
        }
    }
}

impl Item {
    /// The labels of one column's series.
    pub(crate) fn series_labels(&self, column: &Column) -> Labels {
        let bound = match column {
            Column::Bucket(bound) => Some(Label { name: BUCKET_BOUND.into(), value: bound.clone() }),
            Column::Count | Column::Sum => None,
        };
        self.column_labels(column, bound)
    }

    fn column_labels(&self, column: &Column, mut bound: Option<Label>) -> Labels {
        let labels = match self {
            Self::Single(labels) => return labels.clone(),
            Self::Family { labels, .. } => labels,
        };
        let mut pairs: SmallVec<[Label; 24]> = SmallVec::with_capacity(labels.len().saturating_add(1));
        for label in labels {
            if let Some(bound) = bound.take_if(|bound| bound.name < label.name) {
                pairs.push(bound);
            }
            pairs.push(match &*label.name {
                METRIC_NAME => {
                    let value = column_name(&label.value, column).into();
                    Label { name: label.name.clone(), value }
                }
                _ => label.clone(),
            });
        }
        pairs.extend(bound);
        Labels::from_sorted(pairs.into_iter().collect::<Arc<[Label]>>())
    }
}

/// The metric name of the column's series.
pub(crate) fn column_name(base: &str, column: &Column) -> String {
    let mut name = String::with_capacity(base.len().saturating_add(7));
    name.push_str(base);
    name.push_str(column.suffix());
    name
}

/// How a metric name splits into a classic histogram's base name and the suffix of one of its columns.
pub(super) fn split_name<'a>(labels: &'a Labels, bound: Option<&Label>) -> Option<(&'a str, &'static str)> {
    let name = labels.metric_name();
    let suffixes: &[&'static str] = if bound.is_some() { &["_bucket"] } else { &["_count", "_sum"] };
    let (base, suffix) = suffixes.iter().find_map(|suffix| Some((name.strip_suffix(suffix)?, *suffix)))?;
    (!base.is_empty()).then_some((base, suffix))
}

/// The column that labels name and its base name, if they look like a classic histogram's.
pub(crate) fn histogram_column(labels: &Labels) -> Option<(Column, &str)> {
    let bound = labels.label(BUCKET_BOUND);
    let (base, suffix) = split_name(labels, bound)?;
    let column = match (bound, suffix) {
        (Some(bound), _) => {
            bound.value.parse::<f64>().ok().filter(|bound| !bound.is_nan())?;
            Column::Bucket(bound.value.clone())
        }
        (None, "_count") => Column::Count,
        (None, _) => Column::Sum,
    };
    Some((column, base))
}

/// The labels that a series of a histogram with this base name shares with its others.
pub(crate) fn shared_labels(labels: &Labels, base: &str) -> Labels {
    let mut shared = LabelsBuilder::from_labels(labels);
    shared.set(METRIC_NAME, base).remove(BUCKET_BOUND);
    shared.build()
}

/// Whether a family with the labels `own` is the one of a series with these labels, whose name splits into `base` and a suffix.
pub(crate) fn is_shared(own: &Labels, labels: &Labels, base: &str) -> bool {
    let mut own = own.iter();
    let mut rest = labels.iter().filter(|label| *label.name != *BUCKET_BOUND);
    let same = rest.all(|label| {
        own.next().is_some_and(|own| match &*label.name {
            METRIC_NAME => *own.name == *METRIC_NAME && *own.value == *base,
            _ => own == label,
        })
    });
    same && own.next().is_none()
}
