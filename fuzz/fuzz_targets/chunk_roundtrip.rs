//! Samples that bytes describe come back from chunks.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| promgate::fuzzing::chunk_roundtrip(bytes));
