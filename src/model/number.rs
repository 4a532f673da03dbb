//! Numbers, durations and strings as Go reads and prints them, which is how Prometheus does.

use std::fmt::Write as _;

/// Nanoseconds in a second, as Go's `time.Duration` counts.
const NANOS_PER_SECOND: u64 = 1_000_000_000;
const NANOS_PER_MILLI: i64 = 1_000_000;

/// `text` in double quotes, escaped as Go's `strconv.Quote` escapes it.
///
/// Invalid UTF-8 appears as `\xff`, control characters as `\x00`, code points that do not print as `\u200b`.
pub(crate) fn quote(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len().saturating_add(2));
    out.push('"');
    for chunk in text.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push_escaped(&mut out, c, '"'));
        for byte in chunk.invalid() {
            push_hex(&mut out, "\\x", u32::from(*byte), 2);
        }
    }
    out.push('"');
    out
}

/// `c` in single quotes, as Go's verb `%q` prints a rune.
pub(crate) fn quote_char(c: char) -> String {
    let mut out = String::with_capacity(8);
    out.push('\'');
    push_escaped(&mut out, c, '\'');
    out.push('\'');
    out
}

/// `U+0063 'c'`, as Go's verb `%#U` prints a rune; the second part only if it prints.
pub(crate) fn unicode_notation(c: char) -> String {
    if is_printable(c) { format!("U+{:04X} '{c}'", u32::from(c)) } else { format!("U+{:04X}", u32::from(c)) }
}

fn push_escaped(out: &mut String, c: char, quote: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        _ if c == quote => {
            out.push('\\');
            out.push(c);
        }
        _ if is_printable(c) => out.push(c),
        '\0'..='\x7f' => push_hex(out, "\\x", u32::from(c), 2),
        '\u{80}'..='\u{ffff}' => push_hex(out, "\\u", u32::from(c), 4),
        _ => push_hex(out, "\\U", u32::from(c), 8),
    }
}

fn push_hex(out: &mut String, prefix: &str, value: u32, width: usize) {
    out.push_str(prefix);
    // Writing to a string cannot fail.
    let _written = write!(out, "{value:0width$x}");
}

/// Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols, and the ASCII space.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    // After another character `str::escape_debug` leaves combining marks alone, and escapes just what does not print.
    let mut buffer = [0; 5];
    let (first, rest) = buffer.split_at_mut(1);
    first.copy_from_slice(b"a");
    let len = c.encode_utf8(rest).len().saturating_add(1);
    let pair = buffer.get(..len).and_then(|bytes| std::str::from_utf8(bytes).ok());
    pair.is_some_and(|pair| pair.escape_debug().count() == 2)
}

/// The shortest decimal that reads back to `value`, never with an exponent: Go's `FormatFloat(value, 'f', -1, 64)`.
pub(crate) fn format_f(value: f64) -> String {
    if !value.is_finite() {
        return format_special(value);
    }
    let scientific = shortest(value);
    match split_exponent(&scientific) {
        // Up to here the float may have a neighbour in the last digit, so that the digits are laid out by hand.
        Some((digits, exponent @ 0..=MOST_DIGITS)) => plain_form(digits, exponent),
        _ => format!("{value}"),
    }
}

/// A float never needs more digits to be told from all others.
const MOST_DIGITS: i32 = 17;

/// The shortest digits that read back to `value`, as `d.ddde-x`. Where two such texts are equally near Go takes the even
/// one, Rust the one that is farther from zero.
fn shortest(value: f64) -> String {
    let text = format!("{value:e}");
    let Some((digits, exponent)) = split_exponent(&text) else { return text };
    let decimals = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    // With fewer digits no other text reads back to the value.
    if decimals < 15 || !digits.ends_with(['1', '3', '5', '7', '9']) {
        return text;
    }
    let next = format!("{value:.*e}", decimals.saturating_add(1));
    let beyond = format!("{value:.*e}", decimals.saturating_add(30));
    let (Some((next, _)), Some((beyond, _))) = (split_exponent(&next), split_exponent(&beyond)) else {
        return text;
    };
    let is_half = beyond.strip_prefix(next).is_some_and(|rest| rest.bytes().all(|byte| byte == b'0'));
    match next.strip_suffix('5') {
        Some(even) if is_half => {
            let even = format!("{even}e{exponent}");
            if even.parse() == Ok(value) { even } else { text }
        }
        _ => text,
    }
}

