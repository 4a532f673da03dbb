//! Simulated canaries over the span metrics path, with a real Prometheus's answers.

use std::path::Path;

use crate::recordings::Recorded;
use crate::report::{Outcome, Report};
use crate::{data, recordings, skips};

pub(crate) fn run(folder: &Path, report: &mut Report) {
    let run = folder.join("seed-run");
    if let Some(path) = data::find(&run, "expected.json") {
        let expected = data::json(&path);
        let start_s = expected["runStart"].as_i64().unwrap();
        let older_rate = expected["oracle"].as_str().is_some_and(|oracle| oracle.contains("version 2."));
        for (scenario, truth) in expected["scenarios"].as_object().unwrap() {
            let series = data::find(&run, &format!("{scenario}.jsonl")).unwrap();
            let recorded = Recorded { source: data::recorded(&series), start_s, older_rate };
            for (name, template) in expected["queries"].as_object().unwrap() {
                let query = recordings::resolve(template.as_str().unwrap(), truth);
                let name_of_case = format!("{scenario}: {name}");
                recorded.check_measurements(&name_of_case, &query, &truth["measurements"][name], report);
            }
        }
        report.end_file("seed-run");
    }
    let expositions = crate::sorted_entries(folder);
    let expositions = expositions.iter().filter(|path| crate::file_name(path).contains(".expected.")).count();
    for _ in 0..expositions {
        report.case("", Outcome::Skipped(skips::SPAN_METRICS));
    }
    report.end_file("span metrics");
}
