//! What is written: batches that their number tells, and what a store that holds the first so many of them answers.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use promgate::{
    AppendReport, Error, ErrorKind, FamilyHandle, Item, Labels, LabelsBuilder, Limits, Sample, SampleBuffer,
    SelectRequest, Snapshot, Source, Store, StoreOptions, Timestamp, Window, stale_marker,
};

const BOUNDS: [&str; 5] = ["0.1", "0.5", "1", "5", "+Inf"];
const HISTOGRAMS: usize = 3;
const BASE: i64 = 1_700_000_000_000;
const INTERVAL: i64 = 15_000;

/// Small files: the log ends often, segments are sealed and merged often.
pub(crate) fn options() -> StoreOptions {
    let mut limits = Limits::default();
    limits.log_bytes = 8 << 10;
    limits.min_free_bytes = 0;
    StoreOptions::new().limits(limits)
}

/// Opens the store. Another test may be starting a child right then, which has a copy of the lock until it executes.
pub(crate) fn open(folder: &Path) -> Result<Store, Error> {
    for _ in 0..100 {
        match Store::open(folder, options()) {
            Err(error) if error.kind() == ErrorKind::Locked => std::thread::sleep(Duration::from_millis(20)),
            outcome => return outcome,
        }
    }
    Store::open(folder, options())
}

/// SplitMix64.
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The time of a batch: the grid of scrapes, and a few milliseconds.
fn time(number: usize) -> Timestamp {
    let jitter = if number.is_multiple_of(3) { 0 } else { (mix(number as u64) % 7) as i64 };
    Timestamp::from_millis(BASE + number as i64 * INTERVAL + jitter)
}

fn base_labels(histogram: usize) -> Labels {
    let path = format!("/{histogram}");
    Labels::from_pairs([("__name__", "request_duration_seconds"), ("path", &path)])
}

struct Row {
    histogram: usize,
    buckets: [f64; 5],
    count: f64,
    sum: f64,
}

/// Histograms by rows; they begin anew now and then.
fn rows(number: usize) -> Vec<Row> {
    let some = 1 + number % HISTOGRAMS;
    let row = |histogram: usize| {
        let age = ((number + histogram * 17) % 61) as f64;
        let growth = 1.0 + histogram as f64;
        let mut sum = 0.0;
        let buckets = std::array::from_fn(|bucket| {
            sum += (age * growth * (bucket % 3) as f64).floor();
            sum
        });
        Row { histogram, buckets, count: sum, sum: age * growth * 0.137 }
    };
    (0..some).map(row).collect()
}

/// Series of their own: a counter, a gauge of any bits, series that come and go, a histogram by its columns whose layout
/// changes and which lacks one at times.
fn samples(number: usize) -> Vec<(Labels, f64)> {
    if number % 4 < 2 {
        return Vec::new();
    }
    let chance = mix(number as u64 ^ 0xabcd);
    let any = match chance % 6 {
        0 => f64::from_bits(0x7ff8_0000_0000_0000 | chance >> 20),
        1 => stale_marker(),
        2 => -0.0,
        3 => f64::from_bits(chance),
        _ => (chance % 1000) as f64 / 8.0,
    };
    let pod = (number / 29).to_string();
    let mut samples = vec![
        (Labels::from_pairs([("__name__", "requests_total")]), (number % 401) as f64),
        (Labels::from_pairs([("__name__", "any")]), any),
        (Labels::from_pairs([("__name__", "pod_up"), ("pod", &pod)]), 1.0),
    ];
    let wide = (number / 97).is_multiple_of(2);
    for (place, bound) in ["1", "2", "4", "+Inf"].iter().enumerate().filter(|(place, _)| wide || *place != 1)
    {
        let labels = Labels::from_pairs([("__name__", "size_bucket"), ("le", bound)]);
        samples.push((labels, (number % 89 * (place + 1)) as f64));
    }
    if !chance.is_multiple_of(7) {
        samples.push((Labels::from_pairs([("__name__", "size_count")]), (number % 89 * 4) as f64));
    }
    samples.push((Labels::from_pairs([("__name__", "size_sum")]), (number % 89) as f64 * 1.5));
    samples
}

