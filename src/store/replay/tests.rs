use std::sync::Arc;

use super::super::backing::{Backing, Chance, FileKind, FileName, MemoryBacking, write_all_at};
use super::super::law::{abandon, content};
use super::super::manifest::Manifest;
use super::super::open::Opening;
use super::super::sync::RwLock;
use super::super::wal::{Frame, FrameKind, Stop, scan};
use super::super::write::Writer;
use super::super::{Durability, Limits, Store, StoreOptions};
use super::read_log;
use crate::error::ErrorKind;
use crate::model::{
    Labels, Matcher, NativeHistogram, Sample, SampleBuffer, SampleValue, Span, Timestamp, Window,
    stale_marker,
};
use crate::source::{Item, SelectRequest, Source};

/// Items lie on several pages of heads.
const PODS: usize = 70;
const STEP: i64 = 15_000;

/// A store in memory files, and what it is told: all that a log may hold.
struct Life {
    backing: Arc<dyn Backing>,
    store: Store,
    chance: Chance,
    now: i64,
    counts: Vec<[f64; 4]>,
}

fn options(log_bytes: u64) -> StoreOptions {
    let out_of_order_window = std::time::Duration::from_secs(600);
    let limits = Limits { log_bytes, min_free_bytes: 0, out_of_order_window, ..Limits::default() };
    StoreOptions::new().limits(limits).durability(Durability::Never)
}

fn series(pod: usize, name: &str, bound: Option<&str>) -> Labels {
    let pod = format!("p{pod}");
    let pairs = [("__name__", name), ("pod", &*pod)].into_iter();
    Labels::from_pairs(pairs.chain(bound.map(|bound| ("le", bound))))
}

impl Life {
    fn new(seed: u64, log_bytes: u64) -> Self {
        let backing: Arc<dyn Backing> = Arc::new(MemoryBacking::new(1 << 30));
        let store = Store::open_on(backing.clone(), options(log_bytes)).unwrap();
        Self { backing, store, chance: Chance::new(seed), now: 1_000_000, counts: vec![[0.0; 4]; PODS] }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.chance.below(bound as u64) as usize
    }

    /// One scrape of some of the pods, from `first` on.
    fn batch(&mut self, first: usize) {
        self.now += STEP + self.below(3) as i64;
        let mut appender = self.store.appender();
        let most = 1 + self.below(4);
        for pod in first..PODS {
            if self.below(most + 2) > most {
                continue;
            }
            for (labels, sample) in self.samples(pod) {
                appender.append(&labels, sample).unwrap();
            }
        }
        appender.commit().unwrap();
    }

    fn samples(&mut self, pod: usize) -> Vec<(Labels, Sample)> {
        let late = if self.below(40) == 0 { STEP * (1 + self.below(5) as i64) + 7 } else { 0 };
        let time = Timestamp::from_millis(self.now - late);
        let float = |name: &str, bound: Option<&str>, value: f64| {
            (series(pod, name, bound), Sample::float(time, value))
        };
        match pod % 6 {
            0..=2 => {
                let reset = self.below(30) == 0;
                let more: Vec<f64> = (0..3).map(|_| self.below(3) as f64).collect();
                let counts = &mut self.counts[pod];
                if reset {
                    *counts = [0.0; 4];
                }
                let mut below = 0.0;
                for (count, more) in counts.iter_mut().zip(more) {
                    below += more;
                    *count += below;
                }
                counts[3] += below * 0.37;
                let [first, second, all, sum] = *counts;
                let bound = if pod % 6 == 2 && self.now / STEP % 50 > 25 { "4" } else { "2" };
                let mut row = vec![
                    float("h_bucket", Some("1"), first),
                    float("h_bucket", Some(bound), second),
                    float("h_bucket", Some("+Inf"), all),
                    float("h_count", None, all),
                    float("h_sum", None, sum),
                ];
                match self.below(60) {
                    0 => drop(row.remove(self.below(5))),
                    1 => row[self.below(5)].1.value = SampleValue::Float(stale_marker()),
                    2 if pod % 12 == 1 => row[4].1.start = Some(Timestamp::from_millis(self.now - 100)),
                    _ => {}
                }
                row
            }
            3 | 4 => {
                let value = match self.below(3) {
                    0 => f64::from_bits(self.chance.draw()),
                    1 => self.below(1000) as f64 / 100.0,
                    _ => self.now as f64,
                };
                vec![float("up", None, value)]
            }
            _ => {
                let histogram = NativeHistogram {
                    count: self.below(100) as f64,
                    positive_spans: vec![Span { offset: -1, length: 1 }],
                    positive_buckets: vec![self.below(9) as f64],
                    ..NativeHistogram::default()
                };
                let value = SampleValue::Histogram(Arc::new(histogram));
                let start = (self.below(3) == 0).then(|| Timestamp::from_millis(self.now - 5));
                vec![(series(pod, "native", None), Sample { timestamp: time, value, start })]
            }
        }
    }

