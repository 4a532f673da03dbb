//! What the numbers in one file of the log stand for.
//!
//! ```text
//! definition  kind    u8       0 layout    1 single series    2 classic histogram    3 series of one, on its own
//!          0  columns varint;  each: kind u8 (0 bucket, 1 count, 2 sum);  a bucket's bound as a symbol
//!     1 to 3  labels  varint;  each: name as a symbol, value as a symbol;  a histogram's are those that its series share
//!
//! symbol      varint   0: a new one: length varint, text;  else its number
//! ```
//!
//! Symbols count from 1, layouts and items from 0, each in the order in which a file defines them.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::chunk::{Column, Layout};
use crate::codec::varint;
use crate::error::Result;
use crate::model::{Label, Labels};

use super::super::index::{Index, Item, SeriesRef};

/// The column of an item that is written as rows.
pub(super) const ROWS: u32 = u32::MAX;
/// No layout yet.
pub(super) const NO_LAYOUT: u32 = u32::MAX;

/// An item that a file of the log has defined.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoggedItem {
    pub(super) item: u32,
    /// [`ROWS`], or the one column that this is.
    pub(super) column: u32,
    /// The layout of its newest row.
    pub(super) layout: u32,
}

/// The numbers of one file of the log.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    symbols: Vec<Arc<str>>,
    pub(super) layouts: Vec<Arc<Layout>>,
    pub(super) items: Vec<LoggedItem>,
    /// Symbols and layouts by their address, which stays theirs for as long as the store lives.
    symbol_numbers: HashMap<usize, u32>,
    layout_numbers: HashMap<usize, u32>,
    /// By item: its number and 1 more, 0 without.
    item_numbers: Vec<u32>,
    column_numbers: HashMap<SeriesRef, u32>,
    /// Of what late samples were written for; a single series and the rows of a histogram are column [`ROWS`].
    pub(super) late_numbers: HashMap<SeriesRef, u32>,
}

