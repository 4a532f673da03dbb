//! Whole rows of classic histograms on their way into a store.

use std::sync::Arc;

use super::super::index::{ColumnList, SeriesRef};
use crate::chunk::Layout;
use crate::model::{Sample, Timestamp};

/// Rows, and their values one row after the other.
#[derive(Debug, Default)]
pub(in super::super) struct Rows {
    placed: Vec<Placed>,
    values: Vec<f64>,
    layouts: Vec<Arc<Layout>>,
    /// How many values the batch before had.
    usual: usize,
}

/// Where a row belongs, and where its values begin.
#[derive(Clone, Copy, Debug)]
struct Placed {
    item: u32,
    layout: u32,
    time: Timestamp,
    start: usize,
}

/// A whole row of a classic histogram.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Row<'a> {
    pub(in super::super) item: u32,
    pub(in super::super) layout: &'a Arc<Layout>,
    pub(in super::super) time: Timestamp,
    pub(in super::super) values: &'a [f64],
}

impl Rows {
    /// No rows yet, for a batch that will probably have about as many values as the one before.
    pub(in super::super) fn like(usual: usize) -> Self {
        Self { usual, ..Self::default() }
    }

    /// Appends a row: a value for each column of the layout.
    pub(in super::super) fn push(
        &mut self,
        item: u32,
        layout: &Arc<Layout>,
        time: Timestamp,
        buckets: &[f64],
        count_and_sum: [f64; 2],
    ) {
        let start = self.values.len();
        let width = buckets.len().saturating_add(count_and_sum.len());
        if self.values.capacity().wrapping_sub(start) < width {
            self.grow(width);
        }
        self.values.extend_from_slice(buckets);
        self.values.extend_from_slice(&count_and_sum);
        let layout = self.layout_number(layout);
        self.placed.push(Placed { item, layout, time, start });
    }

    /// Grows to what the batch before had, at once, if this one has come some way.
    #[cold]
    fn grow(&mut self, width: usize) {
        let held = self.values.len();
        let wanted = if held >= self.usual / 8 { self.usual.saturating_sub(held) } else { 0 };
        self.values.reserve(width.max(wanted));
        self.placed.reserve(wanted.checked_div(width).unwrap_or(0));
    }

    fn layout_number(&mut self, layout: &Arc<Layout>) -> u32 {
        let known = self.layouts.iter().rposition(|known| Arc::ptr_eq(known, layout));
        let number = known.unwrap_or_else(|| {
            self.layouts.push(layout.clone());
            self.layouts.len().saturating_sub(1)
        });
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    /// How many samples the rows are.
    pub(in super::super) fn sample_count(&self) -> usize {
        self.values.len()
    }

    pub(in super::super) fn is_empty(&self) -> bool {
        self.placed.is_empty()
    }

    pub(in super::super) fn clear(&mut self) {
        self.placed.clear();
        self.values.clear();
        self.layouts.clear();
    }

    /// Puts the rows into the order of item and time.
    pub(in super::super) fn sort(&mut self) {
        self.placed.sort_by_key(|row| (row.item, row.time));
    }

    pub(in super::super) fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        self.placed.iter().filter_map(|placed| self.row(placed))
    }

    /// The rows of each item: the first one, and an iterator over all.
    pub(super) fn by_item(&self) -> impl Iterator<Item = (Row<'_>, usize, impl Iterator<Item = Row<'_>>)> {
        self.placed.chunk_by(|a, b| a.item == b.item).filter_map(|part| {
            let first = self.row(part.first()?)?;
            Some((first, part.len(), part.iter().filter_map(|placed| self.row(placed))))
        })
    }

    #[inline]
    fn row(&self, placed: &Placed) -> Option<Row<'_>> {
        let layout = self.layouts.get(placed.layout as usize)?;
        let values = self.values.get(placed.start..placed.start.checked_add(layout.width())?)?;
        Some(Row { item: placed.item, layout, time: placed.time, values })
    }
}

impl Row<'_> {
    /// The row as samples of its columns' series.
    pub(in super::super) fn samples(
        &self,
        columns: &ColumnList,
    ) -> impl Iterator<Item = (SeriesRef, Sample)> {
        self.layout.columns().iter().zip(self.values).filter_map(|(column, value)| {
            let position = columns.iter().position(|own| own == column)?;
            let series = SeriesRef { item: self.item, column: u32::try_from(position).ok()? };
            Some((series, Sample::float(self.time, *value)))
        })
    }
}
