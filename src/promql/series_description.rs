//! Series in the notation of Prometheus's tests: `metric{label="value"} 1 2+3x4 _ stale {{sum:1 count:1}}`.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::label::METRIC_NAME;
use crate::model::number::parse_number;
use crate::model::quoted::find_outside_strings;
use crate::model::{
    CounterResetHint, Labels, LabelsBuilder, MatchOp, NativeHistogram, SampleValue, Span, stale_marker,
};

use super::ast::Expr;
use super::parse::{ParseOptions, parse};

/// What is wrong with a text, still without its place.
type Parsed<T> = std::result::Result<T, String>;

/// A metric that is the whole text.
///
/// # Errors
///
/// [`ErrorKind::Parse`] for any other text.
pub(crate) fn parse_metric(text: &str) -> Result<Labels> {
    let (labels, rest) = split_metric(text)?;
    if rest.trim().is_empty() {
        return Ok(labels);
    }
    Err(wrong(text, &format!("found {:?} behind the metric", rest.trim())))
}

/// A metric at the start of the text, and what follows it.
///
/// # Errors
///
/// [`ErrorKind::Parse`] for a text that begins with no metric.
pub(crate) fn split_metric(text: &str) -> Result<(Labels, &str)> {
    let start = text.trim_start();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let end = start.find(|c| !is_name(c)).unwrap_or(start.len());
    let (name, behind) = start.split_at_checked(end).unwrap_or((start, ""));
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(wrong(text, "a metric name begins with a digit"));
    }
    let length = match behind.strip_prefix('{') {
        Some(inner) => {
            let inner =
                find_outside_strings(inner, "}").ok_or_else(|| wrong(text, "braces that do not end"))?;
            inner.saturating_add(2)
        }
        None if name.is_empty() => return Err(wrong(text, "found no metric")),
        None => 0,
    };
    let (braces, rest) = behind.split_at_checked(length).unwrap_or((behind, ""));
    let mut labels = LabelsBuilder::new();
    if !name.is_empty() {
        labels.set(METRIC_NAME, name);
    }
    if braces.len() > 2 {
        // Read as a selector. One without a name is none if all its labels are empty, which a metric may have.
        let named = || parse(&format!("x{braces}"), &ParseOptions::default());
        let expr = if name.is_empty() {
            parse(braces, &ParseOptions::default()).or_else(|error| named().map_err(|_| error))
        } else {
            named()
        };
        let selector = match expr.map_err(|error| wrong(text, &error.to_string()))? {
            Expr::Vector(selector) => selector,
            _ => return Err(wrong(text, "found no labels in the braces")),
        };
        let outside = usize::from(selector.name.is_some());
        let inside = selector.matchers.len().saturating_sub(outside);
        for matcher in selector.matchers.iter().take(inside) {
            if matcher.op() != MatchOp::Equal {
                return Err(wrong(text, "a metric has labels with `=` only"));
            }
            let value = String::from_utf8(matcher.value().to_vec());
            let value = value.map_err(|_| wrong(text, "a label value that is no UTF-8"))?;
            labels.set(matcher.name(), value);
        }
    }
    Ok((labels.build(), rest))
}

fn wrong(text: &str, why: &str) -> Error {
    let shown: String = text.chars().take(200).collect();
    Error::new(ErrorKind::Parse, format!("{shown:?}: {why}"))
}

/// The most values of sequences that are held at once, a histogram counting by its buckets.
const SAMPLES: usize = 5_000_000;
/// For how many values a histogram counts besides its buckets.
const HISTOGRAM_SAMPLES: usize = 10;

/// What several sequences may still take together.
pub(crate) struct Room {
    samples: usize,
}

impl Room {
    pub(crate) const fn new() -> Self {
        Self { samples: SAMPLES }
    }
}

/// A sequence of values, `None` where there is none. The first `most` are made, the others only read.
///
/// # Errors
///
/// [`ErrorKind::Parse`] for a text that is no sequence; [`ErrorKind::Limit`] for values that the room does not hold.
pub(crate) fn parse_values(text: &str, most: usize, room: &mut Room) -> Result<Vec<Option<SampleValue>>> {
    let mut out = Sequence { values: Vec::new(), most, room, is_full: false };
    for item in items(text) {
        out.item(item).map_err(|why| wrong(item, &why))?;
        if out.is_full {
            let text = format!("the series have more than {SAMPLES} samples (input_samples)");
            return Err(Error::new(ErrorKind::Limit, text));
        }
    }
    Ok(out.values)
}

