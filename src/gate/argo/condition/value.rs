//! Values while a condition runs, and the operators on them, with Go's rules for each kind of number.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

use super::node::ComparisonOperator;
use super::types::Function;

/// Lists in lists, and maps in them, deeper than this are refused: a value must not be able to exhaust the stack.
const MOST_LEVELS: u16 = 150;
/// The longest text an operator may build, in bytes.
const MOST_TEXT: usize = 1 << 20;

/// A value. Kinds of numbers and lists that Go tells apart stay apart.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Nil,
    Bool(bool),
    Int(i64),
    Int64(i64),
    Float(f64),
    Text(Arc<str>),
    Floats(Arc<[f64]>),
    Ints(Arc<[i64]>),
    List(Arc<List>),
    Map(Arc<Map>),
    Groups(Arc<[(Value, Value)]>),
    /// Nanoseconds since the Unix epoch.
    Time(i128),
    /// Nanoseconds.
    Duration(i64),
    Function(Function),
}

#[derive(Debug)]
pub(super) struct List {
    pub(super) items: Vec<Value>,
    levels: u16,
}

#[derive(Debug)]
pub(super) struct Map {
    pub(super) entries: BTreeMap<Arc<str>, Value>,
    levels: u16,
}

/// An error while a condition runs.
pub(super) fn fault<T>(sentence: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorKind::Query, sentence))
}

fn limit(sentence: impl Into<String>) -> Error {
    Error::new(ErrorKind::Limit, sentence)
}

fn one_more_level<'a>(values: impl IntoIterator<Item = &'a Value>) -> Result<u16> {
    let levels = values.into_iter().map(Value::levels).max().unwrap_or(0).saturating_add(1);
    if levels > MOST_LEVELS {
        return Err(limit(format!("value is nested deeper than {MOST_LEVELS} levels")));
    }
    Ok(levels)
}

impl Value {
    pub(super) fn list(items: Vec<Self>) -> Result<Self> {
        let levels = one_more_level(&items)?;
        Ok(Self::List(Arc::new(List { items, levels })))
    }

    pub(super) fn map(entries: BTreeMap<Arc<str>, Self>) -> Result<Self> {
        let levels = one_more_level(entries.values())?;
        Ok(Self::Map(Arc::new(Map { entries, levels })))
    }

    fn levels(&self) -> u16 {
        match self {
            Self::List(list) => list.levels,
            Self::Map(map) => map.levels,
            Self::Groups(groups) => {
                groups.iter().map(|(_, list)| list.levels()).max().unwrap_or(0).saturating_add(1)
            }
            _ => 0,
        }
    }

