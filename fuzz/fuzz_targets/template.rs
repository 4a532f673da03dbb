//! Any AnalysisTemplate is refused, or linted and run; by evidence it does not pass on nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| promgate::fuzzing::template(bytes));
