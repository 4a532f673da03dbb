//! Queries that are made to hurt are answered soon, in little memory, and with an error that says what is too much and where.

#![expect(clippy::unwrap_used, reason = "a test that fails should stop")]

#[path = "../benches/workload/allocator.rs"]
mod allocator;
#[path = "../benches/workload/clock.rs"]
mod clock;

use promgate::{
    Engine, ErrorKind, Evaluation, Labels, QueryLimits, Result, Sample, Snapshot, Store, StoreOptions,
    Timestamp,
};

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

/// Above what the data takes.
const MOST_BYTES: f64 = 64.0 * (1 << 20) as f64;
/// On a core. A tenth of a second is what it takes with optimization; this only tells that nothing goes on and on, however slow
/// and busy the machine is.
const MOST_SECONDS: f64 = 20.0;
/// After which what has no other end is stopped.
const DEADLINE_SECONDS: f64 = 0.08;

/// What has to come out of a query.
#[derive(Clone, Copy, Debug)]
enum Expected {
    Answer,
    /// A text that does not parse, with the place.
    Parse(&'static str),
    /// A limit that the text exceeds, with the place unless it is the length of the whole.
    TextLimit(&'static str),
    /// A limit that the evaluation exceeds.
    Limit(&'static str),
    /// The evaluation fails otherwise.
    Query(&'static str),
    /// The evaluation is stopped.
    TimedOut,
}
use Expected::{Answer, Limit, Parse, Query, TextLimit, TimedOut};

/// 300 single series and 100 histograms of ten buckets, an hour of scrapes.
fn data() -> Snapshot {
    let store = Store::in_memory(StoreOptions::new());
    for scrape in 0..240_i64 {
        let mut appender = store.appender();
        let time = Timestamp::from_millis(scrape * 15_000);
        for index in 0..300 {
            let labels = Labels::from_pairs([
                ("__name__", "m".to_owned()),
                ("x", index.to_string()),
                ("a", "a".repeat(1 + index % 50)),
            ]);
            appender.append(&labels, Sample::float(time, (scrape * index as i64) as f64)).unwrap();
        }
        for index in 0..100 {
            for bucket in 0..10 {
                let le = if bucket == 9 { "+Inf".to_owned() } else { format!("{bucket}.0") };
                let labels = Labels::from_pairs([
                    ("__name__", "h_bucket".to_owned()),
                    ("le", le),
                    ("x", index.to_string()),
                ]);
                appender.append(&labels, Sample::float(time, (scrape * (bucket + 1)) as f64)).unwrap();
            }
        }
        appender.commit().unwrap();
    }
    store.snapshot()
}

fn nested(before: &str, inner: &str, after: &str, times: usize) -> String {
    before.repeat(times) + inner + &after.repeat(times)
}

fn list(count: usize, item: impl Fn(usize) -> String, between: &str) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(between)
}

/// Depth, terms, signs: Q1 of the threats.
fn deep(cases: &mut Vec<(String, Expected)>) {
    let nests = [
        ("(", "m", ")"),
        ("-", "m", ""),
        ("abs(", "m", ")"),
        ("sum by (x) (", "m", ")"),
        ("vector(scalar(", "m", "))"),
        ("max_over_time((", "m", ")[5m:1m])"),
        ("m and (", "m", ")"),
        ("1 ^ ", "1", ""),
        ("", "m", " + m"),
        ("", "m", " or m"),
        ("m[1m:", "1m", "]"),
    ];
    for (before, inner, after) in nests {
        for times in [300, 1000, 3000] {
            let text = nested(before, inner, after, times);
            let expected = match (before, text.len()) {
                (_, 16_385..) => TextLimit("query_bytes"),
                ("m[1m:", _) => Parse("unexpected"),
                _ => TextLimit("depth"),
            };
            cases.push((text, expected));
        }
    }
    for times in [300, 1000, 3000, 12_000] {
        cases.push((nested("(", "", "", times), TextLimit("depth")));
        cases.push((format!("m[{}", "(".repeat(times)), TextLimit("depth")));
        cases.push((
            format!("rate(m[{}1m{}])", "(".repeat(times / 2), ")".repeat(times / 2)),
            TextLimit("depth"),
        ));
        cases.push((format!("m{}", "}".repeat(times)), Parse("unexpected")));
        cases.push((format!("m{}", "{".repeat(times)), Parse("unexpected")));
        cases.push((
            format!("m{}", "[1m]".repeat(times)),
            if times > 4000 { TextLimit("query_bytes") } else { Parse("ranges only allowed") },
        ));
        cases.push((format!("sum by (x) {}m", "(".repeat(times)), TextLimit("depth")));
    }
    // Wide rather than deep.
    for terms in [700, 2000] {
        let balanced = |terms: usize| {
            let mut level: Vec<String> = (0..terms).map(|_| "1".to_owned()).collect();
            while level.len() > 1 {
                level = level
                    .chunks(2)
                    .map(|pair| if let [a, b] = pair { format!("({a}+{b})") } else { pair.concat() })
                    .collect();
            }
            level.concat()
        };
        cases.push((balanced(terms), TextLimit("nodes")));
    }
    cases.push((nested("(", "m", ")", 100), Answer));
    cases.push((nested("-", "m", "", 100), Answer));
    cases.push((nested("", "m", " + m", 120), Answer));
}

/// Long texts, many matchers, many labels: Q2.
fn long(cases: &mut Vec<(String, Expected)>) {
    for count in [101, 500, 1200] {
        cases.push((
            format!("m{{{}}}", list(count, |index| format!("l{index}!=\"\""), ",")),
            TextLimit("matchers"),
        ));
        cases.push((format!("m{{{}}}", list(count, |_| "x=~\".+\"".to_owned(), ",")), TextLimit("matchers")));
    }
    cases.push((format!("m{{{}}}", list(100, |_| "x=~\".+\"".to_owned(), ",")), Answer));
    for count in [100, 1000, 2500] {
        let labels = list(count, |index| format!("l{index}"), ",");
        cases.push((format!("sum by ({labels}) (m)"), Answer));
        cases.push((format!("sum without ({labels}) (m)"), Answer));
        cases.push((
            format!("m + on ({labels}) m"),
            if labels.len() > 16_000 { TextLimit("query_bytes") } else { Query("many-to-many") },
        ));
        cases.push((format!("m + ignoring ({labels}) m"), Answer));
        cases.push((
            format!("m * on ({labels}) group_left ({labels}) m"),
            if count > 1000 {
                TextLimit("query_bytes")
            } else {
                Parse("must not occur in ON and GROUP clause")
            },
        ));
        cases.push((
            format!("m * ignoring ({labels}) group_left ({labels}) m"),
            if count > 1000 { TextLimit("query_bytes") } else { Answer },
        ));
    }
    for bytes in [16_385, 100_000, 10_000_000] {
        cases.push((" ".repeat(bytes), TextLimit("query_bytes")));
        cases.push(("m".repeat(bytes), TextLimit("query_bytes")));
        cases.push((format!("\"{}\"", "\\x41".repeat(bytes / 4)), TextLimit("query_bytes")));
        cases.push((format!("m # {}", "x".repeat(bytes)), TextLimit("query_bytes")));
        cases.push(("9".repeat(bytes), TextLimit("query_bytes")));
    }
    cases.push((" ".repeat(16_000), Parse("no expression found in input")));
    cases.push((format!("m # {}", "x".repeat(16_000)), Answer));
    cases.push((format!("\"{}\"", "\\x41".repeat(4_000)), Answer));
    cases.push(("9".repeat(16_000), Parse("value out of range")));
    cases.push((format!("0x{}", "f".repeat(16_000)), Parse("")));
    cases.push((format!("m[{}]", "1d".repeat(8_000)), Parse("")));
    cases.push((format!("m[{}d]", "9".repeat(300)), Parse("")));
    cases.push((format!("m offset {}s", "9".repeat(300)), Parse("")));
    cases.push((format!("m @ {}", "9".repeat(400)), Parse("")));
    cases.push((format!("m @ -{}", "9".repeat(30)), Parse("")));
    for quote in ["\"", "'", "`"] {
        cases.push((format!("m{{x={quote}{}", "a".repeat(10_000)), Parse("unterminated")));
        cases.push((format!("{quote}{}", "\n".repeat(100)), Parse("unterminated")));
    }
    for byte in ["\u{0}", "\u{7f}", "\u{feff}", "\u{2028}", "💥", "\\", "$", "&&", "||", ";"] {
        cases.push((byte.repeat(2_000), Parse("unexpected character")));
        cases.push((format!("m {}", byte.repeat(2_000)), Parse("unexpected character")));
    }
}

/// Patterns that grow when they are compiled or go back when they match: Q3.
fn patterns(cases: &mut Vec<(String, Expected)>) {
    let accepted = [
        "(a*)*b",
        "(.*)*x",
        "(a|a)*b",
        "(a|aa)+$",
        "(x+x+)+y",
        "(.*a){20}",
        "((a?){20})a{20}",
        "(?i)(k|ſ){100}",
        "[^a]*[^b]*[^c]*d",
        "(a{30}){30}",
        "\\\\pL{20}",
        "(a|b|ab)*c",
        ".*.*.*.*.*.*.*.*.*=.*",
        "^(([a-z])+.)+[A-Z]([a-z])+$",
    ];
    let refused = [
        ("(((a{1000}){1000}){1000})", Parse("invalid repeat count")),
        ("((a{1000}){1000})", Parse("invalid repeat count")),
        ("(a{500}){500}", Parse("invalid repeat count")),
        ("((((((((((a{2}){2}){2}){2}){2}){2}){2}){2}){2}){2}){2}", Parse("invalid repeat count")),
        ("a{1001}", Parse("invalid repeat count")),
        ("(\\\\pL{200}){5}", TextLimit("pattern_states")),
        ("\\\\pL{500}", TextLimit("pattern_states")),
        ("(a", Parse("missing closing )")),
        ("[z-a]", Parse("invalid character class range")),
        ("(?P<x y>a)", Parse("invalid named capture")),
        ("a**", Parse("invalid nested repetition operator")),
        ("\\\\C", Parse("invalid escape sequence")),
        ("(?<=a)b", Parse("invalid named capture")),
        ("\\\\1", Parse("invalid escape sequence")),
    ];
    for pattern in accepted {
        cases.push((format!("m{{a=~\"{pattern}\"}}"), Answer));
        cases.push((format!("m{{a!~\"{pattern}\"}}"), Answer));
        cases.push((format!("label_replace(m, \"y\", \"$1\", \"a\", \"{pattern}\")"), Answer));
    }
    for (pattern, expected) in refused {
        cases.push((format!("m{{a=~\"{pattern}\"}}"), expected));
        cases.push((format!("m{{a!~\"{pattern}\"}}"), expected));
    }
    for count in [600, 1000, 1600] {
        cases.push((format!("m{{x=~\"{}\"}}", list(count, |index| format!("v{index}"), "|")), Answer));
        cases.push((
            format!("m{{x=~\"{}\"}}", list(count, |index| format!("v{index}.*"), "|")),
            if count > 600 { TextLimit("pattern_bytes") } else { Answer },
        ));
        let nests =
            if count > 600 { Parse("expression nests too deeply") } else { TextLimit("pattern_depth") };
        cases.push((format!("m{{x=~\"{}\"}}", "(".repeat(count) + &")".repeat(count)), nests));
    }
}

/// Times without end: Q4.
fn times(cases: &mut Vec<(String, Expected)>) {
    for (range, step) in
        [("1d", "1s"), ("30d", "1s"), ("365d", "1ms"), ("290y", "1s"), ("290y", "1ms"), ("200d", "1m")]
    {
        for around in ["count_over_time", "max_over_time", "rate", "absent_over_time"] {
            cases.push((format!("{around}(m[{range}:{step}])"), Limit("")));
        }
        cases.push((format!("sum_over_time(sum_over_time(m[{range}:{step}])[{range}:{step}])"), Limit("")));
    }
    // Within all limits, and long: what has a deadline for.
    for around in ["max_over_time", "sum_over_time", "stddev_over_time", "deriv", "mad_over_time"] {
        let nested = nested(&format!("{around}("), "m", "[1h:1s])", 3);
        cases.push((nested, TimedOut));
    }
    for range in ["500d", "100y", "290y"] {
        cases.push((format!("rate(m[{range}])"), Limit("window_ms")));
        cases.push((format!("m offset {range}"), Answer));
        cases.push((format!("m offset -{range}"), Answer));
    }
    for at in ["9223372036854775.807", "-9223372036854775.808", "1e15", "-1e15", "0", "start()", "end()"] {
        for offset in ["", " offset 290y", " offset -290y"] {
            cases.push((format!("m @ {at}{offset}"), Answer));
            cases.push((format!("sum(rate(m[5m] @ {at}{offset}))"), Answer));
        }
    }
    for duration in ["0s", "-5m", "0"] {
        cases.push((format!("rate(m[{duration}])"), Parse("duration must be greater than 0")));
        cases.push((format!("max_over_time(m[5m:{duration}])"), Parse("duration must be greater than 0")));
    }
    for text in ["m @ NaN", "m @ Inf", "m @ -Inf", "m @ 1e300"] {
        cases.push((text.to_owned(), Parse("timestamp out of bounds")));
    }
}

/// Everything with everything: Q5. And labels that double: Q6.
fn wide(cases: &mut Vec<(String, Expected)>) {
    for text in [
        "{__name__=~\".+\"}",
        "{x=~\".*\", __name__!=\"\"}",
        "m or h_bucket",
        "sort_desc(m)",
        "topk(100000, m)",
        "m + ignoring (none) m",
        "count_values(\"v\", m)",
        "count_values(\"v\", rate({__name__=~\".+\"}[5m]))",
        "quantile(0.5, m)",
        "limitk(1e18, m)",
        "histogram_quantile(0.9, h_bucket)",
    ] {
        cases.push((text.to_owned(), Answer));
    }
    for text in ["topk(1e300, m)", "bottomk(9223372036854775807, m)", "limitk(1e300, m)"] {
        cases.push((text.to_owned(), Query("overflows int64")));
    }
    for text in ["m + on () m", "m * on () group_left () m", "m * on (a) group_right () m", "m == on () m"] {
        cases.push((text.to_owned(), Query("many-to-many matching not allowed")));
    }
    for text in [
        "label_replace(m, \"x\", \"\", \"x\", \".*\")",
        "label_join(m, \"x\", \"\")",
        "sum_over_time(m[1h:1s])",
    ] {
        cases.push((
            text.to_owned(),
            if text.starts_with("sum") {
                Answer
            } else {
                Query("vector cannot contain metrics with the same labelset")
            },
        ));
    }
    for times in [12, 20, 30, 60] {
        let joined = nested("label_join(", "m", ", \"a\", \"\", \"a\", \"a\")", times);
        cases.push((joined, Limit("label_bytes")));
        let replaced = nested("label_replace(", "m", ", \"a\", \"$1$1\", \"a\", \"(.*)\")", times);
        cases.push((replaced, Limit("label_bytes")));
    }
    for (count, expected) in [(1_000, Answer), (3_000, TextLimit("nodes"))] {
        let names = list(count, |_| "\"a\"".to_owned(), ",");
        cases.push((format!("label_join(m, \"y\", \"\", {names})"), expected));
    }
    for count in [20, 200, 600] {
        cases.push((
            list(count, |_| "m".to_owned(), " or "),
            if count > 128 { TextLimit("depth") } else { Answer },
        ));
    }
}

/// What was evaluated, the most memory above the data, and seconds on a core.
fn evaluate(
    engine: &Engine,
    source: &Snapshot,
    (text, expected): (&str, Expected),
) -> (Result<Evaluation>, f64, f64) {
    let before = allocator::used();
    allocator::forget_most();
    let start = clock::on_core();
    let engine = match expected {
        TimedOut => engine.clone().deadline(move || clock::on_core() - start > DEADLINE_SECONDS),
        _ => engine.clone(),
    };
    let outcome = engine
        .prepare(text)
        .and_then(|query| engine.instant(source, &query, Timestamp::from_millis(3_585_000)));
    let seconds = clock::on_core() - start;
    (outcome, allocator::most() - before, seconds)
}

#[test]
fn hostile_queries_are_answered_soon_in_little_memory_with_what_is_wrong_and_where() {
    let source = data();
    let engine = Engine::new().experimental(true).limits(QueryLimits::default().memory_bytes(48 << 20));
    let mut cases = Vec::new();
    deep(&mut cases);
    long(&mut cases);
    patterns(&mut cases);
    times(&mut cases);
    wide(&mut cases);
    let (mut wrong, mut slowest, mut largest) = (Vec::new(), 0.0_f64, 0.0_f64);
    for (text, expected) in &cases {
        let (outcome, bytes, seconds) = evaluate(&engine, &source, (text, *expected));
        let ok = match (&outcome, *expected) {
            (Ok(_), Answer) => true,
            (Err(error), Parse(part)) => {
                error.kind() == ErrorKind::Parse
                    && error.text_range().is_some()
                    && error.to_string().contains(part)
            }
            (Err(error), TextLimit(part)) => {
                let placed = error.text_range().is_some() || part == "query_bytes";
                error.kind() == ErrorKind::Limit && placed && error.to_string().contains(part)
            }
            (Err(error), Limit(part)) => error.kind() == ErrorKind::Limit && error.to_string().contains(part),
            (Err(error), TimedOut) => error.kind() == ErrorKind::TimedOut,
            (Err(error), Query(part)) => error.kind() == ErrorKind::Query && error.to_string().contains(part),
            _ => false,
        };
        if !ok {
            let got =
                outcome.as_ref().err().map(|error| (error.kind(), error.text_range(), error.to_string()));
            wrong.push(format!(
                "{text:.90} ({} bytes): expected {expected:?}, got {:.300}",
                text.len(),
                format!("{got:?}")
            ));
        }
        if bytes > MOST_BYTES {
            wrong.push(format!("{text:.90}: {} MiB", bytes / (1 << 20) as f64));
        }
        if seconds > MOST_SECONDS {
            wrong.push(format!("{text:.90}: {seconds:.3} s"));
        }
        slowest = slowest.max(seconds);
        largest = largest.max(bytes);
    }
    println!(
        "{} queries, the slowest {:.1} ms, the largest {:.1} MiB",
        cases.len(),
        slowest * 1e3,
        largest / (1 << 20) as f64
    );
    assert!(cases.len() >= 300, "{}", cases.len());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
