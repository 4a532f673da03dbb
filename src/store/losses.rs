//! What a store knows to be missing: found by opening, or refused since.
//!
//! Two copies hold it. The view's is what snapshots answer with, so that a loss appears and ends together with the batch that
//! shows it; the manifest's is what is published.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::append::Refusal;
use super::open::Opening;
use super::snapshot::View;
use super::{Health, Inner, Store};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Loss, Lost, Timestamp};

/// Refusals this near to one another are one loss.
const APART_MS: i64 = 300_000;
/// With so many losses on record, refusals extend the last one instead of adding to them.
const MOST: usize = 256;

/// Adds a loss, or extends one that it belongs to. Answers whether anything changed.
fn add(losses: &mut Vec<Loss>, loss: Loss) -> bool {
    let full = losses.len() >= MOST;
    let same = losses.iter_mut().rev().find(|other| {
        let near =
            loss.from <= other.until.plus_millis(APART_MS) && other.from <= loss.until.plus_millis(APART_MS);
        other.why == loss.why && !other.acknowledged && (near || full)
    });
    let Some(other) = same else {
        losses.push(loss);
        return true;
    };
    let changed = loss.from < other.from || loss.until > other.until;
    other.from = other.from.min(loss.from);
    other.until = other.until.max(loss.until);
    changed
}

/// Ends the losses that a batch with this newest sample ends. Answers the kinds that it ended.
fn end(losses: &mut [Loss], newest: i64) -> Vec<Lost> {
    let newest = Timestamp::from_millis(newest);
    losses.iter_mut().filter_map(|loss| loss.end_with(newest).then_some(loss.why)).collect()
}

impl View {
    /// Ends the losses that the batch which becomes visible ends. Answers whether there were any.
    pub(super) fn end_losses(&mut self, newest: Option<i64>) -> bool {
        let Some(newest) = newest else { return false };
        let is_open = |loss: &Loss| loss.until == Timestamp::MAX && loss.from.as_millis() < newest;
        if !self.losses.iter().any(is_open) {
            return false;
        }
        let mut losses = self.losses.to_vec();
        end(&mut losses, newest);
        self.losses = losses.into();
        true
    }
}

impl Opening {
    /// A batch was replayed.
    pub(super) fn end_losses(&mut self, newest: Option<i64>) {
        if let Some(newest) = newest {
            end(&mut self.manifest.losses, newest);
            end(&mut self.report.losses, newest);
        }
    }

    /// How the log ends is the writer's to say: it may be at work.
    pub(super) fn beside_a_writer(&mut self) {
        let is_end = |loss: &Loss| matches!(loss.why, Lost::UncleanEnd | Lost::TornEnd);
        let found = std::mem::take(&mut self.report.losses);
        self.manifest.losses.retain(|loss| !(is_end(loss) && found.contains(loss)));
        self.report.losses = found.into_iter().filter(|loss| !is_end(loss)).collect();
    }
}

impl Inner {
    /// The same for what will be published.
    pub(super) fn end_losses(&self, newest: Option<i64>) {
        let (Some(disk), Some(newest)) = (&self.disk, newest) else { return };
        let mut manifest = disk.manifest.lock();
        if end(&mut manifest.losses, newest).contains(&Lost::Refused) {
            // There was no room to publish it when it began. Should it fail, the store says so from the next batch on.
            let published = manifest.publish(&*disk.backing);
            let _noted = disk.note(published);
        }
    }

    /// Records that a batch was refused as a whole: what it held is missing until one is taken.
    pub(super) fn refused_batch<T>(&self, outcome: Result<T>) -> Result<T> {
        let is_refusal = |error: &Error| matches!(error.kind(), ErrorKind::Full | ErrorKind::Limit);
        if outcome.as_ref().is_err_and(is_refusal) {
            let newest = Timestamp::from_millis(self.newest.load(Ordering::Relaxed));
            self.lose(&Loss::new(Lost::Refused, newest, Timestamp::MAX));
        }
        outcome
    }

    /// Records samples of a batch that a limit kept out.
    pub(super) fn refused_samples(&self, refused: &[Refusal]) {
        let limited = refused.iter().filter(|refusal| refusal.error.kind() == ErrorKind::Limit);
        let times = limited.map(|refusal| refusal.timestamp);
        if let (Some(first), Some(last)) = (times.clone().min(), times.max()) {
            self.lose(&Loss::new(Lost::Refused, first.minus_millis(1), last));
        }
    }

