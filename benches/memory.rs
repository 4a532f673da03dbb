//! Bytes of memory for each series that is appended to, by a counting allocator, at 50,000 and 500,000 series.
//!
//! Limits to work towards, labels aside: 110 B for a series of a histogram [60], 200 B for a single one [175].
#![allow(missing_docs, reason = "a bench has no documentation")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench stops at the first surprise")]

use std::path::Path;

#[path = "workload/mod.rs"]
mod workload;
use workload::memory::{Counting, Measured, histograms, singles};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

type Measure = fn(Option<&Path>, usize) -> Measured;

fn main() {
    println!(
        "bytes of memory a series: mean over a cycle of sealing on disk, its peak | in memory after 64 scrapes | labels"
    );
    for (what, limit, measure) in
        [("of a histogram", 110.0, histograms as Measure), ("single", 200.0, singles as Measure)]
    {
        for series in [50_000, 500_000] {
            let folder = tempfile::tempdir().unwrap();
            let disk = measure(Some(folder.path()), series);
            let memory = measure(None, series);
            println!(
                "{what}, {series}: {:.1} B, {:.1} B (limit: {limit} B) | {:.1} B | {:.1} B",
                disk.mean, disk.peak, memory.mean, disk.labels
            );
        }
    }
}
