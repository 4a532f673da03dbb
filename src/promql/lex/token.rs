//! The words of the language.

use crate::model::number::quote;
use crate::promql::ast::{AggregateOp, BinaryOp};

/// A word and its place: bytes `start..end` of the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// The end of the query.
    End,
    /// Where the query stops to consist of words; always the last token.
    Error,
    Identifier,
    /// A word with a colon in it.
    MetricIdentifier,
    Number,
    Duration,
    String,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    /// `=`
    Equal,
    /// `=~`
    Matches,
    /// `!~`
    NotMatches,
    At,
    Operator(BinaryOp),
    Aggregate(AggregateOp),
    Keyword(Keyword),
}

/// A word with a meaning of its own, which may still be a metric or a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Anchored,
    Bool,
    By,
    End,
    Fill,
    FillLeft,
    FillRight,
    GroupLeft,
    GroupRight,
    Ignoring,
    MaxOf,
    MinOf,
    Offset,
    On,
    Range,
    Smoothed,
    Start,
    Step,
    Without,
}

impl Token {
    pub(crate) const fn start(self) -> usize {
        self.start as usize
    }

    pub(crate) const fn end(self) -> usize {
        self.end as usize
    }

    /// The word as written in `text`.
    pub(crate) fn text(self, text: &str) -> &str {
        text.get(self.start()..self.end()).unwrap_or("")
    }

    /// The word as error texts name it: `identifier "x"`, `<op:==>`, `end of input`.
    pub(crate) fn description(self, text: &str) -> String {
        let word = self.text(text);
        let cut = |word: &str| match word.char_indices().nth(10) {
            Some((end, _)) if word.len() > 10 => {
                format!("{}...", quote(word.as_bytes().get(..end).unwrap_or_default()))
            }
            _ if word.len() > 10 => format!("{}...", quote(word.as_bytes())),
            _ => quote(word.as_bytes()),
        };
        match self.kind {
            TokenKind::End => "end of input".to_owned(),
            TokenKind::Identifier => format!("identifier {}", quote(word.as_bytes())),
            TokenKind::MetricIdentifier => format!("metric identifier {}", quote(word.as_bytes())),
            TokenKind::Number => format!("number {}", cut(word)),
            TokenKind::Duration => format!("duration {}", cut(word)),
            TokenKind::String => format!("string {}", cut(word)),
            TokenKind::Aggregate(_) => format!("<aggr:{word}>"),
            TokenKind::Operator(_) | TokenKind::At | TokenKind::Matches | TokenKind::NotMatches => {
                format!("<op:{word}>")
            }
            TokenKind::Keyword(
                Keyword::Start
                | Keyword::End
                | Keyword::Step
                | Keyword::Range
                | Keyword::MaxOf
                | Keyword::MinOf,
            ) => quote(word.as_bytes()),
            TokenKind::Keyword(_) => format!("<{word}>"),
            TokenKind::Error
            | TokenKind::LeftParen
            | TokenKind::RightParen
            | TokenKind::LeftBrace
            | TokenKind::RightBrace
            | TokenKind::LeftBracket
            | TokenKind::RightBracket
            | TokenKind::Comma
            | TokenKind::Colon
            | TokenKind::Equal => quote(word.as_bytes()),
        }
    }
}

/// The kind of the word `word` outside braces; keywords are not case-sensitive.
///
/// `fill`, `fill_left` and `fill_right` are keywords only before a parenthesis, which the lexer decides.
pub(crate) fn classify(word: &str) -> TokenKind {
    use TokenKind::{Aggregate, Identifier, MetricIdentifier, Number, Operator};
    const LONGEST: usize = "count_values".len();
    let mut buffer = [0_u8; LONGEST];
    let lower = match buffer.get_mut(..word.len()) {
        Some(lower) => {
            lower.copy_from_slice(word.as_bytes());
            lower.make_ascii_lowercase();
            &*lower
        }
        None => &[],
    };
    match lower {
        b"and" => Operator(BinaryOp::And),
        b"or" => Operator(BinaryOp::Or),
        b"unless" => Operator(BinaryOp::Unless),
        b"atan2" => Operator(BinaryOp::Atan2),
        b"sum" => Aggregate(AggregateOp::Sum),
        b"avg" => Aggregate(AggregateOp::Avg),
        b"count" => Aggregate(AggregateOp::Count),
        b"min" => Aggregate(AggregateOp::Min),
        b"max" => Aggregate(AggregateOp::Max),
        b"group" => Aggregate(AggregateOp::Group),
        b"stddev" => Aggregate(AggregateOp::Stddev),
        b"stdvar" => Aggregate(AggregateOp::Stdvar),
        b"topk" => Aggregate(AggregateOp::Topk),
        b"bottomk" => Aggregate(AggregateOp::Bottomk),
        b"count_values" => Aggregate(AggregateOp::CountValues),
        b"quantile" => Aggregate(AggregateOp::Quantile),
        b"limitk" => Aggregate(AggregateOp::Limitk),
        b"limit_ratio" => Aggregate(AggregateOp::LimitRatio),
        b"anchored" => TokenKind::Keyword(Keyword::Anchored),
        b"bool" => TokenKind::Keyword(Keyword::Bool),
        b"by" => TokenKind::Keyword(Keyword::By),
        b"end" => TokenKind::Keyword(Keyword::End),
        b"fill" => TokenKind::Keyword(Keyword::Fill),
        b"fill_left" => TokenKind::Keyword(Keyword::FillLeft),
        b"fill_right" => TokenKind::Keyword(Keyword::FillRight),
        b"group_left" => TokenKind::Keyword(Keyword::GroupLeft),
        b"group_right" => TokenKind::Keyword(Keyword::GroupRight),
        b"ignoring" => TokenKind::Keyword(Keyword::Ignoring),
        b"max_of" => TokenKind::Keyword(Keyword::MaxOf),
        b"min_of" => TokenKind::Keyword(Keyword::MinOf),
        b"offset" => TokenKind::Keyword(Keyword::Offset),
        b"on" => TokenKind::Keyword(Keyword::On),
        b"range" => TokenKind::Keyword(Keyword::Range),
        b"smoothed" => TokenKind::Keyword(Keyword::Smoothed),
        b"start" => TokenKind::Keyword(Keyword::Start),
        b"step" => TokenKind::Keyword(Keyword::Step),
        b"without" => TokenKind::Keyword(Keyword::Without),
        b"inf" | b"nan" => Number,
        _ if word.contains(':') => MetricIdentifier,
        _ => Identifier,
    }
}
