//! The samples of one classic histogram: chunks of rows that are full, and rows that grow.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::chunk::{Chunk, FamilyRows, Hidden, LastRow, LastValue, Layout, Masked, Told, touches};
use crate::error::Result;
use crate::model::{Sample, SampleBuffer, SampleValue, Timestamp, Window};

use super::super::index::ColumnList;
use super::CHUNK_ROWS;
use super::series::{SeriesHead, full_sizes};

/// Rows that are no increments stay together for as long, whatever comes.
const FEW_ROWS: u32 = 16;

/// A classic histogram's samples.
#[derive(Clone, Debug)]
pub(crate) struct FamilyHead {
    full: Vec<Chunk>,
    full_bytes: usize,
    tail: FamilyRows,
}

impl FamilyHead {
    pub(crate) fn new(layout: Arc<Layout>) -> Self {
        Self { full: Vec::new(), full_bytes: 0, tail: FamilyRows::new(layout, None) }
    }

    /// The time of the newest row.
    pub(crate) fn last_time(&self) -> Option<i64> {
        self.tail.last_time()
    }

    /// Whether the newest row was deleted, or is none of this layout.
    fn lacks_newest(&self) -> bool {
        self.tail.last().present(self.tail.layout()) == 0
    }

    /// Whether a row of this time may be the next one that a log tells; see [`SeriesHead::may_follow`].
    #[inline]
    pub(crate) fn may_follow(&self, time: i64) -> bool {
        self.last_time().is_none_or(|last| time > last) || self.lacks_newest()
    }

    /// The layout of the newest rows, and the newest row.
    pub(crate) fn newest(&self) -> (&Arc<Layout>, &LastRow) {
        (self.tail.layout(), self.tail.last())
    }

    /// The rows to come have these columns.
    pub(crate) fn set_layout(&mut self, layout: Arc<Layout>) {
        self.finish_tail();
        self.tail = FamilyRows::new(layout, self.last_time());
    }

    /// Appends the row whose body stands at the front of `bytes`, later than all before it, and moves past it. `None`: the
    /// body is damaged. So many rows are expected behind it.
    #[inline(always)]
    pub(crate) fn push(&mut self, time: i64, bytes: &mut &[u8], to_come: usize) -> Option<()> {
        let to_come = to_come.min(CHUNK_ROWS.saturating_sub(self.tail.count() as usize));
        match bytes.first() {
            Some(0) => self.push_absolute(time, bytes, to_come)?,
            _ => {
                self.tail.push(time, bytes, to_come)?;
            }
        }
        if self.tail.count() as usize >= CHUNK_ROWS {
            self.finish_tail();
        }
        Some(())
    }

    /// Absolute in the log may well be increments here: a new file of the log begins with absolute rows.
    #[inline(never)]
    fn push_absolute(&mut self, time: i64, bytes: &mut &[u8], to_come: usize) -> Option<()> {
        let tail = &mut self.tail;
        let mut row = LastRow::default();
        row.take(tail.layout(), bytes)?;
        if tail.is_new() && row.states_itself(tail.layout()) {
            return tail.begin(time, row, to_come);
        }
        let (mut values, mut body) = (SmallVec::new(), Vec::new());
        let absent = row.values(tail.layout(), &mut values);
        let mut last = tail.last().clone();
        let told = last.put_values(tail.layout(), &values, &absent, &mut body);
        let enough = tail.count() >= FEW_ROWS && told == Told::Whole;
        if enough || !tail.can_follow(told) {
            self.finish_tail();
        }
        self.tail.push(time, &mut body.as_slice(), to_come)?;
        Some(())
    }

    #[inline(never)]
    fn finish_tail(&mut self) {
        if self.tail.count() > 0 {
            let chunk = Chunk::Rows(Arc::new(self.tail.take_rows()));
            self.full_bytes = self.full_bytes.saturating_add(chunk.byte_size());
            self.full.push(chunk);
        }
    }

    /// Reads a little of what a question about the newest rows needs.
    pub(crate) fn touch(&self) -> u64 {
        self.tail.touch() ^ self.tail.time_range().map_or(0, |(first, _)| first.cast_unsigned())
    }

