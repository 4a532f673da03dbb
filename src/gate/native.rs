//! A native gate from an Argo template: the checks that its metrics mean, decided by evidence.

use super::argo::{AnalysisRun, AnalysisTemplate, Argument, IntOrText, Metric, Profile, parse_duration};
use super::shape::{Derived, Kind, Shape};
use super::spec::{CheckKind, CheckSpec, GateSpec, Selector};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Timestamp;

impl GateSpec {
    /// The gate that an AnalysisTemplate means: its metrics become checks on counted evidence, and guards against silence
    /// mean nothing.
    ///
    /// A ratio of two rates, however it is written, becomes a ratio check with the threshold of its conditions, or two
    /// where they leave a band between; `histogram_quantile` becomes a quantile check; a rate that has to be reached
    /// becomes a volume check. `interval` is the time between looks; the largest `initialDelay` is the warm-up; where
    /// every metric has a `count`, the deadline is over when the last of them would have been measured;
    /// `consecutiveErrorLimit` bounds failures of the source. Failure and inconclusive limits have no meaning here.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] where Argo would not run the template, in Argo's words, and for conditions that judge
    /// nothing; [`ErrorKind::Parse`] for a query that does not parse; [`ErrorKind::Unsupported`] for a metric that has no
    /// such form, or one that native gates do not judge: counts, means, gauges, comparisons of two versions, and checks
    /// of each element.
    pub fn from_template(template: &AnalysisTemplate, args: &[Argument]) -> Result<Self> {
        let mut run = AnalysisRun::new(&template.spec, args, Profile::V1_10)?;
        run.start(Timestamp::from_secs(0));
        if run.is_completed() {
            return Err(invalid(run.status().message.clone()));
        }
        let metrics = run.metrics();
        let checks = metrics
            .iter()
            .zip(run.dry_run())
            .map(|(metric, dry_run)| check(metric, *dry_run))
            .collect::<Result<Vec<CheckSpec>>>()?;
        let mut builder = Self::builder(&template.name);
        let intervals = metrics.iter().filter_map(|metric| millis(&metric.interval)).filter(|ms| *ms > 0);
        if let Some(interval_ms) = intervals.min() {
            builder = builder.interval_ms(interval_ms);
        }
        let warm_up_ms = metrics.iter().filter_map(|metric| millis(&metric.initial_delay)).max().unwrap_or(0);
        builder = builder.warm_up_ms(warm_up_ms.max(0));
        let ends: Option<Vec<i64>> = metrics.iter().map(end).collect();
        if let Some(deadline_ms) = ends.and_then(|ends| ends.into_iter().max()) {
            let left = deadline_ms.saturating_sub(warm_up_ms).max(0);
            builder = builder.deadline_ms(deadline_ms).min_duration_ms(left.min(DEFAULT_MIN_DURATION_MS));
        }
        let limits = metrics.iter().filter_map(|metric| metric.consecutive_error_limit.as_ref());
        if let Some(limit) = limits.map(IntOrText::wide).min() {
            builder = builder.source_error_limit(u32::try_from(limit).unwrap_or(0));
        }
        builder.build_with(checks)
    }
}

/// The least age of a gate that passes, unless its template ends it before.
const DEFAULT_MIN_DURATION_MS: i64 = 60_000;

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

fn millis(text: &str) -> Option<i64> {
    if text.is_empty() { None } else { parse_duration(text).ok().map(|nanos| nanos / 1_000_000) }
}

/// When a metric would have been measured as often as it asks for; none if it is measured until it is ended.
fn end(metric: &Metric) -> Option<i64> {
    let count = metric.effective_count().filter(|count| *count > 0)?;
    let interval = millis(&metric.interval).unwrap_or(0);
    let delay = millis(&metric.initial_delay).unwrap_or(0);
    Some(delay.saturating_add(i64::from(count).saturating_mul(interval)))
}

fn check(metric: &Metric, dry_run: bool) -> Result<CheckSpec> {
    let name = &metric.name;
    let unsupported = |what: &str| {
        let message = format!("metric `{name}`: {what}; run the template in strict mode");
        Error::new(ErrorKind::Unsupported, message)
    };
    let Some(prometheus) = &metric.provider.prometheus else {
        return Err(unsupported("only prometheus providers are supported"));
    };
    if prometheus.range_query.is_some() {
        return Err(unsupported("a native gate does not judge range queries"));
    }
    if metric.effective_count() == Some(1) && metric.interval.is_empty() {
        return Err(unsupported("it is measured once, where a native gate looks until it knows"));
    }
    let shape = Shape::of(&prometheus.query, &metric.success_condition, &metric.failure_condition);
    let derived = shape.map(|shape| shape.derived).map_err(|error| {
        let message = format!("metric `{name}`: {error}");
        Error::new(error.kind(), message).caused_by(error)
    })?;
    if derived.per_element {
        return Err(unsupported("a native gate does not judge each element for itself"));
    }
    let kind = kind(derived, name, &unsupported)?;
    Ok(CheckSpec { name: name.clone(), dry_run, kind })
}

