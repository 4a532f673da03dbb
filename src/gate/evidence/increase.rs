//! Exact counts: what counters added between two instants, over raw samples.
//!
//! No extrapolation and no division by time, so counts of adjacent spans add up to the count of both. A drop is a
//! reset and the new value counts in full. The first sample of a series counts in full if the series was born
//! during the evidence; otherwise it is where counting begins.

use std::collections::BTreeMap;

use super::series::{Loaded, LoadedSeries, Point};
use crate::error::Result;
use crate::model::{Labels, Matcher, Timestamp, Window};
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

/// The increase over the points up to `until`; `counts_first` says whether a first sample without base counts.
pub(crate) fn increase(series: &LoadedSeries, until: Timestamp, counts_first: bool) -> Increase {
    let mut found = Increase::default();
    let mut previous = series.base;
    for point in series.points.iter().take_while(|point| point.time <= until.as_millis()) {
        if !(point.value.is_finite() && point.value >= 0.0) {
            found.invalid = Some(point.value);
            continue;
        }
        match previous {
            None if counts_first => {
                found.born = Some(point.value);
                found.amount += point.value;
            }
            None => {}
            Some(before) if is_reset(&before, point) => {
                found.resets = found.resets.saturating_add(1);
                found.amount += point.value;
            }
            Some(before) => found.amount += point.value - before.value,
        }
        previous = Some(*point);
    }
    found
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

    fn target(&mut self, labels: &Labels) -> Result<Target> {
        let Some(instance) = labels.get("instance") else { return Ok(Target::default()) };
        let key = (instance.to_owned(), labels.get("job").unwrap_or("").to_owned());
        if let Some(target) = self.targets.get(&key) {
            return Ok(target.clone());
        }
        let mut target = self.read_target(&key.0, Some(&key.1))?;
        if target.starts_ms.is_empty() {
            // A program that reports for others gives its series their job; its own start stands under its own.
            target.starts_ms = self.read_target(&key.0, None)?.starts_ms;
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
        let mut buffer = crate::model::SampleBuffer::default();
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
            }
        }
        Ok(target)
    }
}

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

/// Counts everything that was loaded, up to `until`.
pub(crate) fn count(
    loaded: &Loaded,
    siblings: &[LoadedSeries],
    until: Timestamp,
    classifying: &[&str],
    births: &mut Births<'_>,
) -> Result<Counted> {
    let mut counted = Counted::default();
    for series in &loaded.series {
        let counts_first = births.counts_first(series, siblings, classifying)?;
        counted.add(&increase(series, until, counts_first));
    }
    Ok(counted)
}

#[cfg(test)]
mod tests;
