//! Patterns that need no engine: sets of literals, prefixes, suffixes, parts.

use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// How many literals a product of classes and alternations may make; a plain alternation may have any number.
const PRODUCTS: usize = 256;

/// What a pattern comes down to.
#[derive(Debug)]
pub(super) enum Shape {
    /// Exactly these values, sorted, each once.
    Literals(Box<[Box<str>]>),
    /// `prefix.*suffix`; with `gap`, `prefix.+suffix`. Both may be empty.
    Affixes { prefix: Box<str>, suffix: Box<str>, gap: bool },
    /// `.*part.*`
    Contains(Box<str>),
    /// Anything else, with the prefix that all its values have.
    Other { prefix: Box<str> },
}

impl Shape {
    /// The shape of a pattern that matches whole values.
    pub(super) fn of(hir: &Hir) -> Self {
        if let Some(mut literals) = literals(hir) {
            literals.sort_unstable();
            literals.dedup();
            return Self::Literals(literals.into_iter().map(String::into_boxed_str).collect());
        }
        let parts = parts(hir);
        match *parts {
            [gap] if Gap::of(gap).is_some() => affixes("", gap, ""),
            [prefix, gap] if literal(prefix).is_some() && Gap::of(gap).is_some() => {
                affixes(literal(prefix).unwrap_or_default(), gap, "")
            }
            [gap, suffix] if literal(suffix).is_some() && Gap::of(gap).is_some() => {
                affixes("", gap, literal(suffix).unwrap_or_default())
            }
            [prefix, gap, suffix]
                if literal(prefix).is_some() && Gap::of(gap).is_some() && literal(suffix).is_some() =>
            {
                affixes(literal(prefix).unwrap_or_default(), gap, literal(suffix).unwrap_or_default())
            }
            [before, part, after]
                if Gap::of(before) == Some(Gap::Any)
                    && literal(part).is_some()
                    && Gap::of(after) == Some(Gap::Any) =>
            {
                Self::Contains(literal(part).unwrap_or_default().into())
            }
            _ => Self::Other {
                prefix: parts.first().and_then(|first| literal(first)).unwrap_or_default().into(),
            },
        }
    }