/// `d.ddd` times a power of ten of at least 1, without exponent.
fn plain_form(digits: &str, exponent: i32) -> String {
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", digits),
    };
    let (first, rest) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = usize::try_from(exponent).unwrap_or(0);
    match rest.split_at_checked(whole) {
        Some((whole, "")) => format!("{sign}{first}{whole}"),
        Some((whole, fraction)) => format!("{sign}{first}{whole}.{fraction}"),
        None => format!("{sign}{first}{rest:0<whole$}"),
    }
}

/// `value` as Go's `%g` (or `%v`) prints it: shortest digits, exponent form iff the decimal exponent of the first digit is
/// below -4 or at least 6.
pub(crate) fn format_g(value: f64) -> String {
    if !value.is_finite() {
        return format_special(value);
    }
    let scientific = shortest(value);
    match split_exponent(&scientific) {
        Some((digits, exponent)) if !(-4..6).contains(&exponent) => exponent_form(digits, exponent),
        _ => format!("{value}"),
    }
}

/// `value` as Go's `%.2g` prints it: two significant digits, trailing zeros cut.
pub(crate) fn format_2g(value: f64) -> String {
    format_significant(value, 2)
}

/// `value` as Go's `%.*g` prints it: so many significant digits, at least one; trailing zeros cut.
pub(crate) fn format_significant(value: f64, digits: u16) -> String {
    if !value.is_finite() {
        return format_special(value);
    }
    let behind_first = digits.saturating_sub(1);
    let scientific = format!("{value:.*e}", usize::from(behind_first));
    let Some((digits, exponent)) = split_exponent(&scientific) else { return scientific };
    if !(-4..=i32::from(behind_first)).contains(&exponent) {
        return exponent_form(without_trailing_zeros(digits), exponent);
    }
    let decimals = usize::try_from(i32::from(behind_first).saturating_sub(exponent)).unwrap_or(0);
    without_trailing_zeros(&format!("{value:.decimals$}")).to_owned()
}

fn without_trailing_zeros(decimal: &str) -> &str {
    if decimal.contains('.') { decimal.trim_end_matches('0').trim_end_matches('.') } else { decimal }
}

/// `value` as Go's `%.*e` prints it.
#[cfg(feature = "rules")]
pub(crate) fn format_e(value: f64, decimals: u16) -> String {
    if !value.is_finite() {
        return format_special(value);
    }
    let scientific = format!("{value:.*e}", usize::from(decimals));
    match split_exponent(&scientific) {
        Some((digits, exponent)) => exponent_form(digits, exponent),
        None => scientific,
    }
}

/// `value` as Go's `FormatFloat(value, 'E', -1, 64)` prints it: shortest digits, always with an exponent.
#[cfg(feature = "rules")]
pub(crate) fn format_shortest_exponent(value: f64) -> String {
    if !value.is_finite() {
        return format_special(value);
    }
    let scientific = shortest(value);
    match split_exponent(&scientific) {
        Some((digits, exponent)) => exponent_form(digits, exponent).replace('e', "E"),
        None => scientific,
    }
}

/// `value` as Go's `%f` prints it: six decimals.
pub(crate) fn format_f6(value: f64) -> String {
    if value.is_finite() { format!("{value:.6}") } else { format_special(value) }
}

fn format_special(value: f64) -> String {
    match (value.is_nan(), value.is_sign_negative()) {
        (true, _) => "NaN".to_owned(),
        (false, true) => "-Inf".to_owned(),
        (false, false) => "+Inf".to_owned(),
    }
}

