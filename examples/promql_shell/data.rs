//! What is asked: a store, or recorded series put into one in memory.

use std::path::Path;

use promgate::{
    ExpositionFormat, ExpositionOptions, Intake, IntakeLimits, Limits, Snapshot, Store, StoreOptions,
    Timestamp,
};

/// The series under a path, which is a store's folder, a recording's folder, or a file.
pub(crate) fn open(path: &Path) -> Result<Snapshot, String> {
    let wrong = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
    if path.is_dir() {
        if path.join("MANIFEST").is_file() {
            let store = Store::open_read_only(path, StoreOptions::new()).map_err(|error| wrong(&error))?;
            return Ok(store.snapshot());
        }
        let series = path.join("series.jsonl.gz");
        return if series.is_file() { open(&series) } else { Err(wrong(&"neither a store nor a recording")) };
    }
    let bytes = std::fs::read(path).map_err(|error| wrong(&error))?;
    read(&bytes).map_err(|error| wrong(&error))
}

fn read(bytes: &[u8]) -> promgate::Result<Snapshot> {
    let mut intake = Intake::with_limits(IntakeLimits::unlimited());
    let first = bytes.trim_ascii_start();
    if first.starts_with(&[0x1f, 0x8b]) || first.starts_with(b"{\"") {
        intake.add_recording(bytes)?;
    } else {
        let dump = first.starts_with(b"{__name__");
        let format = if dump { ExpositionFormat::Dump } else { ExpositionFormat::Detect };
        let options = ExpositionOptions::default().format(format).limits(IntakeLimits::unlimited());
        // A scrape without timestamps is as old as the epoch: there is no clock to ask.
        intake.add_exposition(bytes, &options, Some(Timestamp::from_millis(0)))?;
    }
    let mut limits = Limits::default();
    (limits.series, limits.sample_bytes, limits.batch_samples) = (usize::MAX, usize::MAX, usize::MAX);
    let store = Store::in_memory(StoreOptions::new().limits(limits));
    intake.finish().append_to(&store)?;
    Ok(store.snapshot())
}
