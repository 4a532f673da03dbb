//! Text to words.
//!
//! Which words there are depends on where they stand: keywords are plain inside braces, and brackets hold durations. The
//! first part of the text that is no word ends the tokens; the parser reports it when, and only if, it gets there.

mod literal;
mod token;

use nom::IResult;
use nom::Parser as _;
use nom::bytes::complete::{tag, take_till, take_while1};
use nom::combinator::recognize;
use nom::sequence::preceded;

pub(crate) use token::{Keyword, Token, TokenKind};

use self::literal::{NumberEnd, number_or_duration, string};
use self::token::classify;
use crate::model::number::quote_char;
use crate::promql::ast::BinaryOp;

/// The words of a query.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// At least one; the last is [`TokenKind::End`] or [`TokenKind::Error`].
    pub(crate) list: Vec<Token>,
    /// Why the last token is an error.
    pub(crate) error: String,
}

/// Splits `text` into words.
pub(crate) fn lex(text: &str) -> Tokens {
    let mut lexer = Lexer {
        text,
        rest: text,
        tokens: Vec::with_capacity((text.len() / 3).saturating_add(4)),
        open_parens: 0,
        in_braces: false,
        in_brackets: false,
        colon_seen: false,
        number_seen: false,
        in_duration: false,
    };
    let error = loop {
        match lexer.word() {
            Ok(true) => {}
            Ok(false) => break String::new(),
            Err(error) => {
                let start = u32::try_from(error.start).unwrap_or(u32::MAX);
                lexer.tokens.push(Token { kind: TokenKind::Error, start, end: start });
                break error.text;
            }
        }
    };
    Tokens { list: lexer.tokens, error }
}

struct LexError {
    start: usize,
    text: String,
}

struct Lexer<'t> {
    text: &'t str,
    rest: &'t str,
    tokens: Vec<Token>,
    open_parens: u32,
    in_braces: bool,
    in_brackets: bool,
    /// Whether a colon came since the bracket opened.
    colon_seen: bool,
    /// Whether any bracket so far began its duration with something that leads to a number.
    number_seen: bool,
    /// From the opening of a bracket to its first number: only the words of durations, and no comments.
    in_duration: bool,
}

type Text<'t, O> = IResult<&'t str, O>;

fn whitespace(text: &str) -> Text<'_, &str> {
    take_while1(|c| matches!(c, ' ' | '\t' | '\n' | '\r')).parse(text)
}

fn comment(text: &str) -> Text<'_, &str> {
    recognize(preceded(tag("#"), take_till(|c| matches!(c, '\n' | '\r')))).parse(text)
}

/// Letters, digits and underscores.
fn identifier(text: &str) -> Text<'_, &str> {
    take_while1(|c: char| c.is_ascii_alphanumeric() || c == '_').parse(text)
}

/// An identifier or a metric name, which may hold colons.
fn name(text: &str) -> Text<'_, &str> {
    take_while1(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':')).parse(text)
}

/// Letters and underscores.
fn letters(text: &str) -> Text<'_, &str> {
    take_while1(|c: char| c.is_ascii_alphabetic() || c == '_').parse(text)
}

/// An operator that is the same everywhere outside braces.
fn operator(text: &str) -> Option<(&str, BinaryOp)> {
    let mut bytes = text.bytes();
    let (op, len) = match (bytes.next()?, bytes.next()) {
        (b'*', _) => (BinaryOp::Mul, 1),
        (b'/', _) => (BinaryOp::Div, 1),
        (b'%', _) => (BinaryOp::Mod, 1),
        (b'+', _) => (BinaryOp::Add, 1),
        (b'-', _) => (BinaryOp::Sub, 1),
        (b'^', _) => (BinaryOp::Pow, 1),
        (b'=', Some(b'=')) => (BinaryOp::Eq, 2),
        (b'!', Some(b'=')) => (BinaryOp::Ne, 2),
        (b'<', Some(b'=')) => (BinaryOp::Le, 2),
        (b'<', Some(b'/')) => (BinaryOp::TrimUpper, 2),
        (b'<', _) => (BinaryOp::Lt, 1),
        (b'>', Some(b'=')) => (BinaryOp::Ge, 2),
        (b'>', Some(b'/')) => (BinaryOp::TrimLower, 2),
        (b'>', _) => (BinaryOp::Gt, 1),
        _ => return None,
    };
    text.get(len..).map(|rest| (rest, op))
}

/// `character` or, at the end of the text, the character that stands for none.
fn shown(character: Option<char>) -> String {
    quote_char(character.unwrap_or(char::REPLACEMENT_CHARACTER))
}

