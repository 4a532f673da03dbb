//! What was found, as one sentence: lower case, no full stop.

use std::fmt;

use super::{BesideBaseline, BesideBaselineSamples, BurnRates, Finding, MissingSamples, WindowCounts};

/// A list of names for a sentence: `a`, `b`.
fn list(f: &mut fmt::Formatter<'_>, names: &[String]) -> fmt::Result {
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write!(f, "`{name}`")?;
    }
    Ok(())
}

fn suggested(f: &mut fmt::Formatter<'_>, lead: &str, names: &[String]) -> fmt::Result {
    if names.is_empty() {
        return Ok(());
    }
    write!(f, "; {lead}: ")?;
    list(f, names)
}

/// A selector for a sentence: the metric's name where there is one; the data hold all of it.
fn brief(selector: &str) -> &str {
    match selector.split_once('{') {
        Some((name, _)) if !name.is_empty() => name,
        _ => selector,
    }
}

/// The first few of so many: `1, 2, 3 and 4 more`.
struct Listed<'a>(&'a [String], usize);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))?;
        match self.1.saturating_sub(self.0.len()) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// A number for a sentence: whole where it is, else at most two decimals.
struct Short(f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.2}", self.0);
        let text = text.trim_end_matches('0').trim_end_matches('.');
        f.write_str(if text == "-0" { "0" } else { text })
    }
}

/// A share as per cent.
struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.0 * 100.0;
        if percent != 0.0 && percent.abs() < 0.1 {
            write!(f, "{percent:.3} %")
        } else {
            write!(f, "{} %", Short((percent * 10.0).round() / 10.0))
        }
    }
}

impl fmt::Display for MissingSamples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("samples")?;
        if let Some(from) = self.from {
            write!(f, " after {} s", from.as_secs_f64())?;
        }
        if let Some(until) = self.until {
            write!(f, " up to {} s", until.as_secs_f64())?;
        }
        write!(f, " may be missing: {}", self.why)?;
        match (self.bytes, self.batches) {
            _ if self.file.is_empty() => {}
            (0, 0) => write!(f, " ({})", self.file)?,
            (bytes, batches) => write!(f, " ({}, {bytes} bytes, {batches} batches)", self.file)?,
        }
        Ok(())
    }
}

impl fmt::Display for BesideBaselineSamples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { samples, baseline_samples, median, baseline_median, factor, difference } = self;
        let side = |f: &mut fmt::Formatter<'_>, samples: usize, median: Option<f64>| {
            write!(f, "{samples} samples")?;
            median.map_or(Ok(()), |median| write!(f, " with the median {}", Short(median)))
        };
        side(f, *samples, *median)?;
        f.write_str(", of the baseline ")?;
        side(f, *baseline_samples, *baseline_median)?;
        match (factor, difference) {
            (Some(factor), _) => write!(f, "; allowed are {} times the baseline", Short(*factor)),
            (None, Some(difference)) => {
                write!(f, "; allowed are {} more than the baseline", Short(*difference))
            }
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Display for BurnRates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { factor, budget, long, short } = self;
        let window = |f: &mut fmt::Formatter<'_>,
                      WindowCounts { seconds, events, trials, .. }: &WindowCounts| {
            let rate = events / trials / budget;
            let (seconds, events, trials, rate) =
                (Short(*seconds), Short(*events), Short(*trials), Short(rate));
            write!(f, "{events} of {trials} requests failed in {seconds} s, a burn rate of {rate}")
        };
        window(f, long)?;
        if long != short {
            f.write_str(", and ")?;
            window(f, short)?;
        }
        write!(f, "; the limit is {} times the budget of {}", Short(*factor), Percent(*budget))
    }
}

