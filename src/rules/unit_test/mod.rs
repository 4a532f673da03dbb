//! The tests of rules that `promtool test rules` runs.

mod compare;
mod read;
mod run;

use std::fmt;

use crate::error::Result;
use crate::model::xml::escaped;
use crate::promql::Engine;

use super::file::{Refused, RuleGroups};
use read::TestFile;

/// A file of `promtool test rules`: input series, and which alerts and samples are expected of rule files over them.
///
/// ```
/// use promgate::{Engine, RuleUnitTest};
///
/// let mut test = RuleUnitTest::from_yaml(
///     "queues_test.yml",
///     r#"
/// rule_files: [queues.yml]
/// tests:
///   - interval: 1m
///     input_series:
///       - {series: 'queue_length{pod="a"}', values: 0+1x10}
///       - {series: 'queue_length{pod="b"}', values: 5x10}
///     promql_expr_test:
///       - expr: queue:sum
///         eval_time: 3m
///         exp_samples: [{labels: 'queue:sum', value: 8}]
/// "#,
/// )?;
/// assert_eq!(test.rule_files(), ["queues.yml"]);
/// let rules = "groups: [{name: queues, rules: [{record: 'queue:sum', expr: sum(queue_length)}]}]";
/// test.add_rule_file("queues.yml", rules);
/// let report = test.run();
/// assert!(report.passed(), "{report}");
/// # Ok::<(), promgate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RuleUnitTest {
    name: String,
    file: TestFile,
    engine: Engine,
    /// By their names, in the order in which they were added; or what is wrong with them.
    rule_files: Vec<(String, std::result::Result<RuleGroups, Vec<String>>)>,
}

impl RuleUnitTest {
    /// Reads a test file; `name` is what reports call it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Parse`](crate::ErrorKind::Parse) for text that is no such file, with line and column;
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) for one of more than 4 MiB.
    pub fn from_yaml(name: impl Into<String>, text: &str) -> Result<Self> {
        Ok(Self {
            name: name.into(),
            file: TestFile::from_yaml(text)?,
            engine: Engine::new(),
            rule_files: Vec::new(),
        })
    }

    /// The engine for queries and rules, for other options and limits than those of [`Engine::new`]. Call it before
    /// [`add_rule_file`](Self::add_rule_file).
    #[must_use]
    pub fn engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// The patterns under `rule_files`, relative to the folder of the test file: finding and reading them is the caller's.
    pub fn rule_files(&self) -> &[String] {
        &self.file.rule_files
    }

    /// Adds a rule file; one that was added under the same name before is replaced. A file with mistakes fails every test, as in
    /// promtool.
    pub fn add_rule_file(&mut self, name: &str, text: &str) {
        let groups = RuleGroups::read(&self.engine, text).map_err(|refused| match refused {
            Refused::File(error) => vec![error.to_string()],
            Refused::Rules(mistakes) => mistakes,
        });
        match self.rule_files.iter_mut().find(|(known, _)| known == name) {
            Some((_, slot)) => *slot = groups,
            None => self.rule_files.push((name.to_owned(), groups)),
        }
    }

    /// Runs all tests of the file, each over a store of its own.
    pub fn run(&self) -> RuleUnitTestReport {
        let mut groups = Vec::with_capacity(self.rule_files.len());
        let mut broken = Vec::new();
        for (name, file) in &self.rule_files {
            match file {
                Ok(file) => groups.push((name.as_str(), file)),
                Err(mistakes) => broken.extend(mistakes.iter().map(|mistake| format!("{name}: {mistake}"))),
            }
        }
        let tests = self.file.tests.iter().enumerate().map(|(index, test)| TestGroupReport {
            name: match test.name.as_str() {
                "" => format!("unnamed#{index}"),
                name => name.to_owned(),
            },
            failures: if broken.is_empty() {
                run::run(&self.file, test, &self.engine, &groups)
            } else {
                broken.clone()
            },
        });
        RuleUnitTestReport { name: self.name.clone(), tests: tests.collect() }
    }
}

/// What the tests of a file came to. [`Display`](fmt::Display) shows it as promtool does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RuleUnitTestReport {
    /// The name of the file.
    pub name: String,
    /// Its tests in order.
    pub tests: Vec<TestGroupReport>,
}

/// What one test came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TestGroupReport {
    /// Its name, or `unnamed#` and its place.
    pub name: String,
    /// What failed, in promtool's words; empty: it passed.
    pub failures: Vec<String>,
}

impl RuleUnitTestReport {
    /// Whether every test passed.
    pub fn passed(&self) -> bool {
        self.tests.iter().all(|test| test.failures.is_empty())
    }

    /// The report as JUnit XML: one test suite for the file, one test case for each test of it.
    pub fn to_junit(&self) -> String {
        let failed = self.tests.iter().filter(|test| !test.failures.is_empty()).count();
        let counts = format!(r#"tests="{}" failures="{failed}" errors="0""#, self.tests.len());
        let name = escaped(&self.name);
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n  <testsuite name=\"{name}\" {counts}>\n"
        );
        for test in &self.tests {
            let open = format!("    <testcase classname=\"{name}\" name=\"{}\"", escaped(&test.name));
            if test.failures.is_empty() {
                text.push_str(&format!("{open}/>\n"));
                continue;
            }
            text.push_str(&format!("{open}>\n"));
            for failure in &test.failures {
                text.push_str(&format!("      <failure>{}</failure>\n", escaped(failure)));
            }
            text.push_str("    </testcase>\n");
        }
        text.push_str("  </testsuite>\n</testsuites>\n");
        text
    }
}

impl fmt::Display for RuleUnitTestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.passed() {
            return f.write_str("  SUCCESS\n");
        }
        f.write_str("  FAILED:\n")?;
        for failure in self.tests.iter().flat_map(|test| &test.failures) {
            writeln!(f, "{failure}\n")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_file_that_is_added_again_stands_for_the_one_before() {
        let test =
            "rule_files: [r]\ntests: [{promql_expr_test: [{expr: r, exp_samples: [{labels: r, value: 2}]}]}]";
        let mut test = RuleUnitTest::from_yaml("t", test).unwrap();
        let rules = |value: &str| format!("groups: [{{name: g, rules: [{{record: r, expr: {value}}}]}}]");
        let mut passes = |text: &str| {
            test.add_rule_file("r", text);
            test.run().passed()
        };
        assert!(!passes(&rules("'1'")));
        assert!(!passes(&rules("'('")));
        assert!(passes(&rules("'2'")));
        assert!(!passes("groups: 1"));
        assert!(passes(&rules("'2'")));
    }
}
