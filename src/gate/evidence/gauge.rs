//! Samples of a gauge, of a canary and beside those of a baseline.

use std::collections::BTreeMap;

use super::series::{Loaded, load};
use super::{MAX_SETTLE_MS, Observation, Span, Tally, labels_of, late, traffic_obstacle};
use crate::error::Result;
use crate::gate::binary::binary_fields;
use crate::gate::reason::Finding;
use crate::gate::spec::Selector;
use crate::model::Timestamp;
use crate::source::Source;

/// More samples of a side tell nothing that these do not.
const MOST_SAMPLES: usize = 1_000;

/// The samples of both sides, in the order of time.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Gauges {
    pub(crate) own: Vec<f64>,
    pub(crate) baseline: Vec<f64>,
}

binary_fields!(Gauges { own, baseline });

/// Takes one sample of either side from each stretch of `every_ms` since the evidence began, once that is over: the mean of the newest
/// samples of its series there. What is scraped more often hangs together too much to be evidence of its own.
pub(super) fn observe_gauge(
    (canary, baseline): (&Selector, &Selector),
    every_ms: i64,
    tally: &mut Tally,
    span: Span,
    source: &dyn Source,
) -> Result<Observation> {
    let own = load(source, canary, span.after, span.now)?;
    let other = load(source, baseline, span.after, span.now)?;
    let (settled, late) = late::settled(span, &[(canary, &own), (baseline, &other)]);
    let every_ms = every_ms.max(1);
    let begun_ms = span.after.millis_since(span.origin).max(0) / every_ms * every_ms;
    let over_ms = settled.millis_since(span.origin).max(0) / every_ms * every_ms;
    let mut invalid = None;
    let gauges = tally.gauges.get_or_insert_with(Box::<Gauges>::default);
    for (loaded, samples) in [(&own, &mut gauges.own), (&other, &mut gauges.baseline)] {
        for sample in thinned(loaded, span.origin, (begun_ms, over_ms), every_ms) {
            if !sample.is_finite() {
                invalid = Some(sample);
            } else if samples.len() < MOST_SAMPLES {
                samples.push(sample);
            }
        }
    }
    if tally.invalid.is_none() {
        tally.invalid = invalid.map(|value| value.to_string());
    }
    tally.leave_histograms_out(canary, &own);
    tally.leave_histograms_out(baseline, &other);
    let beside = traffic_obstacle(baseline, &other, span, source)?;
    let obstacle = traffic_obstacle(canary, &own, span, source)?.or(beside.map(|finding| {
        Finding::BaselineNoTraffic { selector: baseline.text.clone(), problem: finding.to_string() }
    }));
    Ok(Observation {
        obstacle,
        notes: late.into_iter().collect(),
        series: own.series.len(),
        until: span.origin.plus_millis(over_ms.max(begun_ms)),
        selected: labels_of(&own),
        ..Observation::default()
    })
}

/// One sample of each stretch in which there is one. What is not a number says nothing, as of a series without a sample.
fn thinned(loaded: &Loaded, origin: Timestamp, (begun_ms, over_ms): (i64, i64), every_ms: i64) -> Vec<f64> {
    let mut stretches: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    for series in &loaded.series {
        let mut newest: BTreeMap<i64, f64> = BTreeMap::new();
        for point in series.points.iter().filter(|point| !point.value.is_nan()) {
            let age_ms = Timestamp::from_millis(point.time).millis_since(origin);
            if begun_ms < age_ms && age_ms <= over_ms {
                // A stretch has its end, and not its beginning.
                newest.insert(age_ms.saturating_sub(1) / every_ms, point.value);
            }
        }
        for (stretch, value) in newest {
            let (sum, count) = stretches.entry(stretch).or_default();
            (*sum, *count) = (*sum + value, *count + 1.0);
        }
    }
    stretches.into_values().map(|(sum, count)| sum / count).collect()
}

