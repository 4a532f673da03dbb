//! Samples of a gauge beside those of a baseline, by their ranks, once.

use super::{Deciding, Decision, Look, Outcome, doubt};
use crate::gate::evidence::{Gauges, Tally};
use crate::gate::reason::{BesideBaselineSamples, Finding};
use crate::gate::report::{Evidence, Interval};
use crate::gate::spec::{CheckKind, ComparisonLimit, LEAST_SAMPLES};
use crate::gate::stats::ranks::{median, probabilities, shift};
use crate::gate::verdict::Verdict;

/// The highest that a sample may be beside this one of the baseline: for passing, and for failing.
fn allowed(limit: ComparisonLimit, sample: f64) -> (f64, f64) {
    match limit {
        ComparisonLimit::Factor { pass, fail } => (pass * sample, fail * sample),
        ComparisonLimit::Difference { pass, fail } => (sample + pass, sample + fail),
    }
}

/// How probable samples as low are if the canary is at the limit for passing, and samples as high if it is at that for failing.
/// Where both sides are constant one is above the limit or not.
fn probabilities_of(Gauges { own, baseline }: &Gauges, limit: ComparisonLimit) -> Option<(f64, f64)> {
    let all_alike =
        |samples: &[f64]| samples.first().copied().filter(|first| samples.iter().all(|one| one == first));
    let at = |of: fn((f64, f64)) -> f64| -> Vec<f64> {
        baseline.iter().map(|sample| of(allowed(limit, *sample))).collect()
    };
    if let (Some(own), Some(baseline)) = (all_alike(own), all_alike(baseline)) {
        let (pass, fail) = allowed(limit, baseline);
        return Some((f64::from(u8::from(own > pass)), f64::from(u8::from(own <= fail))));
    }
    let (low, _) = probabilities(own, &at(|(pass, _)| pass))?;
    let (_, high) = probabilities(own, &at(|(_, fail)| fail))?;
    Some((low, high))
}

pub(super) fn judge(look: Look<'_>, limit: ComparisonLimit, decision: &mut Decision) -> Outcome {
    let Look { tally, observation, rules, .. } = look;
    let obstacle = unusable(look, limit).or_else(|| observation.obstacle.clone());
    let not_yet = not_yet(look);
    let gauges = tally.gauges.as_deref();
    let tested = gauges.filter(|_| not_yet.is_none()).and_then(|gauges| probabilities_of(gauges, limit));
    if let Some((low, high)) = tested
        && decision.latched.is_none()
        && (obstacle.is_none() || matches!(obstacle, Some(Finding::Stale { .. })))
    {
        // Series that have ended keep what they have shown: enough to fail, never to pass.
        if high <= rules.fail {
            decision.latched = Some(Verdict::Fail);
        } else if obstacle.is_none() && observation.losses.is_empty() && low <= rules.pass {
            decision.latched = Some(Verdict::Pass);
        }
    }
    let beside = gauges.map_or_else(|| beside(&Gauges::default(), limit), |gauges| beside(gauges, limit));
    let (verdict, finding) = match (decision.latched, doubt(observation).or(obstacle)) {
        (Some(Verdict::Fail), _) => (Verdict::Fail, Finding::HigherThanBaseline(beside)),
        (_, Some(obstacle)) => (Verdict::Inconclusive, obstacle),
        (Some(Verdict::Pass), None) => (Verdict::Pass, Finding::NoHigherThanBaseline(beside)),
        (_, None) => (Verdict::Inconclusive, not_yet.unwrap_or(Finding::SamplesUndecided(beside))),
    };
    Outcome::new(verdict, finding)
}

/// Samples that no limit can be held against.
fn unusable(look: Look<'_>, limit: ComparisonLimit) -> Option<Finding> {
    let Look { check, tally, .. } = look;
    let says = |why: String| Some(Finding::NoValue { query: check.query(), why });
    if let Some(value) = &tally.invalid {
        return says(format!("a sample has the value {value}, beside which nothing can be ranked"));
    }
    let gauges = tally.gauges.as_deref()?;
    let negative = gauges.own.iter().chain(&gauges.baseline).any(|sample| *sample < 0.0);
    if negative && matches!(limit, ComparisonLimit::Factor { .. }) {
        return says("samples below 0 cannot be so many times the baseline; allow a difference".to_owned());
    }
    None
}

/// What keeps the test from being made at this look.
fn not_yet(look: Look<'_>) -> Option<Finding> {
    if let Deciding::Once { remaining_seconds } = look.rules.at_deadline
        && remaining_seconds > 0.0
    {
        return Some(Finding::DecidesOnce { remaining_seconds });
    }
    let CheckKind::Gauge { every_ms, .. } = &look.check.kind else { return None };
    let counts = look.tally.gauges.as_deref().map_or((0, 0), |all| (all.own.len(), all.baseline.len()));
    (counts.0.min(counts.1) < LEAST_SAMPLES).then_some(Finding::TooFewSamples {
        samples: counts.0,
        baseline_samples: counts.1,
        need: LEAST_SAMPLES,
        every_seconds: *every_ms as f64 / 1000.0,
    })
}

fn middle(samples: &[f64]) -> Option<f64> {
    let mut ordered = samples.to_vec();
    ordered.sort_by(f64::total_cmp);
    median(&ordered).filter(|middle| middle.is_finite())
}

fn beside(Gauges { own, baseline }: &Gauges, limit: ComparisonLimit) -> BesideBaselineSamples {
    let (factor, difference) = match limit {
        ComparisonLimit::Factor { pass, .. } => (Some(pass), None),
        ComparisonLimit::Difference { pass, .. } => (None, Some(pass)),
    };
    BesideBaselineSamples {
        samples: own.len(),
        baseline_samples: baseline.len(),
        median: middle(own),
        baseline_median: middle(baseline),
        factor,
        difference,
    }
}

pub(super) fn evidence(tally: &Tally, limit: ComparisonLimit, alpha: f64) -> Evidence {
    let Some(gauges) = tally.gauges.as_deref() else { return Evidence::None };
    let Gauges { own, baseline } = gauges;
    let Some((p_pass, p_fail)) = probabilities_of(gauges, limit) else { return Evidence::None };
    let pairwise = |own: f64, other: f64| match limit {
        ComparisonLimit::Factor { .. } => own / other,
        ComparisonLimit::Difference { .. } => own - other,
    };
    let shift = shift(own, baseline, pairwise, alpha);
    let finite = |number: f64| number.is_finite().then_some(number);
    let beside = beside(gauges, limit);
    Evidence::Gauge {
        samples: own.len(),
        baseline_samples: baseline.len(),
        median: beside.median,
        baseline_median: beside.baseline_median,
        estimate: shift.and_then(|(middle, ..)| finite(middle)),
        interval: shift.and_then(|(_, low, high)| {
            Some(Interval { low: finite(low)?, high: finite(high)?, confidence: 1.0 - alpha })
        }),
        p_pass,
        p_fail,
    }
}
