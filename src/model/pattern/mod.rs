//! `=~`: RE2 patterns.
//!
//! The pattern P matches a value as a whole, as `^(?s:P)$` does. Reading follows Go's `regexp/syntax` ([`parse`]);
//! many patterns need no engine ([`shape`]), the others run on `regex-automata`, in time linear in the value.

mod class;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod law;
mod parse;
mod shape;
mod template;
#[cfg(test)]
mod tests;
mod unicode;

use regex_automata::meta::{BuildError, Config, Regex};
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::util::captures::Captures;
use regex_syntax::hir::{Class, Hir, Look, Repetition};

use crate::error::{Error, ErrorKind, Result};

use parse::{Flags, Parsed, parse};
use shape::Shape;
pub(crate) use template::Template;

/// How large a compiled pattern may be: about 10,000 states, 13 ms to build at worst.
const COMPILED_BYTES: usize = 1 << 20;

/// A compiled pattern that matches whole values.
#[derive(Debug)]
pub(crate) struct Pattern {
    shape: Shape,
    regex: Option<Regex>,
}

impl Pattern {
    /// Compiles a pattern; an error has Go's text, or names the limit.
    pub(crate) fn new(text: &[u8]) -> Result<Self> {
        let flags = Flags { dot_matches_newline: true, ..Flags::default() };
        let Parsed { hir, .. } = parse(text, flags)?;
        Self::whole(hir)
    }

    /// Compiles a pattern that may match anywhere in a value, and where a dot matches no line break: Go's
    /// `MatchString`. Anchors in it are those of the value.
    pub(crate) fn anywhere(text: &[u8]) -> Result<Self> {
        let Parsed { hir, .. } = parse(text, Flags::default())?;
        let gap = || {
            let every = Hir::class(Class::Unicode(class::dot(true)));
            Hir::repetition(Repetition { min: 0, max: None, greedy: true, sub: Box::new(every) })
        };
        Self::whole(Hir::concat(vec![gap(), hir, gap()]))
    }

    fn whole(hir: Hir) -> Result<Self> {
        let shape = Shape::of(&hir);
        let regex = match shape {
            Shape::Other { .. } => Some(compile(&anchored(hir), WhichCaptures::None)?),
            _ => None,
        };
        Ok(Self { shape, regex })
    }

    /// Whether the whole value matches.
    pub(crate) fn matches(&self, value: &str) -> bool {
        match (self.shape.matches(value), &self.regex) {
            (Some(known), _) => known,
            (None, Some(regex)) => regex.is_match(value),
            (None, None) => false,
        }
    }

    /// The values that match, sorted, each once, if they are a plain set.
    pub(crate) fn set_of_literals(&self) -> Option<&[Box<str>]> {
        match &self.shape {
            Shape::Literals(literals) => Some(literals),
            _ => None,
        }
    }

    /// What every matching value begins with, as far as it is plain; may be "".
    pub(crate) fn prefix(&self) -> &str {
        match &self.shape {
            Shape::Affixes { prefix, .. } | Shape::Other { prefix } => prefix,
            Shape::Literals(literals) => match &**literals {
                [only] => only,
                _ => "",
            },
            Shape::Contains(_) => "",
        }
    }

    /// Whether it is plain that every value matches, as for `.*`.
    pub(crate) fn matches_everything(&self) -> bool {
        matches!(&self.shape, Shape::Affixes { prefix, suffix, gap: false } if prefix.is_empty() && suffix.is_empty())
    }
}

/// A compiled pattern whose groups are wanted, as `label_replace` takes it.
#[derive(Debug)]
pub(crate) struct GroupPattern {
    regex: Regex,
    names: Vec<Option<Box<str>>>,
}

impl GroupPattern {
    /// Compiles a pattern; an error has Go's text, or names the limit.
    pub(crate) fn new(text: &[u8]) -> Result<Self> {
        // label_replace pastes the text into its anchors, so that "a)|(b" is no error there.
        let whole = [b"^(?s:".as_slice(), text, b")$"].concat();
        let Parsed { hir, groups } = parse(&whole, Flags::default())?;
        Ok(Self { regex: compile(&hir, WhichCaptures::All)?, names: groups })
    }

    /// Compiles a pattern that may match anywhere in a value, and where a dot matches no line break: Go's `Regexp`.
    #[cfg(feature = "rules")]
    pub(crate) fn anywhere(text: &[u8]) -> Result<Self> {
        let Parsed { hir, groups } = parse(text, Flags::default())?;
        Ok(Self { regex: compile(&hir, WhichCaptures::All)?, names: groups })
    }

    /// The value with every match replaced, as Go's `ReplaceAllString` does it; `None` if that is longer than `limit` bytes.
    #[cfg(feature = "rules")]
    pub(crate) fn replace_all(&self, value: &str, template: &Template, limit: usize) -> Option<String> {
        let mut out = String::new();
        let mut done = 0;
        for captures in self.regex.captures_iter(value) {
            let Some(whole) = captures.get_match() else { continue };
            out.push_str(value.get(done..whole.start()).unwrap_or(""));
            out.push_str(&template.expand(&self.groups_of(&captures, value)));
            done = whole.end();
            if out.len() > limit {
                return None;
            }
        }
        out.push_str(value.get(done..).unwrap_or(""));
        (out.len() <= limit).then_some(out)
    }

    fn groups_of<'a>(&'a self, captures: &Captures, value: &'a str) -> Groups<'a> {
        Groups {
            names: &self.names,
            values: (0..self.names.len())
                .map(|index| captures.get_group(index).and_then(|span| value.get(span.range())))
                .collect(),
        }
    }

    /// What the groups hold when the value matches: leftmost, first alternative first.
    pub(crate) fn captures<'a>(&'a self, value: &'a str) -> Option<Groups<'a>> {
        let mut captures = self.regex.create_captures();
        self.regex.captures(value, &mut captures);
        captures.is_match().then(|| self.groups_of(&captures, value))
    }
}

/// What the groups of a pattern hold.
#[derive(Debug)]
pub(crate) struct Groups<'a> {
    names: &'a [Option<Box<str>>],
    values: Vec<Option<&'a str>>,
}

impl<'a> Groups<'a> {
    /// Group `index`, 0 being the whole match; `None` if it took no part or does not exist.
    pub(crate) fn get(&self, index: usize) -> Option<&'a str> {
        self.values.get(index).copied().flatten()
    }

    /// The group of this name; of several with the same name the first that took part.
    pub(crate) fn named(&self, name: &str) -> Option<&'a str> {
        let named = |group: &Option<Box<str>>| group.as_deref() == Some(name);
        self.names.iter().zip(&self.values).filter(|(group, _)| named(group)).find_map(|(_, value)| *value)
    }
}

fn anchored(hir: Hir) -> Hir {
    Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)])
}

fn compile(hir: &Hir, captures: WhichCaptures) -> Result<Regex> {
    let config = Config::new()
        .nfa_size_limit(Some(COMPILED_BYTES))
        .onepass_size_limit(Some(COMPILED_BYTES))
        .which_captures(captures);
    Regex::builder().configure(config).build_from_hir(hir).map_err(refused)
}

fn refused(error: BuildError) -> Error {
    let text = match error.size_limit() {
        Some(limit) => {
            format!("the compiled pattern is larger than {limit} bytes (pattern_states); simplify it")
        }
        None => "the pattern cannot be compiled".to_owned(),
    };
    Error::new(ErrorKind::Limit, text).caused_by(error)
}
