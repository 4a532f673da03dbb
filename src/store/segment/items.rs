//! Items of a segment, and where their chunks lie.
//!
//! ```text
//! items  count varint;  for each, in the order of labels:
//!   length  varint   of the record that follows
//!   kind    u8       0 single series    1 classic histogram, under the labels that its series share
//!   labels  varint;  each: name and value, numbers of symbols
//!   chunks  varint;  each:
//!     layout  varint   of a histogram only: its number
//!     first   varint   zigzag: first time less the last time of the chunk before, which starts as 0
//!     span    varint   last time less first time
//!     gap     varint   zigzag: offset less the end of the chunk before, which starts as 0
//!     length  varint
//! ```

use std::sync::Arc;

use parking_lot::RwLock;

use super::super::index::{Index, SeriesRef};
use super::super::options::Limits;
use crate::chunk::{Column, Layout, Place};
use crate::codec::varint;
use crate::error::Result;
use crate::model::{Label, Labels};

/// An item of a segment as one of the index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// The series; of a histogram stored as one: its item.
    pub(crate) series: SeriesRef,
    /// Whether the chunks hold the columns of a histogram.
    pub(crate) is_family: bool,
    /// Where its directory lies.
    directory: (u32, u32),
}

/// The items of a segment, sorted by the number that they have in the index.
#[derive(Debug)]
pub(crate) struct Joined {
    parts: Vec<Part>,
    layouts: Vec<Arc<Layout>>,
    directories: Box<[u8]>,
}

impl Joined {
    /// `None`: the sections do not decode.
    pub(super) fn read(
        symbols: &[u8],
        layouts: &[u8],
        items: &[u8],
        index: &RwLock<Index>,
    ) -> Result<Option<Self>> {
        let Some(symbols) = read_symbols(symbols) else { return Ok(None) };
        let mut index = index.write();
        let Some(layouts) = read_layouts(layouts, &symbols, &mut index) else { return Ok(None) };
        let mut directories = Vec::with_capacity(items.len());
        let mut parts = Vec::new();
        let mut rest = items;
        let Some(count) = varint::take(&mut rest) else { return Ok(None) };
        for _ in 0..count {
            let Some(record) = take_record(&mut rest) else { return Ok(None) };
            let Some((is_family, labels, directory)) = read_item(record, &symbols) else { return Ok(None) };
            let series = if is_family {
                let mut item = index.restore_family(&labels, &[])?;
                let used = |layout: u64| {
                    usize::try_from(layout).ok().and_then(|layout| layouts.get(layout)).cloned()
                };
                let mut seen = Vec::new();
                let decoded = walk(directory, true, |layout, _| seen.push(layout));
                if decoded.is_none() {
                    return Ok(None);
                }
                seen.sort_unstable();
                seen.dedup();
                for layout in seen {
                    let Some(layout) = used(layout) else { return Ok(None) };
                    item = index.restore_family(&labels, layout.columns())?;
                }
                SeriesRef { item, column: 0 }
            } else {
                index.find_or_create(&labels, &Limits::unlimited())?
            };
            let Some(part) = add_directory(&mut directories, directory, series, is_family) else {
                return Ok(None);
            };
            parts.push(part);
        }
        parts.sort_by_key(|part: &Part| part.series);
        Ok(rest.is_empty().then(|| Self { parts, layouts, directories: directories.into() }))
    }

    /// What of the segment belongs to an item of the index.
    pub(crate) fn parts(&self, item: u32) -> impl Iterator<Item = &Part> {
        let start = self.parts.partition_point(|part| part.series.item < item);
        self.parts.get(start..).unwrap_or_default().iter().take_while(move |part| part.series.item == item)
    }

    pub(crate) fn all(&self) -> &[Part] {
        &self.parts
    }

    /// The chunks of a part in time order. `None`: the directory does not decode.
    pub(crate) fn places(
        &self,
        part: &Part,
        mut each: impl FnMut(Place, Option<&Arc<Layout>>),
    ) -> Option<()> {
        let (start, end) = part.directory;
        let directory = self.directories.get(start as usize..end as usize)?;
        let mut known = true;
        walk(directory, part.is_family, |layout, place| {
            let layout = usize::try_from(layout).ok().and_then(|layout| self.layouts.get(layout));
            known &= layout.is_some() || !part.is_family;
            each(place, layout.filter(|_| part.is_family));
        })?;
        known.then_some(())
    }
}

fn add_directory(into: &mut Vec<u8>, directory: &[u8], series: SeriesRef, is_family: bool) -> Option<Part> {
    let start = u32::try_from(into.len()).ok()?;
    into.extend_from_slice(directory);
    Some(Part { series, is_family, directory: (start, u32::try_from(into.len()).ok()?) })
}

fn take_record<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint::take(bytes)?).ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(record)
}