/// Splits at blanks outside of double braces.
fn items(text: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let mut inside = false;
        let end = rest.char_indices().find(|(at, c)| {
            let here = rest.get(*at..).unwrap_or("");
            if here.starts_with("{{") {
                inside = true;
            } else if here.starts_with("}}") {
                inside = false;
            }
            !inside && c.is_whitespace()
        });
        let (item, tail) = rest.split_at_checked(end.map_or(rest.len(), |(at, _)| at)).unwrap_or((rest, ""));
        items.push(item);
        rest = tail.trim_start();
    }
    items
}

struct Sequence<'r> {
    values: Vec<Option<SampleValue>>,
    most: usize,
    room: &'r mut Room,
    /// Whether a value found no room.
    is_full: bool,
}

impl Sequence<'_> {
    /// Adds `next` so many times; it is called only for what is made.
    fn extend(&mut self, count: u64, mut next: impl FnMut() -> Parsed<Option<SampleValue>>) -> Parsed<()> {
        let wanted = self.most.saturating_sub(self.values.len());
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(wanted);
        for _ in 0..count {
            let value = next()?;
            match self.room.samples.checked_sub(size(&value)) {
                Some(rest) => self.room.samples = rest,
                None => {
                    self.is_full = true;
                    break;
                }
            }
            self.values.push(value);
        }
        Ok(())
    }

    fn item(&mut self, item: &str) -> Parsed<()> {
        if item == "stale" {
            return self.extend(1, || Ok(Some(SampleValue::Float(stale_marker()))));
        }
        if let Some(rest) = item.strip_prefix('_') {
            return self.extend(times(rest)?.unwrap_or(1), || Ok(None));
        }
        if item.starts_with("{{") {
            return self.histograms(item);
        }
        let (first, rest) = number(item).ok_or("found no value")?;
        let mut value = first;
        let (step, count) = if rest.starts_with(['+', '-']) {
            let (step, rest) = number(rest).ok_or("found no number behind the sign")?;
            (Some(step), times(rest)?.ok_or("a step needs `x` and a count")?)
        } else {
            (None, times(rest)?.unwrap_or(0))
        };
        self.extend(count.saturating_add(1), || {
            let current = value;
            value = step.map_or(first, |step| value + step);
            Ok(Some(SampleValue::Float(current)))
        })
    }

    /// `{{…}}`, `{{…}}x3`, `{{…}}+{{…}}x3` or `{{…}}-{{…}}x3`
    fn histograms(&mut self, item: &str) -> Parsed<()> {
        let (first, rest) = histogram(item)?;
        let (step, count) = match (rest.strip_prefix('+'), rest.strip_prefix('-')) {
            (Some(tail), _) => {
                let (step, tail) = histogram(tail)?;
                (Some((step, false)), times(tail)?.ok_or("a step needs `x` and a count")?)
            }
            (_, Some(tail)) => {
                let (step, tail) = histogram(tail)?;
                (Some((step, true)), times(tail)?.ok_or("a step needs `x` and a count")?)
            }
            _ => (None, times(rest)?.unwrap_or(0)),
        };
        if let Some((step, _)) = &step
            && step.schema < first.schema
        {
            return Err(format!("cannot merge from schema {} to {}", step.schema, first.schema));
        }
        let mut value = Arc::new(first);
        let mut is_first = true;
        self.extend(count.saturating_add(1), || {
            if let Some((step, subtract)) = &step
                && !is_first
            {
                let mut next = (*value).clone();
                let combined = if *subtract { next.subtract(step) } else { next.add(step) };
                combined
                    .map_err(|_| "histograms with exponential and with custom buckets cannot be combined")?;
                value = Arc::new(next);
            }
            is_first = false;
            Ok(Some(SampleValue::Histogram(value.clone())))
        })
    }
}

/// For how many values a value counts.
fn size(value: &Option<SampleValue>) -> usize {
    let Some(SampleValue::Histogram(histogram)) = value else { return 1 };
    let lists = [&histogram.positive_buckets, &histogram.negative_buckets, &histogram.custom_values];
    lists.iter().fold(HISTOGRAM_SAMPLES, |size, list| size.saturating_add(list.len()))
}

