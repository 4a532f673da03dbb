//! Checks of a tree: types, numbers of arguments, and what must not stand together.
//!
//! The tree is walked in Prometheus's order, so that of several mistakes the same one is reported.

use crate::error::{Error, ErrorKind, Result};
use crate::model::Matcher;
use crate::model::number::quote;

use super::ast::{
    Aggregate, AggregateOp, Binary, Call, Cardinality, DurationExpr, Expr, Modifiers, ValueType,
    VectorSelector,
};
use super::duration::literal_nanos;
use super::parse::{ParseOptions, error_at};
use super::signature::Function;
use super::text_range::TextRange;

/// Checks the tree of the query `text`, and drops matching clauses that mean nothing.
pub(crate) fn check(text: &str, expr: &mut Expr, options: &ParseOptions) -> Result<()> {
    let checker = Checker { text };
    checker.expr(expr)?;
    if options.at_modifier && options.negative_offset {
        return Ok(());
    }
    modifiers_enabled(expr, options)
}

struct Checker<'t> {
    text: &'t str,
}

impl Checker<'_> {
    fn fail<T>(&self, range: TextRange, message: &str) -> Result<T> {
        Err(error_at(self.text, range, message))
    }

    /// Checks an expression and returns its type.
    fn expr(&self, expr: &mut Expr) -> Result<ValueType> {
        let range = expr.range();
        match expr {
            Expr::Number(_) => Ok(ValueType::Scalar),
            Expr::String(_) => Ok(ValueType::String),
            Expr::Vector(selector) => self.selector(selector, false),
            Expr::Matrix(matrix) => {
                self.selector(&matrix.selector, false)?;
                Ok(ValueType::Matrix)
            }
            Expr::Subquery(subquery) => {
                let found = self.expr(&mut subquery.expr)?;
                self.subquery(found, range)
            }
            Expr::Call(call) => self.call(call),
            Expr::Aggregate(aggregate) => self.aggregate(aggregate),
            Expr::Binary(binary) => {
                let lhs = self.expr(&mut binary.lhs)?;
                let rhs = self.expr(&mut binary.rhs)?;
                self.binary(binary, lhs, rhs)
            }
            Expr::Unary(unary) => {
                let found = self.expr(&mut unary.expr)?;
                self.unary(found, range)
            }
            Expr::Paren(paren) => self.expr(&mut paren.expr),
        }
    }

    #[inline(never)]
    fn subquery(&self, found: ValueType, range: TextRange) -> Result<ValueType> {
        let found = match found {
            ValueType::Vector => return Ok(ValueType::Matrix),
            ValueType::Matrix => "matrix",
            found => found.as_str(),
        };
        self.fail(range, &format!("subquery is only allowed on instant vector, got {found} instead"))
    }

    #[inline(never)]
    fn unary(&self, found: ValueType, range: TextRange) -> Result<ValueType> {
        if matches!(found, ValueType::Scalar | ValueType::Vector) {
            return Ok(found);
        }
        let message = format!(
            "unary expression only allowed on expressions of type scalar or instant vector, got {}",
            quote(found.as_str().as_bytes())
        );
        self.fail(range, &message)
    }

    fn expect(&self, expr: &mut Expr, wanted: ValueType, place: &str) -> Result<()> {
        let range = expr.range();
        let found = self.expr(expr)?;
        self.same_type(found, wanted, range, place)
    }

    #[inline(never)]
    fn same_type(&self, found: ValueType, wanted: ValueType, range: TextRange, place: &str) -> Result<()> {
        if found == wanted {
            return Ok(());
        }
        self.fail(range, &format!("expected type {} in {place}, got {}", wanted.as_str(), found.as_str()))
    }

    #[inline(never)]
    fn selector(&self, selector: &VectorSelector, any_matchers: bool) -> Result<ValueType> {
        if let Some(name) = &selector.name {
            // The last matcher is the one that the name stands for.
            let inside = selector.matchers.split_last().map_or(&[][..], |(_, inside)| inside);
            if let Some(other) = inside.iter().find(|matcher| matcher.name() == "__name__") {
                let message = format!(
                    "metric name must not be set twice: {} or {}",
                    quote(name.as_bytes()),
                    quote(other.value())
                );
                return self.fail(selector.range, &message);
            }
        } else if !any_matchers && selector.matchers.iter().all(accepts_empty) {
            return self.fail(selector.range, "vector selector must contain at least one non-empty matcher");
        }
        Ok(ValueType::Vector)
    }

    fn aggregate(&self, aggregate: &mut Aggregate) -> Result<ValueType> {
        self.expect(&mut aggregate.expr, ValueType::Vector, "aggregation expression")?;
        let wanted =
            if aggregate.op == AggregateOp::CountValues { ValueType::String } else { ValueType::Scalar };
        if let Some(param) = &mut aggregate.param {
            self.expect(param, wanted, "aggregation parameter")?;
        }
        Ok(ValueType::Vector)
    }

    fn call(&self, call: &mut Call) -> Result<ValueType> {
        let function = call.function;
        self.argument_count(call)?;
        if function == Function::Info {
            self.info_selector(call.args.get(1), call.range)?;
        }
        for (index, arg) in call.args.iter_mut().enumerate() {
            let range = arg.range();
            let found = match arg {
                Expr::Vector(selector) => {
                    self.selector(selector, function == Function::Info && index == 1)?
                }
                arg => self.expr(arg)?,
            };
            self.argument(function, index, found, range)?;
        }
        Ok(function.signature().returns)
    }

    /// Checks the type of one argument.
    #[inline(never)]
    fn argument(&self, function: Function, index: usize, found: ValueType, range: TextRange) -> Result<()> {
        let args = function.signature().args;
        match args.get(index).or(args.last()) {
            Some(wanted) if found != *wanted => self.same_type(found, *wanted, range, &in_call(function)),
            _ => Ok(()),
        }
    }

    #[inline(never)]
    fn argument_count(&self, call: &Call) -> Result<()> {
        let signature = call.function.signature();
        let (found, listed) = (call.args.len(), signature.args.len());
        let least = listed.saturating_sub(1);
        let (amount, wanted) = match usize::try_from(signature.variadic) {
            Ok(0) if found != listed => ("", listed),
            Ok(0) => return Ok(()),
            _ if found < least => ("at least ", least),
            Ok(extra) if found > least.saturating_add(extra) => ("at most ", least.saturating_add(extra)),
            _ => return Ok(()),
        };
        let name = quote(signature.name.as_bytes());
        self.fail(
            call.range,
            &format!("expected {amount}{wanted} argument(s) in call to {name}, got {found}"),
        )
    }

    /// The second argument of `info`, which only names labels.
    #[inline(never)]
    fn info_selector(&self, arg: Option<&Expr>, call: TextRange) -> Result<()> {
        let Some(arg) = arg else { return Ok(()) };
        self.same_type(arg.value_type(), ValueType::Vector, call, &in_call(Function::Info))?;
        match arg {
            Expr::Vector(selector) if selector.name.is_none() => Ok(()),
            Expr::Vector(_) => {
                self.fail(arg.range(), "expected label selectors only, got vector selector instead")
            }
            _ => self.fail(arg.range(), "expected label selectors only"),
        }
    }

    /// Checks a binary operation whose operands have these types.
    #[inline(never)]
    fn binary(&self, binary: &mut Binary, lhs: ValueType, rhs: ValueType) -> Result<ValueType> {
        let op = binary.op;
        let both_scalar = lhs == ValueType::Scalar && rhs == ValueType::Scalar;
        if binary.return_bool && !op.is_comparison() {
            return self.fail_at_operator(binary, "bool modifier can only be used on comparison operators");
        }
        if op.is_comparison() && !binary.return_bool && both_scalar {
            return self.fail_at_operator(binary, "comparisons between scalars must use BOOL modifier");
        }
        if let Some(matching) = &mut binary.matching
            && op.is_set()
            && matching.card == Cardinality::OneToOne
        {
            matching.card = Cardinality::ManyToMany;
        }
        let matching = binary.matching.clone().unwrap_or_default();
        if matching.on
            && let Some(label) = matching.labels.iter().find(|label| matching.include.contains(label))
        {
            let message =
                format!("label {} must not occur in ON and GROUP clause at once", quote(label.as_bytes()));
            return self.fail_at_operator(binary, &message);
        }
        for (found, operand) in [(lhs, &binary.lhs), (rhs, &binary.rhs)] {
            if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                let message = "binary expression must contain only scalar and instant vector types";
                return self.fail(operand.range(), message);
            }
        }
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        if lhs == ValueType::Vector && rhs == ValueType::Vector {
            if op.is_set() && matching.card != Cardinality::ManyToMany {
                let message = format!("no grouping allowed for \"{}\" operation", op.as_str());
                return self.fail(binary.range, &message);
            }
            if op.is_set() && fills {
                return self.fail(binary.range, "filling in missing series not allowed for set operators");
            }
            return Ok(ValueType::Vector);
        }
        if !matching.labels.is_empty() {
            return self.fail(binary.range, "vector matching only allowed between instant vectors");
        }
        if fills {
            let message = "filling in missing series only allowed between instant vectors";
            return self.fail(binary.range, message);
        }
        binary.matching = None;
        if op.is_set() {
            let message = format!("set operator \"{}\" not allowed in binary scalar expression", op.as_str());
            return self.fail(binary.range, &message);
        }
        Ok(if both_scalar { ValueType::Scalar } else { ValueType::Vector })
    }

    /// An error between the operands, blank space left out.
    fn fail_at_operator<T>(&self, binary: &Binary, message: &str) -> Result<T> {
        let (start, end) = (binary.lhs.range().end, binary.rhs.range().start);
        let between = self.text.get(start..end).unwrap_or("");
        let blank = [' ', '\t', '\n', '\r'];
        let leading = between.len().saturating_sub(between.trim_start_matches(blank).len());
        let range = TextRange::new(
            start.saturating_add(leading),
            start.saturating_add(between.trim_end_matches(blank).len()),
        );
        self.fail(range, message)
    }
}

