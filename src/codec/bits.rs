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
        let mut left = count.min(64);
        while left > 0 {
            if self.free == 0 {
                if self.bytes.len() == self.bytes.capacity() {
                    // By a quarter, not to the double: tails are most of what a store holds.
                    self.bytes.reserve_exact((self.bytes.len() / 4).saturating_add(24));
                }
                self.bytes.push(0);
                self.free = 8;
            }
            let taken = left.min(self.free);
            let rest = left.saturating_sub(taken);
            let part = (value >> rest) & low_mask(taken);
            let shift = self.free.saturating_sub(taken);
            if let Some(last) = self.bytes.last_mut() {
                *last |= (part << shift) as u8;
            }
            self.free = shift;
            left = rest;
        }
    }

    /// Bytes of memory that the bits hold.
    pub(crate) fn byte_size(&self) -> usize {
        self.bytes.capacity()
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
    /// Bits taken from the first byte.
    used: u32,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, used: 0 }
    }

    /// The next `count` bits, at most 64. `None`: there are not as many.
    pub(crate) fn take(&mut self, count: u32) -> Option<u64> {
        let mut value = 0_u64;
        let mut left = count.min(64);
        while left > 0 {
            let (first, rest) = self.bytes.split_first()?;
            let available = 8_u32.saturating_sub(self.used);
            let taken = left.min(available);
            let shift = available.saturating_sub(taken);
            let part = (u64::from(*first) >> shift) & low_mask(taken);
            value = if taken == 64 { part } else { (value << taken) | part };
            left = left.saturating_sub(taken);
            self.used = self.used.saturating_add(taken);
            if self.used == 8 {
                self.bytes = rest;
                self.used = 0;
            }
        }
        Some(value)
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
