//! From the outcomes of all checks and the health of the targets to the verdict: total, pure, deterministic.

use super::evidence::{Health, HealthState};
use super::judge::{Judged, Said};
use super::reason::{Finding, Reason, Severity};
use super::report::CheckReport;
use super::spec::{CheckKind, CheckSpec, GateSpec};
use super::state::{CheckState, Standing};
use super::verdict::Verdict;
use crate::model::Timestamp;

/// Why a gate ends although it is not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Deadline,
    Terminated,
}

/// The verdict, whether it is final, and what is to be said of the gate itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Combined {
    pub(crate) verdict: Verdict,
    pub(crate) settled: bool,
    pub(crate) own: Vec<Said>,
    /// Whether too little traffic fails it.
    pub(crate) low_traffic: bool,
}

/// All deciding checks must pass and the canary must live; any failure fails.
pub(crate) fn combine(
    spec: &GateSpec,
    checks: &[CheckState],
    health: &Health,
    (started, now): (Timestamp, Timestamp),
    end: Option<End>,
) -> Combined {
    let age_ms = now.millis_since(started);
    let deciding = || spec.checks.iter().zip(checks).filter(|(check, _)| !check.dry_run);
    let verdict_of = |state: &CheckState| state.judged.as_ref().map(|judged| judged.verdict);
    // One that was changed has not had the time that the deadline gives.
    let had_time = |state: &CheckState| state.began.is_none();
    let low_traffic = end == Some(End::Deadline)
        && spec.options.low_traffic_fails
        && deciding().any(|(check, state)| is_volume(check) && had_time(state) && lacks_traffic(state));
    let fails = deciding().any(|(_, state)| verdict_of(state) == Some(Verdict::Fail))
        || health.state == HealthState::Dying
        || low_traffic;
    // A check that was changed has to be that old, too.
    let warm = started.plus_millis(spec.options.warm_up_ms);
    let begun = deciding().map(|(_, state)| state.origin(warm)).max().unwrap_or(warm);
    let remaining_ms = begun.plus_millis(spec.options.min_duration_ms).millis_since(now).max(0);
    let passes = !checks.is_empty()
        && deciding().all(|(_, state)| verdict_of(state) == Some(Verdict::Pass))
        && health.state == HealthState::Alive
        && remaining_ms == 0;
    let verdict = if fails {
        Verdict::Fail
    } else if passes {
        Verdict::Pass
    } else {
        Verdict::Inconclusive
    };
    let mut own: Vec<Said> = Vec::new();
    for (state, finding) in &health.findings {
        let severity = match state {
            HealthState::Dying => Severity::Fail,
            HealthState::Doubtful => Severity::Inconclusive,
            HealthState::Alive => Severity::Information,
        };
        own.push(Said::found(severity, finding.clone()));
    }
    own.extend(health.notes.iter().map(|note| Said::found(Severity::Information, note.clone())));
    if remaining_ms > 0 && verdict == Verdict::Inconclusive {
        let finding = Finding::WarmingUp { remaining_seconds: remaining_ms as f64 / 1000.0 };
        own.push(Said::found(Severity::Inconclusive, finding));
    }
    if let Some(end) = end
        && verdict == Verdict::Inconclusive
    {
        let looked_at = deciding().filter_map(|(check, state)| Some((check, verdict_of(state)?)));
        let unsettled = looked_at.filter(|(_, verdict)| *verdict != Verdict::Pass);
        let unsettled = unsettled.map(|(check, _)| check.name.clone()).collect();
        let seconds = age_ms as f64 / 1000.0;
        let finding = match end {
            End::Deadline => Finding::Deadline { unsettled, seconds },
            End::Terminated => Finding::Terminated { unsettled, seconds },
        };
        own.push(Said::found(Severity::Inconclusive, finding));
    }
    let settled = match verdict {
        Verdict::Fail => true,
        Verdict::Pass => !spec.watches() || end == Some(End::Terminated),
        Verdict::Inconclusive => end.is_some(),
    };
    Combined { verdict, settled, own, low_traffic }
}

/// The reasons of a gate that has come to this: decisive ones first, among them traffic, whose absence explains the rest, and
/// what is about the end last.
pub(crate) fn reasons(spec: &GateSpec, standing: &Standing, checks: &[CheckReport]) -> Vec<Reason> {
    let is_end =
        |said: &&Said| matches!(said.finding(), Some(Finding::Deadline { .. } | Finding::Terminated { .. }));
    let (ends, own): (Vec<&Said>, Vec<&Said>) = standing.own.iter().partition(is_end);
    let mut reasons: Vec<Reason> = own.into_iter().filter_map(of_gate).collect();
    let deciding = checks.iter().filter(|check| !check.dry_run);
    reasons.extend(deciding.flat_map(|check| &check.reasons).cloned().map(|mut reason| {
        if standing.low_traffic && is_about_volume(spec, &reason) {
            reason.severity = Severity::Fail;
        }
        reason
    }));
    reasons.extend(ends.into_iter().filter_map(of_gate));
    let verdict = standing.verdict;
    reasons.sort_by_key(|reason| (rank(verdict, reason.severity), order(spec, reason)));
    reasons
}

/// A reason of the gate itself.
pub(crate) fn of_gate(said: &Said) -> Option<Reason> {
    said.finding().map(|finding| Reason::new(said.0, None, finding.clone()))
}

fn is_volume(check: &CheckSpec) -> bool {
    matches!(check.kind, CheckKind::Volume { .. })
}

fn is_about_volume(spec: &GateSpec, reason: &Reason) -> bool {
    let name = reason.check.as_deref();
    spec.checks.iter().any(|check| Some(check.name.as_str()) == name && is_volume(check))
}

fn lacks_traffic(state: &CheckState) -> bool {
    let Some(judged) = &state.judged else { return false };
    let lacks = |judged: &Judged| {
        judged.said.iter().map(Said::finding).any(|finding| {
            matches!(finding, Some(Finding::NoTraffic { .. } | Finding::NotEnoughRequests { .. }))
        })
    };
    // The elements say why only where the check says nothing itself: what they came to may be of an earlier look.
    if judged.said.is_empty() { state.elements.deciding().any(lacks) } else { lacks(judged) }
}

fn rank(verdict: Verdict, severity: Severity) -> u8 {
    match (verdict, severity) {
        (Verdict::Fail, Severity::Fail)
        | (Verdict::Pass, Severity::Pass)
        | (Verdict::Inconclusive, Severity::Inconclusive) => 0,
        (_, Severity::Fail) => 1,
        (_, Severity::Inconclusive) => 2,
        (_, Severity::Pass) => 3,
        (_, Severity::Information) => 4,
    }
}

fn order(spec: &GateSpec, reason: &Reason) -> u8 {
    match (&reason.check, &reason.finding) {
        (_, Finding::WarmingUp { .. } | Finding::Deadline { .. } | Finding::Terminated { .. }) => 4,
        // A volume that is there explains a pass least; one that is missing explains everything.
        (Some(_), _) if is_about_volume(spec, reason) => {
            if reason.severity == Severity::Pass {
                3
            } else {
                0
            }
        }
        (None, _) => 1,
        (Some(_), _) => 2,
    }
}

#[cfg(test)]
mod tests;
