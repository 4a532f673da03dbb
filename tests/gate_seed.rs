//! The gate that the walkthrough ships, simulated: what it promotes in Argo's own way, and what its template does as a gate that
//! decides by evidence, over the same requests.
//!
//! 60 runs of each, or `GATE_RUNS`; `.ci/long gates` is the full form.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test reads the environment and stops at the first surprise"
)]

#[path = "support/numbers.rs"]
mod numbers;

use promgate::argo::{AnalysisTemplate, Argument, Profile};
use promgate::{
    Check, Error, ErrorKind, Gate, GateSpec, Labels, Report, Sample, SelectRequest, SeriesSet, Source, Store,
    StoreOptions, Timestamp, Verdict,
};

use numbers::Numbers;

const TEMPLATE: &str = include_str!("../examples/data/walkthrough.yaml");
const START_S: i64 = 1_700_000_000;
const SCRAPE_S: i64 = 10;
const ARGS: [(&str, &str); 2] = [("namespace", "shop"), ("canary-hash", "7d9f")];

fn runs() -> u64 {
    std::env::var("GATE_RUNS").map_or(60, |text| text.parse().unwrap())
}

/// Three standard errors of a share seen in that many runs.
fn three_errors(share: f64) -> f64 {
    3.0 * (share * (1.0 - share) / runs() as f64).sqrt()
}

/// A canary that is scraped from the start of its gate on, and before.
#[derive(Clone, Copy)]
struct Canary {
    /// Requests a second, on average.
    rate: f64,
    /// Share of them that fail.
    failing: f64,
    /// Whether the counter of failed requests is there before the first of them.
    initialised: bool,
    /// How far requests between two scrapes share their fate: their correlation.
    together: f64,
}

const CANARY: Canary = Canary { rate: 1.0, failing: 0.0, initialised: true, together: 0.0 };

/// The requests of a run, scraped as time goes on.
struct Scraped {
    store: Store,
    numbers: Numbers,
    canary: Canary,
    counts: [u32; 2],
    next_s: i64,
}

impl Scraped {
    fn new(seed: u64, canary: Canary) -> Self {
        let store = Store::in_memory(StoreOptions::new());
        Self { store, numbers: Numbers(seed), canary, counts: [0, 0], next_s: -30 }
    }

    /// Scrapes up to an instant.
    fn until(&mut self, now: Timestamp) -> promgate::Snapshot {
        let start = Timestamp::from_secs(START_S);
        while start.plus_millis(self.next_s * 1000) <= now {
            if self.next_s > 0 {
                let Canary { rate, failing, together, .. } = self.canary;
                let (mut bad, mut all) = (0.0, 0.0);
                for _ in 0..self.numbers.poisson(rate * SCRAPE_S as f64) {
                    // Pólya's urn: so much of a request's fate is that of those before.
                    let own =
                        (failing * (1.0 - together) + bad * together) / (1.0 - together + all * together);
                    let fails = self.numbers.unit() < own;
                    bad += f64::from(u8::from(fails));
                    all += 1.0;
                    self.counts[usize::from(fails)] += 1;
                }
            }
            let time = start.plus_millis(self.next_s * 1000);
            let all = f64::from(self.counts[0] + self.counts[1]);
            let mut appender = self.store.appender();
            let mut append = |name: &str, own: &[(&str, &str)], value: f64| {
                let target = [("__name__", name), ("instance", "10.0.0.1:8080"), ("job", "pods")];
                let labels = Labels::from_pairs(target.into_iter().chain(own.iter().copied()));
                appender.append(&labels, Sample::float(time, value)).unwrap();
            };
            let pod = [("namespace", "shop"), ("rollouts_pod_template_hash", "7d9f")];
            append("up", &pod, 1.0);
            append("process_start_time_seconds", &pod, START_S as f64 - 60.0);
            for (error, count) in [("false", self.counts[0]), ("true", self.counts[1])] {
                if error == "false" || self.canary.initialised || count > 0 {
                    append(
                        "hotrod_requests_total",
                        &[pod.as_slice(), &[("error", error)]].concat(),
                        count.into(),
                    );
                }
            }
            let span = [("hotrod_namespace", "shop"), ("hotrod_pod_hash", "7d9f")];
            for le in ["100", "500", "1000", "5000", "+Inf"] {
                let name = "traces_span_metrics_duration_milliseconds_bucket";
                append(name, &[span.as_slice(), &[("le", le)]].concat(), if le == "100" { 0.0 } else { all });
            }
            appender.commit().unwrap();
            self.next_s += SCRAPE_S;
        }
        self.store.snapshot()
    }
}

