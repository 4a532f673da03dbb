//! Applying what a batch says, see `entry`: definitions to the index, entries to the heads.

use std::sync::Arc;

use super::entry::{FLOAT, FLOAT_FIRST, FLOAT_TIME, OTHER, ROW, ROW_LAYOUT, ROW_TIME};
use super::late::{LATE, apply_late};
use super::tables::{NO_LAYOUT, ROWS, Tables};
use crate::chunk::{LastValue, Layout};
use crate::codec::histogram::take_histogram;
use crate::codec::varint;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Sample, SampleValue, Timestamp};

use super::super::head::{FamilyHead, Heads, ItemHeadMut, Page, SeriesHead};
use super::super::index::{Index, ItemRef};
use super::super::sync::RwLock;

/// What applying a batch did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Applied {
    pub(crate) samples: u64,
    /// Bytes by which the heads grew.
    pub(crate) grown: isize,
    pub(crate) newest: Option<i64>,
    /// The oldest sample that came in the order of its series.
    pub(crate) oldest: Option<i64>,
}

impl Applied {
    pub(crate) fn add(&mut self, other: Self) {
        self.samples = self.samples.saturating_add(other.samples);
        self.grown = self.grown.saturating_add(other.grown);
        self.newest = self.newest.max(other.newest);
        self.oldest = [self.oldest, other.oldest].into_iter().flatten().min();
    }

    /// How much older than the newest sample before it the batch goes, but for what came late.
    pub(crate) fn lag(&self, newest: Option<i64>) -> i64 {
        newest.zip(self.oldest).map_or(0, |(newest, oldest)| newest.saturating_sub(oldest).max(0))
    }

    /// A head has so many bytes, and had as many before.
    pub(super) fn grew(&mut self, before: usize, after: usize) {
        self.grown = self.grown.saturating_add_unsigned(after).saturating_sub_unsigned(before);
    }

    pub(super) fn saw(&mut self, time: i64) {
        self.newest = self.newest.max(Some(time));
        self.oldest = Some(self.oldest.map_or(time, |oldest| oldest.min(time)));
    }
}

pub(super) fn damaged() -> Error {
    Error::new(ErrorKind::Corrupt, "a batch of the log does not decode")
}

/// Takes the definitions from the front of a batch.
pub(crate) fn take_definitions(bytes: &mut &[u8], tables: &mut Tables, index: &RwLock<Index>) -> Result<()> {
    let count = varint::take(bytes).ok_or_else(damaged)?;
    if count == 0 {
        return Ok(());
    }
    let mut index = index.write();
    let mut index = index.restoring();
    for _ in 0..count {
        tables.take_definition(bytes, &mut index).ok_or_else(damaged)??;
    }
    Ok(())
}

/// Appends what the entries say to the heads.
pub(crate) fn apply(
    mut bytes: &[u8],
    tables: &mut Tables,
    index: &RwLock<Index>,
    heads: &mut Heads,
) -> Result<Applied> {
    let mut applied = Applied::default();
    let mut entries = Entries::default();
    let mut next = entries.next(&mut bytes, tables)?;
    let mut samples_before = 0;
    while let Some(entry) = next {
        if entry.form == LATE {
            // It lies beside the pages.
            let logged = tables.logged(entry.number).ok_or_else(damaged)?;
            let own = (logged, &*tables.layouts);
            apply_late(&mut bytes, own, entries.time, index, heads, &mut applied).ok_or_else(damaged)??;
            applied.newest = applied.newest.max(Some(entries.time));
            next = entries.next(&mut bytes, tables)?;
            continue;
        }
        if applied.samples.saturating_sub(samples_before) >= MANY {
            heads.touch(entry.item);
        }
        samples_before = applied.samples;
        let page = heads.page_mut(entry.item, &mut applied.grown).ok_or_else(damaged)?;
        next = apply_page(page, entry, &mut entries, &mut bytes, tables, index, &mut applied)?;
    }
    Ok(applied)
}

/// So many samples in a page let the next one be read ahead: it will have as many.
const MANY: u64 = 64;

/// What an entry says before its sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) form: u64,
    pub(super) number: usize,
    pub(super) item: u32,
    pub(super) column: u32,
    /// The layout of the item's newest row, or none.
    pub(super) layout: u32,
    /// So many rows of the item are expected behind this one.
    pub(super) to_come: usize,
}

