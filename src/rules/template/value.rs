//! The values that templates compute with, and how Go prints them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::model::calendar::{format_go_duration, format_time};
use crate::model::number::format_g;
use crate::model::{Labels, NativeHistogram, SampleValue};

/// One element of what a query in a template answers.
#[derive(Debug)]
pub(super) struct TemplateSample {
    pub(super) labels: Labels,
    pub(super) value: SampleValue,
}

/// What a template is about: the dot that it begins with.
#[derive(Debug)]
pub(super) struct Data {
    pub(super) labels: Labels,
    pub(super) external_labels: Labels,
    pub(super) external_url: Arc<str>,
    pub(super) value: SampleValue,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Nothing, as a missing element of `args` is.
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Arc<str>),
    Labels(Labels),
    /// What `args` makes.
    Arguments(Arc<BTreeMap<String, Value>>),
    Vector(Arc<[Arc<TemplateSample>]>),
    Sample(Arc<TemplateSample>),
    Histogram(Arc<NativeHistogram>),
    /// Milliseconds since the epoch.
    Time(i64),
    /// Nanoseconds.
    Duration(i64),
    Data(Arc<Data>),
}

impl Value {
    pub(super) fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn of_sample(value: &SampleValue) -> Self {
        match value {
            SampleValue::Float(value) => Self::Float(*value),
            SampleValue::Histogram(histogram) => Self::Histogram(histogram.clone()),
        }
    }

    /// Go's name of the type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::Labels(_) => "map[string]string",
            Self::Arguments(_) => "map[string]interface {}",
            Self::Vector(_) => "template.queryResult",
            Self::Sample(_) => "*template.sample",
            Self::Histogram(_) => "*histogram.FloatHistogram",
            Self::Time(_) => "*time.Time",
            Self::Duration(_) => "*time.Duration",
            Self::Data(_) => "struct",
        }
    }

    /// Whether Go's `if` takes it for true.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::Labels(labels) => !labels.is_empty(),
            Self::Arguments(arguments) => !arguments.is_empty(),
            Self::Vector(samples) => !samples.is_empty(),
            Self::Sample(_) | Self::Histogram(_) | Self::Time(_) | Self::Duration(_) | Self::Data(_) => true,
        }
    }

    /// The field or element of this name.
    pub(super) fn field(&self, name: &str) -> Result<Self, String> {
        let found = match (self, name) {
            (Self::Data(data), "Labels") => Self::Labels(data.labels.clone()),
            (Self::Data(data), "ExternalLabels") => Self::Labels(data.external_labels.clone()),
            (Self::Data(data), "ExternalURL") => Self::Text(data.external_url.clone()),
            (Self::Data(data), "Value") => Self::of_sample(&data.value),
            (Self::Sample(sample), "Labels") => Self::Labels(sample.labels.clone()),
            (Self::Sample(sample), "Value") => Self::of_sample(&sample.value),
            (Self::Labels(labels), name) => {
                labels.label(name).map_or_else(|| Self::text(""), |label| Self::Text(label.value.clone()))
            }
            (Self::Arguments(arguments), name) => arguments.get(name).cloned().unwrap_or(Self::Nil),
            (Self::Histogram(histogram), "Count") => Self::Float(histogram.count),
            (Self::Histogram(histogram), "Sum") => Self::Float(histogram.sum),
            (Self::Histogram(histogram), "ZeroCount") => Self::Float(histogram.zero_count),
            (Self::Histogram(histogram), "ZeroThreshold") => Self::Float(histogram.zero_threshold),
            (Self::Histogram(histogram), "Schema") => Self::Int(i64::from(histogram.schema)),
            (Self::Time(_) | Self::Duration(_) | Self::Histogram(_), name) => {
                return Err(format!(
                    "method or field {name} of {} is not supported in templates",
                    self.type_name()
                ));
            }
            (other, name) => {
                return Err(format!("can't evaluate field {name} in type {}", other.type_name()));
            }
        };
        Ok(found)
    }

    /// The value as an action prints it.
    pub(super) fn print(&self) -> Result<String, String> {
        Ok(match self {
            Self::Nil => "<no value>".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => format_g(*value),
            Self::Text(text) => (**text).to_owned(),
            Self::Labels(labels) => {
                let mut out = "map[".to_owned();
                for (index, label) in labels.iter().enumerate() {
                    let blank = if index > 0 { " " } else { "" };
                    let _written = write!(out, "{blank}{}:{}", label.name, label.value);
                }
                out.push(']');
                out
            }
            Self::Arguments(arguments) => {
                let mut out = "map[".to_owned();
                for (index, (name, value)) in arguments.iter().enumerate() {
                    let blank = if index > 0 { " " } else { "" };
                    if matches!(value, Self::Sample(_)) {
                        return Err("a sample in args cannot be printed; take its parts".to_owned());
                    }
                    let value = value.print_in_function()?;
                    let _written = write!(out, "{blank}{name}:{value}");
                }
                out.push(']');
                out
            }
            Self::Sample(sample) => {
                let labels = Self::Labels(sample.labels.clone()).print()?;
                format!("{{{labels} {}}}", Self::of_sample(&sample.value).print()?)
            }
            Self::Histogram(histogram) => histogram.to_string(),
            Self::Time(millis) => format_time(i128::from(*millis) * 1_000_000),
            Self::Duration(nanos) => format_go_duration(*nanos),
            Self::Data(data) => {
                let labels = |labels: &Labels| Self::Labels(labels.clone()).print();
                let value = Self::of_sample(&data.value).print()?;
                let external = labels(&data.external_labels)?;
                format!("{{{} {external} {} {value}}}", labels(&data.labels)?, data.external_url)
            }
            Self::Vector(_) => {
                return Err(format!(
                    "a value of type {} cannot be printed; take its parts",
                    self.type_name()
                ));
            }
        })
    }

    /// The same as functions print it, which go through no pointer.
    pub(super) fn print_in_function(&self) -> Result<String, String> {
        match self {
            Self::Nil => Ok("<nil>".to_owned()),
            Self::Sample(_) => Ok(format!("&{}", self.print()?)),
            _ => self.print(),
        }
    }

    /// Whether two values of one basic kind are equal.
    pub(super) fn equals(&self, other: &Self) -> Result<bool, String> {
        match (self, other) {
            (Self::Nil, Self::Nil) => Ok(true),
            (Self::Nil, _) | (_, Self::Nil) => Ok(false),
            (Self::Bool(a), Self::Bool(b)) => Ok(a == b),
            (a, b) => Ok(a.order(b)? == Some(Ordering::Equal)),
        }
    }

    /// The order of two values of one basic kind, `None` where NaN has none. Go compares no `int` with a `float64`.
    pub(super) fn order(&self, other: &Self) -> Result<Option<Ordering>, String> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Ok(Some(a.cmp(b))),
            (Self::Float(a), Self::Float(b)) => Ok(a.partial_cmp(b)),
            (Self::Text(a), Self::Text(b)) => Ok(Some(a.cmp(b))),
            (Self::Bool(_), Self::Bool(_)) => Err("invalid type for comparison".to_owned()),
            (Self::Int(_), Self::Float(_)) | (Self::Float(_), Self::Int(_)) => {
                Err("incompatible types for comparison: an int and a float64; write the number as 1.0"
                    .to_owned())
            }
            (a, b) => {
                Err(format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name()))
            }
        }
    }
}
