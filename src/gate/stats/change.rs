//! When a share that was below its limit rises above it: what watches on after a pass.
//!
//! For each of a few alternatives beyond the limit every look has a likelihood ratio L against the limit, and R ← L (R + 1)
//! (Shiryaev–Roberts). While the true share is within the limit, R less the number of looks is a supermartingale, and so is the
//! mean of R over the alternatives less the number of looks: the mean time until that mean reaches A is at least A looks. So it
//! is for several checks together if each is held against its own part of A (e-detectors: Shin, Ramdas, Rinaldo 2022; Pollak
//! 1985).

use super::comparison::{self, Pair};
use super::difference::{self, Side, guess_of};
use super::sequential::scaled;
use crate::gate::binary::binary_fields;
use crate::model::Timestamp;

/// How far beyond the limit changes are looked for: multiples of it.
const ALTERNATIVES: [f64; 6] = [1.25, 1.5, 2.0, 3.0, 5.0, 10.0];
/// Evidence beyond e to this power is no stronger.
const MOST: f64 = 700.0;

/// What must not be exceeded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Limit {
    /// A share of bad requests.
    Share(f64),
    /// So many times the baseline's share of bad requests.
    Factor(f64),
    /// So much more than the baseline's share of bad requests, which is taken to be about what it was before.
    Difference(f64),
}

impl Limit {
    /// The alternative with this number; none that no share can have.
    fn alternative(self, index: usize) -> Option<f64> {
        let times = ALTERNATIVES.get(index)?;
        match self {
            Self::Factor(factor) => Some(factor * times).filter(|theta| theta.is_finite() && factor > 0.0),
            Self::Difference(difference) => (0.0..1.0).contains(&difference).then_some(*times),
            Self::Share(share) if !(share > 0.0 && share < 1.0) => None,
            Self::Share(share) => match share * times {
                alternative if alternative < 1.0 => Some(alternative),
                // One that is left where even the nearest is beyond all shares.
                _ if index == 0 => Some(f64::midpoint(share, 1.0)),
                _ => None,
            },
        }
    }

    /// ln L of what one look counted after these were `seen`.
    fn gain(self, counts: Pair, seen: Pair, alternative: f64) -> f64 {
        match self {
            Self::Difference(difference) => {
                let baseline = guess_of((seen.baseline_events, seen.baseline_trials));
                baseline.map_or(0.0, |baseline| {
                    difference::gain(counts, baseline, difference, alternative, Side::Worse)
                })
            }
            Self::Factor(factor) => comparison::gain(counts, alternative, factor),
            Self::Share(share) => {
                let (events, trials) = scaled(counts.events, counts.trials);
                events * libm::log(alternative / share)
                    + (trials - events) * (libm::log1p(-alternative) - libm::log1p(-share))
            }
        }
    }

    /// Whether a look at these counts says anything.
    fn tells(self, counts: Pair) -> bool {
        let both = counts.baseline_trials > 0.0 || matches!(self, Self::Share(_));
        counts.usable() && counts.trials > 0.0 && both
    }
}

/// Since when the share seems to be beyond its limit, and what was counted since.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Change {
    pub(crate) since: Timestamp,
    pub(crate) counts: Pair,
}

binary_fields!(Change { since, counts });

/// The evidence for one alternative; in a state a list without names.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(from = "(f64, f64, Timestamp, Pair)", into = "(f64, f64, Timestamp, Pair)")
)]
struct Evidence {
    /// ln (R + 1).
    level: f64,
    /// The likelihood ratio since the instant at which it was greatest for a change to have been (Page 1954), which tells when
    /// that was; it decides nothing.
    run: f64,
    change: Change,
}

binary_fields!(Evidence { level, run, change });

impl From<(f64, f64, Timestamp, Pair)> for Evidence {
    fn from((level, run, since, counts): (f64, f64, Timestamp, Pair)) -> Self {
        Self { level, run, change: Change { since, counts } }
    }
}

