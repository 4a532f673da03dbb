//! Sealing: what the heads hold becomes a segment, and the heads forget it in time.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::super::Inner;
use super::super::backing::FileKind;
use super::super::disk::Disk;
use super::super::head::{Heads, ItemHead, LateHeads};
use super::super::index::{Item, ItemRef, SeriesRef};
use super::super::planted::{Bug, planted};
use super::super::segment::{self, PartKind, Run, Segment, SegmentWriter};
use super::super::snapshot::{View, later};
use super::super::tombstone::TombstoneEntry;
use super::super::wal::failed;
use super::runs::{Planned, ordered_runs};
use super::{Job, STEP_ITEMS};
use crate::chunk::Chunk;
use crate::error::Result;
use crate::model::{Timestamp, Window};

/// A series that got no sample for so many milliseconds, while others did, is kept in segments only.
const IDLE_SERIES: i64 = 3_600_000;

/// The heads at one moment on their way into a segment.
#[derive(Debug)]
pub(super) struct Flush {
    heads: Arc<Heads>,
    /// Files of the log from this on hold what came later.
    first_log: u64,
    /// The first sequence of those files.
    first_sequence: u64,
    /// The sequence of the last frame of the exemplars that were there; 0 if there were none.
    exemplars: u64,
    planned: std::vec::IntoIter<Planned>,
    writer: SegmentWriter,
}

impl Inner {
    pub(super) fn start_flush(&self, disk: &Disk) -> Result<Job> {
        let (heads, number, first_log, first_sequence, exemplars) = {
            let mut writer = self.writer.lock();
            disk.start_log(&mut writer)?;
            let exemplars = self.log_all_exemplars(disk, &mut writer)?;
            writer.unflushed = 0;
            self.lag.cut();
            let (first_log, first_sequence) =
                writer.log.as_ref().map_or((0, 0), |log| (log.number, log.first));
            // What is deleted from here on is hidden in segments with numbers up to this one.
            let number = disk.manifest.lock().take_number();
            let mut view = self.view.write();
            let heads = Arc::new(view.heads.clone());
            view.heads.late = LateHeads::default();
            view.sealing = Some(heads.clone());
            (heads, number, first_log, first_sequence, exemplars)
        };
        let planned = self.plan(&heads).into_iter();
        let writer = self.new_segment(disk, number, 0);
        let writer = writer.inspect_err(|_| self.give_up_sealing())?;
        Ok(Job::Flush(Flush { heads, first_log, first_sequence, exemplars, planned, writer }))
    }

    /// What came late lies beside the heads again.
    pub(super) fn give_up_sealing(&self) {
        // A deletion has looked where late samples lie before it hides them: they stay there until it has.
        let _writer = self.writer.lock();
        let mut view = self.view.write();
        let Some(heads) = view.sealing.take() else { return };
        if heads.late.is_empty() {
            return;
        }
        let mut late = heads.late.clone();
        self.grow(late.join(&view.heads.late));
        view.heads.late = late;
    }

    /// What came late lies in a segment; of which items, and the newest time of each.
    fn end_sealing(&self, view: &mut View, late: Vec<(u32, i64)>) {
        let Some(heads) = view.sealing.take().filter(|_| !late.is_empty()) else { return };
        self.grow(0_isize.saturating_sub_unsigned(heads.late.byte_size()));
        let known = Arc::make_mut(&mut view.late_sealed);
        for (item, newest) in late {
            known.entry(item).and_modify(|last| *last = newest.max(*last)).or_insert(newest);
        }
    }

    pub(super) fn new_segment(&self, disk: &Disk, number: u64, level: u8) -> Result<SegmentWriter> {
        let store = disk.manifest.lock().store;
        SegmentWriter::create(&disk.backing, store, number, level)
    }

    /// The items of the heads in the order of their labels.
    fn plan(&self, heads: &Heads) -> Vec<Planned> {
        let mut planned = Vec::new();
        let index = self.index.read();
        let mut add = |item: u32, column: u32, is_family: bool| {
            planned.extend(Planned::of(&index, SeriesRef { item, column }, is_family));
        };
        for (number, head) in heads.iter() {
            let (columns, is_family) = match head {
                ItemHead::Series(_) => (1, false),
                ItemHead::Family(_) => (1, true),
                ItemHead::Columns(heads) => (heads.len(), false),
            };
            (0..).zip(0..columns).for_each(|(column, _)| add(number, column, is_family));
        }
        for (number, late) in heads.late.iter() {
            if late.rows(Window::ALL).next().is_some() {
                add(number, 0, true);
            }
            late.series(Window::ALL).for_each(|(column, _)| add(number, column, false));
        }
        drop(index);
        planned.sort_by(Planned::cmp);
        planned.dedup_by(|a, b| a.series == b.series && a.kind == b.kind);
        planned
    }

