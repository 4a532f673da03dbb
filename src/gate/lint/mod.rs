//! What is weak in a gate, read from its template: whether it can pass on no data, whether it can fail at all, whether it
//! asks what its author meant. With data it is also read against what is there.

mod arguments;
mod data;
mod elements;
mod metric;
#[cfg(feature = "argo")]
mod places;
mod query;
mod repair;
mod schedule;
mod silence;

#[cfg(test)]
mod tests;

use std::fmt;

use super::argo::{AnalysisTemplate, Argument};
use crate::error::Result;
use crate::model::Timestamp;
use crate::source::Source;
use arguments::Resolved;
use metric::Read;

/// How much a [`Lint`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum LintSeverity {
    /// Good to know.
    Information,
    /// The gate may decide what its author did not mean.
    Warning,
    /// The gate decides wrongly, or not at all.
    Error,
}

impl LintSeverity {
    /// `information`, `warning` or `error`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Information => "information",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One weakness of a gate.
///
/// | code | found |
/// |---|---|
/// | `can-pass-on-nothing` | no data, or data without any traffic, is taken as good |
/// | `cannot-fail`, `cannot-pass` | every number gets the same phase |
/// | `query-error` | the query does not parse |
/// | `type-error` | the conditions judge no answer of the query |
/// | `index-without-length` | no data is an Error, since an element is read that is not there |
/// | `no-success-condition` | whatever is not bad is good |
/// | `many-elements` | the query can answer several elements, and not all are looked at |
/// | `unaggregated-join` | two sides are divided series by series |
/// | `filter-hides-breach` | a comparison inside the query drops what it should show |
/// | `missing-numerator` | without a single bad request there is no answer |
/// | `windows-differ`, `label-mismatch` | numerator and denominator do not count the same requests |
/// | `percent-or-ratio`, `unit-mismatch` | the threshold looks like that of another unit |
/// | `good-is-narrow` | what is neither good nor bad counts as bad |
/// | `no-le` | a quantile of buckets that were summed without `le` |
/// | `mean-hides-tail`, `averaged-quantile` | the number says little about slow requests |
/// | `depends-on-traffic-split` | the share of the traffic is judged, not the canary |
/// | `not-canary-specific` | the query does not tell the canary from the rest |
/// | `empty-argument`, `unknown-argument`, `unused-argument`, `dropped-argument` | arguments |
/// | `limit-not-a-number`, `limit-unreachable`, `limits-swallow-count`, `negative-count`, `negative-interval` | limits and counts |
/// | `overlapping-windows`, `delay-shorter-than-window`, `order-hides-traffic`, `too-few-by-design` | times |
/// | `dry-run-star`, `dry-run-unanchored` | which metrics decide nothing |
/// | `yaml-comment-cut` | a condition that ends in the middle |
///
/// With data also the codes of [`Finding`](super::Finding)s about selectors, and `join-empty`, `scrape-too-slow`,
/// `threshold-unreachable`, `bucket-too-coarse`, `counts-scrapes`, `counts-inner-spans`.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Lint {
    /// What was found, in `kebab-case`; stable.
    pub code: &'static str,
    /// How much it matters.
    pub severity: LintSeverity,
    /// The metric; none where it is about the whole template.
    pub metric: Option<String>,
    /// Where it stands in the template: `spec.metrics[0].successCondition`.
    pub path: String,
    /// Line and column in the YAML, from 1, where that is known.
    pub place: Option<(u64, u64)>,
    /// The weakness as one sentence, lower case, no full stop.
    pub text: String,
    /// What to write instead, where there is something to say.
    pub suggestion: Option<String>,
    /// The labels, values and numbers that it speaks of.
    pub names: Vec<String>,
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.severity.as_str(), self.code)?;
        if let Some(metric) = &self.metric {
            write!(f, " in {metric}")?;
        }
        write!(f, ": {}", self.text)?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; {suggestion}")?;
        }
        Ok(())
    }
}

impl AnalysisTemplate {
    /// Tells what is weak in this template, as Argo would run it with these arguments: they go over the template's own;
    /// those without a value are left open. Findings come in the order of the metrics.
    ///
    /// ```
    /// use promgate::argo::AnalysisTemplate;
    ///
    /// let template = AnalysisTemplate::from_json(
    ///     r#"{"metrics": [{"name": "errors", "interval": "10s", "successCondition": "len(result) == 0 || result[0] < 0.05",
    ///         "provider": {"prometheus": {"query": "sum(rate(errors{pod=\"a\"}[2m])) / sum(rate(requests{pod=\"a\"}[2m]))"}}}]}"#,
    /// )?;
    /// let codes: Vec<&str> = template.lint(&[]).iter().map(|lint| lint.code).collect();
    /// assert!(codes.contains(&"can-pass-on-nothing"));
    /// # Ok::<(), promgate::Error>(())
    /// ```
    pub fn lint(&self, args: &[Argument]) -> Vec<Lint> {
        let mut notes = Notes::default();
        self.read(args, &mut notes);
        notes.into_lints()
    }

