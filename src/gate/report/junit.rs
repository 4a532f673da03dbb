//! A report as JUnit XML, which most pipelines show.

use super::{CheckReport, Report};
use crate::gate::verdict::Verdict;
use crate::model::xml::escaped;

impl Report {
    /// The report as JUnit XML: one test case for the gate and one for each check. What fails is a `failure`; what is
    /// inconclusive is an `error`, so that no pipeline takes silence for consent; what decides nothing is `skipped`.
    ///
    /// ```
    /// # use promgate::{Check, Gate, GateSpec};
    /// let spec = GateSpec::builder("checkout").check(Check::volume("traffic", "requests_total").at_least(1.0)).build()?;
    /// let xml = Gate::new(spec).report().to_junit();
    /// assert!(xml.contains(r#"<testsuite name="checkout" tests="1" failures="0" errors="1" skipped="0""#));
    /// # Ok::<(), promgate::Error>(())
    /// ```
    pub fn to_junit(&self) -> String {
        let verdicts = || {
            let checks = self.checks.iter().filter(|check| !check.dry_run).map(|check| check.verdict);
            checks.chain([self.verdict])
        };
        let count = |wanted: Verdict| verdicts().filter(|verdict| *verdict == wanted).count();
        let skipped = self.checks.iter().filter(|check| check.dry_run).count();
        let counts = format!(
            r#"tests="{}" failures="{}" errors="{}" skipped="{skipped}""#,
            self.checks.len().saturating_add(1),
            count(Verdict::Fail),
            count(Verdict::Inconclusive)
        );
        let gate = escaped(&self.gate);
        let seconds = match (self.started, self.at) {
            (Some(started), Some(at)) => at.millis_since(started).max(0) as f64 / 1000.0,
            _ => 0.0,
        };
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n  <testsuite name=\"{gate}\" {counts} time=\"{seconds}\">\n"
        );
        let because = self.reasons.first().map_or("", |reason| reason.code());
        case(&mut text, &gate, "verdict", self.verdict, because, &self.because(), &self.to_string());
        for check in &self.checks {
            check_case(&mut text, &gate, check);
        }
        text.push_str("  </testsuite>\n</testsuites>\n");
        text
    }
}

fn check_case(text: &mut String, gate: &str, check: &CheckReport) {
    let (code, because) =
        check.reasons.first().map_or(("", String::new()), |reason| (reason.code(), reason.to_string()));
    if check.dry_run {
        let (name, because) = (escaped(&check.name), escaped(&because));
        text.push_str(&format!("    <testcase classname=\"{gate}\" name=\"{name}\"><skipped message=\"dry run: {because}\"/></testcase>\n"));
        return;
    }
    case(text, gate, &escaped(&check.name), check.verdict, code, &because, &check.to_string());
}

/// `gate` and `name` are escaped already.
fn case(text: &mut String, gate: &str, name: &str, verdict: Verdict, code: &str, because: &str, whole: &str) {
    let tag = match verdict {
        Verdict::Pass => {
            text.push_str(&format!("    <testcase classname=\"{gate}\" name=\"{name}\"/>\n"));
            return;
        }
        Verdict::Fail => "failure",
        Verdict::Inconclusive => "error",
    };
    text.push_str(&format!("    <testcase classname=\"{gate}\" name=\"{name}\">\n      <{tag} type=\"{code}\" message=\"{}\">{}</{tag}>\n    </testcase>\n",
        escaped(because),
        escaped(whole)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::spec::{Check, GateSpec};
    use crate::gate::step::NativeGate;

    #[test]
    fn what_is_not_passed_is_no_success_and_nothing_in_it_is_markup() {
        let hostile = "a\"<b>&'\u{1b}\u{ffff}]]>";
        let check = || Check::volume("x", "requests").at_least(1.0);
        let spec = GateSpec::builder(hostile).check(check());
        let spec = spec.check(Check::volume("y", "requests").at_least(1.0).dry_run());
        let mut report = NativeGate::new(spec.build().unwrap()).report();
        for (name, verdict) in [("x", Verdict::Fail), ("y", Verdict::Inconclusive), ("z", Verdict::Pass)] {
            report.checks.push(CheckReport {
                name: name.to_owned(),
                dry_run: name == "y",
                verdict,
                query: String::new(),
                evidence: crate::gate::report::Evidence::None,
                reasons: Vec::new(),
                elements: Vec::new(),
            });
        }
        let xml = report.to_junit();
        let name = "a&quot;&lt;b&gt;&amp;&apos;\u{fffd}\u{fffd}]]&gt;";
        assert!(
            xml.contains(&format!(r#"name="{name}" tests="4" failures="1" errors="1" skipped="1""#)),
            "{xml}"
        );
        assert!(!xml.contains("<b>") && !xml.contains('\u{1b}'));
        assert_eq!(xml.matches("<failure").count(), 1);
        assert_eq!(xml.matches("<error").count(), 1);
    }
}
