//! The newest row of a classic histogram, and the next one told relative to it.
//!
//! ```text
//! body   head   varint   0 absolute    1 as the row before    n + 1: n more observations
//!   n=1  bucket varint   which bucket they fell into
//!   n>1  mask   varint   bit i: some fell into bucket i; one mask for every 64 buckets
//!        more   varint   how many, for each set bit but the highest, which has the rest
//!   n>0  sum    varint   zigzag k, then zigzag r, if there is a sum column: bits(sum) = bits(before + k / scale) + r
//!   0    form   u8       0 whole    1 any
//!     0  bucket varint   what lies in it, for each bucket;  then the sum's bits, 8 bytes, if there is a sum column
//!     1  there  bytes    bit c: column c has a value, low bits first
//!        value  f64      little-endian, for each column that is there
//! ```
//!
//! A row is *whole* when all columns are there, the counts are whole numbers that do not fall along the bounds, the count is
//! the last bucket, and the sum is finite. Increments go from one whole row to another of which no bucket, taken by itself,
//! lost anything (a restart can leave every cumulative bucket as large as before and still move observations between them).
//! Increments need no state to be read, so that rows can be taken back from the newest one.

use smallvec::SmallVec;

use super::super::Layout;
use super::counts::{put_counts, take_counts};
use crate::codec::varint;

/// The largest count that a float states exactly together with all below it.
const WHOLE: f64 = 9_007_199_254_740_992.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// There was no row.
    None,
    /// Words: what lies in each bucket by itself, then the bits of the sum if there is one.
    Whole,
    /// Words: the bits of each column, then bits that say which columns are absent.
    Any,
}

/// What a body told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Same,
    Increments,
    Whole,
    Any,
}

/// The newest row of one layout.
#[derive(Clone, Debug)]
pub(crate) struct LastRow {
    form: Form,
    words: SmallVec<[u64; 18]>,
}

impl Default for LastRow {
    fn default() -> Self {
        Self { form: Form::None, words: SmallVec::new() }
    }
}

fn absent_words(width: usize) -> usize {
    width.div_ceil(64)
}

/// The whole number that `value` is, if increments can state it.
fn whole(value: f64) -> Option<u64> {
    let number = value as u64;
    // -0 is a whole number, but not the same bits.
    (value.to_bits() == (number as f64).to_bits() && value <= WHOLE).then_some(number)
}

/// A number for each bucket: on the stack, unless there are many.
#[inline]
fn with_numbers<R>(buckets: usize, numbers: impl FnOnce(&mut [u64]) -> R) -> R {
    match [0; 24].get_mut(..buckets) {
        Some(few) => numbers(few),
        None => numbers(&mut vec![0; buckets]),
    }
}

/// What is added to a whole number to have it in the low bits of the sum.
const SHIFT: f64 = 4_503_599_627_370_496.0;

/// The whole numbers that the values are, if increments can state them all.
#[inline]
fn put_numbers(values: &[f64], into: &mut [u64]) -> Option<()> {
    let mut wrong = 0;
    for (number, value) in into.iter_mut().zip(values) {
        let shifted = value + SHIFT;
        *number = shifted.to_bits() ^ SHIFT.to_bits();
        wrong |= (*number >> 52) | ((shifted - SHIFT).to_bits() ^ value.to_bits());
    }
    if wrong != 0 {
        // Not all are below 2^52.
        for (number, value) in into.iter_mut().zip(values) {
            *number = whole(*value)?;
        }
    }
    Some(())
}

/// The words of a row that is whole.
fn whole_words(layout: &Layout, row: &[f64], words: &mut SmallVec<[u64; 18]>) -> Option<()> {
    let buckets = layout.bounds().len();
    words.clear();
    let mut below = 0_u64;
    let mut last = 0.0_f64;
    for value in row.get(..buckets)? {
        let number = whole(*value)?;
        words.push(number.checked_sub(below)?);
        below = number;
        last = *value;
    }
    if let Some(count) = layout.count_column()
        && (buckets == 0 || row.get(count)?.to_bits() != last.to_bits())
    {
        return None;
    }
    if let Some(sum) = layout.sum_column() {
        let sum = row.get(sum)?;
        if !sum.is_finite() {
            return None;
        }
        words.push(sum.to_bits());
    }
    (buckets > 0).then_some(())
}

