//! The lines of the text formats, by nom.

use std::borrow::Cow;

use nom::branch::alt;
use nom::bytes::complete::{tag, take_till, take_while, take_while1};
use nom::combinator::{opt, recognize};
use nom::error::{ErrorKind, ParseError};
use nom::sequence::pair;
use nom::{IResult, Parser};

use super::form::{go_unquote, parse_float, truncated_millis, unescape};
use super::{ExpositionFormat, MetricType};
use crate::model::label::METRIC_NAME;
use crate::model::{Timestamp, number};

/// What was expected, and the text where it was.
#[derive(Debug)]
pub(super) struct Problem<'a> {
    pub(super) rest: &'a [u8],
    pub(super) what: Cow<'static, str>,
}

impl<'a> ParseError<&'a [u8]> for Problem<'a> {
    fn from_error_kind(rest: &'a [u8], _: ErrorKind) -> Self {
        Self { rest, what: Cow::Borrowed("unexpected text") }
    }

    fn append(_: &'a [u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}

/// So much of a text that is no number is shown.
const SHOWN: usize = 64;

type Parsed<'a, T> = IResult<&'a [u8], T, Problem<'a>>;
type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// A line and how many line breaks it took: more than one where a label value holds some.
pub(super) struct Line<'a> {
    pub(super) kind: LineKind<'a>,
    pub(super) newlines: usize,
}

pub(super) enum LineKind<'a> {
    /// Blank, or a comment.
    Nothing,
    Eof,
    Help {
        name: Cow<'a, str>,
        text: Cow<'a, str>,
    },
    Type {
        name: Cow<'a, str>,
        metric_type: MetricType,
    },
    Unit {
        name: Cow<'a, str>,
        unit: Cow<'a, str>,
    },
    Sample(RawSample<'a>),
}

pub(super) struct RawSample<'a> {
    pub(super) labels: Pairs<'a>,
    /// `None` where a dump shows a native histogram.
    pub(super) value: Option<f64>,
    pub(super) timestamp: Option<Timestamp>,
    pub(super) exemplar: Option<RawExemplar<'a>>,
}

pub(super) struct RawExemplar<'a> {
    pub(super) labels: Pairs<'a>,
    pub(super) value: f64,
    pub(super) timestamp: Option<Timestamp>,
}

fn problem<T>(rest: &[u8], what: impl Into<Cow<'static, str>>) -> Parsed<'_, T> {
    Err(nom::Err::Failure(Problem { rest, what: what.into() }))
}

/// Whether the last line of a body is `# EOF`.
pub(super) fn ends_in_eof(body: &[u8]) -> bool {
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    body.strip_suffix(b"# EOF").is_some_and(|before| before.is_empty() || before.ends_with(b"\n"))
}

/// The next line and what follows it.
pub(super) fn line(input: &[u8], format: ExpositionFormat) -> Result<(&[u8], Line<'_>), Problem<'_>> {
    let parsed = match format {
        ExpositionFormat::OpenMetrics => open_metrics_line(input),
        ExpositionFormat::Dump => dump_line(input),
        ExpositionFormat::Text | ExpositionFormat::Detect => text_line(input),
    };
    match parsed {
        Ok((rest, kind)) => {
            let taken = input.get(..input.len().saturating_sub(rest.len())).unwrap_or_default();
            let newlines = taken.iter().filter(|byte| **byte == b'\n').count();
            Ok((rest, Line { kind, newlines }))
        }
        Err(nom::Err::Error(problem) | nom::Err::Failure(problem)) => Err(problem),
        Err(nom::Err::Incomplete(_)) => {
            Err(Problem { rest: input, what: Cow::Borrowed("the line is not complete") })
        }
    }
}

fn blanks(input: &[u8]) -> Parsed<'_, &[u8]> {
    take_while(|byte| byte == b' ' || byte == b'\t')(input)
}

fn blanks1(input: &[u8]) -> Parsed<'_, &[u8]> {
    take_while1(|byte| byte == b' ' || byte == b'\t')(input)
}

