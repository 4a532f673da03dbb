use super::*;
use crate::promql::ast::{AggregateOp, BinaryOp};
use crate::promql::pretty::pretty;
use crate::promql::text_range::TextRange;

fn read(text: &str) -> Expr {
    parse(text, &ParseOptions::all()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn fault(text: &str) -> String {
    match parse(text, &ParseOptions::all()) {
        Ok(expr) => panic!("{text} parses as {expr}"),
        Err(error) => error.to_string(),
    }
}

/// Texts and their canonical forms; `""` where the text is canonical.
const CANONICAL: &[(&str, &str)] = &[
    ("1 + 2 * 3 ^ 2", ""),
    ("-1 ^ 2", ""),
    ("2 ^ -1 * 3", ""),
    ("- 5", "-5"),
    ("+5", "5"),
    ("- - up", "--up"),
    ("0x1F + 0755 + 08 + 1_000 + 1e3 + .5", "31 + 493 + 8 + 1000 + 1000 + 0.5"),
    ("inf - NaN", "+Inf - NaN"),
    ("90m > bool 1d", "1h30m > bool 1d"),
    ("'it''s'", "error"),
    (r#"'say "hi"\x41\377\u00e9'"#, r#""say \"hi\"A\xffé""#),
    ("`raw\\n`", r#""raw\\n""#),
    ("Up { job = 'a' , b!~`c.*`, }", r#"Up{b!~"c.*",job="a"}"#),
    (r#"{"request rate", "x y"="1"}"#, r#"{"x y"="1",__name__="request rate"}"#),
    ("jobs:up:sum{}", "jobs:up:sum"),
    ("up[300] offset 0", "up[5m]"),
    ("up[5m] offset -90 @ 12.3456", "up[5m] @ 12.346 offset -1m30s"),
    ("up offset 1w @ end()", "up @ end() offset 1w"),
    ("up anchored [5m]", "up[5m] anchored"),
    ("up[5m] smoothed @ start() offset 1m", ""),
    ("(up + 1)[30m:1m] @ 5 offset 2m", "(up + 1)[30m:1m] @ 5.000 offset 2m"),
    ("up[1h:]", ""),
    ("up[ STEP() * 2 + max_of(1m, range()) ]", "up[step() * 2 + max_of(1m, range())]"),
    ("up[-(-5m)]", "up[-(-5m)]"),
    ("up offset -2 ^ 2", "up offset -2s ^ 2"),
    ("up offset (5m) + 10", "up offset (5m) + 10"),
    ("up offset -(5m) + 10", "up offset -(5m) + 10"),
    ("up offset --5m + 10", "up offset 5m + 10"),
    ("SUM(up) BY (job,)", "sum by (job) (up)"),
    ("sum by () (up)", "sum(up)"),
    ("sum without () (up)", ""),
    (r#"count_values("v", up)"#, ""),
    ("topk by (on, \"a b\") (3, up)", "topk by (on, \"a b\") (3, up)"),
    ("a == bool on (x) group_left b", "a == bool on (x) group_left () b"),
    ("a + ignoring () b", "a + b"),
    ("a + on () b", ""),
    ("a + on() 1", "a + 1"),
    ("a / fill(0) b", "a / fill (0) b"),
    ("a / fill_right(-1) fill_left(1e6) b", "a / fill_left (1e+06) fill_right (-1) b"),
    ("and and or", ""),
    ("sum + offset offset 5m", ""),
    ("fill + fill_left{a=\"b\"}", ""),
    ("histogram </ 5 >/ 2", ""),
    ("up # all of them\n + 1", "up + 1"),
    ("info(up, {job=\"a\"})", ""),
    ("label_join(up, \"a\", \",\")", ""),
];

#[test]
fn queries_print_in_canonical_form() {
    for (text, canonical) in CANONICAL {
        match *canonical {
            "error" => drop(fault(text)),
            "" => assert_eq!(read(text).to_string(), *text),
            canonical => assert_eq!(read(text).to_string(), canonical, "{text}"),
        }
    }
}

#[test]
fn what_is_printed_reads_back_to_the_same_tree() {
    for (text, _) in CANONICAL {
        crate::promql::roundtrip::assert_roundtrip(text);
    }
}

#[test]
fn mistakes_are_worded_and_placed_as_in_prometheus() {
    let rows = [
        ("", "unknown position: parse error: no expression found in input"),
        (" # nothing", "1:1: parse error: no expression found in input"),
        ("a b", "1:3: parse error: unexpected identifier \"b\""),
        ("a\n  + * b", "2:5: parse error: unexpected <op:*>"),
        ("a +", "1:4: parse error: unexpected end of input"),
        ("a =~ b", "1:3: parse error: unexpected character after '=': '~'"),
        ("a ! b", "1:3: parse error: unexpected character after '!': ' '"),
        ("(a", "1:3: parse error: unclosed left parenthesis"),
        ("a)", "1:3: parse error: unexpected right parenthesis ')'"),
        ("a$", "1:2: parse error: unexpected character: '$'"),
        ("sum(a b)", "1:7: parse error: unexpected identifier \"b\" in aggregation"),
        ("sum by a (b)", "1:8: parse error: unexpected identifier \"a\" in grouping opts, expected \"(\""),
        ("sum by (5) (b)", "1:9: parse error: unexpected number \"5\" in grouping opts, expected label"),
        (
            "sum by (a b) (c)",
            "1:11: parse error: unexpected identifier \"b\" in grouping opts, expected \",\" or \")\"",
        ),
        ("a{5=\"x\"}", "1:3: parse error: unexpected character inside braces: '5'"),
        ("a{b}", "1:4: parse error: unexpected \"}\" in label matching, expected label matching operator"),
        ("a{b=c}", "1:5: parse error: unexpected identifier \"c\" in label matching, expected string"),
        (
            "a{b=\"c\" d}",
            "1:9: parse error: unexpected identifier \"d\" in label matching, expected \",\" or \"}\"",
        ),
        ("a{,}", "1:3: parse error: unexpected \",\" in label matching, expected identifier or \"}\""),
        ("a{b=\"c\"", "1:8: parse error: unexpected end of input inside braces"),
        (
            "a offset b",
            "1:10: parse error: unexpected identifier \"b\" in offset, expected number, duration, step(), or range()",
        ),
        ("a @ b", "1:5: parse error: unexpected identifier \"b\" in @, expected timestamp"),
        (
            "a[]",
            "1:3: parse error: unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()",
        ),
        (
            "a[5m 5m]",
            "1:6: parse error: unexpected duration \"5m\" in subquery or range, expected \":\" or \"]\"",
        ),
        (
            "a[5m:*]",
            "1:6: parse error: unexpected <op:*> in subquery selector, expected number, duration, step(), range(), or \"]\"",
        ),
        ("a[5m:5m 5m]", "1:9: parse error: unexpected duration \"5m\" in subquery selector, expected \"]\""),
        ("a[step():5s]", "1:10: parse error: unexpected colon before duration in duration expression"),
        ("a[0]", "1:3: parse error: duration must be greater than 0"),
        ("a[5m / 0]", "1:6: parse error: division by zero"),
        ("a offset 1e10", "1:10: parse error: duration out of range"),
        ("a offset -1e10", "1:10: parse error: duration out of range"),
        ("\"a", "1:1: parse error: unterminated quoted string"),
        ("\"\\c\"", "1:1: parse error: unknown escape sequence U+0063 'c'"),
        ("5m1h", "1:1: parse error: not a valid duration string: \"5m1h\""),
        ("1.5h", "1:1: parse error: unknown unit \".\" in duration \"1.5h\""),
        ("12foo", "1:1: parse error: bad number or duration syntax: \"12\""),
        (
            "1e400",
            "1:1: parse error: error parsing number: strconv.ParseFloat: parsing \"1e400\": value out of range",
        ),
        ("RATE(a[5m])", "1:1: parse error: unknown function with name \"RATE\""),
        (
            "rate(a)",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        ("rate()", "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 0"),
        ("rate(a[5m],)", "1:11: parse error: trailing commas not allowed in function call args"),
        ("round(a, 1, 2)", "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3"),
        (
            "label_join(a)",
            "1:1: parse error: expected at least 3 argument(s) in call to \"label_join\", got 1",
        ),
        ("sum()", "1:1: parse error: no arguments for aggregate expression provided"),
        (
            "topk(a)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
        ),
        ("topk(\"a\", b)", "1:6: parse error: expected type scalar in aggregation parameter, got string"),
        ("sum(1)", "1:5: parse error: expected type instant vector in aggregation expression, got scalar"),
        ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        ("a + bool b", "1:3: parse error: bool modifier can only be used on comparison operators"),
        ("a and 1", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"),
        ("a + on (b) 1", "1:1: parse error: vector matching only allowed between instant vectors"),
        ("a and on (b) group_left c", "1:1: parse error: no grouping allowed for \"and\" operation"),
        (
            "a + on (b) group_left (b) c",
            "1:3: parse error: label \"b\" must not occur in ON and GROUP clause at once",
        ),
        (
            "a[5m] + 1",
            "1:1: parse error: binary expression must contain only scalar and instant vector types",
        ),
        (
            "-\"a\"",
            "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"string\"",
        ),
        ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("a{__name__=\"b\"}", "1:1: parse error: metric name must not be set twice: \"a\" or \"b\""),
        ("a{b=~\"(\"}", "1:3: parse error: error parsing regexp: missing closing ): `(`"),
        ("sum(a)[5m]", "1:7: parse error: ranges only allowed for vector selectors"),
        ("a offset 5m [5m]", "1:13: parse error: no offset modifiers allowed before range"),
        ("a @ 5 [5m]", "1:7: parse error: no @ modifiers allowed before range"),
        ("a offset 5m offset 5m", "1:1: parse error: offset may not be set multiple times"),
        ("a @ 5 @ 5", "1:1: parse error: @ <timestamp> may not be set multiple times"),
        ("a @ inf", "1:1: parse error: timestamp out of bounds for @ modifier: +Inf"),
        ("a[5m][5m:]", "1:1: parse error: subquery is only allowed on instant vector, got matrix instead"),
        ("a anchored smoothed", "1:1: parse error: anchored and smoothed modifiers cannot be used together"),
        ("a[5m:] anchored", "1:1: parse error: anchored modifier is not supported for subqueries"),
        ("info(a, b)", "1:9: parse error: expected label selectors only, got vector selector instead"),
    ];
    for (text, message) in rows {
        assert_eq!(fault(text), message, "{text}");
    }
}

#[test]
fn switched_off_parts_are_refused_by_name() {
    let refused = |text: &str, change: fn(&mut ParseOptions)| {
        let mut options = ParseOptions::all();
        change(&mut options);
        parse(text, &options).unwrap_err().to_string()
    };
    assert_eq!(refused("a @ 5", |o| o.at_modifier = false), "@ modifier is disabled");
    assert_eq!(refused("a offset -5", |o| o.negative_offset = false), "negative offset is disabled");
    assert_eq!(
        refused("a[5m * 2]", |o| o.duration_expressions = false),
        "1:3: parse error: experimental duration expression is not enabled"
    );
    assert_eq!(
        refused("mad_over_time(a[5m])", |o| o.experimental_functions = false),
        "1:1: parse error: function \"mad_over_time\" is not enabled"
    );
    assert_eq!(
        refused("limitk(1, a)", |o| o.experimental_functions = false),
        "1:1: parse error: limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions"
    );
    assert_eq!(
        refused("a smoothed", |o| o.extended_range_selectors = false),
        "1:1: parse error: smoothed modifier is experimental and not enabled"
    );
    assert_eq!(
        refused("a + fill(0) b", |o| o.fill_modifiers = false),
        "1:1: parse error: binop fill modifiers are experimental and not enabled"
    );
    assert!(parse("a[5m] offset 1m", &ParseOptions::default()).is_ok());
}

#[test]
fn operators_group_by_precedence() {
    let Expr::Binary(or) = read("a or b and c == d + e * f ^ -g") else { panic!("no binary") };
    assert_eq!(or.op, BinaryOp::Or);
    let Expr::Binary(and) = &or.rhs else { panic!("no binary") };
    assert_eq!(and.op, BinaryOp::And);
    let Expr::Binary(left) = read("a - b - c") else { panic!("no binary") };
    assert_eq!(left.lhs.to_string(), "a - b");
    let Expr::Binary(right) = read("a ^ b ^ c") else { panic!("no binary") };
    assert_eq!(right.rhs.to_string(), "b ^ c");
}

#[test]
fn nodes_know_where_they_stand() {
    let Expr::Aggregate(sum) = read(" sum( rate((a[5m] offset 1m)) ) by (b) ") else { panic!("no sum") };
    assert_eq!((sum.op, sum.range), (AggregateOp::Sum, TextRange::new(1, 38)));
    let Expr::Call(rate) = &sum.expr else { panic!("no call") };
    assert_eq!(rate.range, TextRange::new(6, 29));
    assert_eq!(rate.args[0].range(), TextRange::new(11, 28));
    assert_eq!(rate.args[0].unwrap_parens().range(), TextRange::new(12, 27));
    assert_eq!(read("a\n + b").range(), TextRange::new(0, 6));
}

#[test]
fn limits_are_named() {
    let limited = |text: &str, limits: ParseLimits| {
        let error = parse(text, &ParseOptions { limits, ..ParseOptions::all() }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        error.to_string()
    };
    let limits = ParseLimits::default();
    assert!(limited("a + b", ParseLimits { query_bytes: 4, ..limits }).contains("query_bytes"));
    assert!(limited("a + b", ParseLimits { nodes: 2, ..limits }).contains("nodes"));
    assert!(limited("((a))", ParseLimits { depth: 2, ..limits }).contains("depth"));
    assert!(limited("a{b=\"1\",c=\"2\"}", ParseLimits { matchers: 1, ..limits }).contains("matchers"));
}

#[test]
fn a_chain_of_a_hundred_members_is_no_nesting() {
    let chain: Vec<String> = (0..100).map(|index| format!("metric_{index}")).collect();
    for op in [" or ", " + ", " and "] {
        assert_eq!(read(&chain.join(op)).to_string(), chain.join(op));
    }
}

/// Hostile queries are as deep as their length allows. Whatever is accepted must be safe to walk recursively, in a build
/// without optimization, on the stack that threads get by default.
#[test]
fn no_query_overflows_a_stack_of_two_mebibytes() {
    let nests: [(&str, &str, &str); 12] = [
        ("(", "a", ")"),
        ("-", "a", ""),
        ("a ^ ", "a", ""),
        ("", "a", " + a"),
        ("abs(", "a", ")"),
        ("sum by (x) (", "a", ")"),
        ("topk(1, ", "a", ")"),
        ("", "a", "[5m:1m]"),
        ("max_over_time((", "a", ")[5m:1m])"),
        ("a + on (x) group_left (y) (", "a", ")"),
        ("a[", "", ""),
        ("-(abs(", "a", "))"),
    ];
    let durations = [("(", ")"), ("-", ""), ("2 ^ ", ""), ("", " + 1"), ("max_of(1, ", ")")];
    let walk = move || {
        let mut accepted = 0;
        for depth in [1, 10, 30, 60, 100, 120, 126, 127, 128, 1_000, 16_000] {
            let mut texts: Vec<String> = nests
                .iter()
                .map(|(before, inner, after)| before.repeat(depth) + inner + &after.repeat(depth))
                .collect();
            for (before, after) in durations {
                texts.push(format!("a[{}5m{}]", before.repeat(depth), after.repeat(depth)));
                texts.push(format!("a offset ({}5m{})", before.repeat(depth), after.repeat(depth)));
            }
            for text in texts {
                let limits = ParseLimits { query_bytes: 1 << 20, nodes: 1 << 20, ..ParseLimits::default() };
                if let Ok(tree) = parse(&text, &ParseOptions { limits, ..ParseOptions::all() }) {
                    accepted += 1;
                    assert!(depth <= ParseLimits::MAX_DEPTH, "{depth} levels were accepted");
                    let copy = tree.clone();
                    assert!(copy == tree);
                    assert!(!copy.to_string().is_empty());
                    assert!(!pretty(&copy).is_empty());
                    assert!(!format!("{copy:?}").is_empty());
                    let _type = copy.value_type();
                }
            }
        }
        accepted
    };
    let accepted = std::thread::Builder::new().stack_size(2 << 20).spawn(walk).unwrap().join().unwrap();
    assert!(accepted > 100, "only {accepted} queries were accepted");
}

#[test]
fn long_queries_are_prettified_over_lines() {
    let text = "sum by (job) (rate(requests_total{code=~\"5..\", job=\"frontend\"}[5m])) \
                / on (job) group_left () sum by (job) (rate(requests_total{job=\"frontend\"}[5m])) > 0.01";
    let expected = "    sum by (job) (rate(requests_total{code=~\"5..\",job=\"frontend\"}[5m]))\n  \
                    / on (job) group_left ()\n    sum by (job) (rate(requests_total{job=\"frontend\"}[5m]))\n>\n  0.01";
    assert_eq!(pretty(&read(text)), expected);
    assert_eq!(pretty(&read("sum(a)  by (b)")), "sum by (b) (a)");
}

#[test]
fn a_function_that_does_not_exist_is_answered_with_those_that_do() {
    let suggestions =
        |query: &str, options: &ParseOptions| parse(query, options).unwrap_err().suggestions().to_vec();
    let table: [(&str, &[&str]); 7] = [
        ("raet(a[5m])", &["rate"]),
        ("RATE(a[5m])", &["rate"]),
        ("histogram_quantil(0.9, a)", &["histogram_quantile"]),
        ("maxovertime(a[5m])", &["max_over_time"]),
        ("summ(a)", &["sum"]),
        ("percentile(a)", &[]),
        ("nonsense(a)", &[]),
    ];
    for (query, expected) in table {
        let found = suggestions(query, &ParseOptions::default());
        assert_eq!(found.iter().take(1).collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>(), "{query}");
    }
    assert!(!suggestions("limitkk(1, a)", &ParseOptions::default()).contains(&"limitk".to_owned()));
    assert_eq!(suggestions("limitkk(1, a)", &ParseOptions::all()), ["limitk"]);
    assert!(suggestions("a +", &ParseOptions::default()).is_empty());
}
