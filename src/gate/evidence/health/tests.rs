use super::*;
use crate::gate::fixture::Fixture;
use crate::model::stale_marker;

const HOUR: i64 = 3_600;

fn up(pod: &str) -> [(&str, &str); 4] {
    [("__name__", "up"), ("instance", pod), ("job", "pods"), ("pod", pod)]
}

fn start(pod: &str) -> [(&str, &str); 4] {
    [("__name__", PROCESS_START), ("instance", pod), ("job", "pods"), ("pod", pod)]
}

fn every_10s(from: i64, to: i64, value: impl Fn(i64) -> f64) -> Vec<(i64, f64)> {
    (from..=to).step_by(10).map(|time| (time, value(time))).collect()
}

/// Health of pod `a`, selected by its label, beside a healthy pod `b`, over 300 s.
fn health(up_of_a: Vec<(i64, f64)>, start_of_a: Vec<(i64, f64)>) -> Health {
    let fixture = Fixture::default()
        .series(&up("a"), up_of_a)
        .series(&start("a"), start_of_a)
        .series(&up("b"), every_10s(HOUR, HOUR + 300, |_| 1.0));
    let selector = Selector::of(vec![Matcher::equal("__name__", "c"), Matcher::equal("pod", "a")]);
    let labels = [Labels::from_pairs([("__name__", "c"), ("instance", "a"), ("job", "pods"), ("pod", "a")])];
    let (origin, now) = (Timestamp::from_secs(HOUR), Timestamp::from_secs(HOUR + 300));
    observe_health(&[(&selector, &labels, false)], origin, now, &Round::new(&fixture, now)).unwrap()
}

fn always_up() -> Vec<(i64, f64)> {
    every_10s(HOUR, HOUR + 300, |_| 1.0)
}

/// Start times of a process that dies at these seconds of the run.
fn dies(at: &[i64]) -> Vec<(i64, f64)> {
    every_10s(HOUR, HOUR + 300, |time| {
        let started = at.iter().rev().find(|death| HOUR + **death <= time).map_or(-600, |death| *death);
        (HOUR + started) as f64
    })
}

fn codes(health: &Health) -> Vec<&str> {
    health.findings.iter().map(|(_, finding)| finding.code()).collect()
}

#[test]
fn a_target_that_answers_is_alive() {
    let health = health(always_up(), dies(&[]));
    assert_eq!((health.state, codes(&health)), (HealthState::Alive, vec![]));
}

#[test]
fn one_restart_is_doubtful_for_a_minute_and_two_are_dying() {
    assert_eq!(codes(&health(always_up(), dies(&[270]))), ["target-restarted"]);
    assert_eq!(health(always_up(), dies(&[270])).state, HealthState::Doubtful);
    assert_eq!(health(always_up(), dies(&[200])).state, HealthState::Alive);
    let twice = health(always_up(), dies(&[100, 200]));
    assert_eq!((twice.state, codes(&twice)), (HealthState::Dying, vec!["target-restarting"]));
}

#[test]
fn a_restart_before_the_evidence_does_not_count() {
    assert_eq!(health(always_up(), dies(&[0])).state, HealthState::Alive);
}

#[test]
fn a_target_that_misses_scrapes_or_is_down_is_absent() {
    let missing = |from: i64, to: i64| {
        every_10s(HOUR, HOUR + 300, |time| f64::from(u8::from(!(HOUR + from..HOUR + to).contains(&time))))
    };
    assert_eq!(codes(&health(missing(100, 200), dies(&[]))), ["target-absent"]);
    assert_eq!(codes(&health(missing(100, 120), dies(&[]))), Vec::<&str>::new());
    // Down at the end counts at once.
    assert_eq!(codes(&health(missing(300, 301), dies(&[]))), ["target-absent"]);
    // Scrapes that are not there at all.
    let gap = always_up().into_iter().filter(|(time, _)| !(HOUR + 100..HOUR + 200).contains(time)).collect();
    assert_eq!(codes(&health(gap, dies(&[]))), ["target-absent"]);
    // A scrape here and there that came too late for its turn.
    let late = always_up().into_iter().filter(|(time, _)| time % 50 != 20).collect();
    assert_eq!(codes(&health(late, dies(&[]))), Vec::<&str>::new());
    let ended = every_10s(HOUR, HOUR + 280, |time| if time == HOUR + 280 { stale_marker() } else { 1.0 });
    assert_eq!(codes(&health(ended, dies(&[]))), ["target-absent"]);
}

