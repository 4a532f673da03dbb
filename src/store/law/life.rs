//! Random operations with faults and power cuts, against a plain map.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;

use super::super::backing::{Fault, SimulatedDisk};
use super::super::{Snapshot, Store};
use super::{Content, Script, abandon, batch, content, deletion, open, series, value_bytes};
use crate::error::Result;
use crate::model::Timestamp;

/// What was told to the store, in order, and how much of it is promised to last.
#[derive(Default)]
struct Model {
    told: Vec<Told>,
    durable: usize,
    /// The newest time of every series, of what was deleted as well.
    newest: BTreeMap<String, i64>,
}

enum Told {
    Batch(Content),
    /// Names of series, first and last time.
    Deleted(Vec<String>, i64, i64),
}

impl Model {
    fn all(&self, count: usize) -> Content {
        let mut content = Content::new();
        for told in &self.told[..count] {
            match told {
                Told::Batch(batch) => content.extend(batch.clone()),
                Told::Deleted(names, start, end) => {
                    content.retain(|(name, time), _| !names.contains(name) || time < start || end < time)
                }
            }
        }
        content
    }

    fn assert_same(&self, found: &Content) {
        let wanted = self.all(self.told.len());
        let missing: Vec<_> = wanted.iter().filter(|(key, own)| found.get(*key) != Some(*own)).collect();
        let more: Vec<_> = found.iter().filter(|(key, own)| wanted.get(*key) != Some(*own)).collect();
        assert!(missing.is_empty() && more.is_empty(), "{missing:?} is missing, {more:?} too much");
    }

    /// The store holds what was told first, and at least what is durable.
    fn settle(&mut self, store: &Store) {
        let found = content(&store.snapshot()).unwrap();
        let tried = self.told.len();
        let there = (self.durable..=tried).rev().find(|there| self.all(*there) == found);
        let there = there.unwrap_or_else(|| {
            let wanted = self.all(tried);
            let missing: Vec<_> = wanted.iter().filter(|(key, own)| found.get(*key) != Some(*own)).collect();
            let more: Vec<_> = found.iter().filter(|(key, own)| wanted.get(*key) != Some(*own)).collect();
            panic!(
                "of {tried} batches, {} of them durable, {missing:?} is missing, {more:?} too much",
                self.durable
            )
        });
        self.told.truncate(there);
        self.durable = there;
        self.newest.clear();
        for told in &self.told {
            if let Told::Batch(batch) = told {
                see(&mut self.newest, batch);
            }
        }
    }
}

/// What becomes of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    New,
    Duplicate,
    Refused,
    /// Whether it is new depends on what the store still knows of samples that were deleted, or of a histogram's others.
    Unsure,
}

fn see(newest: &mut BTreeMap<String, i64>, batch: &Content) {
    for (name, time) in batch.keys() {
        let known = newest.entry(name.clone()).or_insert(*time);
        *known = (*known).max(*time);
    }
}

