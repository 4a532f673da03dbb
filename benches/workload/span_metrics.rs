//! Classic histograms of span durations, one for each service, span, status and pod.
//!
//! Traffic is Poisson about a rate that follows the day and noise, latencies are lognormal in whole nanoseconds, added to
//! the float sum in the order of arrival; pods restart; counters have a history before the first scrape.

use super::Random;
use super::floor::{self, BucketStats, bucket_stats};

/// The bounds that span metrics have by default, in milliseconds.
pub(crate) const BOUNDS: [&str; 17] = [
    "2", "4", "6", "8", "10", "50", "100", "200", "400", "800", "1000", "1400", "2000", "5000", "10000",
    "15000", "+Inf",
];
pub(crate) const UPPER: [f64; 16] = [
    2.0, 4.0, 6.0, 8.0, 10.0, 50.0, 100.0, 200.0, 400.0, 800.0, 1000.0, 1400.0, 2000.0, 5000.0, 10000.0,
    15000.0,
];
pub(crate) const BUCKETS: usize = BOUNDS.len();
/// A full turn, cut off as in the figures that are compared with: another number is another workload.
#[expect(clippy::approx_constant, reason = "the workload is made of these digits")]
const ROUND: f64 = 6.28;
#[expect(clippy::approx_constant, reason = "the workload is made of these digits")]
const DAY: f64 = 6.283;
const RESTARTS: f64 = 4.0 * 3600.0;

/// A lognormal latency, in the logarithm of milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Latency {
    pub(crate) mu: f64,
    pub(crate) sigma: f64,
}

impl Latency {
    fn any(random: &mut Random) -> Self {
        Self { mu: random.log_between(1.0, 400.0).ln(), sigma: random.between(0.25, 0.9) }
    }
}

/// One histogram: cumulative buckets and sum by scrape, and what they tell at least, in bits.
pub(crate) struct Family {
    pub(crate) buckets: Vec<[u64; BUCKETS]>,
    pub(crate) sums: Vec<f64>,
    pub(crate) floor_counts: f64,
    pub(crate) floor_sums: f64,
}

/// Histograms that are scraped together.
pub(crate) struct Workload {
    pub(crate) name: String,
    pub(crate) families: Vec<Family>,
    pub(crate) on_grid: Vec<i64>,
    pub(crate) jittered: Vec<i64>,
}

#[derive(Clone, Copy)]
struct Service {
    rate: f64,
    latency: Latency,
    rows: usize,
    /// Nanoseconds that durations are multiples of.
    quantum: u64,
    /// Mean seconds between restarts.
    restarts: f64,
    /// From this row on latencies are three times what they were; traffic is three times for a while before it.
    shift: usize,
    /// Seconds between scrapes, and scrapes between flushes of the source.
    step: f64,
    hold: usize,
}

impl Service {
    fn new(rate: f64, latency: Latency, rows: usize) -> Self {
        Self { rate, latency, rows, quantum: 1, restarts: RESTARTS, shift: 0, step: 15.0, hold: 1 }
    }

    fn family(&self, random: &mut Random) -> Family {
        let mut latency = self.latency;
        let mut stats = bucket_stats(latency);
        let phase = random.between(0.0, ROUND);
        let mut restart = -self.restarts * random.unit().ln();
        let (mut counts, mut sum) = self.history(random, &stats);
        let mut family = Family {
            buckets: Vec::with_capacity(self.rows),
            sums: Vec::with_capacity(self.rows),
            floor_counts: 0.0,
            floor_sums: 0.0,
        };
        let mut noise = 0.0_f64;
        for row in 0..self.rows {
            if row % self.hold == 0 {
                let now = row as f64 * self.step;
                if now > restart {
                    (counts, sum) = ([0; BUCKETS], 0.0);
                    restart = now - self.restarts * random.unit().ln();
                }
                if row == self.shift {
                    latency.mu += 3_f64.ln();
                    stats = bucket_stats(latency);
                }
                if row % 4 == 0 || self.hold > 1 {
                    noise = 0.7 * noise + 0.07 * random.normal();
                }
                let surge = self.shift > 0 && (self.shift - 100..self.shift - 60).contains(&row);
                let mean = self.rate
                    * self.step
                    * self.hold as f64
                    * (1.0 + 0.3 * (now / 86400.0 * DAY + phase).sin())
                    * noise.exp()
                    * if surge { 3.0 } else { 1.0 };
                let seen = self.observe(random, latency, mean, &mut sum);
                let mut total = 0;
                for (count, seen) in counts.iter_mut().zip(&seen) {
                    total += seen;
                    *count += total;
                }
                family.add_floor(self, &stats, mean, &seen);
            }
            family.buckets.push(counts);
            family.sums.push(sum);
        }
        family
    }

    /// What up to three days before the first scrape left.
    fn history(&self, random: &mut Random, stats: &[BucketStats]) -> ([u64; BUCKETS], f64) {
        let observations = (self.rate * random.between(0.0, 3.0 * 86400.0)) as u64;
        let (mut counts, mut total) = ([0; BUCKETS], 0);
        for (count, stats) in counts.iter_mut().zip(stats) {
            total += (observations as f64 * stats.share) as u64;
            *count = total;
        }
        let mean = (self.latency.mu + self.latency.sigma * self.latency.sigma / 2.0).exp();
        (counts, (total as f64 * mean * 1e6).round() / 1e6)
    }

