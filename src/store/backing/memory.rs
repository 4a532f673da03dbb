//! Files in memory, for stores that end with their process, and for tests.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use super::host::Host;
use super::{Backing, FileBytes, FileId, FileKind, FileName, exists, not_found, not_open, not_writable};

/// A file. Who has its bytes keeps them: changing them then starts with a copy.
type Content = Arc<RwLock<Arc<Vec<u8>>>>;

/// Files in memory, up to a capacity in bytes.
#[derive(Debug)]
pub(crate) struct MemoryBacking {
    capacity: u64,
    files: Mutex<Files>,
    host: Host,
}

#[derive(Debug, Default)]
struct Files {
    names: BTreeMap<FileName, Content>,
    open: HashMap<u64, Handle>,
    next: u64,
}

#[derive(Debug)]
struct Handle {
    content: Content,
    writable: bool,
}

impl Files {
    fn open(&mut self, content: Content, writable: bool) -> FileId {
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        self.open.insert(id, Handle { content, writable });
        FileId(id)
    }

    fn content(&self, file: FileId) -> io::Result<Content> {
        self.open.get(&file.0).map(|handle| handle.content.clone()).ok_or_else(not_open)
    }

    /// The content, to be changed.
    fn writable(&self, file: FileId) -> io::Result<Content> {
        let handle = self.open.get(&file.0).ok_or_else(not_open)?;
        if handle.writable { Ok(handle.content.clone()) } else { Err(not_writable()) }
    }

    fn used(&self) -> u64 {
        self.names.values().fold(0, |sum, content| sum.saturating_add(content.read().len() as u64))
    }
}

impl MemoryBacking {
    /// No files, and room for `capacity` bytes.
    pub(crate) fn new(capacity: u64) -> Self {
        Self { capacity, files: Mutex::default(), host: Host::new() }
    }

    fn content(&self, file: FileId) -> io::Result<Content> {
        self.files.lock().content(file)
    }

    /// Makes the file at least `length` bytes long, as far as there is room.
    fn grow(&self, content: &mut Vec<u8>, length: u64, used: u64) -> io::Result<()> {
        let more = length.saturating_sub(content.len() as u64);
        if more > self.capacity.saturating_sub(used) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::StorageFull)?;
        if content.len() < length {
            content.resize(length, 0);
        }
        Ok(())
    }
}

impl Backing for MemoryBacking {
    fn create(&self, name: FileName) -> io::Result<FileId> {
        let name = name.checked()?;
        let mut files = self.files.lock();
        if files.names.contains_key(&name) {
            return Err(exists(name));
        }
        let content = Content::default();
        files.names.insert(name, content.clone());
        Ok(files.open(content, true))
    }

    fn open(&self, name: FileName) -> io::Result<FileId> {
        let name = name.checked()?;
        let mut files = self.files.lock();
        let content = files.names.get(&name).cloned().ok_or_else(|| not_found(name))?;
        Ok(files.open(content, name.kind == FileKind::Log))
    }

    fn read_at(&self, file: FileId, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let content = self.content(file)?;
        let content = content.read();
        let rest = usize::try_from(at).ok().and_then(|at| content.get(at..)).unwrap_or_default();
        let length = rest.len().min(into.len());
        if let (Some(into), Some(bytes)) = (into.get_mut(..length), rest.get(..length)) {
            into.copy_from_slice(bytes);
        }
        Ok(length)
    }

    fn write_at(&self, file: FileId, at: u64, bytes: &[u8]) -> io::Result<usize> {
        // Locked until the end: nobody else takes the room in between.
        let files = self.files.lock();
        let (content, used) = (files.writable(file)?, files.used());
        if bytes.is_empty() {
            // Writes nothing, and makes no gap either.
            return Ok(0);
        }
        let mut content = content.write();
        let content = Arc::make_mut(&mut content);
        let end = at.checked_add(bytes.len() as u64).ok_or(io::ErrorKind::InvalidInput)?;
        self.grow(content, end, used)?;
        let range = usize::try_from(at).ok().zip(usize::try_from(end).ok());
        if let Some(place) = range.and_then(|(at, end)| content.get_mut(at..end)) {
            place.copy_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn len(&self, file: FileId) -> io::Result<u64> {
        Ok(self.content(file)?.read().len() as u64)
    }

    #[cfg(test)]
    fn truncate(&self, file: FileId, length: u64) -> io::Result<()> {
        // Locked until the end: nobody else takes the room in between.
        let files = self.files.lock();
        let (content, used) = (files.writable(file)?, files.used());
        let mut content = content.write();
        let content = Arc::make_mut(&mut content);
        self.grow(content, length, used)?;
        content.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(())
    }

    fn sync(&self, file: FileId) -> io::Result<()> {
        self.content(file).map(drop)
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: FileName, to: FileName) -> io::Result<()> {
        let (from, to) = (from.checked()?, to.checked()?);
        let mut files = self.files.lock();
        let content = files.names.remove(&from).ok_or_else(|| not_found(from))?;
        files.names.insert(to, content);
        Ok(())
    }

    fn remove(&self, name: FileName) -> io::Result<()> {
        let name = name.checked()?;
        self.files.lock().names.remove(&name).map(drop).ok_or_else(|| not_found(name))
    }

    fn list(&self) -> io::Result<Vec<FileName>> {
        Ok(self.files.lock().names.keys().copied().collect())
    }

    fn foreign(&self) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.capacity.saturating_sub(self.files.lock().used()))
    }

