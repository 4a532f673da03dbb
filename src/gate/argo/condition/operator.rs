//! Which types the operators take, and what they make of them.

use super::node::BinaryOperator;
use super::types::Type;

pub(super) fn mismatch(operator: &str, left: &Type, right: &Type) -> String {
    format!("invalid operation: {operator} (mismatched types {} and {})", left.name(), right.name())
}

pub(super) fn in_mismatch(l: &Type, r: &Type) -> Option<String> {
    if r.is_map() {
        let key = if *r == Type::Map { Type::Text } else { Type::Any };
        return (!l.is_unknown() && !l.assignable_to(&key))
            .then(|| format!("cannot use {} as type {} in map key", l.name(), key.name()));
    }
    if r.is_list() {
        let element = r.element();
        return (!l.comparable_to(&element))
            .then(|| format!("cannot use {} as type {} in array", l.name(), element.name()));
    }
    None
}

/// Whether two elements count as of one type in a list: Go's kind, which does not look inside.
pub(super) fn same_kind(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Unknown | Type::Nil, Type::Unknown | Type::Nil) => true,
        (Type::Int64 | Type::Duration, Type::Int64 | Type::Duration) => true,
        _ => {
            (a.is_list() && b.is_list())
                || (a.is_map() && b.is_map())
                || std::mem::discriminant(a) == std::mem::discriminant(b)
        }
    }
}

/// The type of a binary operation, or `None` where the operator does not take these types.
pub(super) fn binary_type(operator: BinaryOperator, l: &Type, r: &Type) -> Option<Type> {
    let both = |accepts: fn(&Type) -> bool| accepts(l) && accepts(r);
    let number = if *l == Type::Float || *r == Type::Float { Type::Float } else { Type::Int };
    match operator {
        BinaryOperator::Equal | BinaryOperator::NotEqual => l.comparable_to(r).then_some(Type::Bool),
        BinaryOperator::Or(_) | BinaryOperator::And(_) => {
            (both(Type::is_bool) || l.may_fit(r, Type::is_bool)).then_some(Type::Bool)
        }
        BinaryOperator::In => {
            let fits = r.is_map() || r.is_list() || r.is_unknown() || (l.is_unknown() && r.is_text());
            let structured = (l.is_text() || l.is_unknown()) && r.is_time();
            (fits || structured).then_some(Type::Bool)
        }
        BinaryOperator::Matches
        | BinaryOperator::Contains
        | BinaryOperator::StartsWith
        | BinaryOperator::EndsWith => {
            (both(Type::is_text) || l.may_fit(r, Type::is_text)).then_some(Type::Bool)
        }
        BinaryOperator::Range => {
            (both(Type::is_integer) || l.may_fit(r, Type::is_integer)).then(|| Type::list(Type::Int))
        }
        BinaryOperator::Add => {
            if both(Type::is_number) {
                Some(number)
            } else if both(Type::is_text) {
                Some(Type::Text)
            } else if (l.is_time() && r.is_duration()) || (l.is_duration() && r.is_time()) {
                Some(Type::Time)
            } else if both(Type::is_duration) {
                Some(Type::Duration)
            } else {
                l.may_fit(r, |t| t.is_number() || t.is_text() || t.is_time() || t.is_duration())
                    .then_some(Type::Unknown)
            }
        }
        BinaryOperator::Subtract => {
            if both(Type::is_number) {
                Some(number)
            } else if both(Type::is_time) || both(Type::is_duration) {
                Some(Type::Duration)
            } else if l.is_time() && r.is_duration() {
                Some(Type::Time)
            } else {
                l.may_fit(r, |t| t.is_number() || t.is_time() || t.is_duration()).then_some(Type::Unknown)
            }
        }
        BinaryOperator::Multiply => {
            if both(Type::is_number) {
                Some(number)
            } else if both(|t| t.is_number() || t.is_duration()) {
                Some(Type::Duration)
            } else {
                l.may_fit(r, |t| t.is_number() || t.is_duration()).then_some(Type::Unknown)
            }
        }
        BinaryOperator::Divide | BinaryOperator::Power(_) => {
            (both(Type::is_number) || l.may_fit(r, Type::is_number)).then_some(Type::Float)
        }
        BinaryOperator::Modulo => {
            (both(Type::is_integer) || l.may_fit(r, Type::is_integer)).then_some(Type::Int)
        }
        BinaryOperator::Coalesce => Some(match (l, r) {
            (Type::Nil, Type::Nil) => Type::Nil,
            (Type::Nil, _) => r.clone(),
            (_, Type::Nil) => l.clone(),
            _ if r.assignable_to(l) => l.clone(),
            _ => Type::Unknown,
        }),
    }
}
