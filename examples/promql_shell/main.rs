//! A shell for PromQL over a store or a recording.
//!
//! `cargo run --example promql_shell` opens the recording of a healthy canary that ships with the examples;
//! `-- FOLDER_OR_FILE` another one, or a store. `-- --command QUERY` answers one query and ends.

#![expect(clippy::disallowed_methods, reason = "a program at the edge reads files")]

mod command;
mod complete;
mod data;
#[path = "../judge_recording/extent.rs"]
mod extent;
mod show;

use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use promgate::{Diagnostic, Engine, Snapshot, Source as _, Timestamp, Value, Window, diagnose};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor};

use command::{At, Command};

const HELP: &str = "\
Asks a store or a recording in PromQL.

  promql_shell [options] [DATA]

  DATA: the folder of a store; a folder with series.jsonl.gz; or a file: series as JSON lines, compressed or not, or a
  Prometheus exposition or dump (without DATA: a recording that ships with the examples)

      --command TEXT    answers TEXT, a query or what \\help shows, and ends; may be repeated
      --experimental    allows experimental functions and syntax
      --history FILE    where lines are remembered (default: .promql_shell_history in the home folder)

  exit code: 0, 1 if something could not be answered, 64 wrong usage, 65 data that cannot be read
";

/// What is asked, when, and how.
struct Shell {
    engine: Engine,
    source: Snapshot,
    first: Timestamp,
    last: Timestamp,
    at: Timestamp,
    range: Option<(Duration, Duration)>,
    colored: bool,
}

/// What came of a line.
enum Outcome {
    Said(String),
    Failed(String),
    Quit,
}

impl Shell {
    fn open(data: &Path, experimental: bool, colored: bool) -> Result<Self, String> {
        let source = data::open(data)?;
        let (series, first, last) = extent::extent(&source).map_err(|error| error.to_string())?;
        if series == 0 {
            return Err(format!("{}: no sample in it", data.display()));
        }
        let started = Instant::now();
        Ok(Self {
            engine: Engine::new().experimental(experimental).clock(move || started.elapsed()),
            source,
            first,
            last,
            at: last,
            range: None,
            colored,
        })
    }

    fn run(&mut self, line: &str) -> Outcome {
        let command = match Command::parse(line) {
            Ok(command) => command,
            Err(error) => return Outcome::Failed(format!("{error}\n")),
        };
        let answer = match command {
            Command::Nothing => Ok(String::new()),
            Command::Quit => return Outcome::Quit,
            Command::Help => Ok(command::HELP.to_owned()),
            Command::At(at) => {
                self.at = match at {
                    At::Start => self.first,
                    At::End => self.last,
                    At::Seconds(seconds) => Timestamp::from_millis((seconds * 1000.0).round() as i64),
                };
                Ok(String::new())
            }
            Command::Range(length, step) => {
                self.range = Some((length, step));
                Ok(String::new())
            }
            Command::Instant => {
                self.range = None;
                Ok(String::new())
            }
            Command::Metrics(part) => self.metrics(part),
            Command::Format(query) => self.explained(query, |query| Ok(query.pretty() + "\n")),
            Command::Query(query) => self.explained(query, |query| self.answer(query)),
            Command::Explain(query) => self.explained(query, |query| {
                let explanation = match self.steps() {
                    Some((start, step)) => self.engine.explain_range(query, start, self.at, step)?,
                    None => self.engine.explain(query, self.at)?,
                };
                Ok(explanation.to_string())
            }),
            Command::Analyze(query) => self.explained(query, |query| {
                let (_, analysis) = match self.steps() {
                    Some((start, step)) => {
                        self.engine.analyze_range(&self.source, query, start, self.at, step)?
                    }
                    None => self.engine.analyze(&self.source, query, self.at)?,
                };
                Ok(analysis.to_string())
            }),
        };
        match answer {
            Ok(text) => Outcome::Said(text),
            Err(text) => Outcome::Failed(text),
        }
    }

    /// Does something with a query; a failure is shown beside it.
    fn explained(
        &self,
        text: &str,
        run: impl Fn(&promgate::Query) -> promgate::Result<String>,
    ) -> Result<String, String> {
        let outcome = self.engine.prepare(text).and_then(|query| run(&query));
        outcome.map_err(|error| format!("{}\n", Diagnostic::new(&error, text).colored(self.colored)))
    }

    fn steps(&self) -> Option<(Timestamp, i64)> {
        let (length, step) = self.range?;
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Some((self.at.minus_millis(millis(length)), millis(step)))
    }

    fn answer(&self, query: &promgate::Query) -> promgate::Result<String> {
        let evaluation = match self.steps() {
            // A query for a range vector has no range of its own.
            Some((start, step)) if query.value_type() != promgate::ValueType::Matrix => {
                self.engine.range(&self.source, query, start, self.at, step)?
            }
            _ => self.engine.instant(&self.source, query, self.at)?,
        };
        let mut text = show::evaluation(&evaluation);
        let nothing = match &evaluation.value {
            Value::Vector(samples) => samples.is_empty(),
            Value::Matrix(series) => series.is_empty(),
            _ => false,
        };
        if nothing {
            for finding in diagnose(&self.source, query, self.at)? {
                text.push_str(&format!("{finding}\n"));
            }
        }
        Ok(text)
    }

