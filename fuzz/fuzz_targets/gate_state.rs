//! An edited state of a gate is refused, or is the state that was written.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| promgate::fuzzing::gate_state(bytes));
