//! Which items of a segment the index has, and what is asked of those that it does not have yet.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use roaring::RoaringBitmap;

use super::super::index::{
    Index, Item, SeriesRef, accepts_column, column_name, histogram_column, shared_labels,
};
use super::super::sync::RwLock;
use super::Segment;
use super::contents::Contents;
use super::items::PartKind;
use super::parts::Part;
use crate::chunk::Column;
use crate::error::Result;
use crate::model::label::{BUCKET_BOUND, METRIC_NAME};
use crate::model::{Labels, Matcher, Window};

impl Segment {
    /// Has the index know every item with a series that all matchers accept.
    pub(crate) fn join(&self, index: &RwLock<Index>, matchers: &[Matcher]) -> Result<()> {
        if self.parts.read().is_answered(matchers) {
            return Ok(());
        }
        let contents = self.contents(index)?;
        let wanted = contents.candidates(matchers).ok_or_else(|| self.damaged())?;
        self.join_items(index, contents, &wanted)?;
        let mut parts = self.parts.write();
        parts.answer(matchers);
        Ok(())
    }

    /// Has the index know what there is of a histogram, by the labels that its series share, and the series that look like its
    /// own.
    pub(crate) fn join_histogram(&self, index: &RwLock<Index>, shared: &Labels) -> Result<()> {
        if self.parts.read().are_complete() {
            return Ok(());
        }
        let contents = self.contents(index)?;
        let wanted = contents.histogram(shared).ok_or_else(|| self.damaged())?;
        self.join_items(index, contents, &wanted)
    }

    /// Has the index know what there is of one of its items.
    pub(crate) fn join_item(&self, index: &RwLock<Index>, item: &Item) -> Result<()> {
        let labels = match item {
            Item::Family { labels, .. } => return self.join_histogram(index, labels),
            Item::Single(labels) => labels,
        };
        if self.parts.read().are_complete() {
            return Ok(());
        }
        let contents = self.contents(index)?;
        let found = contents.find(labels, PartKind::Single).ok_or_else(|| self.damaged())?;
        self.join_items(index, contents, &found.into_iter().collect())
    }

    fn join_items(&self, index: &RwLock<Index>, contents: &Contents, wanted: &RoaringBitmap) -> Result<()> {
        if wanted.is_subset(self.parts.read().joined()) {
            return Ok(());
        }
        // The index first, then the parts: an item that is found stays until the part is there.
        let mut index = index.write();
        let mut parts = self.parts.write();
        let mut new = Vec::new();
        for number in &(wanted - parts.joined()) {
            let record = contents.items.get(number).ok_or_else(|| self.damaged())?;
            let labels = record.labels(&contents.symbols).ok_or_else(|| self.damaged())?;
            let layouts = contents.layouts_of(&record).ok_or_else(|| self.damaged())?;
            let series = index.restore(&labels, record.kind, &layouts).ok_or_else(|| self.damaged())??;
            let part = Part { series, is_family: record.is_family(), directory: record.place };
            new.push((number, part));
        }
        parts.extend(new, contents.items.count());
        Ok(())
    }

    /// The newest time of an item. The index learns nothing.
    pub(crate) fn newest(&self, index: &RwLock<Index>, item: &Item) -> Result<Option<i64>> {
        let contents = self.contents(index)?;
        newest(contents, item).ok_or_else(|| self.damaged())
    }

    /// Has known which series of the index items are, by their number here, as whoever wrote the segment knows it.
    pub(crate) fn set_known(&self, index: &RwLock<Index>, known: &[Option<SeriesRef>]) -> Result<()> {
        let contents = self.contents(index)?;
        let mut new = Vec::with_capacity(known.len());
        let mut index = index.write();
        for (number, series) in (0_u32..).zip(known) {
            let Some(series) = *series else { continue };
            let record = contents.items.get(number).ok_or_else(|| self.damaged())?;
            // Merged segments may have columns of a known histogram that nobody has asked for.
            let layouts = contents.layouts_of(&record).ok_or_else(|| self.damaged())?;
            if layouts.iter().any(|layout| !index.has_columns(series.item, layout)) {
                let labels = record.labels(&contents.symbols).ok_or_else(|| self.damaged())?;
                index.restore(&labels, record.kind, &layouts).ok_or_else(|| self.damaged())??;
            }
            index.stay(series.item);
            new.push((number, Part { series, is_family: record.is_family(), directory: record.place }));
        }
        self.parts.write().extend(new, contents.items.count());
        Ok(())
    }

    /// Adds the values of a label among the series that all matchers accept with a chunk that touches the window. The index
    /// learns nothing.
    pub(crate) fn label_values(
        &self,
        index: &RwLock<Index>,
        name: &str,
        matchers: &[Matcher],
        window: Window,
        values: &mut HashSet<Arc<str>>,
    ) -> Result<()> {
        let contents = self.contents(index)?;
        let found = add_label_values(contents, name, matchers, window, values);
        found.ok_or_else(|| self.damaged())
    }

    /// An item by its number here.
    pub(crate) fn item(&self, index: &RwLock<Index>, number: u32) -> Result<Option<(Labels, PartKind)>> {
        let contents = self.contents(index)?;
        if number >= contents.items.count() {
            return Ok(None);
        }
        let record = contents.items.get(number);
        let item = record.and_then(|record| Some((record.labels(&contents.symbols)?, record.kind)));
        item.map(Some).ok_or_else(|| self.damaged())
    }

