//! The check that a query and its conditions mean together.

use super::{Elements, Events, Grouping, Measured, Numbers, Reading, Subject};
use crate::gate::spec::{BurnRate, BurnRateWindows, ComparisonLimit, Selector, Share};

/// What a metric checks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Derived {
    pub(crate) kind: Kind,
    /// Whether each element of the answer is to be checked for itself.
    pub(crate) per_element: bool,
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
        /// Where it fails over windows.
        burn_rate: Option<BurnRate>,
    },
    Quantile {
        phi: f64,
        buckets: Selector,
        limit: f64,
    },
    /// Events per second that are to be reached.
    Volume {
        requests: Selector,
        per_second: f64,
    },
    /// Events in a stretch of time, the number itself being judged.
    Count {
        events: Selector,
        window_ms: i64,
    },
    Mean {
        sum: Selector,
        count: Selector,
        limit: f64,
    },
    /// A gauge, or another number without events behind it.
    Value,
    /// Bad events of one version beside those of another.
    Comparison {
        canary: Share,
        baseline: Share,
        limit: ComparisonLimit,
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
    let per_element = match (&measured.subject, measured.subject.grouping()) {
        (_, Some(Grouping::By(_) | Grouping::Without(_))) => true,
        // Of a gauge nobody aggregates there is one, mostly.
        (Subject::Gauge { .. }, Some(Grouping::Series)) => reading.elements == Elements::Every,
        (_, Some(Grouping::Series)) => true,
        _ => false,
    };
    Derived { kind: kind(measured, reading), per_element }
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
        (Subject::Ratio { numerator, denominator }, good) => ratio(numerator, denominator, &good),
        (Subject::Lesser { ratio, short_ms }, good @ Good::Below { .. }) => {
            lesser(ratio, *short_ms, &good, measured.scale)
        }
        // Between two limits a quantile would have to be inconclusive, which no one count of requests tells.
        (Subject::Quantile { phi, buckets, .. }, Good::Below { pass, fail }) if pass == fail => {
            Kind::Quantile { phi: *phi, buckets: buckets.clone(), limit: pass }
        }
        (Subject::Mean { sum, count, .. }, Good::Below { pass, .. }) => {
            Kind::Mean { sum: sum.clone(), count: count.clone(), limit: pass }
        }
        (Subject::Events(events), good) => counted(events, &good, measured),
        (Subject::Quotient { canary, stable }, Good::Below { pass, fail }) => {
            compared(canary, stable, false, ComparisonLimit::Factor { pass, fail })
        }
        (Subject::Difference { canary, stable }, Good::Below { pass, fail }) => {
            compared(canary, stable, false, ComparisonLimit::Difference { pass, fail })
        }
        // Of good events it is the canary that must not have fewer.
        (Subject::Difference { canary, stable }, Good::Above { pass, fail }) => {
            compared(canary, stable, true, ComparisonLimit::Difference { pass: -pass, fail: -fail })
        }
        (Subject::Gauge { .. } | Subject::Split { .. } | Subject::Quotient { .. }, _) => Kind::Value,
        _ => Kind::Opaque,
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

fn ratio(numerator: &Events, denominator: &Events, good: &Good) -> Kind {
    let Some(trials) = denominator.single() else { return Kind::Opaque };
    if numerator.by != denominator.by || denominator.by == Grouping::Series {
        // Series that meet one by one, or not at all, are no events among events.
        return Kind::Opaque;
    }
    let (events_are_good, pass_below, fail_above) = match *good {
        Good::Below { pass, fail } => (false, pass, fail),
        Good::Above { pass, fail } => (true, 1.0 - pass, 1.0 - fail),
        Good::Exactly(0.0) => (false, 0.0, 0.0),
        Good::Exactly(1.0) => (true, 0.0, 0.0),
        Good::Exactly(_) => return Kind::Opaque,
    };
    let events = numerator.terms.clone();
    Kind::Ratio { events, events_are_good, trials: trials.clone(), pass_below, fail_above, burn_rate: None }
}

/// What is good below some number over one of two windows is bad beyond another one over both.
fn lesser(subject: &Subject, short_ms: i64, good: &Good, scale: f64) -> Kind {
    let (Subject::Ratio { numerator, denominator }, Some(long_ms), Good::Below { pass, fail }) =
        (subject, subject.window_ms(), good)
    else {
        return Kind::Opaque;
    };
    let mut kind = ratio(numerator, denominator, good);
    if let Kind::Ratio { burn_rate, .. } = &mut kind {
        // The query's factor is that of a budget.
        let budget = scale.recip();
        let windows = vec![BurnRateWindows::new(fail * scale, long_ms, short_ms)];
        *burn_rate = BurnRate::new(budget, pass * scale, windows).ok();
    }
    kind
}

fn counted(events: &Events, good: &Good, measured: &Measured) -> Kind {
    let Some(selector) = events.single().cloned() else { return Kind::Opaque };
    let is_number = measured.scale == 1.0 && measured.offset == 0.0;
    match (events.per_second, good, events.window_ms) {
        (true, Good::Above { pass, .. }, _) => Kind::Volume { requests: selector, per_second: *pass },
        (false, Good::Below { .. } | Good::Exactly(_), Some(window_ms))
            if is_number && window_ms > 0 && measured.filter.is_none() =>
        {
            Kind::Count { events: selector, window_ms }
        }
        _ => Kind::Value,
    }
}

/// Two ratios of the same kind; anything else is a number that a condition judges.
fn compared(canary: &Subject, stable: &Subject, events_are_good: bool, limit: ComparisonLimit) -> Kind {
    let share = |subject: &Subject| match subject {
        Subject::Ratio { numerator, denominator } if numerator.by == denominator.by => Some(Share {
            events: numerator.terms.clone(),
            trials: denominator.single()?.clone(),
            events_are_good,
            missing_is_zero: false,
        }),
        _ => None,
    };
    let (pass, fail) = match limit {
        ComparisonLimit::Factor { pass, fail } => (pass - f64::MIN_POSITIVE, fail),
        ComparisonLimit::Difference { pass, fail } => (pass, fail),
    };
    match (share(canary), share(stable)) {
        (Some(canary), Some(baseline)) if pass >= 0.0 && fail >= pass => {
            Kind::Comparison { canary, baseline, limit }
        }
        _ => Kind::Value,
    }
}
