//! Observations above a threshold, counted from native histograms.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::increase::{Counted, Fallen, Increase, is_count, restarted_between};
use super::super::series::{Loaded, LoadedSeries};
use super::super::{Observation, Pace, Span, Tally, labels_of, late, traffic_obstacle};
use crate::error::Result;
use crate::gate::spec::Selector;
use crate::model::histogram::IncompatibleSchemas;
use crate::model::{CounterResetHint, NativeHistogram, Timestamp};
use crate::source::Source;

/// Observations above a limit: as many as the buckets leave possible, at least and at most, and all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Above {
    fewest: f64,
    most: f64,
    all: f64,
}

impl Above {
    /// Those of one histogram. What is in no bucket, as NaN, may lie anywhere.
    fn of(histogram: &NativeHistogram, limit: f64) -> Self {
        let (mut below, mut above, mut held) = (0.0, 0.0, 0.0);
        for bucket in histogram.all_buckets() {
            // Rounding may have left a bucket less than nothing.
            let count = bucket.count.max(0.0);
            held += count;
            if bucket.upper <= limit {
                below += count;
            } else if bucket.lower >= limit {
                above += count;
            }
        }
        // What was in no bucket can only become less where something is wrong.
        let all = histogram.count.max(held);
        Self { fewest: above, most: (all - below).max(above), all }
    }

    fn add(&mut self, other: Self) {
        self.fewest += other.fewest;
        self.most += other.most;
        self.all += other.all;
    }
}

/// Adds what one tick saw of a quantile check over native histograms, of whatever resolution. A limit inside a bucket leaves the
/// events between two counts, as with classic ones.
pub(super) fn observe(
    selector: &Selector,
    loaded: &Loaded,
    limit: f64,
    tally: &mut Tally,
    span: Span,
    source: &dyn Source,
) -> Result<Observation> {
    tally.reach_back(loaded, span.origin);
    let (until, late) = late::settled(span, &[(selector, loaded)]);
    let mut births = tally.births((tally.trials, loaded), span, source);
    let mut counted = Counted::default();
    let mut above = Above::default();
    let mut problem = loaded.floats.then_some("floats stand beside its native histograms");
    let fallen = Fallen::at(&loaded.series, falls);
    for series in &loaded.series {
        let restarts = fallen.restarts(&series.labels, &mut births)?;
        let counts_first = births.counts_first(series, &loaded.series, &[])?;
        match increase(series, limit, until, counts_first, &restarts) {
            Ok((own, one)) => {
                above.add(own);
                counted.add(&one);
            }
            Err(found) => problem = Some(found),
        }
    }
    tally.note(&counted);
    if let Some(problem) = problem {
        tally.leave_out(selector, problem);
    }
    tally.trials += above.all;
    tally.fewest += above.fewest;
    tally.most += above.most;
    Ok(Observation {
        obstacle: traffic_obstacle(selector, loaded, span, source)?,
        notes: late.into_iter().collect(),
        series: loaded.series.len(),
        until,
        selected: labels_of(loaded),
        pace: Pace::of(loaded),
        ..Observation::default()
    })
}

/// The scrapes at which this histogram visibly started again.
fn falls(series: &LoadedSeries) -> impl Iterator<Item = i64> + '_ {
    series.histograms.windows(2).filter_map(|pair| match pair {
        [(_, before), (time, histogram)] => is_reset(before, histogram).then_some(*time),
        _ => None,
    })
}

fn is_reset(before: &NativeHistogram, histogram: &NativeHistogram) -> bool {
    histogram.count < before.count || histogram.is_reset(before)
}

