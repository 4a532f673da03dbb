//! What the form of a query tells.

use super::metric::{QUERY, Read};
use super::{Note, Notes};
use crate::gate::shape::{Events, Grouping, Kind, Numbers, Subject};
use crate::gate::spec::Selector;
use crate::model::{MatchOp, Matcher};
use crate::promql::ast::{Binary, BinaryOp, Expr};
use crate::promql::signature::Function;

/// A share that is compared with this or more was meant in per cent.
const LEAST_PERCENT: f64 = 2.0;
/// A percentage that is compared with less was meant as a share.
const MOST_SHARE: f64 = 0.2;

pub(super) fn lint(read: &Read, notes: &mut Notes) {
    if let Some(filter) = read.shape.measured.filter {
        let text = format!(
            "the query drops every answer that is not {} {}, so that no data and a breach look alike",
            filter.op.as_str(),
            filter.bound
        );
        let note = Note::warning("filter-hides-breach", QUERY, text);
        notes.add(note.suggest("compare in the condition: result[0] < …"));
    }
    if is_joined_by_series(&read.shape.expr) {
        let note = Note::warning(
            "unaggregated-join",
            QUERY,
            "two sides are divided series by series; where their labels differ there is no answer, and where one \
             side holds the other each series meets itself",
        );
        notes.add(note.suggest("sum both sides"));
    }
    match &read.shape.measured.subject {
        Subject::Ratio { numerator, denominator } => ratio(read, numerator, denominator, notes),
        Subject::Lesser { ratio: lesser, .. } => {
            if let Subject::Ratio { numerator, denominator } = &**lesser {
                ratio(read, numerator, denominator, notes);
            }
        }
        Subject::Mean { .. } => {
            let text = "a mean hides slow requests behind many quick ones";
            let note = Note::information("mean-hides-tail", QUERY, text);
            notes.add(
                note.suggest(
                    "ask for a quantile: histogram_quantile(0.95, sum by (le) (rate(…_bucket[2m])))",
                ),
            );
            unit(read, notes);
        }
        Subject::Quantile { .. } => unit(read, notes),
        Subject::NoBounds => {
            let text = "the buckets are summed without le, so that no quantile can be computed";
            notes.add(Note::error("no-le", QUERY, text).suggest("write sum by (le) (…)"));
        }
        Subject::Gauge { selector, averaged: true, .. }
            if selector.matchers.iter().any(|matcher| matcher.name() == "quantile") =>
        {
            let text = "an average of quantiles is the quantile of nothing";
            notes.add(
                Note::warning("averaged-quantile", QUERY, text).suggest("take the worst of them: max(…)"),
            );
        }
        Subject::Split { .. } => {
            let text =
                "how much of the traffic each side gets is what the rollout decides, not how well it does";
            notes.add(Note::warning("depends-on-traffic-split", QUERY, text));
        }
        _ => {}
    }
    whose(read, notes);
}

/// Whether two vectors are divided of which neither is aggregated.
fn is_joined_by_series(expr: &Expr) -> bool {
    match expr {
        Expr::Paren(paren) => is_joined_by_series(&paren.expr),
        Expr::Unary(unary) => is_joined_by_series(&unary.expr),
        Expr::Binary(node) => {
            is_series_division(node) || is_joined_by_series(&node.lhs) || is_joined_by_series(&node.rhs)
        }
        Expr::Aggregate(node) => is_joined_by_series(&node.expr),
        Expr::Call(call) => call.args.iter().any(is_joined_by_series),
        _ => false,
    }
}

fn is_series_division(node: &Binary) -> bool {
    let by_series = |expr: &Expr| {
        matches!(expr.unwrap_parens(), Expr::Call(call)
            if matches!(call.function, Function::Rate | Function::Irate | Function::Increase))
    };
    node.op == BinaryOp::Div && by_series(&node.lhs) && by_series(&node.rhs)
}

fn labels(selector: &Selector) -> Vec<&Matcher> {
    selector.matchers.iter().filter(|matcher| matcher.name() != "__name__").collect()
}

fn ratio(read: &Read, numerator: &Events, denominator: &Events, notes: &mut Notes) {
    if let (Some(first), Some(second)) = (numerator.window_ms, denominator.window_ms)
        && first != second
    {
        let text =
            format!("the numerator looks back {} s, the denominator {} s", first / 1000, second / 1000);
        notes.add(Note::warning("windows-differ", QUERY, text).suggest("use one window"));
    }
    percent(read, notes);
    let (Some(events), Some(trials)) = (numerator.single(), denominator.single()) else { return };
    let (of_events, of_trials) = (labels(events), labels(trials));
    let extra: Vec<&Matcher> =
        of_events.iter().filter(|matcher| !of_trials.contains(matcher)).copied().collect();
    let dropped: Vec<&Matcher> =
        of_trials.iter().filter(|matcher| !of_events.contains(matcher)).copied().collect();
    let same_metric = events.metric() == trials.metric();
    if !extra.is_empty() && !dropped.is_empty() {
        let text = format!(
            "neither side holds the other: only the numerator asks for {}, only the denominator for {}",
            listed(&extra),
            listed(&dropped)
        );
        let names = extra.iter().chain(&dropped).map(|matcher| matcher.name());
        notes.add(Note::warning("label-mismatch", QUERY, text).naming(names));
    }
    let Kind::Ratio { events_are_good, .. } = read.shape.derived.kind else { return };
    if events_are_good {
        if let Some(matcher) = extra.iter().find(|matcher| is_success_code(matcher)) {
            let text =
                format!("whatever is not {matcher} counts as bad, redirects and mistakes of clients too");
            let note = Note::warning("good-is-narrow", QUERY, text).naming([matcher.name()]);
            notes.add(note.suggest(format!("count what is not bad: {}!~\"5..\"", matcher.name())));
        }
    } else if same_metric && dropped.is_empty() && !extra.is_empty() && !read.shape.measured.guarded {
        let text =
            format!("without a single series with {} there is no answer, however good", listed(&extra));
        let note = Note::warning("missing-numerator", QUERY, text);
        notes.add(note.suggest("write (… or vector(0)) around the numerator, and around it alone"));
    }
}

