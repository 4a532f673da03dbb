//! Is the canary alive: restarts and absence of the scrape targets behind the selected series.
//!
//! A canary that dies answers no request, so every ratio over requests stays clean while its users get nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::increase::{PROCESS_START, SAME_START_MS, is_synthetic, seconds_to_millis};
use super::series::{LoadedSeries, load, read, select};
use super::targets::Targets;
use crate::error::Result;
use crate::gate::reason::Finding;
use crate::gate::round::Round;
use crate::gate::spec::Selector;
use crate::model::{Labels, MatchOp, Matcher, Timestamp, Window};
use crate::source::Source;

/// A restarted target counts as alive again after this long.
const ALIVE_AGAIN_MS: i64 = 60_000;
/// A target may miss this share of its scrapes.
const ABSENT_SHARE: f64 = 0.1;

/// What target health says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) enum HealthState {
    /// Nothing speaks against the canary.
    #[default]
    Alive,
    /// It may be recovering, or is away.
    Doubtful,
    /// It keeps dying.
    Dying,
}

/// What one tick saw of the targets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health {
    pub(crate) state: HealthState,
    pub(crate) findings: Vec<(HealthState, Finding)>,
    pub(crate) notes: Vec<Finding>,
}

impl Health {
    /// The targets could not be looked at: nothing passes on that.
    pub(crate) fn unknown(problem: String) -> Self {
        let mut health = Self::default();
        health.add(HealthState::Doubtful, Finding::TargetUnknown { problem });
        health
    }

    fn add(&mut self, state: HealthState, finding: Finding) {
        self.state = match (self.state, state) {
            (HealthState::Dying, _) | (_, HealthState::Dying) => HealthState::Dying,
            (HealthState::Doubtful, _) | (_, HealthState::Doubtful) => HealthState::Doubtful,
            _ => HealthState::Alive,
        };
        self.findings.push((state, finding));
    }
}

/// Looks at the targets of the series that a gate's checks selected, each with the matchers that selected it, and whether they are
/// judged each for itself.
pub(crate) fn observe_health(
    selected: &[(&Selector, &[Labels], bool)],
    origin: Timestamp,
    now: Timestamp,
    source: &Round<'_>,
) -> Result<Health> {
    let mut health = Health::default();
    let targets = source.targets()?;
    let mut canaries: BTreeSet<String> = BTreeSet::new();
    let mut exporters: BTreeSet<String> = BTreeSet::new();
    for (selector, series, each) in selected {
        let instances: BTreeSet<&str> = series.iter().filter_map(|labels| labels.get("instance")).collect();
        for instance in instances {
            match reports_for(selector, instance, targets, now, source)? {
                Some(named) => {
                    exporters.insert(instance.to_owned());
                    canaries.extend(named);
                }
                None => {
                    canaries.insert(instance.to_owned());
                }
            }
        }
        let own = series.iter().filter_map(|labels| labels.get("instance"));
        let own: BTreeSet<&str> = own.filter(|instance| !exporters.contains(*instance)).collect();
        let silent = silent_pods(selector, &own, targets, origin, now, source)?;
        if *each && !silent.is_empty() {
            let targets = silent.iter().cloned().collect();
            let finding = Finding::ElementMissing { selector: selector.text.clone(), targets };
            if !health.notes.contains(&finding) {
                health.notes.push(finding);
            }
        }
        canaries.extend(silent);
    }
    if canaries.is_empty() && !selected.iter().all(|(_, series, _)| series.is_empty()) {
        health.notes.push(Finding::TargetUnknown {
            problem: "the selected series name no scrape target of the canary in a label `instance`"
                .to_owned(),
        });
    }
    let mut alive = 0_usize;
    let mut gone = Vec::new();
    for instance in &canaries {
        let scrapes = scrapes_of(instance, origin, now, targets)?;
        let restarts = restarts(instance, origin, now, source)?;
        let target = format!("target {instance}");
        if let [.., last] = restarts.as_slice() {
            let lived = now.millis_since(*last);
            if restarts.len() >= 2 {
                health
                    .add(HealthState::Dying, Finding::TargetRestarting { target: target.clone(), restarts });
            } else if lived < ALIVE_AGAIN_MS {
                health.add(
                    HealthState::Doubtful,
                    Finding::TargetRestarted {
                        target: target.clone(),
                        at: *last,
                        remaining_seconds: ALIVE_AGAIN_MS.saturating_sub(lived) as f64 / 1000.0,
                    },
                );
            }
        }
        let Some(up) = scrapes else {
            health.notes.push(Finding::TargetUnknown { problem: format!("{target} has no series `up`") });
            alive = alive.saturating_add(1);
            continue;
        };
        let presence = presence(&up, origin, now);
        if presence.removed_at.is_some_and(|removed| now.millis_since(removed) >= ALIVE_AGAIN_MS) {
            // Service discovery has taken it out of service a while ago: it is nobody's canary any more, unless no
            // other target is left.
            gone.push((target, presence.share));
            continue;
        }
        if !presence.down {
            alive = alive.saturating_add(1);
        }
        if presence.down || presence.share > ABSENT_SHARE {
            health.add(
                HealthState::Doubtful,
                Finding::TargetAbsent { target, share: presence.share, down: presence.down },
            );
        }
    }
    if alive == 0 {
        for (target, share) in gone {
            health.add(HealthState::Doubtful, Finding::TargetAbsent { target, share, down: true });
        }
    }
    for instance in exporters.difference(&canaries) {
        let back = scrapes_of(instance, origin, now, targets)?.and_then(|up| came_back(&up));
        if let Some(at) = back {
            health.notes.push(Finding::ExporterRestarted { target: format!("target {instance}"), at });
        }
    }
    Ok(health)
}

