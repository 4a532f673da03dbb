//! What one intake may hold.

use crate::error::{Error, ErrorKind, Result};

/// Limits for one body or file that is taken in; each answers with [`ErrorKind::Limit`](crate::ErrorKind::Limit) and
/// its name. The defaults protect a controller with a few hundred MiB.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IntakeLimits {
    /// Bytes as they come, compressed or not. Default 16 MiB.
    pub body_bytes: usize,
    /// Bytes after decompression. Default 32 MiB.
    pub decoded_bytes: usize,
    /// Distinct label sets. Default 50,000.
    pub series: usize,
    /// Labels of one series, the metric name and empty ones included. Default 256.
    pub labels_per_series: usize,
    /// Samples. Default 1,000,000.
    pub samples: usize,
    /// Exemplars. Default 100,000.
    pub exemplars: usize,
    /// Bytes of one line of a text format. Default 64 KiB.
    pub line_bytes: usize,
}

impl Default for IntakeLimits {
    fn default() -> Self {
        Self {
            body_bytes: 16 << 20,
            decoded_bytes: 32 << 20,
            series: 50_000,
            labels_per_series: 256,
            samples: 1_000_000,
            exemplars: 100_000,
            line_bytes: 64 << 10,
        }
    }
}

impl IntakeLimits {
    /// No limit at all: for recorded data that the caller trusts.
    pub const fn unlimited() -> Self {
        Self {
            body_bytes: usize::MAX,
            decoded_bytes: usize::MAX,
            series: usize::MAX,
            labels_per_series: usize::MAX,
            samples: usize::MAX,
            exemplars: usize::MAX,
            line_bytes: usize::MAX,
        }
    }

    /// Checks a size against one of the limits; `what` is its name as it is written above.
    pub(crate) fn check(found: usize, allowed: usize, what: &str, unit: &str) -> Result<()> {
        if found <= allowed {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Limit, format!("{found} {unit} exceed the limit {what} of {allowed}")))
    }
}
