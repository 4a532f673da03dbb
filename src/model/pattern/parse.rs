//! RE2's syntax, as Go reads it, to the engine's intermediate form.
//!
//! Follows `regexp/syntax/parse.go` of Go, flags `Perl | DotNL`: what it accepts, what it refuses, and with which
//! text. There is no recursion; open groups stand on a stack.

use regex_syntax::hir::{Capture, Class, ClassUnicode, ClassUnicodeRange, Hir, Look, Repetition};

use super::class;
use crate::error::{Error, ErrorKind, Result};

/// The longest pattern in bytes; alternations of literals may be longer.
pub(super) const PATTERN_BYTES: usize = 4096;
/// Go's limit for a repeat count, and for the product of nested ones.
const REPEATS: u64 = 1000;
/// Go's limit for the height of the tree.
const HEIGHT: u32 = 1000;
/// How high the tree may be for us: building the engine recurses, on a stack that the caller provides.
const DEPTH: u32 = 100;
/// How many ranges all classes of a pattern may have: `\pL` alone has 677.
const CLASS_RANGES: usize = 50_000;

/// A pattern that has been read.
pub(super) struct Parsed {
    pub(super) hir: Hir,
    /// The names of the groups, the whole match first.
    pub(super) groups: Vec<Option<Box<str>>>,
}

/// What is switched on at a place of the pattern.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    pub(super) ignore_case: bool,
    pub(super) multi_line: bool,
    pub(super) dot_matches_newline: bool,
    pub(super) swap_greed: bool,
}

/// Why a pattern is refused.
pub(super) enum Fault {
    /// Go's error code and the piece of the pattern that it shows. `at_end` means that Go would have looked at
    /// what comes next, and so would have noticed bytes that are not UTF-8.
    Syntax { code: &'static str, shown: String, at_end: bool },
    /// One of our limits.
    Limit(Error),
}

pub(super) type Parse<T> = std::result::Result<T, Fault>;

pub(super) fn fault<T>(code: &'static str, shown: &str) -> Parse<T> {
    Err(Fault::Syntax { code, shown: shown.to_owned(), at_end: false })
}

pub(super) fn fault_at_end<T>(code: &'static str, shown: &str) -> Parse<T> {
    Err(Fault::Syntax { code, shown: shown.to_owned(), at_end: true })
}

/// Reads a pattern.
pub(super) fn parse(text: &[u8], flags: Flags) -> Result<Parsed> {
    let chunk = text.utf8_chunks().next();
    let valid = chunk.map_or("", |chunk| chunk.valid());
    let rest = text.get(valid.len()..).unwrap_or_default();
    let (code, shown) = match Parser::new(valid, text.len(), flags).run() {
        Ok(parsed) if rest.is_empty() => return Ok(parsed),
        Err(Fault::Limit(error)) => return Err(error),
        Err(Fault::Syntax { code, shown, at_end }) if rest.is_empty() || !at_end => (code, shown),
        Ok(_) | Err(_) => ("invalid UTF-8", String::from_utf8_lossy(rest).into_owned()),
    };
    Err(Error::new(ErrorKind::Parse, format!("error parsing regexp: {code}: `{shown}`")))
}

/// A finished piece, with what the limits need.
struct Element {
    hir: Hir,
    height: u32,
    /// The largest product of nested repeat counts.
    repeats: u64,
    literal: bool,
}

/// A group whose closing parenthesis has not come yet; the bottom one is the pattern itself.
struct Group {
    outer: Flags,
    capture: Option<u32>,
    alternatives: Vec<Element>,
    sequence: Vec<Element>,
}

impl Group {
    fn new(outer: Flags, capture: Option<u32>) -> Self {
        Self { outer, capture, alternatives: Vec::new(), sequence: Vec::new() }
    }

    fn end_alternative(&mut self) {
        let sequence = std::mem::take(&mut self.sequence);
        // Neighbouring literals are one node of Go's tree.
        let one_node = sequence.iter().all(|element| element.literal);
        let element = join(sequence, one_node, Hir::concat);
        self.alternatives.push(element);
    }

