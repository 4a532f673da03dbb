//! A check that is valid: what it counts or asks, and against what it holds that.

use super::{BurnRate, Selector};
use crate::gate::argo::{Phase, Profile, QueryValue, judge};
use crate::model::{Matcher, Timestamp};
use crate::promql::Query;

/// A sample of a gauge that is younger than this after another one is no evidence of its own.
pub(super) const THINNED_MS: i64 = 60_000;
/// So many samples of a side, at least, are compared.
pub(crate) const LEAST_SAMPLES: usize = 20;
/// About so many, at most.
const MOST_SAMPLES: i64 = 200;

/// A check that is valid.
#[derive(Clone, Debug)]
pub(crate) struct CheckSpec {
    pub(crate) name: String,
    pub(crate) dry_run: bool,
    pub(crate) kind: CheckKind,
    /// What is judged for itself; all of it has to be good.
    pub(crate) by: Grouping,
}

/// Which elements there are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Grouping {
    /// One.
    Whole,
    /// One for each combination of these labels.
    By(Vec<String>),
    /// One for each combination of all labels but these.
    Without(Vec<String>),
    /// One for each series.
    Series,
}

/// What a check counts or asks and against what it holds that.
#[derive(Clone, Debug)]
pub(crate) enum CheckKind {
    /// Events among trials; fewer than `threshold` of them may be bad, and more than `fail_threshold` must not: in all, or in windows.
    Ratio { share: Share, threshold: f64, fail_threshold: f64, burn_rate: Option<BurnRate> },
    /// Observations of a classic or native histogram; fewer than `1 - phi` of them may exceed `limit`.
    Quantile { buckets: Selector, phi: f64, limit: f64 },
    /// Requests per second, counted.
    Volume { requests: Selector, rate: f64 },
    /// Events in the last `window_ms`, never before the evidence begins.
    Count { events: Selector, window_ms: i64, good: Conditions, missing_is_zero: bool },
    /// The bad requests of the canary beside those of the baseline.
    Comparison { canary: Share, baseline: Share, limit: ComparisonLimit },
    /// Samples of a gauge of the canary beside those of the baseline, one each `every_ms`; high ones are bad.
    Gauge { canary: Selector, baseline: Selector, limit: ComparisonLimit, every_ms: i64 },
    /// What a query answers; nothing is counted, and nothing promised.
    Value(Box<ValueSpec>),
}

/// Events among trials.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Share {
    /// Selectors of events, each with what one of them counts.
    pub(crate) events: Vec<(f64, Selector)>,
    pub(crate) trials: Selector,
    /// Whether the events are the good requests.
    pub(crate) events_are_good: bool,
    /// Whether events without any series are none.
    pub(crate) missing_is_zero: bool,
}

impl Share {
    fn selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.trials).chain(self.events.iter().map(|(_, selector)| selector))
    }

    fn text(&self) -> String {
        let terms = self.events.iter().map(|(weight, selector)| match *weight {
            1.0 => selector.text.clone(),
            weight => format!("{weight} * {}", selector.text),
        });
        match terms.collect::<Vec<_>>().as_slice() {
            [one] => format!("{one} / {}", self.trials.text),
            terms => format!("({}) / {}", terms.join(" + "), self.trials.text),
        }
    }
}

/// How much worse than the baseline a canary may be; it fails beyond the second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ComparisonLimit {
    /// So many times the baseline's share of bad requests, or its samples.
    Factor { pass: f64, fail: f64 },
    /// So much more than the baseline's share of bad requests, or its samples.
    Difference { pass: f64, fail: f64 },
}

/// A query whose answers are judged.
#[derive(Clone)]
pub(crate) struct ValueSpec {
    pub(crate) query: Query,
    /// The first selector in it: its series stand for the canary.
    pub(crate) traffic: Selector,
    /// The other selectors in it.
    pub(crate) others: Vec<Selector>,
    pub(crate) good: Conditions,
    /// Whether each element of the answer is judged for itself.
    pub(crate) per_element: bool,
    /// A counter that has to count so much before the check passes.
    pub(crate) least: Option<(Selector, f64)>,
}

impl std::fmt::Debug for ValueSpec {
    /// What tells one from another, as the fingerprint of a gate reads it: the text stands for the query.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ValueSpec")
            .field("query", &self.query.text())
            .field("good", &self.good)
            .field("per_element", &self.per_element)
            .field("least", &self.least)
            .finish_non_exhaustive()
    }
}

/// Which answers are good, and which are bad.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Conditions {
    /// As an AnalysisTemplate says it; empty where not given.
    Argo { success: String, failure: String },
    /// Every element is good up to `pass`, and one beyond `fail` is bad.
    Bound { bound: Bound, pass: f64, fail: f64 },
}

/// On which side of a number the good ones lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    Below,
    AtMost,
    Above,
    AtLeast,
}

impl Bound {
    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Below => value < bound,
            Self::AtMost => value <= bound,
            Self::Above => value > bound,
            Self::AtLeast => value >= bound,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Above => ">",
            Self::AtLeast => ">=",
        }
    }
}

