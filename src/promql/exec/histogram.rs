//! `histogram_quantile` and its relatives, over native histograms and over classic buckets: series grouped once, buckets
//! gathered per step.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind, Result};
use crate::model::label::{BUCKET_BOUND, METRIC_NAME};
use crate::model::{Labels, LabelsBuilder, NativeHistogram};
use crate::promql::func::bound;
use crate::promql::func::classic_histogram::{Bucket, Repair, fraction, quantile, sort_by_bound};
use crate::promql::func::native_histogram::{self, NanNote};
use crate::promql::plan::Node;
use crate::promql::plan::steps::Steps;
use crate::promql::signature::Function;
use crate::promql::text_range::TextRange;

use super::Evaluator;
use super::column::{Column, ColumnSample};
use super::operands::Operands;
use super::subsets::Subsets;
use super::vector::{Scalars, Vector, VectorSeries};

/// One classic histogram.
struct Group {
    /// All labels but the bound.
    labels: Labels,
    drop_name: bool,
    /// Bound and series of each bucket, in bound order.
    buckets: Vec<(f64, usize)>,
    /// The steps at which a native histogram has the same labels, so that neither has an answer; empty if there are none.
    mixed: Vec<bool>,
}

impl Group {
    fn is_mixed(&self, step: usize) -> bool {
        self.mixed.get(step).copied().unwrap_or(false)
    }
}

/// A series with native histograms.
struct Native {
    series: usize,
    /// The classic histogram with the same labels.
    twin: Option<usize>,
}

/// Histograms found in a vector.
struct Histograms {
    groups: Vec<Group>,
    natives: Vec<Native>,
    input: Vector,
}

