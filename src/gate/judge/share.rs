//! Bad requests among requests, by tests that stay valid however often one looks.

use super::{Because, Deciding, Decision, Look, Outcome, Rules, doubt, invalid, not_yet, windows};
use crate::gate::evidence::Tally;
use crate::gate::reason::Finding;
use crate::gate::report::{Evidence, Interval};
use crate::gate::spec::{BurnRate, CheckKind, CheckSpec};
use crate::gate::stats::binomial::{clopper_pearson, is_above, is_below, wilson};
use crate::gate::stats::change::{Change, Limit};
use crate::gate::stats::comparison::Pair;
use crate::gate::stats::dispersion::Dispersion;
use crate::gate::stats::quantile::rank_interval;
use crate::gate::stats::sequential::{confidence_sequence, ln_e_fail, ln_e_pass, trials_needed};
use crate::gate::verdict::Verdict;

/// Shares of bad requests: a check passes below the first and fails above the second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thresholds {
    pub(super) pass: f64,
    pub(super) fail: f64,
}

/// What a bad request is, for a sentence.
fn what(check: &CheckSpec) -> String {
    match &check.kind {
        CheckKind::Ratio { share, .. } if share.events_are_good => "were not good".to_owned(),
        CheckKind::Quantile { limit, .. } => format!("exceeded {limit}"),
        _ => "failed".to_owned(),
    }
}

/// The windows by which a check fails, where it does.
fn burn_rate(check: &CheckSpec) -> Option<&BurnRate> {
    match &check.kind {
        CheckKind::Ratio { burn_rate, .. } => burn_rate.as_ref(),
        _ => None,
    }
}

/// What counts are worth as evidence: they are divided by a factor for bursts, one for passing and one for failing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Worth {
    pub(super) pass: f64,
    pub(super) fail: f64,
}

impl Worth {
    /// None as long as nobody can tell. A bad canary is held against the ratio that it must not reach, and a good one against
    /// what was seen.
    fn of(tally: &Tally, thresholds: Thresholds, dispersion: Dispersion) -> Option<Self> {
        Some(match dispersion {
            Dispersion::Independent => Self { pass: 1.0, fail: 1.0 },
            Dispersion::Factor(factor) => Self { pass: factor, fail: factor },
            Dispersion::Upper => {
                let fewest = tally.scatter_of_fewest.as_deref().unwrap_or(&tally.scatter);
                Self { pass: tally.scatter.upper(Some(thresholds.pass))?, fail: fewest.upper(None)? }
            }
        })
    }

    /// The same for bounds and for what is told, where nobody can tell.
    pub(super) fn shown(tally: &Tally, thresholds: Thresholds, dispersion: Dispersion) -> Self {
        Self::of(tally, thresholds, dispersion).unwrap_or(Self { pass: 1.0, fail: 1.0 })
    }
}

/// Whether the counts show that the ratio is below its threshold for passing, and that it is above that for failing.
fn tested(tally: &Tally, thresholds: Thresholds, worth: Worth, rules: Rules) -> (bool, bool) {
    let (most, fewest) = (tally.most / worth.pass, tally.fewest / worth.fail);
    let (for_pass, for_fail) = (tally.trials / worth.pass, tally.trials / worth.fail);
    match rules.deciding {
        // On its own side of the threshold no test has evidence: what was seen is likeliest there.
        Deciding::Any => (
            most < thresholds.pass * for_pass
                && ln_e_pass(most, for_pass, thresholds.pass) >= libm::log(1.0 / rules.pass),
            fewest > thresholds.fail * for_fail
                && ln_e_fail(fewest, for_fail, thresholds.fail) >= libm::log(1.0 / rules.fail),
        ),
        Deciding::Now => (
            is_below(most, for_pass, thresholds.pass, rules.pass),
            is_above(fewest, for_fail, thresholds.fail, rules.fail),
        ),
        Deciding::Once { .. } => (false, false),
    }
}

