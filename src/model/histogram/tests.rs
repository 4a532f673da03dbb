//! Laws of histogram arithmetic, and that no histogram at all makes it panic.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{CUSTOM_BUCKETS, CounterResetHint, HistogramMean, HistogramSum, NativeHistogram, Span};

/// One side: spans with whole counts, so that sums are exact.
fn side() -> impl Strategy<Value = (Vec<Span>, Vec<f64>)> {
    vec((0_i32..5, vec(0_u32..50, 0..4)), 0..4).prop_map(|runs| {
        let span = |(offset, counts): &(i32, Vec<u32>)| Span { offset: *offset, length: counts.len() as u32 };
        let spans = runs.iter().map(span).collect();
        (spans, runs.into_iter().flat_map(|(_, counts)| counts).map(f64::from).collect())
    })
}

fn hint() -> impl Strategy<Value = CounterResetHint> {
    use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
    prop::sample::select(vec![Unknown, Reset, NotReset, Gauge])
}

fn total(histogram: &NativeHistogram) -> f64 {
    histogram.zero_count + histogram.positive_buckets.iter().chain(&histogram.negative_buckets).sum::<f64>()
}

/// Histograms as clients make them: nothing inside the zero bucket, counted by its buckets.
fn exponential() -> impl Strategy<Value = NativeHistogram> {
    let threshold = prop::sample::select(vec![0.0, 0.001, 0.01]);
    (hint(), -4..=8_i32, threshold, 0_u32..50, side(), side()).prop_map(
        |(hint, schema, zero_threshold, zero, positive, negative)| {
            let mut histogram = NativeHistogram {
                hint,
                schema,
                zero_threshold,
                zero_count: zero.into(),
                sum: 3.0,
                positive_spans: positive.0,
                positive_buckets: positive.1,
                negative_spans: negative.0,
                negative_buckets: negative.1,
                ..NativeHistogram::default()
            };
            histogram.count = total(&histogram);
            histogram
        },
    )
}

fn custom() -> impl Strategy<Value = NativeHistogram> {
    (hint(), prop::collection::btree_set(0_u8..8, 0..5)).prop_flat_map(|(hint, bounds)| {
        let bounds: Vec<f64> = bounds.into_iter().map(f64::from).collect();
        vec(0_u32..50, bounds.len() + 1).prop_map(move |counts| {
            let mut histogram = NativeHistogram {
                hint,
                schema: CUSTOM_BUCKETS,
                sum: 3.0,
                positive_spans: vec![Span { offset: 0, length: counts.len() as u32 }],
                positive_buckets: counts.into_iter().map(f64::from).collect(),
                custom_values: bounds.clone(),
                ..NativeHistogram::default()
            };
            histogram.count = total(&histogram);
            histogram
        })
    })
}

/// Two of one kind.
fn pair() -> impl Strategy<Value = (NativeHistogram, NativeHistogram)> {
    prop_oneof![(exponential(), exponential()), (custom(), custom())]
}

fn compact(mut histogram: NativeHistogram) -> NativeHistogram {
    histogram.compact();
    histogram
}

proptest! {
    #[test]
    fn addition_has_no_order_and_loses_nothing((a, b) in pair()) {
        let (mut left, mut right) = (a.clone(), b.clone());
        let noted = left.add(&b).unwrap();
        prop_assert_eq!(right.add(&a).unwrap(), noted);
        let (left, right) = (compact(left), compact(right));
        prop_assert!(left.equals(&right), "{} {}", left, right);
        prop_assert_eq!(left.hint, right.hint);
        prop_assert_eq!(total(&left), total(&a) + total(&b));
        prop_assert_eq!(left.count, a.count + b.count);
        prop_assert_eq!(left.check(), Ok(()));
    }

    #[test]
    fn a_compensated_sum_of_whole_counts_is_their_sum((a, b) in pair()) {
        let mut plain = a.clone();
        plain.add(&b).unwrap();
        let mut sum = HistogramSum::new(a.clone());
        sum.add(&b).unwrap();
        let (plain, sum) = (compact(plain), compact(sum.total()));
        prop_assert!(plain.equals(&sum), "{} {}", plain, sum);
        let mut mean = HistogramMean::new(a.clone());
        mean.add(&a).unwrap();
        prop_assert!(compact(mean.mean()).equals(&compact(a)));
    }

    #[test]
    fn what_was_added_can_be_taken_away((a, b) in pair()) {
        let mut sum = a.clone();
        sum.add(&b).unwrap();
        let mut rest = sum.clone();
        rest.subtract(&b).unwrap();
        prop_assert_eq!(total(&rest), total(&a));
        rest = sum.clone();
        rest.subtract(&sum).unwrap();
        rest.compact();
        prop_assert!(rest.positive_buckets.is_empty() && rest.negative_buckets.is_empty());
    }

    #[test]
    fn a_sum_is_no_reset_of_its_parts((a, b) in pair()) {
        let mut sum = a.clone();
        sum.add(&b).unwrap();
        sum.hint = CounterResetHint::Unknown;
        prop_assert!(!sum.is_reset(&a), "{} after {}", sum, a);
        prop_assert!(!a.clone().is_reset(&a) || a.hint == CounterResetHint::Reset);
    }

    #[test]
    fn a_coarser_resolution_and_a_trim_keep_what_they_should(a in exponential(), to in -4..=8_i32, at in -9.0..9.0_f64) {
        let mut coarse = a.clone();
        coarse.reduce_resolution(to);
        prop_assert_eq!(total(&coarse), total(&a));
        prop_assert_eq!(coarse.schema, a.schema.min(to));
        let (mut below, mut above) = (a.clone(), a.clone());
        below.keep_below(at);
        above.keep_above(at);
        prop_assert!((below.count + above.count - a.count).abs() <= a.count * 1e-9);
    }

    #[test]
    fn whatever_a_histogram_is_it_does_not_panic(
        a in crate::codec::histogram::tests::any_histogram(),
        b in crate::codec::histogram::tests::any_histogram(),
        exponential in exponential(),
        at in any::<f64>(),
    ) {
        // A broken one is refused before anything is computed; that is not what keeps it from panicking.
        for (mut a, b) in [(a.clone(), b.clone()), (exponential.clone(), b.clone()), (a, exponential), (b.clone(), b)] {
            let _checked = a.check();
            let _text = a.to_string();
            let _buckets = (a.all_buckets().count(), a.all_buckets_reversed().count());
            let _reset = (a.is_reset(&b), a.continues(&b), a.equals(&b));
            let mut sum = HistogramSum::new(a.clone());
            let _added = sum.add(&b);
            let _total = sum.total();
            let mut mean = HistogramMean::new(a.clone());
            let _added = mean.add(&b);
            let _mean = mean.mean();
            let _combined = (a.add(&b), a.subtract(&b));
            a.keep_below(at);
            a.keep_above(at);
            a.multiply(at);
            a.divide(at);
            a.reduce_to_supported();
            a.reduce_resolution(b.schema);
            a.compact();
        }
    }
}
