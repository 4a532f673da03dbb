//! Functions of range vectors: one pass over each series, a window sliding from step to step.

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Labels, SampleBuffer, Window, is_stale};
use crate::promql::annotation::HistogramOperation;
use crate::promql::ast::Extension;
use crate::promql::func::over_time::{self, End, Extreme};
use crate::promql::func::rate::{self, Bounds, RateOptions};
use crate::promql::func::{Computed, Notes, Samples, extended, regression};
use crate::promql::plan::steps::Steps;
use crate::promql::plan::window::RangeWindow;
use crate::promql::plan::{Node, Operator, RangeSelector};
use crate::promql::signature::Function;
use crate::promql::text_range::TextRange;
use crate::source::Series;

use super::Evaluator;
use super::column::{Column, buffer_weight, histogram_weight};
use super::hint::{Predecessors, prepare, reduce_to_statistics};
use super::operands::Operands;
use super::unique::refuse_equal;
use super::vector::{Scalars, Vector, VectorSeries};

/// A series of a range vector: all samples that any step needs, without staleness markers.
pub(crate) struct RangeSeries<'a> {
    pub(crate) labels: &'a Labels,
    pub(crate) drop_name: bool,
    pub(crate) samples: &'a SampleBuffer,
}

/// A call of a function of a range vector.
struct RangeCall<'n, 'q> {
    function: Function,
    args: &'n [Node<'q>],
    node: &'n Node<'q>,
    steps: Steps,
    /// Values of the other arguments, and where these stand.
    scalars: Vec<(Scalars, TextRange)>,
    window: RangeWindow,
    extension: Option<Extension>,
    /// Where notes point.
    range: TextRange,
    is_subquery: bool,
}

impl RangeCall<'_, '_> {
    fn keeps_name(&self) -> bool {
        matches!(self.function, Function::FirstOverTime | Function::LastOverTime)
    }
}

/// Removes staleness markers.
pub(crate) fn drop_stale(buffer: &mut SampleBuffer) {
    buffer.histograms.retain(|(_, histogram, _)| !is_stale(histogram.sum));
    if !buffer.values.iter().any(|value| is_stale(*value)) {
        return;
    }
    let keep: Vec<bool> = buffer.values.iter().map(|value| !is_stale(*value)).collect();
    let mut kept = keep.iter();
    buffer.times.retain(|_| kept.next().copied().unwrap_or(true));
    let mut kept = keep.iter();
    buffer.starts.retain(|_| kept.next().copied().unwrap_or(true));
    let mut kept = keep.iter();
    buffer.values.retain(|_| kept.next().copied().unwrap_or(true));
}

/// Finds the samples of windows whose borders only ever move forward.
#[derive(Default)]
pub(crate) struct Slider {
    floats: (usize, usize),
    histograms: (usize, usize),
}

impl Slider {
    /// The samples in `(after, until]`.
    #[inline]
    pub(crate) fn at<'a>(&mut self, buffer: &'a SampleBuffer, after: i64, until: i64) -> Samples<'a> {
        let (low, high) = &mut self.floats;
        while buffer.times.get(*low).is_some_and(|time| *time <= after) {
            *low = low.saturating_add(1);
        }
        *high = (*high).max(*low);
        while buffer.times.get(*high).is_some_and(|time| *time <= until) {
            *high = high.saturating_add(1);
        }
        let floats = *low..*high;
        let (low, high) = &mut self.histograms;
        while buffer.histograms.get(*low).is_some_and(|sample| sample.0 <= after) {
            *low = low.saturating_add(1);
        }
        *high = (*high).max(*low);
        while buffer.histograms.get(*high).is_some_and(|sample| sample.0 <= until) {
            *high = high.saturating_add(1);
        }
        Samples {
            times: buffer.times.get(floats.clone()).unwrap_or_default(),
            values: buffer.values.get(floats.clone()).unwrap_or_default(),
            starts: buffer.starts.get(floats).unwrap_or_default(),
            histograms: buffer.histograms.get(*low..*high).unwrap_or_default(),
        }
    }
}

/// The borders of a window at an evaluation time.
pub(crate) fn bounds(window: RangeWindow, time: i64) -> Bounds {
    let end = window.reference.time(time);
    Bounds { start: end.saturating_sub(window.length), end }
}

