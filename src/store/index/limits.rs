//! What limits say of new series, and which series count against them.

use super::{Index, ItemRef};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Labels, Timestamp};

use super::super::options::Limits;

impl Index {
    /// Refuses one more series than may be appended to.
    pub(super) fn check_series(&self, limits: &Limits, labels: &Labels) -> Result<()> {
        let asked = self.active_count().saturating_add(1);
        if asked > limits.series {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("series limit: {asked} series asked, {} allowed; not added: {labels}", limits.series),
            ));
        }
        Ok(())
    }

    /// Counts a new series at the time `now`, if one more is allowed in its minute.
    pub(crate) fn check_rate(&mut self, now: Timestamp, limits: &Limits, labels: &Labels) -> Result<()> {
        let minute = now.as_millis().div_euclid(60_000);
        if self.made.0 != minute {
            self.made = (minute, 0);
        }
        let (made, allowed) = (self.made.1.saturating_add(1), limits.new_series_per_minute);
        if made > allowed {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("new series per minute limit: {made} asked, {allowed} allowed; not added: {labels}"),
            ));
        }
        self.made.1 = made;
        Ok(())
    }

    /// How many series are appended to.
    pub(crate) fn active_count(&self) -> usize {
        self.series_count.saturating_sub(self.idle_series)
    }

    pub(super) fn width(&self, item: u32) -> usize {
        match self.item(item) {
            Some(ItemRef::Family { columns, .. }) => columns.len(),
            Some(ItemRef::Single(_)) => 1,
            None => 0,
        }
    }

    /// Nothing is appended to the item any more: its series do not count against the limit.
    pub(crate) fn rest(&mut self, item: u32) {
        if self.idle.insert(item) {
            self.idle_series = self.idle_series.saturating_add(self.width(item));
        }
    }

    /// The item is appended to again.
    pub(crate) fn wake(&mut self, item: u32) {
        if self.idle.remove(item) {
            self.idle_series = self.idle_series.saturating_sub(self.width(item));
        }
        self.stays(Some(item));
    }

    /// Whether nothing has been appended to the item for long.
    pub(crate) fn is_idle(&self, item: u32) -> bool {
        self.idle.contains(item)
    }
}

/// Refuses labels that exceed a limit, or that cannot be stored.
pub(super) fn check_labels(labels: &Labels, limits: &Limits) -> Result<()> {
    let refuse = |what: &str, asked: usize, allowed: usize| {
        Err(Error::new(ErrorKind::Limit, format!("{what} limit: {asked} asked, {allowed} allowed")))
    };
    if labels.is_empty() {
        return Err(Error::new(ErrorKind::InvalidArgument, "a series needs at least one label"));
    }
    if labels.len() > limits.labels_per_series {
        return refuse("labels per series", labels.len(), limits.labels_per_series);
    }
    let mut total = 0_usize;
    for label in labels {
        if label.name.is_empty() {
            return Err(Error::new(ErrorKind::InvalidArgument, "a label needs a name"));
        }
        if label.name.len() > limits.label_name_bytes {
            return refuse("label name bytes", label.name.len(), limits.label_name_bytes);
        }
        if label.value.len() > limits.label_value_bytes {
            return refuse("label value bytes", label.value.len(), limits.label_value_bytes);
        }
        total = total.saturating_add(label.name.len()).saturating_add(label.value.len());
    }
    if total > limits.series_bytes {
        return refuse("series bytes", total, limits.series_bytes);
    }
    Ok(())
}
