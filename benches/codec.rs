//! Sealed chunks beside what they tell at least and beside plain XOR, and what writing and reading them costs.
//!
//! Limits to work towards, by sample: a family written 12 ns (6), read 6 ns (3), its counts alone 4.5 ns (2); a packed
//! series read 3 ns (1). Bytes: mix 0.232, plateau 0.074, idle 0.0024.
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench stops at the first surprise")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use promgate::fuzzing::{SealedFamily, SealedSeries, time_column_size, xor_size};
use promgate::{
    FamilyBuffer, Item, Matcher, Sample, SampleBuffer, SelectRequest, SeriesSet, Source, Store, Timestamp,
    Window,
};

#[path = "workload/mod.rs"]
mod workload;
use workload::span_metrics::{BUCKETS, Family, Workload};
use workload::{BOUNDS, ROWS, Random, START, STEP, WIDTH};

const FAMILIES: usize = 192;
const SINGLES: usize = 1000;
/// Rows of a run, and of a chunk.
const RUN: usize = 1920;
const CHUNK: usize = 480;
/// What a chunk takes beside its body: checksum, length, kind, item, time column, rows.
const FRAME: usize = 12;
/// Samples of a plain chunk, and what it takes beside its bits: framing, and its entry in an index.
const XOR_CHUNK: usize = 120;
const XOR_FRAME: usize = 15;

fn row(family: &Family, row: usize) -> [f64; WIDTH] {
    let mut values = [0.0; WIDTH];
    for (value, count) in values.iter_mut().zip(&family.buckets[row]) {
        *value = *count as f64;
    }
    values[BUCKETS] = values[BUCKETS - 1];
    values[BUCKETS + 1] = family.sums[row];
    values
}

fn seal(workload: &Workload, times: &[i64], chunk: usize) -> Vec<SealedFamily> {
    let mut sealed = Vec::new();
    for family in &workload.families {
        for start in (0..times.len()).step_by(chunk) {
            let rows = start..(start + chunk).min(times.len());
            let values: Vec<f64> = rows.clone().flat_map(|index| row(family, index)).collect();
            sealed.push(SealedFamily::new(&BOUNDS, &times[rows], &values));
        }
    }
    sealed
}

fn xor(times: &[i64], values: impl Iterator<Item = f64>) -> usize {
    let values: Vec<f64> = values.collect();
    let chunks = times.chunks(XOR_CHUNK).zip(values.chunks(XOR_CHUNK));
    chunks.map(|(times, values)| xor_size(times, values) + XOR_FRAME).sum()
}

fn print_sizes(workload: &Workload, times: &[i64], jitter: &str) {
    let samples = workload.samples() as f64;
    let (counts, sums) = workload.floor();
    let by_chunk = [120, CHUNK, RUN].map(|chunk| {
        let sealed = seal(workload, times, chunk);
        let bodies: usize = sealed.iter().flat_map(SealedFamily::sizes).map(|size| size + FRAME).sum();
        let columns: usize = times.chunks(chunk).map(time_column_size).sum();
        (bodies + columns) as f64 / samples
    });
    let plain: usize = workload
        .families
        .iter()
        .map(|family| {
            (0..WIDTH)
                .map(|column| xor(times, (0..RUN).map(|index| row(family, index)[column])))
                .sum::<usize>()
        })
        .sum();
    let floor = counts + sums;
    println!(
        "{:26} {jitter:6} | {:.4} = {counts:.3} + {sums:.3} | {:.4} | {:.4} | {:.4} | {:5.2} | {:.3}",
        workload.name,
        floor,
        by_chunk[0],
        by_chunk[1],
        by_chunk[2],
        by_chunk[1] / floor,
        plain as f64 / samples,
    );
}

/// Bytes a sample of every workload; the mix, for the figures of time.
fn print_all_sizes() -> Workload {
    println!("bytes a sample, chunk frames of {FRAME} B and shared time columns counted, by rows a chunk");
    println!(
        "{:33} | floor = counts + sums    | 120    | {CHUNK}    | {RUN}   | / floor | XOR {XOR_CHUNK}",
        "histograms"
    );
    let mix = Workload::mix(RUN, 1);
    print_sizes(&mix, &mix.on_grid, "");
    print_sizes(&mix, &mix.jittered, "3 ms");
    let mut others = vec![Workload::plateau(RUN)];
    others.extend([0.0, 0.05, 0.5, 5.0, 50.0, 500.0].map(|rate| Workload::fixed(rate, 24, RUN)));
    others.push(Workload::shift(RUN));
    others.extend([3600.0, 900.0, 300.0].map(|every| Workload::restarts(every, RUN)));
    others.push(Workload::mix(RUN, 1000));
    others.iter().for_each(|workload| print_sizes(workload, &workload.on_grid, ""));

    println!("{:33} | {CHUNK}    | XOR {XOR_CHUNK}", "single series");
    for (name, series) in workload::singles::kinds(RUN) {
        let samples = (series.len() * RUN) as f64;
        let times = &mix.on_grid;
        let sealed: usize = series
            .iter()
            .flat_map(|values| times.chunks(CHUNK).zip(values.chunks(CHUNK)))
            .map(|(times, values)| SealedSeries::new(times, values).size() + FRAME)
            .sum();
        let plain: usize = series.iter().map(|values| xor(times, values.iter().copied())).sum();
        println!("{name:33} | {:.4} | {:.3}", sealed as f64 / samples, plain as f64 / samples);
    }
    mix
}

