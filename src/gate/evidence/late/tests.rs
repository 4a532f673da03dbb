use proptest::prelude::*;

use super::*;
use crate::gate::evidence::{Observation, Tally, observe};
use crate::gate::fixture::Fixture;
use crate::gate::round::Round;
use crate::gate::spec::{Check, CheckSpec, GateSpec};
use crate::model::{NativeHistogram, Span as Buckets, stale_marker};

fn check(check: Check) -> CheckSpec {
    let spec = GateSpec::builder("g").check(check).min_requests(1).deadline_ms(1_800_000).build();
    spec.unwrap().checks.remove(0)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

/// Looks at these seconds, at what has come by then; the evidence begins at 1,000.
fn looked(
    spec: &CheckSpec,
    settle_ms: Option<i64>,
    looks: &[i64],
    known: impl Fn(i64) -> Fixture,
) -> (Tally, Observation) {
    let (mut tally, mut last) =
        (Tally::default(), Observation { until: at(1_000), ..Observation::default() });
    for look in looks {
        let span = Span { origin: at(1_000), after: last.until, now: at(*look), settle_ms, waits: true };
        last = observe(spec, &mut tally, span, &Round::new(&known(*look), span.now)).unwrap();
    }
    (tally, last)
}

fn note(observation: &Observation) -> &'static str {
    observation.notes.first().map_or("", Finding::code)
}

/// Two pods that are scraped every 10 s from `first` to 1,400: requests, those of them that failed from `failing` on, classic and
/// native histograms and a gauge. Of each series only what has come by `now`; it comes as late as `late` says, in turns.
fn pods(now: i64, first: i64, failing: i64, late: &[i64]) -> Fixture {
    pods_by([now, now], first, failing, late)
}

/// The same of what had come by another instant of either pod.
fn pods_by(by: [i64; 2], first: i64, failing: i64, late: &[i64]) -> Fixture {
    let known = |turn: usize, first: i64| {
        let (late, now) = (late[turn % late.len()], by[turn / 6]);
        (first..=1_400).step_by(10).filter(move |time| time + late <= now)
    };
    let counter = |turn: usize, first: i64, rate: i64| {
        known(turn, first).map(move |time| (time, ((time - first) * rate + (time * 7) % 10) as f64))
    };
    ["a", "b"].into_iter().enumerate().fold(Fixture::default(), |source, (pod, name)| {
        let labels =
            |metric, more| [("__name__", metric), ("pod", name), ("instance", name), ("job", "j"), more];
        let turn = pod * 6;
        let native = |time: i64| NativeHistogram {
            count: (3 * time) as f64,
            positive_spans: vec![Buckets { offset: 0, length: 2 }],
            positive_buckets: vec![(2 * time) as f64, time as f64],
            ..NativeHistogram::default()
        };
        source
            .series(&labels("all_total", ("code", "200")), counter(turn, first, 5))
            .series(&labels("all_total", ("code", "500")), counter(turn + 1, failing, 2))
            .series(&labels("seconds_bucket", ("le", "0.5")), counter(turn + 2, first, 3))
            .series(&labels("seconds_bucket", ("le", "+Inf")), counter(turn + 3, first, 4))
            .series(
                &labels("memory", ("kind", "heap")),
                known(turn + 4, first).map(|time| (time, time as f64)),
            )
            .native(
                &labels("seconds", ("kind", "native")),
                known(turn + 5, first).map(|time| (time, native(time - first))),
            )
    })
}

/// What is counted, without what depends on when one looks.
fn counts(tally: Tally) -> Tally {
    Tally {
        mixture: None,
        difference: None,
        scatter: Default::default(),
        scatter_of_fewest: None,
        baseline_scatter: Default::default(),
        values: Default::default(),
        reach: None,
        ..tally
    }
}

