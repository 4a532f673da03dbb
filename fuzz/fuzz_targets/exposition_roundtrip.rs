//! What was read of an exposition reads back from a dump.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| promgate::fuzzing::exposition_roundtrip(bytes));
