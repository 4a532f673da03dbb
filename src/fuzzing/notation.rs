//! The notation of Prometheus's test scripts, which the conformance runner reads.

use crate::error::Result;
use crate::model::quoted::unquote;
use crate::model::{Labels, SampleValue};
use crate::promql::series_description::{Room, parse_values, split_metric};

/// A metric at the start of a line, and what follows it.
///
/// # Errors
///
/// [`ErrorKind::Parse`](crate::ErrorKind::Parse) for a line that begins with no metric.
pub fn series_metric(line: &str) -> Result<(Labels, &str)> {
    split_metric(line)
}

/// A sequence of values, `None` where there is none.
///
/// # Errors
///
/// [`ErrorKind::Parse`](crate::ErrorKind::Parse) for a text that is no sequence, and
/// [`ErrorKind::Limit`](crate::ErrorKind::Limit) for one of more than 5 million samples.
pub fn series_values(text: &str) -> Result<Vec<Option<SampleValue>>> {
    parse_values(text, usize::MAX, &mut Room::new())
}

/// What a string in quotes stands for.
///
/// # Errors
///
/// Why it is none.
pub fn string_value(literal: &str) -> Result<String, String> {
    let bytes = unquote(literal)?;
    String::from_utf8(bytes).map_err(|error| error.to_string())
}
