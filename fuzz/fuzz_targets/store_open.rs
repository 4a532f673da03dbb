//! An edited store is an error, or reports what it lacks, or holds what it held.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| promgate::fuzzing::store_open(bytes));
