//! From counts to the outcome of one check: total, pure, deterministic.

mod comparison;
mod count;
mod gauge;
mod share;
mod shown;
mod value;
mod volume;
mod windows;

use self::share::Thresholds;
pub(crate) use self::shown::Shown;
use super::binary::{Binary, Reader, binary_fields, binary_variants};
use super::evidence::{Observation, Tally, is_late};
use super::reason::{BurnRates, Finding, Severity};
use super::spec::{CheckKind, CheckSpec, GateSpec};
use super::stats::change::{Change, Detector, Limit};
use super::stats::comparison::Pair;
use super::stats::dispersion::{Dispersion, LEAST_LOOKS};
use super::verdict::Verdict;
use crate::model::Timestamp;

/// Looks that scatter this many times more than those of independent requests are told.
const HIGH_DISPERSION: f64 = 2.0;

/// By what rules a check is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The probability to pass a bad canary.
    pub(crate) pass: f64,
    /// The probability to fail a good one.
    pub(crate) fail: f64,
    /// The mean number of looks until a good one that has passed is taken to have changed; none: it is not watched.
    pub(crate) looks: Option<f64>,
    /// What is done about bad requests that come in bursts.
    pub(crate) dispersion: Dispersion,
    /// With fewer requests nothing is decided.
    pub(crate) min_requests: f64,
    /// Which looks decide.
    pub(crate) deciding: Deciding,
    /// The same for what is decided in one look anyway.
    pub(crate) at_deadline: Deciding,
}

/// Which looks decide by a test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Deciding {
    /// Every one, by tests whose promise holds at all of them together.
    Any,
    /// This one, the only one.
    Now,
    /// Another one, in so many seconds, or one that has been.
    Once { remaining_seconds: f64 },
}

impl Rules {
    /// Those of each check: what the gate may fail wrongly is shared by the checks that can fail by statistics.
    ///
    /// `remaining_ms` is the time until the deadline.
    pub(crate) fn of(spec: &GateSpec, remaining_ms: Option<i64>) -> Self {
        let deciding = spec.checks.iter().filter(|check| !check.dry_run && check.can_err()).count();
        let options = &spec.options;
        let looks = options.false_alarm_ms as f64 / options.interval_ms.max(1) as f64;
        let looks = spec.watches().then_some(looks.max(1.0 / options.alpha_fail));
        let one = match remaining_ms {
            Some(remaining) if remaining <= 0 => Deciding::Now,
            remaining => Deciding::Once { remaining_seconds: remaining.unwrap_or(0) as f64 / 1000.0 },
        };
        let rules = Self {
            pass: options.alpha_pass,
            fail: options.alpha_fail,
            looks,
            dispersion: options.dispersion,
            min_requests: options.min_requests as f64,
            deciding: if options.looks_once { one } else { Deciding::Any },
            at_deadline: one,
        };
        rules.shared(1.0 / deciding.max(1) as f64)
    }

    /// What is left to a check that has `share` of what the gate's failures may be wrong.
    pub(crate) fn shared(self, share: f64) -> Self {
        Self { fail: self.fail * share, looks: self.looks.map(|looks| looks / share), ..self }
    }
}

/// What a check has decided so far.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Decision {
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub(crate) latched: Option<Verdict>,
    /// Watches on after a pass.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    detector: Option<Box<Detector>>,
    /// The change for which a check failed that had passed.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    change: Option<Change>,
    /// What the windows of a burn rate held when it failed.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    burned: Option<Box<BurnRates>>,
}

binary_fields!(Decision { latched, detector, change, burned });

impl Decision {
    /// Fails what has passed if the counts have changed for the worse since. Bursts make each look worth a part, `1 / factor`.
    fn watch(&mut self, counts: Pair, limit: Limit, look: Look<'_>, factor: f64) {
        let (Some(looks), Some(Verdict::Pass)) = (look.rules.looks, self.latched) else { return };
        let until = look.observation.until;
        let Some(detector) = &mut self.detector else {
            self.detector = Some(Box::new(Detector::new(counts, until)));
            return;
        };
        detector.look(counts, limit, until, factor);
        self.change = detector.alarm(limit, looks);
        if self.change.is_some() {
            self.latched = Some(Verdict::Fail);
        }
    }
}

/// What one look has of one check.
#[derive(Clone, Copy)]
struct Look<'a> {
    check: &'a CheckSpec,
    tally: &'a Tally,
    observation: &'a Observation,
    /// How long the evidence is.
    seconds: f64,
    rules: Rules,
}

