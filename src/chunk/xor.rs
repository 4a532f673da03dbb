//! A sealed stretch of one series of floats.

use super::corrupt;
use crate::codec::xor::{XorDecoder, XorEncoder};
use crate::error::Result;
use crate::model::{SampleBuffer, Window};

/// XOR-coded floats; see [`crate::codec::xor`] for the bits.
#[derive(Debug)]
pub(crate) struct XorChunk {
    bytes: Box<[u8]>,
    count: u32,
    first: i64,
    last: i64,
}

impl XorChunk {
    /// What the encoder holds so far; `first` is the time of its first sample.
    pub(crate) fn from_encoder(encoder: &XorEncoder, first: i64) -> Self {
        Self { bytes: encoder.bytes().into(), count: encoder.count(), first, last: encoder.last().0 }
    }

    pub(crate) fn read(&self, window: Window, into: &mut SampleBuffer) -> Result<()> {
        let (after, until) = (window.after.as_millis(), window.until.as_millis());
        if self.last <= after || self.first > until {
            return Ok(());
        }
        let mut decoder = XorDecoder::new(&self.bytes, self.count);
        for (time, value) in decoder.by_ref() {
            if time > until {
                return Ok(());
            }
            if time > after {
                into.push_float(time, value, 0);
            }
        }
        if decoder.complete() { Ok(()) } else { Err(corrupt("it ends before its last sample")) }
    }

    pub(crate) fn time_range(&self) -> (i64, i64) {
        (self.first, self.last)
    }

    pub(crate) fn byte_size(&self) -> usize {
        self.bytes.len().saturating_add(size_of::<Self>())
    }
}
