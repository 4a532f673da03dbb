//! Upkeep in bounded steps: sealing what the heads hold, merging, forgetting.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use smallvec::SmallVec;

use crate::chunk::{Chunk, FamilyBuffer, Wanted};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Labels, SampleBuffer, Timestamp, Window};

use super::backing::{FileKind, error_of};
use super::disk::Disk;
use super::head::{Heads, ItemHead};
use super::index::{Index, Item, SeriesRef};
use super::options::Durability;
use super::planted::{Bug, planted};
use super::segment::{self, PartKind, Run, Segment, SegmentWriter};
use super::sync::RwLock;
use super::wal::{FrameKind, failed};
use super::{Inner, Store};

/// Items that one step seals, merges or looks at.
const STEP_ITEMS: usize = 1024;
/// Samples of every series after which the heads are sealed: as many as a full chunk of a head has, so that what is sealed
/// can leave memory at once.
const FLUSH_ROWS: u64 = 128;
/// Jobs that a flush waits for: to seal, to forget, and to merge on every level.
const FLUSH_JOBS: u32 = 16;
/// Samples of every series after which a commit does a part of the upkeep.
const BEHIND_ROWS: u64 = 256;
/// Segments of one level that are merged into one of the next.
const MERGE: usize = 4;
/// The highest level.
const TOP_LEVEL: u8 = 3;
/// Rows of a chunk in a segment of level 1; of each further level four times as many.
const MERGED_ROWS: usize = 512;
/// A series that got no sample for so many milliseconds, while others did, is kept in segments only.
const IDLE_SERIES: i64 = 3_600_000;
/// Files of the log that wait to be sealed before a commit does it.
const MAX_LOGS: usize = 4;
/// Without appends for as long, the newest batch is vouched for by a mark.
const IDLE: Duration = Duration::from_millis(200);

/// What a step of [`Store::maintain`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Maintained {
    /// Nothing: there is nothing to do.
    Idle,
    /// A part of the work; there is more.
    Step,
}

/// The work that is under way.
#[derive(Debug, Default)]
pub(super) struct Maintenance {
    job: Option<Job>,
    /// The newest sequence that a mark vouches for.
    marked: u64,
}

#[derive(Debug)]
enum Job {
    Flush(Flush),
    Merge(Merge),
    /// Heads forget what is sealed.
    Forget(Vec<u32>),
}

/// One item of a segment to be.
#[derive(Debug)]
struct Planned {
    labels: Labels,
    series: SeriesRef,
    kind: PartKind,
}

impl Planned {
    /// `None`: there is no such series.
    fn of(index: &Index, series: SeriesRef, is_family: bool) -> Option<Self> {
        let item = index.item(series.item)?;
        let (labels, kind) = match &**item {
            Item::Family { columns, .. } if !is_family => {
                (item.series_labels(columns.get(series.column as usize)?), PartKind::Column)
            }
            Item::Family { labels, .. } => (labels.clone(), PartKind::Family),
            Item::Single(labels) => (labels.clone(), PartKind::Single),
        };
        Some(Self { labels, series, kind })
    }

    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.labels.cmp(&other.labels).then(self.kind.cmp(&other.kind))
    }
}

/// The heads at one moment on their way into a segment.
#[derive(Debug)]
struct Flush {
    heads: Heads,
    /// Files of the log from this on hold what came later.
    first_log: u64,
    planned: std::vec::IntoIter<Planned>,
    writer: SegmentWriter,
}

/// Segments on their way into one.
#[derive(Debug)]
struct Merge {
    sources: Vec<MergeSource>,
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
    fn take(&mut self, index: &RwLock<Index>, into: &mut Vec<Arc<Chunk>>) -> Result<()> {
        self.segment.chunks_of(index, self.number, |chunk| into.push(chunk))?;
        self.number = self.number.saturating_add(1);
        self.head = self.segment.item(index, self.number)?;
        Ok(())
    }
}

