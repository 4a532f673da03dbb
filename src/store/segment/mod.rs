//! A segment: sealed chunks of many items over one stretch of time, immutable and complete in itself.
//!
//! ```text
//! header        see `file`
//! chunks        one behind the other, see `chunk`
//! times         columns count varint;  each: length varint, see `codec::times`
//! symbols       see `symbols`
//! layouts       count varint;  each: columns varint;  each: kind u8 (0 bucket, 1 count, 2 sum), a bucket's bound as a symbol
//! items         in the order of their labels, see `items`
//! postings      see `postings`
//! footer        varints: level, items, series, samples, chunks, first and last time (zigzag);
//!               then for times, symbols, layouts, items, postings: offset, length, checksum
//! length u32, checksum u32 of the footer, magic "PGSG"
//! ```
//!
//! Checksums are CRC-32C of the file's salt and the bytes. Opening reads header and footer, and nothing else. The tables
//! are read when somebody first asks, and the index learns of those items only that a question is about.

mod blocks;
mod chunk;
mod contents;
mod items;
mod join;
mod list;
mod parts;
mod postings;
mod symbols;
mod tables;
mod write;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::backing::{Backing, FileBytes, FileKind, FileName, FilePart, error_of};
use super::file::{FileHeader, HEADER, SEGMENT, corrupt};
use super::index::{Index, ItemBits, SeriesRef};
use super::manifest::{SegmentEntry, checksum};
use super::sync::{Mutex, RwLock};
use super::tombstone::Tombstone;
use crate::chunk::{Chunk, Column, Layout, Loaded, Place, SealedChunk, SealedChunks};
use crate::codec::times::take_times;
use crate::codec::varint;
use crate::error::{Error, Result};
use crate::model::{SampleBuffer, Window};

use contents::{Contents, Sections};
pub(crate) use items::PartKind;
use parts::{Part, Parts};
pub(crate) use write::{Run, SegmentWriter};

/// Bytes of the footer's length, its checksum and the magic.
const TRAILER: u64 = 12;
/// Times in one column.
const MAX_ROWS: usize = 1 << 22;
/// Time columns that are kept once they are read.
const KEPT_COLUMNS: usize = 64;

/// A part of the file that is verified as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Section {
    offset: u64,
    length: u64,
    checksum: u32,
}

/// What the footer says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Footer {
    level: u8,
    items: u64,
    series: u64,
    samples: u64,
    chunks: u64,
    first_time: i64,
    last_time: i64,
    times: Section,
    symbols: Section,
    layouts: Section,
    item_table: Section,
    postings: Section,
}

impl Footer {
    fn put(&self, into: &mut Vec<u8>) {
        varint::put(into, u64::from(self.level));
        for number in [self.items, self.series, self.samples, self.chunks] {
            varint::put(into, number);
        }
        varint::put_signed(into, self.first_time);
        varint::put_signed(into, self.last_time);
        for section in [self.times, self.symbols, self.layouts, self.item_table, self.postings] {
            varint::put(into, section.offset);
            varint::put(into, section.length);
            varint::put(into, u64::from(section.checksum));
        }
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let section = |bytes: &mut &[u8]| {
            let (offset, length) = (varint::take(bytes)?, varint::take(bytes)?);
            Some(Section { offset, length, checksum: u32::try_from(varint::take(bytes)?).ok()? })
        };
        Some(Self {
            level: u8::try_from(varint::take(bytes)?).ok()?,
            items: varint::take(bytes)?,
            series: varint::take(bytes)?,
            samples: varint::take(bytes)?,
            chunks: varint::take(bytes)?,
            first_time: varint::take_signed(bytes)?,
            last_time: varint::take_signed(bytes)?,
            times: section(bytes)?,
            symbols: section(bytes)?,
            layouts: section(bytes)?,
            item_table: section(bytes)?,
            postings: section(bytes)?,
        })
    }
}

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) entry: SegmentEntry,
    name: String,
    salt: u64,
    bytes: FileBytes,
    footer: Footer,
    contents: OnceLock<Contents>,
    loading: Mutex<()>,
    parts: RwLock<Parts>,
    columns: OnceLock<Box<[Range<u64>]>>,
    kept: Mutex<HashMap<u32, Arc<[i64]>>>,
}