fn in_call(function: Function) -> String {
    format!("call to function {}", quote(function.signature().name.as_bytes()))
}

fn accepts_empty(matcher: &Matcher) -> bool {
    matcher.matches("")
}

#[inline(never)]
fn enabled(modifiers: &Modifiers, options: &ParseOptions) -> Result<()> {
    if modifiers.at.is_some() && !options.at_modifier {
        return Err(Error::new(ErrorKind::Parse, "@ modifier is disabled"));
    }
    let negative =
        matches!(&modifiers.offset, Some(DurationExpr::Literal(offset)) if literal_nanos(offset) < 0);
    if negative && !options.negative_offset {
        return Err(Error::new(ErrorKind::Parse, "negative offset is disabled"));
    }
    Ok(())
}

/// Whether `@` and negative offsets, where they are switched off, are left alone.
fn modifiers_enabled(expr: &Expr, options: &ParseOptions) -> Result<()> {
    match expr {
        Expr::Number(_) | Expr::String(_) => Ok(()),
        Expr::Vector(selector) => enabled(&selector.modifiers, options),
        Expr::Matrix(matrix) => enabled(&matrix.selector.modifiers, options),
        Expr::Subquery(subquery) => {
            enabled(&subquery.modifiers, options)?;
            modifiers_enabled(&subquery.expr, options)
        }
        Expr::Call(call) => call.args.iter().try_for_each(|arg| modifiers_enabled(arg, options)),
        Expr::Aggregate(aggregate) => {
            modifiers_enabled(&aggregate.expr, options)?;
            aggregate.param.iter().try_for_each(|param| modifiers_enabled(param, options))
        }
        Expr::Binary(binary) => {
            modifiers_enabled(&binary.lhs, options)?;
            modifiers_enabled(&binary.rhs, options)
        }
        Expr::Unary(unary) => modifiers_enabled(&unary.expr, options),
        Expr::Paren(paren) => modifiers_enabled(&paren.expr, options),
    }
}