impl Store {
    /// Does one bounded step of upkeep, if one is due: syncing for [`Durability::Interval`], sealing what the log holds into
    /// a segment, merging segments, forgetting what [retention](crate::StoreOptions::retention) does not keep. A store in
    /// memory needs none.
    ///
    /// Readers and writers go on meanwhile.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Full`] and [`ErrorKind::Io`]: the step is tried again by a later call. [`ErrorKind::Failed`] and
    /// [`ErrorKind::Corrupt`] as for [`commit`](crate::Appender::commit) and reading.
    pub fn maintain(&self) -> Result<Maintained> {
        self.inner.maintain()
    }

    /// Seals everything that the log holds, and merges and forgets what is due.
    ///
    /// # Errors
    ///
    /// As [`maintain`](Self::maintain).
    pub fn flush(&self) -> Result<()> {
        let Some(disk) = self.inner.upkept()? else { return Ok(()) };
        let maintenance = &mut *self.inner.maintenance.lock();
        // A seal that is under way holds what came before it, not all there is.
        while maintenance.job.is_some() {
            self.inner.step(disk, maintenance, false)?;
        }
        self.inner.step(disk, maintenance, true)?;
        // Writers that go on make more work: what was there at the call is done after a few jobs.
        let mut jobs = 0;
        while jobs < FLUSH_JOBS && self.inner.step(disk, maintenance, false)? == Maintained::Step {
            jobs += u32::from(maintenance.job.is_none());
        }
        Ok(())
    }
}

impl Inner {
    pub(super) fn maintain(&self) -> Result<Maintained> {
        let Some(disk) = self.upkept()? else { return Ok(Maintained::Idle) };
        self.step(disk, &mut self.maintenance.lock(), false)
    }

    /// A commit that finds too much waiting to be sealed does a part of it itself.
    pub(super) fn maintain_if_behind(&self) {
        let Some(disk) = &self.disk else { return };
        if self.unsealed_rows() < BEHIND_ROWS && disk.manifest.lock().logs.len() <= MAX_LOGS {
            return;
        }
        // Somebody else may be at it; a failure here is that of the upkeep, not of the batch.
        if let Some(mut maintenance) = self.maintenance.try_lock() {
            for _ in 0..4 {
                if !matches!(self.step(disk, &mut maintenance, false), Ok(Maintained::Step)) {
                    break;
                }
            }
        }
    }

    /// How many samples every series that is appended to has got since the heads were last sealed, on average.
    fn unsealed_rows(&self) -> u64 {
        let unflushed = self.writer.lock().unflushed;
        unflushed / self.index.read().active_count().max(1) as u64
    }

    /// What there is to keep up, if this store may do that.
    fn upkept(&self) -> Result<Option<&Disk>> {
        match &self.disk {
            Some(disk) if disk.read_only => {
                Err(Error::new(ErrorKind::Closed, "the store was opened to be read"))
            }
            disk => Ok(disk.as_ref()),
        }
    }

    fn step(&self, disk: &Disk, maintenance: &mut Maintenance, seal: bool) -> Result<Maintained> {
        disk.sync.check()?;
        disk.settle_opening(&mut self.writer.lock())?;
        self.settle_idle(disk, maintenance)?;
        let had_job = maintenance.job.is_some();
        let outcome = match maintenance.job.take() {
            Some(Job::Flush(job)) => self.flush_step(disk, job),
            Some(Job::Merge(job)) => self.merge_step(disk, job),
            Some(Job::Forget(items)) => self.forget_step(items),
            None => self.next_job(disk, seal),
        };
        maintenance.job = disk.note(outcome)?;
        // The end of one job may make another one due.
        Ok(if had_job || maintenance.job.is_some() { Maintained::Step } else { Maintained::Idle })
    }

