//! The command line.

use std::path::PathBuf;

use promgate::{Mode, Timestamp};

use crate::failure::Failure;

pub(crate) const HELP: &str = "\
Rolls recorded canaries out.

  rollout_recording
      how the recordings that ship with the example end, by Argo's rules and by promgate's, as a table

  rollout_recording RECORDING [options]
      what happened to one recording step by step, and why: a folder with series.jsonl.gz and truth.json or
      expected.json, or a file of series as JSON lines (then with --start and --end)

      --rollout FILE     a Rollout in canary steps, perhaps with its AnalysisTemplates beside it
      --template FILE    AnalysisTemplates; may be repeated
      --gate FILE        a gate in the place of every template
      --native           analyses are decided by evidence, and a gate that cannot tell never lets a step go by unseen
      --start SECONDS    when the rollout begins, in seconds since the epoch
      --end SECONDS      when it is left

  exit code: 0 promoted, 1 aborted, 2 neither,
             64 wrong usage, 65 a file that is not what it should be, 74 a file that cannot be read or written
";

pub(crate) enum Command {
    Help,
    Table,
    Walk(Arguments),
}

pub(crate) struct Arguments {
    pub(crate) recording: PathBuf,
    pub(crate) rollout: Option<PathBuf>,
    pub(crate) templates: Vec<PathBuf>,
    pub(crate) gate: Option<PathBuf>,
    pub(crate) mode: Mode,
    pub(crate) start: Option<Timestamp>,
    pub(crate) end: Option<Timestamp>,
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            recording: PathBuf::new(),
            rollout: None,
            templates: Vec::new(),
            gate: None,
            mode: Mode::Strict,
            start: None,
            end: None,
        }
    }
}

pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Command, Failure> {
    let usage = |text: String| Err(Failure::Usage(text));
    let mut arguments = Arguments::default();
    let mut recording = None;
    let mut options = Vec::new();
    while let Some(word) = words.next() {
        let mut take = || words.next().ok_or_else(|| Failure::Usage(format!("{word} needs a value")));
        match word.as_str() {
            "--help" | "-h" => return Ok(Command::Help),
            "--rollout" => arguments.rollout = Some(take()?.into()),
            "--template" => arguments.templates.push(take()?.into()),
            "--gate" => arguments.gate = Some(take()?.into()),
            "--native" => arguments.mode = Mode::Native,
            "--start" => arguments.start = Some(seconds(&word, &take()?)?),
            "--end" => arguments.end = Some(seconds(&word, &take()?)?),
            option if option.starts_with('-') => return usage(format!("there is no option {option}")),
            _ if recording.is_some() => {
                return usage(format!("one recording at a time, {word} is a second"));
            }
            path => {
                recording = Some(PathBuf::from(path));
                continue;
            }
        }
        options.push(word);
    }
    match (recording, options.first()) {
        (Some(recording), _) => Ok(Command::Walk(Arguments { recording, ..arguments })),
        (None, None) => Ok(Command::Table),
        (None, Some(option)) => usage(format!("{option} needs a recording")),
    }
}

fn seconds(option: &str, value: &str) -> Result<Timestamp, Failure> {
    match value.parse::<i64>() {
        Ok(seconds) if (0..=1 << 40).contains(&seconds) => Ok(Timestamp::from_secs(seconds)),
        _ => Err(Failure::Usage(format!("{option} {value} is no number of seconds since the epoch"))),
    }
}
