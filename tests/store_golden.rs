//! A store of every format version is read as it was written; and what this version writes does not change by accident.
//!
//! `cargo test --test store_golden -- --ignored` writes the store of a version that has none yet, its content as text, and the
//! checksums of its files.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise, and reads files"
)]

mod format_reader;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use format_reader::{Content, crc32c, float_text, labels_text, read_store};
use promgate::fuzzing::SimulatedStore;
use promgate::{
    CounterResetHint, Item, Labels, Limits, Matcher, NativeHistogram, Sample, SampleBuffer, SampleValue,
    SelectRequest, Source, Span, Store, StoreOptions, Timestamp, Window, stale_marker,
};

/// The version that is written.
const VERSION: &str = "v1";

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn options() -> StoreOptions {
    let mut limits = Limits::default();
    limits.log_bytes = 40_000;
    limits.min_free_bytes = 0;
    limits.out_of_order_window = Duration::from_secs(3600);
    StoreOptions::new().limits(limits)
}

/// Everything that a store holds, in the words of the format's reader.
fn content(store: &Store) -> Content {
    let snapshot = store.snapshot();
    let set = snapshot.select(&SelectRequest::new(&[], Window::ALL)).unwrap();
    let mut content = Content::new();
    for item in &set.items {
        let Item::Series(series) = item else { panic!("a family was not asked for") };
        let pairs: Vec<(String, String)> =
            series.labels().iter().map(|label| (label.name.to_string(), label.value.to_string())).collect();
        let mut buffer = SampleBuffer::default();
        series.read(Window::ALL, &mut buffer).unwrap();
        let samples: &mut BTreeMap<i64, String> = content.entry(labels_text(&pairs)).or_default();
        let starts = buffer.starts.iter().copied().chain(std::iter::repeat(0));
        for ((time, value), start) in buffer.times.iter().zip(&buffer.values).zip(starts) {
            assert_eq!(samples.insert(*time, float_text(value.to_bits(), start)), None);
        }
        for (time, histogram, start) in &buffer.histograms {
            assert_eq!(samples.insert(*time, format!("{} {start}", histogram_text(histogram))), None);
        }
    }
    content
}

fn histogram_text(histogram: &NativeHistogram) -> String {
    let hint = match histogram.hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::Reset => 1,
        CounterResetHint::NotReset => 2,
        CounterResetHint::Gauge => 3,
    };
    let mut text = format!("histogram {hint} {}", histogram.schema);
    for number in [histogram.zero_threshold, histogram.zero_count, histogram.count, histogram.sum] {
        text.push_str(&format!(" {:016x}", number.to_bits()));
    }
    let numbers = |numbers: &[f64]| {
        let numbers: Vec<String> =
            numbers.iter().map(|number| format!("{:016x}", number.to_bits())).collect();
        format!("[{}]", numbers.join(" "))
    };
    for (spans, buckets) in [
        (&histogram.positive_spans, &histogram.positive_buckets),
        (&histogram.negative_spans, &histogram.negative_buckets),
    ] {
        let spans: Vec<(i64, u64)> =
            spans.iter().map(|span| (span.offset.into(), span.length.into())).collect();
        text.push_str(&format!(" {spans:?} {}", numbers(buckets)));
    }
    format!("{text} {}", numbers(&histogram.custom_values))
}

/// A line for each series, then one for each of its samples.
fn to_text(content: &Content) -> String {
    let mut text = String::new();
    for (labels, samples) in content {
        text.push_str(&format!("{labels}\n"));
        for (time, sample) in samples {
            text.push_str(&format!("\t{time} {sample}\n"));
        }
    }
    text
}

/// Numbers by a seed: SplitMix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// The row after which a histogram has other bounds.
const OTHER_BOUNDS: u64 = 56;
/// The row after which all observations of a histogram fall into another bucket.
const MOVED: u64 = 30;

/// What is scraped.
struct Target {
    dice: Dice,
    /// Rows so far.
    row: u64,
    counts: [u64; 5],
    sum: f64,
    counter: u64,
    native: NativeHistogram,
    held: f64,
}

