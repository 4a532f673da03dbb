//! Durations in brackets and behind `offset`.

use crate::error::Result;
use crate::model::number::seconds_of_nanos;
use crate::promql::ast::{BinaryOp, DurationExpr, NumberLiteral, UnaryOp};
use crate::promql::duration::{is_out_of_range, literal_nanos};
use crate::promql::lex::{Keyword, Token, TokenKind};
use crate::promql::text_range::TextRange;

use super::expr::{UNARY_OPERAND, binding, right_level, sign};
use super::{Node, Parser, range_of};

type Duration = Node<DurationExpr>;

impl Parser<'_> {
    /// A duration in brackets, which is more than 0 if it is a literal.
    pub(super) fn positive_duration(&mut self) -> Result<Duration> {
        self.duration(0)?;
        let duration = self.pop_duration()?;
        match &duration.item {
            DurationExpr::Literal(literal) if literal.value <= 0.0 => {
                Err(self.error(literal.range, "duration must be greater than 0"))
            }
            _ => Ok(whole(duration)),
        }
    }

    /// What follows `offset`: one operand, unless it begins with a parenthesis or two signs; then operators may follow.
    pub(super) fn offset_duration(&mut self) -> Result<Duration> {
        self.offset_operand()?;
        self.pop_duration().map(whole)
    }

    fn offset_operand(&mut self) -> Result<()> {
        let token = self.peek()?;
        let Some(op) = sign(token.kind) else {
            return match token.kind {
                TokenKind::LeftParen => self.duration(0),
                _ => self.duration_primary(token),
            };
        };
        self.advance();
        let operand = self.peek()?;
        if sign(operand.kind).is_some() {
            self.duration(UNARY_OPERAND)?;
            self.signed_duration(token, op)?;
            return self.duration_operators(0);
        }
        self.signed_offset_operand(token, operand)?;
        self.signed_duration(token, op)
    }

    /// What follows the one sign of an offset, where Prometheus words some errors for both together.
    fn signed_offset_operand(&mut self, sign: Token, operand: Token) -> Result<()> {
        match operand.kind {
            TokenKind::Number | TokenKind::Duration => {
                let literal = self.number_literal(operand)?;
                if is_out_of_range(literal.value) {
                    return Err(self.error(range_of(sign), "duration out of range"));
                }
                self.push_duration(DurationExpr::Literal(literal), 0)
            }
            TokenKind::LeftParen => {
                self.duration_in_parens()?;
                self.duration_paren(operand)
            }
            _ => {
                self.duration_function(operand)?;
                self.allow_last_duration(Some(sign))
            }
        }
    }

    /// A duration whose operators bind at least at `level`.
    fn duration(&mut self, level: u8) -> Result<()> {
        self.enter()?;
        self.duration_operand()?;
        self.leave();
        self.duration_operators(level)
    }

    fn duration_operators(&mut self, level: u8) -> Result<()> {
        while let Some((token, op, right_level)) = self.duration_operator(level)? {
            self.enter()?;
            self.duration(right_level)?;
            self.leave();
            self.duration_binary(token, op)?;
        }
        Ok(())
    }

    /// Takes an operator that binds at least at `level`; with it comes the level of its right operand.
    #[inline(never)]
    fn duration_operator(&mut self, level: u8) -> Result<Option<(Token, BinaryOp, u8)>> {
        let token = self.peek()?;
        let TokenKind::Operator(
            op @ (BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Mod
            | BinaryOp::Pow),
        ) = token.kind
        else {
            return Ok(None);
        };
        let binding = binding(op);
        if binding.level < level {
            return Ok(None);
        }
        self.advance();
        Ok(Some((token, op, right_level(&binding))))
    }

    #[inline(never)]
    fn duration_binary(&mut self, token: Token, op: BinaryOp) -> Result<()> {
        let (rhs, lhs) = (self.pop_duration()?, self.pop_duration()?);
        self.allow_duration_expr(lhs.item.range())?;
        let rhs_is_zero = matches!(&rhs.item, DurationExpr::Literal(literal) if literal.value == 0.0);
        match op {
            BinaryOp::Div if rhs_is_zero => return Err(self.error(range_of(token), "division by zero")),
            BinaryOp::Mod if rhs_is_zero => return Err(self.error(range_of(token), "modulo by zero")),
            _ => {}
        }
        let range = lhs.item.range().to(rhs.item.range());
        let below = lhs.height.max(rhs.height);
        self.push_duration(
            DurationExpr::Binary { op, lhs: Box::new(lhs.item), rhs: Box::new(rhs.item), range },
            below,
        )
    }

    fn duration_operand(&mut self) -> Result<()> {
        let token = self.peek()?;
        match sign(token.kind) {
            Some(op) => {
                self.advance();
                self.duration(UNARY_OPERAND)?;
                self.signed_duration(token, op)
            }
            None => self.duration_primary(token),
        }
    }

    /// `-d` or `+d`. Signs of literals become part of them, and a plus before anything else means nothing.
    #[inline(never)]
    fn signed_duration(&mut self, sign: Token, op: UnaryOp) -> Result<()> {
        let operand = self.pop_duration()?;
        match operand.item {
            DurationExpr::Literal(mut literal) => {
                if op == UnaryOp::Minus {
                    literal.value = -literal.value;
                }
                literal.range.start = sign.start();
                let item = DurationExpr::Literal(literal);
                self.durations.push(Node { item, height: operand.height });
                Ok(())
            }
            item if op == UnaryOp::Plus => {
                self.durations.push(Node { item, height: operand.height });
                Ok(())
            }
            item => {
                let range = TextRange::new(sign.start(), item.range().end);
                self.push_duration(DurationExpr::Unary { op, expr: Box::new(item), range }, operand.height)
            }
        }
    }

    fn duration_primary(&mut self, token: Token) -> Result<()> {
        match token.kind {
            TokenKind::Number | TokenKind::Duration => self.duration_literal(token),
            TokenKind::LeftParen => {
                self.duration_in_parens()?;
                self.allow_last_duration(None)?;
                self.duration_paren(token)
            }
            _ => {
                self.duration_function(token)?;
                self.allow_last_duration(None)
            }
        }
    }

    #[inline(never)]
    fn duration_literal(&mut self, token: Token) -> Result<()> {
        let literal: NumberLiteral = self.number_literal(token)?;
        if is_out_of_range(literal.value) {
            return Err(self.error(literal.range, "duration out of range"));
        }
        self.push_duration(DurationExpr::Literal(literal), 0)
    }

    /// `step()`, `range()`, `min_of(a, b)` or `max_of(a, b)`
    fn duration_function(&mut self, token: Token) -> Result<()> {
        let TokenKind::Keyword(keyword) = token.kind else { return Err(self.unexpected()) };
        match keyword {
            Keyword::Step | Keyword::Range => self.duration_of_query(token, keyword),
            Keyword::MaxOf | Keyword::MinOf => {
                self.advance();
                self.expect(TokenKind::LeftParen)?;
                self.duration(0)?;
                self.expect(TokenKind::Comma)?;
                self.duration(0)?;
                self.expect(TokenKind::RightParen)?;
                self.duration_extreme(keyword == Keyword::MaxOf)
            }
            _ => Err(self.unexpected()),
        }
    }

    /// `step()` or `range()`
    #[inline(never)]
    fn duration_of_query(&mut self, token: Token, keyword: Keyword) -> Result<()> {
        self.advance();
        self.expect(TokenKind::LeftParen)?;
        let close = self.expect(TokenKind::RightParen)?;
        let range = TextRange::new(token.start(), close.end());
        let item =
            if keyword == Keyword::Step { DurationExpr::Step(range) } else { DurationExpr::Range(range) };
        self.push_duration(item, 0)
    }

    #[inline(never)]
    fn duration_extreme(&mut self, max: bool) -> Result<()> {
        let (rhs, lhs) = (self.pop_duration()?, self.pop_duration()?);
        let range = lhs.item.range().to(rhs.item.range());
        let below = lhs.height.max(rhs.height);
        let (lhs, rhs) = (Box::new(lhs.item), Box::new(rhs.item));
        self.push_duration(DurationExpr::Extreme { max, lhs, rhs, range }, below)
    }

    fn duration_in_parens(&mut self) -> Result<()> {
        self.expect(TokenKind::LeftParen)?;
        self.duration(0)?;
        self.expect(TokenKind::RightParen).map(drop)
    }

    /// `(inner)`; parentheses around parentheses are none.
    #[inline(never)]
    fn duration_paren(&mut self, open: Token) -> Result<()> {
        let inner = self.pop_duration()?;
        let range = match &inner.item {
            DurationExpr::Literal(literal) => TextRange::new(open.start(), literal.range.end),
            DurationExpr::Paren(..) => {
                self.durations.push(inner);
                return Ok(());
            }
            item => item.range(),
        };
        self.push_duration(DurationExpr::Paren(Box::new(inner.item), range), inner.height)
    }

    /// Whether the duration that was read last may stand there; an error begins at its sign.
    #[inline(never)]
    fn allow_last_duration(&self, sign: Option<Token>) -> Result<()> {
        let range = self.durations.last().map_or(TextRange::default(), |duration| duration.item.range());
        self.allow_duration_expr(sign.map_or(range, |sign| range_of(sign).to(range)))
    }

    fn allow_duration_expr(&self, range: TextRange) -> Result<()> {
        if self.options.duration_expressions {
            return Ok(());
        }
        Err(self.error(range, "experimental duration expression is not enabled"))
    }
}

/// A whole window, step or offset. As literal it always means a duration, of which milliseconds count.
fn whole(mut duration: Duration) -> Duration {
    if let DurationExpr::Literal(literal) = &mut duration.item {
        literal.is_duration = true;
        let nanos = literal_nanos(literal);
        let millis = nanos / 1_000_000;
        // Below a millisecond it is still not the same as none, and NaN is no number of milliseconds.
        if millis != 0 && nanos != i64::MIN {
            literal.value = seconds_of_nanos(millis.saturating_mul(1_000_000));
        }
    }
    duration
}
