//! Scripted lives of a store on a disk that fails, against a list of what was promised.
//!
//! A life is told by a seed: open, then batches, seals, steps of upkeep, snapshots and reopenings. What is checked after a
//! power cut: the batches that are there are the first ones that were tried, whole, in order, and at least those that were
//! acknowledged; and opening never fails.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a law that does not hold stops the test that checks it"
)]

mod cuts;
mod damage;
mod errors;
mod threads;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use cuts::power_cuts;
pub(crate) use damage::damage;
pub(crate) use errors::io_errors;
pub(crate) use threads::{Commits, group_commits};

use super::backing::{Chance, SimulatedDisk};
use super::law::{abandon, open_on};
use super::{Durability, Limits, Snapshot, Store, StoreOptions};
use crate::error::{Error, ErrorKind};
use crate::model::{Labels, Matcher, Sample, SampleBuffer, SampleValue, Timestamp, Window};
use crate::source::{Item, SelectRequest, Source};

/// Numbers by a seed.
#[derive(Debug)]
pub(crate) struct Dice(Chance);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Chance::new(seed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.draw()
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Samples by series and time, as bits.
pub(crate) type Content = BTreeMap<(String, i64), u64>;

/// What was tried, in order, and how much of it was acknowledged as durable.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    tried: Vec<Tried>,
    acknowledged: usize,
}

#[derive(Clone, Debug)]
enum Tried {
    Batch(Content),
    Deleted(Deletion),
}

/// Series by what their labels hold, as text, and first and last time.
#[derive(Clone, Copy, Debug)]
struct Deletion {
    metric: &'static str,
    bound: Option<&'static str>,
    times: (i64, i64),
}

impl Deletion {
    /// What is deleted behind the first `tried` steps of a life. The series that numbers the batches stays.
    fn new(seed: u64, tried: usize) -> Self {
        let mut dice = Dice::new(seed ^ (tried as u64).wrapping_mul(0x2545_f491_4f6c_dd1d));
        let (metric, bound) = [("h_bucket", Some("1")), ("h_bucket", None), ("h_sum", None), ("churn", None)]
            [dice.below(4) as usize];
        let first = FIRST + dice.below(1 + tried as u64) as i64 * INTERVAL - 5_000;
        let last = if dice.below(2) == 0 { i64::MAX } else { first + dice.below(8) as i64 * INTERVAL };
        Self { metric, bound, times: (first, last) }
    }

    fn matchers(&self) -> Vec<Matcher> {
        let name = Matcher::equal("__name__", self.metric);
        let bound = self.bound.map(|bound| Matcher::equal("le", bound));
        [name].into_iter().chain(bound).collect()
    }

    fn hides(&self, (labels, time): &(String, i64)) -> bool {
        let name = format!("__name__=\"{}\"", self.metric);
        let bound = self.bound.is_none_or(|bound| labels.contains(&format!("le=\"{bound}\"")));
        self.times.0 <= *time && *time <= self.times.1 && labels.contains(&name) && bound
    }
}

/// The time of the first batch, and that between batches.
const FIRST: i64 = 1_000_000;
const INTERVAL: i64 = 15_000;

/// How many series of one sample now and then there are at most: each makes a look at everything longer.
const PODS: u64 = 40;

