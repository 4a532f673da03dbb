//! Recorded series as JSON lines, gzip-compressed or not.
//!
//! Two forms are read, line by line, one series each:
//!
//! ```text
//! {"metric":{"__name__":"up","job":"api"},"values":[1,null,"+Inf"],"timestamps":[1700000000000,…]}
//! {"labels":{"__name__":"up","job":"api"},"samples":[[1700000000000,"1"],[1700000010000,{"schema":0,…},1699999990000]]}
//! ```
//!
//! Times are milliseconds; a third element of a sample is its start time. A value is a number, a decimal text, `null`
//! for a staleness marker, `"0x7ff0000000000002"` for raw bits, or an object for a native histogram.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::io::Read;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::exposition::{parse_float, repeated};
use super::limits::IntakeLimits;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{CounterResetHint, Labels, NativeHistogram, SampleBuffer, Span, stale_marker};

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
        RecordingIter { rest: &self.text, line: 0, series: 0, samples: 0, limits: &self.limits }
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
    limits: &'a IntakeLimits,
}

impl RecordingIter<'_> {
    fn read(&mut self, text: &[u8]) -> Result<RecordedSeries> {
        let line = self.line;
        let at = |error: Error| Error::new(error.kind(), format!("line {line}: {error}"));
        let most = self.limits.samples.saturating_sub(self.samples);
        let left = Left {
            labels: Cell::new(self.limits.labels_per_series),
            samples: Cell::new(most),
            timestamps: Cell::new(most),
            exceeded: Cell::new(None),
        };
        let mut json = serde_json::Deserializer::from_slice(text);
        let parsed = (&left).deserialize(&mut json).and_then(|series| json.end().map(|()| series));
        let parsed = parsed.map_err(|error| {
            if let Some((what, limit)) = left.exceeded.get() {
                let allowed =
                    if limit == "samples" { self.limits.samples } else { self.limits.labels_per_series };
                return at(Error::new(
                    ErrorKind::Limit,
                    format!("the {what} exceed the limit {limit} of {allowed}"),
                ));
            }
            // serde_json counts lines inside the text that it sees, which is always one.
            let what = error.to_string().replace(" at line 1 column ", " at column ");
            at(Error::new(ErrorKind::Parse, what))
        })?;
        self.series = self.series.saturating_add(1);
        IntakeLimits::check(self.series, self.limits.series, "series", "series").map_err(at)?;
        let series = parsed.into_series(line).map_err(at)?;
        self.samples = self.samples.saturating_add(series.samples.len());
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

/// What may still come while a line is read: so much is held, whatever the line holds.
struct Left {
    labels: Cell<usize>,
    samples: Cell<usize>,
    /// The same for lists of timestamps, each of which belongs to a value that has been counted.
    timestamps: Cell<usize>,
    /// What came that may not, and the limit's name.
    exceeded: Cell<Option<(&'static str, &'static str)>>,
}

struct JsonSeries {
    metric: Labels,
    values: Vec<JsonValue>,
    timestamps: Vec<i64>,
    samples: Vec<JsonSample>,
}

impl<'de> DeserializeSeed<'de> for &Left {
    type Value = JsonSeries;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<JsonSeries, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &Left {
    type Value = JsonSeries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a series: an object of labels and samples")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<JsonSeries, A::Error> {
        let (mut metric, mut values, mut timestamps, mut samples) = (None, None, None, None);
        while let Some(Text(field)) = map.next_key()? {
            let twice = match &*field {
                "metric" | "labels" => metric.replace(map.next_value_seed(JsonLabels(self))?).is_some(),
                "values" => values.replace(map.next_value_seed(self.list(&self.samples))?).is_some(),
                "timestamps" => {
                    timestamps.replace(map.next_value_seed(self.list(&self.timestamps))?).is_some()
                }
                "samples" => samples.replace(map.next_value_seed(self.list(&self.samples))?).is_some(),
                _ => map.next_value::<de::IgnoredAny>().map(|_| false)?,
            };
            if twice {
                return Err(de::Error::custom(format_args!("duplicate field `{field}`")));
            }
        }
        Ok(JsonSeries {
            metric: metric.ok_or_else(|| de::Error::missing_field("metric"))?,
            values: values.unwrap_or_default(),
            timestamps: timestamps.unwrap_or_default(),
            samples: samples.unwrap_or_default(),
        })
    }
}

impl Left {
    fn list<'a, T>(&'a self, left: &'a Cell<usize>) -> Listed<'a, T> {
        Listed { left, all: self, of: PhantomData }
    }

    /// Counts one of what may come.
    fn take<E: de::Error>(
        &self,
        left: &Cell<usize>,
        what: &'static str,
        limit: &'static str,
    ) -> std::result::Result<(), E> {
        let Some(less) = left.get().checked_sub(1) else {
            self.exceeded.set(Some((what, limit)));
            return Err(de::Error::custom(limit));
        };
        left.set(less);
        Ok(())
    }
}

/// A list of no more than may still come.
struct Listed<'a, T> {
    left: &'a Cell<usize>,
    all: &'a Left,
    of: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Listed<'_, T> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Vec<T>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Listed<'_, T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> std::result::Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(part) = parts.next_element()? {
            self.all.take(self.left, "samples", "samples")?;
            list.push(part);
        }
        Ok(list)
    }
}

