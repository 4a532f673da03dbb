//! What a report says of a check: bounds and sentences, worked out when somebody reads it.
//!
//! A look works out what decides. Of a fleet's gates most are looked at many times until anybody reads a report.

use super::share::Thresholds;
use super::{Because, Judged, Rules, comparison, count, gauge, share, value, volume};
use crate::gate::evidence::Tally;
use crate::gate::reason::{Finding, Reason, Severity, Trace};
use crate::gate::report::{CheckReport, Evidence};
use crate::gate::spec::{CheckKind, CheckSpec};
use crate::gate::verdict::Verdict;

/// A check as it stands after a look.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) check: &'a CheckSpec,
    pub(crate) tally: &'a Tally,
    pub(crate) judged: &'a Judged,
    /// How long the evidence is; none before it begins.
    pub(crate) seconds: Option<f64>,
    pub(crate) rules: Rules,
    /// Traces of what it fails for.
    pub(crate) traces: &'a [Trace],
}

impl Shown<'_> {
    pub(crate) fn report(self) -> CheckReport {
        let Self { check, judged, traces, .. } = self;
        let reason = |severity, finding| Reason::new(severity, Some(&check.name), finding);
        let said = judged.said.iter().map(|said| match &said.1 {
            Because::Found(finding) => reason(said.0, finding.clone()),
            Because::Undecided => reason(said.0, self.undecided()),
        });
        let mut reasons: Vec<Reason> = said.collect();
        if judged.verdict == Verdict::Fail && !traces.is_empty() {
            reasons.push(reason(Severity::Information, Finding::Exemplars { traces: traces.to_vec() }));
        }
        CheckReport {
            name: check.name.clone(),
            dry_run: check.dry_run,
            verdict: judged.verdict,
            query: check.query(),
            evidence: self.evidence(),
            reasons,
            elements: Vec::new(),
        }
    }

    fn thresholds(self) -> Option<Thresholds> {
        match &self.check.kind {
            CheckKind::Ratio { threshold, fail_threshold, .. } => {
                Some(Thresholds { pass: *threshold, fail: *fail_threshold })
            }
            CheckKind::Quantile { phi, .. } => Some(Thresholds { pass: 1.0 - phi, fail: 1.0 - phi }),
            _ => None,
        }
    }

    fn evidence(self) -> Evidence {
        let Self { check, tally, rules, .. } = self;
        let Some(seconds) = self.seconds else { return Evidence::None };
        match (&check.kind, self.thresholds()) {
            (_, Some(thresholds)) => share::evidence(check, tally, seconds, thresholds, rules),
            (CheckKind::Comparison { .. }, _) => comparison::evidence(tally, rules),
            (CheckKind::Gauge { limit, .. }, _) => gauge::evidence(tally, *limit, rules.pass),
            (CheckKind::Count { window_ms, .. }, _) => count::evidence(tally, *window_ms, seconds),
            (CheckKind::Value(_), _) => value::evidence(tally),
            (CheckKind::Volume { .. } | CheckKind::Ratio { .. } | CheckKind::Quantile { .. }, _) => {
                volume::evidence(tally, seconds)
            }
        }
    }

    fn undecided(self) -> Finding {
        let Self { check, tally, rules, .. } = self;
        match (self.thresholds(), self.seconds) {
            (Some(thresholds), Some(seconds)) => share::undecided(check, tally, seconds, thresholds, rules),
            // Nothing else is undecided for its counts.
            _ => Finding::Settling {},
        }
    }
}
