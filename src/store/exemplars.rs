//! Exemplars: the newest so many of all series, in memory alone, as Prometheus keeps them in a ring.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hashbrown::HashMap;

use super::Inner;
use super::append::{AppendReport, Refusal};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Exemplar, Labels, Matcher, SeriesExemplars, Window};

/// Characters of names and values of an exemplar's labels together, by OpenMetrics.
const MOST_CHARACTERS: usize = 128;
/// Exemplars that are copied together when a snapshot still reads them.
const BLOCK: usize = 64;

/// Exemplars beside the labels of their series.
type Block = Arc<Vec<(Labels, Exemplar)>>;

/// The exemplars that snapshots see, from the oldest appended to the newest.
#[derive(Clone, Debug, Default)]
pub(super) struct Exemplars {
    blocks: Arc<VecDeque<Block>>,
    /// So many of the first block are gone.
    gone: usize,
    count: usize,
}

/// What is known of a series that has exemplars.
#[derive(Debug)]
pub(super) struct Newest {
    exemplar: Exemplar,
    /// Exemplars of the series in the ring.
    count: usize,
}

/// By series; held while exemplars are appended.
pub(super) type NewestExemplars = HashMap<Labels, Newest>;

impl Exemplars {
    pub(super) fn count(&self) -> usize {
        self.count
    }

    fn iter(&self) -> impl Iterator<Item = &(Labels, Exemplar)> {
        self.blocks.iter().flat_map(|block| block.iter()).skip(self.gone)
    }

    fn push(&mut self, labels: Labels, exemplar: Exemplar) {
        let blocks = Arc::make_mut(&mut self.blocks);
        match blocks.back_mut().filter(|block| block.len() < BLOCK) {
            Some(block) => Arc::make_mut(block).push((labels, exemplar)),
            None => {
                let mut block = Vec::with_capacity(BLOCK);
                block.push((labels, exemplar));
                blocks.push_back(Arc::new(block));
            }
        }
        self.count = self.count.saturating_add(1);
    }

    /// Takes the oldest one away. Answers whose it was.
    fn pop(&mut self) -> Option<Labels> {
        let first = self.blocks.front()?;
        let (labels, _) = first.get(self.gone)?.clone();
        self.gone = self.gone.saturating_add(1);
        self.count = self.count.saturating_sub(1);
        if self.gone >= first.len() {
            Arc::make_mut(&mut self.blocks).pop_front();
            self.gone = 0;
        }
        Some(labels)
    }

    /// Those of the series that all matchers accept, within the window, in label and time order.
    pub(super) fn select(&self, matchers: &[Matcher], window: Window) -> Vec<SeriesExemplars> {
        let mut found: BTreeMap<&Labels, Vec<Exemplar>> = BTreeMap::new();
        for (labels, exemplar) in self.iter() {
            if window.contains(exemplar.timestamp) && accepts(matchers, labels) {
                found.entry(labels).or_default().push(exemplar.clone());
            }
        }
        found.into_iter().map(|(labels, found)| SeriesExemplars::new(labels.clone(), found)).collect()
    }
}

/// Refuses what no store keeps.
pub(super) fn check(series: &Labels, exemplar: &Exemplar) -> Result<()> {
    let characters = exemplar.labels.iter().flat_map(|label| [&label.name, &label.value]);
    let asked: usize = characters.map(|text| text.chars().count()).sum();
    if asked <= MOST_CHARACTERS {
        return Ok(());
    }
    let text = format!(
        "exemplar label limit: {asked} characters asked, {MOST_CHARACTERS} allowed: an exemplar of {series}"
    );
    Err(Error::new(ErrorKind::Limit, text))
}

