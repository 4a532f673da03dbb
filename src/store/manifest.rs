//! The list of what is published: replaced whole, never changed in place.
//!
//! ```text
//! header (see `file`), number = generation
//! length u32, checksum u32   CRC-32C of salt and payload
//! payload, varints:
//!   next file number
//!   logs      count;  each: number, first sequence, 0 while it grows, else its length and the sequence behind its last frame
//!   segments  count;  each: number, level, length, footer checksum, first and last time (zigzag)
//!   tombstones  count;  each: before, length of the payload, payload
//!   losses    count;  each: from and until (zigzag), bytes, frames, why, acknowledged, length of the file's name, name
//!   lag       nothing if it is 0
//! ```

use crate::codec::varint;
use crate::error::{Error, ErrorKind, Result};

use super::backing::{Backing, FileKind, FileName, error_of, read_exact_at, write_all_at};
use super::file::{FileHeader, HEADER, MANIFEST, corrupt};
use super::planted::{Bug, planted};
use super::tombstone::TombstoneEntry;
use super::wal::failed;
use crate::model::{Loss, Lost, Timestamp};

/// The largest manifest that is written or read.
const MAX_LENGTH: u64 = 64 << 20;

/// A file of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogEntry {
    pub(crate) number: u64,
    pub(crate) first: u64,
    pub(crate) end: Option<LogEnd>,
}

/// Where a file of the log ends that grows no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogEnd {
    pub(crate) length: u64,
    /// The sequence behind its last frame.
    pub(crate) next: u64,
}

/// A segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentEntry {
    pub(crate) number: u64,
    pub(crate) level: u8,
    pub(crate) length: u64,
    pub(crate) checksum: u32,
    pub(crate) first_time: i64,
    pub(crate) last_time: i64,
}

/// What is published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) store: u64,
    pub(crate) generation: u64,
    pub(crate) next_file: u64,
    pub(crate) logs: Vec<LogEntry>,
    pub(crate) segments: Vec<SegmentEntry>,
    pub(crate) tombstones: Vec<TombstoneEntry>,
    pub(crate) losses: Vec<Loss>,
    /// How many milliseconds batches went back that the last sealing sealed: see `lag`.
    pub(crate) lag: i64,
    /// Whether there is one on the disk.
    pub(crate) is_published: bool,
}

impl Manifest {
    /// A number that no file has.
    pub(crate) fn take_number(&mut self) -> u64 {
        self.next_file = self.next_file.saturating_add(1);
        self.next_file
    }

    /// Whether a file of the store is needed. What lies in quarantine always is.
    pub(crate) fn names(&self, name: FileName) -> bool {
        match name.kind {
            FileKind::Manifest | FileKind::Quarantine => true,
            FileKind::Log => self.logs.iter().any(|log| log.number == name.number),
            FileKind::Segment => self.segments.iter().any(|segment| segment.number == name.number),
            FileKind::NewManifest | FileKind::NewLog | FileKind::NewSegment => false,
        }
    }

    fn payload(&self) -> Vec<u8> {
        let mut into = Vec::new();
        varint::put(&mut into, self.next_file);
        varint::put(&mut into, self.logs.len() as u64);
        for log in &self.logs {
            varint::put(&mut into, log.number);
            varint::put(&mut into, log.first);
            varint::put(&mut into, log.end.map_or(0, |end| end.length));
            if let Some(end) = log.end {
                varint::put(&mut into, end.next);
            }
        }
        varint::put(&mut into, self.segments.len() as u64);
        for segment in &self.segments {
            varint::put(&mut into, segment.number);
            varint::put(&mut into, u64::from(segment.level));
            varint::put(&mut into, segment.length);
            varint::put(&mut into, u64::from(segment.checksum));
            varint::put_signed(&mut into, segment.first_time);
            varint::put_signed(&mut into, segment.last_time);
        }
        varint::put(&mut into, self.tombstones.len() as u64);
        for tombstone in &self.tombstones {
            varint::put(&mut into, tombstone.before);
            varint::put_bytes(&mut into, &tombstone.payload);
        }
        varint::put(&mut into, self.losses.len() as u64);
        for loss in &self.losses {
            varint::put_signed(&mut into, loss.from.as_millis());
            varint::put_signed(&mut into, loss.until.as_millis());
            varint::put(&mut into, loss.bytes);
            varint::put(&mut into, loss.frames);
            varint::put(&mut into, loss.why.number());
            varint::put(&mut into, u64::from(loss.acknowledged));
            varint::put_bytes(&mut into, loss.file.as_bytes());
        }
        if self.lag > 0 {
            varint::put(&mut into, self.lag.unsigned_abs());
        }
        into
    }

