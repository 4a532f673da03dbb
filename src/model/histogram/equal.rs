//! When two histograms are the same value.

use super::{NativeHistogram, Span};

/// The spans that hold buckets, with the gaps of empty ones before them added to theirs.
fn effective(spans: &[Span]) -> impl Iterator<Item = (i64, u32)> {
    let mut gap = 0_i64;
    spans.iter().filter_map(move |span| {
        gap = gap.saturating_add(span.offset.into());
        (span.length > 0).then(|| (std::mem::take(&mut gap), span.length))
    })
}

fn same_bits(a: &[f64], b: &[f64]) -> bool {
    a.iter().map(|x| x.to_bits()).eq(b.iter().map(|x| x.to_bits()))
}

impl NativeHistogram {
    /// Whether both are the same to `==`: the same layout but for empty spans, the same counts to the bit. Hints do not
    /// matter.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        self.schema == other.schema
            && (!self.uses_custom_buckets() || self.custom_values == other.custom_values)
            && self.zero_threshold == other.zero_threshold
            && same_bits(
                &[self.count, self.sum, self.zero_count],
                &[other.count, other.sum, other.zero_count],
            )
            && effective(&self.negative_spans).eq(effective(&other.negative_spans))
            && same_bits(&self.negative_buckets, &other.negative_buckets)
            && effective(&self.positive_spans).eq(effective(&other.positive_spans))
            && same_bits(&self.positive_buckets, &other.positive_buckets)
    }

    /// Whether both hold the same bits, hint and layout included.
    pub(crate) fn same_bits(&self, other: &Self) -> bool {
        self.hint == other.hint
            && self.schema == other.schema
            && self.positive_spans == other.positive_spans
            && self.negative_spans == other.negative_spans
            && same_bits(
                &[self.zero_threshold, self.zero_count, self.count, self.sum],
                &[other.zero_threshold, other.zero_count, other.count, other.sum],
            )
            && same_bits(&self.positive_buckets, &other.positive_buckets)
            && same_bits(&self.negative_buckets, &other.negative_buckets)
            && same_bits(&self.custom_values, &other.custom_values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CounterResetHint;

    #[test]
    fn hints_and_empty_spans_do_not_matter_but_empty_buckets_do() {
        let span = |offset, length| Span { offset, length };
        let a = NativeHistogram {
            sum: f64::NAN,
            positive_spans: vec![span(1, 0), span(2, 1), span(4, 0)],
            positive_buckets: vec![1.0],
            ..NativeHistogram::default()
        };
        let b =
            NativeHistogram { hint: CounterResetHint::Gauge, positive_spans: vec![span(3, 1)], ..a.clone() };
        assert!(a.equals(&b) && !a.same_bits(&b));
        let c = NativeHistogram {
            positive_spans: vec![span(3, 2)],
            positive_buckets: vec![1.0, 0.0],
            ..a.clone()
        };
        assert!(!a.equals(&c));
    }
}