fn exponent_form(digits: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

fn split_exponent(scientific: &str) -> Option<(&str, i32)> {
    let (digits, exponent) = scientific.split_once('e')?;
    Some((digits, exponent.parse().ok()?))
}

/// Reads a number as Prometheus's parser does: Go's `ParseInt(text, 0, 64)`, and where that fails `ParseFloat`.
///
/// The error is Go's text: `strconv.ParseFloat: parsing "1e400": value out of range`.
pub(crate) fn parse_number(text: &str) -> Result<f64, String> {
    let fail = |why: &str| format!("strconv.ParseFloat: parsing {}: {why}", quote(text.as_bytes()));
    if let Some(value) = parse_integer(text) {
        return Ok(value);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if ["inf", "nan", "infinity"].iter().any(|word| unsigned.eq_ignore_ascii_case(word)) {
        return text.parse().map_err(|_| fail("invalid syntax"));
    }
    if text.contains('_') && !underscores_separate_digits(text) {
        return Err(fail("invalid syntax"));
    }
    let value: f64 = text.replace('_', "").parse().map_err(|_| fail("invalid syntax"))?;
    if value.is_finite() { Ok(value) } else { Err(fail("value out of range")) }
}

/// Go's `ParseInt(text, 0, 64)` of a text without sign: decimal, `0x…`, or octal by a leading zero.
#[expect(clippy::cast_precision_loss, reason = "a number of the language is a float")]
fn parse_integer(text: &str) -> Option<f64> {
    let (radix, digits) = if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        (16, hex)
    } else if let Some(octal) = text.strip_prefix('0').filter(|rest| !rest.is_empty()) {
        (8, octal)
    } else {
        (10, text)
    };
    if !digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return None;
    }
    if !digits.contains('_') {
        return i64::from_str_radix(digits, radix).ok().map(|value| value as f64);
    }
    if !underscores_separate_digits(text) {
        return None;
    }
    i64::from_str_radix(&digits.replace('_', ""), radix).ok().map(|value| value as f64)
}

/// Whether every underscore stands between two digits, or between the base prefix and a digit.
fn underscores_separate_digits(text: &str) -> bool {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let is_digit = |byte: u8| byte.is_ascii_digit() || (hex.is_some() && byte.is_ascii_hexdigit());
    let mut after_digit = hex.is_some();
    let mut after_underscore = false;
    for byte in hex.unwrap_or(text).bytes() {
        if is_digit(byte) {
            (after_digit, after_underscore) = (true, false);
        } else if byte == b'_' {
            if !after_digit {
                return false;
            }
            (after_digit, after_underscore) = (false, true);
        } else if after_underscore {
            return false;
        } else {
            after_digit = false;
        }
    }
    !after_underscore
}

/// Reads a duration like `1h30m` and returns it in nanoseconds.
///
/// Units are `y w d h m s ms`, biggest first, each at most once. The error is Prometheus's text.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    const UNITS: [(&str, u64); 7] = [
        ("y", 365 * 24 * 3600 * NANOS_PER_SECOND),
        ("w", 7 * 24 * 3600 * NANOS_PER_SECOND),
        ("d", 24 * 3600 * NANOS_PER_SECOND),
        ("h", 3600 * NANOS_PER_SECOND),
        ("m", 60 * NANOS_PER_SECOND),
        ("s", NANOS_PER_SECOND),
        ("ms", 1_000_000),
    ];
    let invalid = || format!("not a valid duration string: {}", quote(text.as_bytes()));
    let out_of_range = || "duration out of range".to_owned();
    match text {
        "0" => return Ok(0),
        "" => return Err("empty duration string".to_owned()),
        _ => {}
    }
    let mut rest = text;
    let mut total = 0_u64;
    let mut allowed: &[(&str, u64)] = &UNITS;
    while !rest.is_empty() {
        let unit_start = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at_checked(unit_start).unwrap_or((rest, ""));
        let number: u64 = number.parse().map_err(|_| invalid())?;
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit_end).unwrap_or((tail, ""));
        if unit.is_empty() {
            return Err(invalid());
        }
        let Some((_, nanos)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!(
                "unknown unit {} in duration {}",
                quote(unit.as_bytes()),
                quote(text.as_bytes())
            ));
        };
        let position = allowed.iter().position(|(name, _)| *name == unit).ok_or_else(invalid)?;
        allowed = allowed.get(position.saturating_add(1)..).unwrap_or(&[]);
        total = number
            .checked_mul(*nanos)
            .and_then(|nanos| total.checked_add(nanos))
            .filter(|total| i64::try_from(*total).is_ok())
            .ok_or_else(out_of_range)?;
        rest = tail;
    }
    i64::try_from(total).map_err(|_| out_of_range())
}

