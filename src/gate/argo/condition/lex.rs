//! Text to tokens, as the lexer of expr 1.17 reads them.

use std::collections::VecDeque;

use crate::error::{Error, ErrorKind, Result};
use crate::model::number::quote;

/// One word of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) text: String,
    /// Where it stands: byte offsets into the condition.
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    Identifier,
    Number,
    Text,
    Operator,
    Bracket,
    End,
}

impl Token {
    pub(super) fn is(&self, kind: TokenKind, text: &str) -> bool {
        self.kind == kind && self.text == text
    }

    /// The token as expr's messages show it: `Operator("=")`, `EOF`.
    pub(super) fn describe(&self) -> String {
        let kind = match self.kind {
            TokenKind::Identifier => "Identifier",
            TokenKind::Number => "Number",
            TokenKind::Text => "String",
            TokenKind::Operator => "Operator",
            TokenKind::Bracket => "Bracket",
            TokenKind::End => "EOF",
        };
        if self.text.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}({})", quote(self.text.as_bytes()))
        }
    }
}

/// Yields tokens on demand, so that an error far behind does not hide one in front.
pub(super) struct Lexer<'a> {
    text: &'a str,
    start: usize,
    end: usize,
    ready: VecDeque<Token>,
    ended: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, start: 0, end: 0, ready: VecDeque::new(), ended: false }
    }

    /// The next token; after the one that marks the end there is none.
    pub(super) fn next(&mut self) -> Result<Token> {
        loop {
            if let Some(token) = self.ready.pop_front() {
                return Ok(token);
            }
            if self.ended {
                return Err(self.error("unexpected end of expression"));
            }
            self.scan()?;
        }
    }

    fn scan(&mut self) -> Result<()> {
        let Some(first) = self.take() else {
            self.ended = true;
            self.emit_text(TokenKind::End, String::new());
            return Ok(());
        };
        match first {
            _ if first.is_whitespace() => self.start = self.end,
            '\'' | '"' => self.quoted(first)?,
            '`' => self.raw()?,
            '0'..='9' => {
                self.end = self.start;
                self.number()?;
            }
            '?' => {
                self.accept(".?");
                self.emit(TokenKind::Operator);
            }
            '/' if self.accept("/") => {
                while self.take().is_some_and(|c| c != '\n') {}
                self.start = self.end;
            }
            '/' if self.accept("*") => self.block_comment()?,
            '/' => self.emit(TokenKind::Operator),
            '#' => {
                self.accept("#");
                self.emit(TokenKind::Operator);
                self.accept_while(is_identifier);
                if self.end > self.start {
                    self.emit(TokenKind::Identifier);
                }
            }
            '|' => {
                self.accept("|");
                self.emit(TokenKind::Operator);
            }
            ':' => {
                self.accept(":");
                self.emit(TokenKind::Operator);
            }
            '(' | '[' | '{' | ')' | ']' | '}' => self.emit(TokenKind::Bracket),
            ',' | ';' | '%' | '+' | '-' | '^' => self.emit(TokenKind::Operator),
            '&' | '!' | '=' | '*' | '<' | '>' => {
                self.accept("&=*");
                self.emit(TokenKind::Operator);
            }
            '.' => {
                if self.peek().is_some_and(|c| c.is_ascii_digit()) {
                    self.end = self.start;
                    self.number()?;
                } else {
                    self.accept(".");
                    self.emit(TokenKind::Operator);
                }
            }
            _ if is_identifier(first) => self.identifier(),
            other => {
                return Err(
                    self.error(&format!("unrecognized character: U+{:04X} '{other}'", u32::from(other)))
                );
            }
        }
        Ok(())
    }

    fn number(&mut self) -> Result<()> {
        let mut digits = "0123456789_";
        if self.accept("0") {
            if self.accept("xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_while(|c| digits.contains(c));
        let whole = self.end;
        if self.accept(".") {
            // `1..2` is a range: its first dot is not a decimal point.
            if self.peek() == Some('.') {
                self.end = whole;
                self.emit(TokenKind::Number);
                return Ok(());
            }
            self.accept_while(|c| digits.contains(c));
        }
        if self.accept("eE") {
            self.accept("+-");
            self.accept_while(|c| digits.contains(c));
        }
        if self.peek().is_some_and(is_identifier) {
            self.take();
            let word = quote(self.word().as_bytes());
            return Err(self.error(&format!("bad number syntax: {word}")));
        }
        self.emit(TokenKind::Number);
        Ok(())
    }

    fn identifier(&mut self) {
        self.accept_while(is_identifier);
        match self.word() {
            "not" => {
                self.emit(TokenKind::Operator);
                self.accept_while(|c| c == ' ');
                self.start = self.end;
                self.accept_while(is_identifier);
                if matches!(self.word(), "in" | "matches" | "contains" | "startsWith" | "endsWith") {
                    self.emit(TokenKind::Operator);
                } else {
                    self.end = self.start;
                }
            }
            "in" | "or" | "and" | "matches" | "contains" | "startsWith" | "endsWith" | "let" | "if"
            | "else" => {
                self.emit(TokenKind::Operator);
            }
            _ => self.emit(TokenKind::Identifier),
        }
    }

    fn block_comment(&mut self) -> Result<()> {
        loop {
            match self.take() {
                None => return Err(self.error("unclosed comment")),
                Some('*') if self.accept("/") => break,
                Some(_) => {}
            }
        }
        self.start = self.end;
        Ok(())
    }

    fn quoted(&mut self, quote: char) -> Result<()> {
        let mut value = String::new();
        loop {
            match self.take() {
                None | Some('\n') => return Err(self.error("literal not terminated")),
                Some('\\') => value.push(self.escape(quote)?),
                Some('\r') => {
                    self.accept("\n");
                    value.push('\n');
                }
                Some(c) if c == quote => break,
                Some(c) => value.push(c),
            }
        }
        self.emit_text(TokenKind::Text, value);
        Ok(())
    }

    fn escape(&mut self, quote: char) -> Result<char> {
        let invalid = "invalid char escape";
        let code = match self.take() {
            Some('a') => 0x07,
            Some('b') => 0x08,
            Some('f') => 0x0c,
            Some('n') => 0x0a,
            Some('r') => 0x0d,
            Some('t') => 0x09,
            Some('v') => 0x0b,
            Some('\\') => 0x5c,
            Some(c) if c == quote => return Ok(c),
            Some(c @ '0'..='3') => {
                let rest = self.digits(8, 2)?;
                c.to_digit(8).unwrap_or(0) * 64 + rest
            }
            Some('x') => self.digits(16, 2)?,
            Some('u') if self.accept("{") => {
                let mut code = 0;
                let mut count = 0;
                while let Some(digit) = self.peek().and_then(|c| c.to_digit(16)) {
                    self.take();
                    code = code * 16 + digit;
                    count += 1;
                    if count > 6 {
                        return Err(self.error(invalid));
                    }
                }
                if count == 0 || !self.accept("}") {
                    return Err(self.error(invalid));
                }
                code
            }
            Some('u') => self.digits(16, 4)?,
            Some('U') => self.digits(16, 8)?,
            _ => return Err(self.error(invalid)),
        };
        if code > 0x10_ffff {
            return Err(self.error("unable to unescape string"));
        }
        Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn digits(&mut self, radix: u32, count: usize) -> Result<u32> {
        let mut code: u32 = 0;
        for _ in 0..count {
            let digit = self.take().and_then(|c| c.to_digit(radix));
            let Some(digit) = digit else { return Err(self.error("invalid char escape")) };
            code = code.saturating_mul(radix).saturating_add(digit);
        }
        Ok(code)
    }

    /// Text between backquotes; two in a row stand for one.
    fn raw(&mut self) -> Result<()> {
        let mut value = String::new();
        loop {
            match self.take() {
                None => return Err(self.error("literal not terminated")),
                Some('`') if self.accept("`") => value.push('`'),
                Some('`') => break,
                Some(c) => value.push(c),
            }
        }
        self.emit_text(TokenKind::Text, value);
        Ok(())
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.end..)?.chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.end = self.end.saturating_add(next.len_utf8());
        Some(next)
    }

    fn accept(&mut self, set: &str) -> bool {
        let found = self.peek().is_some_and(|c| set.contains(c));
        if found {
            self.take();
        }
        found
    }

    fn accept_while(&mut self, accepts: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&accepts) {
            self.take();
        }
    }

    fn word(&self) -> &'a str {
        self.text.get(self.start..self.end).unwrap_or_default()
    }

    fn emit(&mut self, kind: TokenKind) {
        let word = self.word().to_owned();
        self.emit_text(kind, word);
    }

    fn emit_text(&mut self, kind: TokenKind, text: String) {
        self.ready.push_back(Token { kind, text, start: self.start, end: self.end });
        self.start = self.end;
    }

    fn error(&self, sentence: &str) -> Error {
        Error::new(ErrorKind::Parse, sentence)
            .at(self.start.min(self.text.len()), self.end.min(self.text.len()))
    }
}

