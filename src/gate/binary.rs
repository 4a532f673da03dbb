//! States as bytes: shorter than JSON, exact for every float, and without a dependency.
//!
//! ```text
//! state     "pgst", what it is the state of u8, version varint, fields in the order in which they are declared,
//!           CRC-32C of all before as 4 bytes, low ones first
//! number    whole numbers as varints, signed ones zigzag; floats as in histograms, 1 to 10 bytes
//! text      length varint, UTF-8
//! option    0, or 1 and the value
//! list      length varint, the items
//! variant   a number u8; of a finding its code as text
//! ```

use std::collections::BTreeMap;
use std::fmt;

use crate::codec::histogram::{put_number, take_number};
use crate::codec::varint;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Timestamp;

/// What the bytes of a state begin with.
const MAGIC: &[u8] = b"pgst";
const CHECKSUM: usize = 4;
/// A state of more bytes is not read: one of a thousand gates that judge a hundred elements each has less.
pub(super) const MAX_BYTES: usize = 64 << 20;
/// Nor one that would take more memory: a byte of a list may stand for many bytes of its items.
const MAX_MEMORY: usize = 4 * MAX_BYTES;
/// No state has lists and boxes within each other so deep.
const MAX_DEPTH: u8 = 24;

/// A value that is part of a state.
pub(crate) trait Binary: Sized {
    fn put(&self, into: &mut Vec<u8>);

    /// None: the bytes hold something else.
    fn take(from: &mut Reader<'_>) -> Option<Self>;
}

/// What the bytes are the state of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Gate = 1,
    GateSet = 2,
    Rollout = 3,
    GatedRollout = 4,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gate => "a gate",
            Self::GateSet => "a set of gates",
            Self::Rollout => "a rollout",
            Self::GatedRollout => "a rollout and its gates",
        })
    }
}

/// What is left of the bytes of a state.
pub(crate) struct Reader<'a> {
    pub(crate) rest: &'a [u8],
    depth: u8,
    /// What the items of lists may still take; none once they would take more.
    memory: Option<usize>,
}

impl Reader<'_> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    /// An item that lies on the heap.
    fn item<T: Binary>(&mut self) -> Option<T> {
        self.memory = self.memory.and_then(|left| left.checked_sub(size_of::<T>()));
        self.memory?;
        T::take(self)
    }

    /// Takes what lies within something else. The stack is not the caller's to fill.
    fn within<T>(&mut self, take: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.depth = self.depth.checked_add(1).filter(|depth| *depth <= MAX_DEPTH)?;
        let taken = take(self);
        self.depth = self.depth.saturating_sub(1);
        taken
    }
}

/// The bytes of a state.
pub(super) fn to_bytes(owner: Owner, version: u16, state: &impl Binary) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.push(owner as u8);
    version.put(&mut bytes);
    state.put(&mut bytes);
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The state in these bytes.
pub(super) fn from_bytes<S: Binary>(owner: Owner, version: u16, bytes: &[u8]) -> Result<S> {
    let refused = |kind, why: String| Err(Error::new(kind, format!("this is no state of {owner}: {why}")));
    if bytes.len() > MAX_BYTES {
        let why = format!("it has {} bytes, at most {MAX_BYTES} are read", bytes.len());
        return refused(ErrorKind::Limit, why);
    }
    let Some((body, checksum)) = bytes.split_last_chunk::<CHECKSUM>() else {
        return refused(ErrorKind::Corrupt, format!("it has {} bytes", bytes.len()));
    };
    let (written, found) = (u32::from_le_bytes(*checksum), crc32c::crc32c(body));
    if written != found {
        let why = format!("it is not what was written: its checksum is {found:08x}, not {written:08x}");
        return refused(ErrorKind::Corrupt, why);
    }
    let begins = body.strip_prefix(MAGIC).and_then(|rest| rest.split_first());
    let Some((_, rest)) = begins.filter(|(found, _)| **found == owner as u8) else {
        return refused(ErrorKind::Corrupt, "it begins otherwise".to_owned());
    };
    let mut reader = Reader { rest, depth: 0, memory: Some(MAX_MEMORY) };
    let found = u16::take(&mut reader);
    if let Some(found) = found.filter(|found| *found != version) {
        return refused(
            ErrorKind::Unsupported,
            format!("it has version {found}, this version reads {version}"),
        );
    }
    match S::take(&mut reader) {
        Some(state) if reader.rest.is_empty() => Ok(state),
        _ if reader.memory.is_none() => {
            refused(ErrorKind::Limit, format!("it would take more than {MAX_MEMORY} bytes of memory"))
        }
        _ => {
            let place = bytes.len().saturating_sub(reader.rest.len()).saturating_sub(CHECKSUM);
            refused(ErrorKind::Corrupt, format!("byte {place} does not go on as one"))
        }
    }
}

