//! Bytes of memory for each series that is appended to, by a counting allocator, at 50,000 and 500,000 series.
//!
//! Limits to work towards, labels aside: 110 B for a series of a histogram [60], 200 B for a single one [175]. And what it takes
//! to let go of series of which nothing is left.
#![allow(missing_docs, reason = "a bench has no documentation")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench stops at the first surprise")]

use std::path::Path;

#[path = "workload/mod.rs"]
mod workload;
use workload::memory::{Counting, Measured, histograms, leaving, singles};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Whether something is asked for: without a word on the command line everything is.
fn is_wanted(what: &str) -> bool {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
    words.peek().is_none() || words.any(|word| what.contains(&word))
}

type Measure = fn(Option<&Path>, usize) -> Measured;

fn main() {
    println!(
        "bytes of memory a series: mean over a cycle of sealing on disk, its peak | in memory after 64 scrapes | labels"
    );
    for (what, limit, measure) in
        [("of a histogram", 110.0, histograms as Measure), ("single", 200.0, singles as Measure)]
    {
        for series in [50_000, 500_000] {
            if !is_wanted(&format!("{what}, {series}")) {
                continue;
            }
            let folder = tempfile::tempdir().unwrap();
            let disk = measure(Some(folder.path()), series);
            let memory = measure(None, series);
            println!(
                "{what}, {series}: {:.1} B, {:.1} B (limit: {limit} B) | {:.1} B | {:.1} B",
                disk.mean, disk.peak, memory.mean, disk.labels
            );
        }
    }
    if !is_wanted("leaving") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let left = leaving(folder.path(), 500_000, 100);
    let [before, full, after] = left.bytes.map(|bytes| bytes / f64::from(1 << 20));
    println!(
        "495,000 of 500,000 series leave: {:.0} ms on a core in {} steps of at most {:.1} ms; {before:.1} MiB, {full:.1} MiB with \
         all, {after:.1} MiB after",
        left.all * 1e3,
        left.steps,
        left.longest * 1e3,
    );
}
