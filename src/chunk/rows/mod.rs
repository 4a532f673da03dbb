//! The recent past of a classic histogram: a few bytes a row, a row for every scrape.
//!
//! ```text
//! row    time   varint   zigzag: step less the step before; the row after a mark: the whole step
//!        body            see `last`
//! ```
//!
//! The first row and every further [`GROUP`]th are marked with time and sum. Nothing else is absolute: reading takes the
//! increments from the window's mark to the newest row away from the newest row's counts, and goes forward from there.
//! Rows that are not whole stand one beside the other as absolute bodies.

mod counts;
mod last;
mod table;

use std::sync::Arc;

use smallvec::SmallVec;

pub(crate) use last::{LastRow, RowShape, Told, skip_row};
pub use table::FamilyBuffer;

use super::{Layout, corrupt};
use crate::codec::varint;
use crate::error::Result;
use crate::model::{SampleBuffer, Window};

/// Rows from one mark to the next.
const GROUP: u32 = 8;
/// Bytes of room that are made at once, for some twenty rows.
const ROOM: usize = 256;
/// The longest time of a row.
const TIME_ROOM: usize = 10;
/// Bodies are mostly shorter, and copied as so many bytes.
const BODY_ROOM: usize = 16;

/// A number for each bucket.
type Counts = SmallVec<[u64; 24]>;

/// The first and the last row of a window.
#[derive(Clone, Debug, Default)]
pub(crate) struct FamilyEnds {
    pub(crate) first_time: i64,
    pub(crate) last_time: i64,
    /// How many rows the window has.
    pub(crate) count: usize,
    /// The buckets of the first row.
    pub(crate) first: Vec<f64>,
    /// The buckets of the last row.
    pub(crate) last: Vec<f64>,
}

/// Where reading can start.
#[derive(Clone, Copy, Debug)]
struct Mark {
    time: i64,
    /// Bits of the sum, if there is a sum column.
    sum: u64,
    /// Of the byte behind the marked row.
    offset: u32,
    /// Of the marked row's body.
    body: u32,
}

/// Rows of one classic histogram, in time order.
#[derive(Clone, Debug)]
pub(crate) struct FamilyRows {
    layout: Arc<Layout>,
    last: LastRow,
    /// Whether the rows are whole and only grow.
    increments: bool,
    count: u32,
    time: i64,
    step: i64,
    bytes: Vec<u8>,
    marks: Vec<Mark>,
}

impl FamilyRows {
    /// No rows; those to come are later than `after`.
    pub(crate) fn new(layout: Arc<Layout>, after: Option<i64>) -> Self {
        Self {
            layout,
            last: LastRow::default(),
            increments: true,
            count: 0,
            time: after.unwrap_or(i64::MIN),
            step: 0,
            bytes: Vec::new(),
            marks: Vec::new(),
        }
    }

    /// Takes the rows out. Layout and newest row stay, for the rows that follow.
    pub(crate) fn take_rows(&mut self) -> Self {
        let mut taken = Self { last: self.last.clone(), ..Self::new(self.layout.clone(), None) };
        std::mem::swap(&mut taken.bytes, &mut self.bytes);
        std::mem::swap(&mut taken.marks, &mut self.marks);
        (taken.count, taken.time, taken.step, taken.increments) =
            (self.count, self.time, self.step, self.increments);
        taken.bytes.shrink_to_fit();
        (self.count, self.increments) = (0, true);
        taken
    }

    /// Whether a row of this kind can follow in the same chunk.
    pub(crate) fn can_follow(&self, told: Told) -> bool {
        match told {
            _ if self.count == 0 => true,
            Told::Same => true,
            Told::Increments => true,
            Told::Whole | Told::Any => !self.increments,
        }
    }