impl Inner {
    /// Keeps the exemplars of a batch, in the order in which they came.
    pub(super) fn append_exemplars(&self, batch: Vec<(Labels, Exemplar)>, report: &mut AppendReport) {
        let allowed = self.options.limits.exemplars;
        if batch.is_empty() || allowed == 0 {
            return;
        }
        let mut newest = self.newest_exemplars.lock();
        let mut taken = Vec::new();
        for (labels, exemplar) in batch {
            let own = newest.get_key_value(&labels);
            let error = match own {
                None if self.index.read().find(&labels).is_none() => {
                    let text = format!("an exemplar of {labels}: the store has no such series");
                    Error::new(ErrorKind::InvalidArgument, text)
                }
                Some((_, own)) if own.exemplar.repeats(&exemplar) => continue,
                Some((_, own)) if exemplar.timestamp < own.exemplar.timestamp => {
                    let (time, newest) = (exemplar.timestamp, own.exemplar.timestamp);
                    let text = format!(
                        "an exemplar of {labels} at {time} is older than the newest one, which is at {newest}"
                    );
                    Error::new(ErrorKind::OutOfOrder, text)
                }
                _ => {
                    // One copy of the labels for all exemplars of a series.
                    let labels = own.map_or(labels, |(labels, _)| labels.clone());
                    let own = newest
                        .entry(labels.clone())
                        .or_insert_with(|| Newest { exemplar: exemplar.clone(), count: 0 });
                    own.exemplar = exemplar.clone();
                    own.count = own.count.saturating_add(1);
                    taken.push((labels, exemplar));
                    continue;
                }
            };
            report.refused_exemplars.push(Refusal { labels, timestamp: exemplar.timestamp, error });
        }
        report.exemplars = report.exemplars.saturating_add(taken.len());
        let mut view = self.view.write();
        for (labels, exemplar) in taken {
            view.exemplars.push(labels, exemplar);
        }
        while view.exemplars.count() > allowed
            && let Some(labels) = view.exemplars.pop()
        {
            forget(&mut newest, &labels);
        }
    }

    /// Forgets the exemplars of deleted samples.
    pub(super) fn delete_exemplars(&self, matchers: &[Matcher], (start, end): (i64, i64)) {
        let mut newest = self.newest_exemplars.lock();
        if newest.is_empty() {
            return;
        }
        let mut view = self.view.write();
        let mut kept = Exemplars::default();
        for (labels, exemplar) in view.exemplars.iter() {
            let is_hit = (start..=end).contains(&exemplar.timestamp.as_millis()) && accepts(matchers, labels);
            if is_hit {
                forget(&mut newest, labels);
            } else {
                kept.push(labels.clone(), exemplar.clone());
            }
        }
        view.exemplars = kept;
    }
}

fn accepts(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.accepts(labels))
}

