//! What a check has counted so far, and what stands in the way of judging it.

mod count;
mod gauge;
mod health;
mod histogram;
mod increase;
mod late;
mod series;
mod share;
mod targets;
mod traces;
mod value;

pub(crate) use self::gauge::{Gauges, least_ms};
pub(crate) use self::late::is_late;
pub(crate) use self::series::{read, select, select_between};
pub(crate) use self::traces::{TRACE_ID, traces};
pub(crate) use self::value::{Answer, Values};

pub(crate) use self::health::{Health, HealthState, observe_health};
use self::increase::{Births, Counted, Fallen, count};
use self::series::{Loaded, LoadedSeries, load};
pub(crate) use self::targets::Targets;
use super::binary::binary_fields;
use super::explain;
use super::reason::Finding;
use super::round::Round;
use super::spec::{BurnRate, CheckKind, CheckSpec, Selector};
#[cfg(feature = "serde")]
use super::state::is_default;
use super::stats::comparison::Mixture;
use super::stats::difference::Difference;
use super::stats::dispersion::Scatter;
use super::stats::windows::Starts;
use crate::error::Result;
use crate::model::{Labels, Loss, Timestamp, Window};
use crate::promql::DEFAULT_LOOKBACK_MS;
use crate::source::{Source, Watched};

/// Longest time that a scrape may take to settle.
pub(crate) const MAX_SETTLE_MS: i64 = 60_000;
/// Without a sample for so long a series is stale, however rarely it is scraped.
pub(crate) const STALE_MS: i64 = DEFAULT_LOOKBACK_MS;

/// Cumulative counts of one check since its evidence began.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Tally {
    /// Fewest bad requests that the counts allow.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub(crate) fewest: f64,
    /// Most bad requests that the counts allow; above `fewest` only where a threshold lies inside a bucket.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub(crate) most: f64,
    /// Requests.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub(crate) trials: f64,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub(crate) resets: usize,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub(crate) born: usize,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub(crate) born_amount: f64,
    /// A histogram's finite bounds in order, each with the observations at or below it.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub(crate) bounds: Vec<(f64, f64)>,
    /// Whether the threshold lies above every finite bound.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub(crate) unreachable: bool,
    /// A value that no counter can have was seen; as text.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub(crate) invalid: Option<String>,
    /// What was left out of the counts, by its selector, and why: it is missing for good.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub(crate) left_out: Option<(String, String)>,
    /// How far back the counts look, if that is before the evidence begins.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub(crate) reach: Option<Timestamp>,
    /// Up to when everything was counted that the source had forgotten at a later look, if it had.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub(crate) forgotten: Option<Timestamp>,
    /// Bad requests of the baseline, and its requests.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub(crate) baseline: (f64, f64),
    /// The tests of a comparison by factor.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub(crate) mixture: Option<Box<Mixture>>,
    /// The tests of a comparison by difference.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub(crate) difference: Option<Box<Difference>>,
    /// How the looks' counts of most bad requests scatter.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub(crate) scatter: Scatter,
    /// The same of the fewest, since they first were fewer.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub(crate) scatter_of_fewest: Option<Box<Scatter>>,
    /// The same of the baseline's.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub(crate) baseline_scatter: Scatter,
    /// Where the windows of a burn rate begin, those of each length.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub(crate) windows: Vec<Starts>,
    /// Samples of a gauge.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub(crate) gauges: Option<Box<Gauges>>,
    /// What a query answered.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub(crate) values: Values,
}

binary_fields!(Tally {
    fewest,
    most,
    trials,
    resets,
    born,
    born_amount,
    bounds,
    unreachable,
    invalid,
    left_out,
    reach,
    baseline,
    mixture,
    difference,
    windows,
    gauges,
    scatter,
    scatter_of_fewest,
    baseline_scatter,
    values,
    forgotten,
});

impl Tally {
    /// Notes how far the counts of a look lie from those of others. `before` is what was counted up to the look.
    fn scatter(&mut self, before: &Self) {
        if self.fewest < self.most || self.scatter_of_fewest.is_some() {
            // As long as they were equal they scattered alike.
            let fewest = self.scatter_of_fewest.get_or_insert_with(|| Box::new(before.scatter));
            fewest.look(self.fewest, self.trials);
        }
        self.scatter.look(self.most, self.trials);
        self.baseline_scatter.look(self.baseline.0, self.baseline.1);
    }

    /// Has the windows of a burn rate end so many milliseconds after the evidence began.
    fn slide(&mut self, burn_rate: &BurnRate, at_ms: i64) {
        let lengths = burn_rate.lengths();
        self.windows.resize(lengths.len(), Starts::default());
        for (window_ms, starts) in lengths.into_iter().zip(&mut self.windows) {
            starts.look(window_ms, at_ms, (self.fewest, self.trials));
        }
    }