    /// Appends the row whose body stands at the front of `bytes`, later than all before it, and moves past it. `None`: the
    /// body is damaged. If the memory has to grow, it does so for `to_come` rows as well.
    #[inline(always)]
    pub(crate) fn push(&mut self, time: i64, bytes: &mut &[u8], to_come: usize) -> Option<Told> {
        let before = *bytes;
        let told = self.last.take(&self.layout, bytes)?;
        let body = before.get(..before.len().checked_sub(bytes.len())?)?;
        if self.count == 0 {
            self.increments = self.last.is_whole();
        }
        self.make_room(body.len(), to_come);
        let marked = self.count.is_multiple_of(GROUP);
        if self.count > 0 {
            let step = time.wrapping_sub(self.time);
            varint::put_signed(&mut self.bytes, step.wrapping_sub(self.step));
            self.step = step;
        }
        let at = u32::try_from(self.bytes.len()).ok()?;
        match self.increments {
            true if self.count == 0 => {}
            true => put_body(before, body.len(), &mut self.bytes),
            false if told == Told::Same && !marked => self.bytes.push(1),
            false => self.last.absolute_body(&self.layout, &mut self.bytes),
        }
        if marked {
            self.mark(time, at, to_come)?;
        }
        self.time = time;
        self.count = self.count.saturating_add(1);
        Some(told)
    }

    /// Whether there was no row yet.
    pub(crate) fn is_new(&self) -> bool {
        self.count == 0 && self.last.is_none()
    }

    /// Appends the first row of all, which is whole. `None`: there is no room.
    pub(crate) fn begin(&mut self, time: i64, row: LastRow, to_come: usize) -> Option<()> {
        (self.last, self.increments) = (row, true);
        self.make_room(0, to_come);
        self.mark(time, 0, to_come)?;
        (self.time, self.count) = (time, 1);
        Some(())
    }

    /// Marks the newest row, whose body begins at `body`.
    fn mark(&mut self, time: i64, body: u32, to_come: usize) -> Option<()> {
        self.step = 0;
        let sum = self.last.whole_words().get(self.layout.bounds().len()).copied().unwrap_or(0);
        let offset = u32::try_from(self.bytes.len()).ok()?;
        if self.marks.len() == self.marks.capacity() {
            let expected = to_come.div_ceil(GROUP as usize);
            self.marks.reserve_exact(expected.max(4));
        }
        self.marks.push(Mark { time, sum, offset, body });
        Some(())
    }

    #[inline]
    fn make_room(&mut self, body: usize, to_come: usize) {
        let wanted = body.max(BODY_ROOM).saturating_add(TIME_ROOM);
        if self.bytes.capacity().wrapping_sub(self.bytes.len()) < wanted {
            self.grow(wanted, to_come);
        }
    }

    /// Grows by a half, not to the double: rows are most of what a head holds.
    #[cold]
    fn grow(&mut self, wanted: usize, to_come: usize) {
        let (length, count) = (self.bytes.len(), self.count as usize);
        // Rows to come are as long as those before, on average.
        let expected = length.saturating_mul(to_come).checked_div(count).unwrap_or(0).saturating_add(wanted);
        self.bytes.reserve_exact(expected.max(ROOM).max(length / 2));
    }

    pub(crate) fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// How many rows there are.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The time of the newest row, which may have been taken out.
    pub(crate) fn last_time(&self) -> Option<i64> {
        (self.time > i64::MIN).then_some(self.time)
    }

    /// The newest row, which may have been taken out.
    pub(crate) fn last(&self) -> &LastRow {
        &self.last
    }

    /// First and last time; `None` without a row.
    pub(crate) fn time_range(&self) -> Option<(i64, i64)> {
        self.marks.first().map(|mark| (mark.time, self.time))
    }

    /// Reads a little of all that the next row needs.
    #[inline]
    pub(crate) fn touch(&self) -> u64 {
        let words = self.last.words();
        let word = |at: usize| words.get(at).copied().unwrap_or(0);
        let byte = self.bytes.last().copied().unwrap_or(0);
        word(0) ^ word(7) ^ word(15) ^ u64::from(byte)
    }

    /// Reads a little of all that reading the newest rows needs.
    #[inline]
    pub(crate) fn touch_to_read(&self) -> u64 {
        let (before, last) = (self.marks.iter().rev().nth(1), self.marks.last());
        let from = before.or(last).map_or(0, |mark| mark.offset as usize);
        let rows = self.bytes.get(from..).unwrap_or_default().iter().step_by(64);
        self.touch() ^ rows.fold(0, |read, byte| read ^ u64::from(*byte))
    }

    /// The mark from which on the rows later than `after` are read. Most are the newest: those before are not looked at.
    fn group_of(&self, after: i64) -> usize {
        self.marks.iter().rposition(|mark| mark.time <= after).unwrap_or(0)
    }

