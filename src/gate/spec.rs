//! What a gate checks, validated before it runs.

use crate::error::{Error, ErrorKind, Result};
use crate::model::{MatchOp, Matcher};
use crate::promql::ast::Expr;
use crate::promql::parse::{ParseOptions, parse};

/// A gate: its checks, and how it decides. Made by [`GateSpec::builder`], valid once built.
#[derive(Clone, Debug)]
pub struct GateSpec {
    pub(crate) name: String,
    pub(crate) checks: Vec<CheckSpec>,
    pub(crate) options: Options,
}

/// What holds for the whole gate. Times in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) interval_ms: i64,
    pub(crate) warm_up_ms: i64,
    pub(crate) min_duration_ms: i64,
    pub(crate) deadline_ms: Option<i64>,
    pub(crate) settle_ms: Option<i64>,
    pub(crate) alpha_pass: f64,
    pub(crate) alpha_fail: f64,
    pub(crate) low_traffic_fails: bool,
    pub(crate) health: bool,
    pub(crate) source_error_limit: u32,
}

/// A check that is valid.
#[derive(Clone, Debug)]
pub(crate) struct CheckSpec {
    pub(crate) name: String,
    pub(crate) dry_run: bool,
    pub(crate) kind: CheckKind,
}

/// What a check counts and against what it holds the counts.
#[derive(Clone, Debug)]
pub(crate) enum CheckKind {
    /// Events among trials; fewer than `threshold` of them may be bad, and more than `fail_threshold` must not.
    Ratio {
        events: Selector,
        trials: Selector,
        threshold: f64,
        fail_threshold: f64,
        /// Whether the events are the good requests.
        events_are_good: bool,
        missing_is_zero: bool,
    },
    /// Observations of a classic histogram; fewer than `1 - phi` of them may exceed `limit`.
    Quantile { buckets: Selector, phi: f64, limit: f64 },
    /// Requests per second, counted.
    Volume { requests: Selector, rate: f64 },
}

impl CheckSpec {
    /// The selector whose counter stands for the traffic.
    pub(crate) fn traffic(&self) -> &Selector {
        match &self.kind {
            CheckKind::Ratio { trials, .. } => trials,
            CheckKind::Quantile { buckets, .. } => buckets,
            CheckKind::Volume { requests, .. } => requests,
        }
    }

    /// The share of bad requests that is too much; none for a volume.
    pub(crate) fn threshold(&self) -> Option<f64> {
        match &self.kind {
            CheckKind::Ratio { threshold, .. } => Some(*threshold),
            CheckKind::Quantile { phi, .. } => Some(1.0 - phi),
            CheckKind::Volume { .. } => None,
        }
    }

    /// What is counted, as text for a report.
    pub(crate) fn query(&self) -> String {
        match &self.kind {
            CheckKind::Ratio { events, trials, .. } => format!("{} / {}", events.text, trials.text),
            CheckKind::Quantile { buckets, phi, .. } => format!("quantile {phi} of {}", buckets.text),
            CheckKind::Volume { requests, .. } => requests.text.clone(),
        }
    }
}

/// Which series: a PromQL vector selector without modifiers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Selector {
    /// As the matchers print, whatever the blanks in the original.
    pub(crate) text: String,
    pub(crate) matchers: Vec<Matcher>,
}

impl Selector {
    /// Reads a selector such as `requests_total{job="api"}`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let expr = parse(text, &ParseOptions::default())?;
        let Expr::Vector(selector) = expr.unwrap_parens() else {
            return Err(invalid(format!(
                "`{text}` is no selector; write a metric name and matchers, without a window"
            )));
        };
        let modifiers = &selector.modifiers;
        if modifiers.offset.is_some() || modifiers.at.is_some() || modifiers.extension.is_some() {
            return Err(invalid(format!(
                "selector `{text}` has a modifier; a gate counts from its own start"
            )));
        }
        Ok(Self::of(selector.matchers.clone()))
    }

    pub(crate) fn of(matchers: Vec<Matcher>) -> Self {
        Self { text: print(&matchers), matchers }
    }

    /// The metric name, where one matcher fixes it.
    pub(crate) fn metric(&self) -> Option<&str> {
        self.equal("__name__")
    }

    /// The value that an equality matcher fixes for this label.
    pub(crate) fn equal(&self, label: &str) -> Option<&str> {
        self.matchers
            .iter()
            .find(|matcher| matcher.name() == label && matcher.op() == MatchOp::Equal)
            .and_then(|matcher| std::str::from_utf8(matcher.value()).ok())
    }
}

