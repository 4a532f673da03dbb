//! The frames of a log file, behind its header.
//!
//! ```text
//!  0  length   u32   of the payload
//!  4  sequence u64   1 more than that of the frame before, also across files
//! 12  durable  u64   the newest sequence known to be synced when this frame was written
//! 20  kind     u8    1 batch    2 mark    3 batch that begins anew: no number from before it holds    4 tombstone
//!                    5 exemplars
//! 21  checksum u32   CRC-32C of the file's salt, the 21 bytes before, and the payload
//! 25  payload
//! ```
//!
//! What does not verify is a torn end, unless a later frame vouches for it: one whose `durable` is not below the missing
//! sequence. Then acknowledged data is damaged.

use crate::error::Result;

use super::super::file::corrupt;
use super::super::planted::{Bug, planted};

/// Bytes before the payload.
pub(crate) const FRAME: usize = 25;
/// The longest payload that is read or written.
pub(crate) const MAX_PAYLOAD: usize = 256 << 20;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// Samples, told relative to what frames before it told.
    Batch,
    /// Samples, told relative to nothing.
    Anew,
    /// Nothing: it vouches for the frames before it.
    Mark,
    /// A deletion, see `tombstone`; no number means anything in it.
    Tombstone,
    /// Exemplars, see `exemplars`; no number means anything in it.
    Exemplars,
}

/// A frame that verified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) sequence: u64,
    pub(crate) durable: u64,
    pub(crate) kind: FrameKind,
    pub(crate) payload: &'a [u8],
}

fn checksum(salt: u64, head: &[u8], payload: &[&[u8]]) -> u32 {
    let checksum = crc32c::crc32c(&salt.to_le_bytes());
    let head = if planted(Bug::HeadOutsideChecksum) { &[] } else { head };
    let checksum = crc32c::crc32c_append(checksum, head);
    payload.iter().fold(checksum, |checksum, part| crc32c::crc32c_append(checksum, part))
}

/// Appends a frame as bytes, whose payload is made of parts.
pub(super) fn put_frame(
    (sequence, durable, kind): (u64, u64, FrameKind),
    payload: &[&[u8]],
    salt: u64,
    into: &mut Vec<u8>,
) {
    let length = payload_length(payload);
    into.reserve(length.saturating_add(FRAME));
    let start = into.len();
    into.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    into.extend_from_slice(&sequence.to_le_bytes());
    into.extend_from_slice(&durable.to_le_bytes());
    into.push(match kind {
        FrameKind::Batch => 1,
        FrameKind::Anew => 3,
        FrameKind::Mark => 2,
        FrameKind::Tombstone => 4,
        FrameKind::Exemplars => 5,
    });
    let checksum = checksum(salt, into.get(start..).unwrap_or_default(), payload);
    into.extend_from_slice(&checksum.to_le_bytes());
    payload.iter().for_each(|part| into.extend_from_slice(part));
}

pub(super) fn payload_length(payload: &[&[u8]]) -> usize {
    payload.iter().fold(0, |length, part| length.saturating_add(part.len()))
}

impl<'a> Frame<'a> {
    /// Appends the frame as bytes.
    pub(crate) fn put(&self, salt: u64, into: &mut Vec<u8>) {
        put_frame((self.sequence, self.durable, self.kind), &[self.payload], salt, into);
    }

    /// Bytes of the whole frame.
    pub(crate) fn length(&self) -> usize {
        self.payload.len().saturating_add(FRAME)
    }

    /// The frame at the front of `bytes`, if one verifies there whose sequence `accepts` takes.
    pub(crate) fn read(bytes: &'a [u8], salt: u64, accepts: impl FnOnce(u64) -> bool) -> Option<Self> {
        let (frame, head, expected) = Self::parse(bytes, accepts)?;
        (checksum(salt, head, &[frame.payload]) == expected).then_some(frame)
    }

