//! The syntax tree of a query. Every node keeps its place in the text.

use crate::model::Matcher;

use super::signature::Function;
use super::text_range::TextRange;

/// The type of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// One float.
    Scalar,
    /// A string.
    String,
    /// Series with one sample each.
    Vector,
    /// Series with samples over a range of time.
    Matrix,
}

impl ValueType {
    /// The name that error texts use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
        }
    }
}

/// An expression. Large nodes are boxed, so that walking a deep tree takes little stack.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expr {
    Number(NumberLiteral),
    String(StringLiteral),
    Vector(Box<VectorSelector>),
    Matrix(Box<MatrixSelector>),
    Subquery(Box<Subquery>),
    Call(Box<Call>),
    Aggregate(Box<Aggregate>),
    Binary(Box<Binary>),
    Unary(Box<Unary>),
    Paren(Box<Paren>),
}

/// A number, or a duration standing as number of seconds.
#[derive(Clone, Debug)]
pub(crate) struct NumberLiteral {
    pub(crate) value: f64,
    /// Whether it was written as duration; for printing only.
    pub(crate) is_duration: bool,
    pub(crate) range: TextRange,
}

/// A string; bytes, since escapes can name any byte.
#[derive(Clone, Debug)]
pub(crate) struct StringLiteral {
    pub(crate) value: Box<[u8]>,
    pub(crate) range: TextRange,
}

/// `name{matchers}` with its modifiers.
#[derive(Clone, Debug)]
pub(crate) struct VectorSelector {
    /// The name outside the braces.
    pub(crate) name: Option<String>,
    /// All matchers in the order written; the one that an outside name stands for comes last.
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) modifiers: Modifiers,
    /// From the name to the end of the selector and its modifiers.
    pub(crate) range: TextRange,
}

/// What may follow a selector or a subquery.
#[derive(Clone, Debug, Default)]
pub(crate) struct Modifiers {
    pub(crate) offset: Option<DurationExpr>,
    pub(crate) at: Option<At>,
    pub(crate) extension: Option<Extension>,
}

/// `@ …`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// Milliseconds since the epoch.
    Time(i64),
    Start,
    End,
}

/// `anchored` or `smoothed`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extension {
    Anchored,
    Smoothed,
}

/// `selector[window]`; modifiers stand in the selector.
#[derive(Clone, Debug)]
pub(crate) struct MatrixSelector {
    pub(crate) selector: VectorSelector,
    pub(crate) window: DurationExpr,
    pub(crate) range: TextRange,
}

/// `expr[window:step]`
#[derive(Clone, Debug)]
pub(crate) struct Subquery {
    pub(crate) expr: Expr,
    pub(crate) window: DurationExpr,
    pub(crate) step: Option<DurationExpr>,
    /// Never with an extension.
    pub(crate) modifiers: Modifiers,
    pub(crate) range: TextRange,
}

/// A duration: a literal, or an expression evaluated in seconds before the query runs.
#[derive(Clone, Debug)]
pub(crate) enum DurationExpr {
    /// Seconds.
    Literal(NumberLiteral),
    /// `step()`
    Step(TextRange),
    /// `range()`
    Range(TextRange),
    /// `min_of(a, b)` or `max_of(a, b)`
    Extreme {
        max: bool,
        lhs: Box<DurationExpr>,
        rhs: Box<DurationExpr>,
        range: TextRange,
    },
    /// `-d` or `+d`
    Unary {
        op: UnaryOp,
        expr: Box<DurationExpr>,
        range: TextRange,
    },
    /// One of `+ - * / % ^`
    Binary {
        op: BinaryOp,
        lhs: Box<DurationExpr>,
        rhs: Box<DurationExpr>,
        range: TextRange,
    },
    Paren(Box<DurationExpr>, TextRange),
}

/// `function(arguments)`
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) function: Function,
    pub(crate) args: Vec<Expr>,
    pub(crate) range: TextRange,
}

/// `op by (grouping) (parameter, expr)`
#[derive(Clone, Debug)]
pub(crate) struct Aggregate {
    pub(crate) op: AggregateOp,
    pub(crate) expr: Expr,
    pub(crate) param: Option<Expr>,
    pub(crate) grouping: Vec<String>,
    pub(crate) without: bool,
    pub(crate) range: TextRange,
}

