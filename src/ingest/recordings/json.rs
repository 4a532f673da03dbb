//! The JSON of one series.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::RecordedSeries;
use crate::error::{Error, ErrorKind, Result};
use crate::ingest::exposition::parse_float;
use crate::ingest::limits::IntakeLimits;
use crate::model::label::repeated_name;
use crate::model::{
    CounterResetHint, Exemplar, Labels, NativeHistogram, SampleBuffer, SeriesExemplars, Span, Timestamp,
    stale_marker,
};

/// How much of something may still come.
struct Allowance {
    what: &'static str,
    limit: &'static str,
    allowed: usize,
    left: Cell<usize>,
    exceeded: Cell<bool>,
}

impl Allowance {
    fn new(what: &'static str, limit: &'static str, allowed: usize, left: usize) -> Self {
        Self { what, limit, allowed, left: Cell::new(left), exceeded: Cell::new(false) }
    }

    /// Counts one.
    fn take<E: de::Error>(&self) -> std::result::Result<(), E> {
        let Some(less) = self.left.get().checked_sub(1) else {
            self.exceeded.set(true);
            return Err(de::Error::custom(self.limit));
        };
        self.left.set(less);
        Ok(())
    }

    fn error(&self) -> Option<Error> {
        let Self { what, limit, allowed, .. } = self;
        let text = || format!("the {what} exceed the limit {limit} of {allowed}");
        self.exceeded.get().then(|| Error::new(ErrorKind::Limit, text()))
    }
}

/// Reads a series, counting while it does: no more is held than may come, whatever the line has.
pub(super) struct SeriesReader {
    labels: Allowance,
    samples: Allowance,
    /// The same for lists of timestamps, each of which belongs to a value that has been counted.
    timestamps: Allowance,
    exemplars: Allowance,
}

impl SeriesReader {
    /// So many samples and exemplars may still come.
    pub(super) fn new(limits: &IntakeLimits, samples: usize, exemplars: usize) -> Self {
        let of_samples = || Allowance::new("samples", "samples", limits.samples, samples);
        let labels = limits.labels_per_series;
        Self {
            labels: Allowance::new("labels", "labels_per_series", labels, labels),
            samples: of_samples(),
            timestamps: of_samples(),
            exemplars: Allowance::new("exemplars", "exemplars", limits.exemplars, exemplars),
        }
    }

    /// The series of a line.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Parse`], [`ErrorKind::OutOfOrder`] and [`ErrorKind::Limit`].
    pub(super) fn read(&self, text: &[u8], line: usize) -> Result<RecordedSeries> {
        let mut json = serde_json::Deserializer::from_slice(text);
        let parsed = self.deserialize(&mut json).and_then(|series| json.end().map(|()| series));
        let parsed = parsed.map_err(|error| {
            let allowances = [&self.labels, &self.samples, &self.timestamps, &self.exemplars];
            allowances.into_iter().find_map(Allowance::error).unwrap_or_else(|| {
                // serde_json counts lines inside the text that it sees, which is always one.
                Error::new(ErrorKind::Parse, error.to_string().replace(" at line 1 column ", " at column "))
            })
        })?;
        parsed.into_series(line)
    }
}

pub(super) struct JsonSeries {
    metric: Labels,
    values: Vec<JsonValue>,
    timestamps: Vec<i64>,
    samples: Vec<JsonSample>,
    exemplars: Vec<JsonExemplar>,
}

impl<'de> DeserializeSeed<'de> for &SeriesReader {
    type Value = JsonSeries;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<JsonSeries, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &SeriesReader {
    type Value = JsonSeries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a series: an object of labels, and of samples or exemplars")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<JsonSeries, A::Error> {
        let (mut metric, mut values, mut timestamps, mut samples, mut exemplars) =
            (None, None, None, None, None);
        while let Some(Text(field)) = map.next_key()? {
            let twice = match &*field {
                "metric" | "labels" | "seriesLabels" => {
                    metric.replace(map.next_value_seed(JsonLabels(&self.labels))?).is_some()
                }
                "values" => values.replace(map.next_value_seed(Listed::new(&self.samples))?).is_some(),
                "timestamps" => {
                    timestamps.replace(map.next_value_seed(Listed::new(&self.timestamps))?).is_some()
                }
                "samples" => samples.replace(map.next_value_seed(Listed::new(&self.samples))?).is_some(),
                "exemplars" => {
                    exemplars.replace(map.next_value_seed(Listed::new(&self.exemplars))?).is_some()
                }
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
            exemplars: exemplars.unwrap_or_default(),
        })
    }
}

/// A list of no more than may still come.
struct Listed<'a, T> {
    allowance: &'a Allowance,
    of: PhantomData<T>,
}

impl<'a, T> Listed<'a, T> {
    fn new(allowance: &'a Allowance) -> Self {
        Self { allowance, of: PhantomData }
    }
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
            self.allowance.take()?;
            list.push(part);
        }
        Ok(list)
    }
}

impl JsonSeries {
    fn into_series(self, line: usize) -> Result<RecordedSeries> {
        let Self { metric, values, timestamps, samples, exemplars } = self;
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
        let exemplars = exemplars.into_iter().map(|JsonExemplar(exemplar)| exemplar).collect();
        let SeriesExemplars { labels, exemplars, .. } = SeriesExemplars::new(metric, exemplars);
        Ok(RecordedSeries { labels, samples: buffer, exemplars, line })
    }
}

/// Reads the labels of a series.
struct JsonLabels<'a>(&'a Allowance);

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
            self.0.take()?;
            if name.is_empty() {
                return Err(de::Error::custom("a label without a name"));
            }
            pairs.push((name, value));
        }
        if let Some(name) = repeated_name(&pairs) {
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

/// An exemplar in the form of Prometheus's HTTP API.
struct JsonExemplar(Exemplar);

impl<'de> Deserialize<'de> for JsonExemplar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Fields {
            labels: BTreeMap<String, String>,
            value: JsonFloat,
            timestamp: JsonFloat,
        }

        let Fields { labels, value: JsonFloat(value), timestamp: JsonFloat(seconds) } =
            Fields::deserialize(deserializer)?;
        let millis = (seconds * 1000.0).round();
        // Exactly representable, as all times are that a calendar has.
        if !(-9.0e15..9.0e15).contains(&millis) {
            return Err(de::Error::custom(format_args!("the timestamp {seconds:?} is no time in seconds")));
        }
        let labels = Labels::from_pairs(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        Ok(Self(Exemplar { labels, value, timestamp: Timestamp::from_millis(millis as i64) }))
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
