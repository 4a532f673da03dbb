//! Items of a segment, and where their chunks lie.
//!
//! ```text
//! items  records in blocks, see `blocks`, in the order of labels, then of kinds:
//!   length  varint   of the record that follows
//!   kind    u8       0 single series    1 classic histogram, under the labels that its series share
//!                    2 series of a classic histogram, on its own
//!   labels  varint;  each: name and value, numbers of symbols
//!   chunks  varint;  each:
//!     layout  varint   of a histogram only: its number
//!     first   varint   zigzag: first time less the last time of the chunk before, which starts as 0
//!     span    varint   last time less first time
//!     gap     varint   zigzag: offset less the end of the chunk before, which starts as 0
//!     length  varint
//! ```

use std::sync::Arc;

use smallvec::SmallVec;

use super::super::index::Index;
use super::blocks::{BLOCK, Blocks};
use super::symbols::Symbols;
use crate::chunk::{Column, Layout, Place};
use crate::codec::varint;
use crate::model::{Label, Labels};

/// What an item of a segment is. Items with the same labels lie in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PartKind {
    /// A series that belongs to no histogram.
    Single = 0,
    /// A classic histogram as one.
    Family = 1,
    /// A series of a classic histogram, on its own.
    Column = 2,
}

/// The labels of an item as numbers of a name and of a value: they compare as the labels do.
pub(super) type Pairs = SmallVec<[(u32, u32); 16]>;

/// An item as it lies in the file.
#[derive(Clone, Debug)]
pub(super) struct Record<'a> {
    pub(super) kind: PartKind,
    pub(super) pairs: Pairs,
    /// Its chunks, and where they start in the section.
    pub(super) directory: &'a [u8],
    pub(super) place: u32,
}

impl Record<'_> {
    /// Whether the chunks hold the columns of a histogram.
    pub(super) fn is_family(&self) -> bool {
        self.kind == PartKind::Family
    }

    /// The labels as texts.
    pub(super) fn labels(&self, symbols: &Symbols) -> Option<Labels> {
        let mut values = symbols.values();
        let mut labels = Vec::with_capacity(self.pairs.len());
        for (name, value) in &self.pairs {
            let value = Arc::from(values.get(*value).filter(|value| !value.is_empty())?);
            labels.push(Label { name: symbols.name(u64::from(*name))?.clone(), value });
        }
        Some(Labels::from_sorted(Arc::<[Label]>::from(labels)))
    }

    /// The value of a label, "" if there is none.
    pub(super) fn value(&self, name: Option<u32>, symbols: &Symbols) -> Option<String> {
        let pair = name.and_then(|name| self.pairs.iter().find(|(own, _)| *own == name));
        let Some((_, value)) = pair else { return Some(String::new()) };
        symbols.values().get(*value).map(str::to_owned)
    }
}

/// The items of a segment by their number there. `None` from its functions: the section does not decode.
#[derive(Debug)]
pub(super) struct ItemTable {
    records: Blocks,
}

impl ItemTable {
    pub(super) fn new(records: Blocks) -> Self {
        Self { records }
    }

    pub(super) fn count(&self) -> u32 {
        self.records.count()
    }

