//! Sequences of samples in Prometheus's test scripts: numbers and native histograms, repeated and added up.

use promgate::{CounterResetHint, NativeHistogram, Span, stale_marker};

use crate::script::duration;

/// One sample of a sequence.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Float(f64),
    Histogram {
        value: NativeHistogram,
        /// Whether the text names a hint, so that an expectation means it.
        hint_given: bool,
    },
}

type Parsed<T> = Result<T, String>;

/// A number that is the whole text.
pub(crate) fn number_text(text: &str) -> Parsed<f64> {
    let (value, rest) = number(text).ok_or_else(|| format!("{text:?} is no number"))?;
    if rest.is_empty() { Ok(value) } else { Err(format!("{rest:?} after a number")) }
}

/// A decimal number, `Inf` or `NaN` with optional sign at the start of `text`, and the rest.
fn number(text: &str) -> Option<(f64, &str)> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = text.len() - unsigned.len();
    let word = unsigned.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(unsigned.len());
    for special in ["inf", "nan"] {
        if unsigned.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(special))
            && (word == 3 || unsigned[3..].starts_with('x'))
        {
            return Some((text[..sign + 3].parse().ok()?, &unsigned[3..]));
        }
    }
    let bytes = unsigned.as_bytes();
    let digits = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    };
    let mut end = digits(0);
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1);
    }
    if !bytes.get(..end)?.iter().any(u8::is_ascii_digit) {
        return None;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let signed = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let after = digits(signed);
        if after > signed {
            end = after;
        }
    }
    Some((text[..sign + end].parse().ok()?, &unsigned[end..]))
}

/// How often an item repeats: `x3`, or nothing.
fn times(text: &str) -> Parsed<Option<usize>> {
    match text.strip_prefix('x') {
        Some(count) => count.parse().map(Some).map_err(|_| format!("{text:?} is no repetition")),
        None if text.is_empty() => Ok(None),
        None => Err(format!("{text:?} after a value")),
    }
}

/// Splits at blanks outside of double braces.
fn items(text: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let mut inside = false;
        let end = rest.char_indices().find(|(at, c)| {
            if rest[*at..].starts_with("{{") {
                inside = true;
            } else if rest[*at..].starts_with("}}") {
                inside = false;
            }
            !inside && c.is_whitespace()
        });
        let end = end.map_or(rest.len(), |(at, _)| at);
        items.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    items
}

pub(crate) fn values(text: &str) -> Parsed<Vec<Option<Item>>> {
    let mut out = Vec::new();
    for item in items(text) {
        if item == "stale" {
            out.push(Some(Item::Float(stale_marker())));
        } else if let Some(rest) = item.strip_prefix('_') {
            out.extend(std::iter::repeat_n(None, times(rest)?.unwrap_or(1)));
        } else if item.starts_with("{{") {
            histograms(item, &mut out)?;
        } else {
            let (first, rest) = number(item).ok_or_else(|| format!("value {item:?}"))?;
            let (step, count) = if rest.starts_with(['+', '-']) {
                let (step, rest) = number(rest).ok_or_else(|| format!("step in {item:?}"))?;
                (Some(step), times(rest)?)
            } else {
                (None, times(rest)?)
            };
            let mut value = first;
            out.push(Some(Item::Float(value)));
            for _ in 0..count.unwrap_or(0) {
                value += step.unwrap_or(0.0);
                out.push(Some(Item::Float(if step.is_some() { value } else { first })));
            }
        }
    }
    Ok(out)
}

/// `{{…}}`, `{{…}}x3`, `{{…}}+{{…}}x3` or `{{…}}-{{…}}x3`.
fn histograms(item: &str, out: &mut Vec<Option<Item>>) -> Parsed<()> {
    let (first, hint_given, rest) = histogram(item)?;
    let (step, count) = if rest.starts_with(['+', '-']) {
        let (step, given, after) = histogram(&rest[1..])?;
        (Some((step, rest.starts_with('-'), given)), times(after)?)
    } else {
        (None, times(rest)?)
    };
    let hint_given = step.as_ref().map_or(hint_given, |(.., given)| *given);
    let mut value = first;
    out.push(Some(Item::Histogram { value: value.clone(), hint_given }));
    for _ in 0..count.unwrap_or(0) {
        if let Some((step, negative, _)) = &step {
            value = added(&value, step, if *negative { -1.0 } else { 1.0 })?;
        }
        out.push(Some(Item::Histogram { value: value.clone(), hint_given }));
    }
    Ok(())
}