    /// Notes what is left out of the counts.
    fn leave_out(&mut self, selector: &Selector, problem: &str) {
        self.left_out.get_or_insert_with(|| (selector.text.clone(), problem.to_owned()));
    }

    /// Notes native histograms among what counts requests. Floats of the same series that are loaded with them are not counted either.
    fn leave_histograms_out(&mut self, selector: &Selector, loaded: &Loaded) {
        if loaded.series.iter().any(LoadedSeries::has_histograms) {
            self.leave_out(
                selector,
                "there are native histograms among its samples; counts need counters or classic buckets",
            );
        }
    }

    fn note(&mut self, counted: &Counted) {
        self.resets = self.resets.saturating_add(counted.resets);
        self.born = self.born.saturating_add(counted.born);
        self.born_amount += counted.born_amount;
        if self.invalid.is_none() {
            self.invalid = counted.invalid.map(|value| value.to_string());
        }
    }

    /// From when on processes that started are new ones: since the evidence began, and where the source has forgotten what was
    /// counted, as a store in memory that was lost, since then. What `counted` holds of them would count twice.
    fn births<'a>(
        &mut self,
        (counted, loaded): (f64, &Loaded),
        span: Span,
        source: &'a dyn Source,
    ) -> Births<'a> {
        let begins = !loaded.series.is_empty() && loaded.series.iter().all(|one| one.base.is_none());
        if counted > 0.0 && begins {
            self.forgotten = Some(span.after);
        }
        let origin = self.forgotten.map_or(span.origin, |forgotten| forgotten.max(span.origin));
        Births::new(source, origin, span.now)
    }

    /// Notes how far back counting looks: to the sample on which it builds, and where there is none as far as the
    /// lookback, for whether a series is new is told by what else there was before it.
    fn reach_back(&mut self, loaded: &Loaded, origin: Timestamp) {
        let counted = loaded.series.iter().filter(|series| !series.points.is_empty());
        let reach = counted.map(|series| match series.base {
            Some(base) => Timestamp::from_millis(base.time),
            None => origin.minus_millis(STALE_MS),
        });
        self.reach = self.reach.into_iter().chain(reach).min();
    }
}

/// What one tick saw of one check, beside the counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observation {
    /// Why the counts cannot be judged at this tick.
    pub(crate) obstacle: Option<Finding>,
    /// What a reader should know.
    pub(crate) notes: Vec<Finding>,
    /// How many series stand for the traffic.
    pub(crate) series: usize,
    /// Everything up to here is counted.
    pub(crate) until: Timestamp,
    /// The labels of the traffic's series: who the canary is.
    pub(crate) selected: Vec<Labels>,
    /// What may be missing among the data that the check judges.
    pub(crate) losses: Vec<Loss>,
    /// How often the traffic's counters are scraped, and change.
    pub(crate) pace: Pace,
    /// Where something is late: what there is without it, and up to when.
    pub(crate) ahead: Option<Box<(Tally, Timestamp)>>,
}

/// How often counters are scraped, and how often they change, in milliseconds; 0 where that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(crate) scrape_ms: i64,
    pub(crate) update_ms: i64,
}

impl Pace {
    fn of(loaded: &Loaded) -> Self {
        Self {
            scrape_ms: loaded.interval_ms.unwrap_or(0).min(MAX_SETTLE_MS),
            update_ms: loaded.update_ms.unwrap_or(0).min(STALE_MS),
        }
    }

    /// The slower of two.
    pub(crate) fn slower(self, other: Self) -> Self {
        Self {
            scrape_ms: self.scrape_ms.max(other.scrape_ms),
            update_ms: self.update_ms.max(other.update_ms),
        }
    }
}

/// When and from where a check counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// Where the evidence begins.
    pub(crate) origin: Timestamp,
    /// Everything up to here is counted already.
    pub(crate) after: Timestamp,
    pub(crate) now: Timestamp,
    pub(crate) settle_ms: Option<i64>,
    /// Whether counts go no further than what is late.
    pub(crate) waits: bool,
}

