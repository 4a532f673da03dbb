//! The laws that the fuzz targets under `fuzz/` check, over bytes from anywhere.

/// A query is refused, or prints in a form that reads back to the same tree.
///
/// # Panics
///
/// If the law does not hold.
pub fn promql_roundtrip(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        crate::promql::roundtrip::assert_roundtrip(text);
    }
}

/// A pattern is refused, or its shortcuts answer as the engine does. The first line is the pattern, the rest a value.
///
/// # Panics
///
/// If the law does not hold.
pub fn pattern_shape(bytes: &[u8]) {
    let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (text, value) = bytes.split_at_checked(line).unwrap_or_default();
    if let Ok(value) = std::str::from_utf8(value.get(1..).unwrap_or_default()) {
        crate::model::pattern::law::assert_shape_agrees(text, value);
    }
}

/// An exposition reads as far as it can be read, and what was read reads back from a dump.
///
/// # Panics
///
/// If the law does not hold.
pub fn exposition_roundtrip(bytes: &[u8]) {
    crate::ingest::exposition::law::assert_reads_back(bytes);
}

/// Any bytes as a chunk are samples or an error, and samples that bytes describe come back bit for bit.
///
/// # Panics
///
/// If the law does not hold.
pub fn chunk_decode(bytes: &[u8]) {
    crate::chunk::law::assert_decodes(bytes);
    crate::chunk::law::assert_comes_back(bytes);
}

/// A recording of any bytes ends in an answer; samples that were read stand in time order.
///
/// # Panics
///
/// If the law does not hold.
#[cfg(feature = "recordings")]
pub fn recording_order(bytes: &[u8]) {
    let limits = crate::ingest::IntakeLimits { decoded_bytes: 1 << 20, ..Default::default() };
    let Ok(recording) = crate::ingest::Recording::new(bytes, &limits) else { return };
    for series in recording.iter().flatten() {
        let samples = series.samples;
        assert!(samples.times.is_sorted_by(|a, b| a < b), "times rise");
        assert_eq!(samples.times.len(), samples.values.len(), "every time has a value");
    }
}