/// What keeps a histogram from being counted.
enum Unusable {
    /// A number that no counter can have.
    Number(f64),
    /// Why it counts nothing.
    Kind(&'static str),
}

/// Whether a histogram can be that of a counter.
fn usable(histogram: &NativeHistogram) -> std::result::Result<(), Unusable> {
    if histogram.hint == CounterResetHint::Gauge {
        return Err(Unusable::Kind("its native histograms are gauges, which count nothing"));
    }
    let counts = histogram.all_buckets().map(|bucket| bucket.count);
    let mut numbers = counts.chain([histogram.count, histogram.zero_count]);
    if let Some(invalid) = numbers.find(|count| !is_count(*count)) {
        return Err(Unusable::Number(invalid));
    }
    let held: f64 = histogram.all_buckets().map(|bucket| bucket.count).sum();
    if held - histogram.count > histogram.count * ROUNDING {
        return Err(Unusable::Kind(
            "its native histograms hold more observations in their buckets than in all",
        ));
    }
    Ok(())
}

/// What sums of counts may be off by, as part of them.
const ROUNDING: f64 = 1e-9;

/// What `histogram` has beyond `before`; none where something has become less, whatever its hint says: one that was made for another
/// neighbour, which is missing, says nothing of this one.
///
/// # Errors
///
/// If their buckets have nothing in common.
fn added(
    before: &NativeHistogram,
    histogram: &NativeHistogram,
) -> std::result::Result<Option<NativeHistogram>, IncompatibleSchemas> {
    let mut added = NativeHistogram::clone(histogram);
    added.subtract(before)?;
    let least = -ROUNDING * histogram.count;
    let fell = added.count < least
        || added.zero_count < least
        || added.all_buckets().any(|bucket| bucket.count < least);
    Ok((!fell).then_some(added))
}

/// What was observed up to `until`. A histogram before the evidence that cannot be counted is none: counting begins with the first that
/// can.
///
/// # Errors
///
/// Why its histograms count nothing.
fn increase(
    series: &LoadedSeries,
    limit: f64,
    until: Timestamp,
    counts_first: bool,
    restarts: &BTreeSet<i64>,
) -> std::result::Result<(Above, Increase), &'static str> {
    let mut above = Above::default();
    let mut found = Increase::default();
    let start_of = |time: i64| {
        let found = series.points.binary_search_by_key(&time, |point| point.time).ok();
        found.and_then(|index| series.points.get(index)).map_or(0, |point| point.start)
    };
    let is_new = |time: i64| series.points.first().is_some_and(|first| first.time <= time);
    let mut previous: Option<&(i64, Arc<NativeHistogram>)> = None;
    for sample in series.histograms.iter().take_while(|(time, _)| *time <= until.as_millis()) {
        let (time, histogram) = sample;
        let usable = usable(histogram);
        if !is_new(*time) {
            // Up to here it is counted already.
            previous = usable.is_ok().then_some(sample);
            continue;
        }
        match usable {
            Ok(()) => {}
            Err(Unusable::Number(number)) => {
                found.invalid = Some(number);
                continue;
            }
            Err(Unusable::Kind(problem)) => return Err(problem),
        }
        let own = match previous.replace(sample) {
            None if counts_first => {
                found.born = Some(histogram.count);
                Above::of(histogram, limit)
            }
            None => Above::default(),
            Some((earlier, before)) => {
                let restarted = is_reset(before, histogram)
                    || start_of(*time) > *earlier && start_of(*time) != 0
                    || restarted_between(restarts, *earlier, *time);
                let added = if restarted { Ok(None) } else { added(before, histogram) };
                match added {
                    Ok(Some(added)) => Above::of(&added, limit),
                    Ok(None) => {
                        found.resets = found.resets.saturating_add(1);
                        Above::of(histogram, limit)
                    }
                    Err(IncompatibleSchemas) => {
                        return Err("its native histograms have changed the kind of their buckets");
                    }
                }
            }
        };
        found.amount += own.all;
        above.add(own);
    }
    Ok((above, found))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gate::evidence::{observe as observe_check, select_between};
    use crate::gate::fixture::Fixture;
    use crate::gate::round::Round;
    use crate::gate::run::Gate;
    use crate::gate::spec::{Check, CheckSpec, GateSpec};
    use crate::gate::verdict::Verdict;
    use crate::model::{Span as Buckets, stale_marker};

