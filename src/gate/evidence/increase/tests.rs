use proptest::prelude::*;

use super::super::series::load;
use super::*;
use crate::gate::fixture::Fixture;
use crate::gate::spec::Selector;
use crate::model::stale_marker;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

fn selector(name: &str) -> Selector {
    Selector::of(vec![Matcher::equal("__name__", name)])
}

/// Counts a selector over `(after, until]` in one go.
fn count_selector(
    source: &dyn Source,
    selector: &Selector,
    origin: Timestamp,
    after: Timestamp,
    until: Timestamp,
) -> Result<Counted> {
    let loaded = load(source, selector, after, until)?;
    let fallen = Fallen::of(&loaded.series);
    count(&loaded, &loaded.series, until, &[], (&fallen, &mut Births::new(source, origin, until)))
}

fn counted(fixture: &Fixture, origin: i64, after: i64, until: i64) -> Counted {
    count_selector(fixture, &selector("c"), at(origin), at(after), at(until)).unwrap()
}

#[test]
fn the_base_is_the_newest_sample_before_however_old() {
    let fixture = Fixture::default().series(&[("__name__", "c")], [(10, 5.0), (5_000, 7.0), (5_010, 9.0)]);
    assert_eq!(counted(&fixture, 4_000, 4_000, 5_010).amount, 4.0);
    assert_eq!(counted(&fixture, 5_000, 5_000, 5_010).amount, 2.0);
    assert_eq!(counted(&fixture, 5_010, 5_010, 9_000).amount, 0.0);
}

#[test]
fn a_drop_is_a_reset_and_the_new_value_counts_in_full() {
    let fixture =
        Fixture::default().series(&[("__name__", "c")], [(10, 5.0), (20, 8.0), (30, 2.0), (40, 3.0)]);
    let found = counted(&fixture, 10, 10, 40);
    assert_eq!((found.amount, found.resets), (6.0, 1));
}

#[test]
fn staleness_markers_are_no_samples() {
    let fixture =
        Fixture::default().series(&[("__name__", "c")], [(10, 5.0), (20, stale_marker()), (30, 6.0)]);
    assert_eq!(counted(&fixture, 10, 10, 30).amount, 1.0);
    assert_eq!(counted(&fixture, 20, 20, 30).amount, 1.0);
}

#[test]
fn values_that_no_counter_has_are_told() {
    for bad in [f64::NAN, f64::INFINITY, -1.0] {
        let fixture = Fixture::default().series(&[("__name__", "c")], [(10, 5.0), (20, bad), (30, 6.0)]);
        let found = counted(&fixture, 10, 10, 30);
        assert!(found.invalid.is_some() && found.amount == 1.0, "{bad}");
    }
}

#[test]
fn a_base_that_no_counter_has_is_no_base() {
    // A sample that was NaN, infinite or negative before the start made an idle canary's count NaN, its whole history,
    // or too large, and a volume check passed on it.
    for bad in [f64::NAN, f64::INFINITY, -5_000.0] {
        let fixture = Fixture::default()
            .series(&[("__name__", "c")], [(10, bad), (20, 100.0), (30, 100.0), (40, 103.0)]);
        let found = counted(&fixture, 10, 10, 40);
        assert_eq!((found.amount, found.invalid), (3.0, None), "{bad}");
    }
}

#[test]
fn a_counter_that_has_grown_past_its_value_before_a_restart_counts_in_full() {
    // Twenty errors before a restart and twenty since looked like none, while the requests were seen to restart: a
    // canary with a fifth of its requests failing passed.
    let with = |name, code| [("__name__", name), ("code", code), ("instance", "i"), ("job", "j")];
    let world = |starts: [f64; 3]| {
        Fixture::default()
            .series(&with("c", "200"), [(10, 900.0), (20, 60.0), (30, 80.0)])
            .series(&with("c", "500"), [(10, 20.0), (20, 20.0), (30, 21.0)])
            .series(&with(PROCESS_START, ""), [10, 20, 30].into_iter().zip(starts))
    };
    let found = counted(&world([2.0, 15.0, 15.0]), 10, 10, 30);
    assert_eq!((found.amount, found.resets), (80.0 + 21.0, 2));
    // The same process: one counter was removed and made anew, the other went on.
    assert_eq!(counted(&world([2.0, 2.0, 2.0]), 10, 10, 30).amount, 80.0 + 1.0);
    // A new process whose counters all went on counts for others.
    let keeps = Fixture::default()
        .series(&with("c", "200"), [(10, 900.0), (20, 960.0)])
        .series(&with(PROCESS_START, ""), [(10, 2.0), (20, 15.0)]);
    assert_eq!(counted(&keeps, 10, 10, 20).amount, 60.0);
}

