//! A classic histogram as rows: one row a scrape, each a few bytes.
//!
//! ```text
//! row    time   varint   zigzag: first row of a group: since the epoch; further ones: step less the step before
//!        kind   u8       0 as the row before    1 increments    2 absolute    3 increments from zero
//!  1, 3  mask   varint   bit i: bucket i grew more than the one below it did (bytes of 7 bits)
//!        grow   varint   for each set bit: how much more, at least 1
//!        sum    varint   zigzag of the difference of the sum's bits, if there is a sum column
//!   2    there  bytes    bit c: column c has a value, low bits first
//!        value  f64      little-endian, for each column that is there
//! ```
//!
//! Rows stand in groups of [`GROUP`]; the first of a group needs none before it, so that reading starts at any group.
//! Kind 1 says that all columns are there in this row and the one before, that all counts are whole numbers, that
//! no de-cumulated bucket shrank and that the count equals the last bucket. Everything else is an absolute row.

use std::sync::Arc;

use super::{Layout, corrupt};
use crate::codec::varint;
use crate::error::Result;
use crate::model::{SampleBuffer, Window};

/// Bytes that there is room for before a row is written; most rows take fewer.
const ROW_ROOM: usize = 48;
/// Rows in a group.
const GROUP: u32 = 16;
/// The largest count that increments can state exactly.
const WHOLE: f64 = 9_007_199_254_740_992.0;

const SAME: u8 = 0;
const GREW: u8 = 1;
const ABSOLUTE: u8 = 2;
const FROM_ZERO: u8 = 3;

/// Where a group starts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) time: i64,
    pub(super) offset: usize,
}

/// Rows of one classic histogram, immutable.
#[derive(Clone, Debug)]
pub(crate) struct FamilyRows {
    pub(super) layout: Arc<Layout>,
    pub(super) bytes: Box<[u8]>,
    pub(super) marks: Box<[Mark]>,
    pub(super) count: u32,
    pub(super) last: i64,
}

/// Rows that still grow.
#[derive(Clone, Debug)]
pub(crate) struct RowsBuilder {
    layout: Arc<Layout>,
    bytes: Vec<u8>,
    marks: Vec<Mark>,
    count: u32,
    time: i64,
    step: i64,
    /// The values of the last row.
    values: Vec<Option<f64>>,
}

impl RowsBuilder {
    pub(crate) fn new(layout: Arc<Layout>) -> Self {
        let values = vec![None; layout.width()];
        Self { layout, bytes: Vec::new(), marks: Vec::new(), count: 0, time: 0, step: 0, values }
    }

    /// Takes the rows out. Their layout and the values of the last one stay, for the rows that follow.
    pub(crate) fn take_rows(&mut self) -> FamilyRows {
        let rows = self.rows();
        self.bytes = Vec::new();
        self.marks = Vec::new();
        self.count = 0;
        rows
    }

    /// Appends a row, later than all before it. `row` has a place for every column of the layout.
    pub(crate) fn push(&mut self, time: i64, row: &[Option<f64>]) {
        self.make_room();
        let first_of_group = self.count.is_multiple_of(GROUP);
        if first_of_group {
            self.marks.push(Mark { time, offset: self.bytes.len() });
        }
        let (before, step) = if first_of_group { (0, 0) } else { (self.time, self.step) };
        let new_step = time.wrapping_sub(before);
        varint::put_signed(&mut self.bytes, new_step.wrapping_sub(step));
        self.step = if first_of_group { 0 } else { new_step };
        let same_bits = |(a, b): (&Option<f64>, &Option<f64>)| a.map(f64::to_bits) == b.map(f64::to_bits);
        if first_of_group {
            self.values.fill(Some(0.0));
        }
        if !first_of_group && row.iter().zip(&self.values).all(same_bits) {
            self.bytes.push(SAME);
        } else {
            let start = self.bytes.len();
            if self.put_increments(if first_of_group { FROM_ZERO } else { GREW }, row).is_none() {
                self.bytes.truncate(start);
                self.put_absolute(row);
            }
        }
        self.time = time;
        self.values.clear();
        self.values.extend_from_slice(row);
        self.count = self.count.saturating_add(1);
    }