fn kind(derived: Derived, name: &str, unsupported: &dyn Fn(&str) -> Error) -> Result<CheckKind> {
    let one = |terms: Vec<(f64, Selector)>| match <[_; 1]>::try_from(terms) {
        Ok([(_, selector)]) => Ok(selector),
        Err(_) => Err(unsupported("a native gate does not judge weighted sums")),
    };
    match derived.kind {
        Kind::Ratio { events, events_are_good, trials, pass_below, fail_above } => {
            if pass_below <= 0.0 || pass_below.is_nan() {
                return Err(invalid(format!(
                    "metric `{name}` allows no bad request at all, which no number of good ones can show; allow a share"
                )));
            }
            Ok(CheckKind::Ratio {
                events: one(events)?,
                trials,
                threshold: pass_below,
                fail_threshold: fail_above.max(pass_below),
                events_are_good,
                missing_is_zero: false,
            })
        }
        Kind::Quantile { phi, buckets, limit } => {
            if !(phi > 0.0 && phi < 1.0) {
                return Err(invalid(format!(
                    "metric `{name}`: the quantile is {phi}, it must lie between 0 and 1"
                )));
            }
            Ok(CheckKind::Quantile { buckets, phi, limit })
        }
        Kind::Volume { requests, per_second } => {
            if !(per_second > 0.0 && per_second.is_finite()) {
                return Err(invalid(format!(
                    "metric `{name}`: the rate is {per_second}, it must be above 0"
                )));
            }
            Ok(CheckKind::Volume { requests, rate: per_second })
        }
        Kind::Count => Err(unsupported("a native gate does not judge counts")),
        Kind::Mean { .. } => Err(unsupported("a native gate does not judge means; ask for a quantile")),
        Kind::Value => Err(unsupported("a native gate does not judge gauges")),
        Kind::Comparison => Err(unsupported("a native gate does not compare versions")),
        Kind::Opaque => Err(unsupported("what it measures cannot be told from its form")),
        Kind::Refused(sentence) => Err(invalid(format!("metric `{name}`: {sentence}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MatchOp;

    fn spec(metrics: &[(&str, &str, &str)]) -> Result<GateSpec> {
        let metrics: Vec<String> = metrics
            .iter()
            .map(|(query, success, more)| {
                let query = query.replace('"', "\\\"");
                format!(
                    r#"{{"name": "{}", "interval": "20s", "successCondition": "{success}", {more}
                        "provider": {{"prometheus": {{"query": "{query}"}}}}}}"#,
                    query.len()
                )
            })
            .collect();
        let text = format!(r#"{{"metrics": [{}], "args": [{{"name": "pod"}}]}}"#, metrics.join(","));
        GateSpec::from_template(&AnalysisTemplate::from_json(&text).unwrap(), &[Argument::new("pod", "a")])
    }

    const RATIO: &str = r#"sum(rate(requests{pod="{{args.pod}}",code="500"}[2m])) / sum(rate(requests{pod="{{args.pod}}"}[2m]))"#;

    #[test]
    fn a_template_becomes_checks_on_what_it_counts() {
        let quantile = r#"histogram_quantile(0.9, sum by (le) (rate(d_bucket{pod="a"}[2m]))) * 1000"#;
        let spec = spec(&[
            (RATIO, "result[0] < 0.02", r#""failureCondition": "result[0] > 0.05", "initialDelay": "30s","#),
            (quantile, "result[0] <= 250", ""),
            (r#"sum(rate(requests{pod="a"}[2m]))"#, "result[0] >= 0.5", r#""consecutiveErrorLimit": 2,"#),
        ])
        .unwrap();
        let [ratio, quantile, volume] = spec.checks.as_slice() else { panic!("{spec:?}") };
        let CheckKind::Ratio { events, threshold, fail_threshold, events_are_good, .. } = &ratio.kind else {
            panic!("{ratio:?}")
        };
        assert_eq!((*threshold, *fail_threshold, *events_are_good), (0.02, 0.05, false));
        assert_eq!(events.equal("pod"), Some("a"));
        assert!(events.matchers.iter().all(|matcher| matcher.op() == MatchOp::Equal));
        assert!(matches!(quantile.kind, CheckKind::Quantile { phi: 0.9, limit: 0.25, .. }));
        assert!(matches!(volume.kind, CheckKind::Volume { rate: 0.5, .. }));
        assert_eq!((spec.options.interval_ms, spec.options.warm_up_ms), (20_000, 30_000));
        assert_eq!((spec.options.deadline_ms, spec.options.source_error_limit), (None, 2));
    }

    #[test]
    fn a_deadline_comes_from_the_counts_and_leaves_time_to_pass() {
        let more = r#""count": 3, "initialDelay": "10s","#;
        let spec = spec(&[(RATIO, "result[0] < 0.05", more)]).unwrap();
        assert_eq!((spec.options.deadline_ms, spec.options.min_duration_ms), (Some(70_000), 60_000));
    }

    #[test]
    fn what_native_gates_do_not_judge_is_refused_by_name() {
        let refused = |query: &str, success: &str| spec(&[(query, success, "")]).unwrap_err();
        for (query, success, kind, part) in [
            ("sum(increase(errors[5m]))", "result[0] <= 10", ErrorKind::Unsupported, "counts"),
            ("max(memory)", "result[0] < 5", ErrorKind::Unsupported, "gauges"),
            ("topk(1, up)", "result[0] < 5", ErrorKind::Unsupported, "its form"),
            ("rate(a[1m]) / rate(b[1m])", "result[0] < 0.5", ErrorKind::Unsupported, "each element"),
            (
                "sum by (pod) (rate(a[1m])) / sum by (pod) (rate(b[1m]))",
                "result[0] < 0.5",
                ErrorKind::Unsupported,
                "each element",
            ),
            (RATIO, "result[0] == 0", ErrorKind::InvalidArgument, "no bad request at all"),
            (RATIO, "result < 0.05", ErrorKind::InvalidArgument, "successCondition"),
            ("sum(rate(", "result[0] < 5", ErrorKind::Parse, "parse error"),
        ] {
            let error = refused(query, success);
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
