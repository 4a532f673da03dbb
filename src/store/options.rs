//! How a store is set up, and what it refuses.

/// What a store refuses, each as an error that names the limit, the value asked and the value allowed.
///
/// Zero means zero, not unlimited.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Series in the store, every column of a histogram counted. Default 100,000.
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
}
