//! Batches of the log that follow each other, applied page by page: a page of heads is then in the processor's caches for the
//! rows of many batches, and not for one.
//!
//! A first pass over the bytes finds where each batch goes from page to page, and moves past the samples. What an item is told
//! keeps its order, and nothing that one page is told depends on another page; so applying ends as it would batch by batch. The
//! first pass sees less than applying does: that both agree is checked for every run of entries, and whoever replays does it
//! again batch by batch if they do not, or if anything is damaged: which batch it was is known only then.

use super::apply::{Applied, Entries, Entry, apply_to_page, damaged, take_other};
use super::entry::{FLOAT, FLOAT_FIRST, FLOAT_TIME, ROW, ROW_LAYOUT, ROW_TIME};
use super::late::{LATE, apply_late, skip_late};
use super::tables::{NO_LAYOUT, Tables};
use crate::chunk::{RowShape, skip_row, skip_value};
use crate::codec::varint;
use crate::error::{Error, Result};

use super::super::head::Heads;
use super::super::index::Index;
use super::super::sync::RwLock;

/// Batches that are applied together, at most.
const MOST_BATCHES: usize = 256;
/// They are not more once they are so many bytes, or go so often from one page to another.
const MOST_BYTES: usize = 16 << 20;
const MOST_RUNS: usize = 1 << 16;

/// Why replaying stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Something is not as it should be: the batches are to be applied one after the other, from the first one on.
    OneByOne,
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Entries of one batch that follow each other, all of them of one page.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// The page's number, and whether the entries are late.
    place: (u32, bool),
    /// One of the page's items.
    item: u32,
    batch: u32,
    /// Where the entries begin in the batch's, and where they end.
    bytes: (u32, u32),
    /// What the first is told relative to, and what is behind the last.
    from: Entries,
    to: Entries,
}

/// Batches whose definitions are known, and whose entries are still to be applied.
#[derive(Debug, Default)]
pub(crate) struct Group<'a> {
    batches: Vec<&'a [u8]>,
    bytes: usize,
    runs: Vec<Run>,
    /// Items, and the layouts that rows of theirs state.
    laid_out: Vec<(u32, u32)>,
}

impl<'a> Group<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether it is time to apply them.
    pub(crate) fn is_full(&self) -> bool {
        self.batches.len() >= MOST_BATCHES || self.bytes >= MOST_BYTES || self.runs.len() >= MOST_RUNS
    }

    /// Adds the entries of the next batch.
    ///
    /// # Errors
    ///
    /// They are damaged, or not as they are expected to be.
    pub(crate) fn add(&mut self, entries: &'a [u8], tables: &mut Tables) -> Result<(), Stop> {
        self.find_runs(entries, tables).ok_or(Stop::OneByOne)?;
        self.bytes = self.bytes.saturating_add(entries.len());
        self.batches.push(entries);
        Ok(())
    }

    fn find_runs(&mut self, entries: &[u8], tables: &mut Tables) -> Option<()> {
        let batch = u32::try_from(self.batches.len()).ok()?;
        let mut state = Entries::default();
        let mut rest = entries;
        // The run that goes on: where, and from which entry.
        let (mut place, mut item, mut from, mut start) = (None, 0, state, rest);
        let mut known = KnownShape { layout: NO_LAYOUT, shape: RowShape::default() };
        let offset = |rest: &[u8]| u32::try_from(entries.len().checked_sub(rest.len())?).ok();
        while !rest.is_empty() {
            let (before, bytes) = (state, rest);
            let entry = state.take(&mut rest, tables)?;
            let own = (Heads::page_number(entry.item), entry.form == LATE);
            if place != Some(own) {
                if let Some(place) = place {
                    let bytes = (offset(start)?, offset(bytes)?);
                    self.runs.push(Run { place, item, batch, bytes, from, to: before });
                }
                (place, item, from, start) = (Some(own), entry.item, before, bytes);
            }
            if let Some(layout) = skip_sample(entry, &mut rest, tables, &mut known)? {
                self.laid_out.push((entry.item, layout));
            }
        }
        if let Some(place) = place {
            let bytes = (offset(start)?, offset(rest)?);
            self.runs.push(Run { place, item, batch, bytes, from, to: state });
        }
        Some(())
    }

    /// Applies them, and is empty then. Tells of each batch what that did.
    ///
    /// # Errors
    ///
    /// `OneByOne`: the heads are anything.
    pub(crate) fn apply(
        &mut self,
        tables: &mut Tables,
        index: &RwLock<Index>,
        heads: &mut Heads,
    ) -> Result<Vec<Applied>, Stop> {
        let mut applied = vec![Applied::default(); self.batches.len()];
        self.lay_out(tables, index);
        let mut order: Vec<(u32, u32)> =
            self.runs.iter().zip(0..).map(|(run, at)| (run.place.0, at)).collect();
        // Stable: the runs of a page stay in the order of the batches.
        order.sort_by_key(|(page, _)| *page);
        let mut own = Vec::new();
        for page in order.chunk_by(|(a, _), (b, _)| a == b) {
            own.clear();
            own.extend(page.iter().filter_map(|(_, at)| self.runs.get(*at as usize)));
            for runs in own.chunk_by(|a: &Run, b| a.place == b.place) {
                apply_runs(runs, &self.batches, tables, index, heads, &mut applied)
                    .map_err(|_| Stop::OneByOne)?;
            }
        }
        self.batches.clear();
        self.runs.clear();
        self.bytes = 0;
        Ok(applied)
    }

    /// Makes the columns of histograms whose first rows come, all at once; of others they are made when a row is applied.
    fn lay_out(&mut self, tables: &Tables, index: &RwLock<Index>) {
        if self.laid_out.is_empty() {
            return;
        }
        let mut index = index.write();
        let mut index = index.restoring();
        for (item, layout) in self.laid_out.drain(..) {
            if let Some(layout) = tables.layouts.get(layout as usize) {
                index.columns(item, layout);
            }
        }
    }
}

