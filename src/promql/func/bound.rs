//! The bound of a classic bucket: the `le` label as a number.

/// `text` as Go's `ParseFloat` reads it: decimal or hexadecimal, `inf`, `infinity` and `nan` in any case,
/// underscores between digits.
pub(crate) fn parse(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let negative = text.starts_with('-');
    if let Some(hex) = unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X")) {
        let value = parse_hexadecimal(&without_underscores(hex, true)?)?;
        return Some(if negative { -value } else { value });
    }
    if unsigned.is_empty() || unsigned.starts_with(['+', '-']) {
        return None;
    }
    let word = !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if word {
        if unsigned.eq_ignore_ascii_case("nan") {
            // Go's NaN takes no sign.
            return (unsigned.len() == text.len()).then_some(f64::NAN);
        }
        let infinite = unsigned.eq_ignore_ascii_case("inf") || unsigned.eq_ignore_ascii_case("infinity");
        return infinite.then_some(if negative { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    let value: f64 = without_underscores(unsigned, false)?.parse().ok()?;
    // What overflows is an error in Go.
    value.is_finite().then_some(if negative { -value } else { value })
}

/// Removes underscores; `None` if one does not stand between digits (or between the prefix and a digit).
fn without_underscores(digits: &str, after_prefix: bool) -> Option<String> {
    let mut before = if after_prefix { '0' } else { ' ' };
    let mut out = String::with_capacity(digits.len());
    let mut rest = digits.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '_' {
            let after = rest.peek().copied().unwrap_or(' ');
            if !before.is_ascii_hexdigit() || !after.is_ascii_hexdigit() {
                return None;
            }
        } else {
            out.push(c);
        }
        before = c;
    }
    Some(out)
}

/// `1.8p-3`: hexadecimal digits and a binary exponent, which Go requires.
fn parse_hexadecimal(text: &str) -> Option<f64> {
    let (digits, exponent) = text.split_once(['p', 'P'])?;
    let mut exponent: i64 = exponent.parse::<i32>().ok()?.into();
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut mantissa = 0_u64;
    for (index, c) in whole.chars().chain(fraction.chars()).enumerate() {
        let digit = u64::from(c.to_digit(16)?);
        let in_fraction = index >= whole.len();
        if mantissa >> 60 == 0 {
            mantissa = (mantissa << 4) | digit;
            exponent = exponent.saturating_sub(if in_fraction { 4 } else { 0 });
        } else {
            // Beyond 60 bits only whether something is there matters to rounding.
            mantissa |= u64::from(digit != 0);
            exponent = exponent.saturating_add(if in_fraction { 0 } else { 4 });
        }
    }
    let value = libm::ldexp(mantissa as f64, i32::try_from(exponent.clamp(-4096, 4096)).ok()?);
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn decimals_hexadecimals_and_words_are_numbers() {
        for (text, value) in [
            ("0.1", 0.1),
            ("1e-1", 0.1),
            ("+Inf", f64::INFINITY),
            ("-infinity", f64::NEG_INFINITY),
            ("0x1p-2", 0.25),
            ("0x1.8p1", 3.0),
            ("-0X.8P0", -0.5),
            ("1_000", 1000.0),
        ] {
            assert_eq!(parse(text), Some(value), "{text}");
        }
        assert!(parse("NaN").unwrap().is_nan());
    }

    #[test]
    fn what_go_refuses_is_none() {
        for text in ["", "+", "abc", "0x10", "1e400", "1__0", "_1", "1 ", "--1", "0b1", "+nan"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