    fn metrics(&self, part: &str) -> Result<String, String> {
        let names =
            self.source.label_values("__name__", &[], Window::ALL).map_err(|error| format!("{error}\n"))?;
        Ok(names.iter().filter(|name| name.contains(part)).map(|name| format!("{name}\n")).collect())
    }
}

/// Completes and checks what is typed.
struct Typing {
    engine: Engine,
    source: Snapshot,
}

impl rustyline::completion::Completer for Typing {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let before = line.get(..at).unwrap_or(line);
        // A source that fails says so when it is asked; here it offers nothing.
        Ok(complete::complete(&self.engine, &self.source, before).unwrap_or((at, Vec::new())))
    }
}

impl Validator for Typing {
    fn validate(&self, typed: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        let text = typed.input();
        let Ok(Command::Query(query)) = Command::parse(text) else {
            return Ok(ValidationResult::Valid(None));
        };
        // An empty line ends what cannot be ended otherwise.
        let goes_on = !text.ends_with('\n')
            && self.engine.prepare(query).is_err_and(|error| {
                error.text_range().is_some_and(|range| range.end >= query.len() && range.start >= query.len())
            });
        Ok(if goes_on { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl rustyline::hint::Hinter for Typing {
    type Hint = String;
}
impl rustyline::highlight::Highlighter for Typing {}
impl rustyline::Helper for Typing {}

/// Reads lines from a terminal until there are no more.
fn converse(shell: &mut Shell, history: Option<&Path>) -> rustyline::Result<()> {
    let config = Config::builder().completion_type(CompletionType::List).auto_add_history(true).build();
    let mut editor: Editor<Typing, DefaultHistory> = Editor::with_config(config)?;
    editor.set_helper(Some(Typing { engine: shell.engine.clone(), source: shell.source.clone() }));
    if let Some(history) = history
        && history.is_file()
    {
        editor.load_history(history)?;
    }
    loop {
        let prompt = format!("{}> ", shell.at.as_millis() as f64 / 1000.0);
        let line = editor.readline(&prompt);
        match line {
            Ok(line) => match shell.run(&line) {
                Outcome::Said(text) => print!("{text}"),
                Outcome::Failed(text) => eprint!("{text}"),
                Outcome::Quit => break,
            },
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error),
        }
    }
    if let Some(history) = history {
        editor.save_history(history)?;
    }
    Ok(())
}

/// Answers lines as they come; `false` if one could not be answered.
fn answer_all(shell: &mut Shell, lines: impl Iterator<Item = String>) -> bool {
    let mut all = true;
    for line in lines {
        match shell.run(&line) {
            Outcome::Said(text) => print!("{text}"),
            Outcome::Failed(text) => {
                eprint!("{text}");
                all = false;
            }
            Outcome::Quit => break,
        }
    }
    all
}

fn main() -> ExitCode {
    let mut data = None;
    let mut commands = Vec::new();
    let mut experimental = false;
    let mut history = std::env::home_dir().map(|home| home.join(".promql_shell_history"));
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--help" | "-h") => {
                print!("{HELP}");
                return ExitCode::SUCCESS;
            }
            Some("--command" | "-c") => match arguments.next().and_then(|text| text.into_string().ok()) {
                Some(text) => commands.push(text),
                None => return usage("--command takes a text"),
            },
            Some("--history") => match arguments.next() {
                Some(file) => history = Some(PathBuf::from(file)),
                None => return usage("--history takes a file"),
            },
            Some("--experimental") => experimental = true,
            Some(option) if option.starts_with("--") => return usage(&format!("{option} is no option")),
            _ if data.is_none() => data = Some(PathBuf::from(argument)),
            _ => return usage("one DATA is enough"),
        }
    }
    let data = data.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/healthy"));
    let terminal = std::io::stdin().is_terminal();
    let mut shell = match Shell::open(&data, experimental, std::io::stderr().is_terminal()) {
        Ok(shell) => shell,
        Err(error) => {
            eprintln!("promql_shell: {error}");
            return ExitCode::from(65);
        }
    };
    let answered = if !commands.is_empty() {
        answer_all(&mut shell, commands.into_iter())
    } else if terminal {
        println!("{}; \\help shows what can be done", data.display());
        match converse(&mut shell, history.as_deref()) {
            Ok(()) => true,
            Err(error) => {
                eprintln!("promql_shell: {error}");
                false
            }
        }
    } else {
        answer_all(&mut shell, std::io::stdin().lock().lines().map_while(Result::ok))
    };
    if answered { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage(text: &str) -> ExitCode {
    eprintln!("promql_shell: {text}; --help shows how");
    ExitCode::from(64)
}
