//! What a gate promises holds through the whole gate, not only in its formulas: counts from a store that is scraped, looked
//! at every ten seconds, with pods that restart and scrapes that are missed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

#[path = "support/numbers.rs"]
mod numbers;

use promgate::{Check, Gate, GateSpec, Labels, Report, Sample, Store, StoreOptions, Timestamp, Verdict};

use numbers::Numbers;

/// What happens to a canary.
#[derive(Clone, Copy)]
struct World {
    /// Requests in ten seconds, on average.
    traffic: f64,
    /// Share of requests that fail.
    failing: f64,
    /// Share of scrapes that never arrive.
    missed: f64,
    /// Whether its counters restart once, half a minute after the start, as after a redeploy of the exporter.
    counters_restart: bool,
}

const START_S: i64 = 1_700_000_000;
const SCRAPE_S: i64 = 10;

fn spec() -> GateSpec {
    let all = r#"requests_total{version="canary"}"#;
    let failed = r#"requests_total{version="canary",code="500"}"#;
    GateSpec::builder("errors")
        .check(Check::ratio("errors", failed, all).below(0.05))
        .health(false)
        .deadline_ms(1_200_000)
        .build()
        .unwrap()
}

fn labels(code: &str) -> Labels {
    let pairs = [("__name__", "requests_total"), ("code", code), ("instance", "a"), ("job", "j")];
    Labels::from_pairs(pairs.into_iter().chain([("version", "canary")]))
}

fn run(seed: u64, world: World) -> Report {
    let mut numbers = Numbers(seed);
    let store = Store::in_memory(StoreOptions::new());
    let mut gate = Gate::new(spec());
    let start = Timestamp::from_secs(START_S);
    // The canary has served for a minute; what it did then is not evidence.
    let mut counts = [40_u64, 10];
    let mut second = -2 * SCRAPE_S;
    gate.start(start);
    while let Some(due) = gate.next_due() {
        while start.plus_millis(second * 1000) <= due {
            if second > 0 {
                for _ in 0..numbers.poisson(world.traffic) {
                    counts[usize::from(numbers.unit() < world.failing)] += 1;
                }
            }
            if world.counters_restart && second == 3 * SCRAPE_S {
                counts = [0, 0];
            }
            let missed = numbers.unit() < world.missed;
            if second <= 0 || !missed {
                let mut appender = store.appender();
                for (code, count) in ["200", "500"].iter().zip(counts) {
                    let time = start.plus_millis(second * 1000);
                    appender.append(&labels(code), Sample::float(time, count as f64)).unwrap();
                }
                appender.commit().unwrap();
            }
            second += SCRAPE_S;
        }
        gate.tick(due, &store.snapshot()).unwrap();
    }
    gate.report()
}

/// Shares of runs that pass and that fail.
fn shares(runs: u64, world: World) -> (f64, f64) {
    let verdicts: Vec<Verdict> = (0..runs).map(|seed| run(seed * 7919 + 1, world).verdict).collect();
    let share = |wanted| verdicts.iter().filter(|verdict| **verdict == wanted).count() as f64 / runs as f64;
    (share(Verdict::Pass), share(Verdict::Fail))
}

const RUNS: u64 = 150;

/// Three standard errors above the promise of 5 %.
fn promise() -> f64 {
    0.05 + 3.0 * (0.05_f64 * 0.95 / RUNS as f64).sqrt()
}

const PLAIN: World = World { traffic: 20.0, failing: 0.05, missed: 0.0, counters_restart: false };

#[test]
fn a_canary_exactly_at_the_threshold_hardly_ever_passes_or_fails() {
    for world in [PLAIN, World { missed: 0.2, counters_restart: true, ..PLAIN }] {
        let (pass, fail) = shares(RUNS, world);
        assert!(pass <= promise() && fail <= promise(), "pass {pass}, fail {fail}");
    }
}

#[test]
fn a_canary_far_below_the_threshold_passes() {
    for world in [PLAIN, World { missed: 0.2, counters_restart: true, ..PLAIN }] {
        let (pass, fail) = shares(40, World { failing: 0.0, ..world });
        assert_eq!((pass, fail), (1.0, 0.0));
    }
}

#[test]
fn a_canary_twice_the_threshold_fails_and_hardly_ever_passes() {
    for world in [PLAIN, World { missed: 0.2, counters_restart: true, ..PLAIN }] {
        let (pass, fail) = shares(RUNS, World { failing: 0.1, ..world });
        assert!(pass <= 0.03 && fail >= 0.97, "pass {pass}, fail {fail}");
    }
}

#[test]
fn a_canary_without_traffic_is_never_judged() {
    let (pass, fail) = shares(5, World { traffic: 0.0, ..PLAIN });
    assert_eq!((pass, fail), (0.0, 0.0));
}
