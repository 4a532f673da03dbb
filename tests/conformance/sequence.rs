//! Sequences of samples in Prometheus's test scripts: numbers and native histograms, repeated and added up.

use std::sync::Arc;

use promgate::fuzzing::series_values;
use promgate::{NativeHistogram, SampleValue};

use crate::script::duration;

/// One sample of a sequence.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Float(f64),
    Histogram {
        value: Arc<NativeHistogram>,
        /// Whether the text names a hint, so that an expectation means it.
        hint_given: bool,
    },
}

type Parsed<T> = Result<T, String>;

/// How often an item repeats: `x3`, or nothing.
fn times(text: &str) -> Parsed<Option<usize>> {
    match text.strip_prefix('x') {
        Some(count) => count.parse().map(Some).map_err(|_| format!("{text:?} is no repetition")),
        None if text.is_empty() => Ok(None),
        None => Err(format!("{text:?} after a value")),
    }
}

/// The values of a sequence.
pub(crate) fn values(text: &str) -> Parsed<Vec<Option<Item>>> {
    let mut out = Vec::new();
    for item in items(text) {
        // Of a sum the last histogram tells the hint.
        let hint_given = item.rsplit("{{").next().is_some_and(|last| last.contains("counter_reset_hint:"));
        let values = series_values(&item).map_err(|error| error.to_string())?;
        out.extend(values.into_iter().map(|value| {
            Some(match value? {
                SampleValue::Float(value) => Item::Float(value),
                SampleValue::Histogram(value) => Item::Histogram { value, hint_given },
            })
        }));
    }
    Ok(out)
}

/// The items of a sequence: histograms have blanks inside.
fn items(text: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match items.last_mut() {
            Some(open) if open.matches("{{").count() > open.matches("}}").count() => {
                open.push(' ');
                open.push_str(word);
            }
            _ => items.push(word.to_owned()),
        }
    }
    items
}

pub(crate) fn start_offsets(text: &str) -> Parsed<Vec<Option<i64>>> {
    let mut out = Vec::new();
    for item in text.split_whitespace() {
        if let Some(rest) = item.strip_prefix('_') {
            out.extend(std::iter::repeat_n(None, times(rest)?.unwrap_or(1)));
            continue;
        }
        let (body, count) = match item.split_once('x') {
            Some((body, count)) => {
                (body, Some(count.parse::<usize>().map_err(|_| format!("repetition in {item:?}"))?))
            }
            None => (item, None),
        };
        let split = body.get(1..).and_then(|rest| rest.find(['+', '-'])).map(|at| at + 1);
        let (mut value, step) = match split {
            Some(at) => (duration(&body[..at])?, duration(body[at..].trim_start_matches('+'))?),
            None => (duration(body.trim_start_matches('+'))?, 0),
        };
        out.push(Some(value));
        for _ in 0..count.unwrap_or(0) {
            value += step;
            out.push(Some(value));
        }
    }
    Ok(out)
}
