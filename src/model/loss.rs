//! Samples that are known to be missing, or may be.

use std::fmt;

use super::time::{Timestamp, Window};

/// Why samples are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lost {
    /// The writer before ended without closing the store: what it had not been told to be durable may be missing.
    UncleanEnd,
    /// The end of the log was not whole; it held nothing that had been acknowledged as durable.
    TornEnd,
    /// Damaged frames of the log were left out, as [`salvage`](crate::StoreOptions::salvage) was asked for.
    Salvaged,
    /// A damaged or missing segment was left out, as [`salvage`](crate::StoreOptions::salvage) was asked for.
    Segment,
    /// Batches or samples were refused: there was no room for them, a limit was reached, or they could not be written.
    Refused,
    /// The store has failed: it takes nothing before it is opened again.
    StoreFailed,
    /// A rule that records the series could not be evaluated, or the store did not take what it came to.
    RuleFailed,
}

impl Lost {
    /// Every kind there is.
    pub(crate) const ALL: [Self; 7] = [
        Self::UncleanEnd,
        Self::TornEnd,
        Self::Salvaged,
        Self::Segment,
        Self::Refused,
        Self::StoreFailed,
        Self::RuleFailed,
    ];

    pub(crate) fn number(self) -> u64 {
        match self {
            Self::UncleanEnd => 0,
            Self::TornEnd => 1,
            Self::Salvaged => 2,
            Self::Segment => 3,
            Self::Refused => 4,
            Self::StoreFailed => 5,
            Self::RuleFailed => 6,
        }
    }

    pub(crate) fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|lost| lost.number() == number)
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UncleanEnd => "the store was not closed",
            Self::TornEnd => "the end of the log was not whole",
            Self::Salvaged => "damaged batches were left out",
            Self::Segment => "a damaged segment was left out",
            Self::Refused => "samples were refused",
            Self::StoreFailed => "the store has failed and takes nothing",
            Self::RuleFailed => "a rule that records them failed",
        })
    }
}

/// Samples that may be missing: a record that stays until somebody [acknowledges](crate::Store::acknowledge_losses) it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loss {
    /// Samples later than this may be missing.
    pub from: Timestamp,
    /// None later than this are missing for this reason; [`Timestamp::MAX`] while that is not known.
    pub until: Timestamp,
    /// Bytes that could not be used.
    pub bytes: u64,
    /// Batches that could not be used, as far as they could be told apart.
    pub frames: u64,
    /// The file, from the store's folder, or the file, group and name of a rule; empty where the loss is of neither.
    pub file: String,
    /// Why.
    pub why: Lost,
    /// Whether somebody has looked at it.
    pub acknowledged: bool,
}

impl Loss {
    /// A loss of this kind between two instants, of no file: what a source of one's own reports.
    pub fn new(why: Lost, from: Timestamp, until: Timestamp) -> Self {
        Self { from, until, bytes: 0, frames: 0, file: String::new(), why, acknowledged: false }
    }

    /// Whether a sample inside the window may be missing.
    pub fn touches(&self, window: Window) -> bool {
        self.from.max(window.after) < self.until.min(window.until)
    }

    /// Notes the times of a batch that was taken after the loss: what is missing was older, or was ahead of it by no more than
    /// batches lag behind others (`lag`, in milliseconds).
    ///
    /// The batch's newest sample counts, and only if it is later than the loss: a late one says nothing.
    pub(crate) fn end_with(&mut self, newest: Timestamp, lag: i64) -> bool {
        let ends = self.until == Timestamp::MAX && newest > self.from;
        if ends {
            self.until = newest.plus_millis(lag);
        }
        ends
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("samples")?;
        if self.from > Timestamp::MIN {
            write!(f, " after {}", self.from)?;
        }
        if self.until < Timestamp::MAX {
            write!(f, " up to {}", self.until)?;
        }
        write!(f, " may be missing: {}", self.why)?;
        let Self { bytes, frames, file, .. } = self;
        match (*bytes, *frames) {
            _ if file.is_empty() => {}
            (0, 0) => write!(f, " ({file})")?,
            _ => write!(f, " ({file}, {bytes} bytes, {frames} batches)")?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    #[test]
    fn a_loss_touches_the_windows_that_share_an_instant_with_it() {
        let loss = Loss::new(Lost::UncleanEnd, at(10), at(20));
        let touches = |after, until| loss.touches(Window::new(at(after), at(until)));
        assert!(touches(0, 11) && touches(19, 30) && touches(12, 15) && touches(0, 100));
        // Neighbours share no sample, and an empty window has none.
        assert!(!touches(0, 10) && !touches(20, 30) && !touches(15, 15));
        let open = Loss::new(Lost::StoreFailed, at(10), Timestamp::MAX);
        assert!(open.touches(Window::ALL) && !open.touches(Window::new(Timestamp::MIN, at(10))));
    }

    #[test]
    fn the_first_batch_that_is_later_says_how_far_a_loss_goes() {
        let mut loss = Loss::new(Lost::UncleanEnd, at(10), Timestamp::MAX);
        assert!(!loss.end_with(at(10), 0) && loss.until == Timestamp::MAX);
        let mut other = loss.clone();
        assert!(loss.end_with(at(15), 0) && !loss.end_with(at(25), 0));
        assert_eq!(loss.until, at(15));
        // A batch that lags behind what is missing.
        assert!(other.end_with(at(15), 2_000) && other.until == at(17));
    }

    #[test]
    fn numbers_name_kinds() {
        for lost in Lost::ALL {
            assert_eq!(Lost::from_number(lost.number()), Some(lost));
        }
        assert_eq!(Lost::from_number(Lost::ALL.len() as u64), None);
    }
}
