//! Instants and windows.

use std::fmt;

/// An instant: milliseconds since the Unix epoch, possibly before it.
///
/// Arithmetic saturates at the ends of `i64`, so no instant from outside can overflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest instant.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest instant.
    pub const MAX: Self = Self(i64::MAX);

    /// The instant `millis` milliseconds after the Unix epoch.
    #[inline]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// The instant `seconds` whole seconds after the Unix epoch.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    #[inline]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Seconds since the Unix epoch, as PromQL shows them.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// This instant moved by `millis` milliseconds, later or earlier.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// This instant moved back by `millis` milliseconds.
    #[must_use]
    pub const fn minus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_sub(millis))
    }

    /// Milliseconds from `earlier` to this instant; negative if `earlier` is later.
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// A stretch of time, open on the left and closed on the right, as PromQL's ranges are: adjacent windows share
/// no sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// The instant just before the window; a sample at this time is outside.
    pub after: Timestamp,
    /// The last instant of the window; a sample at this time is inside.
    pub until: Timestamp,
}

impl Window {
    /// Every instant but the very first.
    pub const ALL: Self = Self { after: Timestamp::MIN, until: Timestamp::MAX };

    /// The window `(after, until]`; empty if `until` is not later than `after`.
    pub const fn new(after: Timestamp, until: Timestamp) -> Self {
        Self { after, until }
    }

    /// The window `(end - length, end]`.
    pub const fn ending_at(end: Timestamp, length_ms: i64) -> Self {
        Self { after: end.minus_millis(length_ms), until: end }
    }

    /// Whether `time` lies inside.
    pub fn contains(self, time: Timestamp) -> bool {
        self.after < time && time <= self.until
    }

    /// Whether no instant lies inside.
    pub fn is_empty(self) -> bool {
        self.until <= self.after
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {}]", self.after.0, self.until.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_open_on_the_left_and_closed_on_the_right() {
        let window = Window::ending_at(Timestamp::from_millis(100), 10);
        assert!(!window.contains(Timestamp::from_millis(90)));
        assert!(window.contains(Timestamp::from_millis(91)));
        assert!(window.contains(Timestamp::from_millis(100)));
        assert!(!window.contains(Timestamp::from_millis(101)));
    }

    #[test]
    fn arithmetic_saturates_instead_of_overflowing() {
        assert_eq!(Timestamp::MAX.plus_millis(1), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.minus_millis(1), Timestamp::MIN);
        assert_eq!(Timestamp::from_secs(i64::MAX), Timestamp::MAX);
        assert!(Window::ending_at(Timestamp::MIN, 5).is_empty());
    }
}
