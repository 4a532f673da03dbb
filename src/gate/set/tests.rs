use proptest::prelude::*;

use super::*;
use crate::gate::argo::{AnalysisTemplate, Profile};
use crate::gate::binary::tests::every_flip_is_refused;
use crate::gate::fixture::Fixture;
use crate::gate::spec::{Check, GateSpec};
use crate::gate::verdict::Verdict;
use crate::model::Matcher;
use crate::source::{SelectRequest, SeriesSet};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

const PODS: [(&str, i64); 4] = [("a", i64::MAX), ("b", 4), ("c", 20), ("d", i64::MAX)];

/// Four pods with two requests a second each, of which every so manieth fails.
fn pods() -> Fixture {
    PODS.iter().fold(Fixture::default(), |fixture, (pod, bad)| {
        let every = || (900..3_000).step_by(10);
        let target = |name| [("__name__", name), ("instance", *pod), ("pod", *pod), ("job", "pods")];
        let requests = |time: i64| 2 * (time - 900);
        let counter = |code| [target("all_total").as_slice(), &[("code", code)]].concat();
        fixture
            .series(&target("up"), every().map(|time| (time, 1.0)))
            .series(&target("process_start_time_seconds"), every().map(|time| (time, 100.0)))
            .series(
                &counter("200"),
                every().map(|time| (time, (requests(time) - requests(time) / bad) as f64)),
            )
            .series(&counter("500"), every().map(|time| (time, (requests(time) / bad) as f64)))
    })
}

/// A source that does not answer what is asked of pod `d`, alone or with others.
struct WithoutD(Fixture);

impl Source for WithoutD {
    fn select(&self, request: &SelectRequest<'_>) -> Result<SeriesSet> {
        let is_of_d =
            |matcher: &Matcher| matches!(matcher.name(), "pod" | "instance") && matcher.matches("d");
        if request.matchers.iter().any(is_of_d) {
            return self.0.clone().broken().select(request);
        }
        self.0.select(request)
    }
}

/// Gates of many kinds: of each pod, of all, beside a baseline, of a query, that watch on, and Argo's own.
const KINDS: usize = 9;