    /// The newest rows, which are in no chunk yet.
    pub(super) fn tail(&self) -> &FamilyRows {
        &self.tail
    }

    /// The chunks of rows that touch the window in time order, the tail left out.
    pub(super) fn full_chunks(&self, window: Window) -> impl Iterator<Item = Chunk> + '_ {
        let full = if self.tail_begins_by(window.after.as_millis()) { &[][..] } else { &self.full };
        full.iter().filter(move |chunk| touches(chunk.time_range(), window)).cloned()
    }

    /// Whether the newest rows, which are in no chunk yet, begin at `time` or before.
    pub(super) fn tail_begins_by(&self, time: i64) -> bool {
        self.tail.time_range().is_some_and(|(first, _)| first <= time)
    }

    /// First and last time of what is held here.
    pub(crate) fn time_range(&self) -> Option<(i64, i64)> {
        let first = self.full.first().and_then(|chunk| chunk.time_range());
        let last = self.tail.time_range().or_else(|| self.full.last().and_then(|chunk| chunk.time_range()));
        Some((first.or(self.tail.time_range())?.0, last?.1))
    }

    /// Forgets full chunks that end at `until` or before.
    pub(crate) fn forget(&mut self, until: i64) {
        self.full.retain(|chunk| chunk.time_range().is_some_and(|(_, last)| last > until));
        self.full_bytes = full_sizes(&self.full);
    }

    /// Whether there is a full chunk that ends at `until` or before.
    pub(crate) fn can_forget(&self, until: i64) -> bool {
        self.full.first().and_then(|chunk| chunk.time_range()).is_some_and(|(_, last)| last <= until)
    }

    /// Takes out what is hidden of rows of a layout. The next row has to be later than the newest one all the same, and is
    /// told relative to nothing if something of that is hidden.
    pub(crate) fn hide(&mut self, hidden: impl Fn(&Layout) -> Option<Hidden>) {
        let own = hidden(self.tail.layout());
        if let Some(own) = &own {
            if self.tail.time_range().is_some_and(|range| own.touches(range)) {
                self.finish_tail();
            }
            if self.last_time().is_some_and(|time| own.touches((time, time))) {
                self.tail = FamilyRows::new(self.tail.layout().clone(), self.last_time());
            }
        }
        let left =
            self.full.drain(..).filter_map(|chunk| match chunk.layout().and_then(|layout| hidden(layout)) {
                Some(hidden) => Masked::without(chunk, SmallVec::from_iter([hidden])),
                None => Some(chunk),
            });
        self.full = left.collect();
        self.full_bytes = full_sizes(&self.full);
    }

    /// The same samples, each column as a series of its own: for what rows cannot hold.
    pub(crate) fn to_columns(&self, columns: &ColumnList) -> Result<Vec<SeriesHead>> {
        let deleted = self.last_time().filter(|_| self.lacks_newest());
        columns
            .iter()
            .map(|column| {
                let mut head = SeriesHead::default();
                let mut samples = SampleBuffer::default();
                // The window's open end leaves out the very first instant, which no row may have.
                for chunk in &self.full {
                    if let Some(position) = chunk.layout().and_then(|layout| layout.position(column)) {
                        chunk.read(position, Window::ALL, &mut samples)?;
                    }
                }
                if let Some(position) = self.tail.layout().position(column) {
                    self.tail.read_column(position, Window::ALL, &mut samples)?;
                }
                for (time, value) in samples.times.iter().zip(&samples.values) {
                    let timestamp = Timestamp::from_millis(*time);
                    let sample = Sample { timestamp, value: SampleValue::Float(*value), start: None };
                    head.append(sample, LastValue::default());
                }
                if let Some(time) = deleted {
                    head.set_last_time(time);
                }
                Ok(head)
            })
            .collect()
    }

    /// Bytes of memory, those of the head itself included.
    pub(crate) fn byte_size(&self) -> usize {
        let full = self.full.capacity().saturating_mul(size_of::<Chunk>()).saturating_add(self.full_bytes);
        let around = const { size_of::<Self>().saturating_sub(size_of::<FamilyRows>()) };
        full.saturating_add(self.tail.byte_size()).saturating_add(around)
    }
}
