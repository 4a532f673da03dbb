//! A check that judges each element for itself: the same check, once for each, over narrower selectors.

use std::collections::BTreeSet;

use super::binary::binary_fields;
use super::evidence::{Observation, Pace, STALE_MS, Span, Tally, observe, select_between, traces};
use super::explain;
use super::judge::{Decision, Judged, Rules, Shown, judge, seconds};
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
    pub(crate) judged: Judged,
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

binary_fields!(Elements { known, generations, until });

#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Element {
    labels: Vec<(String, String)>,
    until: Timestamp,
    tally: Tally,
    decision: Decision,
    /// Its part of the probability to fail a good canary.
    share: f64,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    traces: Vec<Trace>,
    /// What the last look came to; none before the first.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    judged: Option<Judged>,
}

binary_fields!(Element { labels, until, tally, decision, share, traces, judged });

impl Element {
    /// The check of this element alone, named by it.
    fn narrowed(&self, check: &CheckSpec) -> CheckSpec {
        CheckSpec { name: self.text(), ..check.narrowed(&self.labels) }
    }

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
        (rules, trace_link): (Rules, &str),
    ) -> Result<Seen> {
        let hindered = |obstacle: Finding| {
            let silent = Observation { obstacle: Some(obstacle), until: span.now, ..Observation::default() };
            judge(check, &Tally::default(), &silent, span.origin, &mut Decision::default(), rules)
        };
        if let Some(elements) = self.learn(check, span, source)? {
            // None is judged: the worst of them may be among those that would be left out.
            let obstacle = Finding::TooManyElements { elements, limit: MAX_ELEMENTS };
            return Ok(Seen { judged: hindered(obstacle), selected: Vec::new(), pace: Pace::default() });
        }
        let (mut selected, mut pace) = (Vec::new(), Pace::default());
        for element in &mut self.known {
            let narrowed = element.narrowed(check);
            let own = Span { after: element.until, ..span };
            let observation = observe(&narrowed, &mut element.tally, own, source)?;
            element.until = observation.until;
            let rules = rules.shared(element.share);
            let judged =
                judge(&narrowed, &element.tally, &observation, span.origin, &mut element.decision, rules);
            if judged.verdict == Verdict::Fail {
                renew(&mut element.traces, traces(&narrowed, span, source, trace_link));
            }
            element.judged = Some(judged);
            selected.extend(observation.selected);
            pace = pace.slower(observation.pace);
        }
        if self.known.is_empty() {
            let obstacle = explain::diagnose_selector(source, check.traffic(), span.now)?;
            return Ok(Seen { judged: hindered(obstacle), selected, pace });
        }
        Ok(Seen { judged: Judged { verdict: self.verdict(), said: Vec::new() }, selected, pace })
    }

    /// Bad if one element is, good if all are.
    fn verdict(&self) -> Verdict {
        let judged = || self.known.iter().map(|element| element.judged.as_ref().map(|judged| judged.verdict));
        if judged().any(|verdict| verdict == Some(Verdict::Fail)) {
            Verdict::Fail
        } else if judged().all(|verdict| verdict == Some(Verdict::Pass)) {
            Verdict::Pass
        } else {
            Verdict::Inconclusive
        }
    }

    /// What the elements that decide came to.
    pub(crate) fn deciding(&self) -> impl Iterator<Item = &Judged> {
        let verdict = self.verdict();
        let judged = self.known.iter().filter_map(|element| element.judged.as_ref());
        judged.filter(move |judged| judged.verdict == verdict)
    }

    /// What a report says of the check and of each of its elements.
    pub(crate) fn report(&self, check: &CheckSpec, origin: Timestamp, rules: Rules) -> CheckReport {
        let reports = self.known.iter().filter_map(|element| {
            let shown = Shown {
                check: &element.narrowed(check),
                tally: &element.tally,
                judged: element.judged.as_ref()?,
                seconds: Some(seconds(origin, element.until)),
                rules: rules.shared(element.share),
                traces: &element.traces,
            };
            Some(shown.report())
        });
        combined(check, self.verdict(), reports.collect())
    }

    /// Takes in what has had a sample since the evidence began. All that come together share half of what is left of the
    /// probability to fail a good canary: the parts never add up to more than the whole, however many come later. Answers
    /// how many there are if those are too many; none is taken in then.
    fn learn(&mut self, check: &CheckSpec, span: Span, source: &Round<'_>) -> Result<Option<usize>> {
        let with_bounds = matches!(check.kind, CheckKind::Quantile { .. });
        let mut seen: BTreeSet<Vec<(String, String)>> = BTreeSet::new();
        // Its samples may all come late, by as much as counts wait for.
        let after = self.until.map_or(span.origin, |until| until.minus_millis(STALE_MS).max(span.origin));
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
            judged: None,
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

/// Keeps traces that are there, or, as a source forgets exemplars, those that were.
pub(crate) fn renew(known: &mut Vec<Trace>, found: Vec<Trace>) {
    if !found.is_empty() {
        *known = found;
    }
}

/// The check as its elements have it. What is told is what decides.
fn combined(check: &CheckSpec, verdict: Verdict, elements: Vec<CheckReport>) -> CheckReport {
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
