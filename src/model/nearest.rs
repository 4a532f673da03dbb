//! Names and values that are near a wanted one.

use std::cmp::Reverse;
use std::collections::BTreeSet;

/// At most this many suggestions.
const SUGGESTIONS: usize = 3;
/// Longer texts are compared by their first characters only.
const COMPARED: usize = 128;

/// Metric or label names near `wanted`: equal apart from unit suffixes or the first word, then by edit distance,
/// then by words in common.
pub(crate) fn names<S: AsRef<str>>(wanted: &str, candidates: &[S]) -> Vec<String> {
    let core = core(wanted);
    let words: BTreeSet<&str> = wanted.split('_').filter(|word| word.len() > 2).collect();
    let near = (wanted.chars().count() / 4).max(2);
    let mut ranked: Vec<_> = candidates
        .iter()
        .map(AsRef::as_ref)
        .filter(|name| *name != wanted)
        .filter_map(|name| {
            let candidate = self::core(name);
            if candidate == core || without_first_word(candidate) == without_first_word(core) {
                return Some(((0, distance(wanted, name)), name));
            }
            let distance = distance(wanted, name);
            if distance <= near {
                return Some(((1, distance), name));
            }
            let common = name.split('_').filter(|word| words.contains(word)).count();
            let enough = common >= 2 || (common == 1 && words.len() <= 2);
            enough.then(|| {
                (
                    (2_usize.saturating_add(SUGGESTIONS.saturating_sub(common.min(SUGGESTIONS))), distance),
                    name,
                )
            })
        })
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().take(SUGGESTIONS).map(|(_, name)| name.to_string()).collect()
}

/// Values near `wanted`: those that contain it or that it contains, then by edit distance.
pub(crate) fn values<S: AsRef<str>>(wanted: &str, candidates: &[S]) -> Vec<String> {
    let mut ranked: Vec<_> = candidates
        .iter()
        .map(AsRef::as_ref)
        .map(|value| {
            let related = value.contains(wanted) || wanted.contains(value);
            ((Reverse(related), distance(wanted, value)), value)
        })
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().take(SUGGESTIONS).map(|(_, value)| value.to_string()).collect()
}

fn core(name: &str) -> &str {
    let mut name = name;
    for suffix in ["_total", "_count", "_sum", "_bucket"] {
        name = name.strip_suffix(suffix).unwrap_or(name);
    }
    for suffix in ["_seconds", "_milliseconds", "_ms", "_bytes"] {
        name = name.strip_suffix(suffix).unwrap_or(name);
    }
    name
}

fn without_first_word(name: &str) -> &str {
    name.split_once('_').map_or(name, |(_, rest)| rest)
}

/// The Damerau-Levenshtein distance in its restricted form: insertions, deletions, replacements, swapped neighbours.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(COMPARED).collect();
    let b: Vec<char> = b.chars().take(COMPARED).collect();
    let width = b.len().saturating_add(1);
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..width).collect();
    for (row, left) in a.iter().enumerate() {
        let mut current = Vec::with_capacity(width);
        current.push(row.saturating_add(1));
        for (column, right) in b.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX);
            let replaced = at(&last, column).saturating_add(usize::from(left != right));
            let removed = at(&last, column.saturating_add(1)).saturating_add(1);
            let inserted = at(&current, column).saturating_add(1);
            let mut best = replaced.min(removed).min(inserted);
            if let (Some(up), Some(back)) = (row.checked_sub(1), column.checked_sub(1))
                && a.get(up) == Some(right)
                && b.get(back) == Some(left)
            {
                best = best.min(at(&before_last, back).saturating_add(1));
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits_and_swaps() {
        for (a, b, wanted) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
            ("ab", "ba", 1),
            ("a", "a", 0),
        ] {
            assert_eq!(distance(a, b), wanted, "{a} {b}");
        }
    }

    #[test]
    fn names_that_differ_in_suffix_or_spelling_come_first() {
        let known = ["http_requests_total", "http_request_size_bytes", "up", "grpc_requests_total"];
        assert_eq!(
            names("http_requests_count", &known).first().map(String::as_str),
            Some("http_requests_total")
        );
        assert_eq!(
            names("http_reqeusts_total", &known).first().map(String::as_str),
            Some("http_requests_total")
        );
        assert!(names("entirely_different", &known).is_empty());
        let spans = ["traces_span_metrics_calls_total", "go_goroutines"];
        assert_eq!(
            names("traces_span_metrics_duration_milliseconds_bucket", &spans),
            ["traces_span_metrics_calls_total"]
        );
    }

    #[test]
    fn values_are_ranked_by_distance() {
        assert_eq!(values("/dispatch", &["/metrics", "/dispach", "/"]), ["/", "/dispach", "/metrics"]);
    }
}
