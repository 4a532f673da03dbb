//! What the data say to a metric.

use std::collections::{BTreeMap, BTreeSet};

use super::metric::{QUERY, Read};
use super::query::{is_success_code, tells_versions};
use super::{Note, Notes};
use crate::error::Result;
use crate::gate::evidence::select;
use crate::gate::explain::diagnose_selector;
use crate::gate::reason::Finding;
use crate::gate::shape::{Grouping, Kind, Subject};
use crate::gate::spec::Selector;
use crate::model::{Labels, SampleBuffer, Timestamp, Window};
use crate::source::{Series, Source};

/// How far back series are looked for.
const RECENT_MS: i64 = 600_000;
/// Scrapes that a window must hold, so that a rate has data when some are missed.
const LEAST_SCRAPES: i64 = 4;

pub(super) fn lint(read: &Read, source: &dyn Source, now: Timestamp, notes: &mut Notes) -> Result<()> {
    let selectors = read.shape.measured.subject.selectors();
    let mut found: Vec<(&Selector, Vec<Series>)> = Vec::new();
    for selector in selectors {
        let series = select(source, selector, now)?;
        if series.is_empty() {
            absent(selector, source, now, notes)?;
        }
        found.push((selector, series));
    }
    if let Some((_, trials)) = found.last() {
        scrapes(read, trials, now, notes)?;
        versions(read, trials, notes);
        foreign_traffic(trials, notes);
    }
    if let Subject::Ratio { numerator, denominator } = &read.shape.measured.subject {
        if numerator.by == Grouping::Series && denominator.by == Grouping::Series {
            join(&found, notes);
        }
        narrow(read, &found, notes);
    }
    buckets(read, &found, notes);
    Ok(())
}

/// Why a selector matches nothing.
fn absent(selector: &Selector, source: &dyn Source, now: Timestamp, notes: &mut Notes) -> Result<()> {
    let finding = diagnose_selector(source, selector, now)?;
    let names: Vec<String> = match &finding {
        Finding::NoSuchMetric { name, suggestions, .. } => {
            [name].into_iter().chain(suggestions).cloned().collect()
        }
        Finding::NoSuchLabel { label, carriers, suggestions, .. } => {
            [label].into_iter().chain(carriers).chain(suggestions).cloned().collect()
        }
        Finding::NoSuchValue { label, value, suggestions, .. } => {
            [label, value].into_iter().chain(suggestions).cloned().collect()
        }
        _ => Vec::new(),
    };
    notes.add(Note::warning(finding.code(), QUERY, finding.to_string()).naming(names));
    Ok(())
}

/// Whether the window holds enough scrapes.
fn scrapes(read: &Read, series: &[Series], now: Timestamp, notes: &mut Notes) -> Result<()> {
    let window_ms = read.shape.measured.subject.window_ms();
    let (Some(window_ms), Some(first)) = (window_ms, series.first()) else { return Ok(()) };
    let mut samples = SampleBuffer::default();
    first.read(Window::new(now.minus_millis(RECENT_MS), now), &mut samples)?;
    let mut gaps: Vec<i64> =
        samples.times.windows(2).filter_map(|pair| Some(pair.get(1)? - pair.first()?)).collect();
    gaps.sort_unstable();
    let Some(interval) = gaps.get(gaps.len() / 2).copied().filter(|gap| *gap > 0) else { return Ok(()) };
    if window_ms < interval.saturating_mul(LEAST_SCRAPES) {
        let seconds = interval as f64 / 1000.0;
        let text = format!(
            "the window of {} s holds {} scrapes, which come every {seconds} s",
            window_ms as f64 / 1000.0,
            window_ms / interval
        );
        let note = Note::warning("scrape-too-slow", QUERY, text).naming([seconds.to_string()]);
        notes.add(note.suggest(format!("look back {} s at least", seconds * LEAST_SCRAPES as f64)));
    }
    Ok(())
}

/// The values of each label among series.
fn values<'a>(labels: impl Iterator<Item = &'a Labels>) -> BTreeMap<String, BTreeSet<String>> {
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for label in labels.flat_map(Labels::iter) {
        values.entry(label.name.to_string()).or_default().insert(label.value.to_string());
    }
    values
}

/// How many versions the series belong to.
fn versions(read: &Read, series: &[Series], notes: &mut Notes) {
    if matches!(read.shape.measured.subject, Subject::Quotient { .. } | Subject::Difference { .. }) {
        return;
    }
    let grouped = match read.shape.measured.subject.grouping() {
        Some(Grouping::By(labels)) => labels.clone(),
        Some(Grouping::Without(_)) => return,
        _ => Vec::new(),
    };
    let values = values(series.iter().map(Series::labels));
    let mixed = values
        .iter()
        .find(|(label, values)| tells_versions(label) && values.len() > 1 && !grouped.contains(label));
    if let Some((label, versions)) = mixed {
        let text = format!("the series belong to {} versions, told apart by {label}", versions.len());
        let note = Note::warning("not-canary-specific", QUERY, text);
        notes.add(
            note.suggest(format!("add {label}=\"…\"")).naming(
                [label.clone(), versions.len().to_string()].into_iter().chain(versions.iter().cloned()),
            ),
        );
    }
}

/// Labels of requests by their kind, and what in them is no request of a user.
const PATHS: [&str; 7] = ["span_name", "http_route", "route", "path", "endpoint", "handler", "uri"];
const OWN_PATHS: [&str; 6] = ["/metrics", "/healthz", "/health", "/readyz", "/livez", "/ready"];

