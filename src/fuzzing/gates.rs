//! Gates, templates, conditions and states of any form.

use std::sync::OnceLock;

use crate::error::Result;
use crate::gate::argo::{AnalysisTemplate, Condition, Profile, QueryValue};
use crate::gate::{Check, Gate, GateSpec, GateState, Verdict};
use crate::ingest::{ExpositionOptions, Intake, IntakeLimits};
use crate::model::Timestamp;
use crate::source::{SelectRequest, SeriesSet, Source};
use crate::store::{Store, StoreOptions};

/// Looks of one run.
const LOOKS: usize = 24;

/// A source that has nothing.
struct Nothing;

impl Source for Nothing {
    fn select(&self, _: &SelectRequest<'_>) -> Result<SeriesSet> {
        Ok(SeriesSet::default())
    }
}

/// Looks until the gate is settled, `LOOKS` times at most; `each` sees the gate before every look.
fn run(mut gate: Gate, source: &dyn Source, mut each: impl FnMut(&Gate, Timestamp)) -> Verdict {
    gate.start(Timestamp::from_secs(0));
    let mut verdict = Verdict::Inconclusive;
    for _ in 0..LOOKS {
        let Some(due) = gate.next_due() else { break };
        each(&gate, due);
        let Ok(tick) = gate.tick(due, source) else { break };
        verdict = tick.verdict;
    }
    assert!(!gate.report().to_string().is_empty(), "a report says something");
    verdict
}

pub(super) fn assert_template_is_read(text: &str) {
    let lints = AnalysisTemplate::lint_yaml(text, &[]);
    let Ok(templates) = AnalysisTemplate::from_yaml(text) else { return };
    assert!(lints.is_ok(), "{text:?} is read and not linted: {lints:?}");
    for template in templates {
        if let Ok(gate) = Gate::from_argo(&template, &[], Profile::V1_10) {
            run(gate, &Nothing, |_, _| ());
        }
        if let Ok(spec) = GateSpec::from_template(&template, &[]) {
            assert_ne!(
                run(Gate::new(spec), &Nothing, |_, _| ()),
                Verdict::Pass,
                "{text:?} passes on nothing"
            );
        }
    }
}