    /// Observations in the buckets that end at 0.25, 0.5, 1, 2, 4 and 8 (schema 0).
    fn histogram(counts: [f64; 6]) -> NativeHistogram {
        NativeHistogram {
            count: counts.iter().sum(),
            sum: 1.0,
            positive_spans: vec![Buckets { offset: -2, length: 6 }],
            positive_buckets: counts.to_vec(),
            ..NativeHistogram::default()
        }
    }

    fn check(limit: f64) -> CheckSpec {
        let check = Check::quantile("p95", "seconds", 0.95).below(limit);
        GateSpec::builder("g").check(check).build().unwrap().checks.remove(0)
    }

    /// Looks at these seconds, from 1,000 on.
    fn after(source: &Fixture, limit: f64, looks: &[i64]) -> (Tally, Observation) {
        let (mut tally, origin) = (Tally::default(), Timestamp::from_secs(1_000));
        let mut observation = Observation { until: origin, ..Observation::default() };
        for look in looks {
            let now = Timestamp::from_secs(*look);
            let span = Span { origin, after: observation.until, now, settle_ms: Some(0), waits: true };
            observation = observe_check(&check(limit), &mut tally, span, &Round::new(source, now)).unwrap();
        }
        (tally, observation)
    }

    const LABELS: [(&str, &str); 3] = [("__name__", "seconds"), ("instance", "i"), ("job", "j")];

    /// In ten seconds 8 observations up to 0.5, one up to 2, one up to 8.
    fn steady() -> Fixture {
        let samples = (990..1_200).step_by(10).map(|second| {
            let scrapes = ((second - 990) / 10) as f64;
            (second, histogram([0.0, 8.0 * scrapes, 0.0, scrapes, 0.0, scrapes]))
        });
        Fixture::default().native(&LABELS, samples)
    }

    #[test]
    fn observations_above_a_limit_are_counted_from_the_scrape_before_the_evidence_on() {
        for (limit, fewest, most) in
            [(1.0, 20.0, 20.0), (2.0, 10.0, 10.0), (1.5, 10.0, 20.0), (0.1, 100.0, 100.0), (9.0, 0.0, 0.0)]
        {
            let (tally, observation) = after(&steady(), limit, &[1_100]);
            assert_eq!((tally.fewest, tally.most, tally.trials), (fewest, most, 100.0), "{limit}");
            assert!(observation.obstacle.is_none() && observation.series == 1, "{observation:?}");
            assert_eq!(observation.pace.scrape_ms, 10_000);
        }
    }

    #[test]
    fn a_restart_counts_in_full_and_a_coarser_resolution_is_no_restart() {
        let small = histogram([0.0, 3.0, 0.0, 1.0, 0.0, 0.0]);
        let samples =
            [(990, histogram([0.0, 9.0, 0.0, 0.0, 0.0, 0.0])), (1_010, small.clone()), (1_020, small)];
        let (tally, _) = after(&Fixture::default().native(&LABELS, samples), 1.0, &[1_030]);
        assert_eq!((tally.most, tally.trials, tally.resets), (1.0, 4.0, 1));

        let mut coarse = histogram([0.0, 20.0, 0.0, 2.0, 0.0, 0.0]);
        coarse.reduce_resolution(-1);
        let samples = [(990, histogram([0.0, 10.0, 0.0, 1.0, 0.0, 0.0])), (1_010, coarse)];
        let (tally, _) = after(&Fixture::default().native(&LABELS, samples), 1.0, &[1_030]);
        // The bucket that ends at 1 does so at either resolution.
        assert_eq!((tally.fewest, tally.most, tally.trials, tally.resets), (1.0, 1.0, 11.0, 0));
    }

