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

/// Losses of one kind this near to one another are one.
const APART_MS: i64 = 300_000;
/// Samples that a limit keeps out are in doubt up to the end of such a span.
const MINUTE_MS: i64 = 60_000;
/// So many losses stay on record.
const MOST: usize = 256;

/// Adds a loss, or extends one that it belongs to. One whose end is not known stands alone: it ends with a batch, and what else is
/// missing may be later than that. Answers whether anything changed.
pub(super) fn add(losses: &mut Vec<Loss>, loss: Loss) -> bool {
    let is_near = |other: &Loss| {
        loss.from <= other.until.plus_millis(APART_MS) && other.from <= loss.until.plus_millis(APART_MS)
    };
    let same = losses
        .iter_mut()
        .rev()
        .find(|other| is_alike(other, &loss) && other.file == loss.file && is_near(other));
    match same {
        Some(other) => extend(other, &loss),
        None => {
            losses.push(loss);
            true
        }
    }
}

/// Whether one record may tell of both.
fn is_alike(other: &Loss, loss: &Loss) -> bool {
    let is_open = |loss: &Loss| loss.until == Timestamp::MAX;
    other.why == loss.why && other.acknowledged == loss.acknowledged && is_open(other) == is_open(loss)
}

fn extend(other: &mut Loss, loss: &Loss) -> bool {
    let before = (other.from, other.until, other.bytes, other.frames);
    other.from = other.from.min(loss.from);
    other.until = other.until.max(loss.until);
    other.bytes = other.bytes.saturating_add(loss.bytes);
    other.frames = other.frames.saturating_add(loss.frames);
    if other.file != loss.file {
        other.file = String::new();
    }
    before != (other.from, other.until, other.bytes, other.frames)
}

/// Where there are too many, the oldest acknowledged one goes; of those that nobody has looked at the newest two become one that
/// are alike.
pub(super) fn keep_few(losses: &mut Vec<Loss>) {
    while losses.len() > MOST {
        if let Some(oldest) = losses.iter().position(|loss| loss.acknowledged) {
            losses.remove(oldest);
            continue;
        }
        let newest = (1..losses.len()).rev().find_map(|at| {
            let (before, rest) = losses.split_at_mut_checked(at)?;
            let loss = rest.first()?;
            let other = before.iter_mut().rev().find(|other| is_alike(other, loss))?;
            extend(other, loss);
            Some(at)
        });
        let Some(newest) = newest else { return };
        losses.remove(newest);
    }
}

/// Ends the losses that a batch with this newest sample ends, where batches went so many milliseconds back. Answers the kinds that
/// it ended.
fn end(losses: &mut Vec<Loss>, newest: i64, lag: i64) -> Vec<Lost> {
    let newest = Timestamp::from_millis(newest);
    let ended: Vec<Loss> = losses.extract_if(.., |loss| loss.end_with(newest, lag)).collect();
    let kinds = ended.iter().map(|loss| loss.why).collect();
    for loss in ended {
        add(losses, loss);
    }
    kinds
}

impl View {
    /// Ends the losses that the batch which becomes visible ends. Answers whether there were any.
    pub(super) fn end_losses(&mut self, newest: Option<i64>, lag: i64) -> bool {
        let Some(newest) = newest else { return false };
        let is_open = |loss: &Loss| loss.until == Timestamp::MAX && loss.from.as_millis() < newest;
        if !self.losses.iter().any(is_open) {
            return false;
        }
        let mut losses = self.losses.to_vec();
        end(&mut losses, newest, lag);
        self.losses = losses.into();
        true
    }
}

