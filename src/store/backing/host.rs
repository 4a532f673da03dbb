//! What the store asks its host for besides files: time that only goes forward, and chance.

#![expect(clippy::disallowed_methods, reason = "the only clock of the store")]

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Host {
    started: Instant,
    drawn: AtomicU64,
}

impl Host {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), drawn: AtomicU64::new(0) }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The keys of a [`RandomState`] are the system's random bytes. The process id parts a forked child from its parent,
    /// which has the same keys.
    pub(super) fn random(&self) -> u64 {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u32(std::process::id());
        hasher.write_u64(self.drawn.fetch_add(1, Ordering::Relaxed));
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn time_goes_forward_and_numbers_do_not_repeat() {
        let (one, other) = (Host::new(), Host::new());
        let first = one.elapsed();
        while one.elapsed() == first {}
        assert!(one.elapsed() > first);
        let drawn: HashSet<u64> = (0..1_000).flat_map(|_| [one.random(), other.random()]).collect();
        assert_eq!(drawn.len(), 2_000);
    }
}
