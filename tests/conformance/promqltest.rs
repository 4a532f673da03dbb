//! Prometheus's own conformance scripts.

use std::collections::BTreeMap;
use std::path::Path;

use promgate::{
    Annotations, Engine, Evaluation, Labels, MatrixSeries, SampleBuffer, SampleValue, Timestamp, Value,
    VectorSample,
};
use regex_automata::meta::Regex;

use crate::compare::Tolerance;
use crate::data::{self, Series};
use crate::report::{Outcome, Report};
use crate::script::{self, Command, Eval, Text, When};
use crate::{file_name, skips, sorted_entries};

/// What a check of an answer yields: nothing, or what differs.
type Checked = Result<(), String>;

pub(crate) fn run(folder: &Path, report: &mut Report) {
    for path in sorted_entries(folder) {
        if path.extension().is_none_or(|extension| extension != "test") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        match script::parse(&text) {
            Ok(sections) => {
                for section in sections {
                    if section.native_histograms {
                        for _ in 0..section.evals {
                            report.case("", Outcome::Skipped(skips::NATIVE_HISTOGRAMS));
                        }
                    }
                    run_section(&section.commands, report);
                }
            }
            Err(error) => report.case("the script", Outcome::Failed(error)),
        }
        report.end_file(&file_name(&path));
    }
}

fn run_section(commands: &[Command], report: &mut Report) {
    let engine = data::engine_for_scripts();
    let mut stored: BTreeMap<Labels, SampleBuffer> = BTreeMap::new();
    for command in commands {
        match command {
            Command::Clear => stored.clear(),
            Command::Load { step_ms, series } => {
                for loaded in series {
                    let buffer = stored.entry(loaded.labels.clone()).or_default();
                    let starts = loaded.starts.iter().copied().chain(std::iter::repeat(None));
                    for ((index, value), start) in (0_i64..).zip(&loaded.values).zip(starts) {
                        let time = index * step_ms;
                        if let Some(value) = value {
                            buffer.push_float(time, *value, start.map_or(0, |offset| time + offset));
                        }
                    }
                }
            }
            Command::Eval(eval) => {
                let series: Vec<Series> = stored.iter().map(|(l, s)| (l.clone(), s.clone())).collect();
                let source = data::source(series);
                let outcome = run_eval(&engine, &source, eval);
                report.case(&format!("line {}: {}", eval.line, eval.query), outcome);
            }
        }
    }
}

fn run_eval(engine: &Engine, source: &promgate::Snapshot, eval: &Eval) -> Outcome {
    let evaluate = |at: When| {
        let query = engine.prepare(&eval.query)?;
        match at {
            When::Instant(at) => engine.instant(source, &query, Timestamp::from_millis(at)),
            When::Range { start, end, step } => {
                engine.range(source, &query, Timestamp::from_millis(start), Timestamp::from_millis(end), step)
            }
        }
    };
    let evaluation = match (evaluate(eval.at), &eval.fail) {
        (Err(error), _) if skips::reason(&error).is_some() => {
            return Outcome::Skipped(skips::reason(&error).unwrap());
        }
        (Err(error), Some(text)) => {
            let said = error.to_string();
            return if matches(text, &said) {
                Outcome::Passed
            } else {
                Outcome::Failed(format!("expected failure {text:?}\ngot {said}"))
            };
        }
        (Err(error), None) => return Outcome::Failed(format!("got error {error}")),
        (Ok(evaluation), Some(text)) => {
            return Outcome::Failed(format!("expected failure {text:?}\ngot {:?}", evaluation.value));
        }
        (Ok(evaluation), None) => evaluation,
    };
    let checked =
        check_value(eval, &evaluation).and_then(|()| check_annotations(eval, &evaluation.annotations));
    if let Err(detail) = checked {
        return Outcome::Failed(detail);
    }
    // The same expectation has to hold in the middle of a short range query.
    if let When::Instant(at) = eval.at {
        let depends_on_range =
            ["start()", "end()", "range()", "step()"].iter().any(|call| eval.query.contains(call));
        if eval.range_vector.is_none() && eval.string.is_none() && !depends_on_range {
            let around = When::Range { start: at - 60_000, end: at + 60_000, step: 60_000 };
            let checked = match evaluate(around) {
                Ok(evaluation) => check_middle(eval, at, &evaluation.value),
                Err(error) => Err(format!("got error {error}")),
            };
            if let Err(detail) = checked {
                return Outcome::Failed(format!("as a range query: {detail}"));
            }
        }
    }
    Outcome::Passed
}

fn matches(text: &Text, said: &str) -> bool {
    match text {
        Text::Any => true,
        Text::Message(message) => said == message,
        Text::Pattern(pattern) => Regex::new(pattern).is_ok_and(|regex| regex.is_match(said)),
    }
}