impl Opening {
    /// A batch was replayed.
    pub(super) fn end_losses(&mut self, newest: Option<i64>) {
        if let Some(newest) = newest {
            let lag = self.furthest_lag();
            end(&mut self.manifest.losses, newest, lag);
            end(&mut self.report.losses, newest, lag);
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
    pub(super) fn end_losses(&self, newest: Option<i64>, lag: i64) {
        let (Some(disk), Some(newest)) = (&self.disk, newest) else { return };
        let mut manifest = disk.manifest.lock();
        if end(&mut manifest.losses, newest, lag).contains(&Lost::Refused) {
            // There was no room to publish it when it began. Should it fail, the store says so from the next batch on.
            let published = manifest.publish(&*disk.backing);
            let _noted = disk.note(published);
        }
    }

    /// Records that a batch was refused as a whole: what it held is missing, and perhaps more until one is taken. `times`: of its
    /// oldest and its newest sample.
    pub(super) fn refused_batch(&self, error: &Error, times: Option<(Timestamp, Timestamp)>) {
        let (Some((oldest, newest)), known) = (times, self.newest.load(Ordering::Relaxed)) else { return };
        let why = match error.kind() {
            // Whoever closed it expects nothing of it.
            ErrorKind::Closed => return,
            // What comes later is told by every snapshot.
            ErrorKind::Failed => Lost::StoreFailed,
            _ => Lost::Refused,
        };
        if why == Lost::Refused {
            self.lose(&Loss::new(why, Timestamp::from_millis(known), Timestamp::MAX));
        }
        // Series that lag behind others, or are ahead of them: the batch that ends the record above may say less.
        self.lose(&Loss::new(why, oldest.minus_millis(1), newest));
    }

    /// Records samples of a batch that a limit kept out.
    pub(super) fn refused_samples(&self, refused: &[Refusal]) {
        let limited = refused.iter().filter(|refusal| refusal.error.kind() == ErrorKind::Limit);
        let times = limited.map(|refusal| refusal.timestamp);
        let (Some(first), Some(last)) = (times.clone().min(), times.max()) else { return };
        // To the full minute: what is published holds until then.
        let minute = last.as_millis().saturating_add(MINUTE_MS.saturating_sub(1));
        let minute = Timestamp::from_millis(minute.saturating_sub(minute.rem_euclid(MINUTE_MS)));
        let is_news = self.lose(&Loss::new(Lost::Refused, first.minus_millis(1), minute.max(last)));
        if let (true, Some(disk)) = (is_news, &self.disk) {
            // Other series go on: no end of this process would put these times in doubt.
            let published = disk.sync.check().and_then(|()| disk.manifest.lock().publish(&*disk.backing));
            let _noted = disk.note(published);
        }
    }

    /// Answers whether that was not known.
    fn lose(&self, loss: &Loss) -> bool {
        {
            let mut view = self.view.write();
            let mut losses = view.losses.to_vec();
            if !add(&mut losses, loss.clone()) {
                return false;
            }
            keep_few(&mut losses);
            view.losses = losses.into();
        }
        if let Some(disk) = &self.disk {
            let losses = &mut disk.manifest.lock().losses;
            add(losses, loss.clone());
            keep_few(losses);
        }
        true
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
    /// [acknowledged](Self::acknowledge_losses). A loss whose end is not known ends with the first batch that is taken. Where there
    /// are more than 256, the oldest that was acknowledged goes, or two of one kind become one.
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
    fn samples_that_a_limit_kept_out_stay_a_loss_whatever_becomes_of_the_process() {
        let disk = Arc::new(SimulatedDisk::new(7));
        let limits = Limits { series: 1, min_free_bytes: 0, ..Limits::default() };
        let store = Store::open_on(disk.clone(), StoreOptions::new().limits(limits)).unwrap();
        append(&store, "a", 100).unwrap();
        for time in [130, 140, 170] {
            assert_eq!(append(&store, "b", time).unwrap(), 1);
            append(&store, "a", time).unwrap();
        }
        append(&store, "a", 1_000).unwrap();
        let next = on_disk(&Arc::new(disk.power_cut(1)));
        assert!([130, 140, 170].iter().all(|time| touched(&next, time - 1, *time) == [Lost::Refused]));
        assert!(touched(&next, 0, 129).is_empty() && touched(&next, 180, 998).is_empty());
    }

    #[test]
    fn a_batch_that_is_refused_as_a_whole_is_a_loss_until_one_is_taken() {
        let limits = Limits { sample_bytes: 1, ..Limits::default() };
        let store = Store::in_memory(StoreOptions::new().limits(limits));
        append(&store, "a", 100).unwrap();
        assert_eq!(append(&store, "a", 110).unwrap_err().kind(), ErrorKind::Limit);
        assert_eq!(touched(&store, 111, 112), [Lost::Refused]);
        assert!(touched(&store, 0, 100).is_empty());
        let mut view = store.inner.view.write();
        assert!(!view.end_losses(Some(100_000), 0) && view.end_losses(Some(130_000), 0));
        assert_eq!(view.losses[..], [Loss::new(Lost::Refused, at(100), at(130))]);
    }

    #[test]
    fn what_a_refused_batch_held_is_lost_before_the_newest_sample_and_behind_the_next_batch() {
        let disk = Arc::new(SimulatedDisk::new(7));
        let store = on_disk(&disk);
        append(&store, "a", 100).unwrap();
        disk.set_fault(Fault::FullAfter(0));
        for (name, time) in [("lags", 70), ("same", 100), ("ahead", 120)] {
            assert_eq!(append(&store, name, time).unwrap_err().kind(), ErrorKind::Full);
        }
        disk.set_fault(Fault::None);
        append(&store, "b", 110).unwrap();
        for (after, until) in [(69, 70), (99, 100), (119, 120)] {
            assert_ne!(touched(&store, after, until), [], "({after}, {until}]");
        }
        assert!(touched(&store, 0, 69).is_empty() && touched(&store, 120, 200).is_empty());
    }

    #[test]
    fn a_batch_that_cannot_be_written_is_a_loss_whatever_the_error() {
        let disk = Arc::new(SimulatedDisk::new(7));
        let store = on_disk(&disk);
        append(&store, "a", 100).unwrap();
        let error = std::io::ErrorKind::Other;
        disk.set_fault(Fault::ErrorAt { op: 1, error, sticky: false, only_sync: false });
        assert_eq!(append(&store, "b", 90).unwrap_err().kind(), ErrorKind::Io);
        append(&store, "a", 110).unwrap();
        assert_eq!(touched(&store, 89, 90), [Lost::Refused]);
        store.close().unwrap();
        let losses = store.losses();
        assert_eq!(append(&store, "a", 120).unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(store.losses(), losses);
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
        assert_eq!(touched(&store, 121, 122), [Lost::Refused]);
        disk.set_fault(Fault::None);
        append(&store, "a", 130).unwrap();
        assert!(touched(&store, 130, 1_000).is_empty() && touched(&store, 0, 100).is_empty());
        let wanted = Loss::new(Lost::Refused, at(100), at(130));
        assert_eq!(store.losses(), std::slice::from_ref(&wanted));
        let next = on_disk(&Arc::new(disk.power_cut(1)));
        assert_eq!(next.losses()[0], wanted);
        // Behind the newest sample, and at its instant, where another series may have had one.
        let unclean = |store: &Store| {
            let losses = store.losses();
            losses[1..].iter().map(|loss| (loss.why, loss.from, loss.until)).collect::<Vec<_>>()
        };
        let (why, before) = (Lost::UncleanEnd, at(130).minus_millis(1));
        assert_eq!(unclean(&next), [(why, before, at(130)), (why, at(130), Timestamp::MAX)]);
        // Once it is known how far it goes it is one.
        append(&next, "a", 125).unwrap();
        assert_eq!(unclean(&next).len(), 2);
        append(&next, "a", 140).unwrap();
        assert_eq!(unclean(&next), [(why, before, at(140))]);
    }

    #[test]
    fn refusals_that_come_and_go_are_one_loss() {
        let disk = Arc::new(SimulatedDisk::new(7));
        let store = on_disk(&disk);
        for time in 0..20 {
            disk.set_fault(Fault::FullAfter(0));
            append(&store, "a", 100 + 10 * time).unwrap_err();
            disk.set_fault(Fault::None);
            append(&store, "a", 105 + 10 * time).unwrap();
        }
        assert_eq!(store.losses(), [Loss::new(Lost::Refused, Timestamp::MIN, at(295))]);
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
        assert_eq!(append(&store, "b", 90).unwrap_err().kind(), ErrorKind::Failed);
        assert_eq!(touched(&store, 120, 130), [Lost::StoreFailed]);
        assert_eq!(touched(&store, 89, 90), [Lost::StoreFailed]);
        assert!(touched(&store, 0, 89).is_empty() && before.losses(Window::ALL).is_empty());
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
        // The one that lags comes first: the other may have been ahead of it.
        append(&next, "behind", 140).unwrap();
        assert!(!touched(&next, 169, 170).is_empty() && touched(&next, 170, 200).is_empty());
    }

    #[test]
    fn lag_is_known_after_a_sealing_and_forgotten_after_the_next() {
        let disk = Arc::new(SimulatedDisk::new(7));
        let store = on_disk(&disk);
        for (name, time) in [("ahead", 100), ("behind", 70), ("ahead", 130)] {
            append(&store, name, time).unwrap();
        }
        store.flush().unwrap();
        super::super::law::abandon(store);
        let disk = Arc::new(disk.reopen());
        let next = on_disk(&disk);
        assert!(!touched(&next, 105, 110).is_empty() && touched(&next, 0, 99).is_empty());
        append(&next, "ahead", 160).unwrap();
        next.acknowledge_losses(Timestamp::MAX).unwrap();
        next.flush().unwrap();
        append(&next, "ahead", 190).unwrap();
        super::super::law::abandon(next);
        let last = on_disk(&Arc::new(disk.reopen()));
        assert!(!touched(&last, 190, 191).is_empty() && touched(&last, 165, 189).is_empty());
    }

    #[test]
    fn records_of_refusals_stay_few() {
        let mut losses = vec![Loss::new(Lost::UncleanEnd, at(0), Timestamp::MAX)];
        for time in 0..10_000 {
            add(&mut losses, Loss::new(Lost::Refused, at(time * 1_000), at(time * 1_000 + 1)));
            keep_few(&mut losses);
        }
        assert_eq!(losses.len(), MOST);
        // All of them are told.
        let is_told =
            |time: i64| losses[1..].iter().any(|loss| loss.from <= at(time) && at(time) < loss.until);
        assert!((0..10_000).all(|time| is_told(time * 1_000)));
        assert_eq!(losses[0].until, Timestamp::MAX);
        // What somebody has looked at makes room.
        losses[7].acknowledged = true;
        let (before, after) = (losses[8].clone(), Loss::new(Lost::Refused, at(20_000_000), at(20_000_001)));
        add(&mut losses, after.clone());
        keep_few(&mut losses);
        assert_eq!((&losses[7], losses.last(), losses.len()), (&before, Some(&after), MOST));
    }
}
