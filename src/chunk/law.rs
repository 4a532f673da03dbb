//! What holds for the bytes of chunks, for unit tests and the fuzz targets `chunk_decode` and `chunk_roundtrip`.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a law that does not hold stops the test that checks it"
)]

use std::sync::Arc;

use super::{
    Body, BodyKind, Column, FamilyBuffer, FamilyRows, LastRow, Layout, Wanted, decode_family,
    decode_family_column, decode_series, encode_family, encode_series,
};
use crate::codec::histogram::take_histogram;
use crate::codec::times::{put_times, take_times};
use crate::codec::varint;
use crate::codec::xor::{XorDecoder, XorEncoder};
use crate::model::{NativeHistogram, SampleBuffer, Span, Timestamp, Window, stale_marker};

/// Rows are in bodies, each once and in order, and come back from them bit for bit: as a table, without the sums, and
/// column by column.
pub(crate) fn assert_family_comes_back(layout: &Layout, table: &FamilyBuffer) {
    let mut bodies: Vec<Body> = Vec::new();
    encode_family(layout, table, &mut bodies);
    let mut again: Vec<Body> = Vec::new();
    encode_family(layout, table, &mut again);
    assert_eq!(bodies, again, "the same rows are the same bytes");
    let mut read = FamilyBuffer::default();
    let mut counts = FamilyBuffer::default();
    let mut end = 0;
    for body in &bodies {
        assert!(body.rows.start == end && body.rows.end > end, "{:?} after {end}", body.rows);
        end = body.rows.end;
        let times = &table.times()[body.rows.clone()];
        decode_family(layout, body.kind, &body.bytes, times, Wanted::All, &mut read).unwrap();
        decode_family(layout, body.kind, &body.bytes, times, Wanted::Counts, &mut counts).unwrap();
    }
    assert_eq!(end, table.times().len());
    assert_eq!((read.times(), counts.times()), (table.times(), table.times()));
    for row in 0..end {
        for column in 0..layout.width() {
            let there = table.has(row, column);
            assert_eq!((read.has(row, column), counts.has(row, column)), (there, there), "{row} {column}");
            let bits = |table: &FamilyBuffer| table.row(row)[column].to_bits();
            assert!(
                !there || bits(&read) == bits(table),
                "{row} {column}: {:?} {:?}",
                read.row(row),
                table.row(row)
            );
            let counted = layout.sum_column() != Some(column);
            let sum = counts.row(row)[column];
            assert!(!there || counted || sum.is_nan(), "{row} {column}: a sum that was not asked for");
            assert!(!there || !counted || bits(&counts) == bits(table), "{row} {column} of the counts");
        }
    }
    let third = |index: usize| table.times().get(index * end / 3).map_or(0, |time| *time);
    for window in
        [Window::ALL, Window::new(Timestamp::from_millis(third(1)), Timestamp::from_millis(third(2)))]
    {
        // Of a wide layout some buckets; always the first, the count and the sum.
        let width = layout.width();
        let some = (0..width).step_by(width / 16 + 1).chain(width.saturating_sub(2)..width);
        for column in some {
            let mut read = SampleBuffer::default();
            for body in &bodies {
                let times = &table.times()[body.rows.clone()];
                decode_family_column(layout, body.kind, &body.bytes, times, column, window, &mut read)
                    .unwrap();
            }
            let wanted = (0..end)
                .filter(|row| table.has(*row, column))
                .map(|row| (table.times()[row], table.row(row)[column].to_bits()));
            let wanted: Vec<_> = wanted.filter(|(time, _)| inside(window, *time)).collect();
            let read: Vec<_> =
                read.times.into_iter().zip(read.values.into_iter().map(f64::to_bits)).collect();
            assert_eq!(read, wanted, "column {column}");
        }
    }
}

fn inside(window: Window, time: i64) -> bool {
    window.after.as_millis() < time && time <= window.until.as_millis()
}

/// Samples of a series come back from their body bit for bit, and so does any window of them.
pub(crate) fn assert_samples_come_back(samples: &SampleBuffer) {
    let body = encode_series(samples);
    assert_eq!(body, encode_series(samples), "the same samples are the same bytes");
    assert_eq!(body.rows, 0..samples.len());
    let mut times: Vec<i64> = samples.times.clone();
    times.extend(samples.histograms.iter().map(|(time, ..)| *time));
    times.sort_unstable();
    let third = |index: usize| times.get(index * times.len() / 3).map_or(0, |time| *time);
    for window in
        [Window::ALL, Window::new(Timestamp::from_millis(third(1)), Timestamp::from_millis(third(2)))]
    {
        let mut read = SampleBuffer::default();
        decode_series(body.kind, &body.bytes, &times, window, &mut read).unwrap();
        let floats = |samples: &SampleBuffer| -> Vec<(i64, u64, i64)> {
            let floats = samples
                .times
                .iter()
                .zip(&samples.values)
                .zip(samples.starts.iter().copied().chain(std::iter::repeat(0)));
            let floats = floats.map(|((time, value), start)| (*time, value.to_bits(), start));
            floats.filter(|(time, ..)| inside(window, *time)).collect()
        };
        assert_eq!(floats(&read), floats(samples));
        let wanted = samples.histograms.iter().filter(|(time, ..)| inside(window, *time));
        assert!(
            read.histograms
                .iter()
                .map(|(time, _, start)| (time, start))
                .eq(wanted.clone().map(|(time, _, start)| (time, start)))
        );
        assert!(read.histograms.iter().zip(wanted).all(|(read, wanted)| read.1.same_bits(&wanted.1)));
    }
}

