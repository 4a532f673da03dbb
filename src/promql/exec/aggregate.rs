//! Aggregations: groups numbered once, one accumulator per group and step.

use crate::error::Result;
use crate::model::Labels;
use crate::model::label::METRIC_NAME;
use crate::promql::ast::{AggregateOp, ValueType};
use crate::promql::func::extremum;
use crate::promql::func::over_time::Extreme;
use crate::promql::func::quantile::quantile;
use crate::promql::func::sum::{Mean, Sum};
use crate::promql::plan::steps::Steps;
use crate::promql::plan::{Aggregate, Node};

use super::Evaluator;
use super::column::{Column, histogram_weight};
use super::count_values::value_label;
use super::histogram_sum::{HistogramCell, Place, Wanted};
use super::operands::Operands;
use super::subsets::Subsets;
use super::vector::{Scalars, Vector, VectorSeries};

/// Which group each series belongs to.
pub(crate) struct Groups {
    /// The group of each series.
    pub(crate) ids: Vec<usize>,
    /// Labels and drop-name flag of each group, in the order of their first series.
    pub(crate) groups: Vec<(Labels, bool)>,
}

impl Groups {
    pub(crate) fn new(series: &[VectorSeries], aggregate: &Aggregate<'_>) -> Self {
        let mut groups: Vec<(Labels, bool)> = Vec::new();
        let everything = !aggregate.without && aggregate.grouping.is_empty();
        if everything {
            if !series.is_empty() {
                groups.push((Labels::empty(), series.iter().any(|series| series.drop_name)));
            }
            return Self { ids: vec![0; series.len()], groups };
        }
        let mut subsets = Subsets::new(|name| is_grouped(name, aggregate.grouping, aggregate.without));
        let ids = series
            .iter()
            .map(|series| {
                let (id, new) = subsets.number(&series.labels);
                groups.extend(new.map(|labels| (labels, false)));
                if let Some(group) = groups.get_mut(id) {
                    group.1 |= series.drop_name;
                }
                id
            })
            .collect();
        Self { ids, groups }
    }

    /// The series of each group.
    pub(crate) fn members(&self) -> Vec<Vec<usize>> {
        let mut members = vec![Vec::new(); self.groups.len()];
        for (series, id) in self.ids.iter().enumerate() {
            if let Some(group) = members.get_mut(*id) {
                group.push(series);
            }
        }
        members
    }
}

/// The labels of the group that a series belongs to.
pub(crate) fn group_labels(labels: &Labels, grouping: &[String], without: bool) -> Labels {
    labels.filtered(|label| is_grouped(&label.name, grouping, without))
}

/// Whether a label tells one group from another.
pub(crate) fn is_grouped(name: &str, grouping: &[String], without: bool) -> bool {
    let listed = grouping.iter().any(|other| other == name);
    if without { !listed && name != METRIC_NAME } else { listed }
}

/// What a group adds up at one step.
trait Accumulator: Clone + Default {
    fn add(&mut self, value: f64);
    /// The result; called only if something was added.
    fn result(&self) -> f64;
}

impl Accumulator for Sum {
    #[inline]
    fn add(&mut self, value: f64) {
        Self::add(self, value);
    }

    fn result(&self) -> f64 {
        self.total()
    }
}

impl Accumulator for Mean {
    fn add(&mut self, value: f64) {
        Self::add(self, value);
    }

    fn result(&self) -> f64 {
        self.mean()
    }
}

#[derive(Clone, Default)]
struct Count(u64);

impl Accumulator for Count {
    fn add(&mut self, _value: f64) {
        self.0 = self.0.saturating_add(1);
    }

    fn result(&self) -> f64 {
        self.0 as f64
    }
}

#[derive(Clone, Default)]
struct One;

impl Accumulator for One {
    fn add(&mut self, _value: f64) {}

    fn result(&self) -> f64 {
        1.0
    }
}

/// Minimum or maximum; NaN only if nothing else was there.
#[derive(Clone)]
struct Best<const MAX: bool>(f64);

impl<const MAX: bool> Default for Best<MAX> {
    fn default() -> Self {
        Self(f64::NAN)
    }
}

impl<const MAX: bool> Accumulator for Best<MAX> {
    fn add(&mut self, value: f64) {
        let extreme = if MAX { Extreme::Max } else { Extreme::Min };
        if extreme.replaces(value, self.0) {
            self.0 = value;
        }
    }

