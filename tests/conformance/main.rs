//! Runs sets of data that did not come from us: what passes here is true.
//!
//! `cargo test --release --test conformance [-- [--all] SET…]`. The sets are found by layout under the folder named by
//! `PROMGATE_CONFORMANCE`, by default `../shared` beside the project.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::exit,
    clippy::disallowed_methods,
    reason = "a test program stops at the first surprise"
)]

mod answer;
mod compare;
mod data;
mod gates;
mod goldens;
mod otel;
mod promqltest;
mod recordings;
mod report;
mod request;
#[path = "../support/rollout_play.rs"]
mod rollout_play;
mod script;
mod sequence;
mod skips;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use report::Report;

/// A set: its name, whether the folder holds it, and how it runs.
struct Set {
    name: &'static str,
    run: fn(&Path, &mut Report),
}

const SETS: &[Set] = &[
    Set { name: "promqltest", run: promqltest::run },
    Set { name: "goldens", run: goldens::run },
    Set { name: "recordings", run: recordings::run },
    Set { name: "otel", run: otel::run },
    Set { name: "gates", run: gates::run },
];

fn main() -> ExitCode {
    let mut names = Vec::new();
    let mut show_all = false;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--all" => show_all = true,
            // What `cargo test` passes on to every test program.
            "--nocapture" | "--quiet" | "-q" | "--show-output" => {}
            name => names.push(name.to_owned()),
        }
    }
    if let Some(unknown) = names.iter().find(|name| SETS.iter().all(|set| set.name != *name)) {
        let known: Vec<_> = SETS.iter().map(|set| set.name).collect();
        eprintln!("no set is called {unknown}; there are: {}", known.join(", "));
        return ExitCode::FAILURE;
    }

    let root = std::env::var_os("PROMGATE_CONFORMANCE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    if !root.is_dir() {
        println!("no conformance data at {}: nothing was run", root.display());
        println!("0 passed, 0 failed, 0 skipped");
        return ExitCode::SUCCESS;
    }

    let mut report = Report::new(show_all);
    for set in SETS {
        let wanted = names.is_empty() || names.iter().any(|name| name == set.name);
        let folder = root.join(set.name);
        if wanted && folder.is_dir() {
            report.begin_set(set.name);
            (set.run)(&folder, &mut report);
            report.end_set();
        }
    }
    report.finish()
}

/// The entries of `folder` in name order.
fn sorted_entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    entries
}

/// The last part of a path, as text.
fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}
