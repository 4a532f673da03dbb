//! The three answers of a gate.

use std::fmt;

use super::binary::binary_variants;

/// What a gate, or one of its checks, answers.
///
/// Deliberately exhaustive: pass, fail, inconclusive is the contract. Silence is never a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Verdict {
    /// There is evidence that the canary is good.
    Pass,
    /// There is evidence that the canary is bad.
    Fail,
    /// There is evidence for neither; the reasons say why, and what would settle it.
    Inconclusive,
}

binary_variants!(Verdict { 0 = Pass, 1 = Fail, 2 = Inconclusive });

impl Verdict {
    /// The verdict as it is written in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