/// Whether `c` may stand in a name.
pub(super) fn is_identifier(c: char) -> bool {
    c == '_' || c == '$' || c.is_alphabetic() || (c.is_numeric() && c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut lexer = Lexer::new(text);
        let mut words = Vec::new();
        loop {
            let token = lexer.next().unwrap();
            if token.kind == TokenKind::End {
                return words;
            }
            words.push(token.text);
        }
    }

    #[test]
    fn a_range_is_not_a_decimal_point() {
        assert_eq!(words("1..2 1.5 .5 1."), ["1", "..", "2", "1.5", ".5", "1."]);
    }

    #[test]
    fn blanks_and_comments_are_free() {
        assert_eq!(words("a/* x */<\n1 // rest"), ["a", "<", "1"]);
    }

    #[test]
    fn quoted_text_knows_its_escapes() {
        assert_eq!(words(r#""a\n\u0041\x42" 'it\'s' `r``aw`"#), ["a\nAB", "it's", "r`aw"]);
    }

    #[test]
    fn not_in_is_two_operators() {
        assert_eq!(words("a not in b not c"), ["a", "not", "in", "b", "not", "c"]);
    }

    #[test]
    fn a_number_that_runs_into_a_word_is_refused() {
        let error = Lexer::new("1x").next().unwrap_err();
        assert_eq!(error.to_string(), "bad number syntax: \"1x\"");
    }
}
