//! Built-in functions without a predicate.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

use super::evaluate::{Evaluator, Stop};
use super::node::{BuiltinName, ComparisonOperator, Node};
use super::value::{Value, fault, float_to_int, same_key};
use crate::model::pattern::Pattern;

mod check;

pub(super) use check::check;

impl Evaluator<'_> {
    pub(super) fn builtin(&mut self, name: BuiltinName, arguments: &[Node]) -> Result<Value, Stop> {
        let values = self.run_all(arguments)?;
        Ok(self.builtin_of(name, &values)?)
    }

    fn builtin_of(&mut self, name: BuiltinName, values: &[Value]) -> Result<Value> {
        let nil = Value::Nil;
        let first = values.first().unwrap_or(&nil);
        let second = values.get(1);
        Ok(match name {
            BuiltinName::Len => Value::Int(length(first)?),
            BuiltinName::Type => Value::Text(Arc::from(type_word(first))),
            BuiltinName::Abs => match first {
                Value::Float(value) => Value::Float(if *value < 0.0 { -value } else { *value }),
                Value::Int(value) => Value::Int(value.wrapping_abs()),
                Value::Int64(value) => Value::Int64(value.wrapping_abs()),
                other => return fault(format!("invalid argument for abs (type {})", other.type_name())),
            },
            BuiltinName::Ceil | BuiltinName::Floor | BuiltinName::Round => match (first.number(), name) {
                (Some(value), BuiltinName::Ceil) => Value::Float(value.ceil()),
                (Some(value), BuiltinName::Floor) => Value::Float(value.floor()),
                (Some(value), _) => Value::Float(value.round()),
                (None, _) => {
                    return fault(format!(
                        "invalid argument for {} (type {})",
                        name.text(),
                        first.type_name()
                    ));
                }
            },
            BuiltinName::Int => match first {
                Value::Text(text) => match text.parse::<i64>() {
                    Ok(value) => Value::Int(value),
                    Err(_) => return fault(format!("invalid operation: int({text})")),
                },
                Value::Duration(nanos) => Value::Int(*nanos),
                Value::Nil => return fault("reflect: call of reflect.Value.Type on zero Value"),
                other => Value::Int(other.to_int()?),
            },
            BuiltinName::Float => match first {
                Value::Text(text) => match parse_float(text) {
                    Ok(value) => Value::Float(value),
                    Err(_) => return fault(format!("invalid operation: float({text})")),
                },
                other => Value::Float(other.to_float()?),
            },
            BuiltinName::Text => Value::Text(Arc::from(first.print())),
            BuiltinName::Max | BuiltinName::Min => extreme(name, values)?,
            BuiltinName::Mean => {
                let numbers = numbers("mean", values)?;
                if numbers.is_empty() {
                    Value::Float(0.0)
                } else {
                    Value::Float(mean_sum("mean", values)?.1 / numbers.len() as f64)
                }
            }
            BuiltinName::Median => Value::Float(median(numbers("median", values)?)),
            BuiltinName::First => first.fetch(&Value::Int(0)).unwrap_or(Value::Nil),
            BuiltinName::Last => first.fetch(&Value::Int(-1)).unwrap_or(Value::Nil),
            BuiltinName::Get => get(first, second.unwrap_or(&nil))?,
            BuiltinName::Take => take(first, second.unwrap_or(&nil))?,
            BuiltinName::Now => Value::Time(i128::from(self.now.as_millis()).saturating_mul(1_000_000)),
            BuiltinName::Duration => match crate::gate::argo::duration::parse_duration(first.as_text()?) {
                Ok(nanos) => Value::Duration(nanos),
                Err(text) => return fault(text),
            },
            BuiltinName::Date => {
                let text = |value: &Value| value.as_text().cloned();
                let layout = second.map(text).transpose()?;
                let zone = values.get(2).map(text).transpose()?;
                super::time::parse_date(first.as_text()?, layout.as_deref(), zone.as_deref())?
            }
            BuiltinName::Reverse
            | BuiltinName::Uniq
            | BuiltinName::Concat
            | BuiltinName::Flatten
            | BuiltinName::Sort => self.list_builtin(name, values)?,
            _ => text_or_bits(name, values)?,
        })
    }

    fn list_builtin(&mut self, name: BuiltinName, values: &[Value]) -> Result<Value> {
        if let Some(other) = values.iter().take(1).find(|value| value.list_len().is_none()) {
            return fault(format!("cannot {} {}", name.text(), other.kind_name()));
        }
        let first = values.first().unwrap_or(&Value::Nil);
        let items = match name {
            BuiltinName::Reverse => {
                let mut items: Vec<Value> = first.items().collect();
                items.reverse();
                items
            }
            BuiltinName::Uniq => {
                let mut kept: Vec<Value> = Vec::new();
                for item in first.items() {
                    self.spend(kept.len())?;
                    if !kept.iter().any(|other| item.equals(other)) {
                        kept.push(item);
                    }
                }
                kept
            }
            BuiltinName::Concat => {
                let mut items = Vec::new();
                for list in values {
                    if list.list_len().is_none() {
                        return fault(format!("cannot concat {}", list.kind_name()));
                    }
                    self.grow(list.list_len().unwrap_or(0))?;
                    items.extend(list.items());
                }
                return Value::list(items);
            }
            BuiltinName::Flatten => {
                let mut items = Vec::new();
                flatten(first, &mut items, self)?;
                return Value::list(items);
            }
            _ => {
                let descending = match values.get(1) {
                    None => false,
                    Some(order) => match &**order.as_text()? {
                        "asc" => false,
                        "desc" => true,
                        other => return fault(format!("invalid order {other}, expected asc or desc")),
                    },
                };
                let mut pairs: Vec<(Value, Value)> = first.items().map(|item| (item.clone(), item)).collect();
                sort(&mut pairs, descending)?;
                pairs.into_iter().map(|(_, item)| item).collect()
            }
        };
        if name != BuiltinName::Uniq {
            self.grow(items.len())?;
        }
        Value::list(items)
    }
}

