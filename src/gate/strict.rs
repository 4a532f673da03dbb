//! Strict mode: Argo's rules over our own engine.

use std::collections::BTreeMap;

use super::argo::{
    AnalysisRun, AnalysisTemplate, Argument, MetricResult, Phase, Profile, QueryAnswer, QueryValue,
};
use super::argo::{MeasurementRequest, Metric};
use super::evidence::{Span, traces};
use super::native::{counted, trace_link};
use super::reason::{Finding, Reason, Severity, Trace};
use super::report::{CheckReport, Evidence, Mode, Report};
use super::round::{At, Evaluated, Round};
use super::run::{Tick, in_order};
use super::spec::{Selector, fingerprint};
use super::state::{GateFields, GateState, STATE_VERSION, Standing};
use super::verdict::Verdict;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Timestamp;
use crate::promql::Query;

/// One run of a gate that decides as Argo Rollouts does.
#[derive(Clone, Debug)]
pub(crate) struct StrictGate {
    name: String,
    /// Tells template, arguments and profile from any others.
    spec: String,
    run: AnalysisRun,
    /// Queries that have been parsed, or why they cannot be.
    queries: BTreeMap<String, std::result::Result<Prepared, String>>,
    started: Option<Timestamp>,
    last_tick: Option<Timestamp>,
    /// The last report of a run that had ended when it was resumed.
    ended: Option<Report>,
    /// What was missing where the measurements of each metric looked.
    doubts: Doubts,
    /// Traces of what each metric fails for.
    traces: Traces,
    /// How a trace is linked.
    trace_link: String,
}

/// By metric, traces of the requests that it counts as bad.
pub(crate) type Traces = BTreeMap<String, Vec<Trace>>;

/// A query that has been parsed, and its selectors.
#[derive(Clone, Debug)]
struct Prepared {
    query: Query,
    selectors: Vec<Selector>,
}

/// By metric, why its measurements are errors although there was an answer.
pub(crate) type Doubts = BTreeMap<String, Vec<Finding>>;

impl StrictGate {
    pub(crate) fn new(template: &AnalysisTemplate, args: &[(&str, &str)], profile: Profile) -> Result<Self> {
        let arguments: Vec<Argument> =
            args.iter().map(|(name, value)| Argument::new(*name, *value)).collect();
        let run = AnalysisRun::new(&template.spec, &arguments, profile)?;
        Ok(Self::of(template, &arguments, profile, run))
    }

    fn of(template: &AnalysisTemplate, arguments: &[Argument], profile: Profile, run: AnalysisRun) -> Self {
        Self {
            name: template.name.clone(),
            spec: fingerprint(&format!("{:?}|{arguments:?}|{profile:?}", template.spec)),
            run,
            queries: BTreeMap::new(),
            started: None,
            last_tick: None,
            ended: None,
            doubts: Doubts::new(),
            traces: Traces::new(),
            trace_link: trace_link(template),
        }
    }

    pub(crate) fn resume(
        template: &AnalysisTemplate,
        args: &[(&str, &str)],
        profile: Profile,
        GateState(state): GateState,
    ) -> Result<Self> {
        let fresh = Self::new(template, args, profile)?;
        state.check(&fresh.spec, &fresh.name)?;
        let Some(run_state) = state.strict else {
            return Err(Error::new(ErrorKind::InvalidArgument, "the state is that of a native gate"));
        };
        let arguments: Vec<Argument> =
            args.iter().map(|(name, value)| Argument::new(*name, *value)).collect();
        let run = AnalysisRun::resume(&template.spec, &arguments, profile, run_state)?;
        let ended = state.ended.map(|report| *report);
        let GateFields { started, last_tick, doubts, traces, .. } = state;
        Ok(Self { run, started, last_tick, ended, doubts, traces, ..fresh })
    }

