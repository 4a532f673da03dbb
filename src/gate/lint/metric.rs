//! One metric: its query and its conditions together.

use super::arguments::Resolved;
use super::elements::{Elements, elements};
use super::repair::repair;
use super::silence::{without_movement, without_series};
use super::{Note, Notes, query, schedule};
use crate::gate::argo::{Metric, Phase, QueryValue};
use crate::gate::shape::{self, Numbers, Shape, Subject};
use crate::promql::Engine;
use crate::promql::ast::ValueType;

pub(super) const QUERY: &str = "provider.prometheus.query";
pub(super) const SUCCESS: &str = "successCondition";
pub(super) const FAILURE: &str = "failureCondition";

/// A metric that has been read.
pub(super) struct Read {
    pub(super) resolved: Resolved,
    pub(super) shape: Shape,
}

impl Read {
    /// Reads a metric, and notes why where its query does not parse.
    pub(super) fn of(resolved: Resolved, notes: &mut Notes) -> Option<Self> {
        let (query, metric) = (resolved.query()?, &resolved.metric);
        match Shape::of(query, &metric.success_condition, &metric.failure_condition) {
            Ok(shape) => Some(Self { resolved, shape }),
            Err(error) => {
                let note = Note::error("query-error", QUERY, error.to_string());
                notes.add(match repair(query, &error.to_string()) {
                    Some(repair) => note.suggest(repair),
                    None => note,
                });
                None
            }
        }
    }

    pub(super) fn metric(&self) -> &Metric {
        &self.resolved.metric
    }

    fn phase(&self, value: &QueryValue) -> Result<Phase, String> {
        let metric = self.metric();
        shape::phase(&metric.success_condition, &metric.failure_condition, value)
    }

    /// The condition that is there, for what is about both.
    fn condition(&self) -> &'static str {
        if self.metric().success_condition.is_empty() { FAILURE } else { SUCCESS }
    }
}

pub(super) fn lint(read: &Read, notes: &mut Notes) {
    conditions(read, notes);
    on_silence(read, notes);
    count_of_elements(read, notes);
    query::lint(read, notes);
    schedule::metric(read, notes);
}

fn conditions(read: &Read, notes: &mut Notes) {
    let metric = read.metric();
    for (field, text) in [(SUCCESS, &metric.success_condition), (FAILURE, &metric.failure_condition)] {
        let cut = text.trim_end().ends_with(['(', ',', '<', '>', '=', '&', '|', '+', '-', '*', '/', '!']);
        let open = text.matches('(').count() > text.matches(')').count();
        if !text.is_empty() && (cut || open) {
            let note =
                Note::error("yaml-comment-cut", field, format!("the condition ends in the middle: {text}"));
            notes.add(note.suggest("in YAML a # behind a blank begins a comment; quote the condition"));
        }
    }
    match &read.shape.reading.numbers {
        Numbers::Broken(sentence) => {
            let note = Note::error("type-error", read.condition(), sentence.clone());
            notes.add(match indexed(&metric.success_condition, &metric.failure_condition) {
                Some(repaired) => note.suggest(format!("write {repaired}")),
                None => note,
            });
            return;
        }
        Numbers::All(Phase::Successful) => {
            notes.add(Note::error("cannot-fail", read.condition(), "every number is good"));
        }
        Numbers::All(phase) => {
            let text = format!("no number is good: every one is {}", phase.as_str());
            notes.add(Note::error("cannot-pass", read.condition(), text));
        }
        _ => {}
    }
    if metric.success_condition.is_empty() && !metric.failure_condition.is_empty() {
        let text = "without a successCondition everything that is not bad is good";
        notes.add(Note::information("no-success-condition", FAILURE, text));
    }
    if read.shape.expr.value_type() == ValueType::Vector
        && read.phase(&QueryValue::Vector(Vec::new())).is_err()
    {
        let text = "where the query answers nothing the measurement is an Error, as an element is read that is not there";
        let note = Note::information("index-without-length", read.condition(), text);
        notes.add(note.suggest("a guard that passes instead would hide silence"));
    }
}

/// The condition with an index where a list was compared.
fn indexed(success: &str, failure: &str) -> Option<String> {
    let text = if success.is_empty() { failure } else { success };
    if text.contains("all(result") {
        return Some("all(result, # >= …), with # for each element".to_owned());
    }
    let mut repaired = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("result") {
        repaired.push_str(before);
        repaired.push_str("result");
        let of_list = before.ends_with("len(") || after.trim_start().starts_with('[');
        if !of_list {
            repaired.push_str("[0]");
        }
        rest = after;
    }
    repaired.push_str(rest);
    let repaired = repaired.replace("default(result[0], 0)", "result[0]");
    (repaired != text).then_some(repaired)
}

/// Whether an answer without any evidence is good.
fn on_silence(read: &Read, notes: &mut Notes) {
    let engine = Engine::new();
    let Some(Ok(query)) = read.resolved.query().map(|text| engine.prepare(text)) else { return };
    let counts_only = matches!(read.shape.measured.subject, Subject::Events(_) | Subject::Gauge { .. });
    let states = [
        ("where there are no series", without_series(&engine, &query)),
        (
            "where nothing happens",
            // A counter of errors that stands still, and a gauge, are evidence.
            if counts_only { None } else { without_movement(&engine, &query) },
        ),
    ];
    for (when, value) in states {
        let Some(value) = value else { continue };
        if read.phase(&value) != Ok(Phase::Successful)
            || matches!(read.shape.reading.numbers, Numbers::All(_))
        {
            continue;
        }
        let text = format!("{when} the query answers {}, which is good by the conditions", value.text());
        let suggestion = match &value {
            QueryValue::Vector(numbers) if numbers.is_empty() => {
                "let no data be an Error: leave out what passes on an empty result"
            }
            _ if value.text().contains("NaN") => "leave out what passes on NaN: 0/0 is no success",
            _ => "leave out what turns silence into a number, or ask for traffic in a metric of its own",
        };
        notes.add(Note::error("can-pass-on-nothing", read.condition(), text).suggest(suggestion));
    }
}

fn count_of_elements(read: &Read, notes: &mut Notes) {
    let reads_all = read.shape.reading.elements == shape::Elements::Every;
    let judges = !matches!(read.shape.reading.numbers, Numbers::Broken(_) | Numbers::All(_));
    if elements(&read.shape.expr) != Elements::Many || reads_all || !judges {
        return;
    }
    let note = Note::warning(
        "many-elements",
        QUERY,
        "the query can answer several elements in no certain order, and the conditions look at single ones",
    );
    notes.add(note.suggest("aggregate to one element, or write all(result, # < …)"));
}
