//! Batches of the same series again and again, as a scrape makes them: known by the labels' place in memory, they need no
//! look-up.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::Inner;
use super::index::SeriesRef;
use super::pin::Pin;
use crate::model::{Labels, Sample};

/// Batches with fewer samples are looked up faster.
const FEWEST: usize = 16;
/// Sequences of labels are remembered for so many batches to see whether they come again.
const SEEN: u64 = 4096;
/// A cohort that so many others came after, for each that is known, is none any more.
const UNUSED: u64 = 4;

/// The series of a batch in its order, each with the labels by which it was found. They are kept for as long, so that their
/// address stays theirs.
#[derive(Debug)]
pub(super) struct Cohort {
    series: Vec<(Labels, SeriesRef)>,
    /// Whoever began in this period may take the series for those of the labels.
    period: u64,
}

/// The cohorts of a store, by the address of their first labels.
#[derive(Debug, Default)]
pub(super) struct Cohorts {
    /// Each with the number of the batch that last began like it.
    known: HashMap<usize, (Arc<Cohort>, u64)>,
    series: usize,
    /// Sequences of labels that came once, by a hash of their addresses.
    seen: HashSet<u64>,
    /// The batch that the first of them may have come with.
    seen_since: u64,
    batches: u64,
}

impl Cohorts {
    fn starting_with(&mut self, labels: &Labels, pin: &Pin) -> Option<Arc<Cohort>> {
        self.batches = self.batches.wrapping_add(1);
        if self.batches.is_multiple_of(UNUSED.saturating_mul(self.known.len() as u64 + 1)) {
            // No batch begins any more with labels that only the cohort has.
            let begins = |cohort: &Cohort| cohort.series.first().is_some_and(|(first, _)| first.is_shared());
            self.known.retain(|_, (cohort, _)| begins(cohort));
            self.count_series();
        }
        let (cohort, used) = self.known.get_mut(&labels.address())?;
        *used = self.batches;
        Some(cohort.clone()).filter(|cohort| cohort.period == pin.period())
    }

    /// Whether labels at these addresses came before, in this order.
    fn comes_again(&mut self, addresses: u64) -> bool {
        if self.batches.wrapping_sub(self.seen_since) >= SEEN {
            self.seen = HashSet::new();
            self.seen_since = self.batches;
        }
        !self.seen.insert(addresses)
    }

    /// Keeps a cohort, in the place of one that began alike. All together have at most `most` series.
    fn learn(&mut self, cohort: Cohort, most: usize) {
        let Some((first, _)) = cohort.series.first() else { return };
        let (first, count) = (first.address(), cohort.series.len());
        self.known.remove(&first);
        let oldest = self.batches.saturating_sub(UNUSED.saturating_mul(self.known.len() as u64 + 1));
        self.known.retain(|_, (_, used)| *used >= oldest);
        self.count_series();
        let together = self.series.saturating_add(count);
        if together <= most {
            self.series = together;
            self.known.insert(first, (Arc::new(cohort), self.batches));
        }
    }

    /// Forgets all cohorts, but not that they came: they are learned anew the next time.
    pub(super) fn clear(&mut self) {
        self.known.clear();
        self.series = 0;
    }

    fn count_series(&mut self) {
        self.series = self.known.values().map(|(cohort, _)| cohort.series.len()).sum();
    }

    /// Bytes of memory, but for the labels, which somebody else holds as well.
    pub(super) fn byte_size(&self) -> usize {
        let series = self.series.saturating_mul(size_of::<(Labels, SeriesRef)>());
        series.saturating_add(self.seen.capacity().saturating_mul(9))
    }
}

/// How the samples of a batch compare to a cohort.
#[derive(Debug, Default)]
pub(super) struct Learning {
    cohort: Option<Arc<Cohort>>,
    /// Whether labels came that the cohort has not.
    differs: bool,
    /// A hash of the addresses of all labels.
    addresses: u64,
}

impl Learning {
    /// The series of the batch's sample number `at`, if its labels are those that the cohort has there.
    #[inline]
    pub(super) fn find(&mut self, inner: &Inner, pin: &Pin, at: usize, labels: &Labels) -> Option<SeriesRef> {
        if at == 0 {
            self.cohort = inner.cohorts.lock().starting_with(labels, pin);
        }
        let known = self.cohort.as_ref().and_then(|cohort| cohort.series.get(at));
        let found = known.filter(|(known, _)| known.same_pointer(labels)).map(|(_, series)| *series);
        self.differs |= found.is_none();
        let address = labels.address() as u64;
        self.addresses = (self.addresses.rotate_left(5) ^ address).wrapping_mul(0x517c_c1b7_2722_0a95);
        found
    }

