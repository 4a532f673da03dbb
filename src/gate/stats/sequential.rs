//! Tests of a ratio against a threshold that stay valid however often one looks.
//!
//! Two e-processes, functions of the cumulative counts only: likelihood ratios against the threshold, mixed over the
//! better (or worse) ratios by a beta prior cut at the threshold. While the true ratio is on the wrong side, each is
//! a non-negative supermartingale that starts at 1, so the chance that it ever reaches 1/α is at most α (Ville 1939;
//! mixtures: Robbins 1970). Requests are taken as independent.

use super::beta::{bisect, ln_beta, ln_beta_inc};

/// The prior of the passing side: Jeffreys', cut to ratios below the threshold.
const PASS_PRIOR: (f64, f64) = (0.5, 0.5);
/// Counts beyond this leave the range in which doubles count exactly.
const MAX_COUNT: f64 = 9_007_199_254_740_992.0;
/// Beyond this many requests the differences of logarithms lose the digits that decide.
const MAX_EXACT: f64 = 1e9;

/// The prior of the failing side: mean twice the threshold, cut to ratios above it.
fn fail_prior(threshold: f64) -> (f64, f64) {
    (1.0, (1.0 / (2.0 * threshold) - 1.0).max(1.0))
}

/// Counts that a test can use: `0 <= events <= trials`, threshold inside (0, 1).
pub(super) fn usable(events: f64, trials: f64, threshold: f64) -> bool {
    (0.0..=trials).contains(&events) && trials <= MAX_COUNT && threshold > 0.0 && threshold < 1.0
}

/// The counts, scaled down to what the formulas can tell apart.
///
/// Scaling by c < 1 turns every likelihood ratio L into L^c, and the mean of L^c is at most the mean of L, to the
/// power of c (Jensen). So scaled counts never reach 1/α where the counts themselves would not.
pub(super) fn scaled(events: f64, trials: f64) -> (f64, f64) {
    if trials <= MAX_EXACT { (events, trials) } else { (events * (MAX_EXACT / trials), MAX_EXACT) }
}

/// ln E_pass: evidence that the ratio is below the threshold. No evidence (negative infinity) for counts that are
/// none.
pub(crate) fn ln_e_pass(events: f64, trials: f64, threshold: f64) -> f64 {
    if !usable(events, trials, threshold) {
        return f64::NEG_INFINITY;
    }
    let (events, trials) = scaled(events, trials);
    let (a, b) = PASS_PRIOR;
    let misses = trials - events;
    ln_beta(a + events, b + misses) + ln_beta_inc(threshold, a + events, b + misses)
        - ln_beta(a, b)
        - ln_beta_inc(threshold, a, b)
        - ln_likelihood(events, misses, threshold)
}

/// ln E_fail: evidence that the ratio is above the threshold. No evidence (negative infinity) for counts that are
/// none.
pub(crate) fn ln_e_fail(events: f64, trials: f64, threshold: f64) -> f64 {
    if !usable(events, trials, threshold) {
        return f64::NEG_INFINITY;
    }
    let (events, trials) = scaled(events, trials);
    let (a, b) = fail_prior(threshold);
    let misses = trials - events;
    ln_beta(a + events, b + misses) + ln_beta_inc(1.0 - threshold, b + misses, a + events)
        - ln_beta(a, b)
        - ln_beta_inc(1.0 - threshold, b, a)
        - ln_likelihood(events, misses, threshold)
}

/// Whether counts pass a threshold at any look, `alpha` the probability to pass a ratio that is not below it.
pub(crate) fn passing(threshold: f64, alpha: f64) -> impl Fn(f64, f64) -> bool {
    let limit = libm::log(1.0 / alpha);
    move |events, trials| ln_e_pass(events, trials, threshold) >= limit
}

fn ln_likelihood(events: f64, misses: f64, ratio: f64) -> f64 {
    events * libm::log(ratio) + misses * libm::log1p(-ratio)
}

