//! Numbers to bits and back: pure functions. Reading takes bytes as hostile and never panics.
#![deny(clippy::arithmetic_side_effects)]

pub(crate) mod bits;
pub(crate) mod varint;
pub(crate) mod xor;