fn forget(newest: &mut NewestExemplars, labels: &Labels) {
    if let Some(own) = newest.get_mut(labels) {
        own.count = own.count.saturating_sub(1);
        if own.count == 0 {
            newest.remove(labels);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Sample, Timestamp};
    use crate::source::Source;
    use crate::store::{Limits, Store, StoreOptions};

    fn labels(name: &str) -> Labels {
        Labels::from_pairs([("__name__", name)])
    }

    fn exemplar(trace: &str, time: i64) -> Exemplar {
        let labels = Labels::from_pairs([("trace_id", trace)]);
        Exemplar { labels, value: 1.0, timestamp: Timestamp::from_millis(time) }
    }

    fn store(exemplars: usize, series: &[&str]) -> Store {
        let limits = Limits { exemplars, ..Limits::default() };
        let store = Store::in_memory(StoreOptions::new().limits(limits));
        let mut appender = store.appender();
        for name in series {
            appender.append(&labels(name), Sample::float(Timestamp::from_millis(1), 1.0)).unwrap();
        }
        appender.commit().unwrap();
        store
    }

    fn append(store: &Store, name: &str, exemplar: Exemplar) -> AppendReport {
        let mut appender = store.appender();
        appender.append_exemplar(&labels(name), exemplar).unwrap();
        appender.commit().unwrap()
    }

    fn traces(source: &dyn Source, name: &str) -> Vec<String> {
        let matchers = [Matcher::equal("__name__", name)];
        let found = source.exemplars(&matchers, Window::ALL).unwrap();
        let found = found.iter().flat_map(|series| &series.exemplars);
        found.map(|exemplar| exemplar.trace_id().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_newest_are_kept_and_a_snapshot_keeps_what_it_saw() {
        let store = store(2, &["a", "b"]);
        assert_eq!(append(&store, "a", exemplar("1", 10)).exemplars, 1);
        append(&store, "b", exemplar("2", 20));
        let before = store.snapshot();
        append(&store, "a", exemplar("3", 30));
        assert_eq!(traces(&store.snapshot(), "a"), ["3"]);
        assert_eq!(traces(&store.snapshot(), "b"), ["2"]);
        assert_eq!(traces(&before, "a"), ["1"]);
        assert_eq!(store.stats().exemplars, 2);
    }

    #[test]
    fn what_a_scrape_repeats_is_kept_once_and_what_is_older_is_refused() {
        let store = store(10, &["a"]);
        append(&store, "a", exemplar("1", 10));
        let report = append(&store, "a", exemplar("1", 20));
        assert_eq!((report.exemplars, report.refused_exemplars.len()), (0, 0));
        let report = append(&store, "a", exemplar("2", 9));
        assert_eq!(report.refused_exemplars[0].error.kind(), ErrorKind::OutOfOrder);
        // A refused exemplar is no missing sample.
        assert!(store.losses().is_empty());
        assert_eq!(traces(&store.snapshot(), "a"), ["1"]);
    }

    #[test]
    fn an_exemplar_needs_a_series_and_short_labels() {
        let store = store(10, &["a"]);
        let report = append(&store, "b", exemplar("1", 10));
        let error = report.refused_exemplars[0].error.to_string();
        assert_eq!(error, r#"an exemplar of {__name__="b"}: the store has no such series"#);
        let long = "é".repeat(MOST_CHARACTERS);
        let error = store.appender().append_exemplar(&labels("a"), exemplar(&long, 10)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        let just = "é".repeat(MOST_CHARACTERS - "trace_id".len());
        store.appender().append_exemplar(&labels("a"), exemplar(&just, 10)).unwrap();
    }

    #[test]
    fn a_deletion_takes_the_exemplars_of_its_samples() {
        let store = store(10, &["a", "b"]);
        for (name, time) in [("a", 10), ("b", 10), ("a", 20)] {
            append(&store, name, exemplar(&format!("{name}{time}"), time));
        }
        let (start, end) = (Timestamp::from_millis(0), Timestamp::from_millis(10));
        store.delete_series(&[Matcher::equal("__name__", "a")], start, end).unwrap();
        assert_eq!(traces(&store.snapshot(), "a"), ["a20"]);
        assert_eq!(traces(&store.snapshot(), "b"), ["b10"]);
    }

    #[test]
    fn without_room_none_are_kept_and_none_are_refused() {
        let store = store(0, &["a"]);
        let report = append(&store, "a", exemplar("1", 10));
        assert_eq!((report.exemplars, report.refused_exemplars.len(), store.stats().exemplars), (0, 0, 0));
    }

    proptest! {
        #[test]
        fn a_ring_holds_the_newest_of_what_a_list_would_hold(
            room in 1_usize..200,
            batches in prop::collection::vec(prop::collection::vec((0_usize..4, 0_i64..40, 0_u8..6), 0..30), 0..20),
        ) {
            let names = ["a", "b", "c", "d"];
            let store = store(room, &names);
            // By arrival; what has left the ring is forgotten, and so no measure for what comes.
            let mut model: VecDeque<(usize, Exemplar)> = VecDeque::new();
            for batch in batches {
                let before = store.snapshot();
                let seen: Vec<_> = names.iter().map(|name| traces(&before, name)).collect();
                let mut appender = store.appender();
                let mut held = model.clone();
                for (series, time, trace) in batch {
                    let new = exemplar(&trace.to_string(), time);
                    appender.append_exemplar(&labels(names[series]), new.clone()).unwrap();
                    let last = held.iter().rev().find(|(own, _)| *own == series);
                    if last.is_none_or(|(_, last)| last.timestamp <= time_of(&new) && !last.repeats(&new)) {
                        held.push_back((series, new));
                    }
                }
                appender.commit().unwrap();
                while held.len() > room {
                    held.pop_front();
                }
                model = held;
                let snapshot = store.snapshot();
                for (series, name) in names.iter().enumerate() {
                    let own = model.iter().filter(|(own, _)| *own == series);
                    let wanted: Vec<_> =
                        own.map(|(_, exemplar)| exemplar.trace_id().unwrap().to_owned()).collect();
                    prop_assert_eq!(traces(&snapshot, name), wanted);
                    prop_assert_eq!(&traces(&before, name), &seen[series]);
                }
                prop_assert_eq!(store.stats().exemplars, model.len());
            }
        }
    }

    fn time_of(exemplar: &Exemplar) -> Timestamp {
        exemplar.timestamp
    }
}
