//! Writers at once: who shares a sync, and what that sync's failure means to all of them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::super::backing::{Backing, CutStyle, Fault, FileBytes, FileId, FileName, SimulatedDisk};
use super::super::planted::{Bug, plant, planted};
use super::super::{Durability, Limits, Store, StoreOptions};
use super::{Content, Dice, abandon, content};
use crate::error::{Error, ErrorKind};
use crate::model::{Labels, Sample, Timestamp};

const WRITERS: usize = 4;
const BATCHES: usize = 24;

/// What came of writing at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Commits {
    pub(crate) acknowledged: u64,
    /// Syncs that these commits and their upkeep took.
    pub(crate) syncs: u64,
}

/// A disk whose syncs take their time, as those of disks do: others write and wait meanwhile.
#[derive(Debug)]
struct SlowSync {
    disk: Arc<SimulatedDisk>,
    syncs: AtomicU64,
}

impl Backing for SlowSync {
    fn sync(&self, file: FileId) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        for _ in 0..3 {
            std::thread::yield_now();
        }
        let outcome = self.disk.sync(file);
        for _ in 0..3 {
            std::thread::yield_now();
        }
        outcome
    }

    fn create(&self, name: FileName) -> io::Result<FileId> {
        self.disk.create(name)
    }

    fn open(&self, name: FileName) -> io::Result<FileId> {
        self.disk.open(name)
    }

    fn read_at(&self, file: FileId, at: u64, into: &mut [u8]) -> io::Result<usize> {
        self.disk.read_at(file, at, into)
    }

    fn write_at(&self, file: FileId, at: u64, bytes: &[u8]) -> io::Result<usize> {
        self.disk.write_at(file, at, bytes)
    }

    fn len(&self, file: FileId) -> io::Result<u64> {
        self.disk.len(file)
    }

    #[cfg(test)]
    fn truncate(&self, file: FileId, length: u64) -> io::Result<()> {
        self.disk.truncate(file, length)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.disk.sync_names()
    }

    fn rename(&self, from: FileName, to: FileName) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: FileName) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn list(&self) -> io::Result<Vec<FileName>> {
        self.disk.list()
    }

    fn foreign(&self) -> io::Result<Vec<String>> {
        self.disk.foreign()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }

    fn close(&self, file: FileId) {
        self.disk.close(file);
    }

    fn map(&self, file: FileId) -> io::Result<FileBytes> {
        self.disk.map(file)
    }

    fn elapsed(&self) -> Duration {
        self.disk.elapsed()
    }

    fn random(&self) -> u64 {
        self.disk.random()
    }
}

fn open(backing: Arc<dyn Backing>) -> Result<Store, Error> {
    let limits = Limits { log_bytes: 2000, min_free_bytes: 0, ..Limits::default() };
    Store::open_on(backing, StoreOptions::new().limits(limits).durability(Durability::Each))
}

fn key(writer: usize, batch: usize, part: &str) -> (Labels, Timestamp) {
    let labels = Labels::from_pairs([("__name__", "w"), ("writer", &*writer.to_string()), ("part", part)]);
    (labels, Timestamp::from_millis(1000 * batch as i64 + 1000))
}

fn commit(store: &Store, writer: usize, batch: usize) -> Result<bool, Error> {
    let mut appender = store.appender();
    for part in ["a", "b"] {
        let (labels, time) = key(writer, batch, part);
        appender.append(&labels, Sample::float(time, batch as f64))?;
    }
    Ok(appender.commit()?.durable)
}

/// Writes until it fails: what was tried, and what was acknowledged.
fn write(store: &Store, writer: usize) -> Result<(usize, usize), String> {
    for batch in 0..BATCHES {
        match commit(store, writer, batch) {
            Ok(true) => {}
            Ok(false) => return Err(format!("batch {batch} of writer {writer} is taken, but not durable")),
            Err(error) => {
                if !matches!(error.kind(), ErrorKind::Failed | ErrorKind::Io) {
                    return Err(format!("batch {batch} of writer {writer}: {error}"));
                }
                return Ok((batch + 1, batch));
            }
        }
    }
    Ok((BATCHES, BATCHES))
}

