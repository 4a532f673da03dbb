//! From the syntax tree to what is evaluated: durations and `@` resolved, parentheses gone, parts that do not depend
//! on the step marked.

mod info;
pub(crate) mod steps;
pub(crate) mod window;

use crate::error::{Error, ErrorKind, Result};
use crate::model::Matcher;
use crate::promql::ast::{
    AggregateOp, At, BinaryOp, DurationExpr, Expr, Extension, Modifiers, UnaryOp, ValueType, VectorMatching,
    VectorSelector,
};
use crate::promql::duration::DurationUse;
use crate::promql::signature::Function;
use crate::promql::text_range::TextRange;

use window::{RangeWindow, Reference};

/// A part of a query, ready to be evaluated.
#[derive(Debug)]
pub(crate) struct Node<'q> {
    pub(crate) operator: Operator<'q>,
    /// Where it stands, its own parentheses left out.
    pub(crate) range: TextRange,
    /// Whether it has the same value at every step.
    pub(crate) invariant: bool,
}

/// What a [`Node`] does.
#[derive(Debug)]
pub(crate) enum Operator<'q> {
    Number(f64),
    String(&'q [u8]),
    Instant(InstantSelector<'q>),
    Range(RangeSelector<'q>),
    Subquery(Box<Subquery<'q>>),
    Call {
        function: Function,
        args: Vec<Node<'q>>,
    },
    Info(Box<Info<'q>>),
    Aggregate(Box<Aggregate<'q>>),
    Binary(Box<Binary<'q>>),
    Negate(Box<Node<'q>>),
    /// Changes nothing, but what is below it is no selector to a function above.
    Plus(Box<Node<'q>>),
}

/// What of a selected sample is the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The sample's own value.
    Value,
    /// Its time in seconds, for `timestamp()`.
    Time,
    /// Its start time in seconds, for `start_timestamp()`.
    StartTime,
}

/// An instant selector.
#[derive(Clone, Debug)]
pub(crate) struct InstantSelector<'q> {
    pub(crate) matchers: &'q [Matcher],
    pub(crate) reference: Reference,
    pub(crate) smoothed: bool,
    pub(crate) reading: Reading,
    /// Whether nothing but count and sum of native histograms is needed.
    pub(crate) statistics: bool,
}

/// A range selector.
#[derive(Clone, Debug)]
pub(crate) struct RangeSelector<'q> {
    pub(crate) matchers: &'q [Matcher],
    pub(crate) window: RangeWindow,
    pub(crate) extension: Option<Extension>,
    /// Whether nothing but count and sum of native histograms is needed.
    pub(crate) statistics: bool,
}

/// A subquery.
#[derive(Debug)]
pub(crate) struct Subquery<'q> {
    pub(crate) inner: Node<'q>,
    pub(crate) window: RangeWindow,
    pub(crate) step: i64,
}

/// A call of `info`.
#[derive(Debug)]
pub(crate) struct Info<'q> {
    pub(crate) inner: Node<'q>,
    /// The matchers of the second argument.
    pub(crate) matchers: &'q [Matcher],
    /// When the info series are looked up.
    pub(crate) reference: Reference,
}

/// An aggregation.
#[derive(Debug)]
pub(crate) struct Aggregate<'q> {
    pub(crate) op: AggregateOp,
    pub(crate) inner: Node<'q>,
    pub(crate) param: Option<Node<'q>>,
    pub(crate) grouping: &'q [String],
    pub(crate) without: bool,
}

/// A binary operation.
#[derive(Debug)]
pub(crate) struct Binary<'q> {
    pub(crate) op: BinaryOp,
    pub(crate) lhs: Node<'q>,
    pub(crate) rhs: Node<'q>,
    pub(crate) return_bool: bool,
    pub(crate) matching: Option<&'q VectorMatching>,
}

/// What the plan depends on beside the query's text; times in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// 0 in an instant query.
    pub(crate) step: i64,
    pub(crate) lookback: i64,
    pub(crate) default_subquery_step: i64,
    /// What the expressions around tell about the histograms below.
    pub(crate) surroundings: Surroundings,
}

/// Which parts of native histograms matter to the expressions around a selector. It shows only in hints: Prometheus reads
/// histograms without buckets where it can, and then notices resets while it reads.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Surroundings {
    /// Something asks for count or sum.
    statistics: bool,
    /// Something asks for more.
    buckets: bool,
}

