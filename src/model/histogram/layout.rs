//! Buckets by index: reading spans, writing them, merging two sides in one pass.

use super::{NativeHistogram, Span};

/// The buckets of one side with their indices, rising.
pub(super) fn indexed<'a, C: Copy>(
    spans: &'a [Span],
    counts: &'a [C],
) -> impl Iterator<Item = (i64, C)> + Clone + 'a {
    let mut end = 0_i64;
    let indices = spans.iter().flat_map(move |span| {
        let start = end.saturating_add(span.offset.into());
        end = start.saturating_add(span.length.into());
        start..end
    });
    indices.zip(counts.iter().copied())
}

/// The buckets of one side with their indices, falling.
pub(super) fn indexed_reversed<'a, C: Copy>(
    spans: &'a [Span],
    counts: &'a [C],
) -> impl Iterator<Item = (i64, C)> + 'a {
    let end =
        |end: i64, span: &Span| end.saturating_add(span.offset.into()).saturating_add(span.length.into());
    let mut end = spans.iter().fold(0_i64, end);
    let indices = spans.iter().rev().flat_map(move |span| {
        let stop = end;
        let start = stop.saturating_sub(span.length.into());
        end = start.saturating_sub(span.offset.into());
        (start..stop).rev()
    });
    indices.zip(counts.iter().rev().copied())
}

/// The index in schema `to` of the bucket that holds bucket `index` of schema `from`, which is not coarser.
fn coarser_index(index: i64, from: i32, to: i32) -> i64 {
    let shift = from.saturating_sub(to).clamp(0, 62);
    (index.saturating_sub(1) >> shift).saturating_add(1)
}

/// Buckets merged into those of a coarser schema; `add` adds a count to the one before.
pub(super) fn coarser<C: Copy>(
    buckets: impl Iterator<Item = (i64, C)>,
    from: i32,
    to: i32,
    add: impl Fn(C, C) -> C,
) -> impl Iterator<Item = (i64, C)> {
    let mut buckets = buckets
        .map(move |(index, count)| (if from > to { coarser_index(index, from, to) } else { index }, count));
    let mut pending = buckets.next();
    std::iter::from_fn(move || {
        let (index, mut sum) = pending.take()?;
        for (next, count) in buckets.by_ref() {
            if from <= to || next != index {
                pending = Some((next, count));
                break;
            }
            sum = add(sum, count);
        }
        Some((index, sum))
    })
}

/// Buckets in the making: neighbours share a span.
#[derive(Debug)]
pub(super) struct Buckets<C> {
    pub(super) spans: Vec<Span>,
    pub(super) counts: Vec<C>,
    next: i64,
}

impl<C> Buckets<C> {
    fn with_capacity(buckets: usize) -> Self {
        Self { spans: Vec::new(), counts: Vec::with_capacity(buckets), next: 0 }
    }

    fn push(&mut self, index: i64, count: C) {
        match self.spans.last_mut() {
            Some(last) if index == self.next => last.length = last.length.saturating_add(1),
            _ => {
                let mut gap = index.saturating_sub(self.next);
                // Between two buckets there can be more than an offset can tell: empty spans go as far as they can.
                while gap > i64::from(i32::MAX) {
                    self.spans.push(Span { offset: i32::MAX, length: 0 });
                    gap = gap.saturating_sub(i32::MAX.into());
                }
                self.spans.push(Span { offset: i32::try_from(gap).unwrap_or(i32::MIN), length: 1 });
            }
        }
        self.counts.push(count);
        self.next = index.saturating_add(1);
    }
}

impl<C> FromIterator<(i64, C)> for Buckets<C> {
    fn from_iter<I: IntoIterator<Item = (i64, C)>>(buckets: I) -> Self {
        let buckets = buckets.into_iter();
        let mut out = Self::with_capacity(buckets.size_hint().0);
        buckets.for_each(|(index, count)| out.push(index, count));
        out
    }
}

/// The union of two sides, both rising. Of a bucket in both the counts are added by `add`.
pub(super) fn union<C>(
    a: impl Iterator<Item = (i64, C)>,
    b: impl Iterator<Item = (i64, C)>,
    add: impl Fn(C, C) -> C,
) -> Buckets<C> {
    let (mut a, mut b) = (a.peekable(), b.peekable());
    let mut out = Buckets::with_capacity(a.size_hint().0.max(b.size_hint().0));
    loop {
        let next = match (a.peek(), b.peek()) {
            (Some((i, _)), Some((j, _))) if i == j => {
                a.next().zip(b.next()).map(|((index, x), (_, y))| (index, add(x, y)))
            }
            (Some((i, _)), Some((j, _))) if j < i => b.next(),
            (Some(_), _) => a.next(),
            (None, _) => b.next(),
        };
        let Some((index, count)) = next else { return out };
        out.push(index, count);
    }
}

