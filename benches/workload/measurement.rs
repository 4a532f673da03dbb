//! What criterion measures: the time that this thread was on a core.

use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};

use super::on_core;

/// Time for which this thread was on a core: other work on the machine disturbs it little.
pub(crate) struct OnCore;

impl Measurement for OnCore {
    type Intermediate = f64;
    type Value = Duration;

    fn start(&self) -> f64 {
        on_core()
    }

    fn end(&self, start: f64) -> Duration {
        // What is not told would count as nothing.
        Duration::from_secs_f64((on_core() - start).max(1e-9))
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}