/// A batch: its number decides what is in it.
fn batch(seed: u64, number: usize) -> (Vec<(Labels, Sample)>, Content) {
    let mut dice = Dice::new(seed ^ (number as u64).wrapping_mul(0x1234_5678_9abc_def1));
    let time = Timestamp::from_millis(FIRST + number as i64 * INTERVAL);
    let mut samples = Vec::new();
    let mut add = |name: &str, label: (&str, String), value: f64| {
        let pairs = [("__name__", name), (label.0, label.1.as_str())];
        samples.push((Labels::from_pairs(pairs), Sample::float(time, value)));
    };
    add("batch", ("kind", "number".into()), number as f64);
    for _ in 0..dice.below(3) {
        let churn = dice.below((1 + number as u64).min(PODS));
        add("churn", ("pod", churn.to_string()), (dice.below(100) as f64) / 4.0);
    }
    if dice.below(4) > 0 {
        // A histogram that grows by the batch, is reset at times, and now and then lacks a column.
        let age = (number % 7) as f64;
        for (bound, share) in [("1", 1.0), ("5", 3.0), ("+Inf", 4.0)] {
            add("h_bucket", ("le", bound.into()), age * share);
        }
        if dice.below(8) > 0 {
            add("h_count", ("a", String::new()), age * 4.0);
        }
        add("h_sum", ("a", String::new()), age * 12.345_678);
    }
    if number > 4 && dice.below(3) == 0 {
        // Late, at a time that no other batch has.
        let back = 1 + dice.below(4) as i64;
        let late = time.minus_millis(back * INTERVAL - 1 - (99 + number as i64) % 14_000);
        let whole = dice.below(2) == 0;
        let mut add = |name: &str, label: (&str, &str), value: f64| {
            let pairs = [("__name__", name), label];
            samples.push((Labels::from_pairs(pairs), Sample::float(late, value)));
        };
        add("h_bucket", ("le", "1"), dice.below(9) as f64);
        if whole {
            add("h_bucket", ("le", "5"), 10.0);
            add("h_bucket", ("le", "+Inf"), 11.0);
            add("h_sum", ("a", ""), 1.5);
        }
        add("churn", ("pod", "0"), 0.125);
    }
    let mut content = Content::new();
    samples.retain(|(labels, sample)| {
        let SampleValue::Float(value) = sample.value else { return false };
        match content.entry((labels.to_string(), sample.timestamp.as_millis())) {
            Entry::Vacant(place) => {
                place.insert(value.to_bits());
                true
            }
            Entry::Occupied(_) => false,
        }
    });
    (samples, content)
}

fn options(seed: u64) -> StoreOptions {
    // Small files: every life sees their ends.
    let log_bytes = [400, 900, 1 << 20][(seed % 3) as usize];
    let out_of_order_window = Duration::from_secs(600);
    let limits = Limits { log_bytes, min_free_bytes: 0, out_of_order_window, ..Limits::default() };
    let durability = if seed.is_multiple_of(4) { Durability::Never } else { Durability::Each };
    StoreOptions::new().limits(limits).durability(durability)
}

fn open(disk: &Arc<SimulatedDisk>, seed: u64) -> Result<Store, Error> {
    open_on(disk, options(seed))
}

/// Everything a snapshot can read.
pub(super) fn content(snapshot: &Snapshot) -> Result<Content, Error> {
    let set = snapshot.select(&SelectRequest::new(&[], Window::ALL))?;
    let mut content = Content::new();
    let mut buffer = SampleBuffer::default();
    for item in &set.items {
        let Item::Series(series) = item else { continue };
        buffer.clear();
        series.read(Window::ALL, &mut buffer)?;
        for (time, value) in buffer.times.iter().zip(&buffer.values) {
            let key = (series.labels().to_string(), *time);
            if content.insert(key, value.to_bits()).is_some() {
                return Err(Error::new(ErrorKind::Corrupt, "a sample is there twice"));
            }
        }
    }
    Ok(content)
}

/// The names and bytes of all files at the end of the life that `seed` tells.
pub(crate) fn life_files(seed: u64) -> Result<Vec<(String, Vec<u8>)>, String> {
    let disk = Arc::new(SimulatedDisk::new(seed));
    Life::default().live(&disk, seed).map_err(|error| format!("seed {seed}: {error}"))?;
    Ok(disk.files().into_iter().map(|(name, bytes)| (name.to_string(), bytes.to_vec())).collect())
}

impl Life {
    /// Appends the next batch.
    fn append(&mut self, store: &Store, seed: u64) -> Result<(), Error> {
        let is_batch = |tried: &&Tried| matches!(tried, Tried::Batch(_));
        let number = self.tried.iter().filter(is_batch).count();
        let (samples, content) = batch(seed, number);
        let mut appender = store.appender();
        for (labels, sample) in &samples {
            appender.append(labels, sample.clone())?;
        }
        self.tried.push(Tried::Batch(content));
        let report = appender.commit()?;
        assert!(report.refused.is_empty() && report.appended == samples.len(), "{report:?}");
        if report.durable {
            self.acknowledged = self.tried.len();
        }
        Ok(())
    }

