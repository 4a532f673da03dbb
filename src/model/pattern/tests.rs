use proptest::prelude::*;

use super::*;

fn matches(pattern: &str, value: &str) -> bool {
    Pattern::new(pattern.as_bytes()).unwrap_or_else(|error| panic!("{pattern}: {error}")).matches(value)
}

fn error(pattern: impl AsRef<[u8]>) -> String {
    let error = Pattern::new(pattern.as_ref()).expect_err("the pattern is refused");
    assert_eq!(error.kind(), ErrorKind::Parse);
    error.to_string().strip_prefix("error parsing regexp: ").expect("Go's beginning").to_owned()
}

#[test]
fn patterns_are_read_as_in_re2_where_rust_differs() {
    let table: &[(&str, &[&str], &[&str])] = &[
        (r"\d\w\s", &["1_ ", "0z\r"], &["\u{661}_ ", "1é ", "1a\x0b", "1a\u{a0}"]),
        (r"\D\W\S", &["aé\x0b", "\u{661}-x"], &["1-x", "a_x", "a- "]),
        (r"[[:space:]]", &["\x0b", "\t"], &["\u{a0}"]),
        (r"[\d]+|[\D]", &["12", "\u{661}"], &["1a"]),
        (r"é\b.", &["éx"], &["éü", "é-"]),
        (r".\bx", &["éx", "-x"], &["ax"]),
        (r"a\Bé", &[], &["aé"]),
        (r"é\Bü", &["éü"], &[]),
        (r"a{", &["a{"], &["a"]),
        (r"{foo}", &["{foo}"], &["foo"]),
        (r"x{,2}", &["x{,2}"], &["xx"]),
        (r"a{2", &["a{2"], &["aa"]),
        (r"a{01}", &["a{01}"], &["a"]),
        (r"[[a]", &["[", "a"], &["[[a]"]),
        (r"[[]", &["["], &[""]),
        (r"[a&&b]", &["a", "&", "b"], &["c"]),
        (r"[a-z&&[^m]]", &["a]", "m]", "&]", "[]", "^]"], &["a", "n"]),
        (r"[a~~b]", &["a", "~", "b"], &[]),
        (r"[a[b]]", &["a]", "[]", "b]"], &["a", "b"]),
        (r"[+--]", &["+", ",", "-"], &["."]),
        (r"\<a\>", &["<a>"], &["a"]),
        (r"a\b{start}", &["a{start}"], &["a"]),
        (r"\Qa.b|\E|c", &["a.b|", "c"], &["axb"]),
        (r"\Qa*", &["a*"], &["aa"]),
        (r"\07\123\0", &["\x07S\0"], &[]),
        (r"\101", &["A"], &[]),
        (r"\p{^Greek}", &["a"], &["α"]),
        (r"\P{^Greek}", &["α"], &["a"]),
        (r"\pL\p{Lu}", &["éÉ"], &["1É", "éé"]),
        (r"\p{Zl}", &["\u{2028}"], &[" "]),
        (r"\p{Any}", &["\n"], &["ab"]),
        (r"\p{Yi}", &["\u{a000}"], &["a"]),
        (r"[\w-z]", &["-", "z", "_"], &["."]),
        (r"(?<n>a)|(?P<n>b)", &["a", "b"], &[]),
        (r"\Aa\z", &["a"], &["b"]),
        (r"(?i)straße", &["STRAßE", "ſtraẞe"], &["strasse"]),
        (r"(?i:k)", &["K", "k", "\u{212a}"], &["x"]),
        (r"(?i)[k-l]\w", &["\u{212a}ſ"], &[]),
        (r"(?i)[^k]", &["x"], &["K", "\u{212a}"]),
        (r"(?-s).", &["a"], &["\n"]),
        (r"(?-s:.).", &["a\n"], &["\na"]),
        (r"(?m)a$\n^b", &["a\nb"], &[]),
        (r"a$\n^b", &[], &["a\nb"]),
        (r"[[:^alpha:]]", &["1", "é"], &["a"]),
        (r"[]a]", &["]", "a"], &["]a"]),
        (r"[^]a]", &["b", "\n"], &["]"]),
        (r"\-\_\/", &["-_/"], &[]),
        (r"a|b", &["a", "b"], &["ab", "xa"]),
        (r"a(?i)*", &["", "aa"], &["A"]),
        (r"\x{d800}|a", &["a", "\u{fffd}"], &[]),
        (r"[\x{d000}-\x{e001}]", &["\u{d7ff}", "\u{e000}"], &["\u{e002}"]),
        (r"(?:(a){0}b)", &["b"], &["ab"]),
        (r"^*a$+", &["a"], &[]),
        (r"", &[""], &["a"]),
    ];
    for (pattern, accepted, refused) in table {
        for value in *accepted {
            assert!(matches(pattern, value), "{pattern:?} matches {value:?}");
        }
        for value in *refused {
            assert!(!matches(pattern, value), "{pattern:?} does not match {value:?}");
        }
    }
}

