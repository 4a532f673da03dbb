//! The laws that the fuzz targets under `fuzz/` check, over bytes from anywhere; and sealed bodies, for benches.

mod evaluation;
#[cfg(feature = "argo")]
mod gates;
#[cfg(feature = "rules")]
mod notation;

use std::sync::Arc;

use crate::chunk::{self, Body, Column, FamilyBuffer, Layout, Wanted};
use crate::codec::{times, xor::XorEncoder};
use crate::error::Result;
use crate::model::{SampleBuffer, Window};
#[cfg(feature = "rules")]
pub use notation::{series_metric, series_values, string_value};

/// Rows of a histogram, sealed.
#[derive(Debug)]
pub struct SealedFamily {
    layout: Layout,
    times: Vec<i64>,
    bodies: Vec<Body>,
}

impl SealedFamily {
    /// Seals rows of these buckets, a count and a sum, one after the other.
    pub fn new(bounds: &[&str], times: &[i64], values: &[f64]) -> Self {
        let mut columns: Vec<Column> = bounds.iter().map(|bound| Column::Bucket(Arc::from(*bound))).collect();
        columns.extend([Column::Count, Column::Sum]);
        let layout = Layout::new(columns);
        let mut table = FamilyBuffer::default();
        let width = layout.width();
        for (place, value) in table.extend_rows(times, width).iter_mut().zip(values) {
            *place = *value;
        }
        let mut bodies = Vec::new();
        chunk::encode_family(&layout, &table, &mut bodies);
        Self { layout, times: times.to_vec(), bodies }
    }

    /// Seals the rows of a table again.
    pub fn encode(&self, table: &FamilyBuffer) -> usize {
        let mut bodies = Vec::new();
        chunk::encode_family(&self.layout, table, &mut bodies);
        bodies.len()
    }

    /// Bytes of each body.
    pub fn sizes(&self) -> impl Iterator<Item = usize> {
        self.bodies.iter().map(|body| body.bytes.len())
    }

    /// Appends the rows to a table; without sums if only counts are wanted.
    ///
    /// # Errors
    ///
    /// None, if the codecs are right.
    pub fn read(&self, only_counts: bool, into: &mut FamilyBuffer) -> Result<()> {
        let wanted = if only_counts { Wanted::Counts } else { Wanted::All };
        for body in &self.bodies {
            let times = self.times.get(body.rows.clone()).unwrap_or_default();
            chunk::decode_family(&self.layout, body.kind, &body.bytes, times, wanted, into)?;
        }
        Ok(())
    }
}

/// Samples of a series, sealed.
#[derive(Debug)]
pub struct SealedSeries {
    times: Vec<i64>,
    body: Body,
}

impl SealedSeries {
    /// Seals the samples.
    pub fn new(times: &[i64], values: &[f64]) -> Self {
        let samples = SampleBuffer { times: times.to_vec(), values: values.to_vec(), ..Default::default() };
        Self { times: samples.times.clone(), body: chunk::encode_series(&samples) }
    }

    /// Bytes of the body.
    pub fn size(&self) -> usize {
        self.body.bytes.len()
    }

    /// Appends the samples to a buffer.
    ///
    /// # Errors
    ///
    /// None, if the codecs are right.
    pub fn read(&self, into: &mut SampleBuffer) -> Result<()> {
        chunk::decode_series(self.body.kind, &self.body.bytes, &self.times, Window::ALL, into)
    }
}

/// Bytes of a time column.
pub fn time_column_size(column: &[i64]) -> usize {
    let mut bytes = Vec::new();
    times::put_times(&mut bytes, column);
    bytes.len()
}

/// Bytes of samples as one chunk of times and values by XOR.
pub fn xor_size(times: &[i64], values: &[f64]) -> usize {
    let mut encoder = XorEncoder::default();
    times.iter().zip(values).for_each(|(time, value)| encoder.push(*time, *value));
    encoder.bytes().len()
}

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

/// A query is refused, or answers the same by whatever way it is evaluated.
///
/// # Panics
///
/// If the law does not hold.
pub fn promql_eval(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        evaluation::assert_evaluates(text);
    }
}

/// An AnalysisTemplate is refused, or is linted and runs; judged by evidence it does not pass on nothing.
///
/// # Panics
///
/// If the law does not hold.
#[cfg(feature = "argo")]
pub fn template(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        gates::assert_template_is_read(text);
    }
}

/// A condition is refused, or decides the same again. The first byte picks the value that it is asked about.
///
/// # Panics
///
/// If the law does not hold.
#[cfg(feature = "argo")]
pub fn condition(bytes: &[u8]) {
    gates::assert_condition_is_decided(bytes);
}

/// A gate file, a NUL and an exposition: the gate is refused, or comes to the same end wherever it is resumed, and does not pass
/// on nothing.
///
/// # Panics
///
/// If the law does not hold.
#[cfg(feature = "argo")]
pub fn gate_total(bytes: &[u8]) {
    gates::assert_gate_is_total(bytes);
}