    /// Syncs what waits longer than was promised, and has the newest batch vouched for when nothing comes behind it.
    fn settle_idle(&self, disk: &Disk, maintenance: &mut Maintenance) -> Result<()> {
        let (written, synced) = (disk.sync.written(), disk.sync.synced());
        if let Durability::Interval(interval) = self.options.durability
            && written > synced
            && disk.sync.since_sync() >= interval
        {
            disk.sync.wait(written)?;
        }
        if disk.sync.synced() == written && maintenance.marked < written && disk.sync.since_sync() >= IDLE {
            let mut writer = self.writer.lock();
            if disk.sync.written() == written && writer.log.is_some() && !writer.ended {
                maintenance.marked = disk.write(&mut writer, FrameKind::Mark, &[])?;
            }
        }
        Ok(())
    }

    fn next_job(&self, disk: &Disk, seal: bool) -> Result<Option<Job>> {
        self.apply_retention(disk)?;
        if disk.full.load(Ordering::Relaxed) {
            // No segment takes more than what it is made of: without that much room it would only be begun.
            let wanted = self.sample_bytes.load(Ordering::Relaxed) as u64;
            if disk.backing.free_bytes().map_err(error_of)?
                < wanted.saturating_add(self.options.limits.min_free_bytes)
            {
                return Ok(None);
            }
            disk.full.store(false, Ordering::Relaxed);
        }
        let logs = disk.manifest.lock().logs.len();
        let wanted = seal && self.writer.lock().unflushed > 0;
        if wanted || logs > 1 || self.unsealed_rows() >= FLUSH_ROWS {
            return self.start_flush(disk).map(Some);
        }
        self.start_merge(disk)
    }

    fn start_flush(&self, disk: &Disk) -> Result<Job> {
        let (heads, first_log) = {
            let mut writer = self.writer.lock();
            disk.start_log(&mut writer)?;
            writer.unflushed = 0;
            let first_log = writer.log.as_ref().map_or(0, |log| log.number);
            (self.view.read().heads.clone(), first_log)
        };
        let planned = self.plan(&heads);
        let writer = self.new_segment(disk, 0)?;
        Ok(Job::Flush(Flush { heads, first_log, planned: planned.into_iter(), writer }))
    }

    fn new_segment(&self, disk: &Disk, level: u8) -> Result<SegmentWriter> {
        let (store, number) = {
            let mut manifest = disk.manifest.lock();
            (manifest.store, manifest.take_number())
        };
        SegmentWriter::create(&disk.backing, store, number, level)
    }

    /// The items of the heads in the order of their labels.
    fn plan(&self, heads: &Heads) -> Vec<Planned> {
        let mut planned = Vec::new();
        let index = self.index.read();
        for (number, head) in heads.iter() {
            let (columns, is_family) = match head {
                ItemHead::Series(_) => (1, false),
                ItemHead::Family(_) => (1, true),
                ItemHead::Columns(heads) => (heads.len(), false),
            };
            for (column, _) in (0..).zip(0..columns) {
                planned.extend(Planned::of(&index, SeriesRef { item: number, column }, is_family));
            }
        }
        drop(index);
        planned.sort_by(Planned::cmp);
        planned
    }