pub(super) fn judge(look: Look<'_>, thresholds: Thresholds, decision: &mut Decision) -> Outcome {
    let Look { check, tally, observation, rules, .. } = look;
    let Tally { fewest, most, trials, .. } = *tally;
    let threshold = thresholds.pass;
    let obstacle = invalid(check, tally)
        .or_else(|| {
            (most > trials || fewest < 0.0)
                .then_some(Finding::NumeratorExceedsDenominator { events: most, trials })
        })
        .or_else(|| observation.obstacle.clone())
        .or_else(|| {
            // A share is never above 1: nothing can be told from such a check.
            (threshold >= 1.0).then_some(Finding::CannotFail { threshold })
        });
    let worth = Worth::of(tally, thresholds, rules.dispersion);
    let not_yet = not_yet(look, worth.is_some());
    if obstacle.is_none() || matches!(obstacle, Some(Finding::Stale { .. })) {
        let (can_pass, can_fail) = match worth.filter(|_| not_yet.is_none()) {
            Some(worth) => tested(tally, thresholds, worth, rules),
            None => (false, false),
        };
        let burned = burn_rate(check).and_then(|burn_rate| {
            let worth = worth.filter(|_| trials >= rules.min_requests)?;
            windows::exceeded(tally, burn_rate, look.seconds, (worth.fail, rules.fail))
        });
        let can_fail = if burn_rate(check).is_some() { burned.is_some() } else { can_fail };
        if decision.latched != Some(Verdict::Fail) {
            decision.burned = burned.map(Box::new);
        }
        // Series that have ended keep what they have shown: enough to fail, never to pass.
        if can_fail {
            decision.latched = Some(Verdict::Fail);
        } else if decision.latched.is_none()
            && obstacle.is_none()
            && observation.losses.is_empty()
            && can_pass
        {
            decision.latched = Some(Verdict::Pass);
        }
        // Windows go on by themselves.
        if burn_rate(check).is_none() {
            let counts = Pair { events: fewest, trials, ..Pair::default() };
            let factor = worth.map_or(1.0, |worth| worth.fail);
            decision.watch(counts, Limit::Share(thresholds.fail), look, factor);
        }
    }
    let ratio = if trials > 0.0 { fewest / trials } else { 0.0 };
    match (decision.latched, doubt(observation).or(obstacle)) {
        (Some(Verdict::Fail), _) => {
            let finding = match (decision.change, decision.burned.as_deref()) {
                (_, Some(burned)) => Finding::BurnRateExceeded(*burned),
                (Some(change), _) => changed(change, thresholds.fail, what(check)),
                _ => Finding::AboveThreshold {
                    ratio,
                    threshold: thresholds.fail,
                    events: fewest,
                    trials,
                    what: what(check),
                },
            };
            Outcome::new(Verdict::Fail, finding)
        }
        (_, Some(obstacle)) => Outcome::new(Verdict::Inconclusive, obstacle),
        // A pass that the counts have outgrown waits: a gate that still waits for another check must not pass on it.
        (Some(Verdict::Pass), None) if most < threshold * trials => {
            let finding =
                Finding::BelowThreshold { ratio, threshold, events: most, trials, what: what(check) };
            Outcome::new(Verdict::Pass, finding)
        }
        (_, None) => {
            let silent = silence(look).or_else(|| not_yet.filter(|_| decision.latched.is_none()));
            let because = silent.map_or(Because::Undecided, Because::Found);
            Outcome { verdict: Verdict::Inconclusive, because }
        }
    }
}

/// What was counted since a change for the worse.
fn changed(Change { since, counts }: Change, threshold: f64, what: String) -> Finding {
    let Pair { events, trials, .. } = counts;
    Finding::ChangeDetected { ratio: events / trials, threshold, events, trials, since, what }
}

/// Why there is nothing to test.
fn silence(look: Look<'_>) -> Option<Finding> {
    let Look { check, tally, observation, seconds, .. } = look;
    if seconds <= 0.0 {
        return Some(Finding::Settling {});
    }
    (tally.trials <= 0.0).then(|| {
        let selector = check.traffic().text.clone();
        Finding::ZeroDenominator { selector, seconds, series: observation.series }
    })
}

/// What it takes until counts that settle nothing settle something.
pub(super) fn undecided(
    check: &CheckSpec,
    tally: &Tally,
    seconds: f64,
    thresholds: Thresholds,
    rules: Rules,
) -> Finding {
    let Tally { fewest, most, trials, .. } = *tally;
    let threshold = thresholds.pass;
    let worth = Worth::shown(tally, thresholds, rules.dispersion);
    let once = rules.deciding != Deciding::Any;
    let passes = |events: f64, trials: f64| {
        let (events, trials) = (events / worth.pass, trials / worth.pass);
        if once {
            is_below(events, trials, threshold, rules.pass)
        } else {
            ln_e_pass(events, trials, threshold) >= libm::log(1.0 / rules.pass)
        }
    };
    if most > fewest
        && let CheckKind::Quantile { limit, .. } = &check.kind
        && passes(fewest, trials)
    {
        // The fewest that are possible would pass, the most that are possible do not.
        return if tally.unreachable {
            let largest = tally.bounds.last().map_or(0.0, |(bound, _)| *bound);
            Finding::ThresholdUnreachable { threshold: *limit, largest, above: most }
        } else {
            Finding::BucketTooCoarse { threshold: *limit, fewest, most, trials }
        };
    }
    let need = trials_needed(most, trials, threshold, passes).map(|need| need.max(rules.min_requests));
    let rate = trials / seconds;
    let eta = |more: f64| Some(more / rate).filter(|eta| eta.is_finite());
    match need {
        Some(need) if most <= 0.0 => Finding::NotEnoughRequests {
            have: trials,
            need,
            seconds: None,
            rate,
            eta_seconds: eta(need - trials),
        },
        _ => {
            let (low, high) = always(tally, worth, rules);
            let more_trials = need.map(|need| need - trials);
            Finding::IntervalStraddles {
                low,
                high,
                threshold,
                events: most,
                trials,
                more_trials,
                eta_seconds: more_trials.and_then(eta),
                what: what(check),
            }
        }
    }
}

