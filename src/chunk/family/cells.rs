//! Rows of a table as whole numbers, bucket by bucket, as far as they are.

use crate::chunk::{FamilyBuffer, Layout};
use crate::model::is_stale;

/// The bits of 2^53; those of a float that is not negative and not larger are not larger.
const MOST_BITS: u64 = 0x4340_0000_0000_0000;

/// What a table's rows are without the buckets below.
#[derive(Default)]
pub(super) struct Cells {
    pub(super) buckets: usize,
    /// Row by row what each bucket has beyond the one below it. A column without a value grew by nothing.
    pub(super) counts: Vec<u64>,
    /// By row.
    pub(super) rows: Vec<Row>,
    pub(super) sums: Vec<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Row {
    /// Every bucket that is there is a whole number up to 2^53 and none is below its left neighbour.
    pub(super) whole: bool,
    /// Some column is absent, or has a stale marker.
    pub(super) odd: bool,
    /// The last bucket, the count if it is the same.
    pub(super) total: u64,
    pub(super) count_differs: bool,
}

impl Cells {
    pub(super) fn new(layout: &Layout, table: &FamilyBuffer) -> Self {
        let buckets = layout.bounds().len();
        let rows = table.times().len();
        let mut cells = Self {
            buckets,
            counts: vec![0; rows.saturating_mul(buckets)],
            rows: Vec::with_capacity(rows),
            sums: Vec::with_capacity(rows),
        };
        let zeros = vec![0; buckets];
        let mut before = zeros.clone();
        let sum_column = layout.sum_column();
        let mut sum = sum_column.and_then(|column| {
            let present =
                (0..rows).filter(|row| table.has(*row, column)).filter_map(|row| table.row(row).get(column));
            present.copied().find(|sum| !is_stale(*sum))
        });
        for (row, counts) in (0..rows).zip(cells.counts.chunks_exact_mut(buckets.max(1))) {
            let values = table.row(row);
            let mut state = Row::default();
            match dense(values.get(..buckets).unwrap_or_default(), counts) {
                Some(total) if table.is_dense() => (state.whole, state.total) = (true, total),
                _ => {
                    let there = |column: usize, value: f64| table.has(row, column) && !is_stale(value);
                    state.odd = values.iter().enumerate().any(|(column, value)| !there(column, *value));
                    let total = sparse(values, &there, &before, counts)
                        .or_else(|| sparse(values, &there, &zeros, counts));
                    (state.whole, state.total) = (total.is_some(), total.unwrap_or(0));
                }
            }
            let value = |column: Option<usize>| {
                let column = column?;
                let value = values.get(column).copied()?;
                Some(value).filter(|value| table.has(row, column) && !is_stale(*value))
            };
            let count = value(layout.count_column());
            state.odd |= layout.count_column().is_some() && count.is_none();
            state.count_differs =
                count.is_some_and(|count| count.to_bits() != (state.total as f64).to_bits());
            if let Some(column) = sum_column {
                let now = value(Some(column));
                state.odd |= now.is_none();
                sum = now.or(sum);
                cells.sums.push(sum.unwrap_or(0.0));
            }
            cells.rows.push(state);
            if state.whole {
                before.copy_from_slice(counts);
            }
        }
        cells
    }

    /// What each bucket of a row has beyond the one below it.
    pub(super) fn row(&self, row: usize) -> &[u64] {
        let start = row.saturating_mul(self.buckets);
        self.counts.get(start..start.saturating_add(self.buckets)).unwrap_or_default()
    }
}

/// The whole number that a value is, if it is one up to 2^53.
#[inline(always)]
fn whole(value: f64) -> Option<u64> {
    let number = value as i64;
    (value.to_bits() <= MOST_BITS && number as f64 == value).then_some(number as u64)
}

/// A row that has every bucket, all below 2^52; the last one. Looks at all of them before it says no: without branches.
#[inline]
fn dense(values: &[f64], counts: &mut [u64]) -> Option<u64> {
    /// 2^52: a float from here on to its double is whole, its low bits are what it is more.
    const WHOLE: f64 = 4_503_599_627_370_496.0;
    let mut odd = 0_u64;
    for (value, count) in values.iter().zip(&mut *counts) {
        let shifted = *value + WHOLE;
        let fits = shifted - WHOLE == *value && *value < WHOLE;
        odd |= u64::from(!fits) << 63 | value.to_bits();
        *count = shifted.to_bits().wrapping_sub(WHOLE.to_bits());
    }
    let mut below = 0_u64;
    for count in counts {
        let value = *count;
        *count = value.wrapping_sub(below);
        odd |= *count;
        below = value;
    }
    (odd >> 63 == 0).then_some(below)
}

/// A row in which buckets may be absent: those are as much above the one below as they were before.
fn sparse(
    values: &[f64],
    there: &impl Fn(usize, f64) -> bool,
    before: &[u64],
    counts: &mut [u64],
) -> Option<u64> {
    let mut below = 0_u64;
    for (column, ((value, count), before)) in values.iter().zip(counts).zip(before).enumerate() {
        let value = if there(column, *value) { whole(*value)? } else { below.checked_add(*before)? };
        *count = value.checked_sub(below)?;
        below = value;
    }
    (below <= 1 << 53).then_some(below)
}