    fn flush_step(&self, disk: &Disk, mut job: Flush) -> Result<Option<Job>> {
        let segments = self.view.read().segments.clone();
        for planned in job.planned.by_ref().take(STEP_ITEMS) {
            let Some(head) = job.heads.get(planned.series.item) else { continue };
            // What a segment has already stays in the head to be read quickly.
            let sealed = match head {
                ItemHead::Columns(_) => self.newest_of_column(&segments, planned.series)?,
                ItemHead::Series(_) | ItemHead::Family(_) => newest_of(&segments, planned.series.item)?,
            };
            let after = sealed.map_or(Timestamp::MIN, Timestamp::from_millis);
            let chunks: Vec<Arc<Chunk>> = match head {
                ItemHead::Series(head) => head.chunks(Window::new(after, Timestamp::MAX)).collect(),
                ItemHead::Family(head) => head.chunks(Window::new(after, Timestamp::MAX)).collect(),
                ItemHead::Columns(heads) => heads
                    .get(planned.series.column as usize)
                    .map(|head| head.chunks(Window::new(after, Timestamp::MAX)).collect())
                    .unwrap_or_default(),
            };
            let until = match planned.kind == PartKind::Family && planted(Bug::FlushMissesNewest) {
                true => head
                    .time_range()
                    .map_or(Timestamp::MAX, |(_, last)| Timestamp::from_millis(last.saturating_sub(1))),
                false => Timestamp::MAX,
            };
            let runs = runs_of(&chunks, Window::new(after, until))?;
            job.writer.add(Some(planned.series), planned.kind, &planned.labels, &runs)?;
        }
        if job.planned.len() > 0 {
            return Ok(Some(Job::Flush(job)));
        }
        let Flush { heads, first_log, writer, .. } = job;
        let made = self.finish_segment(disk, writer)?;
        let mut manifest = disk.manifest.lock();
        let first_log = if planted(Bug::FlushDropsNewLog) { first_log.saturating_add(1) } else { first_log };
        let dropped: Vec<u64> =
            manifest.logs.iter().map(|log| log.number).filter(|number| *number < first_log).collect();
        if planted(Bug::LogsRemovedEarly) {
            disk.remove(FileKind::Log, dropped.iter().copied());
        }
        disk.publish(&mut manifest, |next| {
            next.segments.extend(made.iter().map(|segment| segment.entry));
            if !planted(Bug::FlushKeepsLogs) {
                next.logs.retain(|log| log.number >= first_log);
            }
        })?;
        let stale = planted(Bug::StaleSwap).then(|| self.view.read().clone());
        {
            let mut view = self.view.write();
            if let Some(stale) = stale {
                *view = stale;
            }
            view.segments = view.segments.iter().cloned().chain(made).collect();
        }
        drop(manifest);
        disk.remove(FileKind::Log, dropped);
        let items = heads.iter().map(|(item, _)| item).collect();
        Ok(Some(Job::Forget(items)))
    }

    /// `None`: there was nothing to put into it.
    fn finish_segment(&self, disk: &Disk, writer: SegmentWriter) -> Result<Option<Arc<Segment>>> {
        if writer.is_empty() {
            return Ok(None);
        }
        let (entry, known) = writer.finish()?;
        if !planted(Bug::SegmentNameNotSynced) {
            let synced = disk.backing.sync_names();
            synced.map_err(|error| failed(&format!("syncing names failed: {error}")))?;
        }
        let store = disk.manifest.lock().store;
        let segment = Segment::open(&*disk.backing, store, entry)?;
        segment.set_known(&self.index, &known)?;
        Ok(Some(Arc::new(segment)))
    }

    fn forget_step(&self, mut items: Vec<u32>) -> Result<Option<Job>> {
        let segments = self.view.read().segments.clone();
        let idle_before = self.newest.load(Ordering::Relaxed).saturating_sub(IDLE_SERIES);
        let rest = items.len().saturating_sub(STEP_ITEMS);
        // A batch that was told relative to a head finds it again.
        let mut writer = self.writer.lock();
        let mut view = self.view.write();
        for item in items.drain(rest..) {
            let Some(head) = view.heads.get(item) else { continue };
            let sealed: SmallVec<[Option<i64>; 1]> = match head {
                ItemHead::Series(_) | ItemHead::Family(_) => {
                    SmallVec::from_elem(newest_of(&segments, item)?, 1)
                }
                // Of a column that cannot be read nothing is forgotten.
                ItemHead::Columns(heads) => (0..)
                    .zip(heads)
                    .map(|(column, _)| self.newest_of_column(&segments, SeriesRef { item, column }))
                    .map(|newest| newest.unwrap_or_default())
                    .collect(),
            };
            if head.is_sealed(&sealed) && head.time_range().is_some_and(|(_, last)| last < idle_before) {
                self.grow(view.heads.remove(item));
                writer.tables.forget(item);
                self.index.write().rest(item);
                continue;
            }
            if !head.can_forget(&sealed) {
                continue;
            }
            self.grow(view.heads.forget(item, &sealed));
        }
        Ok((!items.is_empty()).then_some(Job::Forget(items)))
    }

