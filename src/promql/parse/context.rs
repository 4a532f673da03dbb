//! Where a word that fits nowhere was found.

/// The innermost construct that can explain a word that fits nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Context {
    /// None in particular.
    Query,
    Aggregation,
    GroupingStart,
    GroupingLabel,
    GroupingEnd,
    MatcherStart,
    MatcherOp,
    MatcherValue,
    MatcherEnd,
    Offset,
    At,
    /// Behind `[`
    Range,
    /// Behind `[5m`
    RangeEnd,
    /// Behind `[5m:`
    Step,
    /// Behind `[5m:1m`
    StepEnd,
}

impl Context {
    /// What follows the word in the error text.
    pub(super) const fn suffix(self) -> &'static str {
        match self {
            Self::Query => "",
            Self::Aggregation => " in aggregation",
            Self::GroupingStart => " in grouping opts, expected \"(\"",
            Self::GroupingLabel => " in grouping opts, expected label",
            Self::GroupingEnd => " in grouping opts, expected \",\" or \")\"",
            Self::MatcherStart => " in label matching, expected identifier or \"}\"",
            Self::MatcherOp => " in label matching, expected label matching operator",
            Self::MatcherValue => " in label matching, expected string",
            Self::MatcherEnd => " in label matching, expected \",\" or \"}\"",
            Self::Offset => " in offset, expected number, duration, step(), or range()",
            Self::At => " in @, expected timestamp",
            Self::Range => " in subquery or range selector, expected number, duration, step(), or range()",
            Self::RangeEnd => " in subquery or range, expected \":\" or \"]\"",
            Self::Step => " in subquery selector, expected number, duration, step(), range(), or \"]\"",
            Self::StepEnd => " in subquery selector, expected \"]\"",
        }
    }
}
