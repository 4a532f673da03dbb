//! Chunks that overlap in time, read as one.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{Chunk, FamilyBuffer, Layout, Wanted, corrupt};
use crate::error::Result;
use crate::model::{SampleBuffer, Window};

/// Chunks of one series, or of one classic histogram, whose times overlap. Where two have a sample at the same time it is
/// that of the first.
#[derive(Debug)]
pub(crate) struct Merged {
    /// The chunks, and which column of each the series is.
    parts: Vec<(Chunk, usize)>,
    /// Of a histogram: all columns that the chunks have.
    layout: Option<Arc<Layout>>,
    range: Option<(i64, i64)>,
}

fn range_of<'a>(chunks: impl Iterator<Item = &'a Chunk>) -> Option<(i64, i64)> {
    chunks.filter_map(|chunk| chunk.time_range()).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}

impl Merged {
    /// A series whose samples are columns of these chunks.
    pub(crate) fn series(parts: Vec<(Chunk, usize)>) -> Chunk {
        let range = range_of(parts.iter().map(|(chunk, _)| chunk));
        Chunk::Merged(Arc::new(Self { parts, layout: None, range }))
    }

    /// A histogram whose rows these chunks hold; `layout` has all their columns.
    pub(crate) fn rows(chunks: impl IntoIterator<Item = Chunk>, layout: Arc<Layout>) -> Chunk {
        let parts: Vec<(Chunk, usize)> = chunks.into_iter().map(|chunk| (chunk, 0)).collect();
        let range = range_of(parts.iter().map(|(chunk, _)| chunk));
        Chunk::Merged(Arc::new(Self { parts, layout: Some(layout), range }))
    }

    pub(super) fn read(&self, column: usize, window: Window, into: &mut SampleBuffer) -> Result<()> {
        let mut all = SampleBuffer::default();
        for (chunk, own) in &self.parts {
            let own = match &self.layout {
                None => Some(*own),
                Some(layout) => layout.columns().get(column).and_then(|column| {
                    let own = chunk.layout()?;
                    own.position(column)
                }),
            };
            if let Some(own) = own {
                let mut part = SampleBuffer::default();
                chunk.read(own, window, &mut part)?;
                all.extend(&part);
            }
        }
        merge_samples(all, into);
        Ok(())
    }

    pub(super) fn read_rows(&self, window: Window, wanted: Wanted, into: &mut FamilyBuffer) -> Result<()> {
        let Some(layout) = &self.layout else { return Err(corrupt("a single series has no rows")) };
        let mut tables: Vec<(FamilyBuffer, SmallVec<[Option<usize>; 24]>)> = Vec::new();
        for (chunk, _) in &self.parts {
            let Some(own) = chunk.layout() else { return Err(corrupt("a single series has no rows")) };
            let mut table = FamilyBuffer::default();
            chunk.read_rows(window, wanted, &mut table)?;
            let places = layout.columns().iter().map(|column| own.position(column)).collect();
            tables.push((table, places));
        }
        let mut order: Vec<(i64, usize, usize)> = Vec::new();
        for (table, (rows, _)) in tables.iter().enumerate() {
            order.extend(rows.times().iter().enumerate().map(|(row, time)| (*time, table, row)));
        }
        order.sort_unstable();
        let width = layout.width();
        for same in order.chunk_by(|a, b| a.0 == b.0) {
            let Some((time, ..)) = same.first() else { continue };
            let mut row: SmallVec<[f64; 24]> = SmallVec::from_elem(0.0, width);
            let mut absent: SmallVec<[u64; 2]> = SmallVec::from_elem(0, width.div_ceil(64));
            for (column, value) in row.iter_mut().enumerate() {
                let found = same.iter().find_map(|(_, table, row)| {
                    let (table, places) = tables.get(*table)?;
                    let place = (*places.get(column)?)?;
                    if table.has(*row, place) { table.row(*row).get(place).copied() } else { None }
                });
                match found {
                    Some(found) => *value = found,
                    None => {
                        if let Some(word) = absent.get_mut(column / 64) {
                            *word |= 1 << (column % 64);
                        }
                    }
                }
            }
            let is_whole = absent.iter().all(|word| *word == 0);
            into.push_row(*time, &row, if is_whole { &[] } else { &absent });
        }
        Ok(())
    }

    pub(super) fn layout(&self) -> Option<&Arc<Layout>> {
        self.layout.as_ref()
    }

    pub(super) fn byte_size(&self) -> usize {
        let parts = self.parts.iter().map(|(chunk, _)| chunk.byte_size());
        let own = size_of_val(&*self.parts).saturating_add(size_of::<Self>());
        parts.fold(own, usize::saturating_add)
    }

    pub(super) fn time_range(&self) -> Option<(i64, i64)> {
        self.range
    }
}

/// Appends samples that stand in no order; of those of one time the first.
fn merge_samples(all: SampleBuffer, into: &mut SampleBuffer) {
    let starts = all.starts.iter().copied().chain(std::iter::repeat(0));
    let floats = all.times.iter().zip(&all.values).zip(starts);
    let mut floats: Vec<(i64, f64, i64)> =
        floats.map(|((time, value), start)| (*time, *value, start)).collect();
    floats.sort_by_key(|(time, ..)| *time);
    floats.dedup_by_key(|(time, ..)| *time);
    for (time, value, start) in floats {
        into.push_float(time, value, start);
    }
    let mut histograms = all.histograms;
    histograms.sort_by_key(|(time, ..)| *time);
    histograms.dedup_by_key(|(time, ..)| *time);
    into.histograms.extend(histograms);
}

/// Whether the chunks come one behind the other in time.
pub(crate) fn is_rising<'a>(chunks: impl IntoIterator<Item = &'a Chunk>) -> bool {
    let mut end = None;
    chunks.into_iter().filter_map(|chunk| chunk.time_range()).all(|(first, last)| {
        let rises = end.is_none_or(|end| first > end);
        end = Some(last);
        rises
    })
}

/// Items that stand in no order, by their times; those that overlap come together, in the order in which they stood.
pub(crate) fn overlapping<T>(
    items: impl IntoIterator<Item = T>,
    range: impl Fn(&T) -> Option<(i64, i64)>,
) -> Vec<Vec<T>> {
    let mut ranged: Vec<((i64, i64), usize, T)> = items
        .into_iter()
        .enumerate()
        .filter_map(|(number, item)| Some((range(&item)?, number, item)))
        .collect();
    ranged.sort_by_key(|((first, _), number, _)| (*first, *number));
    let mut groups: Vec<(i64, Vec<(usize, T)>)> = Vec::new();
    for ((first, last), number, item) in ranged {
        match groups.last_mut() {
            Some((end, group)) if first <= *end => {
                *end = (*end).max(last);
                group.push((number, item));
            }
            _ => groups.push((last, vec![(number, item)])),
        }
    }
    let in_order = |(_, mut group): (i64, Vec<(usize, T)>)| {
        group.sort_by_key(|(number, _)| *number);
        group.into_iter().map(|(_, item)| item).collect()
    };
    groups.into_iter().map(in_order).collect()
}