/// What an entry is told relative to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entries {
    expected: i64,
    pub(super) time: i64,
}

impl Entries {
    /// `None`: there is none.
    #[inline]
    pub(super) fn next(&mut self, bytes: &mut &[u8], tables: &Tables) -> Result<Option<Entry>> {
        if bytes.is_empty() {
            return Ok(None);
        }
        self.take(bytes, tables).ok_or_else(damaged).map(Some)
    }

    #[inline(always)]
    pub(super) fn take(&mut self, bytes: &mut &[u8], tables: &Tables) -> Option<Entry> {
        let head = varint::take(bytes)?;
        let number = self.expected.checked_add(varint::unzigzag(head >> 3))?;
        self.expected = number.checked_add(1)?;
        let form = head & 7;
        if !matches!(form, ROW | FLOAT) {
            // Between the ends of time it wraps around, as it did when it was written.
            self.time = self.time.wrapping_add(varint::take_signed(bytes)?);
        }
        let number = usize::try_from(number).ok()?;
        let logged = tables.logged(number)?;
        let (item, column, layout) = (logged.item, logged.column, logged.layout);
        Some(Entry { form, number, item, column, layout, to_come: 0 })
    }
}

/// Applies entries for as long as they are those of one page; returns the one that is not.
fn apply_page(
    page: &mut Page,
    mut entry: Entry,
    entries: &mut Entries,
    bytes: &mut &[u8],
    tables: &mut Tables,
    index: &RwLock<Index>,
    applied: &mut Applied,
) -> Result<Option<Entry>> {
    loop {
        apply_entry(page, entry, entries.time, bytes, tables, index, applied)?;
        applied.saw(entries.time);
        match entries.next(bytes, tables)? {
            Some(next) if next.form != LATE && Heads::are_neighbours(next.item, entry.item) => entry = next,
            next => return Ok(next),
        }
    }
}

#[inline]
fn apply_entry(
    page: &mut Page,
    entry: Entry,
    time: i64,
    bytes: &mut &[u8],
    tables: &mut Tables,
    index: &RwLock<Index>,
    applied: &mut Applied,
) -> Result<()> {
    // The usual case.
    if let (ROW | ROW_TIME, Some(ItemHeadMut::Family(family))) = (entry.form, page.get_mut(entry.item)) {
        let before = family.byte_size();
        apply_row(family, entry, time, bytes, applied).ok_or_else(damaged)?;
        applied.grew(before, family.byte_size());
        return Ok(());
    }
    let size = |page: &mut Page| page.get_mut(entry.item).map_or(0, |head| head.byte_size());
    let before = size(page);
    apply_other(page, entry, time, bytes, tables, index, applied)?;
    applied.grew(before, size(page));
    Ok(())
}

/// Applies an entry, and does not look at how the page grows.
#[inline(always)]
pub(super) fn apply_to_page(
    page: &mut Page,
    entry: Entry,
    time: i64,
    bytes: &mut &[u8],
    tables: &mut Tables,
    index: &RwLock<Index>,
    applied: &mut Applied,
) -> Result<()> {
    match (entry.form, page.get_mut(entry.item)) {
        (ROW | ROW_TIME, Some(ItemHeadMut::Family(family))) => {
            apply_row(family, entry, time, bytes, applied).ok_or_else(damaged)
        }
        _ => apply_other(page, entry, time, bytes, tables, index, applied),
    }
}

/// Appends a row to a family that has a head, in the layout of the row before.
#[inline(always)]
fn apply_row(
    family: &mut FamilyHead,
    entry: Entry,
    time: i64,
    bytes: &mut &[u8],
    applied: &mut Applied,
) -> Option<()> {
    if entry.layout == NO_LAYOUT || !family.may_follow(time) {
        return None;
    }
    family.push(time, bytes, entry.to_come)?;
    let (layout, row) = family.newest();
    applied.samples = applied.samples.saturating_add(row.present(layout) as u64);
    Some(())
}

