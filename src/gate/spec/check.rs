//! One check, as it is written in Rust.

use super::kind::THINNED_MS;
use super::kind::{Bound, CheckKind, CheckSpec, ComparisonLimit, Conditions, Grouping, Share, ValueSpec};
use super::{BurnRate, BurnRateWindows, Selector, invalid};
use crate::error::{Error, Result};
use crate::model::{MatchOp, Matcher, number};
use crate::promql::Engine;

/// One check of a gate, to be finished by its condition.
#[derive(Clone, Debug)]
pub struct Check {
    name: String,
    dry_run: bool,
    subject: Subject,
    condition: Option<(Condition, f64)>,
    fails_beyond: Option<f64>,
    missing_is_zero: bool,
    by: Vec<String>,
    windows: Vec<BurnRateWindows>,
}

#[derive(Clone, Debug)]
enum Subject {
    Ratio { events: String, trials: String },
    BurnRate { events: String, trials: String, objective: f64 },
    Apdex { buckets: String, satisfied: f64 },
    Quantile { buckets: String, phi: f64 },
    Volume { requests: String },
    Count { events: String, window_ms: i64 },
    Comparison { canary: (String, String), baseline: (String, String) },
    Gauge { canary: String, baseline: String },
    Value { query: String },
}

impl Subject {
    /// What it is, for a sentence.
    fn name(&self) -> &'static str {
        match self {
            Self::Ratio { .. } => "ratio",
            Self::BurnRate { .. } => "burn rate",
            Self::Apdex { .. } => "apdex",
            Self::Quantile { .. } => "quantile",
            Self::Volume { .. } => "volume",
            Self::Count { .. } => "count",
            Self::Comparison { .. } => "comparison",
            Self::Gauge { .. } => "gauge",
            Self::Value { .. } => "value",
        }
    }

    /// The conditions that it takes, for a sentence.
    fn takes(&self) -> &'static str {
        match self {
            Self::Ratio { .. } => "below or above",
            Self::Apdex { .. } => "above",
            Self::Quantile { .. } | Self::BurnRate { .. } => "below",
            Self::Volume { .. } => "at_least",
            Self::Count { .. } => "below or at_most",
            Self::Comparison { .. } | Self::Gauge { .. } => "within_factor or within_difference",
            Self::Value { .. } => "below, at_most, above or at_least",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Below,
    Above,
    AtLeast,
    AtMost,
    Factor,
    Difference,
}

impl Condition {
    fn bound(self) -> Option<Bound> {
        match self {
            Self::Below => Some(Bound::Below),
            Self::Above => Some(Bound::Above),
            Self::AtLeast => Some(Bound::AtLeast),
            Self::AtMost => Some(Bound::AtMost),
            Self::Factor | Self::Difference => None,
        }
    }
}

impl Check {
    /// The share of `events` among `trials`, two selectors of counters: errors among requests with
    /// [`below`](Self::below), good requests among requests with [`above`](Self::above).
    pub fn ratio(name: impl Into<String>, events: impl Into<String>, trials: impl Into<String>) -> Self {
        Self::new(name.into(), Subject::Ratio { events: events.into(), trials: trials.into() })
    }

    /// How many times faster than the objective allows the canary spends its budget of bad requests: the share of `events` among
    /// `trials`, over 1 - `objective`, with [`below`](Self::below). At an objective of 0.999 a burn rate of 14.4 spends in an hour
    /// 2 % of what is allowed in 30 days (The Site Reliability Workbook, chapter 5). It is judged as [`ratio`](Self::ratio) is, so
    /// that one error among ten requests is no burn rate of 100.
    pub fn burn_rate(
        name: impl Into<String>,
        events: impl Into<String>,
        trials: impl Into<String>,
        objective: f64,
    ) -> Self {
        Self::new(name.into(), Subject::BurnRate { events: events.into(), trials: trials.into(), objective })
    }

    /// The Apdex score of a classic histogram, by a selector of its `_bucket` series without `le`: requests that take up to
    /// `satisfied` count in full, those that take up to four times as long count half, with [`above`](Self::above). Both have to be
    /// bounds of its buckets. It is judged as [`ratio`](Self::ratio) is.
    pub fn apdex(name: impl Into<String>, buckets: impl Into<String>, satisfied: f64) -> Self {
        Self::new(name.into(), Subject::Apdex { buckets: buckets.into(), satisfied })
    }

