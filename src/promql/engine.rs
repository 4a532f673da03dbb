//! The engine: options, and queries evaluated at an instant or over a range.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::model::Timestamp;
use crate::source::Source;

use super::analysis::{Analysis, Clock, Recorder};
use super::annotation::Notebook;
use super::ast::{Expr, ValueType};
use super::cancellation::{CancellationToken, Interrupts};
use super::exec::budget::Budget;
use super::exec::explain::explain;
use super::exec::{Evaluator, Settings};
use super::explanation::Explanation;
use super::parse::{ParseOptions, parse};
use super::plan::steps::Steps;
use super::plan::{Scope, Surroundings, plan};
use super::pretty::pretty;
use super::value::Evaluation;

/// What one query may touch, hold and answer. Each has its own error of kind [`ErrorKind::Limit`], which names it.
///
/// Zero means zero; `u64::MAX` means unlimited.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueryLimits {
    /// Series that the selectors of a query find together.
    pub series: u64,
    /// Samples held at a time, a native histogram counting by its size.
    pub samples: u64,
    /// Steps of a range query.
    pub points_per_series: u64,
    /// Points at which one subquery evaluates its expression.
    pub subquery_points: u64,
    /// How far the window of a selector reaches in milliseconds, over all steps, lookback and range included.
    pub window_ms: u64,
    /// Bytes held by the values of all operators.
    pub memory_bytes: u64,
    /// Bytes of label text that functions make.
    pub label_bytes: u64,
    /// Series in the answer.
    pub result_series: u64,
}

impl Default for QueryLimits {
    /// Limits that protect a process with a few hundred MiB.
    fn default() -> Self {
        Self {
            series: 50_000,
            samples: 5_000_000,
            points_per_series: 11_000,
            subquery_points: 100_000,
            window_ms: 400 * 24 * 60 * 60 * 1000,
            memory_bytes: 256 << 20,
            label_bytes: 16 << 20,
            result_series: 10_000,
        }
    }
}

impl QueryLimits {
    /// No limit on anything.
    pub const fn unlimited() -> Self {
        Self {
            series: u64::MAX,
            samples: u64::MAX,
            points_per_series: u64::MAX,
            subquery_points: u64::MAX,
            window_ms: u64::MAX,
            memory_bytes: u64::MAX,
            label_bytes: u64::MAX,
            result_series: u64::MAX,
        }
    }

    /// The limit of a Prometheus server: 50 million samples held at a time.
    pub const fn prometheus() -> Self {
        Self { samples: 50_000_000, ..Self::unlimited() }
    }

    /// Sets the limit on samples held at a time.
    #[must_use]
    pub const fn samples(mut self, samples: u64) -> Self {
        self.samples = samples;
        self
    }

    /// Sets the limit on series that the selectors find.
    #[must_use]
    pub const fn series(mut self, series: u64) -> Self {
        self.series = series;
        self
    }

    /// Sets the limit on steps of a range query.
    #[must_use]
    pub const fn points_per_series(mut self, points: u64) -> Self {
        self.points_per_series = points;
        self
    }

    /// Sets the limit on bytes held.
    #[must_use]
    pub const fn memory_bytes(mut self, bytes: u64) -> Self {
        self.memory_bytes = bytes;
        self
    }

    /// Sets the limit on series in the answer.
    #[must_use]
    pub const fn result_series(mut self, series: u64) -> Self {
        self.result_series = series;
        self
    }
}

/// Evaluates PromQL as Prometheus 3.15 does.
///
/// ```
/// use promgate::Engine;
///
/// let engine = Engine::new().lookback_ms(60_000);
/// let query = engine.prepare("sum by(job) (rate(requests_total[5m]))")?;
/// assert_eq!(query.to_string(), "sum by (job) (rate(requests_total[5m]))");
/// # Ok::<(), promgate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Engine {
    parse: ParseOptions,
    settings: Settings,
    subquery_step_ms: i64,
    limits: QueryLimits,
    interrupts: Interrupts,
    clock: Option<Clock>,
}

/// A query that has been parsed and checked. [`Display`](fmt::Display) shows its canonical text.
#[derive(Clone, Debug)]
pub struct Query {
    text: String,
    expr: Expr,
}

/// What a query is in before anything is evaluated, in Prometheus's words.
const EXECUTION: &str = "query execution";
/// More would wait for the caller's thread.
const MOST_THREADS: usize = 64;
/// How far back a selector without a window looks.
pub(crate) const DEFAULT_LOOKBACK_MS: i64 = 5 * 60 * 1000;
const DEFAULT_SUBQUERY_STEP_MS: i64 = 60 * 1000;

