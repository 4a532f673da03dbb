//! One native histogram as bytes, every field bit for bit.
//!
//! ```text
//! hint            u8      0 unknown, 1 reset, 2 not reset, 3 gauge
//! schema          varint  zigzag
//! numbers         zero threshold, zero count, count, sum
//! for either side, positive first:
//!     spans       varint, then for each: offset varint zigzag, length varint
//!     buckets     varint, then as many numbers
//! custom values   varint, then as many numbers
//!
//! number          varint 2 n for a whole number n up to 2^53; else the byte 1 and 8 bytes of the float
//! ```

use super::varint;
use crate::model::{CounterResetHint, NativeHistogram, Span};

/// The largest whole number that every smaller one is a float of its own up to.
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// Appends a histogram.
pub(crate) fn put_histogram(into: &mut Vec<u8>, histogram: &NativeHistogram) {
    into.push(match histogram.hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::Reset => 1,
        CounterResetHint::NotReset => 2,
        CounterResetHint::Gauge => 3,
    });
    varint::put_signed(into, histogram.schema.into());
    for number in [histogram.zero_threshold, histogram.zero_count, histogram.count, histogram.sum] {
        put_number(into, number);
    }
    for (spans, buckets) in [
        (&histogram.positive_spans, &histogram.positive_buckets),
        (&histogram.negative_spans, &histogram.negative_buckets),
    ] {
        varint::put(into, spans.len() as u64);
        for span in spans {
            varint::put_signed(into, span.offset.into());
            varint::put(into, span.length.into());
        }
        put_numbers(into, buckets);
    }
    put_numbers(into, &histogram.custom_values);
}

/// Reads a histogram that [`put_histogram`] wrote and moves past it. `None`: it is damaged.
pub(crate) fn take_histogram(bytes: &mut &[u8]) -> Option<NativeHistogram> {
    let (hint, mut rest) = bytes.split_first()?;
    let hint = match hint {
        0 => CounterResetHint::Unknown,
        1 => CounterResetHint::Reset,
        2 => CounterResetHint::NotReset,
        3 => CounterResetHint::Gauge,
        _ => return None,
    };
    let rest = &mut rest;
    let histogram = NativeHistogram {
        hint,
        schema: i32::try_from(varint::take_signed(rest)?).ok()?,
        zero_threshold: take_number(rest)?,
        zero_count: take_number(rest)?,
        count: take_number(rest)?,
        sum: take_number(rest)?,
        positive_spans: take_spans(rest)?,
        positive_buckets: take_numbers(rest)?,
        negative_spans: take_spans(rest)?,
        negative_buckets: take_numbers(rest)?,
        custom_values: take_numbers(rest)?,
    };
    *bytes = rest;
    Some(histogram)
}

pub(crate) fn put_numbers(into: &mut Vec<u8>, numbers: &[f64]) {
    varint::put(into, numbers.len() as u64);
    for number in numbers {
        put_number(into, *number);
    }
}

pub(crate) fn put_number(into: &mut Vec<u8>, number: f64) {
    let whole = number as u64;
    if number <= WHOLE && (whole as f64).to_bits() == number.to_bits() {
        varint::put(into, whole << 1);
    } else {
        into.push(1);
        into.extend_from_slice(&number.to_le_bytes());
    }
}

pub(crate) fn take_number(bytes: &mut &[u8]) -> Option<f64> {
    let number = varint::take(bytes)?;
    if number & 1 == 0 {
        return Some((number >> 1) as f64);
    }
    let (float, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    (number == 1).then_some(f64::from_le_bytes(*float))
}

/// A length, if as many items of `size` bytes or more can follow.
fn take_length(bytes: &mut &[u8], size: usize) -> Option<usize> {
    let length = usize::try_from(varint::take(bytes)?).ok()?;
    (length.checked_mul(size)? <= bytes.len()).then_some(length)
}

fn take_numbers(bytes: &mut &[u8]) -> Option<Vec<f64>> {
    let length = take_length(bytes, 1)?;
    (0..length).map(|_| take_number(bytes)).collect()
}

fn take_spans(bytes: &mut &[u8]) -> Option<Vec<Span>> {
    let length = take_length(bytes, 2)?;
    (0..length)
        .map(|_| {
            let offset = i32::try_from(varint::take_signed(bytes)?).ok()?;
            Some(Span { offset, length: u32::try_from(varint::take(bytes)?).ok()? })
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn number() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            Just(crate::model::stale_marker()),
            (0_u64..1000).prop_map(|n| n as f64),
            Just(-0.0),
            Just(f64::INFINITY),
            Just(WHOLE)
        ]
    }

    /// A schema, most often one that exists.
    fn schema() -> impl Strategy<Value = i32> {
        prop_oneof![Just(-53), -4..=8_i32, 9..=52_i32, any::<i32>()]
    }

    fn span() -> impl Strategy<Value = Span> {
        let offset = prop_oneof![-3..9_i32, any::<i32>(), Just(i32::MIN), Just(i32::MAX)];
        let length = prop_oneof![0..4_u32, any::<u32>(), Just(u32::MAX)];
        (offset, length).prop_map(|(offset, length)| Span { offset, length })
    }

    pub(crate) fn any_histogram() -> impl Strategy<Value = NativeHistogram> {
        let spans = || vec(span(), 0..4);
        let hint = prop::sample::select(vec![
            CounterResetHint::Unknown,
            CounterResetHint::Reset,
            CounterResetHint::NotReset,
            CounterResetHint::Gauge,
        ]);
        let sides = (spans(), vec(number(), 0..9), spans(), vec(number(), 0..9), vec(number(), 0..5));
        (hint, schema(), [number(), number(), number(), number()], sides).prop_map(
            |(hint, schema, [zero_threshold, zero_count, count, sum], sides)| NativeHistogram {
                hint,
                schema,
                zero_threshold,
                zero_count,
                count,
                sum,
                positive_spans: sides.0,
                positive_buckets: sides.1,
                negative_spans: sides.2,
                negative_buckets: sides.3,
                custom_values: sides.4,
            },
        )
    }

    proptest! {
        #[test]
        fn every_field_comes_back(histogram in any_histogram(), behind: Vec<u8>) {
            let mut bytes = Vec::new();
            put_histogram(&mut bytes, &histogram);
            let length = bytes.len();
            bytes.extend(&behind);
            let mut rest = bytes.as_slice();
            prop_assert!(take_histogram(&mut rest).unwrap().same_bits(&histogram));
            prop_assert_eq!(rest, &behind);
            for end in 0..length {
                prop_assert!(take_histogram(&mut &bytes[..end]).is_none());
            }
        }

        #[test]
        fn any_bytes_are_a_histogram_or_none(bytes: Vec<u8>) {
            let _histogram = take_histogram(&mut bytes.as_slice());
        }
    }
}