impl Conditions {
    /// The phase of an answer that has elements, none of them NaN.
    ///
    /// # Errors
    ///
    /// Argo's sentence, for conditions that cannot judge it.
    pub(crate) fn phase(&self, value: &QueryValue, now: Timestamp) -> Result<Phase, String> {
        match self {
            Self::Argo { success, failure } => judge(value, success, failure, now, Profile::V1_10),
            Self::Bound { bound, pass, fail } => {
                let numbers = value.numbers();
                Ok(if numbers.iter().all(|number| bound.holds(*number, *pass)) {
                    Phase::Successful
                } else if numbers.iter().all(|number| bound.holds(*number, *fail)) {
                    Phase::Inconclusive
                } else {
                    Phase::Failed
                })
            }
        }
    }

    /// For a sentence: `result[0] < 0.5`, or `< 0.5`.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Argo { success, failure } if success.is_empty() => format!("not ({failure})"),
            Self::Argo { success, .. } => success.clone(),
            Self::Bound { bound, pass, .. } => format!("{} {pass}", bound.as_str()),
        }
    }
}

impl CheckSpec {
    /// Whether it compares samples of a gauge.
    pub(crate) fn is_gauge(&self) -> bool {
        matches!(self.kind, CheckKind::Gauge { .. })
    }

    /// Takes samples of a gauge as often as it takes for evidence of this length.
    pub(super) fn thin(&mut self, evidence_ms: i64) {
        if let CheckKind::Gauge { every_ms, .. } = &mut self.kind {
            *every_ms = THINNED_MS.max(evidence_ms / MOST_SAMPLES);
        }
    }

    /// The selector whose series stand for the canary: its traffic, where that is counted.
    pub(crate) fn traffic(&self) -> &Selector {
        match &self.kind {
            CheckKind::Ratio { share: Share { trials, .. }, .. }
            | CheckKind::Comparison { canary: Share { trials, .. }, .. } => trials,
            CheckKind::Quantile { buckets, .. } => buckets,
            CheckKind::Volume { requests, .. } => requests,
            CheckKind::Count { events, .. } => events,
            CheckKind::Gauge { canary, .. } => canary,
            CheckKind::Value(value) => &value.traffic,
        }
    }

    /// What is counted. Elements ask for parts of it, and what a query asks for is not known here.
    pub(crate) fn selectors(&self) -> Vec<&Selector> {
        match &self.kind {
            _ if self.by != Grouping::Whole => vec![self.traffic()],
            CheckKind::Ratio { share, .. } => share.selectors().collect(),
            CheckKind::Comparison { canary, baseline, .. } => {
                canary.selectors().chain(baseline.selectors()).collect()
            }
            CheckKind::Quantile { .. } | CheckKind::Volume { .. } | CheckKind::Count { .. } => {
                vec![self.traffic()]
            }
            CheckKind::Gauge { canary, baseline, .. } => vec![canary, baseline],
            CheckKind::Value(_) => Vec::new(),
        }
    }

    /// The same check of one element alone.
    pub(crate) fn narrowed(&self, element: &[(String, String)]) -> Self {
        let narrow = |selector: &mut Selector| {
            let matchers = element.iter().map(|(name, value)| Matcher::equal(name.as_str(), value.as_str()));
            *selector = Selector::of(selector.matchers.iter().cloned().chain(matchers).collect());
        };
        let narrow_share = |share: &mut Share| {
            narrow(&mut share.trials);
            share.events.iter_mut().for_each(|(_, selector)| narrow(selector));
        };
        let mut kind = self.kind.clone();
        match &mut kind {
            CheckKind::Ratio { share, .. } => narrow_share(share),
            CheckKind::Comparison { canary, baseline, .. } => {
                narrow_share(canary);
                narrow_share(baseline);
            }
            CheckKind::Gauge { canary, baseline, .. } => {
                narrow(canary);
                narrow(baseline);
            }
            CheckKind::Quantile { buckets: selector, .. }
            | CheckKind::Volume { requests: selector, .. }
            | CheckKind::Count { events: selector, .. } => narrow(selector),
            // Its answers have elements of their own.
            CheckKind::Value(_) => {}
        }
        Self { kind, by: Grouping::Whole, ..self.clone() }
    }

    /// Whether the check fails a good canary with a probability that is bounded and above 0.
    pub(crate) fn can_err(&self) -> bool {
        match &self.kind {
            CheckKind::Ratio { .. }
            | CheckKind::Quantile { .. }
            | CheckKind::Comparison { .. }
            | CheckKind::Gauge { .. } => true,
            CheckKind::Volume { .. } | CheckKind::Count { .. } | CheckKind::Value(_) => false,
        }
    }

    /// What is counted or asked, as text for a report.
    pub(crate) fn query(&self) -> String {
        match &self.kind {
            CheckKind::Ratio { share, .. } => share.text(),
            CheckKind::Quantile { buckets, phi, .. } => format!("quantile {phi} of {}", buckets.text),
            CheckKind::Volume { requests, .. } => requests.text.clone(),
            CheckKind::Count { events, window_ms, .. } => {
                format!("{} in the last {} s", events.text, *window_ms as f64 / 1000.0)
            }
            CheckKind::Comparison { canary, baseline, .. } => {
                format!("{} beside {}", canary.text(), baseline.text())
            }
            CheckKind::Gauge { canary, baseline, .. } => {
                format!("samples of {} beside {}", canary.text, baseline.text)
            }
            CheckKind::Value(value) => value.query.text().to_owned(),
        }
    }
}
