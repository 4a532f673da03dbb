//! One writer a folder.

#![expect(clippy::disallowed_methods, reason = "the store's backing is where files are")]

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::Path;

use super::folder::failed;
use super::name::LOCK;
use super::{error_of, system};
use crate::error::{Error, ErrorKind, Result};

/// A folder that this opening alone writes to, until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    /// Held for the lock on it, which ends with it.
    _file: File,
    /// The folder itself is locked as well where the system can, so that removing the file does not let a second writer in.
    _folder: Option<File>,
}

impl Lock {
    /// Locks the folder, or says at once that somebody else has. The lock is one of the open file, not of the process, so a
    /// second opening in this process finds it too; the system ends it with the process.
    ///
    /// `optional`: go on without where the file system has no locks.
    pub(super) fn take(path: &Path, optional: bool) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let name = path.join(LOCK);
        let file = system::private_file(&mut options).open(&name);
        let file = file.map_err(|error| error_of(failed("open", &name, error)))?;
        judge(path, holder(&file), file.try_lock(), optional)?;
        let folder = system::open_folder(path).ok().flatten();
        if let Some(Err(TryLockError::WouldBlock)) = folder.as_ref().map(File::try_lock) {
            return Err(locked(path, None));
        }
        // The process id is for people: without it the lock is as good.
        let text = format!("{}\n", std::process::id());
        drop(file.set_len(0).and_then(|()| system::write_at(&file, 0, text.as_bytes())));
        Ok(Self { _file: file, _folder: folder })
    }
}

/// The process id that the holder of the lock wrote into it.
fn holder(file: &File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim_end().parse().ok()
}

fn judge(path: &Path, holder: Option<u32>, outcome: Result<(), TryLockError>, optional: bool) -> Result<()> {
    match outcome {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(locked(path, holder)),
        Err(TryLockError::Error(_)) if optional => Ok(()),
        Err(TryLockError::Error(error)) => Err(unsupported(path, error)),
    }
}

fn locked(path: &Path, holder: Option<u32>) -> Error {
    let process = holder.map_or_else(|| "elsewhere".to_owned(), |id| format!("in process {id}"));
    let text = format!(
        "the store in {} is open for writing {process}; close it there first, or open it for reading",
        path.display()
    );
    Error::new(ErrorKind::Locked, text)
}

fn unsupported(path: &Path, error: io::Error) -> Error {
    let text = format!(
        "cannot lock the store in {}: {error}; keep it on a local file system, or see yourself to a single writer and open it \
         with no_lock",
        path.display()
    );
    Error::new(ErrorKind::Io, text).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_locks_is_refused_unless_told_otherwise() {
        let path = Path::new("/data/store");
        let outcome = || Err(TryLockError::Error(io::ErrorKind::Unsupported.into()));
        let error = judge(path, None, outcome(), false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(
            error.to_string().starts_with("cannot lock the store in /data/store: unsupported"),
            "{error}"
        );
        judge(path, None, outcome(), true).unwrap();
        // Told otherwise or not: a lock that somebody holds is one.
        let error = judge(path, Some(41), Err(TryLockError::WouldBlock), true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked);
        assert!(error.to_string().contains("/data/store is open for writing in process 41;"), "{error}");
    }
}