#[test]
fn what_re2_refuses_is_refused_with_the_text_of_go() {
    let table = [
        ("(a", "missing closing ): `(a`"),
        ("a)|(b", "unexpected ): `a)|(b`"),
        ("[a--b]", "invalid character class range: `a--`"),
        ("[b-a]", "invalid character class range: `b-a`"),
        ("[a", "missing closing ]: `[a`"),
        ("x[]a", "missing closing ]: `[]a`"),
        (r"\p{Letter}", r"invalid character class range: `\p{Letter}`"),
        (r"\p{sc=Greek}", r"invalid character class range: `\p{sc=Greek}`"),
        (r"\p{greek}x", r"invalid character class range: `\p{greek}`"),
        (r"a\p", r"invalid character class range: `\p`"),
        (r"\p{Greek", r"invalid character class range: `\p{Greek`"),
        (r"\u0041", r"invalid escape sequence: `\u`"),
        (r"\U00000041", r"invalid escape sequence: `\U`"),
        (r"\1", r"invalid escape sequence: `\1`"),
        (r"\8", r"invalid escape sequence: `\8`"),
        (r"\é", r"invalid escape sequence: `\é`"),
        (r"\C", r"invalid escape sequence: `\C`"),
        (r"\x1", r"invalid escape sequence: `\x1`"),
        (r"\x{110000}", r"invalid escape sequence: `\x{110000`"),
        (r"\x{}", r"invalid escape sequence: `\x{}`"),
        (r"[a-\d]", r"invalid escape sequence: `\d`"),
        (r"a\", "trailing backslash at end of expression: ``"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a*+", "invalid nested repetition operator: `*+`"),
        ("a+?+?", "invalid nested repetition operator: `+?+?`"),
        ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{3,2}", "invalid repeat count: `{3,2}`"),
        ("a{99999999999999999999}", "invalid repeat count: `{99999999999999999999}`"),
        ("(a{100}){100}b", "invalid repeat count: `{100}`"),
        ("((a{2}){2,}){251}", "invalid repeat count: `{251}`"),
        ("*", "missing argument to repetition operator: `*`"),
        ("a|*?", "missing argument to repetition operator: `*?`"),
        ("(+)", "missing argument to repetition operator: `+`"),
        ("(?i)*", "missing argument to repetition operator: `*`"),
        ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
        ("(?u)a", "invalid or unsupported Perl syntax: `(?u`"),
        ("(?-u)a", "invalid or unsupported Perl syntax: `(?-u`"),
        ("(?R)a", "invalid or unsupported Perl syntax: `(?R`"),
        ("(?i-)a", "invalid or unsupported Perl syntax: `(?i-)`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?i", "invalid or unsupported Perl syntax: `(?i`"),
        ("(?P=n)", "invalid or unsupported Perl syntax: `(?P`"),
        ("(?P<a.b>x)", "invalid named capture: `(?P<a.b>`"),
        ("(?<=a)", "invalid named capture: `(?<=a)`"),
        ("(?<>a)", "invalid named capture: `(?<>`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
    ];
    for (pattern, expected) in table {
        assert_eq!(error(pattern), expected, "{pattern:?}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused_where_they_are_met() {
    assert_eq!(error(b"ab\xffc"), "invalid UTF-8: `\u{fffd}c`");
    assert_eq!(error(b"(a\xff"), "invalid UTF-8: `\u{fffd}`");
    assert_eq!(error(b"a**\xff"), "invalid nested repetition operator: `**`");
}

#[test]
fn nesting_ends_where_it_ends_in_go() {
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(matches(&nested(100), "a"));
    let ours = Pattern::new(nested(999).as_bytes()).unwrap_err();
    assert_eq!(ours.kind(), ErrorKind::Limit);
    assert_eq!(ours.to_string(), "the pattern nests 999 deep, at most 100 are allowed (pattern_depth)");
    assert!(error(nested(1001)).starts_with("expression nests too deeply: `(((("));
    assert!(error("(".repeat(4000)).starts_with("missing closing ): `(((("));
    assert!(matches(&format!("{}a*{}", "(?:".repeat(900), ")".repeat(900)), "aaa"));
}

#[test]
fn the_deepest_pattern_fits_a_small_stack() {
    let deep = format!("{}a{}", "(b|c*".repeat(33), ")".repeat(33));
    let found =
        std::thread::Builder::new().stack_size(1024 << 10).spawn(move || matches(&deep, "a")).unwrap().join();
    assert!(found.unwrap());
}

#[test]
fn a_limit_is_a_limit_error_and_says_which() {
    let limit = |pattern: &str| {
        let error = Pattern::new(pattern.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        error.to_string()
    };
    assert!(limit(&format!("{}.", "a".repeat(4096))).contains("pattern_bytes"));
    assert!(limit(r"\pL{1000}").contains("pattern_states"));
    assert!(limit(&r"\pL\PL".repeat(300)).contains("ranges"));
    assert!(matches(&format!("{}.", "a".repeat(4095)), &format!("{}b", "a".repeat(4095))));
    let names: Vec<String> = (0..2000).map(|index| format!("pod-{index}")).collect();
    let pattern = Pattern::new(names.join("|").as_bytes()).unwrap();
    assert_eq!(pattern.set_of_literals().unwrap().len(), 2000);
    assert!(pattern.matches("pod-1999") && !pattern.matches("pod-2000"));
}

#[test]
fn plain_patterns_are_known_for_what_they_are() {
    let set = |pattern: &str| -> Option<Vec<String>> {
        let pattern = Pattern::new(pattern.as_bytes()).unwrap();
        pattern.set_of_literals().map(|set| set.iter().map(ToString::to_string).collect())
    };
    let of = |literals: &[&str]| Some(literals.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(set("a"), of(&["a"]));
    assert_eq!(set("c|a|b|a"), of(&["a", "b", "c"]));
    assert_eq!(set("^(ab|ac)$"), of(&["ab", "ac"]));
    assert_eq!(set("[45]xx?"), of(&["4x", "4xx", "5x", "5xx"]));
    assert_eq!(set("a{2,3}|"), of(&["", "aa", "aaa"]));
    assert_eq!(set(r"web\.(a|b)\.com"), of(&["web.a.com", "web.b.com"]));
    assert_eq!(set("(?i)ok"), of(&["OK", "Ok", "O\u{212a}", "oK", "ok", "o\u{212a}"]));
    assert_eq!(set(""), of(&[""]));
    assert_eq!(set(".*"), None);
    assert_eq!(set("[^a]"), None);

    let plain = |pattern: &str| Pattern::new(pattern.as_bytes()).unwrap();
    assert!(plain(".*").matches_everything() && plain("(.*)").matches_everything());
    assert!(!plain(".+").matches_everything() && !plain("(?-s).*").matches_everything());
    assert!(plain(".*").matches("") && plain("a|").matches("") && !plain(".+").matches(""));
    assert_eq!(plain("api-.*").prefix(), "api-");
    assert_eq!(plain("api-[0-9]+").prefix(), "api-");
    assert_eq!(plain("^api-v(1|2+)x").prefix(), "api-v");
    assert_eq!(plain(".*-api").prefix(), "");
    for pattern in ["api-.*", ".*-api", ".*api.*", "a.+b", ".+", ".*", "a", "a|b"] {
        assert!(plain(pattern).regex.is_none(), "{pattern} needs no engine");
    }
}

#[test]
fn a_pattern_may_be_looked_for_anywhere() {
    let found = |text: &str, value: &str| Pattern::anywhere(text.as_bytes()).unwrap().matches(value);
    assert!(found("error-rate", "x\nerror-rate-strict"));
    assert!(found("rate$", "error-rate") && !found("^rate", "error-rate"));
    assert!(found("a|^b$", "xxa") && !found("a|^b$", "xb"));
    assert!(found("", "") && found("a{", "xa{") && !found("a.b", "a\nb"));
    assert!(Pattern::anywhere(b"api").unwrap().regex.is_none());
    assert!(Pattern::anywhere(b"a)(b").is_err() && Pattern::anywhere(b"*").is_err());
}

#[test]
fn groups_are_found_as_in_go() {
    let pattern = GroupPattern::new(b"(?P<a>x)|(?P<a>y)(z)?").unwrap();
    let groups = pattern.captures("y").unwrap();
    assert_eq!(
        (groups.get(0), groups.get(1), groups.get(2), groups.get(3)),
        (Some("y"), None, Some("y"), None)
    );
    assert_eq!((groups.named("a"), groups.named("b")), (Some("y"), None));
    assert!(pattern.captures("yy").is_none());
    let lazy = GroupPattern::new(b"(a*?)(a*)").unwrap();
    assert_eq!(lazy.captures("aa").unwrap().get(2), Some("aa"));
    let swapped = GroupPattern::new(b"(?U)(a*)(a*?)").unwrap();
    assert_eq!(swapped.captures("aa").unwrap().get(2), Some("aa"));
    let dropped = GroupPattern::new(b"(a){0}(b)").unwrap();
    assert_eq!(dropped.captures("b").unwrap().get(2), Some("b"));
    assert_eq!(dropped.captures("b").unwrap().get(1), None);
    assert!(GroupPattern::new(b"(").is_err());
}

/// Pieces that make patterns, and the values they might match, close together.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("a"),
        Just("b"),
        Just("ab"),
        Just("."),
        Just(".*"),
        Just(".+"),
        Just("[ab]"),
        Just("(a|b)"),
        Just("a?"),
        Just("(?:ab)*"),
        Just("|"),
        Just("b{2}"),
        Just("(?i:A)"),
        Just("^"),
        Just("$"),
        Just("\\n"),
    ]
    .prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn a_shape_answers_as_the_engine_does(
        pieces in prop::collection::vec(piece(), 0..6),
        values in prop::collection::vec("[aAb\n]{0,5}", 8),
    ) {
        let text = pieces.concat();
        for value in &values {
            super::law::assert_shape_agrees(text.as_bytes(), value);
        }
    }

    #[test]
    fn any_bytes_give_an_answer(text in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(pattern) = Pattern::new(&text) {
            prop_assert!(!pattern.matches_everything() || pattern.matches(""));
        }
    }

    #[test]
    fn any_pattern_like_text_gives_an_answer(text in r"[a-c()\[\]|*+?{}0-9,\\.^$:<>PiQEpdwxé&~-]{0,30}") {
        if let Ok(pattern) = Pattern::new(text.as_bytes()) {
            prop_assert!(!pattern.matches_everything() || pattern.matches(""));
            // An open quotation swallows the parenthesis that label_replace adds.
            prop_assert!(text.contains("\\Q") || GroupPattern::new(text.as_bytes()).is_ok());
        }
    }
}