/// The end of a line, or of the body.
fn line_end(input: &[u8]) -> Parsed<'_, ()> {
    match input.split_first() {
        None => Ok((input, ())),
        Some((b'\n', rest)) => Ok((rest, ())),
        Some(_) => problem(input, "expected the end of the line"),
    }
}

/// The end of a line that is whole: OpenMetrics tells a body that was cut off, even inside its last number.
fn line_break(input: &[u8]) -> Parsed<'_, ()> {
    if input.is_empty() {
        return problem(input, "the body does not end in # EOF; it may have been cut off");
    }
    line_end(input)
}

fn metric_name(input: &[u8]) -> Parsed<'_, &[u8]> {
    let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b':';
    recognize(pair(
        nom::bytes::complete::take_while_m_n(1, 1, first),
        take_while(move |byte: u8| first(byte) || byte.is_ascii_digit()),
    ))
    .parse(input)
}

fn label_name(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (rest, name) = metric_name(input)?;
    if name.contains(&b':') {
        return problem(input, "expected a label name, which has no colon");
    }
    Ok((rest, name))
}

/// A quoted text without its quotes, escapes untouched.
fn quoted(input: &[u8], line_breaks: bool) -> Parsed<'_, &[u8]> {
    let Some(body) = input.strip_prefix(b"\"") else {
        return problem(input, "expected a double quote");
    };
    let mut bytes = body.iter().enumerate();
    while let Some((index, byte)) = bytes.next() {
        match byte {
            b'"' => {
                let (inside, rest) = body.split_at(index);
                return Ok((rest.get(1..).unwrap_or_default(), inside));
            }
            b'\\' => {
                bytes.next();
            }
            b'\n' if !line_breaks => {
                return problem(body.get(index..).unwrap_or_default(), "the line ends inside a quoted text");
            }
            _ => {}
        }
    }
    problem(input, "a quoted text has no end")
}

fn utf8(text: &[u8]) -> Parsed<'_, &str> {
    match std::str::from_utf8(text) {
        Ok(text) => Ok((b"", text)),
        Err(error) => {
            problem(text.get(error.valid_up_to()..).unwrap_or_default(), "bytes that are not UTF-8")
        }
    }
}

/// Says so of a text, of which the beginning is enough.
fn no_number(text: &[u8]) -> String {
    let (shown, more) = match text.get(..SHOWN) {
        Some(shown) if text.len() > SHOWN => (shown, "…"),
        _ => (text, ""),
    };
    format!("{}{more} is no number", number::quote(shown))
}

fn text_line(input: &[u8]) -> Parsed<'_, LineKind<'_>> {
    let (input, _) = blanks(input)?;
    match input.first() {
        None | Some(b'\n') => {
            let (rest, ()) = line_end(input)?;
            Ok((rest, LineKind::Nothing))
        }
        Some(b'#') => text_comment(input),
        Some(_) => {
            let (input, labels) = series(input, Spacing::Free)?;
            let (input, _) = blanks(input)?;
            let (rest, token) = take_till(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'{'))(input)?;
            if token.is_empty() {
                return problem(input, "expected a value after the metric");
            }
            let (input, value) = number_token(input, token, rest)?;
            let (input, _) = blanks(input)?;
            let (rest, digits) = take_while(|byte: u8| byte.is_ascii_digit())(input)?;
            let (input, timestamp) = milliseconds(input, digits, rest)?;
            let (input, _) = blanks(input)?;
            let (rest, ()) = line_end(input).or_else(|_| {
                problem(input, "expected a timestamp in whole milliseconds or the end of the line")
            })?;
            let sample = RawSample { labels, value: Some(value), timestamp, exemplar: None };
            Ok((rest, LineKind::Sample(sample)))
        }
    }
}

/// A number whose text is `token`, at the start of `input`, before `rest`.
fn number_token<'a>(input: &'a [u8], token: &'a [u8], rest: &'a [u8]) -> Parsed<'a, f64> {
    match std::str::from_utf8(token).ok().and_then(parse_float) {
        Some(value) => Ok((rest, value)),
        None => problem(input, no_number(token)),
    }
}