impl Default for Engine {
    fn default() -> Self {
        Self {
            parse: ParseOptions::default(),
            settings: Settings {
                lookback: DEFAULT_LOOKBACK_MS,
                delayed_name_removal: false,
                start_timestamps: false,
                type_and_unit: false,
                threads: 1,
            },
            subquery_step_ms: DEFAULT_SUBQUERY_STEP_MS,
            limits: QueryLimits::default(),
            interrupts: Interrupts::default(),
            clock: None,
        }
    }
}

impl Engine {
    /// An engine with the options of a Prometheus server and the limits of [`QueryLimits::default`].
    pub fn new() -> Self {
        Self::default()
    }

    /// How far back an instant selector looks for the newest sample, in milliseconds.
    ///
    /// Default 300 000 (five minutes), as in Prometheus, which also stands in for values that are not positive. A series
    /// whose newest sample is this old or older, or is a stale marker, does not appear in the result.
    #[must_use]
    pub const fn lookback_ms(mut self, lookback_ms: i64) -> Self {
        self.settings.lookback = if lookback_ms > 0 { lookback_ms } else { DEFAULT_LOOKBACK_MS };
        self
    }

    /// The step of subqueries that name none, in milliseconds; default 60 000, as in Prometheus.
    #[must_use]
    pub const fn subquery_step_ms(mut self, step_ms: i64) -> Self {
        self.subquery_step_ms = if step_ms > 0 { step_ms } else { DEFAULT_SUBQUERY_STEP_MS };
        self
    }

    /// Whether metric names are dropped when the query is done instead of by each function; default false.
    #[must_use]
    pub const fn delayed_name_removal(mut self, on: bool) -> Self {
        self.settings.delayed_name_removal = on;
        self
    }

    /// Whether `rate`, `increase`, `irate` and `resets` look at the start times of samples; default false.
    #[must_use]
    pub const fn start_timestamps(mut self, on: bool) -> Self {
        self.settings.start_timestamps = on;
        self
    }

    /// Whether `rate` judges by `__type__` labels, and not by names, if a metric is a counter; default false.
    #[must_use]
    pub const fn type_and_unit(mut self, on: bool) -> Self {
        self.settings.type_and_unit = on;
        self
    }

    /// Whether functions and aggregations that Prometheus calls experimental are there; default false.
    #[must_use]
    pub const fn experimental_functions(mut self, on: bool) -> Self {
        self.parse.experimental_functions = on;
        self
    }

    /// Whether range selectors can be `anchored` or `smoothed`; default false.
    #[must_use]
    pub const fn extended_range_selectors(mut self, on: bool) -> Self {
        self.parse.extended_range_selectors = on;
        self
    }

    /// Whether binary operators take `fill`, `fill_left` and `fill_right`; default false.
    #[must_use]
    pub const fn fill_modifiers(mut self, on: bool) -> Self {
        self.parse.fill_modifiers = on;
        self
    }

    /// Whether durations can be computed (`[5m * 2]`, `step()`); default true.
    #[must_use]
    pub const fn duration_expressions(mut self, on: bool) -> Self {
        self.parse.duration_expressions = on;
        self
    }

    /// Whether `@` is accepted; default true.
    #[must_use]
    pub const fn at_modifier(mut self, on: bool) -> Self {
        self.parse.at_modifier = on;
        self
    }

    /// Whether offsets can look ahead; default true.
    #[must_use]
    pub const fn negative_offset(mut self, on: bool) -> Self {
        self.parse.negative_offset = on;
        self
    }

    /// All experimental syntax at once: functions, extended range selectors and fill modifiers.
    #[must_use]
    pub const fn experimental(self, on: bool) -> Self {
        self.experimental_functions(on).extended_range_selectors(on).fill_modifiers(on)
    }

