//! Whole analysis runs, to the second.

use super::*;

/// A run against scripted answers, with time jumping from one event to the next.
pub(super) struct Driver {
    pub(super) run: AnalysisRun,
    pub(super) script: HashMap<String, Vec<Value>>,
    pub(super) taken: HashMap<String, usize>,
    /// All measurements, also those that retention drops.
    pub(super) measurements: BTreeMap<String, Vec<Value>>,
    /// Metrics by their resolved name, as the script calls them.
    pub(super) names: HashMap<String, String>,
}

impl Driver {
    fn next_answer(&mut self, metric: &str) -> Value {
        let written = self.names.get(metric).cloned().unwrap_or_else(|| metric.to_owned());
        let answers = &self.script[&written];
        let taken = self.taken.entry(written).or_default();
        let answer = answers[(*taken).min(answers.len() - 1)].clone();
        *taken += 1;
        answer
    }

    /// Drives the run from `begin` to its end, in milliseconds; answers how it ended.
    pub(super) fn drive(&mut self, begin: i64, terminate_at: Option<i64>, stop_at: i64) -> &'static str {
        self.run.start(Timestamp::from_millis(begin));
        let mut now = begin;
        let mut terminate_at = terminate_at;
        loop {
            let mut owed: Vec<(i64, _, _)> = Vec::new();
            for request in self.run.poll(Timestamp::from_millis(now)) {
                let entry = self.next_answer(&request.metric);
                let wait = match entry.get("hang") {
                    Some(_) => request.timeout_s * 1000,
                    None => (entry.get("delay").and_then(Value::as_f64).unwrap_or(0.0) * 1000.0) as i64,
                };
                owed.push((now + wait, request.id, answer(&entry)));
            }
            owed.sort_by_key(|(at, ..)| *at);
            for (at, id, answer) in owed {
                now = at;
                assert!(self.run.feed(Timestamp::from_millis(at), id, answer));
            }
            self.collect();
            let next = self.run.next_due().map(Timestamp::as_millis);
            if self.run.is_completed() {
                return "completed";
            }
            match (next, terminate_at) {
                (next, Some(at)) if next.is_none_or(|next| next >= at) => {
                    now = now.max(at);
                    self.run.terminate(Timestamp::from_millis(now));
                    terminate_at = None;
                }
                (Some(next), _) if next <= stop_at => now = next,
                _ => return "time limit",
            }
        }
    }

    fn collect(&mut self) {
        for result in &self.run.status().metric_results {
            let taken = usize::try_from(result.count + result.error).unwrap();
            let list = self.measurements.entry(result.name.clone()).or_default();
            let new = taken - list.len();
            assert!(new <= 1, "{new} measurements in one pass");
            if new == 0 {
                continue;
            }
            let newest = result.newest().unwrap();
            let mut measured = json!({
                "started": seconds(Some(newest.started_at)),
                "finished": seconds(Some(newest.finished_at)),
                "phase": newest.phase.as_str(),
                "value": newest.value,
            });
            if !newest.message.is_empty() {
                measured["message"] = json!(newest.message);
            }
            if !newest.metadata.is_empty() {
                measured["metadata"] = json!(newest.metadata);
            }
            list.push(measured);
        }
    }

    fn outcome(&self, ended: &str) -> Value {
        let status: &RunStatus = self.run.status();
        let metrics: Vec<Value> = self
            .run
            .metrics()
            .iter()
            .filter_map(|metric| status.result(&metric.name))
            .map(|result| {
                json!({
                    "name": result.name, "phase": result.phase.as_str(), "message": result.message,
                    "dry_run": result.dry_run, "count": result.count, "successful": result.successful,
                    "failed": result.failed, "inconclusive": result.inconclusive, "error": result.error,
                    "consecutive_error": result.consecutive_error, "consecutive_success": result.consecutive_success,
                    "kept": result.measurements.len(), "measurements": self.measurements[&result.name],
                    "resolved_query": result.metadata.get("ResolvedPrometheusQuery"),
                })
            })
            .collect();
        let transitions: Vec<Value> = self
            .run
            .transitions()
            .iter()
            .map(|change| {
                let what =
                    change.metric.as_ref().map_or("run".to_owned(), |metric| format!("metric {metric}"));
                let mut transition =
                    json!({"at": seconds(Some(change.at)), "what": what, "phase": change.phase.as_str()});
                if !change.message.is_empty() {
                    transition["message"] = json!(change.message);
                }
                transition
            })
            .collect();
        json!({
            "ended": ended, "phase": status.phase.as_str(), "message": status.message,
            "started_at": seconds(status.started_at), "completed_at": seconds(status.completed_at),
            "run_summary": status.run_summary, "dry_run_summary": status.dry_run_summary,
            "metrics": metrics, "transitions": transitions,
        })
    }
}