    /// Grows by a quarter, not to the double: tails are most of what a store holds.
    fn make_room(&mut self) {
        let (length, capacity) = (self.bytes.len(), self.bytes.capacity());
        if capacity.saturating_sub(length) < ROW_ROOM {
            self.bytes.reserve_exact(ROW_ROOM.saturating_add(length / 4));
        }
        if self.marks.len() == self.marks.capacity() {
            self.marks.reserve_exact(1);
        }
    }

    fn put_absolute(&mut self, row: &[Option<f64>]) {
        self.bytes.push(ABSOLUTE);
        for columns in row.chunks(8) {
            let there =
                columns.iter().rev().fold(0_u8, |mask, value| (mask << 1) | u8::from(value.is_some()));
            self.bytes.push(there);
        }
        for value in row.iter().flatten() {
            self.bytes.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// `None`, with bytes left behind, if increments cannot state this row.
    fn put_increments(&mut self, kind: u8, row: &[Option<f64>]) -> Option<()> {
        let buckets = self.layout.bounds().len();
        self.bytes.push(kind);
        let mask_at = self.bytes.len();
        let mask_last = buckets.div_ceil(7).max(1).checked_sub(1)?;
        self.bytes.resize(mask_at.checked_add(mask_last)?, 0x80);
        self.bytes.push(0);
        let mut below = 0_u64;
        for (index, (value, before)) in row.iter().zip(&self.values).take(buckets).enumerate() {
            let increment = whole((*value)?)?.checked_sub(whole((*before)?)?)?;
            let more = increment.checked_sub(below)?;
            if more > 0 {
                let byte = self.bytes.get_mut(mask_at.checked_add(index / 7)?)?;
                *byte |= 1 << (index % 7);
                varint::put(&mut self.bytes, more);
            }
            below = increment;
        }
        if let Some(count) = self.layout.count_column() {
            let last_bucket = buckets.checked_sub(1)?;
            for values in [row, self.values.as_slice()] {
                let (count, bucket) = ((*values.get(count)?)?, (*values.get(last_bucket)?)?);
                if count.to_bits() != bucket.to_bits() {
                    return None;
                }
            }
        }
        if let Some(sum) = self.layout.sum_column() {
            let (now, before) = ((*row.get(sum)?)?, (*self.values.get(sum)?)?);
            varint::put_signed(&mut self.bytes, now.to_bits().wrapping_sub(before.to_bits()) as i64);
        }
        Some(())
    }

    pub(crate) fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// How many rows there are.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The time of the last row; meaningless before there is one.
    pub(crate) fn last_time(&self) -> i64 {
        self.time
    }

    /// First and last time; `None` without a row.
    pub(crate) fn time_range(&self) -> Option<(i64, i64)> {
        self.marks.first().map(|mark| (mark.time, self.time))
    }

    /// The values of the last row.
    pub(crate) fn last_row(&self) -> &[Option<f64>] {
        &self.values
    }

    /// The rows so far.
    pub(crate) fn rows(&self) -> FamilyRows {
        FamilyRows {
            layout: self.layout.clone(),
            bytes: self.bytes.as_slice().into(),
            marks: self.marks.as_slice().into(),
            count: self.count,
            last: self.time,
        }
    }

    pub(crate) fn byte_size(&self) -> usize {
        let marks = self.marks.capacity().saturating_mul(size_of::<Mark>());
        let values = self.values.capacity().saturating_mul(size_of::<Option<f64>>());
        self.bytes.capacity().saturating_add(marks).saturating_add(values)
    }
}

/// The whole number that `value` is, if increments can state it.
fn whole(value: f64) -> Option<u64> {
    let number = value as u64;
    // -0 is a whole number, but not the same bits.
    (value.to_bits() == (number as f64).to_bits() && value <= WHOLE).then_some(number)
}

/// Rows of a classic histogram in memory, as a table: row by row, a value for every column.
#[derive(Clone, Debug, Default)]
pub struct FamilyBuffer {
    times: Vec<i64>,
    width: usize,
    values: Vec<f64>,
    /// Bit c of a row: column c has no value. Empty while no row lacks one.
    absent: Vec<u64>,
}

impl FamilyBuffer {
    /// Forgets the rows and keeps the memory.
    pub fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.absent.clear();
        self.width = 0;
    }

    /// Times of the rows in milliseconds since the epoch, rising.
    pub fn times(&self) -> &[i64] {
        &self.times
    }

    /// The values of row `row`: buckets by bound, then count, then sum, as far as the family has them.
    pub fn row(&self, row: usize) -> &[f64] {
        let start = row.saturating_mul(self.width);
        self.values.get(start..start.saturating_add(self.width)).unwrap_or_default()
    }

    /// How many values a row has.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Whether every row has a value in every column.
    pub fn is_dense(&self) -> bool {
        self.absent.is_empty()
    }

    /// Whether row `row` has a value in column `column`.
    pub fn has(&self, row: usize, column: usize) -> bool {
        let words = self.words();
        let word = row.saturating_mul(words).saturating_add(column / 64);
        self.absent.get(word).is_none_or(|word| (word >> (column % 64)) & 1 == 0)
    }

    fn words(&self) -> usize {
        self.width.div_ceil(64)
    }

    fn push(&mut self, time: i64, row: &[Option<f64>]) {
        let words = self.words();
        if row.iter().any(Option::is_none) && self.absent.is_empty() {
            self.absent.resize(self.times.len().saturating_mul(words), 0);
        }
        if row.iter().any(Option::is_none) || !self.absent.is_empty() {
            for columns in row.chunks(64) {
                let bits =
                    columns.iter().rev().fold(0, |bits, value| (bits << 1) | u64::from(value.is_none()));
                self.absent.push(bits);
            }
        }
        self.times.push(time);
        self.values.extend(row.iter().map(|value| value.unwrap_or(0.0)));
    }
}

impl FamilyRows {
    /// Appends the values of one column inside the window.
    pub(crate) fn read_column(&self, column: usize, window: Window, into: &mut SampleBuffer) -> Result<()> {
        self.visit(window, |time, row| {
            if let Some(Some(value)) = row.get(column) {
                into.push_float(time, *value, 0);
            }
        })
    }

