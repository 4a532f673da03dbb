//! Random operations with faults and power cuts, against a plain map.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use super::super::backing::{Fault, FileKind, SimulatedDisk};
use super::super::{Durability, Limits, Snapshot, Store, StoreOptions};
use super::exemplars::{self, ROOM};
use super::model::{Fate, Fates, Model};
use super::written::{Batch, SERIES, batch, more_series, rows, run, series};
use super::{Content, Script, abandon, content, deletion, open_on, value_bytes};
use crate::error::Result;
use crate::model::{Labels, Timestamp, Window};
use crate::source::Source;

fn append(
    store: &Store,
    model: &mut Model,
    script: &mut Script<'_>,
    mut told: Batch,
    window: i64,
) -> Result<()> {
    let how = script.byte();
    if how & 3 == 0 {
        let back = if how & 4 == 0 { 15_000 * i64::from(how >> 4) } else { script.below(60_000) as i64 };
        let one = script.below(told.len());
        told.put_back(back, (how & 8 != 0).then_some(one));
    }
    commit(store, model, told, window)
}

fn commit(store: &Store, model: &mut Model, told: Batch, window: i64) -> Result<()> {
    // What is forgotten at once tells nothing.
    let told = told.after(model.border());
    let mut appender = store.appender();
    let mut keyed = Vec::new();
    told.append(&mut appender, |labels, sample| {
        let key = (labels.to_string(), sample.timestamp.as_millis());
        keyed.push((key, (value_bytes(&sample.value), sample.start.map_or(0, |start| start.as_millis()))));
    })?;
    // The store looks at the samples of a series in the order of time.
    keyed.sort_by_key(|((_, time), _)| *time);
    let mut told = Content::new();
    let mut wanted: Vec<((String, i64), Fate)> = Vec::new();
    let fates = Fates::new(model, window);
    for (key, own) in &keyed {
        let fate = match told.get(key) {
            Some(before) if before == own => Fate::Duplicate,
            Some(_) => Fate::Refused,
            None => fates.of(&key.0, key.1, own),
        };
        if matches!(fate, Fate::New | Fate::Unsure) && !model.now.contains_key(key) {
            told.insert(key.clone(), own.clone());
        }
        wanted.push((key.clone(), fate));
    }
    let unsure = wanted.iter().filter(|(_, fate)| *fate == Fate::Unsure).map(|(key, _)| key);
    let unsure: Vec<(String, i64)> = unsure.cloned().collect();
    model.tell(told, unsure.clone());
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
    let is_refused = |key: &(String, i64)| {
        let all = wanted.iter().filter(|(own, _)| own == key).count();
        refused.get(key) == Some(&all)
    };
    let gone: Vec<(String, i64)> = unsure.into_iter().filter(is_refused).collect();
    model.take(&gone);
    if report.durable {
        model.keep();
    }
    Ok(())
}

fn delete(store: &Store, model: &mut Model, script: &mut Script<'_>, life: &Life) -> Result<()> {
    let (matchers, start, end) = deletion(script, life.now);
    let all = (0..SERIES).map(series).chain(more_series());
    let accepted = all.filter(|labels| matchers.iter().all(|matcher| matcher.accepts(labels)));
    model.delete(accepted.map(|labels| labels.to_string()).collect(), start, end);
    store.delete_series(&matchers, Timestamp::from_millis(start), Timestamp::from_millis(end))?;
    if life.durability == Durability::Each {
        model.keep();
    }
    Ok(())
}

/// Exemplars of a series that is there.
fn trace(store: &Store, disk: &SimulatedDisk, model: &mut Model, turn: u64, now: i64) -> Result<()> {
    let border = model.border();
    let series: Vec<Labels> = (0..SERIES).map(series).chain(more_series()).collect();
    let is_there = |labels: &&Labels| {
        let name = labels.to_string();
        model.now.keys().any(|(own, time)| *own == name && *time > border)
    };
    let known: Vec<&Labels> = series.iter().filter(is_there).collect();
    let Some(labels) = known.get(turn as usize * 7 % known.len().max(1)) else { return Ok(()) };
    let batch = exemplars::batch(labels, turn / 4, now);
    let (taken, refused) = model.exemplars.taken(&batch);
    let wanted = (taken.len(), refused);
    model.tell_exemplars(taken);
    match exemplars::commit(store, labels, &batch)? {
        Some((told, durable)) => {
            assert_eq!(told, wanted, "{batch:?} of {:?}", model.exemplars);
            if durable {
                model.keep();
            }
        }
        // Whether a frame was written whole before the power went, nobody knows.
        None if disk.crashed() => {}
        None => model.take_exemplars_back(),
    }
    Ok(())
}

