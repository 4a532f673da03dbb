//! The law of the text formats: what was read, shown as a dump, reads back.

use super::{Exposition, ExpositionEntry, ExpositionFormat, ExpositionOptions, ExpositionSample};
use crate::model::number;

/// Reads `body` in every format and checks the law on what can be read.
///
/// # Panics
///
/// If the law does not hold.
pub(crate) fn assert_reads_back(body: &[u8]) {
    for format in [ExpositionFormat::Text, ExpositionFormat::OpenMetrics, ExpositionFormat::Dump] {
        let samples = samples(body, format);
        let dump: String = samples.iter().map(shown).collect();
        let again = self::samples(dump.as_bytes(), ExpositionFormat::Dump);
        assert_eq!(again.len(), samples.len(), "{dump}");
        for (again, sample) in again.iter().zip(&samples) {
            assert_eq!(again.labels, sample.labels, "{dump}");
            assert_eq!(again.value.to_bits(), sample.value.to_bits(), "{dump}");
            assert_eq!(again.timestamp, Some(sample.timestamp.unwrap_or_default()), "{dump}");
        }
    }
}

fn samples(body: &[u8], format: ExpositionFormat) -> Vec<ExpositionSample> {
    let Ok(entries) = Exposition::new(body, &ExpositionOptions::default().format(format)) else {
        return Vec::new();
    };
    let mut failed = false;
    let mut samples = Vec::new();
    for entry in entries {
        assert!(!failed, "an error ends the reading");
        match entry {
            Ok(ExpositionEntry::Sample(sample)) => samples.push(sample),
            Ok(_) => {}
            Err(_) => failed = true,
        }
    }
    samples
}

fn shown(sample: &ExpositionSample) -> String {
    let time = sample.timestamp.unwrap_or_default().as_millis();
    format!("{} {} {time}\n", sample.labels, number::format_g(sample.value))
}