    fn delete(&mut self) {
        let name = ["h_bucket", "h_sum", "up", "native"][self.below(4)];
        let pod = format!("p{}", self.below(PODS));
        let matchers = [Matcher::equal("__name__", name), Matcher::equal("pod", &pod)];
        let start = Timestamp::from_millis(self.now - STEP * self.below(30) as i64);
        self.store.delete_series(&matchers, start, Timestamp::MAX).unwrap();
    }

    fn batches(&mut self, count: usize) {
        for _ in 0..count {
            if self.below(20) == 0 {
                self.delete();
            }
            // The items of the first batch are not the first ones of a batch that has all.
            let first = if self.now < 1_100_000 { PODS / 2 } else { 0 };
            self.batch(first);
        }
    }
}

/// Everything that a store shows, line by line; what was damaged may be anything.
fn lines(store: &Store) -> Vec<String> {
    let set = store.snapshot().select(&SelectRequest::new(&[], Window::ALL)).unwrap();
    let line = |item: &Item| {
        let Item::Series(series) = item else { return String::new() };
        let mut read = SampleBuffer::default();
        series.read(Window::ALL, &mut read).unwrap();
        let values: Vec<u64> = read.values.iter().map(|value| value.to_bits()).collect();
        format!("{} {:?} {values:?} {:?} {:?}", series.labels(), read.times, read.starts, read.histograms)
    };
    let mut lines: Vec<String> = set.items.iter().map(line).collect();
    lines.sort();
    lines
}

/// What the log of a backing holds, replayed in one of the two ways.
fn replayed(backing: &dyn Backing, in_groups: bool) -> Result<(Vec<String>, String), Stop> {
    let index = RwLock::default();
    let manifest = Manifest::read(backing)?;
    let options = options(1 << 20);
    let opening = Opening::try_read(backing, &index, (&options, in_groups), &[], manifest)?;
    let (applied, report) = (&opening.applied, &opening.report);
    let facts = format!(
        "{} samples up to {:?} in {} batches, losses {:?}, next {}",
        applied.samples, applied.newest, report.replayed_batches, opening.manifest.losses, opening.next,
    );
    // Room for the rows to come may differ; that it is counted may not.
    assert_eq!(applied.grown.unsigned_abs(), opening.view.heads.byte_size());
    let store = Store::with(options, index, opening, Writer::default(), None);
    Ok((lines(&store), facts))
}

#[test]
fn batches_replayed_in_groups_are_as_those_that_are_replayed_one_by_one() {
    for seed in 0..8 {
        let mut life = Life::new(seed, [1 << 20, 20_000][seed as usize % 2]);
        life.batches(if seed < 2 { 300 } else { 90 });
        let shown = lines(&life.store);
        if seed % 3 == 0 {
            life.store.close().unwrap();
        }
        let grouped = replayed(&*life.backing, true).unwrap();
        assert_eq!(grouped, replayed(&*life.backing, false).unwrap(), "seed {seed}");
        assert_eq!(grouped.0, shown, "seed {seed}");
        abandon(life.store);
    }
}

/// Changes a byte of a batch, and makes its frame's checksum right.
fn damage(backing: &dyn Backing, chance: &mut Chance) -> impl Fn() {
    let manifest = Manifest::read(backing).unwrap().unwrap();
    let log = manifest.logs[chance.below(manifest.logs.len() as u64) as usize];
    let name = FileName::new(FileKind::Log, log.number);
    let (bytes, salt) = read_log(backing, manifest.store, &log, name).unwrap();
    let found = scan(&bytes, super::HEADER, salt, log.first);
    let frames: Vec<&Frame<'_>> = found
        .frames
        .iter()
        .filter(|frame| frame.kind != FrameKind::Mark && !frame.payload.is_empty())
        .collect();
    let frame = frames[chance.below(frames.len() as u64) as usize];
    let mut payload = frame.payload.to_vec();
    let at = chance.below(payload.len() as u64) as usize;
    payload[at] ^= 1 << chance.below(8);
    let mut changed = Vec::new();
    Frame { payload: &payload, ..*frame }.put(salt, &mut changed);
    let start = frame.payload.as_ptr().addr() - bytes.as_ptr().addr() - (changed.len() - payload.len());
    let file = backing.open(name).unwrap();
    write_all_at(backing, file, start as u64, &changed).unwrap();
    let before = bytes[start..start + changed.len()].to_vec();
    move || write_all_at(backing, file, start as u64, &before).unwrap()
}

