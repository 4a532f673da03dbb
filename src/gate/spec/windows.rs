//! Over which stretches of time a burn rate is looked at.

use super::invalid;
use crate::error::Result;

/// A check has no more pairs of windows.
const MAX_PAIRS: usize = 16;

/// A burn rate that must not be exceeded over a long and a short window at once: the long one says that it matters, the short one
/// that it still goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BurnRateWindows {
    /// How many times faster than the objective allows.
    pub factor: f64,
    /// The long window, in milliseconds.
    pub long_ms: i64,
    /// The short window, in milliseconds.
    pub short_ms: i64,
}

impl BurnRateWindows {
    /// Those that The Site Reliability Workbook recommends for a budget of 30 days (chapter 5, table 5-8): 14.4 over an hour and five
    /// minutes, 6 over six hours and half an hour, 1 over three days and six hours.
    pub const WORKBOOK: [Self; 3] = [
        Self::new(14.4, 3_600_000, 300_000),
        Self::new(6.0, 21_600_000, 1_800_000),
        Self::new(1.0, 259_200_000, 21_600_000),
    ];

    /// A factor above 0, over two windows in milliseconds, of which the short one is shorter.
    pub const fn new(factor: f64, long_ms: i64, short_ms: i64) -> Self {
        Self { factor, long_ms, short_ms }
    }
}

/// The windows of a burn rate, and what one of 1 is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BurnRate {
    /// The share of bad requests that the objective allows.
    pub(crate) budget: f64,
    pub(crate) windows: Vec<BurnRateWindows>,
}

impl BurnRate {
    /// Windows of a check that passes below the burn rate `pass`.
    pub(crate) fn new(budget: f64, pass: f64, windows: Vec<BurnRateWindows>) -> Result<Self> {
        if windows.is_empty() || windows.len() > MAX_PAIRS {
            let pairs = windows.len();
            return Err(invalid(format!("it has {pairs} pairs of windows, it takes 1 to {MAX_PAIRS}")));
        }
        for BurnRateWindows { factor, long_ms, short_ms } in &windows {
            if !(*factor >= pass && *factor * budget < 1.0) {
                let most = 1.0 / budget;
                return Err(invalid(format!(
                    "its windows fail beyond a burn rate of {factor}, which must lie between {pass}, where it passes, and {most}"
                )));
            }
            if !(0 < *short_ms && short_ms < long_ms) {
                return Err(invalid(format!(
                    "its windows are {long_ms} ms and {short_ms} ms; the second must be shorter, and above 0"
                )));
            }
        }
        Ok(Self { budget, windows })
    }

    /// How long its windows are, each length once.
    pub(crate) fn lengths(&self) -> Vec<i64> {
        let mut lengths: Vec<i64> =
            self.windows.iter().flat_map(|pair| [pair.long_ms, pair.short_ms]).collect();
        lengths.sort_unstable();
        lengths.dedup();
        lengths
    }

    /// The lowest share of bad requests for which it fails.
    pub(crate) fn least(&self) -> f64 {
        self.windows.iter().map(|pair| pair.factor * self.budget).fold(f64::INFINITY, f64::min)
    }
}