    fn result(&self) -> f64 {
        self.0
    }
}

/// Population variance by Welford's method, or its root.
#[derive(Clone, Default)]
struct Variance<const ROOT: bool> {
    count: f64,
    mean: f64,
    squares: f64,
}

impl<const ROOT: bool> Accumulator for Variance<ROOT> {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.mean = value;
            self.squares = if value.is_finite() { 0.0 } else { f64::NAN };
            return;
        }
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }

    fn result(&self) -> f64 {
        let variance = self.squares / self.count;
        if ROOT { variance.sqrt() } else { variance }
    }
}

/// How an aggregation treats native histograms.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Histograms {
    /// Adds them up, unless there are floats beside them.
    Added(Wanted),
    /// Counts them like floats.
    Counted,
    /// Leaves them out and says so.
    Ignored,
}

/// Bytes of this many slots for histograms.
const fn cells_bytes(slots: usize) -> u64 {
    (slots as u64).saturating_mul(size_of::<Option<Box<HistogramCell>>>() as u64)
}

impl Evaluator<'_> {
    /// Evaluates an aggregation.
    pub(crate) fn aggregate(
        &self,
        aggregate: &Aggregate<'_>,
        node: &Node<'_>,
        steps: Steps,
        operands: &mut Operands,
    ) -> Result<Vector> {
        let parameter = match &aggregate.param {
            Some(param) if param.value_type == ValueType::Scalar => operands.scalars(param)?,
            _ => Scalars::Constant(f64::NAN),
        };
        let input = operands.vector(&aggregate.inner)?;
        match aggregate.op {
            AggregateOp::Sum => {
                self.accumulate::<Sum>(aggregate, &input, steps, Histograms::Added(Wanted::Sum))
            }
            AggregateOp::Avg => {
                self.accumulate::<Mean>(aggregate, &input, steps, Histograms::Added(Wanted::Mean))
            }
            AggregateOp::Count => self.accumulate::<Count>(aggregate, &input, steps, Histograms::Counted),
            AggregateOp::Group => self.accumulate::<One>(aggregate, &input, steps, Histograms::Counted),
            AggregateOp::Min => self.accumulate::<Best<false>>(aggregate, &input, steps, Histograms::Ignored),
            AggregateOp::Max => self.accumulate::<Best<true>>(aggregate, &input, steps, Histograms::Ignored),
            AggregateOp::Stddev => {
                self.accumulate::<Variance<true>>(aggregate, &input, steps, Histograms::Ignored)
            }
            AggregateOp::Stdvar => {
                self.accumulate::<Variance<false>>(aggregate, &input, steps, Histograms::Ignored)
            }
            AggregateOp::Quantile => self.quantile_aggregation(aggregate, &parameter, &input, steps),
            AggregateOp::Topk | AggregateOp::Bottomk => self.topk(aggregate, &parameter, &input, node, steps),
            AggregateOp::Limitk | AggregateOp::LimitRatio => self.limit(aggregate, &parameter, input, steps),
            AggregateOp::CountValues => self.count_values(aggregate, &input, steps),
        }
    }

    fn accumulate<A: Accumulator>(
        &self,
        aggregate: &Aggregate<'_>,
        input: &Vector,
        steps: Steps,
        histograms: Histograms,
    ) -> Result<Vector> {
        let groups = Groups::new(&input.series, aggregate);
        let count = steps.count();
        let cells = (groups.groups.len() as u64).saturating_mul(count as u64);
        let mut charge = self.budget.charge();
        let cell_bytes = (size_of::<A>() as u64).saturating_add(2);
        charge.raise(0, cells.saturating_mul(cell_bytes))?;
        let size = groups.groups.len().saturating_mul(count);
        let mut accumulators = vec![A::default(); size];
        let mut floats = vec![false; size];
        // Only where there are histograms to add: one slot for each accumulator.
        let mut cells: Vec<Option<Box<HistogramCell>>> = Vec::new();
        for (series, id) in input.series.iter().zip(&groups.ids) {
            self.budget.tick(count)?;
            let row = id.saturating_mul(count);
            let row = row..row.saturating_add(count);
            let (Some(accumulators), Some(floats)) =
                (accumulators.get_mut(row.clone()), floats.get_mut(row.clone()))
            else {
                continue;
            };
            let any_histograms = !cells.is_empty();
            let ignored = |step: usize| {
                let cell = cells.get(row.start.saturating_add(step)).and_then(Option::as_ref);
                cell.is_some_and(|cell| cell.is_incompatible())
            };
            for (step, value) in series.column.floats() {
                if let (Some(accumulator), Some(float)) = (accumulators.get_mut(step), floats.get_mut(step))
                    && !(any_histograms && ignored(step))
                {
                    accumulator.add(value);
                    *float = true;
                }
            }
            for (step, histogram) in series.column.histograms() {
                match histograms {
                    Histograms::Counted => {
                        if let (Some(accumulator), Some(float)) =
                            (accumulators.get_mut(step), floats.get_mut(step))
                        {
                            accumulator.add(0.0);
                            *float = true;
                        }
                    }
                    Histograms::Ignored => {
                        self.notes
                            .ignored_histogram_in_aggregation(aggregate.op.as_str(), aggregate.inner.range);
                    }
                    Histograms::Added(wanted) => {
                        if cells.is_empty() {
                            charge.raise(0, cells_bytes(size))?;
                            cells.resize(size, None);
                        }
                        let Some(cell) = cells.get_mut(row.start.saturating_add(step)) else { continue };
                        if cell.is_none() {
                            let bytes = histogram_weight(histogram).saturating_mul(16);
                            charge.raise(0, bytes)?;
                        }
                        let after_float = floats.get(step).copied().unwrap_or(false);
                        let place = Place { name: series.labels.metric_name(), range: aggregate.inner.range };
                        self.add_histogram(cell, histogram, after_float, wanted, place);
                    }
                }
            }
        }
        let mut output = Vector::new(&self.budget);
        for (index, (labels, drop_name)) in groups.groups.into_iter().enumerate() {
            let mut column = Column::absent(count);
            for step in 0..count {
                let cell = index.saturating_mul(count).saturating_add(step);
                let float = floats.get(cell).copied().unwrap_or(false);
                if let Some(histograms) = cells.get_mut(cell).and_then(Option::take) {
                    if float {
                        self.notes.mixed_aggregation(aggregate.inner.range);
                    } else if let Some(sum) = self.finish_histograms(*histograms, aggregate.inner.range) {
                        column.set_histogram(step, sum);
                    }
                    continue;
                }
                if float && let Some(accumulator) = accumulators.get(cell) {
                    column.set_float(step, accumulator.result());
                }
            }
            output.push(VectorSeries { labels, drop_name, column })?;
        }
        Ok(output)
    }

    /// Refuses what Prometheus refuses before it evaluates operands.
    pub(crate) fn check_aggregate(&self, aggregate: &Aggregate<'_>) -> Result<()> {
        match aggregate.op {
            AggregateOp::CountValues => value_label(aggregate).map(drop),
            _ => Ok(()),
        }
    }

    fn quantile_aggregation(
        &self,
        aggregate: &Aggregate<'_>,
        q: &Scalars,
        input: &Vector,
        steps: Steps,
    ) -> Result<Vector> {
        if let Some(param) = &aggregate.param {
            let mut values = q.iter(steps.count());
            let first = values.next().unwrap_or(0.5);
            let (mut least, mut most, mut any_nan) = (first, first, first.is_nan());
            for q in values {
                least = extremum::min(least, q);
                most = extremum::max(most, q);
                any_nan |= q.is_nan();
            }
            for (bad, q) in [(any_nan, f64::NAN), (most > 1.0, most), (least < 0.0, least)] {
                if bad {
                    self.notes.bad_quantile(q, param.range);
                }
            }
        }
        let groups = Groups::new(&input.series, aggregate);
        let members = groups.members();
        let mut output = Vector::new(&self.budget);
        let mut values = Vec::new();
        for ((labels, drop_name), members) in groups.groups.into_iter().zip(members) {
            let mut column = Column::absent(steps.count());
            for step in 0..steps.count() {
                values.clear();
                self.budget.tick(members.len())?;
                for series in members.iter().filter_map(|index| input.series.get(*index)) {
                    match series.column.sample(step) {
                        Some(super::column::ColumnSample::Float(value)) => values.push(value),
                        Some(super::column::ColumnSample::Histogram(_)) => {
                            self.notes.ignored_histogram_in_aggregation("quantile", aggregate.inner.range);
                        }
                        None => {}
                    }
                }
                if !values.is_empty() {
                    column.set_float(step, quantile(q.at(step), &mut values));
                }
            }
            output.push(VectorSeries { labels, drop_name, column })?;
        }
        Ok(output)
    }
}