/// An aggregation operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    CountValues,
    Quantile,
    Limitk,
    LimitRatio,
}

impl AggregateOp {
    pub(crate) const ALL: [Self; 14] = [
        Self::Sum,
        Self::Avg,
        Self::Count,
        Self::Min,
        Self::Max,
        Self::Group,
        Self::Stddev,
        Self::Stdvar,
        Self::Topk,
        Self::Bottomk,
        Self::CountValues,
        Self::Quantile,
        Self::Limitk,
        Self::LimitRatio,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Count => "count",
            Self::Min => "min",
            Self::Max => "max",
            Self::Group => "group",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Topk => "topk",
            Self::Bottomk => "bottomk",
            Self::CountValues => "count_values",
            Self::Quantile => "quantile",
            Self::Limitk => "limitk",
            Self::LimitRatio => "limit_ratio",
        }
    }

    /// Whether Prometheus calls it experimental.
    pub(crate) const fn is_experimental(self) -> bool {
        matches!(self, Self::Limitk | Self::LimitRatio)
    }

    /// Whether it takes a parameter before the vector.
    pub(crate) const fn has_param(self) -> bool {
        matches!(
            self,
            Self::Topk | Self::Bottomk | Self::CountValues | Self::Quantile | Self::Limitk | Self::LimitRatio
        )
    }
}

/// `lhs op rhs`
#[derive(Clone, Debug)]
pub(crate) struct Binary {
    pub(crate) op: BinaryOp,
    pub(crate) lhs: Expr,
    pub(crate) rhs: Expr,
    pub(crate) return_bool: bool,
    /// There if both sides are vectors.
    pub(crate) matching: Option<VectorMatching>,
    pub(crate) range: TextRange,
}

/// A binary operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    TrimUpper,
    TrimLower,
    And,
    Or,
    Unless,
}

impl BinaryOp {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
        }
    }

    /// `== != < <= > >=`
    pub(crate) const fn is_comparison(self) -> bool {
        matches!(self, Self::Eq | Self::Ne | Self::Lt | Self::Le | Self::Gt | Self::Ge)
    }

    /// `and or unless`
    pub(crate) const fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }

    /// `</ >/`
    pub(crate) const fn is_trim(self) -> bool {
        matches!(self, Self::TrimUpper | Self::TrimLower)
    }
}

/// How the samples of two vectors find each other.
#[derive(Clone, Debug, Default)]
pub(crate) struct VectorMatching {
    pub(crate) card: Cardinality,
    /// `on (labels)` if true, else `ignoring (labels)`.
    pub(crate) on: bool,
    pub(crate) labels: Vec<String>,
    /// Labels of `group_left`/`group_right`, taken from the "one" side.
    pub(crate) include: Vec<String>,
    /// Value for a missing left partner.
    pub(crate) fill_left: Option<f64>,
    /// Value for a missing right partner.
    pub(crate) fill_right: Option<f64>,
}

/// How many samples of either side may share a signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cardinality {
    #[default]
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// `-expr` or `+expr`
#[derive(Clone, Debug)]
pub(crate) struct Unary {
    pub(crate) op: UnaryOp,
    pub(crate) expr: Expr,
    pub(crate) range: TextRange,
}

/// A sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnaryOp {
    Plus,
    Minus,
}

/// `(expr)`
#[derive(Clone, Debug)]
pub(crate) struct Paren {
    pub(crate) expr: Expr,
    pub(crate) range: TextRange,
}

impl Expr {
    /// Where the expression stands.
    pub(crate) fn range(&self) -> TextRange {
        match self {
            Self::Number(node) => node.range,
            Self::String(node) => node.range,
            Self::Vector(node) => node.range,
            Self::Matrix(node) => node.range,
            Self::Subquery(node) => node.range,
            Self::Call(node) => node.range,
            Self::Aggregate(node) => node.range,
            Self::Binary(node) => node.range,
            Self::Unary(node) => node.range,
            Self::Paren(node) => node.range,
        }
    }

