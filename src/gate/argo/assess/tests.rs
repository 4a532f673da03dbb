use super::super::status::Measurement;
use super::*;

fn int(number: i32) -> Option<IntOrText> {
    Some(IntOrText::Int(number))
}

fn measured(phase: Phase) -> Measurement {
    Measurement { phase, ..Measurement::default() }
}

/// `n/f/i/e/s` = count, failureLimit, inconclusiveLimit, consecutiveErrorLimit, consecutiveSuccessLimit.
fn metric(limits: &str) -> Metric {
    let limits: Vec<Option<IntOrText>> =
        limits.split('/').map(|limit| limit.parse().ok().and_then(int)).collect();
    let [count, failure, inconclusive, error, success] = limits.try_into().unwrap();
    Metric {
        name: "m".to_owned(),
        interval: "10s".to_owned(),
        count,
        failure_limit: failure,
        inconclusive_limit: inconclusive,
        consecutive_error_limit: error,
        consecutive_success_limit: success,
        ..Metric::default()
    }
}

/// Feeds measurements until the metric is final: its phase, and how many were taken.
fn sequence(limits: &str, phases: &str) -> (Phase, usize) {
    let metric = metric(limits);
    let mut result = MetricResult::default();
    for (index, letter) in phases.split(' ').enumerate() {
        result.record(measured(match letter {
            "S" => Phase::Successful,
            "F" => Phase::Failed,
            "I" => Phase::Inconclusive,
            _ => Phase::Error,
        }));
        result.phase = assess_metric(&metric, &result, false);
        if result.phase.is_completed() {
            return (result.phase, index + 1);
        }
    }
    (result.phase, result.measurements.len())
}

#[test]
fn a_sequence_of_measurements_makes_a_metrics_phase() {
    for (limits, phases, phase, taken) in [
        ("4/1/-/-/-", "S F S S", Phase::Successful, 4),
        ("4/1/-/-/-", "S F S F", Phase::Failed, 4),
        ("4/1/-/-/-", "F S F", Phase::Failed, 3),
        ("4/3/-/-/-", "F F F S", Phase::Successful, 4),
        ("2/1/1/-/-", "F I", Phase::Successful, 2),
        ("4/-/2/-/-", "I S I S", Phase::Successful, 4),
        ("2/-/2/-/-", "I I", Phase::Successful, 2),
        ("4/-/-/1/-", "E S E S E E", Phase::Error, 6),
        ("2/-/-/-/-", "E E E E S E S", Phase::Successful, 7),
        ("-/-/-/-/-", "S S S", Phase::Running, 3),
        ("6/2/-/-/3", "F S S S", Phase::Successful, 4),
        ("6/2/-/-/3", "S S F S S F", Phase::Inconclusive, 6),
        ("6/-1/-/-/3", "S S F S S F", Phase::Failed, 6),
        ("-/-1/-/-/2", "F F F F S S", Phase::Successful, 6),
        ("-1/-/-/-/-", "E", Phase::Successful, 1),
    ] {
        assert_eq!(sequence(limits, phases), (phase, taken), "{limits}: {phases}");
    }
}

#[test]
fn of_several_limits_an_error_counts_most() {
    let mut result =
        MetricResult { failed: 1, inconclusive: 1, consecutive_error: 5, ..MetricResult::default() };
    let metric = metric("-/-/-/-/-");
    assert_eq!(limit_exceeded(&metric, &result).unwrap().0, Phase::Error);
    result.consecutive_error = 4;
    assert_eq!(
        limit_exceeded(&metric, &result),
        Some((Phase::Inconclusive, "inconclusive (1) > inconclusiveLimit (0)".to_owned()))
    );
}

#[test]
fn a_limit_beyond_32_bits_is_cut_to_them() {
    let metric = Metric {
        consecutive_error_limit: Some(IntOrText::Text("3000000000".to_owned())),
        failure_limit: Some(IntOrText::Text("99999999999999999999".to_owned())),
        ..Metric::default()
    };
    let mut result = MetricResult { failed: 9, ..MetricResult::default() };
    let exceeded = limit_exceeded(&metric, &result).unwrap();
    assert_eq!(exceeded.1, "consecutiveErrors (0) > consecutiveErrorLimit (-1294967296)");
    result.record(measured(Phase::Successful));
    assert_eq!(assess_metric(&metric, &result, false), Phase::Error);
}

/// Metrics as `NAME PHASE`, `d` after it for dry run; a phase of `-` is not started.
fn run(metrics: &str, terminate: bool) -> RunStatus {
    let mut status = RunStatus::default();
    let (mut specs, mut dry) = (Vec::new(), Vec::new());
    for (index, text) in metrics.split(", ").enumerate() {
        let (text, is_dry) = text.strip_suffix(" d").map_or((text, false), |text| (text, true));
        let name = format!("m{index}");
        specs.push(Metric { name: name.clone(), interval: "10s".to_owned(), ..Metric::default() });
        dry.push(is_dry);
        let mut result = MetricResult { name, phase: Phase::Running, ..MetricResult::default() };
        match text {
            "-" => continue,
            "Failed" => result.record(measured(Phase::Failed)),
            "Error" => (0..5).for_each(|_| result.record(measured(Phase::Error))),
            "Inconclusive" => result.record(measured(Phase::Inconclusive)),
            "Running" => result.record(measured(Phase::Successful)),
            _ => {
                result.record(measured(Phase::Successful));
                result.phase = Phase::Successful;
            }
        }
        status.metric_results.push(result);
    }
    let spec = RunSpec { metrics: &specs, dry_run: &dry, terminate };
    for _ in 0..3 {
        if !status.phase.is_completed() {
            let before = phases(&spec, &status);
            assess_run(&spec, &mut status, &before, Timestamp::from_secs(1));
        }
    }
    status
}

#[test]
fn metrics_make_a_run() {
    for (metrics, terminate, phase) in [
        ("Successful, Successful", false, Phase::Successful),
        ("Successful, Running", false, Phase::Running),
        ("Failed, Running", false, Phase::Failed),
        ("Error, Failed", false, Phase::Failed),
        ("Inconclusive, Error", false, Phase::Error),
        ("Inconclusive, -", false, Phase::Inconclusive),
        ("Failed d, Successful", false, Phase::Successful),
        ("Failed d, Running", false, Phase::Running),
        ("Running d, Successful", false, Phase::Running),
        ("Failed d", false, Phase::Successful),
        ("Running", true, Phase::Successful),
        ("-", true, Phase::Successful),
    ] {
        assert_eq!(run(metrics, terminate).phase, phase, "{metrics}");
    }
}

#[test]
fn messages_name_the_first_metric_of_the_worst_phase() {
    let status = run("Error, Failed, Failed", false);
    assert_eq!(status.message, "Metric \"m1\" assessed Failed due to failed (1) > failureLimit (0)");
    assert_eq!(
        status.run_summary,
        Some(RunSummary { count: 3, successful: 0, failed: 2, inconclusive: 0, error: 1 })
    );
    assert_eq!(run("Running", true).message, "Run Terminated");
    let dry = run("Failed d, Successful", false);
    assert_eq!(dry.message, "");
    assert_eq!(dry.metric_results[0].message, "Metric assessed Failed due to failed (1) > failureLimit (0)");
    assert_eq!(dry.dry_run_summary.unwrap().failed, 1);
}

#[test]
fn a_metric_under_way_ends_well_when_another_fails() {
    let status = run("Failed, Running", false);
    assert_eq!(status.metric_results[1].phase, Phase::Successful);
    assert_eq!(status.completed_at, Some(Timestamp::from_secs(1)));
}
