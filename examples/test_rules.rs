//! Runs the files of `promtool test rules`: `cargo run --example test_rules -- [--junit FILE] TEST_FILE...`.
//!
//! Rule files are found by their patterns from the folder of the test file, as promtool finds them. Exits with 0 where every
//! test passes, and with 1 as promtool does where one fails or a file cannot be read.

#![expect(clippy::disallowed_methods, reason = "a program reads files")]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use promgate::{RuleUnitTest, RuleUnitTestReport};

const USAGE: &str = "usage: test_rules [--junit FILE] TEST_FILE...";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything passed.
fn run() -> Result<bool, Box<dyn Error>> {
    let mut junit = None;
    let mut files = Vec::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--help" | "-h" => {
                println!("{USAGE}");
                return Ok(true);
            }
            "--junit" => junit = Some(words.next().ok_or(USAGE)?),
            _ => files.push(word),
        }
    }
    if files.is_empty() {
        return Err(USAGE.into());
    }
    let mut passed = true;
    for file in &files {
        println!("Unit Testing:  {file}");
        match test(file) {
            Ok(report) => {
                passed &= report.passed();
                println!("{report}");
                // The report of the last file stays, as each is a document of its own.
                if let Some(path) = &junit {
                    std::fs::write(path, report.to_junit())?;
                }
            }
            Err(error) => {
                passed = false;
                println!("  FAILED:\n{error}\n");
            }
        }
    }
    Ok(passed)
}

fn test(file: &str) -> Result<RuleUnitTestReport, Box<dyn Error>> {
    let mut test = RuleUnitTest::from_yaml(file, &std::fs::read_to_string(file)?)?;
    let folder = Path::new(file).parent().unwrap_or_else(|| Path::new("."));
    for pattern in test.rule_files().to_vec() {
        let pattern = folder.join(pattern).to_string_lossy().into_owned();
        let mut found = false;
        for path in glob::glob(&pattern)? {
            let path = path?;
            found = true;
            test.add_rule_file(&path.to_string_lossy(), &std::fs::read_to_string(&path)?);
        }
        if !found {
            eprintln!("  WARNING: no file match pattern {pattern}");
        }
    }
    Ok(test.run())
}
