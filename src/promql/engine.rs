//! The engine: options, and queries evaluated at an instant or over a range.

use crate::error::{Error, ErrorKind, Result};
use crate::model::Timestamp;
use crate::source::Source;

use super::value::Evaluation;

/// Evaluates PromQL as Prometheus 3.15 does.
#[derive(Clone, Debug, Default)]
pub struct Engine {}

/// A query that has been parsed and checked.
#[derive(Clone, Debug)]
pub struct Query {}

impl Engine {
    /// An engine with Prometheus's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Parses and checks a query.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Parse`] with Prometheus's text and position.
    pub fn prepare(&self, _query: &str) -> Result<Query> {
        Err(Error::new(ErrorKind::Unsupported, "not built"))
    }

    /// Evaluates at one instant.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Query`] with Prometheus's text.
    pub fn instant(&self, _source: &dyn Source, _query: &Query, _at: Timestamp) -> Result<Evaluation> {
        Err(Error::new(ErrorKind::Unsupported, "not built"))
    }

    /// Evaluates at `start`, `start + step_ms`, … up to and including `end`.
    ///
    /// # Errors
    ///
    /// As [`instant`](Self::instant).
    pub fn range(
        &self,
        _source: &dyn Source,
        _query: &Query,
        _start: Timestamp,
        _end: Timestamp,
        _step_ms: i64,
    ) -> Result<Evaluation> {
        Err(Error::new(ErrorKind::Unsupported, "not built"))
    }
}
