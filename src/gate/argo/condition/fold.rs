//! The rewrites between check and run that can be seen in a condition's answer.
//!
//! expr rewrites the tree before it runs it, and some of that decides: `result[0] < 1 or true` is true even when
//! there is no `result[0]`, `1 % 0` is an error even where it is never reached, and two `all(..)` over one list become
//! one loop, which stops at the first element that fails either.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

use super::node::{BinaryOperator, BuiltinName, Node, NodeKind, UnaryOperator};
use super::types::Type;
use super::value;

/// Rewrites a checked tree.
pub(super) fn fold(node: &mut Node) -> Result<()> {
    walk(node, &mut |node| {
        in_array(node);
        Ok(())
    })?;
    walk(node, &mut constant)?;
    for rewrite in
        [in_range, filter_map, filter_len, filter_last, filter_first, combine_predicates, sum_array, sum_map]
    {
        walk(node, &mut |node| {
            rewrite(node);
            Ok(())
        })?;
    }
    one_zero(node)
}

/// Visits every node, children first.
fn walk(node: &mut Node, visit: &mut dyn FnMut(&mut Node) -> Result<()>) -> Result<()> {
    match &mut node.kind {
        NodeKind::Nil
        | NodeKind::Bool(_)
        | NodeKind::Int(_)
        | NodeKind::Float(_)
        | NodeKind::Text(_)
        | NodeKind::Identifier(_)
        | NodeKind::Pointer(_) => {}
        NodeKind::Unary(_, inner)
        | NodeKind::Chain(inner)
        | NodeKind::Predicate(inner)
        | NodeKind::InRange(inner, ..)
        | NodeKind::InInts(inner, _)
        | NodeKind::InTexts(inner, _) => walk(inner, visit)?,
        NodeKind::Binary(_, left, right) => {
            walk(left, visit)?;
            walk(right, visit)?;
        }
        NodeKind::Comparison(first, rest) => {
            walk(first, visit)?;
            for (_, node) in rest {
                walk(node, visit)?;
            }
        }
        NodeKind::Member { base, property, .. } => {
            walk(base, visit)?;
            walk(property, visit)?;
        }
        NodeKind::Slice { base, from, to } => {
            walk(base, visit)?;
            for bound in [from, to].into_iter().flatten() {
                walk(bound, visit)?;
            }
        }
        NodeKind::Call { callee, arguments } => {
            walk(callee, visit)?;
            for argument in arguments {
                walk(argument, visit)?;
            }
        }
        NodeKind::Builtin { arguments, mapped, .. } => {
            for argument in arguments {
                walk(argument, visit)?;
            }
            if let Some(mapped) = mapped {
                walk(mapped, visit)?;
            }
        }
        NodeKind::Let { value, body, .. } => {
            walk(value, visit)?;
            walk(body, visit)?;
        }
        NodeKind::Sequence(nodes) | NodeKind::List(nodes) => {
            for node in nodes {
                walk(node, visit)?;
            }
        }
        NodeKind::Conditional { condition, then, otherwise } => {
            walk(condition, visit)?;
            if let Some(then) = then {
                walk(then, visit)?;
            }
            walk(otherwise, visit)?;
        }
        NodeKind::Map(pairs) => {
            for (key, value) in pairs {
                walk(key, visit)?;
                walk(value, visit)?;
            }
        }
    }
    visit(node)
}

/// What stands in the place of a node that has moved.
fn nothing() -> Node {
    Node::new(NodeKind::Nil, 0, 0)
}

fn take(node: &mut Node) -> Node {
    std::mem::replace(node, nothing())
}

fn set(node: &mut Node, kind: NodeKind, static_type: Type) {
    *node = node.replaced(kind).typed(static_type);
}

fn in_array(node: &mut Node) {
    let NodeKind::Binary(BinaryOperator::In, left, right) = &mut node.kind else { return };
    let NodeKind::List(items) = &right.kind else { return };
    if items.is_empty() {
        return;
    }
    let ints: Option<BTreeSet<i64>> = items
        .iter()
        .map(|item| match item.kind {
            NodeKind::Int(value) => Some(value),
            _ => None,
        })
        .collect();
    let texts: Option<BTreeSet<Arc<str>>> = items
        .iter()
        .map(|item| match &item.kind {
            NodeKind::Text(text) => Some(text.clone()),
            _ => None,
        })
        .collect();
    let kind = match (ints, texts) {
        (Some(ints), _) if left.static_type == Type::Int => NodeKind::InInts(Box::new(take(left)), ints),
        (_, Some(texts)) => NodeKind::InTexts(Box::new(take(left)), texts),
        _ => return,
    };
    *node = node.replaced(kind);
}

