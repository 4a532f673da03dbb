//! A store for days: scrapes of pods that come and go, late samples, deletions, sealing, merging, retention, restarts.
//!
//! In simulated time it holds at every look exactly what a plain model holds, and takes no more memory and disk at the end than
//! early on: a store that is never restarted, and one that is closed, or killed, every few hours. `SOAK_DAYS` says for how many
//! days (1). In real time, ten times as much as a controller scrapes for `SOAK_MINUTES`: memory, open files and the time of
//! a commit stay (`.ci/long soak-live`).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise, and looks at real files and clocks"
)]

#[path = "../../benches/workload/allocator.rs"]
mod allocator;
mod live;
mod model;
mod traffic;

use std::path::Path;
use std::time::Duration;

use allocator::Counting;
use model::Model;
use promgate::{
    Durability, Limits, Maintained, Matcher, Sample, Store, StoreOptions, Timestamp, stale_marker,
};
use traffic::{Traffic, WIDTH};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn used() -> i64 {
    allocator::used() as i64
}

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const INTERVAL: i64 = 15_000;
const RETENTION: i64 = 4 * HOUR;
/// Scrapes after which a pod is replaced.
const ROLL: i64 = 40;
/// Milliseconds between the scrapes of two pods.
const JITTER: i64 = 7;
const START: i64 = 1_700_000_000_000;

fn options() -> StoreOptions {
    let mut limits = Limits::default();
    limits.min_free_bytes = 0;
    limits.log_bytes = 1 << 20;
    limits.out_of_order_window = Duration::from_millis(10 * MINUTE as u64);
    let kept = Duration::from_millis(RETENTION as u64);
    StoreOptions::new().limits(limits).durability(Durability::Never).retention(kept)
}

/// A store, what it has to hold, and what others than the store take of memory.
struct Soak {
    folder: tempfile::TempDir,
    store: Option<Store>,
    model: Model,
    traffic: Traffic,
    beside: i64,
    samples: u64,
    looked_at: u64,
    deleted: usize,
    restarts: usize,
}

/// The greatest number of bytes in use within each hour, by the store alone; and bytes on the disk at its end.
struct Hour {
    memory: i64,
    disk: u64,
}

fn disk_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let bytes = entries.map(|entry| {
        if entry.file_type().unwrap().is_dir() {
            disk_bytes(&entry.path())
        } else {
            entry.metadata().unwrap().len()
        }
    });
    bytes.sum()
}

fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if from.is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy_files(&from, &to);
        } else {
            std::fs::copy(from, to).unwrap();
        }
    }
}

/// The folder as a process leaves it that is killed: opened elsewhere.
fn as_killed(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_files(folder, copy.path());
    copy
}

impl Soak {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Some(Store::open(folder.path(), options()).unwrap());
        let (model, traffic) = (Model::default(), Traffic::new(4, 2));
        Self { folder, store, model, traffic, beside: 0, samples: 0, looked_at: 0, deleted: 0, restarts: 0 }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    /// Does something that is not the store's.
    fn beside<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> T {
        let before = used();
        let done = act(self);
        self.beside += used() - before;
        done
    }

    /// One scrape of every pod, and now and then what has been waiting of an earlier one.
    fn scrape(&mut self, number: i64) {
        let time = START + number * INTERVAL;
        let mut appender = self.store().appender().now(Timestamp::from_millis(time));
        let mut count = 0;
        if number % ROLL == ROLL - 1 {
            // A pod goes, another one comes.
            let old = self.traffic.roll((number / ROLL) as usize, None);
            for labels in &old.labels {
                appender.append(labels, Sample::float(Timestamp::from_millis(time), stale_marker())).unwrap();
                self.beside(|soak| soak.model.add(labels, time, stale_marker()));
            }
            count += old.labels.len();
        }
        for place in 0..self.traffic.pods.len() {
            // One of the pods is slow at times: what it says belongs before what it has said.
            let late = place == 3 && number % 50 > 47;
            let own = time + place as i64 * JITTER - if late { 2 * INTERVAL + 1000 } else { 0 };
            let pod = &mut self.traffic.pods[place];
            pod.scrape();
            for (labels, value) in pod.labels.iter().zip(pod.values()) {
                appender.append(labels, Sample::float(Timestamp::from_millis(own), *value)).unwrap();
            }
            count += pod.labels.len();
            self.beside(|soak| {
                let pod = &soak.traffic.pods[place];
                pod.labels
                    .iter()
                    .zip(pod.values())
                    .for_each(|(labels, value)| soak.model.add(labels, own, *value));
            });
        }
        let report = appender.commit().unwrap();
        assert_eq!((report.appended, report.refused.len()), (count, 0), "scrape {number}: {report:?}");
        self.samples += count as u64;
        while self.store().maintain().unwrap() == Maintained::Step {}
    }

