//! Any gate over any data comes to the same end wherever it is resumed, and does not pass on nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| promgate::fuzzing::gate_total(bytes));
