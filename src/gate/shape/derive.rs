//! The check that a query and its conditions mean together.

use super::{Elements, Events, Grouping, Measured, Numbers, Reading, Subject};
use crate::gate::spec::Selector;

/// What a metric checks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Derived {
    pub(crate) kind: Kind,
    /// The labels whose every combination is checked for itself.
    pub(crate) by: Option<Vec<String>>,
    /// From the metric's own unit, or from 0 to 1, to the number that the conditions compare.
    pub(crate) unit_scale: f64,
}

/// The kinds of check. Thresholds are in the metric's own unit, those of ratios in shares of bad events.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Ratio {
        /// Bad events, or good ones.
        events: Vec<(f64, Selector)>,
        events_are_good: bool,
        trials: Selector,
        pass_below: f64,
        fail_above: f64,
    },
    BurnRate {
        events: Selector,
        trials: Selector,
        budget: f64,
        factor: f64,
    },
    Quantile {
        phi: f64,
        buckets: Selector,
        limit: f64,
    },
    Volume {
        requests: Selector,
        per_second: f64,
    },
    Count {
        events: Selector,
        most: f64,
        window_ms: Option<i64>,
    },
    Mean {
        sum: Selector,
        count: Selector,
        limit: f64,
    },
    Value {
        limit: f64,
    },
    Comparison {
        canary: Subject,
        stable: Subject,
        theta: f64,
    },
    Difference {
        canary: Subject,
        stable: Subject,
        delta: f64,
    },
    /// The conditions decide on the value; there is no evidence behind it.
    Opaque,
    /// What it is can be told, and it judges nothing.
    Refused(String),
}

/// The good numbers in the subject's own unit.
enum Good {
    Below { pass: f64, fail: f64 },
    Above { pass: f64, fail: f64 },
    Exactly(f64),
}

pub(crate) fn derive(measured: &Measured, reading: &Reading) -> Derived {
    let unit_scale = match measured.subject {
        Subject::Quotient { .. } | Subject::Split { .. } => 1.0,
        _ => measured.scale.abs(),
    };
    let by = match measured.subject.grouping() {
        Some(Grouping::By(labels)) => Some(labels.clone()),
        // All other labels: which, only the data tell.
        Some(Grouping::Without(_)) => Some(Vec::new()),
        Some(Grouping::Series) if reading.elements == Elements::Every => Some(Vec::new()),
        _ => None,
    };
    Derived { kind: kind(measured, reading), by, unit_scale }
}

fn kind(measured: &Measured, reading: &Reading) -> Kind {
    if let Numbers::Broken(sentence) = &reading.numbers {
        return Kind::Refused(sentence.clone());
    }
    if matches!(measured.subject, Subject::NoBounds) {
        return Kind::Refused("no le is left for histogram_quantile; write sum by (le) (…)".to_owned());
    }
    let Some(good) = good(measured, &reading.numbers) else { return Kind::Opaque };
    match (&measured.subject, good) {
        (Subject::Ratio { numerator, denominator }, good) => ratio(numerator, denominator, measured, &good),
        (Subject::Quantile { phi, buckets, .. }, Good::Below { pass, .. }) => {
            Kind::Quantile { phi: *phi, buckets: buckets.clone(), limit: pass }
        }
        (Subject::Mean { sum, count, .. }, Good::Below { pass, .. }) => {
            Kind::Mean { sum: sum.clone(), count: count.clone(), limit: pass }
        }
        (Subject::Events(events), good) => counted(events, &good),
        (Subject::Gauge { .. } | Subject::Split { .. }, good) => Kind::Value { limit: good.limit() },
        (Subject::Quotient { canary, stable }, Good::Below { pass, .. }) => {
            Kind::Comparison { canary: (**canary).clone(), stable: (**stable).clone(), theta: pass }
        }
        (Subject::Difference { canary, stable }, Good::Below { pass, .. }) => {
            Kind::Difference { canary: (**canary).clone(), stable: (**stable).clone(), delta: pass }
        }
        _ => Kind::Opaque,
    }
}

impl Good {
    fn limit(&self) -> f64 {
        match self {
            Self::Below { pass, .. } | Self::Above { pass, .. } | Self::Exactly(pass) => *pass,
        }
    }
}

/// The good numbers before scale and offset were put on.
fn good(measured: &Measured, numbers: &Numbers) -> Option<Good> {
    let own = |number: f64| (number - measured.offset) / measured.scale;
    let falling = measured.scale < 0.0;
    Some(match *numbers {
        Numbers::Below { pass, fail } if falling => Good::Above { pass: own(pass), fail: own(fail) },
        Numbers::Above { pass, fail } if falling => Good::Below { pass: own(pass), fail: own(fail) },
        Numbers::Below { pass, fail } => Good::Below { pass: own(pass), fail: own(fail) },
        Numbers::Above { pass, fail } => Good::Above { pass: own(pass), fail: own(fail) },
        Numbers::Exactly(number) => Good::Exactly(own(number)),
        Numbers::Broken(_) | Numbers::All(_) | Numbers::Other => return None,
    })
}

fn ratio(numerator: &Events, denominator: &Events, measured: &Measured, good: &Good) -> Kind {
    let Some(trials) = denominator.single() else { return Kind::Opaque };
    if numerator.by != denominator.by || denominator.by == Grouping::Series {
        // Series that meet one by one, or not at all, are no events among events.
        return Kind::Opaque;
    }
    if let (Some(budget), Some(events), Good::Below { pass, .. }) =
        (measured.budget, numerator.single(), good)
    {
        let (events, trials) = (events.clone(), trials.clone());
        return Kind::BurnRate { events, trials, budget, factor: pass / budget };
    }
    let (events_are_good, pass_below, fail_above) = match *good {
        Good::Below { pass, fail } => (false, pass, fail),
        Good::Above { pass, fail } => (true, 1.0 - pass, 1.0 - fail),
        Good::Exactly(0.0) => (false, 0.0, 0.0),
        Good::Exactly(1.0) => (true, 0.0, 0.0),
        Good::Exactly(_) => return Kind::Opaque,
    };
    let events = numerator.terms.clone();
    Kind::Ratio { events, events_are_good, trials: trials.clone(), pass_below, fail_above }
}

fn counted(events: &Events, good: &Good) -> Kind {
    let Some(selector) = events.single().cloned() else { return Kind::Opaque };
    match (events.per_second, good) {
        (true, Good::Above { pass, .. }) => Kind::Volume { requests: selector, per_second: *pass },
        (false, Good::Below { pass, .. } | Good::Exactly(pass)) => {
            Kind::Count { events: selector, most: *pass, window_ms: events.window_ms }
        }
        (_, good) => Kind::Value { limit: good.limit() },
    }
}