    /// The names of the functions and aggregations that queries may use under these options, in their order: for
    /// whoever completes what is typed.
    pub fn functions(&self) -> Vec<&'static str> {
        self.parse.functions()
    }

    /// What one query may use.
    #[must_use]
    pub fn limits(mut self, limits: QueryLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Evaluations by this engine fail with [`ErrorKind::Canceled`] once the token is set. Clone the engine for evaluations
    /// with tokens of their own.
    #[must_use]
    pub fn cancellation(mut self, token: CancellationToken) -> Self {
        self.interrupts.cancellation = Some(token);
        self
    }

    /// Evaluations by this engine fail with [`ErrorKind::TimedOut`] once `is_over` says so.
    ///
    /// The engine has no clock: `is_over` is asked at least every 1,024 samples, and reads the caller's. It should be quick.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// # use promgate::{Engine, ErrorKind, Store, StoreOptions, Timestamp};
    ///
    /// let until = Instant::now() + Duration::from_secs(10);
    /// let engine = Engine::new().deadline(move || Instant::now() >= until);
    /// let query = engine.prepare("vector(1)")?;
    /// let snapshot = Store::in_memory(StoreOptions::new()).snapshot();
    /// assert!(engine.instant(&snapshot, &query, Timestamp::from_millis(0)).is_ok());
    ///
    /// let late = engine.deadline(|| true);
    /// let error = late.instant(&snapshot, &query, Timestamp::from_millis(0)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// assert_eq!(error.to_string(), "query timed out in query execution");
    /// # Ok::<(), promgate::Error>(())
    /// ```
    #[must_use]
    pub fn deadline(mut self, is_over: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.interrupts.deadline = Some(Arc::new(is_over));
        self
    }

    /// How many threads a query may use that selects many series; default 1, the caller's alone.
    ///
    /// The others read series and evaluate functions of them beside the caller's, which adds up in the order of series; sums over
    /// rates of histograms are split by time. Threads begin with a wide selector and end with it. The answer is the same to the
    /// last bit, with the same errors and annotations. Each thread may hold some hundreds of series beyond what the limits count,
    /// and looks at token and deadline itself. What is less wide than some thousands of series, or of points of histograms, begins
    /// none.
    ///
    /// ```
    /// # use promgate::{Engine, Store, StoreOptions, Timestamp};
    /// let engine = Engine::new().threads(4);
    /// let query = engine.prepare("sum by (job) (rate(requests_total[5m]))")?;
    /// # let snapshot = Store::in_memory(StoreOptions::new()).snapshot();
    /// let answer = engine.instant(&snapshot, &query, Timestamp::from_millis(0))?;
    /// # Ok::<(), promgate::Error>(())
    /// ```
    #[must_use]
    pub const fn threads(mut self, threads: usize) -> Self {
        self.settings.threads = if threads > MOST_THREADS { MOST_THREADS } else { threads };
        self
    }

    /// A clock that does not go back, by which [`analyze`](Self::analyze) tells how long operators took. Nothing else looks at it.
    ///
    /// ```
    /// # use promgate::{Engine, Store, StoreOptions, Timestamp};
    /// let start = std::time::Instant::now();
    /// let engine = Engine::new().clock(move || start.elapsed());
    /// let query = engine.prepare("vector(1) + 1")?;
    /// let source = Store::in_memory(StoreOptions::new()).snapshot();
    /// let (_, analysis) = engine.analyze(&source, &query, Timestamp::from_millis(0))?;
    /// assert!(analysis.operators.iter().all(|operator| operator.time.is_some()));
    /// # Ok::<(), promgate::Error>(())
    /// ```
    #[must_use]
    pub fn clock(mut self, now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        self.clock = Some(Clock(Arc::new(now)));
        self
    }

    /// Parses and checks a query.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Parse`] with Prometheus's text and position.
    pub fn prepare(&self, query: &str) -> Result<Query> {
        let expr = parse(query, &self.parse)?;
        Ok(Query { text: query.to_owned(), expr })
    }

    /// Evaluates at one instant.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Query`] with Prometheus's text, [`ErrorKind::Limit`] with the limit that was passed,
    /// [`ErrorKind::Unsupported`] for what this version does not evaluate, [`ErrorKind::Canceled`] and [`ErrorKind::TimedOut`]
    /// for what was stopped, and what the source fails with.
    pub fn instant(&self, source: &dyn Source, query: &Query, at: Timestamp) -> Result<Evaluation> {
        self.instant_recorded(source, query, at, Recorder::default()).map(|(evaluation, _)| evaluation)
    }

    /// How the query would be evaluated at one instant.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Query`] or [`ErrorKind::Parse`] with Prometheus's text for durations that have no value here.
    pub fn explain(&self, query: &Query, at: Timestamp) -> Result<Explanation> {
        let time = at.as_millis();
        let plan = plan(&query.expr, &self.scope(time, time, 0))?;
        Ok(Explanation { operators: explain(&plan, Steps::single(time), &query.text, self.settings) })
    }

    /// How the query would be evaluated over a range.
    ///
    /// # Errors
    ///
    /// As [`explain`](Self::explain), and as [`range`](Self::range) for what is no range query.
    pub fn explain_range(
        &self,
        query: &Query,
        start: Timestamp,
        end: Timestamp,
        step_ms: i64,
    ) -> Result<Explanation> {
        check_range(query, step_ms)?;
        let steps = Steps::new(start.as_millis(), end.as_millis(), step_ms);
        let plan = plan(&query.expr, &self.scope(start.as_millis(), end.as_millis(), step_ms))?;
        Ok(Explanation { operators: explain(&plan, steps, &query.text, self.settings) })
    }

    /// Evaluates at one instant, and tells what every operator did.
    ///
    /// # Errors
    ///
    /// As [`instant`](Self::instant).
    pub fn analyze(
        &self,
        source: &dyn Source,
        query: &Query,
        at: Timestamp,
    ) -> Result<(Evaluation, Analysis)> {
        let (evaluation, recorder) =
            self.instant_recorded(source, query, at, Recorder::new(&query.text, self.clock.clone()))?;
        Ok((evaluation, recorder.into_analysis()))
    }

    fn instant_recorded(
        &self,
        source: &dyn Source,
        query: &Query,
        at: Timestamp,
        recorder: Recorder,
    ) -> Result<(Evaluation, Recorder)> {
        self.interrupts.check(EXECUTION)?;
        let time = at.as_millis();
        let plan = plan(&query.expr, &self.scope(time, time, 0))?;
        let evaluator = self.evaluator(source, recorder);
        let value = evaluator.instant_value(&plan, time)?;
        let evaluation = Evaluation { value, annotations: evaluator.notes.render(&query.text) };
        Ok((evaluation, evaluator.recorder))
    }

    /// Evaluates at `start`, `start + step_ms`, … up to and including `end`.
    ///
    /// # Errors
    ///
    /// As [`instant`](Self::instant); and [`ErrorKind::InvalidArgument`] if `step_ms` is not above zero.
    pub fn range(
        &self,
        source: &dyn Source,
        query: &Query,
        start: Timestamp,
        end: Timestamp,
        step_ms: i64,
    ) -> Result<Evaluation> {
        let times = (start, end, step_ms);
        self.range_recorded(source, query, times, Recorder::default()).map(|(evaluation, _)| evaluation)
    }

    /// Evaluates over a range, and tells what every operator did.
    ///
    /// # Errors
    ///
    /// As [`range`](Self::range).
    pub fn analyze_range(
        &self,
        source: &dyn Source,
        query: &Query,
        start: Timestamp,
        end: Timestamp,
        step_ms: i64,
    ) -> Result<(Evaluation, Analysis)> {
        let recorder = Recorder::new(&query.text, self.clock.clone());
        let (evaluation, recorder) = self.range_recorded(source, query, (start, end, step_ms), recorder)?;
        Ok((evaluation, recorder.into_analysis()))
    }

    fn range_recorded(
        &self,
        source: &dyn Source,
        query: &Query,
        (start, end, step_ms): (Timestamp, Timestamp, i64),
        recorder: Recorder,
    ) -> Result<(Evaluation, Recorder)> {
        check_range(query, step_ms)?;
        self.interrupts.check(EXECUTION)?;
        let steps = Steps::new(start.as_millis(), end.as_millis(), step_ms);
        let plan = plan(&query.expr, &self.scope(start.as_millis(), end.as_millis(), step_ms))?;
        let evaluator = self.evaluator(source, recorder);
        evaluator.budget.check_points(steps.count())?;
        let value = evaluator.range_value(&plan, steps)?;
        let evaluation = Evaluation { value, annotations: evaluator.notes.render(&query.text) };
        Ok((evaluation, evaluator.recorder))
    }

    fn scope(&self, start: i64, end: i64, step: i64) -> Scope {
        Scope {
            start,
            end,
            step,
            lookback: self.settings.lookback,
            default_subquery_step: self.subquery_step_ms,
            surroundings: Surroundings::default(),
        }
    }

    fn evaluator<'a>(&self, source: &'a dyn Source, recorder: Recorder) -> Evaluator<'a> {
        Evaluator {
            source,
            settings: self.settings,
            budget: Budget::new(&self.limits, &self.interrupts),
            notes: Notebook::default(),
            recorder,
        }
    }
}

/// Whether this can be a range query.
fn check_range(query: &Query, step_ms: i64) -> Result<()> {
    if step_ms <= 0 {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("a range query needs a step above 0 ms, found {step_ms} ms"),
        ));
    }
    if !matches!(query.value_type(), ValueType::Scalar | ValueType::Vector) {
        return Err(Error::new(
            ErrorKind::Parse,
            format!(
                "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
                query.value_type().as_str()
            ),
        ));
    }
    Ok(())
}

impl Query {
    /// The query as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn expr(&self) -> &Expr {
        &self.expr
    }

    /// The query on as many lines as it needs: indented, a line of its own for whatever would pass 100 bytes, as
    /// Prometheus formats it. Comments are lost.
    ///
    /// ```
    /// let query = promgate::Engine::new().prepare("sum(up)")?;
    /// assert_eq!(query.pretty(), "sum(up)");
    /// # Ok::<(), promgate::Error>(())
    /// ```
    pub fn pretty(&self) -> String {
        pretty(&self.expr)
    }

    /// The type that the query evaluates to at an instant.
    pub fn value_type(&self) -> ValueType {
        self.expr.value_type()
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr.fmt(f)
    }
}
