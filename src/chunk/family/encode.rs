//! Where rows are cut into bodies, and what each body is.

use std::ops::Range;

use super::cells::Cells;
use super::exception;
use super::fit::{self, Increments};
use super::header::{ColumnBody, Header, Rows, Sum};
use super::model::{CountModel, MOST_BUCKETS, SumModel, spans};
use super::sum::SumForm;
use crate::chunk::series::encode_values;
use crate::chunk::{Body, BodyKind, FamilyBuffer, Layout};
use crate::codec::probability::tables;
use crate::codec::rans::Encoder;
use crate::codec::varint;

/// Pieces with fewer rows are tried as columns together with their neighbours.
const SHORT: usize = 8;
/// A sum that falls more often than once in so many rows is a column of its own.
const SUM_CUTS: usize = 16;
/// Bytes that a body takes beside its own.
const FRAME: usize = 12;

pub(super) fn bodies(layout: &Layout, table: &FamilyBuffer, into: &mut Vec<Body>) {
    let rows = table.times().len();
    if layout.bounds().is_empty() || layout.bounds().len() > MOST_BUCKETS {
        if rows > 0 {
            into.push(raw_body(layout, table, 0..rows));
        }
        return;
    }
    let mut writer = Writer {
        layout,
        table,
        cells: Cells::new(layout, table),
        spans: spans(layout.bounds()),
        counts: Encoder::default(),
        sums: Encoder::default(),
    };
    for (whole, run) in runs(&writer.cells) {
        if whole {
            writer.run(run, into);
        } else {
            into.push(raw_body(layout, table, run));
        }
    }
}

/// Rows that can be whole-number rows and rows that cannot, by turns; a few of the former amid the latter stay with them.
fn runs(cells: &Cells) -> Vec<(bool, Range<usize>)> {
    let mut runs: Vec<(bool, Range<usize>)> = Vec::new();
    for (index, row) in cells.rows.iter().enumerate() {
        match runs.last_mut() {
            Some((whole, run)) if *whole == row.whole => run.end = index.saturating_add(1),
            _ => runs.push((row.whole, index..index.saturating_add(1))),
        }
    }
    if runs.len() == 1 {
        return runs;
    }
    let mut merged: Vec<(bool, Range<usize>)> = Vec::new();
    for (whole, run) in runs {
        let whole = whole && run.len() >= SHORT;
        match merged.last_mut() {
            Some((last, before)) if *last == whole => before.end = run.end,
            _ => merged.push((whole, run)),
        }
    }
    merged
}

fn raw_body(layout: &Layout, table: &FamilyBuffer, rows: Range<usize>) -> Body {
    let mut bytes = Vec::new();
    exception::put(&mut bytes, &exception::find(table, rows.clone(), false), layout.width());
    for column in 0..layout.width() {
        let (kind, body) =
            column_values(table, rows.clone(), column, |row| table.has(row, column), |_, last| last);
        bytes.push(kind as u8);
        varint::put(&mut bytes, body.len() as u64);
        bytes.extend_from_slice(&body);
    }
    Body { kind: BodyKind::RawColumns, rows, bytes }
}

/// A column of its own; where it has no value of its own it has what `otherwise` makes of the last one.
fn column_values(
    table: &FamilyBuffer,
    rows: Range<usize>,
    column: usize,
    has: impl Fn(usize) -> bool,
    otherwise: impl Fn(usize, f64) -> f64,
) -> (BodyKind, Vec<u8>) {
    let value = |row: usize| table.row(row).get(column).copied().unwrap_or(0.0);
    let mut last = rows.clone().find(|row| has(*row)).map_or(0.0, value);
    let values: Vec<f64> = rows
        .map(|row| {
            last = if has(row) { value(row) } else { otherwise(row, last) };
            last
        })
        .collect();
    encode_values(&values)
}

struct Writer<'a> {
    layout: &'a Layout,
    table: &'a FamilyBuffer,
    cells: Cells,
    spans: Vec<(f64, f64)>,
    counts: Encoder,
    sums: Encoder,
}

