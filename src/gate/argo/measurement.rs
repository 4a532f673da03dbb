//! One measurement: what a query answers, its text, and the phase that the conditions give it.

use crate::model::{SampleValue, Timestamp};
use crate::promql::Value;

use super::condition::Condition;
use super::status::{Phase, Profile};

/// What a query answered, without labels: what a condition sees as `result`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum QueryValue {
    /// One number.
    Scalar(f64),
    /// The values of an instant vector, in the response's order.
    Vector(Vec<f64>),
    /// The samples of a range query: series in the response's order, each in time order.
    Matrix(Vec<Vec<f64>>),
    /// A string, which Argo cannot use.
    Text(String),
    /// Decoded JSON, as other providers answer.
    #[cfg(feature = "serde")]
    Json(serde_json::Value),
}

impl QueryValue {
    /// The value as it is recorded: `1.5`, `[1,NaN]`, `[]`; the shortest decimals that read back, never an exponent.
    pub fn text(&self) -> String {
        match self {
            Self::Scalar(number) => number_text(*number),
            Self::Vector(numbers) => list_text(numbers.iter()),
            Self::Matrix(series) => list_text(series.iter().flatten()),
            Self::Text(text) => text.clone(),
            #[cfg(feature = "serde")]
            Self::Json(json) => json.to_string(),
        }
    }

    /// The numbers in it.
    pub(crate) fn numbers(&self) -> Vec<f64> {
        match self {
            Self::Scalar(number) => vec![*number],
            Self::Vector(numbers) => numbers.clone(),
            Self::Matrix(series) => series.iter().flatten().copied().collect(),
            Self::Text(_) => Vec::new(),
            #[cfg(feature = "serde")]
            Self::Json(_) => Vec::new(),
        }
    }

    /// Whether there is nothing in it: no element, or nil.
    fn is_empty(&self) -> bool {
        match self {
            Self::Scalar(_) | Self::Text(_) => false,
            Self::Vector(numbers) => numbers.is_empty(),
            Self::Matrix(series) => series.iter().all(Vec::is_empty),
            #[cfg(feature = "serde")]
            Self::Json(json) => json.is_null() || json.as_array().is_some_and(Vec::is_empty),
        }
    }
}

impl From<&Value> for QueryValue {
    /// The answer of our own engine. A native histogram counts as 0, which is what Argo's client makes of it.
    fn from(value: &Value) -> Self {
        match value {
            Value::Scalar(number) => Self::Scalar(*number),
            Value::String(text) => Self::Text(text.clone()),
            Value::Vector(samples) => Self::Vector(
                samples
                    .iter()
                    .map(|sample| match &sample.value {
                        SampleValue::Float(number) => *number,
                        SampleValue::Histogram(_) => 0.0,
                    })
                    .collect(),
            ),
            // Native histograms of a matrix come in a list of their own, which Argo does not look at.
            Value::Matrix(series) => {
                Self::Matrix(series.iter().map(|series| series.samples.values.clone()).collect())
            }
        }
    }
}

/// A query's answer with what the engine noticed.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryAnswer {
    /// The value.
    pub value: QueryValue,
    /// Warnings, kept as metadata of the measurement.
    pub warnings: Vec<String>,
}

impl From<QueryValue> for QueryAnswer {
    fn from(value: QueryValue) -> Self {
        Self { value, warnings: Vec::new() }
    }
}

fn number_text(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    number.to_string()
}

fn list_text<'a>(numbers: impl Iterator<Item = &'a f64>) -> String {
    let parts: Vec<String> = numbers.map(|number| number_text(*number)).collect();
    format!("[{}]", parts.join(","))
}

/// Judges a value by the two conditions, empty where not given.
///
/// # Errors
///
/// The message of a measurement in Error.
pub fn judge(
    value: &QueryValue,
    success_condition: &str,
    failure_condition: &str,
    now: Timestamp,
    profile: Profile,
) -> Result<Phase, String> {
    let success = evaluate(value, "successCondition", success_condition, now, profile)?;
    let failure = evaluate(value, "failureCondition", failure_condition, now, profile)?;
    Ok(match (success, failure) {
        (None, None) | (Some(true), None | Some(false)) | (None, Some(false)) => Phase::Successful,
        (_, Some(true)) | (Some(false), None) => Phase::Failed,
        (Some(false), Some(false)) => Phase::Inconclusive,
    })
}