/// Folds constants. Comparisons are left alone, as in the original, but for `==` of two literals of one kind.
fn constant(node: &mut Node) -> Result<()> {
    match &mut node.kind {
        NodeKind::Unary(operator, inner) => {
            let folded = match (operator, &inner.kind) {
                (UnaryOperator::Minus, NodeKind::Int(value)) => {
                    (NodeKind::Int(value.wrapping_neg()), Type::Int)
                }
                (UnaryOperator::Minus, NodeKind::Float(value)) => (NodeKind::Float(-value), Type::Float),
                (UnaryOperator::Plus, NodeKind::Int(value)) => (NodeKind::Int(*value), Type::Int),
                (UnaryOperator::Plus, NodeKind::Float(value)) => (NodeKind::Float(*value), Type::Float),
                (UnaryOperator::Not | UnaryOperator::Bang, NodeKind::Bool(value)) => {
                    (NodeKind::Bool(!value), Type::Bool)
                }
                _ => return Ok(()),
            };
            set(node, folded.0, folded.1);
        }
        NodeKind::Binary(operator @ (BinaryOperator::And(_) | BinaryOperator::Or(_)), left, right) => {
            // What leaves the other side as it is: true for `and`, false for `or`.
            let neutral = matches!(operator, BinaryOperator::And(_));
            let known = |node: &Node| match node.kind {
                NodeKind::Bool(value) => Some(value),
                _ => None,
            };
            let static_type = node.static_type.clone();
            if known(left) == Some(neutral) {
                *node = take(right).typed(static_type);
            } else if known(right) == Some(neutral) {
                *node = take(left).typed(static_type);
            } else if known(left).is_some() || known(right).is_some() {
                set(node, NodeKind::Bool(!neutral), Type::Bool);
            }
        }
        NodeKind::Binary(operator, left, right) => {
            if let Some((kind, static_type)) =
                fold_binary(*operator, &left.kind, &right.kind, (node.start, node.end))?
            {
                set(node, kind, static_type);
            }
        }
        NodeKind::Builtin { name: BuiltinName::Filter, .. } => merge_filters(node)?,
        _ => {}
    }
    Ok(())
}

/// `filter(filter(list, p), q)` in one loop over `p && q`.
fn merge_filters(node: &mut Node) -> Result<()> {
    let NodeKind::Builtin { arguments, .. } = &mut node.kind else { return Ok(()) };
    let [filter, outer] = arguments.as_mut_slice() else { return Ok(()) };
    let NodeKind::Builtin { name: BuiltinName::Filter, arguments: inner, .. } = &mut filter.kind else {
        return Ok(());
    };
    let [list, inner] = inner.as_mut_slice() else { return Ok(()) };
    let (NodeKind::Predicate(p), NodeKind::Predicate(q)) = (&mut inner.kind, &mut outer.kind) else {
        return Ok(());
    };
    let (list, p, q) = (take(list), take(p), take(q));
    let mut both = node.replaced(NodeKind::Binary(BinaryOperator::And("&&"), Box::new(p), Box::new(q)));
    both.static_type = Type::Bool;
    constant(&mut both)?;
    let predicate = node.replaced(NodeKind::Predicate(Box::new(both)));
    *node = node.replaced(NodeKind::Builtin {
        name: BuiltinName::Filter,
        arguments: vec![list, predicate],
        mapped: None,
        throws: false,
    });
    Ok(())
}

/// The original keeps equal constants once, and 0.0 equals -0.0: the first zero's sign is the sign of all.
fn one_zero(node: &mut Node) -> Result<()> {
    let mut first = None;
    walk(node, &mut |node| {
        if let NodeKind::Float(value) = &mut node.kind
            && *value == 0.0
        {
            *value = *first.get_or_insert(*value);
        }
        Ok(())
    })
}

