//! Tree to text: the canonical form, which is Prometheus's and reads back to the same tree.

use std::fmt::{self, Display, Formatter};

use crate::model::label::quoted_name;
use crate::model::number::{format_duration, format_f, format_g, quote, truncate_to_i64};
use crate::model::{MatchOp, Matcher};

use super::ast::{
    Aggregate, At, Binary, Cardinality, DurationExpr, Expr, Extension, MatrixSelector, Modifiers,
    NumberLiteral, UnaryOp, VectorMatching, VectorSelector,
};
use super::duration::literal_nanos;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(literal) => literal.fmt(f),
            Self::String(literal) => f.write_str(&quote(&literal.value)),
            Self::Vector(selector) => write_selector(f, selector),
            Self::Matrix(matrix) => write_matrix(f, matrix),
            Self::Subquery(subquery) => {
                subquery.expr.fmt(f)?;
                SubquerySuffix(subquery).fmt(f)
            }
            Self::Call(call) => {
                f.write_str(call.function.signature().name)?;
                f.write_str("(")?;
                for (index, arg) in call.args.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { ", " })?;
                    arg.fmt(f)?;
                }
                f.write_str(")")
            }
            Self::Aggregate(aggregate) => {
                AggregateHead(aggregate).fmt(f)?;
                f.write_str("(")?;
                if let Some(param) = &aggregate.param {
                    param.fmt(f)?;
                    f.write_str(", ")?;
                }
                aggregate.expr.fmt(f)?;
                f.write_str(")")
            }
            Self::Binary(binary) => {
                binary.lhs.fmt(f)?;
                f.write_str(" ")?;
                BinaryHead(binary).fmt(f)?;
                f.write_str(" ")?;
                binary.rhs.fmt(f)
            }
            Self::Unary(unary) => {
                f.write_str(unary.op.as_str())?;
                unary.expr.fmt(f)
            }
            Self::Paren(paren) => {
                f.write_str("(")?;
                paren.expr.fmt(f)?;
                f.write_str(")")
            }
        }
    }
}

#[inline(never)]
fn write_selector(f: &mut Formatter<'_>, selector: &VectorSelector) -> fmt::Result {
    selector.fmt(f)?;
    write_at(f, &selector.modifiers)?;
    write_extension(f, &selector.modifiers)?;
    write_offset(f, &selector.modifiers)
}

#[inline(never)]
fn write_matrix(f: &mut Formatter<'_>, matrix: &MatrixSelector) -> fmt::Result {
    matrix.selector.fmt(f)?;
    f.write_str("[")?;
    write_duration(f, &matrix.window)?;
    f.write_str("]")?;
    write_extension(f, &matrix.selector.modifiers)?;
    write_at(f, &matrix.selector.modifiers)?;
    write_offset(f, &matrix.selector.modifiers)
}

/// The operator of an aggregation with its grouping, up to the parenthesis.
pub(super) struct AggregateHead<'e>(pub(super) &'e Aggregate);

impl Display for AggregateHead<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op.as_str())?;
        if !self.0.without && self.0.grouping.is_empty() {
            return Ok(());
        }
        f.write_str(if self.0.without { " without (" } else { " by (" })?;
        write_labels(f, &self.0.grouping)?;
        f.write_str(") ")
    }
}

/// A binary operator with its modifiers.
pub(super) struct BinaryHead<'e>(pub(super) &'e Binary);

impl Display for BinaryHead<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op.as_str())?;
        if self.0.return_bool {
            f.write_str(" bool")?;
        }
        self.0.matching.as_ref().map_or(Ok(()), |matching| write_matching(f, matching))
    }
}

/// What follows the expression of a subquery.
pub(super) struct SubquerySuffix<'e>(pub(super) &'e super::ast::Subquery);

impl Display for SubquerySuffix<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        write_duration(f, &self.0.window)?;
        f.write_str(":")?;
        if let Some(step) = &self.0.step {
            write_duration(f, step)?;
        }
        f.write_str("]")?;
        write_at(f, &self.0.modifiers)?;
        write_offset(f, &self.0.modifiers)
    }
}