impl JsonSeries {
    fn into_series(self, line: usize) -> Result<RecordedSeries> {
        let Self { metric, values, timestamps, samples } = self;
        if values.len() != timestamps.len() {
            return Err(Error::new(
                ErrorKind::Parse,
                format!("{} values, but {} timestamps", values.len(), timestamps.len()),
            ));
        }
        let pairs =
            timestamps.into_iter().zip(values).map(|(time, value)| JsonSample { time, value, start: 0 });
        let mut buffer = SampleBuffer::default();
        let mut last = None;
        for JsonSample { time, value, start } in pairs.chain(samples) {
            if last.is_some_and(|last| last >= time) {
                return Err(Error::new(
                    ErrorKind::OutOfOrder,
                    format!(
                        "sample at {time} ms is not later than the one before it ({} ms)",
                        last.unwrap_or(time)
                    ),
                ));
            }
            last = Some(time);
            match value {
                JsonValue::Float(value) => buffer.push_float(time, value, start),
                JsonValue::Histogram(histogram) => {
                    buffer.histograms.push((time, Arc::new(*histogram), start))
                }
            }
        }
        Ok(RecordedSeries { labels: metric, samples: buffer, line })
    }
}

/// Reads the labels of a series.
struct JsonLabels<'a>(&'a Left);

impl<'de> DeserializeSeed<'de> for JsonLabels<'_> {
    type Value = Labels;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Labels, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for JsonLabels<'_> {
    type Value = Labels;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of label names and values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Labels, A::Error> {
        let mut pairs: Vec<(Cow<'de, str>, Cow<'de, str>)> = Vec::new();
        while let Some((Text(name), Text(value))) = map.next_entry()? {
            self.0.take(&self.0.labels, "labels", "labels_per_series")?;
            if name.is_empty() {
                return Err(de::Error::custom("a label without a name"));
            }
            pairs.push((name, value));
        }
        if let Some(name) = repeated(&pairs) {
            return Err(de::Error::custom(format_args!("label {name:?} comes twice")));
        }
        Ok(Labels::from_pairs(pairs.iter().map(|(name, value)| (&**name, &**value))))
    }
}

/// A text, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

struct JsonSample {
    time: i64,
    value: JsonValue,
    start: i64,
}

impl<'de> Deserialize<'de> for JsonSample {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct SampleVisitor;

        impl<'de> Visitor<'de> for SampleVisitor {
            type Value = JsonSample;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sample: [milliseconds, value] or [milliseconds, value, start in milliseconds]")
            }

            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut parts: A,
            ) -> std::result::Result<Self::Value, A::Error> {
                let time = parts.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &self))?;
                let value = parts.next_element()?.ok_or_else(|| de::Error::invalid_length(1, &self))?;
                let start = parts.next_element()?.unwrap_or(0);
                if parts.next_element::<de::IgnoredAny>()?.is_some() {
                    return Err(de::Error::invalid_length(4, &self));
                }
                Ok(JsonSample { time, value, start })
            }
        }

        deserializer.deserialize_seq(SampleVisitor)
    }
}

enum JsonValue {
    Float(f64),
    Histogram(Box<NativeHistogram>),
}

