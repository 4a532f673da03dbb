//! `=~`: RE2 patterns.

use regex_automata::meta::Regex;

use crate::error::{Error, ErrorKind, Result};

/// A compiled pattern that matches whole values.
#[derive(Debug)]
pub(crate) struct Pattern {
    regex: Regex,
}

impl Pattern {
    pub(crate) fn new(text: &[u8]) -> Result<Self> {
        let invalid = |detail: &str| Error::new(ErrorKind::Parse, format!("error parsing regexp: {detail}"));
        let text = std::str::from_utf8(text).map_err(|_| invalid("invalid UTF-8"))?;
        let regex = Regex::new(&format!("^(?s:{text})$")).map_err(|error| invalid(&error.to_string()))?;
        Ok(Self { regex })
    }

    pub(crate) fn matches(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }
}