impl Segment {
    /// Opens a segment of the manifest. Reads header and footer.
    ///
    /// # Errors
    ///
    /// `Corrupt`: it is missing, of another length, damaged, or another file. `Io`.
    pub(crate) fn open(backing: &dyn Backing, store: u64, entry: SegmentEntry) -> Result<Self> {
        let file_name = FileName::new(FileKind::Segment, entry.number);
        let name = file_name.to_string();
        let file = backing.open(file_name).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => corrupt(format!("{name} is missing")),
            _ => error_of(error),
        })?;
        let bytes = backing.map(file);
        backing.close(file);
        let bytes = bytes.map_err(error_of)?;
        if bytes.len() != entry.length {
            return Err(corrupt(format!("{name} has {} bytes, {} were written", bytes.len(), entry.length)));
        }
        let header = bytes.read(0..HEADER as u64).map_err(error_of)?;
        let header = FileHeader::read_own(&header, SEGMENT, &name, store, entry.number)?;
        let (footer, found) = read_footer(&bytes, header.salt, &name)?;
        if found != entry.checksum {
            return Err(corrupt(format!("{name} is not the file that was published")));
        }
        Ok(Self {
            entry,
            name,
            salt: header.salt,
            bytes,
            footer,
            contents: OnceLock::new(),
            loading: Mutex::default(),
            parts: RwLock::default(),
            columns: OnceLock::new(),
            kept: Mutex::default(),
        })
    }

    /// Whether it has samples inside the window.
    pub(crate) fn touches(&self, window: Window) -> bool {
        let (first, last) = (self.entry.first_time, self.entry.last_time);
        last > window.after.as_millis() && first <= window.until.as_millis()
    }

    pub(crate) fn samples(&self) -> u64 {
        self.footer.samples
    }

    /// A footer with the checksums that the sections of a changed file have. `None`: it does not decode, or a section is not within
    /// the file.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn sign(footer: &[u8], salt: u64, file: &[u8]) -> Option<Vec<u8>> {
        let mut rest = footer;
        let mut footer = Footer::take(&mut rest)?;
        let tables = [&mut footer.symbols, &mut footer.layouts, &mut footer.item_table, &mut footer.postings];
        for section in tables.into_iter().chain([&mut footer.times]) {
            let start = usize::try_from(section.offset).ok()?;
            let end = start.checked_add(usize::try_from(section.length).ok()?)?;
            section.checksum = checksum(salt, file.get(start..end)?);
        }
        let mut bytes = Vec::new();
        footer.put(&mut bytes);
        Some(bytes)
    }

    /// The tables of the segment. Read and verified once.
    fn contents(&self, index: &RwLock<Index>) -> Result<&Contents> {
        if let Some(contents) = self.contents.get() {
            return Ok(contents);
        }
        let _alone = self.loading.lock();
        if let Some(contents) = self.contents.get() {
            return Ok(contents);
        }
        let footer = &self.footer;
        let sections = Sections {
            symbols: self.section(footer.symbols, "symbols")?,
            layouts: self.section(footer.layouts, "layouts")?,
            items: self.section(footer.item_table, "items")?,
            postings: self.section(footer.postings, "postings")?,
        };
        let contents = Contents::read(sections, footer.items, &mut index.write());
        let contents = contents.ok_or_else(|| self.damaged())?;
        Ok(self.contents.get_or_init(|| contents))
    }

    fn damaged(&self) -> Error {
        corrupt(format!("{}: its items do not decode", self.name))
    }

    /// What of the segment belongs to an item of the index, as far as that is known.
    fn parts_of(&self, item: u32) -> SmallVec<[Part; 4]> {
        self.parts.read().of(item).collect()
    }

    /// Whether something of the segment is known to belong to an item of the index.
    pub(crate) fn has_part_of(&self, item: u32) -> bool {
        self.parts.read().of(item).next().is_some()
    }

    /// Tells the items of the index that something of the segment is known to belong to.
    pub(crate) fn tell_items(&self, known: &mut ItemBits) {
        self.parts.read().tell_items(known);
    }

    /// The chunks of an item that touch the window, in time order, each with the series that it is; joined before.
    pub(crate) fn chunks(
        self: &Arc<Self>,
        item: u32,
        window: Window,
        mut each: impl FnMut(SeriesRef, bool, Chunk),
    ) -> Result<()> {
        let Some(contents) = self.contents.get() else { return Ok(()) };
        for part in self.parts_of(item) {
            let walked = contents.places_at(part.directory, part.is_family, |place, layout| {
                if let Some(chunk) = self.chunk(place, layout, window) {
                    each(part.series, part.is_family, chunk);
                }
            });
            walked.ok_or_else(|| self.damaged())?;
        }
        Ok(())
    }

    /// All chunks of an item by its number here.
    pub(crate) fn chunks_of(
        self: &Arc<Self>,
        index: &RwLock<Index>,
        number: u32,
        mut each: impl FnMut(Chunk),
    ) -> Result<()> {
        let contents = self.contents(index)?;
        let record = contents.items.get(number).ok_or_else(|| self.damaged())?;
        let walked = contents.places(record.directory, record.is_family(), |place, layout| {
            self.chunk(place, layout, Window::ALL).into_iter().for_each(&mut each);
        });
        walked.ok_or_else(|| self.damaged())
    }

    /// A chunk, if it touches the window.
    fn chunk(self: &Arc<Self>, place: Place, layout: Option<&Arc<Layout>>, window: Window) -> Option<Chunk> {
        let touches = place.last > window.after.as_millis() && place.first <= window.until.as_millis();
        touches.then(|| {
            let file: Arc<dyn SealedChunks> = self.clone();
            Chunk::Sealed(Arc::new(SealedChunk { file, place, layout: layout.cloned() }))
        })
    }

    /// The newest time of an item; joined before.
    pub(crate) fn newest_of(&self, item: u32) -> Result<Option<i64>> {
        let Some(contents) = self.contents.get() else { return Ok(None) };
        let mut newest = None;
        for part in self.parts_of(item) {
            let walked = contents.places_at(part.directory, part.is_family, |place, _| {
                newest = newest.max(Some(place.last));
            });
            walked.ok_or_else(|| self.damaged())?;
        }
        Ok(newest)
    }

    /// How many bytes the chunks have of which a tombstone hides something.
    pub(crate) fn hidden_by(&self, tombstone: &Tombstone, index: &RwLock<Index>) -> Result<u64> {
        let contents = self.contents(index)?;
        let mut bytes = 0_u64;
        for number in &contents.candidates(tombstone.matchers()).ok_or_else(|| self.damaged())? {
            let record = contents.items.get(number).ok_or_else(|| self.damaged())?;
            let labels = record.labels(&contents.symbols).ok_or_else(|| self.damaged())?;
            if !tombstone.accepts_labels(&labels, record.is_family()) {
                continue;
            }
            let walked = contents.places(record.directory, record.is_family(), |place, layout| {
                let hidden = tombstone.hidden_labels(&labels, layout.map(|layout| &**layout));
                if hidden.is_some_and(|hidden| hidden.touches((place.first, place.last))) {
                    bytes = bytes.saturating_add(u64::from(place.length));
                }
            });
            walked.ok_or_else(|| self.damaged())?;
        }
        Ok(bytes)
    }

    /// A section, verified.
    fn section(&self, section: Section, what: &str) -> Result<FilePart> {
        let end = section.offset.saturating_add(section.length);
        let bytes = self.bytes.part(section.offset..end).map_err(error_of)?;
        let found = checksum(self.salt, &bytes);
        if found != section.checksum {
            let expected = section.checksum;
            let text =
                format!("{}: its {what} are damaged: checksum {found:08x}, not {expected:08x}", self.name);
            return Err(corrupt(text));
        }
        Ok(bytes)
    }

    fn time_column(&self, number: u32) -> Result<Arc<[i64]>> {
        if let Some(column) = self.kept.lock().get(&number) {
            return Ok(column.clone());
        }
        let damaged = || corrupt(format!("{}: its times do not decode", self.name));
        let columns = match self.columns.get() {
            Some(columns) => columns,
            None => {
                let section = self.section(self.footer.times, "times")?;
                let columns = column_ranges(&section, self.footer.times.offset).ok_or_else(damaged)?;
                self.columns.get_or_init(|| columns)
            }
        };
        let range = columns.get(number as usize).ok_or_else(damaged)?;
        let bytes = self.bytes.read(range.clone()).map_err(error_of)?;
        let times: Arc<[i64]> = take_times(&mut &*bytes, MAX_ROWS).ok_or_else(damaged)?.into();
        let mut kept = self.kept.lock();
        if kept.len() >= KEPT_COLUMNS {
            kept.clear();
        }
        kept.insert(number, times.clone());
        Ok(times)
    }

    /// Reads everything and verifies it, the postings against the items.
    pub(crate) fn verify(self: &Arc<Self>, index: &RwLock<Index>) -> Result<()> {
        let contents = self.contents(index)?;
        let disagree = || corrupt(format!("{}: its symbols, items and postings do not agree", self.name));
        contents.verify().ok_or_else(disagree)?;
        for number in 0..contents.items.count() {
            let mut chunks = Vec::new();
            self.chunks_of(index, number, |chunk| chunks.push(chunk))?;
            chunks.iter().try_for_each(|chunk| chunk.verify())?;
        }
        Ok(())
    }
}

