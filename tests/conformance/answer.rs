//! Whether two answers are the same.

use promgate::{Annotations, Error, ErrorKind, Evaluation, Labels, SampleBuffer, SampleValue, Value};
use serde_json::Value as Json;

use crate::compare::Tolerance;
use crate::data;

/// What differs between the oracle's answer and ours; `ordered`: whether the order of series counts.
pub(crate) fn difference(
    expected: &Json,
    got: &Result<Evaluation, Error>,
    tolerance: Tolerance,
    ordered: bool,
) -> Option<String> {
    match (expected["error"].as_str(), got) {
        (Some(text), Err(error)) => {
            let kind = if error.kind() == ErrorKind::Parse { "parse" } else { "exec" };
            let same = error.to_string() == text && expected["kind"] == kind;
            (!same).then(|| format!("error {error}"))
        }
        (Some(_), Ok(_)) => Some("no error".to_owned()),
        (None, Err(error)) => Some(format!("error {error}")),
        (None, Ok(evaluation)) => value_difference(expected, &evaluation.value, tolerance, ordered)
            .or_else(|| annotation_difference(expected, &evaluation.annotations)),
    }
}

fn value_difference(expected: &Json, got: &Value, tolerance: Tolerance, ordered: bool) -> Option<String> {
    match (expected["type"].as_str(), got) {
        (Some("scalar"), Value::Scalar(value)) => (!tolerance
            .equal(data::float(&expected["value"][2]), *value))
        .then(|| format!("scalar {value:?}")),
        (Some("string"), Value::String(text)) => {
            (expected["value"][1] != text.as_str()).then(|| format!("string {text:?}"))
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
            series_difference(expected, series.collect(), tolerance, ordered)
        }
        (Some("matrix"), Value::Matrix(matrix)) => {
            let series = matrix.iter().map(|series| (series.labels.clone(), series.samples.clone()));
            series_difference(expected, series.collect(), tolerance, true)
        }
        _ => Some(format!("another type: {:?}", got.value_type())),
    }
}

fn series_difference(
    expected: &Json,
    mut got: Vec<(Labels, SampleBuffer)>,
    tolerance: Tolerance,
    ordered: bool,
) -> Option<String> {
    let empty = Vec::new();
    let expected = expected["series"].as_array().unwrap_or(&empty);
    let mut expected: Vec<(Labels, &Json)> =
        expected.iter().map(|series| (data::labels(&series["labels"]), series)).collect();
    if !ordered {
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        got.sort_by(|a, b| a.0.cmp(&b.0));
    }
    let same = expected.iter().map(|(labels, _)| labels).eq(got.iter().map(|(labels, _)| labels));
    if !same {
        let names: Vec<String> = got.iter().map(|(labels, _)| labels.to_string()).collect();
        return Some(format!("series {names:?}"));
    }
    expected.iter().zip(&got).find_map(|((labels, series), (_, samples))| {
        let points = |key: &str| series[key].as_array().cloned().unwrap_or_default();
        let (floats, histograms) = (points("points"), points("histograms"));
        if floats.len() != samples.times.len() || histograms.len() != samples.histograms.len() {
            let counts = (samples.times.len(), samples.histograms.len());
            return Some(format!("{counts:?} floats and histograms of {labels}"));
        }
        let of_floats = floats.iter().zip(samples.times.iter().zip(&samples.values));
        let of_histograms = histograms.iter().zip(&samples.histograms);
        of_floats
            .into_iter()
            .find(|(point, (time, value))| {
                point[0] != **time || !tolerance.equal(data::float(&point[2]), **value)
            })
            .map(|(point, (time, value))| format!("{labels} {value:?} @{time} instead of {point}"))
            .or_else(|| {
                of_histograms
                    .into_iter()
                    .find(|(point, (time, value, _))| {
                        point[0] != *time || !tolerance.equal_histograms(&data::histogram(&point[1]), value)
                    })
                    .map(|(point, (time, value, _))| format!("{labels} {value} @{time} instead of {point}"))
            })
    })
}

fn annotation_difference(expected: &Json, got: &Annotations) -> Option<String> {
    [("warnings", &got.warnings), ("infos", &got.infos)].into_iter().find_map(|(key, got)| {
        let texts = expected[key].as_array().cloned().unwrap_or_default();
        let texts: Vec<&str> = texts.iter().filter_map(Json::as_str).collect();
        (texts != *got).then(|| format!("{key} {got:?} instead of {texts:?}"))
    })
}
