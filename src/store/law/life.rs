//! Random operations with faults and power cuts, against a plain map.

use std::io::ErrorKind;
use std::sync::Arc;

use super::super::backing::{Fault, SimulatedDisk};
use super::super::{Snapshot, Store};
use super::{Content, Script, abandon, batch, content, open, value_bytes};
use crate::error::Result;

/// What was told to the store, batch by batch, and how much of it is promised to last.
#[derive(Default)]
struct Model {
    batches: Vec<Content>,
    durable: usize,
}

impl Model {
    fn all(&self, batches: usize) -> Content {
        self.batches[..batches].iter().flat_map(|batch| batch.clone()).collect()
    }

    /// The store holds the first batches, whole, and at least those that are durable.
    fn settle(&mut self, store: &Store) {
        let found = content(&store.snapshot()).unwrap();
        let tried = self.batches.len();
        let there = (self.durable..=tried).rev().find(|there| self.all(*there) == found);
        let there = there.unwrap_or_else(|| {
            let all = self.all(tried);
            let missing: Content =
                all.into_iter().filter(|(key, value)| found.get(key) != Some(value)).collect();
            let all = self.all(tried);
            let more: Content =
                found.into_iter().filter(|(key, value)| all.get(key) != Some(value)).collect();
            panic!(
                "of {tried} batches, {} of them durable: {missing:?} is missing, {more:?} too much",
                self.durable
            )
        });
        self.batches.truncate(there);
        self.durable = there;
    }
}

fn append(
    store: &Store,
    model: &mut Model,
    script: &mut Script<'_>,
    state: &mut (i64, [f64; 5]),
) -> Result<()> {
    let samples = batch(script, &mut state.0, &mut state.1);
    let (mut told, known) = (Content::new(), model.all(model.batches.len()));
    let mut appender = store.appender();
    let mut wanted = (0, 0, 0);
    for (labels, sample) in samples {
        let (name, time) = (labels.to_string(), sample.timestamp.as_millis());
        let own = (value_bytes(&sample.value), sample.start.map_or(0, |start| start.as_millis()));
        let range = (name.clone(), i64::MIN)..=(name.clone(), i64::MAX);
        let newest = told.range(range.clone()).next_back().or_else(|| known.range(range).next_back());
        match newest {
            Some(((_, newest), _)) if *newest > time => wanted.2 += 1,
            Some(((_, newest), before)) if *newest == time => {
                if *before == own {
                    wanted.1 += 1
                } else {
                    wanted.2 += 1
                }
            }
            _ => {
                told.insert((name, time), own);
                wanted.0 += 1;
            }
        }
        appender.append(&labels, sample)?;
    }
    model.batches.push(told);
    let report = appender.commit()?;
    // Of a sample that is in a segment only the time is known, not the value: its duplicate is refused.
    assert_eq!((report.appended, report.duplicates + report.refused.len()), (wanted.0, wanted.1 + wanted.2));
    assert!(report.duplicates <= wanted.1, "{report:?}");
    if report.durable {
        model.durable = model.batches.len();
    }
    Ok(())
}

/// Lives as the bytes say. After every end of a process the store is there again, as was promised; while it lives it reads
/// what the model says, and snapshots stay as they are.
pub(crate) fn assert_life(bytes: &[u8]) {
    let mut script = Script(bytes);
    let seed = u64::from(script.byte());
    let log_bytes = [300, 1000, 1 << 20][usize::from(script.byte() % 3)];
    let mut disk = Arc::new(SimulatedDisk::new(seed));
    let (mut model, mut state) = (Model::default(), (1_000_000, [0.0; 5]));
    let mut store = open(&disk, log_bytes).unwrap();
    let mut held: Option<(Snapshot, Content)> = None;
    for _ in 0..64 {
        if script.is_empty() {
            break;
        }
        let mut outcome = Ok(());
        let mut ends = false;
        match script.byte() % 16 {
            0..=6 => outcome = append(&store, &mut model, &mut script, &mut state),
            7 | 8 => outcome = store.flush(),
            9 => outcome = store.maintain().map(drop),
            10 => {
                held = Some((store.snapshot(), content(&store.snapshot()).unwrap()));
            }
            11 => ends = true,
            12 => {
                outcome = store.close();
                if outcome.is_ok() {
                    model.durable = model.batches.len();
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
                assert_eq!(content(&store.snapshot()).unwrap(), model.all(model.batches.len()));
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
        store = open(&disk, log_bytes).unwrap();
        model.settle(&store);
        state.0 = state.0.max(1_000_000);
    }
    disk.set_fault(Fault::None);
    abandon(store);
    let left = Arc::new(disk.power_cut(seed));
    let store = open(&left, log_bytes).unwrap();
    model.settle(&store);
    store.verify().unwrap();
    abandon(store);
}
