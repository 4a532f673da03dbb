//! A gate over data that nobody would wish for: it answers, it never panics, and nonsense never passes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use promgate::{
    BurnRateWindows, Check, Gate, GateSpec, GateState, Labels, NativeHistogram, Sample, SampleValue, Span,
    Store, StoreOptions, Timestamp, Verdict,
};
use proptest::prelude::*;

const START_S: i64 = 1_700_000_000;
/// The series that holds native histograms.
const NATIVE: usize = 9;

fn spec() -> GateSpec {
    let all = r#"requests_total{version="canary"}"#;
    let failed = r#"requests_total{version="canary",code="500"}"#;
    GateSpec::builder("hostile")
        .check(Check::volume("traffic", all).at_least(0.1))
        .check(Check::ratio("errors", failed, all).below(0.05))
        .check(Check::quantile("latency", r#"seconds_bucket{version="canary"}"#, 0.95).below(0.5))
        .deadline_ms(300_000)
        .build()
        .unwrap()
}

/// Checks of the other kinds over the same series; `version="stable"` is the baseline.
fn others() -> GateSpec {
    let pair = |version: &str| {
        (
            format!("requests_total{{version={version:?},code=\"500\"}}"),
            format!("requests_total{{version={version:?}}}"),
        )
    };
    GateSpec::builder("others")
        .check(
            Check::comparison("factor", pair("canary"), pair("stable")).within_factor(1.5).fails_beyond(3.0),
        )
        .check(Check::comparison("points", pair("canary"), pair("stable")).within_difference(0.01))
        .check(Check::count("count", "requests_total{code=\"500\"}", 60_000).at_most(10.0))
        .check(Check::value("value", "max(up) / min(up) + sum(rate(requests_total[1m]))").below(100.0))
        .check(
            Check::ratio("each", "requests_total{code=\"500\"}", "requests_total")
                .below(0.05)
                .by(["version"]),
        )
        .check(Check::quantile("slow", "seconds_bucket", 0.9).below(0.3).by(["instance", "nothing"]))
        .deadline_ms(300_000)
        .build()
        .unwrap()
}

/// Checks that allow for bursts or decide in one look, presets, and a native histogram.
fn careful(once: bool) -> GateSpec {
    let (failed, all) = ("requests_total{code=\"500\"}", "requests_total");
    let pair = |version: &str| {
        (
            format!("requests_total{{code=\"500\",version={version:?}}}"),
            format!("{all}{{version={version:?}}}"),
        )
    };
    let builder = GateSpec::builder("careful")
        .check(Check::ratio("errors", failed, all).below(0.05))
        .check(Check::burn_rate("budget", failed, all, 0.99).below(10.0))
        .check(Check::burn_rate("windows", failed, all, 0.99).below(10.0).windows([
            BurnRateWindows::new(14.4, 60_000, 10_000),
            BurnRateWindows::new(10.0, 300_000, 60_000),
        ]))
        .check(Check::apdex("satisfaction", "seconds_bucket", 0.125).above(0.8))
        .check(Check::quantile("native", "seconds", 0.9).below(0.5))
        .check(Check::comparison("factor", pair("canary"), pair("stable")).within_factor(1.5))
        .check(Check::comparison("points", pair("canary"), pair("stable")).within_difference(0.01))
        .interval_ms(5_000)
        .min_requests(5)
        .deadline_ms(300_000);
    if once { builder.looks_once(true).dispersion_factor(1.5) } else { builder.allow_bursts().watch(true) }
        .build()
        .unwrap()
}

/// Samples that are compared, of whatever they are.
fn gauges() -> GateSpec {
    let (canary, baseline) = ("requests_total{version=\"canary\"}", "requests_total{version=\"stable\"}");
    GateSpec::builder("gauges")
        .check(Check::gauge("factor", canary, baseline).within_factor(1.5))
        .check(Check::gauge("difference", canary, baseline).within_difference(10.0).by(["code"]))
        .settle_ms(0)
        .deadline_ms(1_200_000)
        .build()
        .unwrap()
}

/// Two buckets of observations, of which the counts may be anything.
fn histogram(count: f64) -> NativeHistogram {
    NativeHistogram {
        count,
        sum: count,
        positive_spans: vec![Span { offset: -1, length: 2 }],
        positive_buckets: vec![count / 2.0, count / 2.0],
        ..NativeHistogram::default()
    }
}

/// Series that the gate looks at, or that describe its target.
fn series(index: usize) -> Labels {
    let own: &[(&str, &str)] = match index {
        0 => &[("__name__", "requests_total"), ("code", "200")],
        1 => &[("__name__", "requests_total"), ("code", "500")],
        2 => &[("__name__", "seconds_bucket"), ("le", "0.1")],
        3 => &[("__name__", "seconds_bucket"), ("le", "0.5")],
        4 => &[("__name__", "seconds_bucket"), ("le", "+Inf")],
        5 => &[("__name__", "up")],
        6 => &[("__name__", "process_start_time_seconds")],
        7 => &[("__name__", "requests_total"), ("code", "200")],
        NATIVE => &[("__name__", "seconds")],
        _ => &[("__name__", "requests_total"), ("code", "500")],
    };
    let version = if index < 7 { "canary" } else { "stable" };
    let target = [("version", version), ("instance", version), ("job", "j")];
    Labels::from_pairs(own.iter().copied().chain(target))
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (0_u32..1000).prop_map(f64::from),
        1 => any::<f64>(),
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(-1.0), Just(1e300)],
        1 => Just(promgate::stale_marker()),
    ]
}

