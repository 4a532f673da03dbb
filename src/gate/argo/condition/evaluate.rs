//! Running a checked condition.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::Timestamp;

use super::Limits;
use super::check::Names;
use super::node::{BinaryOperator, BuiltinName, ComparisonOperator, Node, NodeKind, UnaryOperator};
use super::types::{Function, Type};
use super::value::{self, Value, fault};

/// Why evaluation left an expression: an error, or `?.` on nil inside a chain.
pub(super) enum Stop {
    Nil,
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

type Run<T = Value> = Result<T, Stop>;

pub(super) struct Evaluator<'a> {
    pub(super) result: &'a Value,
    pub(super) names: &'a Names,
    pub(super) now: Timestamp,
    limits: &'a Limits,
    variables: Vec<(Arc<str>, Value)>,
    scopes: Vec<Scope>,
    /// Operands of operations under way, and what `findLast` leaves between them.
    ///
    /// The original's loop from the end does not take away what it tests, so that an operand in front of it is lost:
    /// `1 < findLast(..)` compares true with what was found. Keeping operands on a stack of our own, as its machine does,
    /// gives the same answers and errors.
    stack: Vec<Value>,
    steps: u64,
    elements: usize,
}

struct Scope {
    list: Value,
    index: usize,
    accumulator: Value,
}

/// Runs a tree that has been checked for this type of result.
pub(super) fn evaluate(
    node: &Node,
    result: &Value,
    names: &Names,
    now: Timestamp,
    limits: &Limits,
) -> Result<Value> {
    let mut evaluator = Evaluator {
        result,
        names,
        now,
        limits,
        variables: Vec::new(),
        scopes: Vec::new(),
        stack: Vec::new(),
        steps: 0,
        elements: 0,
    };
    match evaluator.run(node) {
        Ok(value) => Ok(value),
        Err(Stop::Nil) => Ok(Value::Nil),
        Err(Stop::Error(error)) => Err(error),
    }
}

