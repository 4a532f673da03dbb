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
fn any_bytes_as_a_chunk_are_samples_or_an_error() {
    replay("chunk_decode", promgate::fuzzing::chunk_decode);
}

#[test]
fn samples_come_back_from_chunks() {
    replay("chunk_roundtrip", promgate::fuzzing::chunk_roundtrip);
}

#[test]
fn the_longest_run_of_frames_is_taken() {
    replay("frame_scan", promgate::fuzzing::frame_scan);
}

#[test]
fn any_bytes_as_a_segment_are_an_error_or_what_was_sealed() {
    replay("segment_open", promgate::fuzzing::segment_open);
}

#[test]
fn an_edited_store_is_an_error_or_reports_or_is_whole() {
    replay("store_open", promgate::fuzzing::store_open);
}

#[test]
fn a_store_under_any_operations_holds_what_a_map_says() {
    replay("store_model", promgate::fuzzing::store_model);
}

#[test]
fn queries_answer_the_same_by_whatever_way() {
    replay("promql_eval", promgate::fuzzing::promql_eval);
}

#[test]
fn templates_are_refused_or_linted_and_run() {
    replay("template", promgate::fuzzing::template);
}

#[test]
fn conditions_are_refused_or_decide_alike() {
    replay("condition", promgate::fuzzing::condition);
}

#[test]
fn gates_come_to_the_same_end_wherever_they_are_resumed() {
    replay("gate_total", promgate::fuzzing::gate_total);
}

#[test]
fn edited_states_of_gates_are_refused() {
    replay("gate_state", promgate::fuzzing::gate_state);
}

#[test]
fn rules_and_their_tests_give_one_report() {
    replay("rule_unit_test", promgate::fuzzing::rule_unit_test);
}
