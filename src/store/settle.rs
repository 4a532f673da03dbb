//! What opening leaves to do once everything is read: a log whose writer did not close it is written anew, as bytes that were
//! read back may never have reached the disk; damaged files go aside; what no manifest names is removed.

use super::backing::{Backing, FileKind, FileName, error_of, write_all_at};
use super::disk::Disk;
use super::file::HEADER;
use super::manifest::{LogEnd, LogEntry, Manifest, read_whole};
use super::planted::{Bug, planted};
use super::replay::{MAX_LOG, read_log};
use super::wal::{FrameKind, LogFile, scan};
use super::write::Writer;
use crate::error::{ErrorKind, Result};

/// What is left to do when everything is read.
#[derive(Debug)]
pub(super) struct Settling {
    pub(super) clean: bool,
    pub(super) holes: bool,
    /// Damaged files, left out.
    pub(super) quarantined: Vec<FileName>,
    /// Files of the log without a batch.
    pub(super) empty: Vec<u64>,
}

impl Settling {
    /// Writes anew what an unclean end leaves in doubt, begins a new log, publishes that, and removes what is not needed. Can
    /// be tried again when it fails.
    pub(super) fn settle(&mut self, disk: &Disk, writer: &mut Writer) -> Result<()> {
        let backing = &*disk.backing;
        let mut next = disk.manifest.lock().clone();
        while let Some(name) = self.quarantined.last() {
            keep_aside(backing, *name, next.take_number())?;
            self.quarantined.pop();
        }
        next.logs.retain(|log| !self.empty.contains(&log.number));
        let mut copies = Vec::new();
        if !self.clean && !self.holes && !planted(Bug::NotCopied) {
            for log in std::mem::take(&mut next.logs) {
                let number = next.take_number();
                disk.manifest.lock().next_file = next.next_file;
                match copy_log(disk, next.store, &log, number) {
                    Ok(copied) => copies.extend(copied),
                    Err(error) => {
                        let copied = copies.iter().map(|(entry, _): &(LogEntry, LogFile)| entry.number);
                        disk.remove(FileKind::Log, copied.chain([number]));
                        return Err(error);
                    }
                }
            }
            next.logs = copies.iter().map(|(entry, _)| *entry).collect();
        }
        if planted(Bug::NotCopied) {
            for log in next.logs.iter_mut().filter(|log| log.end.is_none()) {
                let (bytes, salt) =
                    read_log(backing, next.store, log, FileName::new(FileKind::Log, log.number))?;
                let scan = scan(&bytes, HEADER, salt, log.first);
                log.end = Some(LogEnd { length: scan.end as u64, next: scan.missing(log.first) });
            }
        }
        let before = std::mem::replace(&mut *disk.manifest.lock(), next);
        if let Err(error) = disk.start_log(writer) {
            let mut manifest = disk.manifest.lock();
            let (next_file, generation) = (manifest.next_file, manifest.generation);
            let is_published = manifest.is_published;
            *manifest = Manifest { next_file, generation, is_published, ..before };
            if error.kind() != ErrorKind::Failed {
                disk.remove(FileKind::Log, copies.iter().map(|(entry, _)| entry.number));
            }
            return Err(error);
        }
        remove_unnamed(disk)
    }
}

/// Removes the store's own files that the manifest does not name.
fn remove_unnamed(disk: &Disk) -> Result<()> {
    let manifest = disk.manifest.lock();
    for name in disk.backing.list().map_err(error_of)? {
        if !manifest.names(name) {
            disk.remove(name.kind, [name.number]);
        }
    }
    Ok(())
}

/// The frames of a log in a new file, synced; `None` if there are none.
fn copy_log(disk: &Disk, store: u64, log: &LogEntry, number: u64) -> Result<Option<(LogEntry, LogFile)>> {
    let name = FileName::new(FileKind::Log, log.number);
    let (bytes, salt) = read_log(&*disk.backing, store, log, name)?;
    let scan = scan(&bytes, HEADER, salt, log.first);
    if !scan.frames.iter().any(|frame| frame.kind != FrameKind::Mark) {
        return Ok(None);
    }
    let mut copy = LogFile::create(&disk.backing, store, number, log.first)?;
    copy.copy(&scan.frames)?;
    let end = LogEnd { length: copy.length, next: copy.next };
    Ok(Some((LogEntry { number, first: log.first, end: Some(end) }, copy)))
}

/// Copies a damaged file into quarantine; a file that is missing is not copied.
fn keep_aside(backing: &dyn Backing, name: FileName, number: u64) -> Result<()> {
    let file = match backing.open(name) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error_of(error)),
    };
    let bytes = read_whole(backing, file, MAX_LOG);
    backing.close(file);
    let copy = backing.create(FileName::new(FileKind::Quarantine, number)).map_err(error_of)?;
    let written = write_all_at(backing, copy, 0, &bytes?).and_then(|()| backing.sync(copy));
    backing.close(copy);
    written.map_err(error_of)
}
