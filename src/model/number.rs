//! Numbers and strings as Go prints them, which is how Prometheus prints them.

/// `text` in double quotes, escaped as Go's `strconv.Quote` escapes it.
///
/// Invalid UTF-8 appears as `\xff`, control characters as `\x00`, code points that do not print as `\u200b`.
pub(crate) fn quote(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len().saturating_add(2));
    out.push('"');
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\x07' => out.push_str("\\a"),
                '\x08' => out.push_str("\\b"),
                '\x0c' => out.push_str("\\f"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\x0b' => out.push_str("\\v"),
                ' '..='~' => out.push(c),
                '\0'..=' ' | '\x7f' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
                _ if is_printable(c) => out.push(c),
                '\u{80}'..='\u{ffff}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
                _ => out.push_str(&format!("\\U{:08x}", u32::from(c))),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}

fn is_printable(c: char) -> bool {
    // The standard library's escape_debug leaves exactly the printable characters alone, combining marks apart.
    c.escape_debug().count() == 1 || (!c.is_control() && c.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_follows_go() {
        assert_eq!(quote(b"a\"\\\n\x01\x7f"), r#""a\"\\\n\x01\x7f""#);
        assert_eq!(quote("é\u{200b}".as_bytes()), "\"é\\u200b\"");
        assert_eq!(quote(b"\xff"), r#""\xff""#);
    }
}
