//! When and how often a metric is measured, and what is tolerated.

use super::metric::Read;
use super::{Note, Notes};
use crate::gate::argo::{AnalysisTemplate, IntOrText, parse_duration};
use crate::gate::shape::Kind;
use crate::gate::stats::sequential::{passing, trials_needed};

const SECOND: i64 = 1_000_000_000;
/// The confidence that `too-few-by-design` asks for.
const ALPHA: f64 = 0.05;

/// Nanoseconds, where the text is a duration.
fn nanos(text: &str) -> Option<i64> {
    if text.is_empty() { None } else { parse_duration(text).ok() }
}

fn seconds(nanos: i64) -> f64 {
    nanos as f64 / SECOND as f64
}

/// What concerns the whole template.
pub(super) fn template(template: &AnalysisTemplate, notes: &mut Notes) {
    for (index, dry_run) in template.spec.dry_run.iter().enumerate() {
        let field = format!("dryRun[{index}].metricName");
        let name = &dry_run.metric_name;
        if name == "*" || name == ".*" {
            let text = "every metric is in dry run: nothing decides";
            notes.add(Note::warning("dry-run-star", field, text));
        } else if !(name.starts_with('^') && name.ends_with('$')) {
            let hit: Vec<&str> = template
                .spec
                .metrics
                .iter()
                .map(|metric| metric.name.as_str())
                .filter(|metric| *metric != name && metric.contains(name.as_str()))
                .collect();
            if !hit.is_empty() {
                let text = format!(
                    "`{name}` is looked for anywhere in a name, and also found in {}",
                    hit.join(", ")
                );
                let note = Note::warning("dry-run-unanchored", field, text).naming(hit);
                notes.add(note.suggest(format!("write ^{name}$")));
            }
        }
    }
}

/// A check of traffic that begins after others.
pub(super) fn order(reads: &[Read], notes: &mut Notes) {
    let delay = |read: &Read| nanos(&read.metric().initial_delay).unwrap_or(0);
    for read in reads.iter().filter(|read| matches!(read.shape.derived.kind, Kind::Volume { .. })) {
        let earlier = reads.iter().filter(|other| {
            delay(other) < delay(read) && !matches!(other.shape.derived.kind, Kind::Volume { .. })
        });
        let names: Vec<&str> = earlier.map(|other| other.metric().name.as_str()).collect();
        if !names.is_empty() {
            notes.look_at(&read.resolved);
            let text =
                format!("traffic is looked at later than {}, which end the run before", names.join(", "));
            let note = Note::warning("order-hides-traffic", "initialDelay", text).naming(names);
            notes.add(note.suggest("give it the smallest initialDelay"));
        }
    }
    notes.metric = None;
    let required = reads.iter().find_map(|read| match read.shape.derived.kind {
        Kind::Volume { per_second, .. } if per_second > 0.0 => Some(per_second),
        _ => None,
    });
    if let Some(per_second) = required {
        for read in reads {
            too_few(read, per_second, notes);
        }
    }
}

/// Whether the traffic that is asked for cannot settle a threshold in the time that there is.
fn too_few(read: &Read, per_second: f64, notes: &mut Notes) {
    let threshold = match read.shape.derived.kind {
        Kind::Ratio { pass_below, .. } => pass_below,
        Kind::Quantile { phi, .. } => 1.0 - phi,
        _ => return,
    };
    let metric = read.metric();
    let Some(count) = metric.effective_count().filter(|count| *count > 0) else { return };
    if !(threshold > 0.0 && threshold < 1.0) {
        return;
    }
    let measured = i64::from(count).saturating_sub(1).saturating_mul(nanos(&metric.interval).unwrap_or(0));
    let span = seconds(measured.saturating_add(window(read).unwrap_or(0)));
    let Some(needed) = trials_needed(0.0, 0.0, threshold, passing(threshold, ALPHA)) else { return };
    let seen = per_second * span;
    if seen < needed {
        notes.look_at(&read.resolved);
        let text = format!(
            "at the {per_second} requests per second that the gate asks for it sees {seen:.0}; {needed} without a bad one \
             are needed to tell {:.1} % from less with 95 % confidence",
            threshold * 100.0
        );
        notes.add(Note::information("too-few-by-design", "count", text));
        notes.metric = None;
    }
}

/// Nanoseconds that the query looks back.
fn window(read: &Read) -> Option<i64> {
    read.shape.measured.subject.window_ms().and_then(|millis| millis.checked_mul(1_000_000))
}

pub(super) fn metric(read: &Read, notes: &mut Notes) {
    let metric = read.metric();
    let limits = [
        ("count", &metric.count),
        ("failureLimit", &metric.failure_limit),
        ("inconclusiveLimit", &metric.inconclusive_limit),
        ("consecutiveErrorLimit", &metric.consecutive_error_limit),
        ("consecutiveSuccessLimit", &metric.consecutive_success_limit),
    ];
    for (field, limit) in limits {
        if let Some(IntOrText::Text(text)) = limit
            && text.parse::<i64>().is_err()
        {
            let said = format!("`{text}` is no whole number and counts as 0");
            notes.add(Note::error("limit-not-a-number", field, said));
        }
    }
    let wide = |limit: &Option<IntOrText>| limit.as_ref().map_or(0, IntOrText::wide);
    let count = wide(&metric.count);
    if count < 0 {
        let text = format!("with a count of {count} the first measurement ends the metric, an Error too");
        notes.add(Note::error("negative-count", "count", text));
    }
    let (failures, inconclusives) = (wide(&metric.failure_limit), wide(&metric.inconclusive_limit));
    if count > 0 {
        for (field, limit) in [("failureLimit", failures), ("inconclusiveLimit", inconclusives)] {
            if limit >= count {
                let text = format!("with a count of {count} a limit of {limit} is never passed");
                notes.add(Note::warning("limit-unreachable", field, text));
            }
        }
        if failures.saturating_add(inconclusives) >= count && failures < count && inconclusives < count {
            let text = format!("all {count} measurements can miss without one success");
            notes.add(Note::warning("limits-swallow-count", "failureLimit", text));
        }
    }
    let one_condition = metric.success_condition.is_empty() || metric.failure_condition.is_empty();
    if inconclusives > 0 && one_condition {
        let text = "with one condition no measurement is inconclusive";
        notes.add(Note::information("limit-unreachable", "inconclusiveLimit", text));
    }
    let interval = nanos(&metric.interval);
    if interval.is_some_and(|interval| interval <= 0) {
        let text = format!("an interval of {} measures without a pause", metric.interval);
        notes.add(Note::error("negative-interval", "interval", text));
    }
    let Some(window) = window(read).filter(|window| *window > 0) else { return };
    if let Some(interval) = interval.filter(|interval| *interval > 0 && *interval < window)
        && metric.effective_count() != Some(1)
    {
        let share = 100.0 * (1.0 - seconds(interval) / seconds(window));
        let text = format!(
            "measurements share {share:.0} % of their data: several of them are one piece of evidence"
        );
        notes.add(Note::information("overlapping-windows", "interval", text));
    }
    let delay = nanos(&metric.initial_delay).unwrap_or(0);
    if delay < window {
        let text = format!(
            "the first measurement looks back {} s, {} s of them before the run",
            seconds(window),
            seconds(window.saturating_sub(delay.max(0)))
        );
        let note = Note::information("delay-shorter-than-window", "initialDelay", text);
        notes.add(note.suggest(format!("write initialDelay: {}s", seconds(window))));
    }
}
