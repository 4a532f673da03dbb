//! Real files in a folder.

#![expect(clippy::disallowed_methods, reason = "the store's backing is where files are")]

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use super::bytes::{ReadExactAt, zeros};
use super::handles::Handles;
use super::host::Host;
use super::lock::Lock;
use super::name::{FOLDERS, LOCK};
use super::{
    Backing, FileBytes, FileId, FileKind, FileName, ReadMode, error_of, fill, not_open, not_writable, system,
};
use crate::error::Result;

/// Files read by position that are at most so long are read whole, and kept.
const HELD_BYTES: u64 = 8 << 20;

/// What an opening may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everything; one such opening a folder.
    #[default]
    ReadWrite,
    /// Read, beside a writer or not. The folder may be on a file system that is mounted for reading.
    ReadOnly,
}

/// How a folder is opened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FolderOptions {
    pub(crate) access: Access,
    pub(crate) read_mode: ReadMode,
    /// Files read by position that are open at once; a reader keeps all of them open, since who writes may take their names.
    pub(crate) open_files: Option<usize>,
    /// Files read by position that are longer are not read whole.
    pub(crate) held_bytes: Option<u64>,
    /// Write without a lock where the file system has none; somebody else sees to it that there is one writer.
    pub(crate) no_lock: bool,
}

/// Real files, in a folder of their own: `MANIFEST`, `LOCK`, and the folders `wal`, `seg` and `quarantine`.
#[derive(Debug)]
pub(crate) struct FolderBacking {
    path: PathBuf,
    access: Access,
    #[cfg_attr(not(feature = "mmap"), expect(dead_code, reason = "without maps there is one way to read"))]
    read_mode: ReadMode,
    held_bytes: u64,
    handles: Arc<Handles>,
    host: Host,
    open: RwLock<HashMap<u64, Arc<OpenFile>>>,
    next: AtomicU64,
    /// As [`FOLDERS`]; open from the beginning, so that syncing names needs no new handle.
    folders: Vec<Folder>,
    /// Held while names are synced, so that nobody takes a sync under way for one that is done.
    syncing: Mutex<()>,
    /// The last field: released when nothing else is left.
    _lock: Option<Lock>,
}

#[derive(Debug)]
struct Folder {
    handle: Option<File>,
    /// Names in it were changed since they were last synced.
    changed: AtomicBool,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    kind: FileKind,
    path: PathBuf,
    /// Held for reading during a write, for writing when writes end.
    writable: RwLock<bool>,
}

impl FolderBacking {
    /// How many segments are open to be read by position.
    #[cfg(test)]
    pub(crate) fn open_count(&self) -> usize {
        self.handles.count()
    }

    /// Opens the folder; to write, it makes what is missing and locks it.
    ///
    /// # Errors
    ///
    /// `Locked` where it is open for writing elsewhere, in this process or another one; else as the system says, with path.
    #[cfg(test)]
    pub(crate) fn open(path: impl AsRef<Path>, access: Access) -> Result<Self> {
        Self::open_with(path, FolderOptions { access, ..FolderOptions::default() })
    }

    /// As [`open`](Self::open), with all there is to choose.
    pub(crate) fn open_with(path: impl AsRef<Path>, options: FolderOptions) -> Result<Self> {
        let FolderOptions { access, read_mode, no_lock, open_files, held_bytes } = options;
        // The working folder of the host may change later.
        let path = std::path::absolute(path.as_ref())
            .map_err(|error| error_of(failed("find", path.as_ref(), error)))?;
        let mut lock = None;
        if access == Access::ReadWrite {
            make_folder(&path).map_err(error_of)?;
            lock = Some(Lock::take(&path, no_lock)?);
            for folder in FOLDERS.iter().skip(1) {
                make_folder(&path.join(folder)).map_err(error_of)?;
            }
        }
        let folders = open_folders(&path, access).map_err(error_of)?;
        let own = folders.first().and_then(|folder| folder.handle.as_ref());
        let positioned = cfg!(not(feature = "mmap")) || system::on_network(own);
        Ok(Self {
            read_mode: if positioned { ReadMode::Positioned } else { read_mode },
            path,
            access,
            held_bytes: held_bytes.unwrap_or(HELD_BYTES),
            handles: Handles::new(open_files.filter(|_| access == Access::ReadWrite).unwrap_or(usize::MAX)),
            host: Host::new(),
            open: RwLock::default(),
            next: AtomicU64::new(0),
            folders,
            syncing: Mutex::default(),
            _lock: lock,
        })
    }

    /// The folder.
    #[cfg(test)]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How segments are read: what was asked for, or by position where maps are not to be trusted.
    #[cfg(test)]
    pub(crate) fn read_mode(&self) -> ReadMode {
        self.read_mode
    }

    fn may_change(&self, doing: &'static str, path: &Path) -> io::Result<()> {
        if self.access == Access::ReadWrite {
            return Ok(());
        }
        let error = io::Error::new(io::ErrorKind::PermissionDenied, "the store is open for reading only");
        Err(failed(doing, path, error))
    }

