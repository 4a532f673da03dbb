//! Any rules and tests of them are refused, or give one report.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| promgate::fuzzing::rule_unit_test(bytes));
