//! The gate as a step function: time and data are arguments, nothing waits.

use super::combine::{End, combine};
use super::elements::Seen;
use super::evidence::{Health, MAX_SETTLE_MS, Observation, Pace, Span, observe, observe_health, traces};
use super::judge::{Alphas, judge};
use super::reason::{Finding, Reason, Severity};
use super::report::{CheckReport, Evidence, Mode, Report};
use super::round::Round;
use super::run::{Tick, in_order};
use super::spec::{CheckSpec, GateSpec, Grouping, Selector};
use super::state::{CheckState, GateFields, GateState, STATE_VERSION};
use super::strict::Doubts;
use super::verdict::Verdict;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Labels, Timestamp};

/// After a failure of the source the next look comes this soon, if the interval is longer.
const RETRY_MS: i64 = 10_000;
/// The health of a canary that has passed is that of the last hour: whoever is watched for weeks may restart now and then.
const WATCHED_HEALTH_MS: i64 = 3_600_000;

/// One run of a gate that decides by evidence.
#[derive(Clone, Debug)]
pub(crate) struct NativeGate {
    spec: GateSpec,
    started: Option<Timestamp>,
    last_tick: Option<Timestamp>,
    /// The time between changes of the counters for which the deadline was moved, and the deadline since.
    extended: Option<(i64, i64)>,
    /// When it first passed, if it is watched on.
    passed: Option<Timestamp>,
    checks: Vec<CheckState>,
    report: Report,
}

impl NativeGate {
    pub(crate) fn new(spec: GateSpec) -> Self {
        let report = Report {
            gate: spec.name.clone(),
            mode: Mode::Native,
            started: None,
            at: None,
            settled: false,
            verdict: Verdict::Inconclusive,
            reasons: Vec::new(),
            checks: Vec::new(),
            next_due: None,
        };
        let checks = vec![CheckState::default(); spec.checks.len()];
        Self { spec, started: None, last_tick: None, extended: None, passed: None, checks, report }
    }