fn next(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

impl Tables {
    /// The number of an item that is written as rows, or as a single series.
    pub(super) fn item_number(&self, item: u32) -> Option<u32> {
        self.item_numbers.get(item as usize)?.checked_sub(1)
    }

    /// The item is defined anew when it is written next.
    pub(crate) fn forget(&mut self, item: u32) {
        if let Some(number) = self.item_numbers.get_mut(item as usize) {
            *number = 0;
        }
    }

    /// The number of one column of an item, written as a series of its own.
    pub(super) fn column_number(&self, series: SeriesRef) -> Option<u32> {
        self.column_numbers.get(&series).copied()
    }

    pub(super) fn put_item(&mut self, number: u32, item: &Item, into: &mut Vec<u8>) -> u32 {
        let (kind, labels) = match item {
            Item::Single(labels) => (1, labels),
            Item::Family { labels, .. } => (2, labels),
        };
        into.push(kind);
        self.put_labels(labels, into);
        self.add_item(LoggedItem { item: number, column: ROWS, layout: NO_LAYOUT })
    }

    pub(super) fn put_column(&mut self, series: SeriesRef, labels: &Labels, into: &mut Vec<u8>) -> u32 {
        into.push(3);
        self.put_labels(labels, into);
        self.add_item(LoggedItem { item: series.item, column: series.column, layout: NO_LAYOUT })
    }

    fn put_one_column(&mut self, column: &Column, into: &mut Vec<u8>) {
        match column {
            Column::Bucket(bound) => {
                into.push(0);
                self.put_symbol(bound, into);
            }
            Column::Count => into.push(1),
            Column::Sum => into.push(2),
        }
    }

    /// Defines an item for late samples.
    pub(super) fn put_late_item(&mut self, number: u32, item: &Item, into: &mut Vec<u8>) -> u32 {
        let (kind, labels) = match item {
            Item::Single(labels) => (1, labels),
            Item::Family { labels, .. } => (2, labels),
        };
        into.push(kind);
        self.put_labels(labels, into);
        self.add_late(SeriesRef { item: number, column: ROWS })
    }

    /// Defines a column of a histogram for late samples.
    pub(super) fn put_late_column(&mut self, series: SeriesRef, labels: &Labels, into: &mut Vec<u8>) -> u32 {
        into.push(3);
        self.put_labels(labels, into);
        self.add_late(series)
    }

    fn add_late(&mut self, own: SeriesRef) -> u32 {
        let number = next(self.items.len());
        let SeriesRef { item, column } = own;
        self.items.push(LoggedItem { item, column, layout: NO_LAYOUT });
        self.late_numbers.insert(own, number);
        number
    }

    /// Whether the newest row of this item has this layout.
    pub(super) fn has_layout(&self, logged: u32, layout: &Arc<Layout>) -> bool {
        let known =
            self.items.get(logged as usize).and_then(|logged| self.layouts.get(logged.layout as usize));
        known.is_some_and(|known| Arc::ptr_eq(known, layout))
    }

    pub(super) fn set_layout(&mut self, logged: u32, layout: u32) {
        if let Some(logged) = self.items.get_mut(logged as usize) {
            logged.layout = layout;
        }
    }

    /// The number of a layout, which is defined if it has none. Tells whether it was.
    pub(super) fn layout_number(&mut self, layout: &Arc<Layout>, into: &mut Vec<u8>) -> (u32, bool) {
        let address = Arc::as_ptr(layout).addr();
        if let Some(number) = self.layout_numbers.get(&address) {
            return (*number, false);
        }
        into.push(0);
        varint::put(into, layout.width() as u64);
        for column in layout.columns() {
            self.put_one_column(column, into);
        }
        let number = next(self.layouts.len());
        self.layouts.push(layout.clone());
        self.layout_numbers.insert(address, number);
        (number, true)
    }

    fn add_item(&mut self, logged: LoggedItem) -> u32 {
        let number = next(self.items.len());
        self.items.push(logged);
        if logged.column == ROWS {
            let slot = logged.item as usize;
            if self.item_numbers.len() <= slot {
                self.item_numbers.resize(slot.saturating_add(1), 0);
            }
            if let Some(slot) = self.item_numbers.get_mut(slot) {
                *slot = number.saturating_add(1);
            }
        } else {
            self.column_numbers.insert(SeriesRef { item: logged.item, column: logged.column }, number);
        }
        number
    }

    fn put_labels(&mut self, labels: &Labels, into: &mut Vec<u8>) {
        varint::put(into, labels.len() as u64);
        for label in labels {
            self.put_symbol(&label.name, into);
            self.put_symbol(&label.value, into);
        }
    }

    fn put_symbol(&mut self, symbol: &Arc<str>, into: &mut Vec<u8>) {
        let address = Arc::as_ptr(symbol).addr();
        if let Some(number) = self.symbol_numbers.get(&address) {
            return varint::put(into, u64::from(*number));
        }
        into.push(0);
        varint::put(into, symbol.len() as u64);
        into.extend_from_slice(symbol.as_bytes());
        self.symbols.push(symbol.clone());
        self.symbol_numbers.insert(address, next(self.symbols.len()));
    }

    /// Takes one definition from the front of `bytes`, and makes what it defines in the index if it is not there.
    ///
    /// # Errors
    ///
    /// What the index refuses. `None`: damaged.
    pub(super) fn take_definition(&mut self, bytes: &mut &[u8], index: &mut Index) -> Option<Result<()>> {
        let (kind, rest) = bytes.split_first()?;
        *bytes = rest;
        match kind {
            0 => {
                let layout = self.take_layout(bytes, index)?;
                self.layouts.push(layout);
                Some(Ok(()))
            }
            1 => {
                let labels = self.take_labels(bytes)?;
                Some(index.restore_single(&labels).map(|series| {
                    self.items.push(LoggedItem { item: series.item, column: ROWS, layout: NO_LAYOUT });
                }))
            }
            2 => {
                let labels = self.take_labels(bytes)?;
                Some(index.restore_family(&labels, &[]).map(|item| {
                    self.items.push(LoggedItem { item, column: ROWS, layout: NO_LAYOUT });
                }))
            }
            3 => {
                let labels = self.take_labels(bytes)?;
                Some(index.restore_column(&labels)?.map(|SeriesRef { item, column }| {
                    self.items.push(LoggedItem { item, column, layout: NO_LAYOUT });
                }))
            }
            _ => None,
        }
    }

    fn take_layout(&mut self, bytes: &mut &[u8], index: &mut Index) -> Option<Arc<Layout>> {
        let width = usize::try_from(varint::take(bytes)?).ok().filter(|width| *width <= bytes.len())?;
        let mut columns = Vec::with_capacity(width);
        for _ in 0..width {
            columns.push(self.take_column(bytes)?);
        }
        let layout = index.layout(&columns);
        (layout.columns() == columns).then_some(layout)
    }

    fn take_column(&mut self, bytes: &mut &[u8]) -> Option<Column> {
        let (kind, rest) = bytes.split_first()?;
        *bytes = rest;
        match kind {
            0 => Some(Column::Bucket(self.take_symbol(bytes)?)),
            1 => Some(Column::Count),
            2 => Some(Column::Sum),
            _ => None,
        }
    }

    fn take_labels(&mut self, bytes: &mut &[u8]) -> Option<Labels> {
        let count = usize::try_from(varint::take(bytes)?).ok().filter(|count| *count <= bytes.len())?;
        let mut labels: Vec<Label> = Vec::with_capacity(count);
        for _ in 0..count {
            let name = self.take_symbol(bytes)?;
            if labels.last().is_some_and(|before| *before.name >= *name) {
                return None;
            }
            labels.push(Label { name, value: self.take_symbol(bytes)? });
        }
        Some(Labels::from_sorted(Arc::<[Label]>::from(labels)))
    }

    fn take_symbol(&mut self, bytes: &mut &[u8]) -> Option<Arc<str>> {
        match varint::take(bytes)? {
            0 => {
                let symbol: Arc<str> = std::str::from_utf8(varint::take_bytes(bytes)?).ok()?.into();
                self.symbols.push(symbol.clone());
                Some(symbol)
            }
            number => self.symbols.get(usize::try_from(number).ok()?.checked_sub(1)?).cloned(),
        }
    }
}
