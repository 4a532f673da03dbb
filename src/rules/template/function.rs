//! What templates can call: Go's own functions, and those that Prometheus adds.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::number::{parse_duration, parse_number, quote};
use crate::model::pattern::{GroupPattern, Pattern, Template};
use crate::model::{Labels, SampleValue};

use super::TEMPLATE_BYTES;
use super::execute::Execution;
use super::humanize::{humanize, humanize_1024, humanize_duration, humanize_percentage, humanize_timestamp};
use super::printf::printf;
use super::value::{TemplateSample, Value};

macro_rules! functions {
    ($($variant:ident $name:literal $least:literal => $most:expr,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Function {
            $($variant,)*
        }

        impl Function {
            fn by_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }

            pub(super) const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The least and the greatest number of arguments.
            const fn arity(self) -> (usize, usize) {
                match self {
                    $(Self::$variant => ($least, $most),)*
                }
            }
        }
    };
}

/// No bound on the number of arguments.
const MANY: usize = usize::MAX;

functions! {
    And "and" 1 => MANY,
    Or "or" 1 => MANY,
    Not "not" 1 => 1,
    Len "len" 1 => 1,
    Index "index" 1 => MANY,
    Slice "slice" 1 => 3,
    Print "print" 0 => MANY,
    Println "println" 0 => MANY,
    Printf "printf" 1 => MANY,
    Html "html" 0 => MANY,
    Urlquery "urlquery" 0 => MANY,
    Eq "eq" 2 => MANY,
    Ne "ne" 2 => 2,
    Lt "lt" 2 => 2,
    Le "le" 2 => 2,
    Gt "gt" 2 => 2,
    Ge "ge" 2 => 2,
    Query "query" 1 => 1,
    First "first" 1 => 1,
    Label "label" 2 => 2,
    SampleValueOf "value" 1 => 1,
    Strvalue "strvalue" 1 => 1,
    Args "args" 0 => MANY,
    ReReplaceAll "reReplaceAll" 3 => 3,
    SafeHtml "safeHtml" 1 => 1,
    Match "match" 2 => 2,
    Title "title" 1 => 1,
    ToUpper "toUpper" 1 => 1,
    ToLower "toLower" 1 => 1,
    GraphLink "graphLink" 1 => 1,
    TableLink "tableLink" 1 => 1,
    SortByLabel "sortByLabel" 2 => 2,
    StripPort "stripPort" 1 => 1,
    StripDomain "stripDomain" 1 => 1,
    Humanize "humanize" 1 => 1,
    Humanize1024 "humanize1024" 1 => 1,
    HumanizeDuration "humanizeDuration" 1 => 1,
    HumanizePercentage "humanizePercentage" 1 => 1,
    HumanizeTimestamp "humanizeTimestamp" 1 => 1,
    ToTime "toTime" 1 => 1,
    ToDuration "toDuration" 1 => 1,
    Now "now" 0 => 0,
    PathPrefix "pathPrefix" 0 => 0,
    ExternalUrl "externalURL" 0 => 0,
    ParseDuration "parseDuration" 1 => 1,
    UrlQueryEscape "urlQueryEscape" 1 => 1,
}

impl Function {
    pub(super) fn named(name: &str) -> Result<Self, String> {
        if matches!(name, "call" | "js" | "tmpl") {
            return Err(format!("function `{name}` is not supported in templates of rules"));
        }
        Self::by_name(name).ok_or_else(|| format!("function `{name}` not defined"))
    }

    pub(super) fn check_arguments(self, given: usize) -> Result<(), String> {
        let (least, most) = self.arity();
        if (least..=most).contains(&given) {
            return Ok(());
        }
        let wanted = match most {
            MANY => format!("at least {least}"),
            _ => least.to_string(),
        };
        Err(format!("wrong number of args for {}: want {wanted} got {given}", self.name()))
    }

    /// Calls the function. `and` and `or` are the execution's, as they do not look at all of their arguments.
    pub(super) fn call(self, arguments: &[Value], execution: &Execution<'_>) -> Result<Value, String> {
        self.check_arguments(arguments.len())?;
        let call = Call { function: self, arguments, execution };
        let value = call.run().and_then(|value| match &value {
            Value::Text(text) => check_length(text).map(|()| value),
            _ => Ok(value),
        });
        value.map_err(|error| format!("error calling {}: {error}", self.name()))
    }
}

struct Call<'a, 'e> {
    function: Function,
    arguments: &'a [Value],
    execution: &'a Execution<'e>,
}

impl Call<'_, '_> {
    fn argument(&self, index: usize) -> &Value {
        self.arguments.get(index).unwrap_or(&Value::Nil)
    }

    fn wrong_type(&self, index: usize, wanted: &str) -> String {
        format!("wrong type for value; expected {wanted}; got {}", self.argument(index).type_name())
    }

