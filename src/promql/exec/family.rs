//! `sum by (le) (rate(x_bucket[w]))` over histogram families: rates column by column over the family's times, added
//! group by group. The bits are those of the way over single series.

use std::sync::Arc;

use crate::error::Result;
use crate::model::label::{BUCKET_BOUND, METRIC_NAME};
use crate::model::{Labels, LabelsBuilder, MatchOp, SampleBuffer, Window, is_stale};
use crate::promql::ast::AggregateOp;
use crate::promql::func::rate::{RateOptions, Reach, extrapolated};
use crate::promql::func::sum::Sum;
use crate::promql::func::{Computed, Samples};
use crate::promql::plan::steps::Steps;
use crate::promql::plan::{Aggregate, Operator, RangeSelector};
use crate::promql::signature::Function;
use crate::source::{Family, FamilyBuffer, Item, SelectRequest, Series};

use super::budget::Charge;
use super::family_groups::FamilyGroups;
use super::family_read::{Ends, Read, ReadBlock, Reader};
use super::range::{Slider, bounds};
use super::vector::{Vector, VectorSeries};
use super::{Evaluator, Settings};

/// A sum over rates of bucket series, grouped at least by their bounds.
pub(super) struct RateSum<'n, 'q> {
    selector: &'n RangeSelector<'q>,
    options: RateOptions,
    steps: Steps,
}

/// What the rates of a window share, whatever the column.
struct Step {
    /// First row of the window, and the row after its last.
    rows: (usize, usize),
    /// `None`: too few rows for a rate.
    reach: Option<(Reach, f64)>,
}

