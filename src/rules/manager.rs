//! Groups of several files, evaluated over a store.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::model::{Labels, Timestamp};
use crate::promql::Engine;
use crate::source::Source;
use crate::store::Store;

use super::alert::Alert;
use super::doubt::{Doubts, RecordedSource};
use super::file::RuleGroups;
use super::group::{GroupEvaluation, RunningGroup, Shared, mark_stale};
use super::restore::{Tolerance, restore};

const DEFAULT_INTERVAL_MS: i64 = 60_000;
const DEFAULT_OUTAGE_TOLERANCE_MS: i64 = 60 * 60 * 1000;
const DEFAULT_GRACE_PERIOD_MS: i64 = 10 * 60 * 1000;

/// Evaluates recording and alerting rules over a store, which it writes their samples into: recorded series, `ALERTS` and
/// `ALERTS_FOR_STATE`.
///
/// It has no clock and no thread: call [`evaluate`](Self::evaluate) at least as often as the shortest interval of a group.
///
/// ```
/// use promgate::{Engine, Labels, RuleManager, Sample, Store, StoreOptions, Timestamp};
///
/// let store = Store::in_memory(StoreOptions::new());
/// let mut appender = store.appender();
/// for (pod, value) in [("a", 3.0), ("b", 4.0)] {
///     let labels = Labels::from_pairs([("__name__", "queue_length"), ("pod", pod)]);
///     appender.append(&labels, Sample::float(Timestamp::from_secs(60), value))?;
/// }
/// appender.commit()?;
///
/// let mut manager = RuleManager::new(Engine::new());
/// manager.load("queues.yml", "groups: [{name: queues, rules: [{record: queue:sum, expr: sum(queue_length)}]}]")?;
/// let evaluated = manager.evaluate(&store, Timestamp::from_secs(60));
/// assert!(evaluated[0].rules[0].error.is_none());
///
/// let engine = Engine::new();
/// let query = engine.prepare("queue:sum == 7")?;
/// let answer = engine.instant(&store.snapshot(), &query, Timestamp::from_secs(60))?;
/// assert!(matches!(answer.value, promgate::Value::Vector(vector) if vector.len() == 1));
/// # Ok::<(), promgate::Error>(())
/// ```
#[derive(Debug)]
pub struct RuleManager {
    shared: Shared,
    interval_ms: i64,
    restores: bool,
    tolerance: Tolerance,
    groups: Vec<RunningGroup>,
    /// Series of groups that are no longer there.
    gone: BTreeSet<Labels>,
}

impl RuleManager {
    /// Without rules. The engine reads and evaluates their queries, with its limits.
    pub fn new(engine: Engine) -> Self {
        let shared = Shared { engine, external_labels: Labels::empty(), external_url: String::new() };
        let tolerance =
            Tolerance { outage_ms: DEFAULT_OUTAGE_TOLERANCE_MS, grace_ms: DEFAULT_GRACE_PERIOD_MS };
        Self {
            shared,
            interval_ms: DEFAULT_INTERVAL_MS,
            restores: false,
            tolerance,
            groups: Vec::new(),
            gone: BTreeSet::new(),
        }
    }

    /// What templates know as `$externalLabels`; default: none.
    #[must_use]
    pub fn external_labels(mut self, labels: Labels) -> Self {
        self.shared.external_labels = labels;
        self
    }

    /// What templates know as `$externalURL`; default: empty.
    #[must_use]
    pub fn external_url(mut self, url: impl Into<String>) -> Self {
        self.shared.external_url = url.into();
        self
    }

    /// The interval of groups that name none, in milliseconds; default 60 000, as Prometheus's `evaluation_interval`.
    #[must_use]
    pub const fn interval_ms(mut self, interval_ms: i64) -> Self {
        self.interval_ms = if interval_ms > 0 { interval_ms } else { DEFAULT_INTERVAL_MS };
        self
    }

    /// Whether groups that are loaded look in the store for how long their alerts have been pending; default false.
    ///
    /// As in Prometheus they do so behind their second evaluation, and write `ALERTS` and `ALERTS_FOR_STATE` from the third on:
    /// the rules that they build on have to be evaluated first. Only a store that outlives the process has something to restore.
    #[must_use]
    pub const fn restores_alerts(mut self, on: bool) -> Self {
        self.restores = on;
        self
    }

    /// How long ago alerts may have been written to be restored, in milliseconds; default one hour, as Prometheus's
    /// `rules.alert.for-outage-tolerance`.
    #[must_use]
    pub const fn outage_tolerance_ms(mut self, outage_ms: i64) -> Self {
        self.tolerance.outage_ms = if outage_ms > 0 { outage_ms } else { 0 };
        self
    }

    /// How long a restored alert stays pending at least, in milliseconds; rules with a shorter `for` are not restored. Default
    /// ten minutes, as Prometheus's `rules.alert.for-grace-period`.
    #[must_use]
    pub const fn grace_period_ms(mut self, grace_ms: i64) -> Self {
        self.tolerance.grace_ms = if grace_ms > 0 { grace_ms } else { 0 };
        self
    }

    /// Takes the groups of a rule file, in place of those that a file of this name had. Groups and rules that are still there
    /// keep their alerts; series of those that are not are ended by the next evaluation.
    ///
    /// # Errors
    ///
    /// As [`RuleGroups::from_yaml`]; the rules stay as they were.
    pub fn load(&mut self, file: &str, text: &str) -> Result<()> {
        let groups = RuleGroups::from_yaml(&self.shared.engine, text)?;
        self.replace(file, groups);
        Ok(())
    }

