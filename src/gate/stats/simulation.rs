//! The promises of the sequential tests, simulated with a fixed seed: 200 runs of each, or `GATE_RUNS`.

use super::dispersion::Scatter;
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

/// How often each is simulated.
pub(super) fn runs() -> u32 {
    std::env::var("GATE_RUNS").map_or(200, |runs| runs.parse().unwrap())
}

/// So many of a hundred.
fn of(runs: u32, percent: f64) -> usize {
    (f64::from(runs) * percent / 100.0) as usize
}

pub(super) fn allowed(runs: u32) -> usize {
    let runs = f64::from(runs);
    (runs * (0.05 + 3.0 * (0.05 * 0.95 / runs).sqrt())) as usize
}

#[test]
fn a_ratio_exactly_at_the_threshold_rarely_passes_or_fails_at_any_look() {
    let runs = runs();
    for (threshold, every, until) in [(0.05, 10, 4000), (0.01, 50, 10_000)] {
        let outcome = simulate(threshold, threshold, every, until, runs);
        assert!(outcome.passed.len() <= allowed(runs), "{threshold}: {} pass", outcome.passed.len());
        assert!(outcome.failed.len() <= allowed(runs), "{threshold}: {} fail", outcome.failed.len());
    }
}

#[test]
fn neither_looks_at_random_nor_stopping_where_it_looks_best_helps_a_ratio_at_the_threshold() {
    let (runs, limit) = (runs(), 20_f64.ln());
    let mut coins = Coins::new(11);
    // Whoever may stop where the evidence is greatest sees its maximum over all looks.
    let mut ever = |gap: fn(&mut Coins) -> u32| {
        let (mut passed, mut failed) = (0, 0);
        for _ in 0..runs {
            let (mut events, mut trials) = (0.0, 0.0);
            let (mut best_pass, mut best_fail) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
            while trials < 3_000.0 {
                let more = gap(&mut coins);
                events += (0..more).map(|_| f64::from(u8::from(coins.uniform() < 0.05))).sum::<f64>();
                trials += f64::from(more);
                best_pass = best_pass.max(ln_e_pass(events, trials, 0.05));
                best_fail = best_fail.max(ln_e_fail(events, trials, 0.05));
            }
            passed += usize::from(best_pass >= limit);
            failed += usize::from(best_fail >= limit);
        }
        (passed, failed)
    };
    for (passed, failed) in [ever(|coins| 1 + (coins.uniform() * 40.0) as u32), ever(|_| 3)] {
        assert!(passed <= allowed(runs) && failed <= allowed(runs), "{passed} pass, {failed} fail");
    }
}

/// Observations of a histogram of twelve buckets, of which a share is above a limit: on a bound, or between two.
#[test]
fn a_quantile_at_its_limit_rarely_passes_or_fails_wherever_the_limit_lies() {
    let (runs, limit) = (runs(), 20_f64.ln());
    let mut coins = Coins::new(13);
    for (between, share) in [(false, 0.05), (true, 0.05)] {
        let (mut passed, mut failed) = (0, 0);
        for _ in 0..runs {
            // Bounds at 1 to 12; the limit is 6, or 6.5, which the buckets cannot tell from 6 or 7.
            let mut counts = [0.0_f64; 13];
            let (mut passes, mut fails) = (false, false);
            for look in 1..=300 {
                for _ in 0..10 {
                    let above = coins.uniform() < share;
                    // Half of what is above is so by little, as is half of what is below.
                    let far = usize::from(coins.uniform() < 0.5);
                    let bucket = if above { 6 + 2 * far } else { 5 - 2 * far };
                    let at_once = if between && far == 0 { 6 } else { bucket };
                    counts[at_once] += 1.0;
                }
                let trials = f64::from(look * 10);
                let beyond = |bucket: usize| counts[bucket..].iter().sum::<f64>();
                let (fewest, most) = if between { (beyond(7), beyond(6)) } else { (beyond(6), beyond(6)) };
                passes |= ln_e_pass(most, trials, 0.05) >= limit;
                fails |= ln_e_fail(fewest, trials, 0.05) >= limit;
            }
            passed += usize::from(passes);
            failed += usize::from(fails);
        }
        assert!(
            passed <= allowed(runs) && failed <= allowed(runs),
            "{between}: {passed} pass, {failed} fail"
        );
    }
}

/// After how many requests it first passed, and first failed.
type Decided = (Option<f64>, Option<f64>);

