//! Any query answers the same by whatever way it is evaluated.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| promgate::fuzzing::promql_eval(bytes));