    fn text(&self, index: usize) -> Result<&Arc<str>, String> {
        match self.argument(index) {
            Value::Text(text) => Ok(text),
            _ => Err(self.wrong_type(index, "string")),
        }
    }

    fn vector(&self, index: usize) -> Result<&Arc<[Arc<TemplateSample>]>, String> {
        match self.argument(index) {
            Value::Vector(samples) => Ok(samples),
            _ => Err(self.wrong_type(index, "template.queryResult")),
        }
    }

    fn sample(&self, index: usize) -> Result<&TemplateSample, String> {
        match self.argument(index) {
            Value::Sample(sample) => Ok(sample),
            _ => Err(self.wrong_type(index, "*template.sample")),
        }
    }

    /// The first argument as Prometheus's `ConvertToFloat` takes it.
    fn float(&self) -> Result<f64, String> {
        match self.argument(0) {
            Value::Float(value) => Ok(*value),
            Value::Int(value) => Ok(*value as f64),
            Value::Text(text) => parse_float(text),
            other => Err(format!("can't convert {} to float", other.type_name())),
        }
    }

    fn run(&self) -> Result<Value, String> {
        let argument = self.argument(0);
        Ok(match self.function {
            // Never called: see `Function::call`.
            Function::And | Function::Or => argument.clone(),
            Function::Not => Value::Bool(!argument.is_true()),
            Function::Len => Value::Int(self.len()?),
            Function::Index => self.index()?,
            Function::Slice => self.slice()?,
            Function::Print => Value::text(print(self.arguments)?),
            Function::Println => {
                let mut out = String::new();
                for (index, value) in self.arguments.iter().enumerate() {
                    out.push_str(if index > 0 { " " } else { "" });
                    out.push_str(&value.print_in_function()?);
                    check_length(&out)?;
                }
                Value::text(out + "\n")
            }
            Function::Printf => {
                Value::text(printf(self.text(0)?, self.arguments.get(1..).unwrap_or(&[]), TEMPLATE_BYTES)?)
            }
            Function::Html => Value::text(escape_html(&self.joined()?)),
            Function::Urlquery => Value::text(escape_query(&self.joined()?)),
            Function::Eq => {
                let others = self.arguments.iter().skip(1);
                let mut equal = false;
                for other in others {
                    equal = equal || argument.equals(other)?;
                }
                Value::Bool(equal)
            }
            Function::Ne => Value::Bool(!argument.equals(self.argument(1))?),
            Function::Lt => Value::Bool(argument.order(self.argument(1))? == Some(Ordering::Less)),
            Function::Le => Value::Bool(argument.order(self.argument(1))?.is_some_and(Ordering::is_le)),
            Function::Gt => Value::Bool(argument.order(self.argument(1))? == Some(Ordering::Greater)),
            Function::Ge => Value::Bool(argument.order(self.argument(1))?.is_some_and(Ordering::is_ge)),
            Function::Query => Value::Vector(self.execution.query(self.text(0)?)?),
            Function::First => match self.vector(0)?.first() {
                Some(sample) => Value::Sample(sample.clone()),
                None => return Err("first() called on vector with no elements".to_owned()),
            },
            Function::Label => Value::Labels(self.sample(1)?.labels.clone()).field(self.text(0)?)?,
            Function::SampleValueOf => Value::of_sample(&self.sample(0)?.value),
            Function::Strvalue => Value::Labels(self.sample(0)?.labels.clone()).field("__value__")?,
            Function::Args => {
                // Else values could grow as deep and as wide as a loop turns.
                if self.arguments.iter().any(|argument| matches!(argument, Value::Arguments(_))) {
                    return Err("args of args are not supported in templates of rules".to_owned());
                }
                let named = self.arguments.iter().enumerate();
                let named = named.map(|(index, value)| (format!("arg{index}"), value.clone()));
                Value::Arguments(Arc::new(named.collect()))
            }
            Function::ReReplaceAll => {
                let pattern = GroupPattern::anywhere(self.text(0)?.as_bytes()).map_err(|e| e.to_string())?;
                let template = Template::parse(self.text(1)?);
                let replaced = pattern.replace_all(self.text(2)?, &template, TEMPLATE_BYTES);
                Value::text(replaced.ok_or_else(|| {
                    format!("the text is longer than {TEMPLATE_BYTES} bytes (template_bytes)")
                })?)
            }
            Function::SafeHtml => Value::Text(self.text(0)?.clone()),
            Function::Match => {
                let pattern = Pattern::anywhere(self.text(0)?.as_bytes()).map_err(|e| e.to_string())?;
                Value::Bool(pattern.matches(self.text(1)?))
            }
            Function::Title => Value::text(title(self.text(0)?)),
            Function::ToUpper => Value::text(by_char(self.text(0)?, char::to_uppercase)),
            Function::ToLower => Value::text(by_char(self.text(0)?, char::to_lowercase)),
            Function::GraphLink => {
                Value::text(format!("/graph?g0.expr={}&g0.tab=0", escape_query(self.text(0)?)))
            }
            Function::TableLink => {
                Value::text(format!("/graph?g0.expr={}&g0.tab=1", escape_query(self.text(0)?)))
            }
            Function::SortByLabel => {
                let name = self.text(0)?;
                let mut samples = self.vector(1)?.to_vec();
                samples
                    .sort_by(|a, b| a.labels.get(name).unwrap_or("").cmp(b.labels.get(name).unwrap_or("")));
                Value::Vector(samples.into())
            }
            Function::StripPort => Value::text(match split_host_port(self.text(0)?) {
                Some((host, _)) => host,
                None => self.text(0)?,
            }),
            Function::StripDomain => Value::text(strip_domain(self.text(0)?)),
            Function::Humanize => Value::text(humanize(self.float()?)),
            Function::Humanize1024 => Value::text(humanize_1024(self.float()?)),
            Function::HumanizeDuration => Value::text(humanize_duration(self.float()?)),
            Function::HumanizePercentage => Value::text(humanize_percentage(self.float()?)),
            Function::HumanizeTimestamp => Value::text(humanize_timestamp(self.float()?)?),
            Function::ToTime => match self.float()? {
                seconds if seconds.is_finite() => Value::Time(super::humanize::time_millis(seconds)?),
                _ => return Err("value is NaN or Inf".to_owned()),
            },
            Function::ToDuration => {
                Value::Duration(crate::model::number::truncate_to_i64(self.float()? * 1e9))
            }
            Function::Now => Value::Float(self.execution.now_seconds()),
            Function::PathPrefix => Value::text(url_path(self.execution.external_url())),
            Function::ExternalUrl => Value::text(self.execution.external_url()),
            Function::ParseDuration => {
                let text = self.text(0)?;
                let (negative, text) = match text.strip_prefix('-') {
                    Some(rest) => (true, rest),
                    None => (false, &**text),
                };
                let nanos = parse_duration(text)?;
                let seconds = nanos as f64 / 1e9;
                Value::Float(if negative { -seconds } else { seconds })
            }
            Function::UrlQueryEscape => Value::text(escape_query(self.text(0)?)),
        })
    }

