//! Asks the real engine and ours the same random queries over the same random data, floats and histograms.
//!
//! ```sh
//! PROMGATE_ORACLE=/path/to/promoracle PROMGATE_QUERIES=200000 \
//!     cargo test --release --test differential -- --ignored --nocapture
//! ```
//!
//! The oracle is a program that answers JSON lines; `PROMGATE_SEED` chooses other data and queries. A difference
//! names its data set; `PROMGATE_SET` begins with that one.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test program stops at the first surprise"
)]

#[path = "../conformance/answer.rs"]
mod answer;
#[path = "../conformance/compare.rs"]
#[allow(dead_code, reason = "shared with the conformance sets")]
mod compare;
#[path = "../conformance/data.rs"]
#[allow(dead_code, reason = "shared with the conformance sets")]
mod data;
mod oracle;
mod queries;
mod random;
#[path = "../conformance/request.rs"]
mod request;
mod series;

use std::collections::BTreeMap;

use promgate::{Error, Evaluation, Labels, Snapshot};
use serde_json::{Value as Json, json};

use compare::Tolerance;
use oracle::Oracle;
use queries::Writer;
use random::Random;

/// Queries that are asked over one data set.
const QUERIES_A_DATA_SET: u64 = 200;

/// Prometheus stops at the text of a histogram with custom bounds that was scaled by infinity or zero.
const ZERO_BUCKET_CRASH: &str = "histograms with custom buckets have no zero bucket";

/// How often the oracle is asked at every step of a range.
const INSTANTS: usize = 10;

/// How often the oracle is asked again when it may have answered in a random order.
const REPEATS: usize = 400;

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
#[ignore = "needs the real engine: see the head of this file"]
fn random_queries_have_prometheus_s_answers() {
    let program = std::env::var("PROMGATE_ORACLE").expect("PROMGATE_ORACLE names the oracle");
    let wanted = variable("PROMGATE_QUERIES", 20_000);
    let seed = variable("PROMGATE_SEED", 1);
    let mut oracle = Oracle::start(&program);
    let mut counts = Counts::default();
    for set in variable("PROMGATE_SET", 0).. {
        if counts.asked >= wanted {
            break;
        }
        let mut random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(set));
        let generated = series::generate(&mut random);
        let loaded = oracle.ask(&json!({"op": "load", "series": generated.series}));
        assert_eq!(loaded["ok"], true, "{loaded}");
        let source = data::source(generated.series.iter().map(data::data_series).collect());
        for _ in 0..QUERIES_A_DATA_SET {
            let request = request(&mut random, &generated);
            compare_one(&mut oracle, &source, &request, set, &mut counts);
        }
        if set % 50 == 49 {
            println!("{counts:?}");
        }
    }
    println!("seed {seed}: {counts:?}");
    assert_eq!(counts.different, 0, "unexplained differences");
}

#[derive(Debug, Default)]
struct Counts {
    asked: u64,
    /// Answers that were an error on both sides.
    errors: u64,
    /// Answers that held at least one series.
    with_series: u64,
    /// Crashes of the oracle that `semantics.md` tells of.
    crashes: u64,
    /// Answers that Prometheus itself gives differently from one time to the next.
    unstable: u64,
    /// Those of them that never were ours.
    unmet: u64,
    /// Answers over a range that are not what Prometheus itself says at the instants of its steps, which is what ours are.
    of_instants: u64,
    different: u64,
}

fn request(random: &mut Random, data: &series::Data) -> Json {
    let (start, end) = (data.start, data.end);
    let query = Writer { random, start, end }.query();
    let time = |random: &mut Random| match random.below(2) {
        0 => random.between(start, end + 60_000),
        _ => start + random.between(0, 1 + (end - start) / data.interval) * data.interval,
    };
    let config = json!({
        "delayed_name_removal": random.chance(40),
        "start_timestamps": random.chance(40),
    });
    if random.chance(55) {
        return json!({"op": "instant", "query": query, "time_ms": time(random), "config": config});
    }
    let from = time(random);
    let step = [data.interval, 15_000, 60_000, 37_000, data.interval * 3][random.below(5)];
    let until = from + step * random.between(0, 15);
    json!({"op": "range", "query": query, "start_ms": from, "end_ms": until, "step_ms": step, "config": config})
}