impl Evaluator<'_> {
    /// Finds native histograms, and groups bucket series by their labels without bound.
    fn histograms_in(&self, input: Vector, range: TextRange, steps: Steps) -> Histograms {
        let mut places = Subsets::new(|name| name != BUCKET_BOUND);
        let mut groups: Vec<Group> = Vec::new();
        for (index, series) in input.series.iter().enumerate() {
            if series.column.floats().next().is_none() {
                continue;
            }
            let text = series.labels.get(BUCKET_BOUND).unwrap_or("");
            let Some(bound) = bound::parse(text) else {
                self.notes.bad_bucket(text, self.noted_name(&series.labels), range);
                continue;
            };
            let (place, new) = places.number(&series.labels);
            groups.extend(new.map(|labels| Group {
                labels,
                drop_name: series.drop_name,
                buckets: Vec::new(),
                mixed: Vec::new(),
            }));
            if let Some(group) = groups.get_mut(place) {
                group.buckets.push((bound, index));
            }
        }
        for group in &mut groups {
            sort_by_bound(&mut group.buckets);
        }
        let mut histograms = Histograms { groups, natives: Vec::new(), input };
        for (index, series) in histograms.input.series.iter().enumerate() {
            if series.column.histograms().next().is_none() {
                continue;
            }
            let twin = places.known(&series.labels);
            histograms.natives.push(Native { series: index, twin });
            let Some(group) = twin.and_then(|twin| histograms.groups.get_mut(twin)) else { continue };
            let mut meeting = vec![false; steps.count()];
            for (_, bucket) in &group.buckets {
                let Some(bucket) = histograms.input.series.get(*bucket) else { continue };
                for (step, _) in bucket.column.floats() {
                    if let Some(slot) = meeting.get_mut(step) {
                        *slot |= series.column.histogram(step).is_some();
                    }
                }
            }
            if meeting.contains(&true) {
                self.notes.mixed_histograms(self.noted_name(&group.labels), range);
                group.mixed = meeting;
            }
        }
        histograms
    }

    /// `histogram_quantile`, `histogram_quantiles`, `histogram_fraction`
    pub(crate) fn histogram_function(
        &self,
        function: Function,
        args: &[Node<'_>],
        node: &Node<'_>,
        steps: Steps,
        operands: &mut Operands,
    ) -> Result<Vector> {
        match (function, args) {
            (Function::HistogramQuantile, [q, argument]) => {
                let range = q.range;
                let q = operands.scalars(q)?;
                let input = operands.vector(argument)?;
                self.note_quantiles(&q, range, steps);
                let mut output = Vector::new(&self.budget);
                let histograms = self.histograms_in(input, argument.range, steps);
                let mut repairs = Repairs::new(steps);
                self.native_quantiles(&histograms, &q, None, argument.range, &mut output)?;
                self.quantiles(&histograms, &q, None, steps, &mut output, &mut repairs)?;
                self.note_repairs(&repairs, argument.range, steps);
                self.collect(output, steps)
            }
            (Function::HistogramQuantiles, [argument, name, quantiles @ ..]) => {
                let name = self.label_name(name)?;
                let input = operands.vector(argument)?;
                let quantiles = quantiles
                    .iter()
                    .map(|q| {
                        let scalars = operands.scalars(q)?;
                        self.note_quantiles(&scalars, q.range, steps);
                        Ok(scalars)
                    })
                    .collect::<Result<Vec<_>>>()?;
                let mut output = Vector::new(&self.budget);
                let histograms = self.histograms_in(input, argument.range, steps);
                let mut repairs = Repairs::new(steps);
                for q in &quantiles {
                    let mut of_one = Repairs::new(steps);
                    self.native_quantiles(&histograms, q, Some(&name), argument.range, &mut output)?;
                    self.quantiles(&histograms, q, Some(&name), steps, &mut output, &mut of_one)?;
                    repairs.replace(of_one);
                }
                self.note_repairs(&repairs, argument.range, steps);
                self.collect(output, steps)
            }
            (Function::HistogramFraction, [lower, upper, argument]) => {
                let lower = operands.scalars(lower)?;
                let upper = operands.scalars(upper)?;
                let input = operands.vector(argument)?;
                let histograms = self.histograms_in(input, argument.range, steps);
                let mut output = Vector::new(&self.budget);
                let mut buckets = Vec::new();
                for (series, native) in histograms.natives() {
                    let mut column = Column::absent(steps.count());
                    for (step, histogram) in histograms.unmixed(series, native) {
                        let (value, note) =
                            native_histogram::fraction(lower.at(step), upper.at(step), histogram);
                        column.set_float(step, value);
                        self.note_nan(note, &series.labels, argument.range);
                    }
                    let mut series =
                        VectorSeries { labels: series.labels.clone(), drop_name: series.drop_name, column };
                    self.drop_name(&mut series);
                    output.push(series)?;
                }
                for group in &histograms.groups {
                    let mut column = Column::absent(steps.count());
                    for step in 0..steps.count() {
                        self.budget.tick(group.buckets.len())?;
                        if histograms.gather(group, step, &mut buckets) {
                            column.set_float(step, fraction(lower.at(step), upper.at(step), &mut buckets));
                        }
                    }
                    let mut series =
                        VectorSeries { labels: group.labels.clone(), drop_name: group.drop_name, column };
                    self.drop_name(&mut series);
                    output.push(series)?;
                }
                self.collect(output, steps)
            }
            _ => Err(self.not_built(function, node)),
        }
    }

    /// The functions that only look at native histograms.
    pub(crate) fn native_histogram_function(
        &self,
        function: Function,
        argument: &Node<'_>,
        input: &Vector,
        steps: Steps,
    ) -> Result<Vector> {
        let compute: fn(&NativeHistogram) -> f64 = match function {
            Function::HistogramCount => |histogram| histogram.count,
            Function::HistogramSum => |histogram| histogram.sum,
            Function::HistogramAvg => |histogram| histogram.sum / histogram.count,
            Function::HistogramStdvar => native_histogram::variance,
            Function::HistogramStddev => |histogram| native_histogram::variance(histogram).sqrt(),
            _ => return Err(self.not_built(function, argument)),
        };
        let mut output = Vector::new(&self.budget);
        for series in &input.series {
            if !series.column.has_histograms() {
                continue;
            }
            let mut column = Column::absent(steps.count());
            for (step, histogram) in series.column.histograms() {
                column.set_float(step, compute(histogram));
            }
            // Unlike elsewhere, of the metadata only the name goes.
            let (labels, drop_name) = match self.settings.delayed_name_removal {
                true => (series.labels.clone(), true),
                false => (series.labels.filtered(|label| &*label.name != METRIC_NAME), series.drop_name),
            };
            output.push(VectorSeries { labels, drop_name, column })?;
        }
        self.collect(output, steps)
    }

    fn note_nan(&self, note: Option<NanNote>, labels: &Labels, range: TextRange) {
        if let Some(note) = note {
            self.notes.nan_observations(note, self.noted_name(labels), range);
        }
    }

    /// Adds the quantile of every native histogram; with `label`, as a value of that label.
    fn native_quantiles(
        &self,
        histograms: &Histograms,
        q: &Scalars,
        label: Option<&str>,
        range: TextRange,
        output: &mut Vector,
    ) -> Result<()> {
        for (series, native) in histograms.natives() {
            let mut columns = QuantileColumns::new(series.column.steps(), label.is_some());
            for (step, histogram) in histograms.unmixed(series, native) {
                let q = q.at(step);
                let (value, note) = native_histogram::quantile(q, histogram);
                self.note_nan(note, &series.labels, range);
                columns.set(step, q, value);
            }
            self.push_quantiles(columns, &series.labels, series.drop_name, label, output)?;
        }
        Ok(())
    }

    /// Adds the series of one histogram, one for each quantile.
    fn push_quantiles(
        &self,
        columns: QuantileColumns,
        labels: &Labels,
        drop_name: bool,
        label: Option<&str>,
        output: &mut Vector,
    ) -> Result<()> {
        for (key, column) in columns.columns {
            let mut series = VectorSeries { labels: labels.clone(), drop_name, column };
            self.drop_name(&mut series);
            if let Some(name) = label {
                let text = open_metrics_float(f64::from_bits(key));
                self.budget.make_labels(text.len())?;
                let mut builder = LabelsBuilder::from_labels(&series.labels);
                builder.set(name, text);
                series.labels = builder.build();
            }
            output.push(series)?;
        }
        Ok(())
    }

    /// The name by which notes call a histogram: none if names are dropped at once.
    fn noted_name<'l>(&self, labels: &'l Labels) -> &'l str {
        if self.settings.delayed_name_removal { labels.metric_name() } else { "" }
    }

    fn note_quantiles(&self, quantiles: &Scalars, range: TextRange, steps: Steps) {
        for q in quantiles.iter(steps.count()) {
            if !(0.0..=1.0).contains(&q) {
                self.notes.bad_quantile(q, range);
            }
        }
    }

    /// Adds the quantile of every group; with `label`, as a value of that label.
    fn quantiles(
        &self,
        histograms: &Histograms,
        q: &Scalars,
        label: Option<&str>,
        steps: Steps,
        output: &mut Vector,
        repairs: &mut Repairs,
    ) -> Result<()> {
        let mut buckets = Vec::new();
        for group in &histograms.groups {
            let mut columns = QuantileColumns::new(steps.count(), label.is_some());
            for step in 0..steps.count() {
                self.budget.tick(group.buckets.len())?;
                if !histograms.gather(group, step, &mut buckets) {
                    continue;
                }
                let q = q.at(step);
                let (value, repair) = quantile(q, &mut buckets);
                if let Some(repair) = repair {
                    repairs.add(step, self.noted_name(&group.labels), repair);
                }
                columns.set(step, q, value);
            }
            self.push_quantiles(columns, &group.labels, group.drop_name, label, output)?;
        }
        Ok(())
    }

    /// Says which histograms had to be repaired.
    fn note_repairs(&self, repairs: &Repairs, range: TextRange, steps: Steps) {
        for (name, found) in &repairs.names {
            let mut counts = found.counts.iter().enumerate().filter(|(_, count)| **count > 0);
            let Some((first, _)) = counts.next() else { continue };
            let last = counts.next_back().map_or(first, |(last, _)| last);
            // Prometheus merges the notes of a step into those of all steps before, which it has merged already: the
            // count that it shows doubles with every step.
            let mut samples = 0_u64;
            for (step, count) in found.counts.iter().enumerate().skip(first) {
                samples = samples.wrapping_add(*count);
                if step > first {
                    samples = samples.wrapping_mul(2);
                }
            }
            self.notes.forced_monotonicity(
                name,
                found.repair,
                samples,
                (steps.time(first), steps.time(last)),
                range,
            );
        }
    }

    /// A label name given as string argument.
    pub(crate) fn label_name(&self, node: &Node<'_>) -> Result<String> {
        let text = self.text(node)?;
        if text.is_empty() {
            return Err(Error::new(ErrorKind::Query, "invalid label name \"\""));
        }
        Ok(text)
    }
}

