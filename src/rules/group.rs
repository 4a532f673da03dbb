//! Evaluating one group: its rules one after the other, each on what those before it have written.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::error::{Error, ErrorKind, Result};
use crate::model::label::METRIC_NAME;
use crate::model::{Labels, LabelsBuilder, Loss, Sample, SampleValue, Timestamp, stale_marker};
use crate::promql::{Annotations, Engine, Query, Value, VectorSample};
use crate::source::{Source, Watched};
use crate::store::Store;

use super::alert::{ALERT_NAME, Alert, Alerts, update};
use super::doubt::{DoubtfulTimes, Doubts};
use super::file::{Alerting, Rule, RuleGroup, RuleText};
use super::template::Surroundings;

/// What the evaluation of a group came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct GroupEvaluation {
    /// The file of the group, as it was given to [`RuleManager::load`](super::RuleManager::load).
    pub file: String,
    /// The name of the group.
    pub group: String,
    /// What became of its rules, in their order.
    pub rules: Vec<RuleEvaluation>,
}

/// What the evaluation of a rule came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct RuleEvaluation {
    /// The metric that is recorded, or the alert.
    pub name: String,
    /// Samples that were written, staleness markers left out.
    pub samples: usize,
    /// Why the rule failed, or why the store refused some of its samples; the others are written.
    pub error: Option<Error>,
    /// What its query noticed.
    pub annotations: Annotations,
}

/// What all rules share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) external_labels: Labels,
    pub(super) external_url: String,
}

/// A group and what it remembers.
#[derive(Debug)]
pub(super) struct RunningGroup {
    pub(super) file: String,
    pub(super) group: RuleGroup,
    pub(super) interval_ms: i64,
    pub(super) rules: Vec<RunningRule>,
    pub(super) last: Option<Timestamp>,
    /// Series of rules that are no longer there.
    gone: BTreeSet<Labels>,
    /// How many evaluations there were since it was loaded.
    pub(super) evaluations: u32,
}

/// What a rule remembers.
#[derive(Debug, Default)]
pub(super) struct RunningRule {
    /// The series that its last evaluation wrote.
    previous: BTreeSet<Labels>,
    pub(super) alerts: Alerts,
    /// Whether its alerts have been restored, or need not be: `ALERTS` is written from then on.
    pub(super) restored: bool,
    /// When what it writes is in doubt.
    doubtful: DoubtfulTimes,
}

impl RunningGroup {
    pub(super) fn new(file: &str, group: RuleGroup, default_interval_ms: i64, restored: bool) -> Self {
        let rules = group.rules.iter().map(|_| RunningRule { restored, ..RunningRule::default() }).collect();
        Self {
            file: file.to_owned(),
            interval_ms: group.interval_ms.unwrap_or(default_interval_ms),
            rules,
            group,
            last: None,
            gone: BTreeSet::new(),
            evaluations: 0,
        }
    }

    /// Takes over what the group remembered before it was loaded again: rules are the same if their names and labels are.
    pub(super) fn take_state(&mut self, mut from: Self) {
        fn identity(rule: &Rule) -> (&str, bool, Vec<(&str, &str)>) {
            let labels = rule.labels.iter().map(|(name, text)| (&**name, &*text.raw));
            (&rule.name, rule.alerting.is_some(), labels.collect())
        }
        let mut old: BTreeMap<_, VecDeque<RunningRule>> = BTreeMap::new();
        for (rule, running) in from.group.rules.iter().zip(std::mem::take(&mut from.rules)) {
            old.entry(identity(rule)).or_default().push_back(running);
        }
        for (rule, running) in self.group.rules.iter().zip(&mut self.rules) {
            if let Some(state) = old.get_mut(&identity(rule)).and_then(VecDeque::pop_front) {
                *running = state;
            }
        }
        self.gone = std::mem::take(&mut from.gone);
        self.gone.extend(old.into_values().flatten().flat_map(|state| state.previous));
        (self.last, self.evaluations) = (from.last, from.evaluations);
    }

    /// The series that the group has written last.
    pub(super) fn series(self) -> impl Iterator<Item = Labels> {
        self.gone.into_iter().chain(self.rules.into_iter().flat_map(|rule| rule.previous))
    }

