//! Who may hold numbers of items: everybody who reads or writes pins the period in which that began.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::index::SeriesRef;
use super::sync::Mutex;

/// A period that somebody has begun in. Items that left after it keep their number for as long as it is held.
#[derive(Clone, Debug)]
pub(super) struct Pin(Arc<u64>);

impl Pin {
    /// The number of the period.
    #[inline]
    pub(super) fn period(&self) -> u64 {
        *self.0
    }

    /// Whether nobody else holds it.
    pub(super) fn is_alone(&mut self) -> bool {
        Arc::get_mut(&mut self.0).is_some()
    }
}

/// The periods of a store, one after the other.
#[derive(Debug)]
pub(super) struct Pins {
    current: Mutex<Pin>,
}

impl Default for Pins {
    fn default() -> Self {
        Self { current: Mutex::new(Pin(Arc::new(1))) }
    }
}

impl Pins {
    /// The period that is.
    pub(super) fn pin(&self) -> Pin {
        self.current.lock().clone()
    }

    /// Begins the next period. Hands out the one before.
    pub(super) fn turn(&self) -> Pin {
        let mut current = self.current.lock();
        let next = Pin(Arc::new(current.period().saturating_add(1)));
        std::mem::replace(&mut *current, next)
    }
}

/// The series that was found last for a handle, which is kept for good, and the period in which that was right.
#[derive(Debug)]
pub(super) struct Found {
    period: AtomicU64,
    series: AtomicU64,
    /// Who has found one.
    finding: Mutex<()>,
}

impl Clone for Found {
    fn clone(&self) -> Self {
        let _finding = self.finding.lock();
        let copy = |value: &AtomicU64| AtomicU64::new(value.load(Ordering::Relaxed));
        Self { period: copy(&self.period), series: copy(&self.series), finding: Mutex::default() }
    }
}

impl Found {
    /// `series` was found by whoever holds the pin.
    pub(super) fn new(series: SeriesRef, pin: &Pin) -> Self {
        let (period, series) = (AtomicU64::new(pin.period()), AtomicU64::new(packed(series)));
        Self { period, series, finding: Mutex::default() }
    }

    /// The series, if it is right for whoever holds the pin.
    #[inline]
    pub(super) fn get(&self, pin: &Pin) -> Option<SeriesRef> {
        // Behind the period stands its series, or that of a later one, which does not leave before this one is over either.
        let is_right = self.period.load(Ordering::Acquire) == pin.period();
        is_right.then(|| self.last())
    }

    /// The series, right or not.
    pub(super) fn last(&self) -> SeriesRef {
        unpacked(self.series.load(Ordering::Relaxed))
    }

    /// `series` was found by whoever holds the pin. What was found in a later period stays.
    pub(super) fn set(&self, series: SeriesRef, pin: &Pin) {
        let _finding = self.finding.lock();
        if self.period.load(Ordering::Relaxed) < pin.period() {
            self.series.store(packed(series), Ordering::Relaxed);
            self.period.store(pin.period(), Ordering::Release);
        }
    }
}

fn packed(series: SeriesRef) -> u64 {
    u64::from(series.item) << 32 | u64::from(series.column)
}

fn unpacked(series: u64) -> SeriesRef {
    SeriesRef { item: (series >> 32) as u32, column: series as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_over_when_all_who_began_in_it_are_done() {
        let pins = Pins::default();
        let (first, second) = (pins.pin(), pins.pin());
        let series = |item: u32| SeriesRef { item, column: u32::MAX - item };
        let found = Found::new(series(7), &first);
        let mut over = pins.turn();
        let later = pins.pin();
        assert_eq!((found.get(&second), found.get(&later)), (Some(series(7)), None));
        let copy = first.clone();
        drop(first);
        found.set(series(8), &later);
        // Somebody who began earlier has looked for it as well.
        found.set(series(7), &second);
        assert_eq!((found.get(&second), found.get(&later)), (None, Some(series(8))));
        drop(second);
        assert!(!over.is_alone());
        drop(copy);
        assert!(over.is_alone());
        assert_eq!(found.clone().get(&pins.pin()), Some(series(8)));
    }
}
