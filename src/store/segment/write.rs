//! Writing a segment: items in the order of their labels, each with its samples as runs.

use std::sync::Arc;

use hashbrown::HashMap;

use super::super::backing::{Backing, FileId, FileKind, FileName, error_of, write_all_at};
use super::super::file::{FileHeader, SEGMENT, corrupt};
use super::super::index::SeriesRef;
use super::super::manifest::{SegmentEntry, checksum};
use super::super::planted::{Bug, planted};
use super::super::wal::failed;
use super::items::PartKind;
use super::tables::{DirectoryWriter, TableWriter};
use super::{Footer, Section, chunk};
use crate::chunk::{Body, FamilyBuffer, Layout, Place, encode_family, encode_series};
use crate::codec::times::put_times;
use crate::codec::varint;
use crate::error::Result;
use crate::model::{Labels, SampleBuffer, Window};

/// Bytes that are gathered before they are written.
const BUFFER: usize = 1 << 20;

/// Samples of an item that are stored together.
#[derive(Debug)]
pub(crate) enum Run {
    /// Of a single series.
    Samples(SampleBuffer),
    /// Of a classic histogram, all in one layout.
    Rows(Arc<Layout>, FamilyBuffer),
}

/// The times of all chunks of an item, and the number of the column that holds them.
struct Times {
    column: u32,
    times: Vec<i64>,
}

/// What a chunk takes beside its body, in the file and in memory while it is read.
const CHUNK_OVERHEAD: usize = 9;

impl Run {
    /// The times of all samples in order.
    pub(crate) fn times(&self) -> Vec<i64> {
        match self {
            Self::Samples(samples) => merged_times(samples),
            Self::Rows(_, rows) => rows.times().to_vec(),
        }
    }

    fn rows(&self) -> usize {
        match self {
            Self::Samples(samples) => samples.len(),
            Self::Rows(_, rows) => rows.times().len(),
        }
    }

    /// Both runs as one, if that has at most so many rows and no row of the second has to go into a chunk of its own; with the
    /// bytes that it takes.
    pub(crate) fn joined(&self, other: &Self, most_rows: usize) -> Option<(Self, usize)> {
        match (self, other) {
            (Self::Samples(a), Self::Samples(b)) if a.len().saturating_add(b.len()) <= most_rows => {
                let mut joined = a.clone();
                joined.extend(b);
                let bytes = encode_series(&joined).bytes.len().saturating_add(CHUNK_OVERHEAD);
                Some((Self::Samples(joined), bytes))
            }
            (Self::Rows(layout, a), Self::Rows(other, b))
                if Arc::ptr_eq(layout, other)
                    && a.times().len().saturating_add(b.times().len()) <= most_rows =>
            {
                let mut joined = a.clone();
                joined.extend_inside(b, Window::ALL);
                let mut bodies = Vec::new();
                encode_family(layout, &joined, &mut bodies);
                let bytes = bodies.iter().map(|body| body.bytes.len().saturating_add(CHUNK_OVERHEAD)).sum();
                Some((Self::Rows(layout.clone(), joined), bytes))
            }
            _ => None,
        }
    }
}

/// A segment that is being written, under a name aside.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    backing: Arc<dyn Backing>,
    file: FileId,
    number: u64,
    salt: u64,
    /// Bytes that are written, and those behind them.
    written: u64,
    buffer: Vec<u8>,
    columns: HashMap<Box<[u8]>, u32>,
    column_bytes: Vec<u8>,
    tables: TableWriter,
    footer: Footer,
    published: bool,
}

