//! Recorded series as JSON lines, gzip-compressed or not.
//!
//! Three forms are read, line by line, one series each; the third is that of Prometheus's `/api/v1/query_exemplars`:
//!
//! ```text
//! {"metric":{"__name__":"up","job":"api"},"values":[1,null,"+Inf"],"timestamps":[1700000000000,…]}
//! {"labels":{"__name__":"up","job":"api"},"samples":[[1700000000000,"1"],[1700000010000,{"schema":0,…},1699999990000]]}
//! {"seriesLabels":{"__name__":"up_total"},"exemplars":[{"labels":{"trace_id":"4bf9"},"value":"6","timestamp":1700000000.123}]}
//! ```
//!
//! Times of samples are milliseconds, those of exemplars seconds; a third element of a sample is its start time. A value is a number, a decimal text, `null`
//! for a staleness marker, `"0x7ff0000000000002"` for raw bits, or an object for a native histogram.

mod json;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::io::Read;

use super::limits::IntakeLimits;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Exemplar, Labels, SampleBuffer};

use json::SeriesReader;

/// How a gzip stream begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Bytes that are decompressed at once.
const PIECE: usize = 64 << 10;

/// One series of a recording.
#[derive(Clone, Debug)]
pub struct RecordedSeries {
    /// The series' labels.
    pub labels: Labels,
    /// Its samples in time order.
    pub samples: SampleBuffer,
    /// Its exemplars in time order; a line has samples or exemplars, or both.
    pub exemplars: Vec<Exemplar>,
    /// The line, counted from 1.
    pub line: usize,
}

/// Reads a recording series by series.
///
/// An error concerns its line alone: the lines after it can be read. A last line that was cut off is such an error.
///
/// ```
/// let lines = br#"{"metric":{"__name__":"up"},"values":[1,null],"timestamps":[1000,2000]}"#;
/// let recording = promgate::Recording::new(lines, &promgate::IntakeLimits::default())?;
/// for series in &recording {
///     assert_eq!(series?.samples.times, [1000, 2000]);
/// }
/// # Ok::<(), promgate::Error>(())
/// ```
#[derive(Debug)]
pub struct Recording<'a> {
    text: Cow<'a, [u8]>,
    limits: IntakeLimits,
}

impl<'a> Recording<'a> {
    /// Takes the bytes of a recording, and decompresses them if they are a gzip stream.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`] beyond `body_bytes` or `decoded_bytes`, [`ErrorKind::Corrupt`] for a damaged stream.
    pub fn new(bytes: &'a [u8], limits: &IntakeLimits) -> Result<Self> {
        IntakeLimits::check(bytes.len(), limits.body_bytes, "body_bytes", "bytes")?;
        let text =
            if bytes.starts_with(&GZIP) { Cow::Owned(unzip(bytes, limits)?) } else { Cow::Borrowed(bytes) };
        IntakeLimits::check(text.len(), limits.decoded_bytes, "decoded_bytes", "bytes")?;
        Ok(Self { text, limits: limits.clone() })
    }

    /// The series, in the order of the lines; a series may come on several lines.
    pub fn iter(&self) -> RecordingIter<'_> {
        RecordingIter { rest: &self.text, line: 0, series: 0, samples: 0, exemplars: 0, limits: &self.limits }
    }
}

impl<'a> IntoIterator for &'a Recording<'_> {
    type Item = Result<RecordedSeries>;
    type IntoIter = RecordingIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The series of a [`Recording`].
#[derive(Debug)]
pub struct RecordingIter<'a> {
    rest: &'a [u8],
    line: usize,
    series: usize,
    samples: usize,
    exemplars: usize,
    limits: &'a IntakeLimits,
}

impl RecordingIter<'_> {
    fn read(&mut self, text: &[u8]) -> Result<RecordedSeries> {
        let line = self.line;
        let at = |error: Error| Error::new(error.kind(), format!("line {line}: {error}"));
        let samples = self.limits.samples.saturating_sub(self.samples);
        let exemplars = self.limits.exemplars.saturating_sub(self.exemplars);
        let series = SeriesReader::new(self.limits, samples, exemplars).read(text, line).map_err(at)?;
        self.series = self.series.saturating_add(1);
        IntakeLimits::check(self.series, self.limits.series, "series", "series").map_err(at)?;
        self.samples = self.samples.saturating_add(series.samples.len());
        self.exemplars = self.exemplars.saturating_add(series.exemplars.len());
        Ok(series)
    }
}

impl Iterator for RecordingIter<'_> {
    type Item = Result<RecordedSeries>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let rest = self.rest;
            let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            let (text, after) = rest.split_at_checked(length)?;
            self.rest = after.get(1..).unwrap_or_default();
            self.line = self.line.saturating_add(1);
            if !text.trim_ascii().is_empty() {
                let series = self.read(text);
                if series.as_ref().is_err_and(|error| error.kind() == ErrorKind::Limit) {
                    self.rest = &[];
                }
                return Some(series);
            }
        }
        None
    }
}

fn unzip(bytes: &[u8], limits: &IntakeLimits) -> Result<Vec<u8>> {
    // One byte more than allowed tells a stream that is too long from one that just fits.
    let most = limits.decoded_bytes.saturating_add(1);
    let mut decoder = flate2::read::MultiGzDecoder::new(bytes).take(u64::try_from(most).unwrap_or(u64::MAX));
    let (mut text, mut piece) = (Vec::new(), vec![0; PIECE]);
    loop {
        let read = match decoder.read(&mut piece) {
            Ok(0) => return Ok(text),
            Ok(read) => piece.get(..read).unwrap_or_default(),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let what = format!("the gzip stream is damaged: {error}");
                return Err(Error::new(ErrorKind::Corrupt, what).caused_by(error));
            }
        };
        if text.capacity().saturating_sub(text.len()) < read.len() {
            // From half of the limit on as much as may come, so that both texts together are less than two.
            let twice = text.capacity().saturating_mul(2).max(text.len().saturating_add(read.len()));
            let wanted = if twice > most / 2 { most } else { twice };
            text.reserve_exact(wanted.saturating_sub(text.len()));
        }
        text.extend_from_slice(read);
    }
}
