use super::*;
use crate::gate::judge::{Judged, Rules};
use crate::gate::spec::Check;
use crate::model::Timestamp;

fn spec(low_traffic_fails: bool) -> GateSpec {
    GateSpec::builder("g")
        .check(Check::ratio("errors", "bad", "all").below(0.05))
        .check(Check::volume("traffic", "all").at_least(1.0))
        .check(Check::ratio("trial", "bad", "all").below(0.01).dry_run())
        .low_traffic_fails(low_traffic_fails)
        .build()
        .unwrap()
}

fn check(verdict: Verdict) -> CheckState {
    let (severity, finding) = match verdict {
        Verdict::Pass => (Severity::Pass, Finding::EnoughTraffic { requests: 9.0, seconds: 9.0, rate: 1.0 }),
        Verdict::Fail => (Severity::Fail, Finding::DryRun { verdict }),
        Verdict::Inconclusive => (
            Severity::Inconclusive,
            Finding::NotEnoughRequests {
                have: 1.0,
                need: 9.0,
                seconds: Some(9.0),
                rate: 0.1,
                eta_seconds: None,
            },
        ),
    };
    let judged = Judged { verdict, said: vec![Said::found(severity, finding)] };
    CheckState { judged: Some(judged), ..CheckState::default() }
}

fn checks(errors: Verdict, traffic: Verdict, trial: Verdict) -> Vec<CheckState> {
    [errors, traffic, trial].map(check).to_vec()
}

/// What a gate that has come to this tells.
fn told(
    spec: &GateSpec,
    checks: &[CheckState],
    Combined { verdict, settled, own, low_traffic }: Combined,
) -> Vec<Reason> {
    let rules = Rules::of(spec, None);
    let reports: Vec<CheckReport> = spec
        .checks
        .iter()
        .zip(checks)
        .filter_map(|(check, state)| state.report(check, Timestamp::from_secs(0), rules))
        .collect();
    reasons(spec, &Standing { verdict, settled, own, low_traffic, ..Standing::default() }, &reports)
}

const OLD: i64 = 3_600_000;

/// The start of a gate of this age, and now.
fn aged(age_ms: i64) -> (Timestamp, Timestamp) {
    (Timestamp::from_secs(0), Timestamp::from_millis(age_ms))
}

use Verdict::{Fail, Inconclusive, Pass};

fn verdict(checks: &[CheckState], health: &Health, age_ms: i64) -> (Verdict, bool) {
    let combined = combine(&spec(false), checks, health, aged(age_ms), None);
    (combined.verdict, combined.settled)
}

#[test]
fn a_check_that_was_changed_has_to_be_as_old_as_a_gate_that_passes() {
    let mut all = checks(Pass, Pass, Pass);
    let passes = |all: &[CheckState]| verdict(all, &Health::default(), OLD).0 == Pass;
    let began = |before_ms| Some(Timestamp::from_millis(OLD - before_ms));
    for (before_ms, expected) in [(59_999, false), (60_000, true)] {
        all[0].began = began(before_ms);
        assert_eq!(passes(&all), expected);
        all[0].began = None;
    }
    // One in dry run decides nothing.
    all[2].began = began(0);
    assert!(passes(&all));
}

#[test]
fn all_deciding_checks_must_pass_and_any_failure_fails() {
    let alive = Health::default();
    assert_eq!(verdict(&checks(Pass, Pass, Pass), &alive, OLD), (Pass, true));
    assert_eq!(verdict(&checks(Pass, Pass, Fail), &alive, OLD), (Pass, true));
    assert_eq!(verdict(&checks(Fail, Inconclusive, Pass), &alive, 0), (Fail, true));
    assert_eq!(verdict(&checks(Inconclusive, Pass, Pass), &alive, OLD), (Inconclusive, false));
    assert_eq!(verdict(&checks(Pass, Inconclusive, Pass), &alive, OLD), (Inconclusive, false));
    assert_eq!(verdict(&[], &alive, OLD), (Inconclusive, false));
}