/// The form that this file evaluates, if the aggregation has it.
pub(super) fn recognize<'n, 'q>(
    aggregate: &'n Aggregate<'q>,
    steps: Steps,
    settings: Settings,
) -> Option<RateSum<'n, 'q>> {
    let by_bound = aggregate.grouping.iter().any(|name| name == BUCKET_BOUND) != aggregate.without;
    if aggregate.op != AggregateOp::Sum || !by_bound || settings.type_and_unit {
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
    fits.then_some(RateSum { selector, options, steps })
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
    let mut before: Option<&Labels> = None;
    let uniform = items.iter().zip(0_usize..).all(|(item, index)| {
        if index.is_multiple_of(TOUCHED) {
            touch_labels(items.get(index..).unwrap_or_default());
        }
        let Item::Family(family) = item else { return false };
        let labels = family.shared_labels();
        before.replace(labels).is_none_or(|before| same_names(before, labels))
    });
    // The source's order differs only where one series has a label that the other lacks.
    if !uniform {
        items.sort_by_cached_key(|item| order_key(item.labels()));
    }
}

/// Items that are touched at once.
const TOUCHED: usize = 16;

/// Reads a little of the next items' rows, so that the memory's answers come together, and not one after the other. What is
/// read means nothing.
fn touch(items: &[Item]) {
    let touched = items.iter().take(TOUCHED).map(|item| match item {
        Item::Family(family) => family.touch(),
        Item::Series(_) => 0,
    });
    std::hint::black_box(touched.fold(0, |read, touched| read ^ touched));
}

/// Touches the next items where it is time to.
pub(super) fn touch_next(items: &[Item], index: usize) {
    if index.is_multiple_of(TOUCHED) {
        touch(items.get(index..).unwrap_or_default());
    }
}

/// The same of the next items' labels.
fn touch_labels(items: &[Item]) {
    let touched = items.iter().take(TOUCHED).map(|item| match item {
        Item::Family(family) => family.shared_labels().touch(),
        Item::Series(_) => 0,
    });
    std::hint::black_box(touched.fold(0, |read, touched| read ^ touched));
}

impl Evaluator<'_> {
    /// The sum, if it has this form and the source has families for it.
    pub(crate) fn sum_of_family_rates(
        &self,
        aggregate: &Aggregate<'_>,
        steps: Steps,
    ) -> Result<Option<Vector>> {
        let Some(sum) = recognize(aggregate, steps, self.settings) else { return Ok(None) };
        let window = sum.window();
        self.budget.check_window(window.until.millis_since(window.after))?;
        self.budget.tick(0)?;
        let set = self.source.select(&SelectRequest::new(sum.selector.matchers, window).with_families())?;
        let has_family = set.items.iter().any(|item| matches!(item, Item::Family(_)));
        if !has_family {
            return Ok(None);
        }
        let mut items = set.items;
        order_as_series(&mut items);
        let delayed = self.settings.delayed_name_removal;
        let groups = match self.sum_by_stretches(&sum, aggregate, &items)? {
            Some(groups) => Some(groups),
            None => self.sum_by_items(&sum, aggregate, &items)?,
        };
        let Some((groups, charge)) = groups else { return Ok(None) };
        let mut output = Vector::new(&self.budget);
        for (labels, column) in groups.into_columns(&items) {
            output.push(VectorSeries { labels, drop_name: delayed, column })?;
        }
        drop(charge);
        Ok(Some(output))
    }

    /// Adds item by item, of which several threads may read. `None`: there is something that only single series can have.
    fn sum_by_items<'n>(
        &self,
        sum: &RateSum<'_, '_>,
        aggregate: &Aggregate<'n>,
        items: &[Item],
    ) -> Result<Option<(FamilyGroups<'n>, Charge)>> {
        let mut groups = FamilyGroups::new(aggregate, self.settings.delayed_name_removal, sum.steps.count());
        let mut charge = self.budget.charge();
        let (mut reader, mut fits) = (Reader::default(), true);
        let read = |evaluator: &Evaluator<'_>, items: &[Item]| ReadBlock::read(evaluator, sum, items);
        self.in_blocks(items, sum.steps.count(), read, |start, items, made| {
            let mut made = made.as_ref().map(ReadBlock::iter);
            for (index, item) in items.iter().enumerate() {
                let known = groups.cells();
                let base = groups.base(item);
                let read = match made.as_mut().and_then(Iterator::next) {
                    Some(read) => read,
                    None => {
                        touch_next(items, index);
                        reader.read_item(self, sum, item)?;
                        reader.read()
                    }
                };
                fits = !groups.is_typed()
                    && sum.add(base, (start.saturating_add(index), item), read, &mut groups);
                if !fits {
                    return Ok(false);
                }
                let cells = groups.cells().saturating_sub(known) as u64;
                charge.raise(0, cells.saturating_mul(CELL_BYTES))?;
            }
            Ok(true)
        })?;
        Ok(fits.then_some((groups, charge)))
    }

    /// Adds a stretch of the steps in each thread, where several are asked for and the range is long enough. `None`: they are
    /// to be added item by item, which is also how a limit is found that is passed.
    fn sum_by_stretches<'n>(
        &self,
        sum: &RateSum<'_, '_>,
        aggregate: &Aggregate<'n>,
        items: &[Item],
    ) -> Result<Option<(FamilyGroups<'n>, Charge)>> {
        let (steps, delayed) = (sum.steps, self.settings.delayed_name_removal);
        let threads = self.settings.threads;
        let is_wide = items.len().saturating_mul(steps.count()) >= threads.saturating_mul(FEWEST_POINTS);
        if threads < 2 || steps.count() < threads.saturating_mul(FEWEST_STEPS) || !is_wide {
            return Ok(None);
        }
        let stretches = steps.stretches(threads);
        let work = |evaluator: &Evaluator<'_>, steps: &Steps| {
            let sum = RateSum { steps: *steps, ..*sum };
            let groups = evaluator.sum_by_items(&sum, aggregate, items)?;
            Ok(groups.map(|(groups, _)| groups.into_stretch()))
        };
        let Some(made) = self.side_by_side(&stretches, work) else { return Ok(None) };
        let Some(made) = made.into_iter().collect::<Option<Vec<_>>>() else { return Ok(None) };
        let groups = FamilyGroups::joined(aggregate, delayed, made);
        let mut charge = self.budget.charge();
        charge.raise(0, (groups.cells() as u64).saturating_mul(CELL_BYTES))?;
        Ok(Some((groups, charge)))
    }
}