/// A Collector at `x` that carries series of pods `a` and `b` and was away for half the time.
fn exporter(pods: &[&str]) -> Health {
    let mut fixture = Fixture::default().series(&up("a"), always_up()).series(&up("b"), always_up()).series(
        &up("x"),
        every_10s(HOUR, HOUR + 300, |time| f64::from(u8::from(!(HOUR + 50..HOUR + 200).contains(&time)))),
    );
    let span =
        |pod| Labels::from_pairs([("__name__", "spans"), ("instance", "x"), ("job", "spans"), ("of", pod)]);
    for pod in pods {
        fixture = fixture.series(
            &[("__name__", "spans"), ("instance", "x"), ("job", "spans"), ("of", pod)],
            every_10s(HOUR, HOUR + 300, |_| 1.0),
        );
    }
    let selector = Selector::of(vec![Matcher::equal("__name__", "spans"), Matcher::equal("of", "a")]);
    let (origin, now) = (Timestamp::from_secs(HOUR), Timestamp::from_secs(HOUR + 300));
    observe_health(&[(&selector, &[span("a")], false)], origin, now, &Round::new(&fixture, now)).unwrap()
}

#[test]
fn a_messenger_that_carries_several_pods_is_told_and_decides_nothing() {
    let health = exporter(&["a", "b"]);
    assert_eq!(health.state, HealthState::Alive);
    assert_eq!(health.notes.iter().map(Finding::code).collect::<Vec<_>>(), ["exporter-restarted"]);
}

#[test]
fn a_target_that_carries_one_pod_is_taken_for_the_pod() {
    assert_eq!(exporter(&["a"]).state, HealthState::Doubtful);
}

#[test]
fn without_start_times_counters_that_reset_together_tell_a_restart() {
    let labels = |name| [("__name__", name), ("instance", "a"), ("job", "pods")];
    let grows = |resets: &'static [i64]| {
        every_10s(HOUR, HOUR + 300, move |time| {
            let since = resets
                .iter()
                .rev()
                .find(|reset| HOUR + **reset <= time)
                .map_or(HOUR - 600, |reset| HOUR + reset);
            (time - since) as f64
        })
    };
    let of = |first: &'static [i64], second: &'static [i64]| {
        let fixture = Fixture::default()
            .series(&labels("up"), always_up())
            .series(&labels("a_total"), grows(first))
            .series(&labels("b_total"), grows(second));
        let selector = Selector::of(vec![Matcher::equal("__name__", "a_total")]);
        let selected = [Labels::from_pairs(labels("a_total"))];
        let (origin, now) = (Timestamp::from_secs(HOUR), Timestamp::from_secs(HOUR + 300));
        observe_health(&[(&selector, &selected, false)], origin, now, &Round::new(&fixture, now))
            .unwrap()
            .state
    };
    assert_eq!(of(&[100, 200], &[100, 200]), HealthState::Dying);
    assert_eq!(of(&[100, 200], &[]), HealthState::Alive);
}

#[test]
fn one_restart_that_two_jobs_saw_is_one() {
    // Scraped through two jobs at different moments, a pod that restarted once was said to keep dying, and failed.
    let shifted = |samples: Vec<(i64, f64)>| samples.into_iter().map(|(time, value)| (time + 4, value));
    let fixture = Fixture::default().series(&up("a"), always_up()).series(&start("a"), dies(&[100])).series(
        &[("__name__", PROCESS_START), ("instance", "a"), ("job", "again"), ("pod", "a")],
        shifted(dies(&[97])),
    );
    let selector = Selector::of(vec![Matcher::equal("__name__", "c"), Matcher::equal("pod", "a")]);
    let labels = [Labels::from_pairs([("__name__", "c"), ("instance", "a"), ("job", "pods"), ("pod", "a")])];
    let (origin, now) = (Timestamp::from_secs(HOUR), Timestamp::from_secs(HOUR + 300));
    let health =
        observe_health(&[(&selector, &labels, false)], origin, now, &Round::new(&fixture, now)).unwrap();
    assert_eq!((health.state, codes(&health)), (HealthState::Alive, vec![]));
}