    #[test]
    fn what_is_in_no_bucket_may_lie_above() {
        let with_nan = |scale: f64| NativeHistogram {
            count: 12.0 * scale,
            ..histogram([0.0, 10.0 * scale, 0.0, 0.0, 0.0, 0.0])
        };
        let source = Fixture::default().native(&LABELS, [(990, with_nan(1.0)), (1_010, with_nan(2.0))]);
        let (tally, _) = after(&source, 1.0, &[1_020]);
        assert_eq!((tally.fewest, tally.most, tally.trials), (0.0, 2.0, 12.0));
    }

    #[test]
    fn histograms_that_count_nothing_keep_the_check_open_for_good() {
        let later = (1_030..1_200)
            .step_by(10)
            .map(|second| (second, histogram([0.0, second as f64, 0.0, 0.0, 0.0, 0.0])));
        let custom = NativeHistogram {
            schema: -53,
            custom_values: vec![1.0],
            count: 5.0,
            positive_spans: vec![Buckets { offset: 0, length: 1 }],
            positive_buckets: vec![5.0],
            ..NativeHistogram::default()
        };
        let gauge = NativeHistogram { hint: CounterResetHint::Gauge, ..histogram([1.0; 6]) };
        for (odd, part) in
            [(gauge, "gauges"), (NativeHistogram { hint: CounterResetHint::NotReset, ..custom }, "kind")]
        {
            let samples = [(990, histogram([0.0; 6])), (1_020, odd)].into_iter().chain(later.clone());
            let source = Fixture::default().native(&LABELS, samples);
            let (_, observation) = after(&source, 1.0, &[1_025, 1_100, 1_190]);
            assert!(observation.obstacle.is_some_and(|found| found.to_string().contains(part)), "{part}");
        }
        let negative = histogram([0.0, 5.0, -1.0, 0.0, 0.0, 0.0]);
        let source = Fixture::default().native(&LABELS, [(990, histogram([0.0; 6])), (1_010, negative)]);
        assert_eq!(after(&source, 1.0, &[1_020]).0.invalid.as_deref(), Some("-1"));
        let beside = steady().series(&[("__name__", "seconds"), ("le", "1")], [(1_000, 1.0)]);
        let (_, observation) = after(&beside, 1.0, &[1_100]);
        assert!(observation.obstacle.is_some_and(|found| found.to_string().contains("floats")));
    }

    #[test]
    fn a_gate_decides_on_native_histograms_as_on_classic_ones() {
        let verdict = |source: &Fixture, limit: f64| {
            let spec = GateSpec::builder("g").check(Check::quantile("p95", "seconds", 0.95).below(limit));
            let mut gate = Gate::new(spec.health(false).build().unwrap());
            let (start, end) = (Timestamp::from_secs(1_000), Timestamp::from_secs(1_190));
            gate.replay(source, start, end, |_| ()).unwrap()
        };
        assert_eq!(verdict(&steady(), 8.0).verdict, Verdict::Pass, "{}", verdict(&steady(), 8.0));
        assert_eq!(verdict(&steady(), 1.0).verdict, Verdict::Fail);
        // A tenth lies above 2, and so does up to a fifth above 1.5.
        assert_eq!(verdict(&steady(), 7.0).reasons[0].code(), "bucket-too-coarse");
        let silent = Fixture::default().native(&LABELS, [(990, histogram([1.0; 6]))]);
        assert_eq!(verdict(&silent, 1.0).verdict, Verdict::Inconclusive);
    }

    #[test]
    fn a_hint_that_contradicts_the_counts_is_not_believed() {
        // A fresh process of which the scrape before is missing: more in all, fewer above.
        let before = histogram([0.0, 90.0, 0.0, 10.0, 0.0, 0.0]);
        let after = NativeHistogram {
            hint: CounterResetHint::NotReset,
            ..histogram([0.0, 200.0, 0.0, 4.0, 0.0, 0.0])
        };
        let source = Fixture::default().native(&LABELS, [(990, before), (1_010, after)]);
        let (tally, _) = after_look(&source);
        assert_eq!((tally.fewest, tally.most, tally.trials, tally.resets), (4.0, 4.0, 204.0, 1));
    }

