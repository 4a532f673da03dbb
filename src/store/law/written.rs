//! What a script writes: batches of samples and of rows.

use std::sync::Arc;

use super::Script;
use crate::error::Result;
use crate::model::{Labels, NativeHistogram, Sample, SampleValue, Span, Timestamp, stale_marker};
use crate::store::Appender;

/// How many series there are beside [those of many pods](more_series).
pub(super) const SERIES: usize = 13;
/// Pods that come and go.
const PODS: u8 = 40;
/// The layouts of rows: bounds that come and go.
const BOUNDS: [&[&str]; 4] =
    [&["0.5", "1", "+Inf"], &["0.5", "1", "2", "+Inf"], &["1", "+Inf"], &["0.5", "1.0", "+Inf"]];

/// Samples and rows that are committed at once.
#[derive(Default)]
pub(super) struct Batch {
    samples: Vec<(Labels, Sample)>,
    rows: Vec<Row>,
    /// Whether samples go through handles.
    by_handle: bool,
}

/// A row of the histogram `d` of pod `a`.
struct Row {
    bounds: &'static [&'static str],
    time: i64,
    /// Of buckets, then count and sum.
    values: Vec<f64>,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.samples.len() + self.rows.len()
    }

    /// Moves all, or one of them, into the past.
    pub(super) fn put_back(&mut self, back: i64, only: Option<usize>) {
        let is_meant = |at: usize| only.is_none_or(|only| only == at);
        for (at, (_, sample)) in self.samples.iter_mut().enumerate() {
            if is_meant(at) {
                sample.timestamp = sample.timestamp.minus_millis(back);
            }
        }
        for (at, row) in (self.samples.len()..).zip(&mut self.rows) {
            if is_meant(at) {
                row.time -= back;
            }
        }
    }

    /// What is later than `border`.
    pub(super) fn after(mut self, border: i64) -> Self {
        self.samples.retain(|(_, sample)| sample.timestamp.as_millis() > border);
        self.rows.retain(|row| row.time > border);
        self
    }

    /// Appends all of it, and says so sample by sample, in the order that counts for samples of one time.
    pub(super) fn append(self, appender: &mut Appender, mut told: impl FnMut(Labels, Sample)) -> Result<()> {
        for (labels, sample) in self.samples {
            if self.by_handle {
                let handle = appender.handle(&labels)?;
                appender.append_to(&handle, sample.clone())?;
            } else {
                appender.append(&labels, sample.clone())?;
            }
            told(labels, sample);
        }
        let shared = Labels::from_pairs([("__name__", "d"), ("pod", "a")]);
        for row in self.rows {
            // Series of the histogram may be there on their own.
            let Ok(family) = appender.family(&shared, row.bounds) else { continue };
            let at = Timestamp::from_millis(row.time);
            let (buckets, rest) = row.values.split_at(row.bounds.len());
            appender.append_family(&family, at, buckets, rest[0], rest[1])?;
            for (bound, value) in row.bounds.iter().zip(buckets) {
                let labels = [("__name__", "d_bucket"), ("pod", "a"), ("le", *bound)];
                told(Labels::from_pairs(labels), Sample::float(at, *value));
            }
            told(series(5), Sample::float(at, rest[0]));
            told(series(6), Sample::float(at, rest[1]));
        }
        Ok(())
    }
}

/// The series `up` of many pods.
pub(super) fn more_series() -> impl Iterator<Item = Labels> {
    (0..PODS).map(up)
}

fn up(pod: u8) -> Labels {
    Labels::from_pairs([("__name__", "up"), ("pod", &format!("c{pod}"))])
}

/// The series that a script may write to: counters, and histograms with members of all sorts.
pub(super) fn series(index: usize) -> Labels {
    let bounds = ["0.5", "1", "1.0", "+Inf", "x"];
    match index % SERIES {
        i @ 0..=4 => Labels::from_pairs([("__name__", "d_bucket"), ("pod", "a"), ("le", bounds[i])]),
        5 => Labels::from_pairs([("__name__", "d_count"), ("pod", "a")]),
        6 => Labels::from_pairs([("__name__", "d_sum"), ("pod", "a")]),
        7 => Labels::from_pairs([("__name__", "d_bucket"), ("pod", "b"), ("le", "1")]),
        8 => Labels::from_pairs([("__name__", "alone_count"), ("pod", "a")]),
        9 => Labels::from_pairs([("__name__", "d_bucket"), ("pod", "a")]),
        10 => Labels::from_pairs([("__name__", "up"), ("pod", "a")]),
        11 => Labels::from_pairs([("__name__", "d"), ("pod", "a")]),
        _ => Labels::from_pairs([("__name__", "d_bucket"), ("pod", "a"), ("le", "2")]),
    }
}