    /// What `html` and `urlquery` escape: a single value as an action prints it.
    fn joined(&self) -> Result<String, String> {
        match self.arguments {
            [one] => one.print(),
            more => print(more),
        }
    }

    fn len(&self) -> Result<i64, String> {
        let len = match self.argument(0) {
            Value::Text(text) => text.len(),
            Value::Labels(labels) => labels.len(),
            Value::Arguments(arguments) => arguments.len(),
            Value::Vector(samples) => samples.len(),
            other => return Err(format!("len of type {}", other.type_name())),
        };
        Ok(i64::try_from(len).unwrap_or(i64::MAX))
    }

    fn index(&self) -> Result<Value, String> {
        let mut value = self.argument(0).clone();
        for index in self.arguments.iter().skip(1) {
            value = match (&value, index) {
                (Value::Labels(_) | Value::Arguments(_), Value::Text(name)) => value.field(name)?,
                (Value::Vector(samples), Value::Int(at)) => {
                    let sample = usize::try_from(*at).ok().and_then(|at| samples.get(at));
                    Value::Sample(sample.ok_or_else(|| format!("index out of range: {at}"))?.clone())
                }
                (Value::Text(text), Value::Int(at)) => {
                    let byte = usize::try_from(*at).ok().and_then(|at| text.as_bytes().get(at));
                    Value::Int(i64::from(*byte.ok_or_else(|| format!("index out of range: {at}"))?))
                }
                (value, index) => {
                    return Err(format!(
                        "can't index item of type {} with {}",
                        value.type_name(),
                        index.type_name()
                    ));
                }
            };
        }
        Ok(value)
    }

    fn slice(&self) -> Result<Value, String> {
        let bound = |index: usize, default: usize| match self.arguments.get(index) {
            None => Ok(default),
            Some(Value::Int(at)) => usize::try_from(*at).map_err(|_| format!("index out of range: {at}")),
            Some(other) => Err(format!("cannot index slice with type {}", other.type_name())),
        };
        let range = |len: usize| {
            let (start, end) = (bound(1, 0)?, bound(2, len)?);
            if start > end || end > len {
                return Err(format!("index out of range: {start}:{end}"));
            }
            Ok(start..end)
        };
        match self.argument(0) {
            Value::Text(text) => {
                let part = text.as_bytes().get(range(text.len())?).unwrap_or(&[]);
                Ok(Value::text(String::from_utf8_lossy(part)))
            }
            Value::Vector(samples) => {
                Ok(Value::Vector(samples.get(range(samples.len())?).unwrap_or(&[]).into()))
            }
            other => Err(format!("can't slice item of type {}", other.type_name())),
        }
    }
}