    fn after_look(source: &Fixture) -> (Tally, Observation) {
        after(source, 1.0, &[1_030])
    }

    #[test]
    fn a_new_process_starts_all_of_its_histograms_again() {
        let of = |path| [LABELS[0], LABELS[1], LABELS[2], ("path", path)];
        let good = |count: f64| histogram([0.0, count, 0.0, 0.0, 0.0, 0.0]);
        let bad = |count: f64| histogram([0.0, 0.0, 0.0, count, 0.0, 0.0]);
        let start = [(980, 900.0), (1_000, 900.0), (1_010, 1_005.0)];
        let source = Fixture::default()
            .native(&of("a"), [(990, good(50.0)), (1_010, good(7.0))])
            .native(&of("b"), [(990, bad(5.0)), (1_010, bad(6.0))])
            .series(&[("__name__", "process_start_time_seconds"), ("instance", "i"), ("job", "j")], start);
        let (tally, _) = after_look(&source);
        assert_eq!((tally.most, tally.trials, tally.resets), (6.0, 13.0, 2));
    }

    #[test]
    fn what_was_before_the_evidence_does_not_spoil_it() {
        let gauge = NativeHistogram { hint: CounterResetHint::Gauge, ..histogram([1.0; 6]) };
        for odd in [gauge, histogram([0.0, 5.0, -1.0, 0.0, 0.0, 0.0])] {
            let later = [(1_010, histogram([9.0; 6])), (1_020, histogram([9.0, 9.0, 9.0, 9.0, 9.0, 10.0]))];
            let source = Fixture::default().native(&LABELS, [(990, odd)].into_iter().chain(later));
            let (tally, observation) = after_look(&source);
            assert_eq!((tally.most, tally.trials, tally.invalid), (1.0, 1.0, None));
            assert!(observation.obstacle.is_none(), "{observation:?}");
        }
    }

    #[test]
    fn a_series_that_only_ends_during_the_evidence_has_no_sample_in_it() {
        let end = NativeHistogram { sum: stale_marker(), ..histogram([0.0; 6]) };
        let source = Fixture::default().native(&LABELS, [(990, histogram([1.0; 6])), (1_010, end)]);
        let between = |after| {
            let (after, until) = (Timestamp::from_secs(after), Timestamp::from_secs(1_100));
            select_between(&source, check(1.0).traffic(), after, until).unwrap().len()
        };
        assert_eq!((between(980), between(1_000)), (1, 0));
    }

    #[test]
    fn buckets_that_hold_more_than_all_are_not_judged() {
        let torn = NativeHistogram { count: 5.0, ..histogram([0.0, 10.0, 0.0, 3.0, 0.0, 0.0]) };
        let source = Fixture::default().native(&LABELS, [(990, histogram([0.0; 6])), (1_010, torn)]);
        let (_, observation) = after_look(&source);
        assert!(observation.obstacle.is_some_and(|found| found.to_string().contains("more observations")));
    }

    #[test]
    fn nothing_is_above_and_below_a_limit() {
        let zeros = NativeHistogram { zero_count: 3.0, count: 3.0, ..NativeHistogram::default() };
        let wide = NativeHistogram { zero_threshold: 4.0, ..histogram([0.0, 0.0, 0.0, 7.0, 0.0, 0.0]) };
        for (histogram, limit) in [(zeros, 0.0), (wide, 3.0)] {
            let above = Above::of(&histogram, limit);
            assert_eq!((above.fewest, above.most, above.all), (0.0, 0.0, histogram.count), "{histogram:?}");
        }
    }

