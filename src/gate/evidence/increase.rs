//! Exact counts: what counters added between two instants, over raw samples.
//!
//! No extrapolation and no division by time, so counts of adjacent spans add up to the count of both. A drop is a
//! reset and the new value counts in full. The first sample of a series counts in full if the series was born
//! during the evidence; otherwise it is where counting begins.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::series::{Loaded, LoadedSeries, Point};
use crate::error::Result;
use crate::model::{Labels, Matcher, SampleBuffer, Timestamp, Window};
use crate::source::{SelectRequest, Source};

/// What one series added.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Increase {
    pub(crate) amount: f64,
    pub(crate) resets: usize,
    /// Whether the first sample counts, and how much it holds.
    pub(crate) born: Option<f64>,
    /// A sample that no counter can have.
    pub(crate) invalid: Option<f64>,
}

/// The increase over the points up to `until`; `counts_first` says whether a first sample without base counts,
/// `restarts` at which scrapes the counter is known to have started again although it may not have fallen.
pub(crate) fn increase(
    series: &LoadedSeries,
    until: Timestamp,
    counts_first: bool,
    restarts: &BTreeSet<i64>,
) -> Increase {
    let mut found = Increase::default();
    // A base that no counter can have lies before the evidence: counting begins with the first sample that is one.
    let mut previous = series.base.filter(|base| is_count(base.value));
    for point in series.points.iter().take_while(|point| point.time <= until.as_millis()) {
        if !is_count(point.value) {
            found.invalid = Some(point.value);
            continue;
        }
        match previous {
            None if counts_first => {
                found.born = Some(point.value);
                found.amount += point.value;
            }
            None => {}
            Some(before)
                if is_reset(&before, point) || restarted_between(restarts, before.time, point.time) =>
            {
                found.resets = found.resets.saturating_add(1);
                found.amount += point.value;
            }
            Some(before) => found.amount += point.value - before.value,
        }
        previous = Some(*point);
    }
    found
}

pub(super) fn restarted_between(restarts: &BTreeSet<i64>, after: i64, until: i64) -> bool {
    after < until && restarts.range((Bound::Excluded(after), Bound::Included(until))).next().is_some()
}

/// The scrapes at which this counter visibly started again.
fn resets(series: &LoadedSeries) -> impl Iterator<Item = i64> + '_ {
    let mut previous = series.base.filter(|base| is_count(base.value));
    series.points.iter().filter(|point| is_count(point.value)).filter_map(move |point| {
        let before = previous.replace(*point)?;
        is_reset(&before, point).then_some(point.time)
    })
}

/// Whether a counter can have this value.
pub(super) fn is_count(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

/// A smaller value, or a start time after the sample before.
fn is_reset(before: &Point, point: &Point) -> bool {
    point.value < before.value || (point.start != 0 && point.start > before.time)
}

/// Knows which series were born during the evidence, by what else their target delivered and when.
pub(crate) struct Births<'a> {
    source: &'a dyn Source,
    /// Where the evidence begins; a process that started later counts in full.
    origin: Timestamp,
    now: Timestamp,
    targets: BTreeMap<(String, String), Target>,
}

/// When a scrape target first delivered a sample of its own, and when its processes started.
#[derive(Clone, Debug, Default)]
struct Target {
    first_ms: Option<i64>,
    starts_ms: Vec<i64>,
    /// The scrapes that first saw another process than the scrape before.
    restarts_ms: Vec<i64>,
}

impl<'a> Births<'a> {
    pub(crate) fn new(source: &'a dyn Source, origin: Timestamp, now: Timestamp) -> Self {
        Self { source, origin, now, targets: BTreeMap::new() }
    }