fn read_symbols(mut bytes: &[u8]) -> Option<Vec<Arc<str>>> {
    let count = usize::try_from(varint::take(&mut bytes)?).ok().filter(|count| *count <= bytes.len())?;
    let symbols: Option<Vec<Arc<str>>> =
        (0..count).map(|_| Some(std::str::from_utf8(take_record(&mut bytes)?).ok()?.into())).collect();
    symbols.filter(|_| bytes.is_empty())
}

fn read_layouts(mut bytes: &[u8], symbols: &[Arc<str>], index: &mut Index) -> Option<Vec<Arc<Layout>>> {
    let count = usize::try_from(varint::take(&mut bytes)?).ok().filter(|count| *count <= bytes.len())?;
    let mut layouts = Vec::with_capacity(count);
    for _ in 0..count {
        let width = usize::try_from(varint::take(&mut bytes)?).ok().filter(|width| *width <= bytes.len())?;
        let mut columns = Vec::with_capacity(width);
        for _ in 0..width {
            let (kind, rest) = bytes.split_first()?;
            bytes = rest;
            columns.push(match kind {
                0 => Column::Bucket(symbols.get(usize::try_from(varint::take(&mut bytes)?).ok()?)?.clone()),
                1 => Column::Count,
                2 => Column::Sum,
                _ => return None,
            });
        }
        let layout = index.layout(&columns);
        if layout.columns() != columns {
            return None;
        }
        layouts.push(layout);
    }
    bytes.is_empty().then_some(layouts)
}

fn read_item<'a>(record: &'a [u8], symbols: &[Arc<str>]) -> Option<(bool, Labels, &'a [u8])> {
    let (kind, mut rest) = record.split_first()?;
    let is_family = match kind {
        0 => false,
        1 => true,
        _ => return None,
    };
    let symbol = |rest: &mut &[u8]| symbols.get(usize::try_from(varint::take(rest)?).ok()?).cloned();
    let count = usize::try_from(varint::take(&mut rest)?).ok().filter(|count| *count <= rest.len())?;
    let mut labels: Vec<Label> = Vec::with_capacity(count);
    for _ in 0..count {
        let (name, value) = (symbol(&mut rest)?, symbol(&mut rest)?);
        if labels.last().is_some_and(|before| *before.name >= *name) {
            return None;
        }
        labels.push(Label { name, value });
    }
    Some((is_family, Labels::from_sorted(Arc::<[Label]>::from(labels)), rest))
}

/// Goes through a chunk directory: number of the layout (0 for a single series), and the place.
fn walk(mut bytes: &[u8], is_family: bool, mut each: impl FnMut(u64, Place)) -> Option<()> {
    let count = varint::take(&mut bytes)?;
    let (mut time, mut end) = (0_i64, 0_u64);
    for _ in 0..count {
        let layout = if is_family { varint::take(&mut bytes)? } else { 0 };
        let first = time.checked_add(varint::take_signed(&mut bytes)?)?;
        let last = first.checked_add(i64::try_from(varint::take(&mut bytes)?).ok()?)?;
        let offset = end.checked_add_signed(varint::take_signed(&mut bytes)?)?;
        let length = u32::try_from(varint::take(&mut bytes)?).ok()?;
        (time, end) = (last, offset.checked_add(u64::from(length))?);
        each(layout, Place { offset, length, first, last });
    }
    bytes.is_empty().then_some(())
}

/// A chunk directory that is being written.
#[derive(Debug, Default)]
pub(super) struct DirectoryWriter {
    bytes: Vec<u8>,
    count: u64,
    time: i64,
    end: u64,
}

impl DirectoryWriter {
    pub(super) fn add(&mut self, layout: Option<u32>, place: Place) {
        if let Some(layout) = layout {
            varint::put(&mut self.bytes, u64::from(layout));
        }
        varint::put_signed(&mut self.bytes, place.first.wrapping_sub(self.time));
        varint::put(&mut self.bytes, place.last.wrapping_sub(place.first) as u64);
        varint::put_signed(&mut self.bytes, place.offset.wrapping_sub(self.end) as i64);
        varint::put(&mut self.bytes, u64::from(place.length));
        (self.time, self.end) = (place.last, place.offset.saturating_add(u64::from(place.length)));
        self.count = self.count.saturating_add(1);
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn finish(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes.len().saturating_add(2));
        varint::put(&mut bytes, self.count);
        bytes.extend_from_slice(&self.bytes);
        bytes
    }
}

/// What the writer of a segment knows of its items, so that they need not be read back.
#[derive(Debug, Default)]
pub(super) struct JoinedWriter {
    parts: Vec<Part>,
    directories: Vec<u8>,
}

impl JoinedWriter {
    pub(super) fn add(&mut self, series: SeriesRef, is_family: bool, directory: &[u8]) -> Option<()> {
        self.parts.push(add_directory(&mut self.directories, directory, series, is_family)?);
        Some(())
    }

    pub(super) fn finish(mut self, layouts: Vec<Arc<Layout>>) -> Joined {
        self.parts.sort_by_key(|part| part.series);
        Joined { parts: self.parts, layouts, directories: self.directories.into() }
    }
}
