//! Sums and means of histograms, compensated for what rounding takes.

use crate::model::kahan::Sum;

use super::add::Side;
use super::layout::{Buckets, coarser, indexed, union};
use super::{IncompatibleSchemas, NativeHistogram, Span, custom};

/// What rounding took from the numbers of a histogram; buckets as in its layout.
#[derive(Clone, Debug, Default)]
pub(super) struct Compensation {
    pub(super) zero_count: f64,
    pub(super) count: f64,
    pub(super) sum: f64,
    pub(super) positive: Vec<f64>,
    pub(super) negative: Vec<f64>,
}

impl Compensation {
    /// Nothing, in the layout of `histogram`.
    fn of(histogram: &NativeHistogram) -> Self {
        Self {
            positive: vec![0.0; histogram.positive_buckets.len()],
            negative: vec![0.0; histogram.negative_buckets.len()],
            ..Self::default()
        }
    }

    fn for_each(&mut self, mut f: impl FnMut(&mut f64)) {
        [&mut self.zero_count, &mut self.count, &mut self.sum].into_iter().for_each(&mut f);
        self.positive.iter_mut().for_each(&mut f);
        self.negative.iter_mut().for_each(f);
    }
}

/// A running compensated sum of histograms.
#[derive(Clone, Debug)]
pub(crate) struct HistogramSum {
    value: NativeHistogram,
    /// None before the second histogram.
    compensation: Option<Compensation>,
}

impl HistogramSum {
    /// The sum of one histogram.
    pub(crate) fn new(first: NativeHistogram) -> Self {
        Self { value: first, compensation: None }
    }

    /// Adds a histogram; whether custom bounds differed.
    ///
    /// # Errors
    ///
    /// [`IncompatibleSchemas`]; nothing was changed then.
    pub(crate) fn add(&mut self, other: &NativeHistogram) -> Result<bool, IncompatibleSchemas> {
        let value = &mut self.value;
        value.check_schemas(other)?;
        // Whoever sums up looks for contradicting hints over all summands.
        let _collision = value.combine_hints(other);
        let compensation = self.compensation.get_or_insert_with(|| Compensation::of(value));
        if !value.uses_custom_buckets() {
            let zero = value.reconcile_zero_buckets(other, Some(compensation));
            add_to(&mut value.zero_count, &mut compensation.zero_count, zero.sum);
            add_to(&mut value.zero_count, &mut compensation.zero_count, zero.c);
        }
        add_to(&mut value.count, &mut compensation.count, other.count);
        add_to(&mut value.sum, &mut compensation.sum, other.sum);
        let [positive, negative] = other.sides(value.zero_threshold);
        if value.uses_custom_buckets() {
            let reconciled = value.custom_values != other.custom_values;
            if reconciled {
                reconcile(value, compensation, other);
            } else {
                let (spans, counts) = (&mut value.positive_spans, &mut value.positive_buckets);
                add_side(spans, counts, &mut compensation.positive, value.schema, positive);
            }
            return Ok(reconciled);
        }
        if other.schema < value.schema {
            reduce(value, compensation, other.schema);
        }
        let schema = value.schema;
        let (spans, counts) = (&mut value.positive_spans, &mut value.positive_buckets);
        add_side(spans, counts, &mut compensation.positive, schema, positive);
        let (spans, counts) = (&mut value.negative_spans, &mut value.negative_buckets);
        add_side(spans, counts, &mut compensation.negative, schema, negative);
        Ok(false)
    }

    fn multiply(&mut self, factor: f64) {
        self.value.multiply(factor);
        if let Some(compensation) = &mut self.compensation {
            compensation.for_each(|number| *number *= factor);
        }
    }

    fn divide(&mut self, divisor: f64) {
        self.value.divide(divisor);
        if let Some(compensation) = &mut self.compensation {
            compensation.for_each(|number| *number /= divisor);
        }
    }