    proptest! {
        /// Whatever is scraped, and however it is laid out, nothing is lost between the counts.
        #[test]
        fn any_histograms_are_counted_without_a_panic(
            scrapes in proptest::collection::vec(
                (
                    prop_oneof![-4..9_i32, Just(-53), Just(i32::MIN), Just(i32::MAX), Just(52)],
                    prop_oneof![Just(0.0), 0.0..9.0_f64, Just(f64::NAN), Just(f64::INFINITY), Just(1e308)],
                    proptest::collection::vec((any::<i32>(), 0..4_u32), 0..4),
                    proptest::collection::vec(
                        prop_oneof![8 => 0.0..9.0_f64, 1 => Just(1e308), 1 => Just(f64::NAN), 1 => -3.0..0.0_f64],
                        0..8,
                    ),
                    prop_oneof![3 => Just(None), 1 => (0.0..90.0_f64).prop_map(Some)],
                    0..4_u8,
                ),
                1..8,
            ),
            limit in prop_oneof![Just(0.0), Just(1.0), -9.0..9.0_f64, Just(1e300)],
        ) {
            let samples: Vec<_> = scrapes
                .into_iter()
                .zip((985..).step_by(10))
                .map(|((schema, zero_threshold, spans, counts, count, hint), second)| {
                    let hints = [
                        CounterResetHint::Unknown,
                        CounterResetHint::Reset,
                        CounterResetHint::NotReset,
                        CounterResetHint::Gauge,
                    ];
                    let sample = NativeHistogram {
                        schema,
                        zero_threshold,
                        count: count.unwrap_or_else(|| counts.iter().sum()),
                        hint: hints[usize::from(hint)],
                        positive_spans: spans.iter().map(|(offset, length)| Buckets { offset: *offset, length: *length }).collect(),
                        positive_buckets: counts.clone(),
                        negative_spans: vec![Buckets { offset: 1, length: 1 }],
                        negative_buckets: vec![0.0],
                        custom_values: if schema == -53 { vec![0.5, 1.0, 4.0] } else { Vec::new() },
                        ..NativeHistogram::default()
                    };
                    (second, sample)
                })
                .collect();
            let (tally, observation) = after(&Fixture::default().native(&LABELS, samples), limit, &[1_020, 1_060]);
            if tally.invalid.is_none() && observation.obstacle.is_none() {
                prop_assert!(0.0 <= tally.fewest && tally.fewest <= tally.most, "{tally:?}");
                prop_assert!(tally.most <= tally.trials * (1.0 + ROUNDING), "{tally:?}");
            }
        }

        /// Counts of adjacent spans add up, whatever was scraped and whenever one looks.
        #[test]
        fn looks_in_between_change_no_count(
            scrapes in proptest::collection::vec((proptest::array::uniform6(0_u32..9), 0..8_u8), 2..20),
            looks in proptest::collection::btree_set(1_001_i64..1_200, 0..6),
            limit in prop_oneof![Just(1.0), Just(1.5), 0.1..9.0_f64],
        ) {
            let mut counts = [0.0; 6];
            let samples: Vec<_> = scrapes
                .iter()
                .zip((985..).step_by(10))
                .map(|((more, restart), second)| {
                    if *restart == 0 {
                        counts = [0.0; 6];
                    }
                    counts.iter_mut().zip(more).for_each(|(count, more)| *count += f64::from(*more));
                    (second, histogram(counts))
                })
                .collect();
            let source = Fixture::default().native(&LABELS, samples);
            let mut looks: Vec<i64> = looks.into_iter().collect();
            looks.push(1_200);
            let (one, several) = (after(&source, limit, &[1_200]).0, after(&source, limit, &looks).0);
            prop_assert_eq!((one.fewest, one.most, one.trials), (several.fewest, several.most, several.trials));
            prop_assert_eq!((one.resets, one.born), (several.resets, several.born));
            prop_assert!(one.fewest <= one.most && one.most <= one.trials);
        }
    }
}
