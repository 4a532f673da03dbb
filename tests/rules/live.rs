//! Asks the real promtool about random rule files and random tests of them.
//!
//! ```sh
//! PROMGATE_PROMTOOL=/path/to/promtool PROMGATE_FILES=300 cargo test --test rules -- --ignored --nocapture
//! ```
//!
//! `PROMGATE_SEED` chooses other files. Exit statuses have to be equal, and what is printed for nineteen of twenty files: texts
//! of errors are ours in part (see the semantics). Lines that differ are shown.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use promgate::RuleUnitTest;

use crate::random::Random;

const FLOATS: [&str; 14] =
    ["_", "_x2", "stale", "0", "1", "2.5", "0+1x3", "5-1x4", "1x2", "NaN", "Inf", "-3", "1e3", "10"];
const HISTOGRAMS: [&str; 5] = [
    "{{schema:0 count:3 sum:4 buckets:[1 2]}}",
    "_",
    "{{schema:1 count:5 sum:2 z_bucket:1 buckets:[1 2 1] n_buckets:[0]}}x2",
    "{{count:1 sum:1 buckets:[1]}}+{{count:1 sum:1 buckets:[1]}}x3",
    "stale",
];
const EXPRESSIONS: [&str; 22] = [
    "m",
    "m > 1",
    "sum by (p) (m)",
    "rate(m[3m])",
    "m == 1",
    "h",
    "sum(h)",
    "count(m) by (c)",
    "m * 2",
    "r1",
    "r2 > 0",
    "m offset 1m",
    "ALERTS",
    "absent(m)",
    "1",
    "vector(1)",
    "histogram_quantile(0.9, h)",
    "avg_over_time(m[2m:30s])",
    "m{c=\"1\"} / on(p) m{c=\"2\"}",
    "rate(h[3m])",
    "timestamp(m)",
    "max_over_time(r1[3m])",
];
const DURATIONS: [&str; 6] = ["0s", "30s", "1m", "90s", "2m", "5m"];
const LABELS: [&str; 4] = ["{}", "{l: x}", "{p: \"\"}", "{c: z}"];
const TEMPLATES: [&str; 2] = ["{l: \"{{ $value }}\"}", "{l: \"{{ $labels.p }}-{{ len $labels }}\"}"];
const ASKED: [&str; 9] = [
    "r1",
    "r2",
    "r3",
    "r4",
    "ALERTS",
    "ALERTS_FOR_STATE",
    "{__name__=~\"r.*\"}",
    "count_over_time(ALERTS[1h])",
    "count_over_time({__name__=~\"r.*\"}[1h])",
];

fn values(random: &mut Random, from: &[&str], most: i64) -> String {
    let count = random.between(3, most);
    (0..count).map(|_| random.pick(from)).collect::<Vec<_>>().join(" ")
}

fn rule_file(random: &mut Random) -> String {
    let mut text = "groups:\n".to_owned();
    for group in 0..random.between(1, 3) {
        writeln!(text, "- name: g{group}").unwrap();
        if random.chance(30) {
            writeln!(text, "  limit: {}", random.between(1, 6)).unwrap();
        }
        if random.chance(30) {
            writeln!(text, "  query_offset: {}", random.pick(&DURATIONS)).unwrap();
        }
        if random.chance(30) {
            text.push_str("  labels: {team: t}\n");
        }
        text.push_str("  rules:\n");
        for _ in 0..random.between(1, 5) {
            let expr = random.pick(&EXPRESSIONS);
            let labels = random.pick(&LABELS);
            if random.chance(50) {
                let number = random.between(1, 5);
                writeln!(text, "  - {{record: r{number}, expr: '{expr}', labels: {labels}}}").unwrap();
                continue;
            }
            let labels = if random.chance(40) { random.pick(&TEMPLATES) } else { labels };
            let (wait, keep) = (random.pick(&DURATIONS), random.pick(&DURATIONS));
            let number = random.between(1, 4);
            writeln!(
                text,
                "  - alert: A{number}\n    expr: '{expr}'\n    for: {wait}\n    keep_firing_for: {keep}"
            )
            .unwrap();
            writeln!(text, "    labels: {labels}").unwrap();
            text.push_str(
                "    annotations: {a: '{{ $value }} {{ $labels.p }}', q: '{{ range query \"count(m)\" }}{{ .Value }}{{ end }}'}\n",
            );
        }
    }
    text
}

