//! A check that judges each element for itself: the same check, once for each, over narrower selectors.

use std::collections::BTreeSet;

use super::evidence::{MAX_SETTLE_MS, Observation, Pace, Span, Tally, observe, select_between, traces};
use super::explain;
use super::judge::{Alphas, Decision, judge};
use super::reason::{Finding, Reason, Severity, Trace};
use super::report::{CheckReport, Evidence};
use super::round::Round;
use super::spec::{CheckKind, CheckSpec, Grouping};
use super::verdict::Verdict;
use crate::error::Result;
use crate::model::{Labels, Timestamp};

/// More elements than this are no check.
const MAX_ELEMENTS: usize = 1_000;
/// A report repeats the reasons of so many elements.
const TOLD: usize = 3;

/// What a look at one check saw.
pub(crate) struct Seen {
    pub(crate) report: CheckReport,
    /// The labels of the series that stand for the canary.
    pub(crate) selected: Vec<Labels>,
    pub(crate) pace: Pace,
}

/// What a check has learned of its elements.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Elements {
    known: Vec<Element>,
    /// How often new ones came.
    generations: i32,
    /// All that had a sample up to then are known.
    until: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Element {
    labels: Vec<(String, String)>,
    until: Timestamp,
    tally: Tally,
    decision: Decision,
    /// Its part of the probability to fail a good canary.
    share: f64,
    #[cfg_attr(feature = "serde", serde(default))]
    traces: Vec<Trace>,
}

impl Element {
    /// `pod="a",zone="b"`.
    fn text(&self) -> String {
        let labels = self.labels.iter().map(|(name, value)| format!("{name}={value:?}"));
        labels.collect::<Vec<_>>().join(",")
    }
}

impl Elements {
    /// Counts and judges every element; says which series were selected.
    ///
    /// # Errors
    ///
    /// The source's; what was counted before it stays counted.
    pub(crate) fn look(
        &mut self,
        check: &CheckSpec,
        span: Span,
        source: &Round<'_>,
        (alphas, trace_link): (Alphas, &str),
    ) -> Result<Seen> {
        let hindered = |obstacle: Finding| {
            let silent = Observation { obstacle: Some(obstacle), until: span.now, ..Observation::default() };
            judge(check, &Tally::default(), &silent, span.origin, &mut Decision::default(), alphas)
        };
        if let Some(elements) = self.learn(check, span, source)? {
            // None is judged: the worst of them may be among those that would be left out.
            let obstacle = Finding::TooManyElements { elements, limit: MAX_ELEMENTS };
            return Ok(Seen { report: hindered(obstacle), selected: Vec::new(), pace: Pace::default() });
        }
        let (mut selected, mut pace) = (Vec::new(), Pace::default());
        let mut reports = Vec::with_capacity(self.known.len());
        for element in &mut self.known {
            let narrowed = CheckSpec { name: element.text(), ..check.narrowed(&element.labels) };
            let own = Span { after: element.until, ..span };
            let observation = observe(&narrowed, &mut element.tally, own, source)?;
            element.until = observation.until;
            let alphas = alphas.shared(element.share);
            let mut report =
                judge(&narrowed, &element.tally, &observation, span.origin, &mut element.decision, alphas);
            report.name_traces(&mut element.traces, || traces(&narrowed, span, source, trace_link));
            reports.push(report);
            selected.extend(observation.selected);
            pace = pace.slower(observation.pace);
        }
        if reports.is_empty() {
            let obstacle = explain::diagnose_selector(source, check.traffic(), span.now)?;
            return Ok(Seen { report: hindered(obstacle), selected, pace });
        }
        Ok(Seen { report: combined(check, reports), selected, pace })
    }

    /// Takes in what has had a sample since the evidence began. All that come together share half of what is left of the
    /// probability to fail a good canary: the parts never add up to more than the whole, however many come later. Answers
    /// how many there are if those are too many; none is taken in then.
    fn learn(&mut self, check: &CheckSpec, span: Span, source: &Round<'_>) -> Result<Option<usize>> {
        let with_bounds = matches!(check.kind, CheckKind::Quantile { .. });
        let mut seen: BTreeSet<Vec<(String, String)>> = BTreeSet::new();
        // A scrape may come a little later than its time.
        let after =
            self.until.map_or(span.origin, |until| until.minus_millis(MAX_SETTLE_MS).max(span.origin));
        for labels in select_between(source, check.traffic(), after, span.now)? {
            seen.insert(element_of(&labels, &check.by, with_bounds));
        }
        let known: BTreeSet<&Vec<(String, String)>> = self.known.iter().map(|known| &known.labels).collect();
        seen.retain(|labels| !known.contains(labels));
        let all = self.known.len().saturating_add(seen.len());
        if all > MAX_ELEMENTS {
            return Ok(Some(all));
        }
        if !seen.is_empty() {
            self.generations = self.generations.saturating_add(1);
        }
        let share = libm::scalbn(1.0, self.generations.saturating_neg()) / seen.len().max(1) as f64;
        self.known.extend(seen.into_iter().map(|labels| Element {
            labels,
            until: span.origin,
            tally: Tally::default(),
            decision: Decision::default(),
            share,
            traces: Vec::new(),
        }));
        self.until = Some(span.now);
        Ok(None)
    }
}

/// The labels that tell the element of a series from others.
fn element_of(labels: &Labels, by: &Grouping, with_bounds: bool) -> Vec<(String, String)> {
    match by {
        Grouping::By(names) => {
            let value = |name: &str| labels.get(name).unwrap_or("").to_owned();
            names.iter().map(|name| (name.clone(), value(name))).collect()
        }
        Grouping::Whole => Vec::new(),
        Grouping::Without(_) | Grouping::Series => {
            let left_out = |name: &str| match by {
                Grouping::Without(names) => names.iter().any(|other| other == name),
                _ => false,
            };
            labels
                .iter()
                .filter(|label| {
                    &*label.name != "__name__"
                        && !(with_bounds && &*label.name == "le")
                        && !left_out(&label.name)
                })
                .map(|label| (label.name.to_string(), label.value.to_string()))
                .collect()
        }
    }
}

/// Bad if one element is, good if all are. What is told is what decides.
fn combined(check: &CheckSpec, elements: Vec<CheckReport>) -> CheckReport {
    let has = |verdict: Verdict| elements.iter().any(|element| element.verdict == verdict);
    let verdict = if has(Verdict::Fail) {
        Verdict::Fail
    } else if has(Verdict::Inconclusive) {
        Verdict::Inconclusive
    } else {
        Verdict::Pass
    };
    let deciding = || elements.iter().filter(|element| element.verdict == verdict);
    let mut reasons: Vec<Reason> = Vec::new();
    for element in deciding().take(TOLD) {
        reasons.extend(element.reasons.iter().cloned().map(|reason| Reason {
            check: Some(check.name.clone()),
            element: Some(element.name.clone()),
            ..reason
        }));
    }
    reasons.sort_by_key(|reason| reason.severity == Severity::Information);
    let (judged, alike) = (elements.len(), deciding().count());
    let finding = Finding::Elements { judged, alike };
    reasons.push(Reason::new(Severity::Information, Some(&check.name), finding));
    let evidence = deciding().next().map_or(Evidence::None, |element| element.evidence.clone());
    CheckReport {
        name: check.name.clone(),
        dry_run: check.dry_run,
        verdict,
        query: check.query(),
        evidence,
        reasons,
        elements,
    }
}
