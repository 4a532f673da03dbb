//! What holds for a store on any bytes and under any operations, for the fuzz targets `segment_open`, `store_open` and
//! `store_model`.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a law that does not hold stops the test that checks it"
)]

mod edits;
mod life;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use edits::{assert_segment_opens, assert_store_opens};
pub(crate) use life::assert_life;

pub(crate) use super::wal::law::assert_scan;

use super::backing::{Backing, SimulatedDisk};
use super::{Durability, Limits, Snapshot, Store, StoreOptions};
use crate::codec::histogram::put_histogram;
use crate::error::Result;
use crate::model::{
    Labels, MatchOp, Matcher, NativeHistogram, Sample, SampleBuffer, SampleValue, Span, Timestamp, Window,
    stale_marker,
};
use crate::source::{Item, SelectRequest, Source};

/// Samples by series and time: value as bytes, and start time.
pub(super) type Content = BTreeMap<(String, i64), (Vec<u8>, i64)>;

/// Opens the store on a disk.
pub(crate) fn open_on(disk: &Arc<SimulatedDisk>, options: StoreOptions) -> Result<Store> {
    let backing: Arc<dyn Backing> = disk.clone();
    Store::open_on(backing, options)
}

fn open(disk: &Arc<SimulatedDisk>, log_bytes: u64, window: u64) -> Result<Store> {
    let out_of_order_window = std::time::Duration::from_millis(window);
    let limits = Limits { log_bytes, min_free_bytes: 0, out_of_order_window, ..Limits::default() };
    open_on(disk, StoreOptions::new().limits(limits).durability(Durability::Each))
}

/// The process ends without closing the store.
pub(crate) fn abandon(store: Store) {
    store.inner.writer.lock().log = None;
    drop(store);
}

fn value_bytes(value: &SampleValue) -> Vec<u8> {
    match value {
        SampleValue::Float(value) => value.to_le_bytes().to_vec(),
        SampleValue::Histogram(histogram) => {
            let mut bytes = b"histogram".to_vec();
            put_histogram(&mut bytes, histogram);
            bytes
        }
    }
}

/// Everything a snapshot can read.
pub(super) fn content(snapshot: &Snapshot) -> Result<Content> {
    let set = snapshot.select(&SelectRequest::new(&[], Window::ALL))?;
    let mut content = Content::new();
    let mut buffer = SampleBuffer::default();
    for item in &set.items {
        let Item::Series(series) = item else { continue };
        buffer.clear();
        series.read(Window::ALL, &mut buffer)?;
        let starts = buffer.starts.iter().copied().chain(std::iter::repeat(0));
        let labels = series.labels().to_string();
        for ((time, value), start) in buffer.times.iter().zip(&buffer.values).zip(starts) {
            let value = value.to_le_bytes().to_vec();
            let before = content.insert((labels.clone(), *time), (value, start));
            assert!(before.is_none(), "{labels} has two samples at {time}");
        }
        for (time, histogram, start) in &buffer.histograms {
            let value = value_bytes(&SampleValue::Histogram(histogram.clone()));
            let before = content.insert((labels.clone(), *time), (value, *start));
            assert!(before.is_none(), "{labels} has two samples at {time}");
        }
    }
    Ok(content)
}

/// Bytes as decisions; zeros after their end.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, limit: usize) -> usize {
        let number = usize::from(self.byte()) << 8 | usize::from(self.byte());
        number % limit.max(1)
    }

    fn bits(&mut self) -> u64 {
        (0..8).fold(0, |bits, _| bits << 8 | u64::from(self.byte()))
    }
}