    /// The `phi`-quantile of a histogram's observations: of a classic one by a selector of its `_bucket` series, or of a native one,
    /// of any resolution, by a selector of its own series. Whether the limit is a bound of its buckets decides how sharply it is seen.
    pub fn quantile(name: impl Into<String>, buckets: impl Into<String>, phi: f64) -> Self {
        Self::new(name.into(), Subject::Quantile { buckets: buckets.into(), phi })
    }

    /// How many requests per second a selector of counters saw.
    pub fn volume(name: impl Into<String>, requests: impl Into<String>) -> Self {
        Self::new(name.into(), Subject::Volume { requests: requests.into() })
    }

    /// How many events a selector of counters saw in the last `window_ms` milliseconds, none before the evidence begins:
    /// exact increases, resets and new series included. Beyond [`at_most`](Self::at_most) it fails at once; it passes when
    /// the window is full.
    ///
    /// A selector that matches nothing has counted nothing, and that is no proof that nothing happened: see
    /// [`missing_numerator_is_zero`](Self::missing_numerator_is_zero).
    pub fn count(name: impl Into<String>, events: impl Into<String>, window_ms: i64) -> Self {
        Self::new(name.into(), Subject::Count { events: events.into(), window_ms })
    }

    /// The share of bad requests of the canary beside that of the baseline, each as a selector of errors and one of requests,
    /// with [`within_factor`](Self::within_factor) or [`within_difference`](Self::within_difference). The split of the traffic
    /// may change while the gate runs, and so may everybody's errors: each span between two looks is held against its own split and, by
    /// a difference, against its own baseline. Sums over all the time would take a canary for good that got most of its traffic while
    /// everybody did well (Simpson 1951).
    ///
    /// By a factor: likelihood ratios of who had the bad requests, given how many there were (Przyborowski, Wilenski 1940); at one look
    /// the binomial bound that holds for coins that differ (Hoeffding 1956). By a difference: likelihood ratios against the nearest
    /// shares that differ by the limit (Turner, Grünwald 2023); at one look Chernoff's bound of the weighted difference. To fail by a
    /// difference the sums have to show it as well, by two bounds at half of α each.
    pub fn comparison<T: Into<String>>(name: impl Into<String>, canary: (T, T), baseline: (T, T)) -> Self {
        let texts = |(events, trials): (T, T)| (events.into(), trials.into());
        Self::new(name.into(), Subject::Comparison { canary: texts(canary), baseline: texts(baseline) })
    }

    /// Samples of a gauge of the canary beside those of the baseline, two selectors of gauges of which high values are bad, such as
    /// memory or saturation, with [`within_factor`](Self::within_factor) or [`within_difference`](Self::within_difference), in the
    /// unit of the gauge. It passes if its samples tend to be lower than the baseline's with the limit on top, and fails if they tend
    /// to be higher (Mann, Whitney 1947, exact for up to 64 samples, with ties as well); where both sides are constant it is above the
    /// limit or not.
    ///
    /// A sample is the mean over the series of a side, one a minute, less often where the evidence is longer than 200 minutes. It is
    /// decided in one look, at the deadline, which the gate needs, by 20 samples of either side at least, so that the evidence lasts 20
    /// minutes and the time to settle. It is not watched on after that. Samples are taken as independent, which those of a gauge seldom
    /// are: the confidence is less than it says where values drift.
    pub fn gauge(name: impl Into<String>, canary: impl Into<String>, baseline: impl Into<String>) -> Self {
        Self::new(name.into(), Subject::Gauge { canary: canary.into(), baseline: baseline.into() })
    }

    /// What a PromQL query answers, so often that every sample of its first selector counts once: for what has no events behind
    /// it, such as memory or replicas. One bad answer fails the check, and the newest has to be good for it to pass. Silence
    /// and NaN never pass. A look that comes more than 1,000 scrapes after the one before asks at 1,000 of them.
    ///
    /// Nothing bounds the probability that noise decides: where requests are counted, the other checks promise more.
    pub fn value(name: impl Into<String>, query: impl Into<String>) -> Self {
        Self::new(name.into(), Subject::Value { query: query.into() })
    }

    fn new(name: String, subject: Subject) -> Self {
        Self {
            name,
            dry_run: false,
            subject,
            condition: None,
            fails_beyond: None,
            missing_is_zero: false,
            by: Vec::new(),
            windows: Vec::new(),
        }
    }

    /// Good if a ratio, between 0 and 1, a quantile, in the unit of its buckets, a count or a value is below `threshold`.
    #[must_use]
    pub fn below(self, threshold: f64) -> Self {
        Self { condition: Some((Condition::Below, threshold)), ..self }
    }

