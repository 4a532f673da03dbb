//! The gate as a step function: time and data are arguments, nothing waits.

use std::collections::BTreeMap;

use super::baseline::note_worse_baselines;
use super::combine::{Combined, End, combine, of_gate, reasons};
use super::elements::{Seen, renew};
use super::evidence::{Health, MAX_SETTLE_MS, Observation, Pace, Span, observe, observe_health, traces};
use super::judge::{Judged, Rules, Said, judge};
use super::reason::{Finding, Reason, Severity};
use super::report::{CheckReport, Mode, Report};
use super::round::Round;
use super::run::{Tick, in_order};
use super::spec::{CheckSpec, GateSpec, Grouping, Selector};
use super::state::{CheckState, GateFields, GateState, STATE_VERSION, Standing};
use super::strict::{Doubts, StrictGate, Traces};
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
    /// When it first passed by a specification that was changed since: that it lived through the time before is known.
    passed_before: Option<Timestamp>,
    checks: Vec<CheckState>,
    standing: Standing,
    /// The strict gate that runs beside, and decides nothing.
    argo: Option<Box<StrictGate>>,
}

impl NativeGate {
    pub(crate) fn new(spec: GateSpec) -> Self {
        let checks = vec![CheckState::default(); spec.checks.len()];
        let standing = Standing::default();
        // Whether it makes one was seen when it was asked for.
        let argo = spec.beside.as_ref().and_then(|beside| beside.gate().ok());
        Self {
            spec,
            started: None,
            last_tick: None,
            extended: None,
            passed: None,
            passed_before: None,
            checks,
            standing,
            argo,
        }
    }