impl Evaluator<'_> {
    pub(super) fn run(&mut self, node: &Node) -> Run {
        self.spend(1)?;
        match &node.kind {
            NodeKind::Nil => Ok(Value::Nil),
            NodeKind::Bool(value) => Ok(Value::Bool(*value)),
            NodeKind::Int(value) => Ok(Value::Int(*value)),
            NodeKind::Float(value) => Ok(Value::Float(*value)),
            NodeKind::Text(text) => Ok(Value::Text(text.clone())),
            NodeKind::Identifier(name) => Ok(self.identifier(name)?),
            NodeKind::Pointer(name) => Ok(self.pointer(name)),
            NodeKind::Unary(operator, inner) => self.unary(*operator, inner),
            NodeKind::Binary(operator, left, right) => self.binary(*operator, left, right),
            NodeKind::Comparison(first, rest) => self.comparison(first, rest),
            NodeKind::Chain(inner) => match self.run(inner) {
                Err(Stop::Nil) => Ok(Value::Nil),
                other => other,
            },
            NodeKind::Member { base, property, optional, .. } => {
                let base = self.run(base)?;
                if *optional && base.is_nil() {
                    return Err(Stop::Nil);
                }
                self.push(base)?;
                let property = self.run(property)?;
                Ok(self.pop().fetch(&property)?)
            }
            NodeKind::Slice { base, from, to } => self.slice(base, from.as_deref(), to.as_deref()),
            NodeKind::Call { callee, arguments } => self.call(callee, arguments),
            NodeKind::Builtin { name, arguments, mapped, throws } => match name.predicate_arguments() {
                Some(_) => self.over_list(*name, arguments, mapped.as_deref(), *throws),
                None => self.builtin(*name, arguments),
            },
            NodeKind::Predicate(inner) => self.run(inner),
            NodeKind::Let { name, value, body } => {
                let value = self.run(value)?;
                self.variables.push((name.clone(), value));
                let answer = self.run(body);
                self.variables.pop();
                answer
            }
            NodeKind::Conditional { condition, then, otherwise } => {
                let holds = self.run(condition)?;
                match (holds.as_bool()?, then) {
                    (true, Some(then)) => self.run(then),
                    (true, None) => Ok(holds),
                    (false, _) => self.run(otherwise),
                }
            }
            _ => self.run_rare(node),
        }
    }

    fn run_rare(&mut self, node: &Node) -> Run {
        match &node.kind {
            NodeKind::Sequence(nodes) => {
                let mut last = Value::Nil;
                for node in nodes {
                    last = self.run(node)?;
                }
                Ok(last)
            }
            NodeKind::List(nodes) => {
                let items = self.run_all(nodes)?;
                self.grow(items.len())?;
                Ok(Value::list(items)?)
            }
            NodeKind::Map(pairs) => {
                for (key, value) in pairs {
                    let key = self.run(key)?;
                    self.push(key)?;
                    let value = self.run(value)?;
                    self.push(value)?;
                }
                self.grow(pairs.len())?;
                let mut entries = BTreeMap::new();
                let operands = self.pop_many(pairs.len().saturating_mul(2));
                // From the last pair to the first: of one key written twice the first one stays.
                for pair in operands.chunks(2).rev() {
                    if let [key, value] = pair {
                        entries.insert(key.as_text()?.clone(), value.clone());
                    }
                }
                Ok(Value::map(entries)?)
            }
            NodeKind::InRange(inner, from, to) => {
                let value = self.run(inner)?;
                let above = value.compare(ComparisonOperator::MoreOrEqual, &Value::Int(*from))?;
                Ok(Value::Bool(above && value.compare(ComparisonOperator::LessOrEqual, &Value::Int(*to))?))
            }
            NodeKind::InInts(inner, set) => {
                let found = match self.run(inner)? {
                    Value::Nil => set.contains(&0),
                    Value::Int(value) => set.contains(&value),
                    other => return Ok(fault(value::not_assignable(&other, "int"))?),
                };
                Ok(Value::Bool(found))
            }
            NodeKind::InTexts(inner, set) => {
                let found = match self.run(inner)? {
                    Value::Nil => set.contains(""),
                    Value::Text(text) => set.contains(&text),
                    other => return Ok(fault(value::not_assignable(&other, "string"))?),
                };
                Ok(Value::Bool(found))
            }
            _ => Ok(Value::Nil),
        }
    }

    /// Counts elements that a condition makes, as the original does.
    pub(super) fn grow(&mut self, elements: usize) -> Result<()> {
        self.elements = self.elements.saturating_add(elements);
        if self.elements >= self.limits.elements {
            return Err(Error::new(ErrorKind::Limit, "memory budget exceeded"));
        }
        Ok(())
    }

    /// Counts work that is not the evaluation of a node.
    pub(super) fn spend(&mut self, steps: usize) -> Result<()> {
        self.steps = self.steps.saturating_add(u64::try_from(steps).unwrap_or(u64::MAX));
        if self.steps > self.limits.steps {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("evaluation takes more than {} steps", self.limits.steps),
            ));
        }
        Ok(())
    }

    fn identifier(&self, name: &str) -> Result<Value> {
        if let Some((_, value)) = self.variables.iter().rev().find(|(variable, _)| **variable == *name) {
            return Ok(value.clone());
        }
        if name == "$env" {
            let mut entries = BTreeMap::new();
            for name in ["result", "isNaN", "isInf", "isNil", "default", "asInt", "asFloat"] {
                if self.names.get(name).is_some() {
                    entries.insert(Arc::from(name), self.identifier(name)?);
                }
            }
            return Value::map(entries);
        }
        if name == "result" && self.names.result.is_some() {
            return Ok(self.result.clone());
        }
        Ok(match self.names.get(name) {
            Some(Type::Function(function)) => Value::Function(function),
            _ => Value::Nil,
        })
    }

    fn pointer(&self, name: &str) -> Value {
        let Some(scope) = self.scopes.last() else { return Value::Nil };
        match name {
            "index" => Value::Int(i64::try_from(scope.index).unwrap_or(i64::MAX)),
            "acc" => scope.accumulator.clone(),
            _ => scope.list.item(scope.index).unwrap_or(Value::Nil),
        }
    }

    fn unary(&mut self, operator: UnaryOperator, inner: &Node) -> Run {
        let value = self.run(inner)?;
        Ok(match operator {
            UnaryOperator::Not | UnaryOperator::Bang => Value::Bool(!value.as_bool()?),
            UnaryOperator::Plus => value,
            UnaryOperator::Minus => value.negate()?,
        })
    }

    fn binary(&mut self, operator: BinaryOperator, left: &Node, right: &Node) -> Run {
        let a = self.run(left)?;
        match operator {
            BinaryOperator::Or(_) if a.as_bool()? => return Ok(a),
            BinaryOperator::And(_) if !a.as_bool()? => return Ok(a),
            BinaryOperator::Coalesce if !a.is_nil() => return Ok(a),
            BinaryOperator::Or(_) | BinaryOperator::And(_) | BinaryOperator::Coalesce => {
                return self.run(right);
            }
            _ => {}
        }
        self.push(a)?;
        let b = self.run(right)?;
        let a = self.pop();
        Ok(match operator {
            BinaryOperator::Equal => Value::Bool(equal(left, right, &a, &b)?),
            BinaryOperator::NotEqual => Value::Bool(!equal(left, right, &a, &b)?),
            BinaryOperator::In => Value::Bool(a.is_in(&b)?),
            BinaryOperator::Matches => Value::Bool(matches(&a, &b)?),
            BinaryOperator::Contains | BinaryOperator::StartsWith | BinaryOperator::EndsWith => {
                Value::Bool(text_operator(operator, &a, &b)?)
            }
            BinaryOperator::Range => self.range(&a, &b)?,
            BinaryOperator::Add => a.add(&b)?,
            BinaryOperator::Subtract => a.subtract(&b)?,
            BinaryOperator::Multiply => a.multiply(&b)?,
            BinaryOperator::Divide => a.divide(&b)?,
            BinaryOperator::Modulo => a.modulo(&b)?,
            BinaryOperator::Power(_) => Value::Float(value::power(a.to_float()?, b.to_float()?)),
            BinaryOperator::Or(_) | BinaryOperator::And(_) | BinaryOperator::Coalesce => b,
        })
    }

    fn range(&mut self, a: &Value, b: &Value) -> Result<Value> {
        let (from, to) = (a.to_int()?, b.to_int()?);
        let length = i128::from(to) - i128::from(from) + 1;
        let length = usize::try_from(length.max(0)).unwrap_or(usize::MAX);
        self.grow(length)?;
        Ok(Value::Ints((from..=to).collect()))
    }

    /// Every neighbouring pair holds. An operand between two others is evaluated for each, as in the original.
    fn comparison(&mut self, first: &Node, rest: &[(ComparisonOperator, Node)]) -> Run {
        let mut left = first;
        for (operator, right) in rest {
            let a = self.run(left)?;
            self.push(a)?;
            let b = self.run(right)?;
            if !self.pop().compare(*operator, &b)? {
                return Ok(Value::Bool(false));
            }
            left = right;
        }
        Ok(Value::Bool(true))
    }

    fn slice(&mut self, base: &Node, from: Option<&Node>, to: Option<&Node>) -> Run {
        let base = self.run(base)?;
        let Some(to) = to else {
            // Without an end the length stands in its place, before the start is evaluated.
            let end = base.length()?;
            return self.slice_to(base, end, from);
        };
        self.push(base)?;
        let end = self.run(to)?;
        let base = self.pop();
        self.slice_to(base, end, from)
    }

    fn slice_to(&mut self, base: Value, end: Value, from: Option<&Node>) -> Run {
        self.push(base)?;
        self.push(end)?;
        let start = from.map_or(Ok(Value::Int(0)), |from| self.run(from))?;
        let end = self.pop();
        Ok(self.pop().slice(&start, &end)?)
    }

    fn push(&mut self, value: Value) -> Result<()> {
        if self.stack.len() >= self.limits.elements {
            return Err(Error::new(ErrorKind::Limit, "memory budget exceeded"));
        }
        self.stack.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Value {
        self.stack.pop().unwrap_or(Value::Nil)
    }

    /// The newest operands, oldest first.
    fn pop_many(&mut self, count: usize) -> Vec<Value> {
        self.stack.split_off(self.stack.len().saturating_sub(count))
    }

    pub(super) fn run_all(&mut self, nodes: &[Node]) -> Run<Vec<Value>> {
        for node in nodes {
            let value = self.run(node)?;
            self.push(value)?;
        }
        Ok(self.pop_many(nodes.len()))
    }

    fn call(&mut self, callee: &Node, arguments: &[Node]) -> Run {
        let values = self.run_all(arguments)?;
        if let NodeKind::Member { base, property, optional, method: true } = &callee.kind {
            let base = self.run(base)?;
            if base.is_nil() && *optional {
                return Err(Stop::Nil);
            }
            if let (Value::Time(_) | Value::Duration(_), NodeKind::Text(name)) = (&base, &property.kind) {
                return Ok(super::time::call_method(&base, name, values.len())?);
            }
            let property = self.run(property)?;
            return Ok(self.call_value(&base.fetch(&property)?, &values)?);
        }
        let function = self.run(callee)?;
        Ok(self.call_value(&function, &values)?)
    }

    fn call_value(&self, function: &Value, arguments: &[Value]) -> Result<Value> {
        let Value::Function(function) = function else {
            return match function {
                Value::Nil => fault("invalid operation: cannot call nil"),
                other => fault(format!(
                    "invalid operation: cannot call non-function of type {}",
                    other.type_name()
                )),
            };
        };
        let first = arguments.first().unwrap_or(&Value::Nil);
        if arguments.len() != function.signature().0.len() {
            return fault(format!("wrong number of arguments to call {}", function.name()));
        }
        Ok(match function {
            Function::IsNan => Value::Bool(first.as_float()?.is_nan()),
            Function::IsInf => Value::Bool(first.as_float()?.is_infinite()),
            Function::IsNil => Value::Bool(self.result.is_nil()),
            Function::Default if self.result.is_nil() => arguments.get(1).cloned().unwrap_or(Value::Nil),
            Function::Default => self.result.clone(),
            Function::AsInt => super::builtin::as_int(first)?,
            Function::AsFloat => super::builtin::as_float(first)?,
            Function::Builtin => return fault("invalid operation: cannot call nil"),
        })
    }

    /// The functions that take a predicate.
    fn over_list(
        &mut self,
        name: BuiltinName,
        arguments: &[Node],
        mapped: Option<&Node>,
        throws: bool,
    ) -> Run {
        let Some((list, rest)) = arguments.split_first() else { return Ok(Value::Nil) };
        let list = self.run(list)?;
        let length = match (&list, list.list_len()) {
            (_, Some(length)) => length,
            (Value::Text(text), None) => text.len(),
            (Value::Map(map), None) => map.entries.len(),
            (other, None) => {
                let kind = if other.is_nil() { "zero" } else { other.kind_name() };
                return Ok(fault(format!("reflect: call of reflect.Value.Len on {kind} Value"))?);
            }
        };
        if list.list_len().is_none() && length > 0 {
            let text = format!("{} over {} is not supported in conditions", name.text(), list.type_name());
            return Err(Error::new(ErrorKind::Unsupported, text).into());
        }
        let extra = match (name, rest.get(1)) {
            (BuiltinName::SortBy | BuiltinName::Reduce, Some(extra)) => {
                // The last argument sees the list but no element yet.
                Some(self.run(extra)?)
            }
            _ => None,
        };
        self.scopes.push(Scope { list, index: 0, accumulator: Value::Nil });
        let answer = self.loop_over(name, rest.first(), mapped, throws, length, extra);
        self.scopes.pop();
        answer
    }

    fn loop_over(
        &mut self,
        name: BuiltinName,
        predicate: Option<&Node>,
        mapped: Option<&Node>,
        throws: bool,
        length: usize,
        extra: Option<Value>,
    ) -> Run {
        let mut collected = Vec::new();
        let mut keys = Vec::new();
        let mut count: i64 = 0;
        let mut start = 0;
        match (name, extra) {
            (BuiltinName::Sum, _) => self.set_accumulator(Value::Int(0)),
            (BuiltinName::Reduce, Some(first)) => self.set_accumulator(first),
            (BuiltinName::Reduce, None) => {
                if length == 0 {
                    return Ok(fault("reflect: slice index out of range")?);
                }
                let first = self.pointer("");
                self.set_accumulator(first);
                start = 1;
            }
            (BuiltinName::SortBy, order) => {
                if !order.as_ref().is_none_or(
                    |order| matches!(order, Value::Text(text) if matches!(&**text, "asc" | "desc")),
                ) {
                    return Ok(fault("unknown order, use asc or desc")?);
                }
                let descending = matches!(&order, Some(Value::Text(text)) if &**text == "desc");
                collected.push(Value::Bool(descending));
            }
            _ => {}
        }
        let backwards = matches!(name, BuiltinName::FindLast | BuiltinName::FindLastIndex);
        for step in start..length {
            let index = if backwards { length.saturating_sub(1).saturating_sub(step) } else { step };
            if let Some(scope) = self.scopes.last_mut() {
                scope.index = index;
            }
            if backwards {
                self.push(Value::Bool(true))?;
            }
            let found = match predicate {
                Some(predicate) => self.run(predicate)?,
                None => self.pointer(""),
            };
            match name {
                BuiltinName::All if !found.as_bool()? => return Ok(Value::Bool(false)),
                BuiltinName::None if found.as_bool()? => return Ok(Value::Bool(false)),
                BuiltinName::Any if found.as_bool()? => return Ok(Value::Bool(true)),
                BuiltinName::All | BuiltinName::None | BuiltinName::Any => {}
                BuiltinName::One | BuiltinName::Count => {
                    count = count.saturating_add(i64::from(found.as_bool()?))
                }
                BuiltinName::Filter | BuiltinName::Find | BuiltinName::FindLast => {
                    if found.as_bool()? {
                        let kept = match mapped {
                            Some(mapped) => self.run(mapped)?,
                            None => self.pointer(""),
                        };
                        if name != BuiltinName::Filter {
                            return Ok(kept);
                        }
                        count = count.saturating_add(1);
                        self.push(kept)?;
                    }
                }
                BuiltinName::FindIndex | BuiltinName::FindLastIndex => {
                    if found.as_bool()? {
                        return Ok(Value::Int(i64::try_from(index).unwrap_or(i64::MAX)));
                    }
                }
                BuiltinName::Map => {
                    count = count.saturating_add(1);
                    self.push(found)?;
                }
                BuiltinName::Sum => {
                    let sum = found.add(&self.accumulator())?;
                    self.set_accumulator(sum);
                }
                BuiltinName::Reduce => self.set_accumulator(found),
                _ => {
                    keys.push(found);
                    collected.push(self.pointer(""));
                }
            }
        }
        if backwards {
            self.push(Value::Bool(false))?;
        }
        match name {
            BuiltinName::All | BuiltinName::None => Ok(Value::Bool(true)),
            BuiltinName::Any => Ok(Value::Bool(false)),
            BuiltinName::One => Ok(Value::Bool(count == 1)),
            BuiltinName::Count => Ok(Value::Int(count)),
            BuiltinName::Find | BuiltinName::FindLast if throws => {
                Ok(fault("reflect: slice index out of range")?)
            }
            BuiltinName::Sum | BuiltinName::Reduce => Ok(self.accumulator()),
            BuiltinName::Filter | BuiltinName::Map => {
                let kept = self.pop_many(usize::try_from(count).unwrap_or(usize::MAX));
                self.grow(kept.len())?;
                Ok(Value::list(kept)?)
            }
            BuiltinName::GroupBy => Ok(super::builtin::groups(keys, collected)?),
            BuiltinName::SortBy => {
                let mut collected = collected.into_iter();
                let descending = matches!(collected.next(), Some(Value::Bool(true)));
                let mut pairs: Vec<(Value, Value)> = keys.into_iter().zip(collected).collect();
                super::builtin::sort(&mut pairs, descending)?;
                self.grow(pairs.len())?;
                Ok(Value::list(pairs.into_iter().map(|(_, item)| item).collect())?)
            }
            _ => Ok(Value::Nil),
        }
    }

    fn accumulator(&self) -> Value {
        self.scopes.last().map_or(Value::Nil, |scope| scope.accumulator.clone())
    }

    fn set_accumulator(&mut self, value: Value) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.accumulator = value;
        }
    }
}

/// `==`: where both sides were known to be integers, or texts, the original asserts that they are.
fn equal(left: &Node, right: &Node, a: &Value, b: &Value) -> Result<bool> {
    match (&left.static_type, &right.static_type) {
        (Type::Int, Type::Int) => Ok(a.as_int()? == b.as_int()?),
        (Type::Text, Type::Text) => Ok(a.as_text()? == b.as_text()?),
        _ => Ok(a.equals(b)),
    }
}

fn matches(a: &Value, b: &Value) -> Result<bool> {
    if a.is_nil() || b.is_nil() {
        return Ok(false);
    }
    let Value::Text(text) = a else {
        return fault(format!("interface conversion: interface {{}} is {}, not []uint8", a.type_name()));
    };
    super::builtin::search(b.as_text()?, text)
}

fn text_operator(operator: BinaryOperator, a: &Value, b: &Value) -> Result<bool> {
    if a.is_nil() || b.is_nil() {
        return Ok(false);
    }
    let (text, part) = (a.as_text()?, &**b.as_text()?);
    Ok(match operator {
        BinaryOperator::Contains => text.contains(part),
        BinaryOperator::StartsWith => text.starts_with(part),
        _ => text.ends_with(part),
    })
}