/// Four writers, and one that does upkeep, until a sync or any call fails, or the process dies.
pub(crate) fn group_commits(seed: u64) -> Result<Commits, String> {
    let mut dice = Dice::new(seed);
    let disk = Arc::new(SimulatedDisk::new(seed));
    let slow = Arc::new(SlowSync { disk: disk.clone(), syncs: AtomicU64::new(0) });
    let store = open(slow.clone()).map_err(|error| format!("seed {seed}: {error}"))?;
    let opened = slow.syncs.load(Ordering::Relaxed);
    disk.set_fault(match dice.below(6) {
        0 => Fault::None,
        1 => Fault::CrashAt(1 + dice.below(150)),
        kind => Fault::ErrorAt {
            op: 1 + dice.below(150),
            error: io::ErrorKind::Other,
            sticky: kind == 2,
            only_sync: kind > 3,
        },
    });
    let bug = Bug::ALL.iter().copied().find(|bug| planted(*bug));
    let written: Vec<Result<(usize, usize), String>> = std::thread::scope(|scope| {
        let store = &store;
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    plant(bug);
                    write(store, writer)
                })
            })
            .collect();
        scope.spawn(move || {
            plant(bug);
            for _ in 0..BATCHES {
                // Whatever fails in upkeep, commits say so.
                drop(store.maintain());
                std::thread::yield_now();
            }
        });
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let written: Vec<(usize, usize)> =
        written.into_iter().collect::<Result<_, _>>().map_err(|wrong| format!("seed {seed}: {wrong}"))?;
    let syncs = slow.syncs.load(Ordering::Relaxed) - opened;
    abandon(store);
    for style in [CutStyle::Nothing, CutStyle::Everything, CutStyle::Torn] {
        let left: Arc<dyn Backing> = Arc::new(disk.power_cut_in(style, seed));
        let what = format!("seed {seed}, {style:?}");
        let store = open(left).map_err(|error| format!("{what}: opening failed: {error}"))?;
        let found = content(&store.snapshot()).map_err(|error| format!("{what}: reading failed: {error}"))?;
        abandon(store);
        whole_prefixes(found, &written)
            .map_err(|wrong| format!("{what}: {wrong}\n{}", disk.trace().join("\n")))?;
    }
    let acknowledged = written.iter().map(|(_, acknowledged)| *acknowledged as u64).sum();
    Ok(Commits { acknowledged, syncs })
}

/// Of every writer the first batches are there, whole, and at least those that were acknowledged to it.
fn whole_prefixes(mut found: Content, written: &[(usize, usize)]) -> Result<(), String> {
    for (writer, (tried, acknowledged)) in written.iter().enumerate() {
        let mut there = 0;
        for batch in 0..*tried {
            let keys = ["a", "b"].map(|part| {
                let (labels, time) = key(writer, batch, part);
                (labels.to_string(), time.as_millis())
            });
            let values = keys.map(|key| found.remove(&key));
            match values {
                [None, None] if batch < *acknowledged => {
                    return Err(format!(
                        "LOST: batch {batch} of writer {writer}, {acknowledged} were acknowledged"
                    ));
                }
                [None, None] => {}
                _ if there < batch => {
                    return Err(format!("batch {batch} of writer {writer} without the one before"));
                }
                values => {
                    there = batch + 1;
                    let bits = Some((batch as f64).to_bits());
                    if values != [bits, bits] {
                        return Err(format!("WRONG: batch {batch} of writer {writer} is {values:?}"));
                    }
                }
            }
        }
    }
    if found.is_empty() { Ok(()) } else { Err(format!("INVENTED: {found:?}")) }
}
