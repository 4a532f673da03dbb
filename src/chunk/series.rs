//! Samples of one series, sealed.
//!
//! ```text
//! columns (kind 5)
//! histograms   how many varint, for each: rows since the one before (first: since row 0) varint
//! floats       column: kind u8, length varint, body; the rows without a histogram
//! starts       how many runs varint, for each: rows varint, start time varint zigzag to the run before (first: to 0);
//!              none at all: no start is known; they cover all rows
//! values       for each histogram: u8 0 and the histogram, or 1: the same as the one before
//! ```

use std::sync::Arc;

use super::{Body, BodyKind, corrupt};
use crate::codec::histogram::{put_histogram, take_histogram};
use crate::codec::{packed, varint, xor};
use crate::error::Result;
use crate::model::{NativeHistogram, SampleBuffer, Window};

/// Bytes a value from which a packed column is not worth trying to beat by bit patterns.
const XOR_FROM: usize = 2;

/// Samples of one series as a body.
pub(crate) fn encode_series(samples: &SampleBuffer) -> Body {
    let rows = 0..samples.len();
    if samples.histograms.is_empty() && samples.starts.iter().all(|start| *start == 0) {
        let (kind, bytes) = encode_values(&samples.values);
        return Body { kind, rows, bytes };
    }
    Body { kind: BodyKind::Columns, rows, bytes: encode_columns(samples) }
}

/// Appends the samples of a body, whose times are given, that lie inside the window.
pub(crate) fn decode_series(
    kind: BodyKind,
    bytes: &[u8],
    times: &[i64],
    window: Window,
    into: &mut SampleBuffer,
) -> Result<()> {
    let start = times.partition_point(|time| *time <= window.after.as_millis());
    let end = times.partition_point(|time| *time <= window.until.as_millis());
    if start >= end {
        return Ok(());
    }
    let (floats, histograms) = (into.times.len(), into.histograms.len());
    let done = match kind {
        BodyKind::Columns => decode_columns(bytes, times, start..end, into),
        _ => decode_floats(kind, bytes, times, start..end, into),
    };
    if done.is_some() {
        return Ok(());
    }
    into.times.truncate(floats);
    into.values.truncate(floats);
    into.starts.truncate(floats);
    into.histograms.truncate(histograms);
    Err(corrupt("samples of a series do not decode"))
}

fn decode_floats(
    kind: BodyKind,
    bytes: &[u8],
    times: &[i64],
    rows: std::ops::Range<usize>,
    into: &mut SampleBuffer,
) -> Option<()> {
    let from = into.values.len();
    decode_values(kind, bytes, times.len(), &mut into.values)?;
    into.values.truncate(from.saturating_add(rows.end));
    into.values.drain(from..from.saturating_add(rows.start));
    into.times.extend_from_slice(times.get(rows)?);
    if !into.starts.is_empty() {
        into.starts.resize(into.times.len(), 0);
    }
    Some(())
}

/// A column of floats, as whichever is shorter.
pub(super) fn encode_values(values: &[f64]) -> (BodyKind, Vec<u8>) {
    let bytes = packed::pack(values);
    if bytes.len() > values.len().saturating_mul(XOR_FROM) {
        let xor = xor::put_values(values);
        if xor.len() < bytes.len() {
            return (BodyKind::Xor, xor);
        }
    }
    (BodyKind::Packed, bytes)
}

/// Appends the values of a column. `None`: it is damaged; what was appended is of no use.
pub(super) fn decode_values(kind: BodyKind, bytes: &[u8], rows: usize, into: &mut Vec<f64>) -> Option<()> {
    match kind {
        BodyKind::Packed => packed::unpack_into(bytes, rows, into),
        BodyKind::Xor => xor::take_values(bytes, rows, into),
        _ => None,
    }
}

/// Floats and histograms of a buffer in time order: whether it is a histogram, and its start.
fn merged(samples: &SampleBuffer) -> impl Iterator<Item = (bool, i64)> {
    let starts = samples.starts.iter().copied().chain(std::iter::repeat(0));
    let mut floats = samples.times.iter().zip(starts).peekable();
    let mut histograms = samples.histograms.iter().peekable();
    std::iter::from_fn(move || {
        let first = match (floats.peek(), histograms.peek()) {
            (Some((float, _)), Some((histogram, ..))) => histogram < *float,
            (_, histogram) => histogram.is_some(),
        };
        if first {
            histograms.next().map(|(_, _, start)| (true, *start))
        } else {
            floats.next().map(|(_, start)| (false, start))
        }
    })
}

fn encode_columns(samples: &SampleBuffer) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint::put(&mut bytes, samples.histograms.len() as u64);
    let mut since = 0_u64;
    let places = merged(samples).zip(0_u64..).filter(|((histogram, _), _)| *histogram).map(|(_, row)| row);
    for row in places {
        varint::put(&mut bytes, row.saturating_sub(since));
        since = row;
    }
    let (kind, floats) = encode_values(&samples.values);
    bytes.push(kind as u8);
    varint::put(&mut bytes, floats.len() as u64);
    bytes.extend_from_slice(&floats);
    let mut runs: Vec<(u64, i64)> = Vec::new();
    for (_, start) in merged(samples) {
        match runs.last_mut() {
            Some((rows, last)) if *last == start => *rows = rows.saturating_add(1),
            _ => runs.push((1, start)),
        }
    }
    if matches!(runs.as_slice(), [(_, 0)]) {
        runs.clear();
    }
    varint::put(&mut bytes, runs.len() as u64);
    let mut last = 0;
    for (rows, start) in runs {
        varint::put(&mut bytes, rows);
        varint::put_signed(&mut bytes, start.wrapping_sub(last));
        last = start;
    }
    let mut before: Option<&NativeHistogram> = None;
    for (_, histogram, _) in &samples.histograms {
        if before.is_some_and(|before| before.same_bits(histogram)) {
            bytes.push(1);
        } else {
            bytes.push(0);
            put_histogram(&mut bytes, histogram);
        }
        before = Some(histogram);
    }
    bytes
}

