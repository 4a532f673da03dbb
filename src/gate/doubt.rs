//! Data that may be missing: doubt never passes.
//!
//! A native check is not passed on a span that a loss touches. It still fails on what is there: a bad request that was
//! counted has happened, and a sample of a counter that is missing takes nothing back. In strict mode a measurement whose query
//! looked at such a span is Argo's Error, whatever its value, and Argo's counting of errors applies.

use super::reason::{Finding, MissingSamples};
use crate::model::{Loss, Lost, Timestamp};

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
            Lost::RuleFailed => Self::RuleFailed(missing),
        }
    }
}

#[cfg(test)]
mod tests;
