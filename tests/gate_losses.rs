//! A controller that dies and comes back: what its store may have lost never passes a gate.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test works with folders and stops at what is wrong"
)]

use std::path::Path;

use promgate::argo::{AnalysisTemplate, Profile};
use promgate::{
    Check, Gate, GateSpec, Labels, Limits, Lost, Report, Sample, Source, Store, StoreOptions, Timestamp,
    Verdict, Window,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

/// Scrapes a canary that answers one request a second without an error, every 10 s.
fn scrape(store: &Store, seconds: impl IntoIterator<Item = i64>) {
    for second in seconds {
        let mut appender = store.appender();
        for (code, count) in [("200", second as f64), ("500", 0.0)] {
            let labels = Labels::from_pairs([("__name__", "all_total"), ("code", code), ("instance", "i")]);
            appender.append(&labels, Sample::float(at(second), count)).unwrap();
        }
        appender.commit().unwrap();
    }
}

fn run(mut gate: Gate, source: &dyn Source, start: i64) -> Report {
    gate.start(at(start));
    while let Some(due) = gate.next_due() {
        gate.tick(due, source).unwrap();
    }
    gate.report()
}

fn native(source: &dyn Source, start: i64) -> Report {
    let spec = GateSpec::builder("checkout")
        .check(Check::ratio("errors", r#"all_total{code="500"}"#, "all_total").below(0.05))
        .deadline_ms(200_000)
        .build()
        .unwrap();
    run(Gate::new(spec), source, start)
}

fn strict(source: &dyn Source, start: i64) -> Report {
    let template = AnalysisTemplate::from_yaml(
        "kind: AnalysisTemplate\nmetadata: {name: t}\nspec:\n  metrics: [{name: m, count: 3, interval: 10s, \
         successCondition: 'result[0] >= 0', provider: {prometheus: {query: 'sum(rate(all_total[1m]))'}}}]\n",
    )
    .unwrap();
    run(Gate::from_argo(&template[0], &[], Profile::V1_10).unwrap(), source, start)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.metadata().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A store in `folder` as a process leaves it that is killed after these scrapes.
fn killed(folder: &Path, seconds: impl IntoIterator<Item = i64>) {
    let living = tempfile::tempdir().unwrap();
    let store = Store::open(living.path(), StoreOptions::new()).unwrap();
    scrape(&store, seconds);
    copy(living.path(), folder);
}

#[test]
fn an_unclean_end_inside_the_window_is_inconclusive_until_the_window_has_moved_past() {
    let folder = tempfile::tempdir().unwrap();
    killed(folder.path(), (0..=1_000).step_by(10));
    let store = Store::open(folder.path(), StoreOptions::new()).unwrap();
    assert!(store.open_report().unwrap().unclean);
    let open = store.losses();
    assert_eq!(
        (open.len(), open[1].why, open[1].from, open[1].until),
        (2, Lost::UncleanEnd, at(1_000), Timestamp::MAX)
    );
    // Another series may have had a sample at the instant of the newest.
    assert_eq!((open[0].from, open[0].until), (at(1_000).minus_millis(1), at(1_000)));
    scrape(&store, (1_030..=1_600).step_by(10));
    assert_eq!(
        (store.losses().len(), store.losses()[0].until),
        (1, at(1_030)),
        "the first batch says how far"
    );

    for report in [native(&store.snapshot(), 950), strict(&store.snapshot(), 1_010)] {
        assert_eq!(report.verdict, Verdict::Inconclusive, "{report}");
        assert!(report.reasons.iter().any(|reason| reason.code() == "unclean-start"), "{report}");
    }
    let told = native(&store.snapshot(), 950).because();
    assert!(told.contains("after 999.999 s up to 1030 s may be missing: the store was not closed"), "{told}");
    // Before the loss, and once the window has moved past it.
    assert_eq!(native(&store.snapshot(), 700).verdict, Verdict::Pass);
    assert_eq!(native(&store.snapshot(), 1_030).verdict, Verdict::Pass);
    assert_eq!(native(&store.snapshot(), 1_100).verdict, Verdict::Pass);
    assert_eq!(strict(&store.snapshot(), 1_090).verdict, Verdict::Pass);

    // The record outlives a good end, and does not come back once it is acknowledged.
    store.close().unwrap();
    drop(store);
    let store = Store::open(folder.path(), StoreOptions::new()).unwrap();
    assert_eq!((store.losses().len(), store.losses()[0].until), (1, at(1_030)));
    let before = store.snapshot();
    assert_eq!(native(&before, 950).verdict, Verdict::Inconclusive);
    store.acknowledge_losses(at(1_030)).unwrap();
    assert_eq!(native(&store.snapshot(), 950).verdict, Verdict::Pass);
    assert_eq!(native(&before, 950).verdict, Verdict::Inconclusive, "a snapshot always answers the same");
    store.close().unwrap();
    // A snapshot keeps its store.
    drop((before, store));
    let store = Store::open(folder.path(), StoreOptions::new()).unwrap();
    assert_eq!(native(&store.snapshot(), 950).verdict, Verdict::Pass);
}

#[test]
fn a_loss_whose_end_was_not_published_ends_with_the_same_batch_after_another_kill() {
    let folder = tempfile::tempdir().unwrap();
    killed(folder.path(), (0..=1_000).step_by(10));
    let again = tempfile::tempdir().unwrap();
    {
        let store = Store::open(folder.path(), StoreOptions::new()).unwrap();
        scrape(&store, (1_030..=1_100).step_by(10));
        copy(folder.path(), again.path());
    }
    let store = Store::open(again.path(), StoreOptions::new()).unwrap();
    let ranges: Vec<_> = store.losses().iter().map(|loss| (loss.from, loss.until)).collect();
    let before = |seconds| at(seconds).minus_millis(1);
    let last = [(before(1_100), at(1_100)), (at(1_100), Timestamp::MAX)];
    assert_eq!((ranges[0], &ranges[1..]), ((before(1_000), at(1_030)), &last[..]));
}

#[test]
fn a_reader_beside_a_writer_sees_no_unclean_end_where_the_writer_is_at_work() {
    let folder = tempfile::tempdir().unwrap();
    let writer = Store::open(folder.path(), StoreOptions::new()).unwrap();
    scrape(&writer, (0..=500).step_by(10));
    let reader = Store::open_read_only(folder.path(), StoreOptions::new()).unwrap();
    assert!(reader.losses().is_empty(), "{:?}", reader.losses());
    scrape(&writer, (510..=1_000).step_by(10));
    reader.refresh().unwrap();
    assert_eq!(native(&reader.snapshot(), 700).verdict, Verdict::Pass);
    assert!(reader.losses().is_empty());
}

#[test]
fn a_store_that_was_closed_has_not_failed() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), StoreOptions::new()).unwrap();
    scrape(&store, (0..=1_000).step_by(10));
    store.close().unwrap();
    assert!(store.snapshot().losses(Window::ALL).is_empty());
    assert_eq!(native(&store.snapshot(), 700).verdict, Verdict::Pass);
}

#[test]
fn series_that_a_limit_keeps_out_do_not_pass_for_series_that_are_not_there() {
    // The errors' series would be the second.
    let mut limits = Limits::default();
    limits.series = 1;
    let store = Store::in_memory(StoreOptions::new().limits(limits));
    scrape(&store, (0..=1_000).step_by(10));
    let report = native(&store.snapshot(), 700);
    assert_eq!(
        (report.verdict, report.reasons[0].code()),
        (Verdict::Inconclusive, "limit-exceeded"),
        "{report}"
    );
}
