//! The condition language: a small expression language in which a measurement is judged.
//!
//! It is the language of [expr](https://expr-lang.org) 1.17 as Argo Rollouts embeds it. A condition is compiled against
//! the type of the value it will see, then run. What is not implemented is an error that names it, never a wrong
//! answer; text length, nesting, elements made and steps taken are limited.

mod builtin;
mod check;
mod evaluate;
mod fold;
mod lex;
mod literal;
mod node;
mod operator;
mod parse;
mod time;
mod types;
mod value;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::Timestamp;

use self::check::Names;
use self::node::Node;
use self::types::Type;
use self::value::Value;
use super::measurement::QueryValue;
use super::status::Profile;

/// Limits of one condition. All are well above what a condition that people wrote has needed.
#[derive(Clone, Copy, Debug)]
struct Limits {
    text_bytes: usize,
    nodes: usize,
    depth: u16,
    /// Elements of lists that a condition may make; the original's memory budget.
    elements: usize,
    steps: u64,
}

const LIMITS: Limits =
    Limits { text_bytes: 64 * 1024, nodes: 10_000, depth: 100, elements: 1_000_000, steps: 5_000_000 };

/// A condition, compiled for one type of value.
///
/// ```
/// use promgate::Timestamp;
/// use promgate::argo::{Condition, Profile, QueryValue};
///
/// let value = QueryValue::Vector(vec![0.02]);
/// let condition = Condition::compile("result[0] < 0.05", &value, Profile::V1_10)?;
/// assert!(condition.holds(&value, Timestamp::from_secs(0))?);
///
/// let empty = QueryValue::Vector(vec![]);
/// let error = condition.holds(&empty, Timestamp::from_secs(0)).unwrap_err();
/// assert_eq!(error.to_string(), "index out of range: 0 (array length is 0)");
/// # Ok::<(), promgate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Condition {
    tree: Arc<Node>,
    names: Arc<Names>,
}

impl Condition {
    /// Parses a condition and checks it against the type of `value`: a number, a list of numbers, or decoded JSON.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Parse`] with the original's sentence for what does not parse or does not fit the type of the value,
    /// [`ErrorKind::Unsupported`] for a part of the language that is not implemented, [`ErrorKind::Limit`] for a
    /// condition that is too long or too deep.
    pub fn compile(text: &str, value: &QueryValue, profile: Profile) -> Result<Self> {
        Self::compile_for(text, Some(static_type(&run_value(value)?)), profile)
    }

    fn compile_for(text: &str, result: Option<Type>, profile: Profile) -> Result<Self> {
        let names = Names { result };
        let mut tree = parse::parse(text, profile, &LIMITS)?;
        check::check(&mut tree, &names)?;
        fold::fold(&mut tree)?;
        Ok(Self { tree: Arc::new(tree), names: Arc::new(names) })
    }

    /// Whether the condition holds for this value; `now` is what `now()` answers.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Query`] with the original's sentence where evaluation fails or does not answer true or false, and
    /// where the value is not of the type the condition was compiled for; [`ErrorKind::Limit`] where it takes too
    /// much; [`ErrorKind::Unsupported`] as in [`compile`](Self::compile).
    pub fn holds(&self, value: &QueryValue, now: Timestamp) -> Result<bool> {
        let value = run_value(value)?;
        if self.names.result.as_ref() != Some(&static_type(&value)) {
            return value::fault(format!(
                "condition was compiled for another type of value than {}",
                value.type_name()
            ));
        }
        match evaluate::evaluate(&self.tree, &value, &self.names, now, &LIMITS)? {
            Value::Bool(holds) => Ok(holds),
            other => value::fault(format!("expected bool, but got {}", other.type_name())),
        }
    }
}

/// Evaluates the start or end of a range query: an expression that answers a time.
///
/// # Errors
///
/// As [`Condition::compile`] and [`Condition::holds`].
pub(super) fn evaluate_time(text: &str, now: Timestamp, profile: Profile) -> Result<Timestamp> {
    let condition = Condition::compile_for(text, None, profile)?;
    match evaluate::evaluate(&condition.tree, &Value::Nil, &condition.names, now, &LIMITS)? {
        Value::Time(nanos) => {
            let millis = nanos.div_euclid(1_000_000).clamp(i128::from(i64::MIN), i128::from(i64::MAX));
            Ok(Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX)))
        }
        other => {
            Err(Error::new(ErrorKind::Query, format!("expected time.Time, but got {}", other.type_name())))
        }
    }
}

/// The value a condition sees as `result`.
fn run_value(value: &QueryValue) -> Result<Value> {
    Ok(match value {
        QueryValue::Scalar(number) => Value::Float(*number),
        QueryValue::Vector(numbers) => Value::Floats(Arc::from(numbers.as_slice())),
        QueryValue::Matrix(series) => Value::Floats(series.iter().flatten().copied().collect()),
        QueryValue::Text(_) => return value::fault("Prometheus metric type not supported"),
        #[cfg(feature = "serde")]
        QueryValue::Json(json) => json_value(json, 0)?,
    })
}

#[cfg(feature = "serde")]
fn json_value(json: &serde_json::Value, level: u16) -> Result<Value> {
    if level > 150 {
        return Err(Error::new(ErrorKind::Limit, "value is nested deeper than 150 levels"));
    }
    let inner = level.saturating_add(1);
    Ok(match json {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(text) => Value::Text(Arc::from(text.as_str())),
        serde_json::Value::Array(items) => {
            Value::list(items.iter().map(|item| json_value(item, inner)).collect::<Result<_>>()?)?
        }
        serde_json::Value::Object(entries) => Value::map(
            entries
                .iter()
                .map(|(name, value)| Ok((Arc::from(name.as_str()), json_value(value, inner)?)))
                .collect::<Result<_>>()?,
        )?,
    })
}

/// What the check knows of a value: elements of decoded JSON are of unknown type.
fn static_type(value: &Value) -> Type {
    match value {
        Value::Nil => Type::Nil,
        Value::Bool(_) => Type::Bool,
        Value::Int(_) => Type::Int,
        Value::Int64(_) => Type::Int64,
        Value::Float(_) => Type::Float,
        Value::Text(_) => Type::Text,
        Value::Floats(_) => Type::Floats,
        Value::Ints(_) => Type::list(Type::Int),
        Value::List(_) => Type::list(Type::Any),
        Value::Map(_) => Type::Map,
        Value::Groups(_) => Type::Groups(Arc::new(Type::Any)),
        Value::Time(_) => Type::Time,
        Value::Duration(_) => Type::Duration,
        Value::Function(function) => Type::Function(*function),
    }
}