/// Scrapes, probes and inner spans among the traffic.
fn foreign_traffic(series: &[Series], notes: &mut Notes) {
    let values = values(series.iter().map(Series::labels));
    for label in PATHS {
        let Some(paths) = values.get(label).filter(|paths| paths.len() > 1) else { continue };
        let own: Vec<String> =
            paths.iter().filter(|path| OWN_PATHS.iter().any(|own| path.ends_with(own))).cloned().collect();
        if !own.is_empty() {
            let text =
                format!("scrapes and probes count as traffic: {label} is {} among others", own.join(", "));
            let note = Note::warning("counts-scrapes", QUERY, text);
            notes.add(note.suggest(format!("add {label}!~\"{}\"", own.join("|"))).naming(own));
        }
    }
    if let Some(kinds) = values.get("span_kind")
        && kinds.len() > 1
        && let Some(server) = kinds.iter().find(|kind| kind.ends_with("SERVER"))
    {
        let inner: Vec<String> = kinds.iter().filter(|kind| *kind != server).cloned().collect();
        let text = format!(
            "inner spans count beside the requests of users: span_kind is {} too, so that their errors are diluted and \
             their latencies mixed",
            inner.join(", ")
        );
        let note = Note::warning("counts-inner-spans", QUERY, text).naming(inner);
        notes.add(note.suggest(format!("add span_kind=\"{server}\"")));
    }
}

/// Labels that only one side of a join by series has.
fn join(found: &[(&Selector, Vec<Series>)], notes: &mut Notes) {
    let [(_, left), (_, right)] = found else { return };
    let names = |series: &[Series]| -> BTreeSet<String> {
        let labels = series.iter().flat_map(|series| series.labels().iter());
        labels.map(|label| label.name.to_string()).filter(|name| name != "__name__").collect()
    };
    // A side without series is known by its matchers.
    let asked = |index: usize| -> BTreeSet<String> {
        let selector = found.get(index).map(|(selector, _)| *selector);
        let matchers = selector.into_iter().flat_map(|selector| &selector.matchers);
        matchers.map(|matcher| matcher.name().to_owned()).filter(|name| name != "__name__").collect()
    };
    let side = |series: &[Series], index: usize| if series.is_empty() { asked(index) } else { names(series) };
    let (left, right) = (side(left, 0), side(right, 1));
    let left_only: Vec<String> = left.difference(&right).cloned().collect();
    let right_only: Vec<String> = right.difference(&left).cloned().collect();
    if left_only.is_empty() && right_only.is_empty() {
        return;
    }
    let text = format!(
        "no series of the left side meets one of the right: only the left has {}, only the right {}",
        if left_only.is_empty() { "nothing more".to_owned() } else { left_only.join(", ") },
        if right_only.is_empty() { "nothing more".to_owned() } else { right_only.join(", ") },
    );
    let names: Vec<String> = left_only.into_iter().chain(right_only).collect();
    notes.add(Note::error("join-empty", QUERY, text).naming(names).suggest("sum both sides"));
}

/// The codes that are neither good nor the server's fault.
fn narrow(read: &Read, found: &[(&Selector, Vec<Series>)], notes: &mut Notes) {
    let Kind::Ratio { events_are_good: true, .. } = read.shape.derived.kind else { return };
    let [(good, _), (_, trials)] = found else { return };
    let Some(matcher) = good.matchers.iter().find(|matcher| is_success_code(matcher)) else { return };
    let values = values(trials.iter().map(Series::labels));
    let neither: Vec<String> = values
        .get(matcher.name())
        .into_iter()
        .flatten()
        .filter(|code| !matcher.matches(code) && !code.starts_with('5'))
        .cloned()
        .collect();
    if !neither.is_empty() {
        let text = format!("{} is {} too, which count as bad", matcher.name(), neither.join(", "));
        notes.add(Note::warning("good-is-narrow", QUERY, text).naming(neither));
    }
}

/// How a latency threshold lies among the buckets.
fn buckets(read: &Read, found: &[(&Selector, Vec<Series>)], notes: &mut Notes) {
    let Kind::Quantile { limit, .. } = read.shape.derived.kind else { return };
    let Some((_, series)) = found.first() else { return };
    let values = values(series.iter().map(Series::labels));
    let mut bounds: Vec<f64> = values
        .get("le")
        .into_iter()
        .flatten()
        .filter_map(|bound| bound.parse::<f64>().ok())
        .filter(|bound| bound.is_finite())
        .collect();
    bounds.sort_by(f64::total_cmp);
    let Some(largest) = bounds.last().copied() else { return };
    if limit > largest {
        let text = format!(
            "the threshold is {limit} and the largest finite bucket {largest}: a quantile is never above that, so that the \
             check cannot fail"
        );
        notes.add(Note::error("threshold-unreachable", QUERY, text).naming([largest.to_string()]));
    } else if !bounds.contains(&limit) {
        let above = bounds.iter().copied().find(|bound| *bound > limit).unwrap_or(largest);
        let below = bounds.iter().copied().rfind(|bound| *bound < limit).unwrap_or(0.0);
        let text = format!(
            "the threshold {limit} lies inside the bucket from {below} to {above}: what is in it cannot be told apart"
        );
        let note = Note::information("bucket-too-coarse", QUERY, text);
        notes.add(
            note.suggest(format!("use {below} or {above}")).naming([below.to_string(), above.to_string()]),
        );
    }
}
