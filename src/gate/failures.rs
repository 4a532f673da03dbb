//! Whatever fails under a gate, and whenever it does: that look does not pass.
#![expect(clippy::unwrap_used, reason = "a test that fails should stop")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::argo::{AnalysisTemplate, Profile};
use super::fixture::Fixture;
use super::{Check, Gate, GateSpec, Verdict};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Loss, Matcher, NativeHistogram, SeriesExemplars, Span, Timestamp, Window};
use crate::source::fixture::unreadable_series;
use crate::source::{Item, SelectRequest, SeriesSet, Source};

/// The kind after this one. A new kind has to be put in its place here.
const fn next(kind: ErrorKind) -> Option<ErrorKind> {
    Some(match kind {
        ErrorKind::Parse => ErrorKind::Query,
        ErrorKind::Query => ErrorKind::InvalidArgument,
        ErrorKind::InvalidArgument => ErrorKind::Unsupported,
        ErrorKind::Unsupported => ErrorKind::OutOfOrder,
        ErrorKind::OutOfOrder => ErrorKind::Canceled,
        ErrorKind::Canceled => ErrorKind::TimedOut,
        ErrorKind::TimedOut => ErrorKind::Limit,
        ErrorKind::Limit => ErrorKind::Corrupt,
        ErrorKind::Corrupt => ErrorKind::Io,
        ErrorKind::Io => ErrorKind::Closed,
        ErrorKind::Closed => ErrorKind::Locked,
        ErrorKind::Locked => ErrorKind::Full,
        ErrorKind::Full => ErrorKind::Failed,
        ErrorKind::Failed => return None,
    })
}

pub(super) fn every_kind() -> impl Iterator<Item = ErrorKind> {
    std::iter::successors(Some(ErrorKind::Parse), |kind| next(*kind))
}

/// How a question fails.
#[derive(Clone, Copy, Debug)]
pub(super) enum Failure {
    /// With an error of this kind.
    Asked(ErrorKind),
    /// Reading fails what was selected, which nothing says before.
    Read,
}

/// A source of which some questions fail, counted from 0.
pub(super) struct Failing {
    inner: Fixture,
    asked: AtomicUsize,
    first: usize,
    last: usize,
    failure: Failure,
    failed: Arc<AtomicUsize>,
}

impl Failing {
    pub(super) fn new(inner: Fixture, kind: ErrorKind, first: usize, last: usize) -> Self {
        Self::by(Failure::Asked(kind), inner, first, last)
    }

    fn by(failure: Failure, inner: Fixture, first: usize, last: usize) -> Self {
        Self { inner, asked: AtomicUsize::new(0), first, last, failure, failed: Arc::default() }
    }

