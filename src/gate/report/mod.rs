//! What a gate says about itself.

mod junit;
mod markdown;

use std::fmt;

use super::binary::{binary_fields, binary_variants};
use super::reason::{BurnRates, Reason, Severity};
use super::verdict::Verdict;
use crate::model::Timestamp;

/// How a gate decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Mode {
    /// By evidence: exact counts, sequential tests, target health.
    Native,
    /// As Argo Rollouts does, phase for phase.
    Strict,
}

binary_variants!(Mode { 0 = Native, 1 = Strict });

/// The state of a gate in words and numbers.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Report {
    /// The gate's name.
    pub gate: String,
    /// How it decides.
    pub mode: Mode,
    /// When it started; none before.
    pub started: Option<Timestamp>,
    /// When it was last looked at; none before the first look.
    pub at: Option<Timestamp>,
    /// Whether the verdict is final.
    pub settled: bool,
    /// The verdict so far, final once settled.
    pub verdict: Verdict,
    /// Why, decisive reasons first.
    pub reasons: Vec<Reason>,
    /// What each check says, in the order of the specification.
    pub checks: Vec<CheckReport>,
    /// When to look again; none once settled and before the start.
    pub next_due: Option<Timestamp>,
    /// What strict mode says beside, where that is asked for ([`GateSpec::beside_argo`](super::GateSpec::beside_argo)).
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub strict: Option<Box<Self>>,
}

binary_fields!(Report { gate, mode, started, at, settled, verdict, reasons, checks, next_due, strict });

impl Report {
    /// The sentence that matters most, with the check it is about.
    pub fn because(&self) -> String {
        self.reasons.first().map(ToString::to_string).unwrap_or_default()
    }
}

/// What one check says.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct CheckReport {
    /// The check's name.
    pub name: String,
    /// Whether it decides nothing.
    pub dry_run: bool,
    /// What it says.
    pub verdict: Verdict,
    /// What is counted or asked.
    pub query: String,
    /// What the verdict rests on.
    pub evidence: Evidence,
    /// Why, the decisive reason first.
    pub reasons: Vec<Reason>,
    /// What each element says, where each is judged for itself; its name says which it is. What is told above is that of the
    /// elements that decide.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub elements: Vec<Self>,
}

binary_fields!(CheckReport { name, dry_run, verdict, query, evidence, reasons, elements });

/// Ends of what is possible, and how surely.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Probability, for either end, that it holds.
    pub confidence: f64,
}

binary_fields!(Interval { low, high, confidence });

