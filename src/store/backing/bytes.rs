//! The bytes of an immutable file.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// Reads by position fill the whole slice or fail.
pub(super) trait ReadExactAt: Send + Sync {
    fn read_exact_at(&self, at: u64, into: &mut [u8]) -> io::Result<()>;
}

/// The bytes of a file that does not change: a memory map, a copy in memory, or the open file. Cheap to clone.
#[derive(Clone)]
pub(crate) struct FileBytes {
    length: u64,
    source: Source,
}

#[derive(Clone)]
enum Source {
    #[cfg(feature = "mmap")]
    Mapped(super::mmap::Mapping),
    Held(Arc<Vec<u8>>),
    File(Arc<dyn ReadExactAt>),
}

impl FileBytes {
    #[cfg(feature = "mmap")]
    pub(super) fn mapped(mapping: super::mmap::Mapping) -> Self {
        Self { length: mapping.bytes().len() as u64, source: Source::Mapped(mapping) }
    }

    pub(crate) fn held(bytes: Arc<Vec<u8>>) -> Self {
        Self { length: bytes.len() as u64, source: Source::Held(bytes) }
    }

    /// The first `length` bytes of a file.
    pub(super) fn file(file: Arc<dyn ReadExactAt>, length: u64) -> Self {
        Self { length, source: Source::File(file) }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.length
    }

    /// The bytes in `range`: borrowed from memory, or read by one call.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` where `range` is not within the file, before anything is allocated; else what reading it met.
    pub(crate) fn read(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        let outside = || {
            let text = format!("bytes {} to {} of a file of {}", range.start, range.end, self.length);
            io::Error::new(io::ErrorKind::UnexpectedEof, text)
        };
        if range.start > range.end || range.end > self.length {
            return Err(outside());
        }
        let held = match &self.source {
            #[cfg(feature = "mmap")]
            Source::Mapped(mapping) => mapping.bytes(),
            Source::Held(bytes) => bytes.as_slice(),
            Source::File(file) => {
                let length = usize::try_from(range.end - range.start).map_err(|_| outside())?;
                let mut bytes = zeros(length)?;
                file.read_exact_at(range.start, &mut bytes)?;
                return Ok(Cow::Owned(bytes));
            }
        };
        let places = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        places.and_then(|(start, end)| held.get(start..end)).map(Cow::Borrowed).ok_or_else(outside)
    }
}

impl FileBytes {
    /// The bytes in `range` to be looked at again and again: those of the map, or read once.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub(crate) fn part(&self, range: Range<u64>) -> io::Result<FilePart> {
        let read = self.read(range.clone())?;
        let length = read.len();
        if let Cow::Owned(read) = read {
            return Ok(FilePart { bytes: Self::held(Arc::new(read)), range: 0..length });
        }
        let start = usize::try_from(range.start).unwrap_or(usize::MAX);
        Ok(FilePart { bytes: self.clone(), range: start..start.saturating_add(length) })
    }
}

/// A part of a file that stays in memory, or mapped.
#[derive(Clone, Debug)]
pub(crate) struct FilePart {
    bytes: FileBytes,
    range: Range<usize>,
}

impl Deref for FilePart {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let held = match &self.bytes.source {
            #[cfg(feature = "mmap")]
            Source::Mapped(mapping) => mapping.bytes(),
            Source::Held(bytes) => bytes.as_slice(),
            Source::File(_) => &[],
        };
        held.get(self.range.clone()).unwrap_or_default()
    }
}

/// So many zeros, or an error where there is no memory for them.
pub(super) fn zeros(length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes.resize(length, 0);
    Ok(bytes)
}

impl fmt::Debug for FileBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match &self.source {
            #[cfg(feature = "mmap")]
            Source::Mapped(_) => "mapped",
            Source::Held(_) => "held",
            Source::File(_) => "file",
        };
        f.debug_struct("FileBytes").field("source", &source).field("length", &self.length).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing;

    impl ReadExactAt for Failing {
        fn read_exact_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
            Err(io::ErrorKind::TimedOut.into())
        }
    }

    #[test]
    fn only_ranges_within_the_file_are_read() {
        let bytes = FileBytes::held(Arc::new(b"abcdef".to_vec()));
        assert_eq!(bytes.len(), 6);
        assert!(matches!(bytes.read(1..4).unwrap(), Cow::Borrowed(b"bcd")));
        assert_eq!(bytes.read(6..6).unwrap().len(), 0);
        let error = bytes.read(3..7).unwrap_err();
        assert_eq!(error.to_string(), "bytes 3 to 7 of a file of 6");
        #[expect(clippy::reversed_empty_ranges, reason = "such ranges are refused")]
        let backwards = bytes.read(4..3);
        assert_eq!(backwards.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(*bytes.part(1..4).unwrap(), *b"bcd");
        assert!(bytes.part(3..7).is_err());
        // Refused before a buffer of that size is asked for, and before the file is read.
        let file = FileBytes::file(Arc::new(Failing), 6);
        assert_eq!(file.read(0..u64::MAX).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(file.read(0..7).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(file.read(0..6).unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