impl Surroundings {
    fn of_call(self, function: Function) -> Self {
        match function {
            Function::HistogramCount | Function::HistogramSum | Function::HistogramAvg => {
                Self { statistics: true, ..self }
            }
            Function::HistogramQuantile
            | Function::HistogramQuantiles
            | Function::HistogramFraction
            | Function::HistogramStddev
            | Function::HistogramStdvar => Self { buckets: true, ..self },
            _ => self,
        }
    }

    const fn only_statistics(self) -> bool {
        self.statistics && !self.buckets
    }
}

impl Node<'_> {
    /// The type of its value.
    pub(crate) fn value_type(&self) -> ValueType {
        match &self.operator {
            Operator::Number(_) => ValueType::Scalar,
            Operator::String(_) => ValueType::String,
            Operator::Instant(_) | Operator::Aggregate(_) | Operator::Info(_) => ValueType::Vector,
            Operator::Range(_) | Operator::Subquery(_) => ValueType::Matrix,
            Operator::Call { function, .. } => function.signature().returns,
            Operator::Binary(node) => match (node.lhs.value_type(), node.rhs.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::Vector,
            },
            Operator::Negate(node) | Operator::Plus(node) => node.value_type(),
        }
    }
}

/// The plan of a checked expression.
///
/// # Errors
///
/// [`ErrorKind::Query`] or [`ErrorKind::Parse`] with Prometheus's text for durations that have no value here.
pub(crate) fn plan<'q>(expr: &'q Expr, scope: &Scope) -> Result<Node<'q>> {
    let range = expr.range();
    let (operator, invariant) = match expr {
        Expr::Paren(paren) => return plan(&paren.expr, scope),
        Expr::Number(number) => (Operator::Number(number.value), true),
        Expr::String(string) => (Operator::String(&string.value), true),
        Expr::Vector(selector) => {
            let selector = instant(selector, scope)?;
            let invariant = selector.reference.at.is_some();
            (Operator::Instant(selector), invariant)
        }
        Expr::Matrix(matrix) => {
            let extension = matrix.selector.modifiers.extension;
            let length = scope.millis(&matrix.window, DurationUse::Window)?;
            let window = RangeWindow {
                reference: scope.reference(&matrix.selector.modifiers)?,
                length,
                before: if extension.is_some() { scope.lookback } else { 0 },
                after: if extension == Some(Extension::Smoothed) { scope.lookback } else { 0 },
            };
            let selector = RangeSelector {
                matchers: &matrix.selector.matchers,
                window,
                extension,
                statistics: scope.surroundings.only_statistics(),
            };
            (Operator::Range(selector), window.reference.at.is_some())
        }
        Expr::Subquery(node) => {
            // In the order in which Prometheus finds faults.
            let reference = scope.reference(&node.modifiers)?;
            let step = match &node.step {
                Some(step) => scope.millis(step, DurationUse::Window)?,
                None => scope.default_subquery_step,
            };
            let length = scope.millis(&node.window, DurationUse::Window)?;
            let window = RangeWindow { reference, length, before: 0, after: 0 };
            let surroundings = Surroundings { buckets: true, ..scope.surroundings };
            let inner = plan(&node.expr, &Scope { surroundings, ..*scope })?;
            (Operator::Subquery(Box::new(Subquery { inner, window, step })), reference.at.is_some())
        }
        Expr::Call(call) => return call_node(call, scope),
        Expr::Aggregate(node) => {
            let inner = plan(&node.expr, scope)?;
            let param = node.param.as_ref().map(|param| plan(param, scope)).transpose()?;
            // As in Prometheus, what is aggregated decides alone: a parameter then counts as it is at the first step.
            let invariant = inner.invariant;
            let aggregate =
                Aggregate { op: node.op, inner, param, grouping: &node.grouping, without: node.without };
            (Operator::Aggregate(Box::new(aggregate)), invariant)
        }
        Expr::Binary(node) => {
            let buckets = scope.surroundings.buckets || node.op.is_trim();
            let surroundings = Surroundings { buckets, ..scope.surroundings };
            let scope = &Scope { surroundings, ..*scope };
            let (lhs, rhs) = (plan(&node.lhs, scope)?, plan(&node.rhs, scope)?);
            let invariant = lhs.invariant && rhs.invariant;
            let binary = Binary {
                op: node.op,
                lhs,
                rhs,
                return_bool: node.return_bool,
                matching: node.matching.as_ref(),
            };
            (Operator::Binary(Box::new(binary)), invariant)
        }
        Expr::Unary(node) => {
            let inner = plan(&node.expr, scope)?;
            let invariant = inner.invariant;
            match node.op {
                UnaryOp::Plus => (Operator::Plus(Box::new(inner)), invariant),
                UnaryOp::Minus => (Operator::Negate(Box::new(inner)), invariant),
            }
        }
    };
    Ok(Node { operator, range, invariant })
}

