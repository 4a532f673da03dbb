//! The language of Prometheus's test scripts: text to commands.

use promgate::Labels;
use promgate::fuzzing::{series_metric, string_value};

use crate::sequence::{Item, start_offsets, values};

/// One command of a script, with the line it starts at.
#[derive(Debug)]
pub(crate) enum Command {
    Clear,
    /// With `as_native`, classic histograms among the series become native ones, too.
    Load {
        step_ms: i64,
        series: Vec<LoadedSeries>,
        as_native: bool,
    },
    Eval(Box<Eval>),
}

/// A series line of a load: values by position, and start times as offsets to them.
#[derive(Debug)]
pub(crate) struct LoadedSeries {
    pub(crate) labels: Labels,
    pub(crate) values: Vec<Option<Item>>,
    /// Milliseconds relative to the sample; `None` where unknown.
    pub(crate) starts: Vec<Option<i64>>,
}

#[derive(Debug)]
pub(crate) struct Eval {
    pub(crate) line: usize,
    pub(crate) query: String,
    pub(crate) at: When,
    pub(crate) ordered: bool,
    pub(crate) fail: Option<Text>,
    pub(crate) warn: Vec<Text>,
    pub(crate) info: Vec<Text>,
    pub(crate) no_warn: bool,
    pub(crate) no_info: bool,
    pub(crate) string: Option<String>,
    /// Start, end and step of the matrix that an instant query is to yield.
    pub(crate) range_vector: Option<(i64, i64, i64)>,
    pub(crate) scalar: Option<f64>,
    pub(crate) series: Vec<(Labels, Vec<Option<Item>>)>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    Instant(i64),
    Range { start: i64, end: i64, step: i64 },
}

/// What an error or annotation has to say.
#[derive(Debug)]
pub(crate) enum Text {
    Any,
    Message(String),
    Pattern(String),
}

type Parsed<T> = Result<T, String>;

/// The commands of a script.
pub(crate) fn parse(text: &str) -> Parsed<Vec<Command>> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    commands(&lines)
}

fn is_blank(line: &str) -> bool {
    line.is_empty() || line.starts_with('#')
}

fn commands(lines: &[&str]) -> Parsed<Vec<Command>> {
    let mut commands = vec![Command::Clear];
    let mut index = 0;
    while index < lines.len() {
        let line = lines[index];
        let number = index + 1;
        index += 1;
        if is_blank(line) {
            continue;
        }
        let end = (index..lines.len()).find(|i| is_blank(lines[*i])).unwrap_or(lines.len());
        let block = &lines[index..end];
        index = end;
        let word = line.split_whitespace().next().unwrap_or("").to_ascii_lowercase();
        let command = if word == "clear" {
            // What follows in the same block is a command of its own.
            index = number;
            Ok(Command::Clear)
        } else if word == "load" || word == "load_with_nhcb" {
            load(line, block)
        } else if word.starts_with("eval") {
            eval(&word, line, block, number)
        } else {
            Err(format!("unknown command {word:?}"))
        };
        commands.push(command.map_err(|error| format!("line {number}: {error}"))?);
    }
    Ok(commands)
}

fn load(line: &str, block: &[&str]) -> Parsed<Command> {
    let step_ms = duration(line.split_whitespace().nth(1).ok_or("load without step")?)?;
    let as_native = line.starts_with("load_with_nhcb");
    let mut series: Vec<LoadedSeries> = Vec::new();
    let mut starts = Vec::new();
    for line in block {
        let (labels, rest) = metric(line)?;
        if let Some(items) = rest.strip_prefix("@st") {
            starts = start_offsets(items)?;
            continue;
        }
        let values = values(rest)?;
        let starts = std::mem::take(&mut starts);
        let loaded = LoadedSeries { labels, values, starts };
        match series.iter_mut().find(|other| other.labels == loaded.labels) {
            Some(other) => *other = loaded,
            None => series.push(loaded),
        }
    }
    Ok(Command::Load { step_ms, series, as_native })
}