/// How often an item repeats: `x3`, or nothing.
fn times(text: &str) -> Parsed<Option<u64>> {
    match text.strip_prefix('x') {
        Some(count) => count.parse().map(Some).map_err(|_| format!("{text:?} is no repetition")),
        None if text.is_empty() => Ok(None),
        None => Err(format!("found {text:?} behind a value")),
    }
}

/// A decimal number, `Inf` or `NaN` with optional sign at the start of `text`, and the rest.
fn number(text: &str) -> Option<(f64, &str)> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let signed = |value: f64| if negative { -value } else { value };
    for (word, value) in [("inf", f64::INFINITY), ("nan", f64::NAN)] {
        let Some((start, rest)) = unsigned.split_at_checked(3) else { continue };
        let goes_on = rest.starts_with(|c: char| c.is_ascii_alphanumeric()) && !rest.starts_with('x');
        if start.eq_ignore_ascii_case(word) && !goes_on {
            return Some((signed(value), rest));
        }
    }
    let bytes = unsigned.as_bytes();
    let digits = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at = at.saturating_add(1);
        }
        at
    };
    let mut end = digits(0);
    if bytes.get(end) == Some(&b'.') {
        end = digits(end.saturating_add(1));
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end.saturating_add(1)), Some(b'+' | b'-')));
        let exponent = end.saturating_add(1).saturating_add(sign);
        let after = digits(exponent);
        if after > exponent {
            end = after;
        }
    }
    let (word, rest) = unsigned.split_at_checked(end)?;
    Some((signed(parse_number(word).ok()?), rest))
}

