//! What an evaluation did, operator by operator.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::text_range::TextRange;

/// How an operator came to its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EvaluationPath {
    /// Series by series, all steps at once.
    Series,
    /// The same for one step, whose value all steps show.
    Once,
    /// Straight from the rows of classic histograms, without a series for each bucket.
    Families,
}

/// What one operator did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperatorAnalysis {
    /// How many operators are around it.
    pub depth: usize,
    /// Its part of the query, that of its operands included.
    pub text: String,
    /// How it came to its value.
    pub path: EvaluationPath,
    /// Series that its selectors found; a classic histogram counts by its buckets.
    pub series_selected: u64,
    /// Chunks that it read from.
    pub chunks_read: u64,
    /// Samples that it read.
    pub samples_read: u64,
    /// Threads that worked for it, the caller's among them; 0 where that was alone.
    pub threads: u64,
    /// Series in its value; of a scalar there are none.
    pub series: usize,
    /// How long it took, its operands not counted, if the engine has a [clock](crate::Engine::clock).
    pub time: Option<Duration>,
}

/// What an evaluation did. [`Display`](fmt::Display) shows a line for every operator, those that others work on below them.
///
/// ```
/// # use promgate::{Engine, EvaluationPath, Labels, Sample, Store, StoreOptions, Timestamp};
/// let store = Store::in_memory(StoreOptions::new());
/// let mut appender = store.appender();
/// for seconds in 0..10 {
///     let sample = Sample::float(Timestamp::from_millis(seconds * 1_000), seconds as f64);
///     appender.append(&Labels::from_pairs([("__name__", "requests_total")]), sample)?;
/// }
/// appender.commit()?;
///
/// let engine = Engine::new();
/// let query = engine.prepare("sum(rate(requests_total[5s]))")?;
/// let (_, analysis) = engine.analyze(&store.snapshot(), &query, Timestamp::from_millis(9_000))?;
/// assert_eq!(
///     analysis.to_string(),
///     "sum(rate(requests_total[5s])): 1 series\n  rate(requests_total[5s]): 1 series, from 5 samples in 1 chunks of 1 series\n",
/// );
/// # Ok::<(), promgate::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Analysis {
    /// Every operator before those that it works on.
    pub operators: Vec<OperatorAnalysis>,
}

impl fmt::Display for Analysis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for operator in &self.operators {
            for _ in 0..operator.depth {
                f.write_str("  ")?;
            }
            write!(f, "{}: {} series", operator.text, operator.series)?;
            if operator.series_selected > 0 {
                let OperatorAnalysis { samples_read, chunks_read, series_selected, .. } = operator;
                write!(
                    f,
                    ", from {samples_read} samples in {chunks_read} chunks of {series_selected} series"
                )?;
            }
            f.write_str(match operator.path {
                EvaluationPath::Series => "",
                EvaluationPath::Once => ", once for all steps",
                EvaluationPath::Families => ", by rows of histograms",
            })?;
            if operator.threads > 0 {
                write!(f, ", by {} threads", operator.threads)?;
            }
            match operator.time {
                Some(time) => writeln!(f, ", in {time:?}")?,
                None => f.write_str("\n")?,
            }
        }
        Ok(())
    }
}

/// What has been selected and read so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Work {
    pub(crate) series: u64,
    pub(crate) chunks: u64,
    pub(crate) samples: u64,
    /// Of all operators, added up.
    pub(crate) threads: u64,
}

/// A clock that does not go back.
#[derive(Clone)]
pub(crate) struct Clock(pub(crate) Arc<dyn Fn() -> Duration + Send + Sync>);

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Writes down what operators do, if somebody asked.
#[derive(Default)]
pub(crate) struct Recorder {
    text: String,
    operators: Option<RefCell<Vec<OperatorAnalysis>>>,
    clock: Option<Clock>,
}

impl Recorder {
    /// A recorder for this query.
    pub(crate) fn new(text: &str, clock: Option<Clock>) -> Self {
        Self { text: text.to_owned(), operators: Some(RefCell::default()), clock }
    }

    /// The time, if somebody asked and there is a clock.
    pub(crate) fn now(&self) -> Option<Duration> {
        self.clock.as_ref().map(|Clock(now)| now())
    }

    /// An operator begins. Returns its number.
    pub(crate) fn begin(&self, depth: usize, range: TextRange) -> usize {
        let Some(operators) = &self.operators else { return 0 };
        let mut operators = operators.borrow_mut();
        operators.push(OperatorAnalysis {
            depth,
            text: self.text.get(range.start..range.end).unwrap_or_default().to_owned(),
            path: EvaluationPath::Series,
            series_selected: 0,
            chunks_read: 0,
            samples_read: 0,
            threads: 0,
            series: 0,
            time: None,
        });
        operators.len().saturating_sub(1)
    }

    /// An operator did something more since a time.
    pub(crate) fn add(&self, number: usize, since: Option<Duration>, before: Work, after: Work) {
        let took = self.now().zip(since).map(|(now, since)| now.saturating_sub(since));
        self.change(number, |operator| {
            if let Some(took) = took {
                operator.time = Some(operator.time.unwrap_or_default().saturating_add(took));
            }
            let more = |sum: &mut u64, before: u64, after: u64| {
                *sum = sum.saturating_add(after.saturating_sub(before));
            };
            more(&mut operator.series_selected, before.series, after.series);
            more(&mut operator.chunks_read, before.chunks, after.chunks);
            more(&mut operator.samples_read, before.samples, after.samples);
            operator.threads = operator.threads.max(after.threads.saturating_sub(before.threads));
        });
    }

    /// Changes what is written down about an operator.
    pub(crate) fn change(&self, number: usize, change: impl FnOnce(&mut OperatorAnalysis)) {
        if let Some(operators) = &self.operators
            && let Some(operator) = operators.borrow_mut().get_mut(number)
        {
            change(operator);
        }
    }

    /// What was written down.
    pub(crate) fn into_analysis(self) -> Analysis {
        Analysis { operators: self.operators.map(RefCell::into_inner).unwrap_or_default() }
    }
}
