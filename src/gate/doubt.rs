//! Data that may be missing: doubt never passes.
//!
//! A native check is not passed on a span that a loss touches. It still fails on what is there: a bad request that was
//! counted has happened, and a sample of a counter that is missing takes nothing back. In strict mode a measurement whose query
//! looked at such a span is Argo's Error, whatever its value, and Argo's counting of errors applies.

use std::sync::Arc;

use parking_lot::Mutex;

use super::reason::{Finding, MissingSamples};
use crate::error::Result;
use crate::model::{Loss, Lost, Matcher, Timestamp, Window};
use crate::source::{SelectRequest, SeriesSet, Source};

impl Finding {
    /// The reason for which a window that this loss touches shows nothing.
    pub(crate) fn of_loss(loss: &Loss) -> Self {
        let missing = MissingSamples {
            from: (loss.from > Timestamp::MIN).then_some(loss.from),
            until: (loss.until < Timestamp::MAX).then_some(loss.until),
            file: loss.file.clone(),
            bytes: loss.bytes,
            batches: loss.frames,
            why: loss.why.to_string(),
        };
        match loss.why {
            Lost::UncleanEnd => Self::UncleanStart(missing),
            Lost::TornEnd => Self::DataLost(missing),
            Lost::Salvaged | Lost::Segment => Self::DataDamaged(missing),
            Lost::Refused => Self::LimitExceeded(missing),
            Lost::StoreFailed => Self::StoreFailed(missing),
        }
    }
}

/// A source that notes what is missing in the windows that it is asked for: whatever offsets, ranges, lookback and
/// subqueries make of them.
pub(crate) struct Watched<'a> {
    source: &'a dyn Source,
    losses: Mutex<Vec<Loss>>,
}

impl<'a> Watched<'a> {
    pub(crate) fn new(source: &'a dyn Source) -> Self {
        Self { source, losses: Mutex::default() }
    }

    /// What was missing, each loss once.
    pub(crate) fn into_losses(self) -> Vec<Loss> {
        self.losses.into_inner()
    }

    fn note(&self, window: Window) {
        let mut losses = self.losses.lock();
        for loss in self.source.losses(window) {
            if !losses.contains(&loss) {
                losses.push(loss);
            }
        }
    }
}

impl Source for Watched<'_> {
    fn select(&self, request: &SelectRequest<'_>) -> Result<SeriesSet> {
        self.note(request.window);
        self.source.select(request)
    }

    fn label_values(&self, name: &str, matchers: &[Matcher], window: Window) -> Result<Vec<Arc<str>>> {
        self.note(window);
        self.source.label_values(name, matchers, window)
    }

    fn losses(&self, window: Window) -> Vec<Loss> {
        self.source.losses(window)
    }
}

#[cfg(test)]
mod tests;
