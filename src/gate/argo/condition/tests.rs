use proptest::prelude::*;

use super::*;

fn vector(values: &[f64]) -> QueryValue {
    QueryValue::Vector(values.to_vec())
}

fn json(text: &str) -> QueryValue {
    QueryValue::Json(serde_json::from_str(text).unwrap())
}

fn ask_as(condition: &str, value: &QueryValue, profile: Profile) -> Result<bool, String> {
    Condition::compile(condition, value, profile)
        .and_then(|compiled| compiled.holds(value, Timestamp::from_secs(1_790_000_000)))
        .map_err(|error| error.to_string())
}

fn ask(condition: &str, value: &QueryValue) -> Result<bool, String> {
    ask_as(condition, value, Profile::V1_10)
}

fn error(condition: &str, value: &QueryValue) -> String {
    ask(condition, value).unwrap_err()
}

#[test]
fn operators_bind_as_documented() {
    let one = vector(&[1.0]);
    for condition in [
        "-2 ** 2 == -4",
        "2 ** 3 ** 2 == 512",
        "1 + 2 * 3 == 7",
        "10 - 2 - 3 == 5",
        "not (1 == 2) and true or false",
        "0 < result[0] < 2",
        "1..3 == [1, 2, 3]",
        "1 not in [2, 3]",
        "(nil ?? 1) + 1 == 2",
        "result | filter(# > 0) | len() == 1",
        "true ? true : 1",
        "let x = result[0]; x == 1",
        "1; 2; true",
        "7 / 2 == 3.5",
        "-7 % 3 == -1",
        "\"ab\" + 'c' == `abc`",
    ] {
        assert_eq!(ask(condition, &one), Ok(true), "{condition}");
    }
}

#[test]
fn nan_is_unequal_to_everything_and_in_nothing() {
    let nan = vector(&[f64::NAN]);
    for (condition, expected) in [
        ("result[0] == result[0]", false),
        ("result[0] != result[0]", true),
        ("result[0] < 1 or result[0] >= 1", false),
        ("result[0] in result", false),
        ("isNaN(result[0])", true),
    ] {
        assert_eq!(ask(condition, &nan), Ok(expected), "{condition}");
    }
    let max = |values: &[f64]| ask("isNaN(max(result))", &vector(values));
    assert_eq!((max(&[f64::NAN, 1.0]), max(&[1.0, f64::NAN])), (Ok(true), Ok(false)));
}

#[test]
fn an_empty_list_satisfies_all_and_sums_to_nothing() {
    let empty = vector(&[]);
    for (condition, expected) in [
        ("all(result, # < 1)", true),
        ("none(result, # < 1)", true),
        ("any(result, # < 1)", false),
        ("one(result, # < 1)", false),
        ("sum(result) == 0", true),
        ("mean(result) == 0", true),
        ("first(result) == nil", true),
        ("find(result, # > 1) == nil", true),
        ("max(result) == nil", true),
        ("len(result[5:]) == 0", true),
    ] {
        assert_eq!(ask(condition, &empty), Ok(expected), "{condition}");
    }
    assert_eq!(error("result[0] < 1", &empty), "index out of range: 0 (array length is 0)");
    assert_eq!(error("reduce(result, #acc + #) == 0", &empty), "reflect: slice index out of range");
}

#[test]
fn types_are_checked_before_anything_runs() {
    let empty = vector(&[]);
    for (condition, expected) in [
        (
            "len(result) == 0 || result >= 0.9",
            "invalid operation: >= (mismatched types []float64 and float64)",
        ),
        ("isNaN(result)", "cannot use []float64 as argument (type float64) to call isNaN "),
        ("result.x", "array elements can only be selected using an integer (got string)"),
        ("unknown == 1", "unknown name unknown"),
        ("true < 1", "invalid operation: < (mismatched types bool and int)"),
        ("isNaN(1, 2)", "too many arguments to call isNaN"),
        ("isNaN()", "not enough arguments to call isNaN"),
        ("all(result, 1)", "predicate should return boolean (got int)"),
        ("1 ? true : false", "non-bool expression (type int) used as condition"),
        ("let len = 1; true", "cannot redeclare builtin len"),
        ("\"a\" matches \"(\"", "error parsing regexp: missing closing ): `(`"),
    ] {
        assert_eq!(error(condition, &empty), expected, "{condition}");
    }
}

