//! The form of a query, folded from its syntax tree.

use super::{Events, Filter, Grouping, Measured, Subject};
use crate::gate::spec::Selector;
use crate::model::{MatchOp, Matcher};
use crate::promql::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, DurationExpr, Expr, MatrixSelector, UnaryOp,
    VectorMatching, VectorSelector,
};
use crate::promql::signature::Function;

/// What a query measures.
pub(crate) fn measured(expr: &Expr) -> Measured {
    match expr {
        Expr::Number(number) => constant(number.value),
        Expr::Paren(paren) => measured(&paren.expr),
        Expr::Unary(unary) => match unary.op {
            UnaryOp::Plus => measured(&unary.expr),
            UnaryOp::Minus => affine(measured(&unary.expr), -1.0, 0.0),
        },
        Expr::Vector(selector) => plain(selector).map_or_else(Measured::opaque, |selector| {
            Measured::of(Subject::Gauge { selector, by: Grouping::Series, averaged: false })
        }),
        Expr::Call(node) => call(node),
        Expr::Aggregate(node) => aggregate(node),
        Expr::Binary(node) => binary(node),
        Expr::String(_) | Expr::Matrix(_) | Expr::Subquery(_) => Measured::opaque(),
    }
}

fn constant(value: f64) -> Measured {
    Measured { offset: value, ..Measured::of(Subject::Constant) }
}

/// The number, where it is one.
fn as_constant(measured: &Measured) -> Option<f64> {
    (matches!(measured.subject, Subject::Constant) && measured.filter.is_none()).then_some(measured.offset)
}

/// A selector without modifiers, its matchers in the order of their names.
fn plain(selector: &VectorSelector) -> Option<Selector> {
    let modifiers = &selector.modifiers;
    if modifiers.offset.is_some() || modifiers.at.is_some() || modifiers.extension.is_some() {
        return None;
    }
    let mut matchers: Vec<Matcher> = selector.matchers.clone();
    matchers.sort_by(|a, b| a.name().cmp(b.name()));
    Some(Selector::of(matchers))
}

/// `factor * x + term`; nothing is computed with answers of which some are dropped.
fn affine(measured: Measured, factor: f64, term: f64) -> Measured {
    if measured.is_opaque() || measured.filter.is_some() {
        return Measured::opaque();
    }
    Measured { scale: measured.scale * factor, offset: measured.offset.mul_add(factor, term), ..measured }
}

fn call(node: &Call) -> Measured {
    match (node.function, node.args.as_slice()) {
        (Function::Rate | Function::Irate | Function::Increase, [Expr::Matrix(matrix)]) => {
            counter(matrix, node.function != Function::Increase)
        }
        (
            Function::AvgOverTime
            | Function::MaxOverTime
            | Function::MinOverTime
            | Function::LastOverTime
            | Function::SumOverTime,
            [Expr::Matrix(matrix)],
        )
        | (Function::QuantileOverTime, [_, Expr::Matrix(matrix)]) => plain(&matrix.selector)
            .map_or_else(Measured::opaque, |selector| {
                Measured::of(Subject::Gauge { selector, by: Grouping::Series, averaged: false })
            }),
        (Function::Scalar_ | Function::Sort | Function::SortDesc, [inner]) => measured(inner),
        (Function::Vector_, [inner]) => match as_constant(&measured(inner)) {
            Some(value) => constant(value),
            None => Measured::opaque(),
        },
        (Function::ClampMin, [inner, floor]) => match as_constant(&measured(floor)) {
            Some(_) => Measured { guarded: true, ..measured(inner) },
            None => Measured::opaque(),
        },
        (Function::HistogramQuantile, [phi, inner]) => match as_constant(&measured(phi)) {
            Some(phi) => quantile(phi, measured(inner)),
            None => Measured::opaque(),
        },
        _ => Measured::opaque(),
    }
}

fn counter(matrix: &MatrixSelector, per_second: bool) -> Measured {
    let Some(selector) = plain(&matrix.selector) else { return Measured::opaque() };
    let window_ms = match &matrix.window {
        DurationExpr::Literal(literal) => Some((literal.value * 1000.0) as i64),
        _ => None,
    };
    let terms = vec![(1.0, selector)];
    Measured::of(Subject::Events(Events { terms, window_ms, per_second, by: Grouping::Series }))
}