/// The ratios that the counts do not exclude: a confidence sequence, valid at all looks together.
pub(crate) fn confidence_sequence(events: f64, trials: f64, alpha: f64) -> (f64, f64) {
    if !usable(events, trials, 0.5) || trials <= 0.0 {
        return (0.0, 1.0);
    }
    let (events, trials) = scaled(events, trials);
    let (a, b) = PASS_PRIOR;
    let misses = trials - events;
    let mixed = ln_beta(a + events, b + misses) - ln_beta(a, b);
    let limit = libm::log(1.0 / alpha);
    let excluded = |ratio: f64| mixed - ln_likelihood(events, misses, ratio) >= limit;
    let centre = (events + 0.5) / (trials + 1.0);
    let low = if events <= 0.0 { 0.0 } else { bisect(0.0, centre, |ratio| !excluded(ratio)) };
    let high = if misses <= 0.0 { 1.0 } else { bisect(centre, 1.0, excluded) };
    (low, high)
}

/// How many requests it takes in all until a test of events among requests passes, if events go on at the ratio seen so far;
/// none if it never does, as none does at the threshold.
pub(crate) fn trials_needed(
    events: f64,
    trials: f64,
    threshold: f64,
    test: impl Fn(f64, f64) -> bool,
) -> Option<f64> {
    let seen = if trials > 0.0 { events / trials } else { 0.0 };
    let passes = |more: f64| {
        let extra = (seen * more).round();
        test(events + extra, trials + more)
    };
    if seen >= threshold || !usable(events, trials, threshold) {
        return None;
    }
    // Whole numbers of further requests: doubling, then halving.
    let mut high = 1_u64;
    while !passes(high as f64) {
        high = high.saturating_mul(2);
        if high > 1_000_000_000 {
            return None;
        }
    }
    let mut low = 0;
    while low < high {
        let middle = low.midpoint(high);
        if passes(middle as f64) {
            high = middle;
        } else {
            low = middle.saturating_add(1);
        }
    }
    Some(trials + high as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trials_needed(events: f64, trials: f64, threshold: f64, alpha: f64) -> Option<f64> {
        super::trials_needed(events, trials, threshold, passing(threshold, alpha))
    }

    #[test]
    fn e_processes_agree_with_the_reference_values() {
        for (events, trials, threshold, pass, fail) in [
            (0.0, 0.0, 0.05, 0.0, 0.0),
            (1.0, 1.0, 0.05, -1.0918050707, 1.0647107370),
            (3.0, 6.0, 0.05, -1.8995241805, 3.1892546031),
            (0.0, 59.0, 0.05, 2.3402316516, -2.0222831278),
            (0.0, 74.0, 0.05, 3.0047773234, -2.2216160305),
            (1.0, 100.0, 0.05, 1.8283940583, -2.3242242681),
            (5.0, 100.0, 0.05, -1.3479675023, -1.3347136648),
            (12.0, 100.0, 0.05, -2.8026422341, 2.8626013925),
            (2.0, 200.0, 0.05, 3.9910275654, -2.9537555796),
            (0.0, 1000.0, 0.01, 8.7764559299, -3.0637723103),
            (10.0, 1000.0, 0.01, -1.6673997654, -1.6193979420),
            (30.0, 1000.0, 0.01, -3.7412297765, 11.7707224449),
        ] {
            let found = (ln_e_pass(events, trials, threshold), ln_e_fail(events, trials, threshold));
            assert!(
                (found.0 - pass).abs() < 1e-9 && (found.1 - fail).abs() < 1e-9,
                "{events}/{trials}: {found:?}"
            );
        }
    }

    #[test]
    fn the_first_clean_count_that_passes_is_known() {
        for (threshold, at_5_percent, at_1_percent) in [
            (0.1, 36.0, 53.0),
            (0.05, 74.0, 109.0),
            (0.02, 188.0, 277.0),
            (0.01, 377.0, 556.0),
            (0.005, 756.0, 1115.0),
            (0.001, 3787.0, 5585.0),
        ] {
            assert_eq!(trials_needed(0.0, 0.0, threshold, 0.05), Some(at_5_percent));
            assert_eq!(trials_needed(0.0, 0.0, threshold, 0.01), Some(at_1_percent));
            assert_eq!(trials_needed(0.0, 30.0, threshold, 0.05), Some(at_5_percent));
            assert!(ln_e_pass(0.0, at_5_percent - 1.0, threshold) < 20_f64.ln());
        }
    }

    #[test]
    fn a_ratio_at_or_above_the_threshold_never_gets_there() {
        assert_eq!(trials_needed(5.0, 100.0, 0.05, 0.05), None);
        assert_eq!(trials_needed(9.0, 100.0, 0.05, 0.05), None);
        assert!(trials_needed(3.0, 100.0, 0.05, 0.05).is_some_and(|needed| needed > 100.0));
    }

    #[test]
    fn three_errors_in_three_requests_fail() {
        assert!(ln_e_fail(2.0, 2.0, 0.05) < 20_f64.ln());
        assert!(ln_e_fail(3.0, 3.0, 0.05) >= 20_f64.ln());
    }

    #[test]
    fn the_confidence_sequence_holds_the_ratio_and_excludes_what_the_test_excludes() {
        let (low, high) = confidence_sequence(5.0, 100.0, 0.05);
        assert!(low > 0.0 && low < 0.05 && high > 0.05 && high < 0.2, "{low} {high}");
        assert_eq!(confidence_sequence(0.0, 0.0, 0.05), (0.0, 1.0));
        assert_eq!(confidence_sequence(0.0, 50.0, 0.05).0, 0.0);
        assert_eq!(confidence_sequence(50.0, 50.0, 0.05).1, 1.0);
    }

    #[test]
    fn very_many_requests_near_the_threshold_decide_nothing() {
        // A thousand million million requests within one standard error of the threshold had evidence of e^21 or NaN,
        // made of rounding errors; a gate over bytes would have failed a good canary.
        for threshold in [1e-6, 0.01, 0.05, 0.5] {
            for trials in [1e9, 1e12, 1e13, 1e14, 1e15, 9e15] {
                for off in [-1.0, 0.0, 1.0] {
                    let events: f64 = trials * threshold;
                    let events = (events + off * events.sqrt()).round();
                    let found = (ln_e_pass(events, trials, threshold), ln_e_fail(events, trials, threshold));
                    assert!(found.0 < 0.0 && found.1 < 0.0, "{events}/{trials}: {found:?}");
                }
                assert!(ln_e_pass(trials * threshold * 0.5, trials, threshold) > 3.0);
                assert!(
                    ln_e_fail(trials * threshold * 2.0_f64.min(0.9 / threshold), trials, threshold) > 3.0
                );
            }
        }
        let (low, high) = confidence_sequence(1e13, 1e15, 0.05);
        assert!(low > 0.0099 && low < 0.01 && high > 0.01 && high < 0.0101, "{low} {high}");
    }

    #[test]
    fn counts_that_are_none_are_no_evidence() {
        for (events, trials, threshold) in [
            (2.0, 1.0, 0.05),
            (-1.0, 1.0, 0.05),
            (f64::NAN, 1.0, 0.05),
            (0.0, f64::NAN, 0.05),
            (0.0, f64::INFINITY, 0.05),
            (0.0, 10.0, 0.0),
            (0.0, 10.0, 1.0),
        ] {
            assert_eq!(ln_e_pass(events, trials, threshold), f64::NEG_INFINITY);
            assert_eq!(ln_e_fail(events, trials, threshold), f64::NEG_INFINITY);
            assert_eq!(trials_needed(events, trials, threshold, 0.05), None);
        }
    }
}