    /// The same with a file that has been read.
    pub fn replace(&mut self, file: &str, groups: RuleGroups) {
        let (same, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.groups)
            .into_iter()
            .enumerate()
            .partition(|(_, group)| group.file == file);
        let place = same.first().map_or(others.len(), |(place, _)| *place);
        let mut before: BTreeMap<String, RunningGroup> =
            same.into_iter().map(|(_, group)| (group.group.name.clone(), group)).collect();
        let mut loaded: Vec<RunningGroup> = Vec::with_capacity(groups.groups.len());
        for group in groups.groups {
            let old = before.remove(&group.name);
            let mut new = RunningGroup::new(file, group, self.interval_ms, !self.restores);
            if let Some(old) = old {
                new.take_state(old);
            }
            loaded.push(new);
        }
        self.gone.extend(before.into_values().flat_map(RunningGroup::series));
        self.groups = others.into_iter().map(|(_, group)| group).collect();
        let place = place.min(self.groups.len());
        self.groups.splice(place..place, loaded);
    }

    /// Evaluates the groups whose last evaluation is their interval ago, in the order in which they were loaded. Every rule sees
    /// what those before it have written.
    ///
    /// A rule that fails leaves its series as they were, and the next rules are evaluated. Queries then see its last samples for
    /// as long as the lookback reaches; where something is decided on what it records, [`source`](Self::source) tells that.
    pub fn evaluate(&mut self, store: &Store, at: Timestamp) -> Vec<GroupEvaluation> {
        self.run(store, at, |group| group.is_due(at))
    }

    /// Evaluates all groups, whatever their intervals.
    pub(super) fn evaluate_all(&mut self, store: &Store, at: Timestamp) -> Vec<GroupEvaluation> {
        self.run(store, at, |_| true)
    }

    fn run(
        &mut self,
        store: &Store,
        at: Timestamp,
        is_wanted: impl Fn(&RunningGroup) -> bool,
    ) -> Vec<GroupEvaluation> {
        let mut evaluations = Vec::new();
        let mut doubts = self.doubts();
        for (place, group) in self.groups.iter_mut().enumerate() {
            if !is_wanted(group) {
                continue;
            }
            evaluations.push(group.evaluate(&self.shared, store, at, place, &mut doubts));
            if group.evaluations >= 2 {
                restore_group(group, store, at, self.tolerance, &mut evaluations);
            }
        }
        mark_stale(store, &mut self.gone, at);
        evaluations
    }

    /// A snapshot of the store as gates should be given it where they ask for recorded series, or for `ALERTS`: it knows what of
    /// them is in doubt, and doubt does not pass.
    ///
    /// In doubt is what a rule should have written, from its last evaluation that went well to the next, if it failed in between
    /// or the store refused its samples ([`Lost::RuleFailed`](crate::Lost::RuleFailed)); and what it has written while samples
    /// that its query looked at may have been missing. Series that no such rule writes are not touched by it. This is known since
    /// the rules were loaded: a manager that is made anew begins anew.
    ///
    /// ```
    /// # use promgate::{Engine, Labels, RuleManager, Sample, SelectRequest, Source, Store, StoreOptions, Timestamp, Window};
    /// # use promgate::{Lost, Matcher};
    /// let store = Store::in_memory(StoreOptions::new());
    /// let mut manager = RuleManager::new(Engine::new());
    /// let rules = "groups: [{name: g, limit: 1, rules: [{record: twice, expr: 'queue_length * 2'}]}]";
    /// manager.load("queues.yml", rules)?;
    /// let mut appender = store.appender();
    /// for pod in ["a", "b"] {
    ///     let labels = Labels::from_pairs([("__name__", "queue_length"), ("pod", pod)]);
    ///     appender.append(&labels, Sample::float(Timestamp::from_secs(60), 3.0))?;
    /// }
    /// appender.commit()?;
    /// manager.evaluate(&store, Timestamp::from_secs(60));
    ///
    /// let source = manager.source(store.snapshot());
    /// let losses = |name| source.losses_of(&SelectRequest::new(&[Matcher::equal("__name__", name)], Window::ALL));
    /// assert_eq!(losses("twice")[0].why, Lost::RuleFailed);
    /// assert!(losses("queue_length").is_empty());
    /// # Ok::<(), promgate::Error>(())
    /// ```
    pub fn source<S: Source>(&self, source: S) -> RecordedSource<S> {
        self.doubts().over(source)
    }

    fn doubts(&self) -> Doubts {
        let mut doubts = Doubts::default();
        for (place, group) in self.groups.iter().enumerate() {
            group.tell_doubts(place, &mut doubts);
        }
        doubts
    }

    /// The alerts that are pending or firing, in the order of groups, rules and labels.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        let rules = self.groups.iter().flat_map(|group| &group.rules);
        rules.flat_map(|rule| rule.alerts.values()).filter(|alert| alert.is_active())
    }

    /// Puts the groups into this order; those of equal rank stay as they are.
    pub(super) fn sort_groups(&mut self, rank: impl Fn(&str) -> usize) {
        self.groups.sort_by_key(|group| rank(&group.group.name));
    }
}

fn restore_group(
    group: &mut RunningGroup,
    store: &Store,
    at: Timestamp,
    tolerance: Tolerance,
    evaluations: &mut [GroupEvaluation],
) {
    if group.rules.iter().all(|rule| rule.restored) {
        return;
    }
    let source = store.snapshot();
    for (index, (rule, running)) in group.group.rules.iter().zip(&mut group.rules).enumerate() {
        if running.restored {
            continue;
        }
        // As in Prometheus there is one try: alerts that cannot be restored begin anew.
        let restored = restore(&mut running.alerts, rule, &source, at, tolerance);
        running.restored = true;
        let outcome = evaluations.last_mut().and_then(|evaluation| evaluation.rules.get_mut(index));
        if let (Err(error), Some(outcome)) = (restored, outcome) {
            outcome.error.get_or_insert(error);
        }
    }
}
