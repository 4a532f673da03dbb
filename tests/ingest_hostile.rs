//! Bodies and recordings that are made to hurt are answered soon, in little memory, and with what is wrong and where.

#![expect(clippy::unwrap_used, reason = "a test that fails should stop")]

#[path = "../benches/workload/allocator.rs"]
mod allocator;
#[path = "../benches/workload/clock.rs"]
mod clock;

use std::io::Write as _;

use promgate::{ErrorKind, ExpositionFormat, ExpositionOptions, Intake, IntakeLimits, Result, Timestamp};

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

/// On a core. A tenth of a second is what it takes with optimization; this only tells that nothing goes on and on, however slow
/// and busy the machine is.
const MOST_SECONDS: f64 = 20.0;

/// What takes the bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Door {
    Text,
    OpenMetrics,
    Recording,
}
use Door::{OpenMetrics, Recording, Text};

/// `None`: they are taken. Else the kind of the error and a part of its text.
type Expected = Option<(ErrorKind, &'static str)>;

struct Case {
    name: String,
    door: Door,
    bytes: Vec<u8>,
    expected: Expected,
}

fn limits() -> IntakeLimits {
    let mut limits = IntakeLimits::default();
    limits.body_bytes = 1 << 20;
    limits.decoded_bytes = 2 << 20;
    limits.line_bytes = 16 << 10;
    limits.series = 5_000;
    limits.samples = 20_000;
    limits
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A line within a body: what comes before it is in order, so that its number is told.
fn lines(cases: &mut Vec<Case>) {
    let bad: [(&str, &str); 34] = [
        ("a", "a value after the metric"),
        ("a ", ""),
        ("a{", "expected a label name or }"),
        ("a{b", "expected"),
        ("a{b=", "expected a double quote"),
        ("a{b=\"", "quoted text"),
        ("a{b=\"c", "quoted text"),
        ("a{b=\"c\"", "expected"),
        ("a{b=\"c\" d=\"e\"} 1", "expected , or } after the label"),
        ("a{b=\"c\",,} 1", "expected"),
        ("a{,} 1", "expected"),
        ("a{=\"c\"} 1", "expected"),
        ("a{b=\"c\"}} 1", ""),
        ("a{b=\"c\"}{} 1", "expected"),
        ("a{b=\"c\",b=\"c\"} 1", "comes twice"),
        ("a{__name__=\"c\"} 1", "a second metric name"),
        ("a{\"b\"} 1", "a second metric name"),
        ("{b=\"c\"} 1", "no metric name"),
        ("{} 1", "no metric name"),
        ("{\"\"} 1", "a name without a character"),
        ("a x", "is no number"),
        ("a 0x10", "is no number"),
        ("a 1_000", "is no number"),
        ("a --1", "is no number"),
        ("a 1e", "is no number"),
        ("a 1 x", ""),
        ("a 1 99999999999999999999999", ""),
        ("a 1 1 1", "expected"),
        ("5 1", "expected a metric name or {"),
        ("-a 1", "expected a metric name or {"),
        ("=", "expected a metric name or {"),
        ("\u{1f4a5} 1", "expected a metric name or {"),
        ("# TYPE a nothing", "is no metric type"),
        ("# TYPE a", ""),
    ];
    for (line, what) in bad {
        for (door, end) in [(Text, "\n"), (OpenMetrics, "\n# EOF\n")] {
            for before in [0, 1, 1_000] {
                let bytes = ["ok 1 1\n".repeat(before).as_str(), line, end].concat().into_bytes();
                let expected = Some((ErrorKind::Parse, what));
                cases.push(Case { name: format!("{line} behind {before}"), door, bytes, expected });
            }
        }
    }
    for bytes in [b"\xff".as_slice(), b"\xc3\x28", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\0"] {
        for place in [
            &[b"a{b=\"".as_slice(), bytes, b"\"} 1\n"].concat(),
            &[b"# HELP a ".as_slice(), bytes, b"\n"].concat(),
            &[bytes, b" 1\n"].concat(),
            &[b"a ".as_slice(), bytes, b"\n"].concat(),
        ] {
            let nul_in_text = bytes == b"\0" && (place.starts_with(b"a{") || place.starts_with(b"#"));
            let expected = (!nul_in_text).then_some((ErrorKind::Parse, ""));
            let name = format!("{place:?}");
            cases.push(Case { name, door: Text, bytes: place.clone(), expected });
        }
    }
}

/// Sizes without end, each beyond a limit or just a flood.
fn floods(cases: &mut Vec<Case>) {
    let mut push = |name: &str, door: Door, text: String, expected: Expected| {
        let text = if door == OpenMetrics { text + "# EOF\n" } else { text };
        cases.push(Case { name: name.to_owned(), door, bytes: text.into_bytes(), expected });
    };
    let many = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    let limit = |what: &'static str| Some((ErrorKind::Limit, what));
    for door in [Text, OpenMetrics] {
        push("endless name", door, "a".repeat(1 << 20), limit("line_bytes"));
        push("endless line", door, format!("a{{b=\"{}\"}} 1\n", "c".repeat(1 << 20)), limit("line_bytes"));
        push("endless value", door, format!("a {}\n", "9".repeat(1 << 20)), limit("line_bytes"));
        push("endless blanks", door, format!("a{}1\n", " ".repeat(1 << 20)), limit("line_bytes"));
        push("endless help", door, format!("# HELP a {}\n", "b".repeat(1 << 20)), limit("line_bytes"));
        push("endless quotes", door, format!("a{{b=\"{}", "\\\"".repeat(1 << 19)), limit("line_bytes"));
        let ends = if door == Text { limit("line_bytes") } else { Some((ErrorKind::Parse, "quoted text")) };
        push("endless lines in a label", door, format!("a{{b=\"{}\"}} 1\n", "\n".repeat(1 << 20)), ends);
        push("long line that fits", door, format!("a{{b=\"{}\"}} 1 1\n", "c".repeat(16_000)), None);
        push("escapes", door, format!("a{{b=\"{}\"}} 1 1\n", "\\\\".repeat(8_000)), None);
        push("too large", door, "a 1 1\n".repeat(400_000), limit("decoded_bytes"));
        push("helps", door, many(60_000, &|index| format!("# HELP a{index} b\n")), None);
        push("types", door, many(60_000, &|index| format!("# TYPE a{index} gauge\n")), None);
        push("comments", Text, "#\n".repeat(1_000_000), None);
        push("empty lines", Text, "\n".repeat(2_000_000), None);
        push(
            "series",
            door,
            many(6_000, &|index| format!("a{{b=\"{index}\"}} 1 1\n")),
            limit("series of 5000"),
        );
        push("names", door, many(60_000, &|index| format!("a{index} 1 1\n")), limit("series of 5000"));
        push("samples", door, many(60_000, &|index| format!("a 1 {index}\n")), limit("samples of 20000"));
        push("duplicates", door, "a 1 1\n".repeat(60_000), limit("samples of 20000"));
        for (count, refused) in [(100, None), (250, None), (1_500, limit("labels_per_series"))] {
            let labels = many(count, &|index| format!("l{index}=\"\",")).to_owned();
            let line = format!("a{{{labels}}} 1 1\n");
            push("labels", door, line.repeat((1 << 20) / line.len()), refused);
            let same = format!("a{{{}}} 1 1\n", "l=\"x\",".repeat(count));
            push("one label", door, same, refused.or(Some((ErrorKind::Parse, "comes twice"))));
        }
        push("braces", door, "{".repeat(16_000) + "\n", Some((ErrorKind::Parse, "expected")));
        push("quotes", door, "\"".repeat(16_000) + "\n", Some((ErrorKind::Parse, "expected")));
    }
    push("exemplars", OpenMetrics, "a_total 1 1 # {t=\"x\"} 1 1\n".repeat(15_000), None);
    push("cut off", OpenMetrics, String::new(), None);
    push("cut off", Text, "a 1 1\na 1".to_owned(), None);
}

fn recordings(cases: &mut Vec<Case>) {
    let good = r#"{"metric":{"__name__":"a"},"values":[1],"timestamps":[1]}"#;
    let bad: [(&str, ErrorKind, &str); 22] = [
        ("x", ErrorKind::Parse, "expected value"),
        ("{", ErrorKind::Parse, "EOF"),
        ("[]", ErrorKind::Parse, ""),
        ("1", ErrorKind::Parse, ""),
        ("\"a\"", ErrorKind::Parse, ""),
        ("null", ErrorKind::Parse, ""),
        ("{}", ErrorKind::Parse, "missing field"),
        (r#"{"metric":1}"#, ErrorKind::Parse, ""),
        (r#"{"metric":{"a":1}}"#, ErrorKind::Parse, ""),
        (r#"{"metric":{"a":"b","a":"c"}}"#, ErrorKind::Parse, ""),
        (r#"{"metric":{},"metric":{}}"#, ErrorKind::Parse, "duplicate field"),
        (r#"{"metric":{},"values":[1],"timestamps":[]}"#, ErrorKind::Parse, "1 values, but 0 timestamps"),
        (r#"{"metric":{},"values":[1],"timestamps":[1.5]}"#, ErrorKind::Parse, ""),
        (r#"{"metric":{},"values":[1],"timestamps":[1e400]}"#, ErrorKind::Parse, ""),
        (r#"{"metric":{},"values":[1],"timestamps":[99999999999999999999]}"#, ErrorKind::Parse, ""),
        (r#"{"metric":{},"values":["x"],"timestamps":[1]}"#, ErrorKind::Parse, ""),
        (r#"{"metric":{},"values":[[1]],"timestamps":[1]}"#, ErrorKind::Parse, ""),
        (r#"{"metric":{},"values":[true],"timestamps":[1]}"#, ErrorKind::Parse, ""),
        (r#"{"metric":{},"values":[1,2],"timestamps":[2,1]}"#, ErrorKind::OutOfOrder, "is not later than"),
        (r#"{"metric":{},"values":[1,2],"timestamps":[1,1]}"#, ErrorKind::OutOfOrder, "is not later than"),
        (r#"{"metric":{},"samples":[[1]]}"#, ErrorKind::Parse, ""),
        (r#"{"metric":{},"samples":[[1,{"schema":"a"}]]}"#, ErrorKind::Parse, ""),
    ];
    for (line, kind, what) in bad {
        for before in [0, 100] {
            let bytes = [format!("{good}\n").replace("[1]}", "[2]}").repeat(before).as_str(), line]
                .concat()
                .into_bytes();
            // Repeated samples of one time are dropped, not refused.
            let expected = Some((kind, what));
            cases.push(Case {
                name: format!("{line} behind {before}"),
                door: Recording,
                bytes: gzip(&bytes),
                expected,
            });
            cases.push(Case { name: format!("{line} behind {before}"), door: Recording, bytes, expected });
        }
    }
    let mut push = |name: &str, bytes: Vec<u8>, expected: Expected| {
        cases.push(Case { name: name.to_owned(), door: Recording, bytes, expected });
    };
    let limit = |what: &'static str| Some((ErrorKind::Limit, what));
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[[", "]]")] {
        for depth in [100, 1_000, 100_000] {
            push(
                "nested",
                (open.repeat(depth) + &close.repeat(depth)).into_bytes(),
                Some((ErrorKind::Parse, "")),
            );
            let unknown =
                format!("{{\"metric\":{{}},\"other\":{}1{}}}", open.repeat(depth), close.repeat(depth));
            push("nested in an unknown field", unknown.into_bytes(), None);
        }
    }
    push("bomb", gzip(&vec![b' '; 20 << 20]), limit("decoded_bytes"));
    push("bomb of lines", gzip(format!("{good}\n").repeat(200_000).as_bytes()), limit("decoded_bytes"));
    push("bomb of bombs", gzip(&gzip(&vec![b'\n'; 5 << 20])), Some((ErrorKind::Parse, "")));
    push("streams", gzip(b"\n").repeat(10_000), None);
    push("large", vec![b'x'; (1 << 20) + 1], limit("body_bytes"));
    let gzipped = gzip(good.as_bytes());
    for length in 2..gzipped.len() {
        let corrupt = (ErrorKind::Corrupt, "the gzip stream is damaged");
        push("cut", gzipped.iter().copied().take(length).collect(), Some(corrupt));
    }
    let series = |count: usize| {
        (0..count).map(|index| good.replace("\"a\"", &format!("\"a{index}\"")) + "\n").collect::<String>()
    };
    push("series", series(6_000).into_bytes(), limit("series of 5000"));
    let numbers = |count: usize| (0..count).map(|index| index.to_string()).collect::<Vec<_>>().join(",");
    let long = format!("{{\"metric\":{{}},\"values\":[{0}],\"timestamps\":[{0}]}}", numbers(70_000));
    push("samples", long.into_bytes(), limit("samples of 20000"));
    for (count, refused) in
        [(250, None), (300, limit("labels_per_series")), (50_000, limit("labels_per_series"))]
    {
        let labels = |last: usize| {
            let label = |index: usize| format!("\"l{:05}\":\"x\"", last.abs_diff(index));
            format!("{{\"metric\":{{{}}}}}\n", (0..count).map(label).collect::<Vec<_>>().join(","))
        };
        push("labels", labels(0).into_bytes(), refused);
        push("labels from last to first", labels(99_999).repeat(1 + 20_000 / count).into_bytes(), refused);
        let twice = labels(count / 2).into_bytes();
        push("labels twice", twice, refused.or(Some((ErrorKind::Parse, "comes twice"))));
    }
    let spans = format!(
        "{{\"metric\":{{}},\"samples\":[[1,{{\"schema\":0,\"positive_spans\":[{}]}}]]}}",
        "[1,4294967295],".repeat(1000) + "[0,1]"
    );
    push("spans", spans.into_bytes(), Some((ErrorKind::Parse, "")));
}

/// What came of a body, the most memory above what was in use, and seconds on a core.
fn take(case: &Case) -> (Result<()>, f64, f64) {
    let before = allocator::used();
    allocator::forget_most();
    let start = clock::on_core();
    let mut intake = Intake::with_limits(limits());
    let format =
        if case.door == OpenMetrics { ExpositionFormat::OpenMetrics } else { ExpositionFormat::Text };
    let options = ExpositionOptions::default().format(format).limits(limits());
    let outcome = match case.door {
        Recording => intake.add_recording(&case.bytes),
        Text | OpenMetrics => intake.add_exposition(&case.bytes, &options, Some(Timestamp::from_millis(1))),
    };
    let seconds = clock::on_core() - start;
    (outcome, allocator::most() - before, seconds)
}

#[test]
fn hostile_bodies_are_answered_soon_in_little_memory_with_what_is_wrong_and_where() {
    let mut cases = Vec::new();
    lines(&mut cases);
    floods(&mut cases);
    recordings(&mut cases);
    let most_bytes = 2.0 * limits().decoded_bytes as f64;
    let (mut wrong, mut slowest, mut largest) = (Vec::new(), 0.0_f64, 0.0_f64);
    for case in &cases {
        let (outcome, bytes, seconds) = take(case);
        let ok = match (&outcome, case.expected) {
            (Ok(()), None) => true,
            (Err(error), Some((kind, part))) => {
                let text = error.to_string();
                // What concerns the whole has no line.
                let whole = part.contains("_bytes") && part != "line_bytes" || kind == ErrorKind::Corrupt;
                error.kind() == kind && text.contains(part) && (whole || text.contains("line "))
            }
            _ => false,
        };
        let Case { name, door, expected, .. } = case;
        if !ok {
            wrong.push(format!("{door:?}, {name:.60}: expected {expected:?}, got {outcome:?}"));
        }
        if bytes > most_bytes {
            wrong.push(format!("{door:?}, {name:.60}: {:.1} MiB", bytes / (1 << 20) as f64));
        }
        if seconds > MOST_SECONDS {
            wrong.push(format!("{door:?}, {name:.60}: {seconds:.3} s"));
        }
        slowest = slowest.max(seconds);
        largest = largest.max(bytes);
    }
    let shown = format!(
        "{} bodies, the slowest {:.1} ms, the largest {:.1} MiB",
        cases.len(),
        slowest * 1e3,
        largest / (1 << 20) as f64
    );
    println!("{shown}");
    assert!(cases.len() >= 300, "{shown}");
    assert!(wrong.is_empty(), "{shown}; {}:\n{}", wrong.len(), wrong.join("\n"));
}
