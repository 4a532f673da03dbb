//! What a stretch of samples is as bytes, without its times.

use std::ops::Range;

use super::corrupt;
use crate::error::{Error, Result};

/// How the bytes of a body are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum BodyKind {
    /// Floats of a series as packed integers.
    Packed = 0,
    /// Rows of a family under a model.
    Family = 2,
    /// Rows of a family that are all the same.
    FamilyConstant = 3,
    /// Rows of a family, column by column.
    RawColumns = 4,
    /// Samples of a series with start times or native histograms.
    Columns = 5,
    /// Floats of a series by XOR.
    Xor = 6,
}

impl TryFrom<u8> for BodyKind {
    type Error = Error;

    fn try_from(byte: u8) -> Result<Self> {
        Ok(match byte {
            0 => Self::Packed,
            2 => Self::Family,
            3 => Self::FamilyConstant,
            4 => Self::RawColumns,
            5 => Self::Columns,
            6 => Self::Xor,
            _ => return Err(corrupt("its kind is none that this version knows")),
        })
    }
}

/// Rows as bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Body {
    pub(crate) kind: BodyKind,
    /// Of the rows that were encoded.
    pub(crate) rows: Range<usize>,
    pub(crate) bytes: Vec<u8>,
}
