//! Single rules: conditions, values, metrics, runs, arguments, validation.

use super::schedule::{retention_case, schedule_case, time_case, timeline_case, ttl_case};
use super::*;

/// `cases.json`: single rules by group.
pub(super) fn cases(folder: &Path) -> Outcome {
    let content = match read(folder, "cases", "cases.json") {
        Ok(content) => content,
        Err(outcome) => return outcome,
    };
    let mut outcome = Outcome::new("cases");
    let document: Value = serde_json::from_str(&content).unwrap();
    for case in document["cases"].as_array().unwrap() {
        let (input, expect) = (&case["input"], &case["expect"]);
        let name = text(&case["id"]).to_owned();
        let result = match text(&case["group"]) {
            "condition" => condition_case(input, expect),
            "prometheus_value" => value_case(input, expect),
            "metric" => match input.get("sequence") {
                Some(_) => metric_case(input, expect),
                None => state_case(input, expect),
            },
            "run" => run_case(input, expect),
            "args" => args_case(input, expect),
            "validate" => validate_case(input, expect),
            "schedule" => schedule_case(input, expect),
            "retention" => retention_case(input, expect),
            "ttl" => ttl_case(input, expect),
            "time" => time_case(input, expect),
            "timeline" => timeline_case(input, expect),
            other => Err(format!("unknown group {other}")),
        };
        outcome.note(name, result);
    }
    outcome
}

pub(super) fn contains_any(message: &str, expect: &Value) -> bool {
    let wanted = expect.get("error_contains_any").and_then(Value::as_array);
    wanted.is_none_or(|wanted| wanted.iter().any(|part| message.contains(text(part))))
}

pub(super) fn condition_case(input: &Value, expect: &Value) -> Result<(), String> {
    let result = &input["result"];
    let value = match text(&result["kind"]) {
        "scalar" => QueryValue::Scalar(number(text(&result["value"]))),
        "vector" => QueryValue::Vector(numbers(&result["values"])),
        _ => QueryValue::Json(result["value"].clone()),
    };
    let (success, failure) = (text(&input["successCondition"]), text(&input["failureCondition"]));
    let judged = judge(&value, success, failure, Timestamp::from_secs(0), Profile::V1_10);
    match judged {
        Ok(found) => expect_that(found.as_str() == text(&expect["phase"]), found, expect),
        Err(message) => {
            let reference = expect.get("reference_error").map(text);
            let same = reference.is_none_or(|reference| reference == message);
            expect_that(
                text(&expect["phase"]) == "Error" && contains_any(&message, expect) && same,
                message,
                expect,
            )
        }
    }
}

pub(super) fn metric_spec(metric: &Value) -> Value {
    let mut metric = metric.clone();
    if metric.get("provider").is_none() {
        metric["provider"] = json!({"prometheus": {"query": "x"}});
    }
    metric
}

pub(super) fn value_case(input: &Value, expect: &Value) -> Result<(), String> {
    let response = &input["response"];
    let values = &response["values"];
    let mut answer = match text(&response["type"]) {
        "scalar" => Ok(QueryAnswer::from(QueryValue::Scalar(numbers(values)[0]))),
        "vector" => Ok(QueryAnswer::from(QueryValue::Vector(numbers(values)))),
        "matrix" => Ok(QueryAnswer::from(QueryValue::Matrix(
            response["series"].as_array().unwrap().iter().map(numbers).collect(),
        ))),
        "none" => Ok(QueryAnswer::from(QueryValue::Text(String::new()))),
        _ => Err(text(&response["message"]).to_owned()),
    };
    if let (Ok(answer), Some(warnings)) = (&mut answer, response.get("warnings").and_then(Value::as_array)) {
        answer.warnings = warnings.iter().map(|warning| text(warning).to_owned()).collect();
    }
    let metric = json!({"name": "m", "successCondition": input["successCondition"],
        "failureCondition": input["failureCondition"], "provider": {"prometheus": {"query": "x"}}});
    let mut run = run_of(&json!({"metrics": [metric]}))?;
    run.tick(Timestamp::from_secs(0), &mut |_| answer.clone());
    let newest = run.status().metric_results[0].newest().unwrap().clone();
    let metadata = expect.get("metadata").is_none_or(|metadata| *metadata == json!(newest.metadata));
    let same = newest.phase.as_str() == text(&expect["phase"]) && newest.value == text(&expect["value"]);
    expect_that(same && metadata && contains_any(&newest.message, expect), format!("{newest:?}"), expect)
}

