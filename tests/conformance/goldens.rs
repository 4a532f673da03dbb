//! Answers of the real engine to many queries over difficult data.

use std::path::Path;

use promgate::{
    Annotations, Engine, ErrorKind, Evaluation, Labels, QueryLimits, SampleBuffer, SampleValue, Snapshot,
    Timestamp, Value,
};
use serde_json::Value as Json;

use crate::compare::Tolerance;
use crate::report::{Outcome, Report};
use crate::{data, file_name, skips, sorted_entries};

pub(crate) fn run(folder: &Path, report: &mut Report) {
    for path in sorted_entries(folder) {
        let (Some(series), Some(queries), Some(expected)) = (
            data::find(&path, "data.jsonl"),
            data::find(&path, "queries.jsonl"),
            data::find(&path, "expected.jsonl"),
        ) else {
            continue;
        };
        let source = data::source(data::json_lines(&series).iter().map(data::data_series).collect());
        for (request, expected) in data::json_lines(&queries).iter().zip(data::json_lines(&expected)) {
            let name = format!("{} {} {}", request["id"], request["op"], request["query"].as_str().unwrap());
            let outcome = match run_query(&source, request, &expected) {
                Outcome::Failed(_) if skips::depends_on_chunks(&file_name(&path), id(request)) => {
                    Outcome::Skipped(skips::CHUNK_LAYOUT)
                }
                Outcome::Passed if skips::depends_on_chunks(&file_name(&path), id(request)) => {
                    Outcome::Failed("it passes, and is still declared to depend on chunks".to_owned())
                }
                outcome => outcome,
            };
            report.case(&name, outcome);
        }
        report.end_file(&file_name(&path));
    }
}

fn id(request: &Json) -> u64 {
    request["id"].as_u64().unwrap()
}

/// An engine with a Prometheus server's defaults, all syntax on, and then the request's own options.
fn engine(request: &Json) -> Engine {
    let config = &request["config"];
    let mut engine = match config["preset"].as_str() {
        Some("promqltest") => data::engine_for_scripts(),
        Some("server-strict") => Engine::new().limits(QueryLimits::prometheus()),
        _ => Engine::new().experimental(true).limits(QueryLimits::prometheus()),
    };
    if let Some(samples) = config["max_samples"].as_u64() {
        engine = engine.limits(QueryLimits::prometheus().samples(samples));
    }
    if let Some(on) = config["delayed_name_removal"].as_bool() {
        engine = engine.delayed_name_removal(on);
    }
    if let Some(on) = config["start_timestamps"].as_bool() {
        engine = engine.start_timestamps(on);
    }
    if let Some(step) = config["subquery_step_ms"].as_i64() {
        engine = engine.subquery_step_ms(step);
    }
    if let Some(lookback) = request["lookback_ms"].as_i64().or(config["lookback_ms"].as_i64()) {
        engine = engine.lookback_ms(lookback);
    }
    engine
}

fn run_query(source: &Snapshot, request: &Json, expected: &Json) -> Outcome {
    let engine = engine(request);
    let time = |key: &str| Timestamp::from_millis(request[key].as_i64().unwrap());
    let answer = engine.prepare(request["query"].as_str().unwrap()).and_then(|query| {
        if request["op"] == "range" {
            let step = request["step_ms"].as_i64().unwrap();
            engine.range(source, &query, time("start_ms"), time("end_ms"), step)
        } else {
            engine.instant(source, &query, time("time_ms"))
        }
    });
    match answer {
        Err(error) => {
            let kind = if error.kind() == ErrorKind::Parse { "parse" } else { "exec" };
            if expected["error"] == error.to_string() && expected["kind"] == kind {
                Outcome::Passed
            } else {
                Outcome::Failed(format!("expected {}\ngot {kind} error {error}", short(expected)))
            }
        }
        Ok(evaluation) => match check(request, expected, &evaluation) {
            Ok(()) => Outcome::Passed,
            Err(detail) => Outcome::Failed(format!("expected {}\ngot {detail}", short(expected))),
        },
    }
}

fn short(expected: &Json) -> String {
    let mut text = expected.to_string();
    if let Some((cut, _)) = text.char_indices().nth(1200) {
        text.truncate(cut);
        text.push('…');
    }
    text
}

