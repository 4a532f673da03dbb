//! Counting and telling what passed.

use std::collections::BTreeMap;
use std::process::ExitCode;

/// How many failures of one file are shown without `--all`.
const SHOWN: usize = 5;

/// What came of one case.
pub(crate) enum Outcome {
    Passed,
    /// What was expected and what came.
    Failed(String),
    /// The reason, from [`crate::skips`].
    Skipped(&'static str),
}

#[derive(Clone, Copy, Default)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    fn line(self) -> String {
        let Self { passed, failed, skipped } = self;
        format!("passed {passed} of {}, skipped {skipped}", passed + failed)
    }
}

pub(crate) struct Report {
    show_all: bool,
    set: &'static str,
    file: Counts,
    in_set: Counts,
    total: Counts,
    reasons: BTreeMap<&'static str, usize>,
}

impl Report {
    pub(crate) fn new(show_all: bool) -> Self {
        let zero = Counts::default();
        Self { show_all, set: "", file: zero, in_set: zero, total: zero, reasons: BTreeMap::new() }
    }

    pub(crate) fn begin_set(&mut self, name: &'static str) {
        self.set = name;
        self.in_set = Counts::default();
    }

    /// Counts one case; `name` tells it from the others of its file.
    pub(crate) fn case(&mut self, name: &str, outcome: Outcome) {
        match outcome {
            Outcome::Passed => self.file.passed += 1,
            Outcome::Skipped(reason) => {
                self.file.skipped += 1;
                *self.reasons.entry(reason).or_default() += 1;
            }
            Outcome::Failed(detail) => {
                self.file.failed += 1;
                if self.show_all || self.file.failed <= SHOWN {
                    println!("  FAILED {name}");
                    for line in detail.lines() {
                        println!("    {line}");
                    }
                }
            }
        }
    }

    pub(crate) fn end_file(&mut self, name: &str) {
        if !self.show_all && self.file.failed > SHOWN {
            println!("  … and {} more; --all shows them", self.file.failed - SHOWN);
        }
        println!("{}/{name}: {}", self.set, self.file.line());
        self.in_set.add(std::mem::take(&mut self.file));
    }

    pub(crate) fn end_set(&mut self) {
        println!("{}: {}\n", self.set, self.in_set.line());
        self.total.add(std::mem::take(&mut self.in_set));
    }

    pub(crate) fn finish(self) -> ExitCode {
        if !self.reasons.is_empty() {
            println!("skipped:");
            for (reason, count) in &self.reasons {
                println!("  {count:5}  {reason}");
            }
        }
        let Counts { passed, failed, skipped } = self.total;
        println!("{passed} passed, {failed} failed, {skipped} skipped");
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