/// The numbers behind a check's verdict.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Evidence {
    /// Nothing was counted.
    None,
    /// Bad requests among requests.
    Ratio {
        /// Bad requests.
        events: f64,
        /// Requests.
        trials: f64,
        /// The ratios that the counts leave possible at all looks together.
        always: Interval,
        /// The same for one look (Clopper-Pearson).
        once: Interval,
        /// The same, approximately and narrower (Wilson).
        wilson: Interval,
        /// ln of the evidence that the ratio is below the threshold; none if there is none at all.
        ln_e_pass: Option<f64>,
        /// ln of the evidence that the ratio is above the threshold; none if there is none at all.
        ln_e_fail: Option<f64>,
        /// How many times more the counts of the looks scatter than those of independent requests would (Pearson); none for
        /// less than two looks with requests.
        #[cfg_attr(feature = "serde", serde(default))]
        dispersion: Option<f64>,
        /// Of a burn rate over windows: each pair of them, by which it fails.
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
        windows: Vec<BurnRates>,
    },
    /// Observations above a threshold among all.
    Quantile {
        /// Which quantile.
        phi: f64,
        /// Observations.
        trials: f64,
        /// Fewest of them that can be above the threshold.
        fewest_above: f64,
        /// Most of them that can be above the threshold.
        most_above: f64,
        /// Lower end of the quantile; none where nothing bounds it.
        low: Option<f64>,
        /// Upper end of the quantile; none where nothing bounds it.
        high: Option<f64>,
        /// The quantile as Prometheus interpolates it; shown, never deciding.
        estimate: Option<f64>,
        /// As in a ratio.
        ln_e_pass: Option<f64>,
        /// As in a ratio.
        ln_e_fail: Option<f64>,
        /// As in a ratio.
        #[cfg_attr(feature = "serde", serde(default))]
        dispersion: Option<f64>,
    },
    /// Requests over time.
    Volume {
        /// Requests counted.
        requests: f64,
        /// Length of the evidence in seconds.
        seconds: f64,
    },
    /// Events in the newest stretch of time.
    Count {
        /// Events counted.
        events: f64,
        /// In how many seconds.
        seconds: f64,
    },
    /// Bad requests of a canary beside those of a baseline.
    Comparison {
        /// Bad requests of the canary.
        events: f64,
        /// Requests of the canary.
        trials: f64,
        /// Bad requests of the baseline.
        baseline_events: f64,
        /// Requests of the baseline.
        baseline_trials: f64,
        /// How many times the baseline's share the canary's is; none without bad requests of the baseline.
        factor: Option<f64>,
        /// How many times it is at least, from one look (exact given all bad requests).
        factor_low: f64,
        /// How many times it is at most; none where nothing bounds it.
        factor_high: Option<f64>,
        /// How much higher the canary's share is, from one look, approximately (Newcombe).
        difference: Interval,
        /// ln of the evidence that the canary is within what is allowed; none if there is none at all.
        ln_e_pass: Option<f64>,
        /// ln of the evidence that the canary is beyond it; none if there is none at all.
        ln_e_fail: Option<f64>,
        /// As in a ratio, of the side of which the counts scatter more.
        #[cfg_attr(feature = "serde", serde(default))]
        dispersion: Option<f64>,
    },
    /// Samples of a gauge of a canary beside those of a baseline.
    Gauge {
        /// Samples of the canary.
        samples: usize,
        /// Samples of the baseline.
        baseline_samples: usize,
        /// The middle of those of the canary, in the unit of the gauge.
        median: Option<f64>,
        /// The middle of those of the baseline.
        baseline_median: Option<f64>,
        /// How many times the baseline's the canary's are where a factor is allowed, else how much higher: the middle over all pairs
        /// of samples (Hodges, Lehmann 1963).
        estimate: Option<f64>,
        /// The same with the ends that the samples leave; none where there are too few for an end.
        interval: Option<Interval>,
        /// How probable samples as low are if the canary is at the limit for passing.
        p_pass: f64,
        /// How probable samples as high are if it is at the limit for failing.
        p_fail: f64,
    },
    /// Answers of a query.
    Values {
        /// How many were good.
        good: u64,
        /// How many were bad.
        failed: u64,
        /// How many were neither.
        inconclusive: u64,
        /// How many held no number.
        missing: u64,
        /// The newest answer, or why there is none.
        newest: Option<String>,
    },
    /// Measurements of a query, judged by a condition.
    Measurements {
        /// How many measurements were successful.
        successful: u64,
        /// How many failed.
        failed: u64,
        /// How many were inconclusive.
        inconclusive: u64,
        /// How many were errors.
        error: u64,
        /// The newest measurements, oldest first.
        newest: Vec<super::argo::Measurement>,
    },
}

binary_variants!(Evidence {
    0 = None,
    1 = Ratio { events, trials, always, once, wilson, ln_e_pass, ln_e_fail, dispersion, windows },
    2 = Quantile {
        phi, trials, fewest_above, most_above, low, high, estimate, ln_e_pass, ln_e_fail, dispersion
    },
    3 = Volume { requests, seconds },
    4 = Count { events, seconds },
    5 = Comparison {
        events,
        trials,
        baseline_events,
        baseline_trials,
        factor,
        factor_low,
        factor_high,
        difference,
        ln_e_pass,
        ln_e_fail,
        dispersion,
    },
    6 = Values { good, failed, inconclusive, missing, newest },
    7 = Measurements { successful, failed, inconclusive, error, newest },
    8 = Gauge { samples, baseline_samples, median, baseline_median, estimate, interval, p_pass, p_fail },
});

