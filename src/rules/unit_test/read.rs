//! The YAML of `promtool test rules`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::error::{Error, ErrorKind, Result};
use crate::model::calendar::{RFC_3339, parse_time};
use crate::model::number::parse_number;
use crate::model::{Labels, Timestamp};
use crate::rules::yaml::{self, Texts, duration_ms, place, texts};

/// A whole file.
#[derive(Clone, Debug)]
pub(super) struct TestFile {
    pub(super) rule_files: Vec<String>,
    pub(super) interval_ms: i64,
    pub(super) group_order: Vec<String>,
    pub(super) fuzzy: bool,
    pub(super) tests: Vec<TestGroup>,
}

/// Input series, and what is expected of the rules over them.
#[derive(Clone, Debug)]
pub(super) struct TestGroup {
    pub(super) name: String,
    pub(super) interval_ms: i64,
    /// Labels and values, still in their notation.
    pub(super) input: Vec<(String, String)>,
    pub(super) alerts: Vec<AlertTest>,
    pub(super) queries: Vec<QueryTest>,
    pub(super) external_labels: Labels,
    pub(super) external_url: String,
    pub(super) start: Timestamp,
}

/// Which alerts of a name fire at a time.
#[derive(Clone, Debug)]
pub(super) struct AlertTest {
    pub(super) eval_ms: i64,
    pub(super) name: String,
    pub(super) expected: Vec<ExpectedAlert>,
}

/// Labels and annotations as they are written: here an empty one is not the same as none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ExpectedAlert {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

/// What a query answers at a time.
#[derive(Clone, Debug)]
pub(super) struct QueryTest {
    pub(super) query: String,
    pub(super) eval_ms: i64,
    pub(super) expected: Vec<ExpectedSample>,
}

