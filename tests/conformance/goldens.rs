//! Answers of the real engine to many queries over difficult data.

use std::path::Path;

use promgate::Snapshot;
use serde_json::Value as Json;

use crate::compare::Tolerance;
use crate::report::{Outcome, Report};
use crate::{answer, data, file_name, request, skips, sorted_entries};

pub(crate) fn run(folder: &Path, report: &mut Report) {
    for path in sorted_entries(folder) {
        let (Some(series), Some(queries), Some(expected)) = (
            data::find(&path, "data.jsonl"),
            data::find(&path, "queries.jsonl"),
            data::find(&path, "expected.jsonl"),
        ) else {
            continue;
        };
        let source = data::source(data::json_lines(&series).iter().map(data::data_series).collect());
        for (request, expected) in data::json_lines(&queries).iter().zip(data::json_lines(&expected)) {
            let name = format!("{} {} {}", request["id"], request["op"], request["query"].as_str().unwrap());
            let outcome = match run_query(&source, request, &expected) {
                Outcome::Failed(_) if skips::depends_on_chunks(&file_name(&path), id(request)) => {
                    Outcome::Skipped(skips::CHUNK_LAYOUT)
                }
                Outcome::Passed if skips::depends_on_chunks(&file_name(&path), id(request)) => {
                    Outcome::Failed("it passes, and is still declared to depend on chunks".to_owned())
                }
                outcome => outcome,
            };
            report.case(&name, outcome);
        }
        report.end_file(&file_name(&path));
    }
}

fn id(request: &Json) -> u64 {
    request["id"].as_u64().unwrap()
}

fn run_query(source: &Snapshot, request: &Json, expected: &Json) -> Outcome {
    let got = request::evaluate(source, request);
    let tolerance = match request["tol"].as_str() {
        Some("ulp") => Tolerance::Relative(1e-12),
        Some("loose") => Tolerance::Loose { relative: 1e-6, absolute: 1e-9 },
        _ => Tolerance::Bits,
    };
    match answer::check(expected, &got, tolerance, request["unordered"] != true) {
        Ok(()) => Outcome::Passed,
        Err(what) => Outcome::Failed(format!("expected {}\ngot {what}", short(expected))),
    }
}

fn short(expected: &Json) -> String {
    let mut text = expected.to_string();
    if let Some((cut, _)) = text.char_indices().nth(1200) {
        text.truncate(cut);
        text.push('…');
    }
    text
}
