//! From the syntax tree to what is evaluated: durations and `@` resolved, parentheses gone, parts that do not depend
//! on the step marked.

mod info;
pub(crate) mod steps;
pub(crate) mod window;

use smallvec::SmallVec;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Matcher, Window};
use crate::promql::ast::{
    self, AggregateOp, At, BinaryOp, DurationExpr, Expr, Extension, MatrixSelector, Modifiers, UnaryOp,
    ValueType, VectorMatching, VectorSelector,
};
use crate::promql::duration::DurationUse;
use crate::promql::signature::Function;
use crate::promql::text_range::TextRange;

use steps::Steps;
use window::{RangeWindow, Reference, subquery_steps};

/// A part of a query, ready to be evaluated.
#[derive(Debug)]
pub(crate) struct Node<'q> {
    pub(crate) operator: Operator<'q>,
    pub(crate) value_type: ValueType,
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
    Instant(Box<InstantSelector<'q>>),
    Range(Box<RangeSelector<'q>>),
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

impl<'q> Node<'q> {
    const fn constant(value: f64, range: TextRange) -> Self {
        Self { operator: Operator::Number(value), value_type: ValueType::Scalar, range, invariant: true }
    }

    /// What it works on, in the order of the text but for parameters, which come before what they are for.
    pub(crate) fn operands(&self) -> SmallVec<[&Self; 4]> {
        match &self.operator {
            Operator::Call { args, .. } => args.iter().collect(),
            Operator::Aggregate(aggregate) => aggregate.param.iter().chain([&aggregate.inner]).collect(),
            Operator::Binary(binary) => SmallVec::from_iter([&binary.lhs, &binary.rhs]),
            Operator::Info(info) => SmallVec::from_iter([&info.inner]),
            Operator::Subquery(subquery) => SmallVec::from_iter([&subquery.inner]),
            Operator::Negate(inner) | Operator::Plus(inner) => SmallVec::from_iter([&**inner]),
            Operator::Number(_) | Operator::String(_) | Operator::Instant(_) | Operator::Range(_) => {
                SmallVec::new()
            }
        }
    }

    /// Whether it is evaluated once for all of these times.
    pub(crate) fn is_once(&self, steps: Steps) -> bool {
        self.invariant && !steps.is_single() && self.value_type != ValueType::Matrix
    }
}

impl InstantSelector<'_> {
    /// The samples needed for all of `steps`.
    pub(crate) fn fetched(&self, steps: Steps, lookback: i64) -> Window {
        let after = if self.smoothed { lookback } else { 0 };
        self.reference.window(steps, lookback, after)
    }
}

impl Subquery<'_> {
    /// The times at which its expression is evaluated.
    pub(crate) fn steps(&self, steps: Steps) -> Steps {
        subquery_steps(self.window, self.step, steps)
    }
}

/// The plan of a checked expression. Whatever does not lead deeper is done by functions of their own, so that deep trees take
/// little stack.
///
/// # Errors
///
/// [`ErrorKind::Query`] or [`ErrorKind::Parse`] with Prometheus's text for durations that have no value here.
pub(crate) fn plan<'q>(expr: &'q Expr, scope: &Scope) -> Result<Node<'q>> {
    let mut planner = Planner::default();
    planner.plan(expr, scope)?;
    planner.pop()
}

/// Goes through the expressions.
#[derive(Default)]
struct Planner<'q> {
    /// Nodes that are no part of a larger one yet.
    finished: Vec<Node<'q>>,
}

impl<'q> Planner<'q> {
    fn plan(&mut self, expr: &'q Expr, scope: &Scope) -> Result<()> {
        match expr {
            Expr::Paren(paren) => self.plan(&paren.expr, scope),
            Expr::Subquery(subquery) => {
                let window = subquery_window(subquery, scope)?;
                self.plan(&subquery.expr, &scope.of_subquery())?;
                self.subquery(subquery, window)
            }
            Expr::Call(call) => {
                let below = scope.of_call(call.function);
                for arg in &call.args {
                    self.plan(arg, &below)?;
                }
                self.call(call, scope)
            }
            Expr::Aggregate(aggregate) => {
                self.plan(&aggregate.expr, scope)?;
                if let Some(param) = &aggregate.param {
                    self.plan(param, scope)?;
                }
                self.aggregate(aggregate)
            }
            Expr::Binary(binary) => {
                let below = scope.of_binary(binary.op);
                self.plan(&binary.lhs, &below)?;
                self.plan(&binary.rhs, &below)?;
                self.binary(binary)
            }
            Expr::Unary(unary) => {
                self.plan(&unary.expr, scope)?;
                self.unary(unary)
            }
            Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => self.leaf(expr, scope),
        }
    }

