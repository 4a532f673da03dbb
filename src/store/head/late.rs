//! Samples that came late: at times that the head of their series is past already.
//!
//! They lie beside the heads until they are sealed, and are merged by time whenever a series is read.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::super::SHARDS;
use super::series::{full_sizes, push};
use crate::chunk::{Chunk, FamilyRows, Hidden, LastRow, Layout, Masked, SeriesRows, touches};
use crate::model::{Sample, SampleBuffer, SampleValue, Window};

/// Rows or samples that are kept in order one by one; as many are sealed into a chunk of their own.
const BUFFERED: usize = 32;

/// The late samples of one item.
#[derive(Clone, Debug, Default)]
pub(crate) struct LateHead {
    /// Rows of a histogram in one layout after the other.
    rows: Option<Box<LateRows>>,
    /// Samples of a single series, and what of a histogram is no row, by column.
    series: SmallVec<[(u32, LateSeries); 1]>,
}

#[derive(Clone, Debug)]
struct LateRows {
    full: Vec<Chunk>,
    layout: Arc<Layout>,
    buffer: BTreeMap<i64, Box<[Option<f64>]>>,
}

#[derive(Clone, Debug, Default)]
struct LateSeries {
    full: Vec<Chunk>,
    buffer: BTreeMap<i64, Sample>,
}

fn chunks_size(chunks: &[Chunk]) -> usize {
    full_sizes(chunks).saturating_add(size_of_val(chunks))
}

impl LateRows {
    fn new(layout: Arc<Layout>) -> Self {
        Self { full: Vec::new(), layout, buffer: BTreeMap::new() }
    }

    fn push(&mut self, layout: &Arc<Layout>, time: i64, row: &[Option<f64>]) {
        if !Arc::ptr_eq(&self.layout, layout) && *self.layout != **layout {
            self.seal();
            self.layout = layout.clone();
        }
        let known = self.buffer.entry(time).or_insert_with(|| vec![None; row.len()].into());
        for (known, value) in known.iter_mut().zip(row) {
            *known = known.or(*value);
        }
        if self.buffer.len() >= BUFFERED {
            self.seal();
        }
    }

    fn seal(&mut self) {
        let chunks = self.buffered();
        self.full.extend(chunks);
        self.buffer.clear();
    }

    /// The buffer as chunks.
    fn buffered(&self) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        let mut rows = FamilyRows::new(self.layout.clone(), None);
        for (time, row) in &self.buffer {
            let mut body = Vec::new();
            let told = rows.last().clone().put_sparse(&self.layout, row, &mut body);
            if !rows.can_follow(told) {
                chunks.push(Chunk::Rows(Arc::new(rows)));
                rows = FamilyRows::new(self.layout.clone(), None);
                body.clear();
                LastRow::default().put_sparse(&self.layout, row, &mut body);
            }
            // What was told above is read back.
            let _told = rows.push(*time, &mut body.as_slice(), 0);
        }
        if rows.count() > 0 {
            chunks.push(Chunk::Rows(Arc::new(rows)));
        }
        chunks
    }

    fn byte_size(&self) -> usize {
        let row = self.layout.width().saturating_mul(size_of::<Option<f64>>()).saturating_add(40);
        chunks_size(&self.full).saturating_add(row.saturating_mul(self.buffer.len()))
    }
}

impl LateSeries {
    fn push(&mut self, sample: Sample) {
        self.buffer.insert(sample.timestamp.as_millis(), sample);
        if self.buffer.len() >= BUFFERED {
            self.full.extend(self.buffered());
            self.buffer.clear();
        }
    }

    /// The buffer as a chunk; `None` if it is empty.
    fn buffered(&self) -> Option<Chunk> {
        if self.buffer.is_empty() {
            return None;
        }
        let is_plain =
            |sample: &Sample| sample.start.is_none() && matches!(sample.value, SampleValue::Float(_));
        if self.buffer.values().all(is_plain) {
            let mut rows = SeriesRows::default();
            for sample in self.buffer.values() {
                if let SampleValue::Float(value) = sample.value {
                    rows.push(sample.timestamp.as_millis(), value);
                }
            }
            return Some(Chunk::Samples(Arc::new(rows)));
        }
        let mut columns = SampleBuffer::default();
        self.buffer.values().for_each(|sample| push(&mut columns, sample));
        Some(Chunk::Columns(Arc::new(columns)))
    }

    fn byte_size(&self) -> usize {
        let buffer = self.buffer.len().saturating_mul(size_of::<Sample>().saturating_add(16));
        chunks_size(&self.full).saturating_add(buffer)
    }
}

impl LateHead {
    /// Adds a row of a histogram; `None`: a column has no value. Columns that the time has already stay.
    pub(crate) fn push_row(&mut self, layout: &Arc<Layout>, time: i64, row: &[Option<f64>]) {
        let rows = self.rows.get_or_insert_with(|| Box::new(LateRows::new(layout.clone())));
        rows.push(layout, time, row);
    }

    /// Adds a sample of a single series (column 0), or of one column of a histogram.
    pub(crate) fn push(&mut self, column: u32, sample: Sample) {
        match self.series.iter_mut().find(|(own, _)| *own == column) {
            Some((_, series)) => series.push(sample),
            None => {
                let mut series = LateSeries::default();
                series.push(sample);
                self.series.push((column, series));
            }
        }
    }

