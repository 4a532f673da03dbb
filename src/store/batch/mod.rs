//! A batch against what the store has: what is taken becomes entries of the log, the rest is reported.

mod family;
mod late;
mod rows;

use crate::chunk::LastValue;
use crate::error::Result;
use crate::model::{Labels, Sample, Timestamp};

use super::append::{AppendReport, Refusal};
use super::head::{ItemHead, Newest, Taken};
use super::index::{Index, Item, ItemRef, SeriesRef};
use super::snapshot::View;
use super::sync::RwLock;
use super::wal::{BatchWriter, Tables};
use late::Candidate;
pub(super) use late::LateRule;
pub(super) use rows::{Row, Rows};

/// Turns samples and rows into entries.
pub(super) struct Encoder<'a> {
    pub(super) index: &'a RwLock<Index>,
    pub(super) view: &'a View,
    pub(super) tables: &'a mut Tables,
    pub(super) batch: &'a mut BatchWriter,
    pub(super) report: AppendReport,
    pub(super) rule: LateRule,
    late: Vec<Candidate>,
}

impl<'a> Encoder<'a> {
    pub(super) fn new(
        index: &'a RwLock<Index>,
        view: &'a View,
        (tables, batch): (&'a mut Tables, &'a mut BatchWriter),
        rule: LateRule,
    ) -> Self {
        Self { index, view, tables, batch, report: AppendReport::default(), rule, late: Vec::new() }
    }
}

impl Encoder<'_> {
    /// Samples in the order of item and time.
    pub(super) fn add_samples(&mut self, samples: &[(SeriesRef, Sample)]) -> Result<()> {
        for part in samples.chunk_by(|(a, _), (b, _)| a.item == b.item) {
            let Some((first, _)) = part.first() else { continue };
            if self.add_next_samples(part) {
                continue;
            }
            let Some(item) = self.item(first.item) else { continue };
            match &item {
                Item::Single(labels) => self.add_single(&item, labels, part)?,
                Item::Family { columns, .. } => self.add_family(&item, columns, part)?,
            }
        }
        Ok(())
    }

    fn item(&self, item: u32) -> Option<Item> {
        self.index.read().item(item).map(ItemRef::to_item)
    }

    fn add_single(&mut self, item: &Item, labels: &Labels, samples: &[(SeriesRef, Sample)]) -> Result<()> {
        let Some((series, first)) = samples.first() else { return Ok(()) };
        let (mut newest, mut logged) = match self.view.heads.get(series.item) {
            Some(ItemHead::Series(head)) => (head.newest(), head.logged()),
            _ => {
                let known = self.view.newest_sealed(self.index, series.item, first.timestamp)?;
                (known.map_or(Newest::None, Newest::At), LastValue::default())
            }
        };
        for (series, sample) in samples {
            let outcome = newest.check(sample);
            if outcome.is_err() && self.leave_late(*series, sample, &newest) {
                continue;
            }
            if matches!(outcome, Ok(Taken::New)) {
                self.batch.put_sample(self.tables, (*series, item), &mut logged, sample);
                newest.set(sample);
            }
            self.record(outcome, || labels.clone(), sample.timestamp);
        }
        Ok(())
    }

    fn record(&mut self, outcome: Result<Taken>, labels: impl FnOnce() -> Labels, timestamp: Timestamp) {
        let report = &mut self.report;
        match outcome {
            Ok(Taken::New) => report.appended = report.appended.saturating_add(1),
            Ok(Taken::Duplicate) => report.duplicates = report.duplicates.saturating_add(1),
            Err(error) => report.refused.push(Refusal { labels: labels(), timestamp, error }),
        }
    }
}

/// The labels of one series of an item.
fn labels_of(item: &Item, series: SeriesRef) -> Labels {
    match item {
        Item::Single(labels) => labels.clone(),
        Item::Family { columns, .. } => columns
            .get(series.column as usize)
            .map_or_else(Labels::empty, |column| item.series_labels(column)),
    }
}