    /// Good if a ratio, between 0 and 1, or a value is above `threshold`.
    #[must_use]
    pub fn above(self, threshold: f64) -> Self {
        Self { condition: Some((Condition::Above, threshold)), ..self }
    }

    /// Good if a count or a value is this or less.
    #[must_use]
    pub fn at_most(self, threshold: f64) -> Self {
        Self { condition: Some((Condition::AtMost, threshold)), ..self }
    }

    /// Good if a volume is at least this many requests per second, or a value this or more.
    #[must_use]
    pub fn at_least(self, threshold: f64) -> Self {
        Self { condition: Some((Condition::AtLeast, threshold)), ..self }
    }

    /// Good if the canary's share of bad requests is at most `factor` times the baseline's, or its samples are.
    #[must_use]
    pub fn within_factor(self, factor: f64) -> Self {
        Self { condition: Some((Condition::Factor, factor)), ..self }
    }

    /// Good if the canary's share of bad requests, between 0 and 1, is at most this much above the baseline's, or its samples are, in
    /// their unit.
    #[must_use]
    pub fn within_difference(self, difference: f64) -> Self {
        Self { condition: Some((Condition::Difference, difference)), ..self }
    }

    /// Lets a check fail only beyond `threshold`, which is worse than the one for passing: between the two it is
    /// inconclusive. Quantiles and volumes take no such band.
    #[must_use]
    pub fn fails_beyond(self, threshold: f64) -> Self {
        Self { fails_beyond: Some(threshold), ..self }
    }

    /// Lets a burn rate fail over windows: where for some pair of them the canary burns faster than its factor over both, the
    /// multi-window, multi-burn-rate alerts of The Site Reliability Workbook (chapter 5), such as
    /// [`BurnRateWindows::WORKBOOK`]. It passes [`below`](Self::below) its burn rate as without windows, 1 for the objective itself,
    /// and no factor may be smaller. There is no [`fails_beyond`](Self::fails_beyond) beside them.
    ///
    /// Windows are tests, not quotients: with probability α at most does the check ever fail although the requests of one of the two
    /// windows failed with a mean probability of no more than factor times budget, however often one looks and however long.
    /// α is shared evenly by the pairs, and by the instants at which a window may begin, a sixth of its length apart, half of it
    /// for the first: the likelihood ratios since each are below a martingale (Ville 1939), and a pair needs no more than each of its
    /// windows does, for both have to show it (Berger 1982). It takes ln 6 more of evidence than a ratio does with three pairs in the
    /// first hour, about one or two bad requests more, and later more than that.
    ///
    /// No window reaches back before the evidence begins, so until it is over it is all of the evidence: a gate of half an hour fails
    /// for the pair of three days if that half hour burns too fast. They go on where the gate [watches](super::GateSpecBuilder::watch)
    /// after a pass, in place of a change detector, and fail at any look where it [decides in
    /// one](super::GateSpecBuilder::looks_once).
    #[must_use]
    pub fn windows(self, windows: impl IntoIterator<Item = BurnRateWindows>) -> Self {
        Self { windows: windows.into_iter().collect(), ..self }
    }

    /// Judges each combination of these labels' values for itself, among the series of the requests, and asks all of them to
    /// be good: one bad pod fails, and one without requests keeps the check from passing. A value judges its elements anyway,
    /// and takes no labels.
    #[must_use]
    pub fn by<T: Into<String>>(self, labels: impl IntoIterator<Item = T>) -> Self {
        Self { by: labels.into_iter().map(Into::into).collect(), ..self }
    }

    /// Reports the check and lets it decide nothing.
    #[must_use]
    pub fn dry_run(self) -> Self {
        Self { dry_run: true, ..self }
    }

    /// Takes events without any series as none even where nothing proves that there could have been some.
    #[must_use]
    pub fn missing_numerator_is_zero(self) -> Self {
        Self { missing_is_zero: true, ..self }
    }

