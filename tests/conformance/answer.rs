//! Whether an answer is that of the real engine, as the oracle writes it down.

use promgate::{Annotations, Error, ErrorKind, Evaluation, Labels, SampleBuffer, SampleValue, Value};
use serde_json::Value as Json;

use crate::compare::Tolerance;
use crate::data;

/// Compares an answer, or an error, with the expected one; `ordered`: whether the order of a vector counts. `Err` tells what
/// differs.
pub(crate) fn check(
    expected: &Json,
    got: &Result<Evaluation, Error>,
    tolerance: Tolerance,
    ordered: bool,
) -> Result<(), String> {
    match got {
        Err(error) => {
            let kind = if error.kind() == ErrorKind::Parse { "parse" } else { "exec" };
            let same = expected["error"] == error.to_string() && expected["kind"] == kind;
            if same { Ok(()) } else { Err(format!("{kind} error {error}")) }
        }
        Ok(_) if expected["error"].is_string() => Err("no error".to_owned()),
        Ok(evaluation) => {
            check_value(expected, &evaluation.value, tolerance, ordered)?;
            check_annotations(expected, &evaluation.annotations)
        }
    }
}

fn check_value(expected: &Json, got: &Value, tolerance: Tolerance, ordered: bool) -> Result<(), String> {
    match (expected["type"].as_str(), got) {
        (Some("scalar"), Value::Scalar(value)) => {
            let same = tolerance.equal(data::float(&expected["value"][1]), *value);
            if same { Ok(()) } else { Err(format!("scalar {value:?}")) }
        }
        (Some("string"), Value::String(text)) => {
            let same = expected["value"][1] == text.as_str();
            if same { Ok(()) } else { Err(format!("string {text:?}")) }
        }
        (Some("vector"), Value::Vector(samples)) => {
            let series = samples.iter().map(|sample| {
                let mut buffer = SampleBuffer::default();
                let time = sample.timestamp.as_millis();
                match &sample.value {
                    SampleValue::Float(value) => buffer.push_float(time, *value, 0),
                    SampleValue::Histogram(value) => buffer.histograms.push((time, value.clone(), 0)),
                }
                (sample.labels.clone(), buffer)
            });
            check_series(expected, series.collect(), tolerance, ordered)
        }
        (Some("matrix"), Value::Matrix(matrix)) => {
            let series = matrix.iter().map(|series| (series.labels.clone(), series.samples.clone()));
            check_series(expected, series.collect(), tolerance, true)
        }
        _ => Err(format!("another type: {:?}", got.value_type())),
    }
}

fn check_series(
    expected: &Json,
    mut got: Vec<(Labels, SampleBuffer)>,
    tolerance: Tolerance,
    ordered: bool,
) -> Result<(), String> {
    let empty = Vec::new();
    let expected = expected["series"].as_array().unwrap_or(&empty);
    let mut expected: Vec<(Labels, &Json)> =
        expected.iter().map(|series| (data::labels(&series["labels"]), series)).collect();
    if !ordered {
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        got.sort_by(|a, b| a.0.cmp(&b.0));
    }
    if !expected.iter().map(|(labels, _)| labels).eq(got.iter().map(|(labels, _)| labels)) {
        let names: Vec<String> = got.iter().map(|(labels, _)| labels.to_string()).collect();
        return Err(format!("series {names:?}"));
    }
    for ((labels, series), (_, samples)) in expected.iter().zip(&got) {
        let points = series["points"].as_array().unwrap_or(&empty);
        let histograms = series["histograms"].as_array().unwrap_or(&empty);
        let counts = (samples.times.len(), samples.histograms.len());
        if counts != (points.len(), histograms.len()) {
            return Err(format!("{counts:?} floats and histograms of {labels}"));
        }
        for (point, (time, value)) in points.iter().zip(samples.times.iter().zip(&samples.values)) {
            if point[0] != *time || !tolerance.equal(data::float(&point[1]), *value) {
                return Err(format!("{labels} {value:?} @{time} instead of {point}"));
            }
        }
        for (point, (time, value, _)) in histograms.iter().zip(&samples.histograms) {
            if point[0] != *time || !tolerance.equal_histograms(&data::histogram(&point[1]), value) {
                return Err(format!("{labels} {value} @{time} instead of {point}"));
            }
        }
    }
    Ok(())
}

/// Compares warnings and infos, whose order is the same.
pub(crate) fn check_annotations(expected: &Json, got: &Annotations) -> Result<(), String> {
    let empty = Vec::new();
    for (key, got) in [("warnings", &got.warnings), ("infos", &got.infos)] {
        let texts = expected[key].as_array().unwrap_or(&empty);
        let texts: Vec<&str> = texts.iter().map(|text| text.as_str().unwrap()).collect();
        if texts != *got {
            return Err(format!("{key} {got:?} instead of {texts:?}"));
        }
    }
    Ok(())
}
