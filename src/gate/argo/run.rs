//! The run: a state machine over passes.
//!
//! A *pass* is what Argo calls a reconcile: the metrics that are due are measured, all answers are waited for, then the
//! metrics are assessed in the order of the spec, and the run after them. A pass that changes a phase is followed at
//! once by another, since a metric that failed ends its siblings only there.

use crate::error::{Error, ErrorKind, Result};
use crate::gate::binary::binary_fields;
use crate::model::Timestamp;

use super::assess::{RunSpec, assess_run, phases};
use super::condition::evaluate_time;
use super::duration::parse_millis;
use super::measurement::{QueryAnswer, QueryValue, judge};
use super::merge::{check_unique, merge_arguments};
use super::placeholder::{Secrets, resolve_secrets, substitute_metric, with_stand_ins};
use super::retention::trim;
use super::schedule::{Due, due};
use super::status::{Measurement, MetricResult, Phase, Profile, RunStatus, Transition};
use super::template::{Argument, Metric, PrometheusProvider, TemplateSpec};
use super::validate::{dry_run_metrics, retention_limits, validate_metrics};

/// The version of [`RunState`] that is written.
const STATE_VERSION: u16 = 1;
/// Seconds a query may take where the metric does not say.
const DEFAULT_TIMEOUT_S: i64 = 30;

/// An analysis run, decided as Argo Rollouts decides it.
///
/// It has no clock and asks nothing itself. A controller waits until [`next_due`](Self::next_due), takes the requests
/// from [`poll`](Self::poll), and [`feed`](Self::feed)s their answers; [`tick`](Self::tick) is all three. Time that goes
/// backwards counts as standing still.
///
/// ```
/// use promgate::Timestamp;
/// use promgate::argo::{AnalysisRun, AnalysisTemplate, Phase, Profile, QueryValue};
///
/// let template = AnalysisTemplate::from_json(
///     r#"{"metrics": [{"name": "error-rate", "interval": "10s", "count": 3, "successCondition": "result[0] < 0.05",
///         "provider": {"prometheus": {"query": "sum(rate(errors[2m])) / sum(rate(requests[2m]))"}}}]}"#,
/// )?;
/// let mut run = AnalysisRun::new(&template.spec, &[], Profile::V1_10)?;
/// run.start(Timestamp::from_secs(0));
/// while let Some(now) = run.next_due() {
///     run.tick(now, &mut |_request| Ok(QueryValue::Vector(vec![0.01]).into()));
/// }
/// assert_eq!(run.status().phase, Phase::Successful);
/// assert_eq!(run.status().completed_at, Some(Timestamp::from_secs(20)));
/// # Ok::<(), promgate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct AnalysisRun {
    spec: TemplateSpec,
    arguments: Vec<Argument>,
    secrets: Secrets,
    profile: Profile,
    status: RunStatus,
    transitions: Vec<Transition>,
    terminate: bool,
    started: bool,
    /// The latest time anybody told.
    now: Timestamp,
    plan: Plan,
    pass: Option<Pass>,
    next_id: u64,
}

/// The spec with its placeholders replaced, by index of the metric.
#[derive(Clone, Debug, Default)]
struct Plan {
    metrics: Vec<Metric>,
    dry_run: Vec<bool>,
    retention: Vec<i32>,
}

/// Measurements under way.
#[derive(Clone, Debug)]
struct Pass {
    slots: Vec<Slot>,
}

#[derive(Clone, Debug)]
struct Slot {
    id: MeasurementId,
    /// Index of the metric.
    metric: usize,
    success_condition: String,
    failure_condition: String,
    query: String,
    started_at: Timestamp,
    finished: Option<Measurement>,
}

/// Names a measurement under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeasurementId(u64);

