//! A pattern's shortcuts answer as the engine does.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| promgate::fuzzing::pattern_shape(bytes));
