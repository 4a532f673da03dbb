//! Templates with one weakness each, and without.

use super::*;
use crate::gate::fixture::Fixture;

const GOOD: &str = r#"sum(rate(requests_total{pod="a",code="500"}[2m])) or vector(0)"#;
const ALL: &str = r#"sum(rate(requests_total{pod="a"}[2m]))"#;

/// A template of one metric; `more` are further fields of it.
fn template(query: &str, success: &str, more: &str) -> AnalysisTemplate {
    let (query, success) = (query.replace('"', "\\\""), success.replace('"', "\\\""));
    let text = format!(
        r#"{{"metrics": [{{"name": "m", "successCondition": "{success}", {more} "provider": {{"prometheus": {{"query": "{query}"}}}}}}],
            "args": [{{"name": "hash"}}, {{"name": "empty", "value": ""}}]}}"#
    );
    AnalysisTemplate::from_json(&text).unwrap()
}

fn codes(query: &str, success: &str, more: &str) -> Vec<&'static str> {
    template(query, success, more).lint(&[]).iter().map(|lint| lint.code).collect()
}

#[track_caller]
fn told(code: &str, query: &str, success: &str, more: &str) {
    let found = codes(query, success, more);
    assert!(found.contains(&code), "{code} is not among {found:?}");
}

