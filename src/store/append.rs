//! Appending: batches that become visible as a whole.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::chunk::{Column, Layout};
use crate::error::{Error, ErrorKind, Result};
use crate::model::label::{BUCKET_BOUND, METRIC_NAME};
use crate::model::{Labels, LabelsBuilder, Sample, Timestamp};

use super::head::{ItemHead, Taken};
use super::index::{Item, SeriesRef};
use super::{SHARDS, Store};

/// A batch of samples on their way into a [`Store`].
///
/// Nothing is visible before [`commit`](Self::commit); dropping the appender drops the batch.
#[derive(Debug)]
pub struct Appender {
    store: Store,
    samples: Vec<(Target, Sample)>,
    rows: Vec<FamilyRow>,
    /// The values of all rows, one row after the other.
    row_values: Vec<Option<f64>>,
}

/// A series of one store, found once: appending through it needs no look-up.
#[derive(Clone, Debug)]
pub struct SeriesHandle {
    series: SeriesRef,
    labels: Labels,
    store: Arc<()>,
}

/// A classic histogram of one store, found once: rows are appended through it.
#[derive(Clone, Debug)]
pub struct FamilyHandle {
    family: Arc<FamilyTarget>,
}

#[derive(Debug)]
struct FamilyTarget {
    item: u32,
    labels: Labels,
    layout: Arc<Layout>,
    /// Position in the item's columns of each column of the layout.
    columns: Box<[u32]>,
    store: Arc<()>,
}

/// What became of a batch.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct AppendReport {
    /// Samples that were taken.
    pub appended: usize,
    /// Samples that the store had already, bit for bit.
    pub duplicates: usize,
    /// Samples that were refused, in the order of series and time; they changed nothing.
    pub refused: Vec<Refusal>,
}

impl AppendReport {
    /// Adds what became of a further batch.
    pub(crate) fn add(&mut self, other: Self) {
        self.appended = self.appended.saturating_add(other.appended);
        self.duplicates = self.duplicates.saturating_add(other.duplicates);
        self.refused.extend(other.refused);
    }
}

/// A sample that was refused.
#[derive(Debug)]
#[non_exhaustive]
pub struct Refusal {
    /// The series that it was for.
    pub labels: Labels,
    /// Its time.
    pub timestamp: Timestamp,
    /// Why: [`ErrorKind::OutOfOrder`], [`ErrorKind::Limit`] or [`ErrorKind::InvalidArgument`].
    pub error: Error,
}

#[derive(Debug)]
enum Target {
    Labels(Labels),
    Series(SeriesRef),
}

#[derive(Debug)]
struct FamilyRow {
    family: Arc<FamilyTarget>,
    time: Timestamp,
}

impl Appender {
    pub(super) fn new(store: Store) -> Self {
        Self { store, samples: Vec::new(), rows: Vec::new(), row_values: Vec::new() }
    }

    /// Adds a sample to the series with these labels, which is made if the store does not have it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`] when the batch is full; it can still be committed. [`ErrorKind::InvalidArgument`] for the
    /// very first instant, which no window can hold.
    pub fn append(&mut self, labels: &Labels, sample: Sample) -> Result<()> {
        self.check_room(1)?;
        check_time(sample.timestamp)?;
        self.samples.push((Target::Labels(labels.clone()), sample));
        Ok(())
    }

    /// A handle for the series with these labels, which is made if the store does not have it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`] or [`ErrorKind::InvalidArgument`] when the store refuses such a series.
    pub fn handle(&mut self, labels: &Labels) -> Result<SeriesHandle> {
        let series = self.find_or_create(labels)?;
        Ok(SeriesHandle { series, labels: labels.clone(), store: self.store.inner.token.clone() })
    }

