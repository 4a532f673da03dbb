//! What a selector or subquery has to look at: reference times and windows.

use super::steps::Steps;
use crate::model::{Timestamp, Window};

/// From evaluation time to reference time: `@` and `offset`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The time that `@` fixes, in milliseconds.
    pub(crate) at: Option<i64>,
    /// Milliseconds to look back; negative looks ahead.
    pub(crate) offset: i64,
}

impl Reference {
    /// The reference time of an evaluation at `time`.
    pub(crate) fn time(self, time: i64) -> i64 {
        self.at.unwrap_or(time).saturating_sub(self.offset)
    }

    /// The samples needed for all of `steps`, when each needs those from `before` milliseconds before its reference
    /// time to `after` milliseconds behind it.
    pub(crate) fn window(self, steps: Steps, before: i64, after: i64) -> Window {
        let first = self.time(steps.first()).saturating_sub(before);
        let last = self.time(steps.last()).saturating_add(after);
        Window::new(Timestamp::from_millis(first), Timestamp::from_millis(last))
    }
}

/// The window of a range selector or subquery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RangeWindow {
    pub(crate) reference: Reference,
    /// How long the window is, in milliseconds.
    pub(crate) length: i64,
    /// Samples fetched before the window, for `anchored` and `smoothed`.
    pub(crate) before: i64,
    /// Samples fetched behind the window, for `smoothed`.
    pub(crate) after: i64,
}

impl RangeWindow {
    /// The samples needed for all of `steps`.
    pub(crate) fn fetched(self, steps: Steps) -> Window {
        self.reference.window(steps, self.length.saturating_add(self.before), self.after)
    }
}

/// The times at which a subquery evaluates its expression: the multiples of `step` in the windows of all steps.
pub(crate) fn subquery_steps(window: RangeWindow, step: i64, steps: Steps) -> Steps {
    let step = step.max(1);
    let needed = window.fetched(steps);
    let (after, until) = (needed.after.as_millis(), needed.until.as_millis());
    let start = after.div_euclid(step).saturating_mul(step).saturating_add(step);
    Steps::new(start, until, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(length: i64) -> RangeWindow {
        RangeWindow { reference: Reference::default(), length, before: 0, after: 0 }
    }

    #[test]
    fn the_grid_of_a_subquery_is_aligned_to_the_epoch() {
        let times = |length, step, at| {
            subquery_steps(window(length), step, Steps::single(at)).times().collect::<Vec<_>>()
        };
        assert_eq!(times(30_000, 10_000, 1_005_000), [980_000, 990_000, 1_000_000]);
        assert_eq!(times(60_000, 300_000, 720_000), [0; 0]);
        assert_eq!(times(20, 10, -5), [-20, -10]);
    }

    #[test]
    fn at_overrides_the_evaluation_time_and_the_offset_still_counts() {
        let reference = Reference { at: Some(100), offset: 30 };
        assert_eq!(reference.time(5), 70);
        assert_eq!(Reference { at: None, offset: -30 }.time(5), 35);
    }
}