fn instant<'q>(selector: &'q VectorSelector, scope: &Scope) -> Result<InstantSelector<'q>> {
    Ok(InstantSelector {
        matchers: &selector.matchers,
        reference: scope.reference(&selector.modifiers)?,
        smoothed: selector.modifiers.extension == Some(Extension::Smoothed),
        reading: Reading::Value,
        statistics: scope.surroundings.only_statistics(),
    })
}

fn call_node<'q>(call: &'q crate::promql::ast::Call, scope: &Scope) -> Result<Node<'q>> {
    let function = call.function;
    let range = call.range;
    let below = Scope { surroundings: scope.surroundings.of_call(function), ..*scope };
    let mut args = call.args.iter().map(|arg| plan(arg, &below)).collect::<Result<Vec<_>>>()?;
    let seconds = |millis: i64| millis as f64 / 1000.0;
    let constant = match function {
        Function::Start => Some(seconds(scope.start)),
        Function::End => Some(seconds(scope.end)),
        // A range of one step counts as an instant here, but not in durations.
        Function::Step if scope.start == scope.end => Some(0.0),
        Function::Step => Some(seconds(scope.step)),
        Function::Range => Some(seconds(scope.end.saturating_sub(scope.start))),
        _ => None,
    };
    if let Some(value) = constant {
        return Ok(Node { operator: Operator::Number(value), range, invariant: true });
    }
    if function == Function::Info {
        let mut args = args.into_iter();
        let Some(inner) = args.next() else {
            return Err(Error::new(ErrorKind::Query, "info expects an instant vector"));
        };
        let matchers = match args.next().map(|selector| selector.operator) {
            Some(Operator::Instant(selector)) => selector.matchers,
            _ => &[],
        };
        let reference = info::reference(&inner);
        let invariant = inner.invariant && reference.at.is_some();
        return Ok(Node {
            operator: Operator::Info(Box::new(Info { inner, matchers, reference })),
            range,
            invariant,
        });
    }
    for arg in &mut args {
        if let Operator::Instant(selector) = &mut arg.operator {
            let reading = match function {
                Function::Timestamp => Reading::Time,
                Function::StartTimestamp => Reading::StartTime,
                _ => continue,
            };
            // Times are those of samples, also of a smoothed selector.
            (selector.reading, selector.smoothed) = (reading, false);
        }
    }
    let reads_time_itself = matches!(
        function,
        Function::DaysInMonth
            | Function::DayOfMonth
            | Function::DayOfWeek
            | Function::DayOfYear
            | Function::Hour
            | Function::Minute
            | Function::Month
            | Function::Year
            | Function::PredictLinear
            | Function::Time
    ) || (function == Function::Timestamp
        && !matches!(args.as_slice(), [Node { operator: Operator::Instant(_), .. }]));
    let invariant = !reads_time_itself && args.iter().all(|arg| arg.invariant);
    Ok(Node { operator: Operator::Call { function, args }, range, invariant })
}

impl Scope {
    fn millis(&self, duration: &DurationExpr, usage: DurationUse) -> Result<i64> {
        duration.evaluate(self.step, self.end.saturating_sub(self.start), usage)
    }

    fn reference(&self, modifiers: &Modifiers) -> Result<Reference> {
        let offset = match &modifiers.offset {
            Some(offset) => self.millis(offset, DurationUse::Offset)?,
            None => 0,
        };
        let at = modifiers.at.map(|at| match at {
            At::Time(time) => time,
            At::Start => self.start,
            At::End => self.end,
        });
        Ok(Reference { at, offset })
    }
}
