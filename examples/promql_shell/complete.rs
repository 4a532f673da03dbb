//! What the word before the cursor may become.

use std::collections::BTreeSet;

use promgate::{Engine, Item, MatchOp, Matcher, SelectRequest, Snapshot, Source, Window};

/// Words of the language that are no functions.
const KEYWORDS: [&str; 14] = [
    "and",
    "atan2",
    "bool",
    "by",
    "group_left",
    "group_right",
    "ignoring",
    "offset",
    "on",
    "or",
    "start()",
    "end()",
    "unless",
    "without",
];
/// Words in front of a list of labels.
const LABEL_LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
/// More is no help.
const MOST: usize = 200;

/// What can stand at a place in a query.
#[derive(Debug, PartialEq)]
enum Place<'a> {
    /// A metric, a function or a keyword.
    Expression,
    /// A label of this metric, or of any.
    Label(Option<&'a str>),
    /// A value of a label of this metric, or of any.
    Value(Option<&'a str>, &'a str),
}

/// Where the word before the cursor begins, and what it may become, in order.
pub(crate) fn complete(
    engine: &Engine,
    source: &Snapshot,
    before: &str,
) -> promgate::Result<(usize, Vec<String>)> {
    let (start, place) = place(before);
    let word = before.get(start..).unwrap_or_default();
    let named = |metric: Option<&str>| match metric {
        Some(metric) => Matcher::new("__name__", MatchOp::Equal, metric).map(|matcher| vec![matcher]),
        None => Ok(Vec::new()),
    };
    let mut words: BTreeSet<String> = BTreeSet::new();
    match place {
        Place::Expression => {
            words.extend(engine.functions().iter().map(|name| format!("{name}(")));
            words.extend(KEYWORDS.map(str::to_owned));
            words.extend(source.label_values("__name__", &[], Window::ALL)?.iter().map(ToString::to_string));
        }
        Place::Label(metric) => {
            for item in source.select(&SelectRequest::new(&named(metric)?, Window::ALL))?.items {
                let Item::Series(series) = item else { continue };
                let names = series.labels().iter().map(|label| label.name.to_string());
                words.extend(names.filter(|name| name != "__name__"));
            }
        }
        Place::Value(metric, label) => {
            words.extend(
                source.label_values(label, &named(metric)?, Window::ALL)?.iter().map(ToString::to_string),
            );
        }
    }
    Ok((start, words.into_iter().filter(|found| found.starts_with(word)).take(MOST).collect()))
}

const fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// The word that ends a text.
fn last_word(text: &str) -> &str {
    text.rsplit(|c| !is_word(c)).next().unwrap_or_default()
}

/// Where the word at the end of the text begins, and what can stand there.
fn place(before: &str) -> (usize, Place<'_>) {
    // Brackets that are open, each with the word in front of it; and where the quoted text begins that is open.
    let mut open: Vec<(char, &str)> = Vec::new();
    let mut quoted: Option<(char, usize)> = None;
    let mut escaped = false;
    for (at, c) in before.char_indices() {
        let so_far = before.get(..at).unwrap_or_default();
        match (quoted, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some((quote, _)), '\\') if quote != '`' => escaped = true,
            (Some((quote, _)), c) if c == quote => quoted = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quoted = Some((c, at.saturating_add(1))),
            (None, '(' | '[' | '{') => open.push((c, last_word(so_far.trim_end()))),
            (None, ')' | ']' | '}') => {
                open.pop();
            }
            (None, _) => {}
        }
    }
    let (bracket, word) = open.last().copied().unwrap_or((' ', ""));
    let of = (!word.is_empty()).then_some(word);
    if let Some((_, start)) = quoted {
        let name = before.get(..start.saturating_sub(1)).unwrap_or_default().trim_end();
        let label = last_word(name.trim_end_matches(['=', '~', '!']).trim_end());
        return if bracket == '{' && !label.is_empty() {
            (start, Place::Value(of, label))
        } else {
            (start, Place::Label(None))
        };
    }
    let start = before.len().saturating_sub(last_word(before).len());
    match bracket {
        '{' => (start, Place::Label(of)),
        '(' if LABEL_LISTS.contains(&word.to_ascii_lowercase().as_str()) => (start, Place::Label(None)),
        _ => (start, Place::Expression),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use promgate::{Labels, Sample, Store, StoreOptions, Timestamp};

    fn completed(before: &str) -> (usize, Vec<String>) {
        let store = Store::in_memory(StoreOptions::new());
        let mut appender = store.appender();
        for (name, code) in [("requests_total", "200"), ("requests_total", "500"), ("up", "1")] {
            let labels = Labels::from_pairs([("__name__", name), ("code", code), ("job", "api")]);
            appender.append(&labels, Sample::float(Timestamp::from_millis(1), 1.0)).unwrap();
        }
        appender.commit().unwrap();
        complete(&Engine::new(), &store.snapshot(), before).unwrap()
    }

    #[test]
    fn what_fits_the_place_is_offered() {
        let table: [(&str, usize, &[&str]); 9] = [
            ("sum(req", 4, &["requests_total"]),
            ("sum(requests_total{co", 19, &["code"]),
            ("requests_total{", 15, &["code", "job"]),
            ("requests_total{code=\"", 21, &["200", "500"]),
            ("requests_total{job=\"api\", code=~\"5", 33, &["500"]),
            ("sum by (jo", 8, &["job"]),
            ("a * on(code) group_left(", 24, &["code", "job"]),
            ("histogram_qu", 0, &["histogram_quantile("]),
            ("requests_total{code=\"}\"} / u", 27, &["unless", "up"]),
        ];
        for (before, start, words) in table {
            let (found_start, found) = completed(before);
            assert_eq!(
                (found_start, found.iter().map(String::as_str).collect::<Vec<_>>()),
                (start, words.to_vec()),
                "{before}"
            );
        }
    }

    #[test]
    fn any_text_has_a_place() {
        for text in ["", "é", "\"é", "{é=\"\\", "a{`\\", "}}}", "sum(é)(", "💥", "((((", "a{b=\"c\\\"d"]
        {
            let (start, _) = completed(text);
            assert!(text.is_char_boundary(start), "{text}");
        }
    }
}
