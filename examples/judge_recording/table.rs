//! What is printed.

use promgate::Report;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::judge::Judgement;
use crate::recording::Recorded;

/// Columns of the reason before it goes on in the next line.
const WHY: usize = 66;

/// One line a canary.
pub(crate) fn text(judged: &[(Recorded, Judgement)]) -> String {
    let mut out = String::new();
    line(&mut out, "canary", "what its users saw", "argo", "promgate", "why");
    for (recorded, judgement) in judged {
        let truth = recorded.truth.as_ref();
        let state = truth.map_or("", |truth| if truth.healthy { "fine" } else { "broken" });
        let seen = truth.map_or(String::new(), |truth| format!("{state:<6} {}", truth.text));
        let verdict = |report: &Option<Report>| {
            report.as_ref().map_or(String::new(), |report| report.verdict.to_string())
        };
        let why = judgement.deciding().map(Report::because).unwrap_or_default();
        line(&mut out, &recorded.name, &seen, &verdict(&judgement.strict), &verdict(&judgement.native), &why);
    }
    out
}

fn line(out: &mut String, canary: &str, seen: &str, strict: &str, native: &str, why: &str) {
    let lead = format!("{canary:<17} {seen:<29} {strict:<12} {native:<12} ");
    let mut rest = why;
    let mut first = true;
    loop {
        let (head, tail) = split(rest);
        out.push_str(&if first { lead.clone() } else { " ".repeat(lead.chars().count()) });
        out.push_str(head);
        out.push('\n');
        if tail.is_empty() {
            return;
        }
        (rest, first) = (tail, false);
    }
}

/// Cuts at the last blank that fits.
fn split(text: &str) -> (&str, &str) {
    let Some((limit, _)) = text.char_indices().nth(WHY) else { return (text, "") };
    let (head, _) = text.split_at_checked(limit).unwrap_or((text, ""));
    match head.rsplit_once(' ') {
        Some((head, _)) => {
            let tail = text.get(head.len()..).unwrap_or("").trim_start();
            (head, tail)
        }
        None => (text, ""),
    }
}

/// The reports of one recording.
pub(crate) fn report(recorded: &Recorded, judgement: &Judgement) -> String {
    let mut out = String::new();
    if let Some(truth) = &recorded.truth {
        let state = if truth.healthy { "fine" } else { "broken" };
        out.push_str(&format!("{}: {state}, its users saw {}\n", recorded.name, truth.text));
    }
    for (title, report) in [("argo", &judgement.strict), ("promgate", &judgement.native)] {
        if let Some(report) = report {
            out.push_str(&format!("\n[{title}] {report}\n"));
        }
    }
    out
}

pub(crate) fn json(judged: &[(Recorded, Judgement)]) -> Result<String, Failure> {
    let one = |(recorded, judgement): &(Recorded, Judgement)| -> Result<Value, serde_json::Error> {
        Ok(json!({
            "recording": recorded.name,
            "start": recorded.start.as_millis(),
            "end": recorded.end.as_millis(),
            "truth": recorded.truth.as_ref().map(|truth| json!({"healthy": truth.healthy, "text": truth.text})),
            "strict": serde_json::to_value(&judgement.strict)?,
            "native": serde_json::to_value(&judgement.native)?,
        }))
    };
    let all: Result<Vec<Value>, _> = judged.iter().map(one).collect();
    let value = match all.map_err(|error| Failure::Data(error.to_string()))?.as_slice() {
        [single] => single.clone(),
        several => Value::Array(several.to_vec()),
    };
    serde_json::to_string_pretty(&value)
        .map(|text| text + "\n")
        .map_err(|error| Failure::Data(error.to_string()))
}