/// How Prometheus goes through a series for the windows of all steps: from which time to which, in milliseconds.
fn seeks(window: RangeWindow, steps: Steps) -> impl Iterator<Item = (i64, i64)> {
    let reach = window.length.saturating_add(window.before).saturating_add(window.after);
    // From the second step on only what is new is looked for.
    let interval = steps.time(1).saturating_sub(steps.first());
    let count = if window.reference.at.is_some() { 1 } else { steps.count() };
    steps.times().take(count).enumerate().map(move |(step, time)| {
        let until = window.reference.time(time).saturating_add(window.after);
        (until.saturating_sub(if step == 0 { reach } else { reach.min(interval) }), until)
    })
}

/// Where notes about an argument point: at the argument, or, as Prometheus evaluates a subquery into something without
/// a place, at the start of the query.
fn noted_range(argument: &Node<'_>) -> TextRange {
    match argument.operator {
        Operator::Subquery(_) => TextRange::default(),
        _ => argument.range,
    }
}

/// The range vector among the arguments of a call: its window and extension.
pub(crate) fn range_argument<'n, 'q>(
    args: &'n [Node<'q>],
) -> Option<(&'n Node<'q>, RangeWindow, Option<Extension>)> {
    args.iter().find_map(|arg| match &arg.operator {
        Operator::Range(selector) => Some((arg, selector.window, selector.extension)),
        Operator::Subquery(subquery) => Some((arg, subquery.window, None)),
        _ => None,
    })
}