/// Looks at 20 requests each whose fates are correlated: Pólya's urn, drawn from anew at each look.
fn clumped((ratio, correlation): (f64, f64), dispersion: bool, looks: u32, coins: &mut Coins) -> Decided {
    let limit = 20_f64.ln();
    let (mut passed, mut failed) = (None, None);
    let (mut events, mut trials) = (0.0, 0.0);
    let mut scatter = Scatter::default();
    for _ in 0..looks {
        let weight = if correlation > 0.0 { (1.0 - correlation) / correlation } else { f64::INFINITY };
        let mut bad = 0.0;
        for drawn in 0..20_u32 {
            let own =
                if weight.is_finite() { (ratio * weight + bad) / (weight + f64::from(drawn)) } else { ratio };
            bad += f64::from(u8::from(coins.uniform() < own));
        }
        events += bad;
        trials += 20.0;
        scatter.look(events, trials);
        let factors =
            if dispersion { scatter.upper(Some(0.05)).zip(scatter.upper(None)) } else { Some((1.0, 1.0)) };
        let Some((for_pass, for_fail)) = factors else { continue };
        if passed.is_none() && ln_e_pass(events / for_pass, trials / for_pass, 0.05) >= limit {
            passed = Some(trials);
        }
        if failed.is_none() && ln_e_fail(events / for_fail, trials / for_fail, 0.05) >= limit {
            failed = Some(trials);
        }
    }
    (passed, failed)
}

#[test]
fn bursts_that_are_allowed_for_hardly_ever_pass_or_fail_a_ratio_at_the_threshold() {
    let runs = runs();
    let mut coins = Coins::new(23);
    let mut share = |of: (f64, f64), dispersion| {
        let all: Vec<_> = (0..runs).map(|_| clumped(of, dispersion, 200, &mut coins)).collect();
        let part = |count: usize| count as f64 / f64::from(runs);
        (
            part(all.iter().filter(|(passed, _)| passed.is_some()).count()),
            part(all.iter().filter(|(_, failed)| failed.is_some()).count()),
        )
    };
    let three_errors = |share: f64| 3.0 * (share * (1.0 - share) / f64::from(runs)).sqrt();
    for (correlation, passes) in [(0.0, 0.02), (0.02, 0.04), (0.05, 0.06), (0.1, 0.1)] {
        let (passed, failed) = share((0.05, correlation), true);
        assert!(passed <= passes + three_errors(passes), "{correlation}: {passed} pass");
        assert!(failed <= 0.02 + three_errors(0.02), "{correlation}: {failed} fail");
    }
    // The plain test passes a third of them.
    let (passed, _) = share((0.05, 0.1), false);
    assert!(passed >= 0.2, "{passed}");
}

#[test]
fn bursts_that_are_allowed_for_take_twenty_looks_and_more_requests() {
    let mut coins = Coins::new(29);
    let mut median = |of: (f64, f64), which: fn(Decided) -> Option<f64>| {
        let mut all: Vec<f64> = (0..100).filter_map(|_| which(clumped(of, true, 200, &mut coins))).collect();
        assert!(all.len() >= 98, "{of:?}: {}", all.len());
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let good = median((0.01, 0.0), |(passed, _)| passed);
    assert!(good <= 440.0, "{good}");
    let bad = median((0.1, 0.05), |(_, failed)| failed);
    assert!((400.0..=700.0).contains(&bad), "{bad}");
}

#[test]
fn good_ratios_pass_soon() {
    for (ratio, median) in [(0.0, 80.0), (0.01, 150.0), (0.02, 270.0), (0.03, 750.0)] {
        let outcome = simulate(0.05, ratio, 10, 5000, runs());
        assert!(outcome.passed.len() >= of(runs(), 98.5), "{ratio}: {} pass", outcome.passed.len());
        // A median over 200 runs is within a fifth of the true one.
        assert!(outcome.passed[outcome.passed.len() / 2] <= median * 1.2, "{ratio}");
    }
}

#[test]
fn bad_ratios_fail_soon_and_hardly_ever_pass() {
    for (ratio, median) in [(0.08, 460.0), (0.1, 180.0), (0.2, 40.0)] {
        let outcome = simulate(0.05, ratio, 10, 5000, runs());
        assert!(outcome.failed.len() >= of(runs(), 98.5), "{ratio}: {} fail", outcome.failed.len());
        assert!(outcome.failed[outcome.failed.len() / 2] <= median * 1.2, "{ratio}");
        assert!(outcome.passed.len() <= of(runs(), 2.0), "{ratio}: {} pass", outcome.passed.len());
    }
}
