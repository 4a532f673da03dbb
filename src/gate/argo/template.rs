//! AnalysisTemplates: what they hold, and how they are read from YAML and JSON.
//!
//! Fields that are not known are skipped, as the Kubernetes API server prunes them. Text fields take unquoted numbers
//! and truth values too, since files in the wild write them so; a server would refuse them.

use super::int_or_text::IntOrText;
#[cfg(feature = "serde")]
use super::manifest;

#[cfg(feature = "serde")]
mod read;

/// A template by its kind and name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AnalysisTemplate {
    /// Whether it belongs to a namespace.
    pub kind: TemplateKind,
    /// `metadata.name`; empty for a bare spec.
    pub name: String,
    /// `metadata.annotations`, in the order of the file.
    pub annotations: Vec<(String, String)>,
    /// What is to be measured.
    pub spec: TemplateSpec,
}

/// The kinds of template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TemplateKind {
    /// `AnalysisTemplate`.
    #[default]
    Namespaced,
    /// `ClusterAnalysisTemplate`.
    Cluster,
}

/// The spec of a template.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(rename_all = "camelCase", default))]
pub struct TemplateSpec {
    /// What is measured.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::or_default"))]
    pub metrics: Vec<Metric>,
    /// Arguments that may be used in metrics.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::or_default"))]
    pub args: Vec<Argument>,
    /// Metrics that decide nothing.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::or_default"))]
    pub dry_run: Vec<DryRun>,
    /// How many measurements are kept.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::or_default"))]
    pub measurement_retention: Vec<MeasurementRetention>,
    /// Other templates to include.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::or_default"))]
    pub templates: Vec<TemplateReference>,
}

/// One metric: a query, when to ask it, how to judge the answer, and how much is tolerated.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(rename_all = "camelCase", default))]
pub struct Metric {
    /// The name, unique in a run.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::text"))]
    pub name: String,
    /// Go duration between measurements; empty: measured once.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::text"))]
    pub interval: String,
    /// Go duration from the run's start to the first measurement; empty: none.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::text"))]
    pub initial_delay: String,
    /// How many measurements that are no Error are wanted.
    pub count: Option<IntOrText>,
    /// A measurement is good if this holds; empty: not given.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::text"))]
    pub success_condition: String,
    /// A measurement is bad if this holds; empty: not given.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::text"))]
    pub failure_condition: String,
    /// Failed measurements tolerated; default 0, -1: failures are not looked at.
    pub failure_limit: Option<IntOrText>,
    /// Inconclusive measurements tolerated; default 0.
    pub inconclusive_limit: Option<IntOrText>,
    /// Errors in a row tolerated; default 4.
    pub consecutive_error_limit: Option<IntOrText>,
    /// Successes in a row that end the metric well; default 0, which is off.
    pub consecutive_success_limit: Option<IntOrText>,
    /// Where the numbers come from.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::or_default"))]
    pub provider: Provider,
}

impl Metric {
    /// How many measurements end the metric; `None`: it runs until it is ended. A count of 0 is as good as none.
    pub fn effective_count(&self) -> Option<i32> {
        match self.count.as_ref().map_or(0, IntOrText::narrow) {
            0 if self.interval.is_empty() => Some(1),
            0 => None,
            count => Some(count),
        }
    }
}

/// The providers of a metric; a valid metric has exactly one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Provider {
    /// A Prometheus query.
    pub prometheus: Option<PrometheusProvider>,
    /// Names of the other providers that are given; none of them is supported.
    pub others: Vec<String>,
}

/// A Prometheus query. Address, headers, authentication and certificates are the business of whoever asks it.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(rename_all = "camelCase", default))]
pub struct PrometheusProvider {
    /// The server's URL.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::text"))]
    pub address: String,
    /// PromQL.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::text"))]
    pub query: String,
    /// Texts of the authentication settings by their path, `oauth2.tokenUrl`: kept for the placeholders in them.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "read::texts"))]
    pub authentication: Vec<(String, String)>,
    /// Seconds the query may take; default 30.
    pub timeout: Option<i64>,
    /// Whether the server's certificate is not looked at.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::or_default"))]
    pub insecure: bool,
    /// HTTP headers of the query.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::or_default"))]
    pub headers: Vec<Header>,
    /// Makes the query a range query.
    pub range_query: Option<RangeQuery>,
}

/// An HTTP header.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(default))]
pub struct Header {
    /// Its name.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::text"))]
    pub key: String,
    /// Its value.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::text"))]
    pub value: String,
}

/// The times of a range query.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(default))]
pub struct RangeQuery {
    /// An expression that answers a time, for example `now() - duration("1h")`.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::text"))]
    pub start: String,
    /// An expression that answers a time.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::text"))]
    pub end: String,
    /// Go duration from one sample to the next.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::text"))]
    pub step: String,
}

/// An argument: a name, and a value or where to find it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(rename_all = "camelCase", default))]
pub struct Argument {
    /// The name, used as `{{args.NAME}}`.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::text"))]
    pub name: String,
    /// The value; an empty one is one.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::optional_text"))]
    pub value: Option<String>,
    /// Where the value is to be found.
    pub value_from: Option<ValueFrom>,
}

impl Argument {
    /// An argument with a value.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: Some(value.into()), value_from: None }
    }
}

/// Where an argument's value is to be found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(rename_all = "camelCase", default))]
pub struct ValueFrom {
    /// In a secret.
    pub secret_key_ref: Option<SecretKeyReference>,
}

/// One entry of a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(default))]
pub struct SecretKeyReference {
    /// The secret's name.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::text"))]
    pub name: String,
    /// The entry's key.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::text"))]
    pub key: String,
}

/// Metrics that are measured and decide nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(rename_all = "camelCase", default))]
pub struct DryRun {
    /// An RE2 expression that is looked for anywhere in a metric's name.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::text"))]
    pub metric_name: String,
}

/// How many measurements of some metrics are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(rename_all = "camelCase", default))]
pub struct MeasurementRetention {
    /// An RE2 expression that is looked for anywhere in a metric's name.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::text"))]
    pub metric_name: String,
    /// The newest measurements to keep; 0 or less: as many as without a rule.
    pub limit: i32,
}

/// A template that another one includes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(rename_all = "camelCase", default))]
pub struct TemplateReference {
    /// Its name.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::text"))]
    pub template_name: String,
    /// Whether it is a ClusterAnalysisTemplate.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "manifest::or_default"))]
    pub cluster_scope: bool,
}