fn text_or_bits(name: BuiltinName, values: &[Value]) -> Result<Value> {
    let nil = Value::Nil;
    let first = values.first().unwrap_or(&nil);
    let text = |index: usize| values.get(index).unwrap_or(&Value::Nil).as_text().map(|text| text.to_string());
    let shared = |text: &str| Value::Text(Arc::from(text));
    let position =
        |found: Option<usize>| Value::Int(found.map_or(-1, |at| i64::try_from(at).unwrap_or(i64::MAX)));
    let cut = || match values.len() {
        1 => Ok(" ".to_owned()),
        _ => text(1),
    };
    Ok(match name {
        BuiltinName::Trim if values.len() == 1 => shared(first.as_text()?.trim()),
        BuiltinName::Trim => {
            let set = text(1)?;
            shared(first.as_text()?.trim_matches(|c| set.contains(c)))
        }
        BuiltinName::TrimPrefix => {
            let (whole, part) = (first.as_text()?, cut()?);
            shared(whole.strip_prefix(&*part).unwrap_or(whole))
        }
        BuiltinName::TrimSuffix => {
            let (whole, part) = (first.as_text()?, cut()?);
            shared(whole.strip_suffix(&*part).unwrap_or(whole))
        }
        BuiltinName::Upper => shared(&first.as_text()?.to_uppercase()),
        BuiltinName::Lower => shared(&first.as_text()?.to_lowercase()),
        BuiltinName::HasPrefix => Value::Bool(first.as_text()?.starts_with(&*text(1)?)),
        BuiltinName::HasSuffix => Value::Bool(first.as_text()?.ends_with(&*text(1)?)),
        BuiltinName::IndexOf => position(first.as_text()?.find(&*text(1)?)),
        BuiltinName::LastIndexOf => position(first.as_text()?.rfind(&*text(1)?)),
        BuiltinName::Split => {
            let (whole, separator) = (first.as_text()?.clone(), text(1)?);
            if separator.is_empty() || values.len() > 2 {
                let what = "split with a limit or an empty separator is not supported in conditions";
                return Err(Error::new(ErrorKind::Unsupported, what));
            }
            Value::list(whole.split(&*separator).map(shared).collect())?
        }
        BuiltinName::Join => {
            let glue = if values.len() > 1 { text(1)? } else { String::new() };
            let parts: Vec<Arc<str>> =
                first.items().map(|item| item.as_text().cloned()).collect::<Result<_>>()?;
            let bytes: usize = parts.iter().map(|part| part.len().saturating_add(glue.len())).sum();
            if bytes > 1 << 20 {
                return Err(Error::new(ErrorKind::Limit, "text of more than 1048576 bytes"));
            }
            shared(&parts.join(&*glue))
        }
        _ => bits(name, values)?,
    })
}

