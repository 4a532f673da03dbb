//! Rules end to end: the files of `promtool test rules`, against what promtool 3.15 says about them; and a gate that asks for
//! what rules have recorded.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test reads files and stops at what is wrong"
)]

mod live;
#[path = "../differential/random.rs"]
#[allow(dead_code, reason = "shared with the differential queries")]
mod random;
mod verdicts;

use std::path::Path;

use promgate::{
    AlertState, Check, Engine, ErrorKind, Gate, GateSpec, Labels, RuleManager, RuleUnitTest,
    RuleUnitTestReport, Sample, Store, StoreOptions, Timestamp, Value, Verdict,
};

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules").join(name);
    std::fs::read_to_string(&path).unwrap()
}

fn run(file: &str, rules: &[&str]) -> RuleUnitTestReport {
    let mut test = RuleUnitTest::from_yaml(file, &read(file)).unwrap();
    for name in rules {
        test.add_rule_file(name, &read(name));
    }
    test.run()
}

/// The report without empty lines, of which promtool prints some to another stream.
fn shown(report: &RuleUnitTestReport) -> String {
    let text = report.to_string();
    text.lines().filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_file_that_promtool_passes_passes() {
    let report = run("passing_test.yml", &["service.yml"]);
    assert!(report.passed(), "{report}");
    assert_eq!(report.to_string(), "  SUCCESS\n");
    assert_eq!(report.tests.len(), 4);
    assert_eq!(report.tests[1].name, "unnamed#1");
}

/// The `.promtool` files are what the real promtool 3.15 printed for these files, empty lines left out.
#[test]
fn failures_are_told_in_the_words_of_promtool() {
    for (file, rules) in [("failing_test", "service.yml"), ("broken_rule_test", "broken_rule.yml")] {
        let report = run(&format!("{file}.yml"), &[rules]);
        assert!(!report.passed());
        assert_eq!(shown(&report), read(&format!("{file}.promtool")));
    }
}

#[test]
fn files_are_judged_as_promtool_judges_them() {
    for (passes, text) in verdicts::PROMTOOL {
        let report = RuleUnitTest::from_yaml("t", text).map(|mut test| {
            for name in test.rule_files().to_vec() {
                if name == "service.yml" {
                    test.add_rule_file(&name, &read(&name));
                }
            }
            test.run()
        });
        let passed = report.as_ref().is_ok_and(RuleUnitTestReport::passed);
        assert_eq!(passed, *passes, "{text}: {report:?}");
    }
}

#[test]
fn a_rule_file_with_mistakes_fails_every_test() {
    let mut test = RuleUnitTest::from_yaml("t", "tests: [{name: a}, {name: b}]").unwrap();
    test.add_rule_file("r.yml", "groups: [{name: g, rules: [{record: r, expr: 'sum('}]}]");
    let report = test.run();
    assert_eq!(report.tests.iter().filter(|test| test.failures.is_empty()).count(), 0);
    let failure = &report.tests[0].failures[0];
    assert!(
        failure.starts_with("r.yml: 1:46: group \"g\", rule 1, \"r\": could not parse expression: "),
        "{failure}"
    );
    let junit = report.to_junit();
    assert!(junit.contains(r#"<testsuite name="t" tests="2" failures="2" errors="0">"#), "{junit}");
    assert!(junit.contains("<failure>r.yml: 1:46: group &quot;g&quot;"), "{junit}");
}

#[test]
fn files_that_would_take_all_memory_or_time_are_refused() {
    let failure = |text: &str| {
        let mut test = RuleUnitTest::from_yaml("t", text).unwrap();
        test.add_rule_file("r", "groups: [{name: g, rules: [{record: r, expr: 'sum(m)'}]}]");
        test.run().tests[0].failures[0].clone()
    };
    let long = "tests: [{interval: 1ms, promql_expr_test: [{expr: m, eval_time: 199y}]}]";
    assert!(failure(long).ends_with("are allowed (evaluations)"));
    let wide = r#"tests: [{interval: 1ms, input_series: [{series: m, values: 0+1x1000000000000}, {series: n, values: 0x1000000000000}], promql_expr_test: [{expr: m, eval_time: 100d}]}]"#;
    assert!(failure(wide).ends_with("(input_samples)"));
    // What no evaluation reads is not made.
    let unread = "tests: [{input_series: [{series: m, values: 1x1000000000000}], promql_expr_test: [{expr: m, exp_samples: [{labels: m, value: 1}]}]}]";
    assert!(RuleUnitTest::from_yaml("t", unread).unwrap().run().passed());
}

const RULES: &str = r#"
groups:
  - name: checkout
    interval: 15s
    rules:
      - record: canary:errors:ratio1m
        expr: |
          sum by (canary) (rate(requests_total{code="500"}[1m]))
            / sum by (canary) (rate(requests_total[1m]))
      - alert: CanaryFails
        expr: canary:errors:ratio1m > 0.2
        for: 1m
        labels: {severity: page}
"#;

/// Scrapes a canary every 15 s: a hundred requests, of which so many fail.
fn scrape(store: &Store, second: i64, failed_of_100: f64) {
    let mut appender = store.appender();
    let scrapes = second as f64 / 15.0;
    for (code, each) in [("200", 100.0 - failed_of_100), ("500", failed_of_100)] {
        let pairs = [("__name__", "requests_total"), ("code", code), ("canary", "yes")];
        let sample = Sample::float(Timestamp::from_secs(second), each * scrapes);
        appender.append(&Labels::from_pairs(pairs), sample).unwrap();
    }
    appender.commit().unwrap();
}

/// A gate on the recorded series, ticked beside the rules that write it.
fn judged(failed_of_100: f64, with_rules: bool) -> (Verdict, usize) {
    let store = Store::in_memory(StoreOptions::new());
    let mut manager = RuleManager::new(Engine::new());
    if with_rules {
        manager.load("checkout.yml", RULES).unwrap();
    }
    let spec = GateSpec::builder("checkout")
        .check(Check::value("errors", r#"canary:errors:ratio1m{canary="yes"}"#).below(0.05).fails_beyond(0.2))
        .interval_ms(15_000)
        .deadline_ms(600_000)
        .build()
        .unwrap();
    let mut gate = Gate::new(spec);
    for second in (0..=300).step_by(15) {
        scrape(&store, second, failed_of_100);
        for group in manager.evaluate(&store, Timestamp::from_secs(second)) {
            assert!(group.rules.iter().all(|rule| rule.error.is_none()), "{group:?}");
        }
    }
    gate.start(Timestamp::from_secs(300));
    for second in (315..=1000).step_by(15) {
        let now = Timestamp::from_secs(second);
        scrape(&store, second, failed_of_100);
        manager.evaluate(&store, now);
        if gate.next_due().is_some_and(|due| due <= now) {
            gate.tick(now, &store.snapshot()).unwrap();
        }
    }
    let firing = manager.alerts().filter(|alert| alert.state == AlertState::Firing).count();
    (gate.report().verdict, firing)
}

#[test]
fn a_gate_decides_on_series_that_rules_record() {
    assert_eq!(judged(1.0, true), (Verdict::Pass, 0));
    assert_eq!(judged(50.0, true), (Verdict::Fail, 1));
    // Without the rules the series is silent, and silence does not pass.
    assert_eq!(judged(1.0, false), (Verdict::Inconclusive, 0));
}

/// A gate on `query`, ticked every 15 s beside rules of which one fails from each of these seconds on for the five minutes of
/// the lookback. `is_told`: the gate learns of it.
fn judged_beside_failures(query: &str, fails: &[i64], is_told: bool) -> (Verdict, Vec<String>) {
    const RULES: &str = "groups: [{name: g, interval: 15s, limit: 1, rules: [
        {record: 'canary:errors', expr: 'requests_total{code=\"500\"} * 0'},
        {record: 'canary:twice', expr: 'canary:errors * 2'},
        {record: 'other', expr: 'vector(0)'}]}]";
    let store = Store::in_memory(StoreOptions::new());
    let mut manager = RuleManager::new(Engine::new());
    manager.load("g.yml", RULES).unwrap();
    let spec = GateSpec::builder("g")
        .check(Check::value("errors", query).below(0.05).fails_beyond(0.2))
        .interval_ms(15_000)
        .deadline_ms(600_000)
        .build()
        .unwrap();
    let mut gate = Gate::new(spec);
    for second in (0..=1500).step_by(15) {
        let now = Timestamp::from_secs(second);
        scrape(&store, second, 1.0);
        if fails.contains(&second) {
            // A second series is more than the limit.
            let pairs = [("__name__", "requests_total"), ("code", "500"), ("canary", "no")];
            let mut appender = store.appender();
            appender.append(&Labels::from_pairs(pairs), Sample::float(now, 0.0)).unwrap();
            appender.commit().unwrap();
        }
        manager.evaluate(&store, now);
        if second == 600 {
            gate.start(now);
        }
        if second > 600 && gate.next_due().is_some_and(|due| due <= now) {
            match is_told {
                true => gate.tick(now, &manager.source(store.snapshot())).unwrap(),
                false => gate.tick(now, &store.snapshot()).unwrap(),
            };
        }
    }
    let report = gate.report();
    let codes = report.checks[0].reasons.iter().map(|reason| reason.finding.code().to_owned());
    (report.verdict, codes.collect())
}

#[test]
fn a_gate_does_not_pass_on_what_a_failed_rule_should_have_recorded() {
    for query in ["canary:errors", "canary:twice", "sum(canary:errors)"] {
        let judged = |fails: &[i64], is_told| judged_beside_failures(query, fails, is_told);
        assert_eq!(judged(&[], true).0, Verdict::Pass, "{query}");
        // It was well again before the gate began to look.
        assert_eq!(judged(&[0], true).0, Verdict::Pass, "{query}");
        for fails in [&[585][..], &[450, 600, 750, 900, 1050, 1200]] {
            let (verdict, codes) = judged(fails, true);
            assert_eq!(verdict, Verdict::Inconclusive, "{query} {fails:?}");
            assert!(codes.iter().any(|code| code == "rule-failed"), "{query} {fails:?}: {codes:?}");
        }
    }
    // What a rule makes of stale samples looks like any other series.
    assert_eq!(judged_beside_failures("canary:twice", &[585], false).0, Verdict::Pass);
    assert_eq!(judged_beside_failures("other", &[585], true).0, Verdict::Pass);
}

#[test]
fn alerts_of_a_store_on_disk_go_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let rules = RULES.replace("for: 1m", "for: 30m");
    let run = |seconds: std::ops::Range<i64>, restores: bool| {
        let store = Store::open(folder.path(), StoreOptions::new()).unwrap();
        let mut manager = RuleManager::new(Engine::new()).restores_alerts(restores);
        manager.load("checkout.yml", &rules).unwrap();
        for second in seconds.step_by(15) {
            scrape(&store, second, 50.0);
            manager.evaluate(&store, Timestamp::from_secs(second));
        }
        let alert = manager.alerts().next().unwrap().clone();
        let engine = Engine::new();
        let query = engine.prepare("ALERTS_FOR_STATE").unwrap();
        let at = alert.active_at;
        let answer = engine.instant(&store.snapshot(), &query, at.plus_millis(3_600_000)).unwrap();
        store.close().unwrap();
        (alert.state, alert.active_at.as_millis() / 1000, matches!(answer.value, Value::Vector(_)))
    };
    assert_eq!(run(0..600, false), (AlertState::Pending, 15, true));
    // A pause of five minutes, which does not count.
    let (state, active_at, _) = run(900..1800, true);
    assert_eq!((state, active_at), (AlertState::Pending, 15 + (915 - 585)));
}

#[test]
fn errors_of_files_have_their_kind() {
    let kind = |text: &str| RuleUnitTest::from_yaml("t", text).unwrap_err().kind();
    assert_eq!(kind("tests: [{x: 1}]"), ErrorKind::Parse);
    assert_eq!(kind(&" ".repeat(5 << 20)), ErrorKind::Limit);
    let error = RuleManager::new(Engine::new()).load("f", "groups: [{name: ''}]").unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string()),
        (ErrorKind::Parse, "1:10: the group has no name".to_owned())
    );
}
