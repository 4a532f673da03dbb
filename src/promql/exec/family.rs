//! `sum by (le) (rate(x_bucket[w]))` over histogram families: rates column by column over the family's times, added
//! group by group. The bits are those of the way over single series.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::error::Result;
use crate::model::label::{BUCKET_BOUND, METRIC_NAME, METRIC_TYPE, METRIC_UNIT, is_metadata};
use crate::model::{Labels, LabelsBuilder, MatchOp, SampleBuffer, is_stale};
use crate::promql::ast::AggregateOp;
use crate::promql::func::rate::{RateOptions, Reach, extrapolated};
use crate::promql::func::sum::Sum;
use crate::promql::func::{Computed, Samples};
use crate::promql::plan::steps::Steps;
use crate::promql::plan::{Aggregate, Operator, RangeSelector};
use crate::promql::signature::Function;
use crate::source::{Family, FamilyBuffer, Item, SelectRequest, Series};

use super::Evaluator;
use super::aggregate::is_grouped;
use super::column::Column;
use super::range::{Slider, bounds, drop_stale};
use super::vector::{Vector, VectorSeries};

/// A sum over rates of bucket series, grouped at least by their bounds.
struct RateSum<'n, 'q> {
    aggregate: &'n Aggregate<'q>,
    selector: &'n RangeSelector<'q>,
    options: RateOptions,
    steps: Steps,
}

/// One group of the result.
struct Group {
    labels: Labels,
    /// The first series that contributed; groups come in the order of these.
    first: Labels,
    sums: Vec<Sum>,
    present: Vec<bool>,
}

/// The groups so far.
#[derive(Default)]
struct Groups {
    groups: Vec<Group>,
    /// By labels without bound.
    bases: HashMap<Labels, usize>,
    /// The groups of each base, by bound.
    places: Vec<Vec<(Arc<str>, usize)>>,
}

/// What the rates of a window share, whatever the column.
struct Step {
    /// First row of the window, and the row after its last.
    rows: (usize, usize),
    /// `None`: too few rows for a rate.
    reach: Option<(Reach, f64)>,
}

/// The form that this file evaluates, if the aggregation has it.
fn recognize<'n, 'q>(aggregate: &'n Aggregate<'q>, steps: Steps) -> Option<RateSum<'n, 'q>> {
    let by_bound = aggregate.grouping.iter().any(|name| name == BUCKET_BOUND) != aggregate.without;
    if aggregate.op != AggregateOp::Sum || !by_bound {
        return None;
    }
    let Operator::Call { function: function @ (Function::Rate | Function::Increase), args } =
        &aggregate.inner.operator
    else {
        return None;
    };
    let [argument] = args.as_slice() else { return None };
    let Operator::Range(selector) = &argument.operator else { return None };
    let of_buckets = selector.matchers.iter().any(|matcher| {
        matcher.name() == METRIC_NAME
            && matcher.op() == MatchOp::Equal
            && matcher.value().ends_with(b"_bucket")
    });
    let options =
        RateOptions { counter: true, per_second: *function == Function::Rate, start_timestamps: false };
    let fits = of_buckets && selector.extension.is_none();
    fits.then_some(RateSum { aggregate, selector, options, steps })
}

/// Labels by which series of the same bound are in order.
fn order_key(labels: &Labels) -> Labels {
    let mut builder = LabelsBuilder::from_labels(labels);
    builder.set(BUCKET_BOUND, "0");
    builder.build()
}

/// Puts items in the order that the series of any one bound have.
fn order_as_series(items: &mut [Item]) {
    let same_names =
        |a: &Labels, b: &Labels| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.name == b.name);
    let is_family = |item: &Item| matches!(item, Item::Family(_));
    let uniform = items.iter().all(is_family)
        && items.windows(2).all(|pair| matches!(pair, [a, b] if same_names(a.labels(), b.labels())));
    // The source's order differs only where one series has a label that the other lacks.
    if !uniform {
        items.sort_by_cached_key(|item| order_key(item.labels()));
    }
}