    /// Remembers the series of a batch, if whoever appended them keeps their labels: the batch came once already, and the
    /// labels are held elsewhere. `others`: the labels that were not found in the cohort, by their place in the batch.
    pub(super) fn learn(
        self,
        inner: &Inner,
        pin: &Pin,
        batch: &[(SeriesRef, Sample)],
        others: Vec<(usize, Labels)>,
    ) {
        if !self.differs || batch.len() < FEWEST || !inner.cohorts.lock().comes_again(self.addresses) {
            return;
        }
        let mut series = Vec::with_capacity(batch.len());
        let mut others = others.into_iter().peekable();
        for (at, (own, _)) in batch.iter().enumerate() {
            let other = others.next_if(|(other, _)| *other == at).map(|(_, labels)| labels);
            let known = || self.cohort.as_ref()?.series.get(at).filter(|(_, series)| series == own);
            match other.or_else(|| known().map(|(labels, _)| labels.clone())) {
                Some(labels) if labels.is_shared() => series.push((labels, *own)),
                _ => return,
            }
        }
        let most = inner.index.read().series_count();
        inner.cohorts.lock().learn(Cohort { series, period: pin.period() }, most);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Store, StoreOptions};
    use super::*;
    use crate::model::Timestamp;

    fn labels(count: usize) -> Vec<Labels> {
        let number = |number: usize| Labels::from_pairs([("__name__", "up"), ("pod", &*number.to_string())]);
        (0..count).map(number).collect()
    }

    fn append(store: &Store, labels: &[Labels], time: i64) {
        let mut appender = store.appender();
        for labels in labels {
            appender.append(labels, Sample::float(Timestamp::from_millis(time), time as f64)).unwrap();
        }
        assert_eq!(appender.commit().unwrap().appended, labels.len());
    }

    fn known(store: &Store) -> usize {
        store.inner.cohorts.lock().series
    }

    #[test]
    fn labels_that_are_kept_are_known_again_also_when_some_change_their_place() {
        let store = Store::in_memory(StoreOptions::new());
        let mut series = labels(40);
        append(&store, &series, 1);
        append(&store, &series, 2);
        assert_eq!(known(&store), 0, "what came once may not come again");
        append(&store, &series, 3);
        append(&store, &series, 4);
        assert_eq!(known(&store), 40);
        series.swap(3, 7);
        append(&store, &series, 5);
        assert_eq!(known(&store), 40);
        series.remove(20);
        append(&store, &series, 6);
        append(&store, &series, 7);
        assert_eq!(known(&store), 39);
        series.push(Labels::from_pairs([("__name__", "new")]));
        append(&store, &series, 8);
        append(&store, &series, 9);
        append(&store, &series, 10);
        assert_eq!(known(&store), 40);
        assert_eq!(store.stats().series, 41);
        assert_eq!(store.stats().samples, 40 * 5 + 39 * 2 + 40 * 3);
    }

    #[test]
    fn labels_that_are_made_anew_are_not_kept() {
        let store = Store::in_memory(StoreOptions::new());
        for time in 1..40 {
            append(&store, &labels(40), time);
            assert!(known(&store) <= 40);
        }
        assert_eq!(store.stats().series, 40);
        assert_eq!(store.stats().samples, 39 * 40);
    }

    #[test]
    fn labels_that_were_dropped_are_let_go_of() {
        let store = Store::in_memory(StoreOptions::new());
        let series = labels(40);
        (1..4).for_each(|time| append(&store, &series, time));
        assert_eq!(known(&store), 40);
        (4..40).for_each(|time| append(&store, &series, time));
        assert_eq!(known(&store), 40);
        drop(series);
        let others = labels(20);
        (40..60).for_each(|time| append(&store, &others, time));
        assert_eq!(known(&store), 20);
    }

    #[test]
    fn cohorts_that_do_not_come_any_more_are_forgotten() {
        let store = Store::in_memory(StoreOptions::new());
        let (gone, kept) = (labels(40), labels(40));
        let other =
            |number: usize| Labels::from_pairs([("__name__", "other"), ("pod", &*number.to_string())]);
        let other: Vec<Labels> = (0..100).map(other).collect();
        for time in 1..4 {
            append(&store, &gone, time);
        }
        for time in 4..30 {
            append(&store, &kept, time);
            let other = &other[..40 + time as usize];
            // A batch with a new series is not looked at, the next one is remembered, and the third is known.
            for again in 0..3 {
                append(&store, other, 3 * time + again);
            }
        }
        let cohorts = store.inner.cohorts.lock();
        assert!(!cohorts.known.contains_key(&gone[0].address()));
        assert!(cohorts.known.contains_key(&kept[0].address()));
    }
}
