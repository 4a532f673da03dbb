//! What stands before the coded rows of a family body.
//!
//! ```text
//! flags        u8      bits 0-1 sum: 0 none, 1 decimal, 2 bit pattern, 3 a column of its own
//!                      bit 2 the count is a column of its own; bit 3 exceptions; bits 4-7 q of a decimal sum
//! exceptions   if bit 3
//! base mask    buckets that are not 0 in the first row: varint up to 56 buckets, else bytes, low bits first
//! base         for each of them varint: the first row, each bucket less the one below it
//! total mask   buckets that count between first and last row                      family only
//! totals       for each of them varint: what they count                           family only
//! means        for each of them u8, if sum is 1 or 2                              family only
//! first sum    8 bytes, if sum is 1 or 2
//! last sum     8 bytes, if sum is 1 or 2                                          family only
//! count        column, if bit 2          column: kind u8, length varint, body of that kind
//! sum          column, if sum is 3
//! scales       rounding i8, gain i8 (if sum is 1 or 2), spread u8, idle u8        family only
//! lengths      of coded counts, raw counts, coded sums (if sum is 1 or 2) varint  family only
//! streams      coded counts, raw counts, coded sums, raw sums: what is left       family only
//! ```

use super::exception::{self, Exception};
use super::model::{MOST_BUCKETS, MOST_COUNT, Scales};
use super::sum::SumForm;
use crate::chunk::BodyKind;
use crate::codec::varint;

/// Buckets up to which a mask is a varint.
const VARINT_BUCKETS: usize = 56;

const SUM_DECIMAL: u8 = 1;
const SUM_PATTERN: u8 = 2;
const SUM_COLUMN: u8 = 3;
const COUNT_COLUMN: u8 = 4;
const EXCEPTIONS: u8 = 8;

/// A column that has a body of its own.
#[derive(Clone, Debug)]
pub(super) struct ColumnBody<B> {
    pub(super) kind: BodyKind,
    pub(super) bytes: B,
}

/// Where the sum is.
#[derive(Clone, Debug)]
pub(super) enum Sum<B> {
    None,
    /// Among the coded rows, with the first sum.
    Coded(SumForm, f64),
    Column(ColumnBody<B>),
}

/// The coded rows after the first.
#[derive(Clone, Debug)]
pub(super) struct Rows<B> {
    /// By bucket.
    pub(super) totals: Vec<u64>,
    /// By bucket that counts; empty without a coded sum.
    pub(super) means: Vec<u8>,
    pub(super) last_sum: f64,
    pub(super) scales: Scales,
    /// Coded counts, raw counts, coded sums, raw sums.
    pub(super) streams: [B; 4],
}

/// A family body in parts.
#[derive(Clone, Debug)]
pub(super) struct Header<B> {
    pub(super) exceptions: Vec<Exception>,
    /// By bucket.
    pub(super) base: Vec<u64>,
    pub(super) count: Option<ColumnBody<B>>,
    pub(super) sum: Sum<B>,
    /// `None`: the body is constant.
    pub(super) rows: Option<Rows<B>>,
}

impl<B: AsRef<[u8]>> Header<B> {
    /// The body of rows with `width` columns.
    pub(super) fn to_bytes(&self, width: usize) -> Vec<u8> {
        let mut into = Vec::with_capacity(64);
        let sum = match &self.sum {
            Sum::None => 0,
            Sum::Coded(SumForm::Decimal(q), _) => SUM_DECIMAL | (q << 4),
            Sum::Coded(SumForm::Pattern, _) => SUM_PATTERN,
            Sum::Column(_) => SUM_COLUMN,
        };
        let count = if self.count.is_some() { COUNT_COLUMN } else { 0 };
        let exceptions = if self.exceptions.is_empty() { 0 } else { EXCEPTIONS };
        into.push(sum | count | exceptions);
        if !self.exceptions.is_empty() {
            exception::put(&mut into, &self.exceptions, width);
        }
        put_sparse(&mut into, &self.base);
        if let Some(rows) = &self.rows {
            put_sparse(&mut into, &rows.totals);
            into.extend_from_slice(&rows.means);
        }
        if let Sum::Coded(_, first) = &self.sum {
            into.extend_from_slice(&first.to_le_bytes());
            if let Some(rows) = &self.rows {
                into.extend_from_slice(&rows.last_sum.to_le_bytes());
            }
        }
        if let Some(count) = &self.count {
            put_column(&mut into, count);
        }
        if let Sum::Column(sum) = &self.sum {
            put_column(&mut into, sum);
        }
        if let Some(rows) = &self.rows {
            let coded_sum = matches!(self.sum, Sum::Coded(..));
            if coded_sum {
                into.extend([rows.scales.rounding as u8, rows.scales.gain as u8]);
            }
            into.extend([rows.scales.spread, rows.scales.idle]);
            for stream in rows.streams.iter().take(if coded_sum { 3 } else { 2 }) {
                varint::put(&mut into, stream.as_ref().len() as u64);
            }
            rows.streams.iter().for_each(|stream| into.extend_from_slice(stream.as_ref()));
        }
        into
    }
}

