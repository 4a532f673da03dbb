//! Expressions: operators by precedence, then what they stand between.

use crate::error::Result;
use crate::model::number::{parse_duration, parse_number, quote, seconds_of_nanos};
use crate::promql::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, Expr, NumberLiteral, Paren, StringLiteral, Unary, UnaryOp,
};
use crate::promql::lex::{Keyword, Token, TokenKind, unquote};
use crate::promql::signature::Function;
use crate::promql::text_range::TextRange;

use super::context::Context;
use super::{Node, Parser, range_of};

/// How tightly an operator binds, and whether it binds to the right.
pub(super) struct Binding {
    pub(super) level: u8,
    pub(super) right: bool,
}

/// The level of unary operators: they take what binds tighter than `*`.
pub(super) const UNARY_OPERAND: u8 = 6;

pub(super) const fn binding(op: BinaryOp) -> Binding {
    let (level, right) = match op {
        BinaryOp::Or => (1, false),
        BinaryOp::And | BinaryOp::Unless => (2, false),
        BinaryOp::Eq
        | BinaryOp::Ne
        | BinaryOp::Lt
        | BinaryOp::Le
        | BinaryOp::Gt
        | BinaryOp::Ge
        | BinaryOp::TrimUpper
        | BinaryOp::TrimLower => (3, false),
        BinaryOp::Add | BinaryOp::Sub => (4, false),
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Atan2 => (5, false),
        BinaryOp::Pow => (6, true),
    };
    Binding { level, right }
}

/// The level that the right operand of an operator has at least.
pub(super) const fn right_level(binding: &Binding) -> u8 {
    if binding.right { binding.level } else { binding.level.saturating_add(1) }
}

/// The sign that an operator is before an operand.
pub(super) const fn sign(kind: TokenKind) -> Option<UnaryOp> {
    match kind {
        TokenKind::Operator(BinaryOp::Add) => Some(UnaryOp::Plus),
        TokenKind::Operator(BinaryOp::Sub) => Some(UnaryOp::Minus),
        _ => None,
    }
}