    fn newest_of_column(&self, segments: &[Arc<Segment>], series: SeriesRef) -> Result<Option<i64>> {
        let item = self.index.read().item(series.item).cloned();
        let column = match item.as_deref() {
            Some(Item::Family { columns, .. }) => columns.get(series.column as usize),
            _ => None,
        };
        column.map_or(Ok(None), |column| segment::newest_of_column(segments, series, column))
    }

    /// The oldest run of segments of one level that are enough for one of the next.
    fn start_merge(&self, disk: &Disk) -> Result<Option<Job>> {
        let segments = self.view.read().segments.clone();
        let runs = segments.chunk_by(|a, b| a.entry.level == b.entry.level);
        let mut runs = runs.filter_map(|run| run.get(..MERGE)).filter(|sources| {
            sources.first().is_some_and(|segment| segment.entry.level < TOP_LEVEL) && self.may_merge(sources)
        });
        let Some(sources) = runs.next() else { return Ok(None) };
        let level = sources.first().map_or(0, |source| source.entry.level).saturating_add(1);
        let mut opened = Vec::with_capacity(sources.len());
        for source in sources {
            opened.push(MergeSource::new(source.clone(), &self.index)?);
        }
        let writer = self.new_segment(disk, level)?;
        let most_rows = MERGED_ROWS.saturating_mul(MERGE.saturating_pow(u32::from(level.saturating_sub(1))));
        Ok(Some(Job::Merge(Merge { sources: opened, most_rows, writer })))
    }

    /// Segments are forgotten whole: none is to be more than a tenth of what retention keeps, as in Prometheus.
    fn may_merge(&self, sources: &[Arc<Segment>]) -> bool {
        let bytes: u64 = sources.iter().map(|segment| segment.entry.length).sum();
        let first = sources.iter().map(|segment| segment.entry.first_time).min().unwrap_or(0);
        let last = sources.iter().map(|segment| segment.entry.last_time).max().unwrap_or(0);
        let span = u128::from(last.abs_diff(first));
        self.options.retention_bytes.is_none_or(|most| bytes <= most / 10)
            && self.options.retention.is_none_or(|kept| span <= kept.as_millis() / 10)
    }

    fn merge_step(&self, disk: &Disk, mut job: Merge) -> Result<Option<Job>> {
        for _ in 0..STEP_ITEMS {
            let heads = job.sources.iter().filter_map(|source| source.head.as_ref());
            let Some(head) = heads.min().cloned() else { break };
            let (mut chunks, mut between, mut series) = (Vec::new(), Vec::new(), None);
            for source in &mut job.sources {
                source.times_beside(&self.index, &head, &mut between)?;
                if source.head.as_ref() == Some(&head) {
                    series = series.or(source.series());
                    source.take(&self.index, &mut chunks)?;
                }
            }
            let runs = merged_runs(&chunks, &between, job.most_rows)?;
            let (labels, kind) = head;
            job.writer.add(series, kind, &labels, &runs)?;
        }
        if job.sources.iter().any(|source| source.head.is_some()) {
            return Ok(Some(Job::Merge(job)));
        }
        let Merge { sources, writer, .. } = job;
        let made = self.finish_segment(disk, writer)?;
        let gone: Vec<u64> = sources.iter().map(|source| source.segment.entry.number).collect();
        self.replace_segments(disk, &gone, made)?;
        Ok(None)
    }

    /// Publishes segments without `gone`, and with `made` in the place of the first of them.
    fn replace_segments(&self, disk: &Disk, gone: &[u64], made: Option<Arc<Segment>>) -> Result<()> {
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
        drop(manifest);
        disk.remove(FileKind::Segment, gone.iter().copied());
        Ok(())
    }