/// Go's `strconv.ParseFloat`; unlike in PromQL a leading zero means nothing, and there are no other bases.
fn parse_float(text: &str) -> Result<f64, String> {
    if text.contains(['_', 'x', 'X']) {
        return Err(format!("strconv.ParseFloat: parsing {}: invalid syntax", quote(text.as_bytes())));
    }
    let digits = text.trim_start_matches(['+', '-']);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.is_empty() {
        return text.parse().map_err(|_| format!("{text:?} is no number"));
    }
    parse_number(text)
}

/// Whether a template may hold a text so long.
pub(super) fn check_length(text: &str) -> Result<(), String> {
    if text.len() > TEMPLATE_BYTES {
        return Err(format!("the text is longer than {TEMPLATE_BYTES} bytes (template_bytes)"));
    }
    Ok(())
}

/// `fmt.Sprint`: a blank between two of which neither is a string.
fn print(arguments: &[Value]) -> Result<String, String> {
    let mut out = String::new();
    let mut after_text = true;
    for value in arguments {
        let is_text = matches!(value, Value::Text(_));
        if !after_text && !is_text {
            out.push(' ');
        }
        out.push_str(&value.print_in_function()?);
        check_length(&out)?;
        after_text = is_text;
    }
    Ok(out)
}

/// `template.HTMLEscapeString`
fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

/// `url.QueryEscape`
fn escape_query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            byte if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The path of a URL.
fn url_path(url: &str) -> &str {
    let behind_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = behind_scheme.find('/').and_then(|at| behind_scheme.get(at..)).unwrap_or("");
    path.split(['?', '#']).next().unwrap_or("")
}

/// Go's `net.SplitHostPort`.
fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let (before, port) = text.rsplit_once(':')?;
    let host = match before.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').filter(|host| !host.contains(['[', ']']))?,
        None if before.contains([':', '[', ']']) => return None,
        None => before,
    };
    (!port.contains(['[', ']'])).then_some((host, port))
}

/// The first label of a host name; addresses stay.
fn strip_domain(text: &str) -> String {
    let (host, port) = split_host_port(text).unwrap_or((text, ""));
    if host.parse::<IpAddr>().is_ok() {
        return text.to_owned();
    }
    let name = host.split('.').next().unwrap_or("");
    match port {
        "" => name.to_owned(),
        port if name.contains(':') => format!("[{name}]:{port}"),
        port => format!("{name}:{port}"),
    }
}

/// Every character that has another case by itself, as Go's `strings.ToUpper` sees them: there is none for `ß`.
fn by_char<C: ExactSizeIterator<Item = char>>(text: &str, case: impl Fn(char) -> C) -> String {
    let one = |c: char| {
        let mut changed = case(c);
        match (changed.len(), changed.next()) {
            (1, Some(changed)) => changed,
            _ => c,
        }
    };
    text.chars().map(one).collect()
}

/// The first letter of every word in upper case.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphabetic() && !inside {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        let joins = matches!(c, '\'' | '.' | ':' | '\u{2019}' | '\u{b7}');
        let goes_on = inside && joins && chars.peek().is_some_and(|next| next.is_alphabetic());
        // A digit begins no word, and ends none.
        inside = c.is_alphabetic() || c == '_' || goes_on || (inside && c.is_numeric());
    }
    out
}

/// A vector for templates.
pub(super) fn vector(samples: impl Iterator<Item = (Labels, SampleValue)>) -> Arc<[Arc<TemplateSample>]> {
    samples.map(|(labels, value)| Arc::new(TemplateSample { labels, value })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_lose_their_port_and_their_domain() {
        assert_eq!(split_host_port("a.b:80"), Some(("a.b", "80")));
        assert_eq!(split_host_port("[::1]:80"), Some(("::1", "80")));
        for text in ["a", "::1", "[::1]", "a:b:c"] {
            assert_eq!(split_host_port(text), None, "{text}");
        }
        assert_eq!(strip_domain("foo.bar.com:9100"), "foo:9100");
        assert_eq!(strip_domain("10.0.0.1:9100"), "10.0.0.1:9100");
        assert_eq!(strip_domain("foo.bar"), "foo");
    }

    #[test]
    fn words_begin_with_capitals_and_queries_are_escaped() {
        assert_eq!(title("aa bB don't x.y 3rd a_b"), "Aa BB Don't X.y 3Rd A_b");
        assert_eq!(escape_query("a b{c=\"ä\"}"), "a+b%7Bc%3D%22%C3%A4%22%7D");
        assert_eq!(url_path("http://h:80/a/b?c#d"), "/a/b");
        assert_eq!(url_path("http://h"), "");
    }
}