    /// Deletes an hour of a metric of one pod.
    fn delete(&mut self, number: i64) {
        let end = START + number * INTERVAL - 20 * MINUTE;
        let start = end - HOUR;
        let metric = ["requests_total", "request_seconds_bucket", "up"][(number / 720) as usize % 3];
        let pod = self.traffic.pods[number as usize % self.traffic.pods.len()].name.clone();
        let matchers = [Matcher::equal("__name__", metric), Matcher::equal("pod", &pod)];
        let (first, last) = (Timestamp::from_millis(start), Timestamp::from_millis(end));
        self.store().delete_series(&matchers, first, last).unwrap();
        self.beside(|soak| {
            soak.deleted += soak.model.delete([("__name__", metric), ("pod", &pod)], start, end);
        });
    }

    fn look(&mut self, number: i64) {
        let newest = START + number * INTERVAL + (self.traffic.pods.len() as i64 - 1) * JITTER;
        self.beside(|soak| soak.model.forget(newest - RETENTION));
        self.looked_at += self.model.assert_same(&self.store().snapshot(), &format!("scrape {number}"));
    }

    fn restart(&mut self, number: i64) {
        if self.restarts.is_multiple_of(2) {
            self.store().close().unwrap();
            self.store = None;
        } else {
            let copy = self.beside(|soak| as_killed(soak.folder.path()));
            self.store = None;
            self.beside(|soak| soak.folder = copy);
        }
        let store = Store::open(self.folder.path(), options()).unwrap();
        assert_eq!(store.open_report().unwrap().unclean, self.restarts % 2 == 1, "scrape {number}");
        store.acknowledge_losses(Timestamp::MAX).unwrap();
        self.store = Some(store);
        self.restarts += 1;
    }
}

/// Lives for some hours; restarts every so many scrapes.
fn live(hours: i64, restart: Option<i64>) -> (Vec<Hour>, Soak) {
    let before = used();
    let mut told = Vec::with_capacity(hours as usize);
    let mut soak = Soak::new();
    let per_hour = HOUR / INTERVAL;
    let mut memory = 0;
    for number in 0..hours * per_hour {
        soak.scrape(number);
        memory = memory.max(used() - before - soak.beside);
        if number % 720 == 700 {
            soak.delete(number);
        }
        if number % 1200 == 1100 {
            soak.store().clean_tombstones().unwrap();
        }
        if number % 480 == 479 {
            soak.look(number);
        }
        if restart.is_some_and(|every| number % every == every - 1) {
            soak.restart(number);
            soak.look(number);
        }
        if number % per_hour == per_hour - 1 {
            told.push(Hour { memory, disk: disk_bytes(soak.folder.path()) });
            memory = 0;
        }
    }
    soak.store().verify().unwrap();
    soak.look(hours * per_hour - 1);
    (told, soak)
}

/// The mean over hours of memory and disk.
fn mean(hours: &[Hour]) -> (f64, f64) {
    let of = |pick: fn(&Hour) -> f64| hours.iter().map(pick).sum::<f64>() / hours.len() as f64;
    (of(|hour| hour.memory as f64), of(|hour| hour.disk as f64))
}

/// One test in time that is simulated: the allocator counts for the whole process.
#[test]
fn after_days_a_store_holds_what_it_should_and_takes_no_more_than_early_on() {
    let days = std::env::var("SOAK_DAYS").map_or(1, |days| days.parse().unwrap());
    // Early is when retention has begun to forget: after a third of the only day, or on the third day.
    let early = if days < 4 { 8..14 } else { 48..72 };
    for (what, restart) in [("never restarted", None), ("restarted every five hours", Some(1190))] {
        let (hours, soak) = live(days * 24, restart);
        let last = hours.len() - early.len()..hours.len();
        let (then, by_then) = mean(&hours[early.clone()]);
        let (end, by_end) = mean(&hours[last.clone()]);
        let pods = (last.start - early.start) as i64 * HOUR / INTERVAL / ROLL;
        println!(
            "{what}: {days} days, {} samples, {} looked at, {} deleted, {} pods, {} restarts; memory {:.0} kB early, {:.0} kB \
             at the end ({:.3}; {:.1} B a series that went); disk {:.0} kB, {:.0} kB",
            soak.samples,
            soak.looked_at,
            soak.deleted,
            soak.traffic.made(),
            soak.restarts,
            then / 1e3,
            end / 1e3,
            end / then,
            (end - then) / (pods as f64 * WIDTH as f64),
            by_then / 1e3,
            by_end / 1e3,
        );
        assert!(soak.deleted > 0 && soak.looked_at > soak.samples);
        assert!(end <= then * 1.05, "memory has grown: see above; {:?}", soak.store().stats());
        assert!(by_end <= by_then * 1.1, "the disk has filled: see above");
    }
}