fn kinds() -> Vec<Check> {
    let of = |pod: &str, more: &str| format!("all_total{{pod=\"{pod}\"{more}}}");
    let side = |pod: &str| (of(pod, ",code=\"500\""), of(pod, ""));
    vec![
        Check::ratio("ratio", "all_total{code=\"500\"}", "all_total").below(0.05),
        Check::comparison("comparison", side("a"), side("b")).within_factor(2.0),
        Check::volume("volume", "all_total").at_least(1.0),
        Check::quantile("classic", "seconds_bucket", 0.9).below(0.5),
        Check::quantile("native", "seconds", 0.9).below(1.0),
        Check::gauge("gauge", "memory{pod=\"a\"}", "memory{pod=\"b\"}").within_factor(1.2),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn each_series_may_come_later_than_is_waited_for_and_nothing_is_lost(
        late in prop::collection::vec(0_i64..49, 1..12),
        mut looks in prop::collection::vec(1_001_i64..1_500, 0..20),
        settle_ms in prop::option::of(0_i64..20_000),
    ) {
        looks.sort_unstable();
        looks.push(1_600);
        let known = |now| pods(now, 940, 940, &late);
        for kind in kinds() {
            let spec = check(kind);
            let (at_once, _) = looked(&spec, settle_ms, &[1_600], known);
            prop_assert!(at_once.trials > 0.0 || at_once.gauges.is_some());
            let (in_turns, _) = looked(&spec, settle_ms, &looks, known);
            prop_assert_eq!(counts(in_turns), counts(at_once), "{}", spec.name);
        }
    }

    #[test]
    fn what_is_new_may_come_late_where_all_does(
        late in 0_i64..49,
        failing in 1_050_i64..1_300,
        mut looks in prop::collection::vec(1_001_i64..1_500, 0..20),
    ) {
        looks.sort_unstable();
        looks.push(1_600);
        let known = |now| pods(now, 940, failing / 10 * 10, &[late]);
        let asked = Check::value("value", "sum(rate(all_total[1m]))").below(1e9);
        for kind in kinds().into_iter().chain([asked]) {
            let spec = check(kind);
            let (at_once, _) = looked(&spec, None, &[1_600], known);
            let (in_turns, _) = looked(&spec, None, &looks, known);
            prop_assert_eq!(counts(in_turns), counts(at_once), "{}", spec.name);
        }
    }
}

#[test]
fn a_series_that_is_behind_is_told_and_once_it_is_stale_not_waited_for() {
    let spec = check(Check::volume("volume", "all_total").at_least(1.0));
    let gone = |now: i64| {
        let counter = |until: i64| (990..=until).step_by(10).map(|time| (time, (time - 990) as f64));
        let labels = |pod| [("__name__", "all_total"), ("pod", pod), ("instance", pod), ("job", "j")];
        Fixture::default().series(&labels("a"), counter(now)).series(&labels("b"), counter(1_050.min(now)))
    };
    let looks: Vec<i64> = (1_010..=1_109).step_by(10).collect();
    let (tally, last) = looked(&spec, Some(0), &looks, gone);
    assert_eq!((tally.trials, last.until, note(&last)), (100.0, at(1_050), "samples-late"));
    let text = last.notes[0].to_string();
    assert_eq!(
        text,
        "of `all_total` the newest sample of {instance=\"b\", job=\"j\", pod=\"b\"} is 50 s behind; counts go no further, so that \
         nothing of it is lost"
    );
    let looks: Vec<i64> = (1_010..=1_110).step_by(10).collect();
    let (tally, last) = looked(&spec, Some(0), &looks, gone);
    assert_eq!((tally.trials, last.until, note(&last)), (160.0, at(1_110), ""));
}

#[test]
fn a_window_of_events_ends_with_what_is_known_where_all_comes_late() {
    let known = |late: i64| {
        move |now: i64| {
            let samples = (900..=1_400).step_by(10).filter(move |time| time + late <= now);
            let labels = [("__name__", "restarts"), ("instance", "i"), ("job", "j")];
            Fixture::default().series(&labels, samples.map(|time| (time, f64::from(u8::from(time >= 1_100)))))
        }
    };
    let spec = check(Check::count("restarts", "restarts", 60_000).at_most(0.0));
    for (late, until, events) in [(0, 1_105, 1.0), (9, 1_090, 0.0), (40, 1_060, 0.0)] {
        let (tally, last) = looked(&spec, None, &[1_105], known(late));
        assert_eq!((last.until, tally.most), (at(until), events), "{late} s late");
    }
    // The event is 35 s old, and has just come.
    let (tally, last) = looked(&spec, None, &[1_145], known(40));
    assert_eq!((last.until, tally.most), (at(1_100), 1.0));
    let (tally, last) = looked(&spec, None, &[1_199], known(40));
    assert_eq!((last.until, tally.most), (at(1_150), 1.0));
    let (tally, last) = looked(&spec, None, &[1_200], known(40));
    assert_eq!((last.until, tally.most), (at(1_160), 0.0));
}

#[test]
fn events_of_a_series_that_is_further_behind_than_the_window_is_long_count() {
    // One event of pod `b` in ten seconds until 1,100 s; they come 50 s late, those of pod `a` at once.
    let known = |now: i64| {
        let counter = |late: i64, each: f64| {
            let every = (900..=1_400).step_by(10).filter(move |time| time + late <= now);
            every.map(move |time| (time, each * (time.min(1_100) - 900) as f64 / 10.0))
        };
        let labels = |pod| [("__name__", "kills_total"), ("pod", pod), ("instance", pod), ("job", "j")];
        Fixture::default().series(&labels("a"), counter(0, 0.0)).series(&labels("b"), counter(50, 1.0))
    };
    let spec = check(Check::count("kills", "kills_total", 30_000).at_most(0.0));
    // They are those of the 30 s before its newest sample, once these are evidence.
    for (look, events) in [(1_050, 0.0), (1_070, 2.0), (1_100, 3.0), (1_150, 3.0), (1_170, 1.0), (1_200, 0.0)]
    {
        let (tally, last) = looked(&spec, None, &[look], known);
        assert_eq!((last.until, tally.most), (at(look), events), "{look}");
    }
}

/// A hundred requests of pod `a` between 1,000 and 1,100 s.
fn requests() -> Fixture {
    let samples = (990..=1_100).step_by(10).map(|time| (time, (time - 990) as f64));
    Fixture::default().series(&pod_a("all_total", "i", "200"), samples)
}

fn pod_a<'a>(name: &'a str, instance: &'a str, code: &'a str) -> [(&'a str, &'a str); 5] {
    [("__name__", name), ("pod", "a"), ("instance", instance), ("job", "j"), ("code", code)]
}