/// `name{label="value"}`: the name in front, the other matchers as written.
fn print(matchers: &[Matcher]) -> String {
    let name = matchers.iter().find(|matcher| matcher.name() == "__name__" && matcher.op() == MatchOp::Equal);
    let mut text = name.map(|name| String::from_utf8_lossy(name.value()).into_owned()).unwrap_or_default();
    let rest: Vec<String> =
        matchers.iter().filter(|matcher| Some(*matcher) != name).map(ToString::to_string).collect();
    if !rest.is_empty() || text.is_empty() {
        text.push('{');
        text.push_str(&rest.join(","));
        text.push('}');
    }
    text
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

/// One check of a gate, to be finished by its condition.
#[derive(Clone, Debug)]
pub struct Check {
    name: String,
    dry_run: bool,
    subject: Subject,
    condition: Option<(Condition, f64)>,
    fails_beyond: Option<f64>,
    missing_is_zero: bool,
}

#[derive(Clone, Debug)]
enum Subject {
    Ratio { events: String, trials: String },
    Quantile { buckets: String, phi: f64 },
    Volume { requests: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Below,
    Above,
    AtLeast,
}

impl Check {
    /// The share of `events` among `trials`, two selectors of counters: errors among requests with
    /// [`below`](Self::below), good requests among requests with [`above`](Self::above).
    pub fn ratio(name: impl Into<String>, events: impl Into<String>, trials: impl Into<String>) -> Self {
        Self::new(name.into(), Subject::Ratio { events: events.into(), trials: trials.into() })
    }

    /// The `phi`-quantile of a classic histogram's observations, by a selector of its `_bucket` series.
    pub fn quantile(name: impl Into<String>, buckets: impl Into<String>, phi: f64) -> Self {
        Self::new(name.into(), Subject::Quantile { buckets: buckets.into(), phi })
    }

    /// How many requests per second a selector of counters saw.
    pub fn volume(name: impl Into<String>, requests: impl Into<String>) -> Self {
        Self::new(name.into(), Subject::Volume { requests: requests.into() })
    }

    fn new(name: String, subject: Subject) -> Self {
        Self { name, dry_run: false, subject, condition: None, fails_beyond: None, missing_is_zero: false }
    }

    /// Good if a ratio, between 0 and 1, or a quantile, in the unit of its buckets, is below `threshold`.
    #[must_use]
    pub fn below(self, threshold: f64) -> Self {
        Self { condition: Some((Condition::Below, threshold)), ..self }
    }

    /// Good if a ratio, between 0 and 1, is above `threshold`.
    #[must_use]
    pub fn above(self, threshold: f64) -> Self {
        Self { condition: Some((Condition::Above, threshold)), ..self }
    }

    /// Lets a ratio fail only where it is beyond `threshold`, which is worse than the one for passing: between the two it is
    /// inconclusive.
    #[must_use]
    pub fn fails_beyond(self, threshold: f64) -> Self {
        Self { fails_beyond: Some(threshold), ..self }
    }

    /// Good if a volume is at least this many requests per second.
    #[must_use]
    pub fn at_least(self, per_second: f64) -> Self {
        Self { condition: Some((Condition::AtLeast, per_second)), ..self }
    }

    /// Reports the check and lets it decide nothing.
    #[must_use]
    pub fn dry_run(self) -> Self {
        Self { dry_run: true, ..self }
    }

    /// Takes a numerator without any series as zero even where nothing proves that it could have had some.
    #[must_use]
    pub fn missing_numerator_is_zero(self) -> Self {
        Self { missing_is_zero: true, ..self }
    }

    fn build(self) -> Result<CheckSpec> {
        let name = self.name;
        let within = |error: Error| {
            let message = format!("check `{name}`: {error}");
            Error::new(error.kind(), message).caused_by(error)
        };
        if self.fails_beyond.is_some() && !matches!(self.subject, Subject::Ratio { .. }) {
            return Err(invalid(format!("check `{name}` is no ratio; only ratios take fails_beyond")));
        }
        let Some((condition, threshold)) = self.condition else {
            return Err(invalid(format!("check `{name}` has no condition; add below, above or at_least")));
        };
        let share = |value: f64, what: &str| {
            if value > 0.0 && value < 1.0 {
                Ok(())
            } else {
                Err(invalid(format!(
                    "check `{name}`: {what} is {value}, it must lie between 0 and 1, both excluded"
                )))
            }
        };
        let kind = match (self.subject, condition) {
            (Subject::Ratio { events, trials }, Condition::Below | Condition::Above) => {
                share(threshold, "the threshold")?;
                let good = condition == Condition::Above;
                let bad = |threshold: f64| if good { 1.0 - threshold } else { threshold };
                let fail_threshold = bad(self.fails_beyond.unwrap_or(threshold));
                if !(bad(threshold)..1.0).contains(&fail_threshold) {
                    return Err(invalid(format!(
                        "check `{name}`: it fails beyond {fail_threshold} bad, which must lie between {} and 1",
                        bad(threshold)
                    )));
                }
                CheckKind::Ratio {
                    events: Selector::parse(&events).map_err(within)?,
                    trials: Selector::parse(&trials).map_err(within)?,
                    threshold: bad(threshold),
                    fail_threshold,
                    events_are_good: good,
                    missing_is_zero: self.missing_is_zero,
                }
            }
            (Subject::Quantile { buckets, phi }, Condition::Below) => {
                share(phi, "the quantile")?;
                if !threshold.is_finite() {
                    return Err(invalid(format!("check `{name}`: the threshold {threshold} is no number")));
                }
                CheckKind::Quantile {
                    buckets: Selector::parse(&buckets).map_err(within)?,
                    phi,
                    limit: threshold,
                }
            }
            (Subject::Volume { requests }, Condition::AtLeast) => {
                if !(threshold.is_finite() && threshold > 0.0) {
                    return Err(invalid(format!(
                        "check `{name}`: the rate is {threshold}, it must be above 0"
                    )));
                }
                CheckKind::Volume { requests: Selector::parse(&requests).map_err(within)?, rate: threshold }
            }
            (Subject::Ratio { .. }, Condition::AtLeast) => {
                return Err(invalid(format!("check `{name}` is a ratio; it takes below or above")));
            }
            (Subject::Quantile { .. }, _) => {
                return Err(invalid(format!("check `{name}` is a quantile; it takes below")));
            }
            (Subject::Volume { .. }, _) => {
                return Err(invalid(format!("check `{name}` is a volume; it takes at_least")));
            }
        };
        Ok(CheckSpec { name, dry_run: self.dry_run, kind })
    }
}

/// Builds a [`GateSpec`].
#[derive(Clone, Debug)]
#[must_use]
pub struct GateSpecBuilder {
    name: String,
    checks: Vec<Check>,
    options: Options,
}

impl GateSpec {
    /// A gate of this name without checks, with the defaults that the builder's methods state.
    pub fn builder(name: impl Into<String>) -> GateSpecBuilder {
        GateSpecBuilder {
            name: name.into(),
            checks: Vec::new(),
            options: Options {
                interval_ms: 10_000,
                warm_up_ms: 0,
                min_duration_ms: 60_000,
                deadline_ms: None,
                settle_ms: None,
                alpha_pass: 0.05,
                alpha_fail: 0.05,
                low_traffic_fails: false,
                health: true,
                source_error_limit: 4,
            },
        }
    }

    /// The gate's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The α of a failing test: the gate's, shared by the checks that can fail by statistics.
    pub(crate) fn alpha_fail_each(&self) -> f64 {
        let deciding =
            self.checks.iter().filter(|check| !check.dry_run && check.threshold().is_some()).count();
        self.options.alpha_fail / deciding.max(1) as f64
    }

    /// Tells this specification from any other.
    pub(crate) fn fingerprint(&self) -> String {
        fingerprint(&format!("{}|{:?}|{:?}", self.name, self.checks, self.options))
    }
}

/// FNV-1a over a text that says what a specification means: the same on every machine.
pub(crate) fn fingerprint(text: &str) -> String {
    let mut hash = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128;
    for byte in text.bytes() {
        hash = (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    format!("{hash:032x}")
}

impl GateSpecBuilder {
    /// Adds a check; all must pass.
    pub fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    /// Milliseconds from one look to the next. Default 10,000; must be positive.
    pub fn interval_ms(mut self, interval_ms: i64) -> Self {
        self.options.interval_ms = interval_ms;
        self
    }

    /// Milliseconds after the start whose requests are no evidence. Default 0.
    pub fn warm_up_ms(mut self, warm_up_ms: i64) -> Self {
        self.options.warm_up_ms = warm_up_ms;
        self
    }

    /// The gate does not pass before it is this old, in milliseconds. Default 60,000.
    pub fn min_duration_ms(mut self, min_duration_ms: i64) -> Self {
        self.options.min_duration_ms = min_duration_ms;
        self
    }

    /// The age in milliseconds at which an unsettled gate ends inconclusive. Default none.
    pub fn deadline_ms(mut self, deadline_ms: i64) -> Self {
        self.options.deadline_ms = Some(deadline_ms);
        self
    }

    /// How old, in milliseconds, a scrape must be to count, so that counters scraped at different moments agree.
    /// Default: one scrape interval as the data show it, at most 60,000.
    pub fn settle_ms(mut self, settle_ms: i64) -> Self {
        self.options.settle_ms = Some(settle_ms);
        self
    }

    /// 1 - α: a bad canary passes with probability at most α, a good gate fails with probability at most α, however
    /// often one looks. Default 0.95; must lie between 0.5 and 1.
    pub fn confidence(mut self, confidence: f64) -> Self {
        self.options.alpha_pass = 1.0 - confidence;
        self.options.alpha_fail = 1.0 - confidence;
        self
    }

    /// Makes too little traffic at the deadline a failure. Default: inconclusive.
    pub fn low_traffic_fails(mut self, fails: bool) -> Self {
        self.options.low_traffic_fails = fails;
        self
    }

    /// Whether the canary's scrape targets must be alive. Default true.
    pub fn health(mut self, health: bool) -> Self {
        self.options.health = health;
        self
    }

    /// How many failures of the source in a row a check tolerates. Default 4.
    pub fn source_error_limit(mut self, limit: u32) -> Self {
        self.options.source_error_limit = limit;
        self
    }

    /// The gate, if everything about it that can be checked without data is right.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Parse`] with position for a selector that does not parse; [`ErrorKind::InvalidArgument`] for no
    /// check, a repeated name, a check without condition, a threshold or time that means nothing.
    pub fn build(mut self) -> Result<GateSpec> {
        let checks = std::mem::take(&mut self.checks).into_iter().map(Check::build).collect::<Result<_>>()?;
        self.build_with(checks)
    }

    /// The gate with these checks.
    pub(crate) fn build_with(self, checks: Vec<CheckSpec>) -> Result<GateSpec> {
        let options = self.options;
        for (value, least, what) in [
            (options.interval_ms, 1, "interval"),
            (options.warm_up_ms, 0, "warm-up"),
            (options.min_duration_ms, 0, "least duration"),
            (options.deadline_ms.unwrap_or(1), 1, "deadline"),
            (options.settle_ms.unwrap_or(0), 0, "settle time"),
        ] {
            if value < least {
                return Err(invalid(format!("the {what} is {value} ms, at least {least} ms are allowed")));
            }
        }
        let least = options.warm_up_ms.saturating_add(options.min_duration_ms);
        if let Some(deadline) = options.deadline_ms.filter(|deadline| *deadline < least) {
            return Err(invalid(format!(
                "the deadline is {deadline} ms, and nothing passes before warm-up and least duration are over, after {least} ms; \
                 allow more time or ask for less"
            )));
        }
        if !(options.alpha_pass > 0.0 && options.alpha_pass <= 0.5) {
            let confidence = 1.0 - options.alpha_pass;
            return Err(invalid(format!("the confidence is {confidence}, it must lie between 0.5 and 1")));
        }
        if checks.iter().all(|check| check.dry_run) {
            return Err(invalid(format!("gate `{}` has no check that decides", self.name)));
        }
        let mut names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
        names.sort_unstable();
        if let Some([name, _]) = names.windows(2).find(|pair| matches!(pair, [a, b] if a == b)) {
            return Err(invalid(format!("two checks have the name `{name}`")));
        }
        Ok(GateSpec { name: self.name, checks, options })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(check: Check) -> String {
        GateSpec::builder("g").check(check).build().unwrap_err().to_string()
    }

    #[test]
    fn a_check_without_condition_or_with_the_wrong_one_is_refused() {
        assert_eq!(
            message(Check::volume("v", "up")),
            "check `v` has no condition; add below, above or at_least"
        );
        assert_eq!(message(Check::volume("v", "up").below(1.0)), "check `v` is a volume; it takes at_least");
        assert!(message(Check::ratio("r", "a", "b").at_least(1.0)).contains("takes below or above"));
    }

    #[test]
    fn thresholds_that_mean_nothing_are_refused() {
        for threshold in [0.0, 1.0, 5.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(message(Check::ratio("r", "a", "b").below(threshold)).contains("between 0 and 1"));
            assert!(
                message(Check::quantile("q", "a_bucket", threshold).below(1.0)).contains("between 0 and 1")
            );
        }
        assert!(message(Check::quantile("q", "a_bucket", 0.95).below(f64::NAN)).contains("no number"));
        assert!(message(Check::volume("v", "a").at_least(0.0)).contains("above 0"));
    }

    #[test]
    fn selectors_are_parsed_when_the_gate_is_built() {
        for text in ["", "a{", "sum(a)", "a[2m]", "a offset 1m", "1"] {
            assert!(message(Check::volume("v", text).at_least(1.0)).contains("check `v`"), "{text}");
        }
        let selector = Selector::parse("a{ b = \"c\" , d=~'e'}").unwrap();
        assert_eq!(selector.text, r#"a{b="c",d=~"e"}"#);
        assert_eq!(
            (selector.metric(), selector.equal("b"), selector.equal("d")),
            (Some("a"), Some("c"), None)
        );
    }

    #[test]
    fn a_gate_needs_a_check_that_decides_and_unique_names() {
        let check = || Check::volume("v", "a").at_least(1.0);
        assert!(GateSpec::builder("g").build().is_err());
        assert!(GateSpec::builder("g").check(check().dry_run()).build().is_err());
        assert!(GateSpec::builder("g").check(check()).check(check()).build().is_err());
        assert!(GateSpec::builder("g").check(check()).interval_ms(0).build().is_err());
        assert!(GateSpec::builder("g").check(check()).confidence(1.0).build().is_err());
        assert!(GateSpec::builder("g").check(check()).build().is_ok());
    }

    #[test]
    fn a_deadline_before_which_nothing_can_pass_is_refused() {
        // Such a gate ran to its deadline and held every canary back, good ones too.
        let build = |warm_up, least, deadline| {
            GateSpec::builder("g")
                .check(Check::volume("v", "a").at_least(1.0))
                .warm_up_ms(warm_up)
                .min_duration_ms(least)
                .deadline_ms(deadline)
                .build()
        };
        assert!(build(60_000, 0, 30_000).unwrap_err().to_string().starts_with("the deadline is 30000 ms"));
        assert!(build(30_000, 60_000, 89_999).is_err());
        assert!(build(30_000, 60_000, 90_000).is_ok());
        assert!(build(i64::MAX, i64::MAX, i64::MAX).is_ok());
    }

    #[test]
    fn checks_that_can_fail_by_statistics_share_the_error_probability() {
        let ratio = |name: &str| Check::ratio(name, "bad", "all").below(0.05);
        let spec = GateSpec::builder("g")
            .check(ratio("a"))
            .check(ratio("b"))
            .check(ratio("trial").dry_run())
            .check(Check::volume("v", "all").at_least(1.0))
            .build()
            .unwrap();
        assert!((spec.alpha_fail_each() - 0.025).abs() < 1e-12);
    }

    #[test]
    fn the_fingerprint_tells_specifications_apart() {
        let spec =
            |rate| GateSpec::builder("g").check(Check::volume("v", "a").at_least(rate)).build().unwrap();
        assert_eq!(spec(1.0).fingerprint(), spec(1.0).fingerprint());
        assert_ne!(spec(1.0).fingerprint(), spec(2.0).fingerprint());
    }
}
