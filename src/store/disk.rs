//! What a store keeps beyond its process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::backing::{Backing, FileKind, FileName, error_of};
use super::health::Health;
use super::manifest::{LogEnd, LogEntry, Manifest};
use super::options::Durability;
use super::planted::{Bug, planted};
use super::refresh::Followed;
use super::settle::Settling;
use super::sync::Mutex;
use super::wal::{FrameKind, LogFile, LogSync, Tables, failed};
use super::write::Writer;
use crate::error::{Error, ErrorKind, Result};

/// The files of a store, and their state.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) backing: Arc<dyn Backing>,
    pub(super) sync: LogSync,
    /// What is published.
    pub(super) manifest: Mutex<Manifest>,
    pub(super) full: AtomicBool,
    /// Bytes of the segments, and of those files of the log that grow no more.
    pub(super) settled_bytes: AtomicU64,
    /// Bytes of the file of the log that grows.
    pub(super) growing_bytes: AtomicU64,
    pub(super) read_only: bool,
    /// What refreshing goes on from, of a store that is opened to be read.
    pub(super) followed: Mutex<Option<Followed>>,
    /// What opening has not finished, for want of room.
    pub(super) settling: Mutex<Option<Settling>>,
}

impl Disk {
    pub(super) fn health(&self) -> Health {
        match self.sync.check() {
            _ if self.read_only => Health::ReadOnly,
            Err(error) if error.kind() == ErrorKind::Closed => Health::Closed,
            Err(error) => Health::Failed(error.to_string()),
            Ok(()) if self.full.load(Ordering::Relaxed) => Health::Full,
            Ok(()) => Health::Good,
        }
    }

    /// Notes what an error means for what comes next.
    pub(super) fn note<T>(&self, outcome: Result<T>) -> Result<T> {
        match &outcome {
            Ok(_) => {}
            Err(error) => match error.kind() {
                ErrorKind::Failed => self.sync.fail(&error.to_string()),
                ErrorKind::Full => self.full.store(true, Ordering::Relaxed),
                _ => {}
            },
        }
        outcome
    }

    /// Publishes a changed manifest. After an error the one before holds, but for numbers that are used up.
    pub(super) fn publish(&self, manifest: &mut Manifest, change: impl FnOnce(&mut Manifest)) -> Result<()> {
        let mut next = manifest.clone();
        change(&mut next);
        let published = next.publish(&*self.backing);
        (manifest.generation, manifest.next_file) = (next.generation, next.next_file);
        self.note(published)?;
        *manifest = next;
        self.count_bytes(manifest);
        Ok(())
    }

    /// Counts the bytes of what is published.
    pub(super) fn count_bytes(&self, manifest: &Manifest) {
        let segments = manifest.segments.iter().map(|segment| segment.length);
        let logs = manifest.logs.iter().filter_map(|log| log.end).map(|end| end.length);
        self.settled_bytes.store(segments.chain(logs).fold(0, u64::saturating_add), Ordering::Relaxed);
    }

    /// Bytes of log and segments.
    pub(super) fn bytes(&self) -> u64 {
        let growing = self.growing_bytes.load(Ordering::Relaxed);
        self.settled_bytes.load(Ordering::Relaxed).saturating_add(growing)
    }

    /// Finishes what opening has left undone.
    pub(super) fn settle_opening(&self, writer: &mut Writer) -> Result<()> {
        let mut settling = self.settling.lock();
        if let Some(open) = settling.as_mut() {
            let outcome = open.settle(self, writer);
            self.note(outcome)?;
            *settling = None;
        }
        Ok(())
    }

    /// Ends the file of the log that grows, if there is one, and begins another. What is written from here on needs none of
    /// the files before it.
    pub(super) fn start_log(&self, writer: &mut Writer) -> Result<()> {
        let outcome = self.try_start_log(writer);
        self.note(outcome)
    }