pub(super) fn run_of(spec: &Value) -> Result<AnalysisRun, String> {
    let template = AnalysisTemplate::from_json(&spec.to_string()).map_err(|error| error.to_string())?;
    AnalysisRun::new(&template.spec, &[], Profile::V1_10).map_err(|error| error.to_string())
}

/// A run in a state: spec, and a status as it would be stored.
pub(super) fn run_in_state(
    spec: &Value,
    status: &Value,
    terminate: bool,
    now: i64,
) -> Result<AnalysisRun, String> {
    let template = AnalysisTemplate::from_json(&spec.to_string()).map_err(|error| error.to_string())?;
    let state = json!({"version": 1, "status": status, "transitions": [], "terminate": terminate, "started": true,
        "now": now});
    let state = serde_json::from_value(state).map_err(|error| error.to_string())?;
    AnalysisRun::resume(&template.spec, &[], Profile::V1_10, state).map_err(|error| error.to_string())
}

pub(super) const COUNTERS: [&str; 7] =
    ["count", "successful", "failed", "inconclusive", "error", "consecutiveError", "consecutiveSuccess"];

/// A stored result of a metric.
pub(super) fn stored_result(name: &str, phase: &str, counters: &Value, newest: Option<Value>) -> Value {
    let mut result = json!({"name": name, "phase": phase});
    for counter in COUNTERS {
        result[counter] = json!(counters.get(counter).and_then(Value::as_i64).unwrap_or(0));
    }
    result["measurements"] = newest.map_or(json!([]), |newest| json!([newest]));
    result
}

pub(super) fn stored_status(results: Vec<Value>, started_at: Option<i64>) -> Value {
    json!({"phase": "Running", "message": "", "metricResults": results, "startedAt": started_at,
        "completedAt": null, "runSummary": null, "dryRunSummary": null})
}

pub(super) fn metric_case(input: &Value, expect: &Value) -> Result<(), String> {
    let mut metric = metric_spec(&input["metric"]);
    metric["successCondition"] = json!("result == 1");
    metric["failureCondition"] = json!("result == 2");
    let sequence = input["sequence"].as_array().unwrap();
    let terminating = input.get("terminating").and_then(Value::as_bool).unwrap_or(false);
    if sequence.is_empty() {
        return state_case(input, expect);
    }
    // Limits that validation refuses can only be looked at as a state.
    let mut run = run_of(&json!({"metrics": [metric]}))?;
    run.start(Timestamp::from_secs(0));
    if run.is_completed() {
        return Err(run.status().message.clone());
    }
    let mut taken = 0;
    let mut now = Timestamp::from_secs(0);
    for (index, entry) in sequence.iter().enumerate() {
        let Some(next) = run.next_due() else { break };
        now = next;
        let requests = run.poll(now);
        if terminating && index + 1 == sequence.len() {
            run.terminate(now);
        }
        let answer = match text(entry) {
            "Successful" => Ok(QueryValue::Scalar(1.0).into()),
            "Failed" => Ok(QueryValue::Scalar(2.0).into()),
            "Inconclusive" => Ok(QueryValue::Scalar(3.0).into()),
            _ => Err("no".to_owned()),
        };
        run.feed(now, requests[0].id, answer);
        taken += 1;
    }
    let result = &run.status().metric_results[0];
    let wanted = expect.get("measurements_taken").and_then(Value::as_u64).unwrap_or(taken);
    let reason = text(&expect["message"]);
    let message = expect.get("message").is_none() || run.status().message.contains(reason);
    let same = result.phase.as_str() == text(&expect["phase"]) && taken == wanted && message;
    expect_that(same, format!("{result:?} after {taken} at {now}: {}", run.status().message), expect)
}

