//! Deleting series over a stretch of time.

use std::sync::Arc;

use super::backing::FileName;
use super::file::corrupt;
use super::head::Heads;
use super::index::Index;
use super::open::Opening;
use super::planted::{Bug, planted};
use super::sync::RwLock;
use super::tombstone::{Tombstone, TombstoneEntry, put_tombstone};
use super::wal::{Frame, FrameKind};
use super::{Inner, Store};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Matcher, Timestamp};

/// Deletions that are not merged away yet.
const MOST_TOMBSTONES: usize = 1024;
/// Bytes of them all: every manifest repeats them.
const MOST_BYTES: usize = 16 << 20;

impl Store {
    /// Deletes the samples from `start` to `end`, both included, of the series that all matchers accept: Prometheus's
    /// `delete_series`.
    ///
    /// Snapshots taken from here on do not have them, those taken before keep them. The deletion is as durable as a commit.
    /// Bytes on the disk go when segments are merged, or at [`clean_tombstones`](Self::clean_tombstones). Samples that are
    /// appended later are not touched, at whatever time, and what was deleted can be appended again as far as the
    /// [out-of-order window](crate::Limits::out_of_order_window) goes back.
    ///
    /// A matcher selects series as in PromQL: one on `le`, or on a name like `x_bucket`, deletes single columns of a classic
    /// histogram. Exemplars of that time go with the samples.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] if every matcher accepts the empty string, which would select all series, and if
    /// `start` is later than `end`. [`ErrorKind::Limit`] when too many deletions wait to be merged away, or take too many bytes. Else as
    /// [`commit`](crate::Appender::commit).
    ///
    /// ```
    /// use promgate::{Labels, Matcher, Sample, SelectRequest, Source, Store, StoreOptions, Timestamp, Window};
    ///
    /// let store = Store::in_memory(StoreOptions::new());
    /// let mut appender = store.appender();
    /// appender.append(&Labels::from_pairs([("__name__", "up")]), Sample::float(Timestamp::from_secs(10), 1.0))?;
    /// appender.commit()?;
    /// let up = [Matcher::equal("__name__", "up")];
    /// store.delete_series(&up, Timestamp::from_secs(0), Timestamp::from_secs(60))?;
    /// assert!(store.snapshot().select(&SelectRequest::new(&up, Window::ALL))?.items.is_empty());
    /// # Ok::<(), promgate::Error>(())
    /// ```
    pub fn delete_series(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<()> {
        let invalid = |text: String| Err(Error::new(ErrorKind::InvalidArgument, text));
        if matchers.iter().all(|matcher| matcher.matches("")) {
            return invalid("a deletion needs a matcher that does not accept the empty string".to_owned());
        }
        if start > end {
            return invalid(format!("a deletion from {start} to {end} ends before it begins"));
        }
        self.inner.delete(matchers, (start.as_millis(), end.as_millis()))
    }
}

impl Inner {
    fn delete(&self, matchers: &[Matcher], times: (i64, i64)) -> Result<()> {
        let mut payload = Vec::new();
        put_tombstone(times, matchers, &mut payload);
        let sequence = {
            let mut writer = self.writer.lock();
            let waiting = self.view.read().tombstones.clone();
            let bytes = waiting.iter().map(|tombstone| tombstone.entry.payload.len());
            let limits = [
                ("tombstones", waiting.len().saturating_add(1), MOST_TOMBSTONES),
                ("tombstone bytes", bytes.fold(payload.len(), usize::saturating_add), MOST_BYTES),
            ];
            if let Some((what, asked, allowed)) = limits.iter().find(|(_, asked, allowed)| asked > allowed) {
                let text =
                    format!("{what} limit: {asked} asked, {allowed} allowed; clean_tombstones makes room");
                return Err(Error::new(ErrorKind::Limit, text));
            }
            let (mut sequence, mut before) = (0, 0);
            if let Some(disk) = &self.disk {
                self.prepare(disk, &mut writer)?;
                sequence = disk.write(&mut writer, FrameKind::Tombstone, &[&payload])?;
                // Segments with higher numbers are made of heads without it.
                before = disk.manifest.lock().next_file.saturating_add(1);
            }
            let entry = TombstoneEntry { before, payload: payload.into() };
            let damaged = || Error::new(ErrorKind::Corrupt, "a tombstone does not decode");
            let tombstone = Tombstone::read(entry, sequence).ok_or_else(damaged)?;
            self.delete_exemplars(&mut writer, &tombstone);
            self.hide(Arc::new(tombstone));
            sequence
        };
        if let Some(disk) = &self.disk {
            disk.settle(sequence, self.options.durability)?;
        }
        Ok(())
    }

    /// Takes out of the heads what a tombstone hides, and keeps it for the segments. The caller holds the writer.
    fn hide(&self, tombstone: Arc<Tombstone>) {
        let hit = {
            let view = self.view.read();
            view.heads.hit_by(&self.index, view.sealing.as_deref(), &tombstone)
        };
        let mut view = self.view.write();
        let mut grown = view.heads.hide(&hit, &tombstone);
        if let Some(heads) = view.sealing.as_mut().filter(|heads| !heads.late.is_empty()) {
            // The seal itself goes on with what it began with; its segment is older than the tombstone.
            let mut without = Heads::clone(heads);
            grown = grown.saturating_add(without.hide_late(&hit, &tombstone));
            *heads = Arc::new(without);
        }
        if self.disk.is_some() && !planted(Bug::SegmentsKeepDeleted) {
            view.tombstones = view.tombstones.iter().cloned().chain([tombstone]).collect();
        }
        drop(view);
        self.grow(grown);
    }
}

impl Opening {
    /// What the manifest says was deleted.
    pub(super) fn read_tombstones(&mut self) -> Result<()> {
        let read = |entry: &TombstoneEntry| Tombstone::read(entry.clone(), 0).map(Arc::new);
        let tombstones: Option<Vec<Arc<Tombstone>>> = self.manifest.tombstones.iter().map(read).collect();
        let tombstones =
            tombstones.ok_or_else(|| corrupt("a tombstone of MANIFEST does not decode".to_owned()))?;
        self.view.tombstones = tombstones.into();
        Ok(())
    }

    /// Replays a deletion.
    pub(super) fn delete(&mut self, frame: &Frame<'_>, index: &RwLock<Index>, name: FileName) -> Result<()> {
        if planted(Bug::TombstonesNotReplayed) {
            return Ok(());
        }
        // Segments that are there hold nothing that came later: a flush drops the log before it.
        let before = self.manifest.next_file.saturating_add(1);
        let entry = TombstoneEntry { before, payload: frame.payload.into() };
        let damaged = || corrupt(format!("{name}, frame {}: the tombstone does not decode", frame.sequence));
        let tombstone = Tombstone::read(entry, frame.sequence).ok_or_else(damaged)?;
        let hit = self.view.heads.hit_by(index, None, &tombstone);
        self.view.exemplars.delete(&tombstone);
        let grown = self.view.heads.hide(&hit, &tombstone);
        self.applied.grown = self.applied.grown.saturating_add(grown);
        self.view.tombstones = self.view.tombstones.iter().cloned().chain([Arc::new(tombstone)]).collect();
        Ok(())
    }
}