impl Target {
    fn new() -> Self {
        let native = NativeHistogram {
            schema: 3,
            zero_threshold: 1e-128,
            positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 5, length: 1 }],
            positive_buckets: vec![1.0, 2.0, 0.5],
            negative_spans: vec![Span { offset: 0, length: 1 }],
            negative_buckets: vec![7.0],
            ..NativeHistogram::default()
        };
        Self { dice: Dice(3), row: 0, counts: [0; 5], sum: 0.0, counter: 0, native, held: 0.0 }
    }

    fn reset(&mut self) {
        (self.counts, self.sum, self.counter) = ([0; 5], 0.0, 0);
    }

    /// One scrape of everything there is.
    fn scrape(&mut self, store: &Store) {
        let dice = &mut self.dice;
        self.row += 1;
        let other_bounds = self.row > OTHER_BOUNDS;
        let time = 1_700_000_000_000 + self.row as i64 * 15_000 + dice.below(7) as i64;
        let at = Timestamp::from_millis(time);
        let mut samples: Vec<(Labels, Sample)> = Vec::new();
        let mut add = |pairs: &[(&str, &str)], value: f64| {
            samples.push((Labels::from_pairs(pairs.iter().copied()), Sample::float(at, value)));
        };
        // A histogram with observations, by label set; two of them share their times.
        let observations = if dice.below(4) == 0 { 0 } else { dice.below(30) };
        for _ in 0..observations {
            self.counts[dice.below(5).min(dice.below(5)) as usize] += 1;
            self.sum += dice.below(4_000_000) as f64 / 1e6;
        }
        let bounds =
            if other_bounds { ["0.1", "0.5", "2", "7.5", "+Inf"] } else { ["0.1", "0.5", "1", "5", "+Inf"] };
        let mut below = 0;
        for (bound, count) in bounds.iter().zip(self.counts) {
            below += count;
            add(&[("__name__", "latency_bucket"), ("job", "api"), ("le", bound)], below as f64);
            // One that does nothing.
            add(&[("__name__", "idle_bucket"), ("job", "api"), ("le", bound)], 3.0);
            // One whose buckets fall, with a payload.
            let odd = if dice.below(3) == 0 {
                f64::from_bits(0x7ff8_0000_0000_0000 | dice.below(9))
            } else {
                dice.below(100) as f64
            };
            add(&[("__name__", "odd_bucket"), ("job", "api"), ("le", bound)], odd);
            // One of which members are absent, and that ends now and then.
            let sparse = if self.row % 50 == 49 { stale_marker() } else { below as f64 };
            if dice.below(6) > 0 || self.row % 50 == 49 {
                add(&[("__name__", "sparse_bucket"), ("job", "api"), ("le", bound)], sparse);
            }
        }
        for (name, count, sum) in
            [("latency", below as f64, self.sum), ("idle", 3.0, 1.25), ("odd", 1.5, f64::INFINITY)]
        {
            add(&[("__name__", &format!("{name}_count")), ("job", "api")], count);
            add(&[("__name__", &format!("{name}_sum")), ("job", "api")], sum);
        }
        // A reset that no series shows: what was in the second bucket is gone, and as much is in the first.
        let first = if self.row > MOVED { self.row as f64 } else { 0.0 };
        for (bound, count) in [("1", first), ("2", self.row as f64), ("+Inf", self.row as f64)] {
            add(&[("__name__", "hidden_bucket"), ("job", "api"), ("le", bound)], count);
        }
        add(&[("__name__", "hidden_count"), ("job", "api")], self.row as f64);
        self.counter += dice.below(1000) * u64::from(dice.below(3) > 0);
        add(&[("__name__", "requests_total"), ("job", "api"), ("code", "200")], self.counter as f64);
        add(&[("__name__", "up"), ("job", "api")], 1.0);
        add(&[("__name__", "temperature"), ("place", "Zürich")], 20.0 + dice.below(100) as f64 / 10.0);
        add(&[("__name__", "heap_bytes")], (1 << 28) as f64 + dice.below(1 << 12) as f64 * 4096.0);
        add(&[("__name__", "steady_seconds_total")], self.row as f64 * 7.0 + dice.below(2) as f64);
        add(&[("__name__", "ratio")], 1.0 / (3.0 + dice.below(4) as f64));
        add(&[("__name__", "noise")], f64::from_bits(dice.next()));
        if dice.below(2) == 0 {
            self.held = f64::from_bits(dice.next());
        }
        add(&[("__name__", "held")], self.held);
        let mut seldom = Sample::float(at, self.row as f64);
        seldom.start = Some(Timestamp::from_millis(1_699_999_000_000 + (self.row / 60) as i64));
        samples.push((Labels::from_pairs([("__name__", "started_total")]), seldom));
        if dice.below(4) > 0 {
            self.native.count += 1.0;
            self.native.sum += 0.1;
            self.native.positive_buckets[1] += 1.0;
        }
        let value = SampleValue::Histogram(Arc::new(self.native.clone()));
        let value = if dice.below(20) == 0 { SampleValue::Float(stale_marker()) } else { value };
        let start = (self.row > 30).then(|| Timestamp::from_millis(1_699_999_000_000));
        samples.push((Labels::from_pairs([("__name__", "native")]), Sample { timestamp: at, value, start }));
        let mut appender = store.appender();
        // Handed in as a row, with a sum in binary fractions.
        let base = Labels::from_pairs([("__name__", "span"), ("service", "cart")]);
        let span = appender.family(&base, &["1", "1000", "+Inf"]).unwrap();
        let (low, high) = ((self.row / 3) as f64, self.row as f64);
        appender.append_family(&span, at, &[low, high, high], high, high / 7.0).unwrap();
        for (labels, sample) in samples {
            appender.append(&labels, sample).unwrap();
        }
        // Columns that come one by one.
        for (index, name) in ["alone_count", "alone_sum"].iter().enumerate() {
            let at = Timestamp::from_millis(time + index as i64);
            let labels = Labels::from_pairs([("__name__", *name), ("job", "a \"quoted\"\n\\ one")]);
            appender.append(&labels, Sample::float(at, (self.row * 3) as f64)).unwrap();
        }
        assert!(appender.commit().unwrap().refused.is_empty());
    }
}