fn milliseconds<'a>(input: &'a [u8], digits: &[u8], rest: &'a [u8]) -> Parsed<'a, Option<Timestamp>> {
    if digits.is_empty() {
        return Ok((rest, None));
    }
    match std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()) {
        Some(millis) => Ok((rest, Some(Timestamp::from_millis(millis)))),
        None => problem(input, "the timestamp does not fit into 64 bits"),
    }
}

fn text_comment(input: &[u8]) -> Parsed<'_, LineKind<'_>> {
    let word = |word: &'static str| (tag("#"), blanks1, tag(word), blanks1);
    let (_, found) = opt(alt((word("HELP"), word("TYPE")))).parse(input)?;
    let Some((_, _, keyword, _)) = found else {
        let (input, _) = take_till(|byte| byte == b'\n')(input)?;
        let (rest, ()) = line_end(input)?;
        return Ok((rest, LineKind::Nothing));
    };
    let (input, _) = (tag("#"), blanks1, tag(keyword), blanks1).parse(input)?;
    let (input, name) = family_name(input)?;
    let (after, text) = take_till(|byte| byte == b'\n')(input)?;
    let kind = metadata(keyword, name, input, text, false)?.1;
    let (rest, ()) = line_end(after)?;
    Ok((rest, kind))
}

fn family_name(input: &[u8]) -> Parsed<'_, Cow<'_, str>> {
    if input.first() == Some(&b'"') {
        let (rest, raw) = quoted(input, true)?;
        let (_, name) = located(input, utf8(raw))?;
        return Ok((rest, unescape(name, true)));
    }
    match metric_name(input) {
        Ok((rest, name)) => {
            let (_, name) = located(input, utf8(name))?;
            Ok((rest, Cow::Borrowed(name)))
        }
        Err(_) => problem(input, "expected a metric name"),
    }
}

/// A problem of a piece, shown where `input` begins.
fn located<'a, T>(input: &'a [u8], parsed: Parsed<'_, T>) -> Parsed<'a, T> {
    match parsed {
        Ok((_, value)) => Ok((input, value)),
        Err(nom::Err::Error(Problem { what, .. }) | nom::Err::Failure(Problem { what, .. })) => {
            problem(input, what)
        }
        Err(nom::Err::Incomplete(_)) => problem(input, "the line is not complete"),
    }
}

/// HELP, TYPE or UNIT with its text, which begins with the blank after the name.
fn metadata<'a>(
    keyword: &[u8],
    name: Cow<'a, str>,
    input: &'a [u8],
    text: &'a [u8],
    open_metrics: bool,
) -> Parsed<'a, LineKind<'a>> {
    let text = match text.split_first() {
        None => text,
        Some((b' ' | b'\t', text)) => text,
        Some(_) => return problem(input, "expected a blank after the metric name"),
    };
    let (_, text) = located(input, utf8(text))?;
    let kind = match keyword {
        b"HELP" => LineKind::Help { name, text: unescape(text, open_metrics) },
        b"UNIT" => {
            let fits = text.is_empty() || name.strip_suffix(text).is_some_and(|stem| stem.ends_with('_'));
            if !fits {
                return problem(input, format!("unit {text:?} is not the end of the metric name {name:?}"));
            }
            LineKind::Unit { name, unit: Cow::Borrowed(text) }
        }
        _ => {
            let metric_type = match (text, open_metrics) {
                ("counter", _) => MetricType::Counter,
                ("gauge", _) => MetricType::Gauge,
                ("histogram", _) => MetricType::Histogram,
                ("summary", _) => MetricType::Summary,
                ("untyped", false) | ("unknown", true) => MetricType::Unknown,
                ("gaugehistogram", true) => MetricType::GaugeHistogram,
                ("info", true) => MetricType::Info,
                ("stateset", true) => MetricType::StateSet,
                _ => return problem(input, format!("{text:?} is no metric type")),
            };
            LineKind::Type { name, metric_type }
        }
    };
    Ok((input, kind))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Spacing {
    /// Blanks and tabs between tokens, line breaks in values: the text format.
    Free,
    /// No blanks: OpenMetrics.
    None,
    /// A blank after each comma, values quoted by Go, the name as a label: a dump.
    Dump,
}

fn spaces(input: &[u8], spacing: Spacing) -> Parsed<'_, ()> {
    match spacing {
        Spacing::Free | Spacing::Dump => blanks(input).map(|(rest, _)| (rest, ())),
        Spacing::None => Ok((input, ())),
    }
}