fn fate(model: &Model, known: &Content, name: &str, time: i64, own: &(Vec<u8>, i64), window: i64) -> Fate {
    let range = (name.to_owned(), i64::MIN)..=(name.to_owned(), i64::MAX);
    let visible = known.range(range).next_back().map(|((_, time), _)| *time);
    let raw = model.newest.get(name).copied();
    let there = known.get(&(name.to_owned(), time));
    if raw.is_none_or(|raw| time > raw) {
        let others = model.newest.iter().filter(|(other, _)| other.contains("d_"));
        let behind = name.contains("d_") && others.map(|(_, time)| *time).max() >= Some(time);
        return if behind { Fate::Unsure } else { Fate::New };
    }
    let all_newest = model.newest.values().copied().max().unwrap_or(i64::MIN);
    let seen_newest = known.keys().map(|(_, time)| *time).max().unwrap_or(i64::MIN);
    let may_be_inside = window > 0 && time >= seen_newest.saturating_sub(window);
    let is_inside = window > 0 && time >= all_newest.saturating_sub(window);
    match there {
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

fn append(
    store: &Store,
    model: &mut Model,
    script: &mut Script<'_>,
    state: &mut (i64, [f64; 5]),
    window: i64,
) -> Result<()> {
    let mut samples = batch(script, &mut state.0, &mut state.1);
    let how = script.byte();
    if how & 3 == 0 {
        let back = if how & 4 == 0 { 15_000 * i64::from(how >> 4) } else { script.below(60_000) as i64 };
        let one = script.below(samples.len());
        for (index, (_, sample)) in samples.iter_mut().enumerate() {
            if how & 8 == 0 || index == one {
                sample.timestamp = sample.timestamp.minus_millis(back);
            }
        }
    }
    let known = model.all(model.told.len());
    let mut appender = store.appender();
    let mut keyed = Vec::new();
    for (labels, sample) in samples {
        let key = (labels.to_string(), sample.timestamp.as_millis());
        let own = (value_bytes(&sample.value), sample.start.map_or(0, |start| start.as_millis()));
        keyed.push((key, own));
        appender.append(&labels, sample)?;
    }
    // The store looks at the samples of a series in the order of time.
    keyed.sort_by_key(|((_, time), _)| *time);
    let mut told = Content::new();
    let mut wanted: Vec<((String, i64), Fate)> = Vec::new();
    for (key, own) in &keyed {
        let fate = match told.get(key) {
            Some(before) if before == own => Fate::Duplicate,
            Some(_) => Fate::Refused,
            None => fate(model, &known, &key.0, key.1, own, window),
        };
        if matches!(fate, Fate::New | Fate::Unsure) && !known.contains_key(key) {
            told.insert(key.clone(), own.clone());
        }
        wanted.push((key.clone(), fate));
    }
    model.told.push(Told::Batch(told));
    let report = appender.commit()?;
    let mut refused: BTreeMap<(String, i64), usize> = BTreeMap::new();
    for refusal in &report.refused {
        let key = (refusal.labels.to_string(), refusal.timestamp.as_millis());
        *refused.entry(key).or_default() += 1;
    }
    let count = |fate: Fate| wanted.iter().filter(|(_, own)| *own == fate).count();
    if count(Fate::Unsure) == 0 {
        let wanted = (count(Fate::New), count(Fate::Duplicate), count(Fate::Refused));
        assert_eq!((report.appended, report.duplicates, report.refused.len()), wanted, "{report:?}");
    }
    if let Some(Told::Batch(told)) = model.told.last_mut() {
        for (key, _) in wanted.iter().filter(|(_, fate)| *fate == Fate::Unsure) {
            let all = wanted.iter().filter(|(own, _)| own == key).count();
            if refused.get(key) == Some(&all) {
                told.remove(key);
            }
        }
        see(&mut model.newest, told);
    }
    if report.durable {
        model.durable = model.told.len();
    }
    Ok(())
}

fn delete(store: &Store, model: &mut Model, script: &mut Script<'_>, now: i64) -> Result<()> {
    let (matchers, start, end) = deletion(script, now);
    let all = (0..12).map(series);
    let accepted = all.filter(|labels| {
        matchers.iter().all(|matcher| matcher.matches(labels.get(matcher.name()).unwrap_or("")))
    });
    let names = accepted.map(|labels| labels.to_string()).collect();
    model.told.push(Told::Deleted(names, start, end));
    store.delete_series(&matchers, Timestamp::from_millis(start), Timestamp::from_millis(end))?;
    model.durable = model.told.len();
    Ok(())
}

/// Lives as the bytes say. After every end of a process the store is there again, as was promised; while it lives it reads
/// what the model says, and snapshots stay as they are.
pub(crate) fn assert_life(bytes: &[u8]) {
    let mut script = Script(bytes);
    let seed = u64::from(script.byte());
    let how = usize::from(script.byte());
    let log_bytes = [300, 1000, 1 << 20][how % 3];
    let window = [0, 40_000, 1 << 40][how / 3 % 3];
    let mut disk = Arc::new(SimulatedDisk::new(seed));
    let (mut model, mut state) = (Model::default(), (1_000_000, [0.0; 5]));
    let mut store = open(&disk, log_bytes, window).unwrap();
    let mut held: Option<(Snapshot, Content)> = None;
    for _ in 0..64 {
        if script.is_empty() {
            break;
        }
        let mut outcome = Ok(());
        let mut ends = false;
        match script.byte() % 18 {
            0..=6 => outcome = append(&store, &mut model, &mut script, &mut state, window as i64),
            16 => outcome = delete(&store, &mut model, &mut script, state.0),
            17 => outcome = store.clean_tombstones(),
            7 | 8 => outcome = store.flush(),
            9 => outcome = store.maintain().map(drop),
            10 => {
                held = Some((store.snapshot(), content(&store.snapshot()).unwrap()));
            }
            11 => ends = true,
            12 => {
                outcome = store.close();
                if outcome.is_ok() {
                    model.durable = model.told.len();
                }
                ends = true;
            }
            13 => {
                let op = disk.calls() + 1 + u64::from(script.byte() % 16);
                let how = script.byte();
                disk.set_fault(match how % 5 {
                    0 => Fault::CrashAt(op),
                    1 => Fault::ShortAt(op),
                    2 => Fault::ErrorAt {
                        op,
                        error: ErrorKind::StorageFull,
                        sticky: how & 32 != 0,
                        only_sync: false,
                    },
                    3 => {
                        Fault::ErrorAt { op, error: ErrorKind::Other, sticky: how & 32 != 0, only_sync: true }
                    }
                    _ => Fault::ErrorAt {
                        op,
                        error: ErrorKind::Other,
                        sticky: how & 32 != 0,
                        only_sync: false,
                    },
                });
            }
            14 => disk.advance(std::time::Duration::from_millis(u64::from(script.byte()) * 4)),
            _ => {
                let found = content(&store.snapshot()).unwrap();
                if !disk.crashed() {
                    model.assert_same(&found);
                }
            }
        }
        if let Some((snapshot, before)) = &held {
            assert!(
                disk.crashed() || content(snapshot).is_ok_and(|now| now == *before),
                "a snapshot has changed"
            );
        }
        if outcome.is_ok() && !ends {
            continue;
        }
        // The process ends: in order, or after an error, or with the power.
        abandon(store);
        held = None;
        let cut = script.byte();
        let crashed = disk.crashed();
        disk.set_fault(Fault::None);
        disk =
            Arc::new(if cut & 1 == 0 && !crashed { disk.reopen() } else { disk.power_cut(u64::from(cut)) });
        store = open(&disk, log_bytes, window).unwrap();
        model.settle(&store);
        state.0 = state.0.max(1_000_000);
    }
    disk.set_fault(Fault::None);
    abandon(store);
    let left = Arc::new(disk.power_cut(seed));
    let store = open(&left, log_bytes, window).unwrap();
    model.settle(&store);
    store.verify().unwrap();
    abandon(store);
}

#[cfg(test)]
mod tests {
    use super::super::super::backing::Chance;
    use super::assert_life;

    #[test]
    fn stores_live_as_the_model_says_whatever_happens() {
        let lives = std::env::var("LAW_LIVES").ok().and_then(|text| text.parse().ok()).unwrap_or(150_u64);
        let first = std::env::var("LAW_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0_u64);
        for seed in first..first + lives {
            let mut chance = Chance::new(seed);
            let bytes: Vec<u8> = (0..900).map(|_| chance.draw() as u8).collect();
            let outcome = std::panic::catch_unwind(|| assert_life(&bytes));
            if let Err(panic) = outcome {
                let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                panic!("life {seed}: {text}");
            }
        }
    }
}
