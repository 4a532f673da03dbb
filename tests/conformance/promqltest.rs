//! Prometheus's own conformance scripts.

use std::collections::BTreeMap;
use std::path::Path;

use promgate::{
    Annotations, CustomBuckets, Engine, Evaluation, Labels, MatrixSeries, SampleBuffer, SampleValue, Source,
    Timestamp, Value, VectorSample,
};
use regex_automata::meta::Regex;

use crate::compare::Tolerance;
use crate::data::{self, Series};
use crate::report::{Outcome, Report};
use crate::script::{self, Command, Eval, Text, When};
use crate::sequence::Item;
use crate::{file_name, sorted_entries};

/// What a check of an answer yields: nothing, or what differs.
type Checked = Result<(), String>;

pub(crate) fn run(folder: &Path, report: &mut Report) {
    for path in sorted_entries(folder) {
        if path.extension().is_none_or(|extension| extension != "test") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        match script::parse(&text) {
            Ok(commands) => run_commands(&commands, report),
            Err(error) => report.case("the script", Outcome::Failed(error)),
        }
        report.end_file(&file_name(&path));
    }
}

fn run_commands(commands: &[Command], report: &mut Report) {
    let engine = data::engine_for_scripts();
    let mut stored: BTreeMap<Labels, SampleBuffer> = BTreeMap::new();
    let mut native = false;
    for command in commands {
        match command {
            Command::Clear => {
                stored.clear();
                native = false;
            }
            Command::Load { step_ms, series, as_native } => {
                for loaded in series {
                    let buffer = stored.entry(loaded.labels.clone()).or_default();
                    let starts = loaded.starts.iter().copied().chain(std::iter::repeat(None));
                    for ((index, item), start) in (0_i64..).zip(&loaded.values).zip(starts) {
                        let time = index * step_ms;
                        let start = start.map_or(0, |offset| time + offset);
                        match item {
                            Some(Item::Float(value)) => buffer.push_float(time, *value, start),
                            Some(Item::Histogram { value, .. }) => {
                                buffer.histograms.push((time, value.clone(), start));
                            }
                            None => {}
                        }
                    }
                }
                native |= as_native;
            }
            Command::Eval(eval) => {
                let series: Vec<Series> = stored.iter().map(|(l, s)| (l.clone(), s.clone())).collect();
                let snapshot = data::source(series);
                let with_native = CustomBuckets::new(&snapshot);
                let source: &dyn Source = if native { &with_native } else { &snapshot };
                let outcome = run_eval(&engine, source, eval);
                report.case(&format!("line {}: {}", eval.line, eval.query), outcome);
            }
        }
    }
}

fn run_eval(engine: &Engine, source: &dyn Source, eval: &Eval) -> Outcome {
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

/// Whether a sample is the expected one.
fn check_sample(expected: &Item, got: &SampleValue) -> Checked {
    let same = match (expected, got) {
        (Item::Float(expected), SampleValue::Float(got)) => Tolerance::Script.equal(*expected, *got),
        (Item::Histogram { value, hint_given }, SampleValue::Histogram(got)) => {
            Tolerance::Script.equal_histograms(value, got) && (!hint_given || value.hint == got.hint)
        }
        _ => false,
    };
    if same { Ok(()) } else { Err(format!("expected {expected:?}\ngot {got:?}")) }
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
        let expected = values.first().and_then(Option::as_ref).ok_or("an expectation without value")?;
        check_sample(expected, &got[found].value).map_err(|error| format!("{labels}: {error}"))?;
    }
    Ok(())
}

fn check_matrix(eval: &Eval, start: i64, step: i64, got: &[MatrixSeries]) -> Checked {
    if !got.is_sorted_by(|a, b| a.labels < b.labels) {
        return Err(format!("not in label order: {got:?}"));
    }
    let expected: BTreeMap<&Labels, Vec<(i64, &Item)>> = eval
        .series
        .iter()
        .map(|(labels, values)| {
            let points =
                (0_i64..).zip(values).filter_map(|(i, value)| Some((start + i * step, value.as_ref()?)));
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
        let got = samples_of(series);
        if points.len() != got.len() || !points.iter().zip(&got).all(|((t, _), (time, _))| t == time) {
            return Err(format!("{}: expected {points:?}\ngot {got:?}", series.labels));
        }
        for ((time, expected), (_, got)) in points.iter().zip(&got) {
            check_sample(expected, got).map_err(|error| format!("{} at {time}: {error}", series.labels))?;
        }
    }
    Ok(())
}

/// The samples of a series in time order.
fn samples_of(series: &MatrixSeries) -> Vec<(i64, SampleValue)> {
    let floats = series.samples.times.iter().zip(&series.samples.values);
    let floats = floats.map(|(time, value)| (*time, SampleValue::Float(*value)));
    let histograms = series.samples.histograms.iter();
    let histograms = histograms.map(|(time, value, _)| (*time, SampleValue::Histogram(value.clone())));
    let mut samples: Vec<_> = floats.chain(histograms).collect();
    samples.sort_by_key(|(time, _)| *time);
    samples
}

fn check_middle(eval: &Eval, at: i64, value: &Value) -> Checked {
    let Value::Matrix(matrix) = value else {
        return Err(format!("got {value:?}"));
    };
    let points: Vec<VectorSample> = matrix
        .iter()
        .filter_map(|series| {
            let (_, value) = samples_of(series).into_iter().find(|(time, _)| *time == at)?;
            Some(VectorSample { labels: series.labels.clone(), timestamp: Timestamp::from_millis(at), value })
        })
        .collect();
    if let Some(expected) = eval.scalar {
        return match points.first().map(|point| &point.value) {
            Some(got) => check_sample(&Item::Float(expected), got),
            None => Err(format!("expected {expected:?}, got nothing")),
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
