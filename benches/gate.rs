//! A gate's tick and the sequential tests behind it.
//!
//! Limits (one core of the machine that the budgets were set on): a tick of three native checks on a store of 10,000
//! series 1 ms; a strict tick of the walkthrough's three queries 60 µs on 50,000 series; a round of a thousand native gates with
//! three checks each over 100,000 series 100 ms; the replay of an hour with a look every 10 s 50 ms.
#![expect(missing_docs, reason = "criterion's macro makes a public function")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up is to stop")]

#[path = "workload/clock.rs"]
mod clock;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use promgate::argo::{AnalysisTemplate, Profile};
use promgate::{Gate, GateFile, GateSet, Labels, Limits, Sample, Snapshot, Store, StoreOptions, Timestamp};

const GATE: &str = include_str!("../examples/data/user-requests.gate.yaml");
const TEMPLATE: &str = include_str!("../examples/data/walkthrough.yaml");
const START: i64 = 1_700_000_000;
const BOUNDS: [&str; 16] = [
    "2.0", "4.0", "6.0", "8.0", "10.0", "50.0", "100.0", "200.0", "400.0", "800.0", "1000.0", "1400.0",
    "2000.0", "5000.0", "10000.0", "+Inf",
];
const FAST: [&str; 8] = ["2.0", "4.0", "6.0", "8.0", "10.0", "50.0", "100.0", "200.0"];
const ARGS: [(&str, &str); 2] = [("namespace", "shop"), ("canary-hash", "hash7")];

/// Pods of the walkthrough until there are `series` series, scraped so often, every 10 s.
fn store(series: usize, scrapes: i32) -> Snapshot {
    let mut limits = Limits::default();
    limits.series = 1_000_000;
    let store = Store::in_memory(StoreOptions::new().limits(limits));
    let mut appender = store.appender();
    for scrape in 0..i64::from(scrapes) {
        let collector = [("instance", "10.1.0.1:8889"), ("job", "pods"), ("namespace", "observability")];
        let time = Timestamp::from_secs(START + scrape * 10);
        appender.append(&labels("up", &collector, &[]), Sample::float(time, 1.0)).unwrap();
    }
    assert!(appender.commit().unwrap().refused.is_empty());
    let mut made = 0;
    let mut pod = 0;
    while made < series {
        let hash = format!("hash{pod}");
        let instance = format!("10.0.{}.{}:8080", pod / 250, pod % 250);
        let target = [
            ("namespace", "shop"),
            ("rollouts_pod_template_hash", &hash),
            ("instance", &instance),
            ("job", "pods"),
        ];
        let mut all = vec![
            (labels("up", &target, &[]), 0.0),
            (labels("process_start_time_seconds", &target, &[]), 0.0),
        ];
        for endpoint in ["/dispatch", "/", "/config"] {
            for error in ["true", "false"] {
                let rate = if error == "true" { 0.0 } else { 20.0 };
                all.push((
                    labels("hotrod_requests_total", &target, &[("endpoint", endpoint), ("error", error)]),
                    rate,
                ));
            }
        }
        let span = [
            ("hotrod_namespace", "shop"),
            ("hotrod_pod_hash", &*hash),
            ("instance", "10.1.0.1:8889"),
            ("job", "frontend"),
        ];
        for name in ["/dispatch", "/"] {
            for le in BOUNDS {
                let own = [
                    ("service_name", "frontend"),
                    ("span_kind", "SPAN_KIND_SERVER"),
                    ("span_name", name),
                    ("le", le),
                ];
                all.push((
                    labels("traces_span_metrics_duration_milliseconds_bucket", &span, &own),
                    // Every request takes between 200 and 400 ms.
                    if FAST.contains(&le) { 0.0 } else { 20.0 },
                ));
            }
        }
        let mut appender = store.appender();
        for (labels, rate) in &all {
            let handle = appender.handle(labels).unwrap();
            for scrape in 0..scrapes {
                let value = if *rate == 0.0 { 1.0 } else { rate * f64::from(scrape) };
                let time = Timestamp::from_secs(START + i64::from(scrape) * 10);
                appender.append_to(&handle, Sample::float(time, value)).unwrap();
            }
        }
        assert!(appender.commit().unwrap().refused.is_empty());
        made += all.len();
        pod += 1;
    }
    store.snapshot()
}

