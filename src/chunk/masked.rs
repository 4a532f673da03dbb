//! A chunk of which a part is hidden.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{Chunk, FamilyBuffer, Layout, Wanted};
use crate::error::Result;
use crate::model::{SampleBuffer, Window};

/// What of a chunk is not to be seen any more: times of some columns.
#[derive(Clone, Debug)]
pub(crate) struct Hidden {
    /// First and last time.
    pub(crate) times: (i64, i64),
    /// By bit, which columns; `None`: all.
    pub(crate) columns: Option<SmallVec<[u64; 2]>>,
}

impl Hidden {
    fn covers(&self, time: i64, column: usize) -> bool {
        self.times.0 <= time
            && time <= self.times.1
            && self.columns.as_ref().is_none_or(|columns| {
                columns.get(column / 64).is_some_and(|word| word >> (column % 64) & 1 == 1)
            })
    }

    /// Whether all samples of a chunk with this first and last time are hidden.
    pub(crate) fn covers_all(&self, (first, last): (i64, i64)) -> bool {
        self.columns.is_none() && self.times.0 <= first && last <= self.times.1
    }

    /// Takes in another one of the same columns that overlaps this one or begins where it ends. `false`: there is more between
    /// them, or it is not that of the same columns.
    fn join(&mut self, other: &Self) -> bool {
        let (first, last) = other.times;
        let is_near = first <= self.times.1.saturating_add(1) && self.times.0 <= last.saturating_add(1);
        let joins = is_near && self.columns == other.columns;
        if joins {
            self.times = (self.times.0.min(first), self.times.1.max(last));
        }
        joins
    }

    /// Whether there may be a hidden sample between these times, both included.
    pub(crate) fn touches(&self, (first, last): (i64, i64)) -> bool {
        self.times.0 <= last && first <= self.times.1
    }
}

/// A chunk, and what of it is hidden.
#[derive(Debug)]
pub(crate) struct Masked {
    chunk: Chunk,
    hidden: SmallVec<[Hidden; 1]>,
}

impl Masked {
    /// The chunk without what is hidden; `None` if nothing is left.
    pub(crate) fn without(chunk: Chunk, hidden: SmallVec<[Hidden; 1]>) -> Option<Chunk> {
        let range = chunk.time_range()?;
        let hidden: SmallVec<[Hidden; 1]> =
            hidden.into_iter().filter(|hidden| hidden.touches(range)).collect();
        if hidden.is_empty() {
            return Some(chunk);
        }
        let (chunk, all) = match &chunk {
            // A mask over a mask is one mask: deletions must not make chunks ever deeper.
            Chunk::Masked(masked) => (masked.chunk.clone(), joined(masked.hidden.clone(), hidden)),
            _ => (chunk, hidden),
        };
        let is_gone = all.iter().any(|hidden| hidden.covers_all(range));
        (!is_gone).then(|| Chunk::Masked(Arc::new(Self { chunk, hidden: all })))
    }

    pub(super) fn read(&self, column: usize, window: Window, into: &mut SampleBuffer) -> Result<()> {
        let mut all = SampleBuffer::default();
        self.chunk.read(column, window, &mut all)?;
        let is_seen = |time: i64| !self.hidden.iter().any(|hidden| hidden.covers(time, column));
        let starts = all.starts.iter().copied().chain(std::iter::repeat(0));
        for ((time, value), start) in all.times.iter().zip(&all.values).zip(starts) {
            if is_seen(*time) {
                into.push_float(*time, *value, start);
            }
        }
        into.histograms.extend(all.histograms.into_iter().filter(|(time, ..)| is_seen(*time)));
        Ok(())
    }

    pub(super) fn read_rows(&self, window: Window, wanted: Wanted, into: &mut FamilyBuffer) -> Result<()> {
        let mut all = FamilyBuffer::default();
        self.chunk.read_rows(window, wanted, &mut all)?;
        for (row, time) in all.times().iter().enumerate() {
            let mut absent: SmallVec<[u64; 2]> = SmallVec::from_elem(0, all.width().div_ceil(64));
            let mut seen = 0_usize;
            for column in 0..all.width() {
                let is_seen =
                    all.has(row, column) && !self.hidden.iter().any(|hidden| hidden.covers(*time, column));
                seen = seen.saturating_add(usize::from(is_seen));
                if let Some(word) = absent.get_mut(column / 64).filter(|_| !is_seen) {
                    *word |= 1 << (column % 64);
                }
            }
            match seen {
                0 => {}
                _ if seen == all.width() => into.push_row(*time, all.row(row), &[]),
                _ => into.push_row(*time, all.row(row), &absent),
            }
        }
        Ok(())
    }

    pub(super) fn layout(&self) -> Option<&Arc<Layout>> {
        self.chunk.layout()
    }

    pub(super) fn byte_size(&self) -> usize {
        self.chunk.byte_size().saturating_add(size_of_val(&*self.hidden)).saturating_add(size_of::<Self>())
    }

    /// First and last time, those of hidden samples included.
    pub(super) fn time_range(&self) -> Option<(i64, i64)> {
        self.chunk.time_range()
    }
}

/// What both hide.
fn joined(mut all: SmallVec<[Hidden; 1]>, more: SmallVec<[Hidden; 1]>) -> SmallVec<[Hidden; 1]> {
    for mut new in more {
        // What it has joined may reach to others.
        while let Some(place) = all.iter().position(|known| new.join(known)) {
            all.swap_remove(place);
        }
        all.push(new);
    }
    all
}