    pub(super) fn is_due(&self, at: Timestamp) -> bool {
        self.last.is_none_or(|last| at.millis_since(last) >= self.interval_ms)
    }

    /// Tells what is in doubt of what its rules write; it is the group at this place.
    pub(super) fn tell_doubts(&self, place: usize, doubts: &mut Doubts) {
        for (number, (rule, running)) in self.group.rules.iter().zip(&self.rules).enumerate() {
            doubts.set((place, number), running.doubtful.doubts(rule));
        }
    }

    /// Evaluates the rules. `doubts`: those of all rules; it is the group at this place.
    pub(super) fn evaluate(
        &mut self,
        shared: &Shared,
        store: &Store,
        at: Timestamp,
        place: usize,
        doubts: &mut Doubts,
    ) -> GroupEvaluation {
        let group = &self.group;
        let when = at.minus_millis(group.query_offset_ms);
        let mut rules = Vec::with_capacity(group.rules.len());
        for (number, (rule, running)) in group.rules.iter().zip(&mut self.rules).enumerate() {
            let evaluated = running.evaluate(rule, group, shared, store, at, doubts);
            let (samples, error, annotations, missing) = match evaluated {
                Ok((written, annotations, missing)) => {
                    (written.samples, written.refused, annotations, missing)
                }
                Err(error) => (0, Some(error), Annotations::default(), Vec::new()),
            };
            let changed = match &error {
                None => running.doubtful.succeed(when, missing),
                Some(_) => running
                    .doubtful
                    .fail(|| format!("{}, group {:?}, rule {:?}", self.file, group.name, rule.name)),
            };
            if changed {
                doubts.set((place, number), running.doubtful.doubts(rule));
            }
            rules.push(RuleEvaluation { name: rule.name.clone(), samples, error, annotations });
        }
        mark_stale(store, &mut self.gone, when);
        self.last = Some(at);
        self.evaluations = self.evaluations.saturating_add(1);
        GroupEvaluation { file: self.file.clone(), group: self.group.name.clone(), rules }
    }
}

/// Ends series of rules that are no longer there; those that cannot be ended now are tried again the next time.
pub(super) fn mark_stale(store: &Store, gone: &mut BTreeSet<Labels>, at: Timestamp) {
    if gone.is_empty() {
        return;
    }
    let mut appender = store.appender();
    let appended =
        gone.iter().all(|labels| appender.append(labels, Sample::float(at, stale_marker())).is_ok());
    // A series that another rule goes on writing is refused, which is right.
    if appended && appender.commit().is_ok() {
        gone.clear();
    }
}

/// What was written of a rule's samples.
struct Written {
    samples: usize,
    refused: Option<Error>,
}

impl RunningRule {
    fn evaluate(
        &mut self,
        rule: &Rule,
        group: &RuleGroup,
        shared: &Shared,
        store: &Store,
        at: Timestamp,
        doubts: &Doubts,
    ) -> Result<(Written, Annotations, Vec<Loss>)> {
        let source = doubts.over(store.snapshot());
        let when = at.minus_millis(group.query_offset_ms);
        let watched = Watched::new(&source);
        let (vector, annotations) = query(&shared.engine, &watched, &rule.query, when)?;
        let samples = match &rule.alerting {
            None => record(rule, vector, when, group.limit)?,
            Some(alerting) => {
                let found = found(rule, alerting, shared, &source, vector, at)?;
                update(&mut self.alerts, alerting, found, at, group.limit)?;
                self.alert_samples(rule, when)
            }
        };
        let written = self.write(store, samples, when)?;
        Ok((written, annotations, watched.into_losses()))
    }

    /// What `ALERTS` and `ALERTS_FOR_STATE` say; nothing before the alerts have been restored.
    fn alert_samples(&self, rule: &Rule, when: Timestamp) -> Vec<(Labels, Sample)> {
        if !self.restored {
            return Vec::new();
        }
        let active = self.alerts.values().filter(|alert| alert.is_active());
        active.flat_map(|alert| alert.samples(rule, when)).collect()
    }