    fn path_of(&self, name: FileName) -> io::Result<PathBuf> {
        Ok(self.path.join(name.checked()?.to_string()))
    }

    fn keep(&self, file: File, kind: FileKind, path: PathBuf, writable: bool) -> FileId {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let file = OpenFile { file, kind, path, writable: RwLock::new(writable) };
        self.open.write().insert(id, Arc::new(file));
        FileId(id)
    }

    fn file(&self, file: FileId) -> io::Result<Arc<OpenFile>> {
        self.open.read().get(&file.0).cloned().ok_or_else(not_open)
    }

    /// Names in the folder of this one are to be synced again.
    fn changed(&self, name: FileName) {
        if let Some(folder) = self.folders.get(name.folder()) {
            folder.changed.store(true, Ordering::Release);
        }
    }

    /// The names in all folders: the store's, and the others.
    fn names(&self) -> io::Result<(Vec<FileName>, Vec<String>)> {
        let (mut own, mut foreign) = (Vec::new(), Vec::new());
        for (place, folder) in FOLDERS.iter().enumerate() {
            let path = under(&self.path, folder);
            let entries = match fs::read_dir(&path) {
                // Only a writer makes the folders.
                Err(error) if error.kind() == io::ErrorKind::NotFound && place > 0 => continue,
                entries => entries.map_err(|error| failed("list", &path, error))?,
            };
            for entry in entries {
                let entry = entry.map_err(|error| failed("list", &path, error))?;
                let kind = entry.file_type().map_err(|error| failed("look at", &entry.path(), error))?;
                let name = entry.file_name();
                let name = name.to_string_lossy();
                let known = match place {
                    0 if kind.is_dir() => FOLDERS.contains(&&*name),
                    0 => kind.is_file() && name == LOCK,
                    _ => false,
                };
                match FileName::parse(place, &name).filter(|_| kind.is_file()) {
                    Some(name) => own.push(name),
                    None if known => {}
                    None if place == 0 => foreign.push(name.into_owned()),
                    None => foreign.push(format!("{folder}/{name}")),
                }
            }
        }
        own.sort_unstable();
        foreign.sort_unstable();
        Ok((own, foreign))
    }
}

/// One of [`FOLDERS`] in a store's folder.
fn under(path: &Path, folder: &str) -> PathBuf {
    if folder.is_empty() { path.to_owned() } else { path.join(folder) }
}

/// Makes a folder and those above it, for their owner alone, and makes their names durable.
fn make_folder(path: &Path) -> io::Result<()> {
    let holders = holders(path);
    let mut builder = DirBuilder::new();
    system::private_folder(builder.recursive(true))
        .create(path)
        .map_err(|error| failed("make folder", path, error))?;
    for holder in holders {
        // One that cannot be opened for reading cannot be synced; one that was made here can.
        if let Ok(Some(handle)) = system::open_folder(holder) {
            handle.sync_all().map_err(|error| failed("sync folder", holder, error))?;
        }
    }
    Ok(())
}

/// The folders that hold the name of this one, or of a missing one above it: from near to far, up to the first that is
/// there. That is the nearest one also when nothing is missing: who made the folder may have been cut off before its name
/// was durable.
fn holders(path: &Path) -> Vec<&Path> {
    let missing = path.ancestors().skip(1).take_while(|folder| !folder.is_dir()).count();
    path.ancestors().skip(1).take(missing.saturating_add(1)).collect()
}

fn open_folders(path: &Path, access: Access) -> io::Result<Vec<Folder>> {
    let mut folders = Vec::with_capacity(FOLDERS.len());
    for (place, folder) in FOLDERS.iter().enumerate() {
        // A reader syncs no names; its own folder tells it the file system.
        let handle = if place == 0 || access == Access::ReadWrite {
            let path = under(path, folder);
            system::open_folder(&path).map_err(|error| failed("open folder", &path, error))?
        } else {
            None
        };
        // What a process before this one changed may not have been synced.
        folders.push(Folder { handle, changed: AtomicBool::new(true) });
    }
    Ok(folders)
}

impl OpenFile {
    fn failed(&self, doing: &'static str, error: io::Error) -> io::Error {
        failed(doing, &self.path, error)
    }

    fn len(&self) -> io::Result<u64> {
        let metadata = self.file.metadata().map_err(|error| self.failed("look at", error))?;
        Ok(metadata.len())
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        system::read_at(&self.file, at, into).map_err(|error| self.failed("read", error))
    }

    /// Does to the file what changes it, while that is allowed.
    fn change<T>(&self, doing: &'static str, change: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        let writable = self.writable.read();
        let outcome = if *writable { change(&self.file) } else { Err(not_writable()) };
        outcome.map_err(|error| self.failed(doing, error))
    }
}

impl ReadExactAt for OpenFile {
    fn read_exact_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        fill(|at, into| self.read_at(at, into), at, into)
    }
}

impl Backing for FolderBacking {
    fn create(&self, name: FileName) -> io::Result<FileId> {
        let path = self.path_of(name)?;
        self.may_change("create", &path)?;
        let mut options = OpenOptions::new();
        let file = system::private_file(options.read(true).write(true).create_new(true)).open(&path);
        let file = file.map_err(|error| failed("create", &path, error))?;
        self.changed(name);
        Ok(self.keep(file, name.kind, path, true))
    }

