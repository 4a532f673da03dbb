//! Numbers for people, as Prometheus's `template` and `common/helpers/templates` write them.

use crate::model::calendar::format_time;
use crate::model::number::{format_significant, truncate_to_i64};

fn four(value: f64) -> String {
    format_significant(value, 4)
}

const LARGE: [&str; 8] = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];
const BINARY: [&str; 8] = ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"];

/// The value divided by `base` as often as it is larger, and the prefix for that.
fn reduced(mut value: f64, base: f64, prefixes: [&'static str; 8]) -> (f64, &'static str) {
    let mut prefix = "";
    for next in prefixes {
        if value.abs() < base {
            break;
        }
        prefix = next;
        value /= base;
    }
    (value, prefix)
}

fn raised(mut value: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for next in SMALL {
        if value.abs() >= 1.0 {
            break;
        }
        prefix = next;
        value *= 1000.0;
    }
    (value, prefix)
}

/// `1.235k`
pub(super) fn humanize(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return four(value);
    }
    let (value, prefix) = if value.abs() >= 1.0 { reduced(value, 1000.0, LARGE) } else { raised(value) };
    format!("{}{prefix}", four(value))
}

/// `1.206ki`
pub(super) fn humanize_1024(value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() {
        return four(value);
    }
    let (value, prefix) = reduced(value, 1024.0, BINARY);
    format!("{}{prefix}", four(value))
}

/// `12.35%`
pub(super) fn humanize_percentage(value: f64) -> String {
    format!("{}%", four(value * 100.0))
}

/// `1d 2h 3m 4s`
pub(super) fn humanize_duration(value: f64) -> String {
    if !value.is_finite() {
        return four(value);
    }
    if value == 0.0 {
        return format!("{}s", four(value));
    }
    if value.abs() < 1.0 {
        let (value, prefix) = raised(value);
        return format!("{}{prefix}s", four(value));
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let value = value.abs();
    // What does not fit becomes the smallest integer in Go, whose remainders are negative.
    let whole = truncate_to_i64(value);
    let (seconds, minutes, hours, days) = (whole % 60, whole / 60 % 60, whole / 3600 % 24, whole / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{}s", four(value)),
        (0, 0, _) => format!("{sign}{minutes}m {seconds}s"),
        (0, ..) => format!("{sign}{hours}h {minutes}m {seconds}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {seconds}s"),
    }
}

/// `2006-01-02 15:04:05 +0000 UTC`
pub(super) fn humanize_timestamp(value: f64) -> Result<String, String> {
    if !value.is_finite() {
        return Ok(four(value));
    }
    Ok(format_time(i128::from(time_millis(value)?) * 1_000_000))
}

/// Seconds since the epoch in milliseconds.
pub(super) fn time_millis(seconds: f64) -> Result<i64, String> {
    let nanos = seconds * 1e9;
    if !(-9_223_372_036_854_775_808.0..=9_223_372_036_854_775_807.0).contains(&nanos) {
        let seconds = crate::model::number::format_g(seconds);
        return Err(format!(
            "{seconds} cannot be represented as a nanoseconds timestamp since it overflows int64"
        ));
    }
    Ok(truncate_to_i64(nanos) / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_get_prefixes() {
        let rows = [
            (0.0, "0", "0", "0s"),
            (1.0, "1", "1", "1s"),
            (1_234_567.0, "1.235M", "1.177Mi", "14d 6h 56m 7s"),
            (0.12, "120m", "0.12", "120ms"),
            (f64::NAN, "NaN", "NaN", "NaN"),
            (f64::NEG_INFINITY, "-Inf", "-Inf", "-Inf"),
            (1_048_576.0, "1.049M", "1Mi", "12d 3h 16m 16s"),
            (899.99, "900", "900", "14m 59s"),
            (-3600.5, "-3.6k", "-3.516ki", "-1h 0m 0s"),
            (12.345, "12.35", "12.35", "12.35s"),
            (1e30, "1e+06Y", "8.272e+05Yi", "-106751991167300d -15h -30m -8s"),
        ];
        for (value, plain, binary, duration) in rows {
            assert_eq!(humanize(value), plain);
            assert_eq!(humanize_1024(value), binary);
            assert_eq!(humanize_duration(value), duration);
        }
        assert_eq!(humanize_percentage(0.123456), "12.35%");
        assert_eq!(humanize_timestamp(1_435_065_584.128).unwrap(), "2015-06-23 13:19:44.128 +0000 UTC");
        assert!(humanize_timestamp(1e12).is_err());
    }
}
