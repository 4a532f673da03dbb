//! Why a check or a gate answers what it answers: a stable code, typed data, one sentence.

mod data;
mod finding;
mod sentence;

use std::fmt;

pub use self::data::{BesideBaseline, BesideBaselineSamples, BurnRates, MissingSamples, Trace, WindowCounts};
pub use self::finding::Finding;
use super::binary::{binary_fields, binary_variants};

/// What a [`Reason`] speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Severity {
    /// It fails the check.
    Fail,
    /// It keeps the check from being settled.
    Inconclusive,
    /// It passes the check.
    Pass,
    /// It decides nothing.
    Information,
}

binary_variants!(Severity { 0 = Fail, 1 = Inconclusive, 2 = Pass, 3 = Information });

/// Why: a code for programs, its data, and a sentence for people.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Reason {
    /// What the reason speaks for.
    pub severity: Severity,
    /// The check it belongs to; none if it is about the gate.
    pub check: Option<String>,
    /// The element that it is about, as `pod="a"`; none if it is about all.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub element: Option<String>,
    /// What was found; its variant is the code.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub finding: Finding,
    /// The finding as one sentence, lower case, no full stop.
    pub text: String,
}

binary_fields!(Reason { severity, check, element, finding, text });

impl Reason {
    pub(crate) fn new(severity: Severity, check: Option<&str>, finding: Finding) -> Self {
        let text = finding.to_string();
        Self { severity, check: check.map(str::to_owned), element: None, finding, text }
    }

    /// The reason's stable code in `kebab-case`.
    pub fn code(&self) -> &'static str {
        self.finding.code()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(check) = &self.check {
            write!(f, "{check}: ")?;
        }
        if let Some(element) = &self.element {
            write!(f, "{element}: ")?;
        }
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