impl Target {
    /// Samples at times between those of scrapes before.
    fn late(&self, store: &Store) {
        let at = Timestamp::from_millis(1_700_000_000_000 + (self.row as i64 - 4) * 15_000 + 7_000);
        let mut appender = store.appender();
        let base = Labels::from_pairs([("__name__", "span"), ("service", "cart")]);
        let span = appender.family(&base, &["1", "1000", "+Inf"]).unwrap();
        appender.append_family(&span, at, &[1.0, 2.0, 3.0], 3.0, 0.7).unwrap();
        let mut add = |pairs: &[(&str, &str)], sample: Sample| {
            appender.append(&Labels::from_pairs(pairs.iter().copied()), sample).unwrap();
        };
        add(&[("__name__", "latency_bucket"), ("job", "api"), ("le", "0.1")], Sample::float(at, 1.0));
        add(&[("__name__", "latency_sum"), ("job", "api")], Sample::float(at, 0.5));
        add(&[("__name__", "up"), ("job", "api")], Sample::float(at, 0.0));
        let mut started = Sample::float(at, 1.5);
        started.start = Some(Timestamp::from_millis(1_699_999_000_000));
        add(&[("__name__", "started_total")], started);
        let value = SampleValue::Histogram(Arc::new(self.native.clone()));
        add(&[("__name__", "native")], Sample { timestamp: at, value, start: None });
        let report = appender.commit().unwrap();
        assert!(report.refused.is_empty() && report.appended == 10, "{report:?}");
    }

    /// Deletes a stretch of a series, or of a bucket, that ends with the newest scrape but one.
    fn delete(&self, store: &Store, pairs: &[(&str, &str)]) {
        let at = |row: u64| Timestamp::from_millis(1_700_000_000_000 + row as i64 * 15_000 + 10_000);
        let matchers: Vec<Matcher> = pairs.iter().map(|(name, value)| Matcher::equal(*name, value)).collect();
        store.delete_series(&matchers, at(self.row - 6), at(self.row - 2)).unwrap();
    }
}

/// A store on the way to being the golden one.
struct Life {
    disk: SimulatedStore,
    target: Target,
    store: Option<Store>,
}

impl Life {
    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    /// So many scrapes; before the one of the number `reset` the counts start over.
    fn scrapes(&mut self, rows: u64, reset: Option<u64>) {
        for _ in 0..rows {
            if reset == Some(self.target.row) {
                self.target.reset();
            }
            self.target.scrape(self.store.as_ref().unwrap());
        }
    }