#[test]
fn nothing_passes_before_the_least_duration() {
    let alive = Health::default();
    assert_eq!(verdict(&checks(Pass, Pass, Pass), &alive, 59_999), (Inconclusive, false));
    assert_eq!(verdict(&checks(Pass, Pass, Pass), &alive, 60_000), (Pass, true));
    // The least duration begins after the warm-up.
    let mut late = spec(false);
    late.options.warm_up_ms = 30_000;
    let at = |age_ms| combine(&late, &checks(Pass, Pass, Pass), &alive, aged(age_ms), None).verdict;
    assert_eq!((at(89_999), at(90_000)), (Inconclusive, Pass));
}

#[test]
fn a_dying_canary_fails_and_a_doubtful_one_does_not_pass() {
    let with = |state| Health {
        state,
        findings: vec![(state, Finding::TargetAbsent { target: "t".to_owned(), share: 0.5, down: true })],
        notes: Vec::new(),
    };
    assert_eq!(verdict(&checks(Pass, Pass, Pass), &with(HealthState::Dying), OLD), (Fail, true));
    assert_eq!(verdict(&checks(Pass, Pass, Pass), &with(HealthState::Doubtful), OLD), (Inconclusive, false));
    let all = checks(Pass, Pass, Pass);
    let combined = combine(&spec(false), &all, &with(HealthState::Dying), aged(OLD), None);
    assert_eq!(told(&spec(false), &all, combined)[0].code(), "target-absent");
}

#[test]
fn missing_traffic_is_the_first_reason_and_the_end_the_last() {
    let all = checks(Inconclusive, Inconclusive, Pass);
    let combined = combine(&spec(false), &all, &Health::default(), aged(OLD), Some(End::Deadline));
    assert!(combined.settled && combined.verdict == Inconclusive);
    let reasons = told(&spec(false), &all, combined);
    assert_eq!(reasons[0].check.as_deref(), Some("traffic"));
    let Some(Finding::Deadline { unsettled, .. }) = reasons.last().map(|reason| &reason.finding) else {
        panic!("{reasons:?}")
    };
    assert_eq!(unsettled, &["errors", "traffic"]);
}

#[test]
fn too_little_traffic_fails_at_the_end_where_that_is_asked_for() {
    let all = checks(Pass, Inconclusive, Pass);
    let at = |fails, end| combine(&spec(fails), &all, &Health::default(), aged(OLD), end).verdict;
    assert_eq!(at(true, None), Inconclusive);
    assert_eq!(at(true, Some(End::Deadline)), Fail);
    assert_eq!(at(false, Some(End::Deadline)), Inconclusive);
    // Whoever ended a gate after a few seconds was told that the canary had failed for lack of traffic.
    assert_eq!(at(true, Some(End::Terminated)), Inconclusive);
}

#[test]
fn what_the_elements_came_to_before_the_source_failed_is_no_lack_of_traffic() {
    use crate::gate::fixture::Fixture;
    use crate::gate::run::Gate;
    let labels = [("__name__", "all_total"), ("pod", "a"), ("instance", "i"), ("job", "j")];
    let idle = Fixture::default().series(&labels, (990..1_600).step_by(10).map(|time| (time, 5.0)));
    for (by, broken, wanted) in [
        (true, false, Verdict::Fail),
        (true, true, Verdict::Inconclusive),
        (false, true, Verdict::Inconclusive),
    ] {
        let check = Check::volume("traffic", "all_total").at_least(1.0);
        let check = if by { check.by(["pod"]) } else { check };
        let spec = GateSpec::builder("g").check(check).deadline_ms(120_000).low_traffic_fails(true);
        let mut gate = Gate::new(spec.health(false).build().unwrap());
        gate.start(Timestamp::from_secs(1_000));
        while let Some(due) = gate.next_due() {
            let last = due == Timestamp::from_secs(1_120);
            let source = if broken && last { idle.clone().broken() } else { idle.clone() };
            gate.tick(due, &source).unwrap();
        }
        assert_eq!(gate.report().verdict, wanted, "{}", gate.report());
    }
}