    /// Whether the first sample of this series counts in full.
    ///
    /// `siblings` are the series of the same metric; `classifying` the labels that tell an event from a request.
    pub(crate) fn counts_first(
        &mut self,
        series: &LoadedSeries,
        siblings: &[LoadedSeries],
        classifying: &[&str],
    ) -> Result<bool> {
        let Some(birth) = series.birth() else { return Ok(false) };
        if birth.start != 0 {
            return Ok(birth.start > self.origin.as_millis());
        }
        if siblings.iter().any(|other| is_older_sibling(series, other, birth.time, classifying)) {
            return Ok(true);
        }
        let target = self.target(&series.labels)?;
        let delivered_before = target.first_ms.is_some_and(|first| first < birth.time);
        let origin = self.origin.as_millis();
        let started_inside = target.starts_ms.iter().any(|start| *start > origin && *start <= birth.time);
        Ok(delivered_before || started_inside)
    }

    /// Those of the scrapes in `fallen` at which the target's process was a new one: there all its counters started
    /// again, also those that have grown past their old value since. A new process alone is no proof, for programs
    /// that count for others may keep their counts.
    fn restarts(&mut self, labels: &Labels, fallen: &BTreeSet<i64>) -> Result<BTreeSet<i64>> {
        let target = self.target(labels)?;
        Ok(target.restarts_ms.into_iter().filter(|time| fallen.contains(time)).collect())
    }

    fn target(&mut self, labels: &Labels) -> Result<Target> {
        let Some(instance) = labels.get("instance") else { return Ok(Target::default()) };
        let key = (instance.to_owned(), labels.get("job").unwrap_or("").to_owned());
        if let Some(target) = self.targets.get(&key) {
            return Ok(target.clone());
        }
        let mut target = self.read_target(&key.0, Some(&key.1))?;
        if target.starts_ms.is_empty() {
            // A program that reports for others gives its series their job; its own start stands under its own.
            let own = self.read_target(&key.0, None)?;
            (target.starts_ms, target.restarts_ms) = (own.starts_ms, own.restarts_ms);
        }
        self.targets.insert(key, target.clone());
        Ok(target)
    }

    fn read_target(&self, instance: &str, job: Option<&str>) -> Result<Target> {
        let mut matchers = vec![Matcher::equal("instance", instance)];
        matchers.extend(job.map(|job| Matcher::equal("job", job)));
        let window = Window::new(Timestamp::MIN, self.now);
        let set = self.source.select(&SelectRequest::new(&matchers, window))?;
        let mut target = Target::default();
        let mut buffer = SampleBuffer::default();
        for item in &set.items {
            let crate::source::Item::Series(series) = item else { continue };
            let name = series.labels().metric_name();
            if is_synthetic(name) {
                continue;
            }
            buffer.clear();
            series.read(window, &mut buffer)?;
            let first = buffer
                .times
                .first()
                .copied()
                .into_iter()
                .chain(buffer.histograms.first().map(|(time, ..)| *time));
            target.first_ms = target.first_ms.into_iter().chain(first).min();
            if name == PROCESS_START {
                target.starts_ms.extend(buffer.values.iter().filter_map(|value| seconds_to_millis(*value)));
                target.starts_ms.dedup();
                target.restarts_ms.extend(restarts(&buffer));
            }
        }
        Ok(target)
    }
}

/// The scrapes that saw a later start than all before.
fn restarts(samples: &SampleBuffer) -> Vec<i64> {
    let mut found = Vec::new();
    let mut latest: Option<i64> = None;
    for (time, value) in samples.times.iter().zip(&samples.values) {
        let Some(start) = seconds_to_millis(*value) else { continue };
        if latest.is_some_and(|before| start.saturating_sub(before) > SAME_START_MS) {
            found.push(*time);
        }
        latest = latest.max(Some(start));
    }
    found
}

/// Start times that differ by less are one start, read from a clock that was set.
pub(crate) const SAME_START_MS: i64 = 1_000;

/// The gauge in which a process tells when it started, in seconds since the epoch.
pub(crate) const PROCESS_START: &str = "process_start_time_seconds";

/// Series that the scraper writes, also while the target is down.
pub(crate) fn is_synthetic(name: &str) -> bool {
    name == "up" || name.starts_with("scrape_")
}

/// Seconds since the epoch as milliseconds, if they can be some.
pub(crate) fn seconds_to_millis(seconds: f64) -> Option<i64> {
    let millis = (seconds * 1000.0).round();
    (millis.is_finite() && millis > 0.0 && millis < 9e15).then_some(millis as i64)
}