    pub(crate) fn start(&mut self, now: Timestamp) {
        if self.started.is_none() && !self.report.settled {
            self.started = Some(now);
            self.report.started = Some(now);
            self.report.next_due = Some(now);
        }
    }

    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.report.next_due
    }

    pub(crate) fn tick(&mut self, now: Timestamp, source: &Round<'_>) -> Result<Tick> {
        let started = in_order(self.started, self.last_tick, now)?;
        if self.report.next_due.is_none_or(|due| now < due) {
            return Ok(self.answer(false, false));
        }
        let (checks, health, failed) = self.look(started, now, source);
        // The look may have moved the deadline.
        let age_ms = now.millis_since(started);
        let end = self.deadline_ms().filter(|deadline| age_ms >= *deadline).map(|_| End::Deadline);
        self.last_tick = Some(now);
        Ok(self.conclude(checks, &health, started, now, end, failed))
    }

    pub(crate) fn terminate(&mut self, now: Timestamp) -> Tick {
        if self.report.settled {
            return self.answer(false, false);
        }
        if self.passes_so_far() {
            // What the last look saw was good, and nobody asks for more.
            self.report.settled = true;
            self.report.next_due = None;
            return self.answer(false, true);
        }
        let started = self.started.unwrap_or(now);
        let checks = std::mem::take(&mut self.report.checks);
        // What the last look saw of the targets stands among its reasons.
        let kept: Vec<Reason> =
            self.report.reasons.iter().filter(|reason| reason.check.is_none()).cloned().collect();
        let tick = self.conclude(checks, &Health::default(), started, now, Some(End::Terminated), false);
        if tick.verdict == Verdict::Pass {
            // Only a look at the data passes a gate.
            self.report.verdict = Verdict::Inconclusive;
        }
        let is_old = |reason: &Reason| {
            matches!(
                reason.finding,
                Finding::WarmingUp { .. } | Finding::Watching { .. } | Finding::DeadlineExtended { .. }
            )
        };
        let kept = kept.into_iter().filter(|reason| !is_old(reason));
        self.report.reasons.extend(kept);
        self.report.reasons.sort_by_key(|reason| match reason.severity {
            Severity::Fail => 0,
            Severity::Inconclusive => 1,
            Severity::Pass => 2,
            Severity::Information => 3,
        });
        self.answer(tick.measured, tick.changed)
    }

    /// Whether it passes so far, and looks on.
    pub(crate) fn passes_so_far(&self) -> bool {
        self.report.verdict == Verdict::Pass && !self.report.settled
    }

    pub(crate) fn report(&self) -> Report {
        self.report.clone()
    }

    pub(crate) fn state(&self) -> GateState {
        GateState(GateFields {
            version: STATE_VERSION,
            spec: self.spec.fingerprint(),
            started: self.started,
            last_tick: self.last_tick,
            extended: self.extended,
            passed: self.passed,
            checks: self.checks.clone(),
            strict: None,
            doubts: Doubts::new(),
            report: self.report.clone(),
        })
    }

    pub(crate) fn resume(spec: GateSpec, GateState(state): GateState) -> Result<Self> {
        state.check(&spec.fingerprint(), &spec.name)?;
        if state.strict.is_some() || state.checks.len() != spec.checks.len() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the state is not that of a native gate with these checks",
            ));
        }
        let GateFields { started, last_tick, extended, passed, checks, report, .. } = state;
        Ok(Self { spec, started, last_tick, extended, passed, checks, report })
    }

    /// Counts and judges every check; says whether some source failed.
    fn look(
        &mut self,
        started: Timestamp,
        now: Timestamp,
        source: &Round<'_>,
    ) -> (Vec<CheckReport>, Health, bool) {
        let origin = started.plus_millis(self.spec.options.warm_up_ms);
        let alphas = Alphas::of(&self.spec);
        let options = &self.spec.options;
        let mut failed = false;
        let mut reports = Vec::with_capacity(self.spec.checks.len());
        let mut selected: Vec<(&Selector, Vec<Labels>)> = Vec::new();
        let mut pace = Pace::default();
        for (check, state) in self.spec.checks.iter().zip(&mut self.checks) {
            if now <= origin {
                reports.push(waiting(check, origin, now));
                continue;
            }
            let after = state.until.unwrap_or(origin);
            let span = Span { origin, after, now, settle_ms: options.settle_ms };
            match look_at(check, state, span, source, (alphas, &self.spec.trace_link)) {
                Ok(seen) => {
                    state.source_errors = 0;
                    reports.push(seen.report);
                    if !check.dry_run {
                        selected.push((check.traffic(), seen.selected));
                        pace = pace.slower(seen.pace);
                    }
                }
                Err(error) => {
                    failed = true;
                    state.source_errors = state.source_errors.saturating_add(1);
                    let observation = Observation {
                        obstacle: Some(Finding::SourceError {
                            message: error.to_string(),
                            in_a_row: state.source_errors,
                            limit: options.source_error_limit,
                        }),
                        until: after,
                        ..Observation::default()
                    };
                    let mut report =
                        judge(check, &state.tally, &observation, origin, &mut state.decision, alphas);
                    report.name_traces(&mut state.traces, Vec::new);
                    reports.push(report);
                }
            }
        }
        let mut health = Health::default();
        if options.health && now > origin {
            let watched = self.passed.map(|_| now.minus_millis(WATCHED_HEALTH_MS));
            let selected: Vec<(&Selector, &[Labels])> =
                selected.iter().map(|(selector, labels)| (*selector, labels.as_slice())).collect();
            match observe_health(&selected, watched.map_or(origin, |from| from.max(origin)), now, source) {
                Ok(observed) => health = observed,
                Err(error) => {
                    failed = true;
                    health = Health::unknown(error.to_string());
                }
            }
        }
        self.extend(pace);
        (reports, health, failed)
    }

    /// Moves a deadline that nobody asked for where counters change so rarely that two of their changes do not fit before it.
    fn extend(&mut self, pace: Pace) {
        let options = &self.spec.options;
        let (Some(deadline), true) = (self.deadline_ms(), options.deadline_is_derived) else { return };
        let settle = options.settle_ms.unwrap_or(pace.scrape_ms).min(MAX_SETTLE_MS);
        let two = pace.update_ms.saturating_mul(2);
        let needed = options.warm_up_ms.saturating_add(two).saturating_add(settle);
        if pace.update_ms > 0 && needed > deadline {
            self.extended = Some((pace.update_ms, needed));
        }
    }

    fn conclude(
        &mut self,
        checks: Vec<CheckReport>,
        health: &Health,
        started: Timestamp,
        now: Timestamp,
        mut end: Option<End>,
        failed: bool,
    ) -> Tick {
        let limit = self.spec.options.source_error_limit;
        let lost = |(check, state): (&CheckSpec, &CheckState)| !check.dry_run && state.source_errors > limit;
        if end.is_none() && self.spec.checks.iter().zip(&self.checks).any(lost) {
            end = Some(End::Terminated);
        }
        let combined = combine(&self.spec, &checks, health, now.millis_since(started), end);
        let changed = self.report.verdict != combined.verdict || self.report.settled != combined.settled;
        self.report.at = Some(now);
        self.report.verdict = combined.verdict;
        self.report.settled = combined.settled;
        self.report.reasons = combined.reasons;
        self.report.checks = checks;
        if combined.verdict == Verdict::Pass && !combined.settled {
            self.passed.get_or_insert(now);
        }
        if let (Some((update, to)), Some(from)) = (self.extended, self.spec.options.deadline_ms) {
            let [from_seconds, to_seconds, update_seconds] =
                [from, to, update].map(|millis| millis as f64 / 1000.0);
            let finding = Finding::DeadlineExtended { from_seconds, to_seconds, update_seconds };
            self.report.reasons.push(Reason::new(Severity::Information, None, finding));
        }
        if let Some(since) = self.passed {
            let finding = Finding::Watching { since, seconds: since.millis_since(started) as f64 / 1000.0 };
            self.report.reasons.push(Reason::new(Severity::Information, None, finding));
        }
        self.report.next_due = (!combined.settled).then(|| self.due_after(started, now, failed));
        self.answer(true, changed)
    }

    /// The age at which it ends if it has not passed by then.
    fn deadline_ms(&self) -> Option<i64> {
        let deadline = self.spec.options.deadline_ms.filter(|_| self.passed.is_none());
        deadline.map(|deadline| self.extended.map_or(deadline, |(_, extended)| extended))
    }

    /// The next time on the grid of the interval; sooner after a failure of the source, and at the deadline.
    fn due_after(&self, started: Timestamp, now: Timestamp, failed: bool) -> Timestamp {
        let interval = self.spec.options.interval_ms.max(1);
        let steps = now.millis_since(started).max(0) / interval;
        let mut due = started.plus_millis(steps.saturating_add(1).saturating_mul(interval));
        if failed {
            due = due.min(now.plus_millis(RETRY_MS.min(interval)));
        }
        if let Some(deadline) = self.deadline_ms() {
            due = due.min(started.plus_millis(deadline)).max(now.plus_millis(1));
        }
        due
    }

    fn answer(&self, measured: bool, changed: bool) -> Tick {
        Tick {
            measured,
            changed,
            verdict: self.report.verdict,
            settled: self.report.settled,
            next_due: self.report.next_due,
        }
    }
}