/// Any bytes as a body of any kind are as many rows as there are times, or an error that leaves nothing behind.
pub(crate) fn assert_body_decodes(bytes: &[u8]) {
    let [kind, buckets, rows, bytes @ ..] = bytes else { return };
    let Ok(kind) = BodyKind::try_from(kind % 8) else { return };
    let mut columns: Vec<Column> =
        (0..buckets & 63).map(|bound| Column::Bucket(bound.to_string().into())).collect();
    columns.extend((buckets & 64 != 0).then_some(Column::Count));
    columns.extend((buckets & 128 != 0).then_some(Column::Sum));
    let layout = Layout::new(columns);
    let times: Vec<i64> = (0..i64::from(*rows)).collect();
    for wanted in [Wanted::All, Wanted::Counts] {
        let mut table = FamilyBuffer::default();
        let done = decode_family(&layout, kind, bytes, &times, wanted, &mut table).is_ok();
        assert_eq!(table.times().len(), if done { times.len() } else { 0 });
    }
    for column in [0, layout.width() / 2, layout.width().saturating_sub(1)] {
        let mut read = SampleBuffer::default();
        if decode_family_column(&layout, kind, bytes, &times, column, Window::ALL, &mut read).is_ok() {
            assert!(read.len() <= times.len());
        }
    }
    let mut read = SampleBuffer::default();
    let done = decode_series(kind, bytes, &times, Window::ALL, &mut read).is_ok();
    assert_eq!(read.len(), if done { times.len() } else { 0 });
    if let Some(times) = take_times(&mut &*bytes, 100_000) {
        let mut again = Vec::new();
        put_times(&mut again, &times);
        assert_eq!(take_times(&mut again.as_slice(), times.len()), Some(times));
    }
    let _histogram = take_histogram(&mut &*bytes);
}

/// Any bytes are samples or an error, at no greater cost than their length.
pub(crate) fn assert_decodes(bytes: &[u8]) {
    assert_body_decodes(bytes);
    let mut varints = bytes;
    while varint::take(&mut varints).is_some() {}

    let (Some((buckets, rest)), Some(length)) = (bytes.split_first(), bytes.len().checked_mul(8)) else {
        return;
    };
    let mut decoder = XorDecoder::new(rest, u32::MAX);
    let decoded = decoder.by_ref().count();
    // 128 bits for the first sample, two at least for a further one.
    assert!(decoded.saturating_sub(1) <= length / 2, "{decoded} samples in {length} bits");

    let layout = layout(usize::from(*buckets));
    let mut rows = FamilyRows::new(layout.clone(), None);
    let mut body = Vec::new();
    LastRow::default().put(&layout, &vec![0.0; layout.width()], &mut body);
    rows.push(0, &mut body.as_slice(), 0).unwrap();
    let mut rest = rest;
    let mut time = 0;
    while !rest.is_empty() {
        time += 1;
        let mut next = rows.last().clone();
        match next.take(&layout, &mut { rest }) {
            Some(told) if rows.can_follow(told) => assert!(rows.push(time, &mut rest, 3).is_some()),
            _ => break,
        }
    }
    let mut table = FamilyBuffer::default();
    rows.read(Window::ALL, &mut table).unwrap();
    assert_eq!(table.times().len(), rows.count() as usize, "what was taken is read");
}

/// What bytes describe comes back from a chunk bit for bit.
pub(crate) fn assert_comes_back(bytes: &[u8]) {
    assert_series_comes_back(&mut Script(bytes));
    assert_rows_come_back(&mut Script(bytes));
    assert_samples_come_back(&samples(&mut Script(bytes)));
}

