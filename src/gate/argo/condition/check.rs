//! The check before a condition runs: names and static types.
//!
//! Errors come even from parts that would not be evaluated, as in the original: `len(result) == 0 || result > 1` on
//! a vector is refused although the vector may be empty. The first error in the original's order of visits is the
//! one reported.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::pattern::Pattern;

use super::node::{BinaryOperator, BuiltinName, Node, NodeKind, UnaryOperator};
use super::operator::{binary_type, in_mismatch, mismatch, same_kind};
use super::types::{Function, Type};

/// What names a condition may use.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// The type of `result`; `None` where there is no result, as in the times of a range query.
    pub(super) result: Option<Type>,
}

impl Names {
    pub(super) fn get(&self, name: &str) -> Option<Type> {
        if name == "result" {
            return self.result.clone();
        }
        let function = Function::from_name(name)?;
        let known = self.result.is_some() || matches!(function, Function::IsNan | Function::IsInf);
        known.then_some(Type::Function(function))
    }
}

/// Checks the tree and notes the type of every node.
pub(super) fn check(node: &mut Node, names: &Names) -> Result<Type> {
    Checker { names, scopes: Vec::new(), variables: Vec::new() }.visit(node)
}

pub(super) struct Checker<'a> {
    names: &'a Names,
    scopes: Vec<Scope>,
    variables: Vec<(Arc<str>, Type)>,
}

/// Inside a predicate: what is iterated, and what else `#name` may be.
struct Scope {
    collection: Type,
    index: bool,
    accumulator: bool,
}

fn fault<T>(node: &Node, sentence: String) -> Result<T> {
    Err(Error::new(ErrorKind::Parse, sentence).at(node.start, node.end))
}