    pub(super) fn get(&self, number: u32) -> Option<Record<'_>> {
        let (mut rest, end) = self.records.block(number / BLOCK)?;
        for _ in 0..number % BLOCK {
            varint::take_bytes(&mut rest)?;
        }
        let record = varint::take_bytes(&mut rest)?;
        let end = u32::try_from((end as usize).checked_sub(rest.len())?).ok()?;
        read_record(record, end)
    }

    /// The directory at a place that a record has told, and what follows.
    pub(super) fn directory(&self, start: u32) -> Option<&[u8]> {
        self.records.bytes().get(start as usize..)
    }

    /// The item with these labels of this kind, if it is there: items are in their order.
    pub(super) fn find(&self, pairs: &Pairs, kind: PartKind) -> Option<Option<u32>> {
        let wanted = (pairs, kind);
        let (mut low, mut high) = (0, self.records.len());
        while low < high {
            let middle = low.midpoint(high);
            let first = self.get(middle.checked_mul(BLOCK)?)?;
            if (&first.pairs, first.kind) <= wanted { low = middle.checked_add(1)? } else { high = middle }
        }
        let Some(block) = low.checked_sub(1) else { return Some(None) };
        let start = block.checked_mul(BLOCK)?;
        for number in start..start.checked_add(BLOCK)?.min(self.count()) {
            let record = self.get(number)?;
            if (&record.pairs, record.kind) == wanted {
                return Some(Some(number));
            }
        }
        Some(None)
    }
}

/// Reads the record that ends at `end`.
fn read_record(record: &[u8], end: u32) -> Option<Record<'_>> {
    let (kind, mut rest) = record.split_first()?;
    let kind = match kind {
        0 => PartKind::Single,
        1 => PartKind::Family,
        2 => PartKind::Column,
        _ => return None,
    };
    let number = |rest: &mut &[u8]| u32::try_from(varint::take(rest)?).ok();
    let count = usize::try_from(varint::take(&mut rest)?).ok().filter(|count| *count <= rest.len())?;
    let mut pairs = Pairs::with_capacity(count);
    for _ in 0..count {
        let pair = (number(&mut rest)?, number(&mut rest)?);
        if pairs.last().is_some_and(|before| before.0 >= pair.0) {
            return None;
        }
        pairs.push(pair);
    }
    let place = end.checked_sub(u32::try_from(rest.len()).ok()?)?;
    Some(Record { kind, pairs, directory: rest, place })
}

/// The layouts of a segment, as the index has them.
pub(super) fn read_layouts(
    mut bytes: &[u8],
    symbols: &Symbols,
    index: &mut Index,
) -> Option<Vec<Arc<Layout>>> {
    let count = usize::try_from(varint::take(&mut bytes)?).ok().filter(|count| *count <= bytes.len())?;
    let mut layouts = Vec::with_capacity(count);
    let mut values = symbols.values();
    for _ in 0..count {
        let width = usize::try_from(varint::take(&mut bytes)?).ok().filter(|width| *width <= bytes.len())?;
        let mut columns = Vec::with_capacity(width);
        for _ in 0..width {
            let (kind, rest) = bytes.split_first()?;
            bytes = rest;
            columns.push(match kind {
                0 => Column::Bucket(Arc::from(values.get(u32::try_from(varint::take(&mut bytes)?).ok()?)?)),
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

/// Goes through a chunk directory that fills `bytes`: number of the layout (0 for a single series), and the place.
pub(super) fn walk(mut bytes: &[u8], is_family: bool, each: impl FnMut(u64, Place)) -> Option<()> {
    walk_first(&mut bytes, is_family, each)?;
    bytes.is_empty().then_some(())
}

/// The same with a directory at the front of `bytes`, and moves past it.
pub(super) fn walk_first(bytes: &mut &[u8], is_family: bool, mut each: impl FnMut(u64, Place)) -> Option<()> {
    let count = varint::take(bytes)?;
    let (mut time, mut end) = (0_i64, 0_u64);
    for _ in 0..count {
        let layout = if is_family { varint::take(bytes)? } else { 0 };
        // Between the ends of time a step wraps around, as it did when it was written.
        let first = time.wrapping_add(varint::take_signed(bytes)?);
        let last = first.wrapping_add_unsigned(varint::take(bytes)?);
        if last < first {
            return None;
        }
        let offset = end.checked_add_signed(varint::take_signed(bytes)?)?;
        let length = u32::try_from(varint::take(bytes)?).ok()?;
        (time, end) = (last, offset.checked_add(u64::from(length))?);
        each(layout, Place { offset, length, first, last });
    }
    Some(())
}