#[test]
fn a_batch_that_does_not_decode_is_the_same_error_in_a_group_as_on_its_own() {
    let (mut refused, mut accepted) = (0, 0);
    for seed in 20..24 {
        let mut life = Life::new(seed, [1 << 20, 60_000][seed as usize % 2]);
        life.batches(60);
        life.store.close().unwrap();
        let backing = life.backing.clone();
        for _ in 0..60 {
            let restore = damage(&*backing, &mut life.chance);
            let one_by_one = replayed(&*backing, false);
            match (replayed(&*backing, true), one_by_one) {
                (Ok(grouped), Ok(one_by_one)) => {
                    assert_eq!(grouped, one_by_one);
                    accepted += 1;
                }
                // Whoever opens it replays one by one then.
                (Err(Stop::OneByOne), _) => refused += 1,
                (Err(Stop::Error(grouped)), Err(Stop::Error(error))) => {
                    assert_eq!(grouped.to_string(), error.to_string());
                }
                (grouped, one_by_one) => panic!("{:?} {:?}", grouped.is_ok(), one_by_one.is_ok()),
            }
            let opened = Opening::read_beside(&*backing, &RwLock::default(), &options(1 << 20), &[]);
            let (opened, expected) =
                (opened.map(|opening| opening.applied.samples), replayed(&*backing, false));
            match (opened, expected) {
                (Ok(samples), Ok((_, facts))) => assert!(facts.starts_with(&format!("{samples} samples"))),
                (Err(error), Err(Stop::Error(expected))) => {
                    assert_eq!(error.to_string(), expected.to_string());
                    assert_eq!(error.kind(), ErrorKind::Corrupt);
                }
                (opened, expected) => panic!("{opened:?} {:?}", expected.is_ok()),
            }
            restore();
        }
    }
    assert!(refused > 50 && accepted > 10, "{refused} refused, {accepted} accepted");
}

/// What a reader shows that was refreshed all the time, beside one that is opened anew.
fn assert_followed(reader: &Store, life: &Life, what: &str) {
    let fresh = Store::open_read_only_on(life.backing.clone(), options(1 << 20)).unwrap();
    let shown = content(&reader.snapshot()).unwrap();
    assert_eq!(shown, content(&fresh.snapshot()).unwrap(), "{what}");
    assert_eq!(shown, content(&life.store.snapshot()).unwrap(), "{what}");
    let (own, other) = (reader.stats(), fresh.stats());
    assert_eq!(
        (own.samples, own.segments, own.tombstones),
        (other.samples, other.segments, other.tombstones)
    );
    let losses = |store: &Store| format!("{:?}", store.inner.view.read().losses);
    assert_eq!(losses(reader), losses(&fresh), "{what}");
}

#[test]
fn a_reader_that_is_refreshed_shows_what_one_does_that_is_opened_anew() {
    for seed in 40..44 {
        let mut life = Life::new(seed, [1 << 20, 4_000][seed as usize % 2]);
        let reader = Store::open_read_only_on(life.backing.clone(), options(1 << 20)).unwrap();
        let mut held = Vec::new();
        for step in 0..60 {
            let what = life.below(16);
            match what {
                0 => life.store.flush().unwrap(),
                1 => drop(life.store.maintain().unwrap()),
                2 => life.delete(),
                3 => life.store.clean_tombstones().unwrap(),
                4 => {
                    life.store.close().unwrap();
                    life.store = Store::open_on(life.backing.clone(), options(4_000)).unwrap();
                }
                5 => {
                    // Killed: its log is written anew, and what may be missing is a loss.
                    abandon(std::mem::replace(&mut life.store, Store::in_memory(options(1))));
                    life.store = Store::open_on(life.backing.clone(), options(1 << 20)).unwrap();
                }
                6 => {}
                _ => {
                    let count = 1 + life.below(3);
                    life.batches(count);
                }
            }
            let before = content(&reader.snapshot()).unwrap();
            held.push((reader.snapshot(), before));
            reader.refresh().unwrap();
            assert_followed(&reader, &life, &format!("seed {seed}, step {step}: {what}"));
            if held.len() > 3 {
                let (snapshot, before) = held.remove(life.below(held.len()));
                assert_eq!(content(&snapshot).unwrap(), before, "a snapshot has changed");
            }
        }
        abandon(life.store);
    }
}

#[test]
fn refreshing_reads_what_is_new_in_the_log_and_no_more() {
    let mut life = Life::new(7, 30_000);
    life.batches(30);
    let reader = Store::open_read_only_on(life.backing.clone(), options(1 << 20)).unwrap();
    let position = || {
        let disk = reader.inner.disk.as_ref().unwrap();
        let followed = disk.followed.lock();
        followed.as_ref().and_then(|followed| followed.position.as_ref().map(|at| (at.number, at.offset)))
    };
    let logs = life.store.stats().logs;
    for _ in 0..60 {
        let before = position().unwrap();
        life.batches(1);
        // What was read before is not read again: it may be gone.
        let name = FileName::new(FileKind::Log, before.0);
        let file = life.backing.open(name).unwrap();
        let mut frame = [0; 64];
        life.backing.read_at(file, 40, &mut frame).unwrap();
        write_all_at(&*life.backing, file, 40, &[0; 64]).unwrap();
        reader.refresh().unwrap();
        write_all_at(&*life.backing, file, 40, &frame).unwrap();
        life.backing.close(file);
        assert!(position().unwrap() > before);
        assert_followed(&reader, &life, "after a batch");
    }
    assert!(life.store.stats().logs > logs, "the log was rotated");
    // A frame that does not verify any more is no new frame, and a file that is shorter than before is read anew.
    reader.refresh().unwrap();
    assert_followed(&reader, &life, "nothing new");
    abandon(life.store);
}