fn fold_binary(
    operator: BinaryOperator,
    left: &NodeKind,
    right: &NodeKind,
    place: (usize, usize),
) -> Result<Option<(NodeKind, Type)>> {
    let int = |value: i64| Some((NodeKind::Int(value), Type::Int));
    let float = |value: f64| Some((NodeKind::Float(value), Type::Float));
    let truth = |value: bool| Some((NodeKind::Bool(value), Type::Bool));
    Ok(match (operator, left, right) {
        (BinaryOperator::Add, NodeKind::Int(a), NodeKind::Int(b)) => int(a.wrapping_add(*b)),
        (BinaryOperator::Subtract, NodeKind::Int(a), NodeKind::Int(b)) => int(a.wrapping_sub(*b)),
        (BinaryOperator::Multiply, NodeKind::Int(a), NodeKind::Int(b)) => int(a.wrapping_mul(*b)),
        (BinaryOperator::Modulo, NodeKind::Int(_), NodeKind::Int(0)) => {
            return Err(Error::new(ErrorKind::Parse, "integer divide by zero").at(place.0, place.1));
        }
        (BinaryOperator::Modulo, NodeKind::Int(a), NodeKind::Int(b)) => int(a.wrapping_rem(*b)),
        (BinaryOperator::Equal, NodeKind::Int(a), NodeKind::Int(b)) => truth(a == b),
        (BinaryOperator::Equal, NodeKind::Text(a), NodeKind::Text(b)) => truth(a == b),
        (BinaryOperator::Equal, NodeKind::Bool(a), NodeKind::Bool(b)) => truth(a == b),
        (BinaryOperator::Add, NodeKind::Text(a), NodeKind::Text(b)) => {
            Some((NodeKind::Text(Arc::from(format!("{a}{b}"))), Type::Text))
        }
        (_, NodeKind::Int(_) | NodeKind::Float(_), NodeKind::Int(_) | NodeKind::Float(_)) => {
            let number = |kind: &NodeKind| match kind {
                NodeKind::Int(value) => *value as f64,
                NodeKind::Float(value) => *value,
                _ => f64::NAN,
            };
            let (a, b) = (number(left), number(right));
            match operator {
                BinaryOperator::Add => float(a + b),
                BinaryOperator::Subtract => float(a - b),
                BinaryOperator::Multiply => float(a * b),
                BinaryOperator::Divide => float(a / b),
                BinaryOperator::Power(_) => float(value::power(a, b)),
                _ => None,
            }
        }
        _ => None,
    })
}

fn in_range(node: &mut Node) {
    let NodeKind::Binary(BinaryOperator::In, left, right) = &mut node.kind else { return };
    if left.static_type != Type::Int {
        return;
    }
    let NodeKind::Binary(BinaryOperator::Range, from, to) = &right.kind else { return };
    let (NodeKind::Int(from), NodeKind::Int(to)) = (&from.kind, &to.kind) else { return };
    let kind = NodeKind::InRange(Box::new(take(left)), *from, *to);
    *node = node.replaced(kind);
}

/// The arguments of `filter(list, predicate)`, and what it makes of each element.
fn filter_parts(node: &mut Node) -> Option<(Vec<Node>, Option<Box<Node>>)> {
    match &mut node.kind {
        NodeKind::Builtin { name: BuiltinName::Filter, arguments, mapped, .. } if arguments.len() == 2 => {
            Some((std::mem::take(arguments), mapped.take()))
        }
        _ => None,
    }
}

fn is_filter(node: &Node) -> bool {
    matches!(&node.kind, NodeKind::Builtin { name: BuiltinName::Filter, arguments, .. } if arguments.len() == 2)
}

/// `map(filter(list, p), f)` in one pass.
fn filter_map(node: &mut Node) {
    let NodeKind::Builtin { name: BuiltinName::Map, arguments, .. } = &mut node.kind else { return };
    let [list, predicate] = arguments.as_mut_slice() else { return };
    let filters = matches!(&list.kind, NodeKind::Builtin { name: BuiltinName::Filter, mapped: None, .. });
    if !filters || has_index_pointer(predicate) {
        return;
    }
    let NodeKind::Predicate(each) = &mut predicate.kind else { return };
    let each = take(each);
    if let Some((arguments, _)) = filter_parts(list) {
        let kind = NodeKind::Builtin {
            name: BuiltinName::Filter,
            arguments,
            mapped: Some(Box::new(each)),
            throws: false,
        };
        *node = node.replaced(kind);
    }
}

fn has_index_pointer(node: &mut Node) -> bool {
    let mut found = false;
    let looked = walk(node, &mut |node| {
        found |= matches!(&node.kind, NodeKind::Pointer(name) if &**name == "index");
        Ok(())
    });
    found || looked.is_err()
}

/// `len(filter(list, p))` counts.
fn filter_len(node: &mut Node) {
    let NodeKind::Builtin { name: BuiltinName::Len, arguments, .. } = &mut node.kind else { return };
    let [filter] = arguments.as_mut_slice() else { return };
    if let Some((arguments, _)) = filter_parts(filter) {
        let kind = NodeKind::Builtin { name: BuiltinName::Count, arguments, mapped: None, throws: false };
        *node = node.replaced(kind);
    }
}

