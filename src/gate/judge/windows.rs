//! Burn rates over a long and a short window, both of which have to show it.

use crate::gate::evidence::Tally;
use crate::gate::reason::{BurnRates, WindowCounts};
use crate::gate::spec::{BurnRate, BurnRateWindows};
use crate::gate::stats::windows::{Start, Starts};

/// What the windows hold `seconds` after the evidence began, every count worth the `worth`th part, each pair with its part of `alpha`.
fn pairs<'a>(
    tally: &'a Tally,
    burn_rate: &'a BurnRate,
    seconds: f64,
    worth: f64,
    alpha: f64,
) -> impl Iterator<Item = BurnRates> + 'a {
    let (BurnRate { budget, windows }, lengths) = (burn_rate, burn_rate.lengths());
    let alpha = alpha / windows.len().max(1) as f64;
    let counts = (tally.fewest, tally.trials);
    windows.iter().map(move |BurnRateWindows { factor, long_ms, short_ms }| {
        let window = |window_ms: &i64| {
            let starts = lengths.binary_search(window_ms).ok().and_then(|index| tally.windows.get(index));
            let start = starts.map_or_else(Start::default, Starts::oldest);
            let ln_e = start.ln_e(counts, factor * budget, worth);
            WindowCounts {
                seconds: (seconds - start.after_ms as f64 / 1000.0).max(0.0),
                events: counts.0 - start.events,
                trials: counts.1 - start.trials,
                ln_e: ln_e.is_finite().then_some(ln_e),
                ln_e_needed: start.ln_e_needed(alpha),
            }
        };
        BurnRates { factor: *factor, budget: *budget, long: window(long_ms), short: window(short_ms) }
    })
}

fn shows(window: &WindowCounts) -> bool {
    window.ln_e.is_some_and(|ln_e| ln_e >= window.ln_e_needed)
}

/// The first pair of which both windows show that the canary burns too fast.
pub(super) fn exceeded(
    tally: &Tally,
    burn_rate: &BurnRate,
    seconds: f64,
    (worth, alpha): (f64, f64),
) -> Option<BurnRates> {
    pairs(tally, burn_rate, seconds, worth, alpha).find(|pair| shows(&pair.long) && shows(&pair.short))
}

/// All of them, for a report.
pub(super) fn shown(
    tally: &Tally,
    burn_rate: &BurnRate,
    seconds: f64,
    (worth, alpha): (f64, f64),
) -> Vec<BurnRates> {
    pairs(tally, burn_rate, seconds, worth, alpha).collect()
}