pub(super) fn assert_condition_is_decided(bytes: &[u8]) {
    let Some((kind, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let values = [
        QueryValue::Scalar(f64::from(*kind) / 8.0 - 2.0),
        QueryValue::Scalar(f64::NAN),
        QueryValue::Vector(Vec::new()),
        QueryValue::Vector(vec![0.5, f64::INFINITY]),
        QueryValue::Matrix(vec![vec![1.0, 2.0], Vec::new()]),
        QueryValue::Json(serde_json::json!({"a": [1, null, "b"], "data": {"ok": true, "n": -1.5}})),
    ];
    let Some(value) = values.get(usize::from(*kind) % values.len()) else { return };
    let Ok(condition) = Condition::compile(text, value, Profile::V1_10) else { return };
    let now = Timestamp::from_secs(1_700_000_000);
    let shown = |holds: Result<bool>| format!("{holds:?}");
    let first = shown(condition.holds(value, now));
    assert_eq!(first, shown(condition.holds(value, now)), "{text:?} is decided twice alike");
}

/// A gate file, a NUL, and what is measured as an exposition.
#[expect(clippy::panic, reason = "a broken law must stop the fuzzer")]
pub(super) fn assert_gate_is_total(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (file, data) = bytes.split_at_checked(end).unwrap_or_default();
    let Ok(file) = std::str::from_utf8(file) else { return };
    let Ok(spec) = GateSpec::from_yaml(file, &[]) else { return };
    assert_ne!(
        run(Gate::new(spec.clone()), &Nothing, |_, _| ()),
        Verdict::Pass,
        "{file:?} passes on nothing"
    );
    let mut limits = IntakeLimits::default();
    (limits.series, limits.samples) = (200, 5_000);
    let mut intake = Intake::with_limits(limits.clone());
    let options = ExpositionOptions::default().limits(limits);
    // What comes before an error counts.
    drop(intake.add_exposition(data.get(1..).unwrap_or_default(), &options, None));
    let store = Store::in_memory(StoreOptions::new());
    if intake.finish().append_to(&store).is_err() {
        return;
    }
    let source = store.snapshot();
    let mut states = Vec::new();
    let verdict = run(Gate::new(spec.clone()), &source, |gate, _| states.push(gate.state()));
    // From any of its states a gate goes on to the same end.
    let looks = states.len();
    for (look, state) in states.into_iter().enumerate().step_by(5) {
        let bytes = state.to_bytes();
        let read = GateState::from_bytes(&bytes).map(|state| state.to_bytes());
        assert_eq!(read.ok(), Some(bytes), "{file:?}: as bytes");
        let read = state.to_json().and_then(|json| GateState::from_json(&json));
        let Ok(mut resumed) = read.and_then(|state| Gate::resume(spec.clone(), state)) else {
            panic!("{file:?}: the state of look {look} does not come back");
        };
        let mut last = Verdict::Inconclusive;
        for _ in look..looks {
            let Some(due) = resumed.next_due() else { break };
            last = resumed.tick(due, &source).map_or(last, |tick| tick.verdict);
        }
        assert_eq!(last, verdict, "{file:?}: resumed at look {look}");
    }
}

/// A gate that has looked four times at a canary without a failed request; made once.
fn looked() -> &'static (GateSpec, GateState) {
    static LOOKED: OnceLock<(GateSpec, GateState)> = OnceLock::new();
    let look = || -> Result<(GateSpec, GateState)> {
        let check = Check::ratio("errors", "all_total{code=\"500\"}", "all_total").below(0.05);
        let spec = GateSpec::builder("checkout").check(check).deadline_ms(300_000).build()?;
        let scrape = |number| format!("all_total{{code=\"200\"}} {} {}\n", number * 20, number * 10_000);
        let body: String = (0..30).map(scrape).collect();
        let (store, mut intake) = (Store::in_memory(StoreOptions::new()), Intake::default());
        intake.add_exposition(body.as_bytes(), &ExpositionOptions::default(), None)?;
        intake.finish().append_to(&store)?;
        let mut gate = Gate::new(spec.clone());
        gate.start(Timestamp::from_secs(0));
        for _ in 0..4 {
            let Some(due) = gate.next_due() else { break };
            gate.tick(due, &store.snapshot())?;
        }
        Ok((spec, gate.state()))
    };
    #[expect(clippy::expect_used, reason = "without it there is nothing to edit")]
    LOOKED.get_or_init(|| look().expect("a gate looks at a canary"))
}

/// Exchanges bytes, each edit being three: place and the new one.
fn edit(text: &mut [u8], edits: &[u8]) {
    for edit in edits.chunks_exact(3) {
        let [high, low, byte] = edit else { continue };
        let place = usize::from(u16::from_be_bytes([*high, *low])) % text.len().max(1);
        if let Some(slot) = text.get_mut(place) {
            *slot = *byte;
        }
    }
}

/// The JSON and the bytes of a state, of which bytes are exchanged; and the input as either, behind a checksum that fits as well.
pub(super) fn assert_state_is_checked(bytes: &[u8]) {
    let (spec, state) = looked();
    let read = |text: &[u8]| GateState::from_json(&String::from_utf8_lossy(text));
    let (mut json, mut edited) = (state.to_json().unwrap_or_default().into_bytes(), state.to_bytes());
    edit(&mut json, bytes);
    edit(&mut edited, bytes);
    for edited in [read(&json), GateState::from_bytes(&edited)].into_iter().flatten() {
        assert_eq!(edited, *state, "a state that was edited is refused");
    }
    let checksum = crc32c::crc32c(bytes).to_le_bytes();
    let sealed = GateState::from_bytes(&[bytes, &checksum].concat());
    // Whatever was read goes on, or is refused.
    for read in [read(bytes), sealed].into_iter().flatten() {
        let again = GateState::from_bytes(&read.to_bytes()).map(|again| again.to_bytes());
        assert_eq!(again.ok(), Some(read.to_bytes()), "a state that was read is written as it is");
        if let Ok(mut resumed) = Gate::resume(spec.clone(), read)
            && let Some(due) = resumed.next_due()
        {
            let verdict = resumed.tick(due, &Nothing).map(|tick| tick.verdict);
            assert!(!matches!(verdict, Ok(Verdict::Pass)), "a resumed gate passes on nothing");
        }
    }
}