fn sealed(criterion: &mut Criterion) {
    let mix = print_all_sizes();
    let mut group = criterion.benchmark_group("sealed");
    group.throughput(Throughput::Elements(mix.samples() as u64));
    let sealed = seal(&mix, &mix.jittered, CHUNK);
    let tables: Vec<FamilyBuffer> = sealed
        .iter()
        .map(|sealed| {
            let mut table = FamilyBuffer::default();
            sealed.read(false, &mut table).unwrap();
            table
        })
        .collect();
    println!("limit: 12 ns a sample [6]");
    group.bench_function("encode_family", |b| {
        b.iter(|| sealed.iter().zip(&tables).map(|(sealed, table)| sealed.encode(table)).sum::<usize>());
    });
    let mut buffer = FamilyBuffer::default();
    for (name, only_counts) in [("decode_family", false), ("decode_counts", true)] {
        println!("limit: {}", if only_counts { "4.5 ns a sample [2]" } else { "6 ns a sample [3]" });
        group.bench_function(name, |b| {
            b.iter(|| {
                for sealed in &sealed {
                    buffer.clear();
                    sealed.read(only_counts, &mut buffer).unwrap();
                    black_box(&buffer);
                }
            });
        });
    }
    println!("limit: 3 ns a sample [1], but for bit patterns by XOR");
    for (name, series) in workload::singles::kinds(RUN) {
        let sealed: Vec<SealedSeries> = series
            .iter()
            .flat_map(|values| mix.jittered.chunks(CHUNK).zip(values.chunks(CHUNK)))
            .map(|(times, values)| SealedSeries::new(times, values))
            .collect();
        group.throughput(Throughput::Elements((series.len() * RUN) as u64));
        let mut buffer = SampleBuffer::default();
        group.bench_function(format!("packed_single: {name}"), |b| {
            b.iter(|| {
                for sealed in &sealed {
                    buffer.clear();
                    sealed.read(&mut buffer).unwrap();
                    black_box(&buffer);
                }
            });
        });
    }
    group.finish();
}

fn read_series(set: &SeriesSet, buffer: &mut SampleBuffer) -> usize {
    let mut samples = 0;
    for item in &set.items {
        if let Item::Series(series) = item {
            buffer.clear();
            series.read(Window::ALL, buffer).unwrap();
            samples += buffer.len();
        }
    }
    samples
}

/// Counters that count by a few a scrape, or floats with three decimals.
fn singles(decimals: bool) -> Store {
    let labels = workload::counters(SINGLES);
    let store = workload::store();
    let mut random = Random::new(7);
    let mut values = vec![0.0_f64; SINGLES];
    for row in 0..ROWS {
        let mut appender = store.appender();
        for (labels, value) in labels.iter().zip(&mut values) {
            *value = if decimals {
                (random.unit() * 1000.0).round() / 1000.0
            } else {
                *value + (random.next() % 40) as f64
            };
            let time = Timestamp::from_millis(START + row as i64 * STEP);
            appender.append(labels, Sample::float(time, *value)).unwrap();
        }
        appender.commit().unwrap();
    }
    store
}

fn codec(criterion: &mut Criterion) {
    let histograms = workload::histograms(FAMILIES, ROWS);
    let store = workload::filled(&histograms, ROWS);
    workload::print_memory("histogram rows (limit: 0.55 B a sample [0.40] without the head's own)", &store);
    let mut group = criterion.benchmark_group("codec");
    let samples = FAMILIES * ROWS * WIDTH;
    let bucket = [Matcher::equal("__name__", "duration_milliseconds_bucket")];
    println!("limit: rows read as a table 6 ns a sample [3]");
    group.throughput(Throughput::Elements(samples as u64));
    let request = SelectRequest::new(&bucket, Window::ALL);
    let snapshot = store.snapshot();
    group.bench_function("family rows", |b| {
        let set = snapshot.select(&request.with_families()).unwrap();
        let mut buffer = FamilyBuffer::default();
        b.iter(|| {
            for item in &set.items {
                if let Item::Family(family) = item {
                    buffer.clear();
                    family.read(Window::ALL, &mut buffer).unwrap();
                    assert_eq!(black_box(&buffer).times().len(), ROWS);
                }
            }
        });
    });
    println!("limit: none for one column of rows: the plan asks for the family");
    let columns = FAMILIES * ROWS * workload::BOUNDS.len();
    group.throughput(Throughput::Elements(columns as u64));
    group.bench_function("family rows, column by column", |b| {
        let set = snapshot.select(&request).unwrap();
        let mut buffer = SampleBuffer::default();
        b.iter(|| assert_eq!(black_box(read_series(&set, &mut buffer)), columns));
    });
    println!("limit: XOR 6 ns a sample");
    group.throughput(Throughput::Elements((SINGLES * ROWS) as u64));
    let calls = [Matcher::equal("__name__", "calls_total")];
    for (name, decimals) in [("xor counters", false), ("xor decimals", true)] {
        let store = singles(decimals);
        workload::print_memory(name, &store);
        let set = store.snapshot().select(&SelectRequest::new(&calls, Window::ALL)).unwrap();
        group.bench_function(name, |b| {
            let mut buffer = SampleBuffer::default();
            b.iter(|| assert_eq!(black_box(read_series(&set, &mut buffer)), SINGLES * ROWS));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = sealed, codec
}
criterion_main!(benches);