    pub(super) fn flush_step(&self, disk: &Disk, mut job: Flush) -> Result<Option<Job>> {
        let segments = self.view.read().segments.clone();
        for planned in job.planned.by_ref().take(STEP_ITEMS) {
            let runs = self.sealed_runs(&job.heads, &planned, &segments)?;
            job.writer.add(Some(planned.series), planned.kind, &planned.labels, &runs)?;
        }
        if job.planned.len() > 0 {
            return Ok(Some(Job::Flush(job)));
        }
        let Flush { heads, first_log, first_sequence, exemplars, writer, .. } = job;
        let made = self.finish_segment(disk, writer)?;
        if exemplars > 0 {
            // The files that go have them durable.
            disk.sync.wait(exemplars)?;
        }
        // Looked at before anybody has to wait.
        let late = heads.late.iter().filter_map(|(item, late)| Some((item, late.newest()?))).collect();
        let mut manifest = disk.manifest.lock();
        let first_log = if planted(Bug::FlushDropsNewLog) { first_log.saturating_add(1) } else { first_log };
        let dropped: Vec<u64> =
            manifest.logs.iter().map(|log| log.number).filter(|number| *number < first_log).collect();
        // Later ones are in the log that stays.
        let tombstones: Vec<TombstoneEntry> = {
            let view = self.view.read();
            let before = view.tombstones.iter().filter(|own| own.sequence < first_sequence);
            before.map(|tombstone| tombstone.entry.clone()).collect()
        };
        if planted(Bug::LogsRemovedEarly) {
            disk.remove(FileKind::Log, dropped.iter().copied());
        }
        disk.publish(&mut manifest, |next| {
            next.segments.extend(made.iter().map(|segment| segment.entry));
            next.lag = self.lag.of_cut();
            if !planted(Bug::FlushKeepsLogs) {
                next.logs.retain(|log| log.number >= first_log);
            }
            if !planted(Bug::TombstonesLeftOut) {
                next.tombstones = tombstones;
            }
        })?;
        self.lag.sealed();
        let stale = planted(Bug::StaleSwap).then(|| self.view.read().clone());
        {
            let mut view = self.view.write();
            if let Some(stale) = stale {
                *view = stale;
            }
            view.segments = view.segments.iter().cloned().chain(made).collect();
            self.end_sealing(&mut view, late);
        }
        drop(manifest);
        disk.remove(FileKind::Log, dropped);
        let mut items: Vec<u32> = heads.iter().map(|(item, _)| item).collect();
        items.extend(heads.late.iter().map(|(item, _)| item).filter(|item| heads.get(*item).is_none()));
        Ok(Some(Job::Forget(items)))
    }

    /// What of an item's series is not sealed yet, in the order of time.
    fn sealed_runs(&self, heads: &Heads, planned: &Planned, segments: &[Arc<Segment>]) -> Result<Vec<Run>> {
        let (item, column) = (planned.series.item, planned.series.column);
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut until = Timestamp::MAX;
        if let Some(head) = heads.get(item) {
            // What a segment has already stays in the head to be read quickly.
            let sealed = match head {
                ItemHead::Columns(_) => self.newest_of_column(segments, planned.series)?,
                ItemHead::Series(_) | ItemHead::Family(_) => newest_of(segments, item)?,
            };
            let window = Window::new(sealed.map_or(Timestamp::MIN, Timestamp::from_millis), Timestamp::MAX);
            let mut add = |chunk: Chunk| chunks.extend(later(chunk, sealed));
            match (head, planned.kind == PartKind::Family) {
                (ItemHead::Series(head), false) => head.chunks(window).for_each(&mut add),
                (ItemHead::Family(head), true) => head.chunks(window).for_each(&mut add),
                (ItemHead::Columns(heads), false) => {
                    if let Some(head) = heads.get(column as usize) {
                        head.chunks(window).for_each(&mut add);
                    }
                }
                _ => {}
            }
            if planned.kind == PartKind::Family
                && planted(Bug::FlushMissesNewest)
                && let Some((_, last)) = head.time_range()
            {
                until = Timestamp::from_millis(last.saturating_sub(1));
            }
        }
        if let Some(late) = heads.late.get(item).filter(|_| !planted(Bug::FlushMissesLate)) {
            if planned.kind == PartKind::Family {
                chunks.extend(late.rows(Window::ALL));
            } else {
                let own = late.series(Window::ALL).filter(|(own, _)| *own == column);
                chunks.extend(own.map(|(_, chunk)| chunk));
            }
        }
        ordered_runs(chunks, Window::new(Timestamp::MIN, until), &self.index)
    }

    /// `None`: there was nothing to put into it.
    pub(super) fn finish_segment(&self, disk: &Disk, writer: SegmentWriter) -> Result<Option<Arc<Segment>>> {
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

    pub(super) fn forget_step(&self, mut items: Vec<u32>) -> Result<Option<Job>> {
        let segments = self.view.read().segments.clone();
        let idle_before = self.newest.load(Ordering::Relaxed).saturating_sub(IDLE_SERIES);
        let rest = items.len().saturating_sub(STEP_ITEMS);
        // A batch that was told relative to a head finds it again.
        let mut writer = self.writer.lock();
        let mut view = self.view.write();
        for item in items.drain(rest..) {
            let Some(head) = view.heads.get(item) else {
                if view.heads.late.get(item).is_none() && !self.index.read().is_idle(item) {
                    self.index.write().rest(item);
                }
                continue;
            };
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
            if head.is_sealed(&sealed) && head.last_time().is_none_or(|last| last < idle_before) {
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
        if items.is_empty() {
            self.may_leave();
        }
        if items.is_empty() && !view.late_sealed.is_empty() {
            // Windows that begin later than that never ask a head for what came late.
            let View { heads, late_sealed, .. } = &mut *view;
            let is_needed = |item: &u32, last: &mut i64| {
                let range = heads.get(*item).and_then(|head| head.time_range());
                range.is_some_and(|(first, _)| first < *last)
            };
            Arc::make_mut(late_sealed).retain(is_needed);
        }
        Ok((!items.is_empty()).then_some(Job::Forget(items)))
    }

    fn newest_of_column(&self, segments: &[Arc<Segment>], series: SeriesRef) -> Result<Option<i64>> {
        let item = self.index.read().item(series.item).map(ItemRef::to_item);
        let column = match item.as_ref() {
            Some(Item::Family { columns, .. }) => columns.get(series.column as usize),
            _ => None,
        };
        column.map_or(Ok(None), |column| segment::newest_of_column(segments, series, column))
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