impl Evaluator<'_> {
    /// The sum, if it has this form and the source has families for it.
    pub(crate) fn sum_of_family_rates(
        &self,
        aggregate: &Aggregate<'_>,
        steps: Steps,
    ) -> Result<Option<Vector>> {
        let Some(sum) = recognize(aggregate, steps) else { return Ok(None) };
        if self.settings.type_and_unit {
            return Ok(None);
        }
        let window = sum.selector.window.fetched(steps);
        self.budget.check_window(window.until.millis_since(window.after))?;
        let set = self.source.select(&SelectRequest::new(sum.selector.matchers, window).with_families())?;
        let has_family = set.items.iter().any(|item| matches!(item, Item::Family(_)));
        // Types and units are dropped along with the name, which can make labels equal.
        let typed = |item: &Item| {
            item.labels().label(METRIC_TYPE).is_some() || item.labels().label(METRIC_UNIT).is_some()
        };
        if !has_family || set.items.iter().any(typed) {
            return Ok(None);
        }
        let mut items = set.items;
        order_as_series(&mut items);
        let mut groups = Groups::default();
        let mut charge = self.budget.charge();
        let mut buffer = FamilyBuffer::default();
        for item in &items {
            let known = groups.groups.len();
            match item {
                Item::Family(family) => {
                    self.budget.touch_series(family.bounds().len())?;
                    buffer.clear();
                    family.read_counts(window, &mut buffer)?;
                    let samples = buffer.times().len().saturating_mul(buffer.width());
                    self.budget.check_samples(samples as u64)?;
                    sum.add_family(family, &buffer, self.settings.delayed_name_removal, &mut groups);
                }
                Item::Series(series) => {
                    self.budget.touch_series(1)?;
                    let mut samples = SampleBuffer::default();
                    series.read(window, &mut samples)?;
                    drop_stale(&mut samples);
                    if !samples.histograms.is_empty() || !samples.starts.is_empty() {
                        return Ok(None);
                    }
                    self.budget.check_samples(samples.len() as u64)?;
                    sum.add_series(series, &samples, self.settings.delayed_name_removal, &mut groups);
                }
            }
            let cells = groups.groups.len().saturating_sub(known).saturating_mul(steps.count()) as u64;
            charge.raise(0, cells.saturating_mul(size_of::<Sum>() as u64 + 1))?;
        }
        groups.groups.sort_by(|a, b| a.first.cmp(&b.first));
        let mut output = Vector::new(&self.budget);
        for group in groups.groups {
            let mut column = Column::absent(steps.count());
            for (step, (sum, present)) in group.sums.iter().zip(&group.present).enumerate() {
                if *present {
                    column.set_float(step, sum.total());
                }
            }
            let drop_name = self.settings.delayed_name_removal;
            output.push(VectorSeries { labels: group.labels, drop_name, column })?;
        }
        Ok(Some(output))
    }
}

impl RateSum<'_, '_> {
    /// Adds the rates of all buckets of a family.
    fn add_family(&self, family: &Family, buffer: &FamilyBuffer, delayed: bool, groups: &mut Groups) {
        let base = self.base(family.labels(), delayed, groups);
        let buckets = family.bounds().len();
        let moves = Moves::of(buffer, buckets);
        let steps = self.steps(buffer.times());
        let mut rates = Vec::with_capacity(self.steps.count());
        for column in 0..buckets {
            let Some(bound) = family.bound_text(column) else { continue };
            rates.clear();
            match &moves {
                Moves::Rising => rates.extend(steps.iter().map(|step| {
                    let (reach, factor) = step.reach?;
                    let first = *buffer.row(step.rows.0).get(column)?;
                    let last = *buffer.row(step.rows.1.checked_sub(1)?).get(column)?;
                    Some(reach.extend_counter_by(factor, last - first, first))
                })),
                Moves::Any => {
                    let mut samples = SampleBuffer::default();
                    for (row, time) in buffer.times().iter().enumerate() {
                        let value = buffer.row(row).get(column).filter(|_| buffer.has(row, column));
                        if let Some(value) = value.filter(|value| !is_stale(**value)) {
                            samples.push_float(*time, *value, 0);
                        }
                    }
                    self.rates(&samples, &mut rates);
                }
            }
            self.add(base, column, family.labels(), bound, &rates, groups);
        }
    }

    /// What the windows of all steps share over these times.
    fn steps(&self, times: &[i64]) -> Vec<Step> {
        let windows = self.windows(times);
        let steps = windows.into_iter().zip(self.steps.times()).map(|(rows, time)| {
            let count = rows.1.saturating_sub(rows.0);
            let first = times.get(rows.0).filter(|_| count > 1);
            let last = rows.1.checked_sub(1).and_then(|row| times.get(row));
            let reach = first.zip(last).map(|(first, last)| {
                let bounds = bounds(self.selector.window, time);
                let reach = Reach::new(*first, *last, count, bounds, self.options.per_second);
                (reach, reach.plain_factor())
            });
            Step { rows, reach }
        });
        steps.collect()
    }