/// Why a check says what it says.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub(crate) enum Because {
    Found(Finding),
    /// Its counts are in order and settle nothing. What they lack is worked out when somebody reads it ([`Shown`]).
    Undecided,
}

binary_variants!(Because { 0 = Found(finding), 1 = Undecided });

/// A reason of a check, before it is put into words.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Said(pub(crate) Severity, pub(crate) Because);

impl Binary for Said {
    fn put(&self, into: &mut Vec<u8>) {
        self.0.put(into);
        self.1.put(into);
    }

    fn take(from: &mut Reader<'_>) -> Option<Self> {
        <(Severity, Because)>::take(from).map(|(severity, because)| Self(severity, because))
    }
}

impl Said {
    pub(crate) fn found(severity: Severity, finding: Finding) -> Self {
        Self(severity, Because::Found(finding))
    }

    pub(crate) fn finding(&self) -> Option<&Finding> {
        match &self.1 {
            Because::Found(finding) => Some(finding),
            Because::Undecided => None,
        }
    }
}

/// What a look at one check came to: all that decides, and what a report cannot work out from the counts.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    /// The decisive reason first. Empty where the elements say why.
    pub(crate) said: Vec<Said>,
}

binary_fields!(Judged { verdict, said });

/// What a check says, and why.
struct Outcome {
    verdict: Verdict,
    because: Because,
}

impl Outcome {
    fn new(verdict: Verdict, finding: Finding) -> Self {
        Self { verdict, because: Because::Found(finding) }
    }

    fn severity(&self) -> Severity {
        match self.verdict {
            Verdict::Pass => Severity::Pass,
            Verdict::Fail => Severity::Fail,
            Verdict::Inconclusive => Severity::Inconclusive,
        }
    }
}

/// Judges one check on its counts.
///
/// `decision` is what the check has decided before: a failure stands; a pass stands unless the failing test, whose
/// promise holds at all looks, contradicts it, or, where it is watched, its counts change for the worse. An obstacle, or a
/// ratio that has risen to the threshold since, keeps a pass back while it lasts. So does data that may be missing where the
/// check looks: it can fail on what is there, and does not pass. Where counts wait for something late, what is there without it
/// has to pass as well: what is known is not passed over.
pub(crate) fn judge(
    check: &CheckSpec,
    tally: &Tally,
    observation: &Observation,
    origin: Timestamp,
    decision: &mut Decision,
    rules: Rules,
) -> Judged {
    let look = Look { check, tally, observation, seconds: seconds(origin, observation.until), rules };
    let before = observation.ahead.is_some().then(|| decision.clone());
    let mut outcome = decided(look, decision);
    if outcome.verdict == Verdict::Pass
        && let (Some(before), Some(ahead)) = (before, &observation.ahead)
    {
        let (tally, until) = &**ahead;
        let seen = Observation { until: *until, ..observation.clone() };
        let ahead = Look { tally, observation: &seen, seconds: seconds(origin, *until), ..look };
        if decided(ahead, &mut before.clone()).verdict != Verdict::Pass {
            if before.latched.is_none() {
                *decision = before;
            }
            let late = observation.notes.iter().find(|note| is_late(note)).cloned();
            let because = late.map_or(Because::Undecided, Because::Found);
            outcome = Outcome { verdict: Verdict::Inconclusive, because };
        }
    }
    let mut judged =
        Judged { verdict: outcome.verdict, said: vec![Said(outcome.severity(), outcome.because)] };
    doubts(observation, &mut judged);
    notes(look, &mut judged);
    judged
}

/// What the counts of a look come to.
fn decided(look: Look<'_>, decision: &mut Decision) -> Outcome {
    match &look.check.kind {
        CheckKind::Volume { rate, .. } => volume::judge(look, *rate),
        CheckKind::Ratio { threshold, fail_threshold, .. } => {
            share::judge(look, Thresholds { pass: *threshold, fail: *fail_threshold }, decision)
        }
        CheckKind::Quantile { phi, .. } => {
            share::judge(look, Thresholds { pass: 1.0 - phi, fail: 1.0 - phi }, decision)
        }
        CheckKind::Count { window_ms, good, .. } => {
            count::judge(look, *window_ms, good, &mut decision.latched)
        }
        CheckKind::Comparison { limit, .. } => comparison::judge(look, *limit, decision),
        CheckKind::Gauge { limit, .. } => gauge::judge(look, *limit, decision),
        CheckKind::Value(value) => value::judge(look, value, &mut decision.latched),
    }
}

/// How long the evidence is, in seconds.
pub(crate) fn seconds(origin: Timestamp, until: Timestamp) -> f64 {
    until.millis_since(origin).max(0) as f64 / 1000.0
}

