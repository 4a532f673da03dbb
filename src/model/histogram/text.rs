//! A histogram as text.

use std::fmt;

use crate::model::number::format_g;

use super::layout::indexed_reversed;
use super::{Bucket, NativeHistogram};

fn write_bucket(f: &mut fmt::Formatter<'_>, bucket: Bucket, open: char, close: char) -> fmt::Result {
    if bucket.count == 0.0 {
        return Ok(());
    }
    let (lower, upper, count) = (format_g(bucket.lower), format_g(bucket.upper), format_g(bucket.count));
    write!(f, ", {open}{lower},{upper}{close}:{count}")
}

/// Count, sum and the buckets that are not empty, each with its borders, as Prometheus prints a histogram:
/// `{count:3, sum:4.5, [-0.001,0.001]:1, (1,2]:2}`.
impl fmt::Display for NativeHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", format_g(self.count), format_g(self.sum))?;
        for bucket in indexed_reversed(&self.negative_spans, &self.negative_buckets) {
            write_bucket(f, self.negative(bucket), '[', ')')?;
        }
        if !self.uses_custom_buckets() {
            write_bucket(f, self.zero_bucket(), '[', ']')?;
        }
        for bucket in self.positive_buckets() {
            let open = if bucket.lower == f64::NEG_INFINITY { '[' } else { '(' };
            write_bucket(f, bucket, open, ']')?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Span;

    #[test]
    fn buckets_rise_and_show_which_border_is_theirs() {
        let span = |offset, length| Span { offset, length };
        let mut histogram = NativeHistogram {
            count: 10.0,
            sum: 1e9,
            zero_threshold: 0.001,
            zero_count: 1.5,
            positive_spans: vec![span(1, 2)],
            positive_buckets: vec![2.0, 0.0],
            negative_spans: vec![span(1, 2)],
            negative_buckets: vec![3.0, 4.0],
            ..NativeHistogram::default()
        };
        assert_eq!(
            histogram.to_string(),
            "{count:10, sum:1e+09, [-4,-2):4, [-2,-1):3, [-0.001,0.001]:1.5, (1,2]:2}"
        );
        histogram = NativeHistogram {
            schema: -53,
            custom_values: vec![0.5],
            positive_spans: vec![span(0, 2)],
            positive_buckets: vec![1.0, 2.0],
            ..NativeHistogram::default()
        };
        assert_eq!(histogram.to_string(), "{count:0, sum:0, [-Inf,0.5]:1, (0.5,+Inf]:2}");
    }
}