fn bits(name: BuiltinName, values: &[Value]) -> Result<Value> {
    let int = |index: usize| match values.get(index) {
        Some(Value::Int(value) | Value::Int64(value)) => Ok(*value),
        other => fault(format!(
            "cannot use {} as argument (type int) to call {}",
            other.unwrap_or(&Value::Nil).type_name(),
            name.text()
        )),
    };
    let x = int(0)?;
    if name == BuiltinName::BitNot {
        return Ok(Value::Int(!x));
    }
    let y = int(1)?;
    let shift = || match u32::try_from(y) {
        Ok(count) => Ok(count),
        Err(_) if y > 0 => Ok(u32::MAX),
        Err(_) => fault(format!("invalid operation: negative shift count {y} (type int)")),
    };
    Ok(Value::Int(match name {
        BuiltinName::BitAnd => x & y,
        BuiltinName::BitOr => x | y,
        BuiltinName::BitXor => x ^ y,
        BuiltinName::BitNand => x & !y,
        BuiltinName::BitShl => x.checked_shl(shift()?).unwrap_or(0),
        BuiltinName::BitShr => x >> shift()?.min(63),
        _ => x.cast_unsigned().checked_shr(shift()?).unwrap_or(0).cast_signed(),
    }))
}

fn length(value: &Value) -> Result<i64> {
    let length = match value {
        Value::Text(text) => text.chars().count(),
        Value::Map(map) => map.entries.len(),
        Value::Groups(groups) => groups.len(),
        other => match other.list_len() {
            Some(length) => length,
            None => return fault(format!("invalid argument for len (type {})", other.type_name())),
        },
    };
    Ok(i64::try_from(length).unwrap_or(i64::MAX))
}

fn type_word(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Int64(_) => "int",
        Value::Float(_) => "float",
        Value::Text(_) => "string",
        Value::Floats(_) | Value::Ints(_) | Value::List(_) => "array",
        Value::Map(_) | Value::Groups(_) => "map",
        Value::Time(_) => "time.Time",
        Value::Duration(_) => "time.Duration",
        Value::Function(_) => "func",
    }
}

/// `max` and `min` over numbers and lists of them. With NaN the order of the numbers decides, as in the original.
fn extreme(name: BuiltinName, values: &[Value]) -> Result<Value> {
    let replaces = if name == BuiltinName::Max { ComparisonOperator::Less } else { ComparisonOperator::More };
    let mut found = Value::Nil;
    for value in values {
        if value.list_len().is_some() {
            for item in value.items() {
                let item = extreme(name, std::slice::from_ref(&item))?;
                if item.number().is_none() {
                    return fault(format!(
                        "invalid argument for {} (type {})",
                        name.text(),
                        item.type_name()
                    ));
                }
                if found.is_nil() || found.compare(replaces, &item)? {
                    found = item;
                }
            }
        } else if value.number().is_some() {
            if found.is_nil() || found.compare(replaces, value)? {
                found = value.clone();
            }
        } else if values.len() == 1 {
            return Ok(value.clone());
        } else {
            return fault(format!("invalid argument for {} (type {})", name.text(), value.type_name()));
        }
    }
    Ok(found)
}

