//! Counter resets between two histograms.

use super::layout::{coarser, indexed};
use super::{CounterResetHint, NativeHistogram, bound, custom, is_exponential};

/// Whether a populated bucket of `previous` is missing or smaller in `current`; both rise.
fn shrank(previous: impl Iterator<Item = (i64, f64)>, current: impl Iterator<Item = (i64, f64)>) -> bool {
    let mut current = current.peekable();
    for (index, before) in previous {
        while current.next_if(|(other, _)| *other < index).is_some() {}
        let lost = match current.peek() {
            Some((other, after)) if *other == index => *after < before,
            _ => before != 0.0,
        };
        if lost {
            return true;
        }
    }
    false
}

impl NativeHistogram {
    /// Whether the counter was reset between `previous` and this histogram: a hint says so, or something that can only grow
    /// has become less, or finer. The sum is not looked at.
    pub(crate) fn is_reset(&self, previous: &Self) -> bool {
        match self.hint {
            CounterResetHint::Reset => return true,
            CounterResetHint::NotReset => return false,
            CounterResetHint::Unknown | CounterResetHint::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        if self.uses_custom_buckets() {
            if !previous.uses_custom_buckets() {
                return true;
            }
            if self.custom_values != previous.custom_values {
                return custom::was_reset(previous, self);
            }
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let (zero, threshold) = previous.zero_count_within(self.zero_threshold, None);
        if threshold != self.zero_threshold || self.zero_count < zero.sum {
            return true;
        }
        let schema = self.schema;
        let outside_zero = |index: i64| {
            self.zero_threshold == 0.0
                || !is_exponential(schema)
                || bound::exponential(index, schema) > self.zero_threshold
        };
        let sides = [
            (
                &previous.positive_spans,
                &previous.positive_buckets,
                &self.positive_spans,
                &self.positive_buckets,
            ),
            (
                &previous.negative_spans,
                &previous.negative_buckets,
                &self.negative_spans,
                &self.negative_buckets,
            ),
        ];
        sides.into_iter().any(|(spans_before, before, spans, after)| {
            let before =
                coarser(indexed(spans_before, before), previous.schema, schema, |sum, count| sum + count);
            shrank(
                before.skip_while(|(index, _)| !outside_zero(*index)),
                indexed(spans, after).skip_while(|(index, _)| !outside_zero(*index)),
            )
        })
    }

    /// Whether Prometheus would store this histogram in the chunk of `previous`, both of counters, so that it would read
    /// back as certainly not reset.
    pub(crate) fn continues(&self, previous: &Self) -> bool {
        if self.hint == CounterResetHint::Reset
            || self.count < previous.count
            || self.zero_count < previous.zero_count
        {
            return false;
        }
        let same_layout = self.schema == previous.schema
            && self.zero_threshold == previous.zero_threshold
            && (!self.uses_custom_buckets() || self.custom_values == previous.custom_values);
        same_layout
            && !shrank(
                indexed(&previous.positive_spans, &previous.positive_buckets),
                indexed(&self.positive_spans, &self.positive_buckets),
            )
            && !shrank(
                indexed(&previous.negative_spans, &previous.negative_buckets),
                indexed(&self.negative_spans, &self.negative_buckets),
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Span;

    fn histogram(schema: i32, buckets: &[f64]) -> NativeHistogram {
        NativeHistogram {
            schema,
            count: buckets.iter().sum(),
            positive_spans: vec![Span { offset: 0, length: buckets.len() as u32 }],
            positive_buckets: buckets.to_vec(),
            ..NativeHistogram::default()
        }
    }

    #[test]
    fn hints_decide_where_they_are() {
        let (before, after) = (histogram(0, &[5.0]), histogram(0, &[1.0]));
        assert!(after.is_reset(&before));
        let not = NativeHistogram { hint: CounterResetHint::NotReset, ..after };
        assert!(!not.is_reset(&before));
        let reset = NativeHistogram { hint: CounterResetHint::Reset, ..before.clone() };
        assert!(reset.is_reset(&before));
    }

    #[test]
    fn a_bucket_that_lost_something_is_a_reset() {
        let before = histogram(0, &[1.0, 2.0]);
        assert!(!histogram(0, &[1.0, 2.0, 1.0]).is_reset(&before));
        assert!(histogram(0, &[0.0, 9.0]).is_reset(&before));
        assert!(histogram(0, &[9.0]).is_reset(&before));
        assert!(!histogram(0, &[3.0]).is_reset(&histogram(0, &[3.0, 0.0])));
    }

    #[test]
    fn coarser_buckets_are_no_reset_and_finer_ones_are() {
        // Schema 1: 0 | 1 2, merged 0 | 1.
        let fine = histogram(1, &[1.0, 2.0, 3.0]);
        assert!(!histogram(0, &[1.0, 5.0]).is_reset(&fine));
        assert!(histogram(0, &[2.0, 4.0]).is_reset(&fine));
        assert!(fine.is_reset(&histogram(0, &[1.0, 5.0])));
        assert!(!fine.continues(&histogram(0, &[1.0, 5.0])) && fine.continues(&histogram(1, &[1.0, 2.0])));
    }

    #[test]
    fn a_wider_zero_bucket_holds_what_was_beside_it() {
        let before = histogram(0, &[1.0, 2.0]);
        let mut after = histogram(0, &[0.0, 2.0]);
        (after.zero_threshold, after.zero_count, after.count) = (1.0, 1.0, 3.0);
        assert!(!after.is_reset(&before));
        after.zero_count = 0.5;
        assert!(after.is_reset(&before));
        assert!(before.is_reset(&after));
    }
}
