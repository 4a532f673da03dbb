//! The samples of one classic histogram: sealed rows, and a tail of rows that grows.

use std::sync::Arc;

use crate::chunk::{Chunk, Column, FamilyRows, Layout, RowsBuilder, touches};
use crate::error::Result;
use crate::model::{Sample, SampleBuffer, SampleValue, Timestamp, Window};

use super::series::SeriesHead;

/// Rows in a chunk.
const CHUNK_ROWS: u32 = 128;

/// A classic histogram's samples.
#[derive(Clone, Debug)]
pub(crate) struct FamilyHead {
    sealed: Vec<Arc<Chunk>>,
    sealed_bytes: usize,
    tail: RowsBuilder,
    /// Where the columns of the item stand in the tail's layout; [`UNKNOWN`] where nobody asked yet.
    places: Vec<u16>,
}

const UNKNOWN: u16 = u16::MAX;

impl Default for FamilyHead {
    fn default() -> Self {
        Self {
            sealed: Vec::new(),
            sealed_bytes: 0,
            tail: RowsBuilder::new(Arc::new(Layout::new(Vec::new()))),
            places: Vec::new(),
        }
    }
}

impl FamilyHead {
    /// The time of the newest row.
    pub(crate) fn last_time(&self) -> Option<i64> {
        match self.sealed.last() {
            _ if self.tail.count() > 0 => Some(self.tail.last_time()),
            Some(chunk) => chunk.time_range().map(|(_, last)| last),
            None => None,
        }
    }

    /// Where column `position` of the item stands in the newest rows.
    pub(crate) fn place(&mut self, position: usize, column: &Column) -> Option<usize> {
        if let Some(place) = self.places.get(position).filter(|place| **place != UNKNOWN) {
            return Some(usize::from(*place));
        }
        let place = self.tail.layout().position(column)?;
        if let (Ok(short), true) = (u16::try_from(place), position < usize::from(UNKNOWN)) {
            if self.places.len() <= position {
                self.places.reserve_exact(position.saturating_add(1).saturating_sub(self.places.len()));
                self.places.resize(position.saturating_add(1), UNKNOWN);
            }
            if let Some(known) = self.places.get_mut(position) {
                *known = short;
            }
        }
        Some(place)
    }

    /// How many columns the newest rows have.
    pub(crate) fn width(&self) -> usize {
        self.tail.layout().width()
    }

    /// The newest row, by place; without any row all columns are absent.
    pub(crate) fn last_row(&self) -> &[Option<f64>] {
        self.tail.last_row()
    }

    /// Appends a row later than all before it, by place.
    pub(crate) fn append_placed(&mut self, time: i64, row: &[Option<f64>]) {
        self.push(time, row);
    }

    /// Gives the rows to come these columns as well.
    pub(crate) fn widen<'a>(&mut self, more: impl Iterator<Item = &'a Column>) {
        let columns = self.tail.layout().columns().iter().cloned().chain(more.cloned()).collect();
        self.start_tail(Arc::new(Layout::new(columns)));
    }

    /// Appends a row later than all before it, with a value for every column of the layout.
    pub(crate) fn append_whole_row(&mut self, time: i64, layout: &Arc<Layout>, row: &[Option<f64>]) {
        if !Arc::ptr_eq(self.tail.layout(), layout) && **self.tail.layout() != **layout {
            let known = self.tail.layout().columns();
            if known.iter().any(|column| layout.position(column).is_none()) {
                self.widen(layout.columns().iter());
                let mut wide = vec![None; self.width()];
                for (column, value) in layout.columns().iter().zip(row) {
                    let place = self.tail.layout().position(column);
                    if let Some(place) = place.and_then(|place| wide.get_mut(place)) {
                        *place = *value;
                    }
                }
                return self.push(time, &wide);
            }
            self.start_tail(layout.clone());
        }
        self.push(time, row);
    }

    fn push(&mut self, time: i64, row: &[Option<f64>]) {
        self.tail.push(time, row);
        if self.tail.count() >= CHUNK_ROWS {
            self.seal();
        }
    }

    fn start_tail(&mut self, layout: Arc<Layout>) {
        if self.tail.count() > 0 {
            self.seal();
        }
        self.tail = RowsBuilder::new(layout);
        self.places.clear();
    }

    fn seal(&mut self) {
        let chunk = Chunk::Rows(self.tail.take_rows());
        self.sealed_bytes = self.sealed_bytes.saturating_add(chunk.byte_size());
        self.sealed.push(Arc::new(chunk));
    }

    /// The chunks of rows that touch the window in time order, the tail as it is.
    pub(crate) fn chunks(&self, window: Window) -> impl Iterator<Item = Arc<Chunk>> + '_ {
        let tail = touches(self.tail.time_range(), window).then(|| Arc::new(Chunk::Rows(self.tail.rows())));
        let sealed = self.sealed.iter().filter(move |chunk| touches(chunk.time_range(), window));
        sealed.cloned().chain(tail)
    }

    /// The layouts of the chunks that touch the window.
    pub(crate) fn layouts(&self, window: Window) -> impl Iterator<Item = &Arc<Layout>> + '_ {
        let sealed = self.sealed.iter().filter(move |chunk| touches(chunk.time_range(), window));
        let tail = touches(self.tail.time_range(), window).then(|| self.tail.layout());
        sealed.filter_map(|chunk| rows(chunk).map(FamilyRows::layout)).chain(tail)
    }

    /// The layout of all chunks that touch the window, if they have one and the same.
    pub(crate) fn common_layout(&self, window: Window) -> Option<Arc<Layout>> {
        let mut layouts = self.layouts(window);
        let first = layouts.next()?;
        layouts.all(|layout| Arc::ptr_eq(layout, first) || **layout == **first).then(|| first.clone())
    }

    /// The same samples, each column as a series of its own: for what rows cannot hold.
    pub(crate) fn to_columns(&self, columns: &[Column]) -> Result<Vec<SeriesHead>> {
        columns
            .iter()
            .map(|column| {
                let mut head = SeriesHead::default();
                let mut samples = SampleBuffer::default();
                for chunk in self.chunks(Window::ALL) {
                    let position = rows(&chunk).and_then(|rows| rows.layout().position(column));
                    if let Some(position) = position {
                        // The window's open end leaves out the very first instant, which no row may have.
                        chunk.read(position, Window::ALL, &mut samples)?;
                    }
                }
                for (time, value) in samples.times.iter().zip(&samples.values) {
                    head.append(Sample {
                        timestamp: Timestamp::from_millis(*time),
                        value: SampleValue::Float(*value),
                        start: None,
                    })?;
                }
                Ok(head)
            })
            .collect()
    }

    pub(crate) fn byte_size(&self) -> usize {
        let lists = self.sealed.capacity().saturating_mul(size_of::<Arc<Chunk>>());
        let lists = lists.saturating_add(self.places.capacity().saturating_mul(size_of::<u16>()));
        let held = self.tail.byte_size().saturating_add(self.sealed_bytes);
        held.saturating_add(lists).saturating_add(size_of::<Self>())
    }
}

/// The rows of a family's chunk.
pub(crate) fn rows(chunk: &Chunk) -> Option<&FamilyRows> {
    match chunk {
        Chunk::Rows(rows) => Some(rows),
        Chunk::Columns(_) | Chunk::Xor(_) => None,
    }
}
