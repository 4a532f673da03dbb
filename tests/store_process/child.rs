//! Children of the test: how they are started, and what the common ones do.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};

use promgate::{ErrorKind, Store};

use crate::wanted;
use crate::workload::{Batches, Model, open};

/// This binary in a role, started through `wrapper` where there is one.
pub(crate) fn command(wrapper: &[&str], role: &str, folder: &Path) -> Command {
    let binary = std::env::current_exe().unwrap();
    let mut command = match wrapper {
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(binary);
            command
        }
        [] => Command::new(binary),
    };
    command.args(["--exact", "role", "--nocapture", "--test-threads=1"]);
    command.env("STORE_ROLE", role).env("STORE_FOLDER", folder);
    command
}

/// A writer, and what it said so far.
pub(crate) struct Writer {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
    acknowledged: usize,
}

impl Writer {
    /// Goes on behind the first `first` batches.
    pub(crate) fn start(folder: &Path, first: usize) -> Self {
        let mut command = command(&[], "writer", folder);
        command.env("STORE_FIRST", first.to_string());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            // The last line may have been cut off with its writer.
            for line in out.split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
        Self { child, lines, said: Vec::new(), acknowledged: 0 }
    }

    fn hear(&mut self, line: String) {
        match line.strip_prefix("ack ").and_then(|number| number.strip_suffix('.')) {
            Some(number) => self.acknowledged = number.parse().unwrap(),
            None => self.said.push(line),
        }
    }

    /// How many batches it has acknowledged up to here; 0: none.
    pub(crate) fn acknowledged(&mut self) -> usize {
        while let Ok(line) = self.lines.try_recv() {
            self.hear(line);
        }
        self.acknowledged
    }

    /// Kills it, if it lives, and hears the rest of what it said.
    pub(crate) fn kill(mut self) -> usize {
        if let Some(status) = self.child.try_wait().unwrap() {
            self.acknowledged();
            panic!("the writer ended by itself, {status}: {:?}", self.said);
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        while let Ok(line) = self.lines.recv() {
            self.hear(line);
        }
        let wrong: Vec<&String> = self.said.iter().filter(|line| line.starts_with("error ")).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        self.acknowledged
    }
}

/// A child that ended well; what it said.
pub(crate) fn succeeded(output: Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {out}\n{errors}", output.status);
    out
}

pub(crate) fn folder() -> PathBuf {
    std::env::var_os("STORE_FOLDER").unwrap().into()
}

fn upkeep(store: &Store) {
    match store.maintain() {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::Full => println!("full: {error}"),
        Err(error) => println!("error {:?} in upkeep: {error}", error.kind()),
    }
}

/// Appends batches from `STORE_FIRST` on, up to `STORE_UNTIL`, and says `ack N.` when the first N are durable. Upkeep is done
/// in between, or by a thread. Ends at the first error, without closing the store.
pub(crate) fn write() {
    let (first, until) = (wanted("STORE_FIRST", 0), wanted("STORE_UNTIL", u64::MAX));
    println!();
    let store = match open(&folder()) {
        Ok(store) => store,
        Err(error) => {
            println!("error {:?} when opening: {error}", error.kind());
            return;
        }
    };
    println!("open");
    let mut batches = Batches::new(&store);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let threaded = first % 2 == 1;
        if threaded {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    upkeep(&store);
                    std::thread::yield_now();
                }
            });
        }
        for number in first..until {
            match batches.append(usize::try_from(number).unwrap()) {
                Ok(report) if report.durable => println!("ack {}.", number + 1),
                Ok(report) => println!("error: batch {number} is not durable: {report:?}"),
                Err(error) => {
                    println!("error {:?} at batch {number}: {error}", error.kind());
                    break;
                }
            }
            if !threaded {
                upkeep(&store);
                upkeep(&store);
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    std::mem::forget(store);
}

/// Opens the store, says `holds N.`, and fails if that is not a prefix, or less than `STORE_ACKED`.
pub(crate) fn check() {
    let store = open(&folder()).unwrap_or_else(|error| panic!("opening failed: {error}"));
    store.verify().unwrap_or_else(|error| panic!("damaged: {error}"));
    let batches = Model::default().prefix(&store.snapshot()).unwrap_or_else(|wrong| panic!("{wrong}"));
    println!("\nholds {batches}.");
    let acknowledged = usize::try_from(wanted("STORE_ACKED", 0)).unwrap();
    assert!(batches >= acknowledged, "LOST: {batches} batches are there, {acknowledged} were acknowledged");
    // Every second time without closing.
    if batches % 2 == 0 {
        std::mem::forget(store);
    }
}
