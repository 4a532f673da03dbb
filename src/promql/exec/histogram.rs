//! `histogram_quantile` and its relatives over classic buckets: series grouped once, buckets gathered per step.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use crate::error::{Error, ErrorKind, Result};
use crate::model::label::BUCKET_BOUND;
use crate::model::{Labels, LabelsBuilder};
use crate::promql::func::bound;
use crate::promql::func::classic_histogram::{Bucket, Repair, fraction, quantile, sort_by_bound};
use crate::promql::plan::Node;
use crate::promql::plan::steps::Steps;
use crate::promql::signature::Function;
use crate::promql::text_range::TextRange;

use super::Evaluator;
use super::column::{Column, ColumnSample};
use super::vector::{Scalars, Vector, VectorSeries};

/// One classic histogram.
struct Group {
    /// All labels but the bound.
    labels: Labels,
    drop_name: bool,
    /// Bound and series of each bucket, in bound order.
    buckets: Vec<(f64, usize)>,
}

/// Classic histograms found in a vector.
pub(crate) struct ClassicHistograms {
    groups: Vec<Group>,
    input: Vector,
}

impl Evaluator<'_> {
    /// Groups the bucket series of a vector by their labels without bound.
    fn classic_histograms(&self, input: Vector, range: TextRange, steps: Steps) -> ClassicHistograms {
        let mut places: HashMap<Labels, usize> = HashMap::new();
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
            let labels = series.labels.filtered(|label| &*label.name != BUCKET_BOUND);
            let place = *places.entry(labels).or_insert_with_key(|labels| {
                let labels = labels.clone();
                groups.push(Group { labels, drop_name: series.drop_name, buckets: Vec::new() });
                groups.len().saturating_sub(1)
            });
            if let Some(group) = groups.get_mut(place) {
                group.buckets.push((bound, index));
            }
        }
        for group in &mut groups {
            sort_by_bound(&mut group.buckets);
        }
        self.note_mixed_histograms(&groups, &input, range, steps);
        ClassicHistograms { groups, input }
    }

    /// Says so where a native histogram has exactly the labels of a classic one at the same step.
    fn note_mixed_histograms(&self, groups: &[Group], input: &Vector, range: TextRange, steps: Steps) {
        let mut native: HashMap<&Labels, usize> = HashMap::new();
        for (index, series) in input.series.iter().enumerate() {
            if series.column.histograms().next().is_some() {
                native.insert(&series.labels, index);
            }
        }
        if !native.is_empty() {
            for group in groups {
                let Some(native) = native.get(&group.labels).and_then(|index| input.series.get(*index))
                else {
                    continue;
                };
                let meets = |step: &usize| {
                    native.column.histogram(*step).is_some()
                        && group.buckets.iter().any(|(_, index)| {
                            input
                                .series
                                .get(*index)
                                .is_some_and(|series| series.column.float(*step).is_some())
                        })
                };
                if (0..steps.count()).any(|step| meets(&step)) {
                    self.notes.mixed_histograms(self.noted_name(&group.labels), range);
                }
            }
        }
    }

    /// `histogram_quantile`, `histogram_quantiles`, `histogram_fraction`
    pub(crate) fn histogram_function(
        &self,
        function: Function,
        args: &[Node<'_>],
        node: &Node<'_>,
        steps: Steps,
    ) -> Result<Vector> {
        match (function, args) {
            (Function::HistogramQuantile, [q, argument]) => {
                let range = q.range;
                let q = self.scalar(q, steps)?;
                let input = self.vector(argument, steps)?;
                self.note_quantiles(&q, range, steps);
                let mut output = Vector::new(&self.budget);
                let histograms = self.classic_histograms(input, argument.range, steps);
                let mut repairs = Repairs::new(steps);
                self.quantiles(&histograms, &q, None, steps, &mut output, &mut repairs)?;
                self.note_repairs(&repairs, argument.range, steps);
                self.refuse_native(&histograms.input, function)?;
                self.collect(output, steps)
            }
            (Function::HistogramQuantiles, [argument, name, quantiles @ ..]) => {
                let name = self.label_name(name)?;
                let input = self.vector(argument, steps)?;
                let quantiles = quantiles
                    .iter()
                    .map(|q| {
                        let scalars = self.scalar(q, steps)?;
                        self.note_quantiles(&scalars, q.range, steps);
                        Ok(scalars)
                    })
                    .collect::<Result<Vec<_>>>()?;
                let mut output = Vector::new(&self.budget);
                let histograms = self.classic_histograms(input, argument.range, steps);
                let mut repairs = Repairs::new(steps);
                for q in &quantiles {
                    let mut of_one = Repairs::new(steps);
                    self.quantiles(&histograms, q, Some(&name), steps, &mut output, &mut of_one)?;
                    repairs.replace(of_one);
                }
                self.note_repairs(&repairs, argument.range, steps);
                self.refuse_native(&histograms.input, function)?;
                self.collect(output, steps)
            }
            (Function::HistogramFraction, [lower, upper, argument]) => {
                let lower = self.scalar(lower, steps)?;
                let upper = self.scalar(upper, steps)?;
                let input = self.vector(argument, steps)?;
                let histograms = self.classic_histograms(input, argument.range, steps);
                let mut output = Vector::new(&self.budget);
                let mut buckets = Vec::new();
                for group in &histograms.groups {
                    let mut column = Column::absent(steps.count());
                    for step in 0..steps.count() {
                        if histograms.gather(group, step, &mut buckets) {
                            column.set_float(step, fraction(lower.at(step), upper.at(step), &mut buckets));
                        }
                    }
                    let mut series =
                        VectorSeries { labels: group.labels.clone(), drop_name: group.drop_name, column };
                    self.drop_name(&mut series);
                    output.push(series)?;
                }
                self.refuse_native(&histograms.input, function)?;
                self.collect(output, steps)
            }
            _ => Err(self.not_built(function, node)),
        }
    }

    /// The functions that only look at native histograms: nothing where there are floats only.
    pub(crate) fn native_histogram_function(
        &self,
        function: Function,
        argument: &Node<'_>,
        steps: Steps,
    ) -> Result<Vector> {
        let input = self.vector(argument, steps)?;
        self.refuse_native(&input, function)?;
        Ok(Vector::new(&self.budget))
    }

    /// Native histograms have quantiles, too, but not yet here.
    fn refuse_native(&self, input: &Vector, function: Function) -> Result<()> {
        if input.series.iter().any(|series| series.column.histograms().next().is_some()) {
            return Err(super::range::histograms_unsupported(function));
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
        histograms: &ClassicHistograms,
        q: &Scalars,
        label: Option<&str>,
        steps: Steps,
        output: &mut Vector,
        repairs: &mut Repairs,
    ) -> Result<()> {
        let mut buckets = Vec::new();
        for group in &histograms.groups {
            // With a label the quantile is part of the labels, so that every distinct value makes a series.
            let mut columns: Vec<(u64, Column)> = Vec::new();
            for step in 0..steps.count() {
                if !histograms.gather(group, step, &mut buckets) {
                    continue;
                }
                let q = q.at(step);
                let (value, repair) = quantile(q, &mut buckets);
                if let Some(repair) = repair {
                    repairs.add(step, self.noted_name(&group.labels), repair);
                }
                let key = if label.is_some() { q.to_bits() } else { 0 };
                let column = match columns.iter().position(|(known, _)| *known == key) {
                    Some(place) => columns.get_mut(place),
                    None => {
                        columns.push((key, Column::absent(steps.count())));
                        columns.last_mut()
                    }
                };
                if let Some((_, column)) = column {
                    column.set_float(step, value);
                }
            }
            for (key, column) in columns {
                let mut series =
                    VectorSeries { labels: group.labels.clone(), drop_name: group.drop_name, column };
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

impl ClassicHistograms {
    /// Gathers the buckets of a group at a step; false if there is none.
    fn gather(&self, group: &Group, step: usize, buckets: &mut Vec<Bucket>) -> bool {
        buckets.clear();
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
