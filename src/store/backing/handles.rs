//! Files that are read by position, of which no more than so many are open at once.
#![expect(clippy::disallowed_methods, reason = "files are opened in the backing alone")]

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::bytes::ReadExactAt;
use super::folder::failed;
use super::{fill, system};

/// The files that are open, the one that was read longest ago being the first to be closed.
#[derive(Debug)]
pub(super) struct Handles {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Reads so far.
    reads: u64,
    next: u64,
    /// By number of a file: when it was read last.
    open: HashMap<u64, (Arc<File>, u64)>,
    /// The files that somebody may still read.
    files: HashMap<PathBuf, Weak<Handle>>,
}

/// A file that is opened when it is read.
#[derive(Debug)]
pub(super) struct Handle {
    number: u64,
    path: PathBuf,
    handles: Arc<Handles>,
    /// The file, once its name is gone.
    kept: Mutex<Option<Arc<File>>>,
}

impl Handles {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, state: Mutex::default() })
    }

    /// A file that does not change, and whose name stays its own until [`keep`](Self::keep) is told otherwise.
    pub(super) fn file(self: &Arc<Self>, path: &Path) -> Arc<Handle> {
        let mut state = self.state.lock();
        let number = state.next;
        state.next = number.wrapping_add(1);
        let (path, handles) = (path.to_owned(), self.clone());
        let handle = Arc::new(Handle { number, path, handles, kept: Mutex::default() });
        state.files.insert(handle.path.clone(), Arc::downgrade(&handle));
        handle
    }

    /// Sees to it that a file can be read by those who read it now when its name is gone.
    pub(super) fn keep(&self, path: &Path) -> io::Result<()> {
        let known = self.state.lock().files.remove(path);
        if let Some(handle) = known.and_then(|handle| handle.upgrade()) {
            // Whoever is about to read has the file before its name can go.
            let mut kept = handle.kept.lock();
            *kept = Some(self.get(&handle)?);
            self.state.lock().open.remove(&handle.number);
        }
        Ok(())
    }

    /// How many files are open.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.state.lock().open.len()
    }

    fn get(&self, handle: &Handle) -> io::Result<Arc<File>> {
        let mut state = self.state.lock();
        state.reads = state.reads.wrapping_add(1);
        let now = state.reads;
        if let Some((file, last)) = state.open.get_mut(&handle.number) {
            *last = now;
            return Ok(file.clone());
        }
        while state.open.len() >= self.limit.max(1) {
            let oldest = state.open.iter().min_by_key(|(_, (_, last))| *last).map(|(number, _)| *number);
            oldest.and_then(|number| state.open.remove(&number));
        }
        let file = File::open(&handle.path).map_err(|error| failed("open", &handle.path, error))?;
        let file = Arc::new(file);
        if self.limit > 0 {
            state.open.insert(handle.number, (file.clone(), now));
        }
        Ok(file)
    }
}

impl ReadExactAt for Handle {
    fn read_exact_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let file = match &*self.kept.lock() {
            Some(kept) => kept.clone(),
            None => self.handles.get(self)?,
        };
        let read = |at, into: &mut [u8]| {
            system::read_at(&file, at, into).map_err(|error| failed("read", &self.path, error))
        };
        fill(read, at, into)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.handles.state.lock();
        state.open.remove(&self.number);
        if state.files.get(&self.path).is_some_and(|known| known.strong_count() == 0) {
            state.files.remove(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path, count: u8) -> Vec<PathBuf> {
        let path = |number: u8| folder.join(number.to_string());
        (0..count).for_each(|number| std::fs::write(path(number), [number; 3]).unwrap());
        (0..count).map(path).collect()
    }

    fn read(handle: &Handle) -> [u8; 2] {
        let mut bytes = [9; 2];
        handle.read_exact_at(1, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn as_many_files_as_are_allowed_stay_open_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let paths = files(folder.path(), 4);
        for limit in 0..6 {
            let handles = Handles::new(limit);
            let open: Vec<Arc<Handle>> = paths.iter().map(|path| handles.file(path)).collect();
            assert_eq!(handles.count(), 0);
            for round in 0..3 {
                for (number, handle) in (0..).zip(&open) {
                    assert_eq!(read(handle), [number; 2]);
                    assert!(handles.count() <= limit, "{limit} allowed, {} open", handles.count());
                }
                assert_eq!(handles.count(), limit.min(4), "round {round}");
            }
            drop(open);
            assert_eq!((handles.count(), handles.state.lock().files.len()), (0, 0));
        }
    }

    #[test]
    fn a_file_whose_name_goes_is_read_by_those_who_had_it() {
        let folder = tempfile::tempdir().unwrap();
        let paths = files(folder.path(), 3);
        let handles = Handles::new(1);
        let open: Vec<Arc<Handle>> = paths.iter().map(|path| handles.file(path)).collect();
        for path in &paths {
            handles.keep(path).unwrap();
            std::fs::remove_file(path).unwrap();
        }
        for _ in 0..2 {
            for (number, handle) in (0..).zip(&open) {
                assert_eq!(read(handle), [number; 2]);
            }
        }
        let error = handles.file(&paths[0]).read_exact_at(0, &mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
