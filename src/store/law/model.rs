//! What a store holds, as a plain map says.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Snapshot, Store};
use super::exemplars::{self, Ring, Traced};
use super::{Content, content};
use crate::model::{Timestamp, Window};

/// What was told to the store, in order, and how much of it is promised to last.
#[derive(Default)]
pub(super) struct Model {
    told: Vec<Told>,
    durable: usize,
    /// What the store may have refused of the batch that was told last: it has not said.
    unsure: Vec<(String, i64)>,
    /// All that was told, but for what was deleted.
    pub(super) now: Content,
    /// The exemplars of all that was told.
    pub(super) exemplars: Ring,
    /// The newest time of every series, of what was deleted as well.
    pub(super) newest: BTreeMap<String, i64>,
    /// Samples older than the newest by as much may be forgotten.
    pub(super) kept: Option<i64>,
    /// The border that retention has reached: what it forgot stays forgotten if the samples are lost for which it did.
    forgotten: i64,
    /// Samples that were earlier than one before them, or later than the newest of a batch behind them.
    out_of_step: BTreeSet<(String, i64)>,
}

enum Told {
    Batch(Content),
    /// Names of series, first and last time.
    Deleted(Vec<String>, i64, i64),
    Exemplars(Vec<Traced>),
}

impl Told {
    fn apply(&self, content: &mut Content) {
        match self {
            Told::Batch(batch) => {
                content.extend(batch.iter().map(|(key, own)| (key.clone(), own.clone())));
            }
            Told::Deleted(names, start, end) => {
                content.retain(|(name, time), _| !names.contains(name) || time < start || end < time);
            }
            Told::Exemplars(_) => {}
        }
    }

    fn apply_exemplars(&self, ring: &mut Ring) {
        match self {
            Told::Batch(_) => {}
            Told::Deleted(names, start, end) => ring.delete(names, *start, *end),
            Told::Exemplars(taken) => ring.add(taken),
        }
    }
}

impl Model {
    /// A batch is told to the store: all of it may be there from here on, but for what it may refuse.
    pub(super) fn tell(&mut self, batch: Content, unsure: Vec<(String, i64)>) {
        self.told.push(Told::Batch(batch));
        self.unsure = unsure;
    }

    /// What the store has taken of the batch that was told last.
    pub(super) fn take(&mut self, refused: &[(String, i64)]) {
        self.unsure.clear();
        let Some(told) = self.told.last_mut() else { return };
        if let Told::Batch(batch) = told {
            refused.iter().for_each(|key| drop(batch.remove(key)));
            let newest = self.newest.values().copied().max().unwrap_or(i64::MIN);
            let own = batch.keys().map(|(_, time)| *time).max().unwrap_or(i64::MAX);
            self.out_of_step.extend(batch.keys().filter(|(_, time)| *time < newest).cloned());
            if own < newest {
                self.out_of_step.extend(self.now.keys().filter(|(_, time)| *time > own).cloned());
            }
        }
        see_told(&mut self.newest, told);
        told.apply(&mut self.now);
    }

    pub(super) fn delete(&mut self, names: Vec<String>, start: i64, end: i64) {
        let told = Told::Deleted(names, start, end);
        told.apply(&mut self.now);
        told.apply_exemplars(&mut self.exemplars);
        self.told.push(told);
    }

    /// Exemplars that the store takes are told to it: they may be there from here on.
    pub(super) fn tell_exemplars(&mut self, taken: Vec<Traced>) {
        self.exemplars.add(&taken);
        self.told.push(Told::Exemplars(taken));
    }

    /// They were refused after all.
    pub(super) fn take_exemplars_back(&mut self) {
        self.told.pop();
        self.exemplars = self.all_exemplars(self.told.len());
    }

    pub(super) fn was_exemplar(&self, traced: &Traced) -> bool {
        self.told.iter().any(|told| matches!(told, Told::Exemplars(taken) if taken.contains(traced)))
    }

    /// Everything that was told lasts.
    pub(super) fn keep(&mut self) {
        self.durable = self.told.len();
    }

    /// Samples up to this may be forgotten.
    pub(super) fn border(&self) -> i64 {
        let newest = self.newest.values().copied().max();
        newest.zip(self.kept).map_or(i64::MIN, |(newest, kept)| self.forgotten.max(newest - kept))
    }

    /// Every sample that was ever told, in all the values that it may have.
    pub(super) fn was_told(&self, key: &(String, i64), own: &(Vec<u8>, i64)) -> bool {
        self.told.iter().any(|told| matches!(told, Told::Batch(batch) if batch.get(key) == Some(own)))
    }

    /// Samples whose loss a hole in the log tells: what is lost is taken to lie between its neighbours in the log.
    pub(super) fn in_step(&self) -> impl Iterator<Item = &(String, i64)> {
        let border = self.border();
        self.now.keys().filter(move |key| key.1 > border && !self.out_of_step.contains(*key))
    }