fn quantile(phi: f64, inner: Measured) -> Measured {
    // A factor on all buckets changes no quantile.
    let plain = inner.offset == 0.0 && inner.scale > 0.0 && inner.filter.is_none();
    let (Subject::Events(events), true) = (inner.subject, plain) else { return Measured::opaque() };
    let [(_, buckets)] = events.terms.as_slice() else { return Measured::opaque() };
    let classic = buckets.metric().is_some_and(|name| name.ends_with("_bucket"));
    let by = match events.by {
        Grouping::Whole if classic => return Measured::of(Subject::NoBounds),
        Grouping::By(labels) if classic && !labels.iter().any(|label| label == "le") => {
            return Measured::of(Subject::NoBounds);
        }
        Grouping::Without(labels) if classic && labels.iter().any(|label| label == "le") => {
            return Measured::of(Subject::NoBounds);
        }
        Grouping::By(labels) => grouped(labels.into_iter().filter(|label| label != "le").collect()),
        other => other,
    };
    let (guarded, window_ms) = (inner.guarded, events.window_ms);
    let subject = Subject::Quantile { phi, buckets: buckets.clone(), window_ms, by };
    Measured { guarded, ..Measured::of(subject) }
}

fn grouped(labels: Vec<String>) -> Grouping {
    if labels.is_empty() { Grouping::Whole } else { Grouping::By(labels) }
}

fn aggregate(node: &Aggregate) -> Measured {
    if let Some(lesser) = super::windows::lesser(node) {
        return lesser;
    }
    let inner = measured(&node.expr);
    if inner.filter.is_some() || inner.offset != 0.0 {
        return Measured::opaque();
    }
    let by =
        if node.without { Grouping::Without(node.grouping.clone()) } else { grouped(node.grouping.clone()) };
    let subject = match (inner.subject, node.op) {
        (Subject::Events(events), AggregateOp::Sum) => Subject::Events(Events { by, ..events }),
        (Subject::Gauge { selector, .. }, AggregateOp::Avg | AggregateOp::Sum) => {
            Subject::Gauge { selector, by, averaged: true }
        }
        (Subject::Gauge { selector, averaged, .. }, AggregateOp::Max | AggregateOp::Min) => {
            Subject::Gauge { selector, by, averaged }
        }
        _ => Subject::Opaque,
    };
    Measured { subject, ..inner }
}

fn binary(node: &Binary) -> Measured {
    let fills = |matching: &VectorMatching| matching.fill_left.is_some() || matching.fill_right.is_some();
    if node.return_bool || node.matching.as_ref().is_some_and(fills) {
        return Measured::opaque();
    }
    let (left, right) = (measured(&node.lhs), measured(&node.rhs));
    match node.op {
        BinaryOp::Or => match as_constant(&right) {
            Some(_) => Measured { guarded: true, ..left },
            None => Measured::opaque(),
        },
        op if op.is_comparison() => compared(op, left, right),
        BinaryOp::Add => sum(left, right, 1.0),
        BinaryOp::Sub => sum(left, right, -1.0),
        BinaryOp::Mul => match (as_constant(&left), as_constant(&right)) {
            (Some(factor), _) => affine(right, factor, 0.0),
            (_, Some(factor)) => affine(left, factor, 0.0),
            _ => Measured::opaque(),
        },
        BinaryOp::Div => match as_constant(&right) {
            Some(0.0) => Measured::opaque(),
            Some(divisor) => affine(left, divisor.recip(), 0.0),
            None => divided(left, right),
        },
        _ => Measured::opaque(),
    }
}

/// `x > 0` only guards a denominator; any other comparison keeps some answers and drops the others.
fn compared(op: BinaryOp, left: Measured, right: Measured) -> Measured {
    let (subject, op, bound) = match (as_constant(&left), as_constant(&right)) {
        (None, Some(bound)) => (left, op, bound),
        (Some(bound), None) => (right, mirrored(op), bound),
        _ => return Measured::opaque(),
    };
    if subject.filter.is_some() {
        return Measured::opaque();
    }
    if bound == 0.0 && matches!(op, BinaryOp::Gt | BinaryOp::Ge | BinaryOp::Ne) {
        return subject;
    }
    Measured { filter: Some(Filter { op, bound }), ..subject }
}

fn mirrored(op: BinaryOp) -> BinaryOp {
    match op {
        BinaryOp::Lt => BinaryOp::Gt,
        BinaryOp::Le => BinaryOp::Ge,
        BinaryOp::Gt => BinaryOp::Lt,
        BinaryOp::Ge => BinaryOp::Le,
        other => other,
    }
}