fn labels(name: &str, target: &[(&str, &str)], own: &[(&str, &str)]) -> Labels {
    let pairs = [("__name__", name)].into_iter().chain(target.iter().copied()).chain(own.iter().copied());
    Labels::from_pairs(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())))
}

fn ticks(c: &mut Criterion) {
    let source = store(10_000, 30);
    let start = Timestamp::from_secs(START + 100);
    let spec = GateFile::from_yaml(GATE).unwrap().build(&ARGS).unwrap();
    let mut gate = Gate::new(spec);
    gate.start(start);
    gate.tick(start.plus_millis(20_000), &source).unwrap();
    assert!(gate.clone().tick(start.plus_millis(30_000), &source).is_ok_and(|tick| tick.measured));
    c.bench_function("native tick, 3 checks, 10k series", |b| {
        b.iter_batched(
            || gate.clone(),
            |mut gate| gate.tick(start.plus_millis(30_000), &source),
            BatchSize::SmallInput,
        );
    });
    let template = AnalysisTemplate::from_yaml(TEMPLATE).unwrap().remove(0);
    let mut strict = Gate::from_argo(&template, &ARGS, Profile::V1_10).unwrap();
    strict.start(start);
    strict.tick(start.plus_millis(60_000), &source).unwrap();
    strict.tick(start.plus_millis(70_000), &source).unwrap();
    strict.tick(start.plus_millis(80_000), &source).unwrap();
    c.bench_function("strict tick, 2 queries, 10k series", |b| {
        b.iter_batched(
            || strict.clone(),
            |mut gate| gate.tick(start.plus_millis(90_000), &source),
            BatchSize::SmallInput,
        );
    });
    let resumed = gate.state().to_json().unwrap();
    println!("state as JSON: {} bytes", resumed.len());
    c.bench_function("state to JSON", |b| b.iter(|| black_box(gate.state().to_json())));
}

/// An hour of looks every ten seconds, over what was recorded, by the time on a core.
fn replay(c: &mut Criterion) {
    let source = store(400, 365);
    let (start, end) = (Timestamp::from_secs(START), Timestamp::from_secs(START + 3_600));
    // A gate that would be settled at once watches on.
    let text = GATE.replace("checks:", "watch: on\nchecks:");
    let spec = GateFile::from_yaml(&text).unwrap().build(&ARGS).unwrap();
    c.bench_function("replay of an hour, 360 looks, 3 checks", |b| {
        b.iter_custom(|times| {
            let before = clock::on_core();
            for _ in 0..times {
                let mut looks = 0;
                let report = Gate::new(spec.clone()).replay(&source, start, end, |_| looks += 1).unwrap();
                assert!(looks == 361 && report.settled);
            }
            Duration::from_secs_f64(clock::on_core() - before)
        });
    });
}

/// A fleet of canaries, all due at one instant: one round, by the time on a core.
fn rounds(c: &mut Criterion) {
    let source = store(100_000, 30);
    let start = Timestamp::from_secs(START + 100);
    let round = |gates: usize| {
        let mut set = GateSet::new();
        for pod in 0..gates {
            let hash = format!("hash{pod}");
            let args = [("namespace", "shop"), ("canary-hash", hash.as_str())];
            let id = set.insert(Gate::new(GateFile::from_yaml(GATE).unwrap().build(&args).unwrap()));
            set.start(id, start);
        }
        set.tick_due(start.plus_millis(20_000), &source).unwrap();
        set
    };
    let mut group = c.benchmark_group("round, 3 checks a gate, 100k series");
    group.sample_size(10);
    for gates in [1, 1_000] {
        let set = round(gates);
        let now = start.plus_millis(30_000);
        assert!(set.clone().tick_due(now, &source).is_ok_and(|ticks| ticks.len() == gates));
        if gates > 1 {
            let bytes = set.state().to_json().unwrap().len() / gates;
            println!("state of a gate in a set as JSON: {bytes} bytes");
        }
        group.bench_function(format!("{gates} gates"), |b| {
            b.iter_custom(|times| {
                let mut spent = 0.0;
                for _ in 0..times {
                    let mut set = set.clone();
                    let before = clock::on_core();
                    black_box(set.tick_due(now, &source).unwrap());
                    spent += clock::on_core() - before;
                }
                Duration::from_secs_f64(spent)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, ticks, replay, rounds);
criterion_main!(benches);