    fn close(mut self) -> Element {
        self.end_alternative();
        join(self.alternatives, false, Hir::alternation)
    }
}

fn join(elements: Vec<Element>, one_node: bool, with: fn(Vec<Hir>) -> Hir) -> Element {
    let below = elements.iter().map(|element| element.height).max().unwrap_or(0);
    let height = if one_node || elements.len() == 1 { below.max(1) } else { below.saturating_add(1) };
    let repeats = elements.iter().map(|element| element.repeats).max().unwrap_or(1);
    let literal = one_node && elements.len() == 1;
    let hir = with(elements.into_iter().map(|element| element.hir).collect());
    Element { hir, height, repeats, literal }
}

pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
    pub(super) flags: Flags,
    /// Bytes of the whole pattern, what is not UTF-8 included.
    bytes: usize,
    below: Vec<Group>,
    group: Group,
    names: Vec<Option<Box<str>>>,
    class_ranges: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, bytes: usize, flags: Flags) -> Self {
        Self {
            text,
            at: 0,
            flags,
            bytes,
            below: Vec::new(),
            group: Group::new(flags, None),
            names: vec![None],
            class_ranges: 0,
        }
    }

    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The text from byte `start` to where the parser stands.
    pub(super) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.skip(next.len_utf8());
        Some(next)
    }

    pub(super) fn skip(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    pub(super) fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.skip(token.len());
        }
        found
    }

    fn run(mut self) -> Parse<Parsed> {
        let mut last_repeat = None;
        while let Some(next) = self.peek() {
            let start = self.at;
            let mut repeated = false;
            match next {
                '(' if self.rest().starts_with("(?") => self.group_or_flags()?,
                '(' => {
                    self.skip(1);
                    self.open_capture(None)?;
                }
                '|' => {
                    self.skip(1);
                    self.group.end_alternative();
                }
                ')' => {
                    self.skip(1);
                    self.close_group()?;
                }
                '^' => {
                    self.skip(1);
                    self.push_look(if self.flags.multi_line { Look::StartLF } else { Look::Start })?;
                }
                '$' => {
                    self.skip(1);
                    self.push_look(if self.flags.multi_line { Look::EndLF } else { Look::End })?;
                }
                '.' => {
                    self.skip(1);
                    self.push_class(class::dot(self.flags.dot_matches_newline))?;
                }
                '[' => {
                    let class = self.class()?;
                    self.push_class(class)?;
                }
                '*' | '+' | '?' => {
                    self.skip(1);
                    let (min, max) = match next {
                        '*' => (0, None),
                        '+' => (1, None),
                        _ => (0, Some(1)),
                    };
                    self.repeat(start, last_repeat, min, max, false)?;
                    repeated = true;
                }
                '{' => match self.repeat_count() {
                    Some((min, max)) => {
                        if min > REPEATS || max.is_some_and(|max| max > REPEATS || max < min) {
                            return fault("invalid repeat count", self.since(start));
                        }
                        let narrow = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
                        self.repeat(start, last_repeat, narrow(min), max.map(narrow), true)?;
                        repeated = true;
                    }
                    None => {
                        self.skip(1);
                        self.push_literal('{')?;
                    }
                },
                '\\' => self.escaped()?,
                other => {
                    self.skip(other.len_utf8());
                    self.push_literal(other)?;
                }
            }
            last_repeat = repeated.then_some(start);
        }
        if !self.below.is_empty() {
            return fault_at_end("missing closing )", self.text);
        }
        let whole = self.group.close();
        if whole.height > HEIGHT {
            return fault_at_end("expression nests too deeply", self.text);
        }
        // A leaf is no nesting.
        let depth = whole.height.saturating_sub(1);
        if depth > DEPTH {
            return Err(Fault::Limit(Error::new(
                ErrorKind::Limit,
                format!("the pattern nests {depth} deep, at most {DEPTH} are allowed (pattern_depth)"),
            )));
        }
        Ok(Parsed { hir: whole.hir, groups: self.names })
    }

    /// Notes that the pattern is more than an alternation of literals, so that its length counts.
    fn not_literal(&self) -> Parse<()> {
        if self.bytes <= PATTERN_BYTES {
            return Ok(());
        }
        Err(Fault::Limit(Error::new(
            ErrorKind::Limit,
            format!(
                "the pattern has {} bytes, at most {PATTERN_BYTES} are allowed (pattern_bytes) unless it is an \
                 alternation of literals",
                self.bytes
            ),
        )))
    }

    fn push(&mut self, hir: Hir, literal: bool) {
        self.group.sequence.push(Element { hir, height: 1, repeats: 1, literal });
    }

    fn push_look(&mut self, look: Look) -> Parse<()> {
        self.not_literal()?;
        self.push(Hir::look(look), false);
        Ok(())
    }

    fn push_class(&mut self, class: ClassUnicode) -> Parse<()> {
        self.not_literal()?;
        self.class_ranges = self.class_ranges.saturating_add(class.ranges().len());
        if self.class_ranges > CLASS_RANGES {
            return Err(Fault::Limit(Error::new(
                ErrorKind::Limit,
                format!("the pattern's character classes have more than {CLASS_RANGES} ranges"),
            )));
        }
        self.push(Hir::class(Class::Unicode(class)), false);
        Ok(())
    }

    fn push_literal(&mut self, literal: char) -> Parse<()> {
        if self.flags.ignore_case {
            let mut class = ClassUnicode::new([ClassUnicodeRange::new(literal, literal)]);
            class::fold(&mut class);
            if class.ranges().len() > 1 {
                self.not_literal()?;
            }
            self.push(Hir::class(Class::Unicode(class)), true);
        } else {
            self.push(Hir::literal(literal.encode_utf8(&mut [0; 4]).as_bytes()), true);
        }
        Ok(())
    }

    fn open_capture(&mut self, name: Option<&str>) -> Parse<()> {
        self.not_literal()?;
        let index = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.map(Box::from));
        self.open(Some(index));
        Ok(())
    }

    fn open(&mut self, capture: Option<u32>) {
        let outer = std::mem::replace(&mut self.group, Group::new(self.flags, capture));
        self.below.push(outer);
    }

    fn close_group(&mut self) -> Parse<()> {
        let Some(outer) = self.below.pop() else {
            return fault("unexpected )", self.text);
        };
        let group = std::mem::replace(&mut self.group, outer);
        self.flags = group.outer;
        let capture = group.capture;
        let mut element = group.close();
        if let Some(index) = capture {
            // Names stay on our side: RE2 allows one name for two groups, the engine does not.
            element.hir = Hir::capture(Capture { index, name: None, sub: Box::new(element.hir) });
            element.height = element.height.saturating_add(1);
        }
        element.literal = false;
        if element.height > HEIGHT {
            return fault("expression nests too deeply", self.text);
        }
        self.group.sequence.push(element);
        Ok(())
    }

    /// `(?i)`, `(?i:`, `(?:`, `(?P<name>`, `(?<name>`.
    fn group_or_flags(&mut self) -> Parse<()> {
        let start = self.at;
        self.skip("(?".len());
        let rest = self.rest();
        // A name needs one byte after its bracket to count as begun.
        let opening = ["P<", "<"].into_iter().find(|open| rest.starts_with(open) && rest.len() > open.len());
        if let Some(opening) = opening {
            self.skip(opening.len());
            let Some((name, _)) = self.rest().split_once('>') else {
                return fault_at_end("invalid named capture", self.text.get(start..).unwrap_or_default());
            };
            self.skip(name.len().saturating_add(1));
            if name.is_empty() || !name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric()) {
                return fault("invalid named capture", self.since(start));
            }
            return self.open_capture(Some(name));
        }
        let mut flags = self.flags;
        let mut on = true;
        let mut seen = false;
        while let Some(next) = self.next() {
            let flag = match next {
                'i' => &mut flags.ignore_case,
                'm' => &mut flags.multi_line,
                's' => &mut flags.dot_matches_newline,
                'U' => &mut flags.swap_greed,
                '-' if on => {
                    on = false;
                    seen = false;
                    continue;
                }
                ':' | ')' if on || seen => {
                    if next == ':' {
                        self.not_literal()?;
                        self.open(None);
                    }
                    self.flags = flags;
                    return Ok(());
                }
                _ => return fault("invalid or unsupported Perl syntax", self.since(start)),
            };
            *flag = on;
            seen = true;
        }
        fault_at_end("invalid or unsupported Perl syntax", self.since(start))
    }

    /// Repeats what was read last.
    fn repeat(
        &mut self,
        start: usize,
        last_repeat: Option<usize>,
        min: u32,
        max: Option<u32>,
        counted: bool,
    ) -> Parse<()> {
        self.not_literal()?;
        let lazy = self.eat("?");
        if let Some(last) = last_repeat {
            return fault("invalid nested repetition operator", self.since(last));
        }
        let Some(element) = self.group.sequence.pop() else {
            return fault("missing argument to repetition operator", self.since(start));
        };
        let height = element.height.saturating_add(1);
        if height > HEIGHT {
            return fault("expression nests too deeply", self.text);
        }
        let mut repeats = element.repeats;
        if counted {
            repeats = match max.unwrap_or(min) {
                0 if max.is_some() => 1,
                count => repeats.saturating_mul(u64::from(count.max(1))),
            };
            if (min >= 2 || max.is_some_and(|max| max >= 2)) && repeats > REPEATS {
                return fault("invalid repeat count", self.since(start));
            }
        }
        let greedy = lazy == self.flags.swap_greed;
        let hir = Hir::repetition(Repetition { min, max, greedy, sub: Box::new(element.hir) });
        self.group.sequence.push(Element { hir, height, repeats, literal: false });
        Ok(())
    }

    /// `{2}`, `{2,}`, `{2,3}`; without effect if it is none of these and therefore literal text.
    fn repeat_count(&mut self) -> Option<(u64, Option<u64>)> {
        let start = self.at;
        let count = self.repeat_count_here();
        if count.is_none() {
            self.at = start;
        }
        count
    }

    fn repeat_count_here(&mut self) -> Option<(u64, Option<u64>)> {
        self.skip(1);
        let min = self.count()?;
        let max = if !self.eat(",") {
            Some(min)
        } else if self.rest().starts_with('}') {
            None
        } else {
            Some(self.count()?)
        };
        self.eat("}").then_some((min, max))
    }

    /// Decimal digits without leading zeros; saturates.
    fn count(&mut self) -> Option<u64> {
        let length = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        let digits = self.rest().get(..length)?;
        if digits.is_empty() || (length > 1 && digits.starts_with('0')) {
            return None;
        }
        self.skip(length);
        Some(digits.parse().unwrap_or(u64::MAX))
    }

    /// What a backslash begins, outside a class.
    fn escaped(&mut self) -> Parse<()> {
        let start = self.at;
        if let Some(look) = match self.rest().get(..2) {
            Some("\\A") => Some(Look::Start),
            Some("\\z") => Some(Look::End),
            Some("\\b") => Some(Look::WordAscii),
            Some("\\B") => Some(Look::WordAsciiNegate),
            _ => None,
        } {
            self.skip(2);
            return self.push_look(look);
        }
        if self.eat("\\C") {
            return fault("invalid escape sequence", self.since(start));
        }
        if self.eat("\\Q") {
            let rest = self.rest();
            let (quoted, end) = rest.split_once("\\E").map_or((rest, ""), |(quoted, _)| (quoted, "\\E"));
            for literal in quoted.chars() {
                self.push_literal(literal)?;
            }
            self.skip(quoted.len().saturating_add(end.len()));
            return Ok(());
        }
        if let Some(class) = self.class_escape()? {
            return self.push_class(class);
        }
        // Half of a surrogate pair becomes U+FFFD, as where Go turns a code point into text.
        let literal = char::from_u32(self.escape()?).unwrap_or(char::REPLACEMENT_CHARACTER);
        self.push_literal(literal)
    }

    /// An escape that stands for one code point.
    pub(super) fn escape(&mut self) -> Parse<u32> {
        let start = self.at;
        self.skip(1);
        let Some(next) = self.next() else {
            return fault_at_end("trailing backslash at end of expression", "");
        };
        let invalid = |parser: &Self| fault("invalid escape sequence", parser.since(start));
        let invalid_at_end = |parser: &Self| fault_at_end("invalid escape sequence", parser.since(start));
        match next {
            '1'..='7' if !self.peek().is_some_and(|digit| digit.is_digit(8)) => invalid(self),
            '0'..='7' => {
                let mut code = next.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    let Some(digit) = self.peek().and_then(|digit| digit.to_digit(8)) else { break };
                    self.skip(1);
                    code = code.saturating_mul(8).saturating_add(digit);
                }
                Ok(code)
            }
            'x' => match self.next() {
                None => invalid_at_end(self),
                Some('{') => {
                    let mut code = 0u32;
                    let mut digits = 0usize;
                    loop {
                        match self.next() {
                            None => return invalid_at_end(self),
                            Some('}') if digits > 0 => return Ok(code),
                            Some(digit) => {
                                let Some(digit) = digit.to_digit(16) else { return invalid(self) };
                                code = code.saturating_mul(16).saturating_add(digit);
                                if code > u32::from(char::MAX) {
                                    return invalid(self);
                                }
                                digits = digits.saturating_add(1);
                            }
                        }
                    }
                }
                Some(high) => {
                    let Some(low) = self.next() else {
                        return invalid_at_end(self);
                    };
                    match (high.to_digit(16), low.to_digit(16)) {
                        (Some(high), Some(low)) => Ok(high.saturating_mul(16).saturating_add(low)),
                        _ => invalid(self),
                    }
                }
            },
            'a' => Ok(0x07),
            'f' => Ok(0x0c),
            'n' => Ok(0x0a),
            'r' => Ok(0x0d),
            't' => Ok(0x09),
            'v' => Ok(0x0b),
            other if other.is_ascii() && !other.is_ascii_alphanumeric() => Ok(u32::from(other)),
            _ => invalid(self),
        }
    }
}