/// The fields of a struct, one after the other.
macro_rules! binary_fields {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::gate::binary::Binary for $name {
            fn put(&self, into: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($crate::gate::binary::Binary::put($field, into);)*
            }

            fn take(from: &mut $crate::gate::binary::Reader<'_>) -> Option<Self> {
                Some(Self { $($field: $crate::gate::binary::Binary::take(from)?),* })
            }
        }
    };
}

/// The variants of an enum, each with its number: a number stands for a variant for good.
macro_rules! binary_variants {
    ($name:ident { $($number:literal = $variant:ident $(($inner:ident))? $({ $($field:ident),* $(,)? })?),* $(,)? }) => {
        impl $crate::gate::binary::Binary for $name {
            fn put(&self, into: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $(($inner))? $({ $($field),* })? => {
                        into.push($number);
                        $($crate::gate::binary::Binary::put($inner, into);)?
                        $($($crate::gate::binary::Binary::put($field, into);)*)?
                    })*
                }
            }

            fn take(from: &mut $crate::gate::binary::Reader<'_>) -> Option<Self> {
                Some(match from.byte()? {
                    $($number => {
                        $(let $inner = $crate::gate::binary::Binary::take(from)?;)?
                        $($(let $field = $crate::gate::binary::Binary::take(from)?;)*)?
                        Self::$variant $(($inner))? $({ $($field),* })?
                    })*
                    _ => return None,
                })
            }
        }
    };
}

/// How a state, which holds its fields alone, is written and read: as bytes of a version, and as JSON.
macro_rules! written_state {
    ($state:ident, $owner:expr, $version:expr) => {
        impl $state {
            /// The state as bytes, with its version and a checksum; less than half as long as the JSON.
            pub fn to_bytes(&self) -> Vec<u8> {
                $crate::gate::binary::to_bytes($owner, $version, &self.0)
            }

            /// Reads what [`to_bytes`](Self::to_bytes) wrote: the same state, bit for bit.
            ///
            /// # Errors
            ///
            /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) for bytes that are not those of a state as they were written,
            /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for those of another version,
            /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) for more than 64 MiB, or more than 256 MiB of memory.
            pub fn from_bytes(bytes: &[u8]) -> $crate::error::Result<Self> {
                $crate::gate::binary::from_bytes($owner, $version, bytes).map(Self)
            }
        }

        #[cfg(feature = "serde")]
        impl $state {
            /// The state as JSON, with a checksum.
            ///
            /// # Errors
            ///
            /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) if it cannot be written.
            pub fn to_json(&self) -> $crate::error::Result<String> {
                $crate::gate::checked::to_json(self, $owner)
            }

            /// Reads what [`to_json`](Self::to_json) wrote.
            ///
            /// # Errors
            ///
            /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) with the place if it is something else, and if the state is not
            /// the one that was written.
            pub fn from_json(text: &str) -> $crate::error::Result<Self> {
                $crate::gate::checked::from_json(text, $owner)
            }
        }
    };
}

pub(crate) use {binary_fields, binary_variants, written_state};

macro_rules! unsigned {
    ($($number:ty),*) => {
        $(impl Binary for $number {
            fn put(&self, into: &mut Vec<u8>) {
                varint::put(into, *self as u64);
            }

            fn take(from: &mut Reader<'_>) -> Option<Self> {
                varint::take(&mut from.rest)?.try_into().ok()
            }
        })*
    };
}

