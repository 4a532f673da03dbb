use proptest::prelude::*;

use super::*;
use crate::gate::failures::{data, native, strict, watched};
use crate::gate::fixture::Fixture;
use crate::gate::run::{Gate, Tick, Work};
use crate::gate::spec::{Check, GateSpec};
use crate::gate::verdict::Verdict;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

/// Answers the questions of a look, the one that `pick` points at first, until none is open.
fn look(gate: &mut Gate, now: Timestamp, source: &dyn Source, mut pick: impl FnMut() -> usize) -> Tick {
    let mut work = gate.poll(now).unwrap();
    while !work.questions.is_empty() {
        assert!(!work.tick.measured);
        let (id, question) = work.questions.remove(pick() % work.questions.len());
        work = gate.feed(id, question.ask(source)).unwrap();
    }
    work.tick
}

/// A canary whose requests fail from a second on, half of them.
fn turning(second: i64) -> Fixture {
    let every = || (0..=600).step_by(10);
    data().series(
        &[
            ("__name__", "requests_total"),
            ("version", "canary"),
            ("job", "a"),
            ("instance", "canary"),
            ("code", "503"),
        ],
        every().map(|time| (time, ((time - second).max(0) * 10) as f64)),
    )
}

/// A gate whose checks ask in every way there is.
fn of_all_kinds() -> Gate {
    let pair = |version: &str| {
        let requests = format!("requests_total{{version={version:?}}}");
        (format!("requests_total{{version={version:?},code=~\"5..\"}}"), requests)
    };
    let (errors, requests) = pair("canary");
    let spec = GateSpec::builder("g")
        .check(Check::ratio("errors", &errors, &requests).below(0.05))
        .check(Check::comparison("versus", pair("canary"), pair("stable")).within_factor(2.0))
        .check(Check::count("count", &errors, 60_000).at_most(50.0))
        .check(Check::quantile("slow", r#"seconds_bucket{version="canary"}"#, 0.9).below(1.0))
        .check(Check::value("value", r#"sum(rate(requests_total{version="canary"}[1m]))"#).above(1.0))
        .check(Check::volume("silent", "missing_total").at_least(1.0).dry_run())
        .deadline_ms(300_000);
    Gate::new(spec.build().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is asked, in whatever order it is answered, and whatever fails: a look by questions is a look.
    #[test]
    fn a_look_by_questions_comes_to_what_a_tick_comes_to(
        kind in 0_usize..4,
        gaps in prop::collection::vec(1_i64..60, 1..12),
        picks in prop::collection::vec(any::<usize>(), 1..20),
        (second, broken) in (100_i64..700, prop::collection::vec(prop::bool::weighted(0.15), 12)),
    ) {
        let mut ticked = [native, watched, strict, of_all_kinds][kind]();
        ticked.start(at(60));
        let mut asked = ticked.clone();
        let source = turning(second);
        let mut picks = picks.into_iter().cycle();
        let mut now = 60;
        for (gap, broken) in gaps.into_iter().zip(broken) {
            now += gap;
            let source = if broken { source.clone().broken() } else { source.clone() };
            let tick = ticked.tick(at(now), &source).unwrap();
            let other = look(&mut asked, at(now), &source, || picks.next().unwrap_or(0));
            prop_assert_eq!(tick, other);
            prop_assert_eq!(ticked.state(), asked.state());
            prop_assert_eq!(ticked.report(), asked.report());
        }
    }
}

#[test]
fn nothing_is_asked_before_it_is_due_and_after_the_end() {
    let mut gate = native();
    assert!(gate.poll(at(60)).is_err(), "it is not started");
    gate.start(at(60));
    look(&mut gate, at(100), &data(), || 0);
    let early = gate.poll(at(101)).unwrap();
    assert!(early.questions.is_empty() && !early.tick.measured && early.tick.next_due > Some(at(101)));
    assert!(gate.poll(at(99)).unwrap_err().to_string().starts_with("time went back"));
    while let Some(due) = gate.next_due() {
        look(&mut gate, due, &data(), || 0);
    }
    assert!(gate.poll(at(9_000)).unwrap().questions.is_empty());
}

#[test]
fn a_look_under_way_is_no_part_of_the_gate_and_goes_on_at_its_instant() {
    let mut gate = native();
    gate.start(at(60));
    let before = gate.state();
    let Work { mut questions, .. } = gate.poll(at(100)).unwrap();
    assert!(questions.len() > 1);
    let (id, question) = questions.remove(0);
    gate.feed(id, question.ask(&data())).unwrap();
    assert_eq!(gate.state(), before);
    // Open questions are handed out again, later as well.
    assert_eq!(gate.poll(at(200)).unwrap().questions, questions);
    let mut by_tick = gate.clone();
    look(&mut gate, at(300), &data(), || 0);
    assert_eq!(gate.report().at, Some(at(100)));
    // A tick, and an end, drop it.
    by_tick.tick(at(150), &data()).unwrap();
    assert_eq!(by_tick.report().at, Some(at(150)));
    assert!(by_tick.feed(id, question.ask(&data())).is_err());
}

#[test]
fn answers_that_fit_no_open_question_are_refused() {
    let mut gate = native();
    gate.start(at(60));
    let questions = gate.poll(at(100)).unwrap().questions;
    let (id, question) = &questions[0];
    let error = gate.feed(*id, Ok(SourceAnswer::Exemplars(Vec::new()))).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::InvalidArgument, "the answer is one to another kind of question")
    );
    gate.feed(*id, question.ask(&data())).unwrap();
    assert!(gate.feed(*id, question.ask(&data())).unwrap_err().to_string().contains("no question"));
}

#[test]
fn whoever_cannot_tell_what_is_lost_passes_nothing() {
    let mut gate = native();
    gate.start(at(60));
    let mut verdicts = Vec::new();
    while let Some(due) = gate.next_due() {
        let mut work = gate.poll(due).unwrap();
        while let Some((id, question)) = work.questions.pop() {
            let answer = if question.is_about_losses() {
                Err(Error::new(ErrorKind::Io, "no connection"))
            } else {
                question.ask(&data())
            };
            work = gate.feed(id, answer).unwrap();
        }
        verdicts.push(work.tick.verdict);
    }
    assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Inconclusive), "{verdicts:?}");
    assert_eq!(gate.report().reasons[0].code(), "source-error", "{}", gate.report());
}

#[test]
fn an_answer_to_what_another_gate_asked_is_refused() {
    let spec = || {
        let check =
            Check::ratio("errors", r#"requests_total{version="canary",code="500"}"#, "requests_total");
        GateSpec::builder("g").check(check.below(0.05)).build().unwrap()
    };
    let mut gate = Gate::new(spec());
    gate.start(at(60));
    // The same gate after a restart, by a changed specification, and a copy, each with a look of its own.
    let others = [
        Gate::resume(spec(), gate.state()).unwrap(),
        Gate::resume_changed(spec(), gate.state(), at(90)).unwrap(),
        gate.clone(),
    ];
    let asked = gate.poll(at(100)).unwrap().questions;
    for mut other in others {
        let questions = other.poll(at(300)).unwrap().questions;
        for (id, question) in &asked {
            assert!(questions.iter().all(|(own, _)| own != id));
            let error = other.feed(*id, question.ask(&data())).unwrap_err();
            assert!(error.to_string().contains("no question of this look"), "{error}");
        }
        assert_eq!(other.poll(at(300)).unwrap().questions, questions);
    }
}

#[test]
fn what_is_lost_is_asked_for_after_all_else_is_answered() {
    // Whoever loses samples after it told what it lost would have them missed unnoticed.
    for mut gate in [native(), watched(), strict(), of_all_kinds()] {
        gate.start(at(60));
        let mut looks = 0;
        while let Some(due) = gate.next_due().filter(|_| looks < 4) {
            let (mut work, mut told) = (gate.poll(due).unwrap(), false);
            while let Some((id, question)) = work.questions.pop() {
                assert!(question.is_about_losses() || !told, "{question:?}");
                told |= question.is_about_losses();
                work = gate.feed(id, question.ask(&data())).unwrap();
            }
            looks += 1;
        }
    }
}