    /// Adds a sample to the handle's series.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`] when the batch is full, [`ErrorKind::InvalidArgument`] when the handle is another store's.
    pub fn append_to(&mut self, handle: &SeriesHandle, sample: Sample) -> Result<()> {
        self.check_room(1)?;
        self.check_token(&handle.store, &handle.labels)?;
        check_time(sample.timestamp)?;
        self.samples.push((Target::Series(handle.series), sample));
        Ok(())
    }

    /// A handle for the classic histogram whose series share these labels, made if the store does not have it.
    ///
    /// `labels` holds the base name (`x`, not `x_bucket`) and no `le`. `bounds` are the `le` values of the buckets as
    /// they are to be read back, rising, the last one usually `+Inf`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] when the bounds are not rising numbers, or when a series of these labels exists
    /// outside the histogram; [`ErrorKind::Limit`] when the store refuses so many series.
    pub fn family(&mut self, labels: &Labels, bounds: &[&str]) -> Result<FamilyHandle> {
        let invalid = |what: String| Error::new(ErrorKind::InvalidArgument, what);
        let allowed = self.store.inner.options.limits.buckets_per_family;
        if bounds.len() > allowed {
            let asked = bounds.len();
            let text = format!("buckets per histogram limit: {asked} asked, {allowed} allowed: {labels}");
            return Err(Error::new(ErrorKind::Limit, text));
        }
        let parsed: Option<Vec<f64>> = bounds.iter().map(|bound| bound.parse().ok()).collect();
        if bounds.is_empty() || !parsed.is_some_and(|bounds| bounds.is_sorted_by(|a, b| a < b)) {
            return Err(invalid(format!("bounds {bounds:?} are not rising numbers")));
        }
        if labels.metric_name().is_empty() || labels.get(BUCKET_BOUND).is_some() {
            return Err(invalid(format!("{labels} has no name, or a bucket's bound")));
        }
        let mut columns: Vec<Column> = bounds.iter().map(|bound| Column::Bucket(Arc::from(*bound))).collect();
        columns.extend([Column::Count, Column::Sum]);
        let layout = Layout::new(columns);
        let mut item = None;
        let mut positions = Vec::with_capacity(layout.width());
        for column in layout.columns() {
            let mut builder = LabelsBuilder::from_labels(labels);
            builder.set(METRIC_NAME, format!("{}{}", labels.metric_name(), column.suffix()));
            if let Column::Bucket(bound) = column {
                builder.set(BUCKET_BOUND, bound.clone());
            }
            let series = self.find_or_create(&builder.build())?;
            if *item.get_or_insert(series.item) != series.item {
                let name = column.suffix();
                return Err(invalid(format!(
                    "{labels}: the series ending in {name} exists outside the histogram"
                )));
            }
            positions.push(series.column);
        }
        let family = FamilyTarget {
            item: item.unwrap_or_default(),
            labels: labels.clone(),
            layout: Arc::new(layout),
            columns: positions.into(),
            store: self.store.inner.token.clone(),
        };
        Ok(FamilyHandle { family: Arc::new(family) })
    }