    fn parse(mut bytes: &[u8], store: u64, generation: u64) -> Option<Self> {
        let bytes = &mut bytes;
        let next_file = varint::take(bytes)?;
        let mut manifest = Self { store, generation, next_file, is_published: true, ..Self::default() };
        for _ in 0..varint::take(bytes)? {
            let (number, first, length) = (varint::take(bytes)?, varint::take(bytes)?, varint::take(bytes)?);
            let end = if length == 0 { None } else { Some(LogEnd { length, next: varint::take(bytes)? }) };
            manifest.logs.push(LogEntry { number, first, end });
        }
        for _ in 0..varint::take(bytes)? {
            manifest.segments.push(SegmentEntry {
                number: varint::take(bytes)?,
                level: u8::try_from(varint::take(bytes)?).ok()?,
                length: varint::take(bytes)?,
                checksum: u32::try_from(varint::take(bytes)?).ok()?,
                first_time: varint::take_signed(bytes)?,
                last_time: varint::take_signed(bytes)?,
            });
        }
        for _ in 0..varint::take(bytes)? {
            let (before, payload) = (varint::take(bytes)?, varint::take_bytes(bytes)?.into());
            manifest.tombstones.push(TombstoneEntry { before, payload });
        }
        for _ in 0..varint::take(bytes)? {
            let (from, until) = (varint::take_signed(bytes)?, varint::take_signed(bytes)?);
            let (lost_bytes, frames) = (varint::take(bytes)?, varint::take(bytes)?);
            let (why, acknowledged) = (Lost::from_number(varint::take(bytes)?)?, varint::take(bytes)? != 0);
            let file = varint::take_bytes(bytes)?;
            manifest.losses.push(Loss {
                from: Timestamp::from_millis(from),
                until: Timestamp::from_millis(until),
                bytes: lost_bytes,
                frames,
                file: std::str::from_utf8(file).ok()?.to_owned(),
                why,
                acknowledged,
            });
        }
        if !bytes.is_empty() {
            manifest.lag = i64::try_from(varint::take(bytes)?).ok()?;
        }
        bytes.is_empty().then_some(manifest)
    }

    /// Makes this the manifest: written aside, synced, renamed, and the name synced.
    ///
    /// # Errors
    ///
    /// `Full`, `Io`, `Limit`: the one before is in place. `Failed`: which of the two is, nobody knows.
    pub(crate) fn publish(&mut self, backing: &dyn Backing) -> Result<()> {
        let mut next = self.clone();
        next.generation = next.generation.saturating_add(1);
        let salt = backing.random();
        let header = FileHeader { magic: MANIFEST, store: next.store, number: next.generation, salt };
        let payload = next.payload();
        let asked = payload.len().saturating_add(HEADER).saturating_add(8) as u64;
        if asked > MAX_LENGTH {
            let text = format!("manifest bytes limit: {asked} bytes asked, {MAX_LENGTH} allowed");
            return Err(Error::new(ErrorKind::Limit, text));
        }
        let mut bytes = header.to_bytes().to_vec();
        bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(&checksum(salt, &payload).to_le_bytes());
        bytes.extend_from_slice(&payload);

        // Whether or not the new one gets into place, its generation is used up.
        self.generation = next.generation;
        let name = FileName::new(FileKind::NewManifest, next.generation);
        let file = backing.create(name).map_err(error_of)?;
        if let Err(error) = write_all_at(backing, file, 0, &bytes) {
            backing.close(file);
            // The name is never used again, so that it may stay where it cannot be removed.
            let _gone = backing.remove(name);
            return Err(error_of(error));
        }
        let synced = if planted(Bug::ManifestNotSynced) { Ok(()) } else { backing.sync(file) };
        backing.close(file);
        // From here on nobody knows which of the two a failure leaves.
        let final_error = |error: std::io::Error| failed(&format!("publishing the manifest failed: {error}"));
        synced.map_err(final_error)?;
        backing.rename(name, FileName::MANIFEST).map_err(final_error)?;
        if !planted(Bug::NamesNotSynced) {
            backing.sync_names().map_err(final_error)?;
        }
        self.is_published = true;
        Ok(())
    }

