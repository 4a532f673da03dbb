//! The law of the printer: what it prints reads back to the same tree and prints the same again.
//!
//! Prometheus's canonical form breaks it in a few corners, and so does ours, since it is the same form. They are listed
//! here one by one, so that the law holds for everything else.

use crate::model::number::parse_duration;

use super::ast::{BinaryOp, DurationExpr, Expr, Modifiers, NumberLiteral, VectorSelector};
use super::duration::literal_nanos;
use super::parse::{ParseOptions, parse};
use super::pretty::pretty;
use super::signature::Function;

/// Reads `text` and, if it is a query, checks the law.
///
/// # Panics
///
/// If the law does not hold.
#[expect(clippy::panic, reason = "a broken law must stop the fuzzer")]
pub(crate) fn assert_roundtrip(text: &str) {
    let options = ParseOptions::all();
    let Ok(tree) = parse(text, &options) else { return };
    let printed = tree.to_string();
    let pretty = pretty(&tree);
    if !reads_back(&tree) {
        return;
    }
    for form in [&printed, &pretty] {
        match parse(form, &options) {
            // Longer than the text it came from, a form may pass a limit that the text did not.
            Err(error) if error.kind() == crate::error::ErrorKind::Limit => {}
            Err(error) => panic!("{text:?} prints as {form:?}, which does not parse: {error}"),
            Ok(again) if again != tree => {
                panic!("{text:?} prints as {form:?}, which is another query: {again}")
            }
            Ok(again) => assert_eq!(again.to_string(), printed, "{text:?} does not print the same again"),
        }
    }
}

/// Whether the canonical form of a tree is one that reads back to it.
fn reads_back(expr: &Expr) -> bool {
    match expr {
        Expr::Number(literal) => literal_reads_back(literal),
        Expr::String(literal) => bytes_read_back(&literal.value),
        Expr::Vector(selector) => selector_reads_back(selector),
        Expr::Matrix(matrix) => selector_reads_back(&matrix.selector) && window_reads_back(&matrix.window),
        Expr::Subquery(subquery) => {
            reads_back(&subquery.expr)
                && window_reads_back(&subquery.window)
                && subquery.step.as_ref().is_none_or(window_reads_back)
                && offset_reads_back(&subquery.modifiers)
        }
        // The empty selector prints as nothing.
        Expr::Call(call) => {
            let empty = |arg: &Expr| matches!(arg, Expr::Vector(selector) if selector.matchers.is_empty());
            call.args.iter().all(reads_back)
                && (call.function != Function::Info || !call.args.iter().any(empty))
        }
        Expr::Aggregate(aggregate) => {
            labels_read_back(&aggregate.grouping)
                && aggregate.param.as_ref().is_none_or(reads_back)
                && reads_back(&aggregate.expr)
        }
        Expr::Binary(binary) => {
            // The sign that +Inf is printed with takes the power as its operand.
            let signed_base = binary.op == BinaryOp::Pow
                && matches!(&binary.lhs, Expr::Number(base) if base.value == f64::INFINITY);
            // The parenthesis of `offset +(5m) + 1` loses the plus that kept the sum out of it.
            let joined = matches!(
                binary.op,
                BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Pow
            ) && ends_with_open_offset(&binary.lhs);
            let labels = binary.matching.as_ref().is_none_or(|matching| {
                labels_read_back(&matching.labels) && labels_read_back(&matching.include)
            });
            !signed_base && !joined && labels && reads_back(&binary.lhs) && reads_back(&binary.rhs)
        }
        Expr::Unary(unary) => reads_back(&unary.expr),
        Expr::Paren(paren) => reads_back(&paren.expr),
    }
}

/// Whether the last thing of an expression is an offset that operators of durations continue.
fn ends_with_open_offset(expr: &Expr) -> bool {
    let offset = match expr {
        Expr::Vector(selector) => &selector.modifiers.offset,
        Expr::Matrix(matrix) => &matrix.selector.modifiers.offset,
        Expr::Subquery(subquery) => &subquery.modifiers.offset,
        Expr::Binary(binary) => return ends_with_open_offset(&binary.rhs),
        Expr::Unary(unary) => return ends_with_open_offset(&unary.expr),
        Expr::Number(_) | Expr::String(_) | Expr::Call(_) | Expr::Aggregate(_) | Expr::Paren(_) => {
            return false;
        }
    };
    matches!(offset, Some(DurationExpr::Paren(..) | DurationExpr::Binary { .. }))
}

fn selector_reads_back(selector: &VectorSelector) -> bool {
    offset_reads_back(&selector.modifiers)
        && selector
            .matchers
            .iter()
            .all(|matcher| bytes_read_back(matcher.name().as_bytes()) && bytes_read_back(matcher.value()))
}

/// U+FFFD prints as it is, and is refused in the text of a query.
fn bytes_read_back(bytes: &[u8]) -> bool {
    !bytes.windows(3).any(|window| window == "\u{fffd}".as_bytes())
}

fn labels_read_back(labels: &[String]) -> bool {
    labels.iter().all(|label| bytes_read_back(label.as_bytes()))
}

/// The seconds of a duration are not rounded when they are printed: 1s1ms prints as 1s.
fn literal_reads_back(literal: &NumberLiteral) -> bool {
    let printed = literal.to_string();
    !literal.is_duration
        || parse_duration(printed.trim_start_matches('-'))
            .is_ok_and(|nanos| crate::model::number::seconds_of_nanos(nanos) == literal.value.abs())
}