/// A test whose expectations are wrong throughout, so that everything that is found is printed.
fn test_file(random: &mut Random) -> String {
    let mut text = "rule_files: [rules.yml]\n".to_owned();
    writeln!(text, "evaluation_interval: {}", random.pick(&["1m", "30s", "2m"])).unwrap();
    writeln!(text, "tests:\n- interval: {}", random.pick(&["1m", "30s", "15s"])).unwrap();
    if random.chance(30) {
        writeln!(text, "  start_timestamp: {}", random.between(0, 2_000_000_000)).unwrap();
    }
    text.push_str("  input_series:\n");
    for (pod, code) in [("a", "1"), ("a", "2"), ("b", "1"), ("b", "2")] {
        if random.chance(80) {
            let values = values(random, &FLOATS, 15);
            writeln!(text, "  - {{series: 'm{{p=\"{pod}\", c=\"{code}\"}}', values: '{values}'}}").unwrap();
        }
    }
    for pod in ["a", "b"] {
        if pod == "a" || random.chance(50) {
            let values = values(random, &HISTOGRAMS, 8);
            writeln!(text, "  - {{series: 'h{{p=\"{pod}\"}}', values: '{values}'}}").unwrap();
        }
    }
    text.push_str("  alert_rule_test:\n");
    for number in [1, 2, 3, 1, 2, 3] {
        let time = random.between(0, 901);
        writeln!(
            text,
            "  - {{eval_time: {time}s, alertname: A{number}, exp_alerts: [{{exp_labels: {{zz: x}}}}]}}"
        )
        .unwrap();
    }
    text.push_str("  promql_expr_test:\n");
    for expr in ASKED.iter().flat_map(|expr| [expr, expr]) {
        let time = random.between(0, 901);
        writeln!(text, "  - {{expr: '{expr}', eval_time: {time}s, exp_samples: [{{labels: zz, value: 7}}]}}")
            .unwrap();
    }
    text
}

/// The lines of a report, in no order: promtool prints some to another stream.
fn lines(text: &str) -> Vec<&str> {
    let is_said = |line: &&str| !line.trim().is_empty() && !line.contains("Unit Testing");
    let mut lines: Vec<&str> = text.lines().filter(is_said).map(without_group).collect();
    lines.sort_unstable();
    lines
}

/// Behind the error of a rule that is beyond its group's limit promtool prints one more word.
fn without_group(line: &str) -> &str {
    match line.rsplit_once(": ") {
        Some((before, last)) if before.contains("exceeded limit of") && !last.contains(' ') => before,
        _ => line,
    }
}

fn promtool(program: &str, folder: &Path) -> (bool, String) {
    let output =
        Command::new(program).args(["test", "rules", "test.yml"]).current_dir(folder).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
#[ignore = "needs the real promtool: see the head of this file"]
fn random_files_are_judged_as_promtool_judges_them() {
    let program = std::env::var("PROMGATE_PROMTOOL").unwrap();
    let (files, first) = (variable("PROMGATE_FILES", 100), variable("PROMGATE_SEED", 1));
    let folder = tempfile::tempdir().unwrap();
    let mut equal = 0;
    for seed in first..first + files {
        let mut random = Random::new(seed);
        let (rules, tests) = (rule_file(&mut random), test_file(&mut random));
        std::fs::write(folder.path().join("rules.yml"), &rules).unwrap();
        std::fs::write(folder.path().join("test.yml"), &tests).unwrap();
        let (passes, wanted) = promtool(&program, folder.path());
        let (passed, found) = match RuleUnitTest::from_yaml("test.yml", &tests) {
            Err(error) => (false, error.to_string()),
            Ok(mut test) => {
                test.add_rule_file("rules.yml", &rules);
                let report = test.run();
                (report.passed(), report.to_string())
            }
        };
        assert_eq!(passed, passes, "seed {seed}\n{rules}\n{tests}\npromtool: {wanted}\nhere: {found}");
        let (wanted, found) = (lines(&wanted), lines(&found));
        if wanted == found {
            equal += 1;
            continue;
        }
        println!("seed {seed}");
        wanted.iter().filter(|line| !found.contains(line)).for_each(|line| println!("  promtool {line}"));
        found.iter().filter(|line| !wanted.contains(line)).for_each(|line| println!("  here     {line}"));
    }
    println!("{equal} of {files} files print the same lines");
    assert!(equal * 20 >= files * 19, "more than one file in twenty differs");
}