    /// Writes the samples, and ends the series that the evaluation before wrote and this one does not.
    fn write(&mut self, store: &Store, samples: Vec<(Labels, Sample)>, at: Timestamp) -> Result<Written> {
        let mut appender = store.appender();
        let mut returned = BTreeSet::new();
        for (labels, sample) in samples {
            appender.append(&labels, sample)?;
            returned.insert(labels);
        }
        for labels in self.previous.difference(&returned) {
            appender.append(labels, Sample::float(at, stale_marker()))?;
        }
        let report = appender.commit()?;
        let mut refused = None;
        for refusal in report.refused {
            // A series that ended here and that another rule goes on writing takes no marker.
            if returned.remove(&refusal.labels) {
                refused = refused.or(Some(refusal.error));
            }
        }
        self.previous = returned;
        Ok(Written { samples: self.previous.len(), refused })
    }
}

/// The alerts that a query has found, not yet those of the evaluation before.
fn found(
    rule: &Rule,
    alerting: &Alerting,
    shared: &Shared,
    source: &dyn Source,
    vector: Vec<VectorSample>,
    at: Timestamp,
) -> Result<Alerts> {
    // Templates ask at the instant itself, whatever the offset.
    let ask = |text: &str| {
        let prepared = shared.engine.prepare(text)?;
        Ok(query(&shared.engine, source, &prepared, at)?.0)
    };
    let mut found = Alerts::new();
    for sample in vector {
        let surroundings = Surroundings::new(
            (&sample.labels, &sample.value),
            &shared.external_labels,
            &shared.external_url,
            at,
            &ask,
        );
        let expand = |text: &RuleText| {
            let expanded = text.template.as_ref().map_err(Clone::clone);
            let expanded = expanded.and_then(|template| template.expand(&surroundings));
            expanded.unwrap_or_else(|error| format!("<error expanding template: {error}>"))
        };
        let mut labels = LabelsBuilder::from_labels(&sample.labels);
        labels.remove(METRIC_NAME);
        for (name, text) in &rule.labels {
            labels.set(name.clone(), expand(text));
        }
        labels.set(ALERT_NAME, rule.name.as_str());
        let annotations =
            alerting.annotations.iter().map(|(name, text)| (name.clone(), expand(text))).collect();
        let labels = labels.build();
        let alert = Alert::new(labels.clone(), annotations, sample.value, at);
        if found.insert(labels, alert).is_some() {
            let text = "vector contains metrics with the same labelset after applying alert labels";
            return Err(Error::new(ErrorKind::Query, text));
        }
    }
    Ok(found)
}

/// What a recording rule writes.
fn record(
    rule: &Rule,
    vector: Vec<VectorSample>,
    at: Timestamp,
    limit: u64,
) -> Result<Vec<(Labels, Sample)>> {
    let mut seen = BTreeSet::new();
    let mut samples = Vec::with_capacity(vector.len());
    for sample in vector {
        let mut labels = LabelsBuilder::from_labels(&sample.labels);
        labels.set(METRIC_NAME, rule.name.as_str());
        for (name, text) in &rule.labels {
            labels.set(name.clone(), text.raw.clone());
        }
        let labels = labels.build();
        if !seen.insert(labels.clone()) {
            let text = "vector contains metrics with the same labelset after applying rule labels";
            return Err(Error::new(ErrorKind::Query, text));
        }
        samples.push((labels, Sample { timestamp: at, value: sample.value, start: None }));
    }
    let found = samples.len() as u64;
    if limit > 0 && found > limit {
        let text = format!("exceeded limit of {limit} with {found} series");
        return Err(Error::new(ErrorKind::Limit, text));
    }
    Ok(samples)
}

/// What a query answers, a scalar as a vector of one.
pub(super) fn query(
    engine: &Engine,
    source: &dyn Source,
    query: &Query,
    at: Timestamp,
) -> Result<(Vec<VectorSample>, Annotations)> {
    let evaluation = engine.instant(source, query, at)?;
    let vector = match evaluation.value {
        Value::Vector(vector) => vector,
        Value::Scalar(value) => {
            vec![VectorSample { labels: Labels::empty(), timestamp: at, value: SampleValue::Float(value) }]
        }
        _ => return Err(Error::new(ErrorKind::Query, "rule result is not a vector or scalar")),
    };
    Ok((vector, evaluation.annotations))
}