fn write_matching(f: &mut Formatter<'_>, matching: &VectorMatching) -> fmt::Result {
    let group = match matching.card {
        Cardinality::ManyToOne => Some(" group_left ("),
        Cardinality::OneToMany => Some(" group_right ("),
        Cardinality::OneToOne | Cardinality::ManyToMany => None,
    };
    if matching.on || !matching.labels.is_empty() || group.is_some() {
        f.write_str(if matching.on { " on (" } else { " ignoring (" })?;
        write_labels(f, &matching.labels)?;
        f.write_str(")")?;
    }
    if let Some(group) = group {
        f.write_str(group)?;
        write_labels(f, &matching.include)?;
        f.write_str(")")?;
    }
    match (matching.fill_left, matching.fill_right) {
        (Some(left), Some(right)) if left == right => write!(f, " fill ({})", format_g(left)),
        (left, right) => {
            if let Some(left) = left {
                write!(f, " fill_left ({})", format_g(left))?;
            }
            if let Some(right) = right {
                write!(f, " fill_right ({})", format_g(right))?;
            }
            Ok(())
        }
    }
}

fn write_labels(f: &mut Formatter<'_>, labels: &[String]) -> fmt::Result {
    for (index, label) in labels.iter().enumerate() {
        f.write_str(if index == 0 { "" } else { ", " })?;
        f.write_str(&quoted_name(label))?;
    }
    Ok(())
}

impl Display for VectorSelector {
    /// Name and matchers, without modifiers.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or("");
        f.write_str(name)?;
        let states_name = |matcher: &&Matcher| {
            self.name.is_some()
                && matcher.op() == MatchOp::Equal
                && matcher.name() == "__name__"
                && matcher.value() == name.as_bytes()
        };
        let mut shown: Vec<String> =
            self.matchers.iter().filter(|matcher| !states_name(matcher)).map(Matcher::to_string).collect();
        if shown.is_empty() {
            return Ok(());
        }
        shown.sort_unstable();
        write!(f, "{{{}}}", shown.join(","))
    }
}

fn write_at(f: &mut Formatter<'_>, modifiers: &Modifiers) -> fmt::Result {
    match modifiers.at {
        None => Ok(()),
        Some(At::Start) => f.write_str(" @ start()"),
        Some(At::End) => f.write_str(" @ end()"),
        #[expect(clippy::cast_precision_loss, reason = "Prometheus prints the float")]
        Some(At::Time(millis)) => write!(f, " @ {:.3}", millis as f64 / 1000.0),
    }
}

fn write_extension(f: &mut Formatter<'_>, modifiers: &Modifiers) -> fmt::Result {
    modifiers.extension.map_or(Ok(()), |extension| write!(f, " {}", extension.as_str()))
}

fn write_offset(f: &mut Formatter<'_>, modifiers: &Modifiers) -> fmt::Result {
    let Some(offset) = &modifiers.offset else { return Ok(()) };
    f.write_str(" offset ")?;
    match offset {
        DurationExpr::Literal(literal) => {
            let nanos = literal_nanos(literal);
            f.write_str(if nanos < 0 { "-" } else { "" })?;
            f.write_str(&format_duration(nanos.wrapping_neg().max(nanos)))
        }
        offset => write!(f, "{offset}"),
    }
}

/// A duration that is the whole window, step or offset: a literal always has the form of a duration.
fn write_duration(f: &mut Formatter<'_>, duration: &DurationExpr) -> fmt::Result {
    match duration {
        DurationExpr::Literal(literal) => f.write_str(&format_duration(literal_nanos(literal))),
        duration => write!(f, "{duration}"),
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(literal) => literal.fmt(f),
            Self::Step(_) => f.write_str("step()"),
            Self::Range(_) => f.write_str("range()"),
            Self::Extreme { max, lhs, rhs, .. } => {
                write!(f, "{}({lhs}, {rhs})", if *max { "max_of" } else { "min_of" })
            }
            Self::Unary { op: UnaryOp::Minus, expr, .. } => write!(f, "-{expr}"),
            Self::Unary { op: UnaryOp::Plus, expr, .. } => expr.fmt(f),
            Self::Binary { op, lhs, rhs, .. } => write!(f, "{lhs} {} {rhs}", op.as_str()),
            Self::Paren(expr, _) => write!(f, "({expr})"),
        }
    }
}

impl Display for NumberLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.is_duration {
            return f.write_str(&format_f(self.value));
        }
        // Not rounded, as in Prometheus: 1s1ms, whose seconds are just below 1.001, prints as 1s.
        if self.value < 0.0 {
            f.write_str("-")?;
        }
        f.write_str(&format_duration(truncate_to_i64(self.value.abs() * 1e9)))
    }
}

impl Extension {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Anchored => "anchored",
            Self::Smoothed => "smoothed",
        }
    }
}

impl UnaryOp {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
        }
    }
}