    /// As [`lint`](Self::lint), and what the data of `source` up to `now` show besides.
    ///
    /// # Errors
    ///
    /// What the source fails with.
    pub fn lint_with(&self, args: &[Argument], source: &dyn Source, now: Timestamp) -> Result<Vec<Lint>> {
        let mut notes = Notes::default();
        for read in self.read(args, &mut notes) {
            notes.look_at(&read.resolved);
            data::lint(&read, source, now, &mut notes)?;
        }
        Ok(notes.into_lints())
    }

    /// Notes what the template tells by itself.
    fn read(&self, args: &[Argument], notes: &mut Notes) -> Vec<Read> {
        let mut reads = Vec::new();
        for resolved in arguments::resolved(self, args, notes) {
            notes.look_at(&resolved);
            reads.extend(Read::of(resolved, notes));
        }
        for read in &reads {
            notes.look_at(&read.resolved);
            metric::lint(read, notes);
        }
        notes.metric = None;
        schedule::template(self, notes);
        schedule::order(&reads, notes);
        reads
    }

    /// Reads a YAML file as [`from_yaml`](Self::from_yaml) does and lints every template in it; findings know their lines.
    ///
    /// # Errors
    ///
    /// As [`from_yaml`](Self::from_yaml).
    #[cfg(feature = "argo")]
    pub fn lint_yaml(text: &str, args: &[Argument]) -> Result<Vec<Lint>> {
        Self::lint_file(text, |template| Ok(template.lint(args)))
    }

    /// As [`lint_yaml`](Self::lint_yaml), and what the data of `source` up to `now` show besides.
    ///
    /// # Errors
    ///
    /// As [`from_yaml`](Self::from_yaml), and what the source fails with.
    #[cfg(feature = "argo")]
    pub fn lint_yaml_with(
        text: &str,
        args: &[Argument],
        source: &dyn Source,
        now: Timestamp,
    ) -> Result<Vec<Lint>> {
        Self::lint_file(text, |template| template.lint_with(args, source, now))
    }

    #[cfg(feature = "argo")]
    fn lint_file(text: &str, lint: impl Fn(&Self) -> Result<Vec<Lint>>) -> Result<Vec<Lint>> {
        let templates = Self::from_yaml(text)?;
        let places = places::places(text);
        let mut lints = Vec::new();
        for (index, template) in templates.iter().enumerate() {
            for found in lint(template)? {
                let place = places.get(index).and_then(|places| places.find(&found.path));
                lints.push(Lint { place, ..found });
            }
        }
        Ok(lints)
    }
}

/// Findings as they are made.
#[derive(Debug, Default)]
struct Notes {
    lints: Vec<Lint>,
    /// Which metric is looked at, by index and name.
    metric: Option<(usize, String)>,
}

impl Notes {
    /// What is noted from now on is about this metric.
    fn look_at(&mut self, resolved: &Resolved) {
        self.metric = Some((resolved.index, resolved.metric.name.clone()));
    }

    /// Notes a weakness, once.
    fn add(&mut self, note: Note) {
        let mut path = match &self.metric {
            Some((index, _)) => format!("spec.metrics[{index}]"),
            None => "spec".to_owned(),
        };
        if !note.field.is_empty() {
            path.push('.');
            path.push_str(&note.field);
        }
        let lint = Lint {
            code: note.code,
            severity: note.severity,
            metric: self.metric.as_ref().map(|(_, name)| name.clone()),
            path,
            place: None,
            text: note.text,
            suggestion: note.suggestion,
            names: note.names,
        };
        if !self.lints.contains(&lint) {
            self.lints.push(lint);
        }
    }

    fn into_lints(self) -> Vec<Lint> {
        let mut lints = self.lints;
        lints.sort_by_key(|lint| {
            let index = lint.path.strip_prefix("spec.metrics[").and_then(|rest| rest.split_once(']'));
            (index.and_then(|(index, _)| index.parse::<usize>().ok()), std::cmp::Reverse(lint.severity))
        });
        lints
    }
}

/// A weakness, before it is known whose.
struct Note {
    code: &'static str,
    severity: LintSeverity,
    /// The field of the metric or of the template's spec; empty for the whole.
    field: String,
    text: String,
    suggestion: Option<String>,
    names: Vec<String>,
}

impl Note {
    fn new(
        severity: LintSeverity,
        code: &'static str,
        field: impl Into<String>,
        text: impl Into<String>,
    ) -> Self {
        Self { code, severity, field: field.into(), text: text.into(), suggestion: None, names: Vec::new() }
    }

    fn error(code: &'static str, field: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(LintSeverity::Error, code, field, text)
    }

    fn warning(code: &'static str, field: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(LintSeverity::Warning, code, field, text)
    }

    fn information(code: &'static str, field: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(LintSeverity::Information, code, field, text)
    }

    fn suggest(self, suggestion: impl Into<String>) -> Self {
        Self { suggestion: Some(suggestion.into()), ..self }
    }

    fn naming(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { names: names.into_iter().map(Into::into).collect(), ..self }
    }
}
