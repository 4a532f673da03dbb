//! Go durations: `1h30m`, `1.5h`, `500ms`.

use crate::model::number::quote;

/// Reads a Go duration as nanoseconds.
///
/// An optional sign, then numbers with a unit each, `ns us µs ms s m h`, without blanks; `0` needs no unit. These
/// are not PromQL's durations: there is no `d`, and `60` is refused.
///
/// # Errors
///
/// Go's own sentence, for example `time: missing unit in duration "60"`.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", quote(text.as_bytes()));
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or_default()),
        Some(b'+') => (false, text.get(1..).unwrap_or_default()),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    // The magnitude may be one more than the largest value, which is the smallest.
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let whole_end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (whole_text, after) = rest.split_at_checked(whole_end).ok_or_else(invalid)?;
        let (fraction_text, after) = match after.strip_prefix('.') {
            Some(tail) => {
                let end = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
                tail.split_at_checked(end).ok_or_else(invalid)?
            }
            None => ("", after),
        };
        if whole_text.is_empty() && fraction_text.is_empty() {
            return Err(invalid());
        }
        let unit_end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit_text, tail) = after.split_at_checked(unit_end).ok_or_else(invalid)?;
        if unit_text.is_empty() {
            return Err(format!("time: missing unit in duration {}", quote(text.as_bytes())));
        }
        let unit: u64 = match unit_text {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => {
                return Err(format!(
                    "time: unknown unit {} in duration {}",
                    quote(unit_text.as_bytes()),
                    quote(text.as_bytes())
                ));
            }
        };
        let whole: u64 = if whole_text.is_empty() { 0 } else { whole_text.parse().map_err(|_| invalid())? };
        let mut nanos = whole.checked_mul(unit).filter(|nanos| *nanos <= 1 << 63).ok_or_else(invalid)?;
        if !fraction_text.is_empty() {
            // Digits beyond what 64 bits hold are beyond a nanosecond as well.
            let (mut digits, mut scale) = (0u64, 1.0f64);
            for digit in fraction_text.bytes().map(|byte| u64::from(byte.wrapping_sub(b'0'))) {
                let Some(more) = digits.checked_mul(10).and_then(|tens| tens.checked_add(digit)) else {
                    break;
                };
                if more > i64::MAX.unsigned_abs() {
                    break;
                }
                digits = more;
                scale *= 10.0;
            }
            let part = (digits as f64 * (unit as f64 / scale)) as u64;
            nanos = nanos.checked_add(part).filter(|nanos| *nanos <= 1 << 63).ok_or_else(invalid)?;
        }
        total = total.checked_add(nanos).filter(|total| *total <= 1 << 63).ok_or_else(invalid)?;
        rest = tail;
    }
    if negative {
        return Ok(0i64.checked_sub_unsigned(total).unwrap_or(i64::MIN));
    }
    i64::try_from(total).map_err(|_| invalid())
}

/// Reads a Go duration as whole milliseconds; what is smaller is cut.
pub(super) fn parse_millis(text: &str) -> Result<i64, String> {
    parse_duration(text).map(|nanos| nanos / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, nanos) in [
            ("0", 0),
            ("1h30m", 5_400_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("500ms", 500_000_000),
            ("-10s", -10_000_000_000),
            ("+5s", 5_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("3us2µs1μs7ns", 6_007),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
        ] {
            assert_eq!(parse_duration(text), Ok(nanos), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_named_in_gos_words() {
        for (text, expected) in [
            ("", "time: invalid duration \"\""),
            ("60", "time: missing unit in duration \"60\""),
            ("1d", "time: unknown unit \"d\" in duration \"1d\""),
            ("10 s", "time: unknown unit \" s\" in duration \"10 s\""),
            ("s", "time: invalid duration \"s\""),
            ("-", "time: invalid duration \"-\""),
            (".s", "time: invalid duration \".s\""),
            ("9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\""),
            ("99999999999999999999h", "time: invalid duration \"99999999999999999999h\""),
        ] {
            assert_eq!(parse_duration(text), Err(expected.to_owned()), "{text}");
        }
    }
}