    pub(crate) fn start(&mut self, now: Timestamp) {
        if self.started.is_none() && !self.standing.settled {
            self.started = Some(now);
            self.standing.next_due = Some(now);
            self.argo.iter_mut().for_each(|argo| argo.start(now));
        }
    }

    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let own = self.standing.next_due?;
        let beside = self.argo.as_ref().and_then(|argo| argo.next_due());
        Some(beside.map_or(own, |beside| beside.min(own)))
    }

    pub(crate) fn tick(&mut self, now: Timestamp, source: &Round<'_>) -> Result<Tick> {
        let started = in_order(self.started, self.last_tick, now)?;
        let Some(due) = self.standing.next_due else { return Ok(self.answer(false, false)) };
        let beside = match &mut self.argo {
            Some(argo) => argo.tick(now, source)?.measured,
            None => false,
        };
        if now < due {
            return Ok(self.answer(beside, false));
        }
        let (health, failed) = self.look(started, now, source);
        // The look may have moved the deadline.
        let age_ms = now.millis_since(started);
        let end = self.deadline_ms().filter(|deadline| age_ms >= *deadline).map(|_| End::Deadline);
        self.last_tick = Some(now);
        Ok(self.conclude(&health, started, now, end, failed))
    }

    pub(crate) fn terminate(&mut self, now: Timestamp) -> Tick {
        if self.standing.settled {
            return self.answer(false, false);
        }
        // It cannot refuse a time that goes back: nothing ends before it was looked at.
        let now = self.last_tick.or(self.started).map_or(now, |latest| latest.max(now));
        if let Some(argo) = &mut self.argo {
            argo.terminate(now);
        }
        if self.passes_so_far() {
            // What the last look saw was good, and nobody asks for more.
            self.standing.settled = true;
            self.standing.next_due = None;
            return self.answer(false, true);
        }
        let started = self.started.unwrap_or(now);
        // What the last look saw of the targets stays among the reasons.
        let mut kept = std::mem::take(&mut self.standing.own);
        kept.retain(|said| !matches!(said.finding(), Some(Finding::WarmingUp { .. })));
        let tick = self.conclude(&Health::default(), started, now, Some(End::Terminated), false);
        self.standing.before_end = Some(kept);
        if tick.verdict == Verdict::Pass {
            // Only a look at the data passes a gate.
            self.standing.verdict = Verdict::Inconclusive;
        }
        self.answer(tick.measured, tick.changed)
    }

    /// Whether it passes so far, and looks on.
    pub(crate) fn passes_so_far(&self) -> bool {
        self.standing.verdict == Verdict::Pass && !self.standing.settled
    }

    /// Where it stands, in words and numbers, worked out anew.
    pub(crate) fn report(&self) -> Report {
        let Standing { at, verdict, settled, next_due, .. } = self.standing;
        let origin = self.spec.options.origin(self.started.unwrap_or_default());
        let rules = Rules::of(&self.spec, None);
        let states = self.spec.checks.iter().zip(&self.checks);
        let mut checks: Vec<CheckReport> =
            states.filter_map(|(check, state)| state.report(check, origin, rules)).collect();
        note_worse_baselines(&self.spec, &self.checks, &mut checks);
        Report {
            gate: self.spec.name.clone(),
            mode: Mode::Native,
            started: self.started,
            at,
            settled,
            verdict,
            reasons: self.reasons(&checks),
            checks,
            next_due: next_due.and(self.next_due()),
            strict: self.argo.as_ref().map(|argo| Box::new(argo.report())),
        }
    }

    fn reasons(&self, checks: &[CheckReport]) -> Vec<Reason> {
        let mut reasons = reasons(&self.spec, &self.standing, checks);
        let mut note = |finding| reasons.push(Reason::new(Severity::Information, None, finding));
        let of = |millis: i64| millis as f64 / 1000.0;
        if let (Some((update, to)), Some(from)) = (self.extended, self.spec.options.deadline_ms) {
            let [from_seconds, to_seconds, update_seconds] = [from, to, update].map(of);
            note(Finding::DeadlineExtended { from_seconds, to_seconds, update_seconds });
        }
        if let (Some(since), Some(started)) = (self.passed, self.started) {
            note(Finding::Watching { since, seconds: of(since.millis_since(started)) });
        }
        if let Some(before_end) = &self.standing.before_end {
            reasons.extend(before_end.iter().filter_map(of_gate));
            reasons.sort_by_key(|reason| match reason.severity {
                Severity::Fail => 0,
                Severity::Inconclusive => 1,
                Severity::Pass => 2,
                Severity::Information => 3,
            });
        }
        reasons
    }

    pub(crate) fn state(&self) -> GateState {
        GateState(GateFields {
            version: STATE_VERSION,
            gate: self.spec.name.clone(),
            spec: self.spec.fingerprint(),
            meanings: self
                .spec
                .checks
                .iter()
                .map(|check| (check.name.clone(), self.spec.meaning(check)))
                .collect(),
            started: self.started,
            last_tick: self.last_tick,
            extended: self.extended,
            passed: self.passed,
            passed_before: self.passed_before,
            standing: self.standing.clone(),
            checks: self.checks.clone(),
            strict: None,
            doubts: Doubts::new(),
            traces: Traces::new(),
            ended: None,
            beside: self.argo.as_ref().map(|argo| Box::new(argo.state().0)),
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
        let GateFields { started, last_tick, extended, passed, passed_before, .. } = state;
        let GateFields { checks, standing, beside, .. } = state;
        let argo = spec.beside.as_ref().and_then(|own| own.resume(beside));
        Ok(Self { spec, started, last_tick, extended, passed, passed_before, checks, standing, argo })
    }

    /// Goes on from `now` on by a specification that is another one, with what the checks have learned that mean the same in both.
    ///
    /// Nothing is passed by that: what it passed by so far was another specification. Checks that are new, or mean something
    /// else, learn from `now` on: who changes a threshold has seen the counts so far.
    pub(crate) fn resume_changed(
        spec: GateSpec,
        GateState(state): GateState,
        now: Timestamp,
    ) -> Result<Self> {
        if state.spec == spec.fingerprint() {
            return Self::resume(spec, GateState(state));
        }
        state.check_changed(&spec, now)?;
        let fresh = Self::new(spec);
        let Some(started) = state.started else { return Ok(fresh) };
        let mut known: BTreeMap<(String, u64), CheckState> =
            state.meanings.into_iter().zip(state.checks).collect();
        let checks = fresh.spec.checks.iter().map(|check| {
            let kept = known.remove(&(check.name.clone(), fresh.spec.meaning(check)));
            kept.unwrap_or_else(|| CheckState::beginning(now))
        });
        let checks = checks.collect();
        let standing = Standing { at: state.standing.at, next_due: Some(now), ..Standing::default() };
        let argo = fresh.spec.beside.as_ref().and_then(|own| own.resume(state.beside));
        let (last_tick, passed_before) = (state.last_tick, state.passed_before.or(state.passed));
        Ok(Self { started: Some(started), last_tick, passed_before, checks, standing, argo, ..fresh })
    }

    /// What the checks count, once their evidence has begun.
    pub(crate) fn selectors(&self, now: Timestamp) -> Vec<&Selector> {
        let origin = self.started.map(|started| self.spec.options.origin(started));
        if origin.is_none_or(|origin| now <= origin) {
            return Vec::new();
        }
        self.spec.checks.iter().flat_map(CheckSpec::selectors).collect()
    }

    /// Counts and judges every check; says whether some source failed.
    fn look(&mut self, started: Timestamp, now: Timestamp, source: &Round<'_>) -> (Health, bool) {
        let options = &self.spec.options;
        let origin = options.origin(started);
        let remaining_ms =
            self.deadline_ms().map(|deadline| deadline.saturating_sub(now.millis_since(started)));
        let rules = Rules::of(&self.spec, remaining_ms);
        let mut failed = false;
        let mut selected: Vec<(&Selector, Vec<Labels>, bool)> = Vec::new();
        let mut pace = Pace::default();
        for (check, state) in self.spec.checks.iter().zip(&mut self.checks) {
            let origin = state.origin(origin);
            if now <= origin {
                state.judged = Some(waiting(origin, now));
                continue;
            }
            let after = state.until.unwrap_or(origin);
            let span = Span { origin, after, now, settle_ms: options.settle_ms, waits: true };
            match look_at(check, state, span, source, (rules, &self.spec.trace_link)) {
                Ok(seen) => {
                    state.source_errors = 0;
                    state.judged = Some(seen.judged);
                    if !check.dry_run {
                        selected.push((check.traffic(), seen.selected, check.by != Grouping::Whole));
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
                    state.judged =
                        Some(judge(check, &state.tally, &observation, origin, &mut state.decision, rules));
                }
            }
        }
        let mut health = Health::default();
        if options.health && now > origin {
            let watched = self.passed.or(self.passed_before).map(|_| now.minus_millis(WATCHED_HEALTH_MS));
            let selected: Vec<(&Selector, &[Labels], bool)> = selected
                .iter()
                .map(|(selector, labels, each)| (*selector, labels.as_slice(), *each))
                .collect();
            match observe_health(&selected, watched.map_or(origin, |from| from.max(origin)), now, source) {
                Ok(observed) => health = observed,
                Err(error) => {
                    failed = true;
                    health = Health::unknown(error.to_string());
                }
            }
        }
        // Where the one look that decides has been, nothing is moved any more.
        if !(options.looks_once && remaining_ms.is_some_and(|remaining| remaining <= 0)) {
            self.extend(pace);
        }
        (health, failed)
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
        let combined = combine(&self.spec, &self.checks, health, (started, now), end);
        let Combined { verdict, settled, own, low_traffic } = combined;
        let changed = self.standing.verdict != verdict || self.standing.settled != settled;
        if verdict == Verdict::Pass && !settled {
            self.passed.get_or_insert(now);
        }
        let next_due = (!settled).then(|| self.due_after(started, now, failed));
        self.standing =
            Standing { at: Some(now), verdict, settled, next_due, own, low_traffic, before_end: None };
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

    pub(crate) fn answer(&self, measured: bool, changed: bool) -> Tick {
        Tick {
            measured,
            changed,
            verdict: self.standing.verdict,
            settled: self.standing.settled,
            next_due: self.next_due(),
        }
    }
}

/// Counts and judges one check; says which series stand for the canary.
fn look_at(
    check: &CheckSpec,
    state: &mut CheckState,
    span: Span,
    source: &Round<'_>,
    (rules, trace_link): (Rules, &str),
) -> Result<Seen> {
    if check.by != Grouping::Whole {
        return state.elements.look(check, span, source, (rules, trace_link));
    }
    let observation = observe(check, &mut state.tally, span, source)?;
    state.until = Some(observation.until);
    let judged = judge(check, &state.tally, &observation, span.origin, &mut state.decision, rules);
    if judged.verdict == Verdict::Fail {
        renew(&mut state.traces, traces(check, span, source, trace_link));
    }
    Ok(Seen { judged, selected: observation.selected, pace: observation.pace })
}

/// A check whose evidence has not begun.
fn waiting(origin: Timestamp, now: Timestamp) -> Judged {
    let remaining_seconds = origin.millis_since(now) as f64 / 1000.0;
    let said = Said::found(Severity::Inconclusive, Finding::WarmingUp { remaining_seconds });
    Judged { verdict: Verdict::Inconclusive, said: vec![said] }
}

#[cfg(test)]
mod tests;