fn template() -> AnalysisTemplate {
    AnalysisTemplate::from_yaml(TEMPLATE).unwrap().remove(0)
}

fn strict() -> Gate {
    Gate::from_argo(&template(), &ARGS, Profile::V1_10).unwrap()
}

/// The same template by evidence, with half an hour to come to it.
fn native() -> Gate {
    annotated("deadline: 30m")
}

/// The same, allowing for bursts.
fn native_with_bursts() -> Gate {
    annotated("{deadline: 30m, dispersion: upper}")
}

fn annotated(options: &str) -> Gate {
    let mut template = template();
    template.annotations.push(("promgate.dev/native".to_owned(), options.to_owned()));
    let args = ARGS.map(|(name, value)| Argument::new(name, value));
    Gate::new(GateSpec::from_template(&template, &args).unwrap())
}

fn run(mut gate: Gate, seed: u64, canary: Canary, mut each: impl FnMut(&Report, u32)) -> Report {
    let mut scraped = Scraped::new(seed, canary);
    gate.start(Timestamp::from_secs(START_S));
    while let Some(due) = gate.next_due() {
        gate.tick(due, &scraped.until(due)).unwrap();
        each(&gate.report(), scraped.counts[0] + scraped.counts[1]);
    }
    gate.report()
}

fn share(gate: fn() -> Gate, canary: Canary, wanted: Verdict) -> f64 {
    let is_wanted = |seed: u64| run(gate(), seed * 7919 + 1, canary, |_, _| ()).verdict == wanted;
    (0..runs()).filter(|seed| is_wanted(*seed)).count() as f64 / runs() as f64
}

#[test]
fn argo_promotes_a_canary_twice_as_bad_as_allowed_as_often_as_was_worked_out() {
    for (rate, expected) in [(0.05, 0.36), (0.1, 0.53), (0.5, 0.23), (1.0, 0.12), (2.0, 0.03)] {
        let promoted =
            share(strict, Canary { rate, failing: 0.1, initialised: true, ..CANARY }, Verdict::Pass);
        let allowed = 0.05 + three_errors(expected);
        println!(
            "strict, {rate}/s, 10 % failing: {:.1} % promoted, expected {:.0} %",
            promoted * 100.0,
            expected * 100.0
        );
        assert!((promoted - expected).abs() <= allowed, "{rate}: {promoted}");
    }
}

#[test]
fn argo_promotes_no_flawless_canary_without_a_series_of_errors() {
    for rate in [0.1, 1.0] {
        assert_eq!(
            share(strict, Canary { rate, failing: 0.0, initialised: false, ..CANARY }, Verdict::Pass),
            0.0
        );
    }
}

#[test]
fn by_evidence_a_canary_twice_as_bad_as_allowed_hardly_ever_passes() {
    for rate in [0.1, 1.0, 2.0] {
        let passed = share(native, Canary { rate, failing: 0.1, initialised: true, ..CANARY }, Verdict::Pass);
        println!("native, {rate}/s, 10 % failing: {:.1} % passed", passed * 100.0);
        assert!(passed <= 0.05 + three_errors(0.05), "{rate}: {passed}");
    }
}

#[test]
fn bursts_that_are_allowed_for_rarely_pass_a_canary_at_the_limit() {
    let canary = Canary { rate: 2.0, failing: 0.05, together: 0.1, ..CANARY };
    let passed = share(native_with_bursts, canary, Verdict::Pass);
    let plain = share(native, canary, Verdict::Pass);
    println!(
        "native, bursts, 5 % failing: {:.1} % passed allowing for them, {:.1} % otherwise",
        passed * 100.0,
        plain * 100.0
    );
    assert!(passed <= 0.1 + three_errors(0.1), "{passed}");
    assert!(plain > 0.1, "{plain}");
    // Allowing for bursts where there are none costs requests, and decides all the same.
    let good = share(native_with_bursts, Canary { failing: 0.0, ..canary }, Verdict::Pass);
    let bad = share(native_with_bursts, Canary { failing: 0.2, together: 0.0, ..canary }, Verdict::Fail);
    assert!(good == 1.0 && bad == 1.0, "{good} {bad}");
}