    fn open(&self, name: FileName) -> io::Result<FileId> {
        let path = self.path_of(name)?;
        let writable = name.kind == FileKind::Log && self.access == Access::ReadWrite;
        let file = OpenOptions::new().read(true).write(writable).open(&path);
        let file = file.map_err(|error| failed("open", &path, error))?;
        Ok(self.keep(file, name.kind, path, writable))
    }

    fn read_at(&self, file: FileId, at: u64, into: &mut [u8]) -> io::Result<usize> {
        self.file(file)?.read_at(at, into)
    }

    fn write_at(&self, file: FileId, at: u64, bytes: &[u8]) -> io::Result<usize> {
        self.file(file)?.change("write", |file| system::write_at(file, at, bytes))
    }

    fn len(&self, file: FileId) -> io::Result<u64> {
        self.file(file)?.len()
    }

    #[cfg(test)]
    fn truncate(&self, file: FileId, length: u64) -> io::Result<()> {
        self.file(file)?.change("change the length of", |file| file.set_len(length))
    }

    /// `fsync` and not `fdatasync`: what is written grows its file, so that either has to write the inode, and the length is
    /// beyond doubt on every file system. On ext4 both took 254 µs after 4 kB appended (median of 3,000).
    fn sync(&self, file: FileId) -> io::Result<()> {
        let file = self.file(file)?;
        self.may_change("sync", &file.path)?;
        file.file.sync_all().map_err(|error| file.failed("sync", error))
    }

    fn sync_names(&self) -> io::Result<()> {
        self.may_change("sync folder", &self.path)?;
        let _alone = self.syncing.lock();
        for (folder, name) in self.folders.iter().zip(FOLDERS) {
            if !folder.changed.swap(false, Ordering::AcqRel) {
                continue;
            }
            if let Some(Err(error)) = folder.handle.as_ref().map(File::sync_all) {
                folder.changed.store(true, Ordering::Release);
                return Err(failed("sync folder", &under(&self.path, name), error));
            }
        }
        Ok(())
    }

    fn rename(&self, from: FileName, to: FileName) -> io::Result<()> {
        let (old, new) = (self.path_of(from)?, self.path_of(to)?);
        self.may_change("rename", &old)?;
        fs::rename(&old, new).map_err(|error| failed("rename", &old, error))?;
        self.changed(from);
        self.changed(to);
        Ok(())
    }

    fn remove(&self, name: FileName) -> io::Result<()> {
        let path = self.path_of(name)?;
        self.may_change("remove", &path)?;
        self.handles.keep(&path)?;
        fs::remove_file(&path).map_err(|error| failed("remove", &path, error))?;
        self.changed(name);
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<FileName>> {
        Ok(self.names()?.0)
    }

    fn foreign(&self) -> io::Result<Vec<String>> {
        Ok(self.names()?.1)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let own = self.folders.first().and_then(|folder| folder.handle.as_ref());
        system::free_bytes(own).map_err(|error| failed("ask for free space in", &self.path, error))
    }

    fn close(&self, file: FileId) {
        self.open.write().remove(&file.0);
    }

    fn map(&self, file: FileId) -> io::Result<FileBytes> {
        let file = self.file(file)?;
        // Waits for a write under way. From here on nothing of this process writes to it.
        *file.writable.write() = false;
        let length = file.len()?;
        #[cfg(feature = "mmap")]
        if self.read_mode == ReadMode::Mapped
            && matches!(file.kind, FileKind::Segment | FileKind::NewSegment)
            && length > 0
            // Where the system has no room for another map, reading by position gives the same bytes.
            && let Ok(mapping) = super::mmap::Mapping::new(&file.file)
        {
            return Ok(FileBytes::mapped(mapping));
        }
        if length > self.held_bytes {
            if file.kind == FileKind::Segment && self.access == Access::ReadWrite {
                return Ok(FileBytes::file(self.handles.file(&file.path), length));
            }
            return Ok(FileBytes::file(file, length));
        }
        let mut bytes = zeros(usize::try_from(length).map_err(|_| io::ErrorKind::OutOfMemory)?)?;
        file.read_exact_at(0, &mut bytes)?;
        Ok(FileBytes::held(Arc::new(bytes)))
    }

    fn elapsed(&self) -> Duration {
        self.host.elapsed()
    }

    fn random(&self) -> u64 {
        self.host.random()
    }
}

/// A failed operation, with the file it was to be done to.
#[derive(Debug)]
struct Failed {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// An error that says what was to be done to which file, and what helps if that is known.
pub(super) fn failed(doing: &'static str, path: &Path, source: io::Error) -> io::Error {
    io::Error::new(source.kind(), Failed { doing, path: path.to_owned(), source })
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.doing, self.path.display(), self.source)?;
        if system::out_of_handles(&self.source) {
            f.write_str("; allow the process more open files (ulimit -n), or let the store hold fewer")?;
        }
        Ok(())
    }
}

impl StdError for Failed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests;