    /// The sum with its compensation added.
    pub(crate) fn total(self) -> NativeHistogram {
        let Self { mut value, compensation } = self;
        let Some(compensation) = compensation else { return value };
        value.zero_count += compensation.zero_count;
        value.count += compensation.count;
        value.sum += compensation.sum;
        let (schema, threshold) = (value.schema, value.zero_threshold);
        for (spans, counts, compensation) in [
            (&value.positive_spans, &mut value.positive_buckets, &compensation.positive),
            (&value.negative_spans, &mut value.negative_buckets, &compensation.negative),
        ] {
            let side = Side { spans, counts: compensation, schema, threshold };
            let within_zero =
                indexed(spans, counts).take_while(|(index, _)| side.is_within_zero(*index, schema)).count();
            counts.iter_mut().zip(compensation).skip(within_zero).for_each(|(count, c)| *count += c);
        }
        value
    }
}

/// A running compensated mean of histograms: a sum until the sum overflows, then incremental.
#[derive(Clone, Debug)]
pub(crate) struct HistogramMean {
    count: f64,
    /// The sum, or the mean once `incremental`.
    value: HistogramSum,
    incremental: bool,
}

impl HistogramMean {
    /// The mean of one histogram.
    pub(crate) fn new(first: NativeHistogram) -> Self {
        Self { count: 1.0, value: HistogramSum::new(first), incremental: false }
    }

    /// Takes in a histogram; whether custom bounds differed.
    ///
    /// # Errors
    ///
    /// [`IncompatibleSchemas`]; the mean then means nothing.
    pub(crate) fn add(&mut self, other: &NativeHistogram) -> Result<bool, IncompatibleSchemas> {
        self.count += 1.0;
        let mut reconciled = false;
        if !self.incremental {
            let mut sum = self.value.clone();
            reconciled = sum.add(other)?;
            if !sum.value.has_overflow() {
                self.value = sum;
                return Ok(reconciled);
            }
            self.incremental = true;
            self.value.divide(self.count - 1.0);
        }
        self.value.multiply((self.count - 1.0) / self.count);
        let mut share = other.copied();
        share.divide(self.count);
        Ok(self.value.add(&share)? || reconciled)
    }

    /// The mean.
    pub(crate) fn mean(mut self) -> NativeHistogram {
        if !self.incremental {
            self.value.divide(self.count);
        }
        self.value.total()
    }
}

/// Adds `x` to a number and its compensation.
fn add_to(number: &mut f64, c: &mut f64, x: f64) {
    let mut sum = Sum { sum: *number, c: *c };
    sum.add(x);
    (*number, *c) = (sum.sum, sum.c);
}

/// Counts with their compensation.
pub(super) fn pairs(counts: &[f64], compensation: &[f64]) -> Vec<Sum> {
    counts.iter().zip(compensation).map(|(sum, c)| Sum { sum: *sum, c: *c }).collect()
}

fn with_both(mut sum: Sum, other: Sum) -> Sum {
    sum.add(other.sum);
    sum.add(other.c);
    sum
}

/// Takes counts and compensation apart again.
pub(super) fn store(
    buckets: Buckets<Sum>,
    spans: &mut Vec<Span>,
    counts: &mut Vec<f64>,
    compensation: &mut Vec<f64>,
) {
    *spans = buckets.spans;
    *counts = buckets.counts.iter().map(|sum| sum.sum).collect();
    *compensation = buckets.counts.iter().map(|sum| sum.c).collect();
}

/// Merges the buckets into those of a coarser schema.
fn reduce(value: &mut NativeHistogram, compensation: &mut Compensation, schema: i32) {
    let from = value.schema;
    for (spans, counts, compensation) in [
        (&mut value.positive_spans, &mut value.positive_buckets, &mut compensation.positive),
        (&mut value.negative_spans, &mut value.negative_buckets, &mut compensation.negative),
    ] {
        let merged = coarser(indexed(spans, &pairs(counts, compensation)), from, schema, with_both).collect();
        store(merged, spans, counts, compensation);
    }
    value.schema = schema;
}