impl Checker<'_> {
    fn visit(&mut self, node: &mut Node) -> Result<Type> {
        let found = match &mut node.kind {
            NodeKind::Nil => Type::Nil,
            NodeKind::Bool(_) => Type::Bool,
            NodeKind::Int(_) => Type::Int,
            NodeKind::Float(_) => Type::Float,
            NodeKind::Text(_) => Type::Text,
            NodeKind::Chain(inner) => self.visit(inner)?,
            NodeKind::InRange(inner, ..) | NodeKind::InInts(inner, _) | NodeKind::InTexts(inner, _) => {
                self.visit(inner)?;
                Type::Bool
            }
            NodeKind::Predicate(inner) => self.visit(inner)?,
            _ => self.visit_compound(node)?,
        };
        node.static_type = found.clone();
        Ok(found)
    }

    fn visit_compound(&mut self, node: &mut Node) -> Result<Type> {
        match &node.kind {
            NodeKind::Identifier(name) => self.identifier(node, name),
            NodeKind::Pointer(name) => self.pointer(node, name),
            NodeKind::Unary(..) => self.unary(node),
            NodeKind::Binary(..) => self.binary(node),
            NodeKind::Comparison(..) => self.comparison(node),
            NodeKind::Member { .. } => self.member(node),
            NodeKind::Slice { .. } => self.slice(node),
            NodeKind::Call { .. } => self.call(node),
            NodeKind::Builtin { .. } => self.builtin(node),
            NodeKind::Let { .. } => self.variable(node),
            NodeKind::Conditional { .. } => self.conditional(node),
            _ => self.literal(node),
        }
    }

    fn identifier(&self, node: &Node, name: &Arc<str>) -> Result<Type> {
        if let Some((_, known)) = self.variables.iter().rev().find(|(variable, _)| variable == name) {
            return Ok(known.clone());
        }
        if &**name == "$env" {
            return Ok(Type::Unknown);
        }
        if let Some(known) = self.names.get(name) {
            return Ok(known);
        }
        if BuiltinName::from_text(name).is_some() {
            return Ok(Type::Function(Function::Builtin));
        }
        fault(node, format!("unknown name {name}"))
    }

    fn pointer(&self, node: &Node, name: &str) -> Result<Type> {
        let Some(scope) = self.scopes.last() else {
            return fault(node, "cannot use pointer accessor outside predicate".to_owned());
        };
        match name {
            "" => Ok(scope.collection.element()),
            "index" if scope.index => Ok(Type::Int),
            "acc" if scope.accumulator => Ok(Type::Unknown),
            _ => fault(node, format!("unknown pointer #{name}")),
        }
    }

    fn unary(&mut self, node: &mut Node) -> Result<Type> {
        let NodeKind::Unary(operator, inner) = &mut node.kind else { return Ok(Type::Unknown) };
        let operator = *operator;
        let found = self.visit(inner)?;
        let fits = match operator {
            UnaryOperator::Not | UnaryOperator::Bang => found.is_bool(),
            UnaryOperator::Plus | UnaryOperator::Minus => found.is_number(),
        };
        if !fits && !found.is_unknown() {
            return fault(
                node,
                format!("invalid operation: {} (mismatched type {})", operator.text(), found.name()),
            );
        }
        Ok(match operator {
            UnaryOperator::Not | UnaryOperator::Bang => Type::Bool,
            _ if found.is_unknown() => Type::Unknown,
            _ => found,
        })
    }

    fn binary(&mut self, node: &mut Node) -> Result<Type> {
        let NodeKind::Binary(operator, left, right) = &mut node.kind else { return Ok(Type::Unknown) };
        let operator = *operator;
        let l = self.visit(left)?;
        let r = self.visit(right)?;
        if operator == BinaryOperator::Matches
            && let NodeKind::Text(pattern) = &right.kind
            && let Err(error) = Pattern::anywhere(pattern.as_bytes())
        {
            return fault(node, error.to_string());
        }
        if operator == BinaryOperator::In
            && let Some(fault_text) = in_mismatch(&l, &r)
        {
            return fault(node, fault_text);
        }
        match binary_type(operator, &l, &r) {
            Some(found) => Ok(found),
            None => fault(node, mismatch(operator.text(), &l, &r)),
        }
    }

    fn comparison(&mut self, node: &mut Node) -> Result<Type> {
        let NodeKind::Comparison(first, rest) = &mut node.kind else { return Ok(Type::Unknown) };
        let mut left = self.visit(first)?;
        for (operator, right) in rest {
            let r = self.visit(right)?;
            let fits = (left.is_number() && r.is_number())
                || (left.is_text() && r.is_text())
                || (left.is_time() && r.is_time())
                || (left.is_duration() && r.is_duration())
                || left.may_fit(&r, |t| t.is_number() || t.is_text() || t.is_time() || t.is_duration());
            if !fits {
                let text = mismatch(operator.text(), &left, &r);
                return fault(right, text);
            }
            left = r;
        }
        Ok(Type::Bool)
    }

    fn member(&mut self, node: &mut Node) -> Result<Type> {
        let NodeKind::Member { base, property, optional, method } = &mut node.kind else {
            return Ok(Type::Unknown);
        };
        let (optional, method) = (*optional, *method);
        if matches!(&base.kind, NodeKind::Identifier(name) if &**name == "$env") {
            let NodeKind::Text(name) = &property.kind else { return Ok(Type::Unknown) };
            return match self.names.get(name) {
                Some(known) => Ok(known),
                None if optional => Ok(Type::Unknown),
                None => {
                    let text = format!("unknown name {name}");
                    fault(node, text)
                }
            };
        }
        let b = self.visit(base)?;
        let p = self.visit(property)?;
        if b.is_unknown() {
            return Ok(Type::Unknown);
        }
        let name = match &property.kind {
            NodeKind::Text(name) => Some(name.clone()),
            _ => None,
        };
        if let (Some(name), true) = (&name, b.is_nil()) {
            return fault(node, format!("type nil has no field {name}"));
        }
        match &b {
            Type::Map | Type::Groups(_) => {
                let key = if b == Type::Map { Type::Text } else { Type::Any };
                if !p.assignable_to(&key) && !p.is_unknown() {
                    let text = format!("cannot use {} to get an element from {}", p.name(), b.name());
                    return fault(property, text);
                }
                Ok(b.element())
            }
            Type::Floats | Type::List(_) => {
                if !p.is_integer() && !p.is_unknown() {
                    let text =
                        format!("array elements can only be selected using an integer (got {})", p.name());
                    return fault(property, text);
                }
                Ok(b.element())
            }
            _ => match name {
                Some(name) if method && super::time::method_type(&b, &name).is_some() => {
                    Ok(super::time::method_type(&b, &name).unwrap_or(Type::Unknown))
                }
                Some(name) if method => fault(node, format!("type {} has no method {name}", b.name())),
                Some(name) => fault(node, format!("type {} has no field {name}", b.name())),
                None => fault(node, format!("type {}[{}] is undefined", b.name(), p.name())),
            },
        }
    }

    fn slice(&mut self, node: &mut Node) -> Result<Type> {
        let NodeKind::Slice { base, from, to } = &mut node.kind else { return Ok(Type::Unknown) };
        let b = self.visit(base)?;
        if b.is_unknown() {
            // The original does not look at the bounds either: they are checked when they are used.
            for bound in [from, to].into_iter().flatten() {
                let untyped = bound.clone();
                if self.visit(bound).is_err() {
                    *bound = untyped;
                }
            }
            return Ok(Type::Unknown);
        }
        if !b.is_text() && !b.is_list() {
            let text = format!("cannot slice {}", b.name());
            return fault(node, text);
        }
        for bound in [from, to].into_iter().flatten() {
            let found = self.visit(bound)?;
            if !found.is_integer() && !found.is_unknown() {
                let text = format!("non-integer slice index {}", found.name());
                return fault(bound, text);
            }
        }
        Ok(b)
    }

    fn call(&mut self, node: &mut Node) -> Result<Type> {
        let NodeKind::Call { callee, arguments } = &mut node.kind else { return Ok(Type::Unknown) };
        if let NodeKind::Member { base, property, method: true, .. } = &mut callee.kind {
            let on = self.visit(base)?;
            if let (NodeKind::Text(name), true) = (&property.kind, on.is_time() || on.is_duration()) {
                let Some(found) = super::time::method_type(&on, name) else {
                    let text = format!("method {name} of {} is not supported in conditions", on.name());
                    return Err(Error::new(ErrorKind::Unsupported, text).at(callee.start, callee.end));
                };
                for argument in arguments {
                    self.visit(argument)?;
                }
                return Ok(found);
            }
        }
        let found = self.visit(callee)?;
        let name = match &callee.kind {
            NodeKind::Identifier(name) => name.clone(),
            NodeKind::Member { property, .. } => match &property.kind {
                NodeKind::Text(name) => name.clone(),
                _ => Arc::from("function"),
            },
            _ => Arc::from("function"),
        };
        match found {
            Type::Unknown | Type::Any => {
                for argument in arguments {
                    self.visit(argument)?;
                }
                Ok(Type::Unknown)
            }
            Type::Nil => fault(node, format!("{name} is nil; cannot call nil as function")),
            Type::Function(function) => {
                let (inputs, output) = function.signature();
                let place = (node.start, node.end);
                self.arguments(&name, inputs, inputs.len(), arguments, place)?;
                Ok(output)
            }
            other => fault(node, format!("{} is not callable", other.name())),
        }
    }

    /// Checks arguments against declared types; the first `needed` must be there.
    pub(super) fn arguments(
        &mut self,
        name: &str,
        inputs: &[Type],
        needed: usize,
        arguments: &mut [Node],
        place: (usize, usize),
    ) -> Result<()> {
        let wrong_count = if arguments.len() > inputs.len() {
            Some(format!("too many arguments to call {name}"))
        } else if arguments.len() < needed {
            Some(format!("not enough arguments to call {name}"))
        } else {
            None
        };
        if let Some(text) = wrong_count {
            for argument in arguments {
                self.visit(argument)?;
            }
            return Err(Error::new(ErrorKind::Parse, text).at(place.0, place.1));
        }
        for (argument, input) in arguments.iter_mut().zip(inputs) {
            let given = self.visit(argument)?;
            if *input == Type::Float && given.is_integer() {
                floats_for_ints(argument);
                continue;
            }
            if given.is_nil() {
                if *input == Type::Any {
                    continue;
                }
                return fault(
                    argument,
                    format!("cannot use nil as argument (type {}) to call {name}", input.name()),
                );
            }
            if !given.assignable_to(input) && !given.is_unknown() {
                return fault(
                    argument,
                    format!(
                        "cannot use {} as argument (type {}) to call {name} ",
                        given.name(),
                        input.name()
                    ),
                );
            }
        }
        Ok(())
    }

    fn variable(&mut self, node: &mut Node) -> Result<Type> {
        let NodeKind::Let { name, .. } = &node.kind else { return Ok(Type::Unknown) };
        let name = name.clone();
        if self.names.get(&name).is_some() {
            return fault(node, format!("cannot redeclare {name}"));
        }
        if BuiltinName::from_text(&name).is_some() || super::node::UNSUPPORTED_BUILTINS.contains(&&*name) {
            return fault(node, format!("cannot redeclare builtin {name}"));
        }
        if self.variables.iter().any(|(variable, _)| *variable == name) {
            return fault(node, format!("cannot redeclare variable {name}"));
        }
        let NodeKind::Let { value, body, .. } = &mut node.kind else { return Ok(Type::Unknown) };
        let found = self.visit(value)?;
        self.variables.push((name, found));
        let found = self.visit(body);
        self.variables.pop();
        found
    }

    fn conditional(&mut self, node: &mut Node) -> Result<Type> {
        let NodeKind::Conditional { condition, then, otherwise } = &mut node.kind else {
            return Ok(Type::Unknown);
        };
        let c = self.visit(condition)?;
        if !c.is_bool() && !c.is_unknown() {
            let text = format!("non-bool expression (type {}) used as condition", c.name());
            return fault(condition, text);
        }
        let t1 = match then {
            Some(then) => self.visit(then)?,
            None => c,
        };
        let t2 = self.visit(otherwise)?;
        Ok(match (&t1, &t2) {
            (Type::Nil, Type::Nil) => Type::Nil,
            (Type::Nil, _) => t2,
            (_, Type::Nil) => t1,
            _ if t1.assignable_to(&t2) => match (&t1, &t2) {
                (Type::List(e1), Type::List(e2)) if !e1.assignable_to(e2) || !e2.assignable_to(e1) => {
                    Type::list(Type::Any)
                }
                _ => t1,
            },
            _ => Type::Unknown,
        })
    }

    fn literal(&mut self, node: &mut Node) -> Result<Type> {
        match &mut node.kind {
            NodeKind::Sequence(nodes) => {
                let mut last = Type::Unknown;
                for node in nodes {
                    last = self.visit(node)?;
                }
                Ok(last)
            }
            NodeKind::List(nodes) => {
                let mut previous: Option<Type> = None;
                let mut same = true;
                for node in nodes {
                    let found = self.visit(node)?;
                    same &= previous.as_ref().is_none_or(|previous| same_kind(previous, &found));
                    previous = Some(found);
                }
                Ok(match previous {
                    Some(element) if same => Type::list(element),
                    None => Type::list(Type::Unknown),
                    Some(_) => Type::list(Type::Any),
                })
            }
            NodeKind::Map(pairs) => {
                for (key, value) in pairs {
                    self.visit(key)?;
                    self.visit(value)?;
                }
                Ok(Type::Map)
            }
            _ => Ok(Type::Unknown),
        }
    }

    /// Visits a list argument and the predicate over it; answers the list's type and the predicate's.
    fn predicate(
        &mut self,
        name: BuiltinName,
        list: &mut Node,
        predicate: Option<&mut Node>,
    ) -> Result<(Type, Option<Type>)> {
        let collection = self.visit(list)?;
        if !collection.is_list() && !collection.is_unknown() {
            let text = format!("builtin {} takes only array (got {})", name.text(), collection.name());
            return fault(list, text);
        }
        let Some(predicate) = predicate else { return Ok((collection, None)) };
        self.scopes.push(Scope {
            collection: collection.clone(),
            index: matches!(name, BuiltinName::Map | BuiltinName::Reduce),
            accumulator: name == BuiltinName::Reduce,
        });
        let found = self.visit(predicate);
        self.scopes.pop();
        let found = found?;
        if found.is_nil() {
            let text = if name == BuiltinName::Reduce {
                "predicate should has two input and one output param"
            } else {
                "predicate should has one input and one output param"
            };
            return fault(predicate, text.to_owned());
        }
        let decides = !matches!(
            name,
            BuiltinName::Map
                | BuiltinName::Sum
                | BuiltinName::GroupBy
                | BuiltinName::SortBy
                | BuiltinName::Reduce
        );
        if decides && !found.is_bool() && !found.is_unknown() {
            let text = format!("predicate should return boolean (got {})", found.go_name());
            return fault(predicate, text);
        }
        Ok((collection, Some(found)))
    }

    fn builtin(&mut self, node: &mut Node) -> Result<Type> {
        let place = (node.start, node.end);
        let NodeKind::Builtin { name, arguments, .. } = &mut node.kind else { return Ok(Type::Unknown) };
        let name = *name;
        if name.predicate_arguments().is_some() {
            let Some((list, rest)) = arguments.split_first_mut() else { return Ok(Type::Unknown) };
            let mut rest = rest.iter_mut();
            let (collection, predicate) = self.predicate(name, list, rest.next())?;
            for more in rest {
                self.visit(more)?;
            }
            return Ok(predicate_builtin_type(name, collection, predicate));
        }
        super::builtin::check(self, name, arguments, place)
    }

    /// Types of arguments, each visited.
    pub(super) fn visit_all(&mut self, arguments: &mut [Node]) -> Result<Vec<Type>> {
        arguments.iter_mut().map(|argument| self.visit(argument)).collect()
    }
}

