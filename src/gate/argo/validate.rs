//! What makes a spec invalid: checked before anything is measured.

use crate::model::pattern::Pattern;

use super::duration::parse_duration;
use super::int_or_text::IntOrText;
use super::template::{DryRun, MeasurementRetention, Metric};

/// Checks metrics after substitution; the first failure wins.
pub(super) fn validate_metrics(metrics: &[Metric]) -> Result<(), String> {
    if metrics.is_empty() {
        return Err("no metrics specified".to_owned());
    }
    let mut names = std::collections::BTreeSet::new();
    for (index, metric) in metrics.iter().enumerate() {
        let checked = if names.insert(metric.name.as_str()) {
            validate_metric(metric)
        } else {
            Err(format!("duplicate name '{}'", metric.name))
        };
        checked.map_err(|text| format!("metrics[{index}]: {text}"))?;
    }
    Ok(())
}

fn validate_metric(metric: &Metric) -> Result<(), String> {
    let number = |limit: &Option<IntOrText>| limit.as_ref().map_or(0, IntOrText::wide);
    let count = number(&metric.count);
    let failures = number(&metric.failure_limit);
    let successes = number(&metric.consecutive_success_limit);
    let inconclusive = number(&metric.inconclusive_limit);
    let refuse = |text: &str| Err(text.to_owned());
    if successes < 0 {
        return refuse("consecutiveSuccessLimit must be >= 0");
    }
    if failures < -1 {
        return refuse("failureLimit must be >= 0, or -1 to be disabled");
    }
    if successes == 0 && failures == -1 {
        return refuse("failureLimit and consecutiveSuccessLimit cannot both be disabled");
    }
    if inconclusive < 0 {
        return refuse("inconclusiveLimit must be >= 0");
    }
    if metric.consecutive_error_limit.as_ref().is_some_and(|limit| limit.wide() < 0) {
        return refuse("consecutiveErrorLimit must be >= 0");
    }
    if count > 0 {
        if failures >= 0 && count < failures.wrapping_add(successes) {
            return Err(format!(
                "count ({count}) must be >= failureLimit + consecutiveSuccessLimit ({failures} + {successes}) if both \
                 >= 0"
            ));
        }
        if failures == -1 && count < successes {
            return refuse("count must be >= consecutiveSuccessLimit");
        }
        if count < inconclusive {
            return refuse("count must be >= inconclusiveLimit");
        }
    }
    if count > 1 && metric.interval.is_empty() {
        return refuse("interval must be specified when count > 1");
    }
    if !metric.interval.is_empty() {
        parse_duration(&metric.interval).map_err(|text| format!("invalid interval string: {text}"))?;
    }
    if !metric.initial_delay.is_empty() {
        parse_duration(&metric.initial_delay).map_err(|text| format!("invalid startDelay string: {text}"))?;
    }
    let provider = &metric.provider;
    match (
        usize::from(provider.prometheus.is_some()).saturating_add(provider.others.len()),
        provider.others.first(),
    ) {
        (0, _) => refuse("no provider specified"),
        (1, None) => Ok(()),
        (1, Some(other)) => Err(format!("provider not supported: {other}; only prometheus is")),
        _ => refuse("multiple providers specified"),
    }
}

/// Which of the metrics are in dry run; every rule has to match one.
pub(super) fn dry_run_metrics(rules: &[DryRun], metrics: &[Metric]) -> Result<Vec<bool>, String> {
    let mut chosen = vec![false; metrics.len()];
    for (index, rule) in rules.iter().enumerate() {
        let matched = matching(&rule.metric_name, metrics);
        if !matched.contains(&true) {
            return Err(format!("dryRun[{index}]: Rule didn't match any metric name(s)"));
        }
        for (chosen, matched) in chosen.iter_mut().zip(matched) {
            *chosen |= matched;
        }
    }
    Ok(chosen)
}

/// How many measurements of each metric are kept, where a rule says so; every rule has to match a metric.
pub(super) fn retention_limits(
    rules: &[MeasurementRetention],
    metrics: &[Metric],
) -> Result<Vec<i32>, String> {
    let mut limits = vec![0; metrics.len()];
    for (index, rule) in rules.iter().enumerate() {
        let matched = matching(&rule.metric_name, metrics);
        if !matched.contains(&true) {
            return Err(format!("measurementRetention[{index}]: Rule didn't match any metric name(s)"));
        }
        for (limit, _) in limits.iter_mut().zip(matched).filter(|(_, matched)| *matched) {
            *limit = rule.limit;
        }
    }
    Ok(limits)
}