fn numbers(name: &str, values: &[Value]) -> Result<Vec<f64>> {
    let mut numbers = Vec::new();
    for value in values {
        if value.list_len().is_some() {
            let items: Vec<Value> = value.items().collect();
            numbers.extend(self::numbers(name, &items)?);
        } else if let Some(number) = value.number() {
            numbers.push(number);
        } else if let Value::Duration(nanos) = value {
            numbers.push(*nanos as f64);
        } else {
            return fault(format!("invalid argument for {name} (type {})", value.type_name()));
        }
    }
    Ok(numbers)
}

/// Count and sum, with the sums of inner lists taken first.
fn mean_sum(name: &str, values: &[Value]) -> Result<(usize, f64)> {
    let (mut count, mut total) = (0usize, 0.0);
    for value in values {
        let (more, sum) = if value.list_len().is_some() {
            let items: Vec<Value> = value.items().collect();
            mean_sum(name, &items)?
        } else {
            let found = numbers(name, std::slice::from_ref(value))?;
            (found.len(), found.iter().sum())
        };
        count = count.saturating_add(more);
        total += sum;
    }
    Ok((count, total))
}

/// The middle of the numbers; NaN sorts first, as Go sorts it.
fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(|a, b| match (a.is_nan(), b.is_nan()) {
        (false, false) => a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal),
        (a_nan, b_nan) => b_nan.cmp(&a_nan),
    });
    let middle = numbers.len() / 2;
    let at = |index: usize| numbers.get(index).copied().unwrap_or(0.0);
    match numbers.len() {
        0 => 0.0,
        length if length % 2 == 1 => at(middle),
        _ => (at(middle.saturating_sub(1)) + at(middle)) / 2.0,
    }
}

fn get(from: &Value, key: &Value) -> Result<Value> {
    match from {
        Value::Nil => Ok(Value::Nil),
        Value::Text(_) | Value::Floats(_) | Value::Ints(_) | Value::List(_) => {
            key.to_int()?;
            Ok(from.fetch(key).unwrap_or(Value::Nil))
        }
        Value::Map(_) | Value::Groups(_) => from.fetch(key),
        _ => Ok(Value::Nil),
    }
}

fn take(list: &Value, wanted: &Value) -> Result<Value> {
    if list.list_len().is_none() {
        return fault(format!("cannot take from {}", list.kind_name()));
    }
    let wanted = match wanted {
        Value::Int(count) | Value::Int64(count) | Value::Duration(count) => *count,
        other => return fault(format!("cannot take {} elements", other.kind_name())),
    };
    if wanted < 0 {
        return fault("reflect.Value.Slice: slice index out of bounds");
    }
    list.slice(&Value::Int(0), &Value::Int(wanted))
}

fn flatten(list: &Value, into: &mut Vec<Value>, evaluator: &mut Evaluator<'_>) -> Result<()> {
    for item in list.items() {
        if item.list_len().is_some() {
            flatten(&item, into, evaluator)?;
        } else {
            evaluator.grow(1)?;
            into.push(item);
        }
    }
    Ok(())
}

/// Items by group: keys in the order they first appear.
pub(super) fn groups(keys: Vec<Value>, items: Vec<Value>) -> Result<Value> {
    let mut grouped: Vec<(Value, Vec<Value>)> = Vec::new();
    for (key, item) in keys.into_iter().zip(items) {
        if matches!(
            key,
            Value::Floats(_) | Value::Ints(_) | Value::List(_) | Value::Map(_) | Value::Groups(_)
        ) {
            return fault(format!("hash of unhashable type: {}", key.type_name()));
        }
        match grouped.iter_mut().find(|(group, _)| same_key(group, &key)) {
            Some((_, list)) => list.push(item),
            None => grouped.push((key, vec![item])),
        }
        if grouped.len() > 1_000 {
            return Err(Error::new(ErrorKind::Limit, "groupBy makes more than 1000 groups"));
        }
    }
    let listed: Vec<(Value, Value)> =
        grouped.into_iter().map(|(key, list)| Ok((key, Value::list(list)?))).collect::<Result<_>>()?;
    Ok(Value::Groups(Arc::from(listed)))
}

