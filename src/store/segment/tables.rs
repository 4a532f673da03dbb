//! Writing what a segment says of its items: symbols, layouts, items, postings.

use std::sync::Arc;

use smallvec::SmallVec;

use super::super::index::{SeriesRef, column_name};
use super::blocks::BlockWriter;
use super::items::PartKind;
use super::postings::PostingsWriter;
use super::symbols::{TextWriter, put_symbols};
use crate::chunk::{Column, Layout, Place};
use crate::codec::varint;
use crate::model::Labels;
use crate::model::label::METRIC_NAME;

/// Items that are gathered. Texts have the numbers that they got as they came: they are sorted at the end.
#[derive(Debug, Default)]
pub(super) struct TableWriter {
    names: TextWriter,
    values: TextWriter,
    layouts: Vec<Arc<Layout>>,
    items: Vec<Added>,
}

#[derive(Debug)]
struct Added {
    series: Option<SeriesRef>,
    kind: PartKind,
    pairs: Box<[(u32, u32)]>,
    /// The names of a histogram's series.
    series_names: SmallVec<[u32; 3]>,
    directory: Box<[u8]>,
}

/// The sections, and which series of the index each item is, as far as that is known.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) symbols: Vec<u8>,
    pub(super) layouts: Vec<u8>,
    pub(super) items: Vec<u8>,
    pub(super) postings: Vec<u8>,
    pub(super) known: Vec<Option<SeriesRef>>,
}

impl TableWriter {
    /// Adds an item, whose labels come behind those of all before it. `layouts`: those of a histogram's rows.
    pub(super) fn add<'a>(
        &mut self,
        series: Option<SeriesRef>,
        kind: PartKind,
        labels: &Labels,
        layouts: impl Iterator<Item = &'a Arc<Layout>>,
        directory: Vec<u8>,
    ) {
        let pairs = labels.iter();
        let pairs = pairs.map(|label| (self.names.number(&label.name), self.values.number(&label.value)));
        let pairs = pairs.collect();
        let mut series_names: SmallVec<[u32; 3]> = SmallVec::new();
        let mut before = "";
        for column in layouts.flat_map(|layout| layout.columns()) {
            if before != column.suffix() {
                before = column.suffix();
                let name = self.values.number(&column_name(labels.metric_name(), column).into());
                if !series_names.contains(&name) {
                    series_names.push(name);
                }
            }
        }
        self.items.push(Added { series, kind, pairs, series_names, directory: directory.into() });
    }

    /// The number of a layout.
    pub(super) fn layout(&mut self, layout: &Arc<Layout>) -> u32 {
        let place = self.layouts.iter().position(|known| Arc::ptr_eq(known, layout));
        let place = place.unwrap_or_else(|| {
            self.layouts.push(layout.clone());
            self.layouts.len().saturating_sub(1)
        });
        u32::try_from(place).unwrap_or(u32::MAX)
    }

    pub(super) fn finish(mut self) -> Tables {
        let mut tables = Tables::default();
        let mut bounds = Vec::new();
        for column in self.layouts.iter().flat_map(|layout| layout.columns()) {
            if let Column::Bucket(bound) = column {
                bounds.push(self.values.number(bound));
            }
        }
        let metric_name = self.names.number(&Arc::from(METRIC_NAME));
        let (names, values) = put_symbols(self.names, self.values, &mut tables.symbols);
        let number = |numbers: &[u32], text: u32| numbers.get(text as usize).copied().unwrap_or(u32::MAX);

        let mut bounds = bounds.into_iter();
        varint::put(&mut tables.layouts, self.layouts.len() as u64);
        for layout in &self.layouts {
            varint::put(&mut tables.layouts, layout.width() as u64);
            for column in layout.columns() {
                match column {
                    Column::Bucket(_) => {
                        tables.layouts.push(0);
                        let bound = bounds.next().map_or(u32::MAX, |bound| number(&values, bound));
                        varint::put(&mut tables.layouts, u64::from(bound));
                    }
                    Column::Count => tables.layouts.push(1),
                    Column::Sum => tables.layouts.push(2),
                }
            }
        }

        let (mut items, mut postings) = (BlockWriter::default(), PostingsWriter::default());
        let mut record = Vec::new();
        for (place, item) in (0_u32..).zip(self.items) {
            record.clear();
            record.push(item.kind as u8);
            let is_family = item.kind == PartKind::Family;
            varint::put(&mut record, item.pairs.len() as u64);
            for (name, value) in &item.pairs {
                let (own, value) = (number(&names, *name), number(&values, *value));
                varint::put(&mut record, u64::from(own));
                varint::put(&mut record, u64::from(value));
                if !is_family || *name != metric_name {
                    postings.add(own, value, place);
                }
            }
            if is_family {
                postings.add_family(place);
                for name in item.series_names {
                    postings.add(number(&names, metric_name), number(&values, name), place);
                }
            }
            record.extend_from_slice(&item.directory);
            items.push(|_, into| varint::put_bytes(into, &record));
            tables.known.push(item.series);
        }
        items.put(&mut tables.items);
        postings.put(names.len(), &mut tables.postings);
        tables
    }
}

/// A chunk directory that is being written.
#[derive(Debug, Default)]
pub(super) struct DirectoryWriter {
    bytes: Vec<u8>,
    count: u64,
    time: i64,
    end: u64,
}

impl DirectoryWriter {
    pub(super) fn add(&mut self, layout: Option<u32>, place: Place) {
        if let Some(layout) = layout {
            varint::put(&mut self.bytes, u64::from(layout));
        }
        varint::put_signed(&mut self.bytes, place.first.wrapping_sub(self.time));
        varint::put(&mut self.bytes, place.last.wrapping_sub(place.first) as u64);
        varint::put_signed(&mut self.bytes, place.offset.wrapping_sub(self.end) as i64);
        varint::put(&mut self.bytes, u64::from(place.length));
        (self.time, self.end) = (place.last, place.offset.saturating_add(u64::from(place.length)));
        self.count = self.count.saturating_add(1);
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn finish(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes.len().saturating_add(2));
        varint::put(&mut bytes, self.count);
        bytes.extend_from_slice(&self.bytes);
        bytes
    }
}