impl SegmentWriter {
    /// Starts a file.
    pub(crate) fn create(backing: &Arc<dyn Backing>, store: u64, number: u64, level: u8) -> Result<Self> {
        let name = FileName::new(FileKind::NewSegment, number);
        let file = backing.create(name).map_err(error_of)?;
        let salt = backing.random();
        let buffer = FileHeader { magic: SEGMENT, store, number, salt }.to_bytes().to_vec();
        let footer = Footer { level, first_time: i64::MAX, last_time: i64::MIN, ..Footer::default() };
        Ok(Self {
            backing: backing.clone(),
            file,
            number,
            salt,
            written: 0,
            buffer,
            columns: HashMap::new(),
            column_bytes: Vec::new(),
            tables: TableWriter::default(),
            footer,
            published: false,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.footer.items == 0
    }

    /// Adds an item, whose labels come behind those of all before it, and which series of the index it is, if that is known. An
    /// item without samples leaves no trace.
    pub(crate) fn add(
        &mut self,
        series: Option<SeriesRef>,
        kind: PartKind,
        labels: &Labels,
        runs: &[Run],
    ) -> Result<()> {
        let mut directory = DirectoryWriter::default();
        // All chunks of an item have one column of times, which items that are scraped together share.
        let times: Vec<i64> = runs.iter().flat_map(Run::times).collect();
        if times.is_empty() {
            return Ok(());
        }
        let times = Times { column: self.column(&times), times };
        let mut start = 0_usize;
        // Rows that have lost all their values leave no chunk, and their layout no name of a series.
        let mut kept: Vec<&Run> = Vec::with_capacity(runs.len());
        for run in runs {
            let before = directory.count();
            match run {
                Run::Samples(samples) => self.add_samples(samples, &times, start, &mut directory)?,
                Run::Rows(layout, rows) => self.add_rows(layout, rows, &times, start, &mut directory)?,
            }
            start = start.saturating_add(run.rows());
            if directory.count() > before {
                kept.push(run);
            }
        }
        if kept.is_empty() {
            return Ok(());
        }
        let widths = kept.iter().map(|run| match run {
            Run::Samples(_) => 1,
            Run::Rows(layout, _) => layout.width() as u64,
        });
        self.footer.series = self.footer.series.saturating_add(widths.max().unwrap_or(0));
        self.footer.items = self.footer.items.saturating_add(1);
        let layouts = kept.iter().filter_map(|run| match run {
            Run::Samples(_) => None,
            Run::Rows(layout, _) => Some(layout),
        });
        self.tables.add(series, kind, labels, layouts, directory.finish());
        Ok(())
    }

    fn add_samples(
        &mut self,
        samples: &SampleBuffer,
        times: &Times,
        start: usize,
        directory: &mut DirectoryWriter,
    ) -> Result<()> {
        self.footer.samples = self.footer.samples.saturating_add(samples.len() as u64);
        if samples.is_empty() {
            return Ok(());
        }
        self.put_chunk(&encode_series(samples), times, start, None, directory)
    }

    fn add_rows(
        &mut self,
        layout: &Arc<Layout>,
        rows: &FamilyBuffer,
        times: &Times,
        start: usize,
        directory: &mut DirectoryWriter,
    ) -> Result<()> {
        self.footer.samples = self.footer.samples.saturating_add(rows.value_count() as u64);
        let number = self.tables.layout(layout);
        let mut bodies = Vec::new();
        encode_family(layout, rows, &mut bodies);
        bodies.iter().try_for_each(|body| self.put_chunk(body, times, start, Some(number), directory))
    }

    fn put_chunk(
        &mut self,
        body: &Body,
        times: &Times,
        start: usize,
        layout: Option<u32>,
        directory: &mut DirectoryWriter,
    ) -> Result<()> {
        let rows = body.rows.start.saturating_add(start)..body.rows.end.saturating_add(start);
        let own = times.times.get(rows.clone()).unwrap_or_default();
        let (Some(first), Some(last)) = (own.first(), own.last()) else { return Ok(()) };
        let start = self.buffer.len();
        chunk::put(self.salt, body.kind, times.column, rows, &body.bytes, &mut self.buffer);
        let length = u32::try_from(self.buffer.len().saturating_sub(start));
        let length = length.map_err(|_| corrupt("a chunk takes more than 4 GiB".to_owned()))?;
        let offset = self.written.saturating_add(start as u64);
        directory.add(layout, Place { offset, length, first: *first, last: *last });
        self.footer.chunks = self.footer.chunks.saturating_add(1);
        self.footer.first_time = self.footer.first_time.min(*first);
        self.footer.last_time = self.footer.last_time.max(*last);
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        write_all_at(&*self.backing, self.file, self.written, &self.buffer).map_err(error_of)?;
        self.written = self.written.saturating_add(self.buffer.len() as u64);
        self.buffer.clear();
        Ok(())
    }

    fn column(&mut self, times: &[i64]) -> u32 {
        let mut bytes = Vec::new();
        put_times(&mut bytes, times);
        let next = u32::try_from(self.columns.len()).unwrap_or(u32::MAX);
        if let Some(number) = self.columns.get(bytes.as_slice()) {
            return *number;
        }
        varint::put(&mut self.column_bytes, bytes.len() as u64);
        self.column_bytes.extend_from_slice(&bytes);
        self.columns.insert(bytes.into(), next);
        next
    }

    /// Appends a section.
    fn section(&mut self, bytes: &[u8]) -> Result<Section> {
        let offset = self.written.saturating_add(self.buffer.len() as u64);
        if bytes.len() > u32::MAX as usize {
            return Err(corrupt("a section of a segment takes more than 4 GiB".to_owned()));
        }
        self.buffer.extend_from_slice(bytes);
        self.flush()?;
        Ok(Section { offset, length: bytes.len() as u64, checksum: checksum(self.salt, bytes) })
    }

    /// Writes what is left, syncs the file and gives it its name, which is not synced yet. Answers also which series of the
    /// index its items are.
    pub(crate) fn finish(mut self) -> Result<(SegmentEntry, Vec<Option<SeriesRef>>)> {
        let mut footer = std::mem::take(&mut self.footer);
        let mut times = Vec::with_capacity(self.column_bytes.len().saturating_add(5));
        varint::put(&mut times, self.columns.len() as u64);
        times.append(&mut self.column_bytes);
        let tables = std::mem::take(&mut self.tables).finish();
        footer.times = self.section(&times)?;
        footer.symbols = self.section(&tables.symbols)?;
        footer.layouts = self.section(&tables.layouts)?;
        footer.item_table = self.section(&tables.items)?;
        footer.postings = self.section(&tables.postings)?;
        let mut bytes = Vec::new();
        footer.put(&mut bytes);
        let found = checksum(self.salt, &bytes);
        self.buffer.extend_from_slice(&bytes);
        self.buffer.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.buffer.extend_from_slice(&found.to_le_bytes());
        self.buffer.extend_from_slice(&SEGMENT);
        self.flush()?;
        if !planted(Bug::SegmentNotSynced) {
            let synced = self.backing.sync(self.file);
            synced.map_err(|error| failed(&format!("syncing a segment failed: {error}")))?;
        }
        let (from, to) = (FileKind::NewSegment, FileKind::Segment);
        let renamed = self.backing.rename(FileName::new(from, self.number), FileName::new(to, self.number));
        renamed.map_err(error_of)?;
        self.published = true;
        let entry = SegmentEntry {
            number: self.number,
            level: footer.level,
            length: self.written,
            checksum: found,
            first_time: footer.first_time,
            last_time: footer.last_time,
        };
        Ok((entry, tables.known))
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        self.backing.close(self.file);
        if !self.published {
            // What cannot be removed is removed when the store is opened next.
            let _gone = self.backing.remove(FileName::new(FileKind::NewSegment, self.number));
        }
    }
}

/// Times of all samples, floats and histograms, in order.
fn merged_times(samples: &SampleBuffer) -> Vec<i64> {
    let mut times = samples.times.clone();
    if !samples.histograms.is_empty() {
        times.extend(samples.histograms.iter().map(|(time, ..)| *time));
        times.sort_unstable();
    }
    times
}
