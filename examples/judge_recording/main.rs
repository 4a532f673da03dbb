//! Judges recorded canaries: what Argo's rules say, and what a gate over the users' own requests says.
//!
//! Without arguments it judges the recordings under `examples/data`, real runs of the HotROD walkthrough,
//! and prints a table. With arguments it judges any recording by any template or gate; the exit code is the verdict.
#![expect(clippy::disallowed_methods, reason = "a program at the edge reads files")]

mod arguments;
mod extent;
mod failure;
mod judge;
mod recording;
mod store;
mod table;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use arguments::{Arguments, Command, Format};
use failure::Failure;
use judge::{Judgement, Rules};
use promgate::{Report, Verdict};
use recording::Recorded;

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("judge_recording: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn run() -> Result<u8, Failure> {
    match arguments::parse(std::env::args_os().skip(1))? {
        Command::Help => {
            emit(arguments::HELP)?;
            Ok(0)
        }
        Command::Table { store, format } => shipped(store.as_deref(), format),
        Command::Judge(arguments) => one(&arguments),
    }
}

fn emit(text: &str) -> Result<(), Failure> {
    let written = std::io::stdout().lock().write_all(text.as_bytes());
    written.map_err(|error| Failure::Io(format!("standard output: {error}")))
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data")
}

fn default_template() -> PathBuf {
    data().join("walkthrough.yaml")
}

fn default_gate() -> PathBuf {
    data().join("user-requests.gate.yaml")
}

/// Judges what ships with the example and prints one line a canary.
fn shipped(store: Option<&Path>, format: Format) -> Result<u8, Failure> {
    let rules = Rules::read(Some(&default_template()), Some(&default_gate()), false)?;
    let mut judged = Vec::new();
    for path in recording::folders(&data())? {
        let recorded = Recorded::read(&path, store)?;
        let judgement = rules.judge(&recorded, &[])?;
        judged.push((recorded, judgement));
    }
    emit(&match format {
        Format::Json => table::json(&judged)?,
        _ => table::text(&judged),
    })?;
    Ok(0)
}

/// Judges one recording; the gate decides where there is one, else the template.
fn one(arguments: &Arguments) -> Result<u8, Failure> {
    let mut recorded = Recorded::read(&arguments.recording, arguments.store.as_deref())?;
    recorded.start = arguments.start.unwrap_or(recorded.start);
    recorded.end = arguments.end.unwrap_or(recorded.end);
    let (template, gate) = match (&arguments.template, &arguments.gate) {
        (None, None) => (Some(default_template()), Some(default_gate())),
        given => (given.0.clone(), given.1.clone()),
    };
    let rules = Rules::read(template.as_deref(), gate.as_deref(), arguments.by_evidence)?;
    let judgement = rules.judge(&recorded, &arguments.args)?;
    let reports = || [&judgement.strict, &judgement.native].into_iter().flatten();
    emit(&match arguments.format {
        Format::Text => table::report(&recorded, &judgement),
        Format::Json => table::json(&[(recorded, judgement.clone())])?,
        Format::Markdown => reports().map(Report::to_markdown).collect::<Vec<_>>().join("\n"),
        // One document has one report: the one that decides.
        Format::Junit => judgement.deciding().map(Report::to_junit).unwrap_or_default(),
    })?;
    Ok(exit_code(&judgement))
}

fn exit_code(judgement: &Judgement) -> u8 {
    match judgement.deciding().map(|report| report.verdict) {
        Some(Verdict::Pass) => 0,
        Some(Verdict::Fail) => 1,
        Some(Verdict::Inconclusive) | None => 2,
    }
}
