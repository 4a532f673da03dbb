//! Range coding with asymmetric numeral systems (rANS): symbols with known frequencies in little more than their
//! information, and bits that have no model beside them.
//!
//! ```text
//! coded bytes   state u32, then words u16, all little-endian, in the order of reading
//! raw bytes     bits, most significant first, the last byte filled up with zeros
//!
//! state  2^16 .. 2^32, written last to first: the reader ends with 2^16 exactly
//! ```

use super::bits::BitWriter;
use super::probability::{BITS, Ends, ONE, Table};

/// The lowest state, and the last one.
const LOW: u32 = 1 << 16;

/// One model serves both directions: an encoder takes the symbol it is given, a decoder answers what was written.
pub(crate) trait Coder {
    /// A decision with `frequency` of [`ONE`] for true, neither 0 nor all.
    fn bit(&mut self, frequency: u32, bit: bool) -> bool;
    fn symbol(&mut self, table: &Table, symbol: usize) -> usize;
    fn split(&mut self, ends: &Ends, symbol: usize) -> usize;
    /// The low `count` bits of `value`, at most 64.
    fn raw(&mut self, value: u64, count: u32) -> u64;
}

/// Collects symbols and writes them, last first, when all are there.
#[derive(Default)]
pub(crate) struct Encoder {
    /// First slot and frequency of each symbol.
    ranges: Vec<u32>,
    raw: BitWriter,
}

impl Encoder {
    fn push(&mut self, (start, frequency): (u32, u32)) {
        self.ranges.push((start << 16) | frequency);
    }

    /// Forgets everything and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.ranges.clear();
        self.raw.clear();
    }

    /// The coded bytes and the raw ones.
    pub(crate) fn finish(&self) -> (Vec<u8>, &[u8]) {
        // Words come out last first: filled from the end of what they can need, and turned at the end.
        let mut bytes = Vec::with_capacity(self.ranges.len().saturating_add(4));
        let mut state = LOW;
        for range in self.ranges.iter().rev() {
            let (start, frequency) = (range >> 16, (range & 0xffff).max(1));
            if u64::from(state) >= u64::from(frequency) << (32_u32.wrapping_sub(BITS)) {
                bytes.extend((state as u16).to_be_bytes());
                state >>= 16;
            }
            let quotient = state.checked_div(frequency).unwrap_or(0);
            let rest = state.wrapping_sub(quotient.wrapping_mul(frequency));
            state = (quotient << BITS).wrapping_add(rest).wrapping_add(start);
        }
        bytes.extend(state.to_be_bytes());
        bytes.reverse();
        (bytes, self.raw.bytes())
    }
}

impl Coder for Encoder {
    #[inline(always)]
    fn bit(&mut self, frequency: u32, bit: bool) -> bool {
        self.push(if bit { (0, frequency) } else { (frequency, ONE.wrapping_sub(frequency)) });
        bit
    }

    #[inline(always)]
    fn symbol(&mut self, table: &Table, symbol: usize) -> usize {
        self.push(table.range(symbol));
        symbol
    }

    #[inline(always)]
    fn split(&mut self, ends: &Ends, symbol: usize) -> usize {
        self.push(ends.range(symbol));
        symbol
    }

    #[inline(always)]
    fn raw(&mut self, value: u64, count: u32) -> u64 {
        self.raw.put(value, count);
        value
    }
}

/// Answers what an [`Encoder`] was given. Damaged bytes give other symbols, never a panic; [`Self::complete`] tells.
pub(crate) struct Decoder<'a> {
    state: u32,
    words: &'a [u8],
    raw: RawReader<'a>,
    missing: bool,
}

impl<'a> Decoder<'a> {
    /// `None`: there is no state.
    pub(crate) fn new(coded: &'a [u8], raw: &'a [u8]) -> Option<Self> {
        let (state, words) = coded.split_first_chunk::<4>()?;
        let raw = RawReader { bytes: raw, position: 0 };
        Some(Self { state: u32::from_le_bytes(*state), words, raw, missing: false })
    }

    /// Whether everything was read and nothing is left; asked after the last symbol.
    pub(crate) fn complete(&self) -> bool {
        self.state == LOW && self.words.is_empty() && !self.missing && self.raw.complete()
    }

    #[inline(always)]
    fn advance(&mut self, slot: u32, (start, frequency): (u32, u32)) {
        let state = frequency.wrapping_mul(self.state >> BITS).wrapping_add(slot.wrapping_sub(start));
        self.state = state;
        if state < LOW {
            if let Some((word, rest)) = self.words.split_first_chunk::<2>() {
                self.state = (state << 16) | u32::from(u16::from_le_bytes(*word));
                self.words = rest;
            } else {
                self.missing = true;
            }
        }
    }
}

