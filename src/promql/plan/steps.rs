//! The times at which a query, or a part of it, is evaluated.

/// An evenly spaced, rising grid of times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    start: i64,
    interval: i64,
    count: usize,
    single: bool,
}

impl Steps {
    /// One time.
    pub(crate) const fn single(time: i64) -> Self {
        Self { start: time, interval: 1, count: 1, single: true }
    }

    /// `start`, `start + interval`, … up to and including `end`; none if `end` is before `start`. An interval below
    /// one millisecond counts as one.
    pub(crate) fn new(start: i64, end: i64, interval: i64) -> Self {
        let interval = interval.max(1);
        let count = if end < start {
            0
        } else {
            // The distance may exceed i64, never u64.
            usize::try_from(end.abs_diff(start) / interval.unsigned_abs())
                .unwrap_or(usize::MAX)
                .saturating_add(1)
        };
        Self { start, interval, count, single: start == end }
    }

    /// How many times there are.
    pub(crate) const fn count(self) -> usize {
        self.count
    }

    /// Whether start and end are the same time, which is where Prometheus takes the ways of an instant query. A grid
    /// that happens to have one time but ends later is a range.
    pub(crate) const fn is_single(self) -> bool {
        self.single
    }

    /// The first time.
    pub(crate) const fn first(self) -> i64 {
        self.start
    }

    /// The last time; the first if there is none.
    pub(crate) fn last(self) -> i64 {
        self.time(self.count.saturating_sub(1))
    }

    /// The time of step `index`.
    pub(crate) fn time(self, index: usize) -> i64 {
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        self.start.saturating_add(self.interval.saturating_mul(index))
    }

    /// As many stretches of the steps, each as long as the others or one longer.
    pub(crate) fn stretches(self, count: usize) -> Vec<Self> {
        let border = |number: usize| self.count.saturating_mul(number).checked_div(count).unwrap_or(0);
        let stretch = |number: usize| {
            let (from, to) = (border(number), border(number.saturating_add(1)));
            Self { start: self.time(from), count: to.saturating_sub(from), single: false, ..self }
        };
        (0..count).map(stretch).collect()
    }

    /// All times.
    pub(crate) fn times(self) -> impl Iterator<Item = i64> {
        (0..self.count).map(move |index| self.time(index))
    }
}

#[cfg(test)]
mod tests {
    use super::Steps;

    #[test]
    fn the_end_is_included_if_it_lies_on_the_grid() {
        assert_eq!(Steps::new(0, 30, 10).times().collect::<Vec<_>>(), [0, 10, 20, 30]);
        assert_eq!(Steps::new(0, 29, 10).times().collect::<Vec<_>>(), [0, 10, 20]);
        assert_eq!(Steps::new(1, 0, 10).count(), 0);
    }

    #[test]
    fn the_whole_of_time_has_a_count() {
        assert!(Steps::new(i64::MIN, i64::MAX, 1).count() > 1 << 62);
    }
}
