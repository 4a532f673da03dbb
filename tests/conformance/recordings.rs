//! Recordings of the real HotROD, Collector and Prometheus: every recorded answer asked again.

use std::path::Path;

use promgate::{Engine, Evaluation, Labels, Result, Snapshot, Timestamp, Value};
use serde_json::Value as Json;

use crate::compare::Tolerance;
use crate::report::{Outcome, Report};
use crate::{answer, data, file_name, skips, sorted_entries};

/// Sums depend on the order of addition, which the recorded server chose.
const TOLERANCE: Tolerance = Tolerance::Relative(1e-12);

/// How far an answer may be from that of Prometheus 2, where the reason is the extrapolation of `rate`.
const OLDER_RATE: Tolerance = Tolerance::Relative(0.06);

pub(crate) fn run(folder: &Path, report: &mut Report) {
    for path in sorted_entries(folder) {
        let (Some(expected), Some(series)) =
            (data::find(&path, "expected.json"), data::find(&path, "series.jsonl"))
        else {
            continue;
        };
        run_recording(&data::json(&expected), &series, report);
        report.end_file(&file_name(&path));
    }
}

/// Something recorded that is asked again.
pub(crate) struct Recorded {
    pub(crate) source: Snapshot,
    /// Start of the run in seconds since the epoch; measurements count from it.
    pub(crate) start_s: i64,
    /// Whether Prometheus 2 gave the answers.
    pub(crate) older_rate: bool,
}

fn run_recording(expected: &Json, series: &Path, report: &mut Report) {
    let start_s = expected["runStart"].as_i64().unwrap();
    let recorded = Recorded { source: data::recorded(series), start_s, older_rate: false };
    let engine = Engine::new();
    for (name, template) in expected["queries"].as_object().unwrap() {
        let query = resolve(template.as_str().unwrap(), expected);
        recorded.check_measurements(name, &query, &expected["measurements"][name], report);
        let range = &expected["range"];
        let Some(wanted) = range["results"].get(name) else { continue };
        let seconds = |key: &str| Timestamp::from_secs(range[key].as_i64().unwrap());
        let step_ms = range["step"].as_i64().unwrap() * 1000;
        let answer = engine.prepare(&query).and_then(|query| {
            engine.range(&recorded.source, &query, seconds("start"), seconds("end"), step_ms)
        });
        report.case(&format!("{name} as a range"), judge(answer, |value| same_matrix(wanted, value)));
    }
}

/// A query template with the names of the run put in.
pub(crate) fn resolve(template: &str, names: &Json) -> String {
    let text = |key: &str| names[key].as_str().unwrap_or_default();
    template
        .replace("%(ns)s", text("namespace"))
        .replace("%(hash)s", text("hash"))
        .replace("%(stable)s", text("stableHash"))
        .replace("%%", "%")
}

impl Recorded {
    /// Every recorded instant answer of one query.
    pub(crate) fn check_measurements(
        &self,
        name: &str,
        query: &str,
        measurements: &Json,
        report: &mut Report,
    ) {
        let engine = Engine::new();
        for measurement in measurements.as_array().into_iter().flatten() {
            let offset = measurement["offset"].as_i64().unwrap();
            let at = Timestamp::from_secs(self.start_s + offset);
            let answer = engine.prepare(query).and_then(|query| engine.instant(&self.source, &query, at));
            let result = &measurement["result"];
            if self.older_rate
                && let Ok(evaluation) = &answer
                && same_vector(TOLERANCE, result, evaluation).is_err()
                && same_vector(OLDER_RATE, result, evaluation).is_ok()
            {
                report.case(name, Outcome::Skipped(skips::OLDER_RATE));
                continue;
            }
            let outcome = judge(answer, |evaluation| {
                same_vector(TOLERANCE, result, evaluation)?;
                if measurement.get("warnings").is_some() || measurement.get("infos").is_some() {
                    answer::check_annotations(measurement, &evaluation.annotations)?;
                }
                Ok(())
            });
            report.case(&format!("{name} at {offset} s"), outcome);
        }
    }
}

fn judge(answer: Result<Evaluation>, check: impl Fn(&Evaluation) -> Result<(), String>) -> Outcome {
    match answer.map_err(|error| error.to_string()).and_then(|evaluation| check(&evaluation)) {
        Ok(()) => Outcome::Passed,
        Err(detail) => Outcome::Failed(detail),
    }
}

fn same_vector(tolerance: Tolerance, expected: &Json, got: &Evaluation) -> Result<(), String> {
    let differs = || Err(format!("expected {expected}\ngot {:?}", got.value));
    let Value::Vector(samples) = &got.value else { return differs() };
    let mut samples: Vec<(&Labels, f64)> = samples
        .iter()
        .filter_map(|sample| match sample.value {
            promgate::SampleValue::Float(value) => Some((&sample.labels, value)),
            promgate::SampleValue::Histogram(_) => None,
        })
        .collect();
    samples.sort_by(|a, b| a.0.cmp(b.0));
    let mut wanted: Vec<(Labels, f64)> = expected
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| (data::labels(&pair[0]), data::float(&pair[1])))
        .collect();
    wanted.sort_by(|a, b| a.0.cmp(&b.0));
    let same = wanted.len() == samples.len()
        && wanted.iter().zip(&samples).all(|((labels, value), (got_labels, got_value))| {
            labels == *got_labels && tolerance.equal(*value, *got_value)
        });
    if same { Ok(()) } else { differs() }
}

fn same_matrix(expected: &Json, got: &Evaluation) -> Result<(), String> {
    let differs = || Err(format!("expected {expected}\ngot {:?}", got.value));
    let Value::Matrix(matrix) = &got.value else { return differs() };
    let mut wanted: Vec<(Labels, &Vec<Json>)> = expected
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| (data::labels(&pair[0]), pair[1].as_array().unwrap()))
        .collect();
    wanted.sort_by(|a, b| a.0.cmp(&b.0));
    let same = wanted.len() == matrix.len()
        && wanted.iter().zip(matrix).all(|((labels, points), series)| {
            *labels == series.labels
                && points.len() == series.samples.times.len()
                && points.iter().zip(series.samples.times.iter().zip(&series.samples.values)).all(
                    |(point, (time, value))| {
                        point[0].as_i64().map(|seconds| seconds * 1000) == Some(*time)
                            && TOLERANCE.equal(data::float(&point[1]), *value)
                    },
                )
        });
    if same { Ok(()) } else { differs() }
}