    /// Adds a row to a classic histogram: cumulative counts of the buckets in bound order, then count and sum.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] when there is not one value for each bound, or when the handle is another store's;
    /// [`ErrorKind::Limit`] when the batch is full.
    pub fn append_family(
        &mut self,
        family: &FamilyHandle,
        timestamp: Timestamp,
        buckets: &[f64],
        count: f64,
        sum: f64,
    ) -> Result<()> {
        let family = &family.family;
        let bounds = family.layout.bounds().len();
        if buckets.len() != bounds {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("{}: {} buckets for {bounds} bounds", family.labels, buckets.len()),
            ));
        }
        self.check_room(family.layout.width())?;
        self.check_token(&family.store, &family.labels)?;
        check_time(timestamp)?;
        self.row_values.extend(buckets.iter().copied().chain([count, sum]).map(Some));
        self.rows.push(FamilyRow { family: family.clone(), time: timestamp });
        Ok(())
    }

    /// How many samples the batch holds.
    pub fn len(&self) -> usize {
        self.samples.len().saturating_add(self.row_values.len())
    }

    /// Whether the batch holds nothing.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.rows.is_empty()
    }

    fn check_room(&self, more: usize) -> Result<()> {
        let asked = self.len().saturating_add(more);
        let allowed = self.store.inner.options.limits.batch_samples;
        if asked > allowed {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("batch limit: {asked} samples asked, {allowed} allowed; commit more often"),
            ));
        }
        Ok(())
    }

    fn check_token(&self, token: &Arc<()>, labels: &Labels) -> Result<()> {
        if Arc::ptr_eq(token, &self.store.inner.token) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("the handle of {labels} belongs to another store"),
        ))
    }

    fn find_or_create(&self, labels: &Labels) -> Result<SeriesRef> {
        let inner = &self.store.inner;
        if let Some(series) = inner.index.read().find(labels) {
            return Ok(series);
        }
        inner.index.write().find_or_create(labels, &inner.options.limits)
    }

    /// Makes the batch visible, all of it at once. Samples that cannot be taken are reported and change nothing.
    ///
    /// Samples of one series have to be in time order within the batch. The columns of a classic histogram are kept
    /// best when a batch holds all of them for an instant, but may come in any way.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`] when the store holds as many bytes of samples as it may: nothing of the batch is taken.
    pub fn commit(self) -> Result<AppendReport> {
        let Self { store, samples, rows, row_values } = self;
        let inner = &store.inner;
        let (used, allowed) = (inner.sample_bytes.load(Ordering::Relaxed), inner.options.limits.sample_bytes);
        if used >= allowed {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("sample bytes limit: {used} bytes in use, {allowed} allowed"),
            ));
        }
        let mut report = AppendReport::default();
        let mut parts = resolve(&store, samples, &mut report);
        for part in &mut parts {
            // Stable: the order in which samples of one series were appended decides which of two at one time is first.
            part.sort_by_key(|(series, sample)| (series.item, sample.timestamp));
        }

        let visible = inner.visible.read();
        for (number, part) in parts.iter().enumerate().filter(|(_, part)| !part.is_empty()) {
            append_to_shard(&store, number, part, &mut report);
        }
        let mut rest = row_values.as_slice();
        for row in &rows {
            let (values, after) = rest.split_at_checked(row.family.layout.width()).unwrap_or_default();
            append_row(&store, row, values, &mut report);
            rest = after;
        }
        drop(visible);
        inner.samples.fetch_add(report.appended as u64, Ordering::Relaxed);
        Ok(report)
    }
}

fn check_time(timestamp: Timestamp) -> Result<()> {
    if timestamp == Timestamp::MIN {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("no window can hold the instant {timestamp}"),
        ));
    }
    Ok(())
}

/// The samples of one shard.
type Part = Vec<(SeriesRef, Sample)>;

/// Labels to series, by shard; what the index refuses goes into the report.
fn resolve(store: &Store, samples: Vec<(Target, Sample)>, report: &mut AppendReport) -> [Part; SHARDS] {
    let inner = &store.inner;
    let mut parts: [Part; SHARDS] = std::array::from_fn(|_| Vec::new());
    let mut add = |series: SeriesRef, sample: Sample| {
        if let Some(part) = parts.get_mut(series.item as usize % SHARDS) {
            part.push((series, sample));
        }
    };
    let mut unknown = Vec::new();
    {
        let index = inner.index.read();
        let mut before: Option<(Labels, SeriesRef)> = None;
        for (target, sample) in samples {
            match target {
                Target::Series(series) => add(series, sample),
                Target::Labels(labels) => {
                    // Samples of one series tend to follow each other, and series as they did the first time.
                    let found = match &before {
                        Some((known, series)) if known.same_pointer(&labels) => Some(*series),
                        Some((known, series)) => index.find_after((known, *series), &labels),
                        None => index.find(&labels),
                    };
                    match found {
                        Some(series) => {
                            before = Some((labels, series));
                            add(series, sample);
                        }
                        None => unknown.push((labels, sample)),
                    }
                }
            }
        }
    }
    if !unknown.is_empty() {
        let mut index = inner.index.write();
        for (labels, sample) in unknown {
            match index.find_or_create(&labels, &inner.options.limits) {
                Ok(series) => add(series, sample),
                Err(error) => report.refused.push(Refusal { labels, timestamp: sample.timestamp, error }),
            }
        }
    }
    parts
}

