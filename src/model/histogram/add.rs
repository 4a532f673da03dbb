//! Addition and subtraction.

use super::layout::{Buckets, coarser, indexed, union};
use super::{CounterResetHint, NativeHistogram, Span, bound, custom, is_exponential};

/// One of two histograms has exponential buckets, the other custom bounds: they have no sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IncompatibleSchemas;

/// What was noticed when two histograms were put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Combined {
    /// One says that the counter was reset before it, the other that it was not.
    pub(crate) collision: bool,
    /// The custom bounds differed, and only the common ones are left.
    pub(crate) reconciled: bool,
}

/// One side of a histogram that is added to another.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) spans: &'a [Span],
    pub(super) counts: &'a [f64],
    pub(super) schema: i32,
    /// Buckets up to here are in the zero bucket already.
    pub(super) threshold: f64,
}

impl Side<'_> {
    /// Whether bucket `index` of `schema` is in the zero bucket.
    pub(super) fn is_within_zero(&self, index: i64, schema: i32) -> bool {
        is_exponential(schema) && bound::exponential(index, schema) <= self.threshold
    }

    /// Whether these are the buckets of `spans`, all to be added.
    pub(super) fn has_layout(&self, spans: &[Span], counts: &[f64], schema: i32) -> bool {
        let first = indexed(self.spans, self.counts).next();
        self.schema == schema
            && self.spans == spans
            && self.counts.len() == counts.len()
            && !first.is_some_and(|(index, _)| self.is_within_zero(index, schema))
    }
}

impl NativeHistogram {
    /// The positive side, then the negative one, as they are added to a histogram whose zero bucket is this wide.
    pub(super) fn sides(&self, threshold: f64) -> [Side<'_>; 2] {
        let side = |spans, counts| Side { spans, counts, schema: self.schema, threshold };
        [
            side(&self.positive_spans, &self.positive_buckets),
            side(&self.negative_spans, &self.negative_buckets),
        ]
    }

    pub(super) fn check_schemas(&self, other: &Self) -> Result<(), IncompatibleSchemas> {
        if self.uses_custom_buckets() == other.uses_custom_buckets() {
            Ok(())
        } else {
            Err(IncompatibleSchemas)
        }
    }

    /// The hint of a sum or difference; whether the hints contradict each other.
    pub(super) fn combine_hints(&mut self, other: &Self) -> bool {
        use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
        let collision = matches!((self.hint, other.hint), (Reset, NotReset) | (NotReset, Reset));
        self.hint = match (self.hint, other.hint) {
            (a, b) if a == b => a,
            (Gauge, _) | (_, Gauge) => Gauge,
            _ => Unknown,
        };
        collision
    }

    /// Adds `other`. Zero buckets, resolutions and custom bounds that differ are made the same first.
    ///
    /// # Errors
    ///
    /// [`IncompatibleSchemas`]; nothing was changed then.
    pub(crate) fn add(&mut self, other: &Self) -> Result<Combined, IncompatibleSchemas> {
        self.combine(other, |x| x)
    }

    /// Subtracts `other`, with the hint that a sum would have.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub(crate) fn subtract(&mut self, other: &Self) -> Result<Combined, IncompatibleSchemas> {
        self.combine(other, |x| -x)
    }

    fn combine(
        &mut self,
        other: &Self,
        term: impl Fn(f64) -> f64 + Copy,
    ) -> Result<Combined, IncompatibleSchemas> {
        self.check_schemas(other)?;
        let collision = self.combine_hints(other);
        if !self.uses_custom_buckets() {
            let zero = self.reconcile_zero_buckets(other, None);
            self.zero_count += term(zero.sum);
        }
        self.count += term(other.count);
        self.sum += term(other.sum);
        let [positive, negative] = other.sides(self.zero_threshold);
        if self.uses_custom_buckets() {
            let reconciled = self.custom_values != other.custom_values;
            if reconciled {
                let bounds = custom::intersection(&self.custom_values, &other.custom_values);
                let mut mapping = custom::Mapping::new(&bounds);
                mapping.add(indexed(&self.positive_spans, &self.positive_buckets), &self.custom_values);
                let terms =
                    indexed(positive.spans, positive.counts).map(|(index, count)| (index, term(count)));
                mapping.add(terms, &other.custom_values);
                let buckets = mapping.finish();
                self.positive_spans = buckets.spans;
                self.positive_buckets = buckets.counts.iter().map(|sum| sum.sum).collect();
                self.custom_values = bounds;
            } else {
                add_side(&mut self.positive_spans, &mut self.positive_buckets, self.schema, positive, term);
            }
            return Ok(Combined { collision, reconciled });
        }
        self.reduce_resolution(other.schema);
        add_side(&mut self.positive_spans, &mut self.positive_buckets, self.schema, positive, term);
        add_side(&mut self.negative_spans, &mut self.negative_buckets, self.schema, negative, term);
        Ok(Combined { collision, reconciled: false })
    }
}

