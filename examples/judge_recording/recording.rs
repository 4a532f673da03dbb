//! A recorded run: its series, when the analysis started, and what really happened.

use std::path::{Path, PathBuf};

use promgate::{IntakeLimits, RecordedSeries, Recording, Sample, SampleValue, Snapshot, Store, Timestamp};
use serde_json::Value;

use crate::extent::extent;
use crate::failure::Failure;
use crate::store;

pub(crate) struct Recorded {
    pub(crate) name: String,
    pub(crate) series: Snapshot,
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    /// Arguments of gates and templates that the recording itself knows.
    pub(crate) args: Vec<(String, String)>,
    /// What the users of the canary saw, if the recording tells.
    pub(crate) truth: Option<Truth>,
}

pub(crate) struct Truth {
    pub(crate) healthy: bool,
    pub(crate) text: String,
}

/// The recordings in a folder, the healthy ones first.
pub(crate) fn folders(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(path).map_err(|error| Failure::io(path, error))?;
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| Failure::io(path, error))?.path();
        if path.join("series.jsonl.gz").is_file() {
            folders.push(path);
        }
    }
    folders.sort();
    folders.sort_by_key(|path| !matches!(truth_file(path), Ok(Some(truth)) if healthy(&truth)));
    Ok(folders)
}

impl Recorded {
    /// Reads a folder, or a file of series; its series from a store in a folder of `stores` where they are there already.
    pub(crate) fn read(path: &Path, stores: Option<&Path>) -> Result<Self, Failure> {
        let kind = std::fs::metadata(path).map_err(|error| Failure::io(path, error))?;
        let (series, truth) = if kind.is_dir() {
            (path.join("series.jsonl.gz"), truth_file(path)?)
        } else {
            (path.to_owned(), None)
        };
        let name =
            path.file_name().map_or_else(|| path.display().to_string(), |name| name.display().to_string());
        let store = match stores {
            Some(stores) => {
                let whole = std::fs::canonicalize(path).map_err(|error| Failure::io(path, error))?;
                let Some(own) = whole.file_name() else {
                    return Err(Failure::Usage(format!("{} has no name for its store", path.display())));
                };
                store::on_disk(&stores.join(own), |store| ingest(&series, store))?
            }
            None => {
                let store = Store::in_memory(store::options());
                ingest(&series, &store)?;
                store
            }
        };
        let (_, first, last) = extent(&store.snapshot()).map_err(|error| Failure::data(&series, error))?;
        if first > last {
            return Err(Failure::data(&series, "no sample in it"));
        }
        let seconds =
            |key: &str| truth.as_ref().and_then(|truth| truth[key].as_i64()).map(Timestamp::from_secs);
        let mut args = Vec::new();
        for (field, arg) in
            [("namespace", "namespace"), ("hash", "canary-hash"), ("stableHash", "stable-hash")]
        {
            if let Some(value) = truth.as_ref().and_then(|truth| truth[field].as_str()) {
                args.push((arg.to_owned(), value.to_owned()));
            }
        }
        Ok(Self {
            name,
            series: store.snapshot(),
            start: seconds("runStart").unwrap_or(first),
            end: seconds("runEnd").unwrap_or(last),
            args,
            truth: truth.as_ref().and_then(tell),
        })
    }
}

/// Puts the series of a file into the store.
fn ingest(series: &Path, store: &Store) -> Result<(), Failure> {
    let bytes = std::fs::read(series).map_err(|error| Failure::io(series, error))?;
    let recording =
        Recording::new(&bytes, &IntakeLimits::default()).map_err(|error| Failure::data(series, error))?;
    for one in &recording {
        let one = one.map_err(|error| Failure::data(series, error))?;
        append(store, &one).map_err(|error| Failure::data(series, error))?;
    }
    Ok(())
}

/// Puts one series into the store; a sample that the store refuses spoils the recording.
fn append(store: &Store, series: &RecordedSeries) -> promgate::Result<()> {
    let mut appender = store.appender();
    let handle = appender.handle(&series.labels)?;
    let samples = &series.samples;
    let start = |start: i64| (start != 0).then(|| Timestamp::from_millis(start));
    for (index, (time, value)) in samples.times.iter().zip(&samples.values).enumerate() {
        let start = samples.starts.get(index).copied().and_then(start);
        let (timestamp, value) = (Timestamp::from_millis(*time), SampleValue::Float(*value));
        appender.append_to(&handle, Sample { timestamp, value, start })?;
    }
    for (time, histogram, started) in &samples.histograms {
        let (timestamp, value) = (Timestamp::from_millis(*time), SampleValue::Histogram(histogram.clone()));
        appender.append_to(&handle, Sample { timestamp, value, start: start(*started) })?;
    }
    for exemplar in &series.exemplars {
        appender.append_exemplar(&series.labels, exemplar.clone())?;
    }
    match appender.commit()?.refused.into_iter().next() {
        Some(refused) => Err(refused.error),
        None => Ok(()),
    }
}

fn truth_file(folder: &Path) -> Result<Option<Value>, Failure> {
    for name in ["truth.json", "expected.json"] {
        let path = folder.join(name);
        if path.is_file() {
            let text = std::fs::read(&path).map_err(|error| Failure::io(&path, error))?;
            return serde_json::from_slice(&text).map(Some).map_err(|error| Failure::data(&path, error));
        }
    }
    Ok(None)
}

/// What the objectives of the service say about the canary's users.
fn objective(truth: &Value) -> Option<&Value> {
    truth.get("slo").or_else(|| truth.get("truth")).filter(|objective| objective["healthy"].is_boolean())
}

fn healthy(truth: &Value) -> bool {
    objective(truth).is_some_and(|objective| objective["healthy"] == true)
}

/// `fine: 0.76 requests/s, 0 % failed, p95 754 ms`
fn tell(truth: &Value) -> Option<Truth> {
    let slo = objective(truth)?;
    let healthy = slo.get("healthy")?.as_bool()?;
    let rate = slo["user_requests_per_second"].as_f64()?;
    let mut text = format!("{rate:.2}/s");
    if let (Some(failed), Some(p95)) = (slo["failed_share"].as_f64(), slo["p95_ms"].as_f64()) {
        text.push_str(&format!(" {:.1} % {p95:.0} ms", failed * 100.0));
    }
    Some(Truth { healthy, text })
}