/// `sum` as `before + k / scale`, corrected by `r` in the last bits.
fn split_sum(before: f64, sum: f64, scale: f64) -> (i64, i64) {
    let exact = (sum - before) * scale;
    let mut k = 0;
    if exact.abs() < WHOLE {
        // Rounded to the nearest, halves away from 0.
        k = exact as i64;
        let rest = exact - k as f64;
        k = k.wrapping_add(i64::from(rest >= 0.5)).wrapping_sub(i64::from(rest <= -0.5));
    }
    (k, sum.to_bits().wrapping_sub((before + k as f64 / scale).to_bits()) as i64)
}

#[inline]
pub(super) fn join_sum(before: f64, (k, r): (i64, i64), scale: f64) -> f64 {
    f64::from_bits((before + k as f64 / scale).to_bits().wrapping_add(r as u64))
}

impl LastRow {
    /// Whether there is a row that increments can start from.
    pub(crate) fn is_whole(&self) -> bool {
        self.form == Form::Whole
    }

    /// Whether there was no row.
    pub(super) fn is_none(&self) -> bool {
        self.form == Form::None
    }

    /// Whether the row is whole, and what [`put`](Self::put) tells of its values if they follow no row is the row again.
    pub(crate) fn states_itself(&self, layout: &Layout) -> bool {
        let (counts, sum) = self.whole_words().split_at_checked(layout.bounds().len()).unwrap_or_default();
        let total = counts.iter().fold(0, |total: u64, count| total.saturating_add(*count));
        let is_finite = sum.iter().all(|sum| f64::from_bits(*sum).is_finite());
        self.is_whole() && total <= WHOLE as u64 && is_finite
    }

    /// How many columns have a value.
    pub(crate) fn present(&self, layout: &Layout) -> usize {
        let width = layout.width();
        match self.form {
            Form::None => 0,
            Form::Whole => width,
            Form::Any => {
                let absent = self.words.iter().skip(width).map(|word| word.count_ones() as usize);
                width.saturating_sub(absent.sum())
            }
        }
    }

    /// Whether the newest row lacks the same columns as this one.
    pub(crate) fn lacks_the_same(&self, row: &[Option<f64>]) -> bool {
        let absent = self.words.get(row.len()..).unwrap_or_default();
        let is_absent =
            |column: usize| absent.get(column / 64).is_some_and(|word| word >> (column % 64) & 1 == 1);
        self.form == Form::Any
            && row.iter().enumerate().all(|(column, value)| value.is_none() == is_absent(column))
    }