/// A query that is to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasurementRequest {
    /// What the answer has to be fed with.
    pub id: MeasurementId,
    /// The metric's name.
    pub metric: String,
    /// PromQL, placeholders replaced.
    pub query: String,
    /// The instant at which the query is to be evaluated.
    pub at: Timestamp,
    /// The times of a range query; `None` for a query at `at`.
    pub range: Option<RangeTimes>,
    /// How long the answer may take, in seconds; after that an error is to be fed.
    pub timeout_s: i64,
}

/// The times of a range query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeTimes {
    /// The first instant.
    pub start: Timestamp,
    /// The last instant, inclusive.
    pub end: Timestamp,
    /// From one instant to the next, in milliseconds.
    pub step_ms: i64,
}

/// A run at rest: what to keep to go on after a restart. Measurements under way are asked again.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct RunState {
    version: u16,
    status: RunStatus,
    transitions: Vec<Transition>,
    terminate: bool,
    started: bool,
    now: Timestamp,
}

binary_fields!(RunState { version, status, transitions, terminate, started, now });

fn refused(text: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}

impl AnalysisRun {
    /// A run of this spec, with arguments put over the template's own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] with Argo's sentence where template and arguments make no run: two metrics of one
    /// name, an argument without a value. Everything else that is wrong with a spec shows when the run starts, as the
    /// phase Error.
    pub fn new(spec: &TemplateSpec, arguments: &[Argument], profile: Profile) -> Result<Self> {
        check_unique(spec).map_err(refused)?;
        let arguments = merge_arguments(arguments, &spec.args).map_err(refused)?;
        Ok(Self {
            spec: spec.clone(),
            arguments,
            secrets: Secrets::new(),
            profile,
            status: RunStatus::default(),
            transitions: Vec::new(),
            terminate: false,
            started: false,
            now: Timestamp::MIN,
            plan: Plan::default(),
            pass: None,
            next_id: 0,
        })
    }

    /// The same run with these secrets for the arguments that refer to some. Their text never shows in a message.
    #[must_use]
    pub fn with_secrets(mut self, secrets: Secrets) -> Self {
        self.secrets = secrets;
        self
    }