/// Whether `other` differs from `series` in the classifying labels only, and is older than `born`.
fn is_older_sibling(series: &LoadedSeries, other: &LoadedSeries, born: i64, classifying: &[&str]) -> bool {
    let rest = |labels: &Labels| labels.filtered(|label| !classifying.contains(&&*label.name));
    let older = other.base.is_some() || other.points.first().is_some_and(|point| point.time < born);
    older && !classifying.is_empty() && rest(&series.labels) == rest(&other.labels)
}

/// What a selector's counters added together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) amount: f64,
    pub(crate) resets: usize,
    pub(crate) born: usize,
    pub(crate) born_amount: f64,
    pub(crate) invalid: Option<f64>,
}

impl Counted {
    pub(crate) fn add(&mut self, increase: &Increase) {
        self.amount += increase.amount;
        self.resets = self.resets.saturating_add(increase.resets);
        if let Some(first) = increase.born.filter(|first| *first > 0.0) {
            self.born = self.born.saturating_add(1);
            self.born_amount += first;
        }
        self.invalid = self.invalid.or(increase.invalid);
    }
}

/// The scrapes at which some counter visibly started again, by what starts again with it.
#[derive(Debug, Default)]
pub(crate) struct Fallen<'a> {
    /// By target: there all have, if its process was a new one.
    targets: BTreeMap<Option<&'a str>, BTreeSet<i64>>,
    /// By classic histogram: that is one thing, and all of its buckets have.
    histograms: BTreeMap<Labels, BTreeSet<i64>>,
}

impl<'a> Fallen<'a> {
    pub(crate) fn of(series: impl IntoIterator<Item = &'a LoadedSeries>) -> Self {
        Self::at(series, resets)
    }

    /// The same where `resets` tells the scrapes at which one of the series started again.
    pub(super) fn at<T: Iterator<Item = i64>>(
        series: impl IntoIterator<Item = &'a LoadedSeries>,
        resets: impl Fn(&'a LoadedSeries) -> T,
    ) -> Self {
        let mut fallen = Self::default();
        for one in series {
            for time in resets(one) {
                fallen.targets.entry(one.labels.get("instance")).or_default().insert(time);
                if let Some(histogram) = histogram_of(&one.labels) {
                    fallen.histograms.entry(histogram).or_default().insert(time);
                }
            }
        }
        fallen
    }

    /// Those at which this counter started again.
    pub(super) fn restarts(&self, labels: &Labels, births: &mut Births<'_>) -> Result<BTreeSet<i64>> {
        let mut restarts = match self.targets.get(&labels.get("instance")) {
            Some(fallen) => births.restarts(labels, fallen)?,
            None => BTreeSet::new(),
        };
        if !self.histograms.is_empty()
            && let Some(own) = histogram_of(labels).and_then(|histogram| self.histograms.get(&histogram))
        {
            restarts.extend(own);
        }
        Ok(restarts)
    }
}

/// The labels of the classic histogram of which this is a bucket.
pub(super) fn histogram_of(labels: &Labels) -> Option<Labels> {
    labels.get("le").map(|_| labels.filtered(|label| &*label.name != "le"))
}

/// Counts everything that was loaded, up to `until`. `fallen` is what is known of everything that is counted together.
pub(crate) fn count(
    loaded: &Loaded,
    siblings: &[LoadedSeries],
    until: Timestamp,
    classifying: &[&str],
    (fallen, births): (&Fallen<'_>, &mut Births<'_>),
) -> Result<Counted> {
    let mut counted = Counted::default();
    // What counts observations is no counter of requests.
    for series in loaded.series.iter().filter(|series| !series.has_histograms()) {
        let counts_first = births.counts_first(series, siblings, classifying)?;
        let restarts = fallen.restarts(&series.labels, births)?;
        counted.add(&increase(series, until, counts_first, &restarts));
    }
    Ok(counted)
}

#[cfg(test)]
mod tests;
