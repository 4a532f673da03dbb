//! Samples of classic histograms: the samples of one instant make a row where they can.

use std::sync::Arc;

use smallvec::SmallVec;

use super::super::head::{FamilyHead, Heads, ItemHead, Newest, SeriesHead, Taken, duplicate, out_of_order};
use super::super::index::{ColumnList, Item, ItemRef, SeriesRef};
use super::super::wal::RowValues;
use super::{Encoder, Row, Rows, labels_of};
use crate::chunk::{Column, LastRow, LastValue, Layout};
use crate::error::Result;
use crate::model::{Sample, SampleValue, Timestamp};

/// The newest row of a family, the rows of this batch included.
struct Newer {
    layout: Arc<Layout>,
    row: LastRow,
    time: Option<i64>,
    /// Whether it is in memory, or deleted from there.
    is_held: bool,
}

/// So many rows in a page let the next one be read ahead: it will have as many.
const MANY: u32 = 4;

/// Why the samples of an instant make no row.
struct NoRow;

type Instant<'a> = &'a [(SeriesRef, Sample)];

impl Encoder<'_> {
    /// Rows in the order of item and time.
    pub(in super::super) fn add_rows(&mut self, rows: &Rows) -> Result<()> {
        let (mut page, mut in_page) = (None, 0_u32);
        for (first, count, part) in rows.by_item() {
            if page.is_none_or(|item| !Heads::are_neighbours(item, first.item)) {
                if in_page >= MANY {
                    self.view.heads.touch(first.item);
                }
                (page, in_page) = (Some(first.item), 0);
            }
            in_page = in_page.saturating_add(1);
            if count == 1 && self.add_next_row(&first) {
                continue;
            }
            let Some(item) = self.item(first.item) else { continue };
            let Item::Family { columns, .. } = &item else { continue };
            let part: SmallVec<[Row<'_>; 4]> = part.collect();
            self.add_rows_of(&item, columns, &part)?;
        }
        Ok(())
    }

    /// The usual case of samples: all columns of one histogram at one instant. `false`: nothing was done.
    pub(super) fn add_next_samples(&mut self, samples: Instant<'_>) -> bool {
        let [(first, sample), _, ..] = samples else { return false };
        let Some(ItemHead::Family(head)) = self.view.heads.get(first.item) else { return false };
        let layout = head.newest().0;
        if samples.len() != layout.width() {
            return false;
        }
        // The head's layout need not have the columns of the item, nor in their order.
        let mut row: SmallVec<[f64; 24]> = SmallVec::from_elem(0.0, samples.len());
        let mut seen = 0_u64;
        {
            let index = self.index.read();
            let Some(ItemRef::Family { columns, .. }) = index.item(first.item) else {
                return false;
            };
            if !Arc::ptr_eq(columns.layout(), layout) {
                return false;
            }
            for (series, other) in samples {
                let SampleValue::Float(value) = other.value else { return false };
                let Some(place) = columns.place(series.column).filter(|place| *place < 64) else {
                    return false;
                };
                let Some(slot) = row.get_mut(place) else { return false };
                if other.timestamp != sample.timestamp || other.start.is_some() {
                    return false;
                }
                *slot = value;
                seen |= 1 << place;
            }
        }
        // As many as there are columns: each of them once.
        if seen.count_ones() as usize != samples.len() {
            return false;
        }
        let (item, time) = (first.item, sample.timestamp);
        self.add_next_row(&Row { item, layout, time, values: &row })
    }

    /// The usual case: a row that increments lead to. `false`: nothing was done.
    fn add_next_row(&mut self, row: &Row<'_>) -> bool {
        let Some(ItemHead::Family(head)) = self.view.heads.get(row.item) else { return false };
        let (layout, last) = head.newest();
        let time = row.time.as_millis();
        if !Arc::ptr_eq(layout, row.layout) || head.last_time().is_none_or(|last| time <= last) {
            return false;
        }
        let is_told = self.batch.put_next_row(self.tables, row.item, (layout, last), time, row.values);
        if is_told {
            self.report.appended = self.report.appended.saturating_add(row.values.len());
        }
        is_told
    }

    /// The newest row of a family that a sample at `time` is for; `None`: its columns are series of their own.
    fn newer(&self, item: u32, columns: &ColumnList, time: Timestamp) -> Result<Option<Newer>> {
        Ok(match self.view.heads.get(item) {
            Some(ItemHead::Family(head)) => {
                let (layout, row) = head.newest();
                let time = head.last_time();
                Some(Newer { layout: layout.clone(), row: row.clone(), time, is_held: true })
            }
            Some(_) => None,
            None => {
                let time = self.view.newest_sealed(self.index, item, time)?;
                let layout = columns.layout().clone();
                Some(Newer { layout, row: LastRow::default(), time, is_held: false })
            }
        })
    }

    fn add_rows_of(&mut self, item: &Item, columns: &ColumnList, rows: &[Row<'_>]) -> Result<()> {
        let Some(first) = rows.first() else { return Ok(()) };
        let mut newer = self.newer(first.item, columns, first.time)?;
        let rising = rows.is_sorted_by(|a, b| a.time < b.time);
        if let Some(newer) = newer
            .as_mut()
            .filter(|newer| rising && newer.time.is_none_or(|last| first.time.as_millis() > last))
        {
            for row in rows {
                let time = row.time.as_millis();
                self.batch.put_row(
                    self.tables,
                    (row.item, item),
                    (row.layout, &mut newer.row),
                    time,
                    RowValues::All(row.values),
                );
                self.report.appended = self.report.appended.saturating_add(row.values.len());
            }
            return Ok(());
        }
        let samples: Vec<(SeriesRef, Sample)> = rows.iter().flat_map(|row| row.samples(columns)).collect();
        self.add_family(item, columns, &samples)
    }

    /// Samples of one family in time order.
    pub(super) fn add_family(
        &mut self,
        item: &Item,
        columns: &ColumnList,
        samples: Instant<'_>,
    ) -> Result<()> {
        let Some((series, first)) = samples.first() else { return Ok(()) };
        let number = series.item;
        let head = self.view.heads.get(number);
        if let Some(ItemHead::Columns(heads)) = head {
            let mut states: Vec<(Newest, LastValue)> =
                heads.iter().map(|head| (head.newest(), head.logged())).collect();
            return self.add_columns(item, columns, &mut states, samples);
        }
        let Some(mut newer) = self.newer(number, columns, first.timestamp)? else { return Ok(()) };
        let rows = match head {
            Some(ItemHead::Family(head)) => Some(head),
            _ => None,
        };
        let mut rest = samples;
        for instant in samples.chunk_by(|(_, a), (_, b)| a.timestamp == b.timestamp) {
            if self.add_instant(item, columns, &mut newer, instant).is_err() {
                let before = samples.get(..samples.len().saturating_sub(rest.len())).unwrap_or_default();
                let mut states = states_of(rows.as_deref(), columns, before)?;
                return self.add_columns(item, columns, &mut states, rest);
            }
            rest = rest.get(instant.len()..).unwrap_or_default();
        }
        Ok(())
    }

    /// `NoRow`: nothing was done.
    fn add_instant(
        &mut self,
        item: &Item,
        columns: &ColumnList,
        newer: &mut Newer,
        instant: Instant<'_>,
    ) -> Result<(), NoRow> {
        let (_, first) = instant.first().ok_or(NoRow)?;
        let is_float =
            |sample: &Sample| matches!(sample.value, SampleValue::Float(_)) && sample.start.is_none();
        if !instant.iter().all(|(_, sample)| is_float(sample)) {
            return Err(NoRow);
        }
        let time = first.timestamp.as_millis();
        if let Some(last) = newer.time.filter(|last| time <= *last) {
            return self.refuse_instant(item, columns, newer, last, instant);
        }
        let all = columns.layout();
        let mut row: SmallVec<[Option<f64>; 24]> = SmallVec::from_elem(None, all.width());
        let mut outcomes: SmallVec<[Result<Taken>; 24]> = SmallVec::new();
        for (series, sample) in instant {
            let SampleValue::Float(value) = sample.value else { return Err(NoRow) };
            let place = columns.place(series.column).and_then(|place| row.get_mut(place)).ok_or(NoRow)?;
            outcomes.push(match *place {
                None => {
                    *place = Some(value);
                    Ok(Taken::New)
                }
                Some(known) if known.to_bits() == value.to_bits() => Ok(Taken::Duplicate),
                Some(_) => Err(duplicate(sample.timestamp)),
            });
        }
        let number = instant.first().map_or(0, |(series, _)| series.item);
        if row.iter().all(Option::is_some) {
            let values: SmallVec<[f64; 24]> = row.iter().flatten().copied().collect();
            self.put_row((number, item), newer, all.clone(), time, RowValues::All(&values));
        } else {
            self.put_part((number, item), newer, all, time, &row);
        }
        for ((series, sample), outcome) in instant.iter().zip(outcomes) {
            self.record(outcome, || labels_of(item, *series), sample.timestamp);
        }
        Ok(())
    }

    fn put_row(
        &mut self,
        item: (u32, &Item),
        newer: &mut Newer,
        layout: Arc<Layout>,
        time: i64,
        row: RowValues<'_>,
    ) {
        newer.layout = layout;
        newer.time = Some(time);
        self.batch.put_row(self.tables, item, (&newer.layout, &mut newer.row), time, row);
    }

    /// A row that lacks some of the item's columns: in the layout of the rows before if that has them all, in one of
    /// its own when the same are missing again, as after a change of bounds.
    fn put_part(
        &mut self,
        item: (u32, &Item),
        newer: &mut Newer,
        all: &Arc<Layout>,
        time: i64,
        row: &[Option<f64>],
    ) {
        let there = || all.columns().iter().zip(row).filter_map(|(column, value)| Some((column, (*value)?)));
        let mut known: SmallVec<[Option<f64>; 24]> = SmallVec::from_elem(None, newer.layout.width());
        let fits = there().all(|(column, value)| {
            let place = newer.layout.position(column).and_then(|place| known.get_mut(place));
            place.is_some_and(|place| place.replace(value).is_none())
        });
        if fits {
            if known.iter().all(Option::is_some) {
                let values: SmallVec<[f64; 24]> = known.iter().flatten().copied().collect();
                return self.put_row(item, newer, newer.layout.clone(), time, RowValues::All(&values));
            }
            if !newer.row.lacks_the_same(&known) {
                return self.put_row(item, newer, newer.layout.clone(), time, RowValues::Some(&known));
            }
        }
        let columns: Vec<Column> = there().map(|(column, _)| column.clone()).collect();
        let layout = self.index.write().layout(&columns);
        let values: SmallVec<[f64; 24]> = there().map(|(_, value)| value).collect();
        self.put_row(item, newer, layout, time, RowValues::All(&values));
    }

    /// An instant that is not later than the newest row: every sample is refused or a duplicate.
    fn refuse_instant(
        &mut self,
        item: &Item,
        columns: &ColumnList,
        newer: &Newer,
        last: i64,
        instant: Instant<'_>,
    ) -> Result<(), NoRow> {
        let mut values = SmallVec::new();
        let absent = newer.row.values(&newer.layout, &mut values);
        let has_rows = newer.row.present(&newer.layout) > 0;
        if !has_rows && !newer.is_held {
            // Of what is sealed only the columns themselves know how far they go.
            return Err(NoRow);
        }
        if !has_rows {
            // Of a newest row that was deleted no more than the time is known here.
            let known = Newest::At(last);
            for (series, sample) in instant {
                if !self.leave_late(*series, sample, &known) {
                    let outcome = known.check(sample);
                    self.record(outcome, || labels_of(item, *series), sample.timestamp);
                }
            }
            return Ok(());
        }
        let mut outcomes: SmallVec<[Option<Result<Taken>>; 24]> = SmallVec::new();
        for (series, sample) in instant {
            let time = sample.timestamp;
            if time.as_millis() < last {
                // A column that the newest row lacks may still take it.
                let place =
                    columns.get(series.column as usize).and_then(|column| newer.layout.position(column));
                let is_absent =
                    |place: usize| absent.get(place / 64).is_none_or(|word| word >> (place % 64) & 1 == 1);
                if place.is_none_or(|place| !absent.is_empty() && is_absent(place)) {
                    return Err(NoRow);
                }
                let is_late = self.rule.window > 0;
                outcomes.push((!is_late).then(|| Err(out_of_order(time, Timestamp::from_millis(last)))));
                continue;
            }
            let place = columns.get(series.column as usize).and_then(|column| newer.layout.position(column));
            let place = place.ok_or(NoRow)?;
            if absent.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1) {
                return Err(NoRow);
            }
            let known = values.get(place).ok_or(NoRow)?;
            let SampleValue::Float(value) = sample.value else { return Err(NoRow) };
            let same = known.to_bits() == value.to_bits();
            outcomes.push(Some(if same { Ok(Taken::Duplicate) } else { Err(duplicate(time)) }));
        }
        for ((series, sample), outcome) in instant.iter().zip(outcomes) {
            match outcome {
                Some(outcome) => {
                    self.record(outcome, || labels_of(item, *series), sample.timestamp);
                }
                None => {
                    self.leave_late(*series, sample, &Newest::At(last));
                }
            }
        }
        Ok(())
    }

    /// Samples of a family whose columns are series of their own.
    fn add_columns(
        &mut self,
        item: &Item,
        columns: &ColumnList,
        states: &mut Vec<(Newest, LastValue)>,
        samples: Instant<'_>,
    ) -> Result<()> {
        if states.len() < columns.len() {
            states.resize_with(columns.len(), || (Newest::None, LastValue::default()));
        }
        for (series, sample) in samples {
            let Some((newest, logged)) = states.get_mut(series.column as usize) else { continue };
            let time = sample.timestamp;
            if newest.time().is_none_or(|known| known < time.as_millis()) {
                let is_unknown = newest.time().is_none();
                let beside = self.view.newest_beside(self.index, *series, columns, time, is_unknown)?;
                if beside > newest.time() {
                    *newest = beside.map_or(Newest::None, Newest::At);
                }
            }
            let outcome = newest.check(sample);
            if outcome.is_err() && self.leave_late(*series, sample, newest) {
                continue;
            }
            let labels = || labels_of(item, *series);
            if matches!(outcome, Ok(Taken::New)) {
                self.batch.put_sample(self.tables, (*series, item), logged, sample);
                newest.set(sample);
            }
            self.record(outcome, labels, sample.timestamp);
        }
        Ok(())
    }
}

/// What each column's newest sample is, those of this batch before the instant that made no row included.
fn states_of(
    rows: Option<&FamilyHead>,
    columns: &ColumnList,
    before: Instant<'_>,
) -> Result<Vec<(Newest, LastValue)>> {
    let heads = match rows {
        Some(head) => head.to_columns(columns)?,
        None => Vec::new(),
    };
    let newest = |head: Option<&SeriesHead>| head.map_or(Newest::None, SeriesHead::newest);
    let mut states: Vec<(Newest, LastValue)> =
        (0..columns.len()).map(|column| (newest(heads.get(column)), LastValue::default())).collect();
    for (series, sample) in before {
        if let Some((newest, _)) = states.get_mut(series.column as usize)
            && matches!(newest.check(sample), Ok(Taken::New))
        {
            newest.set(sample);
        }
    }
    Ok(states)
}