fn compare_one(oracle: &mut Oracle, source: &Snapshot, request: &Json, set: u64, counts: &mut Counts) {
    let query = request["query"].as_str().unwrap();
    let ordered = ["sort", "topk", "bottomk"].iter().any(|name| query.starts_with(name));
    let expected = oracle.ask(request);
    let got = request::evaluate(source, request);
    counts.asked += 1;
    counts.errors += u64::from(expected["error"].is_string());
    counts.with_series += u64::from(expected["series"].as_array().is_some_and(|series| !series.is_empty()));
    if expected["error"] == ZERO_BUCKET_CRASH {
        counts.crashes += 1;
        return;
    }
    let Err(what) = answer::check(&expected, &got, Tolerance::Bits, ordered) else { return };
    // In a range query, what is above another operation meets its series in the order of a map, and so do instant queries
    // above some aggregations: sums round, and ties break, differently from one answer to the next. It takes few orders only,
    // so that that of the labels, which is ours, need not be among them.
    let mut varies = false;
    for repeat in 0..REPEATS {
        let again = oracle.ask(request);
        varies |= again != expected;
        let is_ours = answer::check(&again, &got, Tolerance::Bits, ordered).is_ok();
        if is_ours || (varies && repeat > REPEATS / 8) {
            counts.unstable += 1;
            counts.unmet += u64::from(!is_ours);
            return;
        }
    }
    if is_what_instants_say(oracle, request, &expected, &got) {
        counts.of_instants += 1;
        return;
    }
    counts.different += 1;
    if counts.different <= 100 {
        let mut text = expected.to_string();
        text.truncate(text.char_indices().nth(600).map_or(text.len(), |(at, _)| at));
        println!("DIFFERENT in set {set}: {request}\n  expected {text}\n  got {what}");
    }
}

/// Whether a range is what Prometheus says at the instants of its steps. There it meets series in the order of labels where its
/// range has that of a map, of which all that come up may round alike.
fn is_what_instants_say(
    oracle: &mut Oracle,
    request: &Json,
    expected: &Json,
    got: &Result<Evaluation, Error>,
) -> bool {
    let times = ["start_ms", "end_ms", "step_ms"].map(|name| request[name].as_i64().unwrap_or(0));
    if request["op"] != "range" || expected["type"] != "matrix" {
        return false;
    }
    // Over a range they do nothing.
    let query = request["query"].as_str().unwrap().replace("sort_desc(", "(").replace("sort(", "(");
    (0..INSTANTS).any(|_| {
        let mut series: BTreeMap<Labels, Json> = BTreeMap::new();
        for time in (times[0]..=times[1]).step_by(usize::try_from(times[2]).unwrap()) {
            let config = &request["config"];
            let instant = json!({"op": "instant", "query": query, "time_ms": time, "config": config});
            let answer = oracle.ask(&instant);
            if answer["type"] != "vector" {
                return false;
            }
            for found in answer["series"].as_array().unwrap() {
                let all = series
                    .entry(data::labels(&found["labels"]))
                    .or_insert_with(|| json!({"labels": found["labels"], "points": [], "histograms": []}));
                for kind in ["points", "histograms"] {
                    let new = found[kind].as_array().cloned().unwrap_or_default();
                    all[kind].as_array_mut().unwrap().extend(new);
                }
            }
        }
        let mut said = expected.clone();
        said["series"] = series.into_values().collect();
        answer::check(&said, got, Tolerance::Bits, false).is_ok()
    })
}