fn filter_first(node: &mut Node) {
    filter_to_find(node, 0, BuiltinName::First, BuiltinName::Find);
}

fn filter_last(node: &mut Node) {
    filter_to_find(node, -1, BuiltinName::Last, BuiltinName::FindLast);
}

/// `filter(list, p)[0]` and `first(filter(list, p))` stop at the first element found.
fn filter_to_find(node: &mut Node, at: i64, function: BuiltinName, find: BuiltinName) {
    let (parts, throws) = match &mut node.kind {
        NodeKind::Member { base, property, optional: false, .. } => match property.kind {
            NodeKind::Int(index) if index == at && is_filter(base) => (filter_parts(base), true),
            _ => return,
        },
        NodeKind::Builtin { name, arguments, .. } if *name == function => match arguments.as_mut_slice() {
            [filter] => (filter_parts(filter), false),
            _ => return,
        },
        _ => return,
    };
    if let Some((arguments, mapped)) = parts {
        let kind = NodeKind::Builtin { name: find, arguments, mapped, throws };
        *node = node.replaced(kind);
    }
}

/// `all(x, p) && all(x, q)` in one loop; likewise `any` with `||` and `none` with `&&`.
fn combine_predicates(node: &mut Node) {
    let NodeKind::Binary(operator, left, right) = &mut node.kind else { return };
    let (NodeKind::Builtin { name, arguments: a, .. }, NodeKind::Builtin { name: other, arguments: b, .. }) =
        (&mut left.kind, &mut right.kind)
    else {
        return;
    };
    let combined = match (*name, *operator) {
        (BuiltinName::All, BinaryOperator::And(_)) | (BuiltinName::Any, BinaryOperator::Or(_)) => *operator,
        (BuiltinName::None, BinaryOperator::And("and")) => BinaryOperator::Or("or"),
        (BuiltinName::None, BinaryOperator::And(_)) => BinaryOperator::Or("||"),
        _ => return,
    };
    let ([list, p], [other_list, q]) = (a.as_mut_slice(), b.as_mut_slice()) else { return };
    if name != other || list != other_list || list.static_type != other_list.static_type {
        return;
    }
    let (NodeKind::Predicate(p), NodeKind::Predicate(q)) = (&mut p.kind, &mut q.kind) else { return };
    let (start, end) = (node.start, node.end);
    let mut both = Node::new(NodeKind::Binary(combined, Box::new(take(p)), Box::new(take(q))), start, end)
        .typed(Type::Bool);
    combine_predicates(&mut both);
    let predicate = Node::new(NodeKind::Predicate(Box::new(both)), start, end).typed(Type::Bool);
    let kind = NodeKind::Builtin {
        name: *name,
        arguments: vec![take(list), predicate],
        mapped: None,
        throws: false,
    };
    *node = node.replaced(kind);
}

/// `sum([a, b, c])` is `a + (b + c)`: another order than a loop's, and floats can tell.
fn sum_array(node: &mut Node) {
    let NodeKind::Builtin { name: BuiltinName::Sum, arguments, .. } = &mut node.kind else { return };
    let [list] = arguments.as_mut_slice() else { return };
    let NodeKind::List(items) = &mut list.kind else { return };
    let constant = items.iter().all(|item| {
        matches!(item.kind, NodeKind::Int(_) | NodeKind::Float(_) | NodeKind::Text(_) | NodeKind::Bool(_))
    });
    // A list of more items than the tree may be deep is summed in a loop.
    if items.len() < 2 || constant || items.len() > 32 {
        return;
    }
    let (start, end) = (node.start, node.end);
    let mut items = std::mem::take(items).into_iter().rev();
    let Some(mut sum) = items.next() else { return };
    for item in items {
        sum = Node::new(NodeKind::Binary(BinaryOperator::Add, Box::new(item), Box::new(sum)), start, end);
    }
    *node = sum.typed(node.static_type.clone());
}

/// `sum(map(list, f))` is `sum(list, f)`.
fn sum_map(node: &mut Node) {
    let NodeKind::Builtin { name: BuiltinName::Sum, arguments, .. } = &mut node.kind else { return };
    let [map] = arguments.as_mut_slice() else { return };
    let NodeKind::Builtin { name: BuiltinName::Map, arguments: inner, .. } = &mut map.kind else { return };
    if inner.len() == 2 {
        *arguments = std::mem::take(inner);
    }
}
