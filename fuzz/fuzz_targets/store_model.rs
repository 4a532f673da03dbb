//! A store under any operations holds what a plain map says.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| promgate::fuzzing::store_model(bytes));
