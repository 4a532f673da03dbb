//! Histograms and other series as services under traffic make them, the same in every run, and how few bytes they
//! could be.
#![allow(dead_code, unused_imports, reason = "each bench takes what it needs")]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a bench stops at the first surprise")]

pub(crate) mod allocator;
pub(crate) mod clock;
pub(crate) mod floor;
pub(crate) mod measurement;
pub(crate) mod memory;
pub(crate) mod pods;
pub(crate) mod random;
pub(crate) mod singles;
pub(crate) mod span_metrics;
mod store;

pub(crate) use clock::on_core;
pub(crate) use random::Random;
pub(crate) use span_metrics::BOUNDS;
pub(crate) use store::*;
