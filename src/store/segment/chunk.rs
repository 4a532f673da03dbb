//! A chunk in a segment.
//!
//! ```text
//! checksum u32    CRC-32C of the file's salt and everything behind
//! kind     u8     0 packed    1 rANS series    2 family    3 family, constant    4 raw columns    5 any samples    6 XOR
//! times    varint number of the time column;  row0, rows varint: which of its times
//! body            see the format document
//! ```

use std::ops::Range;

use crate::chunk::BodyKind;
use crate::codec::varint;

use super::super::manifest::checksum;
use super::super::planted::{Bug, planted};

/// What stands before a body.
pub(super) struct Head {
    pub(super) kind: BodyKind,
    pub(super) times: u32,
    pub(super) rows: Range<usize>,
    /// Where the body starts.
    pub(super) body: usize,
}

/// Appends a chunk.
pub(super) fn put(
    salt: u64,
    kind: BodyKind,
    times: u32,
    rows: Range<usize>,
    body: &[u8],
    into: &mut Vec<u8>,
) {
    let start = into.len();
    into.extend_from_slice(&[0; 4]);
    into.push(kind as u8);
    varint::put(into, u64::from(times));
    varint::put(into, rows.start as u64);
    varint::put(into, rows.len() as u64);
    into.extend_from_slice(body);
    let signed = into.get(start.saturating_add(4)..).unwrap_or_default();
    let found = checksum(salt, signed).to_le_bytes();
    if let Some(place) = into.get_mut(start..start.saturating_add(4)) {
        place.copy_from_slice(&found);
    }
}

/// Verifies a chunk.
pub(super) fn read(bytes: &[u8], salt: u64) -> Result<Head, String> {
    let (expected, signed) = bytes.split_first_chunk::<4>().ok_or("it is cut off")?;
    let (found, expected) = (checksum(salt, signed), u32::from_le_bytes(*expected));
    if found != expected && !planted(Bug::ChunksUnchecked) {
        return Err(format!("checksum {found:08x}, not {expected:08x}"));
    }
    head(bytes, signed).ok_or_else(|| "its head does not decode".to_owned())
}

fn head(bytes: &[u8], signed: &[u8]) -> Option<Head> {
    let (kind, mut rest) = signed.split_first()?;
    let kind = BodyKind::try_from(*kind).ok()?;
    let times = u32::try_from(varint::take(&mut rest)?).ok()?;
    let start = usize::try_from(varint::take(&mut rest)?).ok()?;
    let rows = start..start.checked_add(usize::try_from(varint::take(&mut rest)?).ok()?)?;
    Some(Head { kind, times, rows, body: bytes.len().checked_sub(rest.len())? })
}
