//! Numbers as they are written in conditions.

use crate::error::{Error, ErrorKind, Result};

use super::lex::Token;
use super::node::NodeKind;

/// The value of a number; `e` or a point makes it a float.
pub(super) fn number(token: &Token) -> Result<NodeKind> {
    let text: String = token.text.chars().filter(|c| *c != '_').collect();
    let lower = text.to_ascii_lowercase();
    let fail = |what: &str, parse: &str, why: &str| {
        Error::new(
            ErrorKind::Parse,
            format!("invalid {what} literal: strconv.{parse}: parsing \"{text}\": {why}"),
        )
        .at(token.start, token.end)
    };
    let radix = |digits: &str, radix: u32, what: &str| {
        i64::from_str_radix(digits, radix)
            .map(NodeKind::Int)
            .map_err(|error| fail(what, "ParseInt", integer_fault(&error)))
    };
    if let Some(digits) = lower.strip_prefix("0x") {
        return radix(digits, 16, "hex");
    }
    if lower.contains(['.', 'e']) {
        return match lower.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(NodeKind::Float(value)),
            Ok(_) => Err(fail("float", "ParseFloat", "value out of range")),
            Err(_) => Err(fail("float", "ParseFloat", "invalid syntax")),
        };
    }
    if let Some(digits) = lower.strip_prefix("0b") {
        return radix(digits, 2, "binary");
    }
    if let Some(digits) = lower.strip_prefix("0o") {
        return radix(digits, 8, "octal");
    }
    radix(&text, 10, "integer")
}

fn integer_fault(error: &std::num::ParseIntError) -> &'static str {
    match error.kind() {
        std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => "value out of range",
        _ => "invalid syntax",
    }
}