/// All samples of a batch by series.
fn content(number: usize) -> Vec<(Labels, f64)> {
    let mut all = samples(number);
    for row in rows(number) {
        let base = base_labels(row.histogram);
        let named = |suffix: &str| {
            let mut labels = LabelsBuilder::from_labels(&base);
            labels.set("__name__", format!("request_duration_seconds{suffix}"));
            labels
        };
        for (bound, value) in BOUNDS.iter().zip(row.buckets) {
            let mut labels = named("_bucket");
            labels.set("le", *bound);
            all.push((labels.build(), value));
        }
        all.push((named("_count").build(), row.count));
        all.push((named("_sum").build(), row.sum));
    }
    all
}

/// Appends batches to a store.
pub(crate) struct Batches {
    store: Store,
    families: Vec<FamilyHandle>,
}

impl Batches {
    pub(crate) fn new(store: &Store) -> Self {
        Self { store: store.clone(), families: Vec::new() }
    }

    pub(crate) fn append(&mut self, number: usize) -> Result<AppendReport, Error> {
        let mut appender = self.store.appender();
        for histogram in self.families.len()..HISTOGRAMS {
            self.families.push(appender.family(&base_labels(histogram), &BOUNDS)?);
        }
        let time = time(number);
        for (labels, value) in samples(number) {
            appender.append(&labels, Sample::float(time, value))?;
        }
        for row in rows(number) {
            appender.append_family(&self.families[row.histogram], time, &row.buckets, row.count, row.sum)?;
        }
        let wanted = appender.len();
        let report = appender.commit()?;
        assert!(report.refused.is_empty() && report.appended == wanted, "batch {number}: {report:?}");
        Ok(report)
    }
}

/// What is in a snapshot, as bits.
pub(crate) type Found = BTreeMap<Labels, (Vec<i64>, Vec<u64>)>;

pub(crate) fn read(snapshot: &Snapshot) -> Result<Found, Error> {
    let set = snapshot.select(&SelectRequest::new(&[], Window::ALL))?;
    let mut found = Found::new();
    let mut buffer = SampleBuffer::default();
    for item in &set.items {
        let Item::Series(series) = item else { panic!("no family was asked for") };
        buffer.clear();
        series.read(Window::ALL, &mut buffer)?;
        if !buffer.times.is_empty() {
            let bits = buffer.values.iter().map(|value| value.to_bits()).collect();
            let twice = found.insert(series.labels().clone(), (buffer.times.clone(), bits));
            assert!(twice.is_none(), "{} is there twice", series.labels());
        }
    }
    Ok(found)
}

/// The first batches, as far as they were asked for.
#[derive(Default)]
pub(crate) struct Model {
    batches: usize,
    series: Found,
}

impl Model {
    fn extend(&mut self, batches: usize) {
        for number in self.batches..batches {
            for (labels, value) in content(number) {
                let (times, bits) = self.series.entry(labels).or_default();
                times.push(time(number).as_millis());
                bits.push(value.to_bits());
            }
        }
        self.batches = self.batches.max(batches);
    }

    /// How many batches a snapshot holds: the first ones, whole, each bit as it was written, and nothing else.
    pub(crate) fn prefix(&mut self, snapshot: &Snapshot) -> Result<usize, String> {
        self.prefix_of(&read(snapshot).map_err(|error| format!("reading failed: {error}"))?)
    }

    pub(crate) fn prefix_of(&mut self, found: &Found) -> Result<usize, String> {
        let Some(newest) = found.values().filter_map(|(times, _)| times.last().copied()).max() else {
            return Ok(0);
        };
        let batches = usize::try_from((newest - BASE) / INTERVAL + 1).map_err(|error| error.to_string())?;
        self.extend(batches);
        let mut series = 0;
        for (labels, (times, bits)) in &self.series {
            let until = times.partition_point(|time| *time <= newest);
            if until == 0 {
                continue;
            }
            series += 1;
            let Some((found_times, found_bits)) = found.get(labels) else {
                return Err(format!("of {batches} batches {labels} is missing"));
            };
            if *found_times != times[..until] || *found_bits != bits[..until] {
                let same =
                    found_times.iter().zip(times).take_while(|(found, wanted)| found == wanted).count();
                return Err(format!(
                    "of {batches} batches {labels} has {} samples in place of {until}, the first {same} times right",
                    found_times.len()
                ));
            }
        }
        if series != found.len() {
            let more = found.keys().find(|labels| !self.series.contains_key(*labels));
            return Err(format!(
                "of {batches} batches there are {series} series, not {}: {more:?}",
                found.len()
            ));
        }
        Ok(batches)
    }
}
