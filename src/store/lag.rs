//! How far batches go back behind the newest sample that was there before them: scrapes of other targets, exporters whose clocks
//! differ, a backfill. As far from what is known, samples may be missing where some are.
//!
//! It is forgotten with the files of the log, one sealing later than they are, so that a log that has just begun knows it as well
//! and a backfill that is over does not count for ever.

use super::sync::Mutex;

/// In milliseconds.
#[derive(Debug, Default)]
pub(super) struct Lag(Mutex<Parts>);

#[derive(Clone, Copy, Debug, Default)]
struct Parts {
    /// Of batches since the heads were last cut to be sealed.
    since: i64,
    /// Of those before, which are not sealed yet.
    cut: i64,
    /// Of those that the last sealing sealed.
    sealed: i64,
}

impl Lag {
    /// What a manifest and its log know.
    pub(super) fn open(&self, logged: i64, sealed: i64) {
        *self.0.lock() = Parts { since: logged, cut: 0, sealed };
    }

    pub(super) fn note(&self, lag: i64) {
        let mut parts = self.0.lock();
        parts.since = parts.since.max(lag);
    }

    pub(super) fn furthest(&self) -> i64 {
        let Parts { since, cut, sealed } = *self.0.lock();
        since.max(cut).max(sealed)
    }

    /// What was written so far is on its way into a segment.
    pub(super) fn cut(&self) {
        let mut parts = self.0.lock();
        parts.cut = parts.cut.max(parts.since);
        parts.since = 0;
    }

    /// That of what is cut, for the manifest that names its segment.
    pub(super) fn of_cut(&self) -> i64 {
        self.0.lock().cut
    }

    /// That segment is published.
    pub(super) fn sealed(&self) {
        let mut parts = self.0.lock();
        parts.sealed = parts.cut;
        parts.cut = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::Lag;

    #[test]
    fn lag_is_forgotten_one_sealing_after_its_batches_are_sealed() {
        let lag = Lag::default();
        lag.note(70);
        lag.note(30);
        lag.cut();
        lag.note(5);
        assert_eq!((lag.of_cut(), lag.furthest()), (70, 70));
        lag.sealed();
        assert_eq!(lag.furthest(), 70);
        lag.cut();
        lag.sealed();
        assert_eq!(lag.furthest(), 5);
        lag.cut();
        lag.sealed();
        assert_eq!(lag.furthest(), 0);
    }

    #[test]
    fn a_sealing_that_was_given_up_forgets_nothing() {
        let lag = Lag::default();
        lag.note(70);
        lag.cut();
        lag.note(5);
        lag.cut();
        assert_eq!(lag.of_cut(), 70);
    }
}
