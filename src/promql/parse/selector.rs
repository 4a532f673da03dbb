//! Selectors: names, matchers, and what may follow an operand.

use crate::error::{Error, ErrorKind, Result};
use crate::model::number::{format_f6, quote, truncate_to_i64};
use crate::model::{MatchOp, Matcher};
use crate::promql::ast::{
    At, BinaryOp, DurationExpr, Expr, Extension, MatrixSelector, Modifiers, Subquery, UnaryOp, VectorSelector,
};
use crate::promql::duration::literal_nanos;
use crate::promql::lex::{Keyword, Token, TokenKind};
use crate::promql::text_range::TextRange;

use super::context::Context;
use super::expr::sign;
use super::{Node, Parser, range_of};

const METRIC_NAME: &str = "__name__";

impl Parser<'_> {
    /// A selector, of which a name outside the braces was read already.
    #[inline(never)]
    pub(super) fn vector_selector(&mut self, name: Option<Token>) -> Result<()> {
        let mut matchers = Vec::new();
        let next = self.peek()?;
        let mut range = range_of(name.unwrap_or(next));
        if next.kind == TokenKind::LeftBrace {
            self.advance();
            range.end = self.matchers(&mut matchers)?;
        }
        let name = name.map(|token| self.word(token).to_owned());
        if let Some(name) = &name {
            matchers.push(Matcher::equal(METRIC_NAME, name));
        }
        let selector = VectorSelector { name, matchers, modifiers: Modifiers::default(), range };
        self.push(Expr::Vector(Box::new(selector)), 0)
    }

    /// The matchers behind an opening brace. Returns where the brace closes.
    fn matchers(&mut self, matchers: &mut Vec<Matcher>) -> Result<usize> {
        let allowed = self.options.limits.matchers;
        loop {
            // The list may be empty or end with a comma.
            if let Some(close) = self.take(TokenKind::RightBrace)? {
                return Ok(close.end());
            }
            let start = self.place();
            let matcher = self.matcher()?;
            if matchers.len() >= allowed {
                let text = format!(
                    "a selector has more than {allowed} matchers, which is the most allowed (matchers)"
                );
                return Err(Error::new(ErrorKind::Limit, text).at(start, self.last_end()));
            }
            matchers.push(matcher);
            if let Some(close) = self.take(TokenKind::RightBrace)? {
                return Ok(close.end());
            }
            if self.take(TokenKind::Comma)?.is_none() {
                return Err(self.unexpected_in(Context::MatcherEnd));
            }
        }
    }

    fn matcher(&mut self) -> Result<Matcher> {
        let label = self.peek()?;
        let quoted = match label.kind {
            TokenKind::Identifier => false,
            TokenKind::String => true,
            _ => return Err(self.unexpected_in(Context::MatcherStart)),
        };
        self.advance();
        let op = match self.peek()?.kind {
            TokenKind::Equal => MatchOp::Equal,
            TokenKind::Operator(BinaryOp::Ne) => MatchOp::NotEqual,
            TokenKind::Matches => MatchOp::Matches,
            TokenKind::NotMatches => MatchOp::NotMatches,
            _ if quoted => {
                let value = self.string_value(label)?;
                return Matcher::new(METRIC_NAME, MatchOp::Equal, value);
            }
            _ => return Err(self.unexpected_in(Context::MatcherOp)),
        };
        self.advance();
        let value = self.peek()?;
        if value.kind != TokenKind::String {
            return Err(self.unexpected_in(Context::MatcherValue));
        }
        self.advance();
        let range = range_of(label).to(range_of(value));
        let bytes = self.string_value(value)?;
        let matcher = if quoted {
            let name = self.string_value(label)?;
            let name = String::from_utf8(name).map_err(|error| {
                let message = format!(
                    "label name {} is not valid UTF-8, which no label name can be",
                    quote(error.as_bytes())
                );
                self.error(range_of(label), &message)
            })?;
            Matcher::new(name, op, bytes)
        } else {
            Matcher::new(self.word(label), op, bytes)
        };
        matcher.map_err(|error| match error.kind() {
            ErrorKind::Limit => error.at(range.start, range.end),
            _ => self.error(range, &error.to_string()).caused_by(error),
        })
    }

    /// Everything that may follow an operand.
    #[inline(never)]
    pub(super) fn postfix(&mut self) -> Result<()> {
        loop {
            let token = self.peek()?;
            if !has_postfix(token.kind) {
                return Ok(());
            }
            let mut node = self.pop()?;
            match token.kind {
                TokenKind::LeftBracket => {
                    self.advance();
                    node = self.nested(|parser| parser.bracket(node, token))?;
                }
                TokenKind::Keyword(Keyword::Offset) => {
                    self.advance();
                    let duration =
                        self.within(Context::Offset, |parser| parser.nested(Self::offset_duration))?;
                    self.set_offset(&mut node, duration)?;
                }
                TokenKind::At => {
                    self.advance();
                    self.within(Context::At, |parser| parser.at(&mut node.item))?;
                }
                TokenKind::Keyword(Keyword::Anchored) => {
                    self.advance();
                    self.set_extension(&mut node.item, Extension::Anchored)?;
                }
                TokenKind::Keyword(Keyword::Smoothed) => {
                    self.advance();
                    self.set_extension(&mut node.item, Extension::Smoothed)?;
                }
                _ => {}
            }
            self.finished.push(node);
        }
    }

    /// `d]`, `d:]` or `d:d]` behind an opening bracket.
    fn bracket(&mut self, node: Node, open: Token) -> Result<Node> {
        let window = self.within(Context::Range, Self::positive_duration)?;
        if let Some(close) = self.take(TokenKind::RightBracket)? {
            return self.matrix_selector(node, window, TextRange::new(open.start(), close.end()));
        }
        if self.take(TokenKind::Colon)?.is_none() {
            return Err(self.unexpected_in(Context::RangeEnd));
        }
        let mut below = node.height.max(window.height);
        let mut step = None;
        let close = match self.take(TokenKind::RightBracket)? {
            Some(close) => close,
            None => {
                let duration = self.within(Context::Step, Self::positive_duration)?;
                below = below.max(duration.height);
                // What rounds to no nanosecond counts as left out.
                step = Some(duration.item)
                    .filter(|step| !matches!(step, DurationExpr::Literal(step) if literal_nanos(step) == 0));
                self.take(TokenKind::RightBracket)?.ok_or_else(|| self.unexpected_in(Context::StepEnd))?
            }
        };
        let range = TextRange::new(node.item.range().start, close.end());
        let subquery =
            Subquery { expr: node.item, window: window.item, step, modifiers: Modifiers::default(), range };
        self.node(Expr::Subquery(Box::new(subquery)), below)
    }

    fn matrix_selector(
        &mut self,
        node: Node,
        window: Node<DurationExpr>,
        bracket: TextRange,
    ) -> Result<Node> {
        let Expr::Vector(selector) = node.item else {
            return Err(self.error(bracket, "ranges only allowed for vector selectors"));
        };
        if selector.modifiers.offset.is_some() {
            return Err(self.error(bracket, "no offset modifiers allowed before range"));
        }
        if selector.modifiers.at.is_some() {
            return Err(self.error(bracket, "no @ modifiers allowed before range"));
        }
        let range = TextRange::new(selector.range.start, bracket.end);
        let matrix = MatrixSelector { selector: *selector, window: window.item, range };
        self.node(Expr::Matrix(Box::new(matrix)), node.height.max(window.height))
    }

    fn set_offset(&mut self, node: &mut Node, duration: Node<DurationExpr>) -> Result<()> {
        let range = node.item.range();
        let end = self.last_end();
        let Some((modifiers, node_end)) = modifiers_of(&mut node.item) else {
            let message = "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery";
            return Err(self.error(range, message));
        };
        if modifiers.offset.is_some() {
            return Err(self.error(range, "offset may not be set multiple times"));
        }
        *node_end = end;
        // An offset of 0 counts as none.
        if !matches!(&duration.item, DurationExpr::Literal(literal) if literal_nanos(literal) == 0) {
            modifiers.offset = Some(duration.item);
        }
        node.height = node.height.max(duration.height.saturating_add(1));
        self.check_depth(node.height)
    }

    /// What follows `@`.
    fn at(&mut self, expr: &mut Expr) -> Result<()> {
        let mut token = self.peek()?;
        let start_or_end = match token.kind {
            TokenKind::Keyword(Keyword::Start) => Some(At::Start),
            TokenKind::Keyword(Keyword::End) => Some(At::End),
            _ => None,
        };
        let range = expr.range();
        let at = if let Some(at) = start_or_end {
            self.advance();
            self.expect(TokenKind::LeftParen)?;
            self.expect(TokenKind::RightParen)?;
            at
        } else {
            let sign = sign(token.kind);
            if sign.is_some() {
                self.advance();
                token = self.peek()?;
            }
            if !matches!(token.kind, TokenKind::Number | TokenKind::Duration) {
                return Err(self.unexpected());
            }
            let literal = self.number_literal(token)?.value;
            let seconds = if sign == Some(UnaryOp::Minus) { -literal } else { literal };
            const LIMIT: f64 = 9_223_372_036_854_775_808.0;
            if !(-LIMIT < seconds && seconds < LIMIT) {
                let message = format!("timestamp out of bounds for @ modifier: {}", format_f6(seconds));
                return Err(self.error(range, &message));
            }
            At::Time(truncate_to_i64((seconds * 1000.0).round()))
        };
        let end = self.last_end();
        let Some((modifiers, node_end)) = modifiers_of(expr) else {
            let message = "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery";
            return Err(self.error(range, message));
        };
        if modifiers.at.is_some() {
            return Err(self.error(range, "@ <timestamp> may not be set multiple times"));
        }
        modifiers.at = Some(at);
        *node_end = end;
        Ok(())
    }

    fn set_extension(&mut self, expr: &mut Expr, extension: Extension) -> Result<()> {
        let range = expr.range();
        let name = extension.as_str();
        if !self.options.extended_range_selectors {
            return Err(self.error(range, &format!("{name} modifier is experimental and not enabled")));
        }
        let modifiers = match expr {
            Expr::Vector(selector) => &mut selector.modifiers,
            Expr::Matrix(matrix) => &mut matrix.selector.modifiers,
            Expr::Subquery(_) => {
                return Err(self.error(range, &format!("{name} modifier is not supported for subqueries")));
            }
            _ => return Err(self.error(range, &format!("{name} modifier not implemented"))),
        };
        if modifiers.extension.is_some_and(|other| other != extension) {
            return Err(self.error(range, "anchored and smoothed modifiers cannot be used together"));
        }
        modifiers.extension = Some(extension);
        Ok(())
    }

    /// Where the word that was taken last ends.
    fn last_end(&self) -> usize {
        self.next.checked_sub(1).and_then(|index| self.tokens.list.get(index)).map_or(0, |token| token.end())
    }
}

/// Whether a word may follow an operand as a part of it.
fn has_postfix(kind: TokenKind) -> bool {
    matches!(
        kind,
        TokenKind::LeftBracket
            | TokenKind::At
            | TokenKind::Keyword(Keyword::Offset | Keyword::Anchored | Keyword::Smoothed)
    )
}

/// The modifiers of an expression that can have some, and the end of its range, which moves behind them.
fn modifiers_of(expr: &mut Expr) -> Option<(&mut Modifiers, &mut usize)> {
    match expr {
        Expr::Vector(selector) => Some((&mut selector.modifiers, &mut selector.range.end)),
        Expr::Matrix(matrix) => Some((&mut matrix.selector.modifiers, &mut matrix.range.end)),
        Expr::Subquery(subquery) => Some((&mut subquery.modifiers, &mut subquery.range.end)),
        _ => None,
    }
}