/// What a sum takes at one step.
const CELL_BYTES: u64 = size_of::<Sum>() as u64 + 1;
/// Steps for each thread, at least, and points of all items.
const FEWEST_STEPS: usize = 8;
const FEWEST_POINTS: usize = 1 << 15;

impl RateSum<'_, '_> {
    pub(super) fn steps(&self) -> Steps {
        self.steps
    }

    /// What all windows together need.
    pub(super) fn window(&self) -> Window {
        self.selector.window.fetched(self.steps)
    }

    /// Adds the rates of an item; `false` if it is none that this can add.
    fn add(
        &self,
        base: usize,
        (index, item): (usize, &Item),
        read: Read<'_>,
        groups: &mut FamilyGroups<'_>,
    ) -> bool {
        match (item, read) {
            (Item::Family(family), Read::Ends(ends)) => self.add_ends(base, (index, family), ends, groups),
            (Item::Family(family), Read::Rows(rows)) => self.add_rows(base, (index, family), rows, groups),
            (Item::Series(series), Read::Samples(samples)) => {
                if !samples.histograms.is_empty() || !samples.starts.is_empty() {
                    return false;
                }
                self.add_series(base, (index, series), samples, groups);
            }
            _ => return false,
        }
        true
    }

    /// Adds the rates of all buckets of a family between the ends of the one window.
    fn add_ends(
        &self,
        base: usize,
        (index, family): (usize, &Family),
        ends: Ends<'_>,
        groups: &mut FamilyGroups<'_>,
    ) {
        let bounds = bounds(self.selector.window, self.steps.first());
        let reach = Reach::new(ends.times.0, ends.times.1, ends.count, bounds, self.options.per_second);
        let places = groups.places(base, index, family);
        groups.add_row(base, 0, &places, (ends.first, ends.last), (reach, reach.plain_factor()));
    }

    /// Adds the rates of all buckets of a family.
    fn add_rows(
        &self,
        base: usize,
        (index, family): (usize, &Family),
        buffer: &FamilyBuffer,
        groups: &mut FamilyGroups<'_>,
    ) {
        let buckets = family.bounds().len();
        if Moves::of(buffer, buckets) == Moves::Rising {
            let steps = self.shared(buffer.times());
            if steps.iter().all(|step| step.reach.is_none()) {
                return;
            }
            let places = groups.places(base, index, family);
            for (number, step) in steps.iter().enumerate() {
                let (Some(reach), Some(last)) = (step.reach, step.rows.1.checked_sub(1)) else { continue };
                let row = |row: usize| buffer.row(row).get(..buckets).unwrap_or_default();
                groups.add_row(base, number, &places, (row(step.rows.0), row(last)), reach);
            }
            return;
        }
        let mut rates = Vec::with_capacity(self.steps.count());
        for column in 0..buckets {
            let Some(bound) = family.bound_text(column) else { continue };
            let mut samples = SampleBuffer::default();
            for (row, time) in buffer.times().iter().enumerate() {
                let value = buffer.row(row).get(column).filter(|_| buffer.has(row, column));
                if let Some(value) = value.filter(|value| !is_stale(**value)) {
                    samples.push_float(*time, *value, 0);
                }
            }
            rates.clear();
            self.rates(&samples, &mut rates);
            groups.add_column(base, (index, bound), &rates);
        }
    }

    /// What the windows of all steps share over these times.
    fn shared(&self, times: &[i64]) -> Vec<Step> {
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
    fn add_series(
        &self,
        base: usize,
        (index, series): (usize, &Series),
        samples: &SampleBuffer,
        groups: &mut FamilyGroups<'_>,
    ) {
        let mut rates = Vec::new();
        self.rates(samples, &mut rates);
        let bound = series.labels().label(BUCKET_BOUND).map_or_else(|| Arc::from(""), |le| le.value.clone());
        groups.add_column(base, (index, &bound), &rates);
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
}

/// How the buckets of a family move over the rows that were read.
#[derive(PartialEq, Eq)]
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
