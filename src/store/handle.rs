//! Series and histograms of a store that are found once, and appended to again and again.

use std::sync::Arc;

use super::append::{Appender, UNKNOWN};
use super::index::SeriesRef;
use super::pin::Checked;
use crate::chunk::Layout;
use crate::error::Result;
use crate::model::Labels;

/// A series of one store, found once: appending through it needs no look-up.
///
/// It does not keep the series: one of which nothing is left leaves the store, and is made again when something is appended
/// through its handle.
#[derive(Clone, Debug)]
pub struct SeriesHandle {
    series: SeriesRef,
    checked: Checked,
    labels: Labels,
    token: Arc<()>,
}

/// A classic histogram of one store, found once: rows are appended through it.
///
/// It does not keep the histogram: one of which nothing is left leaves the store, and is made again when something is
/// appended through its handle.
#[derive(Clone, Debug)]
pub struct FamilyHandle {
    item: u32,
    checked: Checked,
    labels: Labels,
    layout: Arc<Layout>,
    token: Arc<()>,
}

impl SeriesHandle {
    /// `series` was found for this appender.
    pub(super) fn new(appender: &Appender, series: SeriesRef, labels: &Labels) -> Self {
        let (checked, token) = (Checked::new(&appender.pin), appender.store.inner.token.clone());
        Self { series, checked, labels: labels.clone(), token }
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
        if self.checked.is_of(&appender.pin) { self.series } else { self.found_again(appender) }
    }

    #[inline(never)]
    fn found_again(&self, appender: &mut Appender) -> SeriesRef {
        let found = appender.store.inner.index.read().find(&self.labels);
        if found == Some(self.series) {
            self.checked.set(&appender.pin);
        }
        found.unwrap_or_else(|| {
            appender.unknown.push((appender.samples.len(), self.labels.clone()));
            UNKNOWN
        })
    }
}

impl FamilyHandle {
    /// `item` was found for this appender.
    pub(super) fn new(appender: &Appender, item: u32, labels: &Labels, layout: Arc<Layout>) -> Self {
        let (checked, token) = (Checked::new(&appender.pin), appender.store.inner.token.clone());
        Self { item, checked, labels: labels.clone(), layout, token }
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
        if self.checked.is_of(&appender.pin) { Ok(self.item) } else { self.found_again(appender) }
    }

    #[inline(never)]
    fn found_again(&self, appender: &Appender) -> Result<u32> {
        let is_there = {
            let index = appender.store.inner.index.read();
            index.find_histogram(&self.labels) == Some(self.item)
                && index.has_columns(self.item, &self.layout)
        };
        let item = match is_there {
            true => self.item,
            false => appender.find_or_create_columns(&self.labels, &self.layout)?,
        };
        if item == self.item {
            self.checked.set(&appender.pin);
        }
        Ok(item)
    }
}