/// The layout of the row before, and how long its rows are.
struct KnownShape {
    layout: u32,
    shape: RowShape,
}

impl KnownShape {
    #[inline(always)]
    fn of(&mut self, layout: u32, tables: &Tables) -> Option<RowShape> {
        if layout != self.layout || layout == NO_LAYOUT {
            let shape = RowShape::of(tables.layouts.get(layout as usize)?);
            *self = Self { layout, shape };
        }
        Some(self.shape)
    }
}

/// Moves past what stands behind the head of an entry. Tells the layout that it states.
#[inline(always)]
fn skip_sample(
    entry: Entry,
    bytes: &mut &[u8],
    tables: &mut Tables,
    known: &mut KnownShape,
) -> Option<Option<u32>> {
    match entry.form {
        ROW | ROW_TIME => skip_row(known.of(entry.layout, tables)?, bytes)?,
        ROW_LAYOUT => {
            let layout = u32::try_from(varint::take(bytes)?).ok()?;
            skip_row(known.of(layout, tables)?, bytes)?;
            tables.set_layout(u32::try_from(entry.number).ok()?, layout);
            return Some(Some(layout));
        }
        FLOAT | FLOAT_TIME | FLOAT_FIRST => skip_value(bytes)?,
        _ => skip_other(entry.form, bytes, tables)?,
    }
    Some(None)
}

#[inline(never)]
fn skip_other(form: u64, bytes: &mut &[u8], tables: &Tables) -> Option<()> {
    if form == LATE { skip_late(bytes, tables) } else { take_other(0, bytes).map(drop) }
}

/// Applies runs of one page.
fn apply_runs(
    runs: &[Run],
    batches: &[&[u8]],
    tables: &mut Tables,
    index: &RwLock<Index>,
    heads: &mut Heads,
    applied: &mut [Applied],
) -> Result<()> {
    let Some(first) = runs.first() else { return Ok(()) };
    if first.place.1 {
        return runs.iter().try_for_each(|run| apply_late_run(run, batches, tables, index, heads, applied));
    }
    let mut grown = 0;
    let page = heads.page_mut(first.item, &mut grown).ok_or_else(damaged)?;
    let before = page.byte_size();
    page.touch();
    touch(runs, batches);
    for (run, to_come) in runs.iter().zip((0..runs.len()).rev()) {
        let (mut bytes, own) = run.open(batches, applied)?;
        let mut state = run.from;
        let mut seen = None;
        while !bytes.is_empty() {
            let mut entry = state.take(&mut bytes, tables).ok_or_else(damaged)?;
            // Most items have a row in every batch.
            entry.to_come = to_come;
            apply_to_page(page, entry, state.time, &mut bytes, tables, index, own)?;
            if seen != Some(state.time) {
                seen = Some(state.time);
                own.saw(state.time);
            }
        }
        run.check(state)?;
    }
    let (_, own) = first.open(batches, applied)?;
    own.grown = own.grown.saturating_add(grown);
    own.grew(before, page.byte_size());
    Ok(())
}

/// Reads a little of the bytes of each run: the memory's answers then come together, and not one after the other. What is read
/// means nothing.
fn touch(runs: &[Run], batches: &[&[u8]]) {
    let lines = runs.iter().flat_map(|run| {
        let (start, end) = run.bytes;
        let bytes = batches.get(run.batch as usize).and_then(|all| all.get(start as usize..end as usize));
        bytes.unwrap_or_default().iter().step_by(64)
    });
    std::hint::black_box(lines.fold(0, |read, byte| read ^ byte));
}

fn apply_late_run(
    run: &Run,
    batches: &[&[u8]],
    tables: &Tables,
    index: &RwLock<Index>,
    heads: &mut Heads,
    applied: &mut [Applied],
) -> Result<()> {
    let (mut bytes, own) = run.open(batches, applied)?;
    let mut state = run.from;
    while let Some(entry) = state.next(&mut bytes, tables)? {
        let logged = tables.logged(entry.number).ok_or_else(damaged)?;
        let logged = (logged, &*tables.layouts);
        apply_late(&mut bytes, logged, state.time, index, heads, own).ok_or_else(damaged)??;
        own.newest = own.newest.max(Some(state.time));
    }
    run.check(state)
}

impl Run {
    /// The bytes of its entries, and where it is told what applying them does.
    fn open<'a, 'b>(
        &self,
        batches: &[&'a [u8]],
        applied: &'b mut [Applied],
    ) -> Result<(&'a [u8], &'b mut Applied)> {
        let batch = self.batch as usize;
        let (start, end) = self.bytes;
        let bytes = batches.get(batch).and_then(|entries| entries.get(start as usize..end as usize));
        bytes.zip(applied.get_mut(batch)).ok_or_else(damaged)
    }

    /// Whether applying came to the same end.
    fn check(&self, state: Entries) -> Result<()> {
        if state == self.to { Ok(()) } else { Err(damaged()) }
    }
}
