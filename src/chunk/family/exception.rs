//! Columns of rows that have no value, or a stale marker, in a body that has one for every column of every row.
//!
//! ```text
//! runs    how many varint, then for each:
//! rows    between the last run and this one varint, of this one varint
//! what    u8: bit 0 the absent columns follow, bit 1 the stale ones; bit 2 all columns are stale and nothing follows
//! masks   for each that follows: a bit for each column, low bits first, filled up to a byte
//! ```

use crate::chunk::FamilyBuffer;
use crate::codec::varint;
use crate::model::{SampleBuffer, is_stale, stale_marker};
use std::ops::Range;

const ABSENT: u8 = 1;
const STALE: u8 = 2;
const ALL_STALE: u8 = 4;

/// A run of rows with the same exceptions.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Exception {
    /// Within the body.
    rows: Range<usize>,
    absent: Vec<u8>,
    stale: Vec<u8>,
}

/// The exceptions in `rows` of a table; `stale_too`: stale markers are exceptions, not values.
pub(super) fn find(table: &FamilyBuffer, rows: Range<usize>, stale_too: bool) -> Vec<Exception> {
    let mut found: Vec<Exception> = Vec::new();
    for (row, place) in rows.zip(0_usize..) {
        let mut odd = false;
        let mut masks = [Vec::new(), Vec::new()];
        for (column, value) in table.row(row).iter().enumerate() {
            let absent = !table.has(row, column);
            let stale = !absent && stale_too && is_stale(*value);
            for (mask, set) in masks.iter_mut().zip([absent, stale]) {
                if set {
                    odd = true;
                    mask.resize(table.width().div_ceil(8), 0_u8);
                    if let Some(byte) = mask.get_mut(column / 8) {
                        *byte |= 1 << (column % 8);
                    }
                }
            }
        }
        if !odd {
            continue;
        }
        let [absent, stale] = masks;
        match found.last_mut() {
            Some(last) if last.rows.end == place && last.absent == absent && last.stale == stale => {
                last.rows.end = place.saturating_add(1);
            }
            _ => found.push(Exception { rows: place..place.saturating_add(1), absent, stale }),
        }
    }
    found
}

/// Appends exceptions of rows with `width` columns.
pub(super) fn put(into: &mut Vec<u8>, exceptions: &[Exception], width: usize) {
    varint::put(into, exceptions.len() as u64);
    let mut end = 0;
    for exception in exceptions {
        varint::put(into, exception.rows.start.saturating_sub(end) as u64);
        varint::put(into, exception.rows.len() as u64);
        end = exception.rows.end;
        let has_absent = if exception.absent.is_empty() { 0 } else { ABSENT };
        let has_stale = if exception.stale.is_empty() { 0 } else { STALE };
        if has_absent == 0 && exception.stale == all_columns(width) {
            into.push(ALL_STALE);
        } else {
            into.push(has_absent | has_stale);
            into.extend_from_slice(&exception.absent);
            into.extend_from_slice(&exception.stale);
        }
    }
}

/// Reads exceptions of `rows` rows with `width` columns. `None`: they are damaged.
pub(super) fn take(bytes: &mut &[u8], rows: usize, width: usize) -> Option<Vec<Exception>> {
    let count = usize::try_from(varint::take(bytes)?).ok()?;
    if count > rows || count > bytes.len() / 3 {
        return None;
    }
    let mut exceptions = Vec::with_capacity(count);
    let mut end = 0_usize;
    for _ in 0..count {
        let start = end.checked_add(usize::try_from(varint::take(bytes)?).ok()?)?;
        end = start.checked_add(usize::try_from(varint::take(bytes)?).ok()?)?;
        if end > rows {
            return None;
        }
        let (what, rest) = bytes.split_first()?;
        *bytes = rest;
        if *what == 0 || *what > ALL_STALE {
            return None;
        }
        let mut mask = |bit: u8| {
            if what & bit == 0 {
                return Some(Vec::new());
            }
            let (mask, rest) = bytes.split_at_checked(width.div_ceil(8))?;
            *bytes = rest;
            Some(mask.to_vec())
        };
        let (absent, mut stale) = (mask(ABSENT)?, mask(STALE)?);
        if *what == ALL_STALE {
            stale = all_columns(width);
        }
        exceptions.push(Exception { rows: start..end, absent, stale });
    }
    Some(exceptions)
}

fn all_columns(width: usize) -> Vec<u8> {
    let mut mask = vec![0_u8; width.div_ceil(8)];
    (0..width).for_each(|column| {
        if let Some(byte) = mask.get_mut(column / 8) {
            *byte |= 1 << (column % 8);
        }
    });
    mask
}

fn has(mask: &[u8], column: usize) -> bool {
    mask.get(column / 8).is_some_and(|byte| (byte >> (column % 8)) & 1 == 1)
}

/// Puts exceptions over the rows of a table from `from` on.
pub(super) fn apply(exceptions: &[Exception], table: &mut FamilyBuffer, from: usize) {
    for exception in exceptions {
        for row in exception.rows.clone() {
            let row = from.saturating_add(row);
            for column in 0..table.width() {
                if has(&exception.absent, column) {
                    table.set_absent(row, column);
                } else if has(&exception.stale, column) {
                    table.set(row, column, stale_marker());
                }
            }
        }
    }
}

/// Appends the values of one column, those of `rows` of the body, as its exceptions have them.
pub(super) fn push_column(
    exceptions: &[Exception],
    column: usize,
    times: &[i64],
    values: &mut [f64],
    rows: Range<usize>,
    into: &mut SampleBuffer,
) {
    let mut done = rows.start;
    for exception in exceptions {
        let odd = exception.rows.start.max(done)..exception.rows.end.min(rows.end);
        if odd.is_empty() {
            continue;
        }
        if has(&exception.absent, column) {
            push(times, values, done..odd.start, into);
            done = odd.end;
        } else if has(&exception.stale, column) {
            values.get_mut(odd).unwrap_or_default().fill(stale_marker());
        }
    }
    push(times, values, done..rows.end, into);
}

fn push(times: &[i64], values: &[f64], rows: Range<usize>, into: &mut SampleBuffer) {
    into.times.extend_from_slice(times.get(rows.clone()).unwrap_or_default());
    into.values.extend_from_slice(values.get(rows).unwrap_or_default());
    if !into.starts.is_empty() {
        into.starts.resize(into.times.len(), 0);
    }
}