    /// The chunks of rows that touch the window, in no order.
    pub(crate) fn rows(&self, window: Window) -> impl Iterator<Item = Chunk> + '_ {
        let rows = self.rows.iter().flat_map(|rows| {
            let buffered = rows.buffered();
            rows.full.iter().cloned().chain(buffered)
        });
        rows.filter(move |chunk| touches(chunk.time_range(), window))
    }

    /// The chunks of single columns that touch the window, in no order.
    pub(crate) fn series(&self, window: Window) -> impl Iterator<Item = (u32, Chunk)> + '_ {
        let chunks = self.series.iter().flat_map(|(column, series)| {
            let chunks = series.full.iter().cloned().chain(series.buffered());
            chunks.map(|chunk| (*column, chunk))
        });
        chunks.filter(move |(_, chunk)| touches(chunk.time_range(), window))
    }

    /// The newest time of all samples.
    pub(crate) fn newest(&self) -> Option<i64> {
        let rows = self.rows(Window::ALL).filter_map(|chunk| chunk.time_range());
        let series = self.series(Window::ALL).filter_map(|(_, chunk)| chunk.time_range());
        rows.chain(series).map(|(_, last)| last).max()
    }

    /// Takes out what is hidden: `rows` says it for rows of a layout, `series` for a column.
    pub(crate) fn hide(
        &mut self,
        rows: impl Fn(&Layout) -> Option<Hidden>,
        series: impl Fn(u32) -> Option<Hidden>,
    ) {
        if let Some(own) = &mut self.rows {
            own.seal();
            let hidden = own.full.drain(..).filter_map(|chunk| {
                let hidden = chunk.layout().and_then(|layout| rows(layout));
                match hidden {
                    Some(hidden) => Masked::without(chunk, SmallVec::from_iter([hidden])),
                    None => Some(chunk),
                }
            });
            own.full = hidden.collect();
        }
        self.rows = self.rows.take().filter(|rows| !rows.full.is_empty());
        for (column, own) in &mut self.series {
            let Some(hidden) = series(*column) else { continue };
            let (first, last) = hidden.times;
            own.buffer.retain(|time, _| *time < first || last < *time);
            let full = own.full.drain(..);
            let hidden =
                full.filter_map(|chunk| Masked::without(chunk, SmallVec::from_iter([hidden.clone()])));
            own.full = hidden.collect();
        }
        self.series.retain(|(_, series)| !series.full.is_empty() || !series.buffer.is_empty());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_none() && self.series.is_empty()
    }

    /// Adds what came later than this.
    fn extend(&mut self, later: &Self) {
        if let Some(rows) = &later.rows {
            match &mut self.rows {
                None => self.rows = Some(rows.clone()),
                Some(own) => {
                    own.full.extend(rows.full.iter().cloned());
                    rows.buffer.iter().for_each(|(time, row)| own.push(&rows.layout, *time, row));
                }
            }
        }
        for (column, series) in &later.series {
            match self.series.iter_mut().find(|(own, _)| own == column) {
                None => self.series.push((*column, series.clone())),
                Some((_, own)) => {
                    own.full.extend(series.full.iter().cloned());
                    series.buffer.values().for_each(|sample| own.push(sample.clone()));
                }
            }
        }
    }

    fn byte_size(&self) -> usize {
        let rows = self.rows.as_ref().map_or(0, |rows| rows.byte_size().saturating_add(80));
        let series = self.series.iter().map(|(_, series)| series.byte_size().saturating_add(64));
        series.fold(rows, usize::saturating_add).saturating_add(96)
    }
}

type Shard = HashMap<u32, Arc<LateHead>>;

/// The late samples of all items, in shards that are copied when a snapshot still reads them.
#[derive(Clone, Debug, Default)]
pub(crate) struct LateHeads {
    /// Empty, or [`SHARDS`] of them.
    shards: Arc<Vec<Arc<Shard>>>,
}

impl LateHeads {
    pub(crate) fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.is_empty())
    }

    #[inline]
    pub(crate) fn get(&self, item: u32) -> Option<&Arc<LateHead>> {
        self.shards.get(item as usize % SHARDS)?.get(&item)
    }

    /// Changes the late samples of an item, which has none at first. Says by how many bytes they grew.
    pub(crate) fn change(&mut self, item: u32, change: impl FnOnce(&mut LateHead)) -> isize {
        let shards = Arc::make_mut(&mut self.shards);
        if shards.is_empty() {
            shards.resize_with(SHARDS, Arc::default);
        }
        let Some(shard) = shards.get_mut(item as usize % SHARDS).map(Arc::make_mut) else { return 0 };
        let before = shard.get(&item).map_or(0, |head| head.byte_size());
        let head = shard.entry(item).or_default();
        change(Arc::make_mut(head));
        let after = if head.is_empty() { 0 } else { head.byte_size() };
        if after == 0 {
            shard.remove(&item);
        }
        0_isize.saturating_add_unsigned(after).saturating_sub_unsigned(before)
    }

    /// All of them with their item's number, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Arc<LateHead>)> {
        self.shards.iter().flat_map(|shard| shard.iter().map(|(item, head)| (*item, head)))
    }

    /// Both, `later` being what came later. Says by how many bytes they grew together.
    pub(crate) fn join(&mut self, later: &Self) -> isize {
        let mut grown = 0_isize;
        for (item, head) in later.iter() {
            grown = grown
                .saturating_add(self.change(item, |own| own.extend(head)))
                .saturating_sub_unsigned(head.byte_size());
        }
        grown
    }

    pub(crate) fn byte_size(&self) -> usize {
        self.iter().map(|(_, head)| head.byte_size()).fold(0, usize::saturating_add)
    }
}
