//! Who may hold numbers of items: everybody who reads or writes pins the period in which that began.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// The period in which a number that is kept for good was last found to be right.
#[derive(Debug)]
pub(super) struct Checked(AtomicU64);

impl Clone for Checked {
    fn clone(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Ordering::Relaxed)))
    }
}

impl Checked {
    pub(super) fn new(pin: &Pin) -> Self {
        Self(AtomicU64::new(pin.period()))
    }

    /// Whether the number is right for whoever holds the pin.
    #[inline]
    pub(super) fn is_of(&self, pin: &Pin) -> bool {
        self.0.load(Ordering::Relaxed) == pin.period()
    }

    /// The number is right for whoever holds the pin.
    pub(super) fn set(&self, pin: &Pin) {
        self.0.store(pin.period(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_over_when_all_who_began_in_it_are_done() {
        let pins = Pins::default();
        let (first, second) = (pins.pin(), pins.pin());
        let checked = Checked::new(&first);
        let mut over = pins.turn();
        let later = pins.pin();
        assert!(checked.is_of(&second) && !checked.is_of(&later));
        let copy = first.clone();
        drop((first, second));
        assert!(!over.is_alone());
        drop(copy);
        assert!(over.is_alone());
        checked.set(&later);
        assert!(checked.clone().is_of(&pins.pin()));
    }
}
