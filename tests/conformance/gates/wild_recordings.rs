//! The recordings that the templates in `wild/` are run over.

use promgate::Snapshot;

use super::*;
use crate::data;

/// One recorded run.
pub(super) struct Recorded {
    pub(super) source: Snapshot,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// What is true of the run.
    pub(super) truth: Value,
}

/// Recordings by name, each read once.
pub(super) struct Recordings {
    folder: std::path::PathBuf,
    open: BTreeMap<String, Recorded>,
}

impl Recordings {
    /// Those that stand beside the folder of the gates.
    pub(super) fn beside(gates: &Path) -> Self {
        Self { folder: gates.join("../recordings"), open: BTreeMap::new() }
    }

    pub(super) fn open(&mut self, name: &str) -> Option<&Recorded> {
        if !self.open.contains_key(name) {
            let folder = self.folder.join(name);
            let truth = data::json(&data::find(&folder, "expected.json")?);
            let source = data::recorded(&data::find(&folder, "series.jsonl")?);
            let start = Timestamp::from_secs(truth["runStart"].as_i64()?);
            let end = Timestamp::from_secs(truth["range"]["end"].as_i64()?);
            self.open.insert(name.to_owned(), Recorded { source, start, end, truth });
        }
        self.open.get(name)
    }
}

/// The case's arguments, with what they stand for in a recording.
pub(super) fn arguments(case: &Value, truth: Option<&Value>) -> Vec<Argument> {
    let given = case.get("args").and_then(Value::as_object).into_iter().flatten();
    let name = |key: &'static str| truth.map_or(key, |truth| text(&truth[key]));
    given
        .map(|(argument, value)| {
            let value = text(value)
                .replace("{{truth.canary_hash}}", name("hash"))
                .replace("{{truth.stable_hash}}", name("stableHash"))
                .replace("{{truth.namespace}}", name("namespace"));
            Argument::new(argument.clone(), value)
        })
        .collect()
}