    pub(crate) fn start(&mut self, now: Timestamp) {
        if self.started.is_none() {
            self.started = Some(now);
            self.run.start(now);
        }
    }

    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.run.next_due()
    }

    pub(crate) fn tick(&mut self, now: Timestamp, source: &Round<'_>) -> Result<Tick> {
        in_order(self.started, self.last_tick, now)?;
        let before = self.run.status().phase;
        let had_failed = self.failed();
        let (queries, doubts) = (&mut self.queries, &mut self.doubts);
        let measured = self.run.tick(now, &mut |request| ask(queries, doubts, source, request));
        if measured {
            self.last_tick = Some(now);
            let failed = self.failed().into_iter().filter(|name| !had_failed.contains(name));
            failed.for_each(|name| self.trace(name, now, source));
        }
        Ok(self.answer(measured, before))
    }

    /// The metrics that have failed.
    fn failed(&self) -> Vec<String> {
        let results = self.run.status().metric_results.iter();
        results.filter(|result| result.phase == Phase::Failed).map(|result| result.name.clone()).collect()
    }

    /// Looks for traces of the requests for which a metric has failed, as far as its query tells which those are.
    fn trace(&mut self, name: String, now: Timestamp, source: &Round<'_>) {
        let metric = self.run.metrics().iter().find(|metric| metric.name == name);
        let Some((check, window_ms)) = metric.and_then(counted) else { return };
        let origin = self.started.unwrap_or(now).minus_millis(window_ms);
        let span = Span { origin, after: origin, now, settle_ms: None, waits: true };
        let found = traces(&check, span, source, &self.trace_link);
        if !found.is_empty() {
            self.traces.insert(name, found);
        }
    }

    /// What the queries select that were asked before.
    pub(crate) fn selectors(&self) -> Vec<&Selector> {
        self.queries.values().flatten().flat_map(|prepared| &prepared.selectors).collect()
    }

    pub(crate) fn terminate(&mut self, now: Timestamp) -> Tick {
        let before = self.run.status().phase;
        self.run.terminate(now);
        self.answer(false, before)
    }

    /// Where it stands, as a tick that measured nothing.
    pub(crate) fn standing(&self) -> Tick {
        self.answer(false, self.run.status().phase)
    }

    fn answer(&self, measured: bool, before: Phase) -> Tick {
        let phase = self.run.status().phase;
        Tick {
            measured,
            changed: phase != before,
            verdict: verdict(phase),
            settled: phase.is_completed(),
            next_due: self.run.next_due(),
        }
    }

    pub(crate) fn outcome(&self) -> (Phase, String) {
        let status = self.run.status();
        (status.phase, status.message.clone())
    }

    pub(crate) fn report(&self) -> Report {
        if let Some(report) = &self.ended {
            return report.clone();
        }
        let status = self.run.status();
        let finding = Finding::Argo { phase: status.phase.as_str().to_owned(), message: self.told() };
        let checks: Vec<CheckReport> = self
            .run
            .metrics()
            .iter()
            .map(|metric| {
                let name = &metric.name;
                let known = (self.doubts.get(name), self.traces.get(name));
                check_report(metric, status.result(name), known)
            })
            .collect();
        let mut reasons = vec![Reason::new(severity(status.phase), None, finding)];
        reasons.extend(checks.iter().flat_map(|check| check.reasons.clone()));
        Report {
            gate: self.name.clone(),
            mode: Mode::Strict,
            started: self.started,
            at: self.last_tick,
            settled: status.phase.is_completed(),
            verdict: verdict(status.phase),
            reasons,
            checks,
            next_due: self.run.next_due(),
            strict: None,
        }
    }

    /// Argo's message, or, as it has none for a good end, what was measured.
    fn told(&self) -> String {
        let status = self.run.status();
        if !status.message.is_empty() || status.phase != Phase::Successful {
            return status.message.clone();
        }
        let values = status.metric_results.iter().map(|result| {
            let value = result.newest().map_or("", |measurement| measurement.value.as_str());
            format!("{} {}", result.name, short(value))
        });
        values.collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn state(&self) -> GateState {
        let completed = self.run.status().phase.is_completed();
        GateState(GateFields {
            version: STATE_VERSION,
            gate: self.name.clone(),
            spec: self.spec.clone(),
            meanings: Vec::new(),
            started: self.started,
            last_tick: self.last_tick,
            extended: None,
            passed: None,
            passed_before: None,
            standing: Standing::default(),
            checks: Vec::new(),
            strict: Some(self.run.state()),
            doubts: self.doubts.clone(),
            traces: self.traces.clone(),
            ended: completed.then(|| Box::new(self.report())),
            beside: None,
        })
    }
}