impl From<Evidence> for (f64, f64, Timestamp, Pair) {
    fn from(Evidence { level, run, change: Change { since, counts } }: Evidence) -> Self {
        (level, run, since, counts)
    }
}

/// Watches the counts of one check.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Detector {
    /// Counts up to the last look that told something, and when that was.
    seen: Pair,
    until: Timestamp,
    alternatives: [Evidence; ALTERNATIVES.len()],
}

binary_fields!(Detector { seen, until, alternatives });

impl Detector {
    /// Watches what is counted beyond `seen` from `until` on.
    pub(crate) fn new(seen: Pair, until: Timestamp) -> Self {
        Self { seen, until, alternatives: Default::default() }
    }

    /// Takes in all that is counted up to `until`. Counts that tell nothing, as there were no requests, are no look: they
    /// wait for the next. Where bad requests come in bursts they are evidence of one `factor`th of what they are otherwise.
    pub(crate) fn look(&mut self, all: Pair, limit: Limit, until: Timestamp, factor: f64) {
        let counts = all.minus(self.seen);
        if !limit.tells(counts) {
            return;
        }
        for (index, evidence) in self.alternatives.iter_mut().enumerate() {
            let Some(alternative) = limit.alternative(index) else { continue };
            let gain = limit.gain(counts, self.seen, alternative) / factor;
            evidence.level = libm::log1p(libm::exp(gain + evidence.level)).min(MOST);
            if evidence.run > 0.0 {
                evidence.change.counts = evidence.change.counts.plus(counts);
                evidence.run = (evidence.run + gain).min(MOST);
            } else {
                evidence.change = Change { since: self.until, counts };
                evidence.run = gain.min(MOST);
            }
        }
        (self.seen, self.until) = (all, until);
    }