/// The newest time at which one column of a family has a value in any of the segments; joined before. Rows that were sealed
/// without a value for it do not count, however late they are.
pub(crate) fn newest_of_column(
    segments: &[Arc<Segment>],
    series: SeriesRef,
    column: &Column,
) -> Result<Option<i64>> {
    let mut rows: Vec<Chunk> = Vec::new();
    let mut newest = None;
    for segment in segments {
        segment.chunks(series.item, Window::ALL, |part, is_rows, chunk| {
            if is_rows {
                rows.push(chunk);
            } else if part == series {
                newest = newest.max(chunk.time_range().map(|(_, last)| last));
            }
        })?;
    }
    // Most columns have chunks of their own that are later than all rows, which need not be read then.
    rows.retain(|chunk| chunk.time_range().map(|(_, last)| last) > newest);
    Ok(newest.max(newest_in(&rows, column)?))
}

/// The newest time at which a column has a value in these rows.
pub(crate) fn newest_in(rows: &[Chunk], column: &Column) -> Result<Option<i64>> {
    let last = |chunk: &Chunk| chunk.time_range().map(|(_, last)| last);
    let mut rows: SmallVec<[&Chunk; 4]> = rows.iter().collect();
    rows.sort_by_key(|chunk| std::cmp::Reverse(last(chunk)));
    let mut newest = None;
    for chunk in rows {
        // What came late may lie beside rows that end later and lack the column.
        if newest >= last(chunk) {
            break;
        }
        let Some(place) = chunk.layout().and_then(|layout| layout.position(column)) else { continue };
        let mut samples = SampleBuffer::default();
        chunk.read(place, Window::ALL, &mut samples)?;
        newest = newest.max(samples.times.last().copied());
    }
    Ok(newest)
}

