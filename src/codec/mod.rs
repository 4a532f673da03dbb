//! Numbers to bits and back: pure functions. Reading takes bytes as hostile and never panics.
#![deny(clippy::arithmetic_side_effects)]

pub(crate) mod bits;
pub(crate) mod histogram;
pub(crate) mod log2;
pub(crate) mod packed;
pub(crate) mod probability;
pub(crate) mod rans;
pub(crate) mod times;
pub(crate) mod varint;
pub(crate) mod xor;
