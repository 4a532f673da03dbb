use std::fmt::Debug;

use proptest::prelude::*;

use super::*;
use crate::error::Result;
use crate::gate::GateState;
use crate::gate::argo::{AnalysisRun, AnalysisTemplate, Profile, QueryValue};
use crate::gate::reason::{Finding, Trace};
use crate::gate::run::Gate;

fn bytes_of(value: &impl Binary) -> Vec<u8> {
    to_bytes(Owner::Gate, 1, value)
}

fn read<T: Binary>(bytes: &[u8]) -> Result<T> {
    from_bytes(Owner::Gate, 1, bytes)
}

/// The bytes of a state come back as it, and no other bytes do.
pub(in crate::gate) fn every_flip_is_refused<S: Debug + PartialEq>(
    state: &S,
    bytes: &[u8],
    from_bytes: impl Fn(&[u8]) -> Result<S>,
) {
    assert_eq!(from_bytes(bytes).unwrap(), *state);
    assert!(bytes.len() > 20);
    for place in 0..bytes.len() {
        for flipped in 1..=u8::MAX {
            let mut edited = bytes.to_vec();
            edited[place] ^= flipped;
            let error = from_bytes(&edited).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {place} with {flipped:#x}: {error}");
        }
        assert_eq!(from_bytes(&bytes[..place]).unwrap_err().kind(), ErrorKind::Corrupt, "{place} bytes");
    }
}

/// Bytes with the checksum that fits them.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

proptest! {
    #[test]
    fn numbers_and_texts_come_back_bit_for_bit(
        (bits, whole) in (any::<u64>(), any::<i64>()),
        text in any::<String>(),
        list in prop::collection::vec(any::<Option<(u32, bool)>>(), 0..5),
        map in prop::collection::btree_map(any::<String>(), any::<i32>(), 0..5),
    ) {
        for number in [f64::from_bits(bits), whole as f64, 0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            prop_assert_eq!(read::<f64>(&bytes_of(&number)).unwrap().to_bits(), number.to_bits());
        }
        prop_assert_eq!(read::<i64>(&bytes_of(&whole)).unwrap(), whole);
        prop_assert_eq!(read::<u64>(&bytes_of(&bits)).unwrap(), bits);
        prop_assert_eq!(read::<String>(&bytes_of(&text)).unwrap(), text);
        prop_assert_eq!(read::<Vec<Option<(u32, bool)>>>(&bytes_of(&list)).unwrap(), list);
        prop_assert_eq!(read::<BTreeMap<String, i32>>(&bytes_of(&map)).unwrap(), map);
    }

    /// Whatever stands behind a checksum that fits is a state or an error, and one that goes on from it does not panic either.
    #[test]
    fn bytes_with_a_checksum_that_fits_are_a_state_or_an_error(
        body in prop::collection::vec(prop_oneof![Just(0_u8), Just(1), any::<u8>()], 0..300),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let begins = |body: &[u8]| sealed([MAGIC, &[1, 1], body].concat());
        let nothing = GateState::from_bytes(&begins(&body));
        prop_assert!(nothing.is_ok() || nothing.is_err_and(|error| error.kind() == ErrorKind::Corrupt));
        let mut edited = strict().to_bytes();
        edited.truncate(edited.len() - CHECKSUM);
        for (place, byte) in edits {
            let place = place.index(edited.len());
            edited[place] = byte;
        }
        if let Ok(state) = GateState::from_bytes(&sealed(edited)) {
            prop_assert_eq!(GateState::from_bytes(&state.to_bytes()).unwrap().to_bytes(), state.to_bytes());
        }
    }
}

/// A strict gate that has ended, with what its measurements were.
fn strict() -> GateState {
    let template = AnalysisTemplate::from_json(
        r#"{"metrics": [{"name": "errors", "interval": "10s", "count": 3, "successCondition": "result[0] < 0.05",
            "provider": {"prometheus": {"query": "sum(errors)"}}}]}"#,
    );
    let template = template.unwrap();
    let mut run = AnalysisRun::new(&template.spec, &[], Profile::V1_10).unwrap();
    run.start(Timestamp::from_secs(0));
    while let Some(now) = run.next_due() {
        run.tick(now, &mut |_| Ok(QueryValue::Vector(vec![f64::NAN]).into()));
    }
    let mut state = Gate::from_argo(&template, &[], Profile::V1_10).unwrap().state();
    state.0.strict = Some(run.state());
    let lost = Finding::TrafficUnknown {};
    state.0.doubts.insert("errors".to_owned(), vec![lost]);
    state
}

#[test]
fn the_state_of_a_strict_gate_comes_back_and_no_flipped_byte_of_it_does() {
    let state = strict();
    every_flip_is_refused(&state, &state.to_bytes(), GateState::from_bytes);
}

#[test]
fn traces_of_any_value_come_back() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.3] {
        let trace =
            Trace { trace_id: "t".to_owned(), value, at: Timestamp::MIN, link: "https://t".to_owned() };
        let back: Trace = read(&bytes_of(&trace)).unwrap();
        assert_eq!((back.value.to_bits(), back.at), (value.to_bits(), Timestamp::MIN));
        #[cfg(feature = "serde")]
        {
            let back: Trace = serde_json::from_str(&serde_json::to_string(&trace).unwrap()).unwrap();
            assert!(back.value.to_bits() == value.to_bits() || (back.value.is_nan() && value.is_nan()));
        }
    }
}

#[test]
fn other_versions_other_states_and_sizes_beyond_the_limit_are_told_apart() {
    let bytes = strict().to_bytes();
    let newer = [MAGIC, &[1, 2], &bytes[6..bytes.len() - CHECKSUM]].concat();
    let error = GateState::from_bytes(&sealed(newer)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.to_string(), "this is no state of a gate: it has version 2, this version reads 1");
    let set = crate::gate::GateSet::new().state().to_bytes();
    assert_eq!(GateState::from_bytes(&set).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(GateState::from_bytes(&[]).unwrap_err().kind(), ErrorKind::Corrupt);
    let error = GateState::from_bytes(&vec![0; MAX_BYTES + 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert_eq!(
        error.to_string(),
        "this is no state of a gate: it has 67108865 bytes, at most 67108864 are read"
    );
}

#[test]
fn a_list_whose_items_take_too_much_memory_is_not_read() {
    // Each item is one byte that says that there is none, and 32 KiB in memory.
    let list = |items: usize| {
        let mut bytes = [MAGIC, &[1, 1]].concat();
        items.put(&mut bytes);
        bytes.extend(vec![0; items]);
        read::<Vec<Option<[f64; 4096]>>>(&sealed(bytes))
    };
    assert_eq!(list(100).unwrap().len(), 100);
    let error = list(9_000).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert_eq!(
        error.to_string(),
        "this is no state of a gate: it would take more than 268435456 bytes of memory"
    );
}

#[test]
fn lists_within_lists_end_before_the_stack_does() {
    struct Deep(Vec<Deep>);
    impl Binary for Deep {
        fn put(&self, into: &mut Vec<u8>) {
            self.0.put(into);
        }

        fn take(from: &mut Reader<'_>) -> Option<Self> {
            Vec::take(from).map(Self)
        }
    }
    let nested = |depth: usize| sealed([MAGIC, &[1, 1], &vec![1; depth], &[0]].concat());
    assert!(read::<Deep>(&nested(10)).is_ok());
    assert!(read::<Deep>(&nested(1_000_000)).is_err());
}