    pub(super) fn build(self) -> Result<CheckSpec> {
        let name = self.name;
        let within = |error: Error| {
            let message = format!("check `{name}`: {error}");
            Error::new(error.kind(), message).caused_by(error)
        };
        let refused = |text: String| invalid(format!("check `{name}`{text}"));
        let (what, takes) = (self.subject.name(), self.subject.takes());
        let Some((condition, threshold)) = self.condition else {
            return Err(refused(format!(" has no condition; it is a {what} and takes {takes}")));
        };
        if self.fails_beyond.is_some()
            && matches!(self.subject, Subject::Quantile { .. } | Subject::Volume { .. })
        {
            return Err(refused(format!(" is a {what}, which takes no fails_beyond")));
        }
        if !self.windows.is_empty() && !matches!(self.subject, Subject::BurnRate { .. }) {
            return Err(refused(format!(" is a {what}, which takes no windows; a burn rate does")));
        }
        if !self.windows.is_empty() && self.fails_beyond.is_some() {
            return Err(refused(" has windows, whose factors say beyond what it fails".to_owned()));
        }
        let by = if self.by.is_empty() { Grouping::Whole } else { Grouping::By(self.by) };
        if by != Grouping::Whole && matches!(self.subject, Subject::Value { .. }) {
            return Err(refused(" is a value, whose query says which elements there are".to_owned()));
        }
        let beyond = self.fails_beyond.unwrap_or(threshold);
        let share = |value: f64, what: &str| {
            if value > 0.0 && value < 1.0 {
                return Ok(());
            }
            Err(refused(format!(": {what} is {value}, it must lie between 0 and 1, both excluded")))
        };
        let missing_is_zero = self.missing_is_zero;
        let selector = |text: &str| Selector::parse(text).map_err(within);
        let shared = |(events, trials): &(String, String), events_are_good: bool| {
            Ok(Share {
                events: vec![(1.0, selector(events)?)],
                trials: selector(trials)?,
                events_are_good,
                missing_is_zero,
            })
        };
        let kind = match (self.subject, condition) {
            (Subject::Ratio { events, trials }, Condition::Below | Condition::Above) => {
                share(threshold, "the threshold")?;
                let good = condition == Condition::Above;
                let bad = |threshold: f64| if good { 1.0 - threshold } else { threshold };
                let fail_threshold = bad(beyond);
                if !(bad(threshold)..1.0).contains(&fail_threshold) {
                    return Err(refused(format!(
                        ": it fails beyond {fail_threshold} bad, which must lie between {} and 1",
                        bad(threshold)
                    )));
                }
                let share = shared(&(events, trials), good)?;
                CheckKind::Ratio { share, threshold: bad(threshold), fail_threshold, burn_rate: None }
            }
            (Subject::BurnRate { events, trials, objective }, Condition::Below) => {
                share(objective, "the objective")?;
                let budget = 1.0 - objective;
                let (pass, fail) = (threshold * budget, beyond * budget);
                share(pass, "the share of bad requests at this burn rate")?;
                if !(pass..1.0).contains(&fail) {
                    return Err(refused(format!(
                        ": it fails beyond a share of {fail} bad, which must lie between {pass} and 1"
                    )));
                }
                let burn_rate = (!self.windows.is_empty())
                    .then(|| BurnRate::new(budget, threshold, self.windows))
                    .transpose()
                    .map_err(within)?;
                let fail_threshold = burn_rate.as_ref().map_or(fail, BurnRate::least);
                let share = shared(&(events, trials), false)?;
                CheckKind::Ratio { share, threshold: pass, fail_threshold, burn_rate }
            }
            (Subject::Apdex { buckets, satisfied }, Condition::Above) => {
                share(threshold, "the score")?;
                let fail_threshold = 1.0 - beyond;
                if !(1.0 - threshold..1.0).contains(&fail_threshold) {
                    return Err(refused(format!(
                        ": it fails below a score of {beyond}, which must lie between 0 and {threshold}"
                    )));
                }
                if !(satisfied > 0.0 && (4.0 * satisfied).is_finite()) {
                    return Err(refused(format!(": satisfied is {satisfied}, it must be above 0")));
                }
                let buckets = selector(&buckets)?;
                if buckets.matchers.iter().any(|matcher| matcher.name() == "le") {
                    return Err(refused(
                        ": its selector has a matcher for `le`, which the score sets".to_owned(),
                    ));
                }
                let up_to = |bound: f64| buckets.with(bound_is(bound));
                let events = vec![(0.5, up_to(satisfied)), (0.5, up_to(4.0 * satisfied))];
                let trials = buckets.with(Matcher::equal("le", "+Inf"));
                let share = Share { events, trials, events_are_good: true, missing_is_zero };
                CheckKind::Ratio { share, threshold: 1.0 - threshold, fail_threshold, burn_rate: None }
            }
            (Subject::Quantile { buckets, phi }, Condition::Below) => {
                share(phi, "the quantile")?;
                if !threshold.is_finite() {
                    return Err(refused(format!(": the threshold {threshold} is no number")));
                }
                CheckKind::Quantile { buckets: selector(&buckets)?, phi, limit: threshold }
            }
            (Subject::Volume { requests }, Condition::AtLeast) => {
                if !(threshold.is_finite() && threshold > 0.0) {
                    return Err(refused(format!(": the rate is {threshold}, it must be above 0")));
                }
                CheckKind::Volume { requests: selector(&requests)?, rate: threshold }
            }
            (Subject::Count { events, window_ms }, Condition::Below | Condition::AtMost) => {
                if window_ms <= 0 {
                    return Err(refused(format!(": the window is {window_ms} ms, it must be above 0")));
                }
                let good = bounded(condition, threshold, beyond).map_err(within)?;
                CheckKind::Count { events: selector(&events)?, window_ms, good, missing_is_zero }
            }
            (Subject::Comparison { canary, baseline }, Condition::Factor | Condition::Difference) => {
                let limit = compared(condition, threshold, beyond).map_err(within)?;
                CheckKind::Comparison {
                    canary: shared(&canary, false)?,
                    baseline: shared(&baseline, false)?,
                    limit,
                }
            }
            (Subject::Gauge { canary, baseline }, Condition::Factor | Condition::Difference) => {
                let limit = compared(condition, threshold, beyond).map_err(within)?;
                let (canary, baseline) = (selector(&canary)?, selector(&baseline)?);
                CheckKind::Gauge { canary, baseline, limit, every_ms: THINNED_MS }
            }
            (Subject::Value { query }, condition) if condition.bound().is_some() => {
                let good = bounded(condition, threshold, beyond).map_err(within)?;
                CheckKind::Value(Box::new(ValueSpec::new(&query, good).map_err(within)?))
            }
            _ => return Err(refused(format!(" is a {what}; it takes {takes}"))),
        };
        Ok(CheckSpec { name, dry_run: self.dry_run, kind, by })
    }
}

