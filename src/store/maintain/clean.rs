//! Cleaning: what was deleted leaves the segments, and then the list of what was deleted.

use std::sync::Arc;

use super::super::disk::Disk;
use super::super::segment::Segment;
use super::super::tombstone::{Tombstone, TombstoneEntry};
use super::super::{Inner, Store};
use super::Job;
use crate::error::Result;

/// A segment is written anew when at least one part in so many of its bytes is of chunks of which something is hidden, as in
/// Prometheus.
const WORTH: u64 = 20;

impl Store {
    /// Writes every segment anew that holds samples which were [deleted](Self::delete_series), now and not when it pays:
    /// Prometheus's "clean tombstones".
    ///
    /// # Errors
    ///
    /// As [`maintain`](Self::maintain).
    pub fn clean_tombstones(&self) -> Result<()> {
        let Some(disk) = self.inner.upkept()? else { return Ok(()) };
        let maintenance = &mut *self.inner.maintenance.lock();
        loop {
            while maintenance.job.is_some() {
                self.inner.step(disk, maintenance, false)?;
            }
            disk.sync.check()?;
            disk.settle_opening(&mut self.inner.writer.lock())?;
            maintenance.job = self.inner.start_clean(disk, true)?;
            if maintenance.job.is_none() {
                return Ok(());
            }
        }
    }
}

impl Inner {
    /// Forgets tombstones that hide nothing, and begins to write a segment anew of which they hide enough, or anything at all.
    pub(super) fn start_clean(&self, disk: &Disk, all: bool) -> Result<Option<Job>> {
        let (segments, tombstones) = {
            let view = self.view.read();
            (view.segments.clone(), view.tombstones.clone())
        };
        for tombstone in tombstones.iter() {
            for segment in segments.iter().filter(|segment| tombstone.may_hide(segment)) {
                let number = segment.entry.number;
                if !tombstone.hidden_bytes.lock().contains_key(&number) {
                    let hidden = segment.hidden_by(tombstone, &self.index)?;
                    tombstone.hidden_bytes.lock().insert(number, hidden);
                    return Ok(Some(Job::Look));
                }
            }
        }
        let hidden = |tombstone: &Tombstone, segment: &Segment| {
            if tombstone.may_hide(segment) {
                tombstone.hidden_bytes.lock().get(&segment.entry.number).copied().unwrap_or(0)
            } else {
                0
            }
        };
        let hides =
            |tombstone: &&Arc<Tombstone>| segments.iter().any(|segment| hidden(tombstone, segment) > 0);
        let done: Vec<&Arc<Tombstone>> = tombstones.iter().filter(|tombstone| !hides(tombstone)).collect();
        if !done.is_empty() {
            self.forget_tombstones(disk, &done)?;
            return Ok(Some(Job::Look));
        }
        let is_due = |segment: &&Arc<Segment>| {
            let bytes = tombstones.iter().map(|tombstone| hidden(tombstone, segment)).max().unwrap_or(0);
            bytes > 0 && (all || bytes >= segment.entry.length / WORTH)
        };
        let Some(segment) = segments.iter().find(is_due) else { return Ok(None) };
        self.start_merge_of(disk, vec![segment.clone()], segment.entry.level).map(Some)
    }

    fn forget_tombstones(&self, disk: &Disk, done: &[&Arc<Tombstone>]) -> Result<()> {
        let mut manifest = disk.manifest.lock();
        let is_done = |entry: &TombstoneEntry| done.iter().any(|done| done.entry == *entry);
        if manifest.tombstones.iter().any(is_done) {
            disk.publish(&mut manifest, |next| next.tombstones.retain(|entry| !is_done(entry)))?;
        }
        let mut view = self.view.write();
        let kept = view.tombstones.iter().filter(|own| !done.iter().any(|done| Arc::ptr_eq(done, own)));
        view.tombstones = kept.cloned().collect();
        Ok(())
    }
}
