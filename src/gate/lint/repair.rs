//! Likely repairs of queries that do not parse.

/// What was probably meant, by Prometheus's sentence.
pub(super) fn repair(query: &str, sentence: &str) -> Option<String> {
    let told = |part: &str| sentence.contains(part);
    if told("ranges only allowed for vector selectors") {
        let repair = if query.trim_start().starts_with("rate(sum") || query.contains("rate(sum(") {
            "sum(rate(x[5m])): the range belongs to the series, and rate comes before sum; for a rate of sums write a \
             subquery, rate(sum(x)[5m:])"
        } else {
            "the range belongs inside the function, behind the selector: rate(x[5m])"
        };
        return Some(repair.to_owned());
    }
    if told("expected type range vector") {
        return Some("give the selector a range: rate(x[5m])".to_owned());
    }
    if told("unclosed left parenthesis") {
        return Some(format!(
            "a ) is missing; {} are opened and {} closed",
            count(query, '('),
            count(query, ')')
        ));
    }
    if told("unexpected right parenthesis") {
        return Some("there is a ) too many".to_owned());
    }
    if told("inside braces: ')'") {
        return Some("close the matchers with } first".to_owned());
    }
    if told("unclosed left bracket") || told("unexpected character inside brackets") {
        return Some("close the range with ]".to_owned());
    }
    None
}

/// How often a character stands outside quotes.
fn count(text: &str, wanted: char) -> usize {
    let mut quote = None;
    let mut escaped = false;
    let mut found = 0_usize;
    for c in text.chars() {
        match quote {
            _ if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None if c == wanted => found = found.saturating_add(1),
            None => {}
        }
    }
    found
}