/// Matches a bucket's bound, as Prometheus writes it and as it stood in text.
fn bound_is(bound: f64) -> Matcher {
    let written = [bound.to_string(), format!("{bound:.1}"), number::format_g(bound)];
    let same = written.iter().filter(|text| text.parse() == Ok(bound));
    let same: std::collections::BTreeSet<String> =
        same.map(|text| text.replace('.', "\\.").replace('+', "\\+")).collect();
    let pattern = same.into_iter().collect::<Vec<_>>().join("|");
    // Numbers make no pattern that is refused.
    Matcher::new("le", MatchOp::Matches, pattern).unwrap_or_else(|_| Matcher::equal("le", &bound.to_string()))
}

/// Numbers on the good side of a bound, and beyond another one bad.
fn bounded(condition: Condition, pass: f64, fail: f64) -> Result<Conditions> {
    let Some(bound) = condition.bound() else { return Err(invalid("it takes a bound")) };
    let worse = match bound {
        Bound::Below | Bound::AtMost => fail >= pass,
        Bound::Above | Bound::AtLeast => fail <= pass,
    };
    if !pass.is_finite() || !fail.is_finite() || !worse {
        return Err(invalid(format!(
            "it passes at {pass} and fails beyond {fail}, which must be numbers, and the second no better than the first"
        )));
    }
    Ok(Conditions::Bound { bound, pass, fail })
}

fn compared(condition: Condition, pass: f64, fail: f64) -> Result<ComparisonLimit> {
    let (least, limit) = match condition {
        Condition::Factor => (f64::MIN_POSITIVE, ComparisonLimit::Factor { pass, fail }),
        _ => (0.0, ComparisonLimit::Difference { pass, fail }),
    };
    if !(pass >= least && pass.is_finite() && fail >= pass && fail.is_finite()) {
        return Err(invalid(format!(
            "the canary may be {pass} worse and fails beyond {fail}, which must be numbers of 0 or more, a factor above 0, and \
             the second no smaller than the first"
        )));
    }
    Ok(limit)
}

impl ValueSpec {
    /// A query that looks at series, its answer judged as a whole.
    pub(crate) fn new(query: &str, good: Conditions) -> Result<Self> {
        let query = Engine::new().prepare(query)?;
        let mut selectors = Selector::all_of(query.expr()).into_iter();
        let Some(traffic) = selectors.next() else {
            return Err(invalid(format!("`{}` looks at no series, and judges nothing", query.text())));
        };
        Ok(Self { query, traffic, others: selectors.collect(), good, per_element: false, least: None })
    }
}