    /// The change, if there is so much evidence of one that without it there is none in this many looks on average.
    pub(crate) fn alarm(&self, limit: Limit, looks: f64) -> Option<Change> {
        let possible = || {
            let all = self.alternatives.iter().enumerate();
            all.filter(|(index, _)| limit.alternative(*index).is_some()).map(|(_, evidence)| evidence)
        };
        let sum: f64 = possible().map(|evidence| libm::expm1(evidence.level)).sum();
        if sum < looks * possible().count() as f64 {
            return None;
        }
        possible().max_by(|a, b| a.level.total_cmp(&b.level)).map(|evidence| evidence.change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::stats::simulation::Coins;

    const LIMIT: Limit = Limit::Share(0.05);

    fn at(look: u32) -> Timestamp {
        Timestamp::from_secs(i64::from(look))
    }

    /// Looks at 20 requests each until there is an alarm, at most `most` times: how many it took.
    fn looks(coins: &mut Coins, ratio: f64, alarm: f64, most: u32) -> Option<u32> {
        let mut all = Pair::default();
        let mut detector = Detector::new(all, at(0));
        (1..=most).find(|look| {
            let events = (0..20).map(|_| f64::from(u8::from(coins.uniform() < ratio))).sum::<f64>();
            all = all.plus(Pair { events, trials: 20.0, ..Pair::default() });
            detector.look(all, LIMIT, at(*look), 1.0);
            detector.alarm(LIMIT, alarm).is_some()
        })
    }

    #[test]
    fn a_share_at_its_limit_is_hardly_ever_taken_for_a_change() {
        let mut coins = Coins::new(3);
        let runs = 60;
        let mean = |coins: &mut Coins, ratio: f64, most: u32| {
            let all: u32 = (0..runs).map(|_| looks(coins, ratio, 500.0, most).unwrap_or(most)).sum();
            f64::from(all) / f64::from(runs)
        };
        let at_the_limit = mean(&mut coins, 0.05, 20_000);
        assert!(at_the_limit >= 500.0, "{at_the_limit}");
        let below = mean(&mut coins, 0.04, 4_000);
        assert!(below >= 3_000.0, "{below}");
    }

    #[test]
    fn a_change_is_found_the_sooner_the_greater_it_is() {
        let mut coins = Coins::new(5);
        for (ratio, allowed) in [(0.08, 39.0), (0.1, 18.0), (0.2, 4.0)] {
            let runs = 100;
            let found: u32 = (0..runs).map(|_| looks(&mut coins, ratio, 2_000.0, 10_000).unwrap()).sum();
            let mean = f64::from(found) / f64::from(runs);
            assert!(mean <= allowed * 1.25, "{ratio}: {mean}");
        }
    }

    #[test]
    fn the_alarm_tells_what_was_counted_since_the_change() {
        let mut all = Pair::default();
        let mut detector = Detector::new(all, at(0));
        for look in 1..=1_000 {
            let events = if look > 990 { 10.0 } else { 0.0 };
            all = all.plus(Pair { events, trials: 20.0, ..Pair::default() });
            detector.look(all, LIMIT, at(look), 1.0);
            if let Some(change) = detector.alarm(LIMIT, 60_000.0) {
                assert!(look > 990 && look < 995, "{look}");
                assert_eq!((change.since, change.counts.events), (at(990), f64::from(look - 990) * 10.0));
                return;
            }
        }
        panic!("it was not found");
    }

    #[test]
    fn silence_is_no_look_and_no_change() {
        let mut detector = Detector::new(Pair::default(), at(0));
        for look in 1..=100_000 {
            detector.look(Pair::default(), LIMIT, at(look), 1.0);
        }
        assert_eq!(detector.alarm(LIMIT, 20.0), None);
        assert_eq!(detector, Detector::new(Pair::default(), at(0)));
    }

    #[test]
    fn counts_that_are_none_wait_or_count_nothing() {
        for (events, trials) in [(f64::NAN, 5.0), (3.0, f64::INFINITY), (6.0, 5.0), (-1.0, 5.0)] {
            let mut detector = Detector::new(Pair::default(), at(0));
            detector.look(Pair { events, trials, ..Pair::default() }, LIMIT, at(1), 1.0);
            assert_eq!(detector, Detector::new(Pair::default(), at(0)));
        }
        // An event that was scraped before its request is counted when that is there.
        let mut detector = Detector::new(Pair::default(), at(0));
        detector.look(Pair { events: 1.0, trials: 0.0, ..Pair::default() }, LIMIT, at(1), 1.0);
        detector.look(Pair { events: 1.0, trials: 2.0, ..Pair::default() }, LIMIT, at(2), 1.0);
        let mut once = Detector::new(Pair::default(), at(0));
        once.look(Pair { events: 1.0, trials: 2.0, ..Pair::default() }, LIMIT, at(2), 1.0);
        assert_eq!(detector, once);
    }

    #[test]
    fn any_limit_has_an_alternative_and_evidence_stays_a_number() {
        for limit in [1e-9, 0.05, 0.5, 0.8, 0.999].map(Limit::Share).into_iter().chain([Limit::Factor(1.5)]) {
            let mut detector = Detector::new(Pair::default(), at(0));
            let all = Pair { events: 1e12, trials: 1e12, baseline_events: 1.0, baseline_trials: 1e12 };
            detector.look(all, limit, at(1), 1.0);
            assert!(detector.alarm(limit, 1e9).is_some(), "{limit:?}");
            let numbers = detector.alternatives.iter().flat_map(|one| [one.level, one.run]);
            assert!(numbers.clone().all(f64::is_finite), "{:?}", numbers.collect::<Vec<_>>());
        }
        for limit in [Limit::Share(1.0), Limit::Share(f64::NAN), Limit::Factor(f64::INFINITY)] {
            let mut detector = Detector::new(Pair::default(), at(0));
            detector.look(
                Pair { events: 9.0, trials: 10.0, baseline_events: 1.0, baseline_trials: 10.0 },
                limit,
                at(1),
                1.0,
            );
            assert_eq!(detector.alarm(limit, 1.0), None, "{limit:?} cannot be exceeded");
        }
    }
}
