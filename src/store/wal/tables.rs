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

use super::super::index::{Item, ItemBits, Restoring, SeriesRef};
use super::numbers::Numbers;

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
    /// What a file was read to define; who writes it needs the numbers only.
    symbols: Vec<Arc<str>>,
    pub(super) layouts: Vec<Arc<Layout>>,
    /// The item of each number.
    items: Numbers,
    /// The columns of those that are one, and the layouts of the newest rows, up to the last number that has any.
    columns: Vec<u32>,
    newest_layouts: Vec<u32>,
    /// Texts that are made for the log only, as those of columns are: held, they keep their addresses.
    made: Vec<Arc<str>>,
    /// Room for the labels of a definition.
    labels: Vec<Label>,
    /// Symbols and layouts by their address, which stays theirs for as long as the store lives.
    symbol_numbers: HashMap<usize, u32>,
    layout_numbers: HashMap<usize, u32>,
    /// The number of each item.
    item_numbers: Numbers,
    column_numbers: HashMap<SeriesRef, u32>,
    /// Of what late samples were written for; a single series and the rows of a histogram are column [`ROWS`].
    pub(super) late_numbers: HashMap<SeriesRef, u32>,
}

fn next(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Sets a number of a list that ends with the last one that is set.
fn put_at(list: &mut Vec<u32>, place: u32, number: u32, without: u32) {
    let place = place as usize;
    if list.len() <= place {
        list.resize(place.saturating_add(1), without);
    }
    if let Some(slot) = list.get_mut(place) {
        *slot = number;
    }
}

impl Tables {
    /// The number of an item that is written as rows, or as a single series.
    pub(super) fn item_number(&self, item: u32) -> Option<u32> {
        self.item_numbers.get(item as usize)
    }

    /// The item is defined anew when it is written next.
    pub(crate) fn forget(&mut self, item: u32) {
        self.item_numbers.take_out(item as usize);
    }

    /// Nothing is known of the item any more, which has so many columns: its number may become another one's.
    pub(crate) fn remove(&mut self, item: u32, columns: u32) {
        self.forget(item);
        for numbers in [&mut self.column_numbers, &mut self.late_numbers] {
            if !numbers.is_empty() {
                let own = (0..columns).chain([ROWS]).map(|column| SeriesRef { item, column });
                own.for_each(|series| _ = numbers.remove(&series));
            }
        }
    }

    /// Tells the items that have a number here.
    pub(crate) fn tell_items(&self, known: &mut ItemBits) {
        (0..self.items.len()).filter_map(|number| self.items.get(number)).for_each(|item| known.insert(item));
    }

    /// Whether a text is known by its place in memory.
    pub(crate) fn has_symbol(&self, text: &Arc<str>) -> bool {
        self.symbol_numbers.contains_key(&Arc::as_ptr(text).addr())
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
        self.add_item(SeriesRef { item: number, column: ROWS })
    }

    pub(super) fn put_column(&mut self, series: SeriesRef, labels: &Labels, into: &mut Vec<u8>) -> u32 {
        into.push(3);
        self.hold(labels);
        self.put_labels(labels, into);
        self.add_item(series)
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
        self.hold(labels);
        self.put_labels(labels, into);
        self.add_late(series)
    }

    fn add_late(&mut self, own: SeriesRef) -> u32 {
        let number = self.push(own.item, own.column);
        self.late_numbers.insert(own, number);
        number
    }

    /// The layout of the newest row of what has this number.
    #[inline]
    pub(super) fn layout_of(&self, logged: usize) -> Option<&Arc<Layout>> {
        self.layouts.get(*self.newest_layouts.get(logged)? as usize)
    }

    /// Whether the newest row of this item has this layout.
    pub(super) fn has_layout(&self, logged: u32, layout: &Arc<Layout>) -> bool {
        self.layout_of(logged as usize).is_some_and(|known| Arc::ptr_eq(known, layout))
    }

    pub(super) fn set_layout(&mut self, logged: u32, layout: u32) {
        put_at(&mut self.newest_layouts, logged, layout, NO_LAYOUT);
    }

    /// What a number stands for.
    #[inline]
    pub(super) fn logged(&self, number: usize) -> Option<LoggedItem> {
        let of = |list: &[u32], without: u32| list.get(number).copied().unwrap_or(without);
        let (column, layout) = (of(&self.columns, ROWS), of(&self.newest_layouts, NO_LAYOUT));
        Some(LoggedItem { item: self.items.get(number)?, column, layout })
    }

    /// Defines an item, or one column of it.
    fn push(&mut self, item: u32, column: u32) -> u32 {
        let number = next(self.items.len());
        self.items.set(number as usize, item);
        if column != ROWS {
            put_at(&mut self.columns, number, column, ROWS);
        }
        number
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

    fn add_item(&mut self, own: SeriesRef) -> u32 {
        let number = self.push(own.item, own.column);
        if own.column == ROWS {
            self.item_numbers.set(own.item as usize, number);
        } else {
            self.column_numbers.insert(own, number);
        }
        number
    }

    /// Sees to it that texts which are new here keep their addresses.
    fn hold(&mut self, labels: &Labels) {
        for text in labels.iter().flat_map(|label| [&label.name, &label.value]) {
            if !self.symbol_numbers.contains_key(&Arc::as_ptr(text).addr()) {
                self.made.push(text.clone());
            }
        }
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
        self.symbol_numbers.insert(address, next(self.symbol_numbers.len()).saturating_add(1));
    }

    /// Takes one definition from the front of `bytes`, and makes what it defines in the index if it is not there.
    ///
    /// # Errors
    ///
    /// What the index refuses. `None`: damaged.
    pub(super) fn take_definition(
        &mut self,
        bytes: &mut &[u8],
        index: &mut Restoring<'_>,
    ) -> Option<Result<()>> {
        let (kind, rest) = bytes.split_first()?;
        *bytes = rest;
        match kind {
            0 => {
                let layout = self.take_layout(bytes, index)?;
                self.layouts.push(layout);
                Some(Ok(()))
            }
            1 => {
                let labels = self.take_labels(bytes, index)?;
                Some(index.single(&labels).map(|item| {
                    self.push(item, ROWS);
                }))
            }
            2 => {
                let labels = self.take_labels(bytes, index)?;
                Some(index.shared(&labels).map(|item| {
                    self.push(item, ROWS);
                }))
            }
            3 => {
                let labels = self.take_labels(bytes, index)?;
                Some(index.column(&labels)?.map(|SeriesRef { item, column }| {
                    self.push(item, column);
                }))
            }
            _ => None,
        }
    }

    fn take_layout(&mut self, bytes: &mut &[u8], index: &mut Restoring<'_>) -> Option<Arc<Layout>> {
        let width = usize::try_from(varint::take(bytes)?).ok().filter(|width| *width <= bytes.len())?;
        let mut columns = Vec::with_capacity(width);
        for _ in 0..width {
            columns.push(self.take_column(bytes, index)?);
        }
        let layout = index.layout(&columns);
        (layout.columns() == columns).then_some(layout)
    }

    fn take_column(&mut self, bytes: &mut &[u8], index: &mut Restoring<'_>) -> Option<Column> {
        let (kind, rest) = bytes.split_first()?;
        *bytes = rest;
        match kind {
            0 => Some(Column::Bucket(self.take_symbol(bytes, index)?)),
            1 => Some(Column::Count),
            2 => Some(Column::Sum),
            _ => None,
        }
    }

    fn take_labels(&mut self, bytes: &mut &[u8], index: &mut Restoring<'_>) -> Option<Labels> {
        let count = usize::try_from(varint::take(bytes)?).ok().filter(|count| *count <= bytes.len())?;
        let mut labels = std::mem::take(&mut self.labels);
        labels.clear();
        labels.reserve(count);
        for _ in 0..count {
            let name = self.take_symbol(bytes, index)?;
            if labels.last().is_some_and(|before| *before.name >= *name) {
                return None;
            }
            labels.push(Label { name, value: self.take_symbol(bytes, index)? });
        }
        let taken = Labels::from_sorted(labels.drain(..).collect::<Arc<[Label]>>());
        self.labels = labels;
        Some(taken)
    }

    /// A symbol, which is one of the index as well.
    fn take_symbol(&mut self, bytes: &mut &[u8], index: &mut Restoring<'_>) -> Option<Arc<str>> {
        match varint::take(bytes)? {
            0 => {
                let symbol = index.symbol(std::str::from_utf8(varint::take_bytes(bytes)?).ok()?);
                self.symbols.push(symbol.clone());
                Some(symbol)
            }
            number => self.symbols.get(usize::try_from(number).ok()?.checked_sub(1)?).cloned(),
        }
    }
}