/// The quantiles of one histogram. Where the quantile becomes a label, every distinct one makes a series.
struct QuantileColumns {
    steps: usize,
    by_quantile: bool,
    columns: Vec<(u64, Column)>,
}

impl QuantileColumns {
    const fn new(steps: usize, by_quantile: bool) -> Self {
        Self { steps, by_quantile, columns: Vec::new() }
    }

    fn set(&mut self, step: usize, q: f64, value: f64) {
        let key = if self.by_quantile { q.to_bits() } else { 0 };
        let column = match self.columns.iter().position(|(known, _)| *known == key) {
            Some(place) => self.columns.get_mut(place),
            None => {
                self.columns.push((key, Column::absent(self.steps)));
                self.columns.last_mut()
            }
        };
        if let Some((_, column)) = column {
            column.set_float(step, value);
        }
    }
}

/// Histograms that were repaired, by the name that notes call them.
struct Repairs {
    steps: usize,
    names: BTreeMap<String, Found>,
}

/// What was repaired under one name.
struct Found {
    repair: Repair,
    /// How many histograms at each step.
    counts: Vec<u64>,
}

impl Repairs {
    fn new(steps: Steps) -> Self {
        Self { steps: steps.count(), names: BTreeMap::new() }
    }

    fn add(&mut self, step: usize, name: &str, repair: Repair) {
        if !self.names.contains_key(name) {
            self.names.insert(name.to_owned(), Found { repair, counts: vec![0; self.steps] });
        }
        let Some(found) = self.names.get_mut(name) else { return };
        found.repair = found.repair.union(repair);
        if let Some(count) = found.counts.get_mut(step) {
            *count = count.saturating_add(1);
        }
    }