fn ratio(events: &str) -> CheckSpec {
    check(Check::ratio("errors", events, r#"all_total{pod="a"}"#).below(0.05))
}

#[test]
fn requests_count_no_further_than_the_events_among_them_are_there() {
    // Half of the requests are errors that another exporter tells.
    let with_errors = |known: i64| {
        let errors = (990..=known).step_by(10).map(|time| (time, (time - 980) as f64 / 2.0));
        requests().series(&pod_a("errors_total", "i", "500"), errors)
    };
    let spec = ratio(r#"errors_total{pod="a"}"#);
    // Errors come 30 s late, whenever one looks.
    let late = |now: i64| with_errors(now - 30);
    let looks = [1_040, 1_060, 1_090, 1_100];
    for count in 1..=looks.len() {
        let (tally, last) = looked(&spec, Some(0), &looks[..count], late);
        let known = looks[count - 1] - 30;
        assert_eq!((last.until, note(&last)), (at(known), "events-late"));
        assert_eq!((tally.most, tally.trials), ((known - 1_000) as f64 / 2.0, (known - 1_000) as f64));
    }
    // On time, nothing is said.
    let (tally, last) = looked(&spec, Some(0), &[1_100], with_errors);
    assert_eq!((tally.most, tally.trials, note(&last)), (50.0, 100.0, ""));
}

#[test]
fn events_of_a_pod_that_is_gone_are_not_waited_for() {
    let spec = ratio(r#"all_total{pod="a",code="500"}"#);
    let gone = |until: i64| (990..=until).step_by(10).map(|time| (time, (time - 980) as f64));
    // Its requests have ended with its errors.
    let fixture = requests()
        .series(&pod_a("all_total", "gone", "200"), gone(1_050))
        .series(&pod_a("all_total", "gone", "500"), gone(1_050));
    let (tally, last) = looked(&spec, Some(0), &[1_110], |_| fixture.clone());
    assert_eq!((tally.most, tally.trials), (50.0, 200.0));
    assert_eq!((last.until, note(&last)), (at(1_100), ""));
    // Errors that ended by a marker while requests of the same metric go on are no more than none.
    let ended = gone(1_050).chain([(1_060, stale_marker())]);
    let fixture = requests().series(&pod_a("all_total", "i", "500"), ended);
    let (tally, last) = looked(&spec, Some(0), &[1_100], |_| fixture.clone());
    assert_eq!((tally.most, tally.trials, last.obstacle), (50.0, 150.0, None));
}

#[test]
fn what_comes_after_everything_was_cut_off_is_not_lost() {
    // Nothing comes from 1,050 s on, and all of it at once at 1,190 s.
    let known = |now: i64| pods(if now < 1_190 { now.min(1_050) } else { now }, 940, 940, &[0]);
    let looks: Vec<i64> = (1_001..=1_400).step_by(10).collect();
    for kind in kinds() {
        let spec = check(kind);
        let (at_once, _) = looked(&spec, None, &[1_391], known);
        let (in_turns, _) = looked(&spec, None, &looks, known);
        assert_eq!(counts(in_turns), counts(at_once), "{}", spec.name);
    }
}

#[test]
fn what_comes_after_one_side_was_cut_off_is_not_lost() {
    // Of pod `b` nothing comes from 1,050 s on, and all of it at once at 1,190 s.
    let known = |now: i64| pods_by([now, if now < 1_190 { now.min(1_050) } else { now }], 940, 940, &[0]);
    let looks: Vec<i64> = (1_001..=1_400).step_by(10).collect();
    let of_two_sides = |spec: &CheckSpec| matches!(&*spec.name, "comparison" | "gauge");
    for spec in kinds().into_iter().map(check).filter(of_two_sides) {
        let (at_once, _) = looked(&spec, None, &[1_391], known);
        let (in_turns, _) = looked(&spec, None, &looks, known);
        assert_eq!(counts(in_turns), counts(at_once), "{}", spec.name);
    }
}

#[test]
fn the_first_samples_of_all_may_come_late() {
    // The pod started at 1,005 s and is scraped at 1,010 s for the first time; scrapes come 15 s late.
    let known = |now: i64| {
        let every = || (1_010..=now - 15).step_by(10);
        let started = labels_of_pod("process_start_time_seconds");
        Fixture::default()
            .series(&labels_of_pod("all_total"), every().map(|time| (time, (10 * (time - 1_005)) as f64)))
            .series(&started, every().map(|time| (time, 1_005.0)))
    };
    let spec = check(Check::volume("volume", "all_total").at_least(1.0));
    let (tally, last) = looked(&spec, None, &[1_002, 1_012, 1_022, 1_032, 1_042, 1_082], known);
    assert_eq!((last.until, tally.trials), (at(1_060), 550.0));
}

fn labels_of_pod(name: &str) -> [(&str, &str); 4] {
    [("__name__", name), ("pod", "a"), ("instance", "i"), ("job", "j")]
}

#[test]
fn counters_that_ended_before_the_evidence_are_no_events_where_missing_ones_are_none() {
    let gone = |_: i64| {
        let samples = (500..600).step_by(10).map(|time| (time, 7.0)).chain([(600, stale_marker())]);
        Fixture::default().series(&labels_of_pod("kills_total"), samples)
    };
    let kills = || Check::count("kills", "kills_total", 60_000);
    let (tally, last) =
        looked(&check(kills().missing_numerator_is_zero().at_most(0.0)), None, &[1_100], gone);
    assert_eq!((last.until, tally.most, last.obstacle), (at(1_100), 0.0, None));
    let (_, last) = looked(&check(kills().at_most(0.0)), None, &[1_100], gone);
    assert_eq!(last.obstacle.unwrap().code(), "stale");
    // Those that end during the evidence are no silence that is good.
    let ends = |_: i64| {
        let samples = (500..1_020).step_by(10).map(|time| (time, 7.0)).chain([(1_020, stale_marker())]);
        Fixture::default().series(&labels_of_pod("kills_total"), samples)
    };
    let (_, last) = looked(&check(kills().missing_numerator_is_zero().at_most(0.0)), None, &[1_100], ends);
    assert_eq!(last.obstacle.unwrap().code(), "stale");
}

#[test]
fn requests_that_were_counted_do_not_count_again_where_the_source_has_forgotten_them() {
    // Pods that started at 1,005 s; a store in memory that was lost has their scrapes from 1,210 s on.
    let known = |now: i64| {
        let from = if now < 1_205 { 1_010 } else { 1_210 };
        ["a", "b"].into_iter().fold(Fixture::default(), |source, pod| {
            let labels =
                |name, more| [("__name__", name), ("pod", pod), ("instance", pod), ("job", "j"), more];
            let every = || (from..=now).step_by(10);
            let counter = |each: i64| every().map(move |time| (time, (each * (time - 1_005)) as f64));
            let native = |time: i64| NativeHistogram {
                count: (10 * (time - 1_005)) as f64,
                positive_spans: vec![Buckets { offset: 0, length: 1 }],
                positive_buckets: vec![(10 * (time - 1_005)) as f64],
                ..NativeHistogram::default()
            };
            source
                .series(&labels("all_total", ("code", "200")), counter(9))
                .series(&labels("all_total", ("code", "500")), counter(1))
                .series(&labels("seconds_bucket", ("le", "0.5")), counter(9))
                .series(&labels("seconds_bucket", ("le", "+Inf")), counter(10))
                .series(
                    &labels("process_start_time_seconds", ("x", "y")),
                    every().map(|time| (time, 1_005.0)),
                )
                .native(&labels("seconds", ("kind", "native")), every().map(|time| (time, native(time))))
        })
    };
    let looks: Vec<i64> = (1_001..=1_301).step_by(10).collect();
    for spec in kinds().into_iter().map(check).filter(|spec| &*spec.name != "gauge") {
        let (tally, _) = looked(&spec, None, &looks, known);
        let pods = if &*spec.name == "comparison" { 1.0 } else { 2.0 };
        // Those between the last scrape that was known and the first one are not known.
        let all = pods * 10.0 * ((1_200 - 1_005) + (1_290 - 1_210)) as f64;
        assert!(tally.trials <= all && tally.baseline.1 <= all, "{} {tally:?}", spec.name);
        assert!(tally.trials > 0.8 * all, "{} {tally:?}", spec.name);
    }
}