fn eval(word: &str, line: &str, block: &[&str], number: usize) -> Parsed<Command> {
    let rest = line[word.len()..].trim_start();
    let mut eval = Eval {
        line: number,
        query: String::new(),
        at: When::Instant(0),
        ordered: word == "eval_ordered",
        fail: (word == "eval_fail").then_some(Text::Any),
        warn: if word == "eval_warn" { vec![Text::Any] } else { Vec::new() },
        info: if word == "eval_info" { vec![Text::Any] } else { Vec::new() },
        no_warn: false,
        no_info: false,
        string: None,
        range_vector: None,
        scalar: None,
        series: Vec::new(),
    };
    let mut words = Words(rest);
    match words.next() {
        "instant" => {
            words.keyword("at")?;
            eval.at = When::Instant(duration(words.next())?);
        }
        "range" => {
            words.keyword("from")?;
            let start = duration(words.next())?;
            words.keyword("to")?;
            let end = duration(words.next())?;
            words.keyword("step")?;
            eval.at = When::Range { start, end, step: duration(words.next())? };
        }
        other => return Err(format!("eval of kind {other:?}")),
    }
    eval.query = words.0.trim().to_owned();

    for line in block {
        if let Some(text) = line.strip_prefix("expect ") {
            expect(&mut eval, text.trim())?;
        } else if let Some(text) = line.strip_prefix("expected_fail_message") {
            eval.fail = Some(Text::Message(text.trim().to_owned()));
        } else if let Some(text) = line.strip_prefix("expected_fail_regexp") {
            eval.fail = Some(Text::Pattern(text.trim().to_owned()));
        } else if let Ok([Some(Item::Float(value))]) = values(line).as_deref() {
            eval.scalar = Some(*value);
        } else {
            let (labels, rest) = metric(line)?;
            eval.series.push((labels, values(rest)?));
        }
    }
    Ok(Command::Eval(Box::new(eval)))
}

fn expect(eval: &mut Eval, text: &str) -> Parsed<()> {
    let mut words = Words(text);
    let said = |rest: &str| {
        let rest = rest.trim();
        if let Some(message) = rest.strip_prefix("msg:") {
            Text::Message(message.trim().to_owned())
        } else if let Some(pattern) = rest.strip_prefix("regex:") {
            Text::Pattern(pattern.trim().to_owned())
        } else {
            Text::Any
        }
    };
    match words.next() {
        "ordered" => eval.ordered = true,
        "fail" => eval.fail = Some(said(words.0)),
        "warn" => eval.warn.push(said(words.0)),
        "info" => eval.info.push(said(words.0)),
        "no_warn" => eval.no_warn = true,
        "no_info" => eval.no_info = true,
        "string" => {
            eval.string = Some(string_value(words.0.trim())?);
        }
        "range" => {
            words.keyword("vector")?;
            words.keyword("from")?;
            let start = duration(words.next())?;
            words.keyword("to")?;
            let end = duration(words.next())?;
            words.keyword("step")?;
            eval.range_vector = Some((start, end, duration(words.next())?));
        }
        other => return Err(format!("expect {other:?}")),
    }
    Ok(())
}

/// A text that is read word by word.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    fn next(&mut self) -> &'a str {
        let text = self.0.trim_start();
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        self.0 = &text[end..];
        &text[..end]
    }

    fn keyword(&mut self, wanted: &str) -> Parsed<()> {
        let word = self.next();
        if word == wanted { Ok(()) } else { Err(format!("{word:?} instead of {wanted:?}")) }
    }
}

/// Milliseconds of `1h30m`, `0`, `-5s`, `500ms`.
pub(crate) fn duration(text: &str) -> Parsed<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let wrong = || format!("{text:?} is no duration");
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let count: i64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..unit_end] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            "y" => 365 * 86_400_000,
            _ => return Err(wrong()),
        };
        rest = &rest[unit_end..];
        total += count * unit;
    }
    Ok(if negative { -total } else { total })
}

fn metric(line: &str) -> Parsed<(Labels, &str)> {
    let (labels, rest) = series_metric(line).map_err(|error| error.to_string())?;
    Ok((labels, rest.trim_start()))
}