    /// The type that the expression evaluates to.
    pub(crate) fn value_type(&self) -> ValueType {
        match self {
            Self::Number(_) => ValueType::Scalar,
            Self::String(_) => ValueType::String,
            Self::Vector(_) | Self::Aggregate(_) => ValueType::Vector,
            Self::Matrix(_) | Self::Subquery(_) => ValueType::Matrix,
            Self::Call(node) => node.function.signature().returns,
            Self::Binary(node) => match (node.lhs.value_type(), node.rhs.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::Vector,
            },
            Self::Unary(node) => node.expr.value_type(),
            Self::Paren(node) => node.expr.value_type(),
        }
    }

    /// The expression inside any parentheses.
    pub(crate) fn unwrap_parens(&self) -> &Self {
        let mut expr = self;
        while let Self::Paren(paren) = expr {
            expr = &paren.expr;
        }
        expr
    }
}

impl DurationExpr {
    /// Where the duration stands.
    pub(crate) fn range(&self) -> TextRange {
        match self {
            Self::Literal(literal) => literal.range,
            Self::Step(range)
            | Self::Range(range)
            | Self::Extreme { range, .. }
            | Self::Unary { range, .. }
            | Self::Binary { range, .. }
            | Self::Paren(_, range) => *range,
        }
    }
}

/// Trees are equal if they mean the same, wherever they stand in their texts.
macro_rules! eq_apart_from_range {
    ($($node:ident { $($field:ident),* })*) => {
        $(impl PartialEq for $node {
            fn eq(&self, other: &Self) -> bool {
                $(self.$field == other.$field)&&*
            }
        })*
    };
}

eq_apart_from_range! {
    StringLiteral { value }
    Modifiers { offset, at, extension }
    MatrixSelector { selector, window }
    Subquery { expr, window, step, modifiers }
    Call { function, args }
    Aggregate { op, expr, param, grouping, without }
    Binary { op, lhs, rhs, return_bool, matching }
    Unary { op, expr }
    Paren { expr }
}

impl PartialEq for VectorSelector {
    /// In whatever order the matchers stand.
    fn eq(&self, other: &Self) -> bool {
        let count = |matchers: &[Matcher], matcher| matchers.iter().filter(|other| *other == matcher).count();
        let same = |matcher| count(&self.matchers, matcher) == count(&other.matchers, matcher);
        self.name == other.name
            && self.modifiers == other.modifiers
            && self.matchers.len() == other.matchers.len()
            && (self.matchers == other.matchers || self.matchers.iter().all(same))
    }
}

impl PartialEq for VectorMatching {
    fn eq(&self, other: &Self) -> bool {
        let same = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => same_number(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        self.card == other.card
            && self.on == other.on
            && self.labels == other.labels
            && self.include == other.include
            && same(self.fill_left, other.fill_left)
            && same(self.fill_right, other.fill_right)
    }
}

impl PartialEq for NumberLiteral {
    fn eq(&self, other: &Self) -> bool {
        same_number(self.value, other.value) && self.is_duration == other.is_duration
    }
}

/// NaN is written in one way only.
fn same_number(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}

impl PartialEq for DurationExpr {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(a), Self::Literal(b)) => a == b,
            (Self::Step(_), Self::Step(_)) | (Self::Range(_), Self::Range(_)) => true,
            (
                Self::Extreme { max, lhs, rhs, .. },
                Self::Extreme { max: other_max, lhs: other_lhs, rhs: other_rhs, .. },
            ) => max == other_max && lhs == other_lhs && rhs == other_rhs,
            (Self::Unary { op, expr, .. }, Self::Unary { op: other_op, expr: other_expr, .. }) => {
                op == other_op && expr == other_expr
            }
            (
                Self::Binary { op, lhs, rhs, .. },
                Self::Binary { op: other_op, lhs: other_lhs, rhs: other_rhs, .. },
            ) => op == other_op && lhs == other_lhs && rhs == other_rhs,
            (Self::Paren(a, _), Self::Paren(b, _)) => a == b,
            _ => false,
        }
    }
}
