//! What holds for the bytes of chunks, for unit tests and the fuzz target `chunk_decode`.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a law that does not hold stops the test that checks it"
)]

use std::sync::Arc;

use super::rows::{FamilyRows, Mark};
use super::{Column, FamilyBuffer, Layout, RowsBuilder, XorChunk};
use crate::codec::varint;
use crate::codec::xor::{XorDecoder, XorEncoder};
use crate::model::{SampleBuffer, Window, stale_marker};

/// Any bytes are samples or an error, at no greater cost than their length.
pub(crate) fn assert_decodes(bytes: &[u8]) {
    let mut varints = bytes;
    while varint::take(&mut varints).is_some() {}

    let (Some((buckets, rest)), Some(length)) = (bytes.split_first(), bytes.len().checked_mul(8)) else {
        return;
    };
    let mut decoder = XorDecoder::new(rest, u32::MAX);
    let decoded = decoder.by_ref().count();
    // 128 bits for the first sample, two at least for a further one.
    assert!(decoded.saturating_sub(1) <= length / 2, "{decoded} samples in {length} bits");

    let rows = FamilyRows {
        layout: layout(usize::from(*buckets)),
        bytes: rest.into(),
        marks: Box::new([Mark { time: i64::MIN, offset: 0 }]),
        count: u32::MAX,
        last: i64::MAX,
    };
    let mut table = FamilyBuffer::default();
    if rows.read(Window::ALL, &mut table).is_ok() {
        panic!("there cannot be as many rows");
    }
    assert!(table.times().len() <= rest.len() / 2, "a row has a time and a kind");
    assert!(table.times().is_sorted_by(|a, b| a < b), "times rise");
}

/// What bytes describe comes back from a chunk bit for bit.
pub(crate) fn assert_comes_back(bytes: &[u8]) {
    assert_series_comes_back(&mut Script(bytes));
    assert_rows_come_back(&mut Script(bytes));
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

    if samples.first().is_some_and(|(time, _)| *time > i64::MIN) && samples.is_sorted_by(|a, b| a.0 < b.0) {
        let mut read = SampleBuffer::default();
        XorChunk::from_encoder(&encoder, samples[0].0).read(Window::ALL, &mut read).unwrap();
        let read: Vec<(i64, u64)> =
            read.times.into_iter().zip(read.values.into_iter().map(f64::to_bits)).collect();
        assert_eq!(read, samples);
    }
}

fn assert_rows_come_back(script: &mut Script<'_>) {
    let layout = layout(usize::from(script.byte().unwrap_or(0)));
    let width = layout.width();
    let mut builder = RowsBuilder::new(layout);
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
        builder.push(time, &row);
        rows.push((time, row.clone()));
    }
    let built = builder.rows();
    let mut table = FamilyBuffer::default();
    built.read(Window::ALL, &mut table).unwrap();
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
        built.read_column(column, Window::ALL, &mut read).unwrap();
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