/// The ratios that the counts leave possible at all looks together.
fn always(tally: &Tally, worth: Worth, rules: Rules) -> (f64, f64) {
    let Tally { fewest, most, trials, .. } = *tally;
    let (low, _) = confidence_sequence(fewest / worth.fail, trials / worth.fail, rules.fail);
    let (_, high) = confidence_sequence(most / worth.pass, trials / worth.pass, rules.pass);
    (low, high)
}

pub(super) fn evidence(
    check: &CheckSpec,
    tally: &Tally,
    seconds: f64,
    thresholds: Thresholds,
    rules: Rules,
) -> Evidence {
    let Tally { fewest, most, trials, .. } = *tally;
    if !(trials > 0.0 && most <= trials && fewest >= 0.0) {
        return Evidence::None;
    }
    let worth = Worth::shown(tally, thresholds, rules.dispersion);
    let finite = |ln: f64| ln.is_finite().then_some(ln);
    let ln_e_pass = finite(ln_e_pass(most / worth.pass, trials / worth.pass, thresholds.pass));
    let ln_e_fail = finite(ln_e_fail(fewest / worth.fail, trials / worth.fail, thresholds.fail));
    let dispersion = tally.scatter.factor();
    match &check.kind {
        CheckKind::Quantile { phi, .. } => {
            let ranks = rank_interval(trials.max(0.0) as u64, *phi, 2.0 * rules.pass);
            let (low, high) = bracket(tally, ranks);
            Evidence::Quantile {
                phi: *phi,
                trials,
                fewest_above: fewest,
                most_above: most,
                low,
                high,
                estimate: interpolate(tally, *phi),
                ln_e_pass,
                ln_e_fail,
                dispersion,
            }
        }
        // Of anything else the fewest events are the most.
        _ => {
            let interval = |(low, high)| Interval { low, high, confidence: 1.0 - rules.pass };
            let bounds = |of: fn(f64, f64, f64) -> (f64, f64)| {
                let (low, _) = of(fewest / worth.fail, trials / worth.fail, rules.pass);
                let (_, high) = of(fewest / worth.pass, trials / worth.pass, rules.pass);
                interval((low, high))
            };
            Evidence::Ratio {
                events: fewest,
                trials,
                always: interval(always(tally, worth, rules)),
                once: bounds(clopper_pearson),
                wilson: bounds(wilson),
                ln_e_pass,
                ln_e_fail,
                dispersion,
                windows: burn_rate(check).map_or_else(Vec::new, |burn_rate| {
                    windows::shown(tally, burn_rate, seconds, (worth.fail, rules.fail))
                }),
            }
        }
    }
}

/// The edges of the buckets that hold these ranks; none where nothing bounds the quantile.
fn bracket(tally: &Tally, ranks: (Option<u64>, Option<u64>)) -> (Option<f64>, Option<f64>) {
    let holds = |rank: u64| tally.bounds.iter().position(|(_, count)| *count >= rank as f64);
    let low = ranks.0.and_then(|rank| match holds(rank) {
        Some(0) => Some(0.0),
        Some(index) => tally.bounds.get(index.saturating_sub(1)).map(|(bound, _)| *bound),
        None => tally.bounds.last().map(|(bound, _)| *bound),
    });
    let high = ranks.1.and_then(holds).and_then(|index| tally.bounds.get(index)).map(|(bound, _)| *bound);
    (low, high)
}

/// The quantile as Prometheus interpolates it inside its bucket; for display.
fn interpolate(tally: &Tally, phi: f64) -> Option<f64> {
    let rank = phi * tally.trials;
    let mut before = (0.0, 0.0);
    for (bound, count) in &tally.bounds {
        if *count >= rank && *count > before.1 {
            return Some(before.0 + (bound - before.0) * (rank - before.1) / (count - before.1));
        }
        before = (*bound, *count);
    }
    tally.bounds.last().map(|(bound, _)| *bound)
}
