//! What a query measures, told by its form; what a condition makes of the number; and the check that both mean together.
//!
//! People write the same few measurements in many ways: with factors, guards against silence, comparisons inside the query.
//! [`Measured`] has those apart from what is counted, [`Reading`] finds by trial which numbers a condition takes, and
//! [`Derived`] puts them together. What has no known form stays opaque.

mod derive;
mod fold;
mod reading;
mod windows;

#[cfg(test)]
mod tests;

pub(crate) use derive::{Derived, Kind};
pub(crate) use reading::{Elements, Numbers, Reading, phase};

use crate::error::Result;
pub(crate) use crate::gate::spec::Grouping;
use crate::gate::spec::Selector;
use crate::promql::ast::{BinaryOp, Expr, ValueType};
use crate::promql::parse::{ParseOptions, parse};

/// What a metric's query and conditions mean together.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) expr: Expr,
    pub(crate) measured: Measured,
    pub(crate) reading: Reading,
    pub(crate) derived: Derived,
}

impl Shape {
    /// Reads a query and its conditions, empty where not given.
    ///
    /// # Errors
    ///
    /// The parser's.
    pub(crate) fn of(query: &str, success: &str, failure: &str) -> Result<Self> {
        let expr = parse(query, &ParseOptions::default())?;
        let measured = fold::measured(&expr);
        let keeps = |number| measured.filter.is_none_or(|filter| filter.keeps(number));
        let scalar = expr.value_type() == ValueType::Scalar;
        let reading = Reading::of(success, failure, scalar, &keeps);
        let derived = derive::derive(&measured, &reading);
        Ok(Self { expr, measured, reading, derived })
    }
}

/// What a query answers: `scale` times the subject plus `offset`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measured {
    pub(crate) subject: Subject,
    pub(crate) scale: f64,
    pub(crate) offset: f64,
    /// The comparison that lets only some answers through.
    pub(crate) filter: Option<Filter>,
    /// Whether silence is given a number, by `or vector(0)` or `clamp_min`.
    pub(crate) guarded: bool,
}

/// A comparison inside a query: answers that it does not hold for are dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Filter {
    pub(crate) op: BinaryOp,
    pub(crate) bound: f64,
}

impl Filter {
    pub(crate) fn keeps(self, number: f64) -> bool {
        match self.op {
            BinaryOp::Eq => number == self.bound,
            BinaryOp::Ne => number != self.bound,
            BinaryOp::Lt => number < self.bound,
            BinaryOp::Le => number <= self.bound,
            BinaryOp::Gt => number > self.bound,
            BinaryOp::Ge => number >= self.bound,
            _ => false,
        }
    }
}

/// What is measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Subject {
    /// Nothing: the number is the offset.
    Constant,
    /// Events of one or more counters.
    Events(Events),
    /// Events among events.
    Ratio { numerator: Events, denominator: Events },
    /// The lesser of a ratio over its own window and over a shorter one.
    Lesser { ratio: Box<Subject>, short_ms: i64 },
    /// A histogram's sum by its count.
    Mean { sum: Selector, count: Selector, by: Grouping },
    /// A quantile of a histogram, classic (its buckets) or native.
    Quantile { phi: f64, buckets: Selector, window_ms: Option<i64>, by: Grouping },
    /// A quantile whose buckets were summed without `le`.
    NoBounds,
    /// A gauge, or a number over the samples of one.
    Gauge { selector: Selector, by: Grouping, averaged: bool },
    /// The same events on two sides that share the traffic.
    Split { numerator: Selector, denominator: Selector },
    /// One subject by another of its kind.
    Quotient { canary: Box<Subject>, stable: Box<Subject> },
    /// One ratio less another.
    Difference { canary: Box<Subject>, stable: Box<Subject> },
    /// None of these.
    Opaque,
}

/// A weighted sum of counters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Events {
    pub(crate) terms: Vec<(f64, Selector)>,
    /// Milliseconds; none if it is computed.
    pub(crate) window_ms: Option<i64>,
    /// Whether it is a rate and not an increase.
    pub(crate) per_second: bool,
    pub(crate) by: Grouping,
}

impl Events {
    /// The only counter, where there is one.
    pub(crate) fn single(&self) -> Option<&Selector> {
        match self.terms.as_slice() {
            [(_, selector)] => Some(selector),
            _ => None,
        }
    }
}

impl Measured {
    pub(crate) fn of(subject: Subject) -> Self {
        Self { subject, scale: 1.0, offset: 0.0, filter: None, guarded: false }
    }

    pub(crate) fn opaque() -> Self {
        Self::of(Subject::Opaque)
    }

    pub(crate) fn is_opaque(&self) -> bool {
        matches!(self.subject, Subject::Opaque)
    }
}

impl Subject {
    /// Which elements the answer has.
    pub(crate) fn grouping(&self) -> Option<&Grouping> {
        match self {
            Self::Events(events) => Some(&events.by),
            Self::Ratio { denominator, .. } => Some(&denominator.by),
            Self::Mean { by, .. } | Self::Quantile { by, .. } | Self::Gauge { by, .. } => Some(by),
            Self::Quotient { canary: of, .. }
            | Self::Difference { canary: of, .. }
            | Self::Lesser { ratio: of, .. } => of.grouping(),
            Self::Constant | Self::NoBounds | Self::Split { .. } | Self::Opaque => None,
        }
    }

    /// How far back it looks, in milliseconds, where that is written as a number.
    pub(crate) fn window_ms(&self) -> Option<i64> {
        match self {
            Self::Events(events) | Self::Ratio { denominator: events, .. } => events.window_ms,
            Self::Quantile { window_ms, .. } => *window_ms,
            Self::Lesser { ratio, .. } => ratio.window_ms(),
            _ => None,
        }
    }

    /// Every selector in it.
    pub(crate) fn selectors(&self) -> Vec<&Selector> {
        match self {
            Self::Constant | Self::NoBounds | Self::Opaque => Vec::new(),
            Self::Events(events) => events.terms.iter().map(|(_, selector)| selector).collect(),
            Self::Ratio { numerator, denominator } => {
                numerator.terms.iter().chain(&denominator.terms).map(|(_, selector)| selector).collect()
            }
            Self::Lesser { ratio, .. } => ratio.selectors(),
            Self::Mean { sum, count, .. } => vec![sum, count],
            Self::Quantile { buckets: selector, .. } | Self::Gauge { selector, .. } => vec![selector],
            Self::Split { numerator, denominator } => vec![numerator, denominator],
            Self::Quotient { canary, stable } | Self::Difference { canary, stable } => {
                canary.selectors().into_iter().chain(stable.selectors()).collect()
            }
        }
    }
}