fn predicate_builtin_type(name: BuiltinName, collection: Type, predicate: Option<Type>) -> Type {
    match name {
        BuiltinName::All | BuiltinName::None | BuiltinName::Any | BuiltinName::One => Type::Bool,
        BuiltinName::Filter if collection.is_unknown() => Type::list(Type::Any),
        BuiltinName::Filter => Type::list(collection.element()),
        BuiltinName::Map => Type::list(predicate.unwrap_or(Type::Unknown)),
        BuiltinName::Count | BuiltinName::FindIndex | BuiltinName::FindLastIndex => Type::Int,
        BuiltinName::Sum => match predicate {
            Some(found) if found.is_unknown() => Type::Any,
            Some(found) => found,
            None => collection.element(),
        },
        BuiltinName::Find | BuiltinName::FindLast => collection.element(),
        BuiltinName::GroupBy => Type::Groups(Arc::new(collection.element())),
        BuiltinName::SortBy => collection,
        BuiltinName::Reduce => predicate.unwrap_or(Type::Unknown),
        _ => Type::Unknown,
    }
}

/// Turns the integer literals of an argument into floats, through signs and `+ - *`.
fn floats_for_ints(node: &mut Node) {
    match &mut node.kind {
        NodeKind::Int(value) => {
            let value = *value as f64;
            *node = node.replaced(NodeKind::Float(value)).typed(Type::Float);
        }
        NodeKind::Unary(_, inner) => floats_for_ints(inner),
        NodeKind::Binary(
            BinaryOperator::Add | BinaryOperator::Subtract | BinaryOperator::Multiply,
            left,
            right,
        ) => {
            floats_for_ints(left);
            floats_for_ints(right);
        }
        _ => {}
    }
}
