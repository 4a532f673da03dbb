//! The append-only database.
//!
//! A batch comes through [`append`]; [`batch`] decides what of it is taken and tells that as entries, which go into the log
//! ([`wal`]) and then into the [`head`]. A [`snapshot`] reads from heads and segments. [`maintain`] seals heads into segments
//! ([`segment`]), which are immutable files, and merges them; [`open`] reads what the [`manifest`] names and replays the log.
//! A store in memory is the same without files, which all lie behind [`backing`].

mod append;
mod background;
mod backing;
mod batch;
mod cohort;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod crash;
mod delete;
mod disk;
mod exemplars;
mod file;
mod handle;
mod head;
mod health;
mod index;
mod lag;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod law;
mod losses;
mod maintain;
mod manifest;
mod open;
mod options;
mod pin;
pub(crate) mod planted;
mod refresh;
mod replay;
#[cfg(all(test, any(loom, shuttle)))]
mod schedules;
mod segment;
mod settle;
mod snapshot;
mod sync;
mod tombstone;
mod wal;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use crate::error::Result;

pub use append::{AppendReport, Appender, Refusal};
use background::Background;
pub use backing::ReadMode;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use backing::SimulatedDisk;
use cohort::Cohorts;
use disk::Disk;
pub use handle::{FamilyHandle, SeriesHandle};
pub use health::Health;
use index::Index;
use lag::Lag;
pub use maintain::Maintained;
use maintain::Maintenance;
pub use open::OpenReport;
use open::Opening;
pub use options::{Durability, Limits, StoreOptions};
use pin::Pins;
pub use snapshot::Snapshot;
use snapshot::View;
use sync::{Mutex, RwLock};
use write::Writer;

/// Shards of the head: items are spread over them by number, so that writers meet less often.
const SHARDS: usize = 16;

/// A store of series: samples go in through an [`Appender`], and are read from a [`Snapshot`]. Cheap to clone; clones are
/// the same store.
///
/// ```
/// use promgate::{Labels, Sample, Store, StoreOptions, Timestamp};
///
/// let store = Store::in_memory(StoreOptions::new());
/// let up = Labels::from_pairs([("__name__", "up"), ("job", "api")]);
/// let mut appender = store.appender();
/// appender.append(&up, Sample::float(Timestamp::from_secs(10), 1.0))?;
/// let report = appender.commit()?;
/// assert_eq!((report.appended, report.refused.len()), (1, 0));
/// assert_eq!(store.stats().series, 1);
/// # Ok::<(), promgate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Store {
    /// Ends before `inner` does: its thread, which holds `inner` while it works, would else be the one that closes the store,
    /// some time after whoever dropped it goes on.
    background: Option<Arc<Background>>,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: StoreOptions,
    index: RwLock<Index>,
    /// What a snapshot sees: a batch becomes visible under one lock, and so as a whole.
    view: RwLock<View>,
    /// One batch is written at a time.
    writer: Mutex<Writer>,
    maintenance: Mutex<Maintenance>,
    cohorts: Mutex<Cohorts>,
    /// Who may hold numbers of items.
    pins: Pins,
    /// Whether something was forgotten that may have been the last of an item.
    may_leave: AtomicBool,
    disk: Option<Disk>,
    open_report: Option<OpenReport>,
    /// The newest time of all samples.
    newest: AtomicI64,
    /// How far batches go back.
    lag: Lag,
    samples: AtomicU64,
    sample_bytes: AtomicUsize,
    /// Values of rows that the newest batch had.
    usual_values: AtomicUsize,
    /// What ties a handle to its store.
    token: Arc<()>,
}

