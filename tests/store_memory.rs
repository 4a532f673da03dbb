//! Bytes of memory for each series that is appended to, by a counting allocator. `cargo bench --bench memory` tells more.
#![allow(dead_code, reason = "the benches' workloads have more than is used here")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::path::Path;

#[path = "../benches/workload/mod.rs"]
mod workload;
use workload::memory::{Counting, Measured, histograms, singles};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test: the allocator counts for the whole process.
#[test]
fn a_series_takes_no_more_memory_than_was_promised() {
    let mut over = false;
    let mut check = |what: &str, limit: f64, measure: fn(Option<&Path>, usize) -> Measured| {
        let folder = tempfile::tempdir().unwrap();
        for folder in [Some(folder.path()), None] {
            let measured = measure(folder, 50_000);
            println!("{what}, on disk: {}: {measured:?}", folder.is_some());
            over |= measured.mean > limit;
        }
    };
    check("series of histograms", 110.0, histograms);
    check("single series", 200.0, singles);
    assert!(!over, "see above");
}