    /// The type as Go prints it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Int64(_) => "int64",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::Floats(_) => "[]float64",
            Self::Ints(_) => "[]int",
            Self::List(_) => "[]interface {}",
            Self::Map(_) => "map[string]interface {}",
            Self::Groups(_) => "map[interface {}][]interface {}",
            Self::Time(_) => "time.Time",
            Self::Duration(_) => "time.Duration",
            Self::Function(function) => function.type_name(),
        }
    }

    /// Go's kind of the value.
    pub(super) fn kind_name(&self) -> &'static str {
        match self {
            Self::Nil => "invalid",
            Self::Floats(_) | Self::Ints(_) | Self::List(_) => "slice",
            Self::Map(_) | Self::Groups(_) => "map",
            Self::Time(_) => "struct",
            Self::Duration(_) => "int64",
            Self::Function(_) => "func",
            other => other.type_name(),
        }
    }

    /// How a failed type assertion names the value.
    fn held_name(&self) -> &'static str {
        if matches!(self, Self::Nil) { "nil" } else { self.type_name() }
    }

    fn not_a<T>(&self, wanted: &str) -> Result<T> {
        fault(format!("interface conversion: interface {{}} is {}, not {wanted}", self.held_name()))
    }

    pub(super) fn as_bool(&self) -> Result<bool> {
        match self {
            Self::Bool(value) => Ok(*value),
            other => other.not_a("bool"),
        }
    }

    pub(super) fn as_text(&self) -> Result<&Arc<str>> {
        match self {
            Self::Text(text) => Ok(text),
            other => other.not_a("string"),
        }
    }

    pub(super) fn as_float(&self) -> Result<f64> {
        match self {
            Self::Float(value) => Ok(*value),
            other => other.not_a("float64"),
        }
    }

    pub(super) fn as_int(&self) -> Result<i64> {
        match self {
            Self::Int(value) => Ok(*value),
            other => other.not_a("int"),
        }
    }

    /// Go's conversion of any number to `int`.
    pub(super) fn to_int(&self) -> Result<i64> {
        match self {
            Self::Int(value) | Self::Int64(value) => Ok(*value),
            Self::Float(value) => Ok(float_to_int(*value)),
            other => fault(format!("invalid operation: int({})", other.type_name())),
        }
    }

    pub(super) fn to_float(&self) -> Result<f64> {
        match self.number() {
            Some(number) => Ok(number),
            None => fault(format!("invalid operation: float({})", self.type_name())),
        }
    }

    /// The number as a float, if it is one.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Int(value) | Self::Int64(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    fn integer(&self) -> Option<i64> {
        match self {
            Self::Int(value) | Self::Int64(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }

    /// The number of elements of a list.
    pub(super) fn list_len(&self) -> Option<usize> {
        match self {
            Self::Floats(items) => Some(items.len()),
            Self::Ints(items) => Some(items.len()),
            Self::List(list) => Some(list.items.len()),
            _ => None,
        }
    }

    /// Element `index` of a list.
    pub(super) fn item(&self, index: usize) -> Option<Self> {
        match self {
            Self::Floats(items) => items.get(index).map(|item| Self::Float(*item)),
            Self::Ints(items) => items.get(index).map(|item| Self::Int(*item)),
            Self::List(list) => list.items.get(index).cloned(),
            _ => None,
        }
    }

    /// The elements of a list; nothing for other values.
    pub(super) fn items(&self) -> impl Iterator<Item = Self> + '_ {
        (0..self.list_len().unwrap_or(0)).filter_map(|index| self.item(index))
    }

    /// `base[key]` and `base.key`.
    pub(super) fn fetch(&self, key: &Self) -> Result<Self> {
        if let Some(length) = self.list_len() {
            let index = key.to_int()?;
            return match at(index, length) {
                Ok(index) => Ok(self.item(index).unwrap_or(Self::Nil)),
                Err(index) => fault(format!("index out of range: {index} (array length is {length})")),
            };
        }
        match self {
            Self::Text(text) => {
                let index = key.to_int()?;
                let length = text.len();
                match at(index, length) {
                    Ok(index) => {
                        Ok(text.as_bytes().get(index).map_or(Self::Nil, |byte| Self::Int(i64::from(*byte))))
                    }
                    Err(index) => fault(format!("index out of range: {index} (array length is {length})")),
                }
            }
            Self::Map(map) => match key {
                Self::Nil => Ok(map.entries.get("").cloned().unwrap_or(Self::Nil)),
                Self::Text(name) => Ok(map.entries.get(name).cloned().unwrap_or(Self::Nil)),
                other => fault(not_assignable(other, "string")),
            },
            Self::Groups(groups) => Ok(groups
                .iter()
                .find(|(group, _)| same_key(group, key))
                .map_or(Self::Nil, |(_, list)| list.clone())),
            other => fault(format!("cannot fetch {} from {}", key.print(), other.type_name())),
        }
    }

    /// Elements of a list or map, bytes of a text.
    pub(super) fn length(&self) -> Result<Self> {
        let length = match self {
            Self::Text(text) => text.len(),
            Self::Map(map) => map.entries.len(),
            Self::Groups(groups) => groups.len(),
            other => match other.list_len() {
                Some(length) => length,
                None => return fault(format!("invalid argument for len (type {})", other.type_name())),
            },
        };
        Ok(Self::Int(i64::try_from(length).unwrap_or(i64::MAX)))
    }

    /// `base[from:to]`, clamped; negative bounds count from the end.
    pub(super) fn slice(&self, from: &Self, to: &Self) -> Result<Self> {
        let length = match self {
            Self::Text(text) => text.len(),
            other => match other.list_len() {
                Some(length) => length,
                None => return fault(format!("cannot slice {}", from.print())),
            },
        };
        let whole = i64::try_from(length).unwrap_or(i64::MAX);
        let place = |index: i64| if index < 0 { whole.saturating_add(index).max(0) } else { index };
        let start = from.to_int()?;
        let end = place(to.to_int()?).min(whole);
        let start = place(start).min(end);
        let range = usize::try_from(start).unwrap_or(0)..usize::try_from(end).unwrap_or(0);
        Ok(match self {
            Self::Text(text) => {
                let bytes = text.as_bytes().get(range).unwrap_or_default();
                Self::Text(Arc::from(&*String::from_utf8_lossy(bytes)))
            }
            Self::Floats(items) => Self::Floats(Arc::from(items.get(range).unwrap_or_default())),
            Self::Ints(items) => Self::Ints(Arc::from(items.get(range).unwrap_or_default())),
            Self::List(list) => Self::list(list.items.get(range).unwrap_or_default().to_vec())?,
            _ => Self::Nil,
        })
    }

    /// Whether this is in `container`: an element of a list, a key of a map. Nil contains nothing.
    pub(super) fn is_in(&self, container: &Self) -> Result<bool> {
        match container {
            Self::Nil => Ok(false),
            Self::Map(map) => match self {
                Self::Nil => Ok(map.entries.contains_key("")),
                Self::Text(name) => Ok(map.entries.contains_key(name)),
                other => fault(not_assignable(other, "string")),
            },
            Self::Groups(groups) => Ok(groups.iter().any(|(group, _)| same_key(group, self))),
            list if list.list_len().is_some() => Ok(list.items().any(|item| item.equals(self))),
            other => fault(format!("operator \"in\" not defined on {}", other.type_name())),
        }
    }

    /// `==`: numbers across kinds, lists element by element, everything else of one type.
    pub(super) fn equals(&self, other: &Self) -> bool {
        if let (Some(a), Some(b)) = (self.integer(), other.integer()) {
            return a == b;
        }
        if let (Some(a), Some(b)) = (self.number(), other.number()) {
            return a == b;
        }
        match (self, other) {
            (Self::Nil, Self::Nil) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Time(a), Self::Time(b)) => a == b,
            (Self::Duration(a), Self::Duration(b)) => a == b,
            (Self::Floats(_), Self::Ints(_)) | (Self::Ints(_), Self::Floats(_)) => false,
            (Self::Map(a), Self::Map(b)) => Arc::ptr_eq(a, b) || same_maps(a, b),
            (Self::Groups(a), Self::Groups(b)) => Arc::ptr_eq(a, b),
            (a, b) => match (a.list_len(), b.list_len()) {
                (Some(m), Some(n)) => m == n && a.items().zip(b.items()).all(|(x, y)| x.equals(&y)),
                _ => false,
            },
        }
    }

    /// `<`, `>`, `<=`, `>=`: numbers, texts, times, durations. NaN compares false with everything.
    pub(super) fn compare(&self, operator: ComparisonOperator, other: &Self) -> Result<bool> {
        if let (Some(a), Some(b)) = (self.integer(), other.integer()) {
            return Ok(ordered(operator, &a, &b));
        }
        if let (Some(a), Some(b)) = (self.number(), other.number()) {
            return Ok(ordered(operator, &a, &b));
        }
        Ok(match (self, other) {
            (Self::Text(a), Self::Text(b)) => ordered(operator, a, b),
            (Self::Time(a), Self::Time(b)) => ordered(operator, a, b),
            (Self::Duration(a), Self::Duration(b)) => ordered(operator, a, b),
            _ => return self.invalid(operator.text(), other),
        })
    }

    fn invalid<T>(&self, operator: &str, other: &Self) -> Result<T> {
        fault(format!("invalid operation: {} {operator} {}", self.type_name(), other.type_name()))
    }

    pub(super) fn add(&self, other: &Self) -> Result<Self> {
        if let (Some(a), Some(b)) = (self.integer(), other.integer()) {
            return Ok(Self::Int(a.wrapping_add(b)));
        }
        if let (Some(a), Some(b)) = (self.number(), other.number()) {
            return Ok(Self::Float(a + b));
        }
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => {
                if a.len().saturating_add(b.len()) > MOST_TEXT {
                    return Err(limit(format!("text of more than {MOST_TEXT} bytes")));
                }
                Ok(Self::Text(Arc::from(format!("{a}{b}"))))
            }
            (Self::Time(time), Self::Duration(duration)) | (Self::Duration(duration), Self::Time(time)) => {
                Ok(Self::Time(time.saturating_add(i128::from(*duration))))
            }
            (Self::Duration(a), Self::Duration(b)) => Ok(Self::Duration(a.wrapping_add(*b))),
            _ => self.invalid("+", other),
        }
    }

    pub(super) fn subtract(&self, other: &Self) -> Result<Self> {
        if let (Some(a), Some(b)) = (self.integer(), other.integer()) {
            return Ok(Self::Int(a.wrapping_sub(b)));
        }
        if let (Some(a), Some(b)) = (self.number(), other.number()) {
            return Ok(Self::Float(a - b));
        }
        match (self, other) {
            (Self::Time(a), Self::Time(b)) => {
                let nanos = a.saturating_sub(*b).clamp(i128::from(i64::MIN), i128::from(i64::MAX));
                Ok(Self::Duration(i64::try_from(nanos).unwrap_or(i64::MAX)))
            }
            (Self::Time(time), Self::Duration(duration)) => {
                Ok(Self::Time(time.saturating_sub(i128::from(*duration))))
            }
            (Self::Duration(a), Self::Duration(b)) => Ok(Self::Duration(a.wrapping_sub(*b))),
            _ => self.invalid("-", other),
        }
    }

    pub(super) fn multiply(&self, other: &Self) -> Result<Self> {
        if let (Some(a), Some(b)) = (self.integer(), other.integer()) {
            return Ok(Self::Int(a.wrapping_mul(b)));
        }
        if let (Some(a), Some(b)) = (self.number(), other.number()) {
            return Ok(Self::Float(a * b));
        }
        match (self, other) {
            (Self::Duration(a), Self::Duration(b)) => Ok(Self::Duration(a.wrapping_mul(*b))),
            (Self::Duration(duration), number) | (number, Self::Duration(duration)) => {
                if let Some(factor) = number.integer() {
                    return Ok(Self::Duration(duration.wrapping_mul(factor)));
                }
                match number.number() {
                    Some(factor) => Ok(Self::Duration(float_to_int(factor * *duration as f64))),
                    None => self.invalid("*", other),
                }
            }
            _ => self.invalid("*", other),
        }
    }

    pub(super) fn divide(&self, other: &Self) -> Result<Self> {
        match (self.number(), other.number()) {
            (Some(a), Some(b)) => Ok(Self::Float(a / b)),
            _ => self.invalid("/", other),
        }
    }

    pub(super) fn modulo(&self, other: &Self) -> Result<Self> {
        match (self.integer(), other.integer()) {
            (Some(_), Some(0)) => fault("runtime error: integer divide by zero"),
            (Some(a), Some(b)) => Ok(Self::Int(a.wrapping_rem(b))),
            _ => self.invalid("%", other),
        }
    }

    pub(super) fn negate(&self) -> Result<Self> {
        Ok(match self {
            Self::Int(value) => Self::Int(value.wrapping_neg()),
            Self::Int64(value) => Self::Int64(value.wrapping_neg()),
            Self::Float(value) => Self::Float(-value),
            other => return fault(format!("invalid operation: - {}", other.type_name())),
        })
    }

    /// The value as Go's `%v` prints it.
    pub(super) fn print(&self) -> String {
        let mut out = String::new();
        self.print_into(&mut out);
        out
    }

    fn print_into(&self, out: &mut String) {
        if out.len() > MOST_TEXT {
            return;
        }
        match self {
            Self::Nil => out.push_str("<nil>"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Int(value) | Self::Int64(value) => out.push_str(&value.to_string()),
            Self::Float(value) => out.push_str(&print_float(*value)),
            Self::Text(text) => out.push_str(text),
            Self::Time(nanos) => out.push_str(&crate::model::calendar::format_time(*nanos)),
            Self::Duration(nanos) => out.push_str(&crate::model::calendar::format_go_duration(*nanos)),
            Self::Function(function) => out.push_str(function.type_name()),
            Self::Map(map) => {
                out.push_str("map[");
                for (index, (name, value)) in map.entries.iter().enumerate() {
                    out.push_str(if index > 0 { " " } else { "" });
                    out.push_str(name);
                    out.push(':');
                    value.print_into(out);
                }
                out.push(']');
            }
            Self::Groups(groups) => {
                out.push_str("map[");
                for (index, (key, value)) in groups.iter().enumerate() {
                    out.push_str(if index > 0 { " " } else { "" });
                    key.print_into(out);
                    out.push(':');
                    value.print_into(out);
                }
                out.push(']');
            }
            list => {
                out.push('[');
                for (index, item) in list.items().enumerate() {
                    out.push_str(if index > 0 { " " } else { "" });
                    item.print_into(out);
                }
                out.push(']');
            }
        }
    }
}

