//! Native histograms: the second kind of sample.

/// What a native histogram says about its predecessor in the same series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CounterResetHint {
    /// Nothing is known; a reset has to be found by comparing.
    #[default]
    Unknown,
    /// The counter was reset before this sample.
    Reset,
    /// The counter was not reset before this sample.
    NotReset,
    /// This is a gauge, which does not reset.
    Gauge,
}

/// A run of consecutive buckets of a native histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// Gap to the previous span in buckets; for the first span the index of its first bucket.
    pub offset: i32,
    /// How many buckets the run has.
    pub length: u32,
}

/// A native histogram with float counts, absolute and not cumulative, as Prometheus's engine holds it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NativeHistogram {
    /// What is known about a counter reset before this sample.
    pub hint: CounterResetHint,
    /// Resolution: -4 to 8 for exponential buckets, -53 for custom bounds.
    pub schema: i32,
    /// Width of the zero bucket on either side of zero.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Sum of all observations.
    pub sum: f64,
    /// Runs of positive buckets.
    pub positive_spans: Vec<Span>,
    /// Counts of the positive buckets, one per element of the spans.
    pub positive_buckets: Vec<f64>,
    /// Runs of negative buckets.
    pub negative_spans: Vec<Span>,
    /// Counts of the negative buckets, one per element of the spans.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds of custom buckets, without infinity.
    pub custom_values: Vec<f64>,
}

impl NativeHistogram {
    /// Whether both hold the same bits, hint and layout included.
    pub(crate) fn same_bits(&self, other: &Self) -> bool {
        let same = |a: &[f64], b: &[f64]| a.iter().map(|x| x.to_bits()).eq(b.iter().map(|x| x.to_bits()));
        self.hint == other.hint
            && self.schema == other.schema
            && self.positive_spans == other.positive_spans
            && self.negative_spans == other.negative_spans
            && same(
                &[self.zero_threshold, self.zero_count, self.count, self.sum],
                &[other.zero_threshold, other.zero_count, other.count, other.sum],
            )
            && same(&self.positive_buckets, &other.positive_buckets)
            && same(&self.negative_buckets, &other.negative_buckets)
            && same(&self.custom_values, &other.custom_values)
    }
}
