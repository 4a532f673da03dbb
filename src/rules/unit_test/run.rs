//! Running the tests of a file: input series and rules in a store of their own, instant by instant.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, ErrorKind, Result};
use crate::model::calendar::format_go_duration;
use crate::model::number::format_duration;
use crate::model::{Labels, Sample, SampleValue, Timestamp};
use crate::promql::Engine;
use crate::promql::series_description::{Room, parse_values, split_metric};
use crate::rules::alert::{ALERT_NAME, AlertState};
use crate::rules::file::RuleGroups;
use crate::rules::group::query;
use crate::rules::manager::RuleManager;
use crate::store::{Limits, Store, StoreOptions};

use super::compare::{ShownSample, alerts_text, compare_samples};
use super::read::{AlertTest, ExpectedAlert, QueryTest, TestFile, TestGroup};

/// The most instants at which a test evaluates its rules.
const EVALUATIONS: i64 = 200_000;
/// The most rules of a test times its evaluations.
const RULE_EVALUATIONS: i64 = 20_000_000;

/// The most series that a test may write; its samples are bounded by those of the input and by the store.
const SERIES: usize = 1_000_000;
/// How long the failures of a test may get, in bytes; the one that reaches it is still told whole.
const FAILURE_BYTES: usize = 16 << 20;

const NANOS_PER_MILLI: i64 = 1_000_000;

/// The samples of one input series that are still to be appended, the next one last.
struct InputSeries {
    labels: Labels,
    samples: Vec<(Timestamp, SampleValue)>,
}

/// The failures of a test; none if it passes.
pub(super) fn run(
    file: &TestFile,
    test: &TestGroup,
    engine: &Engine,
    rule_files: &[(&str, &RuleGroups)],
) -> Vec<String> {
    match Running::new(file, test, engine, rule_files) {
        Ok(mut running) => running.run(),
        Err(error) => vec![error.to_string()],
    }
}

/// What failed, as far as it is told.
#[derive(Default)]
struct Failures {
    texts: Vec<String>,
    bytes: usize,
}

impl Failures {
    fn is_full(&self) -> bool {
        self.bytes >= FAILURE_BYTES
    }

    fn add(&mut self, text: String) {
        if self.is_full() {
            return;
        }
        self.bytes = self.bytes.saturating_add(text.len());
        self.texts.push(text);
        if self.is_full() {
            let text = format!(
                "the failures have more than {FAILURE_BYTES} bytes, further ones are left out (failure_bytes)"
            );
            self.texts.push(text);
        }
    }
}

struct Running<'a> {
    file: &'a TestFile,
    test: &'a TestGroup,
    engine: Engine,
    store: Store,
    manager: RuleManager,
    input: Vec<InputSeries>,
    /// The alert tests by the time at which they look.
    alert_tests: BTreeMap<i64, Vec<&'a AlertTest>>,
    evaluations: i64,
}

