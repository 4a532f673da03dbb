//! Series and histograms of a store that are found once, and appended to again and again.

use std::sync::Arc;

#[cfg(test)]
use super::Store;
use super::append::{Appender, UNKNOWN};
use super::index::SeriesRef;
use super::pin::Found;
use crate::chunk::Layout;
use crate::error::Result;
use crate::model::Labels;

/// A series of one store, found once: appending through it needs no look-up.
///
/// It does not keep the series: one of which nothing is left leaves the store, and is made again when something is appended
/// through its handle.
#[derive(Clone, Debug)]
pub struct SeriesHandle {
    series: Found,
    labels: Labels,
    token: Arc<()>,
}

/// A classic histogram of one store, found once: rows are appended through it.
///
/// It does not keep the histogram: one of which nothing is left leaves the store, and is made again when something is
/// appended through its handle.
#[derive(Clone, Debug)]
pub struct FamilyHandle {
    item: Found,
    labels: Labels,
    layout: Arc<Layout>,
    token: Arc<()>,
}

impl SeriesHandle {
    /// `series` was found for this appender.
    pub(super) fn new(appender: &Appender, series: SeriesRef, labels: &Labels) -> Self {
        let (series, token) = (Found::new(series, &appender.pin), appender.store.inner.token.clone());
        Self { series, labels: labels.clone(), token }
    }

    pub(super) fn labels(&self) -> &Labels {
        &self.labels
    }

    /// What ties it to its store.
    pub(super) fn token(&self) -> &Arc<()> {
        &self.token
    }

    /// The series, for the next sample of the appender's batch.
    #[inline]
    pub(super) fn series_for(&self, appender: &mut Appender) -> SeriesRef {
        self.series.get(&appender.pin).unwrap_or_else(|| self.found_again(appender))
    }

    /// The item's number, if nobody who begins now has to look for it.
    #[cfg(test)]
    pub(super) fn number_in(&self, store: &Store) -> Option<u32> {
        self.series.get(&store.inner.pins.pin()).map(|series| series.item)
    }

    #[inline(never)]
    fn found_again(&self, appender: &mut Appender) -> SeriesRef {
        let found = appender.store.inner.index.read().find(&self.labels);
        if let Some(series) = found {
            self.series.set(series, &appender.pin);
            return series;
        }
        appender.unknown.push((appender.samples.len(), self.labels.clone()));
        UNKNOWN
    }
}

impl FamilyHandle {
    /// `item` was found for this appender.
    pub(super) fn new(appender: &Appender, item: u32, labels: &Labels, layout: Arc<Layout>) -> Self {
        let (found, token) = (Found::new(rows_of(item), &appender.pin), appender.store.inner.token.clone());
        Self { item: found, labels: labels.clone(), layout, token }
    }

    pub(super) fn labels(&self) -> &Labels {
        &self.labels
    }

    pub(super) fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// What ties it to its store.
    pub(super) fn token(&self) -> &Arc<()> {
        &self.token
    }

    /// The histogram, for the next row of the appender's batch.
    #[inline]
    pub(super) fn item_for(&self, appender: &Appender) -> Result<u32> {
        match self.item.get(&appender.pin) {
            Some(found) => Ok(found.item),
            None => self.found_again(appender),
        }
    }

    /// The item's number, if nobody who begins now has to look for it.
    #[cfg(test)]
    pub(super) fn number_in(&self, store: &Store) -> Option<u32> {
        self.item.get(&store.inner.pins.pin()).map(|found| found.item)
    }

    #[inline(never)]
    fn found_again(&self, appender: &Appender) -> Result<u32> {
        let last = self.item.last().item;
        let is_there = {
            let index = appender.store.inner.index.read();
            index.find_histogram(&self.labels) == Some(last) && index.has_columns(last, &self.layout)
        };
        // Made anew it may lack columns, which are series outside of it by now.
        let item = match is_there {
            true => last,
            false => appender.find_or_create_columns(&self.labels, &self.layout)?,
        };
        self.item.set(rows_of(item), &appender.pin);
        Ok(item)
    }
}

/// A histogram whose rows are meant, and not one of its columns.
fn rows_of(item: u32) -> SeriesRef {
    SeriesRef { item, column: 0 }
}