    /// Adds the rates of one series.
    fn add_series(&self, series: &Series, samples: &SampleBuffer, delayed: bool, groups: &mut Groups) {
        let without_bound = series.labels().filtered(|label| &*label.name != BUCKET_BOUND);
        let base = self.base(&without_bound, delayed, groups);
        let mut rates = Vec::new();
        self.rates(samples, &mut rates);
        let bound = series.labels().label(BUCKET_BOUND).map_or_else(|| Arc::from(""), |le| le.value.clone());
        self.add(base, usize::MAX, &without_bound, &bound, &rates, groups);
    }

    /// The rates at all steps of samples without markers.
    fn rates(&self, samples: &SampleBuffer, rates: &mut Vec<Option<f64>>) {
        let mut slider = Slider::default();
        rates.extend(self.steps.times().map(|time| {
            let bounds = bounds(self.selector.window, time);
            self.rate(&slider.at(samples, bounds.start, bounds.end), time)
        }));
    }

    fn rate(&self, samples: &Samples<'_>, time: i64) -> Option<f64> {
        match extrapolated(samples, bounds(self.selector.window, time), self.options).0 {
            Computed::Float(value) => Some(value),
            _ => None,
        }
    }

    /// First and last row of the window of every step.
    fn windows(&self, times: &[i64]) -> Vec<(usize, usize)> {
        let (mut low, mut high) = (0_usize, 0_usize);
        let next = |place: usize, until: i64| {
            let rest = times.get(place..).unwrap_or_default();
            place.saturating_add(rest.iter().take_while(|time| **time <= until).count())
        };
        let windows = self.steps.times().map(|time| {
            let bounds = bounds(self.selector.window, time);
            low = next(low, bounds.start);
            high = next(high.max(low), bounds.end);
            (low, high)
        });
        windows.collect()
    }

    /// The number of the group labels that a series has apart from its bound.
    fn base(&self, labels: &Labels, delayed: bool, groups: &mut Groups) -> usize {
        let Aggregate { grouping, without, .. } = self.aggregate;
        let labels = labels.filtered(|label| {
            let kept = delayed || !is_metadata(&label.name);
            kept && is_grouped(&label.name, grouping, *without)
        });
        let next = groups.bases.len();
        let base = *groups.bases.entry(labels).or_insert(next);
        if base == next {
            groups.places.push(Vec::new());
        }
        base
    }

    /// Adds rates to the group of their base and bound. `column` says where in a histogram the bound probably stands.
    fn add(
        &self,
        base: usize,
        column: usize,
        labels: &Labels,
        bound: &Arc<str>,
        rates: &[Option<f64>],
        groups: &mut Groups,
    ) {
        if rates.iter().all(Option::is_none) {
            return;
        }
        let Groups { groups, bases, places } = groups;
        let Some(places) = places.get_mut(base) else { return };
        let is_bound = |(other, _): &&(Arc<str>, usize)| Arc::ptr_eq(other, bound) || other == bound;
        let known = places.get(column).filter(is_bound).or_else(|| places.iter().find(is_bound));
        let place = match known {
            Some((_, place)) => *place,
            None => {
                let shared = bases.iter().find(|(_, id)| **id == base).map(|(labels, _)| labels.clone());
                let with_bound = |labels: &Labels| {
                    let mut builder = LabelsBuilder::from_labels(labels);
                    builder.set(BUCKET_BOUND, bound.clone());
                    builder.build()
                };
                groups.push(Group {
                    labels: with_bound(&shared.unwrap_or_else(Labels::empty)),
                    first: with_bound(labels),
                    sums: vec![Sum::default(); self.steps.count()],
                    present: vec![false; self.steps.count()],
                });
                let place = groups.len().saturating_sub(1);
                places.push((bound.clone(), place));
                place
            }
        };
        let Some(group) = groups.get_mut(place) else { return };
        for ((rate, sum), present) in rates.iter().zip(&mut group.sums).zip(&mut group.present) {
            if let Some(rate) = rate {
                sum.add(*rate);
                *present = true;
            }
        }
    }
}

/// How the buckets of a family move over the rows that were read.
enum Moves {
    /// Every value is there, none is a marker, and none is below the one before it.
    Rising,
    Any,
}

impl Moves {
    fn of(buffer: &FamilyBuffer, buckets: usize) -> Self {
        let row = |row: usize| buffer.row(row).get(..buckets).unwrap_or_default();
        // A marker is NaN, and so is no successor of anything.
        let rises = |index: usize| match index.checked_sub(1) {
            None => row(0).iter().all(|value| !value.is_nan()),
            Some(before) => row(before).iter().zip(row(index)).all(|(before, value)| before <= value),
        };
        match buffer.is_dense() && (0..buffer.times().len()).all(rises) {
            true => Self::Rising,
            false => Self::Any,
        }
    }
}
