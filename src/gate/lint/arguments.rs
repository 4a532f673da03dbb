//! Metrics with their arguments put in.

use std::collections::BTreeSet;

use super::{Note, Notes};
use crate::gate::argo::{AnalysisTemplate, Argument, IntOrText, Metric, substitute};

/// A metric as it would be run.
pub(super) struct Resolved {
    pub(super) index: usize,
    pub(super) metric: Metric,
    /// The query before its placeholders were replaced.
    pub(super) written: String,
}

impl Resolved {
    pub(super) fn query(&self) -> Option<&str> {
        self.metric.provider.prometheus.as_ref().map(|prometheus| prometheus.query.as_str())
    }
}

/// The metrics whose placeholders all have a value.
pub(super) fn resolved(template: &AnalysisTemplate, given: &[Argument], notes: &mut Notes) -> Vec<Resolved> {
    let declared = &template.spec.args;
    for argument in given {
        if !declared.iter().any(|other| other.name == argument.name) {
            let text = format!("argument `{}` is none of the template's and is dropped", argument.name);
            notes.add(Note::warning("dropped-argument", "args", text).naming([&argument.name]));
        }
    }
    let values: Vec<Argument> = declared
        .iter()
        .enumerate()
        .map(|(index, argument)| {
            let over = given.iter().find(|other| other.name == argument.name);
            let value = over.and_then(|other| other.value.clone()).or_else(|| argument.value.clone());
            Argument::new(argument.name.clone(), value.unwrap_or_else(|| stand_in(index)))
        })
        .collect();
    let mut used = BTreeSet::new();
    let mut metrics = Vec::new();
    for (index, metric) in template.spec.metrics.iter().enumerate() {
        notes.metric = Some((index, metric.name.clone()));
        let mut resolved = metric.clone();
        let written =
            metric.provider.prometheus.as_ref().map_or("", |prometheus| &prometheus.query).to_owned();
        let mut whole = true;
        for (field, text) in fields(&mut resolved) {
            whole &= put_in(&field, text, &values, &mut used, notes);
        }
        if let Some(query) = resolved.provider.prometheus.as_ref().map(|prometheus| &prometheus.query) {
            whole &= !is_grafanas(query, notes);
        }
        if whole {
            metrics.push(Resolved { index, metric: resolved, written });
        }
    }
    notes.metric = None;
    for (index, argument) in declared.iter().enumerate() {
        if !used.contains(&argument.name) && !template.spec.metrics.is_empty() {
            let text = format!("argument `{}` is used nowhere", argument.name);
            notes.add(
                Note::information("unused-argument", format!("args[{index}]"), text).naming([&argument.name]),
            );
        }
    }
    metrics
}

/// What stands for an argument that gets its value later: a label's value, a threshold and a window alike, and no other
/// argument's.
fn stand_in(index: usize) -> String {
    index.saturating_add(1).to_string()
}

/// The texts of a metric that may hold placeholders, by their names.
fn fields(metric: &mut Metric) -> Vec<(String, &mut String)> {
    let mut fields: Vec<(String, &mut String)> = vec![
        ("name".to_owned(), &mut metric.name),
        ("interval".to_owned(), &mut metric.interval),
        ("initialDelay".to_owned(), &mut metric.initial_delay),
        ("successCondition".to_owned(), &mut metric.success_condition),
        ("failureCondition".to_owned(), &mut metric.failure_condition),
    ];
    for (name, limit) in [
        ("count", &mut metric.count),
        ("failureLimit", &mut metric.failure_limit),
        ("inconclusiveLimit", &mut metric.inconclusive_limit),
        ("consecutiveErrorLimit", &mut metric.consecutive_error_limit),
        ("consecutiveSuccessLimit", &mut metric.consecutive_success_limit),
    ] {
        if let Some(IntOrText::Text(text)) = limit {
            fields.push((name.to_owned(), text));
        }
    }
    if let Some(prometheus) = &mut metric.provider.prometheus {
        let provider = "provider.prometheus";
        fields.push((format!("{provider}.query"), &mut prometheus.query));
        fields.push((format!("{provider}.address"), &mut prometheus.address));
        for (index, header) in prometheus.headers.iter_mut().enumerate() {
            fields.push((format!("{provider}.headers[{index}].value"), &mut header.value));
        }
        if let Some(range) = &mut prometheus.range_query {
            for (name, text) in
                [("start", &mut range.start), ("end", &mut range.end), ("step", &mut range.step)]
            {
                fields.push((format!("{provider}.rangeQuery.{name}"), text));
            }
        }
    }
    fields
}

/// Replaces the placeholders of a text; false where one has no value.
fn put_in(
    field: &str,
    text: &mut String,
    values: &[Argument],
    used: &mut BTreeSet<String>,
    notes: &mut Notes,
) -> bool {
    let mut whole = true;
    let mut rest = text.as_str();
    while let Some((_, after)) = rest.split_once("{{") {
        let Some((tag, behind)) = after.split_once("}}") else { break };
        rest = behind;
        let tag = tag.trim();
        let name = tag.strip_prefix("args.").unwrap_or_default();
        let Some(argument) = values.iter().find(|argument| argument.name == name) else {
            let text = format!("`{{{{{tag}}}}}` names no argument of the template");
            let names = values.iter().map(|argument| argument.name.as_str()).collect::<Vec<_>>().join(", ");
            let note = Note::error("unknown-argument", field, text).naming([tag]);
            notes.add(if names.is_empty() {
                note
            } else {
                note.suggest(format!("its arguments are {names}"))
            });
            whole = false;
            continue;
        };
        used.insert(name.to_owned());
        if field.ends_with("query") && argument.value.as_deref() == Some("") {
            let text = format!(
                "argument `{name}` is empty, so that the selector it stands in matches something else"
            );
            notes.add(Note::error("empty-argument", field, text).naming([name]));
        }
    }
    if whole {
        match substitute(text, values) {
            Ok(replaced) => *text = replaced,
            Err(sentence) => {
                notes.add(Note::error("unknown-argument", field, sentence));
                whole = false;
            }
        }
    }
    whole
}

/// Whether a query holds variables that Grafana would replace.
fn is_grafanas(query: &str, notes: &mut Notes) -> bool {
    let Some(at) = ["$__", "${", "[$"].iter().find_map(|mark| query.find(mark)) else { return false };
    let rest = query.get(at..).unwrap_or_default().trim_start_matches('[');
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "$_{}".contains(c))).unwrap_or(rest.len());
    let variable = rest.get(..end).unwrap_or_default();
    let text = format!("`{variable}` is a variable of Grafana, which nothing replaces here");
    let note = Note::error("unknown-argument", "provider.prometheus.query", text);
    notes.add(note.suggest("write the window itself, for example [2m], or an argument").naming([variable]));
    true
}