impl SealedChunks for Segment {
    fn load(&self, place: Place) -> Result<Loaded<'_>> {
        let end = place.offset.saturating_add(u64::from(place.length));
        let bytes = self.bytes.read(place.offset..end).map_err(error_of)?;
        let head = chunk::read(&bytes, self.salt).map_err(|what| {
            let Self { name, .. } = self;
            let (first, last) = (place.first, place.last);
            corrupt(format!(
                "{name}: the chunk at {} with times {first} to {last} is damaged: {what}",
                place.offset
            ))
        })?;
        let times = self.time_column(head.times)?;
        if head.rows.end > times.len() {
            return Err(corrupt(format!(
                "{}: the chunk at {} has more rows than times",
                self.name, place.offset
            )));
        }
        Ok(Loaded { kind: head.kind, times, rows: head.rows, body: head.body, bytes })
    }
}

fn column_ranges(mut section: &[u8], offset: u64) -> Option<Box<[Range<u64>]>> {
    let total = section.len() as u64;
    let count = usize::try_from(varint::take(&mut section)?).ok().filter(|count| *count <= section.len())?;
    let mut ranges = Vec::with_capacity(count);
    for _ in 0..count {
        let length = usize::try_from(varint::take(&mut section)?).ok()?;
        let start = offset.checked_add(total.checked_sub(section.len() as u64)?)?;
        section = section.get(length..)?;
        ranges.push(start..start.checked_add(length as u64)?);
    }
    Some(ranges.into())
}

fn read_footer(bytes: &FileBytes, salt: u64, name: &str) -> Result<(Footer, u32)> {
    let damaged = |what: &str| corrupt(format!("{name}: its footer {what}"));
    let trailer_at = bytes.len().checked_sub(TRAILER).ok_or_else(|| damaged("is cut off"))?;
    let trailer = bytes.read(trailer_at..bytes.len()).map_err(error_of)?;
    let parts = trailer.split_first_chunk::<4>().and_then(|(length, rest)| {
        let (found, magic) = rest.split_first_chunk::<4>()?;
        (*magic == SEGMENT).then_some((u32::from_le_bytes(*length), u32::from_le_bytes(*found)))
    });
    let (length, expected) = parts.ok_or_else(|| damaged("does not end the file"))?;
    let start =
        trailer_at.checked_sub(u64::from(length)).ok_or_else(|| damaged("is longer than the file"))?;
    let footer = bytes.read(start..trailer_at).map_err(error_of)?;
    if checksum(salt, &footer) != expected {
        return Err(damaged("is damaged"));
    }
    let mut rest = &*footer;
    let footer =
        Footer::take(&mut rest).filter(|_| rest.is_empty()).ok_or_else(|| damaged("does not decode"))?;
    Ok((footer, expected))
}
