//! Any text is refused, or prints in a form that reads back to the same tree.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| promgate::fuzzing::promql_roundtrip(bytes));
