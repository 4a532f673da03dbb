//! The order of `sort_by_label`: digits by number, the rest by bytes.

use std::cmp::Ordering;

/// Whether `a` stands before `b`, run by run, where a run is a maximal stretch of digits or of other characters; two runs
/// of digits that fit an `i64` compare as numbers.
///
/// As in Prometheus this is no strict order: of texts that differ in leading zeros each stands before the other, and
/// the empty text stands neither before nor behind any.
pub(crate) fn precedes(a: &str, b: &str) -> bool {
    let (mut a, mut b) = (a, b);
    while !a.is_empty() && !b.is_empty() {
        let (run_a, rest_a) = split_run(a);
        let (run_b, rest_b) = split_run(b);
        let order = match (run_a.parse::<i64>(), run_b.parse::<i64>()) {
            (Ok(number_a), Ok(number_b)) => number_a.cmp(&number_b),
            _ => run_a.cmp(run_b),
        };
        match order {
            Ordering::Less => return true,
            Ordering::Greater => return false,
            Ordering::Equal if rest_a.is_empty() => return true,
            Ordering::Equal => (a, b) = (rest_a, rest_b),
        }
    }
    false
}

fn split_run(text: &str) -> (&str, &str) {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::precedes;

    #[test]
    fn numbers_inside_text_compare_as_numbers() {
        assert!(precedes("a2b", "a10b") && !precedes("a10b", "a2b"));
        assert!(precedes("a10", "a10b") && !precedes("a10b", "a10"));
        assert!(precedes("1", "99999999999999999999") && !precedes("99999999999999999999", "1"));
    }

    #[test]
    fn some_texts_have_no_order() {
        assert!(precedes("01x", "1x") && precedes("1x", "01x"));
        assert!(!precedes("", "a") && !precedes("a", ""));
    }
}
