//! Appending: batches that become visible as a whole.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::chunk::{Column, Layout};
use crate::error::{Error, ErrorKind, Result};
use crate::model::label::{BUCKET_BOUND, METRIC_NAME};
use crate::model::{Exemplar, Labels, LabelsBuilder, Sample, Timestamp};

use super::batch::Rows;
use super::cohort::Learning;
use super::exemplars;
use super::handle::{FamilyHandle, SeriesHandle};
use super::index::{Index, ItemRef, SeriesRef, histogram_column, is_shared, shared_labels};
use super::pin::Pin;
use super::{Inner, Store};

/// A batch of samples on their way into a [`Store`].
///
/// Nothing is visible before [`commit`](Self::commit); dropping the appender drops the batch.
#[derive(Debug)]
pub struct Appender {
    pub(super) store: Store,
    /// Numbers of items that the batch holds stay theirs.
    pub(super) pin: Pin,
    pub(super) samples: Vec<(SeriesRef, Sample)>,
    /// Which of the samples have labels whose series is not known yet.
    pub(super) unknown: Vec<(usize, Labels)>,
    exemplars: Vec<(Labels, Exemplar)>,
    learning: Learning,
    rows: Rows,
    now: Option<Timestamp>,
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
    /// Exemplars that were taken.
    pub exemplars: usize,
    /// Exemplars that were refused; they changed nothing, and no gate doubts the samples for them.
    pub refused_exemplars: Vec<Refusal>,
    /// The batch's number in the log, rising from batch to batch; 0 for a store in memory, and if nothing was taken.
    pub sequence: u64,
    /// Whether the batch survives a power cut: always with [`Durability::Each`](crate::Durability::Each).
    pub durable: bool,
}

impl AppendReport {
    /// Adds what became of a further batch.
    pub(crate) fn add(&mut self, other: Self) {
        self.appended = self.appended.saturating_add(other.appended);
        self.duplicates = self.duplicates.saturating_add(other.duplicates);
        self.refused.extend(other.refused);
        self.exemplars = self.exemplars.saturating_add(other.exemplars);
        self.refused_exemplars.extend(other.refused_exemplars);
        self.sequence = self.sequence.max(other.sequence);
        self.durable = other.durable;
    }
}

/// A sample that was refused, or an exemplar.
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

impl Appender {
    pub(super) fn new(store: Store) -> Self {
        let rows = Rows::like(store.inner.usual_values.load(Ordering::Relaxed));
        let (samples, unknown, pin) = (Vec::new(), Vec::new(), store.inner.pins.pin());
        let (exemplars, learning) = (Vec::new(), Learning::default());
        Self { store, pin, samples, unknown, exemplars, learning, rows, now: None }
    }

    /// Tells the time, as the limits [`new_series_per_minute`](crate::Limits::new_series_per_minute) and
    /// [`future`](crate::Limits::future) need it. Recorded data is appended without.
    #[must_use]
    pub fn now(mut self, now: Timestamp) -> Self {
        self.now = Some(now);
        self
    }

    /// Adds a sample to the series with these labels, which is made if the store does not have it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`] when the batch is full; it can still be committed. [`ErrorKind::InvalidArgument`] for the
    /// very first instant, which no window can hold, and for one too far ahead of [`now`](Self::now).
    pub fn append(&mut self, labels: &Labels, sample: Sample) -> Result<()> {
        self.check_room(1)?;
        self.check_time(sample.timestamp)?;
        let at = self.samples.len();
        let series = self.learning.find(&self.store.inner, &self.pin, at, labels).unwrap_or_else(|| {
            self.unknown.push((at, labels.clone()));
            UNKNOWN
        });
        self.samples.push((series, sample));
        Ok(())
    }

    /// A handle for the series with these labels, which is made if the store does not have it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`] or [`ErrorKind::InvalidArgument`] when the store refuses such a series.
    pub fn handle(&mut self, labels: &Labels) -> Result<SeriesHandle> {
        let series = self.find_or_create(labels)?;
        Ok(SeriesHandle::new(self, series, labels))
    }

    /// Adds a sample to the handle's series. If the store has forgotten the series meanwhile, it is made again, as for
    /// [`append`](Self::append).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`] when the batch is full, [`ErrorKind::InvalidArgument`] when the handle is another store's.
    pub fn append_to(&mut self, handle: &SeriesHandle, sample: Sample) -> Result<()> {
        self.check_room(1)?;
        self.check_token(handle.token(), handle.labels())?;
        self.check_time(sample.timestamp)?;
        let series = handle.series_for(self);
        self.samples.push((series, sample));
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
        let layout = self.store.inner.index.write().layout(&columns);
        let item = self.find_or_create_columns(labels, &layout)?;
        Ok(FamilyHandle::new(self, item, labels, layout))
    }