/// Counts and judges one check; says which series stand for the canary.
fn look_at(
    check: &CheckSpec,
    state: &mut CheckState,
    span: Span,
    source: &Round<'_>,
    (alphas, trace_link): (Alphas, &str),
) -> Result<Seen> {
    if check.by != Grouping::Whole {
        return state.elements.look(check, span, source, (alphas, trace_link));
    }
    let observation = observe(check, &mut state.tally, span, source)?;
    state.until = Some(observation.until);
    let mut report = judge(check, &state.tally, &observation, span.origin, &mut state.decision, alphas);
    report.name_traces(&mut state.traces, || traces(check, span, source, trace_link));
    Ok(Seen { report, selected: observation.selected, pace: observation.pace })
}

/// A check whose evidence has not begun.
fn waiting(check: &CheckSpec, origin: Timestamp, now: Timestamp) -> CheckReport {
    let remaining_seconds = origin.millis_since(now) as f64 / 1000.0;
    let reason =
        Reason::new(Severity::Inconclusive, Some(&check.name), Finding::WarmingUp { remaining_seconds });
    CheckReport {
        name: check.name.clone(),
        dry_run: check.dry_run,
        verdict: Verdict::Inconclusive,
        query: check.query(),
        evidence: Evidence::None,
        reasons: vec![reason],
        elements: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
