//! The exemplars of a life: what is told of them, and which of them a store keeps.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::super::{Snapshot, Store};
use crate::error::{ErrorKind, Result};
use crate::model::{Exemplar, Labels, Timestamp, Window};
use crate::source::Source;

/// So many are kept of all series.
pub(super) const ROOM: usize = 6;

/// Series, trace and time.
pub(super) type Traced = (String, u64, i64);

/// By arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ring(VecDeque<Traced>);

impl Ring {
    /// What is taken of a batch; how many are refused.
    pub(super) fn taken(&self, batch: &[Traced]) -> (Vec<Traced>, usize) {
        let (mut taken, mut refused): (Vec<Traced>, usize) = (Vec::new(), 0);
        for traced in batch {
            let is_own = |other: &&Traced| other.0 == traced.0;
            let last = taken.iter().rev().find(is_own).or_else(|| self.0.iter().rev().find(is_own));
            match last {
                // What is told again.
                Some(last) if last.1 == traced.1 => {}
                Some(last) if traced.2 < last.2 => refused += 1,
                _ => taken.push(traced.clone()),
            }
        }
        (taken, refused)
    }

    pub(super) fn add(&mut self, taken: &[Traced]) {
        self.0.extend(taken.iter().cloned());
        while self.0.len() > ROOM {
            self.0.pop_front();
        }
    }

    pub(super) fn delete(&mut self, names: &[String], start: i64, end: i64) {
        self.0.retain(|(name, _, time)| !names.contains(name) || *time < start || end < *time);
    }

    /// Whether a store holds these, but for what it may have forgotten: what is not later than `border`.
    pub(super) fn agrees(&self, border: i64, found: &[Traced]) -> bool {
        let mut all: Vec<&Traced> = self.0.iter().collect();
        all.sort_by(|a, b| by_series(a, b));
        let is_kept = |traced: &&Traced| traced.2 > border;
        let kept = all.iter().copied().filter(is_kept);
        kept.eq(found.iter().filter(is_kept)) && found.iter().all(|traced| all.contains(&traced))
    }
}

/// By series, then by time.
fn by_series(a: &Traced, b: &Traced) -> Ordering {
    (&a.0, a.2).cmp(&(&b.0, b.2))
}

/// All that a snapshot has.
pub(super) fn found(snapshot: &Snapshot) -> Vec<Traced> {
    let mut all = Vec::new();
    for series in snapshot.exemplars(&[], Window::ALL).unwrap() {
        let labels = series.labels.to_string();
        for exemplar in &series.exemplars {
            let trace = exemplar.trace_id().unwrap().parse().unwrap();
            assert_eq!(exemplar.value, trace as f64);
            all.push((labels.clone(), trace, exemplar.timestamp.as_millis()));
        }
    }
    all.sort_by(by_series);
    all
}

/// Exemplars of a series around an instant, one of them too early for what came before it, one told twice.
pub(super) fn batch(series: &Labels, number: u64, now: i64) -> Vec<Traced> {
    let name = series.to_string();
    let traced = |trace: u64, time: i64| (name.clone(), trace, time);
    let first = traced(number, now - 10_000);
    vec![first.clone(), first, traced(number + 1, now - 20_000), traced(number + 2, now)]
}

/// Tells them to the store. `None`: it refused them all, because it could not write them.
pub(super) fn commit(
    store: &Store,
    series: &Labels,
    batch: &[Traced],
) -> Result<Option<((usize, usize), bool)>> {
    let mut appender = store.appender();
    for (_, trace, time) in batch {
        let labels = Labels::from_pairs([("trace_id", trace.to_string())]);
        let timestamp = Timestamp::from_millis(*time);
        appender.append_exemplar(series, Exemplar { labels, value: *trace as f64, timestamp })?;
    }
    let report = appender.commit()?;
    let is_written = |kind: ErrorKind| kind == ErrorKind::OutOfOrder;
    let all_written = report.refused_exemplars.iter().all(|refusal| is_written(refusal.error.kind()));
    Ok(all_written.then_some(((report.exemplars, report.refused_exemplars.len()), report.durable)))
}
