//! What of the series that rules write is in doubt.
//!
//! A rule that fails leaves its series as they were, and queries see their last samples for as long as the lookback reaches;
//! what a rule makes of samples that may be missing is no better than they are. Both are losses of the rule's series, which
//! whoever decides on them learns from [`RecordedSource`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::alert::{ALERT_NAME, ALERTS, ALERTS_FOR_STATE};
use super::file::Rule;
use crate::error::Result;
use crate::model::label::METRIC_NAME;
use crate::model::{Labels, Loss, Lost, Matcher, SeriesExemplars, Timestamp, Window};
use crate::source::{SelectRequest, SeriesSet, Source};

/// How many doubtful times a rule remembers apart; older ones are joined.
const MOST: usize = 64;

/// The doubtful times of what one rule writes, oldest first.
#[derive(Debug, Default)]
pub(super) struct DoubtfulTimes {
    losses: VecDeque<Loss>,
    /// When all was written that there was to write, for the last time.
    written: Option<Timestamp>,
}

impl DoubtfulTimes {
    /// The rule has failed: what it should have written since it last did is missing, until it does again. `rule`: which it is.
    /// Answers whether anything has changed.
    pub(super) fn fail(&mut self, rule: impl FnOnce() -> String) -> bool {
        if self.losses.back().is_some_and(|last| last.until == Timestamp::MAX) {
            return false;
        }
        let from = self.written.unwrap_or(Timestamp::MIN);
        self.add(Loss { file: rule(), ..Loss::new(Lost::RuleFailed, from, Timestamp::MAX) });
        true
    }

    /// The rule has written what it came to at this instant, and this may have been missing of what it looked at. Answers
    /// whether anything has changed.
    pub(super) fn succeed(&mut self, at: Timestamp, missing: Vec<Loss>) -> bool {
        let before = self.written.replace(at);
        let mut changed = false;
        if let Some(open) = self.losses.back_mut().filter(|last| last.until == Timestamp::MAX) {
            open.until = at.minus_millis(1);
            changed = true;
        }
        let Some(missing) = missing.into_iter().next() else { return changed };
        match self.losses.back_mut() {
            // It goes on from the evaluation before.
            Some(last) if last.why == missing.why && Some(last.until) == before => last.until = at,
            _ => self.add(Loss { from: at.minus_millis(1), until: at, acknowledged: false, ..missing }),
        }
        true
    }

    fn add(&mut self, loss: Loss) {
        self.losses.push_back(loss);
        if self.losses.len() > MOST
            && let Some(oldest) = self.losses.pop_front()
            && let Some(next) = self.losses.front_mut()
        {
            next.from = oldest.from;
        }
    }

    /// The same as what is missing of the rule's series.
    pub(super) fn doubts(&self, rule: &Rule) -> Vec<Doubt> {
        if self.losses.is_empty() {
            return Vec::new();
        }
        let names = match rule.alerting {
            None => &[&*rule.name][..],
            Some(_) => &[ALERTS, ALERTS_FOR_STATE],
        };
        // What a template makes of a label is not known, and nor is what an empty one leaves.
        let plain = rule.labels.iter().filter(|(_, text)| !text.raw.is_empty());
        let plain = plain.filter(|(_, text)| rule.alerting.is_none() || !text.raw.contains("{{"));
        let plain = plain.map(|(name, text)| (name.clone(), text.raw.clone()));
        let mut known: BTreeMap<Arc<str>, Arc<str>> = plain.collect();
        if rule.alerting.is_some() {
            known.insert(ALERT_NAME.into(), rule.name.as_str().into());
        }
        let doubts = names.iter().flat_map(|name| {
            known.insert(METRIC_NAME.into(), (*name).into());
            let series = Labels::from_pairs(known.clone());
            self.losses.iter().map(move |loss| Doubt { series: series.clone(), loss: loss.clone() })
        });
        doubts.collect()
    }
}

/// Samples that may be missing of the series that have these labels.
#[derive(Clone, Debug)]
pub(super) struct Doubt {
    series: Labels,
    loss: Loss,
}

impl Doubt {
    fn concerns(&self, request: &SelectRequest<'_>) -> bool {
        let accepts =
            |matcher: &Matcher| self.series.get(matcher.name()).is_none_or(|value| matcher.matches(value));
        self.loss.touches(request.window) && request.matchers.iter().all(accepts)
    }
}

/// The doubts of all rules, by group and place.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    by_rule: Arc<ByRule>,
}

type ByRule = BTreeMap<(usize, usize), Vec<Doubt>>;

impl Doubts {
    /// Of the rule at this place this is in doubt, and nothing else.
    pub(super) fn set(&mut self, rule: (usize, usize), doubts: Vec<Doubt>) {
        if !doubts.is_empty() {
            Arc::make_mut(&mut self.by_rule).insert(rule, doubts);
        } else if self.by_rule.contains_key(&rule) {
            Arc::make_mut(&mut self.by_rule).remove(&rule);
        }
    }

    pub(super) fn over<S: Source>(&self, source: S) -> RecordedSource<S> {
        RecordedSource { source, doubts: self.by_rule.clone() }
    }
}

/// A source with what rules have written into it, and with what of that is in doubt: see
/// [`RuleManager::source`](super::RuleManager::source).
#[derive(Clone, Debug)]
pub struct RecordedSource<S> {
    source: S,
    doubts: Arc<ByRule>,
}