impl Inner {
    fn new(
        options: StoreOptions,
        index: RwLock<Index>,
        view: View,
        writer: Writer,
        disk: Option<Disk>,
        open_report: Option<OpenReport>,
    ) -> Self {
        Self {
            options,
            index,
            view: RwLock::new(view),
            writer: Mutex::new(writer),
            maintenance: Mutex::default(),
            cohorts: Mutex::default(),
            pins: Pins::default(),
            may_leave: AtomicBool::new(true),
            disk,
            open_report,
            newest: AtomicI64::new(i64::MIN),
            lag: Lag::default(),
            samples: AtomicU64::new(0),
            sample_bytes: AtomicUsize::new(0),
            usual_values: AtomicUsize::new(0),
            token: Arc::new(()),
        }
    }

    fn grow(&self, bytes: isize) {
        if bytes >= 0 {
            self.sample_bytes.fetch_add(bytes.unsigned_abs(), Ordering::Relaxed);
        } else {
            self.sample_bytes.fetch_sub(bytes.unsigned_abs(), Ordering::Relaxed);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(disk) = &self.disk {
            // Who wants to know has called `close`.
            let _closed = disk.close(&mut self.writer.lock());
        }
    }
}

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// Series that are known in memory, every column of a histogram counted: those that were appended to since the store was
    /// opened or are in its log, and of those that only segments hold the ones that a question was about. Those of which
    /// retention or a deletion has left nothing go with a later step of [`maintain`](Store::maintain), once nobody holds a
    /// snapshot or an appender from before.
    pub series: usize,
    /// Classic histograms held as one item.
    pub families: usize,
    /// Samples taken.
    pub samples: u64,
    /// Bytes of memory that hold samples.
    pub sample_bytes: usize,
    /// Bytes of memory that hold labels, roughly.
    pub label_bytes: usize,
    /// Bytes of memory that hold tables and postings, roughly.
    pub index_bytes: usize,
    /// Series whose newest samples are in memory: those that were appended to lately.
    pub active_series: usize,
    /// Sealed segments on disk.
    pub segments: usize,
    /// Bytes of the sealed segments.
    pub segment_bytes: u64,
    /// Samples in the sealed segments.
    pub sealed_samples: u64,
    /// Deletions that hide something in sealed segments, or may.
    pub tombstones: usize,
    /// Files of the log.
    pub logs: usize,
    /// Bytes of the log, as far as it was written here.
    pub log_bytes: u64,
    /// Exemplars in memory.
    pub exemplars: usize,
}

impl StoreStats {
    /// Bytes of memory for samples by sample; 0 without samples.
    pub fn bytes_per_sample(&self) -> f64 {
        if self.samples == 0 { 0.0 } else { self.sample_bytes as f64 / self.samples as f64 }
    }
}

impl Store {
    /// An empty store that lives in memory and ends with its last clone and snapshot.
    pub fn in_memory(options: StoreOptions) -> Self {
        let writer = Writer::default();
        let inner = Inner::new(options, RwLock::default(), View::default(), writer, None, None);
        Self { background: None, inner: Arc::new(inner) }
    }

    fn with(
        options: StoreOptions,
        index: RwLock<Index>,
        mut opening: Opening,
        writer: Writer,
        disk: Option<Disk>,
    ) -> Self {
        let (view, report) = (opening.view.clone(), std::mem::take(&mut opening.report));
        let inner = Inner::new(options, index, view, writer, disk, Some(report));
        inner.show(&opening);
        Self { background: None, inner: Arc::new(inner) }
    }

    /// Starts the thread that the options ask for.
    fn start(mut self) -> Result<Self> {
        if self.inner.options.background {
            self.background = Some(Arc::new(Background::start(&self.inner)?));
        }
        Ok(self)
    }

    /// An empty batch.
    pub fn appender(&self) -> Appender {
        Appender::new(self.clone())
    }

    /// What the store holds at this moment.
    pub fn snapshot(&self) -> Snapshot {
        // Before the view: what that has does not leave before the snapshot is gone.
        let pin = self.inner.pins.pin();
        let view = self.inner.view.read().clone();
        let failed = self.inner.failed_loss();
        Snapshot::new(self.clone(), view, failed, pin)
    }