fn check_annotations(eval: &Eval, got: &Annotations) -> Checked {
    for (level, wanted, none, got) in
        [("warning", &eval.warn, eval.no_warn, &got.warnings), ("info", &eval.info, eval.no_info, &got.infos)]
    {
        if none && !got.is_empty() {
            return Err(format!("expected no {level}\ngot {got:?}"));
        }
        if wanted.is_empty() {
            continue;
        }
        let all_seen = wanted.iter().all(|text| got.iter().any(|said| matches(text, said)));
        let all_wanted = got.iter().all(|said| wanted.iter().any(|text| matches(text, said)));
        if !all_seen || !all_wanted {
            return Err(format!("expected {level}s {wanted:?}\ngot {got:?}"));
        }
    }
    Ok(())
}

fn check_value(eval: &Eval, evaluation: &Evaluation) -> Checked {
    let differs =
        |expected: &dyn std::fmt::Debug| Err(format!("expected {expected:?}\ngot {:?}", evaluation.value));
    if let Some(expected) = &eval.string {
        return match &evaluation.value {
            Value::String(got) if got == expected => Ok(()),
            _ => differs(expected),
        };
    }
    if let Some(expected) = eval.scalar {
        return match &evaluation.value {
            Value::Scalar(got) if Tolerance::Script.equal(expected, *got) => Ok(()),
            _ => differs(&expected),
        };
    }
    match (&evaluation.value, eval.at, eval.range_vector) {
        (Value::Vector(got), When::Instant(_), None) => check_vector(eval, got),
        (Value::Matrix(got), When::Range { start, step, .. }, _) => check_matrix(eval, start, step, got),
        (Value::Matrix(got), When::Instant(_), Some((start, _, step))) => {
            check_matrix(eval, start, step, got)
        }
        _ => differs(&eval.series),
    }
}

fn float(value: &SampleValue) -> Result<f64, String> {
    match value {
        SampleValue::Float(value) => Ok(*value),
        SampleValue::Histogram(_) => Err("a histogram instead of a float".to_owned()),
    }
}

fn check_vector(eval: &Eval, got: &[VectorSample]) -> Checked {
    if got.len() != eval.series.len() {
        return Err(format!("expected {:?}\ngot {got:?}", eval.series));
    }
    for (position, (labels, values)) in eval.series.iter().enumerate() {
        let Some(found) = got.iter().position(|sample| sample.labels == *labels) else {
            return Err(format!("expected {labels}\ngot {got:?}"));
        };
        if eval.ordered && found != position {
            return Err(format!("expected {labels} at place {position}\ngot {got:?}"));
        }
        let expected = values.first().copied().flatten().ok_or("an expectation without value")?;
        let value = float(&got[found].value)?;
        if !Tolerance::Script.equal(expected, value) {
            return Err(format!("{labels}: expected {expected:?}, got {value:?}"));
        }
    }
    Ok(())
}

fn check_matrix(eval: &Eval, start: i64, step: i64, got: &[MatrixSeries]) -> Checked {
    if !got.is_sorted_by(|a, b| a.labels < b.labels) {
        return Err(format!("not in label order: {got:?}"));
    }
    let expected: BTreeMap<&Labels, Vec<(i64, f64)>> = eval
        .series
        .iter()
        .map(|(labels, values)| {
            let points = (0_i64..).zip(values).filter_map(|(i, value)| Some((start + i * step, (*value)?)));
            (labels, points.collect::<Vec<_>>())
        })
        .filter(|(_, points)| !points.is_empty())
        .collect();
    if expected.len() != got.len() {
        return Err(format!("expected {expected:?}\ngot {got:?}"));
    }
    for series in got {
        let Some(points) = expected.get(&series.labels) else {
            return Err(format!("expected {expected:?}\ngot {got:?}"));
        };
        let same = series.samples.histograms.is_empty()
            && points.len() == series.samples.times.len()
            && points
                .iter()
                .zip(series.samples.times.iter().zip(&series.samples.values))
                .all(|((t, v), (time, value))| t == time && Tolerance::Script.equal(*v, *value));
        if !same {
            return Err(format!("{}: expected {points:?}\ngot {:?}", series.labels, series.samples));
        }
    }
    Ok(())
}

fn check_middle(eval: &Eval, at: i64, value: &Value) -> Checked {
    let Value::Matrix(matrix) = value else {
        return Err(format!("got {value:?}"));
    };
    let points: Vec<VectorSample> = matrix
        .iter()
        .filter_map(|series| {
            let index = series.samples.times.iter().position(|time| *time == at)?;
            Some(VectorSample {
                labels: series.labels.clone(),
                timestamp: Timestamp::from_millis(at),
                value: SampleValue::Float(series.samples.values[index]),
            })
        })
        .collect();
    if let Some(expected) = eval.scalar {
        return match points.first().map(|point| float(&point.value)).transpose()? {
            Some(got) if Tolerance::Script.equal(expected, got) => Ok(()),
            got => Err(format!("expected {expected:?}, got {got:?}")),
        };
    }
    let unordered = Eval {
        ordered: false,
        series: eval.series.clone(),
        query: String::new(),
        fail: None,
        warn: Vec::new(),
        info: Vec::new(),
        string: None,
        ..*eval
    };
    check_vector(&unordered, &points)
}
