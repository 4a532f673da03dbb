//! Any bytes as a chunk are samples or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| promgate::fuzzing::chunk_decode(bytes));