/// Below a millisecond a window prints as 0s, which is refused; beyond what 64 bits hold it prints as anything.
fn window_reads_back(duration: &DurationExpr) -> bool {
    match duration {
        DurationExpr::Literal(literal) => {
            !(-999_999..=999_999).contains(&literal_nanos(literal)) && literal_nanos(literal) != i64::MIN
        }
        duration => parts_read_back(duration),
    }
}

fn offset_reads_back(modifiers: &Modifiers) -> bool {
    match &modifiers.offset {
        None => true,
        // Only behind a parenthesis or two signs is an offset continued by operators, and of two signs a plus is lost.
        Some(offset @ DurationExpr::Binary { .. }) => {
            let printed = offset.to_string();
            (printed.starts_with('(') || printed.starts_with("--")) && parts_read_back(offset)
        }
        Some(DurationExpr::Unary { expr, .. }) => {
            !matches!(**expr, DurationExpr::Binary { .. }) && parts_read_back(expr)
        }
        Some(offset) => window_reads_back(offset),
    }
}

fn parts_read_back(duration: &DurationExpr) -> bool {
    match duration {
        DurationExpr::Literal(literal) => literal_reads_back(literal),
        DurationExpr::Step(_) | DurationExpr::Range(_) => true,
        DurationExpr::Unary { expr, .. } | DurationExpr::Paren(expr, _) => parts_read_back(expr),
        DurationExpr::Extreme { lhs, rhs, .. } | DurationExpr::Binary { lhs, rhs, .. } => {
            parts_read_back(lhs) && parts_read_back(rhs)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::assert_roundtrip;

    /// Words that a query is made of, with what breaks one in between.
    fn word() -> impl Strategy<Value = String> {
        const WORDS: &[&str] = &[
            "up",
            "a:b",
            "sum",
            "topk",
            "count_values",
            "rate",
            "info",
            "vector",
            "by",
            "without",
            "on",
            "ignoring",
            "group_left",
            "group_right",
            "bool",
            "offset",
            "anchored",
            "smoothed",
            "fill",
            "fill_left",
            "start",
            "end",
            "step",
            "range",
            "step()",
            "max_of",
            "min_of",
            "and",
            "or",
            "unless",
            "atan2",
            "inf",
            "nan",
            "(",
            "(",
            ")",
            ")",
            "{",
            "}",
            "[",
            "]",
            "[5m]",
            "[5m:1m]",
            "[5m:]",
            ",",
            ":",
            "@",
            "=",
            "!=",
            "=~",
            "!~",
            "==",
            ">",
            "<=",
            "</",
            ">/",
            "+",
            "-",
            "*",
            "/",
            "%",
            "^",
            "1",
            "0",
            "0.5",
            "1e3",
            "0x1f",
            "5m",
            "1h30m",
            "300",
            "0.0001",
            "1s1ms",
            "\"a\"",
            "'b'",
            "`c`",
            "\"\\xff\"",
            "\"\\ufffd\"",
            "{a=\"b\"}",
            "offset 5m",
            "@ end()",
            "# c\n",
            "(up)",
            "rate(up[5m])",
            "sum(up)",
        ];
        prop::sample::select(WORDS).prop_map(str::to_owned)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_words_are_refused_or_print_and_read_back(words in prop::collection::vec(word(), 1..12)) {
            assert_roundtrip(&words.join(" "));
        }

        #[test]
        fn any_text_is_refused_or_prints_and_reads_back(text in "\\PC{0,40}") {
            assert_roundtrip(&text);
        }

        #[test]
        fn any_expression_prints_and_reads_back(text in expression()) {
            assert_roundtrip(&text);
        }
    }

    fn expression() -> impl Strategy<Value = String> {
        const LEAVES: &[&str] = &[
            "up",
            "{a=\"b\"}",
            "up{b!~\"c.*\"}",
            "1",
            "-2",
            "5m",
            "inf",
            "up offset 5m",
            "up @ 12.5",
            "up @ start()",
            "rate(up[5m])",
            "up offset +(5m)",
            "up offset -(5m)",
            "up offset --step()",
            "up smoothed",
            "sum(up)",
        ];
        let leaf = prop::sample::select(LEAVES).prop_map(str::to_owned);
        leaf.prop_recursive(5, 40, 3, |inner| {
            let op = prop::sample::select(
                &[
                    "+",
                    "-",
                    "*",
                    "/",
                    "%",
                    "^",
                    "atan2",
                    "==",
                    "> bool",
                    "</",
                    "and",
                    "or",
                    "unless",
                    "+ on (a)",
                    "/ ignoring (a) group_left (b)",
                    "- fill (0)",
                    "* fill_left (1)",
                ][..],
            );
            let wrap = prop::sample::select(
                &[
                    ("(", ")"),
                    ("-", ""),
                    ("+", ""),
                    ("abs(", ")"),
                    ("sum by (a) (", ")"),
                    ("topk(2, ", ")"),
                    ("", "[5m:1m]"),
                    ("max_over_time((", ")[5m:step() * 2 + 1m] offset (1m))"),
                    ("(", ") without (c)"),
                ][..],
            );
            prop_oneof![
                (inner.clone(), op, inner.clone()).prop_map(|(lhs, op, rhs)| format!("{lhs} {op} {rhs}")),
                (wrap, inner).prop_map(|((before, after), inner)| format!("{before}{inner}{after}")),
            ]
        })
    }
}