/// A histogram at the start of `text`, whether it names its hint, and the rest.
fn histogram(text: &str) -> Parsed<(NativeHistogram, bool, &str)> {
    let inner = text.strip_prefix("{{").ok_or_else(|| format!("{text:?} is no histogram"))?;
    let end = inner.find("}}").ok_or_else(|| format!("unclosed histogram {text:?}"))?;
    let mut histogram = NativeHistogram::default();
    let mut hint_given = false;
    let (mut offset, mut negative_offset) = (0, 0);
    let mut fields = inner[..end].trim();
    while !fields.is_empty() {
        let (key, rest) = fields.split_once(':').ok_or_else(|| format!("field {fields:?}"))?;
        let (value, rest) = match rest.strip_prefix('[') {
            Some(list) => list.split_once(']').ok_or_else(|| format!("unclosed list {list:?}"))?,
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        fields = rest.trim_start();
        let integer = || value.parse::<i32>().map_err(|_| format!("{value:?} is no integer"));
        let list = || value.split_whitespace().map(number_text).collect::<Parsed<Vec<f64>>>();
        match key {
            "schema" => histogram.schema = integer()?,
            "sum" => histogram.sum = number_text(value)?,
            "count" => histogram.count = number_text(value)?,
            "z_bucket" => histogram.zero_count = number_text(value)?,
            "z_bucket_w" => histogram.zero_threshold = number_text(value)?,
            "custom_values" => histogram.custom_values = list()?,
            "buckets" => histogram.positive_buckets = list()?,
            "n_buckets" => histogram.negative_buckets = list()?,
            "offset" => offset = integer()?,
            "n_offset" => negative_offset = integer()?,
            "counter_reset_hint" => {
                hint_given = true;
                histogram.hint = match value {
                    "unknown" => CounterResetHint::Unknown,
                    "reset" => CounterResetHint::Reset,
                    "not_reset" => CounterResetHint::NotReset,
                    "gauge" => CounterResetHint::Gauge,
                    other => return Err(format!("hint {other:?}")),
                };
            }
            other => return Err(format!("field {other:?} of a histogram")),
        }
    }
    let spans = |offset: i32, buckets: &[f64]| match buckets {
        [] => Vec::new(),
        buckets => vec![Span { offset, length: u32::try_from(buckets.len()).unwrap() }],
    };
    histogram.positive_spans = spans(offset, &histogram.positive_buckets);
    histogram.negative_spans = spans(negative_offset, &histogram.negative_buckets);
    Ok((histogram, hint_given, &inner[end + 2..]))
}

/// `a + sign * b` of two histograms whose buckets are of one kind and whose zero buckets are equally wide: all that the scripts
/// write. The schema of `b` may be finer.
fn added(a: &NativeHistogram, b: &NativeHistogram, sign: f64) -> Parsed<NativeHistogram> {
    if a.schema > b.schema || a.zero_threshold != b.zero_threshold || a.custom_values != b.custom_values {
        return Err(format!("{a} and {b} cannot be added in a script"));
    }
    let mut sum = a.clone();
    sum.hint = match (a.hint, b.hint) {
        (x, y) if x == y => x,
        (CounterResetHint::Gauge, _) | (_, CounterResetHint::Gauge) => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    };
    sum.count += sign * b.count;
    sum.sum += sign * b.sum;
    sum.zero_count += sign * b.zero_count;
    let shift = b.schema - a.schema;
    let side = |(spans, buckets): (&[Span], &[f64]), (other_spans, other): (&[Span], &[f64])| {
        let first = spans.first().map(|span| span.offset);
        let other_first = other_spans.first().map(|span| span.offset);
        let index = |at: i32| ((at - 1) >> shift) + 1;
        let Some(start) = first.into_iter().chain(other_first.map(index)).min() else {
            return (Vec::new(), Vec::new());
        };
        let mut counts: Vec<f64> = Vec::new();
        let terms = (first.unwrap_or(0)..).zip(buckets.iter().copied());
        let others = (other_first.unwrap_or(0)..).zip(other).map(|(at, count)| (index(at), sign * count));
        for (at, count) in terms.chain(others) {
            let place = usize::try_from(at - start).unwrap();
            counts.resize(counts.len().max(place + 1), 0.0);
            counts[place] += count;
        }
        (vec![Span { offset: start, length: u32::try_from(counts.len()).unwrap() }], counts)
    };
    (sum.positive_spans, sum.positive_buckets) =
        side((&a.positive_spans, &a.positive_buckets), (&b.positive_spans, &b.positive_buckets));
    (sum.negative_spans, sum.negative_buckets) =
        side((&a.negative_spans, &a.negative_buckets), (&b.negative_spans, &b.negative_buckets));
    Ok(sum)
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
