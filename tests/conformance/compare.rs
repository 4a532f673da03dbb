//! When two answers are the same.

use promgate::{NativeHistogram, Span, is_stale};

/// How close two floats have to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tolerance {
    /// Equal bits; every NaN equals every other.
    Bits,
    /// Relative difference.
    Relative(f64),
    /// Relative or absolute difference.
    Loose { relative: f64, absolute: f64 },
    /// The rule of Prometheus's test scripts: zero is only equal to zero.
    Script,
}

impl Tolerance {
    pub(crate) fn equal(self, expected: f64, got: f64) -> bool {
        if is_stale(expected) || is_stale(got) {
            return is_stale(expected) && is_stale(got);
        }
        if expected.is_nan() || got.is_nan() {
            return expected.is_nan() && got.is_nan();
        }
        let difference = (expected - got).abs();
        match self {
            Self::Bits => expected.to_bits() == got.to_bits(),
            _ if expected == got => true,
            _ if expected.is_infinite() || got.is_infinite() => false,
            Self::Relative(relative) => difference <= relative * expected.abs().max(got.abs()),
            Self::Loose { relative, absolute } => {
                difference <= absolute || difference <= relative * expected.abs().max(got.abs())
            }
            Self::Script => {
                const EPSILON: f64 = 1e-6;
                let sum = expected.abs() + got.abs();
                if expected == 0.0 || got == 0.0 || sum < f64::MIN_POSITIVE {
                    difference < EPSILON * f64::MIN_POSITIVE
                } else {
                    difference / sum.min(f64::MAX) < EPSILON
                }
            }
        }
    }

    /// Whether two histograms are the same once empty buckets are left out; hints are not compared.
    pub(crate) fn equal_histograms(self, expected: &NativeHistogram, got: &NativeHistogram) -> bool {
        let buckets = |spans: &[Span], counts: &[f64]| -> Vec<(i64, f64)> {
            let mut index = 0_i64;
            let mut counts = counts.iter();
            let mut out = Vec::new();
            for span in spans {
                index += i64::from(span.offset);
                for _ in 0..span.length {
                    let count = *counts.next().unwrap_or(&0.0);
                    if count != 0.0 {
                        out.push((index, count));
                    }
                    index += 1;
                }
            }
            out
        };
        let same = |a: Vec<(i64, f64)>, b: Vec<(i64, f64)>| {
            a.len() == b.len() && a.iter().zip(&b).all(|((i, x), (j, y))| i == j && self.equal(*x, *y))
        };
        expected.schema == got.schema
            && expected.custom_values == got.custom_values
            && expected.zero_threshold == got.zero_threshold
            && self.equal(expected.zero_count, got.zero_count)
            && self.equal(expected.count, got.count)
            && self.equal(expected.sum, got.sum)
            && same(
                buckets(&expected.positive_spans, &expected.positive_buckets),
                buckets(&got.positive_spans, &got.positive_buckets),
            )
            && same(
                buckets(&expected.negative_spans, &expected.negative_buckets),
                buckets(&got.negative_spans, &got.negative_buckets),
            )
    }
}