    fn lose(&self, loss: &Loss) {
        {
            let mut view = self.view.write();
            let mut losses = view.losses.to_vec();
            if !add(&mut losses, loss.clone()) {
                return;
            }
            view.losses = losses.into();
        }
        if let Some(disk) = &self.disk {
            add(&mut disk.manifest.lock().losses, loss.clone());
        }
    }

    /// What a store that has failed does not take.
    pub(super) fn failed_loss(&self) -> Option<Loss> {
        let disk = self.disk.as_ref()?;
        let Health::Failed(_) = disk.health() else { return None };
        let newest = Timestamp::from_millis(self.newest.load(Ordering::Relaxed));
        Some(Loss::new(Lost::StoreFailed, newest, Timestamp::MAX))
    }
}

impl Store {
    /// What may be missing, oldest record first: found when the store was opened, or refused since. See [`Loss`].
    ///
    /// A gate does not pass on a window that one of them touches, before it is
    /// [acknowledged](Self::acknowledge_losses). A loss whose end is not known ends with the first batch that is taken.
    pub fn losses(&self) -> Vec<Loss> {
        self.inner.view.read().losses.to_vec()
    }

    /// Records that somebody has looked at all losses that end at `until` or before.
    ///
    /// # Errors
    ///
    /// As [`maintain`](Self::maintain).
    pub fn acknowledge_losses(&self, until: Timestamp) -> Result<()> {
        let acknowledge = |losses: &mut [Loss]| {
            for loss in losses.iter_mut().filter(|loss| loss.until <= until) {
                loss.acknowledged = true;
            }
        };
        if let Some(disk) = &self.inner.disk {
            disk.sync.check()?;
            disk.publish(&mut disk.manifest.lock(), |next| acknowledge(&mut next.losses))?;
        }
        let mut view = self.inner.view.write();
        let mut losses = view.losses.to_vec();
        acknowledge(&mut losses);
        view.losses = Arc::from(losses);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Labels, Sample, Window};
    use crate::source::Source;
    use crate::store::backing::{Fault, SimulatedDisk};
    use crate::store::{Limits, StoreOptions};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    fn append(store: &Store, name: &str, time: i64) -> Result<usize> {
        let mut appender = store.appender();
        appender.append(&Labels::from_pairs([("__name__", name)]), Sample::float(at(time), 1.0))?;
        appender.commit().map(|report| report.refused.len())
    }

    fn touched(store: &Store, after: i64, until: i64) -> Vec<Lost> {
        let losses = store.snapshot().losses(Window::new(at(after), at(until)));
        losses.iter().map(|loss| loss.why).collect()
    }

    #[test]
    fn samples_that_a_limit_keeps_out_are_a_loss_of_their_time() {
        let limits = Limits { series: 1, ..Limits::default() };
        let store = Store::in_memory(StoreOptions::new().limits(limits));
        assert_eq!(append(&store, "a", 100).unwrap(), 0);
        let before = store.snapshot();
        assert_eq!(append(&store, "b", 110).unwrap(), 1);
        assert_eq!(append(&store, "b", 120).unwrap(), 1);
        assert_eq!(store.losses().len(), 1, "{:?}", store.losses());
        assert_eq!(touched(&store, 100, 115), [Lost::Refused]);
        assert!(touched(&store, 0, 109).is_empty() && touched(&store, 120, 130).is_empty());
        assert!(before.losses(Window::ALL).is_empty(), "a snapshot always answers the same");
        assert_eq!(append(&store, "b", 10_000).unwrap(), 1);
        assert_eq!(store.losses().len(), 2);
        store.acknowledge_losses(at(120)).unwrap();
        assert!(touched(&store, 100, 115).is_empty());
        assert_eq!(touched(&store, 100, 10_000), [Lost::Refused]);
    }