impl fmt::Display for BesideBaseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, trials, baseline_events, baseline_trials, factor, difference } = self;
        write!(
            f,
            "{} of {} requests failed ({}), of the baseline {} of {} ({})",
            Short(*events),
            Short(*trials),
            Percent(events / trials),
            Short(*baseline_events),
            Short(*baseline_trials),
            Percent(baseline_events / baseline_trials)
        )?;
        match (factor, difference) {
            (Some(factor), _) => write!(f, "; allowed are {} times the baseline", Short(*factor)),
            (None, Some(difference)) => {
                write!(f, "; allowed are {} more than the baseline", Percent(*difference))
            }
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Display for Finding {
    #[expect(clippy::too_many_lines, reason = "one sentence a variant")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AboveThreshold { ratio, threshold, events, trials, what } => write!(
                f,
                "{} of {} requests {what}: {}, the limit is {}",
                Short(*events),
                Short(*trials),
                Percent(*ratio),
                Percent(*threshold)
            ),
            Self::BurnRateExceeded(rates) => rates.fmt(f),
            Self::BelowThreshold { threshold, events, trials, what, .. } => write!(
                f,
                "{} of {} requests {what}: below the limit of {}",
                Short(*events),
                Short(*trials),
                Percent(*threshold)
            ),
            Self::ChangeDetected { ratio, threshold, events, trials, since, what } => write!(
                f,
                "it had passed, and {} of {} requests {what} after {} s: {}, the limit is {}",
                Short(*events),
                Short(*trials),
                since.as_secs_f64(),
                Percent(*ratio),
                Percent(*threshold)
            ),
            Self::EnoughTraffic { requests, seconds, rate } => write!(
                f,
                "{} requests in {} s, at least {} per second were asked for",
                Short(*requests),
                Short(*seconds),
                Short(*rate)
            ),
            Self::IntervalStraddles {
                low,
                high,
                threshold,
                events,
                trials,
                more_trials,
                eta_seconds,
                what,
            } => {
                write!(
                    f,
                    "{} of {} requests {what}; that allows {} to {}, on both sides of {}",
                    Short(*events),
                    Short(*trials),
                    Percent(*low),
                    Percent(*high),
                    Percent(*threshold)
                )?;
                match more_trials {
                    Some(more) => write!(f, "; about {} more requests would settle it", Short(*more))?,
                    None => f.write_str("; at this ratio more requests will not make it pass")?,
                }
                eta(f, *eta_seconds)
            }
            Self::NotEnoughRequests { have, need, seconds: Some(seconds), .. } => write!(
                f,
                "{} requests in {} s, at least {} are asked for",
                Short(*have),
                Short(*seconds),
                Short(need.ceil())
            ),
            Self::NotEnoughRequests { have, need, eta_seconds, .. } => {
                write!(
                    f,
                    "{} of {} requests needed, {} more if none is bad",
                    Short(*have),
                    Short(*need),
                    Short(need - have)
                )?;
                eta(f, *eta_seconds)
            }
            Self::NoTraffic { selector, seconds, series } => write!(
                f,
                "no requests: the {series} series of `{}` stood still for {} s",
                brief(selector),
                Short(*seconds)
            ),
            Self::ZeroDenominator { selector, seconds, series } => write!(
                f,
                "nothing to divide by: the {series} series of `{}` stood still for {} s",
                brief(selector),
                Short(*seconds)
            ),
            Self::NoSuchMetric { name, suggestions, .. } => {
                write!(f, "no series match: the metric `{name}` has never been received")?;
                suggested(f, "similar", suggestions)
            }
            Self::NoSuchLabel { metric, label, carriers, suggestions, .. } => {
                write!(f, "no series match: `{metric}` has no label `{label}`")?;
                suggested(f, "the wanted value occurs in its label", carriers)?;
                suggested(f, "its nearest labels", suggestions)
            }
            Self::NoSuchValue { metric, label, value, suggestions, elsewhere: false, .. } => {
                write!(f, "no series match: label `{label}` of `{metric}` has no value `{value}`")?;
                suggested(f, "nearest", suggestions)
            }
            Self::NoSuchValue { metric, label, value, suggestions, elsewhere: true, instead, .. } => {
                write!(f, "no series of `{metric}` has `{label}={value}` beside its other matchers")?;
                suggested(f, "beside them are", suggestions)?;
                for instead in instead {
                    write!(f, "; {instead}")?;
                }
                Ok(())
            }
            Self::MatchersExcludeEachOther { selector, .. } => {
                write!(f, "no series match `{selector}`: its matchers exclude each other")
            }
            Self::Stale { selector, age_seconds, ended, .. } => {
                let how = if *ended { "ended" } else { "had their last sample" };
                write!(f, "the series of `{}` {how} {} s ago", brief(selector), Short(age_seconds.round()))
            }
            Self::NumeratorExceedsDenominator { events, trials } => write!(
                f,
                "{} bad requests of {} requests: numerator and denominator do not count the same things",
                Short(*events),
                Short(*trials)
            ),
            Self::SamplesLate { selector, series, seconds } => write!(
                f,
                "of `{}` the newest sample of {series} is {} s behind; counts go no further, so that nothing of it is lost",
                brief(selector),
                Short(seconds.round())
            ),
            Self::EventsLate { selector, seconds } => write!(
                f,
                "the samples of `{}` come {} s later than those of the requests, which count no further than that",
                brief(selector),
                Short(seconds.round())
            ),
            Self::MissingNumeratorIsZero { selector, trials } => {
                write!(f, "no series match `{selector}`: counted as none among {} requests", Short(*trials))
            }
            Self::MissingNumeratorUnproven { selector, missing, suggestions } => {
                write!(f, "no series match `{selector}`, and {missing}: that is no proof of zero")?;
                suggested(f, "similar", suggestions)
            }
            Self::NotANumber { selector, value } => {
                write!(f, "a counter of `{selector}` has the value {value}, which counts nothing")
            }
            Self::NotAClassicHistogram { selector, problem } => write!(f, "`{selector}`: {problem}"),
            Self::ThresholdUnreachable { threshold, largest, above } => write!(
                f,
                "the largest finite bucket ends at {largest}, below the threshold {threshold}; \
                 {} requests lie above it, so the check can pass but never fail",
                Short(*above)
            ),
            Self::CannotFail { threshold } => write!(
                f,
                "the check allows {} of the requests to be bad, and no share is larger than all of them: it can pass but \
                 never fail; per cent and shares may be mixed up",
                Percent(*threshold)
            ),
            Self::BucketTooCoarse { threshold, fewest, most, trials } => write!(
                f,
                "between {} and {} of {} requests exceed {threshold}, which lies inside a bucket; \
                 put a bucket bound at {threshold}",
                Short(*fewest),
                Short(*most),
                Short(*trials)
            ),
            Self::WorseThanBaseline(counts) | Self::NoWorseThanBaseline(counts) => counts.fmt(f),
            Self::ComparisonUndecided(counts) => {
                write!(f, "{counts}; that may be both, more requests are needed")
            }
            Self::HigherThanBaseline(samples) | Self::NoHigherThanBaseline(samples) => samples.fmt(f),
            Self::SamplesUndecided(samples) => write!(f, "{samples}; that may be both"),
            Self::TooFewSamples { samples, baseline_samples, need, every_seconds } => write!(
                f,
                "{samples} samples, of the baseline {baseline_samples}; of either {need} are needed, one every {} s",
                Short(*every_seconds)
            ),
            Self::IndependenceAssumed { every_seconds } => write!(
                f,
                "samples are taken as independent, one every {} s; where values drift, noise decides more often than the confidence says",
                Short(*every_seconds)
            ),
            Self::BaselineNoTraffic { problem, .. } => write!(f, "nothing to compare with: {problem}"),
            Self::BaselineWorse { events, trials, threshold, objective } => write!(
                f,
                "the baseline itself does worse than `{objective}` allows the canary: {} of {} requests failed ({}), the limit is {}",
                Short(*events),
                Short(*trials),
                Percent(events / trials),
                Percent(*threshold)
            ),
            Self::CountExceeded { events, seconds, condition } => {
                write!(f, "{} events in {} s, asked for was {condition}", Short(*events), Short(*seconds))
            }
            Self::CountWithin { events, seconds, condition } => {
                write!(f, "{} events in {} s, as asked for: {condition}", Short(*events), Short(*seconds))
            }
            Self::ConditionMet { value, condition, answers } => {
                write!(
                    f,
                    "the value is {value}, as asked for: {condition}; {answers} answers were good, none was bad"
                )
            }
            Self::ConditionFailed { value, condition, at } => {
                write!(f, "the value was {value} at {} s, asked for was {condition}", at.as_secs_f64())
            }
            Self::ConditionUndecided { value, condition } => {
                write!(f, "{value} is neither good nor bad; asked for is {condition}")
            }
            Self::NoValue { why, .. } => f.write_str(why),
            Self::ConditionError { condition, value, message } => {
                // Argo's sentence names the condition.
                let named = message.contains(condition.as_str());
                f.write_str(if named { "" } else { "the condition cannot judge the answer: " })?;
                write!(f, "{message}; the query answers {value}")
            }
            Self::SeveralElements { elements, labels } => write!(
                f,
                "the query answers {elements} elements ({}), and the condition decides by which of them comes first, which means nothing; \
                 aggregate them, or judge all of them",
                Listed(labels, *elements)
            ),
            Self::FilteredOut { comparison, removed, values } => write!(
                f,
                "the query answers nothing, as `{comparison}` removes all that it compares: {}; write `bool` behind the \
                 operator, or leave the comparison to the condition",
                Listed(values, *removed)
            ),
            Self::JoinEmpty { operator, left_only, right_only, left, right } => {
                write!(
                    f,
                    "no sample left of `{operator}` meets one right of it: {left} there, {right} here"
                )?;
                suggested(f, "only on the left there is", left_only)?;
                suggested(f, "only on the right there is", right_only)
            }
            Self::WindowTooShort { selector, window_seconds, interval_seconds, samples } => {
                let plural = if *samples == 1 { "" } else { "s" };
                write!(
                    f,
                    "the window of {} s holds {samples} sample{plural} of `{}`, which is too few",
                    Short(*window_seconds),
                    brief(selector)
                )?;
                match interval_seconds {
                    Some(interval) => write!(
                        f,
                        "; scrapes come every {} s, a window of {} s or more is sensible",
                        Short(*interval),
                        Short(4.0 * interval)
                    ),
                    None => Ok(()),
                }
            }
            Self::WindowExceedsHistory { selector, from, until, first } => write!(
                f,
                "the query looks at `{}` from {} s to {} s, and its first sample is at {} s",
                brief(selector),
                from.as_secs_f64(),
                until.as_secs_f64(),
                first.as_secs_f64()
            ),
            Self::TrafficUnknown {} => {
                f.write_str("no requests are counted here: an idle canary passes; add a check of the traffic")
            }
            Self::TooManyElements { elements, limit } => {
                write!(
                    f,
                    "{elements} elements, at most {limit} are judged each for itself; leave labels out of `by`, or narrow the selector"
                )
            }
            Self::Elements { judged, alike } => {
                write!(f, "{judged} elements are judged, each for itself; {alike} of them say so")
            }
            Self::ElementMissing { selector, targets } => {
                write!(f, "no series of `{}` came from scrape targets that it means: ", brief(selector))?;
                list(f, targets)
            }
            Self::NoErrorGuarantee {} => {
                f.write_str("a single value decides; how often noise does is not known")
            }
            Self::CounterReset { resets, selector } => {
                let times = if *resets == 1 { "once" } else { "several times" };
                write!(f, "counters of `{}` started again {times}", brief(selector))
            }
            Self::NewSeriesCounted { series, amount, selector } => {
                write!(
                    f,
                    "{series} new series of `{}` count in full, {} in all",
                    brief(selector),
                    Short(*amount)
                )
            }
            Self::Exemplars { traces } => {
                f.write_str("bad requests, by their traces:")?;
                for (index, trace) in traces.iter().enumerate() {
                    let lead = if index == 0 { "" } else { "," };
                    write!(f, "{lead} {} ({})", trace.link, Short(trace.value))?;
                }
                Ok(())
            }
            Self::NonInteger { events, trials } => {
                write!(f, "the counts {events} of {trials} are not whole numbers")
            }
            Self::SourceError { message, in_a_row, limit } => {
                write!(f, "the source failed {in_a_row} times in a row (limit {limit}): {message}")
            }
            Self::UncleanStart(missing)
            | Self::DataLost(missing)
            | Self::DataDamaged(missing)
            | Self::StoreFailed(missing)
            | Self::RuleFailed(missing)
            | Self::LimitExceeded(missing) => missing.fmt(f),
            Self::Deadline { unsettled, seconds } => {
                write!(f, "not settled at the deadline after {} s: ", Short(*seconds))?;
                list(f, unsettled)
            }
            Self::DeadlineExtended { from_seconds, to_seconds, update_seconds } => write!(
                f,
                "the deadline is moved from {} s to {} s, as the counters change every {} s only",
                Short(*from_seconds),
                Short(*to_seconds),
                Short(*update_seconds)
            ),
            Self::Terminated { unsettled, seconds } => {
                write!(f, "ended after {} s before it was settled: ", Short(*seconds))?;
                list(f, unsettled)
            }
            Self::WarmingUp { remaining_seconds } => {
                write!(f, "not long enough yet, {} s remain", Short(*remaining_seconds))
            }
            Self::Watching { seconds, .. } => {
                write!(
                    f,
                    "it first passed {} s after its start, and was watched from then on",
                    Short(*seconds)
                )
            }
            Self::DispersionHigh { factor, looks, .. } => write!(
                f,
                "bad requests come in bursts: the counts of {looks} looks scatter {} times more than those of independent requests, \
                 which is what the tests promise for; allow for it by `dispersion: upper`",
                Short(*factor)
            ),
            Self::BurstsUnknown { looks, need } => write!(
                f,
                "how far bad requests come in bursts is known after {need} looks with requests; so far there were {looks}"
            ),
            Self::DecidesOnce { remaining_seconds } => {
                write!(f, "it decides in one look, at the deadline, in {} s", Short(*remaining_seconds))
            }
            Self::SpecificationChanged { since } => write!(
                f,
                "its evidence begins at {} s, when the gate was given the check as it is now",
                since.as_secs_f64()
            ),
            Self::Settling {} => f.write_str("no scrape since the beginning is old enough to count"),
            Self::TargetRestarting { target, restarts } => {
                write!(f, "{target} keeps dying: {} restarts during the run", restarts.len())
            }
            Self::TargetRestarted { target, remaining_seconds, .. } => {
                write!(f, "{target} restarted and has to live {} s more", Short(remaining_seconds.ceil()))
            }
            Self::TargetAbsent { target, share, down } => {
                write!(f, "{target} missed {} of its scrapes", Percent(*share))?;
                f.write_str(if *down { " and is down" } else { "" })
            }
            Self::TargetUnknown { problem } => write!(f, "target health is unknown: {problem}"),
            Self::ExporterRestarted { target, .. } => {
                write!(f, "{target}, which reports for others, was away and came back")
            }
            Self::DryRun { verdict } => write!(f, "in dry run; it would have been {verdict}"),
            Self::Argo { phase, message } if message.is_empty() => f.write_str(phase),
            Self::Argo { phase, message } => write!(f, "{phase}: {message}"),
        }
    }
}

fn eta(f: &mut fmt::Formatter<'_>, seconds: Option<f64>) -> fmt::Result {
    match seconds {
        Some(seconds) => write!(f, ", about {} s at this rate", Short(seconds.ceil())),
        None => Ok(()),
    }
}
