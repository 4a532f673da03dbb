//! Any bytes as a file of the log: the longest run of frames, nothing past a bad one.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| promgate::fuzzing::frame_scan(bytes));
