//! Matchers: conditions on one label.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::Labels;
use super::pattern::Pattern;
use crate::error::Result;

/// How a [`Matcher`] compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`: the value is equal.
    Equal,
    /// `!=`: the value differs.
    NotEqual,
    /// `=~`: the whole value matches the pattern.
    Matches,
    /// `!~`: the value does not match the pattern as a whole.
    NotMatches,
}

impl MatchOp {
    /// The operator as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Matches => "=~",
            Self::NotMatches => "!~",
        }
    }
}

/// A condition on one label of a series; a label that is absent has the value "".
///
/// Values are bytes because PromQL's strings are: a value that is not UTF-8 equals no label's value.
#[derive(Clone)]
pub struct Matcher {
    name: Arc<str>,
    op: MatchOp,
    value: Arc<[u8]>,
    pattern: Option<Arc<Pattern>>,
}

impl Matcher {
    /// A matcher on label `name`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Parse`](crate::ErrorKind::Parse) with Go's text when `op` takes a pattern and `value` is none
    /// that RE2 accepts.
    pub fn new(name: impl Into<Arc<str>>, op: MatchOp, value: impl AsRef<[u8]>) -> Result<Self> {
        let value = value.as_ref();
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Matches | MatchOp::NotMatches => Some(Arc::new(Pattern::new(value)?)),
        };
        Ok(Self { name: name.into(), op, value: value.into(), pattern })
    }

    /// The matcher `name="value"`, which cannot fail.
    pub fn equal(name: impl Into<Arc<str>>, value: &str) -> Self {
        Self { name: name.into(), op: MatchOp::Equal, value: value.as_bytes().into(), pattern: None }
    }

    /// The label that is compared.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is compared.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The value or pattern as written, as bytes.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// The compiled pattern of `=~` and `!~`.
    pub(crate) fn pattern(&self) -> Option<&Pattern> {
        self.pattern.as_deref()
    }

    /// Whether a series with this value of the label is accepted; "" stands for a label that is absent.
    pub fn matches(&self, value: &str) -> bool {
        match (self.op, &self.pattern) {
            (MatchOp::NotEqual, _) => *self.value != *value.as_bytes(),
            (MatchOp::Matches, Some(pattern)) => pattern.matches(value),
            (MatchOp::NotMatches, Some(pattern)) => !pattern.matches(value),
            (MatchOp::Equal | MatchOp::Matches | MatchOp::NotMatches, _) => *self.value == *value.as_bytes(),
        }
    }

    /// Whether a series with these labels is accepted.
    pub fn accepts(&self, labels: &Labels) -> bool {
        self.matches(labels.get(&self.name).unwrap_or(""))
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.op == other.op && self.value == other.value
    }
}

impl Eq for Matcher {}

impl Hash for Matcher {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, self.op, &self.value).hash(state);
    }
}

impl fmt::Display for Matcher {
    /// `job=~"a.*"`, as Prometheus prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = super::label::quoted_name(&self.name);
        write!(f, "{name}{}{}", self.op.as_str(), super::number::quote(&self.value))
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_label_has_the_empty_value() {
        assert!(Matcher::new("a", MatchOp::NotEqual, "x").unwrap().matches(""));
        assert!(Matcher::new("a", MatchOp::Equal, "").unwrap().matches(""));
        assert!(Matcher::new("a", MatchOp::Matches, ".*").unwrap().matches(""));
        assert!(!Matcher::new("a", MatchOp::Matches, ".+").unwrap().matches(""));
    }

    #[test]
    fn patterns_are_anchored_and_dot_matches_newline() {
        let matcher = Matcher::new("a", MatchOp::Matches, "b|c.d").unwrap();
        assert!(matcher.matches("b") && matcher.matches("c\nd"));
        assert!(!matcher.matches("bb") && !matcher.matches("xb"));
    }
}
