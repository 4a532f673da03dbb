//! Single rules about time: due metrics, retention, time to live, instants.

use super::cases::{metric_spec, run_in_state, run_of, stored_result, stored_status};
use super::timelines::Driver;
use super::*;

/// Seconds after which the state of a schedule case begins.
pub(super) const EPOCH: i64 = 100_000;

pub(super) fn schedule_case(input: &Value, expect: &Value) -> Result<(), String> {
    let mut metrics: Vec<Value> = input["metrics"].as_array().unwrap().iter().map(metric_spec).collect();
    let mut in_flight = false;
    let results: Vec<Value> = input["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| {
            let last = result.get("last_measurement").filter(|last| !last.is_null());
            let newest = last.map(|last| {
                let ago = last.get("finished_seconds_ago").and_then(Value::as_i64);
                in_flight |= ago.is_none();
                let at = (EPOCH - ago.unwrap_or(0)) * 1000;
                json!({"phase": last["phase"], "startedAt": at, "finishedAt": at})
            });
            stored_result(text(&result["name"]), text(&result["phase"]), result, newest)
        })
        .collect();
    if in_flight {
        // A measurement under way is never part of a state here: while an answer is owed, nothing else is due.
        let mut run = run_of(&json!({"metrics": metrics}))?;
        run.start(Timestamp::from_secs(EPOCH));
        run.poll(Timestamp::from_secs(EPOCH));
        return expect_that(
            run.next_due().is_none() && expect["next_in_seconds"].is_null(),
            "a time",
            expect,
        );
    }
    let started = input["run_started_seconds_ago"].as_i64().map(|ago| (EPOCH - ago) * 1000);
    let status = stored_status(results, started);
    let terminate = input["terminate"].as_bool().unwrap_or(false);
    let now = EPOCH * 1000;
    let mut run = run_in_state(&json!({"metrics": metrics}), &status, terminate, now)?;
    if run.status().message.starts_with("Analysis spec invalid") {
        // A delay that does not parse is refused before anything is scheduled, in Argo too. The rule itself, which leaves that
        // metric out, is seen by the times of the others.
        let refused = metrics.iter().position(|metric| {
            let delay = metric.get("initialDelay").map_or("", text);
            delay.starts_with(|c: char| !c.is_ascii_digit())
        });
        let index = refused.ok_or_else(|| run.status().message.clone())?;
        let wanted = format!("Analysis spec invalid: metrics[{index}]: invalid startDelay string: ");
        expect_that(run.status().message.starts_with(&wanted), &run.status().message, expect)?;
        expect_that(run.next_due().is_none(), "a time", expect)?;
        metrics.remove(index);
        run = run_in_state(&json!({"metrics": metrics}), &status, terminate, now)?;
    }
    if let Some(next) = expect.get("next_in_seconds") {
        let found = run.next_due().map(|next| next.as_millis() / 1000 - EPOCH);
        expect_that(json!(found) == *next, format!("{found:?}"), expect)?;
    }
    if let Some(due) = expect.get("due") {
        let found: Vec<String> =
            run.poll(Timestamp::from_millis(now)).into_iter().map(|request| request.metric).collect();
        expect_that(json!(found) == *due, format!("{found:?}"), expect)?;
    }
    Ok(())
}

pub(super) fn retention_case(input: &Value, expect: &Value) -> Result<(), String> {
    // A rule for everything stands in for the default, which is not an option of a run.
    let mut rules = vec![json!({"metricName": ".*", "limit": input["default_limit"]})];
    rules.extend(input["rules"].as_array().unwrap().iter().cloned());
    let values = input["values"].as_object().unwrap();
    for (name, list) in values {
        let metric = json!({"name": name, "interval": "10s", "provider": {"prometheus": {"query": "x"}}});
        let others: Vec<&Value> = rules
            .iter()
            .filter(|rule| rule["metricName"] == json!(".*") || text(&rule["metricName"]) == name)
            .collect();
        let mut run = run_of(&json!({"metrics": [metric], "measurementRetention": others}))?;
        for (index, value) in list.as_array().unwrap().iter().enumerate() {
            let value = QueryValue::Scalar(number(text(value)));
            run.tick(Timestamp::from_secs(index as i64 * 10), &mut |_| Ok(value.clone().into()));
        }
        let kept: Vec<&str> =
            run.status().metric_results[0].measurements.iter().map(|kept| kept.value.as_str()).collect();
        expect_that(json!(kept) == expect["values"][name], format!("{kept:?}"), expect)?;
    }
    Ok(())
}

