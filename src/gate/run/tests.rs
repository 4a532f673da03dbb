use super::*;
use crate::gate::fixture::Fixture;
use crate::gate::spec::Check;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

/// Ten requests a second, scraped every 10 s, of which half fail from 1,100 s on; what had arrived by `now`, each scrape `late` seconds
/// after its time.
fn arrived(now: Timestamp, late: i64) -> Fixture {
    let counter = |code, from: i64| {
        let labels = [("__name__", "all_total"), ("code", code), ("instance", "i"), ("job", "j")];
        let times = (990..1_500).step_by(10).filter(move |time| at(time + late) <= now);
        (labels, times.map(move |time| (time, (10 * (time - from).max(0)) as f64)).collect::<Vec<_>>())
    };
    let all = [counter("200", 1_000), counter("500", 1_100)];
    all.into_iter().fold(Fixture::default(), |source, (labels, samples)| source.series(&labels, samples))
}

fn gate() -> Gate {
    let check = Check::ratio("errors", r#"all_total{code="500"}"#, "all_total").below(0.05);
    let spec = GateSpec::builder("g").check(check).deadline_ms(400_000).settle_ms(0);
    Gate::new(spec.min_duration_ms(300_000).build().unwrap())
}

#[test]
fn a_replay_over_data_as_they_were_known_says_what_the_gate_said_then() {
    let late = 330;
    let mut live = gate();
    live.start(at(1_000));
    let mut said = Vec::new();
    while let Some(due) = live.next_due() {
        live.tick(due, &arrived(due, late)).unwrap();
        said.push(live.report());
    }
    let mut again = Vec::new();
    let known = |now| Ok(arrived(now, late));
    let report =
        gate().replay_as_of(known, at(1_000), at(2_000), |report| again.push(report.clone())).unwrap();
    assert_eq!(again, said);
    // Of the failures none had come by the deadline.
    assert_eq!((report.verdict, report.reasons[0].code()), (Verdict::Inconclusive, "stale"), "{report}");
    let today = gate().replay(&arrived(at(9_000), late), at(1_000), at(2_000), |_| ()).unwrap();
    assert_eq!(today.verdict, Verdict::Fail, "with all that is known today it is seen");
    // A minute and a half after its time no scrape is news, and failures are failures.
    let known = |now| Ok(arrived(now, 90));
    let report = gate().replay_as_of(known, at(1_000), at(2_000), |_| ()).unwrap();
    assert_eq!(report.verdict, Verdict::Fail);
    assert!(today.at < report.at, "{report}");
}

#[test]
fn what_was_known_may_fail_to_come() {
    let known = |now| match now {
        now if now < at(1_050) => Ok(arrived(now, 0)),
        _ => Err(Error::new(ErrorKind::Io, "the archive is gone")),
    };
    let mut gate = gate();
    assert_eq!(gate.replay_as_of(known, at(1_000), at(2_000), |_| ()).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(gate.report().at, Some(at(1_040)));
}