impl<'t> Lexer<'t> {
    fn position(&self) -> usize {
        self.text.len().saturating_sub(self.rest.len())
    }

    /// Takes everything before `rest` as one token.
    fn emit(&mut self, kind: TokenKind, rest: &'t str) {
        let start = u32::try_from(self.position()).unwrap_or(u32::MAX);
        self.rest = rest;
        let end = u32::try_from(self.position()).unwrap_or(u32::MAX);
        self.tokens.push(Token { kind, start, end });
    }

    /// The text behind the next `len` bytes.
    fn after(&self, len: usize) -> &'t str {
        self.rest.get(len..).unwrap_or("")
    }

    /// An error at the start of the next token.
    fn fail<T>(&self, text: impl Into<String>) -> Result<T, LexError> {
        Err(LexError { start: self.position(), text: text.into() })
    }

    /// Reads one word, or none if there is only blank space. False: the text is at its end.
    fn word(&mut self) -> Result<bool, LexError> {
        if let Ok((rest, _)) = whitespace(self.rest) {
            self.rest = rest;
        }
        if self.in_duration {
            return self.duration_word();
        }
        if let Ok((rest, _)) = comment(self.rest) {
            self.rest = rest;
            return Ok(true);
        }
        if self.in_braces { self.braces_word() } else { self.expression_word() }
    }

    fn expression_word(&mut self) -> Result<bool, LexError> {
        let Some(c) = self.rest.chars().next() else {
            if self.open_parens != 0 {
                return self.fail("unclosed left parenthesis");
            }
            if self.in_brackets {
                return self.fail("unclosed left bracket");
            }
            self.emit(TokenKind::End, "");
            return Ok(false);
        };
        if let Some((rest, op)) = operator(self.rest) {
            self.emit(TokenKind::Operator(op), rest);
            return Ok(true);
        }
        let second = self.after(c.len_utf8()).chars().next();
        match c {
            ',' => self.emit(TokenKind::Comma, self.after(1)),
            '@' => self.emit(TokenKind::At, self.after(1)),
            '=' if second == Some('~') => return self.fail("unexpected character after '=': '~'"),
            '=' => self.emit(TokenKind::Equal, self.after(1)),
            '!' => return self.fail(format!("unexpected character after '!': {}", shown(second))),
            '0'..='9' => return self.number(),
            '.' if second.is_some_and(|second| second.is_ascii_digit()) => return self.number(),
            '"' | '\'' | '`' => return self.string(),
            ':' if self.in_brackets => {
                if self.colon_seen {
                    return self.fail("unexpected colon ':'");
                }
                self.emit(TokenKind::Colon, self.after(1));
                self.colon_seen = true;
            }
            'a'..='z' | 'A'..='Z' | '_' if self.in_brackets => {
                if !self.duration_keyword() {
                    return self.fail(format!("unexpected character: {}, expected ':'", quote_char(c)));
                }
            }
            'a'..='z' | 'A'..='Z' | '_' | ':' => self.name(),
            '(' => self.open_paren(),
            ')' => return self.close_paren(),
            '{' => {
                self.emit(TokenKind::LeftBrace, self.after(1));
                self.in_braces = true;
            }
            '[' => {
                if self.in_brackets {
                    return self.fail("unexpected left bracket '['");
                }
                self.emit(TokenKind::LeftBracket, self.after(1));
                self.colon_seen = false;
                self.in_brackets = true;
                self.in_duration = true;
            }
            ']' => {
                if !self.in_brackets {
                    return self.fail("unexpected right bracket ']'");
                }
                self.emit(TokenKind::RightBracket, self.after(1));
                self.in_brackets = false;
            }
            c => return self.fail(format!("unexpected character: {}", quote_char(c))),
        }
        Ok(true)
    }

    fn braces_word(&mut self) -> Result<bool, LexError> {
        let Some(c) = self.rest.chars().next() else {
            return self.fail("unexpected end of input inside braces");
        };
        let second = self.after(c.len_utf8()).chars().next();
        match (c, second) {
            ('a'..='z' | 'A'..='Z' | '_', _) => {
                let rest = identifier(self.rest).map_or("", |(rest, _)| rest);
                self.emit(TokenKind::Identifier, rest);
            }
            (',', _) => self.emit(TokenKind::Comma, self.after(1)),
            ('"' | '\'' | '`', _) => return self.string(),
            ('=', Some('~')) => self.emit(TokenKind::Matches, self.after(2)),
            ('=', _) => self.emit(TokenKind::Equal, self.after(1)),
            ('!', Some('~')) => self.emit(TokenKind::NotMatches, self.after(2)),
            ('!', Some('=')) => self.emit(TokenKind::Operator(BinaryOp::Ne), self.after(2)),
            ('!', second) => {
                return self.fail(format!("unexpected character after '!' inside braces: {}", shown(second)));
            }
            ('{', _) => return self.fail("unexpected left brace '{'"),
            ('}', _) => {
                self.emit(TokenKind::RightBrace, self.after(1));
                self.in_braces = false;
            }
            (c, _) => return self.fail(format!("unexpected character inside braces: {}", quote_char(c))),
        }
        Ok(true)
    }

    /// A word between an opening bracket and the first number.
    fn duration_word(&mut self) -> Result<bool, LexError> {
        let Some(c) = self.rest.chars().next() else {
            return self.fail("unexpected end of input in duration expression");
        };
        let second = self.after(c.len_utf8()).chars().next();
        let unexpected = |c| format!("unexpected character in duration expression: {}", quote_char(c));
        match c {
            ']' => {
                self.emit(TokenKind::RightBracket, self.after(1));
                self.in_brackets = false;
                self.colon_seen = false;
                self.in_duration = false;
            }
            ':' => {
                self.rest = self.after(1);
                if !self.number_seen {
                    return self.fail("unexpected colon before duration in duration expression");
                }
                if self.colon_seen {
                    return self.fail("unexpected repeated colon in duration expression");
                }
                self.colon_seen = true;
                let end = u32::try_from(self.position()).unwrap_or(u32::MAX);
                self.tokens.push(Token { kind: TokenKind::Colon, start: end.saturating_sub(1), end });
            }
            '(' => self.open_paren(),
            ')' => return self.close_paren(),
            '+' | '-' | '*' | '/' | '%' | '^' => {
                if let Some((rest, op)) = operator(self.rest) {
                    self.emit(TokenKind::Operator(op), rest);
                }
            }
            ',' => self.emit(TokenKind::Comma, self.after(1)),
            '0'..='9' => {
                self.number_seen = true;
                self.in_duration = false;
                return self.number();
            }
            '.' if second.is_some_and(|second| second.is_ascii_digit()) => {
                self.number_seen = true;
                self.in_duration = false;
                return self.number();
            }
            c => {
                if !self.duration_keyword() {
                    return self.fail(unexpected(c));
                }
            }
        }
        Ok(true)
    }

    fn open_paren(&mut self) {
        self.emit(TokenKind::LeftParen, self.after(1));
        self.open_parens = self.open_parens.saturating_add(1);
    }

    fn close_paren(&mut self) -> Result<bool, LexError> {
        match self.open_parens.checked_sub(1) {
            Some(open) => {
                self.open_parens = open;
                self.emit(TokenKind::RightParen, self.after(1));
                Ok(true)
            }
            None => {
                self.rest = self.after(1);
                self.fail("unexpected right parenthesis ')'")
            }
        }
    }

    fn name(&mut self) {
        let Ok((rest, word)) = name(self.rest) else { return };
        let mut kind = classify(word);
        if matches!(kind, TokenKind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight)) {
            let next = rest.trim_start_matches([' ', '\t', '\n', '\r']);
            if !next.starts_with('(') {
                kind = TokenKind::Identifier;
            }
        }
        self.emit(kind, rest);
    }

    /// `step`, `range`, `min_of` or `max_of`, the only words in brackets; says whether there was one.
    fn duration_keyword(&mut self) -> bool {
        let Ok((rest, word)) = letters(self.rest) else { return false };
        let kind = classify(word);
        let is_duration = matches!(
            kind,
            TokenKind::Keyword(Keyword::Step | Keyword::Range | Keyword::MinOf | Keyword::MaxOf)
        );
        if is_duration {
            self.emit(kind, rest);
        }
        is_duration
    }

    fn number(&mut self) -> Result<bool, LexError> {
        match number_or_duration(self.rest) {
            NumberEnd::Number(rest) => self.emit(TokenKind::Number, rest),
            NumberEnd::Duration(rest) => self.emit(TokenKind::Duration, rest),
            NumberEnd::Neither(rest) => {
                let len = self.rest.len().saturating_sub(rest.len());
                let read = self.rest.get(..len).unwrap_or(self.rest);
                let read = crate::model::number::quote(read.as_bytes());
                return self.fail(format!("bad number or duration syntax: {read}"));
            }
        }
        Ok(true)
    }

    fn string(&mut self) -> Result<bool, LexError> {
        match string(self.rest) {
            Ok(rest) => {
                self.emit(TokenKind::String, rest);
                Ok(true)
            }
            Err(error) => self.fail(error),
        }
    }
}