macro_rules! signed {
    ($($number:ty),*) => {
        $(impl Binary for $number {
            fn put(&self, into: &mut Vec<u8>) {
                varint::put_signed(into, (*self).into());
            }

            fn take(from: &mut Reader<'_>) -> Option<Self> {
                varint::take_signed(&mut from.rest)?.try_into().ok()
            }
        })*
    };
}

unsigned!(u16, u32, u64, usize);
signed!(i32, i64);

impl Binary for bool {
    fn put(&self, into: &mut Vec<u8>) {
        into.push(u8::from(*self));
    }

    fn take(from: &mut Reader<'_>) -> Option<Self> {
        match from.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Binary for f64 {
    fn put(&self, into: &mut Vec<u8>) {
        put_number(into, *self);
    }

    fn take(from: &mut Reader<'_>) -> Option<Self> {
        take_number(&mut from.rest)
    }
}

impl Binary for Timestamp {
    fn put(&self, into: &mut Vec<u8>) {
        self.as_millis().put(into);
    }

    fn take(from: &mut Reader<'_>) -> Option<Self> {
        i64::take(from).map(Self::from_millis)
    }
}

impl Binary for String {
    fn put(&self, into: &mut Vec<u8>) {
        varint::put_bytes(into, self.as_bytes());
    }

    fn take(from: &mut Reader<'_>) -> Option<Self> {
        let bytes = varint::take_bytes(&mut from.rest)?;
        std::str::from_utf8(bytes).ok().map(str::to_owned)
    }
}

impl<T: Binary> Binary for Option<T> {
    fn put(&self, into: &mut Vec<u8>) {
        self.is_some().put(into);
        if let Some(value) = self {
            value.put(into);
        }
    }

    fn take(from: &mut Reader<'_>) -> Option<Self> {
        if bool::take(from)? { T::take(from).map(Some) } else { Some(None) }
    }
}

impl<T: Binary> Binary for Box<T> {
    fn put(&self, into: &mut Vec<u8>) {
        self.as_ref().put(into);
    }

    fn take(from: &mut Reader<'_>) -> Option<Self> {
        from.within(Reader::item).map(Self::new)
    }
}

impl<T: Binary> Binary for Vec<T> {
    fn put(&self, into: &mut Vec<u8>) {
        self.len().put(into);
        self.iter().for_each(|item| item.put(into));
    }

    /// Nothing is set aside for a length: a wrong one ends with the bytes.
    fn take(from: &mut Reader<'_>) -> Option<Self> {
        let length = usize::take(from)?;
        from.within(|from| (0..length).map(|_| from.item()).collect())
    }
}

impl<K: Binary + Ord, V: Binary> Binary for BTreeMap<K, V> {
    fn put(&self, into: &mut Vec<u8>) {
        self.len().put(into);
        for (key, value) in self {
            key.put(into);
            value.put(into);
        }
    }

    fn take(from: &mut Reader<'_>) -> Option<Self> {
        let length = usize::take(from)?;
        from.within(|from| (0..length).map(|_| from.item::<(K, V)>()).collect())
    }
}

impl<A: Binary, B: Binary> Binary for (A, B) {
    fn put(&self, into: &mut Vec<u8>) {
        self.0.put(into);
        self.1.put(into);
    }

    fn take(from: &mut Reader<'_>) -> Option<Self> {
        Some((A::take(from)?, B::take(from)?))
    }
}

impl<A: Binary, B: Binary, C: Binary> Binary for (A, B, C) {
    fn put(&self, into: &mut Vec<u8>) {
        self.0.put(into);
        self.1.put(into);
        self.2.put(into);
    }

    fn take(from: &mut Reader<'_>) -> Option<Self> {
        Some((A::take(from)?, B::take(from)?, C::take(from)?))
    }
}

impl<T: Binary + Copy + Default, const N: usize> Binary for [T; N] {
    fn put(&self, into: &mut Vec<u8>) {
        self.iter().for_each(|item| item.put(into));
    }

    fn take(from: &mut Reader<'_>) -> Option<Self> {
        let mut items = [T::default(); N];
        for item in &mut items {
            *item = T::take(from)?;
        }
        Some(items)
    }
}

#[cfg(test)]
pub(super) mod tests;