#[test]
fn the_first_sample_of_a_series_on_a_known_target_counts_in_full() {
    let target = [("instance", "i"), ("job", "j")];
    let with = |name| [("__name__", name), target[0], target[1]];
    let known =
        Fixture::default().series(&with("other"), [(5, 1.0)]).series(&with("c"), [(20, 3.0), (30, 4.0)]);
    let found = counted(&known, 10, 10, 30);
    assert_eq!((found.amount, found.born, found.born_amount), (4.0, 1, 3.0));
    // Series of the scraper exist before the target answers.
    let down = Fixture::default().series(&with("up"), [(5, 0.0)]).series(&with("c"), [(20, 3.0), (30, 4.0)]);
    assert_eq!(counted(&down, 10, 10, 30).amount, 1.0);
}

#[test]
fn the_first_sample_of_a_new_target_counts_if_its_process_started_inside() {
    let with = |name| [("__name__", name), ("instance", "i"), ("job", "j")];
    let target = |start: f64| {
        Fixture::default()
            .series(&with(PROCESS_START), [(20, start), (30, start)])
            .series(&with("c"), [(20, 3.0), (30, 4.0)])
    };
    assert_eq!(counted(&target(15.0), 10, 10, 30).amount, 4.0);
    assert_eq!(counted(&target(8.0), 10, 10, 30).amount, 1.0);
}

#[test]
fn a_process_that_started_after_the_first_sample_does_not_make_it_count() {
    let with = |name| [("__name__", name), ("instance", "i"), ("job", "j")];
    let fixture = Fixture::default()
        .series(&with(PROCESS_START), [(20, 8.0), (30, 25.0)])
        .series(&with("c"), [(20, 300.0), (30, 4.0)]);
    assert_eq!(counted(&fixture, 10, 10, 30).amount, 4.0);
}

#[test]
fn created_timestamps_tell_resets_and_births() {
    let point = |seconds: i64, value, start: i64| Point { time: seconds * 1000, value, start: start * 1000 };
    let series = |base, points| LoadedSeries {
        labels: Labels::from_pairs([("__name__", "c"), ("instance", "i"), ("job", "j")]),
        base,
        points,
        newest: None,
        histograms: Vec::new(),
    };
    // It has grown past its old value, and says that it is new.
    let restarted = series(Some(point(10, 5.0, 1)), vec![point(20, 8.0, 15), point(30, 9.0, 15)]);
    let found = increase(&restarted, at(30), false, &BTreeSet::new());
    assert_eq!((found.amount, found.resets), (9.0, 1));
    // A target that delivered before: only the series itself knows that it is older than the evidence.
    let source =
        Fixture::default().series(&[("__name__", "other"), ("instance", "i"), ("job", "j")], [(5, 1.0)]);
    let mut births = Births::new(&source, at(10), at(30));
    for (start, counts) in [(0, true), (9, false), (10, false), (11, true)] {
        let born = series(None, vec![point(20, 3.0, start)]);
        assert_eq!(births.counts_first(&born, &[], &[]).unwrap(), counts, "{start}");
    }
}

#[test]
fn a_new_series_beside_an_older_one_of_another_class_counts_in_full() {
    let fixture = Fixture::default()
        .series(&[("__name__", "c"), ("code", "200")], [(5, 1.0), (30, 2.0)])
        .series(&[("__name__", "c"), ("code", "500")], [(20, 3.0), (30, 3.0)]);
    let loaded = load(&fixture, &selector("c"), at(10), at(30)).unwrap();
    let mut births = Births::new(&fixture, at(10), at(30));
    let fallen = Fallen::of(&loaded.series);
    let with = count(&loaded, &loaded.series, at(30), &["code"], (&fallen, &mut births)).unwrap();
    assert_eq!(with.amount, 4.0);
    let without = count(&loaded, &loaded.series, at(30), &[], (&fallen, &mut births)).unwrap();
    assert_eq!(without.amount, 1.0);
}

proptest! {
    /// What is counted does not depend on when one looked.
    #[test]
    fn counts_of_adjacent_spans_add_up(
        steps in prop::collection::vec((1_i64..30, prop_oneof![4 => 0_i64..9, 1 => -20_i64..0]), 1..40),
        cuts in prop::collection::btree_set(0_i64..700, 0..8),
        born in any::<bool>(),
        origin in 0_i64..200,
    ) {
        let (mut time, mut value) = (if born { origin + 5 } else { 1 }, 3_i64);
        let mut samples = vec![(time, 3.0)];
        for (gap, change) in steps {
            time += gap;
            value = if value + change < 0 { 0 } else { value + change };
            samples.push((time, value as f64));
        }
        let with = |name| [("__name__", name), ("instance", "i")];
        let fixture = Fixture::default().series(&with("other"), [(0, 1.0)]).series(&with("c"), samples);
        let whole = counted(&fixture, origin, origin, 1_000);
        let mut after = origin;
        let mut sum = 0.0;
        for until in cuts.into_iter().filter(|cut| *cut > origin).chain([1_000]) {
            sum += counted(&fixture, origin, after, until).amount;
            after = until;
        }
        prop_assert_eq!(sum, whole.amount);
    }
}
