//! What was expected against what came, in promtool's words.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind, Result};
use crate::model::label::quoted_name;
use crate::model::number::{format_g, format_shortest_exponent, quote};
use crate::model::{CounterResetHint, Labels, NativeHistogram, SampleValue, Span};
use crate::promql::series_description::{Room, parse_metric, parse_values};

use super::read::{ExpectedAlert, ExpectedSample};

/// A sample with its labels; a histogram as text, since that is how promtool compares them.
#[derive(Debug)]
pub(super) struct ShownSample {
    labels: Labels,
    value: f64,
    histogram: String,
}

impl ShownSample {
    pub(super) fn new(labels: Labels, value: &SampleValue) -> Self {
        match value {
            SampleValue::Float(value) => Self { labels, value: *value, histogram: String::new() },
            SampleValue::Histogram(histogram) => Self { labels, value: 0.0, histogram: notation(histogram) },
        }
    }

    pub(super) fn expected(sample: &ExpectedSample) -> Result<Self> {
        let labels = match sample.labels.trim() {
            "" => Labels::empty(),
            metric => parse_metric(metric)?,
        };
        let mut histogram = String::new();
        if !sample.histogram.is_empty() {
            let values = parse_values(&sample.histogram, 2, &mut Room::new())?;
            histogram = match values.as_slice() {
                [Some(SampleValue::Histogram(histogram))] => notation(histogram),
                _ => {
                    let text = format!("expected one histogram, got {:?}", sample.histogram);
                    return Err(Error::new(ErrorKind::Parse, text));
                }
            };
        }
        Ok(Self { labels, value: sample.value, histogram })
    }

    fn equals(&self, other: &Self, fuzzy: bool) -> bool {
        let (a, b) = (self.value, other.value);
        // NaN equals nothing, as in promtool.
        let same = a == b || (fuzzy && (a.next_down() == b || a.next_up() == b));
        same && self.labels == other.labels && self.histogram == other.histogram
    }

    fn shown(&self) -> String {
        let value = match self.histogram.as_str() {
            "" => format_shortest_exponent(self.value),
            histogram => histogram.to_owned(),
        };
        format!("{} {value}", self.labels)
    }
}

/// Whether the samples are the same in any order; else both as text.
pub(super) fn compare_samples(
    mut expected: Vec<ShownSample>,
    mut got: Vec<ShownSample>,
    fuzzy: bool,
) -> std::result::Result<(), (String, String)> {
    expected.sort_by(|a, b| a.labels.cmp(&b.labels));
    got.sort_by(|a, b| a.labels.cmp(&b.labels));
    let same = expected.len() == got.len() && expected.iter().zip(&got).all(|(a, b)| a.equals(b, fuzzy));
    let shown = |samples: &[ShownSample]| match samples {
        [] => "nil".to_owned(),
        samples => samples.iter().map(ShownSample::shown).collect::<Vec<_>>().join(", "),
    };
    if same { Ok(()) } else { Err((shown(&expected), shown(&got))) }
}

/// Alerts as promtool lists them.
pub(super) fn alerts_text(alerts: &[ExpectedAlert]) -> String {
    if alerts.is_empty() {
        return "[]".to_owned();
    }
    let labels = |pairs: &BTreeMap<String, String>| {
        let pairs =
            pairs.iter().map(|(name, value)| format!("{}={}", quoted_name(name), quote(value.as_bytes())));
        format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
    };
    let indent = "            ";
    let alerts = alerts.iter().enumerate().map(|(index, alert)| {
        format!(
            "\n{indent}{index}:\n{indent}  Labels:{}\n{indent}  Annotations:{}",
            labels(&alert.labels),
            labels(&alert.annotations)
        )
    });
    format!("[{}\n{indent}]", alerts.collect::<Vec<_>>().join(","))
}

