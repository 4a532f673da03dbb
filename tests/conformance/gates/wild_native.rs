//! `wild/`: the native gates that templates mean, and what they decide on recordings.

use promgate::{Gate, GateSpec, Verdict};

use super::wild_recordings::{Recorded, Recordings, arguments};
use super::*;

pub(super) fn wild_native(folder: &Path) -> Outcome {
    let content = match read(folder, "wild, native", "wild/cases.json") {
        Ok(content) => content,
        Err(outcome) => return outcome,
    };
    let mut outcome = Outcome::new("wild, native");
    let mut recordings = Recordings::beside(folder);
    let document: Value = serde_json::from_str(&content).unwrap();
    for case in document["cases"].as_array().unwrap() {
        let name = format!("{} {}", text(&case["id"]), text(&case["template"]));
        let yaml = fs::read_to_string(folder.join("wild").join(text(&case["template"]))).unwrap();
        let Ok(templates) = AnalysisTemplate::from_yaml(&yaml) else { continue };
        let Some(template) = templates.first() else { continue };
        let built = GateSpec::from_template(template, &arguments(case, None));
        outcome.note(&name, is_built(case, built));
        for (recording, wanted) in case.get("recordings").and_then(Value::as_object).into_iter().flatten() {
            let Some(recorded) = recordings.open(recording) else { continue };
            let spec = GateSpec::from_template(template, &arguments(case, Some(&recorded.truth)));
            let decided = match spec {
                Ok(spec) => decides(Gate::new(spec), recorded, wanted),
                Err(error) => Err(error.to_string()),
            };
            outcome.note(format!("{name} over {recording}"), decided);
        }
    }
    outcome
}

/// What has to be refused is; everything else is built.
fn is_built(case: &Value, built: promgate::Result<GateSpec>) -> Result<(), String> {
    if text(&case["build"]) == "refused" {
        return built.map_or(Ok(()), |_| Err("is built, and should not be".to_owned()));
    }
    built.map(|_| ()).map_err(|error| error.to_string())
}

fn decides(mut gate: Gate, recorded: &Recorded, wanted: &Value) -> Result<(), String> {
    // One that is watched on is ended with its recording.
    let report = gate
        .replay(&recorded.source, recorded.start, recorded.end, |_| ())
        .map_err(|error| error.to_string())?;
    let verdict = match report.verdict {
        Verdict::Pass => "Pass",
        Verdict::Fail => "Fail",
        Verdict::Inconclusive => "Inconclusive",
    };
    let admissible = wanted["native"].as_array().unwrap();
    if admissible.iter().any(|other| text(other) == verdict) {
        return Ok(());
    }
    Err(format!("decided {verdict}, admissible are {admissible:?}: {report}"))
}
