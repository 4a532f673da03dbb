//! Merging: segments side by side become one, in the order of time and without what was deleted.

use std::sync::Arc;

use smallvec::SmallVec;

use super::super::Inner;
use super::super::backing::FileKind;
use super::super::disk::Disk;
use super::super::head::CHUNK_ROWS;
use super::super::index::{Index, SeriesRef};
use super::super::segment::{PartKind, Run, Segment, SegmentWriter};
use super::super::sync::RwLock;
use super::super::tombstone::{Tombstone, masked_labels};
use super::runs::{merged_runs, ordered_runs, split};
use super::{Job, STEP_ITEMS};
use crate::chunk::{Chunk, is_rising};
use crate::error::Result;
use crate::model::{Labels, Window};

/// Segments of one level that are merged into one of the next.
const MERGE: usize = 4;
/// The highest level.
const TOP_LEVEL: u8 = 3;
/// Rows of a chunk in a segment of level 1; of each further level four times as many.
const MERGED_ROWS: usize = MERGE * CHUNK_ROWS;

/// Segments on their way into one.
#[derive(Debug)]
pub(super) struct Merge {
    sources: Vec<MergeSource>,
    /// What was deleted of them.
    tombstones: Arc<[Arc<Tombstone>]>,
    /// Rows of a chunk.
    most_rows: usize,
    writer: SegmentWriter,
}

/// A segment that is merged, item by item: the index need not know them.
#[derive(Debug)]
struct MergeSource {
    segment: Arc<Segment>,
    /// The next item, and its number.
    head: Option<(Labels, PartKind)>,
    number: u32,
    /// Whether some are series of histograms on their own.
    has_columns: bool,
    /// The series of the index that items are. One that the index learns of meanwhile is found again when it is asked for.
    known: Vec<Option<SeriesRef>>,
}

impl MergeSource {
    fn new(segment: Arc<Segment>, index: &RwLock<Index>) -> Result<Self> {
        let (known, has_columns) = segment.known(index)?;
        let head = segment.item(index, 0)?;
        Ok(Self { segment, head, number: 0, has_columns, known })
    }

    fn series(&self) -> Option<SeriesRef> {
        self.known.get(self.number as usize).copied().flatten()
    }

    /// When the same histogram has chunks of the other kind here: of its series on their own, or of whole rows.
    fn times_beside(
        &self,
        index: &RwLock<Index>,
        (labels, kind): &(Labels, PartKind),
        into: &mut Vec<(i64, i64)>,
    ) -> Result<()> {
        match kind {
            PartKind::Single => Ok(()),
            PartKind::Family if !self.has_columns => Ok(()),
            PartKind::Family | PartKind::Column => self.segment.times_beside(index, labels, *kind, into),
        }
    }

    /// Takes the chunks of the next item.
    fn take(&mut self, index: &RwLock<Index>, into: &mut Vec<Chunk>) -> Result<()> {
        self.segment.chunks_of(index, self.number, |chunk| into.push(chunk))?;
        self.number = self.number.saturating_add(1);
        self.head = self.segment.item(index, self.number)?;
        Ok(())
    }
}

impl Inner {
    /// The oldest run of segments of one level that are enough for one of the next.
    pub(super) fn start_merge(&self, disk: &Disk) -> Result<Option<Job>> {
        let segments = self.view.read().segments.clone();
        let runs = segments.chunk_by(|a, b| a.entry.level == b.entry.level);
        let mut runs = runs.filter_map(|run| run.get(..MERGE)).filter(|sources| {
            sources.first().is_some_and(|segment| segment.entry.level < TOP_LEVEL) && self.may_merge(sources)
        });
        let Some(sources) = runs.next() else { return Ok(None) };
        let level = sources.first().map_or(0, |source| source.entry.level).saturating_add(1);
        self.start_merge_of(disk, sources.to_vec(), level).map(Some)
    }

    /// Begins to write these segments, which stand side by side, as one.
    pub(super) fn start_merge_of(&self, disk: &Disk, sources: Vec<Arc<Segment>>, level: u8) -> Result<Job> {
        let mut opened = Vec::with_capacity(sources.len());
        for source in sources {
            opened.push(MergeSource::new(source, &self.index)?);
        }
        let (number, tombstones) = {
            // What is deleted from here on is hidden in segments with numbers up to this one.
            let _writer = self.writer.lock();
            let number = disk.manifest.lock().take_number();
            (number, self.view.read().tombstones.clone())
        };
        let writer = self.new_segment(disk, number, level)?;
        let most_rows = MERGED_ROWS.saturating_mul(MERGE.saturating_pow(u32::from(level.saturating_sub(1))));
        Ok(Job::Merge(Merge { sources: opened, tombstones, most_rows, writer }))
    }

