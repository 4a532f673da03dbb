//! From the outcomes of all checks and the health of the targets to the verdict: total, pure, deterministic.

use super::evidence::{Health, HealthState};
use super::reason::{Finding, Reason, Severity};
use super::report::CheckReport;
use super::spec::{CheckKind, GateSpec};
use super::verdict::Verdict;

/// Why a gate ends although it is not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Deadline,
    Terminated,
}

/// The verdict, whether it is final, and its reasons with the decisive ones first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Combined {
    pub(crate) verdict: Verdict,
    pub(crate) settled: bool,
    pub(crate) reasons: Vec<Reason>,
}

/// All deciding checks must pass and the canary must live; any failure fails. Traffic is told first.
pub(crate) fn combine(
    spec: &GateSpec,
    checks: &[CheckReport],
    health: &Health,
    age_ms: i64,
    end: Option<End>,
) -> Combined {
    let deciding = || checks.iter().filter(|check| !check.dry_run);
    let low_traffic = end == Some(End::Deadline)
        && spec.options.low_traffic_fails
        && deciding().any(|check| is_volume(spec, &check.name) && lacks_traffic(check));
    let fails = deciding().any(|check| check.verdict == Verdict::Fail)
        || health.state == HealthState::Dying
        || low_traffic;
    let remaining_ms =
        spec.options.warm_up_ms.saturating_add(spec.options.min_duration_ms).saturating_sub(age_ms).max(0);
    let passes = !checks.is_empty()
        && deciding().all(|check| check.verdict == Verdict::Pass)
        && health.state == HealthState::Alive
        && remaining_ms == 0;
    let verdict = if fails {
        Verdict::Fail
    } else if passes {
        Verdict::Pass
    } else {
        Verdict::Inconclusive
    };
    let mut reasons: Vec<Reason> = Vec::new();
    for (state, finding) in &health.findings {
        let severity = match state {
            HealthState::Dying => Severity::Fail,
            HealthState::Doubtful => Severity::Inconclusive,
            HealthState::Alive => Severity::Information,
        };
        reasons.push(Reason::new(severity, None, finding.clone()));
    }
    reasons.extend(health.notes.iter().map(|note| Reason::new(Severity::Information, None, note.clone())));
    if remaining_ms > 0 && verdict == Verdict::Inconclusive {
        let finding = Finding::WarmingUp { remaining_seconds: remaining_ms as f64 / 1000.0 };
        reasons.push(Reason::new(Severity::Inconclusive, None, finding));
    }
    let of_checks = deciding().flat_map(|check| &check.reasons).cloned().map(|mut reason| {
        if low_traffic && reason.check.as_deref().is_some_and(|name| is_volume(spec, name)) {
            reason.severity = Severity::Fail;
        }
        reason
    });
    reasons.extend(of_checks);
    if let Some(end) = end
        && verdict == Verdict::Inconclusive
    {
        let unsettled = deciding().filter(|check| check.verdict != Verdict::Pass);
        let unsettled = unsettled.map(|check| check.name.clone()).collect();
        let seconds = age_ms as f64 / 1000.0;
        let finding = match end {
            End::Deadline => Finding::Deadline { unsettled, seconds },
            End::Terminated => Finding::Terminated { unsettled, seconds },
        };
        reasons.push(Reason::new(Severity::Inconclusive, None, finding));
    }
    // Decisive first; among them traffic, whose absence explains the rest, and what is about the end last.
    reasons.sort_by_key(|reason| (rank(verdict, reason.severity), order(spec, reason)));
    let settled = match verdict {
        Verdict::Fail => true,
        Verdict::Pass => !spec.watches() || end == Some(End::Terminated),
        Verdict::Inconclusive => end.is_some(),
    };
    Combined { verdict, settled, reasons }
}

fn is_volume(spec: &GateSpec, name: &str) -> bool {
    spec.checks.iter().any(|check| check.name == name && matches!(check.kind, CheckKind::Volume { .. }))
}

fn lacks_traffic(check: &CheckReport) -> bool {
    check
        .reasons
        .iter()
        .any(|reason| matches!(reason.finding, Finding::NoTraffic { .. } | Finding::NotEnoughRequests { .. }))
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
        (Some(check), _) if is_volume(spec, check) => {
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
