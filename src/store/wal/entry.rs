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
//! ```

use std::sync::Arc;

use parking_lot::RwLock;

use super::tables::{NO_LAYOUT, ROWS, Tables};
use crate::chunk::{LastRow, LastValue, Layout};
use crate::codec::histogram::{put_histogram, take_histogram};
use crate::codec::varint;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Labels, Sample, SampleValue, Timestamp};

use super::super::head::{Heads, ItemHead, SeriesHead};
use super::super::index::{Index, Item, SeriesRef};

const ROW: u64 = 0;
const ROW_TIME: u64 = 1;
const ROW_LAYOUT: u64 = 2;
const FLOAT: u64 = 3;
const FLOAT_TIME: u64 = 4;
const FLOAT_FIRST: u64 = 5;
const OTHER: u64 = 6;

/// A batch that is being written.
#[derive(Debug, Default)]
pub(crate) struct BatchWriter {
    definitions: Vec<u8>,
    defined: u64,
    entries: Vec<u8>,
    expected: u32,
    time: i64,
    samples: u64,
}

impl BatchWriter {
    pub(crate) fn clear(&mut self) {
        self.definitions.clear();
        self.entries.clear();
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

    fn put_head(&mut self, number: u32, time: i64, forms: (u64, u64)) {
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
        let logged = tables.item_number(number).unwrap_or_else(|| {
            self.defined = self.defined.saturating_add(1);
            tables.put_item(number, item, &mut self.definitions)
        });
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
        labels: impl FnOnce() -> Labels,
        last: &mut LastValue,
        sample: &Sample,
    ) {
        let number = match item {
            Item::Single(_) => tables.item_number(series.item),
            Item::Family { .. } => tables.column_number(series),
        };
        let is_first = number.is_none();
        let number = number.unwrap_or_else(|| {
            self.defined = self.defined.saturating_add(1);
            match item {
                Item::Single(_) => tables.put_item(series.item, item, &mut self.definitions),
                Item::Family { .. } => tables.put_column(series, &labels(), &mut self.definitions),
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
            (value, start) => {
                *last = LastValue::default();
                self.put_head(number, time, (OTHER, OTHER));
                varint::put_signed(&mut self.entries, start.map_or(0, Timestamp::as_millis));
                match value {
                    SampleValue::Float(value) => {
                        self.entries.push(0);
                        self.entries.extend_from_slice(&value.to_le_bytes());
                    }
                    SampleValue::Histogram(histogram) => {
                        self.entries.push(1);
                        put_histogram(&mut self.entries, histogram);
                    }
                }
            }
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
    let (mut expected, mut time) = (0_i64, 0_i64);
    while !bytes.is_empty() {
        apply_entry(&mut bytes, tables, index, heads, (&mut expected, &mut time), &mut applied)
            .ok_or_else(damaged)??;
        applied.newest = applied.newest.max(Some(time));
        applied.oldest = Some(applied.oldest.map_or(time, |oldest| oldest.min(time)));
    }
    Ok(applied)
}

fn apply_entry(
    bytes: &mut &[u8],
    tables: &mut Tables,
    index: &RwLock<Index>,
    heads: &mut Heads,
    (expected, time): (&mut i64, &mut i64),
    applied: &mut Applied,
) -> Option<Result<()>> {
    let head = varint::take(bytes)?;
    let number = expected.checked_add(varint::unzigzag(head >> 3))?;
    *expected = number.checked_add(1)?;
    let form = head & 7;
    if !matches!(form, ROW | FLOAT) {
        *time = time.checked_add(varint::take_signed(bytes)?)?;
    }
    let logged = tables.items.get_mut(usize::try_from(number).ok()?)?;
    let mut new_layout = None;
    if form == ROW_LAYOUT {
        let layout = varint::take(bytes)?;
        new_layout = Some(tables.layouts.get(usize::try_from(layout).ok()?)?);
        logged.layout = u32::try_from(layout).ok()?;
    }
    let item = logged.item;
    let before = heads.get(item).map_or(0, |head| head.byte_size());
    if before == 0 && index.read().is_idle(item) {
        index.write().wake(item);
    }
    let head = heads.get_mut(item, || match index.read().item(item) {
        Some(item) => ItemHead::new(item),
        None => ItemHead::Series(SeriesHead::default()),
    })?;
    match form {
        ROW | ROW_TIME | ROW_LAYOUT => {
            let ItemHead::Family(family) = head else { return None };
            if let Some(layout) = new_layout {
                if let Err(error) = restore_columns(index, item, layout) {
                    return Some(Err(error));
                }
                if !Arc::ptr_eq(family.newest().0, layout) {
                    family.set_layout(layout.clone());
                }
            }
            if logged.layout == NO_LAYOUT || family.last_time().is_some_and(|last| *time <= last) {
                return None;
            }
            family.push(*time, bytes)?;
            let (layout, row) = family.newest();
            applied.samples = applied.samples.saturating_add(row.present(layout) as u64);
        }
        FLOAT | FLOAT_TIME | FLOAT_FIRST | OTHER => {
            let series = match (head, logged.column) {
                (ItemHead::Series(series), ROWS) => series,
                (head, column) => match columns_of(index, item, head) {
                    Ok(heads) => heads.get_mut(column as usize)?,
                    Err(error) => return Some(Err(error)),
                },
            };
            if matches!(form, FLOAT_FIRST | OTHER) {
                series.logged = LastValue::default();
            }
            let sample = take_sample(form, *time, &mut series.logged, bytes)?;
            if series.newest().time().is_some_and(|last| *time <= last) {
                return None;
            }
            series.append(sample);
            applied.samples = applied.samples.saturating_add(1);
        }
        _ => return None,
    }
    let after = heads.get(item).map_or(0, |head| head.byte_size());
    applied.grown = applied.grown.saturating_add_unsigned(after).saturating_sub_unsigned(before);
    Some(Ok(()))
}

fn take_sample(form: u64, time: i64, last: &mut LastValue, bytes: &mut &[u8]) -> Option<Sample> {
    let timestamp = Timestamp::from_millis(time);
    if form != OTHER {
        let (value, flagged) = last.take(bytes)?;
        return flagged.is_none().then(|| Sample::float(timestamp, value));
    }
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

fn restore_columns(index: &RwLock<Index>, item: u32, layout: &Layout) -> Result<()> {
    let labels = match index.read().item(item).map(|item| &**item) {
        Some(Item::Family { labels, columns }) => {
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

fn columns_of<'a>(
    index: &RwLock<Index>,
    item: u32,
    head: &'a mut ItemHead,
) -> Result<&'a mut Vec<SeriesHead>> {
    match index.read().item(item).map(|item| &**item) {
        Some(Item::Family { columns, .. }) => head.as_columns(columns),
        _ => Err(damaged()),
    }
}
