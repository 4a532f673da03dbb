//! What the parts of a line stand for: escaped texts, numbers, timestamps.

use std::borrow::Cow;

/// Replaces `\\`, `\n` and, if `quotes`, `\"`; any other backslash stands for itself.
pub(super) fn unescape(text: &str, quotes: bool) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let (replaced, skipped) = match after.chars().next() {
            Some('\\') => ('\\', 1),
            Some('n') => ('\n', 1),
            Some('"') if quotes => ('"', 1),
            _ => ('\\', 0),
        };
        out.push(replaced);
        rest = after.get(skipped..).unwrap_or_default();
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The bits that Prometheus gives to every NaN that it reads.
const ORDINARY_NAN: u64 = 0x7ff8_0000_0000_0001;

/// Go's number syntax without hexadecimal and underscores.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    if value.is_nan() {
        // Rust reads a sign before NaN, Go does not.
        return text.eq_ignore_ascii_case("nan").then_some(f64::from_bits(ORDINARY_NAN));
    }
    // Rust makes an infinity of what is too large, Go an error.
    (value.is_finite() || !text.bytes().any(|byte| byte.is_ascii_digit())).then_some(value)
}

/// Undoes Go's `strconv.Quote`; the quotes themselves are gone already.
pub(super) fn go_unquote(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('\\') {
        return Some(Cow::Borrowed(text));
    }
    let bytes = crate::model::quoted::unescape(text, Some('"')).ok()?;
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// Seconds as whole milliseconds, cut towards zero.
///
/// A decimal like 1795404652.396 lies a hair off as a float, so that what is a millisecond but for that hair counts as
/// one: what `promtool tsdb dump-openmetrics` prints reads back at the same time.
pub(super) fn truncated_millis(seconds: f64) -> Option<i64> {
    let millis = seconds * 1000.0;
    let nearest = millis.round();
    let cut = if (millis - nearest).abs() < 0.001 { nearest } else { millis.trunc() };
    // 2^63 itself is one too many, and its negative the least that fits.
    (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&cut).then_some(cut as i64)
}
