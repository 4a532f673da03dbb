//! Which columns a classic histogram has.

use std::sync::Arc;

/// One column of a classic histogram.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Column {
    /// `x_bucket` with this `le`, exactly as written.
    Bucket(Arc<str>),
    /// `x_count`
    Count,
    /// `x_sum`
    Sum,
}

impl Column {
    /// What the metric name of the column's series has after the base name.
    pub(crate) fn suffix(&self) -> &'static str {
        match self {
            Self::Bucket(_) => "_bucket",
            Self::Count => "_count",
            Self::Sum => "_sum",
        }
    }
}

/// The columns of a classic histogram: buckets by bound, then count, then sum.
#[derive(Debug, PartialEq)]
pub(crate) struct Layout {
    columns: Vec<Column>,
    /// The parsed bounds of the buckets, not falling.
    bounds: Vec<f64>,
    count: Option<usize>,
    sum: Option<usize>,
    sum_scale: f64,
}

impl Layout {
    /// The layout of these columns, in whatever order they are given. A bucket whose bound is no number stands last.
    pub(crate) fn new(mut columns: Vec<Column>) -> Self {
        let key = |column: &Column| match column {
            Column::Bucket(text) => (0_u8, bound(text)),
            Column::Count => (1, 0.0),
            Column::Sum => (2, 0.0),
        };
        columns.sort_by(|a, b| {
            let ((kind_a, bound_a), (kind_b, bound_b)) = (key(a), key(b));
            let text = |column: &Column| match column {
                Column::Bucket(text) => text.clone(),
                Column::Count | Column::Sum => Arc::from(""),
            };
            kind_a.cmp(&kind_b).then(bound_a.total_cmp(&bound_b)).then_with(|| text(a).cmp(&text(b)))
        });
        columns.dedup();
        let bounds: Vec<f64> = columns
            .iter()
            .filter_map(|column| match column {
                Column::Bucket(text) => Some(bound(text)),
                Column::Count | Column::Sum => None,
            })
            .collect();
        let count = columns.iter().position(|column| *column == Column::Count);
        let sum = columns.iter().position(|column| *column == Column::Sum);
        let widest = bounds.iter().copied().filter(|bound| bound.is_finite()).fold(0.0, f64::max);
        let sum_scale = if widest < MILLISECONDS { 1e9 } else { 1e6 };
        Self { columns, bounds, count, sum, sum_scale }
    }

    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// How many columns there are.
    pub(crate) fn width(&self) -> usize {
        self.columns.len()
    }

    /// The parsed bounds of the buckets, which are the first columns.
    pub(crate) fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    /// Which column this is.
    pub(crate) fn position(&self, column: &Column) -> Option<usize> {
        self.columns.iter().position(|other| other == column)
    }

    pub(crate) fn count_column(&self) -> Option<usize> {
        self.count
    }

    pub(crate) fn sum_column(&self) -> Option<usize> {
        self.sum
    }

    /// What makes sums of durations whole numbers of nanoseconds, going by the largest finite bound. A wrong guess costs
    /// bytes, nothing else.
    pub(crate) fn sum_scale(&self) -> f64 {
        self.sum_scale
    }
}

/// A largest bound from here on is taken for milliseconds, one below for seconds.
const MILLISECONDS: f64 = 500.0;

/// The bound that an `le` value names; NaN if it is no number.
fn bound(text: &str) -> f64 {
    text.parse().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_stand_in_bound_order_then_count_then_sum() {
        let bucket = |text: &str| Column::Bucket(Arc::from(text));
        let layout = Layout::new(vec![
            Column::Sum,
            bucket("+Inf"),
            Column::Count,
            bucket("10"),
            bucket("2.0"),
            bucket("2"),
            bucket("10"),
        ]);
        assert_eq!(
            layout.columns(),
            [bucket("2"), bucket("2.0"), bucket("10"), bucket("+Inf"), Column::Count, Column::Sum]
        );
        assert_eq!(layout.bounds(), [2.0, 2.0, 10.0, f64::INFINITY]);
        assert_eq!(layout.sum_column(), Some(5));
    }
}