    /// Whether the answer is one that cannot be read.
    fn ask(&self) -> Result<bool> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        let fails = (self.first..=self.last).contains(&asked);
        match self.failure {
            Failure::Asked(kind) if fails => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                Err(Error::new(kind, "the source is broken"))
            }
            _ => Ok(fails),
        }
    }

    /// How often somebody met a failure.
    fn failed(&self) -> usize {
        self.failed.load(Ordering::Relaxed)
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Source for Failing {
    fn select(&self, request: &SelectRequest<'_>) -> Result<SeriesSet> {
        let unreadable = self.ask()?;
        let mut set = self.inner.select(request)?;
        if unreadable {
            for item in &mut set.items {
                *item = Item::Series(unreadable_series(item.labels().clone(), self.failed.clone()));
            }
        }
        Ok(set)
    }

    fn label_values(&self, name: &str, matchers: &[Matcher], window: Window) -> Result<Vec<Arc<str>>> {
        self.ask()?;
        self.inner.label_values(name, matchers, window)
    }

    fn losses(&self, window: Window) -> Vec<Loss> {
        self.inner.losses(window)
    }

    fn exemplars(&self, matchers: &[Matcher], window: Window) -> Result<Vec<SeriesExemplars>> {
        self.ask()?;
        self.inner.exemplars(matchers, window)
    }
}

/// A canary and its baseline with ten good and fast requests a second each, and the baseline with one a second that fails.
pub(super) fn data() -> Fixture {
    let every = || (0..=600).step_by(10);
    let mut data = Fixture::default();
    for version in ["canary", "stable"] {
        let target = |name| [("__name__", name), ("version", version), ("job", "a"), ("instance", version)];
        data = data.series(&target("up"), every().map(|second| (second, 1.0)));
        let failing = if version == "stable" { 1.0 } else { 0.0 };
        for (code, rate) in [("200", 10.0), ("500", failing)] {
            let labels = [target("requests_total").as_slice(), &[("code", code)]].concat();
            data = data.series(&labels, every().map(|second| (second, second as f64 * rate)));
        }
        for (le, rate) in [("0.1", 10.0), ("1", 10.0), ("+Inf", 10.0)] {
            let labels = [target("seconds_bucket").as_slice(), &[("le", le)]].concat();
            data = data.series(&labels, every().map(|second| (second, second as f64 * rate)));
        }
    }
    data
}

pub(super) fn native() -> Gate {
    Gate::new(spec(false))
}

pub(super) fn watched() -> Gate {
    Gate::new(spec(true))
}

fn spec(watch: bool) -> GateSpec {
    let canary = |code: &str| format!("requests_total{{version=\"canary\"{code}}}");
    GateSpec::builder("all kinds of checks")
        .check(Check::volume("traffic", canary("")).at_least(1.0))
        .check(Check::ratio("errors", canary(",code=\"500\""), canary("")).below(0.05))
        .check(Check::quantile("latency", "seconds_bucket{version=\"canary\"}", 0.95).below(1.0))
        .check(Check::ratio("each", canary(",code=\"500\""), canary("")).by(["instance"]).below(0.05))
        .deadline_ms(400_000)
        .watch(watch)
        .build()
        .unwrap()
}

/// The kinds of checks that the others lack, decided at any look or once.
fn others(once: bool) -> Gate {
    let pair = |version: &str| {
        let requests = format!("requests_total{{version={version:?}}}");
        (format!("requests_total{{version={version:?},code=\"500\"}}"), requests)
    };
    let spec = GateSpec::builder("other kinds of checks")
        .check(Check::comparison("factor", pair("canary"), pair("stable")).within_factor(1.5))
        .check(Check::comparison("difference", pair("canary"), pair("stable")).within_difference(0.1))
        .check(Check::count("count", pair("canary").0, 60_000).at_most(5.0))
        .check(Check::value("value", "sum(rate(requests_total{version=\"canary\"}[1m]))").above(1.0))
        .check(Check::burn_rate("burn", pair("canary").0, pair("canary").1, 0.95).below(1.0))
        .interval_ms(60_000)
        .deadline_ms(180_000)
        .looks_once(once);
    Gate::new(spec.build().unwrap())
}

fn at_any_look() -> Gate {
    others(false)
}

fn at_one_look() -> Gate {
    others(true)
}

pub(super) fn strict() -> Gate {
    let templates = AnalysisTemplate::from_yaml(
        "kind: AnalysisTemplate\nmetadata: {name: t}\nspec:\n  metrics:\n  - {name: traffic, count: 3, interval: 10s, \
         successCondition: 'result[0] > 1', provider: {prometheus: {query: 'sum(rate(requests_total[1m]))'}}}\n  \
         - {name: p95, count: 3, interval: 20s, successCondition: 'result[0] < 1', provider: {prometheus: {query: \
         'histogram_quantile(0.95, sum by (le) (rate(seconds_bucket[1m])))'}}}\n",
    )
    .unwrap();
    Gate::from_argo(templates.first().unwrap(), &[], Profile::V1_10).unwrap()
}

/// Runs a gate to its end, one that is watched on for five looks that pass. Returns the last verdict, and how many failures it met in
/// looks that passed.
fn run(mut gate: Gate, source: &Failing) -> (Verdict, usize) {
    gate.start(Timestamp::from_secs(60));
    let (mut verdict, mut passes, mut passed_over) = (Verdict::Inconclusive, 0, 0);
    while let Some(due) = gate.next_due().filter(|_| passes < 5) {
        let before = source.failed();
        verdict = gate.tick(due, source).unwrap().verdict;
        if verdict == Verdict::Pass {
            passes += 1;
            passed_over += source.failed() - before;
        }
    }
    (verdict, passed_over)
}

/// Lets every question of a run fail in every way: that one alone, and all from it on.
fn never_passes(gate: fn() -> Gate, data: &Fixture) {
    let failing = |failure, first, last| Failing::by(failure, data.clone(), first, last);
    let whole = failing(Failure::Read, usize::MAX, usize::MAX);
    assert_eq!(run(gate(), &whole).0, Verdict::Pass, "without a failure it passes");
    assert!(whole.asked() > 3, "it asks: {}", whole.asked());
    for failure in every_kind().map(Failure::Asked).chain([Failure::Read]) {
        let mut met = 0;
        for question in 0..whole.asked() {
            let source = failing(failure, question, question);
            let (_, passed_over) = run(gate(), &source);
            assert_eq!(passed_over, 0, "question {question} alone fails: {failure:?}");
            met += usize::from(source.failed() > 0);
            let (verdict, _) = run(gate(), &failing(failure, question, usize::MAX));
            assert_ne!(verdict, Verdict::Pass, "questions from {question} on fail: {failure:?}");
        }
        assert!(met > whole.asked() / 3, "{failure:?} is met by {met} of {} questions", whole.asked());
    }
}

#[test]
fn a_native_gate_never_passes_over_a_failure_of_any_kind_at_any_question() {
    never_passes(native, &data());
}

#[test]
fn a_gate_that_is_watched_on_never_passes_over_a_failure_of_any_kind_at_any_question() {
    never_passes(watched, &data());
}

#[test]
fn comparisons_counts_and_values_never_pass_over_a_failure_of_any_kind_at_any_question() {
    never_passes(at_any_look, &data());
}

#[test]
fn a_gate_that_looks_once_never_passes_over_a_failure_of_any_kind_at_any_question() {
    never_passes(at_one_look, &data());
}

#[test]
fn a_strict_gate_never_passes_over_a_failure_of_any_kind_at_any_question() {
    never_passes(strict, &data());
}

/// The memory of a canary beside that of the stable version, which is compared once.
fn gauge() -> Gate {
    let memory = |version: &str| format!("memory_bytes{{version={version:?}}}");
    let check = Check::gauge("memory", memory("canary"), memory("stable")).within_factor(1.5);
    Gate::new(
        GateSpec::builder("a gauge")
            .check(check)
            .interval_ms(330_000)
            .deadline_ms(1_320_000)
            .build()
            .unwrap(),
    )
}

#[test]
fn a_comparison_of_gauges_never_passes_over_a_failure_of_any_kind_at_any_question() {
    let data = ["canary", "stable"].into_iter().fold(Fixture::default(), |data, version| {
        let labels =
            [("__name__", "memory_bytes"), ("version", version), ("job", "a"), ("instance", version)];
        data.series(&labels, (0..=1_400).step_by(20).map(|second| (second, 1e9 + (second % 60) as f64)))
    });
    never_passes(gauge, &data);
}

/// A native histogram that fast requests fill.
fn native_histogram() -> Gate {
    let check = Check::quantile("latency", "seconds{version=\"canary\"}", 0.95).below(1.0);
    Gate::new(GateSpec::builder("native histograms").check(check).deadline_ms(400_000).build().unwrap())
}

#[test]
fn a_quantile_of_native_histograms_never_passes_over_a_failure_of_any_kind_at_any_question() {
    let histogram = |second: i64| NativeHistogram {
        count: second as f64,
        positive_spans: vec![Span { offset: -3, length: 1 }],
        positive_buckets: vec![second as f64],
        ..NativeHistogram::default()
    };
    let labels = [("__name__", "seconds"), ("version", "canary"), ("job", "a"), ("instance", "canary")];
    let samples = (0..=600).step_by(10).map(|second| (second, histogram(second)));
    never_passes(native_histogram, &Fixture::default().native(&labels, samples));
}