/// Adds a side whose resolution is not coarser.
fn add_side(
    spans: &mut Vec<Span>,
    counts: &mut Vec<f64>,
    compensation: &mut Vec<f64>,
    schema: i32,
    side: Side<'_>,
) {
    if side.has_layout(spans, counts, schema) {
        let own = counts.iter_mut().zip(compensation);
        own.zip(side.counts).for_each(|((count, c), other)| add_to(count, c, *other));
        return;
    }
    let others = indexed(side.spans, side.counts).map(|(index, count)| (index, Sum::of(count)));
    let mut others = coarser(others, side.schema, schema, with_both)
        .skip_while(|(index, _)| side.is_within_zero(*index, schema))
        .peekable();
    if others.peek().is_none() {
        return;
    }
    let merged = union(indexed(spans, &pairs(counts, compensation)), others, |mut sum, other| {
        sum.add(other.sum);
        if other.c != 0.0 {
            sum.add(other.c);
        }
        sum
    });
    store(merged, spans, counts, compensation);
}

/// Adds a histogram with other custom bounds.
fn reconcile(value: &mut NativeHistogram, compensation: &mut Compensation, other: &NativeHistogram) {
    let bounds = custom::intersection(&value.custom_values, &other.custom_values);
    let mut mapping = custom::Mapping::new(&bounds);
    let own = pairs(&value.positive_buckets, &compensation.positive);
    mapping.add_compensated(indexed(&value.positive_spans, &own), &value.custom_values, true);
    mapping.add(indexed(&other.positive_spans, &other.positive_buckets), &other.custom_values);
    let merged = mapping.finish();
    store(merged, &mut value.positive_spans, &mut value.positive_buckets, &mut compensation.positive);
    value.custom_values = bounds;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(offset: i32, buckets: &[f64]) -> NativeHistogram {
        NativeHistogram {
            count: buckets.iter().sum(),
            sum: buckets.iter().sum(),
            positive_spans: vec![Span { offset, length: buckets.len() as u32 }],
            positive_buckets: buckets.to_vec(),
            ..NativeHistogram::default()
        }
    }

    fn sum(histograms: &[NativeHistogram]) -> NativeHistogram {
        let (first, rest) = histograms.split_first().unwrap();
        let mut sum = HistogramSum::new(first.clone());
        rest.iter().for_each(|other| assert_eq!(sum.add(other), Ok(false)));
        sum.total()
    }

    #[test]
    fn small_counts_survive_large_ones() {
        let large = histogram(0, &[1e100, 1.0]);
        let small = histogram(0, &[1.0, 1.0]);
        let mut negated = large.clone();
        negated.multiply(-1.0);
        let total = sum(&[large, small.clone(), negated, small]);
        assert_eq!(total.positive_buckets, [2.0, 2.0]);
    }

    #[test]
    fn compensation_follows_the_buckets_when_the_layout_changes() {
        let mut negated = histogram(2, &[1e100]);
        negated.multiply(-1.0);
        let total = sum(&[histogram(2, &[1e100]), histogram(2, &[1.0]), histogram(0, &[5.0]), negated]);
        assert_eq!(total.positive_spans, [Span { offset: 0, length: 1 }, Span { offset: 1, length: 1 }]);
        assert_eq!(total.positive_buckets, [5.0, 1.0]);
    }

    #[test]
    fn a_mean_does_not_overflow() {
        let large = histogram(0, &[9.99e307]);
        let mut mean = HistogramMean::new(large.clone());
        (0..3).for_each(|_| assert_eq!(mean.add(&large), Ok(false)));
        assert_eq!(mean.mean().positive_buckets, [9.99e307]);
        let mut mean = HistogramMean::new(histogram(0, &[1.0]));
        mean.add(&histogram(1, &[2.0])).unwrap();
        assert_eq!(mean.mean().positive_buckets, [0.5, 1.0]);
    }
}