    /// Which series of the index items are, by their number here, as far as that is known, and whether some are series of
    /// histograms on their own.
    pub(crate) fn known(&self, index: &RwLock<Index>) -> Result<(Vec<Option<SeriesRef>>, bool)> {
        let contents = self.contents(index)?;
        let parts = self.parts.read();
        let by_place: HashMap<u32, SeriesRef> =
            parts.iter().map(|part| (part.directory, part.series)).collect();
        let mut known = Vec::with_capacity(contents.items.count() as usize);
        let mut has_columns = false;
        for number in 0..contents.items.count() {
            let record = contents.items.get(number).ok_or_else(|| self.damaged())?;
            has_columns |= record.kind == PartKind::Column;
            known.push(by_place.get(&record.place).copied());
        }
        Ok((known, has_columns))
    }

    /// First and last times of the chunks that have the same histogram in the other way: for rows those of its series on their
    /// own, for such a series those of rows.
    pub(crate) fn times_beside(
        &self,
        index: &RwLock<Index>,
        labels: &Labels,
        kind: PartKind,
        into: &mut Vec<(i64, i64)>,
    ) -> Result<()> {
        let contents = self.contents(index)?;
        times_beside(contents, labels, kind, into).ok_or_else(|| self.damaged())
    }
}

fn times_beside(
    contents: &Contents,
    labels: &Labels,
    kind: PartKind,
    into: &mut Vec<(i64, i64)>,
) -> Option<()> {
    let (numbers, other) = match (kind, histogram_column(labels)) {
        (PartKind::Family, _) => (contents.histogram(labels)?, PartKind::Column),
        (PartKind::Column, Some((_, base))) => {
            let rows = contents.find(&shared_labels(labels, base), PartKind::Family)?;
            (rows.into_iter().collect(), PartKind::Family)
        }
        (PartKind::Column, None) | (PartKind::Single, _) => return Some(()),
    };
    for number in numbers {
        let record = contents.items.get(number)?;
        if record.kind == other {
            let is_family = record.is_family();
            contents.places(record.directory, is_family, |place, _| into.push((place.first, place.last)))?;
        }
    }
    Some(())
}

fn newest(contents: &Contents, item: &Item) -> Option<Option<i64>> {
    let mut newest = None;
    let mut look = |labels: &Labels, kind: PartKind, column: Option<&Column>| {
        let Some(number) = contents.find(labels, kind)? else { return Some(()) };
        let record = contents.items.get(number)?;
        contents.places(record.directory, record.is_family(), |place, layout| {
            let has = |column: &Column| layout.is_some_and(|layout| layout.position(column).is_some());
            if column.is_none_or(has) {
                newest = newest.max(Some(place.last));
            }
        })
    };
    match item {
        Item::Single(labels) => {
            look(labels, PartKind::Single, None)?;
            // It may lie here as a column of a histogram if this could not be read when the series was made.
            look(labels, PartKind::Column, None)?;
            if let Some((column, base)) = histogram_column(labels) {
                look(&shared_labels(labels, base), PartKind::Family, Some(&column))?;
            }
        }
        Item::Family { labels, columns } => {
            look(labels, PartKind::Family, None)?;
            let (mut suffix, mut has_singles) = ("", false);
            for column in columns.iter() {
                if suffix != column.suffix() {
                    suffix = column.suffix();
                    has_singles = !contents.singles(&column_name(labels.metric_name(), column))?.is_empty();
                }
                if has_singles {
                    let labels = item.series_labels(column);
                    look(&labels, PartKind::Column, None)?;
                    look(&labels, PartKind::Single, None)?;
                }
            }
        }
    }
    Some(newest)
}

fn add_label_values(
    contents: &Contents,
    name: &str,
    matchers: &[Matcher],
    window: Window,
    values: &mut HashSet<Arc<str>>,
) -> Option<()> {
    let candidates = contents.candidates(matchers)?;
    if let Some(lists) = contents.lists(name)? {
        let mut texts = contents.symbols.values();
        lists.each(0, |value, list| {
            let value = texts.get(value)?;
            if values.contains(value) {
                return Some(true);
            }
            for item in &(list.items(contents.items.count())? & &candidates) {
                let is_it =
                    |base: &str, column: &Column| name != METRIC_NAME || column_name(base, column) == value;
                if has_series(contents, item, matchers, window, is_it)? {
                    values.insert(value.into());
                    break;
                }
            }
            Some(true)
        })?;
    }
    if name == BUCKET_BOUND {
        for item in &(&candidates & contents.postings.families()) {
            has_series(contents, item, matchers, window, |_, column| {
                if let Column::Bucket(bound) = column
                    && !values.contains(bound)
                {
                    values.insert(bound.clone());
                }
                false
            })?;
        }
    }
    Some(())
}

/// Whether an item has a chunk inside the window; of a histogram one with a column that the matchers accept, and that is it.
fn has_series(
    contents: &Contents,
    item: u32,
    matchers: &[Matcher],
    window: Window,
    mut is_it: impl FnMut(&str, &Column) -> bool,
) -> Option<bool> {
    let record = contents.items.get(item)?;
    let base = match record.is_family() {
        true => record.value(contents.symbols.find_name(METRIC_NAME), &contents.symbols)?,
        false => String::new(),
    };
    let mut has = false;
    contents.places(record.directory, record.is_family(), |place, layout| {
        if has || place.last <= window.after.as_millis() || place.first > window.until.as_millis() {
            return;
        }
        has = layout.is_none_or(|layout| {
            let mut columns = layout.columns().iter();
            columns.any(|column| accepts_column(matchers, &base, column) && is_it(&base, column))
        });
    })?;
    Some(has)
}