/// Sorts pairs by their first value.
///
/// Up to twelve are sorted by insertion, as Go's `sort.Sort` does, so that NaN, which is less than nothing, ends
/// where it ends there; more than twelve with a NaN among them are refused.
pub(super) fn sort(pairs: &mut [(Value, Value)], descending: bool) -> Result<()> {
    let less = |a: &Value, b: &Value| {
        if descending {
            b.compare(ComparisonOperator::Less, a)
        } else {
            a.compare(ComparisonOperator::Less, b)
        }
    };
    if pairs.len() <= 12 {
        for end in 1..pairs.len() {
            for at in (1..=end).rev() {
                let before = at.saturating_sub(1);
                let (Some((a, _)), Some((b, _))) = (pairs.get(at), pairs.get(before)) else { break };
                if !less(a, b)? {
                    break;
                }
                pairs.swap(at, before);
            }
        }
        return Ok(());
    }
    if pairs.iter().any(|(key, _)| key.number().is_some_and(f64::is_nan)) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "sorting more than 12 numbers with NaN among them is not supported",
        ));
    }
    let mut failed = None;
    pairs.sort_by(|(a, _), (b, _)| match (less(a, b), less(b, a)) {
        (Ok(true), _) => std::cmp::Ordering::Less,
        (_, Ok(true)) => std::cmp::Ordering::Greater,
        (Ok(_), Ok(_)) => std::cmp::Ordering::Equal,
        (Err(error), _) | (_, Err(error)) => {
            failed.get_or_insert(error);
            std::cmp::Ordering::Equal
        }
    });
    failed.map_or(Ok(()), Err)
}

/// Whether a pattern is found in a text.
pub(super) fn search(pattern: &str, text: &str) -> Result<bool> {
    match Pattern::anywhere(pattern.as_bytes()) {
        Ok(pattern) => Ok(pattern.matches(text)),
        Err(error) => fault(error.to_string()),
    }
}

/// Reads a float as Go's `strconv.ParseFloat` does.
fn parse_float(text: &str) -> Result<f64, &'static str> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let signed = unsigned.len() != text.len();
    let special = unsigned.eq_ignore_ascii_case("nan") && !signed
        || unsigned.eq_ignore_ascii_case("inf")
        || unsigned.eq_ignore_ascii_case("infinity");
    let first = unsigned.chars().next();
    if !special && !first.is_some_and(|c| c.is_ascii_digit() || c == '.') {
        return Err("invalid syntax");
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_infinite() && !special => Err("value out of range"),
        Ok(value) => Ok(value),
        Err(_) => Err("invalid syntax"),
    }
}

pub(super) fn as_int(value: &Value) -> Result<Value> {
    Ok(Value::Int64(match value {
        Value::Int(value) | Value::Int64(value) => *value,
        Value::Float(value) => float_to_int(*value),
        Value::Text(text) => match text.parse::<i64>() {
            Ok(value) => value,
            Err(error) => {
                let why = match error.kind() {
                    std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
                        "value out of range"
                    }
                    _ => "invalid syntax",
                };
                let text = crate::model::number::quote(text.as_bytes());
                return fault(format!("strconv.ParseInt: parsing {text}: {why}"));
            }
        },
        other => return fault(format!("asInt() not supported on {} {}", other.type_name(), other.print())),
    }))
}

pub(super) fn as_float(value: &Value) -> Result<Value> {
    Ok(Value::Float(match value {
        Value::Text(text) => match parse_float(text) {
            Ok(value) => value,
            Err(why) => {
                let text = crate::model::number::quote(text.as_bytes());
                return fault(format!("strconv.ParseFloat: parsing {text}: {why}"));
            }
        },
        other => match other.number() {
            Some(number) => number,
            None => {
                return fault(format!("asFloat() not supported on {} {}", other.type_name(), other.print()));
            }
        },
    }))
}
