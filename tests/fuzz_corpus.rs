//! The laws of the fuzz targets hold for the inputs they start from.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;

/// Runs a law over all inputs of a target.
#[expect(clippy::disallowed_methods, reason = "a test reads its inputs")]
fn replay(target: &str, law: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        law(&std::fs::read(entry.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs > 0, "no inputs in {}", folder.display());
}

#[test]
fn queries_print_and_read_back() {
    replay("promql_roundtrip", promgate::fuzzing::promql_roundtrip);
}

#[test]
fn shortcuts_of_patterns_answer_as_the_engine_does() {
    replay("pattern_shape", promgate::fuzzing::pattern_shape);
}

#[test]
fn expositions_read_back_from_a_dump() {
    replay("exposition_roundtrip", promgate::fuzzing::exposition_roundtrip);
}

#[test]
fn recordings_keep_time_order() {
    replay("recording_order", promgate::fuzzing::recording_order);
}

#[test]
fn chunks_come_back_and_any_bytes_end() {
    replay("chunk_decode", promgate::fuzzing::chunk_decode);
}
