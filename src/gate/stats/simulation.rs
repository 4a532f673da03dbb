//! The promises of the sequential tests, simulated with a fixed seed.

use super::sequential::{ln_e_fail, ln_e_pass};

/// SplitMix64, enough for coin tosses that are the same on every machine.
pub(super) struct Coins(u64);

impl Coins {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

struct Outcome {
    passed: Vec<f64>,
    failed: Vec<f64>,
}

/// Looks every `every` requests up to `until`; records where each of `runs` first passed and first failed.
fn simulate(threshold: f64, ratio: f64, every: u32, until: u32, runs: u32) -> Outcome {
    let limit = 20_f64.ln();
    let mut coins = Coins::new(7);
    let mut outcome = Outcome { passed: Vec::new(), failed: Vec::new() };
    for _ in 0..runs {
        let (mut events, mut trials) = (0.0, 0.0);
        let (mut passed, mut failed) = (false, false);
        for look in 1..=until / every {
            for _ in 0..every {
                events += f64::from(u8::from(coins.uniform() < ratio));
            }
            trials = f64::from(look * every);
            if !passed && ln_e_pass(events, trials, threshold) >= limit {
                passed = true;
                outcome.passed.push(trials);
            }
            if !failed && ln_e_fail(events, trials, threshold) >= limit {
                failed = true;
                outcome.failed.push(trials);
            }
            if passed && failed {
                break;
            }
        }
        assert!(trials > 0.0);
    }
    outcome.passed.sort_by(f64::total_cmp);
    outcome.failed.sort_by(f64::total_cmp);
    outcome
}

fn allowed(runs: u32) -> usize {
    let runs = f64::from(runs);
    (runs * (0.05 + 3.0 * (0.05 * 0.95 / runs).sqrt())) as usize
}

#[test]
fn a_ratio_exactly_at_the_threshold_rarely_passes_or_fails_at_any_look() {
    let runs = 200;
    for (threshold, every, until) in [(0.05, 10, 4000), (0.01, 50, 10_000)] {
        let outcome = simulate(threshold, threshold, every, until, runs);
        assert!(outcome.passed.len() <= allowed(runs), "{threshold}: {} pass", outcome.passed.len());
        assert!(outcome.failed.len() <= allowed(runs), "{threshold}: {} fail", outcome.failed.len());
    }
}

#[test]
fn good_ratios_pass_soon() {
    for (ratio, median) in [(0.0, 80.0), (0.01, 150.0), (0.02, 270.0), (0.03, 750.0)] {
        let outcome = simulate(0.05, ratio, 10, 5000, 200);
        assert!(outcome.passed.len() >= 197, "{ratio}: {} pass", outcome.passed.len());
        // A median over 200 runs is within a fifth of the true one.
        assert!(outcome.passed[outcome.passed.len() / 2] <= median * 1.2, "{ratio}");
    }
}

#[test]
fn bad_ratios_fail_soon_and_hardly_ever_pass() {
    for (ratio, median) in [(0.08, 460.0), (0.1, 180.0), (0.2, 40.0)] {
        let outcome = simulate(0.05, ratio, 10, 5000, 200);
        assert!(outcome.failed.len() >= 197, "{ratio}: {} fail", outcome.failed.len());
        assert!(outcome.failed[outcome.failed.len() / 2] <= median * 1.2, "{ratio}");
        assert!(outcome.passed.len() <= 4, "{ratio}: {} pass", outcome.passed.len());
    }
}
