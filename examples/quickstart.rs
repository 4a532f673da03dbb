//! Store samples, ask PromQL, let a gate decide.
//!
//! A canary answers one request a second; the gate wants fewer than 5 % of them to fail. `cargo run --example
//! quickstart` shows the gate passing once 74 clean requests are there; `-- broken` lets every tenth request fail.

use promgate::{
    Check, Engine, Gate, GateSpec, Labels, Result, Sample, Store, StoreOptions, Timestamp, Value,
};

fn main() -> Result<()> {
    let every = if std::env::args().any(|argument| argument == "broken") { 10 } else { i64::MAX };
    let start = Timestamp::from_secs(1_700_000_000);
    let spec = GateSpec::builder("checkout")
        .check(Check::volume("traffic", r#"requests_total{version="canary"}"#).at_least(0.1))
        .check(
            Check::ratio(
                "errors",
                r#"requests_total{version="canary",code="500"}"#,
                r#"requests_total{version="canary"}"#,
            )
            .below(0.05),
        )
        .build()?;

    let store = Store::in_memory(StoreOptions::new());
    let mut gate = Gate::new(spec);
    gate.start(start);
    scrape(&store, start, 0, every)?;
    let mut seconds = 0;
    // A controller would sleep until the gate is due, scrape, and tick.
    while let Some(due) = gate.next_due() {
        while due > start.plus_millis(seconds * 1000) {
            seconds += 10;
            scrape(&store, start, seconds, every)?;
        }
        let tick = gate.tick(due, &store.snapshot())?;
        println!("{seconds:>4} s  {:<12}  {}", tick.verdict, gate.report().because());
    }
    println!("\n{}", gate.report());

    let engine = Engine::new();
    let query = engine.prepare(r#"sum by (code) (rate(requests_total{version="canary"}[1m]))"#)?;
    let now = start.plus_millis(seconds * 1000);
    if let Value::Vector(samples) = engine.instant(&store.snapshot(), &query, now)?.value {
        for sample in samples {
            println!("{} {:?}", sample.labels, sample.value);
        }
    }
    Ok(())
}

/// What a scrape of the canary finds after so many seconds: its counters by status code, and that it is up.
fn scrape(store: &Store, start: Timestamp, seconds: i64, every: i64) -> Result<()> {
    let failed = seconds / every;
    let now = start.plus_millis(seconds * 1000);
    let target = [("instance", "10.0.0.7:8080"), ("job", "checkout")];
    let mut appender = store.appender();
    let up = Labels::from_pairs([("__name__", "up")].into_iter().chain(target));
    appender.append(&up, Sample::float(now, 1.0))?;
    for (code, count) in [("200", seconds - failed), ("500", failed)] {
        let name = [("__name__", "requests_total"), ("version", "canary"), ("code", code)];
        let labels = Labels::from_pairs(name.into_iter().chain(target));
        appender.append(&labels, Sample::float(now, count as f64))?;
    }
    // Every sample is newer than the last, so the store refuses none.
    let report = appender.commit()?;
    assert!(report.refused.is_empty());
    Ok(())
}
