//! Rows of a family out of the bytes of a body.

use super::Wanted;
use super::exception::{self, Exception};
use super::header::{Header, Rows, Sum, take_column};
use super::model::{CountModel, SumModel, spans};
use super::sum::SumForm;
use crate::chunk::series::decode_values;
use crate::chunk::{BodyKind, FamilyBuffer, Layout};
use crate::codec::probability::tables;
use crate::codec::rans::Decoder;
use crate::model::{SampleBuffer, Window};

/// Appends the rows of a body. `None`: it is damaged; what was appended is of no use.
pub(super) fn table(
    layout: &Layout,
    kind: BodyKind,
    bytes: &[u8],
    times: &[i64],
    wanted: Wanted,
    into: &mut FamilyBuffer,
) -> Option<()> {
    let from = into.times().len();
    let (buckets, width) = (layout.bounds().len(), layout.width());
    if kind == BodyKind::RawColumns {
        let unread = if wanted == Wanted::Counts { layout.sum_column() } else { None };
        return raw_table(bytes, times, width, unread, into);
    }
    let header = Header::parse(kind == BodyKind::FamilyConstant, bytes, times.len(), buckets, width)?;
    let (has_count, has_sum) = (layout.count_column().is_some(), layout.sum_column().is_some());
    if has_sum == matches!(header.sum, Sum::None) || (header.count.is_some() && !has_count) {
        return None;
    }
    if times.is_empty() {
        return Some(());
    }
    let values = into.extend_rows(times, width);
    let mut current = Vec::with_capacity(width);
    let mut total = 0_u64;
    current.extend(header.base.iter().map(|count| {
        total = total.wrapping_add(*count);
        total as f64
    }));
    if has_count {
        current.push(total as f64);
    }
    if has_sum {
        current.push(match &header.sum {
            Sum::Coded(_, first) if wanted == Wanted::All => *first,
            _ => f64::NAN,
        });
    }
    match (&header.rows, &header.sum) {
        (None, _) => values.chunks_exact_mut(width.max(1)).for_each(|row| row.copy_from_slice(&current)),
        (Some(rows), Sum::Coded(form, first)) if wanted == Wanted::All => {
            let sums = Some((*form, *first));
            fill(layout, rows, sums, times.len(), (has_count, true), &mut current, values)?;
        }
        (Some(rows), _) => {
            fill(layout, rows, None, times.len(), (has_count, false), &mut current, values)?;
        }
    }
    if let Some(count) = &header.count {
        fill_column(count.kind, count.bytes, width, buckets, values)?;
    }
    if let (Sum::Column(sum), Wanted::All) = (&header.sum, wanted) {
        fill_column(sum.kind, sum.bytes, width, width.checked_sub(1)?, values)?;
    }
    exception::apply(&header.exceptions, into, from);
    Some(())
}

/// Writes the rows after the first into a table.
fn fill(
    layout: &Layout,
    rows: &Rows<&[u8]>,
    sums: Option<(SumForm, f64)>,
    count: usize,
    (has_count, has_sum): (bool, bool),
    current: &mut [f64],
    values: &mut [f64],
) -> Option<()> {
    let buckets = layout.bounds().len();
    let mut increments = vec![0_u64; buckets];
    let mut out = values.chunks_exact_mut(current.len().max(1));
    out.next()?.copy_from_slice(current);
    walk(layout, rows, sums, count, |order, counts, sum| {
        let row = out.next()?;
        if !counts.is_empty() {
            increments.fill(0);
            for (bucket, count) in order.iter().zip(counts) {
                *increments.get_mut(usize::from(*bucket))? = *count;
            }
            let mut more = 0_u64;
            for ((value, out), increment) in current.iter_mut().zip(&mut *row).zip(&increments) {
                more = more.wrapping_add(*increment);
                *value += more as i64 as f64;
                *out = *value;
            }
            // The count, as the last bucket, and the sum.
            if has_count {
                *current.get_mut(buckets)? += more as i64 as f64;
            }
            if has_sum {
                *current.last_mut()? = sum;
            }
            row.get_mut(buckets..)?.copy_from_slice(current.get(buckets..)?);
        } else {
            row.copy_from_slice(current);
        }
        Some(())
    })
}

/// Decodes the rows after the first: for each the buckets that count by rank, their counts as far as they are not 0 (none
/// at all if the row has no observation), and the sum.
#[inline(always)]
fn walk(
    layout: &Layout,
    rows: &Rows<&[u8]>,
    sums: Option<(SumForm, f64)>,
    count: usize,
    mut each: impl FnMut(&[u16], &[u64], f64) -> Option<()>,
) -> Option<()> {
    let tables = tables();
    let further = count.checked_sub(1)?;
    let mut counts = CountModel::new(&rows.totals, further, rows.scales)?;
    let order: Vec<u16> = counts.buckets().map(|bucket| bucket as u16).collect();
    let mut buffer = vec![0_u64; order.len()];
    let [coded, raw, coded_sums, raw_sums] = rows.streams;
    let mut coder = Decoder::new(coded, raw)?;
    match sums {
        None => {
            for _ in 0..further {
                let (_, stated) = counts.row(&mut coder, tables, 0, &mut buffer)?;
                each(&order, buffer.get(..stated)?, f64::NAN)?;
            }
        }
        Some((form, first)) => {
            let all = spans(layout.bounds());
            let ordered: Option<Vec<(f64, f64)>> =
                order.iter().map(|bucket| all.get(usize::from(*bucket)).copied()).collect();
            let means = by_rank(&rows.totals, &rows.means, &order)?;
            let mut model = SumModel::new(&ordered?, &means, form.unit(rows.last_sum), rows.scales);
            let mut sum_coder = Decoder::new(coded_sums, raw_sums)?;
            let mut sum = first;
            for _ in 0..further {
                let (total, stated) = counts.row(&mut coder, tables, 0, &mut buffer)?;
                let increments = buffer.get(..stated)?;
                if total > 0 {
                    let (change, rounding) =
                        model.row(&mut sum_coder, tables, (total, increments), (0, 0))?;
                    sum = form.join(sum, change, rounding);
                }
                each(&order, increments, sum)?;
            }
            if !sum_coder.complete() || sum.to_bits() != rows.last_sum.to_bits() {
                return None;
            }
        }
    }
    coder.complete().then_some(())
}

