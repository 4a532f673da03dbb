//! The reference time at which `info` looks for its info series: that of the selectors it is about, if they agree.

use super::window::Reference;
use super::{Node, Operator};
use crate::promql::ast::ValueType;

/// The one reference of all selectors that yield vectors inside `node`; the evaluation time itself if they differ or
/// a branch has none.
pub(super) fn reference(node: &Node<'_>) -> Reference {
    let mut found = Vec::new();
    let complete = collect(node, Reference::default(), &mut found);
    match found.as_slice() {
        [first, rest @ ..] if complete && rest.iter().all(|other| same(*first, *other)) => *first,
        _ => Reference::default(),
    }
}

/// Whether two references are the same time at every step.
fn same(a: Reference, b: Reference) -> bool {
    a.at.is_some() == b.at.is_some() && a.time(0) == b.time(0)
}

/// `inner` as seen from outside a subquery that is evaluated at `outer`.
fn nested(outer: Reference, inner: Reference) -> Reference {
    match inner.at {
        Some(_) => inner,
        None => Reference { at: outer.at, offset: outer.offset.saturating_add(inner.offset) },
    }
}

/// Gathers the references; false if a branch has no selector.
fn collect(node: &Node<'_>, outer: Reference, found: &mut Vec<Reference>) -> bool {
    match &node.operator {
        Operator::Instant(selector) => {
            found.push(nested(outer, selector.reference));
            true
        }
        Operator::Range(selector) => {
            found.push(nested(outer, selector.window.reference));
            true
        }
        Operator::Subquery(subquery) => {
            collect(&subquery.inner, nested(outer, subquery.window.reference), found)
        }
        Operator::Call { args, .. } => collect_all(args.iter(), outer, found),
        Operator::Info(info) => collect(&info.inner, outer, found),
        Operator::Aggregate(aggregate) => collect(&aggregate.inner, outer, found),
        Operator::Binary(binary) => collect_all([&binary.lhs, &binary.rhs].into_iter(), outer, found),
        Operator::Negate(inner) | Operator::Plus(inner) => collect(inner, outer, found),
        Operator::Number(_) | Operator::String(_) => false,
    }
}

/// Of several operands only those count that are vectors.
fn collect_all<'n, 'q: 'n>(
    nodes: impl Iterator<Item = &'n Node<'q>>,
    outer: Reference,
    found: &mut Vec<Reference>,
) -> bool {
    let mut any = false;
    let mut complete = true;
    for node in nodes.filter(|node| matches!(node.value_type, ValueType::Vector | ValueType::Matrix)) {
        any = true;
        complete &= collect(node, outer, found);
    }
    any && complete
}