    /// Whether the shape decides for itself; the answer of `Other` is not known.
    pub(super) fn matches(&self, value: &str) -> Option<bool> {
        match self {
            Self::Literals(literals) => {
                Some(literals.binary_search_by(|literal| (**literal).cmp(value)).is_ok())
            }
            Self::Affixes { prefix, suffix, gap } => {
                let between = value.strip_prefix(&**prefix).and_then(|rest| rest.strip_suffix(&**suffix));
                Some(between.is_some_and(|between| !gap || !between.is_empty()))
            }
            Self::Contains(part) => Some(value.contains(&**part)),
            Self::Other { prefix } => (!value.starts_with(&**prefix)).then_some(false),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Gap {
    /// `.*`
    Any,
    /// `.+`
    Some,
}

impl Gap {
    fn of(hir: &Hir) -> Option<Self> {
        let HirKind::Repetition(repetition) = uncaptured(hir).kind() else {
            return None;
        };
        let HirKind::Class(Class::Unicode(class)) = uncaptured(&repetition.sub).kind() else {
            return None;
        };
        let every = super::class::dot(true);
        if class.ranges() != every.ranges() || repetition.max.is_some() {
            return None;
        }
        match repetition.min {
            0 => Some(Self::Any),
            1 => Some(Self::Some),
            _ => None,
        }
    }
}

fn affixes(prefix: &str, gap: &Hir, suffix: &str) -> Shape {
    Shape::Affixes { prefix: prefix.into(), suffix: suffix.into(), gap: Gap::of(gap) == Some(Gap::Some) }
}

fn uncaptured(mut hir: &Hir) -> &Hir {
    while let HirKind::Capture(capture) = hir.kind() {
        hir = &capture.sub;
    }
    hir
}

/// The members of the outermost concatenation, without anchors at its ends, which say nothing new.
fn parts(hir: &Hir) -> Vec<&Hir> {
    let hir = uncaptured(hir);
    let parts = match hir.kind() {
        HirKind::Concat(parts) => parts.as_slice(),
        _ => std::slice::from_ref(hir),
    };
    let is = |hir: &Hir, look: Look| matches!(hir.kind(), HirKind::Look(found) if *found == look);
    let first = parts.iter().take_while(|part| is(part, Look::Start)).count();
    let parts = parts.get(first..).unwrap_or_default();
    let last = parts.iter().rev().take_while(|part| is(part, Look::End)).count();
    parts.get(..parts.len().saturating_sub(last)).unwrap_or_default().iter().collect()
}

fn literal(hir: &Hir) -> Option<&str> {
    match uncaptured(hir).kind() {
        HirKind::Literal(literal) => std::str::from_utf8(&literal.0).ok(),
        _ => None,
    }
}

/// All values that the pattern matches, if it is plain that they are few.
fn literals(hir: &Hir) -> Option<Vec<String>> {
    let parts = parts(hir);
    product(&parts, DEPTH)
}

/// How deep a set of literals is looked for.
const DEPTH: u8 = 32;

fn product(parts: &[&Hir], depth: u8) -> Option<Vec<String>> {
    let mut whole = vec![String::new()];
    for part in parts {
        let tails = expand(part, depth)?;
        match &*tails {
            [tail] => whole.iter_mut().for_each(|head| head.push_str(tail)),
            _ if whole.len() == 1 => {
                let head = whole.pop().unwrap_or_default();
                whole = tails;
                if !head.is_empty() {
                    whole.iter_mut().for_each(|tail| tail.insert_str(0, &head));
                }
            }
            _ => {
                if whole.len().saturating_mul(tails.len()) > PRODUCTS {
                    return None;
                }
                whole = whole
                    .iter()
                    .flat_map(|head| tails.iter().map(move |tail| format!("{head}{tail}")))
                    .collect();
            }
        }
    }
    Some(whole)
}

fn expand(hir: &Hir, depth: u8) -> Option<Vec<String>> {
    let depth = depth.checked_sub(1)?;
    match hir.kind() {
        HirKind::Empty => Some(vec![String::new()]),
        HirKind::Literal(literal) => Some(vec![std::str::from_utf8(&literal.0).ok()?.to_owned()]),
        HirKind::Class(Class::Unicode(class)) => {
            let size = class.ranges().iter().fold(0usize, |size, range| size.saturating_add(range.len()));
            if size > PRODUCTS {
                return None;
            }
            Some(class.iter().flat_map(|range| range.start()..=range.end()).map(String::from).collect())
        }
        HirKind::Class(Class::Bytes(_)) | HirKind::Look(_) => None,
        HirKind::Repetition(repetition) => {
            let max = usize::try_from(repetition.max.filter(|max| *max <= 64)?).ok()?;
            let min = usize::try_from(repetition.min).ok()?;
            let once = expand(&repetition.sub, depth)?;
            let mut all = Vec::new();
            let mut these = vec![String::new()];
            for count in 0..=max {
                if count >= min {
                    all.extend(these.iter().cloned());
                }
                if count < max {
                    if these.len().saturating_mul(once.len()).saturating_add(all.len()) > PRODUCTS {
                        return None;
                    }
                    these = these
                        .iter()
                        .flat_map(|head| once.iter().map(move |tail| format!("{head}{tail}")))
                        .collect();
                }
            }
            Some(all)
        }
        HirKind::Capture(capture) => expand(&capture.sub, depth),
        HirKind::Concat(parts) => product(&parts.iter().collect::<Vec<_>>(), depth),
        HirKind::Alternation(branches) => {
            let mut all = Vec::new();
            for branch in branches {
                all.extend(expand(branch, depth)?);
            }
            Some(all)
        }
    }
}