/// Applies any entry; to a head that is made if it is not there.
#[inline(never)]
fn apply_other(
    page: &mut Page,
    mut entry: Entry,
    time: i64,
    bytes: &mut &[u8],
    tables: &mut Tables,
    index: &RwLock<Index>,
    applied: &mut Applied,
) -> Result<()> {
    if page.get_mut(entry.item).is_none() {
        let idle = index.read().is_idle(entry.item);
        if idle {
            index.write().wake(entry.item);
        }
        let item = index.read().item(entry.item).map(ItemRef::to_item).ok_or_else(damaged)?;
        page.insert(entry.item, &item);
    }
    let head = page.get_mut(entry.item).ok_or_else(damaged)?;
    match (entry.form, head) {
        (ROW | ROW_TIME | ROW_LAYOUT, ItemHeadMut::Family(family)) => {
            if entry.form == ROW_LAYOUT {
                if !family.may_follow(time) {
                    return Err(damaged());
                }
                let (number, layout) = take_layout(entry, bytes, tables).ok_or_else(damaged)?;
                entry.layout = number;
                restore_columns(index, entry.item, layout)?;
                if !Arc::ptr_eq(family.newest().0, layout) {
                    family.set_layout(layout.clone());
                }
            }
            apply_row(family, entry, time, bytes, applied).ok_or_else(damaged)
        }
        (FLOAT | FLOAT_TIME | FLOAT_FIRST | OTHER, head) => {
            let series = match (head, entry.column) {
                (ItemHeadMut::Series(series), ROWS) => series,
                (_, column) => {
                    let heads = columns_of(index, entry.item, page)?;
                    heads.get_mut(column as usize).ok_or_else(damaged)?
                }
            };
            apply_sample(series, entry.form, time, bytes).ok_or_else(damaged)?;
            applied.samples = applied.samples.saturating_add(1);
            Ok(())
        }
        _ => Err(damaged()),
    }
}

/// The layout that an entry states, which is its item's from here on.
fn take_layout<'a>(
    entry: Entry,
    bytes: &mut &[u8],
    tables: &'a mut Tables,
) -> Option<(u32, &'a Arc<Layout>)> {
    let number = u32::try_from(varint::take(bytes)?).ok()?;
    if number as usize >= tables.layouts.len() {
        return None;
    }
    tables.set_layout(u32::try_from(entry.number).ok()?, number);
    Some((number, tables.layouts.get(number as usize)?))
}

fn apply_sample(series: &mut SeriesHead, form: u64, time: i64, bytes: &mut &[u8]) -> Option<()> {
    let mut logged = match form {
        FLOAT_FIRST | OTHER => LastValue::default(),
        _ => series.logged(),
    };
    let sample = take_sample(form, time, &mut logged, bytes)?;
    if !series.may_follow(time) {
        return None;
    }
    series.append(sample, logged);
    Some(())
}

pub(super) fn take_sample(form: u64, time: i64, last: &mut LastValue, bytes: &mut &[u8]) -> Option<Sample> {
    let timestamp = Timestamp::from_millis(time);
    if form != OTHER {
        let (value, flagged) = last.take(bytes)?;
        return flagged.is_none().then(|| Sample::float(timestamp, value));
    }
    take_other(time, bytes)
}

/// Takes what [`put_other`] appends.
pub(super) fn take_other(time: i64, bytes: &mut &[u8]) -> Option<Sample> {
    let timestamp = Timestamp::from_millis(time);
    let start = varint::take_signed(bytes)?;
    let (kind, rest) = bytes.split_first()?;
    *bytes = rest;
    let value = match kind {
        0 => {
            let (value, rest) = bytes.split_first_chunk::<8>()?;
            *bytes = rest;
            SampleValue::Float(f64::from_le_bytes(*value))
        }
        1 => SampleValue::Histogram(Arc::new(take_histogram(bytes)?)),
        _ => return None,
    };
    Some(Sample { timestamp, value, start: (start != 0).then(|| Timestamp::from_millis(start)) })
}

pub(super) fn restore_columns(index: &RwLock<Index>, item: u32, layout: &Arc<Layout>) -> Result<()> {
    match index.read().item(item) {
        Some(ItemRef::Family { columns, .. }) => {
            let known = columns.layout();
            if Arc::ptr_eq(known, layout)
                || layout.columns().iter().all(|column| known.position(column).is_some())
            {
                return Ok(());
            }
        }
        _ => return Err(damaged()),
    }
    index.write().restore_layout(item, layout)
}

fn columns_of<'a>(index: &RwLock<Index>, item: u32, page: &'a mut Page) -> Result<&'a mut Vec<SeriesHead>> {
    match index.read().item(item) {
        Some(ItemRef::Family { columns, .. }) => page.as_columns(item, columns),
        _ => Err(damaged()),
    }
}
