//! Recordings of real runs, in the folders of the conformance data.

use std::path::{Path, PathBuf};

use promgate::{IntakeLimits, Recording, Sample, Snapshot, Store, StoreOptions, Timestamp};
use serde_json::Value;

/// One recorded run.
pub(crate) struct Folder {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) hash: String,
    pub(crate) run_start: Timestamp,
    pub(crate) end: Timestamp,
    pub(crate) healthy: bool,
    pub(crate) expected: Value,
    pub(crate) source: Snapshot,
}

/// The folder of the conformance data.
pub(crate) fn conformance() -> PathBuf {
    std::env::var_os("PROMGATE_CONFORMANCE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from)
}

/// Every recording that is there, in the order of the names; none where there is no conformance data.
pub(crate) fn folders() -> Vec<Folder> {
    let folder = conformance().join("recordings");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("no recordings at {}: nothing was judged", folder.display());
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().filter(|path| path.join("expected.json").exists()).map(|path| read(path)).collect()
}

fn read(path: &Path) -> Folder {
    let expected: Value =
        serde_json::from_slice(&std::fs::read(path.join("expected.json")).unwrap()).unwrap();
    let bytes = std::fs::read(path.join("series.jsonl.gz")).unwrap();
    let recording = Recording::new(&bytes, &IntakeLimits::default()).unwrap();
    let store = Store::in_memory(StoreOptions::new());
    for series in &recording {
        let series = series.unwrap();
        let mut appender = store.appender();
        let handle = appender.handle(&series.labels).unwrap();
        for (time, value) in series.samples.times.iter().zip(&series.samples.values) {
            appender.append_to(&handle, Sample::float(Timestamp::from_millis(*time), *value)).unwrap();
        }
        assert!(appender.commit().unwrap().refused.is_empty());
    }
    let text = |key: &str| expected[key].as_str().unwrap().to_owned();
    Folder {
        name: text("scenario"),
        namespace: text("namespace"),
        hash: text("hash"),
        run_start: Timestamp::from_secs(expected["runStart"].as_i64().unwrap()),
        end: Timestamp::from_secs(expected["range"]["end"].as_i64().unwrap()),
        healthy: expected["slo"]["healthy"].as_bool().unwrap(),
        source: store.snapshot(),
        expected,
    }
}