    pub(crate) fn byte_size(&self) -> usize {
        let marks = self.marks.capacity().saturating_mul(size_of::<Mark>());
        let held = self.bytes.capacity().saturating_add(marks).saturating_add(self.last.heap_size());
        held.saturating_add(size_of::<Self>())
    }

    /// Appends the values of one column inside the window.
    pub(crate) fn read_column(&self, column: usize, window: Window, into: &mut SampleBuffer) -> Result<()> {
        self.visit(window, |time, row, absent| {
            let is_absent = absent.get(column / 64).is_some_and(|word| word >> (column % 64) & 1 == 1);
            if let Some(value) = row.get(column).filter(|_| !is_absent) {
                into.push_float(time, *value, 0);
            }
        })
    }

    /// Appends the rows inside the window. `into` has to be empty, or to hold rows of the same layout.
    pub(crate) fn read(&self, window: Window, into: &mut FamilyBuffer) -> Result<()> {
        self.visit(window, |time, row, absent| into.push_row(time, row, absent))
    }

    /// The first and the last of the rows inside the window, if all rows are whole and only grow. `false`: they are not, or
    /// there are fewer than two, and nothing can be said about `into`.
    pub(crate) fn read_ends(&self, window: Window, into: &mut FamilyEnds) -> Result<bool> {
        let (after, until) = (window.after.as_millis(), window.until.as_millis());
        if !self.increments || self.count == 0 || self.time <= after || until <= after {
            return Ok(false);
        }
        let group = self.group_of(after);
        self.find_ends(group, (after, until), into).ok_or_else(|| corrupt("a row does not decode"))
    }

    /// Takes the increments behind the last and behind the first row of the window away from the newest row.
    fn find_ends(&self, group: usize, (after, until): (i64, i64), into: &mut FamilyEnds) -> Option<bool> {
        let (mark, rows) = self.rows_after(group)?;
        let buckets = self.layout.bounds().len();
        let of_sum = if self.layout.sum_column().is_some() { 2 } else { 0 };
        let newest = self.last.whole_words().get(..buckets)?;
        let (mut behind_first, mut behind_last) = (Counts::new(), Counts::new());
        behind_first.resize(buckets, 0);
        behind_last.resize(buckets, 0);
        let (behind_first, behind_last) = (behind_first.as_mut_slice(), behind_last.as_mut_slice());
        let mut rest = self.bytes.get(mark.offset as usize..)?;
        let (mut time, mut step) = (mark.time, 0_i64);
        into.count = 0;
        for index in 0..=rows {
            if index > 0 {
                step = step.wrapping_add(varint::take_signed(&mut rest)?);
                time = time.wrapping_add(step);
                let head = varint::take(&mut rest)?;
                if head > 1 {
                    // What is before the first row of the window, or leads to it, matters to neither.
                    if into.count == 0 {
                        counts::skip_counts(head.wrapping_sub(1), buckets, of_sum, &mut rest)?;
                    } else {
                        let behind = if time > until { &mut *behind_last } else { &mut *behind_first };
                        counts::add_counts(head.wrapping_sub(1), &mut rest, behind)?;
                        varint::skip(&mut rest, of_sum)?;
                    }
                }
                if index.is_multiple_of(GROUP) {
                    step = 0;
                }
            }
            if time > after && time <= until {
                if into.count == 0 {
                    into.first_time = time;
                }
                into.last_time = time;
                into.count = into.count.saturating_add(1);
            } else if time > until && into.count < 2 {
                return Some(false);
            }
        }
        if into.count < 2 {
            return Some(false);
        }
        into.first.clear();
        into.last.clear();
        let (mut first_total, mut last_total) = (0_u64, 0_u64);
        for ((newest, own), behind) in newest.iter().zip(behind_first).zip(behind_last) {
            let end = newest.wrapping_sub(*behind);
            last_total = last_total.wrapping_add(end);
            first_total = first_total.wrapping_add(end.wrapping_sub(*own));
            into.first.push(last::count_value(first_total));
            into.last.push(last::count_value(last_total));
        }
        Some(true)
    }