impl<'a> Running<'a> {
    fn new(
        file: &'a TestFile,
        test: &'a TestGroup,
        engine: &Engine,
        rule_files: &[(&str, &RuleGroups)],
    ) -> Result<Self> {
        let mut alert_tests: BTreeMap<i64, Vec<&AlertTest>> = BTreeMap::new();
        for alert in &test.alerts {
            alert_tests.entry(alert.eval_ms).or_default().push(alert);
        }
        let last_ms = test.alerts.iter().map(|alert| alert.eval_ms);
        let last_ms = last_ms.chain(test.queries.iter().map(|query| query.eval_ms)).max().unwrap_or(0);
        let evaluations = last_ms.checked_div(file.interval_ms).unwrap_or(0).saturating_add(1);
        let rules: usize = rule_files.iter().map(|(_, groups)| groups.rules()).sum();
        let work = evaluations.saturating_mul(i64::try_from(rules).unwrap_or(i64::MAX));
        if evaluations > EVALUATIONS || work > RULE_EVALUATIONS {
            let text = format!(
                "the test takes {evaluations} evaluations of {rules} rules; {EVALUATIONS} evaluations and {RULE_EVALUATIONS} of single rules are allowed (evaluations)"
            );
            return Err(Error::new(ErrorKind::Limit, text));
        }
        let last = test.start.plus_millis(evaluations.saturating_sub(1).saturating_mul(file.interval_ms));
        let engine = engine.clone().subquery_step_ms(file.interval_ms);
        let mut manager = RuleManager::new(engine.clone())
            .external_labels(test.external_labels.clone())
            .external_url(test.external_url.clone())
            .interval_ms(test.interval_ms);
        for (name, groups) in rule_files {
            manager.replace(name, (*groups).clone());
        }
        // Prometheus gives groups that are not named the first place, in no certain order.
        manager.sort_groups(|name| file.group_order.iter().position(|group| group == name).unwrap_or(0));
        let limits = Limits { series: SERIES, batch_samples: usize::MAX, ..Limits::default() };
        let input = input(test, last)?;
        if let Some(unnamed) = test.alerts.iter().find(|alert| alert.name.is_empty()) {
            let group = match test.name.as_str() {
                "" => String::new(),
                name => format!(" (in TestGroup {name})"),
            };
            let at = format_duration(unnamed.eval_ms.saturating_mul(NANOS_PER_MILLI));
            let text = format!(
                "an item under alert_rule_test misses required attribute alertname at eval_time {at}{group}"
            );
            return Err(Error::new(ErrorKind::Parse, text));
        }
        let store = Store::in_memory(StoreOptions::new().limits(limits));
        Ok(Self { file, test, engine, store, manager, input, alert_tests, evaluations })
    }

    fn run(&mut self) -> Vec<String> {
        let mut failures = Failures::default();
        let mut due = std::mem::take(&mut self.alert_tests).into_iter().peekable();
        for number in 0..self.evaluations {
            let since_start = number.saturating_mul(self.file.interval_ms);
            let at = self.test.start.plus_millis(since_start);
            if let Err(error) = self.append_until(at) {
                failures.add(error.to_string());
            } else {
                let failed = self.evaluate(at);
                if !failed.is_empty() {
                    failed.into_iter().for_each(|failure| failures.add(failure));
                    return failures.texts;
                }
            }
            let next = since_start.saturating_add(self.file.interval_ms);
            while let Some((eval_ms, tests)) = due.next_if(|(eval_ms, _)| *eval_ms < next) {
                self.check_alerts(eval_ms, &tests, &mut failures);
            }
        }
        for test in &self.test.queries {
            if failures.is_full() {
                break;
            }
            if let Err(failure) = self.check_query(test) {
                failures.add(failure);
            }
        }
        failures.texts
    }

    fn append_until(&mut self, at: Timestamp) -> Result<()> {
        let mut appender = self.store.appender();
        for series in &mut self.input {
            while let Some((timestamp, value)) = series.samples.pop_if(|(timestamp, _)| *timestamp <= at) {
                appender.append(&series.labels, Sample { timestamp, value, start: None })?;
            }
        }
        match appender.commit()?.refused.into_iter().next() {
            Some(refused) => Err(refused.error),
            None => Ok(()),
        }
    }

    /// The rules that failed.
    fn evaluate(&mut self, at: Timestamp) -> Vec<String> {
        let groups = self.manager.evaluate_all(&self.store, at);
        let rules = groups.into_iter().flat_map(|group| group.rules);
        let failed = rules.filter_map(|rule| Some((rule.name, rule.error?)));
        let since_epoch = format_go_duration(at.as_millis().saturating_mul(NANOS_PER_MILLI));
        failed.map(|(name, error)| format!("    rule: {name}, time: {since_epoch}, err: {error}")).collect()
    }