    /// What may be a frame, the part of its head that is signed, and the checksum that it has to have.
    fn parse(bytes: &'a [u8], accepts: impl FnOnce(u64) -> bool) -> Option<(Self, &'a [u8], u32)> {
        let (head, rest) = bytes.split_first_chunk::<FRAME>()?;
        let (length, head_rest) = head.split_first_chunk::<4>()?;
        let (sequence, head_rest) = head_rest.split_first_chunk::<8>()?;
        let (durable, head_rest) = head_rest.split_first_chunk::<8>()?;
        let (kind, expected) = head_rest.split_first()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let sequence = u64::from_le_bytes(*sequence);
        if length > MAX_PAYLOAD || !accepts(sequence) {
            return None;
        }
        let payload = rest.get(..length)?;
        let kind = match kind {
            1 => FrameKind::Batch,
            2 => FrameKind::Mark,
            3 => FrameKind::Anew,
            4 => FrameKind::Tombstone,
            5 => FrameKind::Exemplars,
            _ => return None,
        };
        let signed = head.get(..FRAME.saturating_sub(4))?;
        let expected = u32::from_le_bytes(expected.try_into().ok()?);
        Some((Self { sequence, durable: u64::from_le_bytes(*durable), kind, payload }, signed, expected))
    }
}

/// Bytes between two checksums that are kept.
const BLOCK: usize = 4096;

/// Checksums of any range of some bytes at a cost that does not grow with the range: bytes that were made to look like the
/// heads of many long frames cost no more than others.
struct Ranges<'a> {
    bytes: &'a [u8],
    /// Of the bytes before each block.
    before: Vec<u32>,
}

impl<'a> Ranges<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let mut before = vec![0];
        before.extend(bytes.chunks_exact(BLOCK).scan(0, |checksum, block| {
            *checksum = crc32c::crc32c_append(*checksum, block);
            Some(*checksum)
        }));
        Self { bytes, before }
    }

    /// `checksum` with the bytes from `start` to `end` behind what it covers.
    fn append(&self, checksum: u32, start: usize, end: usize) -> u32 {
        let part = |start: usize, end: usize| self.bytes.get(start..end).unwrap_or_default();
        let (first, last) = (start.div_ceil(BLOCK), end / BLOCK);
        let blocks = self.before.get(first).zip(self.before.get(last)).filter(|_| first < last);
        let Some((from, to)) = blocks else { return crc32c::crc32c_append(checksum, part(start, end)) };
        let (inner_start, inner_end) = (first.saturating_mul(BLOCK), last.saturating_mul(BLOCK));
        let checksum = crc32c::crc32c_append(checksum, part(start, inner_start));
        // The checksum of A and B is that of A, moved by the length of B, and that of B added bit by bit: what stands before
        // the blocks cancels out.
        let inner = inner_end.saturating_sub(inner_start);
        let checksum = crc32c::crc32c_combine(checksum ^ from, *to, inner);
        crc32c::crc32c_append(checksum, part(inner_end, end))
    }
}

/// The frames of one file that stand in order, and what comes behind them.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    pub(crate) frames: Vec<Frame<'a>>,
    /// Bytes up to the end of the last of them, the header included.
    pub(crate) end: usize,
    /// Bytes behind.
    pub(crate) rest: usize,
    /// The newest sequence that a frame behind the gap vouches for.
    pub(crate) vouched: Option<u64>,
    /// Frames behind the gap that verify.
    pub(crate) behind: Vec<Frame<'a>>,
}

/// Sequences further ahead than this are no frames of this file.
const FAR: u64 = 1 << 40;

/// Reads frames from `start` on; `next` is the sequence of the first.
pub(crate) fn scan(bytes: &[u8], start: usize, salt: u64, mut next: u64) -> Scan<'_> {
    let mut scan = Scan { frames: Vec::new(), end: start, rest: 0, vouched: None, behind: Vec::new() };
    while let Some(frame) =
        bytes.get(scan.end..).and_then(|bytes| Frame::read(bytes, salt, |own| own == next))
    {
        scan.end = scan.end.saturating_add(frame.length());
        next = next.saturating_add(1);
        scan.frames.push(frame);
    }
    scan.rest = bytes.len().saturating_sub(scan.end);
    // Only a frame further on can tell a torn end from damage. Every offset is tried: what lies between is unknown.
    let far = next.saturating_add(FAR);
    let mut ranges = None;
    let mut at = scan.end;
    while at.saturating_add(FRAME) <= bytes.len() {
        let found = bytes.get(at..).and_then(|rest| {
            let (frame, head, expected) = Frame::parse(rest, |own| own >= next && own < far)?;
            let start = at.saturating_add(FRAME);
            let ranges = ranges.get_or_insert_with(|| Ranges::new(bytes));
            let own =
                ranges.append(checksum(salt, head, &[]), start, start.saturating_add(frame.payload.len()));
            (own == expected).then_some(frame)
        });
        match found {
            Some(frame) => {
                scan.vouched = scan.vouched.max(Some(frame.durable));
                at = at.saturating_add(frame.length());
                next = frame.sequence.saturating_add(1);
                scan.behind.push(frame);
            }
            None => at = at.saturating_add(1),
        }
    }
    scan
}