/// Pod `a` of a canary answers; pod `b`, discovered with the labels that are given, is down and serves what is given.
fn beside_a_pod_that_is_down(labels_of_b: &[(&str, &str)], served_by_b: Option<&str>) -> Health {
    let pod = |name, instance, version| {
        [("__name__", name), ("instance", instance), ("job", "pods"), ("version", version)]
    };
    let down = every_10s(HOUR - 100, HOUR + 300, |_| 0.0);
    let mut fixture = Fixture::default()
        .series(&pod("up", "a", "canary"), always_up())
        .series(&pod("up", "s", "stable"), always_up())
        .series(labels_of_b, down.clone());
    if let Some(version) = served_by_b {
        fixture = fixture.series(&pod("c", "b", version), down);
    }
    let selector = Selector::of(vec![
        Matcher::equal("__name__", "c"),
        Matcher::equal("version", "canary"),
        Matcher::equal("endpoint", "/"),
    ]);
    let labels = [Labels::from_pairs(pod("c", "a", "canary"))];
    let (origin, now) = (Timestamp::from_secs(HOUR), Timestamp::from_secs(HOUR + 300));
    observe_health(&[(&selector, &labels, false)], origin, now, &Round::new(&fixture, now)).unwrap()
}

#[test]
fn a_pod_of_the_canary_that_never_came_up_is_absent() {
    // It had no series that a check selects, so nobody looked at it: with half its pods refusing every connection the
    // canary passed.
    let b = |version, job| [("__name__", "up"), ("instance", "b"), ("job", job), ("version", version)];
    let dead = beside_a_pod_that_is_down(&b("canary", "pods"), None);
    assert_eq!((dead.state, codes(&dead)), (HealthState::Doubtful, vec!["target-absent"]));
    // Neither the stable version's pod nor another program is the canary.
    for other in [b("stable", "pods"), b("canary", "databases")] {
        assert_eq!(beside_a_pod_that_is_down(&other, None).state, HealthState::Alive);
    }
    // The labels of targets do not tell the versions apart where one of them serves another.
    assert_eq!(beside_a_pod_that_is_down(&b("canary", "pods"), Some("stable")).state, HealthState::Alive);
}

/// A canary of the pods `a` and `b`; until which second of the run each is in service, none to the end.
fn removed(ends: [(&'static str, Option<i64>); 2]) -> Health {
    let mut fixture = Fixture::default();
    for (pod, end) in ends {
        let samples = always_up().into_iter().filter_map(|(time, value)| match end.map(|end| HOUR + end) {
            Some(end) if time == end => Some((time, stale_marker())),
            Some(end) if time > end => None,
            _ => Some((time, value)),
        });
        fixture = fixture.series(&up(pod), samples);
    }
    let selector = Selector::of(vec![Matcher::equal("__name__", "c")]);
    let labels =
        ["a", "b"].map(|pod| Labels::from_pairs([("__name__", "c"), ("instance", pod), ("job", "pods")]));
    let (origin, now) = (Timestamp::from_secs(HOUR), Timestamp::from_secs(HOUR + 300));
    observe_health(&[(&selector, &labels, false)], origin, now, &Round::new(&fixture, now)).unwrap()
}

#[test]
fn a_pod_taken_out_of_service_matters_for_a_minute_or_if_it_was_the_last() {
    let state = |a, b| removed([("a", a), ("b", b)]).state;
    assert_eq!(state(None, Some(280)), HealthState::Doubtful);
    assert_eq!(state(None, Some(240)), HealthState::Alive);
    assert_eq!(state(Some(240), Some(200)), HealthState::Doubtful);
}

#[test]
fn a_pod_whose_series_name_other_pods_still_speaks_for_itself() {
    // Taken for a messenger of the peers that it counts requests to, nobody would see it die.
    let mut fixture = Fixture::default().series(&up("a"), always_up()).series(&start("a"), dies(&[100, 200]));
    let series = |peer| [("__name__", "c"), ("instance", "a"), ("job", "pods"), ("pod", "a"), ("peer", peer)];
    for peer in ["b", "d"] {
        fixture = fixture.series(&up(peer), always_up()).series(&series(peer), always_up());
    }
    let selector = Selector::of(vec![
        Matcher::equal("__name__", "c"),
        Matcher::equal("pod", "a"),
        Matcher::equal("peer", "b"),
    ]);
    let labels = [Labels::from_pairs(series("b"))];
    let (origin, now) = (Timestamp::from_secs(HOUR), Timestamp::from_secs(HOUR + 300));
    assert_eq!(
        observe_health(&[(&selector, &labels, false)], origin, now, &Round::new(&fixture, now))
            .unwrap()
            .state,
        HealthState::Dying
    );
}