fn listed(matchers: &[&Matcher]) -> String {
    matchers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Whether it takes the 2xx codes of HTTP alone.
pub(super) fn is_success_code(matcher: &Matcher) -> bool {
    let positive = matches!(matcher.op(), MatchOp::Equal | MatchOp::Matches);
    positive
        && ["200", "204", "2xx", "201"].iter().any(|code| matcher.matches(code))
        && ["302", "304", "404", "3xx", "4xx"].iter().all(|code| !matcher.matches(code))
        && ["code", "status", "class"].iter().any(|part| matcher.name().contains(part))
}

fn percent(read: &Read, notes: &mut Notes) {
    let compared = match read.shape.reading.numbers {
        Numbers::Below { pass, .. } | Numbers::Above { pass, .. } => pass,
        _ => return,
    };
    let scale = read.shape.measured.scale.abs();
    let text = if scale == 1.0 && compared >= LEAST_PERCENT {
        format!("the query answers a share between 0 and 1, which is compared with {compared}")
    } else if scale == 100.0 && (compared < MOST_SHARE || (is_above(read) && compared <= 1.0)) {
        format!("the query answers per cent, which are compared with {compared}")
    } else {
        return;
    };
    notes.add(Note::warning("percent-or-ratio", QUERY, text).suggest("use one unit on both sides"));
}

fn is_above(read: &Read) -> bool {
    matches!(read.shape.reading.numbers, Numbers::Above { .. })
}

/// A threshold of a duration that looks like that of another unit.
fn unit(read: &Read, notes: &mut Notes) {
    let (selector, limit) = match &read.shape.derived.kind {
        Kind::Quantile { buckets, limit, .. } => (buckets, *limit),
        Kind::Mean { sum, limit, .. } => (sum, *limit),
        _ => return,
    };
    let Some(name) = selector.metric() else { return };
    let has = |part: &str| name.split('_').any(|word| word == part);
    let text = if (has("milliseconds") || has("ms")) && limit < 1.0 {
        format!("{name} is in milliseconds, and the threshold is {limit} of them")
    } else if has("seconds") && limit >= 60.0 {
        format!("{name} is in seconds, and the threshold is {limit} of them")
    } else {
        return;
    };
    notes
        .add(Note::warning("unit-mismatch", QUERY, text).suggest("state the threshold in the metric's unit"));
}

/// Parts of names of labels and arguments that tell one version from another.
const VERSIONS: [&str; 9] =
    ["hash", "version", "revision", "canary", "track", "subset", "stable", "rollout", "image"];
/// Labels that name single replicas.
const REPLICAS: [&str; 3] = ["pod", "instance", "container_id"];

/// Whether a label tells versions apart.
pub(super) fn tells_versions(label: &str) -> bool {
    VERSIONS.iter().any(|part| label.contains(part))
}

fn tells_replicas(label: &str) -> bool {
    REPLICAS.iter().any(|part| label == *part || label.ends_with(&format!("_{part}")))
        || label.ends_with("pod_name")
}

/// Whether the query tells the canary from what runs beside it.
fn whose(read: &Read, notes: &mut Notes) {
    let selectors = read.shape.measured.subject.selectors();
    let specific = |selector: &&Selector| {
        labels(selector).iter().any(|matcher| {
            let value = String::from_utf8_lossy(matcher.value());
            tells_versions(matcher.name()) || tells_replicas(matcher.name()) || tells_versions(&value)
        })
    };
    let by_version = match read.shape.measured.subject.grouping() {
        Some(Grouping::By(labels)) => {
            labels.iter().any(|label| tells_versions(label) || tells_replicas(label))
        }
        Some(Grouping::Without(_)) => true,
        _ => false,
    };
    let asked = read
        .resolved
        .written
        .split("{{")
        .skip(1)
        .any(|rest| rest.split_once("}}").is_some_and(|(tag, _)| tells_versions(tag)));
    if selectors.is_empty() || by_version || asked || selectors.iter().all(specific) {
        return;
    }
    let text = "no matcher tells the canary from what runs beside it: the whole service is judged";
    let note = Note::warning("not-canary-specific", QUERY, text);
    notes.add(note.suggest("add a matcher on the label that holds the version or the pod template's hash"));
}