    fn close(&self, file: FileId) {
        self.files.lock().open.remove(&file.0);
    }

    fn map(&self, file: FileId) -> io::Result<FileBytes> {
        let mut files = self.files.lock();
        let handle = files.open.get_mut(&file.0).ok_or_else(not_open)?;
        handle.writable = false;
        let bytes = handle.content.read().clone();
        Ok(FileBytes::held(bytes))
    }

    fn elapsed(&self) -> Duration {
        self.host.elapsed()
    }

    fn random(&self) -> u64 {
        self.host.random()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FileKind, read_exact_at, write_all_at};
    use super::*;

    fn name(number: u64) -> FileName {
        FileName { kind: FileKind::Log, number }
    }

    #[test]
    fn what_was_written_is_read_and_gaps_are_zeros() {
        let backing = MemoryBacking::new(100);
        let file = backing.create(name(1)).unwrap();
        write_all_at(&backing, file, 3, b"abc").unwrap();
        let mut read = [9; 6];
        read_exact_at(&backing, file, 0, &mut read).unwrap();
        assert_eq!(&read, b"\0\0\0abc");
        let error = read_exact_at(&backing, file, 1, &mut read).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(backing.read_at(file, u64::MAX, &mut read).unwrap(), 0);
        assert_eq!(backing.write_at(file, u64::MAX, b"a").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        backing.truncate(file, 4).unwrap();
        assert_eq!((backing.len(file).unwrap(), backing.free_bytes().unwrap()), (4, 96));
        backing.sync(file).unwrap();
        backing.sync_names().unwrap();
    }

    #[test]
    fn a_full_disk_refuses_and_keeps_what_it_has() {
        let backing = MemoryBacking::new(4);
        let file = backing.create(name(1)).unwrap();
        write_all_at(&backing, file, 0, b"abcd").unwrap();
        let full = io::ErrorKind::StorageFull;
        assert_eq!(write_all_at(&backing, file, 4, b"e").unwrap_err().kind(), full);
        assert_eq!(backing.truncate(file, u64::MAX).unwrap_err().kind(), full);
        write_all_at(&backing, file, 0, b"ABCD").unwrap();
        backing.remove(name(1)).unwrap();
        assert_eq!(backing.free_bytes().unwrap(), 4);
    }

    #[test]
    fn an_open_file_outlives_its_name() {
        let backing = MemoryBacking::new(100);
        let (old, new) = (backing.create(name(1)).unwrap(), backing.create(name(2)).unwrap());
        assert_eq!(backing.create(name(1)).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        write_all_at(&backing, old, 0, b"old").unwrap();
        write_all_at(&backing, new, 0, b"new").unwrap();
        backing.rename(name(2), name(1)).unwrap();
        assert_eq!(backing.list().unwrap(), [name(1)]);
        let read = |file| {
            let mut bytes = [0; 3];
            read_exact_at(&backing, file, 0, &mut bytes).unwrap();
            bytes
        };
        assert_eq!((&read(old), &read(backing.open(name(1)).unwrap())), (b"old", b"new"));
        assert_eq!(backing.open(name(2)).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(backing.rename(name(2), name(3)).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(backing.remove(name(2)).unwrap_err().kind(), io::ErrorKind::NotFound);
        backing.close(old);
        assert_eq!(backing.len(old).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn names_are_listed_in_order() {
        let backing = MemoryBacking::new(0);
        let names = [
            FileName::new(FileKind::Segment, 0),
            FileName::new(FileKind::NewManifest, 1),
            FileName::MANIFEST,
            FileName::new(FileKind::NewSegment, 3),
        ];
        for name in names {
            backing.create(name).unwrap();
        }
        assert_eq!(backing.list().unwrap(), [names[2], names[1], names[0], names[3]]);
        assert_eq!(backing.foreign().unwrap(), [""; 0]);
        let numbered = FileName::new(FileKind::Manifest, 1);
        assert_eq!(backing.create(numbered).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(backing.rename(names[0], numbered).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_file_changes_only_through_whom_it_was_created_by_until_it_is_mapped() {
        let backing = MemoryBacking::new(100);
        let segment = FileName::new(FileKind::Segment, 1);
        let (created, log) = (backing.create(segment).unwrap(), backing.create(name(1)).unwrap());
        let opened = backing.open(segment).unwrap();
        let denied = io::ErrorKind::PermissionDenied;
        write_all_at(&backing, created, 0, b"abc").unwrap();
        assert_eq!(backing.write_at(opened, 0, b"x").unwrap_err().kind(), denied);
        let bytes = backing.map(created).unwrap();
        assert_eq!(backing.truncate(created, 0).unwrap_err().kind(), denied);
        backing.remove(segment).unwrap();
        backing.close(created);
        assert_eq!(&*bytes.read(0..3).unwrap(), b"abc");
        // A log can be cut by who finds it; its bytes of before stay what they were.
        write_all_at(&backing, log, 0, b"log").unwrap();
        let bytes = backing.map(log).unwrap();
        backing.truncate(backing.open(name(1)).unwrap(), 1).unwrap();
        assert_eq!((&*bytes.read(0..3).unwrap(), backing.len(log).unwrap()), (&b"log"[..], 1));
    }

    /// Reads and writes one byte at a time, every second one interrupted.
    #[derive(Debug)]
    struct Reluctant(MemoryBacking, std::sync::atomic::AtomicUsize);

    impl Reluctant {
        fn interrupted(&self) -> io::Result<()> {
            let calls = self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if calls.is_multiple_of(2) { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
        }
    }

    impl Backing for Reluctant {
        fn create(&self, name: FileName) -> io::Result<FileId> {
            self.0.create(name)
        }
        fn open(&self, name: FileName) -> io::Result<FileId> {
            self.0.open(name)
        }
        fn read_at(&self, file: FileId, at: u64, into: &mut [u8]) -> io::Result<usize> {
            self.interrupted()?;
            let length = into.len().min(1);
            self.0.read_at(file, at, &mut into[..length])
        }
        fn write_at(&self, file: FileId, at: u64, bytes: &[u8]) -> io::Result<usize> {
            self.interrupted()?;
            self.0.write_at(file, at, &bytes[..bytes.len().min(1)])
        }
        fn len(&self, file: FileId) -> io::Result<u64> {
            self.0.len(file)
        }
        fn truncate(&self, file: FileId, length: u64) -> io::Result<()> {
            self.0.truncate(file, length)
        }
        fn sync(&self, file: FileId) -> io::Result<()> {
            self.0.sync(file)
        }
        fn sync_names(&self) -> io::Result<()> {
            self.0.sync_names()
        }
        fn rename(&self, from: FileName, to: FileName) -> io::Result<()> {
            self.0.rename(from, to)
        }
        fn remove(&self, name: FileName) -> io::Result<()> {
            self.0.remove(name)
        }
        fn list(&self) -> io::Result<Vec<FileName>> {
            self.0.list()
        }
        fn free_bytes(&self) -> io::Result<u64> {
            self.0.free_bytes()
        }
        fn foreign(&self) -> io::Result<Vec<String>> {
            self.0.foreign()
        }
        fn close(&self, file: FileId) {
            self.0.close(file);
        }
        fn map(&self, file: FileId) -> io::Result<FileBytes> {
            self.0.map(file)
        }
        fn elapsed(&self) -> Duration {
            self.0.elapsed()
        }
        fn random(&self) -> u64 {
            self.0.random()
        }
    }

    #[test]
    fn short_and_interrupted_calls_are_completed() {
        let backing = Reluctant(MemoryBacking::new(100), Default::default());
        let file = backing.create(name(1)).unwrap();
        write_all_at(&backing, file, 0, b"abcdef").unwrap();
        let mut read = [0; 4];
        read_exact_at(&backing, file, 2, &mut read).unwrap();
        assert_eq!(&read, b"cdef");
    }
}
