//! Recorded data in, and engines set up as the data wants them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use promgate::{
    CounterResetHint, Engine, Intake, IntakeLimits, Labels, NativeHistogram, QueryLimits, SampleBuffer,
    Snapshot, Span, Store, StoreOptions, stale_marker,
};
use serde_json::Value as Json;

pub(crate) type Series = (Labels, SampleBuffer);

/// The bytes of a file, decompressed if its name ends in `.gz`.
pub(crate) fn read(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if path.extension().is_none_or(|extension| extension != "gz") {
        return bytes;
    }
    let mut out = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut out).unwrap();
    out
}

pub(crate) fn json(path: &Path) -> Json {
    serde_json::from_slice(&read(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn json_lines(path: &Path) -> Vec<Json> {
    let text = String::from_utf8(read(path)).unwrap();
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        .collect()
}

/// `name` or `name.gz` in `folder`, whichever is there.
pub(crate) fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    [name.to_owned(), format!("{name}.gz")].iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

pub(crate) fn labels(object: &Json) -> Labels {
    let pairs = object.as_object().unwrap().iter();
    Labels::from_pairs(pairs.map(|(name, value)| (name.as_str(), value.as_str().unwrap())))
}

/// A float as decimal text, number or raw bits.
pub(crate) fn float(value: &Json) -> f64 {
    match value {
        Json::Null => stale_marker(),
        Json::Number(number) => number.as_f64().unwrap(),
        Json::String(text) => match text.strip_prefix("0x") {
            Some(bits) => f64::from_bits(u64::from_str_radix(bits, 16).unwrap()),
            None => text.parse().unwrap_or_else(|_| panic!("{text:?} is no float")),
        },
        other => panic!("{other} is no float"),
    }
}

pub(crate) fn histogram(value: &Json) -> NativeHistogram {
    let number = |key: &str| value.get(key).map_or(0.0, float);
    let floats = |key: &str| -> Vec<f64> {
        value.get(key).map_or_else(Vec::new, |list| list.as_array().unwrap().iter().map(float).collect())
    };
    let spans = |key: &str| -> Vec<Span> {
        value.get(key).map_or_else(Vec::new, |list| {
            let pair = |span: &Json| Span {
                offset: i32::try_from(span[0].as_i64().unwrap()).unwrap(),
                length: u32::try_from(span[1].as_u64().unwrap()).unwrap(),
            };
            list.as_array().unwrap().iter().map(pair).collect()
        })
    };
    NativeHistogram {
        hint: match value.get("hint").and_then(Json::as_str) {
            Some("reset") => CounterResetHint::Reset,
            Some("not_reset") => CounterResetHint::NotReset,
            Some("gauge") => CounterResetHint::Gauge,
            _ => CounterResetHint::Unknown,
        },
        schema: value.get("schema").map_or(0, |schema| i32::try_from(schema.as_i64().unwrap()).unwrap()),
        zero_threshold: number("zero_threshold"),
        zero_count: number("zero_count"),
        count: number("count"),
        sum: number("sum"),
        positive_spans: spans("positive_spans"),
        positive_buckets: floats("positive_buckets"),
        negative_spans: spans("negative_spans"),
        negative_buckets: floats("negative_buckets"),
        custom_values: floats("custom_values"),
    }
}

/// A line of a data set: `{"labels":{…},"samples":[[t, value, start?],…]}`.
pub(crate) fn data_series(line: &Json) -> Series {
    let mut samples = SampleBuffer::default();
    for sample in line["samples"].as_array().unwrap() {
        let time = sample[0].as_i64().unwrap();
        let start = sample.get(2).map_or(0, |start| start.as_i64().unwrap());
        match &sample[1] {
            value @ Json::Object(_) => samples.histograms.push((time, Arc::new(histogram(value)), start)),
            value => samples.push_float(time, float(value), start),
        }
    }
    (labels(&line["labels"]), samples)
}

/// What a store holds that has taken these series.
pub(crate) fn source(series: Vec<Series>) -> Snapshot {
    let mut intake = Intake::with_limits(limits());
    for (labels, samples) in series {
        intake.add_series(labels, samples).unwrap();
    }
    stored(intake)
}

/// What a store holds that has taken a file of recorded series.
pub(crate) fn recorded(path: &Path) -> Snapshot {
    let mut intake = Intake::with_limits(limits());
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    intake.add_recording(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    stored(intake)
}

fn limits() -> IntakeLimits {
    let mut limits = IntakeLimits::default();
    limits.samples = 10_000_000;
    limits
}

fn stored(intake: Intake) -> Snapshot {
    let store = Store::in_memory(StoreOptions::new());
    let report = intake.finish().append_to(&store).unwrap();
    assert!(report.refused.is_empty(), "refused: {:?}", report.refused);
    store.snapshot()
}

/// The engine that Prometheus's test scripts assume.
pub(crate) fn engine_for_scripts() -> Engine {
    Engine::new()
        .experimental(true)
        .delayed_name_removal(true)
        .start_timestamps(true)
        .limits(QueryLimits::prometheus())
}