/// Where `index` points in a list of `length`: from the end when negative. The error is the place outside.
fn at(index: i64, length: usize) -> Result<usize, i64> {
    let whole = i64::try_from(length).unwrap_or(i64::MAX);
    let index = if index < 0 { whole.wrapping_add(index) } else { index };
    if (0..whole).contains(&index) { usize::try_from(index).map_err(|_| index) } else { Err(index) }
}

pub(super) fn not_assignable(value: &Value, wanted: &str) -> String {
    format!("reflect.Value.MapIndex: value of type {} is not assignable to type {wanted}", value.type_name())
}

fn ordered<T: PartialOrd>(operator: ComparisonOperator, a: &T, b: &T) -> bool {
    match operator {
        ComparisonOperator::Less => a < b,
        ComparisonOperator::More => a > b,
        ComparisonOperator::LessOrEqual => a <= b,
        ComparisonOperator::MoreOrEqual => a >= b,
    }
}

/// Whether two keys of a group are one: the same kind and value.
pub(super) fn same_key(a: &Value, b: &Value) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b) && a.equals(b)
}

/// Deep equality of maps: kinds count, so an int is not a float.
fn same_maps(a: &Map, b: &Map) -> bool {
    a.entries.len() == b.entries.len()
        && a.entries.iter().zip(&b.entries).all(|((name, x), (other, y))| {
            name == other && std::mem::discriminant(x) == std::mem::discriminant(y) && x.equals(y)
        })
}

/// Go's conversion of a float to an integer on amd64: toward zero; out of range or NaN is the smallest.
pub(super) fn float_to_int(value: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&value) { value as i64 } else { i64::MIN }
}

/// Go's `math.Pow`.
pub(super) fn power(base: f64, exponent: f64) -> f64 {
    libm::pow(base, exponent)
}

/// A float as Go's `%v` prints it: shortest, with an exponent below 1e-4 and from 1e21.
pub(super) fn print_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let size = value.abs();
    if value == 0.0 || (1e-4..1e21).contains(&size) {
        return format!("{value}");
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, number) = match exponent.strip_prefix('-') {
                Some(number) => ('-', number),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{number:0>2}")
        }
        None => text,
    }
}
