//! How every file of a store begins.
//!
//! ```text
//!  0  magic    4 bytes   PGMF manifest    PGWL log    PGSG segment
//!  4  version  u16       of the format
//!  6  flags    u16       0
//!  8  store    u64       the store's id: a file from another store is told from one of ours
//! 16  number   u64       the file's own: two files that were exchanged are told apart
//! 24  salt     u64       by chance: part of every checksum in the file, so that no stale byte passes
//! 32  reserved u32       0
//! 36  checksum u32       CRC-32C of the 36 bytes before
//! ```
//!
//! All integers are little-endian.

use crate::error::{Error, ErrorKind, Result};

/// Bytes of a header.
pub(crate) const HEADER: usize = 40;
/// The format that this version writes, and the newest that it reads.
pub(crate) const VERSION: u16 = 1;

/// What a file's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) magic: [u8; 4],
    pub(crate) store: u64,
    pub(crate) number: u64,
    pub(crate) salt: u64,
}

pub(crate) const MANIFEST: [u8; 4] = *b"PGMF";
pub(crate) const LOG: [u8; 4] = *b"PGWL";
pub(crate) const SEGMENT: [u8; 4] = *b"PGSG";

pub(crate) fn corrupt(what: String) -> Error {
    Error::new(ErrorKind::Corrupt, what)
}

impl FileHeader {
    pub(crate) fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let parts: [&[u8]; 7] = [
            &self.magic,
            &VERSION.to_le_bytes(),
            &[0, 0],
            &self.store.to_le_bytes(),
            &self.number.to_le_bytes(),
            &self.salt.to_le_bytes(),
            &[0; 4],
        ];
        let parts = parts.concat();
        let checksum = crc32c::crc32c(&parts).to_le_bytes();
        for (byte, value) in bytes.iter_mut().zip(parts.iter().chain(&checksum)) {
            *byte = *value;
        }
        bytes
    }

    /// Reads the header of the file called `name`.
    ///
    /// # Errors
    ///
    /// `Corrupt`: no header of this kind, damaged, or of a newer version.
    pub(crate) fn read(bytes: &[u8], magic: [u8; 4], name: &str) -> Result<Self> {
        let short =
            || corrupt(format!("{name} is too short for its header: {} bytes of {HEADER}", bytes.len()));
        let header = bytes.get(..HEADER).ok_or_else(short)?;
        let number = |at: usize| -> u64 {
            let field = header.get(at..at.saturating_add(8)).and_then(|field| field.try_into().ok());
            u64::from_le_bytes(field.unwrap_or_default())
        };
        if header.get(..4) != Some(&magic) {
            return Err(corrupt(format!("{name} is no such file: it begins with {:?}", header.get(..4))));
        }
        let (signed, checksum) = header.split_at_checked(HEADER.saturating_sub(4)).unwrap_or_default();
        let found = crc32c::crc32c(signed);
        let expected = u32::from_le_bytes(checksum.try_into().unwrap_or_default());
        if found != expected {
            return Err(corrupt(format!(
                "the header of {name} is damaged: checksum {found:08x}, not {expected:08x}"
            )));
        }
        let version = number(4) as u16;
        if version > VERSION {
            return Err(corrupt(format!(
                "{name} was written by a newer version: format {version}, this one reads up to {VERSION}"
            )));
        }
        let flags = (number(4) >> 16) as u16;
        if version != VERSION || flags != 0 || number(28) >> 32 != 0 {
            return Err(corrupt(format!(
                "{name} has format {version} with flags {flags}, which there is not"
            )));
        }
        Ok(Self { magic, store: number(8), number: number(16), salt: number(24) })
    }

    /// The same, for a file of a known store and number.
    pub(crate) fn read_own(bytes: &[u8], magic: [u8; 4], name: &str, store: u64, own: u64) -> Result<Self> {
        let header = Self::read(bytes, magic, name)?;
        if header.store != store {
            return Err(corrupt(format!("{name} belongs to another store")));
        }
        if header.number != own {
            return Err(corrupt(format!("{name} holds what belongs into file {}", header.number)));
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_and_no_changed_bit_passes() {
        let header = FileHeader { magic: LOG, store: 1, number: 2, salt: 3 };
        let bytes = header.to_bytes();
        assert_eq!(FileHeader::read_own(&bytes, LOG, "a", 1, 2).unwrap(), header);
        for bit in 0..HEADER * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                FileHeader::read(&flipped, LOG, "a").unwrap_err().kind(),
                ErrorKind::Corrupt,
                "bit {bit}"
            );
        }
        assert!(FileHeader::read(&bytes[..39], LOG, "a").is_err());
        assert!(FileHeader::read(&bytes, SEGMENT, "a").is_err());
        assert!(FileHeader::read_own(&bytes, LOG, "a", 2, 2).is_err());
        assert!(FileHeader::read_own(&bytes, LOG, "a", 1, 1).is_err());
    }

    #[test]
    fn a_newer_version_is_named() {
        let mut bytes = FileHeader { magic: LOG, store: 1, number: 2, salt: 3 }.to_bytes();
        bytes[4] = 2;
        let checksum = crc32c::crc32c(&bytes[..36]).to_le_bytes();
        bytes[36..].copy_from_slice(&checksum);
        let error = FileHeader::read(&bytes, LOG, "wal/1").unwrap_err();
        assert_eq!(
            error.to_string(),
            "wal/1 was written by a newer version: format 2, this one reads up to 1"
        );
    }
}
