//! The append-only database.
//!
//! A batch goes through [`append`] into the [`head`], and a [`snapshot`] reads from there: a store lives in memory. What is
//! to outlive the process will stand beside the head, on [`backing`]: the log (`wal/`), which takes every batch before it
//! becomes visible and is replayed into the head on opening, and segments (`segment/`), the head's sealed chunks as
//! immutable files, which a snapshot reads before the head's own chunks.

mod append;
mod backing;
mod head;
mod index;
mod options;
mod snapshot;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam::utils::CachePadded;
use parking_lot::RwLock;

pub use append::{AppendReport, Appender, FamilyHandle, Refusal, SeriesHandle};
use head::Shard;
use index::Index;
pub use options::{Limits, StoreOptions};
pub use snapshot::Snapshot;

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
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: StoreOptions,
    index: RwLock<Index>,
    shards: Box<[CachePadded<RwLock<Arc<Shard>>>]>,
    /// Writers hold it for reading while a batch goes into the shards, a snapshot for writing while it takes them all:
    /// that is what makes a batch visible as a whole.
    visible: RwLock<()>,
    samples: AtomicU64,
    sample_bytes: AtomicUsize,
    /// What ties a handle to its store.
    token: Arc<()>,
}

impl Inner {
    fn grow(&self, bytes: isize) {
        if bytes >= 0 {
            self.sample_bytes.fetch_add(bytes.unsigned_abs(), Ordering::Relaxed);
        } else {
            self.sample_bytes.fetch_sub(bytes.unsigned_abs(), Ordering::Relaxed);
        }
    }
}

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// Series, every column of a histogram counted.
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
        let shards = (0..SHARDS).map(|_| CachePadded::new(RwLock::default())).collect();
        Self {
            inner: Arc::new(Inner {
                options,
                index: RwLock::default(),
                shards,
                visible: RwLock::new(()),
                samples: AtomicU64::new(0),
                sample_bytes: AtomicUsize::new(0),
                token: Arc::new(()),
            }),
        }
    }

    /// An empty batch.
    pub fn appender(&self) -> Appender {
        Appender::new(self.clone())
    }

    /// What the store holds at this moment.
    pub fn snapshot(&self) -> Snapshot {
        let _visible = self.inner.visible.write();
        let shards = self.inner.shards.iter().map(|shard| shard.read().clone()).collect();
        Snapshot::new(self.clone(), shards)
    }

    /// How much the store holds. Counts what is there, item by item for the index.
    pub fn stats(&self) -> StoreStats {
        let index = self.inner.index.read();
        let (label_bytes, index_bytes) = index.byte_size();
        StoreStats {
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
        let shards = store.inner.shards.iter();
        shards.map(|shard| shard.read().items().map(|item| item.byte_size()).sum::<usize>()).sum()
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
