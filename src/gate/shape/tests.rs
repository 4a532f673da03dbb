use super::*;
use crate::gate::argo::Phase;
use crate::gate::spec::BurnRateWindows;

fn derived(query: &str, success: &str, failure: &str) -> Derived {
    Shape::of(query, success, failure).unwrap().derived
}

const ERRORS: &str = r#"sum(rate(requests{code="500"}[2m]))"#;
const ALL: &str = "sum(rate(requests[2m]))";

#[track_caller]
fn is_ratio(query: &str, success: &str, failure: &str, wanted: (bool, f64, f64)) {
    let derived = derived(query, success, failure);
    let Kind::Ratio { events_are_good, pass_below, fail_above, .. } = derived.kind else {
        panic!("{query}: {derived:?}")
    };
    let near = |a: f64, b: f64| (a - b).abs() < 1e-12 || a == b;
    assert_eq!(events_are_good, wanted.0, "{query}");
    assert!(near(pass_below, wanted.1) && near(fail_above, wanted.2), "{query}: {pass_below} {fail_above}");
}

#[test]
fn the_same_ratio_is_seen_however_it_is_written() {
    let bad = (false, 0.05, 0.05);
    for (query, success) in [
        (format!("{ERRORS} / {ALL}"), "result[0] < 0.05"),
        (format!("{ERRORS} / {ALL}"), "0.05 > result[0]"),
        (format!("{ERRORS} / {ALL}"), "len(result) > 0 && !isNaN(result[0]) && result[0] <= 0.05"),
        (format!("{ERRORS} / {ALL}"), "result[0] * 100 < 5"),
        (format!("{ERRORS} / {ALL}"), "1 - result[0] > 0.95"),
        (format!("100 * {ERRORS} / {ALL}"), "result[0] < 5"),
        (format!("{ERRORS} / {ALL} * 100"), "result[0] < 5"),
        (format!("100 - 100 * {ERRORS} / {ALL}"), "result[0] >= 95"),
        (format!("({ERRORS} or vector(0)) / clamp_min({ALL}, 0.001)"), "result[0] < 0.05"),
        (format!("({ERRORS} / ({ALL} > 0)) or vector(0)"), "result[0] < 0.05"),
        (format!("({ALL} - {ERRORS}) / {ALL}"), "result[0] >= 0.95"),
        (format!("-(0 - {ERRORS}) / {ALL}"), "result[0] < 0.05"),
    ] {
        is_ratio(&query, success, "", bad);
    }
    is_ratio(&format!("{ERRORS} / {ALL}"), "", "result[0] > 0.05", bad);
    is_ratio(&format!("{ERRORS} / {ALL} <= 0.05"), "len(result) > 0", "", bad);
    is_ratio(&format!("{ERRORS} / {ALL} > 0.05"), "len(result) == 0", "", bad);
    is_ratio(&format!("{ERRORS} / {ALL}"), "result[0] >= 0.95", "", (true, 0.05, 0.05));
}

#[test]
fn two_thresholds_make_a_band() {
    let query = format!("{ERRORS} / {ALL}");
    is_ratio(&query, "result[0] < 0.02", "result[0] > 0.05", (false, 0.02, 0.05));
    is_ratio(&query, "result[0] > 0.9", "result[0] < 0.5", (true, 0.1, 0.5));
}

#[test]
fn what_is_computed_from_answers_that_may_be_dropped_is_opaque() {
    for query in [
        format!("({ERRORS} / {ALL} > 0.05) * 100"),
        format!("{ERRORS} * {ALL}"),
        format!("{ERRORS} / sum(rate(requests[2m] offset 5m))"),
        format!("{ERRORS} / sum(increase(requests[2m]))"),
        format!("{ERRORS} / on() {ALL} or up"),
        r#"sum(rate(d_sum{a="1"}[2m])) / sum(rate(d_count[2m]))"#.to_owned(),
        r"histogram_quantile(0.9, sum by (le) (rate(d_bucket[2m])) < 5)".to_owned(),
        "topk(1, up)".to_owned(),
        "absent(up)".to_owned(),
    ] {
        let shape = Shape::of(&query, "result[0] < 1", "").unwrap();
        assert!(shape.measured.is_opaque(), "{query}");
    }
}

#[test]
fn conditions_that_judge_nothing_are_told_apart() {
    let read = |success: &str, failure: &str| Reading::of(success, failure, false, &|_| true).numbers;
    assert_eq!(read("true", ""), Numbers::All(Phase::Successful));
    assert_eq!(read("result[0] > 1 && result[0] < 0", ""), Numbers::All(Phase::Failed));
    assert!(matches!(read("result >= 0.95", ""), Numbers::Broken(_)));
    assert_eq!(read("result[0] > 0.5 && result[0] < 0.7", ""), Numbers::Other);
    assert_eq!(read("result[0] == 1", ""), Numbers::Exactly(1.0));
    assert_eq!(read("result[0] in [1]", ""), Numbers::Exactly(1.0));
}

