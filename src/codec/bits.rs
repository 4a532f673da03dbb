//! Bit strings, most significant bit first.

/// Appends bits to a byte string.
#[derive(Clone, Debug, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    /// Unused low bits of the last byte.
    free: u32,
}

impl BitWriter {
    /// Appends the low `count` bits of `value`; `count` is at most 64.
    pub(crate) fn put(&mut self, value: u64, count: u32) {
        if count > 32 {
            self.put_few(value >> 32, count.min(64).saturating_sub(32));
            self.put_few(value, 32);
        } else {
            self.put_few(value, count);
        }
    }

    /// Appends at most 32 bits.
    #[inline]
    fn put_few(&mut self, value: u64, count: u32) {
        // The bits as they will stand: behind those that the last byte has already.
        let used = 8_u32.wrapping_sub(self.free) & 7;
        let end = used.wrapping_add(count);
        let word = (value & low_mask(count)).wrapping_shl(64_u32.wrapping_sub(end));
        let [first, rest @ ..] = if count == 0 { [0; 8] } else { word.to_be_bytes() };
        let bytes = end.div_ceil(8) as usize;
        self.free = 8_u32.wrapping_sub(end) & 7;
        if used > 0 {
            if let Some(last) = self.bytes.last_mut() {
                *last |= first;
            }
            self.extend(rest.get(..bytes.saturating_sub(1)).unwrap_or_default());
        } else if bytes > 0 {
            self.extend(&[first]);
            self.extend(rest.get(..bytes.saturating_sub(1)).unwrap_or_default());
        }
    }

    fn extend(&mut self, bytes: &[u8]) {
        if self.bytes.capacity().wrapping_sub(self.bytes.len()) < bytes.len() {
            // By a quarter, not to the double: tails are most of what a store holds.
            self.bytes.reserve_exact((self.bytes.len() / 4).saturating_add(24));
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Forgets the bits and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.free = 0;
    }

    /// The bytes so far; unused bits are zero.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads bits from a byte string.
#[derive(Clone, Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits taken from the first byte, less than 8.
    used: u32,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, used: 0 }
    }

    /// The next `count` bits, at most 64. `None`: there are not as many.
    pub(crate) fn take(&mut self, count: u32) -> Option<u64> {
        if count > 56 {
            let high = self.take(count.min(64).saturating_sub(32))?;
            return Some((high << 32) | self.take(32)?);
        }
        if count == 0 {
            return Some(0);
        }
        let end = self.used.wrapping_add(count);
        let word = match self.bytes.first_chunk::<8>() {
            Some(word) => u64::from_be_bytes(*word),
            None if end as usize <= self.bytes.len().saturating_mul(8) => {
                let rest = self.bytes.iter().chain(std::iter::repeat(&0));
                rest.take(8).fold(0, |word, byte| (word << 8) | u64::from(*byte))
            }
            None => return None,
        };
        self.bytes = self.bytes.get((end >> 3) as usize..)?;
        let value = word.wrapping_shl(self.used).wrapping_shr(64_u32.wrapping_sub(count));
        self.used = end & 7;
        Some(value)
    }

    /// How many ones stand before the next zero, which is taken too; `most` ones end the count, and no zero follows.
    pub(crate) fn unary(&mut self, most: u32) -> Option<u32> {
        let mut ones = 0_u32;
        while ones < most && self.bit()? {
            ones = ones.saturating_add(1);
        }
        Some(ones)
    }

    /// The bytes that no bit was taken of.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(usize::from(self.used > 0)..).unwrap_or_default()
    }

    /// The next bit.
    pub(crate) fn bit(&mut self) -> Option<bool> {
        self.take(1).map(|bit| bit == 1)
    }
}

const fn low_mask(count: u32) -> u64 {
    if count >= 64 { u64::MAX } else { (1_u64 << count).wrapping_sub(1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_put_is_taken(parts: Vec<(u64, u8)>) {
            let mut writer = BitWriter::default();
            for (value, count) in &parts {
                writer.put(*value, u32::from(count % 65));
            }
            let mut reader = BitReader::new(writer.bytes());
            for (value, count) in &parts {
                let count = u32::from(count % 65);
                prop_assert_eq!(reader.take(count), Some(value & low_mask(count)));
            }
            prop_assert!(reader.take(8).is_none());
        }
    }
}