/// Edits of a gate's state: it is refused, or is the state that was written.
///
/// # Panics
///
/// If the law does not hold.
#[cfg(feature = "argo")]
pub fn gate_state(bytes: &[u8]) {
    gates::assert_state_is_checked(bytes);
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

/// Any bytes as a chunk are samples or an error.
///
/// # Panics
///
/// If the law does not hold.
pub fn chunk_decode(bytes: &[u8]) {
    chunk::law::assert_decodes(bytes);
}

/// Samples that bytes describe come back from chunks bit for bit.
///
/// # Panics
///
/// If the law does not hold.
pub fn chunk_roundtrip(bytes: &[u8]) {
    chunk::law::assert_comes_back(bytes);
}

/// Of any bytes as a file of the log the longest run of frames is taken, and nothing past a bad one.
///
/// # Panics
///
/// If the law does not hold.
pub fn frame_scan(bytes: &[u8]) {
    crate::store::law::assert_scan(bytes);
}

/// Any bytes as a segment, and edits of a valid one, are an error or what was sealed.
///
/// # Panics
///
/// If the law does not hold.
pub fn segment_open(bytes: &[u8]) {
    crate::store::law::assert_segment_opens(bytes);
}

/// An edited store is an error, or reports what it lacks, or holds what it held.
///
/// # Panics
///
/// If the law does not hold.
pub fn store_open(bytes: &[u8]) {
    crate::store::law::assert_store_opens(bytes);
}

/// A store under any operations, with faults and power cuts, holds what a plain map says.
///
/// # Panics
///
/// If the law does not hold.
pub fn store_model(bytes: &[u8]) {
    crate::store::law::assert_life(bytes);
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

/// A store on a simulated disk that fails in every way; what is found comes as a sentence that names the seed.
pub mod crash {
    use std::collections::BTreeMap;

    use crate::store::crash;
    use crate::store::planted::{Bug, plant};

    /// Cuts the power at every call of the life that `seed` tells, about `limit` times at most. Says how often.
    ///
    /// # Errors
    ///
    /// Something acknowledged is missing, something was invented, half a batch is there, or opening failed.
    pub fn power_cuts(seed: u64, limit: u64) -> Result<u64, String> {
        crash::power_cuts(seed, limit)
    }

    /// Lets every call of the life that `seed` tells fail in every way. Says how often.
    ///
    /// # Errors
    ///
    /// As [`power_cuts`].
    pub fn io_errors(seed: u64) -> Result<u64, String> {
        crash::io_errors(seed)
    }

    /// Damages a store of so many batches in every way, at one of every so many bits and lengths. Says how many bytes the
    /// store had, and how often it came to what.
    ///
    /// # Errors
    ///
    /// A damage passed without a word.
    pub fn damage(
        seed: u64,
        batches: usize,
        closed: bool,
        every: usize,
    ) -> Result<(usize, BTreeMap<String, u64>), String> {
        let (size, counts) = crash::damage(seed, batches, closed, every)?;
        Ok((size, counts.into_iter().map(|(damaged, count)| (format!("{damaged:?}"), count)).collect()))
    }

    /// The names and bytes of all files at the end of the life that `seed` tells.
    ///
    /// # Errors
    ///
    /// The life failed, though nothing else did.
    pub fn life_files(seed: u64) -> Result<Vec<(String, Vec<u8>)>, String> {
        crash::life_files(seed)
    }

    /// Four writers commit at once, and maintain, until a call that `seed` tells fails; then the power is cut. Says how many
    /// commits were acknowledged, and by how many syncs of the log.
    ///
    /// # Errors
    ///
    /// Something acknowledged is missing, something was invented, or opening failed.
    pub fn group_commits(seed: u64) -> Result<(u64, u64), String> {
        let crash::Commits { acknowledged, syncs } = crash::group_commits(seed)?;
        Ok((acknowledged, syncs))
    }

    /// The names of bugs that can be planted.
    pub fn bugs() -> Vec<String> {
        Bug::ALL.iter().map(|bug| format!("{bug:?}")).collect()
    }

    /// Plants the bug of this name in this thread; any other name takes it out.
    pub fn plant_bug(name: &str) {
        plant(Bug::ALL.iter().copied().find(|bug| format!("{bug:?}") == name));
    }
}

/// A store on a simulated disk: its files are the same bytes for the same seed and the same operations.
#[derive(Debug)]
pub struct SimulatedStore {
    disk: Arc<crate::store::SimulatedDisk>,
}

impl SimulatedStore {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        Self { disk: Arc::new(crate::store::SimulatedDisk::new(seed)) }
    }

    /// Opens the store on the disk, or makes one.
    ///
    /// # Errors
    ///
    /// As [`Store::open`](crate::store::Store::open).
    pub fn open(&self, options: crate::store::StoreOptions) -> Result<crate::store::Store> {
        crate::store::law::open_on(&self.disk, options)
    }

    /// Ends the process without closing the store; cuts the power as well for a seed.
    pub fn end(&mut self, store: crate::store::Store, power_cut: Option<u64>) {
        crate::store::law::abandon(store);
        let left = match power_cut {
            Some(seed) => self.disk.power_cut(seed),
            None => self.disk.reopen(),
        };
        self.disk = Arc::new(left);
    }

    /// Lets time pass.
    pub fn advance(&self, time: std::time::Duration) {
        self.disk.advance(time);
    }

    /// Paths and bytes of all files.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let files = self.disk.files().into_iter();
        files.map(|(name, bytes)| (name.to_string(), bytes.to_vec())).collect()
    }
}

/// The law of `rule_unit_test`: rules and their tests, parted by a line `---`, give an error or a report, the same again each time.
#[cfg(feature = "rules")]
pub fn rule_unit_test(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (rules, tests) = text.split_once("\n---\n").unwrap_or(("", &text));
    let run = || {
        let mut test = crate::rules::RuleUnitTest::from_yaml("t", tests).ok()?;
        test.add_rule_file("r", rules);
        let report = test.run();
        Some((report.passed(), report.to_string(), report.to_junit()))
    };
    let (first, second) = (run(), run());
    assert_eq!(first, second, "a test came out differently");
    if let Some((passed, text, junit)) = first {
        assert_eq!(passed, text == "  SUCCESS\n");
        assert_eq!(passed, !junit.contains("<failure>"));
    }
}
