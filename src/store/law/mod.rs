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
mod exemplars;
mod life;
mod model;
mod written;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use edits::{assert_segment_opens, assert_store_opens};
pub(crate) use life::assert_life;

pub(crate) use super::wal::law::assert_scan;

use super::backing::{Backing, SimulatedDisk};
use super::{Durability, Limits, Snapshot, Store, StoreOptions};
use crate::codec::histogram::put_histogram;
use crate::error::Result;
use crate::model::{MatchOp, Matcher, SampleBuffer, SampleValue, Window};
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
