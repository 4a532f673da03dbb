//! Memory maps of sealed segments: the one module with `unsafe`.

#![expect(unsafe_code, reason = "a memory map is unsafe to make")]

use std::fs::File;
use std::io;
use std::sync::Arc;

use memmap2::Mmap;

/// A whole file, mapped for reading. It stays readable when the file is closed and when its name goes away. Cheap to clone.
#[derive(Clone)]
pub(super) struct Mapping(Arc<Mmap>);

impl Mapping {
    /// Maps a file that nothing changes from here on.
    ///
    /// It cannot be proven from here, so the one caller, [`FolderBacking::map`](super::folder::FolderBacking), upholds it:
    /// only segments come here; a [`FileId`](super::FileId) of a segment that could write ceases to before this call, with no
    /// write under way; a segment that is opened is opened for reading; and a segment's file is written under a temporary
    /// name by the one process that holds the store's lock, so that no other opening has seen it grow.
    pub(super) fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the slice behind a `Mmap` must not change while it lives. This process no longer writes to the file, as said
        // above. No other process of this crate does: it would need the lock to write at all, and then never writes to a
        // file it did not create. A program from outside that changes or cuts the file in spite of the folder's permissions
        // breaks that promise, as it would for every user of `mmap`; `ReadMode::Mapped` says so to whoever chooses it.
        let map = unsafe { Mmap::map(file)? };
        Ok(Self(Arc::new(map)))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
