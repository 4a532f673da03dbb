//! A template's text to words, as Go's `text/template` cuts it.

use crate::model::quoted::{find_outside_strings, string_length, unquote};

use super::node::Line;

/// A part of a template: text, or what stands between `{{` and `}}`.
#[derive(Debug)]
pub(super) enum Part<'t> {
    Text(&'t str),
    Action { inside: &'t str, line: Line },
}

/// Cuts a template into text and actions; comments are gone, and so are the blanks that `{{-` and `-}}` trim.
pub(super) fn parts(text: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    let mut line: Line = 1;
    let mut trims = false;
    while let Some((before, after)) = rest.split_once("{{") {
        line = line.saturating_add(lines(before));
        let (after, trims_before) = match after.strip_prefix('-') {
            Some(tail) if tail.starts_with(is_blank) => (tail, true),
            _ => (after, false),
        };
        let mut before = if trims { before.trim_start_matches(is_blank) } else { before };
        if trims_before {
            before = before.trim_end_matches(is_blank);
        }
        if !before.is_empty() {
            parts.push(Part::Text(before));
        }
        let unclosed = || format!("line {line}: `{{{{` without `}}}}`");
        if let Some(comment) = after.trim_start_matches(|c| trims_before && is_blank(c)).strip_prefix("/*") {
            let (comment, tail) = comment
                .split_once("*/")
                .ok_or_else(|| format!("line {line}: a comment that does not end"))?;
            line = line.saturating_add(lines(comment));
            (rest, trims) = match (tail.strip_prefix("}}"), tail.strip_prefix([' ', '\t', '\r', '\n'])) {
                (Some(tail), _) => (tail, false),
                (None, Some(tail)) if tail.starts_with("-}}") => (tail.get(3..).unwrap_or(""), true),
                _ => return Err(format!("line {line}: a comment ends before its closing delimiter")),
            };
            continue;
        }
        let length = find_outside_strings(after, "}}").ok_or_else(unclosed)?;
        let (mut inside, tail) = after.split_at_checked(length).ok_or_else(unclosed)?;
        trims = false;
        if let Some(trimmed) = inside.strip_suffix('-')
            && trimmed.ends_with(is_blank)
        {
            (inside, trims) = (trimmed, true);
        }
        parts.push(Part::Action { inside, line });
        line = line.saturating_add(lines(inside));
        rest = tail.get(2..).unwrap_or("");
    }
    let rest = if trims { rest.trim_start_matches(is_blank) } else { rest };
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    Ok(parts)
}

fn lines(text: &str) -> Line {
    Line::try_from(text.matches('\n').count()).unwrap_or(Line::MAX)
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    /// Blanks, which part arguments.
    Space,
    Identifier(String),
    /// `.name`
    Field(String),
    /// `$name`, the `$` included.
    Variable(String),
    Dot,
    Text(String),
    Int(i64),
    Float(f64),
    Pipe,
    Comma,
    Declare,
    Assign,
    Open,
    Close,
}

impl Word {
    /// The word as an error shows it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Space => "a blank".to_owned(),
            Self::Identifier(name) | Self::Variable(name) => format!("`{name}`"),
            Self::Field(name) => format!("`.{name}`"),
            Self::Dot => "`.`".to_owned(),
            Self::Text(text) => format!("{text:?}"),
            Self::Int(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Pipe => "`|`".to_owned(),
            Self::Comma => "`,`".to_owned(),
            Self::Declare => "`:=`".to_owned(),
            Self::Assign => "`=`".to_owned(),
            Self::Open => "`(`".to_owned(),
            Self::Close => "`)`".to_owned(),
        }
    }
}

/// The words of an action.
pub(super) fn words(text: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (word, length) = match first {
            c if is_blank(c) => {
                (Word::Space, rest.len().saturating_sub(rest.trim_start_matches(is_blank).len()))
            }
            '|' => (Word::Pipe, 1),
            ',' => (Word::Comma, 1),
            '(' => (Word::Open, 1),
            ')' => (Word::Close, 1),
            '=' => (Word::Assign, 1),
            ':' if rest.starts_with(":=") => (Word::Declare, 2),
            '"' | '`' | '\'' => string(rest)?,
            '$' => {
                let name = name_length(rest.get(1..).unwrap_or("")).saturating_add(1);
                (Word::Variable(rest.get(..name).unwrap_or("").to_owned()), name)
            }
            '.' if !rest.get(1..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) => {
                let name = name_length(rest.get(1..).unwrap_or(""));
                match rest.get(1..name.saturating_add(1)) {
                    Some(field) if !field.is_empty() => {
                        (Word::Field(field.to_owned()), name.saturating_add(1))
                    }
                    _ => (Word::Dot, 1),
                }
            }
            c if c.is_ascii_digit() || matches!(c, '.' | '+' | '-') => number(rest)?,
            c if is_name(c) => {
                let length = name_length(rest);
                (Word::Identifier(rest.get(..length).unwrap_or("").to_owned()), length)
            }
            c => return Err(format!("unexpected {c:?}")),
        };
        words.push(word);
        rest = rest.get(length..).unwrap_or("");
    }
    Ok(words)
}

