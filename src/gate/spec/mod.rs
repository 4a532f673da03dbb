//! What a gate checks, validated before it runs.

mod check;
mod kind;
mod selector;
mod windows;

pub use self::check::Check;
use self::kind::THINNED_MS;
pub(crate) use self::kind::{
    CheckKind, CheckSpec, ComparisonLimit, Conditions, Grouping, LEAST_SAMPLES, Share, ValueSpec,
};
pub(crate) use self::selector::Selector;
pub(crate) use self::windows::BurnRate;
pub use self::windows::BurnRateWindows;

use super::beside::Beside;
use super::evidence::{TRACE_ID, least_ms};
use super::stats::dispersion::{Dispersion, LEAST_LOOKS};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Timestamp;

/// A gate: its checks, and how it decides. Made by [`GateSpec::builder`], valid once built.
#[derive(Clone, Debug)]
pub struct GateSpec {
    pub(crate) name: String,
    pub(crate) checks: Vec<CheckSpec>,
    pub(crate) options: Options,
    /// How a trace is linked; no part of what the gate decides.
    pub(crate) trace_link: String,
    /// Whose strict gate runs beside; no part of what the gate decides.
    pub(crate) beside: Option<Box<Beside>>,
}

/// Jaeger's page of a trace, where its all-in-one serves it.
pub(crate) const JAEGER: &str = "http://localhost:16686/trace/{trace_id}";

/// What holds for the whole gate. Times in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) interval_ms: i64,
    pub(crate) warm_up_ms: i64,
    /// How long before the end of the warm-up the evidence begins: only where a gate looks once at what was before.
    pub(crate) look_back_ms: i64,
    pub(crate) min_duration_ms: i64,
    pub(crate) deadline_ms: Option<i64>,
    /// Whether nobody asked for the deadline, so that it may be moved.
    pub(crate) deadline_is_derived: bool,
    pub(crate) settle_ms: Option<i64>,
    pub(crate) alpha_pass: f64,
    pub(crate) alpha_fail: f64,
    pub(crate) dispersion: Dispersion,
    /// Whether the tests are made once, at the deadline.
    pub(crate) looks_once: bool,
    pub(crate) min_requests: u64,
    pub(crate) low_traffic_fails: bool,
    pub(crate) health: bool,
    pub(crate) source_error_limit: u32,
    /// Whether the gate looks on after a pass; none: where it stands decides.
    pub(crate) watch: Option<bool>,
    pub(crate) false_alarm_ms: i64,
}

impl Options {
    /// Where the evidence of a gate begins that was started then.
    pub(crate) fn origin(&self, started: Timestamp) -> Timestamp {
        started.plus_millis(self.warm_up_ms).minus_millis(self.look_back_ms)
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

/// Builds a [`GateSpec`].
#[derive(Clone, Debug)]
#[must_use]
pub struct GateSpecBuilder {
    name: String,
    checks: Vec<Check>,
    options: Options,
    trace_link: String,
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
                look_back_ms: 0,
                min_duration_ms: 60_000,
                deadline_ms: None,
                deadline_is_derived: false,
                settle_ms: None,
                alpha_pass: 0.05,
                alpha_fail: 0.05,
                dispersion: Dispersion::Independent,
                looks_once: false,
                min_requests: 0,
                low_traffic_fails: false,
                health: true,
                source_error_limit: 4,
                watch: None,
                false_alarm_ms: 7 * 24 * 3_600_000,
            },
            trace_link: JAEGER.to_owned(),
        }
    }

    /// The gate's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the gate looks on after a pass.
    pub(crate) fn watches(&self) -> bool {
        self.options.watch.unwrap_or(false)
    }

    /// The gate, looking on after a pass unless it says itself that it does not.
    pub(crate) fn watching(mut self) -> Self {
        // A comparison of samples is made once.
        let watches = !self.checks.iter().any(CheckSpec::is_gauge);
        self.options.watch.get_or_insert(watches);
        self
    }

    /// Tells what a check of this gate means from any other meaning: what it counts, from where on, and by what test.
    pub(crate) fn meaning(&self, check: &CheckSpec) -> u64 {
        let Options { warm_up_ms, look_back_ms, settle_ms, alpha_pass, alpha_fail, .. } = self.options;
        let Options { dispersion, looks_once, min_requests, .. } = self.options;
        let times = (warm_up_ms, look_back_ms, settle_ms);
        let test = (alpha_pass, alpha_fail, dispersion, looks_once, min_requests);
        let hash = hash(&format!("{check:?}|{times:?}|{test:?}"));
        (hash >> 64) as u64 ^ hash as u64
    }

    /// Tells this specification from any other.
    pub(crate) fn fingerprint(&self) -> String {
        fingerprint(&format!("{}|{:?}|{:?}", self.name, self.checks, self.options))
    }
}

