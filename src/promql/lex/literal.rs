//! Numbers, durations and strings: where they end.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while};
use nom::character::complete::one_of;
use nom::combinator::opt;
use nom::{IResult, Parser as _};

use crate::model::quoted::escape;

/// The end of a number or a duration, or how far the text went before it was neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberEnd<'t> {
    Number(&'t str),
    Duration(&'t str),
    Neither(&'t str),
}

/// Scans a number or a duration at the start of `text`.
///
/// A number is scanned as far as it goes; what follows must be no letter, or else be the unit of a duration.
pub(super) fn number_or_duration(text: &str) -> NumberEnd<'_> {
    let rest = match number(text) {
        Ok(rest) => return NumberEnd::Number(rest),
        Err(rest) => rest,
    };
    match duration_units(rest) {
        Ok(rest) => NumberEnd::Duration(rest),
        Err(rest) => NumberEnd::Neither(rest),
    }
}

type Text<'t, O> = IResult<&'t str, O>;

fn starts_with(text: &str, accept: impl Fn(u8) -> bool) -> bool {
    text.bytes().next().is_some_and(accept)
}

/// The text behind one byte that `set` holds, or the text itself.
fn skip_one<'t>(text: &'t str, set: &'static str) -> (&'t str, bool) {
    let skipped: Text<'t, Option<char>> = opt(one_of(set)).parse(text);
    match skipped {
        Ok((rest, found)) => (rest, found.is_some()),
        Err(_) => (text, false),
    }
}

fn hex_prefix(text: &str) -> Text<'_, &str> {
    alt((tag("0x"), tag("0X"))).parse(text)
}

fn digits(text: &str, hex: bool) -> &str {
    let run: Text<'_, &str> = if hex {
        take_while(|c: char| c.is_ascii_hexdigit()).parse(text)
    } else {
        take_while(|c: char| c.is_ascii_digit()).parse(text)
    };
    run.map_or(text, |(rest, _)| rest)
}

/// The text behind a number, or the text behind what made it none.
///
/// Accepts more than are numbers (`1e`, `0x`); reading the value finds those.
fn number(text: &str) -> Result<&str, &str> {
    // A leading zero belongs to the digits unless an x follows.
    let (mut rest, hex) = match hex_prefix(text) {
        Ok((rest, _)) => (skip_one(rest, "_").0, true),
        Err(_) => (skip_one(text, "0").0, false),
    };
    let is_digit = |byte: u8| if hex { byte.is_ascii_hexdigit() } else { byte.is_ascii_digit() };
    rest = skip_one(rest, ".").0;
    if starts_with(rest, is_digit) {
        rest = rest.get(1..).unwrap_or("");
    }
    let (mut dot_seen, mut exponent_seen) = (false, false);
    while let Some(byte) = rest.bytes().next() {
        if byte == b'.' {
            rest = rest.get(1..).unwrap_or("");
            if dot_seen {
                return Err(rest);
            }
            dot_seen = true;
            let (after, wrong) = skip_one(rest, "_.");
            if wrong || hex {
                return Err(after);
            }
        } else if matches!(byte, b'e' | b'E') {
            rest = rest.get(1..).unwrap_or("");
            if exponent_seen {
                return Err(rest);
            }
            exponent_seen = true;
            rest = skip_one(rest, "+-").0;
            let (after, wrong) = skip_one(rest, "._eE");
            if wrong || after.is_empty() {
                return Err(after);
            }
        } else if byte == b'_' {
            rest = rest.get(1..).unwrap_or("");
            let (after, wrong) = skip_one(rest, "._eE");
            if wrong || after.is_empty() {
                return Err(after);
            }
        } else if is_digit(byte) {
            rest = digits(rest, hex);
        } else {
            break;
        }
    }
    if rest.len() == text.len() || starts_with(rest, is_word_byte) { Err(rest) } else { Ok(rest) }
}

/// The text behind the units of a duration whose first digits are read, or behind what made it none.
fn duration_units(text: &str) -> Result<&str, &str> {
    let (mut rest, is_unit) = skip_one(text, "smhdwy");
    if !is_unit {
        return Err(rest);
    }
    loop {
        // Wrong units like `hs` are found when the value is read.
        rest = skip_one(rest, "s").0;
        if !starts_with(rest, |byte| byte.is_ascii_digit()) {
            break;
        }
        rest = digits(rest, false);
        let (after, is_unit) = skip_one(rest, "smhdw");
        rest = after;
        if !is_unit {
            return Err(rest);
        }
    }
    if starts_with(rest, is_word_byte) { Err(rest.get(1..).unwrap_or("")) } else { Ok(rest) }
}

/// Whether `byte` may stand in an identifier.
pub(super) const fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The text behind the string that starts at `text` with one of `"` `'` `` ` ``, or why there is none.
pub(super) fn string(text: &str) -> Result<&str, String> {
    let mut chars = text.chars();
    let quote = chars.next();
    if quote == Some('`') {
        return loop {
            match chars.next() {
                None => break Err("unterminated raw string".to_owned()),
                Some(char::REPLACEMENT_CHARACTER) => break Err("invalid UTF-8 rune".to_owned()),
                Some('`') => break Ok(chars.as_str()),
                Some(_) => {}
            }
        };
    }
    loop {
        match chars.next() {
            None | Some('\n') => return Err("unterminated quoted string".to_owned()),
            Some(char::REPLACEMENT_CHARACTER) => return Err("invalid UTF-8 rune".to_owned()),
            Some('\\') => {
                escape(&mut chars, quote)?;
            }
            c if c == quote => return Ok(chars.as_str()),
            Some(_) => {}
        }
    }
}
