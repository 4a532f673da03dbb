//! Prometheus's text exposition format 0.0.4, OpenMetrics 1.0, and the text that `promtool tsdb dump` prints.
//!
//! What is accepted is what Prometheus 3.15 accepts (`model/textparse`), two points apart: labels without a comma
//! between them are an error, and so is a NUL at the start of a line, where Prometheus silently stops reading.

mod form;
mod grammar;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod law;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use hashbrown::HashSet;

use super::limits::IntakeLimits;
use crate::error::{Error, ErrorKind, Result};
use crate::model::label::{METRIC_NAME, repeated_name};
use crate::model::{Label, Labels, Timestamp, number};

use grammar::{Line, LineKind, Problem, RawSample};

pub(crate) use form::parse_float;

/// So many texts are worth remembering, however few series are allowed.
const MIN_SYMBOLS: usize = 1_000;

/// Which text format a body has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpositionFormat {
    /// OpenMetrics if the last line is `# EOF`, else the text format.
    #[default]
    Detect,
    /// Prometheus's text format 0.0.4, timestamps in milliseconds.
    Text,
    /// OpenMetrics 1.0, timestamps in seconds.
    OpenMetrics,
    /// What `promtool tsdb dump` prints: `{__name__="up", job="x"} 1 1795404652396`.
    Dump,
}

/// How a body is read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExpositionOptions {
    /// The format. Default: [`ExpositionFormat::Detect`].
    pub format: ExpositionFormat,
    /// Whether `le` of histograms and `quantile` of summaries, told by their TYPE lines, take OpenMetrics' spelling
    /// (`2` becomes `2.0`), as Prometheus 3 stores what it scrapes. Default: on. Dumps have no TYPE lines, and show
    /// what was stored: nothing in them is rewritten either way.
    pub canonical_bounds: bool,
    /// What the body may hold.
    pub limits: IntakeLimits,
}

impl Default for ExpositionOptions {
    fn default() -> Self {
        Self { format: ExpositionFormat::default(), canonical_bounds: true, limits: IntakeLimits::default() }
    }
}

impl ExpositionOptions {
    /// The same options for this format.
    #[must_use]
    pub fn format(mut self, format: ExpositionFormat) -> Self {
        self.format = format;
        self
    }

    /// The same options, bounds rewritten or left as they come.
    #[must_use]
    pub fn canonical_bounds(mut self, on: bool) -> Self {
        self.canonical_bounds = on;
        self
    }

    /// The same options with other limits.
    #[must_use]
    pub fn limits(mut self, limits: IntakeLimits) -> Self {
        self.limits = limits;
        self
    }
}

/// What a metric is, as its TYPE line says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetricType {
    /// Not said, or said to be unknown (`untyped` in the text format).
    #[default]
    Unknown,
    /// A count that only rises.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// A classic histogram.
    Histogram,
    /// A histogram whose counts may fall (OpenMetrics).
    GaugeHistogram,
    /// Quantiles computed by the process itself.
    Summary,
    /// Facts as labels, value 1 (OpenMetrics).
    Info,
    /// A set of booleans (OpenMetrics).
    StateSet,
}

/// One line of a body.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ExpositionEntry {
    /// A sample.
    Sample(ExpositionSample),
    /// What a metric means.
    Help {
        /// The metric family's name.
        name: Arc<str>,
        /// The explanation.
        text: String,
    },
    /// What a metric is.
    Type {
        /// The metric family's name.
        name: Arc<str>,
        /// Its type, which holds for the lines that follow.
        metric_type: MetricType,
    },
    /// What a metric is measured in (OpenMetrics).
    Unit {
        /// The metric family's name, which ends in the unit.
        name: Arc<str>,
        /// The unit; may be "".
        unit: String,
    },
}

/// A sample as it was written.
#[derive(Clone, Debug)]
pub struct ExpositionSample {
    /// The labels, the metric name included.
    pub labels: Labels,
    /// The value. Any NaN is the one ordinary NaN; no text format has a staleness marker.
    pub value: f64,
    /// The time, if the line has one.
    pub timestamp: Option<Timestamp>,
    /// The trace behind the sample, if the line names one (OpenMetrics).
    pub exemplar: Option<ExpositionExemplar>,
    /// The line, counted from 1.
    pub line: usize,
}