/// How long evidence of a gauge has to be so that there can be so many samples.
pub(crate) fn least_ms(samples: i64, settle_ms: Option<i64>, every_ms: i64) -> i64 {
    samples
        .saturating_mul(every_ms)
        .saturating_add(settle_ms.unwrap_or(MAX_SETTLE_MS).clamp(0, MAX_SETTLE_MS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::evidence::observe;
    use crate::gate::fixture::Fixture;
    use crate::gate::round::Round;
    use crate::gate::spec::{Check, CheckSpec, GateSpec};

    fn check() -> CheckSpec {
        let check = Check::gauge("memory", "memory{pod!=\"s\"}", "memory{pod=\"s\"}").within_factor(1.2);
        GateSpec::builder("g").check(check).deadline_ms(1_800_000).build().unwrap().checks.remove(0)
    }

    fn after(source: &Fixture, looks: &[i64]) -> (Gauges, Observation, Option<String>) {
        let (mut tally, origin) = (Tally::default(), Timestamp::from_secs(1_000));
        let mut observation = Observation { until: origin, ..Observation::default() };
        for look in looks {
            let now = Timestamp::from_secs(*look);
            let span = Span { origin, after: observation.until, now, settle_ms: None, waits: true };
            observation = observe(&check(), &mut tally, span, &Round::new(source, now)).unwrap();
        }
        (tally.gauges.map_or_else(Gauges::default, |gauges| *gauges), observation, tally.invalid)
    }

    fn pod(fixture: Fixture, pod: &str, value: impl Fn(i64) -> f64) -> Fixture {
        let samples = (900..2_000).step_by(10).map(|second| (second, value(second)));
        fixture.series(&[("__name__", "memory"), ("pod", pod), ("instance", pod), ("job", "j")], samples)
    }

    #[test]
    fn each_minute_that_is_over_gives_the_mean_of_the_newest_samples_of_the_series() {
        let source = pod(Fixture::default(), "a", |second| second as f64);
        let source = pod(pod(source, "b", |second| second as f64 + 100.0), "s", |_| 7.0);
        let (gauges, observation, _) = after(&source, &[1_069]);
        // One scrape has to settle.
        assert_eq!((gauges, observation.until), (Gauges::default(), Timestamp::from_secs(1_000)));
        let (gauges, observation, _) = after(&source, &[1_250]);
        assert_eq!(gauges, Gauges { own: vec![1_110.0, 1_170.0, 1_230.0, 1_290.0], baseline: vec![7.0; 4] });
        assert_eq!(observation.until, Timestamp::from_secs(1_240));
        assert_eq!(observation.series, 2);
        let looks: Vec<i64> = (1_000..=1_250).step_by(10).collect();
        assert_eq!(after(&source, &looks).0, gauges, "looks in between change nothing");
    }

    #[test]
    fn what_is_no_number_gives_no_sample_and_what_is_beyond_all_numbers_stays_told() {
        let hole = |second: i64| if (1_060..1_130).contains(&second) { f64::NAN } else { 5.0 };
        let source = pod(pod(Fixture::default(), "a", hole), "s", |_| 7.0);
        let (gauges, _, invalid) = after(&source, &[1_250]);
        assert_eq!((gauges.own.len(), gauges.baseline.len(), invalid), (3, 4, None));
        let beyond = |second: i64| if second == 1_120 { f64::INFINITY } else { 5.0 };
        let source = pod(pod(Fixture::default(), "a", beyond), "s", |_| 7.0);
        assert_eq!(after(&source, &[1_250, 1_500]).2, Some("inf".to_owned()));
    }

    #[test]
    fn how_long_ago_the_evidence_began_costs_nothing() {
        let source = pod(pod(Fixture::default(), "a", |_| 5.0), "s", |_| 7.0);
        let (mut tally, now) = (Tally::default(), Timestamp::MAX);
        let origin = Timestamp::from_secs(1_000);
        let span = Span { origin, after: origin, now, settle_ms: None, waits: true };
        observe(&check(), &mut tally, span, &Round::new(&source, now)).unwrap();
        let gauges = tally.gauges.unwrap();
        // What is known ends within the seventeenth minute.
        assert_eq!((gauges.own.len(), gauges.baseline.len()), (16, 16));
    }

    #[test]
    fn a_side_without_samples_is_told() {
        let source = pod(Fixture::default(), "a", |_| 5.0);
        let (_, observation, _) = after(&source, &[1_250]);
        assert!(matches!(observation.obstacle, Some(Finding::BaselineNoTraffic { .. })), "{observation:?}");
        let source = pod(Fixture::default(), "s", |_| 5.0);
        let (gauges, observation, _) = after(&source, &[1_250]);
        assert!(matches!(observation.obstacle, Some(Finding::NoSuchValue { .. })), "{observation:?}");
        assert!(gauges.own.is_empty() && gauges.baseline.len() == 4);
    }
}
