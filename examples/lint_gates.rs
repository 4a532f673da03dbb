//! Lints AnalysisTemplates: `cargo run --example lint_gates -- [--format text|json|sarif] [--arg NAME=VALUE]... [--recording
//! FILE] PATH...`.
//!
//! A path is a YAML file or a folder, which is searched for `*.yaml` and `*.yml`. With a recording (JSON lines, gzip or
//! not) the templates are also read against its data. Exits with 0, with 3 where a warning or an error was found, and with
//! 2 where a file cannot be read.

#![expect(clippy::disallowed_methods, reason = "a program reads files")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use promgate::argo::{AnalysisTemplate, Argument};
use promgate::{
    IntakeLimits, Lint, LintSeverity, Recording, Sample, Snapshot, Store, StoreOptions, Timestamp,
};
use serde_json::{Value, json};

const USAGE: &str =
    "usage: lint_gates [--format text|json|sarif] [--arg NAME=VALUE]... [--recording FILE] PATH...";

fn main() -> ExitCode {
    if std::env::args().any(|word| word == "--help" || word == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

#[derive(Default)]
struct Options {
    format: String,
    args: Vec<Argument>,
    recording: Option<PathBuf>,
    paths: Vec<PathBuf>,
}

/// The findings of one file.
struct File {
    path: PathBuf,
    lints: Vec<Lint>,
}

fn run() -> Result<ExitCode, Box<dyn Error>> {
    let options = options()?;
    let data = options.recording.as_deref().map(read_recording).transpose()?;
    let mut files = Vec::new();
    for path in &options.paths {
        let mut found = Vec::new();
        search(path, true, &mut found)?;
        for path in found {
            let lints = lint(&path, &options.args, data.as_ref())
                .map_err(|error| format!("{}: {error}", path.display()))?;
            files.push(File { path, lints });
        }
    }
    match options.format.as_str() {
        "json" => println!("{}", serde_json::to_string_pretty(&as_json(&files))?),
        "sarif" => println!("{}", serde_json::to_string_pretty(&as_sarif(&files))?),
        _ => print_text(&files),
    }
    let weak =
        files.iter().flat_map(|file| &file.lints).any(|lint| lint.severity > LintSeverity::Information);
    Ok(ExitCode::from(if weak { 3 } else { 0 }))
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options { format: "text".to_owned(), ..Options::default() };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value; {USAGE}"));
        match word.as_str() {
            "--format" => options.format = value()?,
            "--arg" => {
                let pair = value()?;
                let (name, value) =
                    pair.split_once('=').ok_or(format!("--arg takes NAME=VALUE, found {pair}"))?;
                options.args.push(Argument::new(name, value));
            }
            "--recording" => options.recording = Some(value()?.into()),
            path => options.paths.push(path.into()),
        }
    }
    if !["text", "json", "sarif"].contains(&options.format.as_str()) {
        return Err(format!("there is no format {}; {USAGE}", options.format).into());
    }
    if options.paths.is_empty() {
        return Err(USAGE.into());
    }
    Ok(options)
}

fn search(path: &Path, given: bool, into: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    if path.is_dir() {
        let mut entries =
            std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
        entries.sort();
        for entry in entries {
            search(&entry, false, into)?;
        }
    } else if given || path.extension().is_some_and(|end| end == "yaml" || end == "yml") {
        into.push(path.to_owned());
    }
    Ok(())
}

fn lint(
    path: &Path,
    args: &[Argument],
    data: Option<&(Snapshot, Timestamp)>,
) -> Result<Vec<Lint>, Box<dyn Error>> {
    let text = std::fs::read_to_string(path)?;
    Ok(match data {
        None => AnalysisTemplate::lint_yaml(&text, args)?,
        Some((source, end)) => AnalysisTemplate::lint_yaml_with(&text, args, source, *end)?,
    })
}

fn read_recording(path: &Path) -> Result<(Snapshot, Timestamp), Box<dyn Error>> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let store = Store::in_memory(StoreOptions::new());
    let mut end = Timestamp::MIN;
    for series in &Recording::new(&bytes, &IntakeLimits::default())? {
        let series = series?;
        let mut appender = store.appender();
        let handle = appender.handle(&series.labels)?;
        for (time, value) in series.samples.times.iter().zip(&series.samples.values) {
            end = end.max(Timestamp::from_millis(*time));
            appender.append_to(&handle, Sample::float(Timestamp::from_millis(*time), *value))?;
        }
        appender.commit()?;
    }
    Ok((store.snapshot(), end))
}

fn print_text(files: &[File]) {
    for file in files {
        for lint in &file.lints {
            let place = lint.place.map_or(String::new(), |(line, column)| format!(":{line}:{column}"));
            println!("{}{place}: {lint}", file.path.display());
        }
    }
    let count =
        |severity| files.iter().flat_map(|file| &file.lints).filter(|lint| lint.severity == severity).count();
    println!(
        "{} files, {} errors, {} warnings, {} notes",
        files.len(),
        count(LintSeverity::Error),
        count(LintSeverity::Warning),
        count(LintSeverity::Information)
    );
}

fn as_json(files: &[File]) -> Value {
    files.iter().map(|file| json!({"file": file.path.display().to_string(), "lints": file.lints})).collect()
}

/// The [Static Analysis Results Interchange Format](https://docs.oasis-open.org/sarif/sarif/v2.1.0/), version 2.1.0.
fn as_sarif(files: &[File]) -> Value {
    let level = |severity| match severity {
        LintSeverity::Error => "error",
        LintSeverity::Warning => "warning",
        LintSeverity::Information => "note",
    };
    let mut rules: Vec<&str> = files.iter().flat_map(|file| &file.lints).map(|lint| lint.code).collect();
    rules.sort_unstable();
    rules.dedup();
    let results: Vec<Value> = files
        .iter()
        .flat_map(|file| file.lints.iter().map(move |lint| (file, lint)))
        .map(|(file, lint)| {
            let artifact = json!({"uri": file.path.display().to_string()});
            let place = match lint.place {
                Some((line, column)) => {
                    json!({"artifactLocation": artifact, "region": {"startLine": line, "startColumn": column}})
                }
                None => json!({"artifactLocation": artifact}),
            };
            let of = lint.metric.as_ref().map_or(String::new(), |metric| format!("{metric}: "));
            let hint = lint.suggestion.as_ref().map_or(String::new(), |hint| format!("; {hint}"));
            json!({
                "ruleId": lint.code,
                "level": level(lint.severity),
                "message": {"text": format!("{of}{}{hint}", lint.text)},
                "locations": [{"physicalLocation": place}],
            })
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "promgate",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(|rule| json!({"id": rule})).collect::<Vec<_>>(),
            }},
            "results": results,
        }],
    })
}
