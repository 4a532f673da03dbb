//! Entries of samples that came late.
//!
//! ```text
//! entry  head, item and time as of any entry, form 7
//!        start  varint zigzag   start time, milliseconds, 0 unknown
//!        kind   u8              0 float of 8 bytes    1 native histogram    2 row, with start 0:
//!                               layout varint | row, absolute
//! ```
//!
//! They are told relative to nothing, and nothing is told relative to them.

use std::sync::Arc;

use smallvec::SmallVec;

use super::apply::{Applied, restore_columns, take_other};
use super::entry::{BatchWriter, put_other};
use super::tables::{LoggedItem, ROWS, Tables};
use crate::chunk::{Column, LastRow, Layout, RowShape, skip_row};
use crate::codec::varint;
use crate::error::Result;
use crate::model::Sample;

use super::super::head::Heads;
use super::super::index::{Index, Item, ItemRef, SeriesRef};
use super::super::sync::RwLock;

pub(super) const LATE: u64 = 7;
const ROW: u8 = 2;

impl BatchWriter {
    /// Appends a late sample of a single series, or of one column of a family.
    pub(crate) fn put_late_sample(
        &mut self,
        tables: &mut Tables,
        (series, item): (SeriesRef, &Item),
        sample: &Sample,
    ) {
        let number = match item {
            Item::Single(_) => self.late_item(tables, series.item, item),
            Item::Family { columns, .. } => tables.late_numbers.get(&series).copied().unwrap_or_else(|| {
                let column = columns.get(series.column as usize).unwrap_or(&Column::Count);
                self.defined = self.defined.saturating_add(1);
                tables.put_late_column(series, &item.series_labels(column), &mut self.definitions)
            }),
        };
        self.put_head(number, sample.timestamp.as_millis(), (LATE, LATE));
        put_other(sample, &mut self.entries);
    }

    /// Appends a late row. `None` for a value: its column is absent.
    pub(crate) fn put_late_row(
        &mut self,
        tables: &mut Tables,
        (number, item): (u32, &Item),
        layout: &Arc<Layout>,
        time: i64,
        row: &[Option<f64>],
    ) {
        let logged = self.late_item(tables, number, item);
        let (layout_number, new) = tables.layout_number(layout, &mut self.definitions);
        self.defined = self.defined.saturating_add(u64::from(new));
        self.put_head(logged, time, (LATE, LATE));
        varint::put_signed(&mut self.entries, 0);
        self.entries.push(ROW);
        varint::put(&mut self.entries, u64::from(layout_number));
        LastRow::default().put_sparse(layout, row, &mut self.entries);
    }

    /// The number of a single series, or of a histogram: one of its own, so that what comes in order goes on as if there were
    /// nothing late.
    fn late_item(&mut self, tables: &mut Tables, number: u32, item: &Item) -> u32 {
        let own = SeriesRef { item: number, column: ROWS };
        tables.late_numbers.get(&own).copied().unwrap_or_else(|| {
            self.defined = self.defined.saturating_add(1);
            tables.put_late_item(number, item, &mut self.definitions)
        })
    }
}

/// Moves past what stands behind the time of a late entry. `None`: damaged; not all damage is seen.
pub(super) fn skip_late(bytes: &mut &[u8], tables: &Tables) -> Option<()> {
    let mut start = *bytes;
    varint::skip(&mut start, 1)?;
    if start.first() != Some(&ROW) {
        return take_other(0, bytes).map(drop);
    }
    *bytes = start.get(1..)?;
    let layout = tables.layouts.get(usize::try_from(varint::take(bytes)?).ok()?)?;
    skip_row(RowShape::of(layout), bytes)
}

/// Applies what stands behind the time of a late entry. `None`: damaged.
pub(super) fn apply_late(
    bytes: &mut &[u8],
    (logged, layouts): (LoggedItem, &[Arc<Layout>]),
    time: i64,
    index: &RwLock<Index>,
    heads: &mut Heads,
    applied: &mut Applied,
) -> Option<Result<()>> {
    let item = logged.item;
    if index.read().is_idle(item) {
        index.write().wake(item);
    }
    let is_family = matches!(index.read().item(item)?, ItemRef::Family { .. });
    let mut start = *bytes;
    varint::take_signed(&mut start)?;
    let taken = if start.first() == Some(&ROW) {
        if logged.column != ROWS || !is_family {
            return None;
        }
        if varint::take_signed(bytes)? != 0 {
            return None;
        }
        *bytes = start.get(1..)?;
        let layout = layouts.get(usize::try_from(varint::take(bytes)?).ok()?)?;
        if let Err(error) = restore_columns(index, item, layout) {
            return Some(Err(error));
        }
        let mut row = LastRow::default();
        row.take(layout, bytes)?;
        let mut values = SmallVec::new();
        let absent = row.values(layout, &mut values);
        let is_absent =
            |column: usize| absent.get(column / 64).is_some_and(|word| word >> (column % 64) & 1 == 1);
        let values: SmallVec<[Option<f64>; 24]> =
            values.iter().enumerate().map(|(column, value)| (!is_absent(column)).then_some(*value)).collect();
        let taken = row.present(layout);
        applied.grown = applied
            .grown
            .saturating_add(heads.late.change(item, |late| late.push_row(layout, time, &values)));
        taken
    } else {
        let column = match logged.column {
            ROWS if is_family => return None,
            ROWS => 0,
            column => column,
        };
        let sample = take_other(time, bytes)?;
        applied.grown =
            applied.grown.saturating_add(heads.late.change(item, |late| late.push(column, sample)));
        1
    };
    applied.samples = applied.samples.saturating_add(taken as u64);
    Some(Ok(()))
}
