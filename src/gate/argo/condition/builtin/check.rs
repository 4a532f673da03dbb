//! Which arguments the built-in functions take, and the types of their answers.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

use super::super::check::Checker;
use super::super::node::{BuiltinName, Node};
use super::super::types::Type;

/// Checks a call and answers its type.
pub(in super::super) fn check(
    checker: &mut Checker<'_>,
    name: BuiltinName,
    arguments: &mut [Node],
    place: (usize, usize),
) -> Result<Type> {
    if let Some((inputs, needed, output)) = signature(name, arguments.len()) {
        let checked = checker.arguments(name.text(), inputs, needed, arguments, place);
        let overloaded = matches!(
            name,
            BuiltinName::Trim | BuiltinName::TrimPrefix | BuiltinName::TrimSuffix | BuiltinName::Split
        );
        if checked.is_err() && overloaded {
            // Of several overloads it is the last whose complaint is shown; an argument's own error comes first.
            checker.visit_all(arguments)?;
            if let Some(text) = last_overload(name, arguments.len()) {
                return Err(Error::new(ErrorKind::Parse, text).at(place.0, place.1));
            }
        }
        return checked.map(|()| output);
    }
    let types = checker.visit_all(arguments)?;
    validate(name, &types).map_err(|text| Error::new(ErrorKind::Parse, text).at(place.0, place.1))
}

/// What the last overload of a function says of another number of arguments than its own.
fn last_overload(name: BuiltinName, given: usize) -> Option<String> {
    let text = name.text();
    match (name, given) {
        (BuiltinName::Trim, 1) | (BuiltinName::Split, 2) => {
            Some(format!("not enough arguments to call {text}"))
        }
        (BuiltinName::TrimPrefix | BuiltinName::TrimSuffix | BuiltinName::Sort | BuiltinName::Join, 2) => {
            Some(format!("too many arguments to call {text}"))
        }
        _ => None,
    }
}

/// Functions with declared types: inputs, how many of them are needed, output.
fn signature(name: BuiltinName, given: usize) -> Option<(&'static [Type], usize, Type)> {
    const TEXTS: &[Type] = &[Type::Text, Type::Text];
    const INTS: &[Type] = &[Type::Int, Type::Int];
    Some(match name {
        BuiltinName::Type | BuiltinName::Text => (&[Type::Any], 1, Type::Text),
        BuiltinName::Trim | BuiltinName::TrimPrefix | BuiltinName::TrimSuffix => (TEXTS, 1, Type::Text),
        BuiltinName::Upper | BuiltinName::Lower => (&[Type::Text], 1, Type::Text),
        BuiltinName::Split if given == 3 => {
            (&[Type::Text, Type::Text, Type::Int], 3, Type::List(Arc::new(Type::Text)))
        }
        BuiltinName::Split => (TEXTS, 2, Type::List(Arc::new(Type::Text))),
        BuiltinName::IndexOf | BuiltinName::LastIndexOf => (TEXTS, 2, Type::Int),
        BuiltinName::HasPrefix | BuiltinName::HasSuffix => (TEXTS, 2, Type::Bool),
        BuiltinName::Duration => (&[Type::Text], 1, Type::Duration),
        BuiltinName::BitAnd
        | BuiltinName::BitOr
        | BuiltinName::BitXor
        | BuiltinName::BitNand
        | BuiltinName::BitShl
        | BuiltinName::BitShr
        | BuiltinName::BitUshr => (INTS, 2, Type::Int),
        BuiltinName::BitNot => (&[Type::Int], 1, Type::Int),
        _ => return None,
    })
}

