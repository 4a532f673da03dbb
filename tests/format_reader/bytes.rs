//! Integers, text, bits and checksums.

/// What was read, or what does not fit.
pub(crate) type Read<T> = Result<T, String>;

/// CRC-32C of all parts, one behind the other.
pub(crate) fn crc32c(parts: &[&[u8]]) -> u32 {
    let mut table = [0_u32; 256];
    for (byte, entry) in (0..256_u32).zip(&mut table) {
        *entry = (0..8).fold(byte, |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 });
    }
    let bytes = parts.iter().flat_map(|part| part.iter());
    !bytes.fold(u32::MAX, |crc, byte| crc >> 8 ^ table[usize::from(crc as u8 ^ byte)])
}

pub(crate) fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// Bytes from the front.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("bytes are missing")?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn end(&self) -> Read<()> {
        if self.0.is_empty() { Ok(()) } else { Err(format!("{} bytes are left", self.0.len())) }
    }

    pub(crate) fn u8(&mut self) -> Read<u8> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn u16(&mut self) -> Read<u16> {
        Ok(u16::from_le_bytes(self.take(2)?.try_into().unwrap()))
    }

    pub(crate) fn u32(&mut self) -> Read<u32> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().unwrap()))
    }

    pub(crate) fn u64(&mut self) -> Read<u64> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().unwrap()))
    }

    pub(crate) fn varint(&mut self) -> Read<u64> {
        let mut value = 0_u128;
        for shift in (0..70).step_by(7) {
            let byte = self.u8()?;
            value |= u128::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u64::try_from(value).map_err(|_| "a varint exceeds 64 bits".into());
            }
        }
        Err("a varint does not end".into())
    }

    pub(crate) fn signed(&mut self) -> Read<i64> {
        Ok(unzigzag(self.varint()?))
    }

    /// A varint as a length or a place.
    pub(crate) fn size(&mut self) -> Read<usize> {
        usize::try_from(self.varint()?).map_err(|_| "a size exceeds memory".into())
    }

    pub(crate) fn text(&mut self) -> Read<String> {
        let length = self.size()?;
        String::from_utf8(self.take(length)?.to_vec()).map_err(|_| "no UTF-8".into())
    }

    /// As many bits, low bits first, as bytes.
    pub(crate) fn mask(&mut self, bits: usize) -> Read<Vec<bool>> {
        let bytes = self.take(bits.div_ceil(8))?;
        Ok((0..bits).map(|bit| bytes[bit / 8] >> (bit % 8) & 1 == 1).collect())
    }
}

/// Bits from the most significant one.
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn take(&mut self, count: u64) -> Read<u64> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8).ok_or("bits are missing")?;
            value = value << 1 | u64::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Ok(value)
    }

    /// Bytes that were touched.
    pub(crate) fn bytes(&self) -> usize {
        self.at.div_ceil(8)
    }

    /// Only zeros up to the end of the last byte, and nothing behind it.
    pub(crate) fn end(mut self) -> Read<()> {
        while !self.at.is_multiple_of(8) {
            if self.take(1)? != 0 {
                return Err("a byte is not filled up with zeros".into());
            }
        }
        if self.at / 8 == self.bytes.len() { Ok(()) } else { Err("bytes are left behind bits".into()) }
    }
}
