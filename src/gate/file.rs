//! A gate in a file: YAML, or JSON, which is YAML.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::settings::{Bursts, Looks, LowTraffic, MissingNumerator, Settings, Switch, duration};
use super::spec::{BurnRateWindows, Check, GateSpec};
use crate::error::{Error, ErrorKind, Result};

/// A gate as it stands in a file, its arguments still open.
#[derive(Debug)]
pub struct GateFile {
    file: File,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct File {
    gate: String,
    #[serde(default)]
    args: Vec<String>,
    interval: Option<String>,
    warm_up: Option<String>,
    min_duration: Option<String>,
    deadline: Option<String>,
    settle: Option<String>,
    confidence: Option<f64>,
    low_traffic: Option<LowTraffic>,
    health: Option<Switch>,
    trace_link: Option<String>,
    watch: Option<Switch>,
    false_alarm: Option<String>,
    dispersion: Option<Bursts>,
    looks: Option<Looks>,
    min_requests: Option<u64>,
    checks: Vec<FileCheck>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FileCheck {
    name: String,
    ratio: Option<Ratio>,
    burn_rate: Option<BurnRate>,
    apdex: Option<Apdex>,
    quantile: Option<Quantile>,
    volume: Option<String>,
    count: Option<Count>,
    comparison: Option<Comparison>,
    gauge: Option<Gauge>,
    value: Option<String>,
    below: Option<f64>,
    above: Option<f64>,
    at_least: Option<f64>,
    at_most: Option<f64>,
    within_factor: Option<f64>,
    within_difference: Option<f64>,
    fails_beyond: Option<f64>,
    #[serde(default)]
    by: Vec<String>,
    #[serde(default)]
    dry_run: bool,
    missing_numerator: Option<MissingNumerator>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ratio {
    of: String,
    to: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BurnRate {
    of: String,
    to: String,
    objective: f64,
    windows: Option<Windows>,
}

/// `workbook`, or pairs.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Windows {
    Word(String),
    Pairs(Vec<Pair>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    factor: f64,
    long: String,
    short: String,
}

impl Windows {
    fn pairs(&self) -> Result<Vec<BurnRateWindows>> {
        match self {
            Self::Word(word) if word == "workbook" => Ok(BurnRateWindows::WORKBOOK.to_vec()),
            Self::Word(word) => Err(invalid(format!(
                "windows is `{word}`, it must be workbook, or a list of pairs with factor, long and short"
            ))),
            Self::Pairs(pairs) => {
                let of = |Pair { factor, long, short }: &Pair| {
                    Ok(BurnRateWindows::new(*factor, duration("long", long)?, duration("short", short)?))
                };
                pairs.iter().map(of).collect()
            }
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Apdex {
    of: String,
    satisfied: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Count {
    of: String,
    window: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Comparison {
    canary: Ratio,
    baseline: Ratio,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Gauge {
    canary: String,
    baseline: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Quantile {
    phi: f64,
    of: String,
}

impl GateSpec {
    /// Reads a gate from YAML; `{{args.NAME}}` in a selector stands for the argument `NAME`, escaped for a string.
    ///
    /// ```
    /// use promgate::GateSpec;
    ///
    /// let spec = GateSpec::from_yaml(
    ///     r#"
    /// gate: checkout
    /// args: [hash]
    /// checks:
    ///   - name: errors
    ///     ratio:
    ///       of: requests_total{hash="{{args.hash}}",code="500"}
    ///       to: requests_total{hash="{{args.hash}}"}
    ///     below: 0.05
    /// "#,
    ///     &[("hash", "7d9f")],
    /// )?;
    /// assert_eq!(spec.name(), "checkout");
    /// # Ok::<(), promgate::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Parse`] for text that is no gate, an unknown field, a duration that does not read;
    /// [`ErrorKind::InvalidArgument`] for an argument that is missing or unknown, and as
    /// [`build`](super::GateSpecBuilder::build).
    pub fn from_yaml(text: &str, args: &[(&str, &str)]) -> Result<Self> {
        GateFile::from_yaml(text)?.build(args)
    }
}

impl GateFile {
    /// Reads YAML without looking at selectors and arguments.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Parse`] for text that is no gate.
    pub fn from_yaml(text: &str) -> Result<Self> {
        let file = serde_saphyr::from_str(text).map_err(|error| {
            Error::new(ErrorKind::Parse, format!("this is no gate: {error}")).caused_by(error.to_string())
        })?;
        Ok(Self { file })
    }

    /// The arguments that [`build`](Self::build) needs.
    pub fn arguments(&self) -> &[String] {
        &self.file.args
    }

    /// The gate with these arguments.
    ///
    /// # Errors
    ///
    /// As [`GateSpec::from_yaml`].
    pub fn build(self, args: &[(&str, &str)]) -> Result<GateSpec> {
        self.file.build(args)
    }
}

impl File {
    fn build(self, args: &[(&str, &str)]) -> Result<GateSpec> {
        let mut values = BTreeMap::new();
        for (name, value) in args {
            if !self.args.iter().any(|declared| declared == name) {
                return Err(invalid(format!(
                    "argument `{name}` is none of the gate's; it takes {}",
                    self.args.join(", ")
                )));
            }
            values.insert(*name, *value);
        }
        if let Some(missing) = self.args.iter().find(|name| !values.contains_key(name.as_str())) {
            return Err(invalid(format!("argument `{missing}` of the gate has no value")));
        }
        let mut builder = GateSpec::builder(self.gate);
        if let Some(text) = &self.interval {
            builder = builder.interval_ms(duration("interval", text)?);
        }
        if let Some(text) = &self.warm_up {
            builder = builder.warm_up_ms(duration("warmUp", text)?);
        }
        if let Some(text) = &self.deadline {
            builder = builder.deadline_ms(duration("deadline", text)?);
        }
        let settings = Settings {
            confidence: self.confidence,
            deadline: None,
            min_duration: self.min_duration,
            settle: self.settle,
            low_traffic: self.low_traffic,
            missing_numerator: None,
            health: self.health,
            watch: self.watch,
            false_alarm: self.false_alarm,
            trace_link: self.trace_link,
            dispersion: self.dispersion,
            looks: self.looks,
            min_requests: self.min_requests,
            argo: None,
        };
        builder = settings.apply(builder)?;
        for check in self.checks {
            builder = builder.check(check.build(&values)?);
        }
        builder.build()
    }
}

/// A number, if there is one, and how it becomes the condition of a check.
type Condition = (Option<f64>, fn(Check, f64) -> Check);

impl FileCheck {
    fn build(self, args: &BTreeMap<&str, &str>) -> Result<Check> {
        let name = &self.name;
        let fill =
            |text: &str| substitute(text, args).map_err(|error| invalid(format!("check `{name}`: {error}")));
        let mut subjects: Vec<Check> = Vec::new();
        if let Some(ratio) = &self.ratio {
            subjects.push(Check::ratio(name, fill(&ratio.of)?, fill(&ratio.to)?));
        }
        if let Some(BurnRate { of, to, objective, windows }) = &self.burn_rate {
            let check = Check::burn_rate(name, fill(of)?, fill(to)?, *objective);
            let pairs = windows.as_ref().map(Windows::pairs).transpose();
            let pairs = pairs.map_err(|error| {
                let message = format!("check `{name}`: {error}");
                Error::new(error.kind(), message).caused_by(error)
            })?;
            subjects.push(match pairs {
                Some(pairs) if pairs.is_empty() => {
                    return Err(invalid(format!("check `{name}`: its list of windows is empty")));
                }
                Some(pairs) => check.windows(pairs),
                None => check,
            });
        }
        if let Some(Apdex { of, satisfied }) = &self.apdex {
            subjects.push(Check::apdex(name, fill(of)?, *satisfied));
        }
        if let Some(quantile) = &self.quantile {
            subjects.push(Check::quantile(name, fill(&quantile.of)?, quantile.phi));
        }
        if let Some(requests) = &self.volume {
            subjects.push(Check::volume(name, fill(requests)?));
        }
        if let Some(count) = &self.count {
            subjects.push(Check::count(name, fill(&count.of)?, duration("window", &count.window)?));
        }
        if let Some(Comparison { canary, baseline }) = &self.comparison {
            let pair = |ratio: &Ratio| Ok::<_, Error>((fill(&ratio.of)?, fill(&ratio.to)?));
            subjects.push(Check::comparison(name, pair(canary)?, pair(baseline)?));
        }
        if let Some(Gauge { canary, baseline }) = &self.gauge {
            subjects.push(Check::gauge(name, fill(canary)?, fill(baseline)?));
        }
        if let Some(query) = &self.value {
            subjects.push(Check::value(name, fill(query)?));
        }
        let Ok([check]) = <[Check; 1]>::try_from(subjects) else {
            return Err(invalid(format!(
                "check `{name}` needs exactly one of ratio, burnRate, apdex, quantile, volume, count, comparison, gauge and value"
            )));
        };
        let conditions: [Condition; 6] = [
            (self.below, Check::below),
            (self.above, Check::above),
            (self.at_least, Check::at_least),
            (self.at_most, Check::at_most),
            (self.within_factor, Check::within_factor),
            (self.within_difference, Check::within_difference),
        ];
        let mut given = conditions.iter().filter_map(|(number, put)| Some(((*number)?, put)));
        let (Some((number, put)), None) = (given.next(), given.next()) else {
            return Err(invalid(format!(
                "check `{name}` needs exactly one of below, above, atLeast, atMost, withinFactor and withinDifference"
            )));
        };
        let check = put(check, number);
        let check = match self.fails_beyond {
            Some(number) => check.fails_beyond(number),
            None => check,
        };
        let check = if self.by.is_empty() { check } else { check.by(self.by) };
        let check = if self.dry_run { check.dry_run() } else { check };
        Ok(if self.missing_numerator == Some(MissingNumerator::Zero) {
            check.missing_numerator_is_zero()
        } else {
            check
        })
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

/// Replaces `{{args.NAME}}`; the value is escaped as the inside of a double-quoted string.
fn substitute(text: &str, args: &BTreeMap<&str, &str>) -> std::result::Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((tag, behind)) = after.split_once("}}") else {
            return Err(format!("`{{{{` without `}}}}` in `{text}`"));
        };
        let name = tag.trim().strip_prefix("args.").unwrap_or("");
        let Some(value) = args.get(name) else {
            return Err(format!("`{{{{{tag}}}}}` names no argument of the gate"));
        };
        out.push_str(before);
        for c in value.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                _ => out.push(c),
            }
        }
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::spec::{CheckKind, ComparisonLimit, Options};
    use crate::gate::stats::dispersion::Dispersion;

    const GATE: &str = r#"
gate: g
args: [ns]
interval: 10s
minDuration: 1m30s
health: off
watch: on
falseAlarm: 1d
deadline: 10m
dispersion: upper
looks: once
minRequests: 200
checks:
  - name: errors
    ratio: {of: 'a{ns="{{args.ns}}",code="500"}', to: 'a{ns="{{ args.ns }}"}'}
    below: 0.05
  - name: budget
    burnRate: {of: 'a{ns="{{args.ns}}",code="500"}', to: 'a{ns="{{args.ns}}"}', objective: 0.999, windows: workbook}
    below: 1
  - name: satisfaction
    apdex: {of: 'b_bucket{ns="{{args.ns}}"}', satisfied: 0.5}
    above: 0.85
    failsBeyond: 0.7
  - name: slow
    quantile: {phi: 0.95, of: 'b_bucket{ns="{{args.ns}}"}'}
    below: 1000
    by: [pod, zone]
  - name: traffic
    volume: a{ns="{{args.ns}}"}
    atLeast: 0.05
  - name: versus stable
    comparison:
      canary: {of: 'a{ns="{{args.ns}}",code="500"}', to: 'a{ns="{{args.ns}}"}'}
      baseline: {of: 'a{ns="stable",code="500"}', to: 'a{ns="stable"}'}
    withinFactor: 1.5
  - name: restarts
    count: {of: 'restarts_total{ns="{{args.ns}}"}', window: 5m}
    atMost: 0
  - name: memory
    value: max(memory_bytes{ns="{{args.ns}}"})
    below: 100
    failsBeyond: 200
"#;

    #[test]
    fn a_gate_is_read_with_its_arguments_in_place() {
        let spec = GateSpec::from_yaml(GATE, &[("ns", "a\"b")]).unwrap();
        assert_eq!(spec.checks.len(), 8);
        assert_eq!(spec.options.min_duration_ms, 90_000);
        assert!(!spec.options.health);
        assert_eq!((spec.options.watch, spec.options.false_alarm_ms), (Some(true), 86_400_000));
        assert_eq!((spec.options.dispersion, spec.options.min_requests), (Dispersion::Upper, 200));
        assert!(spec.options.looks_once);
        let with = |text: &str| {
            let text = GATE.replace("dispersion: upper\nlooks: once\nminRequests: 200", text);
            GateSpec::from_yaml(&text, &[("ns", "x")]).unwrap().options
        };
        assert_eq!(with("dispersion: 2.5").dispersion, Dispersion::Factor(2.5));
        for plain in ["", "dispersion: off\nlooks: any\nminRequests: 0"] {
            let Options { dispersion, looks_once, min_requests, .. } = with(plain);
            assert_eq!((dispersion, looks_once, min_requests), (Dispersion::Independent, false, 0));
        }
        for check in &spec.checks {
            assert_eq!(check.traffic().equal("ns"), Some("a\"b"), "{check:?}");
        }
        assert_eq!(
            spec.checks[3].by,
            super::super::spec::Grouping::By(vec!["pod".to_owned(), "zone".to_owned()])
        );
        let windows = |text: &str| {
            let text = GATE.replace("windows: workbook", text);
            let mut spec = GateSpec::from_yaml(&text, &[("ns", "x")]).map_err(|error| error.to_string())?;
            let CheckKind::Ratio { burn_rate, .. } = spec.checks.remove(1).kind else { panic!("{text}") };
            Ok::<_, String>(burn_rate.map(|burn_rate| burn_rate.windows))
        };
        let own = "windows: [{factor: 2, long: 10m, short: 90s}]";
        assert_eq!(windows(own), Ok(Some(vec![BurnRateWindows::new(2.0, 600_000, 90_000)])));
        assert_eq!(windows("windows: workbook"), Ok(Some(BurnRateWindows::WORKBOOK.to_vec())));
        assert_eq!(windows("windows: "), Ok(None));
        for (text, part) in [
            ("windows: []", "its list of windows is empty"),
            ("windows: weekly", "windows is `weekly`, it must be workbook"),
            ("windows: [{factor: 2, long: 10m, short: 10m}]", "the second must be shorter"),
            ("windows: [{factor: 2, long: 10x, short: 5m}]", "long is `10x`, which is no duration"),
            ("windows: [{factor: 0.5, long: 10m, short: 5m}]", "must lie between 1, where it passes, and"),
            ("windows: [{factor: 2, long: 10m, shorter: 5m}]", "this is no gate"),
        ] {
            assert!(windows(text).is_err_and(|error| error.contains(part)), "{text}: {:?}", windows(text));
        }
        assert!(spec.checks[5].query().contains("beside a{ns=\"stable\",code=\"500\"} / a{ns=\"stable\"}"));
    }

    #[test]
    fn a_gauge_is_compared_once_and_takes_its_time() {
        let gauge = |options: &str| {
            let text = format!(
                "gate: g\nargs: [ns]\n{options}\nchecks:\n  - name: memory\n    gauge: {{canary: 'memory{{ns=\"{{{{args.ns}}}}\"}}', \
                 baseline: 'memory{{ns=\"stable\"}}'}}\n    withinFactor: 1.2\n    failsBeyond: 1.5\n"
            );
            GateSpec::from_yaml(&text, &[("ns", "x")]).map_err(|error| error.to_string())
        };
        let every = |options: &str| match gauge(options).unwrap().checks.remove(0).kind {
            CheckKind::Gauge { canary, every_ms, limit, .. } => {
                assert_eq!(canary.equal("ns"), Some("x"));
                assert_eq!(limit, ComparisonLimit::Factor { pass: 1.2, fail: 1.5 });
                every_ms
            }
            other => panic!("{other:?}"),
        };
        assert_eq!((every("deadline: 21m"), every("deadline: 20m\nsettle: 0s")), (60_000, 60_000));
        assert_eq!(every("deadline: 10h"), 180_000);
        for options in ["", "deadline: 20m", "deadline: 30m\nwarmUp: 10m"] {
            assert!(
                gauge(options).is_err_and(|error| error.contains("in one look at the deadline")),
                "{options}"
            );
        }
        assert!(gauge("deadline: 1h\nwatch: on").is_err_and(|error| error.contains("does not watch")));
        // The gate beside a rollout's steps watches unless it cannot.
        assert!(!gauge("deadline: 1h").unwrap().watching().watches());
    }

    #[test]
    fn mistakes_are_told_by_name() {
        let message =
            |text: &str, args: &[(&str, &str)]| GateSpec::from_yaml(text, args).unwrap_err().to_string();
        assert_eq!(message(GATE, &[]), "argument `ns` of the gate has no value");
        assert!(message(GATE, &[("ns", "x"), ("nss", "y")]).contains("`nss` is none of the gate's"));
        let bad = |from: &str, to: &str| message(&GATE.replace(from, to), &[("ns", "x")]);
        assert!(bad("interval: 10s", "interval: 10").contains("no duration"));
        assert!(bad("interval:", "intervall:").contains("intervall"));
        assert!(bad("below: 1000", "atLeast: 1000").contains("takes below"));
        assert!(bad("below: 1000", "dryRun: false").contains("exactly one of below"));
        assert!(bad("{{args.ns}}", "{{args.nz}}").contains("names no argument"));
        assert!(bad("health: off", "health: perhaps").contains("health is `perhaps`, it must be on or off"));
        assert!(
            bad("deadline: 10m", "settle: 5s").contains("decides in one look, at its deadline, and has none")
        );
        assert!(
            bad("dispersion: upper", "dispersion: most")
                .contains("dispersion is `most`, it must be off, upper")
        );
        assert!(bad("dispersion: upper", "dispersion: 0.5").contains("1 or more"));
        assert!(bad("looks: once", "looks: twice").contains("twice"));
        assert!(bad("minRequests: 200", "minRequests: -1").contains("no gate"));
        assert!(bad("watch: on", "watch: 5m").contains("watch is `5m`, it must be on or off"));
        assert!(bad("falseAlarm: 1d", "falseAlarm: 5s").contains("at least 10000 ms"));
        assert!(message("[]", &[]).contains("no gate"));
    }
}
