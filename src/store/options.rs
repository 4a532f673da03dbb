//! How a store is set up, and what it refuses.

use std::time::Duration;

use super::backing::ReadMode;

/// What a store refuses, each as an error that names the limit, the value asked and the value allowed.
///
/// Zero means zero, not unlimited.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Series that are appended to, every column of a histogram counted; those whose samples are all sealed and old do not
    /// count. Default 100,000.
    pub series: usize,
    /// Labels of one series, the name included. Default 40.
    pub labels_per_series: usize,
    /// Bytes of a label name. Default 256.
    pub label_name_bytes: usize,
    /// Bytes of a label value. Default 4,096.
    pub label_value_bytes: usize,
    /// Bytes of all names and values of one series. Default 16 KiB.
    pub series_bytes: usize,
    /// Buckets of one classic histogram. Default 512; further ones are kept as single series.
    pub buckets_per_family: usize,
    /// Samples in one commit. Default 1,000,000.
    pub batch_samples: usize,
    /// Bytes of memory for samples, checked before a commit. Default 512 MiB.
    pub sample_bytes: usize,
    /// New series in one minute, by the time that [`Appender::now`](crate::Appender::now) tells; without it they are not
    /// counted. Default 20,000.
    pub new_series_per_minute: usize,
    /// How far ahead of the time that [`Appender::now`](crate::Appender::now) tells a sample may be; without it that is not
    /// looked at. Default 10 minutes.
    pub future: Duration,
    /// How much older than the newest sample of the store a sample may be that comes out of order in its series, as
    /// Prometheus's `out_of_order_time_window`. Default 0: samples of a series have to come in the order of time.
    pub out_of_order_window: Duration,
    /// Bytes of one file of the log; it ends with the batch that reaches them. What four of them hold is sealed by the upkeep, however
    /// few samples every series has by then. Default 64 MiB.
    pub log_bytes: u64,
    /// Bytes of the store on the disk, its log and its segments. The oldest segments are forgotten to stay below; where that
    /// is not enough, and it never takes the newest one, nothing is appended. Default 10 GiB.
    pub disk_bytes: u64,
    /// Segments that are open at once where they are read [by position](crate::ReadMode::Positioned); further ones are opened
    /// when they are read. Mapped ones take no handle. A store that is opened to be read keeps all of them open. Default 64.
    pub open_files: usize,
    /// Bytes that have to stay free on the disk: room to seal what the log holds. Default 128 MiB.
    pub min_free_bytes: u64,
    /// Exemplars of all series that are kept, the newest ones. A store on disk has them in memory as well, and in its log; one
    /// that is opened to be read shows as many as its own limits say. Default 0: those that are appended are dropped.
    pub exemplars: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            series: 100_000,
            labels_per_series: 40,
            label_name_bytes: 256,
            label_value_bytes: 4096,
            series_bytes: 16 << 10,
            buckets_per_family: 512,
            batch_samples: 1_000_000,
            sample_bytes: 512 << 20,
            new_series_per_minute: 20_000,
            future: Duration::from_secs(600),
            out_of_order_window: Duration::ZERO,
            log_bytes: 64 << 20,
            disk_bytes: 10 << 30,
            open_files: 64,
            min_free_bytes: 128 << 20,
            exemplars: 0,
        }
    }
}

impl Limits {
    /// Nothing is refused for its size, and the disk may be filled.
    pub fn unlimited() -> Self {
        let most = usize::MAX;
        Self {
            series: most,
            labels_per_series: most,
            label_name_bytes: most,
            label_value_bytes: most,
            series_bytes: most,
            buckets_per_family: most,
            batch_samples: most,
            sample_bytes: most,
            new_series_per_minute: most,
            future: Duration::MAX,
            out_of_order_window: Duration::ZERO,
            log_bytes: 64 << 20,
            disk_bytes: u64::MAX,
            open_files: most,
            min_free_bytes: 0,
            exemplars: most,
        }
    }
}

/// How a store is set up.
///
/// ```
/// use promgate::{Limits, Store, StoreOptions};
///
/// let mut limits = Limits::default();
/// limits.series = 1_000_000;
/// let store = Store::in_memory(StoreOptions::new().limits(limits));
/// assert_eq!(store.stats().series, 0);
/// ```
#[derive(Clone, Debug, Default)]
pub struct StoreOptions {
    pub(crate) limits: Limits,
    pub(crate) durability: Durability,
    pub(crate) read_mode: ReadMode,
    pub(crate) salvage: bool,
    pub(crate) no_lock: bool,
    pub(crate) background: bool,
    pub(crate) retention: Option<Duration>,
    pub(crate) retention_bytes: Option<u64>,
}

/// When a commit to a store on disk returns, and what it promises then.
///
/// A batch that was written survives the end of the process in every mode; the modes differ in what a power cut, or a crash
/// of the system, may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// When the batch is synced: nothing that was acknowledged is lost. Batches that are committed at the same time share a
    /// sync.
    #[default]
    Each,
    /// When the batch is written. The first commit after this time since the last sync syncs, and so does
    /// [`Store::maintain`](crate::Store::maintain): what was committed since is lost at most.
    Interval(Duration),
    /// When the batch is written. Only the end of a file of the log is synced: for replays and tests.
    Never,
}

impl StoreOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the store refuses.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What a commit promises. Default: [`Durability::Each`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How sealed segments are read.
    #[must_use]
    pub fn read_mode(mut self, mode: ReadMode) -> Self {
        self.read_mode = mode;
        self
    }

    /// Opens a damaged store with what is left of it, instead of not at all. Damaged files are kept in the folder
    /// `quarantine`, and what is missing is recorded: see [`Store::losses`](crate::Store::losses). What a hole
    /// in the log held is taken to be later than the newest sample of the series that lags furthest behind in memory, or late
    /// by the [out-of-order window](Limits::out_of_order_window) of this opening, or to lag as far behind the newest sample as
    /// any batch of the log does; and to be ahead of what that file of the log holds behind it by no more than that. A series that
    /// only began in it may have begun earlier. A deletion among it is undone.
    #[must_use]
    pub fn salvage(mut self, salvage: bool) -> Self {
        self.salvage = salvage;
        self
    }

    /// Writes without a lock where the file system has none. Somebody else has to see to it that there is one writer.
    #[must_use]
    pub fn no_lock(mut self, no_lock: bool) -> Self {
        self.no_lock = no_lock;
        self
    }

    /// Whether a thread seals, merges and forgets. Without it [`Store::maintain`](crate::Store::maintain) has to be called,
    /// and a commit does the most urgent of it.
    #[must_use]
    pub fn background(mut self, background: bool) -> Self {
        self.background = background;
        self
    }

    /// Samples older than the newest by more than this are forgotten, in whole segments. Default: none.
    #[must_use]
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention = Some(retention);
        self
    }

    /// The oldest segments are forgotten while all of them take more bytes than this; the newest one stays. Default: none.
    #[must_use]
    pub fn retention_bytes(mut self, bytes: u64) -> Self {
        self.retention_bytes = Some(bytes);
        self
    }
}