    /// Whether the store takes samples. A store in memory always does.
    pub fn health(&self) -> Health {
        self.inner.disk.as_ref().map_or(Health::Good, Disk::health)
    }

    /// Reads every segment and verifies it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt): the first damage that is found; [`ErrorKind::Io`](crate::ErrorKind::Io).
    pub fn verify(&self) -> Result<()> {
        let segments = self.inner.view.read().segments.clone();
        segments.iter().try_for_each(|segment| segment.verify(&self.inner.index))
    }

    /// Makes everything durable and ends the log in order. This store and its clones take nothing any more; reading goes on.
    /// A store that is dropped is closed as well, as far as that succeeds.
    ///
    /// # Errors
    ///
    /// As [`commit`](Appender::commit).
    pub fn close(&self) -> Result<()> {
        match &self.inner.disk {
            Some(disk) => disk.close(&mut self.inner.writer.lock()),
            None => Ok(()),
        }
    }

    /// How much the store holds. Counts what is there, item by item for the index.
    pub fn stats(&self) -> StoreStats {
        let (segments, tombstones, exemplars) = {
            let view = self.inner.view.read();
            (view.segments.clone(), view.tombstones.len(), view.exemplars.count())
        };
        let logs = self.inner.disk.as_ref().map_or_else(Vec::new, |disk| disk.manifest.lock().logs.clone());
        let growing = self.inner.writer.lock().log.as_ref().map_or(0, |log| log.length);
        let ended = logs.iter().filter_map(|log| log.end).map(|end| end.length);
        let index = self.inner.index.read();
        let (label_bytes, index_bytes) = index.byte_size();
        let index_bytes = index_bytes.saturating_add(self.inner.cohorts.lock().byte_size());
        StoreStats {
            active_series: index.active_count(),
            segments: segments.len(),
            segment_bytes: segments.iter().map(|segment| segment.entry.length).sum(),
            sealed_samples: segments.iter().map(|segment| segment.samples()).sum(),
            tombstones,
            exemplars,
            logs: logs.len(),
            log_bytes: ended.fold(growing, u64::saturating_add),
            series: index.series_count(),
            families: index.family_count(),
            samples: self.inner.samples.load(Ordering::Relaxed),
            sample_bytes: self.inner.sample_bytes.load(Ordering::Relaxed),
            label_bytes,
            index_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Labels, Sample, Timestamp};

    /// What the heads hold, added up.
    fn counted(store: &Store) -> usize {
        store.inner.view.read().heads.byte_size()
    }

    #[test]
    fn sample_bytes_are_those_of_the_heads_whatever_they_turn_into() {
        let store = Store::in_memory(StoreOptions::new());
        let series: Vec<Labels> = ["1", "2", "+Inf"]
            .iter()
            .map(|bound| Labels::from_pairs([("__name__", "h_bucket"), ("le", bound)]))
            .chain([Labels::from_pairs([("__name__", "h_sum")]), Labels::from_pairs([("__name__", "up")])])
            .collect();
        let mut held = Vec::new();
        for time in 0..400 {
            let mut appender = store.appender();
            // From 200 on the columns come apart.
            for (index, labels) in
                series.iter().enumerate().filter(|(index, _)| time < 200 || (time + index) % 3 > 0)
            {
                let at =
                    Timestamp::from_millis(time as i64 * 10 + if time < 200 { 0 } else { index as i64 % 2 });
                appender.append(labels, Sample::float(at, (time * index) as f64)).unwrap();
            }
            appender.commit().unwrap();
            if time % 7 == 0 {
                held.push(store.snapshot());
            }
            assert_eq!(store.stats().sample_bytes, counted(&store), "after {time}");
        }
        let mut late = store.appender();
        late.append(&series[0], Sample::float(Timestamp::from_millis(5), 1.0)).unwrap();
        assert_eq!(late.commit().unwrap().refused.len(), 1);
        assert_eq!(store.stats().sample_bytes, counted(&store));
    }
}