#[test]
fn folding_decides_as_in_the_original() {
    let empty = vector(&[]);
    for (condition, expected) in [
        ("result[0] < 1 or true", Ok(true)),
        ("result[0] < 1 and false", Ok(false)),
        ("result[0] < 1 and 1 == 2", Ok(false)),
        ("len(result) in 0..100000000", Ok(true)),
        ("findIndex(result, # > 1) in [0, 7]", Ok(true)),
        ("false and 1 % 0 == 1", Err("integer divide by zero".to_owned())),
    ] {
        assert_eq!(ask(condition, &empty), expected, "{condition}");
    }
    // One loop stops at the first element that fails either; two would have met the text first.
    assert_eq!(ask("all(result, type(#) != \"\") && all(result, # > 1)", &json("[1, \"x\"]")), Ok(false));
    // a + (b + c), not (a + b) + c.
    assert_eq!(ask("sum([result[0], result[1], result[2]]) == 0", &vector(&[1.0, 1e100, -1e100])), Ok(false));
    assert_eq!(ask("sum([result[0], result[1], result[2]]) == 1", &vector(&[1.0, 1e100, -1e100])), Ok(true));
}

#[test]
fn json_is_checked_where_it_is_reached() {
    let value = json(r#"{"ok": true, "n": null, "v": [1, 2], "s": "5", "deep": {"a": {"b": 2}}}"#);
    for (condition, expected) in [
        ("result.ok", true),
        ("result.n ?? true", true),
        ("result.missing == nil", true),
        ("result.missing?.b == nil", true),
        ("result.deep.a.b == 2", true),
        ("asInt(result.s) == 5 and asFloat(result.s) == 5.0", true),
        ("result.v == [1, 2.0]", true),
        ("\"ok\" in result", true),
        ("all(result.v, {# > 0})", true),
        ("result.ok ?: false", true),
    ] {
        assert_eq!(ask(condition, &value), Ok(expected), "{condition}");
    }
    for (condition, expected) in [
        ("result.missing > 1", "invalid operation: <nil> > int"),
        ("result.missing.b == 1", "cannot fetch b from <nil>"),
        (
            "result.n ?? 7 == 7",
            "Operator (==) and coalesce expressions (??) cannot be mixed. Wrap either by parentheses.",
        ),
        ("asInt(result.n) == 1", "asInt() not supported on <nil> <nil>"),
        ("asFloat(\"x\") == 1", "strconv.ParseFloat: parsing \"x\": invalid syntax"),
        ("result.v and result.ok", "interface conversion: interface {} is []interface {}, not bool"),
        ("result.v", "expected bool, but got []interface {}"),
    ] {
        assert_eq!(error(condition, &value), expected, "{condition}");
    }
}

#[test]
fn what_is_not_implemented_is_named() {
    let one = vector(&[1.0]);
    for (condition, expected) in [
        ("toJSON(result) == \"\"", "function toJSON is not supported in conditions"),
        ("now().Weekday() == 1", "method Weekday of time.Time is not supported in conditions"),
        ("date(\"1\", \"Jan\") == nil", "date layout \"Jan\" is not supported in conditions"),
    ] {
        assert_eq!(error(condition, &one), expected, "{condition}");
    }
}

#[test]
fn an_older_release_knows_less() {
    let one = vector(&[1.0]);
    assert_eq!(ask_as("0 < result[0] < 2", &one, Profile::V1_10), Ok(true));
    for condition in ["0 < result[0] < 2", "if true { true } else { false }", "1; true"] {
        assert!(ask_as(condition, &one, Profile::V1_9).is_err(), "{condition}");
    }
}

#[test]
fn size_depth_and_work_are_limited() {
    let one = vector(&[1.0]);
    let refused = |condition: &str| {
        let found = Condition::compile(condition, &one, Profile::V1_10)
            .and_then(|compiled| compiled.holds(&one, Timestamp::from_secs(0)));
        assert_eq!(
            found.unwrap_err().kind(),
            ErrorKind::Limit,
            "{}",
            condition.get(..60).unwrap_or(condition)
        );
    };
    refused("len(1..100000000) > 0");
    refused("len(-9223372036854775807..9223372036854775807) > 0");
    refused(&format!("{}true{}", "(".repeat(2_000), ")".repeat(2_000)));
    refused(&format!("{}true", "!".repeat(2_000)));
    refused(&format!("true{}", " and result[0] == 1".repeat(500)));
    refused(&format!("true{}", " ?: true".repeat(500)));
    refused(&format!("\"{}\" == \"\"", "x".repeat(100_000)));
    refused("let r = 1..1000; all(r, all(r, all(r, # > 0)))");
    refused("len(reduce(1..1000, [#acc], [])) == 1");
    refused("len(reduce(1..100, #acc + #acc, \"xy\")) == 1");
    refused(&format!("[{}] == nil", "1,".repeat(11_000)));
}

#[test]
fn the_deepest_condition_fits_a_small_stack() {
    let deepest = || {
        let value = vector(&[1.0]);
        for (open, middle, close) in
            [("(", "true", ")"), ("!", "true", ""), ("all(result, ", "true", ")"), ("[", "1", "]")]
        {
            for levels in 0..220 {
                let condition = format!("{}{middle}{}", open.repeat(levels), close.repeat(levels));
                let _answer = ask(&condition, &value);
            }
        }
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(deepest).unwrap().join().unwrap();
}

const WORDS: [&str; 86] = [
    "result",
    "result",
    "result[0]",
    "#",
    "#acc",
    "#index",
    "nil",
    "true",
    "false",
    "0",
    "1",
    "0.05",
    "1e3",
    "0x1f",
    "1_000",
    "\"a\"",
    "'b'",
    "`c`",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ";",
    ":",
    "?",
    "?:",
    "?.",
    "?.[",
    ".",
    ".x",
    "..",
    "+",
    "-",
    "*",
    "/",
    "%",
    "**",
    "^",
    "<",
    ">",
    "<=",
    ">=",
    "==",
    "!=",
    "=",
    "!",
    "not",
    "and",
    "&&",
    "or",
    "||",
    "in",
    "not in",
    "matches",
    "contains",
    "startsWith",
    "endsWith",
    "??",
    "|",
    "let",
    "x",
    "if",
    "else",
    "all(",
    "any(",
    "filter(",
    "map(",
    "sum(",
    "reduce(",
    "sortBy(",
    "groupBy(",
    "len(",
    "max(",
    "sort(",
    "isNaN(",
    "asInt(",
    "default(",
    "now()",
    "duration(\"1h\")",
    "/*",
    "//",
    "$env",
    "é",
];

fn any_value() -> impl Strategy<Value = QueryValue> {
    prop_oneof![
        any::<f64>().prop_map(QueryValue::Scalar),
        proptest::collection::vec(any::<f64>(), 0..4).prop_map(QueryValue::Vector),
        Just(json(r#"{"x": [1, null, "a", {"x": 2}], "s": "text"}"#)),
        Just(json("null")),
        Just(json(r#"[[], 1, "z"]"#)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn no_string_of_words_panics(
        words in proptest::collection::vec(proptest::sample::select(&WORDS[..]), 0..24),
        value in any_value(),
    ) {
        let _answer = ask(&words.join(" "), &value);
        let _answer = ask_as(&words.concat(), &value, Profile::V1_9);
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,40}", value in any_value()) {
        let _answer = ask(&text, &value);
    }

    #[test]
    fn a_threshold_is_the_comparison_it_looks_like(x in any::<f64>(), limit in -1e9..1e9f64) {
        let value = vector(&[x]);
        prop_assert_eq!(ask(&format!("result[0] < {limit:?}"), &value), Ok(x < limit));
        prop_assert_eq!(ask(&format!("!(result[0] >= {limit:?})"), &value), Ok(x < limit || x.is_nan()));
        prop_assert_eq!(ask(&format!("{limit:?} > result[0] or isNaN(result[0])"), &value), Ok(x < limit || x.is_nan()));
    }
}

/// What is in front of a loop from the end is lost in the original: it compares what its loop tested last.
#[test]
fn find_last_loses_the_operand_in_front_of_it() {
    let values = vector(&[1.0, 2.0, 3.0]);
    assert_eq!(ask("findLast(result, # < 3) == 2", &values), Ok(true));
    assert_eq!(ask("filter(result, # < 3)[-1] == 2", &values), Ok(true));
    assert_eq!(ask("2 == findLast(result, # < 3)", &values), Ok(false));
    assert_eq!(error("1 < findLast(result, # < 3)", &values), "invalid operation: bool < float64");
    assert_eq!(error("1 < last(filter(result, # < 3))", &values), "invalid operation: bool < float64");
    assert_eq!(ask("nil == findLastIndex(result, # > 9)", &values), Ok(false));
}

#[test]
fn filters_of_filters_are_one_loop() {
    assert_eq!(ask("len(filter(filter(result, result[9] > 0), false)) == 0", &vector(&[1.0])), Ok(true));
    assert_eq!(ask("filter(filter(result, # > 1), # < 3) == [2]", &vector(&[1.0, 2.0, 3.0])), Ok(true));
}
