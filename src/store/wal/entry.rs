//! What a batch says: definitions, then entries. The same bytes go into the log and, see `apply`, into the heads.
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

use super::tables::Tables;
use crate::chunk::{Column, LastRow, LastValue, Layout};
use crate::codec::histogram::put_histogram;
use crate::codec::varint;
use crate::model::{Sample, SampleValue, Timestamp};

use super::super::index::{Item, SeriesRef};

pub(super) const ROW: u64 = 0;
pub(super) const ROW_TIME: u64 = 1;
pub(super) const ROW_LAYOUT: u64 = 2;
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
    /// Bytes of the entries of the batch before.
    usual: usize,
}

impl BatchWriter {
    /// Keeps some room for the next batch; a large one would hold several bytes for every series of the store.
    pub(crate) fn clear(&mut self) {
        self.definitions.clear();
        self.definitions.shrink_to(KEPT_ROOM);
        if !self.entries.is_empty() {
            self.usual = self.entries.len();
        }
        self.entries.clear();
        self.entries.shrink_to(KEPT_ROOM);
        (self.defined, self.expected, self.time, self.samples) = (0, 0, 0, 0);
    }

    /// Makes room for as many entries as the batch before had, and some more.
    pub(crate) fn make_room(&mut self) {
        self.entries.reserve(self.usual.saturating_add(self.usual / 8));
    }

    /// Whether nothing was written.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn entries(&self) -> &[u8] {
        &self.entries
    }

    /// How many definitions there are, as bytes; with the definitions and the entries behind it this is the whole batch.
    pub(crate) fn start(&self) -> ([u8; 10], usize) {
        varint::bytes(self.defined)
    }

    pub(crate) fn definitions(&self) -> &[u8] {
        &self.definitions
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