impl<S: Source> Source for RecordedSource<S> {
    fn select(&self, request: &SelectRequest<'_>) -> Result<SeriesSet> {
        self.source.select(request)
    }

    fn label_values(&self, name: &str, matchers: &[Matcher], window: Window) -> Result<Vec<Arc<str>>> {
        self.source.label_values(name, matchers, window)
    }

    fn losses(&self, window: Window) -> Vec<Loss> {
        self.source.losses(window)
    }

    fn losses_of(&self, request: &SelectRequest<'_>) -> Vec<Loss> {
        let mut losses = self.source.losses_of(request);
        let doubts = self.doubts.values().flatten().filter(|doubt| doubt.concerns(request));
        losses.extend(doubts.map(|doubt| doubt.loss.clone()));
        losses
    }

    fn exemplars(&self, matchers: &[Matcher], window: Window) -> Result<Vec<SeriesExemplars>> {
        self.source.exemplars(matchers, window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::Engine;
    use crate::rules::RuleGroups;
    use crate::store::{Store, StoreOptions};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    fn times(doubtful: &DoubtfulTimes) -> Vec<(Timestamp, Timestamp)> {
        doubtful.losses.iter().map(|loss| (loss.from, loss.until)).collect()
    }

    #[test]
    fn a_failure_is_in_doubt_from_what_was_written_last_to_what_is_written_next() {
        let mut doubtful = DoubtfulTimes::default();
        assert!(!doubtful.succeed(at(10), Vec::new()));
        assert!(doubtful.fail(String::new) && !doubtful.fail(String::new));
        assert_eq!(times(&doubtful), [(at(10), Timestamp::MAX)]);
        assert!(doubtful.succeed(at(40), Vec::new()) && !doubtful.succeed(at(50), Vec::new()));
        assert_eq!(times(&doubtful), [(at(10), at(40).minus_millis(1))]);
        let mut new = DoubtfulTimes::default();
        new.fail(String::new);
        assert_eq!(times(&new), [(Timestamp::MIN, Timestamp::MAX)]);
    }

    #[test]
    fn what_is_made_of_missing_samples_is_in_doubt_for_as_long_as_they_are_looked_at() {
        let missing = || vec![Loss::new(Lost::TornEnd, at(1), at(2))];
        let mut doubtful = DoubtfulTimes::default();
        for second in [10, 20, 30] {
            assert!(doubtful.succeed(at(second), missing()));
        }
        assert!(!doubtful.succeed(at(40), Vec::new()));
        assert!(doubtful.succeed(at(50), missing()));
        let before = |second: i64| at(second).minus_millis(1);
        assert_eq!(times(&doubtful), [(before(10), at(30)), (before(50), at(50))]);
        assert!(doubtful.losses.iter().all(|loss| loss.why == Lost::TornEnd));
        for second in 6..1000 {
            doubtful.fail(String::new);
            doubtful.succeed(at(second * 10), Vec::new());
        }
        assert_eq!((doubtful.losses.len(), times(&doubtful)[0].0), (MOST, before(10)), "none is forgotten");
    }

    #[test]
    fn doubt_concerns_the_requests_that_may_select_the_rules_series() {
        let text = "groups: [{name: g, labels: {team: a}, rules: [
            {record: r, expr: '1', labels: {none: ''}}, {alert: A, expr: '1', labels: {t: '{{ $value }}'}}]}]";
        let groups = RuleGroups::from_yaml(&Engine::new(), text).unwrap();
        let mut doubtful = DoubtfulTimes::default();
        doubtful.succeed(at(10), Vec::new());
        doubtful.fail(|| "f".to_owned());
        doubtful.succeed(at(20), Vec::new());
        let store = Store::in_memory(StoreOptions::new());
        let found = |rule: usize, matchers: &[(&'static str, &str)], from: i64, until: i64| {
            let mut doubts = Doubts::default();
            doubts.set((0, rule), doubtful.doubts(&groups.groups[0].rules[rule]));
            let matchers: Vec<Matcher> =
                matchers.iter().map(|(name, value)| Matcher::equal(*name, value)).collect();
            let request = SelectRequest::new(&matchers, Window::new(at(from), at(until)));
            let source = doubts.over(store.snapshot());
            assert!(source.losses(request.window).is_empty(), "others are not concerned");
            doubts.set((0, rule), Vec::new());
            assert!(doubts.over(store.snapshot()).losses_of(&request).is_empty());
            source.losses_of(&request).len()
        };
        assert_eq!(found(0, &[("__name__", "r")], 0, 11), 1);
        assert_eq!(found(0, &[("__name__", "r"), ("team", "a"), ("pod", "any"), ("none", "x")], 0, 11), 1);
        assert_eq!(found(0, &[("__name__", "r"), ("team", "b")], 0, 11), 0);
        assert_eq!(found(0, &[("__name__", "s")], 0, 11), 0);
        assert_eq!(found(0, &[], 19, 30), 1);
        assert_eq!(found(0, &[], 0, 10) + found(0, &[], 20, 30), 0, "before and behind it");
        for name in ["ALERTS", "ALERTS_FOR_STATE"] {
            assert_eq!(found(1, &[("__name__", name), ("alertname", "A"), ("t", "7")], 0, 11), 1);
            assert_eq!(found(1, &[("__name__", name), ("alertname", "B")], 0, 11), 0);
        }
        assert_eq!(found(1, &[("__name__", "r")], 0, 11), 0);
    }
}