#[test]
fn a_border_is_found_to_the_last_bit() {
    for border in [0.3, -2.5e-7, 12_345.678, 0.1 + 0.2] {
        let text = format!("result[0] <= {border:?} - 1");
        let Numbers::Below { pass, .. } = Reading::of(&text, "", false, &|_| true).numbers else {
            panic!("{text}")
        };
        assert_eq!(pass, border - 1.0);
    }
}

#[test]
fn one_element_or_every_element_is_looked_at() {
    let read = |success: &str| Reading::of(success, "", false, &|_| true).elements;
    assert_eq!(read("result[0] < 0.05"), Elements::First);
    assert_eq!(read("all(result, # < 0.05)"), Elements::Every);
    assert_eq!(read("result[0] < 0.05 && len(result) < 2"), Elements::Every);
}

#[test]
fn elements_that_nobody_aggregates_are_each_a_check() {
    let quantile = |by: &str| format!("histogram_quantile(0.9, {by}(rate(d_bucket[2m])))");
    assert!(!derived(&quantile("sum by (le) "), "result[0] < 1", "").per_element);
    assert!(derived(&quantile("sum by (le, pod) "), "result[0] < 1", "").per_element);
    assert!(derived(&quantile(""), "result[0] < 1", "").per_element);
    assert!(derived("rate(requests[2m])", "result[0] >= 1", "").per_element);
    assert!(!derived("up", "result[0] == 1", "").per_element);
    assert!(derived("up", "all(result, # == 1)", "").per_element);
}

#[test]
fn a_quantile_with_two_limits_has_no_check() {
    let query = "histogram_quantile(0.9, sum by (le) (rate(d_bucket[2m])))";
    assert!(matches!(derived(query, "result[0] < 1", "").kind, Kind::Quantile { .. }));
    assert_eq!(derived(query, "result[0] < 1", "result[0] > 2").kind, Kind::Opaque);
}

#[test]
fn the_lesser_of_a_ratio_over_two_windows_is_a_burn_rate_over_both() {
    let over = |window: &str, budget: &str| format!("({ERRORS} / {ALL}) / {budget}").replace("2m", window);
    let marked = |ratio: &str, mark: &str| format!("label_replace({ratio}, \"w\", \"{mark}\", \"\", \"\")");
    let both =
        |long: &str, short: &str| format!("min({} or {})", marked(long, "long"), marked(short, "short"));
    let of = |query: &str| {
        derived(query, "len(result) == 0 || result[0] < 6", "len(result) > 0 && result[0] >= 14.4").kind
    };
    let (long, short) = (over("1h", "0.001"), over("5m", "0.001"));
    for query in [both(&long, &short), both(&short, &long)] {
        let Kind::Ratio { pass_below, fail_above, burn_rate, events_are_good, .. } = of(&query) else {
            panic!("{query}")
        };
        assert!(
            (pass_below - 0.006).abs() < 1e-12 && (fail_above - 0.0144).abs() < 1e-12 && !events_are_good
        );
        let burn_rate = burn_rate.unwrap();
        let [BurnRateWindows { factor, long_ms, short_ms }] = burn_rate.windows[..] else { panic!() };
        assert!((factor - 14.4).abs() < 1e-9 && (burn_rate.budget - 0.001).abs() < 1e-15);
        assert_eq!((long_ms, short_ms), (3_600_000, 300_000));
    }
    // Other events, other budgets, windows that are alike, marks that are alike, more that may be least.
    for query in [
        both(&long, &short.replace("500", "503")),
        both(&long, &over("5m", "0.002")),
        both(&long, &long),
        format!("min({} or {})", marked(&long, "w"), marked(&short, "w")),
        format!("max({} or {})", marked(&long, "long"), marked(&short, "short")),
        format!("min by (w) ({} or {})", marked(&long, "long"), marked(&short, "short")),
        format!("min({} or {})", marked(&long, "long"), short),
        format!("min({} and {})", marked(&long, "long"), marked(&short, "short")),
        format!("min({} or on () {})", marked(&long, "long"), marked(&short, "short")),
    ] {
        assert!(!matches!(of(&query), Kind::Ratio { .. }), "{query}");
    }
    // Of several elements the least of all is asked for, and not whether each is good.
    let each = |window: &str| over(window, "0.001").replace("sum(", "sum by (pod) (");
    assert!(each("1h").contains("by (pod)"));
    assert!(!matches!(of(&both(&each("1h"), &each("5m"))), Kind::Ratio { .. }));
    // One threshold is that of passing, and of failing over both.
    let Kind::Ratio { fail_above, burn_rate, .. } = derived(&both(&long, &short), "result[0] < 6", "").kind
    else {
        panic!()
    };
    assert!((fail_above - 0.006).abs() < 1e-12 && burn_rate.is_some());
}