/// A metric name, labels, or both; the name may stand quoted among the labels.
fn series(input: &[u8], spacing: Spacing) -> Parsed<'_, Pairs<'_>> {
    let start = input;
    let mut pairs = Pairs::new();
    let mut rest = input;
    let mut name = None;
    if let Ok((after, found)) = metric_name(input) {
        let (_, found) = located(input, utf8(found))?;
        name = Some(Cow::Borrowed(found));
        rest = spaces(after, spacing)?.0;
    } else if input.first() != Some(&b'{') {
        return problem(input, "expected a metric name or {");
    }
    if rest.first() == Some(&b'{') {
        let (after, quoted_name) = labels(rest, spacing, &mut pairs)?;
        rest = after;
        match (name.is_some(), quoted_name) {
            (true, Some(_)) => return problem(start, "a second metric name"),
            (false, found) => name = found,
            (true, None) => {}
        }
    } else if name.is_some() {
        // A dump shows the name among the labels only; elsewhere the blank belongs to what follows.
        rest = input.get(name.as_ref().map_or(0, |name| name.len())..).unwrap_or_default();
    }
    match name {
        Some(name) => pairs.push((Cow::Borrowed(METRIC_NAME), name)),
        None if spacing == Spacing::Dump => {}
        None => return problem(start, "the sample has no metric name"),
    }
    Ok((rest, pairs))
}

/// Labels in braces; answers the quoted metric name among them.
fn labels<'a>(input: &'a [u8], spacing: Spacing, pairs: &mut Pairs<'a>) -> Parsed<'a, Option<Cow<'a, str>>> {
    let (mut rest, _) = tag("{")(input)?;
    let mut metric = None;
    loop {
        rest = spaces(rest, spacing)?.0;
        if let Some(after) = rest.strip_prefix(b"}") {
            return Ok((after, metric));
        }
        let at = rest;
        let is_quoted = rest.first() == Some(&b'"');
        let (after, name) = if is_quoted {
            let (after, raw) = quoted(rest, spacing == Spacing::Free)?;
            (after, text_value(at, raw, spacing)?.1)
        } else {
            match label_name(rest) {
                Ok((after, name)) => (after, Cow::Borrowed(located(at, utf8(name))?.1)),
                Err(_) => return problem(at, "expected a label name or }"),
            }
        };
        if name.is_empty() {
            return problem(at, "a name without a character");
        }
        rest = spaces(after, spacing)?.0;
        if is_quoted && matches!(rest.first(), Some(b',' | b'}')) {
            if metric.replace(name).is_some() {
                return problem(at, "a second metric name");
            }
        } else {
            let Some(after) = rest.strip_prefix(b"=") else {
                return problem(rest, "expected = after the label name");
            };
            rest = spaces(after, spacing)?.0;
            let at = rest;
            let (after, raw) = quoted(rest, spacing == Spacing::Free)?;
            pairs.push((name, text_value(at, raw, spacing)?.1));
            rest = spaces(after, spacing)?.0;
        }
        match rest.split_first() {
            Some((b',', after)) => rest = after,
            Some((b'}', _)) => {}
            _ => return problem(rest, "expected , or } after the label"),
        }
    }
}

fn text_value<'a>(at: &'a [u8], raw: &'a [u8], spacing: Spacing) -> Parsed<'a, Cow<'a, str>> {
    let (_, text) = located(at, utf8(raw))?;
    if spacing != Spacing::Dump {
        return Ok((at, unescape(text, true)));
    }
    match go_unquote(text) {
        Some(text) => Ok((at, text)),
        None => problem(at, "expected a text that Go quoted, in UTF-8"),
    }
}