/// Targets that the selector means as well as those in `own`, by the labels that service discovery gave them, but that
/// have never delivered its metric: pods that never came up.
///
/// None where the labels of targets do not tell who is meant, because some target that they fit delivers the metric
/// and is not selected.
fn silent_pods(
    selector: &Selector,
    own: &BTreeSet<&str>,
    targets: &Targets,
    origin: Timestamp,
    now: Timestamp,
    source: &dyn Source,
) -> Result<BTreeSet<String>> {
    let Some(metric) = selector.metric() else { return Ok(BTreeSet::new()) };
    let selected: Vec<&Labels> = own.iter().filter_map(|instance| targets.of(instance).next()).collect();
    let fits = |matcher: &Matcher, labels: &Labels| {
        labels.get(matcher.name()).is_some_and(|value| matcher.matches(value))
    };
    let telling: Vec<&Matcher> = selector
        .matchers
        .iter()
        .filter(|matcher| !matches!(matcher.name(), "__name__" | "le" | "job" | "instance" | "namespace"))
        .filter(|matcher| selected.iter().all(|labels| fits(matcher, labels)))
        .collect();
    if selected.is_empty() || telling.is_empty() {
        return Ok(BTreeSet::new());
    }
    let kin = |labels: &&Labels| {
        telling.iter().all(|matcher| fits(matcher, labels))
            && ["job", "namespace"]
                .iter()
                .all(|name| selected.iter().any(|own| own.get(name) == labels.get(name)))
    };
    // A value that a matcher asks for stands among the labels of all that it fits.
    let asked =
        telling.iter().filter(|matcher| matcher.op() == MatchOp::Equal && !matcher.value().is_empty());
    let asked = asked.filter_map(|matcher| std::str::from_utf8(matcher.value()).ok());
    let candidates: Vec<&Labels> =
        match asked.map(|value| targets.carrying(value)).min_by_key(|list| list.len()) {
            Some(carrying) => carrying.iter().flat_map(|(_, instance)| targets.of(instance)).collect(),
            None => targets.all().collect(),
        };
    let mut silent = BTreeSet::new();
    for labels in candidates.into_iter().filter(kin) {
        let Some(instance) = labels.get("instance").filter(|instance| !own.contains(instance)) else {
            continue;
        };
        let delivered =
            Selector::of(vec![Matcher::equal("__name__", metric), Matcher::equal("instance", instance)]);
        if !select(source, &delivered, now)?.is_empty() {
            return Ok(BTreeSet::new());
        }
        // One that service discovery forgot before the evidence began is nobody's pod any more.
        if scrapes_of(instance, origin, now, targets)?.is_some_and(|up| !up.points.is_empty()) {
            silent.insert(instance.to_owned());
        }
    }
    Ok(silent)
}

/// Whether a target was up, at each scrape.
fn scrapes_of(
    instance: &str,
    origin: Timestamp,
    now: Timestamp,
    targets: &Targets,
) -> Result<Option<LoadedSeries>> {
    // Should several jobs scrape one address, the one that was asked last tells.
    let scrapes = read(targets.ups_of(instance), origin, now)?.series;
    Ok(scrapes.into_iter().max_by_key(|series| series.newest))
}