    /// Takes over what was found for another quantile of the same histograms.
    fn replace(&mut self, other: Self) {
        for (name, found) in other.names {
            match self.names.get_mut(&name) {
                None => {
                    self.names.insert(name, found);
                }
                Some(known) => {
                    known.repair = known.repair.union(found.repair);
                    for (known, count) in known.counts.iter_mut().zip(found.counts) {
                        *known = if count > 0 { count } else { *known };
                    }
                }
            }
        }
    }
}

impl Histograms {
    /// The series with native histograms.
    fn natives(&self) -> impl Iterator<Item = (&VectorSeries, &Native)> {
        self.natives.iter().filter_map(|native| Some((self.input.series.get(native.series)?, native)))
    }

    /// The native histograms of a series that have no classic twin, with their steps.
    fn unmixed<'a>(
        &'a self,
        series: &'a VectorSeries,
        native: &Native,
    ) -> impl Iterator<Item = (usize, &'a NativeHistogram)> {
        let twin = native.twin.and_then(|twin| self.groups.get(twin));
        let histograms = series.column.histograms().map(|(step, histogram)| (step, &**histogram));
        histograms.filter(move |(step, _)| !twin.is_some_and(|twin| twin.is_mixed(*step)))
    }

    /// Gathers the buckets of a group at a step; false if there is none, or a native histogram beside them.
    fn gather(&self, group: &Group, step: usize, buckets: &mut Vec<Bucket>) -> bool {
        buckets.clear();
        if group.is_mixed(step) {
            return false;
        }
        for (upper, index) in &group.buckets {
            let sample = self.input.series.get(*index).and_then(|series| series.column.sample(step));
            if let Some(ColumnSample::Float(count)) = sample {
                buckets.push(Bucket { upper: *upper, count });
            }
        }
        !buckets.is_empty()
    }
}

/// A float as OpenMetrics writes it: with a fraction where it would look like an integer.
pub(crate) fn open_metrics_float(value: f64) -> String {
    // Negative zero has no sign here.
    let mut text = crate::model::number::format_g(if value == 0.0 { 0.0 } else { value });
    if value.is_finite() && !text.contains(['.', 'e']) {
        text.push_str(".0");
    }
    text
}