fn open_metrics_line(input: &[u8]) -> Parsed<'_, LineKind<'_>> {
    if let Some(after) = input.strip_prefix(b"# EOF") {
        let (rest, ()) = line_end(after)?;
        return Ok((rest, LineKind::Eof));
    }
    if input.first() == Some(&b'#') {
        let keyword = alt((tag("HELP"), tag("TYPE"), tag("UNIT")));
        let Ok((input, (_, keyword, _))) = (tag::<_, _, Problem<'_>>("# "), keyword, tag(" ")).parse(input)
        else {
            return problem(input, "expected # HELP, # TYPE, # UNIT or # EOF");
        };
        let (input, name) = family_name(input)?;
        let (after, text) = take_till(|byte| byte == b'\n')(input)?;
        let kind = metadata(keyword, name, input, text, true)?.1;
        let (rest, ()) = line_break(after)?;
        return Ok((rest, kind));
    }
    let (input, labels) = series(input, Spacing::None)?;
    let (input, value) = spaced_number(input, "expected one blank and a value after the metric")?;
    let (input, timestamp) = opt_seconds(input)?;
    let mut exemplar = None;
    let mut rest = input;
    if let Some(after) = input.strip_prefix(b" # ") {
        if after.first() != Some(&b'{') {
            return problem(after, "expected { of an exemplar");
        }
        let mut pairs = Pairs::new();
        let (after, name) = self::labels(after, Spacing::None, &mut pairs)?;
        if name.is_some() {
            return problem(after, "an exemplar has no metric name");
        }
        let (after, value) =
            spaced_number(after, "expected one blank and a value after the exemplar's labels")?;
        let (after, timestamp) = opt_seconds(after)?;
        exemplar = Some(RawExemplar { labels: pairs, value, timestamp });
        rest = after;
    }
    let (rest, ()) = line_break(rest)?;
    Ok((rest, LineKind::Sample(RawSample { labels, value: Some(value), timestamp, exemplar })))
}

fn spaced_number<'a>(input: &'a [u8], expected: &'static str) -> Parsed<'a, f64> {
    let Some(at) = input.strip_prefix(b" ") else {
        return problem(input, expected);
    };
    let (rest, token) = take_till(|byte| byte == b' ' || byte == b'\n')(at)?;
    if token.is_empty() {
        return problem(at, expected);
    }
    number_token(at, token, rest)
}

/// ` 1795404652.396`, unless an exemplar or the end of the line follows.
fn opt_seconds(input: &[u8]) -> Parsed<'_, Option<Timestamp>> {
    if !input.starts_with(b" ") || input.starts_with(b" # ") {
        return Ok((input, None));
    }
    let (rest, seconds) = spaced_number(input, "expected one blank and a timestamp in seconds")?;
    if !seconds.is_finite() {
        return problem(input, "the timestamp is not finite");
    }
    match truncated_millis(seconds) {
        Some(millis) => Ok((rest, Some(Timestamp::from_millis(millis)))),
        None => problem(input, "the timestamp does not fit into 64 bits of milliseconds"),
    }
}

fn dump_line(input: &[u8]) -> Parsed<'_, LineKind<'_>> {
    let (input, _) = blanks(input)?;
    if matches!(input.first(), None | Some(b'\n')) {
        let (rest, ()) = line_end(input)?;
        return Ok((rest, LineKind::Nothing));
    }
    let (input, labels) = series(input, Spacing::Dump)?;
    let (input, _) = blanks1(input).or_else(|_: nom::Err<Problem<'_>>| problem(input, "expected a value"))?;
    if input.first() == Some(&b'{') {
        let (after, _) = take_till(|byte| byte == b'\n')(input)?;
        let (rest, ()) = line_end(after)?;
        return Ok((
            rest,
            LineKind::Sample(RawSample { labels, value: None, timestamp: None, exemplar: None }),
        ));
    }
    let (after, token) = take_till(|byte| byte == b' ' || byte == b'\n')(input)?;
    let (rest, value) = number_token(input, token, after)?;
    let (input, _) = blanks(rest)?;
    let (after, token) =
        recognize(pair(opt(tag("-")), take_while(|byte: u8| byte.is_ascii_digit()))).parse(input)?;
    let (after, timestamp) = milliseconds(input, token, after)?;
    if timestamp.is_none() {
        return problem(input, "expected a timestamp in milliseconds");
    }
    let (rest, ()) = line_end(after)?;
    Ok((rest, LineKind::Sample(RawSample { labels, value: Some(value), timestamp, exemplar: None })))
}