fn is_name(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn name_length(text: &str) -> usize {
    text.find(|c| !is_name(c)).unwrap_or(text.len())
}

/// A number at the start of `text`, and its length.
fn number(text: &str) -> Result<(Word, usize), String> {
    let mut before = ' ';
    let end = text.find(|c: char| {
        let sign = matches!(c, '+' | '-') && matches!(before, ' ' | 'e' | 'E' | 'p' | 'P');
        let goes_on = sign || c == '.' || is_name(c);
        before = c;
        !goes_on
    });
    let end = end.unwrap_or(text.len());
    let word = text.get(..end).unwrap_or("");
    let bad = || format!("`{word}` is no number");
    let plain = word.replace('_', "");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => (-1_i64, digits),
        None => (1, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let radix = |prefixes: [&str; 2], radix: u32| {
        let digits = prefixes.iter().find_map(|prefix| digits.strip_prefix(prefix))?;
        Some(i64::from_str_radix(digits, radix).map_err(|_| bad()))
    };
    let special =
        radix(["0x", "0X"], 16).or_else(|| radix(["0b", "0B"], 2)).or_else(|| radix(["0o", "0O"], 8));
    if let Some(number) = special {
        return Ok((Word::Int(sign.saturating_mul(number?)), end));
    }
    if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|digit| digit.is_ascii_digit()) {
        let number = i64::from_str_radix(digits, 8).map_err(|_| bad())?;
        return Ok((Word::Int(sign.saturating_mul(number)), end));
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.is_empty() {
        return Ok((Word::Int(plain.parse().map_err(|_| bad())?), end));
    }
    let is_float = digits.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    if !is_float {
        return Err(bad());
    }
    Ok((Word::Float(plain.parse().map_err(|_| bad())?), end))
}

/// A string or a character at the start of `text`, and its length.
fn string(text: &str) -> Result<(Word, usize), String> {
    let unending = || "a string that does not end".to_owned();
    let length = string_length(text).ok_or_else(unending)?;
    let literal = text.get(..length).unwrap_or("");
    if literal.contains('\n') && !literal.starts_with('`') {
        return Err(unending());
    }
    let value = String::from_utf8_lossy(&unquote(literal)?).into_owned();
    if !literal.starts_with('\'') {
        return Ok((Word::Text(value), length));
    }
    let mut chars = value.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => Ok((Word::Int(i64::from(u32::from(c))), length)),
        _ => Err(format!("'{value}' is not one character; strings stand in \" or `")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trimming_takes_the_blanks_beside_an_action_and_comments_vanish() {
        let shown = |text: &str| {
            let parts = parts(text).unwrap();
            let parts = parts.iter().map(|part| match part {
                Part::Text(text) => (*text).to_owned(),
                Part::Action { inside, line } => format!("<{}@{line}>", inside.trim()),
            });
            parts.collect::<Vec<_>>().join("|")
        };
        assert_eq!(shown("a {{- .X -}} \n b"), "a|<.X@1>|b");
        assert_eq!(shown("a\n{{/* no }} */}}b{{- /* x */ -}} c{{.}}"), "a\n|b|c|<.@2>");
        assert_eq!(shown(r#"{{"}}"}}x{{`}}`}}"#), r#"<"}}"@1>|x|<`}}`@1>"#);
        assert_eq!(shown("{{-3}}"), "<-3@1>");
        for text in ["{{", "a {{ b }", "{{/* x", "{{\"}}", "{{/* x */ y}}"] {
            assert!(parts(text).is_err(), "{text}");
        }
    }

    #[test]
    fn words_are_those_of_go() {
        let words = words("$v.a := .b.c | printf \"%.2f\\n\" 0x1F -1.5e3 'a' `\\`, . (x)").unwrap();
        let words: Vec<_> = words.into_iter().filter(|word| *word != Word::Space).collect();
        let name = |name: &str| Word::Identifier(name.to_owned());
        let field = |name: &str| Word::Field(name.to_owned());
        let text = |text: &str| Word::Text(text.to_owned());
        assert_eq!(
            words,
            [
                Word::Variable("$v".to_owned()),
                field("a"),
                Word::Declare,
                field("b"),
                field("c"),
                Word::Pipe,
                name("printf"),
                text("%.2f\n"),
                Word::Int(31),
                Word::Float(-1500.0),
                Word::Int(97),
                text("\\"),
                Word::Comma,
                Word::Dot,
                Word::Open,
                name("x"),
                Word::Close
            ]
        );
        for bad in ["\"a", "'ab'", "1x", "#", "\"\\q\"", "0xzz", "1.2.3"] {
            assert!(super::words(bad).is_err(), "{bad}");
        }
    }
}
