//! Forgetting: what retention does not keep, in whole segments.

use std::sync::atomic::Ordering;

use super::super::Inner;
use super::super::disk::Disk;
use super::Job;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Timestamp;

impl Inner {
    pub(super) fn apply_retention(&self, disk: &Disk) -> Result<()> {
        let border = self.retention_border();
        let segments = self.view.read().segments.clone();
        let mut gone: Vec<u64> = segments
            .iter()
            .filter(|segment| border.is_some_and(|border| segment.entry.last_time <= border.as_millis()))
            .map(|segment| segment.entry.number)
            .collect();
        let mut bytes: u64 = segments.iter().map(|segment| segment.entry.length).sum();
        let mut all = disk.bytes();
        let mut oldest: Vec<_> = segments.iter().map(|segment| segment.entry).collect();
        oldest.sort_by_key(|entry| entry.last_time);
        // The newest stays, whatever it takes.
        oldest.pop();
        for entry in oldest {
            let fits = self.options.retention_bytes.is_none_or(|most| bytes <= most);
            if fits && all < self.options.limits.disk_bytes {
                break;
            }
            bytes = bytes.saturating_sub(entry.length);
            all = all.saturating_sub(entry.length);
            if !gone.contains(&entry.number) {
                gone.push(entry.number);
            }
        }
        if gone.is_empty() { Ok(()) } else { self.replace_segments(disk, &gone, None) }
    }

    /// Sees to it that there is less on the disk than may be: the oldest segments go.
    ///
    /// # Errors
    ///
    /// `Limit`: that is not enough. Whatever forgetting them meets.
    pub(in super::super) fn keep_disk_bytes(&self, disk: &Disk) -> Result<()> {
        let allowed = self.options.limits.disk_bytes;
        if disk.read_only || disk.bytes() < allowed {
            return Ok(());
        }
        {
            let mut maintenance = self.maintenance.lock();
            disk.sync.check()?;
            disk.settle_opening(&mut self.writer.lock())?;
            if self.view.read().segments.len() > 1 {
                // What is being merged may be what goes.
                maintenance.job.take_if(|job| matches!(job, Job::Merge(_)));
                let outcome = self.apply_retention(disk);
                disk.note(outcome)?;
            }
        }
        let used = disk.bytes();
        if used < allowed {
            return Ok(());
        }
        let text = format!(
            "disk bytes limit: {used} bytes in use, {allowed} allowed; allow more, or let a flush seal the log"
        );
        Err(Error::new(ErrorKind::Limit, text))
    }

    /// Samples up to this are forgotten.
    pub(in super::super) fn retention_border(&self) -> Option<Timestamp> {
        let kept = i64::try_from(self.options.retention?.as_millis()).unwrap_or(i64::MAX);
        let newest = self.newest.load(Ordering::Relaxed);
        Some(Timestamp::from_millis(newest.saturating_sub(kept)))
    }
}
