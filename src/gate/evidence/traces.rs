//! The traces behind a check that fails: what somebody looks at next.

use super::Span;
use crate::gate::reason::Trace;
use crate::gate::spec::{CheckKind, CheckSpec, Selector, Share};
use crate::model::{Exemplar, Window};
use crate::source::Source;

/// A reason names so many traces.
const MOST: usize = 5;
/// What stands for the trace's id in a link.
pub(crate) const TRACE_ID: &str = "{trace_id}";

/// Traces of the bad requests that a check counts, as far as the source has exemplars of them: the slowest first where the
/// check is about a quantile, else the newest first. A verdict stands without them: a source that fails has none.
pub(crate) fn traces(check: &CheckSpec, span: Span, source: &dyn Source, link: &str) -> Vec<Trace> {
    let bad = |share: &Share| match share.events_are_good {
        // No exemplar tells that its request was not among them.
        true => Vec::new(),
        false => share.events.iter().map(|(_, selector)| selector.clone()).collect(),
    };
    let (selectors, above): (Vec<Selector>, Option<f64>) = match &check.kind {
        CheckKind::Ratio { share, .. } | CheckKind::Comparison { canary: share, .. } => (bad(share), None),
        CheckKind::Quantile { buckets, limit, .. } => (vec![buckets.clone()], Some(*limit)),
        CheckKind::Count { events, .. } => (vec![events.clone()], None),
        CheckKind::Volume { .. } | CheckKind::Gauge { .. } | CheckKind::Value(_) => (Vec::new(), None),
    };
    let window = Window::new(span.origin, span.now);
    let mut found: Vec<Exemplar> = Vec::new();
    for selector in selectors {
        let series = source.exemplars(&selector.matchers, window).unwrap_or_default();
        let own = series.into_iter().flat_map(|series| series.exemplars);
        found.extend(own.filter(|exemplar| above.is_none_or(|limit| exemplar.value > limit)));
    }
    match above {
        Some(_) => found.sort_by(|a, b| b.value.total_cmp(&a.value)),
        None => found.sort_by_key(|exemplar| std::cmp::Reverse(exemplar.timestamp)),
    }
    let mut traces: Vec<Trace> = Vec::new();
    for exemplar in &found {
        let Some(id) = exemplar.trace_id().filter(|id| !id.is_empty()) else { continue };
        if traces.iter().all(|trace| trace.trace_id != id) {
            traces.push(Trace {
                trace_id: id.to_owned(),
                value: exemplar.value,
                at: exemplar.timestamp,
                link: link.replace(TRACE_ID, &escaped(id)),
            });
        }
        if traces.len() == MOST {
            break;
        }
    }
    traces
}

/// As a part of a URL's path: what is not unreserved there (RFC 3986) is percent-encoded.
fn escaped(id: &str) -> String {
    let mut out = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorKind, Result};
    use crate::gate::fixture::Fixture;
    use crate::gate::report::CheckReport;
    use crate::gate::run::Gate;
    use crate::gate::spec::{Check, GateSpec};
    use crate::model::{Matcher, SeriesExemplars, Timestamp};
    use crate::source::{SelectRequest, SeriesSet};

    /// A canary of which every third request fails, and every one that does takes two seconds.
    fn canary() -> Fixture {
        let every = || (0_i64..=300).step_by(10);
        let mut source = Fixture::default();
        for (name, more, each) in [
            ("requests_total", ("code", "200"), 2.0),
            ("requests_total", ("code", "500"), 1.0),
            ("seconds_bucket", ("le", "1"), 2.0),
            ("seconds_bucket", ("le", "+Inf"), 3.0),
        ] {
            let labels = [("__name__", name), ("pod", "a"), more];
            source = source.series(&labels, every().map(|second| (second, second as f64 * each)));
            for second in every() {
                let (id, slow) = (format!("t/{second}"), 2.0 + second as f64 / 1000.0);
                source = match more.1 {
                    "200" => source,
                    "1" => source.exemplar(&labels, ("quick", 0.1, second)),
                    _ => source.exemplar(&labels, (&id, slow, second)),
                };
            }
        }
        source
    }

    fn judged(check: Check, source: &dyn Source) -> CheckReport {
        let spec = GateSpec::builder("g").check(check).trace_link("https://traces/{trace_id}/x");
        let mut gate = Gate::new(spec.build().unwrap());
        gate.start(Timestamp::from_secs(0));
        while let Some(due) = gate.next_due().filter(|due| *due <= Timestamp::from_secs(300)) {
            gate.tick(due, source).unwrap();
        }
        gate.report().checks.remove(0)
    }

    fn named(report: &CheckReport) -> Vec<(&str, &str)> {
        let traces = report.reasons.iter().filter_map(|reason| match &reason.finding {
            crate::gate::reason::Finding::Exemplars { traces } => Some(traces),
            _ => None,
        });
        traces.flatten().map(|trace| (trace.trace_id.as_str(), trace.link.as_str())).collect()
    }

    fn errors() -> Check {
        Check::ratio("errors", r#"requests_total{code="500"}"#, "requests_total").below(0.25)
    }

    #[test]
    fn a_failing_check_names_the_newest_bad_requests_and_the_slowest_ones() {
        let source = canary();
        let report = judged(errors(), &source);
        let end = report.reasons.iter().find(|reason| reason.code() == "exemplars").unwrap();
        let named_here = named(&report);
        assert_eq!(named_here.len(), MOST);
        // The gate knew before the recording ended; what came later it has not seen.
        assert!(named_here.is_sorted_by(|a, b| number(a.0) > number(b.0)), "{named_here:?}");
        let (id, link) = named_here[0];
        assert_eq!(link, format!("https://traces/{}/x", id.replace('/', "%2F")));
        assert!(end.text.contains(link), "{}", end.text);

        let slow = judged(Check::quantile("p95", "seconds_bucket", 0.95).below(1.0), &source);
        assert!(named(&slow).is_sorted_by(|a, b| number(a.0) > number(b.0)), "{slow:?}");
        assert!(!named(&slow).is_empty() && named(&slow).iter().all(|(id, _)| *id != "quick"));

        let by_pod = judged(errors().by(["pod"]), &source);
        assert_eq!(named(&by_pod).len(), MOST);
    }

    fn number(id: &str) -> i64 {
        id.strip_prefix("t/").unwrap().parse().unwrap()
    }

    #[test]
    fn a_check_that_does_not_fail_or_counts_good_requests_names_none() {
        let source = canary();
        let passing = Check::ratio("errors", r#"requests_total{code="500"}"#, "requests_total").below(0.9);
        assert!(named(&judged(passing, &source)).is_empty());
        let good = Check::ratio("good", r#"requests_total{code="200"}"#, "requests_total").above(0.99);
        assert!(named(&judged(good, &source)).is_empty());
    }

    /// A source that has no exemplars to tell, or cannot.
    struct Silent(Fixture);

    impl Source for Silent {
        fn select(&self, request: &SelectRequest<'_>) -> Result<SeriesSet> {
            self.0.select(request)
        }

        fn exemplars(&self, _: &[Matcher], _: Window) -> Result<Vec<SeriesExemplars>> {
            Err(Error::new(ErrorKind::Io, "connection refused"))
        }
    }

    #[test]
    fn the_verdict_is_the_same_when_the_source_cannot_tell_exemplars() {
        let (with, without) = (judged(errors(), &canary()), judged(errors(), &Silent(canary())));
        assert!(named(&without).is_empty());
        assert_eq!((with.verdict, with.evidence), (without.verdict, without.evidence));
    }
}