/// What is stated by bucket that counts, in bucket order, in the order of the ranks.
fn by_rank(totals: &[u64], stated: &[u8], order: &[u16]) -> Option<Vec<u8>> {
    let mut by_bucket = vec![0_u8; totals.len()];
    let counting = by_bucket.iter_mut().zip(totals).filter(|(_, total)| **total > 0);
    counting.zip(stated).for_each(|((place, _), stated)| *place = *stated);
    order.iter().map(|bucket| by_bucket.get(usize::from(*bucket)).copied()).collect()
}

fn fill_column(kind: BodyKind, bytes: &[u8], width: usize, column: usize, values: &mut [f64]) -> Option<()> {
    let mut read = Vec::new();
    decode_values(kind, bytes, values.len().checked_div(width)?, &mut read)?;
    for (row, value) in values.chunks_exact_mut(width).zip(read) {
        *row.get_mut(column)? = value;
    }
    Some(())
}

/// The column `unread` reads NaN.
fn raw_table(
    mut bytes: &[u8],
    times: &[i64],
    width: usize,
    unread: Option<usize>,
    into: &mut FamilyBuffer,
) -> Option<()> {
    let from = into.times().len();
    let exceptions = exception::take(&mut bytes, times.len(), width)?;
    let values = into.extend_rows(times, width);
    for column in 0..width {
        let body = take_column(&mut bytes)?;
        if unread == Some(column) {
            values.iter_mut().skip(column).step_by(width).for_each(|value| *value = f64::NAN);
        } else {
            fill_column(body.kind, body.bytes, width, column, values)?;
        }
    }
    exception::apply(&exceptions, into, from);
    bytes.is_empty().then_some(())
}

/// Appends the values of one column inside the window. `None`: the body is damaged.
pub(super) fn column(
    layout: &Layout,
    kind: BodyKind,
    bytes: &[u8],
    times: &[i64],
    column: usize,
    window: Window,
    into: &mut SampleBuffer,
) -> Option<()> {
    let start = times.partition_point(|time| *time <= window.after.as_millis());
    let end = times.partition_point(|time| *time <= window.until.as_millis());
    if start >= end {
        return Some(());
    }
    let mut values = Vec::new();
    let exceptions = column_values(layout, kind, bytes, times.len(), column, &mut values)?;
    exception::push_column(&exceptions, column, times, &mut values, start..end, into);
    Some(())
}

fn column_values(
    layout: &Layout,
    kind: BodyKind,
    mut bytes: &[u8],
    rows: usize,
    column: usize,
    values: &mut Vec<f64>,
) -> Option<Vec<Exception>> {
    let (buckets, width) = (layout.bounds().len(), layout.width());
    if column >= width {
        return None;
    }
    if kind == BodyKind::RawColumns {
        let exceptions = exception::take(&mut bytes, rows, width)?;
        for _ in 0..column {
            take_column(&mut bytes)?;
        }
        let body = take_column(&mut bytes)?;
        decode_values(body.kind, body.bytes, rows, values)?;
        return Some(exceptions);
    }
    let header = Header::parse(kind == BodyKind::FamilyConstant, bytes, rows, buckets, width)?;
    let is_count = layout.count_column() == Some(column);
    if column < buckets || is_count {
        if let (Some(count), true) = (&header.count, is_count) {
            decode_values(count.kind, count.bytes, rows, values)?;
            return Some(header.exceptions);
        }
        let mut value = header.base.iter().take(column.saturating_add(1)).copied().fold(0, u64::wrapping_add);
        values.push(value as f64);
        if let Some(coded) = &header.rows {
            walk(layout, coded, None, rows, |order, counts, _| {
                let below = order.iter().zip(counts).filter(|(bucket, _)| usize::from(**bucket) <= column);
                value = below.fold(value, |value, (_, count)| value.wrapping_add(*count));
                values.push(value as f64);
                Some(())
            })?;
        }
        values.resize(rows, value as f64);
        return Some(header.exceptions);
    }
    match &header.sum {
        Sum::None => return None,
        Sum::Column(sum) => decode_values(sum.kind, sum.bytes, rows, values)?,
        Sum::Coded(form, first) => {
            values.push(*first);
            if let Some(coded) = &header.rows {
                walk(layout, coded, Some((*form, *first)), rows, |_, _, sum| {
                    values.push(sum);
                    Some(())
                })?;
            }
            values.resize(rows, *first);
        }
    }
    Some(header.exceptions)
}