    /// Appends the rows inside the window. `into` has to be empty, or to hold rows of the same layout.
    pub(crate) fn read(&self, window: Window, into: &mut FamilyBuffer) -> Result<()> {
        into.width = self.layout.width();
        self.visit(window, |time, row| into.push(time, row))
    }

    fn visit(&self, window: Window, mut each: impl FnMut(i64, &[Option<f64>])) -> Result<()> {
        let (after, until) = (window.after.as_millis(), window.until.as_millis());
        if self.count == 0 || self.last <= after || until <= after {
            return Ok(());
        }
        let group = self.marks.partition_point(|mark| mark.time <= after).saturating_sub(1);
        let Some(mark) = self.marks.get(group) else { return Err(corrupt("it has no group")) };
        let skipped = u32::try_from(group).unwrap_or(u32::MAX).saturating_mul(GROUP);
        let mut rest =
            self.bytes.get(mark.offset..).ok_or_else(|| corrupt("a group starts after its end"))?;
        let mut reader =
            RowReader { layout: &self.layout, time: 0, step: 0, values: vec![None; self.layout.width()] };
        for index in 0..self.count.saturating_sub(skipped) {
            let before = reader.time;
            reader
                .next(&mut rest, index.is_multiple_of(GROUP))
                .ok_or_else(|| corrupt("a row does not decode"))?;
            if index > 0 && reader.time <= before {
                return Err(corrupt("a row is not later than the one before it"));
            }
            if reader.time > until {
                break;
            }
            if reader.time > after {
                each(reader.time, &reader.values);
            }
        }
        Ok(())
    }

