use super::*;
use crate::gate::fixture::Fixture;
use crate::gate::{Check, Gate, GateSpec, Report, Severity, Verdict};
use crate::model::Window;
use crate::source::{SelectRequest, Source, Watched};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

/// One request a second, of which every `bad`th fails, scraped every 10 s from 900 s on.
fn traffic(bad: i64) -> Fixture {
    let count = |share: fn(i64, i64) -> i64| {
        (900..2_000).step_by(10).map(move |time| (time, share(time - 900, bad) as f64)).collect::<Vec<_>>()
    };
    let all = [("200", count(|time, bad| time - time / bad)), ("500", count(|time, bad| time / bad))];
    all.into_iter().fold(Fixture::default(), |fixture, (code, samples)| {
        let labels = [("__name__", "all_total"), ("code", code), ("instance", "i"), ("job", "j")];
        fixture.series(&labels, samples)
    })
}

fn loss(why: Lost, from: i64, until: i64) -> Loss {
    Loss { file: "log/00000007.log".into(), bytes: 17, frames: 2, ..Loss::new(why, at(from), at(until)) }
}

/// The code of the reason, for each kind of loss: a new one does not compile without a decision.
fn code(why: Lost) -> &'static str {
    match why {
        Lost::UncleanEnd => "unclean-start",
        Lost::TornEnd => "data-lost",
        Lost::Salvaged | Lost::Segment => "data-damaged",
        Lost::Refused => "limit-exceeded",
        Lost::StoreFailed => "store-failed",
        Lost::RuleFailed => "rule-failed",
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
    let spec = GateSpec::builder("g")
        .check(Check::volume("traffic", "all_total").at_least(0.05))
        .check(Check::ratio("errors", r#"all_total{code="500"}"#, "all_total").below(0.05))
        .deadline_ms(300_000)
        .build()
        .unwrap();
    run(Gate::new(spec), source, start)
}

#[cfg(feature = "argo")]
fn strict_with(query: &str, source: &dyn Source, start: i64) -> Report {
    let text = format!(
        "kind: AnalysisTemplate\nmetadata: {{name: t}}\nspec:\n  metrics: [{{name: m, count: 3, interval: 10s, \
         successCondition: 'result[0] < 0.05', provider: {{prometheus: {{query: '{query}'}}}}}}]\n"
    );
    let template = crate::gate::argo::AnalysisTemplate::from_yaml(&text).unwrap().remove(0);
    run(Gate::from_argo(&template, &[], crate::gate::argo::Profile::V1_10).unwrap(), source, start)
}

#[cfg(feature = "argo")]
fn strict(source: &dyn Source, start: i64) -> Report {
    strict_with(r#"sum(rate(all_total{code="500"}[1m])) / sum(rate(all_total[1m]))"#, source, start)
}

#[test]
fn no_kind_of_loss_passes_natively() {
    for why in Lost::ALL {
        let report = native(&traffic(i64::MAX).losing(loss(why, 1_010, 1_020)), 1_000);
        assert_eq!(report.verdict, Verdict::Inconclusive, "{report}");
        for check in &report.checks {
            let reason = &check.reasons[0];
            assert_eq!((reason.code(), reason.severity), (code(why), Severity::Inconclusive), "{report}");
            let told = ["1010 s", "1020 s", "log/00000007.log", &why.to_string()];
            assert!(told.iter().all(|part| reason.text.contains(part)), "{}", reason.text);
        }
        assert_eq!(report.reasons[0].code(), code(why));
    }
}

#[cfg(feature = "argo")]
#[test]
fn no_kind_of_loss_is_a_value_in_strict_mode() {
    for why in Lost::ALL {
        let report = strict(&traffic(i64::MAX).losing(loss(why, 1_010, 9_000)), 1_000);
        assert_eq!(report.verdict, Verdict::Inconclusive, "{report}");
        let check = &report.checks[0];
        let crate::gate::Evidence::Measurements { successful, failed, inconclusive, error, newest } =
            &check.evidence
        else {
            panic!("{report}")
        };
        // The first look ends before the loss begins; the limit of errors in a row is Argo's.
        assert_eq!((*successful, *failed, *inconclusive, *error), (2, 0, 0, 5), "{report}");
        let last = newest.last().unwrap();
        assert!(last.value.is_empty() && last.message.starts_with(code(why)), "{last:?}");
        assert!(check.reasons.iter().any(|reason| reason.code() == code(why)), "{report}");
        assert!(report.reasons.iter().any(|reason| reason.code() == code(why)), "{report}");
    }
}

#[test]
fn a_loss_outside_of_what_a_check_looks_at_changes_nothing() {
    let source = traffic(i64::MAX);
    let whole = native(&source, 1_000);
    assert_eq!(whole.verdict, Verdict::Pass);
    for why in Lost::ALL {
        let before = native(&source.clone().losing(loss(why, 950, 1_000)), 1_000);
        let after = native(&source.clone().losing(loss(why, 1_900, 2_000)), 1_000);
        let seen = Loss { acknowledged: true, ..loss(why, 1_010, 1_020) };
        let acknowledged = native(&source.clone().losing(seen), 1_000);
        assert!([before, after, acknowledged].iter().all(|report| *report == whole));
    }
}

#[cfg(feature = "argo")]
#[test]
fn a_loss_outside_of_what_a_query_reads_changes_nothing() {
    let source = traffic(i64::MAX);
    let whole = strict(&source, 1_000);
    assert_eq!(whole.verdict, Verdict::Pass);
    for why in Lost::ALL {
        for other in [loss(why, 900, 940), loss(why, 1_020, 2_000)] {
            assert_eq!(strict(&source.clone().losing(other), 1_000), whole);
        }
    }
}

#[cfg(feature = "argo")]
#[test]
fn an_offset_a_lookback_and_a_subquery_reach_the_loss() {
    let source = traffic(i64::MAX).losing(loss(Lost::UncleanEnd, 1_000, 1_010));
    for (query, verdict) in [
        ("sum(rate(all_total[1m])) * 0", Verdict::Pass),
        ("sum(rate(all_total[1m] offset 490s)) * 0", Verdict::Inconclusive),
        ("sum(all_total) * 0", Verdict::Pass),
        ("sum(all_total offset 250s) * 0", Verdict::Inconclusive),
        ("sum(all_total @ 1000) * 0", Verdict::Pass),
        ("sum(all_total @ 1001) * 0", Verdict::Inconclusive),
        ("max_over_time(sum(all_total)[5m:1m]) * 0", Verdict::Inconclusive),
        ("max_over_time(sum(all_total)[1m:1m]) * 0", Verdict::Pass),
        ("vector(0)", Verdict::Pass),
    ] {
        assert_eq!(strict_with(query, &source, 1_500).verdict, verdict, "{query}");
    }
}

#[test]
fn a_failure_stands_on_what_is_there() {
    let report = native(&traffic(2).losing(loss(Lost::Segment, 1_010, 1_020)), 1_000);
    assert_eq!(report.verdict, Verdict::Fail);
    let reasons: Vec<_> =
        report.checks[1].reasons.iter().map(|reason| (reason.code(), reason.severity)).collect();
    assert_eq!(reasons[..2], [("above-threshold", Severity::Fail), ("data-damaged", Severity::Information)]);
}

#[test]
fn a_pass_is_kept_back_once_a_loss_is_known() {
    let spec = GateSpec::builder("g")
        .check(Check::ratio("errors", r#"all_total{code="500"}"#, "all_total").below(0.05))
        .min_duration_ms(200_000)
        .build()
        .unwrap();
    let mut gate = Gate::new(spec);
    gate.start(at(1_000));
    let source = traffic(i64::MAX);
    gate.tick(at(1_190), &source).unwrap();
    assert_eq!(gate.report().checks[0].verdict, Verdict::Pass);
    let tick = gate.tick(at(1_210), &source.losing(loss(Lost::UncleanEnd, 1_190, 1_205))).unwrap();
    assert_eq!((tick.verdict, tick.settled), (Verdict::Inconclusive, false));
}

#[test]
fn counting_on_from_a_sample_before_the_loss_looks_at_the_loss() {
    // No scrape between 950 s and the beginning of the evidence: what was added meanwhile counts as evidence.
    let labels = [("__name__", "all_total"), ("code", "200"), ("instance", "i"), ("job", "j")];
    let samples = (900..2_000).step_by(10).filter(|time| *time <= 950 || *time > 1_000);
    let source = Fixture::default().series(&labels, samples.map(|time| (time, (time - 900) as f64)));
    let lost = source.clone().losing(loss(Lost::TornEnd, 950, 990));
    let report = native(&lost, 1_000);
    assert_eq!(report.checks[0].reasons[0].code(), "data-lost", "{report}");
    // A series without such a sample is new because of what was there before it.
    let born = source.series(
        &[("__name__", "all_total"), ("code", "204"), ("instance", "i"), ("job", "j")],
        [(1_050, 9.0)],
    );
    let report = native(&born.losing(loss(Lost::TornEnd, 800, 801)), 1_000);
    assert_eq!(report.checks[0].reasons[0].code(), "data-lost", "{report}");
}

#[test]
fn a_name_that_nothing_has_may_be_what_was_lost() {
    let source = Fixture::default().losing(loss(Lost::Segment, 990, 1_010));
    let report = native(&source, 1_000);
    let codes: Vec<&str> = report.checks[0].reasons.iter().map(super::super::reason::Reason::code).collect();
    assert_eq!(codes, ["data-damaged", "no-such-metric"]);
}

#[test]
fn a_watched_source_notes_each_loss_once() {
    let source = traffic(2).losing(loss(Lost::Refused, 1_000, 1_100));
    let watched = Watched::new(&source);
    let window = |after, until| Window::new(at(after), at(until));
    for (after, until) in [(0, 1_000), (1_000, 1_001), (1_050, 1_060)] {
        watched.select(&SelectRequest::new(&[], window(after, until))).unwrap();
    }
    watched.label_values("code", &[], window(1_000, 1_050)).unwrap();
    assert_eq!(watched.into_losses(), [loss(Lost::Refused, 1_000, 1_100)]);
}
