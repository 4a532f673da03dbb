//! What a store holds already, and its index learns of: without a look at the limits.

use std::sync::Arc;

use smallvec::SmallVec;

use super::super::options::Limits;
use super::super::segment::PartKind;
use super::item::{column_name, histogram_column, shared_labels};
use super::limits::check_labels;
use super::{ColumnList, Index, ItemRef, SeriesRef};
use crate::chunk::{Column, Layout};
use crate::error::Result;
use crate::model::Labels;
use crate::model::label::METRIC_NAME;

/// The suffix of a column, and the metric name of its series.
pub(super) type ColumnName = (&'static str, Arc<str>);

impl Index {
    /// The series of these labels as a column of its family, both of which are made if they are not there, without a look at the
    /// limits. `None`: no family has such a column.
    pub(crate) fn restore_column(&mut self, labels: &Labels) -> Option<Result<SeriesRef>> {
        let (column, base) = histogram_column(labels)?;
        let item = match self.restore_family(&shared_labels(labels, base), std::slice::from_ref(&column)) {
            Ok(item) => item,
            Err(error) => return Some(Err(error)),
        };
        let Some(ItemRef::Family { columns, .. }) = self.item(item) else { return None };
        let place = columns.iter().position(|own| *own == column)?;
        Some(Ok(SeriesRef { item, column: u32::try_from(place).ok()? }))
    }

    /// The family whose series share these labels, with at least these columns; what it lacks is made without a look at the
    /// limits: for what a store holds already.
    pub(crate) fn restore_family(&mut self, shared: &Labels, wanted: &[Column]) -> Result<u32> {
        let known = self.find_family(shared, shared.metric_name());
        let item = match known {
            Some(item) => item,
            None => self.create_family(shared)?,
        };
        let Some(ItemRef::Family { columns, .. }) = self.item(item) else { return Ok(item) };
        let columns = columns.clone();
        let missing: Vec<Column> =
            wanted.iter().filter(|column| !columns.contains(column)).cloned().collect();
        if missing.is_empty() {
            return Ok(item);
        }
        let missing: Vec<Column> = missing.iter().map(|column| self.interned_column(column)).collect();
        let list = self.columns.list(columns.iter().cloned().chain(missing.iter().cloned()).collect());
        self.add_columns(item, shared, &missing, list);
        Ok(item)
    }

    /// The same without columns and postings, for labels that are symbols of this index. Tells whether it was made.
    pub(super) fn restore_unposted_family(&mut self, shared: &Labels) -> Result<(u32, bool)> {
        let hash = self.shared_hash(shared, shared.metric_name());
        match self.find_family_hashed(shared, shared.metric_name(), hash) {
            Some(item) => Ok((item, false)),
            None => Ok((self.add_family(shared.clone(), hash)?, true)),
        }
    }

    /// A single series without postings, for labels that are symbols of this index. Tells whether it was made.
    pub(super) fn restore_unposted_single(&mut self, labels: &Labels) -> Result<(u32, bool)> {
        let hash = self.hash(labels.iter().map(|label| (&*label.name, &*label.value)));
        if let Some(series) = self.find_single_hashed(labels, hash) {
            return Ok((series.item, false));
        }
        check_labels(labels, &Limits::unlimited())?;
        self.split |= self.find_column(labels).is_some();
        let item = self.add_single(labels.clone(), hash)?;
        self.series_count = self.series_count.saturating_add(1);
        Ok((item, true))
    }

    /// The same for a family that is there, and a layout of this index.
    pub(crate) fn restore_layout(&mut self, item: u32, layout: &Arc<Layout>) -> Result<()> {
        let Some(ItemRef::Family { labels, columns }) = self.item(item) else { return Ok(()) };
        let shared = labels.clone();
        if !columns.is_empty() {
            return self.restore_family(&shared, layout.columns()).map(drop);
        }
        let list = self.columns.laid_out(layout);
        self.add_columns(item, &shared, layout.columns(), list);
        Ok(())
    }

    /// Gives a family columns that it lacks: it has those of the list from here on.
    fn add_columns(&mut self, item: u32, shared: &Labels, missing: &[Column], list: Arc<ColumnList>) {
        let names = self.column_names(shared.metric_name(), missing);
        self.add_named_columns(item, &names, missing, &list);
        let metric_name = self.symbols.intern(METRIC_NAME);
        for (_, name) in &names {
            self.post(&metric_name, name, item);
        }
    }

    /// The metric names of columns, each once, by suffix.
    pub(super) fn column_names(&mut self, base: &str, columns: &[Column]) -> SmallVec<[ColumnName; 3]> {
        let mut names: SmallVec<[ColumnName; 3]> = SmallVec::new();
        for column in columns {
            if names.iter().all(|(suffix, _)| *suffix != column.suffix()) {
                names.push((column.suffix(), self.symbols.intern(&column_name(base, column))));
            }
        }
        names
    }

    /// The same as adding columns, whose names are known, without postings.
    pub(super) fn add_named_columns(
        &mut self,
        item: u32,
        names: &[ColumnName],
        missing: &[Column],
        list: &ColumnList,
    ) {
        if self.idle.contains(item) {
            self.idle_series = self.idle_series.saturating_add(missing.len());
        }
        self.series_count = self.series_count.saturating_add(missing.len());
        let is_suspect = |(_, name): &&ColumnName| self.single_names.contains(name);
        let suspects: SmallVec<[&str; 3]> =
            names.iter().filter(is_suspect).map(|(suffix, _)| *suffix).collect();
        let is_single = |column: &Column| {
            let known = self.item(item).map(|item| item.to_item().series_labels(column));
            known.is_some_and(|labels| self.find_single(&labels).is_some())
        };
        self.split |= missing.iter().filter(|column| suspects.contains(&column.suffix())).any(is_single);
        self.set_columns(item, list);
    }

    /// The single series with these labels, whatever histogram they look like; made without a look at the limits.
    pub(crate) fn restore_single(&mut self, labels: &Labels) -> Result<SeriesRef> {
        if let Some(series) = self.find_single(labels) {
            return Ok(series);
        }
        check_labels(labels, &Limits::unlimited())?;
        self.split |= self.find_column(labels).is_some();
        let series = self.create_single(labels)?;
        self.series_count = self.series_count.saturating_add(1);
        Ok(series)
    }

    /// Whether a histogram has all columns of a layout.
    pub(crate) fn has_columns(&self, item: u32, layout: &Arc<Layout>) -> bool {
        let Some(ItemRef::Family { columns, .. }) = self.item(item) else { return false };
        let known = columns.layout();
        Arc::ptr_eq(known, layout) || layout.columns().iter().all(|column| known.position(column).is_some())
    }

    /// An item of a segment, which is made here if it is not there; with the columns of these layouts if it is a histogram. What
    /// is made is not appended to. `None`: there can be no such item.
    pub(crate) fn restore(
        &mut self,
        labels: &Labels,
        kind: PartKind,
        layouts: &[&Arc<Layout>],
    ) -> Option<Result<SeriesRef>> {
        let known = self.made_items;
        let restored = match kind {
            PartKind::Single => self.restore_single(labels),
            PartKind::Column => self.restore_column(labels)?,
            PartKind::Family => {
                let mut item = self.restore_family(labels, &[]);
                for layout in layouts {
                    // Most histograms are known by then, with all of their columns.
                    if item.as_ref().is_ok_and(|item| !self.has_columns(*item, layout)) {
                        item = self.restore_family(labels, layout.columns());
                    }
                }
                item.map(|item| SeriesRef { item, column: 0 })
            }
        };
        if let Ok(series) = &restored
            && self.made_items > known
        {
            self.rest(series.item);
        }
        Some(restored)
    }
}
