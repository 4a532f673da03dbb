//! What one evaluation may hold and touch.

use std::cell::Cell;
use std::rc::Rc;

use crate::error::{Error, ErrorKind, Result};
use crate::promql::analysis::Work;
use crate::promql::cancellation::Interrupts;
use crate::promql::engine::QueryLimits;

/// Counters of one evaluation, and what they may reach.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Rc<Counters>);

#[derive(Debug)]
struct Counters {
    limits: QueryLimits,
    interrupts: Interrupts,
    /// Samples since the interrupts were looked at.
    scanned: Cell<u64>,
    samples: Cell<u64>,
    bytes: Cell<u64>,
    series: Cell<u64>,
    chunks_read: Cell<u64>,
    samples_read: Cell<u64>,
    label_bytes: Cell<u64>,
    /// The most samples and bytes that were held, or looked at on top of what was held.
    peak_samples: Cell<u64>,
    peak_bytes: Cell<u64>,
    /// Threads that operators used, added up.
    threads: Cell<u64>,
}

/// What an evaluation leaves to one of its workers.
#[derive(Clone)]
pub(super) struct Remaining {
    limits: QueryLimits,
    interrupts: Interrupts,
    samples: u64,
    bytes: u64,
}

/// What a worker used of it.
#[derive(Clone, Copy)]
pub(super) struct Used {
    series: u64,
    chunks_read: u64,
    samples_read: u64,
    /// The most that it held at a time.
    samples: u64,
    bytes: u64,
}