fn spec(kind: usize) -> GateSpec {
    let share =
        |pod: &str| (format!("all_total{{pod={pod:?},code=\"500\"}}"), format!("all_total{{pod={pod:?}}}"));
    let builder = GateSpec::builder(format!("gate {kind}")).deadline_ms(300_000);
    let builder = match (kind, PODS.get(kind)) {
        (_, Some((pod, _))) => {
            let (errors, all) = share(pod);
            builder
                .check(Check::volume("traffic", all.clone()).at_least(0.5))
                .check(Check::ratio("errors", errors, all).below(0.1))
        }
        (4, _) => builder.check(Check::comparison("versus", share("a"), share("c")).within_factor(1.5)),
        (5, _) => builder
            .check(Check::ratio("each", r#"all_total{code="500"}"#, "all_total").by(["pod"]).below(0.1)),
        (6, _) => builder.check(Check::value("rate", "sum(rate(all_total[1m]))").above(1.0)),
        _ => builder.check(Check::ratio("errors", share("a").0, share("a").1).below(0.1)).watch(true),
    };
    builder.build().unwrap()
}

fn template() -> AnalysisTemplate {
    let text = "kind: AnalysisTemplate\nmetadata: {name: gate 8}\nspec:\n  metrics: [{name: m, count: 5, interval: 20s, \
                successCondition: 'result[0] > 1', provider: {prometheus: {query: 'sum(rate(all_total[1m]))'}}}]\n";
    AnalysisTemplate::from_yaml(text).unwrap().remove(0)
}

fn gate(kind: usize) -> Gate {
    if kind == 8 {
        return Gate::from_argo(&template(), &[], Profile::V1_10).unwrap();
    }
    Gate::new(spec(kind))
}

fn resumed(_: GateId, name: &str, state: GateState) -> Result<Gate> {
    let kind: usize = name.trim_start_matches("gate ").parse().unwrap();
    if kind == 8 {
        return Gate::resume_argo(&template(), &[], Profile::V1_10, state);
    }
    Gate::resume(spec(kind), state)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever else is in the set, however many are looked at in a round, stopped in between or not, and whether the source
    /// answers the others: each gate comes to what it comes to alone.
    #[test]
    fn a_set_gives_each_gate_what_it_gives_alone(
        kinds in prop::collection::vec(0..KINDS, 1..12),
        starts in prop::collection::vec(1_000_i64..1_100, 12),
        gaps in prop::collection::vec(1_i64..40, 1..40),
        (per_round, stop) in (1_usize..14, any::<bool>()),
    ) {
        let source = WithoutD(pods());
        let mut set = GateSet::new().per_round(per_round);
        let mut alone: Vec<(GateId, Gate)> = Vec::new();
        for (kind, start) in kinds.iter().zip(&starts) {
            let id = set.insert(gate(*kind));
            set.start(id, at(*start));
            let mut one = gate(*kind);
            one.start(at(*start));
            alone.push((id, one));
        }
        let mut now = 1_100;
        for gap in gaps {
            now += gap;
            let mut ticked = Vec::new();
            // Rounds at one instant, until none is due.
            while set.next_due().is_some_and(|due| due <= at(now)) {
                let round = set.tick_due(at(now), &source).unwrap();
                prop_assert!(!round.is_empty() && round.len() <= per_round);
                ticked.extend(round);
            }
            ticked.sort_by_key(|(id, _)| *id);
            let expected: Vec<(GateId, Tick)> = alone
                .iter_mut()
                .filter(|(_, gate)| gate.next_due().is_some_and(|due| due <= at(now)))
                .map(|(id, gate)| (*id, gate.tick(at(now), &source).unwrap()))
                .collect();
            prop_assert_eq!(ticked, expected);
            for (id, gate) in &alone {
                prop_assert_eq!(set.get(*id).unwrap().state(), gate.state());
            }
            if stop {
                let state = GateSetState::from_json(&set.state().to_json().unwrap()).unwrap();
                let state = GateSetState::from_bytes(&state.to_bytes()).unwrap();
                prop_assert_eq!(&state, &set.state());
                let (next, failed) = GateSet::resume(state, resumed).unwrap();
                prop_assert!(failed.is_empty());
                set = next.per_round(per_round);
            }
        }
    }
}

#[test]
fn those_that_have_been_due_longest_come_first() {
    let mut set = GateSet::new().per_round(2);
    let ids: Vec<GateId> = (0..4).map(|_| set.insert(gate(0))).collect();
    for (id, start) in ids.iter().zip([30, 10, 20, 40]) {
        set.start(*id, at(1_000 + start));
    }
    let source = pods();
    assert_eq!(set.next_due(), Some(at(1_010)));
    let mut looked = |now: i64| -> Vec<GateId> {
        set.tick_due(at(now), &source).unwrap().iter().map(|(id, _)| *id).collect()
    };
    assert_eq!(looked(1_050), [ids[1], ids[2]]);
    assert_eq!(looked(1_050), [ids[0], ids[3]]);
    assert!(looked(1_050).is_empty());
}

#[test]
fn gates_come_and_go_while_others_run() {
    let source = pods();
    let mut set = GateSet::new();
    let (good, bad, waiting) = (set.insert(gate(0)), set.insert(gate(1)), set.insert(gate(2)));
    set.start(good, at(1_000));
    set.start(bad, at(1_000));
    assert_eq!(set.len(), 3);
    while let Some(due) = set.next_due() {
        for (id, tick) in set.tick_due(due, &source).unwrap() {
            assert!(id != waiting && !tick.settled || tick.next_due.is_none());
        }
    }
    let verdict = |id| set.get(id).unwrap().report().verdict;
    assert_eq!(
        (verdict(good), verdict(bad), verdict(waiting)),
        (Verdict::Pass, Verdict::Fail, Verdict::Inconclusive)
    );
    assert!(set.remove(good).is_some() && set.remove(good).is_none() && set.get(good).is_none());
    let late = set.insert(gate(0));
    assert!(![good, bad, waiting].contains(&late), "a name is given out once");
    set.start(late, at(1_500));
    assert!(set.terminate(late, at(1_501)).is_some_and(|tick| tick.settled));
    assert_eq!((set.next_due(), set.terminate(good, at(1_501))), (None, None));
    assert_eq!(set.iter().map(|(id, _)| id).collect::<Vec<_>>(), [bad, waiting, late]);
}

#[test]
fn rounds_come_in_order() {
    let mut set = GateSet::new();
    let id = set.insert(gate(0));
    set.start(id, at(1_000));
    set.tick_due(at(1_050), &pods()).unwrap();
    let before = set.state();
    let error = set.tick_due(at(1_049), &pods()).unwrap_err();
    assert!(error.to_string().contains("time went back"), "{error}");
    assert_eq!(set.state(), before);
}

#[test]
fn a_gate_that_cannot_go_on_is_told_and_the_others_go_on() {
    let mut set = GateSet::new();
    let ids: Vec<GateId> = (0..3).map(|kind| set.insert(gate(kind))).collect();
    ids.iter().for_each(|id| set.start(*id, at(1_000)));
    set.tick_due(at(1_050), &pods()).unwrap();
    let (next, failed) = GateSet::resume(set.state(), |id, name, state| {
        if id == ids[1] { Gate::resume(spec(0), state) } else { resumed(id, name, state) }
    })
    .unwrap();
    assert_eq!(failed.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [ids[1]]);
    assert!(failed[0].1.to_string().contains("belongs to another specification"));
    assert_eq!(next.len(), 2);
    assert_eq!(next.get(ids[2]).unwrap().state(), set.get(ids[2]).unwrap().state());
    let mut other = set.state();
    other.0.version += 1;
    assert!(GateSet::resume(other, resumed).unwrap_err().to_string().contains("version"));
}

#[test]
fn a_state_of_which_anything_was_damaged_is_refused() {
    let mut set = GateSet::new();
    let id = set.insert(gate(0));
    set.start(id, at(1_000));
    set.tick_due(at(1_050), &pods()).unwrap();
    let state = set.state();
    checked::tests::every_edit_is_refused(&state.to_json().unwrap(), GateSetState::from_json);
    every_flip_is_refused(&state, &state.to_bytes(), GateSetState::from_bytes);
}