    /// The item of the classic histogram with these columns, made if the store does not have it.
    pub(super) fn find_or_create_columns(&self, labels: &Labels, layout: &Layout) -> Result<u32> {
        let invalid = |what: String| Error::new(ErrorKind::InvalidArgument, what);
        let mut item = None;
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
        }
        Ok(item.unwrap_or_default())
    }

    /// Adds a row to a classic histogram: cumulative counts of the buckets in bound order, then count and sum. If the store has
    /// forgotten the histogram since the handle was made, it is made again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] when there is not one value for each bound, or when the handle is another store's;
    /// [`ErrorKind::Limit`] when the batch is full; what [`family`](Self::family) refuses, where the histogram is made again.
    pub fn append_family(
        &mut self,
        family: &FamilyHandle,
        timestamp: Timestamp,
        buckets: &[f64],
        count: f64,
        sum: f64,
    ) -> Result<()> {
        let bounds = family.layout().bounds().len();
        if buckets.len() != bounds {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("{}: {} buckets for {bounds} bounds", family.labels(), buckets.len()),
            ));
        }
        self.check_room(family.layout().width())?;
        self.check_token(family.token(), family.labels())?;
        self.check_time(timestamp)?;
        let item = family.item_for(self)?;
        self.rows.push(item, family.layout(), timestamp, buckets, [count, sum]);
        Ok(())
    }

    /// Adds an exemplar of the series with these labels, which has to exist when the batch is committed, by then or by it.
    ///
    /// The store keeps as many as [`Limits::exemplars`](crate::Limits::exemplars) says, the newest of all series. Exemplars of one
    /// series come in time order; one that only repeats the newest of its series, as scrapes do, is dropped. They become visible
    /// right behind the samples of the batch, and are as durable as those.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`] when the batch is full, or when names and values of the exemplar's labels have more than the 128
    /// characters that OpenMetrics allows. [`ErrorKind::InvalidArgument`] as for [`append`](Self::append).
    pub fn append_exemplar(&mut self, labels: &Labels, exemplar: Exemplar) -> Result<()> {
        self.check_room(1)?;
        self.check_time(exemplar.timestamp)?;
        exemplars::check(labels, &exemplar)?;
        self.exemplars.push((labels.clone(), exemplar));
        Ok(())
    }

    /// How many samples the batch holds.
    pub fn len(&self) -> usize {
        self.samples.len().saturating_add(self.rows.sample_count())
    }

    /// Whether the batch holds nothing.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.rows.is_empty() && self.exemplars.is_empty()
    }

    fn check_room(&self, more: usize) -> Result<()> {
        let asked = self.len().saturating_add(self.exemplars.len()).saturating_add(more);
        let allowed = self.store.inner.options.limits.batch_samples;
        if asked > allowed {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("batch limit: {asked} samples asked, {allowed} allowed; commit more often"),
            ));
        }
        Ok(())
    }

    fn check_time(&self, timestamp: Timestamp) -> Result<()> {
        let invalid = |text: String| Err(Error::new(ErrorKind::InvalidArgument, text));
        let time = timestamp.as_millis();
        if timestamp == Timestamp::MIN {
            return invalid(format!("no window can hold the instant {timestamp}"));
        }
        let Some(now) = self.now else { return Ok(()) };
        let future = self.store.inner.options.limits.future.as_millis();
        let future = i64::try_from(future).unwrap_or(i64::MAX);
        if time <= now.as_millis().saturating_add(future) {
            return Ok(());
        }
        let unit = [(1_000_000, "nanoseconds"), (1_000, "microseconds")].into_iter();
        let near = |factor: i64| now.as_millis().abs_diff(time / factor) < 366 * 86_400_000;
        let advice = unit
            .filter(|(factor, _)| near(*factor))
            .map(|(_, unit)| format!("; it looks like {unit}"))
            .next();
        invalid(format!(
            "future limit: sample at {timestamp}, now is {now}, {future} ms ahead are allowed{}",
            advice.unwrap_or_default()
        ))
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
        inner.know_columns(std::iter::once(labels));
        inner.find_or_create(&mut inner.index.write(), labels, self.now)
    }

    /// Makes the batch visible, all of it at once. Samples that cannot be taken are reported and change nothing.
    ///
    /// Samples of one series may stand in any order within the batch. The columns of a classic histogram are kept
    /// best when a batch holds all of them for an instant, but may come in any way.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`] when the store holds as many bytes of samples as it may; of a store on disk also
    /// [`ErrorKind::Full`] and [`ErrorKind::Io`], after which the next batch tries again: nothing of the batch is taken.
    /// [`ErrorKind::Failed`] after a failed sync: the batch was not acknowledged, and the store takes none before it is opened
    /// again. [`ErrorKind::Closed`] for a store opened to be read.
    pub fn commit(self) -> Result<AppendReport> {
        let Self { store, pin, mut samples, unknown, exemplars, learning, mut rows, now } = self;
        let inner = &store.inner;
        let (used, allowed) = (inner.sample_bytes.load(Ordering::Relaxed), inner.options.limits.sample_bytes);
        if used >= allowed {
            let text = format!("sample bytes limit: {used} bytes in use, {allowed} allowed");
            let error = Error::new(ErrorKind::Limit, text);
            inner.refused_batch(&error, times_of(&samples, &rows, &[]));
            return Err(error);
        }
        let mut report = AppendReport::default();
        if !samples.is_empty() {
            // Rows and samples of one family go one way.
            let index = inner.index.read();
            for row in rows.iter() {
                if let Some(ItemRef::Family { columns, .. }) = index.item(row.item) {
                    samples.extend(row.samples(columns));
                }
            }
            rows.clear();
        }
        if !rows.is_empty() {
            inner.usual_values.store(rows.sample_count(), Ordering::Relaxed);
        }
        rows.sort();
        inner.resolve(&mut samples, unknown, (learning, &pin), now, &mut report);
        // Stable: the order in which samples of one series were appended decides which of two at one time is first.
        samples.sort_by_key(|(series, sample)| (series.item, sample.timestamp));
        let written = inner.write(&samples, &rows);
        report.add(written.inspect_err(|error| {
            inner.refused_batch(error, times_of(&samples, &rows, &report.refused));
        })?);
        inner.append_exemplars(exemplars, &mut report);
        inner.refused_samples(&report.refused);
        if report.sequence > 0
            && let Some(disk) = &inner.disk
        {
            report.durable = disk.settle(report.sequence, inner.options.durability)?;
            inner.maintain_if_behind();
        }
        Ok(report)
    }
}

