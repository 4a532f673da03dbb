//! The few file operations under everything that a store keeps beyond its process.
//!
//! Two things stand on it: the log (`wal/`), which appends records and syncs them, and segments (`seg/`), which are written
//! once, synced and then published by a rename. Both see files by number and kind only, so that the same code runs over a
//! folder ([`FolderBacking`]), over memory ([`MemoryBacking`]), and over a simulated disk that loses, tears and reorders
//! whatever no sync covered. No other module of the crate calls `std::fs`.

mod bytes;
mod folder;
mod handles;
mod host;
mod lock;
#[cfg(test)]
mod memory;
#[cfg(feature = "mmap")]
mod mmap;
mod name;
#[cfg(any(test, feature = "fuzzing"))]
mod simulated;
mod system;

use std::fmt;
use std::io;
use std::time::Duration;

pub(crate) use bytes::{FileBytes, FilePart};
pub(crate) use folder::{Access, FolderBacking, FolderOptions};
#[cfg(test)]
pub(crate) use memory::MemoryBacking;
pub(crate) use name::{FileKind, FileName};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use simulated::{Chance, CutStyle, Fault, SimulatedDisk};

use crate::error::{Error, ErrorKind};

/// How sealed segments are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReadMode {
    /// Through memory maps: about 1 µs faster a chunk. The default, and used where the crate has its feature `mmap` and the
    /// folder is on a local file system.
    ///
    /// If such a file is cut short by another program, or its disk fails, a read of the missing part is answered by the
    /// kernel with `SIGBUS`, which ends the process; nothing in it can turn that into an error. Nothing of this crate cuts or
    /// changes a sealed segment, and the folder is made for its owner alone.
    #[default]
    Mapped,
    /// By position, as any file: a failing disk is an error of the read that met it. Files up to 8 MiB are kept in memory
    /// after the first read.
    Positioned,
}

/// An open file. It stays that file when its name goes to another one, or away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileId(u64);

/// Every file operation of the store. Positional, no seek state, nothing buffered.
///
/// Reads and writes may be short, as those of an operating system: [`read_exact_at`] and [`write_all_at`] complete them.
///
/// A file can be changed through the [`FileId`] that [`create`](Self::create) gave, and a log also through one that
/// [`open`](Self::open) gave. [`map`](Self::map) ends that. Every other change is refused with `PermissionDenied`.
pub(crate) trait Backing: fmt::Debug + Send + Sync {
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
    /// Cuts or extends with zeros. The store never does: it writes anew what it does not trust.
    #[cfg(test)]
    fn truncate(&self, file: FileId, length: u64) -> io::Result<()>;
    /// Returns when data and length of the file are durable; of its name it says nothing. A failure is final: what was
    /// written since the last success may never arrive, and a later success says nothing about it.
    fn sync(&self, file: FileId) -> io::Result<()>;
    /// Returns when names are durable, in all folders.
    fn sync_names(&self) -> io::Result<()>;
    /// Gives a file another name, which replaces the file that had it.
    fn rename(&self, from: FileName, to: FileName) -> io::Result<()>;
    /// Takes a file's name away; who has it open, or has its [`FileBytes`], can still read it.
    fn remove(&self, name: FileName) -> io::Result<()>;
    /// All names of the store, sorted.
    fn list(&self) -> io::Result<Vec<FileName>>;
    /// All other names, sorted: files and folders that are not the store's. It never touches them.
    fn foreign(&self) -> io::Result<Vec<String>>;
    /// Bytes that can still be written; `u64::MAX` where the system does not tell.
    fn free_bytes(&self) -> io::Result<u64>;
    /// Ends the use of an open file.
    fn close(&self, file: FileId);
    /// The file's bytes as they are now. They stay readable when the file is closed and when its name goes away.
    fn map(&self, file: FileId) -> io::Result<FileBytes>;
    /// Time since the backing was made. It never goes back.
    fn elapsed(&self) -> Duration;
    /// A number that nobody can tell beforehand: for salts, and for the ids of stores.
    fn random(&self) -> u64;
}

/// Fills `into` from offset `at` on.
///
/// # Errors
///
/// `UnexpectedEof` where the file ends before.
pub(crate) fn read_exact_at(backing: &dyn Backing, file: FileId, at: u64, into: &mut [u8]) -> io::Result<()> {
    fill(|at, into| backing.read_at(file, at, into), at, into)
}

/// Fills `into` from offset `at` on by reads that may be short or interrupted.
fn fill(
    read_at: impl Fn(u64, &mut [u8]) -> io::Result<usize>,
    mut at: u64,
    mut into: &mut [u8],
) -> io::Result<()> {
    while !into.is_empty() {
        match read_at(at, into) {
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

/// The crate's error for a failed file operation: `Full` where room was missing, `Io` else, with the sentence of the
/// operation.
pub(crate) fn error_of(error: io::Error) -> Error {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    let kind =
        if matches!(error.kind(), StorageFull | QuotaExceeded) { ErrorKind::Full } else { ErrorKind::Io };
    Error::new(kind, error.to_string()).caused_by(error)
}

fn not_open() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the file is not open")
}

#[cfg(any(test, feature = "fuzzing"))]
fn not_found(name: FileName) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no file {name}"))
}

#[cfg(any(test, feature = "fuzzing"))]
fn exists(name: FileName) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, format!("file {name} exists"))
}

fn not_writable() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "the file was opened to be read, or is mapped")
}

#[cfg(test)]
mod tests;