/// The series that a script may write to: counters, and histograms with members of all sorts.
fn series(index: usize) -> Labels {
    let bounds = ["0.5", "1", "1.0", "+Inf", "x"];
    match index % 12 {
        i @ 0..=4 => Labels::from_pairs([("__name__", "d_bucket"), ("pod", "a"), ("le", bounds[i])]),
        5 => Labels::from_pairs([("__name__", "d_count"), ("pod", "a")]),
        6 => Labels::from_pairs([("__name__", "d_sum"), ("pod", "a")]),
        7 => Labels::from_pairs([("__name__", "d_bucket"), ("pod", "b"), ("le", "1")]),
        8 => Labels::from_pairs([("__name__", "alone_count"), ("pod", "a")]),
        9 => Labels::from_pairs([("__name__", "d_bucket"), ("pod", "a")]),
        10 => Labels::from_pairs([("__name__", "up"), ("pod", "a")]),
        _ => Labels::from_pairs([("__name__", "d"), ("pod", "a")]),
    }
}

/// What is deleted: some matchers, and times around `now`.
fn deletion(script: &mut Script<'_>, now: i64) -> (Vec<Matcher>, i64, i64) {
    let matches = |name: &str, pattern: &str| Matcher::new(name, MatchOp::Matches, pattern);
    let matchers = match script.byte() % 8 {
        0 => vec![Matcher::equal("__name__", "d_bucket")],
        1 => vec![Matcher::equal("le", "1")],
        2 => vec![Matcher::equal("pod", "a")],
        3 => vec![Matcher::equal("__name__", "up")],
        4 => vec![matches("__name__", "d_(sum|count)").unwrap(), Matcher::equal("pod", "a")],
        5 => vec![matches("__name__", ".+").unwrap()],
        6 => vec![matches("__name__", "d.*").unwrap(), Matcher::new("le", MatchOp::NotEqual, "1").unwrap()],
        _ => vec![matches("le", ".+").unwrap(), matches("pod", "a|b").unwrap()],
    };
    let start = match script.byte() % 4 {
        0 => i64::MIN,
        _ => now - script.below(200_000) as i64,
    };
    let end = match script.byte() % 4 {
        0 => i64::MAX,
        _ => start.saturating_add(script.below(200_000) as i64),
    };
    (matchers, start, end)
}

/// One batch: rows of the histogram as a scrape tells them, and samples of any series, times rising within the batch.
fn batch(script: &mut Script<'_>, now: &mut i64, counts: &mut [f64; 5]) -> Vec<(Labels, Sample)> {
    let mut samples = Vec::new();
    for _ in 0..1 + script.byte() % 4 {
        let how = script.byte();
        *now += if how & 1 == 0 { 15_000 } else { i64::from(script.byte()) };
        let at = Timestamp::from_millis(*now);
        if how & 2 == 0 {
            let mut below = 0.0;
            if how & 0x60 == 0x60 {
                *counts = [0.0; 5];
            }
            for count in counts.iter_mut().take(4) {
                below += f64::from(script.byte() & 15);
                *count += below;
            }
            counts[4] += below * 0.125;
            let values = [counts[0], counts[1], counts[2], counts[3], f64::NAN, counts[3], counts[4]];
            let absent = if how & 4 == 0 { 0 } else { script.byte() };
            for (index, value) in values.iter().enumerate() {
                if index != 4 && absent >> index & 1 == 0 {
                    let value = if how & 0x18 == 0x18 { stale_marker() } else { *value };
                    samples.push((series(index), Sample::float(at, value)));
                }
            }
            continue;
        }
        let labels = series(script.below(12));
        let value = match how >> 2 & 3 {
            0 => SampleValue::Float(f64::from(script.byte())),
            1 => SampleValue::Float(f64::from_bits(script.bits())),
            2 => SampleValue::Float(f64::from(script.byte()) / 100.0),
            _ => SampleValue::Histogram(Arc::new(NativeHistogram {
                count: f64::from(script.byte()),
                sum: f64::from_bits(script.bits()),
                positive_spans: vec![Span { offset: -1, length: 1 }],
                positive_buckets: vec![f64::from(script.byte())],
                ..NativeHistogram::default()
            })),
        };
        let start = (how & 0x80 != 0).then(|| Timestamp::from_millis(1 + i64::from(script.byte())));
        samples.push((labels, Sample { timestamp: at, value, start }));
    }
    samples
}