impl Writer<'_> {
    /// Writes rows of whole numbers.
    fn run(&mut self, run: Range<usize>, into: &mut Vec<Body>) {
        let rows = run.len();
        let mut counts_cut: Vec<usize> = Vec::new();
        let mut sums_cut: Vec<usize> = Vec::new();
        for row in run.clone().skip(1) {
            if self.counts_fall(row) {
                counts_cut.push(row);
            } else if self.sum_cuts(row) {
                sums_cut.push(row);
            }
        }
        let sum_column = sums_cut.len().saturating_mul(SUM_CUTS) > rows;
        let mut cuts = counts_cut;
        if !sum_column {
            cuts.extend(sums_cut);
            cuts.sort_unstable();
        }
        cuts.push(run.end);
        let mut start = run.start;
        let mut short: Vec<Body> = Vec::new();
        for cut in cuts {
            let body = self.piece(start..cut, sum_column);
            if body.rows.len() >= SHORT {
                self.settle(&mut short, into);
                into.push(body);
            } else {
                short.push(body);
            }
            start = cut;
        }
        self.settle(&mut short, into);
    }

    /// Writes short pieces that follow each other, or all of them as columns if that is shorter.
    fn settle(&self, short: &mut Vec<Body>, into: &mut Vec<Body>) {
        if let [first, .., last] = short.as_slice() {
            let raw = raw_body(self.layout, self.table, first.rows.start..last.rows.end);
            let bytes = short.iter().map(|body| body.bytes.len().saturating_add(FRAME));
            if raw.bytes.len().saturating_add(FRAME) < bytes.fold(0, usize::saturating_add) {
                short.clear();
                short.push(raw);
            }
        }
        into.append(short);
    }

    fn counts_fall(&self, row: usize) -> bool {
        let before = self.cells.row(row.saturating_sub(1));
        // Counts are below 2^63: what falls has a sign.
        let signs = self
            .cells
            .row(row)
            .iter()
            .zip(before)
            .fold(0, |signs, (now, before)| signs | now.wrapping_sub(*before));
        signs >> 63 == 1
    }

    /// Whether the sum does not go on as it does inside of a body, while the counts do.
    fn sum_cuts(&self, row: usize) -> bool {
        let before = row.saturating_sub(1);
        let (Some(sum), Some(last)) = (self.cells.sums.get(row), self.cells.sums.get(before)) else {
            return false;
        };
        let total = |row: usize| self.cells.rows.get(row).map(|row| row.total);
        let rises = sum >= last;
        !rises || (total(row) == total(before) && sum.to_bits() != last.to_bits())
    }

    /// Writes rows in which no bucket falls, and, unless it is a column of its own, no sum.
    fn piece(&mut self, piece: Range<usize>, sum_column: bool) -> Body {
        let width = self.layout.width();
        let states = self.cells.rows.get(piece.clone()).unwrap_or_default();
        let exceptions = if states.iter().any(|row| row.odd) {
            exception::find(self.table, piece.clone(), true)
        } else {
            Vec::new()
        };
        let there = |row: usize, column: usize| {
            let value = self.table.row(row).get(column).copied().unwrap_or(0.0);
            self.table.has(row, column) && !crate::model::is_stale(value)
        };
        let column = |column: usize, otherwise: &dyn Fn(usize, f64) -> f64| {
            let (kind, bytes) =
                column_values(self.table, piece.clone(), column, |row| there(row, column), otherwise);
            ColumnBody { kind, bytes }
        };
        let count = match self.layout.count_column() {
            Some(count) if states.iter().any(|row| row.count_differs) => Some(column(count, &|_, last| last)),
            _ => None,
        };
        let sums = self.cells.sums.get(piece.clone()).unwrap_or_default();
        let sum = match self.layout.sum_column() {
            None => Sum::None,
            Some(sum) if sum_column => Sum::Column(column(sum, &|_, last| last)),
            Some(_) => Sum::Coded(SumForm::choose(sums), sums.first().copied().unwrap_or(0.0)),
        };
        let base = self.cells.row(piece.start).to_vec();
        let last = self.cells.row(piece.end.saturating_sub(1));
        let totals: Vec<u64> =
            last.iter().zip(&base).map(|(last, base)| last.saturating_sub(*base)).collect();
        let last_sum = sums.last().copied().unwrap_or(0.0);
        let mut header = Header { exceptions, base, count, sum, rows: None };
        let kind = if totals.iter().all(|total| *total == 0) {
            BodyKind::FamilyConstant
        } else {
            header.rows = self.rows(piece.clone(), &header.sum, totals, last_sum);
            // What the model cannot state is a column.
            if header.rows.is_none() {
                return raw_body(self.layout, self.table, piece);
            }
            BodyKind::Family
        };
        Body { kind, rows: piece, bytes: header.to_bytes(width) }
    }

    /// Codes the rows after the first.
    fn rows(
        &mut self,
        piece: Range<usize>,
        sum: &Sum<Vec<u8>>,
        totals: Vec<u64>,
        last_sum: f64,
    ) -> Option<Rows<Vec<u8>>> {
        let tables = tables();
        let mut order: Vec<usize> =
            (0..totals.len()).filter(|bucket| totals.get(*bucket) != Some(&0)).collect();
        order.sort_by_key(|bucket| (std::cmp::Reverse(totals.get(*bucket)), *bucket));
        let form = if let Sum::Coded(form, _) = sum { Some(*form) } else { None };
        let rows = self.increments(piece, &order, form);
        let mut scales = fit::scales(&rows);
        let ordered: Vec<(f64, f64)> =
            order.iter().filter_map(|bucket| self.spans.get(*bucket).copied()).collect();
        let means =
            form.map(|form| fit::sums(&rows, &ordered, form, last_sum, &mut scales)).unwrap_or_default();

        let mut counts = CountModel::new(&totals, rows.rows, scales)?;
        let mut sums = form.map(|form| SumModel::new(&ordered, &means, form.unit(last_sum), scales));
        self.counts.clear();
        self.sums.clear();
        let mut increments = vec![0_u64; order.len()];
        let mut live = rows.counts.chunks_exact(rows.width.max(1));
        let mut changes = rows.sums.iter();
        for total in &rows.totals {
            if *total > 0 {
                increments.copy_from_slice(live.next()?);
            }
            let (_, stated) = counts.row(&mut self.counts, tables, *total, &mut increments)?;
            if let (Some(sums), true) = (&mut sums, *total > 0) {
                let stated = increments.get(..stated)?;
                sums.row(&mut self.sums, tables, (*total, stated), *changes.next()?)?;
            }
        }
        let (coded, raw) = self.counts.finish();
        let (coded_sums, raw_sums) =
            if sums.is_some() { self.sums.finish() } else { (Vec::new(), &[] as &[u8]) };
        // In the order of the buckets, as the totals are.
        let mut by_bucket: Vec<(usize, u8)> = order.iter().copied().zip(means).collect();
        by_bucket.sort_unstable();
        Some(Rows {
            totals,
            means: by_bucket.into_iter().map(|(_, mean)| mean).collect(),
            last_sum,
            scales,
            streams: [coded, raw.to_vec(), coded_sums, raw_sums.to_vec()],
        })
    }

    fn increments(&self, piece: Range<usize>, order: &[usize], form: Option<SumForm>) -> Increments {
        let further = piece.len().saturating_sub(1);
        let mut rows = Increments {
            rows: further,
            width: order.len(),
            totals: Vec::with_capacity(further),
            counts: Vec::with_capacity(further.saturating_mul(order.len())),
            sums: Vec::with_capacity(if form.is_some() { further } else { 0 }),
        };
        let total = |row: usize| self.cells.rows.get(row).map_or(0, |row| row.total);
        for row in piece.skip(1) {
            let before = row.saturating_sub(1);
            let more = total(row).saturating_sub(total(before));
            rows.totals.push(more);
            if more == 0 {
                continue;
            }
            let (now, last) = (self.cells.row(row), self.cells.row(before));
            rows.counts.extend(order.iter().map(|bucket| {
                let count = |cells: &[u64]| cells.get(*bucket).copied().unwrap_or(0);
                count(now).saturating_sub(count(last))
            }));
            let sum = |row: usize| self.cells.sums.get(row).copied().unwrap_or(0.0);
            if let Some(form) = form {
                rows.sums.push(form.split(sum(before), sum(row)));
            }
        }
        rows
    }
}