/// The times of the oldest and the newest sample of a batch.
fn times_of(
    samples: &[(SeriesRef, Sample)],
    rows: &Rows,
    refused: &[Refusal],
) -> Option<(Timestamp, Timestamp)> {
    let samples = samples.iter().map(|(_, sample)| sample.timestamp);
    let times = samples.chain(rows.iter().map(|row| row.time));
    let times = times.chain(refused.iter().map(|refusal| refusal.timestamp));
    times.fold(None, |known, time| {
        let (oldest, newest) = known.unwrap_or((time, time));
        Some((time.min(oldest), time.max(newest)))
    })
}

/// Stands where the series of a sample is not known yet.
pub(super) const UNKNOWN: SeriesRef = SeriesRef { item: u32::MAX, column: u32::MAX };

impl Inner {
    /// Labels to series; what the index refuses goes into the report, and out of the samples.
    fn resolve(
        &self,
        samples: &mut Vec<(SeriesRef, Sample)>,
        unknown: Vec<(usize, Labels)>,
        (learning, pin): (Learning, &Pin),
        now: Option<Timestamp>,
        report: &mut AppendReport,
    ) {
        let mut new = Vec::new();
        {
            let index = self.index.read();
            let mut before: Option<(&Labels, SeriesRef)> = None;
            for (at, labels) in &unknown {
                // Samples of one series tend to follow each other, and series as they did the first time.
                let found = match before {
                    Some((known, series)) if known.same_pointer(labels) => Some(series),
                    Some((known, series)) => index.find_after((known, series), labels),
                    None => index.find(labels),
                };
                match (found, samples.get_mut(*at)) {
                    (Some(found), Some((series, _))) => {
                        *series = found;
                        before = Some((labels, found));
                    }
                    _ => new.push((*at, labels)),
                }
            }
        }
        if new.is_empty() {
            return learning.learn(self, pin, samples, unknown);
        }
        self.know_columns(new.iter().map(|(_, labels)| *labels));
        let mut index = self.index.write();
        let refused_before = report.refused.len();
        for (at, labels) in new {
            let Some((series, sample)) = samples.get_mut(at) else { continue };
            match self.find_or_create(&mut index, labels, now) {
                Ok(found) => *series = found,
                Err(error) => {
                    let (labels, timestamp) = (labels.clone(), sample.timestamp);
                    report.refused.push(Refusal { labels, timestamp, error });
                }
            }
        }
        if report.refused.len() > refused_before {
            samples.retain(|(series, _)| *series != UNKNOWN);
        }
    }

    /// Before any of these series is made: those that look like a histogram's may be in segments that nobody has asked for them
    /// yet, as a part of one or on their own, and must not become the other.
    fn know_columns<'a>(&self, labels: impl Iterator<Item = &'a Labels>) {
        let segments = self.view.read().segments.clone();
        if segments.is_empty() {
            return;
        }
        let mut before = Labels::empty();
        for labels in labels {
            let Some((_, base)) = histogram_column(labels) else { continue };
            if is_shared(&before, labels, base) {
                continue;
            }
            let shared = shared_labels(labels, base);
            for segment in segments.iter() {
                // What cannot be read is not there for queries either.
                let _joined = segment.join_histogram(&self.index, &shared);
            }
            before = shared;
        }
    }

    fn find_or_create(
        &self,
        index: &mut Index,
        labels: &Labels,
        now: Option<Timestamp>,
    ) -> Result<SeriesRef> {
        let limits = &self.options.limits;
        if let (Some(now), None) = (now, index.find(labels)) {
            index.check_rate(now, limits, labels)?;
        }
        index.find_or_create(labels, limits)
    }
}
