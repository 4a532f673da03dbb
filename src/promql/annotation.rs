//! What an evaluation noticed, in Prometheus's words.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::model::calendar::rfc3339;
use crate::model::number::{format_2g, format_g};

use super::func::classic_histogram::Repair;
use super::func::native_histogram::NanNote;
use super::text_range::{TextRange, line_and_column};
use super::value::Annotations;

/// How serious a note is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Warning,
    Info,
}

/// A part of a note that grows when the note comes again.
#[derive(Clone, Copy, Debug)]
enum Detail {
    None,
    Occurrences(u64),
    Monotonicity { repair: Repair, samples: u64, first_ms: i64, last_ms: i64 },
}

/// What was done to histograms when something about them was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HistogramOperation {
    Addition,
    Subtraction,
    Aggregation,
}

impl HistogramOperation {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    detail: Detail,
    range: TextRange,
}

/// Notes of one evaluation: each text once, at the place where it came up last.
#[derive(Debug, Default)]
pub(crate) struct Notebook {
    entries: RefCell<BTreeMap<(Level, String), Entry>>,
}

/// ` for metric name "…"`, or nothing without a name.
fn for_metric(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" for metric name {}", quoted(name)) }
}

impl Notebook {
    fn add(&self, level: Level, text: String, range: TextRange, detail: Detail) {
        let mut entries = self.entries.borrow_mut();
        let entry = entries.entry((level, text)).or_insert(Entry { detail: Detail::None, range });
        entry.range = range;
        entry.detail = match (entry.detail, detail) {
            (Detail::Occurrences(a), Detail::Occurrences(b)) => Detail::Occurrences(a.saturating_add(b)),
            (
                Detail::Monotonicity { repair: a, samples, first_ms, last_ms },
                Detail::Monotonicity { repair: b, samples: more, first_ms: first, last_ms: last },
            ) => Detail::Monotonicity {
                repair: a.union(b),
                samples: samples.wrapping_add(more),
                first_ms: first_ms.min(first),
                last_ms: last_ms.max(last),
            },
            (_, detail) => detail,
        };
    }

    /// Adds what was noted elsewhere, after everything that is noted here.
    pub(crate) fn absorb(&self, other: Self) {
        for ((level, text), Entry { detail, range }) in other.entries.into_inner() {
            self.add(level, text, range, detail);
        }
    }

    fn warn(&self, text: impl Into<String>, range: TextRange) {
        self.add(Level::Warning, text.into(), range, Detail::None);
    }

    fn info(&self, text: impl Into<String>, range: TextRange) {
        self.add(Level::Info, text.into(), range, Detail::None);
    }

    /// The notes as texts with positions in `query`.
    pub(crate) fn render(&self, query: &str) -> Annotations {
        let mut annotations = Annotations::default();
        for ((level, text), entry) in self.entries.borrow().iter() {
            let mut rendered = match level {
                Level::Warning => format!("PromQL warning: {text}"),
                Level::Info => format!("PromQL info: {text}"),
            };
            match entry.detail {
                Detail::Occurrences(count) if count > 1 => {
                    rendered.push_str(&format!(" ({count} occurrences)"));
                }
                Detail::None | Detail::Occurrences(_) => {}
                Detail::Monotonicity { repair, samples, first_ms, last_ms } => {
                    rendered.push_str(&format!(
                        ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
                        format_g(repair.lowest),
                        format_g(repair.highest),
                        format_2g(repair.max_difference),
                        samples.cast_signed(),
                        rfc3339(first_ms),
                        rfc3339(last_ms),
                    ));
                }
            }
            let (line, column) = line_and_column(query, entry.range.start);
            rendered.push_str(&format!(" ({line}:{column})"));
            match level {
                Level::Warning => annotations.warnings.push(rendered),
                Level::Info => annotations.infos.push(rendered),
            }
        }
        annotations.warnings.sort_unstable();
        annotations.infos.sort_unstable();
        annotations
    }

    pub(crate) fn bad_ratio(&self, ratio: f64, capped: f64, range: TextRange) {
        let (ratio, capped) = (format_g(ratio), format_g(capped));
        self.warn(format!("ratio value should be between -1 and 1, got {ratio}, capping to {capped}"), range);
    }

    pub(crate) fn bad_quantile(&self, q: f64, range: TextRange) {
        self.warn(format!("quantile value should be between 0 and 1, got {}", format_g(q)), range);
    }

    pub(crate) fn bad_bucket(&self, bound: &str, name: &str, range: TextRange) {
        let text = format!(
            "bucket label \"le\" is missing or has a malformed value of {}{}",
            quoted(bound),
            for_metric(name)
        );
        self.warn(text, range);
    }

    pub(crate) fn mixed_samples(&self, name: &str, range: TextRange) {
        let name = quoted(name);
        self.warn(format!("encountered a mix of histograms and floats for metric name {name}"), range);
    }

    pub(crate) fn mixed_aggregation(&self, range: TextRange) {
        self.warn("encountered a mix of histograms and floats for aggregation", range);
    }