    /// Bytes outside of the value itself.
    pub(crate) fn heap_size(&self) -> usize {
        if self.words.spilled() { self.words.capacity().saturating_mul(8) } else { 0 }
    }

    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }

    /// What lies in each bucket, then the sum's bits; empty unless the row is whole.
    pub(super) fn whole_words(&self) -> &[u64] {
        if self.is_whole() { &self.words } else { &[] }
    }

    /// Appends the body of `row`, all of whose columns are there, and makes it the newest.
    pub(crate) fn put(&mut self, layout: &Layout, row: &[f64], into: &mut Vec<u8>) -> Told {
        if let Some(told) = self.put_increments(layout, row, into) {
            return told;
        }
        let mut words = SmallVec::new();
        if whole_words(layout, row, &mut words).is_none() {
            return self.put_any(row, &[], into);
        }
        (self.form, self.words) = (Form::Whole, words);
        into.extend_from_slice(&[0, 0]);
        let buckets = layout.bounds().len();
        for word in self.words.iter().take(buckets) {
            varint::put(into, *word);
        }
        for sum in self.words.iter().skip(buckets) {
            into.extend_from_slice(&sum.to_le_bytes());
        }
        Told::Whole
    }

    /// Appends the body of a row, where `absent` is empty or says by bit which columns have no value, and makes it the newest.
    pub(crate) fn put_values(
        &mut self,
        layout: &Layout,
        row: &[f64],
        absent: &[u64],
        into: &mut Vec<u8>,
    ) -> Told {
        if absent.iter().all(|word| *word == 0) {
            self.put(layout, row, into)
        } else {
            self.put_any(row, absent, into)
        }
    }

    /// Appends the body of a row of which columns may be absent, and makes it the newest.
    pub(crate) fn put_sparse(&mut self, layout: &Layout, row: &[Option<f64>], into: &mut Vec<u8>) -> Told {
        let values: SmallVec<[f64; 24]> = row.iter().map(|value| value.unwrap_or(0.0)).collect();
        if row.iter().all(Option::is_some) {
            return self.put(layout, &values, into);
        }
        let mut absent: SmallVec<[u64; 2]> = SmallVec::new();
        for columns in row.chunks(64) {
            absent.push(columns.iter().rev().fold(0, |bits, value| (bits << 1) | u64::from(value.is_none())));
        }
        self.put_any(&values, &absent, into)
    }

    fn put_any(&mut self, row: &[f64], absent: &[u64], into: &mut Vec<u8>) -> Told {
        let mut words: SmallVec<[u64; 18]> = row.iter().map(|value| value.to_bits()).collect();
        words.extend_from_slice(absent);
        words.resize(row.len().saturating_add(absent_words(row.len())), 0);
        if self.form == Form::Any && self.words == words {
            into.push(1);
            return Told::Same;
        }
        (self.form, self.words) = (Form::Any, words);
        self.put_last(row.len(), into);
        Told::Any
    }

    /// The newest row as an absolute body of any form.
    fn put_last(&self, width: usize, into: &mut Vec<u8>) {
        into.extend_from_slice(&[0, 1]);
        let (values, absent) = self.words.split_at_checked(width).unwrap_or_default();
        let is_absent =
            |column: usize| absent.get(column / 64).is_some_and(|word| word >> (column % 64) & 1 == 1);
        for columns in (0..width).collect::<SmallVec<[usize; 24]>>().chunks(8) {
            into.push(
                columns.iter().rev().fold(0, |bits, column| (bits << 1) | u8::from(!is_absent(*column))),
            );
        }
        for (_, value) in values.iter().enumerate().filter(|(column, _)| !is_absent(*column)) {
            into.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// `None`: the row is not one that increments lead to, and nothing was done.
    fn put_increments(&mut self, layout: &Layout, row: &[f64], into: &mut Vec<u8>) -> Option<Told> {
        with_numbers(layout.bounds().len(), |increments| {
            let told = self.tell_increments(layout, row, increments, into)?;
            if told == Told::Increments {
                let (last, sum_bits) = self.words.split_at_mut_checked(increments.len())?;
                for (before, more) in last.iter_mut().zip(increments) {
                    *before = before.wrapping_add(*more);
                }
                if let Some(sum) = layout.sum_column() {
                    *sum_bits.first_mut()? = row.get(sum)?.to_bits();
                }
            }
            Some(told)
        })
    }

    /// Appends the body of `row` if increments lead to it, without making it the newest. `None`: nothing was done.
    pub(crate) fn tell(&self, layout: &Layout, row: &[f64], into: &mut Vec<u8>) -> Option<Told> {
        let buckets = layout.bounds().len();
        with_numbers(buckets, |increments| self.tell_increments(layout, row, increments, into))
    }

    fn tell_increments(
        &self,
        layout: &Layout,
        row: &[f64],
        increments: &mut [u64],
        into: &mut Vec<u8>,
    ) -> Option<Told> {
        let buckets = layout.bounds().len();
        if !self.is_whole() {
            return None;
        }
        let (last, sum_bits) = self.words.split_at_checked(buckets)?;
        let values = row.get(..buckets)?;
        let top = *values.last()?;
        let mut wrong = top > WHOLE;
        if let Some(count) = layout.count_column() {
            wrong |= row.get(count)?.to_bits() != top.to_bits();
        }
        let mut sums = None;
        if let Some(sum) = layout.sum_column() {
            let (sum, before) = (*row.get(sum)?, f64::from_bits(*sum_bits.first()?));
            wrong |= !sum.is_finite();
            sums = Some((sum, before));
        }
        if wrong {
            return None;
        }
        put_numbers(values, increments)?;
        let mut masks: SmallVec<[u64; 4]> = SmallVec::new();
        let (mut below, mut total, mut signs) = (0_u64, 0_u64, 0_u64);
        for (last, increments) in last.chunks(64).zip(increments.chunks_mut(64)) {
            let mut mask = 0_u64;
            for (bit, (before, increment)) in last.iter().zip(increments).enumerate() {
                let own = increment.wrapping_sub(below);
                let more = own.wrapping_sub(*before);
                // Neither may be negative; as no count exceeds 2^53, the highest bit tells.
                signs |= own | more;
                mask |= u64::from(more != 0) << bit;
                total = total.wrapping_add(more);
                below = std::mem::replace(increment, more);
            }
            masks.push(mask);
        }
        if signs >> 63 != 0 {
            return None;
        }
        if total == 0 {
            if sums.is_some_and(|(sum, before)| sum.to_bits() != before.to_bits()) {
                return None;
            }
            into.push(1);
            return Some(Told::Same);
        }
        varint::put(into, total.checked_add(1)?);
        put_counts(total, increments, &masks, into)?;
        if let Some((sum, before)) = sums {
            let (k, r) = split_sum(before, sum, layout.sum_scale());
            varint::put_signed(into, k);
            varint::put_signed(into, r);
        }
        Some(Told::Increments)
    }

    /// Takes a body from the front of `bytes` and makes its row the newest. `None`: damaged; the newest row is then anything.
    #[inline(always)]
    pub(crate) fn take(&mut self, layout: &Layout, bytes: &mut &[u8]) -> Option<Told> {
        // A slice of its own stays in registers.
        let mut rest = *bytes;
        let told = match varint::take(&mut rest)? {
            0 => self.take_absolute(layout, &mut rest),
            1 => (self.form != Form::None).then_some(Told::Same),
            _ if !self.is_whole() => None,
            head => {
                let buckets = layout.bounds().len();
                let (last, sum) = self.words.split_at_mut_checked(buckets)?;
                take_counts(head.wrapping_sub(1), buckets, &mut rest, |bucket, more| {
                    let before = last.get_mut(bucket)?;
                    *before = before.checked_add(more)?;
                    Some(())
                })?;
                if let Some(bits) = sum.first_mut() {
                    let parts = (varint::take_signed(&mut rest)?, varint::take_signed(&mut rest)?);
                    *bits = join_sum(f64::from_bits(*bits), parts, layout.sum_scale()).to_bits();
                }
                Some(Told::Increments)
            }
        };
        *bytes = rest;
        told
    }

    #[inline(never)]
    fn take_absolute(&mut self, layout: &Layout, bytes: &mut &[u8]) -> Option<Told> {
        let (form, rest) = bytes.split_first()?;
        *bytes = rest;
        let buckets = layout.bounds().len();
        self.words.clear();
        if *form == 0 && buckets > 0 {
            self.form = Form::Whole;
            let mut total = 0_u64;
            for _ in 0..buckets {
                let word = varint::take(bytes)?;
                total = total.checked_add(word)?;
                self.words.push(word);
            }
            if layout.sum_column().is_some() {
                let (sum, rest) = bytes.split_first_chunk::<8>()?;
                *bytes = rest;
                self.words.push(u64::from_le_bytes(*sum));
            }
            return Some(Told::Whole);
        }
        if *form != 1 {
            return None;
        }
        self.form = Form::Any;
        let width = layout.width();
        let (there, mut rest) = bytes.split_at_checked(width.div_ceil(8))?;
        let is_there =
            |column: usize| there.get(column / 8).is_some_and(|byte| byte >> (column % 8) & 1 == 1);
        for column in 0..width {
            let mut word = 0;
            if is_there(column) {
                let (number, after) = rest.split_first_chunk::<8>()?;
                rest = after;
                word = u64::from_le_bytes(*number);
            }
            self.words.push(word);
        }
        for start in (0..width).step_by(64) {
            let columns = start..width.min(start.saturating_add(64));
            self.words.push(columns.rev().fold(0, |bits, column| (bits << 1) | u64::from(!is_there(column))));
        }
        *bytes = rest;
        Some(Told::Any)
    }

    /// The row's values, and bits that say which columns are absent (none: all are there).
    pub(crate) fn values(&self, layout: &Layout, into: &mut SmallVec<[f64; 24]>) -> SmallVec<[u64; 2]> {
        into.clear();
        match self.form {
            Form::None => {
                into.resize(layout.width(), 0.0);
                SmallVec::from_elem(u64::MAX, absent_words(layout.width()))
            }
            Form::Whole => {
                put_whole_values(layout, &self.words, into);
                SmallVec::new()
            }
            Form::Any => {
                into.extend(self.words.iter().take(layout.width()).map(|bits| f64::from_bits(*bits)));
                let absent = self.words.iter().skip(layout.width()).copied();
                let absent: SmallVec<[u64; 2]> = absent.collect();
                if absent.iter().all(|word| *word == 0) { SmallVec::new() } else { absent }
            }
        }
    }

    /// The newest row, as an absolute body: for rows that are kept as they are.
    pub(super) fn absolute_body(&self, layout: &Layout, into: &mut Vec<u8>) {
        let mut values = SmallVec::new();
        let absent = self.values(layout, &mut values);
        let mut any = Self::default();
        any.put_any(&values, &absent, into);
    }
}

/// A count as value. None reaches 2^63, and a number with sign is converted by one instruction.
#[inline]
pub(super) fn count_value(count: u64) -> f64 {
    count.cast_signed() as f64
}

/// The values of a row from its words.
pub(super) fn put_whole_values(layout: &Layout, words: &[u64], into: &mut SmallVec<[f64; 24]>) {
    let buckets = layout.bounds().len();
    let mut total = 0_u64;
    into.extend(words.iter().take(buckets).map(|word| {
        total = total.wrapping_add(*word);
        count_value(total)
    }));
    if layout.count_column().is_some() {
        into.push(count_value(total));
    }
    into.extend(words.get(buckets).map(|bits| f64::from_bits(*bits)));
}

/// What of a layout says how long the body of a row is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RowShape {
    width: usize,
    buckets: usize,
    has_sum: bool,
}