impl<'de> Deserialize<'de> for JsonValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct ValueVisitor;

        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = JsonValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a number as text, null, or a native histogram")
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> std::result::Result<Self::Value, E> {
                Ok(JsonValue::Float(value))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> std::result::Result<Self::Value, E> {
                Ok(JsonValue::Float(value as f64))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> std::result::Result<Self::Value, E> {
                Ok(JsonValue::Float(value as f64))
            }

            fn visit_unit<E: de::Error>(self) -> std::result::Result<Self::Value, E> {
                Ok(JsonValue::Float(stale_marker()))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<Self::Value, E> {
                let value = match text.strip_prefix("0x") {
                    Some(bits) if bits.len() == 16 => u64::from_str_radix(bits, 16).ok().map(f64::from_bits),
                    _ => parse_float(text),
                };
                value
                    .map(JsonValue::Float)
                    .ok_or_else(|| de::Error::invalid_value(de::Unexpected::Str(text), &self))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<Self::Value, A::Error> {
                let histogram = JsonHistogram::deserialize(de::value::MapAccessDeserializer::new(map))?;
                histogram
                    .into_model()
                    .map(|histogram| JsonValue::Histogram(Box::new(histogram)))
                    .map_err(de::Error::custom)
            }
        }

        deserializer.deserialize_any(ValueVisitor)
    }
}

/// A float where a histogram wants one.
#[derive(Clone, Copy, Default)]
struct JsonFloat(f64);

impl<'de> Deserialize<'de> for JsonFloat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        match JsonValue::deserialize(deserializer)? {
            JsonValue::Float(value) => Ok(Self(value)),
            JsonValue::Histogram(_) => Err(de::Error::custom("a histogram where a number is expected")),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum JsonHint {
    #[default]
    Unknown,
    Reset,
    NotReset,
    Gauge,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct JsonHistogram {
    schema: i32,
    count: JsonFloat,
    sum: JsonFloat,
    zero_threshold: JsonFloat,
    zero_count: JsonFloat,
    positive_spans: Vec<(i32, u32)>,
    positive_buckets: Vec<JsonFloat>,
    negative_spans: Vec<(i32, u32)>,
    negative_buckets: Vec<JsonFloat>,
    custom_values: Vec<JsonFloat>,
    hint: JsonHint,
}

impl JsonHistogram {
    fn into_model(self) -> std::result::Result<NativeHistogram, String> {
        let sides = [
            ("positive", &self.positive_spans, &self.positive_buckets),
            ("negative", &self.negative_spans, &self.negative_buckets),
        ];
        for (side, spans, buckets) in sides {
            let spanned: u64 = spans.iter().map(|(_, length)| u64::from(*length)).sum();
            if u64::try_from(buckets.len()) != Ok(spanned) {
                return Err(format!("{} {side} buckets, but spans for {spanned}", buckets.len()));
            }
        }
        let spans = |spans: Vec<(i32, u32)>| {
            spans.into_iter().map(|(offset, length)| Span { offset, length }).collect()
        };
        let floats = |floats: Vec<JsonFloat>| floats.into_iter().map(|JsonFloat(value)| value).collect();
        Ok(NativeHistogram {
            hint: match self.hint {
                JsonHint::Unknown => CounterResetHint::Unknown,
                JsonHint::Reset => CounterResetHint::Reset,
                JsonHint::NotReset => CounterResetHint::NotReset,
                JsonHint::Gauge => CounterResetHint::Gauge,
            },
            schema: self.schema,
            zero_threshold: self.zero_threshold.0,
            zero_count: self.zero_count.0,
            count: self.count.0,
            sum: self.sum.0,
            positive_spans: spans(self.positive_spans),
            positive_buckets: floats(self.positive_buckets),
            negative_spans: spans(self.negative_spans),
            negative_buckets: floats(self.negative_buckets),
            custom_values: floats(self.custom_values),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::is_stale;

    fn read(text: &str) -> Vec<Result<RecordedSeries>> {
        Recording::new(text.as_bytes(), &IntakeLimits::default()).unwrap().iter().collect()
    }

    fn only(text: &str) -> RecordedSeries {
        let mut all = read(text);
        assert_eq!(all.len(), 1);
        all.remove(0).unwrap()
    }

    fn error(text: &str) -> String {
        read(text).pop().unwrap().unwrap_err().to_string()
    }

    #[test]
    fn both_forms_hold_the_same_samples() {
        let export = only(
            r#"{"metric":{"__name__":"a","b":"c\n","e":""},"values":[1,null,"NaN","+Inf","-Inf",-0.0,1e3],"timestamps":[1,2,3,4,5,6,7]}"#,
        );
        let golden = only(
            r#"{"labels":{"__name__":"a","b":"c\n"},"samples":[[1,"1"],[2,"0x7ff0000000000002"],[3,"NaN"],[4,"+Inf"],[5,"-Inf"],[6,"-0"],[7,1000]]}"#,
        );
        assert_eq!(export.labels.to_string(), r#"{__name__="a", b="c\n"}"#);
        assert_eq!(export.labels, golden.labels);
        assert_eq!(export.samples.times, golden.samples.times);
        let bits =
            |series: &RecordedSeries| series.samples.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&export), bits(&golden));
        let stale: Vec<_> = export.samples.values.iter().map(|value| is_stale(*value)).collect();
        assert_eq!(stale, [false, true, false, false, false, false, false]);
    }

    #[test]
    fn histograms_and_start_times_are_read() {
        let series = only(
            r#"{"labels":{"__name__":"h"},"samples":[[1,"5",-3],[2,{"schema":1,"count":"4","sum":"3.5","zero_threshold":"0.001","zero_count":"1","positive_spans":[[-2,1],[1,1]],"positive_buckets":["1","2"],"hint":"not_reset"},7],[3,{"schema":-53,"custom_values":["1","2.5"],"negative_spans":[],"hint":"gauge"}]]}"#,
        );
        assert_eq!(series.samples.starts, [-3]);
        let [(2, first, 7), (3, second, 0)] = &*series.samples.histograms else { panic!("{series:?}") };
        assert_eq!(first.positive_spans, [Span { offset: -2, length: 1 }, Span { offset: 1, length: 1 }]);
        assert_eq!(
            (first.positive_buckets.as_slice(), first.hint),
            ([1.0, 2.0].as_slice(), CounterResetHint::NotReset)
        );
        assert_eq!((second.custom_values.as_slice(), second.schema), ([1.0, 2.5].as_slice(), -53));
    }

    #[test]
    fn a_bad_line_costs_itself_alone() {
        let good = r#"{"metric":{"__name__":"a"},"values":[1],"timestamps":[1]}"#;
        let all = read(&format!("{good}\n\nnonsense\n{good}\n{{\"metric\":{{\"__na"));
        let shown: Vec<_> =
            all.iter().map(|series| series.as_ref().map_or(0, |series| series.line)).collect();
        assert_eq!(shown, [1, 0, 4, 0]);
        assert_eq!(all[1].as_ref().unwrap_err().to_string(), "line 3: expected ident at column 2");
        assert!(all[3].as_ref().unwrap_err().to_string().starts_with("line 5: EOF while parsing"));
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let table = [
            (r#"{"metric":{},"values":[1],"timestamps":[]}"#, "line 1: 1 values, but 0 timestamps"),
            (
                r#"{"metric":{},"values":[1,2],"timestamps":[5,5]}"#,
                "line 1: sample at 5 ms is not later than the one before it (5 ms)",
            ),
            (
                r#"{"metric":{"a":"1","a":"2"},"values":[],"timestamps":[]}"#,
                "line 1: label \"a\" comes twice at column 27",
            ),
            (
                r#"{"labels":{},"samples":[[1,{"positive_buckets":["1"]}]]}"#,
                "line 1: 1 positive buckets, but spans for 0 at column 53",
            ),
            (
                r#"{"labels":{},"samples":[[1,"1_0"]]}"#,
                "line 1: invalid value: string \"1_0\", expected a number, a number as text, null, or a native histogram at column 32",
            ),
        ];
        for (text, expected) in table {
            assert_eq!(error(text), expected);
        }
        assert!(error(r#"{"values":[],"timestamps":[]}"#).contains("missing field `metric`"));
    }

    fn zipped(text: &[u8]) -> Vec<u8> {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_compressed_recording_is_read_and_a_bomb_is_not() {
        let line = b"{\"metric\":{\"__name__\":\"a\"},\"values\":[1],\"timestamps\":[1]}\n";
        let bytes = zipped(line);
        let recording = Recording::new(&bytes, &IntakeLimits::default()).unwrap();
        assert_eq!(recording.iter().count(), 1);

        let limits = IntakeLimits { decoded_bytes: 1000, ..IntakeLimits::default() };
        let error = Recording::new(&zipped(&[b' '; 1_000_000]), &limits).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert_eq!(error.to_string(), "1001 bytes exceed the limit decoded_bytes of 1000");
        assert!(Recording::new(&zipped(&[b' '; 1000]), &limits).is_ok());

        let cut = bytes.split_at(bytes.len() - 9).0;
        assert_eq!(Recording::new(cut, &IntakeLimits::default()).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn limits_name_themselves_and_end_the_reading() {
        let line = "{\"metric\":{\"__name__\":\"a\"},\"values\":[1,2],\"timestamps\":[1,2]}\n".repeat(3);
        let limits = IntakeLimits { series: 2, ..IntakeLimits::default() };
        let all: Vec<_> = Recording::new(line.as_bytes(), &limits).unwrap().iter().collect();
        assert_eq!(all.len(), 3);
        let error = all[2].as_ref().unwrap_err();
        assert_eq!(error.to_string(), "line 3: 3 series exceed the limit series of 2");
        let limits = IntakeLimits { samples: 3, ..IntakeLimits::default() };
        let all: Vec<_> = Recording::new(line.as_bytes(), &limits).unwrap().iter().collect();
        assert_eq!(all.len(), 2);
        assert_eq!(
            all[1].as_ref().unwrap_err().to_string(),
            "line 2: the samples exceed the limit samples of 3"
        );
    }
}