    fn pop(&mut self) -> Result<Node<'q>> {
        self.finished.pop().ok_or_else(|| Error::new(ErrorKind::Query, "an expression has no operand"))
    }

    #[inline(never)]
    fn leaf(&mut self, expr: &'q Expr, scope: &Scope) -> Result<()> {
        let node = match expr {
            Expr::Number(number) => Node::constant(number.value, number.range),
            Expr::Vector(selector) => instant_node(selector, scope)?,
            Expr::Matrix(matrix) => range_node(matrix, scope)?,
            Expr::String(string) => Node {
                operator: Operator::String(&string.value),
                value_type: ValueType::String,
                range: string.range,
                invariant: true,
            },
            _ => return Ok(()),
        };
        self.finished.push(node);
        Ok(())
    }

    #[inline(never)]
    fn subquery(&mut self, subquery: &'q ast::Subquery, (window, step): (RangeWindow, i64)) -> Result<()> {
        let inner = self.pop()?;
        self.finished.push(Node {
            operator: Operator::Subquery(Box::new(Subquery { inner, window, step })),
            value_type: ValueType::Matrix,
            range: subquery.range,
            invariant: window.reference.at.is_some(),
        });
        Ok(())
    }

    #[inline(never)]
    fn call(&mut self, call: &'q ast::Call, scope: &Scope) -> Result<()> {
        let args = self.finished.split_off(self.finished.len().saturating_sub(call.args.len()));
        let node = call_node(call, args, scope)?;
        self.finished.push(node);
        Ok(())
    }

    #[inline(never)]
    fn aggregate(&mut self, node: &'q ast::Aggregate) -> Result<()> {
        let param = if node.param.is_some() { Some(self.pop()?) } else { None };
        let inner = self.pop()?;
        // As in Prometheus, what is aggregated decides alone: a parameter then counts as it is at the first step.
        let invariant = inner.invariant;
        let aggregate =
            Aggregate { op: node.op, inner, param, grouping: &node.grouping, without: node.without };
        self.finished.push(Node {
            operator: Operator::Aggregate(Box::new(aggregate)),
            value_type: ValueType::Vector,
            range: node.range,
            invariant,
        });
        Ok(())
    }

    #[inline(never)]
    fn binary(&mut self, node: &'q ast::Binary) -> Result<()> {
        let (rhs, lhs) = (self.pop()?, self.pop()?);
        let value_type = match (lhs.value_type, rhs.value_type) {
            (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
            _ => ValueType::Vector,
        };
        let invariant = lhs.invariant && rhs.invariant;
        let matching = node.matching.as_ref();
        let binary = Binary { op: node.op, lhs, rhs, return_bool: node.return_bool, matching };
        let operator = Operator::Binary(Box::new(binary));
        self.finished.push(Node { operator, value_type, range: node.range, invariant });
        Ok(())
    }

    #[inline(never)]
    fn unary(&mut self, node: &'q ast::Unary) -> Result<()> {
        let inner = self.pop()?;
        let (value_type, invariant) = (inner.value_type, inner.invariant);
        let inner = Box::new(inner);
        let operator = match node.op {
            UnaryOp::Plus => Operator::Plus(inner),
            UnaryOp::Minus => Operator::Negate(inner),
        };
        self.finished.push(Node { operator, value_type, range: node.range, invariant });
        Ok(())
    }
}

fn instant_node<'q>(selector: &'q VectorSelector, scope: &Scope) -> Result<Node<'q>> {
    let range = selector.range;
    let selector = Box::new(instant(selector, scope)?);
    let invariant = selector.reference.at.is_some();
    Ok(Node { operator: Operator::Instant(selector), value_type: ValueType::Vector, range, invariant })
}

fn range_node<'q>(matrix: &'q MatrixSelector, scope: &Scope) -> Result<Node<'q>> {
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
    Ok(Node {
        operator: Operator::Range(Box::new(selector)),
        value_type: ValueType::Matrix,
        range: matrix.range,
        invariant: window.reference.at.is_some(),
    })
}

/// Window and step of a subquery, in the order in which Prometheus finds faults.
#[inline(never)]
fn subquery_window(subquery: &ast::Subquery, scope: &Scope) -> Result<(RangeWindow, i64)> {
    let reference = scope.reference(&subquery.modifiers)?;
    let step = match &subquery.step {
        Some(step) => scope.millis(step, DurationUse::Window)?,
        None => scope.default_subquery_step,
    };
    let length = scope.millis(&subquery.window, DurationUse::Window)?;
    Ok((RangeWindow { reference, length, before: 0, after: 0 }, step))
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

fn call_node<'q>(call: &'q ast::Call, mut args: Vec<Node<'q>>, scope: &Scope) -> Result<Node<'q>> {
    let function = call.function;
    let (value_type, range) = (function.signature().returns, call.range);
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
        return Ok(Node::constant(value, range));
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
            value_type,
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
    Ok(Node { operator: Operator::Call { function, args }, value_type, range, invariant })
}

impl Scope {
    /// What the arguments of a call see.
    fn of_call(&self, function: Function) -> Self {
        Self { surroundings: self.surroundings.of_call(function), ..*self }
    }

    /// What the operands of a binary operation see.
    fn of_binary(&self, op: BinaryOp) -> Self {
        let buckets = self.surroundings.buckets || op.is_trim();
        Self { surroundings: Surroundings { buckets, ..self.surroundings }, ..*self }
    }

    /// What the expression of a subquery sees.
    fn of_subquery(&self) -> Self {
        Self { surroundings: Surroundings { buckets: true, ..self.surroundings }, ..*self }
    }

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