impl<'a> Header<&'a [u8]> {
    /// A body of `rows` rows with `buckets` buckets and `width` columns. `None`: it is damaged.
    pub(super) fn parse(
        constant: bool,
        bytes: &'a [u8],
        rows: usize,
        buckets: usize,
        width: usize,
    ) -> Option<Self> {
        if buckets > MOST_BUCKETS {
            return None;
        }
        let (flags, mut rest) = bytes.split_first()?;
        let bytes = &mut rest;
        let q = flags >> 4;
        if q > 9 || (q != 0 && flags & 3 != SUM_DECIMAL) {
            return None;
        }
        let exceptions =
            if flags & EXCEPTIONS == 0 { Vec::new() } else { exception::take(bytes, rows, width)? };
        let base = take_sparse(bytes, buckets)?;
        let coded_sum = matches!(flags & 3, SUM_DECIMAL | SUM_PATTERN);
        let (mut totals, mut means) = (Vec::new(), Vec::new());
        if !constant {
            totals = take_sparse(bytes, buckets)?;
            if coded_sum {
                let counting = totals.iter().filter(|total| **total > 0).count();
                means = take_slice(bytes, counting)?.to_vec();
            }
        }
        let all = base.iter().chain(&totals).try_fold(0_u64, |all, count| all.checked_add(*count))?;
        if all > MOST_COUNT {
            return None;
        }
        let first_sum = if coded_sum { take_float(bytes)? } else { 0.0 };
        let last_sum = if coded_sum && !constant { take_float(bytes)? } else { 0.0 };
        let count = if flags & COUNT_COLUMN == 0 { None } else { Some(take_column(bytes)?) };
        let sum = match flags & 3 {
            SUM_DECIMAL => Sum::Coded(SumForm::Decimal(q), first_sum),
            SUM_PATTERN => Sum::Coded(SumForm::Pattern, first_sum),
            SUM_COLUMN => Sum::Column(take_column(bytes)?),
            _ => Sum::None,
        };
        let rows = if constant {
            if !bytes.is_empty() {
                return None;
            }
            None
        } else {
            let mut byte = || take_slice(bytes, 1)?.first().copied();
            let (rounding, gain) =
                if coded_sum { (byte()?.cast_signed(), byte()?.cast_signed()) } else { (0, 0) };
            let scales = Scales { rounding, gain, spread: byte()?, idle: byte()? };
            let mut length = || usize::try_from(varint::take(bytes)?).ok();
            let lengths = [length()?, length()?, if coded_sum { length()? } else { 0 }];
            let [counts, raw_counts, sums] = lengths;
            let counts = take_slice(bytes, counts)?;
            let raw_counts = take_slice(bytes, raw_counts)?;
            let sums = take_slice(bytes, sums)?;
            Some(Rows { totals, means, last_sum, scales, streams: [counts, raw_counts, sums, bytes] })
        };
        Some(Self { exceptions, base, count, sum, rows })
    }
}

fn put_sparse(into: &mut Vec<u8>, counts: &[u64]) {
    if counts.len() <= VARINT_BUCKETS {
        let mask = counts.iter().rev().fold(0_u64, |mask, count| (mask << 1) | u64::from(*count > 0));
        varint::put(into, mask);
    } else {
        into.extend(
            counts.chunks(8).map(|counts| {
                counts.iter().rev().fold(0_u8, |mask, count| (mask << 1) | u8::from(*count > 0))
            }),
        );
    }
    counts.iter().filter(|count| **count > 0).for_each(|count| varint::put(into, *count));
}

fn take_sparse(bytes: &mut &[u8], buckets: usize) -> Option<Vec<u64>> {
    let varint_mask;
    let mask = if buckets <= VARINT_BUCKETS {
        varint_mask = varint::take(bytes)?.to_le_bytes();
        varint_mask.as_slice()
    } else {
        take_slice(bytes, buckets.div_ceil(8))?
    };
    let mut counts = vec![0; buckets];
    for (counts, mask) in counts.chunks_mut(8).zip(mask) {
        for (bit, count) in counts.iter_mut().enumerate() {
            if (mask >> bit) & 1 == 1 {
                *count = varint::take(bytes)?;
            }
        }
    }
    Some(counts)
}

fn put_column(into: &mut Vec<u8>, column: &ColumnBody<impl AsRef<[u8]>>) {
    into.push(column.kind as u8);
    varint::put(into, column.bytes.as_ref().len() as u64);
    into.extend_from_slice(column.bytes.as_ref());
}

pub(super) fn take_column<'a>(bytes: &mut &'a [u8]) -> Option<ColumnBody<&'a [u8]>> {
    let kind = BodyKind::try_from(*take_slice(bytes, 1)?.first()?).ok()?;
    let length = usize::try_from(varint::take(bytes)?).ok()?;
    Some(ColumnBody { kind, bytes: take_slice(bytes, length)? })
}

fn take_slice<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (slice, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(slice)
}

fn take_float(bytes: &mut &[u8]) -> Option<f64> {
    let (float, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    Some(f64::from_le_bytes(*float))
}