/// How the stores of a life are opened, and where it is.
struct Life {
    log_bytes: u64,
    window: u64,
    kept: Option<Duration>,
    durability: Durability,
    now: i64,
    counts: [f64; 5],
    /// Long runs are few: they take long.
    runs: usize,
}

impl Life {
    fn new(how: usize) -> Self {
        let milliseconds = Duration::from_millis;
        Self {
            log_bytes: [300, 1000, 1 << 20][how % 3],
            window: [0, 40_000, 1 << 40][how / 3 % 3],
            kept: (how / 9 % 4 == 3).then_some(milliseconds(600_000)),
            durability: match how / 36 % 4 {
                2 => Durability::Interval(milliseconds(100)),
                3 => Durability::Never,
                _ => Durability::Each,
            },
            now: 1_000_000,
            counts: [0.0; 5],
            runs: 0,
        }
    }

    fn options(&self) -> StoreOptions {
        let out_of_order_window = Duration::from_millis(self.window);
        let (log_bytes, min_free_bytes, exemplars) = (self.log_bytes, 0, ROOM);
        let limits =
            Limits { log_bytes, min_free_bytes, out_of_order_window, exemplars, ..Limits::default() };
        let mut options = StoreOptions::new().limits(limits).durability(self.durability);
        options.retention = self.kept;
        options
    }

    fn open(&self, disk: &Arc<SimulatedDisk>) -> Store {
        open_on(disk, self.options()).unwrap()
    }
}

fn fault(script: &mut Script<'_>, disk: &SimulatedDisk) {
    let op = disk.calls() + 1 + u64::from(script.byte() % 16);
    let how = script.byte();
    let (sticky, other) = (how & 32 != 0, ErrorKind::Other);
    disk.set_fault(match how % 5 {
        0 => Fault::CrashAt(op),
        1 => Fault::ShortAt(op),
        2 => Fault::ErrorAt { op, error: ErrorKind::StorageFull, sticky, only_sync: false },
        3 => Fault::ErrorAt { op, error: other, sticky, only_sync: true },
        _ => Fault::ErrorAt { op, error: other, sticky, only_sync: false },
    });
}

/// A store that is opened to be read, and refreshed, shows what was committed by then.
fn follow(
    reader: &mut Option<Store>,
    disk: &Arc<SimulatedDisk>,
    life: &Life,
    model: &Model,
    has_fault: bool,
) -> Option<(Snapshot, Content)> {
    let outcome = match reader.take() {
        Some(known) => {
            let outcome = known.refresh();
            *reader = Some(known);
            outcome
        }
        None => Store::open_read_only_on(disk.clone(), life.options()).map(|opened| *reader = Some(opened)),
    };
    let shown = outcome.and_then(|()| {
        let snapshot = reader.as_ref().unwrap().snapshot();
        content(&snapshot).map(|found| (snapshot, found))
    });
    match shown {
        Ok((snapshot, found)) => {
            model.assert_same(&snapshot, &found);
            Some((snapshot, found))
        }
        Err(error) => {
            assert!(has_fault, "a reader beside the writer: {error}");
            None
        }
    }
}

