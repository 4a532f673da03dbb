//! How an evaluation is stopped from outside.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, ErrorKind, Result};

/// A flag that stops evaluations. Clones share it; any thread may set it.
///
/// Evaluations look at it at every series and every 1,024 samples.
///
/// ```
/// # use promgate::{CancellationToken, Engine, ErrorKind, Store, StoreOptions, Timestamp};
/// let token = CancellationToken::new();
/// let engine = Engine::new().cancellation(token.clone());
/// let query = engine.prepare("sum(rate(requests_total[5m]))")?;
/// std::thread::spawn(move || token.cancel()).join().unwrap();
///
/// let snapshot = Store::in_memory(StoreOptions::new()).snapshot();
/// let error = engine.instant(&snapshot, &query, Timestamp::from_millis(0)).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Canceled);
/// assert_eq!(error.to_string(), "query was canceled in query execution");
/// # Ok::<(), promgate::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct CancellationToken {
    canceled: Arc<AtomicBool>,
}

impl CancellationToken {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the flag, for good.
    pub fn cancel(&self) {
        self.canceled.store(true, Ordering::Relaxed);
    }

    /// Whether the flag is set.
    pub fn is_canceled(&self) -> bool {
        self.canceled.load(Ordering::Relaxed)
    }
}

/// What an evaluation looks at while it runs.
#[derive(Clone, Default)]
pub(crate) struct Interrupts {
    pub(crate) cancellation: Option<CancellationToken>,
    /// Whether the time of the query is over.
    pub(crate) deadline: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

impl fmt::Debug for Interrupts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupts")
            .field("cancellation", &self.cancellation)
            .field("deadline", &self.deadline.is_some())
            .finish()
    }
}

impl Interrupts {
    /// Fails if the flag is set.
    #[inline]
    pub(crate) fn check_canceled(&self, phase: &str) -> Result<()> {
        match &self.cancellation {
            Some(token) if token.is_canceled() => {
                Err(Error::new(ErrorKind::Canceled, format!("query was canceled in {phase}")))
            }
            _ => Ok(()),
        }
    }

    /// Fails if the flag is set or the time is over.
    pub(crate) fn check(&self, phase: &str) -> Result<()> {
        self.check_canceled(phase)?;
        match &self.deadline {
            Some(is_over) if is_over() => {
                Err(Error::new(ErrorKind::TimedOut, format!("query timed out in {phase}")))
            }
            _ => Ok(()),
        }
    }
}
