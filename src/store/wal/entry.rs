//! What a batch says: definitions, then entries. The same bytes go into the log and into the heads.
//!
//! ```text
//! batch  definitions  varint;  each: see `tables`
//!        entries until the end:
//!
//! entry  head   varint   low 3 bits: form;  the rest: zigzag of the item less (the item before + 1)
//!        time   varint   zigzag: less the time of the entry before, which starts as 0; absent in forms 0 and 3
//!   0, 1 row of a histogram, in the layout of its row before: body, see `chunk::rows::last`
//!   2    layout varint, then a row: it and the following ones have this layout
//!   3, 4 float, told relative to the float before of its item: see `chunk::samples`, bit 0 is clear
//!   5    float, told relative to 0: the first of its item in a file of the log
//!        the float after an entry of form 6 is told relative to 0 as well
//!   6    start time varint zigzag, milliseconds, 0 unknown;  kind u8: 0 float of 8 bytes, 1 native histogram
//!   7    late: see `late`
//! ```

use std::sync::Arc;

use super::late::{LATE, apply_late};
use super::tables::{NO_LAYOUT, ROWS, Tables};
use crate::chunk::{Column, LastRow, LastValue, Layout};
use crate::codec::histogram::{put_histogram, take_histogram};
use crate::codec::varint;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Sample, SampleValue, Timestamp};

use super::super::head::{FamilyHead, Heads, ItemHeadMut, Page, SeriesHead};
use super::super::index::{Index, Item, ItemRef, SeriesRef};
use super::super::sync::RwLock;

const ROW: u64 = 0;
const ROW_TIME: u64 = 1;
const ROW_LAYOUT: u64 = 2;
pub(super) const FLOAT: u64 = 3;
pub(super) const FLOAT_TIME: u64 = 4;
pub(super) const FLOAT_FIRST: u64 = 5;
pub(super) const OTHER: u64 = 6;

/// Room that is kept from one batch to the next in any case.
const KEPT_ROOM: usize = 1 << 14;

/// A batch that is being written.
#[derive(Debug, Default)]
pub(crate) struct BatchWriter {
    pub(super) definitions: Vec<u8>,
    pub(super) defined: u64,
    pub(super) entries: Vec<u8>,
    expected: u32,
    time: i64,
    samples: u64,
}

impl BatchWriter {
    /// Keeps some room for the next batch; a large one would hold several bytes for every series of the store.
    pub(crate) fn clear(&mut self) {
        self.definitions.clear();
        self.definitions.shrink_to(KEPT_ROOM);
        self.entries.clear();
        self.entries.shrink_to(KEPT_ROOM);
        (self.defined, self.expected, self.time, self.samples) = (0, 0, 0, 0);
    }