/// A duration of `nanos` as Prometheus prints it: `1h30m`; what is below a millisecond is cut, 0 is `0s`.
pub(crate) fn format_duration(nanos: i64) -> String {
    const DAY: u64 = 24 * 3600 * 1000;
    let millis = nanos.checked_div(NANOS_PER_MILLI).unwrap_or(0);
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut out = String::with_capacity(8);
    if millis < 0 {
        out.push('-');
    }
    let mut rest = millis.unsigned_abs();
    // Years and weeks only without a remainder: 90d reads easier than 12w6d.
    for (unit, size, exact) in [
        ("y", 365 * DAY, true),
        ("w", 7 * DAY, true),
        ("d", DAY, false),
        ("h", 3600 * 1000, false),
        ("m", 60 * 1000, false),
        ("s", 1000, false),
        ("ms", 1, false),
    ] {
        let count = rest.checked_div(size).unwrap_or(0);
        let remainder = rest.checked_rem(size).unwrap_or(0);
        if count > 0 && (!exact || remainder == 0) {
            let _written = write!(out, "{count}{unit}");
            rest = remainder;
        }
    }
    out
}

/// Nanoseconds as seconds, as Go's `Duration.Seconds` computes them.
#[expect(clippy::cast_precision_loss, reason = "both parts are exact or rounded as Go rounds them")]
pub(crate) fn seconds_of_nanos(nanos: i64) -> f64 {
    let seconds = nanos.checked_div(1_000_000_000).unwrap_or(0);
    let rest = nanos.checked_rem(1_000_000_000).unwrap_or(0);
    seconds as f64 + rest as f64 / 1e9
}

