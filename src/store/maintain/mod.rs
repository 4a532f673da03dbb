//! Upkeep in bounded steps: sealing what the heads hold, merging, forgetting.

mod clean;
mod flush;
mod leave;
mod merge;
mod retention;
mod runs;

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

use super::backing::error_of;
use super::disk::Disk;
use super::head::CHUNK_ROWS;
use super::options::Durability;
use super::pin::Pin;
use super::wal::FrameKind;
use super::{Inner, Store};
use flush::Flush;
use leave::Leave;
use merge::Merge;

/// Items that one step seals, merges or looks at.
const STEP_ITEMS: usize = 1024;
/// Samples of every series after which the heads are sealed: as many as a full chunk of a head has, so that what is sealed
/// can leave memory at once.
const FLUSH_ROWS: u64 = CHUNK_ROWS as u64;
/// Jobs that a flush waits for: to seal, to forget, and to merge on every level.
const FLUSH_JOBS: u32 = 16;
/// Samples of every series after which a commit does a part of the upkeep.
const BEHIND_ROWS: u64 = 2 * FLUSH_ROWS;
/// Files of the log that are sealed before their series have so many samples. Sooner, heads would have to keep what is sealed
/// until their chunks are full.
const SEALED_LOGS: usize = 4;
/// Files of the log that wait to be sealed before a commit does it.
const MAX_LOGS: usize = 2 * SEALED_LOGS;
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
    /// The period that was over when items were noted that leave once nobody reads or writes who began in it.
    over: Option<Pin>,
}

#[derive(Debug)]
enum Job {
    Flush(Flush),
    Merge(Merge),
    /// Heads forget what is sealed.
    Forget(Vec<u32>),
    /// The index forgets series of which nothing is left.
    Leave(Leave),
    /// One segment was looked at, to see what of it is hidden.
    Look,
}

impl Store {
    /// Does one bounded step of upkeep, if one is due: syncing for [`Durability::Interval`], sealing what the log holds into
    /// a segment, merging segments, forgetting what [retention](crate::StoreOptions::retention) does not keep, and series of
    /// which nothing is left. A store in memory needs none.
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
            Some(Job::Flush(job)) => self.flush_step(disk, job).inspect_err(|_| self.give_up_sealing()),
            Some(Job::Merge(job)) => self.merge_step(disk, job),
            Some(Job::Forget(items)) => self.forget_step(items),
            Some(Job::Leave(job)) => Ok(self.leave_step(job)),
            Some(Job::Look) => Ok(None),
            None => self.next_job(disk, &mut maintenance.over, seal),
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

    fn next_job(&self, disk: &Disk, over: &mut Option<Pin>, seal: bool) -> Result<Option<Job>> {
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
        // What is sealed takes a part of its log.
        let wanted =
            (seal || disk.bytes() >= self.options.limits.disk_bytes) && self.writer.lock().unflushed > 0;
        if wanted || logs > SEALED_LOGS || self.unsealed_rows() >= FLUSH_ROWS {
            return self.start_flush(disk).map(Some);
        }
        if let Some(job) = self.start_leaving(over, None) {
            return Ok(Some(job));
        }
        match self.start_clean(disk, false)? {
            Some(job) => Ok(Some(job)),
            None => self.start_merge(disk),
        }
    }
}

#[cfg(test)]
mod tests;