/// The targets that a value names, if this one is not among them.
fn named<'t>(targets: &'t Targets, value: &str, instance: &str) -> Option<&'t [(Arc<str>, Arc<str>)]> {
    let carrying = targets.carrying(value);
    let own = carrying.binary_search_by(|(_, target)| (**target).cmp(instance));
    (!carrying.is_empty() && own.is_err()).then_some(carrying)
}

/// Which other targets the selected series of this one speak for; none if they speak for the target itself.
///
/// A target speaks for itself where a matcher agrees with one of its own labels that not all targets share. It speaks
/// for others where a label that a matcher fixes has, on this target, the names of several other targets, or where
/// its series carry several jobs, none of them its own. In doubt it speaks for itself: taking a canary for a
/// messenger would hide that it dies.
fn reports_for(
    selector: &Selector,
    instance: &str,
    targets: &Targets,
    now: Timestamp,
    source: &Round<'_>,
) -> Result<Option<BTreeSet<String>>> {
    let own: Vec<&Labels> = targets.of(instance).collect();
    if own.is_empty() {
        return Ok(None);
    }
    let fixed: Vec<&Matcher> = selector
        .matchers
        .iter()
        .filter(|matcher| {
            matcher.op() == MatchOp::Equal
                && !matcher.value().is_empty()
                && !matches!(matcher.name(), "__name__" | "le" | "job" | "instance")
        })
        .collect();
    let agrees = |matcher: &Matcher, labels: &Labels| {
        labels.get(matcher.name()).is_some_and(|value| matcher.matches(value))
    };
    let speaks_for_itself = fixed.iter().any(|matcher| {
        own.iter().any(|labels| agrees(matcher, labels))
            && !targets.all_have(matcher.name(), &String::from_utf8_lossy(matcher.value()))
    });
    if speaks_for_itself {
        return Ok(None);
    }
    let mut on_target = vec![Matcher::equal("instance", instance)];
    on_target.extend(selector.metric().map(|metric| Matcher::equal("__name__", metric)));
    if selector.metric().is_some_and(|metric| metric.ends_with("_bucket")) {
        // One series a histogram tells as much as all of them.
        on_target.push(Matcher::equal("le", "+Inf"));
    }
    // Values come from an index; the series of all pods behind a messenger would have to be put together.
    let values_of = |label: &str| source.values(label, &on_target, Window::new(Timestamp::MIN, now));
    let mut found: Option<BTreeSet<String>> = None;
    for matcher in fixed {
        let Some(wanted) = named(targets, &String::from_utf8_lossy(matcher.value()), instance) else {
            continue;
        };
        let values = values_of(matcher.name())?;
        let mut others = values.iter().filter_map(|value| named(targets, value, instance));
        let same = |a: &[(Arc<str>, Arc<str>)], b: &[(Arc<str>, Arc<str>)]| {
            a.iter().map(|(_, target)| target).eq(b.iter().map(|(_, target)| target))
        };
        if let Some(first) = others.next()
            && others.any(|other| !same(first, other))
        {
            let wanted: BTreeSet<String> = wanted.iter().map(|(_, target)| target.to_string()).collect();
            found = Some(match found {
                Some(before) => before.intersection(&wanted).cloned().collect(),
                None => wanted,
            });
        }
    }
    if found.as_ref().is_some_and(|targets| !targets.is_empty()) {
        return Ok(found);
    }
    let jobs = values_of("job")?;
    let foreign = jobs.iter().all(|job| own.iter().all(|labels| labels.get("job") != Some(&**job)));
    Ok((jobs.len() >= 2 && foreign).then(BTreeSet::new))
}

/// When a target's new processes were first seen after `origin`.
fn restarts(
    instance: &str,
    origin: Timestamp,
    now: Timestamp,
    source: &dyn Source,
) -> Result<Vec<Timestamp>> {
    let of_target =
        |name| Selector::of(vec![Matcher::equal("__name__", name), Matcher::equal("instance", instance)]);
    let starts = load(source, &of_target(PROCESS_START), origin, now)?;
    // Several jobs may scrape one target, each at its own times: whoever saw most restarts tells them all.
    let mut most: Vec<i64> = Vec::new();
    for series in &starts.series {
        let mut seen = Vec::new();
        let mut process = series.base.and_then(|base| seconds_to_millis(base.value));
        for point in &series.points {
            let Some(start) = seconds_to_millis(point.value) else { continue };
            if process.is_some_and(|before| start.saturating_sub(before) > SAME_START_MS) {
                seen.push(point.time);
            }
            process = Some(process.map_or(start, |before| before.max(start)));
        }
        if seen.len() > most.len() {
            most = seen;
        }
    }
    if starts.series.is_empty() {
        most = resets_together(instance, origin, now, source)?;
    }
    Ok(most.into_iter().map(Timestamp::from_millis).collect())
}