impl fmt::Display for CheckReport {
    /// `errors is inconclusive: 41 requests so far, 74 are needed`, notes behind it line by line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.verdict {
            Verdict::Pass => "passes",
            Verdict::Fail => "fails",
            Verdict::Inconclusive => "is inconclusive",
        };
        write!(f, "{} {verb}", self.name)?;
        for reason in &self.reasons {
            f.write_str(if reason.severity == Severity::Information { "\n    note: " } else { ": " })?;
            if let Some(element) = &reason.element {
                write!(f, "{element}: ")?;
            }
            f.write_str(&reason.text)?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    /// The verdict with its decisive reason, then a line a check.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gate {}: {}", self.gate, self.verdict)?;
        if !self.settled {
            f.write_str(" so far")?;
        }
        for reason in self.reasons.iter().filter(|reason| reason.check.is_none()) {
            let lead = if reason.severity == Severity::Information { "note: " } else { "" };
            write!(f, "\n  {lead}{}", reason.text)?;
        }
        for check in &self.checks {
            write!(f, "\n  {check}")?;
        }
        match &self.strict {
            Some(strict) => write!(f, "\n  Argo would have said {}", strict.because()),
            None => Ok(()),
        }
    }
}

#[cfg(all(test, feature = "serde"))]
mod tests {
    use super::*;
    use crate::gate::fixture::Fixture;
    use crate::gate::run::Gate;
    use crate::gate::spec::{BurnRateWindows, Check, GateSpec};
    use serde_json::Value;

    /// The document names whatever stands in the JSON of a report.
    #[test]
    fn the_document_has_every_key_of_a_report() {
        let document = include_str!("../../docs/gates.md");
        let pair = |pod: &str| (format!("all{{pod={pod:?},code=\"500\"}}"), format!("all{{pod={pod:?}}}"));
        let spec = GateSpec::builder("g")
            .check(Check::ratio("ratio", r#"all{code="500"}"#, "all").below(0.05).by(["pod"]))
            .check(
                Check::burn_rate("burn", r#"all{code="500"}"#, "all", 0.99)
                    .below(1.0)
                    .windows([BurnRateWindows::new(14.4, 3_600_000, 300_000)]),
            )
            .check(Check::quantile("quantile", "seconds_bucket", 0.9).below(1.0).dry_run())
            .check(Check::volume("volume", "all").at_least(1.0))
            .check(Check::count("count", "all", 60_000).at_most(1e6))
            .check(Check::comparison("comparison", pair("a"), pair("b")).within_factor(2.0))
            .check(Check::value("value", "max(all)").below(1e6))
            .check(Check::gauge("gauge", "all{pod=\"a\"}", "all{pod=\"b\"}").within_factor(2.0))
            .deadline_ms(1_800_000)
            .build()
            .unwrap();
        let every = || (990..1_200).step_by(10);
        let mut source = Fixture::default();
        for pod in ["a", "b"] {
            for (code, each) in [("200", 3.0), ("500", 0.01)] {
                let labels = [("__name__", "all"), ("pod", pod), ("code", code)];
                source = source.series(&labels, every().map(|time| (time, time as f64 * each)));
            }
        }
        for le in ["1", "+Inf"] {
            let labels = [("__name__", "seconds_bucket"), ("le", le)];
            source = source.series(&labels, every().map(|time| (time, time as f64)));
        }
        let mut gate = Gate::new(spec);
        gate.start(Timestamp::from_secs(1_000));
        for second in [1_050, 1_100] {
            gate.tick(Timestamp::from_secs(second), &source).unwrap();
        }
        let report = serde_json::to_value(gate.report()).unwrap();
        let mut keys = Vec::new();
        let mut open = vec![&report];
        while let Some(value) = open.pop() {
            match value {
                Value::Object(fields) => {
                    keys.extend(fields.keys());
                    open.extend(fields.values());
                }
                Value::Array(list) => open.extend(list),
                _ => {}
            }
        }
        for kind in [
            "ratio",
            "quantile",
            "volume",
            "count",
            "comparison",
            "values",
            "elements",
            "dispersion",
            "windows",
            "gauge",
            "p_pass",
        ] {
            assert!(keys.iter().any(|key| *key == kind), "{kind} is not in {report}");
        }
        for key in keys {
            assert!(document.contains(&format!("`{key}`")), "`{key}` is in no table");
        }
    }
}
