//! An evaluation of rules over 50,000 series: what it asks, what it writes, and what alerts keep.
//!
//! CPU time of one thread. The store grows by what the rules write, as it does for whoever evaluates them.

#![expect(missing_docs, reason = "the macro of criterion makes a public function")]
#![expect(clippy::unwrap_used, reason = "a benchmark that fails should stop")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use promgate::{Engine, RuleManager, Store, Timestamp};

#[path = "workload/mod.rs"]
mod workload;
use workload::measurement::OnCore;
use workload::pods::{PODS, SCRAPE_MS, SCRAPES, store};

/// What services record: rates by service and bucket, and from these their p95; errors; an alert on each.
const SERVICES: &str = r#"
groups:
- name: services
  interval: 1ms
  labels: {team: checkout}
  rules:
  - record: service_le:duration_milliseconds:rate2m
    expr: sum by (service_name, le) (rate(duration_milliseconds_bucket[2m]))
  - record: service:duration_milliseconds:p95
    expr: histogram_quantile(0.95, service_le:duration_milliseconds:rate2m)
  - record: service:errors:ratio2m
    expr: >
      sum by (service_name) (rate(calls_total{status_code="STATUS_CODE_ERROR"}[2m]))
      / sum by (service_name) (rate(calls_total[2m]))
  - alert: Slow
    expr: service:duration_milliseconds:p95 > 1e9
    for: 5m
    labels: {severity: page}
    annotations: {summary: '{{ $labels.service_name }} takes {{ $value | humanize }} ms'}
  - alert: Failing
    expr: service:errors:ratio2m > 2
    annotations: {summary: '{{ $value | humanizePercentage }} of requests fail'}
"#;
/// A series for each of 4,600 counters.
const WIDE: &str = r#"
groups:
- name: wide
  interval: 1ms
  rules:
  - record: pod_status:calls:rate2m
    expr: rate(calls_total[2m])
"#;
/// An alert for each of 2,300 pods, all of which fire.
const FIRING: &str = r#"
groups:
- name: firing
  interval: 1ms
  rules:
  - alert: Errors
    expr: increase(calls_total{status_code="STATUS_CODE_ERROR"}[10m]) >= 0
    labels: {pod: '{{ $labels.hotrod_pod_name }}'}
    annotations: {summary: '{{ $labels.service_name }}: {{ $value | humanize }} errors'}
"#;

/// Evaluates the rules, each time a millisecond later.
struct Evaluated {
    store: Store,
    manager: RuleManager,
    now: Timestamp,
}

impl Evaluated {
    fn new(store: &Store, rules: &str, now: Timestamp) -> Self {
        let mut manager = RuleManager::new(Engine::new());
        manager.load("rules.yml", rules).unwrap();
        Self { store: store.clone(), manager, now }
    }

    /// How many samples were written.
    fn evaluate(&mut self) -> usize {
        self.now = self.now.plus_millis(1);
        let groups = self.manager.evaluate(&self.store, self.now);
        let rules = groups.iter().flat_map(|group| &group.rules);
        rules.inspect(|rule| assert!(rule.error.is_none(), "{rule:?}")).map(|rule| rule.samples).sum()
    }
}

fn rules(criterion: &mut Criterion<OnCore>) {
    let store = store(PODS);
    let end = Timestamp::from_millis((SCRAPES - 1) * SCRAPE_MS);
    let mut group = criterion.benchmark_group("rules");
    group.sample_size(20);
    for (name, rules) in [
        ("five rules of 40 services over 50k series", SERVICES),
        ("a recording rule that writes 4,600 series", WIDE),
        ("an alerting rule with 2,300 firing alerts", FIRING),
    ] {
        let mut evaluated = Evaluated::new(&store, rules, end);
        println!("{name}: {} samples written", evaluated.evaluate());
        group.bench_function(name, |bencher| bencher.iter(|| black_box(evaluated.evaluate())));
    }
    let engine = Engine::new();
    group.bench_function("reading the five rules", |bencher| {
        bencher.iter(|| black_box(promgate::RuleGroups::from_yaml(&engine, SERVICES).unwrap()));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(OnCore);
    targets = rules
}
criterion_main!(benches);
