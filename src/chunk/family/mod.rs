//! Rows of classic histograms, sealed: buckets, count and sum as one body over shared times.
//!
//! Inside a body with coded rows no bucket, count or sum falls, so all that is left of a row is how many observations
//! came, how they spread over the buckets, and how far the sum is from what they let expect. What does not fit is
//! packed column by column. `src/docs/format.md` has the bytes.

mod cells;
mod decode;
mod encode;
mod exception;
mod fit;
mod header;
mod model;
mod sum;
#[cfg(test)]
mod tests;

use super::{Body, BodyKind, FamilyBuffer, Layout, corrupt};
use crate::error::Result;
use crate::model::{SampleBuffer, Window};

/// Which columns a reader needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    All,
    /// Buckets and count; the sums are not decoded and read NaN.
    Counts,
}

/// Cuts rows of one layout into bodies. Every row is in exactly one, in order.
pub(crate) fn encode_family(layout: &Layout, rows: &FamilyBuffer, into: &mut Vec<Body>) {
    encode::bodies(layout, rows, into);
}

/// Appends the rows of a body, whose times are given, to a table that is empty or holds rows of the same layout.
pub(crate) fn decode_family(
    layout: &Layout,
    kind: BodyKind,
    bytes: &[u8],
    times: &[i64],
    wanted: Wanted,
    into: &mut FamilyBuffer,
) -> Result<()> {
    check(kind)?;
    let before = into.times().len();
    if decode::table(layout, kind, bytes, times, wanted, into).is_some() {
        return Ok(());
    }
    into.truncate(before);
    Err(corrupt("rows of a histogram do not decode"))
}

/// Appends the samples of one column of a body inside the window.
pub(crate) fn decode_family_column(
    layout: &Layout,
    kind: BodyKind,
    bytes: &[u8],
    times: &[i64],
    column: usize,
    window: Window,
    into: &mut SampleBuffer,
) -> Result<()> {
    check(kind)?;
    decode::column(layout, kind, bytes, times, column, window, into)
        .ok_or_else(|| corrupt("a column of a histogram does not decode"))
}

fn check(kind: BodyKind) -> Result<()> {
    match kind {
        BodyKind::Family | BodyKind::FamilyConstant | BodyKind::RawColumns => Ok(()),
        _ => Err(corrupt("it holds a series where a histogram is expected")),
    }
}
