//! A baseline that is no better than what the canary is held against: whoever reads of a canary that fails should know.

use super::evidence::Tally;
use super::reason::{Finding, Reason, Severity};
use super::report::CheckReport;
use super::spec::{CheckKind, CheckSpec, GateSpec, Grouping};
use super::state::CheckState;
use super::stats::binomial::is_above;

/// Tells of every comparison that its baseline has more bad requests than a check of the same gate allows the same canary, where one
/// look at its counts shows that.
pub(crate) fn note_worse_baselines(spec: &GateSpec, states: &[CheckState], reports: &mut [CheckReport]) {
    let alpha = spec.options.alpha_pass;
    for (check, state) in spec.checks.iter().zip(states) {
        let Some((objective, threshold)) = objective(spec, check) else { continue };
        let Tally { baseline: (events, trials), .. } = state.tally;
        let counted = trials > 0.0 && (0.0..=trials).contains(&events);
        let report = reports.iter_mut().find(|report| report.name == check.name);
        if let Some(report) = report.filter(|_| counted && is_above(events, trials, threshold, alpha)) {
            let objective = objective.to_owned();
            let finding = Finding::BaselineWorse { events, trials, threshold, objective };
            report.reasons.push(Reason::new(Severity::Information, Some(&check.name), finding));
        }
    }
}

/// The check that holds the canary of this comparison against a number, and the share that it allows.
fn objective<'a>(spec: &'a GateSpec, check: &CheckSpec) -> Option<(&'a str, f64)> {
    let CheckKind::Comparison { canary, .. } = &check.kind else { return None };
    if check.by != Grouping::Whole {
        return None;
    }
    spec.checks.iter().find_map(|other| match &other.kind {
        CheckKind::Ratio { share, threshold, .. } if share == canary && other.by == Grouping::Whole => {
            Some((other.name.as_str(), *threshold))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use crate::gate::fixture::Fixture;
    use crate::gate::run::Gate;
    use crate::gate::spec::{Check, GateSpec};
    use crate::model::Timestamp;

    /// A canary and a baseline of which every so manieth request fails, ten a second each.
    fn reasons(canary: i64, baseline: i64) -> Vec<String> {
        let mut source = Fixture::default();
        for (pod, bad) in [("canary", canary), ("stable", baseline)] {
            for (code, all) in [("500", false), ("200", true)] {
                let count = move |time: i64| {
                    let failed = 10 * time / bad;
                    if all { 10 * time - failed } else { failed }
                };
                let labels = [("__name__", "all_total"), ("pod", pod), ("code", code)];
                source = source.series(&labels, (0..=600).step_by(10).map(|time| (time, count(time) as f64)));
            }
        }
        let pair = |pod: &str| {
            (format!("all_total{{pod={pod:?},code=\"500\"}}"), format!("all_total{{pod={pod:?}}}"))
        };
        let (errors, requests) = pair("canary");
        let spec = GateSpec::builder("g")
            .check(Check::ratio("errors", errors, requests).below(0.05))
            .check(Check::comparison("versus", pair("canary"), pair("stable")).within_factor(2.0))
            .health(false)
            .build();
        let mut gate = Gate::new(spec.unwrap());
        gate.start(Timestamp::from_secs(0));
        gate.tick(Timestamp::from_secs(500), &source).unwrap();
        let report = gate.report();
        let told = report.checks[1].reasons.iter().filter(|reason| reason.code() == "baseline-worse");
        told.map(|reason| reason.text.clone()).collect()
    }

    #[test]
    fn a_baseline_beyond_what_the_canary_is_allowed_is_told_of() {
        assert_eq!(
            reasons(5, 5),
            [
                "the baseline itself does worse than `errors` allows the canary: 980 of 4900 requests failed (20 %), the limit is 5 %"
            ]
        );
        assert!(reasons(5, 100).is_empty());
        // At the limit nothing is shown.
        assert!(reasons(5, 20).is_empty());
    }
}