    fn try_start_log(&self, writer: &mut Writer) -> Result<()> {
        self.sync.check()?;
        if !planted(Bug::OldLogNotSynced) {
            self.sync.finish_file()?;
        }
        let mut manifest = self.manifest.lock();
        if !manifest.is_published {
            // Before any other file: without a manifest a file is one too many.
            manifest.publish(&*self.backing)?;
        }
        let number = manifest.take_number();
        let log = LogFile::create(&self.backing, manifest.store, number, writer.next_sequence)?;
        if !planted(Bug::LogNameNotSynced) {
            self.backing.sync_names().map_err(|error| failed(&format!("syncing names failed: {error}")))?;
        }
        // Once published, the file that grew so far counts as one of those that grow no more: never as both.
        let growing = self.growing_bytes.swap(0, Ordering::Relaxed);
        let published = self.publish(&mut manifest, |next| {
            end_log(next, writer);
            next.logs.push(LogEntry { number, first: log.first, end: None });
        });
        if let Err(error) = published {
            self.growing_bytes.store(growing, Ordering::Relaxed);
            if error.kind() != ErrorKind::Failed {
                let _gone = self.backing.remove(FileName::new(FileKind::Log, number));
            }
            return Err(error);
        }
        if !planted(Bug::NumbersKept) {
            writer.tables = Tables::default();
        }
        self.growing_bytes.store(log.length, Ordering::Relaxed);
        writer.log = Some(log);
        writer.ended = false;
        Ok(())
    }

    /// Writes a frame, its payload part by part. After an error nothing more goes into the same file.
    pub(super) fn write(&self, writer: &mut Writer, kind: FrameKind, payload: &[&[u8]]) -> Result<u64> {
        self.sync.check()?;
        let Some(log) = &mut writer.log else { return Err(failed("there is no log")) };
        let durable = if planted(Bug::WatermarkTooHigh) { log.next } else { self.sync.synced() };
        match log.write(kind, durable, payload) {
            Ok(sequence) => {
                self.sync.wrote(log.file(), sequence);
                writer.next_sequence = log.next;
                self.growing_bytes.store(log.length, Ordering::Relaxed);
                self.full.store(false, Ordering::Relaxed);
                Ok(sequence)
            }
            Err(error) => {
                writer.ended = error.kind() != ErrorKind::Limit;
                self.note(Err(error))
            }
        }
    }

    /// Makes a batch as durable as was promised.
    pub(super) fn settle(&self, sequence: u64, durability: Durability) -> Result<bool> {
        match durability {
            Durability::Each => self.sync.wait(sequence)?,
            Durability::Interval(interval) if self.sync.since_sync() >= interval => {
                self.sync.wait(sequence)?
            }
            Durability::Interval(_) | Durability::Never => {}
        }
        Ok(self.sync.synced() >= sequence)
    }

    /// Makes everything durable and publishes where the log ends: nothing of it has to be written anew when the store is opened
    /// next.
    pub(super) fn close(&self, writer: &mut Writer) -> Result<()> {
        if self.read_only || writer.log.is_none() {
            return Ok(());
        }
        self.sync.check()?;
        self.sync.finish_file()?;
        self.publish(&mut self.manifest.lock(), |next| end_log(next, writer))?;
        writer.log = None;
        self.sync.close();
        Ok(())
    }

    /// An error if there is less room than `wanted`.
    pub(super) fn check_room(&self, wanted: u64) -> Result<()> {
        let free = self.backing.free_bytes().map_err(error_of)?;
        if free >= wanted {
            return Ok(());
        }
        let text = format!("free bytes limit: {free} bytes are free, {wanted} have to stay so");
        self.note(Err(Error::new(ErrorKind::Full, text)))
    }

    /// Removes files that no manifest names any more. What cannot be removed is removed when the store is opened next.
    pub(super) fn remove(&self, kind: FileKind, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            let _gone = self.backing.remove(FileName::new(kind, number));
        }
    }
}

/// Says where the file of the log ends that grew so far; without a batch it is left out.
fn end_log(manifest: &mut Manifest, writer: &Writer) {
    let Some(log) = &writer.log else { return };
    if log.next == log.first {
        manifest.logs.retain(|entry| entry.number != log.number);
    }
    for entry in manifest.logs.iter_mut().filter(|entry| entry.number == log.number) {
        entry.end = Some(LogEnd { length: log.length, next: log.next });
    }
}