/// Scrapes at which most of a target's counters started again: a restart, where no start time tells it.
fn resets_together(
    instance: &str,
    origin: Timestamp,
    now: Timestamp,
    source: &dyn Source,
) -> Result<Vec<i64>> {
    let all = Selector::of(vec![Matcher::equal("instance", instance)]);
    let loaded = load(source, &all, origin, now)?;
    // By job and scrape: counters that moved from above zero, and those among them that fell or say that they started
    // anew.
    let mut jobs: BTreeMap<Option<&str>, BTreeMap<i64, (usize, usize)>> = BTreeMap::new();
    for series in &loaded.series {
        let name = series.labels.metric_name();
        let counts = ["_total", "_count", "_bucket", "_sum"].iter().any(|suffix| name.ends_with(suffix));
        if is_synthetic(name) || !counts {
            continue;
        }
        let scrapes = jobs.entry(series.labels.get("job")).or_default();
        let mut before = series.base;
        for point in &series.points {
            if let Some(last) = before.filter(|last| last.value > 0.0) {
                let (could, did) = scrapes.entry(point.time).or_default();
                *could = could.saturating_add(1);
                let fell = point.value < last.value || (point.start != 0 && point.start > last.time);
                *did = did.saturating_add(usize::from(fell));
            }
            before = Some(*point);
        }
    }
    let restarts = jobs.into_values().map(|scrapes| -> Vec<i64> {
        scrapes
            .into_iter()
            .filter(|(_, (could, did))| *did >= 2 && did.saturating_mul(2) > *could)
            .map(|(time, _)| time)
            .collect()
    });
    Ok(restarts.max_by_key(Vec::len).unwrap_or_default())
}

struct Presence {
    share: f64,
    down: bool,
    /// When a staleness marker took the target out of service.
    removed_at: Option<Timestamp>,
}

/// How many of its scrapes since `origin` a target missed. Missing scrapes count once per scrape interval, from the
/// second one on.
fn presence(series: &LoadedSeries, origin: Timestamp, now: Timestamp) -> Presence {
    let times = || series.base.iter().chain(&series.points).map(|point| point.time);
    let mut gaps: Vec<i64> =
        times().zip(times().skip(1)).map(|(a, b)| b.saturating_sub(a)).filter(|gap| *gap > 0).collect();
    gaps.sort_unstable();
    let interval = gaps.get(gaps.len() / 2).copied().unwrap_or(60_000);
    let removed_at = series.newest.filter(|(_, stale)| *stale).map(|(time, _)| Timestamp::from_millis(time));
    let end = removed_at.unwrap_or(now).as_millis();
    let mut scrapes = 0_i64;
    let mut missed = 0_i64;
    let mut previous = series.base.map(|base| base.time).filter(|time| {
        // An older sample says nothing about scrapes since the beginning.
        origin.as_millis().saturating_sub(*time) <= interval.saturating_mul(2)
    });
    let gap = |from: Option<i64>, to: i64| {
        let lost = from.map_or(0, |from| to.saturating_sub(from).max(0) / interval.max(1));
        // One interval is the regular step, and a scrape that is a little late is none that is missing.
        if lost > 2 { lost.saturating_sub(1) } else { 0 }
    };
    for point in &series.points {
        let lost = gap(previous, point.time);
        scrapes = scrapes.saturating_add(1).saturating_add(lost);
        missed = missed.saturating_add(lost).saturating_add(i64::from(point.value == 0.0));
        previous = Some(point.time);
    }
    let tail = gap(previous, end);
    scrapes = scrapes.saturating_add(tail);
    missed = missed.saturating_add(tail);
    let last = series.points.last().or(series.base.as_ref());
    let down = removed_at.is_some() || tail > 0 || last.is_none_or(|point| point.value == 0.0);
    let share = if scrapes > 0 { missed as f64 / scrapes as f64 } else { f64::from(u8::from(down)) };
    Presence { share, down, removed_at }
}

/// When a target was up again for the first time after it was down.
fn came_back(series: &LoadedSeries) -> Option<Timestamp> {
    let mut down = false;
    for point in series.base.iter().chain(&series.points) {
        if point.value == 0.0 {
            down = true;
        } else if down {
            return Some(Timestamp::from_millis(point.time));
        }
    }
    None
}

#[cfg(test)]
mod tests;