fn decode_columns(
    mut bytes: &[u8],
    times: &[i64],
    rows: std::ops::Range<usize>,
    into: &mut SampleBuffer,
) -> Option<()> {
    let bytes = &mut bytes;
    let count = take_length(bytes, times.len())?;
    let mut places = Vec::with_capacity(count);
    let mut row = 0_usize;
    for index in 0..count {
        let more = usize::try_from(varint::take(bytes)?).ok()?;
        row = row.checked_add(more)?;
        if row >= times.len() || (index > 0 && more == 0) {
            return None;
        }
        places.push(row);
    }
    let (kind, rest) = bytes.split_first()?;
    *bytes = rest;
    let length = usize::try_from(varint::take(bytes)?).ok()?;
    let (floats, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    let mut values = Vec::new();
    let kind = BodyKind::try_from(*kind).ok()?;
    decode_values(kind, floats, times.len().checked_sub(count)?, &mut values)?;
    let starts = take_starts(bytes, times.len())?;
    let start_of = |row: usize| starts.get(row).copied().unwrap_or(0);
    let (mut values, mut places) = (values.into_iter(), places.into_iter().peekable());
    let mut before: Option<Arc<NativeHistogram>> = None;
    for (row, time) in times.iter().enumerate() {
        let inside = rows.contains(&row);
        if places.next_if_eq(&row).is_none() {
            let value = values.next()?;
            if inside {
                into.push_float(*time, value, start_of(row));
            }
            continue;
        }
        let (repeats, rest) = bytes.split_first()?;
        *bytes = rest;
        let histogram = match repeats {
            0 => Arc::new(take_histogram(bytes)?),
            1 => before.take()?,
            _ => return None,
        };
        if inside {
            into.histograms.push((*time, histogram.clone(), start_of(row)));
        }
        before = Some(histogram);
    }
    bytes.is_empty().then_some(())
}

/// A number of things of at least a byte each, at most `most`.
fn take_length(bytes: &mut &[u8], most: usize) -> Option<usize> {
    let length = usize::try_from(varint::take(bytes)?).ok()?;
    (length <= most && length <= bytes.len()).then_some(length)
}

fn take_starts(bytes: &mut &[u8], rows: usize) -> Option<Vec<i64>> {
    let runs = take_length(bytes, rows)?;
    let (mut starts, mut last) = (Vec::new(), 0_i64);
    for _ in 0..runs {
        let length = starts.len().checked_add(usize::try_from(varint::take(bytes)?).ok()?)?;
        if length > rows {
            return None;
        }
        last = last.wrapping_add(varint::take_signed(bytes)?);
        starts.resize(length, last);
    }
    (runs == 0 || starts.len() == rows).then_some(starts)
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use super::*;
    use crate::chunk::law::assert_samples_come_back;
    use crate::codec::histogram::tests::any_histogram;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn floats_and_histograms_come_back(
            samples in vec(
                (
                    1_i64..100_000,
                    prop_oneof![
                        3 => (0_u64..100).prop_map(|count| (Some(count as f64), None)),
                        1 => any::<u64>().prop_map(|bits| (Some(f64::from_bits(bits)), None)),
                        2 => any_histogram().prop_map(|histogram| (None, Some(Arc::new(histogram)))),
                    ],
                    prop_oneof![2 => Just(0_i64), 1 => Just(5), 1 => any::<i64>()],
                ),
                0..40,
            ),
            with_starts: bool,
            only_floats: bool,
        ) {
            let (mut buffer, mut time) = (SampleBuffer::default(), -1000);
            for (step, value, start) in samples {
                time += step;
                let start = if with_starts { start } else { 0 };
                match value {
                    (Some(value), _) => buffer.push_float(time, value, start),
                    (None, Some(histogram)) if !only_floats => {
                        buffer.histograms.push((time, histogram.clone(), start));
                        time += 1;
                        buffer.histograms.push((time, histogram, start));
                    }
                    _ => {}
                }
            }
            assert_samples_come_back(&buffer);
        }
    }

    #[test]
    fn floats_that_no_integers_fit_are_xor_coded() {
        let (mut buffer, mut bits) = (SampleBuffer::default(), 1_u64);
        for time in 0..100 {
            bits = bits.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            // Every other value is the one before.
            let low =
                if time % 2 == 0 { bits >> 24 | 1 << 39 } else { buffer.values.last().unwrap().to_bits() };
            buffer.push_float(time, f64::from_bits(0x3ff1_2300_0000_0000 | low), 0);
        }
        assert_samples_come_back(&buffer);
        assert_eq!(encode_series(&buffer).kind, BodyKind::Xor);
    }
}
