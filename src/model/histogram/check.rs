//! Whether a histogram that comes from outside is one.

use super::{NativeHistogram, Span, is_exponential};

/// The finest schema that is computed with.
const FINEST: i32 = 8;

impl NativeHistogram {
    /// Checks that spans and buckets fit together, and that the schema is one to compute with. Counts can be anything.
    ///
    /// # Errors
    ///
    /// What is wrong, as a sentence.
    pub(crate) fn check(&self) -> Result<(), String> {
        check_side("positive", &self.positive_spans, &self.positive_buckets)?;
        check_side("negative", &self.negative_spans, &self.negative_buckets)?;
        if self.uses_custom_buckets() {
            return self.check_custom();
        }
        if !self.custom_values.is_empty() {
            return Err(format!(
                "it has {} custom bounds, which only schema -53 takes, and schema {}",
                self.custom_values.len(),
                self.schema
            ));
        }
        if is_exponential(self.schema) || matches!(self.schema, 9..=52) {
            return Ok(());
        }
        Err(format!(
            "its schema is {}, allowed are -4 to 52 for exponential buckets and -53 for custom bounds",
            self.schema
        ))
    }

    fn check_custom(&self) -> Result<(), String> {
        let bounds = &self.custom_values;
        let rises = bounds.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
        if !rises || !bounds.last().is_none_or(|last| *last < f64::INFINITY) {
            return Err("its custom bounds are not finite and strictly rising".to_owned());
        }
        if self.zero_count != 0.0 || self.zero_threshold != 0.0 || !self.negative_buckets.is_empty() {
            return Err("it has custom bounds, and a zero bucket or negative buckets beside them".to_owned());
        }
        let reached = self.positive_spans.iter().fold(0_i64, |end, span| {
            end.saturating_add(span.offset.into()).saturating_add(span.length.into())
        });
        let starts_below = self.positive_spans.first().is_some_and(|span| span.offset < 0);
        if starts_below
            || usize::try_from(reached).is_ok_and(|reached| reached > bounds.len().saturating_add(1))
        {
            return Err(format!("its buckets reach beyond its {} custom bounds", bounds.len()));
        }
        Ok(())
    }

    /// Whether the buckets are finer than is computed with; [`reduce_to_supported`](Self::reduce_to_supported) helps.
    pub(crate) const fn is_too_fine(&self) -> bool {
        self.schema > FINEST
    }

    /// Reduces buckets that are finer than is computed with, as Prometheus does when it stores them.
    pub(crate) fn reduce_to_supported(&mut self) {
        self.reduce_resolution(FINEST);
    }
}

fn check_side(side: &str, spans: &[Span], buckets: &[f64]) -> Result<(), String> {
    let spanned: u64 = spans.iter().map(|span| u64::from(span.length)).fold(0, u64::saturating_add);
    if u64::try_from(buckets.len()) != Ok(spanned) {
        return Err(format!("it has {} {side} buckets, but spans for {spanned}", buckets.len()));
    }
    if spans.iter().skip(1).any(|span| span.offset < 0) {
        return Err(format!("its {side} spans overlap"));
    }
    let end = spans
        .iter()
        .fold(0_i64, |end, span| end.saturating_add(span.offset.into()).saturating_add(span.length.into()));
    if i32::try_from(end).is_err() {
        return Err(format!("its {side} spans reach beyond any bucket"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_histogram_is_told_from_what_is_one() {
        let span = |offset, length| Span { offset, length };
        let good = NativeHistogram {
            positive_spans: vec![span(-3, 1), span(2, 1)],
            positive_buckets: vec![1.0, -2.0],
            ..NativeHistogram::default()
        };
        assert_eq!(good.check(), Ok(()));
        let custom = NativeHistogram {
            schema: -53,
            custom_values: vec![1.0, 2.0],
            positive_spans: vec![span(1, 2)],
            ..good.clone()
        };
        assert_eq!(custom.check(), Ok(()));
        for (bad, part) in [
            (NativeHistogram { positive_buckets: vec![1.0], ..good.clone() }, "spans for 2"),
            (NativeHistogram { positive_spans: vec![span(0, 1), span(-1, 1)], ..good.clone() }, "overlap"),
            (NativeHistogram { positive_spans: vec![span(i32::MAX, 2)], ..good.clone() }, "beyond any"),
            (NativeHistogram { schema: -5, ..good.clone() }, "schema is -5"),
            (NativeHistogram { custom_values: vec![1.0], ..good }, "custom bounds"),
            (NativeHistogram { custom_values: vec![1.0, 1.0], ..custom.clone() }, "strictly rising"),
            (NativeHistogram { custom_values: vec![f64::NAN], ..custom.clone() }, "strictly rising"),
            (NativeHistogram { custom_values: vec![1.0], ..custom.clone() }, "reach beyond"),
            (NativeHistogram { zero_count: 1.0, ..custom }, "zero bucket"),
        ] {
            let error = bad.check().unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