/// One batch: rows of the histogram as a scrape tells them, and samples of any series, times rising within the batch.
pub(super) fn batch(script: &mut Script<'_>, now: &mut i64, counts: &mut [f64; 5]) -> Batch {
    let mut told = Batch::default();
    let samples = &mut told.samples;
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
    told
}

/// Rows as a service that measures itself tells them, in layouts that change, and perhaps a sample of a series beside them.
pub(super) fn rows(script: &mut Script<'_>, now: &mut i64, counts: &mut [f64; 5]) -> Batch {
    let mut told = Batch::default();
    let how = script.byte();
    for _ in 0..1 + (how >> 2) % 4 {
        *now += if how & 16 == 0 { 15_000 } else { i64::from(script.byte()) };
        let increment = script.byte();
        if increment == u8::MAX {
            *counts = [0.0; 5];
        }
        told.rows.push(row(BOUNDS[usize::from(how & 3)], *now, increment, counts));
    }
    if how & 32 != 0 {
        let sample = Sample::float(Timestamp::from_millis(*now), f64::from(script.byte()));
        told.samples.push((series(script.below(SERIES)), sample));
    }
    told
}

fn row(bounds: &'static [&'static str], time: i64, increment: u8, counts: &mut [f64; 5]) -> Row {
    for (at, count) in counts.iter_mut().enumerate() {
        *count += f64::from(increment & 15) * at as f64;
    }
    let mut values: Vec<f64> = counts[..bounds.len()].to_vec();
    let count = if increment & 0x30 == 0x30 { stale_marker() } else { counts[bounds.len() - 1] };
    values.extend([count, counts[4] * 0.25]);
    Row { bounds, time, values }
}

/// As many samples as fill chunks: of one series, of many, or of the histogram, in one batch or in one for each instant.
pub(super) fn run(script: &mut Script<'_>, now: &mut i64, counts: &mut [f64; 5]) -> Vec<Batch> {
    let how = script.byte();
    let many = 1 + script.byte() % 200;
    let mut batches: Vec<Batch> = Vec::new();
    for number in 0..many {
        let odd = if how & 16 == 0 { 0 } else { i64::from(number) * 7 % 3 };
        *now += 15_000 + odd;
        if batches.is_empty() || how & 8 != 0 {
            batches.push(Batch { by_handle: how & 7 == 5, ..Batch::default() });
        }
        let Some(told) = batches.last_mut() else { continue };
        let increment = if how & 32 == 0 { number % 16 } else { number.wrapping_mul(number) };
        let at = Timestamp::from_millis(*now);
        let value = match how >> 6 {
            0 => f64::from(number / 4),
            1 => f64::from(increment) / 100.0,
            2 if number % 50 == 49 => stale_marker(),
            2 => f64::from(increment),
            _ => f64::from(increment).sqrt(),
        };
        let histogram = row(BOUNDS[1], *now, increment, counts);
        match how & 7 {
            0 => told.rows.push(histogram),
            1 | 7 => {
                let absent = if how & 7 == 7 { usize::from(how >> 6) } else { SERIES };
                let columns = [0, 1, 12, 3, 5, 6].into_iter().zip(histogram.values);
                for (column, value) in columns.filter(|(column, _)| *column != absent) {
                    told.samples.push((series(column), Sample::float(at, value)));
                }
            }
            2 | 5 => told.samples.push((series(10), Sample::float(at, value))),
            3 => told.samples.push((series(8), Sample::float(at, value))),
            4 => {
                let histogram = NativeHistogram {
                    count: counts[4],
                    sum: value,
                    positive_spans: vec![Span { offset: i32::from(number / 90), length: 2 }],
                    positive_buckets: vec![counts[1], counts[3]],
                    ..NativeHistogram::default()
                };
                let value = SampleValue::Histogram(Arc::new(histogram));
                told.samples.push((series(11), Sample { timestamp: at, value, start: None }));
            }
            _ => {
                told.samples.push((up(number % PODS), Sample::float(at, value)));
            }
        }
    }
    batches
}