/// Functions that look at the types they are given.
fn validate(name: BuiltinName, types: &[Type]) -> Result<Type, String> {
    let count = |wanted: usize| {
        if types.len() == wanted {
            Ok(())
        } else {
            Err(format!("invalid number of arguments (expected {wanted}, got {})", types.len()))
        }
    };
    let first = types.first().unwrap_or(&Type::Unknown);
    let text = name.text();
    let listed = |kind: &Type| kind.is_list() || kind.is_unknown();
    match name {
        BuiltinName::Len => {
            count(1)?;
            if listed(first) || first.is_map() || first.is_text() {
                return Ok(Type::Int);
            }
            Err(format!("invalid argument for len (type {})", first.go_name()))
        }
        BuiltinName::Abs | BuiltinName::Ceil | BuiltinName::Floor | BuiltinName::Round => {
            count(1)?;
            // A duration counts as the integer it is made of, which the function then refuses when it runs.
            if first.is_number() || first.is_unknown() || first.is_duration() {
                return Ok(match name {
                    BuiltinName::Abs if first.is_unknown() => Type::Any,
                    BuiltinName::Abs => first.clone(),
                    _ => Type::Float,
                });
            }
            Err(format!("invalid argument for {text} (type {})", first.go_name()))
        }
        BuiltinName::Int | BuiltinName::Float => {
            count(1)?;
            if first.is_number() || first.is_unknown() || first.is_text() || first.is_duration() {
                return Ok(if name == BuiltinName::Int { Type::Int } else { Type::Float });
            }
            Err(format!("invalid argument for {text} (type {})", first.go_name()))
        }
        BuiltinName::Max | BuiltinName::Min | BuiltinName::Mean | BuiltinName::Median => {
            if types.is_empty() {
                return Err(format!("not enough arguments to call {text}"));
            }
            for given in types {
                if listed(given) {
                    return Ok(Type::Any);
                }
                if !given.is_number() && !given.is_duration() {
                    return Err(format!("invalid argument for {text} (type {})", given.go_name()));
                }
            }
            Ok(first.clone())
        }
        BuiltinName::First | BuiltinName::Last => {
            count(1)?;
            match first {
                kind if kind.is_unknown() => Ok(Type::Any),
                Type::Floats => Ok(Type::Float),
                Type::List(_) => Ok(Type::Any),
                other => Err(format!("cannot get {text} element from {}", other.go_name())),
            }
        }
        BuiltinName::Get => {
            count(2)?;
            let key = types.get(1).unwrap_or(&Type::Unknown);
            match first {
                kind if kind.is_unknown() => Ok(Type::Unknown),
                Type::Floats | Type::List(_) if key.is_integer() || key.is_unknown() => Ok(first.element()),
                Type::Floats | Type::List(_) => Err(format!("non-integer slice index {}", key.name())),
                Type::Map if !key.is_text() && !key.is_unknown() => {
                    Err(format!("cannot use {} to get an element from {}", key.name(), first.name()))
                }
                Type::Map | Type::Groups(_) => Ok(first.element()),
                other => Err(format!("type {} does not support indexing", other.name())),
            }
        }
        BuiltinName::Take => {
            count(2)?;
            let wanted = types.get(1).unwrap_or(&Type::Unknown);
            if !listed(first) {
                return Err(format!("cannot take from {}", first.go_name()));
            }
            if !wanted.is_integer() && !wanted.is_unknown() && !wanted.is_duration() {
                return Err(format!("cannot take {} elements", wanted.go_name()));
            }
            Ok(match first {
                Type::List(_) => Type::list(Type::Any),
                other => other.clone(),
            })
        }
        BuiltinName::Reverse | BuiltinName::Uniq | BuiltinName::Flatten => {
            count(1)?;
            if listed(first) {
                Ok(Type::list(Type::Any))
            } else {
                Err(format!("cannot {text} {}", first.go_name()))
            }
        }
        BuiltinName::Concat => {
            if types.is_empty() {
                return Err("invalid number of arguments (expected at least 1, got 0)".to_owned());
            }
            match types.iter().find(|kind| !listed(kind)) {
                Some(other) => Err(format!("cannot concat {}", other.go_name())),
                None => Ok(Type::list(Type::Any)),
            }
        }
        BuiltinName::Sort | BuiltinName::Join => {
            let most = 2;
            if types.is_empty() {
                return Err(format!("not enough arguments to call {text}"));
            }
            if types.len() > most {
                return Err(format!("too many arguments to call {text}"));
            }
            let wanted = if name == BuiltinName::Sort { "[]int" } else { "[]string" };
            let fits = listed(first) && !(name == BuiltinName::Join && *first == Type::Floats);
            let text_order = types.get(1).is_none_or(|kind| kind.is_text() || kind.is_unknown());
            if let (true, Some(text)) = (!fits || !text_order, last_overload(name, types.len())) {
                return Err(text);
            }
            if first.is_nil() {
                return Err(format!("cannot use nil as argument (type {wanted}) to call {text}"));
            }
            if !fits {
                return Err(format!(
                    "cannot use {} as argument (type {wanted}) to call {text} ",
                    first.name()
                ));
            }
            Ok(if name == BuiltinName::Sort { Type::list(Type::Any) } else { Type::Text })
        }
        BuiltinName::Now if types.is_empty() => Ok(Type::Time),
        BuiltinName::Now => Err(format!("invalid number of arguments (expected 0, got {})", types.len())),
        BuiltinName::Date => match types.len() {
            0 => Err("invalid number of arguments (expected at least 1, got 0)".to_owned()),
            1..=3 => Ok(Type::Time),
            more => Err(format!("invalid number of arguments (expected at most 3, got {more})")),
        },
        _ => Err(format!("unknown builtin {text}")),
    }
}
