//! Any bytes as a segment are an error or what was sealed.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| promgate::fuzzing::segment_open(bytes));
