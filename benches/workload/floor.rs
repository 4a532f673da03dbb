//! How much a workload tells: the bits that no lossless code can do without, given the rates it was made with.

use std::f64::consts::{E, LOG2_E, PI, SQRT_2};

use super::span_metrics::{BUCKETS, Latency, UPPER};

/// What the latencies inside a bucket are.
pub(crate) struct BucketStats {
    pub(crate) share: f64,
    /// In square milliseconds.
    pub(crate) variance: f64,
    /// Differential entropy in bits, of milliseconds.
    pub(crate) entropy: f64,
}

fn erfc(x: f64) -> f64 {
    const TERMS: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let z = x.abs();
    let t = 1.0 / (1.0 + 0.5 * z);
    let series = TERMS.iter().rev().fold(0.0, |sum, term| sum * t + term);
    let tail = t * (-z * z + series).exp();
    if x >= 0.0 { tail } else { 2.0 - tail }
}

/// The normal distribution below `x`.
fn below(x: f64) -> f64 {
    0.5 * erfc(-x / SQRT_2)
}

/// Share, variance and entropy of the latencies of each bucket.
pub(crate) fn bucket_stats(latency: Latency) -> [BucketStats; BUCKETS] {
    const STEPS: u32 = 2000;
    let mut low = 0.0_f64;
    std::array::from_fn(|bucket| {
        let high = UPPER.get(bucket).copied().unwrap_or(1e9);
        let from = if low > 0.0 { (low.ln() - latency.mu) / latency.sigma } else { -40.0 };
        let to = (high.ln() - latency.mu) / latency.sigma;
        low = high;
        let share = (below(to) - below(from)).max(0.0);
        let (from, to) = (from.max(-9.0), to.min(9.0));
        if to <= from || share <= 1e-18 {
            return BucketStats { share, variance: 0.0, entropy: 0.0 };
        }
        let step = (to - from) / f64::from(STEPS);
        let (mut weights, mut firsts, mut seconds, mut bits) = (0.0, 0.0, 0.0, 0.0);
        for index in 0..STEPS {
            let z = from + (f64::from(index) + 0.5) * step;
            let density = (-0.5 * z * z).exp() / (2.0 * PI).sqrt();
            let x = (latency.mu + latency.sigma * z).exp();
            let weight = density * step;
            weights += weight;
            firsts += weight * x;
            seconds += weight * x * x;
            bits -= weight * (density / (x * latency.sigma)).log2();
        }
        let mean = firsts / weights;
        BucketStats {
            share,
            variance: (seconds / weights - mean * mean).max(0.0),
            entropy: bits / weights + weights.log2(),
        }
    })
}

/// Bits of a Poisson variable.
pub(crate) fn poisson_bits(mean: f64) -> f64 {
    if mean <= 1e-12 {
        return 0.0;
    }
    if mean > 60.0 {
        let correction = 1.0 / (12.0 * mean) + 1.0 / (24.0 * mean * mean);
        return 0.5 * (2.0 * PI * E * mean).log2() - correction * LOG2_E;
    }
    let (mut bits, mut log, mut count) = (0.0, -mean, 0.0_f64);
    while count <= mean || log >= -45.0 {
        bits -= log.exp() * log * LOG2_E;
        count += 1.0;
        log += mean.ln() - count.ln();
    }
    bits
}

/// Bits of a normal variable with this variance, rounded to whole numbers.
pub(crate) fn rounded_normal_bits(variance: f64) -> f64 {
    if variance <= 1e-9 {
        return 0.0;
    }
    if variance > 4.0 {
        return 0.5 * (2.0 * PI * E * variance).log2();
    }
    let deviation = variance.sqrt();
    (-40..=40)
        .map(|k| below((f64::from(k) + 0.5) / deviation) - below((f64::from(k) - 0.5) / deviation))
        .filter(|share| *share > 1e-15)
        .map(|share| -share * share.log2())
        .sum()
}