/// Asks our engine what Argo would ask a Prometheus.
fn ask(
    queries: &mut BTreeMap<String, std::result::Result<Prepared, String>>,
    doubts: &mut Doubts,
    source: &Round<'_>,
    request: &MeasurementRequest,
) -> std::result::Result<QueryAnswer, String> {
    let query = queries.entry(request.query.clone()).or_insert_with(|| {
        let query = source.engine().prepare(&request.query).map_err(|error| format!("bad_data: {error}"))?;
        let selectors = Selector::all_of(query.expr());
        Ok(Prepared { query, selectors })
    });
    let Prepared { query, .. } = query.as_ref().map_err(Clone::clone)?;
    let at = match &request.range {
        None => At::Instant(request.at),
        Some(range) => At::Steps { start: range.start, end: range.end, step_ms: range.step_ms },
    };
    let Evaluated { evaluation, losses } = source.evaluate(query, at);
    let losses: Vec<Finding> = losses.iter().map(Finding::of_loss).collect();
    let doubt = losses.first().map(|finding| format!("{}: {finding}", finding.code()));
    if !losses.is_empty() {
        // What is known of a loss grows: its newest form is told.
        doubts.insert(request.metric.clone(), losses);
    }
    let evaluation = evaluation.map_err(|error| format!("execution: {error}"))?;
    if let Some(doubt) = doubt {
        return Err(doubt);
    }
    let warnings = evaluation.annotations.warnings.clone();
    Ok(QueryAnswer { value: QueryValue::from(&evaluation.value), warnings })
}

/// `[10.281818181818181]` as `[10.3]`: a list of one number with three digits; anything else as it is.
fn short(value: &str) -> String {
    let number = value
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .and_then(|one| one.parse::<f64>().ok());
    match number {
        Some(number) if number.is_finite() && number != 0.0 => {
            let digits = (2.0 - libm::floor(libm::log10(number.abs()))).clamp(0.0, 9.0) as usize;
            format!("{number:.digits$}")
        }
        Some(number) => number.to_string(),
        None => value.to_owned(),
    }
}

/// Successful is a pass and Failed a failure; what Argo calls an Error shows nothing about the canary.
fn verdict(phase: Phase) -> Verdict {
    match phase {
        Phase::Successful => Verdict::Pass,
        Phase::Failed => Verdict::Fail,
        Phase::Pending | Phase::Running | Phase::Error | Phase::Inconclusive => Verdict::Inconclusive,
    }
}

fn severity(phase: Phase) -> Severity {
    match verdict(phase) {
        Verdict::Pass => Severity::Pass,
        Verdict::Fail => Severity::Fail,
        Verdict::Inconclusive => Severity::Inconclusive,
    }
}

fn check_report(
    metric: &Metric,
    result: Option<&MetricResult>,
    (doubts, traces): (Option<&Vec<Finding>>, Option<&Vec<Trace>>),
) -> CheckReport {
    let pending = MetricResult::default();
    let result = result.unwrap_or(&pending);
    let newest = result.newest();
    let phase = result.phase;
    let count = |count: i32| u64::try_from(count).unwrap_or(0);
    let message = match newest {
        _ if !result.message.is_empty() => result.message.clone(),
        Some(measurement) => format!(
            "{} measurements, {} successful, the last value {}",
            count(result.count),
            count(result.successful),
            measurement.value
        ),
        None => String::new(),
    };
    let finding = Finding::Argo { phase: phase.as_str().to_owned(), message };
    let mut reasons = vec![Reason::new(severity(phase), Some(&metric.name), finding)];
    let weight = match verdict(phase) {
        Verdict::Inconclusive => Severity::Inconclusive,
        Verdict::Pass | Verdict::Fail => Severity::Information,
    };
    let doubts = doubts.into_iter().flatten().cloned();
    reasons.extend(doubts.map(|finding| Reason::new(weight, Some(&metric.name), finding)));
    if let Some(traces) = traces {
        let finding = Finding::Exemplars { traces: traces.clone() };
        reasons.push(Reason::new(Severity::Information, Some(&metric.name), finding));
    }
    CheckReport {
        name: metric.name.clone(),
        dry_run: result.dry_run,
        verdict: verdict(phase),
        query: metric
            .provider
            .prometheus
            .as_ref()
            .map_or(String::new(), |prometheus| prometheus.query.clone()),
        evidence: Evidence::Measurements {
            successful: count(result.successful),
            failed: count(result.failed),
            inconclusive: count(result.inconclusive),
            error: count(result.error),
            newest: result.measurements.clone(),
        },
        reasons,
        elements: Vec::new(),
    }
}

#[cfg(all(test, feature = "argo"))]
mod tests {
    use super::*;
    use crate::gate::fixture::Fixture;
    use crate::gate::run::Gate;