/// An [exemplar](crate::Exemplar) as it was written.
#[derive(Clone, Debug)]
pub struct ExpositionExemplar {
    /// The exemplar's labels, often `trace_id`.
    pub labels: Labels,
    /// The observed value.
    pub value: f64,
    /// When it was observed, if that is said.
    pub timestamp: Option<Timestamp>,
}

/// Reads a body entry by entry.
///
/// An error says line and column, and ends the iteration; what came before it stands.
///
/// ```
/// use promgate::{Exposition, ExpositionEntry, ExpositionOptions};
///
/// let body = b"# TYPE up gauge\nup{job=\"api\"} 1 1700000000000\n";
/// let entries: Result<Vec<_>, _> = Exposition::new(body, &ExpositionOptions::default())?.collect();
/// let ExpositionEntry::Sample(sample) = &entries?[1] else { panic!("the second line is a sample") };
/// assert_eq!(sample.labels.to_string(), r#"{__name__="up", job="api"}"#);
/// assert_eq!(sample.value, 1.0);
/// # Ok::<(), promgate::Error>(())
/// ```
#[derive(Debug)]
pub struct Exposition<'a> {
    body: &'a [u8],
    rest: &'a [u8],
    line: usize,
    format: ExpositionFormat,
    canonical_bounds: bool,
    limits: IntakeLimits,
    metric_type: MetricType,
    samples: usize,
    finished: bool,
    symbols: HashSet<Arc<str>>,
}

impl<'a> Exposition<'a> {
    /// Starts to read a body.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`] when the body is larger than `decoded_bytes`.
    pub fn new(body: &'a [u8], options: &ExpositionOptions) -> Result<Self> {
        IntakeLimits::check(body.len(), options.limits.decoded_bytes, "decoded_bytes", "bytes")?;
        let format = match options.format {
            ExpositionFormat::Detect if grammar::ends_in_eof(body) => ExpositionFormat::OpenMetrics,
            ExpositionFormat::Detect => ExpositionFormat::Text,
            format => format,
        };
        Ok(Self {
            body,
            rest: body,
            line: 1,
            format,
            canonical_bounds: options.canonical_bounds,
            limits: options.limits.clone(),
            metric_type: MetricType::Unknown,
            samples: 0,
            finished: false,
            symbols: HashSet::new(),
        })
    }

    /// The format that is read, detected if it was not given.
    pub fn format(&self) -> ExpositionFormat {
        self.format
    }

    fn advance(&mut self) -> Result<Option<ExpositionEntry>> {
        loop {
            if self.rest.is_empty() {
                if self.format == ExpositionFormat::OpenMetrics {
                    return Err(
                        self.error(self.rest, "the body does not end in # EOF; it may have been cut off")
                    );
                }
                return Ok(None);
            }
            let start = self.rest;
            let line = self.line;
            let (rest, parsed) = match grammar::line(start, self.format) {
                Ok(parsed) => parsed,
                Err(Problem { rest, what }) => {
                    // What is wrong with a line that is too long is that.
                    let newline = start.iter().position(|byte| *byte == b'\n').unwrap_or(start.len());
                    self.check_line(newline.max(start.len().saturating_sub(rest.len())))?;
                    return Err(self.error(rest, &what));
                }
            };
            let Line { kind, newlines } = parsed;
            self.check_line(start.len().saturating_sub(rest.len()))?;
            let entry = match kind {
                LineKind::Nothing => None,
                LineKind::Eof if rest.is_empty() => {
                    self.rest = rest;
                    return Ok(None);
                }
                LineKind::Eof => return Err(self.error(rest, "there is text after # EOF")),
                LineKind::Help { name, text } => {
                    Some(ExpositionEntry::Help { name: self.symbol(&name), text: text.into_owned() })
                }
                LineKind::Type { name, metric_type } => {
                    self.metric_type = metric_type;
                    Some(ExpositionEntry::Type { name: self.symbol(&name), metric_type })
                }
                LineKind::Unit { name, unit } => {
                    Some(ExpositionEntry::Unit { name: self.symbol(&name), unit: unit.into_owned() })
                }
                LineKind::Sample(sample) => Some(ExpositionEntry::Sample(self.sample(sample, start, line)?)),
            };
            self.rest = rest;
            self.line = self.line.saturating_add(newlines);
            if entry.is_some() {
                return Ok(entry);
            }
        }
    }