/// Floats and histograms, with start times or without.
fn samples(script: &mut Script<'_>) -> SampleBuffer {
    let (mut buffer, mut time, mut start) = (SampleBuffer::default(), 0_i64, 0_i64);
    let mut histogram = NativeHistogram::default();
    while let Some(kind) = script.byte() {
        time += 1 + (script.number() as i64 & 0xffff_ffff);
        if kind & 1 == 1 {
            start = script.number() as i64;
        }
        if kind & 2 == 0 {
            buffer.push_float(time, f64::from_bits(script.number()), start);
            continue;
        }
        if kind & 4 == 0 {
            histogram.count += f64::from(script.number() as u16);
            histogram.sum = f64::from_bits(script.number());
            histogram.positive_spans.push(Span { offset: script.number() as i32, length: u32::from(kind) });
            histogram.positive_buckets.push(script.number() as f64);
        }
        buffer.histograms.push((time, Arc::new(histogram.clone()), start));
    }
    buffer
}

fn assert_series_comes_back(script: &mut Script<'_>) {
    let (mut encoder, mut samples) = (XorEncoder::default(), Vec::new());
    let (mut time, mut value) = (0_i64, 0.0_f64);
    while let Some(kind) = script.byte() {
        time = time.wrapping_add(match kind & 3 {
            0 => 15_000,
            1 => i64::from(script.number() as u8),
            2 => i64::from(script.number() as i32),
            _ => script.number() as i64,
        });
        value = match (kind >> 2) & 3 {
            0 => value,
            1 => value + f64::from(script.number() as u8),
            2 => f64::from_bits(script.number()),
            _ => stale_marker(),
        };
        encoder.push(time, value);
        samples.push((time, value.to_bits()));
    }
    let mut decoder = XorDecoder::new(encoder.bytes(), encoder.count());
    let decoded: Vec<(i64, u64)> = decoder.by_ref().map(|(time, value)| (time, value.to_bits())).collect();
    assert!(decoder.complete() && decoded == samples, "{decoded:?}, not {samples:?}");
}

fn assert_rows_come_back(script: &mut Script<'_>) {
    let layout = layout(usize::from(script.byte().unwrap_or(0)));
    let width = layout.width();
    let (mut newest, mut tail, mut chunks) =
        (LastRow::default(), FamilyRows::new(layout.clone(), None), Vec::new());
    let mut rows: Vec<(i64, Vec<Option<f64>>)> = Vec::new();
    let (mut time, mut row) = (-1000_i64, vec![Some(0.0); width]);
    while let Some(kind) = script.byte() {
        time += 1 + (script.number() as i64 & 0xffff_ffff);
        match kind % 4 {
            0 => {}
            1 | 2 => {
                let mut below = 0;
                for value in row.iter_mut().take(width - 2) {
                    below += script.number() & 0xf;
                    *value = value.map(|value| value + below as f64);
                }
                let last = width.checked_sub(3).and_then(|last| row[last]);
                row[width - 2] = last.or(row[width - 2]);
                row[width - 1] = row[width - 1].map(|sum| sum + f64::from(script.number() as u8) / 8.0);
            }
            _ => {
                for value in &mut row {
                    *value = match script.byte() {
                        Some(0) => None,
                        Some(1) => Some(f64::from_bits(script.number())),
                        Some(2) => Some(stale_marker()),
                        small => Some(f64::from(small.unwrap_or(0))),
                    };
                }
            }
        }
        let mut body = Vec::new();
        let told = newest.put_sparse(&layout, &row, &mut body);
        if !tail.can_follow(told) {
            chunks.push(tail.take_rows());
        }
        tail.push(time, &mut body.as_slice(), 0).unwrap();
        rows.push((time, row.clone()));
    }
    chunks.push(tail);
    let mut table = FamilyBuffer::default();
    for chunk in &chunks {
        chunk.read(Window::ALL, &mut table).unwrap();
    }
    assert_family_comes_back(&layout, &table);
    assert_eq!(table.times().len(), rows.len());
    for (index, (time, row)) in rows.iter().enumerate() {
        assert_eq!(table.times()[index], *time);
        for (column, value) in row.iter().enumerate() {
            assert_eq!(table.has(index, column), value.is_some());
            assert!(value.is_none_or(|value| value.to_bits() == table.row(index)[column].to_bits()));
        }
    }
    for column in [0, width - 1] {
        let mut read = SampleBuffer::default();
        for chunk in &chunks {
            chunk.read_column(column, Window::ALL, &mut read).unwrap();
        }
        let read = read.times.into_iter().zip(read.values.into_iter().map(f64::to_bits));
        let wanted = rows.iter().filter_map(|(time, row)| Some((*time, row[column]?.to_bits())));
        assert!(read.eq(wanted), "column {column}");
    }
}

fn layout(buckets: usize) -> Arc<Layout> {
    let mut columns: Vec<Column> =
        (0..buckets).map(|bound| Column::Bucket(bound.to_string().into())).collect();
    columns.extend([Column::Count, Column::Sum]);
    Arc::new(Layout::new(columns))
}

/// Bytes as decisions; zeros after their end.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> u64 {
        varint::take(&mut self.0).unwrap_or_else(|| self.byte().map_or(0, u64::from))
    }
}
