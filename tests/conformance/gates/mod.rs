//! Argo's decisions against ours: conditions, single rules, whole runs, templates.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Read;
use std::path::Path;

use promgate::argo::{
    AnalysisRun, AnalysisTemplate, Argument, Condition, Metric, Phase, Profile, QueryAnswer, QueryValue,
    RunStatus, Secrets, TemplateSpec, TtlStrategy, flatten, judge, merge_arguments, substitute, time_to_live,
};
use promgate::{ErrorKind, Timestamp};

mod cases;
mod rollouts;
mod schedule;
mod timelines;
mod wild;
mod wild_lint;
mod wild_native;
mod wild_recordings;

use cases::cases;
use rollouts::rollouts;
use timelines::timelines;
use wild::{templates, wild};
use wild_lint::wild_lint;
use wild_native::wild_native;

use crate::report::{self, Report};
use serde_json::{Value, json};

/// What came of one set of data.
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    pub(crate) passed: usize,
    /// Name and difference.
    pub(crate) failed: Vec<(String, String)>,
}

impl Outcome {
    fn new(name: &'static str) -> Self {
        Self { name, passed: 0, failed: Vec::new() }
    }

    fn note(&mut self, name: impl Into<String>, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.passed += 1,
            Err(difference) => self.failed.push((name.into(), difference)),
        }
    }
}

/// Runs whatever of the gates' data the folder holds.
pub(crate) fn run(folder: &Path, report: &mut Report) {
    let sets: [fn(&Path) -> Outcome; 8] =
        [conditions, cases, timelines, templates, wild, wild_lint, wild_native, rollouts];
    for set in sets {
        let outcome = set(folder);
        for _ in 0..outcome.passed {
            report.case("", report::Outcome::Passed);
        }
        for (name, difference) in outcome.failed {
            report.case(&name, report::Outcome::Failed(difference));
        }
        report.end_file(outcome.name);
    }
}

fn read(folder: &Path, name: &'static str, file: &str) -> Result<String, Outcome> {
    let path = Some(folder.join(file)).filter(|path| path.is_file());
    let Some(path) = path else {
        return Err(Outcome::new(name));
    };
    let bytes = fs::read(path).unwrap();
    if file.ends_with(".gz") {
        let mut text = String::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
        return Ok(text);
    }
    Ok(String::from_utf8(bytes).unwrap())
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn numbers(values: &Value) -> Vec<f64> {
    values
        .as_array()
        .map(|values| values.iter().map(|value| number(text(value))).collect())
        .unwrap_or_default()
}

/// `conditions.tsv`: a value, a condition, the answer or error.
fn conditions(folder: &Path) -> Outcome {
    let content = match read(folder, "conditions", "conditions.tsv") {
        Ok(content) => content,
        Err(outcome) => return outcome,
    };
    let mut outcome = Outcome::new("conditions");
    // now() is compared with a date of 2020.
    let now = Timestamp::from_secs(1_790_000_000);
    for line in content.lines().skip(1) {
        let mut fields = line.split('\t');
        let (value, condition, expected) =
            (fields.next().unwrap(), fields.next().unwrap(), fields.next().unwrap());
        let result = match value.chars().next().unwrap() {
            '{' => QueryValue::Json(serde_json::from_str(value).unwrap()),
            '[' => QueryValue::Vector(
                value
                    .trim_matches(['[', ']'])
                    .split(',')
                    .filter(|text| !text.is_empty())
                    .map(number)
                    .collect(),
            ),
            'n' => QueryValue::Json(Value::Null),
            _ => QueryValue::Scalar(number(value)),
        };
        let found = match Condition::compile(condition, &result, Profile::V1_10) {
            Err(error) => format!("ERR COMPILE {error}"),
            Ok(compiled) => match compiled.holds(&result, now) {
                Ok(holds) => holds.to_string(),
                Err(error) if error.to_string().starts_with("expected bool") => format!("ERR {error}"),
                Err(error) if error.kind() == ErrorKind::Query => format!("ERR RUN {error}"),
                Err(error) => format!("ERR {:?} {error}", error.kind()),
            },
        };
        let same =
            if found == expected { Ok(()) } else { Err(format!("expected {expected}, found {found}")) };
        outcome.note(format!("{value} | {condition}"), same);
    }
    outcome
}

fn phase(name: &str) -> Phase {
    serde_json::from_value(json!(name)).unwrap()
}

/// A measurement's answer from a script: numbers as text, or the text of an error.
fn answer(entry: &Value) -> Result<QueryAnswer, String> {
    if let Some(error) = entry.get("error_text") {
        return Err(text(error).to_owned());
    }
    let value = if let Some(values) = entry.get("vector") {
        QueryValue::Vector(numbers(values))
    } else if let Some(value) = entry.get("scalar") {
        QueryValue::Scalar(number(text(value)))
    } else {
        QueryValue::Matrix(entry["matrix"].as_array().unwrap().iter().map(numbers).collect())
    };
    let warnings = entry.get("warnings").and_then(Value::as_array).cloned().unwrap_or_default();
    Ok(QueryAnswer { value, warnings: warnings.iter().map(|warning| text(warning).to_owned()).collect() })
}

fn seconds(time: Option<Timestamp>) -> Value {
    time.map_or(Value::Null, |time| json!(time.as_millis().div_euclid(1000)))
}

fn arguments(value: &Value) -> Vec<Argument> {
    value
        .as_array()
        .map(|list| list.iter().map(|item| serde_json::from_value(item.clone()).unwrap()).collect())
        .unwrap_or_default()
}

fn expect_that(holds: bool, found: impl std::fmt::Display, expected: &Value) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("expected {expected}, found {found}")) }
}