fn evaluate(
    value: &QueryValue,
    which: &str,
    condition: &str,
    now: Timestamp,
    profile: Profile,
) -> Result<Option<bool>, String> {
    if condition.is_empty() {
        return Ok(None);
    }
    let answer =
        Condition::compile(condition, value, profile).and_then(|compiled| compiled.holds(value, now));
    let error = match answer {
        Ok(holds) => return Ok(Some(holds)),
        Err(error) => error.to_string(),
    };
    if profile == Profile::V1_9 {
        let old = error.starts_with("index out of range:");
        return Err(if old { "reflect: slice index out of range".to_owned() } else { error });
    }
    let reason = if value.is_empty() {
        "metric result is nil or empty: no data returned from the metric provider"
    } else {
        &error
    };
    Err(format!("could not evaluate {which} \"{condition}\": {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Result<Phase, ()> = Ok(Phase::Successful);
    const F: Result<Phase, ()> = Ok(Phase::Failed);
    const I: Result<Phase, ()> = Ok(Phase::Inconclusive);
    const E: Result<Phase, ()> = Err(());

    fn phase(values: &[f64], success: &str, failure: &str) -> Result<Phase, ()> {
        let value = QueryValue::Vector(values.to_vec());
        judge(&value, success, failure, Timestamp::from_secs(0), Profile::V1_10).map_err(drop)
    }

    #[test]
    fn two_conditions_make_a_phase() {
        for (success, failure, expected) in [
            ("", "", S),
            ("true", "", S),
            ("false", "", F),
            ("", "true", F),
            ("", "false", S),
            ("true", "true", F),
            ("true", "false", S),
            ("false", "true", F),
            ("false", "false", I),
            ("1", "false", E),
            ("true", "1", E),
        ] {
            assert_eq!(phase(&[1.0], success, failure), expected, "{success} / {failure}");
        }
    }

    #[test]
    fn the_usual_conditions_see_good_bad_nan_and_nothing() {
        let good = "result[0] < 0.05";
        let bad = "result[0] >= 0.05";
        for (success, failure, expected) in [
            (good, "", [S, F, F, E]),
            ("", bad, [S, F, S, E]),
            ("", "!(result[0] < 0.05)", [S, F, F, E]),
            (good, bad, [S, F, I, E]),
            ("len(result) == 0 || result[0] < 0.05", "", [S, F, F, S]),
            ("len(result) > 0 && result[0] < 0.05", "", [S, F, F, F]),
            ("isNaN(result[0]) || result[0] < 0.05", "", [S, F, S, E]),
            ("isNaN(result) || result[0] < 0.05", "", [E, E, E, E]),
            ("all(result, # < 0.05)", "", [S, F, F, S]),
            ("(first(result) ?? 0) < 0.05", "", [S, F, F, S]),
            ("default(result, 0) < 0.05", "", [E, E, E, E]),
            ("result && result[0] < 0.05", "", [E, E, E, E]),
            ("result < 0.05", "", [E, E, E, E]),
            (good, "len(result) > 0 && result[0] >= 0.05", [S, F, I, E]),
            ("len(result) > 0 && result[0] < 0.05", "len(result) > 0 && result[0] >= 0.05", [S, F, I, I]),
        ] {
            let values: [&[f64]; 4] = [&[0.01], &[0.1], &[f64::NAN], &[]];
            let phases = values.map(|values| phase(values, success, failure));
            assert_eq!(phases, expected, "{success} / {failure}");
        }
    }

    #[test]
    fn values_are_recorded_without_exponents() {
        let texts = [1e-9, 1e21, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        assert_eq!(
            QueryValue::Vector(texts.to_vec()).text(),
            "[0.000000001,1000000000000000000000,-0,NaN,+Inf,-Inf]"
        );
        assert_eq!(QueryValue::Vector(vec![]).text(), "[]");
        assert_eq!(QueryValue::Matrix(vec![vec![1.0, 2.0], vec![3.0]]).text(), "[1,2,3]");
    }

    #[test]
    fn an_older_release_says_less() {
        let value = QueryValue::Vector(vec![]);
        let at = Timestamp::from_secs(0);
        let message = |profile| judge(&value, "result[0] < 1", "", at, profile).unwrap_err();
        assert_eq!(message(Profile::V1_9), "reflect: slice index out of range");
        assert_eq!(
            message(Profile::V1_10),
            "could not evaluate successCondition \"result[0] < 1\": metric result is nil or empty: no data returned \
             from the metric provider"
        );
    }
}