impl Parser<'_> {
    /// An expression whose operators bind at least at `level`.
    pub(super) fn expr(&mut self, level: u8) -> Result<Node> {
        let mut lhs = self.nested(Self::operand)?;
        while let TokenKind::Operator(op) = self.peek()?.kind {
            let binding = binding(op);
            if binding.level < level {
                break;
            }
            self.advance();
            lhs = self.binary(lhs, op, right_level(&binding))?;
        }
        Ok(lhs)
    }

    fn binary(&mut self, lhs: Node, op: BinaryOp, level: u8) -> Result<Node> {
        let return_bool = self.take(TokenKind::Keyword(Keyword::Bool))?.is_some();
        let matching = self.vector_matching()?;
        let rhs = self.nested(|parser| parser.expr(level))?;
        let range = lhs.item.range().to(rhs.item.range());
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        if fills && !self.options.fill_modifiers {
            return Err(self.error(range, "binop fill modifiers are experimental and not enabled"));
        }
        let below = lhs.height.max(rhs.height);
        let binary =
            Binary { op, lhs: lhs.item, rhs: rhs.item, return_bool, matching: Some(matching), range };
        self.node(Expr::Binary(Box::new(binary)), below)
    }

    fn operand(&mut self) -> Result<Node> {
        let token = self.peek()?;
        let Some(op) = sign(token.kind) else {
            let primary = self.primary(token)?;
            return self.postfix(primary);
        };
        self.advance();
        let mut operand = self.expr(UNARY_OPERAND)?;
        if let Expr::Number(number) = &mut operand.item {
            if op == UnaryOp::Minus {
                number.value = -number.value;
            }
            number.range.start = token.start();
            return Ok(operand);
        }
        let range = TextRange::new(token.start(), operand.item.range().end);
        let unary = Unary { op, expr: operand.item, range };
        self.node(Expr::Unary(Box::new(unary)), operand.height)
    }

    fn primary(&mut self, token: Token) -> Result<Node> {
        match token.kind {
            TokenKind::Number | TokenKind::Duration => {
                let literal = self.number_literal(token)?;
                self.node(Expr::Number(literal), 0)
            }
            TokenKind::String => {
                self.advance();
                let value = self.string_value(token)?.into_boxed_slice();
                self.node(Expr::String(StringLiteral { value, range: range_of(token) }), 0)
            }
            TokenKind::LeftParen => {
                self.advance();
                let inner = self.expr(0)?;
                let close = self.expect(TokenKind::RightParen)?;
                let range = TextRange::new(token.start(), close.end());
                self.node(Expr::Paren(Box::new(Paren { expr: inner.item, range })), inner.height)
            }
            TokenKind::LeftBrace => self.vector_selector(None),
            TokenKind::Aggregate(op) => {
                self.advance();
                match self.peek()?.kind {
                    TokenKind::LeftParen | TokenKind::Keyword(Keyword::By | Keyword::Without) => {
                        let outer = self.context;
                        self.within(Context::Aggregation, |parser| parser.aggregate(token, op, outer))
                    }
                    _ => self.vector_selector(Some(token)),
                }
            }
            TokenKind::Identifier
            | TokenKind::Keyword(
                Keyword::Start
                | Keyword::End
                | Keyword::Step
                | Keyword::Range
                | Keyword::MinOf
                | Keyword::MaxOf,
            ) => {
                self.advance();
                match self.peek()?.kind {
                    TokenKind::LeftParen => self.call(token),
                    _ => self.vector_selector(Some(token)),
                }
            }
            _ if is_metric_name(token.kind) => {
                self.advance();
                self.vector_selector(Some(token))
            }
            _ => Err(self.unexpected()),
        }
    }

    /// A number or a duration, which is the next word.
    pub(super) fn number_literal(&mut self, token: Token) -> Result<NumberLiteral> {
        self.advance();
        let range = range_of(token);
        let word = self.word(token);
        let is_duration = token.kind == TokenKind::Duration;
        let value = if is_duration {
            let nanos = parse_duration(word).map_err(|error| self.error(range, &error))?;
            seconds_of_nanos(nanos)
        } else {
            parse_number(word)
                .map_err(|error| self.error(range, &format!("error parsing number: {error}")))?
        };
        Ok(NumberLiteral { value, is_duration, range })
    }

    /// The bytes of a string.
    pub(super) fn string_value(&self, token: Token) -> Result<Vec<u8>> {
        let word = self.word(token);
        unquote(word).map_err(|error| {
            let message = format!("error unquoting string {}: {error}", quote(word.as_bytes()));
            self.error(range_of(token), &message)
        })
    }

    fn call(&mut self, name: Token) -> Result<Node> {
        let (args, below, end) = self.arguments()?;
        let word = self.word(name);
        let Some(function) = Function::by_name(word) else {
            let message = format!("unknown function with name {}", quote(word.as_bytes()));
            return Err(self.error(range_of(name), &message));
        };
        if function.signature().experimental && !self.options.experimental_functions {
            let message = format!("function {} is not enabled", quote(word.as_bytes()));
            return Err(self.error(range_of(name), &message));
        }
        let range = TextRange::new(name.start(), end);
        self.node(Expr::Call(Call { function, args, range }), below)
    }

    /// `(…)`: the arguments, the height of the highest, and where the parenthesis closes.
    fn arguments(&mut self) -> Result<(Vec<Expr>, usize, usize)> {
        self.expect(TokenKind::LeftParen)?;
        let mut args = Vec::new();
        let mut below = 0;
        if let Some(close) = self.take(TokenKind::RightParen)? {
            return Ok((args, below, close.end()));
        }
        loop {
            let arg = self.expr(0)?;
            below = below.max(arg.height);
            args.push(arg.item);
            if let Some(close) = self.take(TokenKind::RightParen)? {
                return Ok((args, below, close.end()));
            }
            let comma = self.expect(TokenKind::Comma)?;
            if !starts_expression(self.peek()?.kind) {
                return Err(self.error(range_of(comma), "trailing commas not allowed in function call args"));
            }
        }
    }

    /// An aggregation, whose operator was read. What follows it belongs to the context `outer` again.
    fn aggregate(&mut self, name: Token, op: AggregateOp, outer: Context) -> Result<Node> {
        let mut modifier = self.aggregate_modifier()?;
        let (args, below, mut end) = self.arguments()?;
        if modifier.is_none() {
            modifier = self.aggregate_modifier()?;
            if let Some(modifier) = &modifier {
                end = modifier.end;
            }
        }
        self.context = outer;
        let (grouping, without) = modifier.map_or_else(Default::default, |by| (by.labels, by.without));
        let range = TextRange::new(name.start(), end);
        let arg_count = args.len();
        let mut args = args.into_iter();
        let experimental = matches!(op, AggregateOp::Limitk | AggregateOp::LimitRatio);
        let wanted = if op.has_param() { 2 } else { 1 };
        if arg_count == 0 {
            return Err(self.error(range, "no arguments for aggregate expression provided"));
        }
        if experimental && !self.options.experimental_functions {
            let message = format!(
                "{}() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
                op.as_str()
            );
            return Err(self.error(range, &message));
        }
        let param = if op.has_param() { args.next() } else { None };
        match args.next() {
            Some(expr) if arg_count == wanted => {
                let aggregate = Aggregate { op, expr, param, grouping, without, range };
                self.node(Expr::Aggregate(Box::new(aggregate)), below)
            }
            _ => {
                let message = format!(
                    "wrong number of arguments for aggregate expression provided, expected {wanted}, got {arg_count}"
                );
                Err(self.error(range, &message))
            }
        }
    }
}

/// Whether a word may name a metric outside braces.
fn is_metric_name(kind: TokenKind) -> bool {
    match kind {
        TokenKind::Identifier | TokenKind::MetricIdentifier | TokenKind::Aggregate(_) => true,
        TokenKind::Operator(op) => op.is_set(),
        TokenKind::Keyword(keyword) => !matches!(
            keyword,
            Keyword::Bool | Keyword::GroupLeft | Keyword::GroupRight | Keyword::Ignoring | Keyword::On
        ),
        _ => false,
    }
}

/// Whether an expression may begin with a word.
pub(super) fn starts_expression(kind: TokenKind) -> bool {
    is_metric_name(kind)
        || sign(kind).is_some()
        || matches!(
            kind,
            TokenKind::Number
                | TokenKind::Duration
                | TokenKind::String
                | TokenKind::LeftParen
                | TokenKind::LeftBrace
        )
}