impl Scan<'_> {
    /// The sequence of the first frame that is missing.
    pub(crate) fn missing(&self, first: u64) -> u64 {
        self.frames.last().map_or(first, |frame| frame.sequence.saturating_add(1))
    }

    /// An error if frames that were known to be durable are missing.
    pub(crate) fn check(&self, first: u64, name: &str) -> Result<()> {
        let missing = self.missing(first);
        match self.vouched {
            Some(durable) if durable >= missing && !planted(Bug::SilentCut) => Err(corrupt(format!(
                "{name} is damaged at offset {}: frame {missing} does not verify, and frames up to {durable} were durable",
                self.end
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn file(durable: impl Fn(u64) -> u64) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (vec![0; 40], Vec::new());
        for sequence in 5..10 {
            let payload = vec![sequence as u8; sequence as usize * 3];
            Frame { sequence, durable: durable(sequence), kind: FrameKind::Batch, payload: &payload }
                .put(77, &mut bytes);
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    #[test]
    fn frames_come_back_up_to_a_torn_end() {
        let (bytes, ends) = file(|_| 4);
        for end in 40..=bytes.len() {
            let scan = scan(&bytes[..end], 40, 77, 5);
            assert_eq!(scan.frames.len(), ends.iter().filter(|own| **own <= end).count());
            assert!(scan.check(5, "log").is_ok());
            assert_eq!(scan.end + scan.rest, end);
        }
    }

    #[test]
    fn a_flipped_bit_below_the_watermark_is_damage_and_above_it_a_torn_end() {
        let (bytes, ends) = file(|sequence| sequence - 1);
        for bit in 40 * 8..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let scan = scan(&flipped, 40, 77, 5);
            let hit = ends.iter().filter(|end| **end <= bit / 8).count();
            assert_eq!(scan.frames.len(), hit, "bit {bit}");
            let outcome = scan.check(5, "log");
            match hit {
                // Nothing vouches for the last frame.
                4 => assert!(outcome.is_ok()),
                _ => assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Corrupt),
            }
        }
    }

    #[test]
    fn a_range_has_the_checksum_of_its_bytes() {
        let bytes: Vec<u8> = (0..5 * BLOCK + 77).map(|at| (at * at / 7) as u8).collect();
        let ranges = Ranges::new(&bytes);
        let places =
            [0, 1, 24, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK + 5, 5 * BLOCK, bytes.len()];
        for start in places {
            for end in places.into_iter().filter(|end| *end >= start) {
                let expected = crc32c::crc32c_append(99, &bytes[start..end]);
                assert_eq!(ranges.append(99, start, end), expected, "{start}..{end}");
            }
        }
    }

    #[test]
    fn heads_of_long_frames_everywhere_cost_little() {
        // Every 25 bytes the head of a frame that reaches to the middle of what is left.
        let mut bytes = vec![0; 40];
        while bytes.len() < 8 << 20 {
            let length = ((8 << 20) - bytes.len()) as u32 / 2;
            let head: [&[u8]; 5] = [&length.to_le_bytes(), &7_u64.to_le_bytes(), &[0; 8], &[1], &[9; 4]];
            bytes.extend(head.concat());
        }
        // Read one by one they would be 700 GB.
        let scan = scan(&bytes, 40, 77, 5);
        assert_eq!((scan.frames.len(), scan.behind.len(), scan.vouched), (0, 0, None));
    }

    #[test]
    fn zeros_and_frames_of_another_file_are_none() {
        let (mut bytes, _) = file(|_| 4);
        let end = bytes.len();
        bytes.resize(end + 4096, 0);
        let (other, _) = file(|_| 100);
        bytes.extend_from_slice(&other);
        assert_eq!(scan(&bytes, 40, 77, 5).frames.len(), 5);
        assert_eq!(scan(&other, 40, 78, 5).frames.len(), 0);
        assert_eq!(scan(&other, 40, 77, 6).frames.len(), 0);
    }
}