    fn check_alerts(&self, eval_ms: i64, tests: &[&AlertTest], failures: &mut Failures) {
        let names: BTreeSet<&str> = tests.iter().map(|test| test.name.as_str()).collect();
        let mut firing: BTreeMap<&str, Vec<ExpectedAlert>> = BTreeMap::new();
        for alert in self.manager.alerts().filter(|alert| alert.state == AlertState::Firing) {
            let Some(name) = alert.labels.get(ALERT_NAME).and_then(|name| names.get(name)) else { continue };
            let labels = alert.labels.iter();
            firing.entry(name).or_default().push(ExpectedAlert {
                labels: labels.map(|label| (label.name.to_string(), label.value.to_string())).collect(),
                annotations: alert.annotations.clone(),
            });
        }
        for test in tests {
            if failures.is_full() {
                return;
            }
            let mut expected = test.expected.clone();
            for alert in &mut expected {
                // The label that the rule adds itself.
                alert.labels.insert(ALERT_NAME.to_owned(), test.name.clone());
            }
            expected.sort();
            let got = firing.entry(&test.name).or_default();
            got.sort();
            if expected == *got {
                continue;
            }
            let name = match self.test.name.as_str() {
                "" => String::new(),
                name => format!("    name: {name},\n"),
            };
            failures.add(format!(
                "{name}    alertname: {}, time: {}, \n        exp:{}, \n        got:{}",
                test.name,
                format_duration(eval_ms.saturating_mul(NANOS_PER_MILLI)),
                alerts_text(&expected),
                alerts_text(got)
            ));
        }
    }

    fn check_query(&self, test: &QueryTest) -> std::result::Result<(), String> {
        let time = format_duration(test.eval_ms.saturating_mul(NANOS_PER_MILLI));
        let at = self.test.start.plus_millis(test.eval_ms);
        let failed = |error: Error| format!("    expr: {:?}, time: {time}, err: {error}", test.query);
        let prepared = self.engine.prepare(&test.query).map_err(failed)?;
        let (vector, _) = query(&self.engine, &self.store.snapshot(), &prepared, at).map_err(failed)?;
        let got = vector.into_iter().map(|sample| ShownSample::new(sample.labels, &sample.value)).collect();
        let expected = test.expected.iter().map(ShownSample::expected);
        let expected = expected.collect::<Result<Vec<_>>>().map_err(failed)?;
        compare_samples(expected, got, self.file.fuzzy).map_err(|(expected, got)| {
            format!("    expr: {:?}, time: {time},\n        exp: {expected}\n        got: {got}", test.query)
        })
    }
}

/// The input series of a test as far as its last evaluation reads them. Of a series that is there twice the last one counts.
fn input(test: &TestGroup, last: Timestamp) -> Result<Vec<InputSeries>> {
    let reach = last.millis_since(test.start);
    let most = reach.checked_div(test.interval_ms).unwrap_or(0).saturating_add(1);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut series: BTreeMap<Labels, Vec<(Timestamp, SampleValue)>> = BTreeMap::new();
    let mut room = Room::new();
    for (metric, values) in &test.input {
        let (labels, behind) = split_metric(metric)?;
        if behind.trim() == "@st" {
            let text =
                format!("{metric:?}: start timestamps are not supported in input series of rule tests");
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        if !behind.trim().is_empty() {
            let text = format!("{metric:?}: found {:?} behind the metric", behind.trim());
            return Err(Error::new(ErrorKind::Parse, text));
        }
        let values = parse_values(values, most, &mut room)?;
        let mut samples: Vec<(Timestamp, SampleValue)> = (0_i64..)
            .zip(values)
            .filter_map(|(index, value)| {
                Some((test.start.plus_millis(index.saturating_mul(test.interval_ms)), value?))
            })
            .collect();
        samples.reverse();
        series.insert(labels, samples);
    }
    Ok(series.into_iter().map(|(labels, samples)| InputSeries { labels, samples }).collect())
}