    pub(crate) fn mixed_histograms(&self, name: &str, range: TextRange) {
        let name = for_metric(name);
        self.warn(format!("vector contains a mix of classic and native histograms{name}"), range);
    }

    pub(crate) fn sort_in_range_query(&self, range: TextRange) {
        self.warn("sort is ineffective for range queries since results are always ordered by labels", range);
    }

    pub(crate) fn start_overlap(&self, name: &str, count: u64, range: TextRange) {
        let text = format!(
            "sample has start time that overlaps with previous sample timestamp for metric {}",
            quoted(name)
        );
        self.add(Level::Warning, text, range, Detail::Occurrences(count));
    }

    pub(crate) fn counter_name(&self, name: &str, range: TextRange) {
        let text = format!(
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
            quoted(name)
        );
        self.info(text, range);
    }

    pub(crate) fn counter_type(&self, name: &str, kind: &str, range: TextRange) {
        let text = format!(
            "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {}: {}",
            quoted(kind),
            quoted(name)
        );
        self.info(text, range);
    }

    /// `samples` histograms were repaired between two times in milliseconds.
    pub(crate) fn forced_monotonicity(
        &self,
        name: &str,
        repair: Repair,
        samples: u64,
        (first_ms, last_ms): (i64, i64),
        range: TextRange,
    ) {
        let text = format!(
            "input to histogram_quantile needed to be fixed for monotonicity \
             (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){}",
            for_metric(name)
        );
        self.add(Level::Info, text, range, Detail::Monotonicity { repair, samples, first_ms, last_ms });
    }

    pub(crate) fn not_a_counter(&self, name: &str, range: TextRange) {
        self.warn(format!("this native histogram metric is not a counter: {}", quoted(name)), range);
    }

    pub(crate) fn not_a_gauge(&self, name: &str, range: TextRange) {
        self.warn(format!("this native histogram metric is not a gauge: {}", quoted(name)), range);
    }

    pub(crate) fn mixed_schemas(&self, name: &str, range: TextRange) {
        let text = format!(
            "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {}",
            quoted(name)
        );
        self.warn(text, range);
    }

    pub(crate) fn incompatible_layout(&self, op: &str, range: TextRange) {
        self.warn(format!("incompatible bucket layout encountered for binary operator {op}"), range);
    }

    pub(crate) fn reset_collision(&self, operation: HistogramOperation, range: TextRange) {
        let operation = operation.as_str();
        self.warn(format!("conflicting counter resets during histogram {operation}"), range);
    }

    pub(crate) fn reconciled_buckets(&self, operation: HistogramOperation, range: TextRange) {
        let operation = operation.as_str();
        self.info(format!("mismatched custom buckets were reconciled during {operation}"), range);
    }

    /// What observations of NaN do to the answer of a function of native histograms.
    pub(crate) fn nan_observations(&self, note: NanNote, name: &str, range: TextRange) {
        let (function, effect) = match note {
            NanNote::QuantileIsNan => ("histogram_quantile", "result is NaN"),
            NanNote::QuantileIsSkewed => ("histogram_quantile", "result is skewed higher"),
            NanNote::Excluded => ("histogram_fraction", "which are excluded from all fractions"),
        };
        let name = for_metric(name);
        self.info(format!("input to {function} has NaN observations, {effect}{name}"), range);
    }

    pub(crate) fn incompatible_operands(&self, left: &str, op: &str, right: &str, range: TextRange) {
        let text = format!(
            "incompatible sample types encountered for binary operator \"{op}\": {left} {op} {right}"
        );
        self.info(text, range);
    }

    pub(crate) fn ignored_histogram_in_aggregation(&self, op: &str, range: TextRange) {
        self.info(format!("ignored histogram in {op} aggregation"), range);
    }

    pub(crate) fn ignored_histograms_in_range(&self, name: &str, range: TextRange) {
        let text = format!(
            "ignored histograms in a range containing both floats and histograms for metric name {}",
            quoted(name)
        );
        self.info(text, range);
    }
}

/// Text in quotes as Go's `%q` writes it.
fn quoted(text: &str) -> String {
    crate::model::number::quote(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_is_kept_once_at_its_last_place() {
        let notes = Notebook::default();
        notes.counter_name("m", TextRange::new(5, 6));
        notes.counter_name("m", TextRange::new(9, 10));
        let annotations = notes.render("rate(m[1m]) + rate(m[1m])");
        assert_eq!(
            annotations.infos,
            [
                "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"m\" (1:10)"
            ]
        );
    }

    #[test]
    fn details_add_up_without_making_new_notes() {
        let notes = Notebook::default();
        notes.start_overlap("m", 1, TextRange::new(0, 1));
        notes.start_overlap("m", 2, TextRange::new(0, 1));
        let [warning] = notes.render("m").warnings.try_into().unwrap();
        assert!(warning.ends_with("for metric \"m\" (3 occurrences) (1:1)"), "{warning}");
    }
}