    fn sample(&mut self, raw: RawSample<'a>, start: &'a [u8], line: usize) -> Result<ExpositionSample> {
        let samples = self.samples.saturating_add(1);
        IntakeLimits::check(samples, self.limits.samples, "samples", "samples")
            .map_err(|error| self.limit(&error))?;
        let labels = self.labels(&raw.labels, start)?;
        if raw.value.is_none() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("line {line}: a dumped native histogram cannot be read; export it another way"),
            ));
        }
        let exemplar = match raw.exemplar {
            Some(raw) => Some(ExpositionExemplar {
                labels: self.labels(&raw.labels, start)?,
                value: raw.value,
                timestamp: raw.timestamp,
            }),
            None => None,
        };
        self.samples = samples;
        Ok(ExpositionSample {
            labels,
            value: raw.value.unwrap_or(f64::NAN),
            timestamp: raw.timestamp,
            exemplar,
            line,
        })
    }

    fn labels(&mut self, pairs: &[(Cow<'a, str>, Cow<'a, str>)], start: &'a [u8]) -> Result<Labels> {
        IntakeLimits::check(pairs.len(), self.limits.labels_per_series, "labels_per_series", "labels")
            .map_err(|error| self.limit(&error))?;
        if let Some(name) = repeated_name(pairs) {
            let what = if name == METRIC_NAME {
                "a second metric name".to_owned()
            } else {
                format!("label {name} comes twice")
            };
            return Err(self.error(start, &what));
        }
        let mut labels = Vec::with_capacity(pairs.len());
        for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
            let name = self.symbol(name);
            let value = match self.canonical_bound(&name, value) {
                Some(bound) => self.symbol(&bound),
                None => self.symbol(value),
            };
            labels.push(Label { name, value });
        }
        labels.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(Labels::from_sorted(labels))
    }

    fn canonical_bound(&self, name: &str, value: &str) -> Option<String> {
        let bound = matches!(
            (self.metric_type, name),
            (MetricType::Histogram, "le") | (MetricType::Summary, "quantile")
        );
        if !bound || !self.canonical_bounds || self.format == ExpositionFormat::Dump {
            return None;
        }
        parse_float(value).map(open_metrics_float)
    }

    /// One allocation for each text of a body, however often it occurs.
    fn check_line(&self, bytes: usize) -> Result<()> {
        IntakeLimits::check(bytes, self.limits.line_bytes, "line_bytes", "bytes")
            .map_err(|error| self.limit(&error))
    }

    /// A text that is likely to come again. Those that do not are forgotten together: a body may hold any number.
    fn symbol(&mut self, text: &str) -> Arc<str> {
        if self.symbols.len() >= self.limits.series.max(MIN_SYMBOLS) {
            self.symbols.clear();
        }
        self.symbols.get_or_insert_with(text, |text| Arc::from(text)).clone()
    }

    /// An error that points to where `rest` begins.
    fn error(&self, rest: &[u8], what: &str) -> Error {
        let at = self.body.len().saturating_sub(rest.len());
        let before = self.body.get(..at).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count().saturating_add(1);
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count().saturating_add(1);
        Error::new(ErrorKind::Parse, format!("line {line}, column {column}: {what}")).at(at, at)
    }

    fn limit(&self, error: &Error) -> Error {
        Error::new(error.kind(), format!("line {}: {error}", self.line))
    }
}

impl Iterator for Exposition<'_> {
    type Item = Result<ExpositionEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let next = self.advance();
        self.finished = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

/// A float as OpenMetrics spells it in `le` and `quantile`: shortest, with `.0` where it would look like an integer.
pub(crate) fn open_metrics_float(value: f64) -> String {
    // Adding zero makes a zero positive: Go's special case for zero asks for equality.
    let mut text = number::format_g(value + 0.0);
    if value.is_finite() && !text.contains(['.', 'e']) {
        text.push_str(".0");
    }
    text
}