/// One assessment of a state that need not be reachable.
pub(super) fn state_case(input: &Value, expect: &Value) -> Result<(), String> {
    let metric = metric_spec(&input["metric"]);
    let name = text(&metric["name"]);
    let terminating = input.get("terminating").and_then(Value::as_bool).unwrap_or(false);
    let prior = input.get("prior_phase").map_or("Running", text);
    let newest = input.get("last_measurement").filter(|value| !value.is_null());
    let newest = newest.map(|phase| json!({"phase": phase, "startedAt": 0, "finishedAt": 0}));
    let status = stored_status(vec![stored_result(name, prior, &input["counters"], newest)], Some(0));
    let run = run_in_state(&json!({"metrics": [metric]}), &status, terminating, 0)?;
    let assessed = run.status();
    let result = assessed.result(name).unwrap();
    let reason = text(&expect["message"]);
    let message = reason.is_empty() || assessed.message.contains(reason);
    expect_that(result.phase.as_str() == text(&expect["phase"]) && message, format!("{assessed:?}"), expect)
}

pub(super) fn spec_of(spec: &Value) -> Result<TemplateSpec, String> {
    AnalysisTemplate::from_json(&spec.to_string())
        .map(|template| template.spec)
        .map_err(|error| error.to_string())
}

pub(super) fn run_case(input: &Value, expect: &Value) -> Result<(), String> {
    let metrics: Vec<Value> = input["metrics"].as_array().unwrap().iter().map(metric_spec).collect();
    let rules: Vec<Value> =
        input["dry_run"].as_array().unwrap().iter().map(|rule| json!({"metricName": rule})).collect();
    let results = input["results"].as_array().unwrap().iter().map(|result| {
        let newest = result.get("last_measurement").map(|phase| {
            json!({"phase": phase, "startedAt": 0, "finishedAt": 0,
                "message": result.get("last_measurement_message").map_or("", text)})
        });
        let mut stored =
            stored_result(text(&result["name"]), text(&result["phase"]), &result["counters"], newest);
        stored["message"] = json!(result.get("message").map_or("", text));
        stored
    });
    let status = stored_status(results.collect(), None);
    let spec = json!({"metrics": metrics, "dryRun": rules});
    let run = run_in_state(&spec, &status, input["terminate"].as_bool().unwrap_or(false), 0)?;
    let assessed = run.status();
    let found = json!({
        "phase": assessed.phase.as_str(), "message": assessed.message,
        "run_summary": assessed.run_summary, "dry_run_summary": assessed.dry_run_summary,
    });
    for key in ["phase", "message", "run_summary", "dry_run_summary"] {
        if let Some(wanted) = expect.get(key) {
            expect_that(found[key] == *wanted, &found, expect)?;
        }
    }
    for (key, of) in [("metric_phases", true), ("metric_messages", false)] {
        for (name, wanted) in expect.get(key).and_then(Value::as_object).into_iter().flatten() {
            let result = assessed.result(name).unwrap();
            let found = if of { result.phase.as_str() } else { &result.message };
            expect_that(found == text(wanted), found, expect)?;
        }
    }
    Ok(())
}

pub(super) fn args_case(input: &Value, expect: &Value) -> Result<(), String> {
    let metric_with = |metric: &Value, args: Vec<Argument>| -> Result<Metric, String> {
        let spec = TemplateSpec { args, ..spec_of(&json!({"metrics": [metric_spec(metric)]}))? };
        let mut run = AnalysisRun::new(&spec, &[], Profile::V1_10).map_err(|error| error.to_string())?;
        run.start(Timestamp::from_secs(0));
        run.metrics().first().cloned().ok_or_else(|| run.status().message.clone())
    };
    let as_list = |list: Vec<Argument>| {
        let list: Vec<Value> = list
            .into_iter()
            .map(|argument| {
                let mut entry = json!({"name": argument.name});
                if let Some(value) = argument.value {
                    entry["value"] = json!(value);
                }
                if let Some(reference) = argument.value_from.and_then(|from| from.secret_key_ref) {
                    entry["valueFrom"] =
                        json!({"secretKeyRef": {"name": reference.name, "key": reference.key}});
                }
                entry
            })
            .collect();
        json!(list)
    };
    let found: Result<Value, String> = match text(&input["op"]) {
        "substitute" if text(&input["mode"]) == "json-escaped" => {
            // The escaped form is seen where the original uses it: in a metric.
            let metric = json!({"name": "m", "successCondition": input["template"]});
            metric_with(&metric, arguments(&input["args"])).map(|metric| {
                let quoted = json!(metric.success_condition).to_string();
                json!(quoted[1..quoted.len() - 1])
            })
        }
        "substitute" => {
            substitute(text(&input["template"]), &arguments(&input["args"])).map(|text| json!(text))
        }
        "substitute_metric" => metric_with(&input["metric"], arguments(&input["args"])).map(|metric| {
            json!(match text(&input["field"]) {
                "name" => metric.name,
                "successCondition" => metric.success_condition,
                "failureCondition" => metric.failure_condition,
                "interval" => metric.interval,
                "count" => format!("{:?}", metric.count),
                "provider.prometheus.query" => metric.provider.prometheus.unwrap().query,
                other => panic!("field {other}"),
            })
        }),
        "merge" => {
            merge_arguments(&arguments(&input["incoming"]), &arguments(&input["template"])).map(as_list)
        }
        "flatten_args" => {
            let templates: Vec<AnalysisTemplate> = input["templates"]
                .as_array()
                .unwrap()
                .iter()
                .map(|args| AnalysisTemplate {
                    spec: TemplateSpec { args: arguments(args), ..TemplateSpec::default() },
                    ..AnalysisTemplate::default()
                })
                .collect();
            flatten(&templates).map(|spec| as_list(spec.args))
        }
        "resolve_secret" => resolved_secret(input),
        other => return Err(format!("unknown op {other}")),
    };
    match found {
        Ok(found) => expect_that(expect.get("value") == Some(&found), found, expect),
        Err(error) => {
            let wanted = expect.get("error_contains").map(text);
            expect_that(wanted.is_some_and(|wanted| error.contains(wanted)), error, expect)
        }
    }
}