    fn visit(&self, window: Window, each: impl FnMut(i64, &[f64], &[u64])) -> Result<()> {
        let (after, until) = (window.after.as_millis(), window.until.as_millis());
        if self.count == 0 || self.time <= after || until <= after {
            return Ok(());
        }
        let group = self.group_of(after);
        let outcome = match self.increments {
            true => self.visit_increments(group, (after, until), each),
            false => self.visit_absolute(group, (after, until), each),
        };
        outcome.ok_or_else(|| corrupt("a row does not decode"))
    }

    /// Rows from the mark on.
    fn rows_after(&self, group: usize) -> Option<(&Mark, u32)> {
        let passed = u32::try_from(group).ok()?.checked_mul(GROUP)?.checked_add(1)?;
        Some((self.marks.get(group)?, self.count.checked_sub(passed)?))
    }

    fn visit_increments(
        &self,
        group: usize,
        (after, until): (i64, i64),
        mut each: impl FnMut(i64, &[f64], &[u64]),
    ) -> Option<()> {
        let (mark, rows) = self.rows_after(group)?;
        let buckets = self.layout.bounds().len();
        let of_sum = if self.layout.sum_column().is_some() { 2 } else { 0 };
        let mut words: SmallVec<[u64; 24]> = SmallVec::from_slice(self.last.whole_words());
        let words = words.as_mut_slice();
        let mut behind = Counts::new();
        behind.resize(buckets, 0);
        let start = self.bytes.get(mark.offset as usize..)?;
        let mut rest = start;
        for _ in 0..rows {
            varint::take(&mut rest)?;
            let head = varint::take(&mut rest)?;
            if head > 1 {
                counts::add_counts(head.wrapping_sub(1), &mut rest, &mut behind)?;
                varint::skip(&mut rest, of_sum)?;
            }
        }
        for (word, behind) in words.iter_mut().zip(&behind) {
            *word = word.wrapping_sub(*behind);
        }
        if let Some(sum) = words.get_mut(buckets) {
            *sum = mark.sum;
        }
        let (mut rest, mut time, mut step) = (start, mark.time, 0_i64);
        let mut row = SmallVec::new();
        last::put_whole_values(&self.layout, words, &mut row);
        let scale = self.layout.sum_scale();
        for index in 0..=rows {
            if index > 0 {
                step = step.wrapping_add(varint::take_signed(&mut rest)?);
                time = time.wrapping_add(step);
                let head = varint::take(&mut rest)?;
                if head > 1 {
                    counts::add_counts(head.wrapping_sub(1), &mut rest, words.get_mut(..buckets)?)?;
                    if let Some(sum) = words.get_mut(buckets) {
                        let parts = (varint::take_signed(&mut rest)?, varint::take_signed(&mut rest)?);
                        *sum = last::join_sum(f64::from_bits(*sum), parts, scale).to_bits();
                    }
                    row.clear();
                    last::put_whole_values(&self.layout, words, &mut row);
                }
                if index.is_multiple_of(GROUP) {
                    step = 0;
                }
            }
            if time > until {
                break;
            }
            if time > after {
                each(time, &row, &[]);
            }
        }
        Some(())
    }

    fn visit_absolute(
        &self,
        group: usize,
        (after, until): (i64, i64),
        mut each: impl FnMut(i64, &[f64], &[u64]),
    ) -> Option<()> {
        let (mark, rows) = self.rows_after(group)?;
        let mut rest = self.bytes.get(mark.body as usize..)?;
        let mut row = LastRow::default();
        let (mut time, mut step) = (mark.time, 0_i64);
        let mut values = SmallVec::new();
        for index in 0..=rows {
            if index > 0 {
                step = step.wrapping_add(varint::take_signed(&mut rest)?);
                time = time.wrapping_add(step);
            }
            row.take(&self.layout, &mut rest)?;
            if index.is_multiple_of(GROUP) {
                step = 0;
            }
            if time > until {
                break;
            }
            if time > after {
                let absent = row.values(&self.layout, &mut values);
                each(time, &values, &absent);
            }
        }
        Some(())
    }
}

/// Appends the first `length` of the bytes.
#[inline]
fn put_body(bytes: &[u8], length: usize, into: &mut Vec<u8>) {
    match bytes.first_chunk::<BODY_ROOM>() {
        Some(chunk) if length <= BODY_ROOM => {
            let end = into.len().saturating_add(length);
            into.extend_from_slice(chunk);
            into.truncate(end);
        }
        _ => into.extend_from_slice(bytes.get(..length).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests;