#[derive(Clone, Debug)]
pub(super) struct ExpectedSample {
    pub(super) labels: String,
    pub(super) value: f64,
    /// In its notation; empty: the value counts.
    pub(super) histogram: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileFields {
    rule_files: Option<Vec<Option<String>>>,
    evaluation_interval: Option<Spanned<String>>,
    group_eval_order: Option<Vec<Option<String>>>,
    tests: Option<Vec<TestFields>>,
    fuzzy_compare: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TestFields {
    interval: Option<Spanned<String>>,
    input_series: Option<Vec<SeriesFields>>,
    alert_rule_test: Option<Vec<AlertFields>>,
    promql_expr_test: Option<Vec<QueryFields>>,
    external_labels: Texts,
    external_url: Option<String>,
    name: Option<String>,
    start_timestamp: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeriesFields {
    series: Option<String>,
    values: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AlertFields {
    eval_time: Option<Spanned<String>>,
    alertname: Option<String>,
    exp_alerts: Option<Vec<ExpectedAlertFields>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedAlertFields {
    exp_labels: Texts,
    exp_annotations: Texts,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QueryFields {
    expr: Option<String>,
    eval_time: Option<Spanned<String>>,
    exp_samples: Option<Vec<SampleFields>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SampleFields {
    labels: Option<String>,
    value: Option<Spanned<String>>,
    histogram: Option<String>,
}

const DEFAULT_INTERVAL_MS: i64 = 60_000;

impl TestFile {
    pub(super) fn from_yaml(text: &str) -> Result<Self> {
        let fields: FileFields = yaml::read(text, "the test file", "file of rule tests")?;
        let interval_ms = positive("evaluation_interval", fields.evaluation_interval.as_ref())?
            .unwrap_or(DEFAULT_INTERVAL_MS);
        let group_order: Vec<String> =
            fields.group_eval_order.unwrap_or_default().into_iter().map(Option::unwrap_or_default).collect();
        let mut seen = BTreeSet::new();
        if let Some(repeated) = group_order.iter().find(|name| !seen.insert(name.as_str())) {
            let message = format!("group name repeated in evaluation order: {repeated}");
            return Err(Error::new(ErrorKind::Parse, message));
        }
        let tests = fields.tests.unwrap_or_default();
        let tests = tests.into_iter().map(|test| test.read(interval_ms)).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            rule_files: fields.rule_files.unwrap_or_default().into_iter().flatten().collect(),
            interval_ms,
            group_order,
            fuzzy: fields.fuzzy_compare.unwrap_or(false),
            tests,
        })
    }
}

impl TestFields {
    fn read(self, interval_ms: i64) -> Result<TestGroup> {
        let name = self.name.unwrap_or_default();
        let input = self.input_series.unwrap_or_default().into_iter();
        let input = input
            .map(|series| (series.series.unwrap_or_default(), series.values.unwrap_or_default()))
            .collect();
        let alerts = self.alert_rule_test.unwrap_or_default().into_iter().map(AlertFields::read);
        let queries = self.promql_expr_test.unwrap_or_default().into_iter().map(QueryFields::read);
        let start = match &self.start_timestamp {
            None => Timestamp::from_millis(0),
            Some(text) => start_timestamp(&text.value).ok_or_else(|| {
                mistake(
                    text,
                    &format!(
                        "start_timestamp: cannot parse {:?} to a valid timestamp; write seconds or RFC 3339",
                        text.value
                    ),
                )
            })?,
        };
        Ok(TestGroup {
            name,
            interval_ms: positive("interval", self.interval.as_ref())?.unwrap_or(interval_ms),
            input,
            alerts: alerts.collect::<Result<_>>()?,
            queries: queries.collect::<Result<_>>()?,
            external_labels: Labels::from_pairs(texts(self.external_labels)),
            external_url: self.external_url.unwrap_or_default(),
            start,
        })
    }
}

impl AlertFields {
    fn read(self) -> Result<AlertTest> {
        let expected = self.exp_alerts.unwrap_or_default().into_iter().map(|alert| ExpectedAlert {
            labels: texts(alert.exp_labels).collect(),
            annotations: texts(alert.exp_annotations).collect(),
        });
        Ok(AlertTest {
            eval_ms: duration("eval_time", self.eval_time.as_ref())?.unwrap_or(0),
            name: self.alertname.unwrap_or_default(),
            expected: expected.collect(),
        })
    }
}

impl QueryFields {
    fn read(self) -> Result<QueryTest> {
        let expected = self.exp_samples.unwrap_or_default().into_iter().map(|sample| {
            let value = match &sample.value {
                None => 0.0,
                Some(text) => float(&text.value)
                    .ok_or_else(|| mistake(text, &format!("value: {:?} is no number of YAML", text.value)))?,
            };
            Ok(ExpectedSample {
                labels: sample.labels.unwrap_or_default(),
                value,
                histogram: sample.histogram.unwrap_or_default(),
            })
        });
        Ok(QueryTest {
            query: self.expr.unwrap_or_default(),
            eval_ms: duration("eval_time", self.eval_time.as_ref())?.unwrap_or(0),
            expected: expected.collect::<Result<_>>()?,
        })
    }
}

fn mistake(at: &Spanned<String>, text: &str) -> Error {
    Error::new(ErrorKind::Parse, format!("{}{text}", place(at)))
}

/// A duration in milliseconds.
fn duration(field: &str, text: Option<&Spanned<String>>) -> Result<Option<i64>> {
    let read = text.map(|text| duration_ms(field, text)).transpose();
    read.map_err(|mistake| Error::new(ErrorKind::Parse, mistake))
}

/// The same; 0 stands for the default.
fn positive(field: &str, text: Option<&Spanned<String>>) -> Result<Option<i64>> {
    Ok(duration(field, text)?.filter(|millis| *millis > 0))
}

/// A number as YAML 1.1 writes it.
fn float(text: &str) -> Option<f64> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = match unsigned {
        ".inf" | ".Inf" | ".INF" => f64::INFINITY,
        ".nan" | ".NaN" | ".NAN" => f64::NAN,
        _ if unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            parse_number(&unsigned.replace('_', "")).ok()?
        }
        _ => return None,
    };
    Some(if negative { -value } else { value })
}

/// Seconds since the epoch, or a time as RFC 3339 has it.
fn start_timestamp(text: &str) -> Option<Timestamp> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b".+-eE".contains(&byte));
    if plain && let Ok(seconds) = text.parse::<f64>() {
        let millis = (seconds * 1000.0).round();
        return (millis.abs() < 9e15).then(|| Timestamp::from_millis(millis as i64));
    }
    // Milliseconds: what is below is cut.
    let nanos = parse_time(text, RFC_3339).ok()??;
    i64::try_from(nanos.div_euclid(1_000_000)).ok().map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_dates() {
        let millis = |text: &str| start_timestamp(text).map(Timestamp::as_millis);
        assert_eq!(millis("1700000000.5"), Some(1_700_000_000_500));
        assert_eq!(millis("2024-02-29T12:30:00Z"), Some(1_709_209_800_000));
        assert_eq!(millis("2024-02-29T12:30:00.1239+02:00"), Some(1_709_202_600_123));
        assert_eq!(millis("1969-12-31T23:59:59Z"), Some(-1_000));
        for text in ["", "x", "2024-02-30T00:00:00Z", "2024-01-01", "2024-01-01T00:00:00", "1e300"] {
            assert_eq!(millis(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_those_of_yaml() {
        assert_eq!(float("1_000"), Some(1000.0));
        assert_eq!(float("-.inf"), Some(f64::NEG_INFINITY));
        assert_eq!((float("0x10"), float("1e3"), float("-2.5")), (Some(16.0), Some(1000.0), Some(-2.5)));
        assert!(float(".nan").unwrap().is_nan());
        for text in ["inf", "NaN", "x", "", "1x"] {
            assert_eq!(float(text), None, "{text}");
        }
    }

    #[test]
    fn mistakes_have_their_place() {
        let message = |text: &str| TestFile::from_yaml(text).unwrap_err().to_string();
        assert_eq!(
            message("tests:\n- promql_expr_test:\n  - {expr: a, eval_time: 1x}\n"),
            "3:26: eval_time: unknown unit \"x\" in duration \"1x\""
        );
        assert!(message("tests:\n- start_timestamp: yesterday\n").starts_with("2:20: start_timestamp: "));
        assert!(message("tests:\n- inputs: []\n").contains("unknown field `inputs`"));
        assert!(message("group_eval_order: [a, b, a]").contains("repeated in evaluation order: a"));
    }
}