fn append_to_shard(store: &Store, number: usize, batch: &[(SeriesRef, Sample)], report: &mut AppendReport) {
    let inner = &store.inner;
    let Some(shard) = inner.shards.get(number) else { return };
    // Always the index before a shard.
    let index = inner.index.read();
    let mut shard = shard.write();
    let shard = Arc::make_mut(&mut shard);
    let mut grown = 0_isize;
    for part in batch.chunk_by(|(a, _), (b, _)| a.item == b.item) {
        let Some((first, _)) = part.first() else { continue };
        let Some(item) = index.item(first.item) else { continue };
        let is_family = matches!(**item, Item::Family { .. });
        let slot = first.item as usize / SHARDS;
        let before = shard.byte_size(slot);
        let Some(head) = shard.item_mut(slot, is_family) else { continue };
        match (&**item, &mut *head) {
            (Item::Single(labels), ItemHead::Series(series)) => {
                for (_, sample) in part {
                    let outcome = series.append(sample.clone());
                    record(report, outcome, || labels.clone(), sample.timestamp);
                }
            }
            (Item::Family { columns, .. }, head) => {
                for instant in part.chunk_by(|(_, a), (_, b)| a.timestamp == b.timestamp) {
                    head.append_instant(columns, instant, |(series, sample), outcome| {
                        let column = columns.get(series.column as usize);
                        let labels =
                            || column.map_or_else(Labels::empty, |column| item.series_labels(column));
                        record(report, outcome, labels, sample.timestamp);
                    });
                }
            }
            // A single item has a single head.
            (Item::Single(_), _) => {}
        }
        grown = grown.saturating_add_unsigned(head.byte_size()).saturating_sub_unsigned(before);
    }
    inner.grow(grown);
}

fn append_row(store: &Store, row: &FamilyRow, values: &[Option<f64>], report: &mut AppendReport) {
    let inner = &store.inner;
    let family = &row.family;
    let number = family.item as usize % SHARDS;
    {
        let Some(shard) = inner.shards.get(number) else { return };
        let mut shard = shard.write();
        let slot = family.item as usize / SHARDS;
        let before = shard.byte_size(slot);
        let Some(head) = Arc::make_mut(&mut shard).item_mut(slot, true) else { return };
        if head.append_whole_row(row.time.as_millis(), &family.layout, values) {
            report.appended = report.appended.saturating_add(values.len());
            let grown = 0_isize.saturating_add_unsigned(head.byte_size()).saturating_sub_unsigned(before);
            inner.grow(grown);
            return;
        }
    }
    let samples: Vec<(SeriesRef, Sample)> = family
        .columns
        .iter()
        .zip(values)
        .filter_map(|(column, value)| {
            let series = SeriesRef { item: family.item, column: *column };
            Some((series, Sample::float(row.time, (*value)?)))
        })
        .collect();
    append_to_shard(store, number, &samples, report);
}

fn record(
    report: &mut AppendReport,
    outcome: Result<Taken>,
    labels: impl FnOnce() -> Labels,
    timestamp: Timestamp,
) {
    match outcome {
        Ok(Taken::New) => report.appended = report.appended.saturating_add(1),
        Ok(Taken::Duplicate) => report.duplicates = report.duplicates.saturating_add(1),
        Err(error) => report.refused.push(Refusal { labels: labels(), timestamp, error }),
    }
}