fn judge(spec: fn() -> GateSpec, samples: &[(usize, i64, f64)], ticks: &[i64]) -> promgate::Report {
    let store = Store::in_memory(StoreOptions::new());
    let start = Timestamp::from_secs(START_S);
    let mut in_order = samples.to_vec();
    in_order.sort_by_key(|(_, second, _)| *second);
    let mut appender = store.appender();
    for (index, second, value) in in_order {
        let time = start.plus_millis(second * 1000);
        let sample = match index {
            NATIVE => Sample {
                value: SampleValue::Histogram(histogram(value).into()),
                ..Sample::float(time, value)
            },
            _ => Sample::float(time, value),
        };
        // A histogram whose counts are none is refused, and that is well.
        assert!(appender.append(&series(index), sample).is_ok() || index == NATIVE);
    }
    // Several samples at one time are refused, and that is well.
    appender.commit().unwrap();
    let snapshot = store.snapshot();
    let mut gate = Gate::new(spec());
    gate.start(start);
    let mut now = start;
    for step in ticks {
        now = now.plus_millis(step * 1000);
        gate.tick(now, &snapshot).unwrap();
        // A controller that restarts here goes on from what it wrote down; an infinite sum once made that unreadable.
        let state = gate.state();
        let read = GateState::from_json(&state.to_json().unwrap()).unwrap();
        assert_eq!(read, state);
        gate = Gate::resume(spec(), read).unwrap();
    }
    gate.report()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_data_gets_an_answer_with_a_reason(
        samples in proptest::collection::vec((0_usize..=NATIVE, -120_i64..400, value()), 0..120),
        ticks in proptest::collection::vec(0_i64..60, 1..20),
    ) {
        for spec in [spec, others, gauges, || careful(true), || careful(false)] {
            let report = judge(spec, &samples, &ticks);
            prop_assert!(!report.because().is_empty());
            prop_assert!(!report.to_string().is_empty());
            prop_assert!(serde_json::to_string(&report).is_ok());
            prop_assert!(report.to_markdown().contains(report.gate.as_str()));
            prop_assert!(report.to_junit().ends_with("</testsuites>\n"));
        }
    }

    #[test]
    fn counters_that_stand_still_are_never_judged(
        values in proptest::collection::vec(value(), 7),
        ticks in proptest::collection::vec(0_i64..60, 1..20),
    ) {
        let samples: Vec<_> = (0..7)
            .flat_map(|index| (-12..40).map(move |scrape| (index, scrape * 10)))
            .map(|(index, second)| (index, second, values[index]))
            .collect();
        prop_assert_eq!(judge(spec, &samples, &ticks).verdict, Verdict::Inconclusive);
    }

    /// Scrapes of one value each, good requests, whatever comes between them.
    #[test]
    fn counters_that_stand_still_are_never_judged_by_careful_gates_either(
        values in proptest::collection::vec(value(), 10),
        once in any::<bool>(),
    ) {
        let samples: Vec<_> = (0..=NATIVE)
            .flat_map(|index| (-12..40).map(move |scrape| (index, scrape * 10)))
            .map(|(index, second)| (index, second, values[index]))
            .collect();
        let spec = if once { || careful(true) } else { || careful(false) };
        prop_assert_eq!(judge(spec, &samples, &[10; 32]).verdict, Verdict::Inconclusive);
    }

    #[test]
    fn requests_that_are_no_numbers_never_pass(
        scrapes in proptest::collection::vec(prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY)], 5..40),
    ) {
        let samples: Vec<_> = scrapes
            .iter()
            .enumerate()
            .flat_map(|(scrape, value)| {
                let second = scrape as i64 * 10 - 10;
                [(0, *value), (1, 0.0), (2, *value), (3, *value), (4, *value), (5, 1.0), (6, 1.0)]
                    .map(|(index, value)| (index, second, value))
            })
            .collect();
        prop_assert_ne!(judge(spec, &samples, &[10; 32]).verdict, Verdict::Pass);
    }
}
