//! The deepest query that is allowed is parsed, checked, planned, evaluated, printed and dropped on a small stack, in a build
//! without optimization as well.

#![expect(clippy::unwrap_used, reason = "a test that fails should stop")]

use promgate::{Engine, ErrorKind, Labels, Sample, Snapshot, Store, StoreOptions, Timestamp};

/// An eighth of what a thread has by default.
const STACK: usize = 256 << 10;

/// What nests, each around the one inside.
const NESTS: [(&str, &str); 38] = [
    ("(", ")"),
    ("-", ""),
    ("a ^ ", ""),
    ("", " + a"),
    ("abs(", ")"),
    ("sum by (x) (", ")"),
    ("topk(1, ", ")"),
    ("quantile(0.5, ", ")"),
    ("count_values(\"x\", ", ")"),
    ("histogram_quantile(0.9, ", ")"),
    ("label_replace(", ", \"y\", \"$1\", \"x\", \"(.*)\")"),
    ("max_over_time((", ")[5m:1m])"),
    ("rate((", ")[5m:1m])"),
    ("a + on (x) group_left (y) (", ")"),
    ("a and on (x) (", ")"),
    ("vector(scalar(", "))"),
    ("clamp(", ", 0, scalar(a))"),
    ("absent(", ")"),
    ("sort_by_label(", ", \"x\")"),
    ("+", ""),
    ("a or ", ""),
    ("", " and a"),
    ("", " > bool a"),
    ("1 + (", ")"),
    ("", " * 2"),
    ("(-", ")"),
    ("count without (x) (", ")"),
    ("avg by (x) (", ")"),
    ("stddev(", ")"),
    ("limitk(2, ", ")"),
    ("round(", ", 5)"),
    ("timestamp(", ")"),
    ("info(", ")"),
    ("histogram_quantiles(", ", \"q\", 0.5, 0.9)"),
    ("histogram_fraction(0, 1, ", ")"),
    ("label_join(", ", \"y\", \"-\", \"x\")"),
    ("sum_over_time(a[1m]) + on (x) fill (0) sum by (x) (", ")"),
    ("quantile_over_time(0.5, (", ")[5m:1m])"),
];

/// What nests in the duration of a range.
const DURATION_NESTS: [(&str, &str); 6] =
    [("(", ")"), ("-(-", ")"), ("1m + ", ""), ("", " * 1"), ("min_of(", ", 1h)"), ("max_of(1s, ", ")")];

fn data() -> Snapshot {
    let store = Store::in_memory(StoreOptions::new());
    let mut appender = store.appender();
    for time in 0..20 {
        for x in ["1", "2"] {
            let sample = Sample::float(Timestamp::from_millis(time * 15_000), time as f64);
            appender.append(&Labels::from_pairs([("__name__", "a"), ("x", x)]), sample).unwrap();
        }
    }
    appender.commit().unwrap();
    store.snapshot()
}

/// Whether the query was accepted; then all was done with it that can be.
fn walk(engine: &Engine, source: &Snapshot, text: &str) -> bool {
    let query = match engine.prepare(text) {
        Ok(query) => query,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
            return false;
        }
    };
    let end = Timestamp::from_millis(300_000);
    // An error of the evaluation is an answer; a stack that is too small is none.
    drop(engine.instant(source, &query, end));
    drop(engine.range(source, &query, Timestamp::from_millis(0), end, 60_000));
    let copy = query.clone();
    assert!(!copy.to_string().is_empty());
    assert!(!copy.pretty().is_empty());
    assert!(!format!("{copy:?}").is_empty());
    true
}

#[test]
fn the_deepest_query_fits_the_stack_of_a_thread() {
    let source = data();
    let engine = Engine::new().experimental(true);
    for (before, after) in NESTS {
        deepest(&engine, &source, |depth| before.repeat(depth) + "a" + &after.repeat(depth));
    }
    for (before, after) in DURATION_NESTS {
        let duration = |depth| before.repeat(depth) + "2m" + &after.repeat(depth);
        deepest(&engine, &source, |depth| format!("rate(a[{}])", duration(depth)));
        deepest(&engine, &source, |depth| format!("max_over_time(a[5m:{}])", duration(depth)));
        deepest(&engine, &source, |depth| format!("a offset ({})", duration(depth)));
    }
}

/// Goes through the deepest query of a kind that is accepted.
fn deepest(engine: &Engine, source: &Snapshot, query: impl Fn(usize) -> String) {
    let found = (1..=200).rev().find(|depth| {
        let (source, engine, text) = (source.clone(), engine.clone(), query(*depth));
        println!("{depth}: {text:.70}");
        let run = std::thread::Builder::new().stack_size(STACK).spawn(move || walk(&engine, &source, &text));
        run.unwrap().join().unwrap()
    });
    assert!(found.is_some_and(|depth| depth >= 10), "{}: {found:?}", query(1));
}