/// `value` truncated to an integer as Go does on amd64: what does not fit, and NaN, becomes the smallest integer.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
pub(crate) fn truncate_to_i64(value: f64) -> i64 {
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value) {
        value as i64
    } else {
        i64::MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_follows_go() {
        assert_eq!(quote(b"a\"\\\n\x01\x7f'"), r#""a\"\\\n\x01\x7f'""#);
        assert_eq!(quote("é\u{200b}".as_bytes()), "\"é\\u200b\"");
        assert_eq!(quote(b"\xff"), r#""\xff""#);
        assert_eq!(
            quote("\u{301}\u{e0001}\u{a0}\u{fffd}".as_bytes()),
            "\"\u{301}\\U000e0001\\u00a0\u{fffd}\""
        );
        assert_eq!(quote_char('\''), r"'\''");
        assert_eq!(quote_char('"'), "'\"'");
        assert_eq!(unicode_notation('c'), "U+0063 'c'");
        assert_eq!(unicode_notation('\n'), "U+000A");
    }

    #[test]
    fn floats_print_as_in_go() {
        let rows = [
            (1.0, "1", "1", "1", "1.000000"),
            (1e20, "100000000000000000000", "1e+20", "1e+20", "100000000000000000000.000000"),
            (1e21, "1000000000000000000000", "1e+21", "1e+21", "1000000000000000000000.000000"),
            (1e-5, "0.00001", "1e-05", "1e-05", "0.000010"),
            (0.0001, "0.0001", "0.0001", "0.0001", "0.000100"),
            (-0.0, "-0", "-0", "-0", "-0.000000"),
            (0.999, "0.999", "0.999", "1", "0.999000"),
            (99.9, "99.9", "99.9", "1e+02", "99.900000"),
            (12.0, "12", "12", "12", "12.000000"),
            (1.25, "1.25", "1.25", "1.2", "1.250000"),
            (123456789.0, "123456789", "1.23456789e+08", "1.2e+08", "123456789.000000"),
        ];
        for (value, f, g, g2, f6) in rows {
            assert_eq!((&*format_f(value), &*format_2g(value), &*format_f6(value)), (f, g2, f6));
            assert_eq!(format_g(value), g);
        }
        // Two texts are equally near: the even one.
        for (value, f, g) in [
            (1e15 + 0.25, "1000000000000000.2", "1.0000000000000002e+15"),
            (1e15 + 0.75, "1000000000000000.8", "1.0000000000000008e+15"),
            (1e15 + 0.125, "1000000000000000.1", "1.0000000000000001e+15"),
            (-2_251_799_813_685_249.5, "-2251799813685249.5", "-2.2517998136852495e+15"),
            (576_460_752_303_423_550.0, "576460752303423500", "5.764607523034235e+17"),
            (9_007_199_254_740_993.0, "9007199254740992", "9.007199254740992e+15"),
        ] {
            assert_eq!((&*format_f(value), &*format_g(value)), (f, g));
        }
        assert_eq!(
            [1234.5678, 0.00012345, 999.96, 12345.0, 0.0].map(|value| format_significant(value, 4)),
            ["1235", "0.0001234", "1000", "1.234e+04", "0"]
        );
        assert_eq!((&*format_e(1234.5, 2), &*format_shortest_exponent(100.0)), ("1.23e+03", "1E+02"));
        assert_eq!(format_f(f64::INFINITY), "+Inf");
        assert_eq!(format_g(f64::NEG_INFINITY), "-Inf");
        assert_eq!(format_2g(f64::NAN), "NaN");
    }

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        let rows = [
            ("0755", 493.0),
            ("08", 8.0),
            ("00.5", 0.5),
            ("09.1", 9.1),
            ("0x1F", 31.0),
            ("0x_1F", 31.0),
            ("0_7", 7.0),
            ("1_000.5", 1000.5),
            ("1e5_0", 1e50),
            (".5", 0.5),
            ("5.", 5.0),
            ("9223372036854775808", 9_223_372_036_854_775_808.0),
            ("0777777777777777777777777", 777_777_777_777_777_777_777_777.0),
            ("1e-400", 0.0),
            ("inf", f64::INFINITY),
        ];
        for (text, value) in rows {
            assert_eq!(parse_number(text), Ok(value), "{text}");
        }
        assert!(parse_number("NaN").unwrap().is_nan());
        for (text, why) in [
            ("1e400", "value out of range"),
            ("0x", "invalid syntax"),
            ("1e", "invalid syntax"),
            ("1_", "invalid syntax"),
            ("0xffffffffffffffffff", "invalid syntax"),
        ] {
            assert_eq!(parse_number(text), Err(format!("strconv.ParseFloat: parsing \"{text}\": {why}")));
        }
    }

    #[test]
    fn durations_go_from_big_to_small() {
        assert_eq!(parse_duration("1h30m"), Ok(5_400_000_000_000));
        assert_eq!(parse_duration("1y1w1d1h1m1s1ms").map(format_duration), Ok("373d1h1m1s1ms".to_owned()));
        assert_eq!(parse_duration("5m1h"), Err("not a valid duration string: \"5m1h\"".into()));
        assert_eq!(parse_duration("5y1hs"), Err("unknown unit \"hs\" in duration \"5y1hs\"".into()));
        assert_eq!(parse_duration("1.5h"), Err("unknown unit \".\" in duration \"1.5h\"".into()));
        assert_eq!(parse_duration("300y"), Err("duration out of range".into()));
        assert_eq!(
            parse_duration("99999999999999999999s"),
            Err("not a valid duration string: \"99999999999999999999s\"".into())
        );
        for text in ["90d", "2w", "1y", "1h30m", "1m500ms", "0s"] {
            assert_eq!(parse_duration(text).map(format_duration), Ok(text.to_owned()), "{text}");
        }
        assert_eq!(format_duration(-300_000_000_000), "-5m");
        assert_eq!(format_duration(999_999), "0s");
    }
}