/// Lives as the bytes say. After every end of a process the store is there again, as was promised; while it lives it reads
/// what the model says, and snapshots stay as they are, also those of a reader elsewhere. In the end a bit of it is flipped.
pub(crate) fn assert_life(bytes: &[u8]) {
    let mut script = Script(bytes);
    let seed = u64::from(script.byte());
    let mut life = Life::new(usize::from(script.byte()));
    let window = life.window as i64;
    let mut disk = Arc::new(SimulatedDisk::new(seed));
    let mut model = Model::default();
    model.kept = life.kept.map(|kept| kept.as_millis() as i64);
    let mut store = life.open(&disk);
    let mut held: Vec<(Snapshot, Content)> = Vec::new();
    let (mut reader, mut has_fault) = (None, false);
    for turn in 0..64_u64 {
        if script.is_empty() {
            break;
        }
        let mut outcome = Ok(());
        let mut ends = false;
        match script.byte() % 24 {
            0..=6 => {
                let told = batch(&mut script, &mut life.now, &mut life.counts);
                outcome = append(&store, &mut model, &mut script, told, window);
            }
            16 => outcome = delete(&store, &mut model, &mut script, &life),
            17 => outcome = store.clean_tombstones(),
            18 | 19 => {
                let told = rows(&mut script, &mut life.now, &mut life.counts);
                outcome = append(&store, &mut model, &mut script, told, window);
            }
            20 | 21 if life.runs < 5 => {
                life.runs += 1;
                for told in run(&mut script, &mut life.now, &mut life.counts) {
                    outcome = outcome.and_then(|()| commit(&store, &mut model, told, window));
                }
            }
            22 | 23 if !disk.crashed() => {
                let shown = follow(&mut reader, &disk, &life, &model, has_fault);
                held.truncate(1);
                held.extend(shown);
            }
            7 | 8 => outcome = store.flush(),
            9 => outcome = store.maintain().map(drop),
            10 => {
                held.clear();
                held.push((store.snapshot(), content(&store.snapshot()).unwrap()));
            }
            11 => ends = true,
            12 => {
                outcome = store.close();
                if outcome.is_ok() {
                    model.keep();
                }
                ends = true;
            }
            13 => {
                fault(&mut script, &disk);
                has_fault = true;
            }
            14 => disk.advance(Duration::from_millis(u64::from(script.byte()) * 4)),
            _ => {
                outcome = trace(&store, &disk, &mut model, turn, life.now);
                let snapshot = store.snapshot();
                let found = content(&snapshot).unwrap();
                ends = disk.crashed();
                if outcome.is_ok() && !ends {
                    model.assert_same(&snapshot, &found);
                }
            }
        }
        let ends = ends || outcome.is_err();
        // All of it is read each time.
        let looked_at = if ends || turn % 8 == 7 { &held[..] } else { &[] };
        for (snapshot, before) in looked_at {
            let is_same = content(snapshot).is_ok_and(|now| now == *before);
            assert!(disk.crashed() || is_same, "a snapshot has changed");
        }
        if !ends {
            continue;
        }
        // The process ends: in order, or after an error, or with the power.
        abandon(store);
        held.clear();
        let cut = script.byte();
        let crashed = disk.crashed();
        disk.set_fault(Fault::None);
        has_fault = false;
        if cut & 1 != 0 || crashed {
            reader = None;
            disk = Arc::new(disk.power_cut(u64::from(cut)));
        } else if reader.is_none() {
            disk = Arc::new(disk.reopen());
        }
        store = life.open(&disk);
        model.settle(&store);
        life.now = life.now.max(1_000_000);
    }
    disk.set_fault(Fault::None);
    abandon(store);
    let left = Arc::new(disk.power_cut(seed));
    let store = life.open(&left);
    model.settle(&store);
    store.verify().unwrap();
    abandon(store);
    assert_damage_is_told(&mut script, &left, &life, &model);
}

/// With one bit flipped the store does not open, or nothing is missing but what it says; salvaged, it says that of all that is
/// missing, and invents nothing.
fn assert_damage_is_told(script: &mut Script<'_>, disk: &SimulatedDisk, life: &Life, model: &Model) {
    let mut files = disk.files();
    let at = script.below(files.len());
    let (name, bytes) = &mut files[at];
    let (bits, name) = (bytes.len() * 8, *name);
    if bits == 0 {
        return;
    }
    let bit = (script.bits() % bits as u64) as usize;
    Arc::make_mut(bytes)[bit / 8] ^= 1 << (bit % 8);
    for salvage in [false, true] {
        let damaged = Arc::new(SimulatedDisk::from_files(5, files.clone()));
        let store = match open_on(&damaged, life.options().salvage(salvage)) {
            Ok(store) => store,
            Err(error) => {
                assert!(!salvage || name.kind == FileKind::Manifest, "{name} is not salvaged: {error}");
                continue;
            }
        };
        // Chunks are looked at when they are read.
        let snapshot = store.snapshot();
        if let Ok(found) = content(&snapshot) {
            let losses = snapshot.losses(Window::ALL);
            for (key, own) in found.iter().filter(|(key, own)| model.now.get(*key) != Some(*own)) {
                let may_be = salvage && model.was_told(key, own);
                assert!(may_be, "{key:?} is invented by bit {bit} of {name}, salvage {salvage}");
            }
            let traced = exemplars::found(&snapshot);
            assert!(
                traced.iter().all(|traced| model.was_exemplar(traced)),
                "{traced:?} by bit {bit} of {name}"
            );
            for (_, time) in model.in_step().filter(|key| !found.contains_key(*key)) {
                let own = Window::new(Timestamp::from_millis(time - 1), Timestamp::from_millis(*time));
                assert!(
                    losses.iter().any(|loss| loss.touches(own)),
                    "a sample at {time} is missing by bit {bit} of {name}, salvage {salvage}: {losses:?}"
                );
            }
        }
        abandon(store);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::backing::Chance;
    use super::assert_life;

    #[test]
    fn stores_live_as_the_model_says_whatever_happens() {
        let lives = std::env::var("LAW_LIVES").ok().and_then(|text| text.parse().ok()).unwrap_or(100_u64);
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
