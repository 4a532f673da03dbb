//! Character classes: `[a-z]`, `\d`, `[:alpha:]`, `\p{Greek}`.

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

use super::parse::{Parse, Parser, fault, fault_at_end};
use super::unicode::is_unicode_class;

/// `.`
pub(super) fn dot(matches_newline: bool) -> ClassUnicode {
    let mut class = ClassUnicode::empty();
    if !matches_newline {
        class.push(ClassUnicodeRange::new('\n', '\n'));
    }
    class.negate();
    class
}

/// Adds what Unicode's simple case folding makes equal.
pub(super) fn fold(class: &mut ClassUnicode) {
    if class.try_case_fold_simple().is_err() {
        // Only a build of regex-syntax without case tables fails, and ours has them; ASCII is what is left then.
        debug_assert!(false, "regex-syntax is built with Unicode tables");
    }
}

/// The ASCII class of `\d`, `\s`, `\w`.
fn perl_class(letter: char) -> Option<&'static [(char, char)]> {
    match letter {
        'd' => Some(&[('0', '9')]),
        's' => Some(&[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')]),
        'w' => Some(&[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]),
        _ => None,
    }
}

/// The ASCII class of `[:name:]`.
fn posix_class(name: &str) -> Option<&'static [(char, char)]> {
    Some(match name {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\x7f')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\x1f'), ('\x7f', '\x7f')],
        "digit" => &[('0', '9')],
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "word" => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return None,
    })
}

/// The code points `low..=high` that are characters: surrogates are left out.
fn push_range(class: &mut ClassUnicode, low: u32, high: u32) {
    let parts = [(low, high.min(0xd7ff)), (low.max(0xe000), high)];
    for (low, high) in parts {
        if let (Some(low), Some(high)) = (char::from_u32(low), char::from_u32(high))
            && low <= high
        {
            class.push(ClassUnicodeRange::new(low, high));
        }
    }
}

impl Parser<'_> {
    /// `[…]`
    pub(super) fn class(&mut self) -> Parse<ClassUnicode> {
        let start = self.at;
        self.skip(1);
        let negated = self.eat("^");
        let mut class = ClassUnicode::empty();
        let mut first = true;
        while first || !self.rest().starts_with(']') {
            first = false;
            if let Some(named) = self.posix_class()? {
                class.union(&named);
                continue;
            }
            if let Some(escaped) = self.class_escape()? {
                class.union(&escaped);
                continue;
            }
            let from = self.at;
            let low = self.class_member(start)?;
            let mut high = low;
            // A hyphen before the closing bracket is a member.
            let after_hyphen = self.rest().strip_prefix('-').and_then(|rest| rest.chars().next());
            if after_hyphen.is_some_and(|next| next != ']') {
                self.skip(1);
                high = self.class_member(start)?;
                if high < low {
                    return fault("invalid character class range", self.since(from));
                }
            }
            push_range(&mut class, low, high);
        }
        self.skip(1);
        if self.flags.ignore_case {
            fold(&mut class);
        }
        if negated {
            class.negate();
        }
        Ok(class)
    }

    /// One code point of a class that began at byte `start`.
    fn class_member(&mut self, start: usize) -> Parse<u32> {
        if self.rest().starts_with('\\') {
            return self.escape();
        }
        match self.next() {
            Some(member) => Ok(u32::from(member)),
            None => fault_at_end("missing closing ]", self.text.get(start..).unwrap_or_default()),
        }
    }

    /// `[:alpha:]` inside a class.
    fn posix_class(&mut self) -> Parse<Option<ClassUnicode>> {
        let start = self.at;
        let Some((name, _)) = self.rest().strip_prefix("[:").and_then(|rest| rest.split_once(":]")) else {
            return Ok(None);
        };
        self.skip(name.len().saturating_add("[::]".len()));
        let (name, negated) = name.strip_prefix('^').map_or((name, false), |name| (name, true));
        match posix_class(name) {
            Some(ranges) => Ok(Some(self.named(ranges, negated))),
            None => fault("invalid character class range", self.since(start)),
        }
    }

    fn named(&self, ranges: &[(char, char)], negated: bool) -> ClassUnicode {
        let mut class =
            ClassUnicode::new(ranges.iter().map(|(low, high)| ClassUnicodeRange::new(*low, *high)));
        self.finish(&mut class, negated);
        class
    }

    fn finish(&self, class: &mut ClassUnicode, negated: bool) {
        if self.flags.ignore_case {
            fold(class);
        }
        if negated {
            class.negate();
        }
    }

    /// `\d`, `\W`, `\pL`, `\P{Greek}`: an escape that stands for many characters; without effect if it is none.
    pub(super) fn class_escape(&mut self) -> Parse<Option<ClassUnicode>> {
        let Some(letter) = self.rest().strip_prefix('\\').and_then(|rest| rest.chars().next()) else {
            return Ok(None);
        };
        let negated = letter.is_ascii_uppercase();
        let lower = letter.to_ascii_lowercase();
        if lower == 'p' {
            return self.unicode_class(negated).map(Some);
        }
        let Some(ranges) = perl_class(lower) else {
            return Ok(None);
        };
        self.skip(2);
        Ok(Some(self.named(ranges, negated)))
    }

    fn unicode_class(&mut self, mut negated: bool) -> Parse<ClassUnicode> {
        let start = self.at;
        self.skip(2);
        let name = match self.next() {
            None => return fault_at_end("invalid character class range", self.since(start)),
            Some('{') => {
                let Some((name, _)) = self.rest().split_once('}') else {
                    return fault_at_end(
                        "invalid character class range",
                        self.text.get(start..).unwrap_or_default(),
                    );
                };
                self.skip(name.len().saturating_add(1));
                name.to_owned()
            }
            Some(letter) => letter.to_string(),
        };
        let name = match name.strip_prefix('^') {
            Some(name) => {
                negated = !negated;
                name
            }
            None => &name,
        };
        match unicode_class(name) {
            Some(mut class) => {
                self.finish(&mut class, negated);
                Ok(class)
            }
            None => fault("invalid character class range", self.since(start)),
        }
    }
}

/// A general category or a script, by the names that Go knows.
fn unicode_class(name: &str) -> Option<ClassUnicode> {
    if name == "Any" {
        return Some(dot(true));
    }
    if name == "Cs" {
        // Surrogates occur in no text.
        return Some(ClassUnicode::empty());
    }
    if !is_unicode_class(name) {
        return None;
    }
    let property = if name.len() <= 2 { "gc" } else { "sc" };
    // "Yi" is the one script whose name is as short as a category's.
    let property = if name == "Yi" { "sc" } else { property };
    let hir = regex_syntax::parse(&format!("\\p{{{property}={name}}}")).ok()?;
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => Some(class.clone()),
        HirKind::Literal(literal) => {
            let mut class = ClassUnicode::empty();
            for literal in std::str::from_utf8(&literal.0).ok()?.chars() {
                class.push(ClassUnicodeRange::new(literal, literal));
            }
            Some(class)
        }
        _ => None,
    }
}