/// A histogram at the start of `text`, and the rest.
fn histogram(text: &str) -> Parsed<(NativeHistogram, &str)> {
    let inner = text.strip_prefix("{{").ok_or("found no histogram")?;
    let (inner, rest) = inner.split_once("}}").ok_or("a histogram that does not end")?;
    let mut histogram = NativeHistogram::default();
    let (mut offset, mut negative_offset) = (0, 0);
    let mut fields = inner.trim();
    let mut seen: Vec<&str> = Vec::new();
    while !fields.is_empty() {
        let (key, behind) = fields.split_once(':').ok_or_else(|| format!("found no field in {fields:?}"))?;
        let (value, behind) = match behind.strip_prefix('[') {
            Some(list) => list.split_once(']').ok_or("a list that does not end")?,
            None => behind.split_once(char::is_whitespace).unwrap_or((behind, "")),
        };
        fields = behind.trim_start();
        if seen.contains(&key) {
            return Err(format!("duplicate field {key:?} of a histogram"));
        }
        seen.push(key);
        let float = |word: &str| match number(word) {
            Some((value, "")) => Ok(value),
            _ => Err(format!("{word:?} is no number")),
        };
        let integer = || value.parse::<i32>().map_err(|_| format!("{value:?} is no integer"));
        let list = || value.split_whitespace().map(float).collect::<Parsed<Vec<f64>>>();
        match key {
            "schema" => histogram.schema = integer()?,
            "sum" => histogram.sum = float(value)?,
            "count" => histogram.count = float(value)?,
            "z_bucket" => histogram.zero_count = float(value)?,
            "z_bucket_w" => histogram.zero_threshold = float(value)?,
            "custom_values" => histogram.custom_values = list()?,
            "buckets" => histogram.positive_buckets = list()?,
            "n_buckets" => histogram.negative_buckets = list()?,
            "offset" => offset = integer()?,
            "n_offset" => negative_offset = integer()?,
            "counter_reset_hint" => {
                histogram.hint = match value {
                    "unknown" => CounterResetHint::Unknown,
                    "reset" => CounterResetHint::Reset,
                    "not_reset" => CounterResetHint::NotReset,
                    "gauge" => CounterResetHint::Gauge,
                    other => return Err(format!("{other:?} is no counter_reset_hint")),
                };
            }
            other => return Err(format!("a histogram has no field {other:?}")),
        }
    }
    let spans = |offset: i32, buckets: &[f64]| match u32::try_from(buckets.len()) {
        Ok(0) | Err(_) => Vec::new(),
        Ok(length) => vec![Span { offset, length }],
    };
    histogram.positive_spans = spans(offset, &histogram.positive_buckets);
    histogram.negative_spans = spans(negative_offset, &histogram.negative_buckets);
    Ok((histogram, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::is_stale;

    fn floats(text: &str) -> String {
        let values =
            parse_values(text, 100, &mut Room::new()).unwrap().into_iter().map(|value| match value {
                None => "_".to_owned(),
                Some(SampleValue::Float(value)) if is_stale(value) => "stale".to_owned(),
                Some(SampleValue::Float(value)) => value.to_string(),
                Some(SampleValue::Histogram(histogram)) => histogram.to_string(),
            });
        values.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn sequences_are_expanded_as_promqltest_does() {
        assert_eq!(floats("1 -2.5 1e3 +4 Inf -inf NaN 010"), "1 -2.5 1000 4 inf -inf NaN 8");
        assert_eq!(floats("3x2 _ _x2 stale 0x1"), "3 3 3 _ _ _ stale 0 0");
        assert_eq!(floats("1+2x3 1-2x1 -3-10x1 infx1"), "1 3 5 7 1 -1 -3 -13 inf inf");
        assert_eq!(
            floats("{{count:1 sum:2 buckets:[1]}}+{{count:1 sum:1 buckets:[1]}}x2"),
            "{count:1, sum:2, (0.5,1]:1} {count:2, sum:3, (0.5,1]:2} {count:3, sum:4, (0.5,1]:3}"
        );
        assert_eq!(floats("{{schema:1 sum:-1 n_buckets:[2] n_offset:1}}x1").matches("count").count(), 2);
    }

    #[test]
    fn repetitions_are_made_only_as_far_as_they_are_wanted() {
        let text = "0x1000000000 1+1x18446744073709551615 _x99999999";
        assert_eq!(parse_values(text, 3, &mut Room::new()).unwrap().len(), 3);
    }

    #[test]
    fn sequences_share_their_room_and_histograms_take_what_they_hold() {
        let mut room = Room { samples: 100 };
        let mut taken = |text: &str| parse_values(text, 1000, &mut room).map(|values| values.len());
        assert_eq!(taken("1x9 _x10").unwrap(), 20);
        assert_eq!(taken("{{buckets:[1 2]}}+{{buckets:[1 2]}}x5").unwrap(), 6);
        assert_eq!(taken("{{buckets:[1]}}").unwrap_err().kind(), ErrorKind::Limit);
        assert_eq!(taken("1x7").unwrap(), 8);
        assert_eq!(taken("_").unwrap_err().kind(), ErrorKind::Limit);
    }

    #[test]
    fn what_is_no_sequence_is_told() {
        for text in [
            "a",
            "1+2",
            "1x",
            "1x-3",
            "1 2y",
            "{{",
            "{{a:1}}",
            "{{sum:x}}",
            "{{sum:1 sum:2}}",
            "_y",
            "{{schema:1}}+{{schema:0}}x1",
            "{{}}+{{}}",
            "stalex2",
            "--1",
            "",
        ] {
            let error = parse_values(text, 10, &mut Room::new()).map(|values| values.len());
            assert!(error.is_err() || text.is_empty(), "{text}: {error:?}");
        }
    }

    #[test]
    fn metrics_are_names_with_labels() {
        let shown = |text: &str| parse_metric(text).unwrap().to_string();
        assert_eq!(shown("up"), r#"{__name__="up"}"#);
        assert_eq!(shown(r#" a:b{c="d}", e='f',} "#), r#"{__name__="a:b", c="d}", e="f"}"#);
        assert_eq!(shown("{}"), "{}");
        assert_eq!(shown(r#"x{a=""}"#), r#"{__name__="x"}"#);
        assert_eq!(shown(r#"{a=""}"#), "{}");
        assert_eq!(shown(r#"{"m.n", "l.m"="\n"}"#), r#"{__name__="m.n", "l.m"="\n"}"#);
        for text in ["", "1a", "a{", "a{b}", "a{b=~\"c\"}", "a b", "a{b=\"c\"} 1", "a{b!=\"c\"}"] {
            assert!(parse_metric(text).is_err(), "{text}");
        }
        let (labels, rest) = split_metric("a{b=\"c\"} 1 2").unwrap();
        assert_eq!((labels.len(), rest), (2, " 1 2"));
    }
}
