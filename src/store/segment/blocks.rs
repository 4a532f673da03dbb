//! Many short records, any of which is found without reading those before its block.
//!
//! ```text
//! records  how many varint, then the length of every block varint, then the blocks
//! block    16 records; the last one what is left
//! ```

use super::super::backing::FilePart;
use crate::codec::varint;

/// Records in a block.
pub(super) const BLOCK: u32 = 16;

/// Records that are being written.
#[derive(Debug, Default)]
pub(super) struct BlockWriter {
    count: u64,
    lengths: Vec<u8>,
    block: usize,
    bytes: Vec<u8>,
}

impl BlockWriter {
    /// Appends a record, which is told whether it is the first of its block. Answers where it starts, counted from the first.
    pub(super) fn push(&mut self, put: impl FnOnce(bool, &mut Vec<u8>)) -> usize {
        let is_first = self.count.is_multiple_of(u64::from(BLOCK));
        if is_first && self.count > 0 {
            self.end_block();
        }
        let start = self.bytes.len();
        put(is_first, &mut self.bytes);
        self.count = self.count.saturating_add(1);
        start
    }

    fn end_block(&mut self) {
        varint::put(&mut self.lengths, self.bytes.len().saturating_sub(self.block) as u64);
        self.block = self.bytes.len();
    }

    /// Appends all of it, and answers where the first record starts.
    pub(super) fn put(mut self, into: &mut Vec<u8>) -> usize {
        if self.count > 0 {
            self.end_block();
        }
        varint::put(into, self.count);
        into.extend_from_slice(&self.lengths);
        let start = into.len();
        into.extend_from_slice(&self.bytes);
        start
    }
}

/// Records of a segment.
#[derive(Debug)]
pub(super) struct Blocks {
    bytes: FilePart,
    count: u32,
    /// Where each block starts, and where the last one ends.
    starts: Box<[u32]>,
}

impl Blocks {
    /// The records that fill `bytes` from `at` on. `None`: they do not.
    pub(super) fn read(bytes: FilePart, at: usize) -> Option<Self> {
        let mut rest = bytes.get(at..)?;
        let count = u32::try_from(varint::take(&mut rest)?).ok()?;
        let blocks = usize::try_from(count.div_ceil(BLOCK)).ok().filter(|blocks| *blocks <= rest.len())?;
        let mut starts = Vec::with_capacity(blocks.checked_add(1)?);
        let (mut end, mut lengths) = (0_u64, rest);
        for _ in 0..blocks {
            starts.push(end);
            end = end.checked_add(varint::take(&mut lengths)?)?;
        }
        starts.push(end);
        let first = bytes.len().checked_sub(lengths.len())? as u64;
        if end != lengths.len() as u64 {
            return None;
        }
        let starts = starts.into_iter().map(|start| u32::try_from(start.checked_add(first)?).ok());
        let starts = starts.collect::<Option<Box<[u32]>>>()?;
        Some(Self { bytes, count, starts })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// How many blocks there are.
    pub(super) fn len(&self) -> u32 {
        self.count.div_ceil(BLOCK)
    }

    /// A block, and where it ends in the section.
    pub(super) fn block(&self, number: u32) -> Option<(&[u8], u32)> {
        let start = *self.starts.get(number as usize)?;
        let end = *self.starts.get((number as usize).checked_add(1)?)?;
        Some((self.bytes.get(start as usize..end as usize)?, end))
    }
}