impl Coder for Decoder<'_> {
    #[inline(always)]
    fn bit(&mut self, frequency: u32, _: bool) -> bool {
        let slot = self.state & ONE.wrapping_sub(1);
        let bit = slot < frequency;
        self.advance(slot, if bit { (0, frequency) } else { (frequency, ONE.wrapping_sub(frequency)) });
        bit
    }

    #[inline(always)]
    fn symbol(&mut self, table: &Table, _: usize) -> usize {
        let slot = self.state & ONE.wrapping_sub(1);
        let symbol = table.find(slot);
        self.advance(slot, table.range(symbol));
        symbol
    }

    #[inline(always)]
    fn split(&mut self, ends: &Ends, _: usize) -> usize {
        let slot = self.state & ONE.wrapping_sub(1);
        let symbol = ends.find(slot);
        self.advance(slot, ends.range(symbol));
        symbol
    }

    #[inline(always)]
    fn raw(&mut self, _: u64, count: u32) -> u64 {
        self.raw.take(count)
    }
}

/// Reads bits; behind the end there are zeros, which [`Self::complete`] tells afterwards.
struct RawReader<'a> {
    bytes: &'a [u8],
    /// Bits taken so far.
    position: usize,
}

impl RawReader<'_> {
    #[inline(always)]
    fn take(&mut self, count: u32) -> u64 {
        if count == 0 {
            return 0;
        }
        if count > 56 {
            let high = self.take(count.saturating_sub(32));
            return (high << 32) | self.take(32);
        }
        let from = self.position >> 3;
        let word = match self.bytes.get(from..).and_then(|rest| rest.first_chunk::<8>()) {
            Some(word) => u64::from_be_bytes(*word),
            None => self.last_word(from),
        };
        let word = word << (self.position & 7);
        self.position = self.position.wrapping_add(count as usize);
        word.wrapping_shr(64_u32.wrapping_sub(count))
    }

    #[cold]
    fn last_word(&self, from: usize) -> u64 {
        let rest = self.bytes.get(from..).unwrap_or_default().iter().chain(std::iter::repeat(&0));
        rest.take(8).fold(0, |word, byte| (word << 8) | u64::from(*byte))
    }

    fn complete(&self) -> bool {
        let unused = (8_usize.wrapping_sub(self.position & 7)) & 7;
        let filling = self.bytes.last().map_or(0, |last| last & ((1_u16 << unused).wrapping_sub(1) as u8));
        self.position.div_ceil(8) == self.bytes.len() && filling == 0
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use super::super::probability::tables;
    use super::*;
    use proptest::prelude::*;

    fn code(coder: &mut impl Coder, script: &[(u8, u64)]) -> Vec<u64> {
        let tables = tables();
        let mut coded = Vec::new();
        for (kind, value) in script {
            coded.push(match kind % 4 {
                0 => coder.bit(1 + u32::from(*kind) * 16, value & 1 == 1).into(),
                1 => coder.symbol(&tables.poisson[usize::from(kind / 4) % 52], *value as usize % 48) as u64,
                2 => coder.split(&tables.binomial[14][usize::from(kind / 4)], *value as usize % 16) as u64,
                _ => {
                    let count = u32::from(kind / 4) + u32::from(*kind == 255);
                    let mask = if count == 64 { u64::MAX } else { (1 << count) - 1 };
                    coder.raw(value & mask, count)
                }
            });
        }
        coded
    }

    proptest! {
        #[test]
        fn what_was_coded_is_decoded(script: Vec<(u8, u64)>) {
            let mut encoder = Encoder::default();
            let written = code(&mut encoder, &script);
            let (coded, raw) = encoder.finish();
            let mut decoder = Decoder::new(&coded, raw).unwrap();
            prop_assert_eq!(code(&mut decoder, &script), written);
            prop_assert!(decoder.complete());
        }

        #[test]
        fn any_bytes_are_symbols(coded: Vec<u8>, raw: Vec<u8>, script: Vec<(u8, u64)>) {
            if let Some(mut decoder) = Decoder::new(&coded, &raw) {
                let _symbols = code(&mut decoder, &script);
            }
        }

        #[test]
        fn missing_bytes_are_told(script in proptest::collection::vec(any::<(u8, u64)>(), 1..50), cut in 1_usize..4) {
            let mut encoder = Encoder::default();
            code(&mut encoder, &script);
            let (coded, raw) = encoder.finish();
            if let Some(mut decoder) = Decoder::new(&coded[..coded.len() - cut], raw) {
                code(&mut decoder, &script);
                prop_assert!(!decoder.complete());
            }
            if let Some(left) = raw.len().checked_sub(cut) {
                let mut decoder = Decoder::new(&coded, &raw[..left]).unwrap();
                code(&mut decoder, &script);
                prop_assert!(!decoder.complete());
            }
        }
    }
}