    /// The manifest of a folder; `None` if it has none.
    ///
    /// # Errors
    ///
    /// `Corrupt`: it is damaged, or of a newer version.
    pub(crate) fn read(backing: &dyn Backing) -> Result<Option<Self>> {
        let file = match backing.open(FileName::MANIFEST) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error_of(error)),
        };
        let bytes = read_whole(backing, file, MAX_LENGTH);
        backing.close(file);
        let bytes = bytes?;
        let header = FileHeader::read(&bytes, MANIFEST, "MANIFEST")?;
        let body = bytes.get(HEADER..).unwrap_or_default();
        let parts = body.split_first_chunk::<4>().and_then(|(length, rest)| {
            let (checksum, payload) = rest.split_first_chunk::<4>()?;
            Some((u32::from_le_bytes(*length), u32::from_le_bytes(*checksum), payload))
        });
        let (length, expected, payload) = parts.ok_or_else(|| corrupt("MANIFEST is cut short".to_owned()))?;
        if payload.len() as u64 != u64::from(length) {
            return Err(corrupt(format!("MANIFEST has {} bytes of {length}", payload.len())));
        }
        let found = checksum(header.salt, payload);
        if found != expected {
            return Err(corrupt(format!("MANIFEST is damaged: checksum {found:08x}, not {expected:08x}")));
        }
        let manifest = Self::parse(payload, header.store, header.number);
        manifest.map(Some).ok_or_else(|| corrupt("MANIFEST does not decode".to_owned()))
    }
}

pub(crate) fn checksum(salt: u64, payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), payload)
}

/// Bytes of a file that are read at once: they stay in the processor's caches from their zeros on.
const READ_BYTES: usize = 1 << 18;

/// A whole file, if it is no longer than `limit`.
///
/// # Errors
///
/// `Corrupt`: it is longer; what the backing meets.
pub(crate) fn read_whole(backing: &dyn Backing, file: super::backing::FileId, limit: u64) -> Result<Vec<u8>> {
    read_from(backing, file, 0, limit)
}

/// A file from an offset on, if it is no longer than `limit`; nothing if it is shorter than that offset.
pub(super) fn read_from(
    backing: &dyn Backing,
    file: super::backing::FileId,
    start: u64,
    limit: u64,
) -> Result<Vec<u8>> {
    let length = backing.len(file).map_err(error_of)?;
    if length > limit {
        return Err(corrupt(format!("a file has {length} bytes, at most {limit} are read")));
    }
    let mut bytes = Vec::new();
    let length = usize::try_from(length.saturating_sub(start)).unwrap_or(usize::MAX);
    bytes.try_reserve_exact(length).map_err(|_| error_of(std::io::ErrorKind::OutOfMemory.into()))?;
    while bytes.len() < length {
        let from = bytes.len();
        bytes.resize(from.saturating_add(READ_BYTES).min(length), 0);
        let block = bytes.get_mut(from..).unwrap_or_default();
        read_exact_at(backing, file, start.saturating_add(from as u64), block).map_err(error_of)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::backing::MemoryBacking;
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            store: 7,
            generation: 3,
            next_file: 9,
            logs: vec![
                LogEntry { number: 4, first: 1, end: Some(LogEnd { length: 1000, next: 30 }) },
                LogEntry { number: 8, first: 30, end: None },
            ],
            segments: vec![SegmentEntry {
                number: 5,
                level: 1,
                length: 4000,
                checksum: 77,
                first_time: -5,
                last_time: 5,
            }],
            tombstones: vec![TombstoneEntry { before: 5, payload: [1, 2, 3].as_slice().into() }],
            losses: vec![Loss {
                from: Timestamp::from_millis(1),
                until: Timestamp::from_millis(2),
                bytes: 3,
                frames: 4,
                file: "wal/00000001.wal".into(),
                why: Lost::TornEnd,
                acknowledged: true,
            }],
            lag: 90_000,
            is_published: false,
        }
    }

    #[test]
    fn what_is_published_is_read() {
        let backing = MemoryBacking::new(1 << 20);
        assert_eq!(Manifest::read(&backing).unwrap(), None);
        let mut manifest = manifest();
        for _ in 0..3 {
            manifest.publish(&backing).unwrap();
            assert_eq!(Manifest::read(&backing).unwrap(), Some(manifest.clone()));
        }
        assert_eq!((manifest.generation, backing.list().unwrap().len()), (6, 1));
    }

    #[test]
    fn no_changed_bit_and_no_cut_passes() {
        let backing = MemoryBacking::new(1 << 20);
        manifest().publish(&backing).unwrap();
        let file = backing.open(FileName::MANIFEST).unwrap();
        let bytes = read_whole(&backing, file, MAX_LENGTH).unwrap();
        let read = |bytes: &[u8]| {
            let backing = MemoryBacking::new(1 << 20);
            let file = backing.create(FileName::MANIFEST).unwrap();
            write_all_at(&backing, file, 0, bytes).unwrap();
            Manifest::read(&backing)
        };
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&flipped).unwrap_err().kind(), ErrorKind::Corrupt, "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert_eq!(read(&bytes[..length]).unwrap_err().kind(), ErrorKind::Corrupt, "{length} bytes");
        }
    }
}