fn check(request: &Json, expected: &Json, got: &Evaluation) -> Result<(), String> {
    let tolerance = match request["tol"].as_str() {
        Some("ulp") => Tolerance::Relative(1e-12),
        Some("loose") => Tolerance::Loose { relative: 1e-6, absolute: 1e-9 },
        _ => Tolerance::Bits,
    };
    let differs = |what: &str| {
        let mut text = format!("{what}: {:?}", got.value);
        if let Some((cut, _)) = text.char_indices().nth(1200) {
            text.truncate(cut);
        }
        Err(text)
    };
    match (expected["type"].as_str(), &got.value) {
        (Some("scalar"), Value::Scalar(value)) => {
            if !tolerance.equal(data::float(&expected["value"][1]), *value) {
                return differs("another value");
            }
        }
        (Some("string"), Value::String(text)) => {
            if expected["value"][1] != text.as_str() {
                return differs("another string");
            }
        }
        (Some("vector"), Value::Vector(samples)) => {
            let mut series: Vec<(Labels, SampleBuffer)> = samples
                .iter()
                .map(|sample| {
                    let mut buffer = SampleBuffer::default();
                    let time = sample.timestamp.as_millis();
                    match &sample.value {
                        SampleValue::Float(value) => buffer.push_float(time, *value, 0),
                        SampleValue::Histogram(value) => buffer.histograms.push((time, value.clone(), 0)),
                    }
                    (sample.labels.clone(), buffer)
                })
                .collect();
            if request["unordered"] == true {
                series.sort_by(|a, b| a.0.cmp(&b.0));
            }
            if let Err(what) = same_series(tolerance, expected, &series) {
                return differs(&what);
            }
        }
        (Some("matrix"), Value::Matrix(matrix)) => {
            let series: Vec<_> =
                matrix.iter().map(|series| (series.labels.clone(), series.samples.clone())).collect();
            if let Err(what) = same_series(tolerance, expected, &series) {
                return differs(&what);
            }
        }
        _ => return differs("another type"),
    }
    same_annotations(expected, &got.annotations)
}

fn same_series(tolerance: Tolerance, expected: &Json, got: &[(Labels, SampleBuffer)]) -> Result<(), String> {
    let expected = expected["series"].as_array().unwrap();
    if expected.len() != got.len() {
        return Err(format!("{} series instead of {}", got.len(), expected.len()));
    }
    for (series, (labels, samples)) in expected.iter().zip(got) {
        if data::labels(&series["labels"]) != *labels {
            return Err(format!("labels {labels} instead of {}", series["labels"]));
        }
        let empty = Vec::new();
        let points = series["points"].as_array().unwrap_or(&empty);
        let histograms = series["histograms"].as_array().unwrap_or(&empty);
        if points.len() != samples.times.len() || histograms.len() != samples.histograms.len() {
            return Err(format!("another number of points for {labels}"));
        }
        for (point, (time, value)) in points.iter().zip(samples.times.iter().zip(&samples.values)) {
            let wanted = data::float(&point[1]);
            if point[0].as_i64() != Some(*time) || !tolerance.equal(wanted, *value) {
                return Err(format!("{labels} {value:?} @{time} instead of {point}"));
            }
        }
        for (point, (time, value, _)) in histograms.iter().zip(&samples.histograms) {
            let wanted = data::histogram(&point[1]);
            if point[0].as_i64() != Some(*time) || !tolerance.equal_histograms(&wanted, value) {
                return Err(format!("{labels} {value:?} @{time} instead of {point}"));
            }
        }
    }
    Ok(())
}

pub(crate) fn same_annotations(expected: &Json, got: &Annotations) -> Result<(), String> {
    for (key, got) in [("warnings", &got.warnings), ("infos", &got.infos)] {
        let wanted: Vec<&str> = expected[key]
            .as_array()
            .map_or_else(Vec::new, |l| l.iter().map(|t| t.as_str().unwrap()).collect());
        if wanted != got.iter().map(String::as_str).collect::<Vec<_>>() {
            return Err(format!("{key} {got:?}"));
        }
    }
    Ok(())
}
