//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use promgate::Timestamp;

use crate::failure::Failure;

pub(crate) const HELP: &str = "\
Judges recorded canaries.

  judge_recording [--store DIR] [--format FORMAT]
      judges the recordings that ship with the example and prints a table

  judge_recording RECORDING [options]
      judges one recording: a folder with series.jsonl.gz and truth.json or expected.json,
      or a file of series as JSON lines, compressed or not (then with --start and --end)

      --template FILE    an AnalysisTemplate, judged as Argo Rollouts judges it
      --by-evidence      the template is judged by its evidence as well, and no gate
      --gate FILE        a gate, judged by its evidence
                         (neither: the two that ship with the example)
      --arg NAME=VALUE   an argument of the template and the gate; may be repeated
      --start SECONDS    when the analysis starts, in seconds since the epoch
      --end SECONDS      when it ends at the latest
      --store DIR        a store on disk for each recording, in a folder of DIR with its name: made from the recording
                         if it is not there, and judged without reading the recording's series if it is
      --format FORMAT    text, json, markdown or junit; the table is text or json
      --json             short for --format json

  exit code: 0 pass, 1 fail, 2 inconclusive (the gate's verdict, without a gate the template's),
             64 wrong usage, 65 a file that is not what it should be, 74 a file that cannot be read or written
";

pub(crate) enum Command {
    Help,
    Table { store: Option<PathBuf>, format: Format },
    Judge(Arguments),
}

#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) recording: PathBuf,
    pub(crate) template: Option<PathBuf>,
    pub(crate) gate: Option<PathBuf>,
    pub(crate) args: Vec<(String, String)>,
    pub(crate) start: Option<Timestamp>,
    pub(crate) end: Option<Timestamp>,
    pub(crate) store: Option<PathBuf>,
    pub(crate) format: Format,
    pub(crate) by_evidence: bool,
}

/// How reports are written.
#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
    Markdown,
    Junit,
}

pub(crate) fn parse(words: impl Iterator<Item = OsString>) -> Result<Command, Failure> {
    let usage = |text: String| Failure::Usage(text);
    let mut words = words;
    let mut arguments = Arguments::default();
    let mut recording = None;
    let mut options = Vec::new();
    while let Some(word) = words.next() {
        let Some(text) = word.to_str() else {
            recording = Some(PathBuf::from(word));
            continue;
        };
        let (option, mut value) = match text.split_once('=') {
            Some((option, value)) if option.starts_with("--") => (option, Some(OsString::from(value))),
            _ => (text, None),
        };
        let has_value = value.is_some();
        let mut take =
            || value.take().or_else(|| words.next()).ok_or_else(|| usage(format!("{option} needs a value")));
        match option {
            "--help" | "-h" => return Ok(Command::Help),
            "--json" | "--by-evidence" if has_value => {
                return Err(usage(format!("{option} takes no value")));
            }
            "--json" => {
                arguments.format = Format::Json;
                continue;
            }
            "--format" => {
                let given = take()?;
                arguments.format = match given.to_str() {
                    Some("text") => Format::Text,
                    Some("json") => Format::Json,
                    Some("markdown") => Format::Markdown,
                    Some("junit") => Format::Junit,
                    _ => {
                        return Err(usage(format!(
                            "--format {} is none of text, json, markdown and junit",
                            given.display()
                        )));
                    }
                };
                continue;
            }
            "--by-evidence" => arguments.by_evidence = true,
            "--template" => arguments.template = Some(take()?.into()),
            "--gate" => arguments.gate = Some(take()?.into()),
            "--store" => {
                arguments.store = Some(take()?.into());
                continue;
            }
            "--start" => arguments.start = Some(seconds(option, &take()?)?),
            "--end" => arguments.end = Some(seconds(option, &take()?)?),
            "--arg" => {
                let given = take()?;
                let pair = given.to_str().and_then(|pair| pair.split_once('='));
                let Some((name, value)) = pair.filter(|(name, _)| !name.is_empty()) else {
                    return Err(usage(format!("--arg {} is not NAME=VALUE", given.display())));
                };
                arguments.args.push((name.to_owned(), value.to_owned()));
            }
            _ if text.starts_with('-') => return Err(usage(format!("there is no option {option}"))),
            _ if recording.is_some() => {
                return Err(usage(format!("one recording at a time, {text} is a second")));
            }
            _ => {
                recording = Some(PathBuf::from(text));
                continue;
            }
        }
        options.push(option.to_owned());
    }
    match (recording, options.first()) {
        (Some(_), _)
            if arguments.by_evidence && (arguments.template.is_none() || arguments.gate.is_some()) =>
        {
            Err(usage("--by-evidence needs a template, and takes no gate".to_owned()))
        }
        (Some(recording), _) => Ok(Command::Judge(Arguments { recording, ..arguments })),
        (None, None) if matches!(arguments.format, Format::Markdown | Format::Junit) => {
            Err(usage("--format markdown and junit need a recording".to_owned()))
        }
        (None, None) => Ok(Command::Table { store: arguments.store, format: arguments.format }),
        (None, Some(option)) => Err(usage(format!("{option} needs a recording"))),
    }
}

fn seconds(option: &str, value: &OsString) -> Result<Timestamp, Failure> {
    let millis = value
        .to_str()
        .and_then(|text| text.parse::<f64>().ok())
        .map(|seconds| (seconds * 1000.0).round())
        .filter(|millis| millis.is_finite() && millis.abs() < 9e15);
    let Some(millis) = millis else {
        return Err(Failure::Usage(format!("{option} {} is no number of seconds", value.display())));
    };
    Ok(Timestamp::from_millis(millis as i64))
}
