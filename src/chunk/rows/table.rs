//! Rows of a classic histogram, read.

use crate::model::Window;

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

    /// Appends rows of zeros, all columns there, and hands out their values, row by row.
    ///
    /// The table has to be empty, or to hold rows of the same width.
    pub(crate) fn extend_rows(&mut self, times: &[i64], width: usize) -> &mut [f64] {
        self.width = width;
        let from = self.values.len();
        self.times.extend_from_slice(times);
        self.values.resize(from.saturating_add(times.len().saturating_mul(width)), 0.0);
        if !self.absent.is_empty() {
            self.absent.resize(self.times.len().saturating_mul(self.words()), 0);
        }
        self.values.get_mut(from..).unwrap_or_default()
    }

    /// Takes the value of row `row` in column `column` out.
    pub(crate) fn set_absent(&mut self, row: usize, column: usize) {
        if row >= self.times.len() || column >= self.width {
            return;
        }
        let words = self.words();
        self.absent.resize(self.times.len().saturating_mul(words), 0);
        if let Some(word) = self.absent.get_mut(row.saturating_mul(words).saturating_add(column / 64)) {
            *word |= 1 << (column % 64);
        }
        self.set(row, column, 0.0);
    }

    /// Replaces the value of row `row` in column `column`.
    pub(crate) fn set(&mut self, row: usize, column: usize, value: f64) {
        if column >= self.width {
            return;
        }
        if let Some(place) = self.values.get_mut(row.saturating_mul(self.width).saturating_add(column)) {
            *place = value;
        }
    }

    /// Forgets the rows from `rows` on.
    pub(crate) fn truncate(&mut self, rows: usize) {
        let words = self.words();
        self.times.truncate(rows);
        self.values.truncate(rows.saturating_mul(self.width));
        self.absent.truncate(rows.saturating_mul(words));
    }

    /// Appends a row of `width` values. `absent` is empty, or says by bit which columns have none.
    pub(crate) fn push_row(&mut self, time: i64, row: &[f64], absent: &[u64]) {
        self.width = row.len();
        let words = self.words();
        if !absent.is_empty() || !self.absent.is_empty() {
            self.absent.resize(self.times.len().saturating_mul(words), 0);
            let missing = words.saturating_sub(absent.len());
            self.absent.extend(absent.iter().take(words));
            self.absent.extend(std::iter::repeat_n(0, missing));
        }
        self.times.push(time);
        self.values.extend_from_slice(row);
    }

    /// Appends those rows of another table that lie inside the window.
    pub(crate) fn extend_inside(&mut self, other: &Self, window: Window) {
        let (after, until) = (window.after.as_millis(), window.until.as_millis());
        let words = other.words();
        for (index, time) in
            other.times.iter().enumerate().filter(|(_, time)| after < **time && **time <= until)
        {
            let absent = other.absent.get(index.saturating_mul(words)..).and_then(|rest| rest.get(..words));
            self.push_row(*time, other.row(index), absent.unwrap_or_default());
        }
    }

    /// How many values there are.
    pub(crate) fn value_count(&self) -> usize {
        let absent: usize = self.absent.iter().map(|word| word.count_ones() as usize).sum();
        self.values.len().saturating_sub(absent)
    }
}
