//! `wild/`: what is weak in templates as people write them, alone and beside what a recording holds.

use promgate::Lint;

use super::wild_recordings::{Recordings, arguments};
use super::*;

pub(super) fn wild_lint(folder: &Path) -> Outcome {
    let content = match read(folder, "wild, lint", "wild/cases.json") {
        Ok(content) => content,
        Err(outcome) => return outcome,
    };
    let mut outcome = Outcome::new("wild, lint");
    let mut recordings = Recordings::beside(folder);
    let document: Value = serde_json::from_str(&content).unwrap();
    for case in document["cases"].as_array().unwrap() {
        let yaml = fs::read_to_string(folder.join("wild").join(text(&case["template"]))).unwrap();
        let Ok(templates) = AnalysisTemplate::from_yaml(&yaml) else { continue };
        let Some(template) = templates.first() else { continue };
        let lints = template.lint(&arguments(case, None));
        for check in case["checks"].as_array().unwrap() {
            let name = format!("{} {}", text(&case["id"]), text(&check["metric"]));
            outcome.note(&name, without_data(&lints, check));
            for (recording, wanted) in check.get("lint_with").and_then(Value::as_object).into_iter().flatten()
            {
                let Some(recorded) = recordings.open(recording) else { continue };
                let lints = template
                    .lint_with(&arguments(case, Some(&recorded.truth)), &recorded.source, recorded.end)
                    .unwrap();
                outcome.note(format!("{name} over {recording}"), with_data(&of(&lints, check), wanted));
            }
        }
    }
    outcome
}

fn of<'a>(lints: &'a [Lint], check: &Value) -> Vec<&'a Lint> {
    lints.iter().filter(|lint| lint.metric.as_deref() == Some(text(&check["metric"]))).collect()
}

fn without_data(lints: &[Lint], check: &Value) -> Result<(), String> {
    let found: Vec<&str> = of(lints, check).iter().map(|lint| lint.code).collect();
    codes(&found, &check["lint"])
}

fn codes(found: &[&str], wanted: &Value) -> Result<(), String> {
    let list = |key: &str| wanted[key].as_array().cloned().unwrap_or_default();
    let missing: Vec<Value> = list("must").into_iter().filter(|code| !found.contains(&text(code))).collect();
    let wrong: Vec<Value> = list("must_not").into_iter().filter(|code| found.contains(&text(code))).collect();
    if missing.is_empty() && wrong.is_empty() {
        return Ok(());
    }
    Err(format!("found {found:?}, missing {missing:?}, wrong {wrong:?}"))
}

/// The codes, and that a finding names what the other keys say.
fn with_data(lints: &[&Lint], wanted: &Value) -> Result<(), String> {
    let found: Vec<&str> = lints.iter().map(|lint| lint.code).collect();
    codes(&found, wanted)?;
    let must: Vec<&str> = wanted["must"].as_array().into_iter().flatten().map(text).collect();
    for (key, hint) in wanted.as_object().unwrap() {
        if key == "must" || key == "must_not" {
            continue;
        }
        let hints = hint.as_array().cloned().unwrap_or_else(|| vec![hint.clone()]);
        for hint in hints {
            let hint = hint.as_str().map_or_else(|| hint.to_string(), str::to_owned);
            let named =
                lints.iter().filter(|lint| must.contains(&lint.code)).any(|lint| lint.names.contains(&hint));
            if !named {
                return Err(format!("nothing names {key} {hint}: {lints:?}"));
            }
        }
    }
    Ok(())
}
