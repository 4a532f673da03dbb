//! Sealed histograms are hardly larger than what they tell.

#[allow(dead_code, reason = "the benches take the rest")]
#[allow(clippy::indexing_slicing, reason = "a test stops at the first surprise")]
#[path = "../benches/workload"]
mod workload {
    pub(crate) mod floor;
    pub(crate) mod random;
    pub(crate) mod span_metrics;

    pub(crate) use random::Random;
}

use promgate::fuzzing::{SealedFamily, time_column_size};
use workload::span_metrics::{BOUNDS, Family, Workload};

const ROWS: usize = 480;
/// What a chunk takes beside its body.
const FRAME: usize = 12;

/// Bytes of all samples with their frames, and how many samples there are.
fn bytes(workload: &Workload) -> (f64, f64) {
    let bodies = workload.families.iter().map(|family: &Family| {
        let rows = family.buckets.iter().zip(&family.sums);
        let values: Vec<f64> = rows
            .flat_map(|(buckets, sum)| {
                let count = buckets.last().copied();
                buckets.iter().copied().chain(count).map(|count| count as f64).chain([*sum])
            })
            .collect();
        SealedFamily::new(&BOUNDS, &workload.jittered, &values)
            .sizes()
            .map(|size| size + FRAME)
            .sum::<usize>()
    });
    let bytes = bodies.sum::<usize>() + time_column_size(&workload.jittered);
    (bytes as f64, workload.samples() as f64)
}

#[test]
fn traffic_takes_little_more_than_its_entropy() {
    let workload = Workload::fixed(5.0, 8, ROWS);
    let (bytes, samples) = bytes(&workload);
    let (counts, sums) = workload.floor();
    let ratio = bytes / samples / (counts + sums);
    // Further below 1 than the floor is uncertain would be as wrong: a code that loses something.
    assert!((0.98..1.12).contains(&ratio), "{ratio} times the floor");
}

#[test]
fn idle_histograms_take_next_to_nothing() {
    let (bytes, samples) = bytes(&Workload::fixed(0.0, 24, ROWS));
    assert!(bytes / samples < 0.005, "{} bytes a sample", bytes / samples);
}