/// The text that a secret puts into a query.
pub(super) fn resolved_secret(input: &Value) -> Result<Value, String> {
    let secrets: Secrets = serde_json::from_value(input["secrets"].clone()).unwrap();
    let name = text(&input["arg"]["name"]);
    let metric = json!({"name": "m", "provider": {"prometheus": {"query": format!("{{{{args.{name}}}}}")}}});
    let spec =
        TemplateSpec { args: arguments(&json!([input["arg"]])), ..spec_of(&json!({"metrics": [metric]}))? };
    let run = AnalysisRun::new(&spec, &[], Profile::V1_10).map_err(|error| error.to_string())?;
    let mut run = run.with_secrets(secrets);
    let mut query = None;
    run.tick(Timestamp::from_secs(0), &mut |request| {
        query = Some(request.query.clone());
        Ok(QueryValue::Scalar(1.0).into())
    });
    query.map(|query| json!(query)).ok_or_else(|| run.status().message.clone())
}

pub(super) fn validate_case(input: &Value, expect: &Value) -> Result<(), String> {
    let spec = match input.get("templates").and_then(Value::as_array) {
        Some(list) => {
            let templates: Vec<AnalysisTemplate> =
                list.iter().map(|spec| AnalysisTemplate::from_json(&spec.to_string()).unwrap()).collect();
            flatten(&templates)
        }
        None => {
            let rules: Vec<Value> = input
                .get("dry_run")
                .and_then(Value::as_array)
                .map(|rules| rules.iter().map(|rule| json!({"metricName": rule})).collect())
                .unwrap_or_default();
            let retention = input.get("measurement_retention").cloned().unwrap_or(json!([]));
            spec_of(&json!({"metrics": input["metrics"], "dryRun": rules, "measurementRetention": retention}))
        }
    };
    let found = spec.and_then(|mut spec| {
        // Names are checked twice in the original; the second time is the one asked for.
        let repeated = spec.metrics.len() == 2 && spec.metrics[0].name == spec.metrics[1].name;
        if repeated {
            spec.args.push(Argument::new("twice", spec.metrics[1].name.clone()));
            spec.metrics[1].name = "{{args.twice}}".to_owned();
        }
        let mut run = AnalysisRun::new(&spec, &[], Profile::V1_10).map_err(|error| error.to_string())?;
        run.start(Timestamp::from_secs(0));
        if run.is_completed() { Err(run.status().message.clone()) } else { Ok(()) }
    });
    let wanted = expect.get("error_contains").map(text);
    match found {
        Ok(()) => expect_that(expect["ok"] == json!(true), "a valid spec", expect),
        Err(error) => {
            let same = expect["ok"] == json!(false) && wanted.is_none_or(|wanted| error.contains(wanted));
            expect_that(same, error, expect)
        }
    }
}
