//! A report as Markdown: a headline, why, and a row for each check.

use super::{CheckReport, Report};
use crate::gate::reason::{Reason, Severity};
use crate::gate::verdict::Verdict;

impl Report {
    /// The report as Markdown, for a summary of a pipeline or a comment on a pull request: the verdict, its reasons, and a
    /// table with a row for each check. Names and label values are escaped; they end no cell and make no link.
    ///
    /// ```
    /// # use promgate::{Check, Gate, GateSpec};
    /// let spec = GateSpec::builder("checkout").check(Check::volume("traffic", "requests_total").at_least(1.0)).build()?;
    /// let markdown = Gate::new(spec).report().to_markdown();
    /// assert!(markdown.starts_with("## checkout: inconclusive so far\n"));
    /// # Ok::<(), promgate::Error>(())
    /// ```
    pub fn to_markdown(&self) -> String {
        let mut text = String::new();
        let so_far = if self.settled { "" } else { " so far" };
        text.push_str(&format!("## {}: {}{so_far}\n", escaped(&self.gate), self.verdict));
        for reason in self.reasons.iter().filter(|reason| reason.check.is_none()) {
            let lead = if reason.severity == Severity::Information { "note: " } else { "" };
            text.push_str(&format!("\n{lead}{}\n", escaped(&reason.text)));
        }
        if !self.checks.is_empty() {
            text.push_str("\n| check | verdict | why |\n|---|---|---|\n");
        }
        for check in &self.checks {
            let dry_run = if check.dry_run { " (dry run)" } else { "" };
            let why: Vec<String> = told(check).map(sentence).collect();
            text.push_str(&format!(
                "| {}{dry_run} | {} | {} |\n",
                escaped(&check.name),
                mark(check.verdict),
                why.join("<br>")
            ));
        }
        if let Some(strict) = &self.strict {
            text.push_str(&format!("\nArgo would have said {}\n", escaped(&strict.because())));
        }
        text
    }
}

/// What decides, and behind it what a reader should know.
fn told(check: &CheckReport) -> impl Iterator<Item = &Reason> {
    let is_note = |reason: &&Reason| reason.severity == Severity::Information;
    let decisive = check.reasons.iter().filter(move |reason| !is_note(reason));
    decisive.chain(check.reasons.iter().filter(is_note))
}

fn sentence(reason: &Reason) -> String {
    let lead = if reason.severity == Severity::Information { "note: " } else { "" };
    let element = reason.element.as_ref().map(|element| format!("{element}: ")).unwrap_or_default();
    format!("{lead}{}", escaped(&format!("{element}{}", reason.text)))
}

fn mark(verdict: Verdict) -> String {
    match verdict {
        Verdict::Pass => verdict.to_string(),
        Verdict::Fail | Verdict::Inconclusive => format!("**{verdict}**"),
    }
}

/// The only place through which text comes into a document.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' => {
                out.extend(['\\', c]);
            }
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\n' | '\r' | '\t' => out.push(' '),
            c if c.is_control() => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::gate::fixture::Fixture;
    use crate::gate::run::Gate;
    use crate::gate::spec::{Check, GateSpec};
    use crate::model::Timestamp;

    #[test]
    fn a_name_ends_no_cell_and_makes_no_link() {
        let hostile = "a|b](http://x)<script>\n# c\u{1b}[31m&amp;";
        let spec = GateSpec::builder(hostile).check(Check::volume(hostile, "requests").at_least(1.0));
        let mut gate = Gate::new(spec.min_duration_ms(0).build().unwrap());
        gate.start(Timestamp::from_secs(0));
        let source = Fixture::default().series(&[("__name__", "requests")], [(0, 1.0)]);
        gate.tick(Timestamp::from_secs(0), &source).unwrap();
        gate.tick(Timestamp::from_secs(10), &source).unwrap();
        let markdown = gate.report().to_markdown();
        let name = r"a\|b\](http://x)&lt;script&gt; \# c\u{1b}\[31m&amp;amp;";
        assert!(markdown.starts_with(&format!("## {name}: inconclusive so far\n")), "{markdown}");
        let row = markdown.lines().last().unwrap();
        assert!(row.starts_with(&format!("| {name} | **inconclusive** | ")), "{markdown}");
        assert_eq!(row.replace(r"\|", "").matches('|').count(), 4, "{row}");
    }
}