/// The reason that comes first where data may be missing.
fn doubt(observation: &Observation) -> Option<Finding> {
    observation.losses.first().map(Finding::of_loss)
}

/// Tells what may be missing, as far as that is not told yet, and what else stands in the way.
fn doubts(observation: &Observation, judged: &mut Judged) {
    if observation.losses.is_empty() {
        return;
    }
    let inconclusive = judged.verdict == Verdict::Inconclusive;
    let severity = if inconclusive { Severity::Inconclusive } else { Severity::Information };
    let losses = observation.losses.iter().map(Finding::of_loss);
    let others = observation.obstacle.clone().filter(|_| inconclusive);
    for finding in losses.chain(others) {
        if !judged.said.iter().any(|said| said.finding() == Some(&finding)) {
            judged.said.push(Said::found(severity, finding));
        }
    }
}

/// A value that counts nothing.
fn invalid(check: &CheckSpec, tally: &Tally) -> Option<Finding> {
    tally
        .invalid
        .as_ref()
        .map(|value| Finding::NotANumber { selector: check.traffic().text.clone(), value: value.clone() })
}

/// What keeps a test from being made at this look, beside obstacles.
fn not_yet(look: Look<'_>, is_known: bool) -> Option<Finding> {
    let Rules { deciding, min_requests, .. } = look.rules;
    match deciding {
        Deciding::Once { remaining_seconds } if remaining_seconds > 0.0 => {
            Some(Finding::DecidesOnce { remaining_seconds })
        }
        _ if look.tally.trials < min_requests => {
            let have = look.tally.trials;
            let rate = if look.seconds > 0.0 { have / look.seconds } else { 0.0 };
            let eta_seconds = Some((min_requests - have) / rate).filter(|eta| eta.is_finite());
            Some(Finding::NotEnoughRequests { have, need: min_requests, seconds: None, rate, eta_seconds })
        }
        _ if !is_known => {
            let looks = look.tally.scatter.looks();
            Some(Finding::BurstsUnknown { looks, need: LEAST_LOOKS })
        }
        _ => None,
    }
}

/// What a reader should know beside the reason.
fn notes(look: Look<'_>, judged: &mut Judged) {
    let Look { check, tally, observation, rules, .. } = look;
    let selector = || check.traffic().text.clone();
    let is_said = |note: &&Finding| !judged.said.iter().any(|said| said.finding() == Some(*note));
    let mut found: Vec<Finding> = observation.notes.iter().filter(is_said).cloned().collect();
    match &check.kind {
        CheckKind::Value(value) => {
            found.push(Finding::NoErrorGuarantee {});
            found.extend(value.least.is_none().then_some(Finding::TrafficUnknown {}));
        }
        CheckKind::Count { .. } => found.push(Finding::TrafficUnknown {}),
        CheckKind::Gauge { every_ms, .. } => {
            found.push(Finding::IndependenceAssumed { every_seconds: *every_ms as f64 / 1000.0 });
        }
        _ => {}
    }
    if tally.resets > 0 {
        found.push(Finding::CounterReset { resets: tally.resets, selector: selector() });
    }
    if tally.born > 0 {
        found.push(Finding::NewSeriesCounted {
            series: tally.born,
            amount: tally.born_amount,
            selector: selector(),
        });
    }
    if [tally.fewest, tally.most, tally.trials].iter().any(|count| count.fract() != 0.0) {
        found.push(Finding::NonInteger { events: tally.fewest, trials: tally.trials });
    }
    let looks = tally.scatter.looks();
    let factor = tally.scatter.factor().filter(|factor| *factor > HIGH_DISPERSION && looks >= LEAST_LOOKS);
    if let Some(factor) = factor.filter(|_| rules.dispersion == Dispersion::Independent) {
        found.push(Finding::DispersionHigh { factor, looks, events: tally.most, trials: tally.trials });
    }
    if tally.unreachable
        && let CheckKind::Quantile { limit, .. } = &check.kind
        && !judged
            .said
            .iter()
            .any(|said| matches!(said.finding(), Some(Finding::ThresholdUnreachable { .. })))
    {
        let largest = tally.bounds.last().map_or(0.0, |(bound, _)| *bound);
        found.push(Finding::ThresholdUnreachable { threshold: *limit, largest, above: tally.most });
    }
    if check.dry_run {
        found.push(Finding::DryRun { verdict: judged.verdict });
    }
    judged.said.extend(found.into_iter().map(|finding| Said::found(Severity::Information, finding)));
}

#[cfg(test)]
mod tests;