    /// Whether nothing was written.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn entries(&self) -> &[u8] {
        &self.entries
    }

    /// The whole batch.
    pub(crate) fn put_payload(&self, into: &mut Vec<u8>) {
        varint::put(into, self.defined);
        into.extend_from_slice(&self.definitions);
        into.extend_from_slice(&self.entries);
    }

    pub(super) fn put_head(&mut self, number: u32, time: i64, forms: (u64, u64)) {
        let step = i64::from(number).wrapping_sub(i64::from(self.expected));
        self.expected = number.wrapping_add(1);
        let (same, other) = forms;
        let form = if time == self.time && same != other { same } else { other };
        varint::put(&mut self.entries, varint::zigzag(step) << 3 | form);
        if form == other {
            varint::put_signed(&mut self.entries, time.wrapping_sub(self.time));
            self.time = time;
        }
    }

    /// The number of an item that is written as rows, or as a single series.
    pub(super) fn define_item(&mut self, tables: &mut Tables, number: u32, item: &Item) -> u32 {
        tables.item_number(number).unwrap_or_else(|| {
            self.defined = self.defined.saturating_add(1);
            tables.put_item(number, item, &mut self.definitions)
        })
    }

    /// Appends a row that increments of its item's newest one lead to, if the tables have item and layout. `false`: nothing was
    /// done. The newest row stays as it is.
    pub(crate) fn put_next_row(
        &mut self,
        tables: &Tables,
        number: u32,
        (layout, last): (&Arc<Layout>, &LastRow),
        time: i64,
        row: &[f64],
    ) -> bool {
        let Some(logged) = tables.item_number(number).filter(|logged| tables.has_layout(*logged, layout))
        else {
            return false;
        };
        let (length, expected, before) = (self.entries.len(), self.expected, self.time);
        self.put_head(logged, time, (ROW, ROW_TIME));
        if last.tell(layout, row, &mut self.entries).is_some() {
            return true;
        }
        self.entries.truncate(length);
        (self.expected, self.time) = (expected, before);
        false
    }

    /// Appends a row and makes it the newest. `None` for a value: its column is absent.
    pub(crate) fn put_row(
        &mut self,
        tables: &mut Tables,
        (number, item): (u32, &Item),
        (layout, last): (&Arc<Layout>, &mut LastRow),
        time: i64,
        row: RowValues<'_>,
    ) {
        let logged = self.define_item(tables, number, item);
        if tables.has_layout(logged, layout) {
            self.put_head(logged, time, (ROW, ROW_TIME));
        } else {
            let (layout_number, new) = tables.layout_number(layout, &mut self.definitions);
            self.defined = self.defined.saturating_add(u64::from(new));
            tables.set_layout(logged, layout_number);
            self.put_head(logged, time, (ROW_LAYOUT, ROW_LAYOUT));
            varint::put(&mut self.entries, u64::from(layout_number));
            *last = LastRow::default();
        }
        match row {
            RowValues::All(row) => last.put(layout, row, &mut self.entries),
            RowValues::Some(row) => last.put_sparse(layout, row, &mut self.entries),
        };
    }

    /// Appends a sample of a single series, or of one column of a family.
    pub(crate) fn put_sample(
        &mut self,
        tables: &mut Tables,
        (series, item): (SeriesRef, &Item),
        last: &mut LastValue,
        sample: &Sample,
    ) {
        let number = match item {
            Item::Single(_) => tables.item_number(series.item),
            Item::Family { .. } => tables.column_number(series),
        };
        let is_first = number.is_none();
        let number = number.unwrap_or_else(|| match item {
            Item::Single(_) => self.define_item(tables, series.item, item),
            Item::Family { columns, .. } => {
                let column = columns.get(series.column as usize).unwrap_or(&Column::Count);
                self.defined = self.defined.saturating_add(1);
                tables.put_column(series, &item.series_labels(column), &mut self.definitions)
            }
        });
        if is_first {
            *last = LastValue::default();
        }
        let time = sample.timestamp.as_millis();
        match (&sample.value, sample.start) {
            (SampleValue::Float(value), None) => {
                let forms = if is_first { (FLOAT_FIRST, FLOAT_FIRST) } else { (FLOAT, FLOAT_TIME) };
                self.put_head(number, time, forms);
                last.put(*value, false, None, &mut self.entries);
            }
            (_, _) => {
                *last = LastValue::default();
                self.put_head(number, time, (OTHER, OTHER));
                put_other(sample, &mut self.entries);
            }
        }
    }
}

/// Appends the start time of a sample, and its value in full.
pub(super) fn put_other(sample: &Sample, into: &mut Vec<u8>) {
    varint::put_signed(into, sample.start.map_or(0, Timestamp::as_millis));
    match &sample.value {
        SampleValue::Float(value) => {
            into.push(0);
            into.extend_from_slice(&value.to_le_bytes());
        }
        SampleValue::Histogram(histogram) => {
            into.push(1);
            put_histogram(into, histogram);
        }
    }
}

/// The values of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RowValues<'a> {
    /// Every column has one.
    All(&'a [f64]),
    /// Some columns may have none.
    Some(&'a [Option<f64>]),
}

/// What applying a batch did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Applied {
    pub(crate) samples: u64,
    /// Bytes by which the heads grew.
    pub(crate) grown: isize,
    pub(crate) newest: Option<i64>,
    pub(crate) oldest: Option<i64>,
}

impl Applied {
    pub(crate) fn add(&mut self, other: Self) {
        self.samples = self.samples.saturating_add(other.samples);
        self.grown = self.grown.saturating_add(other.grown);
        self.newest = self.newest.max(other.newest);
        let oldest = [self.oldest, other.oldest].into_iter().flatten().min();
        self.oldest = oldest;
    }

    /// A head has so many bytes, and had as many before.
    fn grew(&mut self, before: usize, after: usize) {
        self.grown = self.grown.saturating_add_unsigned(after).saturating_sub_unsigned(before);
    }

    fn saw(&mut self, time: i64) {
        self.newest = self.newest.max(Some(time));
        self.oldest = Some(self.oldest.map_or(time, |oldest| oldest.min(time)));
    }
}

fn damaged() -> Error {
    Error::new(ErrorKind::Corrupt, "a batch of the log does not decode")
}

/// Takes the definitions from the front of a batch.
pub(crate) fn take_definitions(bytes: &mut &[u8], tables: &mut Tables, index: &RwLock<Index>) -> Result<()> {
    let count = varint::take(bytes).ok_or_else(damaged)?;
    if count == 0 {
        return Ok(());
    }
    let mut index = index.write();
    for _ in 0..count {
        tables.take_definition(bytes, &mut index).ok_or_else(damaged)??;
    }
    Ok(())
}