impl RowShape {
    pub(crate) fn of(layout: &Layout) -> Self {
        let (width, buckets) = (layout.width(), layout.bounds().len());
        Self { width, buckets, has_sum: layout.sum_column().is_some() }
    }
}

/// Moves past the body of a row. `None`: damaged; not all damage is seen.
#[inline(always)]
pub(crate) fn skip_row(shape: RowShape, bytes: &mut &[u8]) -> Option<()> {
    let sums = u32::from(shape.has_sum) << 1;
    match varint::take(bytes)? {
        0 => skip_absolute(shape, bytes),
        1 => Some(()),
        2 => varint::skip(bytes, 1_u32.wrapping_add(sums)),
        _ => {
            let mut bits = 0_u32;
            for _ in 0..shape.buckets.div_ceil(64) {
                bits = bits.wrapping_add(varint::take(bytes)?.count_ones());
            }
            varint::skip(bytes, bits.checked_sub(1)?.wrapping_add(sums))
        }
    }
}

#[inline(never)]
fn skip_absolute(shape: RowShape, bytes: &mut &[u8]) -> Option<()> {
    let (form, rest) = bytes.split_first()?;
    *bytes = rest;
    if *form == 0 && shape.buckets > 0 {
        varint::skip(bytes, u32::try_from(shape.buckets).ok()?)?;
        let sum = if shape.has_sum { 8 } else { 0 };
        *bytes = bytes.get(sum..)?;
        return Some(());
    }
    let (there, rest) = bytes.split_at_checked(shape.width.div_ceil(8))?;
    let values: usize = there.iter().map(|bits| bits.count_ones() as usize).sum();
    *bytes = rest.get(values.checked_mul(8)?..)?;
    Some(())
}
