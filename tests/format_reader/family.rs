//! Bodies of histograms.

use super::body::floats;
use super::rans;
use super::tables::Layout;
use super::{Cursor, Read};

const STALE: u64 = 0x7ff0_0000_0000_0002;

/// Rows of columns; a column may have no value.
pub(crate) type Rows = Vec<Vec<Option<u64>>>;

struct Exception {
    rows: std::ops::Range<usize>,
    absent: Vec<bool>,
    stale: Vec<bool>,
}

fn exceptions(cursor: &mut Cursor<'_>, rows: usize, width: usize) -> Read<Vec<Exception>> {
    let (mut found, mut end) = (Vec::new(), 0_usize);
    for _ in 0..cursor.varint()? {
        let start = end.checked_add(cursor.size()?).ok_or("a row overflows")?;
        end = start.checked_add(cursor.size()?).filter(|end| *end <= rows).ok_or("rows behind the end")?;
        let how = cursor.u8()?;
        let (mut absent, mut stale) = (vec![false; width], vec![how == 4; width]);
        if how > 4 {
            return Err("no such exception".into());
        }
        if how & 1 == 1 {
            absent = cursor.mask(width)?;
        }
        if how & 2 == 2 {
            stale = cursor.mask(width)?;
        }
        found.push(Exception { rows: start..end, absent, stale });
    }
    Ok(found)
}

fn with_exceptions(columns: Vec<Vec<u64>>, exceptions: &[Exception], rows: usize) -> Rows {
    let mut table: Rows =
        (0..rows).map(|row| columns.iter().map(|column| Some(column[row])).collect()).collect();
    for exception in exceptions {
        for row in &mut table[exception.rows.clone()] {
            for (column, value) in row.iter_mut().enumerate() {
                if exception.stale[column] {
                    *value = Some(STALE);
                }
                if exception.absent[column] {
                    *value = None;
                }
            }
        }
    }
    table
}

/// A column as a body of its own.
fn column(cursor: &mut Cursor<'_>, rows: usize) -> Read<Vec<u64>> {
    let (kind, length) = (cursor.u8()?, cursor.size()?);
    floats(kind, cursor.take(length)?, rows)
}

fn bucket_mask(cursor: &mut Cursor<'_>, buckets: usize) -> Read<Vec<bool>> {
    if buckets > 56 {
        return cursor.mask(buckets);
    }
    let mask = cursor.varint()?;
    Ok((0..buckets).map(|bit| mask >> bit & 1 == 1).collect())
}

fn numbers(cursor: &mut Cursor<'_>, buckets: usize) -> Read<Vec<u64>> {
    let mask = bucket_mask(cursor, buckets)?;
    mask.into_iter().map(|there| if there { cursor.varint() } else { Ok(0) }).collect()
}

pub(crate) fn rows(kind: u8, bytes: &[u8], rows: usize, layout: &Layout) -> Read<Rows> {
    let mut cursor = Cursor::new(bytes);
    let width = layout.columns.len();
    if kind == 4 {
        let exceptions = exceptions(&mut cursor, rows, width)?;
        let columns = (0..width).map(|_| column(&mut cursor, rows)).collect::<Read<_>>()?;
        cursor.end()?;
        return Ok(with_exceptions(columns, &exceptions, rows));
    }
    let flags = cursor.u8()?;
    let (sum_kind, count_apart, q) = (flags & 3, flags & 4 != 0, u32::from(flags >> 4));
    let exceptions = if flags & 8 != 0 { exceptions(&mut cursor, rows, width)? } else { Vec::new() };
    let buckets = layout.buckets();
    let base = numbers(&mut cursor, buckets)?;
    let is_model = kind == 2;
    let has_sum = sum_kind == 1 || sum_kind == 2;
    let totals = if is_model { numbers(&mut cursor, buckets)? } else { vec![0; buckets] };
    let mut means = vec![0; buckets];
    if is_model && has_sum {
        for (mean, _) in means.iter_mut().zip(&totals).filter(|(_, total)| **total > 0) {
            *mean = cursor.u8()?;
        }
    }
    let first_sum = if has_sum { cursor.u64()? } else { 0 };
    let last_sum = if has_sum && is_model { cursor.u64()? } else { first_sum };
    let count = if count_apart { Some(column(&mut cursor, rows)?) } else { None };
    let sum = if sum_kind == 3 { Some(column(&mut cursor, rows)?) } else { None };
    let mut own = vec![base.clone(); rows];
    let mut sums = vec![first_sum; rows];
    if is_model {
        let setup = rans::Setup { bounds: &layout.bounds, totals: &totals, means: &means, rows, sum_kind, q };
        let increments = rans::decode(&mut cursor, &setup, first_sum, last_sum)?;
        for (row, (increment, sum)) in increments.into_iter().enumerate() {
            let row = row + 1;
            own[row] = own[row - 1].iter().zip(increment).map(|(a, b)| a.wrapping_add(b)).collect();
            sums[row] = sum;
        }
    }
    cursor.end()?;
    let mut columns: Vec<Vec<u64>> = Vec::new();
    for bucket in 0..buckets {
        let value = |own: &Vec<u64>| (own[..=bucket].iter().sum::<u64>() as f64).to_bits();
        columns.push(own.iter().map(value).collect());
    }
    if layout.has_count() {
        let last = columns.last().cloned();
        columns.push(count.or(last).ok_or("a count without buckets")?);
    }
    if layout.has_sum() {
        columns.push(sum.unwrap_or(sums));
    }
    if columns.len() != width {
        return Err("other columns than the layout's".into());
    }
    Ok(with_exceptions(columns, &exceptions, rows))
}
