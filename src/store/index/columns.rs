//! Which columns families have, each list held once.

use std::num::NonZeroU32;
use std::ops::Deref;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::chunk::{Column, Layout};

/// The columns of a family in the order in which they came.
#[derive(Debug)]
pub(crate) struct ColumnList {
    columns: Box<[Column]>,
    layout: Arc<Layout>,
    /// Where each column stands in the layout.
    places: Box<[u16]>,
    /// In the order in which lists came.
    number: NonZeroU32,
}

impl Deref for ColumnList {
    type Target = [Column];

    fn deref(&self) -> &[Column] {
        &self.columns
    }
}

impl ColumnList {
    /// The layout of all columns.
    pub(crate) fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The number by which [`ColumnLists::numbered`] knows it.
    pub(super) fn number(&self) -> NonZeroU32 {
        self.number
    }

    /// Where column `position` stands in the layout.
    pub(crate) fn place(&self, position: u32) -> Option<usize> {
        self.places.get(position as usize).map(|place| usize::from(*place))
    }
}

/// All lists and layouts of a store.
#[derive(Debug, Default)]
pub(crate) struct ColumnLists {
    lists: HashMap<Box<[Column]>, Arc<ColumnList>>,
    numbered: Vec<Arc<ColumnList>>,
    /// A list, by its address, and what it becomes with a column more.
    longer: HashMap<(usize, Column), Arc<ColumnList>>,
    layouts: HashMap<Box<[Column]>, Arc<Layout>>,
    /// A layout of these, by its address, and the list in its order.
    laid_out: HashMap<usize, Arc<ColumnList>>,
}

impl ColumnLists {
    /// A list by its number.
    #[inline]
    pub(super) fn numbered(&self, number: NonZeroU32) -> Option<&Arc<ColumnList>> {
        self.numbered.get((number.get() as usize).wrapping_sub(1))
    }

    /// The list without columns.
    pub(crate) fn empty(&mut self) -> Arc<ColumnList> {
        self.list(Vec::new())
    }

    /// The one layout of these columns.
    pub(crate) fn layout(&mut self, columns: Vec<Column>) -> Arc<Layout> {
        let layout = Layout::new(columns);
        if let Some(known) = self.layouts.get(layout.columns()) {
            return known.clone();
        }
        let layout = Arc::new(layout);
        self.layouts.insert(layout.columns().into(), layout.clone());
        layout
    }

    /// The list of the columns of a layout that is one of these, in its order.
    pub(crate) fn laid_out(&mut self, layout: &Arc<Layout>) -> Arc<ColumnList> {
        // Layouts are never dropped before the store either.
        let address = Arc::as_ptr(layout) as usize;
        if let Some(list) = self.laid_out.get(&address) {
            return list.clone();
        }
        let list = self.list(layout.columns().to_vec());
        if Arc::ptr_eq(list.layout(), layout) {
            self.laid_out.insert(address, list.clone());
        }
        list
    }

    /// The one list of these columns.
    pub(crate) fn list(&mut self, columns: Vec<Column>) -> Arc<ColumnList> {
        if let Some(list) = self.lists.get(columns.as_slice()) {
            return list.clone();
        }
        let layout = self.layout(columns.clone());
        let place = |column: &Column| layout.position(column).and_then(|place| u16::try_from(place).ok());
        let places = columns.iter().map(|column| place(column).unwrap_or(u16::MAX)).collect();
        let columns: Box<[Column]> = columns.into();
        // Every list takes more than a byte of memory for each that there can be.
        let number = u32::try_from(self.numbered.len()).unwrap_or(u32::MAX).saturating_add(1);
        let number = NonZeroU32::new(number).unwrap_or(NonZeroU32::MAX);
        let list = Arc::new(ColumnList { columns: columns.clone(), layout, places, number });
        self.numbered.push(list.clone());
        self.lists.insert(columns, list.clone());
        list
    }

    /// The list with one column more at its end.
    pub(crate) fn longer(&mut self, list: &Arc<ColumnList>, column: Column) -> Arc<ColumnList> {
        // Lists are never dropped before the store, so that an address names one for good.
        let key = (Arc::as_ptr(list) as usize, column);
        if let Some(longer) = self.longer.get(&key) {
            return longer.clone();
        }
        let longer = self.list(list.iter().cloned().chain([key.1.clone()]).collect());
        self.longer.insert(key, longer.clone());
        longer
    }
}