impl Evaluator<'_> {
    /// Calls `f` for every series of a range selector or subquery, in label order. `hints`: whether it matters what the first
    /// histogram of a window says about its predecessor.
    pub(crate) fn for_each_range_series(
        &self,
        node: &Node<'_>,
        steps: Steps,
        operands: &mut Operands,
        hints: bool,
        f: impl FnMut(RangeSeries<'_>) -> Result<()>,
    ) -> Result<()> {
        match &node.operator {
            Operator::Range(selector) => {
                let window = selector.window.fetched(steps);
                let mut predecessors = Predecessors::new(selector.matchers, window, self.settings.lookback);
                let found = self.select(selector.matchers, window)?;
                self.for_each_of((selector, &found), (window, steps), (hints, &mut predecessors), f)
            }
            Operator::Subquery(subquery) => {
                self.for_each_subquery_series(subquery, &operands.vector(node)?, steps, f)
            }
            _ => Err(Error::new(ErrorKind::Query, "a range vector was expected")),
        }
    }

    /// The same for some of the series that a range selector found.
    fn for_each_of(
        &self,
        (selector, found): (&RangeSelector<'_>, &[Series]),
        (window, steps): (Window, Steps),
        (hints, predecessors): (bool, &mut Predecessors<'_>),
        mut f: impl FnMut(RangeSeries<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut buffer = SampleBuffer::default();
        for series in found {
            buffer.clear();
            self.read(series, window, &mut buffer)?;
            if !buffer.histograms.is_empty() {
                let before = match hints {
                    true => predecessors.of(self, series.labels())?,
                    false => SampleBuffer::default(),
                };
                prepare(&mut buffer, &before, series.labels())?;
                if selector.statistics {
                    reduce_to_statistics(&mut buffer, seeks(selector.window, steps));
                }
            }
            drop_stale(&mut buffer);
            if buffer.is_empty() {
                continue;
            }
            self.budget.check_samples(buffer_weight(&buffer))?;
            f(RangeSeries { labels: series.labels(), drop_name: false, samples: &buffer })?;
        }
        Ok(())
    }

    /// Evaluates a function of a range vector.
    pub(crate) fn range_function(
        &self,
        function: Function,
        args: &[Node<'_>],
        node: &Node<'_>,
        steps: Steps,
        operands: &mut Operands,
    ) -> Result<Vector> {
        let Some((argument, window, extension)) = range_argument(args) else {
            return Err(self.not_built(function, node));
        };
        let is_subquery = matches!(argument.operator, Operator::Subquery(_));
        let range = noted_range(argument);
        let scalars = args
            .iter()
            .filter(|arg| !std::ptr::eq(*arg, argument))
            .map(|arg| operands.scalars(arg).map(|scalars| (scalars, arg.range)))
            .collect::<Result<Vec<_>>>()?;
        check_extension(function, extension)?;
        let call = RangeCall { function, args, node, steps, scalars, window, extension, range, is_subquery };
        // What hands on hints or combines them; a change only asks whether the first one is a gauge.
        let hints = call.keeps_name() || matches!(function, Function::SumOverTime | Function::AvgOverTime);
        let vector = match &argument.operator {
            Operator::Range(selector) => {
                let window = selector.window.fetched(steps);
                let predecessors = Predecessors::new(selector.matchers, window, self.settings.lookback);
                let found = self.select(selector.matchers, window)?;
                self.vector_of(&found, steps, predecessors, |evaluator, series, predecessors, vector| {
                    let before = (hints, predecessors);
                    evaluator.for_each_of((selector, series), (window, steps), before, |series| {
                        evaluator.add_range_series(&call, &series, vector)
                    })
                })?
            }
            _ => {
                let mut vector = Vector::new(&self.budget);
                self.for_each_range_series(argument, steps, operands, hints, |series| {
                    self.add_range_series(&call, &series, &mut vector)
                })?;
                vector
            }
        };
        if self.settings.delayed_name_removal { Ok(vector) } else { refuse_equal(vector) }
    }

    /// Adds the values of a function of one series.
    fn add_range_series(
        &self,
        call: &RangeCall<'_, '_>,
        series: &RangeSeries<'_>,
        vector: &mut Vector,
    ) -> Result<()> {
        let RangeCall { function, args, node, steps, ref scalars, window, extension, range, is_subquery } =
            *call;
        let scalar = |index: usize, step: usize| scalars.get(index).map_or(f64::NAN, |(s, _)| s.at(step));
        let start_timestamps = self.settings.start_timestamps && !is_subquery;
        let is_rate = matches!(function, Function::Rate | Function::Increase);
        let options = RateOptions {
            counter: !matches!(function, Function::Delta | Function::Idelta),
            per_second: matches!(function, Function::Rate | Function::Irate),
            start_timestamps,
        };
        let mut scratch = Vec::new();
        let mut column = Column::absent(steps.count());
        let mut slider = Slider::default();
        let mut noted = Notes::NONE;
        let mut overlaps = 0_u64;
        let mut any_float = false;
        let mut pending = 0_u64;
        for (step, time) in steps.times().enumerate() {
            let bounds = bounds(window, time);
            let samples = slider.at(
                series.samples,
                bounds.start.saturating_sub(window.before),
                bounds.end.saturating_add(window.after),
            );
            self.budget.tick(samples.len())?;
            if samples.is_empty() {
                continue;
            }
            let (computed, notes) = match function {
                Function::Rate | Function::Increase | Function::Delta => match extension {
                    None => rate::extrapolated(&samples, bounds, options),
                    Some(extension) => extended::rate(&samples, bounds, extension, options),
                },
                Function::Irate | Function::Idelta => rate::instant(&samples, options),
                Function::Changes | Function::Resets => {
                    let samples = match extension {
                        None => Some(samples),
                        Some(_) => extended::anchored_window(&samples, bounds.start),
                    };
                    let computed = match samples {
                        None => Computed::Nothing,
                        Some(samples) if function == Function::Changes => rate::changes(&samples),
                        Some(samples) => rate::resets(&samples, start_timestamps),
                    };
                    (computed, Notes::NONE)
                }
                Function::AvgOverTime => over_time::avg(&samples),
                Function::CountOverTime => over_time::count(&samples),
                Function::MaxOverTime => over_time::extreme(&samples, Extreme::Max),
                Function::MinOverTime => over_time::extreme(&samples, Extreme::Min),
                Function::SumOverTime => over_time::sum(&samples),
                Function::StddevOverTime => over_time::deviation(&samples),
                Function::StdvarOverTime => over_time::variance(&samples),
                Function::PresentOverTime => over_time::present(&samples),
                Function::FirstOverTime => over_time::end(&samples, End::First),
                Function::LastOverTime => over_time::end(&samples, End::Last),
                Function::TsOfFirstOverTime => over_time::time_of_end(&samples, End::First),
                Function::TsOfLastOverTime => over_time::time_of_end(&samples, End::Last),
                Function::TsOfMaxOverTime => over_time::time_of_extreme(&samples, Extreme::Max),
                Function::TsOfMinOverTime => over_time::time_of_extreme(&samples, Extreme::Min),
                Function::MadOverTime => over_time::median_absolute_deviation(&samples, &mut scratch),
                Function::QuantileOverTime => over_time::quantile_of(&samples, scalar(0, step), &mut scratch),
                Function::Deriv => regression::deriv(&samples),
                Function::PredictLinear => regression::predict_linear(&samples, time, scalar(0, step)),
                Function::DoubleExponentialSmoothing => {
                    let (sf, tf) = (scalar(0, step), scalar(1, step));
                    check_factor("smoothing", "sf", sf)?;
                    check_factor("trend", "tf", tf)?;
                    over_time::double_exponential_smoothing(&samples, sf, tf)
                }
                _ => return Err(self.not_built(function, node)),
            };
            match computed {
                Computed::Nothing => {}
                Computed::Float(value) => {
                    any_float = true;
                    column.set_float(step, value);
                }
                Computed::Histogram(histogram) => {
                    // Charged once the column is whole, but no more than may be is made before that.
                    pending = pending.saturating_add(histogram_weight(&histogram));
                    self.budget.check_samples(pending)?;
                    column.set_histogram(step, histogram);
                }
            }
            if !notes.is_empty() {
                noted = noted.with(notes);
                overlaps = overlaps.saturating_add(u64::from(notes.has(Notes::START_OVERLAP)));
                if notes.has(Notes::BAD_QUANTILE)
                    && let Some((_, range)) = scalars.first()
                {
                    self.notes.bad_quantile(scalar(0, step), *range);
                }
            }
        }
        let name = series.labels.metric_name();
        self.note_histograms(noted, name, range);
        if noted.has(Notes::IGNORED_HISTOGRAMS) {
            let first = args.first().map_or(range, noted_range);
            self.notes.ignored_histograms_in_range(name, first);
        }
        if overlaps > 0 {
            self.notes.start_overlap(name, overlaps, range);
        }
        if is_rate && any_float {
            self.check_counter_name(series.labels, range);
        }
        let mut output = VectorSeries { labels: series.labels.clone(), drop_name: series.drop_name, column };
        if !call.keeps_name() {
            self.drop_name(&mut output);
        }
        vector.push(output)
    }

    /// Says what a function noticed about the histograms of a series.
    pub(crate) fn note_histograms(&self, noted: Notes, name: &str, range: TextRange) {
        if noted.is_empty() {
            return;
        }
        if noted.has(Notes::MIXED) {
            self.notes.mixed_samples(name, range);
        }
        if noted.has(Notes::NOT_COUNTER) {
            self.notes.not_a_counter(name, range);
        }
        if noted.has(Notes::NOT_GAUGE) {
            self.notes.not_a_gauge(name, range);
        }
        if noted.has(Notes::MIXED_SCHEMAS) {
            self.notes.mixed_schemas(name, range);
        }
        for (note, operation) in [
            (Notes::RECONCILED_ADDITION, HistogramOperation::Addition),
            (Notes::RECONCILED_SUBTRACTION, HistogramOperation::Subtraction),
            (Notes::RECONCILED_AGGREGATION, HistogramOperation::Aggregation),
        ] {
            if noted.has(note) {
                self.notes.reconciled_buckets(operation, range);
            }
        }
        if noted.has(Notes::RESET_COLLISION) {
            self.notes.reset_collision(HistogramOperation::Aggregation, range);
        }
    }

    /// Says so when a series under `rate` or `increase` does not look like a counter.
    fn check_counter_name(&self, labels: &Labels, range: TextRange) {
        let name = labels.metric_name();
        if name.is_empty() {
            return;
        }
        if self.settings.type_and_unit {
            let kind = labels.get(crate::model::label::METRIC_TYPE).unwrap_or("");
            if !matches!(kind, "counter" | "histogram") {
                self.notes.counter_type(name, kind, range);
            }
        } else if !["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| name.ends_with(suffix)) {
            self.notes.counter_name(name, range);
        }
    }
}

/// Refuses an `anchored` or `smoothed` range under a function that has no meaning for it.
pub(crate) fn check_extension(function: Function, extension: Option<Extension>) -> Result<()> {
    let (word, allowed, list) = match extension {
        None => return Ok(()),
        Some(Extension::Anchored) => (
            "anchored",
            matches!(
                function,
                Function::Changes | Function::Delta | Function::Increase | Function::Rate | Function::Resets
            ),
            "changes, delta, increase, rate, resets",
        ),
        Some(Extension::Smoothed) => (
            "smoothed",
            matches!(function, Function::Delta | Function::Increase | Function::Rate),
            "delta, increase, rate",
        ),
    };
    if allowed {
        return Ok(());
    }
    let name = function.signature().name;
    Err(Error::new(
        ErrorKind::Query,
        format!("{word} modifier can only be used with: {list} - not with {name}"),
    ))
}

fn check_factor(what: &str, short: &str, value: f64) -> Result<()> {
    // NaN passes, and makes the result NaN.
    if !(value <= 0.0 || value >= 1.0) {
        return Ok(());
    }
    let value = crate::model::number::format_f6(value);
    Err(Error::new(
        ErrorKind::Query,
        format!("invalid {what} factor. Expected: 0 < {short} < 1, got: {value}"),
    ))
}