    /// The process ends, and another one opens the store.
    fn restart(&mut self) {
        self.disk.end(self.store.take().unwrap(), None);
        self.store = Some(self.disk.open(options()).unwrap());
    }
}

/// What happens to the golden store, in this order. Whoever adds to what a store can hold adds a stage, or to a scrape.
const STAGES: &[fn(&mut Life)] = &[segments, late_and_deleted, a_mark, losses, an_end];

/// Six segments, the first four of which become one of the next level. Counts start over, bounds change.
fn segments(life: &mut Life) {
    for _ in 0..6 {
        life.scrapes(14, Some(40));
        life.store().flush().unwrap();
    }
}

/// Samples that come late and deletions, some sealed and some in the log: the log has more of both behind those of segments.
fn late_and_deleted(life: &mut Life) {
    for _ in 0..2 {
        life.target.late(life.store());
        life.scrapes(4, None);
        life.store().flush().unwrap();
    }
    life.target.delete(life.store(), &[("__name__", "steady_seconds_total")]);
    for _ in 0..2 {
        life.scrapes(1, None);
        life.store().flush().unwrap();
        life.target.late(life.store());
    }
    life.scrapes(8, None);
    life.target.delete(life.store(), &[("__name__", "latency_bucket"), ("le", "0.5")]);
    life.target.delete(life.store(), &[("__name__", "up")]);
    life.target.late(life.store());
}

/// The log goes on. Nothing comes for a while: a mark.
fn a_mark(life: &mut Life) {
    life.scrapes(12, None);
    life.disk.advance(Duration::from_secs(1));
    life.store().maintain().unwrap();
    life.scrapes(8, Some(119));
}

/// Losses: one that somebody has looked at, and one that nobody has.
fn losses(life: &mut Life) {
    life.restart();
    life.scrapes(1, None);
    life.store().acknowledge_losses(Timestamp::MAX).unwrap();
    life.scrapes(1, None);
    life.restart();
}

/// The end of the log, which is not closed.
fn an_end(life: &mut Life) {
    life.scrapes(8, None);
}

/// The files of the golden store.
fn live(seed: u64) -> Vec<(String, Vec<u8>)> {
    let disk = SimulatedStore::new(seed);
    let store = disk.open(options()).unwrap();
    let mut life = Life { disk, target: Target::new(), store: Some(store) };
    STAGES.iter().for_each(|stage| stage(&mut life));
    let Life { mut disk, store, .. } = life;
    disk.end(store.unwrap(), None);
    let mut files = disk.files();
    // A batch of which only the beginning has arrived.
    let (_, log) = files.iter_mut().rfind(|(name, _)| name.starts_with("wal/")).unwrap();
    let torn = log.len() - 40;
    log.truncate(torn);
    log.extend([0; 9]);
    files
}