    fn differences<'a>(
        border: i64,
        wanted: &'a Content,
        found: &'a Content,
    ) -> (Vec<Entry<'a>>, Vec<Entry<'a>>) {
        let missing = wanted.iter().filter(|(key, own)| key.1 > border && found.get(*key) != Some(*own));
        let more = found.iter().filter(|(key, own)| wanted.get(*key) != Some(*own));
        (missing.collect(), more.collect())
    }

    pub(super) fn assert_same(&self, snapshot: &Snapshot, found: &Content) {
        let (missing, more) = Self::differences(self.border(), &self.now, found);
        assert!(missing.is_empty() && more.is_empty(), "{missing:?} is missing, {more:?} too much");
        let exemplars = exemplars::found(snapshot);
        let agree = self.exemplars.agrees(self.border(), &exemplars);
        assert!(agree, "the exemplars are {exemplars:?}, not {:?}", self.exemplars);
    }

    /// The store holds what was told first, and at least what is durable.
    pub(super) fn settle(&mut self, store: &Store) {
        let snapshot = store.snapshot();
        let (found, exemplars) = (content(&snapshot).unwrap(), exemplars::found(&snapshot));
        let tried = self.told.len();
        // What was told last may be there, whether it was acknowledged or not.
        for told in &self.told {
            see_told(&mut self.newest, told);
        }
        let border = self.border();
        let unsure = std::mem::take(&mut self.unsure);
        if let Some(Told::Batch(last)) = self.told.last_mut() {
            last.retain(|key, _| found.contains_key(key) || !unsure.contains(key));
        }
        let agrees = |there: &usize| {
            let wanted = self.all(*there);
            let (missing, more) = Self::differences(border, &wanted, &found);
            missing.is_empty() && more.is_empty() && self.all_exemplars(*there).agrees(border, &exemplars)
        };
        let there = (self.durable..=tried).rev().find(agrees).unwrap_or_else(|| {
            let wanted = self.all(tried);
            let (missing, more) = Self::differences(border, &wanted, &found);
            panic!(
                "of {tried} batches, {} of them durable, {missing:?} is missing, {more:?} too much, exemplars {exemplars:?}, not {:?}",
                self.durable,
                self.exemplars
            )
        });
        self.assert_loss_is_told(store, there, &found);
        self.forgotten = border;
        self.told.truncate(there);
        self.durable = there;
        self.now = self.all(there);
        self.exemplars = self.all_exemplars(there);
        self.newest.clear();
        for told in &self.told {
            see_told(&mut self.newest, told);
        }
    }

    /// Samples that were told after what is there are in doubt, but for those that lag behind that: nobody knows how far.
    fn assert_loss_is_told(&self, store: &Store, there: usize, found: &Content) {
        let (border, mut newest) = (self.border(), BTreeMap::new());
        self.told[..there].iter().for_each(|told| see_told(&mut newest, told));
        let newest = newest.values().copied().max().unwrap_or(i64::MIN).max(border.saturating_add(1));
        let (losses, wanted) = (store.losses(), self.all(self.told.len()));
        for (name, time) in wanted.keys().filter(|key| key.1 >= newest && !found.contains_key(*key)) {
            let own = Window::new(Timestamp::from_millis(time - 1), Timestamp::from_millis(*time));
            let is_told = losses.iter().any(|loss| loss.touches(own));
            assert!(is_told, "{name} at {time} is lost without a word: {losses:?}");
        }
    }

    fn all(&self, count: usize) -> Content {
        let mut content = Content::new();
        self.told[..count].iter().for_each(|told| told.apply(&mut content));
        content
    }

    fn all_exemplars(&self, count: usize) -> Ring {
        let mut ring = Ring::default();
        self.told[..count].iter().for_each(|told| told.apply_exemplars(&mut ring));
        ring
    }
}

type Entry<'a> = (&'a (String, i64), &'a (Vec<u8>, i64));

/// What becomes of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    New,
    Duplicate,
    Refused,
    /// Whether it is new depends on what the store still knows of samples that were deleted, or of a histogram's others.
    Unsure,
}

fn see_told(newest: &mut BTreeMap<String, i64>, told: &Told) {
    let Told::Batch(batch) = told else { return };
    for (name, time) in batch.keys() {
        let known = newest.entry(name.clone()).or_insert(*time);
        *known = (*known).max(*time);
    }
}

/// The fates of the samples of one batch.
pub(super) struct Fates<'a> {
    model: &'a Model,
    window: i64,
    /// The newest times of all: of what was told, and of what is there.
    all_newest: i64,
    seen_newest: i64,
    /// The newest time of a histogram's columns.
    columns: Option<i64>,
}

impl<'a> Fates<'a> {
    pub(super) fn new(model: &'a Model, window: i64) -> Self {
        let columns = model.newest.iter().filter(|(other, _)| other.contains("d_"));
        Self {
            model,
            window,
            all_newest: model.newest.values().copied().max().unwrap_or(i64::MIN),
            seen_newest: model.now.keys().map(|(_, time)| *time).max().unwrap_or(i64::MIN),
            columns: columns.map(|(_, time)| *time).max(),
        }
    }

    pub(super) fn of(&self, name: &str, time: i64, own: &(Vec<u8>, i64)) -> Fate {
        let known = &self.model.now;
        let raw = self.model.newest.get(name).copied();
        if raw.is_none_or(|raw| time > raw) {
            let behind = name.contains("d_") && self.columns >= Some(time);
            return if behind { Fate::Unsure } else { Fate::New };
        }
        // Of which nothing is left, that may be known no more.
        if raw <= Some(self.model.border()) {
            return Fate::Unsure;
        }
        let range = (name.to_owned(), i64::MIN)..=(name.to_owned(), i64::MAX);
        let visible = known.range(range).next_back().map(|((_, time), _)| *time);
        let may_be_inside = self.window > 0 && time >= self.seen_newest.saturating_sub(self.window);
        let is_inside = self.window > 0 && time >= self.all_newest.saturating_sub(self.window);
        match known.get(&(name.to_owned(), time)) {
            Some(there) if visible == Some(time) || is_inside => {
                if there == own {
                    Fate::Duplicate
                } else {
                    Fate::Refused
                }
            }
            Some(_) if !may_be_inside => Fate::Refused,
            Some(there) if there != own => Fate::Refused,
            Some(_) => Fate::Unsure,
            None if is_inside => Fate::New,
            None if may_be_inside || visible.is_none_or(|visible| time > visible) => Fate::Unsure,
            None => Fate::Refused,
        }
    }
}