impl Used {
    /// What two workers used together that looked at the same series.
    pub(super) fn beside(self, other: Self) -> Self {
        Self {
            series: self.series.max(other.series),
            chunks_read: self.chunks_read.saturating_add(other.chunks_read),
            samples_read: self.samples_read.saturating_add(other.samples_read),
            samples: self.samples.saturating_add(other.samples),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// Samples and bytes charged to a budget; dropping it gives them back.
#[derive(Debug)]
pub(crate) struct Charge {
    samples: u64,
    bytes: u64,
    budget: Budget,
}

impl Drop for Charge {
    fn drop(&mut self) {
        let Counters { samples, bytes, .. } = &*self.budget.0;
        samples.set(samples.get().saturating_sub(self.samples));
        bytes.set(bytes.get().saturating_sub(self.bytes));
    }
}

impl Charge {
    /// Raises the charge by what is about to be held.
    pub(crate) fn raise(&mut self, samples: u64, bytes: u64) -> Result<()> {
        self.samples = self.samples.saturating_add(samples);
        self.bytes = self.bytes.saturating_add(bytes);
        let held = &self.budget.0;
        held.samples.set(held.samples.get().saturating_add(samples));
        held.bytes.set(held.bytes.get().saturating_add(bytes));
        self.budget.judge(held.samples.get(), held.bytes.get())
    }
}

/// Samples after which a deadline is looked at.
const SAMPLES_BETWEEN_CHECKS: u64 = 1_024;
/// As how many samples the work around them counts.
const TICK: u64 = 16;
/// What a query is in while it is evaluated, in Prometheus's words.
const EVALUATION: &str = "expression evaluation";

/// Points that one series can have at most, whatever the limits say: a column of so many is allocated at once.
const MOST_POINTS: u64 = 1 << 26;

/// A limit is exceeded: which one, what was asked, what is allowed.
fn exceeded(limit: &str, asked: u64, allowed: u64) -> Error {
    Error::new(
        ErrorKind::Limit,
        format!("query limit {limit} exceeded: the query needs {asked}, at most {allowed} are allowed"),
    )
}

impl Budget {
    pub(crate) fn new(limits: &QueryLimits, interrupts: &Interrupts) -> Self {
        let (limits, interrupts) = (limits.clone(), interrupts.clone());
        Self::of(Remaining { limits, interrupts, samples: 0, bytes: 0 })
    }

    /// The budget of a worker.
    pub(super) fn of(remaining: Remaining) -> Self {
        let Remaining { limits, interrupts, samples, bytes } = remaining;
        Self(Rc::new(Counters {
            limits,
            interrupts,
            scanned: Cell::default(),
            samples: Cell::new(samples),
            bytes: Cell::new(bytes),
            series: Cell::default(),
            chunks_read: Cell::default(),
            samples_read: Cell::default(),
            label_bytes: Cell::default(),
            peak_samples: Cell::new(samples),
            peak_bytes: Cell::new(bytes),
            threads: Cell::default(),
        }))
    }

    /// What a worker may use that begins now.
    pub(super) fn remaining(&self) -> Remaining {
        let Counters { limits, interrupts, samples, bytes, .. } = &*self.0;
        let (limits, interrupts) = (limits.clone(), interrupts.clone());
        Remaining { limits, interrupts, samples: samples.get(), bytes: bytes.get() }
    }

    /// What was used of what was left to this budget's worker.
    pub(super) fn used(&self, of: &Remaining) -> Used {
        let Counters { series, chunks_read, samples_read, peak_samples, peak_bytes, .. } = &*self.0;
        Used {
            series: series.get(),
            chunks_read: chunks_read.get(),
            samples_read: samples_read.get(),
            samples: peak_samples.get().saturating_sub(of.samples),
            bytes: peak_bytes.get().saturating_sub(of.bytes),
        }
    }

    /// Whether a worker used no more than would have been allowed from here on.
    pub(super) fn admits(&self, used: &Used) -> bool {
        let Counters { limits, series, samples, bytes, .. } = &*self.0;
        series.get().saturating_add(used.series) <= limits.series
            && samples.get().saturating_add(used.samples) <= limits.samples
            && bytes.get().saturating_add(used.bytes) <= limits.memory_bytes
    }

    /// Counts what a worker selected and read.
    pub(super) fn add(&self, used: &Used) {
        let Counters { series, chunks_read, samples_read, .. } = &*self.0;
        for (sum, more) in
            [(series, used.series), (chunks_read, used.chunks_read), (samples_read, used.samples_read)]
        {
            sum.set(sum.get().saturating_add(more));
        }
    }

    /// Counts the threads of an operator.
    pub(super) fn count_threads(&self, threads: usize) {
        let sum = &self.0.threads;
        sum.set(sum.get().saturating_add(threads as u64));
    }

    /// Fails if the evaluation is to stop; called for every series and step, with the samples looked at.
    #[inline]
    pub(crate) fn tick(&self, samples: usize) -> Result<()> {
        let Counters { scanned, interrupts, .. } = &*self.0;
        let sum = scanned.get().saturating_add(samples as u64).saturating_add(TICK);
        if sum < SAMPLES_BETWEEN_CHECKS {
            scanned.set(sum);
            return interrupts.check_canceled(EVALUATION);
        }
        scanned.set(0);
        interrupts.check(EVALUATION)
    }

    /// Counts what was read of a series or a histogram.
    pub(crate) fn count_read(&self, chunks: usize, samples: usize) {
        let Counters { chunks_read, samples_read, .. } = &*self.0;
        chunks_read.set(chunks_read.get().saturating_add(chunks as u64));
        samples_read.set(samples_read.get().saturating_add(samples as u64));
    }

    /// What has been selected and read so far.
    pub(crate) fn work(&self) -> Work {
        let Counters { series, chunks_read, samples_read, threads, .. } = &*self.0;
        Work {
            series: series.get(),
            chunks: chunks_read.get(),
            samples: samples_read.get(),
            threads: threads.get(),
        }
    }

    /// A charge of nothing, to be raised.
    pub(crate) fn charge(&self) -> Charge {
        Charge { samples: 0, bytes: 0, budget: self.clone() }
    }

    /// Counts series that a selector found.
    pub(crate) fn touch_series(&self, count: usize) -> Result<()> {
        let series = self.0.series.get().saturating_add(count as u64);
        self.0.series.set(series);
        let allowed = self.0.limits.series;
        if series > allowed { Err(exceeded("series", series, allowed)) } else { Ok(()) }
    }

    /// Counts label text made by functions.
    pub(crate) fn make_labels(&self, bytes: usize) -> Result<()> {
        let made = self.0.label_bytes.get().saturating_add(bytes as u64);
        self.0.label_bytes.set(made);
        let allowed = self.0.limits.label_bytes;
        if made > allowed { Err(exceeded("label_bytes", made, allowed)) } else { Ok(()) }
    }

    /// Checks the number of points that a subquery evaluates.
    pub(crate) fn check_subquery_points(&self, points: usize) -> Result<()> {
        let allowed = self.0.limits.subquery_points.min(MOST_POINTS);
        if points as u64 > allowed {
            Err(exceeded("subquery_points", points as u64, allowed))
        } else {
            Ok(())
        }
    }

    /// Checks the number of steps of a range query.
    pub(crate) fn check_points(&self, points: usize) -> Result<()> {
        let allowed = self.0.limits.points_per_series.min(MOST_POINTS);
        if points as u64 > allowed {
            return Err(exceeded("points_per_series", points as u64, allowed));
        }
        Ok(())
    }

    /// Checks how far a selector reaches, in milliseconds.
    pub(crate) fn check_window(&self, millis: i64) -> Result<()> {
        let allowed = self.0.limits.window_ms;
        let asked = millis.unsigned_abs();
        if asked > allowed { Err(exceeded("window_ms", asked, allowed)) } else { Ok(()) }
    }

    /// Checks the number of series in the answer.
    pub(crate) fn check_result(&self, series: usize) -> Result<()> {
        let allowed = self.0.limits.result_series;
        if series as u64 > allowed { Err(exceeded("result_series", series as u64, allowed)) } else { Ok(()) }
    }

    /// Checks samples that are held for a moment on top of everything charged.
    pub(crate) fn check_samples(&self, more: u64) -> Result<()> {
        self.judge(self.0.samples.get().saturating_add(more), self.0.bytes.get())
    }

    fn judge(&self, samples: u64, bytes: u64) -> Result<()> {
        let Counters { peak_samples, peak_bytes, .. } = &*self.0;
        peak_samples.set(peak_samples.get().max(samples));
        peak_bytes.set(peak_bytes.get().max(bytes));
        if samples > self.0.limits.samples {
            return Err(Error::new(
                ErrorKind::Limit,
                "query processing would load too many samples into memory in query execution",
            ));
        }
        if bytes > self.0.limits.memory_bytes {
            return Err(exceeded("memory_bytes", bytes, self.0.limits.memory_bytes));
        }
        Ok(())
    }

    /// Samples and bytes charged and not given back.
    #[cfg(test)]
    pub(crate) fn held(&self) -> (u64, u64) {
        (self.0.samples.get(), self.0.bytes.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_given_back() {
        let budget =
            Budget::new(&QueryLimits { samples: 10, ..QueryLimits::default() }, &Interrupts::default());
        let mut charge = budget.charge();
        charge.raise(10, 80).unwrap();
        let error = budget.charge().raise(1, 8).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        drop(charge);
        assert_eq!(budget.held(), (0, 0));
        budget.charge().raise(10, 80).unwrap();
    }
}