pub(super) fn ttl_case(input: &Value, expect: &Value) -> Result<(), String> {
    let strategy: TtlStrategy = match &input["ttlStrategy"] {
        Value::Null => TtlStrategy::default(),
        strategy => serde_json::from_value(strategy.clone()).map_err(|error| error.to_string())?,
    };
    let completed = input["completed_seconds_ago"].as_i64().map(|ago| Timestamp::from_secs(-ago));
    let status =
        RunStatus { phase: phase(text(&input["phase"])), completed_at: completed, ..RunStatus::default() };
    let expired = time_to_live(&strategy, &status).is_some_and(|until| until <= Timestamp::from_secs(0));
    expect_that(json!(expired) == expect["expired"], expired, expect)
}

pub(super) fn time_case(input: &Value, expect: &Value) -> Result<(), String> {
    let range = json!({"start": input["expression"], "end": "now()", "step": "1s"});
    let metric = json!({"name": "m", "provider": {"prometheus": {"query": "x", "rangeQuery": range}}});
    let mut run = run_of(&json!({"metrics": [metric]}))?;
    run.start(Timestamp::from_secs(1_790_000_000));
    let requests = run.poll(Timestamp::from_secs(1_790_000_000));
    match requests.first().and_then(|request| request.range) {
        Some(range) => {
            let found = range.start.as_millis() / 1000;
            let wanted = expect.get("rfc3339").map(|at| seconds_of(text(at)));
            expect_that(wanted == Some(found), found, expect)
        }
        None => {
            let message = &run.status().metric_results[0].newest().unwrap().message;
            let wanted = expect.get("error_contains").map(text);
            expect_that(wanted.is_some_and(|wanted| message.contains(wanted)), message, expect)
        }
    }
}

/// Seconds of an RFC 3339 instant in UTC.
pub(super) fn seconds_of(text: &str) -> i64 {
    let part = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    let (year, month, day) = (part(0..4), part(5..7), part(8..10));
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days: i64 = (1970..year).map(|year| if leap(year) { 366 } else { 365 }).sum();
    let lengths = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let days = days + lengths[..month as usize - 1].iter().sum::<i64>() + day - 1;
    ((days * 24 + part(11..13)) * 60 + part(14..16)) * 60 + part(17..19)
}

pub(super) fn timeline_case(input: &Value, expect: &Value) -> Result<(), String> {
    let metrics: Vec<Value> = input["metrics"].as_array().unwrap().iter().map(metric_spec).collect();
    let run = run_of(&json!({"metrics": metrics}))?;
    let script = input["responses"].as_object().unwrap().iter().map(|(name, entries)| {
        let entries = entries.as_array().unwrap().iter().map(|entry| match entry {
            Value::Null => json!({"error_text": input["provider_error_text"]}),
            values => json!({"vector": values}),
        });
        (name.clone(), entries.collect())
    });
    let mut driver = Driver {
        run,
        script: script.collect(),
        taken: HashMap::new(),
        measurements: BTreeMap::new(),
        names: HashMap::new(),
    };
    driver.drive(0, None, 3_600_000);
    let status = driver.run.status();
    let found = json!({"phase": status.phase.as_str(), "message": status.message, "at": seconds(status.completed_at),
        "measurements": driver.measurements});
    let starts = status.message.starts_with(text(&expect["run_message_starts_with"]));
    let same = status.phase.as_str() == text(&expect["run_phase"]) && starts;
    expect_that(same && found["at"] == expect["completed_at_seconds"], &found, expect)?;
    for (name, wanted) in expect["measurements"].as_object().unwrap() {
        let taken: Vec<Value> = driver
            .measurements
            .get(name)
            .into_iter()
            .flatten()
            .map(|taken| json!([taken["started"], taken["phase"]]))
            .collect();
        expect_that(json!(taken) == *wanted, &found, expect)?;
    }
    for (name, wanted) in expect.get("metric_phases").and_then(Value::as_object).into_iter().flatten() {
        let found = status.result(name).map_or("Pending", |result| result.phase.as_str());
        expect_that(found == text(wanted) || wanted.is_null(), found, expect)?;
    }
    Ok(())
}
