//! Errors beside the text that they are about.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::error::Error;

/// Of a line that is longer only what is near the fault is shown.
const LINE_BYTES: usize = 4 << 10;

/// An error with the line at fault under it, a mark below the fault, and what may have been meant.
///
/// [`Display`](fmt::Display) lays it out as the Rust compiler does, without colours unless they are
/// [asked for](Self::colored). An error that has no [place](Error::text_range), or whose place is not in the text, is
/// shown alone.
///
/// ```
/// let text = "sum by (job) (raet(requests_total[5m]))";
/// let error = promgate::Engine::new().prepare(text).unwrap_err();
/// let shown = promgate::Diagnostic::new(&error, text).to_string();
/// assert_eq!(shown, r#"error: unknown function with name "raet"
///   |
/// 1 | sum by (job) (raet(requests_total[5m]))
///   |               ^^^^ did you mean `rate`, `irate` or `rad`?"#);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Diagnostic<'a> {
    error: &'a Error,
    text: &'a str,
    origin: Option<&'a str>,
    colored: bool,
}

impl<'a> Diagnostic<'a> {
    /// The error, which came of reading `text`: a query, an exposition, a template.
    pub fn new(error: &'a Error, text: &'a str) -> Self {
        Self { error, text, origin: None, colored: false }
    }

    /// Says where the text is from, a file as a rule.
    #[must_use]
    pub fn origin(mut self, name: &'a str) -> Self {
        self.origin = Some(name);
        self
    }

    /// Whether the terminal's colours are used. Default: no.
    #[must_use]
    pub fn colored(mut self, on: bool) -> Self {
        self.colored = on;
        self
    }

    /// The lines that the fault is in, the number of the first one, and the place within them.
    fn lines(&self) -> Option<(&'a str, usize, Range<usize>)> {
        let text = self.text;
        let Range { start, end } = self.error.text_range()?;
        if start > text.len() {
            return None;
        }
        let start = floor_boundary(text, start);
        let end = floor_boundary(text, end.clamp(start, start.saturating_add(LINE_BYTES)));
        let (before, after) = (text.get(..start)?, text.get(end..)?);
        let from = before.rfind('\n').map_or(0, |newline| newline.saturating_add(1));
        let from = ceil_boundary(text, from.max(start.saturating_sub(LINE_BYTES)));
        let to = after.find('\n').map_or(text.len(), |length| end.saturating_add(length));
        let to = floor_boundary(text, to.min(end.saturating_add(LINE_BYTES)));
        let line = before.matches('\n').count().saturating_add(1);
        Some((text.get(from..to)?, line, start.saturating_sub(from)..end.saturating_sub(from)))
    }
}

/// The last boundary of a character up to here.
fn floor_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The first boundary of a character from here on.
fn ceil_boundary(text: &str, at: usize) -> usize {
    (at..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

/// A sentence without the place before it, which is drawn.
fn without_place(sentence: &str) -> &str {
    let is_place = |text: &str| {
        let place = text.strip_prefix("line ").unwrap_or(text).replacen(", column ", ":", 1);
        place.split(':').all(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    match sentence.split_once(": parse error: ") {
        Some((place, rest)) if is_place(place) => return rest,
        _ => {}
    }
    match sentence.split_once(": ") {
        Some((place, rest)) if place.starts_with("line ") && is_place(place) => rest,
        _ => sentence,
    }
}

impl fmt::Display for Diagnostic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sentence = self.error.to_string();
        let quoted: Vec<String> = self.error.suggestions().iter().map(|name| format!("`{name}`")).collect();
        let meant = match quoted.as_slice() {
            [] => None,
            [first @ .., last] if !first.is_empty() => {
                Some(format!("did you mean {} or {last}?", first.join(", ")))
            }
            _ => Some(format!("did you mean {}?", quoted.concat())),
        };
        let group = match self.lines() {
            Some((lines, number, range)) => {
                let mark = AnnotationKind::Primary.span(range).label(meant);
                let snippet = Snippet::source(lines).line_start(number).path(self.origin).annotation(mark);
                Level::ERROR.primary_title(without_place(&sentence)).element(snippet)
            }
            None => {
                let group = Group::with_title(Level::ERROR.primary_title(&*sentence));
                match meant {
                    Some(meant) => group.element(Level::HELP.message(meant)),
                    None => group,
                }
            }
        };
        let renderer = if self.colored { Renderer::styled() } else { Renderer::plain() };
        f.write_str(&renderer.render(&[group]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorKind;
    use crate::promql::Engine;

    fn shown(query: &str) -> String {
        let error = Engine::new().prepare(query).unwrap_err();
        Diagnostic::new(&error, query).to_string()
    }

    #[test]
    fn the_fault_is_marked_in_its_line() {
        assert_eq!(shown("sum(\n  rate(a[5m]\n)"), "error: unclosed left parenthesis\n  |\n3 | )\n  |  ^");
    }

    #[test]
    fn a_file_is_named_with_line_and_column() {
        let body = "a 1\nb{c=1} 2\n";
        let exposition =
            crate::Exposition::new(body.as_bytes(), &crate::ExpositionOptions::default()).unwrap();
        let error = exposition.map(|entry| entry.map(drop)).find_map(Result::err).unwrap();
        assert_eq!(
            Diagnostic::new(&error, body).origin("metrics.txt").to_string(),
            "error: expected a double quote\n --> metrics.txt:2:5\n  |\n2 | b{c=1} 2\n  |     ^"
        );
    }

    #[test]
    fn an_error_without_a_place_stands_alone() {
        let error = Error::new(ErrorKind::Limit, "17 labels, at most 16");
        assert_eq!(Diagnostic::new(&error, "a").to_string(), "error: 17 labels, at most 16");
        let error = error.suggesting(vec!["a".into(), "b".into(), "c".into()]);
        assert!(Diagnostic::new(&error, "a").to_string().ends_with("did you mean `a`, `b` or `c`?"));
    }

    #[test]
    fn a_long_line_is_shown_around_the_fault() {
        let labels = "label,".repeat(1_200);
        let query = format!("sum by ({labels}) (raet(a) + on ({labels}) a)");
        let shown = shown(&query);
        assert!(shown.contains("(raet(a) + on (label,label") && shown.contains("^^^^"), "{shown}");
        assert!(shown.len() < 2_000, "{}", shown.len());
    }

    proptest! {
        #[test]
        fn any_place_in_any_text_is_shown(text in "[a-z\n\t\u{e9}\u{1f4a5}\u{200b}\r\0]{0,40}", start in 0_usize..50, length in 0_usize..50) {
            let error = Error::new(ErrorKind::Parse, "1:1: parse error: wrong").at(start, start + length);
            let plain = Diagnostic::new(&error, &text).to_string();
            prop_assert!(plain.starts_with("error: "), "{}", plain);
            prop_assert!(Diagnostic::new(&error, &text).colored(true).to_string().contains("wrong"));
        }
    }
}