#[test]
fn by_evidence_a_flawless_canary_passes_once_there_are_enough_requests_and_never_fails() {
    for (rate, seed) in [(0.1, 1), (0.5, 2), (2.0, 3)] {
        let canary = Canary { rate, failing: 0.0, initialised: false, ..CANARY };
        let report = run(native(), seed, canary, |report, requests| {
            assert_ne!(report.verdict, Verdict::Fail, "{report}");
            if requests < 74 {
                assert_eq!(report.verdict, Verdict::Inconclusive, "{requests}: {report}");
            }
        });
        assert_eq!(report.verdict, Verdict::Pass, "{rate}: {report}");
    }
    // Too few for half an hour: it says how many are missing.
    let report =
        run(native(), 4, Canary { rate: 0.02, failing: 0.0, initialised: false, ..CANARY }, |_, _| ());
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert!(report.reasons.iter().any(|reason| reason.code() == "not-enough-requests"), "{report}");
}

#[test]
fn an_idle_canary_is_never_judged_whatever_its_silence_looks_like() {
    // Series that stand still, which divide to NaN.
    let report =
        run(native(), 5, Canary { rate: 0.0, failing: 0.0, initialised: true, ..CANARY }, |report, _| {
            assert_eq!(report.verdict, Verdict::Inconclusive, "{report}");
        });
    assert!(report.reasons.iter().any(|reason| reason.code() == "no-traffic"), "{report}");
    // No series of this canary, beside those of another.
    let mut scraped = Scraped::new(6, Canary { rate: 5.0, failing: 0.0, initialised: true, ..CANARY });
    let source = scraped.until(Timestamp::from_secs(START_S + 1_800));
    let template = template();
    let args = [Argument::new("namespace", "shop"), Argument::new("canary-hash", "other")];
    let mut gate = Gate::new(GateSpec::from_template(&template, &args).unwrap());
    let end = Timestamp::from_secs(START_S + 1_800);
    let report = gate
        .replay(&source, Timestamp::from_secs(START_S), end, |report| {
            assert_eq!(report.verdict, Verdict::Inconclusive, "{report}");
        })
        .unwrap();
    assert!(report.reasons.iter().any(|reason| reason.code() == "no-such-value"), "{report}");
}

/// A source of which every tenth question fails.
struct Stumbling<'a>(&'a dyn Source, std::sync::atomic::AtomicUsize);

impl Source for Stumbling<'_> {
    fn select(&self, request: &SelectRequest<'_>) -> promgate::Result<SeriesSet> {
        let asked = self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if asked % 10 == 9 {
            Err(Error::new(ErrorKind::Io, "connection reset"))
        } else {
            self.0.select(request)
        }
    }
}

#[test]
fn two_bad_checks_of_three_are_both_named_although_the_source_stumbles() {
    let all = r#"hotrod_requests_total{rollouts_pod_template_hash="7d9f"}"#;
    let bad = r#"hotrod_requests_total{rollouts_pod_template_hash="7d9f",error="true"}"#;
    let buckets = r#"traces_span_metrics_duration_milliseconds_bucket{hotrod_pod_hash="7d9f"}"#;
    let spec = GateSpec::builder("three")
        .check(Check::ratio("errors", bad, all).below(0.05))
        .check(
            Check::ratio(
                "good",
                r#"hotrod_requests_total{rollouts_pod_template_hash="7d9f",error="false"}"#,
                all,
            )
            .above(0.5),
        )
        .check(Check::quantile("latency", buckets, 0.95).below(100.0))
        .deadline_ms(1_200_000)
        .interval_ms(60_000)
        .build()
        .unwrap();
    for seed in 0..5 {
        let canary = Canary { rate: 10.0, failing: 0.3, initialised: true, ..CANARY };
        let mut scraped = Scraped::new(seed, canary);
        let mut gate = Gate::new(spec.clone());
        gate.start(Timestamp::from_secs(START_S));
        while let Some(due) = gate.next_due() {
            let snapshot = scraped.until(due);
            gate.tick(due, &Stumbling(&snapshot, seed.try_into().unwrap_or(0).into())).unwrap();
        }
        let report = gate.report();
        assert_eq!(report.verdict, Verdict::Fail, "{report}");
        let failing = report.reasons.iter().filter(|reason| reason.severity == promgate::Severity::Fail);
        let named: Vec<&str> = failing.filter_map(|reason| reason.check.as_deref()).collect();
        assert_eq!(named, ["errors", "latency"], "{report}");
    }
}
