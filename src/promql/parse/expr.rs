//! Expressions: operators by precedence, then what they stand between.

use crate::error::Result;
use crate::model::number::{parse_duration, parse_number, quote, seconds_of_nanos};
use crate::model::quoted::unquote;
use crate::promql::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, Expr, NumberLiteral, Paren, StringLiteral, Unary,
    UnaryOp, VectorMatching,
};
use crate::promql::lex::{Keyword, Token, TokenKind};
use crate::promql::signature::Function;
use crate::promql::text_range::TextRange;

use super::context::Context;
use super::modifier::AggregateModifier;
use super::{Parser, range_of};

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

/// The arguments of a call or an aggregation.
struct Arguments {
    args: Vec<Expr>,
    /// The height of the highest.
    below: usize,
    /// Where the parenthesis closes.
    end: usize,
}

// Whatever stands between one expression and the one inside it has a small frame: what was read is put on a list, and what does
// not lead deeper is done in functions of their own.
impl Parser<'_> {
    /// An expression whose operators bind at least at `level`.
    pub(super) fn expr(&mut self, level: u8) -> Result<()> {
        self.enter()?;
        self.operand()?;
        self.leave();
        while let Some((op, right_level)) = self.operator(level)? {
            let clause = self.operator_clause()?;
            self.enter()?;
            self.expr(right_level)?;
            self.leave();
            self.binary(op, clause)?;
        }
        Ok(())
    }

    /// Takes an operator that binds at least at `level`; with it comes the level of its right operand.
    #[inline(never)]
    fn operator(&mut self, level: u8) -> Result<Option<(BinaryOp, u8)>> {
        let TokenKind::Operator(op) = self.peek()?.kind else { return Ok(None) };
        let binding = binding(op);
        if binding.level < level {
            return Ok(None);
        }
        self.advance();
        Ok(Some((op, right_level(&binding))))
    }

    /// What may stand between an operator and its right operand: `bool` and how vectors match.
    #[inline(never)]
    fn operator_clause(&mut self) -> Result<Box<(bool, VectorMatching)>> {
        let return_bool = self.take(TokenKind::Keyword(Keyword::Bool))?.is_some();
        Ok(Box::new((return_bool, self.vector_matching()?)))
    }

    /// The operation on the two operands that were read last.
    #[inline(never)]
    #[expect(clippy::boxed_local, reason = "it would make the frames of nested expressions larger")]
    fn binary(&mut self, op: BinaryOp, clause: Box<(bool, VectorMatching)>) -> Result<()> {
        let (return_bool, matching) = *clause;
        let (rhs, lhs) = (self.pop()?, self.pop()?);
        let range = lhs.item.range().to(rhs.item.range());
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        if fills && !self.options.fill_modifiers {
            return Err(self.error(range, "binop fill modifiers are experimental and not enabled"));
        }
        let below = lhs.height.max(rhs.height);
        let binary =
            Binary { op, lhs: lhs.item, rhs: rhs.item, return_bool, matching: Some(matching), range };
        self.push(Expr::Binary(Box::new(binary)), below)
    }

    fn operand(&mut self) -> Result<()> {
        let token = self.peek()?;
        match sign(token.kind) {
            None => {
                self.primary(token)?;
                self.postfix()
            }
            Some(op) => {
                self.advance();
                self.expr(UNARY_OPERAND)?;
                self.signed(token, op)
            }
        }
    }

    /// An operand behind its sign.
    #[inline(never)]
    fn signed(&mut self, token: Token, op: UnaryOp) -> Result<()> {
        let mut operand = self.pop()?;
        if let Expr::Number(number) = &mut operand.item {
            if op == UnaryOp::Minus {
                number.value = -number.value;
            }
            number.range.start = token.start();
            self.finished.push(operand);
            return Ok(());
        }
        let range = TextRange::new(token.start(), operand.item.range().end);
        let unary = Unary { op, expr: operand.item, range };
        self.push(Expr::Unary(Box::new(unary)), operand.height)
    }

    fn primary(&mut self, token: Token) -> Result<()> {
        match token.kind {
            TokenKind::Number | TokenKind::Duration | TokenKind::String => self.literal(token),
            TokenKind::LeftParen => {
                self.advance();
                self.expr(0)?;
                self.parenthesized(token)
            }
            TokenKind::LeftBrace => self.vector_selector(None),
            TokenKind::Aggregate(op) => {
                self.advance();
                match self.peek()?.kind {
                    TokenKind::LeftParen | TokenKind::Keyword(Keyword::By | Keyword::Without) => {
                        let outer = std::mem::replace(&mut self.context, Context::Aggregation);
                        let aggregate = self.aggregate(token, op, outer);
                        self.context = outer;
                        aggregate
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

    #[inline(never)]
    fn literal(&mut self, token: Token) -> Result<()> {
        if token.kind != TokenKind::String {
            let literal = self.number_literal(token)?;
            return self.push(Expr::Number(literal), 0);
        }
        self.advance();
        let value = self.string_value(token)?.into_boxed_slice();
        self.push(Expr::String(StringLiteral { value, range: range_of(token) }), 0)
    }

    /// What stands behind the parenthesis `open`, up to the one that closes it.
    #[inline(never)]
    fn parenthesized(&mut self, open: Token) -> Result<()> {
        let inner = self.pop()?;
        let close = self.expect(TokenKind::RightParen)?;
        let range = TextRange::new(open.start(), close.end());
        self.push(Expr::Paren(Box::new(Paren { expr: inner.item, range })), inner.height)
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

    fn call(&mut self, name: Token) -> Result<()> {
        let arguments = self.arguments()?;
        self.call_node(name, arguments)
    }

    #[inline(never)]
    fn call_node(&mut self, name: Token, arguments: Arguments) -> Result<()> {
        let Arguments { args, below, end } = arguments;
        let word = self.word(name);
        let Some(function) = Function::by_name(word) else {
            let message = format!("unknown function with name {}", quote(word.as_bytes()));
            return Err(self
                .error(range_of(name), &message)
                .suggesting(self.options.nearest_functions(word)));
        };
        if function.signature().experimental && !self.options.experimental_functions {
            let message = format!("function {} is not enabled", quote(word.as_bytes()));
            return Err(self.error(range_of(name), &message));
        }
        let range = TextRange::new(name.start(), end);
        self.push(Expr::Call(Box::new(Call { function, args, range })), below)
    }

    /// `(…)`
    fn arguments(&mut self) -> Result<Arguments> {
        let mut arguments = Arguments { args: Vec::new(), below: 0, end: 0 };
        let mut open = self.open_arguments(&mut arguments)?;
        while open {
            self.expr(0)?;
            open = self.behind_argument(&mut arguments)?;
        }
        Ok(arguments)
    }

    /// The opening parenthesis. Says whether an argument follows.
    #[inline(never)]
    fn open_arguments(&mut self, arguments: &mut Arguments) -> Result<bool> {
        self.expect(TokenKind::LeftParen)?;
        let close = self.take(TokenKind::RightParen)?;
        arguments.end = close.map_or(0, |close| close.end());
        Ok(close.is_none())
    }

    /// What stands behind an argument. Says whether another one follows.
    #[inline(never)]
    fn behind_argument(&mut self, arguments: &mut Arguments) -> Result<bool> {
        let arg = self.pop()?;
        arguments.below = arguments.below.max(arg.height);
        arguments.args.push(arg.item);
        if let Some(close) = self.take(TokenKind::RightParen)? {
            arguments.end = close.end();
            return Ok(false);
        }
        let comma = self.expect(TokenKind::Comma)?;
        if !starts_expression(self.peek()?.kind) {
            return Err(self.error(range_of(comma), "trailing commas not allowed in function call args"));
        }
        Ok(true)
    }

    /// An aggregation, whose operator was read. What follows it belongs to the context `outer` again.
    fn aggregate(&mut self, name: Token, op: AggregateOp, outer: Context) -> Result<()> {
        let modifier = self.aggregate_modifier()?;
        let arguments = self.arguments()?;
        self.aggregate_node(name, op, outer, modifier, arguments)
    }

    #[inline(never)]
    fn aggregate_node(
        &mut self,
        name: Token,
        op: AggregateOp,
        outer: Context,
        mut modifier: Option<AggregateModifier>,
        arguments: Arguments,
    ) -> Result<()> {
        let Arguments { args, below, mut end } = arguments;
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
        let wanted = if op.has_param() { 2 } else { 1 };
        if arg_count == 0 {
            return Err(self.error(range, "no arguments for aggregate expression provided"));
        }
        if op.is_experimental() && !self.options.experimental_functions {
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
                self.push(Expr::Aggregate(Box::new(aggregate)), below)
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