    fn observe(&self, random: &mut Random, latency: Latency, mean: f64, sum: &mut f64) -> [u64; BUCKETS] {
        let mut seen = [0; BUCKETS];
        for _ in 0..random.poisson(mean) {
            let milliseconds = (latency.mu + latency.sigma * random.normal()).exp();
            let nanoseconds = ((milliseconds * 1e6) as u64 / self.quantum).max(1) * self.quantum;
            let value = nanoseconds as f64 / 1e6;
            *sum += value;
            seen[UPPER.iter().position(|upper| value <= *upper).unwrap_or(BUCKETS - 1)] += 1;
        }
        seen
    }
}

impl Family {
    fn add_floor(&mut self, service: &Service, stats: &[BucketStats], mean: f64, seen: &[u64]) {
        self.floor_counts += stats.iter().map(|stats| floor::poisson_bits(mean * stats.share)).sum::<f64>();
        let total: u64 = seen.iter().sum();
        if total == 0 {
            return;
        }
        let scale = (1e6 / service.quantum as f64).log2();
        let bits = if total == 1 {
            seen.iter().zip(stats).find(|(seen, _)| **seen > 0).map_or(0.0, |(_, stats)| stats.entropy)
        } else {
            let variance: f64 =
                seen.iter().zip(stats).map(|(seen, stats)| *seen as f64 * stats.variance).sum();
            0.5 * (2.0 * std::f64::consts::PI * std::f64::consts::E * variance).log2()
        };
        // Float additions leave a rounding of their own.
        self.floor_sums += (bits + scale).max(0.0) + floor::rounded_normal_bits((total - 1) as f64 / 12.0);
    }
}

impl Workload {
    fn new(
        name: impl Into<String>,
        families: Vec<Family>,
        rows: usize,
        step: f64,
        random: &mut Random,
    ) -> Self {
        let mut times = |deviation: f64| -> Vec<i64> {
            let jitter = (0..rows).map(|row| (row, (random.normal() * deviation).round() as i64));
            jitter
                .map(|(row, jitter)| 1_760_000_000_000 + (step * 1000.0) as i64 * row as i64 + jitter)
                .collect()
        };
        Self { name: name.into(), families, on_grid: times(0.0), jittered: times(3.0) }
    }

    /// Bytes a sample that no lossless code can do without: for counts and for sums.
    pub(crate) fn floor(&self) -> (f64, f64) {
        let samples = self.samples() as f64 * 8.0;
        let bits = |floor: fn(&Family) -> f64| self.families.iter().map(floor).sum::<f64>() / samples;
        (bits(|family| family.floor_counts), bits(|family| family.floor_sums))
    }

    pub(crate) fn samples(&self) -> usize {
        self.families.len() * self.on_grid.len() * (BUCKETS + 2)
    }

    /// Six services with four spans, good and failed, on four pods each: 192 histograms.
    pub(crate) fn mix(rows: usize, quantum: u64) -> Self {
        let mut random = Random::new(42);
        let mut families = Vec::new();
        for _ in 0..6 * 4 {
            let rate = random.log_between(0.05, 500.0);
            let (good, failed) = (Latency::any(&mut random), Latency::any(&mut random));
            let share = random.log_between(0.0005, 0.05);
            for _ in 0..4 {
                for (rate, latency) in [(rate, good), (rate * share, failed)] {
                    families
                        .push(Service { quantum, ..Service::new(rate, latency, rows) }.family(&mut random));
                }
            }
        }
        let name = if quantum == 1 { "mix" } else { "mix, microseconds" };
        Self::new(name, families, rows, 15.0, &mut random)
    }

    /// Histograms that all see the same traffic.
    pub(crate) fn fixed(rate: f64, families: usize, rows: usize) -> Self {
        let mut random = Random::new(1000 + (rate * 100.0) as u64);
        let families = (0..families)
            .map(|_| Service::new(rate, Latency::any(&mut random), rows).family(&mut random))
            .collect();
        Self::new(format!("{rate} rps"), families, rows, 15.0, &mut random)
    }

    /// Every other histogram sees a surge, and latencies three times what they were after it.
    pub(crate) fn shift(rows: usize) -> Self {
        let mut random = Random::new(77);
        let families = (0..96)
            .map(|index| {
                let latency = Latency::any(&mut random);
                let rate = random.log_between(0.05, 500.0);
                let shift = if index % 2 == 0 { rows / 2 } else { 0 };
                Service { shift, ..Service::new(rate, latency, rows) }.family(&mut random)
            })
            .collect();
        Self::new("shift", families, rows, 15.0, &mut random)
    }

    /// Pods that crash again and again.
    pub(crate) fn restarts(every: f64, rows: usize) -> Self {
        let mut random = Random::new(555);
        let families = (0..48)
            .map(|_| {
                let latency = Latency::any(&mut random);
                Service { restarts: every, ..Service::new(5.0, latency, rows) }.family(&mut random)
            })
            .collect();
        Self::new(format!("restarts every {every} s"), families, rows, 15.0, &mut random)
    }

    /// A source that flushes every 60 s, scraped every 10 s.
    pub(crate) fn plateau(rows: usize) -> Self {
        let mut random = Random::new(4242);
        let families = (0..96)
            .map(|_| {
                let latency = Latency::any(&mut random);
                let rate = random.log_between(0.005, 500.0);
                Service { step: 10.0, hold: 6, ..Service::new(rate, latency, rows) }.family(&mut random)
            })
            .collect();
        Self::new("plateau", families, rows, 10.0, &mut random)
    }
}