    /// Deletes something.
    fn delete(&mut self, store: &Store, seed: u64) -> Result<(), Error> {
        let deletion = Deletion::new(seed, self.tried.len());
        self.tried.push(Tried::Deleted(deletion));
        let (start, end) =
            (Timestamp::from_millis(deletion.times.0), Timestamp::from_millis(deletion.times.1));
        store.delete_series(&deletion.matchers(), start, end)?;
        if !seed.is_multiple_of(4) {
            self.acknowledged = self.tried.len();
        }
        Ok(())
    }

    fn all(&self, tried: usize) -> Content {
        let mut content = Content::new();
        for step in &self.tried[..tried] {
            match step {
                Tried::Batch(batch) => content.extend(batch.iter().map(|(key, bits)| (key.clone(), *bits))),
                Tried::Deleted(deletion) => content.retain(|key, _| !deletion.hides(key)),
            }
        }
        content
    }

    /// How much of what was tried `found` holds, if it holds the first of it, whole, and what was acknowledged.
    fn prefix(&self, found: &Content) -> Result<usize, String> {
        self.prefix_from(self.acknowledged, found)
    }

    /// As [`prefix`](Self::prefix), if `least` had been acknowledged.
    fn prefix_from(&self, least: usize, found: &Content) -> Result<usize, String> {
        let batches = found.keys().filter(|(labels, _)| labels.contains("batch")).count();
        let of = |tried: usize| {
            self.tried[..tried].iter().filter(|tried| matches!(tried, Tried::Batch(_))).count()
        };
        if batches < of(least) {
            return Err(format!("LOST: {batches} batches are there, {} were acknowledged", of(least)));
        }
        if batches > of(self.tried.len()) {
            return Err(format!(
                "INVENTED: {batches} batches are there, {} were tried",
                of(self.tried.len())
            ));
        }
        // With so many batches some deletions behind the last of them may be there or not.
        let mut wrong = String::new();
        for tried in (least..=self.tried.len()).filter(|tried| of(*tried) == batches) {
            let wanted = self.all(tried);
            if *found == wanted {
                return Ok(tried);
            }
            let missing = wanted.iter().find(|(key, bits)| found.get(*key) != Some(bits));
            let more = found.iter().find(|(key, _)| !wanted.contains_key(*key));
            wrong = format!("WRONG: {batches} batches, but {missing:?} is missing or {more:?} too much");
        }
        Err(wrong)
    }

    /// Lives on `disk` until the script ends or something fails.
    fn live(&mut self, disk: &Arc<SimulatedDisk>, seed: u64) -> Result<(), Error> {
        let mut dice = Dice::new(seed);
        let mut deletions = Dice::new(!seed);
        let mut store = open(disk, seed)?;
        let mut held: Option<(Snapshot, Content)> = None;
        let steps = if seed.is_multiple_of(5) { 40 } else { 10 };
        for _ in 0..6 + dice.below(steps) {
            match dice.below(12) {
                0..=6 => self.append(&store, seed)?,
                7 => {
                    store.flush()?;
                    self.acknowledged = self.tried.len();
                }
                8 => drop(store.maintain()?),
                9 => {
                    store.close()?;
                    self.acknowledged = self.tried.len();
                    drop(store);
                    store = open(disk, seed)?;
                }
                10 => {
                    let snapshot = store.snapshot();
                    let content = content(&snapshot)?;
                    held = Some((snapshot, content));
                }
                _ => {
                    if let Some((snapshot, before)) = &held {
                        assert_eq!(content(snapshot)?, *before, "a snapshot has changed");
                    }
                }
            }
            match deletions.below(10) {
                0 => self.delete(&store, seed)?,
                1 => store.clean_tombstones()?,
                _ => {}
            }
        }
        store.close()?;
        self.acknowledged = self.tried.len();
        Ok(())
    }

    /// Opens what is left and looks at it. Says how much of what was tried is there.
    fn check(&self, disk: &Arc<SimulatedDisk>, seed: u64, what: &str) -> Result<usize, String> {
        let store = open(disk, seed).map_err(|error| format!("{what}: opening failed: {error}"))?;
        let found = content(&store.snapshot()).map_err(|error| format!("{what}: reading failed: {error}"))?;
        let batches = self.prefix(&found).map_err(|wrong| format!("{what}: {wrong}"))?;
        abandon(store);
        Ok(batches)
    }
}
