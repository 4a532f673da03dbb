//! Times and durations in conditions: `now()`, `date(..)`, `duration(..)` and what may be asked of them.

use crate::error::{Error, ErrorKind, Result};
use crate::model::calendar::{DateTime, RFC_3339, parse_time};

use super::types::Type;
use super::value::{Value, fault};

const SECOND: i128 = 1_000_000_000;

/// The type a method of a time or duration answers; `None` for methods that are not supported.
pub(super) fn method_type(on: &Type, name: &str) -> Option<Type> {
    Some(match (on, name) {
        (Type::Time, "Unix" | "UnixMilli" | "UnixNano") => Type::Int64,
        (Type::Time, "Year" | "Day" | "Hour" | "Minute" | "Second") => Type::Int,
        (Type::Duration, "Hours" | "Minutes" | "Seconds") => Type::Float,
        (Type::Duration, "Milliseconds" | "Microseconds" | "Nanoseconds") => Type::Int64,
        _ => return None,
    })
}

/// Calls a method of a time or duration.
pub(super) fn call_method(on: &Value, name: &str, arguments: usize) -> Result<Value> {
    if arguments > 0 {
        return fault(format!("too many arguments to call {name}"));
    }
    Ok(match on {
        Value::Time(nanos) => {
            let seconds = i64::try_from(nanos.div_euclid(SECOND)).unwrap_or(i64::MAX);
            let date = DateTime::from_seconds(seconds);
            match name {
                "Unix" => Value::Int64(seconds),
                "UnixMilli" => Value::Int64(i64::try_from(nanos.div_euclid(1_000_000)).unwrap_or(i64::MAX)),
                "UnixNano" => Value::Int64(i64::try_from(*nanos).unwrap_or(i64::MAX)),
                "Hour" => Value::Int(date.hour),
                "Minute" => Value::Int(date.minute),
                "Second" => Value::Int(date.second),
                "Year" => Value::Int(date.year),
                "Day" => Value::Int(date.day),
                _ => return unsupported_method(on, name),
            }
        }
        Value::Duration(nanos) => match name {
            "Hours" => Value::Float(*nanos as f64 / 3.6e12),
            "Minutes" => Value::Float(*nanos as f64 / 6e10),
            "Seconds" => Value::Float(*nanos as f64 / 1e9),
            "Milliseconds" => Value::Int64(nanos / 1_000_000),
            "Microseconds" => Value::Int64(nanos / 1_000),
            "Nanoseconds" => Value::Int64(*nanos),
            _ => return unsupported_method(on, name),
        },
        other => return fault(format!("cannot fetch {name} from {}", other.type_name())),
    })
}

fn unsupported_method(on: &Value, name: &str) -> Result<Value> {
    let text = format!("method {name} of {} is not supported in conditions", on.type_name());
    Err(Error::new(ErrorKind::Unsupported, text))
}

/// Reads a date: by the usual layouts, or by one that is given. Zones other than UTC are not supported by name.
pub(super) fn parse_date(text: &str, layout: Option<&str>, zone: Option<&str>) -> Result<Value> {
    if let Some(zone) = zone.filter(|zone| !matches!(*zone, "" | "UTC")) {
        let text = format!("time zone {zone} is not supported in conditions; use UTC");
        return Err(Error::new(ErrorKind::Unsupported, text));
    }
    if let Some(layout) = layout {
        return match by_layout(text, layout)? {
            Some(nanos) => Ok(Value::Time(nanos)),
            None => fault(format!("parsing time \"{text}\" as \"{layout}\": cannot parse \"{text}\"")),
        };
    }
    for layout in ["2006-01-02", "15:04:05", "2006-01-02 15:04:05", RFC_3339] {
        if let Some(nanos) = by_layout(text, layout)? {
            return Ok(Value::Time(nanos));
        }
    }
    fault(format!("invalid date {text}"))
}

/// A layout that is not supported is an error of the condition.
fn by_layout(text: &str, layout: &str) -> Result<Option<i128>> {
    parse_time(text, layout)
        .map_err(|error| Error::new(ErrorKind::Unsupported, format!("{error} in conditions")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Option<i128> {
        match parse_date(text, None, None) {
            Ok(Value::Time(nanos)) => Some(nanos),
            _ => None,
        }
    }

    #[test]
    fn dates_are_read_by_the_usual_layouts() {
        assert_eq!(date("2020-01-01"), Some(1_577_836_800 * SECOND));
        assert_eq!(date("2023-08-14 00:00:00"), Some(1_691_971_200 * SECOND));
        assert_eq!(date("2023-08-14T02:00:00.5+02:00"), Some(1_691_971_200 * SECOND + SECOND / 2));
        assert_eq!(date("1969-12-31"), Some(-86_400 * SECOND));
        assert_eq!(date("2023-02-29"), None);
        assert_eq!(date("soon"), None);
    }
}