/// Counts what happened since the last tick and adds it to the tally.
///
/// On an error the tally is as it was: the next tick counts from the same instant.
pub(crate) fn observe(
    check: &CheckSpec,
    tally: &mut Tally,
    span: Span,
    source: &Round<'_>,
) -> Result<Observation> {
    let mut next = tally.clone();
    let watched = Watched::new(source);
    let mut observation = add(check, &mut next, span, (source, &watched))?;
    if check.can_err() && observation.notes.iter().any(is_late) {
        let mut ahead = tally.clone();
        let until = add(check, &mut ahead, Span { waits: false, ..span }, (source, &watched))?.until;
        ahead.scatter(tally);
        observation.ahead = Some(Box::new((ahead, until)));
    }
    if let Some((selector, problem)) = next.left_out.clone() {
        observation.obstacle = Some(Finding::NotAClassicHistogram { selector, problem });
    }
    let after = next.reach.map_or(span.origin, |reach| reach.min(span.origin));
    // A query looks further back than the evidence; what it missed there is noted already.
    let evidence = Window::new(after, span.now);
    for loss in source.losses(evidence).into_iter().chain(watched.losses_within(evidence)) {
        if !observation.losses.contains(&loss) {
            observation.losses.push(loss);
        }
    }
    let sums = [next.fewest, next.most, next.trials, next.born_amount, next.baseline.0, next.baseline.1];
    let bounds = next.bounds.iter().map(|(_, count)| *count);
    if let Some(sum) = sums.into_iter().chain(bounds).find(|sum| !sum.is_finite()) {
        // Sums beyond the numbers count nothing, for good; what was counted before stays to be read.
        tally.invalid.get_or_insert_with(|| sum.to_string());
    } else {
        if check.can_err() {
            next.scatter(tally);
        }
        *tally = next;
    }
    Ok(observation)
}

/// Adds what one tick saw to the tally.
fn add(
    check: &CheckSpec,
    tally: &mut Tally,
    span: Span,
    (round, watched): (&Round<'_>, &Watched<'_>),
) -> Result<Observation> {
    match &check.kind {
        CheckKind::Ratio { share, burn_rate, .. } => {
            let observation = share::observe_share(share, tally, span, watched)?;
            if let Some(burn_rate) = burn_rate {
                tally.slide(burn_rate, observation.until.millis_since(span.origin));
            }
            Ok(observation)
        }
        CheckKind::Comparison { canary, baseline, limit } => {
            share::observe_comparison(canary, baseline, *limit, tally, span, watched)
        }
        CheckKind::Count { events, window_ms, missing_is_zero, .. } => {
            count::observe_count(events, *window_ms, *missing_is_zero, tally, span, watched)
        }
        CheckKind::Gauge { canary, baseline, every_ms, .. } => {
            gauge::observe_gauge((canary, baseline), *every_ms, tally, span, watched)
        }
        CheckKind::Value(value) => value::observe_value(value, tally, span, (round, watched)),
        CheckKind::Quantile { buckets, limit, .. } => {
            histogram::observe_quantile(buckets, *limit, tally, span, watched)
        }
        CheckKind::Volume { requests, .. } => observe_volume(requests, tally, span, watched),
    }
}

/// What is wrong with the series that stand for the traffic, if anything.
fn traffic_obstacle(
    selector: &Selector,
    loaded: &Loaded,
    span: Span,
    source: &dyn Source,
) -> Result<Option<Finding>> {
    if loaded.series.is_empty() {
        return explain::diagnose_selector(source, selector, span.now).map(Some);
    }
    let newest = loaded.series.iter().filter_map(|series| series.newest);
    let Some((last, _)) = newest.clone().max_by_key(|(time, _)| *time) else { return Ok(None) };
    let age_ms = span.now.millis_since(Timestamp::from_millis(last));
    let ended = newest.clone().all(|(_, stale)| stale);
    Ok((ended || age_ms >= loaded.silent_ms()).then(|| Finding::Stale {
        selector: selector.text.clone(),
        last: Timestamp::from_millis(last),
        age_seconds: age_ms as f64 / 1000.0,
        ended,
    }))
}

fn labels_of(loaded: &Loaded) -> Vec<Labels> {
    loaded.series.iter().map(|series| series.labels.clone()).collect()
}

fn observe_volume(
    requests: &Selector,
    tally: &mut Tally,
    span: Span,
    source: &dyn Source,
) -> Result<Observation> {
    let loaded = load(source, requests, span.after, span.now)?;
    tally.reach_back(&loaded, span.origin);
    let (until, late) = late::settled(span, &[(requests, &loaded)]);
    let mut births = tally.births((tally.trials, &loaded), span, source);
    let fallen = Fallen::of(&loaded.series);
    let counted = count(&loaded, &loaded.series, until, &[], (&fallen, &mut births))?;
    tally.trials += counted.amount;
    tally.note(&counted);
    tally.leave_histograms_out(requests, &loaded);
    let obstacle = traffic_obstacle(requests, &loaded, span, source)?;
    Ok(Observation {
        obstacle,
        notes: late.into_iter().collect(),
        series: loaded.series.len(),
        until,
        selected: labels_of(&loaded),
        pace: Pace::of(&loaded),
        ..Observation::default()
    })
}

#[cfg(test)]
mod tests;