    #[test]
    fn the_state_of_another_version_template_argument_or_profile_is_refused() {
        let template = |count: u8| {
            let text = format!(
                "kind: AnalysisTemplate\nmetadata: {{name: t}}\nspec:\n  args: [{{name: a}}]\n  metrics: [{{name: m, count: {count}, \
                 interval: 10s, successCondition: 'true', provider: {{prometheus: {{query: x}}}}}}]\n"
            );
            AnalysisTemplate::from_yaml(&text).unwrap().remove(0)
        };
        let state = StrictGate::new(&template(2), &[("a", "v")], Profile::V1_10).unwrap().state();
        let resume = |count, value, profile, state: &GateState| {
            StrictGate::resume(&template(count), &[("a", value)], profile, state.clone())
        };
        assert!(resume(2, "v", Profile::V1_10, &state).is_ok());
        for other in [
            resume(3, "v", Profile::V1_10, &state),
            resume(2, "w", Profile::V1_10, &state),
            resume(2, "v", Profile::V1_9, &state),
        ] {
            assert!(other.unwrap_err().to_string().contains("belongs to another specification"));
        }
        let older = GateState(GateFields { version: STATE_VERSION + 1, ..state.0 });
        assert!(resume(2, "v", Profile::V1_10, &older).unwrap_err().to_string().contains("version"));
    }

    /// A canary of which every third request fails, with exemplars, and queries that tell so in several forms.
    #[test]
    fn a_metric_that_fails_names_the_traces_of_what_its_query_counts_as_bad() {
        let labels = |code| [("__name__", "requests_total"), ("pod", "a"), ("code", code)];
        let mut source = Fixture::default();
        for (code, each) in [("200", 2.0), ("500", 1.0)] {
            source = source.series(&labels(code), (0_i64..=300).step_by(10).map(|s| (s, s as f64 * each)));
        }
        for second in (0_i64..=300).step_by(10) {
            source = source.exemplar(&labels("500"), (&format!("t{second}"), 2.0, second));
        }
        let ratio = r#"sum(rate(requests_total{code="500"}[1m])) / sum(rate(requests_total[1m]))"#;
        let template = |query: &str, success: &str, annotation: &str| {
            let metric = format!(
                r#"{{"name": "m", "count": 3, "interval": "10s", "initialDelay": "60s", "successCondition": "{success}",
                    "provider": {{"prometheus": {{"query": "{}"}}}}}}"#,
                query.replace('"', "\\\"")
            );
            let mut template = AnalysisTemplate::from_json(&format!(r#"{{"metrics": [{metric}]}}"#)).unwrap();
            template.annotations = vec![("promgate.dev/native".to_owned(), annotation.to_owned())];
            template
        };
        let report = |template: &AnalysisTemplate| {
            let mut gate = Gate::from_argo(template, &[], Profile::V1_10).unwrap();
            gate.start(Timestamp::from_secs(100));
            while let Some(due) = gate.next_due() {
                gate.tick(due, &source).unwrap();
                gate = Gate::resume_argo(template, &[], Profile::V1_10, gate.state()).unwrap();
            }
            gate.report()
        };
        let traces = |report: &Report| -> Vec<(String, String)> {
            let found = report.reasons.iter().find_map(|reason| match &reason.finding {
                Finding::Exemplars { traces } => Some(traces.clone()),
                _ => None,
            });
            found.into_iter().flatten().map(|trace| (trace.trace_id, trace.link)).collect()
        };
        let bad = report(&template(ratio, "result[0] < 0.05", ""));
        assert_eq!(bad.verdict, Verdict::Fail);
        // The newest first, none later than the measurement.
        let link = |id: &str| (id.to_owned(), format!("http://localhost:16686/trace/{id}"));
        assert_eq!(traces(&bad), ["t160", "t150", "t140", "t130", "t120"].map(link), "{bad}");
        let linked = report(&template(ratio, "result[0] < 0.05", "traceLink: 'https://t/{trace_id}'"));
        assert_eq!(traces(&linked)[0].1, "https://t/t160");
        // One that passes, and one whose query does not tell what is bad.
        assert!(traces(&report(&template(ratio, "result[0] < 0.5", ""))).is_empty());
        assert!(traces(&report(&template("sum(requests_total) ^ 2", "result[0] < 1", ""))).is_empty());
    }
}
