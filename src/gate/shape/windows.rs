//! The lesser of one ratio over two windows, as burn rates over a long and a short one are asked for.

use super::fold::measured;
use super::{Grouping, Measured, Subject};
use crate::promql::ast::{Aggregate, AggregateOp, BinaryOp, Expr, VectorMatching};
use crate::promql::signature::Function;

/// `min(label_replace(A, "w", "long", "", "") or label_replace(B, "w", "short", "", ""))`, where `A` and `B` are one ratio over two
/// windows.
pub(super) fn lesser(node: &Aggregate) -> Option<Measured> {
    if node.op != AggregateOp::Min || node.without || !node.grouping.is_empty() {
        return None;
    }
    let Expr::Binary(both) = node.expr.unwrap_parens() else { return None };
    let ((name, one, left), (other_name, other, right)) = (marked(&both.lhs)?, marked(&both.rhs)?);
    // Marked alike they would be one series, of which `or` keeps the first.
    let matched = |matching: &VectorMatching| matching.on || !matching.labels.is_empty();
    if both.op != BinaryOp::Or || both.matching.as_ref().is_some_and(matched) {
        return None;
    }
    if name != other_name || one == other || left.scale != right.scale || left.scale <= 0.0 {
        return None;
    }
    let plain = |measured: &Measured| measured.offset == 0.0 && measured.filter.is_none();
    let (long, short) =
        if left.subject.window_ms() >= right.subject.window_ms() { (&left, &right) } else { (&right, &left) };
    let (long_ms, short_ms) = (long.subject.window_ms()?, short.subject.window_ms()?);
    if !plain(long) || !plain(short) || short_ms >= long_ms || !alike(&long.subject, &short.subject) {
        return None;
    }
    let subject = Subject::Lesser { ratio: Box::new(long.subject.clone()), short_ms };
    let guarded = left.guarded || right.guarded;
    Some(Measured { scale: left.scale, guarded, ..Measured::of(subject) })
}

/// What is marked by a label, with the name and value of that.
fn marked(expr: &Expr) -> Option<(&[u8], &[u8], Measured)> {
    let Expr::Call(call) = expr.unwrap_parens() else { return None };
    let (Function::LabelReplace, [inner, name, value, source, pattern]) =
        (call.function, call.args.as_slice())
    else {
        return None;
    };
    // A pattern that everything matches, in a label that nothing has.
    if !(text(source)?.is_empty() && text(pattern)?.is_empty()) {
        return None;
    }
    Some((text(name)?, text(value)?, measured(inner)))
}

fn text(expr: &Expr) -> Option<&[u8]> {
    match expr.unwrap_parens() {
        Expr::String(text) => Some(&text.value),
        _ => None,
    }
}

/// Whether they are ratios of the same events, each over one window and as a whole: of several elements the least would be asked for.
fn alike(one: &Subject, other: &Subject) -> bool {
    let (
        Subject::Ratio { numerator, denominator },
        Subject::Ratio { numerator: other_numerator, denominator: other_denominator },
    ) = (one, other)
    else {
        return false;
    };
    numerator.window_ms == denominator.window_ms
        && other_numerator.window_ms == other_denominator.window_ms
        && numerator.terms == other_numerator.terms
        && denominator.terms == other_denominator.terms
        && [numerator, denominator, other_numerator, other_denominator]
            .iter()
            .all(|events| events.by == Grouping::Whole)
}
