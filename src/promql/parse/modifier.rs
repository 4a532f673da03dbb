//! `by`, `on`, `group_left`, `fill` and their like.

use crate::error::Result;
use crate::model::number::quote;
use crate::promql::ast::{Cardinality, UnaryOp, VectorMatching};
use crate::promql::lex::{Keyword, TokenKind};

use super::context::Context;
use super::expr::{sign, starts_expression};
use super::{Parser, is_keyword, range_of};

/// `by (labels)` or `without (labels)`
pub(super) struct AggregateModifier {
    pub(super) labels: Vec<String>,
    pub(super) without: bool,
    /// Where it ends.
    pub(super) end: usize,
}

impl Parser<'_> {
    pub(super) fn aggregate_modifier(&mut self) -> Result<Option<AggregateModifier>> {
        let without = match self.peek()?.kind {
            TokenKind::Keyword(Keyword::By) => false,
            TokenKind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.advance();
        let (labels, end) = self.grouping_labels()?;
        Ok(Some(AggregateModifier { labels, without, end }))
    }

    /// What may stand between a binary operator, `bool` included, and its right operand.
    pub(super) fn vector_matching(&mut self) -> Result<VectorMatching> {
        let mut matching = VectorMatching::default();
        let kind = self.peek()?.kind;
        if is_keyword(kind, Keyword::On) || is_keyword(kind, Keyword::Ignoring) {
            self.advance();
            matching.on = is_keyword(kind, Keyword::On);
            matching.labels = self.grouping_labels()?.0;
            let card = match self.peek()?.kind {
                TokenKind::Keyword(Keyword::GroupLeft) => Some(Cardinality::ManyToOne),
                TokenKind::Keyword(Keyword::GroupRight) => Some(Cardinality::OneToMany),
                _ => None,
            };
            if let Some(card) = card {
                self.advance();
                matching.card = card;
                let next = self.peek()?.kind;
                if next == TokenKind::LeftParen || !starts_expression(next) {
                    matching.include = self.grouping_labels()?.0;
                }
            }
        }
        match self.peek()?.kind {
            TokenKind::Keyword(Keyword::Fill) => {
                self.advance();
                let value = self.fill_value()?;
                matching.fill_left = Some(value);
                matching.fill_right = Some(value);
            }
            TokenKind::Keyword(Keyword::FillLeft) => {
                self.advance();
                matching.fill_left = Some(self.fill_value()?);
                if self.take(TokenKind::Keyword(Keyword::FillRight))?.is_some() {
                    matching.fill_right = Some(self.fill_value()?);
                }
            }
            TokenKind::Keyword(Keyword::FillRight) => {
                self.advance();
                matching.fill_right = Some(self.fill_value()?);
                if self.take(TokenKind::Keyword(Keyword::FillLeft))?.is_some() {
                    matching.fill_left = Some(self.fill_value()?);
                }
            }
            _ => {}
        }
        Ok(matching)
    }

    fn fill_value(&mut self) -> Result<f64> {
        self.expect(TokenKind::LeftParen)?;
        let mut token = self.peek()?;
        let sign = sign(token.kind);
        if sign.is_some() {
            self.advance();
            token = self.peek()?;
        }
        if !matches!(token.kind, TokenKind::Number | TokenKind::Duration) {
            return Err(self.unexpected());
        }
        let value = self.number_literal(token)?.value;
        self.expect(TokenKind::RightParen)?;
        Ok(if sign == Some(UnaryOp::Minus) { -value } else { value })
    }

    /// `(a, b)`, and where it ends.
    fn grouping_labels(&mut self) -> Result<(Vec<String>, usize)> {
        if self.take(TokenKind::LeftParen)?.is_none() {
            return Err(self.unexpected_in(Context::GroupingStart));
        }
        let mut labels = Vec::new();
        loop {
            // The list may be empty or end with a comma.
            if let Some(close) = self.take(TokenKind::RightParen)? {
                return Ok((labels, close.end()));
            }
            labels.push(self.grouping_label()?);
            if let Some(close) = self.take(TokenKind::RightParen)? {
                return Ok((labels, close.end()));
            }
            if self.take(TokenKind::Comma)?.is_none() {
                return Err(self.unexpected_in(Context::GroupingEnd));
            }
        }
    }

    fn grouping_label(&mut self) -> Result<String> {
        let token = self.peek()?;
        match token.kind {
            TokenKind::String => {
                self.advance();
                let value = self.string_value(token)?;
                String::from_utf8(value).ok().filter(|label| !label.is_empty()).ok_or_else(|| {
                    let value = self.string_value(token).unwrap_or_default();
                    let message = format!("invalid label name for grouping: {}", quote(&value));
                    self.error(range_of(token), &message)
                })
            }
            kind if is_label(kind) => {
                self.advance();
                Ok(self.word(token).to_owned())
            }
            _ => Err(self.unexpected_in(Context::GroupingLabel)),
        }
    }
}

/// Whether a word may be a label outside braces.
fn is_label(kind: TokenKind) -> bool {
    match kind {
        TokenKind::Identifier | TokenKind::MetricIdentifier | TokenKind::Aggregate(_) => true,
        TokenKind::Operator(op) => op.is_set() || op == crate::promql::ast::BinaryOp::Atan2,
        TokenKind::Keyword(keyword) => keyword != Keyword::Without,
        _ => false,
    }
}