    #[test]
    fn a_batch_that_is_refused_as_a_whole_is_a_loss_until_one_is_taken() {
        let limits = Limits { sample_bytes: 1, ..Limits::default() };
        let store = Store::in_memory(StoreOptions::new().limits(limits));
        append(&store, "a", 100).unwrap();
        assert_eq!(append(&store, "a", 110).unwrap_err().kind(), ErrorKind::Limit);
        assert_eq!(touched(&store, 100, 101), [Lost::Refused]);
        assert!(touched(&store, 0, 100).is_empty());
        let mut view = store.inner.view.write();
        assert!(!view.end_losses(Some(100_000)) && view.end_losses(Some(130_000)));
        assert_eq!(view.losses[0].until, at(130));
    }

    fn on_disk(disk: &Arc<SimulatedDisk>) -> Store {
        let limits = Limits { min_free_bytes: 0, ..Limits::default() };
        Store::open_on(disk.clone(), StoreOptions::new().limits(limits)).unwrap()
    }

    #[test]
    fn a_full_disk_is_a_loss_that_is_published_once_there_is_room() {
        let disk = Arc::new(SimulatedDisk::new(7));
        let store = on_disk(&disk);
        append(&store, "a", 100).unwrap();
        disk.set_fault(Fault::FullAfter(0));
        for time in [110, 120] {
            assert_eq!(append(&store, "a", time).unwrap_err().kind(), ErrorKind::Full);
        }
        assert_eq!(touched(&store, 100, 101), [Lost::Refused]);
        disk.set_fault(Fault::None);
        append(&store, "a", 130).unwrap();
        assert!(touched(&store, 130, 1_000).is_empty() && touched(&store, 0, 100).is_empty());
        let wanted = [Loss::new(Lost::Refused, at(100), at(130))];
        assert_eq!(store.losses(), wanted);
        let next = on_disk(&Arc::new(disk.power_cut(1)));
        assert_eq!(next.losses()[..1], wanted);
        // Behind the newest sample, and at its instant, where another series may have had one.
        let unclean: Vec<_> = next.losses()[1..].iter().map(|loss| (loss.why, loss.from)).collect();
        assert_eq!(unclean, [(Lost::UncleanEnd, at(130)), (Lost::UncleanEnd, at(130).minus_millis(1))]);
    }

    #[test]
    fn a_store_that_has_failed_misses_what_comes_after() {
        let disk = Arc::new(SimulatedDisk::new(7));
        let store = on_disk(&disk);
        append(&store, "a", 100).unwrap();
        let before = store.snapshot();
        let error = std::io::ErrorKind::Other;
        disk.set_fault(Fault::ErrorAt { op: 1, error, sticky: false, only_sync: true });
        assert_eq!(append(&store, "a", 110).unwrap_err().kind(), ErrorKind::Failed);
        assert_eq!(append(&store, "a", 120).unwrap_err().kind(), ErrorKind::Failed);
        assert_eq!(touched(&store, 100, 130), [Lost::StoreFailed]);
        assert!(touched(&store, 0, 100).is_empty() && before.losses(Window::ALL).is_empty());
        // Opening it again finds that it was not closed.
        let next = on_disk(&Arc::new(disk.power_cut(1)));
        let is_end = |loss: &Loss| matches!(loss.why, Lost::UncleanEnd | Lost::TornEnd);
        assert!(next.losses().len() == 2 && next.losses().iter().all(is_end));
        assert!(!touched(&next, 110, 130).is_empty());
    }

    #[test]
    fn an_unclean_end_puts_in_doubt_what_lags_as_far_behind_as_batches_did() {
        let disk = Arc::new(SimulatedDisk::new(7));
        let store = on_disk(&disk);
        for (name, time) in [("ahead", 100), ("behind", 70), ("ahead", 130), ("behind", 105)] {
            append(&store, name, time).unwrap();
        }
        super::super::law::abandon(store);
        let next = on_disk(&Arc::new(disk.reopen()));
        // The next batch of the one that lags would have been at 140 less 30.
        assert!(!touched(&next, 105, 110).is_empty() && !touched(&next, 129, 130).is_empty());
        assert!(touched(&next, 0, 99).is_empty());
    }

    #[test]
    fn records_of_refusals_stay_few() {
        let mut losses = Vec::new();
        for time in 0..10_000 {
            add(&mut losses, Loss::new(Lost::Refused, at(time * 1_000), at(time * 1_000 + 1)));
        }
        assert_eq!(losses.len(), MOST);
        assert_eq!(losses.last().unwrap().until, at(9_999_001));
    }
}