    pub(crate) fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    pub(crate) fn time_range(&self) -> Option<(i64, i64)> {
        self.marks.first().map(|mark| (mark.time, self.last))
    }

    pub(crate) fn byte_size(&self) -> usize {
        self.bytes.len().saturating_add(size_of_val(&*self.marks)).saturating_add(size_of::<Self>())
    }
}

struct RowReader<'a> {
    layout: &'a Layout,
    time: i64,
    step: i64,
    values: Vec<Option<f64>>,
}

impl RowReader<'_> {
    fn next(&mut self, bytes: &mut &[u8], first_of_group: bool) -> Option<()> {
        let number = varint::take_signed(bytes)?;
        if first_of_group {
            (self.time, self.step) = (number, 0);
        } else {
            self.step = self.step.wrapping_add(number);
            self.time = self.time.wrapping_add(self.step);
        }
        let (kind, rest) = bytes.split_first()?;
        *bytes = rest;
        match *kind {
            SAME if !first_of_group => Some(()),
            GREW if !first_of_group => self.grow(bytes),
            FROM_ZERO => {
                self.values.fill(Some(0.0));
                self.grow(bytes)
            }
            ABSOLUTE => self.absolute(bytes),
            _ => None,
        }
    }

    fn absolute(&mut self, bytes: &mut &[u8]) -> Option<()> {
        let (there, mut rest) = bytes.split_at_checked(self.values.len().div_ceil(8))?;
        for (columns, mask) in self.values.chunks_mut(8).zip(there) {
            for (bit, value) in columns.iter_mut().enumerate() {
                *value = if (mask >> bit) & 1 == 1 {
                    let (number, after) = rest.split_first_chunk::<8>()?;
                    rest = after;
                    Some(f64::from_le_bytes(*number))
                } else {
                    None
                };
            }
        }
        *bytes = rest;
        Some(())
    }

    fn grow(&mut self, bytes: &mut &[u8]) -> Option<()> {
        let buckets = self.layout.bounds().len();
        let (mask, mut rest) = bytes.split_at_checked(buckets.div_ceil(7).max(1))?;
        let mut increment = 0_u64;
        for (index, value) in self.values.iter_mut().take(buckets).enumerate() {
            if (mask.get(index / 7)? >> (index % 7)) & 1 == 1 {
                increment = increment.checked_add(varint::take(&mut rest)?)?;
            }
            if increment > 0 {
                let now = whole((*value)?)?.checked_add(increment)?;
                *value = Some(now as f64);
            }
        }
        if let Some(count) = self.layout.count_column() {
            let last = *self.values.get(buckets.checked_sub(1)?)?;
            *self.values.get_mut(count)? = last;
        }
        if let Some(sum) = self.layout.sum_column() {
            let change = varint::take_signed(&mut rest)?;
            let sum = self.values.get_mut(sum)?.as_mut()?;
            *sum = f64::from_bits(sum.to_bits().wrapping_add(change as u64));
        }
        *bytes = rest;
        Some(())
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use super::super::Column;
    use super::*;
    use proptest::prelude::*;

    fn layout(buckets: usize) -> Arc<Layout> {
        let mut columns: Vec<Column> =
            (0..buckets).map(|bound| Column::Bucket(bound.to_string().into())).collect();
        columns.extend([Column::Count, Column::Sum]);
        Arc::new(Layout::new(columns))
    }

    type Row = Vec<Option<f64>>;

    fn check(layout: &Arc<Layout>, rows: &[(i64, Row)], window: Window) {
        let mut builder = RowsBuilder::new(layout.clone());
        for (time, row) in rows {
            builder.push(*time, row);
        }
        let built = builder.rows();
        for column in 0..layout.width() {
            let mut read = SampleBuffer::default();
            built.read_column(column, window, &mut read).unwrap();
            let wanted: Vec<(i64, u64)> = rows
                .iter()
                .filter(|(time, _)| window.after.as_millis() < *time && *time <= window.until.as_millis())
                .filter_map(|(time, row)| Some((*time, row[column]?.to_bits())))
                .collect();
            let got: Vec<(i64, u64)> =
                read.times.iter().copied().zip(read.values.iter().map(|value| value.to_bits())).collect();
            assert_eq!(got, wanted, "column {column}");
        }
        let mut table = FamilyBuffer::default();
        built.read(Window::ALL, &mut table).unwrap();
        assert_eq!(table.times().len(), rows.iter().filter(|(time, _)| *time > i64::MIN).count());
        for (index, (_, row)) in rows.iter().filter(|(time, _)| *time > i64::MIN).enumerate() {
            for (column, value) in row.iter().enumerate() {
                assert_eq!(table.has(index, column), value.is_some());
                if let Some(value) = value {
                    assert_eq!(table.row(index)[column].to_bits(), value.to_bits());
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_row_comes_back(
            buckets in 0_usize..20,
            rows in proptest::collection::vec((1_i64..100_000, proptest::collection::vec(proptest::option::of(any::<u64>()), 22)), 0..40),
            after in 0_i64..1_000_000,
        ) {
            let layout = layout(buckets);
            let mut time = 0;
            let rows: Vec<(i64, Row)> = rows
                .iter()
                .map(|(step, row)| {
                    time += step;
                    (time, row.iter().take(layout.width()).map(|bits| bits.map(f64::from_bits)).collect())
                })
                .collect();
            check(&layout, &rows, Window::new(crate::Timestamp::from_millis(after), crate::Timestamp::MAX));
        }

        #[test]
        fn growing_histograms_come_back(
            buckets in 1_usize..70,
            observations in proptest::collection::vec(proptest::collection::vec((0_usize..70, 0.0_f64..100.0), 0..4), 0..70),
            hidden_reset in 0_usize..70,
        ) {
            let layout = layout(buckets);
            let mut counts = vec![0_u64; buckets];
            let mut sum = 0.0;
            let mut rows = Vec::new();
            for (index, scrape) in observations.iter().enumerate() {
                if index == hidden_reset {
                    counts.reverse();
                }
                for (bucket, value) in scrape {
                    counts[bucket % buckets] += 1;
                    sum += value;
                }
                let mut total = 0;
                let mut row: Row = counts.iter().map(|count| { total += count; Some(total as f64) }).collect();
                row.extend([Some(total as f64), Some(sum)]);
                rows.push((index as i64 * 15_000, row));
            }
            check(&layout, &rows, Window::ALL);
        }

        #[test]
        fn any_bytes_are_rows_or_an_error(bytes: Vec<u8>, buckets in 0_usize..20, count in 0_u32..100) {
            let rows = FamilyRows {
                layout: layout(buckets),
                bytes: bytes.into(),
                marks: Box::new([Mark { time: 0, offset: 0 }]),
                count,
                last: i64::MAX,
            };
            let _outcome = rows.read(Window::ALL, &mut FamilyBuffer::default());
        }
    }

    #[test]
    fn a_scrape_without_news_takes_few_bytes() {
        let layout = layout(17);
        let row: Row = vec![Some(5.0); layout.width()];
        let mut builder = RowsBuilder::new(layout);
        for index in 0..16 {
            builder.push(index * 15_000, &row);
        }
        let absolute = 8 + 1 + 3 + 19 * 8;
        assert!(builder.rows().bytes.len() <= absolute + 15 * 4, "{} bytes", builder.rows().bytes.len());
    }
}