    /// Segments are forgotten whole: none is to be more than a tenth of what retention keeps, as in Prometheus.
    fn may_merge(&self, sources: &[Arc<Segment>]) -> bool {
        let bytes: u64 = sources.iter().map(|segment| segment.entry.length).sum();
        let first = sources.iter().map(|segment| segment.entry.first_time).min().unwrap_or(0);
        let last = sources.iter().map(|segment| segment.entry.last_time).max().unwrap_or(0);
        let span = u128::from(last.abs_diff(first));
        let most = self.options.limits.disk_bytes.min(self.options.retention_bytes.unwrap_or(u64::MAX));
        bytes <= most / 10 && self.options.retention.is_none_or(|kept| span <= kept.as_millis() / 10)
    }

    pub(super) fn merge_step(&self, disk: &Disk, mut job: Merge) -> Result<Option<Job>> {
        for _ in 0..STEP_ITEMS {
            let heads = job.sources.iter().filter_map(|source| source.head.as_ref());
            let Some(head) = heads.min().cloned() else { break };
            let (runs, series) = self.runs_in(&mut job, &head)?;
            let (labels, kind) = head;
            job.writer.add(series, kind, &labels, &runs)?;
        }
        if job.sources.iter().any(|source| source.head.is_some()) {
            return Ok(Some(Job::Merge(job)));
        }
        let Merge { sources, tombstones, writer, .. } = job;
        // A power cut must not undo a deletion whose samples are gone from here: the log may have others of them.
        if let Some(newest) = tombstones.iter().map(|tombstone| tombstone.sequence).max() {
            disk.sync.wait(newest)?;
        }
        let made = self.finish_segment(disk, writer)?;
        let gone: Vec<u64> = sources.iter().map(|source| source.segment.entry.number).collect();
        self.replace_segments(disk, &gone, made)?;
        Ok(None)
    }

    /// What the sources have of an item but for what is deleted, and the series that it is, as far as that is known.
    fn runs_in(&self, job: &mut Merge, head: &(Labels, PartKind)) -> Result<(Vec<Run>, Option<SeriesRef>)> {
        let (labels, kind) = head;
        let is_family = *kind == PartKind::Family;
        let tombstones =
            job.tombstones.iter().filter(|tombstone| tombstone.accepts_labels(labels, is_family));
        let tombstones: SmallVec<[&Arc<Tombstone>; 1]> = tombstones.collect();
        let (mut chunks, mut between, mut series) = (Vec::new(), Vec::new(), None);
        for source in &mut job.sources {
            source.times_beside(&self.index, head, &mut between)?;
            if source.head.as_ref() != Some(head) {
                continue;
            }
            series = series.or(source.series());
            let number = source.segment.entry.number;
            let own = tombstones.iter().copied().filter(|tombstone| number < tombstone.entry.before);
            let own: SmallVec<[&Arc<Tombstone>; 1]> = own.collect();
            let before = chunks.len();
            source.take(&self.index, &mut chunks)?;
            if !own.is_empty() {
                let whole = chunks.split_off(before);
                chunks.extend(whole.into_iter().filter_map(|chunk| masked_labels(chunk, labels, &own)));
            }
        }
        let is_plain = chunks.iter().all(|chunk: &Chunk| matches!(chunk, Chunk::Sealed(_)));
        if is_plain && is_rising(&chunks) {
            return Ok((merged_runs(&chunks, &between, job.most_rows)?, series));
        }
        let mut runs = Vec::new();
        for run in ordered_runs(chunks, Window::ALL, &self.index)? {
            runs.extend(split(run, job.most_rows)?);
        }
        Ok((runs, series))
    }

    /// Publishes segments without `gone`, and with `made` in the place of the first of them.
    pub(super) fn replace_segments(
        &self,
        disk: &Disk,
        gone: &[u64],
        made: Option<Arc<Segment>>,
    ) -> Result<()> {
        let mut manifest = disk.manifest.lock();
        let segments = self.view.read().segments.clone();
        let first = segments
            .iter()
            .position(|segment| gone.contains(&segment.entry.number))
            .unwrap_or(segments.len());
        let mut kept: Vec<Arc<Segment>> = Vec::with_capacity(segments.len());
        for (at, segment) in segments.iter().enumerate() {
            if at == first {
                kept.extend(made.clone());
            }
            if !gone.contains(&segment.entry.number) {
                kept.push(segment.clone());
            }
        }
        disk.publish(&mut manifest, |next| {
            next.segments = kept.iter().map(|segment| segment.entry).collect()
        })?;
        self.view.write().segments = kept.into();
        self.may_leave();
        drop(manifest);
        disk.remove(FileKind::Segment, gone.iter().copied());
        Ok(())
    }
}