fn write_files(folder: &Path, files: &[(String, Vec<u8>)]) {
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn versions() -> Vec<PathBuf> {
    let mut versions: Vec<PathBuf> = fs::read_dir(golden())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    versions.sort();
    assert!(!versions.is_empty(), "no golden stores");
    versions
}

#[test]
#[ignore = "writes the golden store of a version that has none"]
fn write_the_golden_store_of_this_version() {
    let folder = golden().join(VERSION);
    assert!(!folder.exists(), "{} is there; a version's golden store never changes", folder.display());
    let files = live(1);
    write_files(&folder, &files);
    let found = read_store(&folder).unwrap();
    fs::write(folder.with_extension("txt"), to_text(&found.content)).unwrap();
    fs::write(golden().join("bytes.txt"), pinned(&files)).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    copy_folder(&folder, scratch.path());
    assert_eq!(content(&Store::open_read_only(scratch.path(), options()).unwrap()), found.content);
}

#[test]
fn the_golden_store_of_every_version_opens_with_its_content() {
    for folder in versions() {
        let text = fs::read_to_string(folder.with_extension("txt")).unwrap();
        let scratch = tempfile::tempdir().unwrap();
        copy_folder(&folder, scratch.path());
        let store = Store::open_read_only(scratch.path(), options()).unwrap();
        assert!(to_text(&content(&store)) == text, "{}, opened to be read", folder.display());
        store.verify().unwrap();
        drop(store);
        for _ in 0..2 {
            let store = Store::open(scratch.path(), options()).unwrap();
            assert!(to_text(&content(&store)) == text, "{}, opened", folder.display());
            assert!(!store.losses().is_empty());
            // Written anew by this version, the content stays.
            store.flush().unwrap();
            assert!(to_text(&content(&store)) == text, "{}, sealed", folder.display());
        }
    }
}

#[test]
fn a_reader_that_knows_only_the_format_document_reads_the_golden_store() {
    let folder = golden().join(VERSION);
    let found = read_store(&folder).unwrap();
    assert!(to_text(&found.content) == fs::read_to_string(folder.with_extension("txt")).unwrap());
    println!(
        "{:?} {:?} {:?} {:?} {:?} torn {}",
        found.levels, found.kinds, found.frames, found.forms, found.losses, found.torn
    );
    assert!(found.levels.get(&0) > Some(&1) && found.levels.contains_key(&1), "{:?}", found.levels);
    assert!(found.frames.values().sum::<usize>() > 20, "the log does not go on: {:?}", found.frames);
    hidden_reset(&found.content);
    for kind in [0, 2, 3, 4, 5, 6] {
        assert!(found.kinds.contains_key(&kind), "no chunk of kind {kind}");
    }
    assert!(!found.tombstones.is_empty(), "no tombstone in the manifest");
    assert!([1, 2, 3, 4].iter().all(|kind| found.frames.contains_key(kind)), "{:?}", found.frames);
    for form in [
        "layout",
        "whole row",
        "any row",
        "same row",
        "observations",
        "float 0",
        "float 1",
        "float 2",
        "float 3",
        "other",
        "late",
        "late row",
    ] {
        assert!(found.forms.contains_key(form), "no {form}");
    }
    assert!(found.lists > 0, "no postings");
    assert!(found.torn > 0, "no torn end");
    let acknowledged: Vec<bool> = found.losses.iter().map(|loss| loss.2).collect();
    assert!(acknowledged.contains(&true) && acknowledged.contains(&false), "{:?}", found.losses);
}

#[test]
fn the_reader_reads_what_a_store_of_any_seed_holds() {
    for seed in 2..5 {
        let scratch = tempfile::tempdir().unwrap();
        write_files(scratch.path(), &live(seed));
        let found = read_store(scratch.path()).unwrap();
        let store = Store::open_read_only(scratch.path(), options()).unwrap();
        assert!(content(&store) == found.content, "seed {seed}");
    }
}

/// No series of the histogram ever falls, but what its second bucket holds alone does.
fn hidden_reset(content: &Content) {
    let column = |bound: &str| -> Vec<f64> {
        let series = content.iter().find(|(labels, _)| {
            labels.contains("\"hidden_bucket\"") && labels.contains(&format!("le=\"{bound}\""))
        });
        let bits = series.unwrap().1.values().map(|text| text.split(' ').next().unwrap());
        bits.map(|bits| f64::from_bits(u64::from_str_radix(bits, 16).unwrap())).collect()
    };
    let (first, second) = (column("1"), column("2"));
    assert!(first.is_sorted() && second.is_sorted());
    let alone: Vec<f64> = second.iter().zip(&first).map(|(second, first)| second - first).collect();
    assert!(alone.windows(2).any(|pair| pair[1] < pair[0]), "{alone:?}");
}

/// Length and checksum of every file.
fn pinned(files: &[(String, Vec<u8>)]) -> String {
    files.iter().map(|(name, bytes)| format!("{name} {} {:08x}\n", bytes.len(), crc32c(&[bytes]))).collect()
}

#[test]
fn what_is_written_does_not_change_by_accident() {
    let pinned = pinned(&live(1));
    let path = golden().join("bytes.txt");
    let known = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        known == pinned,
        "The store writes other bytes than {} says. If readers of version {VERSION} by the format document still read them (an \
         encoder chooses better), state the new ones there. If not, this is a new format: raise VERSION in \
         src/store/file.rs and here, keep reading the old one, describe it in src/docs/format.md, and write its golden store \
         with `cargo test --test store_golden -- --ignored`. Never change the golden store of a version.\n{pinned}",
        path.display()
    );
}
