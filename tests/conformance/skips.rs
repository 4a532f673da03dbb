//! What is not built, or cannot be the same, by reason. This list only shrinks.

pub(crate) const SPAN_METRICS: &str = "span metrics from OTLP traces";

/// Prometheus 3 caps the extrapolation of `rate` before it clamps it at zero, Prometheus 2 the other way round.
pub(crate) const OLDER_RATE: &str = "answered by Prometheus 2, whose rate extrapolates further to the left";

/// A histogram of Prometheus's storage has the empty buckets of its whole chunk, so that what tells empty buckets from none
/// depends on when chunks are full. Over data that are written as the storage gives them back all of these pass.
pub(crate) const CHUNK_LAYOUT: &str = "depends on the empty buckets that a chunk adds to its histograms";

/// Golden answers with that reason: data set and id.
const OF_CHUNK_LAYOUT: &[(&str, u64)] = &[
    ("native-histograms", 179),
    ("native-histograms", 228),
    ("native-histograms", 255),
    ("native-histograms", 277),
    ("native-histograms", 343),
    ("native-histograms", 429),
    ("native-histograms", 682),
    ("native-histograms", 690),
];

/// Whether a golden answer is known to depend on chunks.
pub(crate) fn depends_on_chunks(data_set: &str, id: u64) -> bool {
    OF_CHUNK_LAYOUT.contains(&(data_set, id))
}
