//! A recording of any bytes ends in an answer, samples in time order.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| promgate::fuzzing::recording_order(bytes));
