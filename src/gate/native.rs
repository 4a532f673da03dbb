//! A native gate from an Argo template: the checks that its metrics mean, decided by evidence.

#[cfg(feature = "argo")]
mod annotation;

use super::argo::{
    AnalysisRun, AnalysisTemplate, Argument, IntOrText, Metric, Phase, Profile, parse_duration,
};
use super::shape::{Grouping, Kind, Numbers, Shape, Subject};
use super::spec::{CheckKind, CheckSpec, Conditions, GateSpec, JAEGER, Share, ValueSpec};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Timestamp;

impl GateSpec {
    /// The gate that an AnalysisTemplate means: its metrics become checks on counted evidence, and guards against silence
    /// mean nothing.
    ///
    /// A ratio of two rates, however it is written, becomes a ratio check with the threshold of its conditions, or two
    /// where they leave a band between; `histogram_quantile` becomes a quantile check; a rate that has to be reached
    /// becomes a volume check; an `increase` that must not be exceeded a count; a ratio divided by, or less, another one a
    /// comparison. What has no events behind it, or none that can be told from its form, becomes a value check: its conditions
    /// judge every answer as Argo would, but silence and NaN never pass, and a mean needs 30 requests,
    /// or `minRequests`. `interval` is the time between looks; the largest `initialDelay` is the warm-up; where
    /// every metric has a `count`, the deadline is over when the last of them would have been measured, or later where counters change
    /// too rarely for it (after the warm-up and two times between their changes);
    /// `consecutiveErrorLimit` bounds failures of the source. Failure and inconclusive limits have no meaning here. Where a metric
    /// has no `count`, the gate looks on after a pass ([`watch`](super::GateSpecBuilder::watch)).
    ///
    /// A template of which every metric is measured once, without an interval, becomes a gate that looks once
    /// ([`looks_once`](super::GateSpecBuilder::looks_once)), at that measurement, at what its queries look back to; with a `deadline`
    /// in its annotation it looks until it knows.
    ///
    /// With feature `argo` the annotation `promgate.dev/native` holds, as YAML, what a template cannot say otherwise: `confidence`,
    /// `deadline`, `minDuration`, `minRequests`, `settle`, `lowTraffic`, `missingNumerator`, `dispersion`, `looks`, `health`, `watch`,
    /// `falseAlarm`, `traceLink`, as in a gate file, and `argo` ([`beside_argo`](Self::beside_argo)).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] where Argo would not run the template, in Argo's words, and for conditions that judge
    /// nothing; [`ErrorKind::Parse`] for a query that does not parse; [`ErrorKind::Unsupported`] for a metric that native
    /// gates do not judge: range queries, and metrics that are measured once beside others, at different times, over different
    /// windows, or by a value that has no events behind it.
    pub fn from_template(template: &AnalysisTemplate, args: &[Argument]) -> Result<Self> {
        let mut run = AnalysisRun::new(&template.spec, args, Profile::V1_10)?;
        run.start(Timestamp::from_secs(0));
        if run.is_completed() {
            return Err(invalid(run.status().message.clone()));
        }
        let metrics = run.metrics();
        #[cfg(feature = "argo")]
        let mut annotation = annotation::Annotation::of(template)?;
        #[cfg(feature = "argo")]
        let beside = annotation.asks_for_argo()?;
        #[cfg(not(feature = "argo"))]
        let beside = false;
        #[cfg(feature = "argo")]
        let asked_ms = annotation.deadline_ms()?;
        #[cfg(not(feature = "argo"))]
        let asked_ms: Option<i64> = None;
        let once = if asked_ms.is_none() { measured_once(metrics) } else { None };
        let by_itself = once.is_some() || asked_ms.is_some();
        let checks = metrics
            .iter()
            .zip(run.dry_run())
            .map(|(metric, dry_run)| check(metric, *dry_run, by_itself))
            .collect::<Result<Vec<CheckSpec>>>()?;
        let mut builder = Self::builder(&template.name);
        let intervals = metrics.iter().filter_map(|metric| millis(&metric.interval)).filter(|ms| *ms > 0);
        if let Some(interval_ms) = intervals.min() {
            builder = builder.interval_ms(interval_ms);
        }
        let warm_up_ms = metrics.iter().filter_map(|metric| millis(&metric.initial_delay)).max().unwrap_or(0);
        builder = builder.warm_up_ms(warm_up_ms.max(0));
        let ends: Option<Vec<i64>> = metrics.iter().map(end).collect();
        let counted_ms = ends.and_then(|ends| ends.into_iter().max());
        if counted_ms.is_none() {
            builder = builder.watch(true);
        }
        if let Some(window_ms) = once {
            builder = builder.measured_once(warm_up_ms.max(0), window_ms);
        } else if let Some(deadline_ms) = asked_ms.or(counted_ms) {
            let left = deadline_ms.saturating_sub(warm_up_ms).max(0);
            builder = match asked_ms {
                Some(asked_ms) => builder.deadline_ms(asked_ms),
                None => builder.derived_deadline_ms(deadline_ms),
            };
            builder = builder.min_duration_ms(left.min(DEFAULT_MIN_DURATION_MS));
        }
        let limits = metrics.iter().filter_map(|metric| metric.consecutive_error_limit.as_ref());
        if let Some(limit) = limits.map(IntOrText::wide).min() {
            builder = builder.source_error_limit(u32::try_from(limit).unwrap_or(0));
        }
        #[cfg(feature = "argo")]
        let (builder, checks) = annotation.apply(builder, checks)?;
        let spec = builder.build_with(checks)?;
        if !beside {
            return Ok(spec);
        }
        let values = args.iter().map(|argument| (argument.name.as_str(), argument.value.as_deref()));
        let values: Vec<(&str, &str)> = values.filter_map(|(name, value)| Some((name, value?))).collect();
        spec.beside_argo(template, &values, Profile::V1_10)
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

/// Whether a metric is measured once, however it says so.
fn is_measured_once(metric: &Metric) -> bool {
    metric.effective_count() == Some(1) && metric.interval.is_empty()
}

/// How far the metrics of a template look back of which all are measured once; none if one is not.
fn measured_once(metrics: &[Metric]) -> Option<i64> {
    if metrics.is_empty() || !metrics.iter().all(is_measured_once) {
        return None;
    }
    let mut all = None;
    for metric in metrics {
        let counted = counted(metric).filter(|(check, _)| !matches!(check.kind, CheckKind::Value(_)));
        let window_ms = match counted {
            Some((CheckSpec { kind: CheckKind::Count { window_ms, .. }, .. }, _)) => window_ms,
            Some((_, window_ms)) => window_ms,
            // The reason is told where its check is made.
            None => return None,
        };
        let own = (millis(&metric.initial_delay).unwrap_or(0), window_ms);
        if window_ms <= 0 || *all.get_or_insert(own) != own {
            return None;
        }
    }
    all.map(|(_, window_ms)| window_ms)
}

fn check(metric: &Metric, dry_run: bool, by_itself: bool) -> Result<CheckSpec> {
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
    if is_measured_once(metric) && !by_itself {
        return Err(unsupported(
            "it is measured once, where a native gate looks until it knows, unless all of its metrics are measured at one time, over \
             one window, and count something; give the gate a deadline in its annotation",
        ));
    }
    let shape = Shape::of(&prometheus.query, &metric.success_condition, &metric.failure_condition);
    let shape = shape.map_err(|error| {
        let message = format!("metric `{name}`: {error}");
        Error::new(error.kind(), message).caused_by(error)
    })?;
    let kind = kind(&shape, metric, &prometheus.query)?;
    let by = match (&kind, shape.measured.subject.grouping()) {
        // Its answers have elements of their own.
        (CheckKind::Value(_), _) | (_, None) => Grouping::Whole,
        (_, Some(by)) => by.clone(),
    };
    Ok(CheckSpec { name: name.clone(), dry_run, kind, by })
}

/// What a metric counts, for the traces of what it counts as bad, and how far back its query looks; none where its form does not
/// tell.
pub(crate) fn counted(metric: &Metric) -> Option<(CheckSpec, i64)> {
    let query = &metric.provider.prometheus.as_ref()?.query;
    let shape = Shape::of(query, &metric.success_condition, &metric.failure_condition).ok()?;
    let kind = kind(&shape, metric, query).ok()?;
    let window_ms = shape.measured.subject.window_ms().unwrap_or(0);
    Some((CheckSpec { name: metric.name.clone(), dry_run: false, kind, by: Grouping::Whole }, window_ms))
}

/// Where the traces of a template's checks are looked at, as its annotation says or as by default.
pub(crate) fn trace_link(template: &AnalysisTemplate) -> String {
    #[cfg(feature = "argo")]
    if let Some(link) =
        annotation::Annotation::of(template).ok().and_then(annotation::Annotation::into_trace_link)
    {
        return link;
    }
    #[cfg(not(feature = "argo"))]
    let _ = template;
    JAEGER.to_owned()
}

/// Fewer requests tell nothing about their mean.
const LEAST_OF_A_MEAN: f64 = 30.0;

fn kind(shape: &Shape, metric: &Metric, query: &str) -> Result<CheckKind> {
    let name = &metric.name;
    let refused = |text: String| invalid(format!("metric `{name}`{text}"));
    let conditions = || Conditions::Argo {
        success: metric.success_condition.clone(),
        failure: metric.failure_condition.clone(),
    };
    let value = || {
        if shape.reading.numbers == Numbers::All(Phase::Successful) {
            return Err(refused(": its conditions accept every number, and judge nothing".to_owned()));
        }
        let mut value = ValueSpec::new(query, conditions()).map_err(|error| {
            Error::new(error.kind(), format!("metric `{name}`: {error}")).caused_by(error)
        })?;
        value.per_element = shape.derived.per_element;
        Ok(value)
    };
    let derived = &shape.derived;
    match derived.kind.clone() {
        Kind::Ratio { events, events_are_good, trials, pass_below, fail_above, burn_rate } => {
            if pass_below <= 0.0 || pass_below.is_nan() {
                return Err(refused(
                    " allows no bad request at all, which no number of good ones can show; allow a share"
                        .to_owned(),
                ));
            }
            Ok(CheckKind::Ratio {
                share: Share { events, trials, events_are_good, missing_is_zero: false },
                threshold: pass_below,
                fail_threshold: fail_above.max(pass_below),
                burn_rate,
            })
        }
        Kind::Quantile { phi, buckets, limit } => {
            if !(phi > 0.0 && phi < 1.0) {
                return Err(refused(format!(": the quantile is {phi}, it must lie between 0 and 1")));
            }
            Ok(CheckKind::Quantile { buckets, phi, limit })
        }
        Kind::Volume { requests, per_second } => {
            if !(per_second > 0.0 && per_second.is_finite()) {
                return Err(refused(format!(": the rate is {per_second}, it must be above 0")));
            }
            Ok(CheckKind::Volume { requests, rate: per_second })
        }
        Kind::Count { events, window_ms } => {
            Ok(CheckKind::Count { events, window_ms, good: conditions(), missing_is_zero: false })
        }
        Kind::Comparison { canary, baseline, limit } => Ok(CheckKind::Comparison { canary, baseline, limit }),
        Kind::Mean { count, .. } => {
            Ok(CheckKind::Value(Box::new(ValueSpec { least: Some((count, LEAST_OF_A_MEAN)), ..value()? })))
        }
        Kind::Opaque if meets_itself(&shape.measured.subject) => Err(refused(
            ": its two sides are divided series by series, and those of the numerator are among those of the denominator, so \
             that each meets itself; sum both sides"
                .to_owned(),
        )),
        Kind::Value | Kind::Opaque => Ok(CheckKind::Value(Box::new(value()?))),
        Kind::Refused(sentence) => Err(refused(format!(": {sentence}"))),
    }
}

/// Whether a ratio of series is one of series by themselves: their rate is 1, or no number.
fn meets_itself(subject: &Subject) -> bool {
    let Subject::Ratio { numerator, denominator } = subject else { return false };
    let (Some(events), Some(trials)) = (numerator.single(), denominator.single()) else { return false };
    denominator.by == Grouping::Series
        && trials.matchers.iter().all(|matcher| events.matchers.contains(matcher))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::fixture::Fixture;
    use crate::gate::report::Evidence;
    use crate::gate::run::Gate;
    use crate::gate::spec::ComparisonLimit;
    use crate::gate::stats::dispersion::Dispersion;
    use crate::gate::verdict::Verdict;
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
        let CheckKind::Ratio { share, threshold, fail_threshold, .. } = &ratio.kind else {
            panic!("{ratio:?}")
        };
        assert_eq!((*threshold, *fail_threshold, share.events_are_good), (0.02, 0.05, false));
        let [(_, events)] = share.events.as_slice() else { panic!("{share:?}") };
        assert_eq!(events.equal("pod"), Some("a"));
        assert!(events.matchers.iter().all(|matcher| matcher.op() == MatchOp::Equal));
        assert!(matches!(quantile.kind, CheckKind::Quantile { phi: 0.9, limit: 0.25, .. }));
        assert!(matches!(volume.kind, CheckKind::Volume { rate: 0.5, .. }));
        assert_eq!((spec.options.interval_ms, spec.options.warm_up_ms), (20_000, 30_000));
        assert_eq!((spec.options.deadline_ms, spec.options.source_error_limit), (None, 2));
    }

    #[cfg(feature = "argo")]
    #[test]
    fn an_annotation_says_what_a_template_cannot() {
        let with = |annotations: &[&str], more: &str| {
            let metric = format!(
                r#"{{"name": "m", "interval": "20s", {more} "successCondition": "result[0] < 0.02",
                    "provider": {{"prometheus": {{"query": "{}"}}}}}}"#,
                RATIO.replace('"', "\\\"")
            );
            let text = format!(r#"{{"metrics": [{metric}], "args": [{{"name": "pod", "value": "a"}}]}}"#);
            let mut template = AnalysisTemplate::from_json(&text).unwrap();
            let own = annotations.iter().map(|text| ("promgate.dev/native".to_owned(), (*text).to_owned()));
            template.annotations = own.chain([("other".to_owned(), "[".to_owned())]).collect();
            GateSpec::from_template(&template, &[])
        };
        // Without a count it stands beside others.
        let count = r#""count": 6,"#;
        assert!(with(&[], "").unwrap().watches() && !with(&[], count).unwrap().watches());
        assert!(
            !with(&["watch: off"], "").unwrap().watches() && with(&["watch: on"], count).unwrap().watches()
        );
        let all = "confidence: 0.99\ndeadline: 10m\nminDuration: 90s\nsettle: 5s\nlowTraffic: fail\n\
                   missingNumerator: zero\nhealth: off\nfalseAlarm: 30d\ntraceLink: 'https://t/{trace_id}'\n\
                   dispersion: 3\nlooks: once\nminRequests: 500\n";
        let spec = with(&[all], count).unwrap();
        let options = &spec.options;
        assert!((options.alpha_pass - 0.01).abs() < 1e-12);
        assert_eq!((options.deadline_ms, options.min_duration_ms), (Some(600_000), 90_000));
        assert_eq!((options.settle_ms, options.false_alarm_ms), (Some(5_000), 30 * 86_400_000));
        assert!(options.low_traffic_fails && !options.health);
        assert_eq!(spec.trace_link, "https://t/{trace_id}");
        assert_eq!((options.dispersion, options.min_requests), (Dispersion::Factor(3.0), 500));
        assert!(options.looks_once);
        let CheckKind::Ratio { share, .. } = &spec.checks[0].kind else { panic!("{spec:?}") };
        assert!(share.missing_is_zero);
        // Templates that were put together.
        assert!(with(&["health: off", "watch: on\nhealth: off"], "").is_ok_and(|spec| !spec.options.health));
        for (annotations, part) in [
            (["watch: on", "watch: off"], "different things of watch"),
            (["", "lookz: once"], "unknown field"),
            (["", "dispersion: on"], "it must be off, upper or a factor"),
            (["looks: any", "looks: once"], "different things of looks"),
            (["", "watch: sometimes"], "on or off"),
            (["", "deadline: 5"], "no duration"),
            (["", "["], "annotation promgate.dev/native"),
        ] {
            let error = with(&annotations, "").unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    /// A template of these metrics, each measured once: query, when, at what threshold.
    fn once(metrics: &[(&str, &str, &str)], annotation: &str) -> Result<GateSpec> {
        let metrics: Vec<String> = metrics
            .iter()
            .enumerate()
            .map(|(index, (query, delay, more))| {
                let query = query.replace('"', "\\\"");
                format!(
                    r#"{{"name": "{index}", {delay} {more} "successCondition": "result[0] < 0.05",
                        "provider": {{"prometheus": {{"query": "{query}"}}}}}}"#
                )
            })
            .collect();
        let text =
            format!(r#"{{"metrics": [{}], "args": [{{"name": "pod", "value": "a"}}]}}"#, metrics.join(","));
        let mut template = AnalysisTemplate::from_json(&text).unwrap();
        if !annotation.is_empty() {
            template.annotations = vec![("promgate.dev/native".to_owned(), annotation.to_owned())];
        }
        GateSpec::from_template(&template, &[])
    }

    #[test]
    fn a_template_that_is_measured_once_looks_once_at_what_its_query_looks_back_to() {
        // Ten requests in ten seconds, of which so many failed.
        let source = |bad: f64, from: i64| {
            let every = || (from..1_400).step_by(10);
            let labels = |code| {
                [("__name__", "requests"), ("pod", "a"), ("code", code), ("instance", "a"), ("job", "j")]
            };
            Fixture::default()
                .series(&labels("200"), every().map(|time| (time, (time - from) as f64)))
                .series(&labels("500"), every().map(|time| (time, ((time - from) as f64 * bad).floor())))
        };
        let looks = |delay: &str, source: &Fixture| {
            let mut gate = Gate::new(once(&[(RATIO, delay, "")], "").unwrap());
            let (start, end) = (Timestamp::from_secs(1_000), Timestamp::from_secs(1_400));
            let report = gate.replay(source, start, end, |_| ()).unwrap();
            let Evidence::Ratio { trials, .. } = report.checks[0].evidence else { panic!("{report}") };
            (report.at.unwrap().millis_since(start) / 1000, report.verdict, trials)
        };
        // Two minutes less the scrape that settles.
        assert_eq!(looks("", &source(0.0, 500)), (0, Verdict::Pass, 110.0));
        assert_eq!(looks("", &source(0.5, 500)).1, Verdict::Fail);
        assert_eq!(looks(r#""initialDelay": "40s","#, &source(0.0, 500)), (40, Verdict::Pass, 110.0));
        assert_eq!(
            looks(r#""initialDelay": "300s", "count": 1,"#, &source(0.0, 500)),
            (300, Verdict::Pass, 110.0)
        );
        // There were too few requests in what there is.
        assert_eq!(looks("", &source(0.0, 960)).1, Verdict::Inconclusive);

        let other = RATIO.replace("2m", "5m");
        for (metrics, what) in [
            (vec![(RATIO, "", ""), (other.as_str(), "", "")], "over other windows"),
            (vec![(RATIO, "", ""), (RATIO, r#""initialDelay": "5s","#, "")], "at other times"),
            (vec![(RATIO, "", ""), (RATIO, "", r#""interval": "10s","#)], "beside others"),
            (vec![("max(memory)", "", "")], "without events"),
        ] {
            assert_eq!(once(&metrics, "").unwrap_err().kind(), ErrorKind::Unsupported, "{what}");
        }
        assert!(once(&[(RATIO, "", ""), (RATIO, "", "")], "").unwrap().options.looks_once);
    }

    #[cfg(feature = "argo")]
    #[test]
    fn a_mean_is_judged_with_as_many_requests_as_the_annotation_asks_for() {
        let mean = [("sum(rate(d_sum[2m])) / sum(rate(d_count[2m]))", "", r#""interval": "10s","#)];
        for (annotation, wanted) in [("", 30.0), ("minRequests: 500", 500.0), ("minRequests: 5", 5.0)] {
            let CheckKind::Value(value) = once(&mean, annotation).unwrap().checks.remove(0).kind else {
                panic!()
            };
            assert_eq!(value.least.map(|(_, least)| least), Some(wanted));
        }
    }

    #[cfg(feature = "argo")]
    #[test]
    fn a_template_that_is_measured_once_looks_until_it_knows_where_it_has_time() {
        let spec = once(&[(RATIO, "", ""), ("max(memory)", "", "")], "deadline: 10m").unwrap();
        assert_eq!((spec.options.looks_once, spec.options.deadline_ms), (false, Some(600_000)));
        assert_eq!(spec.options.look_back_ms, 0);
    }

    #[test]
    fn a_deadline_comes_from_the_counts_and_leaves_time_to_pass() {
        let more = r#""count": 3, "initialDelay": "10s","#;
        let spec = spec(&[(RATIO, "result[0] < 0.05", more)]).unwrap();
        assert_eq!((spec.options.deadline_ms, spec.options.min_duration_ms), (Some(70_000), 60_000));
    }

    #[test]
    fn what_has_no_share_becomes_the_check_that_its_form_means() {
        let kind = |query: &str, success: &str| spec(&[(query, success, "")]).unwrap().checks.remove(0).kind;
        let count = kind("sum(increase(errors[5m]))", "result[0] <= 10");
        let CheckKind::Count { events, window_ms: 300_000, .. } = count else { panic!("{count:?}") };
        assert_eq!(events.text, "errors");

        let stable = RATIO.replace("{{args.pod}}", "b");
        let beside = kind(&format!("({RATIO}) / ({stable})"), "result[0] <= 1.5");
        let CheckKind::Comparison { canary, baseline, limit } = beside else { panic!("{beside:?}") };
        assert_eq!((canary.trials.equal("pod"), baseline.trials.equal("pod")), (Some("a"), Some("b")));
        assert_eq!(limit, ComparisonLimit::Factor { pass: 1.5, fail: 1.5 });

        let points = kind(&format!("(({RATIO}) - ({stable})) * 100"), "result[0] <= 1");
        let CheckKind::Comparison { limit, canary, .. } = points else { panic!("{points:?}") };
        assert_eq!(
            (limit, canary.events_are_good),
            (ComparisonLimit::Difference { pass: 0.01, fail: 0.01 }, false)
        );
        // Good requests, which must not be fewer.
        let points = kind(&format!("({RATIO}) - ({stable})"), "result[0] >= -0.02");
        let CheckKind::Comparison { limit, canary, .. } = points else { panic!("{points:?}") };
        assert_eq!(
            (limit, canary.events_are_good),
            (ComparisonLimit::Difference { pass: 0.02, fail: 0.02 }, true)
        );

        let mean = kind("sum(rate(d_sum[2m])) / sum(rate(d_count[2m]))", "result[0] < 5");
        let CheckKind::Value(mean) = mean else { panic!("{mean:?}") };
        let (requests, least) = mean.least.unwrap();
        assert_eq!((requests.text.as_str(), least), ("d_count", 30.0));
        let each = kind("max by (pod) (memory)", "result[0] < 5");
        let CheckKind::Value(each) = each else { panic!("{each:?}") };
        assert!(each.per_element && each.least.is_none());
        let by_pod = "sum by (pod) (rate(a[1m])) / sum by (pod) (rate(b[1m]))";
        let check = spec(&[(by_pod, "result[0] < 0.5", "")]).unwrap().checks.remove(0);
        assert!(matches!(check.kind, CheckKind::Ratio { .. }), "{check:?}");
        assert_eq!(check.by, Grouping::By(vec!["pod".to_owned()]));
        assert!(matches!(kind("topk(1, up)", "result[0] < 5"), CheckKind::Value(_)));
        assert!(matches!(kind("rate(a[1m]) / rate(b[1m])", "result[0] < 0.5"), CheckKind::Value(_)));
    }

    #[test]
    fn what_native_gates_do_not_judge_is_refused_by_name() {
        let refused = |query: &str, success: &str| spec(&[(query, success, "")]).unwrap_err();
        for (query, success, kind, part) in [
            (
                "rate(a{b=\"1\"}[1m]) / rate(a[1m])",
                "result[0] < 0.5",
                ErrorKind::InvalidArgument,
                "meets itself",
            ),
            ("topk(1, up)", "true", ErrorKind::InvalidArgument, "accept every number"),
            ("vector(1)", "result[0] < 5", ErrorKind::InvalidArgument, "looks at no series"),
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