/// `left + sign * right`.
fn sum(left: Measured, right: Measured, sign: f64) -> Measured {
    if let Some(term) = as_constant(&right) {
        return affine(left, 1.0, sign * term);
    }
    if let Some(term) = as_constant(&left) {
        return affine(right, sign, term);
    }
    let whole = |measured: &Measured| measured.offset == 0.0 && measured.filter.is_none();
    if !whole(&left) || !whole(&right) {
        return Measured::opaque();
    }
    let guarded = left.guarded || right.guarded;
    match (left.subject, right.subject) {
        (Subject::Events(first), Subject::Events(second)) => {
            let alike = first.window_ms == second.window_ms
                && first.per_second == second.per_second
                && first.by == second.by
                && !matches!(first.by, Grouping::Series);
            if !alike {
                return Measured::opaque();
            }
            let scaled = |events: &Events, factor: f64| {
                events.terms.iter().map(|(weight, of)| (weight * factor, of.clone())).collect::<Vec<_>>()
            };
            let mut terms = scaled(&first, left.scale);
            terms.extend(scaled(&second, right.scale * sign));
            Measured { guarded, ..Measured::of(Subject::Events(Events { terms, ..first })) }
        }
        (canary @ Subject::Ratio { .. }, stable @ Subject::Ratio { .. })
            if sign < 0.0 && left.scale == right.scale =>
        {
            let subject = Subject::Difference { canary: canary.into(), stable: stable.into() };
            Measured { guarded, scale: left.scale, ..Measured::of(subject) }
        }
        _ => Measured::opaque(),
    }
}

fn divided(left: Measured, right: Measured) -> Measured {
    let whole = |measured: &Measured| measured.offset == 0.0 && measured.filter.is_none();
    if !whole(&left) || !whole(&right) || right.scale == 0.0 {
        return Measured::opaque();
    }
    let guarded = left.guarded || right.guarded;
    let scale = left.scale / right.scale;
    match (left.subject, right.subject) {
        (Subject::Events(numerator), Subject::Events(denominator)) => {
            Measured { guarded, ..ratio(numerator, denominator, scale) }
        }
        (
            canary @ (Subject::Ratio { .. } | Subject::Quantile { .. }),
            stable @ (Subject::Ratio { .. } | Subject::Quantile { .. }),
        ) => {
            let alike = match (&canary, &stable) {
                (Subject::Quantile { phi: one, .. }, Subject::Quantile { phi: other, .. }) => one == other,
                (Subject::Ratio { .. }, Subject::Ratio { .. }) => true,
                _ => false,
            };
            if !alike {
                return Measured::opaque();
            }
            let subject = Subject::Quotient { canary: canary.into(), stable: stable.into() };
            Measured { guarded, scale, ..Measured::of(subject) }
        }
        _ => Measured::opaque(),
    }
}

fn ratio(mut numerator: Events, mut denominator: Events, mut scale: f64) -> Measured {
    let [(unit, trials)] = denominator.terms.as_mut_slice() else { return Measured::opaque() };
    if numerator.per_second != denominator.per_second || *unit == 0.0 {
        return Measured::opaque();
    }
    scale /= *unit;
    *unit = 1.0;
    let mut offset = 0.0;
    // (B - A) / B is 1 - A/B.
    if numerator.terms.len() > 1
        && let Some(at) = numerator.terms.iter().position(|(_, selector)| selector == trials)
    {
        offset = numerator.terms.remove(at).0 * scale;
    }
    if let [(weight, _)] = numerator.terms.as_mut_slice() {
        scale *= *weight;
        *weight = 1.0;
    } else {
        for (weight, _) in &mut numerator.terms {
            *weight *= scale;
        }
        scale = 1.0;
    }
    let subject = match numerator.single() {
        Some(sum) if is_mean(sum, trials) => {
            Subject::Mean { sum: sum.clone(), count: trials.clone(), by: denominator.by.clone() }
        }
        Some(numerator) if is_split(numerator, trials) => {
            Subject::Split { numerator: numerator.clone(), denominator: trials.clone() }
        }
        // A sum of a histogram counts nothing, of whatever it is a share.
        _ if numerator.terms.iter().any(|(_, of)| of.metric().is_some_and(|name| name.ends_with("_sum"))) => {
            Subject::Opaque
        }
        _ => Subject::Ratio { numerator, denominator },
    };
    Measured { scale, offset, ..Measured::of(subject) }
}

/// The matchers but that of the name.
pub(super) fn labels(selector: &Selector) -> impl Iterator<Item = &Matcher> {
    selector.matchers.iter().filter(|matcher| matcher.name() != "__name__")
}

fn is_mean(sum: &Selector, count: &Selector) -> bool {
    let base = |selector: &Selector, suffix: &str| {
        selector.metric().and_then(|name| name.strip_suffix(suffix)).map(str::to_owned)
    };
    base(sum, "_sum").is_some_and(|name| base(count, "_count") == Some(name)) && labels(sum).eq(labels(count))
}

/// The same metric and the same labels, of which one has another value: who gets how much of the traffic.
fn is_split(numerator: &Selector, denominator: &Selector) -> bool {
    if numerator.matchers.len() != denominator.matchers.len() {
        return false;
    }
    let pairs = || numerator.matchers.iter().zip(&denominator.matchers);
    let equal = |matcher: &Matcher| matcher.op() == MatchOp::Equal;
    let differing: Vec<_> = pairs().filter(|(a, b)| a != b).collect();
    matches!(differing.as_slice(), [(a, b)]
        if a.name() == b.name() && a.name() != "__name__" && equal(a) && equal(b))
}