/// Appends what the entries say to the heads.
pub(crate) fn apply(
    mut bytes: &[u8],
    tables: &mut Tables,
    index: &RwLock<Index>,
    heads: &mut Heads,
) -> Result<Applied> {
    let mut applied = Applied::default();
    let mut entries = Entries { expected: 0, time: 0 };
    let mut next = entries.next(&mut bytes, tables)?;
    let mut samples_before = 0;
    while let Some(entry) = next {
        if entry.form == LATE {
            // It lies beside the pages.
            let logged = tables.logged(entry.number).ok_or_else(damaged)?;
            let own = (logged, &*tables.layouts);
            apply_late(&mut bytes, own, entries.time, index, heads, &mut applied).ok_or_else(damaged)??;
            applied.newest = applied.newest.max(Some(entries.time));
            next = entries.next(&mut bytes, tables)?;
            continue;
        }
        if applied.samples.saturating_sub(samples_before) >= MANY {
            heads.touch(entry.item);
        }
        samples_before = applied.samples;
        let page = heads.page_mut(entry.item, &mut applied.grown).ok_or_else(damaged)?;
        next = apply_page(page, entry, &mut entries, &mut bytes, tables, index, &mut applied)?;
    }
    Ok(applied)
}

/// So many samples in a page let the next one be read ahead: it will have as many.
const MANY: u64 = 64;

/// What an entry says before its sample.
#[derive(Clone, Copy, Debug)]
struct Entry {
    form: u64,
    number: usize,
    item: u32,
    column: u32,
}

/// What an entry is told relative to.
#[derive(Debug)]
struct Entries {
    expected: i64,
    time: i64,
}

impl Entries {
    /// `None`: there is none.
    #[inline]
    fn next(&mut self, bytes: &mut &[u8], tables: &Tables) -> Result<Option<Entry>> {
        if bytes.is_empty() {
            return Ok(None);
        }
        self.take(bytes, tables).ok_or_else(damaged).map(Some)
    }

    #[inline]
    fn take(&mut self, bytes: &mut &[u8], tables: &Tables) -> Option<Entry> {
        let head = varint::take(bytes)?;
        let number = self.expected.checked_add(varint::unzigzag(head >> 3))?;
        self.expected = number.checked_add(1)?;
        let form = head & 7;
        if !matches!(form, ROW | FLOAT) {
            // Between the ends of time it wraps around, as it did when it was written.
            self.time = self.time.wrapping_add(varint::take_signed(bytes)?);
        }
        let number = usize::try_from(number).ok()?;
        let logged = tables.logged(number)?;
        Some(Entry { form, number, item: logged.item, column: logged.column })
    }
}

/// Applies entries for as long as they are those of one page; returns the one that is not.
fn apply_page(
    page: &mut Page,
    mut entry: Entry,
    entries: &mut Entries,
    bytes: &mut &[u8],
    tables: &mut Tables,
    index: &RwLock<Index>,
    applied: &mut Applied,
) -> Result<Option<Entry>> {
    loop {
        apply_entry(page, entry, entries.time, bytes, tables, index, applied)?;
        applied.saw(entries.time);
        match entries.next(bytes, tables)? {
            Some(next) if next.form != LATE && Heads::are_neighbours(next.item, entry.item) => entry = next,
            next => return Ok(next),
        }
    }
}

#[inline]
fn apply_entry(
    page: &mut Page,
    entry: Entry,
    time: i64,
    bytes: &mut &[u8],
    tables: &mut Tables,
    index: &RwLock<Index>,
    applied: &mut Applied,
) -> Result<()> {
    match (entry.form, page.get_mut(entry.item)) {
        // The usual case.
        (ROW | ROW_TIME, Some(ItemHeadMut::Family(family))) => {
            let before = family.byte_size();
            apply_row(family, entry, time, bytes, tables, applied).ok_or_else(damaged)?;
            applied.grew(before, family.byte_size());
            Ok(())
        }
        (_, Some(head)) => {
            let before = head.byte_size();
            apply_any(page, entry, time, bytes, tables, index, applied)?;
            applied.grew(before, page.get_mut(entry.item).map_or(0, |head| head.byte_size()));
            Ok(())
        }
        (_, None) => {
            let idle = index.read().is_idle(entry.item);
            if idle {
                index.write().wake(entry.item);
            }
            let item = index.read().item(entry.item).map(ItemRef::to_item).ok_or_else(damaged)?;
            page.insert(entry.item, &item);
            apply_any(page, entry, time, bytes, tables, index, applied)?;
            applied.grew(0, page.get_mut(entry.item).map_or(0, |head| head.byte_size()));
            Ok(())
        }
    }
}

