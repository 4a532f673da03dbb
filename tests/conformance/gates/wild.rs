//! Templates: ours to read, and as people write them.

use super::*;

/// Every `*.yaml` of the folder is a template that makes a valid run.
pub(super) fn templates(folder: &Path) -> Outcome {
    let mut outcome = Outcome::new("templates");
    let mut paths: Vec<std::path::PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|ext| ext == "yaml")) {
        outcome
            .note(path.file_name().unwrap().to_string_lossy(), template(&fs::read_to_string(path).unwrap()));
    }
    outcome
}

pub(super) fn template(yaml: &str) -> Result<(), String> {
    let templates = AnalysisTemplate::from_yaml(yaml).map_err(|error| error.to_string())?;
    if templates.is_empty() {
        return Err("found no template".to_owned());
    }
    let spec = flatten(&templates)?;
    let mut secrets = Secrets::new();
    let mut args = Vec::new();
    for argument in &spec.args {
        if let Some(reference) = argument.value_from.as_ref().and_then(|from| from.secret_key_ref.as_ref()) {
            secrets
                .entry(reference.name.clone())
                .or_default()
                .insert(reference.key.clone(), "secret".to_owned());
        } else if argument.value.is_none() {
            args.push(Argument::new(argument.name.clone(), "x"));
        }
    }
    let run = AnalysisRun::new(&spec, &args, Profile::V1_10).map_err(|error| error.to_string())?;
    let mut run = run.with_secrets(secrets);
    run.start(Timestamp::from_secs(0));
    if run.is_completed() { Err(run.status().message.clone()) } else { Ok(()) }
}

/// `wild/`: templates as people write them, and the phase of one measurement of each metric.
pub(super) fn wild(folder: &Path) -> Outcome {
    let content = match read(folder, "wild, strict", "wild/cases.json") {
        Ok(content) => content,
        Err(outcome) => return outcome,
    };
    let mut outcome = Outcome::new("wild, strict");
    let document: Value = serde_json::from_str(&content).unwrap();
    for case in document["cases"].as_array().unwrap() {
        let name = format!("{} {}", text(&case["id"]), text(&case["template"]));
        let path = folder.join("wild").join(text(&case["template"]));
        let yaml = fs::read_to_string(path).unwrap();
        outcome.note(name, wild_case(&yaml, case));
    }
    outcome
}

pub(super) fn wild_case(yaml: &str, case: &Value) -> Result<(), String> {
    let templates = match AnalysisTemplate::from_yaml(yaml) {
        Ok(templates) => templates,
        Err(error) => return expect_that(case.get("yaml_error").is_some(), error, case),
    };
    let given = case.get("args").and_then(Value::as_object).into_iter().flatten();
    let args: Vec<Argument> = given.map(|(name, value)| Argument::new(name.clone(), text(value))).collect();
    let template = templates.first().ok_or("no template")?;
    let run = AnalysisRun::new(&template.spec, &args, Profile::V1_10);
    let mut run = match (run, case.get("start_error")) {
        (Ok(run), _) => run,
        (Err(error), wanted) => {
            return expect_that(wanted.is_some_and(|wanted| error.to_string() == text(wanted)), error, case);
        }
    };
    run.start(Timestamp::from_secs(0));
    if let Some(wanted) = case.get("start_error") {
        let message = run.status().message.clone();
        let bare = message.strip_prefix("Unable to resolve metric arguments: ").unwrap_or(&message);
        return expect_that(bare == text(wanted), bare, wanted);
    }
    if run.is_completed() {
        return Err(run.status().message.clone());
    }
    for check in case["checks"].as_array().unwrap() {
        let name = text(&check["metric"]);
        let metric =
            run.metrics().iter().find(|metric| metric.name == name).ok_or_else(|| format!("no {name}"))?;
        for (value, wanted) in check.get("strict").and_then(Value::as_object).into_iter().flatten() {
            let value = if value.starts_with('[') {
                let values = value.trim_matches(['[', ']']).split(',').filter(|text| !text.is_empty());
                QueryValue::Vector(values.map(number).collect())
            } else {
                QueryValue::Scalar(number(value))
            };
            let (success, failure) = (&metric.success_condition, &metric.failure_condition);
            let judged = judge(&value, success, failure, Timestamp::from_secs(1_790_000_000), Profile::V1_10);
            let found = judged.as_ref().map_or(Phase::Error, |phase| *phase);
            expect_that(
                found.as_str() == text(wanted),
                format!("{name} {}: {judged:?}", value.text()),
                wanted,
            )?;
            let messages = check.get("strict_messages").and_then(Value::as_array);
            if let (Err(message), Some(messages)) = (judged, messages.filter(|messages| messages.len() < 3)) {
                expect_that(messages.contains(&json!(message)), message, &json!(messages))?;
            }
        }
    }
    Ok(())
}
