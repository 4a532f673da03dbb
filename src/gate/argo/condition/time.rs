//! Times and durations in conditions: `now()`, `date(..)`, `duration(..)` and what may be asked of them.

use crate::error::{Error, ErrorKind, Result};

use super::types::Type;
use super::value::{Value, fault};

const SECOND: i128 = 1_000_000_000;
const DAY: i64 = 86_400;

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
            let day = seconds.rem_euclid(DAY);
            match name {
                "Unix" => Value::Int64(seconds),
                "UnixMilli" => Value::Int64(i64::try_from(nanos.div_euclid(1_000_000)).unwrap_or(i64::MAX)),
                "UnixNano" => Value::Int64(i64::try_from(*nanos).unwrap_or(i64::MAX)),
                "Hour" => Value::Int(day / 3600),
                "Minute" => Value::Int(day / 60 % 60),
                "Second" => Value::Int(day % 60),
                "Year" => Value::Int(civil(seconds.div_euclid(DAY)).0),
                "Day" => Value::Int(civil(seconds.div_euclid(DAY)).2),
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

/// Days since the epoch of a civil date (Howard Hinnant's `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year.saturating_sub(1) } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let of_days = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    era.saturating_mul(146_097).saturating_add(of_days).saturating_sub(719_468)
}

/// Year, month and day of a day since the epoch (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era.saturating_mul(400).saturating_add(year_of_era).saturating_add(i64::from(month <= 2));
    (year, month, day)
}

/// A time as Go prints it, in UTC.
pub(super) fn print_time(nanos: i128) -> String {
    let seconds = i64::try_from(nanos.div_euclid(SECOND)).unwrap_or(0);
    let (year, month, day) = civil(seconds.div_euclid(DAY));
    let of_day = seconds.rem_euclid(DAY);
    let fraction = nanos.rem_euclid(SECOND);
    let fraction = if fraction == 0 {
        String::new()
    } else {
        format!(".{fraction:09}").trim_end_matches('0').to_owned()
    };
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}{fraction} +0000 UTC",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

/// A duration as Go prints it, `1h30m0s`.
pub(super) fn print_duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let size = nanos.unsigned_abs();
    let decimal = |value: u64, unit: u64| {
        let fraction = value % unit;
        let width = unit.ilog10() as usize;
        let text = format!("{}.{fraction:0width$}", value / unit);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match size {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{size}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", decimal(size, 1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", decimal(size, 1_000_000)),
        _ => {
            let minutes = size / 60_000_000_000;
            let seconds = decimal(size % 60_000_000_000, 1_000_000_000);
            let (hours, minutes) = (minutes / 60, minutes % 60);
            match (hours, minutes) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, _) => format!("{sign}{minutes}m{seconds}s"),
                _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
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
    for layout in ["2006-01-02", "15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04:05Z07:00"] {
        if let Some(nanos) = by_layout(text, layout)? {
            return Ok(Value::Time(nanos));
        }
    }
    fault(format!("invalid date {text}"))
}

/// Reads `text` by a layout of Go made of the numbers of a date, of a time, and an offset.
fn by_layout(text: &str, layout: &str) -> Result<Option<i128>> {
    let (mut year, mut month, mut day) = (0, 1, 1);
    let (mut hour, mut minute, mut second, mut offset) = (0, 0, 0, 0);
    let (mut fraction, mut rest, mut layout_rest) = (0i128, text, layout);
    while let Some(next) = layout_rest.chars().next() {
        let element = ["2006", "Z07:00", "01", "02", "15", "04", "05"]
            .into_iter()
            .find(|element| layout_rest.starts_with(element));
        let Some(element) = element else {
            if next.is_alphabetic() && next != 'T' || next.is_ascii_digit() || next == '_' {
                let text = format!("date layout \"{layout}\" is not supported in conditions");
                return Err(Error::new(ErrorKind::Unsupported, text));
            }
            let Some(tail) = rest.strip_prefix(next) else { return Ok(None) };
            rest = tail;
            layout_rest = layout_rest.get(next.len_utf8()..).unwrap_or_default();
            continue;
        };
        layout_rest = layout_rest.get(element.len()..).unwrap_or_default();
        if element == "Z07:00" {
            let Some((seconds, tail)) = read_offset(rest) else { return Ok(None) };
            (offset, rest) = (seconds, tail);
            continue;
        }
        let Some((digits, tail)) = rest.split_at_checked(element.len()) else { return Ok(None) };
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(None);
        }
        rest = tail;
        let number: i64 = digits.parse().unwrap_or(0);
        match element {
            "2006" => year = number,
            "01" => month = number,
            "02" => day = number,
            "15" => hour = number,
            "04" => minute = number,
            _ => {
                second = number;
                if let Some(tail) = rest.strip_prefix('.').filter(|_| !layout_rest.starts_with('.')) {
                    let end = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
                    let digits: String = tail.chars().take(end.min(9)).collect();
                    if digits.is_empty() {
                        return Ok(None);
                    }
                    fraction = format!("{digits:0<9}").parse().unwrap_or(0);
                    rest = tail.get(end..).unwrap_or_default();
                }
            }
        }
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let valid =
        (1..=12).contains(&month) && (1..=last).contains(&day) && hour < 24 && minute < 60 && second < 60;
    if !rest.is_empty() || !valid {
        return Ok(None);
    }
    let seconds = days(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset;
    Ok(Some(i128::from(seconds) * SECOND + fraction))
}

/// Reads `Z` or `+01:30`: seconds east of UTC, and what follows.
fn read_offset(text: &str) -> Option<(i64, &str)> {
    if let Some(rest) = text.strip_prefix('Z') {
        return Some((0, rest));
    }
    let (zone, rest) = text.split_at_checked(6)?;
    let sign = if zone.starts_with('+') {
        1
    } else if zone.starts_with('-') {
        -1
    } else {
        return None;
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let (hours, minutes) = (hours.parse::<u8>().ok()?, minutes.parse::<u8>().ok()?);
    (hours <= 24 && minutes < 60)
        .then_some((sign * (i64::from(hours) * 3600 + i64::from(minutes) * 60), rest))
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

    #[test]
    fn times_and_durations_print_as_gos_do() {
        assert_eq!(print_time(1_691_971_200 * SECOND), "2023-08-14 00:00:00 +0000 UTC");
        assert_eq!(print_duration(5_400_000_000_000), "1h30m0s");
        assert_eq!(print_duration(-1_500_000_000), "-1.5s");
        assert_eq!(print_duration(1_500), "1.5µs");
    }
}