    /// Goes on from a state, with the spec and arguments the state was made with.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and [`ErrorKind::Unsupported`] for a state of another version.
    pub fn resume(
        spec: &TemplateSpec,
        arguments: &[Argument],
        profile: Profile,
        state: RunState,
    ) -> Result<Self> {
        if state.version != STATE_VERSION {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("run state of version {}, only {STATE_VERSION} can be read", state.version),
            ));
        }
        let mut run = Self::new(spec, arguments, profile)?;
        run.status = state.status;
        run.transitions = state.transitions;
        run.terminate = state.terminate;
        run.started = state.started;
        run.now = state.now;
        if run.started && !run.status.phase.is_completed() {
            run.make_plan();
            // Nothing changes in a state that was left at rest; one from elsewhere may not have been assessed.
            if !run.status.metric_results.is_empty() || run.terminate {
                run.assess();
            }
        }
        Ok(run)
    }

    /// The run at rest.
    pub fn state(&self) -> RunState {
        RunState {
            version: STATE_VERSION,
            status: self.status.clone(),
            transitions: self.transitions.clone(),
            terminate: self.terminate,
            started: self.started,
            now: self.now,
        }
    }

    /// The status.
    pub fn status(&self) -> &RunStatus {
        &self.status
    }

    /// Every change of phase so far, in order.
    pub fn transitions(&self) -> &[Transition] {
        &self.transitions
    }

    /// The metrics with placeholders replaced; empty before the start and for a spec in error.
    pub fn metrics(&self) -> &[Metric] {
        &self.plan.metrics
    }

    /// Which metrics decide nothing, in the order of [`metrics`](Self::metrics).
    pub(in crate::gate) fn dry_run(&self) -> &[bool] {
        &self.plan.dry_run
    }

    /// Whether the run has ended.
    pub fn is_completed(&self) -> bool {
        self.status.phase.is_completed()
    }

    /// Begins: replaces placeholders, validates, and ends in Error if something is wrong.
    pub fn start(&mut self, now: Timestamp) {
        if self.started {
            return;
        }
        self.now = now;
        self.started = true;
        self.make_plan();
        if !self.is_completed() && !self.plan.metrics.iter().any(|metric| self.is_due(metric)) {
            self.assess();
        }
    }

    fn make_plan(&mut self) {
        match self.try_plan() {
            Ok(plan) => self.plan = plan,
            Err(text) => self.end_in_error(text),
        }
    }

    fn try_plan(&self) -> Result<Plan, String> {
        let arguments = with_stand_ins(&self.arguments);
        let metrics: Vec<Metric> = self
            .spec
            .metrics
            .iter()
            .map(|metric| substitute_metric(metric, &arguments))
            .collect::<Result<_, _>>()
            .map_err(unresolved)?;
        let invalid = |text: String| format!("Analysis spec invalid: {text}");
        validate_metrics(&metrics).map_err(invalid)?;
        let dry_run = dry_run_metrics(&self.spec.dry_run, &metrics).map_err(invalid)?;
        let retention = retention_limits(&self.spec.measurement_retention, &metrics).map_err(invalid)?;
        Ok(Plan { metrics, dry_run, retention })
    }

    /// An error in the spec ends the run without a time of completion.
    fn end_in_error(&mut self, message: String) {
        self.status.phase = Phase::Error;
        self.status.message.clone_from(&message);
        self.pass = None;
        self.transitions.push(Transition { at: self.now, metric: None, phase: Phase::Error, message });
    }

    /// When the run wants to be looked at next; `None`: it has ended, has not begun, waits for answers, or has nothing
    /// left to wait for but its end.
    pub fn next_due(&self) -> Option<Timestamp> {
        if !self.started || self.is_completed() || self.pass.is_some() {
            return None;
        }
        let terminating = self.run_spec().is_terminating(&self.status);
        self.plan
            .metrics
            .iter()
            .filter_map(|metric| match due(metric, &self.status, terminating) {
                Due::Never => None,
                Due::AtStart => Some(self.now),
                Due::At(time) => Some(time.max(self.now)),
            })
            .min()
    }

    /// The queries to ask now. Empty if nothing is due, and while answers are still owed.
    pub fn poll(&mut self, now: Timestamp) -> Vec<MeasurementRequest> {
        self.now = self.now.max(now);
        while self.started && !self.is_completed() && self.pass.is_none() {
            let due: Vec<usize> = self
                .plan
                .metrics
                .iter()
                .enumerate()
                .filter(|(_, metric)| self.is_due(metric))
                .map(|(index, _)| index)
                .collect();
            if due.is_empty() {
                break;
            }
            let requests = self.begin_pass(&due);
            if !requests.is_empty() {
                return requests;
            }
        }
        Vec::new()
    }

    fn is_due(&self, metric: &Metric) -> bool {
        let terminating = self.run_spec().is_terminating(&self.status);
        match due(metric, &self.status, terminating) {
            Due::Never => false,
            Due::AtStart => true,
            Due::At(time) => time <= self.now,
        }
    }

    fn run_spec(&self) -> RunSpec<'_> {
        RunSpec { metrics: &self.plan.metrics, dry_run: &self.plan.dry_run, terminate: self.terminate }
    }

    /// Opens a pass over these metrics. One that fails before it is asked is finished at once; if all are, so is the
    /// pass.
    fn begin_pass(&mut self, due: &[usize]) -> Vec<MeasurementRequest> {
        let resolved = resolve_secrets(&self.arguments, &self.secrets).and_then(|arguments| {
            let metrics = due.iter().filter_map(|index| self.spec.metrics.get(*index));
            metrics
                .map(|metric| substitute_metric(metric, &arguments))
                .collect::<Result<Vec<Metric>, String>>()
        });
        let metrics = match resolved {
            Ok(metrics) => metrics,
            Err(text) => {
                self.end_in_error(unresolved(text));
                return Vec::new();
            }
        };
        let (mut slots, mut requests) = (Vec::new(), Vec::new());
        for (index, metric) in due.iter().zip(metrics) {
            let id = MeasurementId(self.next_id);
            self.next_id = self.next_id.wrapping_add(1);
            let prometheus = metric.provider.prometheus.unwrap_or_default();
            let mut slot = Slot {
                id,
                metric: *index,
                success_condition: metric.success_condition,
                failure_condition: metric.failure_condition,
                query: prometheus.query.clone(),
                started_at: self.now,
                finished: None,
            };
            match request_times(&prometheus, self.now, self.profile) {
                Ok((range, timeout_s)) => requests.push(MeasurementRequest {
                    id,
                    metric: metric.name,
                    query: prometheus.query,
                    at: self.now,
                    range,
                    timeout_s,
                }),
                Err(message) => slot.finished = Some(self.in_error(self.now, &message)),
            }
            slots.push(slot);
        }
        self.pass = Some(Pass { slots });
        if requests.is_empty() {
            self.finish_pass();
        }
        requests
    }

    fn in_error(&self, started_at: Timestamp, message: &str) -> Measurement {
        Measurement {
            phase: Phase::Error,
            message: self.redacted(message),
            started_at,
            finished_at: self.now,
            ..Measurement::default()
        }
    }

    /// Takes the answer to a request: a value, or the text of an error. Answers whether it was owed; any other is
    /// dropped. The last answer of a pass has everything assessed.
    pub fn feed(&mut self, now: Timestamp, id: MeasurementId, answer: Result<QueryAnswer, String>) -> bool {
        self.now = self.now.max(now);
        let owed = |slot: &&Slot| slot.id == id && slot.finished.is_none();
        let Some(slot) = self.pass.as_ref().and_then(|pass| pass.slots.iter().find(owed)) else {
            return false;
        };
        let measurement = self.measure(slot, answer);
        let Some(pass) = &mut self.pass else { return false };
        for slot in pass.slots.iter_mut().filter(|slot| slot.id == id) {
            slot.finished = Some(measurement.clone());
        }
        if pass.slots.iter().all(|slot| slot.finished.is_some()) {
            self.finish_pass();
        }
        true
    }

    fn measure(&self, slot: &Slot, answer: Result<QueryAnswer, String>) -> Measurement {
        let answer = match answer {
            Ok(answer) => answer,
            Err(message) => return self.in_error(slot.started_at, &message),
        };
        let judged = match &answer.value {
            QueryValue::Text(_) => Err("Prometheus metric type not supported".to_owned()),
            value => judge(value, &slot.success_condition, &slot.failure_condition, self.now, self.profile),
        };
        let mut measurement = match judged {
            Ok(phase) => Measurement {
                phase,
                started_at: slot.started_at,
                finished_at: self.now,
                value: answer.value.text(),
                ..Measurement::default()
            },
            Err(message) => self.in_error(slot.started_at, &message),
        };
        if !answer.warnings.is_empty() && measurement.phase != Phase::Error {
            let quoted: Vec<String> =
                answer.warnings.iter().map(|warning| format!("\"{warning}\"")).collect();
            measurement.metadata.insert("warnings".to_owned(), quoted.join(", "));
        }
        measurement
    }

    /// Text without the text of secrets.
    fn redacted(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for argument in &self.arguments {
            let reference = argument.value_from.as_ref().and_then(|from| from.secret_key_ref.as_ref());
            let (None, Some(reference)) = (&argument.value, reference) else { continue };
            let secret = self.secrets.get(&reference.name).and_then(|entries| entries.get(&reference.key));
            if let Some(secret) = secret.filter(|secret| !secret.is_empty()) {
                text = text.replace(secret.as_str(), "*****");
            }
        }
        text
    }

    fn finish_pass(&mut self) {
        let Some(pass) = self.pass.take() else { return };
        let before = phases(&self.run_spec(), &self.status);
        for slot in pass.slots {
            let Some(metric) = self.plan.metrics.get(slot.metric) else { continue };
            let dry_run = self.plan.dry_run.get(slot.metric).copied().unwrap_or(false);
            let (name, query) = (metric.name.clone(), self.redacted(&slot.query));
            let Some(measurement) = slot.finished else { continue };
            if self.status.result(&name).is_none() {
                let mut result = MetricResult {
                    name: name.clone(),
                    phase: Phase::Running,
                    dry_run,
                    ..MetricResult::default()
                };
                if !query.is_empty() {
                    result.metadata.insert("ResolvedPrometheusQuery".to_owned(), query);
                }
                self.status.metric_results.push(result);
            }
            if let Some(result) = self.status.result_mut(&name) {
                result.record(measurement);
            }
        }
        self.assess_since(before);
    }

    /// Assesses at this instant until nothing changes any more.
    fn assess(&mut self) {
        self.assess_since(phases(&self.run_spec(), &self.status));
    }

    fn assess_since(&mut self, mut before: Vec<Option<Phase>>) {
        while !self.is_completed() {
            let spec = RunSpec {
                metrics: &self.plan.metrics,
                dry_run: &self.plan.dry_run,
                terminate: self.terminate,
            };
            let transitions = assess_run(&spec, &mut self.status, &before, self.now);
            before = phases(&spec, &self.status);
            for (metric, limit) in self.plan.metrics.iter().zip(&self.plan.retention) {
                if let Some(result) = self.status.result_mut(&metric.name) {
                    trim(result, *limit);
                }
            }
            if transitions.is_empty() {
                break;
            }
            self.transitions.extend(transitions);
        }
    }

    /// Asks for the end: no more measurements; metrics under way end well. Answers that are owed are still taken, and
    /// the run ends with the last of them.
    pub fn terminate(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        if self.is_completed() {
            return;
        }
        self.terminate = true;
        if self.started && self.pass.is_none() {
            self.assess();
        }
    }

    /// Starts if need be, asks everything that is due now and feeds the answers, as if they took no time. Answers
    /// whether anything was measured. Doing so twice at one time is the same as once.
    pub fn tick(
        &mut self,
        now: Timestamp,
        ask: &mut dyn FnMut(&MeasurementRequest) -> Result<QueryAnswer, String>,
    ) -> bool {
        self.start(now);
        let mut measured = false;
        loop {
            let requests = self.poll(now);
            if requests.is_empty() {
                return measured;
            }
            measured = true;
            for request in requests {
                let answer = ask(&request);
                self.feed(now, request.id, answer);
            }
        }
    }
}

fn unresolved(text: String) -> String {
    format!("Unable to resolve metric arguments: {text}")
}

/// The times of a request, or why the measurement fails before it is asked.
fn request_times(
    prometheus: &PrometheusProvider,
    now: Timestamp,
    profile: Profile,
) -> Result<(Option<RangeTimes>, i64), String> {
    let timeout_s = prometheus.timeout.unwrap_or(DEFAULT_TIMEOUT_S);
    if timeout_s < 0 {
        return Err("prometheus timeout should not be negative".to_owned());
    }
    let timeout_s = if timeout_s == 0 { DEFAULT_TIMEOUT_S } else { timeout_s };
    let Some(range) = &prometheus.range_query else { return Ok((None, timeout_s)) };
    let time = |which: &str, text: &str| {
        evaluate_time(text, now, profile)
            .map_err(|error| format!("failed to parse rangeQuery.{which} as time: {error}"))
    };
    let start = time("start", &range.start)?;
    let end = time("end", &range.end)?;
    let step_ms = parse_millis(&range.step)
        .map_err(|text| format!("failed to parse rangeQuery.step as duration: {text}"))?;
    Ok((Some(RangeTimes { start, end, step_ms }), timeout_s))
}

#[cfg(test)]
mod tests;