    fn apply_retention(&self, disk: &Disk) -> Result<()> {
        let border = self.retention_border();
        let segments = self.view.read().segments.clone();
        let mut gone: Vec<u64> = segments
            .iter()
            .filter(|segment| border.is_some_and(|border| segment.entry.last_time <= border.as_millis()))
            .map(|segment| segment.entry.number)
            .collect();
        if let Some(most) = self.options.retention_bytes {
            let mut bytes: u64 = segments.iter().map(|segment| segment.entry.length).sum();
            let mut oldest: Vec<_> = segments.iter().map(|segment| segment.entry).collect();
            oldest.sort_by_key(|entry| entry.last_time);
            // The newest stays, whatever it takes.
            oldest.pop();
            for entry in oldest {
                if bytes <= most {
                    break;
                }
                bytes = bytes.saturating_sub(entry.length);
                gone.push(entry.number);
            }
        }
        if gone.is_empty() { Ok(()) } else { self.replace_segments(disk, &gone, None) }
    }

    /// Samples up to this are forgotten.
    pub(super) fn retention_border(&self) -> Option<Timestamp> {
        let kept = i64::try_from(self.options.retention?.as_millis()).unwrap_or(i64::MAX);
        let newest = self.newest.load(Ordering::Relaxed);
        Some(Timestamp::from_millis(newest.saturating_sub(kept)))
    }
}

/// The newest time that segments have of an item. They know all items that are in the heads and in them: what the log holds is
/// in no segment that was there when the store was opened.
fn newest_of(segments: &[Arc<Segment>], item: u32) -> Result<Option<i64>> {
    let mut newest = None;
    for segment in segments {
        newest = newest.max(segment.newest_of(item)?);
    }
    Ok(newest)
}

/// The chunks of one item as runs of at most so many rows. Chunks are put together only where that takes fewer bytes: at a
/// change of what a series does it takes more. Nor are they where one of the times in `between` may lie between them: there
/// the item has samples as rows and as columns by turns, and the chunks of a column must follow each other.
fn merged_runs(chunks: &[Arc<Chunk>], between: &[(i64, i64)], most_rows: usize) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    let mut group: Option<(Run, usize)> = None;
    let mut since = None;
    for chunk in chunks {
        let Some((first, last)) = chunk.time_range() else { continue };
        let start = *since.get_or_insert(first);
        if between.iter().any(|(from, until)| *until > start && *from < last) {
            runs.extend(group.take().map(|(run, _)| run));
            since = Some(first);
        }
        let Some(own) = runs_of(std::slice::from_ref(chunk), Window::ALL)?.pop() else { continue };
        let Chunk::Sealed(sealed) = &**chunk else { continue };
        let own_bytes = sealed.place.length as usize;
        group = Some(match group.take() {
            None => (own, own_bytes),
            Some((before, bytes)) => match before.joined(&own, most_rows) {
                Some((joined, joined_bytes)) if joined_bytes <= bytes.saturating_add(own_bytes) => {
                    (joined, joined_bytes)
                }
                _ => {
                    runs.push(before);
                    since = Some(first);
                    (own, own_bytes)
                }
            },
        });
    }
    runs.extend(group.map(|(run, _)| run));
    Ok(runs)
}

/// Chunks of one item as runs: of a histogram one for each stretch of one layout.
fn runs_of(chunks: &[Arc<Chunk>], window: Window) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    let same = |a: &Arc<Chunk>, b: &Arc<Chunk>| match (a.layout(), b.layout()) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    };
    for part in chunks.chunk_by(same) {
        match part.first().and_then(|chunk| chunk.layout()) {
            Some(layout) => {
                let mut rows = FamilyBuffer::default();
                part.iter().try_for_each(|chunk| chunk.read_rows(window, Wanted::All, &mut rows))?;
                runs.push(Run::Rows(layout.clone(), rows));
            }
            None => {
                let mut samples = SampleBuffer::default();
                part.iter().try_for_each(|chunk| chunk.read(0, window, &mut samples))?;
                runs.push(Run::Samples(samples));
            }
        }
    }
    Ok(runs)
}