/// Which metrics a rule matches: none, if it is no valid expression.
fn matching(rule: &str, metrics: &[Metric]) -> Vec<bool> {
    let pattern = Pattern::anywhere(rule.as_bytes()).ok();
    metrics
        .iter()
        .map(|metric| pattern.as_ref().is_some_and(|pattern| pattern.matches(&metric.name)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::template::{PrometheusProvider, Provider};
    use super::*;

    fn metric(name: &str) -> Metric {
        let provider = Provider { prometheus: Some(PrometheusProvider::default()), others: vec![] };
        Metric { name: name.to_owned(), provider, ..Metric::default() }
    }

    fn error(change: impl FnOnce(&mut Metric)) -> String {
        let mut metric = metric("m");
        change(&mut metric);
        validate_metrics(&[metric]).err().unwrap_or_default()
    }

    fn int(number: i32) -> Option<IntOrText> {
        Some(IntOrText::Int(number))
    }

    #[test]
    fn every_rule_has_its_sentence() {
        assert_eq!(validate_metrics(&[]), Err("no metrics specified".to_owned()));
        assert_eq!(
            validate_metrics(&[metric("m"), metric("m")]),
            Err("metrics[1]: duplicate name 'm'".to_owned())
        );
        assert_eq!(error(|_| {}), "");
        assert_eq!(
            error(|m| m.consecutive_success_limit = int(-1)),
            "metrics[0]: consecutiveSuccessLimit must be >= 0"
        );
        assert_eq!(
            error(|m| m.failure_limit = int(-2)),
            "metrics[0]: failureLimit must be >= 0, or -1 to be disabled"
        );
        assert_eq!(
            error(|m| m.failure_limit = int(-1)),
            "metrics[0]: failureLimit and consecutiveSuccessLimit cannot both be disabled"
        );
        assert_eq!(error(|m| m.inconclusive_limit = int(-1)), "metrics[0]: inconclusiveLimit must be >= 0");
        assert_eq!(
            error(|m| m.consecutive_error_limit = int(-1)),
            "metrics[0]: consecutiveErrorLimit must be >= 0"
        );
        assert_eq!(
            error(|m| (m.count, m.failure_limit) = (int(1), int(2))),
            "metrics[0]: count (1) must be >= failureLimit + consecutiveSuccessLimit (2 + 0) if both >= 0"
        );
        assert_eq!(
            error(|m| (m.count, m.inconclusive_limit) = (int(1), int(2))),
            "metrics[0]: count must be >= inconclusiveLimit"
        );
        assert_eq!(error(|m| m.count = int(2)), "metrics[0]: interval must be specified when count > 1");
        assert_eq!(
            error(|m| m.interval = "60".to_owned()),
            "metrics[0]: invalid interval string: time: missing unit in duration \"60\""
        );
        assert_eq!(
            error(|m| m.initial_delay = "1d".to_owned()),
            "metrics[0]: invalid startDelay string: time: unknown unit \"d\" in duration \"1d\""
        );
        assert_eq!(error(|m| m.provider.prometheus = None), "metrics[0]: no provider specified");
        assert_eq!(
            error(|m| m.provider.others.push("web".to_owned())),
            "metrics[0]: multiple providers specified"
        );
    }

    #[test]
    fn rules_are_expressions_that_are_not_anchored() {
        let metrics = [metric("error-rate"), metric("error-rate-strict"), metric("latency")];
        let rules = |text: &str| [DryRun { metric_name: text.to_owned() }];
        assert_eq!(dry_run_metrics(&rules("error-rate"), &metrics), Ok(vec![true, true, false]));
        assert_eq!(dry_run_metrics(&rules("^latency$"), &metrics), Ok(vec![false, false, true]));
        for unmatched in ["*", "a)(b", "traffic"] {
            assert_eq!(
                dry_run_metrics(&rules(unmatched), &metrics),
                Err("dryRun[0]: Rule didn't match any metric name(s)".to_owned())
            );
        }
    }

    #[test]
    fn the_last_retention_rule_that_matches_wins() {
        let metrics = [metric("a"), metric("b")];
        let rule = |name: &str, limit| MeasurementRetention { metric_name: name.to_owned(), limit };
        assert_eq!(retention_limits(&[rule(".*", 15), rule("b", 2)], &metrics), Ok(vec![15, 2]));
        assert_eq!(
            retention_limits(&[rule("c", 1)], &metrics),
            Err("measurementRetention[0]: Rule didn't match any metric name(s)".to_owned())
        );
    }
}