/// Tells a text that says what a specification means from any other.
pub(crate) fn fingerprint(text: &str) -> String {
    format!("{:032x}", hash(text))
}

/// FNV-1a: the same on every machine.
fn hash(text: &str) -> u128 {
    let mut hash = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128;
    for byte in text.bytes() {
        hash = (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    hash
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

    /// The same where nobody asked for it: it is moved where counters change too rarely for it.
    pub(crate) fn derived_deadline_ms(mut self, deadline_ms: i64) -> Self {
        self.options.deadline_is_derived = true;
        self.deadline_ms(deadline_ms)
    }

    /// One look after `delay_ms`, at the evidence of `window_ms` before it.
    pub(crate) fn measured_once(mut self, delay_ms: i64, window_ms: i64) -> Self {
        self.options.look_back_ms = window_ms;
        self.warm_up_ms(delay_ms).min_duration_ms(0).deadline_ms(delay_ms).looks_once(true)
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

    /// Allows for bad requests that come in bursts, as from one bad node or by retries, in ratios, quantiles and comparisons. As a
    /// rule requests are taken as independent, and with bursts bad canaries pass more often than α says.
    ///
    /// Counts are divided by the largest factor by which the counts of the looks so far can scatter more than those of independent
    /// requests (χ², 95 %): nothing is decided before 20 looks with requests, and it takes more requests to decide. This is a
    /// heuristic that no theorem stands behind, checked by simulation. It replaces a [`dispersion_factor`](Self::dispersion_factor).
    pub fn allow_bursts(mut self) -> Self {
        self.options.dispersion = Dispersion::Upper;
        self
    }

    /// The same with a factor that is known, 1 or more: counts are divided by it. It replaces [`allow_bursts`](Self::allow_bursts).
    pub fn dispersion_factor(mut self, factor: f64) -> Self {
        self.options.dispersion = Dispersion::Factor(factor);
        self
    }

    /// Has ratios, quantiles and comparisons decided in one look, at the deadline, which the gate then needs. As a rule every look
    /// may decide. One look asks for fewer requests in all (59 instead of 74 without a bad one to pass below 5 %), and a bad canary
    /// stays until then. Counts, values, target health and the [windows](Check::windows) of burn rates may fail the gate before.
    pub fn looks_once(mut self, once: bool) -> Self {
        self.options.looks_once = once;
        self
    }

    /// Ratios, quantiles and comparisons neither pass nor fail before the canary has had so many requests, each element of its own
    /// where [each is judged](Check::by). Default 0: the tests ask for as many as they need.
    pub fn min_requests(mut self, requests: u64) -> Self {
        self.options.min_requests = requests;
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

    /// Whether the gate looks on after it has passed, until it is [terminated](super::Gate::terminate). Default false, and
    /// true for the background analysis of a rollout and for templates without a count.
    ///
    /// Every look judges anew: the verdict stays a pass, is inconclusive while something stands in the way, such as silence, and
    /// becomes a failure, which ends the gate, by what fails any gate or if the counts change for the worse. For that, ratios,
    /// quantiles and comparisons have a change detector ([`false_alarm_ms`](Self::false_alarm_ms)), but for burn rates with
    /// [windows](Check::windows), which go on. A deadline is one for passing.
    pub fn watch(mut self, watch: bool) -> Self {
        self.options.watch = Some(watch);
        self
    }

    /// How long, in milliseconds, a good canary that has passed is watched on average, at least, until it is taken for one that has
    /// changed. Default a week; at least one interval. Smaller changes are found sooner the shorter it is.
    pub fn false_alarm_ms(mut self, false_alarm_ms: i64) -> Self {
        self.options.false_alarm_ms = false_alarm_ms;
        self
    }

    /// How many failures of the source in a row a check tolerates. Default 4.
    pub fn source_error_limit(mut self, limit: u32) -> Self {
        self.options.source_error_limit = limit;
        self
    }

    /// Where traces are looked at: a check that fails links those of bad requests, if the source has exemplars. `{trace_id}` stands for
    /// the trace's id. Default: Jaeger on this host, `http://localhost:16686/trace/{trace_id}`. It decides nothing, and a
    /// state goes with any link.
    pub fn trace_link(mut self, link: impl Into<String>) -> Self {
        self.trace_link = link.into();
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
    pub(crate) fn build_with(self, mut checks: Vec<CheckSpec>) -> Result<GateSpec> {
        let options = self.options;
        for (value, least, what) in [
            (options.interval_ms, 1, "interval"),
            (options.warm_up_ms, 0, "warm-up"),
            (options.min_duration_ms, 0, "least duration"),
            (options.deadline_ms.unwrap_or(1), i64::from(options.look_back_ms == 0), "deadline"),
            (options.settle_ms.unwrap_or(0), 0, "settle time"),
            (options.false_alarm_ms, options.interval_ms, "time to a false alarm"),
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
        if let Dispersion::Factor(factor) = options.dispersion
            && !(factor >= 1.0 && factor.is_finite())
        {
            return Err(invalid(format!("the dispersion is {factor}, it must be 1 or more")));
        }
        let evidence_ms = options.deadline_ms.map(|deadline| deadline.saturating_sub(options.warm_up_ms));
        let looks = evidence_ms.map(|evidence| evidence / options.interval_ms);
        if let (Dispersion::Upper, Some(looks)) = (options.dispersion, looks)
            && looks < i64::from(LEAST_LOOKS)
        {
            return Err(invalid(format!(
                "the gate allows for bursts, which takes {LEAST_LOOKS} looks with requests, and there are {looks} until its \
                 deadline; look more often, allow more time, or give a factor"
            )));
        }
        if options.looks_once && options.deadline_ms.is_none() {
            return Err(invalid(
                "the gate decides in one look, at its deadline, and has none; give it one, or let every look decide",
            ));
        }
        if let Some(gauge) = checks.iter().find(|check| check.is_gauge()) {
            let name = &gauge.name;
            let least = least_ms(LEAST_SAMPLES as i64, options.settle_ms, THINNED_MS);
            let Some(evidence_ms) = evidence_ms.filter(|evidence| *evidence >= least) else {
                return Err(invalid(format!(
                    "check `{name}` compares {LEAST_SAMPLES} samples of a gauge, one a minute, in one look at the deadline: the gate needs \
                     one, {least} ms after its warm-up or later"
                )));
            };
            if options.watch == Some(true) {
                return Err(invalid(format!(
                    "check `{name}` compares samples of a gauge, once, and cannot fail later: the gate does not watch; give what is to \
                     be watched a gate of its own"
                )));
            }
            checks.iter_mut().for_each(|check| check.thin(evidence_ms));
        }
        if !self.trace_link.contains(TRACE_ID) {
            let link = &self.trace_link;
            return Err(invalid(format!("the link to traces is `{link}`, it must contain `{TRACE_ID}`")));
        }
        if checks.iter().all(|check| check.dry_run) {
            return Err(invalid(format!("gate `{}` has no check that decides", self.name)));
        }
        let mut names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
        names.sort_unstable();
        if let Some([name, _]) = names.windows(2).find(|pair| matches!(pair, [a, b] if a == b)) {
            return Err(invalid(format!("two checks have the name `{name}`")));
        }
        Ok(GateSpec { name: self.name, checks, options, trace_link: self.trace_link, beside: None })
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
            "check `v` has no condition; it is a volume and takes at_least"
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
    fn every_kind_of_check_takes_its_own_conditions() {
        let pair = |pod: &str| (format!("bad{{pod=\"{pod}\"}}"), format!("all{{pod=\"{pod}\"}}"));
        let comparison = || Check::comparison("c", pair("a"), pair("b"));
        let count = || Check::count("c", "errors", 60_000);
        let value = || Check::value("c", "max(memory)");
        let builds = |check: Check| GateSpec::builder("g").check(check).build().is_ok();
        for good in [
            comparison().within_factor(1.5),
            comparison().within_factor(1.5).fails_beyond(2.0),
            comparison().within_difference(0.0),
            count().at_most(0.0),
            count().below(3.0).fails_beyond(5.0),
            value().above(1.0).fails_beyond(0.5),
            value().at_least(-5.0),
        ] {
            assert!(builds(good.clone()), "{good:?}");
        }
        for bad in [
            comparison().below(1.5),
            comparison().within_factor(0.0),
            comparison().within_factor(f64::NAN),
            comparison().within_factor(1.5).fails_beyond(1.2),
            comparison().within_difference(-0.1),
            count().at_least(1.0),
            Check::count("c", "errors", 0).at_most(1.0),
            value().within_factor(1.0),
            value().above(1.0).fails_beyond(2.0),
            value().below(f64::INFINITY),
            Check::value("c", "1 + 1").below(5.0),
            Check::value("c", "max(").below(5.0),
            Check::quantile("c", "a_bucket", 0.9).below(1.0).fails_beyond(2.0),
            value().below(5.0).by(["pod"]),
        ] {
            assert!(!builds(bad.clone()), "{bad:?}");
        }
    }

    #[test]
    fn presets_are_ratios() {
        let kind = |check: Check| {
            GateSpec::builder("g").check(check).build().map(|mut spec| spec.checks.remove(0).kind)
        };
        let burn = Check::burn_rate("b", "bad", "all", 0.999).below(14.4).fails_beyond(20.0);
        let Ok(CheckKind::Ratio { threshold, fail_threshold, share, .. }) = kind(burn) else { panic!() };
        assert!(
            (threshold - 0.0144).abs() < 1e-12
                && (fail_threshold - 0.02).abs() < 1e-12
                && !share.events_are_good
        );
        let apdex = Check::apdex("a", "t_bucket{pod=\"x\"}", 0.5).above(0.9).fails_beyond(0.8);
        let Ok(CheckKind::Ratio { threshold, fail_threshold, share, .. }) = kind(apdex) else { panic!() };
        assert!(
            (threshold - 0.1).abs() < 1e-12 && (fail_threshold - 0.2).abs() < 1e-12 && share.events_are_good
        );
        assert_eq!(share.trials.text, r#"t_bucket{pod="x",le="+Inf"}"#);
        for (le, events) in [(["0.5", "0.50"], 0), (["2", "2.0"], 1)] {
            let (weight, selector) = &share.events[events];
            let matcher = selector.matchers.last().unwrap();
            assert!(
                *weight == 0.5 && matcher.matches(le[0]) && !matcher.matches("0x5") && !matcher.matches("20")
            );
        }
        assert!(share.events[1].1.matchers.last().unwrap().matches("2.0"));
        let burning = |objective: f64, windows: &[BurnRateWindows]| {
            Check::burn_rate("b", "bad", "all", objective).below(1.0).windows(windows.iter().copied())
        };
        let Ok(CheckKind::Ratio { threshold, fail_threshold, burn_rate, .. }) =
            kind(burning(0.999, &BurnRateWindows::WORKBOOK))
        else {
            panic!()
        };
        assert!((threshold - 0.001).abs() < 1e-12 && (fail_threshold - 0.001).abs() < 1e-12);
        // Six hours are the long window of one pair and the short one of another.
        let lengths = [300_000, 1_800_000, 3_600_000, 21_600_000, 259_200_000];
        assert_eq!(burn_rate.map(|burn_rate| burn_rate.lengths()), Some(lengths.to_vec()));
        for bad in [
            Check::burn_rate("b", "bad", "all", 1.0).below(2.0),
            Check::burn_rate("b", "bad", "all", 0.5).below(2.0),
            Check::burn_rate("b", "bad", "all", 0.9).below(5.0).fails_beyond(4.0),
            Check::burn_rate("b", "bad", "all", 0.9).above(5.0),
            burning(0.999, &[BurnRateWindows::new(14.4, 60_000, 60_000)]),
            burning(0.999, &[BurnRateWindows::new(14.4, 60_000, 0)]),
            burning(0.999, &[BurnRateWindows::new(0.5, 60_000, 1_000)]),
            burning(0.999, &[BurnRateWindows::new(f64::NAN, 60_000, 1_000)]),
            burning(0.999, &[BurnRateWindows::WORKBOOK[0]; 17]),
            burning(0.9, &BurnRateWindows::WORKBOOK),
            burning(0.999, &BurnRateWindows::WORKBOOK).fails_beyond(20.0),
            Check::ratio("r", "bad", "all").below(0.1).windows(BurnRateWindows::WORKBOOK),
            Check::apdex("a", "t_bucket", 0.0).above(0.9),
            Check::apdex("a", "t_bucket", 0.5).above(1.0),
            Check::apdex("a", "t_bucket", 0.5).above(0.9).fails_beyond(0.95),
            Check::apdex("a", "t_bucket{le=\"1\"}", 0.5).above(0.9),
            Check::apdex("a", "t_bucket", 0.5).below(0.9),
        ] {
            assert!(kind(bad.clone()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_selectors_of_a_query_are_found_wherever_they_stand() {
        let query = "sum(a{x=\"1\"}) / (b offset 1m) + max_over_time(rate(c[1m])[5m:]) * topk(scalar(d), -a{x=\"1\"})";
        let query = crate::promql::Engine::new().prepare(query).unwrap();
        let found: Vec<String> = Selector::all_of(query.expr()).into_iter().map(|one| one.text).collect();
        assert_eq!(found, ["a{x=\"1\"}", "b", "c", "d"]);
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
        let builds = |builder: GateSpecBuilder| builder.check(check()).build().is_ok();
        for (factor, good) in
            [(1.0, true), (7.5, true), (0.9, false), (f64::NAN, false), (f64::INFINITY, false)]
        {
            assert_eq!(builds(GateSpec::builder("g").dispersion_factor(factor)), good, "{factor}");
        }
        assert!(!builds(GateSpec::builder("g").looks_once(true)));
        let bursts =
            |deadline_ms| GateSpec::builder("g").warm_up_ms(30_000).deadline_ms(deadline_ms).allow_bursts();
        assert!(builds(bursts(230_000)) && !builds(bursts(229_000)));
        assert!(builds(GateSpec::builder("g").allow_bursts()));
        assert!(builds(GateSpec::builder("g").looks_once(true).deadline_ms(600_000)));
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
    fn the_fingerprint_tells_specifications_apart() {
        let spec =
            |rate| GateSpec::builder("g").check(Check::volume("v", "a").at_least(rate)).build().unwrap();
        assert_eq!(spec(1.0).fingerprint(), spec(1.0).fingerprint());
        assert_ne!(spec(1.0).fingerprint(), spec(2.0).fingerprint());
    }
}