/// The first place where two documents differ.
pub(super) fn difference(path: &str, expected: &Value, found: &Value) -> Option<String> {
    match (expected, found) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            keys.into_iter().find_map(|key| {
                let (a, b) = (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
                difference(&format!("{path}.{key}"), a, b)
            })
        }
        (Value::Array(a), Value::Array(b)) => (0..a.len().max(b.len())).find_map(|index| {
            let (a, b) = (a.get(index).unwrap_or(&Value::Null), b.get(index).unwrap_or(&Value::Null));
            difference(&format!("{path}[{index}]"), a, b)
        }),
        (a, b) if a == b => None,
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => None,
        (a, b) => Some(format!("{path}: expected {a}, found {b}")),
    }
}

/// `timelines.jsonl.gz`: whole runs, begun on a whole second and a little after one.
pub(super) fn timelines(folder: &Path) -> Outcome {
    let content = match read(folder, "timelines", "timelines.jsonl.gz") {
        Ok(content) => content,
        Err(outcome) => return outcome,
    };
    let mut outcome = Outcome::new("timelines");
    for line in content.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        for begin in [0, 437] {
            let name = format!("{} from {begin} ms", text(&case["id"]));
            outcome.note(name, timeline(&case, begin));
        }
    }
    outcome
}

pub(super) fn timeline(case: &Value, begin: i64) -> Result<(), String> {
    let template =
        AnalysisTemplate::from_json(&case["template"].to_string()).map_err(|error| error.to_string())?;
    let args = arguments(&case["args"]);
    let expected = &case["expect"];
    let run = match AnalysisRun::new(&template.spec, &args, Profile::V1_10) {
        Ok(run) => run,
        Err(error) => {
            let wanted = text(&expected["create_error"]);
            return if error.to_string() == wanted {
                Ok(())
            } else {
                Err(format!("expected {wanted}, found {error}"))
            };
        }
    };
    if expected.get("create_error").is_some() {
        return Err(format!("expected {expected}, found a run"));
    }
    let script = case["script"]
        .as_object()
        .map(|script| {
            script.iter().map(|(name, list)| (name.clone(), list.as_array().unwrap().clone())).collect()
        })
        .unwrap_or_default();
    let merged = merge_arguments(&args, &template.spec.args).unwrap();
    let names = template
        .spec
        .metrics
        .iter()
        .filter_map(|metric| Some((substitute(&metric.name, &merged).ok()?, metric.name.clone())))
        .collect();
    let mut driver = Driver { run, script, taken: HashMap::new(), measurements: BTreeMap::new(), names };
    let at = |key: &str| case.get(key).and_then(Value::as_f64).map(|at| (at * 1000.0) as i64);
    let stop_at = at("stop_at").unwrap_or(3_600_000);
    let ended = driver.drive(begin, at("terminate_at").map(|at| at + begin), stop_at + begin);
    match difference("", expected, &driver.outcome(ended)) {
        Some(difference) => Err(difference),
        None => Ok(()),
    }
}
