//! The few file operations under everything that a store keeps beyond its process.
//!
//! Two things will stand on it: the log (`wal/`), which appends records and syncs them, and segments (`segment/`), which
//! are written once, synced and then published by a rename. Both see files by number and kind only, so that the same
//! code runs over a folder, over memory, and over a simulated disk that fails where a test wants it to.

#![cfg_attr(not(test), expect(dead_code, reason = "the log and the segments will stand on it"))]

mod memory;

use std::io;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum FileKind {
    /// The list of what is published.
    Manifest,
    /// A manifest before it is renamed over the last one.
    NewManifest,
    /// A file of the log.
    Log,
    /// A segment.
    Segment,
    /// A segment before it is published.
    NewSegment,
}

/// Names come from numbers only: no text from outside reaches a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileName {
    pub(crate) kind: FileKind,
    pub(crate) number: u64,
}

/// An open file. It stays that file when its name goes to another one, or away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileId(u64);

/// Every file operation of the store. Positional, no seek state, nothing buffered.
///
/// Reads and writes may be short, as those of an operating system: [`read_exact_at`] and [`write_all_at`] complete them.
pub(crate) trait Backing: Send + Sync {
    /// A new, empty file, open. The name must be free.
    fn create(&self, name: FileName) -> io::Result<FileId>;
    /// Opens a file that exists.
    fn open(&self, name: FileName) -> io::Result<FileId>;
    /// Reads from offset `at` on; 0 bytes at the end of the file.
    fn read_at(&self, file: FileId, at: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Writes from offset `at` on; a gap behind the end reads as zeros.
    fn write_at(&self, file: FileId, at: u64, bytes: &[u8]) -> io::Result<usize>;
    /// The length in bytes.
    fn len(&self, file: FileId) -> io::Result<u64>;
    /// Cuts or extends with zeros.
    fn truncate(&self, file: FileId, length: u64) -> io::Result<()>;
    /// Returns when data and length of the file are durable; of its name it says nothing.
    fn sync(&self, file: FileId) -> io::Result<()>;
    /// Returns when names are durable.
    fn sync_names(&self) -> io::Result<()>;
    /// Gives a file another name, which replaces the file that had it.
    fn rename(&self, from: FileName, to: FileName) -> io::Result<()>;
    /// Takes a file's name away; who has it open can still read it.
    fn remove(&self, name: FileName) -> io::Result<()>;
    /// All names, sorted.
    fn list(&self) -> io::Result<Vec<FileName>>;
    /// Bytes that can still be written.
    fn free_bytes(&self) -> io::Result<u64>;
    /// Ends the use of an open file.
    fn close(&self, file: FileId);
}

/// Fills `into` from offset `at` on.
///
/// # Errors
///
/// `UnexpectedEof` where the file ends before.
pub(crate) fn read_exact_at(
    backing: &dyn Backing,
    file: FileId,
    mut at: u64,
    mut into: &mut [u8],
) -> io::Result<()> {
    while !into.is_empty() {
        match backing.read_at(file, at, into) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                at = at.saturating_add(read as u64);
                into = into.get_mut(read..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes all of `bytes` from offset `at` on. After an error any part of them may have been written.
pub(crate) fn write_all_at(
    backing: &dyn Backing,
    file: FileId,
    mut at: u64,
    mut bytes: &[u8],
) -> io::Result<()> {
    while !bytes.is_empty() {
        match backing.write_at(file, at, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                at = at.saturating_add(written as u64);
                bytes = bytes.get(written..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