/// Whether a side has no empty buckets or spans, and no spans that touch.
fn is_compact(spans: &[Span], counts: &[f64]) -> bool {
    spans.iter().all(|span| span.length > 0)
        && spans.iter().skip(1).all(|span| span.offset > 0)
        && !counts.contains(&0.0)
}

fn compact(spans: &mut Vec<Span>, counts: &mut Vec<f64>) {
    if !is_compact(spans, counts) {
        let kept: Buckets<f64> = indexed(spans, counts).filter(|(_, count)| *count != 0.0).collect();
        (*spans, *counts) = (kept.spans, kept.counts);
    }
}

impl NativeHistogram {
    /// Whether there are no empty buckets or spans, and no spans that touch.
    pub(crate) fn is_compact(&self) -> bool {
        is_compact(&self.positive_spans, &self.positive_buckets)
            && is_compact(&self.negative_spans, &self.negative_buckets)
    }

    /// Removes empty buckets and spans; those that touch become one.
    pub(crate) fn compact(&mut self) {
        compact(&mut self.positive_spans, &mut self.positive_buckets);
        compact(&mut self.negative_spans, &mut self.negative_buckets);
    }

    /// Merges the buckets into those of a coarser exponential schema; a histogram that is as coarse, or has custom bounds,
    /// stays as it is.
    pub(crate) fn reduce_resolution(&mut self, schema: i32) {
        if self.schema <= schema || self.uses_custom_buckets() {
            return;
        }
        for (spans, counts) in [
            (&mut self.positive_spans, &mut self.positive_buckets),
            (&mut self.negative_spans, &mut self.negative_buckets),
        ] {
            let merged: Buckets<f64> =
                coarser(indexed(spans, counts), self.schema, schema, |sum, count| sum + count).collect();
            (*spans, *counts) = (merged.spans, merged.counts);
        }
        self.schema = schema;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(offset: i32, length: u32) -> Span {
        Span { offset, length }
    }

    #[test]
    fn indices_follow_spans_in_both_directions() {
        let spans = [span(-2, 2), span(0, 0), span(1, 1)];
        let rising: Vec<_> = indexed(&spans, &[1.0, 2.0, 3.0]).collect();
        assert_eq!(rising, [(-2, 1.0), (-1, 2.0), (1, 3.0)]);
        let mut falling: Vec<_> = indexed_reversed(&spans, &[1.0, 2.0, 3.0]).collect();
        falling.reverse();
        assert_eq!(falling, rising);
    }

    #[test]
    fn spans_that_promise_more_than_there_is_end_with_the_counts() {
        assert_eq!(indexed(&[span(i32::MAX, u32::MAX), span(1, 1)], &[1.0]).count(), 1);
        assert_eq!(indexed_reversed(&[span(i32::MIN, u32::MAX), span(1, 1)], &[1.0, 2.0]).count(), 2);
    }

    #[test]
    fn a_compact_histogram_has_no_empty_buckets() {
        let mut histogram = NativeHistogram {
            positive_spans: vec![span(0, 2), span(0, 3), span(2, 1)],
            positive_buckets: vec![1.0, 2.0, 0.0, -0.0, 3.0, 0.0],
            ..NativeHistogram::default()
        };
        histogram.compact();
        assert_eq!(histogram.positive_spans, [span(0, 2), span(2, 1)]);
        assert_eq!(histogram.positive_buckets, [1.0, 2.0, 3.0]);
    }

    #[test]
    fn two_buckets_of_a_schema_are_one_of_the_next() {
        let mut histogram = NativeHistogram {
            schema: 1,
            positive_spans: vec![span(0, 4), span(3, 1)],
            positive_buckets: vec![1.0, 2.0, 4.0, 8.0, 16.0],
            ..NativeHistogram::default()
        };
        histogram.reduce_resolution(0);
        // 0 | 1 2 | 3 | 7
        assert_eq!(histogram.positive_spans, [span(0, 3), span(1, 1)]);
        assert_eq!(histogram.positive_buckets, [1.0, 6.0, 8.0, 16.0]);
    }
}