/// Adds the terms of a side whose resolution is not coarser.
fn add_side(
    spans: &mut Vec<Span>,
    counts: &mut Vec<f64>,
    schema: i32,
    side: Side<'_>,
    term: impl Fn(f64) -> f64,
) {
    if side.has_layout(spans, counts, schema) {
        counts.iter_mut().zip(side.counts).for_each(|(count, other)| *count += term(*other));
        return;
    }
    let mut others = coarser(indexed(side.spans, side.counts), side.schema, schema, |sum, count| sum + count)
        .skip_while(|(index, _)| side.is_within_zero(*index, schema))
        .map(|(index, count)| (index, term(count)))
        .peekable();
    if others.peek().is_none() {
        return;
    }
    let merged: Buckets<f64> = union(indexed(spans, counts), others, |a, b| a + b);
    (*spans, *counts) = (merged.spans, merged.counts);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(offset: i32, length: u32) -> Span {
        Span { offset, length }
    }

    fn exponential(schema: i32, spans: &[Span], buckets: &[f64]) -> NativeHistogram {
        let count: f64 = buckets.iter().sum();
        NativeHistogram {
            schema,
            count,
            sum: count * 2.0,
            positive_spans: spans.to_vec(),
            positive_buckets: buckets.to_vec(),
            ..NativeHistogram::default()
        }
    }

    fn custom(bounds: &[f64], buckets: &[f64]) -> NativeHistogram {
        let spans = [span(0, buckets.len() as u32)];
        NativeHistogram { custom_values: bounds.to_vec(), ..exponential(-53, &spans, buckets) }
    }

    #[test]
    fn buckets_are_added_where_they_are_and_inserted_where_they_are_not() {
        let mut a = exponential(0, &[span(0, 2), span(2, 1)], &[1.0, 2.0, 3.0]);
        a.add(&exponential(0, &[span(-1, 1), span(1, 2)], &[10.0, 20.0, 30.0])).unwrap();
        assert_eq!(a.positive_spans, [span(-1, 4), span(1, 1)]);
        assert_eq!(a.positive_buckets, [10.0, 1.0, 22.0, 30.0, 3.0]);
        assert_eq!((a.count, a.sum), (66.0, 132.0));
    }

    #[test]
    fn buckets_as_far_apart_as_they_can_be_stay_where_they_are() {
        let low = exponential(0, &[span(-10, 1)], &[1.0]);
        let high = exponential(0, &[span(i32::MAX - 1, 1)], &[2.0]);
        assert_eq!((low.check(), high.check()), (Ok(()), Ok(())));
        for (mut a, b) in [(low.clone(), &high), (high.clone(), &low)] {
            a.add(b).unwrap();
            a.compact();
            let buckets: Vec<_> = indexed(&a.positive_spans, &a.positive_buckets).collect();
            assert_eq!(buckets, [(-10, 1.0), (i64::from(i32::MAX) - 1, 2.0)]);
        }
    }

    #[test]
    fn the_finer_one_is_made_coarser() {
        let fine = exponential(1, &[span(0, 3)], &[1.0, 2.0, 4.0]);
        let coarse = exponential(0, &[span(0, 2)], &[10.0, 20.0]);
        let (mut a, mut b) = (fine.clone(), coarse.clone());
        a.add(&coarse).unwrap();
        b.add(&fine).unwrap();
        assert_eq!(a, b);
        assert_eq!(a.positive_buckets, [11.0, 26.0]);
        b.subtract(&fine).unwrap();
        b.compact();
        assert_eq!(b, coarse);
    }

    #[test]
    fn buckets_within_the_zero_bucket_are_not_added_twice() {
        let mut a = exponential(0, &[span(1, 1)], &[1.0]);
        (a.zero_threshold, a.zero_count) = (1.0, 3.0);
        let other = exponential(0, &[span(-1, 3)], &[10.0, 20.0, 30.0]);
        a.add(&other).unwrap();
        assert_eq!((a.zero_count, a.positive_buckets.as_slice()), (33.0, [31.0].as_slice()));
    }

    #[test]
    fn custom_bounds_that_only_one_has_are_merged_away() {
        let mut a = custom(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 4.0]);
        let combined = a.add(&custom(&[1.0, 3.0, 5.0], &[10.0, 20.0, 30.0, 40.0])).unwrap();
        assert!(combined.reconciled);
        assert_eq!(a.custom_values, [1.0, 3.0]);
        assert_eq!(a.positive_buckets, [11.0, 25.0, 74.0]);
        assert_eq!(a.add(&exponential(0, &[], &[])), Err(IncompatibleSchemas));
    }

    #[test]
    fn contradicting_hints_are_noticed() {
        use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
        for (a, b, sum, collision) in [
            (Unknown, Reset, Unknown, false),
            (NotReset, NotReset, NotReset, false),
            (Reset, NotReset, Unknown, true),
            (NotReset, Reset, Unknown, true),
            (Reset, Gauge, Gauge, false),
        ] {
            let mut left = NativeHistogram { hint: a, ..NativeHistogram::default() };
            let combined = left.add(&NativeHistogram { hint: b, ..NativeHistogram::default() }).unwrap();
            assert_eq!((left.hint, combined.collision), (sum, collision));
        }
    }
}
