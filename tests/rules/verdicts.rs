//! Whether promtool 3.15 (`promtool test rules`, exit status 0) passes these files: measured, not derived.

/// Verdict and file. `service.yml` is the one in this folder; other rule files are not there.
pub(crate) const PROMTOOL: &[(bool, &str)] = &[
    (true, r#""#),
    (true, r#"tests: []"#),
    (true, r#"tests:"#),
    (true, "rule_files: [nothing.yml]\ntests: []"),
    (true, r#"tests: [{}]"#),
    (false, r#"tests: [{unknown: 1}]"#),
    (false, r#"test: []"#),
    (false, "group_eval_order: [a, a]\ntests: []"),
    (false, "evaluation_interval: 1x\ntests: []"),
    (true, "evaluation_interval: 0\ntests: []"),
    (false, r#"tests: [{interval: 1m, interval: 2m}]"#),
    (false, r#"tests: [{input_series: [{series: 'm', values: '1 2 x'}]}]"#),
    (false, r#"tests: [{input_series: [{series: 'm', values: '1+1'}]}]"#),
    (false, r#"tests: [{input_series: [{series: 'm{', values: '1'}]}]"#),
    (true, r#"tests: [{input_series: [{series: 'm', values: ''}]}]"#),
    (
        false,
        r#"tests: [{input_series: [{series: '{}', values: '1'}], promql_expr_test: [{expr: 'count({a=""})', exp_samples: []}]}]"#,
    ),
    (
        true,
        r#"tests: [{input_series: [{series: 'm', values: '1 2'}, {series: m, values: '3 4'}], promql_expr_test: [{expr: m, eval_time: 1m, exp_samples: [{labels: m, value: 4}]}]}]"#,
    ),
    (
        true,
        r#"tests: [{input_series: [{series: 'm', values: '1x1000'}], promql_expr_test: [{expr: m, eval_time: 3m, exp_samples: [{labels: m, value: 1}]}]}]"#,
    ),
    (false, r#"tests: [{alert_rule_test: [{eval_time: 1m}]}]"#),
    (true, r#"tests: [{alert_rule_test: [{eval_time: 1m, alertname: A}]}]"#),
    (false, r#"tests: [{alert_rule_test: [{eval_time: 1m, alertname: A, exp_alerts: [{}]}]}]"#),
    (false, r#"tests: [{promql_expr_test: [{expr: 'sum(', eval_time: 1m}]}]"#),
    (false, r#"tests: [{promql_expr_test: [{expr: '', eval_time: 1m}]}]"#),
    (true, r#"tests: [{promql_expr_test: [{expr: '1', exp_samples: [{labels: '{}', value: 1}]}]}]"#),
    (false, r#"tests: [{promql_expr_test: [{expr: '1', exp_samples: [{labels: 'm{', value: 1}]}]}]"#),
    (false, r#"tests: [{promql_expr_test: [{expr: '1', exp_samples: [{labels: '{}', value: x}]}]}]"#),
    (
        false,
        r#"tests: [{promql_expr_test: [{expr: 'vector(1)', exp_samples: [{labels: '{}', histogram: '{{}} {{}}'}]}]}]"#,
    ),
    (true, r#"tests: [{promql_expr_test: [{expr: '1/0', exp_samples: [{labels: '{}', value: .inf}]}]}]"#),
    (true, r#"tests: [{promql_expr_test: [{expr: '0x10', exp_samples: [{value: 0x10}]}]}]"#),
    (true, r#"tests: [{promql_expr_test: [{expr: '1000', exp_samples: [{value: 1_000}]}]}]"#),
    (
        true,
        "fuzzy_compare: true\ntests: [{promql_expr_test: [{expr: '0.1+0.2', exp_samples: [{value: 0.3}]}]}]",
    ),
    (false, r#"tests: [{promql_expr_test: [{expr: '0.1+0.2', exp_samples: [{value: 0.3}]}]}]"#),
    (false, r#"tests: [{promql_expr_test: [{expr: 'mad_over_time(m[1m])', eval_time: 1m}]}]"#),
    (
        true,
        r#"tests: [{start_timestamp: 1000, promql_expr_test: [{expr: 'time()', eval_time: 1m, exp_samples: [{value: 1060}]}]}]"#,
    ),
    (false, r#"tests: [{start_timestamp: '2024-01-01', promql_expr_test: []}]"#),
    (
        true,
        "rule_files: [service.yml, service.yml]\ntests: [{promql_expr_test: [{expr: 'ALERTS', exp_samples: [{labels: 'ALERTS{alertname=\"Silent\",alertstate=\"firing\",service=\"cart\"}', value: 1}]}]}]",
    ),
    (
        true,
        "rule_files: [service.yml]\nevaluation_interval: 1m\ntests: [{interval: 1m, input_series: [{series: 'requests_total{service=\"cart\"}', values: '1 _x10 1'}], alert_rule_test: [{eval_time: 4m, alertname: Silent}, {eval_time: 6m, alertname: Silent, exp_alerts: [{exp_labels: {service: cart}}]}]}]",
    ),
    (
        true,
        r#"tests: [{input_series: [{series: m, values: '1 stale 2'}], promql_expr_test: [{expr: m, eval_time: 1m}, {expr: m, eval_time: 2m, exp_samples: [{labels: m, value: 2}]}]}]"#,
    ),
    (
        true,
        r#"tests: [{input_series: [{series: m, values: '0+1x5'}], promql_expr_test: [{expr: m, eval_time: 90s, exp_samples: [{labels: m, value: 1}]}]}]"#,
    ),
    (
        true,
        r#"tests: [{input_series: [{series: m, values: '1'}], promql_expr_test: [{expr: m, eval_time: 299999ms, exp_samples: [{labels: m, value: 1}]}, {expr: m, eval_time: 5m}]}]"#,
    ),
    (false, r#"tests: [{input_series: [{series: m, values: '{{schema:1}}+{{schema:0}}x2'}]}]"#),
    (
        true,
        r#"tests: [{input_series: [{series: m, values: 1 2 3}], promql_expr_test: [{expr: 'sum_over_time(m[3m:])', eval_time: 2m, exp_samples: [{value: 6}]}]}]"#,
    ),
    (
        true,
        "evaluation_interval: 30s\ntests: [{interval: 1m, input_series: [{series: m, values: 1 2 3}], promql_expr_test: [{expr: 'count_over_time(m[2m:])', eval_time: 2m, exp_samples: [{value: 4}]}]}]",
    ),
    (true, r#"tests: [{external_labels: {a: b}, external_url: x, name: n}]"#),
    (true, r#"tests: [{promql_expr_test: [{expr: '-0', exp_samples: [{value: 0}]}]}]"#),
    (
        true,
        r#"tests: [{input_series: [{series: 'm{a=""}', values: 1}], promql_expr_test: [{expr: 'm', exp_samples: [{labels: m, value: 1}]}]}]"#,
    ),
    (
        true,
        r#"tests: [{input_series: [{series: m, values: '  1   2  '}], promql_expr_test: [{expr: 'm', eval_time: 1m, exp_samples: [{labels: m, value: 2}]}]}]"#,
    ),
    (
        true,
        r#"tests: [{input_series: [{series: m, values: '1e3 -Inf NaN 0x3'}], promql_expr_test: [{expr: 'm', eval_time: 5m, exp_samples: [{labels: m, value: 0}]}]}]"#,
    ),
    (false, "tests: [{input_series: [{series: m, values: |\n  1 2\n}]}]"),
];
