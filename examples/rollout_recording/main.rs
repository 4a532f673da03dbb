//! Rolls recorded canaries out: a Rollout with its AnalysisTemplates, walked through over what was recorded.
//!
//! Without arguments it rolls out the recordings under `examples/data`, by Argo's rules and by a gate over the users' own
//! requests, and prints how each ended. With a recording it prints step by step what happened and why.
#![expect(clippy::disallowed_methods, reason = "a program at the edge reads files")]

mod arguments;
#[path = "../judge_recording/extent.rs"]
mod extent;
#[path = "../judge_recording/failure.rs"]
mod failure;
#[path = "../judge_recording/recording.rs"]
mod recording;
#[path = "../judge_recording/store.rs"]
mod store;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use arguments::{Arguments, Command};
use failure::Failure;
use promgate::argo::{AnalysisTemplate, Profile};
use promgate::rollout::{GatedRollout, RolloutEvent, RolloutGates, RolloutPhase, RolloutSpec};
use promgate::{GateFile, Mode, Timestamp};
use recording::Recorded;

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("rollout_recording: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn run() -> Result<u8, Failure> {
    match arguments::parse(std::env::args().skip(1))? {
        Command::Help => {
            emit(arguments::HELP)?;
            Ok(0)
        }
        Command::Table => table(),
        Command::Walk(arguments) => walk(&arguments),
    }
}

fn emit(text: &str) -> Result<(), Failure> {
    let written = std::io::stdout().lock().write_all(text.as_bytes());
    written.map_err(|error| Failure::Io(format!("standard output: {error}")))
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data")
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => Failure::data(path, "not UTF-8"),
        _ => Failure::io(path, error),
    })
}

/// How every recording that ships with the example ends, both ways.
fn table() -> Result<u8, Failure> {
    let mut out = format!("{:<17} {:<7} {:<38} {}\n", "canary", "is", "argo", "promgate");
    for path in recording::folders(&data())? {
        let recorded = Recorded::read(&path, None)?;
        let mut ends = Vec::new();
        for (mode, gate) in
            [(Mode::Strict, None), (Mode::Native, Some(data().join("user-requests.gate.yaml")))]
        {
            let arguments = Arguments { recording: path.clone(), mode, gate, ..Arguments::default() };
            let rollout = roll_out(&arguments, &recorded, |_, _, _| ())?;
            ends.push(end(&rollout, recorded.start));
        }
        let is = recorded.truth.as_ref().map_or("", |truth| if truth.healthy { "fine" } else { "broken" });
        let [argo, promgate] = ends.as_slice() else { continue };
        out.push_str(&format!("{:<17} {is:<7} {argo:<38} {promgate}\n", recorded.name));
    }
    emit(&out)?;
    Ok(0)
}

/// `promoted`, `aborted at step 1, weight 50`, `paused at step 1, weight 50`
fn end(rollout: &GatedRollout, start: Timestamp) -> String {
    let machine = rollout.rollout();
    if let Some(aborted) = machine.last_abort() {
        let seconds = aborted.at.millis_since(start) / 1000;
        return format!("aborted after {seconds} s at weight {}", aborted.weight);
    }
    if machine.version() == machine.stable() {
        return "promoted".to_owned();
    }
    let state = match machine.phase() {
        RolloutPhase::Paused => "waits for a human",
        _ => "not at its end",
    };
    let step = machine.step().unwrap_or_default();
    format!("{state} at step {step}, weight {}", machine.weight())
}

/// Prints what happened, instant by instant.
fn walk(arguments: &Arguments) -> Result<u8, Failure> {
    let mut recorded = Recorded::read(&arguments.recording, None)?;
    recorded.start = arguments.start.unwrap_or(recorded.start);
    recorded.end = arguments.end.unwrap_or(recorded.end);
    let mut out = format!("{}\n", recorded.name);
    if let Some(truth) = &recorded.truth {
        let is = if truth.healthy { "fine" } else { "broken" };
        out = format!("{}: {is}, its users saw {}\n", recorded.name, truth.text);
    }
    let start = recorded.start;
    let rollout = roll_out(arguments, &recorded, |now, rollout, events| {
        let seconds = now.millis_since(start) / 1000;
        for event in events {
            out.push_str(&format!("{seconds:>5} s  {event}\n"));
            if let RolloutEvent::RunPhase { run, phase, .. } = event
                && phase.is_completed()
                && let Some(report) = rollout.report(run)
            {
                for line in report.to_string().lines() {
                    out.push_str(&format!("           {line}\n"));
                }
            }
        }
        let machine = rollout.rollout();
        let step = machine.step().map_or("-".to_owned(), |step| step.to_string());
        let message = machine.message();
        let message = if message.is_empty() { String::new() } else { format!(": {message}") };
        out.push_str(&format!(
            "           step {step}, weight {}, {}{message}\n",
            machine.weight(),
            machine.phase()
        ));
    })?;
    out.push_str(&format!("{}\n", end(&rollout, start)));
    emit(&out)?;
    let machine = rollout.rollout();
    Ok(match machine.last_abort() {
        Some(_) => 1,
        None if machine.version() == machine.stable() => 0,
        None => 2,
    })
}

fn roll_out(
    arguments: &Arguments,
    recorded: &Recorded,
    each: impl FnMut(Timestamp, &GatedRollout, &[RolloutEvent]),
) -> Result<GatedRollout, Failure> {
    let manifest = arguments.rollout.clone().unwrap_or_else(|| data().join("rollout.yaml"));
    let text = read(&manifest)?;
    let bad = |error: promgate::Error| Failure::data(&manifest, error);
    let specs = RolloutSpec::from_yaml(&text).map_err(bad)?;
    let [spec] = <[RolloutSpec; 1]>::try_from(specs).map_err(|specs| {
        Failure::data(&manifest, format!("{} rollouts in it, one is wanted", specs.len()))
    })?;
    // Templates may stand beside the rollout, or in files of their own.
    let mut templates = AnalysisTemplate::from_yaml(&text).map_err(bad)?;
    let mut files = arguments.templates.clone();
    if files.is_empty() && arguments.rollout.is_none() {
        files.push(data().join("walkthrough.yaml"));
    }
    for file in &files {
        templates
            .extend(AnalysisTemplate::from_yaml(&read(file)?).map_err(|error| Failure::data(file, error))?);
    }
    let known = |name: &str| recorded.args.iter().find(|(known, _)| known == name);
    let version =
        |name: &str, instead: &str| known(name).map_or(instead.to_owned(), |(_, value)| value.clone());
    let names: Vec<String> = templates.iter().map(|template| template.name.clone()).collect();
    let mut gates = match arguments.mode {
        Mode::Native => RolloutGates::native(templates),
        _ => RolloutGates::strict(templates, Profile::V1_10),
    };
    if let Some(file) = &arguments.gate {
        let bad = |error: promgate::Error| Failure::data(file, error);
        let gate = GateFile::from_yaml(&read(file)?).map_err(bad)?;
        let wanted = gate.arguments().to_vec();
        let args: Vec<(&str, &str)> = wanted
            .iter()
            .filter_map(|name| known(name))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let spec = gate.build(&args).map_err(bad)?;
        for name in names {
            gates = gates.with_gate(&name, spec.clone());
        }
    }
    let mut rollout = GatedRollout::new(spec, arguments.mode, gates).map_err(bad)?;
    let versions = (version("stable-hash", "stable"), version("canary-hash", "canary"));
    rollout
        .replay(&recorded.series, (&versions.0, &versions.1), recorded.start, recorded.end, each)
        .map_err(bad)?;
    Ok(rollout)
}