#[test]
fn a_gate_that_asks_what_it_means_has_no_error_and_no_warning() {
    let query = format!("({GOOD}) / {ALL}");
    let lints =
        template(&query, "result[0] < 0.05", r#""interval": "2m", "initialDelay": "2m", "count": 30,"#)
            .lint(&[]);
    assert!(lints.iter().all(|lint| lint.severity == LintSeverity::Information), "{lints:?}");
}

#[test]
fn what_passes_on_silence_is_told_with_the_answer_that_passes() {
    let query = format!("({GOOD}) / {ALL}");
    for (query, success, answer) in [
        (query.clone(), "len(result) == 0 || result[0] < 0.05", "[]"),
        (query.clone(), "isNaN(result[0]) || result[0] < 0.05", "[NaN]"),
        (format!("({GOOD}) / clamp_min({ALL}, 0.1)"), "result[0] < 0.05", "[0]"),
        (format!("(({GOOD}) / {ALL}) or vector(1)"), "result[0] > 0.95", "[1]"),
        (format!("scalar(({GOOD}) / {ALL})"), "!(result > 0.05)", "NaN"),
        (
            r#"histogram_quantile(0.9, sum by (le) (rate(d_bucket{pod="a"}[2m])))"#.to_owned(),
            "!(result[0] > 1)",
            "[NaN]",
        ),
    ] {
        let lints = template(&query, success, "").lint(&[]);
        let passing = lints.iter().find(|lint| lint.code == "can-pass-on-nothing").expect(success);
        assert!(passing.text.contains(answer), "{}", passing.text);
    }
    assert!(!codes(&query, "result[0] < 0.05", "").contains(&"can-pass-on-nothing"));
    // Where a counter of errors stands still there are none.
    let restarts = r#"sum(increase(restarts_total{pod="a"}[5m]))"#;
    assert!(!codes(restarts, "result[0] == 0", "").contains(&"can-pass-on-nothing"));
}

#[test]
fn conditions_that_decide_nothing_are_told() {
    let query = format!("({GOOD}) / {ALL}");
    told("cannot-fail", &query, "result[0] > -1e300 || result[0] <= 0", "");
    told("cannot-pass", &query, "result[0] < 0 && result[0] > 1", "");
    told("type-error", &query, "result < 0.05", "");
    told("yaml-comment-cut", &query, "all(result,", "");
    told("no-success-condition", &query, "", r#""failureCondition": "result[0] > 0.05","#);
    told("index-without-length", &query, "result[0] < 0.05", "");
    let lints = template(&query, "result < 0.05", "").lint(&[]);
    let repaired = lints.iter().find(|lint| lint.code == "type-error").unwrap();
    assert_eq!(repaired.suggestion.as_deref(), Some("write result[0] < 0.05"));
}

#[test]
fn queries_that_do_not_parse_come_with_a_repair() {
    for (query, repair) in [
        ("rate(x)[5m]", "behind the selector"),
        ("rate(sum(x)[5m])", "rate comes before sum"),
        ("sum(rate(x))", "rate(x[5m])"),
        ("sum(rate(x[5m])", "is missing"),
    ] {
        let lints = template(query, "result[0] < 1", "").lint(&[]);
        let error = lints.iter().find(|lint| lint.code == "query-error").expect(query);
        assert!(error.suggestion.as_ref().is_some_and(|text| text.contains(repair)), "{error}");
    }
}

#[test]
fn arguments_are_followed_into_the_metric() {
    told("unknown-argument", r#"up{pod="{{args.nothing}}"}"#, "result[0] == 1", "");
    told("unknown-argument", "sum(rate(x[$__rate_interval]))", "result[0] < 1", "");
    told("empty-argument", r#"up{pod=~"app-{{args.empty}}-.*"}"#, "result[0] == 1", "");
    let lints = template("up", "result[0] == 1", "").lint(&[Argument::new("other", "x")]);
    let named = |code: &str| -> Vec<String> {
        lints.iter().filter(|lint| lint.code == code).flat_map(|lint| lint.names.clone()).collect()
    };
    assert_eq!(named("dropped-argument"), ["other"]);
    assert_eq!(named("unused-argument"), ["hash", "empty"]);
}

#[test]
fn limits_and_times_are_compared_with_each_other() {
    let query = format!("({GOOD}) / {ALL}");
    let with = |code: &str, more: &str| told(code, &query, "result[0] < 0.05", more);
    with("limit-unreachable", r#""count": 3, "interval": "3m", "failureLimit": 3,"#);
    with(
        "limits-swallow-count",
        r#""count": 4, "interval": "3m", "failureLimit": 2, "inconclusiveLimit": 2,"#,
    );
    with("limit-not-a-number", r#""failureLimit": "10%","#);
    with("negative-count", r#""count": -1,"#);
    with("negative-interval", r#""interval": "-1s","#);
    with("overlapping-windows", r#""interval": "10s", "count": 5,"#);
    with("delay-shorter-than-window", r#""interval": "3m", "initialDelay": "60s","#);
    let calm = codes(
        &query,
        "result[0] < 0.05",
        r#""interval": "2m", "initialDelay": "120s", "count": 5, "failureLimit": 2,"#,
    );
    assert!(!calm.iter().any(|code| code.contains("limit") || code.contains("window")), "{calm:?}");
}

#[test]
fn a_late_look_at_traffic_and_too_little_of_it_are_told() {
    let metric = |name: &str, query: &str, condition: &str, delay: &str| {
        let query = query.replace('"', "\\\"");
        format!(
            r#"{{"name": "{name}", "interval": "10s", "count": 3, "initialDelay": "{delay}", "successCondition": "{condition}",
                "provider": {{"prometheus": {{"query": "{query}"}}}}}}"#
        )
    };
    let spec = |traffic_delay: &str, rate: &str| {
        let traffic = metric("traffic", ALL, &format!("result[0] >= {rate}"), traffic_delay);
        let errors = metric("errors", &format!("({GOOD}) / {ALL}"), "result[0] < 0.05", "60s");
        let text = format!(r#"{{"metrics": [{traffic}, {errors}], "dryRun": [{{"metricName": "err"}}]}}"#);
        AnalysisTemplate::from_json(&text).unwrap().lint(&[])
    };
    let found = spec("90s", "0.05");
    let has = |lints: &[Lint], code: &str, metric: Option<&str>| {
        lints.iter().any(|lint| lint.code == code && lint.metric.as_deref() == metric)
    };
    assert!(has(&found, "order-hides-traffic", Some("traffic")));
    assert!(has(&found, "too-few-by-design", Some("errors")));
    assert!(has(&found, "dry-run-unanchored", None));
    let better = spec("0s", "10");
    assert!(!has(&better, "order-hides-traffic", Some("traffic")));
    assert!(!has(&better, "too-few-by-design", Some("errors")));
}

#[test]
fn scrapes_and_inner_spans_among_the_traffic_are_told_from_the_data() {
    let scraped = |labels: &[(&str, &str)]| -> Vec<(String, String)> {
        labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let mut source = Fixture::default();
    for (name, kind) in
        [("/dispatch", "SPAN_KIND_SERVER"), ("/metrics", "SPAN_KIND_SERVER"), ("SQL", "SPAN_KIND_CLIENT")]
    {
        let labels =
            scraped(&[("__name__", "calls_total"), ("pod", "a"), ("span_kind", kind), ("span_name", name)]);
        let labels: Vec<(&str, &str)> =
            labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        source = source.series(&labels, (0..60).map(|at| (at * 10, at as f64)));
    }
    let query = r#"sum(rate(calls_total{pod="a"}[30s]))"#;
    let template = template(query, "result[0] >= 0.05", "");
    let lints = template.lint_with(&[], &source, Timestamp::from_secs(590)).unwrap();
    let named = |code: &str| {
        let lint = lints.iter().find(|lint| lint.code == code).expect(code);
        (lint.names.clone(), lint.suggestion.clone().unwrap())
    };
    assert_eq!(named("counts-scrapes").0, ["/metrics"]);
    assert_eq!(named("counts-inner-spans").1, r#"add span_kind="SPAN_KIND_SERVER""#);
    assert_eq!(named("scrape-too-slow").0, ["10"]);
    let broken = template.lint_with(&[], &source.broken(), Timestamp::from_secs(590));
    assert!(broken.is_err());
}

#[cfg(feature = "argo")]
#[test]
fn findings_of_a_file_know_their_lines() {
    let text = "\
# Two documents, of which the second is a template.
kind: Service
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: t}
spec:
  metrics:
    - name: errors
      successCondition: result < 0.05
      provider:
        prometheus:
          query: |
            sum(rate(x[2m]
";
    let lints = AnalysisTemplate::lint_yaml(text, &[]).unwrap();
    let place = |code: &str| lints.iter().find(|lint| lint.code == code).expect(code).place;
    assert_eq!(place("query-error"), Some((14, 13)));
    // What is no finite number is read as text.
    let odd =
        text.replace("metadata: {name: t}", "metadata: {name: .inf, annotations: {.inf: .nan}}\n.inf: x");
    let lints = AnalysisTemplate::lint_yaml(&odd, &[]).unwrap();
    assert_eq!(lints.iter().find(|lint| lint.code == "query-error").unwrap().place, Some((15, 13)));
    assert!(AnalysisTemplate::lint_yaml("a: [", &[]).is_err());
    assert!(AnalysisTemplate::lint_yaml("kind: Service\n", &[]).unwrap().is_empty());
}