/// A histogram in the notation of tests, its buckets as one run.
fn notation(histogram: &NativeHistogram) -> String {
    let mut fields: Vec<String> = Vec::new();
    if histogram.schema != 0 {
        fields.push(format!("schema:{}", histogram.schema));
    }
    for (name, value) in [
        ("count", histogram.count),
        ("sum", histogram.sum),
        ("z_bucket", histogram.zero_count),
        ("z_bucket_w", histogram.zero_threshold),
    ] {
        if value != 0.0 {
            fields.push(format!("{name}:{}", format_g(value)));
        }
    }
    let list = |values: &[f64]| values.iter().map(|value| format_g(*value)).collect::<Vec<_>>().join(" ");
    if histogram.uses_custom_buckets() {
        fields.push(format!("custom_values:[{}]", list(&histogram.custom_values)));
    }
    match histogram.hint {
        CounterResetHint::Unknown => {}
        CounterResetHint::Reset => fields.push("counter_reset_hint:reset".to_owned()),
        CounterResetHint::NotReset => fields.push("counter_reset_hint:not_reset".to_owned()),
        CounterResetHint::Gauge => fields.push("counter_reset_hint:gauge".to_owned()),
    }
    for (buckets, offset, spans, counts) in [
        ("buckets", "offset", &histogram.positive_spans, &histogram.positive_buckets),
        ("n_buckets", "n_offset", &histogram.negative_spans, &histogram.negative_buckets),
    ] {
        let Some((first, counts)) = one_run(spans, counts) else {
            // Too far apart for one run; the bucket list tells as much.
            return histogram.to_string();
        };
        if counts.is_empty() {
            continue;
        }
        if first != 0 {
            fields.push(format!("{offset}:{first}"));
        }
        fields.push(format!("{buckets}:[{}]", list(&counts)));
    }
    format!("{{{{{}}}}}", fields.join(" "))
}

/// The buckets from the first to the last that is not empty, and the index of the first; `None` if they are too many.
fn one_run(spans: &[Span], counts: &[f64]) -> Option<(i64, Vec<f64>)> {
    const MOST: i64 = 100_000;
    let mut counts = counts.iter();
    let mut filled: Vec<(i64, f64)> = Vec::new();
    let mut index = 0_i64;
    for span in spans {
        index = index.saturating_add(i64::from(span.offset));
        for count in counts.by_ref().take(span.length as usize) {
            if *count != 0.0 {
                filled.push((index, *count));
            }
            index = index.saturating_add(1);
        }
    }
    let (Some((first, _)), Some((last, _))) = (filled.first(), filled.last()) else {
        return Some((0, Vec::new()));
    };
    let (first, length) = (*first, last.saturating_sub(*first).saturating_add(1));
    if length > MOST {
        return None;
    }
    let mut run = vec![0.0; usize::try_from(length).unwrap_or(0)];
    for (index, count) in filled {
        let slot = usize::try_from(index.saturating_sub(first)).ok().and_then(|at| run.get_mut(at));
        if let Some(slot) = slot {
            *slot = count;
        }
    }
    Some((first, run))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(labels: &str, value: f64, histogram: &str) -> ShownSample {
        let sample = ExpectedSample { labels: labels.to_owned(), value, histogram: histogram.to_owned() };
        ShownSample::expected(&sample).unwrap()
    }

    #[test]
    fn histograms_are_compared_by_their_notation() {
        let text = "{{schema:1 count:3 sum:4.5 z_bucket:1 z_bucket_w:0.001 counter_reset_hint:gauge offset:2 buckets:[1 0 1]}}";
        assert_eq!(expected("{}", 0.0, text).histogram, text);
        assert_eq!(expected("{}", 0.0, "{{buckets:[0 0 3 0]}}").histogram, "{{offset:2 buckets:[3]}}");
        assert_eq!(
            expected("{}", 0.0, "{{schema:-53 custom_values:[1 2.5] n_buckets:[0] buckets:[1 2]}}").histogram,
            "{{schema:-53 custom_values:[1 2.5] buckets:[1 2]}}"
        );
    }

    #[test]
    fn samples_are_compared_in_any_order_and_nan_equals_nothing() {
        let pair = |a: f64| vec![expected("a{x=\"1\"}", a, ""), expected("a", 2.0, "")];
        let turned = |a: f64| vec![expected("a", 2.0, ""), expected("a{x=\"1\"}", a, "")];
        assert!(compare_samples(pair(1.0), turned(1.0), false).is_ok());
        assert!(compare_samples(pair(f64::NAN), turned(f64::NAN), true).is_err());
        let (near, nearer) = (0.1_f64.next_up(), 0.1);
        let texts = compare_samples(pair(near), turned(nearer), false).unwrap_err();
        assert_eq!(texts.1, r#"{__name__="a"} 2E+00, {__name__="a", x="1"} 1E-01"#);
        assert!(compare_samples(pair(near), turned(nearer), true).is_ok());
        assert_eq!(compare_samples(Vec::new(), pair(1.0), false).unwrap_err().0, "nil");
    }
}
