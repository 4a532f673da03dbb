//! Go's quoted strings: `"…"` and `'…'` with escapes, `` `…` `` without.

use super::number::unicode_notation;

/// What an escape sequence stands for.
pub(crate) enum Escaped {
    Byte(u8),
    Char(char),
}

/// Reads an escape sequence behind its backslash; of the quotes only the one around the string may be escaped.
pub(crate) fn escape(chars: &mut std::str::Chars<'_>, quote: Option<char>) -> Result<Escaped, String> {
    let not_terminated = || "escape sequence not terminated".to_owned();
    let first = chars.next().ok_or_else(not_terminated)?;
    let (digit_count, radix) = match first {
        'a' => return Ok(Escaped::Byte(7)),
        'b' => return Ok(Escaped::Byte(8)),
        'f' => return Ok(Escaped::Byte(12)),
        'n' => return Ok(Escaped::Byte(b'\n')),
        'r' => return Ok(Escaped::Byte(b'\r')),
        't' => return Ok(Escaped::Byte(b'\t')),
        'v' => return Ok(Escaped::Byte(11)),
        '\\' => return Ok(Escaped::Byte(b'\\')),
        c if Some(c) == quote => return Ok(Escaped::Char(c)),
        '0'..='7' => (3, 8),
        'x' => (2, 16),
        'u' => (4, 16),
        'U' => (8, 16),
        c => return Err(format!("unknown escape sequence {}", unicode_notation(c))),
    };
    let mut value = if radix == 8 { first.to_digit(8).unwrap_or(0) } else { 0 };
    for _ in (if radix == 8 { 1 } else { 0 })..digit_count {
        let c = chars.next().ok_or_else(not_terminated)?;
        let digit = c
            .to_digit(radix)
            .ok_or_else(|| format!("illegal character {} in escape sequence", unicode_notation(c)))?;
        value = value.wrapping_mul(radix).wrapping_add(digit);
    }
    let no_code_point = || "escape sequence is an invalid Unicode code point".to_owned();
    if matches!(first, 'u' | 'U') {
        char::from_u32(value).map(Escaped::Char).ok_or_else(no_code_point)
    } else {
        u8::try_from(value).map(Escaped::Byte).map_err(|_| no_code_point())
    }
}

/// The bytes that a string stands for; `literal` is one whole string with its quotes.
pub(crate) fn unquote(literal: &str) -> Result<Vec<u8>, String> {
    let mut chars = literal.chars();
    let quote = chars.next();
    let _closing = chars.next_back();
    match quote {
        Some('`') => Ok(chars.as_str().as_bytes().to_vec()),
        quote => unescape(chars.as_str(), quote),
    }
}

/// What stands between a pair of quotes, with its escapes replaced.
pub(crate) fn unescape(inner: &str, quote: Option<char>) -> Result<Vec<u8>, String> {
    if !inner.contains('\\') {
        return Ok(inner.as_bytes().to_vec());
    }
    let mut chars = inner.chars();
    let mut bytes = Vec::with_capacity(inner.len());
    let mut buffer = [0_u8; 4];
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => match escape(&mut chars, quote)? {
                Escaped::Byte(byte) => {
                    bytes.push(byte);
                    continue;
                }
                Escaped::Char(c) => c,
            },
            c => c,
        };
        bytes.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
    }
    Ok(bytes)
}

/// How long the string is that begins `text`, its quotes included; `None` if it does not end.
#[cfg(feature = "rules")]
pub(crate) fn string_length(text: &str) -> Option<usize> {
    let mut chars = text.chars();
    let quote = chars.next()?;
    loop {
        match chars.next()? {
            '\\' if quote != '`' => {
                chars.next()?;
            }
            c if c == quote => return Some(text.len().saturating_sub(chars.as_str().len())),
            _ => {}
        }
    }
}

/// Where `wanted` stands outside of strings; `None` behind a string that does not end.
#[cfg(feature = "rules")]
pub(crate) fn find_outside_strings(text: &str, wanted: &str) -> Option<usize> {
    let mut rest = text;
    while !rest.starts_with(wanted) {
        let length = match rest.chars().next()? {
            '"' | '`' | '\'' => string_length(rest)?,
            c => c.len_utf8(),
        };
        rest = rest.get(length..)?;
    }
    Some(text.len().saturating_sub(rest.len()))
}

#[cfg(all(test, feature = "rules"))]
mod tests {
    use super::*;

    #[test]
    fn strings_end_at_their_quote_and_hide_what_they_hold() {
        assert_eq!(string_length(r#""a\"b" c"#), Some(6));
        assert_eq!(string_length(r"`a\` c"), Some(4));
        assert_eq!((string_length(r#""a\""#), string_length("'a"), string_length("")), (None, None, None));
        assert_eq!(find_outside_strings(r#"a "}" '}' `}` }"#, "}"), Some(14));
        assert_eq!((find_outside_strings("a \"}", "}"), find_outside_strings("a", "}}")), (None, None));
        assert_eq!(unquote(r#""\x41\u00e9\101'""#).unwrap(), "A\u{e9}A'".as_bytes());
        assert!(unquote(r#""\'""#).is_err() && unquote(r#""\ud800""#).is_err());
    }
}