#[inline]
fn apply_row(
    family: &mut FamilyHead,
    entry: Entry,
    time: i64,
    bytes: &mut &[u8],
    tables: &Tables,
    applied: &mut Applied,
) -> Option<()> {
    let is_laid_out = tables.logged(entry.number).is_some_and(|logged| logged.layout != NO_LAYOUT);
    if !is_laid_out || !family.may_follow(time) {
        return None;
    }
    family.push(time, bytes)?;
    let (layout, row) = family.newest();
    applied.samples = applied.samples.saturating_add(row.present(layout) as u64);
    Some(())
}

fn apply_any(
    page: &mut Page,
    entry: Entry,
    time: i64,
    bytes: &mut &[u8],
    tables: &mut Tables,
    index: &RwLock<Index>,
    applied: &mut Applied,
) -> Result<()> {
    let head = page.get_mut(entry.item).ok_or_else(damaged)?;
    match (entry.form, head) {
        (ROW | ROW_TIME | ROW_LAYOUT, ItemHeadMut::Family(family)) => {
            if entry.form == ROW_LAYOUT {
                if !family.may_follow(time) {
                    return Err(damaged());
                }
                let layout = take_layout(entry, bytes, tables).ok_or_else(damaged)?;
                restore_columns(index, entry.item, layout)?;
                if !Arc::ptr_eq(family.newest().0, layout) {
                    family.set_layout(layout.clone());
                }
            }
            apply_row(family, entry, time, bytes, tables, applied).ok_or_else(damaged)
        }
        (FLOAT | FLOAT_TIME | FLOAT_FIRST | OTHER, head) => {
            let series = match (head, entry.column) {
                (ItemHeadMut::Series(series), ROWS) => series,
                (_, column) => {
                    let heads = columns_of(index, entry.item, page)?;
                    heads.get_mut(column as usize).ok_or_else(damaged)?
                }
            };
            apply_sample(series, entry.form, time, bytes).ok_or_else(damaged)?;
            applied.samples = applied.samples.saturating_add(1);
            Ok(())
        }
        _ => Err(damaged()),
    }
}

/// The layout that an entry states, which is its item's from here on.
fn take_layout<'a>(entry: Entry, bytes: &mut &[u8], tables: &'a mut Tables) -> Option<&'a Arc<Layout>> {
    let number = varint::take(bytes)?;
    let place = u32::try_from(number).ok().filter(|number| (*number as usize) < tables.layouts.len())?;
    tables.set_layout(u32::try_from(entry.number).ok()?, place);
    tables.layouts.get(place as usize)
}

fn apply_sample(series: &mut SeriesHead, form: u64, time: i64, bytes: &mut &[u8]) -> Option<()> {
    let mut logged = match form {
        FLOAT_FIRST | OTHER => LastValue::default(),
        _ => series.logged(),
    };
    let sample = take_sample(form, time, &mut logged, bytes)?;
    if !series.may_follow(time) {
        return None;
    }
    series.append(sample, logged);
    Some(())
}

pub(super) fn take_sample(form: u64, time: i64, last: &mut LastValue, bytes: &mut &[u8]) -> Option<Sample> {
    let timestamp = Timestamp::from_millis(time);
    if form != OTHER {
        let (value, flagged) = last.take(bytes)?;
        return flagged.is_none().then(|| Sample::float(timestamp, value));
    }
    take_other(time, bytes)
}

/// Takes what [`put_other`] appends.
pub(super) fn take_other(time: i64, bytes: &mut &[u8]) -> Option<Sample> {
    let timestamp = Timestamp::from_millis(time);
    let start = varint::take_signed(bytes)?;
    let (kind, rest) = bytes.split_first()?;
    *bytes = rest;
    let value = match kind {
        0 => {
            let (value, rest) = bytes.split_first_chunk::<8>()?;
            *bytes = rest;
            SampleValue::Float(f64::from_le_bytes(*value))
        }
        1 => SampleValue::Histogram(Arc::new(take_histogram(bytes)?)),
        _ => return None,
    };
    Some(Sample { timestamp, value, start: (start != 0).then(|| Timestamp::from_millis(start)) })
}

pub(super) fn restore_columns(index: &RwLock<Index>, item: u32, layout: &Layout) -> Result<()> {
    let labels = match index.read().item(item) {
        Some(ItemRef::Family { labels, columns }) => {
            let known = columns.layout();
            if std::ptr::eq(&**known, layout)
                || layout.columns().iter().all(|column| known.position(column).is_some())
            {
                return Ok(());
            }
            labels.clone()
        }
        _ => return Err(damaged()),
    };
    index.write().restore_family(&labels, layout.columns()).map(drop)
}

fn columns_of<'a>(index: &RwLock<Index>, item: u32, page: &'a mut Page) -> Result<&'a mut Vec<SeriesHead>> {
    match index.read().item(item) {
        Some(ItemRef::Family { columns, .. }) => page.as_columns(item, columns),
        _ => Err(damaged()),
    }
}
