//! Words to tree.
//!
//! Expressions by precedence climbing over the words. The texts and places of errors are Prometheus 3.15's, whose parser is
//! generated: it reports the innermost construct that can explain the word it cannot use, which [`Context`] keeps track of,
//! and it finds some mistakes only behind the word that follows them.

mod context;
mod duration;
mod expr;
mod modifier;
mod selector;

use crate::error::{Error, ErrorKind, Result};
use crate::model::nearest;

use self::context::Context;
use super::ast::{AggregateOp, DurationExpr, Expr};
use super::check;
use super::lex::{Keyword, Token, TokenKind, Tokens, lex};
use super::signature::Function;
use super::text_range::{TextRange, line_and_column};

/// Which parts of the language are switched on, and how large a query may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ParseOptions {
    /// `@ …`
    pub(crate) at_modifier: bool,
    /// `offset -…`
    pub(crate) negative_offset: bool,
    /// `[5m * 2]`, `step()`, …
    pub(crate) duration_expressions: bool,
    /// Functions and aggregations that Prometheus calls experimental.
    pub(crate) experimental_functions: bool,
    /// `anchored`, `smoothed`
    pub(crate) extended_range_selectors: bool,
    /// `fill(…)`, `fill_left(…)`, `fill_right(…)`
    pub(crate) fill_modifiers: bool,
    pub(crate) limits: ParseLimits,
}

impl Default for ParseOptions {
    /// What a Prometheus 3.15 server accepts without flags.
    fn default() -> Self {
        Self {
            at_modifier: true,
            negative_offset: true,
            duration_expressions: true,
            experimental_functions: false,
            extended_range_selectors: false,
            fill_modifiers: false,
            limits: ParseLimits::default(),
        }
    }
}

impl ParseOptions {
    /// The names of all functions and aggregations that are switched on, in their order.
    pub(crate) fn functions(&self) -> Vec<&'static str> {
        let on = |experimental: bool| self.experimental_functions || !experimental;
        let functions = Function::ALL.iter().map(|function| function.signature());
        let functions = functions.filter(|function| on(function.experimental)).map(|function| function.name);
        let aggregations = AggregateOp::ALL.into_iter().filter(|op| on(op.is_experimental()));
        let mut names: Vec<_> = functions.chain(aggregations.map(AggregateOp::as_str)).collect();
        names.sort_unstable();
        names
    }

    /// Those that are near a name that is none of them.
    fn nearest_functions(&self, wanted: &str) -> Vec<String> {
        let wanted = wanted.to_ascii_lowercase();
        let names = self.functions();
        match names.binary_search(&&*wanted) {
            Ok(_) => vec![wanted],
            Err(_) => nearest::names(&wanted, &names),
        }
    }
}

#[cfg(any(test, feature = "fuzzing"))]
impl ParseOptions {
    /// The whole language.
    pub(crate) fn all() -> Self {
        Self {
            experimental_functions: true,
            extended_range_selectors: true,
            fill_modifiers: true,
            ..Self::default()
        }
    }
}

/// How large a query may be; beyond is an error of kind [`ErrorKind::Limit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ParseLimits {
    /// Length of the text.
    pub(crate) query_bytes: usize,
    /// Height of the tree, and nesting while it is read. Bounds every recursion over the tree; at most
    /// [`ParseLimits::MAX_DEPTH`] counts.
    pub(crate) depth: usize,
    /// Nodes of the tree, durations included.
    pub(crate) nodes: usize,
    /// Matchers of one selector.
    pub(crate) matchers: usize,
}

impl ParseLimits {
    /// The height to which trees are safe to walk recursively on a stack of 256 KiB, without optimization as well.
    pub(crate) const MAX_DEPTH: usize = 128;
}

impl Default for ParseLimits {
    fn default() -> Self {
        Self { query_bytes: 16 * 1024, depth: Self::MAX_DEPTH, nodes: 2_000, matchers: 100 }
    }
}

/// Parses and checks a query.
///
/// # Errors
///
/// [`ErrorKind::Parse`] with Prometheus's text, `⟨line⟩:⟨col⟩: parse error: ⟨text⟩`; [`ErrorKind::Limit`] for a query
/// beyond the limits.
pub(crate) fn parse(text: &str, options: &ParseOptions) -> Result<Expr> {
    let allowed = options.limits.query_bytes.min(u32::MAX as usize);
    if text.len() > allowed {
        return Err(Error::new(
            ErrorKind::Limit,
            format!("the query is {} bytes long, at most {allowed} are allowed (query_bytes)", text.len()),
        ));
    }
    let tokens = lex(text);
    let mut parser = Parser {
        text,
        tokens: &tokens,
        next: 0,
        options,
        context: Context::Query,
        depth: 0,
        nodes: 0,
        finished: Vec::new(),
        durations: Vec::new(),
    };
    let mut expr = parser.query()?;
    check::check(text, &mut expr, options)?;
    Ok(expr)
}

/// The text of an error at a place, as Prometheus words it.
pub(super) fn error_at(text: &str, range: TextRange, message: &str) -> Error {
    let message = if text.is_empty() {
        format!("unknown position: parse error: {message}")
    } else {
        let (line, column) = line_and_column(text, range.start);
        format!("{line}:{column}: parse error: {message}")
    };
    Error::new(ErrorKind::Parse, message).at(range.start, range.end)
}

/// A part of the tree and its height.
pub(super) struct Node<T = Expr> {
    item: T,
    height: usize,
}

