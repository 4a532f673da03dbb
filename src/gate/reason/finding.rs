//! Everything that a gate may find, each with its code, its data and what they mean.

use super::data::{BesideBaseline, BesideBaselineSamples, BurnRates, MissingSamples, Trace};
use crate::gate::binary::{Binary, Reader};
use crate::gate::verdict::Verdict;
use crate::model::Timestamp;

macro_rules! findings {
    ($($(#[$doc:meta])* $variant:ident = $code:literal
        $(($data:ty))? $({ $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? })?)*) => {
        /// What a [`Reason`](super::Reason) found. Counts are requests, times are instants, ratios lie between 0 and 1.
        #[derive(Clone, Debug, PartialEq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(tag = "code"))]
        #[non_exhaustive]
        pub enum Finding {
            $(
                $(#[$doc])*
                #[cfg_attr(feature = "serde", serde(rename = $code))]
                $variant $(($data))? $({ $($(#[$field_doc])* $field: $type),* })?,
            )*
        }

        /// The code as text, which stands for the variant whatever others come, and its data.
        impl Binary for Finding {
            fn put(&self, into: &mut Vec<u8>) {
                self.code().to_owned().put(into);
                match self {
                    $(Self::$variant { $($($field,)*)? .. } => {
                        $($($field.put(into);)*)?
                        $(if let Self::$variant(data) = self {
                            <$data as Binary>::put(data, into);
                        })?
                    })*
                }
            }

            fn take(from: &mut Reader<'_>) -> Option<Self> {
                Some(match String::take(from)?.as_str() {
                    $($code => {
                        $($(let $field = Binary::take(from)?;)*)?
                        Self::$variant $((<$data as Binary>::take(from)?))? $({ $($field),* })?
                    })*
                    _ => return None,
                })
            }
        }

        impl Finding {
            /// The stable code in `kebab-case`.
            pub fn code(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $code,)*
                }
            }

            /// All codes, each with the names of its data where it has them of its own.
            #[cfg(test)]
            pub(super) const ALL: &[(&'static str, &'static [&'static str])] =
                &[$(($code, &[$($(stringify!($field)),*)?])),*];
        }
    };
}

findings! {
    /// The whole of what the counts leave possible lies on the wrong side of the threshold.
    AboveThreshold = "above-threshold" {
        /// The share that counts against the canary, as observed.
        ratio: f64,
        /// The share that the check allows.
        threshold: f64,
        /// Events counted.
        events: f64,
        /// Requests counted.
        trials: f64,
        /// What an event is, for people.
        what: String,
    }
    /// Over a long and a short window the canary spends its budget of bad requests faster than is allowed.
    BurnRateExceeded = "burn-rate-exceeded" (BurnRates)
    /// The counts show the ratio below its threshold.
    BelowThreshold = "below-threshold" {
        /// The share that counts against the canary, as observed.
        ratio: f64,
        /// The share that the check allows.
        threshold: f64,
        /// Events counted.
        events: f64,
        /// Requests counted.
        trials: f64,
        /// What an event is, for people.
        what: String,
    }
    /// The check had passed, and the ratio has risen above its threshold since.
    ChangeDetected = "change-detected" {
        /// The share that counts against the canary, since the change.
        ratio: f64,
        /// The share that the check allows.
        threshold: f64,
        /// Events counted since the change.
        events: f64,
        /// Requests counted since the change.
        trials: f64,
        /// Since when the ratio seems to be above the threshold.
        since: Timestamp,
        /// What an event is, for people.
        what: String,
    }
    /// The traffic that a volume check asks for was seen.
    EnoughTraffic = "enough-traffic" {
        /// Requests counted.
        requests: f64,
        /// Length of the evidence in seconds.
        seconds: f64,
        /// Requests per second that are asked for.
        rate: f64,
    }
    /// The counts allow ratios on both sides of the threshold.
    IntervalStraddles = "interval-straddles" {
        /// Lowest ratio that the counts leave possible.
        low: f64,
        /// Highest ratio that the counts leave possible.
        high: f64,
        /// The share that the check allows.
        threshold: f64,
        /// Events counted.
        events: f64,
        /// Requests counted.
        trials: f64,
        /// Requests still missing if events go on as seen; none if that never settles it.
        more_trials: Option<f64>,
        /// Seconds until they are there at the rate seen.
        eta_seconds: Option<f64>,
        /// What an event is, for people.
        what: String,
    }
    /// Too few requests to tell, none of them bad so far; or fewer than a volume check asks for.
    NotEnoughRequests = "not-enough-requests" {
        /// Requests counted.
        have: f64,
        /// Requests needed in all.
        need: f64,
        /// For a volume: the length of the evidence in seconds.
        seconds: Option<f64>,
        /// Requests per second that were seen.
        rate: f64,
        /// Seconds until they are there at that rate.
        eta_seconds: Option<f64>,
    }
    /// The series exist and do not move.
    NoTraffic = "no-traffic" {
        /// The selector whose counters stand still.
        selector: String,
        /// How long they have, in seconds.
        seconds: f64,
        /// How many series there are.
        series: usize,
    }
    /// Nothing divided by nothing: the denominator's series exist and did not move.
    ZeroDenominator = "zero-denominator" {
        /// The selector of the denominator.
        selector: String,
        /// Length of the evidence in seconds.
        seconds: f64,
        /// How many series there are.
        series: usize,
    }
    /// The metric name was never received.
    NoSuchMetric = "no-such-metric" {
        /// The selector that matched nothing.
        selector: String,
        /// The name at fault.
        name: String,
        /// Names that are near.
        suggestions: Vec<String>,
    }
    /// The metric has no such label.
    NoSuchLabel = "no-such-label" {
        /// The selector that matched nothing.
        selector: String,
        /// The metric.
        metric: String,
        /// The matcher at fault.
        matcher: String,
        /// The label at fault.
        label: String,
        /// Labels of the metric that carry the wanted value.
        carriers: Vec<String>,
        /// Label names that are near.
        suggestions: Vec<String>,
    }
    /// The label never has this value together with the other matchers.
    NoSuchValue = "no-such-value" {
        /// The selector that matched nothing.
        selector: String,
        /// The metric.
        metric: String,
        /// The matcher at fault.
        matcher: String,
        /// The label at fault.
        label: String,
        /// The value or pattern that nothing has.
        value: String,
        /// Values that are near.
        suggestions: Vec<String>,
        /// Series that match without this matcher.
        series: usize,
        /// Whether the metric has the value beside other values of the other labels.
        elsewhere: bool,
        /// What else would have to be left out instead, and what is there then.
        instead: Vec<String>,
    }
    /// Each matcher matches something, all of them together nothing.
    MatchersExcludeEachOther = "matchers-exclude-each-other" {
        /// The selector that matched nothing.
        selector: String,
        /// Its matchers.
        matchers: Vec<String>,
    }
    /// The series have ended, or have had no sample for too long.
    Stale = "stale" {
        /// The selector.
        selector: String,
        /// The newest sample.
        last: Timestamp,
        /// Its age in seconds.
        age_seconds: f64,
        /// Whether a staleness marker ended the series.
        ended: bool,
    }
    /// More bad requests than requests: numerator and denominator do not count the same things.
    NumeratorExceedsDenominator = "numerator-exceeds-denominator" {
        /// Events counted.
        events: f64,
        /// Requests counted.
        trials: f64,
    }
    /// A series comes later than the others, or all come later than is waited for; counts go no further than it is there.
    SamplesLate = "samples-late" {
        /// The selector.
        selector: String,
        /// The labels of the series that is the furthest behind, without its name.
        series: String,
        /// How far its newest sample is behind what would count, in seconds.
        seconds: f64,
    }
    /// Events come later than the requests that they are among, which count no further than those are there.
    EventsLate = "events-late" {
        /// The selector of the events.
        selector: String,
        /// How far their newest samples are behind what would count, in seconds.
        seconds: f64,
    }
    /// The numerator has no series, and that provably means zero.
    MissingNumeratorIsZero = "missing-numerator-is-zero" {
        /// The numerator's selector.
        selector: String,
        /// The requests that prove it.
        trials: f64,
    }
    /// The numerator has no series, and nothing proves that it could have had some.
    MissingNumeratorUnproven = "missing-numerator-unproven" {
        /// The numerator's selector.
        selector: String,
        /// What was never seen.
        missing: String,
        /// Names that are near.
        suggestions: Vec<String>,
    }
    /// A counter holds NaN, an infinity or a negative number.
    NotANumber = "not-a-number" {
        /// The selector.
        selector: String,
        /// The value as text.
        value: String,
    }
    /// Buckets without `+Inf`, native histograms where floats are needed, or ones that count nothing.
    NotAClassicHistogram = "not-a-classic-histogram" {
        /// The selector.
        selector: String,
        /// What is wrong with it.
        problem: String,
    }
    /// The threshold lies above the largest finite bucket: the check can pass and never fail.
    ThresholdUnreachable = "threshold-unreachable" {
        /// The threshold in the metric's unit.
        threshold: f64,
        /// The largest finite bucket bound.
        largest: f64,
        /// Requests above that bound.
        above: f64,
    }
    /// The threshold of a ratio is one that no share exceeds: the check can pass and never fail.
    CannotFail = "cannot-fail" {
        /// The share that the check allows.
        threshold: f64,
    }
    /// The threshold lies inside a bucket that decides.
    BucketTooCoarse = "bucket-too-coarse" {
        /// The threshold in the metric's unit.
        threshold: f64,
        /// Fewest requests that can be above the threshold.
        fewest: f64,
        /// Most requests that can be above the threshold.
        most: f64,
        /// Requests counted.
        trials: f64,
    }
    /// The canary's requests fail more often than the baseline's by more than is allowed.
    WorseThanBaseline = "worse-than-baseline" (BesideBaseline)
    /// The canary's requests do not fail more often than the baseline's by more than is allowed.
    NoWorseThanBaseline = "no-worse-than-baseline" (BesideBaseline)
    /// The counts allow a canary that is worse than the baseline by more than is allowed, and one that is not.
    ComparisonUndecided = "comparison-undecided" (BesideBaseline)
    /// The canary's samples of a gauge tend to be higher than the baseline's by more than is allowed.
    HigherThanBaseline = "higher-than-baseline" (BesideBaselineSamples)
    /// The canary's samples of a gauge tend to be lower than the baseline's with what is allowed.
    NoHigherThanBaseline = "no-higher-than-baseline" (BesideBaselineSamples)
    /// The samples allow a gauge that is higher than the baseline's by more than is allowed, and one that is not.
    SamplesUndecided = "samples-undecided" (BesideBaselineSamples)
    /// Too few samples of a gauge to compare.
    TooFewSamples = "too-few-samples" {
        /// Samples of the canary.
        samples: usize,
        /// Samples of the baseline.
        baseline_samples: usize,
        /// How many it takes of either.
        need: usize,
        /// The time from one to the next, in seconds.
        every_seconds: f64,
    }
    /// Samples of a gauge are taken as independent, which they seldom are.
    IndependenceAssumed = "independence-assumed" {
        /// The time from one to the next, in seconds.
        every_seconds: f64,
    }
    /// Nothing can be told from the baseline.
    BaselineNoTraffic = "baseline-no-traffic" {
        /// The selector of the baseline's requests.
        selector: String,
        /// What is wrong with it.
        problem: String,
    }
    /// The baseline itself does worse than another check of the gate allows the canary.
    BaselineWorse = "baseline-worse" {
        /// Bad requests of the baseline.
        events: f64,
        /// Requests of the baseline.
        trials: f64,
        /// The share of bad requests that the other check allows.
        threshold: f64,
        /// The other check.
        objective: String,
    }
    /// More events than are allowed.
    CountExceeded = "count-exceeded" {
        /// Events counted.
        events: f64,
        /// In how many seconds.
        seconds: f64,
        /// What a number has to be.
        condition: String,
    }
    /// As few events as are asked for.
    CountWithin = "count-within" {
        /// Events counted.
        events: f64,
        /// In how many seconds.
        seconds: f64,
        /// What a number has to be.
        condition: String,
    }
    /// The query's newest answer is good, and none was bad.
    ConditionMet = "condition-met" {
        /// The answer.
        value: String,
        /// What it has to be.
        condition: String,
        /// How many answers were good.
        answers: u64,
    }
    /// An answer of the query is bad.
    ConditionFailed = "condition-failed" {
        /// The first such answer.
        value: String,
        /// What it had to be.
        condition: String,
        /// When.
        at: Timestamp,
    }
    /// A number is neither good nor bad.
    ConditionUndecided = "condition-undecided" {
        /// The number, or the query's newest answer.
        value: String,
        /// What it has to be.
        condition: String,
    }
    /// The query answers no number.
    NoValue = "no-value" {
        /// The query.
        query: String,
        /// What it answers.
        why: String,
    }
    /// The condition cannot judge what the query answers.
    ConditionError = "condition-error" {
        /// The condition.
        condition: String,
        /// The answer.
        value: String,
        /// What the condition language says.
        message: String,
    }
    /// The query answers several elements, and the condition decides by which of them comes first.
    SeveralElements = "several-elements" {
        /// How many there are.
        elements: usize,
        /// The labels of the first few.
        labels: Vec<String>,
    }
    /// A comparison in the query removes all that it compares.
    FilteredOut = "filtered-out" {
        /// The comparison.
        comparison: String,
        /// How many values it removed.
        removed: usize,
        /// The first few of them.
        values: Vec<String>,
    }
    /// Both sides of an operator have samples, and none of them meet.
    JoinEmpty = "join-empty" {
        /// The operator.
        operator: String,
        /// Labels of samples on its left that none on its right has.
        left_only: Vec<String>,
        /// Labels of samples on its right that none on its left has.
        right_only: Vec<String>,
        /// The labels of the first sample on its left.
        left: String,
        /// The labels of the first sample on its right.
        right: String,
    }
    /// A window holds fewer samples than what looks at it needs: it is shorter than two scrape intervals.
    WindowTooShort = "window-too-short" {
        /// The selector.
        selector: String,
        /// How long the window is.
        window_seconds: f64,
        /// The time between scrapes, as far as it is known.
        interval_seconds: Option<f64>,
        /// The most samples of one series in the window.
        samples: usize,
    }
    /// The query looks at a time before there were data.
    WindowExceedsHistory = "window-exceeds-history" {
        /// The selector.
        selector: String,
        /// Where the query begins to look.
        from: Timestamp,
        /// Up to where it looks.
        until: Timestamp,
        /// The first sample.
        first: Timestamp,
    }
    /// The check passes without requests, too.
    TrafficUnknown = "traffic-unknown" {}
    /// A check of each element has more of them than it judges.
    TooManyElements = "too-many-elements" {
        /// How many there are.
        elements: usize,
        /// How many are judged.
        limit: usize,
    }
    /// Each element is judged for itself.
    Elements = "elements" {
        /// How many there are.
        judged: usize,
        /// How many of them say what the check says.
        alike: usize,
    }
    /// Scrape targets that the check means have delivered nothing that makes an element.
    ElementMissing = "element-missing" {
        /// The selector of the check's requests.
        selector: String,
        /// The scrape targets.
        targets: Vec<String>,
    }
    /// Noise decides this check with a probability that nobody knows.
    NoErrorGuarantee = "no-error-guarantee" {}
    /// Counters started again from zero.
    CounterReset = "counter-reset" {
        /// How often.
        resets: usize,
        /// The selector.
        selector: String,
    }
    /// Series that were born during the evidence count in full.
    NewSeriesCounted = "new-series-counted" {
        /// How many series.
        series: usize,
        /// What they started with in all.
        amount: f64,
        /// The selector.
        selector: String,
    }
    /// Traces of requests that the check counts as bad.
    Exemplars = "exemplars" {
        /// The slowest first where the check is about how long they take, else the newest first.
        traces: Vec<Trace>,
    }
    /// Bad requests come in bursts, which the tests take them not to.
    DispersionHigh = "dispersion-high" {
        /// How many times more the counts of the looks scatter than those of independent requests would.
        factor: f64,
        /// Looks with requests.
        looks: u32,
        /// Events counted.
        events: f64,
        /// Requests counted.
        trials: f64,
    }
    /// The check allows for bursts, and there were too few looks with requests to tell how large they are.
    BurstsUnknown = "bursts-unknown" {
        /// Looks with requests.
        looks: u32,
        /// How many it takes.
        need: u32,
    }
    /// The check decides in one look, at the deadline.
    DecidesOnce = "decides-once" {
        /// Seconds until then.
        remaining_seconds: f64,
    }
    /// Counts are not whole numbers.
    NonInteger = "non-integer" {
        /// Events counted.
        events: f64,
        /// Requests counted.
        trials: f64,
    }
    /// The source's store was not closed before: its newest samples may be missing.
    UncleanStart = "unclean-start" (MissingSamples)
    /// Samples that the source had are missing.
    DataLost = "data-lost" (MissingSamples)
    /// Samples that the source had are damaged and left out.
    DataDamaged = "data-damaged" (MissingSamples)
    /// The source's store has failed and takes nothing.
    StoreFailed = "store-failed" (MissingSamples)
    /// A rule that records the series failed.
    RuleFailed = "rule-failed" (MissingSamples)
    /// The source's store refused samples: there was no room for them, or a limit was reached.
    LimitExceeded = "limit-exceeded" (MissingSamples)
    /// The source did not answer.
    SourceError = "source-error" {
        /// What it said.
        message: String,
        /// How often in a row.
        in_a_row: u32,
        /// How often in a row is tolerated.
        limit: u32,
    }
    /// The time is up and checks are not settled.
    Deadline = "deadline" {
        /// The checks that are not settled.
        unsettled: Vec<String>,
        /// How long the gate ran, in seconds.
        seconds: f64,
    }
    /// The counters change too rarely for the deadline that the counts of a template make, which is moved.
    DeadlineExtended = "deadline-extended" {
        /// The deadline as it was, in seconds after the start.
        from_seconds: f64,
        /// The deadline as it is.
        to_seconds: f64,
        /// The time between changes of the counters, in seconds.
        update_seconds: f64,
    }
    /// The gate was ended before it was settled.
    Terminated = "terminated" {
        /// The checks that were not settled.
        unsettled: Vec<String>,
        /// How long the gate ran, in seconds.
        seconds: f64,
    }
    /// The warm-up, or the least duration of the gate, is not over.
    WarmingUp = "warming-up" {
        /// Seconds that remain.
        remaining_seconds: f64,
    }
    /// The gate has passed, and looks on for whether that stays so.
    Watching = "watching" {
        /// When it first passed.
        since: Timestamp,
        /// How long after its start that was, in seconds.
        seconds: f64,
    }
    /// The evidence of the check begins later than that of the gate: it was changed, or added, while the gate ran.
    SpecificationChanged = "specification-changed" {
        /// Where its evidence begins.
        since: Timestamp,
    }
    /// No scrape since the evidence began is old enough to count.
    Settling = "settling" {}
    /// The canary keeps restarting.
    TargetRestarting = "target-restarting" {
        /// The scrape target.
        target: String,
        /// When each new process was first seen.
        restarts: Vec<Timestamp>,
    }
    /// The canary restarted and has not lived long enough since.
    TargetRestarted = "target-restarted" {
        /// The scrape target.
        target: String,
        /// When the new process was first seen.
        at: Timestamp,
        /// How long it has to live until it counts as alive, in seconds.
        remaining_seconds: f64,
    }
    /// The canary could not be scraped.
    TargetAbsent = "target-absent" {
        /// The scrape target.
        target: String,
        /// Share of the scrapes that it missed.
        share: f64,
        /// Whether the newest scrape is among them.
        down: bool,
    }
    /// Target health could not be looked at.
    TargetUnknown = "target-unknown" {
        /// Why.
        problem: String,
    }
    /// The messenger restarted, not the canary.
    ExporterRestarted = "exporter-restarted" {
        /// The scrape target.
        target: String,
        /// When it was first seen again.
        at: Timestamp,
    }
    /// A check in dry run decides nothing.
    DryRun = "dry-run" {
        /// What it would have said.
        verdict: Verdict,
    }
    /// What Argo's rules say, in Argo's words.
    Argo = "argo" {
        /// The phase.
        phase: String,
        /// The message.
        message: String,
    }
}