struct Parser<'t> {
    text: &'t str,
    tokens: &'t Tokens,
    /// Index of the word to read next.
    next: usize,
    options: &'t ParseOptions,
    /// What a word that fits nowhere is reported in.
    context: Context,
    /// Constructs that are open.
    depth: usize,
    nodes: usize,
    /// Expressions that were read and are no part of a larger one yet.
    finished: Vec<Node>,
    /// The same of durations.
    durations: Vec<Node<DurationExpr>>,
}

impl<'t> Parser<'t> {
    fn query(&mut self) -> Result<Expr> {
        let first = self.peek()?;
        if first.kind == TokenKind::End {
            return Err(self.error(TextRange::default(), "no expression found in input"));
        }
        self.expr(0)?;
        match self.peek()?.kind {
            TokenKind::End => Ok(self.pop()?.item),
            _ => Err(self.unexpected()),
        }
    }

    /// The next word. If the text stops to be words here, the error is reported here.
    fn peek(&self) -> Result<Token> {
        match self.tokens.list.get(self.next).or(self.tokens.list.last()) {
            Some(token) if token.kind == TokenKind::Error => {
                Err(self.error(TextRange::new(token.start(), self.text.len()), &self.tokens.error))
            }
            Some(token) => Ok(*token),
            None => Err(self.error(TextRange::default(), "no expression found in input")),
        }
    }

    /// Goes past the word that was peeked at.
    fn advance(&mut self) {
        self.next = self.next.saturating_add(1);
    }

    /// Takes the next word if it is of this kind.
    fn take(&mut self, kind: TokenKind) -> Result<Option<Token>> {
        let token = self.peek()?;
        Ok((token.kind == kind).then(|| {
            self.advance();
            token
        }))
    }

    /// Takes a word of this kind; any other is reported in the present context.
    fn expect(&mut self, kind: TokenKind) -> Result<Token> {
        self.take(kind)?.ok_or_else(|| self.unexpected())
    }

    fn word(&self, token: Token) -> &'t str {
        token.text(self.text)
    }

    fn error(&self, range: TextRange, message: &str) -> Error {
        error_at(self.text, range, message)
    }

    /// The error that the next word fits nowhere.
    fn unexpected(&self) -> Error {
        self.unexpected_in(self.context)
    }

    fn unexpected_in(&self, context: Context) -> Error {
        match self.peek() {
            Err(error) => error,
            Ok(token) => {
                let description = token.description(self.text);
                self.error(range_of(token), &format!("unexpected {description}{}", context.suffix()))
            }
        }
    }

    /// Runs `parse` with `context` for the words that fit nowhere.
    fn within<T>(&mut self, context: Context, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let outer = std::mem::replace(&mut self.context, context);
        let result = parse(self);
        self.context = outer;
        result
    }

    /// Goes one level deeper.
    fn enter(&mut self) -> Result<()> {
        self.depth = self.depth.saturating_add(1);
        self.check_depth(self.depth)
    }

    /// Comes back from where [`enter`](Self::enter) went.
    fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// Runs `parse` one level deeper.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.enter()?;
        let result = parse(self);
        self.leave();
        result
    }

    /// A node whose highest part has height `below`.
    fn node<T>(&mut self, item: T, below: usize) -> Result<Node<T>> {
        self.nodes = self.nodes.saturating_add(1);
        let allowed = self.options.limits.nodes;
        if self.nodes > allowed {
            let text = format!("the query has more than {allowed} parts, which is the most allowed (nodes)");
            return Err(Error::new(ErrorKind::Limit, text).at(self.place(), self.place()));
        }
        let height = below.saturating_add(1);
        self.check_depth(height)?;
        Ok(Node { item, height })
    }

    /// Puts an expression whose highest part has height `below` on the list.
    #[inline(never)]
    fn push(&mut self, expr: Expr, below: usize) -> Result<()> {
        let node = self.node(expr, below)?;
        self.finished.push(node);
        Ok(())
    }

    /// The expression that was read last.
    fn pop(&mut self) -> Result<Node> {
        self.finished.pop().ok_or_else(|| self.unexpected())
    }

    /// Puts a duration whose highest part has height `below` on the list.
    #[inline(never)]
    fn push_duration(&mut self, duration: DurationExpr, below: usize) -> Result<()> {
        let node = self.node(duration, below)?;
        self.durations.push(node);
        Ok(())
    }

    /// The duration that was read last.
    fn pop_duration(&mut self) -> Result<Node<DurationExpr>> {
        self.durations.pop().ok_or_else(|| self.unexpected())
    }

    fn check_depth(&self, depth: usize) -> Result<()> {
        let allowed = self.options.limits.depth.min(ParseLimits::MAX_DEPTH);
        if depth <= allowed {
            return Ok(());
        }
        let text = format!("the query nests deeper than {allowed} levels, which is the most allowed (depth)");
        Err(Error::new(ErrorKind::Limit, text).at(self.place(), self.place()))
    }

    /// Where the next word starts.
    fn place(&self) -> usize {
        self.tokens.list.get(self.next).map_or(self.text.len(), |token| token.start())
    }
}

const fn range_of(token: Token) -> TextRange {
    TextRange::new(token.start(), token.end())
}

/// Whether `kind` is this keyword.
fn is_keyword(kind: TokenKind, keyword: Keyword) -> bool {
    kind == TokenKind::Keyword(keyword)
}

#[cfg(test)]
mod tests;
